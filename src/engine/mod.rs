//! The engine: carries a plan out, records it, and measures the recovery.
//!
//! [`steady_state`], [`recovery`] and [`rollup`] are pure: they fold observations and journal lines
//! and read no clock. Whatever acts on the world lives beside them and asks them.

mod history;
pub mod recovery;
pub mod rollup;
pub mod steady_state;
