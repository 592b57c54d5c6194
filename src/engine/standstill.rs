//! Notices a run that turns on the spot: what was decided is recorded, and decided again. Pure.
//!
//! A record moves the state, or there is a bug; going on would fill the disk with a fault in place.

use std::collections::BTreeMap;

use super::decide::Task;
use crate::journal::Event;

/// Decisions that may be recorded one after the other with nothing coming from outside; a run has about
/// as many stages.
const IN_A_ROW: u32 = 50;
/// How often one task may begin in one process: each comes to an end by what it records.
pub const BEGINNINGS: u32 = 1_000;

/// What the loop remembers of its own turns.
#[derive(Default)]
pub struct Standstill {
    last: Vec<Event>,
    in_a_row: u32,
    begun: BTreeMap<Task, u32>,
}

impl Standstill {
    /// These events were decided upon.
    ///
    /// # Errors
    /// It is what was decided before, in words: recording it has moved nothing.
    pub fn decided(&mut self, events: &[Event]) -> Result<(), String> {
        self.in_a_row += 1;
        if self.last == events || self.in_a_row > IN_A_ROW {
            let what = serde_json::to_string(events).unwrap_or_default();
            return Err(format!("what was decided is decided again: {what}"));
        }
        self.last = events.to_vec();
        Ok(())
    }

    /// Nothing was to be recorded: the loop waits.
    pub fn waits(&mut self) {
        self.last.clear();
        self.in_a_row = 0;
    }

    /// How often this task has begun, with this time.
    pub fn begins(&mut self, task: &Task) -> u32 {
        let begun = self.begun.entry(task.clone()).or_default();
        *begun += 1;
        *begun
    }
}
