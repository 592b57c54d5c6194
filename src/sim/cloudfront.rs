//! Distributions and invalidations. Synchronous.

use std::collections::BTreeSet;

use super::refusal::{Answer, refuse};
use super::world::{DistributionState, Due, World, check_tags};
use crate::cloud::{Distribution, Invalidation, Outcome, Page};
use crate::model::Tags;

const MAX_PATHS: usize = 3000;
const MAX_WILDCARDS: usize = 15;

impl World {
    pub(super) fn list_distributions(&self, page: Option<String>) -> Answer<Page<Distribution>> {
        self.page(self.distributions.values().map(|d| d.dist.clone()).collect(), page)
    }

    fn distribution_of(&mut self, arn: &str) -> Answer<&mut DistributionState> {
        self.distributions
            .values_mut()
            .find(|d| d.dist.arn == arn)
            .ok_or_else(|| refuse("NoSuchResource", format!("the resource {arn} does not exist")))
    }

    fn distribution(&self, id: &str) -> Answer<&DistributionState> {
        self.distributions
            .get(id)
            .ok_or_else(|| refuse("NoSuchDistribution", format!("the distribution {id} does not exist")))
    }

    pub(super) fn distribution_tags(&mut self, arn: &str) -> Answer<Tags> {
        Ok(self.distribution_of(arn)?.tags.clone())
    }

    pub(super) fn tag_distribution(&mut self, arn: &str, tags: &Tags) -> Answer<Outcome> {
        check_tags(tags, 0)?;
        self.distribution_of(arn)?.tags.extend(tags.clone());
        Ok(Outcome::Done)
    }

    pub(super) fn untag_distribution(&mut self, arn: &str, keys: &[String]) -> Answer<Outcome> {
        self.distribution_of(arn)?.tags.retain(|k, _| !keys.contains(k));
        Ok(Outcome::Done)
    }

    pub(super) fn list_invalidations(&self, id: &str, page: Option<String>) -> Answer<Page<Invalidation>> {
        let short = |i: &Invalidation| Invalidation {
            caller_reference: String::new(),
            paths: Vec::new(),
            ..i.clone()
        };
        self.page(self.distribution(id)?.invalidations.iter().rev().map(short).collect(), page)
    }

    pub(super) fn invalidation(&self, distribution: &str, id: &str) -> Answer<Option<Invalidation>> {
        Ok(self.distribution(distribution)?.invalidations.iter().find(|i| i.id == id).cloned())
    }

    pub(super) fn invalidate(&mut self, id: &str, reference: &str, paths: &[String]) -> Answer<Outcome> {
        let d = self.distribution(id)?;
        if paths.is_empty() || paths.iter().any(|p| !is_path(p)) {
            return Err(refuse(
                "InvalidArgument",
                "your request contains one or more invalid invalidation paths",
            ));
        }
        if let Some(before) = d.invalidations.iter().find(|i| i.caller_reference == reference) {
            let set = |p: &[String]| p.iter().cloned().collect::<BTreeSet<_>>();
            if set(&before.paths) == set(paths) {
                return Ok(Outcome::Created { id: before.id.clone() });
            }
            return Err(refuse(
                "InvalidationBatchAlreadyExists",
                format!("the caller reference {reference} was used with other paths"),
            ));
        }
        let running = d.invalidations.iter().filter(|i| i.status == "InProgress").flat_map(|i| &i.paths);
        let (mut all, mut wild) = (paths.len(), paths.iter().filter(|p| p.ends_with('*')).count());
        for p in running {
            all += 1;
            wild += usize::from(p.ends_with('*'));
        }
        // each counts by itself
        if all - wild > MAX_PATHS || wild > MAX_WILDCARDS {
            return Err(refuse(
                "TooManyInvalidationsInProgress",
                "your request exceeds the limit of invalidation paths in progress",
            ));
        }
        let new = format!("I{:013X}", self.count("invalidation"));
        let made = Invalidation {
            id: new.clone(),
            status: "InProgress".to_owned(),
            caller_reference: reference.to_owned(),
            paths: paths.to_vec(),
            created_at: Some(self.now),
        };
        if let Some(d) = self.distributions.get_mut(id) {
            d.invalidations.push(made);
        }
        self.later(self.pace.invalidation, Due::Invalidated { distribution: id.to_owned(), id: new.clone() });
        Ok(Outcome::Created { id: new })
    }

    pub(super) fn invalidated(&mut self, distribution: &str, id: &str) {
        let found = self.distributions.get_mut(distribution).map(|d| &mut d.invalidations);
        for i in found.into_iter().flatten().filter(|i| i.id == id) {
            "Completed".clone_into(&mut i.status);
        }
    }
}

/// Whether CloudFront takes it: what is outside ASCII or unsafe by RFC 1738 has to be URL-encoded ("What you need to
/// know when invalidating files").
fn is_path(path: &str) -> bool {
    let plain = |c: char| c.is_ascii_graphic() && !"\"<>#{}|\\^~[]`".contains(c);
    path.starts_with('/') && path.len() <= 4_000 && path.chars().all(plain)
}
