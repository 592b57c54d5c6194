//! redrill: AWS disaster-recovery drills with a measured recovery clock.
//!
//! Data flows one way: drill file → [`plan`] → [`engine`] → [`journal`] → [`view`] → every output.
//! Pure modules decide, thin ones act. What may import what; `tests/it/architecture.rs` reads this
//! table and fails on any other import:
//!
//! ```text
//! model      nothing
//! cloud      model
//! catalog    cloud model
//! drill      catalog model
//! inventory  catalog cloud drill model
//! plan       catalog cloud drill inventory model
//! journal    model
//! engine     catalog cloud drill journal model plan
//! view       journal model
//! evidence   catalog drill journal model plan view
//! report     catalog drill evidence journal model plan view
//! bundle     engine evidence journal model plan report view
//! publish    bundle cloud evidence model
//! aws        cloud model net
//! sim        cloud model
//! net        cloud model
//! sandbox    nothing
//! sweep      catalog cloud drill inventory model
//! cli        everything
//! main       cli
//! ```
//!
//! `aws`, `sim` and `net` implement the traits of `cloud`; `cli` picks among them and passes one in.
//! `bundle` knows the pure parts of `engine` (`recovery`, `state`, `verdict`, `setup`): whoever verifies a
//! bundle judges the run again, by the same code that judged it first.
//! `report` knows `catalog`, `drill` and `plan` because a plan is shown before there is a run.
//!
//! `drill`, `plan::{again, limits, lint, drift, file}`, `view` and `engine::{state, decide, recovery,
//! steady_state, stop, unended, verdict, rollup, setup}` are synchronous and do no I/O. Only `aws` names an
//! SDK type; only `cli` writes to the terminal (`report` makes the text); only `model::time` reads a
//! clock. The same test keeps all of this true.

#[cfg(feature = "aws")]
pub mod aws;
pub mod bundle;
pub mod catalog;
pub mod cli;
pub mod cloud;
pub mod drill;
pub mod engine;
pub mod evidence;
pub mod inventory;
pub mod journal;
pub mod model;
pub mod net;
pub mod plan;
pub mod publish;
pub mod report;
pub mod sandbox;
pub mod sim;
pub mod sweep;
pub mod view;
