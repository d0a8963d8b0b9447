//! The AWS of a scenario: one TLS server per service on 127.0.0.1, with the
//! scenario's latency and rates. It counts calls and connections.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rcgen::{CertificateParams, Issuer, KeyPair};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::cbor;
use crate::ecr::Registry;
use crate::ecs::Clusters;
use crate::environments::Environments;
use crate::incidents::Incidents;
use crate::pruning::Pruning;
use crate::rds::{Asked, Databases};
use crate::s3::{self, Buckets};
use crate::scenario::{REGION, Scenario, Work};

/// The services that the functions talk to, as the SDK's endpoint variables
/// name them (AWS SDKs and Tools Reference Guide, "Service-specific endpoints").
const SERVICES: [&str; 17] = [
    "APPLICATION_AUTO_SCALING",
    "AUTO_SCALING",
    "CLOUDWATCH",
    "DYNAMODB",
    "ECR",
    "ECS",
    "ELASTIC_LOAD_BALANCING_V2",
    "EVENTBRIDGE",
    "KMS",
    "LAMBDA",
    "RDS",
    "S3",
    "SCHEDULER",
    "SECRETS_MANAGER",
    "SNS",
    "SSM",
    "STS",
];

/// Where a Linux distribution keeps the roots that it trusts. They are trusted
/// here too, because reading them is part of every cold start.
const SYSTEM_ROOTS: &str = "/etc/ssl/certs/ca-certificates.crt";

/// What a service answers.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// Beside the content type.
    pub(crate) headers: Vec<(&'static str, &'static str)>,
    pub(crate) content_type: &'static str,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json(value: &Value) -> Self {
        Self::body(value.to_string())
    }

    /// A body that is JSON already.
    pub(crate) fn body(body: impl Into<Bytes>) -> Self {
        Self {
            content_type: "application/x-amz-json-1.1",
            body: body.into(),
            ..Self::status(StatusCode::OK)
        }
    }

    /// A body as CloudWatch writes it ("Smithy RPC v2 CBOR", Smithy 2.0 specification).
    pub(crate) fn cbor(value: &Value) -> Self {
        Self {
            headers: vec![("smithy-protocol", "rpc-v2-cbor")],
            content_type: "application/cbor",
            body: cbor::encode(value).into(),
            ..Self::status(StatusCode::OK)
        }
    }

    pub(crate) fn cbor_error(code: &str) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            ..Self::cbor(&json!({"__type": code, "message": code}))
        }
    }

    pub(crate) fn xml(body: impl Into<Bytes>) -> Self {
        Self {
            body: body.into(),
            ..Self::status(StatusCode::OK)
        }
    }

    /// Nothing but a status.
    pub(crate) fn status(status: StatusCode) -> Self {
        Self {
            status,
            headers: vec![],
            content_type: "text/xml",
            body: Bytes::new(),
        }
    }

    pub(crate) fn error(code: &str, message: &str) -> Self {
        let body = json!({"__type": code, "message": message}).to_string();
        Self {
            status: StatusCode::BAD_REQUEST,
            ..Self::body(body)
        }
    }
}

/// What the function under measurement did to this AWS.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// Calls by operation, `ecr:DescribeImages`; throttled ones too.
    pub(crate) calls: BTreeMap<String, usize>,
    /// Calls by operation that were answered with a throttle.
    pub(crate) throttled: BTreeMap<String, usize>,
    /// TLS connections by service.
    pub(crate) connections: BTreeMap<&'static str, usize>,
    /// When the first call came.
    pub(crate) first_call: Option<Instant>,
    /// The calls that change something on AWS, without what is only remembered.
    pub(crate) changes: Vec<Change>,
}

/// A call that changes something.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change {
    /// When it came.
    pub(crate) at: Instant,
    /// How many calls came before it.
    pub(crate) after: usize,
}

impl Seen {
    /// How many calls there were.
    pub(crate) fn all_calls(&self) -> usize {
        self.calls.values().sum()
    }
}

