//! What a run tells beside its report: metrics, messages to people, log lines.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, helpers included"
)]

mod logs;
mod messages;
mod metrics;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::json;
use steward::report::{GapLine, Refusal, Report, Summary};
use steward::tally::UnitTally;

/// The report of a night in which nothing happened, with these changes.
fn report(change: impl FnOnce(&mut Report)) -> Report {
    let mut report: Report = serde_json::from_value(json!({
        "schema_version": 1, "function": "image-pruning", "operation": "prune",
        "status": "nothing_to_do", "mode": "apply", "run_id": "0a1b2c3d", "trigger": "schedule",
        "account": "123456789012", "region": "eu-west-1",
        "started_at": "2026-11-23T02:00:00Z", "finished_at": "2026-11-23T02:00:01.25Z",
        "policy_digest": "sha256:1", "plan_digest": "sha256:2",
        "summary": {"observed": 0, "kept": 0, "deferred": 0, "planned": 0, "done": 0,
            "already_done": 0, "skipped": 0, "failed": 0},
        "actions": [], "actions_total": 0, "truncated": false, "kept": [], "refusals": [],
        "gaps": [], "warnings": [], "wait": null,
    }))
    .unwrap();
    change(&mut report);
    report
}

fn quiet(unit: &str) -> UnitTally {
    UnitTally {
        unit: unit.to_owned(),
        summary: Summary {
            observed: 10,
            kept: 10,
            ..Summary::default()
        },
        ..UnitTally::default()
    }
}

fn done(unit: &str, count: usize) -> UnitTally {
    UnitTally {
        summary: Summary {
            observed: 10 + count,
            kept: 10,
            planned: count,
            done: count,
            ..Summary::default()
        },
        done_kinds: BTreeMap::from([("delete_image", count)]),
        ..quiet(unit)
    }
}

fn failed(unit: &str, count: usize) -> UnitTally {
    let failure = |n| format!("{unit}@sha256:{n}: AccessDeniedException: no ecr:BatchDeleteImage");
    UnitTally {
        summary: Summary {
            observed: 10 + count,
            kept: 10,
            planned: count,
            failed: count,
            ..Summary::default()
        },
        failures: (0..count.min(3)).map(failure).collect(),
        ..quiet(unit)
    }
}

fn share(unit: &str) -> Refusal {
    let detail = "12 of 14 (85 %) would be changed; the limit is 75 %";
    Refusal::new("max_share_percent", unit, detail)
}

fn hidden(unit: &str) -> Refusal {
    let detail = "nothing is destroyed here while this cannot be read: ecs:ListClusters";
    Refusal::new("incomplete_observation", unit, detail)
}

fn gap(hides: &str) -> GapLine {
    GapLine {
        read: "ecs:ListClusters in eu-west-1: AccessDeniedException: not authorized".to_owned(),
        hides: hides.to_owned(),
        grant: "ecs:ListClusters".to_owned(),
    }
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}
