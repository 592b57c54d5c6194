"""EC2: lifecycle views and the places where moto is kinder than AWS."""

from functools import wraps

from moto.core.responses import ActionResult, BaseResponse
from moto.core.utils import utcnow
from moto.ec2 import exceptions as ex
from moto.ec2.models import instances as m
from moto.ec2.models import route_tables as rt
from moto.ec2.responses._base_response import EC2BaseResponse
from moto.ec2.responses.amis import AmisResponse
from moto.ec2.responses.instances import InstanceResponse
from moto.ec2.responses.route_tables import RouteTables

from .pace import begin, view

CODES = {"pending": 0, "running": 16, "shutting-down": 32, "terminated": 48, "stopping": 64, "stopped": 80}


def state_of(instance):
    """The instance's state as a reader sees it."""
    return view(instance, instance._state.name)


def is_gone(instance):
    """Terminated for good: AWS no longer shows subnet, VPC, groups and interfaces."""
    return state_of(instance) == "terminated"


def _shown(instance):
    name = state_of(instance)
    return m.InstanceState(name, CODES[name])


def _hide_when_gone(cls, name, empty):
    original = getattr(cls, name)
    setattr(cls, name, property(lambda self: empty() if is_gone(self) else original.fget(self)))


def _wrong_state(instance, what):
    return ex.EC2ClientError(
        "IncorrectInstanceState",
        f"The instance '{instance.id}' is not in a state from which it can be {what}.",
    )


def patch_views(pace):
    """What a reader sees of an instance, and how its state changes."""
    cls = m.Instance
    cls.instance_state = property(_shown)
    cls.state = property(state_of)
    cls.state_code = property(lambda self: CODES[state_of(self)])
    cls.is_running = lambda self: state_of(self) == "running"
    for name in ("vpc_id", "subnet_id", "private_ip", "private_ip_address", "public_ip", "public_ip_address"):
        _hide_when_gone(cls, name, lambda: None)
    for name in ("network_interfaces", "block_device_mappings"):
        _hide_when_gone(cls, name, list)
    _hide_when_gone(cls, "private_dns_name", str)
    _hide_when_gone(cls, "public_dns_name", str)

    def get_groups(self):
        return [] if is_gone(self) else self.__dict__.get("_redrill_groups", [])

    cls.security_groups = property(get_groups, lambda self, groups: self.__dict__.update(_redrill_groups=groups))

    def applies(self, filters):
        for f in filters or []:
            if f["name"] == "instance-state-name" and state_of(self) not in f["values"]:
                return False
            if f["name"] == "instance-state-code" and str(CODES[state_of(self)]) not in f["values"]:
                return False
        return True

    cls.applies = applies
    start, stop, terminate = cls.start, cls.stop, cls.terminate

    def do_start(self):
        before = _shown(self)
        if before.name == "stopped":
            start(self)
            # on AWS it is the time of the last start
            self.launch_time = utcnow()
            begin(self, ("pending", pace["pending"]))
        return before

    def do_stop(self):
        before = _shown(self)
        if before.name == "running":
            stop(self)
            begin(self, ("stopping", pace["stopping"]))
        return before

    def do_terminate(self):
        before = _shown(self)
        if self._state.name == "terminated":
            return before
        subnet = self.ec2_backend.get_subnet(self.subnet_id) if self.subnet_id else None
        terminate(self)
        # an interface that outlives the instance keeps its addresses
        staying = [nic for nic in self.nics.values() if nic.delete_on_termination is False]
        if self.nics.get(0) in staying:
            begin(self, ("shutting-down", pace["shutting-down"]))
            return before
        for address in self.ec2_backend.addresses:
            if address.eni in staying:
                continue
            if address.association_id and (address.instance is self or address.eni in self.nics.values()):
                self.ec2_backend.disassociate_address(association_id=address.association_id)
        begin(self, ("shutting-down", pace["shutting-down"]))
        # moto keeps address and interface for as long as the instance object lives; AWS frees both
        for address in self._private_ips if subnet else ():
            subnet.del_subnet_ip(address)
        self._private_ips = set()
        for nic in self.nics.values():
            if nic.description == "Primary network interface":
                self.ec2_backend.enis.pop(nic.id, None)
        return before

    cls.start, cls.stop, cls.terminate = do_start, do_stop, do_terminate


