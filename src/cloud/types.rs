//! Resources as the read traits return them: only what redrill uses, in its own types. Pure data.

use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::DbMore;
use super::launching::Settings;
use crate::model::Tags;

/// One page of a listing.
#[derive(Clone, Debug, Default)]
pub struct Page<T> {
    /// The items of this page.
    pub items: Vec<T>,
    /// The token of the next page; `None` on the last.
    pub next: Option<String>,
}

/// Who is calling, as STS says, and how long the credentials live.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The account, twelve digits.
    pub account: String,
    /// The caller's ARN.
    pub arn: String,
    /// When the credentials expire (UTC), where known.
    pub expires_at: Option<DateTime<Utc>>,
    /// Whether they last as long as they are needed, renewed by their source or without an end;
    /// `Some(false)` for a session token given as it is, `None` where unknown.
    pub renewable: Option<bool>,
    /// The `Date` header of the answer, for the skew between the local clock and AWS's.
    pub server_date: Option<DateTime<Utc>>,
}

/// What IAM is asked: may this user or role do these actions on these resources, in this context?
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Question {
    /// The ARN of a user or a role.
    pub principal: String,
    /// For example `ec2:StopInstances`.
    pub actions: Vec<String>,
    /// ARNs, or `*` alone.
    pub resources: Vec<String>,
    /// Condition keys with their values.
    pub context: BTreeMap<String, ContextValue>,
}

/// The value of a condition key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContextValue {
    /// A text.
    Text(String),
    /// Several texts of a key that has several.
    Texts(Vec<String>),
    /// `true` or `false`.
    Bool(bool),
}

/// What IAM would decide on one action and one resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The action.
    pub action: String,
    /// The resource.
    pub resource: String,
    /// What it would decide.
    pub ruling: Ruling,
    /// Condition keys that the policies ask for and that were not in the question.
    pub missing: Vec<String>,
}

/// Allowed, or by what not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ruling {
    /// Allowed.
    Allowed,
    /// No policy allows it.
    NoPolicy,
    /// A policy denies it.
    Explicit,
    /// The organization's policies do not allow it.
    Organization,
    /// The permissions boundary does not allow it.
    Boundary,
}

/// Narrows a listing on the server; the caller checks again on its own side.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only these ids; empty for all.
    pub ids: Vec<String>,
    /// Each tag key with its accepted values (`*` and `?` allowed); all must match.
    pub tags: Vec<(String, Vec<String>)>,
}

/// An EBS volume attached to an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockDevice {
    /// Device name, for example `/dev/xvda`.
    pub device: String,
    /// Volume id.
    pub volume: String,
    /// Whether terminating the instance deletes the volume.
    pub delete_on_termination: bool,
}

/// An EC2 instance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// Instance id.
    pub id: String,
    /// `pending`, `running`, `shutting-down`, `terminated`, `stopping`, `stopped`.
    pub state: String,
    /// For example `t3.small`.
    pub instance_type: String,
    /// AMI id.
    pub image: String,
    /// Availability Zone.
    pub zone: String,
    /// Subnet; gone soon after termination.
    pub subnet: Option<String>,
    /// VPC; gone soon after termination.
    pub vpc: Option<String>,
    /// Private IPv4 address.
    pub private_ip: Option<String>,
    /// The private addresses of all its interfaces, the secondary ones too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<String>,
    /// Public IPv4 address.
    pub public_ip: Option<String>,
    /// Key pair name.
    pub key_name: Option<String>,
    /// Instance profile ARN.
    pub profile_arn: Option<String>,
    /// Security group ids.
    pub security_groups: Vec<String>,
    /// `ebs` or `instance-store`.
    pub root_device_type: String,
    /// Root device name.
    pub root_device: Option<String>,
    /// Attached volumes.
    pub block_devices: Vec<BlockDevice>,
    /// `spot` where it is a Spot instance.
    pub lifecycle: Option<String>,
    /// The Spot request, where it is a Spot instance.
    pub spot_request: Option<String>,
    /// Whether it is EBS-optimised.
    pub ebs_optimized: bool,
    /// Whether detailed monitoring is on.
    pub monitoring: bool,
    /// `default`, `dedicated` or `host`.
    pub tenancy: Option<String>,
    /// `required` or `optional`: IMDSv2.
    pub metadata_tokens: Option<String>,
    /// Hop limit of the metadata service.
    pub metadata_hop_limit: Option<i32>,
    /// `enabled` or `disabled`.
    pub metadata_endpoint: Option<String>,
    /// When it was launched or last started (UTC).
    pub launched_at: Option<DateTime<Utc>>,
    /// When it was stopped (UTC), while it is, where AWS says (StateTransitionReason, which may be empty).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped_at: Option<DateTime<Utc>>,
    /// The client token of its launch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_token: Option<String>,
    /// Why it is in its state, where AWS says, for example `Server.InsufficientInstanceCapacity`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_reason: Option<String>,
    /// What most instances do not have.
    #[serde(default, skip_serializing_if = "Settings::is_default")]
    pub settings: Settings,
    /// Tags, `aws:*` included.
    pub tags: Tags,
}

