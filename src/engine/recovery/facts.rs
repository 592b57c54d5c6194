//! What one pass over a journal's lines collects for the recovery clock. Pure.
//!
//! Nothing is judged here: the moments stand as they were recorded, in milliseconds on one [`Timeline`].

use std::collections::{BTreeMap, BTreeSet};

use chrono::DateTime;

use super::{AHEAD_MS, ClockParams};
use crate::drill::Role;
use crate::engine::history::{self, History};
use crate::engine::steady_state::{ProbeUsage, Reboot, Timeline};
use crate::journal::{Event, Line, Mark, Mode, Phase};
use crate::model::{EffectCertainty, Health, Stage, StepId};

pub(super) struct Call {
    pub(super) number: u64,
    pub(super) sent: i64,
    pub(super) answered: Option<i64>,
    pub(super) refused: bool,
}

/// What one pass over the lines collects. Milliseconds on the timeline.
#[derive(Default)]
pub(super) struct Facts {
    pub(super) histories: Vec<History>,
    pub(super) calls: Vec<Call>,
    pub(super) format: u32,
    pub(super) fault_begun: Option<i64>,
    pub(super) fault_done: Option<i64>,
    /// The same of the steps that break something without a call.
    pub(super) hand_begun: Option<i64>,
    pub(super) hand_done: Option<i64>,
    pub(super) recovery_stage: Option<i64>,
    pub(super) alarms: Vec<i64>,
    /// Marks of people: which, when as they say, and when the journal took it.
    pub(super) said: Vec<(&'static str, i64, i64)>,
    pub(super) requested: Option<i64>,
    /// Calls of recovery steps.
    pub(super) asked: BTreeSet<u64>,
    pub(super) wanted: BTreeMap<StepId, BTreeSet<Option<String>>>,
    pub(super) ready: BTreeMap<(StepId, Option<String>), i64>,
    pub(super) confirmed: BTreeMap<StepId, i64>,
    pub(super) restored_to: Option<i64>,
    /// Clients saw an outage after the steady state had been held and before the clean-up was over.
    pub(super) outage_in_clean_up: bool,
    pub(super) clean: Option<i64>,
    /// What the last process to work on the run was stuck with.
    pub(super) stuck: bool,
    pub(super) left: bool,
    /// For every process but the first: the last line before it, and when it attached itself.
    pub(super) changes: Vec<(i64, i64)>,
    /// Where only wall time counts.
    pub(super) reboots: Vec<Reboot>,
    /// Marks for a time after the line that took them: which, and by how much.
    pub(super) ahead: Vec<(&'static str, i64)>,
    pub(super) skew_ms: i64,
    pub(super) last: i64,
}

/// How far observations count.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Counting {
    All,
    /// The steady state was met: what clients see from here on is the clean-up.
    NotClients,
    Nothing,
}

fn first(slot: &mut Option<i64>, at: i64) {
    *slot = Some(slot.map_or(at, |s| s.min(at)));
}

impl Facts {
    pub(super) fn read(lines: &[Line], params: &ClockParams) -> Self {
        let mut facts = Self { histories: history::histories(&params.probes), ..Self::default() };
        let mut timeline = Timeline::new();
        let mut counting = Counting::All;
        // of a run that came to its end: what is stopped in the outage is put back in it
        let mut held = false;
        let mut processes = 0;
        for line in lines {
            timeline.line(line);
            if matches!(line.event, Event::Attached { .. }) {
                if processes > 0 {
                    facts.changes.push((facts.last, timeline.ms(line.stamp)));
                }
                processes += 1;
            }
            let at = timeline.ms(line.stamp);
            facts.last = facts.last.max(at);
            facts.observation(&timeline, line, counting);
            facts.outage_in_clean_up |= held && facts.is_outage(line);
            facts.line(params, line, at);
            match &line.event {
                Event::Steady { .. } if facts.recovery_stage.is_some() && counting == Counting::All => {
                    for history in facts.histories.iter_mut().filter(|h| h.info.decides()) {
                        history.vouch(at);
                    }
                    counting = Counting::NotClients;
                    held = true;
                }
                Event::Cleaned { .. } => held = false,
                Event::Stage { stage: Stage::Undo } => counting = Counting::Nothing,
                _ => {}
            }
        }
        facts.reboots = timeline.reboots().to_vec();
        facts
    }

    fn observation(&mut self, timeline: &Timeline, line: &Line, counting: Counting) {
        let Some((probe, health, count, sent, answered)) = history::observation(line) else { return };
        for history in self.histories.iter_mut().filter(|h| h.info.name == probe) {
            let counts = match counting {
                Counting::All => true,
                Counting::NotClients => {
                    // version 0.1.0 asked of a check only that it passed once
                    let is_check = history.info.stage_of_use == ProbeUsage::Verify && self.format != 1;
                    !history.info.decides() && !is_check
                }
                Counting::Nothing => false,
            };
            if counts {
                history.take(health, count, timeline.ms(sent), timeline.ms(answered));
            }
            if let Event::Observed { source_at: Some(source), .. } = &line.event
                && history.info.role == Role::Monitoring
                && history.info.stage_of_use == ProbeUsage::SteadyState
                && health == Health::Unhealthy
            {
                let ago = answered.at.signed_duration_since(*source).num_milliseconds();
                self.alarms.push(timeline.ms(answered).saturating_sub(ago).saturating_add(self.skew_ms));
            }
        }
    }

