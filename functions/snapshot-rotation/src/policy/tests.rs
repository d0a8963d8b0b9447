//! Policies that are wrong, and what is said of them: the place, the value, and
//! what is allowed.

use steward::policy::PolicyDocument;

use super::*;

fn parse(text: &str) -> Result<RotationPolicy, String> {
    let document = PolicyDocument::<RotationPolicy>::parse(text, "test");
    let policy = document.map(|document| document.policy().clone());
    policy.map_err(|error| error.to_string())
}

/// A policy with one rule for everything, and more lines of that rule.
fn rule(more: &str) -> String {
    format!("version: 1\nrules:\n- name: all\n  databases: {{include: [\"*\"]}}\n  {more}\n")
}

/// The same with one place for copies, and more keys of that.
fn copy(more: &str) -> String {
    rule(&format!(
        "copies: [{{region: eu-west-1, kms_key_id: alias/backups{more}}}]"
    ))
}

#[track_caller]
fn refused(text: &str, expected: &str) {
    match parse(text) {
        Ok(_) => panic!("it is accepted:\n{text}"),
        Err(error) => assert!(error.contains(expected), "{error}\nfor\n{text}"),
    }
}

#[test]
fn what_these_tests_begin_with_is_right() {
    parse(&rule("replicas: false")).unwrap();
    parse(&copy("")).unwrap();
}

#[test]
fn a_rule_is_refused_with_the_place_the_value_and_what_is_allowed() {
    for (more, expected) in [
        (
            "every: 59m",
            "rules[0].every: 59m is not allowed; allowed: 1h to 3650d",
        ),
        (
            "objective: 23h",
            "rules[0].objective: 23h is not allowed; allowed: 1d to 3650d",
        ),
        (
            "keep: {last: 10001}",
            "rules[0].keep.last: 10001 is not allowed; allowed: 0 to 10000",
        ),
        (
            "keep: {hourly: 10001}",
            "rules[0].keep.hourly: 10001 is not allowed; allowed: 0 to 10000",
        ),
        (
            "keep: {daily: 10001}",
            "rules[0].keep.daily: 10001 is not allowed; allowed: 0 to 10000",
        ),
        (
            "keep: {weekly: 10001}",
            "rules[0].keep.weekly: 10001 is not allowed; allowed: 0 to 10000",
        ),
        (
            "keep: {monthly: 10001}",
            "rules[0].keep.monthly: 10001 is not allowed; allowed: 0 to 10000",
        ),
        (
            "keep: {yearly: 10001}",
            "rules[0].keep.yearly: 10001 is not allowed; allowed: 0 to 10000",
        ),
        (
            "keep: {last: 1, monthly: 1}",
            "rules[0].keep: rules that come down to 1 is not allowed; allowed: \
             limits.keep_snapshots_at_least, 2, or more",
        ),
        (
            "keep: {within: 47h}",
            "rules[0].keep: rules that come down to 1 is not allowed",
        ),
        (
            "time_zone: Mars/Olympus",
            "rules[0].time_zone: \"Mars/Olympus\" is not allowed; allowed: an IANA time zone such \
             as Europe/Berlin",
        ),
        (
            "share_with: [\"12345\"]",
            "rules[0].share_with: \"12345\" is not allowed; allowed: accounts, 12 digits each",
        ),
        (
            "share_with: [all]",
            "rules[0].share_with: \"all\" is not allowed; allowed: accounts, 12 digits each",
        ),
        (
            "adopt: [\"nightly-*\", \"*\"]",
            "rules[0].adopt[1]: \"*\" is not allowed; allowed: a snapshot's name, or a glob that \
             begins to name some",
        ),
        ("adopt: [\"\"]", "rules[0].adopt[0]: \"\" is not allowed"),
        ("snapshots: 3", "rules[0].snapshots"),
        ("every: daily", "rules[0].every"),
    ] {
        refused(&rule(more), expected);
    }
}

