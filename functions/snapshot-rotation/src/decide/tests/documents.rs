//! Restore points and recipes: when they are written, and when they end.

use super::*;
use crate::world::{Documents, Recording, Written};
use steward::restore_point::{self, restore_point_key};

const WHOLE: bool = true;

impl Case {
    /// There are buckets, `here` beside the databases and `there` in the other
    /// place, and every database was read and is of the environment `shop`.
    fn with_buckets(mut self) -> Self {
        for (place, holdings) in &mut self.world.places {
            let bucket = if *place == home() { "here" } else { "there" };
            holdings.documents = Some(Documents {
                bucket: bucket.to_owned(),
                ..Documents::default()
            });
        }
        for database in &mut self.world.databases {
            let environment = (names::ENVIRONMENT.to_owned(), "shop".to_owned());
            database.tags.extend([environment]);
            let settings = restore_point::Database {
                identifier: database.identifier.clone(),
                ..restore_point::Database::default()
            };
            let recording = Recording {
                settings: Some(settings),
                ..Recording::default()
            };
            let id = database.resource_id.clone();
            self.world.recordings.insert(id, recording);
        }
        self.recipes_are_of(&["here", "there"], 1)
    }

    /// What a read of the first database left open.
    fn lacking(mut self, why: &[&str]) -> Self {
        let recording = self.world.recordings.get_mut(RESOURCE_ID).unwrap();
        recording.missing = why.iter().map(|why| (*why).to_owned()).collect();
        self
    }

    fn documents(&mut self, bucket: &str) -> Option<&mut Documents> {
        let holdings = self.world.places.values_mut();
        let mut all = holdings.filter_map(|holdings| holdings.documents.as_mut());
        all.find(|documents| documents.bucket == bucket)
    }

    /// The bucket has the document of a snapshot.
    fn document(mut self, bucket: &str, label: &str, whole: bool) -> Self {
        let mut labels = self.labels.iter();
        let (id, _) = labels.find(|(_, other)| *other == label).unwrap();
        let key = restore_point_key("shop-db", RESOURCE_ID, id, whole);
        self.documents(bucket).unwrap().keys.insert(key);
        self
    }

    /// The recipe of the only environment is there as it would be written now, of
    /// so many hours ago.
    fn recipes_are_of(mut self, buckets: &[&str], hours_ago: i64) -> Self {
        let databases: Vec<&Database> = self.world.databases.iter().collect();
        let recipe = crate::document::recipe(&self.world, "shop", &databases, self.now);
        for bucket in buckets {
            if let Some(documents) = self.documents(bucket) {
                documents.keys.insert(recipe.key());
                let written = Written {
                    content_digest: Some(recipe.content_digest()),
                    at: Some(ago(hours_ago)),
                    of: Some(recipe.of()),
                };
                documents.recipes.insert(recipe.key(), written);
            }
        }
        self
    }

    /// The fates of what is in buckets, or is to be.
    #[track_caller]
    fn expect_documents(&self, fates: &[&str]) -> &Self {
        let all = self.fates().into_iter();
        let in_buckets = |fate: &String| fate.starts_with("here/") || fate.starts_with("there/");
        let found: BTreeSet<String> = all.filter(in_buckets).collect();
        let expected = fates.iter().map(|fate| (*fate).to_owned()).collect();
        assert_eq!(found, expected);
        self
    }
}

#[test]
fn a_snapshot_gets_its_restore_point_here_first_and_then_the_same_there() {
    let case = Case::new()
        .own("a", 1)
        .copies_to(&west())
        .copied(&west(), "a", 1)
        .with_buckets();
    case.expect_documents(&[
        "here/a.json: do 3 undocumented",
        "here/shop.json: keep recorded",
        "there/a.json: wait not_recorded",
        "there/shop.json: keep recorded",
    ]);
    let written = case.document("here", "a", WHOLE);
    written.expect_documents(&[
        "here/a.json: keep recorded",
        "here/shop.json: keep recorded",
        "there/a.json: do 3 undocumented",
        "there/shop.json: keep recorded",
    ]);
    let Action::WriteRestorePoint(writing) = written.action("there/a.json") else {
        panic!("it is not written");
    };
    assert_eq!(writing.same_as.as_deref(), Some("here"));
    written.document("there", "a", WHOLE).expect_documents(&[
        "here/a.json: keep recorded",
        "here/shop.json: keep recorded",
        "there/a.json: keep recorded",
        "there/shop.json: keep recorded",
    ]);
}

