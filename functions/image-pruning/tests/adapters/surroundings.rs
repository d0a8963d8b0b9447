//! What is read about a registry beside its images: who else may pull, caches,
//! lifecycle policies, and whether our own reads count as pulls.

use image_pruning::{Outsider, RemoveBy};
use serde_json::{Value, json};
use steward::policy::{Period, Selection};
use steward_sandbox::faults::{Answer, At, Fault, Scripted};

use crate::script::{Stage, account, body, digest, image, index, now, repository};

fn policy_text(principal: Value) -> String {
    let statement = json!({"Effect": "Allow", "Principal": principal, "Action": "ecr:*",
        "Resource": "arn:aws:ecr:eu-west-1:123456789012:repository/ap*"});
    json!({"Version": "2012-10-17", "Statement": [statement]}).to_string()
}

fn repositories(names: &[&str]) -> Value {
    let all: Vec<Value> = names.iter().map(|name| repository(name)).collect();
    json!({"repositories": all})
}

async fn outsiders(script: Scripted) -> Vec<Outsider> {
    let seen = Stage::over(script).await.observe().await;
    assert_eq!(seen.gaps, []);
    let outsiders = &seen.world.repositories["app"].outsiders;
    outsiders.iter().cloned().collect()
}

#[tokio::test]
async fn a_repository_has_the_outsiders_of_its_policy_the_registrys_and_its_copies() {
    assert_eq!(outsiders(account(vec![])).await, []);
    let script = account(vec![])
        .always(
            "ecr:GetRepositoryPolicy",
            |_| json!({"policyText": policy_text(json!({"AWS": "222222222222"}))}),
        )
        .always(
            "ecr:GetRegistryPolicy",
            |_| json!({"policyText": policy_text(json!({"AWS": "333333333333"}))}),
        )
        .always("ecr:DescribeRegistry", |_| {
            let to = |region: &str| json!([{"region": region, "registryId": "123456789012"}]);
            let only = |prefix: &str| json!([{"filter": prefix, "filterType": "PREFIX_MATCH"}]);
            json!({"replicationConfiguration": {"rules": [
                {"destinations": to("eu-west-2"), "repositoryFilters": only("ap")},
                {"destinations": to("eu-west-3"), "repositoryFilters": only("other/")},
                {"destinations": to("us-east-1")},
                {"destinations": to("us-west-2"), "repositoryFilters": [
                    {"filter": "x", "filterType": "SOMETHING_NEW"}]},
            ]}})
        });
    let places: Vec<(Option<String>, Option<String>)> = outsiders(script)
        .await
        .into_iter()
        .map(|outsider| (outsider.account, outsider.region))
        .collect();
    let own = |region: &str| (Some("123456789012".to_owned()), Some(region.to_owned()));
    assert_eq!(
        places,
        [
            own("eu-west-2"),
            own("us-east-1"),
            own("us-west-2"),
            (Some("222222222222".to_owned()), None),
            (Some("333333333333".to_owned()), None),
        ]
    );
}

#[tokio::test]
async fn a_policy_that_makes_no_sense_is_a_gap() {
    for (operation, everywhere) in [
        ("ecr:GetRepositoryPolicy", false),
        ("ecr:GetRegistryPolicy", true),
    ] {
        let script = account(vec![]).always(operation, |_| json!({"policyText": "{not json"}));
        let seen = Stage::over(script).await.observe().await;
        assert_eq!(seen.gaps.len(), 1, "{:?}", seen.gaps);
        assert_eq!(seen.gaps[0].grant, operation);
        assert!(seen.gaps[0].hides.covers("app"));
        assert_eq!(seen.gaps[0].hides.covers("other"), everywhere);
    }
}

