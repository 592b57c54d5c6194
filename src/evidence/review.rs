//! What people add to a finished run: sign-offs, and who follows a finding up. Pure data.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

use super::dsse::{DsseError, Envelope};
use super::keys::{KeyError, PublicKey};
use super::record::{FindingSeverity, SignOff};
use super::statement::{SIGN_OFF, STATEMENT, SignOffPredicate, Statement, digest, subjects};
use crate::model::RunId;
use crate::plan::house::Approver;
use crate::view::RunView;

/// One line of `annotations.jsonl` in the run's folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Annotation {
    /// A finding that a person adds.
    Remark {
        /// When (UTC).
        #[serde(deserialize_with = "crate::model::bounded::time")]
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
        #[serde(deserialize_with = "crate::model::bounded::time")]
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
        #[serde(deserialize_with = "crate::model::bounded::time")]
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
    /// The one before it is another one.
    #[error("{0} was made after another sign-off than the one before it here")]
    Chain(String),
    /// It is about something else.
    #[error("{0} is not about this run as it is")]
    Other(String),
}

/// The sign-offs among these files, oldest first, independent only with a key that the rules `listed` before the
/// run; each with a signature that fits and about exactly
/// the reviewed files (journal, plan, drill), and each about the one before it.
///
/// # Errors
/// Where one does not hold: a sign-off that cannot be trusted is never passed over.
pub fn sign_offs(
    files: &BTreeMap<String, Vec<u8>>,
    reviewed: &BTreeMap<String, Vec<u8>>,
    run: &RunView,
    signer: Option<&str>,
    listed: &[Approver],
) -> Result<Vec<SignOff>, ReviewError> {
    let mut out = Vec::new();
    let mut previous: Option<String> = None;
    for number in 1.. {
        let (envelope, key) = (format!("{NAME}{number}.dsse.json"), format!("{NAME}{number}.pub"));
        let Some(bytes) = files.get(&envelope) else {
            // numbers have no gaps: what follows one is not passed over
            let above = |name: &&String| name.starts_with(NAME) && !counted(name, number);
            return match files.keys().find(above) {
                Some(_) => Err(ReviewError::Missing(envelope)),
                None => Ok(told_apart(out)),
            };
        };
        let pem = files.get(&key).and_then(|b| std::str::from_utf8(b).ok());
        let public = PublicKey::from_pem(pem.ok_or_else(|| ReviewError::Missing(key.clone()))?)
            .map_err(|e| ReviewError::Key(key, e))?;
        let bad = |e| ReviewError::Envelope(envelope.clone(), e);
        let payload = Envelope::from_bytes(bytes).and_then(|e| e.verify(&public)).map_err(bad)?;
        let (said, sign_off) = read(&payload, reviewed, run, &public, signer, listed)
            .ok_or(ReviewError::Other(envelope.clone()))?;
        if said.previous != previous {
            return Err(ReviewError::Chain(envelope));
        }
        previous = Some(digest(bytes));
        out.push(sign_off);
    }
    Ok(out)
}

/// A key that signed where the drill ran is known there: none of its sign-offs is independent.
fn told_apart(mut all: Vec<SignOff>) -> Vec<SignOff> {
    let known: BTreeSet<String> = all.iter().filter(|s| !s.independent).map(|s| s.key.clone()).collect();
    for s in &mut all {
        s.independent &= !known.contains(&s.key);
    }
    all
}

/// Whether a file belongs to a sign-off with a number below this one.
fn counted(name: &str, below: u32) -> bool {
    let number = name.strip_prefix(NAME).and_then(|rest| rest.split('.').next());
    number.and_then(|n| n.parse::<u32>().ok()).is_some_and(|n| (1..below).contains(&n))
}

impl SignOff {
    /// Who, in words: whoever signs can type any name, so the one that the rules list stands beside it where it differs.
    pub fn who(&self) -> String {
        let by = self.by.trim();
        match self.listed_as.as_deref().map(str::trim) {
            Some(listed) if !listed.eq_ignore_ascii_case(by) => {
                format!("{by} (the plan's rules list the key as that of {listed})")
            }
            _ => by.to_owned(),
        }
    }
}

