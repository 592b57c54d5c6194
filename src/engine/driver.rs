//! The driver: turns the outside world into events, and decisions into tasks.
//!
//! One loop: ask [`super::decide`], record what it says, start what is not running yet, then wait
//! for a task, a person, a signal, an observation or the time. It decides nothing itself. A task is
//! never dropped in the middle of a call, except when a third signal says "leave now".

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinError, JoinSet};

use super::accept::{self, Accepted};
use super::contexts::RunClock;
use super::control::{self, Control};
use super::decide::{self, Task};
use super::gate::StepGate;
use super::holders::{self, Holders};
use super::pace::Pacer;
use super::perform::{panicked, perform};
use super::recorder::{Recorder, Watcher};
use super::recovery::measure;
use super::standstill::{BEGINNINGS, Standstill};
use super::state::{Cell, RunState};
use super::{
    aws_clock, kill_switch, needs, outlook, place, preflight, probing, reading, redaction, requests, setup,
    verdict,
};
use crate::catalog::ActionError;
use crate::cloud::{Cloud, CloudError, Reads};
use crate::drill::refs::{self, Reference};
use crate::journal::event::{Approved, Chained};
use crate::journal::writer::{Journal, JournalError};
use crate::journal::{Event, Inbox, Line, Measured, Mode, Phase, StopCause, Verdict};
use crate::model::{Clock, Dur, RunId, Stage, StepId, Target, World};
use crate::plan::house::KillSwitch;
use crate::plan::{Plan, PlannedStep};

/// How one task ended.
type Joined = Result<(tokio::task::Id, (Task, Result<(), JournalError>)), tokio::task::JoinError>;

/// Who confirms manual steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum People {
    /// A person, through the inbox or [`Control::Asked`].
    Ask,
    /// Nobody: each is confirmed after this long. Only off AWS; the journal says so.
    Simulate(Duration),
}

/// Who runs this, for the journal.
#[derive(Clone, Debug)]
pub struct Operator {
    /// Process id.
    pub pid: u32,
    /// Host name.
    pub host: String,
    /// User name.
    pub user: String,
}

