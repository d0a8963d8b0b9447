//! A year of two databases in a bad world: nights are missed, Regions are down,
//! accounts are full, keys cannot be used, clocks step, snapshots and copies fail,
//! databases are stopped, renamed and made again, and runs are killed or doubled.
//! At no moment is the newest snapshot older than its objective unless the world
//! has made it impossible, and what is there is what restic's rules keep of all
//! that ever was.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use snapshot_rotation::retention::Keep;
use snapshot_rotation::{Contents, CopyTo, Place, Progress, RotationPolicy, Rule, Snapshot};
use steward::policy::{Period, PolicyDocument, Selection};

use crate::cloud::{Cloud, Hands, Shared, block_on, database, document};
use crate::oracle;

const DAYS: u32 = 366;

/// Nothing is said of the first days.
const WARM_UP_HOURS: u32 = 48;

/// Chance that can be repeated: "splitmix64".
pub(crate) struct Chance(Cell<u64>);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Cell::new(seed))
    }

    pub(crate) fn below(&self, bound: u32) -> u32 {
        let seed = self.0.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.0.set(seed);
        let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        u32::try_from((mixed ^ (mixed >> 31)) >> 33).unwrap() % bound
    }

    pub(crate) fn one_in(&self, n: u32) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn turns(&self) -> Vec<u8> {
        (0..7)
            .map(|_| u8::try_from(self.below(4)).unwrap())
            .collect()
    }
}

pub(crate) fn home() -> Place {
    Place::here("eu-west-1")
}

pub(crate) fn west() -> Place {
    Place::here("us-west-2")
}

pub(crate) fn vault() -> Place {
    Place {
        account: Some("222222222222".to_owned()),
        region: "eu-west-1".to_owned(),
    }
}

pub(crate) fn copy_to(place: &Place, keep: Option<Keep>) -> CopyTo {
    let role = |account: &String| format!("arn:aws:iam::{account}:role/steward");
    CopyTo {
        region: place.region.clone(),
        kms_key_id: "alias/backups".to_owned(),
        role_arn: place.account.as_ref().map(role),
        external_id: None,
        keep,
        objective: Some(Period::hours(36)),
        option_group: None,
        restore_points: None,
    }
}

/// How long a copy that has failed may lie before it is made again: RDS does not
/// tell here when it was asked for, so that every other eighth of a day counts.
const TWO_RESTS: u32 = 6;

fn keep_at_home() -> Keep {
    Keep {
        last: 3,
        daily: 7,
        weekly: 5,
        monthly: 6,
        yearly: 2,
        ..Keep::default()
    }
}

fn keep_in_vault() -> Keep {
    Keep {
        daily: 3,
        weekly: 2,
        within: Some(Period::days(2)),
        ..Keep::default()
    }
}

pub(crate) fn policy() -> PolicyDocument<RotationPolicy> {
    document(&RotationPolicy {
        rules: vec![Rule {
            name: "all".to_owned(),
            databases: Some(Selection::everything()),
            keep: keep_at_home(),
            copies: vec![
                copy_to(&west(), None),
                copy_to(&vault(), Some(keep_in_vault())),
            ],
            ..Rule::default()
        }],
        ..RotationPolicy::default()
    })
}

fn hours(hours: u32) -> SignedDuration {
    SignedDuration::from_hours(hours.into())
}

/// Something that goes wrong for a while.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Trouble {
    NobodyCalls,
    Down(Place),
    WithoutKey(Place),
    Full(Place),
    Clock(i64),
}

struct Year {
    cloud: Shared,
    chance: Chance,
    policy: PolicyDocument<RotationPolicy>,
    /// Until which hour.
    troubles: RefCell<BTreeMap<Trouble, u32>>,
    /// When each of these last stood in the way: of everything, or of one place or
    /// one database.
    hindered: RefCell<BTreeMap<String, Timestamp>>,
    /// How often an objective was looked at while nothing stood in the way.
    looked: Cell<u32>,
    /// And how often a history was compared.
    compared: Cell<u32>,
    made_again: Cell<u32>,
}

