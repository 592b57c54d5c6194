//! The state of a run: a fold over its journal.
//!
//! [`RunState::evolve`] takes one recorded event; [`super::decide`] says from the state what comes
//! next. A resumed run is the same fold over the same lines, so recovery from a crash is the normal
//! path. Pure: reads no clock, sends nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::sabotage::{self, Sabotage};
use super::setup;
use super::steady_state::{SteadyState, Timeline};
use super::stop::StopWatch;
use super::unended::Programs;
use crate::catalog::action::{After, Outputs, Reversibility};
use crate::journal::{Event, Line, Mode, Phase, StopCause, Verdict};
use crate::model::{EffectCertainty, Health, RunId, Stage, Stamp, StepId};
use crate::plan::{Plan, PlannedStep};

mod attached;
mod health;

/// A step on one target (`None` for a step without targets).
pub type Cell = (StepId, Option<String>);

/// How far a step has come on one target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Status {
    /// Nothing happened yet.
    #[default]
    Idle,
    /// Undo is recorded, nothing was sent.
    Prepared,
    /// It may have been sent.
    Started,
    /// AWS accepted it.
    Applied,
    /// Done.
    Ready,
    /// It failed; whether it may have happened all the same.
    Failed(EffectCertainty),
    /// It will not run.
    Skipped,
}

/// What is known of a step on one target.
#[derive(Clone, Debug, Default)]
pub struct CellState {
    /// How far it has come.
    pub status: Status,
    /// The undo record.
    pub undo: Option<Value>,
    /// Outputs.
    pub outputs: Outputs,
    /// When it was started, as a number that grows: the order for undo.
    pub order: u64,
    /// Put back, retagged as kept, or left in place on purpose.
    pub settled: bool,
    /// What it made is there, in its place, and stays.
    pub kept: bool,
    /// Its undo failed for good.
    pub stuck: bool,
    /// The last word on it is that its undo failed for good, in this process or one before.
    pub was_stuck: bool,
}

impl CellState {
    /// Whether the step may have had an effect on this target.
    pub fn may_have_effect(&self) -> bool {
        match self.status {
            Status::Started | Status::Applied | Status::Ready => true,
            Status::Failed(effect) => effect != EffectCertainty::None,
            Status::Idle | Status::Prepared | Status::Skipped => false,
        }
    }

    /// Whether nothing more will be done to apply it.
    pub fn is_final(&self) -> bool {
        matches!(self.status, Status::Ready | Status::Failed(_) | Status::Skipped)
    }
}

