//! Changes of RDS: point-in-time restore, modify, delete, reboot, tags. I/O.
//!
//! A restore gives default groups, a single zone and no log exports unless told otherwise, so every
//! setting of the source is sent, and none that RDS reports but does not take back.

use aws_sdk_rds::Client;
use aws_sdk_rds::types as sdk;
use aws_types::request_id::RequestId as _;

use super::error::failed_change;
use super::mutate::reply;
use super::{sdk_time, settable};
use crate::cloud::{CloudError, CloudResult, DbInstance, ErrorKind, ModifyDb, Outcome, Reply, RestoreSpec};
use crate::model::Tags;

const MODIFY: &str = "rds:ModifyDBInstance";

pub(super) async fn restore(client: &Client, spec: &RestoreSpec) -> CloudResult<Reply> {
    let like = &spec.like;
    let provisioned = takes_iops(like);
    let out = client
        .restore_db_instance_to_point_in_time()
        .source_db_instance_identifier(&spec.source)
        .target_db_instance_identifier(&spec.target)
        .restore_time(sdk_time(spec.at))
        .set_db_instance_class(set(&like.class))
        .set_port(like.port)
        .set_db_subnet_group_name(like.subnet_group.clone())
        .multi_az(like.multi_az)
        .publicly_accessible(like.publicly_accessible)
        .set_license_model(like.license_model.clone())
        .set_storage_type(like.storage_type.clone())
        .set_iops(like.iops.filter(|_| provisioned))
        .set_storage_throughput(
            like.throughput.filter(|_| provisioned && like.storage_type.as_deref() == Some("gp3")),
        )
        .set_max_allocated_storage(like.max_storage_gib)
        .set_vpc_security_group_ids(list(&like.security_groups))
        .set_db_parameter_group_name(like.parameter_group.clone())
        // RDS picks the default group of the engine by itself, and may not know it by name yet
        .set_option_group_name(like.option_group.clone().filter(|name| !name.starts_with("default:")))
        .enable_iam_database_authentication(like.iam_auth)
        .set_enable_cloudwatch_logs_exports(list(&like.log_exports))
        .set_ca_certificate_identifier(like.ca.clone())
        .set_domain(like.domain.clone())
        .set_domain_iam_role_name(like.domain_role.clone().filter(|_| like.domain.is_some()))
        .set_domain_fqdn(like.more.domain_fqdn.clone())
        .set_domain_ou(like.more.domain_ou.clone())
        .set_domain_auth_secret_arn(like.more.domain_secret.clone())
        .set_domain_dns_ips(list(&like.more.domain_dns))
        .set_engine_lifecycle_support(like.more.lifecycle_support.clone())
        .set_auto_minor_version_upgrade(like.more.minor_upgrades)
        .set_network_type(like.more.network_type.clone())
        .set_dedicated_log_volume(like.more.dedicated_log_volume.then_some(true))
        .copy_tags_to_snapshot(like.copy_tags_to_snapshot)
        .set_processor_features(processor_features(like))
        .set_manage_master_user_password(like.managed_secret.is_some().then_some(true))
        .set_master_user_secret_kms_key_id(
            like.managed_secret_key.clone().filter(|_| like.managed_secret.is_some()),
        )
        // the copy must be removable, whatever its source is
        .deletion_protection(false)
        .set_tags(sdk_tags(&spec.tags))
        .send()
        .await
        .map_err(failed_change("rds:RestoreDBInstanceToPointInTime", false))?;
    Ok(reply(out.request_id(), db(out.db_instance(), &spec.target)))
}

pub(super) async fn modify(client: &Client, identifier: &str, change: &ModifyDb) -> CloudResult<Reply> {
    let mut call = client
        .modify_db_instance()
        .db_instance_identifier(identifier)
        .apply_immediately(true)
        .set_deletion_protection(change.deletion_protection);
    if let Some((interval, role)) = &change.monitoring {
        call = call.monitoring_interval(*interval).set_monitoring_role_arn(role.clone());
    }
    if let Some((retention, key)) = &change.performance_insights {
        call = call
            .enable_performance_insights(true)
            .set_performance_insights_retention_period(*retention)
            .set_performance_insights_kms_key_id(key.clone());
    }
    if let Some(key) = &change.managed_password {
        call = call.manage_master_user_password(true).set_master_user_secret_kms_key_id(key.clone());
    }
    for (name, value) in &change.other {
        call = match name.as_str() {
            "VpcSecurityGroupIds" => call.set_vpc_security_group_ids(Some(
                value.split(',').map(|id| id.trim().to_owned()).filter(|id| !id.is_empty()).collect(),
            )),
            "DBParameterGroupName" => call.db_parameter_group_name(value),
            "OptionGroupName" => call.option_group_name(value),
            "CACertificateIdentifier" => call.ca_certificate_identifier(value),
            "DBInstanceClass" => call.db_instance_class(value),
            "LicenseModel" => call.license_model(value),
            "MultiAZ" => call.multi_az(parse(name, value)?),
            "PubliclyAccessible" => call.publicly_accessible(parse(name, value)?),
            "CopyTagsToSnapshot" => call.copy_tags_to_snapshot(parse(name, value)?),
            "EnableIAMDatabaseAuthentication" => call.enable_iam_database_authentication(parse(name, value)?),
            "BackupRetentionPeriod" => call.backup_retention_period(parse(name, value)?),
            "MaxAllocatedStorage" => call.max_allocated_storage(parse(name, value)?),
            "DBPortNumber" => call.db_port_number(parse(name, value)?),
            _ => {
                return Err(CloudError::new(
                    MODIFY,
                    ErrorKind::Invalid,
                    format!("redrill does not set `{name}`"),
                ));
            }
        };
    }
    let out = call.send().await.map_err(failed_change(MODIFY, false))?;
    Ok(reply(out.request_id(), db(out.db_instance(), identifier)))
}

