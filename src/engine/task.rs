//! What a task does: the thin code that acts.
//!
//! A step on a batch: prepare, record, start, record, apply, record, poll until ready. Each awaits
//! the world; none decides what comes next. A step whose outcome is unknown is looked for before
//! anything else: a fault is never applied twice, a recovery only when it is surely absent.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use serde_json::Value;

use super::driver::Shared;
use super::programs::StepPrograms;
use super::sabotage::{self, Sabotage};
use super::state::{RunState, Status};
use super::undone::{NOTHING, undone, unkept};
use super::{holders, kill_switch};
use crate::catalog::{self, ActionError, DynAction, Prepared, Progress};
use crate::cloud::ErrorKind;
use crate::journal::writer::JournalError;
use crate::journal::{Event, Phase};
use crate::model::{EffectCertainty, Stage, StepId, Target};
use crate::plan::PlannedStep;

/// A recovery whose apply left unknown whether it happened is applied again at most this often.
const REAPPLY: u32 = 5;
/// How long an undo is tried against an AWS that cannot be reached, in milliseconds: an outage of a
/// few minutes must not leave anything behind.
const PATIENCE_MS: u64 = 15 * 60_000;
/// Attempts of an undo that fails for another reason, before it is given up as stuck.
const UNDO_ATTEMPTS: u32 = 6;

mod watch;

use watch::{Watch, absent_after};

/// One target of a batch on its way.
struct Item {
    target: Option<Target>,
    id: Option<String>,
    undo: Value,
}

/// Runs one batch of a step to its end, or until the run stops.
///
/// # Errors
/// The journal could not be written.
pub async fn step(shared: &Arc<Shared>, id: &StepId, targets: &[Option<String>]) -> Result<(), JournalError> {
    let Some(step) = shared.plan.step(id).cloned() else { return Ok(()) };
    let Some(action) = step.action.as_deref().and_then(catalog::action) else {
        return fail_all(
            shared,
            &step,
            targets,
            &ActionError::refused("this version does not know the action"),
        )
        .await;
    };
    let params = match shared.resolve(&step.params).await {
        Ok(p) => p,
        Err(why) => return fail_all(shared, &step, targets, &ActionError::refused(why)).await,
    };
    // what is on record already: after a crash some targets may have been started
    let mut fresh = Vec::new();
    let mut found = Vec::new();
    let mut lost = Vec::new();
    for id in targets {
        let cell = shared
            .recorder
            .with(|s, _| s.cells.get(&(step.id.clone(), id.clone())).cloned())
            .unwrap_or_default();
        let target = shared.target(&step, id.as_deref());
        match cell.status {
            Status::Idle | Status::Prepared => fresh.push((target, id.clone())),
            Status::Started | Status::Applied => match shared.reveal(cell.undo) {
                Ok(undo) => found.push(Item { target, id: id.clone(), undo }),
                Err(e) => lost.push(failed(&step, id, &unknown(e))),
            },
            Status::Ready | Status::Failed(_) | Status::Skipped => {}
        }
    }
    shared.recorder.note(lost).await?;
    let mut pending = found;
    if !fresh.is_empty() {
        pending.extend(begin(shared, &step, action, &params, fresh).await?);
    }
    let limit = tokio::time::sleep(step.timeout.0);
    let stopped = stopped(shared, &step.id);
    tokio::pin!(limit, stopped);
    let mut watch = Watch::default();
    while !pending.is_empty() {
        // polling only reads, so it may be dropped at any moment; applying may not, and minds itself
        let absent = tokio::select! {
            biased;
            absent = await_ready(shared, &step, action, &params, &mut pending, &mut watch) => absent?,
            () = &mut stopped => return Ok(()),
            () = &mut limit => {
                let why = ActionError::refused(format!("not ready within {}", step.timeout))
                    .effect(EffectCertainty::Unknown);
                let ids: Vec<Option<String>> = pending.iter().map(|i| i.id.clone()).collect();
                return fail_open(shared, &step, &ids, &why).await;
            }
        };
        if absent.is_empty() {
            break;
        }
        pending.extend(again(shared, &step, action, &params, absent, &mut watch).await?);
    }
    Ok(())
}

