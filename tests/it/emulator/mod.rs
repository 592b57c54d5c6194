//! The real binary against the emulator, over the wire.
//!
//! Each test has an emulator of its own that dies with it, an empty environment and a home of its
//! own, and compares the world before and after through the emulator's control pages. Nothing waits
//! for a time that could wait for an event.

mod budgets;
mod cases;
mod crashes;
mod doctor;
mod drills;
mod endpoint;
mod exit_codes;
mod fleet;
mod iam;
mod inbox;
mod plain;
mod programs;
mod publish;
mod rails;
mod reconcile;
mod shipped;
mod shows_every_behaviour;
mod signals;
mod stalls;
mod standing_alone;
mod wire;
mod world;
