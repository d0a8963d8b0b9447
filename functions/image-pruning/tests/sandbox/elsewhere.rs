//! What other accounts and Regions use is never deleted, once the policy names
//! them.

use steward::engine::Mode;
use steward::report::Status;
use steward_sandbox::faults::{At, Fault, FaultClient};
use steward_sandbox::{Account, Repository};

use crate::stage::{STRICT, Stage, going, kept_for, sorted};
use crate::starts_tasks::rule;

pub(crate) fn with_elsewhere(entries: &str) -> String {
    STRICT.replace("in_use: {", &format!("in_use: {{elsewhere: [{entries}], "))
}

pub(crate) fn role_of(account: &Account) -> String {
    format!("arn:aws:iam::{}:role/steward-reads", account.id())
}

/// A service, an older definition that a rule starts, and a Lambda function
/// somewhere, all with images of `repo`.
async fn consume(there: &Account, stage: &Stage, repo: &Repository, name: &str) -> Vec<String> {
    let mut used = Vec::new();
    for what in ["service", "rule", "function"] {
        let tag = format!("{name}-{what}");
        used.push(stage.image(repo, &tag, 60, &[&tag]).await);
        let image = repo.pinned(used.last().unwrap());
        match what {
            "service" => {
                there.cluster("shop").await.unwrap();
                let task = there.task_definition("web", &image).await.unwrap();
                there.service("shop", "web", &task, 1).await.unwrap();
            }
            "rule" => {
                let older = there.task_definition("job", &image).await.unwrap();
                there
                    .task_definition("job", "public.ecr.aws/nginx/nginx:1")
                    .await
                    .unwrap();
                rule(there, "default", "job", &older).await;
            }
            _ => {
                there.image_function("thumbs", &image).await.unwrap();
            }
        }
    }
    used
}

#[tokio::test]
async fn keeps_what_another_account_and_another_region_use() {
    let stage = Stage::new();
    let other = Stage::new().account;
    let repo = stage.account.repository("shop/web").await.unwrap();
    let newest = stage.image(&repo, "newest", 20, &["newest"]).await;
    let unused = stage.image(&repo, "unused", 50, &[]).await;
    let there = consume(&other, &stage, &repo, "other").await;
    let ireland = stage.account.region("eu-west-1");
    let mut used = consume(&ireland, &stage, &repo, "ireland").await;
    used.extend(there.clone());

    let without = stage.plan(STRICT).await;
    assert_eq!(
        going(&without),
        sorted(used.iter().chain([&unused]).cloned()),
        "nobody is asked who is not named"
    );

    let policy = with_elsewhere(&format!(
        "{{role_arn: \"{}\", external_id: \"shop\", regions: [us-east-1, us-west-2]}}, \
         {{regions: [eu-west-1]}}",
        role_of(&other)
    ));
    let report = stage.apply(&policy).await;

    assert_eq!(report.status, Status::Applied, "{report:#?}");
    assert_eq!(going(&report), [unused]);
    used.push(newest);
    assert_eq!(sorted(repo.digests().await.unwrap()), sorted(used));
    let reasons = [
        "in_use_by_task",
        "started_by_rule",
        "in_use_by_lambda_function",
    ];
    for (digest, reason) in there.iter().zip(reasons) {
        assert_eq!(kept_for(&report, digest), Some(reason));
        let line = report.kept.iter().find(|line| line.reason == reason);
        let named = format!("in {}/us-east-1", other.id());
        let examples = &line.unwrap().examples;
        let told = |example: &String| example.contains(&named) && example.contains(digest);
        assert!(examples.iter().any(told), "{examples:?}");
    }
}

#[tokio::test]
async fn a_role_that_cannot_be_assumed_is_one_gap_that_holds_everything_back() {
    let stage = Stage::new();
    let other = Stage::new().account;
    let repo = stage.account.repository("shop/web").await.unwrap();
    stage.image(&repo, "newest", 20, &["newest"]).await;
    let unused = stage.image(&repo, "unused", 50, &[]).await;
    let role = role_of(&other);
    let policy = with_elsewhere(&format!(
        "{{role_arn: \"{role}\", regions: [us-east-1, eu-west-1]}}"
    ));
    let client = FaultClient::new(stage.account.http_client())
        .with(At::every("sts:AssumeRole"), Fault::Deny);
    let config = stage.account.sdk_config_with(client);

    let run = stage
        .run_as(config, &policy, Mode::Apply, None, serde_json::json!({}))
        .await;

    let report = run.report;
    assert_eq!(report.gaps.len(), 1, "{:#?}", report.gaps);
    let gap = &report.gaps[0];
    assert!(
        gap.read.contains(&format!("sts:AssumeRole of {role}"))
            && gap.read.contains("AccessDenied"),
        "{gap:?}"
    );
    assert_eq!(gap.grant, format!("sts:AssumeRole on {role}"));
    assert!(repo.has(&unused).await.unwrap());
}

#[tokio::test]
async fn a_read_that_is_denied_elsewhere_names_the_place_and_the_role() {
    let stage = Stage::new();
    let other = Stage::new().account;
    let repo = stage.account.repository("shop/web").await.unwrap();
    stage.image(&repo, "newest", 20, &["newest"]).await;
    let unused = stage.image(&repo, "unused", 50, &[]).await;
    let role = role_of(&other);
    let policy = with_elsewhere(&format!("{{role_arn: \"{role}\", regions: [eu-west-1]}}"));
    let denied = steward_sandbox::Fault::of("lambda", "ListFunctions", "AccessDeniedException");
    let there = other.region("eu-west-1").control();
    there.fault(&denied).await.unwrap();

    let report = stage.apply(&policy).await;

    assert_eq!(report.gaps.len(), 1, "{:#?}", report.gaps);
    let gap = &report.gaps[0];
    let place = format!("in {}/eu-west-1: lambda:ListFunctions", other.id());
    assert!(gap.read.starts_with(&place), "{gap:?}");
    assert_eq!(gap.grant, format!("lambda:ListFunctions to {role}"));
    assert!(repo.has(&unused).await.unwrap());
}
