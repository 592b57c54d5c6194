"""The shop's own health page: its answer depends on the emulated estate, so that a fault has an impact."""

import json

from . import snapshot
from .wire import refused, stranger


def _has(tags, wanted):
    return all(tags.get(k) == v for k, v in wanted.items())


def _instances(estate, check):
    running = sum(1 for i in snapshot.instances(estate) if i["state"] == "running" and _has(i["tags"], check["tags"]))
    return running >= check["running"], f"{running} of {check['running']} running"


def _default_route(estate, check):
    open_tables = {
        t["id"] for t in snapshot.route_tables(estate)
        if any(r["destination"] == "0.0.0.0/0" and r["state"] == "active" for r in t["routes"])
    }
    wanted = [s for s in snapshot.subnets(estate).values() if _has(s["tags"], check["subnet_tags"])]
    routed = sum(1 for s in wanted if s["table"] in open_tables)
    return bool(wanted) and routed == len(wanted), f"{routed} of {len(wanted)} subnets have a default route"


def _database(estate, check):
    found = [d["status"] for d in snapshot.databases(estate) if _has(d["tags"], check["tags"])]
    return check["status"] in found, ", ".join(sorted(found)) or "no such database"


def _object(estate, check):
    bucket = snapshot.buckets(estate).get(check["bucket"], {"objects": {}})
    found = bucket["objects"].get(check["key"])
    there = found is not None and not found["marker"]
    return there, "present" if there else "missing"


KINDS = {"instances": _instances, "default-route": _default_route, "database": _database, "object": _object}


def answer(estate, path):
    """Status code and JSON body for GET `path`."""
    parts = [p for p in path.split("/") if p]
    checks = estate.get("health", {}).get("checks", [])
    if not parts or parts[0] != "health" or len(parts) > 2:
        return 404, {"status": "unknown", "checks": {}}
    if len(parts) == 2:
        checks = [c for c in checks if c["name"] == parts[1]]
        if not checks:
            return 404, {"status": "unknown", "checks": {}}
    results = {}
    for check in checks:
        ok, detail = KINDS[check["kind"]](estate, check)
        results[check["name"]] = {"ok": ok, "detail": detail}
    good = all(r["ok"] for r in results.values())
    return (200 if good else 503), {"status": "ok" if good else "failing", "checks": results}


def app(emulator):
    """The WSGI application."""

    def serve(environ, start_response):
        why = stranger(environ, own_page=True)
        if why:
            return refused(environ, start_response, why)
        with emulator.lock:
            emulator.settle()
            code, body = answer(emulator.estate, environ.get("PATH_INFO", "/"))
        data = json.dumps(body, separators=(",", ":")).encode() + b"\n"
        reason = {200: "OK", 404: "Not Found", 503: "Service Unavailable"}[code]
        start_response(f"{code} {reason}", [
            ("Content-Type", "application/json"), ("Content-Length", str(len(data))), ("Cache-Control", "no-store"),
        ])
        return [b"" if environ["REQUEST_METHOD"] == "HEAD" else data]

    return serve
