//! `s3.restore-objects`: takes delete markers off objects that existed before the fault.
//!
//! Left to others: bringing back content that was overwritten. Invariant: only delete markers are
//! removed, and only those that lie on a version captured before the fault; where the run itself laid
//! some, only its own.

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::s3_objects::{Recorded, State, Which, current, delete, states};
use super::s3_own::Own;
use crate::catalog::action::{
    Action, ActionError, ActionSpec, After, Applied, Batch, Finding, Of, OutputSpec, Outputs, Permissions,
    Prepared, Progress, ReadCx, Reversibility, Severity, StageRule, Undone, WriteCx,
};
use crate::catalog::kinds;
use crate::cloud::{CloudResult, EffectCertainty, Named, ObjectRef, What};
use crate::model::{Dur, Target};

/// `s3.restore-objects`.
pub struct S3Restore;

/// Parameters of `s3.restore-objects`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// Restore every object that was under this prefix before the fault; `""` is the whole bucket.
    /// Either this or `keys`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// Restore these objects. Either this or `prefix`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
    /// Refuse to restore more objects than this, per bucket.
    #[serde(default = "thousand")]
    pub max_objects: usize,
}

fn thousand() -> usize {
    1_000
}

/// What poll needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undo {
    /// Bucket.
    pub bucket: String,
    /// The prefix, where the drill names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// The objects as they were before the fault.
    objects: Vec<Recorded>,
}

static SPEC: ActionSpec = ActionSpec {
    name: "s3.restore-objects",
    summary: "Brings deleted objects of a versioned bucket back, by removing the delete markers over them.",
    kind: Some(kinds::S3_BUCKET),
    stage: StageRule::Recovery,
    reversibility: Reversibility::Reversible,
    after: After::None,
    batch: Batch { size: 1, by_zone: false },
    mends: &["s3.delete-objects"],
    outputs: &[OutputSpec::about("objects", "How many objects are current again.")],
    timeout: Dur::mins(30),
    undo_timeout: Dur::mins(1),
    poll_every: Dur::secs(5),
    permissions: Permissions {
        prepare: &["s3:ListBucketVersions"],
        apply: &["s3:ListBucketVersions", "s3:DeleteObjectVersion"],
        poll: &["s3:ListBucketVersions"],
        undo: &[],
    },
    undo_story: "None needed: the restored objects are the state from before the fault, and the fault's own undo \
                 finds it done.",
    docs: "In preflight, before any fault, the current version of every object that is meant is recorded. The step \
then removes, by version id, every delete marker that has come to lie on these versions since, at most 1,000 a \
call; the version underneath becomes the current one again at once. Who laid the marker does not matter where the run \
itself deletes nothing in the bucket: a drill can restore what another tool deleted. Where the run deletes there \
(`s3.delete-objects`), only its own markers are removed, and an object that somebody else deleted meanwhile is \
an error.

An object that somebody has written anew since is an error: its new content is never thrown away. An object \
whose recorded version is gone for good cannot be brought back by this action.

Relied on: \"Working with delete markers\" and \"Restoring previous versions\" (S3 User Guide).",
};

fn outputs(undo: &Undo) -> Outputs {
    Outputs::from([("objects".to_owned(), undo.objects.len().to_string())])
}

async fn apply_one(cx: WriteCx<'_>, undo: &Undo) -> Result<Applied, ActionError> {
    let mut markers = Vec::new();
    let mut wrong = Vec::new();
    // where the run itself deleted, that is what it brings back; what somebody else deleted meanwhile is not its
    let own = Own::of(&cx.read.calls.sent(), &undo.bucket);
    for (recorded, state) in states(cx.read, &undo.bucket, undo.prefix.as_deref(), &undo.objects).await? {
        match state {
            State::AsBefore => {}
            State::Marked(all) => {
                let key = &recorded.key;
                let split = own.split(key, &all);
                let mut ids = split.own;
                if own.any {
                    wrong.extend(split.others.iter().map(|id| {
                        format!(
                            "{key} was deleted by somebody else meanwhile (delete marker {id}), which is left"
                        )
                    }));
                    wrong.extend(split.unclear.iter().map(|id| {
                        format!("whether the delete marker {id} on {key} is this run's cannot be told")
                    }));
                } else {
                    ids.extend(split.others);
                }
                let named = |id| ObjectRef { key: key.clone(), version: Some(id) };
                markers.extend(ids.into_iter().map(named));
            }
            State::Overwritten(_) => wrong.push(format!("{} was written anew", recorded.key)),
            State::Between(_, why) | State::Unclear(why) => wrong.push(why),
        }
    }
    let sent = delete(cx, &undo.bucket, markers).await;
    let some = sent.deleted > 0;
    if let Some(error) = sent.error() {
        return Err(error);
    }
    match wrong.first() {
        None => Ok(Applied { outputs: outputs(undo), notes: Vec::new() }),
        Some(first) => {
            let effect = if some { EffectCertainty::Partial } else { EffectCertainty::None };
            let text = format!("{} objects cannot be restored; {first}", wrong.len());
            Err(ActionError::hopeless(text).effect(effect))
        }
    }
}

