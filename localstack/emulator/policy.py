"""A policy in force: every AWS call is held against one IAM document before moto sees it.

moto's own enforcement knows neither resources nor conditions, so a policy that limits either denies everything
there. This one decides on actions, resources and the conditions that redrill's policies use, from what the request
says and what moto holds. Not decided: resource policies, boundaries, sessions, what the services check behind a call
(iam:PassRole, kms, secretsmanager), and any condition key it does not know, which denies.
"""

import fnmatch
import json
import re
from urllib.parse import parse_qs, parse_qsl, unquote

from . import snapshot

# what IAM calls a call, where that is not the API's name
NAMES = {
    "s3:ListBuckets": ["s3:ListAllMyBuckets"], "s3:ListObjectVersions": ["s3:ListBucketVersions"],
    "s3:ListObjects": ["s3:ListBucket"], "s3:ListObjectsV2": ["s3:ListBucket"], "s3:HeadObject": ["s3:GetObject"],
    "s3:HeadBucket": ["s3:ListBucket"], "s3:GetBucketReplication": ["s3:GetReplicationConfiguration"],
    "s3:GetBucketLifecycleConfiguration": ["s3:GetLifecycleConfiguration"],
    "s3:GetBucketNotificationConfiguration": ["s3:GetBucketNotification"],
    "s3:DeleteBucketTagging": ["s3:PutBucketTagging"],
    "s3:GetObjectLockConfiguration": ["s3:GetBucketObjectLockConfiguration"],
}
SERVICES = {"elb": "elasticloadbalancing", "elbv2": "elasticloadbalancing", "monitoring": "cloudwatch"}
FREE = ("sts:GetCallerIdentity",)
EC2_TYPES = {
    "i": "instance", "subnet": "subnet", "rtb": "route-table", "vpc": "vpc", "vol": "volume", "eni": "network-interface",
    "eipalloc": "elastic-ip", "ami": "image", "sg": "security-group", "snap": "snapshot",
}
# what a call makes, and which of its parameters carry the tags
MAKES = {
    "ec2:RunInstances": ["instance", "volume", "network-interface"], "ec2:CreateRouteTable": ["route-table"],
}
REFUSED = {"ec2": ("UnauthorizedOperation", 403), "json": ("AccessDeniedException", 400), "*": ("AccessDenied", 403)}


