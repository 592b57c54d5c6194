"""What AWS refuses for what a call says alone: a test per rule, on both sides of its limit."""

import base64
import unittest
from types import SimpleNamespace

from emulator import strict
from test_support import Case

A_SERVER = {"ImageId": "ami-1e749f67", "InstanceType": "t3.micro", "MinCount": 1, "MaxCount": 1}
A_RESTORE = {"SourceDBInstanceIdentifier": "shop-orders", "TargetDBInstanceIdentifier": "copy", "UseLatestRestorableTime": True}


def tags(count, key="k{}", value="v"):
    """That many tags."""
    return [{"Key": key.format(n), "Value": value} for n in range(count)]


def wrong(service, action, params):
    """The codes of the rules that this call would break."""
    return [r.code for r in strict.RULES if r.service == service and action in r.actions and r.wrong(params)]


class Rules(unittest.TestCase):
    """Each rule by itself, at its limit and beyond it."""

    def both(self, service, action, code, good, bad):
        """The good call keeps every rule, the bad one breaks this one alone."""
        self.assertEqual(wrong(service, action, good), [], f"{action} {str(good)[:80]}")
        self.assertEqual(wrong(service, action, bad), [code], f"{action} {str(bad)[:80]}")

    def test_ids_of_one_call(self):
        ids = lambda n: [f"i-{x:017x}" for x in range(n)]  # noqa: E731
        for action in ("CreateTags", "DeleteTags"):
            self.both("ec2", action, "InvalidParameterValue", {"Resources": ids(1000)}, {"Resources": ids(1001)})
        self.both("ec2", "TerminateInstances", "InvalidParameterValue", {"InstanceIds": ids(1000)}, {"InstanceIds": ids(1001)})
        self.both("autoscaling", "DescribeAutoScalingInstances", "ValidationError", {"InstanceIds": ids(50)},
                  {"InstanceIds": ids(51)})

    def test_tags_of_ec2(self):
        for good, bad in (
            (tags(1, "k" * 127, "v" * 256), tags(1, "k" * 128)),
            (tags(2), tags(1, "k", "v" * 257)),
            (tags(1, "my-aws:x"), tags(1, "aws:x")),
            (tags(2, "k{}"), tags(2, "k")),
        ):
            self.both("ec2", "CreateTags", "InvalidParameterValue", {"Tags": good}, {"Tags": bad})
            at_launch = lambda t: {"TagSpecifications": [{"ResourceType": "instance", "Tags": t}]}  # noqa: E731
            self.both("ec2", "RunInstances", "InvalidParameterValue", at_launch(good), at_launch(bad))
        # a key is there once a resource, and an instance's volumes are others
        volumes = lambda t: {"ResourceType": "volume", "Tags": t}  # noqa: E731
        both = [*at_launch(tags(1))["TagSpecifications"], volumes(tags(1))]
        self.both("ec2", "RunInstances", "InvalidParameterValue", {"TagSpecifications": both},
                  {"TagSpecifications": [*both[:1], volumes(tags(1) * 2)]})
        self.both("ec2", "RunInstances", "TagLimitExceeded", at_launch(tags(50)), at_launch(tags(51)))

    def test_pages_and_ids_exclude_each_other(self):
        for action, ids in strict.WITH_IDS.items():
            self.both("ec2", action, "InvalidParameterCombination", {ids: ["x"]}, {ids: ["x"], "MaxResults": 100})

    def test_values_of_a_filter(self):
        of = lambda n: {"Filters": [{"Name": "instance-id", "Values": ["x"] * n}]}  # noqa: E731
        self.both("ec2", "DescribeInstances", "FilterLimitExceeded", of(200), of(201))

    def test_the_network_of_a_launch_is_said_once(self):
        eni = [{"DeviceIndex": 0, "SubnetId": "subnet-1", "Groups": ["sg-1"]}]
        for beside in ({"SubnetId": "subnet-1"}, {"SecurityGroupIds": ["sg-1"]}):
            self.both("ec2", "RunInstances", "InvalidParameterCombination", beside, {**beside, "NetworkInterfaces": eni})

    def test_performance_of_a_volume_goes_with_its_type(self):
        of = lambda **ebs: {"BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": ebs}]}  # noqa: E731
        for good, bad in (
            (of(VolumeType="gp3", Iops=3000, Throughput=125), of(VolumeType="gp2", Iops=3000)),
            (of(VolumeType="io2", Iops=100), of(Iops=100)),
            (of(VolumeType="gp2"), of(VolumeType="io2", Iops=100, Throughput=125)),
        ):
            self.both("ec2", "RunInstances", "InvalidParameterCombination", good, bad)

    def test_user_data_and_tokens(self):
        data = lambda n: {"UserData": base64.b64encode(b"x" * n).decode()}  # noqa: E731
        self.both("ec2", "RunInstances", "InvalidParameterValue", data(16384), data(16385))
        self.both("ec2", "RunInstances", "InvalidParameterValue", {}, {"UserData": "#!/bin/sh"})
        for action in ("RunInstances", "CreateRouteTable"):
            self.both("ec2", action, "InvalidParameterValue", {"ClientToken": "t" * 64}, {"ClientToken": "t" * 65})
            self.both("ec2", action, "InvalidParameterValue", {}, {"ClientToken": "ü"})

    def test_identifiers_of_databases(self):
        target = lambda name: {"TargetDBInstanceIdentifier": name}  # noqa: E731
        for bad in ("a" * 64, "1a", "a-", "a--b", "a_b", ""):
            self.both("rds", "RestoreDBInstanceToPointInTime", "InvalidParameterValue", target("a" * 62 + "1"), target(bad))
        final = lambda name: {"FinalDBSnapshotIdentifier": name}  # noqa: E731
        self.both("rds", "DeleteDBInstance", "InvalidParameterValue", final("a" * 255), final("a" * 256))

    def test_combinations_of_rds(self):
        both = {"MultiAZ": True, "AvailabilityZone": "us-east-1a"}
        self.both("rds", "RestoreDBInstanceToPointInTime", "InvalidParameterCombination", {**both, "MultiAZ": False}, both)
        final = {"FinalDBSnapshotIdentifier": "last"}
        self.both("rds", "DeleteDBInstance", "InvalidParameterCombination", final, {**final, "SkipFinalSnapshot": True})
        role = {"MonitoringRoleArn": "arn:aws:iam::123456789012:role/m"}
        for good, bad in (
            ({"MonitoringInterval": 60, **role}, {"MonitoringInterval": 60}),
            ({"MonitoringInterval": 0}, {"MonitoringInterval": 0, **role}),
            ({}, {"MonitoringInterval": 7, **role}),
        ):
            self.both("rds", "ModifyDBInstance", "InvalidParameterCombination", good, bad)

    def test_pages(self):
        for size in (19, 101):
            self.both("rds", "DescribeDBInstances", "InvalidParameterValue", {"MaxRecords": 100}, {"MaxRecords": size})
        self.both("autoscaling", "DescribeAutoScalingInstances", "ValidationError", {"MaxRecords": 50}, {"MaxRecords": 51})
        self.both("autoscaling", "DescribeAutoScalingGroups", "ValidationError", {"MaxRecords": 100}, {"MaxRecords": 101})

    def test_tags_of_rds(self):
        for action in ("AddTagsToResource", "RestoreDBInstanceToPointInTime"):
            for bad in (tags(1, "k" * 129), tags(1, "rds:k"), tags(1, "AWS:k"), tags(1, "k", "a;b"), tags(1, "k", "v" * 257)):
                self.both("rds", action, "InvalidParameterValue", {"Tags": tags(1, "k:/=+-@ .é", "x y")}, {"Tags": bad})
            self.both("rds", action, "InvalidParameterValue", {"Tags": tags(50)}, {"Tags": tags(51)})

    def test_tags_of_buckets_and_distributions(self):
        bucket = lambda t: {"Tagging": {"TagSet": t}}  # noqa: E731
        self.both("s3", "PutBucketTagging", "BadRequest", bucket(tags(50)), bucket(tags(51)))
        # what AWS set itself is written back with the rest
        self.both("s3", "PutBucketTagging", "InvalidTag", bucket(tags(1, "aws:cloudformation:stack-name")), bucket(tags(2, "k")))
        front = lambda t: {"Tags": {"Items": t}}  # noqa: E731
        self.both("cloudfront", "TagResource", "InvalidTagging", front(tags(1, "k" * 128)), front(tags(1, "k" * 129)))

    def test_paths_are_counted(self):
        of = lambda n: {"InvalidationBatch": {"Paths": {"Quantity": n, "Items": ["/a", "/b"]}}}  # noqa: E731
        self.both("cloudfront", "CreateInvalidation", "InconsistentQuantities", of(2), of(3))

    def test_every_rule_is_in_the_readme_with_its_source(self):
        text = (strict_readme()).replace("`", "")
        for rule in strict.RULES:
            self.assertIn(rule.source, text)
            self.assertIn(rule.code, text)


