//! What is remembered of cases, for people: those that are open, and those that have
//! ended. It only reads.

use jiff::Timestamp;
use serde::Serialize;
use steward::aws;
use steward::ledger::{Entry, Ledger, LedgerError};

use crate::case::{Case, HISTORY, PARTITION, keys};

/// Cases, the open ones first, and of each kind the newest first.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct History {
    /// The cases.
    pub cases: Vec<Remembered>,
    /// What is there and cannot be understood, with what is wrong with it.
    pub malformed: Vec<String>,
}

/// A case that is open, or has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Remembered {
    /// What its alarm or instance is called, in all of AWS.
    pub key: String,
    /// When it ended; `None` while it is open.
    pub ended: Option<Timestamp>,
    /// The case.
    #[serde(flatten)]
    pub case: Case,
}

impl Remembered {
    /// Whether a person who names it this way means it.
    pub fn is_called(&self, name: &str) -> bool {
        self.case.name == name || self.key == name
    }
}

impl History {
    /// Reads all of it; `None` when there is no ledger, and there need not be one.
    ///
    /// # Errors
    /// When the ledger cannot be read. An entry that is no case is told as
    /// [`malformed`](Self::malformed).
    pub async fn read(ledger: &Ledger, now: Timestamp) -> Result<Option<Self>, LedgerError> {
        let entries = async {
            let open = ledger.entries(PARTITION, keys::CASE, now).await?;
            Ok((open, ledger.entries(HISTORY, "", now).await?))
        };
        match entries.await {
            Ok((open, ended)) => Ok(Some(Self::of(&open, &ended))),
            Err(LedgerError::NoTable { .. }) if ledger.may_be_missing() => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn of(open: &[Entry], ended: &[Entry]) -> Self {
        let mut history = Self {
            cases: vec![],
            malformed: vec![],
        };
        let open = open.iter().map(|entry| (entry, false));
        for (entry, has_ended) in open.chain(ended.iter().map(|entry| (entry, true))) {
            match entry.parse::<Case>() {
                Ok(case) => history.cases.push(Remembered {
                    key: case.source.key(),
                    // Its last words are that it is closed.
                    ended: has_ended.then(|| case.log.last().map_or(case.opened, |line| line.at)),
                    case,
                }),
                Err(error) => history.malformed.push(aws::chain(&error)),
            }
        }
        history.cases.sort_by_key(|it| {
            let newest = it.ended.unwrap_or(it.case.opened).as_nanosecond();
            (it.ended.is_some(), -newest, it.key.clone())
        });
        history
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use steward::ledger::Key;

    use super::*;
    use crate::case::{Noted, Source};

    fn at(minute: i64) -> Timestamp {
        let start: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
        start + jiff::SignedDuration::from_mins(minute)
    }

    fn entry(partition: &str, sort: &str, body: Value) -> Entry {
        Entry {
            key: Key::new(partition, sort),
            version: 1,
            expires_at: None,
            body,
        }
    }

    fn case(name: &str, opened: i64) -> Case {
        let noted = Noted::Opened {
            source: Source::Alarm(format!("arn:{name}")),
            name: name.to_owned(),
            unit: "shop/web".to_owned(),
            concerns: vec![],
            since: None,
            why: "it burns".to_owned(),
        };
        Noted::all_after(&[noted], None, at(opened)).unwrap()
    }

    fn open(name: &str, opened: i64) -> Entry {
        let body = serde_json::to_value(case(name, opened)).unwrap();
        entry(PARTITION, &format!("{}arn:{name}", keys::CASE), body)
    }

    fn ended(name: &str, opened: i64, closed: i64) -> Entry {
        let noted = Noted::Closed {
            why: "quiet".to_owned(),
        };
        let last = Noted::last_words(&[noted], &case(name, opened), at(closed)).unwrap();
        let body = serde_json::to_value(last).unwrap();
        entry(HISTORY, &format!("{}#{name}", at(closed)), body)
    }

    #[test]
    fn what_is_open_comes_first_and_the_newest_before_the_oldest() {
        let history = History::of(
            &[open("a", 1), open("b", 5), open("c", 3)],
            &[ended("d", 2, 9), ended("e", 0, 20)],
        );
        let names: Vec<(&str, Option<Timestamp>)> = history
            .cases
            .iter()
            .map(|it| (it.case.name.as_str(), it.ended))
            .collect();
        let expected = [
            ("b", None),
            ("c", None),
            ("a", None),
            ("e", Some(at(20))),
            ("d", Some(at(9))),
        ];
        assert_eq!(names, expected);
        assert_eq!(history.malformed, Vec::<String>::new());
        let first = &history.cases[0];
        assert!(first.is_called("b") && first.is_called("arn:b") && !first.is_called("arn:"));
    }

    #[test]
    fn what_is_no_case_is_told_and_hides_nothing_else() {
        let odd = entry(PARTITION, "case#arn:odd", json!({"name": "odd"}));
        let history = History::of(&[odd, open("a", 1)], &[]);
        assert_eq!(history.cases.len(), 1);
        let [told] = history.malformed.as_slice() else {
            panic!("{:?}", history.malformed);
        };
        assert!(told.contains("case#arn:odd"), "{told}");
    }
}
