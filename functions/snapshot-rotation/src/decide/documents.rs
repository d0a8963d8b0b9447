//! Which restore points and recipes are written, and which end.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use jiff::Timestamp;
use steward::engine::{After, Change, Decision, Effect, Gap, Seen};
use steward::policy::Period;
use steward::restore_point::{recipe_key, restore_point_key};

use super::{Draft, INCOMPLETE, Rotation, complete, pass};
use crate::Scope;
use crate::action::{Action, DocumentDeletion, RecipeWriting, Writing, recipe_unit};
use crate::document;
use crate::policy::{RotationPolicy, Rule};
use crate::reason::Reason;
use crate::world::{Database, Documents, Holdings, Place, Snapshot, World};
use steward::names;

/// A recipe that has not changed is written again after this.
const RECIPE_EVERY: Period = Period::days(1);

/// The restore points that there are, by place, and there by the resource id of
/// their database and by their snapshot. A database that was renamed has some under
/// either name.
pub(super) struct Recorded<'a>(HashMap<&'a Place, HashMap<(&'a str, &'a str), Keys<'a>>>);

/// The documents of one snapshot in a place.
#[derive(Clone, Copy, Default)]
struct Keys<'a> {
    whole: Option<&'a str>,
    incomplete: Option<&'a str>,
}

impl<'a> Recorded<'a> {
    pub(super) fn of(world: &'a World) -> Self {
        let in_place = |(place, holdings): (&'a Place, &'a Holdings)| {
            let mut all: HashMap<(&str, &str), Keys<'_>> = HashMap::new();
            for key in holdings
                .documents
                .iter()
                .flat_map(|documents| &documents.keys)
            {
                let Some(of) = parse_key(key) else { continue };
                let keys = all.entry((of.resource_id, of.snapshot)).or_default();
                let one = if of.whole {
                    &mut keys.whole
                } else {
                    &mut keys.incomplete
                };
                *one = Some(key);
            }
            (place, all)
        };
        Self(world.places.iter().map(in_place).collect())
    }

    fn keys(&self, place: &Place, resource_id: &str, snapshot: &str) -> Keys<'a> {
        let in_place = self.0.get(place);
        let keys = in_place.and_then(|all| all.get(&(resource_id, snapshot)));
        keys.copied().unwrap_or_default()
    }
}

impl Rotation<'_> {
    /// Plans the restore points that are missing.
    pub(super) fn record(&self, rule: &Rule, own: &[&Snapshot], draft: &mut Draft) {
        let home = &self.world.home;
        let copies = rule.copies.iter().map(|copy| copy.place());
        for place in std::iter::once(home.clone()).chain(copies) {
            let Some(holdings) = complete(self.world.places.get(&place)) else {
                continue;
            };
            let Some(documents) = &holdings.documents else {
                continue;
            };
            let unit = self.unit(&place);
            let mut lacking = 0_u32;
            let there = self.snapshots(&place);
            let good = there
                .iter()
                .filter(|snapshot| snapshot.is_available() && self.is_own(&place, snapshot));
            for snapshot in good.filter(|snapshot| snapshot.taken_at.is_some()) {
                let keys = self.keys(&place, &snapshot.id);
                if keys.whole.is_some() {
                    continue;
                }
                let has_incomplete = keys.incomplete.is_some();
                let source = own.iter().find(|own| own.id == snapshot.id);
                let (reason, decision) = if place == *home {
                    self.first_writing(rule, source, documents, has_incomplete)
                } else {
                    self.same_writing(&place, &snapshot.id, documents, has_incomplete)
                };
                // What is not recorded here yet comes first, while it can come.
                let never_comes = place == *home || source.is_none();
                let is_missing = never_comes && matches!(reason, Reason::NotRecorded);
                lacking += u32::from(has_incomplete || is_missing);
                let target = match &decision {
                    // What is there has its item with what may end.
                    Decision::Keep => continue,
                    Decision::Act(change) => change.action.target(),
                    Decision::Defer => {
                        let Database {
                            identifier,
                            resource_id,
                            ..
                        } = self.database;
                        let key = restore_point_key(identifier, resource_id, &snapshot.id, true);
                        format!("s3://{}/{key}", documents.bucket)
                    }
                };
                draft.push(&unit, target, snapshot.taken_at, reason, decision);
            }
            draft.measure(&unit, &INCOMPLETE, f64::from(lacking));
        }
    }

    fn keys(&self, place: &Place, snapshot: &str) -> Keys<'_> {
        self.recorded
            .keys(place, &self.database.resource_id, snapshot)
    }

    /// Writes the first document of a snapshot, beside its database.
    fn first_writing(
        &self,
        rule: &Rule,
        snapshot: Option<&&Snapshot>,
        documents: &Documents,
        has_incomplete: bool,
    ) -> (Reason, Decision<Action>) {
        let written = snapshot.and_then(|snapshot| {
            let document =
                document::restore_point(self.world, rule, self.database, snapshot, self.now)?;
            Some((snapshot, document))
        });
        let Some((snapshot, document)) = written else {
            return (Reason::NotRecorded, Decision::Defer);
        };
        if has_incomplete && !document.incomplete().is_empty() {
            return (Reason::RecordedIncompletely, Decision::Keep);
        }
        let action = Action::WriteRestorePoint(Writing {
            of: self.subject(&self.world.home, &snapshot.id),
            bucket: documents.bucket.clone(),
            key: document.key(),
            content_digest: Some(document.content_digest()),
            same_as: None,
        });
        let change = self.change(pass::RECORD, Effect::Restore, action);
        (Reason::Undocumented, change)
    }

    /// Writes the same document in the bucket of a place that has a copy.
    fn same_writing(
        &self,
        place: &Place,
        snapshot: &str,
        documents: &Documents,
        has_incomplete: bool,
    ) -> (Reason, Decision<Action>) {
        let at_home = self
            .world
            .at_home()
            .and_then(|home| home.documents.as_ref());
        let keys = self.keys(&self.world.home, snapshot);
        let key = keys.whole.or(keys.incomplete.filter(|_| !has_incomplete));
        let source = at_home.and_then(|home| Some((home.bucket.clone(), key?.to_owned())));
        let Some((bucket, key)) = source else {
            return if has_incomplete {
                (Reason::RecordedIncompletely, Decision::Keep)
            } else {
                (Reason::NotRecorded, Decision::Defer)
            };
        };
        let action = Action::WriteRestorePoint(Writing {
            of: self.subject(place, snapshot),
            bucket: documents.bucket.clone(),
            key,
            content_digest: None,
            same_as: Some(bucket),
        });
        let change = self.change(pass::RECORD, Effect::Restore, action);
        (Reason::Undocumented, change)
    }
}