/// Repositories of these names, of which the prefixes are caches.
async fn left(include: Option<&[&str]>, prefixes: &[&str]) -> (Vec<String>, Vec<String>, Stage) {
    let rules: Vec<Value> = prefixes
        .iter()
        .map(|prefix| json!({"ecrRepositoryPrefix": prefix}))
        .collect();
    let script = account(vec![])
        .always("ecr:DescribeRepositories", |_| {
            let names = ["app", "quay", "quay/app", "quay-like/app", "hub/team/app"];
            repositories(&names)
        })
        .always(
            "ecr:DescribePullThroughCacheRules",
            move |_| json!({"pullThroughCacheRules": rules}),
        );
    let mut stage = Stage::over(script).await;
    stage.policy.repositories = include.map(|include| Selection {
        include: include.iter().map(|glob| (*glob).to_owned()).collect(),
        exclude: vec![],
    });
    let seen = stage.observe().await;
    assert_eq!(seen.gaps, []);
    let names = seen.world.repositories.keys().cloned().collect();
    assert!(seen.world.more_repositories || seen.world.repositories.len() == 5);
    (names, seen.warnings, stage)
}

#[tokio::test]
async fn caches_are_left_alone_unless_they_are_named() {
    for include in [None, Some(&["*"][..]), Some(&["**"][..])] {
        let (names, warnings, _) = left(include, &["quay", "hub/team/"]).await;
        assert_eq!(names, ["app", "quay", "quay-like/app"]);
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].contains("2 repositories") && warnings[0].contains("quay/app"));
    }
    let (names, warnings, _) = left(Some(&["*", "quay/*"]), &["quay", "hub/team"]).await;
    assert_eq!(names, ["app", "quay", "quay-like/app", "quay/app"]);
    assert!(warnings[0].contains("1 repository"), "{warnings:?}");

    let (names, warnings, _) = left(Some(&["*", "app"]), &["ROOT"]).await;
    assert_eq!(names, ["app"]);
    assert!(warnings[0].contains("4 repositories"), "{warnings:?}");
}

#[tokio::test]
async fn where_every_repository_is_named_caches_are_not_asked_about() {
    let (names, warnings, stage) = left(Some(&["quay/*", "app"]), &["quay"]).await;
    assert_eq!(names, ["app", "quay/app"]);
    assert_eq!(warnings, Vec::<String>::new());
    assert_eq!(stage.client.count("ecr:DescribePullThroughCacheRules"), 0);
}

#[tokio::test]
async fn rules_for_caches_that_are_not_known_hide_what_is_not_named() {
    let script = account(vec![])
        .always("ecr:DescribeRepositories", |_| {
            repositories(&["app", "other"])
        })
        .always("ecr:DescribePullThroughCacheRules", |request| {
            match body(request)["nextToken"].as_str() {
                None => json!({"pullThroughCacheRules": [{}], "nextToken": "more"}),
                Some(_) => json!({"pullThroughCacheRules": []}),
            }
        });
    let mut stage = Stage::over(script).await;
    stage.policy.repositories = Some(Selection {
        include: vec!["*".to_owned(), "app".to_owned()],
        exclude: vec![],
    });
    let seen = stage.observe().await;
    assert_eq!(seen.gaps.len(), 1);
    assert!(seen.gaps[0].hides.covers("other") && !seen.gaps[0].hides.covers("app"));
}

fn lifecycle(days: u32) -> String {
    json!({"rules": [{"rulePriority": 7, "selection": {"tagStatus": "any",
        "countType": "sinceImagePushed", "countUnit": "days", "countNumber": days},
        "action": {"type": "expire"}}]})
    .to_string()
}

#[tokio::test]
async fn a_lifecycle_policy_that_is_about_to_take_a_used_image_is_a_warning() {
    let warnings = async |days: u32, keep: Option<&str>| {
        let script = account(vec![image(1, &["v1"]), image(2, &["v2"])]).always(
            "ecr:GetLifecyclePolicy",
            move |_| json!({"lifecyclePolicyText": lifecycle(days)}),
        );
        let mut stage = Stage::over(script).await;
        stage.policy.in_use.references = vec![format!("{}/app:v1", crate::script::REGISTRY)];
        stage.policy.retention.keep_tags.include = keep.into_iter().map(str::to_owned).collect();
        let seen = stage.observe().await;
        assert_eq!(seen.gaps, []);
        seen.warnings
    };
    let told = warnings(30, None).await;
    assert_eq!(told.len(), 1, "{told:?}");
    for part in ["repository app", "rule 7", "expire", &digest(1), "app:v1"] {
        assert!(told[0].contains(part), "{part}: {told:?}");
    }
    assert!(!told[0].contains("more like it"), "{told:?}");
    let told = warnings(30, Some("v2")).await;
    assert!(told[0].contains("and 1 more like it"), "{told:?}");
    assert_eq!(warnings(3000, None).await, Vec::<String>::new());
}

