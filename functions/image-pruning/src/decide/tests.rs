//! What becomes of every image, case by case. Each case is a small registry;
//! its fates are compared whole, so that no image is left out of a test.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use steward::engine::{After, Decision, Function, Gap, Hides, Item, Reason as _, Seen};
use steward::hold::Hold;
use steward::policy::{Period, Selection};

use super::*;
use crate::policy::{Override, Tags};
use crate::reason::REASON_CODES;
use crate::world::{Pin, User, UserKind};
use crate::{ImagePruning, Scope};

mod archiving;
mod pulls;

fn now() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

fn days(days: i64) -> SignedDuration {
    SignedDuration::from_hours(24 * days)
}

/// A digest that is told from others by its name, and reads as one.
fn digest(name: &str) -> Digest {
    let hex: String = name.bytes().map(|byte| format!("{byte:02x}")).collect();
    Digest::new(format!("sha256:{hex:0>64}"))
}

/// The tag by which older tools attach a signature.
fn signature_tag(of: &str) -> String {
    format!("{}.sig", digest(of).as_str().replace(':', "-"))
}

/// One repository, `app`, with its users and policy.
#[derive(Clone)]
struct Case {
    names: BTreeMap<Digest, String>,
    repository: Repository,
    uses: Vec<Use>,
    gaps: Vec<Gap>,
    policy: PruningPolicy,
    more_repositories: bool,
}

impl Case {
    /// Nothing in it; one newest is kept, 30 days of tagged and 14 of untagged.
    fn empty() -> Self {
        let mut policy = PruningPolicy::default();
        policy.retention.keep_newest = 1;
        Self {
            names: BTreeMap::new(),
            repository: Repository {
                complete: true,
                ..Repository::default()
            },
            uses: vec![],
            gaps: vec![],
            policy,
            more_repositories: false,
        }
    }

    /// With an image `head` that is and stays the newest, so that no other is
    /// kept for that.
    fn new() -> Self {
        Self::empty().image("head", SignedDuration::from_hours(25), &["head"])
    }

    fn image(mut self, name: &str, age: SignedDuration, tags: &[&str]) -> Self {
        let image = Image {
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            pushed_at: Some(now() - age),
            ..Image::default()
        };
        self.names.insert(digest(name), name.to_owned());
        self.repository.images.insert(digest(name), image);
        self
    }

    fn with(mut self, name: &str, change: impl FnOnce(&mut Image)) -> Self {
        change(self.repository.images.get_mut(&digest(name)).unwrap());
        self
    }

    /// Makes an image an index over others, or adds to what it lists.
    fn lists(self, index: &str, children: &[&str]) -> Self {
        self.with(index, |image| {
            image.children.extend(children.iter().map(|c| digest(c)));
        })
    }

    fn refers(self, referrer: &str, subject: &str) -> Self {
        self.with(referrer, |image| image.subject = Some(digest(subject)))
    }

    fn used(mut self, kind: UserKind, pin: Pin) -> Self {
        self.uses.push(Use {
            repository: "app".to_owned(),
            pin,
            by: User {
                kind,
                name: "somebody".to_owned(),
            },
        });
        self
    }

    fn runs(self, name: &str) -> Self {
        self.used(UserKind::Task, Pin::Digest(digest(name)))
    }

    fn gap(mut self, hides: Hides) -> Self {
        self.gaps.push(Gap {
            read: "ecs:ListTasks: AccessDeniedException".to_owned(),
            hides,
            grant: "ecs:ListTasks".to_owned(),
        });
        self
    }

    fn policy(mut self, change: impl FnOnce(&mut PruningPolicy)) -> Self {
        change(&mut self.policy);
        self
    }

    fn items(&self) -> Vec<Item<Action, Reason>> {
        let seen = Seen {
            world: World {
                account: "123456789012".to_owned(),
                more_repositories: self.more_repositories,
                repositories: BTreeMap::from([("app".to_owned(), self.repository.clone().into())]),
                uses: self.uses.clone(),
            },
            gaps: self.gaps.clone(),
            warnings: vec![],
        };
        ImagePruning::decide(&self.policy, &Scope::Everything, &seen, now()).items
    }

    fn item(&self, name: &str) -> Item<Action, Reason> {
        let target = target("app", &digest(name));
        let mut found = self.items().into_iter().filter(|i| i.target == target);
        let item = found.next().unwrap_or_else(|| panic!("{name} has no fate"));
        assert!(found.next().is_none(), "{name} has two fates");
        item
    }

    /// `keep|wait|go N CODE`, N being the pass, of one image.
    fn fate(&self, name: &str) -> String {
        let item = self.item(name);
        let verdict = match &item.decision {
            Decision::Keep => "keep".to_owned(),
            Decision::Defer => "wait".to_owned(),
            Decision::Act(change) => format!("go {}", change.pass),
        };
        let code = item.reason.code();
        assert!(REASON_CODES.contains(&code), "{code} is not documented");
        format!("{verdict} {code}")
    }

