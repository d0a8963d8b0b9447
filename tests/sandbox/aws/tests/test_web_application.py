"""The web application in the tasks of a service, behind its load balancer and before its database."""

import json
import unittest
import urllib.error
import urllib.request

from rds_support import RdsTest


class WebApplication(RdsTest):
    def setUp(self):
        super().setUp()
        self.addCleanup(self.delete_everything)
        self.control("settings", ecs_applications=True)
        self.create(DBName="shop")
        self.control("database/real", instance="db")
        self.sql("CREATE TABLE orders (id integer); INSERT INTO orders VALUES (1), (2)")
        secrets = self.client("secretsmanager")
        credentials = json.dumps({"username": "master", "password": "not-a-secret"})
        self.secret = secrets.create_secret(Name="shop/database", SecretString=credentials)["ARN"]
        self.ecs, self.elb = self.client("ecs"), self.client("elbv2")
        network = self.control("network")
        self.group = self.elb.create_target_group(
            Name="web",
            Protocol="HTTP",
            Port=3000,
            VpcId=network["vpc"],
            TargetType="ip",
            HealthCheckPath="/api/health",
            Matcher={"HttpCode": "200"},
        )["TargetGroups"][0]["TargetGroupArn"]
        balancer = self.elb.create_load_balancer(Name="shop", Subnets=network["public_subnets"])["LoadBalancers"][0]
        self.elb.create_listener(
            LoadBalancerArn=balancer["LoadBalancerArn"],
            Protocol="HTTP",
            Port=80,
            DefaultActions=[{"Type": "forward", "TargetGroupArn": self.group}],
        )
        self.address = self.control("elbv2/address", load_balancer="shop")["url"]
        self.assertEqual(self.address, self.control("elbv2/address", load_balancer=balancer["LoadBalancerArn"])["url"])
        self.ecs.create_cluster(clusterName="c")
        self.ecs.create_service(
            cluster="c",
            serviceName="web",
            taskDefinition=self.register("db"),
            desiredCount=1,
            loadBalancers=[{"targetGroupArn": self.group, "containerName": "web", "containerPort": 3000}],
        )
        self.ecs.describe_services(cluster="c", services=["web"])

    def sql(self, statement, instance="db"):
        return self.control("database/sql", instance=instance, sql=statement)["rows"]

    def register(self, instance):
        """A task definition as the template has it, with the endpoint of an instance."""
        found = self.rds.describe_db_instances(DBInstanceIdentifier=instance)["DBInstances"][0]["Endpoint"]
        environment = {"DATABASE_HOST": found["Address"], "DATABASE_PORT": str(found["Port"]), "DATABASE_NAME": "shop"}
        container = {
            "name": "web",
            "image": "nginx",
            "memory": 128,
            "environment": [{"name": name, "value": value} for name, value in environment.items()],
            "secrets": [
                {"name": f"DATABASE_{name.upper()}", "valueFrom": f"{self.secret}:{name}::"}
                for name in ("username", "password")
            ],
            "healthCheck": {"command": ["CMD-SHELL", "true"]},
        }
        made = self.ecs.register_task_definition(family="web", containerDefinitions=[container])
        return made["taskDefinition"]["taskDefinitionArn"]

    def get(self, path="/api/health"):
        """What a visitor is answered."""
        try:
            with urllib.request.urlopen(self.address + path, timeout=10) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code, refused.read().decode()

    def target(self):
        [found] = self.elb.describe_target_health(TargetGroupArn=self.group)["TargetHealthDescriptions"]
        return found["TargetHealth"]["State"], found["TargetHealth"].get("Reason")

    def task_health(self):
        tasks = self.ecs.list_tasks(cluster="c")["taskArns"]
        return self.ecs.describe_tasks(cluster="c", tasks=tasks)["tasks"][0]["healthStatus"]

    def deploy(self, **changes):
        self.ecs.update_service(cluster="c", service="web", **changes)
        self.control("settle")

    def test_it_answers_from_its_database(self):
        self.assertEqual((200, {"status": "ok", "database": "shop", "rows": {"orders": 2}}), self.get())
        self.assertEqual((("healthy", None), "HEALTHY"), (self.target(), self.task_health()))
        self.sql("INSERT INTO orders VALUES (3)")
        self.assertEqual({"orders": 3}, self.get()[1]["rows"])
        self.assertEqual(200, self.get("/")[0])

    def test_without_its_database_it_is_unhealthy_until_that_is_back(self):
        self.rds.stop_db_instance(DBInstanceIdentifier="db")
        self.assertEqual(503, self.get()[0])
        self.assertEqual(("unhealthy", "Target.ResponseCodeMismatch"), self.target())
        self.assertEqual("UNHEALTHY", self.task_health())
        self.rds.start_db_instance(DBInstanceIdentifier="db")
        self.assertEqual((200, ("healthy", None)), (self.get()[0], self.target()))

    def test_nobody_answers_without_a_task_that_runs(self):
        self.deploy(desiredCount=0)
        status, body = self.get()
        self.assertEqual(503, status)
        self.assertIn("503 Service Temporarily Unavailable", body)
        self.deploy(desiredCount=1)
        self.assertEqual(200, self.get()[0])

    def test_a_restored_database_is_answered_from_once_the_task_definition_names_it(self):
        self.snapshot("s")
        self.rds.delete_db_instance(DBInstanceIdentifier="db", SkipFinalSnapshot=True)
        self.rds.restore_db_instance_from_db_snapshot(DBInstanceIdentifier="new", DBSnapshotIdentifier="s")
        self.assertEqual(503, self.get()[0])
        self.deploy(taskDefinition=self.register("new"))
        self.assertEqual((200, {"status": "ok", "database": "shop", "rows": {"orders": 2}}), self.get())

    def test_a_task_has_the_secrets_that_there_were_when_it_started(self):
        secrets = self.client("secretsmanager")
        self.rds.modify_db_instance(DBInstanceIdentifier="db", MasterUserPassword="another-one")
        self.assertEqual(503, self.get()[0])
        credentials = json.dumps({"username": "master", "password": "another-one"})
        secrets.put_secret_value(SecretId=self.secret, SecretString=credentials)
        self.assertEqual(503, self.get()[0])
        self.deploy(forceNewDeployment=True)
        self.assertEqual(200, self.get()[0])

    def test_a_database_elsewhere_is_not_looked_for(self):
        self.create("other")
        self.deploy(taskDefinition=self.register("other"))
        status, body = self.get()
        self.assertEqual((503, "ValueError"), (status, json.loads(body)["because"]))

    def test_what_is_told_of_no_database_is_something_else(self):
        container = {"name": "web", "image": "nginx", "memory": 128, "healthCheck": {"command": ["CMD-SHELL", "true"]}}
        self.ecs.register_task_definition(family="web", containerDefinitions=[container])
        self.deploy(taskDefinition="web")
        self.assertEqual((502, ("healthy", None), "HEALTHY"), (self.get()[0], self.target(), self.task_health()))

    def test_a_secret_that_is_gone_leaves_it_without_its_database(self):
        self.client("secretsmanager").delete_secret(SecretId=self.secret, ForceDeleteWithoutRecovery=True)
        self.assertEqual(200, self.get()[0])
        self.deploy(forceNewDeployment=True)
        self.assertEqual(503, self.get()[0])

    def test_without_the_setting_there_is_no_application(self):
        self.control("settings", ecs_applications=False)
        self.assertEqual((502, ("healthy", None)), (self.get()[0], self.target()))
        self.assertIn("no load balancer", self.control_refusal("elbv2/address", load_balancer="x"))


if __name__ == "__main__":
    unittest.main()
