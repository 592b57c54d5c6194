//! The evidence bundle: the folder that is handed to an auditor. Pure; files in, files out.
//!
//! Every file is a subject of one signed statement, except those that carry its signature and what comes
//! after it (`seal`); those have one byte form each. The same run gives the same files. `verify` checks a folder offline and says
//! what that proves.

mod judged;
pub mod published;
pub mod seal;
mod trail_check;
pub mod verify;
mod words;

use std::collections::BTreeMap;

use crate::evidence::Record;
use crate::evidence::dsse::Envelope;
use crate::evidence::keys::PublicKey;
use crate::evidence::statement::{self, Statement};
use crate::evidence::{Settings, approval, exports, oscal, review, trail};
use crate::model::text::escaped;
use crate::report;

/// The journal.
pub const JOURNAL: &str = "journal.jsonl";
/// The plan.
pub const PLAN: &str = "plan.json";
/// The drill file as it was run.
pub const DRILL: &str = "drill.yaml";
/// The record.
pub const REPORT: &str = "report.json";
/// The report on paper.
pub const PDF: &str = "report.pdf";
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
/// A timestamp authority's answer to the signature: `TimeStampResp` in DER.
pub const TIMESTAMP: &str = "timestamp.tsr";
/// The signed statement about that.
pub const SEAL: &str = "seal.dsse.json";
/// How to check it without redrill.
pub const VERIFY: &str = "VERIFY.md";
/// What of `redrill.toml` the record depends on.
pub const SETTINGS: &str = "settings.json";
/// What people added after the run.
pub const ANNOTATIONS: &str = "annotations.jsonl";
const ASSESSMENT_PLAN: &str = "assessment-plan.json";
const ASSESSMENT_RESULTS: &str = "assessment-results.json";
/// Files that carry the statement's signature, or come after it, and can be no subjects of it.
pub const SIGNATURES: [&str; 4] = [ENVELOPE, SIGSTORE, TIMESTAMP, SEAL];

/// Whether a file is one that the others are made of.
pub fn is_source(name: &str) -> bool {
    [JOURNAL, PLAN, DRILL, ANNOTATIONS, CHECKPOINT, CHECKPOINTS, CHECKPOINT_KEY, SETTINGS, trail::FILE]
        .contains(&name)
        || name.starts_with(review::NAME)
        || name.starts_with(approval::NAME)
        || name.starts_with(trail::proof::NAME)
}

/// The settings as they stand in a bundle; none where they say nothing.
pub fn settings(settings: &Settings) -> Option<Vec<u8>> {
    let text = serde_json::to_string_pretty(settings).ok().filter(|_| *settings != Settings::default())?;
    Some((escaped(&text) + "\n").into_bytes())
}

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

/// Why a bundle cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The PDF.
    #[error("the PDF cannot be made: {0}")]
    Pdf(String),
}

/// All files but those that carry the signature.
///
/// # Errors
/// When the PDF cannot be set.
pub fn content(record: &Record, sources: &Sources, key: &PublicKey) -> Result<Files, BundleError> {
    with_pdf(record, texts(record, sources, key))
}

/// The same without the PDF.
pub fn texts(record: &Record, sources: &Sources, key: &PublicKey) -> Files {
    let mut files = sources.files.clone();
    let checkpoints = files.get(CHECKPOINT_KEY).and_then(|pem| std::str::from_utf8(pem).ok());
    let checkpoints = checkpoints.and_then(|pem| PublicKey::from_pem(pem).ok());
    let digests = files.iter().map(|(name, bytes)| (name.clone(), statement::digest(bytes))).collect();
    let mut put = |name: &str, text: String| files.insert(name.to_owned(), text.into_bytes());
    put(REPORT, report::json::report(record));
    put("report.schema.json", report::json::schema());
    put("report.html", report::html::report(record));
    put("report.md", report::markdown::report(record));
    for form in report::forms::Form::ALL {
        put(&format!("form-{}.md", form.name()), report::forms::fill(form, record));
    }
    put(ASSESSMENT_PLAN, oscal::assessment_plan(record, &digests));
    put(ASSESSMENT_RESULTS, oscal::assessment_results(record, &digests));
    // without findings there is none: OSCAL knows no empty one
    put("plan-of-action-and-milestones.json", oscal::action_plan(record, &digests).unwrap_or_default());
    put("junit.xml", exports::junit(record));
    put("ocsf.json", exports::ocsf(record));
    put("asff.json", exports::asff(record));
    put("vanta.csv", exports::vanta(record));
    put("drata.json", exports::drata(record));
    put(KEY, key.to_pem());
    put(VERIFY, words::verify_md(record, key, checkpoints.as_ref()));
    files.retain(|_, bytes| !bytes.is_empty());
    files
}

/// With the PDF, and what machines read attached to it.
///
/// # Errors
/// When it cannot be set.
#[cfg(feature = "pdf")]
pub fn with_pdf(record: &Record, mut files: Files) -> Result<Files, BundleError> {
    let attached = [
        (REPORT, "application/json"),
        (JOURNAL, "application/jsonl"),
        (PLAN, "application/json"),
        (DRILL, "application/yaml"),
        (ASSESSMENT_PLAN, "application/json"),
        (ASSESSMENT_RESULTS, "application/json"),
    ];
    let attached: Vec<_> = attached
        .into_iter()
        .filter_map(|(name, kind)| Some((name.to_owned(), kind, files.get(name)?.clone())))
        .collect();
    let pdf = report::pdf::report(record, &attached).map_err(|e| BundleError::Pdf(e.to_string()))?;
    files.insert(PDF.to_owned(), pdf);
    Ok(files)
}

/// Without the feature `pdf` there is none.
///
/// # Errors
/// None; the same shape as with the feature.
#[cfg(not(feature = "pdf"))]
pub fn with_pdf(_record: &Record, files: Files) -> Result<Files, BundleError> {
    Ok(files)
}

/// The statement about these files.
pub fn statement(record: &Record, files: &Files) -> Statement {
    statement::test_result(record, files)
}

/// What comes after the signature.
#[derive(Clone, Debug)]
pub struct Stamp {
    /// The authority's answer.
    pub response: Vec<u8>,
    /// The seal over it: [`seal::statement`], signed by the same key.
    pub seal: Envelope,
}

/// The bundle: the content and what carries its signature.
pub fn sealed(mut files: Files, envelope: &Envelope, stamp: Option<&Stamp>) -> Files {
    let responses: Vec<Vec<u8>> = stamp.iter().map(|s| s.response.clone()).collect();
    files.insert(ENVELOPE.to_owned(), envelope.to_bytes());
    files.insert(SIGSTORE.to_owned(), envelope.sigstore(&responses));
    if let Some(stamp) = stamp {
        files.insert(TIMESTAMP.to_owned(), stamp.response.clone());
        files.insert(SEAL.to_owned(), stamp.seal.to_bytes());
    }
    files
}