/// The run stops: finds out whether an irreversible fault reached these targets, without sending it.
///
/// # Errors
/// The journal could not be written.
pub async fn look(shared: &Arc<Shared>, id: &StepId, targets: &[Option<String>]) -> Result<(), JournalError> {
    let Some(step) = shared.plan.step(id).cloned() else { return Ok(()) };
    let action = step.action.as_deref().and_then(catalog::action);
    let params = shared.resolve(&step.params).await;
    let (Some(action), Ok(params)) = (action, params) else {
        return fail_open(shared, &step, targets, &unknown(ActionError::refused("cannot be looked for")))
            .await;
    };
    let mut pending = Vec::with_capacity(targets.len());
    for id in targets {
        let key = (step.id.clone(), id.clone());
        let undo = shared.recorder.with(|s, _| s.cells.get(&key).and_then(|c| c.undo.clone()));
        let target = shared.target(&step, id.as_deref());
        match shared.reveal(undo) {
            Ok(undo) => pending.push(Item { target, id: id.clone(), undo }),
            Err(e) => shared.recorder.note(vec![failed(&step, id, &unknown(e))]).await?,
        }
    }
    let limit = tokio::time::sleep(step.timeout.0);
    let hurry = shared.recorder.until(|s| s.signals >= 2);
    tokio::pin!(limit, hurry);
    let mut watch = Watch::default();
    while !pending.is_empty() {
        let absent = tokio::select! {
            biased;
            absent = await_ready(shared, &step, action, &params, &mut pending, &mut watch) => absent?,
            () = &mut hurry => return Ok(()),
            () = &mut limit => {
                let why = ActionError::refused(format!("not over within {}", step.timeout));
                fail_open(shared, &step, targets, &unknown(why.clone())).await?;
                // what was taken for nothing before stays so: it was looked for in vain once more
                let nothing = Status::Failed(EffectCertainty::None);
                let is_nothing = |s: &RunState, i: &Item| {
                    s.cells.get(&(step.id.clone(), i.id.clone())).is_some_and(|c| c.status == nothing)
                };
                let left = |s: &RunState, _| {
                    pending.iter().filter(|i| is_nothing(s, i)).map(|i| failed(&step, &i.id, &why)).collect()
                };
                return shared.recorder.note(shared.recorder.with(left)).await;
            }
        };
        let events = absent.iter().map(|i| failed(&step, &i.id, &watch.not_there(&step, i)));
        shared.recorder.note(events.collect()).await?;
    }
    Ok(())
}

/// What is surely absent: a fault is never sent twice, a recovery is applied again.
async fn again(
    shared: &Arc<Shared>,
    step: &PlannedStep,
    action: &'static dyn DynAction,
    params: &Value,
    absent: Vec<Item>,
    watch: &mut Watch,
) -> Result<Vec<Item>, JournalError> {
    watch.applied += 1;
    watch.absent_since.clear();
    let fault = step.stage == Stage::Fault;
    if !fault && watch.applied <= REAPPLY {
        return apply(shared, step, action, params, absent).await;
    }
    let still = unknown(ActionError::refused(format!("still absent after {REAPPLY} more attempts")));
    let why = |i: &Item| if fault { watch.not_there(step, i) } else { still.clone() };
    shared.recorder.note(absent.iter().map(|i| failed(step, &i.id, &why(i))).collect()).await?;
    Ok(Vec::new())
}

