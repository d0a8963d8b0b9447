//! An Amazon RDS in memory, of several Regions and accounts, whose snapshots take
//! time and fail; and hands of the function over it that can be stopped at any
//! step.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use snapshot_rotation::{
    Action, Contents, Copying, Creation, Database, Deletion, Holdings, MADE_FOR, MANAGED_BY, NAME,
    Place, Progress, Quota, RotationPolicy, Scope, Snapshot, SnapshotRotation, World,
};
use steward::engine::{Act, Gap, Hides, Observe, Outcome, Seen};
use steward::policy::PolicyDocument;
use steward::run::Run;
use steward_sandbox::Steps;

pub(crate) const ACCOUNT: &str = "111111111111";

/// What is going on with a snapshot that is not complete.
#[derive(Clone, Debug)]
struct Making {
    ends_at: Timestamp,
    fails: bool,
    /// When its data was or will be taken.
    taken_at: Timestamp,
    /// What it is copied from, which must last that long.
    source: Option<(Place, String)>,
}

/// What is true, for all who look at it.
#[derive(Clone, Debug)]
pub(crate) struct Cloud {
    /// What time it is, whatever a function's clock says.
    pub(crate) now: Timestamp,
    pub(crate) home: Place,
    pub(crate) databases: Vec<Database>,
    pub(crate) snapshots: BTreeMap<Place, BTreeMap<String, Snapshot>>,
    making: BTreeMap<(Place, String), Making>,
    /// Where nothing answers.
    pub(crate) down: BTreeSet<Place>,
    /// Where the key for copies cannot be used.
    pub(crate) without_key: BTreeSet<Place>,
    /// How many snapshots a place may have.
    pub(crate) room: BTreeMap<Place, u64>,
    pub(crate) creation_takes: SignedDuration,
    pub(crate) copy_takes: SignedDuration,
    /// What is begun now will fail.
    pub(crate) dooms: bool,
    /// When something was last begun that failed or will.
    pub(crate) doomed_at: Option<Timestamp>,
    /// All that were made well in a place, by the resource id of the database.
    pub(crate) made: BTreeMap<(Place, String), BTreeMap<String, Timestamp>>,
    /// Every snapshot that was ever begun beside its database.
    pub(crate) names: BTreeSet<String>,
    pub(crate) deleted: Vec<(Place, Snapshot)>,
}

pub(crate) type Shared = Rc<RefCell<Cloud>>;

impl Cloud {
    pub(crate) fn new(now: Timestamp, home: Place) -> Self {
        Self {
            now,
            snapshots: BTreeMap::from([(home.clone(), BTreeMap::new())]),
            home,
            databases: vec![],
            making: BTreeMap::new(),
            down: BTreeSet::new(),
            without_key: BTreeSet::new(),
            room: BTreeMap::new(),
            creation_takes: SignedDuration::from_mins(20),
            copy_takes: SignedDuration::from_mins(80),
            dooms: false,
            doomed_at: None,
            made: BTreeMap::new(),
            names: BTreeSet::new(),
            deleted: vec![],
        }
    }

    /// Lets time pass.
    pub(crate) fn pass(&mut self, time: SignedDuration) {
        self.now += time;
        let over = |making: &Making| making.ends_at <= self.now;
        let over: Vec<(Place, String)> = self
            .making
            .iter()
            .filter(|(_, making)| over(making))
            .map(|(key, _)| key.clone())
            .collect();
        for (place, id) in over {
            let Some(making) = self.making.remove(&(place.clone(), id.clone())) else {
                continue;
            };
            let home = self.home.clone();
            let Some(snapshot) = self.at(&place).get_mut(&id) else {
                continue;
            };
            if making.fails {
                snapshot.progress = Progress::of("failed", None);
                continue;
            }
            snapshot.progress = Progress::Available;
            snapshot.created_at = Some(making.ends_at);
            if place == home {
                snapshot.created_at = Some(making.taken_at);
            }
            snapshot.taken_at = Some(making.taken_at);
            let made_for = snapshot.tags.get("steward:made-for").cloned();
            if let Some(made_for) = made_for {
                let made = self.made.entry((place, made_for)).or_default();
                made.insert(id, making.taken_at);
            }
        }
    }

