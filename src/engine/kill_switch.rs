//! The kill switch: a file, an object or a parameter that stops every run that sees it.
//!
//! Looked at in preflight, before every step and every few seconds in between. One that cannot be read
//! refuses a start; in a run it counts as set after three reads in a row. Nothing here puts anything
//! back: it records a stop, as a stop condition does. Reads.

use std::sync::Arc;
use std::time::Duration;

use super::driver::Shared;
use crate::catalog::{Finding, Severity};
use crate::cloud::{CloudError, CloudResult, Local, Reads};
use crate::journal::writer::JournalError;
use crate::journal::{Event, StopCause};
use crate::model::Stage;
use crate::plan::house::KillSwitch;

/// How often it is looked at.
const EVERY: Duration = Duration::from_secs(3);
/// How long one look may take.
const LIMIT: Duration = Duration::from_secs(10);
/// A single answer that did not come is no sign of anything.
const READS: u32 = 3;

/// Where it is set, if it is.
///
/// # Errors
/// One of its places cannot be read, and none of the others is set.
async fn set(switch: &KillSwitch, reads: &Reads, local: &dyn Local) -> CloudResult<Option<String>> {
    let mut failed = None;
    let mut answers: Vec<(String, CloudResult<bool>)> = Vec::new();
    if let Some(file) = &switch.file {
        answers.push((format!("file {file}"), local.exists(file).await));
    }
    if let (Some(url), Some((bucket, key))) = (&switch.s3, switch.object()) {
        // a listing, since HeadObject does not tell a missing bucket from a missing object
        let listed = reads.s3.versions(bucket, key, None).await;
        let newest = listed.map(|page| page.items.into_iter().find(|v| v.key == key && v.latest));
        answers.push((url.clone(), newest.map(|found| found.is_some_and(|v| !v.marker))));
    }
    if let Some(name) = &switch.ssm {
        let value = reads.ssm.parameter(name).await;
        let is_set = value.map(|v| v.is_some_and(|v| !v.trim().eq_ignore_ascii_case("off")));
        answers.push((format!("parameter {name}"), is_set));
    }
    for (place, answer) in answers {
        match answer {
            Ok(true) => return Ok(Some(place)),
            Ok(false) => {}
            Err(e) => failed = Some(e),
        }
    }
    failed.map_or(Ok(None), Err)
}

/// Looks once: where it is set, if it is.
///
/// # Errors
/// It cannot be read, and why.
pub async fn place(switch: &KillSwitch, reads: &Reads, local: &dyn Local) -> Result<Option<String>, String> {
    match tokio::time::timeout(LIMIT, set(switch, reads, local)).await {
        Ok(answer) => answer.map_err(|e: CloudError| e.to_string()),
        Err(_) => Err(format!("no answer within {} s", LIMIT.as_secs())),
    }
}

async fn look(shared: &Shared) -> Result<Option<String>, String> {
    let mut unread = None;
    for switch in &shared.switches {
        match place(switch, &shared.probed, shared.cloud.local.as_ref()).await {
            Ok(None) => {}
            Err(e) => unread = Some(e),
            set => return set,
        }
    }
    unread.map_or(Ok(None), Err)
}

/// A switch that is set, or cannot be read, refuses a start.
pub async fn check(shared: &Shared) -> Option<Finding> {
    if shared.switches.is_empty() {
        return None;
    }
    let text = match look(shared).await {
        Ok(None) => return None,
        Ok(Some(place)) => format!("it is set: {place}"),
        Err(e) => format!("it cannot be read: {e}"),
    };
    Some(Finding::new(Severity::Refusal, "kill switch", text))
}

/// Looks right before a step; `false` where the run was stopped.
///
/// # Errors
/// The journal could not be written.
pub async fn clear(shared: &Shared) -> Result<bool, JournalError> {
    if shared.switches.is_empty() {
        return Ok(true);
    }
    // what cannot be read is the watch's matter: it looks again and judges
    match look(shared).await {
        Ok(Some(place)) => {
            stop(shared, format!("the kill switch is set: {place}")).await?;
            Ok(false)
        }
        _ => Ok(true),
    }
}

/// Looks every few seconds, until the run stops or puts things back anyway.
pub async fn watch(shared: Arc<Shared>) {
    if shared.switches.is_empty() {
        return;
    }
    let mut tick = tokio::time::interval(EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut unread = 0;
    loop {
        tick.tick().await;
        let detail = match look(&shared).await {
            Ok(None) => {
                unread = 0;
                continue;
            }
            Ok(Some(place)) => format!("the kill switch is set: {place}"),
            Err(e) => {
                unread += 1;
                if unread < READS {
                    continue;
                }
                format!("the kill switch cannot be read, and counts as set: {e}")
            }
        };
        if stop(&shared, detail).await.is_err()
            || shared.recorder.with(|s, _| s.stop.is_some() || s.stage() == Stage::Undo)
        {
            return;
        }
    }
}

/// Records the stop, once, and only of a run that would go on.
async fn stop(shared: &Shared, detail: String) -> Result<(), JournalError> {
    let event = Event::stop(StopCause::StopCondition, detail);
    shared
        .recorder
        .durable_from(move |s| {
            let over = s.stop.is_some() || s.finished.is_some() || s.stage() == Stage::Undo || !s.preflighted;
            if over { Vec::new() } else { vec![event] }
        })
        .await
        .map(|_| ())
}
