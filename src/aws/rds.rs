//! RDS reads over the SDK. I/O; see the module above for what holds everywhere.

use async_trait::async_trait;
use aws_sdk_rds::Client;
use aws_sdk_rds::types as sdk;

use super::error::failed_read;
use super::{non_empty, time};
use crate::cloud::{
    Certificate, CloudError, CloudResult, DbInstance, DbMore, DbSubnetGroup, ErrorKind, Page, Quota, Rds,
};
use crate::model::Tags;

/// The largest page that RDS gives.
const PAGE: i32 = 100;

/// Reads of RDS.
pub(super) struct RdsReads {
    pub(super) client: Client,
}

#[async_trait]
impl Rds for RdsReads {
    async fn instances(
        &self,
        identifier: Option<&str>,
        page: Option<String>,
    ) -> CloudResult<Page<DbInstance>> {
        let out = self
            .client
            .describe_db_instances()
            .set_db_instance_identifier(identifier.map(str::to_owned))
            .set_max_records(identifier.is_none().then_some(PAGE))
            .set_marker(page)
            .send()
            .await
            .map_err(failed_read("rds:DescribeDBInstances"))?;
        let mut items = Vec::with_capacity(out.db_instances().len());
        for db in out.db_instances() {
            let mut item = instance(db);
            // an empty list is none; no list at all says nothing, as in some partitions
            if db.tag_list.is_none() {
                item.tags = self.tags(&item.arn).await?;
            }
            items.push(item);
        }
        Ok(Page { items, next: non_empty(out.marker()) })
    }

    async fn subnet_group(&self, name: &str) -> CloudResult<DbSubnetGroup> {
        const READ: &str = "rds:DescribeDBSubnetGroups";
        let call = self.client.describe_db_subnet_groups().db_subnet_group_name(name);
        let out = call.send().await.map_err(failed_read(READ))?;
        let group = out.db_subnet_groups().first().ok_or_else(|| {
            CloudError::new(READ, ErrorKind::NotFound, format!("there is no DB subnet group {name}"))
        })?;
        Ok(DbSubnetGroup {
            vpc: group.vpc_id().unwrap_or_default().to_owned(),
            subnets: group.subnets().iter().filter_map(|s| non_empty(s.subnet_identifier())).collect(),
        })
    }

    async fn certificates(&self, page: Option<String>) -> CloudResult<Page<Certificate>> {
        let call = self.client.describe_certificates().max_records(PAGE).set_marker(page);
        let out = call.send().await.map_err(failed_read("rds:DescribeCertificates"))?;
        let certificate = |c: &sdk::Certificate| {
            let id = non_empty(c.certificate_identifier())?;
            // an account's own choice may be valid for longer than it usually is
            let until = c.customer_override_valid_till().into_iter().chain(c.valid_till());
            Some(Certificate { id, valid_until: until.filter_map(time).max() })
        };
        Ok(Page {
            items: out.certificates().iter().filter_map(certificate).collect(),
            next: non_empty(out.marker()),
        })
    }

    async fn quotas(&self) -> CloudResult<Vec<Quota>> {
        let out = self
            .client
            .describe_account_attributes()
            .send()
            .await
            .map_err(failed_read("rds:DescribeAccountAttributes"))?;
        Ok(out
            .account_quotas()
            .iter()
            .filter_map(|quota| {
                Some(Quota {
                    name: quota.account_quota_name()?.to_owned(),
                    used: quota.used().unwrap_or_default(),
                    max: quota.max()?,
                })
            })
            .collect())
    }
}

impl RdsReads {
    async fn tags(&self, arn: &str) -> CloudResult<Tags> {
        let call = self.client.list_tags_for_resource().resource_name(arn);
        let out = call.send().await.map_err(failed_read("rds:ListTagsForResource"))?;
        Ok(super::tags(out.tag_list(), sdk::Tag::key, sdk::Tag::value))
    }
}

