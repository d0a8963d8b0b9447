//! The answer of every function, and of `steward … --json`.
//!
//! Its shape is a contract; the JSON Schema is `shared/schema/report.schema.json`.
//! Nothing in it may hold a secret.

use std::collections::BTreeMap;
use std::io;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::engine::{Function, Gap, Mode, Outcome, Trigger, Wait};
use crate::entry::{Entries, EntryOf, Held, Standing};

/// The largest report that leaves a function, in bytes of JSON. Lambda takes
/// 6 MB as an answer, but Step Functions and EventBridge take 256 KB
/// (Step Functions service quotas, "maximum input or output size").
pub const MAX_BYTES: usize = 200_000;

/// More actions than a report of [`MAX_BYTES`] has room for: the JSON of one
/// takes more than 100 bytes.
pub const MOST_LINES: usize = MAX_BYTES / 100;

/// How many examples stand for a reason to keep.
const EXAMPLES: usize = 3;

/// How many bytes of JSON each of refusals, gaps, warnings and kept reasons
/// takes in a bounded report: half of it together, so that actions have the
/// other half.
const BOUNDED_LIST: usize = 25_000;

/// How many bytes of JSON a text takes in a bounded report.
const BOUNDED_TEXT: usize = 600;

/// How many bytes of JSON the details of one action take in a bounded report.
const BOUNDED_DETAIL: usize = 2_000;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// A plan with changes.
    Planned,
    /// Everything planned is done.
    Applied,
    /// There was nothing to do.
    NothingToDo,
    /// Nothing was done because a guard, a switch or the mode forbids it.
    Refused,
    /// Some was done, and something failed, was refused, skipped or not reached.
    Partial,
    /// The work goes on later; see `wait`.
    Waiting,
    /// Nothing was done because something failed.
    Failed,
}

impl Status {
    /// The word of the report.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Applied => "applied",
            Self::NothingToDo => "nothing_to_do",
            Self::Refused => "refused",
            Self::Partial => "partial",
            Self::Waiting => "waiting",
            Self::Failed => "failed",
        }
    }
}

/// How one action ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ActionOutcome {
    /// Wanted; this was a plan.
    Planned,
    /// Done now.
    Done,
    /// It was so already.
    AlreadyDone,
    /// Wanted, and left for later; `error` says why.
    Deferred,
    /// The re-check said no, or it has drifted from its plan file.
    Skipped,
    /// It failed.
    Failed,
}

/// The sums of a report. `observed = kept + deferred + planned` always, and
/// after apply `planned = done + already_done + skipped + failed`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Summary {
    /// Things seen.
    pub observed: usize,
    /// Things that stay as they are.
    pub kept: usize,
    /// Things whose change is wanted and left for later.
    pub deferred: usize,
    /// Changes that the guards let through.
    pub planned: usize,
    /// Of these, done now.
    pub done: usize,
    /// Of these, so already.
    pub already_done: usize,
    /// Of these, skipped.
    pub skipped: usize,
    /// Of these, failed.
    pub failed: usize,
}

impl Summary {
    /// Counts one observed thing.
    pub(crate) fn count<A>(&mut self, standing: &Standing<A>) {
        self.observed += 1;
        match standing {
            Standing::Kept => self.kept += 1,
            Standing::Deferred | Standing::Held(..) => self.deferred += 1,
            Standing::Wanted(_) => self.planned += 1,
            Standing::Ended(_, outcome) => {
                self.planned += 1;
                match outcome {
                    Outcome::Done => self.done += 1,
                    Outcome::AlreadyDone => self.already_done += 1,
                    Outcome::Skipped(_) => self.skipped += 1,
                    Outcome::Failed(_) => self.failed += 1,
                }
            }
        }
    }
}

