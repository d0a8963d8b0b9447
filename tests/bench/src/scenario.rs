//! The scenarios, and what is true in them.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::pruning::Pruning;
use crate::remediation::{Remediation, Remedy};
use crate::rotation::Rotation;
use crate::scaling::{Scaling, Time};

pub(crate) const ACCOUNT: &str = "123456789012";
pub(crate) const REGION: &str = "eu-central-1";

/// What a scenario has to stay within.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    /// From the start of the process to its first `/next`.
    InitMs(f64),
    /// From the start of the process to its first call of AWS.
    FirstCallMs(f64),
    /// From the event to the answer.
    RunMs(f64),
    /// Of the process, user and system together.
    CpuMs(f64),
    /// Peak resident memory.
    PeakMib(f64),
    /// The run's time over the time that its longest chain of calls needs.
    OverCriticalPath(f64),
}

/// One AWS and one run over it.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) work: Work,
    /// Of every call.
    pub(crate) latency: Duration,
    /// Operation, calls per second, calls at once.
    pub(crate) rates: Vec<(&'static str, f64, f64)>,
    /// The share of one CPU from the first `/next` on; `None` for all of it.
    pub(crate) cpu_share: Option<f64>,
    pub(crate) targets: Vec<Target>,
}

/// What a function works on.
#[derive(Clone, Debug)]
pub(crate) enum Work {
    Pruning(Pruning),
    Rotation(Rotation),
    Scaling(Scaling),
    Remediation(Remediation),
}

/// What a report has to say, and what has to be there after the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Truth {
    pub(crate) observed: usize,
    pub(crate) kept: usize,
    pub(crate) planned: usize,
    pub(crate) deferred: usize,
    /// Images or snapshots, or things that are awake, or to which nothing was done.
    pub(crate) left: usize,
}

impl Scenario {
    fn of(name: &'static str, work: Work) -> Self {
        Self {
            name,
            work,
            latency: Duration::ZERO,
            rates: vec![],
            cpu_share: None,
            targets: vec![],
        }
    }

    fn pruning(name: &'static str, pruning: Pruning) -> Self {
        Self::of(name, Work::Pruning(pruning))
    }

    fn rotation(name: &'static str, rotation: Rotation) -> Self {
        Self::of(name, Work::Rotation(rotation))
    }

    fn scaling(name: &'static str, time: Time) -> Self {
        let scaling = Scaling {
            time,
            ..Scaling::default()
        };
        Self {
            // The function's memory in `infra/automation.yaml`.
            targets: vec![Target::PeakMib(256.0)],
            ..Self::of(name, Work::Scaling(scaling))
        }
    }

    fn remediation(name: &'static str, remediation: Remediation) -> Self {
        Self {
            // The function's memory in `infra/automation.yaml`.
            targets: vec![Target::PeakMib(256.0)],
            ..Self::of(name, Work::Remediation(remediation))
        }
    }

