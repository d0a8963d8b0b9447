//! Which snapshots there will be in a week, a month and a year, if everything goes
//! well.
//!
//! Pure: it looks at what was seen and changes nothing. What it supposes: a run
//! comes each time that a snapshot is due by `every`, the first one now; snapshots
//! and copies succeed and take no time; there is room for them; no limit holds
//! anything back; and nobody changes the databases, their tags or the policy.

mod course;

use std::collections::{BTreeMap, BTreeSet};
use std::thread;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan as _};
use serde::Serialize;
use steward::engine::{Decision, Plan, Reason as _, Seen};
use steward::policy::Period;

use self::course::{Course, MOST_FOLLOWED, labels};
use crate::Scope;
use crate::action::Action;
use crate::decide::{ALLOW_SNAPSHOTS, ByDatabase, PASSING, by_database, rule_of};
use crate::policy::{Limits, RotationPolicy, Rule};
use crate::reason::Reason;
use crate::retention::Keep;
use crate::world::{Database, Holdings, Place, World};

/// How many manual snapshots an account may have in a Region, unless AWS has raised
/// it ("Quotas and constraints for Amazon RDS", Amazon RDS User Guide).
pub const MANUAL_SNAPSHOTS: u64 = 100;

/// What is and what will be.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Preview {
    /// Now, and a week, a month and a year later.
    pub moments: [Timestamp; 4],
    /// The databases that a rule rotates, those together that are alike; first what
    /// most databases have.
    pub pictures: Vec<Picture>,
    /// The databases that nothing can be said about, or that stay as they are.
    pub left: Vec<Left>,
    /// How many snapshots there will be in each place, of everybody; first that of the
    /// databases. Empty when not all databases were asked for.
    pub room: Vec<Room>,
}

/// Databases of one rule whose snapshots are of the same days (where the rule counts
/// in hours, of the same hours) and stay for the same reasons.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Picture {
    /// The rule.
    pub rule: String,
    /// How often it makes a snapshot.
    pub every: Period,
    /// Their identifiers. What follows is that of the first.
    pub databases: Vec<String>,
    /// Where there are snapshots; first the place of the databases.
    pub places: Vec<InPlace>,
    /// What only a person can put right, a sentence each.
    pub needs: BTreeSet<String>,
}

/// The snapshots of a database in a place.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct InPlace {
    /// The place.
    pub place: Place,
    /// What thins them; `None` in a place that the rule does not name.
    pub keep: Option<Keep>,
    /// What there is at each moment of the preview; not at the later ones, when there
    /// are more than a thousand before.
    pub moments: Vec<Moment>,
}

/// What there is at one time.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Moment {
    /// When.
    pub at: Timestamp,
    /// The snapshots, the newest first.
    pub snapshots: Vec<Drawn>,
}

/// A snapshot.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Drawn {
    /// Its identifier.
    pub snapshot: String,
    /// When its data was taken; `None` when nobody knows.
    pub taken_at: Option<Timestamp>,
    /// The rules that keep it (`last`, `hourly`, `daily`, `weekly`, `monthly`,
    /// `yearly`, `within 7d`, `oldest`), or one reason code.
    pub why: Vec<String>,
    /// Whether a run at that time would delete it.
    pub goes: bool,
}

/// A database that is not drawn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Left {
    /// Its identifier.
    pub database: String,
    /// A reason code.
    pub reason: &'static str,
    /// The same as a sentence.
    pub because: String,
}

/// How many manual snapshots there are in a place, of all databases and of
/// everybody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Room {
    /// The place.
    pub place: Place,
    /// How many there are now.
    pub now: u64,
    /// The most at once in the year to come, to a few: those of each day are counted
    /// as if they were there all day. Of a database of which more than a thousand
    /// stay, no more are counted.
    pub most: u64,
    /// The first time at which there are so many, to the day.
    pub most_at: Timestamp,
    /// How many there may be; `None` when the account does not say.
    pub max: Option<u64>,
    /// When there are more than there may be, by [`MANUAL_SNAPSHOTS`] where the
    /// account does not say; to the day.
    pub full_at: Option<Timestamp>,
}