    /// Compares the fates of all images but `head`.
    #[track_caller]
    fn expect(&self, fates: &[(&str, &str)]) {
        assert_eq!(self.items().len(), self.repository.images.len());
        let found: BTreeMap<&str, String> = self
            .names
            .values()
            .filter(|name| *name != "head")
            .map(|name| (name.as_str(), self.fate(name)))
            .collect();
        let expected: BTreeMap<&str, String> = fates
            .iter()
            .map(|(name, fate)| (*name, (*fate).to_owned()))
            .collect();
        assert_eq!(found, expected);
    }

    /// The names of what an image's deletion must come after.
    fn comes_after(&self, name: &str) -> Vec<String> {
        let Decision::Act(change) = self.item(name).decision else {
            panic!("{name} stays");
        };
        let After::Targets(targets) = change.after else {
            panic!("{name} waits for more than its own");
        };
        let mut names: Vec<String> = targets
            .iter()
            .map(|target| Digest::new(target.strip_prefix("app@").unwrap()))
            .map(|digest| self.names[&digest].clone())
            .collect();
        names.sort();
        names
    }
}

#[test]
fn a_tagged_image_goes_at_the_very_instant_its_time_is_over() {
    let nanosecond = SignedDuration::from_nanos(1);
    for (age, fate) in [
        (days(30) - nanosecond, "keep young"),
        (days(30), "go 0 superseded"),
        (days(30) + nanosecond, "go 0 superseded"),
    ] {
        Case::new().image("a", age, &["v1"]).expect(&[("a", fate)]);
    }
}

#[test]
fn an_untagged_image_goes_at_the_very_instant_its_time_is_over() {
    let nanosecond = SignedDuration::from_nanos(1);
    for (age, fate) in [
        (days(14) - nanosecond, "keep untagged_young"),
        (days(14), "go 0 untagged"),
        (days(14) + nanosecond, "go 0 untagged"),
    ] {
        Case::new().image("a", age, &[]).expect(&[("a", fate)]);
    }
}

#[test]
fn nothing_goes_within_a_day_and_no_policy_changes_that() {
    let nanosecond = SignedDuration::from_nanos(1);
    for (age, untagged, tagged) in [
        (-days(2), "keep just_pushed", "keep just_pushed"),
        (SignedDuration::ZERO, "keep just_pushed", "keep just_pushed"),
        (days(1) - nanosecond, "keep just_pushed", "keep just_pushed"),
        (days(1), "go 0 untagged", "go 0 superseded"),
    ] {
        let case = Case::empty()
            .image("newest", -days(9), &["head"])
            .image("untagged", age, &[])
            .image("tagged", age, &["v1"])
            .policy(|policy| {
                // Below what a policy document may say.
                policy.retention.keep_younger_than = Period::hours(0);
                policy.retention.remove_untagged_after = Period::hours(0);
            });
        case.expect(&[
            ("newest", "keep just_pushed"),
            ("untagged", untagged),
            ("tagged", tagged),
        ]);
    }
}

#[test]
fn a_build_that_was_just_pushed_keeps_what_it_is_made_of_and_what_it_is_about() {
    Case::new()
        .image("index", SignedDuration::from_hours(1), &[])
        .image("child", days(400), &[])
        .lists("index", &["child"])
        .image("old", days(400), &["v1"])
        .image("signature", SignedDuration::from_hours(1), &[])
        .refers("signature", "old")
        .expect(&[
            ("index", "keep just_pushed"),
            ("child", "keep child_of_kept_index"),
            ("old", "go 0 superseded"),
            ("signature", "keep just_pushed"),
        ]);
}

#[test]
fn newest_counts_tagged_images_by_push_time_used_ones_included() {
    let case = Case::empty()
        .image("a", days(40), &["v4"])
        .image("b", days(50), &["v3"])
        .image("c", days(60), &["v2"])
        .image("d", days(70), &["v1"])
        .image("untagged", days(35), &[])
        .runs("a")
        .policy(|policy| policy.retention.keep_newest = 3);
    case.expect(&[
        ("a", "keep in_use_by_task"),
        ("b", "keep newest"),
        ("c", "keep newest"),
        ("d", "go 0 superseded"),
        ("untagged", "go 0 untagged"),
    ]);
}

#[test]
fn among_images_of_one_age_the_newest_are_always_the_same() {
    let mut kept = BTreeSet::new();
    for order in [["a", "b", "c"], ["c", "b", "a"], ["b", "a", "c"]] {
        let mut case = Case::empty().policy(|policy| policy.retention.keep_newest = 2);
        for name in order {
            case = case.image(name, days(40), &[name]);
        }
        let names = ["a", "b", "c"].into_iter();
        kept.insert(
            names
                .filter(|name| case.fate(name) == "keep newest")
                .collect::<Vec<_>>(),
        );
    }
    assert_eq!(kept, BTreeSet::from([vec!["a", "b"]]));
}

