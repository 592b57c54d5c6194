//! Everything static about an action: what it is called, where it may stand, what it may do and what it tells. Pure data.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::{Dur, ResourceKind};

/// What can be put back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Reversibility {
    /// Undo puts it back as it was.
    Reversible,
    /// Adds something that can be removed.
    Additive,
    /// Passes by itself; there is nothing to put back.
    Momentary,
    /// Cannot be put back.
    Irreversible,
}

/// What the end of a run does with a recovery step's result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum After {
    /// Nothing to do: the result is the state from before the fault.
    None,
    /// What was created is removed.
    Remove,
    /// What was created stays, retagged `redrill:kept`.
    Keep,
}

/// In which stage an action may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StageRule {
    /// Breaks something.
    Fault,
    /// The procedure being drilled.
    Recovery,
    /// Either.
    Any,
}

/// How many targets one call takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Batch {
    /// Targets per call to `apply`.
    pub size: usize,
    /// Whether a batch must stay within one Availability Zone.
    pub by_zone: bool,
}

/// IAM permissions per phase, as IAM names them.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Permissions {
    /// For `inspect`, `capture` and `prepare`.
    pub prepare: &'static [&'static str],
    /// For `apply`.
    pub apply: &'static [&'static str],
    /// For `poll`.
    pub poll: &'static [&'static str],
    /// For `undo` and `keep`.
    pub undo: &'static [&'static str],
}

/// An output that later steps can refer to as `${steps.ID.NAME}`.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct OutputSpec {
    /// Name.
    pub name: &'static str,
    /// What it holds.
    pub summary: &'static str,
    /// Whether it alone says which the thing is that the step made: a probe that asks there asks that and nothing else.
    pub names_made: bool,
}

impl OutputSpec {
    /// What says which the thing is that the step made: an id, an identifier, a host.
    pub const fn of_made(name: &'static str, summary: &'static str) -> Self {
        Self { name, summary, names_made: true }
    }

    /// What says something beside: where it comes from, how much, a port that another may have, too.
    pub const fn about(name: &'static str, summary: &'static str) -> Self {
        Self { name, summary, names_made: false }
    }
}

/// Everything static about an action.
#[derive(Clone, Debug, Serialize)]
pub struct ActionSpec {
    /// For example `ec2.terminate-instances`.
    pub name: &'static str,
    /// One sentence.
    pub summary: &'static str,
    /// The kind of target it takes; `None` for `wait`, `command`.
    pub kind: Option<ResourceKind>,
    /// Where it may stand.
    pub stage: StageRule,
    /// Whether it can be put back (may depend on parameters, see [`Action::reversibility`]).
    pub reversibility: Reversibility,
    /// Default fate of a recovery's result.
    pub after: After,
    /// How targets are batched.
    pub batch: Batch,
    /// Faults (by name) whose damage this recovery mends: it still runs when a run is stopped after them.
    pub mends: &'static [&'static str],
    /// What later steps can refer to.
    pub outputs: &'static [OutputSpec],
    /// How long `apply` plus polling may take, if the drill does not say.
    pub timeout: Dur,
    /// How long `undo` may take.
    pub undo_timeout: Dur,
    /// How often a pending result is polled.
    pub poll_every: Dur,
    /// IAM permissions per phase.
    pub permissions: Permissions,
    /// What undo does, in one sentence; for irreversible actions, why there is none.
    pub undo_story: &'static str,
    /// A few paragraphs: what AWS does, what is refused, what to watch for, and the documentation relied on.
    pub docs: &'static str,
}
