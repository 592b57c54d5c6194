//! Looking at instances: reads that tolerate what has vanished, and how long to go on looking.
//!
//! EC2 is eventually consistent: a change that was accepted may not show for a moment, and what is there may be
//! missing from an answer. So "it is gone" and "nothing happened" are never concluded from one look: [`present`] and
//! [`agreed`] look again, and [`Patience`] bounds for how long. Reads only.

use std::collections::{BTreeMap, BTreeSet};

use futures::StreamExt as _;

use crate::catalog::action::{ActionError, ReadCx, SentCall, WriteCx};
pub(super) use crate::cloud::agreed::Patience;
use crate::cloud::{
    CloudResult, Filter, Instance, InstanceAttribute, InstanceDetail, Mutation, Named, Outcome, What, agreed,
    all_pages,
};
use crate::model::{Dur, StepId, Target};

/// Ids in one DescribeInstances call.
const DESCRIBE: usize = 1000;
/// For how long EC2 lists what is terminated, at least.
const LISTED: chrono::TimeDelta = chrono::TimeDelta::minutes(60);
/// Reads of single instances under way at once.
const ABREAST: usize = 8;
/// How many times the settling time of the run is looked for what an unanswered call made: two minutes, where the drill
/// does not say otherwise.
const UNANSWERED: u32 = 12;
/// Set by EC2 Auto Scaling on the members of a group.
pub(super) const TAG_GROUP: &str = "aws:autoscaling:groupName";

/// [`agreed::agreed`] over the settling time of the run.
pub(super) async fn agreed<T, E, F>(
    cx: ReadCx<'_>,
    is_sure: impl Fn(&T) -> bool,
    look: impl FnMut() -> F,
) -> Result<T, E>
where
    F: Future<Output = Result<T, E>>,
{
    agreed::agreed(cx.settle.0, is_sure, look).await
}

/// [`agreed::present`] over the settling time of the run.
pub(super) async fn present<T, E, F>(cx: ReadCx<'_>, look: impl FnMut() -> F) -> Result<Option<T>, E>
where
    F: Future<Output = Result<Option<T>, E>>,
{
    agreed::present(cx.settle.0, look).await
}

/// As long as the run looks again after a change.
pub(super) fn settle(cx: ReadCx<'_>) -> Patience {
    Patience::settle(cx.settle.0)
}

/// Divides ids of which at least one spoils a call, into strictly smaller parts: those that the
/// message names stand alone, else halves. Nothing is left of a single id.
pub(super) fn divide(ids: &[String], message: &str) -> Vec<Vec<String>> {
    if ids.len() < 2 {
        return Vec::new();
    }
    let (named, others): (Vec<&String>, Vec<&String>) =
        ids.iter().partition(|id| message.contains(id.as_str()));
    if named.is_empty() || others.is_empty() {
        let (a, b) = ids.split_at(ids.len() / 2);
        return vec![a.to_vec(), b.to_vec()];
    }
    let mut parts = vec![others.into_iter().cloned().collect()];
    parts.extend(named.into_iter().map(|id| vec![id.clone()]));
    parts
}

/// These instances, every page; what does not exist is left out. (DescribeInstances fails as a whole
/// when one id is unknown, so the unknown ones are singled out.)
pub(super) async fn instances(cx: ReadCx<'_>, ids: &[String]) -> CloudResult<BTreeMap<String, Instance>> {
    let mut found = BTreeMap::new();
    let mut work: Vec<Vec<String>> = ids.chunks(DESCRIBE).map(<[String]>::to_vec).collect();
    while let Some(part) = work.pop() {
        let filter = Filter { ids: part, ..Filter::default() };
        match all_pages(|page| cx.reads.ec2.instances(&filter, page)).await {
            Ok(some) => found.extend(some.into_iter().map(|i| (i.id.clone(), i))),
            Err(e) if e.is_not_found() => work.extend(divide(&filter.ids, &e.message)),
            Err(e) => return Err(e),
        }
    }
    Ok(found)
}

/// One instance; `None` where it does not exist (any more).
pub(super) async fn instance(cx: ReadCx<'_>, id: &str) -> CloudResult<Option<Instance>> {
    Ok(instances(cx, &[id.to_owned()]).await?.remove(id))
}

/// These attributes of each instance, a call each: DescribeInstances does not return them. Whoever needs one of them
/// for a refusal alone reads it [while planning](ReadCx::planning): AWS enforces it itself afterwards.
pub(super) async fn details(
    cx: ReadCx<'_>,
    ids: &[String],
    wanted: &[InstanceAttribute],
) -> CloudResult<BTreeMap<String, InstanceDetail>> {
    let mut reads = Vec::with_capacity(ids.len() * wanted.len());
    for id in ids {
        for &which in wanted {
            reads.push(async move { (id, which, cx.reads.ec2.attribute(id, which).await) });
        }
    }
    let mut found: BTreeMap<String, InstanceDetail> = BTreeMap::new();
    let mut answers = futures::stream::iter(reads).buffered(ABREAST);
    while let Some((id, which, value)) = answers.next().await {
        let value = value?;
        let on = || value.as_deref() == Some("true");
        let detail = found.entry(id.clone()).or_default();
        match which {
            InstanceAttribute::TerminationProtection => detail.disable_api_termination = on(),
            InstanceAttribute::StopProtection => detail.disable_api_stop = on(),
            InstanceAttribute::UserData => detail.user_data = value,
            InstanceAttribute::Shutdown => detail.shutdown = value.filter(|what| what != "stop"),
        }
    }
    Ok(found)
}

/// An instance's Auto Scaling group, and whether it leaves a stopped member alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) name: String,
    /// Suspended processes; empty where only the tag tells of the group.
    pub(super) suspended: Vec<String>,
}

