//! Policies: what is read, from where, and how a wrong one is refused.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot be set up has failed"
)]

mod canned;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use steward::policy::{
    MAX_BYTES, Notify, Period, Policy, PolicyDocument, PolicyError, PolicySource, Problems,
    Selection,
};

use canned::{Answer, Canned};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Pruning {
    repositories: Option<Selection>,
    retention: Retention,
    overrides: BTreeMap<String, Retention>,
    max_actions: Option<u32>,
    dry: bool,
    notify: Notify,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Retention {
    keep_newest: u32,
    keep_younger_than: Period,
    keep_tags: Vec<String>,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            keep_newest: 10,
            keep_younger_than: Period::days(30),
            keep_tags: vec![],
        }
    }
}

impl Policy for Pruning {
    fn check(&self, problems: &mut Problems) {
        if let Some(repositories) = &self.repositories {
            repositories.check("repositories", problems);
        }
        problems.within(
            "retention.keep_newest",
            self.retention.keep_newest,
            1,
            1_000,
        );
    }

    fn selects_targets(&self) -> bool {
        self.repositories.is_some()
    }

    fn notify(&self) -> &Notify {
        &self.notify
    }
}

fn parse(text: &str) -> Result<PolicyDocument<Pruning>, PolicyError> {
    PolicyDocument::parse(text, "test")
}

/// The policy of a document after `version: 1`.
fn read(more: &str) -> Pruning {
    parse(&format!("version: 1\n{more}\n"))
        .unwrap()
        .policy()
        .clone()
}

/// Why it is refused.
fn refusal(text: &str) -> String {
    match parse(text) {
        Ok(document) => panic!("accepted: {text}\nas {:?}", document.policy()),
        Err(error) => error.to_string(),
    }
}

fn refusal_of(more: &str) -> String {
    refusal(&format!("version: 1\n{more}\n"))
}

#[test]
fn yaml_and_json_say_the_same() {
    let yaml = "
# What to prune.
version: 1
repositories:
  include: ['web-*', \"api\"]
  exclude:
    - web-base
retention: {keep_newest: 5, keep_younger_than: 14d}
overrides:
  api:
    keep_tags: [release-*, 'v?']
max_actions: 100
";
    let json = r#"{"version": 1, "repositories": {"include": ["web-*", "api"], "exclude": ["web-base"]},
        "retention": {"keep_newest": 5, "keep_younger_than": "14d"},
        "overrides": {"api": {"keep_tags": ["release-*", "v?"]}}, "max_actions": 100}"#;
    let (yaml, json) = (parse(yaml).unwrap(), parse(json).unwrap());
    assert_eq!(yaml.policy(), json.policy());
    assert_eq!(yaml.digest(), json.digest());
    assert_eq!(yaml.policy().retention.keep_younger_than, Period::days(14));
    assert_eq!(
        yaml.policy().overrides["api"].keep_tags,
        ["release-*", "v?"]
    );
    assert!(yaml.selects_targets() && yaml.warnings().is_empty());
}

#[test]
fn the_defaults_select_nothing_for_apply_and_say_so() {
    let defaults = PolicyDocument::<Pruning>::defaults();
    assert!(!defaults.selects_targets());
    assert!(defaults.warnings()[0].contains("no policy was given"));
    let bare = parse("version: 1").unwrap();
    assert_eq!(bare.policy(), defaults.policy());
    assert_eq!(bare.digest(), defaults.digest());
    assert!(!bare.selects_targets());
    assert!(bare.warnings()[0].contains("selects no targets"));
}

#[test]
fn a_document_says_which_version_it_is() {
    for (text, expected) in [
        (
            "",
            "the document is empty; expected a mapping that starts with `version: 1`",
        ),
        ("# nothing but a comment\n", "the document is empty"),
        ("---\n", "the document is empty"),
        ("- version: 1", "the document is a list"),
        ("version 1", "the document is a text"),
        ("{}", "version: missing; allowed: 1"),
        ("max_actions: 5", "version: missing; allowed: 1"),
        ("version: 2", "version: 2 is not allowed; allowed: 1"),
        (
            "version: \"1\"",
            "version: \"1\" is not allowed; allowed: 1",
        ),
        ("version: 1.0", "version: 1.0 is not allowed; allowed: 1"),
        ("version:", "version: null is not allowed; allowed: 1"),
        ("version: true", "version: true is not allowed; allowed: 1"),
    ] {
        let message = refusal(text);
        assert!(message.contains(expected), "{text:?}: {message}");
        assert!(message.starts_with("policy test: "), "{message}");
    }
}

