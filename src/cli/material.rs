//! What the record of a run on disk is made of, read from its folder.

use super::{CliError, session};
use crate::evidence::review::Annotation;
use crate::evidence::{Material, Record, record};
use crate::journal::runs::{self, RunDir, RunsError};
use crate::journal::{Line, reader};
use crate::plan::Plan;

/// The file with what people added after the run.
pub const ANNOTATIONS: &str = "annotations.jsonl";

/// A run's folder, read.
pub struct Folder {
    /// The journal's bytes up to its last whole line.
    pub journal: Vec<u8>,
    /// Its lines.
    pub lines: Vec<Line>,
    /// The plan, where it is there.
    pub plan: Option<Plan>,
    annotations: Vec<Annotation>,
}

impl Folder {
    /// Reads a run's folder.
    ///
    /// # Errors
    /// Where the journal cannot be trusted, or a file is there that cannot be read.
    pub fn read(dir: &RunDir) -> Result<Self, CliError> {
        let mut journal = optional(dir, runs::JOURNAL)?.unwrap_or_default();
        // a torn line never happened, as far as evidence goes
        journal.truncate(journal.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1));
        let lines = reader::read(&journal).map_err(|e| session::broken(dir, e))?.lines;
        let plan = match optional(dir, runs::PLAN)? {
            Some(_) => Some(session::read_plan(dir)?),
            None => None,
        };
        let mut annotations = Vec::new();
        for line in optional(dir, ANNOTATIONS)?.unwrap_or_default().split(|b| *b == b'\n') {
            if !line.is_empty() {
                let note = serde_json::from_slice(line).map_err(|e| {
                    CliError::usage(format!("{ANNOTATIONS} of run {} cannot be read", dir.id())).because(e)
                })?;
                annotations.push(note);
            }
        }
        Ok(Self { journal, lines, plan, annotations })
    }

    /// The record.
    pub fn record(&self) -> Record {
        record(&Material {
            lines: &self.lines,
            journal: &self.journal,
            plan: self.plan.as_ref(),
            sign_offs: &[],
            annotations: &self.annotations,
            checkpoints: 0,
            frameworks: &[],
            reconciliation: None,
            publication: None,
        })
    }
}

/// A file of the folder, if it is there.
pub fn optional(dir: &RunDir, name: &str) -> Result<Option<Vec<u8>>, CliError> {
    match dir.read(name) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(RunsError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(CliError::usage(format!("{name} of run {} cannot be read", dir.id())).because(e)),
    }
}
