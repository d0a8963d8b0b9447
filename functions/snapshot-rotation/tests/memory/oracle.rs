//! restic's rules, worked out as plainly as possible and on purpose in another way
//! than the function does: each rule by itself, over names of hours, days, weeks,
//! months and years.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use snapshot_rotation::retention::Keep;

/// Which of these stay, given when the data of each was taken.
pub(crate) fn stay(
    keep: &Keep,
    snapshots: &BTreeMap<String, Timestamp>,
    zone: &TimeZone,
) -> BTreeSet<String> {
    let Some(newest) = snapshots.values().max() else {
        return BTreeSet::new();
    };
    let mut stay = BTreeSet::new();
    let named = [
        ("%Y-%m-%d %H %z", keep.hourly),
        ("%Y-%m-%d", keep.daily),
        ("%G-%V", keep.weekly),
        ("%Y-%m", keep.monthly),
        ("%Y", keep.yearly),
    ];
    for (name, count) in named {
        stay.extend(newest_of_each(name, count as usize, snapshots, zone));
    }
    let mut newest_first: Vec<(&Timestamp, &String)> =
        snapshots.iter().map(|(id, at)| (at, id)).collect();
    newest_first.sort();
    newest_first.reverse();
    let last = newest_first.iter().take(keep.last as usize);
    stay.extend(last.map(|(_, id)| (*id).clone()));
    if let Some(within) = keep.within {
        let since = within.before(*newest);
        let young = snapshots.iter().filter(|(_, at)| **at > since);
        stay.extend(young.map(|(id, _)| id.clone()));
    }
    stay
}

/// The newest of each of the newest so many; and the oldest of all, when there
/// are not so many.
fn newest_of_each(
    name: &str,
    count: usize,
    snapshots: &BTreeMap<String, Timestamp>,
    zone: &TimeZone,
) -> BTreeSet<String> {
    let mut of_each: BTreeMap<String, (Timestamp, String)> = BTreeMap::new();
    for (id, at) in snapshots {
        let of = at.to_zoned(zone.clone()).strftime(name).to_string();
        let newest = of_each.entry(of).or_insert((*at, id.clone()));
        *newest = newest.clone().max((*at, id.clone()));
    }
    let too_few = of_each.len() < count;
    let mut newest: Vec<(Timestamp, String)> = of_each.into_values().collect();
    newest.sort();
    newest.reverse();
    let mut stay: BTreeSet<String> = newest.into_iter().take(count).map(|(_, id)| id).collect();
    if too_few {
        let oldest = snapshots.iter().min_by_key(|(id, at)| (**at, *id));
        stay.extend(oldest.map(|(id, _)| id.clone()));
    }
    stay
}
