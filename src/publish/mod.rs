//! Publishing a bundle under Object Lock: what is already there, what is uploaded, what is read back.
//!
//! For: every object of a receipt. Not for: asking people, connecting, signing. Invariant: what
//! [`publish`] returns has been read back from the archive, with checksum, version and lock; whatever
//! the archive answers to an upload is never believed. I/O through [`Archive`] only.

use std::time::Duration;

use crate::bundle::Files;
use crate::cloud::agreed::Patience;
use crate::cloud::custody::{Archive, Keeping, ObjectLock, OwnedBucket, Placed, Stored, Upload};
use crate::cloud::{CloudError, EffectCertainty, ErrorKind};
use crate::evidence::receipt::{COMPLIANCE, Object, Publication, Retention};
use crate::evidence::statement::digest;

/// The largest object that one PutObject takes, in bytes.
const LARGEST: u64 = 5 << 30;
/// How often an upload is tried that may not have arrived.
const ATTEMPTS: usize = 3;
/// How long in all an upload is put off, and for how long at first and at most.
const SLOWED: Duration = Duration::from_secs(60);
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(8);

/// Why nothing, or not all of it, could be published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// A call failed.
    #[error("{0}")]
    Cloud(#[from] CloudError),
    /// The bucket keeps no versions.
    #[error("bucket {0} has no versioning")]
    NoVersioning(String),
    /// The bucket locks nothing.
    #[error("bucket {0} has no Object Lock")]
    NoLock(String),
    /// The bucket gave an object no version, although it keeps versions.
    #[error("{0}: the bucket gave it no version")]
    NoVersion(String),
    /// An object was stored, and its checksum or its lock may not be read.
    #[error("{key} was stored and cannot be read back: {why}")]
    Unreadable {
        /// The object.
        key: String,
        /// What was refused.
        why: String,
        /// The key of AWS KMS that encrypts it, where S3 said which.
        kms_key: Option<String>,
    },
    /// A file is too large.
    #[error("{0} is larger than one upload may be (5 GiB)")]
    TooLarge(String),
    /// An object is not what was uploaded, or not kept as was asked.
    #[error("{key}: {what}")]
    NotAsAsked {
        /// The object.
        key: String,
        /// What is wrong with it.
        what: String,
    },
}

/// What is to be published, where, and how it is locked.
#[derive(Clone, Debug)]
pub struct Order<'a> {
    /// The bundle.
    pub files: &'a Files,
    /// The bucket.
    pub bucket: OwnedBucket,
    /// What every key begins with.
    pub prefix: String,
    /// The lock; `None` to publish without one.
    pub lock: Option<Retention>,
}

/// Whether the bucket can keep what is asked for.
///
/// # Errors
/// Where it cannot, or does not answer.
pub async fn ready(archive: &dyn Archive, order: &Order<'_>) -> Result<Keeping, PublishError> {
    if let Some((name, _)) = order.files.iter().find(|(_, bytes)| bytes.len() as u64 > LARGEST) {
        return Err(PublishError::TooLarge(name.clone()));
    }
    let keeping = archive.keeping(&order.bucket).await?;
    if order.lock.is_some() && !keeping.object_lock {
        return Err(PublishError::NoLock(order.bucket.name.clone()));
    }
    if order.lock.is_some() && !keeping.versioning {
        return Err(PublishError::NoVersioning(order.bucket.name.clone()));
    }
    Ok(keeping)
}

/// Uploads what is not there yet and reads all of it back. Says through `told` which file is at hand,
/// and whether it had been there.
///
/// # Errors
/// At the first object that is not as asked, or call that fails. What is there by then stays, and is
/// found when it is repeated.
pub async fn publish(
    archive: &dyn Archive,
    order: &Order<'_>,
    mut told: impl FnMut(&str, bool),
) -> Result<Vec<Object>, PublishError> {
    let there = archive.versions(&order.bucket, &order.prefix).await?;
    let (mut placed, mut tried) = (Vec::new(), false);
    for (name, bytes) in order.files {
        let file = File { name, bytes, key: format!("{}{name}", order.prefix), sha256: digest(bytes) };
        let earlier = file.among(archive, order, &there).await?;
        told(name, earlier.is_some());
        let version = match earlier {
            Some(object) => object.version,
            None => {
                let placed = file.upload(archive, order).await?;
                // locked objects stay for years: before the second, the first is known to be as asked
                if !tried {
                    tried = true;
                    file.read_back(archive, order, &placed).await?;
                }
                placed.version
            }
        };
        placed.push((file, version));
    }
    let mut objects = Vec::new();
    for (file, version) in placed {
        let placed = Placed { version, kms_key: None };
        objects.push(file.read_back(archive, order, &placed).await?);
    }
    Ok(objects)
}

/// Whether every object of a receipt is still there as it says.
///
/// # Errors
/// Where one is not, or a call fails.
pub async fn still_there(archive: &dyn Archive, receipt: &Publication) -> Result<(), PublishError> {
    let bucket = OwnedBucket { name: receipt.bucket.clone(), owner: receipt.account.clone() };
    for object in &receipt.objects {
        let wrong = |what: &str| PublishError::NotAsAsked { key: object.key.clone(), what: what.to_owned() };
        let stored = archive.stored(&bucket, &object.key, object.version.as_deref()).await?;
        let stored = stored.ok_or_else(|| wrong("it is not there any more"))?;
        compare(&stored, &object.sha256, object.size, object.lock.as_ref()).map_err(|what| wrong(&what))?;
    }
    Ok(())
}

