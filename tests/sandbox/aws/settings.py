"""How an account behaves where AWS leaves room: how long states take, and how old its deployments are."""

import threading


class Settings:
    """The settings of one account. The defaults are the fastest AWS there could be."""

    def __init__(self):
        #: DescribeDBInstances or DescribeDBSnapshots calls that a state lasts.
        self.rds_polls = 0
        #: DescribeDBInstances calls for which the storage of a restored instance that is available is still loaded.
        self.rds_loading_polls = 0
        #: Manual snapshots that an account may have in a Region; 100 unless AWS raised it.
        self.rds_manual_snapshots = 100
        #: DescribeServices calls that a rollout lasts, and that tasks take to start and stop.
        self.ecs_polls = 0
        #: Tasks that a container instance of an Auto Scaling group has room for.
        self.ecs_tasks_per_instance = 10
        #: True if a web application runs in every task, and answers through load balancers ("Databases that hold rows").
        self.ecs_applications = False
        #: DescribeAutoScalingGroups calls that instances take to come and go.
        self.autoscaling_polls = 0
        #: Instances that there is capacity for, over all Auto Scaling groups.
        self.autoscaling_instances = 100_000
        #: DescribeTargetHealth calls that a target of a task takes to be healthy.
        self.target_polls = 0
        #: DescribeImages calls that an image is ACTIVATING after it was restored from the archive.
        self.ecr_polls = 0
        #: False for deployments as they were made before Amazon ECS had service revisions.
        self.ecs_service_revisions = True
        #: Gibibytes of storage that an account may have in a Region ("Quotas for Amazon RDS": 100,000 unless raised).
        self.rds_storage_gib = 100_000
        #: True if every new PostgreSQL instance is a real server ("Databases that hold rows" in README.md).
        self.rds_real = False
        #: True if Amazon ECS and Amazon RDS tell EventBridge what happens, which wakes whoever has a rule for it.
        self.service_events = False


_settings = {}
_lock = threading.Lock()


def of_account(account):
    """The settings of an account."""
    with _lock:
        return _settings.setdefault(account, Settings())


def change(account, changes):
    """Change some settings of an account. Raises ValueError for a name or value that makes no sense."""
    current = of_account(account)
    for name, value in changes.items():
        if not hasattr(current, name):
            raise ValueError(f"there is no setting {name!r}; there are {', '.join(sorted(vars(current)))}")
        expected = type(getattr(current, name))
        if type(value) is not expected:
            raise ValueError(f"setting {name!r} takes {expected.__name__}, not {value!r}")
        if expected is int and value < 0:
            raise ValueError(f"setting {name!r} cannot be negative")
        setattr(current, name, value)
    return vars(current)
