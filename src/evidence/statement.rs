//! What is signed: in-toto statements about files. Pure.
//!
//! The bundle's statement is a test result (predicate test-result v0.1) with every file as a subject;
//! a sign-off is a statement of its own about the run's files. The world stands in the statement
//! itself: a run off AWS is never more than WARNED.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::merkle::{hex, sha256};
use super::record::{Record, Status};
use crate::journal::Verdict;

/// The type of every statement.
pub const STATEMENT: &str = "https://in-toto.io/Statement/v1";
/// The predicate of a bundle.
pub const TEST_RESULT: &str = "https://in-toto.io/attestation/test-result/v0.1";
/// The predicate of a sign-off.
pub const SIGN_OFF: &str = "urn:redrill:sign-off:v1";
/// The predicate of a receipt: where a bundle is kept.
pub const PUBLICATION: &str = "urn:redrill:publication:v1";
/// The predicate of an approval of a plan.
pub const APPROVAL: &str = "urn:redrill:approval:v1";
/// The predicate of what is signed about the signature: timestamp tokens.
pub const SEAL: &str = "urn:redrill:seal:v1";

/// A statement about files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// Always [`STATEMENT`].
    #[serde(rename = "_type")]
    pub kind: String,
    /// The files.
    pub subject: Vec<Subject>,
    /// What kind of thing is said.
    #[serde(rename = "predicateType")]
    pub predicate_type: String,
    /// What is said.
    pub predicate: Value,
}

/// A file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    /// Its name.
    pub name: String,
    /// Its hashes: `sha256`, hex.
    pub digest: BTreeMap<String, String>,
}

/// What a reviewer says of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignOffPredicate {
    /// The run.
    pub run: String,
    /// Who.
    pub by: String,
    /// Who sat at the machine: `user@host`.
    pub operator: String,
    /// When (UTC).
    #[serde(deserialize_with = "crate::model::bounded::time")]
    pub at: DateTime<Utc>,
    /// `accepted` or `rejected`.
    pub decision: String,
    /// What they say.
    pub note: String,
    /// SHA-256 (hex) of the file of the sign-off before it, so that none can be taken out from under a
    /// later one; absent in the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<String>,
}

/// SHA-256 (hex) of a file's bytes.
pub fn digest(bytes: &[u8]) -> String {
    hex(&sha256(bytes))
}

/// The files as subjects, sorted by name.
pub fn subjects(files: &BTreeMap<String, Vec<u8>>) -> Vec<Subject> {
    let subject = |(name, bytes): (&String, &Vec<u8>)| Subject {
        name: name.clone(),
        digest: [("sha256".to_owned(), digest(bytes))].into(),
    };
    files.iter().map(subject).collect()
}

impl Statement {
    /// A statement.
    pub fn new(subject: Vec<Subject>, predicate_type: &str, predicate: Value) -> Self {
        let kind = STATEMENT.to_owned();
        Self { kind, subject, predicate_type: predicate_type.to_owned(), predicate }
    }

    /// The bytes that are signed.
    ///
    /// # Panics
    /// Never: a statement always serialises.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("BUG: a statement serialises")
    }
}

/// `PASSED`, `WARNED` or `FAILED`: passed is only what counts, which is what passed on AWS itself.
pub fn result(verdict: Option<Verdict>, counts: bool) -> &'static str {
    match (verdict, counts) {
        (Some(Verdict::Passed), true) => "PASSED",
        (Some(Verdict::Passed | Verdict::Inconclusive), _) => "WARNED",
        _ => "FAILED",
    }
}

/// The statement of a bundle.
pub fn test_result(record: &Record, files: &BTreeMap<String, Vec<u8>>) -> Statement {
    let names = |status: Status| -> Vec<&str> {
        let all = record.result.objectives.iter().filter(move |o| o.status == status);
        all.map(|o| o.key.as_str()).collect()
    };
    let configuration: Vec<Value> = ["plan.json", "drill.yaml"]
        .iter()
        .filter_map(|name| {
            let sha256 = digest(files.get(*name)?);
            let mut entry = json!({
                "name": name,
                "digest": { "sha256": sha256 },
                "annotations": {
                    "run": record.identity.run,
                    "world": record.scope.world,
                    "account": record.scope.account,
                    "region": record.scope.region,
                    "verdict": record.result.verdict,
                    "redrill": record.identity.tool_version,
                },
            });
            if let Some(doubt) = &record.scope.endpoint_doubt {
                entry["annotations"]["endpoint"] = format!("not proven: {doubt}").into();
            }
            Some(entry)
        })
        .collect();
    let predicate = json!({
        "result": result(record.result.verdict, record.counts()),
        "configuration": configuration,
        "passedTests": names(Status::Satisfied),
        "warnedTests": names(Status::NotTested),
        "failedTests": names(Status::NotSatisfied),
    });
    Statement::new(subjects(files), TEST_RESULT, predicate)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::tests::record_of;
    use crate::model::World;
    use crate::view::tests::example;

    #[test]
    fn a_run_off_aws_never_passes() {
        for (world, wanted) in [(World::Aws, "PASSED"), (World::Emulator, "WARNED"), (World::Sim, "WARNED")] {
            let record = record_of(&example(world));
            let files = [("plan.json".to_owned(), b"{}".to_vec())].into();
            let statement = test_result(&record, &files);
            assert_eq!(statement.predicate["result"], wanted);
            let annotations = &statement.predicate["configuration"][0]["annotations"];
            assert_eq!(annotations["world"], world.to_string());
        }
        assert_eq!(result(None, true), "FAILED", "an unfinished run");
        assert_eq!(result(Some(Verdict::NoImpact), true), "FAILED");
    }
}
