//! Bugs on purpose, for the tests of the tests: a harness that never fails proves nothing.
//!
//! Switched per thread, only through [`commit`], which nothing but a test calls; in a release build
//! there is nothing to switch.

use std::cell::Cell;

/// A way in which an engine could be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// What undo needs is recorded after the call instead of before it.
    NoWriteAhead,
    /// A call without an answer is taken for one that did nothing.
    TimeoutIsNothing,
    /// What a failed step may have done is left as it is.
    FailedIsNotUndone,
    /// A stage that is on record is not taken in, so that it is decided upon again.
    StagesAreForgotten,
    /// A task comes to its end and records nothing.
    TasksDoNothing,
}

thread_local! {
    static COMMITTED: Cell<Option<Sabotage>> = const { Cell::new(None) };
}

/// Puts the engine right again when dropped.
pub struct Guard(());

impl Drop for Guard {
    fn drop(&mut self) {
        COMMITTED.set(None);
    }
}

/// Puts this bug into every run of this thread, as long as the guard lives.
pub fn commit(bug: Sabotage) -> Guard {
    COMMITTED.set(Some(bug));
    Guard(())
}

/// Whether this bug is in.
pub(super) fn is(bug: Sabotage) -> bool {
    cfg!(debug_assertions) && COMMITTED.get() == Some(bug)
}
