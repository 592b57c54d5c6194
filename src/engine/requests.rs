//! What people ask of a run, and what becomes of it.
//!
//! [`answer`] is pure and says what to record. [`settle`] records it and only then takes the request
//! out of the inbox: whatever a crash leaves there is answered by the next process, and what is on
//! record already is never answered again. The command that finds no process at work asks the same
//! [`answer`], so that a line says the same whoever wrote it.

use std::sync::Arc;
use std::time::Duration;

use super::recorder::Recorder;
use super::state::{RunState, Status};
use crate::journal::writer::JournalError;
use crate::journal::{Asked, Event, Inbox, Left, Mode, Request, StopCause};
use crate::model::{Stage, StepId};

/// How often the inbox is looked into.
const EVERY: Duration = Duration::from_millis(300);

/// What goes on record for a request, which is done with then. `None` for a confirmation of a step that
/// does not wait yet: it stays until the step does, or the run ends. `last`: nobody will look again, so
/// nothing stays.
pub fn answer(
    state: &RunState,
    by: &str,
    request: &Request,
    asked: Option<Asked>,
    last: bool,
) -> Option<Event> {
    let by = by.to_owned();
    let refused = if state.finished.is_some() {
        Some("the run had ended".to_owned())
    } else {
        match request {
            Request::Mark { .. } => None,
            Request::Abort { .. } => going_back(state).then(|| "everything is being put back already".into()),
            Request::Confirm { step, .. } => match unconfirmable(state, step) {
                Some(why) => Some(why),
                None if state.announced.contains(step) => None,
                None if last => Some(format!("step `{step}` does not wait for anybody")),
                None => return None,
            },
        }
    };
    let (what, note) = match request {
        Request::Mark { note, .. } => ("mark".to_owned(), note),
        Request::Confirm { step, note } => (format!("confirmation of `{step}`"), note),
        Request::Abort { note } => ("abort".to_owned(), note),
    };
    if let Some(why) = refused {
        return Some(Event::RequestUnused { what, by, note: note.clone(), why, request: asked });
    }
    Some(match request.clone() {
        Request::Mark { mark, marked_at, note } => {
            Event::Marked { mark, at: marked_at, by, note, request: asked }
        }
        Request::Confirm { step, note } => {
            Event::Confirmed { step, by, note, simulated: false, request: asked }
        }
        Request::Abort { note } => {
            let why = if note.is_empty() { String::new() } else { format!(": {note}") };
            let detail = format!("aborted by {by}{why}");
            Event::StopRequested { cause: StopCause::Signal, detail, request: asked }
        }
    })
}

/// Whether there is nothing left to stop.
pub fn going_back(state: &RunState) -> bool {
    state.stage() == Stage::Undo || state.mode == Mode::Rollback
}

/// Why this step will never wait for anybody again.
fn unconfirmable(state: &RunState, step: &StepId) -> Option<String> {
    if state.plan.step(step).is_none_or(|s| s.manual.is_none()) {
        return Some(format!("`{step}` is not a manual step of this drill"));
    }
    match state.cells.get(&(step.clone(), None)).map(|c| c.status) {
        Some(Status::Ready) => Some(format!("step `{step}` is confirmed already")),
        Some(Status::Failed(_)) => Some(format!("step `{step}` has failed already")),
        Some(Status::Skipped) => Some(format!("step `{step}` was skipped")),
        _ if state.stop.is_some() || going_back(state) => {
            Some(format!("the run is being stopped, and step `{step}` is left out"))
        }
        _ => None,
    }
}

/// Answers what lies in the inbox. A request leaves it when its line is on the disk, not before.
///
/// # Errors
/// The journal could not be written; what was not answered stays.
pub async fn settle(recorder: &Recorder, inbox: &Arc<dyn Inbox>, last: bool) -> Result<(), JournalError> {
    // what cannot be looked into now stays where it is; the next look tries again
    for Left { asked, by, request } in beside(inbox, |inbox| inbox.requests().unwrap_or_default()).await {
        let id = asked.id.clone();
        if matches!(request, Request::Abort { .. }) && recorder.with(|state, _| !going_back(state)) {
            recorder.halt();
        }
        recorder
            .durable_from(move |state| {
                if state.answered.contains(&asked.id) {
                    return Vec::new();
                }
                answer(state, &by, &request, Some(asked), last).into_iter().collect()
            })
            .await?;
        if recorder.with(|state, _| state.answered.contains(&id)) {
            // one that cannot be removed is known again by its id
            let _next_time = beside(inbox, move |inbox| inbox.remove(&id)).await;
        }
    }
    Ok(())
}

/// The disk may stand still, and that must hold up nobody else: one thread at a time waits for it.
async fn beside<T: Send + 'static>(
    inbox: &Arc<dyn Inbox>,
    look: impl FnOnce(&dyn Inbox) -> T + Send + 'static,
) -> T {
    let inbox = Arc::clone(inbox);
    match tokio::task::spawn_blocking(move || look(inbox.as_ref())).await {
        Ok(looked) => looked,
        Err(e) => std::panic::resume_unwind(e.into_panic()),
    }
}

/// Looks into the inbox again and again, until the task is aborted or nothing can be recorded.
pub async fn listen(recorder: Arc<Recorder>, inbox: Arc<dyn Inbox>) {
    while settle(&recorder, &inbox, false).await.is_ok() {
        tokio::time::sleep(EVERY).await;
    }
}
