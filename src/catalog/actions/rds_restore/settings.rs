//! What of a database's settings a restore carries over, and what came out different. Pure.

use std::collections::BTreeSet;

use crate::cloud::{DbInstance, DbMore, ModifyDb, may_grow_to};

/// The settings to ask for: the source's, without what AWS would refuse to be told.
///
/// gp3 volumes below the striping threshold have a baseline of 3,000 IOPS and 125 MiB/s that
/// DescribeDBInstances reports and a restore must not name; gp2 and magnetic storage take no IOPS
/// at all. Leaving these out gives the same volume. The zone is AWS's to select: the source's may be
/// the one that fails, and naming one contradicts Multi-AZ. Deletion protection stays off, or the
/// copy could not be taken away.
pub fn to_ask_for(source: &DbInstance) -> DbInstance {
    let mut like = source.clone();
    like.deletion_protection = false;
    like.zone = None;
    like.max_storage_gib = source.max_storage_gib.filter(|_| has_room_to_grow(source));
    more_to_ask_for(source, &mut like);
    if !restore_manages_password(source) {
        (like.managed_secret, like.managed_secret_key) = (None, None);
    }
    match source.storage_type.as_deref() {
        // "This setting doesn't apply to SQL Server" (RestoreDBInstanceToPointInTime, Iops), and of these types a
        // number has to be given: so neither is said, which AWS does not document what it gives for
        kind if source.engine.contains("sqlserver") => {
            if matches!(kind, Some("io1" | "io2")) {
                like.storage_type = None;
            }
            (like.iops, like.throughput) = (None, None);
        }
        Some("gp3") => {
            like.iops = source.iops.filter(|n| *n != 3000);
            like.throughput = source.throughput.filter(|n| *n != 125);
        }
        Some("io1" | "io2") => like.throughput = None,
        _ => {
            like.iops = None;
            like.throughput = None;
        }
    }
    like
}

/// Whether a restore takes the source's ceiling of storage autoscaling, if it has any: one that has grown near to its
/// ceiling has one that AWS would not take any more.
pub fn has_room_to_grow(source: &DbInstance) -> bool {
    source.max_storage_gib.zip(source.storage_gib).is_none_or(|(max, storage)| may_grow_to(max, storage))
}

/// Of the other settings, those that a restore takes and that are not what it gives by itself.
fn more_to_ask_for(source: &DbInstance, like: &mut DbInstance) {
    let has = &source.more;
    // paid support past the end of a version is there for these engines alone, and what AWS takes it for if it is not told
    let supported = source.engine == "mysql" || source.engine == "postgres";
    // a directory of one's own is joined with a secret, one of AWS's with a role: the call takes either
    let own = has.domain_secret.is_some();
    if own {
        (like.domain, like.domain_role) = (None, None);
    }
    like.more = DbMore {
        lifecycle_support: has.lifecycle_support.clone().filter(|_| supported),
        minor_upgrades: has.minor_upgrades,
        network_type: has.network_type.clone().filter(|kind| kind != "IPV4"),
        dedicated_log_volume: has.dedicated_log_volume,
        domain_fqdn: has.domain_fqdn.clone().filter(|_| own),
        domain_ou: has.domain_ou.clone().filter(|_| own),
        domain_secret: has.domain_secret.clone(),
        domain_dns: if own { has.domain_dns.clone() } else { Vec::new() },
        ..DbMore::default()
    };
}

/// Whether a restore can be told that RDS manages the master password: "Applies to RDS for Oracle only"
/// (RestoreDBInstanceToPointInTime, ManageMasterUserPassword), and of Oracle not to its multitenant form
/// ("Limitations for Secrets Manager integration", RDS User Guide). ModifyDBInstance takes it for all others.
fn restore_manages_password(source: &DbInstance) -> bool {
    source.engine.starts_with("oracle") && !source.engine.ends_with("-cdb")
}

/// Of a source, and of its copy where it is there already: what is still to be asked for.
pub type Part = fn(&DbInstance, Option<&DbInstance>) -> Option<ModifyDb>;

/// What only a later ModifyDBInstance can bring, and what to call it.
pub const PARTS: [(&str, Part); 2] =
    [("monitoring", monitoring), ("a master password that RDS manages", managed_password)];

/// Enhanced monitoring and Performance Insights.
fn monitoring(source: &DbInstance, copy: Option<&DbInstance>) -> Option<ModifyDb> {
    let monitored = copy.is_some_and(|c| c.monitoring_interval == source.monitoring_interval);
    let insights = copy.is_some_and(|c| c.performance_insights);
    let change = ModifyDb {
        monitoring: (source.monitoring_interval > 0 && !monitored)
            .then(|| (source.monitoring_interval, source.monitoring_role.clone())),
        performance_insights: (source.performance_insights && !insights)
            .then(|| (source.performance_insights_retention, source.performance_insights_key.clone())),
        ..ModifyDb::default()
    };
    (change != ModifyDb::default()).then_some(change)
}

