//! The functions that can be run by hand. A new one is one line in
//! [`FUNCTIONS`] and one implementation of [`ByHand`].

use std::future::Future;
use std::pin::Pin;

use alarm_remediation::{APPROVE, AlarmRemediation, Alarms, RemediationPolicy, SWEEP};
use aws_config::SdkConfig;
use clap::{Arg, ArgMatches, Command};
use image_pruning::{ImagePruning, PruningPolicy, Registry};
use scheduled_scaling::{Environments, OVERRIDE, ScalingPolicy, ScheduledScaling, Scope};
use serde_json::{Map, Value, json};
use snapshot_rotation::{RotationPolicy, SnapshotRotation, Snapshots};
use steward::ledger::LedgerTable;
use steward::permission::{Asked, Permission};

use crate::arguments::scope_argument;
use crate::by_hand::{self, Aside, ByHand};
use crate::doctor::{self, Findings, Place};
use crate::exit::{Exit, Failure};
use crate::history;
use crate::preview;
use crate::surroundings::Surroundings;
use crate::terminal::print;

/// Every function, in the order of `--help`.
pub(crate) const FUNCTIONS: &[Entry] = &[
    Entry::of::<ImagePruning>(),
    Entry::of::<SnapshotRotation>(),
    Entry::of::<ScheduledScaling>(),
    Entry::of::<AlarmRemediation>(),
];

/// A command under way.
pub(crate) type Ending<'a> = Pin<Box<dyn Future<Output = Result<Exit, Failure>> + 'a>>;

/// One function, without its types.
pub(crate) struct Entry {
    /// Its name, which is its subcommand.
    pub(crate) name: &'static str,
    /// Its command line.
    pub(crate) command: fn() -> Command,
    /// Runs it.
    pub(crate) run: for<'a> fn(&'a ArgMatches, &'a Surroundings) -> Ending<'a>,
    /// What `steward doctor` finds out about it.
    pub(crate) findings: for<'a> fn(&'a Place<'a>) -> Findings<'a>,
    /// The JSON Schema of its policy.
    pub(crate) policy_schema: fn() -> Value,
}

impl Entry {
    const fn of<F: ByHand>() -> Self {
        Self {
            name: F::NAME,
            command: by_hand::command::<F>,
            run: |matches, around| Box::pin(by_hand::run::<F>(matches, around)),
            findings: |place| Box::pin(doctor::findings::<F>(place)),
            policy_schema: || steward::policy::schema::<F::Policy>().to_value(),
        }
    }
}

/// The names of all of them.
pub(crate) fn names() -> Vec<&'static str> {
    FUNCTIONS.iter().map(|function| function.name).collect()
}

/// The function of this name.
pub(crate) fn named(name: &str) -> Option<&'static Entry> {
    FUNCTIONS.iter().find(|function| function.name == name)
}

impl ByHand for ImagePruning {
    type Hands = Registry;
    const ABOUT: &'static str =
        "Delete container images that nothing runs, can roll back to or names";
    const READING: &'static str = "reading the registry and who uses it";

    fn hands(config: &SdkConfig, _: LedgerTable) -> Registry {
        Registry::new(config)
    }

    fn permissions() -> &'static [Permission] {
        image_pruning::PERMISSIONS
    }

    fn asked_for(
        policy: &PruningPolicy,
        partition: &str,
        region: &str,
        account: &str,
        repositories: &[String],
        _: &[String],
    ) -> Vec<Asked> {
        image_pruning::asked_for(policy, partition, region, account, repositories)
    }

    fn scope_arguments() -> Vec<Arg> {
        vec![scope_argument(
            "repository",
            "Only this repository, as far as the policy selects it; may be repeated",
        )]
    }

    fn parameters(_: Option<&str>, matches: &ArgMatches) -> Map<String, Value> {
        let names: Vec<&String> = matches
            .get_many("repository")
            .into_iter()
            .flatten()
            .collect();
        let mut parameters = Map::new();
        if !names.is_empty() {
            parameters.insert("repositories".to_owned(), json!(names));
        }
        parameters
    }
}

impl ByHand for SnapshotRotation {
    type Hands = Snapshots;
    const ABOUT: &'static str =
        "Make, copy and thin snapshots of databases, and write down what a recovery needs";
    const READING: &'static str = "reading databases and their snapshots";
    const ASIDE: Option<Aside> = Some(preview::OF_ROTATION);

    fn hands(config: &SdkConfig, _: LedgerTable) -> Snapshots {
        Snapshots::new(config)
    }

