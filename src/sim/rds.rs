//! Databases: restore, modify, reboot, delete, and the statuses in between. Synchronous.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};

use super::refusal::{Answer, refuse};
use super::world::{Database, Due, World, check_tags};
use crate::cloud::{
    Certificate, DbInstance, DbMore, DbSubnetGroup, ModifyDb, Outcome, Page, Quota, RestoreSpec, may_grow_to,
};
use crate::model::Tags;

/// The CA of a database where nothing else is asked for.
const DEFAULT_CA: &str = "rds-ca-rsa2048-g1";

impl World {
    pub(super) fn list_dbs(&self, id: Option<&str>, page: Option<String>) -> Answer<Page<DbInstance>> {
        let found = match id {
            Some(id) => vec![self.described(self.need_db(id)?)],
            None => self.dbs.values().map(|d| self.described(d)).collect(),
        };
        self.page(found, page)
    }

    /// A database as DescribeDBInstances tells it now.
    fn described(&self, d: &Database) -> DbInstance {
        DbInstance { latest_restorable: self.latest_restorable(d), ..d.inst.clone() }
    }

    fn need_db(&self, id: &str) -> Answer<&Database> {
        self.dbs
            .get(&id.to_ascii_lowercase())
            .ok_or_else(|| refuse("DBInstanceNotFound", format!("DBInstance {id} not found")))
    }

    /// Absent for replicas and without backups; else now, less the lag.
    fn latest_restorable(&self, d: &Database) -> Option<DateTime<Utc>> {
        if d.inst.replica_of.is_some() || d.inst.backup_retention == 0 {
            return None;
        }
        let latest = self.now - TimeDelta::milliseconds(self.pace.db_restorable_lag.ms());
        d.restorable_from.filter(|from| *from <= latest).map(|_| latest)
    }

    pub(super) fn db_subnet_group(&self, name: &str) -> Answer<DbSubnetGroup> {
        let missing =
            || refuse("DBSubnetGroupNotFoundFault", format!("the DB subnet group '{name}' does not exist"));
        let subnets = self.subnet_groups.get(name).ok_or_else(missing)?.clone();
        let vpc = subnets.first().and_then(|s| self.subnets.get(s)).map(|s| s.vpc.clone());
        Ok(DbSubnetGroup { vpc: vpc.unwrap_or_default(), subnets })
    }

    /// Those of today, and whatever a database has, unless a test withdraws it: `certificate NAME`.
    pub(super) fn list_certificates(&self, page: Option<String>) -> Answer<Page<Certificate>> {
        let of_dbs = self.dbs.values().filter_map(|d| d.inst.ca.clone());
        let known: BTreeSet<String> = of_dbs.chain([DEFAULT_CA.to_owned()]).collect();
        let known = known.into_iter().filter(|id| !self.withdrawn.contains(&format!("certificate {id}")));
        let valid_until = Some(self.now + TimeDelta::days(10_000));
        self.page(known.map(|id| Certificate { id, valid_until }).collect(), page)
    }

    pub(super) fn quotas(&self) -> Vec<Quota> {
        let used = i64::try_from(self.dbs.len()).unwrap_or(i64::MAX);
        let storage = self.dbs.values().map(|d| i64::from(d.inst.storage_gib.unwrap_or(0))).sum();
        vec![
            Quota { name: "DBInstances".to_owned(), used, max: self.db_quota },
            Quota { name: "AllocatedStorage".to_owned(), used: storage, max: 100_000 },
        ]
    }

    fn send_db(&mut self, id: &str, now: &'static str) -> u64 {
        let generation = self.count("generation");
        if let Some(d) = self.dbs.get_mut(id) {
            now.clone_into(&mut d.inst.status);
            d.generation = generation;
        }
        generation
    }