#[test]
fn signatures_take_no_place_among_the_newest() {
    Case::empty()
        .image("a", days(60), &["v1"])
        .image("signature", days(40), &[&signature_tag("a")])
        .expect(&[
            ("a", "keep newest"),
            ("signature", "keep refers_to_kept_image"),
        ]);
}

#[test]
fn archived_images_take_no_place_among_the_newest() {
    // Nothing can be pulled from the archive, so that the newest of those that
    // can be is another one.
    Case::empty()
        .image("archived", days(40), &["v2"])
        .with("archived", |image| {
            image.storage = Storage::Archived { since: None }
        })
        .image("a", days(60), &["v1"])
        .image("b", days(70), &["v0"])
        .expect(&[
            ("archived", "keep archived"),
            ("a", "keep newest"),
            ("b", "go 0 superseded"),
        ]);
}

#[test]
fn kept_tags_beat_age_and_their_exclusions_beat_them() {
    let keep = Tags {
        include: vec!["release-*".to_owned(), "stable".to_owned()],
        exclude: vec!["release-*-rc?".to_owned()],
    };
    for (tags, fate) in [
        (&["release-1"][..], "keep tag_kept"),
        (&["stable"][..], "keep tag_kept"),
        (&["release-1-rc1"][..], "go 0 superseded"),
        (&["release-1-rc10"][..], "keep tag_kept"),
        (&["unstable"][..], "go 0 superseded"),
        (&["Stable"][..], "go 0 superseded"),
        (&["build-7", "release-1-rc1"][..], "go 0 superseded"),
        (
            &["build-7", "release-1", "release-1-rc1"][..],
            "keep tag_kept",
        ),
        (&[][..], "go 0 untagged"),
    ] {
        let case = Case::new()
            .image("a", days(3000), tags)
            .policy(|policy| policy.retention.keep_tags = keep.clone());
        case.expect(&[("a", fate)]);
    }
}

#[test]
fn a_glob_over_all_tags_keeps_every_named_image_but_no_untagged_one() {
    Case::new()
        .image("tagged", days(3000), &["v1"])
        .image("untagged", days(3000), &[])
        .policy(|policy| policy.retention.keep_tags.include = vec!["*".to_owned()])
        .expect(&[("tagged", "keep tag_kept"), ("untagged", "go 0 untagged")]);
}

#[test]
fn the_first_override_that_matches_counts_and_replaces_the_retention_as_a_whole() {
    let over = |include: &str, retention: Option<Retention>| Override {
        repositories: Selection {
            include: vec![include.to_owned()],
            exclude: vec![],
        },
        retention,
        max_deletes_per_repository: None,
        max_delete_share_percent: None,
    };
    let short = Retention {
        keep_newest: 1,
        keep_younger_than: Period::days(2),
        ..Retention::default()
    };
    let long = Retention {
        keep_newest: 1,
        keep_younger_than: Period::days(900),
        ..Retention::default()
    };
    let general = |policy: &mut PruningPolicy| {
        policy.retention.keep_younger_than = Period::days(200);
        policy.retention.remove_untagged_after = Period::days(200);
    };
    for (overrides, tagged, untagged) in [
        (vec![], "keep young", "keep untagged_young"),
        (
            vec![over("other", Some(short.clone()))],
            "keep young",
            "keep untagged_young",
        ),
        // The 200 days for untagged images are gone with the rest.
        (
            vec![over("app", Some(short.clone()))],
            "go 0 superseded",
            "go 0 untagged",
        ),
        (
            vec![
                over("a*", Some(short.clone())),
                over("app", Some(long.clone())),
            ],
            "go 0 superseded",
            "go 0 untagged",
        ),
        (
            vec![
                over("app", Some(long.clone())),
                over("a*", Some(short.clone())),
            ],
            "keep young",
            "go 0 untagged",
        ),
        // One without a retention takes the place of those after it.
        (
            vec![over("app", None), over("a*", Some(short.clone()))],
            "keep young",
            "keep untagged_young",
        ),
    ] {
        let case = Case::new()
            .image("tagged", days(100), &["v1"])
            .image("untagged", days(100), &[])
            .policy(general)
            .policy(|policy| policy.overrides = overrides);
        case.expect(&[("tagged", tagged), ("untagged", untagged)]);
    }
}

#[test]
fn what_is_not_known_or_not_in_reach_stays() {
    Case::new()
        .image("timeless", days(400), &["v1"])
        .with("timeless", |image| image.pushed_at = None)
        .image("untagged", days(400), &[])
        .with("untagged", |image| image.pushed_at = None)
        .image("archived", days(400), &[])
        .with("archived", |image| {
            image.storage = Storage::Archived { since: None }
        })
        .image("archived and timeless", days(400), &["v2"])
        .with("archived and timeless", |image| {
            image.storage = Storage::Archived { since: None };
            image.pushed_at = None;
        })
        .expect(&[
            ("timeless", "keep push_time_unknown"),
            ("untagged", "keep push_time_unknown"),
            ("archived", "keep archived"),
            ("archived and timeless", "keep archived"),
        ]);
}

