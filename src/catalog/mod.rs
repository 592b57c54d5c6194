//! The catalogue: every action and every probe, each one file and one line here.
//!
//! The schema, the IAM policy, the catalogue page and the crash harness are derived from these two
//! slices; `tests/it/catalog.rs` walks them and fails on anything half-described. Actions and
//! probes see the world only through [`crate::cloud`]; they neither journal nor retry.

pub mod action;
pub mod actions;
pub mod iam;
pub mod kind;
pub mod kinds;
pub mod probe;
pub mod probes;

pub use action::{
    Action, ActionError, ActionSpec, After, Applied, Batch, Calls, DynAction, Finding, Gate, Of, OutputSpec,
    Outputs, Permissions, Prepared, Programs, Progress, ReadCx, Reversibility, SentCall, Severity, StageRule,
    Stray, Undone, WriteCx,
};
pub use probe::{DynProbe, Health, Need, Probe, ProbeSpec, Reading};

/// The action of that name.
pub fn action(name: &str) -> Option<&'static dyn DynAction> {
    actions::ACTIONS.iter().copied().find(|a| a.spec().name == name)
}

/// The probe of that name.
pub fn probe(name: &str) -> Option<&'static dyn DynProbe> {
    probes::PROBES.iter().copied().find(|p| p.spec().name == name)
}
