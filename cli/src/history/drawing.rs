//! Cases as text for a person: a row for each, or all that happened in a few.

use alarm_remediation::{Case, Effect, NAME, Remedy, Remembered, Stage, Tried};
use jiff::Timestamp;

use super::{Answer, HISTORY};
use crate::arguments::AwsArguments;
use crate::page::{Column, Page, Tone};
use crate::preview::draw_warnings;
use crate::show::{self, Look};
use crate::words::{count, number};

/// How many cases that have ended are shown, unless everything is to be.
const ENDED: usize = 12;

/// What is told, and how to show it.
pub(super) struct Drawing<'a> {
    answer: &'a Answer,
    aws: &'a AwsArguments,
    page: Page,
    all: bool,
}

impl<'a> Drawing<'a> {
    pub(super) fn new(answer: &'a Answer, look: &Look, aws: &'a AwsArguments) -> Self {
        Self {
            answer,
            aws,
            page: Page::new(look.width, look.colours),
            all: look.all,
        }
    }

    /// A row for each case.
    pub(super) fn draw(mut self) -> String {
        let cases = self.answer.cases.iter();
        let (open, ended): (Vec<_>, Vec<_>) = cases.partition(|it| it.ended.is_none());
        let title = format!(
            "{NAME} {HISTORY}: {}, and {} ended",
            count(open.len(), "open case"),
            number(ended.len())
        );
        self.header(&title);
        if !open.is_empty() {
            self.page.heading("Open", Tone::Look);
            self.rows(Column::text("stands"), &open, standing);
        }
        if !ended.is_empty() {
            let most = if self.all { usize::MAX } else { ENDED };
            self.page.heading("Ended", Tone::Strong);
            let shown = ended.get(..most).unwrap_or(&ended);
            let when = |it: &Remembered| it.ended.map_or(String::new(), minute);
            self.rows(Column::name("ended"), shown, when);
            if let Some(rest) = ended.len().checked_sub(most).filter(|rest| *rest > 0) {
                let rest = number(rest);
                self.page.say(&format!("and {rest} more; --all shows them"));
            }
        }
        draw_warnings(&mut self.page, &self.answer.warnings, usize::MAX);
        if let Some(first) = self.answer.cases.first() {
            self.page.heading("More", Tone::Strong);
            self.page.say("All that happened in one of them:");
            let words = self.command(HISTORY, &[("case", &first.case.name)]);
            self.page.command(&words);
        }
        if self.answer.cases.iter().any(|it| it.ended.is_none()) {
            self.page
                .say("What the next run would do about the open ones:");
            let words = self.command("plan", &[("policy", "POLICY")]);
            self.page.command(&words);
        }
        self.page.finish()
    }

    /// All that happened in each case.
    pub(super) fn draw_whole(mut self) -> String {
        let title = format!(
            "{NAME} {HISTORY}: {}",
            count(self.answer.cases.len(), "case")
        );
        self.header(&title);
        for it in &self.answer.cases {
            self.case(it);
        }
        draw_warnings(&mut self.page, &self.answer.warnings, usize::MAX);
        self.page.finish()
    }

    fn header(&mut self, title: &str) {
        self.page.heading(title, Tone::Strong);
        self.page.hang("ledger    ", &self.answer.ledger);
        self.page.hang("now       ", &minute(self.answer.now));
    }

    fn rows(
        &mut self,
        last: Column<'_>,
        cases: &[&Remembered],
        tells: impl Fn(&Remembered) -> String,
    ) {
        let columns = [
            Column::name("opened"),
            Column::name("alarm"),
            Column::name("about"),
            Column::text("tried"),
            last,
        ];
        let row = |it: &&Remembered| {
            let case = &it.case;
            let tried: Vec<String> = case.tried.iter().map(in_short).collect();
            let tried = match tried.as_slice() {
                [] => "nothing".to_owned(),
                tried => tried.join("; "),
            };
            vec![
                minute(case.opened),
                case.name.clone(),
                case.unit.clone(),
                tried,
                tells(it),
            ]
        };
        self.page.table(&columns, cases.iter().map(row).collect());
    }

