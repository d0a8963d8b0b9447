//! The databases of a scenario and their snapshots in two Regions. Pages are those
//! of the Amazon RDS API Reference; asking for more is an error, as there.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use hyper::StatusCode;

use crate::aws::Answer;
use crate::rotation::{ENVIRONMENTS, PARAMETERS, Rotation, THERE, Which};
use crate::scenario::{ACCOUNT, REGION};

/// `MaxRecords` of every listing.
const PAGE: usize = 100;

/// Databases and snapshots; pages are written once, so that serving them costs
/// nothing.
pub(crate) struct Databases {
    instances: Vec<String>,
    places: BTreeMap<&'static str, Snapshots>,
    /// What the function has made, by name.
    made: Mutex<BTreeSet<String>>,
}

/// The snapshots of one Region.
struct Snapshots {
    by_name: BTreeMap<String, String>,
    pages: Vec<Bytes>,
    deleted: Mutex<BTreeSet<String>>,
}

/// What a form-encoded request asks for.
pub(crate) struct Asked<'a> {
    pub(crate) region: &'a str,
    pub(crate) parameters: BTreeMap<String, String>,
}

impl Asked<'_> {
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str)
    }
}

impl Databases {
    pub(crate) fn of(rotation: &Rotation) -> Self {
        let instances = (0..rotation.databases).map(of_rotation).collect();
        let places = [REGION, THERE].map(|region| {
            let all: Vec<(String, String)> = rotation
                .snapshots()
                .map(|which| (rotation.name(which), snapshot(rotation, region, which)))
                .collect();
            let texts: Vec<&str> = all.iter().map(|(_, text)| text.as_str()).collect();
            let pages = listing("DescribeDBSnapshots", "DBSnapshots", &texts);
            let of = Snapshots {
                by_name: all.into_iter().collect(),
                pages,
                deleted: Mutex::default(),
            };
            (region, of)
        });
        Self {
            instances,
            places: places.into_iter().collect(),
            made: Mutex::default(),
        }
    }

    /// How many snapshots there are, in both Regions.
    pub(crate) fn snapshots_left(&self) -> usize {
        let places = self.places.values();
        let left = places.map(|place| place.by_name.len() - place.deleted().len());
        left.sum::<usize>() + self.made().len()
    }

