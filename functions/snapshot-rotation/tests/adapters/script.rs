//! An account in two Regions whose every answer is written down, and hands over
//! it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_config::Region;
use aws_config::retry::RetryConfig;
use aws_sdk_rds::config::Credentials;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use snapshot_rotation::{
    Holdings, Place, RotationPolicy, Scope, SnapshotRotation, Snapshots, World,
};
use steward::engine::{Clock, Decision, Function, Observe, Seen};
use steward_sandbox::faults::{Answer, FaultClient, Scripted};

pub(crate) const HERE: &str = "eu-central-1";
pub(crate) const THERE: &str = "eu-west-1";
pub(crate) const RESOURCE_ID: &str = "db-ABCDEFGHIJKLMNOPQRSTUVWXYZ";

pub(crate) fn now() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

/// The inside of a `DBInstance`, field by field.
pub(crate) type Fields = BTreeMap<&'static str, String>;

/// An element for each field.
fn elements(fields: &Fields) -> String {
    let elements = fields
        .iter()
        .map(|(name, value)| format!("<{name}>{value}</{name}>"));
    elements.collect()
}

/// The database `shop-db`.
pub(crate) fn database() -> Fields {
    Fields::from([
        ("DBInstanceIdentifier", "shop-db".to_owned()),
        ("DbiResourceId", RESOURCE_ID.to_owned()),
        (
            "DBInstanceArn",
            format!("arn:aws:rds:{HERE}:123456789012:db:shop-db"),
        ),
        ("DBInstanceStatus", "available".to_owned()),
        ("TagList", String::new()),
    ])
}

/// Its snapshot of so many days ago, as Steward makes it in a Region.
pub(crate) fn snapshot(region: &str, days: i64) -> Fields {
    let taken_at = now() - SignedDuration::from_hours(24 * days);
    let name = format!(
        "steward-shop-db-uvwxyz-{}",
        taken_at.strftime("%Y%m%d-%H%M")
    );
    let mut fields = Fields::from([
        (
            "DBSnapshotArn",
            format!("arn:aws:rds:{region}:123456789012:snapshot:{name}"),
        ),
        ("DBInstanceIdentifier", "shop-db".to_owned()),
        ("DbiResourceId", RESOURCE_ID.to_owned()),
        ("Status", "available".to_owned()),
        ("PercentProgress", "100".to_owned()),
        ("Encrypted", "true".to_owned()),
        ("SnapshotCreateTime", taken_at.to_string()),
        ("OriginalSnapshotCreateTime", taken_at.to_string()),
        (
            "TagList",
            [
                ("steward:managed-by", "snapshot-rotation"),
                ("steward:made-for", RESOURCE_ID),
                ("steward:taken-at", &taken_at.to_string()),
            ]
            .map(|(key, value)| format!("<Tag><Key>{key}</Key><Value>{value}</Value></Tag>"))
            .concat(),
        ),
    ]);
    if region != HERE {
        let source = format!("arn:aws:rds:{HERE}:123456789012:snapshot:{name}");
        fields.insert("SourceDBSnapshotIdentifier", source);
    }
    fields.insert("DBSnapshotIdentifier", name);
    fields
}

/// An answer of `DescribeDBInstances`.
pub(crate) fn databases(all: &[Fields]) -> Answer {
    let all: String = all
        .iter()
        .map(|fields| format!("<DBInstance>{}</DBInstance>", elements(fields)))
        .collect();
    Answer::result(&format!("<DBInstances>{all}</DBInstances>"))
}

/// A page of `DescribeDBSnapshots`, with the marker of the next.
pub(crate) fn page(all: &[Fields], marker: Option<&str>) -> Answer {
    let all: String = all
        .iter()
        .map(|fields| format!("<DBSnapshot>{}</DBSnapshot>", elements(fields)))
        .collect();
    let marker = marker.map(|marker| format!("<Marker>{marker}</Marker>"));
    let marker = marker.unwrap_or_default();
    Answer::result(&format!("<DBSnapshots>{all}</DBSnapshots>{marker}"))
}

/// A Region with these snapshots, and room for more.
pub(crate) fn region(snapshots: Vec<Fields>) -> Scripted {
    Scripted::new()
        .always("rds:DescribeDBSnapshots", move |_| page(&snapshots, None))
        .always("rds:DescribeAccountAttributes", |_| {
            Answer::result(
                "<AccountQuotas><AccountQuota><AccountQuotaName>ManualSnapshots</AccountQuotaName>\
                 <Used>5</Used><Max>100</Max></AccountQuota></AccountQuotas>",
            )
        })
        .always("rds:DescribeDBInstanceAutomatedBackups", |_| {
            Answer::result("<DBInstanceAutomatedBackups/>")
        })
}

