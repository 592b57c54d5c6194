//! The kill switch: a file, an object or a parameter that stops every run that sees it.
//!
//! Looked at in preflight, before every step and every second in between. One that cannot be read
//! refuses a start; in a run it counts as set after three reads in a row, a few seconds apart. Nothing here puts anything
//! back: it records a stop, as a stop condition does. Reads.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;

use super::driver::Shared;
use super::state::RunState;
use crate::catalog::{Finding, Severity};
use crate::cloud::{CloudError, CloudResult, Local, Reads};
use crate::journal::writer::JournalError;
use crate::journal::{Event, StopCause};
use crate::model::Stage;
use crate::plan::house::KillSwitch;

/// How often each place is looked at: what is set is acted on within two seconds.
const EVERY: Duration = Duration::from_secs(1);
/// How long it is let alone after a look that failed.
const PAUSE: Duration = Duration::from_secs(3);
/// How long one look may take.
const LIMIT: Duration = Duration::from_secs(10);
/// A single answer that did not come is no sign of anything.
const READS: u32 = 3;

/// One of the places of a switch.
#[derive(Clone)]
enum Place {
    File(String),
    Object { url: String, bucket: String, key: String },
    Parameter(String),
}

impl Place {
    /// Where a switch can be set.
    fn all(switch: &KillSwitch) -> Vec<Self> {
        let object = switch.s3.as_ref().zip(switch.object());
        let object = object.map(|(url, (bucket, key))| Self::Object {
            url: url.clone(),
            bucket: bucket.to_owned(),
            key: key.to_owned(),
        });
        let file = switch.file.clone().map(Self::File);
        [file, object, switch.ssm.clone().map(Self::Parameter)].into_iter().flatten().collect()
    }

    fn name(&self) -> String {
        match self {
            Self::File(file) => format!("file {file}"),
            Self::Object { url, .. } => url.clone(),
            Self::Parameter(name) => format!("parameter {name}"),
        }
    }

    async fn is_set(&self, reads: &Reads, local: &dyn Local) -> CloudResult<bool> {
        match self {
            Self::File(file) => local.exists(file).await,
            Self::Object { bucket, key, .. } => {
                // a listing, since HeadObject does not tell a missing bucket from a missing object
                let page = reads.s3.versions(bucket, key, None).await?;
                let newest = page.items.into_iter().find(|v| v.key == *key && v.latest);
                Ok(newest.is_some_and(|v| !v.marker))
            }
            Self::Parameter(name) => {
                let value = reads.ssm.parameter(name).await?;
                Ok(value.is_some_and(|v| !v.trim().eq_ignore_ascii_case("off")))
            }
        }
    }

    /// Looks once.
    async fn look(&self, reads: &Reads, local: &dyn Local) -> Result<bool, String> {
        match tokio::time::timeout(LIMIT, self.is_set(reads, local)).await {
            Ok(answer) => answer.map_err(|e: CloudError| e.to_string()),
            Err(_) => Err(format!("no answer within {} s", LIMIT.as_secs())),
        }
    }
}

/// Looks once at every place, at the same time: where it is set, if it is.
///
/// # Errors
/// One of its places cannot be read, and none of the others is set.
pub async fn place(switch: &KillSwitch, reads: &Reads, local: &dyn Local) -> Result<Option<String>, String> {
    first_set(Place::all(switch), reads, local).await
}

async fn first_set(places: Vec<Place>, reads: &Reads, local: &dyn Local) -> Result<Option<String>, String> {
    let looks = places.iter().map(|place| async move { (place.name(), place.look(reads, local).await) });
    let mut looks: FuturesUnordered<_> = looks.collect();
    let mut unread = None;
    while let Some((name, answer)) = looks.next().await {
        match answer {
            Ok(true) => return Ok(Some(name)),
            Ok(false) => {}
            Err(e) => unread = Some(e),
        }
    }
    unread.map_or(Ok(None), Err)
}

async fn look(shared: &Shared) -> Result<Option<String>, String> {
    first_set(places(shared), &shared.probed, shared.cloud.local.as_ref()).await
}

fn places(shared: &Shared) -> Vec<Place> {
    shared.switches.iter().flat_map(Place::all).collect()
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
    let looked = tokio::select! {
        biased;
        looked = look(shared) => looked,
        () = shared.stopping() => return Ok(false),
    };
    // what cannot be read is the watch's matter: it looks again and judges
    match looked {
        Ok(Some(place)) => {
            stop(shared, format!("the kill switch is set: {place}")).await?;
            Ok(false)
        }
        _ => Ok(true),
    }
}

/// Looks at every place again and again, until the run stops or puts things back anyway. A place that does
/// not answer holds up none of the others.
pub async fn watch(shared: Arc<Shared>) {
    futures::future::join_all(places(&shared).into_iter().map(|place| watch_one(&shared, place))).await;
}

async fn watch_one(shared: &Shared, place: Place) {
    let mut tick = tokio::time::interval(EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut unread = 0;
    loop {
        tick.tick().await;
        if shared.recorder.with(|s, _| s.stop.is_some() || s.stage() == Stage::Undo) {
            return;
        }
        let detail = match place.look(&shared.probed, shared.cloud.local.as_ref()).await {
            Ok(false) => {
                unread = 0;
                continue;
            }
            Ok(true) => format!("the kill switch is set: {}", place.name()),
            Err(e) => {
                unread += 1;
                if unread < READS {
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
                format!("the kill switch cannot be read, and counts as set: {e}")
            }
        };
        if stop(shared, detail).await.is_err() {
            return;
        }
    }
}

/// Records the stop, once, and only of a run that would go on.
async fn stop(shared: &Shared, detail: String) -> Result<(), JournalError> {
    let event = Event::stop(StopCause::StopCondition, detail);
    let over =
        |s: &RunState| s.stop.is_some() || s.finished.is_some() || s.stage() == Stage::Undo || !s.preflighted;
    if shared.recorder.with(|s, _| !over(s)) {
        shared.recorder.halt();
    }
    shared.recorder.durable_from(move |s| if over(s) { Vec::new() } else { vec![event] }).await.map(|_| ())
}
