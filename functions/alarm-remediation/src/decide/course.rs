//! One case from what it is about to what is done: noted, verified, diagnosed, bounded.

use std::collections::BTreeSet;

use jiff::Timestamp;
use steward::engine::{Effect, Need};
use steward::ledger::Sizes;
use steward::policy::Period;

use super::{Burns, Deciding, Draft, Subject, pass, refuses};
use crate::action::{Action, Note, Remedy, Remedying, TakingBack, is_done};
use crate::case::{self, Attempts, Case, Health, Noted, Stage, counts_for, keys};
use crate::diagnose::{
    Doing, PASSING, Patient, Telling, Verdict, diagnose, drained, give_back, health,
};
use crate::hours::Closed;
use crate::policy::{LINGERS, Leave, has_lasted};
use crate::reason::{Code, Reason};
use crate::scope::Scope;
use crate::world::{Quiet, Target, World};

/// How long after its effect was due a case still keeps others from its target.
const WORKED_ON: Period = Period::hours(1);

/// One case, or what becomes one.
pub(super) struct Course<'a> {
    pub(super) deciding: &'a Deciding<'a>,
    pub(super) key: &'a str,
    pub(super) subject: &'a Subject,
    pub(super) known: Option<(u64, &'a Case)>,
}

/// What is noted in this run, and what a person is told.
struct Notes {
    what: Vec<Noted>,
    /// What it is told by, and the text.
    told: Vec<(String, String)>,
    proposed: Option<Remedy>,
}

