//! Carries one task out, and says what to record of one that broke off.
//!
//! Thin: each task has its module; here are those that are too small for one.

use std::sync::Arc;

use serde_json::Value;

use super::decide::Task;
use super::driver::{People, Shared};
use super::sabotage::{self, Sabotage};
use super::state::{CellState, RunState};
use super::{hold, preflight, programs, task};
use crate::journal::writer::JournalError;
use crate::journal::{Event, StopCause};
use crate::model::time::in_words;
use crate::model::{EffectCertainty, StepId};

/// A task that panicked: what it was at may have happened.
pub(super) fn panicked(task: &Task, why: &str) -> Vec<Event> {
    let bug = format!("BUG: {why}");
    match task {
        Task::Step { step, targets } | Task::Look { step, targets } => targets
            .iter()
            .map(|t| Event::StepFailed {
                step: step.clone(),
                target: t.clone(),
                error: bug.clone(),
                effect: EffectCertainty::Unknown,
                hint: None,
            })
            .collect(),
        Task::Undo { step, target } | Task::Keep { step, target } => vec![Event::Stuck {
            step: Some(step.clone()),
            target: target.clone(),
            error: bug,
            hint: "report this, and put it back by hand".to_owned(),
        }],
        Task::EndProgram { step, .. } => vec![Event::Stuck {
            step: Some(step.clone()),
            target: None,
            error: bug,
            hint: "report this, and end its program by hand".to_owned(),
        }],
        Task::Release => vec![
            Event::Stuck {
                step: None,
                target: None,
                error: bug,
                hint: "remove the redrill:held tags by hand".to_owned(),
            },
            Event::Released { targets: Vec::new() },
        ],
        Task::Preflight | Task::Arm | Task::Manual { .. } => {
            vec![Event::stop(StopCause::StepFailed, bug)]
        }
    }
}

pub(super) async fn perform(shared: Arc<Shared>, task: Task) -> (Task, Result<(), JournalError>) {
    let result = match &task {
        _ if sabotage::is(Sabotage::TasksDoNothing) => Ok(()),
        // it only looks, and may be let go of at any moment
        Task::Preflight => tokio::select! {
            biased;
            checked = preflight::check(&shared) => checked,
            () = shared.stopping() => Ok(()),
        },
        Task::Arm => arm(&shared).await,
        Task::Step { step, targets } => task::step(&shared, step, targets).await,
        Task::Look { step, targets } => task::look(&shared, step, targets).await,
        Task::Manual { step } => manual(&shared, step).await,
        Task::EndProgram { step, mark } => programs::end(&shared, step, mark).await,
        Task::Undo { step, target } => match programs::say_lack(&shared, step).await {
            Ok(()) => task::undo(&shared, step, target.as_deref(), false).await,
            broken => broken,
        },
        Task::Keep { step, target } => task::undo(&shared, step, target.as_deref(), true).await,
        Task::Release => hold::release(&shared).await,
    };
    (task, result)
}

/// The last look before the first change, then the tags.
async fn arm(shared: &Arc<Shared>) -> Result<(), JournalError> {
    let undrifted = tokio::select! {
        biased;
        undrifted = preflight::undrifted(shared) => undrifted?,
        () = shared.stopping() => return Ok(()),
    };
    if !undrifted || shared.is_stopping() {
        return Ok(());
    }
    match hold::hold(shared).await? {
        Ok(()) => Ok(()),
        Err(e) => {
            // nothing was injected; what is wrong is either the way to AWS, or something with a target or its tags
            use crate::cloud::ErrorKind as K;
            let cause = match (e.effect, e.kind) {
                (
                    EffectCertainty::None,
                    K::NotFound | K::AlreadyExists | K::State | K::Invalid | K::Limit,
                ) => StopCause::Refused,
                (EffectCertainty::None, _) => StopCause::Aws,
                _ => StopCause::StepFailed,
            };
            let detail = format!("the targets could not be tagged as held: {e}");
            shared.recorder.durable(vec![Event::stop(cause, detail)]).await
        }
    }
}

async fn manual(shared: &Arc<Shared>, id: &StepId) -> Result<(), JournalError> {
    let Some(step) = shared.plan.step(id) else { return Ok(()) };
    let recorder = &shared.recorder;
    let asks = |s: &RunState, id: &StepId| {
        let done = s.cells.get(&(id.clone(), None)).is_some_and(CellState::is_final);
        !done && !s.waiting.contains_key(id)
    };
    if recorder.with(|s, _| asks(s, id)) {
        let text = step.manual.clone().unwrap_or_default();
        let text = match shared.resolve(&Value::String(text.clone())).await {
            Ok(Value::String(resolved)) => resolved,
            _ => text,
        };
        let step = id.clone();
        // somebody who was asked before a crash may confirm at this very moment
        recorder
            .durable_from(
                move |s| {
                    if asks(s, &step) { vec![Event::Waiting { step, text }] } else { Vec::new() }
                },
            )
            .await?;
    }
    let over = recorder
        .until(|s| s.stop.is_some() || s.cells.get(&(id.clone(), None)).is_some_and(CellState::is_final));
    let simulated = async {
        match shared.people {
            People::Ask => std::future::pending::<()>().await,
            People::Simulate(after) => tokio::time::sleep(after).await,
        }
    };
    tokio::select! {
        () = over => Ok(()),
        () = simulated => {
            let event = Event::Confirmed {
                step: id.clone(),
                by: "simulated".to_owned(),
                note: "no person was asked".to_owned(),
                simulated: true,
                request: None,
            };
            recorder.durable(vec![event]).await
        }
        () = tokio::time::sleep(step.timeout.0) => {
            let event = Event::StepFailed {
                step: id.clone(),
                target: None,
                error: format!("nobody confirmed within {}", in_words(step.timeout.ms())),
                effect: EffectCertainty::None,
                hint: Some(format!("redrill confirm {} {id} --note …", shared.run)),
            };
            recorder.durable(vec![event]).await
        }
    }
}
