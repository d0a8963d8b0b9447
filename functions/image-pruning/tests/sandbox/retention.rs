//! What is kept although nothing uses it.

use steward::report::Status;

use crate::stage::{STRICT, Stage, going, kept_for, sorted};

const POLICY: &str = r#"
version: 1
repositories: {include: ["shop/*"], exclude: ["shop/legacy"]}
retention:
  keep_newest: 2
  keep_younger_than: 30d
  keep_tags: {include: ["release-*", "stable"], exclude: ["release-*-rc?"]}
  remove_untagged_after: 7d
overrides:
  - repositories: {include: ["shop/lab-*"]}
    retention: {keep_newest: 1, keep_younger_than: 2d, remove_untagged_after: 2d}
limits: {max_delete_share_percent: 100}
"#;

#[tokio::test]
async fn keeps_newest_young_and_named_tags_and_removes_the_rest() {
    let stage = Stage::new();
    let repo = stage.account.repository("shop/web").await.unwrap();
    let newest = stage.image(&repo, "newest", 50, &["v9"]).await;
    let second = stage.image(&repo, "second", 51, &["v8"]).await;
    let release = stage.image(&repo, "release", 400, &["release-1"]).await;
    let candidate = stage
        .image(&repo, "candidate", 400, &["release-1-rc1"])
        .await;
    let third = stage.image(&repo, "third", 52, &["v7"]).await;
    let untagged = stage.image(&repo, "untagged", 8, &[]).await;
    let fresh = stage.image(&repo, "fresh", 6, &[]).await;

    let report = stage.apply(POLICY).await;

    assert_eq!(going(&report), sorted([candidate, third, untagged]));
    for (digest, reason) in [
        (&newest, "newest"),
        (&second, "newest"),
        (&release, "tag_kept"),
        (&fresh, "untagged_young"),
    ] {
        assert_eq!(kept_for(&report, digest), Some(reason));
    }
}

#[tokio::test]
async fn keeps_everything_tagged_within_the_time_however_much_it_is() {
    let stage = Stage::new();
    let repo = stage.account.repository("shop/web").await.unwrap();
    for n in 0..10 {
        stage
            .image(&repo, &format!("build {n}"), 20 + n, &[&format!("b{n}")])
            .await;
    }

    let report = stage.plan(POLICY).await;

    assert_eq!(going(&report), Vec::<String>::new());
    assert_eq!(
        report
            .kept
            .iter()
            .map(|line| (line.reason.as_str(), line.count))
            .collect::<Vec<_>>(),
        [("newest", 2), ("young", 8)]
    );
}

#[tokio::test]
async fn never_deletes_what_was_pushed_within_a_day() {
    let stage = Stage::new();
    let repo = stage.account.repository("shop/web").await.unwrap();
    let just = stage.image(&repo, "just", 0, &[]).await;
    let at_the_floor = stage.image(&repo, "at the floor", 1, &[]).await;

    let report = stage.apply(STRICT).await;

    assert_eq!(kept_for(&report, &just), Some("just_pushed"));
    assert_eq!(going(&report), [at_the_floor]);
}

#[tokio::test]
async fn leaves_alone_what_the_policy_does_not_select() {
    let stage = Stage::new();
    for name in ["shop/legacy", "other/app"] {
        let repo = stage.account.repository(name).await.unwrap();
        stage.image(&repo, "old", 400, &[]).await;
    }
    let lab = stage.account.repository("shop/lab-1").await.unwrap();
    let old = stage.image(&lab, "old", 3, &[]).await;
    stage.image(&lab, "newest", 2, &["v1"]).await;

    let report = stage.apply(POLICY).await;

    assert_eq!(report.summary.observed, 2);
    assert_eq!(going(&report), [old]);
    let calls = stage.account.control().calls().await.unwrap();
    let reads = calls.iter().filter(|c| c.operation == "DescribeImages");
    assert!(
        reads
            .filter(|c| c.body["repositoryName"] != "shop/lab-1")
            .count()
            == 0
    );
}

