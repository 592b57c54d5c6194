//! What IAM can limit of every permission that redrill uses: on which types of resources it is decided.
//!
//! From AWS's Service Authorization Reference. Only what redrill asks for stands here; a test walks every
//! permission that anything in the crate names, and fails on one that is missing. Which of a type a drill
//! touches is left to [`crate::plan::policy`]. Pure.

/// A type of resource, as the Service Authorization Reference knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "named as in the reference")]
pub enum Type {
    Bucket,
    Db,
    Distribution,
    ElasticIp,
    Image,
    Instance,
    InstanceProfile,
    KeyPair,
    KmsKey,
    LicenseConfiguration,
    NetworkInterface,
    Object,
    OptionGroup,
    Parameter,
    ParameterGroup,
    PlacementGroup,
    ResourceGroup,
    Role,
    RouteTable,
    Secret,
    SecurityGroup,
    Snapshot,
    Subnet,
    SubnetGroup,
    TargetGroup,
    Volume,
    Vpc,
}

/// Which parts of the place an ARN names.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Named {
    /// Region and account.
    Both,
    /// The region, and an account that may be another one: what is shared keeps its owner's.
    Shared,
    /// The region only.
    Region,
    /// The account only.
    Account,
    /// Neither.
    None,
}

impl Type {
    fn shape(self) -> (&'static str, Named, &'static str) {
        match self {
            Self::Bucket | Self::Object => ("s3", Named::None, ""),
            Self::Db => ("rds", Named::Both, "db:"),
            Self::Distribution => ("cloudfront", Named::Account, "distribution/"),
            Self::ElasticIp => ("ec2", Named::Both, "elastic-ip/"),
            Self::Image => ("ec2", Named::Region, "image/"),
            Self::Instance => ("ec2", Named::Both, "instance/"),
            Self::InstanceProfile => ("iam", Named::Account, "instance-profile/"),
            Self::KeyPair => ("ec2", Named::Both, "key-pair/"),
            Self::KmsKey => ("kms", Named::Both, "key/"),
            Self::LicenseConfiguration => ("license-manager", Named::Shared, "license-configuration:"),
            Self::NetworkInterface => ("ec2", Named::Both, "network-interface/"),
            Self::OptionGroup => ("rds", Named::Both, "og:"),
            Self::Parameter => ("ssm", Named::Both, "parameter/"),
            Self::ParameterGroup => ("rds", Named::Both, "pg:"),
            Self::PlacementGroup => ("ec2", Named::Shared, "placement-group/"),
            Self::ResourceGroup => ("resource-groups", Named::Shared, "group/"),
            Self::Role => ("iam", Named::Account, "role/"),
            Self::RouteTable => ("ec2", Named::Both, "route-table/"),
            Self::Secret => ("secretsmanager", Named::Both, "secret:"),
            Self::SecurityGroup => ("ec2", Named::Both, "security-group/"),
            Self::Snapshot => ("rds", Named::Both, "snapshot:"),
            Self::Subnet => ("ec2", Named::Both, "subnet/"),
            Self::SubnetGroup => ("rds", Named::Both, "subgrp:"),
            Self::TargetGroup => ("elasticloadbalancing", Named::Both, "targetgroup/"),
            Self::Volume => ("ec2", Named::Both, "volume/"),
            Self::Vpc => ("ec2", Named::Both, "vpc/"),
        }
    }

    /// The ARN of one of this type; `name` may be a pattern. Without a region or an account where the
    /// type has none.
    pub fn arn(self, region: &str, account: &str, name: &str) -> String {
        let (service, named, prefix) = self.shape();
        let partition = partition(region);
        let region = if matches!(named, Named::Both | Named::Shared | Named::Region) { region } else { "" };
        let account = match named {
            Named::Both | Named::Account => account,
            Named::Shared => "*",
            Named::Region | Named::None => "",
        };
        format!("arn:{partition}:{service}:{region}:{account}:{prefix}{name}")
    }

    /// Whether `aws:ResourceTag` is there when access to one of this type is decided. (A bucket's tags
    /// are only where its owner has switched that on for this bucket.)
    pub fn has_tags(self) -> bool {
        !matches!(self, Self::Bucket | Self::Object | Self::Role | Self::InstanceProfile | Self::KmsKey)
    }

    /// Whether its ARN says nothing about the account.
    pub fn hides_account(self) -> bool {
        matches!(self, Self::Bucket | Self::Object)
    }
}