#[test]
fn what_stays_for_that_keeps_its_children_and_referrers() {
    for spoil in [
        |image: &mut Image| image.storage = Storage::Archived { since: None },
        |image: &mut Image| image.pushed_at = None,
    ] {
        let case = Case::new()
            .image("index", days(400), &[])
            .with("index", spoil)
            .image("child", days(400), &[])
            .lists("index", &["child"])
            .image("signature", days(400), &[])
            .refers("signature", "child");
        assert!(case.fate("index").starts_with("keep"));
        assert_eq!(case.fate("child"), "keep child_of_kept_index");
        assert_eq!(case.fate("signature"), "keep refers_to_kept_image");
    }
}

#[test]
fn a_part_that_must_stay_outlives_its_index() {
    Case::new()
        .image("index", days(400), &[])
        .image("archived", days(400), &[])
        .with("archived", |image| {
            image.storage = Storage::Archived { since: None }
        })
        .image("fresh", SignedDuration::from_hours(1), &[])
        .image("timeless", days(400), &[])
        .with("timeless", |image| image.pushed_at = None)
        .image("plain", days(400), &[])
        .lists("index", &["archived", "fresh", "timeless", "plain"])
        .expect(&[
            ("index", "go 0 untagged"),
            ("archived", "keep archived"),
            ("fresh", "keep just_pushed"),
            ("timeless", "keep push_time_unknown"),
            ("plain", "go 1 child_of_deleted_index"),
        ]);
}

#[test]
fn the_newest_stays_where_nothing_has_a_tag_and_nothing_is_used() {
    let bare = Case::empty()
        .image("a", days(100), &[])
        .image("b", days(200), &[])
        .image("c", days(300), &[]);
    bare.expect(&[
        ("a", "keep last_image"),
        ("b", "go 0 untagged"),
        ("c", "go 0 untagged"),
    ]);
    // As soon as anything else stays for certain, it is not needed.
    bare.clone().runs("b").expect(&[
        ("a", "go 0 untagged"),
        ("b", "keep in_use_by_task"),
        ("c", "go 0 untagged"),
    ]);
    bare.image("d", days(400), &["v1"]).expect(&[
        ("a", "go 0 untagged"),
        ("b", "go 0 untagged"),
        ("c", "go 0 untagged"),
        ("d", "keep newest"),
    ]);
}

#[test]
fn the_last_image_is_one_that_can_be_pulled_and_stays_whole() {
    Case::empty()
        .image("archived", days(100), &[])
        .with("archived", |image| {
            image.storage = Storage::Archived { since: None }
        })
        .image("index", days(200), &[])
        .image("child", days(150), &[])
        .lists("index", &["child"])
        .image("signature", days(150), &[])
        .refers("signature", "child")
        .image("old", days(300), &[])
        .expect(&[
            ("archived", "keep archived"),
            ("index", "keep last_image"),
            ("child", "keep child_of_kept_index"),
            ("signature", "keep refers_to_kept_image"),
            ("old", "go 0 untagged"),
        ]);
}

#[test]
fn a_tag_that_was_looked_up_once_keeps_everything_that_it_may_have_named() {
    let case = || {
        Case::new()
            .image("present", days(400), &["stable"])
            .image("untagged", days(400), &[])
            .image("other", days(400), &["v1"])
            .image("child of other", days(400), &[])
            .lists("other", &["child of other"])
            .used(UserKind::Deployment, Pin::WasTag("stable".to_owned()))
    };
    // A tag can have named any image, also one that has got another tag or is
    // part of an index by now.
    case().expect(&[
        ("present", "keep in_use_by_deployment"),
        ("untagged", "keep may_be_deployed"),
        ("other", "keep may_be_deployed"),
        ("child of other", "keep may_be_deployed"),
    ]);
    let mut immutable = case();
    immutable.repository.tags_stay = true;
    immutable.expect(&[
        ("present", "keep in_use_by_deployment"),
        ("untagged", "go 0 untagged"),
        ("other", "go 0 superseded"),
        ("child of other", "go 1 child_of_deleted_index"),
    ]);
    // A tag that stays and is not there any more tells nothing either.
    let mut untagged = case().used(UserKind::Deployment, Pin::WasTag("gone".to_owned()));
    untagged.repository.tags_stay = true;
    untagged.expect(&[
        ("present", "keep in_use_by_deployment"),
        ("untagged", "keep may_be_deployed"),
        ("other", "keep may_be_deployed"),
        ("child of other", "keep may_be_deployed"),
    ]);
}

#[test]
fn a_tag_that_is_looked_up_when_needed_keeps_only_what_it_names() {
    Case::new()
        .image("present", days(400), &["stable"])
        .image("untagged", days(400), &[])
        .used(UserKind::PolicyReference, Pin::Tag("stable".to_owned()))
        .used(UserKind::PolicyReference, Pin::Tag("gone".to_owned()))
        .used(UserKind::Task, Pin::Digest(digest("deleted long ago")))
        .expect(&[
            ("present", "keep referenced_by_policy"),
            ("untagged", "go 0 untagged"),
        ]);
}

