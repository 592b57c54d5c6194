//! CloudTrail's digest files and the public keys that they are signed under. Pure.
//!
//! A digest names the log files of an hour with their hashes, and the digest before it with its hash and
//! signature; AWS signs each with a key of the region (CloudTrail User Guide, "Custom implementations of
//! CloudTrail log file integrity validation"). Here they are read and one signature is checked; what a chain
//! of them shows is [`super::proof`]'s. Invariant: every field that counts is under the signature, and the
//! account, region and trail of a digest are those of its own S3 key, which the signature covers too.

use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::evidence::merkle;

/// A digest is signed soon after the hour that it covers.
const SIGNED_WITHIN: TimeDelta = TimeDelta::hours(2);

/// A digest file.
#[derive(Clone, Debug, PartialEq)]
pub struct Digest {
    /// SHA-256 (hex) of its uncompressed content.
    pub sha256: String,
    /// The account.
    pub account: String,
    /// The region that its log files are of.
    pub region: String,
    /// The trail's name and home region, as in the file's name.
    pub trail: String,
    /// Whether it names files that the digest of their hour had left out.
    pub backfill: bool,
    /// Where CloudTrail put it.
    pub bucket: String,
    /// The same, the key.
    pub object: String,
    /// Log files delivered from here on.
    pub start: DateTime<Utc>,
    /// Until here.
    pub end: DateTime<Utc>,
    /// Fingerprint of the key that it is signed under.
    pub fingerprint: String,
    /// The digest before it; a chain's first has none.
    pub previous: Option<Previous>,
    /// The log files that it names.
    pub logs: Vec<LogFile>,
    to_sign: String,
}

/// What a digest says of the one before it.
#[derive(Clone, Debug, PartialEq)]
pub struct Previous {
    /// Its bucket.
    pub bucket: String,
    /// Its key.
    pub object: String,
    /// SHA-256 (hex) of its uncompressed content.
    pub sha256: String,
    /// Its signature.
    pub signature: Vec<u8>,
}

/// What a digest says of a log file.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogFile {
    /// Its key.
    #[serde(rename = "s3Object")]
    pub object: String,
    /// SHA-256 (hex) of its uncompressed content.
    #[serde(rename = "hashValue")]
    pub sha256: String,
    /// The algorithm, which has to be SHA-256.
    pub hash_algorithm: String,
    /// The newest event in it.
    pub newest_event_time: Option<DateTime<Utc>>,
    /// The oldest event in it.
    pub oldest_event_time: Option<DateTime<Utc>>,
}

impl LogFile {
    /// Its name without the folders.
    pub fn name(&self) -> &str {
        base(&self.object)
    }

    /// Whether it may hold an event of this time. Where it does not say, it may.
    pub fn may_hold(&self, (from, to): (DateTime<Utc>, DateTime<Utc>)) -> bool {
        self.newest_event_time.is_none_or(|t| t >= from) && self.oldest_event_time.is_none_or(|t| t <= to)
    }
}

/// A key's or a path's last part.
pub(super) fn base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    aws_account_id: String,
    digest_start_time: DateTime<Utc>,
    digest_end_time: String,
    #[serde(rename = "digestS3Bucket")]
    bucket: String,
    #[serde(rename = "digestS3Object")]
    object: String,
    digest_public_key_fingerprint: String,
    digest_signature_algorithm: String,
    #[serde(rename = "previousDigestS3Bucket")]
    previous_bucket: Option<String>,
    #[serde(rename = "previousDigestS3Object")]
    previous_object: Option<String>,
    previous_digest_hash_value: Option<String>,
    previous_digest_hash_algorithm: Option<String>,
    previous_digest_signature: Option<String>,
    #[serde(default)]
    log_files: Option<Vec<LogFile>>,
}

/// Why a digest file cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// A field is missing or of another form.
    #[error("is no digest file of CloudTrail: {0}")]
    Form(String),
    /// Signed or hashed in a way that is not known.
    #[error("uses {0}, which redrill does not check")]
    Algorithm(String),
    /// Its own key in S3 is not one of CloudTrail's.
    #[error("names no place of CloudTrail's as its own: {0}")]
    Place(String),
    /// Its content is of another account than its place.
    #[error("is of account {0}, but lies under account {1}")]
    Account(String, String),
}