/// What a run needs.
pub struct Setup {
    /// The plan.
    pub plan: Arc<Plan>,
    /// SHA-256 of the plan.
    pub plan_sha256: String,
    /// The run.
    pub run: RunId,
    /// The world.
    pub cloud: Cloud,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Where events go.
    pub journal: Box<dyn Journal>,
    /// What is on record already.
    pub lines: Vec<Line>,
    /// Why this process is here.
    pub mode: Mode,
    /// The command that finishes the run, as it is typed from here, with the secrets that have to be given again.
    pub finish: String,
    /// The place of a new run among those of its state folder; `None` of one that is kept in none, or is taken
    /// up.
    pub chain: Option<Chained>,
    /// The approvals that a new run starts with; none of a run that is taken up.
    pub approvals: Vec<Approved>,
    /// Secret parameters.
    pub secrets: BTreeMap<String, String>,
    /// The kill switch of the rules at hand; the plan's is looked at as well.
    pub kill_switch: KillSwitch,
    /// Who confirms manual steps.
    pub people: People,
    /// A person says that programs which cannot be looked for from here have ended.
    pub programs_ended: bool,
    /// What is stuck and is left as it is, as who runs this accepts; only for a rollback.
    pub accepted: Vec<Accepted>,
    /// Who runs this.
    pub operator: Operator,
    /// Where people elsewhere leave requests, if they can.
    pub inbox: Option<Arc<dyn Inbox>>,
    /// Gets every recorded line, for progress views.
    pub watcher: Option<Watcher>,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Ended {
    /// The verdict; `None` where there was nothing to do (rollback of a finished run).
    pub verdict: Option<Verdict>,
    /// The exit code.
    pub exit_code: u8,
    /// Why.
    pub reasons: Vec<String>,
    /// What was measured.
    pub measured: Measured,
}

/// Why a run could not go on.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The journal could not be written: nothing more is changed.
    #[error("the journal cannot be written")]
    Journal(#[source] Option<JournalError>),
    /// AWS could not be asked when the run was taken up again.
    #[error("the run cannot be taken up")]
    Cloud(#[source] CloudError),
    /// The credentials belong to another account, or the endpoint to another world.
    #[error("{0}")]
    OtherWorld(String),
    /// The target carries the run's tag, and the journal knows nothing of it.
    #[error("{0} carries the tag of this run, and the journal knows nothing of that")]
    Behind(String),
    /// A target that another run holds by now.
    #[error("{target} is held by another run, {run}, which began since")]
    HeldByAnother {
        /// The target.
        target: String,
        /// The other run.
        run: String,
    },
    /// Three signals: the process leaves with the job unfinished.
    #[error("left on the third signal, with the run unfinished")]
    Left,
    /// The journal names what the plan does not have.
    #[error("the journal does not fit its plan: {0}")]
    Misplaced(String),
    /// Something was to be accepted that is not stuck.
    #[error("{0}, so there is nothing to accept")]
    NotStuck(String),
    /// The journal holds events of a newer redrill.
    #[error("the journal holds {0} events that this version does not know")]
    UnknownEvents(usize),
}

/// What tasks share.
pub struct Shared {
    /// The plan.
    pub plan: Arc<Plan>,
    /// The run.
    pub run: RunId,
    /// The world, as steps ask it.
    pub cloud: Cloud,
    /// The same, as probes do: without waiting for a turn.
    pub probed: Reads,
    /// Time, as it is recorded.
    pub clock: Arc<dyn Clock>,
    /// Time, as steps wait by it: nobody sets it.
    pub(super) steady: RunClock,
    /// Where events go.
    pub recorder: Arc<Recorder>,
    /// What stops the run: the plan's switch, and that of the rules at hand where it is another.
    pub switches: Vec<KillSwitch>,
    pub(super) people: People,
    pub(super) programs_ended: bool,
    pub(super) holders: Holders,
    finish: String,
    secrets: BTreeMap<String, String>,
    pacer: Arc<Pacer>,
}

impl Shared {
    /// A gate for changes.
    pub fn gate(&self, step: Option<StepId>, phase: Phase, stage: Option<Stage>) -> StepGate {
        let (recorder, mutate) = (Arc::clone(&self.recorder), Arc::clone(&self.cloud.mutate));
        StepGate::new(recorder, mutate, Arc::clone(&self.pacer), step, phase, stage)
    }

    /// Whether the run is to stop, on record or not.
    pub fn is_stopping(&self) -> bool {
        self.recorder.is_halting() || self.recorder.with(|s, _| s.stop.is_some())
    }

    /// Waits until a stop is on record.
    pub async fn stopping(&self) {
        self.recorder.until(|s| s.stop.is_some() || s.signals > 0).await;
    }

    /// T0, once there is one.
    pub async fn t0(&self) -> Option<chrono::DateTime<chrono::Utc>> {
        self.recorder.with(|s, _| s.t0_at)
    }

    /// The planned target of a step by its id.
    pub fn target(&self, step: &PlannedStep, id: Option<&str>) -> Option<Target> {
        let id = id?;
        self.plan.targets_of(step).iter().find(|t| t.id == id).cloned()
    }

    /// A record of the journal as it was before its secrets were taken out.
    ///
    /// # Errors
    /// It holds a secret that was not given, so it must not be acted on.
    pub fn reveal(&self, record: Option<Value>) -> Result<Value, ActionError> {
        let mut record = record.unwrap_or(Value::Null);
        redaction::reveal(&mut record, &self.secrets, &self.plan.secret_params).map_err(|why| {
            let hint = format!("give what is missing: {}", self.finish());
            ActionError::hopeless(format!("its record cannot be acted on: {why}")).hint(hint)
        })?;
        Ok(record)
    }

    /// What the undo of a cell works from: its record, revealed, and about what it has to be about.
    ///
    /// # Errors
    /// It holds a secret that was not given, or is about something else.
    pub async fn record(
        &self,
        step: &PlannedStep,
        cell: &Cell,
        undo: Option<Value>,
    ) -> Result<Value, ActionError> {
        let params = self.resolve(&step.params).await.ok();
        let captured = self.recorder.with(|s, _| s.captured.get(cell).cloned());
        let (undo, captured) = (self.reveal(undo)?, self.reveal(captured).ok());
        let known = |s: &RunState, _| {
            place::own(s, step, cell.1.as_deref(), undo, params.as_ref(), captured.as_ref())
        };
        self.recorder.with(known)
    }

    /// The command that finishes this run, with the secrets that have to be given again.
    pub fn finish(&self) -> String {
        self.finish.clone()
    }

    /// How long to wait between polls: an emulator answers at once and costs nothing.
    pub fn poll_pause(&self, every: Dur) -> Duration {
        if self.cloud.world == World::Emulator { every.0.min(Duration::from_secs(1)) } else { every.0 }
    }

    /// Puts outputs, the run's id and secrets into parameters.
    ///
    /// # Errors
    /// The first reference that has no value, in words.
    pub async fn resolve(&self, params: &Value) -> Result<Value, String> {
        let lost = RefCell::new(None);
        self.recorder
            .with(|s, _| {
                let known = |r: Reference<'_>| match r {
                    Reference::RunId => Some(self.run.to_string()),
                    Reference::Param(name) => self.secrets.get(name).cloned(),
                    Reference::Step(rest) => {
                        let ids = self.plan.steps.iter().map(|p| p.id.as_str());
                        let (id, output) = refs::split_step(rest, ids)?;
                        let output = s.output(id, output)?;
                        match redaction::revealed(output, &self.secrets, &self.plan.secret_params) {
                            Ok(output) => Some(output),
                            Err(why) => {
                                lost.replace(Some(why));
                                None
                            }
                        }
                    }
                    Reference::Unknown(_) => None,
                };
                refs::resolve_value(params, &known)
            })
            .map_err(|r| match lost.take() {
                Some(why) => format!("`${{{r}}}` cannot be used: {why}"),
                None => format!("`${{{r}}}` has no value"),
            })
    }
}

/// Runs, resumes or rolls back, to the end.
///
/// # Errors
/// See [`EngineError`]; whatever happened before is on record.
pub async fn run(setup: Setup, control: mpsc::Receiver<Control>) -> Result<Ended, EngineError> {
    let mut state = RunState::new(Arc::clone(&setup.plan));
    state.unread = setup::unread(&setup.plan, &setup.secrets);
    let fresh = setup.lines.is_empty();
    let recorder = Arc::new(Recorder::new(
        setup.journal,
        state,
        setup.lines,
        Arc::clone(&setup.clock),
        setup.secrets.clone(),
        setup.watcher,
    ));
    needs::hold_passwords(&setup.plan, &setup.cloud);
    recorder.keep_out(setup.cloud.held.clone());
    let unknown = recorder.with(|s, _| s.unknown);
    if unknown > 0 && setup.mode != Mode::Run {
        return Err(EngineError::UnknownEvents(unknown));
    }
    if let Some(what) = recorder.with(|s, _| s.misplaced.clone()) {
        return Err(EngineError::Misplaced(what));
    }
    recorder.with(|s, _| accept::hold_against(s, &setup.accepted))?;
    if let Some(ended) = nothing_to_do(&recorder, setup.mode, &setup.finish) {
        return Ok(ended);
    }
    let pacer = Arc::new(Pacer::new(Arc::clone(&setup.clock)));
    let (asked, probed) = reading::lanes(&setup.cloud, &pacer, &recorder);
    // whoever takes a run up may stand elsewhere
    let began_in = recorder.with(|s, _| s.programs.folder.clone());
    let of_plan = setup.plan.house.kill_switch.clone().seen_from(began_in.as_deref());
    let mut switches = vec![of_plan, setup.kill_switch];
    switches.dedup();
    switches.retain(|s| !s.is_empty());
    let shared = Arc::new(Shared {
        switches,
        plan: setup.plan,
        run: setup.run,
        cloud: Cloud { reads: asked, ..setup.cloud },
        probed,
        pacer,
        steady: RunClock(Arc::clone(&recorder)),
        holders: Holders::new(setup.clock.now()),
        clock: setup.clock,
        recorder,
        people: setup.people,
        programs_ended: setup.programs_ended,
        finish: setup.finish,
        secrets: setup.secrets,
    });
    let mut skew = None;
    if !fresh {
        skew = preflight::same_world(&shared).await?;
        preflight::not_behind(&shared).await?;
        preflight::same_emulator(&shared).await?;
    }
    let others = if fresh { BTreeMap::new() } else { shared.holders.look(&shared).await.others };
    if let (Mode::Resume, Some((target, run))) = (setup.mode, others.first_key_value()) {
        return Err(EngineError::HeldByAnother { target: target.clone(), run: run.clone() });
    }
    let by = format!("{}@{}", setup.operator.user, setup.operator.host);
    let mut events = Vec::new();
    if fresh {
        events.push(header(&shared, &setup.plan_sha256, setup.chain));
    }
    events.push(Event::Attached {
        mode: setup.mode,
        pid: setup.operator.pid,
        host: setup.operator.host,
        user: setup.operator.user,
        redrill: env!("CARGO_PKG_VERSION").to_owned(),
        boot: shared.clock.boot(),
    });
    events.extend(shared.cloud.endpoint.clone().map(|proof| Event::Endpoint { proof }));
    if fresh && (shared.plan.starts_programs() || shared.plan.house.kill_switch.is_relative()) {
        events.extend(shared.cloud.local.folder().map(|path| Event::ProgramsFolder { path }));
    }
    events.extend(skew.map(|ms| Event::Skew { ms }));
    events.extend(setup.approvals.into_iter().map(|approval| Event::Approved { approval }));
    events.extend(setup.accepted.into_iter().map(|one| accept::event(one, &by)));
    events.extend(shared.recorder.with(|s, _| holders::left_to(&others, s, &shared.finish())));
    shared.recorder.durable(events).await.map_err(|e| EngineError::Journal(Some(e)))?;
    let mut turning = Loop::new(Arc::clone(&shared));
    if let Some(inbox) = &setup.inbox {
        turning.keep("the inbox", requests::listen(Arc::clone(&shared.recorder), Arc::clone(inbox)));
    }
    turning.keep("AWS's clock", aws_clock::watch(Arc::clone(&shared)));
    turning.keep("the kill switch", kill_switch::watch(Arc::clone(&shared)));
    let (leave, left) = oneshot::channel();
    turning.keep("signals", control::hear(Arc::clone(&shared.recorder), shared.finish(), control, leave));
    let outcome = tokio::select! {
        biased;
        outcome = turning.turn() => outcome,
        // even while what the loop waits for does not come
        Ok(()) = left => Err(EngineError::Left),
    };
    // whoever is kept going ends first: what is measured must not change meanwhile
    turning.beside.shutdown().await;
    drop(turning);
    if shared.recorder.is_broken() {
        return Err(EngineError::Journal(None));
    }
    outcome?;
    finish(&shared, setup.inbox.as_ref()).await.map_err(|e| EngineError::Journal(Some(e)))
}

/// A finished run with nothing stuck and nothing owed has nothing to resume or roll back.
fn nothing_to_do(recorder: &Recorder, mode: Mode, finish: &str) -> Option<Ended> {
    // by what happened, not by the verdict: version 0.1.0 called a run stopped that owed a replacement
    let (finished, open) =
        recorder.with(|s, _| (s.finished, !s.stuck.is_empty() || !decide::owed(s).is_empty()));
    let verdict = finished?;
    if mode == Mode::Run || (open && mode == Mode::Rollback) {
        return None;
    }
    let exit_code = if mode == Mode::Rollback { 0 } else { verdict.exit_code() };
    let mut reasons = vec![format!("the run is finished already ({}); nothing was changed", verdict.name())];
    if open {
        reasons.push(format!(
            "something is left to put back or to mend, which a resumed run does not do: {finish}"
        ));
    }
    Some(Ended {
        verdict: (mode == Mode::Resume).then_some(verdict),
        exit_code: if open { Verdict::Stuck.exit_code() } else { exit_code },
        reasons,
        measured: Measured::default(),
    })
}

fn header(shared: &Shared, plan_sha256: &str, chain: Option<Chained>) -> Event {
    let plan = &shared.plan;
    Event::Header {
        format: crate::journal::event::FORMAT,
        redrill: env!("CARGO_PKG_VERSION").to_owned(),
        run: shared.run.clone(),
        drill: plan.drill.name.clone(),
        title: plan.drill.title.clone(),
        plan_sha256: plan_sha256.to_owned(),
        world: plan.world,
        account: plan.account.clone(),
        caller: plan.caller.clone(),
        region: plan.region.clone(),
        rto_ms: plan.drill.objectives.rto.ms(),
        give_up_ms: plan.drill.objectives.give_up().ms(),
        chain,
    }
}

/// Measures, judges and records the end.
async fn finish(shared: &Shared, inbox: Option<&Arc<dyn Inbox>>) -> Result<Ended, JournalError> {
    if let Some(inbox) = inbox {
        // a last look: a mark that came in time counts. One that panics must not take the verdict along
        let (recorder, inbox) = (Arc::clone(&shared.recorder), Arc::clone(inbox));
        let settled = tokio::spawn(async move { requests::settle(&recorder, &inbox, true).await });
        settled.await.unwrap_or(Ok(()))?;
    }
    shared.recorder.flush().await?;
    let owed = shared.recorder.with(|s, _| decide::owed(s));
    if !owed.is_empty() {
        shared.recorder.durable(owed.iter().map(|o| outlook::stuck(shared, o)).collect()).await?;
    }
    let unseen =
        shared.recorder.with(|s, _| decide::is_unseen(s).then(|| outlook::unseen(s, &shared.finish)));
    shared.recorder.durable(unseen.into_iter().collect()).await?;
    let params = setup::clock_params(&shared.plan);
    let plan = Arc::clone(&shared.plan);
    let (measured, judged) = shared.recorder.with_lines(|lines, _| {
        let measured = measure(lines, &params);
        // of the lines alone, as anybody judges it who has the journal: nothing counts that is not on record
        let judged = verdict::judge(&RunState::replay(plan, lines), &measured);
        (measured, judged)
    });
    let event = Event::Finished {
        verdict: judged.verdict,
        exit_code: judged.exit_code,
        reasons: judged.reasons.clone(),
        measured: Box::new(measured.clone()),
    };
    shared.recorder.durable(vec![event]).await?;
    // a rollback that leaves everything clean has done its work, whatever became of the run
    let put_back = |s: &RunState| s.stuck.is_empty() && s.accepted.is_empty();
    let clean = |s: &RunState| put_back(s) && !(s.sent && verdict::nobody_looked(s));
    let rolled_back = shared.recorder.with(|s, _| s.mode == Mode::Rollback && clean(s));
    let exit_code = if rolled_back { 0 } else { judged.exit_code };
    Ok(Ended { verdict: Some(judged.verdict), exit_code, reasons: judged.reasons, measured })
}

struct Loop {
    shared: Arc<Shared>,
    running: Vec<Task>,
    tasks: JoinSet<(Task, Result<(), JournalError>)>,
    by_id: BTreeMap<tokio::task::Id, Task>,
    /// Probes, and whoever hears people and watches the kill switch; all end with the loop.
    beside: JoinSet<()>,
    names: BTreeMap<tokio::task::Id, String>,
    verifying: bool,
}

impl Loop {
    fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            running: Vec::new(),
            tasks: JoinSet::new(),
            by_id: BTreeMap::new(),
            beside: JoinSet::new(),
            names: BTreeMap::new(),
            verifying: false,
        }
    }

    /// Keeps this going beside the loop.
    fn keep(&mut self, what: impl Into<String>, work: impl Future<Output = ()> + Send + 'static) {
        let handle = self.beside.spawn(work);
        self.names.insert(handle.id(), what.into());
    }

    async fn turn(&mut self) -> Result<(), EngineError> {
        let recorder = Arc::clone(&self.shared.recorder);
        let mut changes = recorder.changes();
        let mut still = Standstill::default();
        let (probes, lacks) = probing::standing(&self.shared).await;
        self.watch(probes);
        // a run that is put back goes on without what a probe needs; it is then not judged healthy
        if let Some(why) = lacks.filter(|_| recorder.with(|s, _| s.mode == Mode::Run)) {
            self.record(vec![refuse(why)]).await?;
        }
        loop {
            if recorder.is_broken() {
                return Err(EngineError::Journal(None));
            }
            changes.borrow_and_update();
            let running = &self.running;
            let (decision, now, stage) =
                recorder.with(|s, now| (decide::decide(s, now, running), now, s.stage()));
            // also where it is taken up in the hold: what was answered before says nothing of it
            if matches!(stage, Stage::Verify | Stage::Hold) && !self.verifying {
                self.verifying = true;
                match probing::verifying(&self.shared).await {
                    Ok(probes) => self.watch(probes),
                    Err(detail) => {
                        self.record(vec![Event::stop(StopCause::StepFailed, detail)]).await?;
                        continue;
                    }
                }
            }
            if !decision.events.is_empty() {
                still.decided(&decision.events).map_err(unmoved)?;
                if decision.events.iter().any(|e| matches!(e, Event::Steady { .. })) {
                    // what it rests on stands before it
                    recorder.flush().await.map_err(|e| EngineError::Journal(Some(e)))?;
                }
                self.record(decision.events).await?;
                continue;
            }
            still.waits();
            if decision.over && self.tasks.is_empty() {
                return Ok(());
            }
            for task in decision.tasks {
                if let Some(bug) = self.start(task, &mut still)? {
                    self.record(bug).await?;
                }
            }
            let pause = decision.wake.map_or(Duration::from_secs(5), |w| {
                Duration::from_millis(u64::try_from(w - now).unwrap_or(0).max(1))
            });
            tokio::select! {
                Some(done) = self.tasks.join_next_with_id(), if !self.tasks.is_empty() => self.ended(done).await?,
                Some(done) = self.beside.join_next_with_id(), if !self.beside.is_empty() => {
                    self.fell(done).await?;
                }
                _ = changes.changed() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    async fn record(&self, events: Vec<Event>) -> Result<(), EngineError> {
        self.shared.recorder.durable(events).await.map_err(|e| EngineError::Journal(Some(e)))
    }

    fn watch(&mut self, probes: Vec<probing::Running>) {
        for probe in probes {
            let what = format!("probe `{}`", probe.name);
            self.keep(what, probing::keep(Arc::clone(&self.shared), probe));
        }
    }

    /// What to record instead, of a task that has begun often enough and records nothing by itself.
    fn start(&mut self, task: Task, still: &mut Standstill) -> Result<Option<Vec<Event>>, EngineError> {
        if self.running.contains(&task) {
            return Ok(None);
        }
        let steps = self.running.iter().filter(|t| matches!(t, Task::Step { .. })).count();
        if matches!(task, Task::Step { .. }) && steps >= self.shared.plan.drill.concurrency.max(1) {
            return Ok(None);
        }
        match still.begins(&task) {
            ..BEGINNINGS => {}
            // what is given up here is at least put back
            BEGINNINGS => {
                let why = format!("it was begun {BEGINNINGS} times and never came to an end");
                return Ok(Some(panicked(&task, &why)));
            }
            _ => return Err(unmoved(format!("{task:?} is begun again and again"))),
        }
        self.running.push(task.clone());
        let shared = Arc::clone(&self.shared);
        let handle = self.tasks.spawn(perform(shared, task.clone()));
        self.by_id.insert(handle.id(), task);
        Ok(None)
    }

    async fn ended(&mut self, done: Joined) -> Result<(), EngineError> {
        match done {
            Ok((id, (task, result))) => {
                self.by_id.remove(&id);
                self.running.retain(|t| t != &task);
                result.map_err(|e| EngineError::Journal(Some(e)))
            }
            Err(e) => {
                let Some(task) = self.by_id.remove(&e.id()) else { return Ok(()) };
                self.running.retain(|t| t != &task);
                self.record(panicked(&task, &e.to_string())).await
            }
        }
    }

    /// What was kept going beside the loop has ended: of its own accord, or because it panicked. Then nobody
    /// watches what it watched, and the run does not go on.
    async fn fell(&mut self, done: Result<(tokio::task::Id, ()), JoinError>) -> Result<(), EngineError> {
        let Err(e) = done else { return Ok(()) };
        let what = self.names.get(&e.id()).map_or("a task", String::as_str);
        self.record(vec![Event::stop(StopCause::StepFailed, format!("BUG: {what}: {e}"))]).await
    }
}

fn unmoved(what: String) -> EngineError {
    EngineError::Journal(Some(JournalError::Unmoved { what }))
}

fn refuse(detail: String) -> Event {
    Event::stop(StopCause::Refused, detail)
}
