//! scheduled-scaling over environments that sleep and wake: what is true there, and
//! how many calls its ticks need.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::scenario::{Truth, now, pages};

/// What each environment is made of.
pub(crate) const SERVICES: usize = 5;
pub(crate) const GROUPS: usize = 3;
pub(crate) const DATABASES: usize = 2;

/// The first services of each environment that Application Auto Scaling scales, and
/// the first that are behind a load balancer.
pub(crate) const SCALED: usize = 2;
pub(crate) const BALANCED: usize = 1;

/// The first groups of each environment that a capacity provider with managed scaling
/// looks after.
pub(crate) const MANAGED: usize = 1;

/// Instances of a group by day.
pub(crate) const INSTANCES: usize = 2;

/// Environments in clusters, at some time of day. Their schedule is the same, and all
/// that it asked for before is done.
#[derive(Clone, Debug)]
pub(crate) struct Scaling {
    pub(crate) environments: usize,
    pub(crate) clusters: usize,
    pub(crate) time: Time,
    /// Whether the schedule is, so that every tick looks at everything.
    pub(crate) enforced: bool,
    /// Whole minutes; schedules count from it.
    pub(crate) now: Timestamp,
}

/// The time of day of a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Time {
    /// Everything has been awake for hours.
    Day,
    /// Everything is awake, and was to go to sleep ten minutes ago.
    Evening,
    /// Everything has been asleep for hours.
    Night,
    /// Everything is asleep, and was to wake ten minutes ago.
    Morning,
}

/// What a tick does in each environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Nothing is due.
    Nothing,
    Services,
    Groups,
    Databases,
    /// It is written down that everything is as it was to be.
    End,
}

impl Step {
    /// What it changes in each environment.
    fn changes(self) -> usize {
        match self {
            Self::Nothing | Self::End => 0,
            Self::Services => SERVICES,
            Self::Groups => GROUPS,
            Self::Databases => DATABASES,
        }
    }
}

impl Default for Scaling {
    fn default() -> Self {
        Self {
            environments: 200,
            clusters: 20,
            time: Time::Day,
            enforced: false,
            now: Timestamp::from_second(now() / 60 * 60).unwrap_or_default(),
        }
    }
}

impl Scaling {
    pub(crate) fn environment(of: usize) -> String {
        format!("env-{of:03}")
    }

    pub(crate) fn services(&self) -> usize {
        self.environments * SERVICES
    }

    pub(crate) fn groups(&self) -> usize {
        self.environments * GROUPS
    }

    pub(crate) fn databases(&self) -> usize {
        self.environments * DATABASES
    }

    /// Whether everything is asleep at the beginning.
    pub(crate) fn is_asleep(&self) -> bool {
        matches!(self.time, Time::Night | Time::Morning)
    }

    /// So many minutes after [`now`](Self::now), or before it.
    fn minutes(&self, minutes: i64) -> Timestamp {
        self.now + SignedDuration::from_mins(minutes)
    }

    /// When the schedule's day begins and ends: those times of day of every date.
    fn day(&self) -> (Timestamp, Timestamp) {
        let (hours, lately) = (6 * 60, 10);
        match self.time {
            Time::Day => (self.minutes(-hours), self.minutes(hours)),
            Time::Evening => (self.minutes(-hours), self.minutes(-lately)),
            Time::Night => (self.minutes(hours), self.minutes(-hours)),
            Time::Morning => (self.minutes(-lately), self.minutes(hours)),
        }
    }

    /// The last transition that is remembered, by when it was due.
    pub(crate) fn last(&self) -> Timestamp {
        let (start, stop) = self.day();
        match self.time {
            Time::Day | Time::Evening => start,
            Time::Night => stop,
            Time::Morning => stop - SignedDuration::from_hours(24),
        }
    }

    pub(crate) fn policy(&self) -> Value {
        let clock = |at: Timestamp| at.to_zoned(TimeZone::UTC).strftime("%H:%M").to_string();
        let (start, stop) = self.day();
        let environments: BTreeMap<String, Value> = (0..self.environments)
            .map(|of| (Self::environment(of), json!({"schedules": ["office"]})))
            .collect();
        json!({
            "version": 1,
            "schedules": {"office": {
                "periods": [{"start": clock(start), "stop": clock(stop)}],
                "enforced": self.enforced,
            }},
            "environments": environments,
            "limits": {"max_parked_per_run": 1000},
        })
    }