/// The Region of the database, with these snapshots.
pub(crate) fn home(snapshots: Vec<Fields>) -> Scripted {
    region(snapshots).always("rds:DescribeDBInstances", |_| databases(&[database()]))
}

/// One rule, which keeps two.
pub(crate) fn policy(rule: Value) -> RotationPolicy {
    let mut all = json!({"name": "all", "databases": {"include": ["*"]}, "keep": {"last": 2}});
    for (key, value) in rule.as_object().unwrap() {
        all[key] = value.clone();
    }
    serde_json::from_value(json!({"rules": [all]})).unwrap()
}

/// Copies to the other Region.
pub(crate) fn copies() -> Value {
    json!({"copies": [{
        "region": THERE,
        "kms_key_id": format!("arn:aws:kms:{THERE}:123456789012:key/k"),
    }]})
}

/// A request as it was sent.
#[derive(Clone, Debug)]
struct Sent {
    region: String,
    body: String,
}

/// Both Regions, each with its script. Writes down what is sent, and how many
/// calls were under way at once.
#[derive(Clone)]
struct Regions {
    sent: Arc<Mutex<Vec<Sent>>>,
    crowd: Arc<Mutex<(usize, usize)>>,
    scripts: BTreeMap<&'static str, Scripted>,
}

impl fmt::Debug for Regions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Regions").finish_non_exhaustive()
    }
}

impl HttpConnector for Regions {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let signed = request.headers().get("authorization").unwrap_or_default();
        let region = signed.split('/').nth(2).unwrap_or_default().to_owned();
        let body = request.body().bytes().unwrap_or_default();
        self.sent.lock().unwrap().push(Sent {
            region: region.clone(),
            body: String::from_utf8(body.to_vec()).unwrap(),
        });
        let script = self.scripts.get(region.as_str());
        let script = script.unwrap_or_else(|| panic!("nothing is known of Region {region}"));
        let answer = script.call(request);
        let crowd = Arc::clone(&self.crowd);
        HttpConnectorFuture::new(async move {
            {
                let mut crowd = crowd.lock().unwrap();
                crowd.0 += 1;
                crowd.1 = crowd.1.max(crowd.0);
            }
            // Whoever else wants to call does so now.
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            let answer = answer.await;
            crowd.lock().unwrap().0 -= 1;
            answer
        })
    }
}

impl HttpClient for Regions {
    fn http_connector(
        &self,
        _: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

/// The function's hands over both Regions.
pub(crate) struct Stage {
    pub(crate) client: FaultClient,
    hands: Snapshots,
    regions: Regions,
}

impl Stage {
    pub(crate) async fn over(here: Scripted, there: Scripted) -> Self {
        let regions = Regions {
            sent: Arc::default(),
            crowd: Arc::default(),
            scripts: BTreeMap::from([(HERE, here), (THERE, there)]),
        };
        let client = FaultClient::new(regions.clone());
        let config = steward::aws::config_loader()
            .region(Region::new(HERE))
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
        Self {
            client,
            hands: Snapshots::at(&config, Clock::Fixed(now())),
            regions,
        }
    }

    pub(crate) async fn observe(&self, policy: &RotationPolicy) -> Seen<World> {
        self.observe_some(policy, &Scope::Everything).await
    }

    pub(crate) async fn observe_some(&self, policy: &RotationPolicy, scope: &Scope) -> Seen<World> {
        Observe::<SnapshotRotation>::observe(&self.hands, policy, scope).await
    }

    /// What was sent to a Region with this action in its form.
    pub(crate) fn sent(&self, region: &str, action: &str) -> Vec<String> {
        let sent = self.regions.sent.lock().unwrap();
        let start = format!("Action={action}&");
        let of = sent
            .iter()
            .filter(|sent| sent.region == region && sent.body.starts_with(&start));
        of.map(|sent| sent.body.clone()).collect()
    }

    /// The most calls that were under way at once.
    pub(crate) fn crowd(&self) -> usize {
        self.regions.crowd.lock().unwrap().1
    }
}

/// What a place holds.
pub(crate) fn at<'w>(seen: &'w Seen<World>, region: &str) -> &'w Holdings {
    &seen.world.places[&Place::here(region.to_owned())]
}

/// `TARGET REASON` of what would be done.
pub(crate) fn planned(policy: &RotationPolicy, seen: &Seen<World>) -> Vec<String> {
    let plan = SnapshotRotation::decide(policy, &Scope::Everything, seen, now());
    let acts = plan
        .items
        .iter()
        .filter(|item| matches!(item.decision, Decision::Act(_)));
    acts.map(|item| {
        use steward::engine::Reason;
        format!("{} {}", item.target, item.reason.code())
    })
    .collect()
}