    pub(super) fn restore(&mut self, spec: &RestoreSpec) -> Answer<Outcome> {
        let source = self.need_db(&spec.source)?.clone();
        if source.inst.status == "deleting" {
            return Err(wrong_status(&source));
        }
        self.may_restore(&source, spec)?;
        let id = spec.target.to_ascii_lowercase();
        let like = &spec.like;
        let endpoint = None;
        let class = if like.class.is_empty() { source.inst.class.clone() } else { like.class.clone() };
        let family = source.inst.engine_version.split('.').next().unwrap_or_default().to_owned();
        let secret = like.managed_secret.as_ref().map(|_| self.db_secret(&id));
        let zone = match &like.zone {
            Some(zone) => Some(zone.clone()),
            None => self.zones_of(like).into_iter().next(),
        };
        let subnet_group = like.subnet_group.clone().unwrap_or_else(|| "default".to_owned());
        let subnets = self.subnet_groups.get(&subnet_group).cloned().unwrap_or_else(|| like.subnets.clone());
        let inst = DbInstance {
            identifier: id.clone(),
            arn: self.db_arn(&id),
            status: "creating".to_owned(),
            class,
            zone,
            endpoint,
            port: like.port.or(source.inst.port),
            subnet_group: Some(subnet_group),
            subnets,
            security_groups: if like.security_groups.is_empty() {
                vec!["sg-default".to_owned()]
            } else {
                like.security_groups.clone()
            },
            parameter_group: Some(
                like.parameter_group.clone().unwrap_or(format!("default.{}{family}", source.inst.engine)),
            ),
            managed_secret: secret,
            monitoring_interval: 0,
            monitoring_role: None,
            performance_insights: false,
            performance_insights_key: None,
            performance_insights_retention: None,
            deletion_protection: false,
            latest_restorable: None,
            created_at: None,
            cluster: None,
            replica_of: None,
            tags: spec.tags.clone(),
            // of the data, not of the request
            engine: source.inst.engine.clone(),
            engine_version: source.inst.engine_version.clone(),
            storage_gib: like.storage_gib.or(source.inst.storage_gib),
            storage_type: like.storage_type.clone().or_else(|| source.inst.storage_type.clone()),
            iops: like.iops.or(source.inst.iops),
            throughput: like.throughput.or(source.inst.throughput),
            encrypted: source.inst.encrypted,
            kms_key: source.inst.kms_key.clone(),
            ca: like.ca.clone().or_else(|| source.inst.ca.as_ref().map(|_| DEFAULT_CA.to_owned())),
            backup_retention: source.inst.backup_retention,
            more: defaults(&source.inst, &like.more),
            ..like.clone()
        };
        let born = self.count("database");
        self.dbs.insert(id.clone(), Database { inst, born, ..Database::default() });
        let generation = self.send_db(&id, "creating");
        let due = Due::Db { id: id.clone(), generation, to: "backing-up" };
        self.later(self.pace.db_create, due);
        Ok(Outcome::Db { identifier: id, status: "creating".to_owned() })
    }

