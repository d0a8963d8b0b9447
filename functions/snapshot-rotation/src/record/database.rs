//! How a database is set up.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_rds::types::{self as sdk, ActivityStreamStatus, DbInstance};
use futures::{StreamExt, stream};
use steward::aws;
use steward::restore_point::{
    ActivityStream, AdditionalVolume, AssociatedRole, Database, DbOption, DbParameter, Domain,
    MasterUserSecret, OptionGroup, ParameterGroup, Subnet, SubnetGroup,
};

use super::{AT_ONCE, Reads, Recorded, Recorder};
use steward::names::{MADE_FOR, MANAGED_BY, TAKEN_AT};

/// Tags of Steward's snapshots, which a database has only if somebody copied them
/// there.
const OF_SNAPSHOTS: [&str; 3] = [MANAGED_BY, MADE_FOR, TAKEN_AT];

/// The groups that databases share, by name.
pub(super) struct Groups {
    parameters: Reads<ParameterGroup>,
    options: Reads<OptionGroup>,
}

impl Recorder {
    /// Every group of these databases, each read once.
    pub(super) async fn groups(&self, instances: &[DbInstance]) -> Groups {
        let parameters = names(instances, |instance| {
            let groups = instance.db_parameter_groups().iter();
            groups
                .filter_map(|group| group.db_parameter_group_name())
                .collect()
        });
        let options = names(instances, |instance| {
            let groups = instance.option_group_memberships().iter();
            groups
                .filter_map(|group| group.option_group_name())
                .collect()
        });
        let parameters = stream::iter(parameters)
            .map(|name| async move { (name.clone(), self.parameter_group(&name).await) })
            .buffer_unordered(AT_ONCE)
            .collect();
        let options = stream::iter(options)
            .map(|name| async move { (name.clone(), self.option_group(&name).await) })
            .buffer_unordered(AT_ONCE)
            .collect();
        let (parameters, options) = futures::join!(parameters, options);
        Groups {
            parameters,
            options,
        }
    }

    async fn parameter_group(&self, name: &str) -> Result<ParameterGroup, String> {
        let groups = self.rds.describe_db_parameter_groups();
        let groups = groups.db_parameter_group_name(name).send();
        let groups = self.rds_pace.call(groups).await.map_err(|error| {
            let why = aws::explain(&error);
            format!("rds:DescribeDBParameterGroups of {name}: {why}")
        })?;
        let group = groups.db_parameter_groups().first();
        let group = group.ok_or_else(|| {
            format!("rds:DescribeDBParameterGroups of {name}: the answer has no group in it")
        })?;
        let pages = self.rds.describe_db_parameters();
        let pages = pages.db_parameter_group_name(name).source("user");
        let pages = pages.into_paginator().page_size(100).send();
        let (parameters, incomplete) =
            aws::read_pages_at(&self.rds_pace, pages, |page| (page.parameters, page.marker)).await;
        if let Some(why) = incomplete {
            return Err(format!("rds:DescribeDBParameters of {name}: {why}"));
        }
        Ok(parameter_group(group, &parameters))
    }

    async fn option_group(&self, name: &str) -> Result<OptionGroup, String> {
        // One of RDS's own, which exists everywhere, has no options and cannot be
        // given any ("Working with option groups", Amazon RDS User Guide).
        if name.starts_with("default:") {
            return Ok(OptionGroup {
                name: name.to_owned(),
                ..OptionGroup::default()
            });
        }
        let failed = |why: &str| format!("rds:DescribeOptionGroups of {name}: {why}");
        let groups = self.rds.describe_option_groups().option_group_name(name);
        let groups = self.rds_pace.call(groups.send()).await;
        let groups = groups.map_err(|error| failed(&aws::explain(&error)))?;
        let group = groups.option_groups_list().first();
        let group = group.ok_or_else(|| failed("the answer has no group in it"))?;
        Ok(option_group(group))
    }
}

