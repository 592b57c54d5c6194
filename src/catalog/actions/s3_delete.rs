//! `s3.delete-objects`: lays delete markers over objects of a versioned bucket.
//!
//! Left to others: whether anybody missed them, which probes see. Invariant: no version is ever
//! removed; undo takes away only the markers that the run itself made, by the ids that were answered.

use std::time::Duration;

use async_trait::async_trait;
use chrono::TimeDelta;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::look;
use super::rds_restore::over;
use super::s3_objects::{
    Recorded, State, UpTo, Which, current, delete, keys, live, seen, stacks, states, too_many,
};
use super::s3_own::Own;
use crate::catalog::action::{
    Action, ActionError, ActionSpec, After, Applied, Batch, Finding, Of, OutputSpec, Outputs, Permissions,
    Prepared, Progress, ReadCx, Reversibility, Severity, StageRule, Undone, WriteCx,
};
use crate::catalog::kinds;
use crate::cloud::{BucketInfo, CloudResult, EffectCertainty, Named, ObjectRef, ObjectVersion, What};
use crate::model::{Dur, Target};

/// `s3.delete-objects`.
pub struct S3Delete;

/// Parameters of `s3.delete-objects`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// Delete every object under this prefix; `""` is the whole bucket. Either this or `keys`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// Delete these objects. Either this or `prefix`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
    /// Refuse to delete more objects than this, per bucket.
    #[serde(default = "hundred")]
    pub max_objects: usize,
    /// Buckets that delete markers are replicated to and that undo mends too. Each has to be drawn by a
    /// selector of the drill, too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replicas: Vec<String>,
}

fn hundred() -> usize {
    100
}

/// What undo needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undo {
    /// Bucket.
    pub bucket: String,
    /// The prefix, where the drill names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// Each object with the versions that it had.
    objects: Vec<Recorded>,
    /// The same for each replica.
    replicas: Vec<(String, Vec<Recorded>)>,
}

static SPEC: ActionSpec = ActionSpec {
    name: "s3.delete-objects",
    summary: "Deletes objects of a versioned bucket, so that their versions stay and undo brings them back.",
    kind: Some(kinds::S3_BUCKET),
    stage: StageRule::Fault,
    reversibility: Reversibility::Reversible,
    after: After::None,
    batch: Batch { size: 1, by_zone: false },
    mends: &[],
    outputs: &[OutputSpec::about("objects", "How many objects were deleted.")],
    timeout: Dur::mins(10),
    undo_timeout: Dur::mins(30),
    poll_every: Dur::secs(5),
    permissions: Permissions {
        prepare: &[
            "s3:GetBucketABAC",
            "s3:GetBucketLocation",
            "s3:GetBucketVersioning",
            "s3:GetReplicationConfiguration",
            "s3:GetLifecycleConfiguration",
            "s3:GetBucketNotification",
            "s3:ListBucketVersions",
        ],
        apply: &["s3:ListBucketVersions", "s3:DeleteObject"],
        poll: &["s3:ListBucketVersions"],
        undo: &["s3:ListBucketVersions", "s3:DeleteObjectVersion"],
    },
    undo_story: "Removes, by version id, the delete marker that the step made on each object; the version underneath \
                 becomes the current one again.",
    docs: "Sends DeleteObjects without version ids, at most 1,000 keys a call: S3 lays a delete marker over each \
object and keeps its versions, and readers get 404. S3 answers 200 even where it refused single objects; those \
make the step fail, with what was deleted put back.

Before the call, every version of every object is recorded, and the answer names each marker that was made. Undo \
removes these and no other; an object that is current already needs nothing, also one that somebody has written anew: \
its content stays, and only the step's own marker below it is removed. A marker that somebody else laid \
meanwhile is left, and the step is stuck, since that object is not as it was. Where an answer was lost, a marker \
is the step's own only if it is the one thing that is new on its object and was written while the call may have \
had its effect; else nobody can tell, and a person has to.

Refused: buckets whose versioning is not Enabled (the objects would be gone for good) or that have MFA Delete on \
(a marker could be made and not be removed); a rule that expires noncurrent versions sooner than `give_up` plus a \
day; a bucket with attribute-based access control on, where PutBucketTagging is refused; \
more objects than `max_objects`, of which no more than that are listed; more than 100,000 versions and markers under the \
prefix; no object at all; and replication of delete markers, unless every bucket \
that they travel to is named in `replicas`, since S3 replicates a marker but not its removal. A bucket in \
`replicas` has to be one that the replication rules name, and one that a selector of the drill draws, so that all \
limits hold for it as for any target. Undo then removes \
the copies of its own markers there too, which have the same version ids; a marker that arrives later still has to be looked for by hand. Event notifications \
are pointed out: consumers will see the deletions.

Relied on: \"Working with delete markers\", \"Deleting object versions from a versioning-enabled bucket\", \
\"Replicating delete markers between buckets\" (S3 User Guide) and \"DeleteObjects\" (API reference).",
};

