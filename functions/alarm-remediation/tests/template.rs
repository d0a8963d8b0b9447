//! The template that deploys the function says what the code takes.

use alarm_remediation::{AlarmRemediation, RemediationPolicy, SWEEP, Scope};
use steward::engine::Function;
use steward::lambda;
use steward::policy::PolicyDocument;
use steward_sandbox::contract::in_template;

const TEMPLATE: &str = include_str!("../../../infra/automation.yaml");

#[test]
fn the_policy_of_the_template_is_the_defaults_and_takes_on_no_alarm() {
    let default = in_template("AlarmRemediationPolicy", "Default").unwrap();
    // A text in double quotes is the same in YAML and in JSON.
    let text: String = serde_json::from_str(&default).unwrap();
    let policy =
        PolicyDocument::<RemediationPolicy>::parse(&text, "AlarmRemediationPolicy").unwrap();
    assert_eq!(policy.policy(), &RemediationPolicy::default());
    assert!(!policy.selects_targets());
    // The template's rule knows this text, and refuses to apply by it.
    let rule = format!("[!Ref AlarmRemediationPolicy, {default}]");
    assert!(TEMPLATE.contains(&rule), "{rule}");
}

#[test]
fn the_schedules_of_the_template_ask_for_what_it_has_and_no_mode_of_their_own() {
    for (schedule, operation, scope) in [
        (
            "AlarmRemediationTick",
            AlarmRemediation::OPERATIONS[0],
            Scope::OpenCases,
        ),
        ("AlarmRemediationSweep", SWEEP, Scope::Sweep),
    ] {
        let input = in_template(schedule, "Input").unwrap();
        let input = serde_json::from_str(input.trim_matches('\'')).unwrap();
        let request = lambda::request::<AlarmRemediation>(&input).unwrap();
        assert_eq!(request.operation, operation);
        assert_eq!(request.mode, None);
        assert_eq!(request.scope, scope);
    }
}
