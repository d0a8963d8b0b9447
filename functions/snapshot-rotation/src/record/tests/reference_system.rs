//! The reference system of the sandbox, with everything that a recovery needs.

use std::collections::BTreeSet;

use aws_sdk_ecs::types::Tag;
use aws_sdk_rds::types::{ApplyMethod, Parameter};
use serde_json::{Value, json};
use steward_sandbox::seed::{self, Reference};
use steward_sandbox::{Account, Sandbox};

use crate::policy::Application as ServiceName;
use crate::record::{ApplicationsWanted, Recorder};
use steward::names::ENVIRONMENT;

fn service(name: &str) -> ServiceName {
    ServiceName {
        cluster: "shop".to_owned(),
        service: name.to_owned(),
    }
}

async fn seeded() -> (Account, Reference, Recorder) {
    let account = Sandbox::shared().expect("the sandbox starts").account();
    let now = "2026-11-22T12:00:00Z".parse().unwrap();
    let reference = seed::reference_system(&account, now).await.unwrap();
    let recorder = Recorder::new(&account.sdk_config());
    (account, reference, recorder)
}

/// A parameter group whose `max_connections` somebody has set, for the database.
async fn parameter_group(account: &Account) {
    let rds = account.rds();
    let group = rds.create_db_parameter_group();
    let group = group.db_parameter_group_name("shop");
    let group = group.db_parameter_group_family("postgres15");
    group.description("Ours.").send().await.unwrap();
    let parameter = Parameter::builder()
        .parameter_name("max_connections")
        .parameter_value("300")
        .apply_method(ApplyMethod::PendingReboot)
        .build();
    let modify = rds.modify_db_parameter_group();
    let modify = modify.db_parameter_group_name("shop");
    modify.parameters(parameter).send().await.unwrap();
    let modify = rds.modify_db_instance().db_instance_identifier("shop");
    let modify = modify.db_parameter_group_name("shop");
    modify.apply_immediately(true).send().await.unwrap();
}

#[tokio::test]
async fn its_database_is_recorded_with_every_setting() {
    let (account, reference, recorder) = seeded().await;
    parameter_group(&account).await;

    let instances = account.rds().describe_db_instances().send().await.unwrap();
    let instance = &instances.db_instances()[0];
    let databases = recorder.databases(instances.db_instances()).await;

    assert_eq!(databases.len(), 1);
    let recorded = &databases[instance.dbi_resource_id().unwrap()];
    assert_eq!(recorded.missing, Vec::<String>::new());
    let database = serde_json::to_value(&recorded.value).unwrap();
    let network = &reference.system.network;
    for (name, expected) in [
        ("identifier", json!("shop")),
        ("arn", json!(instance.db_instance_arn())),
        ("engine", json!("postgres")),
        ("engine_version", json!("15.4")),
        ("db_instance_class", json!("db.t3.micro")),
        ("db_name", json!("shop")),
        ("master_username", json!("shop")),
        ("port", json!(5432)),
        ("multi_az", json!(false)),
        ("publicly_accessible", json!(false)),
        ("storage_type", json!("gp2")),
        ("allocated_storage", json!(20)),
        ("max_allocated_storage", json!(100)),
        ("storage_encrypted", json!(true)),
        ("backup_retention_period", json!(7)),
        ("copy_tags_to_snapshot", json!(true)),
        ("deletion_protection", json!(true)),
        ("iam_database_authentication_enabled", json!(false)),
        ("monitoring_interval", json!(0)),
        (
            "vpc_security_group_ids",
            json!([network.security_groups.database]),
        ),
    ] {
        assert_eq!(database[name], expected, "{name}");
    }
    let secret = instance.master_user_secret().unwrap();
    assert_eq!(
        database["master_user_secret"]["arn"],
        json!(secret.secret_arn())
    );
    let group = &database["db_subnet_group"];
    assert_eq!(group["vpc_id"], network.vpc);
    let subnets = group["subnets"].as_array().unwrap().iter();
    let subnets: BTreeSet<&str> = subnets.filter_map(|it| it["id"].as_str()).collect();
    let private: BTreeSet<&str> = network.private_subnets.iter().map(String::as_str).collect();
    assert_eq!(subnets, private);
    let groups = database["db_parameter_groups"].as_array().unwrap();
    assert_eq!(groups.len(), 1);
    assert_eq!(groups[0]["name"], "shop");
    assert_eq!(groups[0]["family"], "postgres15");
    assert_eq!(groups[0]["parameters"][0]["name"], "max_connections");
    assert_eq!(groups[0]["parameters"][0]["value"], "300");
}