/// The partition of a region.
pub fn partition(region: &str) -> &'static str {
    match region {
        r if r.starts_with("cn-") => "aws-cn",
        r if r.starts_with("us-gov-") => "aws-us-gov",
        r if r.starts_with("eusc-") => "aws-eusc",
        r if r.starts_with("us-iso-") => "aws-iso",
        r if r.starts_with("us-isob-") => "aws-iso-b",
        r if r.starts_with("eu-isoe-") => "aws-iso-e",
        r if r.starts_with("us-isof-") => "aws-iso-f",
        _ => "aws",
    }
}

/// What the names of services end in, in `kms:ViaService` for example: the domain of the region's endpoints.
pub fn domain(region: &str) -> &'static str {
    match partition(region) {
        "aws-cn" => "amazonaws.com.cn",
        "aws-eusc" => "amazonaws.eu",
        "aws-iso" => "c2s.ic.gov",
        "aws-iso-b" => "sc2s.sgov.gov",
        "aws-iso-e" => "cloud.adc-e.uk",
        "aws-iso-f" => "csp.hci.ic.gov",
        _ => "amazonaws.com",
    }
}

/// A service as a principal. EC2 is `ec2.amazonaws.com` everywhere, and had a name of its own in China and in the isolated
/// partitions, which old roles still have; every other service that redrill passes roles to has one name everywhere.
pub fn principals(service: &str, region: &str) -> Vec<String> {
    let everywhere = format!("{service}.amazonaws.com");
    let own = partition(region) == "aws-cn" || partition(region).starts_with("aws-iso");
    match service == "ec2" && own {
        true => vec![everywhere, format!("ec2.{}", domain(region))],
        false => vec![everywhere],
    }
}

/// How far IAM can limit a permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Everybody may: there is nothing to allow.
    Free,
    /// Not at all but for the region.
    Region,
    /// Not at all: the service is global.
    Global,
    /// To resources of these types.
    On(&'static [Type]),
}

use Level::{Free, Global, On, Region};

