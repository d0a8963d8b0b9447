//! The ledger as DynamoDB answers it: pages, conditions, what is there instead,
//! and what cannot be understood. Its writes against a table that keeps them are
//! in `tests/sandbox/tests/a_ledger_loses_no_write.rs`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[expect(dead_code, reason = "this file needs a part of it")]
mod canned;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use steward::aws::ErrorKind;
use steward::ledger::{Entry, Key, Ledger, LedgerError, LedgerTable, RAISES, Raise, Sizes};

use canned::{Answer, Canned};

const TABLE: &str = "steward-ledger";

fn now() -> Timestamp {
    "2026-11-23T18:00:00.250Z".parse().unwrap()
}

fn in_seconds(seconds: i64) -> Timestamp {
    now() + SignedDuration::from_secs(seconds)
}

/// A second of the table's clock, so far from [`now`].
fn second(from_now: i64) -> String {
    (now().as_second() + from_now).to_string()
}

fn key() -> Key {
    Key::new("scheduled-scaling", "environment#test")
}

fn over(canned: &Canned) -> Ledger {
    let table = LedgerTable::Required(TABLE.to_owned());
    Ledger::new(&canned.config(), table)
}

/// An AWS that answers everything alike.
fn always(status: u16, body: &Value) -> Canned {
    let body = body.to_string();
    Canned::by(move |_, _| Answer::Reply(status, body.clone()))
}

fn refused(code: &str) -> Value {
    json!({ "__type": format!("com.amazonaws.dynamodb.v20120810#{code}"), "message": "no" })
}

/// The refusal of a condition, with what is there instead.
fn instead(item: &Value) -> Value {
    let mut refusal = refused("ConditionalCheckFailedException");
    refusal["Item"] = item.clone();
    refusal
}

/// An item with this sort key and these attributes.
fn item(sort: &str, version: &str, body: &str, expires_at: Option<String>) -> Value {
    let mut item = json!({
        "pk": { "S": "scheduled-scaling" },
        "sk": { "S": sort },
        "version": { "N": version },
        "body": { "S": body },
    });
    if let Some(at) = expires_at {
        item["expires_at"] = json!({ "N": at });
    }
    item
}

/// What the n-th request asked for.
fn asked(canned: &Canned, n: usize) -> Value {
    serde_json::from_str(&canned.asked()[n].body).unwrap()
}

// ---- reading ------------------------------------------------------------------

#[tokio::test]
async fn every_page_is_read_and_what_has_expired_is_left_out() {
    let next = json!({ "pk": { "S": "scheduled-scaling" }, "sk": { "S": "b" } });
    let pages = [
        json!({
            "Items": [item("a", "3", "{\"n\":1}", None), item("b", "1", "2", Some(second(0)))],
            "LastEvaluatedKey": next,
        }),
        json!({ "Items": [], "LastEvaluatedKey": { "pk": { "S": "p" }, "sk": { "S": "c" } } }),
        json!({ "Items": [item("c", "9", "\"x\"", Some(second(1)))] }),
    ];
    let canned = Canned::by(move |n, _| Answer::Reply(200, pages[n].to_string()));
    let entries = over(&canned)
        .entries("scheduled-scaling", "environment#", now())
        .await
        .unwrap();

    let expected = |sort: &str, version, expires_at, body| Entry {
        key: Key::new("scheduled-scaling", sort),
        version,
        expires_at,
        body,
    };
    let at = Timestamp::from_second(now().as_second() + 1).unwrap();
    assert_eq!(
        entries,
        [
            expected("a", 3, None, json!({ "n": 1 })),
            expected("c", 9, Some(at), json!("x")),
        ]
    );
    let first = asked(&canned, 0);
    assert_eq!(first["ConsistentRead"], true);
    assert_eq!(first["TableName"], TABLE);
    assert_eq!(
        first["KeyConditionExpression"],
        "#partition = :partition AND begins_with(#sort, :start)"
    );
    assert_eq!(
        first["ExpressionAttributeValues"],
        json!({ ":partition": { "S": "scheduled-scaling" }, ":start": { "S": "environment#" } })
    );
    assert_eq!(asked(&canned, 1)["ExclusiveStartKey"], next);
    assert_eq!(canned.asked().len(), 3);
}

#[tokio::test]
async fn a_whole_partition_is_asked_for_without_an_empty_key() {
    let canned = always(200, &json!({ "Items": [] }));
    let entries = over(&canned).entries("raises", "", now()).await.unwrap();
    assert_eq!(entries, []);
    let asked = asked(&canned, 0);
    assert_eq!(asked["KeyConditionExpression"], "#partition = :partition");
    assert_eq!(
        asked["ExpressionAttributeNames"],
        json!({ "#partition": "pk" })
    );
}

