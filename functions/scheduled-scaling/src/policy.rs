//! What scheduled-scaling is told.

use std::collections::{BTreeMap, BTreeSet};

use jiff::ToSpan;
use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use steward::policy::{Notify, Policy, Problems, Selection};

use crate::order::{self, Needs};
use crate::price::Price;
use crate::schedule::{Dates, Period, Schedule};
use crate::world::Sizes;

type Length = steward::policy::Period;

/// The policy of scheduled-scaling.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ScalingPolicy {
    /// Lists of dates, by the names that schedules use.
    pub holidays: BTreeMap<String, Vec<Dates>>,
    /// Schedules, by the names that environments use.
    pub schedules: BTreeMap<String, Schedule>,
    /// What sleeps and wakes together, by the value of its tag `steward:environment`.
    /// Required for apply.
    pub environments: BTreeMap<String, Environment>,
    /// The currency of all prices, three capital letters (ISO 4217).
    pub currency: String,
    /// How late something is still put to sleep, after an outage; waking is never too
    /// late. 15m to 7d.
    pub catch_up: Length,
    /// How much one run may do.
    pub limits: Limits,
    /// What a run tells people.
    pub notify: Notify,
}

impl Default for ScalingPolicy {
    fn default() -> Self {
        Self {
            holidays: BTreeMap::new(),
            schedules: BTreeMap::new(),
            environments: BTreeMap::new(),
            currency: "USD".to_owned(),
            catch_up: Length::days(1),
            limits: Limits::default(),
            notify: Notify::default(),
        }
    }
}

/// What sleeps and wakes together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Environment {
    /// Its schedules. On beats off; of several that say on the first decides the
    /// size.
    pub schedules: Vec<String>,
    /// What it is made of, and what needs what. Null: databases; capacity (Auto Scaling
    /// groups), which needs them; and services, which need both.
    #[serde(default)]
    pub members: Option<BTreeMap<String, Member>>,
    /// How long a step of parking or waking may take before a person is told. 5m to
    /// 1d.
    #[serde(default = "an_hour")]
    pub ready_within: Length,
    /// What one hour awake costs more than one asleep, 0 to 1000000000, for what a
    /// preview says is saved. Null: it says nothing of money.
    #[serde(default)]
    pub price_per_hour: Option<Price>,
    /// The same of sizes whose hours cost something else, by their names.
    #[serde(default)]
    pub price_per_hour_of: BTreeMap<String, Price>,
}

/// Resources of an environment that sleep and wake at the same time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Member {
    /// Services of Amazon ECS, as `CLUSTER/SERVICE`.
    pub services: Option<Selection>,
    /// Auto Scaling groups.
    pub groups: Option<Selection>,
    /// RDS instances.
    pub databases: Option<Selection>,
    /// Whether resources without the environment's tag are taken too.
    pub untagged: bool,
    /// The members that must be ready before it wakes. It sleeps before they do.
    pub needs: BTreeSet<String>,
    /// Its sizes, by the names that periods use.
    pub sizes: BTreeMap<String, Size>,
    /// Whether its databases get a snapshot before they sleep.
    pub snapshot: bool,
}

/// How much of it runs: tasks of a service, instances of a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Size {
    /// The least. Null: as remembered.
    pub min: Option<u32>,
    /// How many. Null: as remembered.
    pub desired: Option<u32>,
    /// The most. Null: as remembered.
    pub max: Option<u32>,
}

/// How much one run may do. Waking has no limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// The most resources that one run parks; the rest waits for the next. 1 to
    /// 1000.
    pub max_parked_per_run: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_parked_per_run: 100,
        }
    }
}

fn an_hour() -> Length {
    Length::hours(1)
}

/// The members of an environment that names none.
fn default_members() -> BTreeMap<String, Member> {
    let all = || Some(Selection::everything());
    let databases = Member {
        databases: all(),
        ..Member::default()
    };
    let capacity = Member {
        groups: all(),
        needs: ["databases"].map(str::to_owned).into(),
        ..Member::default()
    };
    let services = Member {
        services: all(),
        needs: ["capacity", "databases"].map(str::to_owned).into(),
        ..Member::default()
    };
    [
        ("databases", databases),
        ("capacity", capacity),
        ("services", services),
    ]
    .map(|(name, member)| (name.to_owned(), member))
    .into()
}