#[test]
fn a_place_for_copies_is_refused_with_the_place_the_value_and_what_is_allowed() {
    for (more, expected) in [
        (
            ", role_arn: backups",
            "rules[0].copies[0].role_arn: \"backups\" is not allowed; allowed: \
             arn:aws:iam::ACCOUNT:role/NAME, or null for this account",
        ),
        (
            ", external_id: secret",
            "rules[0].copies[0].external_id: \"secret\" is not allowed; allowed: only together \
             with role_arn",
        ),
        (
            ", role_arn: \"arn:aws:iam::222222222222:role/x\", external_id: \"a b\"",
            "rules[0].copies[0].external_id: \"a b\" is not allowed; allowed: 2 to 1224 letters, \
             digits and +=,.@:/-_",
        ),
        (
            ", objective: 1h",
            "rules[0].copies[0].objective: 1h is not allowed; allowed: 1d to 3650d",
        ),
        (
            ", keep: {daily: 10001}",
            "rules[0].copies[0].keep.daily: 10001 is not allowed; allowed: 0 to 10000",
        ),
        (
            ", keep: {last: 1}",
            "rules[0].copies[0].keep: rules that come down to 1 is not allowed; allowed: \
             limits.keep_snapshots_at_least, 2, or more",
        ),
        (
            ", restore_points: Not_A_Bucket",
            "rules[0].copies[0].restore_points: \"Not_A_Bucket\" is not allowed; allowed: the name \
             of a bucket",
        ),
        (
            ", restore_points: backups-there",
            "rules[0].copies[0].restore_points: a bucket is not allowed; allowed: one only where \
             restore_points names a bucket of this Region too",
        ),
    ] {
        refused(&copy(more), expected);
    }
    for region in ["eu-west", "", "moon-base-1x"] {
        let text = copy("").replace("region: eu-west-1", &format!("region: \"{region}\""));
        let expected = format!(
            "rules[0].copies[0].region: \"{region}\" is not allowed; allowed: a Region such as \
             eu-west-1"
        );
        refused(&text, &expected);
    }
    // What scripts write for nothing.
    for key in ["", "None", "null", "default"] {
        let text = copy("").replace("alias/backups", &format!("\"{key}\""));
        let expected = format!(
            "rules[0].copies[0].kms_key_id: \"{key}\" is not allowed; allowed: the ARN, id or \
             alias of a key in that account and Region"
        );
        refused(&text, &expected);
    }
}

#[test]
fn a_place_is_named_once_in_a_rule_and_the_same_way_everywhere() {
    let place = "{region: eu-west-1, kms_key_id: alias/backups}";
    refused(
        &rule(&format!("copies: [{place}, {place}]")),
        "rules[0].copies[1]: eu-west-1 is not allowed; allowed: each account and Region once in a \
         rule",
    );
    let role = |name: &str| {
        format!(
            "{{region: eu-west-1, kms_key_id: alias/backups, role_arn: \
             \"arn:aws:iam::222222222222:role/{name}\"}}"
        )
    };
    let two = |one: &str, other: &str| {
        let first = rule(&format!("copies: [{one}]"));
        format!("{first}- name: second\n  databases: {{include: [shop]}}\n  copies: [{other}]\n")
    };
    refused(
        &two(&role("one"), &role("two")),
        "rules[1].copies[0]: 222222222222:eu-west-1 is not allowed; allowed: the same role_arn, \
         external_id and restore_points wherever a place is named",
    );
    parse(&two(&role("one"), &role("one"))).unwrap();
    // Another account is another place.
    parse(&two(place, &role("one"))).unwrap();
}

#[test]
fn a_bucket_holds_the_documents_of_one_place() {
    let policy = |here: &str, one: &str, other: &str| {
        format!(
            "version: 1\nrestore_points: {here}\nrules:\n- name: all\n  databases: {{include: \
             [\"*\"]}}\n  copies:\n  - {{region: eu-west-1, kms_key_id: alias/backups, \
             restore_points: {one}}}\n  - {{region: eu-west-2, kms_key_id: alias/backups, \
             restore_points: {other}}}\n"
        )
    };
    parse(&policy("here", "there", "elsewhere")).unwrap();
    let twice = "restore_points: \"there\" is not allowed; allowed: another bucket for each account \
                 and Region";
    refused(
        &policy("here", "there", "there"),
        &format!("rules[0].copies[0].{twice}; rules[0].copies[1].{twice}"),
    );
    refused(
        &policy("there", "there", "elsewhere"),
        &format!("rules[0].copies[0].{twice}"),
    );
}

