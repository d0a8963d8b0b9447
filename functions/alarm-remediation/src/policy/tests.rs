use steward::policy::PolicyDocument;

use super::*;

fn problems(text: &str) -> String {
    let parsed = PolicyDocument::<RemediationPolicy>::parse(text, "test");
    parsed.unwrap_err().to_string()
}

#[test]
fn what_is_wrong_is_named_with_what_is_allowed() {
    let everything = r#"{include: ["*"]}"#;
    for (text, expected) in [
        ("settle: 3h", "settle: 3h is not allowed; allowed: 1m to 2h"),
        ("escalate_after: 1m", "escalate_after: 1m is not allowed"),
        (
            "bounds: {attempts: 0}",
            "bounds.attempts: 0 is not allowed; allowed: 1 to 20",
        ),
        (
            "bounds: {cool_down: 12h}",
            "bounds.cool_down: 12h is not allowed; allowed: at most the window, 6h",
        ),
        ("bounds: {per_hour: 1000}", "bounds.per_hour: 1000"),
        ("remedies: {restart: null}", "restart"),
        ("alarms: {include: []}", "alarms.include: an empty list"),
        (
            "targets: [{alarms: {include: [x]}, target: web}]",
            "targets[0].target: \"web\" is not allowed; allowed: service:CLUSTER/SERVICE",
        ),
        (
            "targets: [{alarms: {include: [x]}, target: instance:c/i}]",
            "targets[0].target: \"instance:c/i\"",
        ),
        (
            &format!("remedies: {{raise_service: {{of: {everything}, most: 0}}}}"),
            "remedies.raise_service.most: 0 is not allowed; allowed: 1 to 5000",
        ),
        (
            &format!(
                "remedies: {{grow_storage: {{of: {everything}, most_gib: 100, step_percent: 5}}}}"
            ),
            "remedies.grow_storage.step_percent: 5 is not allowed; allowed: 10 to 100",
        ),
        (
            &format!("remedies: {{change_class: {{of: {everything}, classes: [db.t4g.large]}}}}"),
            "remedies.change_class.classes: a list of 1 is not allowed; allowed: 2 to 20",
        ),
        (
            &format!(
                "remedies: {{change_class: {{of: {everything}, classes: [db.t4g.large, t4g]}}}}"
            ),
            "remedies.change_class.classes[1]: \"t4g\" is not allowed",
        ),
        (
            &format!("remedies: {{replace_tasks: {{of: {everything}, batch_percent: 51}}}}"),
            "remedies.replace_tasks.batch_percent: 51",
        ),
        (
            &format!("remedies: {{replace_instance: {{of: {everything}, lost_for: 1m}}}}"),
            "remedies.replace_instance.lost_for: 1m is not allowed; allowed: 5m to 1d",
        ),
    ] {
        let told = problems(&format!("version: 1\n{text}\n"));
        assert!(told.contains(expected), "{told} instead of {expected}");
    }
}

#[test]
fn the_tag_of_an_alarm_counts_before_the_policy() {
    let policy = RemediationPolicy {
        alarms: Some(Selection {
            include: vec!["shop-*".to_owned()],
            exclude: vec!["shop-test-*".to_owned()],
        }),
        ..RemediationPolicy::default()
    };
    for (name, tag, expected) in [
        ("shop-cpu", None, true),
        ("shop-cpu", Some(OFF), false),
        ("shop-test-cpu", None, false),
        ("shop-test-cpu", Some("on"), true),
        ("other", Some("service:a/b"), true),
        ("other", None, false),
    ] {
        assert_eq!(policy.takes_on(name, tag), expected, "{name} {tag:?}");
    }
    let nothing = RemediationPolicy::default();
    assert!(!nothing.takes_on("shop-cpu", None));
    assert!(!nothing.selects_targets() && policy.selects_targets());
}

#[test]
fn targets_are_read_as_they_are_written() {
    for text in [
        "service:shop/web",
        "group:shop-instances",
        "database:shop-db",
        "instance:shop/arn:aws:ecs:eu-west-1:123456789012:container-instance/shop/0a1b",
    ] {
        let target: Target = text.parse().unwrap();
        assert_eq!(target.to_string(), text);
        let json = serde_json::to_string(&target).unwrap();
        assert_eq!(serde_json::from_str::<Target>(&json).unwrap(), target);
    }
    for text in [
        "",
        "service:web",
        "service:a/b/c",
        "group:",
        "queue:x",
        "service:/x",
    ] {
        assert!(text.parse::<Target>().is_err(), "{text}");
    }
}
