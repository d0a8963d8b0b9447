//! Whose call a request is, and how its service writes errors.
//!
//! Requests are recognised by what the SDK itself puts into them: the scope of
//! the signature names service and Region, and each protocol has its own place
//! for the operation. Protocols: "AWS JSON", "AWS Query", "AWS `restJson1`", "AWS
//! `restXml`" and "Smithy RPC v2 CBOR" (Smithy 2.0 specification).

use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use serde_json::{Value, json};

use super::cbor;

/// How a service talks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// JSON with `X-Amz-Target`.
    Json,
    /// A form with `Action`, answered in XML.
    Query,
    /// JSON with paths.
    RestJson,
    /// XML with paths.
    RestXml,
    /// CBOR with the operation in the path.
    Cbor,
}

/// A request, recognised.
#[derive(Clone, Debug)]
pub(super) struct Recognised {
    pub(super) protocol: Protocol,
    pub(super) service: String,
    pub(super) operation: String,
    pub(super) region: Option<String>,
    /// The account that its credentials act in.
    pub(super) account: Option<String>,
    pub(super) resource: Option<String>,
    pub(super) query: String,
    /// The body as text, CBOR as JSON; empty when it is a stream or binary.
    pub(super) body: String,
    content_type: String,
    query_compatible: bool,
    has_answer_body: bool,
}

impl Recognised {
    pub(super) fn of(request: &HttpRequest) -> Self {
        let header = |name: &str| request.headers().get(name).unwrap_or_default().to_owned();
        let bytes = request.body().bytes().unwrap_or_default();
        let is_cbor = header("smithy-protocol") == "rpc-v2-cbor";
        let body = if is_cbor {
            cbor::decode(bytes).map_or_else(String::new, |members| members.to_string())
        } else {
            std::str::from_utf8(bytes).unwrap_or_default().to_owned()
        };
        let content_type = header("content-type");
        let target = header("x-amz-target");
        let (path, query) = path_and_query(request.uri());
        let (service, region) = scope(&header("authorization"), request.uri());

        let (protocol, operation, resource) = if is_cbor {
            let operation = path.rsplit('/').next().unwrap_or_default().to_owned();
            (Protocol::Cbor, operation, None)
        } else if !target.is_empty() {
            let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
            (Protocol::Json, operation, json_resource(&body))
        } else if content_type.starts_with("application/x-www-form-urlencoded") {
            let fields = form(&body);
            let operation = fields.iter().find(|(name, _)| name == "Action");
            let operation = operation.map_or("?".to_owned(), |(_, value)| value.clone());
            (Protocol::Query, operation, form_resource(&fields))
        } else {
            let mut segments = segments(path);
            let (protocol, (operation, resource)) = if service == "s3" {
                segments.splice(0..0, bucket_of_host(request.uri()));
                let named = s3_operation(request.method(), &segments, query);
                (Protocol::RestXml, named)
            } else {
                let named = rest_operation(&service, request.method(), &segments);
                (Protocol::RestJson, named)
            };
            (protocol, operation, resource)
        };
        Self {
            protocol,
            service,
            operation,
            region,
            account: account(&header("authorization")),
            resource,
            query: query.to_owned(),
            body,
            content_type,
            query_compatible: header("x-amzn-query-mode") == "true",
            has_answer_body: request.method() != "HEAD",
        }
    }

    fn action(&self) -> String {
        format!("{}:{}", self.service, self.operation)
    }
}

/// Service and Region as the request was signed for: `Credential=AKID/date/
/// region/service/aws4_request`. Unsigned requests go by their host.
fn scope(authorization: &str, uri: &str) -> (String, Option<String>) {
    let credential = authorization
        .split(['=', ',', ' '])
        .skip_while(|part| *part != "Credential")
        .nth(1)
        .unwrap_or_default();
    let mut parts = credential.split('/').skip(2);
    if let (Some(region), Some(service)) = (parts.next(), parts.next()) {
        return (iam_prefix(service).to_owned(), Some(region.to_owned()));
    }
    let host = uri.split("//").nth(1).unwrap_or_default();
    let service = host.split(['.', ':', '/']).next().unwrap_or_default();
    (iam_prefix(service).to_owned(), None)
}

/// The account in the access key id: the sandbox's are account numbers, and
/// those of its sessions hold one.
fn account(authorization: &str) -> Option<String> {
    let (_, key) = authorization.split_once("Credential=")?;
    let key = key.split('/').next()?;
    let number = key.strip_prefix("ASIAX").unwrap_or(key).get(..12)?;
    let is_number = number.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| number.to_owned())
}

