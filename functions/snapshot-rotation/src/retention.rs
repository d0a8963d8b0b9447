//! Which restorable snapshots of one database, in one Region and account, stay:
//! the rules of restic's `forget` ("Removing snapshots according to a policy",
//! restic documentation), under their names.
//!
//! Pure. It judges snapshots that can be restored and nothing else; a broken or
//! unfinished one takes no place here, so that a database whose backups fail
//! keeps what it has. It must never go by the clock alone: what is old is old
//! against the newest snapshot there is.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use steward::policy::{Period, Problems};

/// How many are kept of each kind. The rules are alternatives: a snapshot that
/// one of them keeps stays.
///
/// A count is of hours, days, weeks (ISO, from Monday), months and years in which
/// there is a snapshot; of each the newest stays. While a count is not reached,
/// the oldest snapshot of all stays as well, so that a history grows to its
/// length.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Keep {
    /// The newest so many, 0 to 10,000.
    #[schemars(range(max = 10_000))]
    pub last: u32,
    /// The newest of so many hours.
    #[schemars(range(max = 10_000))]
    pub hourly: u32,
    /// The newest of so many days.
    #[schemars(range(max = 10_000))]
    pub daily: u32,
    /// The newest of so many weeks.
    #[schemars(range(max = 10_000))]
    pub weekly: u32,
    /// The newest of so many months.
    #[schemars(range(max = 10_000))]
    pub monthly: u32,
    /// The newest of so many years.
    #[schemars(range(max = 10_000))]
    pub yearly: u32,
    /// All that are younger than this, seen from the newest.
    pub within: Option<Period>,
}

/// The most that a count can be.
const MOST: u32 = 10_000;

impl Keep {
    /// What stays where a policy does not say.
    pub(crate) fn by_default() -> Self {
        Self {
            last: 2,
            daily: 7,
            weekly: 5,
            monthly: 12,
            ..Self::default()
        }
    }

    /// Finds bad values, at `path`.
    pub(crate) fn check(&self, path: &str, problems: &mut Problems) {
        for (key, count) in [
            ("last", self.last),
            ("hourly", self.hourly),
            ("daily", self.daily),
            ("weekly", self.weekly),
            ("monthly", self.monthly),
            ("yearly", self.yearly),
        ] {
            problems.within(&format!("{path}.{key}"), count, 0, MOST);
        }
    }

    /// How many snapshots of a long history, one for each interval, it keeps at
    /// least; `None` for all.
    pub(crate) fn at_least(&self, every: Period) -> Option<i64> {
        let counts = [
            self.last,
            self.hourly,
            self.daily,
            self.weekly,
            self.monthly,
            self.yearly,
        ];
        let most = i64::from(counts.into_iter().max().unwrap_or(0));
        let within = self
            .within
            .map_or(0, |within| within.seconds() / every.seconds().max(1));
        (!self.is_empty()).then_some(most.max(within).max(1))
    }

    /// Whether it has no rule at all. Then nothing is thinned: no rule is not the
    /// same as nothing worth keeping.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A restorable snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restorable<'a> {
    /// Its identifier.
    pub id: &'a str,
    /// When its data was taken. A copy has a time of its own, which this is not
    /// (`OriginalSnapshotCreateTime`, Amazon RDS API Reference, `DBSnapshot`).
    pub taken_at: Timestamp,
}

/// Of what a rule keeps the newest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Per {
    /// Of nothing: each snapshot counts.
    Snapshot,
    /// Of an hour.
    Hour,
    /// Of a day.
    Day,
    /// Of an ISO week.
    Week,
    /// Of a month.
    Month,
    /// Of a year.
    Year,
}

/// Why a snapshot stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stays {
    /// The newest of its hour, day and so on, or among the last.
    Newest(Per),
    /// The oldest there is, while a rule has not reached its count.
    Oldest(Per),
    /// Younger than this, seen from the newest.
    Within(Period),
    /// Taken after now: somewhere a clock is wrong, and it takes no place.
    InTheFuture,
    /// The policy has no rule.
    NoRule,
}

