//! The function as the automation stack deploys it, with the credentials of its
//! role, where IAM judges every request.

use std::path::Path;

use aws_sdk_lambda::primitives::Blob;
use serde_json::json;
use steward::engine::Clock;
use steward::report::{ActionOutcome, Report, Status};
use steward_sandbox::{Account, Parts, Sandbox, Stack, seed};

/// Every image that nothing uses, in every repository. The role is for `shop/*`.
const POLICY: &str = "
version: 1
repositories: {include: ['*']}
retention: {keep_newest: 3, keep_younger_than: 30d, remove_untagged_after: 30d}
in_use: {restore_points: ['s3://steward-restore-points-123456789012-us-east-1/points/']}
limits: {max_delete_share_percent: 100, max_deletes_per_run: 100000}";

const FUNCTION: &str = "steward-image-pruning";

/// Deploys the automation in a mode; answers the name of the function's role.
async fn deployed(account: &Account, mode: &str) -> String {
    let stack = Stack {
        name: "steward",
        template: "automation.yaml",
        packages: &[(
            "image-pruning",
            Path::new(env!("CARGO_BIN_EXE_image-pruning")),
        )],
        parameters: &[
            ("ImagePruningMode", mode),
            ("ImagePruningPolicy", POLICY),
            ("ImagePruningReadsRestorePoints", "true"),
        ],
    };
    let outputs = account.deploy_stack(&stack).await.unwrap();
    let role = &outputs["ImagePruningRoleArn"];
    role.rsplit('/').next().unwrap().to_owned()
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

/// Whether the function failed, and what it answered.
async fn invoke(account: &Account) -> (bool, String) {
    let event = Blob::new(json!({"operation": "prune"}).to_string());
    let invoke = account.lambda_runtime().invoke().function_name(FUNCTION);
    let answer = invoke.payload(event).send().await.unwrap();
    let text = String::from_utf8(answer.payload.unwrap().into_inner()).unwrap();
    (answer.function_error.is_some(), text)
}

async fn run(account: &Account) -> Report {
    let (failed, text) = invoke(account).await;
    assert!(!failed, "{text}");
    serde_json::from_str(&text).unwrap()
}

async fn images(account: &Account, repositories: &[&str]) -> usize {
    let mut count = 0;
    for name in repositories {
        let repository = account.existing_repository(name);
        count += repository.digests().await.unwrap().len();
    }
    count
}

#[tokio::test]
async fn it_reads_all_it_needs_and_deletes_only_where_its_role_lets_it() {
    // Its own sandbox: functions act in the default account, and none of the
    // others judges them.
    let sandbox = tokio::task::spawn_blocking(|| Sandbox::start(Parts::Enforcing));
    let sandbox = sandbox.await.unwrap().unwrap();
    let account = sandbox.default_account();
    let reference = seed::reference_system(&account, Clock::System.now());
    let reference = reference.await.unwrap();
    let repositories = reference.repositories();
    let before = images(&account, &repositories).await;

    // Deployed to plan, and then told otherwise behind the stack's back.
    let role = deployed(&account, "plan").await;
    let lambda = account.lambda_runtime();
    let configuration = lambda.get_function_configuration();
    let configuration = configuration.function_name(FUNCTION).send().await.unwrap();
    let mut variables = configuration.environment.unwrap().variables.unwrap();
    variables.insert("STEWARD_MODE".to_owned(), "apply".to_owned());
    let environment = aws_sdk_lambda::types::Environment::builder();
    let update = lambda.update_function_configuration();
    let update = update.function_name(FUNCTION);
    let environment = environment.set_variables(Some(variables)).build();
    update.environment(environment).send().await.unwrap();

    let report = run(&account).await;

    assert_eq!(report.gaps, [], "a plan's role reads everything");
    assert_eq!(report.summary.done, 0, "{:?}", report.summary);
    assert!(report.summary.failed > 100, "{:?}", report.summary);
    assert_eq!(images(&account, &repositories).await, before);

    // Deployed to apply, and one permission after the other taken away.
    assert_eq!(deployed(&account, "apply").await, role);
    for action in [
        "ecs:ListTasks",
        "s3:ListBucket",
        "ssm:GetParameters",
        "ssm:GetParameter",
    ] {
        deny(&account, &role, Some(action)).await;

        let (failed, text) = invoke(&account).await;

        assert!(text.contains(action), "{action} is not named: {text}");
        if action == "ssm:GetParameter" {
            // Without its policy it cannot even begin.
            assert!(failed && text.contains("UnreadablePolicy"), "{text}");
        } else {
            let report: Report = serde_json::from_str(&text).unwrap();
            assert_eq!(report.status, Status::Refused, "{action}");
            assert_eq!(report.summary.done, 0, "{action}");
        }
        let there = images(&account, &repositories).await;
        assert_eq!(there, before, "{action}");
    }

    // As it is deployed.
    deny(&account, &role, None).await;

    let report = run(&account).await;

    assert_eq!(report.gaps, []);
    assert_eq!(report.refusals, []);
    let said = report
        .warnings
        .iter()
        .filter(|warning| warning.contains("could not be sent"));
    assert_eq!(said.count(), 0, "{:?}", report.warnings);
    assert_eq!(report.status, Status::Partial);
    for line in &report.actions {
        match line.resource.starts_with("shop/") {
            true => assert_eq!(line.outcome, ActionOutcome::Done, "{line:?}"),
            false => {
                assert_eq!(line.outcome, ActionOutcome::Failed, "{line:?}");
                let error = line.error.as_deref().unwrap();
                assert!(
                    error.contains("AccessDenied") && error.contains("ecr:BatchDeleteImage"),
                    "{error}"
                );
            }
        }
    }
    assert!(report.summary.done > 50, "{:?}", report.summary);
    assert!(report.summary.failed > 10, "{:?}", report.summary);
    assert_eq!(
        images(&account, &repositories).await,
        before - report.summary.done
    );
    for used in reference.in_use() {
        let repository = account.existing_repository(&used.repository);
        assert!(
            repository.digests().await.unwrap().contains(&used.digest),
            "{used:?} is gone"
        );
    }
}
