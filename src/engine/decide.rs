//! What comes next: from the state and the time, events to record, tasks to run, when to look again.
//!
//! Pure and total. The driver records the events, starts the tasks that are not running yet and asks
//! again whenever something happened or the time has come. Nothing else decides anything.

use super::sabotage::{self, Sabotage};
use super::state::{Cell, CellState, Fate, RunState, Status};
use super::unended;
use crate::catalog;
use crate::catalog::action::Reversibility;
use crate::drill::{Impact, Role};
use crate::journal::event::UNREADABLE;
use crate::journal::{Event, Mode, StopCause};
use crate::model::time::in_words;
use crate::model::{Dur, EffectCertainty, Health, Stage, StepId};
use crate::plan::PlannedStep;

pub use owed::{Owed, owed, unmended};

/// Something for the driver to run. A task is started once and not again while it runs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the fields name a step and its targets")]
pub enum Task {
    /// Check the world once more, capture what recoveries need, warm up the probes.
    Preflight,
    /// Check for drift, then tag the targets `redrill:held`.
    Arm,
    /// Prepare, apply and await a step on these targets (one batch).
    Step { step: StepId, targets: Vec<Option<String>> },
    /// The run stops: find out whether an irreversible fault reached these targets.
    Look { step: StepId, targets: Vec<Option<String>> },
    /// Announce a manual step and wait for a person (or simulate one).
    Manual { step: StepId },
    /// End a local program that nobody waits for any more.
    EndProgram { step: StepId, mark: String },
    /// Put one cell back.
    Undo { step: StepId, target: Option<String> },
    /// Retag one cell as kept.
    Keep { step: StepId, target: Option<String> },
    /// Remove the `redrill:held` tags.
    Release,
}

/// What to do now.
#[derive(Clone, Debug, Default)]
pub struct Decision {
    /// To be recorded before anything else; then decide again.
    pub events: Vec<Event>,
    /// To be running.
    pub tasks: Vec<Task>,
    /// Decide again at this time (ms) at the latest.
    pub wake: Option<i64>,
    /// The run is over; only the verdict is missing.
    pub over: bool,
}

impl Decision {
    fn record(event: Event) -> Self {
        Self { events: vec![event], ..Self::default() }
    }

    fn enter(stage: Stage) -> Self {
        Self::record(Event::Stage { stage })
    }

    fn run(tasks: Vec<Task>) -> Self {
        Self { tasks, ..Self::default() }
    }

    fn wait_until(wake: i64) -> Self {
        Self { wake: Some(wake), ..Self::default() }
    }

    fn stop(cause: StopCause, detail: impl Into<String>) -> Self {
        Self::record(Event::stop(cause, detail))
    }
}

/// How long the baseline may take beyond its hold before it counts as not steady.
const BASELINE_GRACE_MS: i64 = 15_000;
/// How long the steady state may take to return after a clean-up, at most.
const AFTER_MS: i64 = 15 * 60_000;

/// Decides. `running` are the tasks under way.
pub fn decide(state: &RunState, now: i64, running: &[Task]) -> Decision {
    if state.finished.is_some() {
        return Decision { over: true, ..Decision::default() };
    }
    let orphans = unended::orphans(state, running);
    if !orphans.is_empty() {
        return Decision::run(orphans);
    }
    let d = if state.stage() == Stage::Undo {
        cleaning_up(state, now, running)
    } else if state.stop.is_some() {
        stopping(state, now, running)
    } else if let Some(d) = interrupted(state, now) {
        d
    } else {
        forward(state, now)
    };
    with_deadlines(state, d)
}

/// Wakes up for whatever could end the run, too.
fn with_deadlines(state: &RunState, mut d: Decision) -> Decision {
    let give_up = state.t0.map(|t0| t0.saturating_add(state.plan.drill.objectives.give_up().ms()));
    for due in [give_up, state.stops.due()].into_iter().flatten() {
        if state.stop.is_none() && state.stage() != Stage::Undo {
            d.wake = Some(d.wake.map_or(due, |w| w.min(due)));
        }
    }
    d
}