/// Prepares and applies; returns what has to be polled.
async fn begin(
    shared: &Arc<Shared>,
    step: &PlannedStep,
    action: &'static dyn DynAction,
    params: &Value,
    fresh: Vec<(Option<Target>, Option<String>)>,
) -> Result<Vec<Item>, JournalError> {
    if shared.recorder.with(|s, _| s.stop.is_some() && !super::decide::is_mending(s, &step.id)) {
        return Ok(Vec::new());
    }
    // a step that mends is part of putting back, and that is what the switch asks for
    if shared.recorder.with(|s, _| s.stop.is_none()) && !kill_switch::clear(shared).await? {
        return Ok(Vec::new());
    }
    let ids: Vec<Option<String>> = fresh.iter().map(|(_, id)| id.clone()).collect();
    if let Some(why) = holders::hinders(shared, step, &ids).await {
        fail_all(shared, step, &ids, &ActionError::refused(why)).await?;
        return Ok(Vec::new());
    }
    let t0 = shared.t0().await;
    let cx = shared.read_cx(&step.id, t0);
    let mut batch = Vec::with_capacity(fresh.len());
    for (target, id) in &fresh {
        let key = (step.id.clone(), id.clone());
        let captured = shared.recorder.with(|s, _| s.captured.get(&key).cloned());
        match shared.reveal(captured) {
            Ok(captured) => batch.push((target.clone(), captured)),
            Err(e) => {
                fail_all(shared, step, &ids, &e).await?;
                return Ok(Vec::new());
            }
        }
    }
    let prepared = tokio::select! {
        biased;
        prepared = tokio::time::timeout(step.timeout.0, action.prepare(cx, &batch, params)) => prepared,
        // it only reads, and nothing is on record of it
        () = stopped(shared, &step.id) => return Ok(Vec::new()),
    };
    let prepared = prepared.unwrap_or_else(|_| {
        let why = ActionError::refused(format!("the targets could not be read within {}", step.timeout));
        batch.iter().map(|_| Err(why.clone())).collect()
    });
    let mut items = Vec::new();
    let mut events = Vec::new();
    for ((target, id), outcome) in fresh.into_iter().zip(prepared) {
        match outcome {
            // before anything is sent: an undo without it would do something else
            Ok(undo) if shared.recorder.loses(&undo) => events.push(failed(step, &id, &unkept())),
            Ok(undo) => {
                let event =
                    Event::StepPrepared { step: step.id.clone(), target: id.clone(), undo: undo.clone() };
                events.push(event);
                items.push(Item { target, id, undo });
            }
            Err(e) => events.push(failed(step, &id, &ActionError { effect: EffectCertainty::None, ..e })),
        }
    }
    let any_failed = events.iter().any(|e| matches!(e, Event::StepFailed { .. }));
    if any_failed && step.stage == Stage::Fault {
        // a fault on part of its targets is not the drill that was planned: nothing is sent
        for item in &items {
            let why = ActionError::refused("not started: another target of this step could not be prepared");
            events.push(failed(step, &item.id, &why));
        }
        items.clear();
    }
    if !items.is_empty() {
        events.push(Event::StepStarted {
            step: step.id.clone(),
            targets: items.iter().map(|i| i.id.clone()).collect(),
        });
    }
    if sabotage::is(Sabotage::NoWriteAhead) && !items.is_empty() {
        let pending = apply(shared, step, action, params, items).await?;
        shared.recorder.durable(events).await?;
        return Ok(pending);
    }
    // somebody may have stopped the run while this waited to be written
    let (recorder, own) = (Arc::clone(&shared.recorder), step.id.clone());
    let begun = move |s: &RunState| {
        let stopped = s.stop.is_some() || (recorder.is_halting() && s.stage() != Stage::Undo);
        if stopped && !super::decide::is_mending(s, &own) { Vec::new() } else { events }
    };
    if shared.recorder.durable_from(begun).await?.is_empty() {
        stopped(shared, &step.id).await;
        return Ok(Vec::new());
    }
    if items.is_empty() { Ok(items) } else { apply(shared, step, action, params, items).await }
}

/// Waits until this step is not to go on.
async fn stopped(shared: &Shared, step: &StepId) {
    shared.recorder.until(|s| s.stop.is_some() && !super::decide::is_mending(s, step)).await;
}

