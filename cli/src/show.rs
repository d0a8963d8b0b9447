//! A report as text for a person: what would happen or has happened, what is
//! kept and why, what stands in the way, and what to do next.
//!
//! It takes a report of any function, fresh or saved, and never anything that
//! is not in it; [`Given`] only makes the advice at its end ready to copy.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::Value;
use steward::engine::{Mode, Trigger};
use steward::report::{ActionLine, ActionOutcome, Report, Status};

use crate::exit::has_changes;
use crate::page::{Column, Page, Tone};
use crate::words::{
    Verbs, age, bytes, count, number, plain, plural, short, took, unit_of, without_digests,
};

/// How many units have a row of their own, unless everything is to be shown.
const UNITS: usize = 20;
/// How many actions have one in all.
const ROWS: usize = 40;
/// How many actions of one unit have one at least, while there is room.
const ROWS_PER_UNIT: usize = 5;
/// How many reasons, errors, refusals or gaps are told apart.
const GROUPS: usize = 12;
/// How many things are named after what they have in common.
const NAMES: usize = 4;
/// How long a list inside a sentence gets, in characters.
const LIST_CHARS: usize = 240;

/// The unit of a refusal that concerns the whole run.
const RUN: &str = "run";

/// How much of a tag is shown, in characters.
const TAG_CHARS: usize = 16;

/// How to show it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    /// Columns.
    pub(crate) width: usize,
    /// With colours.
    pub(crate) colours: bool,
    /// Every row.
    pub(crate) all: bool,
}

/// How a run by hand was called.
#[derive(Clone, Debug, Default)]
pub(crate) struct Given {
    /// Where the policy was read.
    pub(crate) policy_source: String,
    /// `--policy`.
    pub(crate) policy: Option<String>,
    /// `--plan`.
    pub(crate) plan: Option<String>,
    /// `--plan-out`, when the plan was saved.
    pub(crate) plan_out: Option<String>,
    /// Names and values of what concerns the AWS account.
    pub(crate) options: Vec<(String, String)>,
    /// The operation, when it was called by its name.
    pub(crate) operation: Option<String>,
    /// What stands behind it, without a name.
    pub(crate) operands: Vec<String>,
    /// Names and values of what narrows the run down.
    pub(crate) scope: Vec<(String, String)>,
}

/// The report as text.
pub(crate) fn show(report: &Report, look: &Look, given: Option<&Given>) -> String {
    let mut view = View {
        verbs: Verbs::of(&report.actions),
        page: Page::new(look.width, look.colours),
        report,
        all: look.all,
    };
    view.header(given);
    view.units();
    view.rows();
    view.failed();
    view.skipped();
    view.refusals();
    view.gaps();
    view.deferred();
    view.kept();
    view.warnings();
    view.next(given);
    view.page.finish()
}

struct View<'a> {
    report: &'a Report,
    verbs: Verbs,
    page: Page,
    all: bool,
}

impl<'a> View<'a> {
    /// As many as may be shown.
    fn most(&self, limit: usize) -> usize {
        if self.all { usize::MAX } else { limit }
    }

    fn lines(&self, outcome: ActionOutcome) -> impl Iterator<Item = &'a ActionLine> + use<'a> {
        self.report
            .actions
            .iter()
            .filter(move |line| line.outcome == outcome)
    }

    /// What most of the text is about: what would be done, or was.
    fn main_outcome(&self) -> ActionOutcome {
        match self.report.mode {
            Mode::Plan => ActionOutcome::Planned,
            Mode::Apply => ActionOutcome::Done,
        }
    }

