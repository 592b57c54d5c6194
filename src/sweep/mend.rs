//! Mends one leftover: looks again, then sends the calls, each written down first. I/O.
//!
//! Invariant: that something is gone, the leftover itself or what it stands beside, is never concluded from one look.

use std::time::Duration;

use async_trait::async_trait;

use super::decide::{Need, is_gone, is_its_work, is_younger, serves};
use super::{Birth, Births, Leftover, SETTLE, births};
use crate::catalog::kinds;
use crate::cloud::agreed::{self, Patience};
use crate::cloud::{
    Cloud, CloudError, CloudResult, EffectCertainty, ErrorKind, Filter, Instance, Mutation, Reply, all_pages,
};
use crate::inventory;
use crate::model::target::{TAG_HELD, TAG_KEPT, TAG_REPLACES, TAG_RUN, TAG_STEP};
use crate::model::{Tags, Target, naming};

/// How long the removal of something is repeated that something else still stands on.
const DEPENDANTS: Duration = Duration::from_secs(60);
/// How long an instance that was started is waited for.
const STARTING: Duration = Duration::from_secs(180);

/// Where calls are written down before they are sent.
#[async_trait]
pub trait Ledger: Send + Sync {
    /// Returns once it is on disk; then it is sent.
    ///
    /// # Errors
    /// It could not be written; the call must not be sent.
    async fn sending(&self, leftover: &Leftover, call: &Mutation) -> Result<(), CloudError>;

    /// The answer.
    async fn answered(&self, leftover: &Leftover, call: &Mutation, answer: &CloudResult<Reply>);
}

/// How it came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done.
    Mended,
    /// It is gone, or not as it was found: left alone.
    Changed,
    /// Nothing that redrill can do.
    Left,
    /// Not as it is now, with why.
    NotYet(String),
}

/// The snapshot that is taken of a database before it is removed: named after it, so that it is found.
pub fn final_snapshot(leftover: &Leftover) -> Option<String> {
    let removed = leftover.need == Need::Remove && leftover.target.kind == kinds::RDS_INSTANCE;
    removed.then(|| naming::final_snapshot(&leftover.target.id))
}

/// Whether a database can be removed with a final snapshot as it is now.
fn can_be_copied(db: &Target) -> bool {
    // RDS refuses a final snapshot of one that is not available, and none is left of one that failed
    db.attrs
        .get("status")
        .is_some_and(|status| matches!(status.as_str(), "available" | "stopped" | "storage-full"))
}

/// Whether it was refused for what it is or what stands on it at the moment, so that it may be accepted later.
fn is_state(e: &CloudError) -> bool {
    e.kind == ErrorKind::State && e.effect == EffectCertainty::None
}

/// Mends one leftover. What is no longer as it was found is left alone. A database that is removed leaves a
/// snapshot where `snapshots` says so.
///
/// # Errors
/// AWS refused, or the call could not be written down; what was sent before is done.
pub async fn mend(
    cloud: &Cloud,
    ledger: &dyn Ledger,
    leftover: &Leftover,
    snapshots: bool,
) -> CloudResult<Outcome> {
    if matches!(leftover.need, Need::Person { .. }) {
        return Ok(Outcome::Left);
    }
    let region = &cloud.region;
    let now = agreed::present(SETTLE, || inventory::reread(&cloud.reads, region, &leftover.target)).await?;
    let same = |now: &Target| {
        [TAG_RUN, TAG_HELD, TAG_KEPT, TAG_REPLACES]
            .iter()
            .all(|key| now.tags.get(*key) == leftover.target.tags.get(*key))
            && now.attrs.get("route_table") == leftover.target.attrs.get("route_table")
    };
    let Some(now) = now.filter(same) else { return Ok(Outcome::Changed) };
    let beside = matches!(leftover.need, Need::Keep { instead_of: Some(_) });
    if beside && original(cloud, &now).await?.is_some() {
        return Ok(Outcome::Changed); // it stands in for nothing
    }
    if leftover.need == Need::Remove {
        let births = certain(cloud, &now).await?;
        // a table stands in for nothing
        let stands = !now.tags.contains_key(TAG_REPLACES)
            || original(cloud, &now).await?.is_some_and(|o| serves(&o) && !is_younger(&o, &now));
        if is_its_work(&now, &births).is_err() || !stands {
            return Ok(Outcome::Changed);
        }
    }
    let final_snapshot = final_snapshot(leftover).filter(|_| snapshots);
    if final_snapshot.is_some() && !can_be_copied(&now) {
        let status = now.attrs.get("status").map(String::as_str).unwrap_or_default();
        return Ok(Outcome::NotYet(format!("no final snapshot can be taken while it is `{status}`")));
    }
    let send = async |call: Mutation| {
        ledger.sending(leftover, &call).await?;
        let answer = cloud.mutate.send(&call).await;
        ledger.answered(leftover, &call, &answer).await;
        answer.map(|_| ())
    };
    let id = now.id.clone();
    match &leftover.need {
        Need::Person { .. } => return Ok(Outcome::Left),
        Need::Reroute { from, to } => {
            let association = agreed::present(SETTLE, || association(cloud, from, &id)).await?;
            let Some(association) = association else { return Ok(Outcome::Changed) };
            send(match to.clone() {
                Some(table) => Mutation::ReplaceRouteTableAssociation { association, table },
                None => Mutation::DisassociateRouteTable { association },
            })
            .await?;
            send(release(cloud, &now).await?).await?;
        }
        Need::Start => {
            send(Mutation::StartInstances { ids: vec![id] }).await?;
            // a start that is accepted may still fail, without capacity or the key of a volume: until it runs, the tag
            // is all that finds it again
            let state = |t: &Option<Target>| t.as_ref().and_then(|t| t.attrs.get("state").cloned());
            let runs = |t: &Option<Target>| state(t).is_some_and(|s| s == "running");
            let look = || inventory::reread(&cloud.reads, region, &leftover.target);
            let then = agreed::agreed(STARTING, runs, look).await?;
            if !runs(&then) {
                let state = state(&then).unwrap_or_else(|| "not listed".to_owned());
                return Ok(Outcome::NotYet(format!(
                    "it was started and is {state}: sweep again when it runs"
                )));
            }
            send(release(cloud, &now).await?).await?;
        }
        Need::Release => send(release(cloud, &now).await?).await?,
        Need::Keep { .. } => {
            let (kept, run) = keep(cloud, &leftover.run, &now).await?;
            // the new tag is there before the old ones go
            send(kept).await?;
            send(run).await?;
        }
        Need::Remove => {
            // where there is none, it was decided otherwise
            let kind = kinds::kind(now.kind);
            let call = kind.and_then(|k| k.removal(&now, final_snapshot));
            let Some(call) = call else { return Ok(Outcome::Left) };
            let is_stood_on = kind.is_some_and(|k| k.spec().is_stood_on);
            let dependants = if is_stood_on { DEPENDANTS } else { Duration::ZERO };
            let mut patience = Patience::of(dependants, Duration::from_secs(2), Duration::from_secs(15));
            loop {
                match send(call.clone()).await {
                    Ok(()) => break,
                    Err(e) if !is_state(&e) => return Err(e),
                    // what stood on it goes away, which takes a moment to be seen everywhere
                    Err(_) if patience.wait().await => {}
                    Err(e) => return Ok(Outcome::NotYet(e.to_string())),
                }
            }
        }
    }
    Ok(Outcome::Mended)
}

