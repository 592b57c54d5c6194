"""One round: a drill, disturbances, and then what must hold."""

import collections
import hashlib
import json
import os
import random
import re
import shlex
import signal
import subprocess
import threading
import time
from pathlib import Path

from drills import REPOSITORY_DRILLS, Drill
from estate import differences, with_replacements
from slow import Slow, Terminal, hold_little, stopped
from trouble import Trouble, forget_switch

# of the exit codes that are promised; 1 and 2 are never right here
RUN_CODES = {0, 3, 4, 5, 10, 11, 12, 13, 14, 15, 20, 21}
HARD_CAP = 150  # seconds, for one command
UNDISTURBED = 4  # commands without any disturbance within which a run must be finished
FAULTS = {"TerminateInstances", "StopInstances"}


class Wrong(Exception):
    """What did not hold."""


class Attempt:
    """One command of redrill, its output as it comes, and what is done to it."""

    def __init__(self, round_, args, troubles):
        self.round, self.args, self.troubles = round_, args, troubles
        self.home, self.world = round_.home, round_.world
        self.lines, self.text, self.err = [], [], ""
        self.changed = threading.Condition()
        self.limited = self.closed = self.over = False
        # something of what it said was perhaps never shown
        self.unseen = False
        self.reading = threading.Event()
        self.reading.set()
        self.terminal = Terminal() if round_.rng.random() < 0.3 or any(t.kind == "terminal stopped" for t in troubles) else None
        self.sent_signals = []
        self.others = []
        self.counts = collections.Counter()

    def go(self):
        """To its end."""
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            [self.round.binary, *self.args], cwd=self.home, env=self.round.environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=self.terminal.end if self.terminal else subprocess.PIPE, text=True,
            process_group=0)
        if any(t.kind == "output unread" for t in self.troubles):
            hold_little(self.process.stdout)
        readers = [threading.Thread(target=f, daemon=True)
                   for f in ([self.read_out] if self.terminal else [self.read_out, self.read_err])]
        for reader in readers:
            reader.start()
        try:
            for trouble in self.troubles:
                if self.reached(trouble.moment):
                    time.sleep(trouble.after)
                    if self.process.poll() is None:
                        self.round.note(f"  {time.monotonic() - self.started:6.2f} s: {trouble}")
                        self.round.struck[trouble.kind] += 1
                        self.round.kinds.add(trouble.kind)
                        trouble.strike(self)
            code = self.wait()
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
        self.reading.set()
        for reader in readers:
            reader.join(timeout=10)
        if self.terminal:
            self.err = self.terminal.text()
        self.code = code
        self.round.keep_output(self)
        return self

    def wait(self):
        """Until it has ended; never longer than the hard cap."""
        try:
            return self.process.wait(timeout=max(1, HARD_CAP - (time.monotonic() - self.started)))
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            self.round.keep_output(self)
            raise Wrong(f"`{' '.join(self.args)}` hangs: no end within {HARD_CAP} s") from None

    def read_out(self):
        """Lines as they come."""
        for line in iter(self.process.stdout.readline, ""):
            self.reading.wait()
            with self.changed:
                self.text.append(line)
                try:
                    self.lines.append(json.loads(line))
                except ValueError:
                    self.lines.append({})
                if self.lines[-1].get("type"):
                    self.counts[self.lines[-1]["type"]] += 1
                self.changed.notify_all()
            if self.closed:
                self.process.stdout.close()
                break
        with self.changed:
            self.over = True
            self.changed.notify_all()

    def read_err(self):
        """All of it."""
        self.err = self.process.stderr.read()

    def close_stdout(self):
        """After the line that is being waited for now."""
        self.closed = True

    def stop_reading(self, seconds):
        """Reads nothing for so long, or until it has ended."""
        self.unseen = True
        self.reading.clear()
        if seconds is not None:
            self.rest(seconds)
            self.reading.set()

    def stop_terminal(self, seconds):
        """Shows nothing for so long, or until it has ended."""
        self.unseen = True
        self.terminal.flow(False)
        if seconds is not None:
            self.rest(seconds)
            self.terminal.flow(True)

    def at_work_though_stopped(self):
        """While something is broken, job control does not stop a run."""
        if not stopped(self.process.pid):
            return
        before = -1
        while before != len(self.lines):
            # what it wrote before it stopped
            before = len(self.lines)
            time.sleep(0.2)
        if self.counts["step-started"] and not self.counts["finished"] and stopped(self.process.pid):
            raise Wrong("Ctrl-Z stopped it with a step under way")

    def reached(self, moment):
        """Waits for the moment; False where the process ended before it."""
        def is_so():
            if moment[0] == "line":
                return len(self.lines) >= moment[1]
            return self.counts[moment[1]] >= moment[2]

        deadline = self.started + HARD_CAP
        with self.changed:
            while self.process.poll() is None and time.monotonic() < deadline:
                if moment[0] == "ms":
                    left = self.started + moment[1] / 1000 - time.monotonic()
                    if left <= 0:
                        return True
                    self.changed.wait(min(left, 0.1))
                elif is_so():
                    return True
                elif self.over:
                    return False
                else:
                    self.changed.wait(0.1)
        return False

    def rest(self, seconds):
        """Waits, unless it ends first."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and self.process.poll() is None:
            time.sleep(min(0.02, max(0, until - time.monotonic())))

    def signal(self, number):
        """To exactly this process."""
        if self.process.poll() is None:
            self.sent_signals.append(number)
            self.process.send_signal(number)

    def beside(self, *args):
        """Another command while this one works."""
        other = self.round.command(*args)
        alive = self.process.poll() is None
        self.round.note(f"    beside it: redrill {' '.join(args)}: exit {other.returncode}")
        verb = args[0]
        if verb == "abort":
            if other.returncode not in (0, 2, 3):
                raise Wrong(f"abort beside a run: exit {other.returncode}: {other.stderr}")
        elif alive and other.returncode != 3 and self.counts["header"] and not self.counts["finished"]:
            # (what is finished needs nobody any more, so nothing is refused while its reports are written)
            raise Wrong(f"a second `redrill {' '.join(args)}` was not refused: exit {other.returncode}\n{other.stderr}")

    @property
    def result(self):
        """The last line, where it is a result."""
        return self.lines[-1] if self.lines and self.lines[-1].get("type") == "result" else None


class Round:
    """A seed's drill and disturbances, in a folder of its own."""

    def __init__(self, seed, world, binary, folder, supported, slow):
        self.seed, self.world, self.binary, self.home = seed, world, str(binary), Path(folder)
        self.rng = random.Random(f"soak {seed}")
        # by name, so that there is something to look up
        named = bool(slow) and self.rng.random() < 0.4
        self.drill = Drill(self.rng, world.health.replace("127.0.0.1", "localhost") if named else world.health)
        self.slow = Slow(self.home, slow)
        self.bundled = self.rng.random() < 0.25
        self.supported = set(supported)
        if not getattr(self.drill, "stops", self.drill.shipped in ("critical-service-loss",)):
            self.supported.discard("alarm")
        self.struck, self.kinds, self.log = collections.Counter(), set(), []
        self.attempts, self.undisturbed, self.commands, self.unmended = [], 0, 0, False
        self.environment = {
            "PATH": os.environ.get("PATH", ""), "HOME": str(self.home), "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test", "AWS_EC2_METADATA_DISABLED": "true", "NO_PROXY": "*",
            "REDRILL_ENDPOINT_URL": world.proxy.endpoint, "REDRILL_REGION": "us-east-1", **self.slow.environment,
        }

    def note(self, text):
        """For the log that is kept of a round that failed."""
        self.log.append(text)

    def keep_output(self, attempt):
        """Both streams of a command."""
        self.commands += 1
        name = f"{self.commands}-{attempt.args[0]}"
        (self.home / f"{name}.out").write_text("".join(attempt.text))
        (self.home / f"{name}.err").write_text(attempt.err)

    def command(self, *args):
        """A command to its end, undisturbed."""
        try:
            return subprocess.run([self.binary, *args], cwd=self.home, env=self.environment, stdin=subprocess.DEVNULL,
                                  capture_output=True, text=True, timeout=HARD_CAP)
        except subprocess.TimeoutExpired:
            raise Wrong(f"`redrill {' '.join(args)}` hangs: no end within {HARD_CAP} s") from None

    def play(self):
        """The whole round; raises `Wrong`."""
        self.world.control("DELETE", "faults")
        self.world.control("POST", "reset-and-seed")
        self.before = self.world.state()
        if "kill switch" in self.supported:
            (self.home / "redrill.toml").write_text('[kill_switch]\nfile = "stop"\n')
        what = "drill.yaml"
        if self.drill.text:
            (self.home / what).write_text(self.drill.text)
        else:
            what = str(REPOSITORY_DRILLS / f"{self.drill.shipped}.yaml")
        self.note(f"drill: {', '.join(self.drill.kinds)}")
        stages = self.rng.choice([1, 1, 2, 2, 3, 4])
        quiet = self.rng.random() < 0.03
        args = ["run", what, "--yes", "--output", "json", *self.drill.args]
        for _ in range(12):
            disturbed = stages > 0 and not quiet
            stages -= 1
            attempt = self.attempt(args, disturbed)
            if quiet and attempt.code not in self.drill.codes:
                raise Wrong(f"undisturbed, it ended with {attempt.code}, not {self.drill.codes}")
            unfinished = self.unfinished(attempt)
            if unfinished is None:
                break
            if self.undisturbed >= UNDISTURBED:
                raise Wrong(f"not finished after {UNDISTURBED} commands without any disturbance")
            args = self.next_command(attempt, unfinished)
        else:
            raise Wrong("not finished after 12 commands")
        if self.drill.text and any(run["verdict"] is None for run in self.runs()):
            # one that ended before its first line is in nobody's way
            again = self.attempt(args if args[0] == "run" else ["run", what, "--yes", "--output", "json"], False)
            if again.code == 3:
                raise Wrong(f"a run that never began is in the way\n{again.err}")
        self.check()

    def attempt(self, args, disturbed):
        """One command, perhaps disturbed; its exit code is one of those promised."""
        troubles = []
        if disturbed:
            troubles = [Trouble(self.rng, args[0], self.supported) for _ in range(self.rng.choice([1, 1, 2, 2, 3]))]
        else:
            self.undisturbed += 1
        self.note(f"redrill {' '.join(args)}" + ("" if disturbed else "   (undisturbed)"))
        attempt = Attempt(self, args, troubles)
        self.attempts.append(attempt)
        try:
            attempt.go()
        finally:
            # what lasts is over before the next command
            self.world.control("DELETE", "faults")
            self.world.alarm("shop-error-budget", "OK")
            forget_switch(self.home)
        self.note(f"  exit {attempt.code}" + (f", {attempt.result['verdict']}" if attempt.result else ""))
        self.judge_code(attempt)
        return attempt

    def judge_code(self, attempt):
        """Whether a command ended as it may."""
        code = attempt.code
        if code < 0:
            if -code not in attempt.sent_signals:
                raise Wrong(f"it was ended by signal {-code}, which nobody sent\n{attempt.err}")
            if -code != signal.SIGKILL and any(line.get("type") == "attached" for line in attempt.lines):
                raise Wrong(f"it did not take signal {-code}, although it was at work")
            return
        if code not in RUN_CODES:
            raise Wrong(f"exit {code} is not among those promised\n{attempt.err}")
        if code == 21 and not attempt.limited:
            raise Wrong(f"exit 21, and the disk was not full\n{attempt.err}")
        if not (attempt.closed or attempt.unseen) and attempt.result is None and code not in (3, 5, 20, 21):
            raise Wrong(f"exit {code} without a line of the result\n{attempt.err}")
        if attempt.result and attempt.result["exit_code"] != code:
            raise Wrong(f"exit {code}, but the result says {attempt.result['exit_code']}")
        if not self.troubled(attempt) and code in (20, 21, 5):
            raise Wrong(f"exit {code} although nothing disturbed it\n{attempt.err}")

    def troubled(self, attempt):
        """Whether anything was done to it."""
        return bool(attempt.troubles)

    def runs(self):
        """All runs, as redrill lists them."""
        listed = self.command("runs", "--output", "json")
        if listed.returncode != 0:
            raise Wrong(f"runs: exit {listed.returncode}: {listed.stderr}")
        return json.loads(listed.stdout)

    def unfinished(self, attempt):
        """A run that has to be taken up, or None."""
        rolled_back = attempt.args[0] == "rollback" and attempt.code == 0
        for run in self.runs():
            if run["verdict"] == "stuck" or (run["verdict"] is None and not (rolled_back and run["run"] in attempt.args)):
                return run
        return None

    def next_command(self, attempt, run):
        """What its output says, or what the handbook says."""
        told = re.search(r"redrill (rollback|resume) \S+[^\n`]*", attempt.err)
        if attempt.code in (20, 21) and not (attempt.closed or attempt.unseen) and not told and run["verdict"] is None:
            raise Wrong(f"exit {attempt.code}, and no command that finishes it is printed\n{attempt.err}")
        if told and self.rng.random() < 0.7:
            return [*shlex.split(told.group(0))[1:], "--output", "json"]
        if run["verdict"] == "stuck":
            return ["rollback", run["run"], "--output", "json"]
        return [self.rng.choice(["resume", "rollback"]), run["run"], "--output", "json"]

    def check(self):
        """Everything that must hold once all runs are finished."""
        runs = self.runs()
        self.check_once(runs)
        self.check_world(runs)
        for run in runs:
            self.check_record(run)
        calls = len(self.world.calls())
        if runs:
            again = self.command("rollback", runs[-1]["run"], "--output", "json")
            if again.returncode != 0 or len(self.world.calls()) != calls:
                raise Wrong(f"rollback of a finished run: exit {again.returncode}, "
                            f"{len(self.world.calls()) - calls} changes\n{again.stderr}")

    def journal(self, run):
        """The whole lines of a journal; its chain is checked here, by other code than redrill's."""
        path = self.home / ".redrill" / "runs" / run["run"] / "journal.jsonl"
        raw = path.read_bytes() if path.exists() else b""
        lines, previous = [], "0" * 64
        for n, line in enumerate(raw.split(b"\n")[:-1]):
            value = json.loads(line)
            if value["prev"] != previous or value["seq"] != n:
                raise Wrong(f"{run['run']}: the journal's chain is broken at line {n + 1}")
            previous = hashlib.sha256(line).hexdigest()
            lines.append(value)
        return lines

    def check_once(self, runs):
        """No fault is applied twice: by the emulator's log, and by the journal."""
        calls, known = self.world.calls(), {f"app/redrill-{r['run']}" for r in runs}
        reached, moved = collections.Counter(), 0
        tables = {t["id"] for t in self.before["route_tables"]}
        for call in calls:
            if not any(name in call["user_agent"] for name in known):
                if call["action"] != "SetAlarmState":
                    raise Wrong(f"{call['action']} was sent by nobody that is on record: {call['user_agent']}")
                continue
            if call["status"] is None or call["status"] >= 400:
                continue
            if call["action"] in FAULTS:
                reached.update((call["action"], r) for r in call["resources"])
            if call["action"] in ("ReplaceRouteTableAssociation", "AssociateRouteTable"):
                moved += any(r.startswith("rtb-") and r not in tables for r in call["resources"])
            moved += call["action"] == "DisassociateRouteTable"
        self.terminated = {target for (action, target) in reached if action == "TerminateInstances"}
        for (action, target), times in reached.items():
            if times > len(runs) or (times > 1 and action == "TerminateInstances"):
                raise Wrong(f"{action} of {target} was applied {times} times")
        if moved > 2 * max(1, len(runs)):
            raise Wrong(f"subnets were taken off their tables {moved} times")
        for run in runs:
            self.check_sent_once(run)

    def check_sent_once(self, run):
        """In the journal: no fault is sent by a process that took the run up, nor again after it may have worked."""
        mode, sent, answered = "run", {}, {}
        for line in self.journal(run):
            if line["type"] == "attached":
                mode = line["mode"]
            if line["type"] == "call-answered":
                answered[line["call"]] = line
            if line["type"] != "call-sent" or line.get("phase") != "apply" or line.get("step") not in self.drill.fault_ids:
                continue
            if mode != "run":
                raise Wrong(f"{run['run']}: `{mode}` sent {line['operation']} of the fault {line['step']}")
            key = (line["step"], line["operation"], json.dumps(line.get("params"), sort_keys=True))
            before = sent.get(key)
            if before is not None and "CreateRouteTable" not in line["operation"]:
                outcome = answered.get(before, {}).get("error")
                if not outcome or outcome.get("effect") != "none":
                    raise Wrong(f"{run['run']}: {line['operation']} was sent again after it may have worked")
            sent[key] = line["call"]

    def check_world(self, runs):
        """The world is as before, but for what the drill says cannot be undone."""
        now = self.world.state()
        for _ in range(50):
            # a reboot passes by itself; a run that is hurried out does not wait for it
            if all(d["status"] != "rebooting" for d in now["databases"]):
                break
            time.sleep(0.1)
            now = self.world.state()
        after, original = with_replacements(now)
        if "redrill:held" in json.dumps(after):
            raise Wrong("a tag redrill:held is left")
        if set(original.values()) - self.terminated or len(set(original.values())) != len(original):
            raise Wrong(f"replaced: {sorted(original.values())}, terminated: {sorted(self.terminated)}")
        lost = self.terminated - set(original.values())
        if lost and not self.may_be_lost(runs):
            raise Wrong(f"lost and not replaced: {sorted(lost)}")
        # hurried out, a replacement may be there and not yet behind its load balancer; the report says "not mended"
        unfinished = lost
        if original and self.may_be_lost(runs):
            unfinished = lost | set(original.values())
        found = differences(self.before, after, lost, unfinished)
        if found:
            raise Wrong("the world is not as before:\n  " + "\n  ".join(found[:12]))

    def may_be_lost(self, runs):
        """A drill without a replacement, or a run that was hurried out or failed, and says what is not mended."""
        if self.drill.text and "launch-replacement" not in self.drill.text:
            return True
        lines = [line for run in runs for line in self.journal(run)]
        hurried = any(len(a.sent_signals) > 1 for a in self.attempts)
        failed = any(line["type"] == "step-failed" and line["step"] == "replace" for line in lines)
        said = any("is not mended" in json.dumps(line.get("reasons")) for line in lines if line["type"] == "finished")
        if said and (hurried or failed):
            self.unmended = True
            return True
        return False

    def check_record(self, run):
        """Everything that is made of the journal can be made."""
        if not self.journal(run):
            return
        commands = [["show", run["run"], "--timeline"], ["report", run["run"], "--format", "json"]]
        if self.bundled:
            # takes seconds of computing, so not every time
            commands += [["report", run["run"], "--out", f"bundle-{run['run']}"], ["verify", f"bundle-{run['run']}"]]
        for args in commands:
            ended = self.command(*args)
            if ended.returncode != 0:
                raise Wrong(f"redrill {' '.join(args)}: exit {ended.returncode}\n{ended.stdout[-600:]}{ended.stderr}")

    def tail(self):
        """What a person wants to see first of a round that failed."""
        out = list(self.log)
        for journal in sorted((self.home / ".redrill" / "runs").glob("*/journal.jsonl")):
            lines = journal.read_bytes().split(b"\n")[-13:]
            out += [f"-- the end of {journal}"] + [line.decode(errors="replace")[:300] for line in lines if line]
        if self.attempts:
            out += ["-- stderr of the last command", self.attempts[-1].err[-1500:]]
        return "\n".join(out)
