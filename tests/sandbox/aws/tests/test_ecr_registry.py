"""What is set for an Amazon ECR registry as a whole."""

import json
import unittest

from support import AwsTest

ROLE = "arn:aws:iam::123456789012:role/scanner"


class RegistryTest(AwsTest):
    def setUp(self):
        super().setUp()
        self.ecr = self.client("ecr")


class PullThroughCacheRules(RegistryTest):
    def create(self, prefix):
        return self.ecr.create_pull_through_cache_rule(ecrRepositoryPrefix=prefix, upstreamRegistryUrl="public.ecr.aws")

    def prefixes(self, **parameters):
        pages = self.ecr.get_paginator("describe_pull_through_cache_rules").paginate(**parameters)
        return [rule["ecrRepositoryPrefix"] for page in pages for rule in page["pullThroughCacheRules"]]

    def test_rules_come_in_pages(self):
        self.assertEqual([], self.prefixes())
        for prefix in ("quay", "ROOT", "docker-hub"):
            self.create(prefix)
        self.assertEqual(["ROOT", "docker-hub", "quay"], self.prefixes(PaginationConfig={"PageSize": 2}))

    def test_a_prefix_has_one_rule(self):
        self.create("quay")
        self.assert_refused("PullThroughCacheRuleAlreadyExistsException", self.create, prefix="quay")

    def test_a_missing_prefix_fails_the_call(self):
        describe = self.ecr.describe_pull_through_cache_rules
        self.assert_refused("PullThroughCacheRuleNotFoundException", describe, ecrRepositoryPrefixes=["nowhere"])


class PullTimeUpdateExclusions(RegistryTest):
    def listed(self):
        return self.ecr.list_pull_time_update_exclusions()["pullTimeUpdateExclusions"]

    def test_a_role_is_excluded_once_and_can_be_let_in_again(self):
        register = self.ecr.register_pull_time_update_exclusion
        self.assertEqual([], self.listed())
        register(principalArn=ROLE)
        self.assertEqual([ROLE], self.listed())
        self.assert_refused("ExclusionAlreadyExistsException", register, principalArn=ROLE)
        self.ecr.deregister_pull_time_update_exclusion(principalArn=ROLE)
        self.assertEqual([], self.listed())

    def test_only_roles_and_users_can_be_excluded(self):
        register = self.ecr.register_pull_time_update_exclusion
        self.assert_refused("InvalidParameterException", register, principalArn="arn:aws:iam::123456789012:root")


class Sharing(RegistryTest):
    def test_a_registry_replicates_by_several_rules_and_never_to_itself(self):
        def rule(region, prefix):
            filters = [{"filter": prefix, "filterType": "PREFIX_MATCH"}]
            return {"destinations": [{"region": region, "registryId": self.account}], "repositoryFilters": filters}

        rules = [rule("eu-west-2", "shop/"), rule("eu-west-3", "base/")]
        self.assertEqual([], self.ecr.describe_registry()["replicationConfiguration"]["rules"])
        self.ecr.put_replication_configuration(replicationConfiguration={"rules": rules})
        self.assertEqual(rules, self.ecr.describe_registry()["replicationConfiguration"]["rules"])
        own = {"rules": [rule(self.ecr.meta.region_name, "x/")]}
        put = self.ecr.put_replication_configuration
        self.assert_refused("InvalidParameterException", put, replicationConfiguration=own)

    def test_a_registry_policy_may_be_about_pulling(self):
        self.assert_refused("RegistryPolicyNotFoundException", self.ecr.get_registry_policy)
        statement = {
            "Effect": "Allow",
            "Principal": {"AWS": "222222222222"},
            "Action": "ecr:BatchGetImage",
            "Resource": "*",
        }
        text = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        self.ecr.put_registry_policy(policyText=text)
        self.assertEqual(text, self.ecr.get_registry_policy()["policyText"])


if __name__ == "__main__":
    unittest.main()
