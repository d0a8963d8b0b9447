//! A preview as text for a person: for each kind of database and each place one line
//! per moment, with a mark for each snapshot by its age, and below it why they stay.

use std::collections::BTreeMap;

use jiff::Timestamp;
use snapshot_rotation::retention::Keep;
use snapshot_rotation::{Drawn, InPlace, MANUAL_SNAPSHOTS, Moment, Picture, Room};

use super::super::{SOME, draw_warnings};
use super::{Answer, NextRun};
use crate::page::{Column, Page, Tone};
use crate::show::Look;
use crate::words::{age, count, number, plain};

/// How many databases are named after what they have in common.
const NAMES: usize = 4;

/// What each moment of a preview is called.
const MOMENTS: [&str; 4] = ["now", "in a week", "in a month", "in a year"];

/// What stands to the left of a drawing: the moment, and how many there are.
const MOMENT_WIDTH: usize = 11;
const COUNT_WIDTH: usize = 5;
const GAP: usize = 2;
/// The last age stands a little over the end of the axis.
const OVERHANG: usize = 2;

/// Ages on the axis, in hours, where there is room for them.
const AGES: [(&str, i64); 14] = [
    ("1h", 1),
    ("3h", 3),
    ("6h", 6),
    ("12h", 12),
    ("1d", 24),
    ("2d", 48),
    ("4d", 96),
    ("1w", 168),
    ("2w", 336),
    ("1mo", 730),
    ("3mo", 2190),
    ("6mo", 4380),
    ("1y", 8760),
    ("3y", 26_280),
];

/// Reasons in the order of their columns.
const REASONS: [&str; 7] = [
    "last", "hourly", "daily", "weekly", "monthly", "yearly", "oldest",
];

/// The code of what Steward has not made, and does not rotate.
const FOREIGN: &str = "foreign";

/// A preview, and how to show it.
pub(super) struct Drawing<'a> {
    answer: &'a Answer,
    page: Page,
    all: bool,
}

impl<'a> Drawing<'a> {
    pub(super) fn new(answer: &'a Answer, look: &Look) -> Self {
        Self {
            answer,
            page: Page::new(look.width, look.colours),
            all: look.all,
        }
    }

    fn most(&self, limit: usize) -> usize {
        if self.all { usize::MAX } else { limit }
    }

    /// The text. `plan` is the command that tells what the next run would do.
    pub(super) fn draw(mut self, plan: &[String]) -> String {
        self.header();
        self.pictures();
        self.left();
        self.room();
        if let Some(next_run) = &self.answer.next_run {
            self.next_run(next_run, plan);
        }
        self.gaps();
        let most = self.most(SOME);
        draw_warnings(&mut self.page, &self.answer.warnings, most);
        self.page.finish()
    }

    fn header(&mut self) {
        let answer = self.answer;
        let drawn = answer.preview.pictures.iter();
        let databases: usize = drawn.map(|picture| picture.databases.len()).sum();
        let what = match &answer.account {
            Some(_) => count(databases, "database"),
            None => format!("a new database under {}", count(databases, "rule")),
        };
        let title = format!(
            "{} preview: {what}; nothing was changed",
            answer.basis.function
        );
        self.page.heading(&title, Tone::Strong);
        if let Some(account) = &answer.account {
            let account = format!("{account} in {}", answer.region);
            self.page.hang("account   ", &account);
        }
        answer.basis.draw(&mut self.page);
        let [now, ..] = answer.preview.moments;
        let now = now.strftime("%Y-%m-%d %H:%M:%SZ").to_string();
        self.page.hang("now       ", &now);
        self.page.hang(
            "supposed  ",
            "a snapshot is made each time that one is due, everything succeeds and takes no time, \
             and no limit holds anything back",
        );
        self.page.hang(
            "marks     ",
            "• a snapshot of that age, 2 to 9 so many, + more, x goes with the next run",
        );
    }