/// Whether a stored object is this one, locked at least so.
fn compare(stored: &Stored, sha256: &str, size: u64, lock: Option<&Retention>) -> Result<(), String> {
    match &stored.sha256 {
        None => return Err("S3 gives no SHA-256 of it".to_owned()),
        Some(theirs) if theirs != sha256 => return Err(format!("its SHA-256 is {theirs}, not {sha256}")),
        Some(_) if stored.size != size => return Err(format!("it has {} bytes, not {size}", stored.size)),
        Some(_) => {}
    }
    match (lock, &stored.lock) {
        (None, _) => Ok(()),
        (Some(_), None) => Err("no lock on it can be seen".to_owned()),
        (Some(_), Some(held)) if held.mode != COMPLIANCE => Err(format!("its lock is of mode {}", held.mode)),
        // S3 need not keep fractions of a second
        (Some(asked), Some(held)) if held.until.timestamp() < asked.until.timestamp() => {
            Err(format!("it is locked until {}, not until {}", held.until, asked.until))
        }
        (Some(_), Some(_)) => Ok(()),
    }
}

/// A file on its way.
struct File<'a> {
    name: &'a str,
    bytes: &'a [u8],
    key: String,
    sha256: String,
}

impl File<'_> {
    fn wrong(&self, what: &str) -> PublishError {
        PublishError::NotAsAsked { key: self.key.clone(), what: what.to_owned() }
    }

    fn as_asked(&self, stored: &Stored, lock: Option<&Retention>) -> Result<Object, String> {
        compare(stored, &self.sha256, self.bytes.len() as u64, lock)?;
        let held = stored.lock.as_ref();
        Ok(Object {
            name: self.name.to_owned(),
            key: self.key.clone(),
            version: stored.version.clone(),
            sha256: self.sha256.clone(),
            size: stored.size,
            lock: held.map(|l| Retention { mode: l.mode.clone(), until: l.until }),
        })
    }

    /// The object as it is kept; an error where that is not as asked.
    async fn read_back(
        &self,
        archive: &dyn Archive,
        order: &Order<'_>,
        placed: &Placed,
    ) -> Result<Object, PublishError> {
        let unreadable = |why: String| PublishError::Unreadable {
            key: self.key.clone(),
            why,
            kms_key: placed.kms_key.clone(),
        };
        if order.lock.is_some() && placed.version.is_none() {
            return Err(PublishError::NoVersion(self.key.clone()));
        }
        let stored = match archive.stored(&order.bucket, &self.key, placed.version.as_deref()).await {
            Err(e) if e.kind == ErrorKind::Denied => return Err(unreadable(e.to_string())),
            stored => stored?.ok_or_else(|| self.wrong("it is not there after the upload"))?,
        };
        if stored.version != placed.version {
            return Err(self.wrong("another version came back than the one that was written"));
        }
        // without kms:Decrypt, S3 leaves the checksum of an object out that a key of AWS KMS encrypts
        if stored.sha256.is_none() {
            return Err(unreadable("S3 gives no SHA-256 of it".to_owned()));
        }
        self.as_asked(&stored, order.lock.as_ref()).map_err(|what| self.wrong(&what))
    }

    /// A version of this object that is as asked already.
    async fn among(
        &self,
        archive: &dyn Archive,
        order: &Order<'_>,
        there: &[(String, String)],
    ) -> Result<Option<Object>, PublishError> {
        for (_, version) in there.iter().filter(|(key, _)| *key == self.key) {
            let version = Some(version.as_str()).filter(|v| *v != "null");
            if let Some(stored) = archive.stored(&order.bucket, &self.key, version).await?
                && stored.version.as_deref() == version
                && (order.lock.is_none() || version.is_some())
                && let Ok(object) = self.as_asked(&stored, order.lock.as_ref())
            {
                return Ok(Some(object));
            }
        }
        Ok(None)
    }

    /// Writes it; where nobody can tell whether it arrived, looks before it is written again.
    async fn upload(&self, archive: &dyn Archive, order: &Order<'_>) -> Result<Placed, PublishError> {
        let upload = Upload {
            key: self.key.clone(),
            body: self.bytes.to_vec(),
            sha256: self.sha256.clone(),
            content_type: content_type(self.name),
            lock: order.lock.as_ref().map(|l| ObjectLock { mode: l.mode.clone(), until: l.until }),
        };
        let (mut attempt, mut patience) = (1, Patience::of(SLOWED, FIRST_WAIT, LONGEST_WAIT));
        loop {
            let error = match archive.put(&order.bucket, &upload).await {
                Ok(placed) => return Ok(placed),
                Err(error) => error,
            };
            let slowed = error.kind == ErrorKind::Throttled;
            let again = slowed || (error.effect != EffectCertainty::None && attempt < ATTEMPTS);
            // asked again at once, who is slowed down is slowed down again
            if !again || !patience.wait().await {
                return Err(error.into());
            }
            attempt += usize::from(!slowed);
            let there = archive.versions(&order.bucket, &self.key).await?;
            if let Some(object) = self.among(archive, order, &there).await? {
                return Ok(Placed { version: object.version, kms_key: None });
            }
        }
    }
}

/// What a browser or a reader is told of a file.
fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map_or("", |(_, end)| end) {
        "json" => "application/json",
        "jsonl" => "application/jsonl",
        "yaml" => "application/yaml",
        "xml" => "application/xml",
        "pdf" => "application/pdf",
        "html" => "text/html; charset=utf-8",
        "md" => "text/markdown; charset=utf-8",
        "tsr" => "application/timestamp-reply",
        "csv" => "text/csv; charset=utf-8",
        "txt" | "pub" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests;
