//! What of a run is news, and about what: one story for each unit that has
//! some, one for the run itself, or one digest of many.

use std::collections::{BTreeMap, BTreeSet};

use super::form::cut;
use super::told::{Thing, Told};
use crate::engine::{Mode, Trigger};
use crate::entry::NOT_REACHED;
use crate::guard;
use crate::policy::{News, Notify};
use crate::report::{Refusal, Report, Status};
use crate::tally::UnitTally;

/// How long one failure is told, in characters, so that all of them and their
/// number have room.
const MOST_FAILURE: usize = 170;

/// How many stories a digest tells, each in a line.
const DIGEST_LINES: usize = 20;

/// One thing to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fact {
    /// What kind of news it is.
    pub(super) news: News,
    /// What is so.
    pub(super) text: String,
    /// What a person can do about it.
    pub(super) next: Option<String>,
    /// What makes it the same as what was told before.
    same: Same,
}

impl Fact {
    fn thing(&self, unit: Option<&str>) -> Thing {
        match &self.same {
            Same::Letters => Thing::exactly(unit, self.news, &self.text),
            Same::Words => Thing::but_for_numbers(unit, self.news, &self.text),
            Same::Read(read) => Thing::exactly(unit, self.news, read),
        }
    }
}

/// What makes what is told later the same thing.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Same {
    /// Every letter of it: a second incident is told like the first.
    Letters,
    /// Its words.
    Words,
    /// The read that fails, for whatever reason, and what it hides.
    Read(String),
}

/// What there is to tell about one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Story {
    /// The unit; `None` is the run as a whole.
    pub(super) unit: Option<String>,
    /// The most important of its news.
    pub(super) news: News,
    /// All of its news.
    all_news: BTreeSet<News>,
    /// What it is about, in a few words.
    pub(super) about: String,
    /// The whole of it in one line.
    pub(super) headline: String,
    /// What is so, the most important first.
    pub(super) lines: Vec<String>,
    /// What a person can do, the most important first.
    pub(super) next: Vec<String>,
    /// The units that it tells of.
    pub(super) units: Vec<String>,
    /// The things that it tells, but for what was done.
    pub(super) things: Vec<Thing>,
}

