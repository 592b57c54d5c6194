//! A run's journal against CloudTrail's records, both ways: what was sent and what AWS saw. Pure.
//!
//! For: an auditor's question whether the journal is complete, answered from a source that redrill
//! does not control. [`read::Gathering`] takes trail files or looked-up events, [`matching::reconcile`]
//! compares, [`proof`] says whether AWS's own signatures vouch for the records. Not for: fetching them.
//! Invariants: a call counts as matched only by AWS's request id; what no trail can cover is said, never
//! counted as matched or as missing; what could not be read keeps the result from agreeing; records that
//! no digest of CloudTrail's vouches for could have been written by anybody, and leave it unclear.

pub mod calls;
pub mod digest;
pub mod matching;
mod named;
pub mod proof;
pub mod read;
pub mod session;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::journal::{Line, Phase};
use crate::model::{RunId, StepId, World};

pub use digest::PublicKeys;
pub use matching::{Compared, compare, reconcile};
pub use proof::{Include, Included, Proof};
pub use read::Gathering;
pub use session::Session;

/// The file in a run's folder that holds a [`Reconciliation`].
pub const FILE: &str = "reconciliation.json";
/// The version of [`Reconciliation`].
pub const VERSION: u32 = 1;

/// What the comparison gave.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Reconciliation {
    /// Version of this form.
    pub v: u32,
    /// The run.
    pub run: RunId,
    /// Which world it touched; only AWS itself has a CloudTrail.
    pub world: World,
    /// When the comparison was made.
    pub compared_at: DateTime<Utc>,
    /// Whether everything that a trail can cover is matched and nothing is unexplained.
    pub holds: bool,
    /// What it comes to. Versions before this field knew only [`Self::holds`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standing: Option<Standing>,
    /// In words.
    pub verdict: String,
    /// What CloudTrail's digests prove of it, where there were any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<Proof>,
    /// Set where it was made before every record must have arrived: make it again after this time.
    pub provisional_until: Option<DateTime<Utc>>,
    /// Where the records came from.
    pub source: Source,
    /// What makes a record one of this run's session.
    pub session: SessionTerms,
    /// The figures.
    pub counts: Counts,
    /// Every call of the journal, in its order.
    pub calls: Vec<CallResult>,
    /// Changes of the session that the journal does not have.
    pub unexplained: Vec<Seen>,
    /// Changes that AWS services made on behalf of the session's calls.
    pub by_services: Vec<Seen>,
    /// Reads of the session; the journal does not list reads.
    pub reads: Vec<ReadCount>,
    /// What limits the comparison, one sentence each.
    pub warnings: Vec<String>,
}

/// What a comparison comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// Journal and trail agree, and CloudTrail's digests vouch for it.
    Proven,
    /// They do not agree.
    Differs,
    /// Neither is shown.
    Unclear,
}

/// Where records came from.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Source {
    /// Files of a trail.
    Files {
        /// The folder, file or `s3://` address, as named.
        from: String,
        /// Each file, in order.
        files: Vec<TrailFile>,
    },
    /// CloudTrail's LookupEvents.
    Lookup {
        /// The regions asked.
        regions: Vec<String>,
        /// The user name asked for.
        user: String,
        /// From when.
        from: DateTime<Utc>,
        /// Until when.
        to: DateTime<Utc>,
    },
}

/// A file that was read.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct TrailFile {
    /// Its name below what was named.
    pub name: String,
    /// SHA-256 (hex) of its bytes as they are.
    pub sha256: String,
    /// How many records it holds.
    pub records: u64,
    /// What it is.
    #[serde(default, skip_serializing_if = "FileKind::is_log")]
    pub kind: FileKind,
    /// Why it could not be read, or is not part of it.
    pub problem: Option<String>,
}

/// What a file of a trail is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileKind {
    /// Records.
    #[default]
    Log,
    /// A digest of them.
    Digest,
    /// A digest's signature.
    Signature,
    /// CloudTrail's public keys.
    Keys,
}

impl FileKind {
    fn is_log(&self) -> bool {
        *self == Self::Log
    }
}

/// What makes a record one of the run's session.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct SessionTerms {
    /// The user agent names the run with this application name, at any time.
    pub app_name: String,
    /// Or the caller is this one, within the window.
    pub caller: String,
    /// Or the access key is one of a matched call, within the window; shown without its middle.
    pub access_keys: Vec<String>,
    /// From when: the journal's first line, less a minute and the clocks' difference.
    pub from: DateTime<Utc>,
    /// Until when.
    pub to: DateTime<Utc>,
}

