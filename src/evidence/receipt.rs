//! The receipt of a published bundle: which object holds which file, and how it is locked. Pure.
//!
//! A signed statement of its own, in RFC 8785 bytes: a bundle cannot speak of its own copy. The subjects
//! are the bundle's files, those that carry its signature among them. A receipt that contradicts itself
//! is refused: it never says "locked" of anything that is not.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::dsse::{DsseError, Envelope};
use super::keys::PublicKey;
use super::statement::{PUBLICATION, STATEMENT, Statement, Subject, digest};
use crate::model::World;

/// The beginning of the names of receipts in a run's folder: then a number from 1, then `.dsse.json` or
/// `.pub`.
pub const NAME: &str = "receipt-";
/// The mode that nobody can undo.
pub const COMPLIANCE: &str = "COMPLIANCE";
/// What a receipt says that was made without a lock.
pub const UNLOCKED: &str = "nothing is locked: whoever may delete or replace these objects can";

/// Why a receipt cannot be trusted.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// The envelope.
    #[error("{0}")]
    Envelope(#[from] DsseError),
    /// Another kind of statement, or written in another way.
    #[error("it is no receipt in its canonical form")]
    NotCanonical,
    /// It says one thing and another.
    #[error("it contradicts itself: {0}")]
    Inconsistent(String),
    /// It is about another bundle.
    #[error("it is about another bundle: {0}")]
    OtherBundle(String),
}

/// Where a bundle is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Publication {
    /// The run.
    pub run: String,
    /// SHA-256 (hex) of the bundle's statement, as it was signed.
    pub statement_sha256: String,
    /// The redrill that published it.
    pub redrill: String,
    /// The world that the bucket is in.
    pub world: World,
    /// The bucket.
    pub bucket: String,
    /// What every key begins with.
    pub prefix: String,
    /// The bucket's region.
    pub region: String,
    /// The account that owns it.
    pub account: String,
    /// Who published it, as AWS knows them.
    pub by: String,
    /// Who sat at the machine: `user@host`.
    pub operator: String,
    /// When all of it had been read back (UTC).
    #[serde(deserialize_with = "crate::model::bounded::time")]
    pub at: DateTime<Utc>,
    /// The lock that all objects have; `None` if they were published without one.
    pub lock: Option<Retention>,
    /// What there is to know of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
    /// The objects, by file name.
    pub objects: Vec<Object>,
}

/// A retention.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    /// Always [`COMPLIANCE`].
    pub mode: String,
    /// Until when (UTC).
    #[serde(deserialize_with = "crate::model::bounded::time")]
    pub until: DateTime<Utc>,
}

/// One object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Object {
    /// The file's name in the bundle.
    pub name: String,
    /// The object's key.
    pub key: String,
    /// Its version; `None` in a bucket without versioning.
    pub version: Option<String>,
    /// SHA-256 (hex).
    pub sha256: String,
    /// Bytes.
    pub size: u64,
    /// How it is locked.
    pub lock: Option<Retention>,
}

impl Publication {
    fn subjects(&self) -> Vec<Subject> {
        let subject = |o: &Object| Subject {
            name: o.name.clone(),
            digest: [("sha256".to_owned(), o.sha256.clone())].into(),
        };
        self.objects.iter().map(subject).collect()
    }

    /// The bytes that are signed.
    ///
    /// # Panics
    /// Never: a receipt always serialises.
    pub fn to_bytes(&self) -> Vec<u8> {
        let predicate = serde_json::to_value(self).expect("BUG: a receipt serialises");
        let statement = Statement::new(self.subjects(), PUBLICATION, predicate);
        serde_json_canonicalizer::to_vec(&statement).expect("BUG: a receipt serialises")
    }

    /// Reads a receipt, if this key signed it.
    ///
    /// # Errors
    /// Where it is none, is written in any other way, or contradicts itself.
    pub fn open(bytes: &[u8], key: &PublicKey) -> Result<Self, ReceiptError> {
        let payload = Envelope::from_bytes(bytes)?.verify(key)?;
        let not = |_| ReceiptError::NotCanonical;
        let statement: Statement = serde_json::from_slice(&payload).map_err(not)?;
        let of_receipt = statement.kind == STATEMENT && statement.predicate_type == PUBLICATION;
        let receipt: Self = serde_json::from_value(statement.predicate).map_err(not)?;
        if !of_receipt || receipt.to_bytes() != payload {
            return Err(ReceiptError::NotCanonical);
        }
        receipt.consistent()?;
        Ok(receipt)
    }