/// An attribute of an instance that DescribeInstances does not return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InstanceAttribute {
    /// `disableApiTermination`: termination protection, `true` or `false`.
    TerminationProtection,
    /// `disableApiStop`: stop protection, `true` or `false`.
    StopProtection,
    /// `userData`, base64 as AWS returns it.
    UserData,
    /// `instanceInitiatedShutdownBehavior`: what a shutdown from within does, `stop` or `terminate`.
    Shutdown,
}

/// What DescribeInstances does not return, as far as it was asked for; see [`InstanceAttribute`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceDetail {
    /// Termination protection.
    pub disable_api_termination: bool,
    /// Stop protection.
    pub disable_api_stop: bool,
    /// User data, base64 as AWS returns it.
    pub user_data: Option<String>,
    /// What a shutdown from within does, where it is not `stop`: `terminate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shutdown: Option<String>,
}

/// An EBS volume.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Volume id.
    pub id: String,
    /// Size in GiB.
    pub size_gib: i32,
    /// For example `gp3`.
    pub volume_type: String,
    /// Provisioned IOPS.
    pub iops: Option<i32>,
    /// Throughput, MiB/s.
    pub throughput: Option<i32>,
    /// Whether it is encrypted.
    pub encrypted: bool,
    /// KMS key.
    pub kms_key: Option<String>,
    /// Tags.
    pub tags: Tags,
}

/// An Elastic IP address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// Allocation id.
    pub allocation: String,
    /// The address.
    pub public_ip: String,
    /// The instance it is associated with.
    pub instance: Option<String>,
}

/// An instance's membership of an Auto Scaling group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupMember {
    /// Instance id.
    pub instance: String,
    /// Group name.
    pub group: String,
    /// The group's suspended processes.
    pub suspended: Vec<String>,
    /// `HealthStatus` is `Unhealthy`. It never becomes healthy by itself again: the group replaces the instance as
    /// soon as its processes let it.
    pub is_unhealthy: bool,
}

/// A load balancer's target group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetGroup {
    /// ARN.
    pub arn: String,
    /// Name.
    pub name: String,
    /// `instance`, `ip`, `lambda`, `alb`.
    pub target_type: String,
    /// The VPC of its targets; an `ip` group may also have addresses of peered networks.
    pub vpc: Option<String>,
    /// For example `HTTP` or `QUIC`; none where its targets are functions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// `ipv4` or `ipv6`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip_type: Option<String>,
}

/// A Classic Load Balancer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassicLoadBalancer {
    /// Name.
    pub name: String,
    /// The ids of the instances that are registered with it.
    pub instances: Vec<String>,
}

