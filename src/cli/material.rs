//! What the record of a run on disk is made of, read from its folder.

use super::config::Config;
use super::{CliError, checkpoints, session};
use crate::bundle::{self, Files};
use crate::evidence::approval;
use crate::evidence::checkpoint::notes;
use crate::evidence::keys::PublicKey;
use crate::evidence::record::SignOff;
use crate::evidence::review::{self, Annotation};
use crate::evidence::statement::digest;
use crate::evidence::{Material, Record, receipt, record, trail};
use crate::journal::runs::{self, RunDir, RunsError};
use crate::journal::{Line, reader};
use crate::plan::Plan;
use crate::view::RunView;

/// What is said of a journal that does not fit its checkpoints.
pub fn unsigned(dir: &RunDir) -> String {
    format!("the journal of run {} is not the one that its checkpoints signed", dir.id())
}

/// A run's folder, read.
pub struct Folder {
    /// The journal's bytes up to its last whole line.
    pub journal: Vec<u8>,
    /// Its lines.
    pub lines: Vec<Line>,
    /// The plan, where it is there.
    pub plan: Option<Plan>,
    files: Files,
    annotations: Vec<Annotation>,
    sign_offs: Vec<SignOff>,
    checkpoints: usize,
    reconciliation: Option<serde_json::Value>,
    publication: Option<serde_json::Value>,
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
        // the last line is under no other hash
        checkpoints::fit(dir).map_err(|e| {
            CliError::usage(unsigned(dir))
                .because(e)
                .hint("it was cut or changed since: take the newest copy of the run's folder")
                .hint(format!("what it says now: redrill show {}", dir.id()))
        })?;
        let plan = match optional(dir, runs::PLAN)? {
            Some(_) => Some(session::read_plan(dir)?),
            None => None,
        };
        let mut files = Files::new();
        for name in
            [bundle::DRILL, bundle::PLAN, bundle::ANNOTATIONS, bundle::CHECKPOINTS, bundle::CHECKPOINT_KEY]
        {
            if let Some(bytes) = optional(dir, name)? {
                files.insert(name.to_owned(), bytes);
            }
        }
        files.insert(bundle::JOURNAL.to_owned(), journal.clone());
        files.extend(numbered(dir, review::NAME)?);
        for number in 1.. {
            let name = format!("{}{number}.json", approval::NAME);
            let Some(bytes) = optional(dir, &name)? else { break };
            files.insert(name, bytes);
        }
        let bad = |what: &str| CliError::usage(format!("{what} of run {} cannot be used", dir.id()));
        let annotations = files.get(bundle::ANNOTATIONS).map_or(Ok(Vec::new()), |b| review::annotations(b));
        let annotations = annotations.map_err(|e| bad(bundle::ANNOTATIONS).because(e))?;
        let signer = optional(dir, bundle::KEY)?;
        let signer = signer.and_then(|pem| PublicKey::from_pem(&String::from_utf8_lossy(&pem)).ok());
        let signer = signer.map(|k| k.fingerprint());
        let view = RunView::of(&lines);
        let listed = plan.as_ref().map_or(&[][..], |p: &Plan| &p.house.approvers);
        let reviewed = bundle::reviewed(&files);
        let sign_offs = review::sign_offs(&files, &reviewed, &view, signer.as_deref(), listed);
        let sign_offs = sign_offs.map_err(|e| bad("a sign-off").because(e))?;
        let notes = files.get(bundle::CHECKPOINTS).map(|b| notes(&String::from_utf8_lossy(b)));
        if let Some(last) = notes.as_ref().and_then(|n| n.last()) {
            files.insert(bundle::CHECKPOINT.to_owned(), last.clone().into_bytes());
        }
        let checkpoints = notes.map_or(0, |n| n.len());
        let mut reconciliation = None;
        if let Some(bytes) = optional(dir, trail::FILE)? {
            reconciliation = trail::of_run(&bytes, &lines).map_err(|e| bad(trail::FILE).because(e))?;
            files.extend(reconciliation.is_some().then(|| (trail::FILE.to_owned(), bytes)));
        }
        for name in super::reconcile::trail_files(dir).into_iter().filter(|_| reconciliation.is_some()) {
            files.extend(optional(dir, &name)?.map(|bytes| (name, bytes)));
        }
        let receipts = numbered(dir, receipt::NAME)?;
        let published = receipt::newest(&receipts, dir.id().as_str(), view.header.as_ref().map(|h| h.world));
        let publication = published.map_err(|e| bad("a receipt").because(e))?.and_then(|p| p.summary());
        Ok(Self {
            journal,
            lines,
            plan,
            files,
            annotations,
            sign_offs,
            checkpoints,
            reconciliation,
            publication,
        })
    }

    /// The run's files, under the names they have in a bundle.
    ///
    /// # Errors
    /// Where the plan or the drill is missing: a bundle without them proves little.
    pub fn sources(&self, dir: &RunDir) -> Result<Files, CliError> {
        for name in [bundle::PLAN, bundle::DRILL] {
            if !self.files.contains_key(name) {
                return Err(CliError::usage(format!(
                    "run {} has no {name}; there is no bundle without it",
                    dir.id()
                ))
                .hint("restore the run's folder from a copy"));
            }
        }
        Ok(self.files.clone())
    }

    /// How many sign-offs there are.
    pub fn sign_off_count(&self) -> usize {
        self.sign_offs.len()
    }

    /// The hash of the newest sign-off's file.
    pub fn last_sign_off(&self) -> Option<String> {
        let name = format!("{}{}.dsse.json", review::NAME, self.sign_off_count());
        self.files.get(&name).map(|bytes| digest(bytes))
    }

    /// What people added after the run.
    pub fn annotations(&self) -> &[Annotation] {
        &self.annotations
    }

    /// The record, with the controls and defaults of the configuration.
    pub fn record(&self, config: &Config) -> Record {
        self.recorded(config, self.publication.as_ref())
    }

    /// The record as it goes into a bundle, which cannot speak of its own copy.
    pub fn bundled(&self, config: &Config) -> Record {
        self.recorded(config, None)
    }

    fn recorded(&self, config: &Config, publication: Option<&serde_json::Value>) -> Record {
        record(&Material {
            lines: &self.lines,
            journal: &self.journal,
            plan: self.plan.as_ref(),
            sign_offs: &self.sign_offs,
            annotations: &self.annotations,
            checkpoints: self.checkpoints,
            frameworks: &config.frameworks,
            follow_up: &config.exercise,
            reconciliation: self.reconciliation.as_ref(),
            publication,
            timestamp_authority: config.evidence.timestamp_authority.as_deref(),
        })
    }
}

