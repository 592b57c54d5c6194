"""Random drills over what the emulator carries. The same seed makes the same drill."""

import json
from pathlib import Path

REPOSITORY_DRILLS = Path(__file__).resolve().parents[2] / "drills"
LIMITS = ('{ accounts: ["123456789012"], regions: [us-east-1, global], max_targets: 12, '
          "require_tags: { env: staging }, forbid_tags: { redrill: never } }")
TARGETS = {
    "web": "{ resource: ec2.instance, tags: { service: shop, role: web }, where: { state: running }, select: %s }",
    "batch": "{ resource: ec2.instance, tags: { service: batch, role: worker }, where: { state: running } }",
    "private": "{ resource: vpc.subnet, tags: { service: shop, tier: private }, select: %s }",
    "orders": "{ resource: rds.instance, tags: { service: shop, role: orders }, select: { count: 1 } }",
    "assets": "{ resource: s3.bucket, tags: { service: shop, role: assets }, select: { count: 1 } }",
    "storefront": "{ resource: cloudfront.distribution, tags: { service: shop, role: storefront }, select: { count: 1 } }",
}
BUCKET = "shop-assets-123456789012"
SHIPPED = ("ec2-instance-loss", "route-table-detach", "rds-point-in-time", "s3-object-loss", "cdn-invalidation",
           "critical-service-loss")


def step(action, name, target=None, **params):
    """One step, as a flow mapping of YAML (which JSON is)."""
    out = {"action": action, "id": name}
    if target:
        out["target"] = target
    if params:
        out["with"] = params
    return json.dumps(out)


def wait(rng, name):
    """A short wait."""
    return step("wait", name, **{"for": f"{rng.randint(1, 12) * 100}ms"})


