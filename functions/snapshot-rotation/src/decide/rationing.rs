//! What is short, and who gets it: room for snapshots in the account, and copies
//! that may be under way at once.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use steward::engine::{After, Decision, Effect};

use super::{COPIES, Draft, Drafted};
use crate::action::Action;
use crate::policy::Limits;
use crate::reason::Reason;
use crate::world::{Holdings, Place, Progress, World};

/// What an item takes of what is short; the fields are how urgent it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Ration {
    /// Room for one snapshot; first the database with the oldest newest, last those
    /// of which some have failed.
    Snapshot {
        /// Whether snapshots of it have failed and are still there.
        fails: bool,
        /// When the data of the newest was taken; a database without goes first.
        newest: Option<Timestamp>,
    },
    /// Room for one snapshot and a copy under way; first where the newest copy is
    /// oldest, and there the newest.
    Copy {
        /// When the data of the newest copy was taken.
        newest: Option<Timestamp>,
        /// When that of this one was taken, counted backwards.
        before: std::cmp::Reverse<Timestamp>,
    },
}

/// Defers what there is no room for, the least urgent first, and lets deletions
/// wait for what is made in the same place.
pub(super) fn ration(draft: &mut Draft, world: &World, limits: &Limits) {
    let mut wanted: BTreeMap<Place, Vec<(Ration, usize)>> = BTreeMap::new();
    for (n, drafted) in draft.items.iter().enumerate() {
        if let (Some(ration), Decision::Act(change)) = (&drafted.ration, &drafted.item.decision) {
            let place = change.action.place().clone();
            let of_place = wanted.entry(place).or_default();
            of_place.push((ration.clone(), n));
        }
    }
    let mut without_room = BTreeSet::new();
    for (place, mut of_place) in wanted {
        of_place.sort_by(|(a, m), (b, n)| {
            let target = |n: &usize| &draft.items[*n].item.target;
            a.cmp(b).then_with(|| target(m).cmp(target(n)))
        });
        let Some(holdings) = world.places.get(&place) else {
            continue;
        };
        let under_way = copies_under_way(holdings);
        let mut slots = (limits.max_copies_in_flight as usize).saturating_sub(under_way);
        let mut room = holdings
            .quota
            .map(|quota| (quota, quota.max.saturating_sub(quota.used)));
        for (ration, n) in of_place {
            let is_copy = matches!(ration, Ration::Copy { .. });
            let reason = match &mut room {
                Some((quota, 0)) => {
                    without_room.insert(place.clone());
                    Some(Reason::QuotaFull { quota: *quota })
                }
                _ if is_copy && slots == 0 => Some(Reason::CopiesInFlight { under_way }),
                Some((_, room)) => {
                    *room -= 1;
                    None
                }
                None => None,
            };
            match reason {
                None => slots = slots.saturating_sub(usize::from(is_copy)),
                Some(reason) => put_off(draft, n, reason),
            }
        }
    }
    let_deletions_wait(&mut draft.items);
    if room_is_made(&draft.items, &without_room) {
        draft.waits_for.insert("room for snapshots");
    }
}

/// Whether something goes in one of these places.
fn room_is_made(items: &[Drafted], without_room: &BTreeSet<Place>) -> bool {
    items.iter().any(|drafted| match &drafted.item.decision {
        Decision::Act(change) => {
            change.effect == Effect::Destroy && without_room.contains(change.action.place())
        }
        Decision::Keep | Decision::Defer => false,
    })
}

fn copies_under_way(holdings: &Holdings) -> usize {
    let snapshots = holdings.snapshots.iter();
    let copying = snapshots.filter(|snapshot| {
        snapshot.source_arn.is_some() && matches!(snapshot.progress, Progress::Under { .. })
    });
    copying.count()
}

fn put_off(draft: &mut Draft, n: usize, reason: Reason) {
    let item = &mut draft.items[n].item;
    let unit = item.unit.clone();
    item.decision = Decision::Defer;
    item.reason = reason.clone();
    match reason {
        Reason::CopiesInFlight { .. } => {
            draft.waits_for.insert(COPIES);
        }
        _ => draft.need(&unit, &reason),
    }
}

/// Nothing goes in a place before what is made there has begun: when that fails,
/// everything stays. What there is no room for is not waited for, because what
/// goes makes the room.
fn let_deletions_wait(items: &mut [Drafted]) {
    let mut made: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for drafted in &*items {
        if let Decision::Act(change) = &drafted.item.decision
            && matches!(
                change.action,
                Action::CreateSnapshot(_) | Action::CopySnapshot(_)
            )
        {
            let of_unit = made.entry(drafted.item.unit.clone()).or_default();
            of_unit.push(drafted.item.target.clone());
        }
    }
    for drafted in items {
        if let Decision::Act(change) = &mut drafted.item.decision
            && change.effect == Effect::Destroy
            && let Some(targets) = made.get(&drafted.item.unit)
        {
            change.after = After::Targets(targets.clone());
        }
    }
}
