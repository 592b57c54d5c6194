//! Reads CloudTrail's records: trail files, plain or gzip, and looked-up events. Pure.
//!
//! Invariants: bounded memory whatever a file holds (inflated size, kept records); of each record only
//! what may matter to the run is kept; what cannot be read is counted and named, never dropped silently.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::digest::{self, Digest, DigestError, PublicKeys};
use super::named::{self, Named};
use super::session::{Session, Tie};
use super::{FileKind, TrailFile};
use crate::evidence::merkle;

/// The most that one file may hold, inflated. CloudTrail itself starts a new one long before.
pub const LARGEST_FILE: u64 = 64 << 20;
/// The most changes that are kept. A run has a few hundred.
const MOST_KEPT: usize = 50_000;
/// The most reads that are kept beside them; of the others only the number is. A probe asks every second.
const MOST_READS: usize = 10_000;
/// The most different reads that are told apart by name.
const MOST_NAMES: usize = 1_000;
/// The longest text that is kept of a field.
const LONGEST_TEXT: usize = 1_024;
/// The most digests, and signatures beside them, that are kept. A day of a region has 24.
const MOST_DIGESTS: usize = 4_000;
/// The most that is kept of a request's parameters, and of its answer.
const LONGEST_ABOUT: usize = 8 << 10;

/// A record of CloudTrail, as far as it matters.
#[derive(Clone, Debug, PartialEq)]
pub struct TrailRecord {
    /// `eventID`.
    pub event_id: String,
    /// `eventTime`.
    pub at: DateTime<Utc>,
    /// `eventSource` up to the first dot, then `eventName`: `ec2:TerminateInstances`.
    pub operation: String,
    /// `awsRegion`.
    pub region: String,
    /// `requestID`.
    pub request_id: Option<String>,
    /// `recipientAccountId`.
    pub account: Option<String>,
    /// `userIdentity.arn`.
    pub principal: Option<String>,
    /// `userIdentity.accessKeyId`.
    pub access_key: Option<String>,
    /// The AWS service that called on somebody's behalf.
    pub invoked_by: Option<String>,
    /// `userAgent`.
    pub user_agent: Option<String>,
    /// `errorCode`.
    pub error: Option<String>,
    /// Whether it changes nothing.
    pub read_only: bool,
    /// Whether it is a data event.
    pub data: bool,
    /// The bucket, where the request names one.
    pub bucket: Option<String>,
    /// The request's parameters and the answer, as text, for what they name.
    pub about: String,
    /// What the request's parameters name, of a record with one of the run's own request ids.
    pub(super) named: Named,
}

