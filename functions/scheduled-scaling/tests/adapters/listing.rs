//! Every listing is read to its end, in pages and batches as large as AWS takes them;
//! one that does not end is a gap.

use serde_json::{Value, json};
use steward::engine::Hides;
use steward_sandbox::faults::{Answer, Scripted};

use crate::script::{
    CLUSTER, DATABASE, EVENING, GROUP, Moment, SERVICE, Stage, WAKING_UP, awake, body, database,
    databases, field, group, groups, item, service, services,
};

/// The `page`th of three pages: items and, but for the last, a token.
fn page(request: &str, list: &str, items: impl Fn(usize) -> Value) -> Value {
    let token = body(request)["nextToken"].as_str().map(str::to_owned);
    let page: usize = token.map_or(0, |token| token.parse().unwrap());
    let mut answer = json!({list: items(page)});
    if page < 2 {
        answer["nextToken"] = json!((page + 1).to_string());
    }
    answer
}

fn sizes(stage: &Stage, operation: &str, list: &str) -> Vec<usize> {
    let sent = stage.sent(operation);
    let counts = sent
        .iter()
        .map(|sent| body(sent)[list].as_array().unwrap().len());
    let mut counts: Vec<usize> = counts.collect();
    counts.sort_unstable();
    counts
}

fn arn_of(n: usize) -> String {
    format!("{SERVICE}{n:03}")
}

/// Sixty services that run and wake.
fn many_services() -> Scripted {
    awake()
        .always("ecs:ListServices", |request| {
            page(request, "serviceArns", |n| {
                json!((20 * n..20 * (n + 1)).map(arn_of).collect::<Vec<_>>())
            })
        })
        .always("ecs:DescribeServices", |request| {
            let asked = body(request)["services"].as_array().unwrap().clone();
            let all = asked.iter().map(|arn| {
                let mut service = service(1);
                service["serviceArn"] = arn.clone();
                service["serviceName"] = json!(arn.as_str().unwrap().rsplit('/').next());
                service["loadBalancers"] = json!([]);
                service
            });
            services(all.collect())
        })
}

#[tokio::test]
async fn services_come_in_the_largest_pages_and_batches() {
    let script = many_services().always("ecs:ListClusters", |request| {
        page(request, "clusterArns", |n| match n {
            1 => json!([CLUSTER]),
            _ => json!([]),
        })
    });
    let stage = Stage::over(EVENING, script).await;
    let seen = stage.observe().await;
    assert_eq!(seen.gaps, []);
    // With one group and one database.
    assert_eq!(seen.world.resources.len(), 62);
    for operation in ["ListClusters", "ListServices"] {
        let sent = stage.sent(operation);
        let asked = sent.iter().map(|sent| body(sent)["maxResults"].clone());
        let asked: Vec<Value> = asked.collect();
        assert_eq!(asked, [100, 100, 100], "{operation}");
    }
    assert_eq!(sizes(&stage, "DescribeServices", "services"), [10; 6]);
    for sent in stage.sent("DescribeServices") {
        assert_eq!(body(&sent)["include"], json!(["TAGS"]));
    }
    let batches = sizes(&stage, "DescribeScalableTargets", "ResourceIds");
    assert_eq!(batches, [10, 50]);
}

#[tokio::test]
async fn scalable_targets_are_read_to_their_end() {
    let script = awake()
        .on(
            "application-autoscaling:DescribeScalableTargets",
            json!({"ScalableTargets": [], "NextToken": "more"}),
        )
        .on(
            "application-autoscaling:DescribeScalableTargets",
            crate::script::scalable(2, 6, false),
        );
    let stage = Stage::over(EVENING, script).await;
    let seen = stage.observe().await;
    assert_eq!(seen.gaps, []);
    let planned = stage.changes(&seen);
    assert!(
        format!("{planned:?}").contains("max: Some(6)"),
        "{planned:?}"
    );
}

