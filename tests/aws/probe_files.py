"""Probes of S3, of CloudFront, and of what redrill asks Systems Manager and CloudWatch.

In the estate's own bucket, under a prefix of its own. Not for: replication, Object Lock (a lock would keep the bucket).
"""

import time

from account import NOBODY, code_of, until
from ledger import settle

S3, FRONT = "src/sim/s3.rs", "src/sim/cloudfront.rs"
PREFIX = "probe/"


def bucket(account, estate, ledger):
    """Buckets, objects, versions and markers."""
    s3, name = account.client("s3"), estate.bucket

    def code(assumption, source, assumed, call, **given):
        return ledger.code(assumption, source, assumed, code_of(call, **given))

    none = f"{account.name}-none"
    ledger.code("asking for the tags of a bucket without tags", "src/aws/s3.rs", "NoSuchTagSet", estate.untagged)
    code("listing a bucket that does not exist", S3, "NoSuchBucket", s3.list_object_versions, Bucket=none)
    code("asking for the tags of a bucket that does not exist", S3, "NoSuchBucket", s3.get_bucket_tagging, Bucket=none)
    code("HEAD of an object that does not exist", "src/aws/s3.rs", "404", s3.head_object, Bucket=name, Key=PREFIX + "none")
    code("deleting 1,001 objects in one call", S3, "MalformedXML", s3.delete_objects, Bucket=name,
         Delete={"Objects": [{"Key": f"{PREFIX}{n}"} for n in range(1001)]})
    key = PREFIX + "one"
    first = s3.put_object(Bucket=name, Key=key, Body=b"one")["VersionId"]
    gone = s3.delete_objects(Bucket=name, Delete={"Objects": [{"Key": key}]})["Deleted"][0]
    ledger.equal("deleting an object of a versioned bucket lays a marker", S3, True, bool(gone.get("DeleteMarker")))
    found = s3.list_object_versions(Bucket=name, Prefix=key)
    ledger.equal("the marker is in the next listing", S3, True,
                 [m["VersionId"] for m in found.get("DeleteMarkers", []) if m["IsLatest"]] == [gone["DeleteMarkerVersionId"]])
    code("HEAD of an object under a marker", S3, "404", s3.head_object, Bucket=name, Key=key)
    s3.delete_objects(Bucket=name, Delete={"Objects": [{"Key": key, "VersionId": gone["DeleteMarkerVersionId"]}]})
    ledger.equal("removing the marker brings the same version back", S3, first, s3.head_object(Bucket=name, Key=key)["VersionId"])
    tags = [*account.pairs(service="shop", role="assets"), {"Key": "acceptance-late", "Value": "yes"}]
    s3.put_bucket_tagging(Bucket=name, Tagging={"TagSet": tags})
    _, after = until(lambda: any(t["Key"] == "acceptance-late" for t in s3.get_bucket_tagging(Bucket=name)["TagSet"]),
                     300, account.tick)
    ledger.within("a new tag of a bucket is read", "drill `settle`", settle(), after)


def others(account, ledger):
    """What there is without a distribution, a parameter, an alarm."""
    front = account.client("cloudfront")

    def code(assumption, source, assumed, call, **given):
        return ledger.code(assumption, source, assumed, code_of(call, **given))

    none = "E" + NOBODY[:13].upper()
    code("listing the invalidations of a distribution that does not exist", FRONT, "NoSuchDistribution",
         front.list_invalidations, DistributionId=none)
    code("invalidating a distribution that does not exist", FRONT, "NoSuchDistribution", front.create_invalidation,
         DistributionId=none, InvalidationBatch=batch("none", "/a"))
    code("asking for a parameter that does not exist", "src/aws/others.rs", "ParameterNotFound",
         account.client("ssm").get_parameter, Name=f"/{account.name}/none")
    alarms = account.client("cloudwatch").describe_alarms(AlarmNames=[f"{account.name}-none"])
    ledger.equal("asking for an alarm that does not exist gives none", "src/aws/others.rs", [], alarms["MetricAlarms"])


def batch(reference, *paths):
    """An invalidation, as CloudFront takes it."""
    return {"CallerReference": reference, "Paths": {"Quantity": len(paths), "Items": list(paths)}}


def distribution(account, estate, ledger):
    """Invalidations of the estate's distribution, once it is deployed."""
    front, ident, tick = account.client("cloudfront"), estate.distribution, account.tick

    def code(assumption, assumed, call, aws_only=False, **given):
        return ledger.code(assumption, FRONT, assumed, code_of(call, **given), aws_only)

    made = front.create_invalidation(DistributionId=ident, InvalidationBatch=batch(account.id, "/a", "/b"))["Invalidation"]
    statuses = [made["Status"]]

    def completed():
        now = front.get_invalidation(DistributionId=ident, Id=made["Id"])["Invalidation"]["Status"]
        if now != statuses[-1]:
            statuses.append(now)
        return now == "Completed"

    again = front.create_invalidation(DistributionId=ident, InvalidationBatch=batch(account.id, "/b", "/a"))["Invalidation"]
    ledger.equal("the same caller reference with the same paths gives the same invalidation", FRONT, True, again["Id"] == made["Id"])
    code("the same caller reference with other paths", "InvalidationBatchAlreadyExists", front.create_invalidation,
         DistributionId=ident, InvalidationBatch=batch(account.id, "/c"))
    code("a path that does not begin with a slash", "InvalidArgument", front.create_invalidation, aws_only=True,
         DistributionId=ident, InvalidationBatch=batch(account.id + "-bad", "c d"))
    _, after = until(completed, 3600, tick)
    ledger.steps("statuses of an invalidation", FRONT, ["InProgress", "Completed"], statuses)
    ledger.lasts("`InProgress` of an invalidation", "invalidation", after)


def deployed(account, estate, ledger):
    """Waits for the distribution."""
    front = account.client("cloudfront")
    until(lambda: front.get_distribution(Id=estate.distribution)["Distribution"]["Status"] == "Deployed", 3600, account.tick)
    ledger.within("a new distribution is `Deployed`, after at the most", "localstack/emulator/pace.py real distribution",
                  3 * 300, time.monotonic() - estate.began_distribution)
