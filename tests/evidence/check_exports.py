"""Other people's tools read what redrill exports, and refuse what is broken on purpose.

REDRILL_TEST_EXPORTS names a folder that redrill's own tests have written the made-up runs' files
into; REDRILL_NODE_MODULES one with `ajv` and `ajv-formats`. Run with a Python that has the packages
of `requirements.txt`.
"""

import copy
import csv
import io
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree

import junitparser

HERE = pathlib.Path(__file__).resolve().parent
SCHEMAS = HERE.parent / "fixtures" / "oscal"
EXPORTS = pathlib.Path(os.environ["REDRILL_TEST_EXPORTS"])
TRESTLE = pathlib.Path(sys.executable).with_name("trestle")
RUNS = {"passed", "emulator", "sim", "missed", "stuck", "unfinished", "header-only", "full"}
AP, AR, POAM = "assessment-plan", "assessment-results", "plan-of-action-and-milestones"


def exported(name):
    return sorted(EXPORTS.glob(f"*/{name}"))


def ajv(model, *files):
    schema = SCHEMAS / f"{model}.schema.json"
    command = ["node", HERE / "against_schema.mjs", schema, *files]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    return done.returncode, done.stdout + done.stderr


class Trestle:
    """A workspace of compliance-trestle that files are imported into."""

    def __init__(self, folder):
        self.folder = folder
        self.count = 0
        self.run("init", "--local")

    def run(self, *args):
        done = subprocess.run([TRESTLE, *args], cwd=self.folder, capture_output=True, text=True, timeout=300)
        return done.returncode, done.stdout + done.stderr

    def takes(self, model, file):
        self.count += 1
        name = f"m{self.count}"
        code, said = self.run("import", "-f", str(file), "-o", name)
        if code == 0:
            code, said = self.run("validate", "-t", model, "-n", name)
        return code == 0, said


class Exports(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def broken(self, change):
        """The full run's assessment results with one thing wrong."""
        file = json.loads((EXPORTS / "full" / f"{AR}.json").read_text())
        broken = copy.deepcopy(file)
        change(broken[AR]["results"][0])
        self.assertNotEqual(file, broken)
        path = self.folder / "broken.json"
        path.write_text(json.dumps(broken))
        return path

    def test_every_run_is_there(self):
        for name in (f"{AP}.json", f"{AR}.json", "junit.xml", "ocsf.json", "asff.json", "vanta.csv", "drata.json"):
            self.assertEqual({f.parent.name for f in exported(name)}, RUNS, name)
        self.assertTrue(exported(f"{POAM}.json"))

    def test_nists_schemas_take_plans_and_results(self):
        for model in (AP, AR):
            code, said = ajv(model, *exported(f"{model}.json"))
            self.assertEqual(code, 0, said)
            self.assertEqual(said.count(": valid"), len(RUNS), said)

    def test_trestle_takes_every_file(self):
        (self.folder / "w").mkdir()
        trestle = Trestle(self.folder / "w")
        for run in ("full", "missed", "stuck", "emulator", "unfinished"):
            for model in (AP, AR, POAM):
                file = EXPORTS / run / f"{model}.json"
                if file.exists():
                    took, said = trestle.takes(model, file)
                    self.assertTrue(took, f"{file}: {said}")

    def test_both_refuse_what_is_broken(self):
        def partly(result):
            result["findings"][0]["target"]["status"]["state"] = "partly"

        def empty(result):
            result["findings"] = []

        (self.folder / "w").mkdir()
        trestle = Trestle(self.folder / "w")
        for change in (partly, empty):
            path = self.broken(change)
            code, said = ajv(AR, path)
            self.assertEqual(code, 1, said)
            took, said = trestle.takes(AR, path)
            self.assertFalse(took, f"{change.__name__}: {said}")

    def test_ajv_refuses_a_time_without_a_zone(self):
        def zoneless(result):
            result["start"] = "2026-01-01T00:00:00"

        code, said = ajv(AR, self.broken(zoneless))
        self.assertEqual(code, 1, said)

    def test_junit_is_well_formed_and_its_numbers_are_true(self):
        for file in exported("junit.xml"):
            suites = list(junitparser.JUnitXml.fromfile(str(file)))
            self.assertEqual(len(suites), 1, file)
            cases = list(suites[0])
            kinds = [type(r).__name__ for case in cases for r in case.result]
            self.assertEqual(suites[0].tests, len(cases), file)
            self.assertEqual(suites[0].failures, kinds.count("Failure"), file)
            self.assertEqual(suites[0].errors, kinds.count("Error"), file)
            self.assertEqual(suites[0].skipped, kinds.count("Skipped"), file)
        broken = exported("junit.xml")[0].read_text().replace("</testsuite>", "")
        with self.assertRaises(xml.etree.ElementTree.ParseError):
            xml.etree.ElementTree.fromstring(broken)

    def test_json_and_csv_are_what_they_say(self):
        for name in ("ocsf.json", "asff.json"):
            for file in exported(name):
                self.assertIsInstance(json.loads(file.read_text()), list, file)
        for file in exported("vanta.csv"):
            rows = list(csv.reader(io.StringIO(file.read_text(), newline="")))
            self.assertEqual({len(row) for row in rows}, {5}, file)
        for file in exported("drata.json"):
            self.assertRegex(json.loads(file.read_text())["filedAt"], r"^\d{4}-\d\d-\d\d$", file)


if __name__ == "__main__":
    unittest.main()
