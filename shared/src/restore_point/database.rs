//! The settings of a database that its snapshot does not have in it.
//!
//! `RestoreDBInstanceFromDBSnapshot` takes the default parameter group, security
//! group and subnet group where none is named, and no Multi-AZ, monitoring,
//! Performance Insights, maintenance window, storage autoscaling, log exports or
//! deletion protection at all (Amazon RDS API Reference). Names are those of the
//! API.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A database instance as it is set up. What RDS does not tell is absent.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Database {
    /// `DBInstanceIdentifier`.
    pub identifier: String,
    /// `DbiResourceId`, which no other database ever has.
    pub resource_id: String,
    /// `DBInstanceArn`.
    pub arn: String,
    /// `Engine`, such as `postgres`.
    pub engine: Option<String>,
    /// `EngineVersion`.
    pub engine_version: Option<String>,
    /// `EngineLifecycleSupport`: whether extended support is bought.
    pub engine_lifecycle_support: Option<String>,
    /// `LicenseModel`.
    pub license_model: Option<String>,
    /// `DBInstanceClass`, such as `db.t3.micro`.
    pub db_instance_class: Option<String>,
    /// `ProcessorFeatures`, by name.
    pub processor_features: BTreeMap<String, String>,
    /// `DBName`; for Oracle and Db2 something else than a database's name.
    pub db_name: Option<String>,
    /// `MasterUsername`.
    pub master_username: Option<String>,
    /// The secret that RDS keeps the master user's password in. A restore has a
    /// new one at most.
    pub master_user_secret: Option<MasterUserSecret>,
    /// The address that applications use.
    pub endpoint_address: Option<String>,
    /// `Endpoint.Port`, or `DbInstancePort`.
    pub port: Option<i32>,

    /// `MultiAZ`.
    pub multi_az: Option<bool>,
    /// `AvailabilityZone`.
    pub availability_zone: Option<String>,
    /// `SecondaryAvailabilityZone`.
    pub secondary_availability_zone: Option<String>,
    /// Where its network interfaces are.
    pub db_subnet_group: Option<SubnetGroup>,
    /// The ids of its VPC security groups, sorted.
    pub vpc_security_group_ids: Vec<String>,
    /// `PubliclyAccessible`.
    pub publicly_accessible: Option<bool>,
    /// `NetworkType`: `IPV4` or `DUAL`.
    pub network_type: Option<String>,
    /// `CustomerOwnedIpEnabled`.
    pub customer_owned_ip_enabled: Option<bool>,

    /// `StorageType`, such as `gp3`.
    pub storage_type: Option<String>,
    /// `AllocatedStorage`, in GiB.
    pub allocated_storage: Option<i32>,
    /// `MaxAllocatedStorage`, in GiB: how far storage autoscaling goes.
    pub max_allocated_storage: Option<i32>,
    /// `Iops`.
    pub iops: Option<i32>,
    /// `StorageThroughput`, in MiB/s.
    pub storage_throughput: Option<i32>,
    /// `StorageEncrypted`.
    pub storage_encrypted: Option<bool>,
    /// `KmsKeyId` of the storage.
    pub kms_key_id: Option<String>,
    /// `DedicatedLogVolume`.
    pub dedicated_log_volume: Option<bool>,
    /// `AdditionalStorageVolumes`.
    pub additional_storage_volumes: Vec<AdditionalVolume>,

    /// Its parameter groups, with what differs from the engine's defaults.
    pub db_parameter_groups: Vec<ParameterGroup>,
    /// Its option groups, with their options.
    pub option_groups: Vec<OptionGroup>,

    /// `BackupRetentionPeriod`, in days.
    pub backup_retention_period: Option<i32>,
    /// `PreferredBackupWindow`, in UTC.
    pub preferred_backup_window: Option<String>,
    /// `BackupTarget`: `region` or `outposts`.
    pub backup_target: Option<String>,
    /// `CopyTagsToSnapshot`.
    pub copy_tags_to_snapshot: Option<bool>,
    /// `PreferredMaintenanceWindow`, in UTC.
    pub preferred_maintenance_window: Option<String>,
    /// `AutoMinorVersionUpgrade`.
    pub auto_minor_version_upgrade: Option<bool>,
    /// `DeletionProtection`.
    pub deletion_protection: Option<bool>,

    /// `MonitoringInterval`, in seconds; 0 is off.
    pub monitoring_interval: Option<i32>,
    /// `MonitoringRoleArn`.
    pub monitoring_role_arn: Option<String>,
    /// `DatabaseInsightsMode`: `standard` or `advanced`.
    pub database_insights_mode: Option<String>,
    /// `PerformanceInsightsEnabled`.
    pub performance_insights_enabled: Option<bool>,
    /// `PerformanceInsightsKMSKeyId`.
    pub performance_insights_kms_key_id: Option<String>,
    /// `PerformanceInsightsRetentionPeriod`, in days.
    pub performance_insights_retention_period: Option<i32>,
    /// `EnabledCloudwatchLogsExports`, sorted.
    pub enabled_cloudwatch_logs_exports: Vec<String>,
    /// The activity stream, where one runs.
    pub activity_stream: Option<ActivityStream>,

    /// `IAMDatabaseAuthenticationEnabled`.
    pub iam_database_authentication_enabled: Option<bool>,
    /// `CACertificateIdentifier`.
    pub ca_certificate_identifier: Option<String>,
    /// The directories that it belongs to.
    pub domains: Vec<Domain>,
    /// The roles that it reaches other services with.
    pub associated_roles: Vec<AssociatedRole>,
    /// `CustomIamInstanceProfile`, of RDS Custom.
    pub custom_iam_instance_profile: Option<String>,

    /// `CharacterSetName`.
    pub character_set_name: Option<String>,
    /// `NcharCharacterSetName`.
    pub nchar_character_set_name: Option<String>,
    /// `Timezone`.
    pub timezone: Option<String>,
    /// `MultiTenant`.
    pub multi_tenant: Option<bool>,
    /// `ReadReplicaSourceDBInstanceIdentifier`, of a replica.
    pub read_replica_source: Option<String>,
    /// `ReadReplicaDBInstanceIdentifiers`, sorted.
    pub read_replicas: Vec<String>,

    /// Its tags, AWS's own (`aws:`) left out because nobody can set them.
    pub tags: BTreeMap<String, String>,
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database")
            .field("arn", &self.arn)
            .finish_non_exhaustive()
    }
}