/// What will be of the databases that were seen.
pub fn preview(
    policy: &RotationPolicy,
    scope: &Scope,
    seen: &Seen<World>,
    now: Timestamp,
) -> Preview {
    let world = &seen.world;
    let rules = policy.rules();
    let of = by_database(world);
    let mut left = Vec::new();
    let mut alike: BTreeMap<(usize, Likeness), Vec<&Database>> = BTreeMap::new();
    let covered = |database: &&Database| scope.covers(&database.identifier);
    for database in world.databases.iter().filter(covered) {
        let rule = rule_of(&rules, database)
            .and_then(|rule| is_drawn(rule, seen, database, now).map(|()| rule));
        let rule = match rule {
            Ok(rule) => rule,
            Err(reason) => {
                left.push(Left {
                    database: database.identifier.clone(),
                    reason: reason.code(),
                    because: reason.to_string(),
                });
                continue;
            }
        };
        let nth = rules.iter().position(|other| std::ptr::eq(other, rule));
        let course = Course::new(rule, &policy.limits, world, &of, database, now);
        let key = (nth.unwrap_or(0), likeness(rule, &course.plan(now)));
        alike.entry(key).or_default().push(database);
    }
    let alike: Vec<(&Rule, Vec<&Database>)> = alike
        .into_iter()
        .filter_map(|((nth, _), databases)| Some((rules.get(nth)?, databases)))
        .collect();
    let drawings = side_by_side(&alike, |(rule, databases)| {
        let first = databases.first()?;
        Some(draw(rule, &policy.limits, world, &of, first, now))
    });
    let mut crowd = Crowd::new(world, now);
    let mut pictures = Vec::new();
    for ((_, databases), drawing) in alike.iter().zip(drawings) {
        let Some((picture, course)) = drawing else {
            continue;
        };
        crowd.add(&course, databases.len() as u64);
        let names = databases.iter().map(|database| database.identifier.clone());
        pictures.push(Picture {
            databases: names.collect(),
            ..picture
        });
    }
    pictures.sort_by(|a, b| {
        let of_many = |picture: &Picture| std::cmp::Reverse(picture.databases.len());
        (of_many(a), &a.databases).cmp(&(of_many(b), &b.databases))
    });
    Preview {
        moments: moments(now),
        pictures,
        left,
        room: match scope {
            Scope::Everything => crowd.room(),
            _ => vec![],
        },
    }
}

