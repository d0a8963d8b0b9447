//! A registry that holds the replicas of another: who names the other's images
//! needs the copies here.

use serde_json::json;
use steward_sandbox::faults::Scripted;

use crate::consumers::{over_restore_points, point};
use crate::script::{
    Stage, account, digest, elsewhere, image, pins, with_restore_point, with_role, with_task,
};

/// The registry that the images are replicated from.
const PRIMARY: &str = "123456789012.dkr.ecr.eu-central-1.amazonaws.com";

/// A running task with this image, wherever one looks.
fn running(image: &str) -> Scripted {
    let task = json!({"lastStatus": "RUNNING", "containers": [{"name": "web", "image": image}]});
    with_task(account(vec![]), task)
}

#[tokio::test]
async fn a_restore_point_keeps_the_copies_of_what_it_names() {
    let images = format!(
        r#"{{"reference":"{PRIMARY}/app@{}"}},{{"reference":"{PRIMARY}/app:v1"}}"#,
        digest(1)
    );
    let script = with_restore_point(account(vec![]), point(&images));
    let seen = over_restore_points(script).await.observe().await;
    assert_eq!(seen.gaps, []);
    assert_eq!(
        pins(&seen),
        [
            format!("named_by_restore_point Digest(Digest(\"{}\"))", digest(1)),
            r#"named_by_restore_point WasTag("v1")"#.to_owned()
        ]
    );
}

#[tokio::test]
async fn what_runs_elsewhere_keeps_its_copy_and_what_runs_here_does_not() {
    let by_digest = format!("{PRIMARY}/app@{}", digest(1));
    let pinned = format!("in_use_by_task Digest(Digest(\"{}\"))", digest(1));
    let by_tag = format!("{PRIMARY}/app:v1");
    let tagged = r#"in_use_by_task WasTag("v1")"#.to_owned();
    for (image, pin) in [(by_digest, pinned), (by_tag, tagged)] {
        let mut stage = Stage::over(with_role(running(&image))).await;
        let seen = stage.observe().await;
        assert_eq!((seen.gaps.len(), pins(&seen)), (0, vec![]));

        stage.policy.in_use.elsewhere = elsewhere(&["eu-central-1"]);
        let seen = stage.observe().await;
        assert_eq!(seen.gaps, []);
        assert_eq!(pins(&seen), [pin]);
        let user = &seen.world.uses[0].by.name;
        assert!(user.ends_with(" in 222222222222/eu-central-1"), "{user}");
    }
}

#[tokio::test]
async fn what_cannot_be_read_elsewhere_hides_the_repository_of_its_name() {
    let mut stage = Stage::over(with_role(running(&format!("{PRIMARY}/app:")))).await;
    assert_eq!(stage.observe().await.gaps, []);

    stage.policy.in_use.elsewhere = elsewhere(&["eu-central-1"]);
    let gaps = stage.observe().await.gaps;
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    assert!(gaps[0].read.contains("the tag is empty"), "{gaps:?}");
    assert!(gaps[0].hides.covers("app") && !gaps[0].hides.covers("other"));
}

#[tokio::test]
async fn a_reference_of_the_policy_keeps_the_copy_and_is_idle_without_one() {
    let seen_with = async |reference: String| {
        let mut stage = Stage::over(account(vec![image(1, &["v1"])])).await;
        stage.policy.in_use.references = vec![reference];
        let seen = stage.observe().await;
        assert_eq!(seen.gaps, []);
        seen
    };
    for (reference, pin) in [
        (
            format!("{PRIMARY}/app@{}", digest(1)),
            format!("referenced_by_policy Digest(Digest(\"{}\"))", digest(1)),
        ),
        (
            format!("{PRIMARY}/app:v1"),
            r#"referenced_by_policy Tag("v1")"#.to_owned(),
        ),
    ] {
        let seen = seen_with(reference).await;
        assert_eq!(pins(&seen), [pin]);
        assert_eq!(seen.warnings, Vec::<String>::new());
    }
    for (path, problem) in [
        ("app:v2", "no copy of it is here"),
        ("typo:v1", "no repository of that name"),
    ] {
        let seen = seen_with(format!("{PRIMARY}/{path}")).await;
        assert_eq!(seen.warnings.len(), 1, "{:?}", seen.warnings);
        let told = &seen.warnings[0];
        assert!(told.contains(path) && told.contains(problem), "{told}");
    }
}