#[tokio::test]
async fn keeps_archived_images() {
    let stage = Stage::new();
    let repo = stage.account.repository("shop/web").await.unwrap();
    let archived = steward_sandbox::Image {
        tags: vec!["v1".into()],
        pushed_at: Some(stage.days_ago(400)),
        status: Some("ARCHIVED".into()),
        ..steward_sandbox::Image::default()
    };
    let digest = repo.fill(&[archived]).await.unwrap().remove(0);
    stage.image(&repo, "newest", 50, &["v2"]).await;

    let report = stage.apply(STRICT).await;

    assert_eq!(report.status, Status::NothingToDo);
    assert_eq!(kept_for(&report, &digest), Some("archived"));
}

#[tokio::test]
async fn nothing_in_a_repository_on_hold_is_touched() {
    let stage = Stage::new();
    let ecr = stage.account.ecr();
    for (name, key, value) in [
        ("held", "steward:hold", "audit 2026"),
        ("until", "steward:hold-until", "2026-12-01T00:00:00Z"),
        ("over", "steward:hold-until", "2026-11-01T00:00:00Z"),
        ("odd", "steward:hold-until", "soon"),
    ] {
        let repo = stage.account.repository(name).await.unwrap();
        stage.image(&repo, name, 60, &[]).await;
        stage.image(&repo, "newest", 40, &["v1"]).await;
        let described = ecr
            .describe_repositories()
            .repository_names(name)
            .send()
            .await
            .unwrap();
        ecr.tag_resource()
            .resource_arn(described.repositories()[0].repository_arn().unwrap())
            .tags(
                aws_sdk_ecr::types::Tag::builder()
                    .key(key)
                    .value(value)
                    .build()
                    .unwrap(),
            )
            .send()
            .await
            .unwrap();
    }

    let report = stage.apply(STRICT).await;

    assert_eq!(report.summary.done, 1, "{report:#?}");
    assert!(report.actions[0].resource.starts_with("over@"));
    let held = report
        .kept
        .iter()
        .find(|line| line.reason == "held")
        .unwrap();
    assert_eq!(held.count, 6);
}

#[tokio::test]
async fn refuses_a_repository_of_which_nearly_all_would_go_and_prunes_the_others() {
    let stage = Stage::new();
    let base = stage.account.repository("tools/base").await.unwrap();
    for n in 0..20 {
        stage.image(&base, &format!("base {n}"), 100 + n, &[]).await;
    }
    stage.image(&base, "newest", 40, &["v9"]).await;
    let web = stage.account.repository("shop/web").await.unwrap();
    let old = stage.image(&web, "old", 60, &["v1"]).await;
    stage.image(&web, "new", 50, &["v2"]).await;
    let half = STRICT.replace(
        "max_delete_share_percent: 100",
        "max_delete_share_percent: 50",
    );

    let report = stage.apply(&half).await;

    assert_eq!(report.status, Status::Partial);
    assert_eq!(report.refusals.len(), 1);
    assert_eq!(report.refusals[0].unit, "tools/base");
    assert_eq!(report.refusals[0].guard, "max_share_percent");
    assert_eq!(base.digests().await.unwrap().len(), 21);
    assert!(!web.has(&old).await.unwrap());
}

#[tokio::test]
async fn never_empties_a_repository() {
    let stage = Stage::new();
    let repo = stage.account.repository("builds").await.unwrap();
    let mut digests = Vec::new();
    for n in 0..3 {
        digests.push(
            stage
                .image(&repo, &format!("build {n}"), 100 + n, &[])
                .await,
        );
    }

    let report = stage.apply(STRICT).await;

    assert_eq!(report.status, Status::Applied);
    assert_eq!(repo.digests().await.unwrap(), digests[..1]);
    assert_eq!(kept_for(&report, &digests[0]), Some("last_image"));
}

