//! What is copied where.

use super::*;

fn shared(snapshot: &mut Snapshot) {
    snapshot.shared_with = Some(BTreeSet::from([OTHER_ACCOUNT.to_owned()]));
}

#[test]
fn an_empty_place_gets_the_newest_and_no_old_data() {
    let case = Case::new()
        .rule(|rule| rule.keep = last(5))
        .own("a", 49)
        .own("b", 25)
        .own("c", 1)
        .copies_to(&west());
    case.expect(&[
        "db: keep recent",
        "a: keep kept",
        "b: keep kept",
        "c: keep awaits_copy",
        "west c: do 2 missing",
    ]);
    let Action::CopySnapshot(copying) = case.action("west c") else {
        panic!("it is no copy");
    };
    assert_eq!(copying.kms_key_id.as_deref(), Some("alias/backups"));
    assert_eq!(copying.option_group, None);
    assert_eq!(copying.tags["steward:taken-at"], ago(1).to_string());
    assert_eq!(copying.tags["steward:made-for"], RESOURCE_ID);
    assert_eq!(case.measured("west db", "CopiesPending"), Some(1.0));
    assert_eq!(case.waits_for().unwrap(), "copies to be complete");
}

#[test]
fn what_is_missing_in_a_history_is_filled_and_nothing_before_it() {
    Case::new()
        .rule(|rule| rule.keep = last(5))
        .own("a", 73)
        .own("b", 49)
        .own("c", 25)
        .own("d", 1)
        .copies_to(&west())
        .copied(&west(), "b", 49)
        .expect(&[
            "db: keep recent",
            "a: keep kept",
            "b: keep kept",
            "c: keep awaits_copy",
            "d: keep awaits_copy",
            "west b: keep kept",
            "west c: do 2 missing",
            "west d: do 2 missing",
        ]);
}

#[test]
fn a_place_thins_by_rules_of_its_own_and_after_what_comes() {
    let mut case = Case::new()
        .rule(|rule| rule.keep = last(5))
        .own("a", 49)
        .own("b", 25)
        .own("c", 1)
        .copies_to(&west())
        .copied(&west(), "a", 49)
        .copied(&west(), "b", 25);
    case.policy.rules[0].copies[0].keep = Some(last(1));
    case.expect(&[
        "db: keep recent",
        "a: keep kept",
        "b: keep kept",
        "c: keep awaits_copy",
        "west a: do 4 expired",
        "west b: keep kept",
        "west c: do 2 missing",
    ]);
    assert_eq!(case.comes_after("west a"), ["west c"]);
}

#[test]
fn nothing_goes_here_or_there_while_a_place_cannot_be_read() {
    let case = Case::new()
        .own("a", 49)
        .own("b", 25)
        .own("c", 1)
        .copies_to(&west())
        .copied(&west(), "a", 49);
    let units = ["eu-west-1", "us-west-2"];
    let units = units.map(|region| format!("{region}/shop-db/{RESOURCE_ID}"));
    let mut unread = case
        .clone()
        .gap(Hides::Units(units.into()))
        .place(&west(), |holdings| holdings.complete = false);
    unread.expect(&[
        "db: keep recent",
        "a: keep awaits_copy",
        "b: keep awaits_copy",
        "c: keep awaits_copy",
        "west db: wait unseen",
        "west a: wait unseen",
    ]);
    // Snapshots are still made.
    unread.now = now() + hours(24);
    assert!(unread.fates().contains("new: do 0 due"));
}

#[test]
fn a_copy_under_way_is_not_made_twice_and_its_source_stays() {
    let case = Case::new()
        .rule(|rule| rule.keep = last(1))
        .own("a", 25)
        .own("b", 1)
        .copies_to(&west())
        .copied(&west(), "a", 25)
        .snapshot(&west(), "a", |copy| {
            copy.progress = under("copying");
            (copy.taken_at, copy.created_at) = (None, None);
        });
    case.expect(&[
        "db: keep recent",
        "a: keep awaits_copy",
        "b: keep awaits_copy",
        "west a: keep under_way",
        "west b: do 2 missing",
    ]);
    assert_eq!(case.measured("west db", "CopiesPending"), Some(2.0));
}

