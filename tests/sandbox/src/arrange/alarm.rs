//! Alarms, on services and on whatever else has a metric, and the rules that
//! mute them.

use anyhow::{Context, Result};
use aws_sdk_cloudwatch::operation::put_metric_alarm::builders::PutMetricAlarmFluentBuilder;
use aws_sdk_cloudwatch::types::{
    AlarmType, ComparisonOperator, CompositeAlarm, Dimension, MetricAlarm, MuteTargets, Rule,
    Schedule, Statistic, Tag,
};
use jiff::Timestamp;

use super::environment::Service;
use crate::account::Account;
use crate::control::AlarmEdit;

/// An alarm of an account, in the Region of that account.
#[derive(Clone, Debug)]
pub struct Alarm {
    account: Account,
    name: String,
}

impl Account {
    /// Makes an alarm that rings when a metric's average of a minute is above
    /// 80, or below where less of it is worse, with these dimensions and tags. It
    /// has no data yet.
    ///
    /// # Errors
    /// When CloudWatch refuses.
    pub async fn alarm(
        &self,
        name: &str,
        metric: (&str, &str),
        dimensions: &[(&str, &str)],
        tags: &[(&str, &str)],
    ) -> Result<Alarm> {
        let is_worse_when_low = ["FreeStorageSpace", "HealthyHostCount", "RunningTaskCount"];
        let operator = match is_worse_when_low.contains(&metric.1) {
            true => ComparisonOperator::LessThanThreshold,
            false => ComparisonOperator::GreaterThanThreshold,
        };
        self.alarm_with(name, |request| {
            request
                .comparison_operator(operator)
                .namespace(metric.0)
                .metric_name(metric.1)
                .statistic(Statistic::Average)
                .period(60)
                .set_dimensions(Some(dimensions_of(dimensions)))
                .set_tags(Some(tags_of(tags)))
        })
        .await
    }

    /// Makes an alarm that rings above 80, on what the caller says: a metric,
    /// several, or a query; and with other changes of the caller's.
    ///
    /// # Errors
    /// When CloudWatch refuses.
    pub async fn alarm_with(
        &self,
        name: &str,
        change: impl FnOnce(PutMetricAlarmFluentBuilder) -> PutMetricAlarmFluentBuilder,
    ) -> Result<Alarm> {
        let cloudwatch = self.cloudwatch();
        let request = cloudwatch
            .put_metric_alarm()
            .alarm_name(name)
            .evaluation_periods(1)
            .threshold(80.0)
            .comparison_operator(ComparisonOperator::GreaterThanThreshold);
        change(request)
            .send()
            .await
            .with_context(|| format!("cannot put alarm {name}"))?;
        Ok(self.existing_alarm(name))
    }

    /// Makes a composite alarm, which follows its rule at once.
    ///
    /// # Errors
    /// When CloudWatch refuses.
    pub async fn composite_alarm(&self, name: &str, rule: &str) -> Result<Alarm> {
        let cloudwatch = self.cloudwatch();
        let request = cloudwatch.put_composite_alarm().alarm_name(name);
        request
            .alarm_rule(rule)
            .send()
            .await
            .with_context(|| format!("cannot put composite alarm {name}"))?;
        Ok(self.existing_alarm(name))
    }

    /// An alarm that is there already.
    pub fn existing_alarm(&self, name: &str) -> Alarm {
        Alarm {
            account: self.clone(),
            name: name.to_owned(),
        }
    }