/// Every permission that redrill uses, sorted.
pub const PERMISSIONS: &[(&str, Level)] = &[
    ("autoscaling:DescribeAutoScalingGroups", Region),
    ("autoscaling:DescribeAutoScalingInstances", Region),
    ("cloudfront:CreateInvalidation", On(&[Type::Distribution])),
    ("cloudfront:GetInvalidation", On(&[Type::Distribution])),
    ("cloudfront:ListDistributions", Global),
    ("cloudfront:ListInvalidations", On(&[Type::Distribution])),
    ("cloudfront:ListTagsForResource", On(&[Type::Distribution])),
    ("cloudfront:TagResource", On(&[Type::Distribution])),
    ("cloudfront:UntagResource", On(&[Type::Distribution])),
    ("cloudtrail:ListPublicKeys", Region),
    ("cloudtrail:LookupEvents", Region),
    // limited to an alarm's ARN it does not answer for composite alarms (API reference)
    ("cloudwatch:DescribeAlarms", Region),
    ("ec2:AssociateAddress", On(&[Type::ElasticIp, Type::Instance, Type::NetworkInterface])),
    ("ec2:AssociateRouteTable", On(&[Type::RouteTable, Type::Subnet])),
    ("ec2:CreateRouteTable", On(&[Type::RouteTable, Type::Vpc])),
    (
        "ec2:CreateTags",
        On(&[Type::Instance, Type::NetworkInterface, Type::RouteTable, Type::Subnet, Type::Volume]),
    ),
    ("ec2:DeleteRouteTable", On(&[Type::RouteTable])),
    (
        "ec2:DeleteTags",
        On(&[Type::Instance, Type::NetworkInterface, Type::RouteTable, Type::Subnet, Type::Volume]),
    ),
    ("ec2:DescribeAddresses", Region),
    ("ec2:DescribeFleets", Region),
    ("ec2:DescribeImages", Region),
    ("ec2:DescribeInstanceAttribute", On(&[Type::Instance])),
    ("ec2:DescribeInstanceCreditSpecifications", Region),
    ("ec2:DescribeInstanceStatus", Region),
    ("ec2:DescribeInstanceTypeOfferings", Region),
    ("ec2:DescribeInstanceTypes", Region),
    ("ec2:DescribeInstances", Region),
    ("ec2:DescribeKeyPairs", Region),
    ("ec2:DescribeNatGateways", Region),
    ("ec2:DescribeNetworkInterfaces", Region),
    ("ec2:DescribeRouteTables", Region),
    ("ec2:DescribeSpotInstanceRequests", Region),
    ("ec2:DescribeSubnets", Region),
    ("ec2:DescribeVolumes", Region),
    ("ec2:DisassociateRouteTable", On(&[Type::RouteTable, Type::Subnet])),
    ("ec2:ReplaceRouteTableAssociation", On(&[Type::RouteTable, Type::Subnet])),
    (
        "ec2:RunInstances",
        On(&[
            Type::Image,
            Type::Instance,
            Type::KeyPair,
            Type::LicenseConfiguration,
            Type::NetworkInterface,
            Type::PlacementGroup,
            Type::ResourceGroup,
            Type::SecurityGroup,
            Type::Subnet,
            Type::Volume,
        ]),
    ),
    // of one that runs under a licence, on that, too
    ("ec2:StartInstances", On(&[Type::Instance, Type::LicenseConfiguration])),
    ("ec2:StopInstances", On(&[Type::Instance])),
    ("ec2:TerminateInstances", On(&[Type::Instance])),
    ("elasticloadbalancing:DeregisterTargets", On(&[Type::TargetGroup])),
    ("elasticloadbalancing:DescribeLoadBalancers", Region),
    ("elasticloadbalancing:DescribeTargetGroups", Region),
    ("elasticloadbalancing:DescribeTargetHealth", Region),
    ("elasticloadbalancing:RegisterTargets", On(&[Type::TargetGroup])),
    ("iam:GetInstanceProfile", On(&[Type::InstanceProfile])),
    ("iam:PassRole", On(&[Type::Role])),
    ("kms:CreateGrant", On(&[Type::KmsKey])),
    ("kms:Decrypt", On(&[Type::KmsKey])),
    ("kms:DescribeKey", On(&[Type::KmsKey])),
    ("kms:GenerateDataKey", On(&[Type::KmsKey])),
    ("kms:GenerateDataKeyWithoutPlaintext", On(&[Type::KmsKey])),
    ("kms:GetPublicKey", On(&[Type::KmsKey])),
    // one API, ReEncrypt, decided on the key that it comes from and on the one that it goes to
    ("kms:ReEncryptFrom", On(&[Type::KmsKey])),
    ("kms:ReEncryptTo", On(&[Type::KmsKey])),
    ("kms:Sign", On(&[Type::KmsKey])),
    ("rds:AddTagsToResource", On(&[Type::Db])),
    // of a final snapshot: on the database and on the snapshot
    ("rds:CreateDBSnapshot", On(&[Type::Db, Type::Snapshot])),
    ("rds:DeleteDBInstance", On(&[Type::Db])),
    ("rds:DescribeAccountAttributes", Region),
    ("rds:DescribeCertificates", Region),
    ("rds:DescribeDBInstances", On(&[Type::Db])),
    ("rds:DescribeDBSubnetGroups", On(&[Type::SubnetGroup])),
    // the databases' alone, of the many types that it knows
    ("rds:ListTagsForResource", On(&[Type::Db])),
    ("rds:ModifyDBInstance", On(&[Type::Db, Type::OptionGroup, Type::ParameterGroup, Type::SubnetGroup])),
    ("rds:RebootDBInstance", On(&[Type::Db])),
    ("rds:RemoveTagsFromResource", On(&[Type::Db])),
    (
        "rds:RestoreDBInstanceToPointInTime",
        On(&[Type::Db, Type::OptionGroup, Type::ParameterGroup, Type::SubnetGroup]),
    ),
    ("s3:DeleteObject", On(&[Type::Object])),
    ("s3:DeleteObjectVersion", On(&[Type::Object])),
    ("s3:GetBucketABAC", On(&[Type::Bucket])),
    ("s3:GetBucketLocation", On(&[Type::Bucket])),
    ("s3:GetBucketNotification", On(&[Type::Bucket])),
    ("s3:GetBucketObjectLockConfiguration", On(&[Type::Bucket])),
    ("s3:GetBucketTagging", On(&[Type::Bucket])),
    ("s3:GetBucketVersioning", On(&[Type::Bucket])),
    ("s3:GetLifecycleConfiguration", On(&[Type::Bucket])),
    ("s3:GetObject", On(&[Type::Object])),
    ("s3:GetObjectRetention", On(&[Type::Object])),
    ("s3:GetObjectVersion", On(&[Type::Object])),
    ("s3:GetReplicationConfiguration", On(&[Type::Bucket])),
    ("s3:ListAllMyBuckets", Global),
    ("s3:ListBucket", On(&[Type::Bucket])),
    ("s3:ListBucketVersions", On(&[Type::Bucket])),
    ("s3:PutBucketTagging", On(&[Type::Bucket])),
    ("s3:PutObject", On(&[Type::Object])),
    ("s3:PutObjectRetention", On(&[Type::Object])),
    ("secretsmanager:CreateSecret", On(&[Type::Secret])),
    ("secretsmanager:GetSecretValue", On(&[Type::Secret])),
    ("secretsmanager:TagResource", On(&[Type::Secret])),
    ("ssm:GetParameter", On(&[Type::Parameter])),
    ("sts:GetCallerIdentity", Free),
];