fn refusals(cx: ReadCx<'_>, info: &BucketInfo, params: &Params) -> Vec<(String, String)> {
    let mut out = Vec::new();
    if info.versioning != "Enabled" {
        let state = if info.versioning.is_empty() { "off" } else { &info.versioning };
        out.push((
            format!("its versioning is {state}, so a deletion could not be undone"),
            "turn on versioning and wait 15 minutes, which S3 may take until every write makes a version; or choose \
             another bucket"
                .to_owned(),
        ));
    }
    if info.abac {
        out.push((
            "attribute-based access control is on, so that PutBucketTagging, which holds a target, is refused".to_owned(),
            "turn it off for this bucket, or choose another".to_owned(),
        ));
    }
    if info.mfa_delete {
        out.push((
            "MFA Delete is on, so the delete markers could not be removed again".to_owned(),
            "choose a bucket without MFA Delete".to_owned(),
        ));
    }
    let unnamed: Vec<&str> = info
        .marker_replicas
        .iter()
        .filter(|bucket| !params.replicas.contains(bucket))
        .map(String::as_str)
        .collect();
    if !unnamed.is_empty() {
        out.push((
            format!(
                "it replicates delete markers to {}, and their removal does not travel",
                unnamed.join(", ")
            ),
            format!("name what undo has to mend too: `replicas: [{}]`", info.marker_replicas.join(", ")),
        ));
    }
    let other: Vec<&str> = params
        .replicas
        .iter()
        .filter(|bucket| !info.marker_replicas.contains(bucket))
        .map(String::as_str)
        .collect();
    if !other.is_empty() {
        out.push((
            format!("it replicates no delete markers to {}", other.join(", ")),
            "under `replicas` name only buckets that its replication rules name".to_owned(),
        ));
    }
    if let Some(days) = info.noncurrent_expiry_days {
        let needed = TimeDelta::milliseconds(cx.give_up.ms()) + TimeDelta::days(1);
        if TimeDelta::days(i64::from(days)) < needed {
            out.push((
                format!(
                    "a lifecycle rule expires noncurrent versions after {days} days, sooner than `give_up` ({}) \
                     plus a day",
                    cx.give_up
                ),
                "lengthen that rule, or shorten `give_up`".to_owned(),
            ));
        }
    }
    out
}

