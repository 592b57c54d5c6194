//! What evidence asks of the cloud: a signing key that never leaves it, and an archive under lock.
//!
//! Apart from [`super::Reads`] and [`super::Mutate`] on purpose: no drill signs or archives anything, and
//! whoever hands evidence over cannot change what a drill is about. Implementations send a change once.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::{CloudResult, Sts};
use crate::model::World;

/// A connection for handing evidence over.
#[derive(Clone)]
pub struct Custody {
    /// Who is calling.
    pub sts: Arc<dyn Sts>,
    /// AWS KMS.
    pub kms: Arc<dyn Kms>,
    /// S3.
    pub archive: Arc<dyn Archive>,
    /// Which world this is.
    pub world: World,
    /// The region of every call.
    pub region: String,
}

/// The public half of a key in AWS KMS, as GetPublicKey describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KmsKey {
    /// For example `ECC_NIST_P256`.
    pub spec: String,
    /// For example `SIGN_VERIFY`.
    pub usage: String,
    /// `SubjectPublicKeyInfo` in DER.
    pub der: Vec<u8>,
}

/// AWS KMS.
#[async_trait]
pub trait Kms: Send + Sync {
    /// GetPublicKey.
    async fn public_key(&self, key: &str) -> CloudResult<KmsKey>;
    /// Sign of a SHA-256 digest with ECDSA_SHA_256; the signature in DER.
    async fn sign(&self, key: &str, digest: &[u8; 32]) -> CloudResult<Vec<u8>>;
}

/// A bucket, and the account that has to own it: S3 refuses every call to anybody else's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedBucket {
    /// Its name.
    pub name: String,
    /// The account.
    pub owner: String,
}

/// How a bucket keeps what is in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keeping {
    /// Its region, where the answer says it.
    pub region: Option<String>,
    /// Whether versioning is on.
    pub versioning: bool,
    /// Whether Object Lock is on.
    pub object_lock: bool,
}

/// How one version of an object is locked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectLock {
    /// `COMPLIANCE` or `GOVERNANCE`.
    pub mode: String,
    /// Until when (UTC).
    pub until: DateTime<Utc>,
}

/// One version of an object, as HeadObject describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The version; `None` in a bucket without versioning.
    pub version: Option<String>,
    /// SHA-256 (hex) of the whole object as S3 knows it, where it does.
    pub sha256: Option<String>,
    /// Bytes.
    pub size: u64,
    /// How it is locked, where it is and the caller may see it.
    pub lock: Option<ObjectLock>,
}

/// An object to store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    /// Its key.
    pub key: String,
    /// Its bytes.
    pub body: Vec<u8>,
    /// Their SHA-256 (hex): S3 refuses a body that does not have it.
    pub sha256: String,
    /// Its type.
    pub content_type: &'static str,
    /// How it is locked.
    pub lock: Option<ObjectLock>,
}

/// What S3 answers to an upload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placed {
    /// The new version; `None` in a bucket without versioning.
    pub version: Option<String>,
    /// The key of AWS KMS (ARN) that encrypts it, where one does.
    pub kms_key: Option<String>,
}

/// S3 as a place to keep things.
#[async_trait]
pub trait Archive: Send + Sync {
    /// GetBucketVersioning, GetObjectLockConfiguration and HeadBucket.
    async fn keeping(&self, bucket: &OwnedBucket) -> CloudResult<Keeping>;
    /// ListObjectVersions under a prefix, every page: key and version, without delete markers.
    async fn versions(&self, bucket: &OwnedBucket, prefix: &str) -> CloudResult<Vec<(String, String)>>;
    /// HeadObject of one version, or of the object in a bucket without versioning; `None` where it is not
    /// there.
    async fn stored(
        &self,
        bucket: &OwnedBucket,
        key: &str,
        version: Option<&str>,
    ) -> CloudResult<Option<Stored>>;
    /// PutObject, once.
    async fn put(&self, bucket: &OwnedBucket, upload: &Upload) -> CloudResult<Placed>;
}
