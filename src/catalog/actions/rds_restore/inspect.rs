//! What plan and preflight say about a restore before anything is changed. Reads only.

use chrono::TimeDelta;

use super::params::identifier;
use super::{CopyTags, CopyWord, Params, RestorePoint, authorities, find, rfc3339, settings, standing};
use crate::catalog::action::{Finding, ReadCx, Severity};
use crate::cloud::{CloudResult, DbInstance, DbSubnetGroup, Filter, all_pages};
use crate::model::Target;

const DELETED: &str = "where it was deleted, restore it by hand from its retained or replicated automated backups: \
                       `aws rds describe-db-instance-automated-backups`";
/// AWS's limit of tags on a database.
const TAG_LIMIT: usize = 50;

/// Everything found about these targets.
pub(super) async fn inspect(
    cx: ReadCx<'_>,
    targets: &[Target],
    params: &Params,
) -> CloudResult<Vec<Finding>> {
    let mut out = Vec::new();
    if targets.len() > 1 && params.identifier.is_some() {
        out.push(
            Finding::new(
                Severity::Refusal,
                cx.step.as_str(),
                format!("one `identifier` cannot serve {} targets", targets.len()),
            )
            .hint("leave `identifier` out: each copy then gets its own"),
        );
    }
    if params.to == RestorePoint::Latest {
        out.push(
            Finding::new(
                Severity::Info,
                cx.step.as_str(),
                "`to: latest` restores the newest data, a bad migration or a deletion included",
            )
            .hint("give a time before the damage, such as `to: -15m`"),
        );
    }
    if params.tags == CopyTags::Word(CopyWord::Copy) {
        out.push(Finding::new(
            Severity::Warning,
            cx.step.as_str(),
            "`tags: copy` makes the copy look like the source to everything that selects by tag",
        ));
    }
    let mut sources = Vec::new();
    for target in targets {
        match standing(cx, &target.id).await? {
            Some(db) => {
                one(cx, &db, params, &mut out).await?;
                sources.push(db);
            }
            None => {
                let text = "the database does not exist";
                out.push(Finding::new(Severity::Refusal, &target.id, text).hint(DELETED));
            }
        }
    }
    certificates(cx, &sources, &mut out).await;
    quotas(cx, &sources, &mut out).await;
    Ok(out)
}

async fn one(cx: ReadCx<'_>, db: &DbInstance, params: &Params, out: &mut Vec<Finding>) -> CloudResult<()> {
    let id = db.identifier.as_str();
    let refuse = |text: String, hint: &str| Finding::new(Severity::Refusal, id, text).hint(hint);
    if db.status == "deleting" {
        out.push(refuse("it is being deleted".to_owned(), DELETED));
    } else if let Some(cluster) = &db.cluster {
        out.push(refuse(
            format!("it is a member of the cluster {cluster}, which this action cannot restore"),
            "restore the cluster (RestoreDBClusterToPointInTime), then add one instance per member",
        ));
    } else if db.engine.starts_with("custom-") {
        out.push(refuse(
            format!(
                "it is RDS Custom ({}), which takes half of the settings and an instance profile",
                db.engine
            ),
            "restore it by hand: RestoreDBInstanceToPointInTime with CustomIamInstanceProfile",
        ));
    } else if !db.more.more_volumes.is_empty() {
        out.push(refuse(
            format!(
                "it has additional storage volumes ({}), which are not carried over",
                db.more.more_volumes.join(", ")
            ),
            "restore it by hand: RestoreDBInstanceToPointInTime with AdditionalStorageVolumes",
        ));
    } else if let Some(primary) = db.replica_of.as_ref().filter(|_| db.latest_restorable.is_none()) {
        out.push(refuse(
            format!("it is a read replica of {primary} and has no restorable time"),
            "choose the primary as the target, or turn on automated backups of the replica",
        ));
    } else if db.backup_retention == 0 {
        out.push(refuse(
            "its automated backups are off, so there is nothing to restore from".to_owned(),
            "turn on automated backups (a retention of at least one day) and wait for the first one",
        ));
    } else if db.latest_restorable.is_none() {
        out.push(refuse(
            "it has no latest restorable time".to_owned(),
            "wait for its first automated backup",
        ));
    } else {
        window(cx, db, params, out);
    }
    let copy = identifier(cx.run, cx.step, id, params);
    if find(cx, &copy).await?.is_some_and(|found| !super::of_this_step(cx, &found)) {
        out.push(refuse(
            format!("a database {copy} exists already"),
            "give another `identifier`, or delete that database if it is not needed",
        ));
    }
    let tags = super::params::tags(cx, db, params).len();
    if tags > TAG_LIMIT {
        out.push(refuse(
            format!("{tags} tags of the copy are more than the {TAG_LIMIT} that AWS allows"),
            "give the copy fewer `tags`: it needs room for those of redrill's own",
        ));
    }
    addresses(cx, db, params, out).await;
    if params.parameter_group.is_none() && params.security_groups.is_none() {
        out.push(
            Finding::new(
                Severity::Warning,
                id,
                "the copy runs what the source runs by itself (scheduled jobs, replication slots and subscriptions), \
                 and reaches what the source reaches",
            )
            .hint(
                "where that does harm, give the copy a `parameter_group` without the scheduler, or \
                 `security_groups` that let nothing out",
            ),
        );
    }
    restored_without(db, out);
    if db.encrypted {
        out.push(Finding::new(
            Severity::Info,
            id,
            format!(
                "its storage is encrypted with {}: the key must be enabled and usable by the caller (not checked)",
                db.kms_key.as_deref().unwrap_or("a KMS key")
            ),
        ));
    }
    out.push(Finding::new(
        Severity::Info,
        id,
        format!(
            "the copy costs like a {}{} with {} GiB of {} while it exists",
            params.class.as_deref().unwrap_or(&db.class),
            if params.multi_az.unwrap_or(db.multi_az) { " in two zones" } else { "" },
            db.storage_gib.map_or_else(|| "unknown".to_owned(), |n| n.to_string()),
            db.storage_type.as_deref().unwrap_or("storage"),
        ),
    ));
    Ok(())
}