    fn permissions() -> &'static [Permission] {
        snapshot_rotation::PERMISSIONS
    }

    fn asked_for(
        policy: &RotationPolicy,
        partition: &str,
        region: &str,
        account: &str,
        units: &[String],
        _: &[String],
    ) -> Vec<Asked> {
        snapshot_rotation::asked_for(policy, partition, region, account, units)
    }

    fn scope_arguments() -> Vec<Arg> {
        vec![
            scope_argument(
                "database",
                "Only this database, as far as a rule selects it; may be repeated",
            ),
            scope_argument(
                "resource-id",
                "For retire: the resource id of a database that is gone; may be repeated",
            ),
        ]
    }

    fn parameters(_: Option<&str>, matches: &ArgMatches) -> Map<String, Value> {
        let mut parameters = Map::new();
        for (argument, key) in [("database", "databases"), ("resource-id", "resource_ids")] {
            let values = matches.get_many::<String>(argument).into_iter().flatten();
            let values: Vec<&String> = values.collect();
            if !values.is_empty() {
                parameters.insert(key.to_owned(), json!(values));
            }
        }
        parameters
    }
}

impl ByHand for ScheduledScaling {
    type Hands = Environments;
    const ABOUT: &'static str = "Put environments to sleep on schedules, and wake them, in order";
    const READING: &'static str = "reading environments and what is remembered of them";
    const ASIDE: Option<Aside> = Some(preview::OF_SCALING);

    fn hands(config: &SdkConfig, ledger: LedgerTable) -> Environments {
        Environments::new(config, ledger)
    }

    fn permissions() -> &'static [Permission] {
        scheduled_scaling::PERMISSIONS
    }

    fn asked_for(
        policy: &ScalingPolicy,
        partition: &str,
        region: &str,
        account: &str,
        environments: &[String],
        _: &[String],
    ) -> Vec<Asked> {
        scheduled_scaling::asked_for(policy, partition, region, account, environments)
    }

    fn scope_arguments() -> Vec<Arg> {
        vec![scope_argument(
            "environment",
            "Only this environment of the policy; may be repeated",
        )]
    }

    fn arguments_of(operation: &str) -> Option<Vec<Arg>> {
        (operation == OVERRIDE).then(override_arguments)
    }

    fn parameters(operation: Option<&str>, matches: &ArgMatches) -> Map<String, Value> {
        let mut parameters = Map::new();
        if operation == Some(OVERRIDE) {
            for argument in override_arguments() {
                let key = argument.get_id().as_str();
                if let Some(value) = matches.get_one::<String>(key) {
                    parameters.insert(key.to_owned(), json!(value));
                }
            }
            return parameters;
        }
        let names = matches.get_many::<String>("environment");
        let names: Vec<&String> = names.into_iter().flatten().collect();
        if !names.is_empty() {
            parameters.insert("environments".to_owned(), json!(names));
        }
        parameters
    }

    fn sign(scope: &mut Scope, caller: &str) {
        if let Scope::Override(asked) = scope {
            asked.by.get_or_insert_with(|| caller.to_owned());
        }
    }
}

impl ByHand for AlarmRemediation {
    type Hands = Alarms;
    const ABOUT: &'static str =
        "Answer alarms: look, do one bounded thing, see whether it helped, else tell a person";
    const READING: &'static str = "reading alarms, what they are about and what was tried";
    // It works on open cases, and a sweep on what is in alarm beside.
    const IDLE_SEES_NOTHING: bool = true;
    const SEES_MOST: &'static str = SWEEP;
    const ASIDE: Option<Aside> = Some(history::OF_REMEDIATION);

    fn hands(config: &SdkConfig, ledger: LedgerTable) -> Alarms {
        Alarms::new(config, ledger)
    }