#[test]
fn a_key_that_comes_twice_is_refused() {
    for text in [
        "version: 1\nmax_actions: 5\nmax_actions: 6",
        "version: 1\nversion: 1",
        "version: 1\nretention: {keep_newest: 5, keep_newest: 6}",
        r#"{"version": 1, "max_actions": 5, "max_actions": 6}"#,
    ] {
        let message = refusal(text);
        assert!(message.contains("duplicate"), "{message}");
        assert!(message.contains("line"), "it says where: {message}");
    }
}

#[test]
fn an_unknown_key_is_refused_with_its_path_and_a_name_that_is_near() {
    let table = [
        ("max_action: 5", "max_action: unknown", Some("max_actions")),
        (
            "Max_Actions: 5",
            "Max_Actions: unknown",
            Some("max_actions"),
        ),
        (
            "retention: {keep_newst: 5}",
            "retention.keep_newst: unknown",
            Some("keep_newest"),
        ),
        (
            "overrides: {api: {keep_tag: []}}",
            "overrides.api.keep_tag: unknown",
            Some("keep_tags"),
        ),
        (
            "repositories: {includes: []}",
            "repositories.includes: unknown",
            Some("include"),
        ),
        ("something_else: 5", "something_else: unknown", None),
    ];
    for (more, expected, near) in table {
        let message = refusal_of(more);
        assert!(message.contains(expected), "{message}");
        assert!(message.contains("allowed: "), "{message}");
        match near {
            Some(near) => {
                let hint = format!("did you mean \"{near}\"?");
                assert!(message.contains(&hint), "{message}");
            }
            None => assert!(!message.contains("did you mean"), "{message}"),
        }
    }
}

#[test]
fn a_value_of_another_type_is_refused_with_its_path_and_itself() {
    let table = [
        ("max_actions: many", "max_actions: ", "\"many\"", "u32"),
        ("max_actions: -1", "max_actions: ", "-1", "u32"),
        ("max_actions: 1.5", "max_actions: ", "1.5", "u32"),
        (
            "max_actions: 5000000000",
            "max_actions: ",
            "5000000000",
            "u32",
        ),
        ("max_actions: \"5\"", "max_actions: ", "\"5\"", "u32"),
        ("dry: 1", "dry: ", "1", "boolean"),
        ("dry: maybe", "dry: ", "\"maybe\"", "boolean"),
        ("retention: 5", "retention: ", "5", "Retention"),
        (
            "retention: {keep_tags: v1}",
            "retention.keep_tags: ",
            "\"v1\"",
            "sequence",
        ),
        (
            "retention: {keep_tags: [v1, [v2]]}",
            "retention.keep_tags[1]: ",
            "sequence",
            "string",
        ),
        (
            "retention: {keep_younger_than: 14}",
            "retention.keep_younger_than: ",
            "14",
            "14d, 6h, 15m",
        ),
        (
            "repositories: {include: '*'}",
            "repositories.include: ",
            "\"*\"",
            "sequence",
        ),
        (
            "repositories: {}",
            "repositories: ",
            "missing field",
            "include",
        ),
        (
            "overrides: {api: {keep_newest: x}}",
            "overrides.api.keep_newest: ",
            "\"x\"",
            "u32",
        ),
    ];
    for (more, path, value, allowed) in table {
        let message = refusal_of(more);
        for expected in [path, value, allowed] {
            assert!(message.contains(expected), "{more}: {message}");
        }
    }
}

#[test]
fn every_bad_value_is_named_at_once() {
    let message = refusal_of("repositories: {include: []}\nretention: {keep_newest: 0}");
    assert!(
        message.contains("repositories.include: an empty list is not allowed"),
        "{message}"
    );
    assert!(message.contains("retention.keep_newest: 0 is not allowed; allowed: 1 to 1000"));
    let message = refusal_of("repositories: {include: ['a', ' '], exclude: ['']}");
    assert!(
        message.contains("repositories.include[1]: \" \" is not allowed"),
        "{message}"
    );
    assert!(
        message.contains("repositories.exclude[0]: \"\" is not allowed"),
        "{message}"
    );
}

#[test]
fn a_tag_is_refused_and_never_vanishes() {
    for more in [
        "repositories: {include: ['*'], exclude: [!web-base]}",
        "repositories:\n  include: ['*']\n  exclude:\n    - !web-base\n    - !api x",
        "repositories: {include: [!tmp-* x]}",
        "repositories: !only {include: ['*']}",
        "max_actions: !limit 5",
        "retention: {keep_tags: !all [v1]}",
        "!max_actions dry: true",
        "overrides: {!x api: {keep_newest: 3}}",
    ] {
        let message = refusal_of(more);
        assert!(message.contains("tag"), "{more}: {message}");
    }
    assert!(refusal("!policy {version: 1}").contains("tag"));
}

