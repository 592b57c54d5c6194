"""Puts the estate of estate.json into moto, through its backends: no calls, no delays, nothing in the log."""

import base64
from datetime import timedelta

from moto.backends import get_backend
from moto.core.types import Base64EncodedString
from moto.core.utils import utcnow

from .pace import begin

IMAGE = "ami-1e749f67"


def backend(service, estate, region=None):
    """The backend of a service in the estate's account."""
    return get_backend(service)[estate["account"]][region or estate["region"]]


def pairs(tags):
    """Tags as AWS lists them."""
    return [{"Key": k, "Value": v} for k, v in (tags or {}).items()]


def named(name, tags):
    """Tags with the Name that consoles show."""
    return {"Name": name, **(tags or {})}


def seed_network(estate, found):
    """VPCs with subnets, gateways, route tables and groups. Fills `found` with name → id."""
    ec2 = backend("ec2", estate)
    for spec in estate.get("vpcs", []):
        vpc = ec2.create_vpc(spec["cidr"])
        ec2.create_tags([vpc.id], named(spec["name"], spec.get("tags")))
        found[spec["name"]] = vpc.id
        if spec.get("internet_gateway"):
            igw = ec2.create_internet_gateway()
            ec2.create_tags([igw.id], {"Name": spec["internet_gateway"]})
            ec2.attach_internet_gateway(igw.id, vpc.id)
            found["igw"] = igw.id
        for subnet in spec["subnets"]:
            made = ec2.create_subnet(vpc.id, subnet["cidr"], availability_zone=subnet["zone"])
            ec2.create_tags([made.id], named(subnet["name"], subnet.get("tags")))
            found[subnet["name"]] = made.id
        if spec.get("nat_gateway"):
            address = ec2.allocate_address("vpc")
            nat = ec2.create_nat_gateway(found[spec["nat_gateway"]["subnet"]], address.allocation_id)
            ec2.create_tags([nat.id], {"Name": spec["nat_gateway"]["name"]})
            found["nat"] = nat.id
        for table in spec["route_tables"]:
            made = ec2.create_route_table(vpc.id)
            ec2.create_tags([made.id], named(table["name"], table.get("tags")))
            found["table:" + table["name"]] = made.id
            for route in table.get("routes", []):
                via = {"igw": "gateway_id", "nat": "nat_gateway_id"}[route["via"]]
                ec2.create_route(made.id, route["cidr"], **{via: found[route["via"]]})
        for subnet in spec["subnets"]:
            ec2.associate_route_table(found["table:" + subnet["table"]], subnet_id=found[subnet["name"]])
        for group in spec.get("security_groups", []):
            made = ec2.create_security_group(group["name"], group["description"], vpc_id=vpc.id)
            found["group:" + group["name"]] = made.id


def seed_instances(estate, found):
    """Instances, each in a reservation of its own, and their target groups."""
    ec2, elb = backend("ec2", estate), backend("elbv2", estate)
    vpc = found[estate["vpcs"][0]["name"]] if estate.get("vpcs") else None
    for group in estate.get("target_groups", []):
        made = elb.create_target_group(
            group["name"], protocol="HTTP", port=group["port"], vpc_id=vpc, target_type="instance",
            healthcheck_protocol="HTTP", healthcheck_port="traffic-port", healthcheck_path="/",
            healthcheck_interval_seconds=30, healthcheck_timeout_seconds=5, healthy_threshold_count=5,
            unhealthy_threshold_count=2, healthcheck_enabled=True, matcher={"HttpCode": "200"},
        )
        found["target-group:" + group["name"]] = made.arn
    for spec in estate.get("instances", []):
        data = spec.get("user_data")
        encoded = Base64EncodedString(base64.b64encode(data.encode()).decode()) if data else None
        reservation = ec2.run_instances(
            IMAGE, 1, encoded, [], instance_type=spec["type"], is_instance_type_default=False,
            region_name=estate["region"], subnet_id=found[spec["subnet"]],
            security_group_ids=[found["group:" + g] for g in spec["security_groups"]],
            tags={"instance": named(spec["name"], spec.get("tags")), "volume": named(spec["name"], spec.get("tags"))},
            metadata_options={"HttpTokens": "required", "HttpPutResponseHopLimit": 2},
        )
        instance = reservation.instances[0]
        found[spec["name"]] = instance.id
        begin(instance)
        if spec.get("target_group"):
            elb.register_targets(found["target-group:" + spec["target_group"]], [{"Id": instance.id}])