/// Whether something ends the run before its end.
pub(super) fn interrupted(state: &RunState, now: i64) -> Option<Decision> {
    if state.mode == Mode::Rollback {
        return Some(Decision::stop(StopCause::Rollback, "redrill rollback"));
    }
    let stage = state.stage();
    if let Some(why) = state.stops.breached(stage, now) {
        return Some(Decision::stop(StopCause::StopCondition, why));
    }
    let give_up = state.plan.drill.objectives.give_up();
    if let Some(t0) = state.t0
        && stage < Stage::Undo
        && now - t0 >= give_up.ms()
    {
        return Some(gave_up(state, now, give_up));
    }
    for step in &state.plan.steps {
        let failed = state.cells_of(&step.id).any(|(_, c)| matches!(c.status, Status::Failed(_)));
        let busy =
            state.cells_of(&step.id).any(|(_, c)| matches!(c.status, Status::Started | Status::Applied));
        // let the other targets of the step come to an end first: their outcome is worth having
        if failed && !busy {
            return Some(Decision::stop(StopCause::StepFailed, format!("step `{}` failed", step.id)));
        }
    }
    None
}

fn gave_up(state: &RunState, now: i64, give_up: Dur) -> Decision {
    let time = in_words(give_up.ms());
    match state.unreadable(now) {
        Some(probe) => {
            let text = format!("{UNREADABLE}: `{probe}`, until give_up after {time}");
            Decision::stop(StopCause::Unreadable, text)
        }
        None => Decision::stop(StopCause::GaveUp, format!("not recovered by give_up, {time} after T0")),
    }
}

/// The stages in order.
fn forward(state: &RunState, now: i64) -> Decision {
    let Some((stage, since)) = state.stage else { return Decision::enter(Stage::Preflight) };
    // nobody looked between a crash and now, so waiting for an observation starts anew
    let since = since.max(state.attached_ms);
    if state.sessions > 1 && !state.preflighted {
        // a new process looks at the world once more, whatever the stage
        return Decision::run(vec![Task::Preflight]);
    }
    let has_fault = state.plan.steps.iter().any(|s| s.stage == Stage::Fault);
    match stage {
        Stage::Preflight if !state.preflighted => Decision::run(vec![Task::Preflight]),
        Stage::Preflight => Decision::enter(Stage::Baseline),
        Stage::Baseline => {
            if state.plan.drill.steady_state.is_empty() || state.steady.held(now, since) {
                if has_fault && state.mode == Mode::Resume {
                    return Decision::stop(
                        StopCause::Signal,
                        "the run was interrupted before its fault, and a resumed run never injects one",
                    );
                }
                return Decision::enter(if has_fault { Stage::Fault } else { Stage::Recovery });
            }
            let patience = state.longest_hold().saturating_add(state.slowest().saturating_mul(3));
            let limit = since.saturating_add(patience).saturating_add(BASELINE_GRACE_MS);
            if now >= limit {
                return Decision::stop(
                    StopCause::NotSteady,
                    format!("the steady state did not hold: {}", state.not_healthy(now)),
                );
            }
            Decision::wait_until(limit.min(now + 1000))
        }
        Stage::Fault => {
            if !state.armed {
                return if state.mode == Mode::Resume {
                    Decision::stop(
                        StopCause::Signal,
                        "the run was interrupted before its fault, and a resumed run never injects one",
                    )
                } else {
                    Decision::run(vec![Task::Arm])
                };
            }
            let untouched = state.t0.is_none()
                && !state.plan.steps.iter().any(|s| {
                    s.stage == Stage::Fault && state.cells_of(&s.id).any(|(_, c)| c.status != Status::Idle)
                });
            let decides = state.steady.tracks().iter().any(|t| t.info.decides());
            if untouched
                && state.mode == Mode::Run
                && decides
                && state.steady.healthy_at(now) != Health::Healthy
            {
                let why = format!("the steady state was lost before the fault: {}", state.not_healthy(now));
                return Decision::stop(StopCause::NotSteady, why);
            }
            if state.mode == Mode::Resume
                && let Some(skip) = skip_unstarted_faults(state)
            {
                return skip;
            }
            steps(state, Stage::Fault).unwrap_or_else(|| Decision::enter(Stage::Impact))
        }
        Stage::Impact => {
            if !state.fault_happened() {
                return Decision::stop(
                    StopCause::Signal,
                    "no fault was injected before the run was interrupted",
                );
            }
            if state.plan.drill.impact == Impact::NoneExpected {
                // two full rounds of the probes, so that "no client outage" is an observation
                let until = since.saturating_add(state.slowest().saturating_mul(2));
                return if now >= until {
                    Decision::enter(Stage::Recovery)
                } else {
                    Decision::wait_until(until)
                };
            }
            if state.impact_seen {
                return Decision::enter(Stage::Recovery);
            }
            let limit = since.saturating_add(state.plan.drill.impact_timeout.ms());
            if now >= limit {
                let within = in_words(state.plan.drill.impact_timeout.ms());
                let text = format!("no probe saw the fault within {within}");
                return Decision::stop(StopCause::NoImpact, text);
            }
            Decision::wait_until(limit)
        }
        Stage::Recovery => {
            if !state.armed {
                return Decision::run(vec![Task::Arm]);
            }
            steps(state, Stage::Recovery).unwrap_or_else(|| Decision::enter(Stage::Verify))
        }
        Stage::Verify => {
            if state.verified.is_some() {
                return Decision::enter(Stage::Hold);
            }
            Decision::wait_until(now + 1000)
        }
        Stage::Hold => {
            if state.plan.drill.steady_state.iter().all(|p| p.role != Role::Client) {
                return Decision::enter(Stage::Undo);
            }
            if state.held {
                return Decision::enter(Stage::Undo);
            }
            // a check that fails again is waited for, as long as for the service
            let Some(from) = state.verified else { return Decision::wait_until(now + 500) };
            let began = state.steady.healthy_since().unwrap_or(from).max(from);
            // the checks must still pass where the hold ends: an old answer says nothing of it
            let checked = state.verify.clients_vouch(began, began.saturating_add(state.longest_hold()));
            if state.steady.held(now, from) && checked {
                let at = chrono::DateTime::from_timestamp_millis(began).unwrap_or_default();
                return Decision::record(Event::Steady { since: at });
            }
            Decision::wait_until(now + 500)
        }
        Stage::Undo => Decision::default(),
    }
}

