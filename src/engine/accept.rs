//! What a person accepts as it is, so that a stuck run can end. Pure.
//!
//! Invariant: only what is stuck can be accepted, and a run in which something was accepted is never called passed or
//! rolled back.

use super::driver::EngineError;
use super::state::{Cell, RunState};
use crate::journal::Event;

/// What a person accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The step on its target that is not put back; `None`: that redrill has not seen the steady state hold after the
    /// clean-up.
    pub cell: Option<Cell>,
    /// Why.
    pub why: String,
}

/// Refuses what is not stuck.
pub(super) fn hold_against(state: &RunState, accepted: &[Accepted]) -> Result<(), EngineError> {
    for one in accepted {
        let stuck = match &one.cell {
            Some((step, target)) => state.is_stuck(step, target.as_ref()),
            None => state.is_unsteady(),
        };
        stuck.map_err(EngineError::NotStuck)?;
    }
    Ok(())
}

/// For the record.
pub(super) fn event(accepted: Accepted, by: &str) -> Event {
    let (why, by) = (accepted.why, by.to_owned());
    match accepted.cell {
        Some((step, target)) => Event::LeftInPlace { step, target, why, by: Some(by) },
        None => Event::SteadyStateAccepted { why, by },
    }
}
