"""What AWS refuses and moto takes: sizes, counts and combinations of parameters, of the calls that redrill sends.

Every call is read by its service's own model, AWS's, as botocore ships it. First what the model itself limits (what
is required, how long, how many, which pattern), then the rules below, which AWS states in words. States and what
depends on more than one call stand in the service's own module. What no model can read is left to moto.
"""

import base64
import re
from dataclasses import dataclass
from io import BytesIO
from typing import Callable

from moto.core.parse import PROTOCOL_PARSERS
from moto.core.request import Request, determine_request_protocol
from moto.core.routing import get_service_router
from moto.core.utils import get_service_model

IDENTIFIER = re.compile(r"[A-Za-z](?:-?[A-Za-z0-9])*")
RDS_TAG = re.compile(r"[\w\s.:/=+\-@]*")
WITH_IDS = {
    "DescribeInstances": "InstanceIds", "DescribeInstanceStatus": "InstanceIds",
    "DescribeNetworkInterfaces": "NetworkInterfaceIds",
}
# what the rest of a service answers where its model's limits are not kept
INVALID = {
    "ec2": ("MissingParameter", "InvalidParameterValue"), "s3": ("InvalidRequest", "InvalidArgument"),
    "cloudfront": ("MissingArgument", "InvalidArgument"), "rds": ("MissingParameter", "InvalidParameterValue"),
}


@dataclass(frozen=True)
class Rule:
    """One thing that AWS refuses: the error, where AWS says so, and what is wrong with these parameters, if anything."""

    service: str
    actions: tuple
    code: str
    source: str
    wrong: Callable


def _each(params, *names):
    """The values at a path of names, through lists."""
    found = [params]
    for name in names:
        step = [one.get(name) for one in found if isinstance(one, dict) and one.get(name) is not None]
        found = [item for one in step for item in (one if isinstance(one, list) else [one])]
    return found


def _longer(most, *path, what="ids"):
    def wrong(params):
        found = _each(params, *path)
        return f"at most {most} {what} are taken, not {len(found)}" if len(found) > most else None
    return wrong


def _tags(path, longest, reserved, pattern=None):
    def of_one(found):
        keys = [tag.get("Key", "") for tag in found]
        for key, value in ((tag.get("Key", ""), tag.get("Value") or "") for tag in found):
            if not 1 <= len(key) <= longest or len(value) > 256:
                return f"the tag {key[:20]!r} has a key of more than {longest} or a value of more than 256 characters"
            if any(key.lower().startswith(prefix) for prefix in reserved):
                return f"tag keys starting with {reserved[0]!r} are reserved for internal use"
            if pattern and not (pattern.fullmatch(key) and pattern.fullmatch(value)):
                return f"the tag {key!r} has characters that are not taken"
        return "a tag key is given twice" if len(set(keys)) < len(keys) else None

    def wrong(params):
        # each specification is of another resource: what one has, the other may have, too
        lists = _each(params, *path[:-1])
        return next((why for why in (of_one(tagged.get(path[-1]) or ()) for tagged in lists) if why), None)
    return wrong


def _max_results_with_ids(action):
    def wrong(params):
        if params.get("MaxResults") is not None and params.get(WITH_IDS[action]):
            return f"The parameter {WITH_IDS[action]} cannot be used with the parameter maxResults"
        return None
    return wrong


def _launch_network(params):
    if params.get("NetworkInterfaces") and (params.get("SubnetId") or params.get("SecurityGroupIds")):
        return "Network interfaces and an instance-level subnet ID or security groups may not be specified on the same request"
    return None


def _performance(params):
    for ebs in _each(params, "BlockDeviceMappings", "Ebs"):
        kind = ebs.get("VolumeType", "gp2")
        if ebs.get("Iops") is not None and kind not in ("io1", "io2", "gp3"):
            return f"The parameter iops is not supported for {kind} volumes."
        if ebs.get("Throughput") is not None and kind != "gp3":
            return f"The parameter throughput is not supported for {kind} volumes."
    return None


def _user_data(params):
    data = params.get("UserData") or ""
    try:
        raw = base64.b64decode(data, validate=True)
    except ValueError:
        return "Invalid BASE64 encoding of user data."
    return "User data is limited to 16384 bytes" if len(raw) > 16384 else None


def _token(params):
    token = params.get("ClientToken") or ""
    return "a client token has at most 64 ASCII characters" if len(token) > 64 or not token.isascii() else None


def _identifier(name, longest):
    def wrong(params):
        value = params.get(name)
        if value is not None and (len(value) > longest or not IDENTIFIER.fullmatch(value)):
            return f"The parameter {name} is not a valid identifier: {value}"
        return None
    return wrong