    /// The function under measurement.
    pub(crate) fn function(&self) -> &'static str {
        match &self.work {
            Work::Pruning(_) => "image-pruning",
            Work::Rotation(_) => "snapshot-rotation",
            Work::Scaling(_) => "scheduled-scaling",
            Work::Remediation(_) => "alarm-remediation",
        }
    }

    /// How many events the process is given, one after the other.
    pub(crate) fn events(&self) -> usize {
        match &self.work {
            Work::Pruning(_) | Work::Rotation(_) => 1,
            Work::Scaling(scaling) => scaling.ticks(),
            Work::Remediation(remediation) => remediation.events(),
        }
    }

    pub(crate) fn applies(&self) -> bool {
        match &self.work {
            Work::Pruning(pruning) => pruning.apply,
            Work::Rotation(rotation) => rotation.apply,
            Work::Scaling(_) | Work::Remediation(_) => true,
        }
    }

    pub(crate) fn mode(&self) -> &'static str {
        if self.applies() { "apply" } else { "plan" }
    }

    /// The `nth` event, from 0.
    pub(crate) fn event(&self, nth: usize) -> Value {
        let operation = match &self.work {
            Work::Pruning(_) => "prune",
            Work::Rotation(_) => "rotate",
            Work::Scaling(_) => "scale",
            Work::Remediation(remediation) => return remediation.event(nth),
        };
        json!({"operation": operation, "mode": self.mode()})
    }

    pub(crate) fn policy(&self) -> Value {
        match &self.work {
            Work::Pruning(pruning) => pruning.policy(),
            Work::Rotation(rotation) => rotation.policy(),
            Work::Scaling(scaling) => scaling.policy(),
            Work::Remediation(remediation) => remediation.policy(),
        }
    }

    /// What the report of the `nth` event has to say, from 0.
    pub(crate) fn truth(&self, nth: usize) -> Truth {
        match &self.work {
            Work::Pruning(pruning) => pruning.truth(),
            Work::Rotation(rotation) => rotation.truth(),
            Work::Scaling(scaling) => scaling.truth(nth),
            Work::Remediation(remediation) => remediation.truth(nth),
        }
    }

    /// The calls that the run makes, by operation: the formulae of
    /// `docs/performance.md`.
    pub(crate) fn calls(&self) -> BTreeMap<&'static str, usize> {
        let all = match &self.work {
            Work::Pruning(pruning) => pruning.calls(),
            Work::Rotation(rotation) => rotation.calls(),
            Work::Scaling(scaling) => scaling.calls(),
            Work::Remediation(remediation) => remediation.calls(),
        };
        all.into_iter().filter(|(_, n)| *n > 0).collect()
    }

    /// The longest chain of calls of which each needs the answer of the one
    /// before.
    pub(crate) fn critical_path(&self) -> usize {
        match &self.work {
            Work::Pruning(pruning) => pruning.critical_path(),
            Work::Rotation(rotation) => rotation.critical_path(),
            Work::Scaling(scaling) => scaling.critical_path(),
            Work::Remediation(remediation) => remediation.critical_path(),
        }
    }

    /// The calls of the `nth` event before the first that changes something on AWS, where
    /// each event is to change something.
    pub(crate) fn before_the_first_change(&self, nth: usize) -> Option<usize> {
        match &self.work {
            Work::Remediation(remediation) => remediation.before_the_first_change(nth),
            _ => None,
        }
    }
}

/// The pages of a listing; there always is one.
pub(crate) fn pages(n: usize, size: usize) -> usize {
    n.div_ceil(size).max(1)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the function under measurement goes by the clock"
)]
pub(crate) fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    })
}

/// The scenarios of the table, in its order.
pub(crate) fn all() -> Vec<Scenario> {
    let mut all = of_pruning();
    all.extend(of_rotation());
    all.extend(of_scaling());
    all.extend(of_remediation());
    all
}

fn of_pruning() -> Vec<Scenario> {
    use Target::{CpuMs, FirstCallMs, InitMs, OverCriticalPath, PeakMib, RunMs};
    let base = Pruning::default;
    let twenty_ms = Duration::from_millis(20);
    let one_large = || Pruning {
        repositories: 1,
        images: 100_000,
        ..base()
    };
    let many = || Pruning {
        repositories: 100,
        images: 1000,
        ..base()
    };
    vec![
        Scenario {
            targets: vec![InitMs(10.0), FirstCallMs(15.0), RunMs(40.0), PeakMib(20.0)],
            ..Scenario::pruning("20 x 250", base())
        },
        Scenario::pruning(
            "20 x 249, indexes of two platforms",
            Pruning {
                images: 249,
                platforms: 2,
                keep_newest: 20,
                ..base()
            },
        ),
        Scenario::pruning(
            "20 x 250, deleted",
            Pruning {
                apply: true,
                ..base()
            },
        ),
        Scenario {
            targets: vec![CpuMs(1000.0)],
            ..Scenario::pruning("1 x 100,000", one_large())
        },
        Scenario {
            targets: vec![CpuMs(1000.0)],
            ..Scenario::pruning("100 x 1,000", many())
        },
        Scenario {
            latency: twenty_ms,
            targets: vec![OverCriticalPath(1.5)],
            ..Scenario::pruning("20 x 250, 20 ms a call", base())
        },
        Scenario {
            latency: twenty_ms,
            ..Scenario::pruning("100 x 1,000, 20 ms a call", many())
        },
        Scenario {
            latency: twenty_ms,
            targets: vec![OverCriticalPath(1.5)],
            ..Scenario::pruning("1 x 100,000, 20 ms a call", one_large())
        },
        Scenario {
            rates: vec![
                ("ecr:DescribeImages", 20.0, 10.0),
                ("ecs:DescribeTaskDefinition", 20.0, 20.0),
            ],
            ..Scenario::pruning("20 x 250, throttled", base())
        },
        Scenario {
            cpu_share: Some(0.0724),
            targets: vec![RunMs(300.0)],
            ..Scenario::pruning("20 x 250, CPU share of 128 MB", base())
        },
    ]
}