impl Environment {
    /// Its members: those of the policy, or those of an environment without any.
    pub fn members(&self) -> BTreeMap<String, Member> {
        self.members.clone().unwrap_or_else(default_members)
    }

    /// What each of its members needs.
    pub fn needs(&self) -> Needs {
        let members = self.members().into_iter();
        members.map(|(name, member)| (name, member.needs)).collect()
    }

    fn check(&self, path: &str, policy: &ScalingPolicy, problems: &mut Problems) {
        let at = |key: &str| format!("{path}.{key}");
        if self.schedules.is_empty() {
            problems.add(&at("schedules"), "an empty list", "one schedule or more");
        }
        for (n, name) in self.schedules.iter().enumerate() {
            let path = format!("{}[{n}]", at("schedules"));
            if !policy.schedules.contains_key(name) {
                problems.add(&path, quoted(name), names_of(&policy.schedules));
            } else if self.schedules[..n].contains(name) {
                problems.add(&path, quoted(name), "each schedule once");
            }
        }
        let is_one_sided = |name: &&String| {
            let schedule = policy.schedules.get(*name);
            schedule.is_some_and(Schedule::is_one_sided)
        };
        if self.schedules.len() > 1
            && let Some(name) = self.schedules.iter().find(is_one_sided)
        {
            problems.add(
                &at("schedules"),
                format!("{} beside another", quoted(name)),
                "a schedule with a period that only starts or only stops alone: put the periods \
                 of both into one",
            );
        }
        let (least, most) = (Length::minutes(5), Length::days(1));
        problems.within(&at("ready_within"), self.ready_within, least, most);
        if self.members.as_ref().is_some_and(BTreeMap::is_empty) {
            problems.add(
                &at("members"),
                "no members",
                "one or more, or null for all by their tag",
            );
        }
        for (name, member) in self.members.iter().flatten() {
            member.check(&format!("{}.{name}", at("members")), problems);
        }
        if let Err(error) = order::waves(&self.needs()) {
            problems.add(
                &at("members"),
                error,
                "members that need others, never in a circle",
            );
        }
        let sizes = self.sizes();
        self.check_sizes(path, policy, &sizes, problems);
        if self.price_per_hour.is_none() && !self.price_per_hour_of.is_empty() {
            problems.add(
                &at("price_per_hour_of"),
                "prices of sizes alone",
                "them beside a price_per_hour",
            );
        }
        for size in self.price_per_hour_of.keys() {
            if !sizes.contains(size.as_str()) {
                let path = format!("{}.{size}", at("price_per_hour_of"));
                problems.add(&path, "the price of no size", one_of(&sizes));
            }
        }
    }

    /// The names of its sizes, those of all members.
    pub fn sizes(&self) -> BTreeSet<String> {
        let members = self.members.iter().flat_map(BTreeMap::values);
        members.flat_map(|m| m.sizes.keys().cloned()).collect()
    }

    /// Every size that a period asks for is one of some member.
    fn check_sizes(
        &self,
        path: &str,
        policy: &ScalingPolicy,
        sizes: &BTreeSet<String>,
        problems: &mut Problems,
    ) {
        for name in &self.schedules {
            let Some(schedule) = policy.schedules.get(name) else {
                continue;
            };
            let wanted = schedule
                .all_periods()
                .filter_map(|period| period.size.as_ref());
            for size in wanted.filter(|size| !sizes.contains(*size)) {
                let found = format!(
                    "without size {}, which schedule {name} asks for,",
                    quoted(size)
                );
                problems.add(
                    &format!("{path}.members"),
                    found,
                    "a member with a size of this name",
                );
            }
        }
    }
}

impl Member {
    fn check(&self, path: &str, problems: &mut Problems) {
        let at = |key: &str| format!("{path}.{key}");
        let kinds = [
            ("services", &self.services),
            ("groups", &self.groups),
            ("databases", &self.databases),
        ];
        if kinds.iter().all(|(_, selection)| selection.is_none()) {
            problems.add(
                path,
                "a member of nothing",
                "services, groups, databases or several",
            );
        }
        for (key, selection) in kinds {
            if let Some(selection) = selection {
                selection.check(&at(key), problems);
            }
        }
        if self.snapshot && self.databases.is_none() {
            problems.add(&at("snapshot"), true, "true only where there are databases");
        }
        for (name, size) in &self.sizes {
            size.check(&format!("{}.{name}", at("sizes")), problems);
        }
    }
}

