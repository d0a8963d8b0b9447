//! What the function asks of AWS is what its role allows, and nothing else: a
//! run's calls are recorded, and judged by the role as `infra/automation.yaml`
//! deploys it.

use std::collections::BTreeSet;

use image_pruning::{BEHIND_CALLS, ImagePruning, PERMISSIONS, Registry};
use serde_json::json;
use steward::permission::Needed;
use steward::report::Status;
use steward_sandbox::recorded::{Differences, Recorded, actions_of, differences};
use steward_sandbox::{Account, Decision, Role};
use tokio::sync::OnceCell;

use crate::crash::Scene;

/// Where the deployed function's policy is.
#[derive(Clone, Copy, Debug)]
enum PolicyIn {
    Parameter,
    Object,
}

async fn copied(account: &Account, from: (&str, &str), to: (&str, &str)) {
    let s3 = account.s3();
    let read = s3.get_object().bucket(from.0).key(from.1).send().await;
    let body = read.unwrap().body.collect().await.unwrap().into_bytes();
    let put = s3.put_object().bucket(to.0).key(to.1).body(body.into());
    put.send().await.unwrap();
}

/// Runs a scene with everything as the stack sets it: environment, policy,
/// switches, topic, restore points.
async fn record(scene: Scene, policy_in: PolicyIn) -> Recorded {
    let arranged = scene.arrange().await;
    let account = arranged.stage.account.clone();
    let (id, region) = (account.id(), account.region_name());
    let own_bucket = format!("restore-points-{id}");
    let bucket = format!("steward-restore-points-{id}-{region}");
    let policy = arranged
        .policy
        .replace(&own_bucket, &bucket)
        .replace("elsewhere: [", "elsewhere: [{regions: [us-west-2]}, ");
    let object = format!("policies-{id}/pruning.yaml");
    let mut parameters = vec![
        ("ImagePruningMode", "apply"),
        ("ImagePruningPolicy", policy.as_str()),
        (
            "ImagePruningReaderRoles",
            "arn:aws:iam::*:role/steward-reads",
        ),
        ("ImagePruningReadsRestorePoints", "true"),
    ];
    if let PolicyIn::Object = policy_in {
        let (bucket, key) = object.split_once('/').unwrap();
        let s3 = account.s3();
        s3.create_bucket().bucket(bucket).send().await.unwrap();
        let put = s3.put_object().bucket(bucket).key(key);
        let body = policy.as_bytes().to_vec().into();
        put.body(body).send().await.unwrap();
        parameters.push(("ImagePruningPolicyObject", &object));
    }
    let outputs = account.automation(&parameters).await.unwrap();
    if policy.contains(&bucket) {
        let key = "points/shop.json";
        copied(&account, (&own_bucket, key), (&bucket, key)).await;
    }
    let function = outputs["ImagePruningFunctionName"].as_str();
    let role = outputs["ImagePruningRoleArn"].as_str();
    let event = json!({"operation": "prune"});
    let now = arranged.stage.now;
    let recorded = account.record::<ImagePruning, _>(
        (function, role),
        now,
        |config, clock, _| Registry::at(config, clock),
        &event,
    );
    let recorded = recorded.await.unwrap();
    let report = &recorded.report;
    assert_eq!(report.status, Status::Applied, "{report:#?}");
    recorded
}

/// The runs that between them ask for everything.
async fn recorded() -> &'static [Recorded] {
    static RUNS: OnceCell<Vec<Recorded>> = OnceCell::const_new();
    RUNS.get_or_init(async || {
        vec![
            Box::pin(record(Scene::EveryUser, PolicyIn::Parameter)).await,
            Box::pin(record(Scene::Archiving, PolicyIn::Object)).await,
        ]
    })
    .await
}

async fn called() -> BTreeSet<String> {
    actions_of(recorded().await.iter().flat_map(Recorded::own))
}

#[tokio::test]
async fn the_role_allows_what_is_called_and_nothing_else() {
    let runs = recorded().await.iter();
    let allowed = runs.flat_map(|run| run.role.allowed_actions()).collect();
    let found = differences(&called().await, &allowed, BEHIND_CALLS);
    assert_eq!(found, Differences::default());
}

