"""Application Auto Scaling as the plugin models it."""

import unittest

from scaling_support import CLUSTER, ScalingTest

ALL_SUSPENDED = {
    "DynamicScalingInSuspended": True,
    "DynamicScalingOutSuspended": True,
    "ScheduledScalingSuspended": True,
}
NONE_SUSPENDED = dict.fromkeys(ALL_SUSPENDED, False)
DIMENSION = "ecs:service:DesiredCount"


class Targets(ScalingTest):
    def setUp(self):
        super().setUp()
        self.scaling = self.client("application-autoscaling")
        self.make_service(count=2)

    def register(self, service="web", **more):
        self.scaling.register_scalable_target(
            ServiceNamespace="ecs",
            ResourceId=f"service/{CLUSTER}/{service}",
            ScalableDimension=DIMENSION,
            **more,
        )

    def follow(self, value=60.0):
        self.scaling.put_scaling_policy(
            PolicyName="cpu",
            ServiceNamespace="ecs",
            ResourceId=f"service/{CLUSTER}/web",
            ScalableDimension=DIMENSION,
            PolicyType="TargetTrackingScaling",
            TargetTrackingScalingPolicyConfiguration={
                "TargetValue": value,
                "PredefinedMetricSpecification": {"PredefinedMetricType": "ECSServiceAverageCPUUtilization"},
            },
        )

    def target(self):
        [target] = self.scaling.describe_scalable_targets(
            ServiceNamespace="ecs", ResourceIds=[f"service/{CLUSTER}/web"]
        )["ScalableTargets"]
        return target

    def bounds(self):
        target = self.target()
        return target["MinCapacity"], target["MaxCapacity"]

    def test_what_is_left_out_stays(self):
        self.register(MinCapacity=1, MaxCapacity=4)
        self.assertEqual(NONE_SUSPENDED, self.target()["SuspendedState"])
        self.register(SuspendedState=ALL_SUSPENDED)
        self.assertEqual((1, 4), self.bounds())
        self.register(MinCapacity=0)
        self.assertEqual((0, 4), self.bounds())
        self.assertEqual(ALL_SUSPENDED, self.target()["SuspendedState"])
        self.register(SuspendedState={"DynamicScalingInSuspended": False})
        self.assertEqual({**ALL_SUSPENDED, "DynamicScalingInSuspended": False}, self.target()["SuspendedState"])
        self.assertIn("RoleARN", self.target())

    def test_bounds_must_make_sense(self):
        self.assert_refused("ValidationException", self.register, MinCapacity=1)
        self.assert_refused("ValidationException", self.register, MaxCapacity=1)
        self.assert_refused("ValidationException", self.register, MinCapacity=2, MaxCapacity=1)
        self.register(MinCapacity=1, MaxCapacity=4)
        self.assert_refused("ValidationException", self.register, MinCapacity=5)
        self.assert_refused("ValidationException", self.register, MaxCapacity=0)
        self.assertEqual((1, 4), self.bounds())
        self.assert_refused("ValidationException", self.register, service="nowhere", MinCapacity=0, MaxCapacity=1)

    def test_whoever_registers_a_target_again_moves_its_service_into_the_bounds(self):
        self.register(MinCapacity=0, MaxCapacity=4)
        self.register(MinCapacity=3)
        self.assertEqual((3, 3, 0), self.counts())
        self.register(MinCapacity=0, MaxCapacity=1)
        self.assertEqual((1, 1, 0), self.counts())

    def test_policies_move_a_service_into_the_bounds_unless_they_are_suspended(self):
        self.register(MinCapacity=2, MaxCapacity=4)
        self.scale(0)
        self.control("settle")
        self.assertEqual((0, 0, 0), self.counts(), "there is no policy")
        self.follow()
        self.control("settle")
        self.assertEqual((2, 2, 0), self.counts())
        self.register(MinCapacity=0, SuspendedState=ALL_SUSPENDED)
        self.scale(0)
        self.control("settle")
        self.assertEqual((0, 0, 0), self.counts())
        self.scale(5)
        self.control("settle")
        self.assertEqual((5, 5, 0), self.counts())

    def test_targets_come_in_pages(self):
        for number in range(51):
            self.make_service(f"s{number:02}", count=0)
            self.register(f"s{number:02}", MinCapacity=0, MaxCapacity=1)
        describe = self.scaling.describe_scalable_targets
        first = describe(ServiceNamespace="ecs")
        second = describe(ServiceNamespace="ecs", NextToken=first["NextToken"])
        self.assertEqual((50, 1), (len(first["ScalableTargets"]), len(second["ScalableTargets"])))
        self.assertNotIn("NextToken", second)
        resources = [f"service/{CLUSTER}/s{number:02}" for number in range(51)]
        found = describe(ServiceNamespace="ecs", ResourceIds=resources[:2], ScalableDimension=DIMENSION)
        self.assertEqual(resources[:2], [target["ResourceId"] for target in found["ScalableTargets"]])
        nobody = describe(ServiceNamespace="ecs", ResourceIds=["service/main/nowhere"])
        self.assertEqual([], nobody["ScalableTargets"])
        self.assert_refused("ValidationException", describe, ServiceNamespace="ecs", ResourceIds=resources)
        self.assert_refused("ValidationException", describe, ServiceNamespace="ecs", MaxResults=51)
        self.assert_refused("ValidationException", describe, ServiceNamespace="ecs", ScalableDimension=DIMENSION)
        self.assert_refused("InvalidNextTokenException", describe, ServiceNamespace="ecs", NextToken="x")


if __name__ == "__main__":
    unittest.main()