#[test]
fn what_cannot_be_restored_yet_and_what_is_not_stewards_has_no_restore_point() {
    let case = Case::new()
        .own("a", 25)
        .own("b", 1)
        .snapshot(&home(), "b", |b| b.progress = under("creating"));
    let other = foreign(&case.world.databases[0], "shop-db-final", 30);
    case.put(&home(), "final", other)
        .with_buckets()
        .expect_documents(&[
            "here/a.json: do 3 undocumented",
            "here/shop.json: keep recorded",
        ]);
}

#[test]
fn an_incomplete_restore_point_stays_until_a_complete_one_takes_its_place() {
    let lacking = ["rds:DescribeDBParameters of shop-db: AccessDenied"];
    let case = Case::new().own("a", 1).with_buckets();
    let incomplete = case.clone().lacking(&lacking);
    incomplete.expect_documents(&[
        // Its recipe lacks the same.
        "here/a.incomplete.json: do 3 undocumented",
        "here/shop.incomplete.json: do 3 recipe_changed",
    ]);
    let there = incomplete.document("here", "a", !WHOLE);
    assert_eq!(there.measured("db", "DocumentsIncomplete"), Some(1.0));
    there.expect_documents(&[
        "here/a.incomplete.json: keep recorded_incompletely",
        "here/shop.incomplete.json: do 3 recipe_changed",
    ]);
    let read_again = there.lacking(&[]);
    read_again.expect_documents(&[
        "here/a.incomplete.json: keep recorded_incompletely",
        "here/a.json: do 3 undocumented",
        "here/shop.json: keep recorded",
    ]);
    let both = read_again.document("here", "a", WHOLE);
    assert_eq!(both.measured("db", "DocumentsIncomplete"), Some(0.0));
    both.expect_documents(&[
        "here/a.incomplete.json: do 5 replaced",
        "here/a.json: keep recorded",
        "here/shop.json: keep recorded",
    ]);
}

#[test]
fn a_restore_point_ends_with_its_snapshot_and_no_other_object_does() {
    let mut case = Case::new().own("a", 1).own("b", 25).with_buckets();
    case = case
        .document("here", "a", WHOLE)
        .document("here", "b", WHOLE);
    let gone = case.clone().place(&home(), |holdings| {
        holdings.snapshots.retain(|s| s.taken_at == Some(ago(1)));
    });
    let documents = [
        "here/a.json: keep recorded",
        "here/shop.json: keep recorded",
    ];
    let ends = |fate| [&[fate], documents.as_slice()].concat();
    gone.expect_documents(&ends("here/b.json: do 5 snapshot_gone"));
    // Nothing says that it is gone when the listing was not whole.
    let hidden = home().unit("shop-db", RESOURCE_ID);
    let unread = gone.clone().gap(Hides::unit(hidden));
    unread.expect_documents(&ends("here/b.json: wait unseen"));
    // Whatever else people keep in the bucket is theirs.
    let mut with_others = gone;
    let keys = &mut with_others.documents("here").unwrap().keys;
    for key in [
        "notes.json",
        "restore-points/shop-db/notes.json",
        "restore-points/shop-db/db-OTHER/steward-shop-db-uvwxyz-20261101-0000.json",
        "restore-points/shop-db/db-ABCDEFGHIJKLMNOPQRSTUVWXYZ/by-hand.json",
        "restore-points/shop-db/db-ABCDEFGHIJKLMNOPQRSTUVWXYZ/deep/a.json",
    ] {
        keys.insert(key.to_owned());
    }
    with_others.expect_documents(&ends("here/b.json: do 5 snapshot_gone"));
}