/// One wanted change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ActionLine {
    /// What is done, such as `delete_image`; `none` for a thing that is
    /// deferred before its change could be described.
    pub kind: String,
    /// ARN, or `repository@digest`.
    pub resource: String,
    /// Whose it is (12 digits).
    pub account: String,
    /// Where it is.
    pub region: String,
    /// The code of the reason.
    pub reason: String,
    /// Parameters worth showing, and the reason as a sentence in `because`.
    pub detail: Map<String, Value>,
    /// What became of it.
    pub outcome: ActionOutcome,
    /// Why it was deferred, skipped or failed.
    pub error: Option<String>,
}

/// Things kept for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KeptLine {
    /// The code of the reason.
    pub reason: String,
    /// How many.
    pub count: usize,
    /// A few of them, with the reason as a sentence.
    pub examples: Vec<String>,
}

/// A guard that said no.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Refusal {
    /// The name of the guard.
    pub guard: String,
    /// The unit it protects, or `run`.
    pub unit: String,
    /// What it saw and what it allows.
    pub detail: String,
}

impl Refusal {
    /// A refusal of `guard` for `unit`.
    pub fn new(guard: &str, unit: &str, detail: &str) -> Self {
        Self {
            guard: guard.to_owned(),
            unit: unit.to_owned(),
            detail: detail.to_owned(),
        }
    }
}

/// A read that failed, was denied or came back incomplete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GapLine {
    /// The read and why it failed.
    pub read: String,
    /// The units it could hide, or `everything`.
    pub hides: String,
    /// The IAM action to grant if it was denied.
    pub grant: String,
}

impl From<&Gap> for GapLine {
    fn from(gap: &Gap) -> Self {
        Self {
            read: gap.read.clone(),
            hides: gap.hides.to_string(),
            grant: gap.grant.clone(),
        }
    }
}

/// The report of one run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    /// Of this shape: 1.
    pub schema_version: u32,
    /// Which function.
    pub function: String,
    /// Which of its operations.
    pub operation: String,
    /// How it ended.
    pub status: Status,
    /// What it was allowed to do.
    pub mode: Mode,
    /// Unique per run; also in every log line of the run.
    pub run_id: String,
    /// What woke it.
    pub trigger: Trigger,
    /// Whose resources these are (12 digits).
    pub account: String,
    /// Where they are.
    pub region: String,
    /// RFC 3339.
    #[schemars(with = "String")]
    pub started_at: Timestamp,
    /// RFC 3339.
    #[schemars(with = "String")]
    pub finished_at: Timestamp,
    /// `sha256:` of the policy that was in force, defaults included.
    pub policy_digest: String,
    /// `sha256:` of what was planned; equal plans have equal digests.
    pub plan_digest: String,
    /// The sums.
    pub summary: Summary,
    /// Wanted changes and what became of them.
    pub actions: Vec<ActionLine>,
    /// How many there are, also when `actions` was shortened.
    pub actions_total: usize,
    /// Whether something was left out to stay under [`MAX_BYTES`].
    pub truncated: bool,
    /// Why things were kept.
    pub kept: Vec<KeptLine>,
    /// What guards refused.
    pub refusals: Vec<Refusal>,
    /// What could not be read.
    pub gaps: Vec<GapLine>,
    /// What a person should know.
    pub warnings: Vec<String>,
    /// What is waited for, if the work goes on later.
    pub wait: Option<Wait>,
}

/// The JSON Schema of a report.
pub fn schema() -> schemars::Schema {
    schemars::schema_for!(Report)
}