def strict_readme():
    """The page that names the rules."""
    from test_support import HERE

    return (HERE / "README.md").read_text(encoding="utf-8")


class OnTheWire(Case):
    """The rules over the wire, in each protocol; and what the models themselves limit."""

    def test_each_protocol_is_read(self):
        e = self.emulator
        self.refused("InvalidParameterCombination", e.client("ec2").describe_instances, InstanceIds=["i-1"], MaxResults=100)
        self.refused("InvalidParameterValue", e.client("rds").describe_db_instances, MaxRecords=10)
        self.refused("BadRequest", e.client("s3").put_bucket_tagging, Bucket="batch-scratch-123456789012",
                     Tagging={"TagSet": tags(51)})
        self.refused("InvalidTagging", e.client("cloudfront").tag_resource, Tags={"Items": tags(1, "aws:k")},
                     Resource=e.client("cloudfront").list_distributions()["DistributionList"]["Items"][0]["ARN"])
        self.refused("ValidationError", e.client("autoscaling").describe_auto_scaling_instances, MaxRecords=51)

    def test_what_a_model_limits_is_refused(self):
        """boto3 checks least lengths itself; the rest is for the service."""
        e = self.emulator
        self.refused("ValidationError", e.client("iam").get_role, RoleName="r" * 65)
        self.refused("ValidationError", e.client("iam").get_role, RoleName="not a role")
        self.refused("ValidationException", e.client("ssm").get_parameter, Name="n" * 2049)
        self.refused("ValidationError", e.client("elbv2").describe_target_groups, PageSize=401)

    def test_what_cannot_be_read_is_left_to_moto(self):
        call = SimpleNamespace(service="no-such-service", protocol="json")
        self.assertIsNone(strict.refuses(call, {"REQUEST_METHOD": "POST", "PATH_INFO": "/"}, b""))


del Case

if __name__ == "__main__":
    unittest.main()
