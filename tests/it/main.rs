//! The one integration binary: each further one would link everything again.

mod bench;
mod conformance;
mod crash;
#[cfg(feature = "aws")]
mod emulator;
mod engine_stops;
mod engine_time;
mod engine_undo;
mod play;
mod shipped;
mod world;