impl Size {
    /// The sizes of a resource in this one, and else those that it has.
    pub(crate) fn over(self, sizes: Sizes) -> Sizes {
        Sizes {
            min: self.min.or(sizes.min),
            desired: self.desired.or(self.min.max(sizes.desired)),
            max: self.max.or(sizes.max),
            suspended: sizes.suspended,
        }
    }

    fn check(self, path: &str, problems: &mut Problems) {
        let Self { min, desired, max } = self;
        let order = [("min", min), ("desired", desired), ("max", max)];
        let told: Vec<(&str, u32)> = order
            .into_iter()
            .filter_map(|(key, value)| Some((key, value?)))
            .collect();
        if told.is_empty() {
            problems.add(path, "a size of nothing", "min, desired, max or several");
        }
        if max == Some(0) {
            problems.add(
                &format!("{path}.max"),
                0,
                "1 or more: ECS could not scale out of 0",
            );
        }
        for pair in told.windows(2) {
            let [(smaller, low), (larger, high)] = pair else {
                continue;
            };
            if low > high {
                let found = format!("{smaller} {low} with {larger} {high}");
                problems.add(path, found, "min up to desired, and desired up to max");
            }
        }
    }
}

impl ScalingPolicy {
    /// The dates of each list of holidays.
    pub fn dates_of_holidays(&self) -> BTreeMap<String, BTreeSet<Date>> {
        let dates = |dates: &Dates| {
            let Dates { from, until } = *dates;
            from.series(1.day()).take_while(move |date| *date <= until)
        };
        let lists = self.holidays.iter();
        lists
            .map(|(name, list)| (name.clone(), list.iter().flat_map(dates).collect()))
            .collect()
    }

    fn check_schedule(&self, name: &str, schedule: &Schedule, problems: &mut Problems) {
        let path = format!("schedules.{name}");
        let at = |key: &str| format!("{path}.{key}");
        if TimeZone::get(&schedule.time_zone).is_err() {
            let allowed = "an IANA time zone such as Europe/Berlin";
            problems.add(&at("time_zone"), quoted(&schedule.time_zone), allowed);
        }
        if schedule.periods.is_empty() && schedule.exceptions.is_empty() {
            problems.add(&at("periods"), "an empty list", "one period or more");
        }
        check_periods(&at("periods"), &schedule.periods, Days::OfTheWeek, problems);
        for (n, exception) in schedule.exceptions.iter().enumerate() {
            let path = format!("{}[{n}].periods", at("exceptions"));
            check_periods(&path, &exception.periods, Days::Every, problems);
        }
        for (n, list) in schedule.holidays.iter().enumerate() {
            if !self.holidays.contains_key(list) {
                let path = format!("{}[{n}]", at("holidays"));
                problems.add(&path, quoted(list), names_of(&self.holidays));
            }
        }
        if let (Some(from), Some(until)) = (schedule.from_date, schedule.until_date)
            && until < from
        {
            problems.add(
                &at("until_date"),
                until,
                format!("{from} (from_date) or later"),
            );
        }
        for (n, calendar) in schedule.change_calendars.iter().enumerate() {
            if calendar.trim().is_empty() {
                let path = format!("{}[{n}]", at("change_calendars"));
                problems.add(
                    &path,
                    quoted(calendar),
                    "the name or ARN of a Change Calendar",
                );
            }
        }
    }
}

/// On which days periods are judged against each other.
#[derive(Clone, Copy)]
enum Days {
    /// Each on its own.
    OfTheWeek,
    /// All on the same date.
    Every,
}

const MINUTES_OF_A_DAY: i64 = 24 * 60;
const MINUTES_OF_A_WEEK: i64 = 7 * MINUTES_OF_A_DAY;

