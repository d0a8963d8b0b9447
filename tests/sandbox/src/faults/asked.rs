//! What IAM judges a call by: its action, and the ARNs of what it names.
//!
//! Actions and resource types are those of the Service Authorization Reference.
//! A call that names nothing that its action has a resource type for is judged
//! on `*`, which only a statement about everything allows.

use serde_json::Value;

use super::wire::{Recognised, form};

/// The IAM action of an operation; `None` where IAM is not asked.
pub(super) fn permission(service: &str, operation: &str) -> Option<String> {
    let action = match (service, operation) {
        // "No permissions are required to perform this operation" (AWS STS API
        // Reference).
        ("sts", "GetCallerIdentity") => return None,
        // "Actions, resources, and condition keys for Amazon S3", "… for Amazon
        // SNS", "… for AWS Lambda".
        ("s3", "ListObjectsV2" | "HeadBucket") => "ListBucket",
        ("s3", "HeadObject") => "GetObject",
        ("sns", "PublishBatch") => "Publish",
        ("lambda", "Invoke") => "InvokeFunction",
        (_, operation) => operation,
    };
    Some(format!("{service}:{action}"))
}

/// The ARNs that a call is judged on, in the account and Region that it is for.
pub(super) fn judged_on(call: &Recognised) -> Vec<String> {
    let body: Value = serde_json::from_str(&call.body).unwrap_or(Value::Null);
    let account = call.account.as_deref().unwrap_or_default();
    let region = call.region.as_deref().unwrap_or_default();
    let of = |rest: String| format!("arn:aws:{}:{region}:{account}:{rest}", call.service);
    let arns = match (call.service.as_str(), call.operation.as_str()) {
        ("ecr", "DescribeRepositories") => match texts(&body["repositoryNames"]) {
            // All of them: "… is not authorized to perform:
            // ecr:DescribeRepositories on resource: arn:…:repository/*".
            names if names.is_empty() => vec![of("repository/*".to_owned())],
            names => each(names, |name| of(format!("repository/{name}"))),
        },
        ("ecr", _) => match texts(&body["resourceArn"]) {
            arns if arns.is_empty() => each(texts(&body["repositoryName"]), |name| {
                of(format!("repository/{name}"))
            }),
            arns => arns,
        },
        ("ecs", _) => ecs(&body, &of),
        ("autoscaling", _) => groups(call, &of),
        // The id of a target is no part of the request.
        ("application-autoscaling", "RegisterScalableTarget") => {
            vec![of("scalable-target/*".to_owned())]
        }
        ("ssm", "GetCalendarState") => each(texts(&body["CalendarNames"]), |name| {
            match name.starts_with("arn:") {
                true => name,
                false => of(format!("document/{name}")),
            }
        }),
        ("ssm", _) => each(
            [texts(&body["Names"]), texts(&body["Name"])].concat(),
            |name| of(format!("parameter/{}", name.trim_start_matches('/'))),
        ),
        ("lambda", _) => each(call.resource.iter().cloned().collect(), |name| {
            match name.starts_with("arn:") {
                true => name,
                false => of(format!("function:{name}")),
            }
        }),
        ("scheduler", "GetSchedule") => {
            let group = call.query.split('&').find_map(|part| {
                let (key, value) = part.split_once('=')?;
                (key == "groupName").then_some(value)
            });
            let group = group.unwrap_or("default").to_owned();
            each(call.resource.iter().cloned().collect(), |name| {
                of(format!("schedule/{group}/{name}"))
            })
        }
        ("events", "ListTargetsByRule") => {
            // A rule of another bus than the default one stands below it.
            let bus = texts(&body["EventBusName"]).into_iter().next();
            let bus = bus.map_or_else(String::new, |bus| {
                let name = bus.rsplit('/').next().unwrap_or_default();
                match name {
                    "default" => String::new(),
                    name => format!("{name}/"),
                }
            });
            each(texts(&body["Rule"]), |rule| of(format!("rule/{bus}{rule}")))
        }
        ("s3", _) => each(call.resource.iter().cloned().collect(), |path| {
            format!("arn:aws:s3:::{path}")
        }),
        ("rds", _) => rds(call, &of),
        ("cloudwatch", operation) => alarms(operation, &body, &of),
        ("kms", _) => texts(&body["KeyId"]),
        ("dynamodb", _) => each(texts(&body["TableName"]), |name| {
            of(format!("table/{name}"))
        }),
        ("secretsmanager", _) => texts(&body["SecretId"]),
        // Both name one ARN, of the topic and of the role.
        ("sns" | "sts", _) => call.resource.iter().cloned().collect(),
        _ => Vec::new(),
    };
    if arns.is_empty() {
        vec!["*".to_owned()]
    } else {
        arns
    }
}

