"""Probes of RDS: statuses of a new database and of a copy, restorable times, error codes, what a copy is not given.

The copy is the probe's own; the estate's database is only read from, so that the drill finds it as it was made.
Not for: what only a change of settings over a role or a larger class would show (`db_modify`), failover (Multi-AZ).
"""

import time
from datetime import datetime, timedelta, timezone

from account import code_of, until

SIM, EMULATOR = "src/sim/rds.rs", "localstack/emulator/rds.py"


class Databases:
    """The probes, in the order of a copy's life."""

    def __init__(self, account, estate, ledger, watch):
        self.account, self.estate, self.ledger, self.watch = account, estate, ledger, watch
        self.rds = account.client("rds")
        self.copy = f"{account.name}-copy"

    def code(self, assumption, source, assumed, call, aws_only=False, **given):
        """An error code."""
        return self.ledger.code(assumption, source, assumed, code_of(call, **given), aws_only)

    def described(self, ident):
        """A database as RDS describes it; None where there is none."""
        began = time.monotonic()
        try:
            found = self.rds.describe_db_instances(DBInstanceIdentifier=ident)["DBInstances"][0]
        except self.rds.exceptions.DBInstanceNotFoundFault:
            return None
        self.watch.note(ident, found["DBInstanceStatus"], began)
        return found

    def while_creating(self):
        """What a database lacks while it is made."""
        found = self.described(self.estate.database)
        if found["DBInstanceStatus"] == "creating":
            self.ledger.equal("a database has no endpoint while `creating`", EMULATOR, False, "Endpoint" in found)
            self.ledger.equal("a database has no restorable time while `creating`", SIM, False, "LatestRestorableTime" in found)
        self.code("making a database whose identifier exists", SIM, "DBInstanceAlreadyExists", self.rds.create_db_instance,
                  DBInstanceIdentifier=self.estate.database, Engine="postgres", DBInstanceClass=found["DBInstanceClass"],
                  AllocatedStorage=20, MasterUsername="acceptance", MasterUserPassword="not-a-secret-1",
                  DBSubnetGroupName=self.account.name, Tags=self.account.pairs())
        self.code("deleting a database that does not exist", SIM, "DBInstanceNotFound", self.rds.delete_db_instance,
                  DBInstanceIdentifier=f"{self.account.name}-none", SkipFinalSnapshot=True)
        self.code("describing a database that does not exist", SIM, "DBInstanceNotFound", self.rds.describe_db_instances,
                  DBInstanceIdentifier=f"{self.account.name}-none")

    def restorable(self):
        """Waits until the database can be restored; gives a time to which it can."""
        tick = self.account.tick
        until(lambda: self.described(self.estate.database)["DBInstanceStatus"] == "available", 3600, tick)
        until(lambda: self.watch.statuses(self.estate.database)[-1:] == ["available"], 120, tick)
        statuses = self.watch.statuses(self.estate.database)
        self.ledger.steps("statuses of a new database", EMULATOR, ["creating", "backing-up", "available"],
                          statuses)
        # over its whole way, so that a status in between which nobody expected does not count as a longer `creating`
        taken = self.watch.took(self.estate.database, "creating", "available")
        if taken is not None and not self.account.emulated:
            self.ledger.within("a new database is `available`, from its first status", "localstack/emulator/pace.py real create",
                               3 * 600, taken)

        def window():
            found = self.described(self.estate.database)
            latest, earliest = found.get("LatestRestorableTime"), found["InstanceCreateTime"]
            if not self.account.emulated:
                kept = self.rds.describe_db_instance_automated_backups(
                    DBInstanceIdentifier=self.estate.database)["DBInstanceAutomatedBackups"]
                earliest = kept[0].get("RestoreWindow", {}).get("EarliestTime") if kept else None
            return (earliest, latest) if latest and earliest and latest > earliest + timedelta(seconds=1) else None

        (_, latest), after = until(window, 3600, tick)
        self.ledger.within("a new database can be restored, after `available`", "localstack/README.md", 900, after)
        behind = (datetime.now(timezone.utc) - latest).total_seconds()
        self.ledger.lasts("how far the latest restorable time lags", "db_restorable_lag", max(behind, 0.001))
        return latest - timedelta(seconds=1)

    def refused(self, good):
        """Restores that are refused."""
        restore, source = self.rds.restore_db_instance_to_point_in_time, self.estate.database
        given = {"SourceDBInstanceIdentifier": source, "TargetDBInstanceIdentifier": f"{self.account.name}-no",
                 "DBSubnetGroupName": self.account.name, "Tags": self.account.pairs()}
        self.code("restoring to an identifier that exists", SIM, "DBInstanceAlreadyExists", restore,
                  **{**given, "TargetDBInstanceIdentifier": source}, RestoreTime=good)
        self.code("restoring from a database that does not exist", SIM, "DBInstanceNotFound", restore,
                  **{**given, "SourceDBInstanceIdentifier": f"{self.account.name}-none"}, RestoreTime=good)
        ahead = datetime.now(timezone.utc) + timedelta(days=1)
        found = code_of(restore, **given, RestoreTime=ahead)
        self.ledger.code("restoring to a time that is to come, as the simulator has it", SIM, "InvalidParameterValue",
                          found, aws_only=True)
        self.ledger.code("restoring to a time that is to come, as the emulator has it", EMULATOR, "InvalidRestoreFault", found)
        self.code("restoring to no time at all", EMULATOR, "InvalidParameterCombination", restore, **given)
        self.code("restoring to a time and to the latest", EMULATOR, "InvalidParameterCombination", restore, **given,
                  RestoreTime=good, UseLatestRestorableTime=True)
        self.code("restoring to an identifier that is none", SIM, "InvalidParameterValue", restore, aws_only=True,
                  **{**given, "TargetDBInstanceIdentifier": f"{self.account.name}--no-"}, RestoreTime=good)

    def begin_copy(self, good):
        """A copy, told nothing but where it goes."""
        self.rds.restore_db_instance_to_point_in_time(
            SourceDBInstanceIdentifier=self.estate.database, TargetDBInstanceIdentifier=self.copy, RestoreTime=good,
            DBSubnetGroupName=self.account.name, Tags=self.account.pairs(role="probe"))
        one = {"DBInstanceIdentifier": self.copy}
        if self.described(self.copy)["DBInstanceStatus"] == "creating":
            self.code("deleting a database while it is `creating`", SIM, "InvalidDBInstanceState",
                      self.rds.delete_db_instance, **one, SkipFinalSnapshot=True)
            self.code("changing a database while it is `creating`", SIM, "InvalidDBInstanceState",
                      self.rds.modify_db_instance, **one, CopyTagsToSnapshot=True)

    def live(self):
        """The copy, once it is there."""
        ledger, one, tick = self.ledger, {"DBInstanceIdentifier": self.copy}, self.account.tick
        until(lambda: self.described(self.copy)["DBInstanceStatus"] == "available", 3 * 3600, tick)
        until(lambda: self.watch.statuses(self.copy)[-1:] == ["available"], 120, tick)
        ledger.steps("statuses of a restored copy", SIM, ["creating", "backing-up", "available"], self.watch.statuses(self.copy))
        for assumption, name, begin, end in (("`creating` of a restored copy", "db_create", "creating", "backing-up"),
                                             ("`backing-up` of a restored copy", "db_backup", "backing-up", "available")):
            ledger.lasts(assumption, name, self.watch.took(self.copy, begin, end))
        found, source = self.described(self.copy), self.described(self.estate.database)
        groups = [g["VpcSecurityGroupId"] for g in found["VpcSecurityGroups"]]
        default = [g["GroupId"] for g in self.account.client("ec2").describe_security_groups(Filters=[
            {"Name": "vpc-id", "Values": [self.estate.vpc]}, {"Name": "group-name", "Values": ["default"]}])["SecurityGroups"]]
        ledger.equal("a copy that is told nothing gets the VPC's default security group", EMULATOR, True, groups == default)
        ledger.equal("a copy that is told nothing has no tags of its source", EMULATOR, False,
                     any(t["Key"] == "service" for t in found["TagList"]))
        ledger.equal("a copy keeps its source's retention of backups", SIM, source["BackupRetentionPeriod"],
                     found["BackupRetentionPeriod"])
        self.code("rebooting with failover what has no standby", SIM, "InvalidParameterCombination",
                  self.rds.reboot_db_instance, **one, ForceFailover=True)
        self.code("deleting without a word about a final snapshot", EMULATOR, "InvalidParameterCombination",
                  self.rds.delete_db_instance, **one)
        self.reboot(one)
        self.protection(one)

    def reboot(self, one):
        """A reboot: when it shows, and how long it takes."""
        tick = self.account.tick
        if self.described(self.copy)["DBInstanceStatus"] != "available":
            return
        self.rds.reboot_db_instance(**one)
        began, seen = time.monotonic(), {}

        def over():
            status = self.described(self.copy)["DBInstanceStatus"]
            seen.setdefault(status, time.monotonic() - began)
            return status == "available" and ("rebooting" in seen or time.monotonic() - began > 120 * tick)

        _, ends = until(over, 1800, tick / 4)
        shows = seen.get("rebooting")
        if shows is None:
            self.ledger.unseen("a reboot shows as `rebooting`, after", "src/catalog/actions/rds_reboot.rs", "at most 10 s",
                               "it never did")
        else:
            self.ledger.within("a reboot shows as `rebooting`, after", "src/catalog/actions/rds_reboot.rs", 10, shows)
        self.ledger.lasts("`rebooting` of a database", "db_reboot", None if shows is None else ends - shows)

    def protection(self, one):
        """Protection from deletion, and the end."""
        rds, tick, ledger = self.rds, self.account.tick, self.ledger
        rds.modify_db_instance(**one, DeletionProtection=True, ApplyImmediately=True)
        _, after = until(lambda: self.described(self.copy)["DeletionProtection"], 600, tick)
        ledger.lasts("a changed deletion protection shows, after", "db_protect", max(after, 0.1))
        until(lambda: self.described(self.copy)["DBInstanceStatus"] == "available", 1800, tick)
        self.code("deleting a protected database", SIM, "InvalidParameterCombination", rds.delete_db_instance, **one,
                  SkipFinalSnapshot=True)
        rds.modify_db_instance(**one, DeletionProtection=False, ApplyImmediately=True)
        until(lambda: (d := self.described(self.copy)) and not d["DeletionProtection"]
              and d["DBInstanceStatus"] == "available", 1800, tick)
        rds.delete_db_instance(**one, SkipFinalSnapshot=True, DeleteAutomatedBackups=True)
        began = time.monotonic()
        ledger.equal("a database that was asked to go is", SIM, "deleting", self.described(self.copy)["DBInstanceStatus"])
        self.code("deleting a database while it is `deleting`", SIM, "InvalidDBInstanceState", rds.delete_db_instance,
                  **one, SkipFinalSnapshot=True)
        until(lambda: self.described(self.copy) is None, 3600, tick)
        ledger.lasts("`deleting` of a database", "db_delete", time.monotonic() - began)
