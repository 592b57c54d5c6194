"""Disturbances: what goes wrong, and when. Each is drawn before the command starts, so a seed repeats it."""

import contextlib
import os
import resource
import signal
import time
from pathlib import Path

from slow import CLOCK, DISK, RESOLVER

# name → weight; the weights are how often each is drawn
KINDS = {
    "kill-9": 20, "SIGTERM": 7, "SIGINT": 5, "SIGINT twice": 5, "SIGINT thrice": 7, "SIGHUP": 4, "suspended": 8,
    "disk full": 11, "stdout closed": 4, "emulator paused": 6, "refused": 6, "reset": 6, "delayed": 4,
    "answers dropped": 9, "wire fault": 10, "expired keys": 3, "abort": 7, "second process": 9, "kill switch": 7,
    "alarm": 5, "clock set": 7, "slow disk": 6, "dark resolver": 8, "terminal stopped": 6, "output unread": 5, "Ctrl-Z": 6,
    "flickering reads": 12,
}
# those that need a C compiler
PRELOADED = {"clock set", "slow disk", "dark resolver"}
WINDOW = {"refused": "refuse", "reset": "reset", "delayed": "delay", "answers dropped": "drop"}
SIGNALS = {"SIGTERM": [signal.SIGTERM], "SIGHUP": [signal.SIGHUP], "SIGINT": [signal.SIGINT],
           "SIGINT twice": [signal.SIGINT] * 2, "SIGINT thrice": [signal.SIGINT] * 3}
# what EC2 and RDS are asked, and may answer from a copy that lacks it or is behind
READS = ("DescribeInstances", "DescribeInstances", "DescribeRouteTables", "DescribeDBInstances", "DescribeInstanceAttribute",
         "DescribeTags", "DescribeSubnets")
# those that come early are drawn more often than the end of a run, where little is left to disturb
EVENTS = ("stage", "holding", "held", "step-prepared", "step-started", "call-sent", "call-answered", "step-applied",
          "step-ready", "undo-started", "undo-done", "released", "steady-after", "stage", "call-sent", "call-answered",
          "step-started", "undo-started")


