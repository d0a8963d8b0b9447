//! What the function asks of AWS is what its roles allow, and nothing else: a run's
//! calls are recorded, and judged by the roles as `infra/` deploys them.

use std::collections::BTreeSet;

use serde_json::json;
use snapshot_rotation::{BEHIND_CALLS, PERMISSIONS, SnapshotRotation, Snapshots};
use steward::permission::Needed;
use steward::report::Status;
use steward_sandbox::recorded::{Differences, Recorded, actions_of, differences};
use steward_sandbox::{Account, Decision, Role, Stack};
use tokio::sync::OnceCell;

use crate::scene::{Arrangement, Scene};
use crate::stage::Stage;

const EXTERNAL_ID: &str = "shop-and-its-copies";

/// What the deployed role's conditions go by, of everything that Steward made.
const OWN: [(&str, &str); 1] = [("aws:ResourceTag/steward:managed-by", "snapshot-rotation")];

/// The runs that between them ask for everything.
struct Runs {
    /// With the policy in Parameter Store.
    night: Recorded,
    /// With the policy in S3; to another Region, and to another account by its role.
    copies: Recorded,
    /// The account that holds copies, and the role there.
    other: (Account, Role),
    /// The keys of the databases and of their copies in the other Region.
    keys: [String; 2],
}

/// Moves the documents of a scene into the bucket of the stack.
async fn moved(account: &Account, from: &str, to: &str) {
    let s3 = account.s3();
    let listed = s3.list_objects_v2().bucket(from).send().await.unwrap();
    for object in listed.contents() {
        let key = object.key().unwrap();
        let read = s3.get_object().bucket(from).key(key).send().await.unwrap();
        let body = read.body.collect().await.unwrap().into_bytes();
        let put = s3.put_object().bucket(to).key(key).body(body.into());
        put.send().await.unwrap();
    }
}

/// Runs a scene with everything as the stack sets it.
async fn record(arranged: &Arrangement, policy: &str, more: &[(&str, &str)]) -> Recorded {
    let account = &arranged.stage.account;
    let home = &arranged.spots[0];
    let bucket = format!("steward-restore-points-{}-us-east-1", account.id());
    let policy = policy.replace(&home.bucket, &bucket);
    let mut parameters = vec![
        ("SnapshotRotationMode", "apply"),
        ("SnapshotRotationPolicy", policy.as_str()),
        ("SnapshotRotationRestorePoints", "true"),
    ];
    parameters.extend(more);
    if let Some((_, object)) = more.iter().find(|(name, _)| name.ends_with("PolicyObject")) {
        let (bucket, key) = object.split_once('/').unwrap();
        let s3 = account.s3();
        s3.create_bucket().bucket(bucket).send().await.unwrap();
        let put = s3.put_object().bucket(bucket).key(key);
        let body = policy.as_bytes().to_vec().into();
        put.body(body).send().await.unwrap();
    }
    let outputs = account.automation(&parameters).await.unwrap();
    moved(account, &home.bucket, &bucket).await;
    let function = outputs["SnapshotRotationFunctionName"].as_str();
    let role = outputs["SnapshotRotationRoleArn"].as_str();
    let (event, now) = (arranged.event(), arranged.stage.now);
    let recorded = account.record::<SnapshotRotation, _>(
        (function, role),
        now,
        |config, clock, _| Snapshots::at(config, clock),
        event,
    );
    let recorded = recorded.await.unwrap();
    let report = &recorded.report;
    // What it makes and copies is to be looked at again.
    assert_eq!(report.status, Status::Waiting, "{report:#?}");
    recorded
}

/// Deploys the role of the account that holds copies; answers its ARN.
async fn role_there(account: &Account, of: &Account, source_key: &str, bucket: &str) -> String {
    // Its name is not known before the other stack is there, and it trusts by it.
    let rotation = format!("arn:aws:iam::{}:role/steward-rotation", of.id());
    let stack = Stack {
        name: "copies",
        template: "copy-account.yaml",
        packages: &[],
        parameters: &[
            ("RotationRoleArn", &rotation),
            ("ExternalId", EXTERNAL_ID),
            ("SourceRegion", "us-east-1"),
            ("SourceKeyArn", source_key),
            ("RestorePointBucket", bucket),
        ],
    };
    let outputs = account.deploy_stack(&stack).await.unwrap();
    outputs["RoleArn"].clone()
}

