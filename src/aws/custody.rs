//! AWS KMS as a signer and S3 as an archive. I/O; see the module above for what holds everywhere.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::{MessageType, SigningAlgorithmSpec};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{BucketVersioningStatus, ChecksumAlgorithm, ChecksumMode};
use aws_sdk_s3::types::{ObjectLockEnabled, ObjectLockMode};
use aws_smithy_types::timeout::TimeoutConfig;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::connect::{Clients, ConnectOptions};
use super::error::{failed_change, failed_read};
use super::s3::{LIST_VERSIONS, from_token, to_token};
use super::{non_empty, others, sdk_time, time};
use crate::cloud::custody::{
    Archive, Custody, Keeping, Kms, KmsKey, ObjectLock, OwnedBucket, Placed, Stored, Upload,
};
use crate::cloud::{CloudError, CloudResult, ErrorKind, Page, all_pages};
use crate::model::Clock;

/// The longest that one upload may take.
const UPLOAD: Duration = Duration::from_secs(600);

/// Connects for handing evidence over. Sends nothing yet.
///
/// # Errors
/// As [`super::connect`].
pub async fn custody(options: &ConnectOptions, clock: Arc<dyn Clock>) -> CloudResult<Custody> {
    let (clients, lives, region) = Clients::of(options, clock).await?;
    let patient = TimeoutConfig::builder().connect_timeout(Duration::from_secs(5)).operation_timeout(UPLOAD);
    let upload = clients.change.clone().into_builder().timeout_config(patient.build()).build();
    Ok(Custody {
        sts: Arc::new(others::StsReads { client: clients.sts(), lives }),
        kms: Arc::new(Keys { client: aws_sdk_kms::Client::new(&clients.read) }),
        archive: Arc::new(Bucket { read: clients.s3(&clients.read), write: clients.s3(&upload) }),
        world: clients.world(),
        region,
    })
}

struct Keys {
    client: aws_sdk_kms::Client,
}

#[async_trait]
impl Kms for Keys {
    async fn public_key(&self, key: &str) -> CloudResult<KmsKey> {
        let op = "kms:GetPublicKey";
        let out = self.client.get_public_key().key_id(key).send().await.map_err(failed_read(op))?;
        // emulators know only the older name of the same member
        #[expect(deprecated, reason = "the only one that moto answers with")]
        let older = out.customer_master_key_spec().map(|s| s.as_str());
        Ok(KmsKey {
            spec: out.key_spec().map(|s| s.as_str()).or(older).unwrap_or_default().to_owned(),
            usage: out.key_usage().map(|u| u.as_str().to_owned()).unwrap_or_default(),
            der: out.public_key().map(|b| b.as_ref().to_vec()).unwrap_or_default(),
        })
    }

    async fn sign(&self, key: &str, digest: &[u8; 32]) -> CloudResult<Vec<u8>> {
        let op = "kms:Sign";
        let call = self
            .client
            .sign()
            .key_id(key)
            .message(Blob::new(digest.to_vec()))
            .message_type(MessageType::Digest)
            .signing_algorithm(SigningAlgorithmSpec::EcdsaSha256);
        let out = call.send().await.map_err(failed_read(op))?;
        let signature = out.signature().map(|b| b.as_ref().to_vec());
        signature.ok_or_else(|| CloudError::new(op, ErrorKind::Unreadable, "the answer holds no signature"))
    }
}

struct Bucket {
    read: aws_sdk_s3::Client,
    write: aws_sdk_s3::Client,
}

#[async_trait]
impl Archive for Bucket {
    async fn keeping(&self, bucket: &OwnedBucket) -> CloudResult<Keeping> {
        let (name, owner) = (&bucket.name, &bucket.owner);
        let call = self.read.get_bucket_versioning().bucket(name).expected_bucket_owner(owner);
        let versioning = call.send().await.map_err(failed_read("s3:GetBucketVersioning"))?;
        let call = self.read.get_object_lock_configuration().bucket(name).expected_bucket_owner(owner);
        let lock = match call.send().await.map_err(failed_read("s3:GetObjectLockConfiguration")) {
            Ok(out) => out.object_lock_configuration().and_then(|c| c.object_lock_enabled().cloned()),
            Err(e) if e.code.as_deref() == Some("ObjectLockConfigurationNotFoundError") => None,
            Err(e) => return Err(e),
        };
        let call = self.read.head_bucket().bucket(name).expected_bucket_owner(owner);
        let head = call.send().await.map_err(failed_read("s3:HeadBucket"))?;
        Ok(Keeping {
            region: non_empty(head.bucket_region()),
            versioning: versioning.status() == Some(&BucketVersioningStatus::Enabled),
            object_lock: lock == Some(ObjectLockEnabled::Enabled),
        })
    }

