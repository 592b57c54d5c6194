//! CloudTrail's events, and the files of a trail in S3. I/O; see the module above for what holds
//! everywhere.

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_cloudtrail::config::Region;
use aws_sdk_cloudtrail::types::{LookupAttribute, LookupAttributeKey};
use aws_smithy_types::retry::RetryConfig;
use chrono::{DateTime, Utc};

use super::error::failed_read;
use super::regions::Regional;
use super::{non_empty, sdk_time};
use crate::cloud::{CloudError, CloudResult, ErrorKind, Page, StoredFile, Trail, TrailKey, TrailObject};

/// Reads of CloudTrail and of its files.
pub(super) struct TrailReads {
    pub(super) trail: aws_sdk_cloudtrail::Client,
    pub(super) s3: Regional,
}

/// LookupEvents shares two requests a second with everybody in the account.
pub(super) fn client(read: &SdkConfig) -> aws_sdk_cloudtrail::Client {
    let patient = RetryConfig::standard().with_max_attempts(8);
    let config = aws_sdk_cloudtrail::config::Builder::from(read).retry_config(patient);
    aws_sdk_cloudtrail::Client::from_conf(config.build())
}

#[async_trait]
impl Trail for TrailReads {
    async fn events(
        &self,
        region: &str,
        user: &str,
        (from, to): (DateTime<Utc>, DateTime<Utc>),
        page: Option<String>,
    ) -> CloudResult<Page<String>> {
        let op = "cloudtrail:LookupEvents";
        let by_user = LookupAttribute::builder()
            .attribute_key(LookupAttributeKey::Username)
            .attribute_value(user)
            .build()
            .map_err(|e| CloudError::new(op, ErrorKind::Invalid, e.to_string()))?;
        let there = aws_sdk_cloudtrail::config::Builder::new().region(Region::new(region.to_owned()));
        let out = self
            .trail
            .lookup_events()
            .lookup_attributes(by_user)
            .start_time(sdk_time(from))
            .end_time(sdk_time(to))
            .set_next_token(page)
            .customize()
            .config_override(there)
            .send()
            .await
            .map_err(failed_read(op))?;
        // an event without its record cannot be read, and has to be noticed
        let items = out.events().iter().map(|e| e.cloud_trail_event().unwrap_or_default().to_owned());
        Ok(Page { items: items.collect(), next: non_empty(out.next_token()) })
    }

    async fn files(&self, bucket: &str, prefix: &str, page: Option<String>) -> CloudResult<Page<StoredFile>> {
        let ask = |c: aws_sdk_s3::Client| {
            c.list_objects_v2().bucket(bucket).prefix(prefix).set_continuation_token(page.clone()).send()
        };
        let out = self.s3.send(bucket, ask).await.map_err(failed_read("s3:ListObjectsV2"))?;
        let items = out.contents().iter().filter_map(|o| {
            let size = o.size().and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
            Some(StoredFile { key: o.key()?.to_owned(), size })
        });
        Ok(Page { items: items.collect(), next: non_empty(out.next_continuation_token()) })
    }

    async fn file(&self, bucket: &str, key: &str, limit: u64) -> CloudResult<TrailObject> {
        let op = "s3:GetObject";
        let too_large = || CloudError::new(op, ErrorKind::Limit, format!("larger than {limit} bytes"));
        let call = self.s3.send(bucket, |c| c.get_object().bucket(bucket).key(key).send());
        let out = call.await.map_err(failed_read(op))?;
        if out.content_length().and_then(|n| u64::try_from(n).ok()).is_some_and(|n| n > limit) {
            return Err(too_large());
        }
        // how CloudTrail leaves a digest's signature
        let signature = out.metadata().and_then(|m| m.get("signature")).cloned();
        let backfilled_at = out.metadata().and_then(|m| m.get("backfill-generation-timestamp"));
        let backfilled_at = backfilled_at.and_then(|text| text.parse().ok());
        let mut body = out.body;
        let mut bytes = Vec::new();
        while let Some(part) = body
            .try_next()
            .await
            .map_err(|e| CloudError::new(op, ErrorKind::Timeout, format!("the object broke off: {e}")))?
        {
            bytes.extend_from_slice(&part);
            if bytes.len() as u64 > limit {
                return Err(too_large());
            }
        }
        Ok(TrailObject { bytes, signature, backfilled_at })
    }

    async fn public_keys(
        &self,
        region: &str,
        (from, to): (DateTime<Utc>, DateTime<Utc>),
        page: Option<String>,
    ) -> CloudResult<Page<TrailKey>> {
        let there = aws_sdk_cloudtrail::config::Builder::new().region(Region::new(region.to_owned()));
        let out = self
            .trail
            .list_public_keys()
            .start_time(sdk_time(from))
            .end_time(sdk_time(to))
            .set_next_token(page)
            .customize()
            .config_override(there)
            .send()
            .await
            .map_err(failed_read("cloudtrail:ListPublicKeys"))?;
        let items = out.public_key_list().iter().filter_map(|k| {
            Some(TrailKey {
                fingerprint: k.fingerprint()?.to_owned(),
                der: k.value()?.as_ref().to_vec(),
                from: super::time(k.validity_start_time()?)?,
                until: super::time(k.validity_end_time()?)?,
            })
        });
        Ok(Page { items: items.collect(), next: non_empty(out.next_token()) })
    }
}
