"""An IAM policy in force: actions, resources, tags, and what a request sets."""

import json
import unittest

from test_support import HERE, ClientError, Emulator


# a run of the drill whose policy is in force, as its tag has it
RUN = "20260921T141320Z-route-table-detach-mdaaaa"


class Policy(unittest.TestCase):
    """The shipped drills' own policies, and what they must not allow."""

    @classmethod
    def setUpClass(cls):
        cls.emulator = Emulator("--pace", "none", "--seed", str(HERE / "estate.json"))

    @classmethod
    def tearDownClass(cls):
        cls.emulator.process.kill()
        cls.emulator.process.wait()

    def allow(self, drill):
        """Puts the drill's policy in force."""
        document = json.loads((HERE.parent / "drills" / "iam" / f"{drill}.json").read_text(encoding="utf-8"))
        self.assertEqual(self.emulator.page("/_redrill/policy", "POST", document)[0], 200)

    def denied(self, call, **parameters):
        """The call is refused for want of a permission."""
        with self.assertRaises(ClientError) as caught:
            call(**parameters)
        self.assertIn(caught.exception.response["Error"]["Code"], ("UnauthorizedOperation", "AccessDenied"))

    def test_targets_by_tag_and_what_is_made_by_the_runs(self):
        """Subnets of the selector only, redrill's tags only, and only tables with the run's tag."""
        self.allow("route-table-detach")
        ec2 = self.emulator.client("ec2")
        subnets = {t["Value"]: s for s in ec2.describe_subnets()["Subnets"] for t in s["Tags"] if t["Key"] == "tier"}
        private, public = subnets["private"], subnets["public"]
        held = [{"Key": "redrill:held", "Value": "x"}]
        ec2.create_tags(Resources=[private["SubnetId"]], Tags=held)
        self.denied(ec2.create_tags, Resources=[public["SubnetId"]], Tags=held)
        self.denied(ec2.create_tags, Resources=[private["SubnetId"]], Tags=[{"Key": "env", "Value": "x"}])
        self.denied(ec2.create_route_table, VpcId=private["VpcId"])
        def made(run):
            return [{"ResourceType": "route-table", "Tags": [{"Key": "redrill:run", "Value": run}]}]
        self.denied(ec2.create_route_table, VpcId=private["VpcId"], TagSpecifications=made("r"))
        table = ec2.create_route_table(VpcId=private["VpcId"], TagSpecifications=made(RUN))["RouteTable"]["RouteTableId"]
        on = {a.get("SubnetId"): a for t in ec2.describe_route_tables()["RouteTables"] for a in t["Associations"]}
        self.denied(ec2.replace_route_table_association,
                    AssociationId=on[public["SubnetId"]]["RouteTableAssociationId"], RouteTableId=table)
        self.denied(ec2.delete_route_table, RouteTableId=on[public["SubnetId"]]["RouteTableId"])
        ec2.delete_route_table(RouteTableId=table)
        self.denied(ec2.terminate_instances, InstanceIds=["i-00000000"])

    def test_a_policy_in_force_is_what_is_simulated(self):
        """Each action on each resource, in the context given; without a policy moto answers, which cannot."""
        self.allow("route-table-detach")
        page = json.loads((HERE.parent / "drills" / "iam" / "route-table-detach.json").read_text(encoding="utf-8"))
        page["Statement"].append({"Effect": "Allow", "Action": "iam:SimulatePrincipalPolicy", "Resource": "*"})
        iam = self.emulator.client("iam")
        table = "arn:aws:ec2:us-east-1:123456789012:route-table/new"
        asked = {
            "PolicySourceArn": "arn:aws:iam::123456789012:user/moto", "ResourceArns": [table],
            "ActionNames": ["ec2:CreateRouteTable", "ec2:RunInstances"],
            "ContextEntries": [{"ContextKeyName": "aws:RequestTag/redrill:run", "ContextKeyType": "string",
                                "ContextKeyValues": [RUN]}],
        }
        self.denied(iam.simulate_principal_policy, **asked)
        self.assertEqual(self.emulator.page("/_redrill/policy", "POST", page)[0], 200)
        decided = {r["EvalActionName"]: r["EvalDecision"] for r in iam.simulate_principal_policy(**asked)["EvaluationResults"]}
        self.assertEqual(decided, {"ec2:CreateRouteTable": "allowed", "ec2:RunInstances": "implicitDeny"})
        del asked["ContextEntries"]
        bare = iam.simulate_principal_policy(**asked)["EvaluationResults"]
        self.assertEqual([r["EvalDecision"] for r in bare], ["implicitDeny", "implicitDeny"])

    def test_the_case_of_an_actions_name_decides_nothing(self):
        """The API's GetBucketAbac is IAM's s3:GetBucketABAC."""
        self.allow("s3-object-loss")
        buckets = [b["Name"] for b in self.emulator.client("s3").list_buckets()["Buckets"]]
        self.emulator.client("s3").get_bucket_abac(Bucket=buckets[0])
        self.denied(self.emulator.client("s3").get_bucket_acl, Bucket=buckets[0])

    def test_nothing_in_force_lets_everything_through(self):
        """Without a policy, as before."""
        self.emulator.page("/_redrill/policy", "DELETE")
        subnet = self.emulator.client("ec2").describe_subnets()["Subnets"][0]["SubnetId"]
        self.emulator.client("ec2").create_tags(Resources=[subnet], Tags=[{"Key": "x", "Value": "y"}])


if __name__ == "__main__":
    unittest.main()
