//! CloudTrail as tests need it: digest files by the documented format, signed by a key of the test's own.
//!
//! Stands by itself: the integration tests take this file in, too.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};

pub const BUCKET: &str = "audit-logs";

/// The signer of one region.
pub struct Signer {
    key: Arc<KeyPair>,
    pub fingerprint: String,
    pub account: String,
    pub region: String,
    pub valid: (DateTime<Utc>, DateTime<Utc>),
}

/// A digest file.
#[derive(Clone, Debug)]
pub struct Signed {
    pub name: String,
    pub object: String,
    pub plain: String,
    pub signature: String,
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

pub fn sha256(bytes: &[u8]) -> String {
    hex(digest(&SHA256, bytes).as_ref())
}

fn text(t: DateTime<Utc>) -> String {
    t.to_rfc3339_opts(SecondsFormat::Secs, true)
}

impl Signer {
    /// The same key for the same account and region: making one takes its time.
    pub fn new(account: &str, region: &str) -> Self {
        type Keys = Mutex<HashMap<String, Arc<KeyPair>>>;
        static KEYS: LazyLock<Keys> = LazyLock::new(Keys::default);
        let mut keys = KEYS.lock().expect("no test panics here");
        let made = || Arc::new(KeyPair::generate(KeySize::Rsa2048).expect("a key"));
        let key = Arc::clone(keys.entry(format!("{account} {region}")).or_insert_with(made));
        let valid = (DateTime::UNIX_EPOCH, DateTime::UNIX_EPOCH + TimeDelta::days(36_500));
        let fingerprint = hex(&digest(&SHA256, key.public_key().as_ref()).as_ref()[..16]);
        Self { key, fingerprint, account: account.into(), region: region.into(), valid }
    }

    /// What `aws cloudtrail list-public-keys` prints.
    pub fn keys(&self) -> Value {
        json!({ "PublicKeyList": [{
            "Value": STANDARD.encode(self.key.public_key().as_ref()),
            "ValidityStartTime": text(self.valid.0), "ValidityEndTime": text(self.valid.1),
            "Fingerprint": self.fingerprint,
        }]})
    }

    pub fn sign(&self, text: &str) -> String {
        let mut signature = vec![0; self.key.public_modulus_len()];
        let random = SystemRandom::new();
        self.key.sign(&RSA_PKCS1_SHA256, &random, text.as_bytes(), &mut signature).expect("signed");
        hex(&signature)
    }

    /// Where the log file of this name lies.
    pub fn log_object(&self, name: &str, at: DateTime<Utc>) -> String {
        let day = at.format("%Y/%m/%d");
        format!("AWSLogs/{}/CloudTrail/{}/{day}/{name}", self.account, self.region)
    }

    /// The digest of the log files (name, plain content) delivered between two times.
    pub fn digest(
        &self,
        (from, to): (DateTime<Utc>, DateTime<Utc>),
        previous: Option<&Signed>,
        logs: &[(&str, &[u8])],
    ) -> Signed {
        self.named((from, to), previous, logs, "")
    }

    /// The same, with something added to its name.
    pub fn named(
        &self,
        (from, to): (DateTime<Utc>, DateTime<Utc>),
        previous: Option<&Signed>,
        logs: &[(&str, &[u8])],
        suffix: &str,
    ) -> Signed {
        let (account, region) = (&self.account, &self.region);
        let name = format!(
            "{account}_CloudTrail-Digest_{region}_audit_all_eu-west-1_{}{suffix}.json.gz",
            to.format("%Y%m%dT%H%M%SZ")
        );
        let day = to.format("%Y/%m/%d");
        let object = format!("AWSLogs/{account}/CloudTrail-Digest/{region}/{day}/{name}");
        let files: Vec<Value> = logs.iter().map(|(name, plain)| self.entry(name, plain, to)).collect();
        let plain = json!({
            "awsAccountId": account,
            "digestStartTime": text(from), "digestEndTime": text(to),
            "digestS3Bucket": BUCKET, "digestS3Object": object,
            "digestPublicKeyFingerprint": self.fingerprint, "digestSignatureAlgorithm": "SHA256withRSA",
            "newestEventTime": null, "oldestEventTime": null,
            "previousDigestS3Bucket": previous.map(|_| BUCKET),
            "previousDigestS3Object": previous.map(|p| &p.object),
            "previousDigestHashValue": previous.map(|p| sha256(p.plain.as_bytes())),
            "previousDigestHashAlgorithm": previous.map(|_| "SHA-256"),
            "previousDigestSignature": previous.map(|p| &p.signature),
            "logFiles": files,
        })
        .to_string();
        let before = previous.map_or("null", |p| p.signature.as_str());
        let signature =
            self.sign(&format!("{}\n{BUCKET}/{object}\n{}\n{before}", text(to), sha256(plain.as_bytes())));
        Signed { name, object, plain, signature }
    }

    fn entry(&self, name: &str, plain: &[u8], at: DateTime<Utc>) -> Value {
        let all: Value = serde_json::from_slice(plain).expect("JSON");
        let records = all["Records"].as_array().cloned().unwrap_or_default();
        let mut times: Vec<&str> = records.iter().filter_map(|r| r["eventTime"].as_str()).collect();
        times.sort_unstable();
        json!({
            "s3Bucket": BUCKET, "s3Object": self.log_object(name, at),
            "hashValue": sha256(plain), "hashAlgorithm": "SHA-256",
            "newestEventTime": times.last(), "oldestEventTime": times.first(),
        })
    }

    /// Digests of these hours, one after the other.
    pub fn chain(&self, from: DateTime<Utc>, hours: &[&[(&str, &[u8])]]) -> Vec<Signed> {
        let mut out: Vec<Signed> = Vec::new();
        for (n, logs) in hours.iter().enumerate() {
            let start = from + TimeDelta::hours(i64::try_from(n).expect("few"));
            let next = self.digest((start, start + TimeDelta::hours(1)), out.last(), logs);
            out.push(next);
        }
        out
    }
}

impl Signed {
    /// What `aws s3api head-object` prints of it.
    pub fn head(&self) -> Value {
        json!({ "ContentType": "application/json", "Metadata": {
            "signature": self.signature, "signature-algorithm": "SHA256withRSA",
        }})
    }
}
