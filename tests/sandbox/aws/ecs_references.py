"""From a container's image reference to a digest, as it is when the question is asked."""

import re

from moto.ecr.models import ecr_backends

from ecr_images import images_of

# "Amazon ECR service endpoints" (AWS General Reference): the registry hosts with IPv4 and with dual-stack addresses, in
# the standard partitions and in China. "Container image resolution" (ECS Developer Guide) is about the rest.
ECR_REFERENCE = re.compile(
    r"(?P<account>\d{12})\.dkr[.-]ecr(-fips)?\.(?P<region>[a-z0-9-]+)"
    r"\.(amazonaws\.com(\.cn)?|on\.aws|on\.amazonwebservices\.com\.cn)"
    r"/(?P<repository>[^:@]+)(:(?P<tag>[^@]+))?(@(?P<digest>sha256:[0-9a-f]{64}))?"
)


def present_digest(reference):
    """The digest that a reference stands for now: its own, or that of its tag. None if there is no such image.

    References to other registries have a digest in AWS as well, but nobody here could know it.
    """
    if "@sha256:" in reference:
        return reference.split("@", 1)[1]
    found = ECR_REFERENCE.fullmatch(reference)
    if found is None:
        return None
    backend = ecr_backends[found["account"]][found["region"]]
    repository = backend.repositories.get(found["repository"])
    image = images_of(repository).by_tag(found["tag"] or "latest") if repository else None
    # "Archiving an image" (ECR User Guide): an archived image cannot be pulled.
    return image.digest if image and image.status == "ACTIVE" else None