#[async_trait]
impl Action for S3Restore {
    type Params = Params;
    type Undo = Undo;

    fn spec(&self) -> &'static ActionSpec {
        &SPEC
    }

    /// An object that is there again, and among those that are meant.
    fn restores(&self, params: &Params, asked: &Value) -> bool {
        let key = asked
            .get("key")
            .and_then(Value::as_str)
            .filter(|_| asked.get("exists") != Some(&Value::Bool(false)));
        let under = |key: &str| params.prefix.as_deref().is_some_and(|prefix| key.starts_with(prefix));
        key.is_some_and(|key| under(key) || params.keys.iter().any(|k| k == key))
    }

    fn about<'u>(&self, undo: &'u Undo) -> Vec<Named<'u>> {
        vec![(What::Bucket, &undo.bucket)]
    }

    fn astray(&self, undo: &Undo, of: &Of<'_>, params: &Params) -> Option<&'static str> {
        if !of.is_captured(&undo.objects) {
            return Some("objects");
        }
        (undo.prefix != params.prefix).then_some("prefix")
    }

    fn check(&self, params: &Params) -> Vec<String> {
        Which::from(params.prefix.as_deref(), &params.keys).err().into_iter().collect()
    }

    async fn inspect(
        &self,
        cx: ReadCx<'_>,
        targets: &[Target],
        params: &Params,
    ) -> CloudResult<Vec<Finding>> {
        let mut out = Vec::new();
        for target in targets {
            // the same reads as in preflight, so that the plan says what preflight would
            if let Err(e) = self.capture(cx, target, params).await {
                let mut finding = Finding::new(Severity::Refusal, &target.id, e.message);
                finding.hint = e.hint;
                out.push(finding);
            }
        }
        Ok(out)
    }

    async fn capture(&self, cx: ReadCx<'_>, target: &Target, params: &Params) -> Result<Value, ActionError> {
        let which = Which::from(params.prefix.as_deref(), &params.keys).map_err(ActionError::refused)?;
        let objects = current(cx, &target.id, which, params.max_objects).await?;
        if objects.is_empty() {
            return Err(ActionError::refused(format!("{}: there is no object to restore later", target.id)));
        }
        serde_json::to_value(objects).map_err(|e| ActionError::refused(format!("captured versions: {e}")))
    }

    async fn prepare(
        &self,
        _: ReadCx<'_>,
        batch: &[(Option<Target>, Value)],
        params: &Params,
    ) -> Vec<Result<Undo, ActionError>> {
        batch
            .iter()
            .map(|(target, captured)| {
                let target = target
                    .as_ref()
                    .ok_or_else(|| ActionError::refused("restoring objects needs a bucket"))?;
                let objects = serde_json::from_value(captured.clone()).map_err(|e| {
                    ActionError::refused(format!(
                        "the versions captured before the fault cannot be read: {e}"
                    ))
                })?;
                Ok(Undo { bucket: target.id.clone(), prefix: params.prefix.clone(), objects })
            })
            .collect()
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
        let mut absent = false;
        for (recorded, state) in states(cx, &undo.bucket, undo.prefix.as_deref(), &undo.objects).await? {
            match state {
                State::AsBefore => {}
                State::Marked(_) => absent = true,
                State::Overwritten(_) => {
                    return Err(ActionError::hopeless(format!("{} was written anew", recorded.key)));
                }
                State::Between(_, why) | State::Unclear(why) => {
                    return Err(ActionError::hopeless(why));
                }
            }
        }
        Ok(if absent {
            Progress::Absent
        } else {
            Progress::Ready(Applied { outputs: outputs(undo), notes: Vec::new() })
        })
    }

    async fn undo(&self, _: WriteCx<'_>, _: Option<&Target>, undo: &Undo) -> Result<Undone, ActionError> {
        Ok(Undone::Nothing(format!(
            "{}: the restored objects are the state from before the fault",
            undo.bucket
        )))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::catalog::actions::trial::{BUCKET, Trial, params, target};
    use crate::cloud::faulty::Fault;

    fn assets() -> Target {
        target(kinds::S3_BUCKET, BUCKET)
    }

    /// Captures, then lays markers over two objects as a fault would.
    async fn damaged(t: &Trial) -> (Params, Undo) {
        let p = params(&S3Restore, json!({ "prefix": "catalogue/" }));
        let undo = t.prepare(&S3Restore, Some(&assets()), &p).await.unwrap();
        t.sim.put_marker(BUCKET, "catalogue/items.json");
        t.sim.put_marker(BUCKET, "catalogue/items.json");
        t.sim.put_marker(BUCKET, "catalogue/prices.json");
        (p, undo)
    }

    #[test]
    fn of_a_bucket_it_restores_the_objects_that_are_meant() {
        let params = |params: serde_json::Value| serde_json::from_value::<Params>(params).unwrap();
        let asked = |key: &str| serde_json::json!({ "bucket": BUCKET, "key": key });
        let prefix = params(serde_json::json!({ "prefix": "catalogue/" }));
        assert!(S3Restore.restores(&prefix, &asked("catalogue/items.json")));
        assert!(!S3Restore.restores(&prefix, &asked("logs/items.json")));
        let keys = params(serde_json::json!({ "keys": ["catalogue/items.json"] }));
        assert!(S3Restore.restores(&keys, &asked("catalogue/items.json")));
        assert!(!S3Restore.restores(&keys, &asked("catalogue/prices.json")));
        let gone = serde_json::json!({ "bucket": BUCKET, "key": "catalogue/items.json", "exists": false });
        assert!(!S3Restore.restores(&prefix, &gone) && !S3Restore.restores(&prefix, &serde_json::json!({})));
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_there_before_the_fault_is_there_again() {
        let t = Trial::new();
        let before = t.sim.snapshot();
        let (p, undo) = damaged(&t).await;
        assert_eq!(S3Restore.poll(t.read(), None, &undo, &p).await.unwrap(), Progress::Absent);
        let done = t.apply(&S3Restore, Some(&assets()), &undo, &p).await.unwrap();
        assert_eq!(done.outputs["objects"], "2");
        assert_eq!(t.settled(&S3Restore, &undo, &p).await.unwrap(), Progress::Ready(done));
        assert_eq!(t.sim.snapshot(), before);
        for _ in 0..2 {
            assert!(matches!(S3Restore.undo(t.write(), None, &undo).await.unwrap(), Undone::Nothing(_)));
        }
        assert_eq!(t.sim.snapshot(), before);
        t.apply(&S3Restore, Some(&assets()), &undo, &p).await.unwrap();
        assert_eq!(t.sim.changes().len(), 1, "there is nothing to send any more");
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_answer_is_found_out_and_a_lost_request_too() {
        for (fault, arrives) in [(Fault::LoseAnswer, true), (Fault::LoseRequest, false)] {
            let t = Trial::new().failing(0, 1, fault);
            let before = t.sim.snapshot();
            let (p, undo) = damaged(&t).await;
            let e = t.apply(&S3Restore, Some(&assets()), &undo, &p).await.unwrap_err();
            assert_eq!(e.effect, EffectCertainty::Unknown);
            let found = t.settled(&S3Restore, &undo, &p).await.unwrap();
            assert_eq!(found != Progress::Absent, arrives, "{found:?}");
            t.apply(&S3Restore, Some(&assets()), &undo, &p).await.unwrap();
            assert_eq!(t.sim.snapshot(), before);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn new_content_is_never_thrown_away() {
        let t = Trial::new();
        let (p, undo) = damaged(&t).await;
        t.sim.put_object(BUCKET, "catalogue/prices.json", "new");
        let e = t.apply(&S3Restore, Some(&assets()), &undo, &p).await.unwrap_err();
        assert_eq!((e.effect, e.hopeless), (EffectCertainty::Partial, true), "{e}");
        assert!(S3Restore.poll(t.read(), None, &undo, &p).await.unwrap_err().hopeless);
        let there = async |key| t.cloud.reads.s3.head(BUCKET, key).await.unwrap().map(|m| m.size);
        assert_eq!(there("catalogue/prices.json").await, Some(3));
        assert!(there("catalogue/items.json").await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_capture_nothing_can_be_restored() {
        let t = Trial::new();
        let p = params(&S3Restore, json!({ "prefix": "catalogue/" }));
        let e = t.prepare_with(&S3Restore, Some(&assets()), Value::Null, &p).await.unwrap_err();
        assert!(e.message.contains("captured before the fault"), "{e}");
        let p = params(&S3Restore, json!({ "prefix": "nothing/" }));
        assert_eq!(t.refusals(&S3Restore, &assets(), &p).await.len(), 1);
        let p = params(&S3Restore, json!({ "prefix": "", "max_objects": 5 }));
        assert!(t.refusals(&S3Restore, &assets(), &p).await[0].contains("more objects are meant"));
    }
}