class Trouble:
    """One disturbance: a kind, a moment, and what it takes."""

    def __init__(self, rng, command, supported):
        kinds = [k for k in KINDS if k in supported]
        self.kind = rng.choices(kinds, [KINDS[k] for k in kinds])[0]
        self.gaps = [rng.choice([0.0, 0.02, 0.1, 0.3, 0.8]) for _ in range(2)]
        self.seconds = round(rng.choice([rng.uniform(0.1, 0.6), rng.uniform(0.5, 3)]), 2)
        self.room = rng.choice([0, rng.randint(0, 200), rng.randint(0, 2000), rng.randint(0, 20000)])
        self.verb = rng.choice(["run", "resume", "rollback"])
        self.rule = {
            "fault": rng.choice(["throttle", "error500", "error503", "reset", "lose_answer", "lose_answer", "latency"]),
            "times": rng.randint(1, 4), "skip": rng.choice([0, 0, 1, 3, 8]), "seconds": round(rng.uniform(0.2, 2), 2),
        }
        if rng.random() < 0.5:
            self.rule["action"] = rng.choice([
                "CreateTags", "DeleteTags", "TerminateInstances", "RunInstances", "StopInstances", "StartInstances",
                "CreateRouteTable", "ReplaceRouteTableAssociation", "DeleteRouteTable", "DeleteObjects", "DeleteDBInstance",
                "RestoreDBInstanceToPointInTime", "AddTagsToResource", "CreateInvalidation", "DescribeRouteTables",
                "DescribeInstances", "ListObjectVersions", "RegisterTargets", "DisassociateRouteTable",
                "AssociateRouteTable", "RebootDBInstance", "PutBucketTagging"])
        if self.kind == "expired keys":
            self.rule = {"fault": "expired", "times": rng.randint(1, 6), "skip": rng.randint(0, 12)}
        self.flicker = [
            {"action": rng.choice(READS), "fault": rng.choice(["absent", "absent", "stale"]), "times": rng.randint(1, 3),
             "skip": rng.choice([0, 0, 1, 2, 5])} for _ in range(rng.randint(1, 3))]
        self.step = rng.choice([-1, 1]) * rng.choice([1_500, 40_000, 400_000, 5_400_000])
        self.flush = rng.choice([100, 400, 1500, 4000])
        self.for_good = rng.random() < 0.3
        long = command == "run"
        # the moment: a line, an event, or time since the start
        how = rng.random()
        if how < 0.4:
            self.moment = ("line", rng.randint(1, 45 if long else 12))
        elif how < 0.75:
            self.moment = ("event", rng.choice(EVENTS), rng.choice([1, 1, 1, 2, 3]))
        else:
            self.moment = ("ms", rng.randint(0, 4000 if long else 1500))
        # between the line and what follows it
        self.after = rng.choice([0, 0, rng.randint(0, 60)]) / 1000

    def __str__(self):
        detail = {"wire fault": self.rule, "expired keys": self.rule, "second process": self.verb,
                  "flickering reads": self.flicker, "clock set": f"by {self.step} ms",
                  "slow disk": f"{self.flush} ms a flush, {self.seconds} s"}.get(self.kind, "")
        if self.kind in ("terminal stopped", "output unread"):
            detail = "to the end" if self.for_good else f"{self.seconds} s"
        if self.kind in WINDOW or self.kind in ("suspended", "emulator paused", "dark resolver", "Ctrl-Z"):
            detail = f"{self.seconds} s"
        if self.kind == "disk full":
            detail = f"{self.room} bytes left"
        return f"{self.kind} at {' '.join(map(str, self.moment))}" + (f" ({detail})" if detail else "")

    def strike(self, attempt):
        """Does it, to the process of this attempt; returns a note for the log."""
        getattr(self, {
            "kill-9": "kill", "suspended": "suspend", "disk full": "disk", "stdout closed": "stdout",
            "emulator paused": "pause", "wire fault": "wire", "expired keys": "wire", "abort": "abort",
            "second process": "second", "kill switch": "switch", "alarm": "alarm", "clock set": "clock",
            "slow disk": "flushes", "dark resolver": "resolver", "terminal stopped": "terminal", "output unread": "unread",
            "Ctrl-Z": "job_control", "flickering reads": "flickers",
        }.get(self.kind, "window" if self.kind in WINDOW else "signals"))(attempt)

    def kill(self, attempt):
        """As the kernel does when memory runs out."""
        attempt.signal(signal.SIGKILL)

    def signals(self, attempt):
        """One, two or three."""
        for n, number in enumerate(SIGNALS[self.kind]):
            if n:
                attempt.rest(self.gaps[n - 1])
            attempt.signal(number)

    def suspend(self, attempt):
        """The lid is closed for a while."""
        attempt.signal(signal.SIGSTOP)
        time.sleep(self.seconds)
        attempt.signal(signal.SIGCONT)

    def disk(self, attempt):
        """No file may grow beyond a few more bytes than the journal has."""
        journals = sorted((attempt.home / ".redrill" / "runs").glob("*/journal.jsonl"))
        size = journals[-1].stat().st_size if journals else 0
        with contextlib.suppress(OSError, ValueError):  # it may be over by now
            resource.prlimit(attempt.process.pid, resource.RLIMIT_FSIZE, (size + self.room, size + self.room))
            attempt.limited = True

    def stdout(self, attempt):
        """`redrill run … | head -1`."""
        attempt.close_stdout()

    def pause(self, attempt):
        """AWS does not answer for a while."""
        attempt.world.pause(self.seconds)

    def window(self, attempt):
        """The way to AWS is broken for a while."""
        with attempt.world.proxy.doing(WINDOW[self.kind]):
            attempt.rest(self.seconds)

    def wire(self, attempt):
        """Single calls fail."""
        attempt.world.control("POST", "faults", [self.rule])

    def flickers(self, attempt):
        """Single looks find nothing, or what was before."""
        attempt.world.control("POST", "faults", self.flicker)

    def clock(self, attempt):
        """Somebody sets the machine's clock."""
        attempt.round.slow.add(CLOCK, self.step)

    def flushes(self, attempt):
        """The disk is slow for a while."""
        with attempt.round.slow.doing(DISK, self.flush):
            attempt.rest(self.seconds * 2)

    def resolver(self, attempt):
        """No name is found for a while."""
        with attempt.round.slow.doing(RESOLVER, 1):
            attempt.rest(self.seconds * 2)

    def terminal(self, attempt):
        """Ctrl-S, and perhaps Ctrl-Q."""
        attempt.stop_terminal(None if self.for_good else self.seconds)

    def unread(self, attempt):
        """Whoever reads the output does something else."""
        attempt.stop_reading(None if self.for_good else self.seconds)

    def job_control(self, attempt):
        """Ctrl-Z, and after a while `fg`."""
        attempt.signal(signal.SIGTSTP)
        attempt.rest(self.seconds)
        attempt.at_work_though_stopped()
        attempt.signal(signal.SIGCONT)

    def abort(self, attempt):
        """A person stops it."""
        attempt.beside("abort", "last", "--note", "soak")

    def second(self, attempt):
        """A second redrill on the same journal or targets is refused while the first is at work."""
        verb = self.verb if self.verb != "run" or attempt.round.drill.text else "resume"
        if verb == "run":
            attempt.beside("run", "drill.yaml", "--yes", "--output", "json")
        else:
            attempt.beside(verb, "last", "--output", "json")

    def switch(self, attempt):
        """Somebody sets the kill switch; it is taken away again after this attempt."""
        (attempt.home / "stop").write_text("soak\n")

    def alarm(self, attempt):
        """The error budget is used up."""
        attempt.world.alarm("shop-error-budget", "ALARM")


def forget_switch(home):
    """The kill switch is off."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(Path(home) / "stop")
