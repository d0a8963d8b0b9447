//! The cycle: gate, observe, decide, judge, act, report. The same for every
//! function.
//!
//! It must never decide *what* to do, and it must never let through what a
//! gap, a guard, a switch or the mode forbids.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use futures::{StreamExt, stream};
use tokio::time::{Instant, timeout_at};

use crate::engine::{
    Act, After, Change, Clock, Deadline, Function, Leash, Mode, Observe, Outcome, Reason, Trigger,
};
use crate::entry::{Entries, Entry, Held, Standing};
use crate::guard;
use crate::plan_file::{self, PlanFile};
use crate::policy::PolicyDocument;
use crate::report::{ActionLine, Refusal, Report, Status, Summary};
use crate::switches::{Position, Switches};
use crate::tally::{self, UnitTally};

/// How many lanes run side by side.
pub const LANES_AT_ONCE: usize = 8;

/// Everything about a run that is not the function's own.
#[derive(Debug)]
pub struct Context<'a> {
    /// Whose resources these are (12 digits).
    pub account: String,
    /// Where they are.
    pub region: String,
    /// Unique per run.
    pub run_id: String,
    /// What the run may do at most.
    pub leash: Leash,
    /// What time it is.
    pub clock: Clock,
    /// When the Lambda will be killed; `None` by hand.
    pub deadline: Option<Deadline>,
    /// The kill switches, read before every batch of writes.
    pub switches: &'a Switches,
    /// How many actions the report lists at most, failures first.
    pub most_lines: usize,
}

/// What a run is asked to do.
#[derive(Debug)]
pub struct Request<F: Function> {
    /// One of [`Function::OPERATIONS`].
    pub operation: &'static str,
    /// What the event or the subcommand asks for; `None` is the leash's.
    pub mode: Option<Mode>,
    /// What woke us.
    pub trigger: Trigger,
    /// The resolved scope.
    pub scope: F::Scope,
    /// A reviewed plan: only what is in it is done.
    pub plan_file: Option<PlanFile<F>>,
    /// What the event parser could not make sense of but could do without.
    pub warnings: Vec<String>,
}

/// What a run leaves behind.
pub struct Run<F: Function> {
    /// The whole report, but for [`Context::most_lines`]; [`Report::bounded`] is
    /// for the outside.
    pub report: Report,
    /// What it comes to in each unit, by name.
    pub units: Vec<UnitTally>,
    /// The scope it was for.
    pub scope: F::Scope,
    entries: Entries<F>,
    /// The numbers of the entries whose changes stand after the guards.
    planned: Vec<usize>,
    /// These, and those that only a limit holds back which a reviewed plan may
    /// exceed.
    for_review: Vec<usize>,
}

impl<F: Function> Run<F> {
    /// The actions that stand after the guards.
    pub fn planned(&self) -> Vec<&F::Action> {
        actions(&self.entries, &self.planned)
    }

    /// A line for every action that is planned or has ended, also where the
    /// report lists only some.
    pub fn lines(&self) -> impl Iterator<Item = ActionLine> {
        let told = self.entries.iter().filter(|entry| entry.is_planned());
        told.filter_map(|entry| self.report.line::<F>(entry))
    }

    /// Its plan as a file, with what only a limit holds back that a
    /// reviewed plan may exceed.
    pub fn plan_file(&self) -> PlanFile<F> {
        let actions = actions(&self.entries, &self.for_review);
        PlanFile {
            schema_version: 1,
            function: F::NAME.to_owned(),
            operation: self.report.operation.clone(),
            account: self.report.account.clone(),
            region: self.report.region.clone(),
            created_at: self.report.finished_at,
            policy_digest: self.report.policy_digest.clone(),
            plan_digest: plan_file::digest::<F>(
                &self.report.operation,
                &self.report.account,
                &self.report.region,
                &self.scope,
                &actions,
            ),
            scope: self.scope.clone(),
            actions: actions.into_iter().cloned().collect(),
        }
    }
}