/// Everything that decides what comes next.
pub struct RunState {
    /// The plan.
    pub plan: Arc<Plan>,
    /// The run, as the first line has it.
    pub run: Option<RunId>,
    /// Where milliseconds on one timeline come from.
    pub timeline: Timeline,
    /// How the newest process attached itself.
    pub mode: Mode,
    /// How many processes attached themselves.
    pub sessions: u32,
    /// The stage, and when it began (ms).
    pub stage: Option<(Stage, i64)>,
    /// When each stage began (ms), first entry.
    pub stage_times: BTreeMap<Stage, i64>,
    /// Preflight has passed in this process.
    pub preflighted: bool,
    /// When the newest process attached itself (ms).
    pub attached_ms: i64,
    /// The tag could not be removed from what is left in `holding`.
    pub release_failed: bool,
    /// Targets that may carry `redrill:held`.
    pub holding: BTreeSet<String>,
    /// Whether targets were ever tagged, or about to be.
    pub has_held: bool,
    /// All targets carry it; the world was as planned right before.
    pub armed: bool,
    /// Its removal has begun.
    pub releasing: bool,
    /// What recoveries need of targets that a fault may destroy.
    pub captured: BTreeMap<Cell, Value>,
    /// Every step on every target, in the plan's order.
    pub cells: BTreeMap<Cell, CellState>,
    /// Manual steps that wait, since when (ms).
    pub waiting: BTreeMap<StepId, i64>,
    /// Manual steps that a person was asked for, in this process or one before.
    pub announced: BTreeSet<StepId>,
    /// Requests of people that are on record, by their ids.
    pub answered: BTreeSet<String>,
    /// The steady state, as observed.
    pub steady: SteadyState,
    /// The verify probes, as observed since the verify stage began.
    pub verify: SteadyState,
    /// The stop conditions, as observed.
    pub stops: StopWatch,
    /// When the first fault call was sent (ms), or the recovery stage of a drill without fault began.
    pub t0: Option<i64>,
    /// T0 as wall time.
    pub t0_at: Option<DateTime<Utc>>,
    /// A client probe was unhealthy since T0.
    pub impact_seen: bool,
    /// A client probe could not be read since T0, before the clean-up.
    pub blind: bool,
    /// A person has confirmed a step; none that was simulated.
    pub person: bool,
    /// A probe was seen to go from healthy to unhealthy or back, since T0.
    pub turned: bool,
    /// When the verify probes had all passed (ms).
    pub verified: Option<i64>,
    /// The steady state was met and held.
    pub held: bool,
    /// Why the run stops before its end.
    pub stop: Option<(StopCause, String)>,
    /// How many signals came.
    pub signals: u8,
    /// When undo and clean-up were over (ms).
    pub cleaned: Option<i64>,
    /// Probes that this process cannot read, since a secret parameter was not given to it: each with that
    /// parameter's name. Not on record.
    pub unread: BTreeMap<String, String>,
    /// Whether the steady state held again after the clean-up; `None` until judged.
    pub steady_after: Option<bool>,
    /// Whether the steady state did not return after a clean-up, whatever came later.
    pub steady_lost: bool,
    /// Whether a process has ended as stuck without having seen the steady state hold after its clean-up, and none has
    /// seen it since.
    pub unsteady: bool,
    /// Whether a person accepted that; nobody looks any more.
    pub steady_accepted: bool,
    /// A person is needed.
    pub stuck: Vec<String>,
    /// What could not be put back and is left as it is, with who accepted that and why.
    pub accepted: Vec<String>,
    /// Steps that were skipped, with why.
    pub skipped: Vec<String>,
    /// The verdict.
    pub finished: Option<Verdict>,
    /// The number of the next call.
    pub next_call: u64,
    /// Kinds of events that this version does not know.
    pub unknown: usize,
    /// The first thing on record that the plan has no place for: the journal is another plan's, or broken.
    pub misplaced: Option<String>,
    next_order: u64,
    /// Calls that may still be under way, with their phase.
    pub open_calls: BTreeMap<u64, Phase>,
    /// Calls of faults that got no answer, with their steps.
    pub unanswered: BTreeMap<u64, StepId>,
    /// Whether a step has sent a call that changes something.
    pub sent: bool,
    /// Local programs that may still run.
    pub programs: Programs,
}