/// Whether a call changes something that is not Steward's own.
fn is_change(service: &str, operation: &str) -> bool {
    let reads = ["Describe", "List", "Get", "BatchGet", "Head", "Query"];
    let is_own = matches!(service, "DYNAMODB" | "S3" | "SNS" | "SSM" | "STS");
    !is_own && !reads.iter().any(|verb| operation.starts_with(verb))
}

/// How fast an operation may be called before it throttles.
struct Bucket {
    tokens: f64,
    filled: Instant,
}

/// An AWS; it is gone when this is dropped.
pub(crate) struct Aws {
    state: Arc<State>,
    servers: Vec<JoinHandle<()>>,
    /// The endpoint variables of the function's environment.
    pub(crate) endpoints: Vec<(String, String)>,
    /// The roots to trust, in PEM.
    pub(crate) roots: String,
}

struct State {
    latency: Duration,
    rates: Vec<(&'static str, f64, f64)>,
    holdings: Holdings,
    buckets: Mutex<BTreeMap<String, Bucket>>,
    seen: Mutex<Seen>,
}

/// What the function under measurement works on.
enum Holdings {
    Registry(Registry, Clusters),
    Databases(Databases, Buckets, Clusters),
    Environments(Environments),
    Incidents(Incidents),
}

/// A request, read whole.
struct Call {
    head: hyper::http::request::Parts,
    body: Bytes,
}

impl State {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the rate of an operation, in calls per second and calls at once,
    /// still lets this call through.
    fn lets_through(&self, operation: &str) -> bool {
        let rate = self.rates.iter().find(|(of, ..)| *of == operation);
        let Some((_, per_second, burst)) = rate else {
            return true;
        };
        let now = Instant::now();
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = buckets.entry(operation.to_owned()).or_insert(Bucket {
            tokens: *burst,
            filled: now,
        });
        let gained = now.duration_since(bucket.filled).as_secs_f64() * per_second;
        bucket.tokens = (bucket.tokens + gained).min(*burst);
        bucket.filled = now;
        let through = bucket.tokens >= 1.0;
        if through {
            bucket.tokens -= 1.0;
        }
        through
    }

    fn answer(&self, service: &str, operation: &str, call: &Call) -> Answer {
        let asked: Value = match service {
            "CLOUDWATCH" => cbor::decode(&call.body).unwrap_or_default(),
            _ => serde_json::from_slice(&call.body).unwrap_or_default(),
        };
        match (service, operation, &self.holdings) {
            ("ECR", _, Holdings::Registry(registry, _)) => registry.answer(operation, &asked),
            ("RDS", _, Holdings::Databases(databases, ..)) => {
                databases.answer(operation, &call.form())
            }
            ("S3", _, Holdings::Databases(_, buckets, _)) => {
                let query = call.head.uri.query().unwrap_or_default();
                buckets.answer(operation, call.head.uri.path(), query)
            }
            ("ECS", _, Holdings::Registry(_, clusters) | Holdings::Databases(_, _, clusters)) => {
                clusters.answer(operation, &asked)
            }
            ("LAMBDA", "ListFunctions", _) => Answer::json(&json!({"Functions": []})),
            ("EVENTBRIDGE", "ListEventBuses", _) => Answer::json(&json!({"EventBuses": [
                {"Name": "default", "Arn": "arn:aws:events:eu-central-1:123456789012:event-bus/default"}
            ]})),
            ("EVENTBRIDGE", "ListRules", _) => Answer::json(&json!({"Rules": []})),
            ("SCHEDULER", "ListSchedules", _) => Answer::json(&json!({"Schedules": []})),
            ("APPLICATION_AUTO_SCALING", "DescribeScalableTargets", Holdings::Databases(..)) => {
                Answer::json(&json!({"ScalableTargets": []}))
            }
            ("APPLICATION_AUTO_SCALING", "DescribeScalingPolicies", _) => {
                Answer::json(&json!({"ScalingPolicies": []}))
            }
            ("APPLICATION_AUTO_SCALING", "DescribeScheduledActions", _) => {
                Answer::json(&json!({"ScheduledActions": []}))
            }
            ("SSM", "GetParameters", _) => {
                let off = |name: &Value| json!({"Name": name, "Type": "String", "Value": "off", "Version": 1});
                let names = asked["Names"].as_array().cloned().unwrap_or_default();
                let parameters: Vec<Value> = names.iter().map(off).collect();
                Answer::json(&json!({"Parameters": parameters, "InvalidParameters": []}))
            }
            (_, _, Holdings::Environments(environments)) => {
                environments.answer(service, operation, &asked, &call.form())
            }
            (_, _, Holdings::Incidents(incidents)) => {
                incidents.answer(service, operation, &asked, &call.form())
            }
            _ => Answer::error("UnknownOperationException", operation),
        }
    }
}

impl Call {
    /// The operation of a request: from its target or its form where the protocol
    /// has one, and from its path where it has not.
    fn operation(&self, service: &str) -> String {
        let target = self.head.headers.get("x-amz-target");
        if let Some(target) = target.and_then(|target| target.to_str().ok()) {
            return target.rsplit('.').next().unwrap_or_default().to_owned();
        }
        if let Some(action) = self.form().parameters.remove("Action") {
            return action;
        }
        let path = self.head.uri.path();
        match path.trim_end_matches('/') {
            _ if service == "S3" => s3::operation_of(&self.head.method, path),
            path if service == "CLOUDWATCH" => {
                let operation = path.rsplit('/').next();
                operation.unwrap_or_default().to_owned()
            }
            "/2015-03-31/functions" => "ListFunctions".to_owned(),
            "/schedules" => "ListSchedules".to_owned(),
            path => format!("{} {path}", self.head.method),
        }
    }

