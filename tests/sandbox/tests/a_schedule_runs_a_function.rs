//! The automation stack and its schedules, with a stand-in for the functions: a
//! script that speaks Lambda's runtime API as the real binaries do.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::Result;
use jiff::Timestamp;
use serde_json::json;
use steward_sandbox::{Parts, Sandbox, deploy, install};

/// Answers with the event that woke it and its environment, and logs the answer.
const STAND_IN: &str = r#"
import json, os, sys, urllib.request
api = "http://" + os.environ["AWS_LAMBDA_RUNTIME_API"] + "/2018-06-01/runtime/invocation/"
while True:
    with urllib.request.urlopen(api + "next") as woken:
        request, event = woken.headers["Lambda-Runtime-Aws-Request-Id"], json.load(woken)
    report = {
        "schema_version": 1, "status": "planned", "event": event, "account": os.environ["AWS_ACCESS_KEY_ID"],
        "environment": {k: v for k, v in os.environ.items() if k.startswith(("AWS_ENDPOINT", "STEWARD_"))},
    }
    failed = isinstance(event, dict) and event.get("fail")
    print(json.dumps({"level": "INFO", "fields": {"message": "done", "report": json.dumps(report)}}), flush=True)
    body = {"errorType": "Failed", "errorMessage": "as told"} if failed else report
    where = api + request + ("/error" if failed else "/response")
    urllib.request.urlopen(urllib.request.Request(where, json.dumps(body).encode(), method="POST")).read()
"#;

fn stand_in() -> Result<PathBuf> {
    let script = Path::new(env!("CARGO_TARGET_TMPDIR")).join("stand-in");
    fs::write(
        &script,
        format!(
            "#!{}\n{STAND_IN}",
            install::ensure()?.python().canonicalize()?.display()
        ),
    )?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    Ok(script)
}

#[expect(
    clippy::disallowed_methods,
    reason = "ministack fires schedules by the clock on the wall."
)]
fn now() -> Timestamp {
    Timestamp::now()
}

#[tokio::test]
async fn a_fired_schedule_wakes_its_function_in_the_default_account() -> Result<()> {
    // Its own sandbox: the default account is everybody's.
    let sandbox = Sandbox::start(Parts::Both)?;
    let account = sandbox.default_account();
    let stand_in = stand_in()?;
    let packages = [
        ("image-pruning", stand_in.as_path()),
        ("snapshot-rotation", stand_in.as_path()),
        ("scheduled-scaling", stand_in.as_path()),
        ("alarm-remediation", stand_in.as_path()),
    ];
    // Its ticks come every minute, and would answer as well.
    let still = [("AlarmRemediationScheduleState", "DISABLED")];
    let deployed = deploy::automation(&account, &packages, &still).await?;

    for (function, operation, ledger) in [
        ("image-pruning", "prune", None),
        ("snapshot-rotation", "rotate", None),
        ("scheduled-scaling", "scale", Some("steward-ledger")),
        ("alarm-remediation", "remediate", Some("steward-ledger")),
    ] {
        let run = deployed.function(function)?.fire_schedule(now()).await?;

        let (event, environment) = (&run["event"], &run["environment"]);
        // As the stack's schedule says, with what Scheduler fills in.
        assert_eq!(event["operation"], operation, "{event}");
        let schedule = event["scheduleArn"].as_str().unwrap_or_default();
        let group = "arn:aws:scheduler:us-east-1:123456789012:schedule/steward/";
        assert!(schedule.starts_with(group), "{event}");
        assert_eq!(event["attemptNumber"], "1", "{event}");
        assert!(!event.to_string().contains("<aws."), "{event}");
        assert_eq!(environment["STEWARD_MODE"], "plan");
        let topic = deployed.output("TopicArn")?;
        assert_eq!(environment["STEWARD_NOTIFY_TOPIC"], topic);
        assert_eq!(environment["STEWARD_LEDGER"].as_str(), ledger);
        let endpoints = sandbox.endpoints();
        assert_eq!(environment["AWS_ENDPOINT_URL_ECR"], endpoints.moto());
        assert_eq!(
            environment["AWS_ENDPOINT_URL"].as_str(),
            endpoints.ministack()
        );
    }
    for switch in [
        "all",
        "image-pruning",
        "snapshot-rotation",
        "scheduled-scaling",
        "alarm-remediation",
    ] {
        let switch = format!("/steward/kill-switch/{switch}");
        let parameter = account.ssm().get_parameter().name(&switch).send().await?;
        assert_eq!(
            parameter.parameter().and_then(|found| found.value()),
            Some("off"),
            "{switch}"
        );
    }

    // An update of the stack counts from the next run on.
    let apply = [
        ("ImagePruningMode", "apply"),
        (
            "ImagePruningPolicy",
            "{version: 1, repositories: {include: ['*']}}",
        ),
    ];
    let deployed = deploy::automation(&account, &packages[..1], &apply).await?;
    let function = deployed.function("image-pruning")?;
    let run = function.invoke(&json!({"operation": "else"})).await?;
    assert_eq!(run["environment"]["STEWARD_MODE"], "apply");
    assert_eq!(run["event"], json!({"operation": "else"}));
    let run = function.fire_schedule(now()).await?;
    assert_eq!(run["environment"]["STEWARD_MODE"], "apply");

    let error = function.invoke(&json!({"fail": true})).await.unwrap_err();
    assert!(error.to_string().contains("as told"), "{error:#}");
    // What is deployed without a package is there, and nothing of it can be run.
    assert!(deployed.function("snapshot-rotation").is_err());
    Ok(())
}

#[tokio::test]
async fn deploying_into_another_account_is_refused() -> Result<()> {
    let account = Sandbox::shared()?.account();
    let nothing = Path::new("/dev/null");
    let error = deploy::automation(&account, &[("image-pruning", nothing)], &[])
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("cannot be deployed into"),
        "{error:#}"
    );
    Ok(())
}