    /// Databases with the same picture share it.
    fn pictures(&mut self) {
        let mut same: Vec<(Vec<String>, &Picture, Vec<&str>)> = Vec::new();
        for picture in &self.answer.preview.pictures {
            let body = self.body(picture);
            let names = picture.databases.iter().map(String::as_str);
            match same.iter_mut().find(|(other, _, _)| *other == body) {
                Some((_, _, databases)) => databases.extend(names),
                None => same.push((body, picture, names.collect())),
            }
        }
        same.sort_by_key(|(_, _, databases)| std::cmp::Reverse(databases.len()));
        let most = self.most(SOME);
        for (_, picture, databases) in same.iter().take(most) {
            let title = match self.answer.account {
                Some(_) => self.names(databases),
                None => "A new database".to_owned(),
            };
            self.page.heading(&title, Tone::Strong);
            self.page
                .say(&format!("rule {}: every {}", picture.rule, picture.every));
            for place in &picture.places {
                self.place(picture, place);
            }
            for need in &picture.needs {
                self.page.hang("needs a person: ", need);
            }
        }
        if let Some(rest) = same.get(most..).filter(|rest| !rest.is_empty()) {
            let databases: usize = rest.iter().map(|(_, _, databases)| databases.len()).sum();
            self.page.heading(
                &format!(
                    "And {} of {}; --all shows them, --database one",
                    count(rest.len(), "picture"),
                    count(databases, "database")
                ),
                Tone::Strong,
            );
        }
    }

    /// All that is seen of a picture.
    fn body(&self, picture: &Picture) -> Vec<String> {
        let mut body = vec![picture.rule.clone()];
        let axis = self.axis(picture);
        for place in &picture.places {
            body.push(place.place.to_string());
            for moment in &place.moments {
                body.push(axis.line(moment));
                body.extend(numbers(moment, &labels(place)));
            }
        }
        body.extend(picture.needs.iter().cloned());
        body
    }

    fn axis(&self, picture: &Picture) -> Axis {
        let left = MOMENT_WIDTH + COUNT_WIDTH + GAP + OVERHANG;
        let moments = picture.places.iter().flat_map(|place| &place.moments);
        let ages = moments.flat_map(|moment| {
            let rotated = moment.snapshots.iter().filter(|drawn| is_rotated(drawn));
            rotated.filter_map(|drawn| Some(age_of(drawn.taken_at?, moment.at)))
        });
        let every = picture.every.seconds();
        Axis {
            every,
            greatest: ages.max().unwrap_or(0).max(every),
            columns: self.page.row_width().saturating_sub(left).max(10),
        }
    }

    fn place(&mut self, picture: &Picture, place: &InPlace) {
        let axis = self.axis(picture);
        let keep = match &place.keep {
            Some(keep) => format!("keeps {}", in_words(keep)),
            None => "the rule does not name this place".to_owned(),
        };
        self.page.row("");
        self.page.say(&format!("{}: {keep}", place.place));
        let left = MOMENT_WIDTH + COUNT_WIDTH + GAP;
        self.page.row(&format!("{:left$}{}", "", axis.scale()));
        for (name, moment) in MOMENTS.iter().zip(&place.moments) {
            let all = moment.snapshots.iter().filter(|drawn| is_rotated(drawn));
            let all = number(all.count());
            let line = axis.line(moment);
            self.page.row(&format!(
                "{name:MOMENT_WIDTH$}{all:>COUNT_WIDTH$}{:GAP$}{line}",
                ""
            ));
        }
        for name in MOMENTS.iter().skip(place.moments.len()) {
            self.page
                .row(&format!("{name:MOMENT_WIDTH$}  too many to work out"));
        }
        let labels = labels(place);
        if labels.is_empty() {
            return;
        }
        let titles: Vec<String> = labels.iter().map(|label| title(label)).collect();
        let mut columns = vec![Column::name("why"), Column::number("back to")];
        columns.extend(titles.iter().map(|title| Column::number(title)));
        let rows = MOMENTS.iter().zip(&place.moments).map(|(name, moment)| {
            let mut row = vec![(*name).to_owned()];
            row.extend(numbers(moment, &labels));
            row
        });
        self.page.table(&columns, rows.collect());
    }

    /// Some of these names, and how many more there are.
    fn names(&self, all: &[&str]) -> String {
        let (some, rest) = all.split_at(all.len().min(self.most(NAMES)));
        let some = some.join(", ");
        match rest.len() {
            0 => some,
            n => format!("{some} and {}", count(n, "other")),
        }
    }

