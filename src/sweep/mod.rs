//! Sweep: what runs left behind, found and mended by tags alone, without any journal.
//!
//! `find` reads every listing of one account and region; `decide` (pure) says what each leftover
//! needs; `mend` does it, one call at a time, each written down by the caller before it is sent. What
//! carries neither `redrill:run` nor `redrill:held` is never touched. What a drill keeps
//! (`redrill:kept`), and what stands in for something that is gone (`redrill:replaces`), is never
//! removed, and neither is what only its tags say a run made. It knows less than a rollback: where there is a journal, that is the way.

mod decide;
mod mend;

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, Utc};
use serde::Serialize;

pub use decide::{Birth, Births, Need, decide};
use decide::{is_gone, is_replaced};
pub use mend::{Ledger, Outcome, final_snapshot, mend};

use crate::catalog::kind::CREATED;
use crate::catalog::kinds;
use crate::cloud::{CloudResult, ErrorKind, Filter, Reads, all_pages};
use crate::drill::{Select, TargetSpec};
use crate::inventory;
use crate::model::pattern::OneOrMany;
use crate::model::target::{TAG_HELD, TAG_KEPT, TAG_RUN};
use crate::model::{ResourceKind, Target};

/// How long something is looked for before it counts as gone.
const SETTLE: Duration = Duration::from_secs(10);

/// Something that a run left behind.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Leftover {
    /// The run, as the tag has it.
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
    /// Kinds that the caller may not list, so that nobody knows, with the permission that is missing.
    pub denied: Vec<(ResourceKind, String)>,
}

/// Finds what runs left behind. Global services are looked at only where `global` says so.
///
/// # Errors
/// The first error of any page: a partial listing is never returned. That the caller may not list a kind is one only
/// where it may list none: the policy of a drill allows what the drill needs.
pub async fn find(reads: &Reads, region: &str, global: bool) -> CloudResult<Found> {
    let mut targets: BTreeMap<(ResourceKind, String), Target> = BTreeMap::new();
    let mut found = Found::default();
    let kinds: Vec<ResourceKind> = kinds::all().filter(|k| global || !kinds::is_global(*k)).collect();
    for kind in kinds.iter().copied() {
        for spec in wanted(kind) {
            // one look: what it leaves out is found by the next sweep, and `mend` looks again before it removes anything
            let resolved = match inventory::resolve(reads, region, &spec).await {
                Err(e) if e.kind == ErrorKind::Denied && found.denied.len() + 1 < kinds.len() => {
                    found.denied.push((kind, e.operation));
                    break;
                }
                resolved => resolved?,
            };
            found.unreadable.extend(resolved.unreadable.into_iter().map(|u| u.name));
            targets.extend(resolved.matched.into_iter().map(|t| ((kind, t.id.clone()), t)));
        }
    }
    found.unreadable.sort();
    found.unreadable.dedup();
    let all: Vec<Target> = targets.into_values().collect();
    let births = births(reads, &all).await?;
    found.leftovers = all.iter().filter_map(|t| leftover(t, &all, &births)).collect();
    // what is put back first frees what is removed later
    found.leftovers.sort_by_key(|l| (l.need.order(), l.run.clone(), l.target.id.clone()));
    Ok(found)
}

/// How what carries a run's tag was made, and what a run holds was stopped.
async fn births(reads: &Reads, all: &[Target]) -> CloudResult<Births> {
    let of = |kind| all.iter().filter(move |t| t.kind == kind && t.tags.contains_key(TAG_RUN));
    // by their tag rather than by their ids: one id that is gone by now would fail the whole call
    let with = |tag: &str| Filter { tags: vec![(tag.to_owned(), vec!["*".to_owned()])], ..Filter::default() };
    let wanted = |kind, id: &String| of(kind).any(|t| t.id == *id);
    let mut births: Births = of(kinds::RDS_INSTANCE)
        .map(|t| {
            let at = t.attrs.get(CREATED).and_then(|at| DateTime::parse_from_rfc3339(at).ok());
            ((t.kind, t.id.clone()), Birth { at: at.map(|at| at.to_utc()), ..Birth::default() })
        })
        .collect();
    for tag in [TAG_RUN, TAG_HELD] {
        let of = || all.iter().filter(|t| t.kind == kinds::EC2_INSTANCE && t.tags.contains_key(tag));
        if of().next().is_some() {
            let tagged = with(tag);
            let tagged = all_pages(|page| reads.ec2.instances(&tagged, page)).await?;
            for i in tagged.into_iter().filter(|i| of().any(|t| t.id == i.id)) {
                let birth = Birth {
                    at: i.launched_at,
                    stopped: i.stopped_at,
                    token: i.client_token,
                    ..Birth::default()
                };
                births.insert((kinds::EC2_INSTANCE, i.id), birth);
            }
        }
    }
    if of(kinds::VPC_ROUTE_TABLE).next().is_some() {
        let made = with(TAG_RUN);
        let all = all_pages(|page| reads.ec2.route_tables(&made, page)).await?;
        for t in all.into_iter().filter(|t| wanted(kinds::VPC_ROUTE_TABLE, &t.id)) {
            let empty = t.routes.iter().all(|route| route.via == "local");
            births.insert((kinds::VPC_ROUTE_TABLE, t.id), Birth { empty, ..Birth::default() });
        }
    }
    Ok(births)
}

/// What is listed of a kind. Whether an original still stands only the others tell, which carry no tag
/// of redrill's; of buckets and distributions, which take a call each, only those that carry one.
fn wanted(kind: ResourceKind) -> Vec<TargetSpec> {
    let spec = |tag: Option<&str>, attr: Option<&str>| {
        let any = |key: &str| (key.to_owned(), OneOrMany::from("*"));
        let (tags, attrs) = (tag.into_iter().map(any).collect(), attr.into_iter().map(any).collect());
        TargetSpec { resource: kind, tags, attrs, select: Select::All, include_run_made: true }
    };
    let Some(kind) = kinds::spec(kind) else { return Vec::new() };
    if kind.takes_calls {
        return [TAG_RUN, TAG_HELD].into_iter().map(|tag| spec(Some(tag), None)).collect();
    }
    // with its state: those that have ended, too
    vec![spec(None, kind.lingers.then_some(kind.state))]
}

/// What is gone is left behind only where nothing stands in for it; what somebody else marked as kept is not.
fn leftover(t: &Target, all: &[Target], births: &Births) -> Option<Leftover> {
    let run = run_of(t)?;
    let held = t.tags.contains_key(TAG_HELD);
    let makes = kinds::spec(t.kind).is_some_and(|k| k.stands_in);
    let kept = t.tags.contains_key(TAG_KEPT) && !makes;
    if !held && (kept || is_gone(t)) || is_gone(t) && is_replaced(t, all) {
        return None;
    }
    Some(Leftover { began: began(&run), need: decide(t, all, births), target: t.clone(), run })
}

/// The run that a resource belongs to: what holds it, or else what made it. Empty where the tag is.
fn run_of(t: &Target) -> Option<String> {
    let value = t.tags.get(TAG_HELD).or_else(|| t.tags.get(TAG_RUN))?;
    Some(value.split_whitespace().next().unwrap_or_default().to_owned())
}

/// When a run began, by its id (`20261121T072057Z-…`).
pub fn began(run: &str) -> Option<DateTime<Utc>> {
    let (stamp, _) = run.split_once('-')?;
    NaiveDateTime::parse_from_str(stamp, "%Y%m%dT%H%M%SZ").ok().map(|t| t.and_utc())
}