    fn header(&mut self, given: Option<&Given>) {
        let report = self.report;
        let (words, tone) = self.status_in_words();
        let title = format!("{} {}: {words}", report.function, report.operation);
        self.page.heading(&title, tone);
        let mode = match report.mode {
            Mode::Plan => "plan, which changes nothing",
            Mode::Apply => "apply",
        };
        let policy = match given {
            Some(given) => format!("{} ({})", given.policy_source, short(&report.policy_digest)),
            None => short(&report.policy_digest),
        };
        let trigger = match report.trigger {
            Trigger::Schedule => "by schedule",
            Trigger::Alarm => "by alarm",
            Trigger::Event => "by event",
            Trigger::Manual => "by call",
            Trigger::Cli => "by hand",
        };
        let run = format!(
            "{}, {trigger}, in {}",
            report.started_at.strftime("%Y-%m-%d %H:%M:%SZ"),
            took(report.started_at, report.finished_at)
        );
        self.page.hang("mode      ", mode);
        self.page.hang(
            "account   ",
            &format!("{} in {}", report.account, report.region),
        );
        self.page.hang("policy    ", &policy);
        self.page.hang("run       ", &run);
        self.page.hang("run id    ", &report.run_id);
        self.page.hang("observed  ", &self.sums());
        if report.truncated {
            self.page.say(&format!(
                "This report was shortened to stay small: of {} actions it lists {}, failures \
                 first. The numbers above are complete, those below are of what is listed.",
                number(report.actions_total),
                number(report.actions.len()),
            ));
        }
    }

    fn sums(&self) -> String {
        let sums = &self.report.summary;
        if sums.observed == 0 {
            return "nothing".to_owned();
        }
        let mut parts = vec![format!("{} kept", number(sums.kept))];
        if sums.deferred > 0 {
            parts.push(format!("{} deferred", number(sums.deferred)));
        }
        parts.push(format!("{} planned", number(sums.planned)));
        let ended: Vec<String> = [
            (sums.done, "done"),
            (sums.already_done, "so already"),
            (sums.skipped, "skipped"),
            (sums.failed, "failed"),
        ]
        .into_iter()
        .filter(|(n, _)| *n > 0)
        .map(|(n, word)| format!("{} {word}", number(n)))
        .collect();
        let ended = if ended.is_empty() {
            String::new()
        } else {
            format!(" ({})", ended.join(", "))
        };
        format!("{}: {}{ended}", number(sums.observed), parts.join(", "))
    }

    /// The status as a person would say it.
    fn status_in_words(&self) -> (String, Tone) {
        let report = self.report;
        let sums = &report.summary;
        let noun = &self.verbs.noun;
        let waits = report
            .wait
            .as_ref()
            .map(|wait| format!("waiting {} s for {}", wait.seconds, wait.what));
        match report.status {
            Status::Planned if has_changes(report) => {
                let ended = sums.already_done + sums.skipped;
                let n = count(sums.planned.saturating_sub(ended), noun);
                let refused = self.refused_units();
                (
                    format!("{} {n}{refused}; nothing was changed", self.verbs.would),
                    Tone::Look,
                )
            }
            Status::Planned => {
                let words = "nothing of the plan file is left to do; nothing was changed";
                (words.to_owned(), Tone::Good)
            }
            Status::Applied => {
                let done = format!("done, {} {}", count(sums.done, noun), self.verbs.did);
                let words = match (sums.done, sums.already_done) {
                    (0, already) => format!("done, {} so already", count(already, noun)),
                    (_, 0) => done,
                    (_, already) => format!("{done}, {} so already", number(already)),
                };
                (words, Tone::Good)
            }
            Status::NothingToDo if sums.deferred > 0 => {
                ("nothing to do now".to_owned(), Tone::Good)
            }
            Status::NothingToDo => ("nothing to do".to_owned(), Tone::Good),
            Status::Refused if report.mode == Mode::Plan => {
                let words = "refused; as things are, apply would do nothing";
                (words.to_owned(), Tone::Bad)
            }
            Status::Refused => ("refused; nothing was done".to_owned(), Tone::Bad),
            Status::Partial => {
                let mut words =
                    format!("partly done, {} {}", count(sums.done, noun), self.verbs.did);
                for (n, word) in [
                    (sums.already_done, "so already"),
                    (sums.failed, "failed"),
                    (sums.skipped, "skipped"),
                    (sums.deferred, "left for later"),
                ] {
                    if n > 0 {
                        words.push_str(&format!(", {} {word}", number(n)));
                    }
                }
                words.push_str(&self.refused_units());
                (words, Tone::Look)
            }
            Status::Waiting => {
                let words = waits.unwrap_or_else(|| "waiting".to_owned());
                (words, Tone::Look)
            }
            Status::Failed if sums.failed > 0 => {
                let words = format!(
                    "failed; none of {} {}",
                    count(sums.failed, noun),
                    self.verbs.did
                );
                (words, Tone::Bad)
            }
            Status::Failed => ("failed; nothing was done".to_owned(), Tone::Bad),
        }
    }

