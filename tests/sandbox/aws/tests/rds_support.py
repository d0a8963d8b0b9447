"""What the tests of Amazon RDS share."""

from support import AwsTest

HERE = "us-east-1"
THERE = "eu-west-1"


class RdsTest(AwsTest):
    """A test of databases, with a client in the Region where they live."""

    def setUp(self):
        super().setUp()
        self.rds = self.client("rds")

    def create(self, name="db", **settings):
        wanted = {
            "DBInstanceIdentifier": name,
            "DBInstanceClass": "db.t3.micro",
            "Engine": "postgres",
            "EngineVersion": "15.4",
            "AllocatedStorage": 20,
            "MasterUsername": "master",
            "MasterUserPassword": "not-a-secret",
        }
        return self.rds.create_db_instance(**{**wanted, **settings})["DBInstance"]

    def delete_everything(self):
        """Delete the account's instances and snapshots in both Regions: those that are real take room and processes."""
        for region in (HERE, THERE):
            rds = self.client("rds", region)
            for instance in rds.describe_db_instances()["DBInstances"]:
                name = instance["DBInstanceIdentifier"]
                rds.modify_db_instance(DBInstanceIdentifier=name, DeletionProtection=False)
                rds.delete_db_instance(DBInstanceIdentifier=name, SkipFinalSnapshot=True)
            for snapshot in rds.describe_db_snapshots(SnapshotType="manual")["DBSnapshots"]:
                rds.delete_db_snapshot(DBSnapshotIdentifier=snapshot["DBSnapshotIdentifier"])

    def snapshot(self, name, instance="db", **settings):
        answer = self.rds.create_db_snapshot(DBInstanceIdentifier=instance, DBSnapshotIdentifier=name, **settings)
        return answer["DBSnapshot"]

    def instance_status(self, name="db"):
        return self.rds.describe_db_instances(DBInstanceIdentifier=name)["DBInstances"][0]["DBInstanceStatus"]

    def describe_snapshot(self, name, rds=None, **settings):
        found = (rds or self.rds).describe_db_snapshots(DBSnapshotIdentifier=name, **settings)
        return found["DBSnapshots"][0]

    def names(self, rds=None, **settings):
        """The identifiers of the snapshots that a call finds."""
        found = (rds or self.rds).describe_db_snapshots(**settings)["DBSnapshots"]
        return [snapshot["DBSnapshotIdentifier"] for snapshot in found]

    def key(self, region=HERE, account=None):
        """The ARN of a new customer managed key."""
        kms = self.client("kms", region, account)
        return kms.create_key()["KeyMetadata"]["Arn"]
