//! `wait`: lets time pass between two steps.
//!
//! Invariant: the time runs from the moment in the record, so that a resumed run waits only for the rest.

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::catalog::action::{
    Action, ActionError, ActionSpec, After, Applied, Batch, Permissions, Prepared, Progress, ReadCx,
    Reversibility, StageRule, Undone, WriteCx,
};
use crate::cloud::Named;
use crate::model::{Dur, Target};

/// The name in a drill.
pub const NAME: &str = "wait";

/// `wait`.
pub struct Wait;

/// Parameters of `wait`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// How long to wait.
    #[serde(rename = "for")]
    pub time: Dur,
}

/// What poll needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undo {
    /// When the wait is over (UTC).
    pub until: DateTime<Utc>,
}

static SPEC: ActionSpec = ActionSpec {
    name: NAME,
    summary: "Waits for a while before the next step.",
    kind: None,
    stage: StageRule::Any,
    reversibility: Reversibility::Momentary,
    after: After::None,
    batch: Batch { size: 1, by_zone: false },
    mends: &[],
    outputs: &[],
    timeout: Dur::hours(24),
    undo_timeout: Dur::secs(10),
    poll_every: Dur::secs(1),
    permissions: Permissions { prepare: &[], apply: &[], poll: &[], undo: &[] },
    undo_story: "None needed: waiting changes nothing.",
    docs: "Lets time pass, for instance between two faults, or until a cache that nobody can look into has \
expired. Probes and stop conditions go on meanwhile, and the wait counts towards the recovery time when it stands \
in the recovery stage. Where something can be looked at, a probe in `verify` is better than a wait. A drill that does nothing else ends as `no-impact`.

The moment at which the wait is over is on record, so a run that is resumed waits only for the rest.",
};

#[async_trait]
impl Action for Wait {
    type Params = Params;
    type Undo = Undo;

    fn spec(&self) -> &'static ActionSpec {
        &SPEC
    }

    fn about<'u>(&self, _: &'u Undo) -> Vec<Named<'u>> {
        Vec::new()
    }

    async fn prepare(
        &self,
        cx: ReadCx<'_>,
        batch: &[(Option<Target>, Value)],
        params: &Params,
    ) -> Vec<Result<Undo, ActionError>> {
        let until = cx.clock.now() + TimeDelta::milliseconds(params.time.ms());
        batch.iter().map(|_| Ok(Undo { until })).collect()
    }

    async fn apply(
        &self,
        _: WriteCx<'_>,
        batch: &[Prepared<Undo>],
        _: &Params,
    ) -> Vec<Result<Applied, ActionError>> {
        batch.iter().map(|_| Ok(Applied::default())).collect()
    }

    async fn poll(
        &self,
        cx: ReadCx<'_>,
        _: Option<&Target>,
        undo: &Undo,
        _: &Params,
    ) -> Result<Progress, ActionError> {
        let left = (undo.until - cx.clock.now()).num_milliseconds();
        Ok(match u64::try_from(left) {
            // the end, and not what is left: a note is recorded each time it changes
            Ok(ms) if ms > 0 => Progress::Pending(format!("until {}", undo.until.format("%H:%M:%S UTC"))),
            _ => Progress::Ready(Applied::default()),
        })
    }

    async fn undo(&self, _: WriteCx<'_>, _: Option<&Target>, _: &Undo) -> Result<Undone, ActionError> {
        Ok(Undone::Nothing("waiting changes nothing".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::catalog::actions::trial::{Trial, params};

    #[tokio::test(start_paused = true)]
    async fn it_waits_from_the_recorded_moment_and_changes_nothing() {
        let t = Trial::new();
        let before = t.sim.snapshot();
        let p = params(&Wait, json!({ "for": "90s" }));
        let undo = t.prepare(&Wait, None, &p).await.unwrap();
        t.apply(&Wait, None, &undo, &p).await.unwrap();
        tokio::time::sleep(std::time::Duration::from_secs(30)).await;
        let pending = Wait.poll(t.read(), None, &undo, &p).await.unwrap();
        assert!(matches!(&pending, Progress::Pending(text) if text.starts_with("until ")), "{pending:?}");
        tokio::time::sleep(std::time::Duration::from_secs(59)).await;
        assert_eq!(
            Wait.poll(t.read(), None, &undo, &p).await.unwrap(),
            pending,
            "one note, not one a second"
        );
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        // a run that is resumed later finds it over
        assert!(matches!(Wait.poll(t.read(), None, &undo, &p).await.unwrap(), Progress::Ready(_)));
        assert!(matches!(Wait.undo(t.write(), None, &undo).await.unwrap(), Undone::Nothing(_)));
        assert_eq!(t.sim.snapshot(), before);
        assert!(t.sim.changes().is_empty());
    }
}