/// Each period begins or ends, has a length, and overlaps no other.
fn check_periods(path: &str, periods: &[Period], days: Days, problems: &mut Problems) {
    for (n, period) in periods.iter().enumerate() {
        let path = format!("{path}[{n}]");
        match (period.start, period.stop) {
            (None, None) => problems.add(&path, "a period without times", "start, stop or both"),
            (Some(start), Some(stop)) if start == stop => problems.add(
                &path,
                format!("{start} to {stop}"),
                "times that differ; a whole day is 00:00 to 24:00",
            ),
            _ => {}
        }
        if period.start.is_none() && period.size.is_some() {
            problems.add(
                &format!("{path}.size"),
                "a size",
                "one only where there is a start",
            );
        }
        let earlier = &periods[..n];
        let own = on_the_circle(period, days);
        let overlapping = earlier.iter().position(|other| {
            let others = on_the_circle(other, days);
            own.iter()
                .any(|one| others.iter().any(|other| overlap(*one, *other)))
        });
        if let Some(other) = overlapping {
            let found = format!("a period that overlaps [{other}]");
            problems.add(&path, found, "periods that at most touch");
        }
    }
}

/// The minutes of the week in which a period begins, each with its length; none of
/// one that only starts or stops.
fn on_the_circle(period: &Period, days: Days) -> Vec<(i64, i64)> {
    let (Some(start), Some(stop)) = (period.start, period.stop) else {
        return vec![];
    };
    let length = (stop.minutes() - start.minutes()).rem_euclid(MINUTES_OF_A_DAY);
    // From 00:00 to 24:00.
    let length = if length == 0 {
        MINUTES_OF_A_DAY
    } else {
        length
    };
    let week = [
        Weekday::Monday,
        Weekday::Tuesday,
        Weekday::Wednesday,
        Weekday::Thursday,
        Weekday::Friday,
        Weekday::Saturday,
        Weekday::Sunday,
    ];
    let begins = |(_, day): &(i64, Weekday)| match days {
        Days::OfTheWeek => period.days.contains(*day),
        Days::Every => *day == Weekday::Monday,
    };
    let on = (0..).zip(week).filter(begins);
    on.map(|(n, _)| (n * MINUTES_OF_A_DAY + start.minutes(), length))
        .collect()
}

/// Whether two times on the circle of the week share a minute.
fn overlap((one, length): (i64, i64), (other, others_length): (i64, i64)) -> bool {
    let from_one = (other - one).rem_euclid(MINUTES_OF_A_WEEK);
    let from_other = (one - other).rem_euclid(MINUTES_OF_A_WEEK);
    from_one < length || from_other < others_length
}

fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}

/// What may be named, in words.
fn names_of<T>(named: &BTreeMap<String, T>) -> String {
    one_of(named.keys())
}

fn one_of<'a>(names: impl IntoIterator<Item = &'a String>) -> String {
    let names: Vec<&str> = names.into_iter().map(String::as_str).collect();
    if names.is_empty() {
        return "none, because there are none".to_owned();
    }
    names.join(", ")
}

impl Policy for ScalingPolicy {
    fn check(&self, problems: &mut Problems) {
        for (name, list) in &self.holidays {
            if list.is_empty() {
                problems.add(
                    &format!("holidays.{name}"),
                    "an empty list",
                    "one date or more",
                );
            }
        }
        for (name, schedule) in &self.schedules {
            self.check_schedule(name, schedule, problems);
        }
        for (name, environment) in &self.environments {
            environment.check(&format!("environments.{name}"), self, problems);
        }
        let letters = self.currency.bytes();
        if letters.len() != 3 || !letters.into_iter().all(|b| b.is_ascii_uppercase()) {
            let allowed = "three capital letters, such as USD or EUR";
            problems.add("currency", quoted(&self.currency), allowed);
        }
        let (least, most) = (Length::minutes(15), Length::days(7));
        problems.within("catch_up", self.catch_up, least, most);
        let parked = self.limits.max_parked_per_run;
        problems.within("limits.max_parked_per_run", parked, 1, 1000);
        self.notify.check("notify", problems);
    }

    fn selects_targets(&self) -> bool {
        !self.environments.is_empty()
    }

    fn notify(&self) -> &Notify {
        &self.notify
    }
}

#[cfg(test)]
mod tests;
