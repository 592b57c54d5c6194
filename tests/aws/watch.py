"""Looks at the run's instances and databases all the time, and keeps when each status was first seen.

One thread, reads only. So that statuses on the way, and what a terminated instance forgets and when, are seen of
everything, also of what a drill makes. Not for: waiting (`account.until`), nor for what is not an instance or database.
"""

import threading
import time

from botocore.exceptions import BotoCoreError, ClientError

from account import every

# what an instance shows while it lives, and what of it redrill needs for a replacement
FORGETS = {
    "SubnetId": "subnet", "VpcId": "VPC", "PrivateIpAddress": "private address", "SecurityGroups": "security groups",
    "NetworkInterfaces": "network interfaces", "BlockDeviceMappings": "volumes", "Tags": "tags",
}


class Watch:
    """The thread, and what it has seen."""

    def __init__(self, account):
        self.account, self.lock, self.stopped = account, threading.Lock(), threading.Event()
        self.seen = {}  # id -> [(status, seconds)], oldest first
        self.lost = {}  # instance -> {what: seconds after it was `terminated`}
        self.last = {}  # id -> seconds of the last look that had it
        self.failures = 0
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        """Until it is stopped."""
        n = 0
        # an emulator on this machine has other things to do as well
        while not self.stopped.wait(0.5 if self.account.emulated else self.account.tick):
            try:
                self.instances()
                # databases change slowly
                if self.account.emulated or n % 3 == 0:
                    self.databases()
            except (ClientError, BotoCoreError):
                self.failures += 1
            n += 1

    def note(self, ident, status, now):
        """One look, which began `now`; also those of the probes. One that was overtaken by a later one is dropped."""
        with self.lock:
            if now < self.last.get(ident, 0):
                return
            steps = self.seen.setdefault(ident, [])
            if not steps or steps[-1][0] != status:
                steps.append((status, now))
            self.last[ident] = now

    def instances(self):
        """All with the run's tag, also those that are terminated."""
        now = time.monotonic()
        for r in every(self.account.client("ec2"), "describe_instances", "Reservations", Filters=self.account.mine()):
            for i in r["Instances"]:
                ident, state = i["InstanceId"], i["State"]["Name"]
                self.note(ident, state, now)
                if state == "terminated":
                    with self.lock:
                        lost, began = self.lost.setdefault(ident, {}), dict(self.seen[ident])["terminated"]
                        for key, what in FORGETS.items():
                            if not i.get(key) and what not in lost:
                                lost[what] = time.monotonic() - began

    def databases(self):
        """All with the run's name."""
        name, now = self.account.name, time.monotonic()
        for d in every(self.account.client("rds"), "describe_db_instances", "DBInstances"):
            ident = d["DBInstanceIdentifier"]
            if ident == name or ident.startswith(name + "-"):
                self.note(ident, d["DBInstanceStatus"], now)

    def statuses(self, ident):
        """The statuses of one, in order."""
        with self.lock:
            return [status for status, _ in self.seen.get(ident, [])]

    def took(self, ident, begin, end):
        """Seconds from the first look with a status to the first later look with another; None where one was not seen."""
        with self.lock:
            steps = list(self.seen.get(ident, []))
        for n, (status, at) in enumerate(steps):
            if status == begin:
                return next((later - at for s, later in steps[n + 1:] if s == end), None)
        return None

    def close(self):
        """No more looks."""
        self.stopped.set()
        self.thread.join(timeout=60)