impl Report {
    /// Writes down what became of every entry, and what that adds up to; of
    /// more than `most_lines` actions only the first of [`rank`].
    pub(crate) fn tell<F: Function>(&mut self, entries: &Entries<F>, most_lines: usize) -> Status {
        let mut kept: BTreeMap<&'static str, KeptLine> = BTreeMap::new();
        self.summary = Summary::default();
        let mut told: Vec<&EntryOf<F>> = vec![];
        for entry in entries {
            self.summary.count(&entry.standing);
            if !matches!(entry.standing, Standing::Kept) {
                told.push(entry);
                continue;
            }
            let code = entry.code();
            let line = kept.entry(code).or_insert_with(|| KeptLine {
                reason: code.to_owned(),
                count: 0,
                examples: vec![],
            });
            line.count += 1;
            if line.examples.len() < EXAMPLES {
                line.examples.push(match &entry.reason {
                    Some(because) => format!("{}: {because}", entry.target),
                    None => entry.target.clone(),
                });
            }
        }
        self.kept = kept.into_values().collect();
        self.actions_total = told.len();
        if told.len() > most_lines {
            told.sort_by_key(|entry| rank(&entry.standing));
            told.truncate(most_lines);
            self.truncated = true;
        }
        self.actions = told
            .into_iter()
            .filter_map(|entry| self.line::<F>(entry))
            .collect();
        let unreached = entries
            .iter()
            .any(|e| matches!(e.standing, Standing::Held(_, Held::NotReached(_))));
        self.status(unreached)
    }

    /// The line of an entry; `None` for one that is kept.
    pub(crate) fn line<F: Function>(&self, entry: &EntryOf<F>) -> Option<ActionLine> {
        let because = entry.reason.as_ref().map(ToString::to_string);
        let (outcome, error) = match &entry.standing {
            Standing::Kept => return None,
            Standing::Deferred => (ActionOutcome::Deferred, because.clone()),
            Standing::Held(_, held) => (ActionOutcome::Deferred, Some(held.sentence())),
            Standing::Wanted(_) => (ActionOutcome::Planned, None),
            Standing::Ended(_, Outcome::Done) => (ActionOutcome::Done, None),
            Standing::Ended(_, Outcome::AlreadyDone) => (ActionOutcome::AlreadyDone, None),
            Standing::Ended(_, Outcome::Skipped(why)) => {
                (ActionOutcome::Skipped, Some(why.clone()))
            }
            Standing::Ended(_, Outcome::Failed(error)) => {
                (ActionOutcome::Failed, Some(error.clone()))
            }
        };
        let (kind, resource, mut detail, elsewhere) = match entry.action() {
            Some(action) => {
                let view = F::view(action);
                (F::kind(action), view.resource, view.detail, view.elsewhere)
            }
            None => ("none", entry.target.clone(), Map::new(), None),
        };
        let (account, region) = match elsewhere {
            Some(place) => {
                let account = place.account.unwrap_or_else(|| self.account.clone());
                (account, place.region)
            }
            None => (self.account.clone(), self.region.clone()),
        };
        if let Some(because) = because {
            detail.insert("because".to_owned(), Value::String(because));
        }
        Some(ActionLine {
            kind: kind.to_owned(),
            resource,
            account,
            region,
            reason: entry.code().to_owned(),
            detail,
            outcome,
            error,
        })
    }

    /// The status that the sums, refusals and the wait add up to.
    fn status(&self, unreached: bool) -> Status {
        let sums = &self.summary;
        let refused = !self.refusals.is_empty();
        // In a plan these come from a plan file that is done or has drifted.
        let ended = sums.already_done + sums.skipped;
        match self.mode {
            Mode::Plan if sums.planned > ended => Status::Planned,
            Mode::Plan if refused => Status::Refused,
            Mode::Plan if self.wait.is_some() => Status::Waiting,
            Mode::Plan => Status::NothingToDo,
            Mode::Apply => {
                let good = sums.done + sums.already_done;
                let whole = sums.failed == 0 && sums.skipped == 0 && !refused && !unreached;
                if whole {
                    match (self.wait.is_some(), sums.planned) {
                        (true, _) => Status::Waiting,
                        (false, 0) => Status::NothingToDo,
                        (false, _) => Status::Applied,
                    }
                } else if good > 0 {
                    Status::Partial
                } else if sums.failed > 0 || (unreached && !refused) {
                    Status::Failed
                } else {
                    // A guard, a switch, or the re-check said no to all of it.
                    Status::Refused
                }
            }
        }
    }