#[test]
fn a_use_in_another_repository_keeps_nothing_here() {
    let mut case = Case::new().image("a", days(400), &["v1"]).runs("a");
    case.uses[0].repository = "app2".to_owned();
    case.expect(&[("a", "go 0 superseded")]);
}

#[test]
fn whoever_uses_one_platform_keeps_the_whole_index_however_deep() {
    Case::new()
        .image("outer", days(400), &[])
        .image("inner", days(400), &[])
        .image("used", days(400), &[])
        .image("sibling", days(400), &[])
        .image("cousin", days(400), &[])
        .lists("outer", &["inner", "cousin"])
        .lists("inner", &["used", "sibling"])
        .image("signature", days(400), &[])
        .refers("signature", "cousin")
        .image("unrelated", days(400), &[])
        .runs("used")
        .expect(&[
            ("outer", "keep holds_used_image"),
            ("inner", "keep holds_used_image"),
            ("used", "keep in_use_by_task"),
            ("sibling", "keep child_of_kept_index"),
            ("cousin", "keep child_of_kept_index"),
            ("signature", "keep refers_to_kept_image"),
            ("unrelated", "go 0 untagged"),
        ]);
}

#[test]
fn nested_indexes_go_from_the_outside_in() {
    let case = Case::new()
        .image("outer", days(400), &["v1"])
        .image("inner", days(400), &[])
        .image("leaf", days(400), &[])
        .lists("outer", &["inner", "leaf"])
        .lists("inner", &["leaf"]);
    case.expect(&[
        ("outer", "go 0 superseded"),
        ("inner", "go 1 child_of_deleted_index"),
        ("leaf", "go 2 child_of_deleted_index"),
    ]);
    assert_eq!(case.comes_after("outer"), Vec::<String>::new());
    assert_eq!(case.comes_after("inner"), ["outer"]);
    assert_eq!(case.comes_after("leaf"), ["inner", "outer"]);
}

#[test]
fn a_shared_child_goes_only_after_every_index_that_lists_it() {
    let shared = Case::new()
        .image("one", days(400), &["v1"])
        .image("two", days(300), &["v2"])
        .image("shared", days(400), &[])
        .lists("one", &["shared"])
        .lists("two", &["shared"]);
    shared.expect(&[
        ("one", "go 0 superseded"),
        ("two", "go 0 superseded"),
        ("shared", "go 1 child_of_deleted_index"),
    ]);
    assert_eq!(shared.comes_after("shared"), ["one", "two"]);
    shared.runs("two").expect(&[
        ("one", "go 0 superseded"),
        ("two", "keep in_use_by_task"),
        ("shared", "keep child_of_kept_index"),
    ]);
}

#[test]
fn an_index_that_lists_a_child_twice_loses_it_once() {
    Case::new()
        .image("index", days(400), &["v1"])
        .image("child", days(400), &[])
        .lists("index", &["child", "child"])
        .expect(&[
            ("index", "go 0 superseded"),
            ("child", "go 1 child_of_deleted_index"),
        ]);
}

#[test]
fn a_child_with_a_name_of_its_own_is_kept_by_that_name_and_not_counted_among_the_newest() {
    Case::empty()
        .image("index", days(60), &["v1"])
        .image("by tag", days(400), &["release-1-arm64"])
        .image("young", days(10), &["v1-amd64"])
        .image("old", days(59), &["v1-s390x"])
        .lists("index", &["by tag", "young", "old"])
        .image("newest", days(50), &["v2"])
        .policy(|policy| policy.retention.keep_tags.include = vec!["release-*".to_owned()])
        .expect(&[
            ("index", "go 0 superseded"),
            ("by tag", "keep tag_kept"),
            ("young", "keep young"),
            ("old", "go 1 child_of_deleted_index"),
            ("newest", "keep newest"),
        ]);
}

#[test]
fn children_are_never_judged_by_their_own_age() {
    Case::new()
        .image("index", days(400), &["v1"])
        // Younger than what the policy keeps untagged, and goes all the same
        // with the index that alone makes sense of it.
        .image("child", days(3), &[])
        .lists("index", &["child"])
        .image("kept", days(20), &["v2"])
        .image("ancient", days(3000), &[])
        .lists("kept", &["ancient"])
        .expect(&[
            ("index", "go 0 superseded"),
            ("child", "go 1 child_of_deleted_index"),
            ("kept", "keep young"),
            ("ancient", "keep child_of_kept_index"),
        ]);
}

#[test]
fn a_child_that_is_listed_and_not_there_is_no_obstacle() {
    Case::new()
        .image("index", days(400), &["v1"])
        .image("child", days(400), &[])
        .lists("index", &["child", "never pushed"])
        .image("signature", days(400), &[])
        .refers("signature", "child")
        .expect(&[
            ("index", "go 0 superseded"),
            ("child", "go 1 child_of_deleted_index"),
            ("signature", "go 2 refers_to_deleted_image"),
        ]);
}

