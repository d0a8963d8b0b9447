//! The ledger's table in a scenario. Conditions, pages and errors are those of the
//! Amazon DynamoDB API Reference, as far as Steward makes use of them.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use hyper::StatusCode;
use serde_json::{Value, json};

use crate::aws::Answer;

/// What `Query` reads for a page, in bytes.
const PAGE: usize = 1 << 20;

type Key = (String, String);

/// A table of items by partition and sort key.
pub(crate) struct Ledger {
    items: Mutex<BTreeMap<Key, Value>>,
}

/// What the ledger writes under a key.
pub(crate) fn entry(partition: &str, sort: &str, body: &Value) -> (Key, Value) {
    let item = json!({
        "pk": {"S": partition},
        "sk": {"S": sort},
        "body": {"S": body.to_string()},
        "version": {"N": "1795392000000"},
    });
    ((partition.to_owned(), sort.to_owned()), item)
}

impl Ledger {
    pub(crate) fn of(entries: impl Iterator<Item = (Key, Value)>) -> Self {
        Self {
            items: Mutex::new(entries.collect()),
        }
    }

    pub(crate) fn answer(&self, operation: &str, asked: &Value) -> Answer {
        let mut items = self.items.lock().unwrap_or_else(PoisonError::into_inner);
        let key = key_of(match operation {
            "PutItem" => &asked["Item"],
            _ => &asked["Key"],
        });
        let there = items.get(&key);
        match operation {
            "Query" => query(&items, asked),
            "GetItem" => {
                let cost = json!({"TableName": asked["TableName"], "CapacityUnits": 1.0});
                match there {
                    Some(item) => Answer::json(&json!({"Item": item, "ConsumedCapacity": cost})),
                    None => Answer::json(&json!({"ConsumedCapacity": cost})),
                }
            }
            "PutItem" | "DeleteItem" if !holds(asked, there) => refused(there),
            "PutItem" => {
                items.insert(key, asked["Item"].clone());
                Answer::json(&json!({}))
            }
            "DeleteItem" => {
                items.remove(&key);
                Answer::json(&json!({}))
            }
            _ => Answer::error("UnknownOperationException", operation),
        }
    }
}

fn key_of(item: &Value) -> Key {
    let text = |name: &str| item[name]["S"].as_str().unwrap_or_default().to_owned();
    (text("pk"), text("sk"))
}

fn query(items: &BTreeMap<Key, Value>, asked: &Value) -> Answer {
    let value = |name: &str| asked["ExpressionAttributeValues"][name]["S"].as_str();
    let partition = value(":partition").unwrap_or_default();
    let start = value(":start").unwrap_or_default();
    let after = match &asked["ExclusiveStartKey"] {
        Value::Null => None,
        key => Some(key_of(key)),
    };
    let is_asked_for = |(key, _): &(&Key, &Value)| {
        key.0 == partition && key.1.starts_with(start) && after.as_ref().is_none_or(|it| *key > it)
    };
    let (mut page, mut bytes, mut last) = (Vec::new(), 0, Value::Null);
    for (_, item) in items.iter().filter(is_asked_for) {
        if bytes >= PAGE {
            let before: &Value = page.last().copied().unwrap_or(&Value::Null);
            last = json!({"pk": before["pk"], "sk": before["sk"]});
            break;
        }
        bytes += item.to_string().len();
        page.push(item);
    }
    let mut answer = json!({"Items": page, "Count": page.len(), "ScannedCount": page.len()});
    if !last.is_null() {
        answer["LastEvaluatedKey"] = last;
    }
    Answer::json(&answer)
}

/// Whether the condition of a write holds: clauses, of which one has to.
fn holds(asked: &Value, there: Option<&Value>) -> bool {
    let condition = asked["ConditionExpression"].as_str().unwrap_or_default();
    let number = |value: &Value| value["N"].as_str()?.parse::<i64>().ok();
    condition.split(" OR ").any(|clause| {
        let words: Vec<&str> = clause.split_whitespace().collect();
        match (words.as_slice(), there) {
            ([is_absent], there) => {
                is_absent.starts_with("attribute_not_exists") && there.is_none()
            }
            ([name, sign, value], Some(item)) => {
                let name = asked["ExpressionAttributeNames"][*name].as_str();
                let has = &item[name.unwrap_or_default()];
                let value = &asked["ExpressionAttributeValues"][*value];
                match *sign {
                    "=" => has == value,
                    "<=" => number(has).is_some_and(|has| Some(has) <= number(value)),
                    _ => false,
                }
            }
            _ => false,
        }
    })
}

fn refused(there: Option<&Value>) -> Answer {
    let code = "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException";
    let mut body = json!({"__type": code, "message": "The conditional request failed"});
    if let Some(item) = there {
        body["Item"] = item.clone();
    }
    Answer {
        status: StatusCode::BAD_REQUEST,
        ..Answer::json(&body)
    }
}
