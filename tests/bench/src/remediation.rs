//! alarm-remediation over alarms that go off and over open cases: what is true there, how
//! many calls its runs need, and how many come before the first that changes something.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::scenario::{ACCOUNT, REGION, Truth, now, pages};

/// Tasks of each service, and instances of each group.
pub(crate) const TASKS: usize = 4;
pub(crate) const INSTANCES: usize = 2;

/// Calls that are under way at once to a service of AWS, at the most.
const AT_ONCE: usize = 16;

/// What a scenario is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Remedy {
    RaiseService,
    StopDeployment,
    RollBack,
    ReplaceTasks,
    RaiseGroup,
    ReplaceInstance,
    GrowStorage,
}

/// Alarms, of which the nth is about the nth service, group, instance or database, each in
/// one of the clusters in turn.
#[derive(Clone, Debug)]
pub(crate) struct Remediation {
    /// What each alarm takes; one event for each of two. `None` is a tick over open cases
    /// in which nothing may be done and a person was told.
    pub(crate) remedy: Option<Remedy>,
    /// Alarms, and of what each is about as many.
    pub(crate) alarms: usize,
    pub(crate) clusters: usize,
    /// Whole minutes; everything counts from it.
    pub(crate) now: Timestamp,
}

type Calls = Vec<(&'static str, usize)>;

impl Remediation {
    /// Two alarms, of which each takes this.
    pub(crate) fn of(remedy: Remedy) -> Self {
        Self {
            remedy: Some(remedy),
            alarms: 2,
            clusters: 2,
            now: Self::minute(),
        }
    }

    /// So many open cases, each of another service.
    pub(crate) fn cases(cases: usize) -> Self {
        Self {
            remedy: None,
            alarms: cases,
            clusters: 20,
            now: Self::minute(),
        }
    }

    fn minute() -> Timestamp {
        Timestamp::from_second(now() / 60 * 60).unwrap_or_default()
    }

    /// So many minutes ago.
    pub(crate) fn ago(&self, minutes: i64) -> Timestamp {
        self.now - SignedDuration::from_mins(minutes)
    }

    pub(crate) fn alarm_name(n: usize) -> String {
        format!("alarm-{n:04}")
    }

    pub(crate) fn alarm_arn(n: usize) -> String {
        let name = Self::alarm_name(n);
        format!("arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:{name}")
    }

    pub(crate) fn policy(&self) -> Value {
        let of = json!({"include": ["*"]});
        let remedies = match self.remedy {
            None => json!({}),
            Some(_) => json!({
                "raise_service": {"of": of, "most": 20},
                "stop_deployment": {"of": of},
                "roll_back": {"of": of, "approval": false},
                "replace_tasks": {"of": of},
                "raise_group": {"of": of, "most": 8},
                "replace_instance": {"of": of, "lost_for": "5m"},
                "grow_storage": {"of": of, "most_gib": 500},
            }),
        };
        json!({"version": 1, "alarms": of, "remedies": remedies})
    }

    /// The first event is the cold one.
    pub(crate) fn events(&self) -> usize {
        self.remedy.map_or(1, |_| self.alarms)
    }

    pub(crate) fn event(&self, nth: usize) -> Value {
        if self.remedy.is_none() {
            return json!({"operation": "remediate", "mode": "apply"});
        }
        let since = self.ago(6).to_string();
        json!({
            "version": "0",
            "id": format!("c4c1c1c9-6542-e61b-6ef0-{nth:012}"),
            "detail-type": "CloudWatch Alarm State Change",
            "source": "aws.cloudwatch",
            "account": ACCOUNT,
            "time": since,
            "region": REGION,
            "resources": [Self::alarm_arn(nth)],
            "detail": {
                "alarmName": Self::alarm_name(nth),
                "state": {"value": "ALARM", "reason": "Threshold Crossed", "timestamp": since},
                "previousState": {"value": "OK", "reason": "-", "timestamp": since},
                "configuration": {"metrics": []},
            },
        })
    }

    pub(crate) fn truth(&self, nth: usize) -> Truth {
        let (kept, planned) = match self.remedy {
            None => (self.alarms, 0),
            // The case, and what is done about it.
            Some(_) => (0, 2),
        };
        Truth {
            observed: kept + planned,
            kept,
            planned,
            deferred: 0,
            left: match self.remedy {
                None => self.alarms,
                Some(_) => self.alarms - nth - 1,
            },
        }
    }

    /// The calls of all events, by operation.
    pub(crate) fn calls(&self) -> BTreeMap<&'static str, usize> {
        let mut all = BTreeMap::new();
        for nth in 0..self.events() {
            for (action, n) in self.of_event(nth) {
                *all.entry(action).or_default() += n;
            }
        }
        all
    }

    fn of_event(&self, nth: usize) -> Calls {
        let mut all = vec![("ssm:GetParameters", 1), ("dynamodb:Query", 1)];
        let Some(remedy) = self.remedy else {
            if self.alarms > 0 {
                all.push(("cloudwatch:DescribeAlarms", self.alarms.div_ceil(100)));
                all.extend(of_alarms(self.alarms));
                all.extend(of_services(self.alarms, self.clusters));
            }
            return all;
        };
        all.push(("cloudwatch:DescribeAlarms", 1));
        all.extend(of_alarms(1));
        all.extend(self.to_find(remedy, nth));
        all.extend(self.to_look(remedy));
        all.extend(to_write(remedy));
        all.extend(to_check(remedy));
        all.extend(to_make(remedy));
        all
    }

    /// What finds out what an alarm is about.
    fn to_find(&self, remedy: Remedy, nth: usize) -> Calls {
        let services = self.alarms / self.clusters;
        match remedy {
            Remedy::RaiseService | Remedy::GrowStorage => vec![],
            Remedy::StopDeployment | Remedy::RollBack | Remedy::ReplaceTasks => vec![
                ("ecs:ListClusters", pages(self.clusters, 100)),
                ("ecs:ListServices", self.clusters * pages(services, 100)),
                (
                    "ecs:DescribeServices",
                    self.clusters * services.div_ceil(10),
                ),
            ],
            Remedy::RaiseGroup => vec![
                ("ecs:DescribeClusters", 1),
                ("ecs:DescribeCapacityProviders", pages(services, 10)),
            ],
            // Cluster by cluster, and the nth is in the nth: those that take tasks, and those
            // that are drained.
            Remedy::ReplaceInstance => vec![
                ("ecs:ListClusters", pages(self.clusters, 100)),
                ("ecs:ListContainerInstances", 2 * (nth + 1)),
            ],
        }
    }

    /// What is looked at of that, and of what it takes to judge it.
    fn to_look(&self, remedy: Remedy) -> Calls {
        match remedy {
            Remedy::GrowStorage => vec![("rds:DescribeDBInstances", 1), ("rds:DescribeEvents", 1)],
            Remedy::RaiseGroup => {
                let mut all = self.of_a_group();
                all.push(("ecs:ListClusters", pages(self.clusters, 100)));
                all
            }
            Remedy::ReplaceInstance => {
                let mut all = self.of_a_group();
                all.extend([
                    ("ecs:DescribeContainerInstances", 1),
                    ("auto_scaling:DescribeAutoScalingInstances", 1),
                ]);
                all
            }
            _ => of_services(1, 1),
        }
    }

    /// A group, and who of it takes tasks.
    fn of_a_group(&self) -> Calls {
        let instances = self.alarms / self.clusters * INSTANCES;
        vec![
            ("auto_scaling:DescribeAutoScalingGroups", 1),
            ("ecs:DescribeCapacityProviders", pages(self.alarms, 10)),
            (
                "ecs:ListContainerInstances",
                // Those that take tasks, and those that are drained.
                self.clusters * (pages(instances, 100) + 1),
            ),
            (
                "ecs:DescribeContainerInstances",
                self.clusters * instances.div_ceil(100),
            ),
        ]
    }

    /// The calls of an event before the first that changes something on AWS: all but those
    /// that change something, and the lease that is given back.
    pub(crate) fn before_the_first_change(&self, nth: usize) -> Option<usize> {
        let remedy = self.remedy?;
        let all: usize = self.of_event(nth).iter().map(|(_, n)| n).sum();
        let changes: usize = changes(remedy).iter().map(|(_, n)| n).sum();
        Some(all - changes - 1)
    }

    /// The longest chain of calls of which each needs the answer of the one before, or its
    /// turn: no more than so many are under way at once.
    pub(crate) fn critical_path(&self) -> usize {
        let Some(remedy) = self.remedy else {
            if self.alarms == 0 {
                return 2;
            }
            let described = self.alarms.div_ceil(100);
            let of_alarms = (2 * self.alarms).div_ceil(AT_ONCE);
            let of_ecs = of_services(self.alarms, self.clusters);
            let of_ecs = of_ecs
                .iter()
                .filter(|(action, _)| action.starts_with("ecs:"));
            let of_ecs: usize = of_ecs.map(|(_, n)| n).sum();
            return 2 + described + of_alarms + of_ecs.div_ceil(AT_ONCE);
        };
        // Switches, ledger; the alarm, its tags, its mutes.
        let alarm = 5;
        let find = |nth: usize| match remedy {
            Remedy::RaiseService | Remedy::GrowStorage => 0,
            Remedy::RaiseGroup => 2,
            // Cluster by cluster.
            Remedy::ReplaceInstance => 2 + nth,
            _ => 3,
        };
        let look = match remedy {
            Remedy::GrowStorage => 2,
            Remedy::RaiseGroup => 4,
            Remedy::ReplaceInstance => 5,
            _ => 3,
        };
        // Switches, case, case; switches, lease, what is remembered, check, both counts, the
        // case; the lease.
        let write = 11;
        let raise = match remedy {
            Remedy::RaiseService | Remedy::RaiseGroup => 2,
            _ => 0,
        };
        let make = to_make(remedy).len();
        let of_event = |nth| alarm + find(nth) + look + write + raise + make;
        (0..self.events()).map(of_event).sum()
    }
}