fn skip_unstarted_faults(state: &RunState) -> Option<Decision> {
    let events: Vec<Event> = state
        .plan
        .steps
        .iter()
        .filter(|s| s.stage == Stage::Fault)
        .filter(|s| state.cells_of(&s.id).any(|(_, c)| matches!(c.status, Status::Idle | Status::Prepared)))
        .map(|s| Event::StepSkipped {
            step: s.id.clone(),
            why: "a resumed run never injects a fault".to_owned(),
        })
        .collect();
    (!events.is_empty()).then(|| Decision { events, ..Decision::default() })
}

/// The tasks of the first unfinished group of a stage; `None` when the stage's steps are all done.
fn steps(state: &RunState, stage: Stage) -> Option<Decision> {
    let unfinished = |s: &&PlannedStep| {
        s.stage == stage && state.cells_of(&s.id).any(|(t, c)| !c.is_final() && !spared(state, s, t.as_ref()))
    };
    let group = state.plan.steps.iter().filter(unfinished).map(|s| s.group).min()?;
    let in_group: Vec<&PlannedStep> =
        state.plan.steps.iter().filter(unfinished).filter(|s| s.group == group).collect();
    Some(tasks_of(state, &in_group))
}

fn tasks_of(state: &RunState, steps: &[&PlannedStep]) -> Decision {
    let mut d = Decision::default();
    for step in steps {
        if step.manual.is_some() {
            if let Some(since) = state.waiting.get(&step.id) {
                let limit = since.saturating_add(step.timeout.ms());
                d.wake = Some(d.wake.map_or(limit, |w: i64| w.min(limit)));
            }
            d.tasks.push(Task::Manual { step: step.id.clone() });
            continue;
        }
        d.tasks.extend(
            batches(state, step).into_iter().map(|targets| Task::Step { step: step.id.clone(), targets }),
        );
    }
    d
}