    pub(crate) fn at(&mut self, place: &Place) -> &mut BTreeMap<String, Snapshot> {
        self.snapshots.entry(place.clone()).or_default()
    }

    /// A snapshot that its database has had for long.
    pub(crate) fn put(&mut self, place: &Place, snapshot: Snapshot) {
        self.at(place).insert(snapshot.id.clone(), snapshot);
    }

    pub(crate) fn database(&mut self, identifier: &str) -> &mut Database {
        let mut all = self.databases.iter_mut();
        all.find(|d| d.identifier == identifier).unwrap()
    }

    fn begin(&mut self, place: Place, making: Making, snapshot: Snapshot) {
        if making.fails {
            self.doomed_at = Some(self.now);
        }
        let key = (place.clone(), snapshot.id.clone());
        self.making.insert(key, making);
        self.put(&place, snapshot);
    }

    /// Whether a snapshot of the database is being made, which RDS tells as a
    /// state of the database.
    fn is_backing_up(&self, database: &Database) -> bool {
        let all = self.snapshots[&self.home].values();
        let mut making = all.filter(|s| matches!(s.progress, Progress::Under { .. }));
        making.any(|s| s.resource_id.as_ref() == Some(&database.resource_id))
    }

    fn is_full(&self, place: &Place) -> bool {
        let used = self.snapshots.get(place).map_or(0, BTreeMap::len) as u64;
        self.room.get(place).is_some_and(|room| used >= *room)
    }

    /// As `CreateDBSnapshot` does it.
    fn create(&mut self, creation: &Creation) -> Outcome {
        let of = &creation.of;
        let failed = |why: &str| Outcome::Failed(format!("rds:CreateDBSnapshot: {why}"));
        if self.down.contains(&self.home) {
            return failed("no answer");
        }
        let found = self.databases.iter().find(|d| d.identifier == of.database);
        let Some(database) = found.filter(|d| d.resource_id == of.resource_id) else {
            return Outcome::Skipped("it is another database now".to_owned());
        };
        if database.hold(self.now).is_some() {
            return Outcome::Skipped("it is on hold".to_owned());
        }
        if let Some(there) = self.snapshots[&self.home].get(&of.snapshot) {
            return match made_for(there) == Some(&of.resource_id) {
                true => Outcome::AlreadyDone,
                false => failed("DBSnapshotAlreadyExists"),
            };
        }
        let works = ["available", "storage-optimization"].contains(&database.status.as_str());
        if !works || self.is_backing_up(database) {
            return Outcome::Skipped("InvalidDBInstanceState".to_owned());
        }
        if self.is_full(&self.home) {
            return failed("SnapshotQuotaExceeded");
        }
        let arn = format!(
            "arn:aws:rds:{}:{ACCOUNT}:snapshot:{}",
            self.home.region, of.snapshot
        );
        let snapshot = Snapshot {
            id: of.snapshot.clone(),
            arn,
            database: of.database.clone(),
            resource_id: Some(of.resource_id.clone()),
            progress: Progress::of("creating", Some(0)),
            created_at: None,
            taken_at: None,
            encrypted: true,
            kms_key: Some("own".to_owned()),
            option_group: Some("default:postgres-17".to_owned()),
            source_arn: None,
            tags: creation.tags.clone(),
            shared_with: Some(BTreeSet::new()),
            contents: Contents::default(),
        };
        assert!(
            self.names.insert(of.snapshot.clone()),
            "{}: {} is used twice",
            self.now,
            of.snapshot
        );
        let making = Making {
            ends_at: self.now + self.creation_takes,
            fails: self.dooms,
            taken_at: self.now,
            source: None,
        };
        self.begin(self.home.clone(), making, snapshot);
        Outcome::Done
    }

