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
use crate::catalog::{self, ActionError, Of};
use crate::drill::refs::{self, Reference};
use crate::journal::Event;
use crate::model::StepId;
use crate::plan::PlannedStep;

/// An undo record that is about what it has to be about; `params` and `captured` as they are where they are acted on,
/// their secrets put back.
///
/// # Errors
/// It is about something else.
pub(super) fn own(
    state: &RunState,
    step: &PlannedStep,
    target: Option<&str>,
    undo: Value,
    params: Option<&Value>,
    captured: Option<&Value>,
) -> Result<Value, ActionError> {
    let of = Of { params, captured, ..state.of(step, target) };
    let action = step.action.as_deref().and_then(catalog::action);
    action.map_or(Ok(()), |action| action.is_about(&undo, &of)).map(|()| undo).map_err(|stray| {
        ActionError::hopeless(format!("its undo record {stray}"))
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
            | Event::Cleaned { .. }
            | Event::SteadyAfter { .. }
            | Event::Finished { .. }
            | Event::CallSent { step: None, .. }
            | Event::Stuck { step: None, .. }
            | Event::Unknown(_) => Ok(()),
            Event::Holding { targets } | Event::Held { targets } | Event::Released { targets } => {
                targets.iter().try_for_each(|t| self.has_target(t))
            }
            Event::Renamed { target, .. } => self.has_target(target),
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
            | Event::LeftInPlace { step, target, by: None, .. } => self.has_cell(step, target.as_ref()),
            Event::LeftInPlace { step, target, by: Some(_), .. } => self.is_stuck(step, target.as_ref()),
            Event::SteadyStateAccepted { .. } => self.is_unsteady(),
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

    /// A person accepts only what could not be put back, and only as long as that is the last word on it.
    pub(super) fn is_stuck(&self, step: &StepId, target: Option<&String>) -> Result<(), String> {
        self.has_cell(step, target)?;
        match self.cells.get(&(step.clone(), target.cloned())) {
            Some(cell) if cell.was_stuck => Ok(()),
            _ => Err(format!(
                "step `{step}`{} is not stuck",
                target.map(|t| format!(" on {t}")).unwrap_or_default()
            )),
        }
    }

    /// A person accepts that the steady state was not seen to hold only where a run was stuck with that.
    pub(super) fn is_unsteady(&self) -> Result<(), String> {
        let not = || {
            "the run is not stuck with a steady state that was not seen to hold after the clean-up".to_owned()
        };
        self.unsteady.then_some(()).ok_or_else(not)
    }

    /// An undo record is about its own cell's target. An id that holds a secret is compared when it is acted on; where
    /// a parameter does, the same mark stands on both sides.
    fn is_about(&self, step: &StepId, target: Option<&str>, undo: &Value) -> Result<(), String> {
        let Some(planned) = self.plan.step(step) else { return Ok(()) };
        let Some(action) = planned.action.as_deref().and_then(catalog::action) else { return Ok(()) };
        let params = self.with_marks(&planned.params);
        let captured = self.captured.get(&(step.clone(), target.map(str::to_owned)));
        let of = Of { params: params.as_ref(), captured, ..self.of(planned, target) };
        match action.is_about(undo, &of) {
            Err(stray) if !stray.id().is_some_and(|id| id.contains(redaction::MARK)) => {
                Err(format!("the undo record of step `{step}` {stray}"))
            }
            _ => Ok(()),
        }
    }

    /// Where an undo record of this step stands, without parameters and what was captured.
    fn of<'a>(&'a self, step: &'a PlannedStep, target: Option<&str>) -> Of<'a> {
        Of {
            run: self.run.as_ref(),
            step: &step.id,
            target: target.and_then(|id| self.plan.targets_of(step).iter().find(|t| t.id == id)),
            params: None,
            captured: None,
            refused_elsewhere: self.plan.format > 1,
        }
    }

    /// Parameters with their references resolved as they stand in the journal: a secret as its mark. `None` where
    /// one has no value yet.
    fn with_marks(&self, params: &Value) -> Option<Value> {
        let known = |r: Reference<'_>| match r {
            Reference::RunId => self.run.as_ref().map(ToString::to_string),
            Reference::Param(name) => Some(format!("{}{name}]", redaction::MARK)),
            Reference::Step(rest) => {
                let (id, output) = refs::split_step(rest, self.plan.steps.iter().map(|p| p.id.as_str()))?;
                self.output(id, output).map(str::to_owned)
            }
            Reference::Unknown(_) => None,
        };
        refs::resolve_value(params, &known).ok()
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::engine::testing::{line, plan_with};

    #[tokio::test(start_paused = true)]
    async fn the_program_that_undoes_is_the_plans() {
        const PROGRAM: &str = "version: 1
name: program
title: Program
service: shop
objectives: { rto: 15m }
limits: { accounts: [\"123456789012\"], regions: [us-east-1], max_targets: 1 }
targets: {}
impact: none-expected
params: { password: { type: string, secret: true } }
steady_state: [{ name: page, probe: http, with: { url: \"http://127.0.0.1:8080/health\" } }]
fault:
  - { action: command, id: break, with: { argv: [a], undo: { argv: [mend, \"${params.password}\"] } } }";
        let plan = plan_with(PROGRAM, &[("password", "kQ8vZ2pLr0")]).await;
        let misplaced = |argv: &[&str], timeout: &str| {
            let mut state = RunState::new(Arc::clone(&plan));
            let program = json!({ "argv": argv, "timeout": timeout, "expect_exit": 0 });
            let (step, undo) = (StepId::new("break"), json!({ "undo": program }));
            state.evolve(&line(1, Event::StepPrepared { step, target: None, undo }));
            state.misplaced
        };
        assert_eq!(misplaced(&["mend", "[secret password]"], "1m"), None);
        let told = Some(
            "line 1: the undo record of step `break` has another `undo` than the plan and the preflight give",
        );
        for (argv, timeout) in [
            (&["rm", "[secret password]"][..], "1m"),
            (&["mend", "another"], "1m"),
            (&["mend", "[secret password]", "more"], "1m"),
            (&["mend", "[secret password]"], "9h"),
        ] {
            assert_eq!(misplaced(argv, timeout).as_deref(), told, "{argv:?}");
        }
    }
}