#[test]
fn restore_points_of_databases_that_a_run_is_not_about_are_left() {
    let mut case = Case::new().own("a", 1).with_buckets();
    case = case.document("here", "a", WHOLE);
    case.place_of_a_gone_snapshot();
    case.scope = Scope::Databases(vec!["other-db".to_owned()]);
    case.expect_documents(&[]);
    case.scope = Scope::Retire(vec![RESOURCE_ID.to_owned()]);
    case.expect_documents(&[]);
    case.scope = Scope::Databases(vec!["shop-db".to_owned()]);
    case.expect_documents(&["here/a.json: do 5 snapshot_gone"]);
}

impl Case {
    fn place_of_a_gone_snapshot(&mut self) {
        let holdings = self.world.places.get_mut(&home()).unwrap();
        holdings.snapshots.clear();
    }
}

#[test]
fn restore_points_of_a_database_that_is_gone_stay_with_its_snapshots() {
    let mut case = Case::new().own("a", 1).with_buckets();
    case = case.document("here", "a", WHOLE);
    case.world.databases.clear();
    case.expect(&["a: keep database_gone", "here/a.json: keep recorded"]);
}

#[test]
fn a_recipe_is_written_every_day_and_when_something_has_changed() {
    let case = Case::new().own("a", 1).with_buckets();
    let case = case.document("here", "a", WHOLE);
    let of = |case: &Case, fate: &str| {
        let recipe = format!("here/shop.json: {fate}");
        case.expect_documents(&["here/a.json: keep recorded", &recipe]);
    };
    of(&case, "keep recorded");
    of(&case.clone().recipes_are_of(&["here"], 23), "keep recorded");
    of(
        &case.clone().recipes_are_of(&["here"], 24),
        "do 3 recipe_due",
    );
    let mut changed = case.clone();
    let recording = changed.world.recordings.get_mut(RESOURCE_ID).unwrap();
    recording.settings.as_mut().unwrap().identifier = "renamed".to_owned();
    of(&changed, "do 3 recipe_changed");
    // Somebody else wrote it, or nobody.
    let mut other = case.clone();
    let recipes = &mut other.documents("here").unwrap().recipes;
    recipes.values_mut().for_each(|it| it.content_digest = None);
    of(&other, "do 3 recipe_changed");
    let mut without = case;
    without.documents("here").unwrap().recipes.clear();
    of(&without, "do 3 recipe_changed");
}

#[test]
fn databases_of_one_environment_share_a_recipe() {
    let mut case = Case::new().and_database("other-db", "db-OTHER").own("a", 1);
    let other = own(&case.world.databases[1], 1);
    case = case.put(&home(), "other a", other);
    case = case.with_buckets();
    case.documents("here").unwrap().recipes.clear();
    case.expect_documents(&[
        "here/a.json: do 3 undocumented",
        "here/other a.json: do 3 undocumented",
        "here/shop.json: do 3 recipe_changed",
    ]);
    let Action::WriteRecipe(writing) = case.action("here/shop.json") else {
        panic!("it is not written");
    };
    assert_eq!(writing.environment, "shop");
}

#[test]
fn without_all_databases_no_recipe_is_written() {
    let mut case = Case::new().own("a", 1).with_buckets();
    case.documents("here").unwrap().recipes.clear();
    let case = case.document("here", "a", WHOLE).gap(Hides::Everything);
    case.expect_documents(&["here/a.json: keep recorded", "here/shop.json: wait unseen"]);
}

#[test]
fn a_restore_point_needs_no_room_and_waits_for_no_copy() {
    let case = Case::new()
        .own("a", 1)
        .copies_to(&west())
        .quota(&west(), 100, 100)
        .with_buckets();
    case.expect(&[
        "db: keep recent",
        "a: keep awaits_copy",
        "west a: wait quota_full",
        "here/a.json: do 3 undocumented",
        "here/shop.json: keep recorded",
        "there/shop.json: keep recorded",
    ]);
}