#[test]
fn referrers_go_after_what_they_are_about_and_referrers_of_those_after_them() {
    let case = Case::new()
        .image("index", days(400), &["v1"])
        .image("child", days(400), &[])
        .lists("index", &["child"])
        .image("attestation", days(400), &[])
        .refers("attestation", "child")
        .image("signature", days(400), &[])
        .refers("signature", "attestation");
    case.expect(&[
        ("index", "go 0 superseded"),
        ("child", "go 1 child_of_deleted_index"),
        ("attestation", "go 2 refers_to_deleted_image"),
        ("signature", "go 3 refers_to_deleted_image"),
    ]);
    assert_eq!(case.comes_after("signature"), ["attestation"]);
    case.runs("index").expect(&[
        ("index", "keep in_use_by_task"),
        ("child", "keep child_of_kept_index"),
        ("attestation", "keep refers_to_kept_image"),
        ("signature", "keep refers_to_kept_image"),
    ]);
}

#[test]
fn whoever_uses_a_referrer_keeps_what_it_is_about() {
    Case::new()
        .image("subject", days(400), &[])
        .image("chart", days(400), &[])
        .refers("chart", "subject")
        .image("signature", days(400), &[])
        .refers("signature", "subject")
        .runs("chart")
        .expect(&[
            ("subject", "keep holds_used_image"),
            ("chart", "keep in_use_by_task"),
            ("signature", "keep refers_to_kept_image"),
        ]);
}

#[test]
fn a_referrer_without_its_subject_is_judged_alone() {
    Case::new()
        .image("old", days(400), &[])
        .refers("old", "gone")
        .image("young", days(3), &[])
        .refers("young", "gone")
        .image("by tag", days(400), &[&signature_tag("gone")])
        .expect(&[
            ("old", "go 0 untagged"),
            ("young", "keep untagged_young"),
            // Such a tag is no name that a person gave.
            ("by tag", "go 0 untagged"),
        ]);
}

#[test]
fn a_name_of_its_own_does_not_free_a_signature_of_an_image_elsewhere() {
    let mut case = Case::new()
        .image("named", days(400), &["v1", &signature_tag("elsewhere")])
        .image("plain", days(400), &[&signature_tag("elsewhere")]);
    case.expect(&[("named", "go 0 superseded"), ("plain", "go 0 untagged")]);
    case.more_repositories = true;
    case.expect(&[
        ("named", "keep subject_elsewhere"),
        ("plain", "keep subject_elsewhere"),
    ]);
}

#[test]
fn signatures_attached_by_a_tag_share_the_fate_of_their_subject() {
    let case = Case::new()
        .image("subject", days(400), &["v1"])
        .image("signature", days(400), &[&signature_tag("subject")])
        // A person gave this one a name besides.
        .image(
            "named",
            days(400),
            &["release-1", &signature_tag("subject")],
        )
        .policy(|policy| policy.retention.keep_tags.include = vec!["release-*".to_owned()]);
    case.expect(&[
        ("subject", "go 0 superseded"),
        ("signature", "go 1 refers_to_deleted_image"),
        ("named", "keep tag_kept"),
    ]);
    case.runs("subject").expect(&[
        ("subject", "keep in_use_by_task"),
        ("signature", "keep refers_to_kept_image"),
        ("named", "keep refers_to_kept_image"),
    ]);
}

#[test]
fn a_kept_tag_keeps_a_signature_too() {
    Case::new()
        .image("subject", days(400), &[])
        .image("signature", days(400), &[&signature_tag("subject")])
        .policy(|policy| policy.retention.keep_tags.include = vec!["*".to_owned()])
        .expect(&[("subject", "go 0 untagged"), ("signature", "keep tag_kept")]);
}

#[test]
fn what_is_about_itself_is_about_nothing() {
    Case::new()
        .image("by subject", days(400), &[])
        .refers("by subject", "by subject")
        .image("by tag", days(400), &[&signature_tag("by tag")])
        .expect(&[("by subject", "go 0 untagged"), ("by tag", "go 0 untagged")]);
}

#[test]
fn claimed_cycles_are_kept_with_all_that_hangs_on_them() {
    Case::new()
        .image("egg", days(400), &["v1"])
        .image("hen", days(400), &[])
        .lists("egg", &["hen"])
        .lists("hen", &["egg"])
        .image("chick", days(400), &[])
        .lists("hen", &["chick"])
        .image("signature", days(400), &[])
        .refers("signature", "chick")
        .image("one", days(400), &[])
        .image("other", days(400), &[])
        .refers("one", "other")
        .refers("other", "one")
        .image("self", days(400), &[])
        .lists("self", &["self"])
        .image("plain", days(400), &[])
        .expect(&[
            ("egg", "keep child_of_kept_index"),
            ("hen", "keep child_of_kept_index"),
            ("chick", "keep child_of_kept_index"),
            ("signature", "keep child_of_kept_index"),
            ("one", "keep child_of_kept_index"),
            ("other", "keep child_of_kept_index"),
            ("self", "keep child_of_kept_index"),
            ("plain", "go 0 untagged"),
        ]);
}

