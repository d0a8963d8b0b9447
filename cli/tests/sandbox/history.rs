//! `steward alarm-remediation history`: what the ledger remembers, as an operator reads it.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::{Value, json};

use super::{Desk, desk, status, text};

fn arn(name: &str) -> String {
    format!("arn:aws:cloudwatch:eu-central-1:123456789012:alarm:{name}")
}

/// A case as the function writes it, in which tasks were replaced in vain.
fn case(name: &str, happened: &[(&str, &str)]) -> Value {
    let log = happened
        .iter()
        .map(|(at, what)| json!({"at": at, "what": what}));
    let log: Vec<Value> = log.collect();
    json!({
        "source": {"alarm": arn(name)}, "name": name, "unit": "shop/web", "concerns": [],
        "opened": happened[0].0, "since": happened[0].0, "stage": "open",
        "told": ["tasks_fail"], "proposed": null, "raised": [], "log": log,
        "tried": [{
            "at": happened[0].0, "effect": "did_not_help",
            "remedy": {"replace_tasks": {"cluster": "shop", "service": "web", "tasks": ["a"]}},
        }],
    })
}

/// Puts an entry into the ledger.
async fn remember(desk: &Desk, partition: &str, sort: &str, body: &str) {
    let text = |value: &str| AttributeValue::S(value.to_owned());
    let item = HashMap::from([
        ("pk".to_owned(), text(partition)),
        ("sk".to_owned(), text(sort)),
        ("body".to_owned(), text(body)),
        ("version".to_owned(), AttributeValue::N("1".to_owned())),
    ]);
    let put = desk.account.dynamodb().put_item();
    let put = put.table_name("steward-ledger").set_item(Some(item));
    put.send().await.unwrap();
}

fn history(desk: &Desk, more: &[&str]) -> Value {
    let base = ["alarm-remediation", "history", "--json"];
    let output = desk.steward(&[&base[..], more].concat());
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", text(&output)))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_tried_for_alarms_is_shown_with_what_came_of_it() {
    let desk = desk("history");
    desk.account.ledger().await.unwrap();
    let shown = ["alarm-remediation", "history"];
    let empty = desk.steward(&shown);
    assert_eq!(status(&empty), 0, "{}", text(&empty));
    assert!(
        text(&empty).contains("0 open cases, and 0 ended"),
        "{}",
        text(&empty)
    );

    let (now, then) = ("alarm-remediation", "alarm-remediation-history");
    let open = case("shop-5xx", &[("2026-11-23T22:00:00Z", "opened: it burns")]);
    let over = case(
        "shop-cpu",
        &[
            ("2026-11-22T10:00:00Z", "opened: busy"),
            ("2026-11-22T11:00:00Z", "closed: quiet"),
        ],
    );
    remember(
        &desk,
        now,
        &format!("case#{}", arn("shop-5xx")),
        &open.to_string(),
    )
    .await;
    remember(&desk, now, "case#odd", "{}").await;
    // Other entries beside cases are not taken for any.
    remember(&desk, now, "attempts#service:shop/web", "[]").await;
    let sort = format!("2026-11-22T10:00:00Z#{}", arn("shop-cpu"));
    remember(&desk, then, &sort, &over.to_string()).await;

    let output = desk.steward(&shown);
    let told = text(&output);
    assert_eq!(status(&output), 0, "{told}");
    for part in [
        "alarm-remediation history: 1 open case, and 1 ended",
        "shop-5xx",
        "replace tasks:",
        "in alarm;",
        "2026-11-22 11:00Z",
        "case#odd",
        "steward alarm-remediation history --case shop-5xx",
    ] {
        assert!(told.contains(part), "{part:?} is not in: {told}");
    }
    let all = history(&desk, &[]);
    assert_eq!(all["schema_version"], 1);
    assert_eq!(all["function"], "alarm-remediation");
    assert_eq!(all["ledger"], "steward-ledger");
    let names: Vec<&Value> = all["cases"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["name"])
        .collect();
    assert_eq!(names, ["shop-5xx", "shop-cpu"]);
    assert_eq!(all["cases"][0]["key"], arn("shop-5xx"));
    assert_eq!(all["cases"][0]["ended"], Value::Null);
    assert_eq!(all["cases"][0]["tried"], open["tried"]);
    assert_eq!(all["cases"][1]["ended"], "2026-11-22T11:00:00Z");
    assert_eq!(all["warnings"].as_array().unwrap().len(), 1);

    for name in ["shop-cpu".to_owned(), arn("shop-cpu")] {
        let one = history(&desk, &["--case", &name]);
        assert_eq!(one["cases"].as_array().unwrap().len(), 1, "{one}");
        let output = desk.steward(&[&shown[..], &["--case", &name]].concat());
        let told = text(&output);
        assert!(told.contains("11-22 11:00:00Z  closed: quiet"), "{told}");
    }
    let unknown = desk.steward(&[&shown[..], &["--case", "shop"]].concat());
    assert_eq!(status(&unknown), 2, "{}", text(&unknown));
    assert!(
        text(&unknown).contains("is called \"shop\""),
        "{}",
        text(&unknown)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_ledger_nothing_is_remembered_unless_there_has_to_be_one() {
    let desk = desk("history_without_ledger");
    let shown = ["alarm-remediation", "history"];
    let none = desk.steward(&shown);
    assert_eq!(status(&none), 0, "{}", text(&none));
    assert!(
        text(&none).contains("there is no ledger"),
        "{}",
        text(&none)
    );
    let named = desk.steward_where(&shown, &[("STEWARD_LEDGER", "elsewhere")]);
    assert_eq!(status(&named), 1, "{}", text(&named));
    assert!(text(&named).contains("elsewhere"), "{}", text(&named));
}