fn names(instances: &[DbInstance], of: impl Fn(&DbInstance) -> Vec<&str>) -> BTreeSet<String> {
    let names = instances.iter().flat_map(&of);
    names.map(str::to_owned).collect()
}

fn parameter_group(group: &sdk::DbParameterGroup, parameters: &[sdk::Parameter]) -> ParameterGroup {
    let mut parameters: Vec<DbParameter> = parameters
        .iter()
        .filter_map(|parameter| {
            Some(DbParameter {
                name: parameter.parameter_name()?.to_owned(),
                value: owned(parameter.parameter_value()),
                apply_type: owned(parameter.apply_type()),
                apply_method: owned(parameter.apply_method().map(sdk::ApplyMethod::as_str)),
            })
        })
        .collect();
    parameters.sort();
    ParameterGroup {
        name: group
            .db_parameter_group_name()
            .unwrap_or_default()
            .to_owned(),
        family: owned(group.db_parameter_group_family()),
        description: owned(group.description()),
        parameters,
    }
}

fn option_group(group: &sdk::OptionGroup) -> OptionGroup {
    let mut options: Vec<DbOption> = group.options().iter().map(option).collect();
    options.sort_by(|a, b| a.name.cmp(&b.name));
    OptionGroup {
        name: group.option_group_name().unwrap_or_default().to_owned(),
        description: owned(group.option_group_description()),
        engine_name: owned(group.engine_name()),
        major_engine_version: owned(group.major_engine_version()),
        vpc_id: owned(group.vpc_id()),
        options,
    }
}

fn option(option: &sdk::Option) -> DbOption {
    let settings = option.option_settings().iter();
    DbOption {
        name: option.option_name().unwrap_or_default().to_owned(),
        version: owned(option.option_version()),
        port: option.port(),
        persistent: option.persistent(),
        permanent: option.permanent(),
        settings: settings
            .filter_map(|setting| pair(setting.name(), setting.value()))
            .collect(),
        vpc_security_group_ids: security_groups(option.vpc_security_group_memberships()),
    }
}

/// A database with the groups that were read.
pub(super) fn record(instance: &DbInstance, groups: &Groups) -> Recorded<Database> {
    let mut database = settings(instance);
    let mut missing: Vec<String> = untold(instance)
        .map(|what| {
            format!(
                "rds:DescribeDBInstances of {}: the answer has no {what} in it",
                database.identifier
            )
        })
        .collect();
    let of = instance.db_parameter_groups().iter();
    for name in of.filter_map(|group| group.db_parameter_group_name()) {
        match groups.parameters.get(name) {
            Some(Ok(group)) => database.db_parameter_groups.push(group.clone()),
            Some(Err(why)) => missing.push(why.clone()),
            None => missing.push(format!("parameter group {name} was not read")),
        }
    }
    let of = instance.option_group_memberships().iter();
    for name in of.filter_map(|group| group.option_group_name()) {
        match groups.options.get(name) {
            Some(Ok(group)) => database.option_groups.push(group.clone()),
            Some(Err(why)) => missing.push(why.clone()),
            None => missing.push(format!("option group {name} was not read")),
        }
    }
    Recorded {
        value: database,
        missing,
    }
}

/// What RDS says of every instance, and has not said of this one.
fn untold(instance: &DbInstance) -> impl Iterator<Item = &'static str> {
    [
        ("DBInstanceClass", instance.db_instance_class.is_none()),
        ("Engine", instance.engine.is_none()),
        ("EngineVersion", instance.engine_version.is_none()),
        ("MultiAZ", instance.multi_az.is_none()),
        ("StorageType", instance.storage_type.is_none()),
        ("DBParameterGroups", instance.db_parameter_groups.is_none()),
        (
            "OptionGroupMemberships",
            instance.option_group_memberships.is_none(),
        ),
        ("VpcSecurityGroups", instance.vpc_security_groups.is_none()),
        ("TagList", instance.tag_list.is_none()),
    ]
    .into_iter()
    .filter_map(|(what, untold)| untold.then_some(what))
}

