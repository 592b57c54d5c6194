//! Whether the plan has a place for an event. Pure.
//!
//! Every step, target and probe that an event names is one of the plan's. What is not belongs to another
//! plan's journal, or to a broken one: it is neither written nor folded, since a cell made up for it would
//! leave the real one as if nothing had happened there. Nor is an undo record that is about something else than
//! its step's target: undo would change what the plan never named.

use serde_json::Value;

use super::redaction;
use super::state::RunState;
use super::stop;
use crate::catalog::{self, ActionError};
use crate::journal::Event;
use crate::model::StepId;
use crate::plan::PlannedStep;

/// Whether an undo record is about this target of the step, and what the step changes beside it.
///
/// # Errors
/// The id of what it is about instead.
fn about(step: &PlannedStep, target: Option<&str>, undo: &Value) -> Result<(), String> {
    let action = step.action.as_deref().and_then(catalog::action);
    action.map_or(Ok(()), |action| action.is_about(undo, target, &step.params))
}

/// An undo record that is about what it has to be about.
///
/// # Errors
/// It is about something else.
pub(super) fn own(step: &PlannedStep, target: Option<&str>, undo: Value) -> Result<Value, ActionError> {
    about(step, target, &undo).map(|()| undo).map_err(|other| {
        ActionError::hopeless(format!("its undo record is about `{other}`, which is not its target"))
            .hint("its journal is not as it was written: put it back by hand")
    })
}

impl RunState {
    /// Whether the plan has everything that the event names.
    ///
    /// # Errors
    /// What it does not have, in words.
    pub fn place(&self, event: &Event) -> Result<(), String> {
        match event {
            Event::Header { .. }
            | Event::Attached { .. }
            | Event::ProgramsFolder { .. }
            | Event::Endpoint { .. }
            | Event::Approved { .. }
            | Event::Skew { .. }
            | Event::Stage { .. }
            | Event::Found { .. }
            | Event::CallAnswered { .. }
            | Event::ReadRetried { .. }
            | Event::ObservationsLost { .. }
            | Event::Marked { .. }
            | Event::RequestUnused { .. }
            | Event::Steady { .. }
            | Event::PreflightPassed {}
            | Event::Signal { .. }
            | Event::StopRequested { .. }
            | Event::Cleaned {}
            | Event::SteadyAfter { .. }
            | Event::Finished { .. }
            | Event::CallSent { step: None, .. }
            | Event::Stuck { step: None, .. }
            | Event::Unknown(_) => Ok(()),
            Event::Holding { targets } | Event::Held { targets } | Event::Released { targets } => {
                targets.iter().try_for_each(|t| self.has_target(t))
            }
            Event::Captured { step, target, .. } => self.has_cell(step, Some(target)),
            Event::StepStarted { step, targets } => {
                targets.iter().try_for_each(|t| self.has_cell(step, t.as_ref()))
            }
            Event::StepPrepared { step, target, undo } => {
                self.has_cell(step, target.as_ref())?;
                self.is_about(step, target.as_deref(), undo)
            }
            Event::StepApplied { step, target, .. }
            | Event::StepFailed { step, target, .. }
            | Event::StepProgress { step, target, .. }
            | Event::StepReady { step, target, .. }
            | Event::UndoStarted { step, target }
            | Event::UndoFailed { step, target, .. }
            | Event::UndoDone { step, target, .. }
            | Event::Kept { step, target, .. }
            | Event::Stuck { step: Some(step), target, .. }
            | Event::LeftInPlace { step, target, .. } => self.has_cell(step, target.as_ref()),
            Event::Waiting { step, .. } | Event::Confirmed { step, .. } => self.has_cell(step, None),
            Event::CallSent { step: Some(step), .. }
            | Event::ProgramStarted { step, .. }
            | Event::ProgramEnded { step, .. }
            | Event::StepSkipped { step, .. } => self.has_step(step),
            Event::Observed { probe, .. } | Event::Unchanged { probe, .. } => self.has_probe(probe),
        }
    }

    fn has_step(&self, step: &StepId) -> Result<(), String> {
        match self.plan.step(step) {
            Some(_) => Ok(()),
            None => Err(format!("the plan has no step `{step}`")),
        }
    }

    fn has_cell(&self, step: &StepId, target: Option<&String>) -> Result<(), String> {
        self.has_step(step)?;
        if self.cells.contains_key(&(step.clone(), target.cloned())) {
            return Ok(());
        }
        Err(match target {
            Some(target) => format!("step `{step}` of the plan has no target `{target}`"),
            None => format!("step `{step}` of the plan has targets, and none is named"),
        })
    }

    /// An undo record is about its own cell's target; an id that holds a secret is compared when it is acted on.
    fn is_about(&self, step: &StepId, target: Option<&str>, undo: &Value) -> Result<(), String> {
        match self.plan.step(step).map(|planned| about(planned, target, undo)) {
            Some(Err(other)) if !other.contains(redaction::MARK) => {
                Err(format!("the undo record of step `{step}` is about `{other}`, which is not its target"))
            }
            _ => Ok(()),
        }
    }

    fn has_target(&self, target: &str) -> Result<(), String> {
        if self.plan.targets.values().any(|t| t.drawn.iter().any(|t| t.id == target)) {
            return Ok(());
        }
        Err(format!("the plan has no target `{target}`"))
    }

    fn has_probe(&self, probe: &str) -> Result<(), String> {
        let tracks = self.steady.tracks().iter().chain(self.verify.tracks());
        let stops = self.plan.drill.stop.iter().map(|s| stop::key(&s.name));
        if tracks.map(|t| t.info.name.clone()).chain(stops).any(|name| name == probe) {
            return Ok(());
        }
        Err(format!("the plan has no probe `{probe}`"))
    }
}
