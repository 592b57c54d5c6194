//! What a run proves, and how that can be checked: the record, controls, findings, signatures.
//!
//! The [`record::Record`] is everything that auditors ask for in one place; every report, form and
//! export is made from it and from nothing else. It is computed from the journal and the plan, so the
//! same run gives the same record. Nothing here writes files; `report` makes the texts and pictures,
//! `bundle` the folder.

pub mod approval;
pub mod build;
pub mod checkpoint;
pub mod clocks;
pub mod controls;
pub mod dsse;
pub mod exports;
pub mod findings;
mod gaps;
pub mod keys;
pub mod merkle;
pub mod oscal;
pub mod receipt;
pub mod record;
mod result;
pub mod review;
pub mod statement;
mod text;
pub mod timestamp;
pub mod trail;

pub use build::{Material, Settings, record};
pub use record::Record;

use uuid::Uuid;

/// The name space of every UUID (version 5) that redrill derives, so that the same run gives the same.
pub const NAMESPACE: Uuid = Uuid::from_u128(0x6b1d_5c0e_4f6a_5b0e_9d57_2f1f_0a4d_8c31);

#[cfg(test)]
pub(crate) mod tests;
