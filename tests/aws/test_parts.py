"""What the acceptance run is made of, without an account: costs, copies of the drills, the ledger, the policy."""

import json
import re
import sys
import types
import unittest
from pathlib import Path

sys.dont_write_bytecode = True
HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "soak")]

import costs  # noqa: E402
import ledger  # noqa: E402
import permissions  # noqa: E402
import shipped  # noqa: E402

ACCOUNT = types.SimpleNamespace(id="3f9c2a1b", number="111122223333", region="eu-west-1")


class Drills(unittest.TestCase):
    """The copies of the shipped drills."""

    def test_every_shipped_drill_is_run_or_named(self):
        self.assertEqual({p.stem for p in shipped.DRILLS.glob("*.yaml")}, set(shipped.KNOWN))
        self.assertIn("no distribution", shipped.lacks("cdn-invalidation", set()))
        self.assertIsNone(shipped.lacks("cdn-invalidation", {"distribution"}))
        self.assertIn("alarm", shipped.lacks("critical-service-loss", {"distribution"}))

    def test_a_copy_can_touch_only_what_the_run_made(self):
        for name in shipped.KNOWN:
            code = re.sub(r"(?m)\s*#.*$", "", shipped.adapted(name, ACCOUNT))
            self.assertIn('accounts: ["111122223333"]', code)
            self.assertRegex(code, r"regions: \[eu-west-1")
            self.assertIn("require_tags: { env: staging, redrill-acceptance: 3f9c2a1b }", code)
            for line in code.splitlines():
                if "tags: {" in line and "forbid" not in line:
                    self.assertIn("redrill-acceptance: 3f9c2a1b", line)
                self.assertNotIn("000000000000", line)

    def test_a_drill_that_was_changed_is_not_run_with_half_of_it(self):
        known = shipped.KNOWN["s3-object-loss"]
        shipped.KNOWN["s3-object-loss"] = ((), (("no such text", ""),))
        self.addCleanup(shipped.KNOWN.__setitem__, "s3-object-loss", known)
        with self.assertRaisesRegex(ValueError, "no\\\\ such\\\\ text"):
            shipped.adapted("s3-object-loss", ACCOUNT)


class Ledger(unittest.TestCase):
    """What counts as the same."""

    def setUp(self):
        self.aws = ledger.Ledger(emulated=False, say=lambda _: None)
        self.emulator = ledger.Ledger(emulated=True, say=lambda _: None)

    def test_durations_are_the_simulators_own(self):
        paces = ledger.durations()
        self.assertEqual((paces["instance_start"], paces["db_create"], paces["instance_forget"]), (25, 1320, 3600))
        self.assertEqual(ledger.settle(), 10)
        used = set()
        for path in HERE.glob("probe_*.py"):
            used |= set(re.findall(r'lasts\([^\n]*?"(\w+)", ', path.read_text())) | set(re.findall(r'", "(db_\w+)", "', path.read_text()))
        self.assertLessEqual({"instance_start", "db_create", "db_delete", "invalidation"}, used)
        self.assertLessEqual(used, set(paces))

    def test_a_duration_differs_beyond_three_times(self):
        self.assertEqual([self.aws.lasts("x", "instance_start", s) for s in (8, 9, 25, 74, 76)],
                         [False, True, True, True, False])
        self.assertEqual(self.emulator.lasts("x", "instance_start", 0.1), "emulator")
        self.assertIsNone(self.aws.lasts("x", "instance_start", None))

    def test_what_is_not_permitted_was_not_observed(self):
        self.assertIsNone(self.aws.code("x", "s", "NotFound", "UnauthorizedOperation"))
        self.assertFalse(self.aws.code("x", "s", "NotFound", "Other"))
        self.assertTrue(self.aws.code("x", "s", "NotFound", "NotFound"))
        self.assertEqual(self.emulator.code("x", "s", "NotFound", "Other", aws_only=True), "emulator")
        self.assertEqual(self.aws.counts(), (1, 1, 0, 1))

    def test_a_status_more_is_another_way_and_one_missed_is_none_on_the_emulator(self):
        way = ["creating", "backing-up", "available"]
        self.assertEqual(self.emulator.steps("x", "s", way, ["creating", "available"]), "emulator")
        self.assertFalse(self.aws.steps("x", "s", way, ["creating", "available"]))
        self.assertFalse(self.emulator.steps("x", "s", way, ["creating", "modifying", "available"]))
        self.assertTrue(self.emulator.steps("x", "s", way, way))


class Papers(unittest.TestCase):
    """Costs and the policy."""

    def test_the_sum_is_the_sum(self):
        rows = costs.lines(cloudfront=True)
        self.assertIn(f"{sum(r[2] for r in rows):6.3f}", costs.table(True).splitlines()[-2])
        self.assertIn("other regions differ", costs.table(False))
        self.assertNotIn("CloudFront", costs.table(False))

    def test_a_call_that_the_policy_lacks_is_named(self):
        calls = [{"service": "ec2", "action": "RunInstances"}, {"service": "s3", "action": "DeleteObjects"}]
        self.assertEqual(permissions.lacking(calls), [])
        self.assertEqual(permissions.lacking([*calls, {"service": "ec2", "action": "CreateVolume"}]), ["ec2:CreateVolume"])

    def test_what_the_shipped_drills_may_do_is_in_the_policy(self):
        """But for roles, keys and secrets, which the estate has none of, and the snapshot that `sweep` takes."""
        wanted = set()
        for path in (shipped.DRILLS / "iam").glob("*.json"):
            for s in json.loads(path.read_text())["Statement"]:
                wanted |= {s["Action"]} if isinstance(s["Action"], str) else set(s["Action"])
        lacking = {a for a in wanted - permissions.allowed() if not a.startswith(("iam:", "kms:", "secretsmanager:"))}
        self.assertEqual(lacking, {"rds:CreateDBSnapshot"})

    def test_what_changes_something_is_held_to_the_run(self):
        """By its tag, by its name, or by an id that nobody has."""
        for s in permissions.policy("111122223333", "eu-west-1")["Statement"]:
            actions = [s["Action"]] if isinstance(s["Action"], str) else s["Action"]
            resources = [s["Resource"]] if isinstance(s["Resource"], str) else s["Resource"]
            if all(re.search(r":(Describe|List|Get|Lookup)", a) for a in actions):
                continue
            condition = str(s.get("Condition", ""))
            held = any(k in condition for k in ("Tag/redrill-acceptance", "Tag/redrill:run", "ec2:CreateAction"))
            named = all(re.search(r"redrill-acceptance-|0fee1dead0fee|::image/|:[op]g:default", r, re.I) for r in resources)
            self.assertTrue(held or named, s["Sid"])


if __name__ == "__main__":
    unittest.main()
