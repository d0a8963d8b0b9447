//! Indexes, children and referrers live and die together.

use steward::report::{ActionOutcome, Status};
use steward_sandbox::Manifest;

use crate::stage::{STRICT, Stage, fate, going, kept_for, sorted};

#[tokio::test]
async fn deletes_an_index_with_its_children_in_one_run() {
    let stage = Stage::new();
    let repo = stage.account.repository("shop/web").await.unwrap();
    let old = stage.index(&repo, "old", 60, &["v1"]).await;
    let new = stage.index(&repo, "new", 50, &["v2"]).await;

    let report = stage.apply(STRICT).await;

    assert_eq!(report.status, Status::Applied, "{:#?}", report.actions);
    assert_eq!(sorted(repo.digests().await.unwrap()), sorted(new));
    assert_eq!(
        fate(&report, &old[0]).unwrap(),
        (ActionOutcome::Done, "superseded")
    );
    assert_eq!(
        fate(&report, &old[1]).unwrap(),
        (ActionOutcome::Done, "child_of_deleted_index")
    );
}

#[tokio::test]
async fn never_judges_the_untagged_children_of_a_kept_index() {
    let stage = Stage::new();
    let repo = stage.account.repository("shop/web").await.unwrap();
    let kept = stage.index(&repo, "kept", 300, &["v1"]).await;

    let report = stage.apply(STRICT).await;

    assert_eq!(report.status, Status::NothingToDo);
    assert_eq!(sorted(repo.digests().await.unwrap()), sorted(kept.clone()));
    for child in &kept[1..] {
        assert_eq!(kept_for(&report, child), Some("child_of_kept_index"));
    }
}

#[tokio::test]
async fn keeps_a_child_that_another_kept_index_shares() {
    let stage = Stage::new();
    let repo = stage.account.repository("shop/web").await.unwrap();
    let shared = Manifest::image_for("base", "amd64");
    let own = Manifest::image_for("own", "arm64");
    let at = stage.days_ago(60);
    repo.push_at(at, &shared, &[]).await.unwrap();
    repo.push_at(at, &own, &[]).await.unwrap();
    let old = Manifest::index(&[&shared, &own]);
    repo.push_at(at, &old, &["v1"]).await.unwrap();
    let new = Manifest::index(&[&shared]);
    repo.push_at(stage.days_ago(50), &new, &["v2"])
        .await
        .unwrap();

    let report = stage.apply(STRICT).await;

    assert_eq!(going(&report), sorted([old.digest(), own.digest()]));
    assert_eq!(
        sorted(repo.digests().await.unwrap()),
        sorted([shared.digest(), new.digest()])
    );
}

#[tokio::test]
async fn keeps_the_signatures_of_kept_images_and_deletes_those_of_deleted_ones() {
    let stage = Stage::new();
    let repo = stage.account.repository("shop/web").await.unwrap();
    let mut referrers = Vec::new();
    for (name, days, tag) in [("old", 60, "v1"), ("new", 50, "v2")] {
        let image = Manifest::image(name);
        repo.push_at(stage.days_ago(days), &image, &[tag])
            .await
            .unwrap();
        let oci = Manifest::signature_of(&image);
        let mut pushed = oci.pushed_at(stage.days_ago(days), Vec::<String>::new());
        pushed.subject = Some(image.digest().to_owned());
        repo.fill(&[pushed]).await.unwrap();
        let by_tag = Manifest::tagged_signature_of(&image);
        let tag = format!("{}.sig", image.digest().replace(':', "-"));
        repo.push_at(stage.days_ago(days), &by_tag, &[&tag])
            .await
            .unwrap();
        referrers.push((
            image.digest().to_owned(),
            oci.digest().to_owned(),
            by_tag.digest().to_owned(),
        ));
    }

    let report = stage.apply(STRICT).await;

    let (old, new) = (&referrers[0], &referrers[1]);
    assert_eq!(report.status, Status::Applied);
    assert_eq!(
        sorted(repo.digests().await.unwrap()),
        sorted([&new.0, &new.1, &new.2].map(String::as_str))
    );
    assert_eq!(kept_for(&report, &new.1), Some("refers_to_kept_image"));
    assert_eq!(kept_for(&report, &new.2), Some("refers_to_kept_image"));
    assert_eq!(fate(&report, &old.1).unwrap().1, "refers_to_deleted_image");
}

#[tokio::test]
async fn a_limit_takes_indexes_before_their_children_and_the_next_runs_take_the_rest() {
    let stage = Stage::new();
    let repo = stage.account.repository("shop/web").await.unwrap();
    stage.index(&repo, "oldest", 90, &["v1"]).await;
    let older = stage.index(&repo, "older", 80, &["v2"]).await;
    let kept = stage.index(&repo, "kept", 70, &["v3"]).await;
    let policy = STRICT.replace("limits: {", "limits: {max_deletes_per_repository: 3, ");

    let first = stage.apply(&policy).await;
    assert_eq!(first.status, Status::Applied);
    assert_eq!(first.summary.done, 3);
    assert_eq!(first.summary.deferred, 5);
    assert!(repo.has(&older[0]).await.unwrap(), "the oldest go first");

    for _ in 0..2 {
        assert_eq!(stage.apply(&policy).await.summary.failed, 0);
    }
    assert_eq!(sorted(repo.digests().await.unwrap()), sorted(kept));
    assert_eq!(stage.apply(&policy).await.status, Status::NothingToDo);
}
