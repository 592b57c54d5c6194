"""Network interfaces: those of NAT gateways, endpoints, databases and load balancers, all addresses, and pages, where moto
has none of it."""

import hashlib
import ipaddress

from moto.core.responses import ActionResult
from moto.ec2 import exceptions as ex
from moto.ec2.models import elastic_ip_addresses as a
from moto.ec2.models import elastic_network_interfaces as e
from moto.ec2.models import nat_gateways as n
from moto.ec2.models import vpcs as v
from moto.ec2.responses.elastic_network_interfaces import ElasticNetworkInterfaces

LARGEST_PAGE = 1000
# how descriptions begin for a load balancer of this type, and the type of its interfaces
KINDS = {"network": ("net", "network_load_balancer"), "gateway": ("gwy", "gateway_load_balancer")}


def patch_nat_gateways():
    """A gateway's interface says whose it is, and goes with it."""
    init, delete = n.NatGateway.__init__, n.NatGatewayBackend.delete_nat_gateway

    def do_init(self, *args, **kwargs):
        init(self, *args, **kwargs)
        eni = self._eni
        eni.interface_type, eni.status, eni.requester_managed = "nat_gateway", "in-use", True
        eni.description, eni.source_dest_check = f"Interface for NAT Gateway {self.id}", False

    def do_delete(self, nat_gateway_id):
        gateway = delete(self, nat_gateway_id)
        self.enis.pop(gateway._eni.id, None)
        return gateway

    n.NatGateway.__init__, n.NatGatewayBackend.delete_nat_gateway = do_init, do_delete


def patch_endpoints():
    """An interface endpoint's interfaces are in use, and say whose they are."""
    create = v.VPCBackend.create_vpc_endpoint

    def do_create(self, *args, **kwargs):
        endpoint = create(self, *args, **kwargs)
        for name in endpoint.network_interface_ids:
            eni = self.enis[name]
            eni.interface_type, eni.status, eni.requester_managed = "vpc_endpoint", "in-use", True
            eni.description = f"VPC Endpoint Interface {endpoint.id}"
        return endpoint

    v.VPCBackend.create_vpc_endpoint = do_create


def patch_addresses():
    """An Elastic IP that was associated with an interface is the instance's that has the interface."""
    associate = a.ElasticAddressBackend.associate_address

    def do_associate(self, *args, **kwargs):
        address = associate(self, *args, **kwargs)
        if address.instance is None and address.eni is not None:
            address.instance = address.eni.instance
        return address

    a.ElasticAddressBackend.associate_address = do_associate


def _made_for(ec2, subnet, owner, requester, description, kind="interface"):
    """An interface that is made for the answer only: what happens to its owner happens to it."""
    digest = hashlib.sha256(f"{owner} {subnet.id}".encode()).hexdigest()
    block = ipaddress.ip_network(subnet.cidr_block)
    address = str(block[block.num_addresses - 2 - int(digest[:4], 16) % min(50, block.num_addresses // 4)])
    eni = e.NetworkInterface(ec2, subnet, address, description=description)
    eni.id, eni.requester_id, eni.interface_type = f"eni-{digest[:17]}", requester, kind
    eni.status, eni.requester_managed = "in-use", True
    return eni


def _of_databases(ec2):
    """One interface in the database's zone, and with Multi-AZ one more, of the standby."""
    from moto.rds.models import rds_backends

    out = []
    for name, database in rds_backends[ec2.account_id][ec2.region_name].databases.items():
        group = getattr(database, "db_subnet_group", None)
        ids = [s["SubnetIdentifier"] for s in group.subnets] if group else []
        subnets = [ec2.get_subnet(i) for i in ids]
        subnets.sort(key=lambda s: (s.availability_zone != database.availability_zone, s.id))
        for subnet in subnets[: 2 if database.multi_az else 1]:
            out.append(_made_for(ec2, subnet, name, "amazon-rds", "RDSNetworkInterface"))
    return out


def _of_load_balancers(ec2):
    """One interface of each load balancer in each of its subnets."""
    from moto.elb.models import elb_backends
    from moto.elbv2.models import elbv2_backends

    out = []
    for balancer in elbv2_backends[ec2.account_id][ec2.region_name].load_balancers.values():
        # moto calls all of them application load balancers in their ARNs
        short, kind = KINDS.get(balancer.type, ("app", "interface"))
        name = f"{short}/{balancer.name}/{balancer.arn.rsplit('/', 1)[-1]}"
        for subnet in balancer.subnets:
            out.append(_made_for(ec2, subnet, name, "amazon-elb", f"ELB {name}", kind))
    for balancer in elb_backends[ec2.account_id][ec2.region_name].load_balancers.values():
        for subnet in balancer.subnets or ():
            out.append(_made_for(ec2, ec2.get_subnet(subnet), balancer.name, "amazon-elb", f"ELB {balancer.name}"))
    return out


def patch_listing():
    """All addresses of an interface are found, and a listing has pages."""
    value, every = e.NetworkInterface.get_filter_value, e.NetworkInterfaceBackend.get_all_network_interfaces

    def get_filter_value(self, filter_name, method_name=None):
        if filter_name == "addresses.private-ip-address":
            return [a["PrivateIpAddress"] for a in self.private_ip_addresses]
        return value(self, filter_name, method_name)

    def get_all_network_interfaces(self, eni_ids=None, filters=None):
        found = every(self, eni_ids, filters)
        return found if eni_ids else found + e.generic_filter(filters, _of_databases(self) + _of_load_balancers(self))

    def describe_network_interfaces(self):
        self.error_on_dryrun()
        ids = self._get_param("NetworkInterfaceIds", [])
        found = self.ec2_backend.get_all_network_interfaces(ids, self._filters_from_querystring())
        found.sort(key=lambda eni: eni.id)
        size, token = int(self._get_param("MaxResults") or LARGEST_PAGE), self._get_param("NextToken") or "0"
        if not token.isdecimal():
            raise ex.EC2ClientError("InvalidNextToken", "The token is not valid or has expired.")
        end = int(token) + size
        answer = {"NetworkInterfaces": found[int(token) : end]}
        return ActionResult(answer | ({"NextToken": str(end)} if end < len(found) else {}))

    e.NetworkInterface.get_filter_value = get_filter_value
    e.NetworkInterfaceBackend.get_all_network_interfaces = get_all_network_interfaces
    ElasticNetworkInterfaces.describe_network_interfaces = describe_network_interfaces


def patch(_pace):
    """Applies all of it."""
    patch_nat_gateways()
    patch_endpoints()
    patch_addresses()
    patch_listing()
