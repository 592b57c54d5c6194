//! The engine: carries a plan out, records it, and measures the recovery.
//!
//! Pure: [`state`] (a fold of the journal), [`decide`] (what comes next), [`steady_state`],
//! [`recovery`] (the clock), [`stop`], [`verdict`], [`rollup`], [`secrets`], [`strangers`], [`unended`]. They read no clock and send nothing.
//! What acts lives beside: [`driver`] turns the world into events and decisions into tasks; [`gate`]
//! is the only way to change something, `programs` to run a local program, `reading` how it looks; [`recorder`] the only way to record; [`requests`] is where people
//! are heard, `control` the terminal. Start with [`decide`].

mod accept;
mod aws_clock;
mod calls;
mod contexts;
mod control;
pub mod decide;
pub mod driver;
pub mod gate;
mod gathered;
mod gathered_health;
mod history;
mod hold;
mod holders;
pub mod kill_switch;
mod lockout;
pub mod needs;
mod outlook;
mod pace;
mod perform;
mod place;
mod preflight;
mod probing;
mod programs;
mod reading;
pub mod recorder;
pub mod recovery;
mod redaction;
pub mod requests;
pub mod rollup;
#[doc(hidden)]
pub mod sabotage;
pub mod secrets;
pub mod setup;
mod standstill;
pub mod state;
pub mod steady_state;
pub mod stop;
pub mod strangers;
mod task;
#[cfg(test)]
mod testing;
mod undone;
pub mod unended;
pub mod verdict;

pub use accept::Accepted;
pub use control::Control;
pub use driver::{Ended, EngineError, Operator, People, Setup, run};
pub use outlook::STEADY_STATE;
pub use recorder::Watcher;
pub use redaction::told;