    fn left(&mut self) {
        let left = &self.answer.preview.left;
        if left.is_empty() {
            return;
        }
        let title = format!("Not drawn ({})", count(left.len(), "database"));
        self.page.heading(&title, Tone::Strong);
        let mut alike: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for left in left {
            let databases = alike.entry(&left.because).or_default();
            databases.push(&left.database);
        }
        let most = self.most(SOME);
        for (because, databases) in alike.iter().take(most) {
            let names = self.names(databases);
            self.page.say(&format!("{names}: {because}"));
        }
        if alike.len() > most {
            let rest = number(alike.len() - most);
            self.page
                .say(&format!("and for {rest} more reasons; --all shows them"));
        }
    }

    fn room(&mut self) {
        let rooms = &self.answer.preview.room;
        if rooms.is_empty() {
            return;
        }
        self.page.heading(
            "Room for manual snapshots, those of everybody",
            Tone::Strong,
        );
        let columns = [
            Column::name("place"),
            Column::number("now"),
            Column::number("most at once"),
            Column::number("on"),
            Column::number("may be"),
        ];
        let row = |room: &Room| {
            let may_be = match room.max {
                Some(max) => number(usize::try_from(max).unwrap_or(usize::MAX)),
                None => format!("{MANUAL_SNAPSHOTS}?"),
            };
            let some = |n: u64| number(usize::try_from(n).unwrap_or(usize::MAX));
            let place = room.place.to_string();
            let on = date(room.most_at);
            vec![place, some(room.now), some(room.most), on, may_be]
        };
        self.page.table(&columns, rooms.iter().map(row).collect());
        for room in rooms {
            let Some(full_at) = room.full_at else {
                continue;
            };
            let unsure = match room.max {
                Some(_) => "",
                None => ", unless AWS has raised what it allows at first",
            };
            self.page.say(&format!(
                "{} has no room for them from {} on{unsure}: ask for a higher quota (Service Quotas, \
                 Amazon RDS, manual DB instance snapshots), or keep fewer.",
                room.place,
                date(full_at)
            ));
        }
    }

    fn next_run(&mut self, next_run: &NextRun, plan: &[String]) {
        self.page.heading("The next run", Tone::Strong);
        self.page.say(&format!(
            "would make {}, copy {} and delete {}. Which, and why:",
            count(next_run.makes, "snapshot"),
            number(next_run.copies),
            number(next_run.deletes)
        ));
        self.page.command(plan);
        let most = self.most(SOME);
        for refusal in next_run.refusals.iter().take(most) {
            let (unit, detail) = (&refusal.unit, &refusal.detail);
            let text = format!("{unit}: {detail} ({})", refusal.guard);
            self.page.hang("refused: ", &text);
        }
        if next_run.refusals.len() > most {
            let rest = number(next_run.refusals.len() - most);
            self.page
                .say(&format!("and {rest} more refusals; --all shows them"));
        }
        if !next_run.refusals.is_empty() {
            self.page
                .say("The pictures suppose that what is refused has been let through.");
        }
    }

    fn gaps(&mut self) {
        let gaps = &self.answer.gaps;
        if gaps.is_empty() {
            return;
        }
        let title = format!("Could not be read ({})", number(gaps.len()));
        self.page.heading(&title, Tone::Bad);
        for gap in gaps.iter().take(self.most(SOME)) {
            self.page.say(&format!(
                "{}; if it was denied, allow {}",
                gap.read, gap.grant
            ));
        }
    }
}

/// Ages along a line: the newest on the left, and the older the closer, as rules
/// thin them.
#[derive(Clone, Copy, Debug)]
struct Axis {
    /// The seconds that two snapshots are apart.
    every: i64,
    /// The greatest age, in seconds.
    greatest: i64,
    columns: usize,
}

