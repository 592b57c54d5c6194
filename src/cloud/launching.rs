//! What a launch needs to be there, and how what was launched fares. Pure data.

use serde::{Deserialize, Serialize};

/// An image as DescribeImages tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// AMI id.
    pub id: String,
    /// `available`, `pending`, `disabled`, `deregistered` …
    pub state: String,
}

/// An instance type that a zone has.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Offering {
    /// For example `m7g.large`.
    pub instance_type: String,
    /// Availability Zone.
    pub zone: String,
}

/// The status checks of a running instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusChecks {
    /// Instance id.
    pub id: String,
    /// Of the instance: `ok`, `impaired`, `initializing`, `insufficient-data`, `not-applicable`.
    pub instance: String,
    /// Of what it runs on, in the same words.
    pub system: String,
}

/// How many processors an instance type has, where nobody says otherwise, and whether it has disks of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceType {
    /// For example `m7g.large`.
    pub name: String,
    /// Cores.
    pub cores: Option<i32>,
    /// Threads of each core.
    pub threads: Option<i32>,
    /// Whether instances of it have instance-store volumes, which only the type tells of where they are NVMe.
    pub storage: bool,
}

/// Settings that most instances do not have, or have as AWS sets them. Left out where they are so.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// Whether the metadata service tells the tags: `enabled` or `disabled`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata_tags: Option<String>,
    /// Whether the metadata service has an IPv6 endpoint: `enabled` or `disabled`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata_ipv6: Option<String>,
    /// Cores.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cores: Option<i32>,
    /// Threads of each core.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads: Option<i32>,
    /// AMD SEV-SNP: `enabled` or `disabled`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sev_snp: Option<String>,
    /// Nested virtualization: `enabled` or `disabled`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nested: Option<String>,
    /// `ip-name` or `resource-name`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// Whether the resource name has an A record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record_a: Option<bool>,
    /// Whether the resource name has an AAAA record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record_aaaa: Option<bool>,
    /// Name of the placement group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub placement_group: Option<String>,
    /// Id of the placement group: another account's, which is shared, cannot be named otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub placement_group_id: Option<String>,
    /// Partition of the placement group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partition: Option<i32>,
    /// The Dedicated Host that it always starts on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The host resource group that it starts in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_group: Option<String>,
    /// Nitro Enclaves.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub enclave: bool,
    /// Whether it can hibernate.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub hibernation: bool,
    /// Whether AWS's automatic recovery is off.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub recovery_off: bool,
    /// License configurations.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub licenses: Vec<String>,
    /// How bandwidth is shared out, where it is not `default`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bandwidth: Option<String>,
    /// The Capacity Reservation that it was launched into by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reservation: Option<String>,
    /// Whether it forwards what is not addressed to it: the source and destination check is off.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub forwards: bool,
    /// Its network interfaces, the primary one first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub interfaces: Vec<String>,
    /// Those of them that outlive it, with their addresses: DeleteOnTermination is off.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub staying: Vec<String>,
    /// Whether it has a primary IPv6 address, by which IPv6 target groups know their instances.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub primary_six: bool,
    /// Addresses beside the primary IPv4 address: secondary and IPv6 ones, and prefixes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<String>,
    /// The AWS service that manages it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operator: Option<String>,
}

impl Settings {
    /// Whether there is nothing to tell.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
