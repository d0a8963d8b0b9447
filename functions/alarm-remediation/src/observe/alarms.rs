//! Alarms as they are now, with their tags, what keeps them still, and what they are about.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_cloudwatch::types as cw;
use futures::{StreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use steward::aws;
use steward::engine::{Hides, Seen};

use super::concerns::{Side, Watched};
use super::once::Once;
use super::{Alarms, CALLS_AT_ONCE, NO_LIST, Read, Unread, instant};
use crate::case::Case;
use crate::policy::RemediationPolicy;
use crate::world::{Alarm, Quiet, REMEDIATION, State, World};

/// The most names of one call (`DescribeAlarms`, Amazon CloudWatch API Reference).
pub(super) const MOST_NAMES: usize = 100;

/// How long after it was configured an alarm without data is still of its making.
const YOUNG: SignedDuration = SignedDuration::from_mins(15);

const DESCRIBE: &str = "cloudwatch:DescribeAlarms";
const TAGS: &str = "cloudwatch:ListTagsForResource";
const MUTES: &str = "cloudwatch:ListAlarmMuteRules";

/// The name in an alarm's ARN, which may have colons in it.
pub(crate) fn name_of(arn: &str) -> &str {
    arn.splitn(7, ':').nth(6).unwrap_or(arn)
}

/// An alarm of any kind, as `DescribeAlarms` has it.
#[derive(Clone, Debug)]
pub(super) struct Described {
    pub(super) alarm: Alarm,
    pub(super) watched: Vec<Watched>,
    pub(super) is_composite: bool,
    /// Whether it watches many time series, of which each may be in alarm.
    pub(super) has_contributors: bool,
    is_suppressed: Option<String>,
}

impl Alarms {
    /// The alarms of these names, and with `all` every one that is in alarm.
    pub(super) async fn alarms(
        &self,
        policy: &RemediationPolicy,
        (names, all): (&BTreeSet<String>, bool),
        cases: &BTreeMap<&String, &Case>,
        once: &Once,
        seen: &mut Seen<World>,
    ) {
        let mut described: BTreeMap<String, Described> = BTreeMap::new();
        let names: Vec<String> = names.iter().cloned().collect();
        for chunk in names.chunks(MOST_NAMES) {
            match self.described(Some(chunk)).await {
                Ok(found) => {
                    let is_there = |name: &String| found.iter().any(|it| it.alarm.name == *name);
                    let gone = chunk.iter().filter(|name| !is_there(name));
                    let absent = &mut seen.world.absent_alarms;
                    for name in gone {
                        absent.insert(name.clone());
                        let keys = cases.iter().filter(|(_, case)| case.name == *name);
                        absent.extend(keys.map(|(key, _)| (*key).clone()));
                    }
                    described.extend(found.into_iter().map(|it| (it.alarm.arn.clone(), it)));
                }
                Err(unread) => {
                    let hidden = chunk.iter().cloned().collect();
                    seen.gaps.push(unread.gap(Hides::Units(hidden)));
                }
            }
        }
        if all {
            match self.described(None).await {
                Ok(found) => {
                    described.extend(found.into_iter().map(|it| (it.alarm.arn.clone(), it)));
                }
                Err(unread) => seen.gaps.push(unread.gap(Hides::Everything)),
            }
        }
        // Those of the same name that are of no case are no case's.
        for (key, case) in cases {
            let is_named = described.values().any(|it| it.alarm.name == case.name);
            if is_named && !described.contains_key(*key) {
                seen.world.absent_alarms.insert((*key).clone());
            }
        }
        let looked: Vec<(Alarm, Vec<Unread>)> = stream::iter(described.into_values())
            .map(|it| async move {
                let case = cases.get(&it.alarm.arn).copied();
                self.closely(policy, it, case, once).await
            })
            .buffered(CALLS_AT_ONCE)
            .collect()
            .await;
        for (alarm, unread) in looked {
            for one in unread {
                seen.gaps.push(one.gap(Hides::unit(alarm.name.clone())));
            }
            seen.world.alarms.insert(alarm.arn.clone(), alarm);
        }
    }

    /// Looks closely at an alarm: only at one that is in alarm and may be taken on.
    async fn closely(
        &self,
        policy: &RemediationPolicy,
        described: Described,
        case: Option<&Case>,
        once: &Once,
    ) -> (Alarm, Vec<Unread>) {
        let mut unread = Vec::new();
        let mut alarm = described.alarm.clone();
        let is_of_ours = !alarm.is_of_scaling && !alarm.is_of_steward;
        if alarm.state != State::Alarm || !is_of_ours {
            alarm.tags = Some(BTreeMap::new());
            return (alarm, unread);
        }
        match self.tags_of_alarm(&alarm.arn).await {
            Ok(tags) => alarm.tags = Some(tags),
            Err(why) => {
                unread.push(why);
                return (alarm, unread);
            }
        }
        let tag = |tags: &BTreeMap<String, String>| tags.get(REMEDIATION).cloned();
        let tag = alarm.tags.as_ref().and_then(tag);
        if case.is_none() && !policy.takes_on(&alarm.name, tag.as_deref()) {
            return (alarm, unread);
        }
        alarm.quiet = if let Some(why) = &described.is_suppressed {
            Quiet::Suppressed { why: why.clone() }
        } else {
            match self.mute(&alarm.name).await {
                Ok(Some(by)) => Quiet::Muted { by },
                Ok(None) => Quiet::No,
                Err(why) => {
                    unread.push(why);
                    Quiet::Unread
                }
            }
        };
        let of_case = case.map(|case| &case.concerns);
        // Of these it changes while they are in alarm.
        let is_of_many = described.is_composite || described.has_contributors;
        match of_case.filter(|concerns| !concerns.is_empty() && !is_of_many) {
            Some(concerns) => alarm.concerns.clone_from(concerns),
            None => {
                let tag = tag.as_deref();
                let (concerns, why) = self.concerns(policy, &described, tag, once).await;
                alarm.concerns = concerns;
                alarm.unread = why.iter().map(ToString::to_string).collect();
                unread.extend(why);
            }
        }
        (alarm, unread)
    }

    /// Alarms of these names, or all that are in alarm.
    pub(super) async fn described(&self, names: Option<&[String]>) -> Read<Vec<Described>> {
        let answers = aws::read_pages_by_token(|token| {
            let request = self
                .cloudwatch
                .describe_alarms()
                .alarm_types(cw::AlarmType::MetricAlarm)
                .alarm_types(cw::AlarmType::CompositeAlarm)
                .alarm_types(cw::AlarmType::LogAlarm)
                .set_alarm_names(names.map(<[_]>::to_vec))
                .set_state_value(names.is_none().then_some(cw::StateValue::Alarm))
                .max_records(100)
                .set_next_token(token);
            async {
                let answer = self.cloudwatch_pace.call(request.send()).await;
                answer.map(|answer| (described_in(&answer), answer.next_token))
            }
        });
        let (found, incomplete) = answers.await;
        all_described(found, incomplete.map(|why| why.to_string()))
    }

    /// The names of a composite alarm's children that are in alarm.
    pub(super) async fn children_in_alarm(&self, name: &str) -> Read<Vec<String>> {
        let answers = aws::read_pages_by_token(|token| {
            // No other parameter may stand beside the name (`DescribeAlarms`).
            let request = self
                .cloudwatch
                .describe_alarms()
                .children_of_alarm_name(name)
                .max_records(100)
                .set_next_token(token);
            async {
                let answer = self.cloudwatch_pace.call(request.send()).await;
                answer.map(|answer| (described_in(&answer), answer.next_token))
            }
        });
        let (found, incomplete) = answers.await;
        let found = all_described(found, incomplete.map(|why| why.to_string()))?;
        let burning = found.into_iter();
        let burning = burning.filter(|it| it.alarm.state == State::Alarm);
        Ok(burning.map(|it| it.alarm.name).collect())
    }

    pub(super) async fn tags_of_alarm(&self, arn: &str) -> Read<BTreeMap<String, String>> {
        let request = self.cloudwatch.list_tags_for_resource().resource_arn(arn);
        let answer = self.cloudwatch_pace.call(request.send()).await;
        let answer = answer.map_err(|error| Unread::of(TAGS, aws::explain(&error)))?;
        // AWS tells of an alarm without tags that it has none. By a tag it may be switched
        // off, so that no answer is not taken for that.
        let Some(tags) = &answer.tags else {
            return Err(Unread::of(TAGS, NO_LIST));
        };
        let tags = tags.iter();
        Ok(tags
            .filter_map(|tag| Some((tag.key()?.to_owned(), tag.value()?.to_owned())))
            .collect())
    }

    /// The rule that mutes an alarm now.
    async fn mute(&self, name: &str) -> Read<Option<String>> {
        let answers = aws::read_pages_by_token(|token| {
            let request = self
                .cloudwatch
                .list_alarm_mute_rules()
                .alarm_name(name)
                .statuses(cw::AlarmMuteRuleStatus::Active)
                .max_records(100)
                .set_next_token(token);
            async {
                let answer = self.cloudwatch_pace.call(request.send()).await;
                answer.map(|answer| (answer.alarm_mute_rule_summaries, answer.next_token))
            }
        });
        let (rules, incomplete) = answers.await;
        if let Some(why) = incomplete {
            return Err(Unread::of(MUTES, why.to_string()));
        }
        let is_active = |rule: &&cw::AlarmMuteRuleSummary| {
            let status = rule.status();
            status.is_none_or(|status| *status == cw::AlarmMuteRuleStatus::Active)
        };
        let rule = rules.iter().find(is_active);
        Ok(rule.map(|rule| {
            let arn = rule
                .alarm_mute_rule_arn()
                .unwrap_or("a rule without an ARN");
            name_of(arn).to_owned()
        }))
    }
}

/// The alarms of a page, `None` for each that lacks what it cannot be without; `None` for a
/// page that has no list of any kind, which is no answer.
fn described_in(
    answer: &aws_sdk_cloudwatch::operation::describe_alarms::DescribeAlarmsOutput,
) -> Option<Vec<Option<Described>>> {
    let lists = [
        answer.metric_alarms.is_some(),
        answer.composite_alarms.is_some(),
        answer.log_alarms.is_some(),
    ];
    let metric = answer.metric_alarms().iter().map(of_metric);
    let composite = answer.composite_alarms().iter().map(of_composite);
    let log = answer.log_alarms().iter().map(of_log);
    let all = metric.chain(composite).chain(log);
    lists.contains(&true).then(|| all.collect())
}

/// All alarms of all pages: one that is left out would pass for deleted.
fn all_described(
    found: Vec<Option<Described>>,
    incomplete: Option<String>,
) -> Read<Vec<Described>> {
    if let Some(why) = incomplete {
        return Err(Unread::of(DESCRIBE, why));
    }
    let all: Option<Vec<Described>> = found.into_iter().collect();
    all.ok_or_else(|| Unread::of(DESCRIBE, "an alarm has no name, ARN or state"))
}

/// What all kinds of alarms have.
struct Common<'a> {
    arn: Option<&'a str>,
    name: Option<&'a str>,
    state: Option<&'a cw::StateValue>,
    transitioned: Option<&'a aws_smithy_types::DateTime>,
    updated: Option<&'a aws_smithy_types::DateTime>,
    why: Option<&'a str>,
    actions: &'a [String],
}