/// The groups that these instances belong to, by instance id. Auto Scaling, which takes fifty ids a call, is asked
/// about those alone that carry its tag: it tags every member, also one that is attached later ("Tag Auto Scaling groups
/// and instances", Amazon EC2 Auto Scaling User Guide), and nobody else can set or remove a tag that begins with `aws:`.
pub(super) async fn groups(
    cx: ReadCx<'_>,
    instances: &BTreeMap<String, Instance>,
) -> CloudResult<BTreeMap<String, Group>> {
    let mut groups: BTreeMap<String, Group> = instances
        .values()
        .filter_map(|i| {
            let name = i.tags.get(TAG_GROUP)?.clone();
            Some((i.id.clone(), Group { name, suspended: Vec::new() }))
        })
        .collect();
    let ids: Vec<String> = groups.keys().cloned().collect();
    if !ids.is_empty() {
        for m in cx.reads.autoscaling.members(&ids).await? {
            groups.insert(m.instance, Group { name: m.group, suspended: m.suspended });
        }
    }
    Ok(groups)
}

/// Whether EC2 may have forgotten by now what ended in this run: it lists what is terminated for about an hour
/// (TerminateInstances, Amazon EC2 API Reference). Until then what is not listed is left out, and may be running.
pub(super) fn is_long_ago(cx: ReadCx<'_>) -> bool {
    cx.t0.is_some_and(|t0| cx.clock.now() - t0 > LISTED)
}

/// A change that a step has sent, and the id of what it made, where that was answered.
pub(super) struct OnRecord {
    pub(super) asked: Mutation,
    pub(super) made: Option<String>,
}

/// What this step has sent of these operations, but for what was refused: it tells what the step made or chose where
/// tags, which can be copied, do not.
pub(super) fn on_record(cx: ReadCx<'_>, operations: &[&str]) -> Vec<OnRecord> {
    let own = |s: &SentCall| s.step == *cx.step && !s.refused && operations.contains(&s.operation.as_str());
    let sent = cx.calls.sent().into_iter().filter(own);
    sent.filter_map(|s| {
        let made = s.outcome.and_then(|o| if let Outcome::Created { id } = o { Some(id) } else { None });
        Some(OnRecord { asked: serde_json::from_value(s.params).ok()?, made })
    })
    .collect()
}