fn read(
    payload: &[u8],
    reviewed: &BTreeMap<String, Vec<u8>>,
    run: &RunView,
    key: &PublicKey,
    signer: Option<&str>,
    listed: &[Approver],
) -> Option<(SignOffPredicate, SignOff)> {
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
    // a name proves little and a machine not much more, since both are what the signer says; where either is
    // the runner's, it is said, and where neither is, only a key that was listed beforehand counts
    let same = |a: &str, b: &str| a.trim().eq_ignore_ascii_case(b.trim());
    let machine = said.operator.rsplit_once('@').map_or("", |(_, host)| host);
    // the list was fixed before the run: the name that it has is whose key it is, whatever the signer types
    let listed_as = listed.iter().find(|a| a.key == key.fingerprint()).map(|a| a.name.trim().to_owned());
    let runs = |name: &str| run.processes.iter().any(|p| same(name, &p.user));
    let runner = run.processes.iter().any(|p| same(machine, &p.host))
        || runs(&said.by)
        || listed_as.as_deref().is_some_and(runs);
    let sign_off = SignOff {
        independent: !runner && Some(key.fingerprint().as_str()) != signer && listed_as.is_some(),
        listed_as,
        made_as: said.operator.clone(),
        by: said.by.clone(),
        at: said.at,
        decision: said.decision.clone(),
        note: said.note.clone(),
        key: key.fingerprint(),
    };
    Some((said, sign_off))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_signed_where_the_drill_ran_is_never_independent() {
        let said = |key: &str, independent: bool| SignOff {
            by: "the owner".to_owned(),
            listed_as: None,
            at: Default::default(),
            decision: "accepted".to_owned(),
            note: String::new(),
            key: key.to_owned(),
            independent,
            made_as: String::new(),
        };
        let of = |all: Vec<SignOff>| told_apart(all).iter().map(|s| s.independent).collect::<Vec<_>>();
        assert_eq!(of(vec![said("a", false), said("a", true), said("b", true)]), [false, false, true]);
        assert_eq!(of(vec![said("a", true), said("a", false)]), [false, false], "whichever comes first");
    }

    #[test]
    fn without_a_listed_key_nobody_is_independent_whatever_they_call_themselves() {
        use crate::evidence::dsse::pae;
        use crate::evidence::keys::{Algorithm, PrivateKey};
        use crate::view::tests::example;
        let run = RunView::of(&example(crate::model::World::Aws));
        let reviewed = BTreeMap::from([("journal.jsonl".to_owned(), b"x".to_vec())]);
        let key = PrivateKey::generate(Algorithm::Ed25519).unwrap();
        let said = SignOffPredicate {
            run: run.header.as_ref().unwrap().run.to_string(),
            by: "the auditor".to_owned(),
            operator: "auditor@elsewhere".to_owned(),
            at: run.finished_at.unwrap(),
            decision: "accepted".to_owned(),
            note: String::new(),
            previous: None,
        };
        let predicate = serde_json::to_value(said).unwrap();
        let payload = Statement::new(subjects(&reviewed), SIGN_OFF, predicate).to_bytes();
        let envelope = Envelope::new(&payload, &key.public(), &key.sign(&pae(&payload)).unwrap());
        let files = BTreeMap::from([
            (format!("{NAME}1.dsse.json"), envelope.to_bytes()),
            (format!("{NAME}1.pub"), key.public().to_pem().into_bytes()),
        ]);
        let with = |listed: &[Approver]| sign_offs(&files, &reviewed, &run, None, listed).unwrap().remove(0);
        assert!(!with(&[]).independent, "no list");
        let approver = |key: String| Approver { name: "the auditor".to_owned(), key };
        assert!(!with(&[approver("SHA256:another".to_owned())]).independent);
        let listed = with(&[approver(key.public().fingerprint())]);
        assert!(listed.independent);
        assert_eq!(listed.made_as, "auditor@elsewhere");
        assert_eq!(listed.who(), "the auditor");
        // the list's name is whose key it is
        let called =
            |name: &str| with(&[Approver { name: name.to_owned(), key: key.public().fingerprint() }]);
        let other = called("head of operations");
        assert_eq!(other.listed_as.as_deref(), Some("head of operations"));
        assert_eq!(other.who(), "the auditor (the plan's rules list the key as that of head of operations)");
        assert_eq!(called(" The Auditor").who(), "the auditor");
        assert_eq!(with(&[]).who(), "the auditor");
        let operator = run.processes[0].user.clone();
        assert!(!called(&operator).independent, "it is the key of who ran it");
    }
}
