//! Which documents stay, and which end.

use std::collections::BTreeMap;

use steward::restore_point::{recipe_key, restore_point_key};

use super::*;
use crate::document;
use crate::world::{Documents, Written};

/// Documents of snapshots of so many hours ago, whole or not, in a bucket.
fn documents(bucket: &str, of: &[(i64, bool)]) -> Documents {
    let case = Case::new();
    let database = &case.world.databases[0];
    let keys = of.iter().map(|(hours, whole)| {
        let snapshot = own(database, *hours).id;
        restore_point_key("shop-db", RESOURCE_ID, &snapshot, *whole)
    });
    Documents {
        bucket: bucket.to_owned(),
        keys: keys.collect(),
        recipes: BTreeMap::new(),
    }
}

/// What becomes of the document beside the database that is of 50 hours ago:
/// `keep|wait|do PASS CODE`.
fn fates_at_home(case: &Case) -> Vec<String> {
    let items = case.plan().items;
    let snapshot = own(&Case::new().world.databases[0], 50).id;
    let here = items.iter().filter(|item| {
        item.target.starts_with("s3://here/restore") && item.target.contains(&snapshot)
    });
    let told = here.map(|item| {
        let verdict = match &item.decision {
            Decision::Keep => "keep".to_owned(),
            Decision::Defer => "wait".to_owned(),
            Decision::Act(change) => format!("do {}", change.pass),
        };
        format!("{verdict} {}", item.reason.code())
    });
    told.collect()
}

/// A copy of 50 hours in a place with a bucket; the snapshot here is gone, and only
/// its document is left.
fn copied(there: Option<Documents>) -> Case {
    Case::new()
        .copies_to(&west())
        .rule(|rule| rule.copies[0].restore_points = Some("there".to_owned()))
        .own("a", 2)
        .copied(&west(), "b", 50)
        .place(&home(), |home| {
            home.documents = Some(documents("here", &[(50, true)]))
        })
        .place(&west(), |west| west.documents = there)
}

#[test]
fn a_document_stays_until_it_is_beside_every_copy_of_its_snapshot() {
    for (there, fate) in [
        (Some(documents("there", &[])), "keep awaits_copy"),
        // An incomplete one there is to be replaced by the whole one here.
        (Some(documents("there", &[(50, false)])), "keep awaits_copy"),
        (
            Some(documents("there", &[(50, true)])),
            "do 5 snapshot_gone",
        ),
        // The bucket could not be read.
        (None, "keep awaits_copy"),
    ] {
        let case = copied(there.clone());
        assert_eq!(fates_at_home(&case), [fate], "{there:?}");
    }
    let without_bucket = copied(None).rule(|rule| rule.copies[0].restore_points = None);
    assert_eq!(fates_at_home(&without_bucket), ["do 5 snapshot_gone"]);
    let without_copy = Case::new()
        .copies_to(&west())
        .rule(|rule| rule.copies[0].restore_points = Some("there".to_owned()))
        .place(&home(), |home| {
            home.documents = Some(documents("here", &[(50, true)]))
        });
    assert_eq!(fates_at_home(&without_copy), ["do 5 snapshot_gone"]);
}

#[test]
fn an_incomplete_recipe_goes_though_the_complete_one_is_of_today() {
    let mut case = Case::new().own("a", 2);
    let recording = crate::world::Recording::default();
    let recordings = [(RESOURCE_ID.to_owned(), recording)];
    case.world.recordings = recordings.into();
    let databases: Vec<&Database> = case.world.databases.iter().collect();
    let recipe = document::recipe(&case.world, "shop-db", &databases, now());
    assert_eq!(recipe.key(), recipe_key("shop-db", true));
    let (whole, incomplete) = (recipe.key(), recipe_key("shop-db", false));
    let written = Written {
        content_digest: Some(recipe.content_digest()),
        at: Some(ago(1)),
    };
    let case = case.place(&home(), |home| {
        home.documents = Some(Documents {
            bucket: "here".to_owned(),
            keys: [whole.clone(), incomplete.clone()].into(),
            recipes: [(whole, written)].into(),
        });
    });
    let items = case.plan().items;
    let of = |key: &str| {
        let mut found = items.iter().filter(|item| item.target.ends_with(key));
        let found = found.next().unwrap();
        (
            found.reason.code(),
            matches!(found.decision, Decision::Act(_)),
        )
    };
    assert_eq!(of("recipes/shop-db.json"), ("recorded", false));
    assert_eq!(of(&incomplete), ("replaced", true));
}
