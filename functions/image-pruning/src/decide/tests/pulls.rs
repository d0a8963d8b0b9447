//! What pulls keep, and what goes for want of them.

use super::*;
use crate::policy::{Elsewhere, InUse};

/// 30 days for tagged images, 90 without a pull.
fn by_pulls() -> Case {
    Case::new().policy(|policy| policy.retention.remove_unpulled_after = Some(Period::days(90)))
}

impl Case {
    fn pulled(self, name: &str, age: SignedDuration) -> Self {
        self.with(name, |image| image.last_pulled_at = Some(now() - age))
    }

    fn restored(self, name: &str, age: SignedDuration) -> Self {
        self.with(name, |image| image.restored_at = Some(now() - age))
    }

    /// Somebody may pull whose account and Region are these.
    fn shared_with(mut self, account: Option<&str>, region: Option<&str>) -> Self {
        self.repository.outsiders.insert(Outsider {
            account: account.map(str::to_owned),
            region: region.map(str::to_owned),
            words: "the repository's policy allows somebody".to_owned(),
        });
        self
    }
}

#[test]
fn a_tagged_image_pulled_within_the_time_stays_however_old() {
    by_pulls()
        .image("a", days(400), &["v1"])
        .pulled("a", days(90) - SignedDuration::from_nanos(1))
        .image("b", days(400), &["v2"])
        .pulled("b", days(90))
        .image("untagged", days(400), &[])
        .pulled("untagged", days(1))
        .expect(&[
            ("a", "keep pulled_recently"),
            ("b", "go 0 unpulled"),
            ("untagged", "go 0 untagged"),
        ]);
}

#[test]
fn one_that_nobody_pulls_any_more_goes_although_it_is_young() {
    let long = |policy: &mut PruningPolicy| {
        policy.retention.keep_younger_than = Period::days(365);
    };
    by_pulls()
        .policy(long)
        .image("a", days(100), &["v1"])
        .pulled("a", days(95))
        .image("pushed within the time", days(89), &["v2"])
        .pulled("pushed within the time", days(91))
        .image("restored within the time", days(400), &["v3"])
        .pulled("restored within the time", days(300))
        .restored("restored within the time", days(2))
        .expect(&[
            ("a", "go 0 unpulled"),
            ("pushed within the time", "keep young"),
            ("restored within the time", "keep young"),
        ]);
}

#[test]
fn an_image_without_a_recorded_pull_is_judged_by_its_age_alone() {
    by_pulls()
        .image("old", days(31), &["v1"])
        .image("young", days(29), &["v2"])
        .expect(&[("old", "go 0 superseded"), ("young", "keep young")]);
}

#[test]
fn pulls_change_nothing_about_newest_and_kept_tags() {
    by_pulls()
        .policy(|policy| {
            policy.retention.keep_newest = 2;
            policy.retention.keep_tags.include = vec!["release-*".to_owned()];
        })
        .image("second", days(200), &["v1"])
        .pulled("second", days(200))
        .image("release", days(300), &["release-1"])
        .pulled("release", days(300))
        .expect(&[("second", "keep newest"), ("release", "keep tag_kept")]);
}

#[test]
fn a_pull_of_any_part_counts_for_the_whole() {
    let case = by_pulls()
        .image("index", days(400), &["v1"])
        .image("arm64", days(400), &[])
        .image("signature", days(400), &[])
        .lists("index", &["arm64"])
        .refers("signature", "arm64")
        .pulled("index", days(300));
    case.clone().expect(&[
        ("index", "go 0 unpulled"),
        ("arm64", "go 1 child_of_deleted_index"),
        ("signature", "go 2 refers_to_deleted_image"),
    ]);
    for part in ["arm64", "signature"] {
        case.clone().pulled(part, days(3)).expect(&[
            ("index", "keep pulled_recently"),
            ("arm64", "keep child_of_kept_index"),
            ("signature", "keep refers_to_kept_image"),
        ]);
    }
}

#[test]
fn without_the_key_pulls_say_nothing() {
    Case::new()
        .image("pulled", days(31), &["v1"])
        .pulled("pulled", days(2))
        .image("not pulled", days(29), &["v2"])
        .pulled("not pulled", days(29))
        .expect(&[("pulled", "go 0 superseded"), ("not pulled", "keep young")]);
}

#[test]
fn what_an_unnamed_outsider_may_have_pulled_stays_tagged_or_not() {
    let images = Case::new()
        .image("tagged", days(400), &["v1"])
        .pulled("tagged", days(89))
        .image("untagged", days(400), &[])
        .pulled("untagged", days(89))
        .image("long ago", days(400), &[])
        .pulled("long ago", days(90))
        .image("never that is known of", days(89), &[])
        .image("nor for long", days(90), &[]);
    images.clone().shared_with(None, None).expect(&[
        ("tagged", "keep pulled_from_elsewhere"),
        ("untagged", "keep pulled_from_elsewhere"),
        ("long ago", "go 0 untagged"),
        ("never that is known of", "keep pulled_from_elsewhere"),
        ("nor for long", "go 0 untagged"),
    ]);
    images.expect(&[
        ("tagged", "go 0 superseded"),
        ("untagged", "go 0 untagged"),
        ("long ago", "go 0 untagged"),
        ("never that is known of", "go 0 untagged"),
        ("nor for long", "go 0 untagged"),
    ]);
}

#[test]
fn how_long_what_outsiders_pull_stays_is_the_policys_word() {
    let case = Case::new()
        .image("a", days(400), &["v1"])
        .pulled("a", days(10))
        .shared_with(Some("222222222222"), None);
    case.expect(&[("a", "keep pulled_from_elsewhere")]);
    case.policy(|policy| {
        policy.in_use = InUse {
            keep_pulled_within: Period::days(9),
            ..InUse::default()
        };
    })
    .expect(&[("a", "go 0 superseded")]);
}

#[test]
fn outsiders_that_the_policy_names_keep_nothing_by_their_pulls() {
    let case = Case::new()
        .image("a", days(400), &["v1"])
        .pulled("a", days(10))
        .policy(|policy| {
            policy.in_use.elsewhere = vec![
                Elsewhere {
                    role_arn: Some("arn:aws:iam::222222222222:role/reads".to_owned()),
                    external_id: None,
                    regions: vec!["eu-west-1".to_owned()],
                },
                Elsewhere {
                    role_arn: None,
                    external_id: None,
                    regions: vec!["us-east-1".to_owned()],
                },
            ];
        });
    for (account, region, fate) in [
        (Some("222222222222"), None, "go 0 superseded"),
        (Some("222222222222"), Some("eu-west-1"), "go 0 superseded"),
        (
            Some("222222222222"),
            Some("us-east-1"),
            "keep pulled_from_elsewhere",
        ),
        (Some("123456789012"), Some("us-east-1"), "go 0 superseded"),
        (
            Some("123456789012"),
            Some("us-west-2"),
            "keep pulled_from_elsewhere",
        ),
        (Some("333333333333"), None, "keep pulled_from_elsewhere"),
        (None, None, "keep pulled_from_elsewhere"),
    ] {
        case.clone()
            .shared_with(account, region)
            .expect(&[("a", fate)]);
    }
}
