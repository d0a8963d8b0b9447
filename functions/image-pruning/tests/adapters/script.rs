//! A small account whose every answer is written down, and hands over it.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_config::Region;
use aws_config::retry::RetryConfig;
use aws_sdk_ecr::config::Credentials;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use image_pruning::{Digest, Elsewhere, ImagePruning, PruningPolicy, Registry, Scope, World};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use steward::engine::{Clock, Observe, Seen};
use steward_sandbox::faults::{Answer, FaultClient, Scripted};

pub(crate) const CLUSTER: &str = "arn:aws:ecs:eu-west-1:123456789012:cluster/shop";
pub(crate) const REGISTRY: &str = "123456789012.dkr.ecr.eu-west-1.amazonaws.com";

pub(crate) fn now() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

pub(crate) fn digest(n: usize) -> String {
    format!("sha256:{n:064x}")
}

/// What `DescribeImages` says of an image of 400 days and `n` hours.
pub(crate) fn image(n: usize, tags: &[&str]) -> Value {
    let age = SignedDuration::from_hours(24 * 400 + i64::try_from(n).unwrap());
    json!({
        "imageDigest": digest(n),
        "imageTags": tags,
        "imagePushedAt": (now() - age).as_second(),
        "imageManifestMediaType": "application/vnd.oci.image.manifest.v1+json",
        "imageSizeInBytes": 1000,
    })
}

pub(crate) fn index(n: usize, tags: &[&str]) -> Value {
    let mut index = image(n, tags);
    index["imageManifestMediaType"] = json!("application/vnd.oci.image.index.v1+json");
    index
}

pub(crate) fn repository(name: &str) -> Value {
    json!({
        "repositoryName": name,
        "repositoryArn": format!("arn:aws:ecr:eu-west-1:123456789012:repository/{name}"),
        "registryId": "123456789012",
    })
}

/// The request's body as JSON.
pub(crate) fn body(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or(Value::Null)
}

/// How ECR says that there is no such policy.
fn none(policy: &str) -> Answer {
    Answer::error(400, &format!("{policy}NotFoundException"), "there is none")
}

/// One repository `app` with these images, and nobody who uses any.
pub(crate) fn account(images: Vec<Value>) -> Scripted {
    Scripted::new()
        .always(
            "ecr:DescribeRepositories",
            |_| json!({"repositories": [repository("app")]}),
        )
        .always("ecr:ListTagsForResource", |_| json!({"tags": []}))
        .always("ecr:DescribeImages", move |request| {
            let asked = body(request)["imageIds"].clone();
            let wanted = |image: &&Value| {
                asked.as_array().is_none_or(|ids| {
                    ids.iter()
                        .any(|id| id["imageDigest"] == image["imageDigest"])
                })
            };
            let found: Vec<&Value> = images.iter().filter(wanted).collect();
            json!({"imageDetails": found})
        })
        .always(
            "ecr:BatchGetImage",
            |_| json!({"images": [], "failures": []}),
        )
        .always(
            "ecr:BatchDeleteImage",
            |request| json!({"imageIds": body(request)["imageIds"], "failures": []}),
        )
        .always(
            "ecr:DescribeRegistry",
            |_| json!({"replicationConfiguration": {"rules": []}}),
        )
        .always("ecr:GetRegistryPolicy", |_| none("RegistryPolicy"))
        .always("ecr:GetRepositoryPolicy", |_| none("RepositoryPolicy"))
        .always("ecr:GetLifecyclePolicy", |_| none("LifecyclePolicy"))
        .always(
            "ecr:DescribePullThroughCacheRules",
            |_| json!({"pullThroughCacheRules": []}),
        )
        .always("ecs:ListClusters", |_| json!({"clusterArns": []}))
        .always(
            "ecs:ListTaskDefinitions",
            |_| json!({"taskDefinitionArns": []}),
        )
        .always("lambda:ListFunctions", |_| json!({"Functions": []}))
        .always("events:ListEventBuses", |_| json!({"EventBuses": []}))
        .always("scheduler:ListSchedules", |_| json!({"Schedules": []}))
}

/// The same with the cluster `shop`, in which nothing is.
pub(crate) fn with_cluster(script: Scripted) -> Scripted {
    script
        .always("ecs:ListClusters", |_| json!({"clusterArns": [CLUSTER]}))
        .always("ecs:ListServices", |_| json!({"serviceArns": []}))
        .always("ecs:ListTasks", |_| json!({"taskArns": []}))
        .always("ecs:ListDaemons", |_| json!({"daemonSummariesList": []}))
}

/// With a running task that `DescribeTasks` tells of like this.
pub(crate) fn with_task(script: Scripted, mut task: Value) -> Scripted {
    let arn = format!("{}/one", CLUSTER.replace(":cluster/", ":task/"));
    task["taskArn"] = json!(arn);
    with_cluster(script)
        .always("ecs:ListTasks", move |request| {
            let running = body(request)["desiredStatus"] == "RUNNING";
            json!({"taskArns": if running { vec![arn.clone()] } else { vec![] }})
        })
        .always(
            "ecs:DescribeTasks",
            move |_| json!({"tasks": [task], "failures": []}),
        )
}

pub(crate) const SERVICE: &str = "arn:aws:ecs:eu-west-1:123456789012:service/shop/web";
pub(crate) const DEFINITION: &str = "arn:aws:ecs:eu-west-1:123456789012:task-definition/web:7";
pub(crate) const REVISION: &str = "arn:aws:ecs:eu-west-1:123456789012:service-revision/shop/web/1";