#[test]
fn a_chain_of_any_length_is_judged_and_never_out_of_order() {
    let length = 50_000;
    let mut case = Case::new();
    for n in 0..length {
        // What comes first in the order of digests hangs on what comes after.
        case = case.image(&format!("{n:05}"), days(400), &[]);
        if n + 1 < length {
            case = case.refers(&format!("{n:05}"), &format!("{:05}", n + 1));
        }
    }
    let items = case.items();
    assert_eq!(items.len(), length + 1);
    let mut passes: BTreeMap<String, u8> = BTreeMap::new();
    for item in &items {
        if let Decision::Act(change) = &item.decision {
            passes.insert(item.target.clone(), change.pass);
        }
    }
    assert!(passes.len() > 200);
    for item in &items {
        let Decision::Act(change) = &item.decision else {
            continue;
        };
        let After::Targets(before) = &change.after else {
            panic!("{} waits for more than its own", item.target);
        };
        for target in before {
            assert!(
                passes[target] < change.pass,
                "{} goes too soon",
                item.target
            );
        }
    }
}

#[test]
fn a_hold_beats_everything() {
    let everything = |case: Case| {
        case.image("used", days(400), &["v1"])
            .image("old", days(400), &["v0"])
            .image("archived", days(400), &[])
            .with("archived", |image| {
                image.storage = Storage::Archived { since: None }
            })
            .image("fresh", SignedDuration::ZERO, &[])
            .runs("used")
    };
    let until = now() + days(1);
    for hold in [
        Hold::Tag,
        Hold::Until(until),
        Hold::UntilUnreadable("soon".to_owned()),
    ] {
        for gap in [None, Some(Hides::Everything), Some(Hides::unit("app"))] {
            let mut case = everything(Case::new());
            case.repository.hold = Some(hold.clone());
            if let Some(gap) = gap {
                case = case.gap(gap);
            }
            case.expect(&[
                ("used", "keep held"),
                ("old", "keep held"),
                ("archived", "keep held"),
                ("fresh", "keep held"),
            ]);
            assert_eq!(case.fate("head"), "keep held");
        }
    }
}

#[test]
fn a_gap_makes_wait_what_would_go_and_leaves_the_reasons_of_what_stays() {
    let case = Case::new()
        .image("index", days(400), &["v1"])
        .image("child", days(400), &[])
        .lists("index", &["child"])
        .image("young", days(3), &["v2"])
        .image("used", days(400), &["v3"])
        .runs("used");
    for hides in [
        Hides::Everything,
        Hides::unit("app"),
        Hides::Units(BTreeSet::from(["other".to_owned(), "app".to_owned()])),
    ] {
        case.clone().gap(hides).expect(&[
            ("index", "wait unseen"),
            ("child", "wait unseen"),
            ("young", "keep young"),
            ("used", "keep in_use_by_task"),
        ]);
    }
    case.gap(Hides::unit("other")).expect(&[
        ("index", "go 0 superseded"),
        ("child", "go 1 child_of_deleted_index"),
        ("young", "keep young"),
        ("used", "keep in_use_by_task"),
    ]);
}

#[test]
fn what_waits_for_a_read_names_it() {
    let case = Case::new()
        .image("old", days(400), &["v1"])
        .gap(Hides::unit("elsewhere"))
        .gap(Hides::unit("app"));
    let sentence = case.item("old").reason.to_string();
    assert!(sentence.contains("ecs:ListTasks"), "{sentence}");
}

#[test]
fn the_weightiest_reason_is_told() {
    let mut case = Case::new().image("a", days(400), &["v1"]);
    assert_eq!(case.fate("a"), "go 0 superseded");
    case = case.policy(|policy| policy.retention.keep_younger_than = Period::days(500));
    assert_eq!(case.fate("a"), "keep young");
    case = case.policy(|policy| policy.retention.keep_newest = 2);
    assert_eq!(case.fate("a"), "keep newest");
    case = case.policy(|policy| policy.retention.keep_tags.include = vec!["v?".to_owned()]);
    assert_eq!(case.fate("a"), "keep tag_kept");
    // Whoever uses it, from the least to the most telling.
    for (kind, code) in [
        (UserKind::PolicyReference, "referenced_by_policy"),
        (UserKind::Recipe, "named_by_recipe"),
        (UserKind::RestorePoint, "named_by_restore_point"),
        (UserKind::LambdaFunction, "in_use_by_lambda_function"),
        (UserKind::TaskDefinition, "in_task_definition"),
        (UserKind::Schedule, "started_by_schedule"),
        (UserKind::EventRule, "started_by_rule"),
        (UserKind::Daemon, "in_use_by_daemon"),
        (UserKind::TaskSet, "in_use_by_task_set"),
        (UserKind::RollbackTarget, "rollback_target"),
        (UserKind::Deployment, "in_use_by_deployment"),
        (UserKind::StoppedTask, "in_use_by_stopped_task"),
        (UserKind::Task, "in_use_by_task"),
    ] {
        case = case.used(kind, Pin::Digest(digest("a")));
        assert_eq!(case.fate("a"), format!("keep {code}"));
        case.uses.reverse();
        assert_eq!(case.fate("a"), format!("keep {code}"));
    }
    case.repository.hold = Some(Hold::Tag);
    assert_eq!(case.fate("a"), "keep held");
}

