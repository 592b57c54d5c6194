//! What happened and how sure that is: shared by the cloud, the engine and the journal. Pure data.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whether a failed call may have changed something. Only `None` means that there is nothing to undo.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EffectCertainty {
    /// AWS refused the call: surely nothing happened.
    None,
    /// Some of the named resources may have changed, others not.
    Partial,
    /// A timeout, a lost answer, a 5xx: it may have happened.
    Unknown,
}

/// What one observation says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// As the drill wants it.
    Healthy,
    /// Read, and not as the drill wants it.
    Unhealthy,
    /// Could not be read.
    Unknown,
}

/// The stages of a run, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Everything is looked at once more; what recoveries need is captured.
    Preflight,
    /// The steady state must hold.
    Baseline,
    /// What breaks.
    Fault,
    /// A probe must see it.
    Impact,
    /// The procedure being drilled.
    Recovery,
    /// The verify probes must pass.
    Verify,
    /// The steady state must stay.
    Hold,
    /// Undo and clean-up.
    Undo,
}

/// A failed call as the journal keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CallError {
    /// The kind, in redrill's terms.
    pub kind: String,
    /// AWS's error code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// AWS's message.
    pub message: String,
    /// Whether it may have happened all the same.
    pub effect: EffectCertainty,
}
