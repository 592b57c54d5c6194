"""Delays and corrections, over the wire with boto3: each has a test.

Run all of them with a Python that has the packages of requirements.txt: python -m unittest discover
"""

import unittest
import urllib.request
from datetime import datetime, timedelta, timezone

from test_support import Case, poll

from botocore.exceptions import ClientError


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

    def test_interfaces_tell_whose_they_are_page_by_page(self):
        ask = lambda **more: self.ec2.describe_network_interfaces(**more)  # noqa: E731
        def every(**more):
            found, token = [], {}
            while True:
                page = ask(MaxResults=5, **more, **token)
                found += page["NetworkInterfaces"]
                if "NextToken" not in page:
                    return found
                token = {"NextToken": page["NextToken"]}

        def inside(subnet):
            return every(Filters=[{"Name": "subnet-id", "Values": [self.ids[subnet]]}])

        nat = self.ec2.describe_nat_gateways()["NatGateways"][0]["NatGatewayId"]
        public = inside("shop-public-a")
        self.assertEqual([(i["InterfaceType"], i["Status"]) for i in public], [("nat_gateway", "in-use")])
        self.assertTrue(public[0]["Description"].endswith(nat))
        private = inside("shop-private-a") + inside("shop-private-b")
        servers = {i["Attachment"]["InstanceId"] for i in private if "Attachment" in i}
        self.assertEqual(servers, {self.ids[f"shop-web-{n}"] for n in (1, 2, 3)})
        # one of each database, and one more of the standby
        databases = [i["NetworkInterfaceId"] for i in private if i["Description"] == "RDSNetworkInterface"]
        self.assertEqual(len(set(databases)), 4)
        self.assertEqual(databases, [i["NetworkInterfaceId"] for i in inside("shop-private-a") + inside("shop-private-b")
                                     if i["Description"] == "RDSNetworkInterface"])
        self.refused("InvalidNextToken", ask, NextToken="garbage")

    def test_endpoints_and_load_balancers_have_interfaces_that_tell_whose_they_are(self):
        a, b = self.ids["shop-public-a"], self.ids["shop-public-b"]
        vpc = self.ec2.describe_subnets(SubnetIds=[a])["Subnets"][0]["VpcId"]
        endpoint = self.ec2.create_vpc_endpoint(
            VpcId=vpc, ServiceName="com.amazonaws.us-east-1.sqs", VpcEndpointType="Interface", SubnetIds=[b])["VpcEndpoint"]
        for kind in ("application", "network"):
            self.elbv2.create_load_balancer(Name=kind, Type=kind, Subnets=[a, b])
        self.emulator.client("elb").create_load_balancer(
            LoadBalancerName="old", Listeners=[{"Protocol": "http", "LoadBalancerPort": 80, "InstancePort": 80}], Subnets=[b])

        def inside(subnet):
            found = self.ec2.describe_network_interfaces(Filters=[{"Name": "subnet-id", "Values": [subnet]}])
            found = [i for i in found["NetworkInterfaces"] if "Attachment" not in i and i["InterfaceType"] != "nat_gateway"]
            self.assertEqual({i["Status"] for i in found}, {"in-use"})
            return sorted((i["InterfaceType"], i["Description"].rsplit("/", 1)[0]) for i in found)

        nodes = [("interface", "ELB app/application"), ("network_load_balancer", "ELB net/network")]
        self.assertEqual(inside(a), nodes)
        there = f"VPC Endpoint Interface {endpoint['VpcEndpointId']}"
        self.assertEqual(inside(b), sorted([*nodes, ("interface", "ELB old"), ("vpc_endpoint", there)]))

    def test_an_address_that_an_interface_was_given_is_the_instances(self):
        i = self.ids["shop-web-1"]
        eni = self.instance(i)["NetworkInterfaces"][0]["NetworkInterfaceId"]
        address = self.ec2.allocate_address(Domain="vpc")["AllocationId"]
        self.ec2.associate_address(AllocationId=address, NetworkInterfaceId=eni)
        found = lambda: self.ec2.describe_addresses(Filters=[{"Name": "instance-id", "Values": [i]}])["Addresses"]  # noqa: E731
        self.assertEqual([a["AllocationId"] for a in found()], [address])
        self.ec2.terminate_instances(InstanceIds=[i])
        self.assertEqual(found(), [])

    def test_types_are_offered_where_moto_has_no_list(self):
        for region in ("cn-north-1", "us-gov-west-1"):
            ec2 = self.emulator.client("ec2", region=region)
            found = ec2.describe_instance_type_offerings(
                LocationType="availability-zone", Filters=[{"Name": "instance-type", "Values": ["t3.micro"]}])
            self.assertIn(f"{region}a", {o["Location"] for o in found["InstanceTypeOfferings"]})

    def test_classic_load_balancers_are_read_by_their_own_model(self):
        elb = self.emulator.client("elb")
        self.refused("ValidationError", self.elbv2.describe_load_balancers, PageSize=401)
        self.refused("ValidationError", elb.describe_load_balancers, PageSize=401)
        listener = {"Protocol": "http", "LoadBalancerPort": 80, "InstancePort": 80}
        elb.create_load_balancer(LoadBalancerName="old", Listeners=[listener], Subnets=[self.ids["shop-public-b"]])
        elb.register_instances_with_load_balancer(LoadBalancerName="old", Instances=[{"InstanceId": self.ids["shop-web-1"]}])
        told = elb.describe_load_balancers()["LoadBalancerDescriptions"]
        self.assertEqual([[i["InstanceId"] for i in b["Instances"]] for b in told], [[self.ids["shop-web-1"]]])

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

    def test_termination_frees_the_elastic_address(self):
        address = self.ec2.allocate_address(Domain="vpc")["AllocationId"]
        for i in (self.ids["shop-web-1"], self.ids["shop-web-2"]):
            self.ec2.associate_address(AllocationId=address, InstanceId=i, AllowReassociation=False)
            found = self.ec2.describe_addresses(Filters=[{"Name": "instance-id", "Values": [i]}])["Addresses"]
            self.assertEqual([a["AllocationId"] for a in found], [address])
            self.ec2.terminate_instances(InstanceIds=[i])
            self.assertFalse(self.ec2.describe_addresses(AllocationIds=[address])["Addresses"][0].get("InstanceId"))

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

    def test_the_token_of_a_terminated_instance_launches_nothing(self):
        ask = {"ImageId": "ami-1e749f67", "MinCount": 1, "MaxCount": 1, "ClientToken": "t-1",
               "SubnetId": self.ids["shop-private-a"]}
        first = self.ec2.run_instances(**ask)["Instances"][0]["InstanceId"]
        self.ec2.terminate_instances(InstanceIds=[first])
        self.assertTrue(poll(lambda: self.state(first) == "terminated"))
        self.refused("IdempotentInstanceTerminated", self.ec2.run_instances, **ask)

    def test_what_a_launch_needs_has_to_be_there(self):
        ask = {"ImageId": "ami-1e749f67", "MinCount": 1, "MaxCount": 1, "SubnetId": self.ids["shop-private-a"]}
        gone = "ami-00000000000000009"
        self.refused("InvalidAMIID.NotFound", self.ec2.describe_images, ImageIds=["ami-1e749f67", gone])
        self.refused("InvalidAMIID.NotFound", self.ec2.run_instances, **{**ask, "ImageId": gone})
        self.refused("InvalidKeyPair.NotFound", self.ec2.run_instances, **ask, KeyName="ops")
        self.ec2.create_key_pair(KeyName="ops")
        self.assertTrue(self.ec2.run_instances(**ask, KeyName="ops")["Instances"])
        self.assertEqual(len(self.ec2.describe_images(ImageIds=["ami-1e749f67"])["Images"]), 1)

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

    def test_restore_manages_a_password_for_oracle_only_and_modify_for_the_others(self):
        self.refused("InvalidParameterCombination", self.restore, ManageMasterUserPassword=True)
        self.restore()
        self.assertTrue(poll(lambda: self.status("copy") == "available"))
        self.assertNotIn("MasterUserSecret", self.database("copy"))
        self.rds.modify_db_instance(DBInstanceIdentifier="copy", ManageMasterUserPassword=True, ApplyImmediately=True)
        self.assertTrue(poll(lambda: self.database("copy").get("MasterUserSecret", {}).get("SecretArn")))

    def test_restore_takes_groups_of_its_own_vpc_only_and_iops_with_provisioned_storage(self):
        self.refused("InvalidParameterCombination", self.restore, StorageType="io1")
        vpc = self.ec2.create_vpc(CidrBlock="10.77.0.0/16")["Vpc"]["VpcId"]
        subnets = [self.ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.77.{n}.0/24", AvailabilityZone=f"us-east-1{z}")
                   ["Subnet"]["SubnetId"] for n, z in ((1, "a"), (2, "b"))]
        self.rds.create_db_subnet_group(DBSubnetGroupName="other", DBSubnetGroupDescription="other", SubnetIds=subnets)
        group = self.ec2.create_security_group(GroupName="other", Description="other", VpcId=vpc)["GroupId"]
        of_source = [g["VpcSecurityGroupId"] for g in self.database("shop-orders")["VpcSecurityGroups"]]
        self.refused("InvalidParameterCombination", self.restore, DBSubnetGroupName="other",
                     VpcSecurityGroupIds=of_source)
        self.restore(DBSubnetGroupName="other", VpcSecurityGroupIds=[group])

    def test_restore_takes_no_ceiling_below_ten_percent_and_no_authority_that_is_not_there(self):
        stored = self.database("shop-orders")["AllocatedStorage"]
        most = -(-stored * 11 // 10)
        self.refused("InvalidParameterCombination", self.restore, MaxAllocatedStorage=most - 1)
        self.refused("CertificateNotFound", self.restore, CACertificateIdentifier="rds-ca-2019")
        known = {c["CertificateIdentifier"] for c in self.rds.describe_certificates()["Certificates"]}
        self.assertNotIn("rds-ca-2019", known)
        self.restore(MaxAllocatedStorage=most, CACertificateIdentifier="rds-ca-rsa2048-g1")
        self.assertEqual(self.database("copy")["MaxAllocatedStorage"], most)

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

    def test_what_is_being_deleted_is_not_restored_from(self):
        self.rds.modify_db_instance(DBInstanceIdentifier="shop-orders", DeletionProtection=False)
        self.assertTrue(poll(lambda: self.status("shop-orders") == "available"))
        self.rds.delete_db_instance(DBInstanceIdentifier="shop-orders", SkipFinalSnapshot=True, DeleteAutomatedBackups=False)
        self.assertEqual(self.status("shop-orders"), "deleting")
        self.refused("InvalidDBInstanceState", self.rds.restore_db_instance_to_point_in_time,
                     SourceDBInstanceIdentifier="shop-orders", TargetDBInstanceIdentifier="copy", UseLatestRestorableTime=True)

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
        self.assertEqual(self.status("shop-orders"), "available")
        self.assertTrue(poll(lambda: self.status("shop-orders") == "modifying"))
        self.assertIs(self.database("shop-orders")["PerformanceInsightsEnabled"], True)
        self.assertTrue(poll(lambda: self.status("shop-orders") == "available"))
        self.assertIs(self.database("shop-orders")["DeletionProtection"], False)

    def test_quotas(self):
        quotas = self.rds.describe_account_attributes()["AccountQuotas"]
        self.assertEqual({q["AccountQuotaName"]: (q["Used"], q["Max"]) for q in quotas}, {
            "DBInstances": (3, 40), "AllocatedStorage": (220, 100_000), "ManualSnapshots": (0, 100)})

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

    def test_the_newest_invalidation_is_listed_first(self):
        made = [self.invalidate(f"r-{n}", f"/{n}")["Id"] for n in range(3)]
        listed = self.cloudfront.list_invalidations(DistributionId=self.ids["shop storefront"])
        self.assertEqual([i["Id"] for i in listed["InvalidationList"]["Items"]], made[::-1])

    def test_paths_that_are_no_part_of_a_url_are_refused(self):
        for path in ("/summer sale/*", "/größen.html", "/a~b", "/test[1].html", "no-slash", "/" + "a" * 4000):
            with self.assertRaises(ClientError) as caught:
                self.invalidate("r-1", "/ok", path)
            self.assertEqual(caught.exception.response["Error"]["Code"], "InvalidArgument", path)
        self.invalidate("r-1", "/summer%20sale/*", "/a?x=1&y=(2)+3,@$!;=_-.", "/" + "a" * 3999)

    def test_paths_in_progress_are_limited_until_they_are_through(self):
        wild = [f"/{n}/*" for n in range(15)]
        self.invalidate("r-1", *wild)
        self.refused("TooManyInvalidationsInProgress", lambda: self.invalidate("r-2", "/more/*"))
        self.invalidate("r-1", *wild)  # the same again is no more
        self.invalidate("r-3", *(f"/{n}" for n in range(3000)))
        self.refused("TooManyInvalidationsInProgress", lambda: self.invalidate("r-4", "/3000"))
        def again():
            try:
                return self.invalidate("r-2", "/more/*")
            except ClientError:
                return None
        self.assertTrue(poll(again))

    def test_seeded_distribution_is_deployed_and_tagged(self):
        found = self.cloudfront.list_distributions()["DistributionList"]["Items"][0]
        self.assertEqual((found["Status"], found["Comment"]), ("Deployed", "shop storefront"))
        tags = self.cloudfront.list_tags_for_resource(Resource=found["ARN"])["Tags"]["Items"]
        self.assertIn({"Key": "service", "Value": "shop"}, tags)


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """Tells a redirect instead of following it."""

    def redirect_request(self, *_):
        return None


class Objects(Case):
    def test_settings_have_the_roots_that_strict_readers_expect(self):
        for page, root in (("versioning", "VersioningConfiguration"), ("notification", "NotificationConfiguration")):
            with urllib.request.urlopen(f"{self.emulator.endpoint}/shop-assets-123456789012?{page}") as answer:
                self.assertRegex(answer.read().decode(), rf"<{root}[ />]")
        enabled = self.emulator.client("s3").get_bucket_versioning(Bucket="shop-assets-123456789012")
        self.assertEqual(enabled["Status"], "Enabled")

    def test_a_bucket_elsewhere_is_pointed_to_and_never_touched(self):
        s3 = self.emulator.client("s3")
        s3.create_bucket(Bucket="far", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        scope = "AWS4-HMAC-SHA256 Credential=test/20260101/{}/s3/aws4_request, SignedHeaders=host, Signature=0"
        def ask(region, page="far?versioning", method="GET"):
            request = urllib.request.Request(
                f"{self.emulator.endpoint}/{page}", headers={"Authorization": scope.format(region)}, method=method)
            opener = urllib.request.build_opener(NoRedirect)
            try:
                return opener.open(request)
            except urllib.error.HTTPError as error:
                return error
        for method in ("GET", "PUT", "DELETE"):
            answer = ask("us-east-1", "far/k", method)
            self.assertEqual((answer.status, answer.headers["x-amz-bucket-region"]), (301, "eu-west-1"), method)
        self.assertIn(b"<Code>PermanentRedirect</Code>", ask("us-east-1").read())
        self.assertEqual(ask("us-east-1", "far/k", "HEAD").status, 301)
        self.assertEqual((ask("us-east-1", "far?location").status, ask("eu-west-1").status), (200, 200))
        self.assertEqual(ask("eu-west-1", "far/k", "PUT").status, 200)

    def test_a_thousand_keys_at_once_and_no_more(self):
        s3 = self.emulator.client("s3")
        for count in (1000, 1001):
            keys = {"Objects": [{"Key": f"none/{n}"} for n in range(count)]}
            if count == 1000:
                s3.delete_objects(Bucket="batch-scratch-123456789012", Delete=keys)
            else:
                self.refused("MalformedXML", s3.delete_objects, Bucket="batch-scratch-123456789012", Delete=keys)


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
        # the mark stays, so that the member ends when this may go on, although it runs again
        self.assertTrue(poll(lambda: self.state(old[0]) == "stopped"))
        self.ec2.start_instances(InstanceIds=[old[0]])
        self.autoscaling.resume_processes(AutoScalingGroupName="g", ScalingProcesses=["ReplaceUnhealthy", "Terminate"])
        self.assertNotIn(old[0], self.members())
        self.assertIn(self.state(old[0]), ("shutting-down", "terminated"))
        self.ec2.stop_instances(InstanceIds=[old[1]])
        self.assertNotIn(old[1], self.members())

    def test_stopped_member_is_not_marked_while_health_checks_are_suspended(self):
        old = sorted(self.group())
        self.autoscaling.suspend_processes(AutoScalingGroupName="g", ScalingProcesses=["HealthCheck"])
        self.assertTrue(poll(lambda: self.state(old[0]) == "running" == self.state(old[1])))
        self.ec2.stop_instances(InstanceIds=[old[0]])
        self.assertTrue(poll(lambda: self.state(old[0]) == "stopped"))
        self.ec2.start_instances(InstanceIds=[old[0]])
        self.autoscaling.resume_processes(AutoScalingGroupName="g", ScalingProcesses=["HealthCheck"])
        self.assertEqual(self.members(), set(old))


if __name__ == "__main__":
    unittest.main()