/// Does the same for each on all processors, and answers in their order. A year of
/// snapshots every hour is some ten thousand decisions.
fn side_by_side<T: Sync, R: Send>(all: &[T], what: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let hands = thread::available_parallelism().map_or(1, usize::from);
    let share = all.len().div_ceil(hands).max(1);
    let what = &what;
    thread::scope(|scope| {
        let shares = all.chunks(share);
        let working: Vec<_> = shares
            .map(|share| scope.spawn(move || share.iter().map(what).collect::<Vec<R>>()))
            .collect();
        let done = working.into_iter().flat_map(|share| match share.join() {
            Ok(done) => done,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        done.collect()
    })
}

/// The policy without its buckets: a preview is of snapshots, and needs no permission
/// to read what documents tell.
pub fn without_documents(policy: &RotationPolicy) -> RotationPolicy {
    let mut policy = policy.clone();
    policy.restore_points = None;
    let copies = policy.rules.iter_mut().flat_map(|rule| &mut rule.copies);
    for copy in copies {
        copy.restore_points = None;
    }
    policy
}

/// What will be of a database that begins now, under each rule; `home` is where it
/// is. Nothing of AWS is needed.
pub fn preview_from_nothing(policy: &RotationPolicy, home: &Place, now: Timestamp) -> Preview {
    let pictures = side_by_side(&policy.rules(), |rule| {
        let copies = rule.copies.iter().map(|copy| copy.place());
        let places = std::iter::once(home.clone()).chain(copies);
        let world = World {
            home: home.clone(),
            databases: vec![],
            places: places.map(|place| (place, Holdings::default())).collect(),
            recordings: BTreeMap::new(),
            aws_managed_keys: BTreeSet::new(),
        };
        let database = made_up(home, now);
        let of = ByDatabase::new();
        draw(rule, &policy.limits, &world, &of, &database, now).0
    });
    Preview {
        moments: moments(now),
        pictures,
        left: vec![],
        room: vec![],
    }
}

fn made_up(home: &Place, now: Timestamp) -> Database {
    Database {
        identifier: "new-database".to_owned(),
        resource_id: "db-NEWDATABASE".to_owned(),
        arn: format!("arn:aws:rds:{}::db:new-database", home.region),
        status: "available".to_owned(),
        created_at: Some(now),
        replica_of: None,
        cluster: None,
        tags: BTreeMap::new(),
    }
}

/// Now, and a week, a month and a year later.
fn moments(now: Timestamp) -> [Timestamp; 4] {
    let from = now.to_zoned(TimeZone::UTC);
    [0.days(), 7.days(), 1.month(), 1.year()].map(|span| {
        let then = from.checked_add(span);
        then.map_or(now, |then| then.timestamp())
    })
}

/// Why a database stays as it is, or cannot be judged.
fn is_drawn(
    rule: &Rule,
    seen: &Seen<World>,
    database: &Database,
    now: Timestamp,
) -> Result<(), Reason> {
    let home = seen.world.home.clone();
    let copies = rule.copies.iter().map(|copy| copy.place());
    let mut units = std::iter::once(home)
        .chain(copies)
        .map(|place| place.unit(&database.identifier, &database.resource_id));
    let gap = units.find_map(|unit| seen.gaps.iter().find(|gap| gap.hides.covers(&unit)));
    if let Some(gap) = gap {
        let read = gap.read.clone();
        return Err(Reason::Unseen { read });
    }
    if let Some(hold) = database.hold(now) {
        return Err(Reason::Held(hold));
    }
    let status = database.status.as_str();
    if ALLOW_SNAPSHOTS.contains(&status) || PASSING.contains(&status) {
        Ok(())
    } else {
        let status = status.to_owned();
        Err(Reason::NotAvailable { status })
    }
}

/// What the future of a database follows from: of each thing that is decided about
/// now where, as of which day or hour, why and what.
type Likeness = Vec<(String, Option<(Date, Option<i8>)>, Vec<String>, u8)>;

fn likeness(rule: &Rule, plan: &Plan<Action, Reason>) -> Likeness {
    let zone = rule.zone();
    let keeps = rule.copies.iter().filter_map(|copy| copy.keep.as_ref());
    let mut keeps = std::iter::once(&rule.keep).chain(keeps);
    let in_hours = rule.every < Period::days(1) || keeps.any(|keep| keep.hourly > 0);
    let items = plan.items.iter().map(|item| {
        let place = item.unit.split('/').next().unwrap_or_default();
        let since = item.since.map(|since| {
            let local = since.to_zoned(zone.clone());
            (local.date(), in_hours.then(|| local.hour()))
        });
        let why = match &item.reason {
            Reason::Held(hold) => vec![hold.to_string()],
            reason => labels(reason),
        };
        let what = match item.decision {
            Decision::Keep => 0,
            Decision::Act(_) => 1,
            Decision::Defer => 2,
        };
        (place.to_owned(), since, why, what)
    });
    let mut likeness: Likeness = items.collect();
    likeness.sort();
    likeness
}

/// What becomes of one database, and its whole course.
fn draw(
    rule: &Rule,
    limits: &Limits,
    world: &World,
    of: &ByDatabase<'_>,
    database: &Database,
    now: Timestamp,
) -> (Picture, Course) {
    let mut course = Course::new(rule, limits, world, of, database, now);
    let mut keeps = BTreeMap::from([(world.home.clone(), rule.keep.clone())]);
    for copy in &rule.copies {
        let keep = copy.keep.as_ref().unwrap_or(&rule.keep);
        keeps.entry(copy.place()).or_insert_with(|| keep.clone());
    }
    let home = std::iter::once(&world.home);
    let others = world.places.keys().filter(|place| **place != world.home);
    let mut places: Vec<InPlace> = home
        .chain(others)
        .map(|place| InPlace {
            place: place.clone(),
            keep: keeps.get(place).cloned(),
            moments: vec![],
        })
        .collect();
    let mut needs = BTreeSet::new();
    let mut next = now;
    for (nth, at) in moments(now).into_iter().enumerate() {
        // The first moment is before the first run.
        if nth == 1 {
            course.settle(now);
        }
        if nth > 0 {
            let Some(then) = course.pass(next, at) else {
                needs.insert(format!(
                    "there would be more than {MOST_FOLLOWED} snapshots of it in a place; what \
                     comes then is not worked out"
                ));
                break;
            };
            next = then;
        }
        let plan = course.plan(at);
        if nth > 0 {
            needs.extend(plan.needs.iter().map(|need| need.what.clone()));
        }
        for place in &mut places {
            place.moments.push(course.look(&place.place, &plan, at));
        }
    }
    places.retain(|place| {
        let mut moments = place.moments.iter();
        place.keep.is_some() || moments.any(|moment| !moment.snapshots.is_empty())
    });
    let picture = Picture {
        rule: rule.name.clone(),
        every: rule.every,
        databases: vec![database.identifier.clone()],
        places,
        needs,
    };
    (picture, course)
}

/// The snapshots of everybody, day by day.
struct Crowd<'a> {
    world: &'a World,
    now: Timestamp,
    /// By place, those of the databases that are drawn: how many there are now, and
    /// on each day from now.
    drawn: BTreeMap<Place, (u64, Vec<u64>)>,
}

impl<'a> Crowd<'a> {
    fn new(world: &'a World, now: Timestamp) -> Self {
        Self {
            world,
            now,
            drawn: BTreeMap::new(),
        }
    }

    /// Adds so many databases with this course.
    fn add(&mut self, course: &Course, databases: u64) {
        let [.., last] = moments(self.now);
        let days = last.duration_since(self.now).as_hours() / 24;
        let days = usize::try_from(days).unwrap_or(0);
        for (place, at_first, of_one) in course.counts() {
            let (now, all) = self.drawn.entry(place.clone()).or_default();
            *now += at_first * databases;
            all.resize(all.len().max(days + 1), 0);
            // After its last run nothing changes.
            let rest = of_one.last().copied().unwrap_or(0);
            let of_one = of_one.iter().copied().chain(std::iter::repeat(rest));
            for (sum, n) in all.iter_mut().zip(of_one) {
                *sum += n * databases;
            }
        }
    }

    fn room(&self) -> Vec<Room> {
        let complete = self.world.places.iter();
        let complete = complete.filter(|(_, holdings)| holdings.complete);
        let mut places: Vec<_> = complete.collect();
        places.sort_by_key(|(place, _)| **place != self.world.home);
        let places = places.into_iter();
        places
            .map(|(place, holdings)| {
                let listed = holdings.snapshots.len() as u64;
                let used = holdings
                    .quota
                    .map_or(listed, |quota| quota.used.max(listed));
                self.room_of(place, used, holdings.quota.map(|quota| quota.max))
            })
            .collect()
    }

    fn room_of(&self, place: &Place, now: u64, max: Option<u64>) -> Room {
        let drawn = self.drawn.get(place);
        let (drawn_now, drawn) = drawn.map_or((0, &[][..]), |(n, days)| (*n, days.as_slice()));
        let at_day = |day: usize| {
            let hours = i64::try_from(day).unwrap_or(0).saturating_mul(24);
            self.now + SignedDuration::from_hours(hours)
        };
        // Those of nobody who is drawn stay.
        let others = now.saturating_sub(drawn_now);
        let most = drawn.iter().map(|n| n + others).max().unwrap_or(now);
        let first = |is: &dyn Fn(u64) -> bool| drawn.iter().position(|n| is(n + others));
        let may_be = max.unwrap_or(MANUAL_SNAPSHOTS);
        let full_now = (now > may_be).then_some(self.now);
        Room {
            place: place.clone(),
            now,
            most,
            most_at: at_day(first(&|n| n == most).unwrap_or(0)),
            max,
            full_at: full_now.or(first(&|n| n > may_be).map(at_day)),
        }
    }
}

#[cfg(test)]
mod tests;
