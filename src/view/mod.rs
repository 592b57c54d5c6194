//! A run as people want to see it: a fold of its journal. Pure.
//!
//! Live or after the fact, line by line, the view is the same; it asks nobody and reads no clock.
//! Texts are as recorded: whoever writes them out cleans them. Times are wall time (UTC).

mod moments;
mod types;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::journal::event::Approved;
use crate::journal::{Event, Line, Measured, Mode, Verdict};
use crate::model::{Stage, StepId, World, endpoint};

use moments::UNSEEN;

pub use moments::undone;
pub use types::{
    CallView, CellView, Ending, Header, MarkView, Moment, ProbeView, Process, Segment, StageView, Status,
    StepView, StopView, StuckView,
};

/// A run.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema, Serialize)]
pub struct RunView {
    /// What it is; unknown only while there is not a single line.
    pub header: Option<Header>,
    /// The first line's time.
    pub started_at: Option<DateTime<Utc>>,
    /// The newest line's time.
    pub last_at: Option<DateTime<Utc>>,
    /// The end.
    pub finished_at: Option<DateTime<Utc>>,
    /// How it ended; `None` while it has not.
    pub verdict: Option<Verdict>,
    /// The exit code.
    pub exit_code: Option<u8>,
    /// Why that verdict.
    pub reasons: Vec<String>,
    /// What the recovery clock measured, once it is over.
    pub measured: Option<Measured>,
    /// The local clock minus AWS's, newest.
    pub skew_ms: Option<i64>,
    /// The processes that worked on it.
    pub processes: Vec<Process>,
    /// Who approved it, with a signature that holds.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub approvals: Vec<Approved>,
    /// The stages, in order.
    pub stages: Vec<StageView>,
    /// What preflight found.
    pub findings: Vec<Value>,
    /// Targets that carry `redrill:held` now.
    pub held: Vec<String>,
    /// The steps, in the order in which they began.
    pub steps: Vec<StepView>,
    /// What people marked.
    pub marks: Vec<MarkView>,
    /// The probes, in the order of their first answer.
    pub probes: Vec<ProbeView>,
    /// When the steady state was met again, as the engine saw it.
    pub steady_since: Option<DateTime<Utc>>,
    /// Whether it held again after the clean-up.
    pub steady_after: Option<bool>,
    /// Who accepted, and why, that the steady state was not seen to hold after the clean-up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steady_accepted: Option<String>,
    /// The changes that were sent.
    pub calls: Vec<CallView>,
    /// Why it stops before its end; the first cause.
    pub stop: Option<StopView>,
    /// What needs a person.
    pub stuck: Vec<StuckView>,
    /// What happened, in words.
    pub moments: Vec<Moment>,
    /// How many lines the journal has.
    pub lines: u64,
    /// Events of kinds that this version does not know, as they stand.
    pub unknown: Vec<Value>,
}

impl RunView {
    /// The view of these lines.
    pub fn of(lines: &[Line]) -> Self {
        let mut view = Self::default();
        for line in lines {
            view.apply(line);
        }
        view
    }

    /// The stage that the run is in.
    pub fn stage(&self) -> Option<Stage> {
        self.stages.last().map(|s| s.stage)
    }

    /// How many calls failed.
    pub fn failed_calls(&self) -> usize {
        self.calls.iter().filter(|c| c.error.is_some()).count()
    }

    /// Steps and targets that the run left behind on purpose, with why.
    pub fn left_in_place(&self) -> impl Iterator<Item = (&StepId, Option<&str>, &str)> {
        self.cells().filter_map(|(step, c)| match &c.ending {
            Some(Ending::Left { why }) => Some((step, c.target.as_deref(), why.as_str())),
            _ => None,
        })
    }

    /// Steps and targets whose result stays.
    pub fn kept(&self) -> impl Iterator<Item = (&StepId, Option<&str>)> {
        self.cells().filter_map(|(step, c)| {
            matches!(c.ending, Some(Ending::Kept { .. })).then_some((step, c.target.as_deref()))
        })
    }

    /// Why it is not proven that AWS answered; `None` off AWS, and where it is. Of several processes, all
    /// that worked on the run have to be proven.
    pub fn endpoint_doubt(&self) -> Option<String> {
        let world = self.header.as_ref().map(|h| h.world);
        if world != Some(World::Aws) {
            return None;
        }
        let not_recorded = || Some(endpoint::NOT_RECORDED.to_owned());
        let mut at_work = self.processes.iter().filter(|p| p.mode != Mode::Tell).peekable();
        if at_work.peek().is_none() {
            return not_recorded();
        }
        at_work.find_map(|p| p.endpoint.as_ref().map_or_else(not_recorded, |way| way.doubt()))
    }

