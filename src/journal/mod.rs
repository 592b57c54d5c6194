//! The journal: the append-only record of a run, and the only source of every report.
//!
//! JSON Lines; each line carries its number and the SHA-256 of the previous line's exact bytes.
//! [`event`] holds what can be recorded; `writer` makes it durable; `reader` tolerates a torn tail
//! and refuses a broken chain; `runs` finds runs on disk; `inbox` holds what people ask of one. Nothing
//! but the store assumes a local disk.

pub mod chain;
pub mod event;
pub mod inbox;
pub mod reader;
pub mod runs;
pub mod writer;

pub use event::{Asked, Event, Gap, Line, Mark, Measured, Mode, Phase, PhaseTime, StopCause, Verdict};
pub use inbox::{Inbox, Left, Request};
pub use reader::{Read, ReadError, read};
pub use writer::{FileJournal, Journal, JournalError, MemoryJournal};

/// What stands for the hash of the line before the first.
pub const NO_PREVIOUS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// SHA-256 (hex) of a line's bytes, without its newline.
pub fn line_hash(line: &[u8]) -> String {
    use sha2::{Digest as _, Sha256};
    Sha256::digest(line).iter().map(|b| format!("{b:02x}")).collect()
}
