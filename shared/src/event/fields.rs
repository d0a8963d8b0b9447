//! Reading fields of a JSON object that may lack, or misspell, any of them.
//!
//! A field that is absent or null is simply absent. A field of the wrong type
//! is treated as absent and noted, so that one odd field never sinks an event
//! that can still be used. Notes name the path and the kind of value found,
//! never the value: it could be secret.

use std::cell::RefCell;
use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::Arn;

/// What was tolerated while one event was read.
#[derive(Default)]
pub(super) struct Notes(RefCell<Vec<String>>);

impl Notes {
    pub(super) fn add(&self, note: impl Into<String>) {
        self.0.borrow_mut().push(note.into());
    }

    pub(super) fn into_warnings(self) -> Vec<String> {
        self.0.into_inner()
    }
}

/// A view of one object, which may itself be absent: then all its fields are.
#[derive(Clone)]
pub(super) struct Fields<'a> {
    object: Option<&'a Map<String, Value>>,
    path: String,
    notes: &'a Notes,
}

impl<'a> Fields<'a> {
    /// The fields of `object`, which stands at `path` of the event.
    pub(super) fn new(object: &'a Map<String, Value>, path: &str, notes: &'a Notes) -> Self {
        Self {
            object: Some(object),
            path: path.to_owned(),
            notes,
        }
    }

    /// The fields of an object that isn't there.
    pub(super) fn absent(path: &str, notes: &'a Notes) -> Self {
        Self {
            object: None,
            path: path.to_owned(),
            notes,
        }
    }

    pub(super) fn is_absent(&self) -> bool {
        self.object.is_none()
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.raw(key).is_some()
    }

    /// The value as it stands, nulls left out.
    pub(super) fn raw(&self, key: &str) -> Option<&'a Value> {
        self.object?.get(key).filter(|value| !value.is_null())
    }

    /// A text that isn't empty; AWS writes absent texts as `""` here and there.
    pub(super) fn text(&self, key: &str) -> Option<String> {
        let text = self.read(key, "a string", |value| value.as_str())?;
        (!text.is_empty()).then(|| text.to_owned())
    }

    pub(super) fn boolean(&self, key: &str) -> Option<bool> {
        self.read(key, "true or false", Value::as_bool)
    }

    pub(super) fn whole_number(&self, key: &str) -> Option<u64> {
        self.read(key, "a whole number", whole_number)
    }

    pub(super) fn number(&self, key: &str) -> Option<f64> {
        self.read(key, "a number", Value::as_f64)
    }

    pub(super) fn time(&self, key: &str) -> Option<Timestamp> {
        self.read(key, "a time", timestamp)
    }

    pub(super) fn arn(&self, key: &str) -> Option<Arn> {
        self.read(key, "an ARN", |value| Arn::parse(value.as_str()?))
    }

    pub(super) fn object(&self, key: &str) -> Fields<'a> {
        Fields {
            object: self.read(key, "an object", Value::as_object),
            path: self.path_of(key),
            notes: self.notes,
        }
    }

    /// The objects of a list; other elements are noted and left out.
    pub(super) fn objects(&self, key: &str) -> Vec<Fields<'a>> {
        let list = self.read(key, "a list", |value| value.as_array());
        let path = self.path_of(key);
        list.into_iter()
            .flatten()
            .enumerate()
            .filter_map(|(index, value)| {
                let path = format!("{path}[{index}]");
                let Some(object) = value.as_object() else {
                    self.note(&path, "an object", value);
                    return None;
                };
                Some(Fields::new(object, &path, self.notes))
            })
            .collect()
    }

    /// The texts of a list; other elements are noted and left out.
    pub(super) fn texts(&self, key: &str) -> Vec<String> {
        let list = self.read(key, "a list", |value| value.as_array());
        let path = self.path_of(key);
        list.into_iter()
            .flatten()
            .enumerate()
            .filter_map(|(index, value)| {
                let text = value.as_str();
                if text.is_none() {
                    self.note(&format!("{path}[{index}]"), "a string", value);
                }
                text.map(str::to_owned)
            })
            .collect()
    }

    /// A map of texts, written either as an object or as a list of name and
    /// value, under any of the spellings AWS uses. `None` when it is absent.
    pub(super) fn text_map(&self, key: &str) -> Option<BTreeMap<String, String>> {
        let path = self.path_of(key);
        let mut map = BTreeMap::new();
        match self.raw(key)? {
            Value::Object(object) => {
                for (name, value) in object {
                    match value.as_str() {
                        Some(value) => {
                            map.insert(name.clone(), value.to_owned());
                        }
                        None => self.note(&format!("{path}.{name}"), "a string", value),
                    }
                }
            }
            Value::Array(list) => {
                for (index, entry) in list.iter().enumerate() {
                    let one_of = |keys: [&str; 4]| {
                        keys.iter()
                            .find_map(|key| entry.get(key).and_then(Value::as_str))
                            .map(str::to_owned)
                    };
                    let name = one_of(["name", "Name", "key", "Key"]);
                    let value = one_of(["value", "Value", "val", "Val"]);
                    match (name, value) {
                        (Some(name), Some(value)) => {
                            map.insert(name, value);
                        }
                        _ => self.note(&format!("{path}[{index}]"), "a name and a value", entry),
                    }
                }
            }
            other => {
                self.note(&path, "an object", other);
                return None;
            }
        }
        Some(map)
    }

    /// The keys of this object, for messages; keys are not secret.
    pub(super) fn keys(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.object
            .into_iter()
            .flat_map(|o| o.keys().map(String::as_str))
    }

    fn read<T>(
        &self,
        key: &str,
        expected: &str,
        convert: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Option<T> {
        let value = self.raw(key)?;
        let converted = convert(value);
        if converted.is_none() {
            self.note(&self.path_of(key), expected, value);
        }
        converted
    }

    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }

    fn note(&self, path: &str, expected: &str, found: &Value) {
        let found = kind_of(found);
        self.notes.add(format!(
            "{path} was left out: expected {expected}, found {found}"
        ));
    }
}

