//! An evening and a morning of scheduled-scaling on the reference system.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Result, bail, ensure};
use serde_json::Value;
use steward_sandbox::Account;
use steward_sandbox::deploy::Function;
use steward_sandbox::seed::System;

use super::{fire, indented};
use crate::build::Binaries;
use crate::show::Stage;
use crate::up;

const POLICY: &str = include_str!("scaling-policy.yaml");

/// More ticks than an evening or a morning can need.
const MOST_TICKS: usize = 15;

/// Plays both. `parameters` are what the stack has already.
pub(super) async fn evening_and_morning(
    stage: &Stage,
    account: &Account,
    system: &System,
    binaries: &Binaries,
    parameters: &[(&str, &str)],
) -> Result<()> {
    let policy = POLICY.replace("THE-GROUP", &system.auto_scaling_group);
    let mut all = parameters.to_vec();
    all.extend([
        ("ScheduledScalingMode", "apply"),
        ("ScheduledScalingPolicy", policy.as_str()),
    ]);
    stage.title("12. The environment: it is seen, and left as it is")?;
    stage.say(format!(
        "The whole system is to sleep when nobody needs it. The stack is updated with a policy\n\
         that says what needs what; its schedule says on, at all times:\n\n{}",
        indented(&policy)
    ))?;
    let automation = up::deploy_automation(account, binaries, &all).await?;
    let scene = Scene {
        stage,
        account,
        system,
        steward: &binaries.steward,
        function: automation.function("scheduled-scaling")?,
    };
    account.control().settle().await?;
    let run = fire(scene.function).await?;
    stage.report(&binaries.steward, &run)?;
    let by_day = scene.sizes().await?;

    stage.title("13. The evening: from services to the database")?;
    stage.say("Tonight the team stops early, against the schedule, and says why:\n")?;
    scene.ask("off", &["--for", "12h", "--why", "the release is out"])?;
    scene.ticks().await?;
    let by_night = scene.sizes().await?;
    for (what, size) in &by_night {
        let before = by_day.get(what).map(String::as_str).unwrap_or_default();
        stage.say(format!("  {what:<24} {before:<28} {size}"))?;
    }
    stage.say("")?;
    ensure!(
        by_night["database"] == "stopped" && by_night["service web"].starts_with("0 of 0"),
        "it is not asleep: {by_night:?}"
    );

    stage.title("14. The morning: from the database to services")?;
    stage
        .say("Somebody needs it after all. What was asked for ends, and the schedule counts:\n")?;
    scene.ask("none", &[])?;
    scene.ticks().await?;
    let again = scene.sizes().await?;
    ensure!(
        again == by_day,
        "it is not as it was: {again:?} instead of {by_day:?}"
    );
    stage.say("Everything has the sizes that it had, read from AWS itself.\n")
}

/// What both need.
struct Scene<'a> {
    stage: &'a Stage,
    account: &'a Account,
    system: &'a System,
    steward: &'a Path,
    function: &'a Function,
}

impl Scene<'_> {
    /// By hand, against the schedules.
    fn ask(&self, to: &str, also: &[&str]) -> Result<()> {
        let policy = "ssm:/steward/policy/scheduled-scaling";
        let asked = [
            "scheduled-scaling",
            "override",
            "shop",
            to,
            "--mode",
            "apply",
        ];
        let asked = [&asked[..], &["--policy", policy], also].concat();
        self.stage.run(self.steward, &asked, &self.account.env())
    }

    /// Ticks until nothing is left to do; what takes time has come to its end before
    /// each.
    async fn ticks(&self) -> Result<()> {
        self.stage
            .say("\nThe schedule fires every five minutes:\n")?;
        for _ in 0..MOST_TICKS {
            let run = fire(self.function).await?;
            let status = run["status"].as_str().unwrap_or_default();
            self.stage.say(format!("  {}", status.replace('_', " ")))?;
            let actions = run["actions"].as_array().map(Vec::as_slice);
            for action in actions.unwrap_or_default() {
                self.told(action)?;
            }
            if status == "nothing_to_do" {
                return self.stage.say("");
            }
            self.account.control().settle().await?;
        }
        bail!("after {MOST_TICKS} ticks there still is something to do")
    }

    fn told(&self, action: &Value) -> Result<()> {
        let text = |key: &str| action[key].as_str().unwrap_or_default();
        match text("outcome") {
            "deferred" => Ok(()),
            "done" => self.stage.say(format!(
                "    {:<18} {}",
                text("kind"),
                text("resource")
                    .rsplit(['/', ':'])
                    .next()
                    .unwrap_or_default()
            )),
            _ => bail!("it went wrong: {action}"),
        }
    }

    /// What is asked for of everything, and what there is of it.
    async fn sizes(&self) -> Result<BTreeMap<String, String>> {
        let mut sizes = BTreeMap::new();
        let ecs = self.account.ecs();
        for service in ["web", "worker", "reports"] {
            let request = ecs.describe_services().cluster(&self.system.cluster);
            let answer = request.services(service).send().await?;
            let [found] = answer.services() else {
                bail!("there is no service {service}");
            };
            let size = format!("{} of {} tasks", found.running_count, found.desired_count);
            sizes.insert(format!("service {service}"), size);
        }
        let group = &self.system.auto_scaling_group;
        let group = self.account.existing_group(group).await?.sizes().await?;
        let size = format!("at least {}, at most {}", group.min, group.max);
        sizes.insert("instances".to_owned(), size);
        let database = self
            .account
            .existing_database(&self.system.database)
            .await?;
        sizes.insert("database".to_owned(), database.status().await?);
        Ok(sizes)
    }
}
