//! Whose host an endpoint's URL names: AWS's own, one of this network's, or somebody's. Pure.
//!
//! Invariant: a host that a customer of AWS has there (an instance, a load balancer, a database, a website in a
//! bucket) is none of AWS's, whoever answers on it; a name that AWS documents for a service that redrill asks is.

use std::net::IpAddr;

use reqwest::Url;

/// The domains of endpoints in each partition, of one stack and of both (botocore's `partitions.json`, and
/// "Service endpoints" in the AWS General Reference).
const DOMAINS: [&str; 14] = [
    ".amazonaws.com",
    ".api.aws",
    ".amazonaws.com.cn",
    ".api.amazonwebservices.com.cn",
    ".amazonaws.eu",
    ".api.amazonwebservices.eu",
    ".c2s.ic.gov",
    ".api.aws.ic.gov",
    ".sc2s.sgov.gov",
    ".api.aws.scloud",
    ".cloud.adc-e.uk",
    ".api.cloud-aws.adc-e.uk",
    ".csp.hci.ic.gov",
    ".api.aws.hci.ic.gov",
];

/// Endpoint prefixes of the services that redrill asks.
pub const ENDPOINT_PREFIXES: [&str; 13] = [
    "autoscaling",
    "cloudfront",
    "cloudtrail",
    "ec2",
    "elasticloadbalancing",
    "iam",
    "kms",
    "monitoring",
    "rds",
    "s3",
    "secretsmanager",
    "ssm",
    "sts",
];

/// Services of no region, whose names have the partition where others have a region.
const GLOBAL: [&str; 2] = ["cloudfront", "iam"];

/// Whether a URL is an endpoint of one of AWS's services: HTTPS on its own port, and a name of the form that AWS
/// documents. `vpce` is the domain of PrivateLink.
pub fn is_aws(url: &str) -> bool {
    let Ok(url) = Url::parse(url) else { return false };
    if url.scheme() != "https" || url.port_or_known_default() != Some(443) {
        return false;
    }
    let host = url.host_str().unwrap_or_default().trim_end_matches('.').to_ascii_lowercase();
    let Some(name) = DOMAINS.iter().find_map(|domain| host.strip_suffix(domain)) else { return false };
    let mut labels: Vec<&str> = name.split('.').collect();
    let private = labels.pop_if(|label| *label == "vpce").is_some();
    let partition = labels.pop_if(|label| matches!(*label, "us-gov" | "global")).is_some();
    if !partition {
        labels.pop_if(|label| is_region(label));
    }
    labels.pop_if(|label| *label == "dualstack");
    let Some(service) = labels.pop() else { return false };
    let service = service.strip_suffix("-fips").unwrap_or(service);
    if is_s3(service) {
        // a bucket's name may have dots
        return !partition;
    }
    let before = if private { labels.pop_if(|label| label.starts_with("vpce-")).is_some() } else { true };
    ENDPOINT_PREFIXES.contains(&service)
        && (!partition || GLOBAL.contains(&service))
        && before
        && labels.is_empty()
}

/// S3 under its own name, accelerated, and with its region after a hyphen, as it once was.
fn is_s3(label: &str) -> bool {
    match label.strip_prefix("s3") {
        Some("" | "-accelerate" | "-external-1") => true,
        Some(region) => region.strip_prefix('-').is_some_and(is_region),
        None => false,
    }
}

/// Whether a label of a host name looks like a region: `eu-west-1`, `us-gov-west-1`, `eusc-de-east-1`.
fn is_region(label: &str) -> bool {
    let words: Vec<&str> = label.split('-').collect();
    let [partition, middle @ .., number] = &words[..] else { return false };
    let letters = |w: &&str| !w.is_empty() && w.chars().all(|c| c.is_ascii_lowercase());
    (partition.len() == 2 || *partition == "eusc")
        && letters(partition)
        && matches!(middle.len(), 1 | 2)
        && middle.iter().all(letters)
        && !number.is_empty()
        && number.chars().all(|c| c.is_ascii_digit())
}