    /// Everything that the run left behind, one sentence each; what is kept on purpose is not among it.
    pub fn left_behind(&self) -> Vec<String> {
        let on = |target: Option<&str>| target.map(|t| format!(" on {t}")).unwrap_or_default();
        let mut out = Vec::new();
        for stuck in &self.stuck {
            let step = stuck.step.as_ref().map_or("the clean-up", |s| s.as_str());
            // a step's own words name it already
            let what = match &stuck.step {
                Some(_) if stuck.error.starts_with("step `") => String::new(),
                _ => format!("{step}{}: ", on(stuck.target.as_deref())),
            };
            out.push(format!("STUCK: {what}{}. What to do: {}", stuck.error, stuck.hint));
        }
        for (step, cell) in self.cells() {
            if matches!(cell.ending, Some(Ending::Undoing { .. })) {
                out.push(format!("undo not finished: {step}{}", on(cell.target.as_deref())));
            }
        }
        for (step, target, why) in self.left_in_place() {
            out.push(self.gone(step, target, why));
        }
        out.extend(self.steady_accepted.clone());
        if !self.held.is_empty() {
            out.push(format!("still tagged redrill:held: {}", self.held.join(", ")));
        }
        out
    }

    /// What cannot be put back, with what stands in its place where a recovery step made that.
    pub fn gone(&self, step: &StepId, target: Option<&str>, why: &str) -> String {
        let same =
            |other: &StepId, c: &CellView| other != step && target.is_some() && c.target.as_deref() == target;
        let made = self.cells().filter(|(other, c)| same(other, c));
        let mut made = made.filter_map(|(_, c)| Some((c.outputs.get("instance_id")?, &c.ending)));
        let by = made.next().map(|(id, ending)| match ending {
            Some(Ending::Undone { .. }) => format!("; {id}, which replaced it, does not stand any more"),
            // whether that stands is what a person has to look at
            Some(Ending::Stuck { .. } | Ending::Left { .. }) => format!("; {id} was launched in its place"),
            _ => format!("; replaced by {id}"),
        });
        let by = by.unwrap_or_default();
        format!("{step}{}: {why}{by}", target.map(|t| format!(" on {t}")).unwrap_or_default())
    }

    /// How it is told that something stays as it is: somebody accepted that, or it cannot be put back. Only what was
    /// seen to its end is said to have happened.
    fn left(&self, step: &StepId, target: Option<&String>, why: &str, by: Option<&str>) -> String {
        let ended = |(id, c): (&StepId, &CellView)| {
            id == step && c.target.as_ref() == target && c.status == Status::Ready
        };
        match by {
            Some(by) => format!("left in place: {why} (accepted by {by})"),
            None if self.cells().any(ended) => why.to_owned(),
            None => format!("{why}, if it took effect"),
        }
    }

    /// What went wrong in which step, in the steps' own words.
    pub fn failures(&self) -> Vec<String> {
        let on = |target: Option<&str>| target.map(|t| format!(" on {t}")).unwrap_or_default();
        let failed = self.cells().filter_map(|(step, cell)| Some((step, cell, cell.error.as_ref()?)));
        failed.map(|(step, cell, error)| format!("{step}{}: {error}", on(cell.target.as_deref()))).collect()
    }

    /// What a step was stuck with on this target is tried again, or has found its end.
    fn not_stuck(&mut self, step: &StepId, target: Option<&String>) {
        self.stuck.retain(|stuck| stuck.step.as_ref() != Some(step) || stuck.target.as_ref() != target);
    }

    /// Whether something was broken for good, and what the drill has to mend it did not come to its end.
    pub fn is_unmended(&self) -> bool {
        self.reasons.iter().any(|r| r.contains("is not mended"))
    }

    /// Whether something was broken on purpose; else the clock starts with the recovery.
    pub fn has_fault(&self) -> bool {
        self.steps.iter().any(|s| s.stage == Some(Stage::Fault))
    }

    fn cells(&self) -> impl Iterator<Item = (&StepId, &CellView)> {
        self.steps.iter().flat_map(|s| s.cells.iter().map(move |c| (&s.id, c)))
    }

