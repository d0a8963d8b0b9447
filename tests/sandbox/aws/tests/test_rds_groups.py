"""Amazon RDS as the plugin models it: parameter groups, option groups, subnet groups."""

import unittest

from rds_support import RdsTest


class Groups(RdsTest):
    def parameters(self, group, **settings):
        pages = self.rds.get_paginator("describe_db_parameters")
        found = [
            parameter
            for page in pages.paginate(DBParameterGroupName=group, PaginationConfig={"PageSize": 20}, **settings)
            for parameter in page["Parameters"]
        ]
        return {parameter["ParameterName"]: parameter.get("ParameterValue") for parameter in found}

    def set(self, group, **values):
        parameters = [
            {"ParameterName": name.replace("__", "."), "ParameterValue": value, "ApplyMethod": "pending-reboot"}
            for name, value in values.items()
        ]
        self.rds.modify_db_parameter_group(DBParameterGroupName=group, Parameters=parameters)

    def make_group(self, name="own"):
        self.rds.create_db_parameter_group(
            DBParameterGroupName=name, DBParameterGroupFamily="postgres15", Description="d"
        )

    def test_what_somebody_set_has_the_source_user(self):
        self.make_group()
        self.assertEqual({}, self.parameters("own", Source="user"))
        self.set("own", rds__force_ssl="0", work_mem="65536")
        self.assertEqual({"rds.force_ssl": "0", "work_mem": "65536"}, self.parameters("own", Source="user"))
        self.assertNotIn("rds.force_ssl", self.parameters("own", Source="system"))
        self.assertIn("autovacuum", self.parameters("own", Source="engine-default"))
        self.assertLessEqual({"autovacuum", "work_mem", "max_connections"}, set(self.parameters("own")))
        self.rds.reset_db_parameter_group(DBParameterGroupName="own", Parameters=[{"ParameterName": "work_mem"}])
        self.assertEqual({"rds.force_ssl": "0"}, self.parameters("own", Source="user"))
        self.assert_refused("DBParameterGroupNotFound", self.rds.describe_db_parameters, DBParameterGroupName="x")

    def test_parameters_come_in_pages(self):
        self.make_group()
        for begin in (0, 20, 40):
            self.set("own", **{f"p{number}": "1" for number in range(begin, min(begin + 20, 45))})
        first = self.rds.describe_db_parameters(DBParameterGroupName="own", Source="user", MaxRecords=20)
        self.assertEqual(20, len(first["Parameters"]))
        self.assertEqual(45, len(self.parameters("own", Source="user")))
        many = [{"ParameterName": f"q{number}", "ParameterValue": "1"} for number in range(21)]
        self.assert_refused(
            "InvalidParameterValue", self.rds.modify_db_parameter_group, DBParameterGroupName="own", Parameters=many
        )

    def test_default_groups_are_there_and_cannot_be_changed(self):
        self.create()
        [instance] = self.rds.describe_db_instances()["DBInstances"]
        self.assertEqual("default.postgres15", instance["DBParameterGroups"][0]["DBParameterGroupName"])
        self.assertEqual("default:postgres-15", instance["OptionGroupMemberships"][0]["OptionGroupName"])
        [group] = self.rds.describe_db_parameter_groups(DBParameterGroupName="default.postgres15")["DBParameterGroups"]
        self.assertEqual("postgres15", group["DBParameterGroupFamily"])
        self.assertEqual({}, self.parameters("default.postgres15", Source="user"))
        self.assert_refused(
            "InvalidDBParameterGroupState",
            self.rds.modify_db_parameter_group,
            DBParameterGroupName="default.postgres15",
            Parameters=[{"ParameterName": "work_mem", "ParameterValue": "1", "ApplyMethod": "immediate"}],
        )
        self.assert_refused(
            "DBParameterGroupNotFound", self.rds.describe_db_parameter_groups, DBParameterGroupName="x"
        )

    def test_option_groups_are_of_an_engine_and_a_version(self):
        self.create()
        self.rds.create_option_group(
            OptionGroupName="own", EngineName="postgres", MajorEngineVersion="16", OptionGroupDescription="d"
        )
        groups = self.rds.describe_option_groups()["OptionGroupsList"]
        self.assertEqual(["default:postgres-15", "own"], sorted(group["OptionGroupName"] for group in groups))
        [own] = self.rds.describe_option_groups(OptionGroupName="own")["OptionGroupsList"]
        self.assertEqual(("16", []), (own["MajorEngineVersion"], own["Options"]))
        self.assert_refused("OptionGroupNotFoundFault", self.rds.describe_option_groups, OptionGroupName="x")

    def test_subnet_groups_come_in_pages(self):
        network = self.control("network")
        for number in range(21):
            self.rds.create_db_subnet_group(
                DBSubnetGroupName=f"g{number:02}", DBSubnetGroupDescription="d", SubnetIds=network["private_subnets"]
            )
        first = self.rds.describe_db_subnet_groups(MaxRecords=20)
        second = self.rds.describe_db_subnet_groups(Marker=first["Marker"])
        self.assertEqual((20, 1), (len(first["DBSubnetGroups"]), len(second["DBSubnetGroups"])))
        subnets = [subnet["SubnetIdentifier"] for subnet in second["DBSubnetGroups"][0]["Subnets"]]
        self.assertEqual(sorted(network["private_subnets"]), sorted(subnets))
        self.assert_refused("DBSubnetGroupNotFoundFault", self.rds.describe_db_subnet_groups, DBSubnetGroupName="x")

    def test_the_account_tells_what_it_has_and_may_have(self):
        self.create()
        self.make_group()
        quotas = self.rds.describe_account_attributes()["AccountQuotas"]
        has = {quota["AccountQuotaName"]: (quota["Used"], quota["Max"]) for quota in quotas}
        self.assertEqual((1, 40), has["DBInstances"])
        self.assertEqual((1, 50), has["DBParameterGroups"])
        self.assertEqual((0, 100), has["ManualSnapshots"])


if __name__ == "__main__":
    unittest.main()
