"""Faults that are more than an error code: clocks that are off, parts of a batch, what is not yet to be seen."""

import time
import unittest
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime

from test_support import Case

from botocore.exceptions import ReadTimeoutError


class Faults(Case):
    """Over the wire, with boto3."""

    def rules(self, *rules):
        """Sets rules."""
        status, answer = self.emulator.page("/_redrill/faults", "POST", list(rules))
        self.assertEqual(status, 200, answer)

    def launch(self, **more):
        """A new server with a tag."""
        tags = [{"ResourceType": "instance", "Tags": [{"Key": "new", "Value": "yes"}]}]
        return self.ec2.run_instances(ImageId="ami-12c6146b", MinCount=1, MaxCount=1, TagSpecifications=tags, **more)[
            "Instances"][0]["InstanceId"]

    def listed(self, **asked):
        """The ids that a listing shows."""
        return [i["InstanceId"] for r in self.ec2.describe_instances(**asked)["Reservations"] for i in r["Instances"]]

    def test_a_clock_that_is_off(self):
        sts = self.emulator.client("sts")
        calls = {
            "s3": (self.s3.list_buckets, {20 * 60: "RequestTimeTooSkewed", -20 * 60: "RequestTimeTooSkewed"}),
            "ec2": (self.ec2.describe_instances, {6 * 60: "AuthFailure", 20 * 60: "RequestExpired"}),
            "sts": (sts.get_caller_identity, {6 * 60: "SignatureDoesNotMatch", -6 * 60: "SignatureDoesNotMatch"}),
            "ssm": (self.emulator.client("ssm").describe_parameters, {6 * 60: "InvalidSignatureException"}),
            "cloudwatch": (self.emulator.cbor().describe_alarms, {6 * 60: "InvalidSignatureException"}),
        }
        for service, (call, cases) in calls.items():
            for seconds, code in cases.items():
                with self.subTest(service=service, seconds=seconds):
                    self.rules({"service": service, "fault": "skewed", "seconds": seconds})
                    refused = self.refused(code, call)
                    date = parsedate_to_datetime(refused["ResponseMetadata"]["HTTPHeaders"]["date"]).replace(tzinfo=timezone.utc)
                    off = date - datetime.now(timezone.utc)
                    self.assertLess(abs(off - timedelta(seconds=seconds)), timedelta(seconds=30))
                    call()
        # within what is allowed only the date is another
        self.rules({"service": "s3", "fault": "skewed", "seconds": 6 * 60})
        date = parsedate_to_datetime(self.s3.list_buckets()["ResponseMetadata"]["HTTPHeaders"]["date"])
        date = date.replace(tzinfo=timezone.utc)
        self.assertGreater(date - datetime.now(timezone.utc), timedelta(minutes=5))
        self.assertEqual(self.emulator.page("/_redrill/calls")[1][-1]["fault"], None)

    def test_a_part_of_a_batch_fails_with_status_200(self):
        bucket = "shop-assets-123456789012"
        for n in range(3):
            self.s3.put_object(Bucket=bucket, Key=f"part/{n}&", Body=b"x")
        self.rules({"service": "s3", "action": "DeleteObjects", "fault": "partial"})
        answer = self.s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": f"part/{n}&"} for n in range(3)]})
        self.assertEqual([d["Key"] for d in answer["Deleted"]], ["part/0&", "part/2&"])
        self.assertEqual([(e["Key"], e["Code"]) for e in answer["Errors"]], [("part/1&", "InternalError")])
        left = self.s3.list_objects_v2(Bucket=bucket, Prefix="part/")["Contents"]
        self.assertEqual([o["Key"] for o in left], ["part/1&"])

    def test_what_is_made_is_not_found_for_a_while(self):
        before = self.listed()
        self.rules({"action": "RunInstances", "fault": "unseen", "reads": 3})
        i = self.launch()
        self.refused("InvalidInstanceID.NotFound", self.ec2.describe_instances, InstanceIds=[i])
        self.refused("InvalidInstanceID.NotFound", self.ec2.stop_instances, InstanceIds=[i])
        self.assertEqual(self.listed(), before)
        self.assertEqual(self.listed(), [*before, i], "and then it is there")
        self.rules({"action": "RestoreDBInstanceToPointInTime", "fault": "unseen", "reads": 2})
        self.rds.restore_db_instance_to_point_in_time(
            SourceDBInstanceIdentifier="shop-orders", TargetDBInstanceIdentifier="copy", UseLatestRestorableTime=True)
        self.refused("DBInstanceNotFound", self.rds.describe_db_instances, DBInstanceIdentifier="copy")
        names = [d["DBInstanceIdentifier"] for d in self.rds.describe_db_instances()["DBInstances"]]
        self.assertNotIn("copy", names)
        self.rds.describe_db_instances(DBInstanceIdentifier="copy")
        self.rules({"action": "RestoreDBInstanceToPointInTime", "fault": "unseen"})
        again = {"SourceDBInstanceIdentifier": "shop-orders", "TargetDBInstanceIdentifier": "third", "UseLatestRestorableTime": True}
        self.rds.restore_db_instance_to_point_in_time(**again)
        self.refused("DBInstanceAlreadyExists", self.rds.restore_db_instance_to_point_in_time, **again)

    def test_tags_are_not_seen_for_a_while(self):
        mine = [{"Name": "tag:new", "Values": ["yes"]}]
        self.rules({"action": "RunInstances", "fault": "untagged", "reads": 2})
        i = self.launch()
        self.assertEqual(self.listed(Filters=mine), [])
        shown = self.ec2.describe_instances(InstanceIds=[i])["Reservations"][0]["Instances"][0]
        self.assertEqual(shown.get("Tags", []), [])
        self.assertEqual(self.listed(Filters=mine), [i])

    def test_one_look_finds_nothing(self):
        before, i = self.listed(), self.ids["shop-web-1"]
        self.rules({"action": "DescribeInstances", "fault": "absent", "times": 2})
        self.refused("InvalidInstanceID.NotFound", self.ec2.describe_instances, InstanceIds=[i])
        self.assertEqual(self.listed(), [])
        self.assertEqual(self.listed(), before)
        self.rules({"action": "DescribeDBInstances", "fault": "absent"})
        self.refused("DBInstanceNotFound", self.rds.describe_db_instances, DBInstanceIdentifier="shop-orders")
        self.rds.describe_db_instances(DBInstanceIdentifier="shop-orders")

    def test_one_look_is_behind(self):
        mine = [{"Name": "tag:stale", "Values": ["yes"]}]
        self.assertEqual(self.listed(Filters=mine), [])
        self.ec2.create_tags(Resources=[self.ids["shop-web-1"]], Tags=[{"Key": "stale", "Value": "yes"}])
        self.rules({"action": "DescribeInstances", "fault": "stale"})
        self.assertEqual(self.listed(Filters=mine), [])
        self.assertEqual(self.listed(Filters=mine), [self.ids["shop-web-1"]])

    def test_somebody_protects_an_instance_in_the_last_moment(self):
        first, second = self.ids["shop-web-1"], self.ids["shop-web-3"]
        self.rules({"action": "TerminateInstances", "fault": "protected"})
        self.refused("OperationNotPermitted", self.ec2.terminate_instances, InstanceIds=[first, second])
        self.assertEqual((self.state(first), self.state(second)), ("running", "running"), "one zone, as a whole")
        self.ec2.terminate_instances(InstanceIds=[second])

    def test_an_answer_too_late_comes_after_the_change(self):
        i = self.ids["shop-web-1"]
        self.rules({"action": "StopInstances", "fault": "slow_answer", "seconds": 3})
        with self.assertRaises(ReadTimeoutError):
            self.emulator.client("ec2", timeout=1).stop_instances(InstanceIds=[i])
        self.assertIn(self.state(i), ("stopping", "stopped"))

    def test_a_rule_for_one_key_and_for_a_time(self):
        self.rules({"action": "DescribeInstances", "fault": "throttle", "times": None, "lasts": 1})
        self.refused("RequestLimitExceeded", self.ec2.describe_instances)
        end = time.monotonic() + 20
        while time.monotonic() < end:
            try:
                self.ec2.describe_instances()
                break
            except self.ec2.exceptions.ClientError:
                time.sleep(0.1)
        self.ec2.describe_instances()
        self.rules({"access_key": "another", "fault": "expired", "times": None})
        self.ec2.describe_instances()
        self.rules({"access_key": "test", "fault": "expired", "times": None})
        self.refused("RequestExpired", self.ec2.describe_instances)


if __name__ == "__main__":
    unittest.main()
