"""The network of the reference system, laid out in one request, because it takes a dozen calls and a large SDK crate.

10.0.0.0/16 with two public and two private subnets in two zones, and security groups that let traffic through from the
load balancer (80, 443) to the service (3000) to the database (5432) and no other way.
"""

from moto.ec2.models import ec2_backends

VPC_BLOCK = "10.0.0.0/16"
PUBLIC_BLOCKS = ("10.0.1.0/24", "10.0.2.0/24")
PRIVATE_BLOCKS = ("10.0.3.0/24", "10.0.4.0/24")


def lay_out(account, region):
    """Make the network; returns the ids of its parts."""
    ec2 = ec2_backends[account][region]
    vpc = ec2.create_vpc(VPC_BLOCK)
    public = [_subnet(ec2, vpc, block, zone) for block, zone in zip(PUBLIC_BLOCKS, "ab")]
    private = [_subnet(ec2, vpc, block, zone) for block, zone in zip(PRIVATE_BLOCKS, "ab")]
    _connect_to_internet(ec2, vpc, public)
    alb = _group(ec2, vpc, "alb", "The load balancer, from everywhere")
    service = _group(ec2, vpc, "service", "The service, from the load balancer")
    database = _group(ec2, vpc, "database", "The database, from the service")
    for port in (80, 443):
        _allow(ec2, alb, port, blocks=["0.0.0.0/0"])
    _allow(ec2, service, 3000, source=alb)
    _allow(ec2, database, 5432, source=service)
    return {
        "vpc": vpc.id,
        "public_subnets": [subnet.id for subnet in public],
        "private_subnets": [subnet.id for subnet in private],
        "security_groups": {"alb": alb.id, "service": service.id, "database": database.id},
    }


def _subnet(ec2, vpc, block, zone):
    return ec2.create_subnet(vpc.id, block, availability_zone=f"{ec2.region_name}{zone}")


def _connect_to_internet(ec2, vpc, subnets):
    gateway = ec2.create_internet_gateway()
    ec2.attach_internet_gateway(gateway.id, vpc.id)
    table = ec2.create_route_table(vpc.id)
    ec2.create_route(table.id, "0.0.0.0/0", gateway_id=gateway.id)
    for subnet in subnets:
        ec2.associate_route_table(route_table_id=table.id, subnet_id=subnet.id)


def _group(ec2, vpc, name, description):
    return ec2.create_security_group(name=name, description=description, vpc_id=vpc.id)


def _allow(ec2, group, port, blocks=(), source=None):
    ec2.authorize_security_group_ingress(
        group_name_or_id=group.id,
        ip_protocol="tcp",
        from_port=str(port),
        to_port=str(port),
        ip_ranges=[{"CidrIp": block} for block in blocks],
        source_groups=[{"GroupId": source.id}] if source else [],
        vpc_id=group.vpc_id,
    )
