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
use crate::model::{Dur, Target};

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
    name: "wait",
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
in the recovery stage. Where something can be looked at, a probe in `verify` is better than a wait.

The moment at which the wait is over is on record, so a run that is resumed waits only for the rest.",
};

#[async_trait]
impl Action for Wait {
    type Params = Params;
    type Undo = Undo;

    fn spec(&self) -> &'static ActionSpec {
        &SPEC
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
            Ok(ms) if ms > 0 => Progress::Pending(format!("{} left", Dur::secs(ms.div_ceil(1000)))),
            _ => Progress::Ready(Applied::default()),
        })
    }

    async fn undo(&self, _: WriteCx<'_>, _: Option<&Target>, _: &Undo) -> Result<Undone, ActionError> {
        Ok(Undone::Already("waiting changes nothing".to_owned()))
    }
}