async fn recorded() -> &'static Runs {
    static RUNS: OnceCell<Runs> = OnceCell::const_new();
    RUNS.get_or_init(|| {
        Box::pin(async {
            let night = Scene::Night.arrange().await;
            let night = record(&night, &night.policy, &[]).await;

            let arranged = Scene::Copies.arrange().await;
            let account = &arranged.stage.account;
            let [_, region, other] = &arranged.spots[..] else {
                panic!("three places");
            };
            let database = account.existing_database("shop-db").await.unwrap();
            let key = database.describe().await.unwrap().kms_key_id.unwrap();
            let mut copy_keys = arranged.policy.lines().filter_map(|line| {
                let (_, key) = line.split_once("kms_key_id: \"")?;
                key.strip_suffix('"')
            });
            let keys = [key, copy_keys.next().unwrap().to_owned()];
            let role = role_there(&other.account, account, &keys[0], &other.bucket).await;
            let named = format!("arn:aws:iam::{}:role/steward-copies", other.account.id());
            let policy = arranged.policy.replace(&named, &role);
            let object = format!("policies-{}/rotation.yaml", account.id());
            let more = [
                ("SnapshotRotationCopyRegions", "eu-west-1"),
                ("SnapshotRotationKeys", &keys.join(",")),
                ("SnapshotRotationCopyRoles", &role),
                ("SnapshotRotationPolicyObject", &object),
                ("RecoveryBucket", &region.bucket),
            ];
            let copies = record(&arranged, &policy, &more).await;
            Runs {
                night,
                copies,
                other: (
                    other.account.clone(),
                    other.account.role(&role).await.unwrap(),
                ),
                keys,
            }
        })
    })
    .await
}

async fn called() -> BTreeSet<String> {
    let runs = recorded().await;
    actions_of(runs.night.own().chain(runs.copies.own()))
}

#[tokio::test]
async fn the_role_allows_what_is_called_and_nothing_else() {
    let runs = recorded().await;
    let mut allowed = runs.night.role.allowed_actions();
    allowed.extend(runs.copies.role.allowed_actions());
    let found = differences(&called().await, &allowed, BEHIND_CALLS);
    assert_eq!(found, Differences::default());
}

#[tokio::test]
async fn the_role_of_the_other_account_allows_what_is_called_there_and_nothing_else() {
    let Runs { copies, other, .. } = recorded().await;
    let (account, role) = other;
    let called = actions_of(copies.calls_in(account.id()));
    // RDS asks for it when a copy is made with its tags ("Actions, resources, and
    // condition keys for Amazon RDS", `CopyDBSnapshot`). With the keys of there it
    // is as with those of here; whether one can be shared is found out here.
    let behind = [
        ("rds:AddTagsToResource", "CopyDBSnapshot with tags"),
        ("kms:DescribeKey", "RDS, with the keys of a copy"),
        ("kms:Decrypt", "the same, and S3"),
        ("kms:GenerateDataKey*", "the same, and S3"),
        ("kms:CreateGrant", "RDS, with the keys of a copy"),
        ("s3:GetObject", "whether a recipe there is still the same"),
    ];
    let found = differences(&called, &role.allowed_actions(), &behind);
    assert_eq!(found, Differences::default());
    let denied = role.denies(copies.calls_in(account.id()), &OWN).await;
    assert_eq!(denied.unwrap(), []);
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
    let Runs { night, copies, .. } = recorded().await;
    for run in [night, copies] {
        let unlisted = run.unlisted(PERMISSIONS);
        // It says so in words, of the snapshots that are made.
        let made = |(action, arn): &(String, String)| {
            action == "rds:CreateDBSnapshot" && arn.contains(":snapshot:steward-")
        };
        let beside: Vec<_> = unlisted.iter().filter(|asked| !made(asked)).collect();
        assert_eq!(beside, Vec::<&(String, String)>::new());
    }
}

#[tokio::test]
async fn the_simulation_allows_each_recorded_call_on_what_it_names() {
    let Runs { night, copies, .. } = recorded().await;
    for run in [night, copies] {
        let asked = run.asked();
        assert!(asked.len() > 25, "{asked:?}");
        let scoped = asked.iter().filter(|(_, arn)| *arn != "*").count();
        assert!(scoped > 15, "{asked:?}");
        assert_eq!(run.role.denies(run.own(), &OWN).await.unwrap(), []);
    }
}