    /// As `CopyDBSnapshot` does it.
    fn copy(&mut self, copying: &Copying) -> Outcome {
        let of = &copying.of;
        let place = &of.place;
        let failed = |why: &str| Outcome::Failed(format!("rds:CopyDBSnapshot: {why}"));
        if self.down.contains(place) || self.down.contains(&self.home) {
            return failed("no answer");
        }
        if let Some(there) = self
            .snapshots
            .get(place)
            .and_then(|all| all.get(&of.snapshot))
        {
            return match made_for(there) == Some(&of.resource_id) {
                true => Outcome::AlreadyDone,
                false => failed("DBSnapshotAlreadyExists"),
            };
        }
        let mut sources = self.snapshots[&self.home].values();
        let Some(source) = sources.find(|s| s.arn == copying.source_arn).cloned() else {
            return Outcome::Skipped("its source is gone".to_owned());
        };
        if !source.is_available() {
            return failed("InvalidDBSnapshotState");
        }
        let shared = source.shared_with.clone().unwrap_or_default();
        if place
            .account
            .as_ref()
            .is_some_and(|account| !shared.contains(account))
        {
            return failed("AccessDenied");
        }
        if self.without_key.contains(place) {
            return failed("KMSKeyNotAccessibleFault");
        }
        if self.is_full(place) {
            return failed("SnapshotQuotaExceeded");
        }
        let region = |(of, _): &&(Place, String)| of.region == place.region;
        let under_way = self.making.keys().filter(region).count();
        assert!(under_way < 20, "too many copies are under way to {place}");
        let account = place.account.as_deref().unwrap_or(ACCOUNT);
        let copy = Snapshot {
            arn: format!(
                "arn:aws:rds:{}:{account}:snapshot:{}",
                place.region, of.snapshot
            ),
            id: of.snapshot.clone(),
            resource_id: None,
            progress: Progress::of("copying", Some(0)),
            created_at: None,
            taken_at: None,
            kms_key: copying.kms_key_id.clone(),
            source_arn: Some(source.arn.clone()),
            tags: copying.tags.clone(),
            shared_with: None,
            ..source.clone()
        };
        let making = Making {
            ends_at: self.now + self.copy_takes,
            fails: self.dooms,
            taken_at: source.taken_at.unwrap(),
            source: Some((self.home.clone(), source.id)),
        };
        self.begin(place.clone(), making, copy);
        Outcome::Done
    }

    /// As `DeleteDBSnapshot` does it, after the look that the function takes.
    fn delete(&mut self, deletion: &Deletion, last: &World) -> Outcome {
        let of = &deletion.of;
        let place = &of.place;
        if self.down.contains(place) {
            return Outcome::Failed("rds:DeleteDBSnapshot: no answer".to_owned());
        }
        let all = &self.snapshots[place];
        let Some(found) = all.get(&of.snapshot).cloned() else {
            return Outcome::AlreadyDone;
        };
        let skipped = |why: &str| Outcome::Skipped(why.to_owned());
        if found.hold(self.now).is_some() {
            return skipped("now on hold");
        }
        if (found.created_at, found.taken_at) != (deletion.created_at, deletion.taken_at) {
            return skipped("another snapshot now");
        }
        let is_own = |s: &&Snapshot| made_for(s) == Some(&of.resource_id);
        let seen = last.places[place].snapshots.iter().filter(is_own);
        let newest = seen.filter(|s| s.is_available()).max_by_key(|s| s.taken_at);
        if matches!(found.progress, Progress::Under { .. }) {
            return skipped("being made or copied now");
        }
        let stays = newest.is_some_and(|newest| {
            newest.id != found.id && all.get(&newest.id).is_some_and(Snapshot::is_available)
        });
        // What cannot be restored needs nothing in its place.
        if found.is_available() && !deletion.retired && !stays {
            return skipped("no other could be restored");
        }

        // What must never be, by words of its own.
        let whose = found.tags.get("steward:made-for");
        if found.id.starts_with("nightly-") {
            // The one glob by which a policy here adopts.
            assert_eq!(
                found.resource_id.as_ref(),
                Some(&of.resource_id),
                "{found:?}"
            );
        } else {
            assert_eq!(found.tags["steward:managed-by"], NAME, "{found:?}");
            assert_eq!(whose, Some(&of.resource_id), "{found:?}");
            assert!(found.id.starts_with("steward-"), "{found:?}");
        }
        if found.is_available() && !deletion.retired && whose.is_some() {
            let newer = all.values().any(|other| {
                other.is_available()
                    && other.tags.get("steward:made-for") == whose
                    && other.taken_at > found.taken_at
            });
            assert!(newer, "the newest would go: {found:?}");
        }
        let feeds = |making: &Making| {
            making.source == Some((place.clone(), found.id.clone())) && !making.fails
        };
        assert!(
            !self.making.values().any(feeds),
            "{} is still being copied",
            found.id
        );
        let place = place.clone();
        self.at(&place).remove(&found.id);
        self.making.remove(&(place.clone(), found.id.clone()));
        self.deleted.push((place, found));
        Outcome::Done
    }

