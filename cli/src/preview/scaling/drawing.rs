//! A preview as text for a person: for each environment a row of characters for each
//! day, and below it what is special about the days, what comes next, and what it
//! saves.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::{Date, DateTime};
use jiff::{Timestamp, Zoned};
use scheduled_scaling::preview::{
    By, Course, Day, HOURS_OF_A_MONTH, Note, Overridden, Savings, Span, State, Upcoming,
};
use scheduled_scaling::price::Amount;

use super::super::{SOME, draw_warnings};
use super::Answer;
use crate::page::{Column, Page, Tone};
use crate::show::Look;
use crate::words::{count, number};

/// How many transitions of an environment are shown, unless everything is to be.
const TRANSITIONS: usize = 6;

/// What stands to the left of a row: the date, and whether there is a note to it.
const DATE_WIDTH: usize = 11;
/// And to the right: how long it is on.
const HOURS_WIDTH: usize = 7;

/// The minutes of one character, the finest that there is room for.
const STEPS: [u16; 2] = [15, 30];
const MINUTES_OF_A_DAY: u16 = 24 * 60;
/// Every so many hours there is a number above.
const SCALE_HOURS: u16 = 3;

/// What is drawn where no size has a letter of its own.
const ON: char = '█';
const OFF: char = '·';
const UNDECIDED: char = '?';
/// A time of day that clocks skip.
const SKIPPED: char = 'x';
const ON_BY_OVERRIDE: char = '▓';
const OFF_BY_OVERRIDE: char = '░';
/// A size for which no letter is left.
const OTHER: char = '+';

/// A preview, and how to show it.
pub(super) struct Drawing<'a> {
    answer: &'a Answer,
    page: Page,
    all: bool,
    /// The minutes of one character.
    step: u16,
    /// Of the sizes that are drawn.
    letters: BTreeMap<&'a str, char>,
}

impl<'a> Drawing<'a> {
    pub(super) fn new(answer: &'a Answer, look: &Look) -> Self {
        let page = Page::new(look.width, look.colours);
        let room = page.row_width().saturating_sub(DATE_WIDTH + HOURS_WIDTH);
        let fits = |step: &u16| usize::from(MINUTES_OF_A_DAY / step) <= room;
        Self {
            answer,
            page,
            all: look.all,
            step: STEPS.into_iter().find(fits).unwrap_or(30),
            letters: letters(sizes(&answer.preview.environments)),
        }
    }

    fn most(&self, limit: usize) -> usize {
        if self.all { usize::MAX } else { limit }
    }

    /// The text. `plan` is the command that tells what the next run would do.
    pub(super) fn draw(mut self, plan: &[String]) -> String {
        self.header();
        let environments = &self.answer.preview.environments;
        let most = self.most(SOME);
        for course in environments.iter().take(most) {
            self.course(course);
        }
        if environments.len() > most {
            let rest = count(environments.len() - most, "environment");
            let title = format!("And {rest}; --all shows them, --environment one");
            self.page.heading(&title, Tone::Strong);
        }
        self.total();
        draw_warnings(&mut self.page, &self.answer.warnings, most);
        if !environments.is_empty() {
            self.page.heading("The next run", Tone::Strong);
            self.page.say("What it would do, and why:");
            self.page.command(plan);
        }
        self.page.finish()
    }

    fn header(&mut self) {
        let preview = &self.answer.preview;
        let what = count(preview.environments.len(), "environment");
        let title = format!(
            "{} preview: {what}; nothing was changed",
            self.answer.basis.function
        );
        self.page.heading(&title, Tone::Strong);
        self.answer.basis.draw(&mut self.page);
        self.page.hang("now       ", &utc(preview.now));
        self.page.hang(
            "supposed  ",
            "each transition is made in time, no Change Calendar is closed, and nobody starts or \
             stops anything by hand",
        );
        if !preview.overrides_known {
            self.page
                .hang("overrides ", "not looked at, and none is drawn");
        }
        let marks = self.marks();
        if !marks.is_empty() {
            self.page.hang("marks     ", &marks);
        }
    }

