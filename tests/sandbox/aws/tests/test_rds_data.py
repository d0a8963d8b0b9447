"""Databases that are real: rows that are written, kept in snapshots, lost with the instance and restored."""

import contextlib
import json
import socket
import ssl
import time
import unittest
from datetime import datetime, timezone

import pg8000.native
from rds_support import HERE, THERE, RdsTest


class RealTest(RdsTest):
    """A test with one real database that has a table."""

    def setUp(self):
        super().setUp()
        self.addCleanup(self.delete_everything)
        self.create(DBName="shop")
        self.control("database/real", instance="db")
        self.sql("CREATE TABLE orders (id integer, at timestamptz DEFAULT clock_timestamp())")

    def sql(self, statement, instance="db", region=HERE, **parameters):
        answer = self.control("database/sql", instance=instance, region=region, sql=statement, parameters=parameters)
        return answer["rows"]

    def order(self, number, instance="db"):
        self.sql("INSERT INTO orders VALUES (:number)", instance, number=number)

    def orders(self, instance="db", region=HERE):
        return [number for [number] in self.sql("SELECT id FROM orders ORDER BY id", instance, region)]

    def describe(self, name="db", rds=None):
        return (rds or self.rds).describe_db_instances(DBInstanceIdentifier=name)["DBInstances"][0]

    def connect(self, password="not-a-secret", name="db", tls=True, user="master"):
        """A connection as an application has one."""
        endpoint = self.describe(name)["Endpoint"]
        trusted = self.control("database/connection", instance=name)["authority"]
        return contextlib.closing(
            pg8000.native.Connection(
                user,
                endpoint["Address"],
                "shop",
                endpoint["Port"],
                password,
                ssl_context=ssl.create_default_context(cafile=trusted) if tls else False,
                timeout=10,
            )
        )

    def assert_nobody_answers(self, address, port):
        with self.assertRaises(ConnectionRefusedError):
            socket.create_connection((address, port)).close()


class Endpoints(RealTest):
    def test_whoever_has_the_password_gets_in_and_tls_is_verified(self):
        with self.connect() as connection:
            connection.run("INSERT INTO orders VALUES (1)")
            self.assertEqual([[False]], connection.run("SELECT rolsuper FROM pg_roles WHERE rolname = current_user"))
        self.assertEqual([1], self.orders())
        with self.assertRaisesRegex(pg8000.Error, "password authentication failed"):
            self.connect("wrong").__enter__()
        with self.assertRaisesRegex(pg8000.Error, "no encryption"):
            self.connect(tls=False).__enter__()
        self.assertEqual("127.0.0.1", self.describe()["Endpoint"]["Address"])

    def test_much_goes_through_in_both_directions(self):
        with self.connect() as connection:
            text = "x" * 3_000_000
            self.assertEqual([[len(text), text]], connection.run("SELECT length(:text), :text", text=text))

    def test_nobody_gets_in_while_it_is_stopped(self):
        endpoint = self.describe()["Endpoint"]
        self.order(1)
        connection = self.connect().__enter__()
        self.addCleanup(connection._usock.close)
        self.rds.stop_db_instance(DBInstanceIdentifier="db")
        with self.assertRaises((pg8000.Error, OSError)):
            connection.run("SELECT 1")
        self.assert_nobody_answers(endpoint["Address"], endpoint["Port"])
        self.rds.start_db_instance(DBInstanceIdentifier="db")
        self.assertEqual(endpoint, self.describe()["Endpoint"])
        with self.connect() as connection:
            self.assertEqual([[1]], connection.run("SELECT id FROM orders"))

    def test_nobody_gets_in_while_its_status_says_so(self):
        endpoint = self.describe()["Endpoint"]
        for status in ("storage-full", "failed", "rebooting"):
            self.control("rds/instances", instance="db", status=status)
            self.assert_nobody_answers(endpoint["Address"], endpoint["Port"])
        self.control("rds/instances", instance="db", status="available")
        with self.connect() as connection:
            self.assertEqual([[1]], connection.run("SELECT 1"))

    def test_an_endpoint_is_that_of_a_name(self):
        self.order(1)
        endpoint = self.describe()["Endpoint"]
        self.snapshot("s")
        self.rds.restore_db_instance_from_db_snapshot(DBInstanceIdentifier="new", DBSnapshotIdentifier="s")
        self.order(2, "new")
        for old, new in (("db", "old"), ("new", "db")):
            self.rds.modify_db_instance(
                DBInstanceIdentifier=old, NewDBInstanceIdentifier=new, ApplyImmediately=True
            )
        self.assertEqual(endpoint, self.describe()["Endpoint"])
        self.assertEqual(([1], [1, 2]), (self.orders("old"), self.orders()))
        with self.connect() as connection:
            self.assertEqual([[2]], connection.run("SELECT max(id) FROM orders"))

    def test_an_instance_that_is_created_has_no_endpoint_yet(self):
        self.control("settings", rds_polls=1, rds_real=True)
        self.create("other")
        self.assertNotIn("Endpoint", self.describe("other"))
        self.assertEqual("127.0.0.1", self.describe("other")["Endpoint"]["Address"])
        self.assertEqual([[1]], self.sql("SELECT 1", "other"))


