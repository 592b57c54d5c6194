"""Faults on request: the rules, and those of them that are more than an error code.

A clock that is off, a batch of which a part fails, a thing that is there and not yet to be seen. Everything that is a
plain refusal is in `protocol`, what breaks a connection in `wire`.
"""

import re
import threading
import time
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from xml.sax.saxutils import escape

from . import protocol, snapshot

FAULTS = (*protocol.CODES, "reset", "lose_answer", "latency", "slow_answer", "skewed", "partial", "protected", "unseen", "untagged", "absent",
          "stale")
FIELDS = {"service", "action", "access_key", "fault", "times", "skip", "seconds", "lasts", "reads", "lost"}


class Rules:
    """The fault rules in force. Safe to use from several threads."""

    def __init__(self):
        self.lock = threading.Lock()
        self.rules = []

    def add(self, rules):
        """Checks and appends rules; raises ValueError with what is wrong."""
        checked = []
        for rule in rules if isinstance(rules, list) else [rules]:
            if not isinstance(rule, dict) or rule.get("fault") not in FAULTS:
                raise ValueError(f"`fault` must be one of {', '.join(FAULTS)}")
            unknown = set(rule) - FIELDS
            if unknown:
                raise ValueError(f"unknown field `{sorted(unknown)[0]}`")
            lasts = rule.get("lasts")
            checked.append({
                "service": rule.get("service", "*"), "action": rule.get("action", "*"),
                "access_key": rule.get("access_key", "*"), "fault": rule["fault"],
                "times": rule.get("times", 1), "skip": int(rule.get("skip") or 0),
                "seconds": float(rule.get("seconds") or 0), "lasts": None if lasts is None else float(lasts),
                "reads": int(rule.get("reads", 3)), "lost": bool(rule.get("lost")), "hits": 0, "until": None,
            })
        with self.lock:
            self.rules += checked

    def clear(self):
        """Forgets all rules."""
        with self.lock:
            self.rules = []

    def take(self, call):
        """Seconds to wait, and the rule that strikes this call, if any."""
        wait = 0.0
        now = time.monotonic()
        with self.lock:
            for rule in self.rules:
                if any(rule[name] not in ("*", value) for name, value in
                       (("service", call.service), ("action", call.action), ("access_key", call.key_id))):
                    continue
                if rule["times"] is not None and rule["times"] <= 0 or rule["until"] is not None and now >= rule["until"]:
                    continue
                if rule["skip"] > 0:
                    rule["skip"] -= 1
                    continue
                if rule["times"] is not None:
                    rule["times"] -= 1
                if rule["lasts"] is not None and rule["until"] is None:
                    rule["until"] = now + rule["lasts"]
                rule["hits"] += 1
                if rule["fault"] != "latency":
                    return wait, rule
                wait += rule["seconds"]
        return wait, None