    /// What the characters that are drawn mean.
    fn marks(&self) -> String {
        let courses = self.answer.preview.environments.iter();
        let days = || courses.clone().flat_map(|course| &course.days);
        let spans = || days().flat_map(|day| &day.spans);
        let has = |mark: char| spans().any(|span| self.mark(span) == mark);
        let mut marks: Vec<String> = [
            (ON, "on"),
            (ON_BY_OVERRIDE, "on by override"),
            (OFF_BY_OVERRIDE, "off by override"),
            (OFF, "off"),
            (
                UNDECIDED,
                "as it is, no schedule has asked for anything yet",
            ),
        ]
        .into_iter()
        .filter(|(mark, _)| has(*mark))
        .map(|(mark, means)| format!("{mark} {means}"))
        .collect();
        let sizes = self
            .letters
            .iter()
            .map(|(size, letter)| format!("{letter} on, size {size}"));
        marks.extend(sizes);
        let skips = |day: &&Day| {
            let changes = day.notes.iter();
            changes
                .clone()
                .any(|note| matches!(note, Note::ClockChange { from, to, .. } if from < to))
        };
        if days().any(|day| skips(&day)) {
            marks.push(format!("{SKIPPED} skipped by clocks"));
        }
        if marks.is_empty() {
            return String::new();
        }
        let minutes = self.step;
        marks.push(format!("one for {minutes} minutes, as in their middle"));
        marks.join("; ")
    }

    fn mark(&self, span: &Span) -> char {
        match (&span.state, span.overridden) {
            (State::Off, false) => OFF,
            (State::Off, true) => OFF_BY_OVERRIDE,
            (State::On { .. }, true) => ON_BY_OVERRIDE,
            (State::On { size: None }, false) => ON,
            (State::On { size: Some(size) }, false) => {
                self.letters.get(size.as_str()).copied().unwrap_or(OTHER)
            }
            (State::Undecided, _) => UNDECIDED,
        }
    }

    fn course(&mut self, course: &Course) {
        self.page.heading(&course.environment, Tone::Strong);
        let zone = &course.time_zone;
        let first = course.schedules.first();
        let first = first.map_or_else(String::new, |first| {
            format!(", that of its first schedule, {}", first.name)
        });
        self.page.hang("time zone ", &format!("{zone}{first}"));
        if course.schedules.len() > 1 {
            let named = course
                .schedules
                .iter()
                .map(|it| match it.time_zone == *zone {
                    true => it.name.clone(),
                    false => format!("{} ({})", it.name, it.time_zone),
                });
            let named: Vec<String> = named.collect();
            let rule = "on beats off, and the first that says on decides the size";
            self.page
                .hang("schedules ", &format!("{}: {rule}", named.join(", ")));
        }
        let gates = course.schedules.iter();
        let gates: BTreeSet<&str> = gates
            .flat_map(|it| it.change_calendars.iter().map(String::as_str))
            .collect();
        if !gates.is_empty() {
            let gates: Vec<&str> = gates.into_iter().collect();
            let gates = gates.join(", ");
            self.page.hang(
                "gates     ",
                &format!("nothing is done while Change Calendar {gates} is closed"),
            );
        }
        let now = local(&course.local(self.answer.preview.now));
        let now = format!("{now}: {}", in_words(&course.now));
        self.page.hang("now       ", &now);
        if let Some(overridden) = &course.overridden {
            self.page
                .hang("override  ", &override_in_words(course, overridden));
        }
        self.grid(course);
        self.notes(course);
        self.transitions(course);
        self.off_and_saved(course);
    }

