//! The one integration binary: each further one would link everything again.

mod absence;
mod architecture;
mod bench;
mod catalog;
mod cli;
mod conformance;
mod crash;
mod dependencies;
#[cfg(feature = "aws")]
mod emulator;
mod engine_accept;
mod engine_edges;
mod engine_holders;
mod engine_journal;
mod engine_needs;
mod engine_programs;
mod engine_rails;
mod engine_requests;
mod engine_stalls;
mod engine_stays;
mod engine_stops;
mod engine_time;
mod engine_undo;
mod engine_wire;
mod fuzz;
mod generated;
mod golden;
mod hostile_database;
mod play;
mod postgres;
mod programs;
mod readme;
mod shipped;
mod sweep;
mod world;