/// What is in the buckets: a document ends with its snapshot, the one beside the
/// database with the last copy of it, and an incomplete one with a complete one of
/// the same.
pub(super) fn keep_documents(
    draft: &mut Draft,
    seen: &Seen<World>,
    recorded: &Recorded<'_>,
    policy: &RotationPolicy,
    scope: &Scope,
) {
    let world = &seen.world;
    let ids: HashMap<&Place, HashSet<&str>> = world
        .places
        .iter()
        .map(|(place, held)| {
            (
                place,
                held.snapshots.iter().map(|s| s.id.as_str()).collect(),
            )
        })
        .collect();
    let is_there = |place: &Place, id: &str| ids.get(place).is_some_and(|ids| ids.contains(id));
    let copies = policy.places();
    // The place of a copy that has no document of its own, or nobody knows.
    let still_needed_by = |of: &Of<'_>| {
        copies.keys().find(|place| {
            let is_read = complete(world.places.get(place)).is_some();
            let keys = recorded.keys(place, of.resource_id, of.snapshot);
            let has = keys.whole.is_some() || (!of.whole && keys.incomplete.is_some());
            !is_read || (is_there(place, of.snapshot) && !has)
        })
    };
    for (place, holdings) in &world.places {
        let (true, Some(documents)) = (holdings.complete, &holdings.documents) else {
            continue;
        };
        for key in &documents.keys {
            let Some(of) = parse_key(key) else { continue };
            if !scope.covers(of.database) {
                continue;
            }
            let unit = place.unit(of.database, of.resource_id);
            let whole = recorded.keys(place, of.resource_id, of.snapshot).whole;
            let ends = if !of.whole && whole.is_some() {
                Some(Reason::Replaced)
            } else if is_there(place, of.snapshot)
                || (*place == world.home && still_needed_by(&of).is_some())
            {
                None
            } else {
                Some(Reason::SnapshotGone)
            };
            let gap = seen.gaps.iter().find(|gap| gap.hides.covers(&unit));
            let (reason, decision) = match (ends, gap) {
                (Some(_), Some(gap)) => {
                    let read = gap.read.clone();
                    (Reason::Unseen { read }, Decision::Defer)
                }
                (Some(reason), None) => (reason, ending(place, documents, key, &of)),
                (None, _) if of.whole => (Reason::Recorded, Decision::Keep),
                (None, _) => (Reason::RecordedIncompletely, Decision::Keep),
            };
            let target = format!("s3://{}/{key}", documents.bucket);
            draft.push(&unit, target, None, reason, decision);
        }
    }
}

/// The end of a document. What it was about is gone, and the bucket keeps its old
/// versions, so that the limits of snapshots do not hold it back.
fn ending(place: &Place, documents: &Documents, key: &str, of: &Of<'_>) -> Decision<Action> {
    Decision::Act(Change {
        lane: of.resource_id.to_owned(),
        pass: pass::FORGET,
        after: After::Targets(vec![]),
        effect: Effect::Restore,
        action: Action::DeleteDocument(DocumentDeletion {
            place: place.clone(),
            bucket: documents.bucket.clone(),
            key: key.to_owned(),
            snapshot: Some(of.snapshot.to_owned()),
            unit: place.unit(of.database, of.resource_id),
        }),
    })
}

