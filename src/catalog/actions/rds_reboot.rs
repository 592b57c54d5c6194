//! `rds.reboot`: restarts a database, with a failover to the standby if asked.
//!
//! Left to others: whether clients felt it, which probes see. Invariant: exactly one RebootDBInstance
//! is asked for; nothing is there to put back, since a reboot passes by itself.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::rds_restore::{over, standing};
use crate::catalog::action::{
    Action, ActionError, ActionSpec, After, Applied, Batch, Finding, Of, OutputSpec, Outputs, Permissions,
    Prepared, Progress, ReadCx, Reversibility, Severity, StageRule, Undone, WriteCx,
};
use crate::catalog::kinds;
use crate::cloud::{CloudResult, DbInstance, EffectCertainty, Mutation, Named, What};
use crate::model::{Dur, Target};

/// `rds.reboot`.
pub struct RdsReboot;

/// Parameters of `rds.reboot`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// Whether to fail over to the standby in the other zone; Multi-AZ databases only.
    #[serde(default)]
    pub failover: bool,
}

/// What poll needs to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undo {
    /// Database identifier.
    pub identifier: String,
    /// Whether a failover was asked for.
    pub failover: bool,
    /// The zone before.
    pub zone: Option<String>,
    /// When the step began (UTC).
    pub began: DateTime<Utc>,
}

static SPEC: ActionSpec = ActionSpec {
    name: "rds.reboot",
    summary: "Reboots a database, with a failover to the other zone if asked.",
    kind: Some(kinds::RDS_INSTANCE),
    stage: StageRule::Any,
    reversibility: Reversibility::Momentary,
    after: After::None,
    batch: Batch { size: 1, by_zone: false },
    mends: &[],
    outputs: &[
        OutputSpec::about("identifier", "Identifier of the database."),
        OutputSpec::about("zone", "Availability Zone that it runs in afterwards."),
    ],
    timeout: Dur::mins(30),
    undo_timeout: Dur::mins(1),
    poll_every: Dur::secs(2),
    permissions: Permissions {
        prepare: &["rds:DescribeDBInstances"],
        apply: &["rds:RebootDBInstance", "rds:DescribeDBInstances"],
        poll: &["rds:DescribeDBInstances"],
        undo: &[],
    },
    undo_story: "None needed: a reboot passes by itself. A failover leaves the database in the other zone, where \
                 it serves just as well.",
    docs: "Restarts the database engine; connections break and the database is away for as long as the engine \
needs to shut down, recover and start, which grows with the activity before. With `failover: true` a Multi-AZ \
database is restarted on its standby instead, and clients have to resolve its host name again. Pending parameter \
changes that wait for a reboot take effect.

Refused: `failover: true` on a database in a single zone, a database that is not `available`, members of \
clusters, and RDS Custom.

The step is done when the database is `available` again. After a lost answer nothing in AWS tells whether the \
reboot took place once the database is available, so such a step counts as done; whether there was an impact is \
for the drill's probes to see, and a fault without impact is no pass. After a failover AWS may go on naming the \
old zone for a few minutes; where it does at the end of the step, a note says so.

Relied on: \"Rebooting a DB instance\" and \"Failing over a Multi-AZ DB instance for Amazon RDS\" (RDS User Guide).",
};

fn outputs(db: &DbInstance) -> Outputs {
    let mut out = Outputs::from([("identifier".to_owned(), db.identifier.clone())]);
    if let Some(zone) = &db.zone {
        out.insert("zone".to_owned(), zone.clone());
    }
    out
}

async fn the_database(cx: ReadCx<'_>, id: &str) -> Result<DbInstance, ActionError> {
    standing(cx, id).await?.ok_or_else(|| ActionError::refused(format!("there is no database {id}")))
}

fn refusals(db: &DbInstance, params: &Params) -> Vec<(String, &'static str)> {
    let mut out = Vec::new();
    if params.failover && !db.multi_az {
        out.push((
            "it runs in a single zone, so there is nothing to fail over to".to_owned(),
            "choose a Multi-AZ database, or leave `failover` out",
        ));
    }
    if let Some(cluster) = &db.cluster {
        out.push((
            format!("it is a member of the cluster {cluster}"),
            "choose a database that is not in a cluster",
        ));
    }
    if db.engine.starts_with("custom-") {
        out.push((
            format!("it is RDS Custom ({}), which RebootDBInstance does not reboot", db.engine),
            "reboot its EC2 instance, or choose a database that is not RDS Custom",
        ));
    }
    if db.status != "available" {
        out.push((
            format!("it is {}; only an available database can be rebooted", db.status),
            "wait until it is available",
        ));
    }
    out
}