/// Settings of the source that AWS would refuse, or does not let be said.
fn restored_without(db: &DbInstance, out: &mut Vec<Finding>) {
    let mut tell = |text: String, hint: &str| {
        out.push(Finding::new(Severity::Warning, &db.identifier, text).hint(hint));
    };
    if let Some((max, storage)) = db.max_storage_gib.zip(db.storage_gib)
        && !settings::has_room_to_grow(db)
    {
        tell(
            format!(
                "its storage may grow to {max} GiB, less than 10 % above the {storage} GiB that it has, which AWS refuses \
                 of a new database: the copy is restored without a ceiling of its own"
            ),
            "raise the source's MaxAllocatedStorage, or give the copy one before it serves for long",
        );
    }
    if let Some(kind) = db.storage_type.as_ref().filter(|kind| matches!(kind.as_str(), "io1" | "io2"))
        && db.engine.contains("sqlserver")
    {
        tell(
            format!(
                "its storage is {kind}, which a restore of SQL Server cannot ask for: the copy may have other storage, \
                 and be slower"
            ),
            "look at what is told of `storage_type` and `iops` after the restore",
        );
    }
}

/// Whether the copies can have the CAs of their sources.
async fn certificates(cx: ReadCx<'_>, sources: &[DbInstance], out: &mut Vec<Finding>) {
    let known = match authorities::known(cx, sources.iter()).await {
        Ok(known) => known,
        Err(e) => {
            let text = format!("certificate authorities were not checked: {e}");
            out.push(Finding::new(Severity::Info, cx.step.as_str(), text));
            return;
        }
    };
    let now = cx.clock.now();
    out.extend(sources.iter().filter_map(|db| {
        let why = known.lost(db, now)?;
        Some(
            Finding::new(Severity::Warning, &db.identifier, format!("{why}: the copy gets RDS's default CA"))
                .hint("clients that trust the old CA alone will not trust the copy: give them RDS's bundle"),
        )
    }));
}

fn window(cx: ReadCx<'_>, db: &DbInstance, params: &Params, out: &mut Vec<Finding>) {
    let now = cx.clock.now();
    let Some(at) = params.to.at(cx.t0.unwrap_or(now)) else { return };
    let oldest_backup = now - TimeDelta::days(i64::from(db.backup_retention));
    let oldest = db.created_at.map_or(oldest_backup, |created| created.max(oldest_backup));
    let give_up = TimeDelta::milliseconds(cx.give_up.ms());
    if at < oldest {
        out.push(
            Finding::new(
                Severity::Refusal,
                &db.identifier,
                format!(
                    "{} lies before its backups, which begin {} at the earliest",
                    rfc3339(at),
                    rfc3339(oldest)
                ),
            )
            .hint("choose a later time"),
        );
    } else if at > now + give_up {
        out.push(
            Finding::new(
                Severity::Refusal,
                &db.identifier,
                format!("{} lies in the future, later than the drill would wait", rfc3339(at)),
            )
            .hint("choose an earlier time"),
        );
    } else if let Some(latest) = db.latest_restorable
        && at > latest
    {
        out.push(Finding::new(
            Severity::Info,
            &db.identifier,
            format!(
                "{} is later than its latest restorable time {}: the step will wait, and the wait counts",
                rfc3339(at),
                rfc3339(latest)
            ),
        ));
    }
}