/// One run of a function, from gate to report.
///
/// Dropping the future at any await is the same as being killed there; a later
/// run finishes the work.
pub async fn run<F: Function>(
    hands: &(impl Observe<F> + Act<F>),
    context: &Context<'_>,
    policy: &PolicyDocument<F::Policy>,
    request: Request<F>,
) -> Run<F> {
    let mode = request.mode.unwrap_or(context.leash.0);
    let mut report = begin::<F>(context, policy, &request, mode);
    let ended = |report: Report| Run {
        report,
        units: vec![],
        scope: request.scope.clone(),
        entries: vec![],
        planned: vec![],
        for_review: vec![],
    };

    if let Some(refusal) = gate::<F>(context, policy, &request, mode).await {
        report.refusals.push(refusal);
        return ended(report.finish(context.clock.now(), Status::Refused));
    }

    let now = context.clock.now();
    let observing = hands.observe(policy.policy(), &request.scope);
    let Some(seen) = until(context.deadline.map(|d| d.last_start), observing).await else {
        report.warnings.push(
            "time ran out while reading, and nothing was changed: give the function a longer \
             timeout, or select less in its policy"
                .to_owned(),
        );
        return ended(report.finish(context.clock.now(), Status::Failed));
    };
    report.gaps = seen.gaps.iter().map(Into::into).collect();
    report.warnings.extend(seen.warnings.iter().cloned());

    let plan = F::decide(policy.policy(), &request.scope, &seen, now);
    report.wait = plan.wait;
    let needs = plan.needs.iter();
    report
        .warnings
        .extend(needs.map(|need| format!("{}: {}", need.unit, need.what)));
    let watched = (plan.needs, plan.measures);
    let mut entries: Entries<F> = plan.items.into_iter().map(Entry::of).collect();
    let limits = F::run_limits(policy.policy());
    let of_unit = |unit: &str| F::unit_limits(policy.policy(), unit);

    report
        .refusals
        .extend(guard::refuse_hidden(&mut entries, &seen.gaps));
    let exceeding = match &request.plan_file {
        Some(file) => {
            plan_file::reconcile::<F>(file, &seen.world, &mut entries);
            limits.reviewed_plan_may_exceed.clone()
        }
        None => Default::default(),
    };
    // Before the limits, so that what cannot go takes no place under them, and
    // after them, for what must come after something they hold back.
    hold_dependants(&mut entries);
    report
        .refusals
        .extend(guard::limit(&mut entries, &limits, of_unit, &exceeding));
    hold_dependants(&mut entries);

    let planned: Vec<usize> = (0..entries.len())
        .filter(|n| entries[*n].wanted().is_some())
        .collect();
    let for_review = for_review(&entries, &limits.reviewed_plan_may_exceed);
    report.plan_digest = plan_file::digest::<F>(
        request.operation,
        &context.account,
        &context.region,
        &request.scope,
        &actions(&entries, &planned),
    );

    if mode == Mode::Apply {
        let stopped = execute::<F>(hands, context, policy.policy(), &mut entries).await;
        report.refusals.extend(stopped);
        // What is not given back in time expires.
        let last_answer = context.deadline.map(|deadline| deadline.last_answer);
        let told = until(last_answer, hands.finish()).await;
        report.warnings.extend(told.unwrap_or_default());
    }
    let status = report.tell::<F>(&entries, context.most_lines);
    Run {
        units: tally::by_unit::<F>(&entries, &report.refusals, &seen.gaps, watched),
        report: report.finish(context.clock.now(), status),
        scope: request.scope,
        entries,
        planned,
        for_review,
    }
}

/// The actions of the entries with these numbers.
fn actions<'a, A, R>(entries: &'a [Entry<A, R>], numbers: &[usize]) -> Vec<&'a A> {
    let numbered = numbers.iter().map(|n| &entries[*n]);
    numbered.filter_map(Entry::action).collect()
}

/// The report of a run that has not done anything yet.
fn begin<F: Function>(
    context: &Context<'_>,
    policy: &PolicyDocument<F::Policy>,
    request: &Request<F>,
    mode: Mode,
) -> Report {
    let now = context.clock.now();
    let warnings = policy
        .warnings()
        .iter()
        .chain(&request.warnings)
        .cloned()
        .collect();
    Report {
        schema_version: 1,
        function: F::NAME.to_owned(),
        operation: request.operation.to_owned(),
        status: Status::Failed,
        mode,
        run_id: context.run_id.clone(),
        trigger: request.trigger,
        account: context.account.clone(),
        region: context.region.clone(),
        started_at: now,
        finished_at: now,
        policy_digest: policy.digest().to_owned(),
        plan_digest: plan_file::digest::<F>(
            request.operation,
            &context.account,
            &context.region,
            &request.scope,
            &[],
        ),
        summary: Summary::default(),
        actions: vec![],
        actions_total: 0,
        truncated: false,
        kept: vec![],
        refusals: vec![],
        gaps: vec![],
        warnings,
        wait: None,
    }
}

