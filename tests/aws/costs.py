"""What a run makes and what that costs, said before anything is made. Pure.

List prices of us-east-1, in USD, without a free tier; other regions differ, and so do contracts. Not for: bills.
"""

MONTH = 730  # hours, as AWS counts a month

# what, how many, hours each, USD an hour of one
LINES = (
    ("EC2 instance, smallest type (t4g.nano, else t3.nano)", 2, 2.0, 0.0052),
    ("  its volume, 8 GiB gp3", 2, 2.0, 8 * 0.08 / MONTH),
    ("EC2 instances that probes launch and end, with volumes", 4, 0.5, 0.0052 + 8 * 0.08 / MONTH),
    ("Elastic IP address", 1, 2.0, 0.005),
    ("public IPv4 addresses of instances", 0, 0.0, 0.005),
    ("RDS PostgreSQL db.t4g.micro, one zone", 1, 2.0, 0.016),
    ("  its storage, 20 GiB gp3", 1, 2.0, 20 * 0.115 / MONTH),
    ("RDS copies that a drill and a probe restore, with storage", 2, 1.0, 0.016 + 20 * 0.115 / MONTH),
    ("VPC, subnets, route table, internet gateway, groups", 1, 2.0, 0.0),
    ("target group without a load balancer", 1, 2.0, 0.0),
)
FLAT = (("S3 bucket with 6 objects, and all requests", 0.01),)
CLOUDFRONT = (("CloudFront distribution; 3 invalidations of 4 paths", 0.0),)


def lines(cloudfront):
    """Rows of (what, hours or None, USD)."""
    out = [(f"{n} × {what.strip()}" if n > 1 else what.strip(), n * hours, n * hours * price)
           for what, n, hours, price in LINES if n]
    return out + [(what, None, usd) for what, usd in (*FLAT, *(CLOUDFRONT if cloudfront else ()))]


def table(cloudfront):
    """The table for people, with its sum."""
    rows = lines(cloudfront)
    width = max(len(what) for what, _, _ in rows)
    out = [f"{'what':<{width}}  hours     USD"]
    out += [f"{what:<{width}}  {'' if hours is None else format(hours, '.1f'):>5}  {usd:6.3f}" for what, hours, usd in rows]
    out.append(f"{'together':<{width}}  {'':>5}  {sum(r[2] for r in rows):6.3f}")
    out.append("List prices of us-east-1, without a free tier, for a run of two hours; other regions differ.")
    return "\n".join(out)