    fn do_one(&mut self, action: &Action, last: &World) -> Outcome {
        match action {
            Action::CreateSnapshot(creation) => self.create(creation),
            Action::CopySnapshot(copying) => self.copy(copying),
            Action::DeleteSnapshot(deletion) => self.delete(deletion, last),
            Action::TagSnapshot(tagging) => {
                let of = &tagging.of;
                if self.down.contains(&of.place) {
                    return Outcome::Failed("rds:AddTagsToResource: no answer".to_owned());
                }
                let Some(found) = self.at(&of.place).get_mut(&of.snapshot) else {
                    return Outcome::Skipped("it is gone".to_owned());
                };
                let taken_at = tagging.taken_at.to_string();
                found.tags.insert("steward:taken-at".to_owned(), taken_at);
                Outcome::Done
            }
            Action::ShareSnapshot(sharing) => {
                let of = &sharing.of;
                let Some(found) = self.at(&of.place).get_mut(&of.snapshot) else {
                    return Outcome::Skipped("it is gone".to_owned());
                };
                let shared = found.shared_with.get_or_insert_default();
                shared.extend(sharing.accounts.iter().cloned());
                Outcome::Done
            }
            Action::WriteRestorePoint(_) | Action::WriteRecipe(_) | Action::DeleteDocument(_) => {
                Outcome::Failed("there is no bucket".to_owned())
            }
        }
    }

    /// What a place holds, as it is told.
    fn holdings(&self, place: &Place) -> Holdings {
        let snapshots = self.snapshots.get(place).cloned().unwrap_or_default();
        let used = snapshots.len() as u64;
        let room = self.room.get(place);
        Holdings {
            snapshots: snapshots.into_values().collect(),
            complete: true,
            quota: room.map(|max| Quota { used, max: *max }),
            ..Holdings::default()
        }
    }

    fn databases(&self) -> Vec<Database> {
        let told = self.databases.iter().map(|database| {
            let mut database = database.clone();
            if database.status == "available" && self.is_backing_up(&database) {
                "backing-up".clone_into(&mut database.status);
            }
            database
        });
        let mut told: Vec<Database> = told.collect();
        told.sort_by(|a, b| a.identifier.cmp(&b.identifier));
        told
    }

    /// The snapshots of a database that can be restored in a place, by when their
    /// data was taken.
    pub(crate) fn good(&self, place: &Place, resource_id: &str) -> BTreeMap<String, Timestamp> {
        let all = self
            .snapshots
            .get(place)
            .into_iter()
            .flat_map(BTreeMap::values);
        all.filter(|s| s.is_available() && made_for(s) == Some(resource_id))
            .filter_map(|s| Some((s.id.clone(), s.taken_at?)))
            .collect()
    }
}

/// The database of one of Steward's own. In this world no other Steward makes any.
fn made_for(snapshot: &Snapshot) -> Option<&str> {
    let is_own = snapshot.tags.get(MANAGED_BY).map(String::as_str) == Some(NAME);
    let made_for = snapshot.tags.get(MADE_FOR).filter(|_| is_own);
    made_for.map(String::as_str)
}

/// The hands of one run.
#[derive(Debug)]
pub(crate) struct Hands {
    cloud: Shared,
    steps: Steps,
    last: RefCell<Option<World>>,
}

