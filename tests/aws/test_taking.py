"""Taking away, on an emulator: all of one run and nothing else; what cannot be taken is said with the command."""

import os
import signal
import subprocess
import sys
import unittest
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path

sys.dont_write_bytecode = True
HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "soak")]

from account import Account  # noqa: E402
from botocore.exceptions import ClientError  # noqa: E402
from estate import Emulator, differences  # noqa: E402
from making import Estate  # noqa: E402
from taking import Taking  # noqa: E402

loader = SourceFileLoader("acceptance", str(HERE / "run"))
acceptance = module_from_spec(spec_from_loader("acceptance", loader))
loader.exec_module(acceptance)


def quiet(_):
    """Says nothing."""


class OfTwoRuns(unittest.TestCase):
    """Two runs in one account, beside what others have there."""

    @classmethod
    def setUpClass(cls):
        cls.world = Emulator(sys.executable)
        cls.addClassCleanup(cls.world.close)
        cls.before = cls.world.state()
        # the id of the second begins with that of the first
        cls.one, cls.other = (Account(i, "123456789012", "us-east-1", cls.world) for i in ("3f9c2a", "3f9c2ab1"))
        cls.estates = []
        for account in (cls.one, cls.other):
            e = Estate(account, quiet)
            e.choose()
            e.network()
            e.begin_database()
            e.storage()
            e.begin_distribution()
            e.servers_and_more()
            account.client("ec2").get_waiter("instance_running").wait(InstanceIds=e.servers, WaiterConfig={"Delay": 1})
            cls.estates.append(e)

    def setUp(self):
        self.said = []
        acceptance.say, saying = self.said.append, acceptance.say
        self.addCleanup(setattr, acceptance, "say", saying)

    def test_a_run_is_taken_away_and_nothing_else(self):
        ec2, rds = self.one.client("ec2"), self.one.client("rds")
        # the hard cases: protected, in use, versions and markers, what only a drill would have made
        ec2.modify_instance_attribute(InstanceId=self.estates[0].servers[0], DisableApiTermination={"Value": True})
        ec2.associate_address(AllocationId=self.estates[0].address, InstanceId=self.estates[0].servers[1])
        ec2.create_route_table(VpcId=self.estates[0].vpc)
        self.one.client("s3").delete_object(Bucket=self.one.bucket, Key="index.html")
        rds.get_waiter("db_instance_available").wait(DBInstanceIdentifier=self.one.name, WaiterConfig={"Delay": 1})
        rds.modify_db_instance(DBInstanceIdentifier=self.one.name, DeletionProtection=True)
        both = self.world.state()
        taking = Taking(self.one, quiet)

        self.assertFalse(acceptance.proven(taking, *taking.found()))
        self.assertTrue(any(f"aws ec2 delete-vpc --vpc-id {self.estates[0].vpc} --region us-east-1" in line
                            for line in self.said), self.said)
        self.assertTrue(acceptance.proven(taking, *taking.all(90)), self.said)

        # a look that fails is no proof, also where all others find nothing
        def volumes():
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "DescribeVolumes")

        listing, taking.volumes = taking.volumes, volumes
        things, failed = taking.found()
        self.assertEqual((things, acceptance.proven(taking, things, failed)), ([], False))
        self.assertTrue(any("volumes could not be listed" in line for line in self.said), self.said)
        taking.volumes = listing

        left = [f"{t}" for t in Taking(self.other, quiet).found()[0]]
        self.assertEqual(len(left), 14, left)
        # of the other run and of the shop everything is as it was
        mine = {*self.estates[0].servers, self.estates[0].database, self.estates[0].bucket, *self.estates[0].subnets,
                self.estates[0].distribution, self.one.name}
        for line in differences(both, self.world.state(), set(), set()):
            self.assertTrue(any(m in line for m in mine) or "rtb-" in line or "run_made" in line, line)
        self.assertTrue(acceptance.proven(Taking(self.other, quiet), *Taking(self.other, quiet).all(90)), self.said)
        self.assertEqual(differences(self.before, self.world.state(), set(), set()), [])


class Interrupted(unittest.TestCase):
    """Ctrl-C in the middle."""

    def test_everything_is_taken_away(self):
        process = subprocess.Popen([HERE / "run", "--emulator", "--binary", "/bin/false"], stdout=subprocess.PIPE, text=True,
                                   stderr=subprocess.STDOUT, start_new_session=True,
                                   # a shell starts what it puts in the background deaf to it
                                   preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
                                   env={k: v for k, v in os.environ.items() if k != acceptance.INSIDE})
        self.addCleanup(process.stdout.close)
        lines = []
        for line in process.stdout:
            lines.append(line)
            if "made instance" in line and sum("made instance" in seen for seen in lines) == 1:
                process.send_signal(signal.SIGINT)
        text = "".join(lines)
        self.assertEqual(process.wait(timeout=60), 130, text)
        self.assertIn("interrupted: everything is taken away now", text)
        self.assertIn("nothing is left", text)
        self.assertRegex(text, r"as assumed: what others have in the account is as before: none")


if __name__ == "__main__":
    unittest.main()
