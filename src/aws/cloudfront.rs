//! CloudFront reads over the SDK. I/O; see the module above for what holds everywhere.

use async_trait::async_trait;
use aws_sdk_cloudfront::Client;
use aws_sdk_cloudfront::types as sdk;

use super::error::failed_read;
use super::{non_empty, time};
use crate::cloud::{CloudFront, CloudResult, Distribution, Invalidation, Page};
use crate::model::Tags;

/// The largest page that CloudFront gives.
const PAGE: i32 = 100;

/// Reads of CloudFront.
pub(super) struct CloudFrontReads {
    pub(super) client: Client,
}

#[async_trait]
impl CloudFront for CloudFrontReads {
    async fn distributions(&self, page: Option<String>) -> CloudResult<Page<Distribution>> {
        let out = self
            .client
            .list_distributions()
            .max_items(PAGE)
            .set_marker(page)
            .send()
            .await
            .map_err(failed_read("cloudfront:ListDistributions"))?;
        let Some(list) = out.distribution_list() else { return Ok(Page { items: Vec::new(), next: None }) };
        Ok(Page {
            items: list.items().iter().map(distribution).collect(),
            next: next(list.is_truncated(), list.next_marker()),
        })
    }

    async fn tags(&self, arn: &str) -> CloudResult<Tags> {
        let out = self
            .client
            .list_tags_for_resource()
            .resource(arn)
            .send()
            .await
            .map_err(failed_read("cloudfront:ListTagsForResource"))?;
        Ok(out
            .tags()
            .map(|tags| super::tags(tags.items(), |t| Some(t.key()), sdk::Tag::value))
            .unwrap_or_default())
    }

    async fn invalidations(
        &self,
        distribution: &str,
        page: Option<String>,
    ) -> CloudResult<Page<Invalidation>> {
        let out = self
            .client
            .list_invalidations()
            .distribution_id(distribution)
            .max_items(PAGE)
            .set_marker(page)
            .send()
            .await
            .map_err(failed_read("cloudfront:ListInvalidations"))?;
        let Some(list) = out.invalidation_list() else { return Ok(Page { items: Vec::new(), next: None }) };
        Ok(Page {
            items: list
                .items()
                .iter()
                .map(|i| Invalidation {
                    id: i.id().to_owned(),
                    status: i.status().to_owned(),
                    caller_reference: String::new(),
                    paths: Vec::new(),
                    created_at: time(i.create_time()),
                })
                .collect(),
            next: next(list.is_truncated(), list.next_marker()),
        })
    }

    async fn invalidation(&self, distribution: &str, id: &str) -> CloudResult<Option<Invalidation>> {
        let out = self.client.get_invalidation().distribution_id(distribution).id(id).send().await;
        match out.map_err(failed_read("cloudfront:GetInvalidation")) {
            Ok(out) => Ok(out.invalidation().map(invalidation)),
            Err(error) if error.code.as_deref() == Some("NoSuchInvalidation") => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn next(truncated: bool, marker: Option<&str>) -> Option<String> {
    if truncated { non_empty(marker) } else { None }
}

fn distribution(d: &sdk::DistributionSummary) -> Distribution {
    Distribution {
        id: d.id().to_owned(),
        arn: d.arn().to_owned(),
        domain: d.domain_name().to_owned(),
        status: d.status().to_owned(),
        enabled: d.enabled(),
        aliases: d.aliases().map(|a| a.items().to_vec()).unwrap_or_default(),
        comment: d.comment().to_owned(),
    }
}

fn invalidation(i: &sdk::Invalidation) -> Invalidation {
    let batch = i.invalidation_batch();
    Invalidation {
        id: i.id().to_owned(),
        status: i.status().to_owned(),
        caller_reference: batch.map(|b| b.caller_reference().to_owned()).unwrap_or_default(),
        paths: batch.and_then(|b| b.paths()).map(|p| p.items().to_vec()).unwrap_or_default(),
        created_at: time(i.create_time()),
    }
}
