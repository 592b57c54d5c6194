//! redrill: AWS disaster-recovery drills with a measured recovery clock.
//!
//! Data flows one way: drill file → [`plan`] → [`engine`] → [`journal`] → [`view`] → every output.
//! Pure modules decide, thin ones act. What may import what:
//!
//! ```text
//! main ─► cli ─► report ─► view ─► journal ─► model
//!          │
//!          ▼
//!        engine ─► { plan, journal, catalog, cloud }
//!        plan ─► { drill, catalog, inventory }      inventory ─► { drill, cloud }
//!        drill ─► { model, catalog specs }          catalog ─► { model, cloud }
//!        aws, sim, net implement cloud              cli picks one and passes it in
//! ```
//!
//! `drill`, `plan::{limits, lint, drift}`, `engine::{state, recovery, steady_state, stop}` and
//! `view` are synchronous and do no I/O. Only `aws` names an SDK type; only `cli` and `report`
//! write output; only `model::time` reads a clock. `tests/it/architecture.rs` keeps this true.

#[cfg(feature = "aws")]
pub mod aws;
pub mod catalog;
pub mod cli;
pub mod cloud;
pub mod drill;
pub mod engine;
pub mod inventory;
pub mod journal;
pub mod model;
pub mod net;
pub mod plan;
pub mod report;
pub mod sandbox;
pub mod sim;
pub mod view;