impl Course<'_> {
    pub(super) fn go(&self, draft: &mut Draft) {
        let mut notes = Notes {
            what: vec![],
            told: vec![],
            proposed: None,
        };
        let end = match (&self.subject.burns, self.known) {
            (Burns::Since(since), known) => self.burning(draft, &mut notes, *since, known),
            (_, None) => return,
            (Burns::Unknown(reason), Some((_, case))) => {
                self.unknown(draft, &mut notes, case, reason)
            }
            (burns @ (Burns::No | Burns::Gone), Some((_, case))) => {
                let how = match burns {
                    Burns::Gone => Calm::Gone,
                    _ => Calm::Ok,
                };
                self.quiet(draft, &mut notes, case, how)
            }
        };
        self.write(draft, notes, end);
    }

    /// Writes what was noted, and the case's item when nothing was.
    fn write(&self, draft: &mut Draft, mut notes: Notes, end: End) {
        let Self { key, subject, .. } = self;
        let unit = subject.unit.as_str();
        if !notes.told.is_empty() {
            let codes: BTreeSet<String> = notes.told.iter().map(|(code, _)| code.clone()).collect();
            let texts: Vec<&str> = notes.told.iter().map(|(_, text)| text.as_str()).collect();
            let text = texts.join(" ");
            draft.needs.push(Need {
                unit: unit.to_owned(),
                what: self.message(&text),
            });
            notes.what.push(Noted::Told {
                codes,
                text,
                proposed: notes.proposed.take(),
            });
        }
        let ends = notes
            .what
            .iter()
            .any(|it| matches!(it, Noted::Closed { .. }));
        if !ends {
            draft.open.push(unit.to_owned());
        }
        let (reason, acts) = match end {
            End::Stays(reason) => (reason, false),
            End::Acts(reason) => (reason, true),
        };
        if notes.what.is_empty() {
            if !acts {
                draft.keep(unit, key, reason);
            }
            return;
        }
        let since = self.known.map(|(_, case)| case.opened);
        let reason = if acts {
            Reason::new(
                Code::Noted,
                format!("so that what is done is known: {reason}"),
            )
        } else {
            reason
        };
        let version = self.known.map(|(version, _)| version);
        draft.act(
            (unit, key),
            (pass::NOTE, Effect::Restore),
            reason,
            since.unwrap_or(self.deciding.now),
            Action::Note(Note {
                case: (*key).to_owned(),
                unit: unit.to_owned(),
                version,
                what: notes.what,
            }),
        );
    }

    /// What a person reads: the alarm, what is so, what next, and how to make it stop.
    fn message(&self, text: &str) -> String {
        format!(
            "{}. {text} To keep Steward's hands off: tag what it is about steward:hold=yes.",
            self.subject.why.trim_end_matches('.')
        )
    }

    /// Nobody knows whether it is in alarm still.
    fn unknown(&self, draft: &mut Draft, notes: &mut Notes, case: &Case, reason: &Reason) -> End {
        let end = End::Stays(reason.clone());
        if reason.code != Code::NoData {
            if !matches!(case.stage, Stage::Calm { .. }) {
                self.escalate(notes, case, &end);
            }
            return end;
        }
        match &case.stage {
            // It was quiet, and has not gone off since: a service that nobody asks anything
            // has no errors.
            Stage::Calm { .. } => return self.quiet(draft, notes, case, Calm::NoData),
            Stage::Settling { until, .. } => {
                if let Some(last) = case.last()
                    && self.is_still_settling(&last.remedy, *until).is_none()
                {
                    let of = last.remedy.sentence();
                    let effect = case::Effect::NotKnown;
                    notes.what.push(Noted::Verified { effect, of });
                }
            }
            Stage::Open => {
                let since = self.deciding.seen.world.alarms.get(self.key);
                let since = since.map(|alarm| alarm.since);
                if let Some(since) = since.filter(|it| has_lasted(*it, LINGERS, self.deciding.now))
                {
                    notes.what.push(Noted::Calmed);
                    let text = format!("{}, since {since}", reason.text);
                    let next = "Look whether what it watches is there still, and used. The case \
                                ends as if it were quiet.";
                    let reason = Reason::new(reason.code, text);
                    let next = next.to_owned();
                    return self.tell(notes, case, Telling { reason, next });
                }
            }
        }
        self.escalate(notes, case, &end);
        end
    }

    // What is quiet again.

    fn quiet(&self, draft: &mut Draft, notes: &mut Notes, case: &Case, how: Calm) -> End {
        let name = &self.subject.name;
        let patient = self.patient(case);
        if how == Calm::Ok
            && let Some(doing) = give_back(&patient)
        {
            return self.carry_out(draft, notes, case, doing, false);
        }
        if let Some(of) = drained(&patient).filter(|_| how != Calm::Ok) {
            let remedy = Remedy::DrainInstance(of.clone());
            let text = format!(
                "instance {} is drained, and its alarm tells nothing any more",
                of.ec2
            );
            let next = format!(
                "Look at it, and replace it or give it back: {}",
                remedy.undo().unwrap_or_default()
            );
            let reason = Reason::new(Code::LeftDrained, text);
            self.tell(notes, case, Telling { reason, next });
        }
        let Stage::Calm { since } = case.stage else {
            // Of an alarm that is gone nobody knows what helped.
            let settles = matches!(case.stage, Stage::Settling { .. }) && how == Calm::Ok;
            if let Some(last) = case.last().filter(|_| settles) {
                notes.what.push(Noted::Verified {
                    effect: case::Effect::Helped,
                    of: last.remedy.sentence(),
                });
            }
            notes.what.push(Noted::Calmed);
            let text = match how {
                Calm::Gone => format!("{name} is gone, or was switched off"),
                Calm::Ok | Calm::NoData => format!("{name} is not in alarm any more"),
            };
            return End::Stays(Reason::new(Code::Quiet, text));
        };
        for arn in &case.raised {
            match self.take_back(draft, case, arn) {
                Back::Gone => notes.what.push(Noted::RaiseGone { arn: arn.clone() }),
                Back::Later(reason) => return End::Stays(reason),
                Back::Now(reason) => return End::Acts(reason),
            }
        }
        if has_lasted(since, LINGERS, self.deciding.now) {
            let why = format!("quiet since {since}");
            notes.what.push(Noted::Closed { why: why.clone() });
            return End::Stays(Reason::new(Code::Noted, format!("closed: {why}")));
        }
        let text = format!("{name} is quiet since {since}, and might go off again");
        End::Stays(Reason::new(Code::Quiet, text))
    }

    /// What was raised for a case goes back to what it was, when that is due.
    fn take_back(&self, draft: &mut Draft, case: &Case, arn: &str) -> Back {
        let Deciding { memory, now, .. } = self.deciding;
        let Some(raise) = memory.raises.get(arn) else {
            return Back::Gone;
        };
        if raise.until > *now {
            let text = format!("{arn} is larger than usual until {}", raise.until);
            return Back::Later(Reason::new(Code::Raised, text));
        }
        let mut others = memory.cases.iter().filter(|(key, _)| *key != self.key);
        if others.any(|(_, (_, other))| {
            other.raised.contains(arn) && !matches!(other.stage, Stage::Calm { .. })
        }) {
            let text = format!("{arn} stays larger than usual: another case needs it");
            return Back::Later(Reason::new(Code::Raised, text));
        }
        let mut tried = case.tried.iter().rev();
        let Some(remedy) =
            tried.find_map(|it| (it.remedy.raises() == Some(arn)).then_some(&it.remedy))
        else {
            return Back::Gone;
        };
        let target = remedy.target();
        let Some(mut back) = self.usual(remedy, raise) else {
            let text = format!("{} could not be looked at", target.name());
            return Back::Later(Reason::new(Code::Unseen, text));
        };
        if let (Target::Group(name), Some((_, max)), None) = (&target, back.max, back.desired) {
            let group = self.deciding.seen.world.groups.get(name);
            // Less room than there are instances would end some that run tasks.
            if group.is_some_and(|group| group.desired > max) {
                let text = format!("{name} needs its room still: more than {max} are asked for");
                return Back::Later(Reason::new(Code::Raised, text));
            }
        }
        if draft.taken.contains(&target) {
            let text = format!("another case works on {}", target.name());
            return Back::Later(Reason::new(Code::AnotherCase, text));
        }
        draft.taken.insert(target);
        back.case = self.key.to_owned();
        let reason = Reason::new(
            Code::RaiseOver,
            format!("{arn} was to be larger than usual until {}", raise.until),
        );
        draft.act(
            (&self.subject.unit, self.key),
            (pass::DO, Effect::Restore),
            reason.clone(),
            case.opened,
            Action::TakeBack(back),
        );
        Back::Now(reason)
    }

    /// What is to be set for a raise to be gone; only what still is as it was raised to.
    /// `None` when that could not be seen.
    fn usual(&self, remedy: &Remedy, raise: &steward::ledger::Raise) -> Option<TakingBack> {
        let world = &self.deciding.seen.world;
        let target = remedy.target();
        let mut back = TakingBack {
            case: String::new(),
            unit: self.subject.unit.clone(),
            target: target.clone(),
            arn: raise.resource.clone(),
            until: raise.until,
            min: None,
            desired: None,
            max: None,
        };
        if world.absent.contains(&target) {
            return Some(back);
        }
        // Whichever case has raised it last.
        let is_raised = |has: u32, of: fn(&Sizes) -> Option<u32>| {
            raise.to.iter().any(|sizes| of(sizes) == Some(has))
        };
        let from = |has: u32, usual: Option<u32>| {
            let usual = usual.filter(|usual| *usual != has)?;
            Some((has, usual))
        };
        match remedy {
            Remedy::RaiseService(_) => {
                let service = world.services.get(&target.name())?;
                // Whoever parks it saves the sizes that it had before it was raised.
                if !service.tags.is_parked() {
                    match service.scalable {
                        Some(scalable) if is_raised(scalable.min, |it| it.min) => {
                            back.min = from(scalable.min, raise.min_before);
                        }
                        None if is_raised(service.desired, |it| it.desired) => {
                            back.desired = from(service.desired, raise.desired_before);
                        }
                        _ => {}
                    }
                }
            }
            Remedy::RaiseGroup(it) => {
                let group = world.groups.get(&it.group)?;
                if !group.tags.is_parked() {
                    if is_raised(group.max, |it| it.max) {
                        back.max = from(group.max, raise.max_before);
                    }
                    if is_raised(group.desired, |it| it.desired) {
                        back.desired = from(group.desired, raise.desired_before);
                    }
                }
            }
            _ => {}
        }
        Some(back)
    }

    // What burns.

    fn burning(
        &self,
        draft: &mut Draft,
        notes: &mut Notes,
        since: Option<Timestamp>,
        known: Option<(u64, &Case)>,
    ) -> End {
        let now = self.deciding.now;
        let case = match known {
            None => {
                notes.what.push(Noted::Opened {
                    source: self.subject.source.clone(),
                    name: self.subject.name.clone(),
                    unit: self.subject.unit.clone(),
                    concerns: self.subject.concerns.clone(),
                    since,
                    why: self.subject.why.clone(),
                });
                Noted::all_after(&notes.what, None, now)
            }
            Some((_, case)) => {
                // It may have been quiet between two ticks.
                let is_new = since.is_some_and(|since| case.since < since);
                let was_calm = matches!(case.stage, Stage::Calm { .. });
                if was_calm || is_new && case.stage == Stage::Open {
                    notes.what.push(Noted::Reopened { since });
                }
                Noted::all_after(&notes.what, Some(case), now)
            }
        };
        let Some(case) = case else {
            let text = format!("{} has no case", self.subject.name);
            return End::Stays(Reason::new(Code::Malformed, text));
        };
        if let Stage::Settling { until, before } = &case.stage {
            return self.verify(draft, notes, &case, *until, *before);
        }
        if let Some(reason) = self.is_kept_still() {
            let is_unread = reason.code == Code::AlarmUnread;
            let end = End::Stays(reason);
            // Whoever mutes or suppresses it has said so.
            if is_unread {
                self.escalate(notes, &case, &end);
            }
            return end;
        }
        let mut verdicts = self.verdicts(&case);
        let first = verdicts.iter().enumerate();
        let first = first.min_by_key(|(_, (_, verdict))| verdict.rank());
        let first = first.map_or(0, |(place, _)| place);
        let (on, verdict) = verdicts.swap_remove(first);
        if !matches!(verdict, Verdict::Do(_)) {
            // What a person has to know of the others waits for nothing.
            for (on, other) in verdicts {
                if let Verdict::Tell(telling) = other {
                    self.tell_of(notes, &case, on.as_ref(), telling);
                }
            }
        }
        let end = match verdict {
            // Parked is no incident, for however long.
            Verdict::Nothing(reason) => return End::Stays(reason),
            Verdict::Wait(reason) => End::Stays(reason),
            Verdict::Tell(telling) => self.tell_of(notes, &case, on.as_ref(), telling),
            Verdict::Do(doing) => self.may(draft, notes, &case, *doing),
        };
        self.escalate(notes, &case, &end);
        end
    }

    fn is_kept_still(&self) -> Option<Reason> {
        let name = &self.subject.name;
        Some(match &self.subject.quiet {
            Quiet::No => return None,
            Quiet::Muted { by } => Reason::new(
                Code::Muted,
                format!("alarm {name} is muted by {by}; it is looked at when that ends"),
            ),
            Quiet::Suppressed { why } => Reason::new(
                Code::Suppressed,
                format!("alarm {name} is suppressed: {why}"),
            ),
            Quiet::Unread => Reason::new(
                Code::AlarmUnread,
                format!("whether alarm {name} is muted could not be read"),
            ),
        })
    }

    fn patient<'p>(&'p self, case: &'p Case) -> Patient<'p> {
        Patient {
            policy: self.deciding.policy,
            seen: self.deciding.seen,
            now: self.deciding.now,
            case,
        }
    }

    /// What is to be said of each of the things that it is about; one at least.
    fn verdicts(&self, case: &Case) -> Vec<(Option<Target>, Verdict)> {
        let patient = self.patient(case);
        let concerns = self.subject.concerns.iter();
        let verdicts = concerns.map(|concern| {
            let verdict = diagnose(&patient, concern);
            (Some(concern.target.clone()), verdict)
        });
        let verdicts: Vec<_> = verdicts.collect();
        if verdicts.is_empty() {
            return vec![(None, self.without_target())];
        }
        verdicts
    }

    /// What is to be said when it is about nothing that is known.
    fn without_target(&self) -> Verdict {
        let unread = match &self.subject.source {
            case::Source::Alarm(arn) => self.deciding.seen.world.alarms.get(arn),
            case::Source::Agent { .. } => None,
        };
        if let Some(why) = unread.and_then(|alarm| alarm.unread.first()) {
            let text = format!("what the alarm is about could not be found out: {why}");
            return Verdict::Wait(Reason::new(Code::Unseen, text));
        }
        Verdict::Tell(Telling {
            reason: Reason::new(
                Code::NoTarget,
                "nothing tells what the alarm is about: no dimension, tag or policy does",
            ),
            next: "Look at it. For the next time, name its target in the policy (targets) or by \
                   its tag steward:remediation=service:CLUSTER/SERVICE."
                .to_owned(),
        })
    }

    /// Tells a person, once until the state changes.
    fn tell(&self, notes: &mut Notes, case: &Case, telling: Telling) -> End {
        self.tell_of(notes, case, None, telling)
    }

    /// The same of one of the things that it is about.
    fn tell_of(
        &self,
        notes: &mut Notes,
        case: &Case,
        on: Option<&Target>,
        telling: Telling,
    ) -> End {
        let Telling { reason, next } = telling;
        let is_one_of_many = self.subject.concerns.len() > 1;
        let key = match on.filter(|_| is_one_of_many) {
            Some(on) => format!("{}@{on}", reason.code.name()),
            None => reason.code.name().to_owned(),
        };
        if !case.told.contains(&key) {
            let text = format!("{}. Next: {next}", upper(&reason.text));
            notes.told.push((key, text));
        }
        End::Stays(reason)
    }

    /// Tells a person of what is open for long, whatever it waits for or is about to do.
    fn escalate(&self, notes: &mut Notes, case: &Case, end: &End) {
        let Deciding { policy, now, .. } = self.deciding;
        let (reason, so_far) = match end {
            End::Stays(reason) => (reason, "nothing was found that helps"),
            End::Acts(reason) => (reason, "it is worked on still"),
        };
        let code = reason.code.name();
        let is_of_code = |told: &String| told.split('@').next() == Some(code);
        let is_told = !notes.told.is_empty() || case.told.iter().any(is_of_code);
        let is_long = has_lasted(case.opened, policy.escalate_after, *now);
        // A hold is a person's own word.
        if is_told || !is_long || reason.code == Code::Held {
            return;
        }
        let text = format!("it is open since {}, and {so_far}: {reason}", case.opened);
        let reason = Reason::new(Code::OpenForLong, text);
        let next = "Look at it yourself.".to_owned();
        self.tell(notes, case, Telling { reason, next });
    }

    // What is done.

    /// Whether a remedy may be done, and if so does it.
    fn may(&self, draft: &mut Draft, notes: &mut Notes, case: &Case, doing: Doing) -> End {
        let Deciding { policy, now, .. } = self.deciding;
        let remedy = &doing.remedy;
        let could = format!("{}: {}", remedy.sentence(), doing.why);
        let is_approved = matches!(self.deciding.scope, Scope::Approved(_))
            && case.proposed.as_ref() == Some(remedy);
        match policy.leave(remedy) {
            Leave::Granted => {}
            // The second half of what was approved is approved.
            Leave::Approval if is_approved || doing.goes_on => {}
            Leave::Approval => {
                let name = &self.subject.name;
                // Numbers change all the time. Whoever approves what is not wanted any more is
                // told what is.
                let is_asked = matches!(self.deciding.scope, Scope::Approved(_));
                let is_same = |told: &Remedy| {
                    told == remedy
                        || !is_asked
                            && told.kind() == remedy.kind()
                            && told.target() == remedy.target()
                };
                if !case.proposed.as_ref().is_some_and(is_same) {
                    notes.proposed = Some(remedy.clone());
                    let next = format!(
                        "approve it: steward alarm-remediation approve '{name}' --mode apply \
                         --policy POLICY. What it can break: {}",
                        doing.risk
                    );
                    let text = format!("Proposed: {could}. Next: {next}");
                    let code = Code::WaitsForApproval.name().to_owned();
                    notes.told.push((code, text));
                }
                let text = format!("waits for approval: {could}");
                return End::Stays(Reason::new(Code::WaitsForApproval, text));
            }
            Leave::None => {
                let reason = Reason::new(
                    Code::NotifyOnly,
                    format!("this could be done, and the policy does not name it: {could}"),
                );
                let next = format!(
                    "Do it, or name {} in the policy's remedies. What it can break: {}",
                    policy_key(remedy),
                    doing.risk
                );
                return self.tell(notes, case, Telling { reason, next });
            }
        }
        let is_free = is_approved || doing.goes_on;
        if let Some(closed) = policy.hours.closed(*now).filter(|_| !is_free) {
            let why = match closed {
                Closed::OutsideHours => "it is outside the hours of the policy".to_owned(),
                Closed::Frozen { until, why } => format!("there is a freeze until {until} ({why})"),
            };
            let reason = Reason::new(Code::OutsideHours, format!("{why}: {could}"));
            let next = "Do it yourself, or wait.".to_owned();
            return self.tell(notes, case, Telling { reason, next });
        }
        if self.deciding.is_hidden(&remedy.target().name()) {
            let text = format!("{} could not be looked at", remedy.target().name());
            return End::Stays(Reason::new(Code::Unseen, text));
        }
        self.carry_out(draft, notes, case, doing, is_approved)
    }

    /// Does a remedy, if bounds and other cases let it.
    fn carry_out(
        &self,
        draft: &mut Draft,
        notes: &mut Notes,
        case: &Case,
        doing: Doing,
        is_approved: bool,
    ) -> End {
        let Deciding {
            policy,
            memory,
            now,
            seen,
            ..
        } = self.deciding;
        let remedy = doing.remedy;
        let on = counts_for(&remedy);
        // What nobody understands may be tries that are not to be forgotten.
        let attempts = format!("{}{on}", keys::ATTEMPTS);
        let mut malformed = memory.malformed.iter();
        if malformed.any(|key| *key == attempts || key == keys::OF_ALL) {
            let text = format!("what was tried on {} cannot be understood", on.name());
            return End::Stays(Reason::new(Code::Malformed, text));
        }
        if self.is_worked_on(&on, &remedy.target()) || draft.taken.contains(&on) {
            let text = format!("another case works on {}", on.name());
            return End::Stays(Reason::new(Code::AnotherCase, text));
        }
        if !doing.goes_on {
            let none = Attempts::default();
            let on_target = memory.attempts.get(&on).unwrap_or(&none);
            let refused = refuses(
                &policy.bounds,
                remedy.kind(),
                (on_target, &memory.of_all),
                draft.remedies,
                is_approved,
                *now,
            );
            if let Some(reason) = refused {
                if reason.code != Code::AttemptsUsed {
                    return End::Stays(reason);
                }
                let text = format!("{}: {}", reason.text, doing.why);
                let reason = Reason::new(reason.code, text);
                let next = "Look at it yourself: Steward does no more about it.".to_owned();
                return self.tell(notes, case, Telling { reason, next });
            }
            draft.remedies += 1;
        }
        draft.taken.insert(on);
        let before = health(&remedy.target(), &seen.world).unwrap_or_default();
        let effect = match remedy {
            Remedy::UseInstance(_) => Effect::Restore,
            Remedy::ReplaceTasks(_) | Remedy::ReplaceInstance(_) => Effect::Destroy,
            _ => Effect::Change,
        };
        let reason = Reason::new(doing.code, format!("{}: {}", remedy.sentence(), doing.why));
        draft.act(
            (&self.subject.unit, self.key),
            (pass::DO, effect),
            reason.clone(),
            case.opened,
            Action::Remedy(Remedying {
                case: self.key.to_owned(),
                unit: self.subject.unit.clone(),
                why: doing.why,
                before,
                remedy,
                goes_on: doing.goes_on,
                is_approved,
            }),
        );
        End::Acts(reason)
    }

    /// Whether another case has done something to a target, and waits for what comes of
    /// it.
    fn is_worked_on(&self, on: &Target, target: &Target) -> bool {
        let cases = self.deciding.memory.cases.iter();
        let mut others = cases.filter(|(key, _)| *key != self.key);
        others.any(|(_, (_, other))| {
            // One that could not be looked at for long keeps nobody else from acting.
            matches!(other.stage, Stage::Settling { until, .. }
                if !has_lasted(until, WORKED_ON, self.deciding.now))
                && other.last().is_some_and(|last| {
                    counts_for(&last.remedy) == *on || last.remedy.target() == *target
                })
        })
    }

    /// Why it is too early to judge what a remedy did; `None` when it is not.
    fn is_still_settling(&self, remedy: &Remedy, until: Timestamp) -> Option<Reason> {
        let Deciding {
            policy, now, seen, ..
        } = self.deciding;
        let of = remedy.sentence();
        let text = if until > *now {
            format!("{of}; it has until {until}")
        } else if is_under_way(remedy, &seen.world) {
            format!("{of}; AWS still works on it")
        } else {
            // Metrics of the time before it was through are in the alarm's windows still.
            let until = policy.settle.after(ended(remedy, &seen.world)?);
            if until <= *now {
                return None;
            }
            format!("{of}; AWS has just finished, and it has until {until}")
        };
        Some(Reason::new(Code::Settling, text))
    }

    /// What a remedy did, when it has had its time.
    fn verify(
        &self,
        draft: &mut Draft,
        notes: &mut Notes,
        case: &Case,
        until: Timestamp,
        before: Health,
    ) -> End {
        let Deciding { now, seen, .. } = self.deciding;
        let Some(remedy) = case.last().map(|last| &last.remedy) else {
            let text = format!("{} waits for nothing that was done", self.subject.name);
            return End::Stays(Reason::new(Code::Malformed, text));
        };
        let of = remedy.sentence();
        if let Some(reason) = self.is_still_settling(remedy, until) {
            let end = End::Stays(reason);
            if until <= *now {
                self.escalate(notes, case, &end);
            }
            return end;
        }
        let after = health(&remedy.target(), &seen.world);
        let is_worse = after.is_some_and(|it| it.bad > before.bad && it.good <= before.good);
        let effect = if is_worse {
            case::Effect::MadeWorse
        } else if after.is_some() && !is_done(remedy, &seen.world) {
            case::Effect::NotDone
        } else {
            case::Effect::DidNotHelp
        };
        let mut text = format!("{of}: it {}", effect.words());
        notes.what.push(Noted::Verified { effect, of });
        if !is_worse {
            return End::Stays(Reason::new(Code::Noted, text));
        }
        let raise = remedy.raises().and_then(|arn| {
            let raise = self.deciding.memory.raises.get(arn)?;
            self.usual(remedy, raise)
        });
        if let Some(mut back) = raise {
            text.push_str(", and is taken back");
            back.case = self.key.to_owned();
            draft.taken.insert(back.target.clone());
            draft.act(
                (&self.subject.unit, self.key),
                (pass::DO, Effect::Restore),
                Reason::new(Code::MadeWorse, text.clone()),
                case.opened,
                Action::TakeBack(back),
            );
        }
        let reason = Reason::new(Code::MadeWorse, text);
        let next = "Look at it yourself.".to_owned();
        self.tell(notes, case, Telling { reason, next })
    }
}

