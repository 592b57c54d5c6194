//! `s3.bucket`: buckets of the region. Tags and versioning take a call each, and are read only of what may match. A bucket
//! whose policy denies them is counted, and named as unreadable.

use std::sync::Arc;

use async_trait::async_trait;
use futures::StreamExt as _;

use super::AT_ONCE;
use crate::catalog::iam::Type;
use crate::catalog::kind::{Kind, KindSpec, Listing, Tagging, Unreadable, Wanted, attrs, text};
use crate::cloud::{CloudResult, ErrorKind, Mutation, Reads, S3, What, all_pages};
use crate::model::{ResourceKind, Tags, Target};

/// Its name.
pub const KIND: ResourceKind = ResourceKind::new("s3.bucket");

/// `s3.bucket`.
pub struct S3Bucket;

static SPEC: KindSpec = KindSpec {
    attributes: &["id", "name", "region", "versioning"],
    id: "name",
    takes_calls: true,
    list: &["s3:GetBucketLocation", "s3:GetBucketTagging", "s3:GetBucketVersioning", "s3:ListAllMyBuckets"],
    tagging: Tagging::Whole,
    tag: &["s3:GetBucketTagging", "s3:PutBucketTagging"],
    ..KindSpec::new(KIND, "An S3 bucket.", What::Bucket, Type::Bucket)
};

#[async_trait]
impl Kind for S3Bucket {
    fn spec(&self) -> &'static KindSpec {
        &SPEC
    }

    async fn list(&self, reads: &Reads, region: &str, wanted: &Wanted<'_>) -> CloudResult<Listing> {
        let found = all_pages(|page| reads.s3.buckets(page)).await?;
        let mut asked = futures::stream::iter(found.into_iter().map(|b| {
            let s3 = Arc::clone(&reads.s3);
            async move { bucket(s3.as_ref(), b.name, b.region, region, wanted).await }
        }))
        .buffered(AT_ONCE);
        let mut listing = Listing::default();
        while let Some(one) = asked.next().await {
            match one? {
                Asked::Here(target) => {
                    listing.population += 1;
                    listing.targets.push(*target);
                }
                Asked::Counted => listing.population += 1,
                Asked::Elsewhere => {}
                Asked::Unreadable(one) => {
                    listing.population += 1;
                    listing.unreadable.push(one);
                }
            }
        }
        Ok(listing)
    }

    /// PutBucketTagging "replaces" the set of tags.
    fn tag(&self, target: &Target, tags: Tags) -> Mutation {
        Mutation::TagBucket { bucket: target.id.clone(), tags }
    }

    fn untag(&self, _target: &Target, _keys: Vec<String>) -> Option<Mutation> {
        None
    }

    async fn tags(&self, reads: &Reads, target: &Target) -> CloudResult<Tags> {
        reads.s3.bucket_tags(&target.id).await
    }
}

/// What became of asking one bucket.
enum Asked {
    Here(Box<Target>),
    /// In the region, and not worth more calls.
    Counted,
    Elsewhere,
    Unreadable(Unreadable),
}

async fn bucket(
    s3: &dyn S3,
    name: String,
    listed: Option<String>,
    region: &str,
    wanted: &Wanted<'_>,
) -> CloudResult<Asked> {
    if listed.as_deref().is_some_and(|r| r != region) {
        return Ok(Asked::Elsewhere);
    }
    // older answers do not name it
    if listed.is_none() {
        match s3.region(&name).await {
            Ok(own) if own == region => {}
            Ok(_) => return Ok(Asked::Elsewhere),
            Err(e) if e.is_not_found() => return Ok(Asked::Elsewhere),
            Err(e) if e.kind == ErrorKind::Denied => {
                return Ok(Asked::Unreadable(Unreadable { name, why: e.to_string() }));
            }
            Err(e) => return Err(e),
        }
    }
    if !wanted.id(&name) {
        return Ok(Asked::Counted);
    }
    let tags = match s3.bucket_tags(&name).await {
        Ok(tags) => tags,
        // deleted since it was listed
        Err(e) if e.is_not_found() => return Ok(Asked::Elsewhere),
        Err(e) if e.kind == ErrorKind::Denied => {
            return Ok(Asked::Unreadable(Unreadable { name, why: e.to_string() }));
        }
        Err(e) => return Err(e),
    };
    if !wanted.tags(&tags) {
        return Ok(Asked::Counted);
    }
    let versioning = s3.versioning(&name).await?;
    Ok(Asked::Here(Box::new(target(name, region, tags, &versioning))))
}

/// One whose `versioning` was never on answers with nothing.
fn target(name: String, region: &str, tags: Tags, versioning: &str) -> Target {
    let versioning = text(versioning).or_else(|| Some("Disabled".to_owned()));
    Target {
        kind: KIND,
        arn: None,
        name: None,
        attrs: attrs([
            ("id", text(&name)),
            ("name", text(&name)),
            ("region", text(region)),
            ("versioning", versioning),
        ]),
        id: name,
        tags,
    }
}