/// Sends the batch; returns the items whose outcome has to be polled.
async fn apply(
    shared: &Arc<Shared>,
    step: &PlannedStep,
    action: &'static dyn DynAction,
    params: &Value,
    items: Vec<Item>,
) -> Result<Vec<Item>, JournalError> {
    let gate = shared.gate(Some(step.id.clone()), Phase::Apply, Some(step.stage));
    let programs = StepPrograms::new(shared, &step.id, Phase::Apply, Some(step.stage));
    let cx = shared.write_cx(&step.id, shared.t0().await, &gate, &programs);
    let batch: Vec<Prepared<Value>> =
        items.iter().map(|i| Prepared { target: i.target.clone(), undo: i.undo.clone() }).collect();
    let outcomes = {
        let work = action.apply(cx, &batch, params);
        tokio::pin!(work);
        let limit = tokio::time::sleep(step.timeout.0);
        tokio::pin!(limit);
        let interrupted = async {
            tokio::select! {
                () = stopped(shared, &step.id) => {}
                () = &mut limit => {}
            }
            // never in the middle of a call: its answer is waited for and recorded
            gate.idle().await;
        };
        tokio::pin!(interrupted);
        tokio::select! {
            biased;
            outcomes = &mut work => outcomes,
            // what was started stays "may have happened"; polling or undo finds out
            () = &mut interrupted => return Ok(items),
        }
    };
    let mut pending = Vec::new();
    let mut events = Vec::new();
    for (item, outcome) in items.into_iter().zip(outcomes) {
        match outcome {
            Ok(done) => {
                events.push(Event::StepApplied {
                    step: step.id.clone(),
                    target: item.id.clone(),
                    outputs: done.outputs,
                    notes: done.notes,
                });
                pending.push(item);
            }
            // look first: it may have happened although nobody said so
            Err(e) if e.effect != EffectCertainty::None && !e.in_vain() => pending.push(item),
            Err(e) => events.push(failed(step, &item.id, &e)),
        }
    }
    shared.recorder.note(events).await?;
    Ok(pending)
}

/// Polls until every item is ready or failed; returns early with those that are surely absent.
async fn await_ready(
    shared: &Arc<Shared>,
    step: &PlannedStep,
    action: &'static dyn DynAction,
    params: &Value,
    pending: &mut Vec<Item>,
    watch: &mut Watch,
) -> Result<Vec<Item>, JournalError> {
    let settle = absent_after(shared, step);
    while !pending.is_empty() {
        // all at once: what they look at is asked for together
        let t0 = shared.t0().await;
        let polls = pending.iter().enumerate().map(|(n, item)| async move {
            let cx = shared.read_cx(&step.id, t0);
            (n, action.poll(cx, item.target.as_ref(), &item.undo, params).await)
        });
        let mut polls = polls.collect::<FuturesUnordered<_>>().ready_chunks(pending.len());
        let (mut over, mut absent) = (BTreeSet::new(), BTreeSet::new());
        while let Some(mut said) = polls.next().await {
            said.sort_by_key(|(n, _)| *n);
            let mut events = Vec::new();
            for (n, said) in said {
                let item = &pending[n];
                match said {
                    Ok(Progress::Ready(done)) => {
                        over.insert(n);
                        events.push(Event::StepReady {
                            step: step.id.clone(),
                            target: item.id.clone(),
                            outputs: done.outputs,
                            notes: done.notes,
                        });
                    }
                    Ok(Progress::Pending(note)) => {
                        watch.absent_since.remove(&item.id);
                        events.extend(watch.progress(step, item, note));
                    }
                    // begun and stuck half-way: applying again, which is repeatable there, completes it
                    Ok(Progress::Incomplete(note)) => {
                        events.extend(watch.progress(step, item, note));
                        watch.incomplete.insert(item.id.clone());
                        absent.insert(n);
                    }
                    Ok(Progress::Absent) => {
                        let now = shared.clock.stamp().mono_ms;
                        let since = *watch.absent_since.entry(item.id.clone()).or_insert(now);
                        if now.saturating_sub(since) >= settle {
                            absent.insert(n);
                        }
                    }
                    Err(e) if e.in_vain() => {
                        over.insert(n);
                        events.push(failed(step, &item.id, &unknown(e)));
                    }
                    // a poll that cannot be read says nothing: it is tried until the step's time is over
                    Err(e) => events.extend(watch.progress(step, item, format!("cannot look: {e}"))),
                }
            }
            shared.recorder.note(events).await?;
        }
        drop(polls);
        let (mut open, mut gone) = (Vec::new(), Vec::new());
        for (n, item) in pending.drain(..).enumerate().filter(|(n, _)| !over.contains(n)) {
            if absent.contains(&n) { gone.push(item) } else { open.push(item) }
        }
        *pending = open;
        if !gone.is_empty() {
            return Ok(gone);
        }
        if !pending.is_empty() {
            tokio::time::sleep(shared.poll_pause(action.spec().poll_every)).await;
        }
    }
    Ok(Vec::new())
}

