"""The pages under /_redrill: faults, calls, state, seeding, and whether it is us who answer."""

import json
import os
from urllib.parse import parse_qs

from . import snapshot
from .wire import read_body


def control(emulator, environ):
    """(status, headers, body) of a control page."""
    method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
    body = read_body(environ)
    try:
        status, value = answer(emulator, method, path, parse_qs(environ.get("QUERY_STRING", "")), body)
    except (ValueError, KeyError, TypeError) as error:
        status, value = 400, {"error": str(error)}
    data = json.dumps(value, separators=(",", ":")).encode() + b"\n"
    return status, [("Content-Type", "application/json"), ("Cache-Control", "no-store")], data


def answer(emulator, method, path, query, body):
    """Status and JSON value."""
    if path == "/_redrill/ping":
        return 200, {
            "redrill": "emulator", "pid": os.getpid(), "endpoint": emulator.endpoint, "health": emulator.health,
            "pace": emulator.pace.name, "plain": emulator.plain, "seeded": emulator.seeded,
        }
    if path == "/_redrill/faults":
        if method == "POST":
            emulator.rules.add(json.loads(body))
        elif method == "DELETE":
            emulator.rules.clear()
            emulator.unseen.clear()
            emulator.stale.clear()
        return 200, emulator.rules.rules
    if path == "/_redrill/calls":
        if method == "DELETE":
            emulator.log.clear()
        calls = emulator.log.all()
        if query.get("mutating") == ["true"]:
            calls = [c for c in calls if c["mutating"]]
        return 200, calls
    if path == "/_redrill/state":
        with emulator.lock:
            emulator.settle()
            return 200, snapshot.state(emulator.estate)
    if path == "/_redrill/policy":
        if method == "POST":
            emulator.policy.put(json.loads(body))
        elif method == "DELETE":
            emulator.policy.put(None)
        return 200, emulator.policy.document
    if path == "/_redrill/reset-and-seed" and method == "POST":
        return 200, {"seeded": emulator.seed()}
    return 404, {"error": f"no such page: {method} {path}"}
