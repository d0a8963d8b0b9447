//! The secrets and parameters that releases name: their names and versions.
//! Nothing here may ask for a value.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_secretsmanager as secretsmanager;
use aws_sdk_ssm as ssm;
use aws_sdk_ssm::types::{ParameterMetadata, ParameterStringFilter};
use futures::{StreamExt, stream};
use serde_json::{Map, Value};
use steward::aws;
use steward::restore_point::{AsAnswered, Parameter, Secret};

use super::{AT_ONCE, Reads, Recorder};

/// The most names that one filter takes, and the largest page (AWS Systems
/// Manager API Reference, `DescribeParameters`).
const MOST_PARAMETERS: usize = 50;

/// Objects whose keys are of people's choosing, so that they tell nothing.
const FREE_KEYS: [&str; 2] = ["dockerLabels", "options"];

/// What a release names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Named {
    /// A secret of Secrets Manager: its ARN, or its name.
    Secret(String),
    /// A parameter of Systems Manager: its ARN, or its name.
    Parameter(String),
}

/// What a task definition or service revision names: environment variables,
/// options of log drivers, credentials of registries and volumes.
pub(super) fn named_in(object: &AsAnswered) -> BTreeSet<Named> {
    let mut named = BTreeSet::new();
    walk(&object.0, &mut named);
    named
}

fn walk(object: &Map<String, Value>, named: &mut BTreeSet<Named>) {
    for (key, value) in object {
        match value {
            // "The supported values are either the full ARN of the AWS Secrets
            // Manager secret or the full ARN of the parameter in the SSM
            // Parameter Store"; a name is a parameter's (Amazon ECS API
            // Reference, `Secret`).
            Value::String(from) if key == "valueFrom" => {
                let parameter = || Named::Parameter(from.clone());
                named.insert(secret(from).unwrap_or_else(parameter));
            }
            // A name is a secret's here (`RepositoryCredentials`).
            Value::String(from) if key == "credentialsParameter" => {
                let other = || match from.contains(":ssm:") {
                    true => Named::Parameter(from.clone()),
                    false => Named::Secret(from.clone()),
                };
                named.insert(secret(from).unwrap_or_else(other));
            }
            Value::Object(object) if !FREE_KEYS.contains(&key.as_str()) => walk(object, named),
            Value::Array(items) => {
                for item in items.iter().filter_map(Value::as_object) {
                    walk(item, named);
                }
            }
            _ => {}
        }
    }
}

/// The secret of an ARN, without the key and version that may follow:
/// `arn:PARTITION:secretsmanager:REGION:ACCOUNT:secret:NAME:KEY:STAGE:VERSION`.
fn secret(arn: &str) -> Option<Named> {
    let parts: Vec<&str> = arn.splitn(8, ':').take(7).collect();
    let is = parts.len() == 7 && parts[2] == "secretsmanager";
    is.then(|| Named::Secret(parts.join(":")))
}

/// The Region of an ARN.
fn region_of(arn: &str) -> Option<&str> {
    arn.starts_with("arn:")
        .then(|| arn.split(':').nth(3))
        .flatten()
}

impl Recorder {
    /// The secrets among these, as they are named.
    pub(super) async fn secrets(&self, named: &BTreeSet<Named>) -> Reads<Secret> {
        let secrets = named.iter().filter_map(|named| match named {
            Named::Secret(name) => Some(name.clone()),
            Named::Parameter(_) => None,
        });
        stream::iter(secrets.collect::<Vec<_>>())
            .map(|name| async move {
                let read = self.secret(&name).await;
                (name, read)
            })
            .buffer_unordered(AT_ONCE)
            .collect()
            .await
    }

    async fn secret(&self, name: &str) -> Result<Secret, String> {
        let failed = |why: &str| format!("secretsmanager:DescribeSecret of {name}: {why}");
        let region = region_of(name).unwrap_or(&self.region).to_owned();
        let region = secretsmanager::config::Region::new(region);
        let there = secretsmanager::config::Builder::default().region(region);
        let request = self.secretsmanager.describe_secret().secret_id(name);
        let request = request.customize().config_override(there);
        let answer = self.secretsmanager_pace.call(request.send()).await;
        let answer = answer.map_err(|error| failed(&aws::explain(&error)))?;
        if answer.deleted_date().is_some() {
            return Err(failed("it is scheduled for deletion"));
        }
        let (Some(arn), Some(name)) = (answer.arn(), answer.name()) else {
            return Err(failed("the answer has no ARN or no name in it"));
        };
        let versions = answer.version_ids_to_stages().into_iter().flatten();
        let mut current = versions.filter(|(_, stages)| stages.iter().any(|it| it == "AWSCURRENT"));
        let replicas = answer.replication_status().iter();
        let replicas: BTreeSet<&str> = replicas.filter_map(|replica| replica.region()).collect();
        Ok(Secret {
            arn: arn.to_owned(),
            name: name.to_owned(),
            version_id: current.next().map(|(version, _)| version.clone()),
            kms_key_id: answer.kms_key_id().map(str::to_owned),
            replica_regions: replicas.into_iter().map(str::to_owned).collect(),
        })
    }