#[tokio::test]
async fn refuses_to_go_below_the_floor_of_the_policy() {
    let stage = Stage::new();
    let repo = stage.account.repository("builds").await.unwrap();
    for n in 0..5 {
        stage
            .image(&repo, &format!("build {n}"), 100 + n, &[])
            .await;
    }
    let floor = STRICT.replace("limits: {", "limits: {keep_images_at_least: 2, ");

    let report = stage.apply(&floor).await;

    assert_eq!(report.status, Status::Refused);
    assert_eq!(report.refusals[0].guard, "keep_at_least");
    assert_eq!(repo.digests().await.unwrap().len(), 5);
}

#[tokio::test]
async fn keeps_untagged_images_that_an_archived_index_may_list() {
    let stage = Stage::new();
    let repo = stage.account.repository("shop/web").await.unwrap();
    let index = stage.index(&repo, "release", 60, &["v1"]).await;
    let old = stage.image(&repo, "old", 60, &["v0"]).await;
    stage.image(&repo, "newest", 40, &["v2"]).await;
    stage
        .account
        .ecr()
        .update_image_storage_class()
        .repository_name("shop/web")
        .image_id(
            aws_sdk_ecr::types::ImageIdentifier::builder()
                .image_digest(&index[0])
                .build(),
        )
        .target_storage_class(aws_sdk_ecr::types::TargetStorageClass::Archive)
        .send()
        .await
        .unwrap();

    let report = stage.apply(STRICT).await;

    assert_eq!(report.gaps, []);
    assert_eq!(going(&report), [old]);
    assert_eq!(kept_for(&report, &index[0]), Some("archived"));
    assert_eq!(
        kept_for(&report, &index[1]),
        Some("may_be_part_of_archived")
    );
}

#[tokio::test]
async fn keeps_signatures_whose_images_are_in_another_repository() {
    let stage = Stage::new();
    let web = stage.account.repository("shop/web").await.unwrap();
    let image = steward_sandbox::Manifest::image("signed");
    web.push_at(stage.days_ago(60), &image, &["v1"])
        .await
        .unwrap();
    let signatures = stage.account.repository("signatures").await.unwrap();
    let gone = "sha256-".to_owned() + &"0".repeat(64) + ".sig";
    let about_image = image.digest().replace(':', "-");
    let signature = stage
        .image(&signatures, "signature", 60, &[&about_image])
        .await;
    let orphan = stage.image(&signatures, "orphan", 60, &[&gone]).await;

    let part = STRICT.replace("include: [\"*\"]", "include: [\"signatures\"]");
    let report = stage.plan(&part).await;
    assert_eq!(going(&report), Vec::<String>::new());
    assert_eq!(kept_for(&report, &orphan), Some("subject_elsewhere"));

    // With the whole registry in view it is known what is about nothing.
    let report = stage.apply(STRICT).await;
    assert_eq!(going(&report), [orphan]);
    assert_eq!(kept_for(&report, &signature), Some("subject_elsewhere"));
}

#[tokio::test]
async fn keep_tags_keeps_signatures_and_warns_of_references_that_keep_nothing() {
    let stage = Stage::new();
    let repo = stage.account.repository("shop/web").await.unwrap();
    let gone = "sha256-".to_owned() + &"0".repeat(64) + ".sig";
    let signature = stage.image(&repo, "signature", 60, &[&gone]).await;
    let policy = STRICT
        .replace(
            "keep_newest: 1,",
            "keep_newest: 1, keep_tags: {include: [\"*.sig\"]},",
        )
        .replace(
            "in_use: {",
            &format!("in_use: {{references: [\"{}\"], ", repo.tagged("typo")),
        );

    let report = stage.apply(&policy).await;

    assert_eq!(kept_for(&report, &signature), Some("tag_kept"));
    assert!(report.warnings.iter().any(|w| w.contains("names no image")));
}