/// When AWS was through with what a remedy began, where that takes long and AWS tells.
fn ended(remedy: &Remedy, world: &World) -> Option<Timestamp> {
    let service = world.services.get(&remedy.target().name())?;
    let newest = service.newest.as_ref()?;
    let is_its = match remedy {
        Remedy::StopDeployment(it) => newest.arn == it.deployment,
        // The one that it goes back behind was through before.
        Remedy::RollBack(it) => newest.arn != it.from,
        _ => false,
    };
    newest.finished.filter(|_| is_its)
}

/// Whether AWS still works on what a remedy began.
fn is_under_way(remedy: &Remedy, world: &World) -> bool {
    let target = remedy.target();
    match remedy {
        Remedy::StopDeployment(_) | Remedy::RollBack(_) => {
            let service = world.services.get(&target.name());
            let under_way = service.and_then(|service| service.under_way.as_ref());
            let is_stopped = !matches!(remedy, Remedy::StopDeployment(_));
            under_way.is_some_and(|it| is_stopped || it.is_rolling_back())
        }
        Remedy::GrowStorage(it) => {
            let database = world.databases.get(&it.database);
            database.is_some_and(|it| {
                matches!(it.status.as_str(), "modifying" | "storage-optimization")
            })
        }
        Remedy::ChangeClass(it) => {
            let database = world.databases.get(&it.database);
            database.is_some_and(|database| {
                database.next_class.is_some() || PASSING.contains(&database.status.as_str())
            })
        }
        _ => false,
    }
}

/// Why a case is quiet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Calm {
    /// Its alarm is not in alarm.
    Ok,
    /// Its alarm was not in alarm, and has no data since.
    NoData,
    /// Its alarm is gone, or was switched off.
    Gone,
}

/// Whether something is done in this run beside what is noted.
enum End {
    Stays(Reason),
    Acts(Reason),
}

/// What becomes of a raise.
enum Back {
    Gone,
    Later(Reason),
    Now(Reason),
}

/// The key of the policy's `remedies` that names a remedy.
fn policy_key(remedy: &Remedy) -> &'static str {
    match remedy {
        Remedy::DrainInstance(_) | Remedy::UseInstance(_) => "replace_instance",
        other => other.kind(),
    }
}

/// With a capital letter.
fn upper(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|c| c.to_uppercase().to_string());
    first.unwrap_or_default() + letters.as_str()
}