    /// Ends the report and writes the one summary line of the run.
    pub(crate) fn finish(mut self, now: Timestamp, status: Status) -> Self {
        self.status = status;
        self.finished_at = now;
        let sums = &self.summary;
        tracing::info!(
            run.id = %self.run_id,
            run.operation = self.operation,
            run.status = status.as_str(),
            run.mode = self.mode.as_str(),
            run.observed = sums.observed,
            run.kept = sums.kept,
            run.deferred = sums.deferred,
            run.planned = sums.planned,
            run.done = sums.done,
            run.already_done = sums.already_done,
            run.skipped = sums.skipped,
            run.failed = sums.failed,
            run.refusals = self.refusals.len(),
            run.gaps = self.gaps.len(),
            plan.digest = %self.plan_digest,
            policy.digest = %self.policy_digest,
            "{} {}: {}, {} observed, {} kept, {} deferred, {} planned, {} done, {} failed",
            self.function,
            self.operation,
            status.as_str(),
            sums.observed,
            sums.kept,
            sums.deferred,
            sums.planned,
            sums.done,
            sums.failed,
        );
        self
    }

    /// The report under [`MAX_BYTES`]: failures are kept before successes, and
    /// long lists and texts are cut.
    pub fn bounded(&self) -> Self {
        if bytes(self) <= MAX_BYTES {
            return self.clone();
        }
        let mut small = self.head();
        small.truncated = true;
        let mut left_out = vec![];
        let mut note = |what: &str, all: usize, shown: usize| {
            if shown < all {
                left_out.push(format!("{} of {all} {what}", all - shown));
            }
        };
        small.refusals = fitting(&self.refusals, BOUNDED_LIST, Refusal::cut);
        note("refusals", self.refusals.len(), small.refusals.len());
        small.gaps = fitting(&self.gaps, BOUNDED_LIST, GapLine::cut);
        note("gaps", self.gaps.len(), small.gaps.len());
        small.kept = fitting(&self.kept, BOUNDED_LIST, KeptLine::cut);
        note("reasons to keep", self.kept.len(), small.kept.len());
        small.warnings = fitting(&self.warnings, BOUNDED_LIST, cut);
        note("warnings", self.warnings.len(), small.warnings.len());
        if !left_out.is_empty() {
            let text = format!(
                "left out of this report for its size: {}",
                left_out.join(", ")
            );
            small.warnings.push(text);
        }

        let mut lines: Vec<&ActionLine> = self.actions.iter().collect();
        lines.sort_by_key(|line| match line.outcome {
            ActionOutcome::Failed => 0,
            ActionOutcome::Skipped => 1,
            ActionOutcome::Done | ActionOutcome::AlreadyDone | ActionOutcome::Planned => 2,
            ActionOutcome::Deferred => 3,
        });
        let room = MAX_BYTES.saturating_sub(bytes(&small));
        small.actions = fitting(lines, room, |line| line.cut());
        small
    }

    /// What there is one of, cut short, without the lists.
    fn head(&self) -> Self {
        let mut head = Self {
            function: self.function.clone(),
            operation: self.operation.clone(),
            run_id: self.run_id.clone(),
            account: self.account.clone(),
            region: self.region.clone(),
            policy_digest: self.policy_digest.clone(),
            plan_digest: self.plan_digest.clone(),
            actions: vec![],
            kept: vec![],
            refusals: vec![],
            gaps: vec![],
            warnings: vec![],
            wait: self.wait.clone(),
            ..*self
        };
        cut(&mut head.run_id);
        if let Some(wait) = &mut head.wait {
            cut(&mut wait.what);
        }
        head
    }

    /// Whether the sums add up as the contract says.
    pub fn sums_hold(&self) -> bool {
        let sums = &self.summary;
        let ended = sums.done + sums.already_done + sums.skipped + sums.failed;
        sums.observed == sums.kept + sums.deferred + sums.planned
            && (self.mode == Mode::Plan || sums.planned == ended)
    }
}