    /// Whether every object is what the receipt says of all of them.
    ///
    /// # Errors
    /// Where one is not.
    pub fn consistent(&self) -> Result<(), ReceiptError> {
        let wrong = |what: String| Err(ReceiptError::Inconsistent(what));
        let names: BTreeSet<&str> = self.objects.iter().map(|o| o.name.as_str()).collect();
        if names.len() != self.objects.len() || names.is_empty() {
            return wrong("it names a file twice, or none".to_owned());
        }
        if self.lock.as_ref().is_some_and(|l| l.mode != COMPLIANCE || l.until <= self.at) {
            return wrong("its lock is none".to_owned());
        }
        if self.lock.is_none() != (self.warning.as_deref() == Some(UNLOCKED)) {
            return wrong("it does not say whether anything is locked".to_owned());
        }
        for o in &self.objects {
            if o.key != format!("{}{}", self.prefix, o.name) {
                return wrong(format!("{} lies somewhere else", o.name));
            }
            let Some(lock) = &self.lock else { continue };
            let held = o.lock.as_ref().is_some_and(|l| l.mode == COMPLIANCE && l.until >= lock.until);
            if !held || o.version.is_none() {
                return wrong(format!("{} is not locked until {}", o.name, lock.until));
            }
        }
        Ok(())
    }

    /// Whether this is the receipt of exactly these files, and of the statement that they carry.
    ///
    /// # Errors
    /// Where it is not.
    pub fn covers(&self, files: &BTreeMap<String, Vec<u8>>, statement: &[u8]) -> Result<(), ReceiptError> {
        let other = |what: String| Err(ReceiptError::OtherBundle(what));
        if self.statement_sha256 != digest(statement) {
            return other("its statement is another one".to_owned());
        }
        for object in &self.objects {
            match files.get(&object.name) {
                None => return other(format!("{} is not there", object.name)),
                Some(bytes) if digest(bytes) != object.sha256 || bytes.len() as u64 != object.size => {
                    return other(format!("{} is not the file that was published", object.name));
                }
                Some(_) => {}
            }
        }
        match files.keys().find(|name| !self.objects.iter().any(|o| o.name == **name)) {
            Some(name) => other(format!("{name} was not published")),
            None => Ok(()),
        }
    }

    /// For the record: a copy where nobody can change it, if it is one.
    pub fn summary(&self) -> Option<Value> {
        let lock = self.lock.as_ref()?;
        Some(json!({
            "at": self.at,
            "by": self.by,
            "place": format!("s3://{}/{}", self.bucket, self.prefix),
            "region": self.region,
            "account": self.account,
            "world": self.world,
            "objects": self.objects.len(),
            "mode": lock.mode,
            "until": lock.until,
            "statement_sha256": self.statement_sha256,
        }))
    }
}

