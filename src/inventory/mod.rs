//! Resolves selectors: every page of every listing, filtered on this side. Reads only.
//!
//! Nothing is filtered by the services: so the number of resources that exist is known, a selector
//! means the same for every kind, and no tagging index that lags behind is trusted. Tags are read
//! from the service that owns the resource.

mod reach;
mod targets;

pub use reach::{Inhabitants, Neighbour, inhabitants};
pub(crate) use targets::{CREATED, DOMAIN_ROLE, MONITORING_ROLE, PROFILE};

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::StreamExt as _;

use crate::cloud::{CloudResult, ErrorKind, Filter, Reads, S3, all_pages};
use crate::drill::TargetSpec;
use crate::drill::selector;
use crate::model::pattern::OneOrMany;
use crate::model::{ResourceKind, Tags, Target};

/// How many buckets or distributions are asked for their tags at once.
const AT_ONCE: usize = 8;

/// What a selector matches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolution {
    /// How many resources of that kind exist in the account and region; terminated instances do not.
    pub population: usize,
    /// Those that match, sorted by id.
    pub matched: Vec<Target>,
    /// Resources left out because their tags may not be read (buckets with a policy against it).
    pub unreadable: Vec<Unreadable>,
}

/// A resource that could not be looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// Its id.
    pub name: String,
    /// What AWS answered.
    pub why: String,
}

/// Resolves a selector in one region.
///
/// # Errors
/// The first error of any page: a partial listing is never returned.
pub async fn resolve(reads: &Reads, region: &str, spec: &TargetSpec) -> CloudResult<Resolution> {
    let listing = list(reads, region, spec.resource, &Wanted::Matching(spec)).await?;
    let mut matched: Vec<Target> =
        listing.targets.into_iter().filter(|t| selector::matches(spec, t)).collect();
    matched.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(Resolution { population: listing.population, matched, unreadable: listing.unreadable })
}

/// What was targeted, looked at again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reread {
    /// As they are now, in the order given: `None` for those that no longer exist.
    pub targets: Vec<Option<Target>>,
    /// How many resources of each of their kinds exist now.
    pub population: BTreeMap<ResourceKind, usize>,
}

/// Reads targets again, and counts what exists beside them.
///
/// # Errors
/// The first error of any page.
pub async fn reread_all(reads: &Reads, region: &str, targets: &[Target]) -> CloudResult<Reread> {
    let mut now: BTreeMap<(ResourceKind, String), Target> = BTreeMap::new();
    let mut population = BTreeMap::new();
    for kind in ResourceKind::ALL {
        let ids: Vec<String> = targets.iter().filter(|t| t.kind == kind).map(|t| t.id.clone()).collect();
        if !ids.is_empty() {
            let found = list(reads, region, kind, &Wanted::Ids(&ids)).await?;
            population.insert(kind, found.population);
            now.extend(found.targets.into_iter().map(|t| ((kind, t.id.clone()), t)));
        }
    }
    let targets = targets.iter().map(|t| now.get(&(t.kind, t.id.clone())).cloned()).collect();
    Ok(Reread { targets, population })
}

/// Reads one target again; `None` where it no longer exists.
///
/// # Errors
/// The first error of any page.
pub async fn reread(reads: &Reads, region: &str, target: &Target) -> CloudResult<Option<Target>> {
    Ok(reread_all(reads, region, std::slice::from_ref(target)).await?.targets.pop().flatten())
}

/// Whether an instance in this state counts as one that exists no more.
fn is_gone(state: &str) -> bool {
    matches!(state, "terminated" | "shutting-down")
}