/// One registration in a target group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    /// Target group ARN.
    pub group: String,
    /// Instance id or address.
    pub id: String,
    /// Port.
    pub port: Option<i32>,
    /// `healthy`, `initial`, `unhealthy`, `draining`, `unused` …
    pub state: String,
    /// Why it is not `healthy`, for example `Target.FailedHealthChecks`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl TargetGroup {
    /// Whether each of its targets has a QUIC server id of its own, without which it cannot be registered
    /// (TargetDescription, QuicServerId).
    pub fn is_quic(&self) -> bool {
        self.protocol.as_deref().is_some_and(|protocol| protocol.ends_with("QUIC"))
    }
}

impl Registration {
    /// Whether it fails its checks: `unhealthy`, or `unhealthy.draining` behind a Network Load Balancer.
    pub fn is_unhealthy(&self) -> bool {
        self.state.starts_with("unhealthy")
    }
}

/// An RDS database instance with the settings that a restore has to carry over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DbInstance {
    /// DBInstanceIdentifier.
    pub identifier: String,
    /// ARN.
    pub arn: String,
    /// `available`, `creating`, `backing-up`, `modifying`, `rebooting`, `deleting` …
    pub status: String,
    /// Engine, for example `postgres`.
    pub engine: String,
    /// Engine version.
    pub engine_version: String,
    /// Class, for example `db.t3.medium`.
    pub class: String,
    /// Availability Zone.
    pub zone: Option<String>,
    /// Host name, once there is one.
    pub endpoint: Option<String>,
    /// Port.
    pub port: Option<i32>,
    /// Multi-AZ.
    pub multi_az: bool,
    /// Publicly accessible.
    pub publicly_accessible: bool,
    /// Subnet group name.
    pub subnet_group: Option<String>,
    /// VPC of the subnet group.
    pub vpc: Option<String>,
    /// Subnets of the subnet group.
    pub subnets: Vec<String>,
    /// VPC security group ids.
    pub security_groups: Vec<String>,
    /// Parameter group name.
    pub parameter_group: Option<String>,
    /// Option group name.
    pub option_group: Option<String>,
    /// For example `gp3`.
    pub storage_type: Option<String>,
    /// Allocated storage, GiB.
    pub storage_gib: Option<i32>,
    /// Provisioned IOPS.
    pub iops: Option<i32>,
    /// Storage throughput, MiB/s.
    pub throughput: Option<i32>,
    /// Storage autoscaling ceiling, GiB.
    pub max_storage_gib: Option<i32>,
    /// IAM authentication.
    pub iam_auth: bool,
    /// Log types exported to CloudWatch.
    pub log_exports: Vec<String>,
    /// CA certificate identifier.
    pub ca: Option<String>,
    /// Directory domain.
    pub domain: Option<String>,
    /// IAM role for the directory.
    pub domain_role: Option<String>,
    /// CopyTagsToSnapshot.
    pub copy_tags_to_snapshot: bool,
    /// Licence model.
    pub license_model: Option<String>,
    /// Processor features.
    pub processor_features: BTreeMap<String, String>,
    /// ARN of the managed master password's secret.
    pub managed_secret: Option<String>,
    /// KMS key of that secret.
    pub managed_secret_key: Option<String>,
    /// Enhanced monitoring interval, seconds; 0 is off.
    pub monitoring_interval: i32,
    /// Role of enhanced monitoring.
    pub monitoring_role: Option<String>,
    /// Performance Insights.
    pub performance_insights: bool,
    /// Performance Insights key.
    pub performance_insights_key: Option<String>,
    /// Performance Insights retention, days.
    pub performance_insights_retention: Option<i32>,
    /// Deletion protection.
    pub deletion_protection: bool,
    /// Storage encryption.
    pub encrypted: bool,
    /// KMS key of the storage.
    pub kms_key: Option<String>,
    /// Days of automated backups; 0 is off.
    pub backup_retention: i32,
    /// Latest restorable time (UTC); absent for replicas and without backups.
    pub latest_restorable: Option<DateTime<Utc>>,
    /// When it was created (UTC).
    pub created_at: Option<DateTime<Utc>>,
    /// The Aurora or Multi-AZ cluster it belongs to.
    pub cluster: Option<String>,
    /// The source, where it is a read replica.
    pub replica_of: Option<String>,
    /// The rest of its settings.
    #[serde(flatten)]
    pub more: DbMore,
    /// Tags.
    pub tags: Tags,
}