/// The same of each kind, whose types have nothing in common.
macro_rules! common_of {
    ($alarm:expr) => {
        Common {
            arn: $alarm.alarm_arn(),
            name: $alarm.alarm_name(),
            state: $alarm.state_value(),
            transitioned: $alarm.state_transitioned_timestamp(),
            updated: $alarm.state_updated_timestamp(),
            why: $alarm.state_reason(),
            actions: $alarm.alarm_actions(),
        }
    };
}

impl Common<'_> {
    fn alarm(&self) -> Option<Alarm> {
        let name = self.name?;
        let since = instant(self.transitioned).or_else(|| instant(self.updated));
        Some(Alarm {
            arn: self.arn?.to_owned(),
            name: name.to_owned(),
            state: match self.state? {
                cw::StateValue::Ok => State::Ok,
                cw::StateValue::Alarm => State::Alarm,
                _ => State::NoData,
            },
            since: since.unwrap_or(Timestamp::UNIX_EPOCH),
            why: self.why.unwrap_or_default().to_owned(),
            is_of_its_making: false,
            tags: None,
            quiet: Quiet::No,
            is_of_scaling: self.actions.iter().any(|action| is_scaling(action)),
            is_of_steward: is_of_steward(name),
            concerns: vec![],
            unread: vec![],
        })
    }
}