impl Year {
    fn new(seed: u64) -> Self {
        // A Thursday.
        let start: Timestamp = "2026-01-01T00:07:00Z".parse().unwrap();
        let mut cloud = Cloud::new(start, home());
        for n in 0..2 {
            let resource_id = format!("db-{n}AAAAAAAAAAAAAAAAAAAAAAA{n}");
            let database = database(&format!("shop-{n}"), &resource_id, start);
            cloud.databases.push(database);
        }
        for place in [home(), west(), vault()] {
            cloud.room.insert(place, 400);
        }
        Self {
            cloud: Rc::new(RefCell::new(cloud)),
            chance: Chance::new(seed),
            policy: policy(),
            troubles: RefCell::default(),
            hindered: RefCell::default(),
            looked: Cell::new(0),
            compared: Cell::new(0),
            made_again: Cell::new(0),
        }
    }

    fn now(&self) -> Timestamp {
        self.cloud.borrow().now
    }

    fn hinder(&self, what: impl Into<String>) {
        self.hindered.borrow_mut().insert(what.into(), self.now());
    }

    fn hindered_since(&self, time: SignedDuration, what: &[&str]) -> bool {
        let hindered = self.hindered.borrow();
        let mut all = what.iter().filter_map(|what| hindered.get(*what));
        all.any(|at| self.now().duration_since(*at) <= time)
    }

    /// New troubles begin, and old ones end.
    fn trouble(&self, hour: u32) {
        let mut troubles = self.troubles.borrow_mut();
        troubles.retain(|_, until| *until > hour);
        let mut begin = |one_in: u32, most: u32, trouble: Trouble| {
            if self.chance.one_in(one_in) {
                let until = hour + 1 + self.chance.below(most);
                troubles.entry(trouble).or_insert(until);
            }
        };
        begin(300, 80, Trouble::NobodyCalls);
        begin(700, 6, Trouble::Down(home()));
        begin(900, 100, Trouble::Down(west()));
        begin(900, 60, Trouble::Down(vault()));
        begin(900, 60, Trouble::WithoutKey(west()));
        begin(900, 40, Trouble::Full(home()));
        begin(900, 40, Trouble::Full(west()));
        for minutes in [-1800, -20, 10, 90, 1600] {
            begin(1500, 3, Trouble::Clock(minutes));
        }
        let mut cloud = self.cloud.borrow_mut();
        cloud.down.clear();
        cloud.without_key.clear();
        for place in [home(), west(), vault()] {
            let used = cloud.snapshots.get(&place).map_or(0, BTreeMap::len);
            let room = match troubles.contains_key(&Trouble::Full(place.clone())) {
                true => u64::try_from(used).unwrap().min(cloud.room[&place]),
                false => 400,
            };
            cloud.room.insert(place, room);
        }
        for trouble in troubles.keys() {
            match trouble {
                Trouble::Down(place) => {
                    cloud.down.insert(place.clone());
                }
                Trouble::WithoutKey(place) => {
                    cloud.without_key.insert(place.clone());
                }
                Trouble::NobodyCalls | Trouble::Full(_) | Trouble::Clock(_) => {}
            }
        }
        cloud.dooms = self.chance.one_in(10);
        drop(cloud);
        for trouble in troubles.keys() {
            match trouble {
                Trouble::NobodyCalls | Trouble::Clock(_) => self.hinder("everything"),
                Trouble::Down(place) | Trouble::WithoutKey(place) | Trouble::Full(place) => {
                    self.hinder(place.to_string());
                }
            }
        }
    }

