//! What is read of databases beside the settings that every restore carries over. Pure data.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::DbInstance;

/// Whether a database of this status can be what serves. One that RDS has given up on (`failed`,
/// `inaccessible-encryption-credentials`, `incompatible-…`, `restore-error`) or that somebody stopped after a cut-over exists,
/// and what was restored from it is what serves (Amazon RDS User Guide, "Viewing Amazon RDS DB instance status"); nor
/// does one that is being renamed, as in a cut-over ("Renaming a DB instance"). A status not known here does not serve.
pub fn database_serves(status: &str) -> bool {
    let changing = ["modifying", "maintenance", "upgrading", "rebooting", "resetting-master-credentials"];
    let storage = ["storage-optimization", "storage-config-upgrade", "storage-initialization"];
    matches!(status, "available" | "backing-up")
        || changing.contains(&status)
        || storage.contains(&status)
        || status.starts_with("configuring-")
}

impl DbInstance {
    /// Whether it can be what serves: [`database_serves`].
    pub fn serves(&self) -> bool {
        database_serves(&self.status)
    }
}

/// More of a database's settings. What is not there is left out, so that a record of an earlier redrill reads the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DbMore {
    /// EngineLifecycleSupport: whether it goes on, for money, past the end of standard support.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifecycle_support: Option<String>,
    /// AutoMinorVersionUpgrade.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minor_upgrades: Option<bool>,
    /// `IPV4` or `DUAL`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_type: Option<String>,
    /// DedicatedLogVolume.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dedicated_log_volume: bool,
    /// Name of a directory that AWS does not manage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain_fqdn: Option<String>,
    /// Organizational unit there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain_ou: Option<String>,
    /// ARN of the secret with which it is joined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain_secret: Option<String>,
    /// Addresses of its name servers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub domain_dns: Vec<String>,
    /// DatabaseInsightsMode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub insights_mode: Option<String>,
    /// AssociatedRoles: each with its feature.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// PreferredBackupWindow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup_window: Option<String>,
    /// PreferredMaintenanceWindow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maintenance_window: Option<String>,
    /// Names of additional storage volumes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub more_volumes: Vec<String>,
    /// StorageOperationStatus, while there is one, with its progress in percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_operation: Option<(String, i32)>,
}

impl DbInstance {
    /// Whether clients are served in this state: what goes on is about the storage, for hours where it loads its
    /// blocks from the backup (DBInstance, StorageOperationStatus), or about a setting. A first backup is waited for:
    /// nothing says that a copy serves meanwhile, and it takes minutes.
    pub fn is_usable(status: &str) -> bool {
        matches!(
            status,
            "available" | "storage-optimization" | "storage-initialization" | "storage-config-upgrade"
        ) || status.starts_with("configuring-")
    }
}

/// A certificate authority that RDS knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// For example `rds-ca-rsa2048-g1`.
    pub id: String,
    /// Until when it is valid (UTC).
    pub valid_until: Option<DateTime<Utc>>,
}

/// Whether AWS takes this ceiling of storage autoscaling for a database with this storage: it is to be at least 10%
/// more (Amazon RDS User Guide, "Managing capacity automatically with Amazon RDS storage autoscaling").
pub fn may_grow_to(max_gib: i32, storage_gib: i32) -> bool {
    i64::from(max_gib) * 10 >= i64::from(storage_gib) * 11
}

/// A DB subnet group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DbSubnetGroup {
    /// VPC id.
    pub vpc: String,
    /// Subnet ids.
    pub subnets: Vec<String>,
}
