//! The journal: the append-only record of a run, and the only source of every report.
//!
//! JSON Lines; each line carries its number and the SHA-256 of the previous line's exact bytes.
//! [`event`] holds what can be recorded; `writer` makes it durable; `reader` tolerates a torn tail
//! and refuses a broken chain; `runs` finds runs on disk. Nothing but the store assumes a local disk.

pub mod event;

pub use event::{Event, Line, Mark, Measured, Mode, Phase, StopCause, Verdict};
