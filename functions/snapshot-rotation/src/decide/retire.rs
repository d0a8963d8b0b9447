//! The end of the snapshots of databases that are gone, when a person says so.

use jiff::Timestamp;
use steward::engine::{After, Change, Decision, Effect, Seen};

use super::{Draft, pass, under_way};
use crate::action::{Action, Deletion, Subject};
use crate::reason::Reason;
use crate::world::World;

/// Plans to delete every snapshot that Steward made for these databases, in every
/// place, the newest too.
pub(super) fn retire(
    draft: &mut Draft,
    seen: &Seen<World>,
    resource_ids: &[String],
    now: Timestamp,
) {
    let world = &seen.world;
    for (place, holdings) in &world.places {
        for snapshot in &holdings.snapshots {
            let made_for = world.made_for(place, snapshot);
            let Some(id) = made_for.filter(|id| resource_ids.iter().any(|wanted| wanted == id))
            else {
                continue;
            };
            let unit = place.unit(&snapshot.database, id);
            let lives = world.databases.iter().any(|d| d.resource_id == id);
            let gap = seen.gaps.iter().find(|gap| gap.hides.covers(&unit));
            let verdict = if let Some(hold) = snapshot.hold(now) {
                (Reason::Held(hold), Decision::Keep)
            } else if lives {
                draft.need(&unit, Reason::DatabaseLives);
                (Reason::DatabaseLives, Decision::Keep)
            } else if let Some(reason) = under_way(snapshot) {
                (reason, Decision::Keep)
            } else if let Some(gap) = gap {
                let read = gap.read.clone();
                (Reason::Unseen { read }, Decision::Defer)
            } else {
                let action = Action::DeleteSnapshot(Deletion {
                    of: Subject {
                        place: place.clone(),
                        snapshot: snapshot.id.clone(),
                        database: snapshot.database.clone(),
                        resource_id: id.to_owned(),
                    },
                    created_at: snapshot.created_at,
                    taken_at: snapshot.taken_at,
                    retired: true,
                });
                let change = Change {
                    lane: id.to_owned(),
                    pass: pass::DELETE,
                    after: After::Targets(vec![]),
                    effect: Effect::Destroy,
                    action,
                };
                (Reason::Retired, Decision::Act(change))
            };
            // What is retired is not what a floor keeps.
            draft.snapshot(&unit, place, snapshot, false, verdict);
        }
    }
}