#[tokio::test]
async fn groups_and_databases_come_in_pages_of_a_hundred() {
    let script = awake()
        .always("autoscaling:DescribeAutoScalingGroups", |request| {
            assert_eq!(field(request, "MaxRecords").as_deref(), Some("100"));
            let n = field(request, "NextToken").map_or(0, |token| token.parse().unwrap());
            let mut other = group(2);
            other.insert("AutoScalingGroupName", format!("shop{n}"));
            other.insert("AutoScalingGroupARN", format!("{GROUP}{n}"));
            groups(&[other], ["1", "2"].get(n).copied())
        })
        .always("rds:DescribeDBInstances", |request| {
            assert_eq!(field(request, "MaxRecords").as_deref(), Some("100"));
            let n = field(request, "Marker").map_or(0, |marker| marker.parse().unwrap());
            let mut other = database("available");
            other.insert("DBInstanceIdentifier", format!("shop-db{n}"));
            other.insert("DBInstanceArn", format!("{DATABASE}{n}"));
            databases(&[other], ["1", "2"].get(n).copied())
        });
    let stage = Stage::over(EVENING, script).await;
    let seen = stage.observe().await;
    assert_eq!(seen.gaps, []);
    assert_eq!(seen.world.resources.len(), 7);
    // Only what has the tag of an environment can be of one.
    for sent in stage.sent("DescribeAutoScalingGroups") {
        let filter = field(&sent, "Filters.member.1.Values.member.1");
        assert_eq!(filter.as_deref(), Some("steward:environment"), "{sent}");
    }
}

#[tokio::test]
async fn capacity_providers_and_the_instances_of_clusters_are_read_to_their_end() {
    let script = awake()
        .always("ecs:DescribeCapacityProviders", |request| {
            page(request, "capacityProviders", |n| match n {
                2 => crate::script::providers("ENABLED")["capacityProviders"].clone(),
                _ => json!([]),
            })
        })
        .always("ecs:ListContainerInstances", |request| {
            page(request, "containerInstanceArns", |n| {
                let arns = (0..70).map(|m| format!("instance/{}", 70 * n + m));
                json!(arns.collect::<Vec<_>>())
            })
        })
        .always("ecs:DescribeContainerInstances", |request| {
            let asked = body(request)["containerInstances"]
                .as_array()
                .unwrap()
                .clone();
            let told = asked.iter().map(|arn| {
                let number = arn.as_str().unwrap().rsplit('/').next();
                json!({"ec2InstanceId": format!("i-{}", number.unwrap()), "agentConnected": true})
            });
            json!({"containerInstances": told.collect::<Vec<_>>(), "failures": []})
        });
    let stage = Stage::over(WAKING_UP, script).await;
    let seen = stage.observe().await;
    assert_eq!(seen.gaps, []);
    assert_eq!(stage.planned(&seen), ["finish_transition reached"]);
    let batches = sizes(&stage, "DescribeContainerInstances", "containerInstances");
    assert_eq!(batches, [10, 100, 100]);
    for sent in stage.sent("ListContainerInstances") {
        assert_eq!(body(&sent)["maxResults"], json!(100));
        assert_eq!(body(&sent)["status"], json!("ACTIVE"));
    }
}

#[tokio::test]
async fn clusters_are_described_a_hundred_at_a_time() {
    let arns = |n: usize| format!("{CLUSTER}{n}");
    let script = awake()
        .always(
            "ecs:ListClusters",
            move |_| json!({"clusterArns": (0..250).map(arns).collect::<Vec<_>>()}),
        )
        .always("ecs:ListServices", |_| json!({"serviceArns": []}))
        .always("ecs:DescribeClusters", |request| {
            let asked = body(request)["clusters"].as_array().unwrap().clone();
            let told = asked.iter().map(|arn| json!({"clusterArn": arn}));
            json!({"clusters": told.collect::<Vec<_>>(), "failures": []})
        });
    let stage = Stage::over(WAKING_UP, script).await;
    let seen = stage.observe().await;
    assert_eq!(seen.gaps, []);
    assert_eq!(
        sizes(&stage, "DescribeClusters", "clusters"),
        [50, 100, 100]
    );
}