/// So many services in so many clusters.
fn of_services(services: usize, clusters: usize) -> Calls {
    vec![
        (
            "ecs:DescribeServices",
            clusters * (services / clusters).div_ceil(10),
        ),
        (
            "application_auto_scaling:DescribeScalableTargets",
            services.div_ceil(50),
        ),
        ("ecs:ListServiceDeployments", services),
        ("ecs:DescribeServiceRevisions", services),
        // Those that run, and those that stopped, of which there are none.
        ("ecs:ListTasks", 2 * services),
        ("ecs:DescribeTasks", services * TASKS.div_ceil(100)),
        ("elastic_load_balancing_v2:DescribeTargetHealth", services),
    ]
}

/// Alarms that are in alarm and taken on. CloudWatch tells both of one alarm at a time.
fn of_alarms(alarms: usize) -> Calls {
    vec![
        ("cloudwatch:ListTagsForResource", alarms),
        ("cloudwatch:ListAlarmMuteRules", alarms),
    ]
}

/// What is remembered before something is done.
fn to_write(remedy: Remedy) -> Calls {
    let raises = matches!(remedy, Remedy::RaiseService | Remedy::RaiseGroup);
    vec![
        // Before what is noted, and before what is done.
        ("ssm:GetParameters", 2),
        // The case; it again, what was tried on this and what in all; the raise.
        ("dynamodb:GetItem", 1 + 3 + usize::from(raises)),
        // The case; the lease, both tries and the case again; the raise.
        ("dynamodb:PutItem", 1 + 4 + usize::from(raises)),
        ("dynamodb:DeleteItem", 1),
    ]
}