def patch_backend(pace):
    """Batches: which calls are refused, and what has happened although they were."""
    cls = m.InstanceBackend
    run, start, stop, reboot = cls.run_instances, cls.start_instances, cls.stop_instances, cls.reboot_instances

    @wraps(run)
    def do_run(self, *args, **kwargs):
        reservation = run(self, *args, **kwargs)
        named = [n for n in kwargs.get("nics") or () if str(n.get("DeviceIndex")) == "0"]
        groups = [self.get_security_group_from_id(g) for n in named for g in n.get("Groups") or ()]
        for instance in reservation.instances:
            # moto does not tell the groups of an instance whose launch named its interface
            instance.security_groups = instance.security_groups or groups
            # what a launch makes goes with the instance unless it says otherwise; moto keeps it
            asked = {str(n.get("DeviceIndex")): n for n in kwargs.get("nics") or ()}
            for index, nic in instance.nics.items():
                spec = asked.get(str(index), {})
                if "NetworkInterfaceId" not in spec and spec.get("DeleteOnTermination") is None:
                    nic.delete_on_termination = True
            begin(instance, ("pending", pace["pending"]))
        return reservation

    def require(self, ids, allowed, what):
        for instance in self.get_multi_instances_by_id(ids):
            if state_of(instance) not in allowed:
                raise _wrong_state(instance, what)

    def do_start(self, instance_ids):
        require(self, instance_ids, ("stopped", "running", "pending"), "started")
        return start(self, instance_ids)

    def do_stop(self, instance_ids):
        require(self, instance_ids, ("running", "stopping", "stopped"), "stopped")
        return stop(self, instance_ids)

    def do_reboot(self, instance_ids):
        require(self, instance_ids, ("running",), "rebooted")
        return reboot(self, instance_ids)

    def do_terminate(self, instance_ids):
        if not instance_ids:
            raise ex.InvalidParameterCombination("No instances specified")
        instances = self.get_multi_instances_by_id(instance_ids)
        protected = [i for i in instances if i.disable_api_termination is True and not is_gone(i)]
        spared = {i.availability_zone for i in protected}
        done = [(i, i.terminate()) for i in instances if i.availability_zone not in spared]
        if protected:
            # zones are dealt with one by one: the others are gone although the call fails
            _tell(self, [i.id for i, _ in done])
            raise ex.OperationNotPermitted4(protected[0].id)
        return done

    cls.run_instances, cls.start_instances, cls.stop_instances = do_run, do_start, do_stop
    cls.reboot_instances, cls.terminate_instances = do_reboot, do_terminate


def _tell(ec2, ids):
    """Tells Auto Scaling and load balancing that instances are gone, as moto does after a whole batch."""
    from moto.autoscaling import autoscaling_backends
    from moto.elbv2 import elbv2_backends

    autoscaling_backends[ec2.account_id][ec2.region_name].notify_terminate_instances(ids)
    elbv2_backends[ec2.account_id][ec2.region_name].notify_terminate_instances(ids)


def _once_per_token(cls, name):
    """The same ClientToken makes nothing twice; with other parameters it is an error."""
    original = getattr(cls, name)

    def call(self):
        token = self._get_param("ClientToken")
        if not token:
            return original(self)
        asked = {k: v for k, v in self.querystring.items() if k != "ClientToken"}
        known = self.ec2_backend.__dict__.setdefault("_redrill_tokens", {})
        if (name, token) in known:
            before, result = known[name, token]
            for instance in getattr(result.result, "instances", ()):
                if is_gone(instance):
                    raise ex.EC2ClientError(
                        "IdempotentInstanceTerminated",
                        "The client token provided is associated with a terminated instance.",
                    )
            if before != asked:
                raise ex.EC2ClientError(
                    "IdempotentParameterMismatch",
                    "The client token you have provided is associated with a resource with different parameters.",
                )
            return result
        result = original(self)
        known[name, token] = (asked, result)
        return result

    setattr(cls, name, call)


