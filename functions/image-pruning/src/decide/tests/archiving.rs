//! What goes to the archive instead of for good, and what goes from there.

use super::*;

fn archiving() -> Case {
    Case::new().policy(|policy| policy.retention.remove_by = RemoveBy::Archive)
}

fn emptying() -> Case {
    Case::new().policy(|policy| policy.retention.delete_archived_after = Some(Period::days(90)))
}

impl Case {
    fn archived(self, name: &str, age: SignedDuration) -> Self {
        self.with(name, |image| {
            image.storage = Storage::Archived {
                since: Some(now() - age),
            };
        })
    }

    /// An index that cannot be read.
    fn closed(self, name: &str, age: SignedDuration) -> Self {
        self.archived(name, age)
            .with(name, |image| image.index = true)
    }

    /// `delete|archive LANE`, of an image that goes.
    fn way_out(&self, name: &str) -> String {
        let Decision::Act(change) = self.item(name).decision else {
            panic!("{name} stays");
        };
        assert_eq!(change.effect, Effect::Destroy);
        match change.action {
            Action::DeleteImage(_) => format!("delete {}", change.lane),
            Action::ArchiveImage(_) => format!("archive {}", change.lane),
        }
    }
}

#[test]
fn everything_that_would_be_deleted_is_archived_in_the_same_order() {
    let case = |case: Case| {
        case.image("index", days(100), &["v1"])
            .image("child", days(100), &[])
            .image("signature", days(100), &[])
            .image("loose", days(100), &[])
            .lists("index", &["child"])
            .refers("signature", "child")
    };
    let fates = [
        ("index", "go 0 superseded"),
        ("child", "go 1 child_of_deleted_index"),
        ("signature", "go 2 refers_to_deleted_image"),
        ("loose", "go 0 untagged"),
    ];
    for (case, way) in [
        (case(Case::new()), "delete app"),
        (case(archiving()), "archive app"),
    ] {
        case.expect(&fates);
        for (name, _) in fates {
            assert_eq!(case.way_out(name), way, "{name}");
        }
    }
}

#[test]
fn a_gap_a_hold_and_a_use_keep_from_the_archive_as_from_deletion() {
    let case = archiving().image("a", days(100), &["v1"]);
    case.clone().expect(&[("a", "go 0 superseded")]);
    case.clone()
        .gap(Hides::Everything)
        .expect(&[("a", "wait unseen")]);
    case.clone()
        .runs("a")
        .expect(&[("a", "keep in_use_by_task")]);
    let mut held = case;
    held.repository.hold = Some(Hold::Tag);
    held.expect(&[("a", "keep held")]);
}

#[test]
fn what_a_run_that_was_cut_short_left_out_of_the_archive_follows() {
    // The index is in the archive and cannot be read; its child and the
    // signature of it are not there yet.
    let left = |case: Case| {
        case.image("index", days(100), &["v1"])
            .closed("index", SignedDuration::from_mins(5))
            .image("child", days(100), &[])
            .image("signature", days(100), &[])
            .refers("signature", "index")
    };
    let case = left(archiving());
    case.expect(&[
        ("index", "keep archived"),
        ("child", "go 0 untagged"),
        ("signature", "go 0 refers_to_archived_image"),
    ]);
    assert_eq!(case.way_out("child"), "archive app");
    assert_eq!(case.way_out("signature"), "archive app");
    // To delete them would leave an image that cannot be restored whole.
    left(Case::new()).expect(&[
        ("index", "keep archived"),
        ("child", "keep may_be_part_of_archived"),
        ("signature", "keep refers_to_kept_image"),
    ]);
}

#[test]
fn what_a_wanted_archived_index_may_list_does_not_follow_it_to_the_archive() {
    let case = archiving()
        .image("index", days(100), &["release-1"])
        .closed("index", days(5))
        .image("child", days(100), &[])
        .image("signature", days(100), &[])
        .refers("signature", "index")
        .image("pushed after it", days(99), &[]);
    let fates = |index, signature| {
        [
            ("index", index),
            ("child", "keep may_be_part_of_archived"),
            ("signature", signature),
            ("pushed after it", "go 0 untagged"),
        ]
    };
    case.clone()
        .runs("index")
        .expect(&fates("keep in_use_by_task", "keep refers_to_kept_image"));
    let kept = fates("keep archived", "keep refers_to_kept_image");
    case.clone()
        .with("index", |image| image.storage = Storage::Moving)
        .expect(&kept);
    case.clone()
        .policy(|policy| policy.retention.keep_tags.include = vec!["release-*".to_owned()])
        .expect(&kept);
    // Nor what an index may list that such an index may list.
    case.with("index", |image| image.pushed_at = Some(now() - days(90)))
        .image("inner", days(100), &[])
        .closed("inner", days(4))
        .with("child", |image| image.restored_at = Some(now() - days(20)))
        .runs("index")
        .expect(&[
            ("index", "keep in_use_by_task"),
            ("inner", "keep archived"),
            ("child", "keep may_be_part_of_archived"),
            ("signature", "keep refers_to_kept_image"),
            ("pushed after it", "keep may_be_part_of_archived"),
        ]);
}

