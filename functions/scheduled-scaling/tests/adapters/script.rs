//! A small account whose every answer is written down, with a ledger that keeps what
//! is written, and hands over it.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_config::Region;
use aws_config::retry::RetryConfig;
use aws_sdk_rds::config::Credentials;
use jiff::Timestamp;
use scheduled_scaling::{Action, Environments, ScalingPolicy, ScheduledScaling, Scope, World};
use serde_json::{Value, json};
use steward::engine::{Act, Clock, Decision, Function, Observe, Outcome, Reason as _, Seen};
use steward::ledger::LedgerTable;
use steward::policy::PolicyDocument;
use steward_sandbox::faults::{Answer, Entries, FaultClient, Recorder, Scripted};

pub(crate) const CLUSTER: &str = "arn:aws:ecs:eu-central-1:123456789012:cluster/shop";
pub(crate) const SERVICE: &str = "arn:aws:ecs:eu-central-1:123456789012:service/shop/web";
pub(crate) const GROUP: &str = "arn:aws:autoscaling:eu-central-1:123456789012:autoScalingGroup:1:\
                                autoScalingGroupName/shop";
pub(crate) const DATABASE: &str = "arn:aws:rds:eu-central-1:123456789012:db:shop-db";
pub(crate) const TARGETS: &str =
    "arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/web/1";

/// Every day from eight to eight, in UTC.
pub(crate) const DAILY: &str = r#"
version: 1
schedules:
  day: {periods: [{start: "08:00", stop: "20:00"}]}
environments:
  dev: {schedules: [day]}
"#;

/// A moment, and what the ledger says of the environment then.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    now: &'static str,
    last: &'static str,
    is_on: bool,
    finished: bool,
}

impl Moment {
    /// What the ledger says of the environment.
    pub(crate) fn progress(self) -> Value {
        let to = if self.is_on {
            json!({"on": {"size": null}})
        } else {
            json!("off")
        };
        json!({
            "last": {"at": self.last, "to": to},
            "applied": true,
            "finished": self.finished,
            "step": 0,
            "step_since": self.last,
            "told_of": null,
        })
    }
}

/// The evening's transition is due, and nobody has begun it.
pub(crate) const EVENING: Moment = Moment {
    now: "2026-11-23T20:10:00Z",
    last: "2026-11-23T08:00:00Z",
    is_on: true,
    finished: true,
};

/// It is under way.
pub(crate) const FALLING_ASLEEP: Moment = Moment {
    last: "2026-11-23T20:00:00Z",
    is_on: false,
    finished: false,
    ..EVENING
};

/// The morning's is under way.
pub(crate) const WAKING_UP: Moment = Moment {
    now: "2026-11-24T08:10:00Z",
    last: "2026-11-24T08:00:00Z",
    is_on: true,
    finished: false,
};

/// By day, when all is done.
pub(crate) const DAY: Moment = Moment {
    now: "2026-11-24T12:00:00Z",
    finished: true,
    ..WAKING_UP
};

/// At night, when all is done.
pub(crate) const NIGHT: Moment = Moment {
    finished: true,
    ..FALLING_ASLEEP
};

/// The request's body as JSON.
pub(crate) fn body(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or(Value::Null)
}

/// A field of a form.
pub(crate) fn field(request: &str, name: &str) -> Option<String> {
    let mut fields = request.split('&').filter_map(|it| it.split_once('='));
    let found = fields.find(|(key, _)| *key == name);
    found.map(|(_, value)| value.replace("%3A", ":").replace("%2F", "/"))
}

/// The service `web`, with so many tasks.
pub(crate) fn service(desired: u32) -> Value {
    json!({
        "serviceArn": SERVICE,
        "serviceName": "web",
        "clusterArn": CLUSTER,
        "status": "ACTIVE",
        "desiredCount": desired,
        "runningCount": desired,
        "pendingCount": 0,
        "deployments": [{"status": "PRIMARY", "rolloutState": "COMPLETED"}],
        "loadBalancers": [{"targetGroupArn": TARGETS}],
        "tags": [{"key": "steward:environment", "value": "dev"}],
    })
}

/// The same, parked.
pub(crate) fn parked_service() -> Value {
    let mut service = service(0);
    let mark = json!({"key": "steward:parked", "value": PARKED_AT});
    service["tags"].as_array_mut().unwrap().push(mark);
    service
}

/// When everything that sleeps was put to sleep.
pub(crate) const PARKED_AT: &str = "2026-11-23T20:00:00Z";

pub(crate) fn services(all: Vec<Value>) -> Value {
    json!({"services": all, "failures": []})
}

