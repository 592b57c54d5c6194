//! Records of made-up runs, shared by the tests of everything that is made from a record.

use super::{Material, Record, record};
use crate::journal::Line;

/// The record of these lines, without a plan.
pub(crate) fn record_of(lines: &[Line]) -> Record {
    let mut journal = Vec::new();
    for line in lines {
        journal.extend(serde_json::to_vec(line).expect("a line serialises"));
        journal.push(b'\n');
    }
    record(&Material {
        lines,
        journal: &journal,
        plan: None,
        sign_offs: &[],
        annotations: &[],
        checkpoints: 0,
        frameworks: &[],
        follow_up: &Default::default(),
        reconciliation: None,
        publication: None,
    })
}