/// What is told first where there is no room for all: failures, and of what
/// waits for a later run what was not reached in this one.
fn rank<A>(standing: &Standing<A>) -> u8 {
    match standing {
        Standing::Ended(_, Outcome::Failed(_)) => 0,
        Standing::Ended(_, Outcome::Skipped(_)) => 1,
        Standing::Ended(_, Outcome::Done | Outcome::AlreadyDone) | Standing::Wanted(_) => 2,
        Standing::Held(_, Held::NotReached(_)) => 3,
        Standing::Held(..) | Standing::Deferred | Standing::Kept => 4,
    }
}

/// As many of these as take no more than `room` bytes of JSON, each cut first.
fn fitting<'a, T: Clone + Serialize + 'a>(
    all: impl IntoIterator<Item = &'a T>,
    mut room: usize,
    cut: impl Fn(&mut T),
) -> Vec<T> {
    let mut some = vec![];
    for line in all {
        let mut line = line.clone();
        cut(&mut line);
        // One more for the comma between lines.
        let size = bytes(&line).saturating_add(1);
        if size > room {
            break;
        }
        room -= size;
        some.push(line);
    }
    some
}

impl Refusal {
    fn cut(&mut self) {
        for text in [&mut self.guard, &mut self.unit, &mut self.detail] {
            cut(text);
        }
    }
}

impl GapLine {
    fn cut(&mut self) {
        for text in [&mut self.read, &mut self.hides, &mut self.grant] {
            cut(text);
        }
    }
}

impl KeptLine {
    fn cut(&mut self) {
        cut(&mut self.reason);
        self.examples.iter_mut().for_each(cut);
    }
}

impl ActionLine {
    fn cut(&mut self) {
        let texts = [&mut self.kind, &mut self.resource, &mut self.reason];
        texts.into_iter().chain(&mut self.error).for_each(cut);
        if bytes(&self.detail) > BOUNDED_DETAIL {
            self.detail = fitting_detail(std::mem::take(&mut self.detail));
        }
    }
}

/// The reason first, and of the other details what there is room for.
fn fitting_detail(mut whole: Map<String, Value>) -> Map<String, Value> {
    let total = whole.len();
    let mut small = Map::new();
    let mut room = BOUNDED_DETAIL;
    let because = whole.remove_entry("because");
    for (key, mut value) in because.into_iter().chain(whole) {
        if let Value::String(text) = &mut value {
            cut(text);
        }
        // Quotes, colon and comma are less than eight.
        let size = key.len() * MOST_BYTES_OF_A_BYTE + bytes(&value) + 8;
        if size <= room {
            room -= size;
            small.insert(key, value);
        }
    }
    if small.len() < total {
        let more = format!("{} more, left out for their size", total - small.len());
        small.insert("…".to_owned(), more.into());
    }
    small
}

/// A control character is one byte of text and six of JSON.
const MOST_BYTES_OF_A_BYTE: usize = 6;

fn bytes(value: &impl Serialize) -> usize {
    struct Count(usize);
    impl io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    serde_json::to_writer(&mut count, value).map_or(usize::MAX, |()| count.0)
}

/// Cuts a text that takes more than [`BOUNDED_TEXT`] bytes of JSON.
fn cut(text: &mut String) {
    if text.len() * MOST_BYTES_OF_A_BYTE <= BOUNDED_TEXT {
        return;
    }
    let mut room = BOUNDED_TEXT;
    let too_long = text.char_indices().find_map(|(at, c)| {
        let size = match c {
            '"' | '\\' => 2,
            c if c.is_control() => MOST_BYTES_OF_A_BYTE,
            c => c.len_utf8(),
        };
        room = room.saturating_sub(size);
        (room == 0).then_some(at)
    });
    if let Some(at) = too_long {
        text.truncate(at);
        text.push('…');
    }
}