pub(super) async fn delete(client: &Client, identifier: &str, snapshot: Option<&str>) -> CloudResult<Reply> {
    let out = client
        .delete_db_instance()
        .db_instance_identifier(identifier)
        .skip_final_snapshot(snapshot.is_none())
        .set_final_db_snapshot_identifier(snapshot.map(str::to_owned))
        .delete_automated_backups(true)
        .send()
        .await
        .map_err(failed_change("rds:DeleteDBInstance", false))?;
    Ok(reply(out.request_id(), db(out.db_instance(), identifier)))
}

pub(super) async fn reboot(client: &Client, identifier: &str, failover: bool) -> CloudResult<Reply> {
    let out = client
        .reboot_db_instance()
        .db_instance_identifier(identifier)
        // refused for a single zone even as `false` by some versions, so only sent when wanted
        .set_force_failover(failover.then_some(true))
        .send()
        .await
        .map_err(failed_change("rds:RebootDBInstance", false))?;
    Ok(reply(out.request_id(), db(out.db_instance(), identifier)))
}

pub(super) async fn tag(client: &Client, arn: &str, tags: &Tags) -> CloudResult<Reply> {
    let out = client
        .add_tags_to_resource()
        .resource_name(arn)
        .set_tags(Some(sdk_tags(tags).unwrap_or_default()))
        .send()
        .await
        .map_err(failed_change("rds:AddTagsToResource", false))?;
    Ok(reply(out.request_id(), Outcome::Done))
}

pub(super) async fn untag(client: &Client, arn: &str, keys: &[String]) -> CloudResult<Reply> {
    let out = client
        .remove_tags_from_resource()
        .resource_name(arn)
        .set_tag_keys(Some(keys.to_vec()))
        .send()
        .await
        .map_err(failed_change("rds:RemoveTagsFromResource", false))?;
    Ok(reply(out.request_id(), Outcome::Done))
}

fn db(answer: Option<&sdk::DbInstance>, asked: &str) -> Outcome {
    Outcome::Db {
        identifier: answer.and_then(|db| db.db_instance_identifier()).unwrap_or(asked).to_owned(),
        status: answer.and_then(|db| db.db_instance_status()).unwrap_or_default().to_owned(),
    }
}

/// Whether a restore takes a number of IOPS for this storage. General-purpose gp3 reports its baseline, but
/// takes a number only where RDS stripes over several volumes: from 400 GiB, from 200 with Oracle. "This setting
/// doesn't apply to SQL Server" (RestoreDBInstanceToPointInTime, Iops).
fn takes_iops(db: &DbInstance) -> bool {
    match db.storage_type.as_deref() {
        _ if db.engine.contains("sqlserver") => false,
        Some("io1" | "io2") => true,
        Some("gp3") => {
            let least = if db.engine.contains("oracle") { 200 } else { 400 };
            db.storage_gib.is_some_and(|size| size >= least)
        }
        _ => false,
    }
}

fn processor_features(db: &DbInstance) -> Option<Vec<sdk::ProcessorFeature>> {
    (!db.processor_features.is_empty()).then(|| {
        db.processor_features
            .iter()
            .map(|(name, value)| sdk::ProcessorFeature::builder().name(name).value(value).build())
            .collect()
    })
}

fn sdk_tags(tags: &Tags) -> Option<Vec<sdk::Tag>> {
    let tags: Vec<_> = settable(tags).map(|(k, v)| sdk::Tag::builder().key(k).value(v).build()).collect();
    (!tags.is_empty()).then_some(tags)
}

fn set(text: &str) -> Option<String> {
    super::non_empty(Some(text))
}

fn list(items: &[String]) -> Option<Vec<String>> {
    (!items.is_empty()).then(|| items.to_vec())
}

fn parse<T: std::str::FromStr>(name: &str, value: &str) -> CloudResult<T> {
    value.parse().map_err(|_| {
        CloudError::new(MODIFY, ErrorKind::Invalid, format!("`{value}` is no value for `{name}`"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iops_are_sent_only_where_the_storage_takes_them() {
        let takes = |engine: &str, kind: &str, gib: i32| {
            takes_iops(&DbInstance {
                engine: engine.to_owned(),
                storage_type: Some(kind.to_owned()),
                storage_gib: Some(gib),
                ..DbInstance::default()
            })
        };
        assert!(!takes("postgres", "gp2", 1000));
        assert!(!takes("postgres", "gp3", 100));
        assert!(takes("postgres", "gp3", 400));
        assert!(takes("oracle-ee", "gp3", 200) && !takes("custom-oracle-ee", "gp3", 199));
        assert!(!takes("sqlserver-se", "gp3", 1000) && !takes("custom-sqlserver-ee", "io1", 1000));
        assert!(takes("mysql", "io1", 100));
    }
}