/// What a call of Amazon ECS names: ARNs, or services of a cluster by name
/// ("Actions, resources, and condition keys for Amazon Elastic Container
/// Service").
fn ecs(body: &Value, of: &impl Fn(String) -> String) -> Vec<String> {
    let arns = [
        "services",
        "service",
        "serviceRevisionArns",
        "serviceDeploymentArn",
        "tasks",
        "task",
        "containerInstances",
        "daemonArn",
        "daemonRevisionArns",
        "resourceArn",
    ];
    let named = arns.iter().flat_map(|key| texts(&body[key]));
    let mut judged: Vec<String> = named.filter(|text| text.starts_with("arn:")).collect();
    // The end of a deployment is judged on its service as well.
    let of_deployment = texts(&body["serviceDeploymentArn"]).into_iter();
    judged.extend(of_deployment.filter_map(|arn| {
        let (service, _) = arn.rsplit_once('/')?;
        Some(service.replacen(":service-deployment/", ":service/", 1))
    }));
    if let Some(cluster) = body["cluster"].as_str() {
        let cluster = cluster.rsplit('/').next().unwrap_or_default();
        let services = [texts(&body["services"]), texts(&body["service"])].concat();
        let by_name = services
            .into_iter()
            .filter(|name| !name.starts_with("arn:"));
        judged.extend(by_name.map(|name| of(format!("service/{cluster}/{name}"))));
    }
    judged
}

/// What a call of Amazon EC2 Auto Scaling changes. The id in the ARN of a group
/// is no part of a request. Listings take no resource ("Actions, resources, and
/// condition keys for Amazon EC2 Auto Scaling").
fn groups(call: &Recognised, of: &impl Fn(String) -> String) -> Vec<String> {
    if call.operation.starts_with("Describe") {
        return Vec::new();
    }
    if call.operation == "SetInstanceHealth" {
        // It names an instance, and is judged on its group.
        return vec![of("autoScalingGroup:*:autoScalingGroupName/*".to_owned())];
    }
    let is_name = |field: &str| {
        field == "AutoScalingGroupName"
            || (field.starts_with("Tags.member.") && field.ends_with(".ResourceId"))
    };
    let fields = form(&call.body).into_iter();
    let names = fields.filter(|(field, _)| is_name(field));
    let mut judged: Vec<String> = names
        .map(|(_, name)| of(format!("autoScalingGroup:*:autoScalingGroupName/{name}")))
        .collect();
    judged.dedup();
    judged
}

/// What a call of CloudWatch names: an ARN, alarms or a mute rule. What may
/// return composite alarms is judged on everything (`DescribeAlarms`, Amazon
/// CloudWatch API Reference; "Actions, resources, and condition keys for Amazon
/// CloudWatch").
fn alarms(operation: &str, body: &Value, of: &impl Fn(String) -> String) -> Vec<String> {
    let arns = texts(&body["ResourceARN"]);
    if !arns.is_empty() {
        return arns;
    }
    let asks_for_composites = texts(&body["AlarmTypes"])
        .iter()
        .any(|kind| kind == "CompositeAlarm");
    if asks_for_composites {
        return Vec::new();
    }
    let names = [texts(&body["AlarmNames"]), texts(&body["AlarmName"])].concat();
    let rules = texts(&body["AlarmMuteRuleName"]);
    if operation.starts_with("DescribeAlarm") && names.is_empty() {
        return vec![of("alarm:*".to_owned())];
    }
    let names = each(names, |name| of(format!("alarm:{name}")));
    let rules = each(rules, |name| of(format!("alarm-mute-rule:{name}")));
    [names, rules].concat()
}