#[tokio::test]
async fn the_list_of_permissions_is_what_is_called() {
    let listed = PERMISSIONS
        .iter()
        .map(|permission| permission.action.to_owned())
        .collect();
    assert_eq!(called().await, listed);
}

#[tokio::test]
async fn the_list_of_permissions_says_on_what_they_are_asked() {
    for run in recorded().await {
        assert_eq!(run.unlisted(PERMISSIONS), []);
    }
}

#[tokio::test]
async fn the_simulation_allows_each_recorded_call_on_what_it_names() {
    for run in recorded().await {
        let asked = run.asked();
        assert!(asked.len() > 15, "{asked:?}");
        let scoped = asked.iter().filter(|(_, arn)| *arn != "*").count();
        assert!(scoped > 10, "{asked:?}");
        assert_eq!(run.role.denies(run.own(), &[]).await.unwrap(), []);
    }
}

/// What the simulation cannot judge, because the sandbox's takes no condition
/// keys: the actions, their condition as the role has it, and why it is there.
const MISJUDGED: [(&str, &[&str], &str); 3] = [
    (
        "EncryptWhatItTells",
        &["kms:GenerateDataKey*", "kms:Decrypt"],
        r#"{"StringEquals": {"kms:ViaService": "sns.us-east-1.amazonaws.com"}}"#,
    ),
    (
        "DecryptRestorePoints",
        &["kms:Decrypt"],
        r#"{"StringEquals": {"kms:ViaService": "s3.us-east-1.amazonaws.com"}}"#,
    ),
    (
        "NothingOnHold",
        &["ecr:BatchDeleteImage", "ecr:UpdateImageStorageClass"],
        r#"{"Null": {"aws:ResourceTag/steward:hold": "false"}}"#,
    ),
];

#[tokio::test]
async fn what_the_simulation_misjudges_is_read_from_the_role() {
    let role = &recorded().await[0].role;
    let listed = MISJUDGED.iter().map(|(sid, actions, condition)| {
        let actions = match actions {
            [one] => json!(one),
            several => json!(several),
        };
        let condition: serde_json::Value = serde_json::from_str(condition).unwrap();
        format!("{} {actions} {condition}", json!(sid))
    });
    assert_eq!(role.conditions(), listed.collect());
}

/// Asserts that the role may do none of this.
async fn may_not(role: &Role, asked: &[(&str, String)]) {
    let none: [&(&str, String); 0] = [];
    assert_eq!(role.allows(asked, &[]).await.unwrap(), none);
}