class Drill:
    """A drill and what may be expected of it."""

    def __init__(self, rng, health):
        self.args, self.shipped, self.visible, self.kinds = [], None, False, []
        # ends by itself with one of these codes, if nothing disturbs it
        self.codes = {0}
        if rng.random() < 0.05:
            self.shipped = rng.choice(SHIPPED)
            self.kinds = [self.shipped]
            self.args, self.text = ["--set", f"health_url={health}/health"], None
            self.fault_ids = {"terminate", "detach", "delete"}
            return
        self.top, self.targets, self.fault, self.recovery, self.verify = [], {}, [], [], []
        self.mended = True
        parts = rng.sample(["network", "server", "stop", "objects", "restore", "reboot", "invalidate"],
                           rng.choice([1, 1, 1, 2, 2, 3]))
        if "stop" in parts and len(parts) > 1 and rng.random() < 0.5:
            parts.remove("stop")
        for part in parts:
            getattr(self, part)(rng)
        self.kinds = sorted(parts)
        self.text = self.written(rng, health)

    def network(self, rng):
        """Subnets lose their routes and get them back."""
        count = rng.choice(["{ count: 1 }", "all"])
        self.targets["private"] = TARGETS["private"] % count
        self.visible = True
        params = {"to": "main"} if rng.random() < 0.3 else {}
        self.fault.append(step("vpc.detach-route-table", "detach", "private", **params))
        if rng.random() < 0.15:
            # nobody mends it: only the undo does
            self.mended = False
        else:
            self.recovery.append(step("vpc.attach-route-table", "attach", "private"))

    def server(self, rng):
        """Web servers are lost and replaced; or a batch worker is, for good."""
        self.top.append("allow_irreversible: true")
        if rng.random() < 0.12:
            self.targets["batch"] = TARGETS["batch"]
            self.fault.append(step("ec2.terminate-instances", "terminate", "batch"))
            return
        self.targets["web"] = TARGETS["web"] % f"{{ count: {rng.choice([1, 1, 2, 3])} }}"
        self.visible = True
        self.fault.append(step("ec2.terminate-instances", "terminate", "web"))
        self.recovery.append(step("ec2.launch-replacement", "replace", "web"))
        if rng.random() < 0.5:
            self.verify.append(json.dumps({
                "name": "enough servers", "probe": "ec2.instances", "every": "300ms",
                "with": {"tags": {"service": "shop", "role": "web"}, "at_least": 3, "include_run_made": True}}))

    def stop(self, rng):
        """Instances are stopped; only the undo starts them."""
        if "web" in self.targets or "batch" in self.targets:
            return
        if rng.random() < 0.6:
            self.targets["batch"] = TARGETS["batch"]
            self.fault.append(step("ec2.stop-instances", "stop", "batch"))
        else:
            self.targets["web"] = TARGETS["web"] % f"{{ count: {rng.choice([1, 2])} }}"
            self.visible, self.mended = True, False
            self.fault.append(step("ec2.stop-instances", "stop", "web"))

    def objects(self, rng):
        """Objects are deleted and brought back."""
        self.targets["assets"] = TARGETS["assets"]
        what = rng.choice([{"prefix": "catalogue/"}, {"prefix": ""}, {"keys": ["catalogue/items.json", "index.html"]},
                           {"keys": ["css/site.css"]}])
        self.visible = self.visible or what != {"keys": ["css/site.css"]}
        self.fault.append(step("s3.delete-objects", "delete", "assets", max_objects=10, **what))
        self.recovery.append(step("s3.restore-objects", "bring-back", "assets", max_objects=10, **what))
        if rng.random() < 0.5:
            self.verify.append(json.dumps({
                "name": "the catalogue is there", "probe": "s3.object", "every": "300ms",
                "with": {"bucket": BUCKET, "key": "catalogue/items.json", "min_size": 1}}))

    def restore(self, rng):
        """The database is restored beside the original."""
        self.targets["orders"] = TARGETS["orders"]
        self.recovery.append(step("rds.restore-to-point-in-time", "restore", "orders", to=rng.choice(["-15m", "-2h"])))
        self.verify.append(json.dumps({
            "name": "it is available", "probe": "rds.instance", "every": "300ms",
            "with": {"identifier": "${steps.restore.identifier}", "status": "available"}}))

    def reboot(self, rng):
        """The database restarts, perhaps in the other zone."""
        self.targets["orders"] = TARGETS["orders"]
        self.recovery.append(step("rds.reboot", "reboot", "orders", failover=rng.random() < 0.5))

    def invalidate(self, rng):
        """Cached files are dropped."""
        self.targets["storefront"] = TARGETS["storefront"]
        self.recovery.append(step("cloudfront.invalidate", "invalidate", "storefront", paths=["/index.html", "/css/*"]))

    def written(self, rng, health):
        """As YAML."""
        self.fault_ids = {json.loads(s)["id"] for s in self.fault}
        rng.shuffle(self.fault)
        rng.shuffle(self.recovery)
        if not self.fault and not self.recovery:
            self.recovery.append(wait(rng, "only"))
        if self.fault and not self.visible:
            self.top.append("impact: none-expected")
        if not self.mended:
            self.codes = {11}
        page = {"name": "the shop answers", "probe": "http", "with": {"url": f"{health}/health", "status": 200},
                "every": "300ms", "hold": rng.choice(["500ms", "1s"])}
        steady = [json.dumps(page)]
        if rng.random() < 0.3:
            steady.append(json.dumps({
                "name": "web servers", "probe": "ec2.instances", "every": "500ms", "hold": "1s", "role": "capacity",
                "with": {"tags": {"service": "shop", "role": "web"}, "at_least": 3, "include_run_made": True}}))
            if self.fault and not self.visible:
                # it counts servers that this fault does not reach, so no probe sees it; but a reboot among
                # the recoveries is an outage, which the page shows where it is asked in time
                self.codes = {0, 12} if any("rds.reboot" in r for r in self.recovery) else {12}
        self.stops = rng.random() < 0.4
        stop = [json.dumps({"name": "error budget", "probe": "cloudwatch.alarm", "every": "500ms",
                            "with": {"name": "shop-error-budget"}, "for": rng.choice(["500ms", "1s"])})]
        lines = [
            "version: 1", "name: soak", "title: A random drill", "service: shop", "settle: 1s", "impact_timeout: 4s",
            f"objectives: {{ {'rto: 2m, give_up: 3m' if self.mended else 'rto: 3s, give_up: 4s'} }}",
            f"limits: {LIMITS}", *self.top]
        lines += ["targets:"] + [f"  {name}: {text}" for name, text in self.targets.items()] if self.targets else []
        for name, items in (("steady_state", steady), ("fault", arranged(rng, self.fault, "f")),
                            ("recovery", arranged(rng, self.recovery, "r")), ("verify", self.verify),
                            ("stop", stop if self.stops else [])):
            if items:
                lines += [f"{name}:"] + [f"  - {item}" for item in items]
        return "\n".join(lines) + "\n"


def arranged(rng, steps, prefix):
    """In order, or together, with waits here and there."""
    steps = list(steps)
    if not steps:
        return steps
    if rng.random() < 0.4:
        steps.insert(rng.randint(0, len(steps)), wait(rng, f"{prefix}-wait"))
    if len(steps) > 1 and rng.random() < 0.5:
        at = rng.randint(0, len(steps) - 2)
        steps[at:at + 2] = ['{ "parallel": [' + ", ".join(steps[at:at + 2]) + "] }"]
    return steps