    /// How many units a guard refuses, as the end of a sentence.
    fn refused_units(&self) -> String {
        let units: BTreeSet<&str> = self
            .report
            .refusals
            .iter()
            .map(|refusal| refusal.unit.as_str())
            .filter(|unit| *unit != RUN)
            .collect();
        match units.len() {
            0 => String::new(),
            n => format!(", {} refused", count(n, self.unit_noun())),
        }
    }

    /// What units are called.
    fn unit_noun(&self) -> &'static str {
        let of_repository = |line: &ActionLine| unit_of(line) != line.resource;
        if self.report.actions.iter().any(of_repository) {
            "repository"
        } else {
            "resource"
        }
    }

    /// One row per unit: how many of what became what, and how much it frees.
    fn units(&mut self) {
        let mut units: BTreeMap<&str, Tally> = BTreeMap::new();
        let mut total = Tally::default();
        let main = self.main_outcome();
        for line in &self.report.actions {
            units.entry(unit_of(line)).or_default().add(line, main);
            total.add(line, main);
        }
        // One row per action is no overview.
        if units.is_empty() || (units.len() == self.report.actions.len() && units.len() > 1) {
            return;
        }
        let shown: Vec<ActionOutcome> = OUTCOMES
            .into_iter()
            .filter(|outcome| total.of(*outcome) > 0)
            .collect();
        let noun = self.unit_noun();
        // What is archived is stored on, for less, and frees nothing.
        let sizes: [SizeColumn; 2] = match self.report.mode {
            Mode::Plan => [
                ("reclaimable", |t| t.bytes),
                ("to archive", |t| t.archived_bytes),
            ],
            Mode::Apply => [
                ("reclaimed", |t| t.bytes),
                ("archived", |t| t.archived_bytes),
            ],
        };
        let sizes = sizes.into_iter().filter(|(_, of)| of(&total) > 0);
        let sizes: Vec<SizeColumn> = sizes.collect();
        let mut columns = vec![Column::name(noun)];
        columns.extend(shown.iter().map(|o| Column::number(self.verbs.heading(*o))));
        columns.extend(sizes.iter().map(|(title, _)| Column::number(title)));
        let row = |name: String, tally: &Tally| {
            let mut row = vec![name];
            row.extend(shown.iter().map(|o| match tally.of(*o) {
                0 => "-".to_owned(),
                n => number(n),
            }));
            row.extend(sizes.iter().map(|(_, of)| match of(tally) {
                0 => "-".to_owned(),
                n => format!("≤ {}", bytes(n)),
            }));
            row
        };
        let mut order: Vec<(&str, Tally)> = units.into_iter().collect();
        order.sort_by_key(|(name, tally)| (std::cmp::Reverse(tally.all()), *name));
        let (some, rest) = order.split_at(order.len().min(self.most(UNITS)));
        let mut rows: Vec<Vec<String>> = some
            .iter()
            .map(|(name, tally)| row((*name).to_owned(), tally))
            .collect();
        if !rest.is_empty() {
            let mut more = Tally::default();
            rest.iter().for_each(|(_, tally)| more.merge(tally));
            let label = if rest.len() == 1 {
                noun.to_owned()
            } else {
                plural(noun)
            };
            rows.push(row(format!("{} more {label}", number(rest.len())), &more));
        }
        if order.len() > 1 {
            rows.push(row("total".to_owned(), &total));
        }
        let label = if order.len() == 1 {
            noun.to_owned()
        } else {
            plural(noun)
        };
        let title = format!("By {noun} ({} {label})", number(order.len()));
        self.page.heading(&title, Tone::Strong);
        self.page.table(&columns, rows);
        if !sizes.is_empty() {
            self.page.say(
                "Sizes are upper bounds: images share layers, and a layer goes only with the last \
                 image that has it.",
            );
        }
    }

    /// The actions themselves, the first of every unit.
    fn rows(&mut self) {
        let outcome = self.main_outcome();
        let mut units: BTreeMap<&str, Vec<&ActionLine>> = BTreeMap::new();
        for line in self.lines(outcome) {
            units.entry(unit_of(line)).or_default().push(line);
        }
        let all: usize = units.values().map(Vec::len).sum();
        if all == 0 {
            return;
        }
        for lines in units.values_mut() {
            // The oldest first, and what has no age in the order of the plan.
            lines.sort_by_key(|line| (time_of(line).is_none(), time_of(line)));
        }
        let mut order: Vec<(&str, Vec<&ActionLine>)> = units.into_iter().collect();
        order.sort_by_key(|(name, lines)| (std::cmp::Reverse(lines.len()), *name));
        let of_unit = self.most(ROWS_PER_UNIT.max(ROWS / order.len()));
        let mut shown: Vec<&ActionLine> = Vec::new();
        for (_, lines) in &order {
            let room = self.most(ROWS).saturating_sub(shown.len());
            shown.extend(lines.iter().take(of_unit.min(room)));
        }
        let mut title = capitalised(self.verbs.heading(outcome));
        title.push_str(&if shown.len() < all {
            format!(
                " ({} of {}; --all shows every row)",
                shown.len(),
                number(all)
            )
        } else {
            format!(" ({})", number(all))
        });
        self.page.heading(&title, Tone::Strong);
        let of_unit = |line: &&ActionLine| line.detail.contains_key("repository");
        let (mut grouped, single): (Vec<&ActionLine>, Vec<&ActionLine>) =
            shown.into_iter().partition(of_unit);
        while let Some(first) = grouped.first() {
            // The repository stands above its images, so that these have room.
            let name = unit_of(first);
            let (here, rest): (Vec<&ActionLine>, Vec<&ActionLine>) =
                grouped.into_iter().partition(|line| unit_of(line) == name);
            self.page.say(name);
            let (columns, rows) = detail_table(&here, self.report.started_at);
            self.page.table(&columns, rows);
            grouped = rest;
        }
        if !single.is_empty() {
            let (columns, rows) = detail_table(&single, self.report.started_at);
            self.page.table(&columns, rows);
        }
        for (code, because) in reasons(self.lines(outcome)) {
            self.page.hang(&format!("{code}: "), &because);
        }
    }

    fn failed(&mut self) {
        self.by_error(ActionOutcome::Failed, "Failed", Tone::Bad);
    }

    fn skipped(&mut self) {
        self.by_error(ActionOutcome::Skipped, "Skipped", Tone::Look);
    }

    /// Things that ended alike, below what they have in common.
    fn by_error(&mut self, outcome: ActionOutcome, title: &str, tone: Tone) {
        let groups = group(self.lines(outcome), |line| line.resource.clone());
        if groups.is_empty() {
            return;
        }
        let all = self.lines(outcome).count();
        self.page
            .heading(&format!("{title} ({})", number(all)), tone);
        let most = self.most(GROUPS);
        for found in groups.iter().take(most) {
            self.page.hang(
                &format!("{:>5} ", number(found.count)),
                &self.with_gaps_named(&found.text),
            );
            let names = self.named(&found.names);
            self.page.hang("      ", &names);
        }
        self.more(groups.len().saturating_sub(most), "cause");
    }

    fn deferred(&mut self) {
        let groups = group(self.lines(ActionOutcome::Deferred), |line| {
            unit_of(line).to_owned()
        });
        if groups.is_empty() {
            return;
        }
        let all = self.lines(ActionOutcome::Deferred).count();
        self.page
            .heading(&format!("Left for later ({})", number(all)), Tone::Strong);
        let most = self.most(GROUPS);
        for found in groups.iter().take(most) {
            self.page.hang(
                &format!("{:>5} ", number(found.count)),
                &self.with_gaps_named(&found.text),
            );
            let names = self.named(&found.names);
            self.page.hang("      ", &names);
        }
        self.more(groups.len().saturating_sub(most), "cause");
    }

    /// The text with a gap's name in place of what is told of it in full
    /// elsewhere.
    fn with_gaps_named(&self, text: &str) -> String {
        let told = self.report.gaps.iter().take(self.most(GROUPS)).enumerate();
        let longest = told
            .filter(|(_, gap)| !gap.read.is_empty() && text.contains(&gap.read))
            .max_by_key(|(_, gap)| gap.read.len());
        match longest {
            Some((n, gap)) => text.replace(&gap.read, &gap_name(n)),
            None => text.to_owned(),
        }
    }

    /// The first few names, and how many more there are.
    fn named(&self, names: &BTreeSet<String>) -> String {
        let most = self.most(NAMES);
        let some: Vec<&str> = names.iter().take(most).map(String::as_str).collect();
        match names.len().saturating_sub(most) {
            0 => some.join(", "),
            more => format!("{} and {} more", some.join(", "), number(more)),
        }
    }

    fn more(&mut self, n: usize, noun: &str) {
        if n > 0 {
            self.page.say(&format!(
                "… and {}; --all shows them",
                count(n, &format!("more {noun}"))
            ));
        }
    }

    fn kept(&mut self) {
        if self.report.kept.is_empty() {
            return;
        }
        let mut lines: Vec<_> = self.report.kept.iter().collect();
        lines.sort_by_key(|line| (std::cmp::Reverse(line.count), &line.reason));
        let all = self.report.summary.kept;
        self.page
            .heading(&format!("Kept ({})", number(all)), Tone::Strong);
        let rows = lines
            .into_iter()
            .map(|line| {
                let example = line.examples.first().cloned().unwrap_or_default();
                vec![number(line.count), line.reason.clone(), example]
            })
            .collect();
        let columns = [
            Column::number("count"),
            Column::text("reason"),
            Column::text("for example"),
        ];
        self.page.table(&columns, rows);
    }

    fn refusals(&mut self) {
        let refusals = &self.report.refusals;
        if refusals.is_empty() {
            return;
        }
        self.page
            .heading(&format!("Refused ({})", number(refusals.len())), Tone::Bad);
        // One cause, such as a gap that hides everything, may refuse many.
        let mut groups: Vec<(&str, String, BTreeSet<String>)> = Vec::new();
        for refusal in refusals {
            let same = groups
                .iter_mut()
                .find(|(guard, detail, _)| *guard == refusal.guard && *detail == refusal.detail);
            match same {
                Some((_, _, units)) => {
                    units.insert(refusal.unit.clone());
                }
                None => {
                    let units = BTreeSet::from([refusal.unit.clone()]);
                    groups.push((&refusal.guard, refusal.detail.clone(), units));
                }
            }
        }
        let most = self.most(GROUPS);
        for (guard, detail, units) in groups.iter().take(most) {
            let units = match units.first() {
                Some(unit) if units.len() == 1 && unit == RUN => "the run".to_owned(),
                _ => self.named(units),
            };
            self.page.say(&format!("{guard} holds back {units}"));
            self.page.hang("      ", &self.with_gaps_named(detail));
        }
        self.more(groups.len().saturating_sub(most), "refusal");
    }

    fn gaps(&mut self) {
        let gaps = &self.report.gaps;
        if gaps.is_empty() {
            return;
        }
        let title = format!("Could not be read ({})", number(gaps.len()));
        self.page.heading(&title, Tone::Bad);
        let most = self.most(GROUPS);
        for (n, gap) in gaps.iter().take(most).enumerate() {
            self.page.hang(&format!("{}: ", gap_name(n)), &gap.read);
            let hides = if self.all {
                gap.hides.clone()
            } else {
                shortened(&gap.hides, LIST_CHARS)
            };
            self.page.hang("      ", &format!("could hide: {hides}"));
            if !gap.grant.is_empty() {
                self.page
                    .hang("      ", &format!("permission to grant: {}", gap.grant));
            }
        }
        self.more(gaps.len().saturating_sub(most), "read");
    }

    fn warnings(&mut self) {
        let warnings = &self.report.warnings;
        if warnings.is_empty() {
            return;
        }
        self.page.heading("Warnings", Tone::Look);
        let most = self.most(GROUPS);
        for warning in warnings.iter().take(most) {
            self.page.hang("- ", warning);
        }
        self.more(warnings.len().saturating_sub(most), "warning");
    }

    /// What a person would do now.
    fn next(&mut self, given: Option<&Given>) {
        let steps = self.steps(given);
        if steps.is_empty() {
            return;
        }
        self.page.heading("Next", Tone::Strong);
        for step in steps {
            self.page.say(&step.text);
            if let Some(command) = step.command {
                self.page.command(&command);
            }
        }
    }

    fn steps(&self, given: Option<&Given>) -> Vec<Step> {
        let report = self.report;
        let mut steps = Vec::new();
        if !report.gaps.is_empty() {
            steps.push(Step::say(
                "Make readable what could not be read; until then nothing that it could hide is \
                 touched.",
            ));
        }
        match (report.mode, report.status) {
            (Mode::Plan, Status::Planned) if has_changes(report) => {
                steps.extend(self.after_plan(given));
            }
            (Mode::Apply, Status::Partial | Status::Failed) => steps.push(Step::say(
                "Run it again once the cause is gone: what is done stays done, and the rest is \
                 decided anew.",
            )),
            (Mode::Apply, Status::Applied)
                if report.summary.deferred > 0
                    && given.is_some_and(|given| given.plan.is_some()) =>
            {
                steps.push(Step::say("Make a new plan for what was left for later."));
            }
            (Mode::Apply, Status::Applied) if report.summary.deferred > 0 => {
                steps.push(Step::say("Run it again for what was left for later."))
            }
            _ => {}
        }
        if let Some(wait) = &report.wait {
            let text = format!(
                "Run it again in {} s; until then: {}.",
                wait.seconds, wait.what
            );
            steps.push(Step::say(&text));
        }
        steps
    }

    fn after_plan(&self, given: Option<&Given>) -> Vec<Step> {
        let function = plain(&self.report.function);
        let nothing = Given::default();
        let by_hand = given.is_some();
        let given = given.unwrap_or(&nothing);
        let command = |mode: &str, more: &[(&str, &str)]| {
            let mut words = vec!["steward".to_owned(), function.clone()];
            // A plan file holds its operation and scope.
            let scoped = !more.iter().any(|(name, _)| *name == "plan");
            match given.operation.as_ref().filter(|_| scoped) {
                None => words.push(mode.to_owned()),
                Some(operation) => {
                    words.push(operation.clone());
                    words.extend(given.operands.iter().map(|operand| safe(operand)));
                    if mode != "plan" {
                        option(&mut words, "mode", mode);
                    }
                }
            }
            let policy = given.policy.clone().unwrap_or_else(|| "POLICY".to_owned());
            option(&mut words, "policy", &policy);
            for (name, value) in given.scope.iter().filter(|_| scoped).chain(&given.options) {
                option(&mut words, name, value);
            }
            for (name, value) in more {
                option(&mut words, name, value);
            }
            words
        };
        if by_hand && given.policy.is_none() && given.plan_out.is_none() && given.plan.is_none() {
            return vec![Step::run(
                &format!(
                    "Write a policy that selects what may be acted on (`steward schema {function}` \
                     tells its keys), and look again under it:"
                ),
                command("plan", &[("plan-out", "plan.json")]),
            )];
        }
        if let Some(plan) = given.plan_out.as_ref().or(given.plan.as_ref()) {
            return vec![Step::run(
                "Review the plan file, and do exactly what it says:",
                command("apply", &[("plan", plan)]),
            )];
        }
        let mut steps = Vec::new();
        if !by_hand && self.report.trigger != Trigger::Cli {
            steps.push(Step::say(
                "The function acts by itself once STEWARD_MODE=apply is set on it. By hand:",
            ));
        }
        steps.push(Step::run(
            "Save the plan for review:",
            command("plan", &[("plan-out", "plan.json")]),
        ));
        // An event may itself ask for no more than a plan.
        if !given.scope.iter().any(|(name, _)| name == "event") {
            steps.push(Step::run("Or do it:", command("apply", &[])));
        }
        steps
    }
}