/// What is looked at again before something is done.
fn to_check(remedy: Remedy) -> Calls {
    match remedy {
        Remedy::RaiseService => vec![
            ("ecs:DescribeServices", 1),
            ("application_auto_scaling:DescribeScalableTargets", 1),
        ],
        Remedy::StopDeployment | Remedy::RollBack => vec![
            ("ecs:DescribeServices", 1),
            ("ecs:ListServiceDeployments", 1),
        ],
        Remedy::ReplaceTasks => vec![("ecs:DescribeServices", 1)],
        Remedy::RaiseGroup => vec![("auto_scaling:DescribeAutoScalingGroups", 1)],
        Remedy::ReplaceInstance => vec![
            ("auto_scaling:DescribeAutoScalingGroups", 1),
            ("ecs:DescribeContainerInstances", 1),
        ],
        Remedy::GrowStorage => vec![("rds:DescribeDBInstances", 1)],
    }
}

fn to_make(remedy: Remedy) -> Calls {
    let mut all = changes(remedy);
    if remedy == Remedy::RollBack {
        all.insert(0, ("ecs:DescribeTaskDefinition", 1));
    }
    all
}

fn changes(remedy: Remedy) -> Calls {
    match remedy {
        Remedy::RaiseService => vec![("application_auto_scaling:RegisterScalableTarget", 1)],
        Remedy::StopDeployment => vec![("ecs:StopServiceDeployment", 1)],
        Remedy::RollBack => vec![("ecs:RegisterTaskDefinition", 1), ("ecs:UpdateService", 1)],
        Remedy::ReplaceTasks => vec![("ecs:StopTask", 1)],
        Remedy::RaiseGroup => vec![("auto_scaling:UpdateAutoScalingGroup", 1)],
        Remedy::ReplaceInstance => vec![("ecs:UpdateContainerInstancesState", 1)],
        Remedy::GrowStorage => vec![("rds:ModifyDBInstance", 1)],
    }
}