def skewed(call, environ, seconds):
    """The `Date` of a service whose clock is ahead of ours, and its refusal (code, message, status) of what was signed
    by another clock: S3 allows 15 minutes, the others 5."""
    ours = datetime.now(timezone.utc) + timedelta(seconds=seconds)
    date = format_datetime(ours, usegmt=True)
    try:
        signed = datetime.strptime(environ.get("HTTP_X_AMZ_DATE", ""), "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc)
    except ValueError:
        return date, None
    minutes = 15 if call.service == "s3" else 5
    allowed = timedelta(minutes=minutes)
    if abs(ours - signed) <= allowed:
        return date, None
    if call.service == "s3":
        return date, ("RequestTimeTooSkewed",
                        "The difference between the request time and the current time is too large.", 403)
    if call.protocol == "ec2":
        if abs(ours - signed) > timedelta(minutes=15):
            return date, ("RequestExpired", "Request has expired.", 400)
        return date, ("AuthFailure", "AWS was not able to validate the provided access credentials", 401)
    def shown(at):
        return at.strftime("%Y%m%dT%H%M%SZ")
    if signed < ours:
        message = f"Signature expired: {shown(signed)} is now earlier than {shown(ours - allowed)} ({shown(ours)} - {minutes} min.)"
    else:
        message = f"Signature not yet current: {shown(signed)} is still later than {shown(ours + allowed)} ({shown(ours)} + {minutes} min.)"
    if call.protocol in ("json", "cbor"):
        call.error = "InvalidSignatureException"
        return date, (call.error, message, 400)
    return date, ("SignatureDoesNotMatch", message, 403)


def partial(wire, environ, body, call, request_id):
    """DeleteObjects: every second object fails, in an answer with status 200 as S3 gives it."""
    from .wire import put_body

    if call.action != "DeleteObjects":
        return wire.real(environ, body, call, request_id)
    objects = re.findall(rb"<Object>.*?</Object>", body, re.S)
    failing = objects[1::2]
    put_body(environ, b"".join(part for part in re.split(rb"(<Object>.*?</Object>)", body, flags=re.S) if part not in failing))
    status, headers, answer = wire.real(environ, body, call, request_id)
    errors = "".join(
        f"<Error><Key>{escape(protocol.tag(one, 'Key'))}</Key><Code>InternalError</Code>"
        "<Message>We encountered an internal error. Please try again.</Message></Error>" for one in failing
    )
    end = answer.rfind(b"</")
    return status, headers, answer[:end] + errors.encode() + answer[end:]


def protect(call, estate):
    """Somebody protects the first instance that this call names, right before it arrives."""
    named = [one for one in call.resources if one.startswith("i-")]
    if named:
        snapshot.backend("ec2", estate).get_instance(named[0]).disable_api_termination = True


ID = re.compile(rb"<(?:instanceId|routeTableId)>([^<]+)</|<(?:DBInstanceIdentifier)>([^<]+)</")


class Unseen:
    """What was made and is not yet to be seen, or not yet with its tags, for some calls: EC2 and RDS are eventually
    consistent. Used with the emulator's lock held, or on a whole that only grows."""

    def __init__(self):
        self.left = []

    def clear(self):
        """Everything is seen."""
        self.left = []

    def add(self, fault, reads, answer):
        """Hides what this answer says was made from the next `reads` calls that would look at it."""
        for found in ID.finditer(answer):
            one = (found.group(1) or found.group(2)).decode()
            if all(entry["id"] != one for entry in self.left):
                self.left.append({"fault": fault, "id": one, "reads": reads})

    @contextmanager
    def during(self, call, estate):
        """The world without what is hidden, for one call."""
        hidden = []
        try:
            for entry in self.left:
                if entry["reads"] <= 0 or entry["id"].startswith(("i-", "rtb-")) != (call.service == "ec2"):
                    continue
                if call.service not in ("ec2", "rds") or not looks_at(call, entry["id"]):
                    continue
                entry["reads"] -= 1
                hidden.append(hide(entry, snapshot.backend(call.service, estate)))
            yield
        finally:
            for put_back in reversed(hidden):
                put_back()


LOOKS = {"i-": ("DescribeInstances", "DescribeInstanceAttribute"), "rtb-": ("DescribeRouteTables",)}


def looks_at(call, one):
    """Whether this call names it, or lists things of its kind; a name that is taken is taken at once."""
    if call.action.startswith("Restore"):
        return False
    return one in call.resources or call.action in LOOKS.get(one[:one.find("-") + 1], ("DescribeDBInstances",))


def hide(entry, backend):
    """Takes it, or its tags, out; returns how it comes back, in its old place."""
    one = entry["id"]
    if entry["fault"] == "untagged":
        if one.startswith(("i-", "rtb-")):
            return taken(backend.tags, one)
        held = backend.databases[one]
        tags, held.tags = held.tags, []
        return lambda: setattr(held, "tags", tags)
    if one.startswith("rtb-"):
        return taken(backend.route_tables, one)
    if one.startswith("i-"):
        owner = next((r.id for r in backend.reservations.values() if any(i.id == one for i in r.instances)), None)
        return taken(backend.reservations, owner)
    return taken(backend.databases, one)


# what one look may miss: an operation, and where moto keeps what it lists
MISSED = {
    "DescribeInstances": "reservations", "DescribeInstanceAttribute": "reservations",
    "DescribeRouteTables": "route_tables", "DescribeTags": "tags", "DescribeDBInstances": "databases",
}


@contextmanager
def absent(call, estate):
    """The world without anything that this one call would find: an empty page, or a "not found" for what it names.
    EC2 and RDS answer from any of many copies; S3 does not, since 2020."""
    where = getattr(snapshot.backend(call.service, estate), MISSED[call.action]) if call.action in MISSED else {}
    whole = dict(where)
    where.clear()
    try:
        yield
    finally:
        where.update(whole)


class Stale:
    """What EC2 and RDS answered to the same question before, for a look that reaches a copy that is behind."""

    KEPT, OLD = 300, 10.0  # answers; seconds: no copy is further behind

    def __init__(self):
        self.lock, self.answers = threading.Lock(), {}

    @staticmethod
    def key(call, body):
        """The question, or None: only what lists and describes can be behind."""
        return (call.service, call.action, body) if call.service in ("ec2", "rds") and not call.mutating else None

    def before(self, call, body):
        """The answer of the time before, if there is one."""
        with self.lock:
            at, answer = self.answers.get(self.key(call, body), (0.0, None))
        return answer if answer and time.monotonic() - at < self.OLD else None

    def keep(self, call, body, answer):
        """For the next time."""
        key = self.key(call, body)
        if key is None or answer[0] >= 400:
            return
        with self.lock:
            self.answers.pop(key, None)
            self.answers[key] = time.monotonic(), answer
            while len(self.answers) > self.KEPT:
                del self.answers[next(iter(self.answers))]

    def clear(self):
        """Everything is up to date."""
        with self.lock:
            self.answers.clear()


def taken(where, key):
    """Removes an entry; returns what puts all entries back in their order."""
    if key not in where:
        return lambda: None
    whole = dict(where)
    del where[key]

    def back():
        added = {k: v for k, v in where.items() if k not in whole}
        where.clear()
        where.update({**whole, **added})

    return back
