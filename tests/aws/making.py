"""Makes the small estate: a network, two servers, a database, a bucket, and a distribution where it was asked for.

Everything is tagged by the very call that makes it, or has the run's name, so that a run which is killed at any moment
leaves nothing that `taking` does not find. Not for: waiting (the slow ones are only begun here), nor removing.
"""

import secrets
import time

from account import code_of, every, settled, until

FAMILY = "al202?-ami-20*-kernel-*"
TYPES = (("t4g.nano", "arm64"), ("t3.nano", "x86_64"), ("t3a.nano", "x86_64"), ("t3.micro", "x86_64"))
CLASSES = ("db.t4g.micro", "db.t3.micro")
OBJECTS = {
    "index.html": b"<!doctype html><title>acceptance</title>\n",
    "css/site.css": b"body { font-family: sans-serif }\n",
    "catalogue/items.json": b'[{"sku":"tea-1"}]\n',
    "catalogue/prices.json": b'{"tea-1":450}\n',
    "images/tea-1.txt": b"a picture of green tea\n",
    "images/tea-2.txt": b"a picture of black tea\n",
}


class Estate:
    """What was made so far, by id; None where it was not, or not yet."""

    def __init__(self, account, say):
        self.account, self.say = account, say
        self.zones, self.subnets, self.servers = [], [], []
        self.type = self.image = self.vpc = self.table = self.main_table = self.group = self.gateway = None
        self.address = self.target_group = self.bucket = self.database = self.distribution = None
        # what a bucket without tags answers: can be seen only before it has any
        self.untagged = None
        self.began_distribution = None

    def made(self, what, ident):
        """Said as it is made."""
        self.say(f"      made {what} {ident}")
        return ident

    def choose(self):
        """The smallest type that two zones have, and the newest image for it."""
        ec2 = self.account.client("ec2")
        zones = [z["ZoneName"] for z in ec2.describe_availability_zones(
            Filters=[{"Name": "state", "Values": ["available"]}, {"Name": "zone-type", "Values": ["availability-zone"]}]
        )["AvailabilityZones"]]
        for self.type, architecture in TYPES:
            offered = every(ec2, "describe_instance_type_offerings", "InstanceTypeOfferings",
                            LocationType="availability-zone",
                            Filters=[{"Name": "instance-type", "Values": [self.type]}])
            self.zones = sorted({o["Location"] for o in offered} & set(zones))[:2]
            images = [i for i in ec2.describe_images(Owners=["amazon"], Filters=[
                {"Name": "name", "Values": [FAMILY]}, {"Name": "architecture", "Values": [architecture]},
                {"Name": "state", "Values": ["available"]},
            ])["Images"]] if len(self.zones) == 2 else []
            if images:
                self.image = max(images, key=lambda i: i["CreationDate"])["ImageId"]
                return
        raise RuntimeError(f"no type of {', '.join(t for t, _ in TYPES)} with an image in two zones of {self.account.region}")

    def network(self):
        """A VPC, two subnets in two zones behind one route table with a way out, a group that lets nobody in."""
        a, ec2 = self.account, self.account.client("ec2")
        self.vpc = self.made("VPC", ec2.create_vpc(
            CidrBlock="10.97.0.0/16", TagSpecifications=a.specified("vpc", Name=a.name))["Vpc"]["VpcId"])
        ec2.get_waiter("vpc_available").wait(VpcIds=[self.vpc])
        self.gateway = self.made("internet gateway", ec2.create_internet_gateway(
            TagSpecifications=a.specified("internet-gateway", Name=a.name))["InternetGateway"]["InternetGatewayId"])
        settled(ec2.attach_internet_gateway, InternetGatewayId=self.gateway, VpcId=self.vpc)
        self.table = self.made("route table", settled(
            ec2.create_route_table, VpcId=self.vpc, TagSpecifications=a.specified("route-table", Name=a.name))["RouteTable"]["RouteTableId"])
        settled(ec2.create_route, RouteTableId=self.table, DestinationCidrBlock="0.0.0.0/0", GatewayId=self.gateway)
        for n, zone in enumerate(self.zones):
            subnet = settled(
                ec2.create_subnet, VpcId=self.vpc, CidrBlock=f"10.97.{n}.0/24", AvailabilityZone=zone,
                TagSpecifications=a.specified("subnet", Name=a.name, service="shop", tier="private"))["Subnet"]["SubnetId"]
            self.subnets.append(self.made("subnet", subnet))
            ec2.get_waiter("subnet_available").wait(SubnetIds=[subnet])
            settled(ec2.associate_route_table, RouteTableId=self.table, SubnetId=subnet)
        self.group = self.made("security group", settled(
            ec2.create_security_group, GroupName=a.name, Description="acceptance run of redrill: lets nobody in", VpcId=self.vpc,
            TagSpecifications=a.specified("security-group", Name=a.name))["GroupId"])
        self.main_table = next(t["RouteTableId"] for t in ec2.describe_route_tables(
            Filters=[{"Name": "vpc-id", "Values": [self.vpc]}, {"Name": "association.main", "Values": ["true"]}])["RouteTables"])

    def launch(self, subnet, role, token=None, **more):
        """One smallest instance."""
        a = self.account
        token = token or secrets.token_hex(16)
        return settled(a.client("ec2").run_instances, **{
            "ImageId": self.image, "InstanceType": self.type, "MinCount": 1, "MaxCount": 1, "ClientToken": token,
            "SubnetId": subnet, "SecurityGroupIds": [self.group],
            "MetadataOptions": {"HttpTokens": "required", "HttpEndpoint": "enabled"},
            "TagSpecifications": a.specified("instance", "volume", "network-interface",
                                             Name=a.name, service="shop", role=role),
            **more,
        })["Instances"][0]["InstanceId"]

    def servers_and_more(self):
        """Two servers, an address for one of them, a target group without a load balancer."""
        a, ec2, elb = self.account, self.account.client("ec2"), self.account.client("elbv2")
        for subnet in self.subnets:
            self.servers.append(self.made("instance", self.launch(subnet, "web")))
        self.target_group = self.made("target group", elb.create_target_group(
            Name=a.name, Protocol="HTTP", Port=80, VpcId=self.vpc, TargetType="instance",
            Tags=a.pairs(Name=a.name))["TargetGroups"][0]["TargetGroupArn"])
        self.address = self.made("Elastic IP address", ec2.allocate_address(
            Domain="vpc", TagSpecifications=a.specified("elastic-ip", Name=a.name))["AllocationId"])

    def serving(self):
        """Once the servers run: the address and the places in the target group."""
        a = self.account

        def running():
            found = a.client("ec2").describe_instances(Filters=a.mine(role="web") + [
                {"Name": "instance-state-name", "Values": ["running"]}])["Reservations"]
            return sum(len(r["Instances"]) for r in found) == len(self.servers)

        until(running, 900, a.tick)
        settled(a.client("ec2").associate_address, AllocationId=self.address, InstanceId=self.servers[0])
        a.client("elbv2").register_targets(TargetGroupArn=self.target_group, Targets=[{"Id": i} for i in self.servers])

    def begin_database(self):
        """A small PostgreSQL with backups; its password is random and kept nowhere."""
        a, rds = self.account, self.account.client("rds")
        self.made("DB subnet group", rds.create_db_subnet_group(
            DBSubnetGroupName=a.name, DBSubnetGroupDescription="acceptance run of redrill", SubnetIds=self.subnets,
            Tags=a.pairs(Name=a.name))["DBSubnetGroup"]["DBSubnetGroupName"])
        offered = [] if a.emulated else every(rds, "describe_orderable_db_instance_options", "OrderableDBInstanceOptions",
                                              Engine="postgres", DBInstanceClass=CLASSES[0])
        self.database = self.made("database", rds.create_db_instance(
            DBInstanceIdentifier=a.name, Engine="postgres", DBInstanceClass=CLASSES[0 if offered else 1],
            AllocatedStorage=20, StorageType="gp3", MasterUsername="acceptance",
            MasterUserPassword=secrets.token_urlsafe(24), DBSubnetGroupName=a.name, VpcSecurityGroupIds=[self.group],
            BackupRetentionPeriod=1, MultiAZ=False, PubliclyAccessible=False, DeletionProtection=False,
            CopyTagsToSnapshot=True, Tags=a.pairs(service="shop", role="orders"))["DBInstance"]["DBInstanceIdentifier"])

    def storage(self):
        """A versioned bucket with a few objects."""
        a, s3 = self.account, self.account.client("s3")
        where = {} if a.region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": a.region}}
        s3.create_bucket(Bucket=a.bucket, **where)
        self.bucket = self.made("bucket", a.bucket)
        self.untagged = code_of(s3.get_bucket_tagging, Bucket=a.bucket)
        s3.put_bucket_tagging(Bucket=a.bucket, Tagging={"TagSet": a.pairs(service="shop", role="assets")})
        s3.put_bucket_versioning(Bucket=a.bucket, VersioningConfiguration={"Status": "Enabled"})
        for key, body in OBJECTS.items():
            s3.put_object(Bucket=a.bucket, Key=key, Body=body)

    def begin_distribution(self):
        """A distribution over the bucket; nobody can read the bucket, and nobody has to."""
        a, self.began_distribution = self.account, time.monotonic()
        origin = {"Id": "assets", "DomainName": f"{a.bucket}.s3.{a.region}.amazonaws.com",
                  "S3OriginConfig": {"OriginAccessIdentity": ""}}
        self.distribution = self.made("distribution", a.client("cloudfront").create_distribution_with_tags(
            DistributionConfigWithTags={
                "DistributionConfig": {
                    "CallerReference": a.name, "Comment": a.name, "Enabled": True, "PriceClass": "PriceClass_100",
                    "Origins": {"Quantity": 1, "Items": [origin]},
                    "DefaultCacheBehavior": {
                        "TargetOriginId": "assets", "ViewerProtocolPolicy": "redirect-to-https", "MinTTL": 0,
                        "ForwardedValues": {"QueryString": False, "Cookies": {"Forward": "none"}},
                    },
                },
                "Tags": {"Items": a.pairs(service="shop", role="storefront")},
            })["Distribution"]["Id"])
