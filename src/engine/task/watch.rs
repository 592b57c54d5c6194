//! What polling remembers, and for how long it looks. Pure but for the look at the state.

use std::collections::{BTreeMap, BTreeSet};

use super::{Item, unknown};
use crate::catalog::ActionError;
use crate::catalog::action::Reversibility;
use crate::engine::driver::Shared;
use crate::journal::Event;
use crate::model::{Stage, World};
use crate::plan::PlannedStep;

/// How long an irreversible fault without an answer is looked for before it counts as one that did nothing, at least: EC2
/// gives no bound for when a change shows ("up to a few minutes", Amazon EC2 Developer Guide), and a target that ends later
/// would have no replacement.
const IRREVERSIBLE_MS: u64 = 5 * 60_000;

/// What polling remembers between rounds.
#[derive(Default)]
pub(super) struct Watch {
    pub(super) incomplete: BTreeSet<Option<String>>,
    pub(super) absent_since: BTreeMap<Option<String>, u64>,
    notes: BTreeMap<Option<String>, String>,
    pub(super) applied: u32,
}

impl Watch {
    /// Where it stands, if that is new.
    pub(super) fn progress(&mut self, step: &PlannedStep, item: &Item, note: String) -> Option<Event> {
        let before = self.notes.insert(item.id.clone(), note.clone());
        let event =
            || Event::StepProgress { step: step.id.clone(), target: item.id.clone(), note: note.clone() };
        (before.as_ref() != Some(&note)).then(event)
    }

    /// A fault that was looked for all its time and is not there. One that cannot be undone
    /// counts as one that did nothing: its undo would not look again.
    pub(super) fn not_there(&self, step: &PlannedStep, item: &Item) -> ActionError {
        let e = ActionError::refused(
            "the answer was lost and no effect is to be seen; a fault is never sent twice",
        );
        let sure = step.reversibility == Reversibility::Irreversible && !self.incomplete.contains(&item.id);
        if sure { e } else { unknown(e) }
    }
}

/// For how long all looks have to agree that a step did nothing (ms).
pub(super) fn absent_after(shared: &Shared, step: &PlannedStep) -> u64 {
    let settle = u64::try_from(shared.plan.drill.settle.ms()).unwrap_or(0);
    // at the end of the run it is looked for once more
    let last = shared.recorder.with(|s, _| s.stage() == Stage::Undo && s.doubted(step));
    match step.reversibility {
        // an emulator answers what is, at once: nothing comes to light there later
        Reversibility::Irreversible
            if step.stage == Stage::Fault && !last && shared.cloud.world != World::Emulator =>
        {
            settle.max(IRREVERSIBLE_MS)
        }
        _ => settle,
    }
}