#[test]
fn rules_have_names_of_their_own_and_select_something() {
    let of = |rules: &str| format!("version: 1\nrules:\n{rules}");
    refused(
        &of("- {name: \" \", databases: {include: [\"*\"]}}\n"),
        "rules[0].name: \" \" is not allowed; allowed: a name",
    );
    refused(
        &of("- {name: a, databases: {include: [x]}}\n- {name: a, databases: {include: [y]}}\n"),
        "rules[1].name: \"a\" is not allowed; allowed: each name once",
    );
    refused(
        &of("- {name: a}\n"),
        "rules[0]: a rule without databases and tags is not allowed; allowed: databases, tags or \
         both",
    );
    refused(
        &of("- {name: a, databases: {include: []}}\n"),
        "rules[0].databases",
    );
    parse(&of("- {name: a, tags: {backup: daily}}\n")).unwrap();
}

#[test]
fn more_accounts_than_rds_shares_with_are_refused() {
    let accounts = |n: u64| {
        let accounts = (0..n).map(|n| format!("\"{:012}\"", 333_333_333_333 + n));
        accounts.collect::<Vec<String>>().join(", ")
    };
    parse(&rule(&format!("share_with: [{}]", accounts(20)))).unwrap();
    let too_many = format!("share_with: [{}]", accounts(21));
    let expected = "rules[0].share_with: 21 accounts with those of copies is not allowed; allowed: \
                    20 at most";
    refused(&rule(&too_many), expected);
    let with_copy = format!(
        "share_with: [{}]\n  copies: [{{region: eu-west-1, kms_key_id: alias/backups, role_arn: \
         \"arn:aws:iam::222222222222:role/x\"}}]",
        accounts(20)
    );
    refused(&rule(&with_copy), expected);
}

#[test]
fn limits_and_what_stands_beside_rules_are_checked() {
    for (more, expected) in [
        (
            "limits: {max_deletes_per_database: 0}",
            "limits.max_deletes_per_database: 0 is not allowed; allowed: 1 to 1000",
        ),
        (
            "limits: {max_deletes_per_run: 10001}",
            "limits.max_deletes_per_run: 10001 is not allowed; allowed: 1 to 10000",
        ),
        (
            "limits: {keep_snapshots_at_least: 0}",
            "limits.keep_snapshots_at_least: 0 is not allowed; allowed: 1 to 1000",
        ),
        (
            "limits: {max_copies_in_flight: 21}",
            "limits.max_copies_in_flight: 21 is not allowed; allowed: 1 to 20",
        ),
        (
            "limits: {max_delete_share_percent: 101}",
            "limits.max_delete_share_percent: 101 is not allowed; allowed: 1 to 100",
        ),
        (
            "limits: {reviewed_plan_may_exceed: [keep_at_least]}",
            "limits.reviewed_plan_may_exceed: \"keep_at_least\" is not allowed; allowed: \
             max_actions_per_unit, max_actions_per_run, max_share_percent",
        ),
        (
            "restore_points: \"s3://backups\"",
            "restore_points: \"s3://backups\" is not allowed; allowed: the name of a bucket",
        ),
    ] {
        refused(&format!("version: 1\n{more}\n"), expected);
    }
}

#[test]
fn a_floor_of_one_allows_rules_that_come_down_to_one() {
    let text = rule("keep: {last: 1}");
    parse(&format!("{text}limits: {{keep_snapshots_at_least: 1}}\n")).unwrap();
    // No rule at all keeps everything.
    parse(&rule("keep: {}")).unwrap();
    // And so many within a time are as many intervals.
    parse(&rule("keep: {within: 2d}")).unwrap();
}

#[test]
fn only_a_policy_with_rules_selects_anything() {
    assert!(!RotationPolicy::default().selects_targets());
    assert!(parse(&rule("replicas: true")).unwrap().selects_targets());
    let policy = RotationPolicy::default();
    let defaults = policy.rules();
    assert_eq!(defaults.len(), 1);
    assert_eq!(defaults[0], Rule::default());
}
