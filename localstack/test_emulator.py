"""Faults, log, estate, health page and the process itself, over the wire with boto3.

Run all of them with a Python that has the packages of requirements.txt: python -m unittest discover
"""

import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
import unittest
from datetime import datetime, timedelta, timezone
from pathlib import Path

from test_support import HERE, Case, Emulator, poll

from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError


class Faults(Case):
    """Faults at the wire."""

    def rules(self, *rules):
        """Sets rules."""
        status, answer = self.emulator.page("/_redrill/faults", "POST", list(rules))
        self.assertEqual(status, 200, answer)

    def test_throttling_comes_before_the_change_and_passes(self):
        i = self.ids["shop-web-1"]
        self.rules({"service": "ec2", "action": "TerminateInstances", "fault": "throttle", "times": 2})
        for _ in range(2):
            answer = self.refused("RequestLimitExceeded", self.ec2.terminate_instances, InstanceIds=[i])
            self.assertEqual(answer["ResponseMetadata"]["HTTPStatusCode"], 503)
        self.assertEqual(self.state(i), "running")
        self.ec2.terminate_instances(InstanceIds=[i])

    def test_each_service_has_its_own_codes(self):
        calls = {
            "ec2": (self.ec2.describe_instances, "RequestLimitExceeded", "UnauthorizedOperation", "RequestExpired"),
            "rds": (self.rds.describe_db_instances, "Throttling", "AccessDenied", "ExpiredToken"),
            "s3": (self.s3.list_buckets, "SlowDown", "AccessDenied", "ExpiredToken"),
            "cloudfront": (self.cloudfront.list_distributions, "Throttling", "AccessDenied", "ExpiredToken"),
            "cloudwatch": (self.emulator.cbor().describe_alarms, "Throttling", "AccessDenied", "ExpiredToken"),
        }
        for service, (call, *codes) in calls.items():
            for fault, code in zip(("throttle", "deny", "expired"), codes):
                with self.subTest(service=service, fault=fault):
                    self.rules({"service": service, "action": "*", "fault": fault})
                    self.refused(code, call)
                    call()

    def test_server_errors(self):
        for fault, status in (("error500", 500), ("error503", 503)):
            self.rules({"service": "rds", "action": "*", "fault": fault})
            with self.assertRaises(ClientError) as caught:
                self.rds.describe_db_instances()
            self.assertEqual(caught.exception.response["ResponseMetadata"]["HTTPStatusCode"], status)

    def test_skip_lets_calls_through_first(self):
        self.rules({"service": "ec2", "action": "DescribeInstances", "fault": "throttle", "skip": 1})
        self.ec2.describe_instances()
        self.refused("RequestLimitExceeded", self.ec2.describe_instances)
        self.ec2.describe_instances()

    def test_lost_answer_comes_after_the_change(self):
        i = self.ids["shop-web-1"]
        self.rules({"service": "ec2", "action": "TerminateInstances", "fault": "lose_answer"})
        with self.assertRaises(ConnectionClosedError):
            self.ec2.terminate_instances(InstanceIds=[i])
        self.assertIn(self.state(i), ("shutting-down", "terminated"))
        calls = self.emulator.page("/_redrill/calls?mutating=true")[1]
        self.assertEqual([(c["action"], c["fault"], c["status"]) for c in calls],
                         [("TerminateInstances", "lose_answer", 200)])

    def test_reset_comes_before_the_change(self):
        i = self.ids["shop-web-1"]
        self.rules({"service": "ec2", "action": "TerminateInstances", "fault": "reset"})
        with self.assertRaises(ConnectionClosedError):
            self.ec2.terminate_instances(InstanceIds=[i])
        self.assertEqual(self.state(i), "running")

    def test_latency(self):
        self.rules({"service": "s3", "action": "ListBuckets", "fault": "latency", "seconds": 3})
        with self.assertRaises(ReadTimeoutError):
            self.emulator.client("s3", timeout=1).list_buckets()
        self.s3.list_buckets()

    def test_rules_are_checked_and_cleared(self):
        self.assertEqual(self.emulator.page("/_redrill/faults", "POST", [{"fault": "nonsense"}])[0], 400)
        self.assertEqual(self.emulator.page("/_redrill/faults", "POST", [{"fault": "deny", "tims": 1}])[0], 400)
        self.rules({"fault": "deny", "times": None})
        self.refused("UnauthorizedOperation", self.ec2.describe_instances)
        self.assertEqual(self.emulator.page("/_redrill/faults", "DELETE"), (200, []))
        self.ec2.describe_instances()