#[test]
fn a_part_is_as_old_as_the_oldest_that_it_is_part_of() {
    let case = Case::new()
        .image("old", days(400), &["v1"])
        .image("older", days(500), &["v0"])
        .image("shared", days(350), &[])
        .lists("old", &["shared"])
        .lists("older", &["shared"])
        .image("own", days(350), &[])
        .lists("old", &["own"]);
    assert_eq!(case.item("shared").since, Some(now() - days(500)));
    assert_eq!(case.item("own").since, Some(now() - days(400)));
}

#[test]
fn repositories_are_judged_each_by_itself() {
    let one = Case::new().image("a", days(400), &["v1"]);
    let mut repositories: BTreeMap<String, Arc<Repository>> = BTreeMap::new();
    for name in ["app", "held", "other"] {
        repositories.insert(name.to_owned(), one.repository.clone().into());
    }
    Arc::make_mut(repositories.get_mut("held").unwrap()).hold = Some(Hold::Tag);
    let seen = Seen {
        world: World {
            account: "123456789012".to_owned(),
            more_repositories: false,
            repositories,
            uses: one.clone().runs("a").uses,
        },
        gaps: vec![],
        warnings: vec![],
    };
    let plan = ImagePruning::decide(&one.policy, &Scope::Everything, &seen, now());
    let fates: Vec<(String, &str)> = plan
        .items
        .iter()
        .filter(|item| item.target.ends_with(digest("a").as_str()))
        .map(|item| (item.unit.clone(), item.reason.code()))
        .collect();
    assert_eq!(
        fates,
        [
            ("app".to_owned(), "in_use_by_task"),
            ("held".to_owned(), "held"),
            ("other".to_owned(), "superseded")
        ]
    );
}

#[test]
fn every_reason_has_a_documented_code_and_a_sentence() {
    let user = |kind| User {
        kind,
        name: "web (cluster shop)".to_owned(),
    };
    let part = digest("a");
    let text = || "14d".to_owned();
    let mut reasons: Vec<Reason> = [
        UserKind::Task,
        UserKind::StoppedTask,
        UserKind::Deployment,
        UserKind::RollbackTarget,
        UserKind::TaskSet,
        UserKind::Daemon,
        UserKind::EventRule,
        UserKind::Schedule,
        UserKind::TaskDefinition,
        UserKind::LambdaFunction,
        UserKind::RestorePoint,
        UserKind::Recipe,
        UserKind::PolicyReference,
    ]
    .map(|kind| Reason::InUse(user(kind)))
    .into();
    reasons.extend([
        Reason::Held(Hold::Tag),
        Reason::MayBeDeployed(user(UserKind::Deployment)),
        Reason::HoldsUsed { part: part.clone() },
        Reason::ChildOfKept {
            index: part.clone(),
        },
        Reason::RefersToKept {
            subject: part.clone(),
        },
        Reason::SubjectElsewhere {
            subject: part.clone(),
        },
        Reason::MayBePartOfArchived {
            index: part.clone(),
        },
        Reason::Archived,
        Reason::PushTimeUnknown,
        Reason::JustPushed,
        Reason::TagKept { tag: text() },
        Reason::Newest { keep_newest: 5 },
        Reason::LastImage,
        Reason::Young {
            keep_younger_than: Period::days(1),
        },
        Reason::UntaggedYoung {
            remove_untagged_after: Period::days(1),
        },
        Reason::HoldsArchived { part: part.clone() },
        Reason::PulledFromElsewhere {
            outsider: text(),
            keep_pulled_within: Period::days(1),
        },
        Reason::PulledRecently {
            remove_unpulled_after: Period::days(1),
        },
        Reason::Unpulled {
            remove_unpulled_after: Period::days(1),
        },
        Reason::RefersToArchived {
            subject: part.clone(),
        },
        Reason::ArchivedLongEnough {
            delete_archived_after: Period::days(1),
        },
        Reason::Unseen { read: text() },
        Reason::Superseded {
            keep_newest: 5,
            keep_younger_than: Period::days(1),
        },
        Reason::Untagged {
            remove_untagged_after: Period::days(1),
        },
        Reason::ChildOfDeleted {
            index: part.clone(),
        },
        Reason::RefersToDeleted { subject: part },
    ]);
    let codes: BTreeSet<&str> = reasons.iter().map(steward::engine::Reason::code).collect();
    assert_eq!(codes, REASON_CODES.iter().copied().collect());
    assert_eq!(codes.len(), REASON_CODES.len());
    let sentences: BTreeSet<String> = reasons.iter().map(ToString::to_string).collect();
    assert_eq!(sentences.len(), reasons.len());
}