#[test]
fn a_copy_that_failed_goes_before_it_is_made_again() {
    let mut case = Case::new()
        .own("a", 8)
        .copies_to(&west())
        .copied(&west(), "a", 8)
        .snapshot(&west(), "a", |copy| copy.progress = failed());
    // It was asked for five hours ago.
    case.expect(&[
        "db: keep recent",
        "a: keep awaits_copy",
        "west a: do 4 broken_and_replaced",
    ]);
    // A failure does not bring about the next at once.
    case.now = ago(3);
    case.expect(&[
        "db: keep recent",
        "a: keep awaits_copy",
        "west a: keep broken",
    ]);
    // Where RDS does not tell when it was asked for, the age of its data tells: every
    // other three hours.
    case = case.snapshot(&west(), "a", |copy| copy.created_at = None);
    for (hours, fate) in [
        (6, "keep broken"),
        (4, "do 4 broken_and_replaced"),
        (1, "keep broken"),
    ] {
        case.now = ago(hours);
        let fates = case.fates();
        assert!(
            fates.contains(&format!("west a: {fate}")),
            "{hours}: {fates:?}"
        );
    }
}

#[test]
fn an_old_copy_that_failed_is_not_made_again_and_again() {
    let failed_at = |created_at: Option<Timestamp>| {
        Case::new()
            .rule(|rule| rule.keep = last(5))
            .own("a", 73)
            .own("b", 49)
            .own("c", 25)
            .copies_to(&west())
            .copied(&west(), "a", 73)
            .copied(&west(), "b", 49)
            .copied(&west(), "c", 25)
            .snapshot(&west(), "b", |copy| {
                copy.progress = failed();
                copy.created_at = created_at;
            })
            .fates()
    };
    let stays = "west b: keep broken";
    assert!(failed_at(Some(ago(1))).contains(stays));
    assert!(failed_at(Some(ago(3))).contains("west b: do 4 broken_and_replaced"));
}

#[test]
fn a_role_of_its_own_account_needs_nothing_shared() {
    let own = Place {
        account: Some("111111111111".to_owned()),
        region: "us-west-2".to_owned(),
    };
    let case = Case::new().own("a", 1).copies_to(&own);
    let items = case.plan().items;
    let copied = items.iter().find(|item| item.reason.code() == "missing");
    assert!(
        matches!(copied.unwrap().decision, Decision::Act(_)),
        "{items:#?}"
    );
    assert!(!items.iter().any(|item| item.reason.code() == "not_shared"));
}

#[test]
fn no_more_copies_are_under_way_than_the_policy_says() {
    let mut case = Case::new()
        .rule(|rule| rule.keep = last(5))
        .own("a", 49)
        .own("b", 25)
        .own("c", 1)
        .copies_to(&west())
        .copied(&west(), "a", 49);
    case.policy.limits.max_copies_in_flight = 1;
    // The newest first.
    case.expect(&[
        "db: keep recent",
        "a: keep kept",
        "b: keep awaits_copy",
        "c: keep awaits_copy",
        "west a: keep kept",
        "west b: wait copies_in_flight",
        "west c: do 2 missing",
    ]);
}

#[test]
fn another_account_has_to_see_a_snapshot_before_it_can_copy_it() {
    let case = Case::new().own("a", 1).copies_to(&vault());
    case.expect(&[
        "db: keep recent",
        "a: keep awaits_copy",
        "a shares: do 1 not_shared",
        "vault a: wait not_yet_shared",
    ]);
    let Action::ShareSnapshot(sharing) = case.action("a shares") else {
        panic!("it is not shared");
    };
    let others = BTreeSet::from([OTHER_ACCOUNT.to_owned()]);
    assert_eq!(sharing.accounts, others);
    case.snapshot(&home(), "a", shared).expect(&[
        "db: keep recent",
        "a: keep awaits_copy",
        "vault a: do 2 missing",
    ]);
}

