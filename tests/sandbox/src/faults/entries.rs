//! The ledger of a scripted AWS. Whatever is written is kept: that writes have
//! conditions, and what becomes of one that is refused, is tested by itself.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use super::Scripted;

type Key = (String, String);

/// The entries of a ledger, by partition and sort key. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Entries(Arc<Mutex<BTreeMap<Key, Value>>>);

impl Entries {
    /// An entry as the table has it.
    #[must_use]
    pub fn item(partition: &str, sort: &str, says: &Value) -> Value {
        json!({
            "pk": {"S": partition},
            "sk": {"S": sort},
            "body": {"S": says.to_string()},
            "version": {"N": "7"},
        })
    }

    /// Writes an entry.
    pub fn put(&self, partition: &str, sort: &str, says: &Value) {
        let key = (partition.to_owned(), sort.to_owned());
        self.items().insert(key, Self::item(partition, sort, says));
    }

    /// What an entry says.
    #[must_use]
    pub fn says(&self, partition: &str, sort: &str) -> Option<Value> {
        let items = self.items();
        let item = items.get(&(partition.to_owned(), sort.to_owned()))?;
        serde_json::from_str(item["body"]["S"].as_str()?).ok()
    }

    /// The sort keys of a partition.
    #[must_use]
    pub fn keys(&self, partition: &str) -> Vec<String> {
        let items = self.items();
        let of = items.keys().filter(|(of, _)| of == partition);
        of.map(|(_, sort)| sort.clone()).collect()
    }

    fn items(&self) -> MutexGuard<'_, BTreeMap<Key, Value>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers the calls of the ledger by these entries.
    #[must_use]
    pub fn behind(&self, script: Scripted) -> Scripted {
        let asked = |request: &str| -> Value { serde_json::from_str(request).unwrap_or_default() };
        let key = |of: &Value| -> Key {
            let text = |name: &str| of[name]["S"].as_str().unwrap_or_default().to_owned();
            (text("pk"), text("sk"))
        };
        let (query, get, put, delete) = (self.clone(), self.clone(), self.clone(), self.clone());
        script
            .always("dynamodb:Query", move |request| {
                let values = &asked(request)["ExpressionAttributeValues"];
                let text = |name: &str| values[name]["S"].as_str().unwrap_or_default().to_owned();
                let (partition, start) = (text(":partition"), text(":start"));
                let items = query.items();
                let found = items
                    .iter()
                    .filter(|((of, sort), _)| *of == partition && sort.starts_with(&start));
                let found: Vec<&Value> = found.map(|(_, item)| item).collect();
                json!({"Items": found})
            })
            .always("dynamodb:GetItem", move |request| {
                let request = asked(request);
                let cost = json!({"TableName": request["TableName"], "CapacityUnits": 1});
                match get.items().get(&key(&request["Key"])) {
                    Some(item) => json!({"Item": item, "ConsumedCapacity": cost}),
                    None => json!({"ConsumedCapacity": cost}),
                }
            })
            .always("dynamodb:PutItem", move |request| {
                let item = &asked(request)["Item"];
                put.items().insert(key(item), item.clone());
                json!({})
            })
            .always("dynamodb:DeleteItem", move |request| {
                delete.items().remove(&key(&asked(request)["Key"]));
                json!({})
            })
    }
}
