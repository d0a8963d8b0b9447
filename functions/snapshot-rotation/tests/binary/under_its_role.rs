//! The function as the automation stack deploys it, with the credentials of its
//! role, where IAM judges every request; woken by hand and by RDS.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};
use steward::engine::Clock;
use steward::report::{ActionOutcome, Report, Status};
use steward_sandbox::deploy::{self, Function};
use steward_sandbox::{Account, Parts, Sandbox};

use crate::{database, names};

/// Every database. The role is for `shop*`.
const POLICY: &str = r#"
version: 1
rules:
- name: all
  databases: {include: ["*"]}
  keep: {last: 2}
restore_points: steward-restore-points-123456789012-us-east-1
limits: {max_delete_share_percent: 100, keep_snapshots_at_least: 1}"#;

const BUCKET: &str = "steward-restore-points-123456789012-us-east-1";

async fn deployed(account: &Account, mode: &str) -> (Function, String) {
    let binary = Path::new(env!("CARGO_BIN_EXE_snapshot-rotation"));
    let parameters = [
        ("SnapshotRotationMode", mode),
        ("SnapshotRotationPolicy", POLICY),
        ("SnapshotRotationRestorePoints", "true"),
    ];
    let packages = [("snapshot-rotation", binary)];
    let deployed = deploy::automation(account, &packages, &parameters);
    let deployed = deployed.await.unwrap();
    let role = deployed.output("SnapshotRotationRoleArn").unwrap();
    let role = role.rsplit('/').next().unwrap().to_owned();
    let function = deployed.function("snapshot-rotation").unwrap();
    (function.clone(), role)
}

async fn documents(account: &Account) -> BTreeSet<String> {
    let listed = account.s3().list_objects_v2().bucket(BUCKET).send().await;
    let listed = listed.unwrap().contents.unwrap_or_default();
    listed.into_iter().filter_map(|object| object.key).collect()
}

/// Takes one permission away from a role, or none.
async fn deny(account: &Account, role: &str, action: Option<&str>) {
    let iam = account.iam();
    let Some(action) = action else {
        let delete = iam.delete_role_policy().role_name(role);
        delete.policy_name("deny").send().await.unwrap();
        return;
    };
    let deny = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Deny", "Action": action, "Resource": "*"}]});
    let put = iam.put_role_policy().role_name(role).policy_name("deny");
    put.policy_document(deny.to_string()).send().await.unwrap();
}

async fn run(function: &Function) -> Report {
    let answer = function.invoke(&json!({"operation": "rotate"})).await;
    serde_json::from_value(answer.unwrap()).unwrap()
}

/// What became of each action: `KIND DATABASE-OR-KEY`.
fn outcomes(report: &Report, outcome: ActionOutcome) -> Vec<(&str, &str, Option<&str>)> {
    let lines = report.actions.iter();
    let lines = lines.filter(|line| line.outcome == outcome);
    let told = lines.map(|line| {
        let error = line.error.as_deref();
        (line.kind.as_str(), line.resource.as_str(), error)
    });
    told.collect()
}