/// The stories of a run: what the policy asks for, the most important first.
pub(super) fn stories(
    report: &Report,
    units: &[UnitTally],
    policy: &Notify,
    told: &Told,
) -> Vec<Story> {
    // Whoever asks is answered, whatever was told before.
    let is_asked_for = report.trigger == Trigger::Manual;
    let is_due = |unit: Option<&str>, fact: &Fact| {
        is_asked_for
            || fact.news == News::Done
            || told.is_due(fact.thing(unit), policy.again_after, report.finished_at)
    };
    let mut facts: BTreeMap<Option<&str>, Vec<Fact>> = BTreeMap::new();
    for tally in units {
        let of_unit = facts.entry(Some(&tally.unit)).or_default();
        of_unit.extend(changes(report, tally));
        of_unit.extend(tally.needs.iter().map(|what| Fact {
            news: News::NeedsPerson,
            text: what.clone(),
            next: None,
            same: Same::Letters,
        }));
    }
    let known: BTreeSet<&str> = units.iter().map(|tally| tally.unit.as_str()).collect();
    for gap in &report.gaps {
        let unit = known.get(gap.hides.as_str()).copied();
        facts.entry(unit).or_default().push(Fact {
            news: News::NeedsPerson,
            text: format!("Cannot be read: {}", gap.read),
            next: Some(if gap.grant.is_empty() {
                "Nothing that it could hide is changed before it can be read.".to_owned()
            } else {
                format!(
                    "If the read was denied, grant {} to the function's role. Nothing that it \
                     could hide is changed before.",
                    gap.grant
                )
            }),
            same: Same::Read(format!(
                "{} {}",
                gap.read.split(' ').next().unwrap_or_default(),
                gap.hides
            )),
        });
    }
    let mut hidden = 0;
    for refusal in &report.refusals {
        let unit = known.get(refusal.unit.as_str()).copied();
        let own_gap = unit.is_some_and(|unit| report.gaps.iter().any(|gap| gap.hides == unit));
        // One read can hide many units. Its gap is told once, not once for each.
        if refusal.guard == guard::INCOMPLETE_OBSERVATION && !own_gap {
            hidden += usize::from(unit.is_some());
            continue;
        }
        facts.entry(unit).or_default().push(refused(refusal));
    }
    if hidden > 0 {
        facts.entry(None).or_default().push(Fact {
            news: News::Refused,
            text: format!(
                "Refused by incomplete_observation: {hidden} {}, because of what cannot be read",
                if hidden == 1 { "unit" } else { "units" }
            ),
            next: None,
            same: Same::Words,
        });
    }
    if report.status == Status::Failed && report.summary.failed == 0 {
        // Others wait for a limit or for another change, which is no failure.
        let mut errors = report.actions.iter().filter_map(|l| l.error.as_deref());
        let unreached = errors.find_map(|error| error.strip_prefix(NOT_REACHED));
        let why = unreached.or(report.warnings.last().map(String::as_str));
        let why = why.unwrap_or("something failed");
        facts.entry(None).or_default().push(Fact {
            news: News::Failed,
            text: format!("Nothing was done: {why}"),
            next: Some("The next run tries again.".to_owned()),
            same: Same::Words,
        });
    }

    let mut stories: Vec<Story> = facts
        .into_iter()
        .filter_map(|(unit, mut facts)| {
            facts.retain(|fact| policy.on.contains(&fact.news) && is_due(unit, fact));
            facts.sort_by_key(|fact| fact.news);
            story(unit, facts)
        })
        .collect();
    stories.sort_by(|a, b| (a.news, &a.unit).cmp(&(b.news, &b.unit)));
    if stories.len() > usize::from(policy.digest_above) {
        let needs = report.gaps.len() + units.iter().map(|tally| tally.needs.len()).sum::<usize>();
        return vec![digest(report, &stories, needs)];
    }
    stories
}

/// What became of the changes of a unit.
fn changes(report: &Report, tally: &UnitTally) -> Vec<Fact> {
    let sums = &tally.summary;
    let mut facts = Vec::new();
    if sums.failed > 0 {
        let mut text = format!("{} of {} failed:", sums.failed, sums.planned);
        for failure in &tally.failures {
            text.push_str(&format!("\n- {}", cut(failure, MOST_FAILURE)));
        }
        if sums.failed > tally.failures.len() {
            text.push_str(&format!(
                "\n- and {} more",
                sums.failed - tally.failures.len()
            ));
        }
        facts.push(Fact {
            news: News::Failed,
            text,
            next: Some(
                "The next run tries again. If it fails again, look at the log of this run."
                    .to_owned(),
            ),
            same: Same::Words,
        });
    }
    let later = match sums.deferred {
        0 => String::new(),
        waiting => format!("; {waiting} left for later"),
    };
    if sums.done > 0 && !(tally.done.is_empty() && tally.done_kinds.is_empty()) {
        let mut done = tally.done.clone();
        if !tally.done_kinds.is_empty() {
            done.push(kinds(&tally.done_kinds, "done"));
        }
        facts.push(Fact {
            news: News::Done,
            text: format!("{}{later}", done.join("\n")),
            next: None,
            same: Same::Letters,
        });
    }
    if report.mode == Mode::Plan && !tally.planned_kinds.is_empty() {
        facts.push(Fact {
            news: News::Planned,
            text: format!("{}{later}", kinds(&tally.planned_kinds, "planned")),
            next: Some(
                "Nothing was changed. If this is right, STEWARD_MODE=apply lets it act.".to_owned(),
            ),
            same: Same::Words,
        });
    }
    facts
}

/// `delete_image: 3 done, archive_image: 1 done`.
fn kinds(counts: &BTreeMap<&'static str, usize>, how: &str) -> String {
    let counts: Vec<String> = counts
        .iter()
        .map(|(kind, count)| format!("{kind}: {count} {how}"))
        .collect();
    counts.join(", ")
}