/// The figures of a comparison.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Counts {
    /// Calls of the journal.
    pub calls: usize,
    /// Matched by request id.
    pub matched: usize,
    /// Without a request id, with a record of the same call at the same time.
    pub probable: usize,
    /// With a request id that no record has, though a trail covers such calls.
    pub missing: usize,
    /// With a record of the same request id that says something else.
    pub contradicted: usize,
    /// That no trail can cover.
    pub not_coverable: usize,
    /// Records read.
    pub records: u64,
    /// Records of the run's session.
    pub of_session: u64,
    /// Reads among them.
    pub reads: u64,
    /// Changes of the session without an entry in the journal.
    pub unexplained: usize,
    /// Changes that AWS services made on the session's behalf.
    pub by_services: usize,
    /// Records of the same caller that name another run of redrill.
    pub of_other_runs: u64,
    /// The same event delivered again.
    pub duplicates: u64,
    /// Records that could not be read.
    pub malformed: u64,
    /// Files that could not be read.
    pub unreadable_files: usize,
}

/// How one call of the journal came out.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct CallResult {
    /// The number of the journal's line.
    pub seq: u64,
    /// The call's number.
    pub call: u64,
    /// The step.
    pub step: Option<StepId>,
    /// What it was for.
    pub phase: Phase,
    /// The operation.
    pub operation: String,
    /// When it was sent, by the local clock.
    pub sent_at: DateTime<Utc>,
    /// AWS's request id.
    pub request_id: Option<String>,
    /// How it came out.
    pub class: Class,
    /// Why, where it is not matched.
    pub why: Option<String>,
    /// The record, where there is one.
    pub record: Option<Seen>,
}

/// How a call of the journal and the records compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// A record has its request id, and is of the same operation and account.
    Matched,
    /// No request id, but a record of the same operation at the same time. Weaker than a match.
    Probable,
    /// No record has its request id.
    Missing,
    /// A record has its request id, and is of another operation or account.
    Contradicted,
    /// No trail can be asked about it.
    NotCoverable,
}

impl Class {
    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Matched => "matched",
            Self::Probable => "probable",
            Self::Missing => "no record",
            Self::Contradicted => "contradicted",
            Self::NotCoverable => "not coverable",
        }
    }
}

/// A record as the comparison shows it.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Seen {
    /// `eventID`.
    pub event_id: String,
    /// `eventTime`: when AWS completed it, by AWS's clock, to the second.
    pub at: DateTime<Utc>,
    /// `eventSource` and `eventName`, for example `ec2:TerminateInstances`.
    pub operation: String,
    /// `awsRegion`.
    pub region: String,
    /// `requestID`.
    pub request_id: Option<String>,
    /// `userIdentity.arn`.
    pub principal: Option<String>,
    /// `userAgent`.
    pub user_agent: Option<String>,
    /// `errorCode`.
    pub error: Option<String>,
    /// How it belongs to the session: `user agent`, `access key`, `caller`, `request id`.
    pub tie: String,
}

/// How often the session read something.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct ReadCount {
    /// The operation.
    pub operation: String,
    /// How often.
    pub records: u64,
}

/// A comparison from a file, for the record of the run with these lines. `None` where it is of another
/// run, or of an earlier state of this one: then it says nothing about this journal.
///
/// # Errors
/// Where it is no comparison.
pub fn of_run(bytes: &[u8], lines: &[Line]) -> Result<Option<Value>, serde_json::Error> {
    let read: Reconciliation = serde_json::from_slice(bytes)?;
    let run = Session::of(lines).map(|s| s.run);
    let own: Vec<_> = calls::calls(lines);
    let same = run.as_ref() == Some(&read.run)
        && read.calls.len() == own.len()
        && read.calls.iter().zip(&own).all(|(c, o)| c.request_id.as_deref() == o.request_id.as_deref());
    if same && agrees_with_itself(&read) { serde_json::to_value(read).map(Some) } else { Ok(None) }
}

impl Reconciliation {
    /// Whether CloudTrail's digests vouch for it and show the whole time.
    fn is_proven(&self) -> bool {
        self.proof.as_ref().is_some_and(|p| p.proven && p.complete)
    }
}

/// Whether the figures and the judgement are those of the calls that are listed.
fn agrees_with_itself(r: &Reconciliation) -> bool {
    let (c, of) = (&r.counts, |class| r.calls.iter().filter(|call| call.class == class).count());
    let counted = c.calls == r.calls.len()
        && c.matched == of(Class::Matched)
        && c.probable == of(Class::Probable)
        && c.missing == of(Class::Missing)
        && c.contradicted == of(Class::Contradicted)
        && c.not_coverable == of(Class::NotCoverable)
        && c.unexplained == r.unexplained.len();
    // a call counts as found where its record is there
    let found = r.calls.iter().all(|call| match (call.class, &call.record) {
        (Class::Matched, Some(seen)) => seen.request_id.is_some() && seen.request_id == call.request_id,
        (Class::Matched | Class::Probable, None) => false,
        _ => true,
    });
    let enough = c.of_session >= (c.matched + c.probable) as u64 && c.records >= c.of_session;
    let whole = c.malformed == 0 && c.unreadable_files == 0;
    counted
        && found
        && enough
        && (!r.holds || (c.matched > 0 && whole && c.missing + c.contradicted + c.unexplained == 0))
        && r.standing.is_none_or(|s| s != Standing::Proven || (r.holds && r.is_proven()))
}

#[cfg(test)]
pub(crate) mod forge;
#[cfg(test)]
pub(crate) mod tests;
