//! `rds.restore-to-point-in-time`: a new database beside the source, as it was at a point in time.
//!
//! Left to others: proving that the data is right (a verify probe reads from the copy) and cutting
//! over to it. Invariant: every setting is sent explicitly, everything that differs is told, and
//! nothing is deleted that does not carry this run's tag.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use crate::catalog::action::{
    Action, ActionError, ActionSpec, After, Applied, Batch, Finding, Of, OutputSpec, Outputs, Permissions,
    Prepared, Progress, ReadCx, Reversibility, StageRule, Undone, WriteCx,
};
use crate::catalog::kinds;
use crate::cloud::{
    CloudError, CloudResult, DbInstance, EffectCertainty, ErrorKind, Mutation, Named, Outcome, RestoreSpec,
    What, all_pages,
};
use crate::model::target::{TAG_KEPT, TAG_REPLACES, TAG_RUN, TAG_STEP};
use crate::model::{Dur, Tags, Target};

use super::{look, whole};

mod authorities;
mod inspect;
mod later;
mod params;
mod point;
mod removal;
mod settings;
#[cfg(test)]
mod tests;

pub use params::{CopyTags, CopyWord, Params, Source, Undo};
pub use point::{RestorePoint, rfc3339};

/// `rds.restore-to-point-in-time`.
pub struct RdsRestore;

static SPEC: ActionSpec = ActionSpec {
    name: "rds.restore-to-point-in-time",
    summary: "Restores a database to a point in time, as a new database beside the source.",
    kind: Some(kinds::RDS_INSTANCE),
    stage: StageRule::Recovery,
    reversibility: Reversibility::Additive,
    after: After::Remove,
    batch: Batch { size: 1, by_zone: false },
    mends: &[],
    outputs: &[
        OutputSpec::of_made("identifier", "Identifier of the new database."),
        OutputSpec::of_made("endpoint", "Host name of the new database."),
        OutputSpec::about("port", "Port of the new database."),
        OutputSpec::about("restored_to", "The point in time that was sent, RFC 3339, UTC."),
        OutputSpec::about("source", "Identifier of the database restored from."),
        OutputSpec::about("secret", "ARN of the secret with its master password, where RDS manages that."),
    ],
    timeout: Dur::hours(4),
    undo_timeout: Dur::hours(2),
    poll_every: Dur::secs(5),
    permissions: Permissions {
        prepare: &[
            "rds:DescribeDBInstances",
            "rds:DescribeAccountAttributes",
            "rds:DescribeCertificates",
            "rds:DescribeDBSubnetGroups",
            "ec2:DescribeSubnets",
        ],
        apply: &[
            "rds:DescribeDBInstances",
            "rds:RestoreDBInstanceToPointInTime",
            "rds:AddTagsToResource",
            "rds:ModifyDBInstance",
            "iam:PassRole",
            "kms:CreateGrant",
            "kms:DescribeKey",
            // what encrypts the secret under a key of one's own is the caller's to use
            "kms:Decrypt",
            "kms:GenerateDataKey",
            "secretsmanager:CreateSecret",
            "secretsmanager:TagResource",
        ],
        poll: &["rds:DescribeDBInstances"],
        undo: &[
            "rds:DescribeDBInstances",
            "rds:ModifyDBInstance",
            "rds:DeleteDBInstance",
            "rds:AddTagsToResource",
            "rds:RemoveTagsFromResource",
        ],
    },
    undo_story: "Waits until the new database can be deleted, deletes it without a final snapshot and with its \
                 automated backups, and waits until it is gone. Only a database that carries this run's tag is \
                 ever deleted.",
    docs: "Creates a new database from the automated backups of the source; the source is not touched. Left to \
itself AWS gives the new database the default security group, subnet group and parameter group and a single \
zone (\"RestoreDBInstanceToPointInTime\", API reference), so every setting of the source is sent explicitly, \
as it was in preflight, before any fault. Enhanced monitoring, Performance Insights and, for all engines but \
Oracle, a master password that RDS manages cannot be given in that call: the step waits until the database is \
available, sends one ModifyDBInstance for monitoring and one for the password, and waits until each shows, for ten \
minutes at most. The copy's managed password is another one than the source's, in the \
secret that the output `secret` names. Whatever still differs from the source is told, setting by setting, \
and for the rest field by field as AWS describes the two, also fields that this version does not know. \
Deletion protection stays off on the copy.

Two settings AWS may not take back, and then the copy does without: a ceiling of storage autoscaling that is less than \
10 % above the storage, as where it has grown near to it, and a CA that RDS does not know any more or that has expired, \
for which the copy gets RDS's default. The plan says so.

`to: -15m` counts back from T0, not from the moment of the call. `to: latest` reads LatestRestorableTime when \
the step begins and sends the second before it as RestoreTime, which must lie before it, because AWS's answer \
does not say which time was used; after a bad migration it restores the bad migration. A time that is not before \
LatestRestorableTime is waited for, and the wait counts towards the recovery time. The time that was sent is the output `restored_to`.

`available` is not the end: storage blocks load lazily, and the first reads are slow. A verify step should read \
from the RESTORED database, through `${steps.ID.endpoint}`.

Undo leaves the copy, and a person has to say what becomes of it, where somebody turned its deletion protection on or \
gave it the tag `redrill:kept` or one of `limits.forbid_tags`, and where the source is gone, is not what serves, or is \
another database of that name, by when it was created.

Undo takes the copy for gone once its deletion was accepted, or seen, and every look of the settling time says \
\"not found\": one such answer proves nothing, and a copy that is still `creating` costs money.

The copy has the source's parameter and option groups and its security groups, unless the drill says otherwise: \
what the source runs by itself (pg_cron, the event scheduler, SQL Server Agent, replication slots and \
subscriptions) the copy runs as well, and it reaches what the source reaches.

Refused: members of Aurora and Multi-AZ clusters (restore the cluster, then add instances), RDS Custom, read \
replicas and databases without automated backups (they have no LatestRestorableTime), times outside the backups, and a \
`subnet_group` in another VPC without `security_groups` of that VPC. A database that was deleted is no target: restoring from retained or \
replicated automated backups (SourceDbiResourceId, SourceDBInstanceAutomatedBackupsArn) is not something this action does. Quotas, \
free addresses of the subnet group and cost are looked at beforehand. `iam:PassRole` is used for the roles of \
enhanced monitoring and of a directory, `kms:*` for encrypted storage and, through Secrets Manager, for a secret \
under a key of your own, `secretsmanager:*` where the source's master password is managed by RDS.

The copy carries `redrill:run`, `redrill:step` and, in `redrill:replaces`, the source's identifier; with \
`after: keep` also `redrill:kept` from the start, so that no sweep removes it under what is cut over to it. With \
`tags: copy` it also looks like the source to everything that selects by tag, so the default is `none`. Relied on: \
\"Restoring a DB instance to a specified time for Amazon RDS\" and \"Deleting a DB instance\" (RDS User Guide).",
};