#[tokio::test]
async fn its_services_are_recorded_with_digests_and_versions_and_no_secret() {
    let (account, reference, recorder) = seeded().await;
    let wanted = ApplicationsWanted {
        services: ["web", "worker", "reports"].map(service).into(),
        environments: BTreeSet::new(),
    };

    let all = recorder
        .applications(&wanted)
        .await
        .of(&wanted.services, None);

    assert_eq!(all.missing, Vec::<String>::new());
    let names: Vec<&str> = all
        .value
        .applications
        .iter()
        .map(|it| it.service.as_str())
        .collect();
    assert_eq!(names, ["reports", "web", "worker"]);
    let images: BTreeSet<String> = all
        .value
        .images
        .iter()
        .map(|it| it.reference.clone())
        .collect();
    let pinned =
        |repository: &str, digest: &str| format!("{}/{repository}@{digest}", account.registry());
    let deployed = [
        pinned(&reference.web.repository, &reference.web.running.index),
        pinned(&reference.web.repository, &reference.web.deploying.index),
        pinned(&reference.worker.repository, &reference.worker.pinned),
        pinned(&reference.reports.repository, &reference.reports.deployed),
    ];
    assert_eq!(images, BTreeSet::from(deployed));

    let web = serde_json::to_value(&all.value.applications[1]).unwrap();
    assert_eq!(web["rollout_state"], "IN_PROGRESS");
    let definitions = web["releases"].as_array().unwrap().iter();
    let families: Vec<&Value> = definitions
        .map(|release| &release["task_definition"]["family"])
        .collect();
    assert_eq!(families, ["web", "web"]);
    let settings = &web["service_settings"];
    assert_eq!(settings["desiredCount"], 3);
    assert_eq!(settings["healthCheckGracePeriodSeconds"], 60);
    assert_eq!(
        settings["capacityProviderStrategy"][0]["capacityProvider"],
        "shop-ec2"
    );
    for state in [
        "events",
        "runningCount",
        "deployments",
        "currentServiceRevisions",
    ] {
        assert_eq!(settings[state], Value::Null, "{state}");
    }
    assert_eq!(
        web["cluster_settings"]["capacityProviders"],
        json!(["shop-ec2"])
    );
    assert_eq!(web["cluster_settings"]["runningTasksCount"], Value::Null);
    assert_eq!(web["scaling"]["targets"][0]["MinCapacity"], 2);
    assert_eq!(web["scaling"]["targets"][0]["MaxCapacity"], 10);
    let policies = web["scaling"]["policies"].as_array().unwrap().iter();
    let policies: BTreeSet<&str> = policies
        .filter_map(|it| it["PolicyName"].as_str())
        .collect();
    assert_eq!(policies, BTreeSet::from(["web-cpu", "web-memory"]));
    let group = &web["target_groups"][0];
    assert_eq!(group["arn"], reference.system.target_group);
    assert_eq!(group["health_check_path"], "/api/health");
    assert_eq!(
        group["attributes"]["deregistration_delay.timeout_seconds"],
        "300"
    );
    let secret = account.secretsmanager().describe_secret();
    let secret = secret.secret_id("shop/database").send().await.unwrap();
    let version = secret.version_ids_to_stages().unwrap().keys().next();
    assert_eq!(web["secrets"][0]["name"], "shop/database");
    assert_eq!(web["secrets"][0]["version_id"], json!(version));
    assert!(!web.to_string().contains("nothing secret in a sandbox"));
}

#[tokio::test]
async fn its_services_are_found_by_their_environment() {
    let (account, _, recorder) = seeded().await;
    let tag = Tag::builder().key(ENVIRONMENT).value("production").build();
    let arn = |name| {
        let (region, id) = (account.region_name(), account.id());
        format!("arn:aws:ecs:{region}:{id}:service/shop/{name}")
    };
    for name in ["web", "worker"] {
        let request = account.ecs().tag_resource().resource_arn(arn(name));
        request.tags(tag.clone()).send().await.unwrap();
    }
    let wanted = ApplicationsWanted {
        services: BTreeSet::from([service("reports"), service("gone")]),
        environments: BTreeSet::from(["production".to_owned(), "staging".to_owned()]),
    };

    let all = recorder.applications(&wanted).await;

    let found = |services: &BTreeSet<ServiceName>, environment| {
        let of = all.of(services, environment);
        let names = of.value.applications.iter().map(|it| it.service.clone());
        (names.collect::<Vec<_>>(), of.missing)
    };
    let none = BTreeSet::new();
    let nothing = Vec::<String>::new();
    let (names, missing) = found(&none, Some("production"));
    assert_eq!(
        (names, missing),
        (vec!["web".to_owned(), "worker".to_owned()], nothing.clone())
    );
    assert_eq!(found(&none, Some("staging")), (vec![], nothing.clone()));
    let reports = BTreeSet::from([service("reports")]);
    let (names, missing) = found(&reports, Some("production"));
    assert_eq!(names, ["reports", "web", "worker"]);
    assert_eq!(missing, nothing);
    let (names, missing) = found(&BTreeSet::from([service("gone")]), None);
    assert_eq!(names, nothing);
    assert_eq!(missing, ["there is no service gone in cluster shop"]);
}
