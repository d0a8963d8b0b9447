//! What the contract tests of functions compare with the code: tables of a README,
//! fixtures of events, and the template that deploys them all.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use serde_json::Value;

use crate::paths;

/// The README of a function.
#[derive(Clone, Copy, Debug)]
pub struct Readme(pub &'static str);

impl Readme {
    /// The rows of the table under a heading: cells without their backquotes.
    ///
    /// # Errors
    /// When there is no such heading, or no table.
    pub fn rows(&self, heading: &str) -> Result<Vec<Vec<String>>> {
        let mut sections = self.0.split("\n### ");
        let section = sections
            .find(|section| section.lines().next() == Some(heading))
            .with_context(|| format!("no section {heading}"))?;
        let cells = |row: &str| {
            let cells = row.trim_matches('|').split(" | ");
            cells
                .map(|cell| cell.trim().trim_matches('`').to_owned())
                .collect()
        };
        let rows = section.lines().filter(|line| line.starts_with("| `"));
        let rows: Vec<Vec<String>> = rows.map(cells).collect();
        ensure!(!rows.is_empty(), "no table in section {heading}");
        Ok(rows)
    }

    /// The first column of a table.
    ///
    /// # Errors
    /// As [`Readme::rows`], and when something is named twice.
    pub fn names(&self, heading: &str) -> Result<BTreeSet<String>> {
        let rows = self.rows(heading)?;
        let names: BTreeSet<String> = rows.iter().map(|row| row[0].clone()).collect();
        ensure!(names.len() == rows.len(), "{heading} names something twice");
        Ok(names)
    }

    /// The first two columns of a table.
    ///
    /// # Errors
    /// As [`Readme::names`], and when a row has only one.
    pub fn pairs(&self, heading: &str) -> Result<Vec<(String, String)>> {
        self.names(heading)?;
        let rows = self.rows(heading)?.into_iter();
        let pair = |row: Vec<String>| {
            let mut cells = row.into_iter();
            Some((cells.next()?, cells.next()?))
        };
        rows.map(|row| pair(row).with_context(|| format!("{heading} has a row with one cell")))
            .collect()
    }
}

/// What a value is made of, by the path of each key; lists count as a whole.
///
/// # Errors
/// When it cannot be JSON.
pub fn leaves(value: &impl Serialize) -> Result<BTreeMap<String, String>> {
    fn collect(path: &str, value: &Value, into: &mut BTreeMap<String, String>) {
        let Value::Object(map) = value else {
            into.insert(path.to_owned(), value.to_string());
            return;
        };
        for (key, value) in map {
            let dot = if path.is_empty() { "" } else { "." };
            collect(&format!("{path}{dot}{key}"), value, into);
        }
    }
    let mut all = BTreeMap::new();
    collect("", &serde_json::to_value(value)?, &mut all);
    Ok(all)
}

/// An event as AWS sends it, of `shared/fixtures/events`.
///
/// # Errors
/// When there is none of this name.
pub fn event(fixture: &str) -> Result<Value> {
    let path = paths::repository()
        .join("shared/fixtures/events")
        .join(fixture);
    let text = std::fs::read(&path).with_context(|| path.display().to_string())?;
    Ok(serde_json::from_slice(&text)?)
}

/// What stands behind a key of `infra/automation.yaml`, on its line, in the block
/// of this name below `Parameters` or `Resources`.
///
/// # Errors
/// When there is no such block or key.
pub fn in_template(block: &str, key: &str) -> Result<String> {
    let template = std::fs::read_to_string(paths::templates().join("automation.yaml"))?;
    let mut lines = template.lines();
    lines
        .by_ref()
        .find(|line| line.strip_prefix("  ") == Some(&format!("{block}:")))
        .with_context(|| format!("no {block}"))?;
    let mut lines = lines.take_while(|line| line.starts_with("   "));
    let start = format!("{key}: ");
    let value = lines.find_map(|line| line.trim_start().strip_prefix(&start));
    Ok(value
        .with_context(|| format!("no {key} in {block}"))?
        .to_owned())
}
