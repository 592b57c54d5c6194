"""The estate as plain data: what tests compare before and after, and what the health service looks at.

Stable: sorted, without association ids, times, addresses or transitional states of things that are gone.
"""

from .seed import backend

RUN = "redrill:run"


def tags_of(items):
    """A list of tags as a map, whichever spelling moto uses."""
    return {t.get("Key", t.get("key")): t.get("Value", t.get("value")) for t in items or []}


def groups_of(instance):
    """The groups of an instance: moto as it is tells those of a launch that named its interface only with that."""
    return instance.security_groups or [g for n, eni in instance.nics.items() if int(n) == 0 for g in eni.group_set]


def instances(estate):
    """Every instance that is not terminated or about to be."""
    out = []
    for reservation in backend("ec2", estate).reservations.copy().values():
        for i in reservation.instances:
            if i.state in ("shutting-down", "terminated"):
                continue
            out.append({
                "id": i.id, "state": i.state, "tags": tags_of(i.get_tags()), "subnet": i.subnet_id,
                "zone": i.availability_zone, "type": i.instance_type, "image": i.image_id,
                "security_groups": sorted(g.id for g in groups_of(i)),
                "termination_protection": bool(i.disable_api_termination), "stop_protection": bool(i.disable_api_stop),
            })
    return sorted(out, key=lambda x: x["id"])


def route_tables(estate):
    """Route tables with their routes."""
    out = []
    for table in backend("ec2", estate).route_tables.copy().values():
        routes = []
        for r in table.routes:
            via = (r.gateway_id or r.nat_gateway_id or r.instance_id or r.network_interface_id
                   or r.vpc_peering_connection_id or r.transit_gateway_id or "")
            routes.append({
                "destination": r.destination_cidr_block or r.destination_ipv6_cidr_block or r.destination_prefix_list_id,
                "via": via, "state": r.state,
            })
        out.append({
            "id": table.id, "vpc": table.vpc_id, "main": table.main_association_id is not None,
            "tags": tags_of(table.get_tags()), "routes": sorted(routes, key=lambda r: str(r["destination"])),
            "gateways": sorted(t for t in table._associations.values() if not t.startswith("subnet")),
        })
    return sorted(out, key=lambda x: x["id"])


def subnets(estate):
    """Subnet → the table that it follows, and whether by its own association."""
    ec2 = backend("ec2", estate)
    own, main = {}, {}
    for table in ec2.route_tables.values():
        if table.main_association_id is not None:
            main[table.vpc_id] = table.id
        own.update({subnet: table.id for subnet in table._associations.values()})
    out = {}
    for zone in ec2.subnets.values():
        for s in zone.values():
            out[s.id] = {
                "table": own.get(s.id, main.get(s.vpc_id)), "explicit": s.id in own, "vpc": s.vpc_id,
                "zone": s.availability_zone, "tags": tags_of(s.get_tags()),
            }
    return dict(sorted(out.items()))


def databases(estate):
    """Databases with what a drill may change."""
    out = []
    for d in backend("rds", estate).databases.values():
        group = getattr(d, "db_subnet_group", None)
        out.append({
            "identifier": d.db_instance_identifier, "status": d.status, "tags": tags_of(d.tags), "engine": d.engine,
            "engine_version": d.engine_version, "class": d.db_instance_class, "multi_az": bool(d.multi_az),
            "subnet_group": group.name if group else None,
            "security_groups": sorted(d.vpc_security_group_ids), "parameter_group": d.db_parameter_groups()[0].name,
            "storage_type": d.storage_type, "storage_gib": d.allocated_storage, "iops": d.iops, "port": d.port,
            "iam_auth": bool(d.iam_database_authentication_enabled), "log_exports": sorted(d.enabled_cloudwatch_logs_exports),
            "copy_tags_to_snapshot": bool(d.copy_tags_to_snapshot), "backup_retention": d.backup_retention_period,
            "deletion_protection": bool(d.deletion_protection), "publicly_accessible": bool(d.publicly_accessible),
            "replica_of": d.source_db_instance_identifier,
        })
    return sorted(out, key=lambda x: x["identifier"])


def buckets(estate):
    """Buckets with the newest version of each object."""
    s3 = backend("s3", estate, "aws")
    out = {}
    for bucket in list(s3.buckets.values()):
        objects = {}
        for key in sorted(set(bucket.keys.keys())):
            versions = bucket.keys.getlist(key) or []
            if versions:
                newest = versions[-1]
                objects[key] = {
                    "latest": str(newest.version_id), "marker": type(newest).__name__ == "FakeDeleteMarker",
                    "versions": len(versions),
                }
        out[bucket.name] = {
            "versioning": bucket.versioning_status, "tags": tags_of(s3.tagger.list_tags_for_resource(bucket.arn)["Tags"]),
            "objects": objects,
        }
    return dict(sorted(out.items()))


def distributions(estate):
    """Distributions with tags."""
    cf = backend("cloudfront", estate, "aws")
    return sorted(({
        "id": d.id, "comment": d.distribution_config.Comment, "enabled": bool(d.distribution_config.Enabled),
        "tags": tags_of(cf.list_tags_for_resource(d.arn)["Tags"]),
    } for d in cf.distributions.values()), key=lambda x: x["id"])


def target_groups(estate):
    """Target groups with the ids registered."""
    groups = backend("elbv2", estate).target_groups.values()
    return {g.name: sorted(g.targets) for g in sorted(groups, key=lambda g: g.name)}


def alarms(estate):
    """Alarms with their states."""
    return {a.name: a.state_value for a in sorted(backend("cloudwatch", estate).alarms.values(), key=lambda a: a.name)}


def state(estate):
    """All of it."""
    out = {
        "instances": instances(estate), "route_tables": route_tables(estate), "subnets": subnets(estate),
        "databases": databases(estate), "buckets": buckets(estate), "distributions": distributions(estate),
        "target_groups": target_groups(estate), "alarms": alarms(estate),
    }
    tagged = [*out["instances"], *out["route_tables"], *out["databases"]]
    out["run_made"] = sum(1 for item in tagged if RUN in item["tags"])
    return out
