//! What is read of databases beside the settings that every restore carries over. Pure data.

use serde::{Deserialize, Serialize};

use super::DbInstance;

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

/// A DB subnet group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DbSubnetGroup {
    /// VPC id.
    pub vpc: String,
    /// Subnet ids.
    pub subnets: Vec<String>,
}