    /// The form that a request of the query protocol has in its body.
    fn form(&self) -> Asked<'_> {
        let text = std::str::from_utf8(&self.body).unwrap_or_default();
        let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
        Asked {
            region: self.region(),
            parameters: pairs
                .map(|(name, value)| (name.to_owned(), decoded(value)))
                .collect(),
        }
    }

    /// The Region that a request was signed for.
    fn region(&self) -> &str {
        let signed = self.head.headers.get("authorization");
        let signed = signed.and_then(|value| value.to_str().ok());
        let scope = signed.and_then(|value| value.split("Credential=").nth(1));
        let region = scope.and_then(|scope| scope.split('/').nth(2));
        region.unwrap_or(REGION)
    }
}

/// A value of a form, with what is percent-encoded in it.
fn decoded(value: &str) -> String {
    let mut parts = value.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let hex = part.get(..2);
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                bytes.extend_from_slice(part.get(2..).unwrap_or_default().as_bytes());
            }
            None => bytes.extend_from_slice(part.as_bytes()),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

impl Aws {
    /// Starts the servers of a scenario, with nothing counted.
    pub(crate) async fn start(scenario: &Scenario) -> Result<Self> {
        let holdings = match &scenario.work {
            Work::Pruning(pruning) => {
                Holdings::Registry(Registry::of(pruning), Clusters::of(pruning))
            }
            Work::Rotation(rotation) => {
                let clusters = Clusters::of(&Pruning {
                    services: rotation.services,
                    ..Pruning::default()
                });
                let databases = Databases::of(rotation);
                let buckets = Buckets::of(rotation);
                Holdings::Databases(databases, buckets, clusters)
            }
            Work::Scaling(scaling) => Holdings::Environments(Environments::of(scaling)),
            Work::Remediation(remediation) => Holdings::Incidents(Incidents::of(remediation)),
        };
        let state = Arc::new(State {
            latency: scenario.latency,
            rates: scenario.rates.clone(),
            holdings,
            buckets: Mutex::default(),
            seen: Mutex::default(),
        });
        let authority = Authority::new()?;
        let mut aws = Self {
            state: Arc::clone(&state),
            servers: vec![],
            endpoints: vec![],
            roots: authority.roots(),
        };
        for service in SERVICES {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
            let address = listener.local_addr()?;
            let tls = authority.acceptor(address)?;
            aws.endpoints.push((
                format!("AWS_ENDPOINT_URL_{service}"),
                format!("https://{address}"),
            ));
            aws.servers.push(tokio::spawn(serve(
                listener,
                tls,
                service,
                Arc::clone(&state),
            )));
        }
        Ok(aws)
    }