fn instance(db: &sdk::DbInstance) -> DbInstance {
    let subnets = db.db_subnet_group();
    let domain = db.domain_memberships().first();
    let secret = db.master_user_secret();
    // Port 0 is how RDS says that there is no endpoint yet.
    let port = db.endpoint().and_then(|e| e.port()).or(db.db_instance_port()).filter(|port| *port > 0);
    DbInstance {
        identifier: db.db_instance_identifier().unwrap_or_default().to_owned(),
        arn: db.db_instance_arn().unwrap_or_default().to_owned(),
        status: db.db_instance_status().unwrap_or_default().to_owned(),
        engine: db.engine().unwrap_or_default().to_owned(),
        engine_version: db.engine_version().unwrap_or_default().to_owned(),
        class: db.db_instance_class().unwrap_or_default().to_owned(),
        zone: non_empty(db.availability_zone()),
        endpoint: non_empty(db.endpoint().and_then(|e| e.address())),
        port,
        multi_az: db.multi_az().unwrap_or(false),
        publicly_accessible: db.publicly_accessible().unwrap_or(false),
        subnet_group: non_empty(subnets.and_then(|g| g.db_subnet_group_name())),
        vpc: non_empty(subnets.and_then(|g| g.vpc_id())),
        subnets: subnets
            .map(|g| g.subnets().iter().filter_map(|s| non_empty(s.subnet_identifier())).collect())
            .unwrap_or_default(),
        security_groups: db
            .vpc_security_groups()
            .iter()
            .filter_map(|g| non_empty(g.vpc_security_group_id()))
            .collect(),
        parameter_group: db
            .db_parameter_groups()
            .first()
            .and_then(|g| non_empty(g.db_parameter_group_name())),
        option_group: db.option_group_memberships().first().and_then(|g| non_empty(g.option_group_name())),
        storage_type: non_empty(db.storage_type()),
        storage_gib: db.allocated_storage(),
        iops: db.iops(),
        throughput: db.storage_throughput(),
        max_storage_gib: db.max_allocated_storage(),
        iam_auth: db.iam_database_authentication_enabled().unwrap_or(false),
        log_exports: db.enabled_cloudwatch_logs_exports().to_vec(),
        ca: non_empty(db.ca_certificate_identifier()),
        domain: domain.and_then(|d| non_empty(d.domain())),
        domain_role: domain.and_then(|d| non_empty(d.iam_role_name())),
        copy_tags_to_snapshot: db.copy_tags_to_snapshot().unwrap_or(false),
        license_model: non_empty(db.license_model()),
        processor_features: db
            .processor_features()
            .iter()
            .filter_map(|f| Some((f.name()?.to_owned(), f.value()?.to_owned())))
            .collect(),
        managed_secret: secret.and_then(|s| non_empty(s.secret_arn())),
        managed_secret_key: secret.and_then(|s| non_empty(s.kms_key_id())),
        monitoring_interval: db.monitoring_interval().unwrap_or_default(),
        monitoring_role: non_empty(db.monitoring_role_arn()),
        performance_insights: db.performance_insights_enabled().unwrap_or(false),
        performance_insights_key: non_empty(db.performance_insights_kms_key_id()),
        performance_insights_retention: db.performance_insights_retention_period(),
        deletion_protection: db.deletion_protection().unwrap_or(false),
        encrypted: db.storage_encrypted().unwrap_or(false),
        kms_key: non_empty(db.kms_key_id()),
        backup_retention: db.backup_retention_period().unwrap_or_default(),
        latest_restorable: db.latest_restorable_time().and_then(time),
        created_at: db.instance_create_time().and_then(time),
        cluster: non_empty(db.db_cluster_identifier()),
        replica_of: non_empty(db.read_replica_source_db_instance_identifier())
            .or_else(|| non_empty(db.read_replica_source_db_cluster_identifier())),
        more: more(db),
        tags: super::tags(db.tag_list(), sdk::Tag::key, sdk::Tag::value),
    }
}

fn more(db: &sdk::DbInstance) -> DbMore {
    let domain = db.domain_memberships().first();
    let role =
        |r: &sdk::DbInstanceRole| Some(format!("{}={}", r.feature_name().unwrap_or_default(), r.role_arn()?));
    DbMore {
        lifecycle_support: non_empty(db.engine_lifecycle_support()),
        minor_upgrades: db.auto_minor_version_upgrade(),
        network_type: non_empty(db.network_type()),
        dedicated_log_volume: db.dedicated_log_volume().unwrap_or(false),
        domain_fqdn: domain.and_then(|d| non_empty(d.fqdn())),
        domain_ou: domain.and_then(|d| non_empty(d.ou())),
        domain_secret: domain.and_then(|d| non_empty(d.auth_secret_arn())),
        domain_dns: domain.map(|d| d.dns_ips().to_vec()).unwrap_or_default(),
        insights_mode: db.database_insights_mode().map(ToString::to_string),
        roles: db.associated_roles().iter().filter_map(role).collect(),
        backup_window: non_empty(db.preferred_backup_window()),
        maintenance_window: non_empty(db.preferred_maintenance_window()),
        more_volumes: db
            .additional_storage_volumes()
            .iter()
            .filter_map(|v| non_empty(v.volume_name()))
            .collect(),
        storage_operation: non_empty(db.storage_operation_status())
            .map(|status| (status, db.storage_operation_percent_progress().unwrap_or_default())),
    }
}
