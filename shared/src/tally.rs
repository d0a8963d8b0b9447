//! What a run comes to, unit by unit: a repository, a database, an environment.
//!
//! The report tells things by reason and outcome and has no place for this, so
//! that it stands beside the report, for the metrics and the notification.

use std::collections::BTreeMap;

use crate::engine::{Function, Gap, Measure, Need, Outcome};
use crate::entry::{Entries, Standing};
use crate::report::{Refusal, Summary};

/// How many failures of a unit are told word for word.
const FAILURES_TOLD: usize = 3;

/// What a run comes to in one unit.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UnitTally {
    /// The unit, as guards name it.
    pub unit: String,
    /// Its part of the report's sums.
    pub summary: Summary,
    /// How many refusals name it.
    pub refused: usize,
    /// How many gaps could hide something of it.
    pub gaps: usize,
    /// What a plan wants, by kind of action, but for [`Function::NOTES`].
    pub planned_kinds: BTreeMap<&'static str, usize>,
    /// What was done now, by kind of action, but for [`Function::NOTES`].
    pub done_kinds: BTreeMap<&'static str, usize>,
    /// What was done now, in sentences, where the function has some; see
    /// [`Function::tell`].
    pub done: Vec<String>,
    /// The first few failures: the resource and the error.
    pub failures: Vec<String>,
    /// What only a person can put right.
    pub needs: Vec<String>,
    /// What is watched of it.
    pub measures: Vec<Measure>,
}

/// The tally of every unit of which something was seen, by name.
pub(crate) fn by_unit<F: Function>(
    entries: &Entries<F>,
    refusals: &[Refusal],
    gaps: &[Gap],
    (needs, measures): (Vec<Need>, Vec<Measure>),
) -> Vec<UnitTally> {
    let mut tallies: BTreeMap<&str, UnitTally> = BTreeMap::new();
    for need in &needs {
        let tally = tallies.entry(&need.unit).or_default();
        tally.needs.push(need.what.clone());
    }
    for measure in &measures {
        let tally = tallies.entry(&measure.unit).or_default();
        tally.measures.push(measure.clone());
    }
    let is_news = |action: &F::Action| !F::NOTES.contains(&F::kind(action));
    for entry in entries {
        let tally = tallies.entry(&entry.unit).or_default();
        tally.summary.count(&entry.standing);
        match &entry.standing {
            Standing::Wanted(change) if is_news(&change.action) => {
                *tally
                    .planned_kinds
                    .entry(F::kind(&change.action))
                    .or_default() += 1;
            }
            Standing::Ended(change, Outcome::Done) => match F::tell(&change.action) {
                Some(sentence) => tally.done.push(sentence),
                None if is_news(&change.action) => {
                    *tally.done_kinds.entry(F::kind(&change.action)).or_default() += 1;
                }
                None => {}
            },
            Standing::Ended(change, Outcome::Failed(error))
                if tally.failures.len() < FAILURES_TOLD =>
            {
                let resource = F::view(&change.action).resource;
                tally.failures.push(format!("{resource}: {error}"));
            }
            _ => {}
        }
    }
    tallies
        .into_iter()
        .map(|(unit, tally)| UnitTally {
            unit: unit.to_owned(),
            refused: refusals.iter().filter(|r| r.unit == unit).count(),
            gaps: gaps.iter().filter(|gap| gap.hides.covers(unit)).count(),
            ..tally
        })
        .collect()
}
