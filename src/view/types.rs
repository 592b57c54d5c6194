//! What a run consists of, as people want to see it. Pure data; every field goes into `report.json`.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;

use crate::journal::event::Chained;
use crate::journal::{Mark, Mode, Phase, StopCause};
use crate::model::{EffectCertainty, EndpointProof, Health, RunId, Stage, StepId, World};

/// What a run is.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize)]
pub struct Header {
    /// The run.
    pub run: RunId,
    /// The drill's name.
    pub drill: String,
    /// The drill's title.
    pub title: String,
    /// The journal's format.
    pub format: u32,
    /// The version that began it.
    pub redrill: String,
    /// The plan's hash.
    pub plan_sha256: String,
    /// Which world it touched.
    pub world: World,
    /// The account.
    pub account: String,
    /// Who called.
    pub caller: String,
    /// The region.
    pub region: String,
    /// The objective, in milliseconds.
    pub rto_ms: i64,
    /// When it stops waiting, in milliseconds.
    pub give_up_ms: i64,
    /// Its place among the runs of its state folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chain: Option<Chained>,
}

/// A process that worked on the run.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize)]
pub struct Process {
    /// Since when.
    pub at: DateTime<Utc>,
    /// Why.
    pub mode: Mode,
    /// Its number.
    pub pid: u32,
    /// The machine.
    pub host: String,
    /// Its user.
    pub user: String,
    /// Its version.
    pub redrill: String,
    /// How it reached AWS; nothing off AWS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<EndpointProof>,
}

/// A stage that was entered.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize)]
pub struct StageView {
    /// Which.
    pub stage: Stage,
    /// When.
    pub from: DateTime<Utc>,
    /// When the next one was entered or the run ended.
    pub to: Option<DateTime<Utc>>,
}

/// How far a step got on one target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Its undo is known.
    #[default]
    Prepared,
    /// About to be applied.
    Started,
    /// AWS accepted it.
    Applied,
    /// Done.
    Ready,
    /// It failed.
    Failed,
}

/// What the end of the run did with it.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize)]
#[serde(rename_all = "lowercase", tag = "state")]
pub enum Ending {
    /// Its undo is under way.
    Undoing {
        /// Failures so far.
        failures: u32,
        /// The newest.
        error: Option<String>,
    },
    /// It is put back.
    Undone {
        /// How.
        how: String,
        /// What shows that.
        proof: String,
        /// When.
        at: DateTime<Utc>,
    },
    /// It stays.
    Kept {
        /// What shows that.
        proof: String,
        /// When.
        at: DateTime<Utc>,
    },
    /// A person is needed.
    Stuck {
        /// Why.
        error: String,
        /// What to do.
        hint: String,
    },
    /// Left behind on purpose.
    Left {
        /// Why.
        why: String,
    },
}

/// A step on one target.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema, Serialize)]
pub struct CellView {
    /// The target, where the step has any.
    pub target: Option<String>,
    /// How far it got.
    pub status: Status,
    /// When it was started.
    pub started_at: Option<DateTime<Utc>>,
    /// When AWS accepted it.
    pub applied_at: Option<DateTime<Utc>>,
    /// When it was done.
    pub ready_at: Option<DateTime<Utc>>,
    /// Where a pending result stands.
    pub progress: Option<String>,
    /// Its outputs.
    pub outputs: BTreeMap<String, String>,
    /// What is worth knowing.
    pub notes: Vec<String>,
    /// Why it failed.
    pub error: Option<String>,
    /// Whether it may have happened all the same.
    pub effect: Option<EffectCertainty>,
    /// What to do about it.
    pub hint: Option<String>,
    /// What the end of the run did with it.
    pub ending: Option<Ending>,
}

/// A step.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize)]
pub struct StepView {
    /// Which.
    pub id: StepId,
    /// The stage in which it began.
    pub stage: Option<Stage>,
    /// What a person has to do, while it waits.
    pub waiting: Option<String>,
    /// Who confirmed it, with the note; simulated people say so.
    pub confirmed: Option<String>,
    /// Why it does not run.
    pub skipped: Option<String>,
    /// Its targets.
    pub cells: Vec<CellView>,
}

/// A stretch of the same health.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize)]
pub struct Segment {
    /// The health.
    pub health: Health,
    /// Answer of the first observation.
    pub from: DateTime<Utc>,
    /// Answer of the last.
    pub to: DateTime<Utc>,
    /// How many.
    pub observations: u64,
    /// What was seen first.
    pub seen: String,
}

/// A probe.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize)]
pub struct ProbeView {
    /// Its name in the drill.
    pub name: String,
    /// How many observations.
    pub observations: u64,
    /// What it saw, in order.
    pub segments: Vec<Segment>,
}

impl ProbeView {
    /// Its newest answer.
    pub fn health(&self) -> Health {
        self.segments.last().map_or(Health::Unknown, |s| s.health)
    }
}

/// A change that was sent.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize)]
pub struct CallView {
    /// The number of the journal's line that says it is about to be sent.
    pub seq: u64,
    /// Its number.
    pub call: u64,
    /// The step it belongs to.
    pub step: Option<StepId>,
    /// What it was for.
    pub phase: Phase,
    /// The operation.
    pub operation: String,
    /// Which attempt.
    pub attempt: u32,
    /// When it was sent.
    pub sent_at: DateTime<Utc>,
    /// When it was answered.
    pub answered_at: Option<DateTime<Utc>>,
    /// AWS's request id, `requestID` in CloudTrail.
    pub request_id: Option<String>,
    /// Why it failed: the kind, and AWS's message.
    pub error: Option<String>,
}

/// A mark that a person set.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize)]
pub struct MarkView {
    /// Which.
    pub mark: Mark,
    /// When it happened.
    pub at: DateTime<Utc>,
    /// Who says so.
    pub by: String,
    /// What they noted.
    pub note: String,
}

/// Why the run stops before its end.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize)]
pub struct StopView {
    /// When.
    pub at: DateTime<Utc>,
    /// Why.
    pub cause: StopCause,
    /// In words.
    pub detail: String,
}

/// Something stuck that belongs to no step, or to one.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize)]
pub struct StuckView {
    /// The step.
    pub step: Option<StepId>,
    /// The target.
    pub target: Option<String>,
    /// Why.
    pub error: String,
    /// What to do.
    pub hint: String,
}

/// Something that happened, in words.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize)]
pub struct Moment {
    /// The number of the journal's line that says so.
    pub seq: u64,
    /// The stage it fell into; `None` before the first.
    pub stage: Option<Stage>,
    /// When.
    pub at: DateTime<Utc>,
    /// What.
    pub what: String,
}