def seed_databases(estate, found):
    """Databases with their groups, backdated so that they can be restored at once."""
    rds = backend("rds", estate)
    ec2 = backend("ec2", estate)
    for spec in estate.get("databases", []):
        if spec["subnet_group"] not in rds.subnet_groups:
            subnets = [ec2.get_subnet(found[s]) for s in spec["subnets"]]
            rds.create_subnet_group(spec["subnet_group"], spec["subnet_group"], subnets, [])
        parameters = spec.get("parameter_group")
        if parameters and parameters not in rds.db_parameter_groups:
            family = spec["engine"] + spec["engine_version"].split(".")[0]
            rds.create_db_parameter_group({
                "db_parameter_group_name": parameters, "db_parameter_group_family": family, "description": parameters,
            })
        common = {
            "db_instance_identifier": spec["identifier"], "db_instance_class": spec["class"],
            "backup_retention_period": spec["backup_retention"], "multi_az": spec["multi_az"],
            "copy_tags_to_snapshot": spec["copy_tags_to_snapshot"],
            "deletion_protection": spec["deletion_protection"],
            "enable_iam_database_authentication": spec["iam_auth"], "tags": pairs(spec.get("tags")),
        }
        if spec.get("replica_of"):
            database = rds.create_db_instance_read_replica(
                {**common, "source_db_instance_identifier": spec["replica_of"]}
            )
            database.enabled_cloudwatch_logs_exports = list(spec["log_exports"])
        else:
            database = rds.create_db_instance({
                **common, "engine": spec["engine"], "engine_version": spec["engine_version"],
                "allocated_storage": spec["storage_gib"], "storage_type": spec["storage_type"],
                "db_subnet_group_name": spec["subnet_group"], "db_parameter_group_name": parameters,
                "vpc_security_group_ids": [found["group:" + g] for g in spec["security_groups"]],
                "enable_cloudwatch_logs_exports": list(spec["log_exports"]), "master_username": "shop",
                "master_user_password": "not-a-secret", "publicly_accessible": False,
                "license_model": "postgresql-license", "availability_zone": estate["region"] + "a",
            })
        database.instance_create_time = utcnow() - timedelta(days=spec.get("created_days_ago", 1))
        begin(database)
        found[spec["identifier"]] = database.arn


def seed_storage(estate, found):
    """Buckets with their objects, and distributions."""
    s3 = backend("s3", estate, "aws")
    for spec in estate.get("buckets", []):
        s3.create_bucket(spec["name"], estate["region"])
        if spec.get("versioning"):
            s3.put_bucket_versioning(spec["name"], spec["versioning"])
        s3.put_bucket_tagging(spec["name"], spec.get("tags") or {})
        for item in spec.get("objects", []):
            s3.put_object(spec["name"], item["key"], item["body"].encode())
    cloudfront = backend("cloudfront", estate, "aws")
    for number, spec in enumerate(estate.get("distributions", [])):
        origin = {
            "Id": "assets", "DomainName": f"{spec['origin_bucket']}.s3.amazonaws.com",
            "S3OriginConfig": {"OriginAccessIdentity": ""},
        }
        distribution, _, _ = cloudfront.create_distribution({
            "CallerReference": f"seed-{number}", "Comment": spec["comment"], "Enabled": True,
            "Aliases": {"Quantity": len(spec["aliases"]), "Items": list(spec["aliases"])},
            "Origins": {"Quantity": 1, "Items": [origin]},
            "DefaultCacheBehavior": {"TargetOriginId": "assets", "ViewerProtocolPolicy": "redirect-to-https"},
        }, pairs(spec.get("tags")))
        begin(distribution)
        found[spec["comment"]] = distribution.id


def seed_monitoring(estate):
    """Alarms and DNS."""
    cloudwatch = backend("cloudwatch", estate)
    for spec in estate.get("alarms", []):
        cloudwatch.put_metric_alarm(
            name=spec["name"], namespace="Shop", metric_name=spec["name"], comparison_operator="GreaterThanThreshold",
            evaluation_periods=1, period=60, threshold=1.0, statistic="Sum", description=spec["name"],
            dimensions=[], alarm_actions=[],
        )
        cloudwatch.set_alarm_state(spec["name"], "seeded", "{}", spec["state"])
    route53 = backend("route53", estate, "aws")
    for spec in estate.get("dns", []):
        zone = route53.create_hosted_zone(spec["zone"], False, caller_reference="seed-" + spec["zone"])
        route53.change_resource_record_sets(zone.id, [{
            "Action": "CREATE",
            "ResourceRecordSet": {
                "Name": record["name"], "Type": record["type"], "TTL": record["ttl"],
                "ResourceRecords": [{"Value": value} for value in record["values"]],
            },
        } for record in spec["records"]])


def seed(estate, pace):
    """Seeds everything; returns name → id."""
    found = {}
    pace.muted = True
    try:
        seed_network(estate, found)
        seed_instances(estate, found)
        seed_databases(estate, found)
        seed_storage(estate, found)
        seed_monitoring(estate)
    finally:
        pace.muted = False
    return found


def reset():
    """Forgets all AWS state."""
    from moto.moto_api._internal.models import moto_api_backend

    moto_api_backend.reset()