/// For how long a database that stood may be missing from all answers.
const HIDDEN: Dur = Dur::mins(10);

/// States in which AWS refuses to delete, or to change anything.
fn is_busy(status: &str) -> bool {
    matches!(
        status,
        "creating"
            | "backing-up"
            | "delete-precheck"
            | "modifying"
            | "rebooting"
            | "renaming"
            | "resetting-master-credentials"
            | "starting"
            | "stopping"
            | "upgrading"
            | "maintenance"
            | "converting-to-vpc"
            | "moving-to-vpc"
    ) || status.starts_with("configuring-")
}

/// States that a restore does not leave by itself.
fn is_failed(status: &str) -> bool {
    matches!(status, "failed" | "restore-error" | "storage-full" | "insufficient-capacity")
        || status.starts_with("incompatible-")
        || status.starts_with("inaccessible-encryption-credentials")
}

fn is_usable(status: &str) -> bool {
    DbInstance::is_usable(status)
}

/// The database of that identifier, if there is one: what one look says. That there is none is for [`standing`] to say.
async fn find(cx: ReadCx<'_>, identifier: &str) -> CloudResult<Option<DbInstance>> {
    match cx.reads.rds.instances(Some(identifier), None).await {
        Ok(page) => Ok(page.items.into_iter().find(|d| d.identifier.eq_ignore_ascii_case(identifier))),
        Err(e) if e.is_not_found() => Ok(None),
        Err(e) => Err(e),
    }
}

/// The database of that identifier; `None` only where all looks of the settling time agree that there is none.
pub(super) async fn standing(cx: ReadCx<'_>, identifier: &str) -> CloudResult<Option<DbInstance>> {
    look::present(cx, || find(cx, identifier)).await
}