/// What a person may decide on: what the guards let through, what only a limit
/// holds back that a reviewed plan may exceed, and what waits for these.
fn for_review<A, R: Reason>(entries: &[Entry<A, R>], may_exceed: &BTreeSet<String>) -> Vec<usize> {
    let mut order: Vec<(u8, usize)> = entries
        .iter()
        .enumerate()
        .filter_map(|(n, entry)| entry.change().map(|change| (change.pass, n)))
        .collect();
    order.sort_by_key(|(pass, _)| *pass);
    let mut listed: HashSet<&str> = HashSet::new();
    let mut numbers = Vec::new();
    for (_, n) in order {
        let entry = &entries[n];
        let may = match &entry.standing {
            Standing::Wanted(_) => true,
            Standing::Held(_, Held::Guard(guard)) => may_exceed.contains(*guard),
            Standing::Held(_, Held::After(target)) => listed.contains(target.as_str()),
            _ => false,
        };
        if may {
            listed.insert(&entry.target);
            numbers.push(n);
        }
    }
    numbers.sort_unstable();
    numbers
}

/// The one gate for the plan file, the mode, the explicit policy and the kill
/// switches.
async fn gate<F: Function>(
    context: &Context<'_>,
    policy: &PolicyDocument<F::Policy>,
    request: &Request<F>,
    mode: Mode,
) -> Option<Refusal> {
    if let Some(file) = &request.plan_file
        && let Err(error) = file.fits(request.operation, &context.account, &context.region)
    {
        return Some(Refusal::new(guard::PLAN_FILE, "run", &error.to_string()));
    }
    if mode == Mode::Plan {
        return None;
    }
    if context.leash.0 == Mode::Plan {
        let detail = match request.trigger {
            Trigger::Cli => {
                "the event asks for apply, but the subcommand is plan; use apply to let it act"
            }
            _ => {
                "the event asks for apply, but this function's leash is plan; set \
                 STEWARD_MODE=apply on the function to let it act"
            }
        };
        return Some(Refusal::new(guard::MODE, "run", detail));
    }
    if !policy.selects_targets() {
        return Some(Refusal::new(
            guard::EXPLICIT_POLICY,
            "run",
            "apply needs a policy that selects its targets (\"*\" is an explicit choice), and \
             none was given",
        ));
    }
    match read_switches(context, context.deadline.map(|d| d.last_start)).await {
        Position::Run => None,
        Position::Stop(why) => Some(Refusal::new(guard::KILL_SWITCH, "run", &why)),
    }
}

/// What the switches say; when they do not say it in time, stop, so that the
/// report still gets out.
async fn read_switches(context: &Context<'_>, deadline: Option<Instant>) -> Position {
    until(deadline, context.switches.read())
        .await
        .unwrap_or_else(|| {
            Position::Stop("the kill switches cannot be read in time, which means stop".to_owned())
        })
}

/// The future's answer, or `None` when it is not there in time.
async fn until<T>(deadline: Option<Instant>, future: impl Future<Output = T>) -> Option<T> {
    match deadline {
        Some(deadline) => timeout_at(deadline, future).await.ok(),
        None => Some(future.await),
    }
}