fn unknown(e: ActionError) -> ActionError {
    ActionError { effect: EffectCertainty::Unknown, ..e }
}

#[expect(clippy::ref_option, reason = "cells are keyed by `Option<String>`")]
fn failed(step: &PlannedStep, target: &Option<String>, e: &ActionError) -> Event {
    Event::StepFailed {
        step: step.id.clone(),
        target: target.clone(),
        error: e.message.clone(),
        effect: e.effect,
        hint: e.hint.clone(),
    }
}

async fn fail_all(
    shared: &Shared,
    step: &PlannedStep,
    targets: &[Option<String>],
    e: &ActionError,
) -> Result<(), JournalError> {
    shared.recorder.note(targets.iter().map(|t| failed(step, t, e)).collect()).await
}

/// Fails what has not come to an end.
async fn fail_open(
    shared: &Shared,
    step: &PlannedStep,
    targets: &[Option<String>],
    e: &ActionError,
) -> Result<(), JournalError> {
    let open: Vec<Option<String>> = shared.recorder.with(|s, _| {
        targets
            .iter()
            .filter(|t| s.cells.get(&(step.id.clone(), (*t).clone())).is_some_and(|c| !c.is_final()))
            .cloned()
            .collect()
    });
    fail_all(shared, step, &open, e).await
}