/// With a service deployed from [`DEFINITION`], at [`REVISION`], whose
/// containers are told like this.
pub(crate) fn with_service(script: Scripted, container_images: Value) -> Scripted {
    with_cluster(script)
        .always("ecs:ListServices", |_| json!({"serviceArns": [SERVICE]}))
        .always("ecs:DescribeServices", |_| {
            json!({"failures": [], "services": [{
                "serviceArn": SERVICE,
                "taskDefinition": DEFINITION,
                "deployments": [{"taskDefinition": DEFINITION}],
                "currentServiceRevisions": [{"arn": REVISION}],
            }]})
        })
        .always(
            "ecs:ListServiceDeployments",
            |_| json!({"serviceDeployments": []}),
        )
        .always("ecs:DescribeServiceRevisions", move |_| {
            json!({"failures": [], "serviceRevisions": [{
                "serviceRevisionArn": REVISION,
                "taskDefinition": DEFINITION,
                "containerImages": container_images,
            }]})
        })
        .always("ecs:DescribeTaskDefinition", |_| {
            json!({"taskDefinition": {"taskDefinitionArn": DEFINITION, "containerDefinitions": [
                {"name": "web", "image": format!("{REGISTRY}/app:stable")},
            ]}})
        })
}

/// With one restore point, `s3://points/shop/a.json`.
pub(crate) fn with_restore_point(script: Scripted, document: String) -> Scripted {
    script
        .always("s3:ListObjectsV2", |_| {
            Answer::Body(
                b"<ListBucketResult><KeyCount>1</KeyCount><IsTruncated>false</IsTruncated>\
                  <Contents><Key>shop/a.json</Key><Size>90</Size></Contents></ListBucketResult>"
                    .to_vec(),
            )
        })
        .always("s3:GetObject", move |_| {
            Answer::Body(document.clone().into_bytes())
        })
}

/// With a role that anybody can assume.
pub(crate) fn with_role(script: Scripted) -> Scripted {
    script.always("sts:AssumeRole", |_| {
        Answer::result(
            "<Credentials><AccessKeyId>ASIAX</AccessKeyId><SecretAccessKey>test</SecretAccessKey>\
             <SessionToken>test</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration>\
             </Credentials>",
        )
    })
}

/// A role of another account, in these Regions.
pub(crate) fn elsewhere(regions: &[&str]) -> Vec<Elsewhere> {
    vec![Elsewhere {
        role_arn: Some("arn:aws:iam::222222222222:role/steward-reads".to_owned()),
        external_id: Some("shop".to_owned()),
        regions: regions.iter().map(ToString::to_string).collect(),
    }]
}

/// A request as it was sent: path and query, and body.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) operation: String,
    pub(crate) uri: String,
    pub(crate) body: Value,
}

/// Writes down what is sent.
#[derive(Clone)]
struct Recorder {
    sent: Arc<Mutex<Vec<Sent>>>,
    inner: Scripted,
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").finish_non_exhaustive()
    }
}

impl HttpConnector for Recorder {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let target = request.headers().get("x-amz-target").unwrap_or_default();
        let body = request.body().bytes().unwrap_or_default();
        self.sent.lock().unwrap().push(Sent {
            operation: target.rsplit('.').next().unwrap_or_default().to_owned(),
            uri: request.uri().to_owned(),
            body: serde_json::from_slice(body).unwrap_or(Value::Null),
        });
        self.inner.call(request)
    }
}

impl HttpClient for Recorder {
    fn http_connector(
        &self,
        _: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

/// The function's hands over a script.
pub(crate) struct Stage {
    pub(crate) hands: Registry,
    pub(crate) client: FaultClient,
    pub(crate) policy: PruningPolicy,
    sent: Arc<Mutex<Vec<Sent>>>,
}

impl Stage {
    pub(crate) async fn over(script: Scripted) -> Self {
        let sent = Arc::new(Mutex::new(Vec::new()));
        let client = FaultClient::new(Recorder {
            sent: Arc::clone(&sent),
            inner: script,
        });
        let config = steward::aws::config_loader()
            .region(Region::new("eu-west-1"))
            .credentials_provider(Credentials::new("123456789012", "test", None, None, "test"))
            .http_client(client.clone())
            // As the function retries, but without its pauses.
            .retry_config(
                RetryConfig::standard()
                    .with_max_attempts(6)
                    .with_initial_backoff(Duration::from_millis(1)),
            )
            .load()
            .await;
        let mut policy = PruningPolicy::default();
        policy.retention.keep_newest = 1;
        Self {
            hands: Registry::at(&config, Clock::Fixed(now())),
            client,
            policy,
            sent,
        }
    }

    pub(crate) async fn observe(&self) -> Seen<World> {
        Observe::<ImagePruning>::observe(&self.hands, &self.policy, &Scope::Everything).await
    }

    /// What was sent to an operation with JSON.
    pub(crate) fn sent(&self, operation: &str) -> Vec<Value> {
        let sent = self.sent.lock().unwrap();
        let of = sent.iter().filter(|sent| sent.operation == operation);
        of.map(|sent| sent.body.clone()).collect()
    }

    /// The addresses of all requests.
    pub(crate) fn uris(&self) -> Vec<String> {
        let sent = self.sent.lock().unwrap();
        sent.iter().map(|sent| sent.uri.clone()).collect()
    }
}

/// The pins of all uses, as words.
pub(crate) fn pins(seen: &Seen<World>) -> Vec<String> {
    let pins = seen.world.uses.iter();
    pins.map(|used| format!("{} {:?}", used.by.kind.code(), used.pin))
        .collect()
}

pub(crate) fn known(seen: &Seen<World>) -> Vec<String> {
    let images = seen.world.repositories["app"].images.keys();
    images
        .map(|digest| Digest::as_str(digest).to_owned())
        .collect()
}
