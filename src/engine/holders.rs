//! Whose the targets of a run are by now. Reads only.
//!
//! For: a run that goes on after others could act. A sweep lets go of a run that seems dead (a lid that was closed, a
//! machine that was paused), and another run takes its targets; a person tags one as never to be touched. Not for: the
//! lock between runs as they begin, which is [`super::hold`] and drift. Invariant: nothing is changed by this run that
//! was seen to be another's within the last minute.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::Mutex;

use super::driver::Shared;
use super::hold;
use super::state::RunState;
use crate::cloud::CloudError;
use crate::journal::Event;
use crate::model::target::TAG_HELD;
use crate::model::{Stage, StepId, Target};
use crate::plan::{self, PlannedStep, limits};

/// For how long what was seen is believed: nobody takes targets over sooner, since a person sweeps first.
const BELIEVED: TimeDelta = TimeDelta::minutes(1);

/// What a look at all targets of the run has shown.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The targets that other runs hold, each with its run.
    pub others: BTreeMap<String, String>,
    /// The targets that carry a tag by which the limits forbid them, each with why.
    forbidden: BTreeMap<String, String>,
    /// The targets that could not be read, with why.
    unread: BTreeMap<String, CloudError>,
}

/// What was seen last, and when.
pub struct Holders(Mutex<(DateTime<Utc>, Seen)>);

impl Holders {
    /// Of a run that begins, or is taken up, now.
    pub fn new(now: DateTime<Utc>) -> Self {
        Self(Mutex::new((now, Seen::default())))
    }

    /// Looks now.
    pub async fn look(&self, shared: &Shared) -> Seen {
        let mut last = self.0.lock().await;
        *last = (shared.clock.now(), look(shared).await);
        last.1.clone()
    }

    /// What was seen within the last minute; else looks.
    async fn seen(&self, shared: &Shared) -> Seen {
        let mut last = self.0.lock().await;
        let since = shared.clock.now().signed_duration_since(last.0);
        if since > BELIEVED || since < TimeDelta::zero() {
            *last = (shared.clock.now(), look(shared).await);
        }
        last.1.clone()
    }
}

/// Kind by kind: that databases may not be read says nothing of instances.
async fn look(shared: &Shared) -> Seen {
    let mut seen = Seen::default();
    let mut kinds: BTreeMap<_, Vec<Target>> = BTreeMap::new();
    for target in hold::targets(shared) {
        kinds.entry(target.kind).or_default().push(target);
    }
    for planned in kinds.into_values() {
        let now = match plan::read_again(&shared.plan, &shared.cloud.reads, &planned).await {
            Ok(now) => now,
            Err(e) => {
                seen.unread.extend(planned.into_iter().map(|t| (t.id, e.clone())));
                continue;
            }
        };
        let there = planned.into_iter().zip(now).filter_map(|(p, now)| Some((p, now?)));
        for (planned, mut now) in there.filter(|(p, now)| plan::is_the_same(p, now)) {
            if hold::holder(Some(&now)) == Some(shared.run.as_str()) {
                // its own tag does not forbid it
                now.tags.remove(TAG_HELD);
            }
            let forbids = |rule: &limits::Rule<'_>| limits::forbidden_tag(rule.limits(), &now);
            if let Some(tag) = shared.plan.rules().iter().find_map(forbids) {
                seen.forbidden.insert(planned.id.clone(), format!("carries the tag {tag} by now"));
            }
            let other = |run: &&str| !run.is_empty() && *run != shared.run.as_str();
            if let Some(run) = hold::holder(Some(&now)).filter(other) {
                seen.others.insert(planned.id, run.to_owned());
            }
        }
    }
    seen
}

/// Why a step must not begin on these targets by now. A step that only adds something beside them may.
pub async fn hinders(shared: &Shared, step: &PlannedStep, targets: &[Option<String>]) -> Option<String> {
    if !shared.recorder.with(|s, _| s.changes_its_target(&step.id)) {
        return None;
    }
    let seen = shared.holders.seen(shared).await;
    let fault = step.stage == Stage::Fault;
    targets.iter().flatten().find_map(|id| {
        if let Some(run) = seen.others.get(id) {
            return Some(format!("{id} is held by run {run} by now"));
        }
        // what is put right again is no new harm
        let forbidden = seen.forbidden.get(id).filter(|_| fault).map(|why| format!("{id} {why}"));
        let unread = seen.unread.get(id).filter(|_| fault);
        forbidden.or_else(|| unread.map(|e| format!("whether another run holds {id} cannot be read: {e}")))
    })
}

/// What is not put back of this target, since another run holds it by now.
pub async fn left(shared: &Shared, step: &PlannedStep, target: Option<&str>) -> Option<Event> {
    if !shared.recorder.with(|s, _| s.changes_its_target(&step.id)) {
        return None;
    }
    let (id, run) = shared.holders.seen(shared).await.others.remove_entry(target?)?;
    Some(theirs(step.id.clone(), &id, &run, &shared.finish()))
}

/// What this run has not put back of them: it stands as the other run left it, and is not touched.
pub fn left_to(others: &BTreeMap<String, String>, state: &RunState, finish: &str) -> Vec<Event> {
    let open = state.cells.iter().filter(|(_, cell)| cell.may_have_effect() && !cell.settled);
    let changed = open.filter(|((step, _), _)| state.changes_its_target(step));
    let left = changed.filter_map(|((step, target), _)| {
        let (id, run) = others.get_key_value(target.as_ref()?)?;
        Some(theirs(step.clone(), id, run, finish))
    });
    left.collect()
}

fn theirs(step: StepId, id: &str, run: &str, finish: &str) -> Event {
    Event::Stuck {
        step: Some(step),
        target: Some(id.to_owned()),
        error: format!("{id} is held by run {run} by now, so it is left as it is"),
        hint: format!("once that run has ended, look at {id}; then: {finish}"),
    }
}