/// Of which snapshot a document is, by its key.
struct Of<'a> {
    database: &'a str,
    resource_id: &'a str,
    snapshot: &'a str,
    whole: bool,
}

/// Reads the key of a restore point; `None` for anything else.
fn parse_key(key: &str) -> Option<Of<'_>> {
    let mut parts = key.strip_prefix("restore-points/")?.split('/');
    let (database, resource_id, name) = (parts.next()?, parts.next()?, parts.next()?);
    let name = name.strip_suffix(".json")?;
    let incomplete = name.strip_suffix(".incomplete");
    let snapshot = incomplete.unwrap_or(name);
    let is_own = names::parse(snapshot)?.is_of(resource_id);
    (is_own && parts.next().is_none()).then_some(Of {
        database,
        resource_id,
        snapshot,
        whole: incomplete.is_none(),
    })
}

/// Plans the recipes of all environments, in every bucket of their databases.
pub(super) fn write_recipes(
    draft: &mut Draft,
    world: &World,
    selected: &[(&Database, &Rule)],
    gaps: &[Gap],
    now: Timestamp,
) {
    let mut environments: BTreeMap<&str, (Vec<&Database>, BTreeSet<Place>)> = BTreeMap::new();
    for (database, rule) in selected {
        let (databases, places) = environments.entry(database.environment()).or_default();
        databases.push(*database);
        places.insert(world.home.clone());
        places.extend(rule.copies.iter().map(|copy| copy.place()));
    }
    for (environment, (databases, places)) in environments {
        let document = document::recipe(world, environment, &databases, now);
        let content_digest = document.content_digest();
        for place in places {
            let holdings = world.places.get(&place);
            let Some(documents) = holdings.and_then(|holdings| holdings.documents.as_ref()) else {
                continue;
            };
            let key = document.key();
            let unit = recipe_unit(&place, environment);
            let target = format!("s3://{}/{key}", documents.bucket);
            let written = documents.recipes.get(&key);
            let at = written.and_then(|written| written.at);
            let same = written.and_then(|written| written.content_digest.as_ref());
            let fresh = at.is_some_and(|at| RECIPE_EVERY.after(at) > now);
            let everything_unseen = gaps.iter().any(|gap| gap.hides.covers(&unit));
            let incomplete = !document.incomplete().is_empty();
            draft.measure(&unit, &INCOMPLETE, if incomplete { 1.0 } else { 0.0 });
            if let Some(first) = document.incomplete().first() {
                draft.need(&unit, format!("the recipe of {environment} lacks: {first}"));
            }
            // Which databases there are is not certain then.
            if everything_unseen {
                let read = "the databases of this Region".to_owned();
                draft.push(&unit, target, at, Reason::Unseen { read }, Decision::Defer);
                continue;
            }
            // Another account or Region has an environment of that name.
            let own = document.of();
            if let Some(other) = written.and_then(|written| written.of.as_ref())
                && *other != own
            {
                let reason = Reason::RecipeOfAnother { of: other.clone() };
                draft.need(&unit, &reason);
                draft.push(&unit, target, at, reason, Decision::Defer);
                continue;
            }
            let old = recipe_key(environment, false);
            if !incomplete && documents.keys.contains(&old) {
                draft.forget_recipe(&place, documents, environment, old);
            }
            let reason = match (same, fresh) {
                (Some(same), true) if *same == content_digest => {
                    draft.push(&unit, target, at, Reason::Recorded, Decision::Keep);
                    continue;
                }
                (Some(same), _) if *same == content_digest => Reason::RecipeDue,
                _ => Reason::RecipeChanged,
            };
            let action = Action::WriteRecipe(RecipeWriting {
                place: place.clone(),
                bucket: documents.bucket.clone(),
                key,
                environment: environment.to_owned(),
                content_digest: content_digest.clone(),
            });
            let change = Change {
                lane: format!("recipe of {environment}"),
                pass: pass::RECORD,
                after: After::Targets(vec![]),
                effect: Effect::Restore,
                action,
            };
            draft.push(&unit, target, at, reason, Decision::Act(change));
        }
    }
}

impl Draft {
    /// Ends an incomplete recipe, now that there is a complete one.
    fn forget_recipe(
        &mut self,
        place: &Place,
        documents: &Documents,
        environment: &str,
        key: String,
    ) {
        let unit = recipe_unit(place, environment);
        let target = format!("s3://{}/{key}", documents.bucket);
        let change = Change {
            lane: format!("recipe of {environment}"),
            pass: pass::FORGET,
            after: After::EarlierPasses,
            effect: Effect::Restore,
            action: Action::DeleteDocument(DocumentDeletion {
                place: place.clone(),
                bucket: documents.bucket.clone(),
                key,
                snapshot: None,
                unit: unit.clone(),
            }),
        };
        self.push(&unit, target, None, Reason::Replaced, Decision::Act(change));
    }
}