    /// Whether a client saw the service down. Version 0.1.0 did not look at the clean-up.
    fn is_outage(&self, line: &Line) -> bool {
        let seen = history::observation(line).filter(|(_, health, ..)| *health == Health::Unhealthy);
        self.format != 1
            && seen.is_some_and(|(probe, ..)| {
                self.histories.iter().any(|h| h.info.name == probe && h.info.decides())
            })
    }

    /// A person or a program breaks something from when the step begins until it has ended.
    fn by_hand(&mut self, params: &ClockParams, event: &Event, at: i64) {
        let by_hand = |step: &StepId| params.by_hand.contains(step);
        match event {
            Event::StepStarted { step, .. } | Event::Waiting { step, .. } if by_hand(step) => {
                first(&mut self.hand_begun, at);
            }
            Event::Confirmed { step, .. }
            | Event::StepApplied { step, .. }
            | Event::StepReady { step, .. }
                if by_hand(step) =>
            {
                first(&mut self.hand_begun, at);
                first(&mut self.hand_done, at);
            }
            _ => {}
        }
    }

    fn line(&mut self, params: &ClockParams, line: &Line, at: i64) {
        let fault = |step: &StepId| params.fault_steps.contains(step);
        let recovery = |step: &StepId| params.recovery_steps.contains(step);
        self.by_hand(params, &line.event, at);
        match &line.event {
            Event::Header { format, .. } => {
                self.format = *format;
                self.histories.iter_mut().for_each(|h| h.format = *format);
            }
            Event::Skew { ms } => self.skew_ms = *ms,
            Event::Stage { stage: Stage::Recovery } => first(&mut self.recovery_stage, at),
            Event::CallSent { call, step: Some(step), phase: Phase::Apply, .. } if fault(step) => {
                self.calls.push(Call { number: *call, sent: at, answered: None, refused: false });
            }
            Event::CallSent { call, step: Some(step), phase: Phase::Apply, .. } if recovery(step) => {
                self.asked.insert(*call);
            }
            // version 0.1.0 took the moment at which all calls of the step had been accepted
            Event::CallAnswered { call, error: None, .. }
                if self.asked.contains(call) && self.format != 1 =>
            {
                first(&mut self.requested, at);
            }
            Event::CallAnswered { call, error, .. } => {
                let open = self.calls.iter_mut().find(|c| c.number == *call && c.answered.is_none());
                if let Some(open) = open {
                    open.answered = Some(at);
                    open.refused = error.as_ref().is_some_and(|e| e.effect == EffectCertainty::None);
                }
            }
            Event::StepStarted { step, targets } => {
                if fault(step) {
                    first(&mut self.fault_begun, at);
                }
                self.wanted.entry(step.clone()).or_default().extend(targets.iter().cloned());
            }
            // a target that failed before its batch was started is to be restored all the same
            Event::StepPrepared { step, target, .. } | Event::StepFailed { step, target, .. } => {
                self.wanted.entry(step.clone()).or_default().insert(target.clone());
            }
            Event::Waiting { step, .. } if fault(step) => first(&mut self.fault_begun, at),
            Event::Confirmed { step, .. } => {
                if fault(step) {
                    first(&mut self.fault_begun, at);
                    first(&mut self.fault_done, at);
                }
                if recovery(step) {
                    first(&mut self.requested, at);
                    self.confirmed.entry(step.clone()).or_insert(at);
                }
            }
            Event::StepApplied { step, outputs, .. } => {
                if fault(step) {
                    first(&mut self.fault_done, at);
                }
                if recovery(step) {
                    first(&mut self.requested, at);
                    self.restored(outputs);
                }
            }
            Event::StepReady { step, target, outputs, .. } => {
                if fault(step) {
                    first(&mut self.fault_done, at);
                }
                if recovery(step) {
                    first(&mut self.requested, at);
                    self.restored(outputs);
                    self.ready.entry((step.clone(), target.clone())).or_insert(at);
                }
            }
            Event::Marked { mark, at: said, .. } => {
                let ago = line.stamp.at.signed_duration_since(*said).num_milliseconds();
                let name = match mark {
                    Mark::Detected => "t1",
                    Mark::Ack => "t2",
                    Mark::Declare => "t3",
                    Mark::Note => return,
                };
                // nobody knows today what happens tomorrow; a clock may be a little off
                if ago < -AHEAD_MS {
                    return self.ahead.push((name, -ago));
                }
                self.said.push((name, at.saturating_sub(ago.max(0)), at));
            }
            Event::UndoDone { .. } | Event::Kept { .. } | Event::Released { .. } | Event::Cleaned { .. } => {
                self.clean = Some(at);
            }
            // who takes it up tries again what was stuck; version 0.1.0 never called such a run clean
            Event::Attached { mode: Mode::Resume | Mode::Rollback, redrill, .. } if redrill != "0.1.0" => {
                self.stuck = false;
                self.clean = None;
            }
            Event::Stuck { .. } | Event::SteadyAfter { healthy: false } => self.stuck = true,
            Event::LeftInPlace { .. } | Event::SteadyStateAccepted { .. } => self.left = true,
            _ => {}
        }
    }

    fn restored(&mut self, outputs: &BTreeMap<String, String>) {
        let at = outputs.get("restored_to").and_then(|t| DateTime::parse_from_rfc3339(t).ok());
        if let Some(at) = at {
            // of several restores the oldest point counts
            first(&mut self.restored_to, at.timestamp_millis());
        }
    }
}
