//! What is broken and not mended. Pure.

use super::{mended_by, spared};
use crate::catalog::action::Reversibility;
use crate::engine::state::{CellState, RunState, Status};
use crate::model::{Stage, StepId};
use crate::plan::PlannedStep;

/// What an irreversible fault broke, and what the drill has for it and did not come to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owed {
    /// What broke it.
    pub fault: StepId,
    /// What mends it.
    pub mend: StepId,
    /// Where it is not mended.
    pub targets: Vec<String>,
    /// The mending failed; otherwise it was left out.
    pub failed: bool,
}

/// Everything that a rollback still has to mend, whatever the verdict on record says.
pub fn owed(state: &RunState) -> Vec<Owed> {
    let lost = unmended(state);
    let faults = state.plan.steps.iter().filter(|s| lost.contains(&s.id));
    faults
        .filter_map(|fault| {
            let mend = state.plan.steps.iter().find(|r| mended_by(fault, r))?;
            let open = || state.cells_of(&mend.id).filter(|(t, c)| !is_mended(state, mend, t.as_ref(), c));
            Some(Owed {
                fault: fault.id.clone(),
                mend: mend.id.clone(),
                targets: open().filter_map(|(t, _)| t.clone()).collect(),
                failed: open().any(|(_, c)| matches!(c.status, Status::Failed(_))),
            })
        })
        .collect()
}

/// Whether nothing is left to mend on this target.
fn is_mended(state: &RunState, mend: &PlannedStep, target: Option<&String>, cell: &CellState) -> bool {
    cell.status == Status::Ready || cell.kept || spared(state, mend, target)
}

/// Irreversible faults that did something which nothing mended.
pub fn unmended(state: &RunState) -> Vec<StepId> {
    let mended = |fault: &PlannedStep| {
        state.plan.steps.iter().any(|r| {
            mended_by(fault, r) && state.cells_of(&r.id).all(|(t, c)| is_mended(state, r, t.as_ref(), c))
        })
    };
    let faults = state
        .plan
        .steps
        .iter()
        .filter(|s| s.stage == Stage::Fault && s.reversibility == Reversibility::Irreversible);
    faults
        .filter(|s| state.cells_of(&s.id).any(|(_, c)| c.may_have_effect()))
        .filter(|s| !mended(s))
        .map(|s| s.id.clone())
        .collect()
}
