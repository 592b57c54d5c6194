//! S3 reads over the SDK. I/O; see the module above for what holds everywhere.

use async_trait::async_trait;
use aws_sdk_s3::Client;
use aws_sdk_s3::types as sdk;

use super::error::failed_read;
use super::regions::Regional;
use super::{non_empty, time};
use crate::cloud::{
    Bucket, BucketInfo, CloudError, CloudResult, ErrorKind, ObjectMeta, ObjectVersion, Page, S3,
};
use crate::model::Tags;

/// The largest page that S3 gives.
const PAGE: i32 = 1000;

/// Reads of S3.
pub(super) struct S3Reads {
    pub(super) clients: Regional,
}

#[async_trait]
impl S3 for S3Reads {
    async fn buckets(&self, page: Option<String>) -> CloudResult<Page<Bucket>> {
        let out = self
            .clients
            .home()
            .list_buckets()
            .max_buckets(PAGE)
            .set_continuation_token(page)
            .send()
            .await
            .map_err(failed_read("s3:ListBuckets"))?;
        Ok(Page {
            items: out
                .buckets()
                .iter()
                .filter_map(|b| {
                    Some(Bucket { name: b.name()?.to_owned(), region: non_empty(b.bucket_region()) })
                })
                .collect(),
            next: non_empty(out.continuation_token()),
        })
    }

    async fn bucket_tags(&self, bucket: &str) -> CloudResult<Tags> {
        let out = self.clients.send(bucket, |c| c.get_bucket_tagging().bucket(bucket).send()).await;
        let out = absent(out.map_err(failed_read("s3:GetBucketTagging")), "NoSuchTagSet")?;
        Ok(out
            .map(|out| super::tags(out.tag_set(), |t| Some(t.key()), |t| Some(t.value())))
            .unwrap_or_default())
    }

    async fn region(&self, bucket: &str) -> CloudResult<String> {
        let call = self.clients.send(bucket, |c| c.get_bucket_location().bucket(bucket).send());
        let location = call.await.map_err(failed_read("s3:GetBucketLocation"))?;
        Ok(region(location.location_constraint().map(|c| c.as_str())))
    }

    async fn versioning(&self, bucket: &str) -> CloudResult<String> {
        let call = self.clients.send(bucket, |c| c.get_bucket_versioning().bucket(bucket).send());
        let versioning = call.await.map_err(failed_read("s3:GetBucketVersioning"))?;
        Ok(versioning.status().map(|s| s.as_str().to_owned()).unwrap_or_default())
    }

    async fn bucket_info(&self, bucket: &str) -> CloudResult<BucketInfo> {
        let versioning = self.clients.send(bucket, |c| c.get_bucket_versioning().bucket(bucket).send()).await;
        let versioning = versioning.map_err(failed_read("s3:GetBucketVersioning"))?;
        let replication =
            self.clients.send(bucket, |c| c.get_bucket_replication().bucket(bucket).send()).await;
        let replication = absent(
            replication.map_err(failed_read("s3:GetBucketReplication")),
            "ReplicationConfigurationNotFoundError",
        )?;
        let lifecycle =
            self.clients.send(bucket, |c| c.get_bucket_lifecycle_configuration().bucket(bucket).send()).await;
        let lifecycle = absent(
            lifecycle.map_err(failed_read("s3:GetBucketLifecycleConfiguration")),
            "NoSuchLifecycleConfiguration",
        )?;
        let notifications = self
            .clients
            .send(bucket, |c| c.get_bucket_notification_configuration().bucket(bucket).send())
            .await
            .map_err(failed_read("s3:GetBucketNotificationConfiguration"))?;
        let abac = self.clients.send(bucket, |c| c.get_bucket_abac().bucket(bucket).send()).await;
        Ok(BucketInfo {
            region: Some(self.region(bucket).await?),
            versioning: versioning.status().map(|s| s.as_str().to_owned()).unwrap_or_default(),
            mfa_delete: versioning.mfa_delete() == Some(&sdk::MfaDeleteStatus::Enabled),
            marker_replicas: replication
                .as_ref()
                .and_then(|r| r.replication_configuration())
                .map(|config| marker_replicas(config.rules()))
                .unwrap_or_default(),
            noncurrent_expiry_days: lifecycle.and_then(|l| shortest_expiry(l.rules())),
            notifications: !notifications.topic_configurations().is_empty()
                || !notifications.queue_configurations().is_empty()
                || !notifications.lambda_function_configurations().is_empty()
                || notifications.event_bridge_configuration().is_some(),
            abac: abac.is_ok_and(|out| {
                out.abac_status().and_then(|s| s.status()) == Some(&sdk::BucketAbacStatus::Enabled)
            }),
        })
    }

    async fn versions(
        &self,
        bucket: &str,
        prefix: &str,
        page: Option<String>,
    ) -> CloudResult<Page<ObjectVersion>> {
        let (key, version) = from_token(page.as_deref())?;
        let ask = |c: Client| {
            c.list_object_versions()
                .bucket(bucket)
                .set_prefix(non_empty(Some(prefix)))
                .max_keys(PAGE)
                .set_key_marker(key.clone())
                .set_version_id_marker(version.clone())
                .send()
        };
        let out = self.clients.send(bucket, ask).await.map_err(failed_read(LIST_VERSIONS))?;
        let versions = out.versions().iter().map(|v| ObjectVersion {
            key: v.key().unwrap_or_default().to_owned(),
            version: v.version_id().unwrap_or("null").to_owned(),
            latest: v.is_latest().unwrap_or(false),
            marker: false,
            modified: v.last_modified().and_then(time),
        });
        let markers = out.delete_markers().iter().map(|m| ObjectVersion {
            key: m.key().unwrap_or_default().to_owned(),
            version: m.version_id().unwrap_or("null").to_owned(),
            latest: m.is_latest().unwrap_or(false),
            marker: true,
            modified: m.last_modified().and_then(time),
        });
        let items = versions.chain(markers).collect();
        let next = if out.is_truncated().unwrap_or(false) {
            Some(to_token(out.next_key_marker(), out.next_version_id_marker())?)
        } else {
            None
        };
        Ok(Page { items, next })
    }