/// What a JSON value is, in words for a message.
pub(super) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// Whole numbers, also when written as `300.0` or, as placeholders of
/// EventBridge Scheduler are, as a string.
fn whole_number(value: &Value) -> Option<u64> {
    /// Above this, a double no longer tells neighbouring whole numbers apart.
    const MAX_EXACT: f64 = 9_007_199_254_740_992.0;
    if let Some(text) = value.as_str() {
        return text.parse().ok();
    }
    value.as_u64().or_else(|| {
        let number = value.as_f64()?;
        let whole = number.fract() == 0.0 && (0.0..=MAX_EXACT).contains(&number);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "checked to be whole, positive and exact just above"
        )]
        whole.then_some(number as u64)
    })
}

/// A time in any of the ways AWS writes it into events: RFC 3339, CloudWatch's
/// `2019-10-02T17:04:40.989+0000`, minutes only (`2025-06-06T04:30Z`), and
/// seconds or milliseconds since 1970.
///
/// A local time without an offset is refused: guessing UTC could move an event
/// by half a day.
pub(super) fn timestamp(value: &Value) -> Option<Timestamp> {
    match value {
        Value::String(text) => text.parse().ok(),
        Value::Number(number) => epoch(number.as_f64()?),
        _ => None,
    }
}

fn epoch(number: f64) -> Option<Timestamp> {
    /// As seconds this is the year 5138, as milliseconds March 1973; no event
    /// that this parser reads is from either.
    const FIRST_MILLISECONDS: f64 = 1e11;
    let milliseconds = if number.abs() < FIRST_MILLISECONDS {
        number * 1000.0
    } else {
        number
    };
    #[expect(
        clippy::cast_possible_truncation,
        reason = "saturates at bounds that Timestamp refuses; fractions of a millisecond don't matter"
    )]
    Timestamp::from_millisecond(milliseconds.round() as i64).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reads_times_in_every_way_aws_writes_them() {
        for (written, meant) in [
            (
                json!("2019-10-02T17:04:40.989+0000"),
                "2019-10-02T17:04:40.989Z",
            ),
            (json!("2019-10-02T17:04:40Z"), "2019-10-02T17:04:40Z"),
            (json!("2026-03-29T02:30:00+02:00"), "2026-03-29T00:30:00Z"),
            (json!("2025-06-06T04:30Z"), "2025-06-06T04:30:00Z"),
            (json!(1_570_035_880), "2019-10-02T17:04:40Z"),
            (json!(1_570_035_880.989), "2019-10-02T17:04:40.989Z"),
            (json!(1_570_035_880_989_i64), "2019-10-02T17:04:40.989Z"),
        ] {
            assert_eq!(
                timestamp(&written),
                Some(meant.parse().unwrap()),
                "{written}"
            );
        }
    }

    #[test]
    fn refuses_times_that_would_be_guesses() {
        for written in [
            json!("2019-10-02T17:04:40"),
            json!("Friday 22 July, 2022 15:57:45 UTC"),
            json!("<aws.scheduler.scheduled-time>"),
            json!(1e300),
            json!(true),
            json!({}),
        ] {
            assert_eq!(timestamp(&written), None, "{written}");
        }
    }

    #[test]
    fn notes_the_kind_of_an_odd_value_and_never_the_value() {
        let notes = Notes::default();
        let value = json!({"password": {"a": "hunter2"}, "n": "x"});
        let fields = Fields::new(value.as_object().unwrap(), "detail", &notes);
        assert_eq!(fields.text("password"), None);
        assert_eq!(fields.whole_number("n"), None);
        assert_eq!(
            notes.into_warnings(),
            [
                "detail.password was left out: expected a string, found an object",
                "detail.n was left out: expected a whole number, found a string",
            ]
        );
    }

    #[test]
    fn reads_whole_numbers_generously_but_not_wrongly() {
        assert_eq!(whole_number(&json!(86_400)), Some(86_400));
        assert_eq!(whole_number(&json!(300.0)), Some(300));
        assert_eq!(whole_number(&json!("2")), Some(2));
        for odd in [json!(-1), json!(0.5), json!(1e30), json!(""), json!([])] {
            assert_eq!(whole_number(&odd), None, "{odd}");
        }
    }
}