    fn permissions() -> &'static [Permission] {
        alarm_remediation::PERMISSIONS
    }

    fn asked_for(
        policy: &RemediationPolicy,
        partition: &str,
        region: &str,
        account: &str,
        _: &[String],
        environments: &[String],
    ) -> Vec<Asked> {
        // Its units are what alarms are about, and its policy names no environments.
        alarm_remediation::asked_for(policy, partition, region, account, environments)
    }

    fn scope_arguments() -> Vec<Arg> {
        vec![scope_argument(
            "alarm",
            "Only this alarm, as far as a tag or the policy selects it; may be repeated. Without \
             it, the open cases",
        )]
    }

    fn arguments_of(operation: &str) -> Option<Vec<Arg>> {
        match operation {
            SWEEP => Some(vec![]),
            APPROVE => {
                let case = Arg::new("case").value_name("CASE");
                let help = "The name of the alarm, or the key of its case";
                let case = case.required_unless_present_any(["event", "plan"]);
                Some(vec![case.conflicts_with_all(["event", "plan"]).help(help)])
            }
            _ => None,
        }
    }

    fn parameters(operation: Option<&str>, matches: &ArgMatches) -> Map<String, Value> {
        let mut parameters = Map::new();
        match operation {
            Some(SWEEP) => {}
            Some(APPROVE) => {
                if let Some(case) = matches.get_one::<String>("case") {
                    parameters.insert("case".to_owned(), json!(case));
                }
            }
            _ => {
                let names = matches.get_many::<String>("alarm");
                let names: Vec<&String> = names.into_iter().flatten().collect();
                if !names.is_empty() {
                    parameters.insert("alarms".to_owned(), json!(names));
                }
            }
        }
        parameters
    }
}

/// The arguments of an override: their names are the keys of the manual form.
fn override_arguments() -> Vec<Arg> {
    let operand = |name, title| {
        Arg::new(name)
            .value_name(title)
            .required_unless_present_any(["event", "plan"])
    };
    let option = |name, title| Arg::new(name).long(name).value_name(title);
    let all = [
        operand("environment", "ENV").help("The environment"),
        operand("to", "TO")
            .value_parser(["on", "off", "none"])
            .help("What it is to be; none: what its schedules say"),
        option("for", "PERIOD").help("For how long: 1m to 31d, such as 3h"),
        option("size", "NAME").help("In which of its sizes; without it, the one that it had"),
        option("why", "TEXT").help("Why, for those who see it"),
    ];
    let alone = |argument: Arg| argument.conflicts_with_all(["event", "plan"]);
    all.map(alone).into()
}

/// What `steward schema` knows.
pub(crate) fn schema_names() -> Vec<&'static str> {
    let shared = SHARED_SCHEMAS.iter().map(|(name, _)| *name);
    shared.chain(names()).collect()
}

/// Makes a JSON Schema.
type Generator = fn() -> Value;

/// The schemas that belong to no one function.
const SHARED_SCHEMAS: &[(&str, Generator)] = &[
    ("report", || steward::report::schema().to_value()),
    ("restore-point", || {
        steward::restore_point::restore_point_schema().to_value()
    }),
    ("recipe", || {
        steward::restore_point::recipe_schema().to_value()
    }),
];

/// The published JSON Schema of this name, as it is in its file.
fn schema(name: &str) -> String {
    let shared = SHARED_SCHEMAS.iter().find(|(shared, _)| *shared == name);
    let schema = match (named(name), shared) {
        (Some(function), _) => (function.policy_schema)(),
        (None, Some((_, schema))) => schema(),
        (None, None) => steward::report::schema().to_value(),
    };
    format!("{schema:#}\n")
}