/// The conditions of the role that copies: where each must hold is judged by
/// `what_is_on_hold_or_not_its_own_is_denied` but for those of keys, for which the
/// sandbox asks nobody.
#[tokio::test]
async fn the_conditions_of_the_role_are_these() {
    let Runs { copies, .. } = recorded().await;
    let id = copies.account.id();
    let own = r#"{"aws:ResourceTag/steward:managed-by":"snapshot-rotation"}"#;
    let buckets = format!(
        r#"["arn:aws:s3:::steward-restore-points-{id}-us-east-1","arn:aws:s3:::steward-restore-points-{id}-eu-west-1"]"#
    );
    let of_buckets = format!(
        r#"{{"StringEquals":{{"kms:EncryptionContext:aws:s3:arn":{buckets}}},"StringLike":{{"kms:ViaService":"s3.*.amazonaws.com"}}}}"#
    );
    let rds = r#""StringLike":{"kms:ViaService":"rds.*.amazonaws.com"}"#;
    let expected = [
        format!(r#""EncryptRestorePoints" "kms:GenerateDataKey*" {of_buckets}"#),
        format!(r#""DecryptRestorePoints" "kms:Decrypt" {of_buckets}"#),
        r#""EncryptWhatItTells" ["kms:GenerateDataKey*","kms:Decrypt"] {"StringEquals":{"kms:ViaService":"sns.us-east-1.amazonaws.com"}}"#.to_owned(),
        format!(r#""DeleteItsOwnSnapshots" "rds:DeleteDBSnapshot" {{"StringEquals":{own}}}"#),
        format!(r#""ShareItsOwnSnapshots" "rds:ModifyDBSnapshotAttribute" {{"StringEquals":{own}}}"#),
        r#""CopyToOtherRegions" ["rds:CopyDBSnapshot","rds:AddTagsToResource"] {"StringEquals":{"aws:RequestedRegion":["eu-west-1"]}}"#.to_owned(),
        r#""DeleteItsOwnCopies" "rds:DeleteDBSnapshot" {"StringEquals":{"aws:RequestedRegion":["eu-west-1"],"aws:ResourceTag/steward:managed-by":"snapshot-rotation"}}"#.to_owned(),
        format!(r#""UseKeysThroughRds" ["kms:DescribeKey","kms:Decrypt","kms:GenerateDataKey*"] {{{rds}}}"#),
        format!(r#""GrantKeysToRds" "kms:CreateGrant" {{"Bool":{{"kms:GrantIsForAWSResource":"true"}},{rds}}}"#),
        r#""NothingOnHold" ["rds:CreateDBSnapshot","rds:DeleteDBSnapshot","rds:ModifyDBSnapshotAttribute"] {"Null":{"aws:ResourceTag/steward:hold":"false"}}"#.to_owned(),
    ];
    assert_eq!(copies.role.conditions(), expected.into());
}

/// Asserts that the role may do none of this, in a Region and with the tags of what
/// Steward made.
async fn may_not(role: &Role, asked: &[(&str, String)], region: &str, tags: &[(&str, &str)]) {
    let mut context = vec![("aws:RequestedRegion", region)];
    context.extend(tags);
    let none: [&(&str, String); 0] = [];
    assert_eq!(role.allows(asked, &context).await.unwrap(), none);
}

fn snapshot(region: &str, account: &str, name: &str) -> String {
    format!("arn:aws:rds:{region}:{account}:snapshot:{name}")
}

const MADE: &str = "steward-shop-db-3q4r5s-20261123-0302";

#[tokio::test]
async fn what_is_on_hold_or_not_its_own_is_denied() {
    let Runs { copies, other, .. } = recorded().await;
    let (id, role) = (copies.account.id(), &copies.role);
    let here = |name| snapshot("us-east-1", id, name);
    let there = |name| snapshot("eu-west-1", id, name);
    let writes = |of: &dyn Fn(&'static str) -> String, name| {
        let writes = ["rds:DeleteDBSnapshot", "rds:ModifyDBSnapshotAttribute"];
        writes.map(|write| (write, of(name)))
    };
    let hold = [OWN[0], ("aws:ResourceTag/steward:hold", "audit")];
    may_not(role, &writes(&here, MADE), "us-east-1", &hold).await;
    may_not(role, &writes(&there, MADE), "eu-west-1", &hold).await;
    // By a name of its form and without its tag, or the other way.
    may_not(role, &writes(&here, MADE), "us-east-1", &[]).await;
    may_not(role, &writes(&here, "shop-db-final"), "us-east-1", &OWN).await;
    // In Regions that the parameter does not name.
    let frankfurt = |name| snapshot("eu-central-1", id, name);
    let copy = [("rds:CopyDBSnapshot", frankfurt(MADE))];
    may_not(role, &copy, "eu-central-1", &OWN).await;
    may_not(role, &writes(&frankfurt, MADE), "eu-central-1", &OWN).await;
    let on_hold = [(
        "rds:CreateDBSnapshot",
        format!("arn:aws:rds:us-east-1:{id}:db:shop-db"),
    )];
    may_not(role, &on_hold, "us-east-1", &hold).await;

    let (account, role) = other;
    let copy = snapshot("us-east-1", account.id(), MADE);
    let delete = [("rds:DeleteDBSnapshot", copy)];
    may_not(role, &delete, "us-east-1", &hold).await;
    may_not(role, &delete, "us-east-1", &[]).await;
}

#[tokio::test]
async fn a_role_that_may_rotate_may_do_nothing_beside() {
    let Runs {
        copies,
        other,
        keys,
        ..
    } = recorded().await;
    let id = copies.account.id();
    let of = |service: &str, rest: &str| format!("arn:aws:{service}:us-east-1:{id}:{rest}");
    let mut asked: Vec<(&str, String)> = Vec::new();
    // Databases are looked at, and others than its parameter names not even backed up.
    for write in [
        "rds:DeleteDBInstance",
        "rds:ModifyDBInstance",
        "rds:StopDBInstance",
        "rds:RestoreDBInstanceFromDBSnapshot",
        "rds:AddTagsToResource",
        "rds:RemoveTagsFromResource",
    ] {
        asked.push((write, of("rds", "db:shop-db")));
    }
    asked.push(("rds:CreateDBSnapshot", of("rds", "db:blog-db")));
    asked.push((
        "rds:CreateDBSnapshot",
        format!("arn:aws:rds:eu-west-1:{id}:db:shop-db"),
    ));
    asked.push((
        "rds:RemoveTagsFromResource",
        of("rds", &format!("snapshot:{MADE}")),
    ));
    // Of other accounts.
    for write in ["rds:DeleteDBSnapshot", "rds:CopyDBSnapshot"] {
        asked.push((write, snapshot("us-east-1", "210987654321", MADE)));
    }
    let point = format!("arn:aws:s3:::steward-restore-points-{id}-us-east-1");
    for (action, resource) in [
        ("rds:DeleteDBSnapshot", of("rds", "snapshot:rds:shop-db-1")),
        (
            "rds:DeleteDBClusterSnapshot",
            of("rds", "cluster-snapshot:steward-a"),
        ),
        (
            "secretsmanager:GetSecretValue",
            of("secretsmanager", "secret:shop/database-AbCdEf"),
        ),
        ("ssm:GetParameter", of("ssm", "parameter/shop/settings")),
        ("ssm:GetParameters", of("ssm", "parameter/shop/settings")),
        (
            "ssm:PutParameter",
            of("ssm", "parameter/steward/kill-switch/all"),
        ),
        (
            "ssm:PutParameter",
            of("ssm", "parameter/steward/policy/snapshot-rotation"),
        ),
        (
            "lambda:UpdateFunctionConfiguration",
            of("lambda", "function:steward-snapshot-rotation"),
        ),
        ("ecs:UpdateService", of("ecs", "service/shop/web")),
        ("ecr:BatchDeleteImage", of("ecr", "repository/shop/web")),
        (
            "s3:DeleteObjectVersion",
            format!("{point}/recipes/shop.json"),
        ),
        ("s3:DeleteBucket", point.clone()),
        ("s3:BypassGovernanceRetention", format!("{point}/a.json")),
        ("s3:GetObject", "arn:aws:s3:::somebody-elses/a".to_owned()),
        ("s3:PutObject", "arn:aws:s3:::somebody-elses/a".to_owned()),
        ("s3:ListBucket", "arn:aws:s3:::somebody-elses".to_owned()),
        ("sns:Publish", of("sns", "somebody-elses")),
        ("sts:AssumeRole", format!("arn:aws:iam::{id}:role/admin")),
        ("iam:PassRole", format!("arn:aws:iam::{id}:role/admin")),
        // Without the service that its condition names.
        ("kms:Decrypt", keys[0].clone()),
        ("kms:CreateGrant", keys[1].clone()),
        ("kms:ScheduleKeyDeletion", keys[0].clone()),
    ] {
        asked.push((action, resource));
    }
    may_not(&copies.role, &asked, "us-east-1", &OWN).await;

    let (account, role) = other;
    let there = |name: &str| snapshot("us-east-1", account.id(), name);
    let asked = [
        ("rds:DeleteDBSnapshot", there("shop-db-final")),
        ("rds:CreateDBSnapshot", there(MADE)),
        ("rds:ModifyDBSnapshotAttribute", there(MADE)),
        (
            "rds:CopyDBSnapshot",
            snapshot("us-east-1", "210987654321", MADE),
        ),
        ("rds:CopyDBSnapshot", there("shop-db-final")),
        ("rds:DescribeDBInstances", "*".to_owned()),
        ("s3:GetObject", "arn:aws:s3:::somebody-elses/a".to_owned()),
        ("kms:CreateGrant", keys[0].clone()),
    ];
    may_not(role, &asked, "us-east-1", &OWN).await;
}

#[tokio::test]
async fn in_plan_mode_neither_the_function_nor_a_person_may_write() {
    let account = Stage::new().account;
    let parameters = [
        ("SnapshotRotationRestorePoints", "true"),
        ("SnapshotRotationShares", "true"),
        ("SnapshotRotationCopyRegions", "eu-west-1"),
    ];
    let outputs = account.automation(&parameters).await.unwrap();
    let id = account.id();
    let mut asked = vec![(
        "rds:CreateDBSnapshot",
        format!("arn:aws:rds:us-east-1:{id}:db:shop-db"),
    )];
    let writes = [
        "rds:AddTagsToResource",
        "rds:CopyDBSnapshot",
        "rds:CreateDBSnapshot",
        "rds:DeleteDBSnapshot",
        "rds:ModifyDBSnapshotAttribute",
    ];
    let listed = PERMISSIONS.iter().filter(|permission| {
        let writes = matches!(permission.needed, Needed::Apply | Needed::SometimesToApply);
        permission.action.starts_with("rds:") && writes
    });
    let listed: BTreeSet<&str> = listed.map(|permission| permission.action).collect();
    assert_eq!(listed, writes.into());
    for write in writes {
        asked.push((write, snapshot("us-east-1", id, MADE)));
        asked.push((write, snapshot("eu-west-1", id, MADE)));
    }
    let point = format!("arn:aws:s3:::{}/a.json", outputs["RestorePointBucketName"]);
    asked.push(("s3:PutObject", point.clone()));
    asked.push(("s3:DeleteObject", point));
    for role in ["SnapshotRotationRoleArn", "PlanRoleArn"] {
        let role = account.role(&outputs[role]).await.unwrap();
        may_not(&role, &asked, "us-east-1", &OWN).await;
        may_not(&role, &asked, "eu-west-1", &OWN).await;
        // What a plan needs is there.
        for permission in PERMISSIONS {
            if permission.needed <= Needed::Advice {
                let on = permission.resource("aws", "us-east-1", id, "*");
                let judged = role.judge(permission.action, &on).await.unwrap();
                assert_eq!(judged, Decision::Allowed, "{}", permission.action);
            }
        }
    }
}

#[tokio::test]
async fn the_other_account_is_entered_with_the_external_id_alone() {
    let Runs { copies, other, .. } = recorded().await;
    let assumed = copies.calls.iter().find(|call| call.is("sts:AssumeRole"));
    let arn = assumed.unwrap().resource.as_deref().unwrap();
    assert!(arn.contains(other.0.id()), "{arn}");
    let name = arn.rsplit('/').next().unwrap();
    let role = other.0.iam().get_role().role_name(name).send().await;
    let role = role.unwrap().role.unwrap();
    let trust = role.assume_role_policy_document().unwrap().to_owned();
    assert!(trust.contains(EXTERNAL_ID), "{trust}");
    assert_eq!(json!(copies.report.gaps), json!([]));
}
