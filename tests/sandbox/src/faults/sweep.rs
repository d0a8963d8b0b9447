//! Every fault at every call of a run, and what has to be true afterwards.

use std::collections::BTreeMap;
use std::fmt;

use aws_config::SdkConfig;
use aws_smithy_runtime_api::client::http::HttpClient;
use steward::engine::Function;
use steward::report::{Report, Status};
use steward::run::Run;

use super::{At, Call, Fault, FaultClient};
use crate::account::Account;

/// One fault at one call of a recorded run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The recorded call.
    pub call: Call,
    /// How that call is found again.
    pub at: At,
    /// What happens there.
    pub fault: Fault,
}

impl Cut {
    /// A client with this fault alone, over one that performs the calls.
    #[must_use]
    pub fn client(&self, inner: impl HttpClient + 'static) -> FaultClient {
        FaultClient::new(inner).with(self.at.clone(), self.fault.clone())
    }
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.fault, self.call)
    }
}

/// Every fault at every call of a recorded run, in the order of the calls:
/// `LostAnswer at 7: ecr BatchDeleteImage web`.
pub fn sweep<'a>(calls: &'a [Call], faults: &'a [Fault]) -> impl Iterator<Item = Cut> + 'a {
    calls.iter().flat_map(move |call| {
        faults.iter().map(move |fault| Cut {
            call: call.clone(),
            at: At::Call(call.number),
            fault: fault.clone(),
        })
    })
}

/// The kind of a call: its operation, in the account of the first call or in another,
/// and in which Region.
fn kind(call: &Call, first: &Call) -> (bool, Option<String>, String) {
    let own = call.account == first.account;
    (own, call.region.clone(), call.action())
}

/// Every fault at the first and the last call of every operation in
/// every Region of a recorded run, in its own account and in others. It finds its
/// calls in whatever order they come.
pub fn sweep_kinds<'a>(calls: &[Call], faults: &'a [Fault]) -> impl Iterator<Item = Cut> + use<'a> {
    let mut kinds: BTreeMap<_, Vec<&Call>> = BTreeMap::new();
    for call in calls {
        kinds.entry(kind(call, &calls[0])).or_default().push(call);
    }
    let mut chosen = Vec::new();
    for ((own, region, operation), of_kind) in kinds {
        let mut numbers = vec![1, of_kind.len()];
        numbers.dedup();
        for n in numbers {
            let at = At::NthIn {
                operation: operation.clone(),
                own,
                region: region.clone(),
                n,
            };
            chosen.push((of_kind[n - 1].clone(), at));
        }
    }
    chosen.into_iter().flat_map(move |(call, at)| {
        faults.iter().map(move |fault| Cut {
            call: call.clone(),
            at: at.clone(),
            fault: fault.clone(),
        })
    })
}

/// An account in which a function has work to do, and what must come of it.
pub trait Arranged {
    /// The function.
    type Function: Function;
    /// What is there of what it may change.
    type Found: PartialEq + fmt::Debug;

    /// The account that it runs in.
    fn account(&self) -> &Account;

    /// The run that meets the fault.
    fn run(&self, config: SdkConfig) -> impl Future<Output = Run<Self::Function>>;

    /// What is there, read with the raw SDK.
    fn found(&self) -> impl Future<Output = Self::Found>;

    /// Panics when a run that met a fault has done harm. `report` is that of a
    /// run that was not cut.
    fn assert_harmless(
        &self,
        before: &Self::Found,
        after: &Self::Found,
        report: Option<&Report>,
        told: &str,
    );

    /// Panics when clean runs do not complete the work.
    fn assert_completed(&self, told: &str) -> impl Future<Output = ()>;
}

/// Runs it; `None` when a cut point was reached, where the run's future is
/// dropped.
pub async fn run_until_cut<A: Arranged>(arranged: &A, client: &FaultClient) -> Option<Report> {
    let config = arranged.account().sdk_config_with(client.clone());
    tokio::select! {
        run = Box::pin(arranged.run(config)) => Some(run.report),
        () = client.cut() => None,
    }
}

/// The calls of a run without any fault, which has to end right by itself or
/// with the clean runs after it.
///
/// # Panics
/// When it does not.
pub async fn calls_of_a_clean_run<A: Arranged>(arranged: &A) -> Vec<Call> {
    let client = FaultClient::new(arranged.account().http_client());
    let report = run_until_cut(arranged, &client).await;
    let calls = client.calls();
    let Some(report) = report else {
        panic!("a run without cut points was cut");
    };
    assert!(
        matches!(report.status, Status::Applied | Status::Waiting),
        "{report:#?}"
    );
    arranged.assert_completed("without any fault").await;
    calls
}

/// Each of these alone.
pub fn in_turn(cuts: impl Iterator<Item = Cut>) -> impl Iterator<Item = Vec<Cut>> {
    cuts.map(|cut| vec![cut])
}

/// As few trials as let each chosen call meet each fault, no two of one kind of call
/// at once: for faults that the SDK makes good by trying again.
pub fn together(calls: &[Call], faults: &[Fault]) -> Vec<Vec<Cut>> {
    let mut rounds: Vec<Vec<Cut>> = Vec::new();
    for (n, cut) in sweep_kinds(calls, &[Fault::CutBefore]).enumerate() {
        for round in 0.. {
            let first = round * faults.len();
            if rounds.len() <= first {
                rounds.resize(first + faults.len(), Vec::new());
            }
            let kind = |call: &Call| kind(call, &calls[0]);
            let is_same = |other: &Cut| kind(&other.call) == kind(&cut.call);
            if rounds[first].iter().any(is_same) {
                continue;
            }
            for turn in 0..faults.len() {
                rounds[first + turn].push(Cut {
                    fault: faults[(n + turn) % faults.len()].clone(),
                    ..cut.clone()
                });
            }
            break;
        }
    }
    rounds
}

