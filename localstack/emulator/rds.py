"""RDS: lifecycle views, restore windows and defaults, and calls that AWS refuses in a given state."""

import time
from datetime import datetime, timedelta, timezone

from moto.core.responses import ActionResult
from moto.core.utils import utcnow
from moto.ec2.models import ec2_backends
from moto.moto_api._internal import mock_random
from moto.rds import models as m
from moto.rds.exceptions import DBInstanceAlreadyExists, RDSClientError
from moto.rds.responses import RDSResponse

from .pace import begin, view

BUSY = ("creating", "backing-up", "deleting", "rebooting", "modifying", "starting", "stopping")
INHERITED = (
    "engine", "engine_version", "allocated_storage", "storage_type", "iops", "storage_throughput", "port",
    "license_model", "storage_encrypted", "kms_key_id", "db_name", "db_instance_class", "backup_retention_period",
    "preferred_backup_window", "preferred_maintenance_window", "auto_minor_version_upgrade", "character_set_name",
    "master_username",
)
# what moto calls the default, and AWS's own
CERTIFICATES = ("rds-ca-default", "rds-ca-ecc384-g1", "rds-ca-rsa2048-g1", "rds-ca-rsa4096-g1")
REQUEST_ONLY = (
    "source_db_instance_identifier", "target_db_instance_identifier", "restore_time", "use_latest_restorable_time",
    "source_dbi_resource_id", "db_instance_identifier",
)


def state_error(database, what):
    """InvalidDBInstanceState."""
    return RDSClientError(
        "InvalidDBInstanceState",
        f"Instance {database.db_instance_identifier} cannot be {what} while it is {database.status}.",
    )


def restorable(database, lag):
    """The window (earliest, latest) that a point-in-time restore may name, `lag` seconds behind; None where there is none."""
    if database.is_replica or database.db_cluster_identifier or not database.backup_retention_period:
        return None
    latest = (utcnow() - timedelta(seconds=lag)).replace(microsecond=0)
    created = database.instance_create_time
    if latest < created or database.status == "creating":
        return None
    return max(created, latest - timedelta(days=int(database.backup_retention_period))), latest


def _naive(moment):
    """UTC without a zone, as moto keeps its times."""
    return moment if moment.tzinfo is None else moment.astimezone(timezone.utc).replace(tzinfo=None)


def _other_zone(database, zone):
    group = getattr(database, "db_subnet_group", None)
    zones = sorted({s["SubnetAvailabilityZone"]["Name"] for s in group.subnets}) if group else []
    zones = zones or [f"{database.region}a", f"{database.region}b"]
    return next((z for z in zones if z != zone), zone)


def patch_views(pace):
    """What a reader sees of a database."""
    cls = m.DBInstance
    cls.status = property(
        lambda self: view(self, self.__dict__.get("_redrill_status", "available")),
        lambda self, value: self.__dict__.update(_redrill_status=value),
    )
    endpoint = cls.endpoint.fget
    cls.endpoint = property(lambda self: None if self.status == "creating" else endpoint(self))
    cls.latest_restorable_time = property(lambda self: (restorable(self, pace["restorable"]) or (None, None))[1])
    cls.secondary_availability_zone = property(
        lambda self: _other_zone(self, self.availability_zone) if self.multi_az else None
    )
    # moto keeps these under their request names, where the answer does not look
    for shown, kept in (
        ("performance_insights_enabled", "enable_performance_insights"),
        ("performance_insights_kms_key_id", "performance_insights_kms_key_id"),
        ("performance_insights_retention_period", "performance_insights_retention_period"),
    ):
        setattr(cls, shown, property(
            lambda self, k=kept: self.__dict__.get("_redrill_" + k),
            lambda self, value, k=kept: self.__dict__.update({"_redrill_" + k: value}),
        ))
    cls.enable_performance_insights = property(
        lambda self: self.__dict__.get("_redrill_enable_performance_insights"),
        lambda self, value: self.__dict__.update(_redrill_enable_performance_insights=value),
    )
    init = cls.__init__

    def do_init(self, *args, **kwargs):
        init(self, *args, **kwargs)
        self.dbi_resource_id = "db-" + mock_random.get_random_hex(26).upper()
        for key in ("enable_performance_insights", "performance_insights_kms_key_id",
                    "performance_insights_retention_period"):
            if kwargs.get(key) is not None:
                setattr(self, key, kwargs[key])

    cls.__init__ = do_init


def default_subnet_group(backend):
    """The group `default`, which AWS makes from the default VPC and moto lacks."""
    if "default" not in backend.subnet_groups:
        ec2 = ec2_backends[backend.account_id][backend.region_name]
        backend.create_subnet_group("default", "default", list(ec2.get_default_subnets().values()), [])
    return "default"


