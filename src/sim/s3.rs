//! Buckets, versions and delete markers. Synchronous.

use super::refusal::{Answer, refuse};
use super::world::{BucketState, StoredVersion, World, check_tags, listed, meta};
use crate::cloud::{
    Bucket, BucketInfo, DeletedObject, ObjectError, ObjectMeta, ObjectRef, ObjectVersion, Outcome, Page,
};
use crate::model::Tags;

impl World {
    pub(super) fn list_buckets(&self, page: Option<String>) -> Answer<Page<Bucket>> {
        let found = self
            .buckets
            .iter()
            .map(|(name, b)| Bucket { name: name.clone(), region: b.info.region.clone() })
            .collect();
        self.page(found, page)
    }

    fn bucket(&self, name: &str) -> Answer<&BucketState> {
        self.buckets
            .get(name)
            .ok_or_else(|| refuse("NoSuchBucket", format!("the bucket {name} does not exist")))
    }

    pub(super) fn bucket_tags(&self, name: &str) -> Answer<Tags> {
        Ok(self.bucket(name)?.tags.clone())
    }

    pub(super) fn bucket_info(&self, name: &str) -> Answer<BucketInfo> {
        Ok(self.bucket(name)?.info.clone())
    }

    pub(super) fn list_versions(
        &self,
        name: &str,
        prefix: &str,
        page: Option<String>,
    ) -> Answer<Page<ObjectVersion>> {
        let found = self
            .bucket(name)?
            .objects
            .iter()
            .filter(|(key, _)| key.starts_with(prefix))
            .flat_map(|(key, versions)| versions.iter().enumerate().map(move |(n, v)| listed(key, n, v)))
            .collect();
        self.page(found, page)
    }

    pub(super) fn head(&self, name: &str, key: &str) -> Answer<Option<ObjectMeta>> {
        let newest = self.bucket(name)?.objects.get(key).and_then(|v| v.first());
        Ok(newest.filter(|v| !v.marker).map(meta))
    }

    /// Whether the newest version of an object exists and is no delete marker.
    pub(super) fn has_object(&self, name: &str, key: &str) -> bool {
        self.head(name, key).is_ok_and(|m| m.is_some())
    }

    /// Writes an object as PutObject does; the version id that it got.
    pub(super) fn put_object(&mut self, name: &str, key: &str, body: &str, marker: bool) -> Option<String> {
        let version = match self.buckets.get(name)?.info.versioning.as_str() {
            "Enabled" => format!("ver{:029x}", self.count("version")),
            _ => "null".to_owned(),
        };
        let new =
            StoredVersion { version: version.clone(), marker, body: body.to_owned(), modified: self.now };
        let versions = self.buckets.get_mut(name)?.objects.entry(key.to_owned()).or_default();
        versions.retain(|v| v.version != version);
        versions.insert(0, new);
        Some(version)
    }

    pub(super) fn tag_bucket(&mut self, name: &str, tags: &Tags) -> Answer<Outcome> {
        if self.bucket(name)?.info.abac {
            // API reference, "PutBucketTagging"
            return Err(refuse("MethodNotAllowed", "attribute-based access control is on: use TagResource"));
        }
        check_tags(tags, 0)?;
        if let Some(b) = self.buckets.get_mut(name) {
            b.tags = tags.clone();
        }
        Ok(Outcome::Done)
    }

    pub(super) fn delete_objects(&mut self, name: &str, objects: &[ObjectRef]) -> Answer<Outcome> {
        let b = self.bucket(name)?;
        if objects.is_empty() || objects.len() > 1000 {
            return Err(refuse("MalformedXML", "between 1 and 1,000 objects can be deleted in one request"));
        }
        let denied = b.denied.clone();
        let (versioned, mfa) = (!b.info.versioning.is_empty(), b.info.mfa_delete);
        let (mut deleted, mut errors) = (Vec::new(), Vec::new());
        for o in objects {
            if denied.contains(&o.key) || (mfa && o.version.is_some()) {
                errors.push(ObjectError {
                    key: o.key.clone(),
                    code: "AccessDenied".to_owned(),
                    message: "access denied".to_owned(),
                });
                continue;
            }
            let marker = match &o.version {
                Some(v) => {
                    self.drop_versions(name, &o.key, |stored| stored.version == *v);
                    None
                }
                None if versioned => self.put_object(name, &o.key, "", true),
                None => {
                    self.drop_versions(name, &o.key, |_| true);
                    None
                }
            };
            deleted.push(DeletedObject { key: o.key.clone(), version: o.version.clone(), marker });
        }
        Ok(Outcome::Objects { deleted, errors })
    }

    fn drop_versions(&mut self, name: &str, key: &str, which: impl Fn(&StoredVersion) -> bool) {
        let Some(b) = self.buckets.get_mut(name) else { return };
        if let Some(versions) = b.objects.get_mut(key) {
            versions.retain(|v| !which(v));
            if versions.is_empty() {
                b.objects.remove(key);
            }
        }
    }
}