    fn case(&mut self, it: &Remembered) {
        let case = &it.case;
        let tone = match it.ended {
            None => Tone::Look,
            Some(_) => Tone::Strong,
        };
        self.page.heading(&case.name, tone);
        self.page.hang("about     ", &case.unit);
        self.page.hang("key       ", &it.key);
        let opened = format!(
            "{}; in alarm since {}",
            minute(case.opened),
            minute(case.since)
        );
        self.page.hang("opened    ", &opened);
        match it.ended {
            Some(ended) => self.page.hang("ended     ", &minute(ended)),
            None => self.page.hang("stands    ", &standing(it)),
        }
        for tried in &case.tried {
            let text = format!("{}: {}", tried.remedy.sentence(), came_of(tried));
            self.page.hang("tried     ", &text);
        }
        self.page.row("");
        for line in &case.log {
            self.page
                .hang(&format!("{}  ", second(line.at)), &line.what);
        }
        if it.ended.is_none() {
            self.what_a_person_can_do(case);
        }
    }

    fn what_a_person_can_do(&mut self, case: &Case) {
        if let Some(proposed) = &case.proposed {
            self.page.row("");
            let what = format!("To approve that {}:", proposed.sentence());
            self.page.say(&what);
            let approval = format!("approve {}", show::safe(&case.name));
            let words = self.command(&approval, &[("policy", "POLICY"), ("mode", "apply")]);
            self.page.command(&words);
        }
        for tried in case.tried.iter().rev().filter(|it| stands(it, case)) {
            if let Some(undo) = tried.remedy.undo() {
                self.page.row("");
                let what = format!("To undo that {}:", tried.remedy.sentence());
                self.page.say(&what);
                let words: Vec<String> = undo.split(' ').map(str::to_owned).collect();
                self.page.command(&words);
            }
        }
    }

    fn command(&self, subcommand: &str, options: &[(&str, &str)]) -> Vec<String> {
        let mut words = ["steward", NAME, subcommand].map(str::to_owned).to_vec();
        let aws = [
            ("profile", self.aws.profile.as_deref()),
            ("region", self.aws.region.as_deref()),
        ];
        let aws = aws
            .iter()
            .filter_map(|(name, value)| Some((*name, (*value)?)));
        for (name, value) in options.iter().copied().chain(aws) {
            show::option(&mut words, name, value);
        }
        words
    }
}

/// Whether what was tried is so still, as far as the case knows.
fn stands(tried: &Tried, case: &Case) -> bool {
    match &tried.remedy {
        Remedy::DrainInstance(_) => case.last() == Some(tried),
        remedy => remedy.raises().is_some_and(|arn| case.raised.contains(arn)),
    }
}

/// How an open case stands.
fn standing(it: &Remembered) -> String {
    let case = &it.case;
    let stage = match &case.stage {
        Stage::Open => match &case.proposed {
            Some(proposed) => format!("waits for approval: {}", proposed.sentence()),
            None => "in alarm".to_owned(),
        },
        Stage::Settling { until, .. } => format!("given time until {}", minute(*until)),
        Stage::Calm { since } => format!("quiet since {}", minute(*since)),
    };
    let raised = match case.raised.len() {
        0 => String::new(),
        n => format!("; {} raised", number(n)),
    };
    let told = match case.told.is_empty() {
        true => "",
        false => "; a person was told",
    };
    format!("{stage}{raised}{told}")
}

/// `roll back: did not help`.
fn in_short(tried: &Tried) -> String {
    let kind = tried.remedy.kind().replace('_', " ");
    format!("{kind}: {}", came_of(tried))
}

fn came_of(tried: &Tried) -> &'static str {
    tried.effect.map_or("not known yet", Effect::words)
}

fn minute(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%MZ").to_string()
}

fn second(at: Timestamp) -> String {
    at.strftime("%m-%d %H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests;