impl RunState {
    /// The state before the first event.
    pub fn new(plan: Arc<Plan>) -> Self {
        let steady = SteadyState::new(&setup::steady(&plan.drill));
        let verify = SteadyState::new(&setup::verify(&plan.drill));
        let stops = StopWatch::new(&plan.drill.stop);
        let mut cells = BTreeMap::new();
        for step in &plan.steps {
            let targets = plan.targets_of(step);
            if targets.is_empty() {
                cells.insert((step.id.clone(), None), CellState::default());
            }
            for t in targets {
                cells.insert((step.id.clone(), Some(t.id.clone())), CellState::default());
            }
        }
        Self {
            plan,
            run: None,
            timeline: Timeline::default(),
            mode: Mode::Run,
            sessions: 0,
            stage: None,
            stage_times: BTreeMap::new(),
            preflighted: false,
            attached_ms: i64::MIN,
            release_failed: false,
            holding: BTreeSet::new(),
            has_held: false,
            armed: false,
            releasing: false,
            captured: BTreeMap::new(),
            cells,
            waiting: BTreeMap::new(),
            announced: BTreeSet::new(),
            answered: BTreeSet::new(),
            steady,
            verify,
            stops,
            t0: None,
            t0_at: None,
            impact_seen: false,
            blind: false,
            person: false,
            turned: false,
            verified: None,
            held: false,
            stop: None,
            signals: 0,
            cleaned: None,
            unread: BTreeMap::new(),
            steady_after: None,
            steady_lost: false,
            unsteady: false,
            steady_accepted: false,
            stuck: Vec::new(),
            accepted: Vec::new(),
            skipped: Vec::new(),
            finished: None,
            next_call: 0,
            unknown: 0,
            misplaced: None,
            next_order: 0,
            open_calls: BTreeMap::new(),
            unanswered: BTreeMap::new(),
            sent: false,
            programs: Programs::default(),
        }
    }

    /// Folds the lines of a journal.
    pub fn replay(plan: Arc<Plan>, lines: &[Line]) -> Self {
        let mut state = Self::new(plan);
        for line in lines {
            state.evolve(line);
        }
        state
    }

    /// The stage, `Preflight` before the first.
    pub fn stage(&self) -> Stage {
        self.stage.map_or(Stage::Preflight, |(s, _)| s)
    }

