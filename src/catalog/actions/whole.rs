//! What AWS tells of an original and of what replaces it, read in full and compared field by field.
//!
//! For: that a difference is told although nobody thought of it. What is listed here are the fields that have to
//! differ, and those that an action tells in its own words; whatever else differs is told by AWS's name for it. Reads
//! only. Before the fault what cannot be read refuses, as whatever else is captured does; afterwards it decides nothing:
//! where the comparison cannot be made, that is told instead.

use std::collections::BTreeMap;

use crate::catalog::action::{ActionError, ReadCx};
use crate::cloud::whole::differences;
use crate::cloud::{CloudResult, DbInstance, Fields, Instance, Part};

/// Of an instance, what is its own, passes by, or is told by `replacement`.
const INSTANCE: &[&str] = &[
    "instanceId",
    "clientToken",
    "launchTime",
    "amiLaunchIndex",
    "instanceState",
    "reason",
    "stateReason",
    "usageOperationUpdateTime",
    "privateIpAddress",
    "ipAddress",
    "ipv6Address",
    "privateDnsName",
    "dnsName",
    "instanceType",
    "instanceLifecycle",
    "spotInstanceRequestId",
    "capacityReservationId",
    "networkPerformanceOptions.bandwidthWeighting",
    "metadataOptions.state",
    "monitoring.state",
    // a part each: what lies below is told of the volume and of the interface
    "blockDeviceMapping",
    "networkInterfaceSet",
    "tagSet[redrill:*]",
    "tagSet[aws:*]",
    "volume[*].volumeId",
    "volume[*].volumeArn",
    "volume[*].status",
    "volume[*].createTime",
    "volume[*].attachmentSet.volumeId",
    "volume[*].attachmentSet.instanceId",
    "volume[*].attachmentSet.status",
    "volume[*].attachmentSet.attachTime",
    "volume[*].tagSet[redrill:*]",
    "volume[*].tagSet[aws:*]",
    "interface[*].networkInterfaceId",
    "interface[*].macAddress",
    "interface[*].requesterId",
    "interface[*].status",
    "interface[*].association",
    "interface[*].attachment.attachmentId",
    "interface[*].attachment.attachTime",
    "interface[*].attachment.instanceId",
    "interface[*].attachment.status",
    "interface[*].privateIpAddress",
    "interface[*].privateIpAddressesSet",
    "interface[*].ipv6Address",
    "interface[*].ipv6AddressesSet",
    "interface[*].privateDnsName",
    "interface[*].publicDnsName",
    "interface[*].publicIpDnsNameOptions",
    "interface[*].tagSet[redrill:*]",
    "interface[*].tagSet[aws:*]",
];

/// Of a database, what is its own, passes by, or is told by `rds_restore::settings`.
const DATABASE: &[&str] = &[
    "DBInstanceIdentifier",
    "DBInstanceArn",
    "DbiResourceId",
    "DBInstanceStatus",
    "InstanceCreateTime",
    "LatestRestorableTime",
    "Endpoint",
    "ListenerEndpoint",
    "StatusInfos",
    "PercentProgress",
    "StorageVolumeStatus",
    "StorageOperationStatus",
    "StorageOperationPercentProgress",
    "CertificateDetails",
    "EnhancedMonitoringResourceArn",
    "MasterUserSecret",
    "SecondaryAvailabilityZone",
    "PendingModifiedValues",
    "*.Status",
    "*.ParameterApplyStatus",
    "TagList[redrill:*]",
    "TagList[aws:*]",
    "Engine",
    "EngineVersion",
    "DBInstanceClass",
    "MultiAZ",
    "AvailabilityZone",
    "DbInstancePort",
    "PubliclyAccessible",
    "DBSubnetGroup",
    "VpcSecurityGroups",
    "DBParameterGroups",
    "OptionGroupMemberships",
    "StorageType",
    "AllocatedStorage",
    "Iops",
    "StorageThroughput",
    "MaxAllocatedStorage",
    "IAMDatabaseAuthenticationEnabled",
    "EnabledCloudwatchLogsExports",
    "CACertificateIdentifier",
    "DomainMemberships",
    "CopyTagsToSnapshot",
    "LicenseModel",
    "ProcessorFeatures",
    "MonitoringInterval",
    "MonitoringRoleArn",
    "PerformanceInsightsEnabled",
    "PerformanceInsightsKMSKeyId",
    "PerformanceInsightsRetentionPeriod",
    "StorageEncrypted",
    "KmsKeyId",
    "BackupRetentionPeriod",
    "EngineLifecycleSupport",
    "AutoMinorVersionUpgrade",
    "NetworkType",
    "DedicatedLogVolume",
    "DatabaseInsightsMode",
    "AssociatedRoles",
    "PreferredBackupWindow",
    "PreferredMaintenanceWindow",
    "DeletionProtection",
];

/// Everything about these instances that may be compared, with their volumes by device and their interfaces by
/// index; by id. Three calls for all of them.
pub(super) async fn instances(
    cx: ReadCx<'_>,
    all: impl Iterator<Item = &Instance>,
) -> CloudResult<BTreeMap<String, Fields>> {
    let ids: Vec<String> = all.map(|i| i.id.clone()).collect();
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let mut found = cx.reads.whole.whole(Part::Instances, &ids).await?;
    let parts = [
        (Part::Volumes, "volume", "blockDeviceMapping", "ebs.volumeId"),
        (Part::Interfaces, "interface", "networkInterfaceSet", Part::Interfaces.id()),
    ];
    for (part, called, list, id) in parts {
        let wanted: Vec<String> =
            found.values().flat_map(|fields| fields.named(list, id)).map(|(_, id)| id.to_owned()).collect();
        // none are asked for without ids, which would list everyone's
        if wanted.is_empty() {
            continue;
        }
        let told = cx.reads.whole.whole(part, &wanted).await?;
        for fields in found.values_mut() {
            let named: Vec<(String, String)> =
                fields.named(list, id).map(|(name, id)| (name.to_owned(), id.to_owned())).collect();
            for (name, id) in named {
                if let Some(of_part) = told.get(&id) {
                    fields.take_in(&format!("{called}[{name}]"), of_part);
                }
            }
        }
    }
    Ok(found.into_iter().map(|(id, fields)| (id, fields.without(INSTANCE))).collect())
}

/// Everything about a database that may be compared; `None` where AWS does not describe it.
pub(super) async fn database(cx: ReadCx<'_>, db: &DbInstance) -> CloudResult<Option<Fields>> {
    let found = cx.reads.whole.whole(Part::Databases, std::slice::from_ref(&db.identifier)).await?;
    Ok(found.into_values().next().map(|fields| fields.without(DATABASE)))
}

/// What differs from what is read, a sentence each. An original of which nothing is on record, as in a run of an earlier
/// version, is not compared, and nothing is read for it.
pub(super) async fn compared(
    was: &Fields,
    read: impl AsyncFnOnce() -> CloudResult<Option<Fields>>,
) -> Vec<String> {
    if was.is_empty() {
        return Vec::new();
    }
    match read().await {
        Ok(None) => vec!["not compared field by field: AWS did not describe it".to_owned()],
        Ok(Some(is)) => differences(was, &is),
        Err(e) => vec![format!("not compared field by field: {}", ActionError::from(e))],
    }
}
