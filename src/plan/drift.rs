//! What changed between planning and running: each difference that matters is a refusal. Pure.

use std::collections::BTreeMap;

use super::{Plan, PlannedTargets, limits};
use crate::catalog::action::{Finding, Severity};
use crate::catalog::kind::CREATED;
use crate::catalog::kinds;
use crate::drill::selector;
use crate::inventory::Inhabitants;
use crate::model::{ResourceKind, RunId, Target, World};

/// Holds the plan against the world as it is now, right before the first step.
///
/// `now` holds, for every target of [`targets`] in that order, what it is now (`None`: gone).
pub fn compare(
    plan: &Plan,
    now: &[Option<Target>],
    account: &str,
    world: World,
    run: Option<&RunId>,
) -> Vec<Finding> {
    let refusal = |subject: &str, text: String| Finding::new(Severity::Refusal, subject, text);
    let mut out = Vec::new();
    if account != plan.account {
        out.push(refusal("account", format!("planned for account {}, this is {account}", plan.account)));
    }
    if world != plan.world {
        out.push(refusal("world", format!("planned for `{}`, this is `{world}`", plan.world)));
    }
    // asked again, whatever the plan says was found: a plan is a file, and a file can be written anew
    out.extend(plan.rules().into_iter().flat_map(|r| limits::place(r, &plan.drill, account, &plan.region)));
    let (chosen, house) = (plan.environment.as_deref(), &plan.house);
    out.extend(limits::environment(&plan.drill.limits, chosen, house, account));
    for ((name, before), now) in drawn(plan).zip(now) {
        let subject = limits::label(before);
        let Some(now) = now else {
            out.push(refusal(&subject, "it no longer exists".to_owned()));
            continue;
        };
        if let (Some(was), Some(is)) = (before.attrs.get(CREATED), now.attrs.get(CREATED))
            && was != is
        {
            let text =
                format!("another resource has its name now: it was created {is}, the planned one {was}");
            out.push(refusal(&subject, text));
        }
        if let Some(text) = ended(now) {
            out.push(refusal(&subject, text));
        } else if let Some(spec) = plan.drill.targets.get(name)
            && !selector::matches(spec, now)
        {
            let text = format!("it no longer matches `{name}`{}", difference(before, now));
            out.push(refusal(&subject, text));
        }
        out.extend(moved(before, now).map(|text| refusal(&subject, text)));
        out.extend(plan.rules().into_iter().flat_map(|r| limits::tags(r, now)));
        out.extend(limits::tagging(now, run.map(RunId::as_str)));
    }
    out.dedup();
    out.into_iter().map(hinted).collect()
}

/// Whether both were made at the same moment: another one may have the name by now.
pub fn is_the_same(before: &Target, now: &Target) -> bool {
    before.attrs.get(CREATED) == now.attrs.get(CREATED)
}

/// What undo would put back to is not what it was: somebody has put a subnet on another route table, or stopped or
/// started an instance. The tag `redrill:held` tells a sweep, which has no journal, of what was planned.
fn moved(before: &Target, now: &Target) -> Option<String> {
    kinds::kind(before.kind)?.moved(before, now)
}

/// Holds the plan's numbers against how much of each kind exists now. What still is within the limits is
/// no drift.
pub fn numbers(plan: &Plan, now: &BTreeMap<ResourceKind, usize>) -> Vec<Finding> {
    let of_now = |p: &PlannedTargets| PlannedTargets {
        population: now.get(&p.resource).copied().unwrap_or(p.population),
        ..p.clone()
    };
    let targets: BTreeMap<String, PlannedTargets> =
        plan.targets.iter().map(|(name, p)| (name.clone(), of_now(p))).collect();
    plan.rules().into_iter().flat_map(|r| limits::numbers(r, &targets)).map(replanned).collect()
}

/// Holds what the faults reach now against the limits, and against what they reached when it was
/// planned.
pub fn affected(plan: &Plan, now: &Inhabitants) -> Vec<Finding> {
    let mut out: Vec<Finding> = plan.rules().into_iter().flat_map(|r| limits::affected(r, now)).collect();
    let none = BTreeMap::new();
    let before = plan.affected.as_ref().map_or(&none, |a| &a.instances);
    let planned = |id: &String| before.values().any(|ids| ids.contains(id));
    let known: Vec<&str> =
        plan.affected.iter().flat_map(|a| &a.others).map(|n| n.interface.as_str()).collect();
    let others = now.others.iter().filter(|n| !known.contains(&n.interface.as_str()));
    let others = others.map(|n| format!("{} ({})", n.what, n.interface));
    let instances = now.instances.iter().filter(|t| !planned(&t.id)).map(|t| t.id.clone());
    let new: Vec<String> = instances.chain(others).collect();
    if !new.is_empty() {
        let text = format!("in the subnets that faults change since the plan was made: {}", new.join(", "));
        out.push(Finding::new(Severity::Warning, "affected", text));
    }
    out.into_iter().map(hinted).collect()
}

fn hinted(f: Finding) -> Finding {
    if f.hint.is_some() { f } else { replanned(f) }
}

fn replanned(f: Finding) -> Finding {
    f.hint("plan again: redrill plan")
}

/// The targets of a plan in the order that [`compare`] expects.
pub fn targets(plan: &Plan) -> Vec<Target> {
    drawn(plan).map(|(_, t)| t.clone()).collect()
}

fn drawn(plan: &Plan) -> impl Iterator<Item = (&String, &Target)> {
    plan.targets.iter().flat_map(|(name, p)| p.drawn.iter().map(move |t| (name, t)))
}

/// That it is gone for good or about to be: everything else that differs follows from that.
fn ended(now: &Target) -> Option<String> {
    Some(kinds::spec(now.kind)?.end_of(now)?.says.to_owned())
}

/// The first tag or attribute that differs, in words; the state before all others.
fn difference(before: &Target, now: &Target) -> String {
    if let (Some(was), Some(is)) = (before.attrs.get("state"), now.attrs.get("state"))
        && was != is
    {
        return format!(": state was `{was}`, is `{is}`");
    }
    let pairs = [(&before.tags, &now.tags, "tag "), (&before.attrs, &now.attrs, "")];
    for (old, new, what) in pairs {
        for (key, value) in old {
            match new.get(key) {
                Some(v) if v == value => {}
                Some(v) => return format!(": {what}{key} was `{value}`, is `{v}`"),
                None => return format!(": {what}{key} was `{value}`, is gone"),
            }
        }
        if let Some((key, value)) = new.iter().find(|(k, _)| !old.contains_key(*k)) {
            return format!(": {what}{key} is `{value}`, was not there");
        }
    }
    String::new()
}