class Snapshots(RealTest):
    def test_rows_come_back_as_they_were(self):
        self.order(1)
        self.snapshot("s")
        self.order(2)
        self.rds.delete_db_instance(DBInstanceIdentifier="db", SkipFinalSnapshot=True)
        self.assertIn("no instance", self.control_refusal("database/sql", instance="db", sql="SELECT 1"))
        for name in ("new", "newer"):
            self.rds.restore_db_instance_from_db_snapshot(DBInstanceIdentifier=name, DBSnapshotIdentifier="s")
            self.assertEqual([1], self.orders(name))
            self.order(3, name)
        with self.connect(name="new") as connection:
            self.assertEqual([[3]], connection.run("SELECT max(id) FROM orders"))

    def test_a_copy_carries_the_rows_into_another_region(self):
        there = self.client("rds", THERE)
        self.order(1)
        arn = self.snapshot("s")["DBSnapshotArn"]
        there.copy_db_snapshot(SourceDBSnapshotIdentifier=arn, TargetDBSnapshotIdentifier="c", SourceRegion=HERE)
        self.order(2)
        self.rds.delete_db_snapshot(DBSnapshotIdentifier="s")
        self.rds.delete_db_instance(DBInstanceIdentifier="db", SkipFinalSnapshot=True)
        there.restore_db_instance_from_db_snapshot(DBInstanceIdentifier="db", DBSnapshotIdentifier="c")
        self.assertEqual([1], self.orders(region=THERE))

    def test_final_snapshots_and_those_of_a_stop_have_all_rows(self):
        self.order(1)
        self.rds.stop_db_instance(DBInstanceIdentifier="db", DBSnapshotIdentifier="stop")
        self.rds.start_db_instance(DBInstanceIdentifier="db")
        self.order(2)
        self.rds.delete_db_instance(DBInstanceIdentifier="db", FinalDBSnapshotIdentifier="final")
        for name, expected in (("stop", [1]), ("final", [1, 2])):
            self.rds.restore_db_instance_from_db_snapshot(DBInstanceIdentifier=name, DBSnapshotIdentifier=name)
            self.assertEqual(expected, self.orders(name))

    def test_what_was_no_real_database_is_none_when_it_is_restored(self):
        self.create("other")
        self.snapshot("s", "other")
        self.rds.restore_db_instance_from_db_snapshot(DBInstanceIdentifier="new", DBSnapshotIdentifier="s")
        self.assertIn("not a real database", self.control_refusal("database/sql", instance="new", sql="SELECT 1"))
        self.assertEqual(5432, self.describe("new")["Endpoint"]["Port"])