/// What this step has sent of this operation for that thing, but for what was refused. A call is on record before it is
/// sent, so what is not on record was not sent; one that does not say what it names may have named this.
pub(super) fn sent_for(cx: ReadCx<'_>, operation: &str, what: Named<'_>) -> Vec<SentCall> {
    let is_it = |s: &SentCall| {
        s.step == *cx.step && !s.refused && s.operation == operation && names(s, what).unwrap_or(true)
    };
    cx.calls.sent().into_iter().filter(is_it).collect()
}

/// The step of this run, this one or another, that has sent the termination of an instance.
pub(super) fn terminated_by(cx: ReadCx<'_>, id: &str) -> Option<StepId> {
    let is_it = |s: &SentCall| {
        s.operation == "ec2:TerminateInstances" && !s.refused && names(s, (What::Instance, id)) == Some(true)
    };
    cx.calls.sent().into_iter().find(is_it).map(|s| s.step)
}

/// Whether a call on record names it; `None` where it does not say what it names.
fn names(call: &SentCall, what: Named<'_>) -> Option<bool> {
    let asked: Mutation = serde_json::from_value(call.params.clone()).ok()?;
    Some(asked.names().contains(&what))
}

/// The context to conclude from that nothing was made: where one of these calls of the step was sent and its answer
/// never came, what it made may take minutes to show ("Eventual consistency in the Amazon EC2 API", Amazon EC2 Developer
/// Guide: from a couple of seconds "up to a few minutes"), so it is looked for longer.
pub(super) fn unanswered<'a>(cx: WriteCx<'a>, operations: &[&str]) -> WriteCx<'a> {
    let open = |s: &SentCall| {
        s.step == *cx.read.step
            && !s.refused
            && s.outcome.is_none()
            && operations.contains(&s.operation.as_str())
    };
    if !cx.read.calls.sent().iter().any(open) {
        return cx;
    }
    let settle = Dur(cx.read.settle.0 * UNANSWERED);
    WriteCx { read: ReadCx { settle, ..cx.read }, ..cx }
}

/// Those of these types that come with instance-store volumes. Of NVMe ones DescribeInstances tells nothing.
pub(super) async fn with_storage(
    cx: ReadCx<'_>,
    instances: &BTreeMap<String, Instance>,
) -> CloudResult<BTreeSet<String>> {
    let names: BTreeSet<String> =
        instances.values().filter(|i| !is_ending(&i.state)).map(|i| i.instance_type.clone()).collect();
    if names.is_empty() {
        return Ok(BTreeSet::new());
    }
    let types = cx.reads.ec2.instance_types(&names.into_iter().collect::<Vec<_>>()).await?;
    Ok(types.into_iter().filter(|t| t.storage).map(|t| t.name).collect())
}

/// The ids of these targets.
pub(super) fn ids(targets: &[Target]) -> Vec<String> {
    targets.iter().map(|t| t.id.clone()).collect()
}

/// The target, or the error that this action needs one.
pub(super) fn required(target: Option<&Target>) -> Result<&Target, ActionError> {
    target.ok_or_else(|| ActionError::refused("this action needs a target"))
}

/// Whether the instance is gone or going for good.
pub(super) fn is_ending(state: &str) -> bool {
    matches!(state, "shutting-down" | "terminated")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(n: usize) -> Vec<String> {
        (0..n).map(|i| format!("i-{i:03}")).collect()
    }

    #[test]
    fn a_named_culprit_stands_alone_at_once() {
        let parts = divide(&ids(1000), "The instance 'i-417' may not be terminated.");
        assert_eq!(parts.len(), 2);
        assert_eq!(parts[0].len(), 999);
        assert_eq!(parts[1], ["i-417"]);
    }

    #[test]
    fn an_unnamed_culprit_is_found_by_halves_and_every_part_is_smaller() {
        let mut work = vec![ids(9)];
        let mut singles = 0;
        while let Some(part) = work.pop() {
            let parts = divide(&part, "something is wrong");
            assert!(parts.iter().all(|p| !p.is_empty() && p.len() < part.len()));
            singles += usize::from(part.len() == 1);
            work.extend(parts);
        }
        assert_eq!(singles, 9);
    }
}