async fn prepare_one(cx: ReadCx<'_>, target: Option<&Target>, params: &Params) -> Result<Undo, ActionError> {
    let target = target.ok_or_else(|| ActionError::refused("a reboot needs a target"))?;
    let db = the_database(cx, &target.id).await?;
    if let Some((text, hint)) = refusals(&db, params).into_iter().next() {
        return Err(ActionError::refused(format!("{}: {text}", target.id)).hint(hint));
    }
    Ok(Undo {
        identifier: target.id.clone(),
        failover: params.failover,
        zone: db.zone,
        began: cx.clock.now(),
    })
}

/// For how long a reboot that AWS has accepted may not show: it answers `rebooting` and may list `available` meanwhile.
const BEGINS: Dur = Dur::mins(2);

/// Sends the reboot and waits, for two minutes at most, until it shows: a poll right
/// afterwards would else take the `available` from before for the end of the reboot.
async fn apply_one(cx: WriteCx<'_>, undo: &Undo) -> Result<Applied, ActionError> {
    let identifier = undo.identifier.clone();
    cx.gate.send(Mutation::RebootDb { identifier, failover: undo.failover }).await?;
    let since = cx.read.clock.now();
    let mut notes = Vec::new();
    loop {
        match standing(cx.read, &undo.identifier).await {
            Ok(Some(db)) if db.status == "available" => {}
            Ok(_) => break,
            Err(e) => {
                notes.push(format!("the state right after the call could not be read: {e}"));
                break;
            }
        }
        if over(cx.read, since, BEGINS) {
            notes.push(format!("it was not seen to leave `available` within {BEGINS}"));
            break;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    Ok(Applied { outputs: Outputs::from([("identifier".to_owned(), undo.identifier.clone())]), notes })
}

#[async_trait]
impl Action for RdsReboot {
    type Params = Params;
    type Undo = Undo;

    fn spec(&self) -> &'static ActionSpec {
        &SPEC
    }

    fn about<'u>(&self, undo: &'u Undo) -> Vec<Named<'u>> {
        vec![(What::Database, &undo.identifier)]
    }

    fn astray(&self, undo: &Undo, _: &Of<'_>, params: &Params) -> Option<&'static str> {
        (undo.failover != params.failover).then_some("failover")
    }

    async fn inspect(
        &self,
        cx: ReadCx<'_>,
        targets: &[Target],
        params: &Params,
    ) -> CloudResult<Vec<Finding>> {
        let mut out = Vec::new();
        for target in targets {
            match standing(cx, &target.id).await? {
                None => out.push(Finding::new(Severity::Refusal, &target.id, "the database does not exist")),
                Some(db) => out.extend(
                    refusals(&db, params)
                        .into_iter()
                        .map(|(text, hint)| Finding::new(Severity::Refusal, &target.id, text).hint(hint)),
                ),
            }
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
        let db = the_database(cx, &undo.identifier)
            .await
            .map_err(|e| if e.kind.is_none() { e.effect(EffectCertainty::Unknown) } else { e })?;
        if db.status != "available" {
            return Ok(Progress::Pending(db.status));
        }
        let mut notes = Vec::new();
        if undo.failover && db.zone == undo.zone {
            let zone = db.zone.as_deref().unwrap_or("the same zone");
            if !over(cx, undo.began, Dur(cx.settle.0 * 3)) {
                return Ok(Progress::Pending(format!("available, still in {zone}")));
            }
            notes.push(format!(
                "AWS still says {zone}; after a failover it may take minutes to name the other"
            ));
        }
        Ok(Progress::Ready(Applied { outputs: outputs(&db), notes }))
    }

    async fn undo(&self, _: WriteCx<'_>, _: Option<&Target>, undo: &Undo) -> Result<Undone, ActionError> {
        Ok(Undone::Nothing(format!("{}: a reboot passes by itself", undo.identifier)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::catalog::actions::trial::{Trial, params, target};
    use crate::cloud::faulty::Fault;
    use crate::model::Clock as _;

    fn orders() -> Target {
        target(kinds::RDS_INSTANCE, "shop-orders")
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_ready_only_after_the_reboot() {
        let t = Trial::new();
        let (before, begin) = (t.sim.snapshot(), t.clock.now());
        let p = Params::default();
        let undo = t.prepare(&RdsReboot, Some(&orders()), &p).await.unwrap();
        assert!(matches!(RdsReboot.undo(t.write(), None, &undo).await.unwrap(), Undone::Nothing(_)));
        let done = t.apply(&RdsReboot, Some(&orders()), &undo, &p).await.unwrap();
        assert_eq!(done.notes, [""; 0]);
        let now = RdsReboot.poll(t.read(), None, &undo, &p).await.unwrap();
        assert_eq!(now, Progress::Pending("rebooting".to_owned()));
        let Progress::Ready(done) = t.settled(&RdsReboot, &undo, &p).await.unwrap() else { panic!() };
        assert_eq!(done.outputs["identifier"], "shop-orders");
        assert!((t.clock.now() - begin).num_seconds() >= 60);
        for _ in 0..2 {
            assert!(matches!(RdsReboot.undo(t.write(), None, &undo).await.unwrap(), Undone::Nothing(_)));
        }
        assert_eq!(t.sim.snapshot(), before);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reboot_that_begins_late_is_waited_for() {
        let t = Trial::new();
        t.sim.tune(|pace| pace.db_reboot_begins = Dur::secs(45));
        let begin = t.clock.now();
        let p = Params::default();
        let undo = t.prepare(&RdsReboot, Some(&orders()), &p).await.unwrap();
        let done = t.apply(&RdsReboot, Some(&orders()), &undo, &p).await.unwrap();
        assert_eq!(done.notes, [""; 0]);
        let now = RdsReboot.poll(t.read(), None, &undo, &p).await.unwrap();
        assert_eq!(now, Progress::Pending("rebooting".to_owned()));
        assert!((t.clock.now() - begin).num_seconds() >= 45);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failover_changes_the_zone() {
        let t = Trial::new();
        let p = params(&RdsReboot, json!({ "failover": true }));
        let undo = t.prepare(&RdsReboot, Some(&orders()), &p).await.unwrap();
        t.apply(&RdsReboot, Some(&orders()), &undo, &p).await.unwrap();
        let Progress::Ready(done) = t.settled(&RdsReboot, &undo, &p).await.unwrap() else { panic!() };
        assert_ne!(done.outputs.get("zone"), undo.zone.as_ref());
        assert_eq!(done.notes, [""; 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_zone_that_does_not_change_is_told_and_not_waited_for_for_ever() {
        let t = Trial::new().failing(0, 1, Fault::LoseRequest);
        let p = params(&RdsReboot, json!({ "failover": true }));
        let undo = t.prepare(&RdsReboot, Some(&orders()), &p).await.unwrap();
        let e = t.apply(&RdsReboot, Some(&orders()), &undo, &p).await.unwrap_err();
        assert_eq!(e.effect, EffectCertainty::Unknown);
        let first = RdsReboot.poll(t.read(), None, &undo, &p).await.unwrap();
        assert!(matches!(first, Progress::Pending(_)), "{first:?}");
        let Progress::Ready(done) = t.settled(&RdsReboot, &undo, &p).await.unwrap() else { panic!() };
        assert!(done.notes[0].contains("AWS still says"), "{:?}", done.notes);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_answer_still_waits_for_the_reboot() {
        let t = Trial::new().failing(0, 1, Fault::LoseAnswer);
        let p = Params::default();
        let undo = t.prepare(&RdsReboot, Some(&orders()), &p).await.unwrap();
        t.apply(&RdsReboot, Some(&orders()), &undo, &p).await.unwrap_err();
        let now = RdsReboot.poll(t.read(), None, &undo, &p).await.unwrap();
        assert_eq!(now, Progress::Pending("rebooting".to_owned()));
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_rebooted_is_refused() {
        let t = Trial::new();
        let refusals = async |id: &str, with: Value| {
            let target = target(kinds::RDS_INSTANCE, id);
            t.refusals(&RdsReboot, &target, &params(&RdsReboot, with)).await.join("; ")
        };
        assert_eq!(refusals("shop-orders", json!({ "failover": true })).await, "");
        assert!(refusals("batch-scratch", json!({ "failover": true })).await.contains("a single zone"));
        assert_eq!(refusals("batch-scratch", json!({})).await, "");
        t.sim.edit_db("batch-scratch", |db| db.engine = "custom-oracle-ee".to_owned());
        assert!(refusals("batch-scratch", json!({})).await.starts_with("it is RDS Custom"));
        t.sim.edit_db("batch-scratch", |db| db.engine = "mysql".to_owned());
        t.sim.edit_db("batch-scratch", |db| "stopped".clone_into(&mut db.status));
        assert!(refusals("batch-scratch", json!({})).await.contains("it is stopped"));
        let scratch = target(kinds::RDS_INSTANCE, "batch-scratch");
        assert!(t.prepare(&RdsReboot, Some(&scratch), &Params::default()).await.is_err());
    }
}