class PointInTime(RealTest):
    def setUp(self):
        super().setUp()
        # What was before the first backup cannot be restored, and so it begins with another.
        self.create("timed", DBName="shop", BackupRetentionPeriod=0)
        self.control("database/real", instance="timed")
        self.sql("CREATE TABLE orders (id integer)", "timed")
        self.modify(BackupRetentionPeriod=7)

    def modify(self, **changes):
        self.rds.modify_db_instance(DBInstanceIdentifier="timed", ApplyImmediately=True, **changes)

    def now(self):
        [[text]] = self.sql("SELECT clock_timestamp()::text", "timed")
        time.sleep(0.01)
        return datetime.fromisoformat(text).astimezone(timezone.utc)

    def restore(self, target, **settings):
        latest = datetime.now(timezone.utc).isoformat()
        if "timed" in [each["DBInstanceIdentifier"] for each in self.rds.describe_db_instances()["DBInstances"]]:
            self.control("rds/instances", instance="timed", latest_restorable_time=latest)
        self.rds.restore_db_instance_to_point_in_time(TargetDBInstanceIdentifier=target, **settings)
        return self.orders(target)

    def test_rows_are_those_of_that_moment(self):
        before = self.now()
        self.order(1, "timed")
        between = self.now()
        self.order(2, "timed")
        of_it = {"SourceDBInstanceIdentifier": "timed"}
        self.assertEqual([], self.restore("a", RestoreTime=before, **of_it))
        self.assertEqual([1], self.restore("b", RestoreTime=between, **of_it))
        self.assertEqual([1, 2], self.restore("c", UseLatestRestorableTime=True, **of_it))
        self.order(3, "b")
        self.assertEqual([1, 3], self.orders("b"))
        self.control("rds/instances", instance="b", latest_restorable_time=datetime.now(timezone.utc).isoformat())
        self.assertEqual([1, 3], self.restore("d", SourceDBInstanceIdentifier="b", UseLatestRestorableTime=True))

    def test_what_a_stopped_instance_had_is_there(self):
        self.order(1, "timed")
        self.rds.stop_db_instance(DBInstanceIdentifier="timed")
        self.assertEqual([1], self.restore("new", SourceDBInstanceIdentifier="timed", UseLatestRestorableTime=True))

    def test_retained_backups_of_a_deleted_instance_have_its_rows(self):
        self.order(1, "timed")
        resource_id = self.describe("timed")["DbiResourceId"]
        first = self.snapshot_time("timed")
        self.rds.delete_db_instance(
            DBInstanceIdentifier="timed", SkipFinalSnapshot=True, DeleteAutomatedBackups=False
        )
        [backup] = self.rds.describe_db_instance_automated_backups(DbiResourceId=resource_id)["DBInstanceAutomatedBackups"]
        self.assertEqual("retained", backup["Status"])
        self.assertLessEqual(first, backup["RestoreWindow"]["LatestTime"])
        self.assertEqual([1], self.restore("new", SourceDbiResourceId=resource_id, UseLatestRestorableTime=True))

    def snapshot_time(self, name):
        found = self.rds.describe_db_snapshots(DBInstanceIdentifier=name, SnapshotType="automated")["DBSnapshots"]
        return min(each["SnapshotCreateTime"] for each in found)

    def test_replicated_backups_are_restored_in_their_region(self):
        there = self.client("rds", THERE)
        there.start_db_instance_automated_backups_replication(SourceDBInstanceArn=self.describe("timed")["DBInstanceArn"])
        self.order(1, "timed")
        resource_id = self.describe("timed")["DbiResourceId"]
        latest = self.now().isoformat()
        self.order(2, "timed")
        self.control("rds/replicated-backups", region=THERE, resource_id=resource_id, latest=latest)
        self.rds.delete_db_instance(DBInstanceIdentifier="timed", SkipFinalSnapshot=True)
        [backup] = there.describe_db_instance_automated_backups()["DBInstanceAutomatedBackups"]
        there.restore_db_instance_to_point_in_time(
            SourceDBInstanceAutomatedBackupsArn=backup["DBInstanceAutomatedBackupsArn"],
            TargetDBInstanceIdentifier="new",
            UseLatestRestorableTime=True,
        )
        self.assertEqual([1], self.orders("new", THERE))


class Passwords(RealTest):
    def test_a_new_password_is_in_effect_and_a_restore_has_that_of_the_snapshot(self):
        self.snapshot("s")
        self.rds.modify_db_instance(DBInstanceIdentifier="db", MasterUserPassword="another-one")
        with self.connect("another-one") as connection:
            connection.run("SELECT 1")
        self.rds.restore_db_instance_from_db_snapshot(DBInstanceIdentifier="new", DBSnapshotIdentifier="s")
        with self.connect("not-a-secret", "new") as connection:
            connection.run("SELECT 1")

    def test_a_managed_password_is_in_its_secret_and_does_not_come_back_with_a_restore(self):
        self.create("managed", DBName="shop", MasterUserPassword=None, managed=True)
        self.control("database/real", instance="managed")
        with self.connect(self.secret_of("managed"), "managed") as connection:
            connection.run("SELECT 1")
        before = self.secret_of("managed")
        self.rds.modify_db_instance(
            DBInstanceIdentifier="managed", RotateMasterUserPassword=True, ApplyImmediately=True
        )
        self.assertNotEqual(before, self.secret_of("managed"))
        self.snapshot("s", "managed")
        self.rds.restore_db_instance_from_db_snapshot(DBInstanceIdentifier="new", DBSnapshotIdentifier="s")
        self.assertNotIn("MasterUserSecret", self.describe("new"))
        with self.connect(self.secret_of("managed"), "new") as connection:
            connection.run("SELECT 1")
        self.rds.modify_db_instance(DBInstanceIdentifier="new", ManageMasterUserPassword=True)
        self.assertNotEqual(self.secret_of("managed"), self.secret_of("new"))
        with self.connect(self.secret_of("new"), "new") as connection:
            connection.run("SELECT 1")

    def create(self, name="db", managed=False, **settings):
        if not managed:
            return super().create(name, **settings)
        wanted = {"DBInstanceClass": "db.t3.micro", "Engine": "postgres", "EngineVersion": "15.4", "AllocatedStorage": 20}
        return self.rds.create_db_instance(
            DBInstanceIdentifier=name,
            MasterUsername="master",
            ManageMasterUserPassword=True,
            DBName=settings["DBName"],
            **wanted,
        )

    def secret_of(self, name):
        secret = self.describe(name)["MasterUserSecret"]["SecretArn"]
        value = json.loads(self.client("secretsmanager").get_secret_value(SecretId=secret)["SecretString"])
        self.assertEqual("master", value["username"])
        return value["password"]