    /// Takes the next line.
    pub fn apply(&mut self, line: &Line) {
        let at = line.stamp.at;
        self.lines += 1;
        self.started_at.get_or_insert(at);
        self.last_at = Some(at);
        if let Some(what) = moments::sentence(&line.event, self) {
            let at = match &line.event {
                Event::Marked { at, .. } => *at,
                _ => at,
            };
            self.moments.push(Moment { seq: line.seq, stage: self.stage(), at, what });
        }
        match &line.event {
            Event::Header {
                format,
                redrill,
                run,
                drill,
                title,
                plan_sha256,
                world,
                account,
                caller,
                region,
                rto_ms,
                give_up_ms,
                chain,
            } => {
                self.header = Some(Header {
                    run: run.clone(),
                    drill: drill.clone(),
                    title: title.clone(),
                    format: *format,
                    redrill: redrill.clone(),
                    plan_sha256: plan_sha256.clone(),
                    world: *world,
                    account: account.clone(),
                    caller: caller.clone(),
                    region: region.clone(),
                    rto_ms: *rto_ms,
                    give_up_ms: *give_up_ms,
                    chain: chain.clone(),
                });
            }
            Event::Approved { approval } => self.approvals.push(approval.clone()),
            Event::Attached { mode, pid, host, user, redrill, .. } => {
                self.processes.push(Process {
                    at,
                    mode: *mode,
                    pid: *pid,
                    host: host.clone(),
                    user: user.clone(),
                    redrill: redrill.clone(),
                    endpoint: None,
                });
                if matches!(mode, Mode::Resume | Mode::Rollback) {
                    // what the clean-up was stuck with is looked at again
                    self.stuck.retain(|stuck| stuck.step.is_some());
                    self.steady_after = None;
                }
            }
            Event::Endpoint { proof } => {
                if let Some(process) = self.processes.last_mut() {
                    process.endpoint = Some(proof.clone());
                }
            }
            Event::Skew { ms } => self.skew_ms = Some(*ms),
            Event::Stage { stage } => {
                self.close_stage(at);
                self.stages.push(StageView { stage: *stage, from: at, to: None });
            }
            Event::Found { finding } => self.findings.push(finding.clone()),
            Event::Holding { targets } | Event::Held { targets } => {
                for target in targets {
                    if !self.held.contains(target) {
                        self.held.push(target.clone());
                    }
                }
            }
            Event::Released { targets } => self.held.retain(|t| !targets.contains(t)),
            Event::Marked { mark, at, by, note, .. } => {
                self.marks.push(MarkView { mark: *mark, at: *at, by: by.clone(), note: note.clone() });
            }
            Event::Steady { since } => self.steady_since = Some(*since),
            Event::SteadyAfter { healthy } => self.steady_after = Some(*healthy),
            Event::StopRequested { cause, detail, .. } => {
                // nobody is asked for anything any more
                self.steps.iter_mut().for_each(|s| s.waiting = None);
                if self.stop.is_none() {
                    self.stop = Some(StopView { at, cause: *cause, detail: detail.clone() });
                }
            }
            Event::CallSent { .. } | Event::CallAnswered { .. } => self.call(line),
            Event::Observed { .. } | Event::Unchanged { .. } => self.observation(line),
            Event::Finished { verdict, exit_code, reasons, measured } => {
                self.close_stage(at);
                self.finished_at = Some(at);
                self.verdict = Some(*verdict);
                self.exit_code = Some(*exit_code);
                self.reasons.clone_from(reasons);
                self.measured = Some((**measured).clone());
            }
            Event::Unknown(value) => self.unknown.push(value.clone()),
            _ => self.step(line),
        }
    }

    fn close_stage(&mut self, at: DateTime<Utc>) {
        if let Some(last) = self.stages.last_mut() {
            last.to.get_or_insert(at);
        }
    }

    fn call(&mut self, line: &Line) {
        match &line.event {
            Event::CallSent { call, step, phase, operation, attempt, .. } => self.calls.push(CallView {
                seq: line.seq,
                call: *call,
                step: step.clone(),
                phase: *phase,
                operation: operation.clone(),
                attempt: *attempt,
                sent_at: line.stamp.at,
                answered_at: None,
                request_id: None,
                error: None,
            }),
            Event::CallAnswered { call, request_id, error, .. } => {
                let open = self.calls.iter_mut().rev().find(|c| c.call == *call);
                if let Some(open) = open {
                    open.answered_at = Some(line.stamp.at);
                    open.request_id.clone_from(request_id);
                    open.error = error.as_ref().map(|e| {
                        let code = e.code.as_deref().unwrap_or(&e.kind);
                        format!("{code}: {}", e.message)
                    });
                }
            }
            _ => {}
        }
    }

    fn observation(&mut self, line: &Line) {
        let (probe, health, count, at, text) = match &line.event {
            Event::Observed { probe, health, seen, answered, .. } => {
                (probe, health, 1, answered.at, seen.as_str())
            }
            Event::Unchanged { probe, health, count, last_answered, .. } => {
                (probe, health, *count, last_answered.at, "")
            }
            _ => return,
        };
        let index = self.probes.iter().position(|p| p.name == *probe).unwrap_or_else(|| {
            self.probes.push(ProbeView { name: probe.clone(), observations: 0, segments: Vec::new() });
            self.probes.len() - 1
        });
        let view = &mut self.probes[index];
        view.observations += count;
        match view.segments.last_mut() {
            Some(last) if last.health == *health => {
                last.to = at;
                last.observations += count;
            }
            _ => view.segments.push(Segment {
                health: *health,
                from: at,
                to: at,
                observations: count,
                seen: text.to_owned(),
            }),
        }
    }