/// What a trail file holds.
#[derive(Deserialize)]
struct Contents {
    #[serde(rename = "Records")]
    records: Option<Vec<Entry>>,
    #[serde(rename = "digestS3Object")]
    digest: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Entry {
    Good(Box<Raw>),
    Beside(Beside),
    Bad(IgnoredAny),
}

/// What CloudTrail writes beside the records of calls, in the same form of file: what it noticed, and sums of calls.
/// Neither is a record of one call (User Guide, "CloudTrail record contents for Insights events" and "… for aggregated
/// events").
#[derive(Deserialize)]
#[serde(tag = "eventCategory")]
enum Beside {
    Insight {
        #[serde(rename = "insightDetails")]
        _details: serde_json::Map<String, Value>,
    },
    Aggregated {
        #[serde(rename = "timeWindow")]
        _window: serde_json::Map<String, Value>,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    #[serde(rename = "eventID")]
    event_id: String,
    event_time: DateTime<Utc>,
    event_source: String,
    event_name: String,
    aws_region: String,
    #[serde(rename = "requestID")]
    request_id: Option<String>,
    recipient_account_id: Option<String>,
    user_identity: Option<Who>,
    user_agent: Option<String>,
    error_code: Option<String>,
    read_only: Option<Value>,
    management_event: Option<bool>,
    event_category: Option<String>,
    event_type: Option<String>,
    request_parameters: Option<Value>,
    response_elements: Option<Value>,
}

impl Raw {
    /// Whether it tells only that a call passed a VPC endpoint: the call itself has a record of its own, with the same
    /// request id. <https://docs.aws.amazon.com/awscloudtrail/latest/userguide/logging-network-events-with-cloudtrail.html>
    fn is_of_the_network(&self) -> bool {
        self.event_category.as_deref() == Some("NetworkActivity")
            || self.event_type.as_deref() == Some("AwsVpceEvent")
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Who {
    arn: Option<String>,
    access_key_id: Option<String>,
    invoked_by: Option<String>,
}

/// Why a file could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Not gzip after all, or cut off.
    #[error("cannot be unpacked")]
    Unpack(#[source] std::io::Error),
    /// Larger than any trail file.
    #[error("holds more than {} MB", LARGEST_FILE >> 20)]
    TooLarge,
    /// Not JSON of that form.
    #[error("is not a CloudTrail file")]
    Json(#[source] serde_json::Error),
    /// JSON, but something else.
    #[error("is JSON without `Records`")]
    NotTrail,
    /// A digest file that cannot be used.
    #[error("is a digest file that cannot be used")]
    Digest(#[source] DigestError),
    /// More of them than a run can need.
    #[error("is one digest or signature too many: name fewer days")]
    TooMany,
}

/// Takes records in and keeps those that may matter to one run.
#[derive(Debug)]
pub struct Gathering {
    session: Session,
    wanted: BTreeSet<String>,
    pub(super) kept: BTreeMap<String, Kept>,
    seen: BTreeSet<[u8; 16]>,
    pub(super) files: Vec<TrailFile>,
    pub(super) records: u64,
    pub(super) duplicates: u64,
    pub(super) malformed: u64,
    pub(super) of_other_runs: u64,
    pub(super) unreadable: usize,
    pub(super) left_out: bool,
    /// Reads among the kept.
    reads_kept: usize,
    /// The session's reads that are not kept, by operation.
    pub(super) more_reads: BTreeMap<String, u64>,
    pub(super) differing: Vec<String>,
    pub(super) oldest: Option<DateTime<Utc>>,
    pub(super) newest: Option<DateTime<Utc>>,
    pub(super) logged_buckets: BTreeSet<String>,
    /// Digests, each with the number of its file.
    pub(super) digests: Vec<(usize, Digest)>,
    /// Signatures beside them, each with the name of its file.
    pub(super) signatures: Vec<(String, Vec<u8>)>,
    /// When backfill digests were made.
    generated: Vec<DateTime<Utc>>,
    /// The keys that digests are checked with.
    pub(super) keys: PublicKeys,
    /// Whether keys that lie beside the files are left alone.
    only_given: bool,
    /// Log files by the SHA-256 (hex) of their uncompressed content.
    pub(super) contents: BTreeMap<String, usize>,
    /// Files that are compressed.
    pub(super) packed: BTreeSet<usize>,
    /// How many changes by anybody a file holds, by region.
    pub(super) changes: BTreeMap<(usize, String), u64>,
    /// The file that is being read.
    current: Option<usize>,
}

/// A record that is kept.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) record: TrailRecord,
    print: [u8; 32],
    /// The files that it is in.
    pub(super) files: BTreeSet<usize>,
}

impl Gathering {
    /// For a run whose calls have these request ids.
    pub fn new(session: &Session, request_ids: impl IntoIterator<Item = String>) -> Self {
        Self {
            session: session.clone(),
            wanted: request_ids.into_iter().collect(),
            kept: BTreeMap::new(),
            seen: BTreeSet::new(),
            files: Vec::new(),
            records: 0,
            duplicates: 0,
            malformed: 0,
            of_other_runs: 0,
            unreadable: 0,
            left_out: false,
            reads_kept: 0,
            more_reads: BTreeMap::new(),
            differing: Vec::new(),
            oldest: None,
            newest: None,
            logged_buckets: BTreeSet::new(),
            digests: Vec::new(),
            signatures: Vec::new(),
            generated: Vec::new(),
            keys: PublicKeys::default(),
            only_given: false,
            contents: BTreeMap::new(),
            packed: BTreeSet::new(),
            changes: BTreeMap::new(),
            current: None,
        }
    }

    /// Digests are checked with these keys, too.
    pub fn trust(&mut self, keys: PublicKeys) {
        self.keys.add(keys);
    }

    /// Digests are checked with these keys, and with no others that lie beside the files.
    pub fn trust_only(&mut self, keys: PublicKeys) {
        (self.keys, self.only_given) = (keys, true);
    }

    /// Takes in the signature of the digest with this name.
    pub fn signature(&mut self, name: &str, hex: &str) {
        if let Some(bytes) = digest::unhex(hex).filter(|_| self.signatures.len() < MOST_DIGESTS) {
            self.signatures.push((name.to_owned(), bytes));
        }
    }

    /// Takes in when a backfill digest was made, which is long after the time that it covers: its key is of then.
    pub fn generated(&mut self, at: DateTime<Utc>) {
        self.generated.push(at);
    }

    /// The times in which the digests at hand were signed, with an hour before and after.
    pub fn times(&self) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
        let own = self.digests.iter().map(|(_, d)| d).filter(|d| d.account == self.session.account);
        let ends = own.flat_map(|d| [d.start, d.end]).chain(self.generated.iter().copied());
        let (from, until) = (ends.clone().min()?, ends.max()?);
        let hour = TimeDelta::hours(1);
        Some((from.checked_sub_signed(hour)?, until.checked_add_signed(hour)?))
    }

    /// The regions of the digests at hand: each region has keys of its own.
    pub fn digest_regions(&self) -> BTreeSet<String> {
        let own = self.digests.iter().map(|(_, d)| d).filter(|d| d.account == self.session.account);
        own.map(|d| d.region.clone()).collect()
    }

    /// Takes a file in, whatever it holds; what is wrong with it is in the file's entry.
    pub fn file(&mut self, name: &str, bytes: &[u8]) {
        let before = self.records;
        self.current = Some(self.files.len());
        let (kind, problem) = match self.contents(name, bytes) {
            Ok(kind) => (kind, None),
            Err(e) => {
                self.unreadable += 1;
                let cause = std::error::Error::source(&e).map(|c| format!(": {c}")).unwrap_or_default();
                (FileKind::Log, Some(format!("{e}{cause}")))
            }
        };
        self.current = None;
        self.files.push(TrailFile {
            name: name.to_owned(),
            sha256: merkle::hex(&merkle::sha256(bytes)),
            records: self.records - before,
            kind,
            problem,
        });
    }

    /// Takes a file in that could not even be fetched whole.
    pub fn unreadable(&mut self, name: &str, problem: &str) {
        self.unreadable += 1;
        self.files.push(TrailFile {
            name: name.to_owned(),
            sha256: String::new(),
            records: 0,
            kind: FileKind::Log,
            problem: Some(problem.to_owned()),
        });
    }

    /// The files so far.
    pub fn files(&self) -> &[TrailFile] {
        &self.files
    }

    /// Takes in one event as LookupEvents gives it: the JSON text `CloudTrailEvent`.
    pub fn event(&mut self, json: &str) {
        match serde_json::from_str::<Raw>(json) {
            Ok(raw) => self.take(raw),
            Err(_) => {
                self.records += 1;
                self.malformed += 1;
            }
        }
    }

    fn contents(&mut self, name: &str, bytes: &[u8]) -> Result<FileKind, ReadError> {
        let file = self.files.len();
        let inflated;
        let plain = if bytes.starts_with(&[0x1f, 0x8b]) {
            inflated = inflate(bytes)?;
            self.packed.insert(file);
            &inflated
        } else if bytes.len() as u64 > LARGEST_FILE {
            return Err(ReadError::TooLarge);
        } else {
            bytes
        };
        let contents: Contents = serde_json::from_slice(plain).map_err(ReadError::Json)?;
        let Some(records) = contents.records else {
            return self.beside(name, plain, contents.digest.is_some());
        };
        self.contents.entry(merkle::hex(&merkle::sha256(plain))).or_insert(file);
        for entry in records {
            match entry {
                Entry::Good(raw) => self.take(*raw),
                Entry::Beside(Beside::Insight { .. } | Beside::Aggregated { .. }) => self.records += 1,
                Entry::Bad(_) => {
                    self.records += 1;
                    self.malformed += 1;
                }
            }
        }
        Ok(FileKind::Log)
    }

    /// What lies beside the records: digests, their signatures, keys.
    fn beside(&mut self, name: &str, plain: &[u8], is_digest: bool) -> Result<FileKind, ReadError> {
        let full = self.digests.len() >= MOST_DIGESTS || self.signatures.len() >= MOST_DIGESTS;
        if is_digest {
            let digest = Digest::read(plain).map_err(ReadError::Digest)?;
            if full {
                return Err(ReadError::TooMany);
            }
            if !self.digests.iter().any(|(_, d)| *d == digest) {
                self.digests.push((self.files.len(), digest));
            }
            return Ok(FileKind::Digest);
        }
        let value: Value = serde_json::from_slice(plain).map_err(ReadError::Json)?;
        if let Some(signature) = digest::head_object(&value) {
            if full {
                return Err(ReadError::TooMany);
            }
            self.signatures.push((name.to_owned(), signature));
            return Ok(FileKind::Signature);
        }
        if value.get("PublicKeyList").is_some() {
            let keys = PublicKeys::read(plain).map_err(ReadError::Json)?;
            if !self.only_given {
                self.keys.add(keys);
            }
            return Ok(FileKind::Keys);
        }
        Err(ReadError::NotTrail)
    }

    fn take(&mut self, raw: Raw) {
        self.records += 1;
        if raw.is_of_the_network() {
            return;
        }
        let mut record = TrailRecord::from(raw);
        if let Some(file) = self.current.filter(|_| !record.read_only && !record.data) {
            *self.changes.entry((file, record.region.clone())).or_default() += 1;
        }
        let id = merkle::sha256(record.event_id.as_bytes());
        let mut short = [0; 16];
        short.copy_from_slice(&id[..16]);
        if !self.seen.insert(short) {
            self.duplicates += 1;
            if let Some(first) = self.kept.get_mut(&record.event_id) {
                if first.print == fingerprint(&record) {
                    first.files.extend(self.current);
                } else {
                    self.differing.push(record.event_id);
                }
            }
            return;
        }
        self.oldest = Some(self.oldest.map_or(record.at, |t| t.min(record.at)));
        self.newest = Some(self.newest.map_or(record.at, |t| t.max(record.at)));
        if record.data && record.operation.starts_with("s3:") && self.session.covers(record.at) {
            self.logged_buckets.extend(record.bucket.clone());
        }
        let wanted = record.request_id.as_ref().is_some_and(|id| self.wanted.contains(id));
        let tie = self.session.tie(&record);
        if tie == Some(Tie::OtherRun) && !wanted {
            self.of_other_runs += 1;
            return;
        }
        // an access key is known to be the session's only when everything has been read
        let perhaps = !record.read_only && self.session.covers(record.at) && record.access_key.is_some();
        if !(wanted || tie.is_some() || perhaps) {
            return;
        }
        if record.read_only && !wanted {
            if self.reads_kept >= MOST_READS {
                self.count(record.operation);
                return;
            }
            self.reads_kept += 1;
        } else if self.kept.len() - self.reads_kept >= MOST_KEPT {
            self.left_out = true;
            return;
        }
        let (print, files) = (fingerprint(&record), self.current.into_iter().collect());
        if !wanted {
            record.named.clear();
        }
        self.kept.insert(record.event_id.clone(), Kept { record, print, files });
    }

    fn count(&mut self, operation: String) {
        let known = self.more_reads.contains_key(&operation) || self.more_reads.len() < MOST_NAMES;
        *self.more_reads.entry(if known { operation } else { "other reads".to_owned() }).or_default() += 1;
    }
}

fn fingerprint(record: &TrailRecord) -> [u8; 32] {
    merkle::sha256(format!("{record:?}").as_bytes())
}

fn inflate(bytes: &[u8]) -> Result<Vec<u8>, ReadError> {
    let mut out = Vec::new();
    // CloudTrail's files may consist of several members
    let packed = flate2::read::MultiGzDecoder::new(bytes);
    packed.take(LARGEST_FILE + 1).read_to_end(&mut out).map_err(ReadError::Unpack)?;
    if out.len() as u64 > LARGEST_FILE { Err(ReadError::TooLarge) } else { Ok(out) }
}

fn short(text: String) -> String {
    cut(text, LONGEST_TEXT)
}

fn cut(mut text: String, longest: usize) -> String {
    if text.len() > longest {
        let end = (0..=longest).rev().find(|n| text.is_char_boundary(*n)).unwrap_or(0);
        text.truncate(end);
    }
    text
}

fn present(text: Option<String>) -> Option<String> {
    text.filter(|t| !t.is_empty()).map(short)
}

impl From<Raw> for TrailRecord {
    fn from(raw: Raw) -> Self {
        let who = raw.user_identity.unwrap_or_default();
        let service = raw.event_source.split('.').next().unwrap_or_default();
        let read_only = match &raw.read_only {
            Some(Value::Bool(b)) => *b,
            Some(Value::String(s)) => s == "true",
            _ => ["Describe", "Get", "List", "Head", "Lookup"].iter().any(|p| raw.event_name.starts_with(p)),
        };
        let bucket =
            raw.request_parameters.as_ref().and_then(|p| p.get("bucketName")).and_then(Value::as_str);
        let bucket = bucket.map(|b| short(b.to_owned()));
        let text = |v: &Option<Value>| v.as_ref().map(Value::to_string).unwrap_or_default();
        let mut about = String::new();
        if !read_only {
            about = cut(text(&raw.request_parameters), LONGEST_ABOUT);
            about.push_str(&cut(text(&raw.response_elements), LONGEST_ABOUT));
        }
        let named = raw.request_parameters.as_ref().map(named::of_request).unwrap_or_default();
        Self {
            event_id: short(raw.event_id),
            at: raw.event_time,
            operation: short(format!("{service}:{}", raw.event_name)),
            region: short(raw.aws_region),
            request_id: present(raw.request_id),
            account: present(raw.recipient_account_id),
            principal: present(who.arn),
            access_key: present(who.access_key_id),
            invoked_by: present(who.invoked_by),
            user_agent: present(raw.user_agent),
            error: present(raw.error_code),
            read_only,
            data: raw.event_category.as_deref() == Some("Data") || raw.management_event == Some(false),
            bucket,
            about,
            named,
        }
    }
}

#[cfg(test)]
mod tests;
