"""Probes of EC2's instances: error codes, statuses on the way, eventual consistency, what the end leaves.

Works on instances of its own, never on those that the drills take. Not for: networks (`probe_network`).
"""

import secrets
import time

from account import NOBODY, code_of, until
from ledger import settle

SIM, EMULATOR = "src/sim/ec2.rs", "localstack/emulator/ec2.py"


class Servers:
    """The probes, in the order in which one instance lives."""

    def __init__(self, account, estate, ledger, watch):
        self.account, self.estate, self.ledger, self.watch = account, estate, ledger, watch
        self.ec2 = account.client("ec2")
        self.token = secrets.token_hex(16)
        self.subject = None

    def code(self, assumption, source, assumed, call, aws_only=False, **given):
        """An error code."""
        return self.ledger.code(assumption, source, assumed, code_of(call, **given), aws_only)

    def state(self, ident):
        """The state of one instance; None while nobody finds it."""
        began = time.monotonic()
        found = self.ec2.describe_instances(Filters=[{"Name": "instance-id", "Values": [ident]}])["Reservations"]
        state = next((i["State"]["Name"] for r in found for i in r["Instances"]), None)
        if state:
            self.watch.note(ident, state, began)
        return state

    def reaches(self, ident, state, limit=900):
        """Waits for a state."""
        return until(lambda: self.state(ident) == state, limit, self.account.tick)

    def errors(self):
        """What is refused, and how."""
        ec2, nobody = self.ec2, f"i-{NOBODY}"
        self.code("terminating an instance that does not exist", SIM, "InvalidInstanceID.NotFound",
                  ec2.terminate_instances, InstanceIds=[nobody])
        self.code("terminating an id that is no id", SIM, "InvalidInstanceID.Malformed",
                  ec2.terminate_instances, aws_only=True, InstanceIds=["i-nothing"])
        self.code("tagging an instance that does not exist", SIM, "InvalidInstanceID.NotFound",
                  ec2.create_tags, aws_only=True, Resources=[nobody], Tags=[{"Key": "a", "Value": "b"}])
        self.code("a tag that begins with aws:", "src/sim/world.rs", "InvalidParameterValue", ec2.create_tags, aws_only=True,
                  Resources=[self.estate.servers[0]], Tags=[{"Key": "aws:x", "Value": "b"}])
        self.code("describing with a filter that does not exist", EMULATOR, "InvalidParameterValue",
                  ec2.describe_instances, Filters=[{"Name": "no-such-filter", "Values": ["x"]}])
        self.code("a page token that is none", EMULATOR, "InvalidNextToken", ec2.describe_instances, NextToken="nonsense")
        launch = {"MinCount": 1, "MaxCount": 1, "InstanceType": self.estate.type, "ImageId": self.estate.image,
                  "SubnetId": self.estate.subnets[0], "SecurityGroupIds": [self.estate.group],
                  "TagSpecifications": self.account.specified("instance", "volume", "network-interface", role="probe")}
        self.code("launching, as a dry run", EMULATOR, "DryRunOperation", ec2.run_instances, **launch, DryRun=True)
        self.code("terminating, as a dry run", EMULATOR, "DryRunOperation",
                  ec2.terminate_instances, InstanceIds=[self.estate.servers[0]], DryRun=True)
        self.code("launching from an image that does not exist", EMULATOR, "InvalidAMIID.NotFound", ec2.run_instances,
                  **{**launch, "ImageId": f"ami-{NOBODY}"})
        self.code("launching with a key pair that does not exist", EMULATOR, "InvalidKeyPair.NotFound",
                  ec2.run_instances, **launch, KeyName=f"{self.account.name}-none")
        self.code("launching into a subnet that does not exist", "src/sim/ec2.rs", "InvalidSubnetID.NotFound",
                  ec2.run_instances, **{**launch, "SubnetId": f"subnet-{NOBODY}"})

    def launch(self):
        """One instance from the call to the status checks."""
        ec2, tick = self.ec2, self.account.tick
        self.subject = self.estate.launch(self.estate.subnets[0], "probe", self.token)
        _, after = until(lambda: code_of(ec2.describe_instances, InstanceIds=[self.subject]) == "accepted", 300, tick)
        self.ledger.within("a new instance is found by its id", "src/sim/pace.rs consistency, drill `settle`", settle(), after)
        by_tag = self.account.mine(role="probe")
        _, more = until(lambda: ec2.describe_instances(Filters=by_tag)["Reservations"], 300, tick)
        self.ledger.within("a new instance is found by a tag of its launch", "drill `settle`", settle(), after + more)
        again = self.estate.launch(self.estate.subnets[0], "probe", self.token)
        self.ledger.equal("launching again with the same token gives the same instance", SIM, True, again == self.subject)
        self.code("launching with the same token and other parameters", SIM, "IdempotentParameterMismatch",
                  self.estate.launch, subnet=self.estate.subnets[1], role="probe", token=self.token)
        if self.state(self.subject) == "pending":
            self.code("associating an address with a pending instance", SIM, "IncorrectInstanceState",
                      ec2.associate_address, aws_only=True, AllocationId=self.estate.address, InstanceId=self.subject)
            # where it was accepted, the address goes back
            code_of(ec2.associate_address, AllocationId=self.estate.address, InstanceId=self.estate.servers[0])
        self.reaches(self.subject, "running")
        until(lambda: self.watch.statuses(self.subject)[-1:] == ["running"], 60, tick)
        self.ledger.steps("statuses of a launch", SIM, ["pending", "running"], self.watch.statuses(self.subject))
        self.ledger.lasts("`pending` of an instance", "instance_start", self.watch.took(self.subject, "pending", "running"))
        ec2.create_tags(Resources=[self.subject], Tags=[{"Key": "acceptance-late", "Value": self.account.id}])
        late = self.account.mine(**{"acceptance-late": self.account.id})
        _, after = until(lambda: ec2.describe_instances(Filters=late)["Reservations"], 300, tick)
        self.ledger.within("a new tag is found by a filter", "drill `settle`", settle(), after)

        def checked():
            found = ec2.describe_instance_status(InstanceIds=[self.subject])["InstanceStatuses"]
            return found and found[0]["InstanceStatus"]["Status"] == found[0]["SystemStatus"]["Status"] == "ok"

        _, after = until(checked, 900, tick)
        self.ledger.lasts("from `running` to status checks `ok`", "status_checks", after)

    def stop_and_start(self):
        """Once round."""
        self.ec2.stop_instances(InstanceIds=[self.subject])
        self.reaches(self.subject, "stopped")
        until(lambda: self.watch.statuses(self.subject)[-1:] == ["stopped"], 60, self.account.tick)
        self.ledger.lasts("`stopping` of an instance", "instance_stop", self.watch.took(self.subject, "stopping", "stopped"))
        self.code("rebooting a stopped instance", EMULATOR, "IncorrectInstanceState", self.ec2.reboot_instances,
                  InstanceIds=[self.subject])
        self.ec2.start_instances(InstanceIds=[self.subject])
        self.reaches(self.subject, "running")
        until(lambda: self.watch.statuses(self.subject)[-1:] == ["running"], 60, self.account.tick)
        self.ledger.steps("statuses of a stop and a start", SIM, ["stopping", "stopped", "pending", "running"],
                          self.watch.statuses(self.subject)[-4:])

    def protected(self):
        """A batch over two zones, one of its members protected."""
        ec2 = self.ec2
        free, kept = (self.estate.launch(s, "probe") for s in self.estate.subnets)
        for ident in (free, kept):
            self.reaches(ident, "running")
        ec2.modify_instance_attribute(InstanceId=kept, DisableApiTermination={"Value": True})
        until(lambda: ec2.describe_instance_attribute(
            InstanceId=kept, Attribute="disableApiTermination")["DisableApiTermination"]["Value"], 120, self.account.tick)
        self.code("terminating two instances of two zones, one protected", SIM, "OperationNotPermitted",
                  ec2.terminate_instances, InstanceIds=[free, kept])
        # the zone without a protected one is dealt with although the call has failed
        time.sleep(5 * self.account.tick)
        self.ledger.equal("the unprotected one of the other zone ends all the same", SIM, True,
                          self.state(free) in ("shutting-down", "terminated"))
        self.ledger.equal("the protected one goes on", SIM, "running", self.state(kept))
        ec2.modify_instance_attribute(InstanceId=kept, DisableApiTermination={"Value": False})
        ec2.terminate_instances(InstanceIds=[free, kept])

    def end(self):
        """The end, and what is refused from then on."""
        ec2, elb, arn = self.ec2, self.account.client("elbv2"), self.estate.target_group
        elb.register_targets(TargetGroupArn=arn, Targets=[{"Id": self.subject}])
        health = elb.describe_target_health(TargetGroupArn=arn, Targets=[{"Id": self.subject}])["TargetHealthDescriptions"]
        self.ledger.equal("health of a target whose group has no load balancer", "src/catalog/actions/replacement.rs",
                          ["unused", "Target.NotInUse"], [health[0]["TargetHealth"]["State"],
                                                          health[0]["TargetHealth"].get("Reason")], aws_only=True)
        ec2.terminate_instances(InstanceIds=[self.subject])
        self.reaches(self.subject, "terminated")
        until(lambda: self.watch.statuses(self.subject)[-1:] == ["terminated"], 60, self.account.tick)
        self.ledger.steps("statuses of an end", SIM, ["running", "shutting-down", "terminated"],
                          self.watch.statuses(self.subject)[-3:])
        self.ledger.lasts("`shutting-down` of an instance", "instance_terminate",
                          self.watch.took(self.subject, "shutting-down", "terminated"))
        one = {"InstanceIds": [self.subject]}
        for what, call in (("stopping", ec2.stop_instances), ("starting", ec2.start_instances), ("rebooting", ec2.reboot_instances)):
            self.code(f"{what} a terminated instance", SIM if what != "rebooting" else EMULATOR, "IncorrectInstanceState", call, **one)
        self.code("terminating it again", SIM, "accepted", ec2.terminate_instances, **one)
        self.code("launching with its token again", SIM, "IdempotentInstanceTerminated",
                  self.estate.launch, subnet=self.estate.subnets[0], role="probe", token=self.token)

    def unused_target(self):
        """At the end of the run: whether a target group still names the terminated instance."""
        elb = self.account.client("elbv2")
        left = every_target(elb, self.estate.target_group)
        self.ledger.equal("a terminated instance is out of its target group in the end", "src/sim/pace.rs target_drain", False,
                          self.subject in left, aws_only=True)

    def forgotten(self):
        """At the end of the run: what the terminated instance has forgotten, and when."""
        assumed = {"subnet": True, "VPC": True, "private address": True, "security groups": True, "tags": False}
        lost = self.watch.lost.get(self.subject, {})
        for what, goes in assumed.items():
            if what in lost:
                text = f"forgets its {what}"
                if goes:
                    self.ledger.lasts(f"a terminated instance {text}, after", "instance_strip", lost[what])
                else:
                    self.ledger.equal(f"a terminated instance {text}", SIM, False, True)
            elif goes:
                self.ledger.row(f"a terminated instance forgets its {what}", SIM, True, "kept as long as it was seen",
                                "emulator" if self.ledger.emulated else False)
            else:
                self.ledger.equal(f"a terminated instance forgets its {what}", SIM, False, False)
        began = dict(self.watch.seen.get(self.subject, [])).get("terminated")
        last = self.watch.last.get(self.subject)
        if began is None or self.state(self.subject) is not None:
            seconds = 0 if began is None else time.monotonic() - began
            self.ledger.unseen("a terminated instance is gone from listings, after", "src/sim/pace.rs instance_forget",
                               "1.0 h", f"still listed {seconds / 60:.0f} min after its end, when the run was over")
        else:
            self.ledger.lasts("a terminated instance is gone from listings, after", "instance_forget", last - began)


def every_target(elb, arn):
    """The ids registered in a target group."""
    found = elb.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
    return {t["Target"]["Id"] for t in found}