/// What a call of RDS names; all of them where a listing names none. What makes a
/// snapshot is judged on it and on what it is made of ("Actions, resources, and
/// condition keys for Amazon RDS").
fn rds(call: &Recognised, of: &impl Fn(String) -> String) -> Vec<String> {
    const NAMES: [(&str, &str); 7] = [
        ("DBInstanceIdentifier", "db"),
        ("DBSnapshotIdentifier", "snapshot"),
        ("SourceDBSnapshotIdentifier", "snapshot"),
        ("TargetDBSnapshotIdentifier", "snapshot"),
        ("DBParameterGroupName", "pg"),
        ("OptionGroupName", "og"),
        ("ResourceName", ""),
    ];
    let fields = form(&call.body);
    let named = NAMES.iter().filter_map(|(field, kind)| {
        let (_, value) = fields.iter().find(|(name, _)| name == field)?;
        let is_arn = value.starts_with("arn:");
        Some(if is_arn {
            value.clone()
        } else {
            of(format!("{kind}:{value}"))
        })
    });
    let named: Vec<String> = named.collect();
    match (named.is_empty(), call.operation.as_str()) {
        (true, "DescribeDBInstances") => vec![of("db:*".to_owned())],
        (true, "DescribeDBSnapshots") => vec![of("snapshot:*".to_owned())],
        _ => named,
    }
}

/// A text, or the texts of a list.
fn texts(value: &Value) -> Vec<String> {
    let list = value
        .as_array()
        .map_or_else(|| std::slice::from_ref(value), |list| list.as_slice());
    let texts = list.iter().filter_map(Value::as_str);
    texts.map(str::to_owned).collect()
}

fn each(names: Vec<String>, arn: impl Fn(String) -> String) -> Vec<String> {
    names.into_iter().map(arn).collect()
}

#[cfg(test)]
mod tests {
    use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
    use aws_smithy_types::body::SdkBody;

    use super::*;

    /// A call of account 123456789012, signed for a service in us-east-1.
    fn asked(service: &str, uri: &str, target: &str, body: &str) -> (Option<String>, Vec<String>) {
        let mut request = HttpRequest::get(uri).unwrap();
        *request.body_mut() = SdkBody::from(body);
        let scope = format!(
            "Credential=ASIAX1234567890120123456789ABCDEF/20261122/us-east-1/{service}/aws4_request"
        );
        let authorization = format!("AWS4-HMAC-SHA256 {scope}, SignedHeaders=host");
        let headers = request.headers_mut();
        headers.insert("authorization", authorization);
        if !target.is_empty() {
            headers.insert("x-amz-target", target.to_owned());
        }
        let call = Recognised::of(&request);
        (permission(&call.service, &call.operation), judged_on(&call))
    }