/// The scalable target of `web`.
pub(crate) fn scalable(min: u32, max: u32, is_suspended: bool) -> Value {
    json!({"ScalableTargets": [{
        "ServiceNamespace": "ecs",
        "ResourceId": "service/shop/web",
        "ScalableDimension": "ecs:service:DesiredCount",
        "MinCapacity": min,
        "MaxCapacity": max,
        "RoleARN": "arn:aws:iam::123456789012:role/scaling",
        "CreationTime": 1_700_000_000,
        "SuspendedState": {
            "DynamicScalingInSuspended": is_suspended,
            "DynamicScalingOutSuspended": is_suspended,
            "ScheduledScalingSuspended": is_suspended,
        },
    }]})
}

/// The inside of an element, field by field.
pub(crate) type Fields = BTreeMap<&'static str, String>;

fn elements(fields: &Fields) -> String {
    let elements = fields.iter();
    let elements = elements.map(|(name, value)| format!("<{name}>{value}</{name}>"));
    elements.collect()
}

/// The group `shop`, with so many instances.
pub(crate) fn group(size: u32) -> Fields {
    let instance = |n: u32| {
        format!(
            "<member><InstanceId>i-{n}</InstanceId><LifecycleState>InService</LifecycleState>\
             <HealthStatus>Healthy</HealthStatus></member>"
        )
    };
    let mark = format!(
        "<member><Key>steward:parked</Key><Value>{PARKED_AT} desired=2 min=2 max=4</Value></member>"
    );
    let tag = "<member><Key>steward:environment</Key><Value>dev</Value></member>";
    Fields::from([
        ("AutoScalingGroupName", "shop".to_owned()),
        ("AutoScalingGroupARN", GROUP.to_owned()),
        ("MinSize", size.to_string()),
        ("DesiredCapacity", size.to_string()),
        ("MaxSize", "4".to_owned()),
        ("Instances", (0..size).map(instance).collect()),
        (
            "Tags",
            if size == 0 {
                format!("{tag}{mark}")
            } else {
                tag.to_owned()
            },
        ),
    ])
}

/// A page of `DescribeAutoScalingGroups`, with the token of the next.
pub(crate) fn groups(all: &[Fields], next: Option<&str>) -> Answer {
    let members = all.iter().map(elements);
    let members: String = members.map(|it| format!("<member>{it}</member>")).collect();
    let next = next.map(|next| format!("<NextToken>{next}</NextToken>"));
    let next = next.unwrap_or_default();
    Answer::result(&format!(
        "<AutoScalingGroups>{members}</AutoScalingGroups>{next}"
    ))
}

/// The database `shop-db`.
pub(crate) fn database(status: &str) -> Fields {
    let tag = |key: &str, value: &str| format!("<Tag><Key>{key}</Key><Value>{value}</Value></Tag>");
    let mut tags = tag("steward:environment", "dev");
    if status != "available" {
        tags.push_str(&tag("steward:parked", PARKED_AT));
    }
    Fields::from([
        ("DBInstanceIdentifier", "shop-db".to_owned()),
        ("DBInstanceArn", DATABASE.to_owned()),
        ("DbiResourceId", "db-ABCDEFGHIJKLMNOPQRSTUVWXYZ".to_owned()),
        ("DBInstanceStatus", status.to_owned()),
        ("Engine", "postgres".to_owned()),
        ("TagList", tags),
    ])
}

/// A page of `DescribeDBInstances`, with the marker of the next.
pub(crate) fn databases(all: &[Fields], marker: Option<&str>) -> Answer {
    let all = all.iter().map(elements);
    let all: String = all
        .map(|it| format!("<DBInstance>{it}</DBInstance>"))
        .collect();
    let marker = marker.map(|marker| format!("<Marker>{marker}</Marker>"));
    let marker = marker.unwrap_or_default();
    Answer::result(&format!("<DBInstances>{all}</DBInstances>{marker}"))
}

/// The capacity provider of the group.
pub(crate) fn providers(status: &str) -> Value {
    json!({"capacityProviders": [{
        "name": "shop",
        "status": "ACTIVE",
        "autoScalingGroupProvider": {
            "autoScalingGroupArn": GROUP,
            "managedScaling": {"status": status},
        },
    }], "failures": []})
}

/// Targets of `DescribeTargetHealth`, in these states.
pub(crate) fn health(states: &[&str]) -> Answer {
    let targets = states.iter().map(|state| {
        format!(
            "<member><Target><Id>i-0</Id></Target><TargetHealth><State>{state}</State>\
             </TargetHealth></member>"
        )
    });
    let targets: String = targets.collect();
    Answer::result(&format!(
        "<TargetHealthDescriptions>{targets}</TargetHealthDescriptions>"
    ))
}