#[test]
fn a_bare_star_is_refused_and_never_vanishes() {
    for more in [
        "repositories: {include: [*]}",
        "repositories:\n  include:\n    - *",
        "repositories: {include: [*-base]}",
        "repositories: {include: [*, api]}",
        "retention:\n  keep_tags:\n    - *release",
    ] {
        let message = refusal_of(more);
        assert!(message.contains("not YAML"), "{more}: {message}");
    }
}

#[test]
fn what_looks_like_another_type_is_not_turned_into_it() {
    // YAML 1.1 reads these as booleans, numbers and nothing.
    let names = ["no", "on", "yes", "~x", "1_000", "0755", "1e3"];
    for name in names {
        let quoted = format!("retention: {{keep_tags: ['{name}']}}");
        assert_eq!(read(&quoted).retention.keep_tags, [name]);
    }
    for bare in ["no", "on", "yes", "y", "off"] {
        let policy = read(&format!("retention: {{keep_tags: [{bare}]}}"));
        assert_eq!(policy.retention.keep_tags, [bare], "Norway is a tag, too");
        assert!(refusal_of(&format!("dry: {bare}")).contains("dry: "));
    }
    assert!(read("dry: true").dry);
    // A tag that reads as a number must be quoted, and the error says where.
    for bare in ["1.10", "2024", "0x10", "true"] {
        let message = refusal_of(&format!("retention: {{keep_tags: [{bare}]}}"));
        assert!(message.contains("retention.keep_tags[0]: "), "{message}");
    }
    for nothing in [".nan", ".inf", "-.inf", "1e999"] {
        refusal_of(&format!("max_actions: {nothing}"));
    }
}