#[tokio::test]
async fn lifecycle_policies_that_cannot_be_read_are_one_warning_and_no_gap() {
    let script = account(vec![]).always("ecr:DescribeRepositories", |_| {
        repositories(&["app", "b", "c"])
    });
    let stage = Stage::over(script).await;
    stage
        .client
        .add(At::every("ecr:GetLifecyclePolicy"), Fault::Deny);
    let seen = stage.observe().await;
    assert_eq!(seen.gaps, []);
    assert_eq!(seen.warnings.len(), 1, "{:?}", seen.warnings);
    assert!(seen.warnings[0].contains("app and of 2 more"));

    let odd = account(vec![]).always(
        "ecr:GetLifecyclePolicy",
        |_| json!({"lifecyclePolicyText": "{}"}),
    );
    let seen = Stage::over(odd).await.observe().await;
    assert_eq!((seen.gaps.len(), seen.warnings.len()), (0, 1));
}

const CALLER: &str = "<Arn>arn:aws:sts::123456789012:assumed-role/pruning/night</Arn>\
                      <Account>123456789012</Account><UserId>x</UserId>";

/// The warnings where these principals are excluded, in pages of one.
async fn own_reads(excluded: &'static [&'static str]) -> (Vec<String>, Stage) {
    let script = account(vec![image(1, &["v1"])])
        .always("sts:GetCallerIdentity", |_| Answer::result(CALLER))
        .always("ecr:ListPullTimeUpdateExclusions", |request| {
            let n: usize = body(request)["nextToken"]
                .as_str()
                .map_or(0, |token| token.parse().unwrap());
            let page: Vec<&str> = excluded.iter().skip(n).take(1).copied().collect();
            match n + 1 < excluded.len() {
                true => json!({"pullTimeUpdateExclusions": page, "nextToken": (n + 1).to_string()}),
                false => json!({"pullTimeUpdateExclusions": page}),
            }
        });
    let mut stage = Stage::over(script).await;
    stage.policy.retention.remove_unpulled_after = Some(Period::days(30));
    let seen = stage.observe().await;
    assert_eq!(seen.gaps, []);
    (seen.warnings, stage)
}

#[tokio::test]
async fn where_pulls_matter_our_own_reads_must_be_excluded() {
    let (warnings, _) = own_reads(&["arn:aws:iam::123456789012:role/scanner"]).await;
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(
        warnings[0].ends_with(
            "aws ecr register-pull-time-update-exclusion --principal-arn \
             arn:aws:iam::123456789012:role/pruning"
        ),
        "{warnings:?}"
    );
    let excluded = &[
        "arn:aws:iam::123456789012:role/scanner",
        "arn:aws:iam::123456789012:role/service-role/pruning",
    ];
    let (warnings, stage) = own_reads(excluded).await;
    assert_eq!(warnings, Vec::<String>::new());
    assert_eq!(stage.client.count("ecr:ListPullTimeUpdateExclusions"), 2);
    let registered = stage.client.count("ecr:RegisterPullTimeUpdateExclusion");
    assert_eq!(registered, 0);
}