#[test]
fn a_key_of_aws_cannot_be_shared_and_a_person_is_told() {
    let key = "arn:aws:kms:eu-west-1:111111111111:key/aws";
    let mut case = Case::new()
        .own("a", 1)
        .copies_to(&vault())
        .snapshot(&home(), "a", |a| a.kms_key = Some(key.to_owned()));
    case.world.aws_managed_keys.insert(key.to_owned());
    case.expect(&[
        "db: keep recent",
        "a: keep awaits_copy",
        "a shares: wait default_key",
        "vault a: wait default_key",
    ]);
    assert!(case.needs()[0].contains(key), "{:?}", case.needs());
    // To another Region of the same account it can be copied.
    let mut own = Case::new()
        .own("a", 1)
        .copies_to(&west())
        .snapshot(&home(), "a", |a| a.kms_key = Some(key.to_owned()));
    own.world.aws_managed_keys.insert(key.to_owned());
    assert!(own.fates().contains("west a: do 2 missing"));
}

#[test]
fn an_option_group_of_its_own_needs_one_there() {
    let group = |a: &mut Snapshot| a.option_group = Some("audited".to_owned());
    let case = Case::new()
        .own("a", 1)
        .copies_to(&west())
        .snapshot(&home(), "a", group);
    case.expect(&[
        "db: keep recent",
        "a: keep awaits_copy",
        "west a: wait no_option_group",
    ]);
    assert!(case.needs()[0].contains("audited"));
    let mut named = case.clone();
    named.policy.rules[0].copies[0].option_group = Some("audited-west".to_owned());
    let Action::CopySnapshot(copying) = named.action("west a") else {
        panic!("it is no copy");
    };
    assert_eq!(copying.option_group.as_deref(), Some("audited-west"));
}

#[test]
fn encrypted_copies_between_govcloud_regions_are_refused() {
    let case = Case::new()
        .database(|db| db.arn = "arn:aws-us-gov:rds:us-gov-west-1:111111111111:db:shop-db".into())
        .own("a", 1)
        .copies_to(&west());
    assert!(case.fates().contains("west a: wait presigned_url"));
    let plain = case.snapshot(&home(), "a", |a| a.encrypted = false);
    assert!(plain.fates().contains("west a: do 2 missing"));
}

#[test]
fn tags_of_people_are_taken_over_and_those_of_aws_and_steward_are_not() {
    let case = Case::new()
        .own("a", 1)
        .copies_to(&west())
        .snapshot(&home(), "a", |a| {
            for key in ["team", "aws:cloudformation:stack-name", "steward:hold"] {
                a.tags.insert(key.to_owned(), "x".to_owned());
            }
        });
    let Action::CopySnapshot(copying) = case.action("west a") else {
        panic!("it is no copy");
    };
    let keys: Vec<&str> = copying.tags.keys().map(String::as_str).collect();
    assert_eq!(
        keys,
        [
            "steward:made-for",
            "steward:managed-by",
            "steward:taken-at",
            "team"
        ]
    );
}

#[test]
fn what_is_no_copy_of_its_namesake_is_not_stewards() {
    Case::new()
        .own("a", 1)
        .copies_to(&west())
        .copied(&west(), "b", 25)
        .snapshot(&west(), "b", |copy| {
            copy.source_arn = Some("arn:aws:rds:eu-west-1:333333333333:snapshot:other".to_owned());
        })
        .expect(&[
            "db: keep recent",
            "a: keep awaits_copy",
            "west a: do 2 missing",
            "west b: keep foreign",
        ]);
}

#[test]
fn a_held_snapshot_is_not_shared() {
    Case::new()
        .rule(|rule| rule.share_with = BTreeSet::from([OTHER_ACCOUNT.to_owned()]))
        .own("a", 1)
        .snapshot(&home(), "a", |a| {
            a.tags.insert("steward:hold".to_owned(), String::new());
        })
        .expect(&["db: keep recent", "a: keep held", "a shares: keep held"]);
}

#[test]
fn copies_to_where_the_database_is_are_refused_and_thin_nothing() {
    // Rules for copies once ran over the snapshots themselves, and took them all.
    let own_account = Place {
        account: Some("111111111111".to_owned()),
        region: "eu-west-1".to_owned(),
    };
    for place in [home(), own_account] {
        let mut case = Case::new()
            .rule(|rule| rule.keep = last(5))
            .own("a", 49)
            .own("b", 25)
            .own("c", 1);
        let mut copy = copy_to(&place);
        copy.keep = Some(last(1));
        case.policy.rules[0].copies.push(copy);
        // What the account holds is seen under either name.
        if place != home() {
            let holdings = case.world.places[&home()].clone();
            case.world.places.insert(place.clone(), holdings);
        }
        let mut going = case.plan().items.into_iter();
        assert!(going.all(|item| !matches!(item.decision, Decision::Act(_))));
        let unit = home().unit("shop-db", RESOURCE_ID);
        let fate = format!("db copies to {place}: wait same_place");
        assert!(case.fates().contains(&fate), "{:?}", case.fates());
        assert!(case.plan().needs.iter().any(|need| need.unit == unit));
    }
}