#[test]
fn an_index_whose_part_is_in_the_archive_before_it_is_not_archived() {
    let case = |case: Case| {
        case.image("index", days(100), &["v1"])
            .image("child", days(100), &[])
            .archived("child", days(200))
            .lists("index", &["child"])
    };
    case(archiving()).expect(&[
        ("index", "keep holds_archived_image"),
        ("child", "keep child_of_kept_index"),
    ]);
    case(Case::new()).expect(&[("index", "go 0 superseded"), ("child", "keep archived")]);
}

#[test]
fn a_restored_image_is_as_new_as_a_pushed_one() {
    archiving()
        .image("just restored", days(400), &["v1"])
        .with("just restored", |image| {
            image.restored_at = Some(now() - SignedDuration::from_hours(2));
        })
        .image("restored", days(400), &["v2"])
        .with("restored", |image| {
            image.restored_at = Some(now() - days(29))
        })
        .image("untagged", days(400), &[])
        .with("untagged", |image| {
            image.restored_at = Some(now() - days(14))
        })
        .expect(&[
            ("just restored", "keep just_pushed"),
            ("restored", "keep young"),
            ("untagged", "go 0 untagged"),
        ]);
}

#[test]
fn from_the_archive_goes_what_has_been_there_for_long_enough() {
    let nanosecond = SignedDuration::from_nanos(1);
    for (since, fate) in [
        (Some(days(90) - nanosecond), "keep archived"),
        (Some(days(90)), "go 1 archived_long_enough"),
        (None, "keep archived"),
    ] {
        let storage = Storage::Archived {
            since: since.map(|age| now() - age),
        };
        let case = emptying()
            .image("a", days(400), &["v1"])
            .with("a", |image| image.storage = storage);
        case.expect(&[("a", fate)]);
        case.policy(|policy| policy.retention.delete_archived_after = None)
            .expect(&[("a", "keep archived")]);
    }
    let moving = emptying()
        .image("a", days(400), &["v1"])
        .with("a", |image| image.storage = Storage::Moving);
    moving.expect(&[("a", "keep archived")]);
}

#[test]
fn from_the_archive_nothing_goes_that_is_protected() {
    let case = emptying()
        .image("a", days(400), &["release-1"])
        .archived("a", days(200));
    case.clone().expect(&[("a", "go 1 archived_long_enough")]);
    assert_eq!(case.way_out("a"), "delete app (archive)");
    case.clone()
        .runs("a")
        .expect(&[("a", "keep in_use_by_task")]);
    case.clone()
        .policy(|policy| policy.retention.keep_tags.include = vec!["release-*".to_owned()])
        .expect(&[("a", "keep tag_kept")]);
    case.gap(Hides::unit("app")).expect(&[("a", "wait unseen")]);
}

#[test]
fn from_the_archive_indexes_go_before_everything_else() {
    let case = emptying()
        .image("index", days(400), &["v1"])
        .closed("index", days(100))
        .image("child", days(400), &[])
        .archived("child", days(100));
    case.expect(&[
        ("index", "go 0 archived_long_enough"),
        ("child", "go 1 archived_long_enough"),
    ]);
    let Decision::Act(change) = case.item("child").decision else {
        panic!("it stays");
    };
    assert_eq!(change.after, After::EarlierPasses);
}

#[test]
fn what_an_archived_index_that_stays_may_list_stays() {
    // Pushed before it and archived after it, as its parts are.
    let case = emptying()
        .image("index", days(300), &["v1"])
        .closed("index", days(120))
        .image("part", days(300), &[])
        .archived("part", days(120))
        .image("pushed after it", days(299), &[])
        .archived("pushed after it", days(110))
        .image("archived before it", days(350), &[])
        .archived("archived before it", days(200))
        .image("not archived", days(350), &[])
        .image("pushed after it too", days(200), &[]);
    case.clone()
        .policy(|policy| policy.retention.keep_tags.include = vec!["v1".to_owned()])
        .expect(&[
            ("index", "keep tag_kept"),
            ("part", "keep may_be_part_of_archived"),
            ("pushed after it", "go 1 archived_long_enough"),
            ("archived before it", "go 1 archived_long_enough"),
            ("not archived", "keep may_be_part_of_archived"),
            ("pushed after it too", "go 0 untagged"),
        ]);
    // Once it was restored its times tell nothing any more.
    case.policy(|policy| policy.retention.keep_tags.include = vec!["v1".to_owned()])
        .with("index", |image| image.restored_at = Some(now() - days(130)))
        .expect(&[
            ("index", "keep tag_kept"),
            ("part", "keep may_be_part_of_archived"),
            ("pushed after it", "go 1 archived_long_enough"),
            ("archived before it", "keep may_be_part_of_archived"),
            ("not archived", "keep may_be_part_of_archived"),
            ("pushed after it too", "go 0 untagged"),
        ]);
}