#[tokio::test]
async fn the_ledger_is_read_to_its_end() {
    let entry = item("environment#dev", &EVENING.progress());
    let paged = |script: Scripted| {
        script.always("dynamodb:Query", move |request| {
            let asked = body(request);
            let start = asked["ExpressionAttributeValues"][":start"]["S"].clone();
            match (start.as_str(), asked["ExclusiveStartKey"].is_object()) {
                (Some("environment#"), false) => {
                    let last = json!({"pk": entry["pk"], "sk": {"S": "environment#a"}});
                    json!({"Items": [], "LastEvaluatedKey": last})
                }
                (Some("environment#"), true) => json!({"Items": [entry]}),
                _ => json!({"Items": []}),
            }
        })
    };
    let stage = Stage::with_ledger(EVENING, awake(), paged).await;
    let seen = stage.observe().await;
    assert_eq!(seen.gaps, []);
    let planned = stage.planned(&seen);
    assert_eq!(planned, ["begin_transition due", "park_service to_sleep"]);
}

/// A page with nothing on it that leads to another.
type Page = fn(&str) -> Answer;

/// Every listing but that of the ledger, and when it is made.
fn listings() -> [(Moment, &'static str, Page); 7] {
    [
        (EVENING, "ecs:ListClusters", |token| {
            json!({"clusterArns": [], "nextToken": token}).into()
        }),
        (EVENING, "ecs:ListServices", |token| {
            json!({"serviceArns": [], "nextToken": token}).into()
        }),
        (
            EVENING,
            "application-autoscaling:DescribeScalableTargets",
            |token| json!({"ScalableTargets": [], "NextToken": token}).into(),
        ),
        (EVENING, "autoscaling:DescribeAutoScalingGroups", |token| {
            groups(&[], Some(token))
        }),
        (EVENING, "ecs:DescribeCapacityProviders", |token| {
            json!({"capacityProviders": [], "nextToken": token}).into()
        }),
        (EVENING, "rds:DescribeDBInstances", |token| {
            databases(&[], Some(token))
        }),
        (WAKING_UP, "ecs:ListContainerInstances", |token| {
            json!({"containerInstanceArns": [], "nextToken": token}).into()
        }),
    ]
}

#[tokio::test]
async fn a_listing_that_comes_back_to_a_page_is_a_gap_and_ends() {
    for (moment, operation, page) in listings() {
        for circle in [&["again", "again"][..], &["there", "back", "there"][..]] {
            // Whoever went on would come to what there is.
            let add = |script: Scripted, token: &&str| script.on(operation, page(token));
            let stage = Stage::over(moment, circle.iter().fold(awake(), add)).await;
            let seen = stage.observe().await;
            let [gap] = &seen.gaps[..] else {
                panic!("{operation} {circle:?}: {:?}", seen.gaps);
            };
            assert_eq!(gap.grant, operation);
            assert!(gap.read.contains("comes again and again"), "{gap:?}");
            assert!(gap.hides.covers("dev"), "{gap:?}");
            // What is noted of the environment may be, and nothing else.
            let changed = stage.changes(&seen).remove(&1).unwrap_or_default();
            assert!(changed.is_empty(), "{operation} {circle:?}: {changed:?}");
        }
    }
}

#[tokio::test]
async fn a_ledger_that_comes_back_to_a_page_hides_everything() {
    let circle = |script: Scripted| {
        script.always("dynamodb:Query", |_| {
            let again = json!({"pk": {"S": "scheduled-scaling"}, "sk": {"S": "environment#dev"}});
            let entry = item("environment#dev", &EVENING.progress());
            json!({"Items": [entry], "LastEvaluatedKey": again})
        })
    };
    let stage = Stage::with_ledger(EVENING, awake(), circle).await;
    let seen = stage.observe().await;
    let [gap] = &seen.gaps[..] else {
        panic!("{:?}", seen.gaps);
    };
    assert!(gap.read.contains("comes again and again"), "{gap:?}");
    assert_eq!(
        (gap.grant.as_str(), &gap.hides),
        ("dynamodb:Query", &Hides::Everything)
    );
    assert_eq!(stage.planned(&seen), Vec::<String>::new());
}