    async fn head(&self, bucket: &str, key: &str) -> CloudResult<Option<ObjectMeta>> {
        let out = self.clients.send(bucket, |c| c.head_object().bucket(bucket).key(key).send()).await;
        // the answer to HEAD has no body: the status is all there is, and a missing bucket looks
        // like a missing object
        match out.map_err(failed_read("s3:HeadObject")) {
            Ok(head) => Ok(Some(ObjectMeta {
                size: head.content_length().unwrap_or_default(),
                etag: head.e_tag().map(|etag| etag.trim_matches('"').to_owned()),
                version: non_empty(head.version_id()),
                modified: head.last_modified().and_then(time),
            })),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }
}

pub(super) const LIST_VERSIONS: &str = "s3:ListObjectVersions";

/// `None` where the answer is that nothing is configured; every other error stays one.
fn absent<T>(answer: CloudResult<T>, code: &str) -> CloudResult<Option<T>> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.code.as_deref() == Some(code) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The oldest region has no name here, and Ireland an old one.
fn region(constraint: Option<&str>) -> String {
    match constraint {
        None | Some("") => "us-east-1",
        Some("EU") => "eu-west-1",
        Some(other) => other,
    }
    .to_owned()
}

/// Buckets that receive delete markers. A rule without a filter is of the first version of the
/// format, in which delete markers are always replicated.
fn marker_replicas(rules: &[sdk::ReplicationRule]) -> Vec<String> {
    rules
        .iter()
        .filter(|rule| *rule.status() == sdk::ReplicationRuleStatus::Enabled)
        .filter(|rule| match rule.delete_marker_replication() {
            Some(markers) => markers.status() == Some(&sdk::DeleteMarkerReplicationStatus::Enabled),
            None => rule.filter().is_none(),
        })
        .filter_map(|rule| {
            let arn = rule.destination()?.bucket();
            Some(arn.rsplit(':').next().unwrap_or(arn).to_owned())
        })
        .collect()
}

fn shortest_expiry(rules: &[sdk::LifecycleRule]) -> Option<i32> {
    rules
        .iter()
        .filter(|rule| *rule.status() == sdk::ExpirationStatus::Enabled)
        .filter_map(|rule| rule.noncurrent_version_expiration()?.noncurrent_days())
        .min()
}

/// A key may hold any character, so the two markers travel as JSON.
pub(super) fn to_token(key: Option<&str>, version: Option<&str>) -> CloudResult<String> {
    if key.is_none() {
        return Err(CloudError::new(
            LIST_VERSIONS,
            ErrorKind::Other,
            "the listing goes on, but the answer does not say where",
        ));
    }
    Ok(serde_json::json!([key, version]).to_string())
}

pub(super) fn from_token(token: Option<&str>) -> CloudResult<(Option<String>, Option<String>)> {
    token.map_or(Ok((None, None)), |token| {
        serde_json::from_str(token)
            .map_err(|_| CloudError::new(LIST_VERSIONS, ErrorKind::Invalid, "not a token of this listing"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(filter: bool, markers: Option<sdk::DeleteMarkerReplicationStatus>) -> sdk::ReplicationRule {
        sdk::ReplicationRule::builder()
            .status(sdk::ReplicationRuleStatus::Enabled)
            .set_filter(filter.then(|| sdk::ReplicationRuleFilter::builder().prefix("").build()))
            .set_delete_marker_replication(
                markers.map(|status| sdk::DeleteMarkerReplication::builder().status(status).build()),
            )
            .destination(sdk::Destination::builder().bucket("arn:aws:s3:::copy").build().unwrap())
            .build()
            .unwrap()
    }

    #[test]
    fn delete_markers_travel_by_old_rules_and_where_asked_for() {
        use sdk::DeleteMarkerReplicationStatus::{Disabled, Enabled};
        assert_eq!(marker_replicas(&[rule(false, None)]), ["copy"]);
        assert_eq!(marker_replicas(&[rule(true, Some(Enabled))]), ["copy"]);
        assert!(marker_replicas(&[rule(true, None), rule(true, Some(Disabled))]).is_empty());
    }

    #[test]
    fn the_token_carries_any_key() {
        let token = to_token(Some("a\n\"b\",c"), Some("v1")).unwrap();
        assert_eq!(from_token(Some(&token)).unwrap(), (Some("a\n\"b\",c".into()), Some("v1".into())));
        assert_eq!(from_token(Some(&to_token(Some("k"), None).unwrap())).unwrap(), (Some("k".into()), None));
        assert!(from_token(Some("k")).is_err());
        assert!(to_token(None, None).is_err());
    }

    #[test]
    fn regions_have_old_names() {
        assert_eq!(region(None), "us-east-1");
        assert_eq!(region(Some("EU")), "eu-west-1");
        assert_eq!(region(Some("eu-central-1")), "eu-central-1");
    }
}