/// How far this permission can be limited; `None` for one that is not in the table.
pub fn level(permission: &str) -> Option<Level> {
    PERMISSIONS.binary_search_by(|(name, _)| (*name).cmp(permission)).ok().map(|i| PERMISSIONS[i].1)
}

/// Whether IAM may decide this permission on resources of this type. Where the reference leaves no doubt that
/// it does not, allowing it on them allows nothing.
pub fn decided_on(permission: &str, kind: Type) -> bool {
    let Some((service, call)) = permission.split_once(':') else { return true };
    let known = matches!(level(permission), Some(On(types)) if types.contains(&kind));
    if service != kind.shape().0 {
        return known;
    }
    // tags can be set on more types than stand in the table
    call.contains("Tag") || known || !matches!(level(permission), Some(On(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_names_each_once() {
        assert!(PERMISSIONS.is_sorted_by(|a, b| a.0 < b.0));
        assert_eq!(level("ec2:StopInstances"), Some(On(&[Type::Instance])));
        assert_eq!(level("ec2:StopInstance"), None);
    }

    #[test]
    fn a_permission_is_decided_on_its_own_types_only() {
        for (permission, kind, expected) in [
            ("ec2:RunInstances", Type::Subnet, true),
            ("ec2:RunInstances", Type::ElasticIp, false),
            ("ec2:RunInstances", Type::LicenseConfiguration, true),
            ("ec2:StopInstances", Type::LicenseConfiguration, false),
            ("ec2:RunInstances", Type::Db, false),
            ("ec2:CreateTags", Type::Vpc, true),
            ("rds:AddTagsToResource", Type::OptionGroup, true),
            ("rds:AddTagsToResource", Type::Instance, false),
            ("ec2:DescribeInstances", Type::Instance, true),
            ("ec2:NotInTheTable", Type::Instance, true),
        ] {
            assert_eq!(decided_on(permission, kind), expected, "{permission} {kind:?}");
        }
    }

    #[test]
    fn arns_are_those_of_the_reference() {
        for (kind, name, arn) in [
            (Type::Instance, "i-1", "arn:aws:ec2:eu-west-1:123456789012:instance/i-1"),
            (Type::Image, "ami-1", "arn:aws:ec2:eu-west-1::image/ami-1"),
            (Type::Distribution, "E1", "arn:aws:cloudfront::123456789012:distribution/E1"),
            (Type::Db, "orders", "arn:aws:rds:eu-west-1:123456789012:db:orders"),
            (Type::Object, "b/k/*", "arn:aws:s3:::b/k/*"),
            (Type::Role, "*", "arn:aws:iam::123456789012:role/*"),
            (Type::PlacementGroup, "*", "arn:aws:ec2:eu-west-1:*:placement-group/*"),
            (Type::ResourceGroup, "*", "arn:aws:resource-groups:eu-west-1:*:group/*"),
            (Type::LicenseConfiguration, "*", "arn:aws:license-manager:eu-west-1:*:license-configuration:*"),
        ] {
            assert_eq!(kind.arn("eu-west-1", "123456789012", name), arn);
        }
        assert_eq!(Type::Bucket.arn("cn-north-1", "1", "b"), "arn:aws-cn:s3:::b");
        for (region, own) in [
            ("eu-west-1", None),
            ("us-gov-west-1", None),
            ("eusc-de-east-1", None),
            ("cn-north-1", Some("ec2.amazonaws.com.cn")),
            ("us-iso-east-1", Some("ec2.c2s.ic.gov")),
            ("us-isob-east-1", Some("ec2.sc2s.sgov.gov")),
        ] {
            let named: Vec<&str> = [Some("ec2.amazonaws.com"), own].into_iter().flatten().collect();
            assert_eq!(principals("ec2", region), named, "{region}");
            assert_eq!(principals("monitoring.rds", region), ["monitoring.rds.amazonaws.com"], "{region}");
        }
        assert_eq!(Type::Vpc.arn("us-gov-west-1", "1", "v"), "arn:aws-us-gov:ec2:us-gov-west-1:1:vpc/v");
    }
}