impl Digest {
    /// Reads a digest's uncompressed content.
    ///
    /// # Errors
    /// Where it is none, or is signed or hashed in another way than AWS documents.
    pub fn read(plain: &[u8]) -> Result<Self, DigestError> {
        let raw: Raw = serde_json::from_slice(plain).map_err(|e| DigestError::Form(e.to_string()))?;
        let known = |is: &str, wanted: &str| match is == wanted {
            true => Ok(()),
            false => Err(DigestError::Algorithm(is.to_owned())),
        };
        known(&raw.digest_signature_algorithm, "SHA256withRSA")?;
        let end = DateTime::parse_from_rfc3339(&raw.digest_end_time)
            .map_err(|e| DigestError::Form(e.to_string()))?
            .to_utc();
        let place = Place::of(&raw.object).ok_or_else(|| DigestError::Place(raw.object.clone()))?;
        if place.account != raw.aws_account_id {
            return Err(DigestError::Account(raw.aws_account_id, place.account));
        }
        let (bucket, object) = (raw.previous_bucket, raw.previous_object);
        let told = raw.previous_digest_hash_value.zip(raw.previous_digest_signature.clone());
        let previous = match (bucket.zip(object), told) {
            (None, _) => None,
            (Some((bucket, object)), Some((sha256, signature))) => {
                known(raw.previous_digest_hash_algorithm.as_deref().unwrap_or_default(), "SHA-256")?;
                let signature = unhex(&signature)
                    .ok_or_else(|| DigestError::Form("a signature is not hexadecimal".to_owned()))?;
                Some(Previous { bucket, object, sha256, signature })
            }
            (Some(_), None) => {
                return Err(DigestError::Form("the digest before it is named without its hash".to_owned()));
            }
        };
        let logs = raw.log_files.unwrap_or_default();
        for log in &logs {
            known(&log.hash_algorithm, "SHA-256")?;
        }
        let sha256 = merkle::hex(&merkle::sha256(plain));
        let to_sign = format!(
            "{}\n{}/{}\n{sha256}\n{}",
            raw.digest_end_time,
            raw.bucket,
            raw.object,
            // the first of a chain has none before it
            raw.previous_digest_signature.as_deref().unwrap_or("null")
        );
        Ok(Self {
            sha256,
            account: place.account,
            region: place.region,
            trail: place.trail,
            backfill: place.backfill,
            bucket: raw.bucket,
            object: raw.object,
            start: raw.digest_start_time,
            end,
            fingerprint: raw.digest_public_key_fingerprint,
            previous,
            logs,
            to_sign,
        })
    }

    /// Its name without the folders.
    pub fn name(&self) -> &str {
        base(&self.object)
    }

    /// Whether this is AWS's signature of it, by this key.
    pub fn is_signed(&self, signature: &[u8], key: &Key) -> bool {
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &key.der)
            .verify(self.to_sign.as_bytes(), signature)
            .is_ok()
    }

    /// Whether it follows this one in its chain.
    pub fn follows(&self, other: &Self) -> bool {
        self.previous
            .as_ref()
            .is_some_and(|p| p.bucket == other.bucket && p.object == other.object && p.sha256 == other.sha256)
    }
}

/// Where a digest lies, as its key says:
/// `[prefix/]AWSLogs/[o-…/]ACCOUNT/CloudTrail-Digest/REGION/YYYY/MM/DD/ACCOUNT_CloudTrail-Digest_REGION_TRAIL_HOME_TIME.json.gz`.
struct Place {
    account: String,
    region: String,
    trail: String,
    backfill: bool,
}

impl Place {
    fn of(object: &str) -> Option<Self> {
        let mut parts = object.rsplit('/');
        let name = parts.next()?.strip_suffix(".json.gz")?;
        for digits in [2, 2, 4] {
            let part = parts.next()?;
            (part.len() == digits && part.bytes().all(|b| b.is_ascii_digit())).then_some(())?;
        }
        let region = parts.next()?;
        (parts.next()? == "CloudTrail-Digest").then_some(())?;
        let account = parts.next()?;
        let above = parts.next()?;
        (above == "AWSLogs" || (above.starts_with("o-") && parts.next()? == "AWSLogs")).then_some(())?;
        let rest = name.strip_prefix(&format!("{account}_CloudTrail-Digest_{region}_"))?;
        let (rest, backfill) = rest.strip_suffix("_backfill").map_or((rest, false), |rest| (rest, true));
        let (trail, _time) = rest.rsplit_once('_')?;
        Some(Self {
            account: account.to_owned(),
            region: region.to_owned(),
            trail: trail.to_owned(),
            backfill,
        })
    }
}