#[test]
fn an_index_that_another_may_list_stays_with_it_and_keeps_what_it_may_list() {
    emptying()
        .policy(|policy| policy.retention.keep_tags.include = vec!["v1".to_owned()])
        .image("outer", days(300), &["v1"])
        .closed("outer", days(120))
        .image("inner", days(310), &[])
        .closed("inner", days(119))
        .image("part", days(320), &[])
        .archived("part", days(118))
        .expect(&[
            ("outer", "keep tag_kept"),
            ("inner", "keep may_be_part_of_archived"),
            ("part", "keep may_be_part_of_archived"),
        ]);
}

#[test]
fn the_last_archived_image_of_an_empty_repository_stays() {
    Case::empty()
        .policy(|policy| policy.retention.delete_archived_after = Some(Period::days(90)))
        .image("a", days(400), &["v1"])
        .archived("a", days(200))
        .image("b", days(300), &["v2"])
        .archived("b", days(200))
        .expect(&[("a", "go 1 archived_long_enough"), ("b", "keep last_image")]);
}

#[test]
fn an_archived_image_in_use_does_not_take_the_place_of_the_last_that_can_be_pulled() {
    let case = Case::empty()
        .image("in use", days(400), &["v1"])
        .archived("in use", days(200))
        .runs("in use")
        .image("a", days(400), &[])
        .image("b", days(300), &[])
        .image("signature of b", days(200), &[&signature_tag("b")]);
    case.clone().expect(&[
        ("in use", "keep in_use_by_task"),
        ("a", "go 0 untagged"),
        ("b", "keep last_image"),
        ("signature of b", "keep refers_to_kept_image"),
    ]);
    // Of archived images none has to stay for it.
    case.archived("a", days(200))
        .archived("b", days(200))
        .archived("signature of b", days(200))
        .policy(|policy| policy.retention.delete_archived_after = Some(Period::days(90)))
        .expect(&[
            ("in use", "keep in_use_by_task"),
            ("a", "go 1 archived_long_enough"),
            ("b", "go 1 archived_long_enough"),
            ("signature of b", "go 2 refers_to_deleted_image"),
        ]);
}

#[test]
fn the_last_that_can_be_pulled_stays_also_where_it_refers_to_an_archived_image() {
    Case::empty()
        .policy(|policy| policy.retention.remove_by = RemoveBy::Archive)
        .image("a", days(400), &["v1"])
        .archived("a", days(200))
        .image("old", days(400), &[&signature_tag("a")])
        .image("new", days(300), &[])
        .refers("new", "a")
        .expect(&[
            ("a", "keep archived"),
            ("old", "go 0 refers_to_archived_image"),
            ("new", "keep last_image"),
        ]);
}

#[test]
fn a_subject_waits_in_the_archive_for_what_refers_to_it() {
    let day = |signature| {
        emptying()
            .image("a", days(400), &["v1"])
            .archived("a", days(91))
            .image("signature", days(400), &[&signature_tag("a")])
            .archived("signature", signature)
    };
    let mut with_others = day(days(89));
    with_others.more_repositories = true;
    for case in [day(days(89)), with_others] {
        case.expect(&[
            ("a", "keep archived"),
            ("signature", "keep refers_to_kept_image"),
        ]);
    }
    day(days(90)).expect(&[
        ("a", "go 1 archived_long_enough"),
        ("signature", "go 2 refers_to_deleted_image"),
    ]);
    // Also for what refers to that, and for what is on its way out.
    day(days(90))
        .image("of signature", days(400), &[&signature_tag("signature")])
        .archived("of signature", days(89))
        .expect(&[
            ("a", "keep archived"),
            ("signature", "keep refers_to_kept_image"),
            ("of signature", "keep refers_to_kept_image"),
        ]);
    day(days(90))
        .with("signature", |image| image.storage = Storage::Moving)
        .expect(&[
            ("a", "keep archived"),
            ("signature", "keep refers_to_kept_image"),
        ]);
}

#[test]
fn a_restored_image_is_among_the_newest_from_then_on() {
    Case::empty()
        .image("restored", days(400), &["v1"])
        .with("restored", |image| {
            image.restored_at = Some(now() - days(40))
        })
        .image("a", days(50), &["v2"])
        .expect(&[("restored", "keep newest"), ("a", "go 0 superseded")]);
}

#[test]
fn an_archived_image_does_not_serve() {
    let case = emptying()
        .image("a", days(10), &["v1"])
        .image("b", days(400), &["v0"])
        .archived("b", days(100));
    assert!(case.item("a").serves);
    assert!(!case.item("b").serves);
}

#[test]
fn what_an_archived_index_may_list_waits_until_that_is_gone_and_not_only_going() {
    let case = emptying()
        .image("outer", days(300), &["v1"])
        .closed("outer", days(120))
        .image("inner", days(310), &[])
        .closed("inner", days(119))
        .image("not archived", days(320), &[]);
    // Neither of the indexes is needed by anybody any more.
    case.clone().expect(&[
        ("outer", "go 0 archived_long_enough"),
        ("inner", "go 0 archived_long_enough"),
        ("not archived", "keep may_be_part_of_archived"),
    ]);
    let mut next = case;
    for gone in ["outer", "inner"] {
        next.repository.images.remove(&digest(gone));
        next.names.remove(&digest(gone));
    }
    next.expect(&[("not archived", "go 0 untagged")]);
}
