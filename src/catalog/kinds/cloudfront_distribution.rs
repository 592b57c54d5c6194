//! `cloudfront.distribution`: CloudFront distributions. CloudFront is global, and the tags of each take a call.

use std::sync::Arc;

use async_trait::async_trait;
use futures::StreamExt as _;

use super::AT_ONCE;
use crate::catalog::iam::Type;
use crate::catalog::kind::{Kind, KindSpec, Listing, Tagging, Wanted, arn, attrs, name, text};
use crate::cloud::{CloudResult, Distribution, Mutation, Reads, What, all_pages};
use crate::model::{ResourceKind, Tags, Target};

/// Its name.
pub const KIND: ResourceKind = ResourceKind::new("cloudfront.distribution");

/// `cloudfront.distribution`.
pub struct CloudfrontDistribution;

static SPEC: KindSpec = KindSpec {
    attributes: &["id", "domain", "status", "enabled", "comment", "alias"],
    is_global: true,
    takes_calls: true,
    list: &["cloudfront:ListDistributions", "cloudfront:ListTagsForResource"],
    tagging: Tagging::Each,
    tag: &["cloudfront:TagResource", "cloudfront:UntagResource"],
    ..KindSpec::new(KIND, "A CloudFront distribution.", What::Distribution, Type::Distribution)
};

#[async_trait]
impl Kind for CloudfrontDistribution {
    fn spec(&self) -> &'static KindSpec {
        &SPEC
    }

    async fn list(&self, reads: &Reads, _region: &str, wanted: &Wanted<'_>) -> CloudResult<Listing> {
        let found = all_pages(|page| reads.cloudfront.distributions(page)).await?;
        let population = found.len();
        let mut asked = futures::stream::iter(found.into_iter().filter(|d| wanted.id(&d.id)).map(|d| {
            let cloudfront = Arc::clone(&reads.cloudfront);
            async move {
                match cloudfront.tags(&d.arn).await {
                    Ok(tags) => Ok(Some(target(d, tags))),
                    Err(e) if e.is_not_found() => Ok(None),
                    Err(e) => Err(e),
                }
            }
        }))
        .buffered(AT_ONCE);
        let mut targets = Vec::new();
        while let Some(one) = asked.next().await {
            targets.extend(one?);
        }
        Ok(Listing { population, targets, unreadable: Vec::new() })
    }

    fn tag(&self, target: &Target, tags: Tags) -> Mutation {
        Mutation::TagDistribution { arn: arn(target), tags }
    }

    fn untag(&self, target: &Target, keys: Vec<String>) -> Option<Mutation> {
        Some(Mutation::UntagDistribution { arn: arn(target), keys })
    }
}

fn target(d: Distribution, tags: Tags) -> Target {
    Target {
        kind: KIND,
        arn: text(&d.arn),
        name: name(&tags).or_else(|| text(&d.comment)),
        attrs: attrs([
            ("id", text(&d.id)),
            ("domain", text(&d.domain)),
            ("status", text(&d.status)),
            ("enabled", Some(d.enabled.to_string())),
            ("comment", text(&d.comment)),
            ("alias", text(&d.aliases.join(","))),
        ]),
        id: d.id,
        tags,
    }
}
