//! `steward scheduled-scaling` as an operator uses it: a plan, and overrides that the
//! ledger remembers.

use serde_json::Value;

use super::{Desk, desk, now, status, text};

const POLICY: &str = r#"
version: 1
schedules: {always: {periods: [{start: "00:00", stop: "24:00"}]}}
environments:
  dev: {schedules: [always], members: {web: {services: {include: ["*"]}, sizes: {small: {desired: 1}}}}}
  shop: {schedules: [always]}
"#;

fn with_policy(name: &str) -> Desk {
    let desk = desk(name);
    std::fs::write(desk.directory.join("scaling.yaml"), POLICY).unwrap();
    desk
}

/// The answer of `steward scheduled-scaling … --policy … --json`.
fn answer(desk: &Desk, arguments: &[&str]) -> Value {
    let rest = ["--policy", "scaling.yaml", "--json"];
    let output = desk.steward(&[&["scheduled-scaling"], arguments, &rest].concat());
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", text(&output)))
}

/// What the ledger says of the override of `dev`.
async fn remembered(desk: &Desk) -> Option<Value> {
    let scan = desk.account.dynamodb().scan();
    let items = scan.table_name("steward-ledger").send().await.unwrap();
    let items = items.items.unwrap_or_default();
    let found = items.iter().find(|item| {
        let sort = item["sk"].as_s().unwrap();
        sort == "override#dev"
    })?;
    Some(serde_json::from_str(found["body"].as_s().unwrap()).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_override_is_remembered_with_who_and_why_until_it_ends() {
    let desk = with_policy("override");
    desk.account.ledger().await.unwrap();
    let wish = [
        "override", "dev", "on", "--for", "3h", "--size", "small", "--why", "a demo",
    ];

    let planned = answer(&desk, &wish);
    assert_eq!(
        (&planned["status"], &planned["operation"]),
        (&"planned".into(), &"override".into())
    );
    assert_eq!(remembered(&desk).await, None);
    let shown = [
        &["scheduled-scaling"],
        &wish[..],
        &["--policy", "scaling.yaml"],
    ]
    .concat();
    let shown = text(&desk.steward(&shown)).replace(" \\\n     ", "");
    let command = "steward scheduled-scaling override dev on --mode apply --policy scaling.yaml \
                   --for 3h --size small --why 'a demo'\n";
    assert!(shown.contains(command), "{shown}");

    let before = now();
    let applied = answer(&desk, &[&wish[..], &["--mode", "apply"]].concat());
    assert_eq!(applied["status"], "applied", "{applied}");
    assert_eq!(applied["actions"][0]["kind"], "set_override");
    let found = remembered(&desk).await.unwrap();
    let until: jiff::Timestamp = found["until"].as_str().unwrap().parse().unwrap();
    let hours = until.duration_since(before).as_secs() / 3600;
    assert_eq!((hours, &found["why"]), (3, &"a demo".into()), "{found}");
    assert_eq!(found["to"]["on"]["size"], "small", "{found}");
    let by = found["by"].as_str().unwrap();
    assert!(by.starts_with("arn:aws:"), "{by}");
    let known = |drawn: &Value| drawn["overrides_known"].as_bool().unwrap();
    let drawn = answer(&desk, &["preview"]);
    assert!(
        !known(&drawn) && !drawn.to_string().contains("a demo"),
        "{drawn}"
    );
    let drawn = answer(&desk, &["preview", "--overrides"]);
    assert!(
        known(&drawn) && drawn.to_string().contains("a demo"),
        "{drawn}"
    );

    let none = ["override", "dev", "none", "--mode", "apply"];
    let ended = answer(&desk, &none);
    assert_eq!(ended["actions"][0]["outcome"], "done", "{ended}");
    let found = remembered(&desk).await.unwrap();
    let until: jiff::Timestamp = found["until"].as_str().unwrap().parse().unwrap();
    assert!(until <= now(), "{found}");
    assert_eq!(
        answer(&desk, &none)["actions"][0]["outcome"],
        "already_done"
    );

    // A saved plan is the same wish, by the name of who made it.
    let save = [&wish[..], &["--plan-out", "plan.json"]].concat();
    assert_eq!(answer(&desk, &save)["status"], "planned");
    let applied = answer(&desk, &["apply", "--plan", "plan.json"]);
    assert_eq!(applied["actions"][0]["kind"], "set_override", "{applied}");
    assert_eq!(applied["actions"][0]["outcome"], "done", "{applied}");
    assert_eq!(applied["actions"][0]["detail"]["by"], by);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_ledger_no_override_is_promised() {
    let desk = with_policy("override_without_ledger");
    let wish = [
        "override", "dev", "off", "--for", "1d", "--why", "a freeze", "--mode", "apply",
    ];
    let wish = [&["scheduled-scaling"], &wish[..]].concat();
    let output = desk.steward(&[&wish[..], &["--policy", "scaling.yaml"]].concat());
    let shown = text(&output);
    assert!(shown.contains("there is no ledger"), "{shown}");
    assert_eq!(status(&output), 1, "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_is_of_the_environments_that_are_asked_for() {
    let desk = with_policy("environments");
    desk.account.ledger().await.unwrap();
    let units = |of: &Value| {
        let lines = of["actions"].as_array().unwrap().iter();
        let mut units: Vec<String> = lines
            .map(|line| line["detail"]["environment"].as_str().unwrap().to_owned())
            .collect();
        units.sort();
        units
    };
    let all = answer(&desk, &["plan"]);
    assert_eq!(units(&all), ["dev", "shop"], "{all}");
    let one = answer(&desk, &["plan", "--environment", "shop"]);
    assert_eq!(units(&one), ["shop"], "{one}");
    assert_eq!(one["actions"][0]["kind"], "remember_environment");
    let first = answer(&desk, &["apply", "--environment", "shop"]);
    assert_eq!(first["status"], "applied", "{first}");
    let again = answer(&desk, &["apply", "--environment", "shop"]);
    assert_eq!(again["status"], "nothing_to_do", "{again}");
}