/// Waits 1, 2, 4, 8 and then always 15 seconds.
pub(super) async fn pause(turn: &mut u32) {
    let seconds = if *turn < 4 { 1 << *turn } else { 15 };
    *turn += 1;
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

/// Whether the time span has passed since `since`.
pub(super) fn over(cx: ReadCx<'_>, since: DateTime<Utc>, span: Dur) -> bool {
    cx.clock.now() - since >= TimeDelta::milliseconds(span.ms())
}

fn of_this_run(cx: ReadCx<'_>, db: &DbInstance) -> bool {
    db.tags.get(TAG_RUN).is_some_and(|run| run == cx.run.as_str())
}

fn of_this_step(cx: ReadCx<'_>, db: &DbInstance) -> bool {
    of_this_run(cx, db) && db.tags.get(TAG_STEP).is_some_and(|step| step == cx.step.as_str())
}

fn outputs(undo: &Undo, db: Option<&DbInstance>) -> Outputs {
    let mut out = Outputs::from([
        ("identifier".to_owned(), undo.identifier.clone()),
        ("source".to_owned(), undo.source.clone()),
        ("restored_to".to_owned(), rfc3339(undo.at)),
    ]);
    if let Some(endpoint) = db.and_then(|d| d.endpoint.clone()) {
        out.insert("endpoint".to_owned(), endpoint);
    }
    if let Some(port) = db.and_then(|d| d.port) {
        out.insert("port".to_owned(), port.to_string());
    }
    if let Some(secret) = db.and_then(|d| d.managed_secret.clone()) {
        out.insert("secret".to_owned(), secret);
    }
    out
}

async fn prepare_one(
    cx: ReadCx<'_>,
    target: Option<&Target>,
    captured: &Value,
    params: &Params,
) -> Result<Undo, ActionError> {
    let target = target.ok_or_else(|| ActionError::refused("a restore needs a target"))?;
    let latest = matches!(params.to, RestorePoint::Latest);
    // else it is not asked for: the fault may have destroyed it, and proving that takes its time
    let now = if latest || captured.is_null() { standing(cx, &target.id).await? } else { None };
    let original = match captured {
        Value::Null => match now.clone() {
            Some(db) => {
                let known = authorities::known(cx, std::iter::once(&db)).await.unwrap_or_default();
                Some(source(cx, db, &known).await?)
            }
            None => None,
        },
        captured => serde_json::from_value(captured.clone())
            .map_err(|e| ActionError::refused(format!("the captured settings cannot be read: {e}")))?,
    }
    .ok_or_else(|| ActionError::refused(format!("there is no database {}", target.id)))?;
    let at = match &params.to {
        RestorePoint::Latest => {
            let latest = now.as_ref().and_then(|db| db.latest_restorable).ok_or_else(|| {
                ActionError::refused(format!("{} has no latest restorable time", target.id))
                    .hint("turn on automated backups, or choose the primary if this is a replica")
            })?;
            latest - TimeDelta::seconds(1)
        }
        RestorePoint::Reference(text) => {
            return Err(ActionError::refused(format!("`{text}` in `to` was not resolved")));
        }
        point => cx
            .t0
            .or(matches!(point, RestorePoint::At(_)).then(|| cx.clock.now()))
            .and_then(|t0| point.at(t0))
            .ok_or_else(|| {
                ActionError::refused(format!("`to: {point}` counts from T0, which is not known"))
            })?,
    };
    let mut like = settings::to_ask_for(&original);
    if original.ca_is_lost {
        like.ca = None;
    }
    let asked = params::overridden(&mut like, params);
    Ok(Undo {
        identifier: params::identifier(cx.run, cx.step, &target.id, params),
        source: target.id.clone(),
        tags: params::tags(cx, &original, params),
        original,
        like,
        asked,
        requested: params.to.to_string(),
        at,
    })
}

async fn source(cx: ReadCx<'_>, db: DbInstance, known: &authorities::Known) -> Result<Source, ActionError> {
    let fields = whole::database(cx, &db).await?.unwrap_or_default();
    Ok(Source { ca_is_lost: known.lost(&db, cx.clock.now()).is_some(), db, fields })
}

/// The copy, if it exists and this step made it.
async fn own_copy(cx: ReadCx<'_>, undo: &Undo) -> Result<Option<DbInstance>, ActionError> {
    match find(cx, &undo.identifier).await? {
        Some(db) if !of_this_step(cx, &db) => Err(ActionError::hopeless(format!(
            "a database {} exists that this step did not make",
            undo.identifier
        ))
        .hint("choose another `identifier`")),
        found => Ok(found),
    }
}

async fn wait_until_restorable(cx: ReadCx<'_>, undo: &Undo) -> Result<(), ActionError> {
    let mut turn = 0;
    loop {
        let source = standing(cx, &undo.source)
            .await?
            .ok_or_else(|| ActionError::refused(format!("the source {} does not exist", undo.source)))?;
        match source.latest_restorable {
            None => {
                return Err(ActionError::refused(format!("{} has no latest restorable time", undo.source)));
            }
            // "must be before the latest restorable time" (RestoreDBInstanceToPointInTime, RestoreTime)
            Some(latest) if latest > undo.at => return Ok(()),
            Some(_) => pause(&mut turn).await,
        }
    }
}

async fn apply_one(cx: WriteCx<'_>, undo: &Undo) -> Result<Applied, ActionError> {
    if own_copy(cx.read, undo).await?.is_none() {
        wait_until_restorable(cx.read, undo).await?;
        let spec = RestoreSpec {
            source: undo.source.clone(),
            target: undo.identifier.clone(),
            at: undo.at,
            like: undo.like.clone(),
            tags: undo.tags.clone(),
        };
        match cx.gate.send(Mutation::RestoreDb { spec: Box::new(spec) }).await {
            Ok(_) => {}
            Err(e) if e.kind == ErrorKind::AlreadyExists => {
                // it was us, in an attempt whose answer was lost, or it was somebody else
                if look::present(cx.read, || own_copy(cx.read, undo)).await?.is_none() {
                    return Err(ActionError::from(e).effect(EffectCertainty::Unknown));
                }
            }
            Err(e) => return Err(restore_error(e)),
        }
    }
    Ok(Applied { outputs: outputs(undo, None), notes: later::carry_over(cx, undo).await })
}

fn restore_error(e: CloudError) -> ActionError {
    let hint = match e.kind {
        ErrorKind::Limit => Some("raise the RDS quota, or remove databases that are not needed"),
        ErrorKind::Capacity => Some("try another `class` or `subnet_group`"),
        _ => None,
    };
    let error = ActionError::from(e);
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

#[async_trait]
impl Action for RdsRestore {
    type Params = Params;
    type Undo = Undo;

    fn spec(&self) -> &'static ActionSpec {
        &SPEC
    }

    fn about<'u>(&self, undo: &'u Undo) -> Vec<Named<'u>> {
        vec![(What::Database, &undo.source)]
    }

    fn found<'u>(&self, undo: &'u Undo) -> Vec<Named<'u>> {
        vec![(What::Database, &undo.identifier)]
    }

    fn astray(&self, undo: &Undo, of: &Of<'_>, params: &Params) -> Option<&'static str> {
        if !of.is_captured(&undo.original) {
            return Some("original");
        }
        if !of.is_tagged(&undo.tags) {
            return Some("tags");
        }
        let identifier = of.run.map(|run| params::identifier(run, of.step, &undo.source, params));
        identifier.is_some_and(|id| id != undo.identifier).then_some("identifier")
    }

    fn check(&self, params: &Params) -> Vec<String> {
        params.wrong()
    }

    async fn inspect(
        &self,
        cx: ReadCx<'_>,
        targets: &[Target],
        params: &Params,
    ) -> CloudResult<Vec<Finding>> {
        inspect::inspect(cx, targets, params).await
    }

    async fn capture_all(
        &self,
        cx: ReadCx<'_>,
        targets: &[Target],
        _: &Params,
    ) -> Vec<Result<Value, ActionError>> {
        let mut found = Vec::with_capacity(targets.len());
        for target in targets {
            let gone = || ActionError::refused(format!("there is no database {}", target.id));
            let db = standing(cx, &target.id).await.map_err(ActionError::from);
            found.push(db.and_then(|db| db.ok_or_else(gone)));
        }
        let all = found.iter().filter_map(|db| db.as_ref().ok());
        let known = authorities::known(cx, all).await.unwrap_or_default();
        let mut out = Vec::with_capacity(found.len());
        for db in found {
            out.push(match db {
                Ok(db) => source(cx, db, &known).await.and_then(|source| {
                    serde_json::to_value(source)
                        .map_err(|e| ActionError::refused(format!("captured settings: {e}")))
                }),
                Err(e) => Err(e),
            });
        }
        out
    }

    async fn prepare(
        &self,
        cx: ReadCx<'_>,
        batch: &[(Option<Target>, Value)],
        params: &Params,
    ) -> Vec<Result<Undo, ActionError>> {
        let mut out = Vec::with_capacity(batch.len());
        for (target, captured) in batch {
            out.push(prepare_one(cx, target.as_ref(), captured, params).await);
        }
        out
    }

    async fn apply(
        &self,
        cx: WriteCx<'_>,
        batch: &[Prepared<Undo>],
        _: &Params,
    ) -> Vec<Result<Applied, ActionError>> {
        let mut out = Vec::with_capacity(batch.len());
        for p in batch {
            out.push(apply_one(cx, &p.undo).await);
        }
        out
    }

    async fn poll(
        &self,
        cx: ReadCx<'_>,
        _: Option<&Target>,
        undo: &Undo,
        _: &Params,
    ) -> Result<Progress, ActionError> {
        let Some(db) = own_copy(cx, undo).await? else { return Ok(Progress::Absent) };
        if is_failed(&db.status) {
            // it does not leave that state by itself: looking again is useless
            return Err(ActionError::hopeless(format!("the restored database is {}", db.status))
                .effect(EffectCertainty::Unknown));
        }
        if !is_usable(&db.status) {
            return Ok(Progress::Pending(db.status));
        }
        let mut notes = settings::told(&undo.original, &db, &undo.asked);
        notes.extend(whole::compared(&undo.original.fields, async || whole::database(cx, &db).await).await);
        Ok(Progress::Ready(Applied { outputs: outputs(undo, Some(&db)), notes }))
    }

    async fn undo(&self, cx: WriteCx<'_>, _: Option<&Target>, undo: &Undo) -> Result<Undone, ActionError> {
        let id = &undo.identifier;
        let cx = look::unanswered(cx, &["rds:RestoreDBInstanceToPointInTime"]);
        // what AWS has accepted is there, or on its way, whatever one look or the looks of a few seconds say
        let made = accepted(cx.read, id, "rds:RestoreDBInstanceToPointInTime");
        let deleted = accepted(cx.read, id, "rds:DeleteDBInstance");
        let (mut turn, mut seen, mut going, mut sent, mut hidden) = (0, false, false, None, None);
        let mut one_too_many = removal::OneTooMany::default();
        loop {
            let now = match standing(cx.read, id).await? {
                None if (seen || made) && !going && !deleted => listed(cx.read, undo).await?,
                now => now,
            };
            match now {
                // a restore whose answer was lost would have shown up by now
                None if !seen && (!made || deleted) => {
                    return Ok(Undone::Already(format!("no {id}: DescribeDBInstances says not found")));
                }
                None if going => {
                    return Ok(Undone::PutBack(format!("{id} deleted, DescribeDBInstances says not found")));
                }
                // It was there, and nobody is known to have deleted it. Nothing is sent for what is not seen: another
                // database may have its name by now.
                None => {
                    let since = *hidden.get_or_insert_with(|| cx.read.clock.now());
                    if over(cx.read, since, HIDDEN) && seen {
                        return Err(removal::not_seen(id));
                    } else if over(cx.read, since, HIDDEN) {
                        let minutes = HIDDEN.ms() / 60_000;
                        return Ok(Undone::Already(format!(
                            "no {id}: it is not listed for {minutes} minutes, so somebody else deleted it"
                        )));
                    }
                }
                Some(db) => {
                    if !of_this_run(cx.read, &db) {
                        return Err(ActionError::hopeless(format!(
                            "{id} does not carry this run's {TAG_RUN} tag, so it is not deleted"
                        ))
                        .hint(format!("look at {id} and delete it by hand if it is not needed")));
                    }
                    (seen, hidden) = (true, None);
                    if db.status == "deleting" {
                        going = true;
                    } else if !is_busy(&db.status) {
                        removal::unclaimed(cx.read, undo, &db)?;
                        // what was asked for may not show at once: the same is not asked twice in a minute
                        let again = sent.is_none_or(|at| over(cx.read, at, Dur::mins(1)));
                        if again && one_too_many.shows(cx.read, undo).await? {
                            going |= removal::remove(cx, &db).await?;
                            sent = Some(cx.read.clock.now());
                        }
                    }
                }
            }
            // how long this may go on is the caller's to limit: a copy can be `creating` for hours
            pause(&mut turn).await;
        }
    }

    async fn keep(&self, cx: WriteCx<'_>, _: Option<&Target>, undo: &Undo) -> Result<Undone, ActionError> {
        let db = look::present(cx.read, || to_keep(cx.read, undo)).await?.ok_or_else(|| {
            ActionError::hopeless(format!("{} should be kept, but does not exist", undo.identifier))
        })?;
        let id = if db.identifier.eq_ignore_ascii_case(&undo.identifier) {
            db.identifier.clone()
        } else {
            format!("{}, now {},", undo.identifier, db.identifier)
        };
        let run = cx.read.run.to_string();
        let kept = db.tags.get(TAG_KEPT) == Some(&run);
        if !of_this_run(cx.read, &db) {
            return if kept {
                Ok(Undone::Already(format!("{id} is tagged {TAG_KEPT}")))
            } else {
                Err(ActionError::hopeless(format!("{id} does not carry this run's {TAG_RUN} tag")))
            };
        }
        if !kept {
            let tags = Tags::from([(TAG_KEPT.to_owned(), run)]);
            cx.gate.send(Mutation::TagDb { arn: db.arn.clone(), tags }).await?;
        }
        let keys = vec![TAG_RUN.to_owned(), TAG_STEP.to_owned()];
        cx.gate.send(Mutation::UntagDb { arn: db.arn, keys }).await?;
        Ok(Undone::PutBack(format!("{id} is kept: tagged {TAG_KEPT}")))
    }
}