/// One RDS quota.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quota {
    /// Name, for example `DBInstances`.
    pub name: String,
    /// In use.
    pub used: i64,
    /// Allowed.
    pub max: i64,
}

/// A bucket in a listing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bucket {
    /// Name.
    pub name: String,
    /// Region, where the listing says.
    pub region: Option<String>,
}

/// What decides whether a bucket's objects can be deleted reversibly.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BucketInfo {
    /// Region.
    pub region: Option<String>,
    /// `Enabled`, `Suspended`, or empty where versioning was never on.
    pub versioning: String,
    /// MFA Delete.
    pub mfa_delete: bool,
    /// Buckets that delete markers are replicated to.
    pub marker_replicas: Vec<String>,
    /// Smallest NoncurrentVersionExpiration of an enabled lifecycle rule, days.
    pub noncurrent_expiry_days: Option<i32>,
    /// Whether event notifications are configured.
    pub notifications: bool,
    /// Whether attribute-based access control is on: tags are then set with another call. Off where it cannot be read.
    #[serde(default)]
    pub abac: bool,
}

/// A version of an object, or a delete marker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectVersion {
    /// Key.
    pub key: String,
    /// Version id.
    pub version: String,
    /// Whether it is the newest.
    pub latest: bool,
    /// Whether it is a delete marker.
    pub marker: bool,
    /// When it was written (UTC).
    pub modified: Option<DateTime<Utc>>,
}

/// An object as HeadObject tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectMeta {
    /// Bytes.
    pub size: i64,
    /// ETag without quotes.
    pub etag: Option<String>,
    /// Version id.
    pub version: Option<String>,
    /// When it was written (UTC).
    pub modified: Option<DateTime<Utc>>,
}

/// A CloudFront distribution.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Distribution {
    /// Id.
    pub id: String,
    /// ARN.
    pub arn: String,
    /// Domain name.
    pub domain: String,
    /// `Deployed` or `InProgress`.
    pub status: String,
    /// Whether it serves.
    pub enabled: bool,
    /// Alternate domain names.
    pub aliases: Vec<String>,
    /// Comment.
    pub comment: String,
}

/// A CloudFront invalidation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invalidation {
    /// Id.
    pub id: String,
    /// `InProgress` or `Completed`.
    pub status: String,
    /// CallerReference; empty in listings.
    pub caller_reference: String,
    /// Paths; empty in listings.
    pub paths: Vec<String>,
    /// When it was created (UTC).
    pub created_at: Option<DateTime<Utc>>,
}

/// A CloudWatch alarm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alarm {
    /// Name.
    pub name: String,
    /// `OK`, `ALARM` or `INSUFFICIENT_DATA`.
    pub state: String,
    /// When the state last changed (UTC).
    pub changed_at: Option<DateTime<Utc>>,
    /// CloudWatch's reason.
    pub reason: String,
}

/// A value that never shows itself: not in `Debug`, not in JSON.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret value.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// A file of a trail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrailObject {
    /// Its content.
    pub bytes: Vec<u8>,
    /// The metadata `signature`: a digest file's, in hexadecimal.
    pub signature: Option<String>,
    /// The metadata `backfill-generation-timestamp`: when a digest of records that came late was made.
    pub backfilled_at: Option<DateTime<Utc>>,
}

/// A key that CloudTrail signs digests under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrailKey {
    /// CloudTrail's name for it.
    pub fingerprint: String,
    /// `RSAPublicKey` (PKCS #1) in DER.
    pub der: Vec<u8>,
    /// From when.
    pub from: DateTime<Utc>,
    /// Until when.
    pub until: DateTime<Utc>,
}

/// A file in a bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredFile {
    /// Key.
    pub key: String,
    /// Bytes.
    pub size: u64,
}