struct Step {
    text: String,
    command: Option<Vec<String>>,
}

impl Step {
    fn say(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            command: None,
        }
    }

    fn run(text: &str, command: Vec<String>) -> Self {
        Self {
            text: text.to_owned(),
            command: Some(command),
        }
    }
}

/// An option and its value in one word, so that no line break parts them.
pub(crate) fn option(words: &mut Vec<String>, name: &str, value: &str) {
    words.push(format!("--{name} {}", safe(value)));
}

/// A value as a shell takes it for one word.
pub(crate) fn safe(value: &str) -> String {
    let is_safe = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=,".contains(c);
    let value = plain(value);
    if !value.is_empty() && value.chars().all(is_safe) {
        value
    } else {
        format!("'{}'", value.replace('\'', r"'\''"))
    }
}

/// What a gap is called where it is not told in full.
fn gap_name(n: usize) -> String {
    format!("gap {}", n + 1)
}

/// In the order of columns.
const OUTCOMES: [ActionOutcome; 6] = [
    ActionOutcome::Planned,
    ActionOutcome::Done,
    ActionOutcome::AlreadyDone,
    ActionOutcome::Skipped,
    ActionOutcome::Failed,
    ActionOutcome::Deferred,
];

/// A column of sizes: its title, and what it shows of a unit.
type SizeColumn = (&'static str, fn(&Tally) -> u64);

/// How many actions of a unit ended how, and the size of those that count.
#[derive(Clone, Debug, Default)]
struct Tally {
    counts: [usize; OUTCOMES.len()],
    /// Of what is freed.
    bytes: u64,
    /// Of what is moved to cheaper storage.
    archived_bytes: u64,
}

impl Tally {
    fn add(&mut self, line: &ActionLine, sized: ActionOutcome) {
        for (count, outcome) in self.counts.iter_mut().zip(OUTCOMES) {
            *count += usize::from(line.outcome == outcome);
        }
        if line.outcome == sized {
            let bytes = match line.kind.starts_with("archive_") {
                true => &mut self.archived_bytes,
                false => &mut self.bytes,
            };
            *bytes = bytes.saturating_add(size_of(line).unwrap_or_default());
        }
    }

    fn merge(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count += more;
        }
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.archived_bytes = self.archived_bytes.saturating_add(other.archived_bytes);
    }

    fn of(&self, outcome: ActionOutcome) -> usize {
        OUTCOMES
            .into_iter()
            .zip(self.counts)
            .find(|(o, _)| *o == outcome)
            .map_or(0, |(_, count)| count)
    }

    fn all(&self) -> usize {
        self.counts.iter().sum()
    }
}