impl Axis {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a place on a line of some columns, which is held within them"
    )]
    fn column(&self, age: i64) -> usize {
        let far = |age: i64| (1.0 + age.max(0) as f64 / self.every.max(1) as f64).ln();
        let last = self.columns.saturating_sub(1);
        let part = far(age) / far(self.greatest.max(1));
        ((part * last as f64).round() as usize).min(last)
    }

    /// The ages that there is room for.
    fn scale(&self) -> String {
        let mut scale = "now".to_owned();
        for (name, hours) in AGES {
            let seconds = hours * 3600;
            // The end may be a little short of a whole month or year.
            if seconds < self.every || seconds > self.greatest + self.greatest / 20 {
                continue;
            }
            let at = self.column(seconds);
            let length = scale.len();
            if at > length && at + name.len() <= self.columns + OVERHANG {
                scale.push_str(&" ".repeat(at - length));
                scale.push_str(name);
            }
        }
        scale
    }

    /// The snapshots of a moment.
    fn line(&self, moment: &Moment) -> String {
        let mut stay = vec![0_usize; self.columns];
        let mut go = vec![false; self.columns];
        for drawn in moment.snapshots.iter().filter(|drawn| is_rotated(drawn)) {
            let Some(taken_at) = drawn.taken_at else {
                continue;
            };
            let at = self.column(age_of(taken_at, moment.at));
            match (drawn.goes, stay.get_mut(at), go.get_mut(at)) {
                (false, Some(stay), _) => *stay += 1,
                (true, _, Some(go)) => *go = true,
                _ => {}
            }
        }
        let marks = stay.iter().zip(go).map(|(stay, goes)| match (stay, goes) {
            (0, true) => 'x',
            (0, false) => '·',
            (1, _) => '•',
            (n @ 2..=9, _) => char::from_digit(u32::try_from(*n).unwrap_or(0), 10).unwrap_or('+'),
            _ => '+',
        });
        marks.collect()
    }
}

fn age_of(taken_at: Timestamp, at: Timestamp) -> i64 {
    at.duration_since(taken_at).as_secs().max(0)
}

fn is_rotated(drawn: &Drawn) -> bool {
    drawn.why != [FOREIGN]
}

/// Every reason that there is in a place at some moment, in order.
fn labels(place: &InPlace) -> Vec<&str> {
    let snapshots = place.moments.iter().flat_map(|moment| &moment.snapshots);
    let all = snapshots.flat_map(|drawn| &drawn.why).map(String::as_str);
    let mut labels: Vec<&str> = all.collect();
    let nth = |label: &str| REASONS.iter().position(|reason| *reason == label);
    let order = |label: &str| (label == FOREIGN, nth(label).unwrap_or(REASONS.len()));
    labels.sort_by_key(|label| (order(label), *label));
    labels.dedup();
    labels
}

/// How a reason is called above its column.
fn title(label: &str) -> String {
    match label {
        FOREIGN => "others'".to_owned(),
        other => plain(other).replace('_', " "),
    }
}

/// How old the oldest is, and how many there are for each reason.
fn numbers(moment: &Moment, labels: &[&str]) -> Vec<String> {
    let rotated = moment.snapshots.iter().filter(|drawn| is_rotated(drawn));
    let oldest = rotated.filter_map(|drawn| drawn.taken_at).min();
    let oldest = oldest.map_or("-".to_owned(), |oldest| age(oldest, moment.at));
    let counts = labels.iter().map(|label| {
        let all = moment.snapshots.iter();
        let with = all.filter(|drawn| drawn.why.iter().any(|why| why == label));
        match with.count() {
            0 => "-".to_owned(),
            n => number(n),
        }
    });
    std::iter::once(oldest).chain(counts).collect()
}

/// The rules of retention, as a policy has them.
fn in_words(keep: &Keep) -> String {
    if keep.is_empty() {
        return "everything".to_owned();
    }
    let counts = [
        ("last", keep.last),
        ("hourly", keep.hourly),
        ("daily", keep.daily),
        ("weekly", keep.weekly),
        ("monthly", keep.monthly),
        ("yearly", keep.yearly),
    ];
    let counts = counts.iter().filter(|(_, n)| *n > 0);
    let mut rules: Vec<String> = counts.map(|(rule, n)| format!("{rule} {n}")).collect();
    rules.extend(keep.within.map(|within| format!("within {within}")));
    rules.join(", ")
}

fn date(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d").to_string()
}

#[cfg(test)]
mod tests;
