"""`policy.json` as data: what it allows, and what calls it lacks; and which kinds of things `taking` lists. Pure.

Actions only: that the conditions let the run's own things through is for IAM to say. Not for: deciding a call.
"""

import fnmatch
import json
import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
POLICY = HERE / "policy.json"
KINDS = re.compile(r":(instance|volume|network-interface|vpc|subnet|route-table|internet-gateway|security-group|elastic-ip|"
                   r"targetgroup|distribution)/|:(db|subgrp|snapshot|auto-backup):|:s3:::")


def policy(account="ACCOUNT", region="REGION"):
    """The document for one account and region."""
    text = POLICY.read_text().replace("ACCOUNT", account).replace("REGION", region)
    return json.loads(text)


def allowed():
    """Every action that some statement allows."""
    return {a for s in policy()["Statement"] for a in ([s["Action"]] if isinstance(s["Action"], str) else s["Action"])}


def lacking(calls):
    """The actions of calls of the emulator's log that no statement allows."""
    sys.path.append(str(HERE.parents[1] / "localstack"))
    from emulator.policy import NAMES, SERVICES

    wanted = set()
    for call in calls:
        name = f"{SERVICES.get(call['service'], call['service'])}:{call['action']}"
        wanted |= set(OTHERWISE.get(name, NAMES.get(name, [name])))
    have = allowed() | {"sts:GetCallerIdentity"}
    # IAM compares the names of actions without their case
    return sorted(a for a in wanted - ASKED_ONLY if not any(fnmatch.fnmatchcase(a.lower(), h.lower()) for h in have))


# what redrill asks before a drill and goes on without
ASKED_ONLY = {"iam:SimulatePrincipalPolicy", "iam:GetRole"}
# IAM's names, where the emulator's own list has none
OTHERWISE = {
    "s3:DeleteObjects": ["s3:DeleteObject", "s3:DeleteObjectVersion"],
    "cloudfront:CreateDistributionWithTags": ["cloudfront:CreateDistribution", "cloudfront:TagResource"],
    "cloudfront:GetDistributionConfig": ["cloudfront:GetDistributionConfig"],
    "tagging:GetResources": ["tag:GetResources"],
    "resourcegroupstaggingapi:GetResources": ["tag:GetResources"],
}


def listed(arn):
    """Whether things of this kind are looked for by `taking` in their own service."""
    return bool(KINDS.search(arn))