fn size_of(line: &ActionLine) -> Option<u64> {
    line.detail.get("size_bytes").and_then(Value::as_u64)
}

fn time_of(line: &ActionLine) -> Option<Timestamp> {
    ["pushed_at", "created_at"]
        .into_iter()
        .find_map(|key| line.detail.get(key)?.as_str()?.parse().ok())
}

fn tags_of(line: &ActionLine) -> Option<String> {
    let tags: Vec<&str> = line
        .detail
        .get("tags")?
        .as_array()?
        .iter()
        .filter_map(Value::as_str)
        .collect();
    Some(match tags.as_slice() {
        [] => "-".to_owned(),
        [one] => shortened(one, TAG_CHARS),
        [one, more @ ..] => format!("{}, +{}", shortened(one, TAG_CHARS), more.len()),
    })
}

/// What a resource is called where its repository has been named: its digest,
/// as far as people read it.
fn name_in_unit(line: &ActionLine) -> String {
    let digest = line.detail.get("digest").and_then(Value::as_str);
    match digest.and_then(|digest| digest.strip_prefix("sha256:")) {
        Some(hex) if line.detail.contains_key("repository") => hex.chars().take(12).collect(),
        _ => line.resource.clone(),
    }
}

/// Columns for what the actions tell of themselves.
fn detail_table(lines: &[&ActionLine], now: Timestamp) -> (Vec<Column<'static>>, Vec<Vec<String>>) {
    let any = |has: fn(&ActionLine) -> bool| lines.iter().any(|line| has(line));
    let kinds: BTreeSet<&str> = lines.iter().map(|line| line.kind.as_str()).collect();
    let kind = kinds.len() > 1;
    let tagged = any(|line| tags_of(line).is_some());
    let timed = any(|line| time_of(line).is_some());
    let sized = any(|line| size_of(line).is_some());
    let mut columns = vec![Column::name("resource")];
    columns.extend(kind.then(|| Column::text("what")));
    columns.extend(tagged.then(|| Column::text("tags")));
    columns.extend(timed.then(|| Column::number("age")));
    columns.extend(sized.then(|| Column::number("size")));
    columns.push(Column::text("reason"));
    let unknown = || "-".to_owned();
    let rows = lines.iter().map(|line| {
        let mut row = vec![name_in_unit(line)];
        row.extend(kind.then(|| line.kind.clone()));
        row.extend(tagged.then(|| tags_of(line).unwrap_or_else(unknown)));
        row.extend(timed.then(|| time_of(line).map_or_else(unknown, |then| age(then, now))));
        row.extend(sized.then(|| size_of(line).map_or_else(unknown, bytes)));
        row.push(line.reason.clone());
        row
    });
    (columns, rows.collect())
}