/// What is to be kept, whatever its name is by now: a service is cut over by giving the source's name to the copy.
/// Whatever else has the name of the copy comes last, so that it is told.
async fn to_keep(cx: ReadCx<'_>, undo: &Undo) -> CloudResult<Option<DbInstance>> {
    let named = find(cx, &undo.identifier).await?;
    let is_kept = |db: &DbInstance| db.tags.get(TAG_KEPT).is_some_and(|run| run == cx.run.as_str());
    if named.as_ref().is_some_and(|db| of_this_step(cx, db) || is_kept(db)) {
        return Ok(named);
    }
    let mut all = all_pages(|page| cx.reads.rds.instances(None, page)).await?;
    all.retain(|db| db.tags.get(TAG_REPLACES).is_some_and(|source| *source == undo.source));
    let own = all.iter().find(|db| of_this_step(cx, db));
    // asked again, the marks of the run are gone already
    let own = own.or_else(|| all.iter().find(|db| is_kept(db) && !of_this_run(cx, db)));
    Ok(own.cloned().or(named))
}

/// The same by another question: among all databases, every page. One that this step made and that has another name
/// now, the usual end of a cut-over, may be what serves.
async fn listed(cx: ReadCx<'_>, undo: &Undo) -> Result<Option<DbInstance>, ActionError> {
    let all = all_pages(|page| cx.reads.rds.instances(None, page)).await?;
    let is_it = |db: &DbInstance| db.identifier.eq_ignore_ascii_case(&undo.identifier);
    let renamed = |db: &&DbInstance| {
        of_this_step(cx, db) && db.tags.get(TAG_REPLACES).is_some_and(|source| *source == undo.source)
    };
    match all.iter().find(renamed).filter(|db| !is_it(db)) {
        Some(db) if !all.iter().any(is_it) => Err(ActionError::hopeless(format!(
            "{} was renamed to {} and may be what serves, so it is not deleted",
            undo.identifier, db.identifier
        ))
        .effect(EffectCertainty::Unknown)
        .hint(format!(
            "if it serves, take it out of the run: `aws rds remove-tags-from-resource --resource-name {} --tag-keys \
             {TAG_RUN} {TAG_STEP}`; if not, delete it by hand",
            db.arn
        ))),
        _ => Ok(all.into_iter().find(|db| is_it(db))),
    }
}

/// Whether AWS has accepted such a call of this step for this database, in this process or an earlier one.
fn accepted(cx: ReadCx<'_>, identifier: &str, operation: &str) -> bool {
    cx.calls.sent().iter().any(|s| {
        let of_it = matches!(&s.outcome, Some(Outcome::Db { identifier: id, .. }) if id.eq_ignore_ascii_case(identifier));
        s.step == *cx.step && s.operation == operation && !s.refused && of_it
    })
}

fn deletion(identifier: &str) -> Mutation {
    Mutation::DeleteDb { identifier: identifier.to_owned(), final_snapshot: None }
}