#[test]
fn the_restore_point_beside_the_database_stays_until_every_copy_has_its_own() {
    let case = Case::new()
        .own("a", 1)
        .copies_to(&west())
        .copied(&west(), "a", 1)
        .copied(&west(), "b", 49)
        .with_buckets();
    let mut case = case
        .document("here", "a", WHOLE)
        .document("here", "b", WHOLE)
        .document("there", "a", WHOLE);
    let others = [
        "here/a.json: keep recorded",
        "here/shop.json: keep recorded",
        "there/a.json: keep recorded",
        "there/shop.json: keep recorded",
    ];
    let expect = |case: &Case, fates: &[&str]| {
        case.expect_documents(&[fates, others.as_slice()].concat());
    };
    let wanting = [
        "here/b.json: keep recorded",
        "there/b.json: do 3 undocumented",
    ];
    expect(&case, &wanting);
    let complete = case.clone().document("there", "b", WHOLE);
    expect(
        &complete,
        &[
            "here/b.json: do 5 snapshot_gone",
            "there/b.json: keep recorded",
        ],
    );
    // Without a bucket there, it is the only one.
    let holdings = case.world.places.get_mut(&west()).unwrap();
    holdings.documents = None;
    case.expect_documents(&[
        "here/a.json: keep recorded",
        "here/b.json: keep recorded",
        "here/shop.json: keep recorded",
    ]);
    // A place that was not read may have it.
    let unread = complete.place(&west(), |holdings| holdings.complete = false);
    assert!(unread.fates().contains("here/b.json: keep recorded"));
}

#[test]
fn a_copy_whose_restore_point_can_never_come_is_counted() {
    let case = Case::new()
        .own("a", 1)
        .copies_to(&west())
        .copied(&west(), "a", 1)
        .copied(&west(), "b", 49)
        .with_buckets();
    let case = case
        .document("here", "a", WHOLE)
        .document("there", "a", WHOLE);
    assert!(case.fates().contains("there/b.json: wait not_recorded"));
    assert_eq!(case.measured("west db", "DocumentsIncomplete"), Some(1.0));
}

#[test]
fn a_database_that_is_renamed_has_its_restore_points_under_the_old_name() {
    let case = Case::new().own("a", 1).with_buckets();
    let case = case.document("here", "a", WHOLE);
    let case = case.database(|database| {
        database.identifier = "store-db".to_owned();
        database.arn = database.arn.replace("shop-db", "store-db");
    });
    let case = case.recipes_are_of(&["here"], 1);
    case.expect_documents(&[
        "here/a.json: keep recorded",
        "here/shop.json: keep recorded",
    ]);
}

#[test]
fn the_recipe_of_another_account_or_region_is_not_overwritten() {
    let mut case = Case::new().own("a", 1).with_buckets();
    case = case.document("here", "a", WHOLE);
    let recipes = &mut case.documents("here").unwrap().recipes;
    for recipe in recipes.values_mut() {
        recipe.of = Some("222222222222/eu-west-1".to_owned());
        recipe.content_digest = None;
    }
    case.expect_documents(&[
        "here/a.json: keep recorded",
        "here/shop.json: wait recipe_of_another",
    ]);
    let needs = case.needs();
    assert!(needs[0].contains("222222222222/eu-west-1"), "{needs:?}");
}

#[test]
fn an_incomplete_recipe_goes_though_the_complete_one_is_of_today() {
    let mut case = Case::new().own("a", 1).with_buckets();
    case = case.document("here", "a", WHOLE);
    let keys = &mut case.documents("here").unwrap().keys;
    keys.insert(restore_point::recipe_key("shop", !WHOLE));
    case.expect_documents(&[
        "here/a.json: keep recorded",
        "here/shop.incomplete.json: do 5 replaced",
        "here/shop.json: keep recorded",
    ]);
}