    fn may_restore(&self, source: &Database, spec: &RestoreSpec) -> Answer<()> {
        let (from, to) = (&source.inst.identifier, &spec.target);
        if self.dbs.contains_key(&to.to_ascii_lowercase()) {
            return Err(refuse("DBInstanceAlreadyExists", format!("DB instance {to} already exists")));
        }
        if !valid_identifier(to) {
            return Err(refuse(
                "InvalidParameterValue",
                format!("`{to}` is not an identifier: letters, digits and single hyphens, at most 63"),
            ));
        }
        if source.inst.cluster.is_some() {
            return Err(refuse(
                "InvalidParameterValue",
                format!("{from} is a member of a cluster: restore the cluster"),
            ));
        }
        if source.inst.replica_of.is_some() || source.inst.backup_retention == 0 {
            return Err(refuse(
                "PointInTimeRestoreNotEnabled",
                format!("automated backups are not enabled for {from}"),
            ));
        }
        let window = TimeDelta::days(i64::from(source.inst.backup_retention));
        let latest = self.latest_restorable(source);
        let earliest = source.restorable_from.map(|f| f.max(self.now - window));
        match (earliest, latest) {
            (Some(earliest), Some(latest)) if earliest <= spec.at && spec.at < latest => {}
            _ => {
                return Err(refuse(
                    "InvalidParameterValue",
                    format!("{from} cannot be restored to {}: it is outside the restorable window", spec.at),
                ));
            }
        }
        if spec.like.managed_secret.is_some()
            && (!source.inst.engine.starts_with("oracle") || source.inst.engine.ends_with("-cdb"))
        {
            return Err(refuse(
                "InvalidParameterCombination",
                "ManageMasterUserPassword applies to RDS for Oracle only",
            ));
        }
        let provisioned = matches!(spec.like.storage_type.as_deref(), Some("io1" | "io2"));
        if source.inst.engine.contains("sqlserver") && spec.like.iops.is_some() {
            return Err(refuse(
                "InvalidParameterCombination",
                "Iops does not apply to SQL Server in a restore",
            ));
        }
        if provisioned && spec.like.iops.is_none() {
            return Err(refuse("InvalidParameterCombination", "this storage type needs a value for Iops"));
        }
        let storage = spec.like.storage_gib.or(source.inst.storage_gib).unwrap_or_default();
        if spec.like.max_storage_gib.is_some_and(|max| !may_grow_to(max, storage)) {
            return Err(refuse(
                "InvalidParameterCombination",
                "Max storage size must be at least 10% more than the current allocated storage",
            ));
        }
        let ca = spec.like.ca.as_ref();
        if let Some(ca) = ca.filter(|ca| self.withdrawn.contains(&format!("certificate {ca}"))) {
            return Err(refuse("CertificateNotFound", format!("the certificate {ca} does not exist")));
        }
        let features = &spec.like.processor_features;
        if !features.is_empty() && !spec.like.class.is_empty() && spec.like.class != source.inst.class {
            return Err(refuse(
                "InvalidParameterCombination",
                format!("{} does not have these processor features", spec.like.class),
            ));
        }
        if let Some(group) = spec.like.subnet_group.as_ref().filter(|g| !self.subnet_groups.contains_key(*g))
        {
            return Err(refuse(
                "DBSubnetGroupNotFoundFault",
                format!("the DB subnet group '{group}' does not exist"),
            ));
        }
        let group = spec.like.subnet_group.as_deref().and_then(|g| self.db_subnet_group(g).ok());
        let vpc = group.map(|g| g.vpc).filter(|vpc| !vpc.is_empty());
        let elsewhere = vpc.is_some() && source.inst.vpc.is_some() && vpc != source.inst.vpc;
        if elsewhere && spec.like.security_groups.iter().any(|g| source.inst.security_groups.contains(g)) {
            return Err(refuse(
                "InvalidParameterCombination",
                "the DB instance and EC2 security group are in different VPCs",
            ));
        }
        check_tags(&spec.tags, 0)?;
        if i64::try_from(self.dbs.len()).unwrap_or(i64::MAX) >= self.db_quota {
            return Err(refuse("InstanceQuotaExceeded", "the quota of DB instances is used up"));
        }
        Ok(())
    }

    pub(super) fn db_arn(&self, id: &str) -> String {
        format!("arn:aws:rds:{}:{}:db:{id}", self.region, self.account)
    }

    /// The secret in which RDS keeps the master password of a database.
    fn db_secret(&self, id: &str) -> String {
        format!("arn:aws:secretsmanager:{}:{}:secret:rds!db-{id}", self.region, self.account)
    }

    pub(super) fn db_endpoint(&self, id: &str) -> String {
        format!("{id}.{}", self.db_domain())
    }

    /// What the names of databases end with here.
    pub(super) fn db_domain(&self) -> String {
        format!("simulated.{}.rds.amazonaws.com", self.region)
    }

    /// The zones of a database's subnets, in order.
    fn zones_of(&self, db: &DbInstance) -> Vec<String> {
        let group = db.subnet_group.as_ref().and_then(|g| self.subnet_groups.get(g));
        let ids = group.unwrap_or(&db.subnets);
        let mut zones: Vec<String> =
            ids.iter().filter_map(|s| self.subnets.get(s)).map(|s| s.zone.clone()).collect();
        zones.sort();
        zones.dedup();
        if zones.is_empty() {
            zones = vec![format!("{}a", self.region), format!("{}b", self.region)];
        }
        zones
    }

    pub(super) fn db_reaches(&mut self, id: &str, generation: u64, to: &'static str) {
        let (now, endpoint) = (self.now, self.db_endpoint(id));
        let Some(d) = self.dbs.get_mut(id).filter(|d| d.generation == generation) else { return };
        to.clone_into(&mut d.inst.status);
        match to {
            "backing-up" => {
                d.inst.created_at = Some(now);
                d.inst.endpoint = Some(endpoint);
                let due = Due::Db { id: id.to_owned(), generation, to: "available" };
                self.later(self.pace.db_backup, due);
            }
            "available" if d.restorable_from.is_none() && d.inst.backup_retention > 0 => {
                d.restorable_from = Some(now);
            }
            _ => {}
        }
    }