    fn grid(&mut self, course: &Course) {
        self.page.row("");
        let per_hour = usize::from(60 / self.step);
        let mut scale = String::new();
        for hour in (0..24).step_by(SCALE_HOURS.into()) {
            let width = per_hour * usize::from(SCALE_HOURS);
            let hour = format!("{hour:02}");
            scale.push_str(&format!("{hour:<width$}"));
        }
        self.page.row(&format!(
            "{:DATE_WIDTH$}{scale}24{:>width$}",
            "",
            "on",
            width = HOURS_WIDTH - 2
        ));
        for day in &course.days {
            let cells = course.cells(day, self.step);
            let cells = cells
                .into_iter()
                .map(|cell| cell.map_or(SKIPPED, |span| self.mark(span)));
            let cells: String = cells.collect();
            let note = if day.notes.is_empty() { "" } else { "*" };
            let label = format!("{}{note}", date(day.date));
            let on = hours(awake(day));
            self.page
                .row(&format!("{label:DATE_WIDTH$}{cells}{on:>HOURS_WIDTH$}"));
        }
    }

    fn notes(&mut self, course: &Course) {
        for day in &course.days {
            for note in &day.notes {
                let label = format!("* {}: ", date(day.date));
                self.page.hang(&label, &note_in_words(note));
            }
        }
    }

    fn transitions(&mut self, course: &Course) {
        self.page.row("");
        if course.transitions.is_empty() {
            self.page.say("No transition is to come.");
            return;
        }
        let most = self.most(TRANSITIONS);
        let columns = [
            Column::name("next"),
            Column::name("UTC"),
            Column::text("what"),
            Column::text("asked for by"),
        ];
        let row = |it: &Upcoming| {
            let by = match &it.by {
                By::Schedule(name) => name.clone(),
                By::OverrideBegins => "the override, which begins".to_owned(),
                By::OverrideEnds => "the schedules, because the override ends".to_owned(),
            };
            vec![local(&it.local), utc(it.at), in_words(&it.to), by]
        };
        let rows = course.transitions.iter().take(most).map(row);
        self.page.table(&columns, rows.collect());
        if course.transitions.len() > most {
            let rest = number(course.transitions.len() - most);
            self.page
                .say(&format!("and {rest} more in these days; --all shows them"));
        }
    }

    fn off_and_saved(&mut self, course: &Course) {
        let (off, all) = (course.seconds_off, course.seconds);
        if all == 0 {
            return;
        }
        let share = (off * 100 + all / 2) / all;
        let mut text = format!("Off {} of {} hours ({share} %)", hours(off), hours(all));
        if let Some(savings) = &course.savings {
            let saved = self.saved(savings);
            text.push_str(&format!(", which {saved}, against always awake"));
        }
        self.page.row("");
        self.page.say(&format!("{text}."));
    }

    /// What is saved, with what it is: an estimate.
    fn saved(&self, savings: &Savings) -> String {
        let currency = &self.answer.preview.currency;
        let [week, month] = [savings.estimate_per_week, savings.estimate_per_month];
        let verb = match month.is_loss() {
            true => "costs an estimated",
            false => "saves an estimated",
        };
        let [week, month] = [week, month].map(|amount| money(amount.absolute(), currency));
        format!("{verb} {week} a week and {month} a month ({HOURS_OF_A_MONTH} hours)")
    }

    fn total(&mut self) {
        let preview = &self.answer.preview;
        let priced = preview.environments.iter();
        let priced = priced.filter(|course| course.savings.is_some()).count();
        let Some(savings) = preview.savings.filter(|_| priced > 1) else {
            return;
        };
        self.page.heading("All together", Tone::Strong);
        let of = match preview.environments.len() - priced {
            0 => format!("All {priced} environments"),
            n => format!("{priced} environments, and {n} without a price"),
        };
        let saved = self.saved(&savings);
        self.page.say(&format!(
            "{of}: {saved}, as if all weeks were like these days."
        ));
    }
}

/// The sizes that are drawn with a letter.
fn sizes(courses: &[Course]) -> BTreeSet<&str> {
    let spans = courses.iter().flat_map(|course| &course.days);
    let spans = spans.flat_map(|day| &day.spans);
    let drawn = spans.filter(|span| !span.overridden);
    drawn
        .filter_map(|span| match &span.state {
            State::On { size } => size.as_deref(),
            _ => None,
        })
        .collect()
}