/// Puts one cell back: retried, then stuck.
///
/// # Errors
/// The journal could not be written.
pub async fn undo(
    shared: &Arc<Shared>,
    id: &StepId,
    target: Option<&str>,
    keep: bool,
) -> Result<(), JournalError> {
    let Some(step) = shared.plan.step(id).cloned() else { return Ok(()) };
    let key = (id.clone(), target.map(str::to_owned));
    let cell = shared.recorder.with(|s, _| s.cells.get(&key).cloned()).unwrap_or_default();
    let resource = shared.target(&step, target);
    let record = match shared.record(&step, &key, cell.undo).await {
        Ok(record) => record,
        Err(e) => return shared.recorder.durable(vec![stuck(shared, id, &key.1, &e)]).await,
    };
    let action = step.action.as_deref().and_then(catalog::action);
    let phase = if keep { Phase::Keep } else { Phase::Undo };
    if keep
        && !matches!(cell.status, Status::Ready | Status::Applied)
        && never_made(shared, &step, action, resource.as_ref(), &record).await
    {
        let proof = "nothing was made, so there is nothing to keep".to_owned();
        let (step, target, how) = (id.clone(), key.1.clone(), NOTHING.to_owned());
        return shared.recorder.durable(vec![Event::UndoDone { step, target, how, proof }]).await;
    }
    if let Some(theirs) = holders::left(shared, &step, target).await.filter(|_| !keep) {
        return shared.recorder.durable(vec![theirs]).await;
    }
    shared.recorder.note(vec![Event::UndoStarted { step: id.clone(), target: key.1.clone() }]).await?;
    let mut pause = Duration::from_secs(1);
    let mut last = ActionError::hopeless("this version does not know the action");
    let deadline = tokio::time::sleep(step.undo_timeout.0);
    tokio::pin!(deadline);
    let began = shared.clock.stamp().mono_ms;
    let mut attempt = 0;
    loop {
        attempt += 1;
        let Some(action) = action else { break };
        let gate = shared.gate(Some(id.clone()), phase, Some(step.stage));
        let programs = StepPrograms::new(shared, id, phase, Some(step.stage));
        let cx = shared.write_cx(id, shared.t0().await, &gate, &programs);
        let work = async {
            if keep {
                action.keep(cx, resource.as_ref(), &record).await
            } else {
                action.undo(cx, resource.as_ref(), &record).await
            }
        };
        tokio::pin!(work);
        let late = async {
            (&mut deadline).await;
            // never in the middle of a call: its answer is waited for and recorded
            gate.idle().await;
        };
        tokio::pin!(late);
        let outcome = tokio::select! {
            biased;
            outcome = &mut work => outcome,
            () = &mut late => Err(ActionError::hopeless(format!("not put back within {}", step.undo_timeout))),
        };
        match outcome {
            Ok(done) => {
                shared.recorder.durable(vec![undone(id, &key.1, done, keep)]).await?;
                return Ok(());
            }
            Err(e) => {
                let e = plainly(e, shared);
                let hopeless = e.in_vain();
                let event = Event::UndoFailed {
                    step: id.clone(),
                    target: key.1.clone(),
                    error: e.message.clone(),
                    attempt,
                };
                shared.recorder.note(vec![event]).await?;
                let waited = shared.clock.stamp().mono_ms.saturating_sub(began);
                let patient =
                    attempt < UNDO_ATTEMPTS || (waited < PATIENCE_MS && may_pass(shared, e.kind).await);
                last = e;
                if shared.recorder.is_broken() || hopeless || !patient {
                    break;
                }
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(30));
    }
    shared.recorder.durable(vec![stuck(shared, id, &key.1, &last)]).await
}

/// A person is needed for this cell.
#[expect(clippy::ref_option, reason = "cells are keyed by `Option<String>`")]
fn stuck(shared: &Shared, step: &StepId, target: &Option<String>, e: &ActionError) -> Event {
    let finish = || format!("mend it by hand, then finish with: {}", shared.finish());
    Event::Stuck {
        step: Some(step.clone()),
        target: target.clone(),
        error: format!("step `{step}` could not be put back{}: {}", on(target.as_deref()), e.message),
        hint: e.hint.clone().unwrap_or_else(finish),
    }
}

/// Whether waiting may help: an outage passes, and somebody may log in meanwhile. Nobody did where
/// another undo has waited in vain already.
async fn may_pass(shared: &Shared, kind: Option<ErrorKind>) -> bool {
    use ErrorKind as K;
    match kind {
        Some(K::Unreachable | K::Timeout | K::Unreadable | K::Server | K::Throttled | K::Capacity) => true,
        Some(kind) if kind.wants_login() => shared.recorder.with(|s, _| s.stuck.is_empty()),
        _ => false,
    }
}

/// Says of credentials that have run out what it means and what to do, in the words of a person.
fn plainly(mut e: ActionError, shared: &Shared) -> ActionError {
    if e.kind.is_some_and(ErrorKind::wants_login) {
        e.message = format!("the AWS credentials are expired or not valid; log in again: {}", e.message);
        e.hint = Some(login_first(shared));
    }
    if e.kind == Some(ErrorKind::ClockSkew) {
        e.hint = Some(format!("set this machine's clock, then finish with: {}", shared.finish()));
    }
    e
}

/// What to type where the credentials have run out.
pub(super) fn login_first(shared: &Shared) -> String {
    format!("log in again, or set fresh credentials, then finish with: {}", shared.finish())
}

/// Whether a recovery that was not accepted, as far as is known, did make nothing.
async fn never_made(
    shared: &Shared,
    step: &PlannedStep,
    action: Option<&'static dyn DynAction>,
    target: Option<&Target>,
    undo: &Value,
) -> bool {
    let (Some(action), Ok(params)) = (action, shared.resolve(&step.params).await) else { return false };
    let began = shared.clock.stamp().mono_ms;
    let settle = u64::try_from(shared.plan.drill.settle.ms()).unwrap_or(0);
    loop {
        let t0 = shared.t0().await;
        match action.poll(shared.read_cx(&step.id, t0), target, undo, &params).await {
            Ok(Progress::Absent) if shared.clock.stamp().mono_ms.saturating_sub(began) >= settle => {
                return true;
            }
            Ok(Progress::Absent) => tokio::time::sleep(Duration::from_secs(1)).await,
            Ok(_) | Err(_) => return false,
        }
    }
}

fn on(target: Option<&str>) -> String {
    target.map(|t| format!(" on {t}")).unwrap_or_default()
}