    /// The parameters among these, as they are named.
    pub(super) async fn parameters(&self, named: &BTreeSet<Named>) -> Reads<Parameter> {
        let mut by_region: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for named in named {
            if let Named::Parameter(name) = named {
                let region = region_of(name).unwrap_or(&self.region);
                by_region.entry(region).or_default().push(name);
            }
        }
        let mut reads = Reads::new();
        for (region, named) in by_region {
            let names: BTreeSet<String> = named.iter().flat_map(|named| names_of(named)).collect();
            let found = self.describe_parameters(region, names).await;
            for named in named {
                let read = match &found {
                    Ok(found) => found
                        .iter()
                        .find(|parameter| is(parameter, named))
                        .and_then(parameter)
                        .ok_or_else(|| {
                            format!("ssm:DescribeParameters: there is no parameter {named}")
                        }),
                    Err(why) => Err(why.clone()),
                };
                reads.insert(named.to_owned(), read);
            }
        }
        reads
    }

    async fn describe_parameters(
        &self,
        region: &str,
        names: BTreeSet<String>,
    ) -> Result<Vec<ParameterMetadata>, String> {
        let failed = |why: String| format!("ssm:DescribeParameters in {region}: {why}");
        let names: Vec<String> = names.into_iter().collect();
        let mut found = Vec::new();
        for chunk in names.chunks(MOST_PARAMETERS) {
            let by_name = ParameterStringFilter::builder()
                .key("Name")
                .option("Equals")
                .set_values(Some(chunk.to_vec()))
                .build()
                .map_err(|error| failed(aws::chain(&error)))?;
            let (parameters, incomplete) = aws::read_pages_by_token(|token| {
                let by_name = by_name.clone();
                let region = ssm::config::Region::new(region.to_owned());
                async move {
                    let there = ssm::config::Builder::default().region(region);
                    let request = self.ssm.describe_parameters().parameter_filters(by_name);
                    let request = request.max_results(50).set_next_token(token);
                    let answer = request.customize().config_override(there).send().await?;
                    Ok::<_, ssm::error::SdkError<_>>((answer.parameters, answer.next_token))
                }
            })
            .await;
            if let Some(why) = incomplete {
                return Err(failed(why.to_string()));
            }
            found.extend(parameters);
        }
        Ok(found)
    }
}

/// The names that an ARN may mean: it has no slash before the first part,
/// whether the name has one or not.
fn names_of(named: &str) -> Vec<String> {
    match named.split_once(":parameter/") {
        None => vec![named.to_owned()],
        // A name with several parts begins with a slash.
        Some((_, name)) if name.contains('/') => vec![format!("/{name}")],
        Some((_, name)) => vec![name.to_owned(), format!("/{name}")],
    }
}

fn is(parameter: &ParameterMetadata, named: &str) -> bool {
    match (region_of(named), parameter.arn()) {
        (Some(_), Some(arn)) => arn == named,
        _ => names_of(named)
            .iter()
            .any(|name| parameter.name() == Some(name)),
    }
}

fn parameter(parameter: &ParameterMetadata) -> Option<Parameter> {
    Some(Parameter {
        name: parameter.name()?.to_owned(),
        arn: parameter.arn().map(str::to_owned),
        parameter_type: parameter.r#type().map(|it| it.as_str().to_owned()),
        version: parameter.version(),
        kms_key_id: parameter.key_id().map(str::to_owned),
    })
}

#[cfg(test)]
mod unit_tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tells_secrets_and_parameters_of_every_form() {
        let arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:shop/database-AbCdEf";
        let parameter = "arn:aws:ssm:eu-west-1:123456789012:parameter/shop/mode";
        let definition = json!({
            "containerDefinitions": [{
                "secrets": [
                    {"name": "A", "valueFrom": arn},
                    {"name": "B", "valueFrom": format!("{arn}:password::")},
                    {"name": "C", "valueFrom": parameter},
                    {"name": "D", "valueFrom": "plain"},
                ],
                "logConfiguration": {
                    "options": {"valueFrom": "not one"},
                    "secretOptions": [{"name": "E", "valueFrom": "/log/token"}],
                },
                "repositoryCredentials": {"credentialsParameter": "registry"},
                "dockerLabels": {"valueFrom": "not one"},
                "environment": [{"name": "F", "value": "not one"}],
            }],
            "volumes": [{"fsxWindowsFileServerVolumeConfiguration": {
                "authorizationConfig": {"credentialsParameter": parameter},
            }}],
        });
        let named = named_in(&AsAnswered(definition.as_object().unwrap().clone()));
        let expected = BTreeSet::from([
            Named::Secret(arn.to_owned()),
            Named::Secret("registry".to_owned()),
            Named::Parameter(parameter.to_owned()),
            Named::Parameter("plain".to_owned()),
            Named::Parameter("/log/token".to_owned()),
        ]);
        assert_eq!(named, expected);
    }

    #[test]
    fn an_arn_does_not_tell_whether_a_name_begins_with_a_slash() {
        let arn = "arn:aws:ssm:eu-west-1:123456789012:parameter/";
        assert_eq!(names_of("plain"), ["plain"]);
        assert_eq!(names_of("/a/b"), ["/a/b"]);
        assert_eq!(names_of(&format!("{arn}a/b")), ["/a/b"]);
        assert_eq!(names_of(&format!("{arn}a")), ["a", "/a"]);
    }
}
