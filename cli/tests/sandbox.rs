//! The real `steward` binary against the sandbox, as an operator uses it.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test fails by panicking, helpers included"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use aws_sdk_ecr::types::ImageIdentifier;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use steward_sandbox::{Account, Fault, Image, Parts, Repository, Sandbox};

const POLICY: &str = r#"
version: 1
repositories: {include: ["*"]}
retention: {keep_newest: 1, keep_younger_than: 1d, remove_untagged_after: 1d}
limits: {max_delete_share_percent: 100}
"#;

struct Desk {
    _sandbox: Sandbox,
    account: Account,
    directory: PathBuf,
}

/// An account of its own, with the plumbing too, because `steward` reads kill
/// switches and asks who it is.
fn desk(name: &str) -> Desk {
    let sandbox = Sandbox::start(Parts::Both).expect("the sandbox starts");
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join("policy.yaml"), POLICY).unwrap();
    Desk {
        account: sandbox.account(),
        _sandbox: sandbox,
        directory,
    }
}

impl Desk {
    async fn repository(&self, name: &str, old: i64) -> Repository {
        let repo = self.account.repository(name).await.unwrap();
        let images: Vec<Image> = (0..=old)
            .map(|n| Image {
                tags: vec![format!("v{n}")],
                pushed_at: Some(now() - SignedDuration::from_hours(24 * (100 - n))),
                ..Image::default()
            })
            .collect();
        repo.fill(&images).await.unwrap();
        repo
    }