impl Hands {
    pub(crate) fn new(cloud: &Shared) -> Self {
        Self {
            cloud: Rc::clone(cloud),
            steps: Steps::default(),
            last: RefCell::new(None),
        }
    }

    pub(crate) fn cut_at(self, step: usize) -> Self {
        let steps = self.steps.cut_at(step);
        Self { steps, ..self }
    }

    pub(crate) fn with_turns(self, turns: Vec<u8>) -> Self {
        let steps = self.steps.with_turns(turns);
        Self { steps, ..self }
    }

    pub(crate) fn steps(&self) -> usize {
        self.steps.taken()
    }

    /// One run to its end, or to where it is killed, which is `None`.
    pub(crate) async fn run(
        &self,
        policy: &PolicyDocument<RotationPolicy>,
        now: Timestamp,
    ) -> Option<Run<SnapshotRotation>> {
        let region = self.cloud.borrow().home.region.clone();
        self.steps
            .run(self, (ACCOUNT, &region), now, policy, &json!({}))
            .await
    }
}

impl Observe<SnapshotRotation> for Hands {
    async fn observe(&self, policy: &RotationPolicy, _: &Scope) -> Seen<World> {
        self.steps.step().await;
        let home = self.cloud.borrow().home.clone();
        let mut seen = Seen {
            world: World {
                home: home.clone(),
                databases: vec![],
                places: BTreeMap::new(),
                recordings: BTreeMap::new(),
                aws_managed_keys: BTreeSet::new(),
            },
            gaps: vec![],
            warnings: vec![],
        };
        let gap = |place: &Place, hides| Gap {
            read: format!("rds:DescribeDBSnapshots in {place}: no answer"),
            hides,
            grant: "rds:DescribeDBSnapshots".to_owned(),
        };
        if self.cloud.borrow().down.contains(&home) {
            seen.gaps.push(gap(&home, Hides::Everything));
        } else {
            seen.world.databases = self.cloud.borrow().databases();
        }
        let places = policy.places().into_keys();
        for place in std::iter::once(home.clone()).chain(places) {
            self.steps.step().await;
            let cloud = self.cloud.borrow();
            let holdings = match cloud.down.contains(&place) {
                true => Holdings::default(),
                false => cloud.holdings(&place),
            };
            if !holdings.complete && place != home {
                let databases = seen.world.databases.iter();
                let units = databases.flat_map(|d| {
                    [&home, &place].map(|place| place.unit(&d.identifier, &d.resource_id))
                });
                let hides = Hides::Units(units.collect());
                seen.gaps.push(gap(&place, hides));
            }
            seen.world.places.insert(place, holdings);
        }
        self.last.replace(Some(seen.world.clone()));
        seen
    }
}

impl Act<SnapshotRotation> for Hands {
    async fn act(&self, _: &RotationPolicy, batch: &[Action]) -> Vec<Outcome> {
        let last = self.last.borrow().clone().unwrap();
        let mut outcomes = Vec::new();
        for action in batch {
            self.steps.step().await;
            let outcome = self.cloud.borrow_mut().do_one(action, &last);
            outcomes.push(outcome);
        }
        // Done, and the answer still on its way.
        self.steps.step().await;
        outcomes
    }
}

/// Runs a future that needs no network and no clock.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(future)
}

/// The policy as a document that names its targets.
pub(crate) fn document(policy: &RotationPolicy) -> PolicyDocument<RotationPolicy> {
    let mut text = serde_json::to_value(policy).unwrap();
    text["version"] = 1.into();
    PolicyDocument::parse(&text.to_string(), "test").unwrap()
}

/// A database that is available.
pub(crate) fn database(identifier: &str, resource_id: &str, now: Timestamp) -> Database {
    Database {
        identifier: identifier.to_owned(),
        resource_id: resource_id.to_owned(),
        arn: format!("arn:aws:rds:eu-west-1:{ACCOUNT}:db:{identifier}"),
        status: "available".to_owned(),
        created_at: Some(now),
        replica_of: None,
        cluster: None,
        tags: BTreeMap::new(),
    }
}