def restore(backend, source_id, target_id, asked, lag):
    """RestoreDBInstanceToPointInTime: the window (`lag` seconds behind), and AWS's defaults for what was not asked for."""
    source = backend.describe_db_instances(source_id)[0]
    if target_id in backend.databases:
        raise DBInstanceAlreadyExists()
    if source.status == "deleting":
        raise state_error(source, "restored from")
    wanted, latest = asked.get("restore_time"), asked.get("use_latest_restorable_time")
    if bool(wanted) == bool(latest):
        raise RDSClientError(
            "InvalidParameterCombination", "Specify either RestoreTime or UseLatestRestorableTime, and not both."
        )
    if source.db_cluster_identifier or source.is_replica or not source.backup_retention_period:
        raise RDSClientError(
            "PointInTimeRestoreNotEnabled",
            f"Point in time restore is not enabled for {source_id}: it has no automated backups of its own.",
        )
    window = restorable(source, lag)
    if window is None:
        raise RDSClientError("InvalidDBInstanceState", f"{source_id} has no restorable time yet.")
    if wanted and not window[0] <= _naive(wanted) < window[1]:
        raise RDSClientError(
            "InvalidRestoreFault",
            f"The restore time must lie between {window[0].isoformat()}Z and {window[1].isoformat()}Z.",
        )
    if asked.get("manage_master_user_password") and (
        not source.engine.startswith("oracle") or source.engine.endswith("-cdb")
    ):
        raise RDSClientError(
            "InvalidParameterCombination", "ManageMasterUserPassword applies to RDS for Oracle only in a restore."
        )
    if "sqlserver" in source.engine and asked.get("iops"):
        raise RDSClientError("InvalidParameterCombination", "Iops does not apply to SQL Server in a restore.")
    if asked.get("storage_type") in ("io1", "io2") and not asked.get("iops"):
        raise RDSClientError("InvalidParameterCombination", "This storage type needs a value for Iops.")
    if asked.get("db_subnet_group_name"):
        vpc = backend.describe_db_subnet_groups(asked["db_subnet_group_name"])[0].vpc_id
        ec2 = ec2_backends[backend.account_id][backend.region_name]
        groups = [ec2.get_security_group_from_id(g) for g in asked.get("vpc_security_group_ids") or ()]
        if any(g is not None and g.vpc_id != vpc for g in groups):
            raise RDSClientError(
                "InvalidParameterCombination", "The DB instance and EC2 security group are in different VPCs."
            )
    props = {key: getattr(source, key, None) for key in INHERITED}
    props = {key: value for key, value in props.items() if value is not None}
    props["publicly_accessible"] = False
    props["master_user_password"] = source.__dict__.get("_master_user_password")
    for key, value in asked.items():
        if key not in REQUEST_ONLY and value is not None:
            props[key] = value
    props["db_instance_identifier"] = target_id
    if props["allocated_storage"] < source.allocated_storage:
        raise RDSClientError("InvalidParameterValue", "Allocated storage size can't be less than the source's.")
    most = asked.get("max_allocated_storage")
    if most is not None and int(most) * 10 < int(props["allocated_storage"]) * 11:
        raise RDSClientError(
            "InvalidParameterCombination", "Max storage size must be at least 10% more than the allocated storage."
        )
    if asked.get("ca_certificate_identifier") not in (None, *CERTIFICATES):
        raise RDSClientError(
            "CertificateNotFound", f"Certificate {asked['ca_certificate_identifier']} not found."
        )
    if not props.get("db_subnet_group_name"):
        props["db_subnet_group_name"] = default_subnet_group(backend)
    if not props.get("vpc_security_group_ids"):
        group = backend.describe_db_subnet_groups(props["db_subnet_group_name"])[0]
        ec2 = ec2_backends[backend.account_id][backend.region_name]
        props["vpc_security_group_ids"] = [ec2.get_default_security_group(group.vpc_id).id]
    return backend.create_db_instance(props)


def purge():
    """Takes away the databases whose deletion is over. Called before every look at the databases."""
    now = time.monotonic()
    for account in list(m.rds_backends.values()):
        for backend in list(account.values()):
            for key, database in list(backend.databases.items()):
                if database.__dict__.get("_redrill_gone_at", now + 1) <= now:
                    del backend.databases[key]


