//! The real binary where no AWS is needed: what it says about wrong arguments,
//! policies, plans, events and reports, and how it ends.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot be arranged has to fail"
)]

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::JoinHandle;

use serde_json::{Value, json};

/// A directory that is gone after the test.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

struct Ended {
    status: i32,
    out: String,
    err: String,
}

impl Ended {
    /// Ended with this status, nothing on standard output, and one line on
    /// standard error that holds each of `parts`.
    #[track_caller]
    fn says(&self, status: i32, parts: &[&str]) {
        assert_eq!(self.status, status, "{}", self.err);
        assert_eq!(self.out, "");
        assert!(self.err.starts_with("steward: "), "{}", self.err);
        assert_eq!(self.err.lines().count(), 1, "{}", self.err);
        for part in parts {
            assert!(self.err.contains(part), "{part:?} is not in: {}", self.err);
        }
    }
}

/// Without credentials, and with a Region whose AWS cannot be reached: a test
/// that gets as far as calling it fails.
fn steward(arguments: &[&str], input: &str) -> Ended {
    steward_in(&[], arguments, input)
}

/// The same with something more in the environment.
fn steward_in(environment: &[(&str, &str)], arguments: &[&str], input: &str) -> Ended {
    let mut child = Command::new(env!("CARGO_BIN_EXE_steward"))
        .args(arguments)
        .env_clear()
        .env("AWS_REGION", "us-east-1")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        .env("AWS_MAX_ATTEMPTS", "1")
        .envs(environment.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that does not read its input may have ended by now.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    Ended {
        status: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

const POLICY: &str = "version: 1\nrepositories:\n  include: [\"*\"]\n";

fn report(status: &str) -> Value {
    json!({
        "schema_version": 1, "function": "image-pruning", "operation": "prune", "status": status,
        "mode": "apply", "run_id": "r", "trigger": "schedule", "account": "123456789012",
        "region": "eu-central-1", "started_at": "2026-11-22T12:00:00Z",
        "finished_at": "2026-11-22T12:00:01Z", "policy_digest": "sha256:1",
        "plan_digest": "sha256:2",
        "summary": {"observed": 0, "kept": 0, "deferred": 0, "planned": 0, "done": 0,
                    "already_done": 0, "skipped": 0, "failed": 0},
        "actions": [], "actions_total": 0, "truncated": false, "kept": [], "refusals": [],
        "gaps": [], "warnings": [], "wait": null
    })
}

#[test]
fn wrong_arguments_are_usage_errors() {
    for arguments in [
        &["nonsense"][..],
        &["image-pruning", "nonsense"],
        &["image-pruning", "plan", "--nonsense"],
        &["image-pruning", "plan", "--plan", "a", "--plan-out", "b"],
        &["image-pruning", "plan", "--plan", "a", "--event", "b"],
        &["image-pruning", "plan", "--plan", "a", "--repository", "b"],
        &["image-pruning", "plan", "--event", "a", "--repository", "b"],
        &["image-pruning", "plan", "--force"],
        &["image-pruning", "plan", "--all", "--json"],
        &["image-pruning", "prune", "--mode", "delete"],
        &["report"],
        &["schema", "nonsense"],
        &["doctor", "nonsense"],
        // A policy is one function's.
        &["doctor", "--policy", "a"],
        &[],
        &["image-pruning"],
        // There is nothing to preview.
        &["image-pruning", "preview"],
        &["snapshot-rotation", "preview", "--all", "--json"],
        &["snapshot-rotation", "preview", "--plan", "a"],
        &[
            "snapshot-rotation",
            "preview",
            "--from-nothing",
            "--database",
            "a",
        ],
        &["scheduled-scaling", "preview"],
        &[
            "scheduled-scaling",
            "preview",
            "--policy",
            "a",
            "--days",
            "0",
        ],
        &[
            "scheduled-scaling",
            "preview",
            "--policy",
            "a",
            "--days",
            "32",
        ],
        &[
            "scheduled-scaling",
            "preview",
            "--policy",
            "a",
            "--from",
            "x",
        ],
        &["scheduled-scaling", "override"],
        &["scheduled-scaling", "override", "dev"],
        &["scheduled-scaling", "override", "dev", "awake"],
        &["scheduled-scaling", "override", "dev", "on", "--event", "a"],
        &[
            "scheduled-scaling",
            "override",
            "--plan",
            "a",
            "--for",
            "3h",
        ],
        &["scheduled-scaling", "plan", "dev"],
        &["alarm-remediation", "preview"],
        &["alarm-remediation", "approve"],
        &["alarm-remediation", "approve", "a", "b"],
        &["alarm-remediation", "approve", "a", "--alarm", "b"],
        &["alarm-remediation", "approve", "a", "--event", "b"],
        &["alarm-remediation", "sweep", "--alarm", "a"],
        &["alarm-remediation", "plan", "--alarm", "a", "--plan", "b"],
        &["alarm-remediation", "history", "--all", "--json"],
        &["alarm-remediation", "history", "--policy", "a"],
        &["alarm-remediation", "history", "shop-5xx"],
    ] {
        let ended = steward(arguments, "");
        assert_eq!(ended.status, 2, "{arguments:?}: {}", ended.err);
        assert_eq!(ended.out, "", "{arguments:?}");
        let helps = ended.err.contains("Usage:") || ended.err.contains("'--help'");
        assert!(helps, "{arguments:?}: {}", ended.err);
    }
}

#[test]
fn help_tells_of_every_command_and_exit_status() {
    let help = steward(&["--help"], "");
    assert_eq!(help.status, 0);
    for word in [
        "image-pruning",
        "alarm-remediation",
        "doctor",
        "report",
        "schema",
        "10 when a plan has changes",
    ] {
        assert!(help.out.contains(word), "{}", help.out);
    }
    let help = steward(&["image-pruning", "--help"], "");
    for word in ["plan ", "apply ", "prune "] {
        assert!(help.out.contains(word), "{}", help.out);
    }
    let help = steward(&["image-pruning", "plan", "--help"], "");
    assert!(
        help.out.starts_with("Look, decide and tell"),
        "{}",
        help.out
    );
    assert_eq!(steward(&["--version"], "").status, 0);
}

#[test]
fn a_role_that_is_none_is_told_with_what_is_allowed() {
    for role in [
        "steward",
        "arn:aws:iam::1:role/x",
        "arn:aws:iam::123456789012:user/x",
    ] {
        let ended = steward(&["doctor", "image-pruning", "--role", role], "");
        ended.says(
            2,
            &["--role", role, "allowed: arn:aws:iam::ACCOUNT:role/NAME"],
        );
    }
}

#[test]
fn a_topic_that_is_none_is_told_with_what_is_allowed() {
    let topic = "arn:aws:sns:eu-west-1:123456789012:news.fifo";
    let ended = steward(&["doctor", "image-pruning", "--topic", topic], "");
    ended.says(
        2,
        &["--topic", topic, "allowed: the ARN of a standard SNS topic"],
    );
}

#[test]
fn apply_without_a_policy_says_what_to_do() {
    let parts = [
        "apply needs --policy",
        "steward image-pruning plan --policy POLICY",
    ];
    steward(&["image-pruning", "apply"], "").says(2, &parts);
    let by_name = ["image-pruning", "prune", "--mode", "apply", "--json"];
    steward(&by_name, "").says(2, &["prune needs --policy"]);
}

#[test]
fn a_wrong_policy_is_told_by_path_value_and_what_is_allowed() {
    let directory = Directory::new("policies");
    for (name, text, parts) in [
        (
            "range.yaml",
            "version: 1\nretention:\n  keep_newest: 0\n",
            &[
                "range.yaml",
                "retention.keep_newest",
                "0 is not allowed",
                "1 to 10000",
            ][..],
        ),
        (
            "key.yaml",
            "version: 1\nretention:\n  keep_newst: 5\n",
            &[
                "key.yaml",
                "retention.keep_newst: unknown key",
                "did you mean \"keep_newest\"?",
                "allowed: keep_newest, ",
            ],
        ),
        (
            "period.yaml",
            "version: 1\nretention:\n  keep_younger_than: soon\n",
            &[
                "period.yaml",
                "retention.keep_younger_than",
                "\"soon\"",
                "14d, 6h, 15m",
            ],
        ),
        (
            "version.yaml",
            "repositories: {}\n",
            &["version: missing", "allowed: 1"],
        ),
        ("text.yaml", "a: [", &["text.yaml", "not YAML"]),
    ] {
        let path = directory.file(name, text);
        steward(&["image-pruning", "plan", "--policy", &path], "").says(2, parts);
        steward(&["image-pruning", "apply", "--json", "--policy", &path], "").says(2, parts);
    }
    steward(&["image-pruning", "plan", "--policy", "nowhere.yaml"], "")
        .says(2, &["nowhere.yaml cannot be read", "No such file"]);
    steward(&["image-pruning", "plan", "--policy", "s3://bucket"], "").says(
        2,
        &["\"s3://bucket\" is no policy source", "s3://bucket/key"],
    );
}

#[test]
fn a_policy_that_aws_does_not_give_is_told_with_the_permission() {
    let arguments = ["image-pruning", "plan", "--policy", "ssm:/steward/policy"];
    steward(&arguments, "").says(
        2,
        &["ssm:/steward/policy cannot be read", "ssm:GetParameter"],
    );
}

#[test]
fn a_wrong_event_is_told_with_what_is_expected() {
    let directory = Directory::new("events");
    for (name, text, parts) in [
        ("text.json", "{", &["is not JSON"][..]),
        ("list.json", "[]", &["expected an event as a JSON object"]),
        (
            "mode.json",
            r#"{"mode":"destroy"}"#,
            &["destroy", "plan", "apply"],
        ),
        (
            "operation.json",
            r#"{"operation":"rotate"}"#,
            &["\"rotate\" is not allowed", "prune"],
        ),
        (
            "scope.json",
            r#"{"operation":"prune","repositories":"web"}"#,
            &[
                "repositories",
                "\"web\"",
                "a list of one or more repository names",
            ],
        ),
        (
            "alarm.json",
            include_str!("../../shared/fixtures/events/alarm-metric.json"),
            &["does not take CloudWatch alarm events", "schedules"],
        ),
    ] {
        let path = directory.file(name, text);
        let parts: Vec<&str> = parts.iter().copied().chain([name]).collect();
        steward(&["image-pruning", "plan", "--event", &path], "").says(2, &parts);
    }
    steward(&["image-pruning", "plan", "--event", "-"], "nonsense")
        .says(2, &["event -", "is not JSON"]);
    steward(&["image-pruning", "plan", "--event", "nowhere.json"], "")
        .says(2, &["nowhere.json cannot be read", "No such file"]);
}

#[test]
fn a_wrong_plan_file_is_told_with_the_place() {
    let directory = Directory::new("plans");
    let plan = json!({
        "schema_version": 1, "function": "image-pruning", "operation": "prune",
        "account": "123456789012", "region": "us-east-1", "created_at": "2026-11-22T12:00:00Z",
        "policy_digest": "sha256:1", "plan_digest": "sha256:2", "scope": "everything",
        "actions": []
    });
    let with = |key: &str, value: Value| {
        let mut plan = plan.clone();
        plan[key] = value;
        plan.to_string()
    };
    let policy = directory.file("policy.yaml", POLICY);
    for (name, text, parts) in [
        (
            "text.json",
            "{".to_owned(),
            &["is not a plan file of image-pruning"][..],
        ),
        (
            "edited.json",
            plan.to_string(),
            &["plan_digest is sha256:2", "make a new plan"],
        ),
        (
            "function.json",
            with("function", json!("dr-restore")),
            &["function is \"dr-restore\"", "\"image-pruning\""],
        ),
        (
            "action.json",
            with("actions", json!([{"burn": 1}])),
            &["actions[0]", "burn"],
        ),
        (
            "version.json",
            with("schema_version", json!(2)),
            &["schema_version is \"2\""],
        ),
    ] {
        let path = directory.file(name, &text);
        let parts: Vec<&str> = parts.iter().copied().chain([name]).collect();
        let arguments = [
            "image-pruning",
            "apply",
            "--policy",
            &policy,
            "--plan",
            &path,
        ];
        steward(&arguments, "").says(2, &parts);
    }
}

#[test]
fn a_plan_is_never_saved_over_a_file() {
    let directory = Directory::new("plan-out");
    let path = directory.file("plan.json", "precious");
    steward(&["image-pruning", "plan", "--plan-out", &path], "")
        .says(2, &["plan.json exists already", "--force"]);
    assert_eq!(std::fs::read_to_string(path).unwrap(), "precious");
}

#[test]
fn a_policy_is_previewed_without_aws() {
    let directory = Directory::new("preview");
    let text = "version: 1\nrules:\n- name: prod\n  tags: {steward:environment: prod}\n  \
                keep: {last: 3, weekly: 2}\n- name: test\n  databases: {include: [\"test-*\"]}\n  \
                every: 7d\n  keep: {last: 2}\n";
    let path = directory.file("policy.yaml", text);
    let base = ["snapshot-rotation", "preview", "--from-nothing", "--policy"];
    let shown = steward(&[&base[..], &[&path]].concat(), "");
    assert_eq!((shown.status, shown.err.as_str()), (0, ""));
    for part in [
        "snapshot-rotation preview: a new database under 2 rules; nothing was changed\n",
        "A new database\n  rule prod: every 1d\n\n  us-east-1: keeps last 3, weekly 2\n",
        "A new database\n  rule test: every 7d\n\n  us-east-1: keeps last 2\n",
        "\n  now            0  ·····",
    ] {
        assert!(
            shown.out.contains(part),
            "{part:?} is not in: {}",
            shown.out
        );
    }
    assert!(shown.out.lines().all(|line| line.chars().count() <= 80));
    let json = steward(&[&base[..], &[&path, "--json"]].concat(), "");
    assert_eq!((json.status, json.err.as_str()), (0, ""));
    let json: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(json["schema_version"], 1);
    assert_eq!(
        (&json["account"], &json["next_run"]),
        (&Value::Null, &Value::Null)
    );
    let counts = |picture: usize| {
        let moments = &json["pictures"][picture]["places"][0]["moments"];
        let moments = moments.as_array().unwrap().iter();
        let counts = moments.map(|moment| moment["snapshots"].as_array().unwrap().len());
        counts.collect::<Vec<_>>()
    };
    // Weekly beside the last three: the Sunday before, unless it is one of them.
    let prod = counts(0);
    assert_eq!(prod[0], 0);
    assert!(prod[1..].iter().all(|n| (3..=4).contains(n)), "{prod:?}");
    assert_eq!(counts(1), [0, 2, 2, 2]);
}

#[test]
fn a_preview_fails_as_a_plan_does() {
    let directory = Directory::new("preview-fails");
    let path = directory.file("policy.yaml", "version: 1\nrules:\n- name: a\n  evry: 1d\n");
    for more in [&[][..], &["--from-nothing", "--json"]] {
        let base = ["snapshot-rotation", "preview", "--policy", &path];
        steward(&[&base[..], more].concat(), "").says(
            2,
            &["policy.yaml", "rules[0].evry: unknown key", "\"every\""],
        );
    }
    steward(&["snapshot-rotation", "preview"], "").says(1, &["sts:GetCallerIdentity failed"]);
    let help = steward(&["snapshot-rotation", "preview", "--help"], "");
    for word in [
        "in a week, a month and a year",
        "--from-nothing",
        "Nothing is changed",
    ] {
        assert!(help.out.contains(word), "{word}: {}", help.out);
    }
}

const SCALING: &str = r#"
version: 1
schedules:
  office: {time_zone: Europe/Berlin, periods: [{days: [mon-fri], start: "07:30", stop: "19:00"}]}
environments:
  dev: {schedules: [office], price_per_hour: 0.42}
  shop:
    schedules: [office]
    members:
      web: {services: {include: ["*"]}, sizes: {small: {desired: 1}, peak: {desired: 8}}}
"#;

#[test]
fn the_coming_days_of_environments_are_previewed_without_aws() {
    let directory = Directory::new("scaling-preview");
    let path = directory.file("policy.yaml", SCALING);
    let base = ["scheduled-scaling", "preview", "--policy", &path];
    // Around the last Sunday of March, when clocks change.
    let days = ["--from", "2027-03-22", "--days", "8"];
    let shown = steward(&[&base[..], &days].concat(), "");
    assert_eq!((shown.status, shown.err.as_str()), (0, ""));
    for part in [
        "scheduled-scaling preview: 2 environments; nothing was changed\n",
        "\ndev\n  time zone Europe/Berlin, that of its first schedule, office\n",
        "\n  Mon 03-22  ···············███████████████████████··········  11:30\n",
        "\n  Sun 03-28* ····xx··········································   0:00\n",
        "* Sun 03-28: the clocks of Europe/Berlin go forward from 02:00 to 03:00\n",
        "\n  and 6 more in these days; --all shows them\n",
        "\n  Off 122:00 of 191:00 hours (64 %), which saves an estimated 45.07 USD a week\n",
        "\nshop\n",
    ] {
        assert!(
            shown.out.contains(part),
            "{part:?} is not in: {}",
            shown.out
        );
    }
    assert!(shown.out.lines().all(|line| line.chars().count() <= 80));
    let of_one = [&base[..], &days, &["--environment", "shop", "--all"]].concat();
    let of_one = steward(&of_one, "").out;
    assert!(!of_one.contains("\ndev\n"), "{of_one}");
    for part in [
        "\n  Mon 2027-03-29 07:30 CEST  2027-03-29 05:30Z  on    office\n",
        "\n  Off 122:00 of 191:00 hours (64 %).\n",
        "--policy",
        "--environment shop\n",
    ] {
        assert!(of_one.contains(part), "{part:?} is not in: {of_one}");
    }

    let json = steward(&[&base[..], &days, &["--json"]].concat(), "");
    assert_eq!((json.status, json.err.as_str()), (0, ""));
    let json: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(json["schema_version"], 1);
    assert_eq!(json["function"], "scheduled-scaling");
    assert_eq!(json["overrides_known"], false);
    let dev = &json["environments"][0];
    assert_eq!(dev["environment"], "dev");
    assert_eq!(dev["seconds"], 191 * 3600);
    assert_eq!(dev["savings"]["estimate_per_week"], "45.07");
    assert_eq!(dev["days"].as_array().unwrap().len(), 8);
    assert_eq!(dev["transitions"].as_array().unwrap().len(), 12);
    assert_eq!(json["environments"][1]["savings"], Value::Null);
}

#[test]
fn a_preview_of_what_the_policy_has_not_says_what_it_has() {
    let directory = Directory::new("scaling-preview-fails");
    let path = directory.file("policy.yaml", SCALING);
    let base = ["scheduled-scaling", "preview", "--policy", &path];
    steward(&[&base[..], &["--environment", "prod"]].concat(), "")
        .says(2, &["\"prod\" is not in the policy", "allowed: dev, shop"]);
    let wrong = SCALING.replace("Europe/Berlin", "Europe/Berlim");
    let wrong = directory.file("wrong.yaml", &wrong);
    steward(&["scheduled-scaling", "preview", "--policy", &wrong], "").says(
        2,
        &["wrong.yaml", "schedules.office.time_zone", "Europe/Berlim"],
    );
    let empty = directory.file("empty.yaml", "version: 1\n");
    let empty = steward(&["scheduled-scaling", "preview", "--policy", &empty], "");
    assert_eq!(empty.status, 0, "{}", empty.err);
    assert!(
        empty.out.contains("nothing sleeps or wakes"),
        "{}",
        empty.out
    );
}

#[test]
fn an_override_that_makes_no_sense_is_told_with_what_is_allowed() {
    let directory = Directory::new("overrides");
    let path = directory.file("policy.yaml", SCALING);
    let why = ["--why", "a demo"];
    for (arguments, parts) in [
        (
            &["prod", "on", "--for", "3h"][..],
            &[
                "environment: \"prod\" is not in the policy",
                "allowed: dev, shop",
            ][..],
        ),
        (
            &["dev", "on", "--for", "soon"],
            &["for: \"soon\" is not allowed", "a period from 1m to 31d"],
        ),
        (
            &["dev", "on", "--for", "32d"],
            &["for: \"32d\"", "1m to 31d"],
        ),
        (&["dev", "on", "--for", "0m"], &["for: \"0m\"", "1m to 31d"]),
        (&["dev", "off"], &["for: missing", "1m to 31d"]),
        (
            &["dev", "none", "--for", "3h"],
            &["for: \"3h\" is not allowed", "nothing where to is none"],
        ),
        (
            &["shop", "on", "--for", "3h", "--size", "huge"],
            &["size: \"huge\" is no size of shop", "allowed: peak, small"],
        ),
        (
            &["dev", "on", "--for", "3h", "--size", "small"],
            &["size: \"small\" is no size of dev", "none, because"],
        ),
        (
            &["dev", "off", "--for", "3h", "--size", "small"],
            &["size: \"small\"", "one only where to is on"],
        ),
    ] {
        let base = ["scheduled-scaling", "override"];
        let rest = [&why[..], &["--mode", "apply", "--policy", &path]].concat();
        steward(&[&base[..], arguments, &rest].concat(), "").says(2, parts);
    }
    let base = ["scheduled-scaling", "override", "dev", "on", "--for", "3h"];
    let policy = ["--policy", path.as_str()];
    steward(&[&base[..], &policy].concat(), "").says(2, &["why: missing", "200 characters"]);
    steward(&[&base[..], &why, &["--mode", "apply"]].concat(), "")
        .says(2, &["override needs --policy"]);
    // What makes sense gets as far as asking who calls.
    steward(&[&base[..], &why, &policy].concat(), "").says(1, &["sts:GetCallerIdentity failed"]);
    let none = ["scheduled-scaling", "override", "dev", "none"];
    steward(&[&none[..], &policy].concat(), "").says(1, &["sts:GetCallerIdentity failed"]);
    let plan = ["scheduled-scaling", "plan", "--environment", "prod"];
    steward(&[&plan[..], &policy].concat(), "").says(
        2,
        &[
            "environments: \"prod\" is not in the policy",
            "allowed: dev, shop",
        ],
    );
}

#[test]
fn what_answers_alarms_by_hand_needs_a_policy_to_act_and_says_what_it_is_for() {
    let directory = Directory::new("remediation");
    let policy = "version: 1\nalarms: {include: [\"shop-*\"]}\n";
    let path = directory.file("policy.yaml", policy);
    for arguments in [
        &["apply"][..],
        &["sweep", "--mode", "apply"],
        &["approve", "shop-5xx", "--mode", "apply"],
    ] {
        let base = ["alarm-remediation"];
        steward(&[&base[..], arguments].concat(), "").says(2, &["needs --policy"]);
        // With one it gets as far as asking who calls.
        let rest = ["--policy", path.as_str()];
        steward(&[&base[..], arguments, &rest].concat(), "")
            .says(1, &["sts:GetCallerIdentity failed"]);
    }
    steward(&["alarm-remediation", "approve", " "], "").says(2, &["case: \" \" is not allowed"]);
    let wrong = policy.replace("alarms", "alarm");
    let wrong = directory.file("wrong.yaml", &wrong);
    steward(&["alarm-remediation", "plan", "--policy", &wrong], "")
        .says(2, &["wrong.yaml", "alarm: unknown key", "\"alarms\""]);
    let help = steward(&["alarm-remediation", "--help"], "");
    for word in ["remediate", "sweep", "approve", "history"] {
        assert!(help.out.contains(&format!("\n  {word} ")), "{}", help.out);
    }
    let help = steward(&["alarm-remediation", "history", "--help"], "");
    assert!(help.out.contains("changes nothing"), "{}", help.out);
}

#[test]
fn a_history_that_cannot_be_read_is_a_failure() {
    let history = ["alarm-remediation", "history"];
    steward(&history, "").says(1, &["dynamodb:Query of table steward-ledger failed"]);
    let named = [("STEWARD_LEDGER", "elsewhere")];
    steward_in(&named, &history, "").says(1, &["dynamodb:Query of table elsewhere failed"]);
    let wrong = [("STEWARD_LEDGER", "a b")];
    steward_in(&wrong, &history, "").says(2, &["STEWARD_LEDGER", "a b"]);
}

#[test]
fn an_aws_that_does_not_answer_is_a_failure_with_its_cause() {
    steward(&["image-pruning", "plan"], "").says(1, &["sts:GetCallerIdentity failed"]);
}

#[test]
fn a_profile_goes_before_credentials_in_the_environment() {
    let directory = Directory::new("profiles");
    let files = [
        directory.file("config", "[profile there]\nregion = eu-west-1\n"),
        directory.file(
            "credentials",
            "[there]\naws_access_key_id = PROFILE\naws_secret_access_key = x\n",
        ),
    ];
    let (endpoint, asked) = an_aws_that_denies();
    let environment = [
        ("AWS_CONFIG_FILE", files[0].as_str()),
        ("AWS_SHARED_CREDENTIALS_FILE", files[1].as_str()),
        ("AWS_ACCESS_KEY_ID", "ENVIRONMENT"),
        ("AWS_SECRET_ACCESS_KEY", "x"),
        ("AWS_ENDPOINT_URL", &endpoint),
    ];
    let run = |profile| {
        let arguments = ["image-pruning", "plan", "--profile", profile];
        steward_in(&environment, &arguments, "")
    };
    run("nowhere").says(1, &["sts:GetCallerIdentity failed", "profile `nowhere`"]);
    run("there").says(
        1,
        &["sts:GetCallerIdentity failed", "AccessDenied", "not today"],
    );
    let request = asked.join().unwrap();
    assert!(request.contains("Credential=PROFILE/"), "{request}");
}

/// An endpoint that denies the first request, and gives it back.
fn an_aws_that_denies() -> (String, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let asked = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = String::new();
        let mut lines = BufReader::new(&stream);
        while !request.ends_with("\r\n\r\n") {
            assert!(lines.read_line(&mut request).unwrap() > 0, "{request}");
        }
        let body = "<ErrorResponse><Error><Code>AccessDenied</Code><Message>not \
                    today</Message></Error></ErrorResponse>";
        let head = "HTTP/1.1 403 Forbidden\r\nconnection: close\r\ncontent-type: text/xml";
        let length = body.len();
        write!(stream, "{head}\r\ncontent-length: {length}\r\n\r\n{body}").unwrap();
        // What is left of the request, so that closing does not reset the answer.
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
        request
    });
    (endpoint, asked)
}

#[test]
fn a_saved_report_is_shown_and_ends_as_its_run_did() {
    let directory = Directory::new("reports");
    for (status, expected) in [
        ("applied", 0),
        ("nothing_to_do", 0),
        ("failed", 1),
        ("refused", 3),
        ("waiting", 4),
        ("partial", 5),
    ] {
        let path = directory.file("report.json", &report(status).to_string());
        let ended = steward(&["report", &path], "");
        assert_eq!(ended.status, expected, "{status}: {}", ended.err);
        assert!(
            ended.out.starts_with("image-pruning prune: "),
            "{}",
            ended.out
        );
        assert_eq!(ended.err, "");
        let record = json!({ "responsePayload": report(status) });
        let piped = steward(&["report", "-"], &record.to_string());
        assert_eq!((piped.out, piped.status), (ended.out, expected));
    }
    steward(&["report", "-"], "{}").says(2, &["report -", "is no report"]);
    steward(&["report", "nowhere.json"], "").says(2, &["nowhere.json cannot be read"]);
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_steward"))
        .args(["report", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let input = report("applied").to_string();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}

#[test]
fn schemas_are_json() {
    for name in ["report", "image-pruning"] {
        let ended = steward(&["schema", name], "");
        assert_eq!(ended.status, 0);
        let schema: Value = serde_json::from_str(&ended.out).unwrap();
        assert!(schema["properties"].is_object(), "{name}");
    }
    let policy: Value =
        serde_json::from_str(&steward(&["schema", "image-pruning"], "").out).unwrap();
    assert_eq!(policy["properties"]["version"]["const"], 1);
    assert_eq!(policy["required"], json!(["version"]));
}