impl fmt::Display for Stays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Newest(Per::Snapshot) => f.write_str("among the last"),
            Self::Newest(per) => f.write_str(per.adjective()),
            Self::Oldest(per) => write!(f, "oldest, as long as {} are too few", per.plural()),
            Self::Within(period) => write!(f, "within {period}"),
            Self::InTheFuture => f.write_str("taken in the future"),
            Self::NoRule => f.write_str("the policy has no rule to thin by"),
        }
    }
}

impl Per {
    fn adjective(self) -> &'static str {
        match self {
            Self::Snapshot => "last",
            Self::Hour => "hourly",
            Self::Day => "daily",
            Self::Week => "weekly",
            Self::Month => "monthly",
            Self::Year => "yearly",
        }
    }

    fn plural(self) -> &'static str {
        match self {
            Self::Snapshot => "snapshots",
            Self::Hour => "hours",
            Self::Day => "days",
            Self::Week => "weeks",
            Self::Month => "months",
            Self::Year => "years",
        }
    }

    /// What two snapshots share that are of the same hour, day and so on. The
    /// offset tells the two hours of one name apart when summer time ends.
    fn of(self, nth: usize, at: Timestamp, zone: &TimeZone) -> [i32; 5] {
        let local = at.to_zoned(zone.clone());
        let year = i32::from(local.year());
        let (month, day) = (i32::from(local.month()), i32::from(local.day()));
        match self {
            Self::Snapshot => [i32::try_from(nth).unwrap_or(i32::MAX), 0, 0, 0, 0],
            Self::Hour => [
                year,
                month,
                day,
                local.hour().into(),
                local.offset().seconds(),
            ],
            Self::Day => [year, month, day, 0, 0],
            Self::Week => {
                let week = local.date().iso_week_date();
                [week.year().into(), week.week().into(), 0, 0, 0]
            }
            Self::Month => [year, month, 0, 0, 0],
            Self::Year => [year, 0, 0, 0, 0],
        }
    }
}

/// What stays of these snapshots, and why; what is not in the answer goes by these
/// rules. Hours, days and so on are those of `zone`.
///
/// The newest always stays, unless it is in the future: it is the first of every
/// rule.
pub fn stay<'a>(
    keep: &Keep,
    snapshots: &[Restorable<'a>],
    zone: &TimeZone,
    now: Timestamp,
) -> BTreeMap<&'a str, Vec<Stays>> {
    let (mut past, future): (Vec<_>, Vec<_>) = snapshots
        .iter()
        .copied()
        .partition(|snapshot| snapshot.taken_at <= now);
    let ids = |all: Vec<Restorable<'a>>, why| all.into_iter().map(move |s| (s.id, vec![why]));
    let mut staying: BTreeMap<&str, Vec<Stays>> = ids(future, Stays::InTheFuture).collect();
    if keep.is_empty() {
        staying.extend(ids(past, Stays::NoRule));
        return staying;
    }
    past.sort_by(|a, b| b.taken_at.cmp(&a.taken_at).then(b.id.cmp(a.id)));
    let since = past
        .first()
        .zip(keep.within)
        .map(|(newest, within)| within.before(newest.taken_at));
    let mut rules = [
        (Per::Snapshot, keep.last, None),
        (Per::Hour, keep.hourly, None),
        (Per::Day, keep.daily, None),
        (Per::Week, keep.weekly, None),
        (Per::Month, keep.monthly, None),
        (Per::Year, keep.yearly, None),
    ];
    for (nth, snapshot) in past.iter().enumerate() {
        let mut why = Vec::new();
        for (per, left, last) in rules.iter_mut().filter(|(_, left, _)| *left > 0) {
            let own = Some(per.of(nth, snapshot.taken_at, zone));
            if *last != own {
                why.push(Stays::Newest(*per));
            } else if nth + 1 == past.len() {
                why.push(Stays::Oldest(*per));
            } else {
                continue;
            }
            *last = own;
            *left -= 1;
        }
        if let (Some(since), Some(within)) = (since, keep.within)
            && snapshot.taken_at > since
        {
            why.push(Stays::Within(within));
        }
        if !why.is_empty() {
            staying.insert(snapshot.id, why);
        }
    }
    staying
}

#[cfg(test)]
mod tests;