/// Where a signing name differs from the service's prefix in IAM policies.
fn iam_prefix(signing_name: &str) -> &str {
    match signing_name {
        "monitoring" => "cloudwatch",
        "api.ecr" => "ecr",
        other => other,
    }
}

fn path_and_query(uri: &str) -> (&str, &str) {
    let rest = uri.split_once("://").map_or(uri, |(_, rest)| rest);
    let rest = rest.find('/').map_or("/", |start| &rest[start..]);
    rest.split_once('?').unwrap_or((rest, ""))
}

/// Keys that name what a JSON call concerns, the narrower first.
const JSON_KEYS: [&str; 20] = [
    "repositoryName",
    "service",
    "services",
    "serviceArn",
    "tasks",
    "task",
    "taskDefinition",
    "containerInstances",
    "serviceRevisionArns",
    "cluster",
    "clusters",
    "ResourceId",
    "resourceArn",
    "SecretId",
    "TableName",
    "QueueUrl",
    "logGroupName",
    "Rule",
    "Name",
    "name",
];

fn json_resource(body: &str) -> Option<String> {
    let body: Value = serde_json::from_str(body).ok()?;
    JSON_KEYS.iter().find_map(|key| match body.get(key)? {
        Value::String(text) => Some(text.clone()),
        Value::Array(list) => Some(list.first()?.as_str()?.to_owned()),
        _ => None,
    })
}

/// Endings of the fields that name what a query call concerns.
const FORM_ENDINGS: [&str; 9] = [
    "SnapshotIdentifier",
    "InstanceIdentifier",
    "ClusterIdentifier",
    "ResourceName",
    "GroupName",
    "Arn",
    "RoleName",
    "Names.member.1",
    "Arns.member.1",
];

fn form_resource(fields: &[(String, String)]) -> Option<String> {
    FORM_ENDINGS.iter().find_map(|ending| {
        let field = fields.iter().find(|(name, _)| name.ends_with(ending));
        field.map(|(_, value)| value.clone())
    })
}

pub(super) fn form(body: &str) -> Vec<(String, String)> {
    body.split('&')
        .filter_map(|field| field.split_once('='))
        .map(|(name, value)| (percent_decoded(name), percent_decoded(value)))
        .collect()
}

