"""Each refusal of the acceptance run: nothing is asked of anybody, and what to type is said."""

import os
import subprocess
import sys
import tempfile
import types
import unittest
from pathlib import Path

sys.dont_write_bytecode = True
HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "soak")]

import guards  # noqa: E402

NAMED = ("--account", "111122223333", "--region", "eu-west-1")

# a refusal that is missing must not reach anybody either
NOWHERE = {"AWS_EC2_METADATA_DISABLED": "true", "HTTPS_PROXY": "http://127.0.0.1:1", "HTTP_PROXY": "http://127.0.0.1:1",
           "PIP_RETRIES": "0"}


def run(*words, **environment):
    """The command, with nothing of the caller's environment and a cache that is empty."""
    with tempfile.TemporaryDirectory() as home:
        told = subprocess.run([sys.executable, HERE / "run", *words], capture_output=True, text=True, timeout=120, env={
            "PATH": os.environ["PATH"], "HOME": home, "XDG_CACHE_HOME": f"{home}/cache", **NOWHERE, **environment})
        return told, os.path.exists(f"{home}/cache")


class Refusals(unittest.TestCase):
    """From the command line."""

    def refused(self, *words, why, typed, **environment):
        """Exit code 3, the reason and the remedy, nothing installed and nothing printed on standard output."""
        told, installed = run(*words, **environment)
        self.assertEqual((told.returncode, told.stdout, installed), (3, "", False), told.stderr)
        self.assertRegex(told.stderr, f"^refused: .*{why}")
        self.assertRegex(told.stderr, f"(?m)^Type.*{typed}")

    def test_without_an_account(self):
        self.refused("--region", "eu-west-1", why="--account is missing", typed="tests/aws/run --account ID", REDRILL_ACCEPTANCE="yes")
        self.refused("--account", "1234", "--region", "eu-west-1", why="not the 12 digits", typed="--account ID", REDRILL_ACCEPTANCE="yes")

    def test_without_a_region(self):
        self.refused("--account", "111122223333", why="--region is missing", typed="--account 111122223333 --region",
                     REDRILL_ACCEPTANCE="yes")

    def test_without_the_owners_word(self):
        for environment in ({}, {"REDRILL_ACCEPTANCE": "1"}, {"REDRILL_ACCEPTANCE": ""}):
            self.refused(*NAMED, why="real account", typed="REDRILL_ACCEPTANCE=yes tests/aws/run --account 111122223333", **environment)

    def test_where_something_else_than_aws_would_answer(self):
        for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_EC2", "REDRILL_ENDPOINT_URL"):
            self.refused(*NAMED, why=f"{name} is set", typed=f"unset {name}", REDRILL_ACCEPTANCE="yes", **{name: "http://127.0.0.1:1"})

    def test_an_id_that_could_be_a_pattern(self):
        for ident in ("*", "", "abc", "3f9c2a1b*", "ABCDEF12"):
            self.refused(*NAMED, "--clean", ident, why="is not the id of a run", typed="the id that the run printed",
                         REDRILL_ACCEPTANCE="yes")

    def test_the_callers_account_is_another_over_the_wire(self):
        told = subprocess.run([sys.executable, HERE / "run", "--emulator", "--account", "999999999999", "--binary", "/bin/false"],
                              capture_output=True, text=True, timeout=300)
        self.assertEqual((told.returncode, told.stdout), (3, ""), told.stderr)
        self.assertIn("are of account 123456789012, not of 999999999999", told.stderr)
        self.assertRegex(told.stderr, "(?m)^Type AWS_PROFILE=NAME in front")


class Answers(unittest.TestCase):
    """Who the caller is, and whether they agree."""

    def test_the_callers_account_is_another(self):
        options = types.SimpleNamespace(account="111122223333")
        self.assertEqual(guards.caller(options, lambda: ("111122223333", "arn:me")), "arn:me")
        with self.assertRaisesRegex(guards.Refused, "of account 444455556666, not of 111122223333(.|\n)*Type AWS_PROFILE"):
            guards.caller(options, lambda: ("444455556666", "arn:me"))

    def test_nobody_says_who_the_caller_is(self):
        def nobody():
            raise OSError("no credentials")

        with self.assertRaisesRegex(guards.Refused, "no credentials\nType: aws sts get-caller-identity"):
            guards.caller(types.SimpleNamespace(account="111122223333"), nobody)

    def test_only_yes_is_yes(self):
        ask = types.SimpleNamespace(yes=False)
        guards.agreed(ask, lambda _: "yes")
        guards.agreed(types.SimpleNamespace(yes=True), lambda _: self.fail("was asked"))
        for answer in ("", "y", "YES", "no", "yes please"):
            with self.assertRaisesRegex(guards.Refused, "nothing was made(.|\n)*Type `yes`"):
                guards.agreed(ask, lambda _, answer=answer: answer)


if __name__ == "__main__":
    unittest.main()
