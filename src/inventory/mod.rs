//! Resolves selectors: every page of every listing, filtered on this side. Reads only.
//!
//! Nothing is filtered by the services: so the number of resources that exist is known, a selector
//! means the same for every kind, and no tagging index that lags behind is trusted. Tags are read
//! from the service that owns the resource.

mod reach;

pub use reach::{Inhabitants, Neighbour, inhabitants};

use std::collections::BTreeMap;

pub use crate::catalog::kind::Unreadable;
use crate::catalog::kind::{Listing, Wanted};
use crate::catalog::kinds;
use crate::cloud::{CloudResult, Reads};
use crate::drill::TargetSpec;
use crate::drill::selector;
use crate::model::pattern::OneOrMany;
use crate::model::{ResourceKind, Target};

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

/// Resolves a selector in one region.
///
/// # Errors
/// The first error of any page: a partial listing is never returned.
pub async fn resolve(reads: &Reads, region: &str, spec: &TargetSpec) -> CloudResult<Resolution> {
    let listing = list(reads, region, spec.resource, &matching(spec)).await?;
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
    for kind in kinds::all() {
        let ids: Vec<String> = targets.iter().filter(|t| t.kind == kind).map(|t| t.id.clone()).collect();
        if !ids.is_empty() {
            let found = list(reads, region, kind, &among(&ids)).await?;
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

/// Every one of a kind. A kind that this version does not know has none; nobody gets that far with one.
async fn list(reads: &Reads, region: &str, kind: ResourceKind, wanted: &Wanted<'_>) -> CloudResult<Listing> {
    match kinds::kind(kind) {
        Some(kind) => kind.list(reads, region, wanted).await,
        None => Ok(Listing::default()),
    }
}

/// Those that a selector may match.
fn matching(spec: &TargetSpec) -> Wanted<'_> {
    Wanted::new(
        |id| spec.attrs.get("id").is_none_or(|want: &OneOrMany| want.matches(id)),
        |tags| spec.tags.iter().all(|(k, want)| tags.get(k).is_some_and(|v| want.matches(v))),
    )
}

/// Those with these ids.
fn among(ids: &[String]) -> Wanted<'_> {
    Wanted::new(|id| ids.iter().any(|i| i == id), |_| true)
}

#[cfg(test)]
mod tests;