/// What the instance itself tells.
fn settings(instance: &DbInstance) -> Database {
    let endpoint = instance.endpoint();
    let port = endpoint.and_then(sdk::Endpoint::port);
    let roles = instance.associated_roles().iter();
    Database {
        identifier: instance
            .db_instance_identifier()
            .unwrap_or_default()
            .to_owned(),
        resource_id: instance.dbi_resource_id().unwrap_or_default().to_owned(),
        arn: instance.db_instance_arn().unwrap_or_default().to_owned(),
        engine: owned(instance.engine()),
        engine_version: owned(instance.engine_version()),
        engine_lifecycle_support: owned(instance.engine_lifecycle_support()),
        license_model: owned(instance.license_model()),
        db_instance_class: owned(instance.db_instance_class()),
        processor_features: {
            let features = instance.processor_features().iter();
            let features = features.filter_map(|each| pair(each.name(), each.value()));
            features.collect()
        },
        db_name: owned(instance.db_name()),
        master_username: owned(instance.master_username()),
        master_user_secret: instance.master_user_secret().and_then(|secret| {
            Some(MasterUserSecret {
                arn: secret.secret_arn()?.to_owned(),
                kms_key_id: owned(secret.kms_key_id()),
            })
        }),
        endpoint_address: owned(endpoint.and_then(sdk::Endpoint::address)),
        // `DbInstancePort` is 0 for an instance of no cluster.
        port: port.or(instance.db_instance_port().filter(|port| *port > 0)),
        multi_az: instance.multi_az(),
        availability_zone: owned(instance.availability_zone()),
        secondary_availability_zone: owned(instance.secondary_availability_zone()),
        db_subnet_group: instance.db_subnet_group().map(subnet_group),
        vpc_security_group_ids: security_groups(instance.vpc_security_groups()),
        publicly_accessible: instance.publicly_accessible(),
        network_type: owned(instance.network_type()),
        customer_owned_ip_enabled: instance.customer_owned_ip_enabled(),
        storage_type: owned(instance.storage_type()),
        allocated_storage: instance.allocated_storage(),
        max_allocated_storage: instance.max_allocated_storage(),
        iops: instance.iops(),
        storage_throughput: instance.storage_throughput(),
        storage_encrypted: instance.storage_encrypted(),
        kms_key_id: owned(instance.kms_key_id()),
        dedicated_log_volume: instance.dedicated_log_volume(),
        additional_storage_volumes: sorted(
            instance.additional_storage_volumes().iter().map(volume),
        ),
        db_parameter_groups: vec![],
        option_groups: vec![],
        backup_retention_period: instance.backup_retention_period(),
        preferred_backup_window: owned(instance.preferred_backup_window()),
        backup_target: owned(instance.backup_target()),
        copy_tags_to_snapshot: instance.copy_tags_to_snapshot(),
        preferred_maintenance_window: owned(instance.preferred_maintenance_window()),
        auto_minor_version_upgrade: instance.auto_minor_version_upgrade(),
        deletion_protection: instance.deletion_protection(),
        monitoring_interval: instance.monitoring_interval(),
        monitoring_role_arn: owned(instance.monitoring_role_arn()),
        database_insights_mode: owned(
            instance
                .database_insights_mode()
                .map(sdk::DatabaseInsightsMode::as_str),
        ),
        performance_insights_enabled: instance.performance_insights_enabled(),
        performance_insights_kms_key_id: owned(instance.performance_insights_kms_key_id()),
        performance_insights_retention_period: instance.performance_insights_retention_period(),
        enabled_cloudwatch_logs_exports: sorted(
            instance.enabled_cloudwatch_logs_exports().iter().cloned(),
        ),
        activity_stream: activity_stream(instance),
        iam_database_authentication_enabled: instance.iam_database_authentication_enabled(),
        ca_certificate_identifier: owned(instance.ca_certificate_identifier()),
        domains: sorted(instance.domain_memberships().iter().map(domain)),
        associated_roles: sorted(roles.filter_map(|role| {
            Some(AssociatedRole {
                role_arn: role.role_arn()?.to_owned(),
                feature_name: owned(role.feature_name()),
            })
        })),
        custom_iam_instance_profile: owned(instance.custom_iam_instance_profile()),
        character_set_name: owned(instance.character_set_name()),
        nchar_character_set_name: owned(instance.nchar_character_set_name()),
        timezone: owned(instance.timezone()),
        multi_tenant: instance.multi_tenant(),
        read_replica_source: owned(instance.read_replica_source_db_instance_identifier()),
        read_replicas: sorted(
            instance
                .read_replica_db_instance_identifiers()
                .iter()
                .cloned(),
        ),
        tags: tags(instance.tag_list()),
    }
}