class Log(Case):
    """The log of calls, request ids and the clock."""

    def test_calls_are_logged_without_values(self):
        self.rds.modify_db_instance(DBInstanceIdentifier="shop-orders", MasterUserPassword="do-not-log-me")
        self.ec2.describe_instances(InstanceIds=[self.ids["shop-web-1"]])
        self.s3.put_object(Bucket="shop-assets-123456789012", Key="a b.txt", Body=b"x")
        self.cloudwatch.describe_alarms()
        calls = self.emulator.page("/_redrill/calls")[1]
        self.assertEqual([(c["service"], c["action"], c["mutating"]) for c in calls], [
            ("rds", "ModifyDBInstance", True), ("ec2", "DescribeInstances", False), ("s3", "PutObject", True),
            ("cloudwatch", "DescribeAlarms", False)])
        self.assertEqual(calls[0]["parameters"], ["DBInstanceIdentifier", "MasterUserPassword"])
        self.assertEqual((calls[0]["resources"], calls[1]["resources"]), (["shop-orders"], [self.ids["shop-web-1"]]))
        self.assertNotIn("do-not-log-me", json.dumps(calls))
        self.assertIn("shop-assets-123456789012/a b.txt", calls[2]["resources"])

    def test_request_ids_are_unique_and_those_of_the_log(self):
        seen = []
        for call in (self.ec2.describe_instances, self.ec2.describe_instances, self.rds.describe_db_instances,
                     self.s3.list_buckets, self.cloudfront.list_distributions, self.cloudwatch.describe_alarms,
                     self.emulator.client("sts").get_caller_identity):
            seen.append(call()["ResponseMetadata"]["RequestId"])
        seen.append(self.refused("InvalidInstanceID.NotFound", self.ec2.describe_instances,
                                 InstanceIds=["i-0123456789abcdef0"])["ResponseMetadata"]["RequestId"])
        self.assertEqual(len(set(seen)), len(seen))
        self.assertEqual([c["request_id"] for c in self.emulator.page("/_redrill/calls")[1]], seen)

    def test_date_header_is_now(self):
        date = self.ec2.describe_instances()["ResponseMetadata"]["HTTPHeaders"]["date"]
        told = datetime.strptime(date, "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=timezone.utc)
        self.assertLess(abs(datetime.now(timezone.utc) - told), timedelta(seconds=5))


class Estate(Case):
    """Seed, snapshot and health service."""

    def test_snapshot_is_stable_and_sees_changes(self):
        before = self.emulator.page("/_redrill/state")[1]
        self.assertEqual(self.emulator.page("/_redrill/state")[1], before)
        bucket = "shop-assets-123456789012"
        gone = self.s3.delete_object(Bucket=bucket, Key="index.html")
        self.assertNotEqual(self.emulator.page("/_redrill/state")[1], before)
        self.s3.delete_object(Bucket=bucket, Key="index.html", VersionId=gone["VersionId"])
        self.assertEqual(self.emulator.page("/_redrill/state")[1], before)

    def test_tagging_api_and_bucket_tags(self):
        self.assertEqual({t["Key"]: t["Value"] for t in self.s3.get_bucket_tagging(
            Bucket="shop-assets-123456789012")["TagSet"]}, {"service": "shop", "role": "assets", "env": "staging"})
        found = self.emulator.client("resourcegroupstaggingapi").get_resources(
            TagFilters=[{"Key": "service", "Values": ["shop"]}])["ResourceTagMappingList"]
        kinds = {r["ResourceARN"].split(":")[2] for r in found}
        self.assertLessEqual({"ec2", "rds", "s3"}, kinds)

    def test_targets_are_registered_and_data_is_kept(self):
        health = self.elbv2.describe_target_health(TargetGroupArn=self.ids["target-group:shop-web"])
        self.assertEqual({t["Target"]["Id"] for t in health["TargetHealthDescriptions"]},
                         {self.ids[f"shop-web-{n}"] for n in (1, 2, 3)})
        data = self.ec2.describe_instance_attribute(InstanceId=self.ids["shop-web-1"], Attribute="userData")
        self.assertTrue(data["UserData"]["Value"].startswith("IyEvYmlu"))

    def test_a_launch_that_names_its_interface_has_its_groups_and_no_public_address(self):
        old = self.ec2.describe_instances(InstanceIds=[self.ids["shop-web-1"]])["Reservations"][0]["Instances"][0]
        groups = [g["GroupId"] for g in old["SecurityGroups"]]
        nic = {"DeviceIndex": 0, "SubnetId": old["SubnetId"], "Groups": groups, "AssociatePublicIpAddress": False,
               "DeleteOnTermination": True}
        new = self.ec2.run_instances(ImageId=old["ImageId"], MinCount=1, MaxCount=1, NetworkInterfaces=[nic])
        new = new["Instances"][0]["InstanceId"]
        now = self.ec2.describe_instances(InstanceIds=[new])["Reservations"][0]["Instances"][0]
        self.assertEqual([g["GroupId"] for g in now["SecurityGroups"]], groups)
        self.assertEqual((now["SubnetId"], now.get("PublicIpAddress")), (old["SubnetId"], None))
        self.assertTrue(groups)

    def test_health_follows_the_estate(self):
        code, body = self.healthy()
        self.assertEqual((code, body["status"], sorted(body["checks"])),
                         (200, "ok", ["catalogue", "database", "network", "web"]))
        self.assertEqual(self.healthy("/nonsense")[0], 404)
        self.ec2.stop_instances(InstanceIds=[self.ids["shop-web-1"]])
        code, body = self.healthy()
        self.assertEqual((code, body["status"], body["checks"]["web"]),
                         (503, "failing", {"ok": False, "detail": "2 of 3 running"}))
        self.assertEqual((self.healthy("/web")[0], self.healthy("/database")[0]), (503, 200))
        self.s3.delete_object(Bucket="shop-assets-123456789012", Key="catalogue/items.json")
        self.assertEqual(self.healthy("/catalogue")[0], 503)

    def test_a_replacement_heals_the_service(self):
        self.ec2.terminate_instances(InstanceIds=[self.ids["shop-web-1"]])
        self.assertEqual(self.healthy("/web")[0], 503)
        tags = [{"Key": k, "Value": v} for k, v in
                {"service": "shop", "role": "web", "redrill:run": "r1"}.items()]
        self.ec2.run_instances(ImageId="ami-1e749f67", MinCount=1, MaxCount=1, SubnetId=self.ids["shop-private-a"],
                               TagSpecifications=[{"ResourceType": "instance", "Tags": tags}])
        self.assertEqual(self.healthy("/web")[0], 503)  # pending
        self.assertTrue(poll(lambda: self.healthy("/web")[0] == 200))

    def test_health_is_not_in_the_log(self):
        self.healthy()
        self.assertEqual(self.emulator.page("/_redrill/calls")[1], [])


class Strangers(Case):
    """What a web page of this machine's browser, or a name that points here, may do: nothing."""

    def sent(self, path, method="POST", body=b"", base=None, **headers):
        """Status and headers of a raw request."""
        port = int((base or self.emulator.endpoint).rsplit(":", 1)[1])
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.putrequest(method, path, skip_host="Host" in headers)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            connection.putheader(name, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        found = answer.status, {k.lower(): v for k, v in answer.getheaders()}
        answer.read()
        connection.close()
        return found

    def form(self, **headers):
        """Terminates a server as a form of a page would."""
        body = f"Action=TerminateInstances&InstanceId.1={self.ids['shop-web-1']}&Version=2016-11-15".encode()
        scope = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/ec2/aws4_request, SignedHeaders=host, Signature=0"
        return self.sent("/", body=body, Content_Type="application/x-www-form-urlencoded", Authorization=scope,
                         **headers)

    def test_a_page_or_a_rebound_name_reaches_nothing(self):
        token = {"X_Redrill_Token": self.emulator.ready["token"]}
        for headers in ({"Origin": "http://evil.example"}, {"Origin": "null"}, {"Host": "evil.example"},
                        {"Origin": self.emulator.endpoint}, {"Host": "127.0.0.1.evil.example"}, {"Host": ""},
                        {"Sec_Fetch_Site": "cross-site"}, {"Sec_Fetch_Site": "same-origin"},
                        {"Referer": "http://evil.example/"}, {"Host": "localhost.evil.example:80"}):
            with self.subTest(headers=headers):
                self.assertEqual(self.form(**headers)[0], 403)
                for path in ("/_redrill/reset-and-seed", "/_redrill/ping", "/moto-api/recorder/upload-recording"):
                    self.assertEqual(self.sent(path, **headers, **token)[0], 403)
                if headers != {"Sec_Fetch_Site": "same-origin"} and "Referer" not in headers:
                    self.assertEqual(self.sent("/health", "GET", base=self.emulator.health, **headers)[0], 403)
        self.assertEqual(self.state(self.ids["shop-web-1"]), "running")
        self.assertEqual(self.form()[0], 200)
        self.assertNotEqual(self.state(self.ids["shop-web-1"]), "running")

    def test_hosts_of_this_machine_are_answered_whatever_the_port(self):
        for host in ("127.0.0.1", "localhost:4566", "LOCALHOST:1"):
            self.assertEqual(self.sent("/health", "GET", base=self.emulator.health, Host=host)[0], 200)
        self.assertEqual(self.sent("/health", "GET", base=self.emulator.health, Sec_Fetch_Site="none")[0], 200)

    def test_control_pages_need_the_token(self):
        for token in ({}, {"X_Redrill_Token": ""}, {"X_Redrill_Token": self.emulator.ready["token"][:-1]}):
            for path in ("ping", "state", "calls", "faults", "policy", "reset-and-seed"):
                self.assertEqual(self.sent(f"/_redrill/{path}", **token)[0], 403, path)
        self.assertGreater(len(self.emulator.ready["token"]), 40)

    def test_motos_recorder_is_closed_to_its_own_client_too(self):
        for path in ("/moto-api/recorder/start-recording", "/moto-api/reset", "//moto-api/", "/x/../moto-api/data.json"):
            self.assertEqual(self.sent(path)[0], 403, path)
        self.assertFalse(os.path.exists("moto_recording"))

    def test_no_answer_invites_other_origins(self):
        headers = self.form()[1]
        self.assertFalse([k for k in headers if k.startswith("access-control-")], headers)

    def test_s3_by_path_as_the_sdk_asks(self):
        self.s3.put_object(Bucket="shop-assets-123456789012", Key="moto-api.txt", Body=b"x")
        found = self.s3.get_object(Bucket="shop-assets-123456789012", Key="moto-api.txt")["Body"].read()
        self.assertEqual(found, b"x")


class Process(unittest.TestCase):
    """Starting and ending."""

    def test_ends_with_its_standard_input(self):
        emulator = Emulator("--exit-with-stdin")
        emulator.process.stdin.close()
        self.assertEqual(emulator.process.wait(10), 0)
        emulator.process.stdout.close()

    def test_ends_on_sigterm(self):
        emulator = Emulator()
        emulator.process.send_signal(signal.SIGTERM)
        self.assertEqual(emulator.process.wait(10), 0)
        emulator.stop()

    def test_ends_with_its_record(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "sandbox.json")
            emulator = Emulator("--record", str(path))
            found = json.loads(path.read_text())
            self.assertEqual({k: found[k] for k in ("pid", "endpoint", "health", "token")},
                             {k: emulator.ready[k] for k in ("pid", "endpoint", "health", "token")})
            self.assertEqual(path.stat().st_mode & 0o777, 0o600)
            self.assertEqual(os.listdir(folder), ["sandbox.json"])
            path.write_text(json.dumps({**found, "pid": 1}))
            self.assertEqual(emulator.process.wait(10), 0)
            emulator.stop()

    def test_ends_when_idle(self):
        emulator = Emulator("--idle-exit", "1")
        self.assertEqual(emulator.process.wait(10), 0)
        emulator.stop()

    def test_other_hosts_are_refused(self):
        command = [sys.executable, str(HERE / "redrill_emulator.py"), "--host", "0.0.0.0"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
        self.assertEqual(done.returncode, 2)
        self.assertIn("127.0.0.1 only", done.stderr)

    def test_plain_is_unmodified_moto(self):
        plain = Emulator("--plain", "--exit-with-stdin", "--seed", str(HERE / "estate.json"))
        try:
            found = plain.page("/_redrill/state")[1]["instances"]
            i = next(i["id"] for i in found if i["tags"]["Name"] == "shop-web-1")
            ec2 = plain.client("ec2")
            ec2.stop_instances(InstanceIds=[i])
            found = ec2.describe_instances(InstanceIds=[i])["Reservations"][0]["Instances"][0]
            self.assertEqual(found["State"]["Name"], "stopped")
            self.assertEqual(plain.page("/health", base=plain.health)[0], 503)
        finally:
            plain.stop()

    def test_no_pace_is_instant_and_the_log_is_a_file_too(self):
        with tempfile.TemporaryDirectory() as folder:
            log = Path(folder, "calls.jsonl")
            instant = Emulator("--pace", "none", "--exit-with-stdin", "--seed", str(HERE / "estate.json"), "--log", str(log))
            try:
                rds = instant.client("rds")
                rds.delete_db_instance(DBInstanceIdentifier="batch-scratch", SkipFinalSnapshot=True)
                names = {d["DBInstanceIdentifier"] for d in rds.describe_db_instances()["DBInstances"]}
                self.assertEqual(names, {"shop-orders", "shop-orders-replica"})
                lines = [json.loads(line) for line in log.read_text().splitlines()]
                self.assertEqual([line["action"] for line in lines], ["DeleteDBInstance", "DescribeDBInstances"])
            finally:
                instant.stop()


if __name__ == "__main__":
    unittest.main()
