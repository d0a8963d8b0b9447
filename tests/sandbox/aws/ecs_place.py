"""Where resources of Amazon ECS live."""


class Place:
    """A cluster: what the ARNs of its resources have in common."""

    def __init__(self, backend, cluster):
        self.backend = backend
        self.account = backend.account_id
        self.region = backend.region_name
        self.cluster_name = cluster.name
        self.cluster_arn = cluster.arn
        self._prefix = f"arn:{backend.partition}:ecs:{backend.region_name}:{backend.account_id}"

    def arn(self, kind, *parts):
        """The ARN of a resource in this cluster."""
        return f"{self._prefix}:{kind}/{'/'.join((self.cluster_name,) + parts)}"

    @property
    def tasks(self):
        """The tasks of the cluster by ARN, where moto keeps them as well."""
        return self.backend.tasks.setdefault(self.cluster_name, {})

    @property
    def services(self):
        """The services of the cluster by name, also deleted ones."""
        services = self.backend.services.values()
        return {service.name: service for service in services if service.cluster_name == self.cluster_name}