/// Envelopes and their keys: a name, a number from 1, `.dsse.json` or `.pub`.
pub fn numbered(dir: &RunDir, name: &str) -> Result<Files, CliError> {
    let mut files = Files::new();
    // all that is there, also what stands behind a gap: whoever reads them refuses one
    let there = std::fs::read_dir(dir.path()).into_iter().flatten().flatten();
    let number = |file: std::ffi::OsString| {
        file.to_str()?.strip_prefix(name)?.strip_suffix(".dsse.json")?.parse::<u32>().ok()
    };
    let highest = there.filter_map(|e| number(e.file_name())).max().unwrap_or(0);
    for number in 1..=highest {
        let names = ["dsse.json", "pub"].map(|end| format!("{name}{number}.{end}"));
        let Some(envelope) = optional(dir, &names[0])? else { continue };
        files.extend(optional(dir, &names[1])?.map(|key| (names[1].clone(), key)));
        files.insert(names[0].clone(), envelope);
    }
    Ok(files)
}

/// A file of the folder, if it is there.
pub fn optional(dir: &RunDir, name: &str) -> Result<Option<Vec<u8>>, CliError> {
    match dir.read(name) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(RunsError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(CliError::usage(format!("{name} of run {} cannot be read", dir.id())).because(e)),
    }
}
