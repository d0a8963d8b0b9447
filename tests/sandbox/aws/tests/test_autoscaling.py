"""Amazon EC2 Auto Scaling as the plugin models it."""

import unittest

from scaling_support import ScalingTest


class Sizes(ScalingTest):
    def test_what_an_update_leaves_out_stays(self):
        self.make_group(smallest=1, desired=2, largest=5)
        self.resize(DesiredCapacity=3)
        self.assertEqual((1, 3, 5), self.sizes())
        self.resize(MinSize=0)
        self.assertEqual((0, 3, 5), self.sizes())
        self.resize(HealthCheckGracePeriod=60)
        self.assertEqual((0, 3, 5), self.sizes())
        self.assertEqual("group", self.group()["LaunchConfigurationName"])

    def test_a_minimum_above_the_desired_capacity_raises_it_and_a_maximum_below_lowers_it(self):
        self.make_group(smallest=0, desired=0, largest=5)
        self.resize(MinSize=2)
        self.assertEqual((2, 2, 5), self.sizes())
        self.assertEqual(["InService"] * 2, self.states())
        self.resize(MinSize=0, MaxSize=1)
        self.assertEqual((0, 1, 1), self.sizes())

    def test_a_desired_capacity_outside_the_bounds_is_refused_and_changes_nothing(self):
        self.make_group(smallest=1, desired=2, largest=5)
        for sizes in (
            {"DesiredCapacity": 6},
            {"DesiredCapacity": 0},
            {"DesiredCapacity": 1, "MinSize": 2},
            {"MinSize": 6},
            {"MinSize": 3, "MaxSize": 2},
        ):
            self.assert_refused("ValidationError", self.resize, **sizes)
        for capacity in (0, 6):
            self.assert_refused(
                "ValidationError",
                self.groups.set_desired_capacity,
                AutoScalingGroupName="group",
                DesiredCapacity=capacity,
            )
        self.assertEqual((1, 2, 5), self.sizes())
        self.assert_refused("ValidationError", self.resize, name="nowhere", MinSize=0)
        self.assert_refused("ValidationError", self.make_group, name="wrong", desired=11)

    def test_a_mixed_instances_policy_stays_when_it_is_left_out(self):
        ec2 = self.client("ec2")
        ec2.create_launch_template(
            LaunchTemplateName="mixed", LaunchTemplateData={"ImageId": "ami-12c6146b", "InstanceType": "t3.medium"}
        )
        specification = {"LaunchTemplateName": "mixed", "Version": "$Latest"}
        self.groups.create_auto_scaling_group(
            AutoScalingGroupName="mixed",
            MixedInstancesPolicy={"LaunchTemplate": {"LaunchTemplateSpecification": specification}},
            MinSize=0,
            MaxSize=2,
            VPCZoneIdentifier=self.network["private_subnets"][0],
        )
        self.resize("mixed", MinSize=1)
        self.assertIn("MixedInstancesPolicy", self.group("mixed"))
        self.assertEqual(["InService"], self.states("mixed"))


class Instances(ScalingTest):
    def test_instances_take_time_to_come_and_go(self):
        self.make_group(desired=1)
        self.control("settings", autoscaling_polls=1)
        self.resize(DesiredCapacity=2)
        self.assertEqual(["InService", "Pending"], self.states())
        self.assertEqual(["InService", "InService"], self.states())
        self.resize(DesiredCapacity=0)
        self.assertEqual(["Terminating"] * 2, self.states())
        self.assertEqual([], self.states())

    def test_instances_on_their_way_arrive_on_demand(self):
        self.control("settings", autoscaling_polls=1000)
        self.make_group(desired=1)
        self.assertEqual([["Pending"]] * 3, [self.states() for _ in range(3)])
        self.control("settle")
        self.assertEqual(["InService"], self.states())
        self.resize(DesiredCapacity=0)
        self.assertEqual([["Terminating"]] * 3, [self.states() for _ in range(3)])
        self.control("settle")
        self.assertEqual([], self.states())

    def test_protected_instances_stay_until_they_are_not_protected(self):
        self.make_group(desired=2)
        one = self.group()["Instances"][0]["InstanceId"]
        self.protect(one, True)
        self.resize(DesiredCapacity=0)
        self.assertEqual([one], [instance["InstanceId"] for instance in self.group()["Instances"]])
        self.assertEqual((0, 0, 10), self.sizes())
        self.protect(one, False)
        self.assertEqual([], self.states())

    def protect(self, instance, protected):
        self.groups.set_instance_protection(
            AutoScalingGroupName="group", InstanceIds=[instance], ProtectedFromScaleIn=protected
        )

    def test_without_capacity_no_instance_comes_until_there_is_some(self):
        self.control("settings", autoscaling_instances=1)
        self.make_group(desired=2)
        self.assertEqual(["InService"], self.states())
        self.control("settings", autoscaling_instances=2)
        self.assertEqual(["InService"] * 2, [*self.states(), *self.states()][-2:])

    def test_suspended_processes_do_nothing(self):
        self.make_group(desired=1)
        self.groups.suspend_processes(AutoScalingGroupName="group", ScalingProcesses=["Launch", "Terminate"])
        for capacity in (2, 0):
            self.resize(DesiredCapacity=capacity)
            self.assertEqual(["InService"], self.states())
        self.groups.resume_processes(AutoScalingGroupName="group", ScalingProcesses=["Terminate"])
        self.states()
        self.assertEqual([], self.states())


