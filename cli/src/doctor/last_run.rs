//! When a function last ran, and whether it succeeded, by the metric that each
//! of its runs in Lambda leaves. Runs by hand leave none.

use std::collections::BTreeMap;

use aws_config::SdkConfig;
use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::{
    Dimension, Metric, MetricDataQuery, MetricDataResult, MetricStat, StatusCode,
};
use jiff::Timestamp;
use steward::aws;
use steward::metrics::NAMESPACE;

use super::{Finding, State};
use crate::words::{age, count};

const CHECK: &str = "last_run";

/// 1 for a run that failed, 0 for every other (`docs/logging.md`).
const METRIC: &str = "RunFailed";

/// How far back runs are looked for: schedules run once a month at least.
const DAYS: i64 = 35;

/// What an hour is for CloudWatch, and the least that it keeps for this long
/// (Amazon CloudWatch API Reference, `GetMetricData`).
const HOUR: i64 = 3600;

/// The runs of an hour that had any.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Hour {
    runs: f64,
    failed: f64,
}

/// Tells when `function` last ran.
pub(super) async fn look(config: &SdkConfig, function: &str, now: Timestamp) -> Finding {
    let next_hour = now.as_second().div_euclid(HOUR) * HOUR + HOUR;
    let query = |id: &str, statistic: &str| {
        let dimension = Dimension::builder().name("Function").value(function);
        let metric = Metric::builder()
            .namespace(NAMESPACE)
            .metric_name(METRIC)
            .dimensions(dimension.build());
        let statistics = MetricStat::builder()
            .metric(metric.build())
            .period(3600)
            .stat(statistic);
        MetricDataQuery::builder()
            .id(id)
            .metric_stat(statistics.build())
            .build()
    };
    let pages = aws_sdk_cloudwatch::Client::new(config)
        .get_metric_data()
        .metric_data_queries(query("runs", "SampleCount"))
        .metric_data_queries(query("failed", "Sum"))
        .start_time(DateTime::from_secs(next_hour - DAYS * 24 * HOUR))
        .end_time(DateTime::from_secs(next_hour))
        .into_paginator()
        .send();
    let (results, incomplete) =
        aws::read_pages(pages, |page| (page.metric_data_results, page.next_token)).await;
    if let Some(why) = incomplete {
        return Finding::unread("cloudwatch:GetMetricData", CHECK, "its last run", &why);
    }
    match hours(&results) {
        Ok(hours) => told(&hours, now),
        Err(why) => {
            let found = format!("its last run is not known: {why}");
            Finding::new(CHECK, State::Unknown, found)
        }
    }
}

/// The hours that had runs, by their beginning in seconds since 1970.
fn hours(results: &[MetricDataResult]) -> Result<BTreeMap<i64, Hour>, String> {
    let mut hours: BTreeMap<i64, Hour> = BTreeMap::new();
    for result in results {
        let id = result.id().unwrap_or_default();
        match result.status_code() {
            // What is missing of a partial result is on another page.
            Some(StatusCode::Complete | StatusCode::PartialData) => {}
            other => {
                let status = other.map_or("no status", StatusCode::as_str);
                return Err(format!("CloudWatch answers {status} for {id}"));
            }
        }
        if result.timestamps().len() != result.values().len() {
            return Err(format!("CloudWatch gives {id} without its times"));
        }
        for (time, value) in result.timestamps().iter().zip(result.values()) {
            let hour = hours.entry(time.secs()).or_default();
            match id {
                "runs" => hour.runs += value,
                "failed" => hour.failed += value,
                other => return Err(format!("CloudWatch answers {other:?}, which nobody asked")),
            }
        }
    }
    hours.retain(|_, hour| hour.runs > 0.0);
    Ok(hours)
}