/// Cuts a step's targets into batches: the same on every call, whatever was done already, so that a
/// batch in progress is recognised. Only batches with something left to do are returned.
fn batches(state: &RunState, step: &PlannedStep) -> Vec<Vec<Option<String>>> {
    let targets = state.plan.targets_of(step);
    let unfinished =
        |t: &Option<String>| state.cells.get(&(step.id.clone(), t.clone())).is_some_and(|c| !c.is_final());
    if targets.is_empty() {
        return if unfinished(&None) { vec![vec![None]] } else { vec![] };
    }
    let batch = step
        .action
        .as_deref()
        .and_then(catalog::action)
        .map_or(catalog::Batch { size: 1, by_zone: false }, |a| a.spec().batch);
    let mut by_zone: std::collections::BTreeMap<&str, Vec<Option<String>>> =
        std::collections::BTreeMap::new();
    for t in targets.iter().filter(|t| !spared(state, step, Some(&t.id))) {
        let zone = if batch.by_zone { t.zone().unwrap_or("") } else { "" };
        by_zone.entry(zone).or_default().push(Some(t.id.clone()));
    }
    by_zone
        .into_values()
        .flat_map(|ids| ids.chunks(batch.size.max(1)).map(<[_]>::to_vec).collect::<Vec<_>>())
        .filter(|b| b.iter().any(unfinished))
        .collect()
}

/// On a stop: let running work end, mend what an irreversible fault broke, then clean up.
fn stopping(state: &RunState, now: i64, running: &[Task]) -> Decision {
    let mending = mends(state);
    let busy_otherwise = running.iter().any(|t| match t {
        Task::Step { step, .. } => !mending.iter().any(|m| &m.id == step),
        Task::Preflight | Task::Arm => true,
        _ => false,
    });
    if busy_otherwise {
        return Decision::wait_until(now + 1000);
    }
    let unsure = if state.signals < 2 { unsure(state) } else { Vec::new() };
    if !unsure.is_empty() {
        return Decision::run(unsure);
    }
    if running.iter().any(|t| matches!(t, Task::Look { .. })) {
        return Decision::wait_until(now + 1000);
    }
    if state.signals < 2 && !mending.is_empty() {
        return first_group(state, mending);
    }
    if running.iter().any(|t| matches!(t, Task::Step { .. })) {
        return Decision::wait_until(now + 1000);
    }
    Decision::enter(Stage::Undo)
}

fn first_group(state: &RunState, steps: Vec<&PlannedStep>) -> Decision {
    let group = steps.iter().map(|s| s.group).min().unwrap_or(0);
    let first: Vec<&PlannedStep> = steps.into_iter().filter(|s| s.group == group).collect();
    tasks_of(state, &first)
}

/// Whether the faults that this recovery mends surely left this target alone: then there is nothing
/// to mend, and a replacement beside an instance that still stands would be one too many.
fn spared(state: &RunState, step: &PlannedStep, target: Option<&String>) -> bool {
    let mut faults = state.plan.steps.iter().filter(|f| mended_by(f, step)).peekable();
    faults.peek().is_some()
        && faults.all(|f| {
            let cell = state.cells.get(&(f.id.clone(), target.cloned()));
            cell.is_some_and(|c| match c.status {
                Status::Idle | Status::Prepared => state.stop.is_some(),
                _ => !c.may_have_effect(),
            })
        })
}

/// Whether this recovery is made to mend what this fault breaks, on the same targets.
pub(super) fn mended_by(fault: &PlannedStep, recovery: &PlannedStep) -> bool {
    let Some(action) = recovery.action.as_deref().and_then(catalog::action) else { return false };
    fault.stage == Stage::Fault
        && recovery.stage == Stage::Recovery
        && fault.target == recovery.target
        && fault.action.as_deref().is_some_and(|f| action.spec().mends.contains(&f))
}

/// Irreversible faults of which it is not known whether they reached their targets, where that
/// decides what is mended.
fn unsure(state: &RunState) -> Vec<Task> {
    let mendable = |f: &&PlannedStep| {
        f.stage == Stage::Fault
            && f.reversibility == Reversibility::Irreversible
            && state.plan.steps.iter().any(|r| mended_by(f, r))
    };
    let open = |f: &PlannedStep| -> Vec<Option<String>> {
        let open = |c: &CellState| matches!(c.status, Status::Started | Status::Applied);
        state.cells_of(&f.id).filter(|(_, c)| open(c)).map(|(t, _)| t.clone()).collect()
    };
    let all = state.plan.steps.iter().filter(mendable).map(|f| (f, open(f)));
    all.filter(|(_, targets)| !targets.is_empty())
        .map(|(f, targets)| Task::Look { step: f.id.clone(), targets })
        .collect()
}