    /// What the ticks do, in their order.
    fn steps(&self) -> &'static [Step] {
        match self.time {
            Time::Day | Time::Night => &[Step::Nothing],
            Time::Evening => &[Step::Services, Step::Groups, Step::Databases, Step::End],
            Time::Morning => &[Step::Databases, Step::Groups, Step::Services, Step::End],
        }
    }

    pub(crate) fn ticks(&self) -> usize {
        self.steps().len()
    }

    pub(crate) fn truth(&self, tick: usize) -> Truth {
        let all = SERVICES + GROUPS + DATABASES;
        let steps = self.steps();
        let (before, rest) = steps.split_at(tick.min(steps.len()));
        let step = rest.first().copied().unwrap_or(Step::Nothing);
        let changed: usize = before.iter().map(|step| step.changes()).sum();
        // Of each environment itself there is something to say too.
        let (kept, planned, deferred) = match (step, self.time) {
            (Step::Nothing, _) if self.enforced => (1 + all, 0, 0),
            (Step::Nothing, Time::Night) => (1 + DATABASES, 0, 0),
            (Step::Nothing, _) => (1, 0, 0),
            (step, _) => {
                let changes = step.changes();
                (changed, 1 + changes, all - changed - changes)
            }
        };
        let awake = match self.time {
            Time::Day | Time::Morning => all,
            Time::Evening | Time::Night => 0,
        };
        let of_all = |each: usize| each * self.environments;
        Truth {
            observed: of_all(kept + planned + deferred),
            kept: of_all(kept),
            planned: of_all(planned),
            deferred: of_all(deferred),
            left: of_all(awake),
        }
    }

    /// The calls that the ticks make, by operation.
    pub(crate) fn calls(&self) -> BTreeMap<&'static str, usize> {
        let mut all = BTreeMap::new();
        let steps = self.steps();
        for (tick, step) in steps.iter().enumerate() {
            let before = steps.get(..tick).unwrap_or_default();
            for (action, n) in self
                .reads(*step, before)
                .into_iter()
                .chain(self.acts(*step))
            {
                *all.entry(action).or_default() += n;
            }
        }
        all
    }

    fn reads(&self, step: Step, before: &[Step]) -> Vec<(&'static str, usize)> {
        let looks_whole = step != Step::Nothing || self.enforced;
        let has_sizes = looks_whole || self.time == Time::Night;
        // Environments and overrides; sizes; raises.
        let queries = 2 + usize::from(has_sizes) + usize::from(looks_whole);
        let mut all = vec![("ssm:GetParameters", 1), ("dynamodb:Query", queries)];
        if has_sizes {
            let databases = pages(self.databases(), 100);
            all.push(("rds:DescribeDBInstances", databases));
        }
        if !looks_whole {
            return all;
        }
        let in_a_cluster = self.services() / self.clusters;
        all.extend([
            ("ecs:ListClusters", pages(self.clusters, 100)),
            ("ecs:ListServices", self.clusters * pages(in_a_cluster, 100)),
            (
                "ecs:DescribeServices",
                self.clusters * in_a_cluster.div_ceil(10),
            ),
            (
                "application_auto_scaling:DescribeScalableTargets",
                self.services().div_ceil(50),
            ),
            (
                "auto_scaling:DescribeAutoScalingGroups",
                pages(self.groups(), 100),
            ),
            (
                "ecs:DescribeCapacityProviders",
                pages(self.environments * MANAGED, 10),
            ),
        ]);
        // Whether it serves is asked of what has been woken.
        let is_waking = self.time == Time::Morning;
        if is_waking && before.contains(&Step::Groups) {
            let instances = self.environments * MANAGED * INSTANCES / self.clusters;
            all.extend([
                ("ecs:ListClusters", pages(self.clusters, 100)),
                ("ecs:DescribeClusters", self.clusters.div_ceil(100)),
                (
                    "ecs:ListContainerInstances",
                    self.clusters * pages(instances, 100),
                ),
                (
                    "ecs:DescribeContainerInstances",
                    self.clusters * instances.div_ceil(100),
                ),
            ]);
        }
        if is_waking && before.contains(&Step::Services) {
            let target_groups = self.environments * BALANCED;
            all.push((
                "elastic_load_balancing_v2:DescribeTargetHealth",
                target_groups,
            ));
        }
        all
    }

    fn acts(&self, step: Step) -> Vec<(&'static str, usize)> {
        if step == Step::Nothing {
            return vec![];
        }
        let environments = self.environments;
        // One for the note, one for the changes.
        let batches = environments * (1 + usize::from(step.changes() > 0));
        let mut all = vec![
            ("ssm:GetParameters", batches),
            // The lease.
            ("dynamodb:PutItem", environments),
            ("dynamodb:DeleteItem", environments),
            // The note.
            ("dynamodb:GetItem", environments),
            ("dynamodb:PutItem", environments),
        ];
        let parks = self.time == Time::Evening;
        let n = environments * step.changes();
        // Whether it is still wanted; then the size, which is remembered and confirmed,
        // or forgotten.
        if parks {
            all.extend([("dynamodb:GetItem", 3 * n), ("dynamodb:PutItem", 2 * n)]);
        } else {
            all.extend([("dynamodb:GetItem", 2 * n), ("dynamodb:DeleteItem", n)]);
        }
        let either = |park, wake| if parks { park } else { wake };
        match step {
            Step::Nothing | Step::End => {}
            Step::Services => all.extend([
                ("ecs:DescribeServices", n),
                ("application_auto_scaling:DescribeScalableTargets", n),
                ("ecs:UpdateService", n),
                (
                    "application_auto_scaling:RegisterScalableTarget",
                    environments * SCALED,
                ),
                (either("ecs:TagResource", "ecs:UntagResource"), n),
            ]),
            Step::Groups => all.extend([
                ("auto_scaling:DescribeAutoScalingGroups", n),
                ("auto_scaling:UpdateAutoScalingGroup", n),
                (
                    either("auto_scaling:CreateOrUpdateTags", "auto_scaling:DeleteTags"),
                    n,
                ),
            ]),
            Step::Databases => all.extend([
                ("rds:DescribeDBInstances", n),
                (either("rds:StopDBInstance", "rds:StartDBInstance"), n),
                (
                    either("rds:AddTagsToResource", "rds:RemoveTagsFromResource"),
                    n,
                ),
            ]),
        }
        all
    }

    /// The longest chain of calls of which each needs the answer of the one before,
    /// where nothing is due: the switches, what is remembered of environments, and at
    /// night of resources, and the pages of the databases.
    pub(crate) fn critical_path(&self) -> usize {
        2 + match self.time {
            Time::Night => 1 + pages(self.databases(), 100),
            _ => 0,
        }
    }
}