#[tokio::test]
async fn a_page_that_fails_or_says_nothing_is_no_answer() {
    let more = json!({
        "Items": [item("a", "1", "1", None)],
        "LastEvaluatedKey": { "pk": { "S": "p" }, "sk": { "S": "a" } },
    });
    for (status, second, kind, why) in [
        (
            400,
            refused("AccessDeniedException"),
            ErrorKind::Denied,
            "AccessDeniedException: no",
        ),
        (
            400,
            refused("ProvisionedThroughputExceededException"),
            ErrorKind::Other,
            "ProvisionedThroughputExceededException: no",
        ),
        (
            200,
            json!({}),
            ErrorKind::Other,
            "the answer has no list in it",
        ),
    ] {
        let first = more.to_string();
        let second = second.to_string();
        let canned = Canned::by(move |n, _| match n {
            0 => Answer::Reply(200, first.clone()),
            _ => Answer::Reply(status, second.clone()),
        });
        let error = over(&canned).entries("p", "", now()).await.unwrap_err();
        let LedgerError::Failed {
            action,
            kind: told,
            why: because,
            ..
        } = error
        else {
            panic!("{error:?}");
        };
        assert_eq!((action, told), ("dynamodb:Query", kind));
        assert!(because.contains(why), "{because}");
    }
}