    fn steward(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_steward"));
        command
            .env_clear()
            .envs(self.account.env())
            .args(arguments)
            .current_dir(&self.directory);
        command.output().unwrap()
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the binary goes by the machine's clock"
)]
fn now() -> Timestamp {
    Timestamp::now()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn status(output: &Output) -> i32 {
    output.status.code().unwrap_or(-1)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_looks_saves_reviews_and_applies() {
    let desk = desk("an_operator");
    let repo = desk.repository("shop/web", 5).await;

    // A first look needs no set-up, and changes nothing.
    let look = desk.steward(&["image-pruning", "plan"]);
    assert_eq!(status(&look), 0, "{}", text(&look));
    assert!(
        text(&look).contains("no policy was given"),
        "{}",
        text(&look)
    );

    let plan = desk.steward(&[
        "image-pruning",
        "plan",
        "--policy",
        "policy.yaml",
        "--plan-out",
        "plan.json",
        "--detailed-exitcode",
    ]);
    assert_eq!(status(&plan), 10, "{}", text(&plan));
    assert!(
        text(&plan).contains("would delete 5 images"),
        "{}",
        text(&plan)
    );
    assert_eq!(repo.digests().await.unwrap().len(), 6);

    // One image goes by other hands before the plan is applied, and one is
    // pushed that the plan does not know.
    let gone = repo.digest_of("v0").await.unwrap();
    let id = ImageIdentifier::builder().image_digest(&gone).build();
    let ecr = desk.account.ecr();
    ecr.batch_delete_image()
        .repository_name("shop/web")
        .image_ids(id)
        .send()
        .await
        .unwrap();
    let unknown = Image {
        pushed_at: Some(now() - SignedDuration::from_hours(24 * 200)),
        ..Image::default()
    };
    let unknown = repo.fill(&[unknown]).await.unwrap().remove(0);

    let apply = desk.steward(&[
        "image-pruning",
        "apply",
        "--policy",
        "policy.yaml",
        "--plan",
        "plan.json",
        "--json",
    ]);
    assert_eq!(status(&apply), 0, "{}", text(&apply));
    let report: steward::report::Report = serde_json::from_slice(&apply.stdout).unwrap();
    assert_eq!((report.summary.done, report.summary.already_done), (4, 1));
    assert!(report.sums_hold());
    assert!(repo.has(&unknown).await.unwrap());

    let rest = desk.steward(&["image-pruning", "apply", "--policy", "policy.yaml"]);
    assert_eq!(status(&rest), 0, "{}", text(&rest));
    assert!(!repo.has(&unknown).await.unwrap());
    let nothing = desk.steward(&[
        "image-pruning",
        "plan",
        "--policy",
        "policy.yaml",
        "--detailed-exitcode",
    ]);
    assert_eq!(status(&nothing), 0, "{}", text(&nothing));
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_gaps_failures_and_the_kill_switch_have_their_exit_status() {
    let desk = desk("exit_status");
    let repo = desk.repository("shop/web", 5).await;
    let control = desk.account.control();
    let apply = ["image-pruning", "apply", "--policy", "policy.yaml"];

    let no_policy = desk.steward(&["image-pruning", "apply"]);
    assert_eq!(status(&no_policy), 2, "{}", text(&no_policy));

    let denied = Fault::of("ecs", "ListClusters", "AccessDeniedException");
    control.fault(&denied).await.unwrap();
    let blind = desk.steward(&apply);
    assert_eq!(status(&blind), 3, "{}", text(&blind));
    assert!(
        text(&blind).contains("ecs:ListClusters"),
        "{}",
        text(&blind)
    );
    control.clear_faults().await.unwrap();

    let ssm = desk.account.ssm();
    let switch = "/steward/kill-switch/image-pruning";
    for (value, expected) in [("on", 3), ("off", 5)] {
        ssm.put_parameter()
            .name(switch)
            .value(value)
            .r#type(aws_sdk_ssm::types::ParameterType::String)
            .overwrite(true)
            .send()
            .await
            .unwrap();
        let victim = repo.digest_of("v3").await.unwrap();
        let fault = Fault {
            service: "ecr".into(),
            operation: "BatchDeleteImage".into(),
            image_failure: Some(steward_sandbox::ImageFailure {
                digest: victim,
                code: "KmsError".into(),
            }),
            ..Fault::default()
        };
        control.fault(&fault).await.unwrap();
        let run = desk.steward(&apply);
        assert_eq!(status(&run), expected, "{value}: {}", text(&run));
    }
    assert_eq!(repo.digests().await.unwrap().len(), 2);

    let all_fail = Fault::of("ecr", "BatchDeleteImage", "ServerException");
    control.clear_faults().await.unwrap();
    control.fault(&all_fail).await.unwrap();
    let failed = desk.steward(&apply);
    assert_eq!(status(&failed), 1, "{}", text(&failed));
}

/// A role that may do this, and its ARN.
async fn role(desk: &Desk, name: &str, statements: Value) -> String {
    let iam = desk.account.iam();
    let trust = json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Action": "sts:AssumeRole",
        "Principal": {"Service": "lambda.amazonaws.com"},
    }]});
    let role = iam
        .create_role()
        .role_name(name)
        .assume_role_policy_document(trust.to_string())
        .send()
        .await
        .unwrap();
    iam.put_role_policy()
        .role_name(name)
        .policy_name("steward")
        .policy_document(json!({"Version": "2012-10-17", "Statement": statements}).to_string())
        .send()
        .await
        .unwrap();
    role.role.unwrap().arn
}

/// The findings of `steward doctor image-pruning --json` with these arguments,
/// and its exit status.
fn findings(desk: &Desk, arguments: &[&str]) -> (Vec<Value>, i32) {
    let base = ["doctor", "image-pruning", "--json"];
    let output = desk.steward(&[&base[..], arguments].concat());
    let answer: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", text(&output)));
    let findings = answer["findings"].as_array().unwrap().clone();
    (findings, status(&output))
}