    async fn versions(&self, bucket: &OwnedBucket, prefix: &str) -> CloudResult<Vec<(String, String)>> {
        // a page's token is its two markers
        let page = |token: Option<String>| async move {
            let (key, version) = from_token(token.as_deref())?;
            let call = self
                .read
                .list_object_versions()
                .bucket(&bucket.name)
                .expected_bucket_owner(&bucket.owner)
                .prefix(prefix)
                .set_key_marker(key)
                .set_version_id_marker(version);
            let out = call.send().await.map_err(failed_read(LIST_VERSIONS))?;
            let next = match out.is_truncated() {
                Some(true) => Some(to_token(out.next_key_marker(), out.next_version_id_marker())?),
                _ => None,
            };
            let versions = out.versions().iter();
            let items = versions
                .filter_map(|v| Some((v.key()?.to_owned(), v.version_id().unwrap_or("null").to_owned())))
                .collect();
            Ok(Page { items, next })
        };
        all_pages(page).await
    }

    async fn stored(
        &self,
        bucket: &OwnedBucket,
        key: &str,
        version: Option<&str>,
    ) -> CloudResult<Option<Stored>> {
        let call = self
            .read
            .head_object()
            .bucket(&bucket.name)
            .expected_bucket_owner(&bucket.owner)
            .key(key)
            .set_version_id(version.map(str::to_owned))
            .checksum_mode(ChecksumMode::Enabled);
        let head = match call.send().await.map_err(failed_read("s3:HeadObject")) {
            Ok(head) => head,
            Err(e) if e.is_not_found() => return Ok(None),
            Err(e) => return Err(e),
        };
        let lock = match (head.object_lock_mode(), head.object_lock_retain_until_date().and_then(time)) {
            (Some(mode), Some(until)) => Some(ObjectLock { mode: mode.as_str().to_owned(), until }),
            _ => None,
        };
        Ok(Some(Stored {
            version: non_empty(head.version_id()).filter(|v| v != "null"),
            sha256: head.checksum_sha256().and_then(hex_of),
            size: head.content_length().and_then(|n| u64::try_from(n).ok()).unwrap_or_default(),
            lock,
        }))
    }

    async fn put(&self, bucket: &OwnedBucket, upload: &Upload) -> CloudResult<Placed> {
        let op = "s3:PutObject";
        let sha256 = base64_of(&upload.sha256)
            .ok_or_else(|| CloudError::new(op, ErrorKind::Invalid, "that is no SHA-256"))?;
        let lock = upload.lock.as_ref();
        let call = self
            .write
            .put_object()
            .bucket(&bucket.name)
            .expected_bucket_owner(&bucket.owner)
            .key(&upload.key)
            .body(ByteStream::from(upload.body.clone()))
            .content_type(upload.content_type)
            .checksum_algorithm(ChecksumAlgorithm::Sha256)
            .checksum_sha256(sha256)
            .set_object_lock_mode(lock.map(|l| ObjectLockMode::from(l.mode.as_str())))
            .set_object_lock_retain_until_date(lock.map(|l| sdk_time(l.until)));
        let out = call.send().await.map_err(failed_change(op, false))?;
        Ok(Placed {
            version: non_empty(out.version_id()).filter(|v| v != "null"),
            kms_key: non_empty(out.ssekms_key_id()),
        })
    }
}

/// S3 writes checksums in base64, redrill in hex.
fn hex_of(base64: &str) -> Option<String> {
    let bytes = STANDARD.decode(base64).ok().filter(|b| b.len() == 32)?;
    Some(bytes.iter().map(|b| format!("{b:02x}")).collect())
}

fn base64_of(hex: &str) -> Option<String> {
    let digits: Option<Vec<u8>> =
        hex.chars().map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok())).collect();
    let bytes: Vec<u8> = digits.filter(|d| d.len() == 64)?.chunks(2).map(|p| p[0] << 4 | p[1]).collect();
    Some(STANDARD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_written_both_ways() {
        let (hex, base64) = (
            "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
            "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=",
        );
        assert_eq!((base64_of(hex).as_deref(), hex_of(base64).as_deref()), (Some(base64), Some(hex)));
        assert_eq!((base64_of("2cf2"), base64_of(&hex.replace('2', "x"))), (None, None));
        // a checksum of parts is none of the whole object
        assert_eq!((hex_of(&format!("{base64}-2")), hex_of("LPJN")), (None, None));
    }
}
