//! The evidence bundle: the folder that is handed to an auditor. Pure; files in, files out.
//!
//! Every file is a subject of one signed statement, except those that carry its signature; those have
//! one byte form each. The same run gives the same files. `verify` checks a folder offline and says
//! what that proves.

pub mod verify;
mod words;

use std::collections::BTreeMap;

use crate::evidence::Record;
use crate::evidence::dsse::Envelope;
use crate::evidence::keys::PublicKey;
use crate::evidence::statement::{self, Statement};
use crate::report;

/// The journal.
pub const JOURNAL: &str = "journal.jsonl";
/// The plan.
pub const PLAN: &str = "plan.json";
/// The drill file as it was run.
pub const DRILL: &str = "drill.yaml";
/// The record.
pub const REPORT: &str = "report.json";
/// The newest checkpoint.
pub const CHECKPOINT: &str = "checkpoint.txt";
/// All checkpoints.
pub const CHECKPOINTS: &str = "checkpoints.txt";
/// The key that signed the checkpoints.
pub const CHECKPOINT_KEY: &str = "checkpoint.pub";
/// The key that signed the statement.
pub const KEY: &str = "signing.pub";
/// The signed statement.
pub const ENVELOPE: &str = "attestation.dsse.json";
/// The same as a Sigstore bundle.
pub const SIGSTORE: &str = "attestation.sigstore.json";
/// How to check it without redrill.
pub const VERIFY: &str = "VERIFY.md";
/// What people added after the run.
pub const ANNOTATIONS: &str = "annotations.jsonl";
/// Files that carry the statement's signature and can be no subjects of it.
pub const SIGNATURES: [&str; 2] = [ENVELOPE, SIGSTORE];

/// Files by name.
pub type Files = BTreeMap<String, Vec<u8>>;

/// What the run's folder holds for the bundle.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// `journal.jsonl`, `plan.json`, `drill.yaml`, checkpoints with their key, sign-offs with theirs,
    /// annotations: whatever there is, under the names they have in the bundle.
    pub files: Files,
}

/// The files that a reviewer signs off.
pub fn reviewed(files: &Files) -> Files {
    let names = [JOURNAL, PLAN, DRILL];
    names.iter().filter_map(|n| Some(((*n).to_owned(), files.get(*n)?.clone()))).collect()
}

/// All files but those that carry the signature.
pub fn content(record: &Record, sources: &Sources, key: &PublicKey) -> Files {
    let mut files = sources.files.clone();
    let checkpoints = files.get(CHECKPOINT_KEY).and_then(|pem| std::str::from_utf8(pem).ok());
    let checkpoints = checkpoints.and_then(|pem| PublicKey::from_pem(pem).ok());
    let mut put = |name: &str, text: String| files.insert(name.to_owned(), text.into_bytes());
    put(REPORT, report::json::report(record));
    put("report.schema.json", report::json::schema());
    put("report.md", report::markdown::report(&record.run));
    put("report.html", report::html::report(record));
    put(KEY, key.to_pem());
    put(VERIFY, words::verify_md(record, key, checkpoints.as_ref()));
    files.retain(|_, bytes| !bytes.is_empty());
    files
}

/// The statement about these files.
pub fn statement(record: &Record, files: &Files) -> Statement {
    statement::test_result(record, files)
}

/// The bundle: the content and what carries its signature.
pub fn sealed(mut files: Files, envelope: &Envelope) -> Files {
    files.insert(ENVELOPE.to_owned(), envelope.to_bytes());
    files.insert(SIGSTORE.to_owned(), envelope.sigstore(&[]));
    files
}