def patch_responses():
    """DryRun, unknown filters, tokens, and parameters that moto drops."""

    def failed(self, error):
        status, headers, body = self.serialized(ActionResult(error))
        return status, {**headers, "status": str(status)}, body

    def call_action(self):
        if str(self._get_param("DryRun", False)).lower() == "true":
            return failed(self, ex.DryRunClientError())
        try:
            return BaseResponse.call_action(self)
        except NotImplementedError as error:
            names = list(self._filters_from_querystring())
            unknown = [n for n in names if f"'{n}'" in str(error)] or names[:1]
            if unknown and "ilter" in str(error):
                return failed(
                    self, ex.EC2ClientError("InvalidParameterValue", f"The filter '{unknown[0]}' is invalid")
                )
            raise

    EC2BaseResponse.call_action = call_action
    run = InstanceResponse.run_instances

    def run_instances(self):
        image, key = self._get_param("ImageId"), self._get_param("KeyName")
        # moto launches from images that do not exist, and with keys that do not
        if image and image not in self.ec2_backend.amis:
            raise ex.InvalidAMIIdError(image)
        if key and key not in self.ec2_backend.key_pairs:
            raise ex.InvalidKeyPairNameError(key)
        result = run(self)
        if str(self._get_param("DisableApiTermination")).lower() == "true":
            for instance in result.result.instances:
                instance.disable_api_termination = True
        return result

    InstanceResponse.run_instances = run_instances
    images = AmisResponse.describe_images

    def describe_images(self):
        missing = [i for i in self._get_param("ImageIds", []) if i not in self.ec2_backend.amis]
        # one that does not exist fails the whole call, also where moto finds the others
        if missing:
            raise ex.InvalidAMIIdError(missing)
        return images(self)

    AmisResponse.describe_images = describe_images
    _once_per_token(InstanceResponse, "run_instances")
    _once_per_token(RouteTables, "create_route_table")
    describe = InstanceResponse.describe_instances

    def describe_instances(self):
        try:
            return describe(self)
        except ValueError:
            raise ex.EC2ClientError("InvalidNextToken", "The token is not valid or has expired.") from None

    InstanceResponse.describe_instances = describe_instances


def patch_routes():
    """Routes whose gateway is gone are blackholes; main associations and local routes cannot be taken away."""

    def state(self):
        backend = self.route_table.ec2_backend
        vpc = self.route_table.vpc_id
        if self.local:
            return "active"
        if self.gateway is not None and self.gateway.id.startswith("igw-"):
            here = self.gateway.id in backend.internet_gateways and self.gateway.vpc is not None
            return "active" if here and self.gateway.vpc.id == vpc else "blackhole"
        if self.nat_gateway is not None:
            nat = backend.nat_gateways.get(self.nat_gateway.id)
            return "active" if nat is not None and nat.state == "available" else "blackhole"
        if self.instance is not None:
            return "active" if state_of(self.instance) == "running" else "blackhole"
        if self.interface is not None:
            eni = backend.enis.get(self.interface.id)
            return "active" if eni is not None and eni.instance is not None else "blackhole"
        if self.vpc_pcx is not None:
            return "active" if self.vpc_pcx.id in backend.vpc_pcxs else "blackhole"
        return "active"

    rt.Route.state = property(state)
    cls = rt.RouteBackend
    associate, disassociate, delete = cls.associate_route_table, cls.disassociate_route_table, cls.delete_route

    def do_associate(self, route_table_id, gateway_id=None, subnet_id=None):
        wanted = self.get_route_table(route_table_id)
        for table in self.route_tables.values():
            if table is not wanted and subnet_id and subnet_id in table._associations.values():
                raise ex.EC2ClientError(
                    "Resource.AlreadyAssociated",
                    f"the specified association for route table {route_table_id} conflicts with an existing association",
                )
        return associate(self, route_table_id, gateway_id, subnet_id)

    def do_disassociate(self, association_id):
        if any(t.main_association_id == association_id for t in self.route_tables.values()):
            raise ex.EC2ClientError(
                "InvalidParameterValue", f"cannot disassociate the main route table association {association_id}"
            )
        return disassociate(self, association_id)

    def do_delete(self, route_table_id, destination_cidr_block, *args, **kwargs):
        for route in self.get_route_table(route_table_id).routes:
            if route.local and destination_cidr_block == route.destination_cidr_block:
                raise ex.EC2ClientError(
                    "InvalidParameterValue",
                    f"cannot remove local route {destination_cidr_block} in route table {route_table_id}",
                )
        return delete(self, route_table_id, destination_cidr_block, *args, **kwargs)

    cls.associate_route_table, cls.disassociate_route_table, cls.delete_route = do_associate, do_disassociate, do_delete


def patch_offerings():
    """Instance types are offered in every region: moto knows of none in China and the isolated partitions."""
    from moto.ec2.models import instance_types as t

    def everywhere(region):
        for kind, known in t.INSTANCE_TYPE_OFFERINGS.items():
            if region not in known and kind != "availability-zone-id":
                known[region] = [{**o, "Location": o["Location"].replace("us-east-1", region)} for o in known["us-east-1"]]

    cls = t.InstanceTypeOfferingBackend
    describe = cls.describe_instance_type_offerings

    def do_describe(self, *args, **kwargs):
        everywhere(self.region_name)
        return describe(self, *args, **kwargs)

    cls.describe_instance_type_offerings = do_describe


def patch(pace):
    """Applies all of it."""
    patch_offerings()
    patch_views(pace)
    patch_backend(pace)
    patch_responses()
    patch_routes()