def patch_backend(pace):
    """The calls."""
    cls = m.RDSBackend
    create, replica, modify = cls.create_db_instance, cls.create_db_instance_read_replica, cls.modify_db_instance
    delete, snapshot, failover = cls.delete_db_instance, cls.restore_db_instance_from_db_snapshot, cls.failover_db_cluster

    def do_create(self, db_kwargs, delay="create"):
        database = create(self, db_kwargs)
        database.__dict__.pop("_redrill_gone_at", None)
        begin(database, ("creating", pace[delay]), ("backing-up", pace["backing-up"]))
        return database

    def do_restore(self, source, target, overrides):
        database = restore(self, source, target, overrides, pace["restorable"])
        begin(database, ("creating", pace["restore"]), ("backing-up", pace["backing-up"]))
        return database

    def do_snapshot(self, *args, **kwargs):
        database = snapshot(self, *args, **kwargs)
        begin(database, ("creating", pace["restore"]), ("backing-up", pace["backing-up"]))
        return database

    def do_replica(self, db_kwargs):
        database = replica(self, db_kwargs)
        # moto's replica is a shallow copy of its source
        database.dbi_resource_id = "db-" + mock_random.get_random_hex(26).upper()
        database.instance_create_time = utcnow()
        if "tags" not in db_kwargs:
            database.tags = []
        begin(database, ("creating", pace["create"]))
        return database

    def do_modify(self, db_instance_identifier, db_kwargs):
        database = self.describe_db_instances(db_instance_identifier)[0]
        if database.status in ("creating", "deleting", "rebooting"):
            raise state_error(database, "modified")
        database = modify(self, db_instance_identifier, db_kwargs)
        # the call is answered, and for a while nothing shows of it
        begin(database, ("available", pace["modify"] / 2), ("modifying", pace["modify"]))
        return database

    def do_delete(self, db_instance_identifier, final_db_snapshot_identifier=None, skip_final_snapshot=False,
                  delete_automated_backups=True):
        database = self.databases.get(db_instance_identifier)
        if database is not None:
            if database.status in ("creating", "backing-up", "deleting"):
                raise state_error(database, "deleted")
            exempt = database.is_replica or database.db_cluster_identifier
            if bool(skip_final_snapshot) == bool(final_db_snapshot_identifier) and not exempt:
                raise RDSClientError(
                    "InvalidParameterCombination",
                    "FinalDBSnapshotIdentifier is required unless SkipFinalSnapshot is specified, and not both.",
                )
        database = delete(self, db_instance_identifier, final_db_snapshot_identifier, skip_final_snapshot,
                          delete_automated_backups)
        if pace["delete"] > 0:
            self.databases[db_instance_identifier] = database
            database.__dict__["_redrill_gone_at"] = time.monotonic() + pace["delete"]
            begin(database)
        return database

    def do_failover(self, *args, **kwargs):
        cluster = failover(self, *args, **kwargs)
        begin(cluster, ("failing-over", pace["failover"]))
        return cluster

    cls.create_db_instance, cls.create_db_instance_read_replica = do_create, do_replica
    cls.restore_db_instance_to_point_in_time, cls.restore_db_instance_from_db_snapshot = do_restore, do_snapshot
    cls.modify_db_instance, cls.delete_db_instance, cls.failover_db_cluster = do_modify, do_delete, do_failover
    status = m.DBCluster.status
    m.DBCluster.status = property(lambda self: view(self, status.fget(self)), status.fset)

    def reboot_db_instance(self):
        database = self.backend.describe_db_instances(self._get_param("DBInstanceIdentifier"))[0]
        if database.status != "available":
            raise state_error(database, "rebooted")
        force = self._get_param("ForceFailover")
        if force and not database.multi_az:
            raise RDSClientError(
                "InvalidParameterCombination", "Cannot reboot with force failover: the instance is not Multi-AZ."
            )
        if force:
            database.availability_zone = _other_zone(database, database.availability_zone)
        begin(database, ("rebooting", pace["failover" if force else "reboot"]))
        return ActionResult({"DBInstance": database})

    RDSResponse.reboot_db_instance = reboot_db_instance

    def describe_account_attributes(self):
        found = [d for d in self.backend.databases.values() if not d.db_cluster_identifier]
        used = {
            "DBInstances": (len(self.backend.databases), 40),
            "AllocatedStorage": (sum(int(d.allocated_storage) for d in found), 100_000),
            "ManualSnapshots": (sum(1 for s in self.backend.database_snapshots.values() if s.snapshot_type == "manual"), 100),
        }
        return ActionResult({"AccountQuotas": [
            {"AccountQuotaName": name, "Used": u, "Max": most} for name, (u, most) in used.items()
        ]})

    RDSResponse.describe_account_attributes = describe_account_attributes

    def describe_certificates(self):
        until = datetime(2061, 5, 19, tzinfo=timezone.utc)
        return ActionResult({"Certificates": [
            {"CertificateIdentifier": name, "CertificateType": "CA", "ValidTill": until} for name in CERTIFICATES
        ]})

    RDSResponse.describe_certificates = describe_certificates
    for name, state, delay in (("stop_db_instance", "stopping", "db-stop"), ("start_db_instance", "starting", "db-start")):
        original = getattr(cls, name)

        def call(self, *args, original=original, state=state, delay=delay, **kwargs):
            database = original(self, *args, **kwargs)
            begin(database, (state, pace[delay]))
            return database

        setattr(cls, name, call)


def patch(pace):
    """Applies all of it."""
    patch_views(pace)
    patch_backend(pace)