async fn inspect_one(
    cx: ReadCx<'_>,
    bucket: &str,
    params: &Params,
    out: &mut Vec<Finding>,
) -> CloudResult<()> {
    let info = cx.reads.s3.bucket_info(bucket).await?;
    out.extend(
        refusals(cx, &info, params)
            .into_iter()
            .map(|(text, hint)| Finding::new(Severity::Refusal, bucket, text).hint(hint)),
    );
    if info.notifications {
        out.push(Finding::new(
            Severity::Warning,
            bucket,
            "it sends event notifications: consumers will see the deletions",
        ));
    }
    let Ok(which) = Which::from(params.prefix.as_deref(), &params.keys) else { return Ok(()) };
    if matches!(which, Which::Prefix("")) {
        out.push(Finding::new(Severity::Warning, bucket, "`prefix: \"\"` means every object in it"));
    }
    let stacks = stacks(cx, bucket, which, UpTo::Objects(params.max_objects)).await?;
    let found = live(&stacks);
    let gone = |stack: &[ObjectVersion]| !stack.iter().any(|v| v.latest && !v.marker);
    for key in stacks.iter().filter(|(_, s)| gone(s)).map(|(k, _)| k) {
        if matches!(which, Which::Keys(_)) {
            out.push(Finding::new(Severity::Refusal, bucket, format!("there is no object {key}")));
        }
    }
    if let Some((text, hint)) = too_many(&stacks, params.max_objects) {
        out.push(Finding::new(Severity::Refusal, bucket, text).hint(hint));
    } else if found == 0 {
        out.push(Finding::new(Severity::Refusal, bucket, "no object is meant: there is nothing to delete"));
    } else {
        out.push(Finding::new(Severity::Info, bucket, format!("{found} objects will be deleted")));
    }
    Ok(())
}

async fn prepare_one(cx: ReadCx<'_>, target: Option<&Target>, params: &Params) -> Result<Undo, ActionError> {
    let bucket = &target.ok_or_else(|| ActionError::refused("deleting objects needs a bucket"))?.id;
    let which = Which::from(params.prefix.as_deref(), &params.keys).map_err(ActionError::refused)?;
    // once more: the bucket may have been changed since the plan was made
    let info = cx.reads.s3.bucket_info(bucket).await?;
    if let Some((text, hint)) = refusals(cx, &info, params).into_iter().next() {
        return Err(ActionError::refused(format!("{bucket}: {text}")).hint(hint));
    }
    let objects = current(cx, bucket, which, params.max_objects).await?;
    if objects.is_empty() {
        return Err(ActionError::refused(format!("{bucket}: there is nothing to delete")));
    }
    let names = keys(&objects);
    let mut replicas = Vec::new();
    for replica in &params.replicas {
        let which = params.prefix.as_deref().map_or(Which::Keys(&names), Which::Prefix);
        let last = names.iter().max().map_or("", String::as_str);
        let there = stacks(cx, replica, which, UpTo::Key(last)).await?;
        let recorded = there
            .into_iter()
            .filter(|(key, _)| names.contains(key))
            .filter_map(|(key, stack)| {
                let current = stack.iter().find(|v| v.latest && !v.marker)?.version.clone();
                Some(Recorded { key, current, known: stack.into_iter().map(|v| v.version).collect() })
            })
            .collect();
        replicas.push((replica.clone(), recorded));
    }
    Ok(Undo { bucket: bucket.clone(), prefix: params.prefix.clone(), objects, replicas })
}

fn outputs(undo: &Undo) -> Outputs {
    Outputs::from([("objects".to_owned(), undo.objects.len().to_string())])
}

async fn apply_one(cx: WriteCx<'_>, undo: &Undo) -> Result<Applied, ActionError> {
    // what carries a marker already must not get a second one, which undo could not tell apart
    let mut objects = Vec::new();
    let own = Own::of(&cx.read.calls.sent(), &undo.bucket);
    for (recorded, state) in states(cx.read, &undo.bucket, undo.prefix.as_deref(), &undo.objects).await? {
        match state {
            State::AsBefore => objects.push(ObjectRef { key: recorded.key.clone(), version: None }),
            State::Marked(all) if own.split(&recorded.key, &all).own.len() == all.len() => {}
            State::Marked(_) | State::Overwritten(_) => {
                return Err(ActionError::refused(format!(
                    "{} was changed since it was recorded",
                    recorded.key
                )));
            }
            State::Between(_, why) | State::Unclear(why) => return Err(ActionError::refused(why)),
        }
    }
    match delete(cx, &undo.bucket, objects).await.error() {
        // refused for single objects: that is the answer, and polling would not find another
        Some(error) => Err(ActionError { hopeless: error.kind.is_none(), ..error }),
        None => Ok(Applied { outputs: outputs(undo), notes: Vec::new() }),
    }
}