/// A change waits when one that it must come after is not made.
fn hold_dependants<A: Clone, R: Reason>(entries: &mut [Entry<A, R>]) {
    let by_itself =
        |change: &Change<A>| matches!(&change.after, After::Targets(before) if before.is_empty());
    if entries.iter().filter_map(Entry::wanted).all(by_itself) {
        return;
    }
    let mut staying: HashSet<String> = HashSet::new();
    let mut wanted: HashMap<String, Vec<(usize, String, u8)>> = HashMap::new();
    // In each lane, the first pass with a change that is held back, and whose.
    let mut broken: HashMap<String, (u8, String)> = HashMap::new();
    for (n, entry) in entries.iter().enumerate() {
        match &entry.standing {
            Standing::Wanted(change) => wanted.entry(entry.target.clone()).or_default().push((
                n,
                change.lane.clone(),
                change.pass,
            )),
            Standing::Ended(_, Outcome::AlreadyDone | Outcome::Done) => {}
            Standing::Held(change, _)
            | Standing::Ended(change, Outcome::Skipped(_) | Outcome::Failed(_)) => {
                staying.insert(entry.target.clone());
                break_pass(&mut broken, change, &entry.target);
            }
            Standing::Kept | Standing::Deferred => {
                staying.insert(entry.target.clone());
            }
        }
    }
    // What must come after something is in a later pass than it, so that one
    // sweep in the order of passes finds every consequence.
    let mut order: Vec<usize> = (0..entries.len())
        .filter(|n| entries[*n].wanted().is_some())
        .collect();
    order.sort_by_key(|n| entries[*n].wanted().map(|change| change.pass));
    for n in order {
        let Some(change) = entries[n].wanted().cloned() else {
            continue;
        };
        let held = match &change.after {
            After::EarlierPasses => broken
                .get(&change.lane)
                .filter(|(pass, _)| *pass < change.pass)
                .map(|(_, target)| Held::After(target.clone())),
            After::Targets(before) => before.iter().find_map(|target| {
                // Lanes run side by side and so do the changes of a pass: the
                // order of these is only kept from one run to the next.
                let comes_first = |(other, lane, pass): &(usize, String, u8)| {
                    *other == n || (*lane == change.lane && *pass < change.pass)
                };
                if staying.contains(target) {
                    Some(Held::After(target.clone()))
                } else if wanted
                    .get(target)
                    .is_some_and(|all| !all.iter().all(comes_first))
                {
                    Some(Held::AfterThisRun(target.clone()))
                } else {
                    None
                }
            }),
        };
        if let Some(held) = held {
            staying.insert(entries[n].target.clone());
            break_pass(&mut broken, &change, &entries[n].target);
            entries[n].hold(held);
        }
    }
}

/// Notes that a change of this lane and pass is not made.
fn break_pass<A>(broken: &mut HashMap<String, (u8, String)>, change: &Change<A>, target: &str) {
    let first = broken
        .entry(change.lane.clone())
        .or_insert_with(|| (change.pass, target.to_owned()));
    if change.pass < first.0 {
        *first = (change.pass, target.to_owned());
    }
}

/// Why a lane stops.
enum Halt {
    /// The whole run stops: deadline or kill switch.
    Run(String, Option<Refusal>),
    /// A whole batch failed, so the rest of the lane would as well.
    Lane(String),
}

/// Does what is wanted, lanes side by side and the passes of a lane in order.
/// Returns the refusal of a kill switch that was thrown on the way.
async fn execute<F: Function>(
    hands: &impl Act<F>,
    context: &Context<'_>,
    policy: &F::Policy,
    entries: &mut Entries<F>,
) -> Option<Refusal> {
    let mut lanes: BTreeMap<String, BTreeMap<u8, Vec<usize>>> = BTreeMap::new();
    for (n, entry) in entries.iter().enumerate() {
        if let Some(change) = entry.wanted() {
            lanes
                .entry(change.lane.clone())
                .or_default()
                .entry(change.pass)
                .or_default()
                .push(n);
        }
    }
    let plan = &*entries;
    let results: Vec<LaneResult> = stream::iter(lanes.into_values())
        .map(|passes| run_lane::<F, _>(hands, context, policy, plan, passes))
        .buffer_unordered(LANES_AT_ONCE)
        .collect()
        .await;

    let mut refusal = None;
    for result in results {
        for (n, outcome) in result.ended {
            entries[n].end(outcome);
        }
        for (n, held) in result.held {
            entries[n].hold(held);
        }
        refusal = refusal.or(result.refusal);
    }
    refusal
}

#[derive(Default)]
struct LaneResult {
    ended: Vec<(usize, Outcome)>,
    held: Vec<(usize, Held)>,
    refusal: Option<Refusal>,
}