/// How it was made, as two looks say: a route that one leaves out would make a table look empty.
async fn certain(cloud: &Cloud, made: &Target) -> CloudResult<Births> {
    let key = (made.kind, made.id.clone());
    let look = async || Ok(births(&cloud.reads, std::slice::from_ref(made)).await?.remove(&key));
    let twice = || agreed::twice("ec2:Describe*", |birth: &Option<Birth>| birth, &look);
    let birth = agreed::present::<_, CloudError, _>(SETTLE, twice).await?;
    Ok(birth.into_iter().map(|birth| (key.clone(), birth)).collect())
}

/// The original of what a run made, as it stands beside it now: the world may have changed since the listing.
async fn original(cloud: &Cloud, made: &Target) -> CloudResult<Option<Target>> {
    let Some(original) = made.tags.get(TAG_REPLACES).filter(|id| **id != made.id) else { return Ok(None) };
    let original = Target { id: original.clone(), ..made.clone() };
    let now = agreed::present(SETTLE, || inventory::reread(&cloud.reads, &cloud.region, &original)).await?;
    Ok(now.filter(|now| !is_gone(now)))
}

/// The calls that mark it as kept, with its volumes, as the end of a run does.
async fn keep(cloud: &Cloud, run: &str, t: &Target) -> CloudResult<(Mutation, Mutation)> {
    let tags = Tags::from([(TAG_KEPT.to_owned(), run.to_owned())]);
    let keys = [TAG_RUN, TAG_STEP].map(str::to_owned).to_vec();
    if t.kind == kinds::RDS_INSTANCE {
        let arn = t.arn.clone().unwrap_or_else(|| t.id.clone());
        return Ok((Mutation::TagDb { arn: arn.clone(), tags }, Mutation::UntagDb { arn, keys }));
    }
    let filter = Filter { ids: vec![t.id.clone()], ..Filter::default() };
    let mut ids = vec![t.id.clone()];
    let any = |all: &Vec<Instance>| !all.is_empty();
    let look = || all_pages(|page| cloud.reads.ec2.instances(&filter, page));
    for instance in agreed::agreed(SETTLE, any, look).await? {
        ids.extend(instance.block_devices.into_iter().map(|b| b.volume));
    }
    Ok((Mutation::CreateTags { ids: ids.clone(), tags }, Mutation::DeleteTags { ids, keys }))
}

/// The association of a subnet with a table, as it is now.
async fn association(cloud: &Cloud, table: &str, subnet: &str) -> CloudResult<Option<String>> {
    let filter = Filter::default();
    let tables = all_pages(|page| cloud.reads.ec2.route_tables(&filter, page)).await?;
    let table = tables.into_iter().find(|t| t.id == table);
    let found = table.and_then(|t| t.associations.into_iter().find(|a| a.subnet.as_deref() == Some(subnet)));
    Ok(found.map(|a| a.id))
}

/// The call that removes `redrill:held`.
async fn release(cloud: &Cloud, t: &Target) -> CloudResult<Mutation> {
    let unknown =
        || CloudError::new("tag", ErrorKind::Other, format!("BUG: {} is no kind of resource", t.kind));
    let kind = kinds::kind(t.kind).ok_or_else(unknown)?;
    if let Some(untag) = kind.untag(t, vec![TAG_HELD.to_owned()]) {
        return Ok(untag);
    }
    // they are written as a whole: read, one taken out, written back
    let known = |now: &Tags| t.tags.keys().all(|key| now.contains_key(key));
    let mut tags = agreed::agreed(SETTLE, known, || kind.tags(&cloud.reads, t)).await?;
    tags.remove(TAG_HELD);
    Ok(kind.tag(t, tags))
}