class Tokens(RealTest):
    def setUp(self):
        super().setUp()
        self.sql("CREATE USER probe; GRANT rds_iam TO probe")

    def enable(self, enabled=True):
        self.rds.modify_db_instance(
            DBInstanceIdentifier="db", EnableIAMDatabaseAuthentication=enabled, ApplyImmediately=True
        )

    def token(self, user="probe", region=HERE, **endpoint):
        found = self.describe()["Endpoint"]
        where = {"DBHostname": found["Address"], "Port": found["Port"], **endpoint}
        return self.client("rds", region).generate_db_auth_token(DBUsername=user, **where)

    def refuse(self, password):
        with self.assertRaisesRegex(pg8000.Error, "PAM authentication failed"):
            self.connect(password, user="probe").__enter__()

    def test_who_is_granted_the_role_comes_in_with_a_token_and_not_otherwise(self):
        token = self.token()
        self.refuse(token)
        self.enable()
        for _ in range(2):
            with self.connect(token, user="probe") as connection:
                self.assertEqual([["probe"]], connection.run("SELECT current_user"))
        for wrong in ("", "a-password", self.token("master"), self.token(Port=1), self.token(region=THERE)):
            self.refuse(wrong)
        self.refuse(token.replace("X-Amz-Expires=900", "X-Amz-Expires=90000"))
        self.enable(False)
        self.refuse(token)

    def test_who_is_not_comes_in_with_a_password_only(self):
        self.enable()
        with self.connect() as connection:
            self.assertEqual([["master"]], connection.run("SELECT current_user"))
        with self.assertRaisesRegex(pg8000.Error, "password authentication failed"):
            self.connect(self.token("master")).__enter__()


class Parameters(RealTest):
    def setUp(self):
        super().setUp()
        self.rds.create_db_parameter_group(
            DBParameterGroupName="own", DBParameterGroupFamily="postgres15", Description="d"
        )
        self.rds.modify_db_instance(DBInstanceIdentifier="db", DBParameterGroupName="own")

    def set(self, method="immediate", **values):
        self.rds.modify_db_parameter_group(
            DBParameterGroupName="own",
            Parameters=[
                {"ParameterName": name.replace("__", "."), "ParameterValue": value, "ApplyMethod": method}
                for name, value in values.items()
            ],
        )

    def test_dynamic_ones_are_in_effect_at_once_and_static_ones_after_a_reboot(self):
        self.set(work_mem="8192", rds__force_ssl="0")
        self.assertEqual([["8MB"]], self.sql("SHOW work_mem"))
        with self.connect(tls=False) as connection:
            connection.run("SELECT 1")
        self.set("pending-reboot", max_connections="33")
        self.assertEqual([["100"]], self.sql("SHOW max_connections"))
        self.rds.reboot_db_instance(DBInstanceIdentifier="db")
        self.assertEqual([["33"]], self.sql("SHOW max_connections"))

    def test_an_instance_that_cannot_start_with_them_says_so(self):
        self.set("pending-reboot", max_connections="1")
        self.rds.reboot_db_instance(DBInstanceIdentifier="db")
        self.assertEqual("incompatible-parameters", self.describe()["DBInstanceStatus"])
        self.set("pending-reboot", max_connections="50")
        self.rds.reboot_db_instance(DBInstanceIdentifier="db")
        self.assertEqual("available", self.describe()["DBInstanceStatus"])
        self.assertEqual([["50"]], self.sql("SHOW max_connections"))


if __name__ == "__main__":
    unittest.main()
