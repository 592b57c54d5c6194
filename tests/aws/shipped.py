"""Runs the shipped drills on the estate, and compares their journals with CloudTrail.

A shipped drill names the sample shop's accounts and counts; a copy of it names this account, this region, the run's tag
in every selector, and what the smaller estate has. Each change has to apply, or the copy is refused: a drill that was
changed meanwhile must not run with half of it. Not for: judging a run (redrill's exit code does).
"""

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

from account import TAG

DRILLS = Path(__file__).resolve().parents[2] / "drills"
SERVERS = (("at_least: 3", "at_least: 2"), ("max_percent: 34", "max_percent: 50"))
# drill -> what of the estate it needs, what differs here
KNOWN = {
    "s3-object-loss": ((), ()),
    "ec2-instance-loss": ((), SERVERS),
    "route-table-detach": ((), ()),
    "rds-point-in-time": ((), ()),
    "cdn-invalidation": (("distribution",), ()),
    "critical-service-loss": (("distribution", "alarm"), (SERVERS[0],)),
}
WHY = {
    "distribution": "the estate has no distribution; --with cloudfront makes one",
    "alarm": "the estate has no alarm for its stop condition (shop-error-budget)",
}


def lacks(name, has):
    """Why a drill is not run, or None."""
    missing = [WHY[n] for n in KNOWN[name][0] if n not in has]
    return "; ".join(missing) or None


def adapted(name, account, quick=False):
    """The text of a shipped drill for this account. `quick`: short waits, for an emulator."""
    text = (DRILLS / f"{name}.yaml").read_text()
    changes = [
        (r'accounts: \["123456789012", "000000000000"\]', f'accounts: ["{account.number}"]'),
        (r"regions: \[us-east-1", f"regions: [{account.region}"),
        (r"tags: \{ service: shop,", f"tags: {{ {TAG}: {account.id}, service: shop,"),
        (r"require_tags: \{ env: staging \}", f"require_tags: {{ env: staging, {TAG}: {account.id} }}"),
        (r"(?m)^service: shop$", "service: redrill-acceptance"),
    ] + [(re.escape(a), b) for a, b in KNOWN[name][1]]
    if quick:
        changes += [(r"hold: 10s", "hold: 1s"), (r"every: 1s", "every: 300ms")]
    for pattern, put in changes:
        text, times = re.subn(pattern, put, text)
        if not times:
            raise ValueError(f"drills/{name}.yaml does not hold `{pattern}` any more: tests/aws/shipped.py has to follow it")
    return text + ("\nsettle: 1s\n" if quick else "")


class Shipped:
    """The runs."""

    def __init__(self, account, estate, ledger, redrill, folder, health, say):
        self.account, self.estate, self.ledger, self.redrill = account, estate, ledger, redrill
        self.folder, self.health, self.say, self.runs = folder, health, say, {}
        self.began = time.monotonic()

    def command(self, *words, name, limit):
        """One command of redrill, its output in files; (exit code, what it printed). A signal of ours ends it in order."""
        out, err = (self.folder / f"{name}.{ext}" for ext in ("out", "err"))
        environment = {"HOME": str(self.folder), **self.account.environment()} if self.account.emulated \
            else self.account.environment()
        with out.open("w") as stdout, err.open("w") as stderr:
            process = subprocess.Popen([self.redrill, "--state", self.folder / "state", *words], cwd=self.folder,
                                       env=environment, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr,
                                       start_new_session=True)
            try:
                process.wait(timeout=limit)
            except BaseException:  # also Ctrl-C: redrill puts back what it changed, as long as that takes
                os.kill(process.pid, signal.SIGTERM)
                self.say("      redrill was asked to stop and puts back what it changed; this waits for it")
                process.wait()
                raise
        return process.returncode, out.read_text()

    def run(self, name, **params):
        """One drill, if the estate has what it needs."""
        path = self.folder / f"{name}.yaml"
        path.write_text(adapted(name, self.account, quick=self.account.emulated))
        words = [w for k, v in {"health_url": self.health, **params}.items() for w in ("--set", f"{k}={v}")]
        try:
            code, out = self.command("run", path.name, "--yes", "--output", "json", *words, name=name,
                                     limit=120 if self.account.emulated else 3 * 3600)
        except subprocess.TimeoutExpired:
            code, out = "no end", ""
        lines = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
        result = next((line for line in reversed(lines) if line.get("type") == "result"), {})
        if result.get("run"):
            self.runs[name] = result["run"]
        self.ledger.equal(f"the shipped drill {name} ends with", f"drills/{name}.yaml", "passed (exit code 0)",
                          f"{result.get('verdict') or 'no verdict'} (exit code {code})")
        if code != 0:
            tail = (self.folder / f"{name}.err").read_text().splitlines()[-12:]
            self.say("      " + "\n      ".join(tail + [f"all of it: {self.folder}/{name}.out and .err"]))

    def reconcile(self, minutes):
        """Each run against CloudTrail, until every record is there or so many minutes have passed."""
        ends = time.monotonic() + minutes * 60
        for name, run in self.runs.items():
            assumption = f"CloudTrail has every change of {name}, and no other"
            source = "src/evidence/trail, redrill reconcile"
            if self.account.emulated:
                self.ledger.unseen(assumption, source, "0 missing, 0 unexplained", "the emulator has no CloudTrail")
                continue
            while True:
                code, out = self.command("reconcile", run, "--from", "lookup", "--output", "json", name=f"{name}-trail", limit=3600)
                try:
                    counts = json.loads(out)["counts"]
                except (ValueError, KeyError):
                    counts = None
                    told = (self.folder / f"{name}-trail.err").read_text().strip().splitlines()[-1:]
                complete = counts and not counts["missing"] and not counts["unexplained"] and not counts["contradicted"]
                if complete or time.monotonic() > ends:
                    break
                waited = int((ends - time.monotonic()) / 60)
                self.say(f"      CloudTrail has not all of {name} yet, which may take 15 minutes; asked again in a minute, "
                         f"for {waited} minutes more at the most")
                time.sleep(60)
            if counts is None:
                self.ledger.unseen(assumption, source, "0 missing, 0 unexplained", f"exit code {code}: {' '.join(told)}")
            else:
                self.ledger.row(assumption, source, "0 missing, 0 contradicted, 0 unexplained",
                                f"{counts['missing']} missing, {counts['contradicted']} contradicted, "
                                f"{counts['unexplained']} unexplained, of {counts['calls']} calls; "
                                f"{counts['not_coverable']} not coverable", bool(complete))