/// The permissions that resolving a selector of this kind takes.
pub fn permissions(kind: ResourceKind) -> &'static [&'static str] {
    match kind {
        ResourceKind::Ec2Instance => &["ec2:DescribeInstances"],
        ResourceKind::VpcSubnet => &["ec2:DescribeRouteTables", "ec2:DescribeSubnets"],
        ResourceKind::VpcRouteTable => &["ec2:DescribeRouteTables"],
        ResourceKind::RdsInstance => &["rds:DescribeDBInstances", "rds:ListTagsForResource"],
        ResourceKind::S3Bucket => {
            &["s3:GetBucketLocation", "s3:GetBucketTagging", "s3:GetBucketVersioning", "s3:ListAllMyBuckets"]
        }
        ResourceKind::CloudfrontDistribution => {
            &["cloudfront:ListDistributions", "cloudfront:ListTagsForResource"]
        }
    }
}

/// What a listing is for: it decides which details are worth a call each.
enum Wanted<'a> {
    Matching(&'a TargetSpec),
    Ids(&'a [String]),
}

impl Wanted<'_> {
    /// Whether a resource of that id is worth asking for its tags.
    fn id(&self, id: &str) -> bool {
        match self {
            Self::Matching(spec) => spec.attrs.get("id").is_none_or(|want: &OneOrMany| want.matches(id)),
            Self::Ids(ids) => ids.iter().any(|i| i == id),
        }
    }

    /// Whether a resource with these tags is worth asking for its details.
    fn tags(&self, tags: &Tags) -> bool {
        match self {
            Self::Matching(spec) => {
                spec.tags.iter().all(|(k, want)| tags.get(k).is_some_and(|v| want.matches(v)))
            }
            Self::Ids(_) => true,
        }
    }
}

#[derive(Default)]
struct Listing {
    population: usize,
    targets: Vec<Target>,
    unreadable: Vec<Unreadable>,
}

impl Listing {
    fn of(targets: Vec<Target>) -> Self {
        Self { population: targets.len(), targets, unreadable: Vec::new() }
    }
}

async fn list(reads: &Reads, region: &str, kind: ResourceKind, wanted: &Wanted<'_>) -> CloudResult<Listing> {
    let all = Filter::default();
    match kind {
        ResourceKind::Ec2Instance => {
            let found = all_pages(|page| reads.ec2.instances(&all, page)).await?;
            let exist = found.iter().filter(|i| !is_gone(&i.state)).count();
            let targets = found.into_iter().map(targets::instance).collect();
            Ok(Listing { population: exist, targets, unreadable: Vec::new() })
        }
        ResourceKind::VpcSubnet => {
            let tables = all_pages(|page| reads.ec2.route_tables(&all, page)).await?;
            let explicit = targets::explicit(&tables);
            let found = all_pages(|page| reads.ec2.subnets(&all, page)).await?;
            Ok(Listing::of(found.into_iter().map(|s| targets::subnet(s, &explicit)).collect()))
        }
        ResourceKind::VpcRouteTable => {
            let found = all_pages(|page| reads.ec2.route_tables(&all, page)).await?;
            Ok(Listing::of(found.into_iter().map(targets::route_table).collect()))
        }
        ResourceKind::RdsInstance => {
            let found = all_pages(|page| reads.rds.instances(None, page)).await?;
            Ok(Listing::of(found.into_iter().map(targets::database).collect()))
        }
        ResourceKind::S3Bucket => buckets(reads, region, wanted).await,
        ResourceKind::CloudfrontDistribution => distributions(reads, wanted).await,
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

async fn buckets(reads: &Reads, region: &str, wanted: &Wanted<'_>) -> CloudResult<Listing> {
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
    Ok(Asked::Here(Box::new(targets::bucket(name, region, tags, &versioning))))
}

async fn distributions(reads: &Reads, wanted: &Wanted<'_>) -> CloudResult<Listing> {
    let found = all_pages(|page| reads.cloudfront.distributions(page)).await?;
    let population = found.len();
    let mut asked = futures::stream::iter(found.into_iter().filter(|d| wanted.id(&d.id)).map(|d| {
        let cloudfront = Arc::clone(&reads.cloudfront);
        async move {
            match cloudfront.tags(&d.arn).await {
                Ok(tags) => Ok(Some(targets::distribution(d, tags))),
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

#[cfg(test)]
mod tests;