/// Irreversible faults that were taken for ones that did nothing, since no answer came and nothing showed: they are looked
/// for once more before the run ends. What shows then is mended.
fn doubted(state: &RunState) -> Vec<Task> {
    let open = |c: &CellState| c.status == Status::Failed(EffectCertainty::None) && !c.settled;
    let open = |step: &StepId| -> Vec<Option<String>> {
        state.cells_of(step).filter(|(_, c)| open(c)).map(|(t, _)| t.clone()).collect()
    };
    let all = state.plan.steps.iter().filter(|s| state.doubted(s)).map(|s| (s, open(&s.id)));
    all.filter(|(_, targets)| !targets.is_empty())
        .map(|(s, targets)| Task::Look { step: s.id.clone(), targets })
        .collect()
}

/// The recoveries that mend what an irreversible fault broke on the same targets, not yet done.
pub fn mends(state: &RunState) -> Vec<&PlannedStep> {
    let broken: Vec<(&str, Option<&String>)> = state
        .plan
        .steps
        .iter()
        .filter(|s| s.stage == Stage::Fault && s.reversibility == Reversibility::Irreversible)
        .filter(|s| state.cells_of(&s.id).any(|(_, c)| c.may_have_effect()))
        .filter_map(|s| s.action.as_deref().map(|a| (a, s.target.as_ref())))
        .collect();
    state
        .plan
        .steps
        .iter()
        .filter(|s| {
            let open = |(t, c): (&Option<String>, &CellState)| {
                !c.is_final() && !c.kept && !spared(state, s, t.as_ref())
            };
            s.stage == Stage::Recovery && state.cells_of(&s.id).any(open)
        })
        .filter(|s| {
            let Some(action) = s.action.as_deref().and_then(catalog::action) else { return false };
            broken.iter().any(|(a, t)| action.spec().mends.contains(a) && *t == s.target.as_ref())
        })
        .collect()
}

/// Whether this step still runs although the run is stopped.
pub fn is_mending(state: &RunState, step: &StepId) -> bool {
    state.signals < 2 && mends(state).iter().any(|s| &s.id == step)
}