#[test]
fn anchors_are_understood_and_bombs_are_not() {
    let policy = read(
        "retention: &usual {keep_newest: 3}\noverrides:\n  api: *usual\n  web:\n    <<: *usual\n    keep_tags: [v1]",
    );
    assert_eq!(policy.overrides["api"].keep_newest, 3);
    assert_eq!(policy.overrides["web"].keep_newest, 3);
    assert_eq!(policy.overrides["web"].keep_tags, ["v1"]);

    let mut laughs = "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n".to_owned();
    for n in 1..12 {
        let last = format!("*a{}", n - 1);
        let nine = vec![last; 9].join(", ");
        laughs.push_str(&format!("a{n}: &a{n} [{nine}]\n"));
    }
    assert!(refusal_of(&laughs).contains("not YAML"));

    let mut merges = "m0: &m0 {k: v}\n".to_owned();
    for n in 1..40 {
        let last = format!("*m{}", n - 1);
        merges.push_str(&format!(
            "m{n}: &m{n} {{<<: [{last}, {last}, {last}, {last}]}}\n"
        ));
    }
    assert!(refusal_of(&merges).contains("not YAML"));

    let deep = format!("deep: {}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(refusal_of(&deep).contains("not YAML"));
    assert!(refusal_of("a: &a [*a]").contains("not YAML"));
    assert!(refusal_of("a: *nobody").contains("not YAML"));
}

#[test]
fn what_is_no_yaml_is_refused_with_the_line() {
    for text in [
        "version: 1\nretention: {keep_newest: 5",
        "version: 1\n\tmax_actions: 5",
        "version: 1\nmax_actions: 'x",
        "version: 1\n---\nversion: 1",
        "{\"version\": 1",
        "version: 1\n%",
    ] {
        let message = refusal(text);
        assert!(
            message.contains("not YAML") && message.contains("line"),
            "{text:?}: {message}"
        );
    }
    refusal("\u{0}");
    let with_mark = parse("\u{feff}version: 1\r\nmax_actions: 5\r\n").unwrap();
    assert_eq!(with_mark.policy().max_actions, Some(5));
}

#[test]
fn a_secret_beside_a_mistake_is_not_repeated() {
    let message = refusal("version: 1\nretention: {password: hunter2, keep_newest: 5");
    assert!(!message.contains("hunter2"), "{message}");
}

// ---- values -------------------------------------------------------------------

#[test]
fn a_period_is_a_whole_number_of_days_hours_or_minutes() {
    for (text, shown) in [
        ("14d", "14d"),
        ("6h", "6h"),
        ("15m", "15m"),
        ("48h", "2d"),
        ("90m", "90m"),
        ("120m", "2h"),
        ("0d", "0d"),
        ("0m", "0d"),
        ("3650d", "3650d"),
        ("007d", "7d"),
        ("5256000m", "3650d"),
    ] {
        let period: Period = text.parse().unwrap();
        assert_eq!(period.to_string(), shown);
        let json = serde_json::to_string(&period).unwrap();
        assert_eq!(serde_json::from_str::<Period>(&json).unwrap(), period);
    }
    for text in [
        "",
        "d",
        "14",
        "1.5d",
        "-1d",
        "+1d",
        "é",
        "1é",
        "99999999999d",
        "4294967295d",
        "3651d",
        "5256001m",
        "14 d",
        " 14d",
        "14d ",
        "14D",
        "1w",
        "1d6h",
        "١d",
        "0x1d",
        "1_0d",
        "P14D",
    ] {
        let error = text.parse::<Period>().unwrap_err();
        let expected = format!("\"{text}\" is no period; allowed: a whole number and d, h or m");
        assert!(error.starts_with(&expected), "{error}");
    }
}

#[test]
fn a_period_before_the_beginning_of_time_is_the_beginning() {
    let now = "2026-11-22T12:00:00Z".parse().unwrap();
    let before = |text: &str, now| text.parse::<Period>().unwrap().before(now).to_string();
    assert_eq!(before("14d", now), "2026-11-08T12:00:00Z");
    assert_eq!(before("6h", now), "2026-11-22T06:00:00Z");
    assert_eq!(
        before("3650d", jiff::Timestamp::MIN),
        jiff::Timestamp::MIN.to_string()
    );
}

#[test]
fn a_selection_is_what_is_included_and_not_excluded() {
    let selection = |include: &[&str], exclude: &[&str]| Selection {
        include: include.iter().map(|g| (*g).to_owned()).collect(),
        exclude: exclude.iter().map(|g| (*g).to_owned()).collect(),
    };
    let table: [(&[&str], &[&str], &str, bool); 17] = [
        (&["*"], &[], "anything/at-all", true),
        (&["*"], &[], "", true),
        (&["web"], &[], "web", true),
        (&["web"], &[], "web2", false),
        (&["web"], &[], "Web", false),
        (&["web-*"], &[], "web-", true),
        (&["web-*"], &[], "my-web-1", false),
        (&["*-web-*"], &[], "my-web-1", true),
        (&["v?"], &[], "v1", true),
        (&["v?"], &[], "v12", false),
        (&["v?"], &[], "v", false),
        (&["w?b"], &[], "wéb", true),
        (&["a", "b"], &[], "b", true),
        (&["*"], &["web"], "web", false),
        (&["web"], &["*"], "web", false),
        (&["[ab]", "{a,b}", "a.c"], &[], "a", false),
        (&[], &[], "web", false),
    ];
    for (include, exclude, name, selected) in table {
        let selection = selection(include, exclude);
        assert_eq!(selection.selects(name), selected, "{selection:?} {name}");
    }
    assert!(Selection::everything().selects("x"));
    // No pattern takes for ever.
    let slow = selection(&["*a*a*a*a*a*a*a*a*a*a*a*a*b"], &[]);
    assert!(!slow.selects(&"a".repeat(5_000)));
}

// ---- sources ------------------------------------------------------------------

#[test]
fn a_source_is_a_parameter_an_object_or_by_hand_a_file() {
    let s3 = |bucket: &str, key: &str| PolicySource::S3 {
        bucket: bucket.to_owned(),
        key: key.to_owned(),
    };
    for (text, source) in [
        (
            "ssm:/steward/policy/x",
            PolicySource::Ssm("/steward/policy/x".to_owned()),
        ),
        ("ssm:plain", PolicySource::Ssm("plain".to_owned())),
        ("s3://bucket/key", s3("bucket", "key")),
        ("s3://bucket/a/b/c.yaml", s3("bucket", "a/b/c.yaml")),
    ] {
        assert_eq!(PolicySource::remote(text).unwrap(), source);
        assert_eq!(PolicySource::argument(text).unwrap(), source);
        assert_eq!(source.to_string(), text);
    }
    for text in [
        "ssm:",
        "s3://bucket",
        "s3://bucket/",
        "s3:///key",
        "s3://",
        "s3:bucket/key",
    ] {
        let error = PolicySource::remote(text).unwrap_err().to_string();
        assert!(
            error.contains(text) && error.contains("s3://bucket/key"),
            "{error}"
        );
        PolicySource::argument(text).unwrap_err();
    }
    for text in [
        "",
        "policy.yaml",
        "https://example.com/x",
        "SSM:x",
        " ssm:x",
    ] {
        PolicySource::remote(text).unwrap_err();
    }
    let file = PolicySource::argument("policies/pruning.yaml").unwrap();
    assert_eq!(file, PolicySource::File("policies/pruning.yaml".to_owned()));
}

async fn load(
    source: &PolicySource,
    canned: &Canned,
) -> Result<PolicyDocument<Pruning>, PolicyError> {
    source.load(&canned.config()).await
}

fn parameter(value: &str) -> Answer {
    let body = serde_json::json!({"Parameter": {"Name": "/steward/policy", "Value": value}});
    Answer::Reply(200, body.to_string())
}

#[tokio::test]
async fn a_policy_is_read_from_a_parameter() {
    let canned = Canned::by(|_, _| parameter("version: 1\nmax_actions: 7\n"));
    let source = PolicySource::remote("ssm:/steward/policy").unwrap();
    let document = load(&source, &canned).await.unwrap();
    assert_eq!(document.policy().max_actions, Some(7));
    let asked = canned.asked();
    assert!(asked[0].body.contains("/steward/policy"), "{asked:?}");
    assert!(
        asked[0].body.contains("\"WithDecryption\":true"),
        "{asked:?}"
    );
}

#[tokio::test]
async fn a_policy_is_read_from_an_object() {
    let canned = Canned::by(|_, _| Answer::Reply(200, "version: 1\nmax_actions: 7\n".to_owned()));
    let source = PolicySource::remote("s3://bucket/policies/pruning.yaml").unwrap();
    let document = load(&source, &canned).await.unwrap();
    assert_eq!(document.policy().max_actions, Some(7));
    let asked = canned.asked();
    assert!(asked[0].uri.contains("bucket") && asked[0].uri.contains("policies/pruning.yaml"));
}

#[tokio::test]
async fn a_policy_that_cannot_be_read_is_told_from_one_that_is_wrong() {
    let missing = r#"{"__type":"ParameterNotFound","message":"no such parameter"}"#;
    let no_key = "<Error><Code>NoSuchKey</Code><Message>no such key</Message></Error>";
    let huge = "#".repeat(MAX_BYTES + 1);
    let table = [
        (
            "ssm:/p",
            Answer::Reply(400, missing.to_owned()),
            "ssm:GetParameter: ",
            false,
        ),
        (
            "ssm:/p",
            Answer::Reply(200, "{}".to_owned()),
            "has no value",
            false,
        ),
        (
            "s3://b/k",
            Answer::Reply(404, no_key.to_owned()),
            "no such key",
            false,
        ),
        (
            "s3://b/k",
            Answer::Reply(200, huge),
            "larger than 262144 bytes",
            false,
        ),
        (
            "ssm:/p",
            parameter("version: 2"),
            "version: 2 is not allowed",
            true,
        ),
        (
            "s3://b/k",
            Answer::Reply(200, String::new()),
            "the document is empty",
            true,
        ),
    ];
    for (source, answer, expected, wrong) in table {
        let answer = std::sync::Mutex::new(Some(answer));
        let canned = Canned::by(move |_, _| answer.lock().unwrap().take().unwrap());
        let source = PolicySource::remote(source).unwrap();
        let error = load(&source, &canned).await.unwrap_err();
        assert_eq!(
            matches!(error, PolicyError::Invalid { .. }),
            wrong,
            "{error}"
        );
        let message = error.to_string();
        assert!(
            message.starts_with(&format!("policy {source}")),
            "{message}"
        );
        assert!(message.contains(expected), "{message}");
    }
}

#[tokio::test]
async fn inline_files_and_defaults_ask_aws_nothing() {
    let canned = Canned::by(|_, _| Answer::Never);
    let inline = PolicySource::Inline("version: 1\nmax_actions: 7".to_owned().into());
    assert_eq!(
        load(&inline, &canned).await.unwrap().policy().max_actions,
        Some(7)
    );
    assert!(
        !load(&PolicySource::Defaults, &canned)
            .await
            .unwrap()
            .selects_targets()
    );
    let nowhere = PolicySource::File("no/such/file.yaml".to_owned());
    let error = load(&nowhere, &canned).await.unwrap_err();
    assert!(matches!(error, PolicyError::Unreadable { .. }), "{error}");
    assert!(error.to_string().contains("no/such/file.yaml"));
    assert!(canned.asked().is_empty());
}
