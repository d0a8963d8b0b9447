//! `steward doctor FUNCTION`: what one function needs, deployed or not.

use serde_json::{Value, json};
use steward_sandbox::Fault;

use super::{Desk, desk, status, text};

/// A role that may do this, and its ARN.
pub(crate) async fn role(desk: &Desk, name: &str, statements: Value) -> String {
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
    findings_of("image-pruning", desk, arguments)
}

/// The same of another function.
fn findings_of(function: &str, desk: &Desk, arguments: &[&str]) -> (Vec<Value>, i32) {
    let base = ["doctor", function, "--json"];
    let output = desk.steward(&[&base[..], arguments].concat());
    let answer: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", text(&output)));
    let findings = answer["findings"].as_array().unwrap().clone();
    (findings, status(&output))
}

pub(crate) fn about<'a>(findings: &'a [Value], check: &str) -> Vec<(&'a str, &'a str)> {
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

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_tries_permissions_that_are_had_by_a_tag_with_the_tags_that_are_named() {
    let desk = desk("the_doctor_tagged");
    desk.account.ledger().await.unwrap();
    std::fs::write(
        desk.directory.join("remedies.yaml"),
        "version: 1\nalarms: {include: [\"*\"]}\n\
         remedies: {replace_tasks: {of: {include: [\"*\"]}}}\n",
    )
    .unwrap();
    let scoped = json!([
        {"Effect": "Allow", "NotAction": "ecs:StopTask", "Resource": "*"},
        {"Effect": "Allow", "Action": "ecs:StopTask", "Resource": "*",
         "Condition": {"StringLike": {"aws:ResourceTag/steward:environment": "shop*"}}},
    ]);
    let role = role(&desk, "scoped", scoped).await;
    let look = |more: &[&str]| {
        let base = ["--role", role.as_str(), "--policy", "remedies.yaml"];
        let (found, _) = findings_of("alarm-remediation", &desk, &[&base[..], more].concat());
        let about = about(&found, "permissions");
        let of_tasks = about
            .iter()
            .find(|(_, text)| text.starts_with("ecs:StopTask "));
        of_tasks.map(|(state, text)| ((*state).to_owned(), (*text).to_owned()))
    };
    let (state, text) = look(&[]).unwrap();
    assert_eq!(state, "warning", "{text}");
    assert!(text.contains("without tags"), "{text}");
    assert_eq!(look(&["--environment", "shop-test"]), None);
    let (state, text) = look(&["--environment", "shop-test", "--environment", "bank"]).unwrap();
    assert_eq!(state, "bad", "{text}");
    assert!(text.contains("steward:environment=bank"), "{text}");
}