/// A secret of RDS's making, never its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MasterUserSecret {
    /// `SecretArn`.
    pub arn: String,
    /// `KmsKeyId`.
    pub kms_key_id: Option<String>,
}

/// A DB subnet group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SubnetGroup {
    /// `DBSubnetGroupName`.
    pub name: String,
    /// `DBSubnetGroupDescription`.
    pub description: Option<String>,
    /// `VpcId`.
    pub vpc_id: Option<String>,
    /// Its subnets, by id.
    pub subnets: Vec<Subnet>,
}

/// A subnet of a group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Subnet {
    /// `SubnetIdentifier`.
    pub id: String,
    /// Its Availability Zone.
    pub availability_zone: Option<String>,
}

/// A volume beside the first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct AdditionalVolume {
    /// `VolumeName`.
    pub volume_name: String,
    /// `StorageType`.
    pub storage_type: Option<String>,
    /// `AllocatedStorage`, in GiB.
    pub allocated_storage: Option<i32>,
    /// `MaxAllocatedStorage`, in GiB.
    pub max_allocated_storage: Option<i32>,
    /// `IOPS`.
    pub iops: Option<i32>,
    /// `StorageThroughput`, in MiB/s.
    pub storage_throughput: Option<i32>,
}

/// A DB parameter group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ParameterGroup {
    /// `DBParameterGroupName`.
    pub name: String,
    /// `DBParameterGroupFamily`, such as `postgres15`.
    pub family: Option<String>,
    /// `Description`.
    pub description: Option<String>,
    /// The parameters that somebody has set (`Source=user`), by name.
    pub parameters: Vec<DbParameter>,
}

/// A parameter that somebody has set.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct DbParameter {
    /// `ParameterName`.
    pub name: String,
    /// `ParameterValue`.
    pub value: Option<String>,
    /// `ApplyType`: `static` needs a reboot, `dynamic` none.
    pub apply_type: Option<String>,
    /// `ApplyMethod`: `immediate` or `pending-reboot`.
    pub apply_method: Option<String>,
}

/// An option group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OptionGroup {
    /// `OptionGroupName`.
    pub name: String,
    /// `OptionGroupDescription`.
    pub description: Option<String>,
    /// `EngineName`.
    pub engine_name: Option<String>,
    /// `MajorEngineVersion`.
    pub major_engine_version: Option<String>,
    /// `VpcId`: one that is bound to a VPC is of use nowhere else.
    pub vpc_id: Option<String>,
    /// Its options, by name.
    pub options: Vec<DbOption>,
}

/// An option of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DbOption {
    /// `OptionName`.
    pub name: String,
    /// `OptionVersion`.
    pub version: Option<String>,
    /// `Port`.
    pub port: Option<i32>,
    /// `Persistent`: it cannot be taken out while a database uses the group.
    pub persistent: Option<bool>,
    /// `Permanent`: it can never be taken out.
    pub permanent: Option<bool>,
    /// `OptionSettings` that have a value, by name. RDS hides the secret ones.
    pub settings: BTreeMap<String, String>,
    /// The ids of its VPC security groups, sorted.
    pub vpc_security_group_ids: Vec<String>,
}

/// The stream of a database's activity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ActivityStream {
    /// `ActivityStreamMode`: `sync` or `async`.
    pub mode: Option<String>,
    /// `ActivityStreamKmsKeyId`.
    pub kms_key_id: Option<String>,
    /// `ActivityStreamEngineNativeAuditFieldsIncluded`.
    pub engine_native_audit_fields_included: Option<bool>,
}

/// A directory that a database belongs to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Domain {
    /// `Domain`: the directory's id.
    pub domain: Option<String>,
    /// `FQDN`.
    pub fqdn: Option<String>,
    /// `IAMRoleName`.
    pub iam_role_name: Option<String>,
    /// `OU`: the organisational unit.
    pub ou: Option<String>,
    /// `AuthSecretArn`, never its value.
    pub auth_secret_arn: Option<String>,
    /// `DnsIps`.
    pub dns_ips: Vec<String>,
}

/// A role that a database reaches another service with.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct AssociatedRole {
    /// `RoleArn`.
    pub role_arn: String,
    /// `FeatureName`, such as `s3Import`.
    pub feature_name: Option<String>,
}
