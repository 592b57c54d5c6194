//! Sweep: what runs left behind, found and mended by tags alone, without any journal.
//!
//! `find` reads every listing of one account and region; `decide` (pure) says what each leftover
//! needs; `mend` does it, one call at a time, each written down by the caller before it is sent. What
//! carries neither `redrill:run` nor `redrill:held` is never touched, and neither is what a run keeps
//! (`redrill:kept`). It knows less than a rollback: where there is a journal, that is the way.

mod decide;
mod mend;

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDateTime, Utc};
use serde::Serialize;

pub use decide::{Need, decide};
pub use mend::{Ledger, Outcome, mend};

use crate::cloud::{CloudResult, Reads};
use crate::drill::{Select, TargetSpec};
use crate::inventory;
use crate::model::pattern::OneOrMany;
use crate::model::target::{TAG_HELD, TAG_KEPT, TAG_RUN};
use crate::model::{ResourceKind, Target};

/// Something that a run left behind.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Leftover {
    /// The run.
    pub run: String,
    /// When the run began (UTC), as its id says; `None` where the tag holds no id of a run.
    pub began: Option<DateTime<Utc>>,
    /// The resource as it is now.
    pub target: Target,
    /// What it needs.
    pub need: Need,
}

/// What was found in one account and region.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Found {
    /// In the order in which they have to be mended.
    pub leftovers: Vec<Leftover>,
    /// Resources whose tags may not be read, so that nobody knows.
    pub unreadable: Vec<String>,
}

/// Finds what runs left behind. Global services are looked at only where `global` says so.
///
/// # Errors
/// The first error of any page: a partial listing is never returned.
pub async fn find(reads: &Reads, region: &str, global: bool) -> CloudResult<Found> {
    let mut targets: BTreeMap<(ResourceKind, String), Target> = BTreeMap::new();
    let mut found = Found::default();
    for kind in ResourceKind::ALL.into_iter().filter(|k| global || !k.is_global()) {
        for tag in [TAG_RUN, TAG_HELD] {
            let resolved = inventory::resolve(reads, region, &tagged(kind, tag)).await?;
            found.unreadable.extend(resolved.unreadable.into_iter().map(|u| u.name));
            targets.extend(resolved.matched.into_iter().map(|t| ((kind, t.id.clone()), t)));
        }
    }
    found.unreadable.sort();
    found.unreadable.dedup();
    let all: Vec<Target> =
        targets.into_values().filter(|t| !t.tags.contains_key(TAG_KEPT) && !is_gone(t)).collect();
    found.leftovers = all
        .iter()
        .filter_map(|t| {
            let run = run_of(t)?;
            let began = began(&run);
            Some(Leftover { began, need: decide(t, &all), target: t.clone(), run })
        })
        .collect();
    // what is put back first frees what is removed later
    found.leftovers.sort_by_key(|l| (l.need.order(), l.run.clone(), l.target.id.clone()));
    Ok(found)
}

fn tagged(kind: ResourceKind, tag: &str) -> TargetSpec {
    TargetSpec {
        resource: kind,
        tags: [(tag.to_owned(), OneOrMany::from("*"))].into(),
        attrs: BTreeMap::new(),
        select: Select::All,
        include_run_made: true,
    }
}

fn is_gone(t: &Target) -> bool {
    t.kind == ResourceKind::Ec2Instance
        && t.attrs.get("state").is_some_and(|s| matches!(s.as_str(), "terminated" | "shutting-down"))
}

/// The run that a resource belongs to: what made it, or else what holds it.
fn run_of(t: &Target) -> Option<String> {
    let value = t.tags.get(TAG_RUN).or_else(|| t.tags.get(TAG_HELD))?;
    value.split_whitespace().next().map(str::to_owned)
}

/// When a run began, by its id (`20261121T072057Z-…`).
pub fn began(run: &str) -> Option<DateTime<Utc>> {
    let (stamp, _) = run.split_once('-')?;
    NaiveDateTime::parse_from_str(stamp, "%Y%m%dT%H%M%SZ").ok().map(|t| t.and_utc())
}