fn of_rotation() -> Vec<Scenario> {
    let base = Rotation::default;
    // The function's memory in `infra/automation.yaml`.
    let fits = vec![Target::PeakMib(256.0)];
    vec![
        Scenario {
            targets: fits.clone(),
            ..Scenario::rotation("200 databases, 10,000 snapshots", base())
        },
        Scenario::rotation(
            "100 databases, 5,000 snapshots",
            Rotation {
                databases: 100,
                ..base()
            },
        ),
        Scenario {
            targets: fits.clone(),
            ..Scenario::rotation(
                "1 database, 10,000 snapshots",
                Rotation {
                    databases: 1,
                    snapshots_each: 5000,
                    ..base()
                },
            )
        },
        Scenario {
            targets: fits,
            ..Scenario::rotation(
                "200 databases, 10,000 snapshots, a night",
                Rotation {
                    apply: true,
                    ..base()
                },
            )
        },
        Scenario {
            latency: Duration::from_millis(20),
            ..Scenario::rotation("200 databases, 10,000 snapshots, 20 ms a call", base())
        },
        Scenario {
            cpu_share: Some(0.1447),
            ..Scenario::rotation(
                "200 databases, 10,000 snapshots, CPU share of 256 MB",
                base(),
            )
        },
    ]
}

fn of_scaling() -> Vec<Scenario> {
    let by_night = |name| Scenario::scaling(name, Time::Night);
    vec![
        Scenario::scaling("2,000 targets in 200 environments, by day", Time::Day),
        by_night("2,000 targets in 200 environments, at night"),
        Scenario::scaling(
            "2,000 targets in 200 environments, an evening",
            Time::Evening,
        ),
        Scenario::scaling(
            "2,000 targets in 200 environments, a morning",
            Time::Morning,
        ),
        Scenario {
            work: Work::Scaling(Scaling {
                time: Time::Night,
                enforced: true,
                ..Scaling::default()
            }),
            ..by_night("2,000 targets in 200 environments, at night, enforced")
        },
        Scenario {
            latency: Duration::from_millis(20),
            targets: vec![Target::OverCriticalPath(1.5)],
            ..by_night("2,000 targets in 200 environments, at night, 20 ms a call")
        },
        Scenario {
            cpu_share: Some(0.1447),
            ..by_night("2,000 targets in 200 environments, at night, CPU share of 256 MB")
        },
    ]
}

fn of_remediation() -> Vec<Scenario> {
    let of = |name, remedy| Scenario::remediation(name, Remediation::of(remedy));
    let twenty_ms = Duration::from_millis(20);
    vec![
        of("an alarm, raise_service", Remedy::RaiseService),
        of("an alarm, stop_deployment", Remedy::StopDeployment),
        of("an alarm, roll_back", Remedy::RollBack),
        of("an alarm, replace_tasks", Remedy::ReplaceTasks),
        of("an alarm, raise_group", Remedy::RaiseGroup),
        of("an alarm, replace_instance", Remedy::ReplaceInstance),
        of("an alarm, grow_storage", Remedy::GrowStorage),
        Scenario {
            latency: twenty_ms,
            targets: vec![Target::OverCriticalPath(1.5)],
            ..of(
                "an alarm, raise_service, 20 ms a call",
                Remedy::RaiseService,
            )
        },
        Scenario::remediation("a tick, no open case", Remediation::cases(0)),
        Scenario::remediation("a tick, 200 open cases", Remediation::cases(200)),
        Scenario {
            latency: twenty_ms,
            targets: vec![Target::OverCriticalPath(1.5)],
            ..Scenario::remediation(
                "a tick, 200 open cases, 20 ms a call",
                Remediation::cases(200),
            )
        },
        Scenario {
            cpu_share: Some(0.1447),
            ..of(
                "an alarm, raise_service, CPU share of 256 MB",
                Remedy::RaiseService,
            )
        },
    ]
}