/// Whether a URL's host is this machine, or of a private network as far as its name tells: no emulator is anywhere
/// else, and what is may well hand everything on to AWS.
pub fn is_near(url: &str) -> bool {
    let Ok(url) = Url::parse(url) else { return false };
    let host = url.host_str().unwrap_or_default().trim_end_matches('.').to_ascii_lowercase();
    match host.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) => ip.is_loopback() || ip.is_private(),
        Ok(IpAddr::V6(ip)) => ip.is_loopback() || ip.is_unique_local(),
        // a name of LocalStack's own is this machine
        Err(_) => {
            !host.contains('.')
                || [".localhost", ".local", ".internal", ".localhost.localstack.cloud"]
                    .iter()
                    .any(|of| host.ends_with(of))
                || host == "localhost.localstack.cloud"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_of_aws_is_aws_in_every_partition() {
        for host in [
            "ec2.eu-west-1.amazonaws.com",
            "sts.amazonaws.com",
            "sts.amazonaws.com.",
            "STS.amazonaws.com",
            "cloudfront.amazonaws.com",
            "cloudfront.global.api.aws",
            "iam.amazonaws.com",
            "iam.us-gov.amazonaws.com",
            "iam.us-gov.api.aws",
            "iam.global.api.aws",
            "ec2-fips.us-gov-west-1.amazonaws.com",
            "ec2.us-east-1.api.aws",
            "rds.cn-north-1.amazonaws.com.cn",
            "ec2.cn-north-1.api.amazonwebservices.com.cn",
            "ec2.eusc-de-east-1.amazonaws.eu",
            "rds.eusc-de-east-1.api.amazonwebservices.eu",
            "ec2.us-iso-east-1.c2s.ic.gov",
            "ec2.us-isob-east-1.sc2s.sgov.gov",
            "ec2.eu-isoe-west-1.cloud.adc-e.uk",
            "ec2.us-isof-south-1.csp.hci.ic.gov",
            // PrivateLink
            "vpce-0a1b-c2d3.ec2.eu-west-1.vpce.amazonaws.com",
            "vpce-0a1b-c2d3-eu-west-1a.rds.eu-west-1.vpce.amazonaws.com",
            "vpce-0a1b.ec2.eusc-de-east-1.vpce.amazonaws.eu",
            // S3
            "s3.eu-west-1.amazonaws.com",
            "s3.dualstack.eu-west-1.amazonaws.com",
            "s3-fips.dualstack.us-east-1.amazonaws.com",
            "shop.assets.s3.eu-west-1.amazonaws.com",
            "shop-assets.s3-eu-west-1.amazonaws.com",
            "shop-assets.s3-accelerate.amazonaws.com",
            "shop-assets.s3-accelerate.dualstack.amazonaws.com",
            "s3-external-1.amazonaws.com",
            "vpce-0a1b.s3.us-east-1.vpce.amazonaws.com",
            "bucket.vpce-0a1b.s3.us-east-1.vpce.amazonaws.com",
        ] {
            assert!(is_aws(&format!("https://{host}/")), "{host}");
            assert!(is_aws(&format!("https://{host}:443/key")), "{host}");
            assert!(!is_aws(&format!("https://{host}:8443/")), "{host}");
            assert!(!is_aws(&format!("http://{host}/")), "{host}");
        }
    }

    #[test]
    fn what_a_customer_has_at_aws_and_a_look_alike_are_not() {
        for host in [
            "127.0.0.1",
            "amazonaws.com.evil.example",
            "notamazonaws.com",
            "amazonaws.com",
            "ec2.amazonaws.com.evil.eu",
            "ec2-203-0-113-7.compute-1.amazonaws.com",
            "ec2-203-0-113-7.eu-west-1.compute.amazonaws.com",
            "lb-1234567890.us-east-1.elb.amazonaws.com",
            "bucket.s3-website.us-east-1.amazonaws.com",
            "bucket.s3-website-us-east-1.amazonaws.com",
            "moto.us-east-1.amazonaws.com",
            "abc.execute-api.us-east-1.amazonaws.com",
            "vpce-0a1b.vpce-svc-0c2d.us-east-1.vpce.amazonaws.com",
            // a customer's databases
            "orders.c1abc.eu-west-1.rds.amazonaws.com",
            "shop.proxy-c1abc.eu-west-1.rds.amazonaws.com",
            "anything.ec2.eu-west-1.amazonaws.com",
            "ec2.us-gov.amazonaws.com",
        ] {
            assert!(!is_aws(&format!("https://{host}")), "{host}");
        }
        assert!(!is_aws("nonsense"));
    }

    #[test]
    fn what_is_near_is_told_from_what_is_not() {
        for host in [
            "127.0.0.1:5000",
            "[::1]:4566",
            "10.1.2.3",
            "192.168.0.9",
            "172.16.0.1",
            "[fd00::1]",
            "localhost:4566",
            "localstack:4566",
            "host.docker.internal",
            "localhost.localstack.cloud:4566",
            "s3.localhost.localstack.cloud:4566",
        ] {
            assert!(is_near(&format!("http://{host}")), "{host}");
        }
        for host in
            ["203.0.113.7", "172.32.0.1", "aws-gateway.example.com", "[2001:db8::1]", "localhost.example.com"]
        {
            assert!(!is_near(&format!("https://{host}")), "{host}");
        }
    }
}