/// For most engines a master password that RDS manages.
fn managed_password(source: &DbInstance, copy: Option<&DbInstance>) -> Option<ModifyDb> {
    source.managed_secret.as_ref()?;
    let managed = copy.map_or_else(|| restore_manages_password(source), |c| c.managed_secret.is_some());
    let managed_password = Some(source.managed_secret_key.clone());
    (!managed).then(|| ModifyDb { managed_password, ..ModifyDb::default() })
}

/// What is told of a copy that serves: what differs, and what still goes on about its storage.
pub fn told(source: &DbInstance, copy: &DbInstance, asked: &BTreeSet<String>) -> Vec<String> {
    let mut notes = differences(source, copy, asked);
    notes.extend(copy.more.storage_operation.as_ref().map(|(status, percent)| {
        format!("its storage is {}, {percent} % done: until then it is slower", status.to_lowercase())
    }));
    notes
}

/// Every setting that differs between source and copy, one sentence each. `asked` names the
/// settings that the drill overrides.
pub fn differences(source: &DbInstance, copy: &DbInstance, asked: &BTreeSet<String>) -> Vec<String> {
    let mut notes = Vec::new();
    let mut compare = |name: &str, was: String, is: String| {
        if was != is {
            let why = match name {
                _ if asked.contains(name) => " (as the drill asks)",
                "deletion_protection" => " (left off so that the copy can be removed)",
                "zone" => " (AWS selects it)",
                _ => "",
            };
            notes.push(format!("{name}: {was} at the source, {is} in the copy{why}"));
        }
    };
    let text = |v: &Option<String>| v.clone().unwrap_or_else(|| "none".to_owned());
    let number = |v: Option<i32>| v.map_or_else(|| "none".to_owned(), |n| n.to_string());
    let switch = |v: bool| if v { "on" } else { "off" }.to_owned();
    let list = |v: &[String]| {
        let sorted: BTreeSet<&str> = v.iter().map(String::as_str).collect();
        if sorted.is_empty() { "none".to_owned() } else { sorted.into_iter().collect::<Vec<_>>().join(", ") }
    };
    let features = |db: &DbInstance| {
        list(&db.processor_features.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>())
    };
    let (s, c) = (source, copy);
    compare("engine", s.engine.clone(), c.engine.clone());
    compare("engine_version", s.engine_version.clone(), c.engine_version.clone());
    compare("class", s.class.clone(), c.class.clone());
    compare("multi_az", switch(s.multi_az), switch(c.multi_az));
    compare("zone", text(&s.zone), text(&c.zone));
    compare("port", number(s.port), number(c.port));
    compare("publicly_accessible", switch(s.publicly_accessible), switch(c.publicly_accessible));
    compare("subnet_group", text(&s.subnet_group), text(&c.subnet_group));
    compare("vpc", text(&s.vpc), text(&c.vpc));
    compare("security_groups", list(&s.security_groups), list(&c.security_groups));
    compare("parameter_group", text(&s.parameter_group), text(&c.parameter_group));
    compare("option_group", text(&s.option_group), text(&c.option_group));
    compare("storage_type", text(&s.storage_type), text(&c.storage_type));
    compare("storage_gib", number(s.storage_gib), number(c.storage_gib));
    compare("iops", number(s.iops), number(c.iops));
    compare("throughput", number(s.throughput), number(c.throughput));
    compare("max_storage_gib", number(s.max_storage_gib), number(c.max_storage_gib));
    compare("iam_auth", switch(s.iam_auth), switch(c.iam_auth));
    compare("log_exports", list(&s.log_exports), list(&c.log_exports));
    compare("ca", text(&s.ca), text(&c.ca));
    compare("domain", text(&s.domain), text(&c.domain));
    compare("domain_role", text(&s.domain_role), text(&c.domain_role));
    compare("copy_tags_to_snapshot", switch(s.copy_tags_to_snapshot), switch(c.copy_tags_to_snapshot));
    compare("license_model", text(&s.license_model), text(&c.license_model));
    compare("processor_features", features(s), features(c));
    // each database has its own secret: what counts is whether there is one, and its key
    compare("managed_password", switch(s.managed_secret.is_some()), switch(c.managed_secret.is_some()));
    compare("managed_password_key", text(&s.managed_secret_key), text(&c.managed_secret_key));
    compare("monitoring_interval", s.monitoring_interval.to_string(), c.monitoring_interval.to_string());
    compare("monitoring_role", text(&s.monitoring_role), text(&c.monitoring_role));
    compare("performance_insights", switch(s.performance_insights), switch(c.performance_insights));
    compare("performance_insights_key", text(&s.performance_insights_key), text(&c.performance_insights_key));
    compare(
        "performance_insights_retention",
        number(s.performance_insights_retention),
        number(c.performance_insights_retention),
    );
    compare("encrypted", switch(s.encrypted), switch(c.encrypted));
    compare("kms_key", text(&s.kms_key), text(&c.kms_key));
    compare("backup_retention", s.backup_retention.to_string(), c.backup_retention.to_string());
    let (m, n) = (&s.more, &c.more);
    let known = |v: Option<bool>| v.map_or_else(|| "none".to_owned(), switch);
    compare("lifecycle_support", text(&m.lifecycle_support), text(&n.lifecycle_support));
    compare("minor_upgrades", known(m.minor_upgrades), known(n.minor_upgrades));
    compare("network_type", text(&m.network_type), text(&n.network_type));
    compare("dedicated_log_volume", switch(m.dedicated_log_volume), switch(n.dedicated_log_volume));
    compare("domain_fqdn", text(&m.domain_fqdn), text(&n.domain_fqdn));
    compare("domain_ou", text(&m.domain_ou), text(&n.domain_ou));
    compare("domain_secret", text(&m.domain_secret), text(&n.domain_secret));
    compare("domain_dns", list(&m.domain_dns), list(&n.domain_dns));
    compare("insights_mode", text(&m.insights_mode), text(&n.insights_mode));
    compare("roles", list(&m.roles), list(&n.roles));
    compare("backup_window", text(&m.backup_window), text(&n.backup_window));
    compare("maintenance_window", text(&m.maintenance_window), text(&n.maintenance_window));
    compare("deletion_protection", switch(s.deletion_protection), switch(c.deletion_protection));
    notes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source() -> DbInstance {
        DbInstance {
            class: "db.t3.medium".to_owned(),
            storage_type: Some("gp3".to_owned()),
            iops: Some(3000),
            throughput: Some(125),
            security_groups: vec!["sg-2".to_owned(), "sg-1".to_owned()],
            parameter_group: Some("orders".to_owned()),
            deletion_protection: true,
            ..DbInstance::default()
        }
    }

    #[test]
    fn the_gp3_baseline_is_not_asked_for() {
        let like = to_ask_for(&source());
        assert_eq!((like.iops, like.throughput, like.deletion_protection), (None, None, false));
        let big = DbInstance { iops: Some(12_000), throughput: Some(500), ..source() };
        assert_eq!((to_ask_for(&big).iops, to_ask_for(&big).throughput), (Some(12_000), Some(500)));
        let gp2 = DbInstance { storage_type: Some("gp2".to_owned()), ..source() };
        assert_eq!(to_ask_for(&gp2).iops, None);
        let io1 = DbInstance { storage_type: Some("io1".to_owned()), ..source() };
        assert_eq!(to_ask_for(&io1).iops, Some(3000));
        // SQL Server takes no number, and these types no restore without one
        for (kind, asked) in [("io1", None), ("io2", None), ("gp3", Some("gp3"))] {
            let storage_type = Some(kind.to_owned());
            let (engine, iops) = ("sqlserver-se".to_owned(), Some(12_000));
            let like = to_ask_for(&DbInstance { engine, storage_type, iops, ..source() });
            assert_eq!((like.storage_type.as_deref(), like.iops, like.throughput), (asked, None, None));
        }
    }

    #[test]
    fn a_ceiling_that_storage_has_grown_near_to_is_not_asked_for() {
        for (storage, max, asked) in [
            (100, Some(110), Some(110)),
            (100, Some(109), None),
            (100, Some(100), None),
            (105, Some(115), None),
            (105, Some(116), Some(116)),
            (100, None, None),
        ] {
            let db = DbInstance { storage_gib: Some(storage), max_storage_gib: max, ..source() };
            assert_eq!(to_ask_for(&db).max_storage_gib, asked, "{storage} {max:?}");
        }
    }

    #[test]
    fn every_difference_is_told_and_nothing_else() {
        let same = DbInstance { security_groups: vec!["sg-1".to_owned(), "sg-2".to_owned()], ..source() };
        assert_eq!(differences(&source(), &same, &BTreeSet::new()), Vec::<String>::new());

        let copy = DbInstance {
            class: "db.t3.small".to_owned(),
            parameter_group: None,
            deletion_protection: false,
            ..source()
        };
        assert_eq!(
            differences(&source(), &copy, &BTreeSet::from(["class".to_owned()])),
            [
                "class: db.t3.medium at the source, db.t3.small in the copy (as the drill asks)",
                "parameter_group: orders at the source, none in the copy",
                "deletion_protection: on at the source, off in the copy (left off so that the copy can be removed)",
            ]
        );
    }
}
