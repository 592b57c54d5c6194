"""Network interfaces: those of NAT gateways and databases, all addresses, and pages, where moto has none of it."""

import hashlib
import ipaddress

from moto.core.responses import ActionResult
from moto.ec2 import exceptions as ex
from moto.ec2.models import elastic_network_interfaces as e
from moto.ec2.models import nat_gateways as n
from moto.ec2.responses.elastic_network_interfaces import ElasticNetworkInterfaces

LARGEST_PAGE = 1000


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


def _of_databases(ec2):
    """One interface in the database's zone, and with Multi-AZ one more, of the standby. Made for the answer only: what
    happens to a database happens to them."""
    from moto.rds.models import rds_backends

    out = []
    for name, database in rds_backends[ec2.account_id][ec2.region_name].databases.items():
        group = getattr(database, "db_subnet_group", None)
        ids = [s["SubnetIdentifier"] for s in group.subnets] if group else []
        subnets = [ec2.get_subnet(i) for i in ids]
        subnets.sort(key=lambda s: (s.availability_zone != database.availability_zone, s.id))
        for subnet in subnets[: 2 if database.multi_az else 1]:
            digest = hashlib.sha256(f"{name} {subnet.id}".encode()).hexdigest()
            block = ipaddress.ip_network(subnet.cidr_block)
            address = str(block[block.num_addresses - 2 - int(digest[:4], 16) % min(50, block.num_addresses // 4)])
            eni = e.NetworkInterface(ec2, subnet, address, description="RDSNetworkInterface")
            eni.id, eni.requester_id = f"eni-{digest[:17]}", "amazon-rds"
            eni.status, eni.requester_managed = "in-use", True
            out.append(eni)
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
        return found if eni_ids else found + e.generic_filter(filters, _of_databases(self))

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
    patch_listing()