#[tokio::test]
async fn it_reads_all_it_needs_and_acts_only_where_its_role_lets_it() {
    // Its own sandbox: functions act in the default account, and none of the
    // others judges them.
    let sandbox = tokio::task::spawn_blocking(|| Sandbox::start(Parts::Enforcing));
    let sandbox = sandbox.await.unwrap().unwrap();
    let account = sandbox.default_account();
    let (shop, shops) = database(&account, "shop-db", &[26, 50, 74, 98]).await;
    let (_, blogs) = database(&account, "blog-db", &[26, 50, 74, 98]).await;
    let before = names(&account).await;

    // Deployed to plan, and then told otherwise behind the stack's back.
    let (function, role) = deployed(&account, "plan").await;
    let lambda = account.lambda_runtime();
    let configuration = lambda.get_function_configuration();
    let configuration = configuration.function_name(function.name()).send().await;
    let mut variables = configuration
        .unwrap()
        .environment
        .unwrap()
        .variables
        .unwrap();
    variables.insert("STEWARD_MODE".to_owned(), "apply".to_owned());
    let environment = aws_sdk_lambda::types::Environment::builder();
    let environment = environment.set_variables(Some(variables)).build();
    let update = lambda
        .update_function_configuration()
        .environment(environment);
    update.function_name(function.name()).send().await.unwrap();

    let report = run(&function).await;

    assert_eq!(report.gaps, [], "a plan's role reads everything");
    assert_eq!(report.summary.done, 0, "{:#?}", report.actions);
    assert!(report.summary.failed >= 4, "{:#?}", report.actions);
    assert_eq!(names(&account).await, before);
    assert_eq!(documents(&account).await, BTreeSet::new());

    // Deployed to apply, and one permission after the other taken away.
    let (function, same) = deployed(&account, "apply").await;
    assert_eq!(same, role);
    for action in [
        "rds:DescribeDBInstances",
        "rds:DescribeDBSnapshots",
        "ssm:GetParameters",
        "ssm:GetParameter",
    ] {
        deny(&account, &role, Some(action)).await;
        let answer = function.invoke(&json!({"operation": "rotate"})).await;
        match answer {
            // Without its policy it cannot even begin.
            Err(error) if action == "ssm:GetParameter" => {
                let error = format!("{error:#}");
                assert!(error.contains("UnreadablePolicy"), "{error}");
                assert!(error.contains(action), "{error}");
            }
            answer => {
                let text = answer.unwrap().to_string();
                assert!(text.contains(action), "{action} is not named: {text}");
                let report: Report = serde_json::from_str(&text).unwrap();
                assert_eq!(report.status, Status::Refused, "{action}: {report:#?}");
                assert_eq!(report.summary.done, 0, "{action}");
            }
        }
        assert_eq!(names(&account).await, before, "{action}");
        assert_eq!(documents(&account).await, BTreeSet::new(), "{action}");
    }

    // As it is deployed.
    deny(&account, &role, None).await;

    let report = run(&function).await;

    assert_eq!(report.gaps, []);
    assert_eq!(report.refusals, []);
    assert_eq!(report.status, Status::Partial, "{report:#?}");
    let warned = report.warnings.iter();
    let unsent = warned.filter(|warning| warning.contains("could not be sent"));
    assert_eq!(unsent.count(), 0, "{:?}", report.warnings);
    // Nothing of the other database is made, so that nothing of it goes.
    let [(kind, resource, error)] = outcomes(&report, ActionOutcome::Failed)[..] else {
        panic!("{:#?}", report.actions);
    };
    assert_eq!(kind, "create_snapshot");
    assert!(resource.contains("steward-blog-db-"), "{resource}");
    let error = error.unwrap();
    assert!(
        error.contains("AccessDenied") && error.contains("rds:CreateDBSnapshot"),
        "{error}"
    );
    let after = names(&account).await;
    let made: Vec<&String> = after.difference(&before).collect();
    let [made] = made[..] else {
        panic!("one is made: {made:?}");
    };
    assert!(made.starts_with("steward-shop-db-"), "{made}");
    assert!(blogs.iter().all(|name| after.contains(name)), "{after:?}");
    let gone: BTreeSet<&String> = before.difference(&after).collect();
    assert_eq!(gone, shops[2..].iter().collect());
    let key = format!("restore-points/shop-db/{}/{made}.json", shop.resource_id());
    let written = documents(&account).await;
    assert!(!written.contains(&key), "{written:?}");
    assert!(written.contains("recipes/shop.json"), "{written:?}");

    // RDS tells that it is finished.
    let arn = format!("arn:aws:rds:us-east-1:{}:snapshot:{made}", account.id());
    let event = json!({
        "version": "0",
        "id": "844e2571-85d4-695f-b930-0153b71dcb42",
        "detail-type": "RDS DB Snapshot Event",
        "source": "aws.rds",
        "account": account.id(),
        "time": Clock::System.now().to_string(),
        "region": "us-east-1",
        "resources": [arn],
        "detail": {
            "EventCategories": ["creation"],
            "SourceType": "SNAPSHOT",
            "SourceArn": arn,
            "Date": Clock::System.now().to_string(),
            "SourceIdentifier": made,
            "Message": "Manual snapshot created",
            "EventID": "RDS-EVENT-0042",
        },
    });
    let rule = "steward-snapshot-rotation-after-snapshot";
    let answer = function.woken_by(rule, &event).await.unwrap();

    let report: Report = serde_json::from_value(answer).unwrap();
    assert_eq!(report.gaps, []);
    assert_eq!(outcomes(&report, ActionOutcome::Failed), []);
    assert!(documents(&account).await.contains(&key), "{report:#?}");
    let snapshot = account.manual_snapshots().await.unwrap().into_iter();
    let mut snapshot = snapshot.filter(|it| it.db_snapshot_identifier() == Some(made));
    let tags = snapshot.next().unwrap().tag_list.unwrap_or_default();
    let tagged = tags.iter().any(|tag| tag.key() == Some("steward:taken-at"));
    assert!(tagged, "{tags:?}");
    // It was about its database alone.
    let other = |line: &Value| line["resource"].to_string().contains("blog-db");
    let lines = serde_json::to_value(&report.actions).unwrap();
    assert!(!lines.as_array().unwrap().iter().any(other), "{lines}");
}
