//! The seeded reference system, pruned.

use std::collections::BTreeSet;

use steward::report::Status;
use steward_sandbox::seed;

use crate::stage::{STRICT, Stage};

#[tokio::test]
async fn everything_in_use_survives_the_strictest_policy() {
    let stage = Stage::new();
    let reference = seed::reference_system(&stage.account, stage.now)
        .await
        .unwrap();
    let in_use = reference.in_use();
    assert!(in_use.len() >= 10);
    let strictest = STRICT.replace("limits: {", "limits: {max_deletes_per_run: 100000, ");

    let report = stage.apply(&strictest).await;

    assert_eq!(report.gaps, []);
    assert_eq!(report.summary.failed, 0);
    assert!(report.summary.done > 100, "{:?}", report.summary);
    let mut present = BTreeSet::new();
    for name in reference.repositories() {
        let digests = stage
            .account
            .existing_repository(name)
            .digests()
            .await
            .unwrap();
        present.extend(digests.into_iter().map(|digest| (name.to_owned(), digest)));
    }
    for image in in_use {
        let key = (image.repository.clone(), image.digest.clone());
        assert!(present.contains(&key), "{image:?} was deleted");
    }

    let again = stage.apply(&strictest).await;
    assert_eq!(again.status, Status::NothingToDo, "{:?}", again.actions);
}
