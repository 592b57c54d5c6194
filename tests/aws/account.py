"""The account under test: clients, names and tags, whether it is AWS itself or an emulator on this machine.

Everything that is made carries the tag `redrill-acceptance` with the run's id, or the run's name where AWS knows no
tags. Not for: deciding whether it may be used (`guards`).
"""

import os
import threading
import time

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

TAG = "redrill-acceptance"
# ids of a valid form that nothing has; `policy.json` allows asking for exactly these
NOBODY = "0fee1dead0fee1dea"
GLOBAL = ("cloudfront",)


class Account:
    """An account and a region, seen by one run."""

    def __init__(self, ident, number, region, world=None):
        self.id, self.number, self.region, self.world = ident, number, region, world
        self.name = f"{TAG}-{ident}"
        self.bucket = f"{self.name}-{number}"
        self._clients, self._lock = {}, threading.Lock()
        # how often something is looked at again, in seconds
        self.tick = 0.1 if world else 2.0

    @property
    def emulated(self):
        """Whether an emulator answers."""
        return self.world is not None

    def client(self, service):
        """The client of a service; reads are tried again by the SDK, at a pace."""
        with self._lock:
            if service not in self._clients:
                self._clients[service] = self._made(service)
            return self._clients[service]

    def _made(self, service):
        config = Config(retries={"mode": "standard", "max_attempts": 6}, ignore_configured_endpoint_urls=True,
                        user_agent_extra=f"{TAG}/{self.id}", max_pool_connections=16)
        given = {}
        if self.emulated:
            # throw-away keys and a loopback address: no settings of the caller have a say
            config = config.merge(Config(proxies={}, s3={"addressing_style": "path"}))
            given = {"endpoint_url": self.world.endpoint, "aws_access_key_id": "acceptance",
                     "aws_secret_access_key": "acceptance"}
        region = "us-east-1" if service in GLOBAL and not self.region.startswith(("cn-", "us-gov-")) else self.region
        return boto3.client(service, region_name=region, config=config, **given)

    def whoami(self):
        """The caller's account and ARN."""
        found = self.client("sts").get_caller_identity()
        return found["Account"], found["Arn"]

    def tags(self, **more):
        """The run's tag and others, as a map."""
        return {TAG: self.id, "env": "staging", **more}

    def pairs(self, **more):
        """The same as most services want it."""
        return [{"Key": k, "Value": v} for k, v in self.tags(**more).items()]

    def specified(self, *kinds, **more):
        """The same as EC2 wants it: on what a call makes, from its first moment."""
        return [{"ResourceType": kind, "Tags": self.pairs(**more)} for kind in kinds]

    def mine(self, **more):
        """Filters of EC2 for what carries the run's tag, and others."""
        return [{"Name": f"tag:{k}", "Values": [v]} for k, v in {TAG: self.id, **more}.items()]

    def environment(self):
        """The environment for redrill itself."""
        if self.emulated:
            return {"PATH": os.environ.get("PATH", ""), "AWS_ACCESS_KEY_ID": "acceptance",
                    "AWS_SECRET_ACCESS_KEY": "acceptance", "AWS_EC2_METADATA_DISABLED": "true", "NO_PROXY": "*",
                    "REDRILL_ENDPOINT_URL": self.world.endpoint, "REDRILL_REGION": self.region}
        kept = {k: v for k, v in os.environ.items() if not k.startswith("REDRILL_")}
        return {**kept, "REDRILL_REGION": self.region, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"}


def code_of(call, **given):
    """The error code of a call; `accepted` where there is none."""
    try:
        call(**given)
    except ClientError as error:
        return error.response["Error"]["Code"]
    return "accepted"


def settled(call, **given):
    """A call that names what was made a moment ago, which EC2 may not find everywhere yet."""
    ends = time.monotonic() + 60
    while True:
        try:
            return call(**given)
        except ClientError as error:
            if not error.response["Error"]["Code"].endswith("NotFound") or time.monotonic() > ends:
                raise
        time.sleep(1)


def every(client, operation, key, **given):
    """All items of a listing, over all its pages."""
    return [item for page in client.get_paginator(operation).paginate(**given) for item in page.get(key) or []]


def until(look, limit, tick):
    """Looks until something true is seen; what was seen, and after how many seconds. Raises `TimeoutError`."""
    began = time.monotonic()
    while True:
        seen, after = look(), time.monotonic() - began
        if seen:
            return seen, after
        if after > limit:
            raise TimeoutError(f"not within {limit:.0f} s")
        time.sleep(tick)
