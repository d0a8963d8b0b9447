use serde_json::json;

use super::*;

fn document() -> RestorePoint {
    let definition = json!({
        "taskDefinitionArn": "arn:aws:ecs:eu-west-1:123456789012:task-definition/web:7",
        "containerDefinitions": [
            {"name": "web", "environment": [{"name": "PASSWORD", "value": "hunter2"}]},
        ],
    });
    RestorePoint {
        schema_version: SCHEMA_VERSION,
        kind: RestorePointKind::RestorePoint,
        recorded_at: "2026-11-22T12:00:00Z".parse().unwrap(),
        snapshot: Snapshot {
            id: "steward-shop-abcdef-20261122-0200".to_owned(),
            arn: "arn:aws:rds:eu-west-1:123456789012:snapshot:steward-shop-abcdef-20261122-0200"
                .to_owned(),
            account: "123456789012".to_owned(),
            region: "eu-west-1".to_owned(),
            database_identifier: "shop".to_owned(),
            resource_id: "db-ABCDEF".to_owned(),
            taken_at: "2026-11-22T02:00:00Z".parse().unwrap(),
            engine: "postgres".to_owned(),
            engine_version: "15.4".to_owned(),
            encrypted: Some(true),
            kms_key_id: None,
            allocated_storage: Some(20),
            full_snapshot_size_in_bytes: None,
        },
        copies: vec![],
        database: Some(Database {
            identifier: "shop".to_owned(),
            db_name: Some("hunter2".to_owned()),
            ..Database::default()
        }),
        applications: vec![Application {
            cluster: "shop".to_owned(),
            service: "web".to_owned(),
            releases: vec![Release {
                task_definition: Some(AsAnswered(definition.as_object().unwrap().clone())),
                ..Release::default()
            }],
            ..Application::default()
        }],
        images: vec![],
        incomplete: vec![],
    }
}

fn boxed(document: RestorePoint) -> Document {
    Document::RestorePoint(Box::new(document))
}

#[test]
fn is_read_as_it_was_written() {
    let document = boxed(document());
    let text = document.text().unwrap();
    assert!(Document::parse(&text).unwrap() == document);
    assert!(text.expose_secret().contains("hunter2"));
}

#[test]
fn debug_shows_nothing_of_its_content() {
    let all = document();
    for shown in [
        format!("{all:?}"),
        format!("{:?}", all.database),
        format!("{:?}", all.applications),
        format!("{:?}", all.applications[0].releases),
        format!("{:?}", boxed(all.clone()).text()),
        format!("{:?}", boxed(all)),
    ] {
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}

#[test]
fn its_content_has_the_same_digest_whenever_it_was_recorded() {
    let first = document();
    let mut later = first.clone();
    later.recorded_at = "2026-11-23T12:00:00Z".parse().unwrap();
    let mut changed = first.clone();
    changed.applications[0].releases[0].task_definition = None;
    let [first, later, changed] = [first, later, changed].map(|d| boxed(d).content_digest());
    assert_eq!(first.len(), "sha256:".len() + 64);
    assert_eq!(first, later);
    assert_ne!(first, changed);
}

#[test]
fn a_service_that_is_scaled_may_run_another_number_of_tasks() {
    let object = |value: serde_json::Value| AsAnswered(value.as_object().unwrap().clone());
    let running = |count: u32, targets: Vec<AsAnswered>| {
        let mut document = document();
        let application = &mut document.applications[0];
        application.service_settings = object(json!({"desiredCount": count, "launchType": "EC2"}));
        application.scaling.targets = targets;
        boxed(document).content_digest()
    };
    let target = object(json!({"MinCapacity": 2, "MaxCapacity": 10}));
    assert_eq!(
        running(2, vec![target.clone()]),
        running(7, vec![target.clone()])
    );
    let other = object(json!({"MinCapacity": 1, "MaxCapacity": 10}));
    assert_ne!(running(2, vec![target]), running(2, vec![other]));
    assert_ne!(running(2, vec![]), running(7, vec![]));
}

#[test]
fn one_that_lacks_something_has_a_key_of_its_own() {
    let mut document = document();
    let place = "restore-points/shop/db-ABCDEF/steward-shop-abcdef-20261122-0200";
    assert_eq!(boxed(document.clone()).key(), format!("{place}.json"));
    document.incomplete = vec!["rds:DescribeDBParameters of shop: AccessDenied".to_owned()];
    assert_eq!(boxed(document).key(), format!("{place}.incomplete.json"));
    assert_eq!(recipe_key("production", true), "recipes/production.json");
}

#[test]
fn errors_say_where_and_never_what() {
    let head = r#""schema_version":1,"kind":"recipe""#;
    for (text, error) in [
        ("hunter2".to_owned(), "line 1, column 1"),
        (
            format!("{{{head},\"environment\":\"hunter2\"}}"),
            "line 1, column",
        ),
        (
            r#"{"schema_version":2,"kind":"recipe"}"#.to_owned(),
            "schema_version is not 1",
        ),
        (
            r#"{"schema_version":"hunter2","kind":"recipe"}"#.to_owned(),
            "schema_version is not 1",
        ),
        (
            r#"{"schema_version":1,"kind":"hunter2"}"#.to_owned(),
            "its kind is neither",
        ),
        (
            r#"{"schema_version":1,"kind":"restore_point","recorded_at":"hunter2"}"#.to_owned(),
            "line 1, column",
        ),
    ] {
        let told = Document::parse(&SecretString::from(text)).unwrap_err();
        assert!(told.to_string().contains(error), "{told}");
        assert!(!format!("{told} {told:?}").contains("hunter2"), "{told}");
    }
}

#[test]
fn one_that_nobody_would_read_is_not_written() {
    let mut document = document();
    document.incomplete = vec!["x".repeat(MAX_BYTES as usize)];
    assert!(matches!(
        boxed(document).text(),
        Err(DocumentError::TooLarge(_))
    ));
}

#[test]
fn the_schemas_describe_the_documents() {
    let schema = restore_point_schema().to_value();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let mut value = serde_json::to_value(document()).unwrap();
    let problems: Vec<String> = validator
        .iter_errors(&value)
        .map(|e| e.to_string())
        .collect();
    assert_eq!(problems, Vec::<String>::new());
    value["schema_version"] = json!(2);
    assert!(!validator.is_valid(&value));
    let recipes = jsonschema::validator_for(&recipe_schema().to_value()).unwrap();
    value["schema_version"] = json!(1);
    assert!(!recipes.is_valid(&value));
}