def _monitoring(params):
    interval = params.get("MonitoringInterval")
    if interval is not None and interval not in (0, 1, 5, 10, 15, 30, 60):
        return "Invalid monitoring interval."
    if interval and not params.get("MonitoringRoleArn"):
        return "A MonitoringRoleARN value is required if you specify a MonitoringInterval value other than 0."
    if interval == 0 and params.get("MonitoringRoleArn"):
        return "You must specify a MonitoringInterval value other than 0 when you specify a MonitoringRoleARN value."
    return None


def _page(name, least, most):
    def wrong(params):
        size = params.get(name)
        return f"{name} must be between {least} and {most}" if size is not None and not least <= size <= most else None
    return wrong


def _paths(params):
    batch = _each(params, "InvalidationBatch", "Paths")
    items = _each(params, "InvalidationBatch", "Paths", "Items")
    if batch and batch[0].get("Quantity") != len(items):
        return "the quantity is not that of the items"
    return None


RULES = (
    Rule("ec2", ("CreateTags", "DeleteTags"), "InvalidParameterValue", "CreateTags: Resources, up to 1000",
         _longer(1000, "Resources")),
    Rule("ec2", ("TerminateInstances",), "InvalidParameterValue", "TerminateInstances: InstanceIds, up to 1000",
         _longer(1000, "InstanceIds")),
    Rule("ec2", ("CreateTags",), "InvalidParameterValue", "Tag: Key, 127 characters, not aws:; Value, 256",
         _tags(("Tags",), 127, ("aws:",))),
    Rule("ec2", ("RunInstances", "CreateRouteTable"), "InvalidParameterValue", "Tag: Key, Value",
         _tags(("TagSpecifications", "Tags"), 127, ("aws:",))),
    Rule("ec2", ("RunInstances", "CreateRouteTable"), "TagLimitExceeded", "User Guide, Tag restrictions: 50 a resource",
         lambda params: next((f"{n} tags" for n in (len(s.get("Tags") or ()) for s in _each(params, "TagSpecifications"))
                              if n > 50), None)),
    *(Rule("ec2", (action,), "InvalidParameterCombination", f"{action}: MaxResults, not with ids", _max_results_with_ids(action))
      for action in WITH_IDS),
    Rule("ec2", ("DescribeInstances", "DescribeSubnets", "DescribeRouteTables", "DescribeNetworkInterfaces",
                 "DescribeNatGateways", "DescribeAddresses", "DescribeInstanceTypeOfferings"),
         "FilterLimitExceeded", "User Guide, List and filter: 200 values a filter",
         lambda params: next((f"{len(f['Values'])} values" for f in _each(params, "Filters") + _each(params, "Filter")
                              if len(f.get("Values") or ()) > 200), None)),
    Rule("ec2", ("RunInstances",), "InvalidParameterCombination", "RunInstances: SubnetId, SecurityGroupIds", _launch_network),
    Rule("ec2", ("RunInstances",), "InvalidParameterCombination", "EbsBlockDevice: Iops, Throughput", _performance),
    Rule("ec2", ("RunInstances",), "InvalidParameterValue", "User Guide, user data: base64, 16 KB before it", _user_data),
    Rule("ec2", ("RunInstances", "CreateRouteTable"), "InvalidParameterValue", "RunInstances: ClientToken, 64 ASCII characters",
         _token),
    Rule("rds", ("RestoreDBInstanceToPointInTime",), "InvalidParameterValue",
         "RestoreDBInstanceToPointInTime: TargetDBInstanceIdentifier", _identifier("TargetDBInstanceIdentifier", 63)),
    Rule("rds", ("DeleteDBInstance",), "InvalidParameterValue", "DeleteDBInstance: FinalDBSnapshotIdentifier",
         _identifier("FinalDBSnapshotIdentifier", 255)),
    Rule("rds", ("DeleteDBInstance",), "InvalidParameterCombination", "DeleteDBInstance: FinalDBSnapshotIdentifier, SkipFinalSnapshot",
         lambda params: "FinalDBSnapshotIdentifier can not be specified when deleting a DB instance with SkipFinalSnapshot"
         if params.get("SkipFinalSnapshot") and params.get("FinalDBSnapshotIdentifier") else None),
    Rule("rds", ("RestoreDBInstanceToPointInTime",), "InvalidParameterCombination",
         "RestoreDBInstanceToPointInTime: AvailabilityZone, not with MultiAZ",
         lambda params: "Requesting a specific availability zone is not valid for Multi-AZ instances."
         if params.get("MultiAZ") and params.get("AvailabilityZone") else None),
    Rule("rds", ("ModifyDBInstance",), "InvalidParameterCombination", "ModifyDBInstance: MonitoringInterval, MonitoringRoleArn",
         _monitoring),
    Rule("rds", ("DescribeDBInstances",), "InvalidParameterValue", "DescribeDBInstances: MaxRecords, 20 to 100",
         _page("MaxRecords", 20, 100)),
    Rule("rds", ("AddTagsToResource", "RestoreDBInstanceToPointInTime"), "InvalidParameterValue", "Tag: Key, Value",
         _tags(("Tags",), 128, ("aws:", "rds:"), RDS_TAG)),
    Rule("rds", ("AddTagsToResource", "RestoreDBInstanceToPointInTime"), "InvalidParameterValue",
         "User Guide, Tagging: 50 a resource", _longer(50, "Tags", what="tags")),
    Rule("s3", ("PutBucketTagging",), "BadRequest", "User Guide, cost allocation tags: 50 a bucket",
         _longer(50, "Tagging", "TagSet", what="tags")),
    Rule("s3", ("PutBucketTagging",), "InvalidTag", "PutBucketTagging: keys once, 128 characters; values, 256",
         _tags(("Tagging", "TagSet"), 128, ())),
    Rule("cloudfront", ("CreateInvalidation",), "InconsistentQuantities", "CreateInvalidation: Quantity", _paths),
    Rule("cloudfront", ("TagResource",), "InvalidTagging", "Developer Guide, Tag restrictions",
         _tags(("Tags", "Items"), 128, ("aws:",))),
    Rule("autoscaling", ("DescribeAutoScalingInstances",), "ValidationError", "DescribeAutoScalingInstances: InstanceIds, 50",
         _longer(50, "InstanceIds")),
    Rule("autoscaling", ("DescribeAutoScalingInstances",), "ValidationError", "DescribeAutoScalingInstances: MaxRecords, 50",
         _page("MaxRecords", 1, 50)),
    Rule("autoscaling", ("DescribeAutoScalingGroups",), "ValidationError", "DescribeAutoScalingGroups: MaxRecords, 100",
         _page("MaxRecords", 1, 100)),
)