    pub(super) fn db_moves(&mut self, id: &str, generation: u64) {
        let Some(d) = self.dbs.get(id).filter(|d| d.generation == generation) else { return };
        let other = self.zones_of(&d.inst).into_iter().find(|z| Some(z) != d.inst.zone.as_ref());
        if let (Some(zone), Some(d)) = (other, self.dbs.get_mut(id)) {
            d.inst.zone = Some(zone);
        }
    }

    pub(super) fn reboot(&mut self, id: &str, failover: bool) -> Answer<Outcome> {
        let d = self.need_db(id)?;
        let id = d.inst.identifier.clone();
        if d.inst.status != "available" {
            return Err(wrong_status(d));
        }
        if failover && !d.inst.multi_az {
            return Err(refuse(
                "InvalidParameterCombination",
                format!("{id} is not Multi-AZ: it cannot be rebooted with failover"),
            ));
        }
        let begins = self.pace.db_reboot_begins.0;
        let takes = if failover { self.pace.db_failover } else { self.pace.db_reboot }.0;
        let generation = self.send_db(&id, if begins.is_zero() { "rebooting" } else { "available" });
        self.later(crate::model::Dur(begins), Due::Db { id: id.clone(), generation, to: "rebooting" });
        let after = crate::model::Dur(begins + takes);
        if failover {
            let half = crate::model::Dur(begins + takes / 2);
            self.later(half, Due::DbMoves { id: id.clone(), generation });
        }
        self.later(after, Due::Db { id: id.clone(), generation, to: "available" });
        Ok(Outcome::Db { identifier: id, status: "rebooting".to_owned() })
    }

    pub(super) fn modify(&mut self, id: &str, change: &ModifyDb) -> Answer<Outcome> {
        let d = self.need_db(id)?;
        let id = d.inst.identifier.clone();
        if d.inst.status != "available" {
            return Err(wrong_status(d));
        }
        if let Some(bad) = change.other.iter().find(|(k, v)| !set(&mut DbInstance::default(), k, v)) {
            return Err(refuse("InvalidParameterValue", format!("the setting `{}` is not known", bad.0)));
        }
        let born = d.born;
        let protection = change.deletion_protection;
        if protection.is_some() {
            let change = ModifyDb { deletion_protection: protection, ..ModifyDb::default() };
            self.later(self.pace.db_protect, Due::DbChanged { id: id.clone(), born, change });
        }
        let rest = ModifyDb { deletion_protection: None, ..change.clone() };
        if rest != ModifyDb::default() {
            // the call is answered, and nothing shows of it yet
            let generation = self.send_db(&id, "available");
            let change = change.clone();
            let begins = self.pace.db_modify_begins;
            let ends = crate::model::Dur(begins.0 + self.pace.db_modify.0);
            self.later(begins, Due::Db { id: id.clone(), generation, to: "modifying" });
            self.later(ends, Due::DbChanged { id: id.clone(), born, change });
            self.later(ends, Due::Db { id: id.clone(), generation, to: "available" });
        }
        let status = self.dbs[&id].inst.status.clone();
        Ok(Outcome::Db { identifier: id, status })
    }

    pub(super) fn db_changed(&mut self, id: &str, born: u64, change: &ModifyDb) {
        let secret = self.db_secret(id);
        let Some(d) = self.dbs.get_mut(id).filter(|d| d.born == born) else { return };
        if let Some(on) = change.deletion_protection {
            d.inst.deletion_protection = on;
        }
        if let Some((interval, role)) = &change.monitoring {
            d.inst.monitoring_interval = *interval;
            d.inst.monitoring_role.clone_from(role);
        }
        if let Some((retention, key)) = &change.performance_insights {
            d.inst.performance_insights = true;
            d.inst.performance_insights_retention = retention.or(Some(7));
            d.inst.performance_insights_key.clone_from(key);
        }
        if let Some(key) = &change.managed_password {
            d.inst.managed_secret = Some(secret);
            d.inst.managed_secret_key = key.clone().or_else(|| Some("aws/secretsmanager".to_owned()));
        }
        for (k, v) in &change.other {
            set(&mut d.inst, k, v);
        }
    }