class Listings(ScalingTest):
    def test_groups_come_in_pages_and_by_tag(self):
        for number in range(51):
            tags = [{"Key": "steward:environment", "Value": "even" if number % 2 == 0 else "odd"}]
            self.make_group(f"g{number:02}", desired=0, Tags=tags)
        first = self.groups.describe_auto_scaling_groups()
        self.assertEqual(50, len(first["AutoScalingGroups"]))
        second = self.groups.describe_auto_scaling_groups(NextToken=first["NextToken"])
        self.assertEqual(["g50"], [group["AutoScalingGroupName"] for group in second["AutoScalingGroups"]])
        self.assertNotIn("NextToken", second)
        whole = self.groups.describe_auto_scaling_groups(MaxRecords=100)
        self.assertEqual(51, len(whole["AutoScalingGroups"]))
        self.assert_refused("ValidationError", self.groups.describe_auto_scaling_groups, MaxRecords=101)
        self.assert_refused("InvalidNextToken", self.groups.describe_auto_scaling_groups, NextToken="x")
        by_tag = [{"Name": "tag:steward:environment", "Values": ["odd"]}]
        found = self.groups.describe_auto_scaling_groups(Filters=by_tag)["AutoScalingGroups"]
        self.assertEqual(25, len(found))
        named = self.groups.describe_auto_scaling_groups(AutoScalingGroupNames=["g01", "nowhere"])
        self.assertEqual(["g01"], [group["AutoScalingGroupName"] for group in named["AutoScalingGroups"]])

    def test_tags_come_and_go(self):
        self.make_group(desired=0)
        self.tag("steward:parked", "2026-11-23T20:00:00Z desired=2 min=1 max=4")
        self.tag("steward:parked", "2026-11-24T20:00:00Z desired=2 min=1 max=4")
        self.tag("team", "a")
        told = {tag["Key"]: tag["Value"] for tag in self.group()["Tags"]}
        self.assertEqual({"steward:parked": "2026-11-24T20:00:00Z desired=2 min=1 max=4", "team": "a"}, told)
        for _ in range(2):
            self.groups.delete_tags(Tags=[self.named("steward:parked")])
        self.assertEqual(["team"], [tag["Key"] for tag in self.group()["Tags"]])
        self.assert_refused("ValidationError", self.tag, key="team", value="a", group="nowhere")
        self.assert_refused("ValidationError", self.groups.delete_tags, Tags=[self.named("team", "nowhere")])
        self.assert_refused("ValidationError", self.tag, key="aws:team", value="a")
        self.assert_refused("ValidationError", self.tag, key="team", value="a" * 257)

    def tag(self, key, value, group="group"):
        tag = {**self.named(key, group), "Value": value, "PropagateAtLaunch": False}
        self.groups.create_or_update_tags(Tags=[tag])

    @staticmethod
    def named(key, group="group"):
        return {"ResourceId": group, "ResourceType": "auto-scaling-group", "Key": key}

    def test_tags_are_listed_in_pages(self):
        self.make_group(desired=0)
        for number in range(3):
            self.tag(f"k{number}", "v")
        first = self.groups.describe_tags(MaxRecords=2)
        second = self.groups.describe_tags(MaxRecords=2, NextToken=first["NextToken"])
        self.assertEqual(["k0", "k1", "k2"], [tag["Key"] for page in (first, second) for tag in page["Tags"]])
        self.assertNotIn("NextToken", second)


if __name__ == "__main__":
    unittest.main()