/// What one round of mending a bucket found.
struct Mended {
    removed: usize,
    /// Nobody can tell what is right for these.
    unclear: Vec<String>,
    /// Somebody else deleted these.
    deleted: Vec<String>,
    /// Somebody wrote these anew.
    overwritten: Vec<String>,
}

async fn mend(
    cx: WriteCx<'_>,
    bucket: &str,
    prefix: Option<&str>,
    recorded: &[Recorded],
    own: &Own,
) -> Result<Mended, ActionError> {
    let mut markers = Vec::new();
    let mut out = Mended { removed: 0, unclear: Vec::new(), deleted: Vec::new(), overwritten: Vec::new() };
    for (recorded, state) in states(cx.read, bucket, prefix, recorded).await? {
        match state {
            State::AsBefore => {}
            State::Overwritten(below) => {
                out.overwritten.push(recorded.key.clone());
                let own = below.into_iter().filter(|marker| own.has_answered(&marker.version));
                markers
                    .extend(own.map(|m| ObjectRef { key: recorded.key.clone(), version: Some(m.version) }));
            }
            State::Marked(all) => {
                let key = &recorded.key;
                let split = own.split(key, &all);
                let named = |id| ObjectRef { key: key.clone(), version: Some(id) };
                markers.extend(split.own.into_iter().map(named));
                out.deleted
                    .extend(split.others.iter().map(|id| format!("{key} in {bucket} (delete marker {id})")));
                if !split.unclear.is_empty() {
                    out.unclear.push(format!(
                        "{key} in {bucket}: an answer was lost, and whether the delete marker {} is the run's \
                         cannot be told",
                        split.unclear.join(" or ")
                    ));
                }
            }
            // one's own marker hides nothing that its removal could: what then shows is for the next look
            State::Between(all, why) => {
                let own = all.into_iter().filter(|marker| own.has_answered(&marker.version));
                let before = markers.len();
                markers
                    .extend(own.map(|m| ObjectRef { key: recorded.key.clone(), version: Some(m.version) }));
                if markers.len() == before {
                    out.unclear.push(why);
                }
            }
            State::Unclear(why) => out.unclear.push(why),
        }
    }
    let sent = delete(cx, bucket, markers).await;
    out.removed = sent.deleted;
    match sent.error() {
        Some(error) => Err(error),
        None => Ok(out),
    }
}

/// What undo must not decide is an error that names it.
fn left_to_a_person(unclear: &[String], deleted: &[String]) -> Result<(), ActionError> {
    let (text, hint) = match (unclear, deleted) {
        ([], []) => return Ok(()),
        ([first, ..], _) => (
            format!("{} objects need a person; {first}", unclear.len() + deleted.len()),
            "compare the object's versions, and remove by its version id the delete marker that the run made",
        ),
        ([], [first, ..]) => (
            format!("somebody else deleted {} objects meanwhile, which is left: {first}", deleted.len()),
            "if that deletion is meant, there is nothing to mend; if not, remove the delete marker by its version id",
        ),
    };
    Err(ActionError::hopeless(text).effect(EffectCertainty::Partial).hint(hint))
}

#[async_trait]
impl Action for S3Delete {
    type Params = Params;
    type Undo = Undo;