class Policy:
    """The document in force; none lets everything through."""

    def __init__(self, estate):
        self.estate, self.document = estate, None

    def put(self, document):
        """Takes a document, after a look at its form."""
        if document is not None:
            for statement in document["Statement"]:
                if statement["Effect"] != "Allow" or not statement["Action"] or not statement["Resource"]:
                    raise ValueError("every statement allows, and names actions and resources")
        self.document = document

    def denies(self, call, environ, body):
        """What is not allowed of this call, as text; None where all of it is."""
        if self.document is None:
            return None
        for action, resource, context in self.asked(call, environ, body):
            if action not in FREE and not any(allows(s, action, resource, context) for s in self.document["Statement"]):
                return f"not authorized to perform: {action} on resource: {resource}"
        return None

    def simulated(self, form):
        """SimulatePrincipalPolicy: what this policy decides on each action and resource, in the context given."""
        keys = [k for k in form if re.fullmatch(r"ContextEntries\.member\.\d+\.ContextKeyName", k)]
        context = {
            form[key]: [v for k, v in form.items() if k.startswith(key.replace("ContextKeyName", "ContextKeyValues.member."))]
            for key in keys
        }
        actions = [v for k, v in form.items() if k.startswith("ActionNames.member.")]
        resources = [v for k, v in form.items() if k.startswith("ResourceArns.member.")] or ["*"]
        statements = self.document["Statement"]
        return [
            (action, resource, "allowed" if any(allows(s, action, resource, context) for s in statements) else "implicitDeny")
            for action in actions for resource in resources
        ]

    def asked(self, call, environ, body):
        """Every (action, resource, context) that IAM would decide on."""
        service = SERVICES.get(call.service, call.service)
        name = f"{service}:{call.action}"
        form = dict(parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True))
        if call.protocol in ("ec2", "query"):
            form.update(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
        region, account = call.region, self.estate.get("account", "123456789012")
        base = {"aws:RequestedRegion": [region], "aws:ResourceAccount": [account]}
        if service == "ec2":
            yield from self.ec2(name, form, f"arn:aws:ec2:{region}", account, base)
        elif service == "rds":
            yield from self.rds(name, form, f"arn:aws:rds:{region}:{account}", base)
        elif service == "s3":
            yield from s3(name, call.path, body, base)
        elif service == "cloudfront":
            found = re.search(r"/distribution/(\w+)/", call.path)
            arn = parse_qs(environ.get("QUERY_STRING", "")).get("Resource", [None])[0]
            arn = unquote(arn) if arn else found and f"arn:aws:cloudfront::{account}:distribution/{found.group(1)}"
            yield name, arn or "*", {**base, **self.tags("distributions", arn), **tag_keys(re.findall(r"<Key>([^<]*)", body.decode()))}
        elif service == "elasticloadbalancing" and call.action in ("RegisterTargets", "DeregisterTargets"):
            yield name, form["TargetGroupArn"], base
        elif service == "ssm":
            yield name, f"arn:aws:ssm:{region}:{account}:parameter/{json.loads(body)['Name'].lstrip('/')}", base
        else:
            yield name, "*", base

    def ec2(self, name, form, arn, account, base):
        """EC2: every id that the call names, what it makes, and the tagging that comes with making."""
        if ":Describe" in name and name != "ec2:DescribeInstanceAttribute":
            yield name, "*", base
            return
        # a tag's value may name an instance that the call does not touch
        named = (v for k, v in form.items() if not re.search(r"Tag\.\d+\.(Key|Value)$", k))
        ids = sorted({v for v in named if re.fullmatch(r"[a-z]+-[0-9a-f]{8,}", v)})
        if "AssociationId" in form:
            ids = [i for i in ids if not i.startswith("rtbassoc-")] + self.associated(form["AssociationId"])
        given = {form[k]: form.get(k[:-3] + "Value", "") for k in form if re.search(r"Tag\.\d+\.Key$", k)}
        request = tag_keys(given)
        request.update({f"aws:RequestTag/{k}": [v] for k, v in given.items()})
        if name in ("ec2:CreateTags", "ec2:DeleteTags"):
            ids = [v for k, v in form.items() if k.startswith("ResourceId.")]
        makes = MAKES.get(name, [])
        for one in ids:
            kind = EC2_TYPES.get(one.split("-")[0])
            if kind is None:
                continue
            owner = "" if kind in ("image", "snapshot") else account
            tags = {} if name == "ec2:RunInstances" else request
            yield name, f"{arn}:{owner}:{kind}/{one}", {**base, **self.tags(kind, one), **tags}
        for kind in makes:
            yield name, f"{arn}:{account}:{kind}/new", {**base, **request}
            if given:
                yield "ec2:CreateTags", f"{arn}:{account}:{kind}/new", \
                    {**base, **request, "ec2:CreateAction": [name.split(":")[1]]}

    def associated(self, association):
        """The route table and the subnet of an association."""
        for table in snapshot.backend("ec2", self.estate).route_tables.values():
            if association in table._associations:
                return [table.id, table._associations[association]]
        return []

    def rds(self, name, form, arn, base):
        """RDS: the database, or the source and the new one with the groups that are named."""
        request = tag_keys(v for k, v in form.items() if re.search(r"(Tag\.\d+\.Key|TagKeys\.member\.\d+)$", k))
        for key in form:
            if re.search(r"Tag\.\d+\.Key$", key):
                request[f"aws:RequestTag/{form[key]}"] = [form.get(key[:-3] + "Value", "")]
        context = {**base, **request}
        if name in ("rds:DescribeAccountAttributes", "rds:DescribeCertificates"):
            yield name, "*", base
            return
        if name == "rds:RestoreDBInstanceToPointInTime":
            source, new = form["SourceDBInstanceIdentifier"], form["TargetDBInstanceIdentifier"]
            yield name, f"{arn}:db:{source}", {**context, **self.tags("databases", source)}
            yield name, f"{arn}:db:{new}", context
            yield "rds:AddTagsToResource", f"{arn}:db:{new}", context
        else:
            one = form.get("DBInstanceIdentifier") or form.get("ResourceName", "*").split(":db:")[-1]
            yield name, f"{arn}:db:{one}", {**context, **self.tags("databases", one)}
        if name == "rds:RestoreDBInstanceToPointInTime" or name == "rds:ModifyDBInstance":
            for key, kind in (("DBSubnetGroupName", "subgrp"), ("DBParameterGroupName", "pg"), ("OptionGroupName", "og")):
                if form.get(key):
                    yield name, f"{arn}:{kind}:{form[key]}", context

    def tags(self, kind, name):
        """The tags of what there is, as a condition's context."""
        if kind == "databases":
            found = [d["tags"] for d in snapshot.databases(self.estate) if d["identifier"] == name]
        elif kind == "distributions":
            backend = snapshot.backend("cloudfront", self.estate, "aws")
            found = [snapshot.tags_of(backend.tagger.list_tags_for_resource(name)["Tags"])] if name else []
        else:
            found = [{t["key"]: t["value"] for t in snapshot.backend("ec2", self.estate).describe_tags({"resource-id": [name]})}]
        return {f"aws:ResourceTag/{k}": [v] for tags in found for k, v in tags.items()}


def s3(name, path, body, base):
    """S3: the bucket or the object; DeleteObjects is decided for each object."""
    bucket, _, key = unquote(path).lstrip("/").partition("/")
    if name == "s3:DeleteObjects":
        for one in re.findall(r"<Object>(.*?)</Object>", body.decode(), re.S):
            action = "s3:DeleteObjectVersion" if "<VersionId>" in one else "s3:DeleteObject"
            yield action, f"arn:aws:s3:::{bucket}/{re.search('<Key>(.*?)</Key>', one).group(1)}", base
        return
    for action in NAMES.get(name, [name]):
        yield action, f"arn:aws:s3:::{bucket}/{key}" if key else f"arn:aws:s3:::{bucket}" if bucket else "*", base


def tag_keys(keys):
    """The tag keys of a request."""
    keys = sorted(set(keys))
    return {"aws:TagKeys": keys} if keys else {}


def several(value):
    """A value or several, as several."""
    return value if isinstance(value, list) else [value]


def like(pattern, text):
    """IAM's patterns: `*`, `?`, and each of them taken literally as `${*}`."""
    pattern = fnmatch.translate(pattern.replace("${*}", "\0").replace("${?}", "\1").replace("${$}", "$").replace("[", "[[]"))
    return re.match(pattern.replace("\0", r"\*").replace("\1", r"\?"), text) is not None


def allows(statement, action, resource, context):
    """Whether a statement allows exactly this."""
    # IAM compares the names of actions without their case: the API's GetBucketAbac is s3:GetBucketABAC
    if action.lower() not in [a.lower() for a in several(statement["Action"])]:
        return False
    if not any(like(r, resource) for r in several(statement["Resource"])):
        return False
    return all(holds(operator, key, several(values), context.get(key))
               for operator, keys in statement.get("Condition", {}).items() for key, values in keys.items())


def holds(operator, key, wanted, given):
    """Whether one condition holds."""
    if operator == "ForAllValues:StringEquals":
        return all(g in wanted for g in given or [])
    if operator in ("StringEquals", "Bool"):
        return given is not None and any(g in wanted for g in given)
    if operator == "StringLike":
        return given is not None and any(like(w, g) for w in wanted for g in given)
    if operator == "StringNotLike":
        return given is None or not any(like(w, g) for w in wanted for g in given)
    return False
