"""Probes of route tables, associations and target groups: error codes, and what shows when.

On tables of its own; the subnets stay where they are. Not for: routes that turn into black holes (a VPC has one
internet gateway, and an address in use holds it).
"""

import secrets

from account import NOBODY, code_of, until
from ledger import settle

SIM, EMULATOR = "src/sim/vpc.rs", "localstack/emulator/ec2.py"


def probe(account, estate, ledger):
    """All of them."""
    ec2, tick = account.client("ec2"), account.tick

    def code(assumption, source, assumed, call, aws_only=False, **given):
        return ledger.code(assumption, source, assumed, code_of(call, **given), aws_only)

    make = {"VpcId": estate.vpc, "ClientToken": secrets.token_hex(16),
            "TagSpecifications": account.specified("route-table", role="probe")}
    table = ec2.create_route_table(**make)["RouteTable"]["RouteTableId"]
    _, after = until(lambda: code_of(ec2.describe_route_tables, RouteTableIds=[table]) == "accepted", 300, tick)
    ledger.within("a new route table is found by its id", "src/sim/pace.rs consistency, drill `settle`", settle(), after)
    again = ec2.create_route_table(**make)["RouteTable"]["RouteTableId"]
    ledger.equal("making a route table again with the same token gives the same one", EMULATOR, True, again == table)
    code("a second route table for a subnet", SIM, "Resource.AlreadyAssociated", ec2.associate_route_table,
         RouteTableId=table, SubnetId=estate.subnets[0])
    code("associating a route table that does not exist", SIM, "InvalidRouteTableID.NotFound", ec2.associate_route_table,
         RouteTableId=f"rtb-{NOBODY}", SubnetId=estate.subnets[0])
    code("associating a subnet that does not exist", SIM, "InvalidSubnetID.NotFound", ec2.associate_route_table,
         aws_only=True, RouteTableId=table, SubnetId=f"subnet-{NOBODY}")
    code("deleting a route table in use", SIM, "DependencyViolation", ec2.delete_route_table, RouteTableId=estate.table)
    code("disassociating what does not exist", SIM, "InvalidAssociationID.NotFound", ec2.disassociate_route_table,
         AssociationId=f"rtbassoc-{NOBODY}")
    code("describing a route table that does not exist", SIM, "InvalidRouteTableID.NotFound", ec2.describe_route_tables,
         RouteTableIds=[f"rtb-{NOBODY}"])

    def associations(ident):
        return ec2.describe_route_tables(RouteTableIds=[ident])["RouteTables"][0]["Associations"]

    main = next(a["RouteTableAssociationId"] for a in associations(estate.main_table) if a.get("Main"))
    code("disassociating the main route table", SIM, "InvalidParameterValue", ec2.disassociate_route_table, AssociationId=main)
    code("deleting the local route", EMULATOR, "InvalidParameterValue", ec2.delete_route, RouteTableId=table,
         DestinationCidrBlock="10.97.0.0/16")
    before = {a["SubnetId"]: a["RouteTableAssociationId"] for a in associations(estate.table) if a.get("SubnetId")}
    subnet = estate.subnets[0]
    code("replacing an association, as a dry run", EMULATOR, "DryRunOperation", ec2.replace_route_table_association,
         AssociationId=before[subnet], RouteTableId=table, DryRun=True)
    moved = ec2.replace_route_table_association(AssociationId=before[subnet], RouteTableId=table)["NewAssociationId"]
    ledger.equal("replacing an association gives it a new id", SIM, True, moved != before[subnet])
    _, after = until(lambda: any(a.get("SubnetId") == subnet for a in associations(table)), 300, tick)
    ledger.within("a moved subnet is seen on its new route table", "drill `settle`", settle(), after)
    code("deleting a route table that a subnet is on", SIM, "DependencyViolation", ec2.delete_route_table, RouteTableId=table)
    ec2.replace_route_table_association(AssociationId=moved, RouteTableId=estate.table)
    until(lambda: any(a.get("SubnetId") == subnet for a in associations(estate.table)), 300, tick)
    until(lambda: not associations(table), 300, tick)
    code("deleting a route table that nothing is on", SIM, "accepted", ec2.delete_route_table, RouteTableId=table)

    elb = account.client("elbv2")
    arn = estate.target_group.replace(estate.target_group.rsplit("/", 1)[1], NOBODY[:16])
    code("asking about a target group that does not exist", "src/sim/scaling.rs", "TargetGroupNotFound",
         elb.describe_target_health, TargetGroupArn=arn)