/// Bytes from hexadecimal text.
pub(super) fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok())).collect();
    let digits = digits.filter(|d| d.len() % 2 == 0 && !d.is_empty() && d.len() <= 4096)?;
    Some(digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

/// The signature in what `aws s3api head-object` prints.
pub(super) fn head_object(answer: &Value) -> Option<Vec<u8>> {
    let metadata = answer.get("Metadata")?;
    (metadata.get("signature-algorithm").and_then(Value::as_str).unwrap_or("SHA256withRSA")
        == "SHA256withRSA")
        .then_some(())?;
    unhex(metadata.get("signature")?.as_str()?)
}

/// Keys that AWS signs digests under, as CloudTrail's ListPublicKeys gives them.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct PublicKeys {
    /// Each of them.
    #[serde(rename = "PublicKeyList")]
    pub keys: Vec<Key>,
}

/// One of these keys.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Key {
    /// What digests name it by.
    pub fingerprint: String,
    /// The key: `RSAPublicKey` (PKCS #1) in DER.
    #[serde(rename = "Value", deserialize_with = "from_base64", serialize_with = "to_base64")]
    pub der: Vec<u8>,
    /// Digests are signed under it from here on.
    #[serde(deserialize_with = "time")]
    pub validity_start_time: DateTime<Utc>,
    /// Until here.
    #[serde(deserialize_with = "time")]
    pub validity_end_time: DateTime<Utc>,
}

fn from_base64<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(from)?;
    STANDARD.decode(text.trim()).map_err(serde::de::Error::custom)
}

fn to_base64<S: serde::Serializer>(der: &[u8], to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&STANDARD.encode(der))
}

/// The AWS CLI prints times as text, or as seconds since 1970.
fn time<'de, D: Deserializer<'de>>(from: D) -> Result<DateTime<Utc>, D::Error> {
    let value = Value::deserialize(from)?;
    let read = match &value {
        Value::String(text) => DateTime::parse_from_rfc3339(text).ok().map(|t| t.to_utc()),
        #[expect(clippy::cast_possible_truncation, reason = "whole seconds; what is too large is no time")]
        Value::Number(n) => n.as_f64().and_then(|s| DateTime::from_timestamp(s as i64, 0)),
        _ => None,
    };
    read.ok_or_else(|| serde::de::Error::custom(format!("{value} is no time")))
}

impl PublicKeys {
    /// Reads what `aws cloudtrail list-public-keys` prints.
    ///
    /// # Errors
    /// Where it is something else.
    pub fn read(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }

    /// In the same form.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }

    /// Adds what is not there yet.
    pub fn add(&mut self, others: Self) {
        for key in others.keys {
            if !self.keys.contains(&key) {
                self.keys.push(key);
            }
        }
    }

    /// The keys that a digest may be signed under; or why there is none.
    ///
    /// # Errors
    /// In words, a fragment that follows the digest's name.
    pub fn of(&self, digest: &Digest) -> Result<Vec<&Key>, String> {
        let named: Vec<&Key> = self.keys.iter().filter(|k| k.fingerprint == digest.fingerprint).collect();
        if named.is_empty() {
            return Err(format!("is signed under key {}, which is not at hand", digest.fingerprint));
        }
        // what is filled in later is signed later
        let latest = if digest.backfill { DateTime::<Utc>::MAX_UTC } else { digest.end + SIGNED_WITHIN };
        let valid: Vec<&Key> = named
            .into_iter()
            .filter(|k| k.validity_start_time <= latest && k.validity_end_time >= digest.end)
            .collect();
        if valid.is_empty() {
            return Err(format!("is signed under key {}, which was not valid then", digest.fingerprint));
        }
        Ok(valid)
    }
}

#[cfg(test)]
mod tests;