    /// Mutes the actions of alarms once, from a minute on, for a time in the
    /// form of ISO 8601 as in `PT1H`; and answers the ARN of the rule.
    ///
    /// # Errors
    /// When CloudWatch refuses.
    pub async fn mute(
        &self,
        name: &str,
        alarms: &[&str],
        from: Timestamp,
        duration: &str,
    ) -> Result<String> {
        let schedule = Schedule::builder()
            .expression(format!("at({})", from.strftime("%Y-%m-%dT%H:%M")))
            .duration(duration)
            .build();
        let names = alarms.iter().map(|&alarm| alarm.to_owned()).collect();
        self.cloudwatch()
            .put_alarm_mute_rule()
            .name(name)
            .rule(Rule::builder().schedule(schedule).build())
            .mute_targets(MuteTargets::builder().set_alarm_names(Some(names)).build())
            .send()
            .await
            .with_context(|| format!("cannot put mute rule {name}"))?;
        let (region, id) = (self.region_name(), self.id());
        Ok(format!(
            "arn:aws:cloudwatch:{region}:{id}:alarm-mute-rule:{name}"
        ))
    }
}

impl Service {
    /// Makes an alarm on a metric of Amazon ECS of this service, as in
    /// `CPUUtilization`.
    ///
    /// # Errors
    /// When CloudWatch refuses.
    pub async fn alarm(&self, name: &str, metric: &str, tags: &[(&str, &str)]) -> Result<Alarm> {
        let dimensions = [
            ("ClusterName", self.cluster()),
            ("ServiceName", self.name()),
        ];
        let account = self.account();
        account
            .alarm(name, ("AWS/ECS", metric), &dimensions, tags)
            .await
    }
}

impl Alarm {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its ARN.
    pub fn arn(&self) -> String {
        let (region, id) = (self.account.region_name(), self.account.id());
        format!("arn:aws:cloudwatch:{region}:{id}:alarm:{}", self.name)
    }

    /// Lets it be in ALARM.
    ///
    /// # Errors
    /// When it is not there any more.
    pub async fn ring(&self) -> Result<()> {
        self.be("ALARM").await
    }

    /// Lets it be OK.
    ///
    /// # Errors
    /// When it is not there any more.
    pub async fn calm(&self) -> Result<()> {
        self.be("OK").await
    }

    /// Lets it be in a state, for the reasons that CloudWatch would give.
    ///
    /// # Errors
    /// When it is not there any more, or there is no such state.
    pub async fn be(&self, state: &str) -> Result<()> {
        let edit = AlarmEdit {
            state: state.to_owned(),
            ..AlarmEdit::default()
        };
        self.edit(&edit).await
    }

    /// Lets it be in a state, for reasons of the caller's.
    ///
    /// # Errors
    /// When it is not there any more, or there is no such state.
    pub async fn edit(&self, edit: &AlarmEdit) -> Result<()> {
        Ok(self.account.control().edit_alarm(&self.name, edit).await?)
    }

    /// What CloudWatch tells of it.
    ///
    /// # Errors
    /// When it is not there any more, or a composite alarm.
    pub async fn describe(&self) -> Result<MetricAlarm> {
        let cloudwatch = self.account.cloudwatch();
        let found = cloudwatch.describe_alarms().alarm_names(&self.name);
        let alarm = found.send().await?.metric_alarms.unwrap_or_default().pop();
        alarm.with_context(|| format!("there is no metric alarm {}", self.name))
    }

    /// What CloudWatch tells of it as a composite alarm.
    ///
    /// # Errors
    /// When it is not there any more, or a metric alarm.
    pub async fn describe_composite(&self) -> Result<CompositeAlarm> {
        let cloudwatch = self.account.cloudwatch();
        let found = cloudwatch.describe_alarms().alarm_names(&self.name);
        let found = found.alarm_types(AlarmType::CompositeAlarm).send().await?;
        let alarm = found.composite_alarms.unwrap_or_default().pop();
        alarm.with_context(|| format!("there is no composite alarm {}", self.name))
    }
}

fn dimensions_of(pairs: &[(&str, &str)]) -> Vec<Dimension> {
    let dimension =
        |(name, value): &(&str, &str)| Dimension::builder().name(*name).value(*value).build();
    pairs.iter().map(dimension).collect()
}

fn tags_of(pairs: &[(&str, &str)]) -> Vec<Tag> {
    let tag = |(key, value): &(&str, &str)| Tag::builder().key(*key).value(*value).build();
    pairs.iter().map(tag).collect()
}
