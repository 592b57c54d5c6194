"""What the emulator's tests share: a running emulator, its clients, and patience."""

import json
import os
import subprocess
import sys
import time
import unittest
import urllib.error
import urllib.request
from pathlib import Path
from unittest import mock

sys.dont_write_bytecode = True
for _name in [n for n in os.environ if n.startswith("AWS_")]:
    del os.environ[_name]

import boto3  # noqa: E402
from botocore.config import Config  # noqa: E402
from botocore.exceptions import ClientError  # noqa: E402

HERE = Path(__file__).resolve().parent
# long enough to be seen on a busy machine, short enough to wait for
DELAYS = ("pending=1.5,stopping=1.5,shutting-down=1.5,create=1,restore=3,backing-up=2,modify=1.5,reboot=1.5,"
          "failover=2,delete=2,invalidation=2,distribution=1")


class Emulator:
    """A running emulator and its clients."""

    def __init__(self, *options, stdin=subprocess.PIPE):
        command = [sys.executable, str(HERE / "redrill_emulator.py"), *options]
        self.process = subprocess.Popen(command, stdin=stdin, stdout=subprocess.PIPE, text=True)
        self.ready = json.loads(self.process.stdout.readline())
        self.endpoint, self.health = self.ready["endpoint"], self.ready["health"]
        self.clients = {}

    def client(self, service, **options):
        """A boto3 client that never retries."""
        key = (service, *sorted(options.items()))
        if key not in self.clients:
            config = Config(retries={"total_max_attempts": 1}, read_timeout=options.get("timeout", 20),
                            s3={"addressing_style": "path"})
            self.clients[key] = boto3.client(
                service, endpoint_url=self.endpoint, region_name=options.get("region", "us-east-1"), aws_access_key_id="test",
                aws_secret_access_key="test", config=config,
            )
        return self.clients[key]

    def cbor(self):
        """A CloudWatch client that speaks Smithy RPC v2 CBOR, as the Rust SDK does; boto3 would choose JSON."""
        with mock.patch("botocore.model.PRIORITY_ORDERED_SUPPORTED_PROTOCOLS", ("smithy-rpc-v2-cbor",)):
            client = self.client("cloudwatch", cbor=True)
            assert client.meta.service_model.resolved_protocol == "smithy-rpc-v2-cbor"  # decided here, and kept
        return client

    def page(self, path, method="GET", data=None, base=None, headers=None):
        """(status, JSON) of a control or health page."""
        body = None if data is None else json.dumps(data).encode()
        token = {} if base else {"X-Redrill-Token": self.ready["token"]}
        request = urllib.request.Request((base or self.endpoint) + path, data=body, method=method,
                                         headers={**token, **(headers or {})})
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    def stop(self):
        """Ends the process and waits for it."""
        self.process.terminate()
        self.process.wait(20)
        self.process.stdout.close()
        if self.process.stdin:
            self.process.stdin.close()


def poll(what, seconds=30.0):
    """Asks until the answer is true; returns it."""
    end = time.monotonic() + seconds
    while True:
        answer = what()
        if answer or time.monotonic() > end:
            return answer
        time.sleep(0.05)


class Case(unittest.TestCase):
    """One emulator for the class, seeded afresh for each test."""

    options = ("--seed", str(HERE / "estate.json"), "--delays", DELAYS, "--exit-with-stdin")

    @classmethod
    def setUpClass(cls):
        cls.emulator = Emulator(*cls.options)

    @classmethod
    def tearDownClass(cls):
        cls.emulator.stop()

    def setUp(self):
        status, answer = self.emulator.page("/_redrill/reset-and-seed", "POST")
        self.assertEqual(status, 200, answer)
        self.ids = answer["seeded"]
        for service in ("ec2", "rds", "s3", "cloudfront", "cloudwatch", "elbv2", "autoscaling"):
            setattr(self, service, self.emulator.client(service))

    def refused(self, code, call, **parameters):
        """The call fails with this code."""
        with self.assertRaises(ClientError) as caught:
            call(**parameters)
        self.assertEqual(caught.exception.response["Error"]["Code"], code, caught.exception)
        return caught.exception.response

    def instance(self, i):
        """One instance as DescribeInstances shows it."""
        return self.ec2.describe_instances(InstanceIds=[i])["Reservations"][0]["Instances"][0]

    def state(self, i):
        """Its state."""
        return self.instance(i)["State"]["Name"]

    def database(self, identifier):
        """One database; None where it is gone."""
        try:
            return self.rds.describe_db_instances(DBInstanceIdentifier=identifier)["DBInstances"][0]
        except ClientError as error:
            self.assertEqual(error.response["Error"]["Code"], "DBInstanceNotFound")
            return None

    def status(self, identifier):
        """Its status; None where it is gone."""
        found = self.database(identifier)
        return found and found["DBInstanceStatus"]

    def healthy(self, check=""):
        """(status, JSON) of the health service."""
        return self.emulator.page("/health" + check, base=self.emulator.health)

    def tables(self):
        """Subnet → association, for the private subnets."""
        found = self.ec2.describe_route_tables(RouteTableIds=[self.ids["table:shop-private"]])["RouteTables"][0]
        return {a["SubnetId"]: a["RouteTableAssociationId"] for a in found["Associations"]}