    /// What was called and connected so far.
    pub(crate) fn seen(&self) -> Seen {
        self.state.seen().clone()
    }

    /// How many images or snapshots there are, or things that are awake, or to which
    /// nothing was done.
    pub(crate) fn left(&self) -> usize {
        match &self.state.holdings {
            Holdings::Registry(registry, _) => registry.images_left(),
            Holdings::Databases(databases, ..) => databases.snapshots_left(),
            Holdings::Environments(environments) => environments.awake(),
            Holdings::Incidents(incidents) => incidents.untreated(),
        }
    }
}

impl Drop for Aws {
    fn drop(&mut self) {
        for server in &self.servers {
            server.abort();
        }
    }
}

async fn serve(listener: TcpListener, tls: TlsAcceptor, service: &'static str, state: Arc<State>) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        // Small answers go out at once, as AWS sends them.
        let _ = stream.set_nodelay(true);
        *state.seen().connections.entry(service).or_default() += 1;
        let (tls, state) = (tls.clone(), Arc::clone(&state));
        connections.spawn(async move {
            // The function may go away at any point.
            let Ok(stream) = tls.accept(stream).await else {
                return;
            };
            let answer = service_fn(|request| respond(request, service, &state));
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), answer)
                .await;
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn respond(
    request: Request<Incoming>,
    service: &'static str,
    state: &State,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let arrived = Instant::now();
    let (head, body) = request.into_parts();
    let body = body
        .collect()
        .await
        .map(http_body_util::Collected::to_bytes)
        .unwrap_or_default();
    let call = Call { head, body };
    let operation = call.operation(service);
    let action = format!("{}:{operation}", service.to_lowercase());
    let through = state.lets_through(&action);
    {
        let mut seen = state.seen();
        seen.first_call.get_or_insert(arrived);
        if is_change(service, &operation) {
            let after = seen.all_calls();
            seen.changes.push(Change { at: arrived, after });
        }
        if !through {
            *seen.throttled.entry(action.clone()).or_default() += 1;
        }
        *seen.calls.entry(action).or_default() += 1;
    }
    let answer = if through {
        state.answer(service, &operation, &call)
    } else {
        Answer::error("ThrottlingException", "Rate exceeded")
    };
    tokio::time::sleep_until(arrived + state.latency).await;
    let mut response = Response::new(Full::new(answer.body));
    *response.status_mut() = answer.status;
    let content_type = [("content-type", answer.content_type)];
    for (name, value) in content_type.into_iter().chain(answer.headers) {
        let value = hyper::header::HeaderValue::from_static(value);
        response.headers_mut().insert(name, value);
    }
    Ok(response)
}

/// A certificate authority that nobody but the measured process trusts.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Result<Self> {
        let mut parameters = CertificateParams::new(vec![])?;
        parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = KeyPair::generate()?;
        let certificate = parameters.self_signed(&key)?;
        Ok(Self {
            pem: certificate.pem(),
            issuer: Issuer::new(parameters, key),
        })
    }

    /// The system's roots, where it has any, and this one.
    fn roots(&self) -> String {
        let system = std::fs::read_to_string(SYSTEM_ROOTS).unwrap_or_default();
        format!("{system}\n{}", self.pem)
    }

    fn acceptor(&self, address: SocketAddr) -> Result<TlsAcceptor> {
        let key = KeyPair::generate()?;
        let parameters = CertificateParams::new(vec![address.ip().to_string()])?;
        let certificate = parameters.signed_by(&key, &self.issuer)?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .context("the certificate of the stub cannot be used")?;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}