async fn addresses(cx: ReadCx<'_>, db: &DbInstance, params: &Params, out: &mut Vec<Finding>) {
    let not_checked = |why: String| {
        Finding::new(Severity::Info, &db.identifier, format!("free addresses were not checked: {why}"))
    };
    let other = params.subnet_group.as_ref().filter(|group| Some(*group) != db.subnet_group.as_ref());
    let ids = match other {
        None => db.subnets.clone(),
        Some(name) => match cx.reads.rds.subnet_group(name).await {
            Ok(group) => {
                elsewhere(db, params, name, &group, out);
                group.subnets
            }
            Err(e) if e.is_not_found() => {
                let text = format!("there is no DB subnet group {name}");
                out.push(Finding::new(Severity::Refusal, &db.identifier, text));
                return;
            }
            Err(e) => return out.push(not_checked(e.to_string())),
        },
    };
    if ids.is_empty() {
        out.push(not_checked("its subnet group lists no subnets".to_owned()));
        return;
    }
    let filter = &Filter { ids, tags: Vec::new() };
    let subnets = match all_pages(|page| cx.reads.ec2.subnets(filter, page)).await {
        Ok(subnets) => subnets,
        Err(e) => {
            out.push(not_checked(e.to_string()));
            return;
        }
    };
    let zones: std::collections::BTreeSet<&str> =
        subnets.iter().filter(|s| s.free_addresses > 0).map(|s| s.zone.as_str()).collect();
    let wanted = if params.multi_az.unwrap_or(db.multi_az) { 2 } else { 1 };
    if zones.len() < wanted {
        out.push(
            Finding::new(
                Severity::Refusal,
                &db.identifier,
                format!(
                    "its subnet group has free addresses in {} of the {wanted} zones that the copy needs",
                    zones.len()
                ),
            )
            .hint("free addresses there, or name another `subnet_group`"),
        );
    }
}

/// Security groups and option groups belong to one VPC each: a restore into another takes neither of the source's.
fn elsewhere(db: &DbInstance, params: &Params, name: &str, group: &DbSubnetGroup, out: &mut Vec<Finding>) {
    let Some(vpc) = db.vpc.as_ref().filter(|vpc| **vpc != group.vpc) else { return };
    let place = format!("the subnet group {name} is in {}, another VPC than the source's {vpc}", group.vpc);
    let named = params.security_groups.as_ref().unwrap_or(&db.security_groups);
    if params.security_groups.is_none() || named.iter().any(|group| db.security_groups.contains(group)) {
        let text = format!("{place}: the copy cannot have the source's security groups there");
        out.push(
            Finding::new(Severity::Refusal, &db.identifier, text)
                .hint(format!("give the copy `security_groups` of {}", group.vpc)),
        );
    }
    if let Some(options) = db.option_group.as_ref().filter(|name| !name.starts_with("default:")) {
        out.push(
            Finding::new(
                Severity::Warning,
                &db.identifier,
                format!(
                    "{place}: AWS refuses the restore where the option group {options} is of the source's VPC"
                ),
            )
            .hint("restore it by hand with an option group of that VPC, or drill it in the source's VPC"),
        );
    }
}

async fn quotas(cx: ReadCx<'_>, sources: &[DbInstance], out: &mut Vec<Finding>) {
    if sources.is_empty() {
        return;
    }
    let quotas = match cx.reads.rds.quotas().await {
        Ok(quotas) => quotas,
        Err(e) => {
            out.push(Finding::new(
                Severity::Info,
                cx.step.as_str(),
                format!("RDS quotas were not checked: {e}"),
            ));
            return;
        }
    };
    let storage: i64 = sources.iter().filter_map(|db| db.storage_gib).map(i64::from).sum();
    let count = i64::try_from(sources.len()).unwrap_or(i64::MAX);
    for (name, more) in [("DBInstances", count), ("AllocatedStorage", storage)] {
        let Some(quota) = quotas.iter().find(|q| q.name == name) else {
            out.push(Finding::new(
                Severity::Info,
                cx.step.as_str(),
                format!("the RDS quota {name} was not checked: the account does not list it"),
            ));
            continue;
        };
        if quota.used.saturating_add(more) > quota.max {
            out.push(
                Finding::new(
                    Severity::Refusal,
                    cx.step.as_str(),
                    format!(
                        "the RDS quota {name} is {} with {} in use; this step needs {more} more",
                        quota.max, quota.used
                    ),
                )
                .hint("raise the quota, or remove what is not needed"),
            );
        }
    }
}