    #[test]
    fn a_call_is_judged_on_what_it_names_and_else_on_everything() {
        const HERE: &str = "http://127.0.0.1:1";
        let json =
            |service, operation: &str, body| asked(service, HERE, &format!("X.{operation}"), body);
        let get = |service, path: &str| asked(service, &format!("{HERE}{path}"), "", "");
        let query = |service: &str, body: &str| {
            let request = HttpRequest::get(HERE).unwrap();
            let mut asked = Recognised::of(&request);
            asked.service = service.to_owned();
            asked.region = Some("us-east-1".to_owned());
            asked.account = Some("123456789012".to_owned());
            asked.operation = form(body)[0].1.clone();
            asked.body = body.to_owned();
            (permission(service, &asked.operation), judged_on(&asked))
        };
        for ((action, judged_on), expected) in [
            (
                query(
                    "rds",
                    "Action=CreateDBSnapshot&DBInstanceIdentifier=a&DBSnapshotIdentifier=b",
                ),
                (
                    "rds:CreateDBSnapshot",
                    vec![
                        "arn:aws:rds:us-east-1:123456789012:db:a",
                        "arn:aws:rds:us-east-1:123456789012:snapshot:b",
                    ],
                ),
            ),
            (
                query(
                    "rds",
                    "Action=CopyDBSnapshot&TargetDBSnapshotIdentifier=b\
                     &SourceDBSnapshotIdentifier=arn%3Aaws%3Ards%3Aeu-west-1%3A1%3Asnapshot%3Ab",
                ),
                (
                    "rds:CopyDBSnapshot",
                    vec![
                        "arn:aws:rds:eu-west-1:1:snapshot:b",
                        "arn:aws:rds:us-east-1:123456789012:snapshot:b",
                    ],
                ),
            ),
            (
                query("rds", "Action=DescribeDBSnapshots&SnapshotType=manual"),
                (
                    "rds:DescribeDBSnapshots",
                    vec!["arn:aws:rds:us-east-1:123456789012:snapshot:*"],
                ),
            ),
            (
                query("rds", "Action=StopDBInstance&DBInstanceIdentifier=a"),
                (
                    "rds:StopDBInstance",
                    vec!["arn:aws:rds:us-east-1:123456789012:db:a"],
                ),
            ),
            (
                query(
                    "autoscaling",
                    "Action=UpdateAutoScalingGroup&AutoScalingGroupName=g&MinSize=0",
                ),
                (
                    "autoscaling:UpdateAutoScalingGroup",
                    vec![
                        "arn:aws:autoscaling:us-east-1:123456789012:autoScalingGroup:*:autoScalingGroupName/g",
                    ],
                ),
            ),
            (
                query(
                    "autoscaling",
                    "Action=DeleteTags&Tags.member.1.ResourceId=g&Tags.member.1.Key=k",
                ),
                (
                    "autoscaling:DeleteTags",
                    vec![
                        "arn:aws:autoscaling:us-east-1:123456789012:autoScalingGroup:*:autoScalingGroupName/g",
                    ],
                ),
            ),
            (
                query(
                    "autoscaling",
                    "Action=DescribeAutoScalingGroups&MaxRecords=100",
                ),
                ("autoscaling:DescribeAutoScalingGroups", vec!["*"]),
            ),
            (
                json(
                    "ecs",
                    "UpdateService",
                    r#"{"cluster":"c","service":"s","desiredCount":0}"#,
                ),
                (
                    "ecs:UpdateService",
                    vec!["arn:aws:ecs:us-east-1:123456789012:service/c/s"],
                ),
            ),
            (
                json(
                    "ecs",
                    "TagResource",
                    r#"{"resourceArn":"arn:aws:ecs:us-east-1:1:service/c/s"}"#,
                ),
                (
                    "ecs:TagResource",
                    vec!["arn:aws:ecs:us-east-1:1:service/c/s"],
                ),
            ),
            (
                query(
                    "autoscaling",
                    "Action=SetInstanceHealth&InstanceId=i-1&HealthStatus=Unhealthy",
                ),
                (
                    "autoscaling:SetInstanceHealth",
                    vec![
                        "arn:aws:autoscaling:us-east-1:123456789012:autoScalingGroup:*:autoScalingGroupName/*",
                    ],
                ),
            ),
            (
                json(
                    "ecs",
                    "StopServiceDeployment",
                    r#"{"serviceDeploymentArn":"arn:aws:ecs:us-east-1:1:service-deployment/c/s/1"}"#,
                ),
                (
                    "ecs:StopServiceDeployment",
                    vec![
                        "arn:aws:ecs:us-east-1:1:service-deployment/c/s/1",
                        "arn:aws:ecs:us-east-1:1:service/c/s",
                    ],
                ),
            ),
            (
                json(
                    "ecs",
                    "StopTask",
                    r#"{"cluster":"c","task":"arn:aws:ecs:us-east-1:1:task/c/t"}"#,
                ),
                ("ecs:StopTask", vec!["arn:aws:ecs:us-east-1:1:task/c/t"]),
            ),
            (
                json(
                    "monitoring",
                    "DescribeAlarms",
                    r#"{"AlarmNames":["a","b"]}"#,
                ),
                (
                    "cloudwatch:DescribeAlarms",
                    vec![
                        "arn:aws:cloudwatch:us-east-1:123456789012:alarm:a",
                        "arn:aws:cloudwatch:us-east-1:123456789012:alarm:b",
                    ],
                ),
            ),
            (
                json(
                    "monitoring",
                    "DescribeAlarms",
                    r#"{"AlarmNames":["a"],"AlarmTypes":["CompositeAlarm"]}"#,
                ),
                ("cloudwatch:DescribeAlarms", vec!["*"]),
            ),
            (
                json("monitoring", "GetMetricData", "{}"),
                ("cloudwatch:GetMetricData", vec!["*"]),
            ),
            (
                json("ssm", "GetCalendarState", r#"{"CalendarNames":["freeze"]}"#),
                (
                    "ssm:GetCalendarState",
                    vec!["arn:aws:ssm:us-east-1:123456789012:document/freeze"],
                ),
            ),
            (
                json("ecr", "DescribeImages", r#"{"repositoryName":"shop/web"}"#),
                (
                    "ecr:DescribeImages",
                    vec!["arn:aws:ecr:us-east-1:123456789012:repository/shop/web"],
                ),
            ),
            (
                json("ecr", "DescribeRepositories", "{}"),
                (
                    "ecr:DescribeRepositories",
                    vec!["arn:aws:ecr:us-east-1:123456789012:repository/*"],
                ),
            ),
            (
                json("ecr", "DescribeRegistry", "{}"),
                ("ecr:DescribeRegistry", vec!["*"]),
            ),
            (
                json("ssm", "GetParameters", r#"{"Names":["/a/b","c"]}"#),
                (
                    "ssm:GetParameters",
                    vec![
                        "arn:aws:ssm:us-east-1:123456789012:parameter/a/b",
                        "arn:aws:ssm:us-east-1:123456789012:parameter/c",
                    ],
                ),
            ),
            (
                json(
                    "events",
                    "ListTargetsByRule",
                    r#"{"Rule":"r","EventBusName":"b"}"#,
                ),
                (
                    "events:ListTargetsByRule",
                    vec!["arn:aws:events:us-east-1:123456789012:rule/b/r"],
                ),
            ),
            (
                get("lambda", "/2015-03-31/functions/f:1"),
                (
                    "lambda:GetFunction",
                    vec!["arn:aws:lambda:us-east-1:123456789012:function:f:1"],
                ),
            ),
            (
                get("scheduler", "/schedules/s?groupName=g"),
                (
                    "scheduler:GetSchedule",
                    vec!["arn:aws:scheduler:us-east-1:123456789012:schedule/g/s"],
                ),
            ),
            (
                get("s3", "/bucket?list-type=2"),
                ("s3:ListBucket", vec!["arn:aws:s3:::bucket"]),
            ),
            (
                get("s3", "/bucket/a/b.json?x-id=GetObject"),
                ("s3:GetObject", vec!["arn:aws:s3:::bucket/a/b.json"]),
            ),
        ] {
            assert_eq!(action.as_deref(), Some(expected.0));
            assert_eq!(judged_on, expected.1);
        }
        assert_eq!(permission("sts", "GetCallerIdentity"), None);
    }
}