/// The newest receipt of a lock among these files, for a run in this world; the key beside each has
/// signed it.
///
/// # Errors
/// Where one cannot be trusted: it is never passed over.
pub fn newest(
    files: &BTreeMap<String, Vec<u8>>,
    run: &str,
    world: Option<World>,
) -> Result<Option<Publication>, ReceiptError> {
    let mut found = None;
    for number in 1.. {
        let Some(bytes) = files.get(&format!("{NAME}{number}.dsse.json")) else { break };
        let pem = files.get(&format!("{NAME}{number}.pub")).and_then(|b| std::str::from_utf8(b).ok());
        let key = pem.and_then(|pem| PublicKey::from_pem(pem).ok()).ok_or(ReceiptError::NotCanonical)?;
        let receipt = Publication::open(bytes, &key)?;
        if receipt.run != run {
            return Err(ReceiptError::OtherBundle(format!("it is of run {}", receipt.run)));
        }
        if receipt.lock.is_some() && Some(receipt.world) == world {
            found = Some(receipt);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::keys::{Algorithm, PrivateKey};

    fn at(day: &str) -> DateTime<Utc> {
        format!("{day}T00:00:00Z").parse().unwrap()
    }

    fn files() -> BTreeMap<String, Vec<u8>> {
        [("a.json", &b"{}"[..]), ("b.md", b"# b\n")].map(|(n, b)| (n.to_owned(), b.to_vec())).into()
    }

    fn receipt() -> Publication {
        let lock = || Some(Retention { mode: COMPLIANCE.to_owned(), until: at("2033-01-01") });
        let object = |(name, bytes): (&String, &Vec<u8>)| Object {
            name: name.clone(),
            key: format!("dr/r/{name}"),
            version: Some("v1".to_owned()),
            sha256: digest(bytes),
            size: bytes.len() as u64,
            lock: lock(),
        };
        Publication {
            run: "r".to_owned(),
            statement_sha256: digest(b"statement"),
            redrill: "0".to_owned(),
            world: World::Aws,
            bucket: "evidence".to_owned(),
            prefix: "dr/r/".to_owned(),
            region: "eu-west-1".to_owned(),
            account: "123456789012".to_owned(),
            by: "arn:aws:iam::123456789012:role/drills".to_owned(),
            operator: "op@host".to_owned(),
            at: at("2026-01-01"),
            lock: lock(),
            warning: None,
            objects: files().iter().map(object).collect(),
        }
    }

    fn signed(receipt: &Publication) -> (PublicKey, Vec<u8>) {
        let key = PrivateKey::generate(Algorithm::P256).unwrap();
        let payload = receipt.to_bytes();
        let signature = key.sign(&super::super::dsse::pae(&payload)).unwrap();
        (key.public(), Envelope::new(&payload, &key.public(), &signature).to_bytes())
    }

    #[test]
    fn a_receipt_comes_back_and_only_its_key_opens_it() {
        let (key, bytes) = signed(&receipt());
        assert_eq!(Publication::open(&bytes, &key), Ok(receipt()));
        assert_eq!(receipt().covers(&files(), b"statement"), Ok(()));
        let (other, _) = signed(&receipt());
        assert!(matches!(Publication::open(&bytes, &other), Err(ReceiptError::Envelope(_))));
    }

    #[test]
    fn a_receipt_that_says_locked_of_what_is_not_is_refused_even_with_a_good_signature() {
        let changes: [fn(&mut Publication); 9] = [
            |r| r.objects[1].lock = None,
            |r| r.objects[1].lock.as_mut().unwrap().mode = "GOVERNANCE".to_owned(),
            |r| r.objects[1].lock.as_mut().unwrap().until = at("2032-12-31"),
            |r| r.objects[0].version = None,
            |r| r.objects[0].key = "elsewhere/a.json".to_owned(),
            |r| r.objects[1].name = "a.json".to_owned(),
            |r| r.lock.as_mut().unwrap().until = at("2025-12-31"),
            |r| r.lock = None,
            |r| r.objects.clear(),
        ];
        for (n, change) in changes.iter().enumerate() {
            let mut changed = receipt();
            change(&mut changed);
            let (key, bytes) = signed(&changed);
            let opened = Publication::open(&bytes, &key);
            assert!(matches!(opened, Err(ReceiptError::Inconsistent(_))), "{n}: {opened:?}");
        }
    }

    #[test]
    fn a_receipt_is_of_one_bundle() {
        let about = |change: fn(&mut BTreeMap<String, Vec<u8>>)| {
            let mut files = files();
            change(&mut files);
            receipt().covers(&files, b"statement")
        };
        let other = |what: &str| Err(ReceiptError::OtherBundle(what.to_owned()));
        let changed = |f: &mut BTreeMap<String, Vec<u8>>| drop(f.insert("a.json".to_owned(), b"[]".to_vec()));
        assert_eq!(about(changed), other("a.json is not the file that was published"));
        assert_eq!(about(|f| drop(f.remove("b.md"))), other("b.md is not there"));
        let more = |f: &mut BTreeMap<String, Vec<u8>>| drop(f.insert("c".to_owned(), b"c".to_vec()));
        assert_eq!(about(more), other("c was not published"));
        assert_eq!(receipt().covers(&files(), b"another"), other("its statement is another one"));
    }

    #[test]
    fn a_copy_counts_where_it_is_locked_and_in_the_runs_own_world() {
        let kept = |receipts: &[Publication], world| {
            let mut files = BTreeMap::new();
            for (n, receipt) in receipts.iter().enumerate() {
                let (key, bytes) = signed(receipt);
                files.insert(format!("{NAME}{}.dsse.json", n + 1), bytes);
                files.insert(format!("{NAME}{}.pub", n + 1), key.to_pem().into_bytes());
            }
            newest(&files, "r", world)
        };
        let mut open = receipt();
        (open.lock, open.warning) = (None, Some(UNLOCKED.to_owned()));
        let mut emulated = receipt();
        emulated.world = World::Emulator;
        let aws = Some(World::Aws);
        assert_eq!(kept(&[receipt(), open.clone()], aws), Ok(Some(receipt())));
        assert_eq!(kept(&[open], aws), Ok(None));
        assert_eq!(kept(&[emulated], aws), Ok(None), "a copy on an emulator is none of a run on AWS");
        let mut other = receipt();
        other.run = "s".to_owned();
        assert!(kept(&[other], aws).is_err());
    }
}