async fn run_lane<F: Function, H: Act<F>>(
    hands: &H,
    context: &Context<'_>,
    policy: &F::Policy,
    entries: &Entries<F>,
    passes: BTreeMap<u8, Vec<usize>>,
) -> LaneResult {
    let mut result = LaneResult::default();
    let mut lost: HashSet<&str> = HashSet::new();
    let mut broken_pass = false;
    let mut halt = None;
    let last_answer = context.deadline.map(|d| d.last_answer);
    for members in passes.into_values() {
        let pass_was_broken = broken_pass;
        let mut ready = Vec::new();
        for n in members {
            let Some(change) = entries[n].wanted() else {
                continue;
            };
            let obstacle = match &change.after {
                After::EarlierPasses if pass_was_broken => {
                    Some("an earlier step failed".to_owned())
                }
                After::EarlierPasses => None,
                After::Targets(before) => before
                    .iter()
                    .find(|t| lost.contains(t.as_str()))
                    .map(|t| format!("it must come after {t}, which was not done")),
            };
            match obstacle {
                Some(why) => {
                    lost.insert(&entries[n].target);
                    broken_pass = true;
                    result.held.push((n, Held::NotReached(why)));
                }
                None => ready.push(n),
            }
        }
        for batch in ready.chunks(F::BATCH) {
            if halt.is_none() {
                halt = may_go_on(context).await.err();
            }
            if let Some(Halt::Run(why, _) | Halt::Lane(why)) = &halt {
                result
                    .held
                    .extend(batch.iter().map(|n| (*n, Held::NotReached(why.clone()))));
                continue;
            }
            let actions: Vec<F::Action> = batch
                .iter()
                .filter_map(|n| entries[*n].wanted())
                .map(|change| change.action.clone())
                .collect();
            let mut outcomes = match until(last_answer, hands.act(policy, &actions)).await {
                Some(outcomes) => outcomes,
                None => vec![
                    Outcome::Failed(
                        "no answer before the deadline; the next run finds out what became of it"
                            .to_owned()
                    );
                    batch.len()
                ],
            };
            let missing = Outcome::Failed("the adapter gave no outcome for it".to_owned());
            outcomes.resize(batch.len(), missing);
            // Where a call takes many, the failure of one alone says nothing
            // about the others.
            let says_something = batch.len() > 1 || F::BATCH == 1;
            if says_something && outcomes.iter().all(|o| matches!(o, Outcome::Failed(_))) {
                halt = Some(Halt::Lane(
                    "the batch before it failed as a whole".to_owned(),
                ));
            }
            for (n, outcome) in batch.iter().copied().zip(outcomes) {
                log_change::<F>(entries, n, &outcome);
                if matches!(outcome, Outcome::Failed(_) | Outcome::Skipped(_)) {
                    lost.insert(&entries[n].target);
                    broken_pass = true;
                }
                result.ended.push((n, outcome));
            }
        }
    }
    if let Some(Halt::Run(_, refusal)) = halt {
        result.refusal = refusal;
    }
    result
}

/// Deadline and kill switch, asked before every batch of writes.
async fn may_go_on(context: &Context<'_>) -> Result<(), Halt> {
    if let Some(deadline) = context.deadline
        && Instant::now() >= deadline.last_start
    {
        let why = "the function's time is nearly up; the next run goes on".to_owned();
        return Err(Halt::Run(why, None));
    }
    match read_switches(context, context.deadline.map(|d| d.last_answer)).await {
        Position::Run => Ok(()),
        Position::Stop(why) => {
            let refusal = Refusal::new(guard::KILL_SWITCH, "run", &why);
            Err(Halt::Run(why, Some(refusal)))
        }
    }
}

/// One line per change, with the identifier in the message and as a field.
fn log_change<F: Function>(entries: &Entries<F>, n: usize, outcome: &Outcome) {
    let entry = &entries[n];
    let Some(change) = entry.wanted() else { return };
    let view = F::view(&change.action);
    let reason = entry.reason.as_ref().map(Reason::code).unwrap_or_default();
    let (kind, resource) = (F::kind(&change.action), view.resource);
    match outcome {
        Outcome::Done => {
            tracing::info!(action.kind = kind, action.resource = %resource, action.reason = reason, "{kind} {resource}: done");
        }
        Outcome::AlreadyDone => {
            tracing::info!(action.kind = kind, action.resource = %resource, action.reason = reason, "{kind} {resource}: was so already");
        }
        Outcome::Skipped(why) => {
            tracing::warn!(action.kind = kind, action.resource = %resource, action.reason = reason, action.error = why, "{kind} {resource}: skipped");
        }
        Outcome::Failed(error) => {
            tracing::error!(action.kind = kind, action.resource = %resource, action.reason = reason, action.error = error, "{kind} {resource}: failed");
        }
    }
}
