//! What the steps of a run have sent, by which an undo tells what the run did from what somebody else did alike.

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::cloud::Outcome;
use crate::model::StepId;

/// What the steps of a run have sent, in this process and in those before it, as the journal has it: what the run
/// made, and nobody else, is known by the ids that were answered.
pub trait Calls: Send + Sync {
    /// In the order in which they were sent.
    fn sent(&self) -> Vec<SentCall>;
}

/// Nothing was sent.
impl Calls for () {
    fn sent(&self) -> Vec<SentCall> {
        Vec::new()
    }
}

/// A change that a step of the run has sent. Times are those of AWS's clock, as far as it is known.
#[derive(Clone, Debug)]
pub struct SentCall {
    /// The step.
    pub step: StepId,
    /// The call as AWS names it.
    pub operation: String,
    /// The parameters, without what is secret.
    pub params: Value,
    /// When it was about to be sent.
    pub sent: DateTime<Utc>,
    /// When its answer, or that there is none, was known; absent where the process ended before.
    pub answered: Option<DateTime<Utc>>,
    /// What was answered.
    pub outcome: Option<Outcome>,
    /// It surely had no effect.
    pub refused: bool,
}
