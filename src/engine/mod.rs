//! The engine: carries a plan out, records it, and measures the recovery.
//!
//! [`steady_state`] is pure: it folds observations and journal lines and reads no clock. Whatever
//! acts on the world lives beside it and asks it.

pub mod steady_state;