/// Lets each trial happen in turn, in a scene of its own: it does no harm, is told,
/// and clean runs complete the work. A scene in which nothing was tried to be changed
/// is as it was and serves again. At least nine of ten faults must have met their
/// call, so that a run whose calls depend on their order proves something too.
///
/// # Panics
/// When one of these is not so.
pub async fn survive<A: Arranged, Arranging: Future<Output = A>>(
    arrange: impl Fn() -> Arranging,
    trials: impl IntoIterator<Item = Vec<Cut>>,
) {
    let (mut all, mut met) = (0, 0);
    let mut scene = None;
    for cuts in trials {
        let arranged = match scene.take() {
            Some(arranged) => arranged,
            None => arrange().await,
        };
        let told: Vec<String> = cuts.iter().map(Cut::to_string).collect();
        let told = told.join(", ");
        let before = arranged.found().await;
        let client = FaultClient::new(arranged.account().http_client());
        for cut in &cuts {
            client.add(cut.at.clone(), cut.fault.clone());
        }
        let report = run_until_cut(&arranged, &client).await;
        assert_eq!(report.is_none(), client.is_cut(), "{told}");
        let after = arranged.found().await;
        arranged.assert_harmless(&before, &after, report.as_ref(), &told);
        all += cuts.len();
        let met_now = client.met();
        met += met_now.len();
        if let Some(report) = &report {
            assert_visible(report, &told);
            for (fault, call) in &met_now {
                assert_told(report, fault, call);
            }
        }
        if client.calls().iter().all(Call::only_reads) {
            assert_eq!(before, after, "{told}");
            scene = Some(arranged);
        } else {
            Box::pin(arranged.assert_completed(&told)).await;
        }
    }
    if let Some(arranged) = scene {
        Box::pin(arranged.assert_completed("a run that changed nothing")).await;
    }
    assert!(all > 0, "nothing was to happen");
    assert!(
        met >= all * 9 / 10,
        "only {met} of {all} faults met their call"
    );
}

/// What is denied is named, so that somebody can grant it.
fn assert_told(report: &Report, fault: &Fault, call: &Call) {
    let text = serde_json::to_string(report).unwrap_or_default();
    assert!(
        *fault != Fault::Deny || text.contains(&call.action()),
        "{fault} at {call} is not told: {text}"
    );
}

/// A report of what failed, was not read or was refused must not sound like
/// success.
fn assert_visible(report: &Report, told: &str) {
    let bad = report.summary.failed + report.gaps.len() + report.refusals.len();
    let silent = matches!(report.status, Status::Applied | Status::NothingToDo);
    assert!(
        bad == 0 || !silent,
        "{told}: a failure must be visible, but: {report:?}"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calls(of: &[(&str, &str, &str)]) -> Vec<Call> {
        let calls = of.iter().enumerate();
        let call = |(n, (operation, account, region)): (usize, &(&str, &str, &str))| Call {
            number: n + 1,
            service: "rds".to_owned(),
            operation: (*operation).to_owned(),
            region: Some((*region).to_owned()),
            account: Some((*account).to_owned()),
            resource: None,
            judged_on: vec![],
        };
        calls.map(call).collect()
    }

    #[test]
    fn kinds_are_swept_at_their_first_and_last_call_in_every_place() {
        let mut all = vec![("DescribeDBInstances", "1", "here")];
        all.extend([("DeleteDBSnapshot", "1", "here"); 5]);
        all.extend([("DeleteDBSnapshot", "1", "there"); 2]);
        all.push(("DeleteDBSnapshot", "2", "here"));
        let calls = calls(&all);
        let chosen = |own, region: &str| {
            let cuts = sweep_kinds(&calls, &[Fault::Deny]);
            let numbers = cuts.filter_map(|cut| match cut.at {
                At::NthIn {
                    operation,
                    own: is_own,
                    region: of,
                    n,
                } => {
                    let is = operation == "rds:DeleteDBSnapshot" && is_own == own;
                    (is && of.as_deref() == Some(region)).then_some((n, cut.call.number))
                }
                _ => None,
            });
            numbers.collect::<Vec<_>>()
        };
        assert_eq!(chosen(true, "here"), [(1, 2), (5, 6)]);
        assert_eq!(chosen(true, "there"), [(1, 7), (2, 8)]);
        assert_eq!(chosen(false, "here"), [(1, 9)]);
    }

    #[test]
    fn trials_together_let_each_chosen_call_meet_each_fault_once() {
        let all = [
            ("DescribeDBInstances", "1", "here"),
            ("DeleteDBSnapshot", "1", "here"),
            ("DeleteDBSnapshot", "1", "here"),
        ];
        let calls = calls(&all);
        let faults = [Fault::Throttle, Fault::LostAnswer];
        let trials = together(&calls, &faults);
        assert_eq!(trials.len(), 4, "{trials:?}");
        for call in &calls {
            for fault in &faults {
                let cuts = trials.iter().flatten();
                let same = cuts.filter(|cut| cut.call == *call && cut.fault == *fault);
                assert_eq!(same.count(), 1, "{fault} at {call}");
            }
        }
        for trial in trials {
            let mut kinds: Vec<&str> = trial.iter().map(|cut| &*cut.call.operation).collect();
            kinds.dedup();
            assert_eq!(kinds.len(), trial.len(), "{trial:?}");
        }
    }
}