fn told(hours: &BTreeMap<i64, Hour>, now: Timestamp) -> Finding {
    let sum = |of: fn(&Hour) -> f64| hours.values().map(of).sum::<f64>();
    let (runs, failed) = (sum(|hour| hour.runs), sum(|hour| hour.failed));
    let of_all = format!("{failed} of {} failed in {DAYS} days", runs_of(runs));
    let Some((last, of_last)) = hours.last_key_value() else {
        let found = format!("no run in {DAYS} days");
        return Finding::new(CHECK, State::Bad, found)
            .todo("see whether its schedule is enabled, or invoke it with {\"mode\":\"plan\"}");
    };
    let mut newest_first = hours.iter().rev();
    let Some((good, _)) = newest_first.find(|(_, hour)| hour.runs > hour.failed) else {
        let found = format!("none has succeeded: {of_all}");
        return Finding::new(CHECK, State::Bad, found).todo(SEE_WHY);
    };
    let when = when(*good, now);
    if good != last {
        let found = format!("the last that succeeded was {when}, and later ones failed: {of_all}");
        Finding::new(CHECK, State::Bad, found).todo(SEE_WHY)
    } else if of_last.failed > 0.0 {
        let found = format!("one succeeded {when}, and one failed in the same hour: {of_all}");
        Finding::new(CHECK, State::Warning, found).todo(SEE_WHY)
    } else {
        Finding::new(
            CHECK,
            State::Good,
            format!("one succeeded {when}; {of_all}"),
        )
    }
}

const SEE_WHY: &str = "its log group has the reports of these runs";

fn runs_of(runs: f64) -> String {
    // CloudWatch writes a count as a float.
    count(runs as usize, "run")
}

/// CloudWatch tells the hour and not the minute.
fn when(hour: i64, now: Timestamp) -> String {
    match Timestamp::from_second(hour) {
        Ok(at) => format!("in the hour from {at}, {} ago", age(at, now)),
        Err(_) => "at a time that cannot be read".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told_of(hours: &[(i64, f64, f64)]) -> (State, String) {
        let hours = hours.iter().map(|&(hour, runs, failed)| {
            let at = hour * HOUR;
            (at, Hour { runs, failed })
        });
        let now = Timestamp::from_second(100 * HOUR + 60).unwrap();
        let finding = told(&hours.collect(), now);
        (finding.state, finding.found)
    }

    #[test]
    fn the_newest_hour_with_runs_decides() {
        for (hours, state, found) in [
            (&[][..], State::Bad, "no run in 35 days"),
            (
                &[(20, 1.0, 1.0), (99, 3.0, 3.0)],
                State::Bad,
                "none has succeeded: 4 of 4 runs failed in 35 days",
            ),
            (
                &[(20, 1.0, 1.0), (99, 1.0, 0.0)],
                State::Good,
                "one succeeded in the hour from 1970-01-05T03:00:00Z, 1h ago; 1 of 2 runs failed in \
                 35 days",
            ),
            (
                &[(20, 1.0, 0.0), (99, 1.0, 1.0)],
                State::Bad,
                "the last that succeeded was in the hour from 1970-01-01T20:00:00Z, 3d ago, and \
                 later ones failed: 1 of 2 runs failed in 35 days",
            ),
            (
                &[(99, 2.0, 1.0)],
                State::Warning,
                "one succeeded in the hour from 1970-01-05T03:00:00Z, 1h ago, and one failed in the \
                 same hour: 1 of 2 runs failed in 35 days",
            ),
        ] {
            assert_eq!(told_of(hours), (state, found.to_owned()));
        }
    }

    #[test]
    fn an_answer_with_something_missing_tells_nothing() {
        let result = |id: &str, status, values: &[f64]| {
            MetricDataResult::builder()
                .id(id)
                .status_code(status)
                .timestamps(DateTime::from_secs(HOUR))
                .set_values(Some(values.to_vec()))
                .build()
        };
        let whole = result("runs", StatusCode::Complete, &[1.0]);
        let hour = Hour {
            runs: 1.0,
            failed: 0.0,
        };
        assert_eq!(
            hours(std::slice::from_ref(&whole)),
            Ok(BTreeMap::from([(HOUR, hour)]))
        );
        for wrong in [
            result("failed", StatusCode::InternalError, &[1.0]),
            result("failed", StatusCode::Forbidden, &[1.0]),
            result("failed", StatusCode::Complete, &[]),
            result("other", StatusCode::Complete, &[1.0]),
        ] {
            assert!(hours(&[whole.clone(), wrong.clone()]).is_err(), "{wrong:?}");
        }
    }
}