fn about<'a>(findings: &'a [Value], check: &str) -> Vec<(&'a str, &'a str)> {
    findings
        .iter()
        .filter(|f| f["check"] == check)
        .map(|f| (f["state"].as_str().unwrap(), f["found"].as_str().unwrap()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_finds_what_a_function_lacks() {
    let desk = desk("the_doctor");
    desk.repository("shop/web", 5).await;
    for name in ["all", "image-pruning"] {
        desk.account
            .ssm()
            .put_parameter()
            .name(format!("/steward/kill-switch/{name}"))
            .value("off")
            .r#type(aws_sdk_ssm::types::ParameterType::String)
            .send()
            .await
            .unwrap();
    }

    let everything = json!([{"Effect": "Allow", "Action": "*", "Resource": "*"}]);
    let able = role(&desk, "able", everything).await;
    let (found, exit) = findings(&desk, &["--role", &able, "--policy", "policy.yaml"]);
    assert_eq!(exit, 0, "{found:#?}");
    let here = format!("account {}, as ", desk.account.id());
    assert!(
        about(&found, "identity")[0].1.starts_with(&here),
        "{found:#?}"
    );
    assert_eq!(
        about(&found, "region"),
        [("good", desk.account.region_name())]
    );
    assert_eq!(about(&found, "kill_switches"), [("good", "off")]);
    assert_eq!(about(&found, "policy")[0].0, "good");
    assert_eq!(
        about(&found, "plan"),
        [("good", "6 observed, 1 kept, 0 left for later, 5 planned")]
    );
    let permissions = about(&found, "permissions");
    assert_eq!(permissions.len(), 1, "{permissions:?}");
    assert_eq!(permissions[0].0, "good");

    // A role that is scoped to another repository, and may not list tasks.
    let narrow = json!([
        {"Effect": "Allow", "Action": "*", "Resource": "*"},
        {"Effect": "Deny", "Action": "ecs:ListTasks", "Resource": "*"},
        {"Effect": "Deny", "Action": "ecr:BatchDeleteImage",
         "NotResource": "arn:aws:ecr:*:*:repository/other"},
    ]);
    let narrow = role(&desk, "narrow", narrow).await;
    let (found, exit) = findings(&desk, &["--role", &narrow, "--policy", "policy.yaml"]);
    assert_eq!(exit, 1, "{found:#?}");
    let permissions = about(&found, "permissions");
    let about_action = |action: &str| {
        let mut found = permissions
            .iter()
            .filter(|(_, text)| text.starts_with(action));
        found
            .next()
            .copied()
            .unwrap_or_else(|| panic!("{action}: {permissions:?}"))
    };
    let (state, text) = about_action("ecs:ListTasks ");
    assert_eq!(state, "bad");
    assert!(text.contains("a policy denies it; needed always"), "{text}");
    let (state, text) = about_action("ecr:BatchDeleteImage ");
    assert_eq!(state, "bad");
    assert!(
        text.contains("repository/shop/web: a policy denies it; needed to apply"),
        "{text}"
    );
    assert_eq!(permissions.len(), 3, "{permissions:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_tells_what_it_cannot_see_and_what_a_plan_could_not() {
    let desk = desk("the_doctor_blind");
    desk.repository("shop/web", 1).await;
    desk.account
        .control()
        .fault(&Fault::of("ecs", "ListClusters", "AccessDeniedException"))
        .await
        .unwrap();
    std::fs::write(
        desk.directory.join("wrong.yaml"),
        "version: 1\nretentions: {}\n",
    )
    .unwrap();

    let (found, exit) = findings(&desk, &[]);
    assert_eq!(exit, 1);
    assert_eq!(about(&found, "policy")[0].0, "warning");
    let (state, switches) = about(&found, "kill_switches")[0];
    assert_eq!(state, "warning");
    assert!(
        switches.contains("/steward/kill-switch/all does not exist"),
        "{switches}"
    );
    let (state, gap) = about(&found, "gap")[0];
    assert_eq!(state, "bad");
    assert!(
        gap.contains("AccessDenied") && gap.contains("everything"),
        "{gap}"
    );

    let (found, exit) = findings(&desk, &["--policy", "wrong.yaml"]);
    assert_eq!(exit, 1);
    let (state, problem) = about(&found, "policy")[0];
    assert_eq!(state, "bad");
    assert!(problem.contains("retentions"), "{problem}");
    assert!(about(&found, "plan").is_empty(), "{found:#?}");

    let shown = desk.steward(&["doctor", "image-pruning"]);
    assert_eq!(status(&shown), 1);
    let shown = text(&shown);
    assert!(shown.contains("wrong    gap: ecs:ListClusters"), "{shown}");
    assert!(
        shown.contains("if it was denied, allow ecs:ListClusters"),
        "{shown}"
    );
}