/// Whether an action scales something ("Alarm actions", `PutMetricAlarm`).
fn is_scaling(action: &str) -> bool {
    let mut parts = action.split(':');
    let service = parts.nth(2);
    matches!(service, Some("autoscaling" | "application-autoscaling"))
        || action.contains(":scalingPolicy:")
}

/// The alarms of the template that deploys Steward begin like this, all of them.
fn is_of_steward(name: &str) -> bool {
    name.starts_with("steward-")
}

fn of_metric(alarm: &cw::MetricAlarm) -> Option<Described> {
    let mut of = common_of!(alarm).alarm()?;
    let configured = instant(alarm.alarm_configuration_updated_timestamp());
    let has_no_data = of.why.contains("no datapoints were received");
    // One that is changed while it stands is not of its making.
    let is_young =
        configured.is_some_and(|at| at <= of.since && of.since.duration_since(at) <= YOUNG);
    of.is_of_its_making =
        has_no_data && is_young && alarm.treat_missing_data() == Some("breaching");
    let mut watched = Vec::new();
    let side = Side::of(alarm.comparison_operator());
    if let Some(name) = alarm.metric_name() {
        let namespace = alarm.namespace().unwrap_or_default();
        watched.push(Watched::of(namespace, name, side, alarm.dimensions()));
    }
    let mut has_contributors = false;
    for query in alarm.metrics() {
        if let Some(metric) = query.metric_stat().and_then(cw::MetricStat::metric) {
            let namespace = metric.namespace().unwrap_or_default();
            let name = metric.metric_name().unwrap_or_default();
            watched.push(Watched::of(namespace, name, side, metric.dimensions()));
        }
        let expression = query.expression().unwrap_or_default().trim_start();
        if let Some(insight) = Watched::of_query(expression, side) {
            has_contributors = true;
            watched.push(insight);
        }
    }
    has_contributors |= alarm.evaluation_criteria().is_some();
    Some(Described {
        alarm: of,
        watched,
        is_composite: false,
        has_contributors,
        is_suppressed: None,
    })
}

fn of_composite(alarm: &cw::CompositeAlarm) -> Option<Described> {
    let suppressed = alarm.actions_suppressed_by().map(|by| {
        let why = alarm.actions_suppressed_reason();
        why.unwrap_or(by.as_str()).to_owned()
    });
    Some(Described {
        alarm: common_of!(alarm).alarm()?,
        watched: vec![],
        is_composite: true,
        has_contributors: false,
        is_suppressed: suppressed,
    })
}

fn of_log(alarm: &cw::LogAlarm) -> Option<Described> {
    Some(Described {
        alarm: common_of!(alarm).alarm()?,
        watched: vec![],
        is_composite: false,
        has_contributors: false,
        is_suppressed: None,
    })
}