    fn step_mut(&mut self, id: &StepId) -> &mut StepView {
        let stage = self.stage();
        let index = self.steps.iter().position(|s| s.id == *id).unwrap_or_else(|| {
            let id = id.clone();
            self.steps.push(StepView {
                id,
                stage,
                waiting: None,
                confirmed: None,
                skipped: None,
                cells: Vec::new(),
            });
            self.steps.len() - 1
        });
        &mut self.steps[index]
    }

    fn cell(&mut self, id: &StepId, target: Option<&String>) -> &mut CellView {
        let step = self.step_mut(id);
        let index = step.cells.iter().position(|c| c.target.as_ref() == target).unwrap_or_else(|| {
            step.cells.push(CellView { target: target.cloned(), ..CellView::default() });
            step.cells.len() - 1
        });
        &mut step.cells[index]
    }

    fn step(&mut self, line: &Line) {
        let at = line.stamp.at;
        match &line.event {
            Event::StepPrepared { step, target, .. } => {
                self.cell(step, target.as_ref());
            }
            Event::StepStarted { step, targets } => {
                for target in targets {
                    let cell = self.cell(step, target.as_ref());
                    cell.status = Status::Started;
                    cell.started_at.get_or_insert(at);
                }
            }
            Event::StepApplied { step, target, outputs, notes } => {
                let cell = self.cell(step, target.as_ref());
                cell.status = Status::Applied;
                cell.applied_at = Some(at);
                cell.outputs.extend(outputs.clone());
                cell.notes.extend(notes.iter().cloned());
            }
            Event::StepReady { step, target, outputs, notes } => {
                let cell = self.cell(step, target.as_ref());
                cell.status = Status::Ready;
                cell.ready_at = Some(at);
                cell.progress = None;
                cell.outputs.extend(outputs.clone());
                cell.notes.extend(notes.iter().cloned());
                self.step_mut(step).waiting = None;
            }
            Event::StepFailed { step, target, error, effect, hint } => {
                let cell = self.cell(step, target.as_ref());
                cell.status = Status::Failed;
                cell.error = Some(error.clone());
                cell.effect = Some(*effect);
                cell.hint.clone_from(hint);
            }
            Event::StepProgress { step, target, note } => {
                self.cell(step, target.as_ref()).progress = Some(note.clone());
            }
            Event::StepSkipped { step, why } => self.step_mut(step).skipped = Some(why.clone()),
            Event::Waiting { step, text } => self.step_mut(step).waiting = Some(text.clone()),
            Event::Confirmed { step, by, note, simulated, .. } => {
                let who = if *simulated { format!("simulated ({by})") } else { by.clone() };
                let step = self.step_mut(step);
                step.waiting = None;
                step.confirmed = Some(if note.is_empty() { who } else { format!("{who}: {note}") });
            }
            Event::UndoStarted { step, target } => {
                self.not_stuck(step, target.as_ref());
                let cell = self.cell(step, target.as_ref());
                match cell.ending {
                    None | Some(Ending::Stuck { .. }) => {
                        cell.ending = Some(Ending::Undoing { failures: 0, error: None });
                    }
                    Some(_) => {}
                }
            }
            Event::UndoFailed { step, target, error, attempt } => {
                let error = Some(error.clone());
                self.cell(step, target.as_ref()).ending = Some(Ending::Undoing { failures: *attempt, error });
            }
            Event::UndoDone { step, target, how, proof } => {
                let (how, proof) = (how.clone(), proof.clone());
                self.not_stuck(step, target.as_ref());
                self.cell(step, target.as_ref()).ending = Some(Ending::Undone { how, proof, at });
            }
            Event::Kept { step, target, proof } => {
                let proof = proof.clone();
                self.not_stuck(step, target.as_ref());
                self.cell(step, target.as_ref()).ending = Some(Ending::Kept { proof, at });
            }
            Event::LeftInPlace { step, target, why, by } => {
                let why = self.left(step, target.as_ref(), why, by.as_deref());
                self.not_stuck(step, target.as_ref());
                self.cell(step, target.as_ref()).ending = Some(Ending::Left { why });
            }
            Event::SteadyStateAccepted { why, by } => {
                self.steady_accepted = Some(format!("{UNSEEN}: {why} (accepted by {by})"));
            }
            Event::Stuck { step, target, error, hint } => {
                let (error, hint) = (error.clone(), hint.clone());
                if let Some(step) = step {
                    self.cell(step, target.as_ref()).ending =
                        Some(Ending::Stuck { error: error.clone(), hint: hint.clone() });
                }
                self.stuck.push(StuckView { step: step.clone(), target: target.clone(), error, hint });
            }
            _ => {}
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