/// Undo, newest first; keep; release; then the steady state must hold again.
fn cleaning_up(state: &RunState, now: i64, running: &[Task]) -> Decision {
    if state.signals < 2 {
        // what an earlier process was told to leave, or could not mend, this one mends
        let unsure = unsure(state);
        if !unsure.is_empty() {
            return Decision::run(unsure);
        }
        let mending = mends(state);
        if !mending.is_empty() {
            return first_group(state, mending);
        }
    }
    let mut todo: Vec<(&Cell, &CellState, Fate)> = Vec::new();
    for (cell, c) in &state.cells {
        if !c.may_have_effect() || c.settled || c.stuck {
            continue;
        }
        if sabotage::is(Sabotage::FailedIsNotUndone) && matches!(c.status, Status::Failed(_)) {
            continue;
        }
        let Some(step) = state.plan.step(&cell.0) else { continue };
        if step.manual.is_some() {
            continue;
        }
        match state.fate(step) {
            Fate::Nothing => {}
            fate => todo.push((cell, c, fate)),
        }
    }
    if let Some(newest) = todo.iter().map(|(cell, c, _)| (c.order, &cell.0)).max_by_key(|(order, _)| *order) {
        let step = newest.1.clone();
        let concurrency = state.plan.drill.concurrency.max(1);
        let tasks = todo
            .iter()
            .filter(|(cell, _, _)| cell.0 == step)
            .take(concurrency)
            .map(|(cell, _, fate)| match fate {
                Fate::Keep => Task::Keep { step: cell.0.clone(), target: cell.1.clone() },
                _ => Task::Undo { step: cell.0.clone(), target: cell.1.clone() },
            })
            .collect();
        return Decision::run(tasks);
    }
    let doubted = doubted(state);
    if !doubted.is_empty() && state.signals < 2 {
        return Decision::run(doubted);
    }
    if !state.holding.is_empty() && !state.release_failed {
        return Decision::run(vec![Task::Release]);
    }
    let Some(cleaned) = state.cleaned else {
        let until = is_to_be_judged(state) && !state.waits_in_vain(now);
        let until = until.then(|| chrono::DateTime::from_timestamp_millis(now + patience(state)));
        return Decision::record(Event::Cleaned { until: until.flatten() });
    };
    if !running.is_empty() {
        return Decision::wait_until(now + 1000);
    }
    if let Some(_judged) = state.steady_after {
        return Decision { over: true, ..Decision::default() };
    }
    // who ends the wait early does not make it unseen: an outage that goes on stays something to look at, unless what is
    // not put back says enough
    let clean = state.stuck.is_empty() && owed(state).is_empty();
    if state.signals >= 2 && clean && is_judged(state) && state.steady.clients_unhealthy_since(cleaned) {
        return Decision { events: not_steady_after(state, now), ..Decision::default() };
    }
    if !is_to_be_judged(state) || state.waits_in_vain(now) {
        return Decision { over: true, ..Decision::default() };
    }
    let hold = state.longest_hold().min(state.plan.drill.settle.ms());
    let fresh = state.steady_again(cleaned);
    if fresh && state.steady.healthy_at(now) == Health::Healthy {
        let since = state.steady.healthy_since().unwrap_or(now).max(cleaned);
        if now - since >= hold {
            return Decision::record(Event::SteadyAfter { healthy: true });
        }
        return Decision::wait_until(since + hold);
    }
    let limit = cleaned + patience(state);
    if now >= limit {
        return Decision { events: not_steady_after(state, now), ..Decision::default() };
    }
    Decision::wait_until(limit.min(now + 1000))
}

/// Whether somebody has to look if the service is healthy after the clean-up.
fn is_to_be_judged(state: &RunState) -> bool {
    is_judged(state) && state.signals < 2
}

/// Whether the service being healthy after the clean-up says something of this run.
fn is_judged(state: &RunState) -> bool {
    // a journal that is taken up may have lost what a fault did; where it held its targets, the world is asked
    let touched =
        state.cells.values().any(CellState::may_have_effect) || (state.mode != Mode::Run && state.has_held);
    let decides = state.plan.drill.steady_state.iter().any(|p| p.role == Role::Client);
    decides && touched && !state.steady_accepted
}

/// Whether the clean-up ended without a look at the service, since a secret parameter was not given.
pub fn is_unseen(state: &RunState) -> bool {
    let unread =
        state.steady.tracks().iter().any(|t| t.info.decides() && state.unread.contains_key(&t.info.name));
    unread && state.cleaned.is_some() && state.steady_after.is_none() && is_to_be_judged(state)
}

/// How long the service may take to be healthy after the clean-up (ms).
fn patience(state: &RunState) -> i64 {
    // where a person is needed already, it may just have come back; waiting long decides nothing
    if state.stuck.is_empty() && owed(state).is_empty() {
        state.plan.drill.objectives.give_up().ms().min(AFTER_MS)
    } else {
        2 * state.plan.drill.settle.ms()
    }
}

/// Until when a run that is cleaned up waits for the service to be healthy (ms), if it does.
pub fn waits_until(state: &RunState) -> Option<i64> {
    let waits = state.stage() == Stage::Undo && state.steady_after.is_none() && is_to_be_judged(state);
    state.cleaned.filter(|_| waits).map(|cleaned| cleaned + patience(state))
}

fn not_steady_after(state: &RunState, now: i64) -> Vec<Event> {
    let hint = if state.stuck.is_empty() {
        "look at the service; redrill has put back everything that it changed. `redrill rollback` looks again; with \
         `--accept steady-state --reason TEXT` it ends the run as it is"
    } else {
        "what is not put back may be why: finish that first"
    };
    vec![
        Event::Stuck {
            step: None,
            target: None,
            error: format!("the steady state did not return after the clean-up: {}", state.not_healthy(now)),
            hint: hint.to_owned(),
        },
        Event::SteadyAfter { healthy: false },
    ]
}

mod owed;
#[cfg(test)]
mod tests;
