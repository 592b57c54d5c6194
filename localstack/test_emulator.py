"""Tests of the emulator, over the wire with boto3: each delay, correction, fault and page has one.

Run with a Python that has the packages of requirements.txt: python -m unittest test_emulator
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.error
import urllib.request
from datetime import datetime, timedelta, timezone
from pathlib import Path
from unittest import mock

sys.dont_write_bytecode = True
for _name in [n for n in os.environ if n.startswith("AWS_")]:
    del os.environ[_name]

import boto3  # noqa: E402
from botocore.config import Config  # noqa: E402
from botocore.exceptions import ClientError  # noqa: E402
from botocore.exceptions import ConnectionClosedError, ReadTimeoutError  # noqa: E402

HERE = Path(__file__).resolve().parent
DELAYS = ("pending=0.6,stopping=0.6,shutting-down=0.6,create=0.6,restore=1.2,backing-up=0.6,modify=0.5,reboot=0.6,"
          "failover=0.6,delete=0.8,invalidation=0.8,distribution=0.6")
PRIVATE = {"service": "shop", "tier": "private"}


class Emulator:
    """A running emulator and its clients."""

    def __init__(self, *options, stdin=subprocess.PIPE):
        command = [sys.executable, str(HERE / "redrill_emulator.py"), *options]
        self.process = subprocess.Popen(command, stdin=stdin, stdout=subprocess.PIPE, text=True)
        self.ready = json.loads(self.process.stdout.readline())
        self.endpoint, self.health = self.ready["endpoint"], self.ready["health"]
        self.clients = {}

    def client(self, service, **options):
        """A boto3 client that never retries."""
        key = (service, *sorted(options.items()))
        if key not in self.clients:
            config = Config(retries={"total_max_attempts": 1}, read_timeout=options.get("timeout", 20),
                            s3={"addressing_style": "path"})
            self.clients[key] = boto3.client(
                service, endpoint_url=self.endpoint, region_name="us-east-1", aws_access_key_id="test",
                aws_secret_access_key="test", config=config,
            )
        return self.clients[key]

    def cbor(self):
        """A CloudWatch client that speaks Smithy RPC v2 CBOR, as the Rust SDK does; boto3 would choose JSON."""
        with mock.patch("botocore.model.PRIORITY_ORDERED_SUPPORTED_PROTOCOLS", ("smithy-rpc-v2-cbor",)):
            client = self.client("cloudwatch", cbor=True)
            client.meta.service_model.resolved_protocol  # decided here, and kept
        return client

    def page(self, path, method="GET", data=None, base=None):
        """(status, JSON) of a control or health page."""
        body = None if data is None else json.dumps(data).encode()
        request = urllib.request.Request((base or self.endpoint) + path, data=body, method=method)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    def stop(self):
        """Ends the process and waits for it."""
        self.process.terminate()
        self.process.wait(20)
        self.process.stdout.close()
        if self.process.stdin:
            self.process.stdin.close()


def poll(what, seconds=10.0):
    """Asks until the answer is true; returns it."""
    end = time.monotonic() + seconds
    while True:
        answer = what()
        if answer or time.monotonic() > end:
            return answer
        time.sleep(0.05)


class Case(unittest.TestCase):
    """One emulator for the class, seeded afresh for each test."""

    options = ("--seed", str(HERE / "estate.json"), "--delays", DELAYS, "--exit-with-stdin")

    @classmethod
    def setUpClass(cls):
        cls.emulator = Emulator(*cls.options)

    @classmethod
    def tearDownClass(cls):
        cls.emulator.stop()

    def setUp(self):
        status, answer = self.emulator.page("/_redrill/reset-and-seed", "POST")
        self.assertEqual(status, 200, answer)
        self.ids = answer["seeded"]
        for service in ("ec2", "rds", "s3", "cloudfront", "cloudwatch", "elbv2", "autoscaling"):
            setattr(self, service, self.emulator.client(service))

    def refused(self, code, call, **parameters):
        """The call fails with this code."""
        with self.assertRaises(ClientError) as caught:
            call(**parameters)
        self.assertEqual(caught.exception.response["Error"]["Code"], code, caught.exception)
        return caught.exception.response

    def instance(self, i):
        """One instance as DescribeInstances shows it."""
        return self.ec2.describe_instances(InstanceIds=[i])["Reservations"][0]["Instances"][0]

    def state(self, i):
        """Its state."""
        return self.instance(i)["State"]["Name"]

    def database(self, identifier):
        """One database; None where it is gone."""
        try:
            return self.rds.describe_db_instances(DBInstanceIdentifier=identifier)["DBInstances"][0]
        except ClientError as error:
            self.assertEqual(error.response["Error"]["Code"], "DBInstanceNotFound")
            return None

    def status(self, identifier):
        """Its status; None where it is gone."""
        found = self.database(identifier)
        return found and found["DBInstanceStatus"]

    def healthy(self, check=""):
        """(status, JSON) of the health service."""
        return self.emulator.page("/health" + check, base=self.emulator.health)

    def tables(self):
        """Subnet → association, for the private subnets."""
        found = self.ec2.describe_route_tables(RouteTableIds=[self.ids["table:shop-private"]])["RouteTables"][0]
        return {a["SubnetId"]: a["RouteTableAssociationId"] for a in found["Associations"]}


class Instances(Case):
    """EC2 instances."""

    def test_stop_and_start_pass_through_states(self):
        i = self.ids["shop-web-1"]
        self.assertEqual(self.ec2.stop_instances(InstanceIds=[i])["StoppingInstances"][0]["CurrentState"]["Name"], "stopping")
        self.assertEqual(self.state(i), "stopping")
        self.refused("IncorrectInstanceState", self.ec2.start_instances, InstanceIds=[i])
        self.assertTrue(poll(lambda: self.state(i) == "stopped"))
        self.ec2.start_instances(InstanceIds=[i])
        self.assertEqual(self.state(i), "pending")
        self.assertTrue(poll(lambda: self.state(i) == "running"))

    def test_filter_by_state_sees_the_transition(self):
        i = self.ids["shop-web-1"]
        self.ec2.stop_instances(InstanceIds=[i])
        ask = lambda s: [x["InstanceId"] for r in self.ec2.describe_instances(  # noqa: E731
            Filters=[{"Name": "instance-state-name", "Values": [s]}])["Reservations"] for x in r["Instances"]]
        self.assertEqual(ask("stopping"), [i])
        self.assertNotIn(i, ask("running"))

    def test_terminated_instance_loses_its_network(self):
        i = self.ids["shop-web-1"]
        self.ec2.terminate_instances(InstanceIds=[i])
        going = self.instance(i)
        self.assertEqual(going["State"]["Name"], "shutting-down")
        self.assertEqual(going["SubnetId"], self.ids["shop-private-a"])
        self.assertTrue(poll(lambda: self.state(i) == "terminated"))
        gone = self.instance(i)
        for key in ("SubnetId", "VpcId", "PrivateIpAddress"):
            self.assertNotIn(key, gone)
        self.assertEqual((gone.get("SecurityGroups", []), gone.get("NetworkInterfaces", [])), ([], []))
        self.assertEqual({t["Key"] for t in gone["Tags"]}, {"Name", "service", "role", "env"})

    def test_terminated_instance_refuses_everything(self):
        i = self.ids["shop-web-1"]
        self.ec2.terminate_instances(InstanceIds=[i])
        for call in (self.ec2.stop_instances, self.ec2.start_instances, self.ec2.reboot_instances):
            self.refused("IncorrectInstanceState", call, InstanceIds=[i])
        self.ec2.terminate_instances(InstanceIds=[i])
        self.assertIn(self.state(i), ("shutting-down", "terminated"))

    def test_replacement_may_take_the_same_address(self):
        old = self.instance(self.ids["shop-web-1"])
        self.ec2.terminate_instances(InstanceIds=[old["InstanceId"]])
        new = self.ec2.run_instances(
            ImageId=old["ImageId"], InstanceType=old["InstanceType"], MinCount=1, MaxCount=1, SubnetId=old["SubnetId"],
            PrivateIpAddress=old["PrivateIpAddress"], SecurityGroupIds=[g["GroupId"] for g in old["SecurityGroups"]],
            DisableApiTermination=True,
            TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "redrill:run", "Value": "r1"}]}],
        )["Instances"][0]
        self.assertEqual(new["PrivateIpAddress"], old["PrivateIpAddress"])
        self.assertEqual(self.state(new["InstanceId"]), "pending")
        told = self.ec2.describe_instance_attribute(InstanceId=new["InstanceId"], Attribute="disableApiTermination")
        self.assertTrue(told["DisableApiTermination"]["Value"])
        self.assertEqual(self.emulator.page("/_redrill/state")[1]["run_made"], 1)
        group = self.ids["target-group:shop-web"]
        target = [{"Id": new["InstanceId"]}]
        self.refused("InvalidTarget", self.elbv2.register_targets, TargetGroupArn=group, Targets=target)
        self.assertTrue(poll(lambda: self.state(new["InstanceId"]) == "running"))
        self.elbv2.register_targets(TargetGroupArn=group, Targets=target)

    def test_one_protected_instance_spares_its_zone_only(self):
        a, b, c = (self.ids[f"shop-web-{n}"] for n in (1, 2, 3))  # zones a, b, a
        self.ec2.modify_instance_attribute(InstanceId=a, DisableApiTermination={"Value": True})
        self.refused("OperationNotPermitted", self.ec2.terminate_instances, InstanceIds=[a, b, c])
        self.assertEqual([self.state(a), self.state(c)], ["running", "running"])
        self.assertIn(self.state(b), ("shutting-down", "terminated"))

    def test_an_unknown_id_fails_the_whole_batch(self):
        b = self.ids["shop-web-2"]
        self.refused("InvalidInstanceID.NotFound", self.ec2.terminate_instances, InstanceIds=[b, "i-0123456789abcdef0"])
        self.assertEqual(self.state(b), "running")

    def test_client_token_launches_once(self):
        ask = {"ImageId": "ami-1e749f67", "MinCount": 1, "MaxCount": 1, "ClientToken": "t-1",
               "SubnetId": self.ids["shop-private-a"]}
        first = self.ec2.run_instances(**ask)["Instances"][0]["InstanceId"]
        self.assertEqual(self.ec2.run_instances(**ask)["Instances"][0]["InstanceId"], first)
        self.refused("IdempotentParameterMismatch", self.ec2.run_instances, **{**ask, "InstanceType": "t3.large"})
        ask["ClientToken"] = "t-2"
        self.assertNotEqual(self.ec2.run_instances(**ask)["Instances"][0]["InstanceId"], first)

    def test_unknown_filter_is_an_error_that_parses(self):
        for call in (self.ec2.describe_instances, self.ec2.describe_route_tables, self.ec2.describe_subnets):
            self.refused("InvalidParameterValue", call, Filters=[{"Name": "no-such", "Values": ["x"]}])

    def test_bad_token_is_an_error_that_parses(self):
        self.refused("InvalidNextToken", self.ec2.describe_instances, NextToken="nonsense", MaxResults=5)

    def test_pages(self):
        first = self.ec2.describe_instances(MaxResults=3)
        rest = self.ec2.describe_instances(MaxResults=3, NextToken=first["NextToken"])
        self.assertEqual(sum(len(r["Instances"]) for r in first["Reservations"] + rest["Reservations"]), 4)


class DryRun(Case):
    """DryRun changes nothing, also where moto would."""

    def test_nothing_happens(self):
        before = self.emulator.page("/_redrill/state")[1]
        association = next(iter(self.tables().values()))
        table = self.ids["table:shop-public"]
        for call, ask in (
            (self.ec2.terminate_instances, {"InstanceIds": [self.ids["shop-web-1"]]}),
            (self.ec2.disassociate_route_table, {"AssociationId": association}),
            (self.ec2.replace_route_table_association, {"AssociationId": association, "RouteTableId": table}),
            (self.ec2.delete_route, {"RouteTableId": table, "DestinationCidrBlock": "0.0.0.0/0"}),
            (self.ec2.create_route_table, {"VpcId": self.ids["shop"]}),
            (self.ec2.create_tags, {"Resources": [table], "Tags": [{"Key": "a", "Value": "b"}]}),
        ):
            self.refused("DryRunOperation", call, DryRun=True, **ask)
        self.assertEqual(self.emulator.page("/_redrill/state")[1], before)


class Routes(Case):
    """Route tables."""

    def test_detached_subnet_follows_the_main_table(self):
        before = self.emulator.page("/_redrill/state")[1]
        subnet, association = sorted(self.tables().items())[0]
        self.ec2.disassociate_route_table(AssociationId=association)
        now = self.emulator.page("/_redrill/state")[1]
        self.assertFalse(now["subnets"][subnet]["explicit"])
        self.assertEqual(self.healthy("/network")[0], 503)
        self.ec2.associate_route_table(SubnetId=subnet, RouteTableId=self.ids["table:shop-private"])
        self.assertEqual(self.emulator.page("/_redrill/state")[1], before)
        self.assertEqual(self.healthy("/network")[0], 200)

    def test_main_association_cannot_be_taken_away(self):
        found = self.ec2.describe_route_tables(Filters=[{"Name": "association.main", "Values": ["true"]},
                                                        {"Name": "vpc-id", "Values": [self.ids["shop"]]}])
        main = found["RouteTables"][0]["Associations"][0]["RouteTableAssociationId"]
        self.refused("InvalidParameterValue", self.ec2.disassociate_route_table, AssociationId=main)

    def test_a_subnet_has_one_table(self):
        self.refused("Resource.AlreadyAssociated", self.ec2.associate_route_table,
                     SubnetId=self.ids["shop-private-a"], RouteTableId=self.ids["table:shop-public"])

    def test_detached_gateway_leaves_a_blackhole(self):
        self.ec2.detach_internet_gateway(InternetGatewayId=self.ids["igw"], VpcId=self.ids["shop"])
        table = self.ec2.describe_route_tables(RouteTableIds=[self.ids["table:shop-public"]])["RouteTables"][0]
        self.assertEqual({r["DestinationCidrBlock"]: r["State"] for r in table["Routes"]},
                         {"0.0.0.0/0": "blackhole", "10.20.0.0/16": "active"})

    def test_deleted_nat_gateway_leaves_a_blackhole(self):
        self.ec2.delete_nat_gateway(NatGatewayId=self.ids["nat"])
        self.assertEqual(self.healthy("/network")[0], 503)

    def test_local_route_stays(self):
        self.refused("InvalidParameterValue", self.ec2.delete_route, RouteTableId=self.ids["table:shop-private"],
                     DestinationCidrBlock="10.20.0.0/16")

    def test_create_route_table_once_per_token(self):
        ask = {"VpcId": self.ids["shop"], "ClientToken": "t-1"}
        first = self.ec2.create_route_table(**ask)["RouteTable"]["RouteTableId"]
        self.assertEqual(self.ec2.create_route_table(**ask)["RouteTable"]["RouteTableId"], first)


class Databases(Case):
    """RDS."""

    def restore(self, target="copy", **ask):
        """A restore of shop-orders."""
        if "RestoreTime" not in ask and "UseLatestRestorableTime" not in ask:
            ask["UseLatestRestorableTime"] = True
        return self.rds.restore_db_instance_to_point_in_time(
            SourceDBInstanceIdentifier="shop-orders", TargetDBInstanceIdentifier=target, **ask)["DBInstance"]

    def test_latest_restorable_time_lags_and_may_be_absent(self):
        latest = self.database("shop-orders")["LatestRestorableTime"]
        lag = datetime.now(timezone.utc) - latest
        self.assertTrue(timedelta(minutes=4, seconds=55) < lag < timedelta(minutes=5, seconds=30), lag)
        for other in ("shop-orders-replica", "batch-scratch"):
            self.assertNotIn("LatestRestorableTime", self.database(other))

    def test_restore_takes_time_and_gets_the_defaults(self):
        made = self.restore(RestoreTime=datetime.now(timezone.utc) - timedelta(minutes=15))
        self.assertEqual(made["DBInstanceStatus"], "creating")
        self.assertNotIn("Endpoint", made)
        self.refused("InvalidDBInstanceState", self.rds.delete_db_instance, DBInstanceIdentifier="copy",
                     SkipFinalSnapshot=True)
        self.refused("InvalidDBInstanceState", self.rds.modify_db_instance, DBInstanceIdentifier="copy",
                     DeletionProtection=True)
        self.assertTrue(poll(lambda: self.status("copy") == "backing-up"))
        self.assertTrue(poll(lambda: self.status("copy") == "available"))
        copy, source = self.database("copy"), self.database("shop-orders")
        self.assertIn("Address", copy["Endpoint"])
        for same in ("Engine", "EngineVersion", "DBInstanceClass", "AllocatedStorage", "StorageType", "MasterUsername"):
            self.assertEqual(copy[same], source[same], same)
        self.assertEqual(copy["DBSubnetGroup"]["DBSubnetGroupName"], "default")
        self.assertEqual(copy["DBParameterGroups"][0]["DBParameterGroupName"], "default.postgres15")
        self.assertNotEqual(copy["VpcSecurityGroups"], source["VpcSecurityGroups"])
        for off in ("MultiAZ", "DeletionProtection", "IAMDatabaseAuthenticationEnabled", "CopyTagsToSnapshot"):
            self.assertIs(copy[off], False, off)
            self.assertIs(source[off], True, off)
        self.assertEqual((copy["TagList"], copy.get("EnabledCloudwatchLogsExports", [])), ([], []))
        self.assertNotIn("ReadReplicaSourceDBInstanceIdentifier", copy)
        self.assertNotIn("LatestRestorableTime", copy)
        self.assertNotEqual(copy["DbiResourceId"], source["DbiResourceId"])

    def test_restore_takes_what_it_is_told(self):
        source = self.database("shop-orders")
        self.restore(
            MultiAZ=True, DBSubnetGroupName="shop-db", DBParameterGroupName="shop-orders-pg15", CopyTagsToSnapshot=True,
            VpcSecurityGroupIds=[g["VpcSecurityGroupId"] for g in source["VpcSecurityGroups"]],
            EnableIAMDatabaseAuthentication=True, EnableCloudwatchLogsExports=["postgresql"], DeletionProtection=False,
            DBInstanceClass="db.t3.large", Tags=[{"Key": "redrill:run", "Value": "r1"}])
        copy = self.database("copy")
        for same in ("MultiAZ", "VpcSecurityGroups", "IAMDatabaseAuthenticationEnabled", "EnabledCloudwatchLogsExports",
                     "CopyTagsToSnapshot"):
            self.assertEqual(copy[same], source[same], same)
        self.assertEqual(copy["DBSubnetGroup"]["DBSubnetGroupName"], "shop-db")
        self.assertEqual(copy["DBParameterGroups"][0]["DBParameterGroupName"], "shop-orders-pg15")
        self.assertEqual((copy["DBInstanceClass"], copy["DeletionProtection"]), ("db.t3.large", False))
        self.assertEqual(copy["TagList"], [{"Key": "redrill:run", "Value": "r1"}])

    def test_default_security_group_is_that_of_the_subnet_groups_vpc(self):
        self.restore(DBSubnetGroupName="shop-db")
        group = self.database("copy")["VpcSecurityGroups"][0]["VpcSecurityGroupId"]
        found = self.ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]
        self.assertEqual((found["GroupName"], found["VpcId"]), ("default", self.ids["shop"]))

    def test_restore_refuses_times_outside_the_window(self):
        now = datetime.now(timezone.utc)
        for wrong in (now + timedelta(hours=1), now - timedelta(minutes=1), now - timedelta(days=3),
                      datetime(2001, 1, 1, tzinfo=timezone.utc)):
            with self.assertRaises(ClientError) as caught:
                self.restore(RestoreTime=wrong)
            self.assertEqual(caught.exception.response["Error"]["Code"], "InvalidRestoreFault", wrong)
        self.assertIsNone(self.database("copy"))

    def test_restore_needs_exactly_one_time(self):
        ask = {"SourceDBInstanceIdentifier": "shop-orders", "TargetDBInstanceIdentifier": "copy"}
        call = self.rds.restore_db_instance_to_point_in_time
        self.refused("InvalidParameterCombination", call, **ask)
        self.refused("InvalidParameterCombination", call, **ask, UseLatestRestorableTime=True,
                     RestoreTime=datetime.now(timezone.utc) - timedelta(minutes=15))

    def test_restore_needs_backups(self):
        for source in ("batch-scratch", "shop-orders-replica"):
            self.refused("PointInTimeRestoreNotEnabled", self.rds.restore_db_instance_to_point_in_time,
                         SourceDBInstanceIdentifier=source, TargetDBInstanceIdentifier="copy",
                         UseLatestRestorableTime=True)
        self.refused("DBInstanceNotFound", self.rds.restore_db_instance_to_point_in_time,
                     SourceDBInstanceIdentifier="nobody", TargetDBInstanceIdentifier="copy", UseLatestRestorableTime=True)
        self.refused("DBInstanceAlreadyExists", self.rds.restore_db_instance_to_point_in_time,
                     SourceDBInstanceIdentifier="shop-orders", TargetDBInstanceIdentifier="batch-scratch",
                     UseLatestRestorableTime=True)

    def test_delete_says_what_becomes_of_the_data(self):
        self.refused("InvalidParameterCombination", self.rds.delete_db_instance, DBInstanceIdentifier="batch-scratch")
        self.refused("InvalidParameterCombination", self.rds.delete_db_instance, DBInstanceIdentifier="batch-scratch",
                     SkipFinalSnapshot=True, FinalDBSnapshotIdentifier="last")
        self.refused("InvalidParameterCombination", self.rds.delete_db_instance, DBInstanceIdentifier="shop-orders",
                     SkipFinalSnapshot=True)  # deletion protection
        self.rds.delete_db_instance(DBInstanceIdentifier="batch-scratch", SkipFinalSnapshot=True)
        self.assertEqual(self.status("batch-scratch"), "deleting")
        self.refused("InvalidDBInstanceState", self.rds.delete_db_instance, DBInstanceIdentifier="batch-scratch",
                     SkipFinalSnapshot=True)
        self.assertTrue(poll(lambda: self.database("batch-scratch") is None))

    def test_force_failover_swaps_the_zones(self):
        before = self.database("shop-orders")
        self.assertEqual({before["AvailabilityZone"], before["SecondaryAvailabilityZone"]}, {"us-east-1a", "us-east-1b"})
        self.rds.reboot_db_instance(DBInstanceIdentifier="shop-orders", ForceFailover=True)
        self.assertEqual(self.status("shop-orders"), "rebooting")
        self.assertEqual(self.healthy("/database")[0], 503)
        self.refused("InvalidDBInstanceState", self.rds.reboot_db_instance, DBInstanceIdentifier="shop-orders")
        self.assertTrue(poll(lambda: self.status("shop-orders") == "available"))
        after = self.database("shop-orders")
        self.assertEqual((after["AvailabilityZone"], after["SecondaryAvailabilityZone"]),
                         (before["SecondaryAvailabilityZone"], before["AvailabilityZone"]))

    def test_force_failover_needs_a_standby(self):
        self.refused("InvalidParameterCombination", self.rds.reboot_db_instance, DBInstanceIdentifier="batch-scratch",
                     ForceFailover=True)
        self.rds.reboot_db_instance(DBInstanceIdentifier="batch-scratch")
        self.assertEqual(self.status("batch-scratch"), "rebooting")

    def test_modify_is_seen_and_shown(self):
        self.rds.modify_db_instance(DBInstanceIdentifier="shop-orders", EnablePerformanceInsights=True,
                                    DeletionProtection=False, ApplyImmediately=True)
        found = self.database("shop-orders")
        self.assertEqual((found["DBInstanceStatus"], found["PerformanceInsightsEnabled"]), ("modifying", True))
        self.assertTrue(poll(lambda: self.status("shop-orders") == "available"))
        self.assertIs(self.database("shop-orders")["DeletionProtection"], False)

    def test_tags_of_replica_and_source_are_their_own(self):
        arn = self.database("shop-orders-replica")["DBInstanceArn"]
        self.rds.add_tags_to_resource(ResourceName=arn, Tags=[{"Key": "x", "Value": "y"}])
        self.assertNotIn("x", {t["Key"] for t in self.database("shop-orders")["TagList"]})


class Distributions(Case):
    """CloudFront."""

    def invalidate(self, reference, *paths):
        """CreateInvalidation."""
        return self.cloudfront.create_invalidation(
            DistributionId=self.ids["shop storefront"],
            InvalidationBatch={"CallerReference": reference, "Paths": {"Quantity": len(paths), "Items": list(paths)}},
        )["Invalidation"]

    def test_invalidation_completes_in_time(self):
        made = self.invalidate("r-1", "/index.html")
        self.assertEqual(made["Status"], "InProgress")
        ask = lambda: self.cloudfront.get_invalidation(  # noqa: E731
            DistributionId=self.ids["shop storefront"], Id=made["Id"])["Invalidation"]["Status"]
        self.assertEqual(ask(), "InProgress")
        self.assertTrue(poll(lambda: ask() == "Completed"))

    def test_caller_reference_counts_once(self):
        first = self.invalidate("r-1", "/a", "/b")
        self.assertEqual(self.invalidate("r-1", "/b", "/a")["Id"], first["Id"])
        with self.assertRaises(ClientError) as caught:
            self.invalidate("r-1", "/c")
        self.assertEqual(caught.exception.response["Error"]["Code"], "InvalidationBatchAlreadyExists")
        self.assertNotEqual(self.invalidate("r-2", "/a", "/b")["Id"], first["Id"])
        listed = self.cloudfront.list_invalidations(DistributionId=self.ids["shop storefront"])
        self.assertEqual(listed["InvalidationList"]["Quantity"], 2)

    def test_seeded_distribution_is_deployed_and_tagged(self):
        found = self.cloudfront.list_distributions()["DistributionList"]["Items"][0]
        self.assertEqual((found["Status"], found["Comment"]), ("Deployed", "shop storefront"))
        tags = self.cloudfront.list_tags_for_resource(Resource=found["ARN"])["Tags"]["Items"]
        self.assertIn({"Key": "service", "Value": "shop"}, tags)


class Alarms(Case):
    """CloudWatch in CBOR and in the query protocol."""

    def setUp(self):
        super().setUp()
        self.cloudwatch = self.emulator.cbor()

    def test_alarms_over_cbor(self):
        self.assertEqual(self.cloudwatch.meta.service_model.resolved_protocol, "smithy-rpc-v2-cbor")
        found = self.cloudwatch.describe_alarms(AlarmNames=["shop-availability"])["MetricAlarms"]
        self.assertEqual([(a["AlarmName"], a["StateValue"]) for a in found], [("shop-availability", "OK")])
        self.assertIsInstance(found[0]["StateUpdatedTimestamp"], datetime)
        self.cloudwatch.set_alarm_state(AlarmName="shop-availability", StateValue="ALARM", StateReason="test")
        found = self.cloudwatch.describe_alarms(StateValue="ALARM")["MetricAlarms"]
        self.assertEqual([a["AlarmName"] for a in found], ["shop-availability"])
        self.assertEqual(self.cloudwatch.describe_alarms(AlarmNames=["nobody"])["MetricAlarms"], [])

    def test_alarm_is_put_and_errors_have_codes(self):
        self.cloudwatch.put_metric_alarm(
            AlarmName="new", Namespace="N", MetricName="M", ComparisonOperator="GreaterThanThreshold",
            EvaluationPeriods=1, Period=60, Threshold=1.5, Statistic="Sum")
        found = self.cloudwatch.describe_alarms(AlarmNames=["new"])["MetricAlarms"][0]
        self.assertEqual(found["Threshold"], 1.5)
        self.refused("ResourceNotFound", self.cloudwatch.set_alarm_state, AlarmName="nobody", StateValue="OK",
                     StateReason="x")

    def test_metric_data_over_cbor(self):
        now = datetime.now(timezone.utc).replace(microsecond=0)
        self.cloudwatch.put_metric_data(Namespace="Shop", MetricData=[
            {"MetricName": "errors", "Value": 3.0, "Timestamp": now - timedelta(minutes=2)}])
        query = {"Id": "q", "MetricStat": {"Metric": {"Namespace": "Shop", "MetricName": "errors"}, "Period": 60,
                                           "Stat": "Sum"}}
        found = self.cloudwatch.get_metric_data(MetricDataQueries=[query], StartTime=now - timedelta(minutes=10),
                                                EndTime=now)["MetricDataResults"][0]
        self.assertEqual(found["Values"], [3.0])
        self.assertIsInstance(found["Timestamps"][0], datetime)

    def test_query_protocol_works_too(self):
        body = b"Action=SetAlarmState&Version=2010-08-01&AlarmName=shop-availability&StateValue=ALARM&StateReason=x"
        request = urllib.request.Request(self.emulator.endpoint + "/", data=body, headers={
            "Content-Type": "application/x-www-form-urlencoded",
            "Authorization": "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/monitoring/aws4_request, "
                             "SignedHeaders=host, Signature=0"})
        with urllib.request.urlopen(request, timeout=20) as answer:
            self.assertIn(b"SetAlarmStateResponse", answer.read())
        self.assertEqual(self.emulator.page("/_redrill/state")[1]["alarms"]["shop-availability"], "ALARM")


class Groups(Case):
    """Auto Scaling."""

    def group(self):
        """A group of two; its members."""
        self.autoscaling.create_launch_configuration(
            LaunchConfigurationName="lc", ImageId="ami-1e749f67", InstanceType="t3.small")
        self.autoscaling.create_auto_scaling_group(
            AutoScalingGroupName="g", LaunchConfigurationName="lc", MinSize=2, MaxSize=2, DesiredCapacity=2,
            VPCZoneIdentifier=self.ids["shop-private-a"])
        return self.members()

    def members(self):
        """Ids of the members."""
        found = self.autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=["g"])["AutoScalingGroups"][0]
        return {i["InstanceId"] for i in found["Instances"]}

    def test_terminated_member_is_replaced(self):
        old = self.group()
        self.ec2.terminate_instances(InstanceIds=[sorted(old)[0]])
        self.assertEqual(len(self.members()), 2)
        self.assertNotEqual(self.members(), old)

    def test_suspended_processes_hold_back_the_replacement(self):
        old = self.group()
        self.autoscaling.suspend_processes(AutoScalingGroupName="g", ScalingProcesses=["Launch"])
        self.ec2.terminate_instances(InstanceIds=[sorted(old)[0]])
        self.assertEqual(self.members(), old - {sorted(old)[0]})
        self.autoscaling.resume_processes(AutoScalingGroupName="g", ScalingProcesses=["Launch"])
        self.assertEqual(len(self.members()), 2)

    def test_stopped_member_is_replaced_unless_suspended(self):
        old = sorted(self.group())
        self.autoscaling.suspend_processes(AutoScalingGroupName="g", ScalingProcesses=["ReplaceUnhealthy", "Terminate"])
        self.assertTrue(poll(lambda: self.state(old[0]) == "running" == self.state(old[1])))
        self.ec2.stop_instances(InstanceIds=[old[0]])
        self.assertEqual(self.members(), set(old))
        self.autoscaling.resume_processes(AutoScalingGroupName="g", ScalingProcesses=[])
        self.ec2.stop_instances(InstanceIds=[old[1]])
        self.assertNotIn(old[1], self.members())
        self.assertIn(self.state(old[1]), ("shutting-down", "terminated"))


class Faults(Case):
    """Faults at the wire."""

    def rules(self, *rules):
        """Sets rules."""
        status, answer = self.emulator.page("/_redrill/faults", "POST", list(rules))
        self.assertEqual(status, 200, answer)

    def test_throttling_comes_before_the_change_and_passes(self):
        i = self.ids["shop-web-1"]
        self.rules({"service": "ec2", "action": "TerminateInstances", "fault": "throttle", "times": 2})
        for _ in range(2):
            answer = self.refused("RequestLimitExceeded", self.ec2.terminate_instances, InstanceIds=[i])
            self.assertEqual(answer["ResponseMetadata"]["HTTPStatusCode"], 503)
        self.assertEqual(self.state(i), "running")
        self.ec2.terminate_instances(InstanceIds=[i])

    def test_each_service_has_its_own_codes(self):
        calls = {
            "ec2": (self.ec2.describe_instances, "RequestLimitExceeded", "UnauthorizedOperation", "RequestExpired"),
            "rds": (self.rds.describe_db_instances, "Throttling", "AccessDenied", "ExpiredToken"),
            "s3": (self.s3.list_buckets, "SlowDown", "AccessDenied", "ExpiredToken"),
            "cloudfront": (self.cloudfront.list_distributions, "Throttling", "AccessDenied", "ExpiredToken"),
            "cloudwatch": (self.emulator.cbor().describe_alarms, "Throttling", "AccessDenied", "ExpiredToken"),
        }
        for service, (call, *codes) in calls.items():
            for fault, code in zip(("throttle", "deny", "expired"), codes):
                with self.subTest(service=service, fault=fault):
                    self.rules({"service": service, "action": "*", "fault": fault})
                    self.refused(code, call)
                    call()

    def test_server_errors(self):
        for fault, status in (("error500", 500), ("error503", 503)):
            self.rules({"service": "rds", "action": "*", "fault": fault})
            with self.assertRaises(ClientError) as caught:
                self.rds.describe_db_instances()
            self.assertEqual(caught.exception.response["ResponseMetadata"]["HTTPStatusCode"], status)

    def test_skip_lets_calls_through_first(self):
        self.rules({"service": "ec2", "action": "DescribeInstances", "fault": "throttle", "skip": 1})
        self.ec2.describe_instances()
        self.refused("RequestLimitExceeded", self.ec2.describe_instances)
        self.ec2.describe_instances()

    def test_lost_answer_comes_after_the_change(self):
        i = self.ids["shop-web-1"]
        self.rules({"service": "ec2", "action": "TerminateInstances", "fault": "lose_answer"})
        with self.assertRaises(ConnectionClosedError):
            self.ec2.terminate_instances(InstanceIds=[i])
        self.assertIn(self.state(i), ("shutting-down", "terminated"))
        calls = self.emulator.page("/_redrill/calls?mutating=true")[1]
        self.assertEqual([(c["action"], c["fault"], c["status"]) for c in calls],
                         [("TerminateInstances", "lose_answer", 200)])

    def test_reset_comes_before_the_change(self):
        i = self.ids["shop-web-1"]
        self.rules({"service": "ec2", "action": "TerminateInstances", "fault": "reset"})
        with self.assertRaises(ConnectionClosedError):
            self.ec2.terminate_instances(InstanceIds=[i])
        self.assertEqual(self.state(i), "running")

    def test_latency(self):
        self.rules({"service": "s3", "action": "ListBuckets", "fault": "latency", "seconds": 3})
        with self.assertRaises(ReadTimeoutError):
            self.emulator.client("s3", timeout=1).list_buckets()
        self.s3.list_buckets()

    def test_rules_are_checked_and_cleared(self):
        self.assertEqual(self.emulator.page("/_redrill/faults", "POST", [{"fault": "nonsense"}])[0], 400)
        self.assertEqual(self.emulator.page("/_redrill/faults", "POST", [{"fault": "deny", "tims": 1}])[0], 400)
        self.rules({"fault": "deny", "times": None})
        self.refused("UnauthorizedOperation", self.ec2.describe_instances)
        self.assertEqual(self.emulator.page("/_redrill/faults", "DELETE"), (200, []))
        self.ec2.describe_instances()


class Log(Case):
    """The log of calls, request ids and the clock."""

    def test_calls_are_logged_without_values(self):
        self.rds.modify_db_instance(DBInstanceIdentifier="shop-orders", MasterUserPassword="do-not-log-me")
        self.ec2.describe_instances(InstanceIds=[self.ids["shop-web-1"]])
        self.s3.put_object(Bucket="shop-assets-123456789012", Key="a b.txt", Body=b"x")
        self.cloudwatch.describe_alarms()
        calls = self.emulator.page("/_redrill/calls")[1]
        self.assertEqual([(c["service"], c["action"], c["mutating"]) for c in calls], [
            ("rds", "ModifyDBInstance", True), ("ec2", "DescribeInstances", False), ("s3", "PutObject", True),
            ("cloudwatch", "DescribeAlarms", False)])
        self.assertEqual(calls[0]["parameters"], ["DBInstanceIdentifier", "MasterUserPassword"])
        self.assertEqual((calls[0]["resources"], calls[1]["resources"]), (["shop-orders"], [self.ids["shop-web-1"]]))
        self.assertNotIn("do-not-log-me", json.dumps(calls))
        self.assertIn("shop-assets-123456789012/a b.txt", calls[2]["resources"])

    def test_request_ids_are_unique_and_those_of_the_log(self):
        seen = []
        for call in (self.ec2.describe_instances, self.ec2.describe_instances, self.rds.describe_db_instances,
                     self.s3.list_buckets, self.cloudfront.list_distributions, self.cloudwatch.describe_alarms,
                     self.emulator.client("sts").get_caller_identity):
            seen.append(call()["ResponseMetadata"]["RequestId"])
        seen.append(self.refused("InvalidInstanceID.NotFound", self.ec2.describe_instances,
                                 InstanceIds=["i-0123456789abcdef0"])["ResponseMetadata"]["RequestId"])
        self.assertEqual(len(set(seen)), len(seen))
        self.assertEqual([c["request_id"] for c in self.emulator.page("/_redrill/calls")[1]], seen)

    def test_date_header_is_now(self):
        date = self.ec2.describe_instances()["ResponseMetadata"]["HTTPHeaders"]["date"]
        told = datetime.strptime(date, "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=timezone.utc)
        self.assertLess(abs(datetime.now(timezone.utc) - told), timedelta(seconds=5))


class Estate(Case):
    """Seed, snapshot and health service."""

    def test_snapshot_is_stable_and_sees_changes(self):
        before = self.emulator.page("/_redrill/state")[1]
        self.assertEqual(self.emulator.page("/_redrill/state")[1], before)
        bucket = "shop-assets-123456789012"
        gone = self.s3.delete_object(Bucket=bucket, Key="index.html")
        self.assertNotEqual(self.emulator.page("/_redrill/state")[1], before)
        self.s3.delete_object(Bucket=bucket, Key="index.html", VersionId=gone["VersionId"])
        self.assertEqual(self.emulator.page("/_redrill/state")[1], before)

    def test_tagging_api_and_bucket_tags(self):
        self.assertEqual({t["Key"]: t["Value"] for t in self.s3.get_bucket_tagging(
            Bucket="shop-assets-123456789012")["TagSet"]}, {"service": "shop", "role": "assets", "env": "staging"})
        found = self.emulator.client("resourcegroupstaggingapi").get_resources(
            TagFilters=[{"Key": "service", "Values": ["shop"]}])["ResourceTagMappingList"]
        kinds = {r["ResourceARN"].split(":")[2] for r in found}
        self.assertLessEqual({"ec2", "rds", "s3"}, kinds)

    def test_targets_are_registered_and_data_is_kept(self):
        health = self.elbv2.describe_target_health(TargetGroupArn=self.ids["target-group:shop-web"])
        self.assertEqual({t["Target"]["Id"] for t in health["TargetHealthDescriptions"]},
                         {self.ids[f"shop-web-{n}"] for n in (1, 2, 3)})
        data = self.ec2.describe_instance_attribute(InstanceId=self.ids["shop-web-1"], Attribute="userData")
        self.assertTrue(data["UserData"]["Value"].startswith("IyEvYmlu"))

    def test_health_follows_the_estate(self):
        code, body = self.healthy()
        self.assertEqual((code, body["status"], sorted(body["checks"])),
                         (200, "ok", ["catalogue", "database", "network", "web"]))
        self.assertEqual(self.healthy("/nonsense")[0], 404)
        self.ec2.stop_instances(InstanceIds=[self.ids["shop-web-1"]])
        code, body = self.healthy()
        self.assertEqual((code, body["status"], body["checks"]["web"]),
                         (503, "failing", {"ok": False, "detail": "2 of 3 running"}))
        self.assertEqual((self.healthy("/web")[0], self.healthy("/database")[0]), (503, 200))
        self.s3.delete_object(Bucket="shop-assets-123456789012", Key="catalogue/items.json")
        self.assertEqual(self.healthy("/catalogue")[0], 503)

    def test_a_replacement_heals_the_service(self):
        self.ec2.terminate_instances(InstanceIds=[self.ids["shop-web-1"]])
        self.assertEqual(self.healthy("/web")[0], 503)
        tags = [{"Key": k, "Value": v} for k, v in
                {"service": "shop", "role": "web", "redrill:run": "r1"}.items()]
        self.ec2.run_instances(ImageId="ami-1e749f67", MinCount=1, MaxCount=1, SubnetId=self.ids["shop-private-a"],
                               TagSpecifications=[{"ResourceType": "instance", "Tags": tags}])
        self.assertEqual(self.healthy("/web")[0], 503)  # pending
        self.assertTrue(poll(lambda: self.healthy("/web")[0] == 200))

    def test_health_is_not_in_the_log(self):
        self.healthy()
        self.assertEqual(self.emulator.page("/_redrill/calls")[1], [])


class Process(unittest.TestCase):
    """Starting and ending."""

    def test_ends_with_its_standard_input(self):
        emulator = Emulator("--exit-with-stdin")
        emulator.process.stdin.close()
        self.assertEqual(emulator.process.wait(10), 0)
        emulator.process.stdout.close()

    def test_ends_on_sigterm(self):
        emulator = Emulator()
        emulator.process.send_signal(signal.SIGTERM)
        self.assertEqual(emulator.process.wait(10), 0)
        emulator.stop()

    def test_ends_when_idle_or_when_its_folder_goes(self):
        with tempfile.TemporaryDirectory() as folder:
            mark = Path(folder, "mark")
            mark.touch()
            emulator = Emulator("--exit-with-path", str(mark))
            mark.unlink()
            self.assertEqual(emulator.process.wait(10), 0)
            emulator.stop()
        emulator = Emulator("--idle-exit", "1")
        self.assertEqual(emulator.process.wait(10), 0)
        emulator.stop()

    def test_other_hosts_are_refused(self):
        command = [sys.executable, str(HERE / "redrill_emulator.py"), "--host", "0.0.0.0"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
        self.assertEqual(done.returncode, 2)
        self.assertIn("127.0.0.1 only", done.stderr)

    def test_plain_is_unmodified_moto_and_none_is_instant(self):
        plain = Emulator("--plain", "--exit-with-stdin", "--seed", str(HERE / "estate.json"))
        try:
            i = next(i for i in plain.page("/_redrill/state")[1]["instances"])["id"]
            ec2 = plain.client("ec2")
            ec2.stop_instances(InstanceIds=[i])
            found = ec2.describe_instances(InstanceIds=[i])["Reservations"][0]["Instances"][0]
            self.assertEqual(found["State"]["Name"], "stopped")
            self.assertEqual(plain.page("/health", base=plain.health)[0], 503)
        finally:
            plain.stop()
        with tempfile.TemporaryDirectory() as folder:
            log = Path(folder, "calls.jsonl")
            instant = Emulator("--pace", "none", "--exit-with-stdin", "--seed", str(HERE / "estate.json"), "--log", str(log))
            try:
                rds = instant.client("rds")
                rds.delete_db_instance(DBInstanceIdentifier="batch-scratch", SkipFinalSnapshot=True)
                names = {d["DBInstanceIdentifier"] for d in rds.describe_db_instances()["DBInstances"]}
                self.assertEqual(names, {"shop-orders", "shop-orders-replica"})
                lines = [json.loads(line) for line in log.read_text().splitlines()]
                self.assertEqual([line["action"] for line in lines], ["DeleteDBInstance", "DescribeDBInstances"])
            finally:
                instant.stop()


if __name__ == "__main__":
    unittest.main()