/// Every reason code with its sentence, or with one of its sentences.
fn reasons<'a>(lines: impl Iterator<Item = &'a ActionLine>) -> Vec<(String, String)> {
    let mut sentences: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for line in lines {
        if let Some(because) = line.detail.get("because").and_then(Value::as_str) {
            sentences.entry(&line.reason).or_default().insert(because);
        }
    }
    let told = sentences.into_iter().filter_map(|(code, sentences)| {
        let first = sentences.first()?;
        let text = match sentences.len() {
            1 => (*first).to_owned(),
            _ => format!("for example, {first}"),
        };
        Some((plain(code), text))
    });
    told.collect()
}

/// Things that have their error in common.
struct Group {
    text: String,
    count: usize,
    names: BTreeSet<String>,
}

/// Groups actions by their error; errors that differ in digests only are one.
/// The largest group comes first.
fn group<'a>(
    lines: impl Iterator<Item = &'a ActionLine>,
    name: impl Fn(&ActionLine) -> String,
) -> Vec<Group> {
    let mut groups: BTreeMap<String, (BTreeSet<&str>, Group)> = BTreeMap::new();
    for line in lines {
        let error = line.error.as_deref().unwrap_or("no cause is given");
        let (texts, group) = groups.entry(without_digests(error)).or_insert_with(|| {
            let group = Group {
                text: String::new(),
                count: 0,
                names: BTreeSet::new(),
            };
            (BTreeSet::new(), group)
        });
        texts.insert(error);
        group.count += 1;
        group.names.insert(name(line));
    }
    let mut groups: Vec<Group> = groups
        .into_iter()
        .map(|(blank, (texts, group))| {
            let text = match texts.first() {
                Some(text) if texts.len() == 1 => (*text).to_owned(),
                _ => blank,
            };
            Group { text, ..group }
        })
        .collect();
    groups.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.text.cmp(&b.text)));
    groups
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars
        .next()
        .map(|first| first.to_uppercase().chain(chars).collect())
        .unwrap_or_default()
}

/// The beginning of a long text.
fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most).chain("…".chars()).collect()
}

#[cfg(test)]
pub(crate) mod tests;