    /// The cells of one step.
    pub fn cells_of<'a>(
        &'a self,
        step: &'a StepId,
    ) -> impl Iterator<Item = (&'a Option<String>, &'a CellState)> {
        self.cells.iter().filter(move |((s, _), _)| s == step).map(|((_, t), c)| (t, c))
    }

    /// Whether any fault may have had an effect.
    pub fn fault_happened(&self) -> bool {
        self.plan
            .steps
            .iter()
            .filter(|s| s.stage == Stage::Fault)
            .any(|s| self.cells_of(&s.id).any(|(_, c)| c.may_have_effect()))
    }

    /// Whether this is an irreversible fault of which a call got no answer.
    pub fn doubted(&self, step: &PlannedStep) -> bool {
        step.stage == Stage::Fault
            && step.reversibility == Reversibility::Irreversible
            && self.unanswered.values().any(|id| *id == step.id)
    }

    /// The outputs of a step that acts on one target.
    pub fn output(&self, step: &str, name: &str) -> Option<&str> {
        self.cells
            .iter()
            .filter(|((s, _), _)| s.as_str() == step)
            .find_map(|(_, c)| c.outputs.get(name))
            .map(String::as_str)
    }

    /// What the end of the run has to do with this cell: undo it, keep it, or nothing.
    pub fn fate(&self, step: &PlannedStep) -> Fate {
        match (step.stage, step.after) {
            (Stage::Recovery, After::Keep) => Fate::Keep,
            _ if step.reversibility == Reversibility::Momentary => Fate::Nothing,
            // a recovery that can be put back is asked: where it restored what was there before, it
            // has nothing to do; where it went elsewhere, it must go before the fault's own undo
            (Stage::Recovery, After::None) if step.reversibility != Reversibility::Reversible => {
                Fate::Nothing
            }
            _ => Fate::Undo,
        }
    }

    /// Takes one recorded line.
    pub fn evolve(&mut self, line: &Line) {
        self.timeline.line(line);
        let now = self.timeline.ms(line.stamp);
        if let Err(what) = self.place(&line.event) {
            // nothing is made up for it: whoever works on the run refuses such a journal
            self.misplaced.get_or_insert_with(|| format!("line {}: {what}", line.seq + 1));
            return;
        }
        self.answered.extend(line.event.request().map(|r| r.id.clone()));
        match &line.event {
            Event::Header { format, run, .. } => {
                self.programs.header(*format);
                self.run = Some(run.clone());
            }
            Event::ProgramsFolder { path } => self.programs.folder = Some(path.clone()),
            Event::ProgramStarted { step, program, .. } => self.programs.started(step, program),
            Event::ProgramEnded { mark, .. } => self.programs.ended(mark),
            Event::Endpoint { .. } | Event::Approved { .. } | Event::Skew { .. } | Event::Found { .. } => {}
            // it is held by the id that the plan has
            Event::Renamed { .. } => {}
            Event::CallAnswered { call, error, .. } => {
                self.open_calls.remove(call);
                if error.as_ref().is_none_or(|e| e.effect == EffectCertainty::None) {
                    self.unanswered.remove(call);
                }
            }
            Event::Attached { mode, .. } => self.attached(*mode, now),
            Event::Stage { .. } if sabotage::is(Sabotage::StagesAreForgotten) => {}
            Event::Stage { stage } => self.entered(*stage, now, line.stamp),
            Event::PreflightPassed {} => self.preflighted = true,
            Event::Captured { step, target, data } => {
                self.captured.insert((step.clone(), Some(target.clone())), data.clone());
            }
            Event::Holding { targets } => {
                self.holding.extend(targets.iter().cloned());
                self.has_held = true;
            }
            Event::Held { .. } => self.armed = true,
            Event::Released { targets } => {
                for t in targets {
                    self.holding.remove(t);
                }
                self.release_failed = !self.holding.is_empty();
            }
            Event::StepPrepared { step, target, undo } => {
                let Some(cell) = self.cell(step, target) else { return };
                cell.undo = Some(undo.clone());
                if cell.status == Status::Idle {
                    cell.status = Status::Prepared;
                }
            }
            Event::StepStarted { step, targets } => {
                self.begin_without_call(step, now, line.stamp);
                for target in targets {
                    self.next_order += 1;
                    let order = self.next_order;
                    let Some(cell) = self.cell(step, target) else { continue };
                    cell.status = Status::Started;
                    cell.order = order;
                }
            }
            Event::CallSent { call, step, phase, .. } => {
                self.next_call = self.next_call.max(call + 1);
                self.open_calls.insert(*call, *phase);
                self.sent |= step.is_some() && *phase == Phase::Apply;
                self.releasing |= *phase == Phase::Release;
                let is_fault =
                    step.as_ref().and_then(|s| self.plan.step(s)).is_some_and(|s| s.stage == Stage::Fault);
                if let Some(step) = step.as_ref().filter(|_| is_fault && *phase == Phase::Apply) {
                    self.unanswered.insert(*call, step.clone());
                }
                if is_fault && *phase == Phase::Apply && self.t0.is_none() {
                    self.t0 = Some(now);
                    self.t0_at = Some(line.stamp.at);
                }
            }
            Event::StepApplied { step, target, outputs, .. } => {
                let Some(cell) = self.cell(step, target) else { return };
                cell.status = Status::Applied;
                cell.outputs.extend(outputs.clone());
            }
            Event::StepFailed { step, target, effect, .. } => {
                self.waiting.remove(step);
                let again = self.stage() == Stage::Undo;
                if let Some(cell) = self.cell(step, target) {
                    // it was looked for once more at the end, and is not there
                    cell.settled |= again && cell.status == Status::Failed(EffectCertainty::None);
                    cell.status = Status::Failed(*effect);
                }
            }
            Event::StepReady { step, target, outputs, .. } => {
                let Some(cell) = self.cell(step, target) else { return };
                cell.status = Status::Ready;
                cell.outputs.extend(outputs.clone());
            }
            Event::StepSkipped { step, why } => {
                self.skipped.push(format!("{step}: {why}"));
                for ((s, _), cell) in &mut self.cells {
                    if s == step && matches!(cell.status, Status::Idle | Status::Prepared) {
                        cell.status = Status::Skipped;
                    }
                }
            }
            Event::ReadRetried { .. }
            | Event::ObservationsLost { .. }
            | Event::StepProgress { .. }
            | Event::Marked { .. }
            | Event::RequestUnused { .. } => {}
            Event::Steady { .. } => self.held = true,
            Event::Waiting { step, .. } => {
                self.begin_without_call(step, now, line.stamp);
                self.waiting.entry(step.clone()).or_insert(now);
                self.announced.insert(step.clone());
            }
            Event::Confirmed { step, simulated, .. } => {
                self.person |= !simulated;
                self.waiting.remove(step);
                self.set(step, &None, Status::Ready);
            }
            Event::Observed { probe, health, sent, answered, .. } => {
                self.observe(probe, *health, *sent, *answered);
            }
            Event::Unchanged { probe, health, count, last_sent, last_answered } => {
                self.observed(probe, *health, *count, *last_sent, *last_answered);
            }
            Event::StopRequested { cause, detail, .. } => {
                // a stronger cause replaces a weaker one, never the other way round
                if self.stop.as_ref().is_none_or(|(c, _)| cause > c) {
                    self.stop = Some((*cause, detail.clone()));
                }
            }
            Event::Signal { count, .. } => self.signals = *count,
            Event::UndoFailed { .. } => {}
            Event::UndoStarted { step, target } => {
                let Some(cell) = self.cell(step, target) else { return };
                cell.was_stuck = false;
            }
            Event::UndoDone { step, target, .. }
            | Event::Kept { step, target, .. }
            | Event::LeftInPlace { step, target, .. } => {
                let kept = matches!(line.event, Event::Kept { .. });
                if let Event::LeftInPlace { why, by: Some(by), .. } = &line.event {
                    let on = target.as_ref().map(|t| format!(" on {t}")).unwrap_or_default();
                    self.accepted.push(format!("`{step}`{on}, accepted by {by}: {why}"));
                }
                let Some(cell) = self.cell(step, target) else { return };
                cell.kept = kept;
                cell.settled = true;
                cell.stuck = false;
                cell.was_stuck = false;
            }
            Event::Stuck { step, target, error, .. } => {
                self.stuck.push(error.clone());
                let cell = step.as_ref().and_then(|step| self.cell(step, target));
                if let Some(cell) = cell {
                    cell.stuck = true;
                    cell.was_stuck = true;
                }
            }
            Event::Cleaned { .. } => self.cleaned = Some(now),
            Event::SteadyAfter { healthy } => {
                self.steady_after = Some(*healthy);
                self.steady_lost |= !healthy;
                self.unsteady &= !healthy;
            }
            Event::SteadyStateAccepted { why, by } => {
                self.steady_accepted = true;
                self.unsteady = false;
                self.accepted.push(format!("the steady state after the clean-up, accepted by {by}: {why}"));
            }
            Event::Finished { verdict, .. } => {
                self.finished = Some(*verdict);
                let unseen =
                    self.cleaned.is_some() && self.steady_after != Some(true) && !self.steady_accepted;
                self.unsteady |= *verdict == Verdict::Stuck && unseen;
            }
            Event::Unknown(_) => self.unknown += 1,
        }
    }

    /// Whether a step changes its target, not only adds something beside it.
    pub fn changes_its_target(&self, step: &StepId) -> bool {
        self.plan.step(step).is_some_and(|s| s.reversibility != Reversibility::Additive)
    }

    /// The targets that a step has changed and is stuck with: neither put back nor accepted. What a step adds beside
    /// its target has tags of its own.
    pub fn stuck_targets(&self) -> BTreeSet<String> {
        let stuck = self.cells.iter().filter(|(_, c)| c.stuck && c.may_have_effect() && !c.settled);
        stuck
            .filter(|(cell, _)| self.changes_its_target(&cell.0))
            .filter_map(|(cell, _)| cell.1.clone())
            .collect()
    }

    /// Takes one observation, journalled or not.
    pub fn observe(&mut self, probe: &str, health: Health, sent: Stamp, answered: Stamp) {
        self.observed(probe, health, 1, sent, answered);
    }

    /// Takes `count` observations of the same health, the newest of them at these times.
    fn observed(&mut self, probe: &str, health: Health, count: u64, sent: Stamp, answered: Stamp) {
        let (sent, answered) = (self.timeline.ms(sent), self.timeline.ms(answered));
        let known = self.steady.tracks().iter().chain(self.verify.tracks()).find(|t| t.info.name == probe);
        self.turned |= self.t0.is_some_and(|t0| sent >= t0)
            && matches!(
                (known.and_then(|t| t.health), health),
                (Some(Health::Healthy), Health::Unhealthy) | (Some(Health::Unhealthy), Health::Healthy)
            );
        self.steady.unchanged(probe, health, count, sent, answered);
        self.verify.unchanged(probe, health, count, sent, answered);
        self.stops.observe(probe, health, answered);
        self.concludes(probe, health, sent);
    }

    /// Takes a recorded line about an observation that was taken when it was made. What was recorded in
    /// between (when the fault was sent) may tell more about it.
    pub fn recorded(&mut self, line: &Line) {
        let (probe, health, sent) = match &line.event {
            Event::Observed { probe, health, sent, .. } => (probe, *health, *sent),
            Event::Unchanged { probe, health, last_sent, .. } => (probe, *health, *last_sent),
            _ => return self.evolve(line),
        };
        let sent = self.timeline.ms(sent);
        self.concludes(probe, health, sent);
    }

    fn concludes(&mut self, probe: &str, health: Health, sent: i64) {
        if health == Health::Unhealthy
            && self.steady.tracks().iter().any(|t| t.info.name == probe && t.info.decides())
            && self.t0.is_some_and(|t0| sent >= t0)
        {
            self.impact_seen = true;
        }
        if health == Health::Unknown
            && self.stage() < Stage::Undo
            && self.steady.tracks().iter().any(|t| t.info.name == probe && t.info.decides())
            && self.t0.is_some_and(|t0| sent >= t0)
        {
            self.blind = true;
        }
        self.verifies();
    }

    /// A fault that no AWS call makes (a person, a local program) begins when its step does.
    fn begin_without_call(&mut self, step: &StepId, now: i64, stamp: Stamp) {
        let Some(step) = self.plan.step(step).filter(|s| s.stage == Stage::Fault) else { return };
        if super::setup::acts_without_call(step) && self.t0.is_none() {
            self.t0 = Some(now);
            self.t0_at = Some(stamp.at);
        }
    }

    fn entered(&mut self, stage: Stage, now: i64, stamp: Stamp) {
        self.stage = Some((stage, now));
        self.stage_times.entry(stage).or_insert(now);
        let no_fault = !self.plan.steps.iter().any(|s| s.stage == Stage::Fault);
        if stage == Stage::Recovery && no_fault && self.t0.is_none() && self.stop.is_none() {
            self.t0 = Some(now);
            self.t0_at = Some(stamp.at);
        }
        if stage == Stage::Verify && self.plan.drill.verify.is_empty() {
            self.verified = Some(now);
        }
    }

    #[expect(clippy::ref_option, reason = "cells are keyed by `Option<String>`")]
    fn cell(&mut self, step: &StepId, target: &Option<String>) -> Option<&mut CellState> {
        self.cells.get_mut(&(step.clone(), target.clone()))
    }

    #[expect(clippy::ref_option, reason = "cells are keyed by `Option<String>`")]
    fn set(&mut self, step: &StepId, target: &Option<String>, status: Status) {
        if let Some(cell) = self.cell(step, target) {
            cell.status = status;
        }
    }
}

/// What the end of a run does with a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Put it back.
    Undo,
    /// Retag it as kept.
    Keep,
    /// Leave it be.
    Nothing,
}

#[cfg(test)]
mod tests;
