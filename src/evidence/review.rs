//! What people add to a finished run: sign-offs, and who follows a finding up. Pure data.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

use super::dsse::{DsseError, Envelope};
use super::keys::{KeyError, PublicKey};
use super::record::{FindingSeverity, SignOff};
use super::statement::{SIGN_OFF, STATEMENT, SignOffPredicate, Statement, subjects};
use crate::model::RunId;
use crate::view::RunView;

/// One line of `annotations.jsonl` in the run's folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Annotation {
    /// A finding that a person adds.
    Remark {
        /// When (UTC).
        at: DateTime<Utc>,
        /// Who.
        by: String,
        /// How bad.
        severity: FindingSeverity,
        /// What.
        text: String,
    },
    /// Who follows a finding up; each given field replaces what was there.
    FollowUp {
        /// When (UTC).
        at: DateTime<Utc>,
        /// Who says so.
        by: String,
        /// The finding.
        finding: String,
        /// Who has to see to it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        owner: Option<String>,
        /// By when.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        due: Option<NaiveDate>,
        /// Where.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ticket: Option<String>,
    },
    /// A remark is dealt with, as a later run shows. What redrill sees itself is closed by evidence alone.
    Close {
        /// When (UTC).
        at: DateTime<Utc>,
        /// Who says so.
        by: String,
        /// The finding.
        finding: String,
        /// The later run of the same drill in the same place; it has to have passed.
        run: RunId,
    },
}

/// Reads `annotations.jsonl`.
///
/// # Errors
/// Where a line is none.
pub fn annotations(bytes: &[u8]) -> Result<Vec<Annotation>, serde_json::Error> {
    bytes.split(|b| *b == b'\n').filter(|l| !l.is_empty()).map(serde_json::from_slice).collect()
}

/// The beginning of the names of sign-offs: then a number from 1, then `.dsse.json` or `.pub`.
pub const NAME: &str = "sign-off-";

/// Why a sign-off does not count.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReviewError {
    /// A file is missing or no text.
    #[error("{0} is missing or no text")]
    Missing(String),
    /// The key.
    #[error("{0}: {1}")]
    Key(String, KeyError),
    /// The envelope.
    #[error("{0}: {1}")]
    Envelope(String, DsseError),
    /// It is about something else.
    #[error("{0} is not about this run as it is")]
    Other(String),
}

/// The sign-offs among these files, oldest first, each with a signature that fits and about exactly
/// the reviewed files (journal, plan, drill).
///
/// # Errors
/// Where one does not hold: a sign-off that cannot be trusted is never passed over.
pub fn sign_offs(
    files: &BTreeMap<String, Vec<u8>>,
    reviewed: &BTreeMap<String, Vec<u8>>,
    run: &RunView,
    signer: Option<&str>,
) -> Result<Vec<SignOff>, ReviewError> {
    let mut out = Vec::new();
    for number in 1.. {
        let (envelope, key) = (format!("{NAME}{number}.dsse.json"), format!("{NAME}{number}.pub"));
        let Some(bytes) = files.get(&envelope) else { break };
        let pem = files.get(&key).and_then(|b| std::str::from_utf8(b).ok());
        let public = PublicKey::from_pem(pem.ok_or_else(|| ReviewError::Missing(key.clone()))?)
            .map_err(|e| ReviewError::Key(key, e))?;
        let bad = |e| ReviewError::Envelope(envelope.clone(), e);
        let payload = Envelope::from_bytes(bytes).and_then(|e| e.verify(&public)).map_err(bad)?;
        out.push(read(&payload, reviewed, run, &public, signer).ok_or(ReviewError::Other(envelope))?);
    }
    Ok(out)
}

fn read(
    payload: &[u8],
    reviewed: &BTreeMap<String, Vec<u8>>,
    run: &RunView,
    key: &PublicKey,
    signer: Option<&str>,
) -> Option<SignOff> {
    let statement: Statement = serde_json::from_slice(payload).ok()?;
    let said: SignOffPredicate = serde_json::from_value(statement.predicate).ok()?;
    let about_this = statement.kind == STATEMENT
        && statement.predicate_type == SIGN_OFF
        && statement.subject == subjects(reviewed)
        && Some(said.run.as_str()) == run.header.as_ref().map(|h| h.run.as_str())
        && ["accepted", "rejected"].contains(&said.decision.as_str());
    if !about_this {
        return None;
    }
    let runner =
        run.processes.iter().any(|p| said.operator == format!("{}@{}", p.user, p.host) || said.by == p.user);
    Some(SignOff {
        independent: !runner && Some(key.fingerprint().as_str()) != signer,
        by: said.by,
        at: said.at,
        decision: said.decision,
        note: said.note,
        key: key.fingerprint(),
    })
}