/// `steward schema`.
pub(crate) fn print_schema(matches: &ArgMatches) -> Result<Exit, Failure> {
    let name = matches
        .get_one::<String>("of")
        .map_or("report", String::as_str);
    print(&schema(name)).map_err(Failure::failed)?;
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every schema has its file in the repository, as `steward schema` prints
    /// it.
    #[test]
    fn the_published_schemas_are_the_generated_ones() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        for name in schema_names() {
            let file = match named(name) {
                Some(_) => format!("functions/{name}/policy.schema.json"),
                None => format!("shared/schema/{name}.schema.json"),
            };
            let published = std::fs::read_to_string(root.join(&file)).unwrap_or_default();
            assert!(
                published == schema(name),
                "{file} is out of date: cargo run --bin steward -- schema {name} > {file}"
            );
        }
    }

    fn validator(name: &str) -> jsonschema::Validator {
        jsonschema::validator_for(&serde_json::from_str(&schema(name)).unwrap()).unwrap()
    }

    #[test]
    fn the_schema_of_reports_describes_them() {
        let validator = validator("report");
        let mut report = serde_json::to_value(crate::show::tests::planned()).unwrap();
        let problems: Vec<String> = validator
            .iter_errors(&report)
            .map(|error| error.to_string())
            .collect();
        assert_eq!(problems, Vec::<String>::new());
        report["status"] = json!("perfect");
        assert!(!validator.is_valid(&report));
    }

    /// The scope of `steward scheduled-scaling …`, when somebody calls it.
    fn scope_of(words: &str) -> Scope {
        let words = words.split(' ').collect::<Vec<_>>();
        let matches = by_hand::command::<ScheduledScaling>();
        let matches = matches.get_matches_from([&["scheduled-scaling"], &words[..]].concat());
        let (name, matches) = matches.subcommand().unwrap();
        let operation = (name == OVERRIDE).then_some(name);
        let mut payload = ScheduledScaling::parameters(operation, matches);
        if let Some(operation) = operation {
            payload.insert("operation".to_owned(), json!(operation));
        }
        payload.insert("mode".to_owned(), json!("plan"));
        let request = steward::lambda::request::<ScheduledScaling>(&payload.into());
        let mut scope = request.unwrap().scope;
        ScheduledScaling::sign(&mut scope, "arn:aws:iam::123456789012:user/jo");
        scope
    }

    #[test]
    fn an_override_by_hand_is_what_its_event_says_and_signed_by_who_calls() {
        let of = |event: Value| {
            let request = steward::lambda::request::<ScheduledScaling>(&event);
            request.unwrap().scope
        };
        let jo = "arn:aws:iam::123456789012:user/jo";
        assert_eq!(
            scope_of("override dev on --for 3h --size small --why demo"),
            of(json!({
                "operation": "override", "mode": "apply", "environment": "dev", "to": "on",
                "size": "small", "for": "3h", "why": "demo", "by": jo,
            }))
        );
        assert_eq!(
            scope_of("override dev none"),
            of(json!({
                "operation": "override", "environment": "dev", "to": "none", "size": null,
                "by": jo,
            }))
        );
        let mut told = of(json!({
            "operation": "override", "environment": "dev", "to": "none", "by": "ann",
        }));
        let before = told.clone();
        ScheduledScaling::sign(&mut told, jo);
        assert_eq!(told, before);
        let names = ["dev", "shop"].map(str::to_owned).to_vec();
        assert_eq!(
            scope_of("plan --environment dev --environment shop"),
            Scope::Environments(names)
        );
        assert_eq!(scope_of("plan"), Scope::Everything);
    }

    #[test]
    fn what_is_asked_of_alarms_by_hand_is_what_its_event_says() {
        use alarm_remediation::{Scope, Sighting};
        use steward::engine::Function as _;
        let scope_of = |words: &str| {
            let matches = by_hand::command::<AlarmRemediation>();
            let words = ["alarm-remediation"].into_iter().chain(words.split(' '));
            let matches = matches.get_matches_from(words);
            let (name, matches) = matches.subcommand().unwrap();
            let mut operations = AlarmRemediation::OPERATIONS.iter().copied();
            let operation = operations.find(|operation| *operation == name);
            let mut payload = AlarmRemediation::parameters(operation, matches);
            if let Some(operation) = operation {
                payload.insert("operation".to_owned(), json!(operation));
            }
            payload.insert("mode".to_owned(), json!("plan"));
            let request = steward::lambda::request::<AlarmRemediation>(&payload.into());
            request.unwrap().scope
        };
        let alarms = |names: &[&str]| {
            let sighting = |name: &&str| Sighting {
                name: (*name).to_owned(),
                arn: None,
            };
            Scope::Alarms(names.iter().map(sighting).collect())
        };
        assert_eq!(scope_of("plan"), Scope::OpenCases);
        assert_eq!(scope_of("remediate"), Scope::OpenCases);
        for words in ["plan --alarm a --alarm b", "remediate --alarm a --alarm b"] {
            assert_eq!(scope_of(words), alarms(&["a", "b"]), "{words}");
        }
        assert_eq!(scope_of("sweep --mode apply --policy p"), Scope::Sweep);
        assert_eq!(
            scope_of("approve shop-5xx"),
            Scope::Approved("shop-5xx".to_owned())
        );
    }

    #[test]
    fn the_schema_of_policies_has_their_version_and_no_unknown_keys() {
        let validator = validator("image-pruning");
        let policy = json!({ "version": 1, "retention": { "keep_newest": 5 } });
        assert!(validator.is_valid(&policy));
        for wrong in [
            json!({ "retention": {} }),
            json!({ "version": 2 }),
            json!({ "version": 1, "retentions": {} }),
            json!({ "version": 1, "retention": { "keep_newst": 5 } }),
        ] {
            assert!(!validator.is_valid(&wrong), "{wrong}");
        }
    }
}