    /// What people and AWS do to databases.
    fn life(&self, hour: u32) {
        let weekend = hour % (7 * 24);
        let mut cloud = self.cloud.borrow_mut();
        let now = cloud.now;
        let of_week = hour / (7 * 24);
        // From Friday evening to Monday morning, every second week properly parked.
        if weekend == 44 {
            let snapshot_id = "parked-shop-0".to_owned();
            let database = cloud.database("shop-0");
            "stopped".clone_into(&mut database.status);
            if of_week.is_multiple_of(2) {
                let tags = &mut database.tags;
                tags.insert("steward:parked".to_owned(), now.to_string());
                let snapshot = Snapshot {
                    arn: format!("arn:aws:rds:eu-west-1:111111111111:snapshot:{snapshot_id}"),
                    id: snapshot_id,
                    database: database.identifier.clone(),
                    resource_id: Some(database.resource_id.clone()),
                    progress: Progress::Available,
                    created_at: Some(now),
                    taken_at: Some(now),
                    encrypted: true,
                    kms_key: None,
                    option_group: None,
                    source_arn: None,
                    // AWS copies them from the database.
                    tags: database.tags.clone(),
                    shared_with: None,
                    contents: Contents::default(),
                };
                cloud.put(&home(), snapshot);
            }
        }
        if weekend == 102 {
            let database = cloud.database("shop-0");
            "available".clone_into(&mut database.status);
            database.tags.clear();
        }
        if self.chance.one_in(900) {
            let database = cloud.databases.last_mut().unwrap();
            let other = match database.identifier.as_str() {
                "shop-1" => "store-1",
                _ => "shop-1",
            };
            other.clone_into(&mut database.identifier);
        }
        // Deleted, and made again under the same name, with the same end of its id.
        if self.chance.one_in(1800) {
            let again = self.made_again.get() + 1;
            self.made_again.set(again);
            let resource_id = format!("db-{again}BBBBBBBBBBBBBBBBBBBBB{again:02}");
            let old = cloud.databases.last_mut().unwrap();
            *old = database(&old.identifier, &resource_id, now);
            let name = old.identifier.clone();
            drop(cloud);
            self.hinder(name);
        }
    }

    /// One run or two at once, whole or killed.
    async fn run(&self) {
        let troubles = self.troubles.borrow().clone();
        if troubles.contains_key(&Trouble::NobodyCalls) {
            return;
        }
        let skew = troubles.keys().find_map(|trouble| match trouble {
            Trouble::Clock(minutes) => Some(SignedDuration::from_mins(*minutes)),
            _ => None,
        });
        let now = self.now() + skew.unwrap_or_default();
        let hands = || {
            let hands = Hands::new(&self.cloud).with_turns(self.chance.turns());
            match self.chance.one_in(20) {
                true => hands.cut_at(1 + self.chance.below(12) as usize),
                false => hands,
            }
        };
        let (one, two) = (hands(), hands());
        let second = self.chance.one_in(12);
        let other = async {
            match second {
                true => two.run(&self.policy, now).await,
                false => None,
            }
        };
        let (one, other) = tokio::join!(one.run(&self.policy, now), other);
        if one.is_none() && other.is_none() {
            self.hinder("everything");
        }
    }

    fn check(&self, hour: u32) {
        let cloud = self.cloud.borrow();
        let now = cloud.now;
        if let Some(at) = cloud.doomed_at {
            self.hindered.borrow_mut().insert("doomed".to_owned(), at);
        }
        for database in &cloud.databases {
            let (name, id) = (database.identifier.as_str(), &database.resource_id);
            if database.status != "available" {
                self.hinder(name);
            }
            let mut counts = Vec::new();
            for place in [home(), west(), vault()] {
                let good = cloud.good(&place, id);
                let made = cloud.made.get(&(place.clone(), id.clone()));
                let made = made.cloned().unwrap_or_default();
                let remain = good.len().min(2);
                assert_eq!(remain, made.len().min(2), "{now} {place} {name}: emptied");
                let all = cloud
                    .snapshots
                    .get(&place)
                    .into_iter()
                    .flat_map(BTreeMap::values);
                let of_it = all.filter(|s| s.tags.get("steward:made-for") == Some(id));
                counts.push(of_it.count());

                let at_home = place == home();
                let (objective, time) = match at_home {
                    true => (hours(30), hours(3)),
                    false => (hours(36 + TWO_RESTS), hours(9 + TWO_RESTS)),
                };
                let place_name = place.to_string();
                let home_name = home().to_string();
                let hinders = ["everything", "doomed", name, &home_name, &place_name];
                if hour > WARM_UP_HOURS && !self.hindered_since(time, &hinders) {
                    self.looked.set(self.looked.get() + 1);
                    let newest = good.values().max().copied();
                    let newest = newest.or(database.created_at.filter(|_| made.is_empty()));
                    let age = newest.map(|newest| now.duration_since(newest));
                    assert!(
                        age.is_some_and(|age| age <= objective),
                        "{now} {place} {name}: {age:?}, {good:?}\n{:#?}",
                        cloud.snapshots.get(&place)
                    );
                }
            }
            assert!(counts.iter().all(|n| *n < 45), "{now} {name}: {counts:?}");
        }
    }

