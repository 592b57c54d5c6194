"""Finds what a run left in an account, and takes it away. Needs nothing but the run's id.

What is removed carries the run's tag, lies in the run's own VPC, or has the run's name; nothing else is ever named in
a call. Finding is by listing, service by service, so that the same look proves in the end that nothing is left.
Not for: deciding when.
"""

import shlex
import time
from concurrent.futures import ThreadPoolExecutor

from botocore.exceptions import BotoCoreError, ClientError

from account import TAG, every

GONE = ("terminated",)


class Thing:
    """Something that is there, and how it is removed: by us, and by hand."""

    def __init__(self, kind, ident, by_hand, remove, busy=False):
        self.kind, self.id, self.by_hand, self.remove, self.busy = kind, ident, by_hand, remove, busy

    def __str__(self):
        return f"{self.kind} {self.id}"


class Taking:
    """The removal, over all services."""

    def __init__(self, account, say):
        self.account, self.say = account, say

    def vpcs(self):
        """The run's own VPCs."""
        return [v["VpcId"] for v in self.account.client("ec2").describe_vpcs(Filters=self.account.mine())["Vpcs"]]

    def aws(self, words, *values):
        """A command of the AWS CLI, for a person."""
        return f"aws {words} {' '.join(map(shlex.quote, values))} --region {self.account.region}"

    def found(self):
        """All that is left, in the order in which it can go; and what could not be listed, as sentences."""
        things, failed = [], []
        parts = (self.instances, self.databases, self.distributions, self.addresses, self.target_groups, self.buckets,
                 self.volumes, self.networks)
        with ThreadPoolExecutor(len(parts)) as pool:
            for part, answer in [(p, pool.submit(lambda p=p: list(p()))) for p in parts]:
                try:
                    things += answer.result()
                except (ClientError, BotoCoreError) as error:
                    failed.append(f"{part.__name__} could not be listed: {error}")
        return things, failed

    def by_tag_or_vpc(self, operation, key, vpc_filter):
        """What carries the tag, and what lies in the run's VPC, once each."""
        ec2, out = self.account.client("ec2"), []
        vpcs = self.vpcs()
        for filters in [self.account.mine()] + ([[{"Name": vpc_filter, "Values": vpcs}]] if vpcs else []):
            out += [i for i in every(ec2, operation, key, Filters=filters) if i not in out]
        return out

    def instances(self):
        """Instances."""
        ec2 = self.account.client("ec2")

        def end(ident):
            for name in ("DisableApiTermination", "DisableApiStop"):
                ec2.modify_instance_attribute(InstanceId=ident, **{name: {"Value": False}})
            ec2.terminate_instances(InstanceIds=[ident])

        for i in [i for r in self.by_tag_or_vpc("describe_instances", "Reservations", "vpc-id") for i in r["Instances"]]:
            if i["State"]["Name"] not in GONE:
                ident = i["InstanceId"]
                yield Thing("instance", ident, self.aws("ec2 terminate-instances --instance-ids", ident),
                            lambda ident=ident: end(ident), i["State"]["Name"] == "shutting-down")

    def databases(self):
        """Databases with the run's name or one that begins with it, their snapshots, then their subnet group."""
        rds, name = self.account.client("rds"), self.account.name

        def own(ident):
            return ident == name or ident.startswith(name + "-")

        def delete(ident, protected):
            if protected:
                rds.modify_db_instance(DBInstanceIdentifier=ident, DeletionProtection=False, ApplyImmediately=True)
            rds.delete_db_instance(DBInstanceIdentifier=ident, SkipFinalSnapshot=True, DeleteAutomatedBackups=True)

        for d in every(rds, "describe_db_instances", "DBInstances"):
            if own(d["DBInstanceIdentifier"]):
                ident = d["DBInstanceIdentifier"]
                yield Thing("database", ident, self.aws(
                    "rds delete-db-instance --skip-final-snapshot --delete-automated-backups --db-instance-identifier", ident),
                    lambda ident=ident, p=d["DeletionProtection"]: delete(ident, p), d["DBInstanceStatus"] == "deleting")
        for s in every(rds, "describe_db_snapshots", "DBSnapshots", SnapshotType="manual"):
            ident = s["DBSnapshotIdentifier"]
            if own(s["DBInstanceIdentifier"]):
                yield Thing("database snapshot", ident, self.aws("rds delete-db-snapshot --db-snapshot-identifier", ident),
                            lambda ident=ident: rds.delete_db_snapshot(DBSnapshotIdentifier=ident))
        # what a deletion keeps unless it is told not to; the emulator keeps none
        kept = [] if self.account.emulated else every(rds, "describe_db_instance_automated_backups",
                                                      "DBInstanceAutomatedBackups")
        for b in kept:
            if own(b["DBInstanceIdentifier"]) and b["Status"] == "retained":
                ident = b["DbiResourceId"]
                yield Thing("automated backup", ident, self.aws(
                    "rds delete-db-instance-automated-backup --dbi-resource-id", ident),
                    lambda ident=ident: rds.delete_db_instance_automated_backup(DbiResourceId=ident))
        for g in every(rds, "describe_db_subnet_groups", "DBSubnetGroups"):
            if g["DBSubnetGroupName"] == name:
                yield Thing("DB subnet group", name, self.aws("rds delete-db-subnet-group --db-subnet-group-name", name),
                            lambda: rds.delete_db_subnet_group(DBSubnetGroupName=name))

    def distributions(self):
        """Distributions: disabled first, and deleted once that has arrived everywhere."""
        cf = self.account.client("cloudfront")

        def delete(ident):
            got = cf.get_distribution_config(Id=ident)
            if got["DistributionConfig"]["Enabled"]:
                cf.update_distribution(Id=ident, IfMatch=got["ETag"],
                                       DistributionConfig={**got["DistributionConfig"], "Enabled": False})
            elif cf.get_distribution(Id=ident)["Distribution"]["Status"] == "Deployed":
                cf.delete_distribution(Id=ident, IfMatch=got["ETag"])

        for page in cf.get_paginator("list_distributions").paginate():
            for d in page["DistributionList"].get("Items") or []:
                tags = cf.list_tags_for_resource(Resource=d["ARN"])["Tags"].get("Items") or [] \
                    if d["Comment"] == self.account.name else []
                if {"Key": TAG, "Value": self.account.id} in tags:
                    by_hand = (f"aws cloudfront update-distribution --id {d['Id']} … (Enabled: false), then "
                               f"aws cloudfront delete-distribution --id {d['Id']} --if-match ETAG")
                    yield Thing("distribution", d["Id"], by_hand, lambda ident=d["Id"]: delete(ident),
                                d["Status"] != "Deployed" and not d["Enabled"])

    def addresses(self):
        """Elastic IP addresses."""
        ec2 = self.account.client("ec2")

        def release(a):
            if a.get("AssociationId"):
                ec2.disassociate_address(AssociationId=a["AssociationId"])
            ec2.release_address(AllocationId=a["AllocationId"])

        for a in ec2.describe_addresses(Filters=self.account.mine())["Addresses"]:
            yield Thing("Elastic IP address", a["AllocationId"],
                        self.aws("ec2 release-address --allocation-id", a["AllocationId"]), lambda a=a: release(a))

    def target_groups(self):
        """Target groups."""
        elb = self.account.client("elbv2")
        for g in every(elb, "describe_target_groups", "TargetGroups"):
            if g["TargetGroupName"] == self.account.name:
                arn = g["TargetGroupArn"]
                yield Thing("target group", arn, self.aws("elbv2 delete-target-group --target-group-arn", arn),
                            lambda arn=arn: elb.delete_target_group(TargetGroupArn=arn))

    def buckets(self):
        """The bucket, with all versions of all objects."""
        s3, name = self.account.client("s3"), self.account.bucket

        def delete():
            for page in s3.get_paginator("list_object_versions").paginate(Bucket=name):
                objects = [{"Key": v["Key"], "VersionId": v["VersionId"]}
                           for v in (page.get("Versions") or []) + (page.get("DeleteMarkers") or [])]
                if objects:
                    s3.delete_objects(Bucket=name, Delete={"Objects": objects, "Quiet": True})
            s3.delete_bucket(Bucket=name)

        if any(b["Name"] == name for b in s3.list_buckets()["Buckets"]):
            yield Thing("bucket", name, f"remove all versions of its objects, then: {self.aws('s3api delete-bucket --bucket', name)}",
                        delete)

    def volumes(self):
        """Volumes that an instance has left."""
        ec2 = self.account.client("ec2")
        for v in every(ec2, "describe_volumes", "Volumes", Filters=self.account.mine()):
            if not v["Attachments"] and v["State"] != "deleting":
                yield Thing("volume", v["VolumeId"], self.aws("ec2 delete-volume --volume-id", v["VolumeId"]),
                            lambda v=v: ec2.delete_volume(VolumeId=v["VolumeId"]))

    def networks(self):
        """Interfaces that nothing uses, then the VPC from the inside out."""
        ec2 = self.account.client("ec2")

        def drop_table(table):
            for a in table["Associations"]:
                ec2.disassociate_route_table(AssociationId=a["RouteTableAssociationId"])
            ec2.delete_route_table(RouteTableId=table["RouteTableId"])

        for vpc in self.vpcs():
            here = [{"Name": "vpc-id", "Values": [vpc]}]
            for i in every(ec2, "describe_network_interfaces", "NetworkInterfaces", Filters=here):
                ident = i["NetworkInterfaceId"]
                if i["Status"] == "available":
                    yield Thing("network interface", ident, self.aws("ec2 delete-network-interface --network-interface-id", ident),
                                lambda ident=ident: ec2.delete_network_interface(NetworkInterfaceId=ident))
            for s in every(ec2, "describe_subnets", "Subnets", Filters=here):
                yield Thing("subnet", s["SubnetId"], self.aws("ec2 delete-subnet --subnet-id", s["SubnetId"]),
                            lambda s=s: ec2.delete_subnet(SubnetId=s["SubnetId"]))
            for t in every(ec2, "describe_route_tables", "RouteTables", Filters=here):
                if not any(a.get("Main") for a in t["Associations"]):
                    ident = t["RouteTableId"]
                    yield Thing("route table", ident, self.aws("ec2 delete-route-table --route-table-id", ident),
                                lambda t=t: drop_table(t))
            for g in every(ec2, "describe_security_groups", "SecurityGroups", Filters=here):
                if g["GroupName"] != "default":
                    yield Thing("security group", g["GroupId"], self.aws("ec2 delete-security-group --group-id", g["GroupId"]),
                                lambda g=g: ec2.delete_security_group(GroupId=g["GroupId"]))
        for g in ec2.describe_internet_gateways(Filters=self.account.mine())["InternetGateways"]:
            ident = g["InternetGatewayId"]

            def drop(g=g, ident=ident):
                for a in g["Attachments"]:
                    ec2.detach_internet_gateway(InternetGatewayId=ident, VpcId=a["VpcId"])
                ec2.delete_internet_gateway(InternetGatewayId=ident)

            yield Thing("internet gateway", ident, self.aws("ec2 delete-internet-gateway --internet-gateway-id", ident), drop)
        for vpc in self.vpcs():
            yield Thing("VPC", vpc, self.aws("ec2 delete-vpc --vpc-id", vpc), lambda vpc=vpc: ec2.delete_vpc(VpcId=vpc))

    def tagged(self):
        """What the tagging API still names, as ARNs; None where it does not answer."""
        try:
            return [r["ResourceARN"] for r in every(
                self.account.client("resourcegroupstaggingapi"), "get_resources", "ResourceTagMappingList",
                TagFilters=[{"Key": TAG, "Values": [self.account.id]}])]
        except (ClientError, BotoCoreError):
            return None

    def all(self, limit):
        """Takes everything away, again and again until two looks in a row find nothing; what is left, what failed."""
        ends, clear, said, things, failed = time.monotonic() + limit, 0, set(), [], []
        while time.monotonic() < ends:
            things, failed = self.found()
            clear = clear + 1 if not things and not failed else 0
            if clear == 2:
                break
            for thing in things:
                if str(thing) not in said:
                    said.add(str(thing))
                    self.say(f"      taking away {thing}")
                if not thing.busy:
                    try:
                        thing.remove()
                    except (ClientError, BotoCoreError) as error:
                        thing.why = str(error)  # in use for now, most likely: the next round tries again
            time.sleep(self.account.tick if clear else 5 * self.account.tick)
        return things, failed