fn subnet_group(group: &sdk::DbSubnetGroup) -> SubnetGroup {
    let subnets = group.subnets().iter().filter_map(|subnet| {
        let zone = subnet.subnet_availability_zone();
        Some(Subnet {
            id: subnet.subnet_identifier()?.to_owned(),
            availability_zone: owned(zone.and_then(sdk::AvailabilityZone::name)),
        })
    });
    SubnetGroup {
        name: group.db_subnet_group_name().unwrap_or_default().to_owned(),
        description: owned(group.db_subnet_group_description()),
        vpc_id: owned(group.vpc_id()),
        subnets: sorted(subnets),
    }
}

fn volume(volume: &sdk::AdditionalStorageVolumeOutput) -> AdditionalVolume {
    AdditionalVolume {
        volume_name: volume.volume_name().unwrap_or_default().to_owned(),
        storage_type: owned(volume.storage_type()),
        allocated_storage: volume.allocated_storage(),
        max_allocated_storage: volume.max_allocated_storage(),
        iops: volume.iops(),
        storage_throughput: volume.storage_throughput(),
    }
}

fn activity_stream(instance: &DbInstance) -> Option<ActivityStream> {
    let runs = matches!(
        instance.activity_stream_status()?,
        ActivityStreamStatus::Started | ActivityStreamStatus::Starting
    );
    runs.then(|| ActivityStream {
        mode: owned(
            instance
                .activity_stream_mode()
                .map(sdk::ActivityStreamMode::as_str),
        ),
        kms_key_id: owned(instance.activity_stream_kms_key_id()),
        engine_native_audit_fields_included: instance
            .activity_stream_engine_native_audit_fields_included(),
    })
}

fn domain(domain: &sdk::DomainMembership) -> Domain {
    Domain {
        domain: owned(domain.domain()),
        fqdn: owned(domain.fqdn()),
        iam_role_name: owned(domain.iam_role_name()),
        ou: owned(domain.ou()),
        auth_secret_arn: owned(domain.auth_secret_arn()),
        dns_ips: domain.dns_ips().to_vec(),
    }
}

fn tags(tags: &[sdk::Tag]) -> BTreeMap<String, String> {
    let tags = tags
        .iter()
        .filter_map(|tag| Some((tag.key()?, tag.value())));
    tags.filter(|(key, _)| !key.starts_with("aws:") && !OF_SNAPSHOTS.contains(key))
        .map(|(key, value)| (key.to_owned(), value.unwrap_or_default().to_owned()))
        .collect()
}

fn security_groups(groups: &[sdk::VpcSecurityGroupMembership]) -> Vec<String> {
    let ids = groups
        .iter()
        .filter_map(|group| owned(group.vpc_security_group_id()));
    sorted(ids)
}

fn pair(name: Option<&str>, value: Option<&str>) -> Option<(String, String)> {
    Some((name?.to_owned(), value?.to_owned()))
}

fn owned(text: Option<&str>) -> Option<String> {
    text.map(str::to_owned)
}

/// In an order of ours: AWS promises none.
fn sorted<T: Ord>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut items: Vec<T> = items.collect();
    items.sort();
    items
}