    fn spec(&self) -> &'static ActionSpec {
        &SPEC
    }

    fn about<'u>(&self, undo: &'u Undo) -> Vec<Named<'u>> {
        let replicas = undo.replicas.iter().map(|(bucket, _)| bucket);
        std::iter::once(&undo.bucket).chain(replicas).map(|b| (What::Bucket, b.as_str())).collect()
    }

    fn astray(&self, undo: &Undo, _: &Of<'_>, params: &Params) -> Option<&'static str> {
        (undo.prefix != params.prefix).then_some("prefix")
    }

    fn beside<'p>(&self, params: &'p Params) -> &'p [String] {
        &params.replicas
    }

    fn check(&self, params: &Params) -> Vec<String> {
        let mut wrong: Vec<String> =
            Which::from(params.prefix.as_deref(), &params.keys).err().into_iter().collect();
        if params.max_objects == 0 {
            wrong.push("`max_objects: 0` leaves nothing to delete".to_owned());
        }
        wrong
    }

    async fn inspect(
        &self,
        cx: ReadCx<'_>,
        targets: &[Target],
        params: &Params,
    ) -> CloudResult<Vec<Finding>> {
        let mut out = Vec::new();
        for target in targets {
            inspect_one(cx, &target.id, params, &mut out).await?;
        }
        Ok(out)
    }

    async fn prepare(
        &self,
        cx: ReadCx<'_>,
        batch: &[(Option<Target>, Value)],
        params: &Params,
    ) -> Vec<Result<Undo, ActionError>> {
        let mut out = Vec::with_capacity(batch.len());
        for (target, _) in batch {
            out.push(prepare_one(cx, target.as_ref(), params).await);
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
        // that some are deleted and some are not is what an answer with something left out says, too
        let alike = |all: &Vec<(&Recorded, State)>| {
            let marked = all.iter().filter(|(_, s)| s.was_deleted()).count();
            marked == all.len() || all.iter().all(|(_, s)| *s == State::AsBefore)
        };
        let see = || seen(cx, &undo.bucket, undo.prefix.as_deref(), &undo.objects);
        let states = look::agreed(cx, alike, see).await?;
        let marked = states.iter().filter(|(_, s)| s.was_deleted()).count();
        if marked == states.len() {
            return Ok(Progress::Ready(Applied { outputs: outputs(undo), notes: Vec::new() }));
        }
        if states.iter().all(|(_, s)| *s == State::AsBefore) {
            return Ok(Progress::Absent);
        }
        // a fault is not sent twice, so looking again is useless
        Err(ActionError::hopeless(format!("{marked} of {} objects are deleted", states.len()))
            .effect(EffectCertainty::Partial))
    }

    async fn undo(&self, cx: WriteCx<'_>, _: Option<&Target>, undo: &Undo) -> Result<Undone, ActionError> {
        let since = cx.read.clock.now();
        let prefix = undo.prefix.as_deref();
        let (mut removed, mut there) = (0, 0);
        let last = loop {
            let own = || Own::of(&cx.read.calls.sent(), &undo.bucket);
            let mended = mend(cx, &undo.bucket, prefix, &undo.objects, &own()).await?;
            let mut round = mended.removed;
            removed += mended.removed;
            let (mut unclear, mut deleted) = (mended.unclear, mended.deleted);
            for (replica, recorded) in &undo.replicas {
                // what was removed above is known by now as the run's, also where its answer was lost
                let mended = mend(cx, replica, prefix, recorded, &own().replicated()).await?;
                round += mended.removed;
                there += mended.removed;
                unclear.extend(mended.unclear);
                deleted.extend(mended.deleted);
            }
            left_to_a_person(&unclear, &deleted)?;
            // a deletion whose answer was lost, or a replica's marker, may show up late; and what was
            // removed is looked at once more
            let may_come = removed == 0 || (!undo.replicas.is_empty() && there == 0);
            if round == 0 && (!may_come || over(cx.read, since, cx.read.settle)) {
                break mended.overwritten;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        };
        let other = if last.is_empty() { "" } else { "other " };
        let mut proof = vec![match removed {
            0 => format!("every {other}object in {} is as it was", undo.bucket),
            n => format!(
                "{n} delete markers removed in {}, the {other}recorded versions are current",
                undo.bucket
            ),
        }];
        if !undo.replicas.is_empty() {
            proof.push(format!("{there} markers removed in its replicas"));
        }
        if !last.is_empty() {
            proof.push(format!("written anew by somebody else, and left so: {}", last.join(", ")));
        }
        let text = proof.join("; ");
        Ok(if removed + there > 0 { Undone::PutBack(text) } else { Undone::Already(text) })
    }
}

#[cfg(test)]
mod tests;
