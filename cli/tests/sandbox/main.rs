//! The real `steward` binary against the sandbox, as an operator uses it.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test fails by panicking, helpers included"
)]

mod deployment;
mod doctor;
mod history;
mod preview;
mod scaling;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use jiff::{SignedDuration, Timestamp};
use steward_sandbox::{Account, Fault, Image, Parts, Repository, Sandbox};

const POLICY: &str = r#"
version: 1
repositories: {include: ["*"]}
retention: {keep_newest: 1, keep_younger_than: 1d, remove_untagged_after: 1d}
limits: {max_delete_share_percent: 100}
"#;

struct Desk {
    sandbox: Sandbox,
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
        sandbox,
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
        self.steward_where(arguments, &[])
    }

    /// With these environment variables on top.
    fn steward_where(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_steward"));
        command
            .env_clear()
            .envs(self.account.env())
            .envs(variables.iter().copied())
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
    repo.delete(&gone).await.unwrap();
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