/// A letter for each size: one of its own, or else any that is left.
fn letters(sizes: BTreeSet<&str>) -> BTreeMap<&str, char> {
    let mut taken = BTreeSet::new();
    let letter = |size| {
        let own = str::chars(size).map(|c| c.to_ascii_uppercase());
        let any = own.chain('A'..='Z').chain('0'..='9');
        let mut free = any.filter(|c| c.is_ascii_alphanumeric() && !taken.contains(c));
        let letter = free.next().unwrap_or(OTHER);
        drop(free);
        taken.insert(letter);
        (size, letter)
    };
    sizes.into_iter().map(letter).collect()
}

fn in_words(state: &State) -> String {
    match state {
        State::Off => "off".to_owned(),
        State::On { size: None } => "on".to_owned(),
        State::On { size: Some(size) } => format!("on, size {size}"),
        State::Undecided => "as it is, as no schedule has asked for anything yet".to_owned(),
    }
}

fn override_in_words(course: &Course, overridden: &Overridden) -> String {
    let what = in_words(&overridden.to);
    let [from, until] = [overridden.from, overridden.until].map(|at| local(&course.local(at)));
    let (by, why) = (&overridden.by, &overridden.why);
    format!("{what} from {from} until {until}, asked for by {by}: {why}")
}

fn note_in_words(note: &Note) -> String {
    let clock = |at: &DateTime| at.strftime("%H:%M").to_string();
    match note {
        Note::ClockChange {
            time_zone,
            from,
            to,
            ..
        } => {
            let way = if from < to { "forward" } else { "back" };
            let (from, to) = (clock(from), clock(to));
            format!("the clocks of {time_zone} go {way} from {from} to {to}")
        }
        Note::SkippedTime { schedule, time } => {
            let (date, time) = (time.date(), clock(time));
            format!("clocks skip {time} on {date}, and with it what {schedule} does then")
        }
        Note::Holiday { schedule, list } => {
            format!("a holiday of {list}, on which nothing begins by {schedule}")
        }
        Note::Exception {
            schedule,
            dates,
            periods: 0,
        } => format!("an exception of {schedule} ({dates}): nothing begins"),
        Note::Exception {
            schedule,
            dates,
            periods,
        } => {
            let periods = count(*periods, "period");
            format!("an exception of {schedule} ({dates}): {periods} of its own")
        }
        Note::FirstDate { schedule } => format!("the first date of {schedule}"),
        Note::LastDate { schedule } => format!("the last date of {schedule}"),
    }
}

/// `Mon 11-23`.
fn date(date: Date) -> String {
    date.strftime("%a %m-%d").to_string()
}

/// `Mon 2026-11-23 17:40 CET`.
fn local(at: &Zoned) -> String {
    at.strftime("%a %Y-%m-%d %H:%M %Z").to_string()
}

/// `2026-11-23 16:40Z`, to the minute.
fn utc(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%MZ").to_string()
}

/// The seconds of a day in which it is to be on.
fn awake(day: &Day) -> i64 {
    let on = day.spans.iter();
    let on = on.filter(|span| matches!(span.state, State::On { .. }));
    on.map(|span| span.until.duration_since(span.from).as_secs())
        .sum()
}

/// `110:30`.
fn hours(seconds: i64) -> String {
    let minutes = seconds / 60;
    format!("{}:{:02}", minutes / 60, minutes % 60)
}

/// `1,234.50 USD`.
fn money(amount: Amount, currency: &str) -> String {
    let text = amount.to_string();
    let (whole, rest) = text.split_once('.').unwrap_or((&text, "00"));
    let whole = whole.parse().map_or_else(|_| whole.to_owned(), number);
    format!("{whole}.{rest} {currency}")
}

#[cfg(test)]
mod tests;