#[tokio::test]
async fn a_role_that_may_delete_may_do_nothing_beside() {
    let Recorded { account, role, .. } = &recorded().await[0];
    let id = account.id();
    let repository = |region: &str, account: &str, name: &str| {
        format!("arn:aws:ecr:{region}:{account}:repository/{name}")
    };
    let here = |name: &str| repository("us-east-1", id, name);
    let of = |service: &str, rest: &str| format!("arn:aws:{service}:us-east-1:{id}:{rest}");
    let mut asked = Vec::new();
    for write in ["ecr:BatchDeleteImage", "ecr:UpdateImageStorageClass"] {
        // Beside the repositories of its parameter.
        asked.push((write, here("tools/base")));
        asked.push((write, here("shop-other/web")));
        asked.push((write, here("other/shop/web")));
        asked.push((write, repository("eu-west-1", id, "shop/web")));
        asked.push((write, repository("us-east-1", "123456789012", "shop/web")));
        asked.push((write, "*".to_owned()));
    }
    for write in [
        "ecr:DeleteRepository",
        "ecr:PutImage",
        "ecr:SetRepositoryPolicy",
        "ecr:PutLifecyclePolicy",
        "ecr:TagResource",
        "ecr:UntagResource",
    ] {
        asked.push((write, here("shop/web")));
    }
    for (action, resource) in [
        ("ecs:UpdateService", of("ecs", "service/shop/web")),
        ("ecs:StopTask", of("ecs", "task/shop/1")),
        (
            "ecs:DeregisterTaskDefinition",
            of("ecs", "task-definition/web:1"),
        ),
        ("lambda:InvokeFunction", of("lambda", "function:thumbnails")),
        (
            "lambda:UpdateFunctionCode",
            of("lambda", "function:thumbnails"),
        ),
        ("events:PutRule", of("events", "rule/nightly")),
        (
            "scheduler:DeleteSchedule",
            of("scheduler", "schedule/default/nightly"),
        ),
        // Its leash, its policy and its switches are not its own to change.
        (
            "ssm:PutParameter",
            of("ssm", "parameter/steward/kill-switch/all"),
        ),
        (
            "ssm:PutParameter",
            of("ssm", "parameter/steward/policy/image-pruning"),
        ),
        (
            "lambda:UpdateFunctionConfiguration",
            of("lambda", "function:steward-image-pruning"),
        ),
        ("ssm:GetParameter", of("ssm", "parameter/shop/password")),
        ("ssm:GetParameters", of("ssm", "parameter/shop/password")),
        (
            "secretsmanager:GetSecretValue",
            of("secretsmanager", "secret:shop/database-AbCdEf"),
        ),
        (
            "s3:GetObject",
            "arn:aws:s3:::somebody-elses/object".to_owned(),
        ),
        ("s3:ListBucket", "arn:aws:s3:::somebody-elses".to_owned()),
        (
            "s3:PutObject",
            format!("arn:aws:s3:::steward-restore-points-{id}-us-east-1/points/shop.json"),
        ),
        (
            "s3:DeleteObject",
            format!("arn:aws:s3:::steward-restore-points-{id}-us-east-1/points/shop.json"),
        ),
        ("sns:Publish", of("sns", "somebody-elses")),
        ("sqs:SendMessage", of("sqs", "somebody-elses")),
        ("sts:AssumeRole", format!("arn:aws:iam::{id}:role/admin")),
        ("iam:PassRole", format!("arn:aws:iam::{id}:role/admin")),
        ("rds:DeleteDBSnapshot", of("rds", "snapshot:shop")),
        // Without the service that its condition names.
        ("kms:Decrypt", of("kms", "key/0a1b")),
    ] {
        asked.push((action, resource));
    }
    may_not(role, &asked).await;
}

#[tokio::test]
async fn in_plan_mode_neither_the_function_nor_a_person_may_write_or_read_restore_points() {
    let account = crate::stage::Stage::new().account;
    let outputs = account.automation(&[]).await.unwrap();
    let id = account.id();
    let point = format!(
        "arn:aws:s3:::{}/points/a.json",
        outputs["RestorePointBucketName"]
    );
    let image = format!("arn:aws:ecr:us-east-1:{id}:repository/shop/web");
    let writes = PERMISSIONS
        .iter()
        .filter(|permission| permission.action.starts_with("ecr:"))
        .filter(|permission| permission.needed >= Needed::Apply)
        .map(|permission| permission.action);
    let writes: Vec<&str> = writes.collect();
    assert_eq!(
        writes,
        ["ecr:BatchDeleteImage", "ecr:UpdateImageStorageClass"]
    );
    let mut asked: Vec<(&str, String)> = Vec::new();
    asked.extend(writes.iter().map(|write| (*write, image.clone())));
    asked.push(("s3:GetObject", point));
    asked.push((
        "sts:AssumeRole",
        format!("arn:aws:iam::{id}:role/steward-reads"),
    ));
    for role in ["ImagePruningRoleArn", "PlanRoleArn"] {
        let role = account.role(&outputs[role]).await.unwrap();
        may_not(&role, &asked).await;
        // What a plan needs is there.
        for permission in PERMISSIONS {
            if permission.needed <= Needed::Advice {
                let on = permission.resource("aws", "us-east-1", id, "shop/web");
                let judged = role.judge(permission.action, &on).await.unwrap();
                assert_eq!(judged, Decision::Allowed, "{}", permission.action);
            }
        }
    }
}