#[tokio::test]
async fn an_entry_that_is_absent_is_told_from_an_answer_that_is_empty() {
    let cost = json!({ "ConsumedCapacity": { "TableName": TABLE, "CapacityUnits": 0.5 } });
    let canned = always(200, &cost);
    assert_eq!(over(&canned).entry(&key(), now()).await, Ok(None));
    assert_eq!(asked(&canned, 0)["ConsistentRead"], true);

    for body in [String::new(), "{}".to_owned()] {
        let canned = Canned::by(move |_, _| Answer::Reply(200, body.clone()));
        let error = over(&canned).entry(&key(), now()).await.unwrap_err();
        assert!(
            matches!(
                &error,
                LedgerError::Failed {
                    action: "dynamodb:GetItem",
                    ..
                }
            ),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn one_entry_is_read_unless_it_has_expired() {
    for (expires_at, is_there) in [(None, true), (Some(1), true), (Some(0), false)] {
        let item = item("environment#test", "7", "{}", expires_at.map(second));
        let canned = always(200, &json!({ "Item": item }));
        let entry = over(&canned).entry(&key(), now()).await.unwrap();
        assert_eq!(entry.map(|e| e.version), is_there.then_some(7));
    }
}

#[tokio::test]
async fn every_call_tells_a_table_that_is_not_there() {
    let canned = always(400, &refused("ResourceNotFoundException"));
    let ledger = over(&canned);
    let lease = ledger.take_lease(&key(), "run-1", now(), now()).await;
    let answers = [
        ledger.entries("p", "", now()).await.unwrap_err(),
        ledger.entry(&key(), now()).await.unwrap_err(),
        ledger.put(&key(), &1, None, None, now()).await.unwrap_err(),
        ledger.remove(&key(), 1).await.unwrap_err(),
        lease.unwrap_err(),
    ];
    let no_table = LedgerError::NoTable {
        table: TABLE.to_owned(),
    };
    for error in answers {
        assert_eq!(error, no_table);
    }
    assert!(!ledger.may_be_missing());
    let by_hand = LedgerTable::IfThere(TABLE.to_owned());
    assert!(Ledger::new(&canned.config(), by_hand).may_be_missing());
}

#[tokio::test]
async fn an_entry_of_another_hand_is_named_with_what_is_wrong() {
    let good = item("environment#test", "1", "{}", Some("1".to_owned()));
    for (attribute, value, why) in [
        ("version", Value::Null, "version"),
        ("version", json!({ "S": "1" }), "version"),
        ("version", json!({ "N": "1.5" }), "version"),
        ("version", json!({ "N": "-1" }), "version"),
        ("expires_at", json!({ "S": "tomorrow" }), "expires_at"),
        ("expires_at", json!({ "N": "1e40" }), "expires_at"),
        ("body", Value::Null, "body"),
        ("body", json!({ "M": {} }), "body"),
        ("body", json!({ "S": "{" }), "body"),
    ] {
        let mut item = good.clone();
        match value {
            Value::Null => drop(item.as_object_mut().unwrap().remove(attribute)),
            value => item[attribute] = value,
        }
        let canned = always(200, &json!({ "Items": [item] }));
        let error = over(&canned).entries("p", "", now()).await.unwrap_err();
        let LedgerError::Malformed { key: of, why: told } = error else {
            panic!("{error:?}");
        };
        assert_eq!(of, key());
        assert!(told.contains(why), "{told}");
    }
}

#[tokio::test]
async fn a_body_of_another_shape_is_named_with_its_place() {
    let body = json!({ "size": { "min": "two" } });
    let entry = Entry {
        key: key(),
        version: 1,
        expires_at: None,
        body,
    };
    #[derive(Debug, serde::Deserialize)]
    struct Body {
        #[expect(dead_code, reason = "it is never read successfully")]
        size: std::collections::BTreeMap<String, u32>,
    }
    let error = entry.parse::<Body>().unwrap_err().to_string();
    assert!(
        error.contains("scheduled-scaling/environment#test") && error.contains("size.min: "),
        "{error}"
    );
}

// ---- writing ------------------------------------------------------------------

#[tokio::test]
async fn nothing_is_written_without_a_condition() {
    let canned = always(200, &json!({}));
    let ledger = over(&canned);
    let made = ledger
        .put(
            &key(),
            &json!({ "n": 1 }),
            Some(in_seconds(60)),
            None,
            now(),
        )
        .await
        .unwrap();
    assert_eq!(i64::try_from(made).unwrap(), now().as_millisecond());
    let changed = ledger
        .put(&key(), &"two", None, Some(41), now())
        .await
        .unwrap();
    assert_eq!(changed, 42);
    ledger.remove(&key(), 42).await.unwrap();

    let first = asked(&canned, 0);
    assert_eq!(
        first["ConditionExpression"],
        "attribute_not_exists(#partition) OR #expires_at <= :now"
    );
    assert_eq!(
        first["ExpressionAttributeNames"],
        json!({ "#partition": "pk", "#expires_at": "expires_at" })
    );
    assert_eq!(
        first["ExpressionAttributeValues"],
        json!({ ":now": { "N": second(0) } })
    );
    // An entry is there for all of the time that was asked for.
    let expected = item(
        "environment#test",
        &made.to_string(),
        "{\"n\":1}",
        Some(second(61)),
    );
    assert_eq!(first["Item"], expected);
    assert_eq!(first["ReturnValuesOnConditionCheckFailure"], "ALL_OLD");

    let second = asked(&canned, 1);
    assert_eq!(second["ConditionExpression"], "#version = :seen");
    assert_eq!(
        second["ExpressionAttributeNames"],
        json!({ "#version": "version" })
    );
    assert_eq!(
        second["ExpressionAttributeValues"],
        json!({ ":seen": { "N": "41" } })
    );
    assert_eq!(
        second["Item"],
        item("environment#test", "42", "\"two\"", None)
    );

    let third = asked(&canned, 2);
    assert_eq!(
        third["ConditionExpression"],
        "attribute_not_exists(#partition) OR #version = :seen"
    );
    assert_eq!(
        third["ExpressionAttributeValues"],
        json!({ ":seen": { "N": "42" } })
    );
}

#[tokio::test]
async fn only_ones_own_write_is_taken_for_an_answer_that_was_lost() {
    let there = |version: &str, body: &str| instead(&item("environment#test", version, body, None));
    for (answer, is_ours) in [
        (there("42", "{\"n\":1}"), true),
        (there("42", "{\"n\":2}"), false),
        (there("43", "{\"n\":1}"), false),
        (there("41", "{\"n\":1}"), false),
        (refused("ConditionalCheckFailedException"), false),
    ] {
        let canned = always(400, &answer);
        let put = over(&canned)
            .put(&key(), &json!({ "n": 1 }), None, Some(41), now())
            .await;
        let expected = match is_ours {
            true => Ok(42),
            false => Err(LedgerError::Changed { key: key() }),
        };
        assert_eq!(put, expected, "{answer}");
    }
}

#[tokio::test]
async fn an_entry_that_changed_is_not_removed() {
    let canned = always(400, &refused("ConditionalCheckFailedException"));
    let removed = over(&canned).remove(&key(), 41).await;
    assert_eq!(removed, Err(LedgerError::Changed { key: key() }));
}

#[tokio::test]
async fn a_write_that_is_refused_tells_awss_code_and_the_action() {
    let canned = always(400, &refused("AccessDeniedException"));
    let ledger = over(&canned);
    let put = ledger.put(&key(), &1, None, None, now()).await.unwrap_err();
    let removed = ledger.remove(&key(), 1).await.unwrap_err();
    assert_eq!(
        put.to_string(),
        "dynamodb:PutItem of table steward-ledger failed: AccessDeniedException: no"
    );
    assert_eq!(
        removed.to_string(),
        "dynamodb:DeleteItem of table steward-ledger failed: AccessDeniedException: no"
    );
}

#[tokio::test]
async fn a_body_that_is_no_json_is_not_sent() {
    let canned = always(200, &json!({}));
    let body = std::collections::BTreeMap::from([(vec![1], 2)]);
    let error = over(&canned).put(&key(), &body, None, None, now()).await;
    assert!(
        matches!(error, Err(LedgerError::Malformed { .. })),
        "{error:?}"
    );
    assert_eq!(canned.asked().len(), 0);
}

// ---- leases -------------------------------------------------------------------

#[tokio::test]
async fn a_lease_is_taken_when_nobody_or_its_holder_has_it() {
    let canned = always(200, &json!({}));
    let until = in_seconds(600);
    let lease = over(&canned)
        .take_lease(&key(), "run-1", now(), until)
        .await
        .unwrap();
    assert_eq!(lease.holder, "run-1");
    assert_eq!(lease.until.as_second(), until.as_second() + 1);
    let asked = asked(&canned, 0);
    assert_eq!(
        asked["ConditionExpression"],
        "attribute_not_exists(#partition) OR #expires_at <= :now OR #body = :body"
    );
    assert_eq!(
        asked["ExpressionAttributeValues"],
        json!({ ":now": { "N": second(0) }, ":body": { "S": "{\"holder\":\"run-1\"}" } })
    );
    assert_eq!(asked["Item"]["expires_at"], json!({ "N": second(601) }));
}

#[tokio::test]
async fn whoever_has_a_lease_is_named() {
    let body = "{\"holder\":\"run-2\"}";
    let there = item("lease#test", "5", body, Some(second(30)));
    let take = async |answer: Value| {
        let canned = always(400, &answer);
        let taken = over(&canned)
            .take_lease(&key(), "run-1", now(), in_seconds(60))
            .await;
        taken.unwrap_err()
    };
    let until = Timestamp::from_second(now().as_second() + 30).unwrap();
    let by = "run-2".to_owned();
    assert_eq!(take(instead(&there)).await, LedgerError::Held { by, until });

    // Nobody is taken for the holder of what cannot be understood.
    let mut for_ever = there.clone();
    for_ever.as_object_mut().unwrap().remove("expires_at");
    let mut no_lease = there;
    no_lease["body"] = json!({ "S": "{}" });
    for answer in [
        instead(&for_ever),
        instead(&no_lease),
        refused("ConditionalCheckFailedException"),
    ] {
        let error = take(answer).await;
        assert!(matches!(error, LedgerError::Malformed { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn a_lease_is_given_back_by_its_holder_only() {
    let canned = Canned::by(|n, _| match n {
        0 | 1 => Answer::Reply(200, "{}".to_owned()),
        2 => Answer::Reply(400, refused("ConditionalCheckFailedException").to_string()),
        _ => Answer::Reply(400, refused("AccessDeniedException").to_string()),
    });
    let ledger = over(&canned);
    let lease = ledger
        .take_lease(&key(), "run-1", now(), in_seconds(60))
        .await
        .unwrap();
    ledger.release(&lease).await.unwrap();
    let asked = asked(&canned, 1);
    assert_eq!(asked["ConditionExpression"], "#body = :body");
    assert_eq!(
        asked["ExpressionAttributeValues"],
        json!({ ":body": { "S": "{\"holder\":\"run-1\"}" } })
    );
    // Another has it by now, and keeps it.
    assert_eq!(ledger.release(&lease).await, Ok(()));
    let error = ledger.release(&lease).await.unwrap_err();
    assert!(error.to_string().contains("dynamodb:DeleteItem"), "{error}");
}

// ---- raises -------------------------------------------------------------------

#[tokio::test]
async fn raises_are_read_with_their_resource() {
    let resource = "arn:aws:ecs:eu-west-1:111122223333:service/main/web";
    let raise = Raise {
        resource: resource.to_owned(),
        min_before: Some(2),
        desired_before: None,
        max_before: Some(4),
        until: in_seconds(-60),
        to: vec![Sizes {
            min: Some(6),
            ..Sizes::default()
        }],
    };
    assert_eq!(raise.key(), Key::new(RAISES, resource));
    // As it is written: with itself as the body, and there until it was undone,
    // also when that is late.
    let body = serde_json::to_string(&raise).unwrap();
    assert!(!body.contains(resource), "{body}");
    let entry = item(resource, "1", &body, Some(second(3600)));
    let canned = always(200, &json!({ "Items": [entry] }));
    assert_eq!(over(&canned).raises(now()).await.unwrap(), [raise]);
    let asked = asked(&canned, 0);
    assert_eq!(
        asked["ExpressionAttributeValues"],
        json!({ ":partition": { "S": "raises" } })
    );

    let entry = item(resource, "1", "{\"min_before\":-1}", None);
    let canned = always(200, &json!({ "Items": [entry] }));
    let error = over(&canned).raises(now()).await.unwrap_err();
    assert!(matches!(error, LedgerError::Malformed { .. }), "{error:?}");
}