#[test]
fn a_copy_that_is_not_encrypted_does_not_count_and_lets_nothing_go() {
    let case = Case::new()
        .own("a", 49)
        .own("b", 25)
        .own("c", 1)
        .copies_to(&west())
        .copied(&west(), "a", 49)
        .copied(&west(), "b", 25)
        .copied(&west(), "c", 1)
        .snapshot(&west(), "c", |copy| copy.encrypted = false);
    // The copy fails, because its name is taken, and says so.
    let fates = case.plan().items;
    let of = |label: &str| {
        let mut found = fates
            .iter()
            .filter(|item| case.label(&item.target) == label);
        let codes: Vec<&str> = found.by_ref().map(|item| item.reason.code()).collect();
        codes
    };
    assert_eq!(of("west c"), ["missing", "foreign"]);
    assert_eq!(of("west a"), ["kept"]);
    assert_eq!(of("west b"), ["kept"]);
    assert_eq!(case.measured("west db", "CopiesPending"), Some(1.0));
}

#[test]
fn an_account_that_cannot_be_read_is_shared_with_by_nothing() {
    let case = Case::new()
        .own("a", 25)
        .own("b", 1)
        .copies_to(&vault())
        .place(&vault(), |holdings| holdings.complete = false);
    case.expect(&[
        "db: keep recent",
        "a: keep awaits_copy",
        "b: keep awaits_copy",
        "vault db: wait unseen",
    ]);
}

#[test]
fn snapshots_are_shared_where_the_policy_says_so() {
    let with = |accounts: &[&str]| accounts.iter().map(|a| (*a).to_owned()).collect();
    let share_with: BTreeSet<String> = with(&["222222222222", "333333333333"]);
    let case = Case::new()
        .rule(|rule| rule.share_with = share_with)
        .own("a", 1)
        .own("b", 25)
        .own("c", 49)
        .snapshot(&home(), "a", shared)
        .snapshot(&home(), "b", |b| {
            b.shared_with = Some(with(&["222222222222", "333333333333"]));
        });
    let Action::ShareSnapshot(sharing) = case.action("a shares") else {
        panic!("it is not shared");
    };
    assert_eq!(sharing.accounts, with(&["333333333333"]));
    let fates = case.fates();
    assert!(!fates.iter().any(|fate| fate.starts_with("b shares")));
    // Shared or not, it is rotated.
    assert!(fates.contains("c: do 4 expired"), "{fates:?}");
}

#[test]
fn a_failed_copy_goes_when_a_later_one_is_there_although_its_source_is_gone() {
    let broken = |case: Case| case.snapshot(&west(), "b", |copy| copy.progress = failed());
    let case = Case::new()
        .own("a", 1)
        .copies_to(&west())
        .copied(&west(), "b", 49);
    let fates = broken(case.clone()).fates();
    assert!(fates.contains("west b: keep broken"), "{fates:?}");
    let fates = broken(case.copied(&west(), "a", 1)).fates();
    assert!(
        fates.contains("west b: do 4 broken_and_replaced"),
        "{fates:?}"
    );
}

#[test]
fn old_copies_stay_while_the_newest_there_has_failed() {
    let case = Case::new()
        .own("a", 8)
        .copies_to(&west())
        .copied(&west(), "a", 8)
        .copied(&west(), "b", 32)
        .copied(&west(), "c", 56)
        .copied(&west(), "d", 80)
        .snapshot(&west(), "a", |copy| copy.progress = failed());
    case.expect(&[
        "db: keep recent",
        "a: keep awaits_copy",
        "west a: do 4 broken_and_replaced",
        "west b: keep kept",
        "west c: keep kept",
        "west d: wait newest_failed",
    ]);
}