fn refused(refusal: &Refusal) -> Fact {
    let next = match refusal.guard.as_str() {
        guard::MAX_SHARE_PERCENT | guard::KEEP_AT_LEAST => Some(
            "Make a plan by hand and look at it. If it is right, raise the limit in the policy, \
             or apply the reviewed plan file where the policy allows it to exceed this limit.",
        ),
        // The others say it themselves: what to set, what to create.
        _ => None,
    };
    Fact {
        news: News::Refused,
        text: format!("Refused by {}: {}", refusal.guard, refusal.detail),
        next: next.map(str::to_owned),
        same: Same::Words,
    }
}

fn story(unit: Option<&str>, facts: Vec<Fact>) -> Option<Story> {
    let news = facts.first()?.news;
    let mut next: Vec<String> = Vec::new();
    for step in facts.iter().filter_map(|fact| fact.next.clone()) {
        if !next.contains(&step) {
            next.push(step);
        }
    }
    let about = unit.unwrap_or("the run");
    Some(Story {
        unit: unit.map(str::to_owned),
        news,
        all_news: facts.iter().map(|fact| fact.news).collect(),
        things: facts
            .iter()
            .filter(|fact| fact.news != News::Done)
            .map(|fact| fact.thing(unit))
            .collect(),
        about: about.to_owned(),
        headline: format!("{}: {about}", heading(news)),
        lines: facts.into_iter().map(|fact| fact.text).collect(),
        next,
        units: unit.map(str::to_owned).into_iter().collect(),
    })
}

fn heading(news: News) -> &'static str {
    match news {
        News::Failed => "Failed",
        News::NeedsPerson => "Needs you",
        News::Refused => "Refused",
        News::Done => "Done",
        News::Planned => "Planned",
    }
}

/// Many stories in one, each in a line.
fn digest(report: &Report, stories: &[Story], needs: usize) -> Story {
    let mut lines = Vec::new();
    for story in stories.iter().take(DIGEST_LINES) {
        // The first of a list, where a list is all that there is to say.
        let text = story.lines.first().map_or("", String::as_str);
        let mut text = text.lines().map(|line| line.trim_start_matches("- "));
        let mut first = text.next().unwrap_or_default().to_owned();
        if first.ends_with(':') {
            first = format!("{first} {}", text.next().unwrap_or_default());
        }
        lines.push(format!("- {}: {first}", story.about));
    }
    if stories.len() > DIGEST_LINES {
        let more = stories.len() - DIGEST_LINES;
        lines.push(format!("- and {more} more; the report has them all"));
    }
    let mut next: Vec<String> = Vec::new();
    for step in stories.iter().flat_map(|story| &story.next) {
        if !next.contains(step) {
            next.push(step.clone());
        }
    }
    Story {
        unit: None,
        news: stories.first().map_or(News::Done, |story| story.news),
        all_news: all_news(stories),
        about: "several units".to_owned(),
        headline: total(report, stories, needs),
        lines,
        next,
        units: stories.iter().filter_map(|s| s.unit.clone()).collect(),
        things: stories.iter().flat_map(|s| s.things.clone()).collect(),
    }
}

fn all_news(stories: &[Story]) -> BTreeSet<News> {
    stories.iter().flat_map(|s| s.all_news.clone()).collect()
}

/// `1 failed, 3 for you, 2 refused, 56 done in 30 units`.
fn total(report: &Report, stories: &[Story], needs: usize) -> String {
    let sums = &report.summary;
    let parts: Vec<String> = all_news(stories)
        .into_iter()
        .map(|news| match news {
            News::Failed if sums.failed == 0 => "the run failed".to_owned(),
            News::Failed => format!("{} failed", sums.failed),
            News::NeedsPerson => format!("{needs} for you"),
            News::Refused => format!("{} refused", report.refusals.len()),
            News::Done => format!("{} done", sums.done),
            News::Planned => format!("{} planned", sums.planned),
        })
        .collect();
    let place = match stories.iter().filter(|story| story.unit.is_some()).count() {
        0 => "",
        1 => " in 1 unit",
        many => &format!(" in {many} units"),
    };
    format!("{}{place}", parts.join(", "))
}