/// One service, one group and one database, in these sizes.
fn account(service: Value, scalable: Value, group: Fields, database: Fields) -> Scripted {
    let done = |_: &str| Answer::result("");
    Scripted::new()
        .always("ecs:ListClusters", |_| json!({"clusterArns": [CLUSTER]}))
        .always("ecs:ListServices", |_| json!({"serviceArns": [SERVICE]}))
        .always("ecs:DescribeServices", move |_| {
            services(vec![service.clone()])
        })
        .always("ecs:DescribeCapacityProviders", |_| providers("ENABLED"))
        .always("ecs:DescribeClusters", |_| {
            json!({"clusters": [{"clusterArn": CLUSTER, "capacityProviders": ["shop"]}],
                "failures": []})
        })
        .always(
            "ecs:ListContainerInstances",
            |_| json!({"containerInstanceArns": ["instance/0", "instance/1"]}),
        )
        .always("ecs:DescribeContainerInstances", |_| {
            json!({"containerInstances": [
                {"ec2InstanceId": "i-0", "agentConnected": true},
                {"ec2InstanceId": "i-1", "agentConnected": true},
            ], "failures": []})
        })
        .always(
            "application-autoscaling:DescribeScalableTargets",
            move |_| scalable.clone(),
        )
        .always("autoscaling:DescribeAutoScalingGroups", move |_| {
            groups(std::slice::from_ref(&group), None)
        })
        .always("rds:DescribeDBInstances", move |_| {
            databases(std::slice::from_ref(&database), None)
        })
        .always("rds:DescribeDBSnapshots", |_| {
            Answer::result("<DBSnapshots/>")
        })
        .always("elasticloadbalancing:DescribeTargetHealth", |_| {
            health(&["healthy"; 3])
        })
        .always("ecs:UpdateService", |_| json!({"service": {}}))
        .always("ecs:TagResource", |_| json!({}))
        .always("ecs:UntagResource", |_| json!({}))
        .always("application-autoscaling:RegisterScalableTarget", |_| {
            json!({})
        })
        .always("autoscaling:UpdateAutoScalingGroup", done)
        .always("autoscaling:CreateOrUpdateTags", done)
        .always("autoscaling:DeleteTags", done)
        .always("rds:StopDBInstance", done)
        .always("rds:StartDBInstance", done)
        .always("rds:CreateDBSnapshot", done)
        .always("rds:AddTagsToResource", done)
        .always("rds:RemoveTagsFromResource", done)
}

/// Everything runs.
pub(crate) fn awake() -> Scripted {
    let scalable = scalable(2, 6, false);
    account(service(3), scalable, group(2), database("available"))
}

/// Everything sleeps.
pub(crate) fn asleep() -> Scripted {
    let scalable = scalable(0, 0, true);
    account(parked_service(), scalable, group(0), database("stopped"))
}

const PARTITION: &str = "scheduled-scaling";

/// An item of the ledger.
pub(crate) fn item(sort: &str, says: &Value) -> Value {
    Entries::item(PARTITION, sort, says)
}

/// The items of the function in the ledger, by sort key.
#[derive(Clone, Default)]
pub(crate) struct Table(Entries);

impl Table {
    pub(crate) fn put(&self, sort: &str, says: &Value) {
        self.0.put(PARTITION, sort, says);
    }

    /// What stands under a sort key.
    pub(crate) fn says(&self, sort: &str) -> Option<Value> {
        self.0.says(PARTITION, sort)
    }

    /// That something was parked, and what it had before.
    pub(crate) fn remember(&self, arn: &str) {
        let suspended = json!({"in": false, "out": false, "scheduled": false});
        let sizes = match arn {
            SERVICE => json!({"min": 2, "desired": 3, "max": 6, "suspended": suspended}),
            GROUP => json!({"min": 2, "desired": 2, "max": 4}),
            _ => json!({}),
        };
        let saved = json!({
            "environment": "dev",
            "sizes": sizes,
            "at": PARKED_AT,
            "transition": PARKED_AT,
            "state": "parked",
        });
        self.put(&format!("size#{arn}"), &saved);
    }

    /// That everything was.
    pub(crate) fn remember_all(&self) {
        for arn in [SERVICE, GROUP, DATABASE] {
            self.remember(arn);
        }
    }
}

/// The function's hands over a script.
pub(crate) struct Stage {
    pub(crate) hands: Environments,
    pub(crate) client: FaultClient,
    pub(crate) table: Table,
    pub(crate) policy: ScalingPolicy,
    now: Timestamp,
    recorder: Recorder,
}

impl Stage {
    pub(crate) async fn over(moment: Moment, script: Scripted) -> Self {
        Self::with_ledger(moment, script, |script| script).await
    }

