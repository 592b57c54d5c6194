//! One change for many instances in one call, one outcome for each.
//!
//! AWS may refuse a whole batch because of one member, and TerminateInstances may err and still
//! terminate instances in other Availability Zones. So after an error every id is looked at before
//! anything is sent again, and what shows the effect is never reported as failed. A call whose
//! outcome is unknown is not repeated: the rest is reported as unknown.

use std::collections::BTreeMap;

use super::look;
use crate::catalog::action::{ActionError, Applied, WriteCx};
use crate::cloud::{CloudError, EffectCertainty, ErrorKind, Instance, Mutation};

/// A change that takes many instance ids.
pub(super) struct Bulk {
    /// The call for these ids.
    pub(super) build: fn(Vec<String>) -> Mutation,
    /// Whether this instance shows that the change reached it.
    pub(super) shows: fn(&Instance) -> bool,
}

/// Sends the change for all ids in as few calls as AWS allows; one outcome per id.
pub(super) async fn send(
    cx: WriteCx<'_>,
    ids: &[String],
    bulk: &Bulk,
) -> BTreeMap<String, Result<(), ActionError>> {
    let mut outcomes = BTreeMap::new();
    let mut work = if ids.is_empty() { Vec::new() } else { vec![ids.to_vec()] };
    while let Some(part) = work.pop() {
        let Err(error) = cx.gate.send((bulk.build)(part.clone())).await else {
            outcomes.extend(part.into_iter().map(|id| (id, Ok(()))));
            continue;
        };
        if never_sent(&error) || (part.len() == 1 && error.effect == EffectCertainty::None) {
            outcomes.extend(part.into_iter().map(|id| (id, Err(error.clone().into()))));
            continue;
        }
        // An error that says "nothing happened" for all of them is held against looks that agree; what is sent again
        // below is not: it may be sent any number of times.
        let last = error.effect == EffectCertainty::None && same_for_all(&error);
        let shown = |seen: &BTreeMap<String, Instance>| {
            !last || part.iter().all(|id| seen.get(id).is_some_and(bulk.shows))
        };
        let seen = match look::agreed(cx.read, shown, || look::instances(cx.read, &part)).await {
            Ok(seen) => seen,
            Err(e) => {
                let blind = ActionError::from(error.clone())
                    .effect(EffectCertainty::Unknown)
                    .hint(format!("looking at what happened failed too: {e}"));
                outcomes.extend(part.into_iter().map(|id| (id, Err(blind.clone()))));
                continue;
            }
        };
        let size = part.len();
        let (done, rest): (Vec<String>, Vec<String>) =
            part.into_iter().partition(|id| seen.get(id).is_some_and(bulk.shows));
        outcomes.extend(done.into_iter().map(|id| (id, Ok(()))));
        let parts = if error.effect == EffectCertainty::Unknown || same_for_all(&error) || size == 1 {
            Vec::new()
        } else if rest.len() == 1 {
            vec![rest.clone()] // alone, so that it has an outcome of its own
        } else {
            look::divide(&rest, &error.message)
        };
        if parts.is_empty() {
            outcomes.extend(rest.into_iter().map(|id| (id, Err(unshown(&error)))));
        } else {
            work.extend(parts);
        }
    }
    outcomes
}

/// Refused before any member was looked at: nothing happened to any of them.
fn never_sent(e: &CloudError) -> bool {
    e.effect == EffectCertainty::None
        && matches!(
            e.kind,
            ErrorKind::Journal
                | ErrorKind::Unreachable
                | ErrorKind::NoCredentials
                | ErrorKind::NoRegion
                | ErrorKind::Expired
                | ErrorKind::ClockSkew
                | ErrorKind::Throttled
        )
}

/// Not the fault of one member, so that dividing the batch would only repeat the refusal.
fn same_for_all(e: &CloudError) -> bool {
    matches!(e.kind, ErrorKind::Denied | ErrorKind::Server | ErrorKind::Timeout | ErrorKind::Unreadable)
}

/// The error for an id that does not show the effect: it may still come.
fn unshown(e: &CloudError) -> ActionError {
    let effect =
        if e.effect == EffectCertainty::None { EffectCertainty::None } else { EffectCertainty::Unknown };
    ActionError::from(e.clone()).effect(effect)
}

/// The outcomes in the order of the batch.
pub(super) fn in_order(
    ids: &[String],
    outcomes: &BTreeMap<String, Result<(), ActionError>>,
) -> Vec<Result<Applied, ActionError>> {
    ids.iter()
        .map(|id| match outcomes.get(id) {
            Some(Ok(())) => Ok(Applied::default()),
            Some(Err(e)) => Err(e.clone()),
            None => Err(ActionError::refused(format!("{id} was not sent"))),
        })
        .collect()
}