pub(crate) fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let escaped = match (first, after) {
            (b'%', [high, low, ..]) => hex(*high).zip(hex(*low)),
            _ => None,
        };
        match escaped {
            Some((high, low)) => {
                bytes.push(high * 16 + low);
                rest = &after[2..];
            }
            None => {
                bytes.push(if *first == b'+' { b' ' } else { *first });
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex(digit: u8) -> Option<u8> {
    let value = char::from(digit).to_digit(16)?;
    u8::try_from(value).ok()
}

fn segments(path: &str) -> Vec<String> {
    path.split('/')
        .filter(|segment| !segment.is_empty())
        .map(percent_decoded)
        .collect()
}

/// The operations of REST services that Steward calls. Unknown paths keep their
/// method and path as a name, so that nothing is recorded wrongly.
fn rest_operation(service: &str, method: &str, path: &[String]) -> (String, Option<String>) {
    let segments: Vec<&str> = path.iter().map(String::as_str).collect();
    let (operation, resource) = match (service, method, &segments[..]) {
        ("lambda", "GET", [_, "functions"]) => ("ListFunctions", ""),
        ("lambda", "GET", [_, "functions", name]) => ("GetFunction", *name),
        ("lambda", "GET", [_, "functions", name, "configuration"]) => {
            ("GetFunctionConfiguration", *name)
        }
        ("lambda", "GET", [_, "functions", name, "versions"]) => ("ListVersionsByFunction", *name),
        ("lambda", "GET", [_, "functions", name, "aliases"]) => ("ListAliases", *name),
        ("lambda", "GET", [_, "functions", name, "concurrency"]) => {
            ("GetFunctionConcurrency", *name)
        }
        ("lambda", "GET", [_, "account-settings"]) => ("GetAccountSettings", ""),
        ("lambda", "POST", [_, "functions", name, "invocations"]) => ("Invoke", *name),
        ("lambda", "GET", [_, "tags", arn]) => ("ListTags", *arn),
        ("scheduler", "GET", ["schedules"]) => ("ListSchedules", ""),
        ("scheduler", "GET", ["schedules", name]) => ("GetSchedule", *name),
        ("scheduler", "POST", ["schedules", name]) => ("CreateSchedule", *name),
        ("scheduler", "PUT", ["schedules", name]) => ("UpdateSchedule", *name),
        ("scheduler", "DELETE", ["schedules", name]) => ("DeleteSchedule", *name),
        _ => return (format!("{method} /{}", path.join("/")), None),
    };
    let resource = (!resource.is_empty()).then(|| resource.to_owned());
    (operation.to_owned(), resource)
}

/// The operations of S3 on a bucket and, below it, a key.
fn s3_operation(method: &str, path: &[String], query: &str) -> (String, Option<String>) {
    let parameter = |name: &str| {
        let mut parts = query
            .split('&')
            .map(|part| part.split_once('=').unwrap_or((part, "")));
        parts.find(|(key, _)| *key == name).map(|(_, value)| value)
    };
    let operation = match (method, path.len()) {
        // The SDK itself names operations that share their method and path.
        _ if parameter("x-id").is_some() => parameter("x-id").unwrap_or_default(),
        ("GET", _) if parameter("list-type").is_some() => "ListObjectsV2",
        ("GET", _) if parameter("versions").is_some() => "ListObjectVersions",
        ("GET", _) if parameter("versioning").is_some() => "GetBucketVersioning",
        ("GET", _) if parameter("encryption").is_some() => "GetBucketEncryption",
        ("HEAD", 0 | 1) => "HeadBucket",
        ("HEAD", _) => "HeadObject",
        ("GET", 2..) => "GetObject",
        ("PUT", 2..) => "PutObject",
        ("DELETE", 2..) => "DeleteObject",
        _ => return (format!("{method} /{}", path.join("/")), None),
    };
    let resource = (!path.is_empty()).then(|| path.join("/"));
    (operation.to_owned(), resource)
}

/// The bucket, when it stands in the host's name rather than in the path. AWS:
/// "Virtual hosting of general purpose buckets" (Amazon S3 User Guide).
fn bucket_of_host(uri: &str) -> Option<String> {
    let host = uri.split_once("://")?.1.split('/').next()?;
    let (bucket, _) = host.split_once(".s3.")?;
    Some(bucket.to_owned())
}

/// The service's answer to a call that comes too often.
///
/// Codes and statuses: "Common Errors" of each API reference; Lambda's own
/// `TooManyRequestsException`; "Error responses" of the Amazon S3 API Reference.
pub(super) fn throttle(call: &Recognised) -> HttpResponse {
    let (status, code) = match (call.protocol, call.service.as_str()) {
        (_, "lambda") => (429, "TooManyRequestsException"),
        (Protocol::RestXml, _) => (503, "SlowDown"),
        (Protocol::RestJson, _) => (429, "ThrottlingException"),
        (Protocol::Query, _) => (400, "Throttling"),
        (Protocol::Cbor | Protocol::Json, _) => (400, "ThrottlingException"),
    };
    respond_with_error(call, status, code, "Rate exceeded")
}

/// The service's answer to a caller without the permission, in IAM's words.
/// AWS: "Troubleshoot access denied error messages" (IAM User Guide).
pub(super) fn deny(call: &Recognised) -> HttpResponse {
    let (status, code) = match call.protocol {
        Protocol::RestXml | Protocol::Query => (403, "AccessDenied"),
        Protocol::RestJson => (403, "AccessDeniedException"),
        Protocol::Cbor => (403, "AccessDenied"),
        Protocol::Json => (400, "AccessDeniedException"),
    };
    let action = call.action();
    let message = format!(
        "User: arn:aws:sts::123456789012:assumed-role/steward/test is not authorized to perform: \
         {action} because no identity-based policy allows the {action} action"
    );
    respond_with_error(call, status, code, &message)
}

/// An error as the service would write it.
pub(super) fn respond_with_error(
    call: &Recognised,
    status: u16,
    code: &str,
    message: &str,
) -> HttpResponse {
    let mut headers = Vec::new();
    if call.query_compatible {
        headers.push(("x-amzn-query-error", format!("{code};Sender")));
    }
    let body = match call.protocol {
        Protocol::Json => json!({"__type": code, "message": message})
            .to_string()
            .into(),
        Protocol::Cbor => cbor::encode(&json!({"__type": code, "message": message})),
        Protocol::RestJson => {
            headers.push(("x-amzn-errortype", code.to_owned()));
            json!({"message": message}).to_string().into()
        }
        Protocol::Query => format!(
            "<ErrorResponse><Error><Type>Sender</Type><Code>{}</Code><Message>{}</Message></Error>\
             <RequestId>{REQUEST_ID}</RequestId></ErrorResponse>",
            xml_escaped(code),
            xml_escaped(message)
        )
        .into(),
        Protocol::RestXml => format!(
            "<Error><Code>{}</Code><Message>{}</Message></Error>",
            xml_escaped(code),
            xml_escaped(message)
        )
        .into(),
    };
    respond(call, status, &headers, body)
}

const REQUEST_ID: &str = "00000000-0000-0000-0000-000000000000";

/// An answer in the protocol of its call.
pub(super) fn respond(
    call: &Recognised,
    status: u16,
    headers: &[(&'static str, String)],
    body: Vec<u8>,
) -> HttpResponse {
    let status = StatusCode::try_from(status)
        .unwrap_or_else(|error| panic!("{status} is no HTTP status: {error}"));
    // A body that answers HEAD never leaves the server.
    let body = if call.has_answer_body {
        body
    } else {
        Vec::new()
    };
    let mut response = HttpResponse::new(status, SdkBody::from(body));
    let content_type = match call.protocol {
        Protocol::Json => call.content_type.as_str(),
        Protocol::RestJson => "application/json",
        Protocol::Query => "text/xml",
        Protocol::RestXml => "application/xml",
        Protocol::Cbor => "application/cbor",
    };
    let answer = response.headers_mut();
    answer.insert("content-type", content_type.to_owned());
    answer.insert("x-amzn-requestid", REQUEST_ID);
    if call.protocol == Protocol::Cbor {
        answer.insert("smithy-protocol", "rpc-v2-cbor");
    }
    for (name, value) in headers {
        answer.insert(*name, value.clone());
    }
    response
}

pub(super) fn xml_escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recognised(method: &str, uri: &str) -> (String, Option<String>) {
        let mut request = HttpRequest::get(uri).unwrap();
        request.set_method(method).unwrap();
        let call = Recognised::of(&request);
        (call.action(), call.resource)
    }

    #[test]
    fn recognises_rest_calls_by_method_and_path() {
        let lambda = "https://lambda.eu-west-1.amazonaws.com";
        let hosted = "https://policies.s3.eu-west-1.amazonaws.com";
        let path_style = "https://s3.eu-west-1.amazonaws.com/policies";
        for (method, uri, action, resource) in [
            (
                "GET",
                format!("{lambda}/2015-03-31/functions/?Marker=x"),
                "lambda:ListFunctions",
                None,
            ),
            (
                "GET",
                format!(
                    "{lambda}/2017-03-31/tags/arn%3Aaws%3Alambda%3Aeu-west-1%3A1%3Afunction%3Aa"
                ),
                "lambda:ListTags",
                Some("arn:aws:lambda:eu-west-1:1:function:a"),
            ),
            (
                "POST",
                format!("{lambda}/2015-03-31/functions/a/invocations"),
                "lambda:Invoke",
                Some("a"),
            ),
            (
                "PATCH",
                format!("{lambda}/2099-01-01/dreams"),
                "lambda:PATCH /2099-01-01/dreams",
                None,
            ),
            (
                "GET",
                format!("{path_style}/a/b.yaml"),
                "s3:GetObject",
                Some("policies/a/b.yaml"),
            ),
            (
                "GET",
                format!("{path_style}?list-type=2&prefix=a"),
                "s3:ListObjectsV2",
                Some("policies"),
            ),
            (
                "HEAD",
                path_style.to_owned(),
                "s3:HeadBucket",
                Some("policies"),
            ),
            (
                "HEAD",
                format!("{path_style}/a"),
                "s3:HeadObject",
                Some("policies/a"),
            ),
            (
                "PUT",
                format!("{path_style}/a?x-id=CopyObject"),
                "s3:CopyObject",
                Some("policies/a"),
            ),
        ] {
            let expected = (action.to_owned(), resource.map(str::to_owned));
            assert_eq!(recognised(method, &uri), expected, "{method} {uri}");
        }
        // An unsigned request to a bucket's own host says nowhere that it is S3's.
        assert_eq!(
            bucket_of_host(&format!("{hosted}/a")).as_deref(),
            Some("policies")
        );
        assert_eq!(bucket_of_host(path_style), None);
    }

    #[test]
    fn reads_service_and_region_from_the_signature() {
        let authorization = "AWS4-HMAC-SHA256 Credential=AKID/20261122/eu-west-1/monitoring/\
            aws4_request, SignedHeaders=host, Signature=0";
        assert_eq!(
            scope(authorization, "http://127.0.0.1:4566/"),
            ("cloudwatch".to_owned(), Some("eu-west-1".to_owned()))
        );
    }

    #[test]
    fn decodes_forms_and_survives_broken_ones() {
        assert_eq!(percent_decoded("rds%3Aorders+2"), "rds:orders 2");
        assert_eq!(percent_decoded("100%"), "100%");
        assert_eq!(percent_decoded("%zz%4"), "%zz%4");
    }
}