    pub(super) fn delete_db(&mut self, id: &str) -> Answer<Outcome> {
        let d = self.need_db(id)?;
        let id = d.inst.identifier.clone();
        if ["creating", "backing-up", "deleting"].contains(&d.inst.status.as_str()) {
            return Err(wrong_status(d));
        }
        if d.inst.deletion_protection {
            return Err(refuse(
                "InvalidParameterCombination",
                "cannot delete protected DB instance, please disable deletion protection and try again",
            ));
        }
        let generation = self.send_db(&id, "deleting");
        self.later(self.pace.db_delete, Due::DbGone { id: id.clone(), generation });
        Ok(Outcome::Db { identifier: id, status: "deleting".to_owned() })
    }

    fn db_of(&mut self, arn: &str) -> Answer<&mut DbInstance> {
        let found = self.dbs.values_mut().map(|d| &mut d.inst).find(|d| d.arn == arn);
        found.ok_or_else(|| refuse("DBInstanceNotFound", format!("no DB instance has the ARN {arn}")))
    }

    pub(super) fn tag_db(&mut self, arn: &str, tags: &Tags) -> Answer<Outcome> {
        check_tags(tags, 0)?;
        self.db_of(arn)?.tags.extend(tags.clone());
        Ok(Outcome::Done)
    }

    pub(super) fn untag_db(&mut self, arn: &str, keys: &[String]) -> Answer<Outcome> {
        self.db_of(arn)?.tags.retain(|k, _| !keys.contains(k));
        Ok(Outcome::Done)
    }
}

/// What a copy has of the other settings: as was asked, else what AWS gives by itself where the source has any.
fn defaults(source: &DbInstance, asked: &DbMore) -> DbMore {
    let of = |asked: &Option<String>, there: &Option<String>, given: &str| {
        asked.clone().or_else(|| there.as_ref().map(|_| given.to_owned()))
    };
    let has = &source.more;
    DbMore {
        lifecycle_support: of(
            &asked.lifecycle_support,
            &has.lifecycle_support,
            "open-source-rds-extended-support",
        ),
        minor_upgrades: asked.minor_upgrades.or_else(|| has.minor_upgrades.map(|_| true)),
        network_type: of(&asked.network_type, &has.network_type, "IPV4"),
        backup_window: has.backup_window.clone(),
        maintenance_window: has.maintenance_window.clone(),
        ..asked.clone()
    }
}

fn wrong_status(d: &Database) -> super::refusal::Refusal {
    refuse(
        "InvalidDBInstanceState",
        format!("instance {} is not in a state for this: {}", d.inst.identifier, d.inst.status),
    )
}

fn valid_identifier(id: &str) -> bool {
    (1..=63).contains(&id.len())
        && id.starts_with(|c: char| c.is_ascii_alphabetic())
        && id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
        && !id.ends_with('-')
        && !id.contains("--")
}

/// Changes one setting by name; `false` where the name or the value is not known.
fn set(d: &mut DbInstance, name: &str, value: &str) -> bool {
    let list = || value.split(',').filter(|v| !v.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    let text = Some(value.to_owned());
    match name {
        "class" => value.clone_into(&mut d.class),
        "security_groups" => d.security_groups = list(),
        "log_exports" => d.log_exports = list(),
        "parameter_group" => d.parameter_group = text,
        "option_group" => d.option_group = text,
        "storage_type" => d.storage_type = text,
        "ca" => d.ca = text,
        "domain" => d.domain = text,
        "domain_role" => d.domain_role = text,
        "license_model" => d.license_model = text,
        _ => return set_parsed(d, name, value).is_some(),
    }
    true
}

fn set_parsed(d: &mut DbInstance, name: &str, value: &str) -> Option<()> {
    match name {
        "multi_az" => d.multi_az = value.parse().ok()?,
        "publicly_accessible" => d.publicly_accessible = value.parse().ok()?,
        "iam_auth" => d.iam_auth = value.parse().ok()?,
        "copy_tags_to_snapshot" => d.copy_tags_to_snapshot = value.parse().ok()?,
        "backup_retention" => d.backup_retention = value.parse().ok()?,
        "storage_gib" => d.storage_gib = Some(value.parse().ok()?),
        "iops" => d.iops = Some(value.parse().ok()?),
        "throughput" => d.throughput = Some(value.parse().ok()?),
        "max_storage_gib" => d.max_storage_gib = Some(value.parse().ok()?),
        "port" => d.port = Some(value.parse().ok()?),
        _ => return None,
    }
    Some(())
}