def read(call, environ, body):
    """(operation, parameters) of a call, by the service's model; None where it cannot be read."""
    try:
        request = Request({**environ, "wsgi.input": BytesIO(body)})
        model = get_service_model(call.service)
        operation, url_params = get_service_router(call.service).match(request)
        protocol = determine_request_protocol(model, request.content_type)
        parsed = PROTOCOL_PARSERS[protocol](operation).parse({
            "method": request.method, "values": request.values, "headers": request.headers, "body": request.data,
            "url_path": request.path, "url_params": url_params,
        })
        return operation, parsed
    except Exception:  # any failure only means that moto sees the call unchecked
        return None


def limits(shape, value, name="the request"):
    """The first limit of a model that a value does not keep: (whether something is missing, what)."""
    meta, kind = shape.metadata, shape.type_name
    if kind == "structure":
        if not isinstance(value, dict):
            return None
        for member in shape.required_members:
            if value.get(member) is None:
                return True, f"{name} must have {member}"
        inside = [(shape.members[k], v, k) for k, v in value.items() if k in shape.members and v is not None]
        return next((found for one in inside if (found := limits(*one))), None)
    if kind == "list" and isinstance(value, list):
        size, inside = len(value), [(shape.member, one, name) for one in value]
    elif kind == "string" and isinstance(value, str):
        size, inside = len(value), []
        pattern = meta.get("pattern")
        if pattern and not _matches(pattern, value):
            return False, f"{name} must match {pattern}"
    elif kind in ("integer", "long") and isinstance(value, int):
        size, inside = value, []
    else:
        return None
    least, most = meta.get("min"), meta.get("max")
    if least is not None and size < least or most is not None and size > most:
        return False, f"{name} is {size}, and must be between {least} and {most}"
    return next((found for one in inside if (found := limits(*one))), None)


def _matches(pattern, value):
    try:
        # a pattern of Java's is not held against anything
        return "\\p{" in pattern or "\\uD" in pattern or re.fullmatch(pattern, value) is not None
    except re.error:
        return True


def refuses(call, environ, body):
    """(code, message) where AWS would refuse a call for what it says alone."""
    known = read(call, environ, body)
    if known is None:
        return None
    operation, params = known
    for rule in RULES:
        if rule.service == call.service and operation.name in rule.actions and (why := rule.wrong(params)):
            return rule.code, why
    if operation.input_shape is not None and (found := limits(operation.input_shape, params)):
        kind = "ValidationException" if call.protocol == "json" else "ValidationError"
        missing, invalid = INVALID.get(call.service, (kind, kind))
        return (missing if found[0] else invalid), found[1]
    return None