#[tokio::test]
async fn whether_our_own_reads_are_excluded_is_asked_only_where_pulls_matter() {
    let open = |images: Vec<Value>| {
        account(images)
            .always("ecr:BatchGetImage", |_| {
                json!({"failures": [], "images": [{"imageId": {"imageDigest": digest(1)},
                    "imageManifest": "{\"manifests\":[]}"}]})
            })
            .always(
                "ecr:GetRepositoryPolicy",
                |_| json!({"policyText": policy_text(json!("*"))}),
            )
            .always("sts:GetCallerIdentity", |_| Answer::result(CALLER))
            .always(
                "ecr:ListPullTimeUpdateExclusions",
                |_| json!({"pullTimeUpdateExclusions": []}),
            )
    };
    for (script, asked) in [
        (account(vec![image(1, &[])]), 0),
        // Nothing is got of plain images.
        (open(vec![image(1, &[])]), 0),
        (open(vec![index(1, &[])]), 1),
    ] {
        let stage = Stage::over(script).await;
        let warnings = stage.observe().await.warnings;
        assert_eq!(warnings.len(), asked, "{warnings:?}");
        let listed = stage.client.count("ecr:ListPullTimeUpdateExclusions");
        assert_eq!(listed, asked);
    }
}

#[tokio::test]
async fn what_cannot_be_read_for_a_warning_is_a_warning() {
    for operation in ["ecr:ListPullTimeUpdateExclusions", "sts:GetCallerIdentity"] {
        let script = account(vec![image(1, &[])])
            .always("sts:GetCallerIdentity", |_| Answer::result(CALLER))
            .always(
                "ecr:ListPullTimeUpdateExclusions",
                |_| json!({"pullTimeUpdateExclusions": []}),
            );
        let mut stage = Stage::over(script).await;
        stage.policy.retention.remove_unpulled_after = Some(Period::days(30));
        stage.policy.retention.remove_by = RemoveBy::Archive;
        stage.client.add(At::every(operation), Fault::Deny);
        let seen = stage.observe().await;
        assert_eq!(seen.gaps, []);
        assert_eq!(seen.warnings.len(), 1, "{:?}", seen.warnings);
        assert!(
            seen.warnings[0].contains("is not known"),
            "{:?}",
            seen.warnings
        );
    }
}

#[tokio::test]
async fn exclusions_end_with_an_empty_token_and_never_go_in_circles() {
    for (token, calls, problem) in [
        ("", 1, "register-pull-time-update-exclusion"),
        ("again", 2, "the same page comes again and again"),
    ] {
        let script = account(vec![image(1, &[])])
            .always("sts:GetCallerIdentity", |_| Answer::result(CALLER))
            .always(
                "ecr:ListPullTimeUpdateExclusions",
                move |_| json!({"pullTimeUpdateExclusions": [], "nextToken": token}),
            );
        let mut stage = Stage::over(script).await;
        stage.policy.retention.remove_unpulled_after = Some(Period::days(30));
        let warnings = stage.observe().await.warnings;
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].contains(problem), "{warnings:?}");
        let listed = stage.client.count("ecr:ListPullTimeUpdateExclusions");
        assert_eq!(listed, calls);
    }
}

#[tokio::test]
async fn times_of_pulls_and_of_the_archive_are_read_and_absent_ones_are_absent() {
    let at = now().as_second() - 1000;
    let mut archived = image(1, &["v1"]);
    archived["imageStatus"] = json!("ARCHIVED");
    archived["lastArchivedAt"] = json!(at);
    archived["lastActivatedAt"] = json!(at - 5);
    archived["lastRecordedPullTime"] = json!(at - 9);
    let mut timeless = image(2, &["v2"]);
    timeless["imageStatus"] = json!("ARCHIVED");
    let seen = Stage::over(account(vec![archived, timeless]))
        .await
        .observe()
        .await;
    let image = |n| &seen.world.repositories["app"].images[&image_pruning::Digest::new(digest(n))];
    let time = |seconds| Some(jiff::Timestamp::from_second(seconds).unwrap());
    assert_eq!(
        image(1).storage,
        image_pruning::Storage::Archived { since: time(at) }
    );
    assert_eq!(image(1).restored_at, time(at - 5));
    assert_eq!(image(1).last_pulled_at, time(at - 9));
    assert_eq!(
        image(2).storage,
        image_pruning::Storage::Archived { since: None }
    );
    assert_eq!(
        (image(2).restored_at, image(2).last_pulled_at),
        (None, None)
    );
}