    /// What is there, right after a run, when nothing has stood in the way for long.
    fn compare(&self) {
        let west_name = west().to_string();
        let vault_name = vault().to_string();
        let home_name = home().to_string();
        let cloud = self.cloud.borrow();
        for database in &cloud.databases {
            let (name, id) = (database.identifier.as_str(), &database.resource_id);
            let hinders = [
                "everything",
                "doomed",
                name,
                &home_name,
                &west_name,
                &vault_name,
            ];
            if self.hindered_since(hours(20 + TWO_RESTS), &hinders) {
                continue;
            }
            let made = |place: Place| {
                let made = cloud.made.get(&(place, id.clone()));
                made.cloned().unwrap_or_default()
            };
            let at_home = made(home());
            for (place, keep) in [
                (home(), keep_at_home()),
                (west(), keep_at_home()),
                (vault(), keep_in_vault()),
            ] {
                self.compared.set(self.compared.get() + 1);
                let there = made(place.clone());
                let good: BTreeSet<String> = cloud.good(&place, id).into_keys().collect();
                let wanted = oracle::stay(&keep, &there, &TimeZone::UTC);
                assert_eq!(good, wanted, "{} {place} {name}", cloud.now);
                // Copies are of everything that the rules keep since the first.
                let Some(first) = there.values().min() else {
                    continue;
                };
                let since = at_home.iter().filter(|(_, at)| *at >= first);
                let since = since.map(|(id, at)| (id.clone(), *at)).collect();
                for wanted in oracle::stay(&keep, &since, &TimeZone::UTC) {
                    let fresh = cloud.now.duration_since(at_home[&wanted]) < hours(9 + TWO_RESTS);
                    let copied = there.contains_key(&wanted);
                    assert!(copied || fresh, "{} {place} lacks {wanted}", cloud.now);
                }
            }
        }
    }

    async fn live(&self, days: u32) {
        for hour in 0..days * 24 {
            self.trouble(hour);
            self.life(hour);
            self.run().await;
            // Each time at another hour of the day.
            if hour % 13 == 0 {
                self.compare();
            }
            self.check(hour);
            self.cloud.borrow_mut().pass(hours(1));
        }
    }
}

fn live(seed: u64, days: u32) {
    let year = Year::new(seed);
    block_on(year.live(days));
    let cloud = year.cloud.borrow();
    // It has been looked at, and much has happened.
    assert!(year.looked.get() > days * 24, "{} looks", year.looked.get());
    assert!(year.compared.get() > days, "{}", year.compared.get());
    let days = days as usize;
    assert!(cloud.names.len() > days * 3 / 2, "{}", cloud.names.len());
    assert!(cloud.deleted.len() > days * 3, "{}", cloud.deleted.len());
    assert!(year.made_again.get() > 0);
}

#[test]
fn a_year_of_a_bad_world_loses_nothing_and_stays_bounded() {
    live(1, DAYS);
}

// By itself, so that it runs beside the first.
#[test]
fn months_of_another_bad_world_lose_nothing_and_stay_bounded() {
    live(2, DAYS / 3);
}
