//! How it is recorded that an undo is over, and that one could not be. Pure.
//!
//! Not for: undoing ([`super::task`]). Invariant: what is recorded says no more than what was done or seen.

use crate::catalog::{self, ActionError};
use crate::journal::Event;
use crate::model::StepId;

/// How an undo ended: it put something back, …
pub(super) const PUT_BACK: &str = "put-back";
/// … or found everything in place, whoever put it there.
pub(super) const ALREADY: &str = "already";
/// There was nothing to undo, and nothing was looked at for that.
pub(super) const NOTHING: &str = "nothing";

/// What undo would need holds a secret that no parameter is.
pub(super) fn unkept() -> ActionError {
    ActionError::refused(
        "what its undo needs holds a secret that is no parameter of the drill (redrill's own keys, a password that a probe \
         fetched, or the user of a URL), which is not written to disk",
    )
    .hint("take it out of there, or make it a secret parameter")
}

/// The undo of a cell, or its keeping, is over.
#[expect(clippy::ref_option, reason = "cells are keyed by `Option<String>`")]
pub(super) fn undone(step: &StepId, target: &Option<String>, done: catalog::Undone, keep: bool) -> Event {
    use catalog::Undone;
    let (how, proof) = match done {
        Undone::PutBack(p) => (PUT_BACK, p),
        Undone::Already(p) => (ALREADY, p),
        Undone::Nothing(p) => (NOTHING, p),
        Undone::NothingMade(proof) => {
            let (step, target, how) = (step.clone(), target.clone(), NOTHING.to_owned());
            return Event::UndoDone { step, target, how, proof };
        }
        Undone::Kept(proof) => {
            return Event::Kept { step: step.clone(), target: target.clone(), proof };
        }
        Undone::Irreversible(why) => {
            return Event::LeftInPlace { step: step.clone(), target: target.clone(), why, by: None };
        }
    };
    if keep {
        Event::Kept { step: step.clone(), target: target.clone(), proof }
    } else {
        Event::UndoDone { step: step.clone(), target: target.clone(), how: how.to_owned(), proof }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Undone;

    #[test]
    fn what_stays_is_told_as_kept_also_where_it_was_to_be_removed() {
        for keep in [false, true] {
            let event = undone(&StepId::new("replace"), &None, Undone::Kept("i-2 is kept".to_owned()), keep);
            assert!(matches!(&event, Event::Kept { proof, .. } if proof == "i-2 is kept"), "{event:?}");
        }
    }
}