    /// With other answers of the ledger.
    pub(crate) async fn with_ledger(
        moment: Moment,
        script: Scripted,
        change: impl FnOnce(Scripted) -> Scripted,
    ) -> Self {
        let table = Table::default();
        table.put("environment#dev", &moment.progress());
        let recorder = Recorder::new(change(table.0.behind(script)));
        let client = FaultClient::new(recorder.clone());
        let config = steward::aws::config_loader()
            .region(Region::new("eu-central-1"))
            .credentials_provider(Credentials::new("123456789012", "test", None, None, "test"))
            .http_client(steward::aws::meter().around(client.clone()))
            // As the function retries, but without its pauses.
            .retry_config(
                RetryConfig::standard()
                    .with_max_attempts(6)
                    .with_initial_backoff(Duration::from_millis(1)),
            )
            .load()
            .await;
        let now = moment.now.parse().unwrap();
        let policy = PolicyDocument::<ScalingPolicy>::parse(DAILY, "test").unwrap();
        Self {
            hands: Environments::at(&config, LedgerTable::usual(), Clock::Fixed(now)),
            client,
            table,
            policy: policy.policy().clone(),
            now,
            recorder,
        }
    }

    /// With another policy.
    pub(crate) fn told(mut self, policy: &str) -> Self {
        let policy = PolicyDocument::<ScalingPolicy>::parse(policy, "test").unwrap();
        self.policy = policy.policy().clone();
        self
    }

    pub(crate) async fn observe(&self) -> Seen<World> {
        Observe::<ScheduledScaling>::observe(&self.hands, &self.policy, &Scope::Everything).await
    }

    /// What would be done: `KIND REASON` of each change, in order of their passes.
    pub(crate) fn planned(&self, seen: &Seen<World>) -> Vec<String> {
        let plan = ScheduledScaling::decide(&self.policy, &Scope::Everything, seen, self.now);
        let acts = plan.items.iter().filter_map(|item| match &item.decision {
            Decision::Act(change) => Some((change.pass, &change.action, item.reason.code())),
            Decision::Keep | Decision::Defer => None,
        });
        let mut acts: Vec<_> = acts.collect();
        acts.sort_by_key(|(pass, ..)| *pass);
        let acts = acts.into_iter();
        acts.map(|(_, action, reason)| format!("{} {reason}", ScheduledScaling::kind(action)))
            .collect()
    }

    /// The reasons for which things stay, or wait.
    pub(crate) fn reasons(&self, seen: &Seen<World>) -> Vec<&'static str> {
        let plan = ScheduledScaling::decide(&self.policy, &Scope::Everything, seen, self.now);
        let stays = plan.items.iter();
        let stays = stays.filter(|item| !matches!(item.decision, Decision::Act(_)));
        let mut reasons: Vec<_> = stays.map(|item| item.reason.code()).collect();
        reasons.sort_unstable();
        reasons
    }

    /// The changes of what was seen, as they are decided on.
    pub(crate) fn changes(&self, seen: &Seen<World>) -> BTreeMap<u8, Vec<Action>> {
        let plan = ScheduledScaling::decide(&self.policy, &Scope::Everything, seen, self.now);
        let mut passes: BTreeMap<u8, Vec<Action>> = BTreeMap::new();
        for item in plan.items {
            if let Decision::Act(change) = item.decision {
                passes.entry(change.pass).or_default().push(change.action);
            }
        }
        passes
    }

    /// Looks and acts, and tells what becomes of each change; what comes after one that
    /// failed is not begun.
    pub(crate) async fn tick(&self) -> Vec<(&'static str, Outcome)> {
        let seen = self.observe().await;
        assert_eq!(seen.gaps, []);
        self.act(&seen).await
    }

    /// Acts on what was seen.
    pub(crate) async fn act(&self, seen: &Seen<World>) -> Vec<(&'static str, Outcome)> {
        self.recorder.clear();
        let mut all = Vec::new();
        for batch in self.changes(seen).into_values() {
            let outcomes = Act::<ScheduledScaling>::act(&self.hands, &self.policy, &batch).await;
            let is_done = |it: &Outcome| matches!(it, Outcome::Done | Outcome::AlreadyDone);
            let goes_on = outcomes.iter().all(is_done);
            let kinds = batch.iter().map(ScheduledScaling::kind);
            all.extend(kinds.zip(outcomes));
            if !goes_on {
                break;
            }
        }
        let told = Act::<ScheduledScaling>::finish(&self.hands).await;
        assert_eq!(told, Vec::<String>::new());
        all
    }

    /// What was sent since the last look, in order: the operation, and of those of the
    /// ledger the kind of entry.
    pub(crate) fn order(&self) -> Vec<String> {
        self.recorder.order()
    }

    /// What was sent to an operation.
    pub(crate) fn sent(&self, operation: &str) -> Vec<String> {
        self.recorder.sent(operation)
    }

    /// The most calls that were under way at once since this was asked last.
    pub(crate) fn crowd(&self) -> usize {
        self.recorder.crowd()
    }
}