    fn made(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn answer(&self, operation: &str, asked: &Asked<'_>) -> Answer {
        let Some(place) = self.places.get(asked.region) else {
            return error("UnrecognizedClientException", "no such Region");
        };
        match operation {
            "DescribeDBInstances" => self.describe_instances(asked),
            "DescribeDBSnapshots" => place.describe(asked),
            "CreateDBSnapshot" => self.create(asked),
            "DeleteDBSnapshot" => place.delete(asked),
            "DescribeAccountAttributes" => result(
                operation,
                "<AccountQuotas><AccountQuota><AccountQuotaName>ManualSnapshots</AccountQuotaName>\
                 <Used>5000</Used><Max>20000</Max></AccountQuota></AccountQuotas>",
            ),
            "DescribeDBInstanceAutomatedBackups" => {
                result(operation, "<DBInstanceAutomatedBackups/>")
            }
            "DescribeDBParameterGroups" => {
                let name = asked.get("DBParameterGroupName").unwrap_or_default();
                result(
                    operation,
                    &format!(
                        "<DBParameterGroups><DBParameterGroup><DBParameterGroupName>{name}\
                         </DBParameterGroupName><DBParameterGroupFamily>postgres16\
                         </DBParameterGroupFamily><Description>of an environment</Description>\
                         </DBParameterGroup></DBParameterGroups>"
                    ),
                )
            }
            "DescribeDBParameters" => {
                let mut all = String::new();
                for n in 0..PARAMETERS {
                    let _ = write!(
                        all,
                        "<Parameter><ParameterName>parameter_{n}</ParameterName><ParameterValue>{n}\
                         </ParameterValue><Source>user</Source><ApplyType>dynamic</ApplyType>\
                         <ApplyMethod>immediate</ApplyMethod></Parameter>"
                    );
                }
                result(operation, &format!("<Parameters>{all}</Parameters>"))
            }
            _ => error("InvalidAction", operation),
        }
    }

    fn describe_instances(&self, asked: &Asked<'_>) -> Answer {
        let operation = "DescribeDBInstances";
        if let Some(name) = asked.get("DBInstanceIdentifier") {
            let number = name.strip_prefix("shop-").and_then(|n| n.parse().ok());
            let found = number.and_then(|number: usize| self.instances.get(number));
            return match found {
                Some(text) => result(operation, &format!("<DBInstances>{text}</DBInstances>")),
                None => error("DBInstanceNotFound", name),
            };
        }
        let texts: Vec<&str> = self.instances.iter().map(String::as_str).collect();
        paged(asked, &listing(operation, "DBInstances", &texts))
    }

    fn create(&self, asked: &Asked<'_>) -> Answer {
        let name = asked.get("DBSnapshotIdentifier").unwrap_or_default();
        let database = asked.get("DBInstanceIdentifier").unwrap_or_default();
        if !self.made().insert(name.to_owned()) {
            return error("DBSnapshotAlreadyExists", name);
        }
        result(
            "CreateDBSnapshot",
            &format!(
                "<DBSnapshot><DBSnapshotIdentifier>{name}</DBSnapshotIdentifier>\
                 <DBInstanceIdentifier>{database}</DBInstanceIdentifier><Status>creating</Status>\
                 <PercentProgress>0</PercentProgress><SnapshotType>manual</SnapshotType></DBSnapshot>"
            ),
        )
    }
}

impl Snapshots {
    fn deleted(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.deleted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn describe(&self, asked: &Asked<'_>) -> Answer {
        let Some(name) = asked.get("DBSnapshotIdentifier") else {
            if asked.get("SnapshotType") != Some("manual") {
                return error(
                    "InvalidParameterValue",
                    "the stub knows manual snapshots only",
                );
            }
            return paged(asked, &self.pages);
        };
        match self.by_name.get(name) {
            Some(text) if !self.deleted().contains(name) => {
                let list = format!("<DBSnapshots>{text}</DBSnapshots>");
                result("DescribeDBSnapshots", &list)
            }
            _ => error("DBSnapshotNotFound", name),
        }
    }

    fn delete(&self, asked: &Asked<'_>) -> Answer {
        let name = asked.get("DBSnapshotIdentifier").unwrap_or_default();
        match self.by_name.get(name) {
            Some(text) if self.deleted().insert(name.to_owned()) => {
                result("DeleteDBSnapshot", text)
            }
            _ => error("DBSnapshotNotFound", name),
        }
    }
}

/// A page of a listing, by the number in its marker.
pub(crate) fn paged(asked: &Asked<'_>, pages: &[Bytes]) -> Answer {
    if asked.get("MaxRecords") != Some("100") {
        return error(
            "InvalidParameterValue",
            "MaxRecords is not the largest, 100",
        );
    }
    let marker = asked.get("Marker").unwrap_or("0");
    let page = marker.parse().ok().and_then(|n: usize| pages.get(n));
    match page {
        Some(page) => Answer::xml(page.clone()),
        None => error("InvalidParameterValue", "no such marker"),
    }
}

/// Every page of a listing.
pub(crate) fn listing(operation: &str, list: &str, items: &[&str]) -> Vec<Bytes> {
    let last = items.len().div_ceil(PAGE).max(1) - 1;
    (0..=last)
        .map(|n| {
            let items = items.iter().skip(n * PAGE).take(PAGE).copied();
            let items: String = items.collect();
            let marker = match n < last {
                true => format!("<Marker>{}</Marker>", n + 1),
                false => String::new(),
            };
            enveloped(operation, &format!("<{list}>{items}</{list}>{marker}")).into()
        })
        .collect()
}

fn enveloped(operation: &str, result: &str) -> String {
    format!(
        "<{operation}Response xmlns=\"http://rds.amazonaws.com/doc/2014-10-31/\">\
         <{operation}Result>{result}</{operation}Result><ResponseMetadata>\
         <RequestId>523e3218-afc7-11c3-90f5-f90431260ab4</RequestId></ResponseMetadata>\
         </{operation}Response>"
    )
}

/// A success, as every service with forms and XML writes it.
pub(crate) fn result(operation: &str, result: &str) -> Answer {
    Answer::xml(enveloped(operation, result))
}

/// A refusal, as every service with forms and XML writes it.
pub(crate) fn error(code: &str, message: &str) -> Answer {
    let body = format!(
        "<ErrorResponse xmlns=\"http://rds.amazonaws.com/doc/2014-10-31/\"><Error>\
         <Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>\
         <RequestId>523e3218-afc7-11c3-90f5-f90431260ab4</RequestId></ErrorResponse>"
    );
    Answer {
        status: StatusCode::BAD_REQUEST,
        ..Answer::xml(body)
    }
}

/// What is told of a DB instance.
pub(crate) struct Instance<'a> {
    pub(crate) name: String,
    pub(crate) resource_id: String,
    /// Its parameter group.
    pub(crate) group: &'a str,
    pub(crate) status: &'a str,
    pub(crate) is_multi_az: bool,
    pub(crate) tags: &'a [(&'a str, &'a str)],
}

fn of_rotation(n: usize) -> String {
    let environment = Rotation::environment(n);
    instance(&Instance {
        name: Rotation::identifier(n),
        resource_id: Rotation::resource_id(n),
        group: &format!("env-{:02}", n % ENVIRONMENTS),
        status: "available",
        is_multi_az: true,
        tags: &[("steward:environment", &environment), ("team", "shop")],
    })
}

/// A DB instance with about what RDS tells of one.
pub(crate) fn instance(told: &Instance<'_>) -> String {
    let Instance {
        name,
        resource_id: id,
        group,
        status,
        is_multi_az,
        tags,
    } = told;
    let tags: String = tags.iter().map(|(key, value)| tag(key, value)).collect();
    let key = Rotation::key(REGION);
    format!(
        "<DBInstance><DBInstanceIdentifier>{name}</DBInstanceIdentifier>\
         <DBInstanceClass>db.t4g.medium</DBInstanceClass><Engine>postgres</Engine>\
         <DBInstanceStatus>{status}</DBInstanceStatus><MasterUsername>shop</MasterUsername>\
         <DBName>shop</DBName><Endpoint><Address>{name}.cexample.{REGION}.rds.amazonaws.com</Address>\
         <Port>5432</Port><HostedZoneId>Z1RLNUO7B9Q6NB</HostedZoneId></Endpoint>\
         <AllocatedStorage>100</AllocatedStorage>\
         <InstanceCreateTime>2020-01-01T00:00:00.000Z</InstanceCreateTime>\
         <PreferredBackupWindow>02:00-02:30</PreferredBackupWindow>\
         <BackupRetentionPeriod>7</BackupRetentionPeriod><DBSecurityGroups/>\
         <VpcSecurityGroups><VpcSecurityGroupMembership><VpcSecurityGroupId>sg-0123456789abcdef0\
         </VpcSecurityGroupId><Status>active</Status></VpcSecurityGroupMembership></VpcSecurityGroups>\
         <DBParameterGroups><DBParameterGroup><DBParameterGroupName>{group}\
         </DBParameterGroupName><ParameterApplyStatus>in-sync</ParameterApplyStatus>\
         </DBParameterGroup></DBParameterGroups><AvailabilityZone>{REGION}a</AvailabilityZone>\
         <DBSubnetGroup><DBSubnetGroupName>shop</DBSubnetGroupName><DBSubnetGroupDescription>private\
         </DBSubnetGroupDescription><VpcId>vpc-0123456789abcdef0</VpcId><SubnetGroupStatus>Complete\
         </SubnetGroupStatus><Subnets><Subnet><SubnetIdentifier>subnet-0123456789abcdef0\
         </SubnetIdentifier><SubnetAvailabilityZone><Name>{REGION}a</Name></SubnetAvailabilityZone>\
         <SubnetStatus>Active</SubnetStatus></Subnet><Subnet><SubnetIdentifier>\
         subnet-0123456789abcdef1</SubnetIdentifier><SubnetAvailabilityZone><Name>{REGION}b</Name>\
         </SubnetAvailabilityZone><SubnetStatus>Active</SubnetStatus></Subnet></Subnets></DBSubnetGroup>\
         <PreferredMaintenanceWindow>sun:04:00-sun:04:30</PreferredMaintenanceWindow>\
         <PendingModifiedValues/><LatestRestorableTime>2026-01-01T00:00:00Z</LatestRestorableTime>\
         <MultiAZ>{is_multi_az}</MultiAZ><EngineVersion>16.4</EngineVersion>\
         <AutoMinorVersionUpgrade>true</AutoMinorVersionUpgrade>\
         <ReadReplicaDBInstanceIdentifiers/><LicenseModel>postgresql-license</LicenseModel>\
         <OptionGroupMemberships><OptionGroupMembership><OptionGroupName>default:postgres-16\
         </OptionGroupName><Status>in-sync</Status></OptionGroupMembership></OptionGroupMemberships>\
         <PubliclyAccessible>false</PubliclyAccessible><StorageType>gp3</StorageType>\
         <DbInstancePort>0</DbInstancePort><StorageEncrypted>true</StorageEncrypted>\
         <KmsKeyId>{key}</KmsKeyId><DbiResourceId>{id}</DbiResourceId>\
         <CACertificateIdentifier>rds-ca-rsa2048-g1</CACertificateIdentifier><DomainMemberships/>\
         <CopyTagsToSnapshot>true</CopyTagsToSnapshot><MonitoringInterval>60</MonitoringInterval>\
         <DBInstanceArn>arn:aws:rds:{REGION}:{ACCOUNT}:db:{name}</DBInstanceArn>\
         <IAMDatabaseAuthenticationEnabled>true</IAMDatabaseAuthenticationEnabled>\
         <PerformanceInsightsEnabled>true</PerformanceInsightsEnabled>\
         <EnabledCloudwatchLogsExports><member>postgresql</member></EnabledCloudwatchLogsExports>\
         <DeletionProtection>true</DeletionProtection><AssociatedRoles/>\
         <MaxAllocatedStorage>500</MaxAllocatedStorage><TagList>{tags}</TagList></DBInstance>"
    )
}

/// A snapshot with about what RDS tells of one.
fn snapshot(rotation: &Rotation, region: &str, which: Which) -> String {
    let (database, id) = (
        Rotation::identifier(which.database),
        Rotation::resource_id(which.database),
    );
    let name = rotation.name(which);
    let taken_at = rotation.taken_at(which);
    let key = Rotation::key(region);
    let source = match region == REGION {
        true => String::new(),
        false => format!(
            "<SourceDBSnapshotIdentifier>arn:aws:rds:{REGION}:{ACCOUNT}:snapshot:{name}\
             </SourceDBSnapshotIdentifier>"
        ),
    };
    let tags = [
        tag(
            "steward:environment",
            &Rotation::environment(which.database),
        ),
        tag("steward:made-for", &id),
        tag("steward:managed-by", "snapshot-rotation"),
        tag("steward:taken-at", &taken_at.to_string()),
        tag("team", "shop"),
    ];
    format!(
        "<DBSnapshot><DBSnapshotIdentifier>{name}</DBSnapshotIdentifier>\
         <DBInstanceIdentifier>{database}</DBInstanceIdentifier>\
         <SnapshotCreateTime>{taken_at}</SnapshotCreateTime><Engine>postgres</Engine>\
         <AllocatedStorage>100</AllocatedStorage><Status>available</Status><Port>5432</Port>\
         <AvailabilityZone>{REGION}a</AvailabilityZone><VpcId>vpc-0123456789abcdef0</VpcId>\
         <InstanceCreateTime>2020-01-01T00:00:00.000Z</InstanceCreateTime>\
         <MasterUsername>shop</MasterUsername><EngineVersion>16.4</EngineVersion>\
         <LicenseModel>postgresql-license</LicenseModel><SnapshotType>manual</SnapshotType>\
         <Iops>3000</Iops><OptionGroupName>default:postgres-16</OptionGroupName>\
         <PercentProgress>100</PercentProgress><SourceRegion>{REGION}</SourceRegion>{source}\
         <StorageType>gp3</StorageType><Encrypted>true</Encrypted><KmsKeyId>{key}</KmsKeyId>\
         <DBSnapshotArn>arn:aws:rds:{region}:{ACCOUNT}:snapshot:{name}</DBSnapshotArn>\
         <IAMDatabaseAuthenticationEnabled>true</IAMDatabaseAuthenticationEnabled>\
         <ProcessorFeatures/><DbiResourceId>{id}</DbiResourceId><TagList>{}</TagList>\
         <OriginalSnapshotCreateTime>{taken_at}</OriginalSnapshotCreateTime>\
         <SnapshotDatabaseTime>{taken_at}</SnapshotDatabaseTime><SnapshotTarget>region\
         </SnapshotTarget><StorageThroughput>125</StorageThroughput>\
         <DedicatedLogVolume>false</DedicatedLogVolume></DBSnapshot>",
        tags.concat()
    )
}

fn tag(key: &str, value: &str) -> String {
    format!("<Tag><Key>{key}</Key><Value>{value}</Value></Tag>")
}
