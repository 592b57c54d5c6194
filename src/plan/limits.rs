//! The blast radius: everything about accounts, regions, numbers, tags and hours that refuses a plan. Pure.

use chrono::{DateTime, TimeDelta, Utc};

use super::{PlannedStep, PlannedTargets};
use crate::catalog::action::{Finding, Severity};
use crate::cloud::Identity;
use crate::drill::window::{Window, open_at};
use crate::drill::{Drill, Limits};
use crate::inventory::Inhabitants;
use crate::model::{Dur, ResourceKind, Target, target};

use Severity::{Refusal, Warning};

/// How many tags AWS allows a resource to carry.
const MOST_TAGS: usize = 50;

/// Whether the drill may run in this account and region.
pub fn place(limits: &Limits, account: &str, region: &str) -> Vec<Finding> {
    let mut out = Vec::new();
    if !limits.accounts.iter().any(|a| a == account) {
        let text = format!("this is account {account}; the drill may run in {}", limits.accounts.join(", "));
        out.push(Finding::new(Refusal, "limits.accounts", text).hint("check --profile, or add the account"));
    }
    if !limits.regions.iter().any(|r| r == region) {
        let text = format!("this is {region}; the drill may run in {}", limits.regions.join(", "));
        out.push(Finding::new(Refusal, "limits.regions", text).hint("check --region, or add the region"));
    }
    out
}

/// Whether what was drawn stays within the numbers and tags that the limits allow.
pub fn targets<'a>(
    limits: &Limits,
    planned: impl IntoIterator<Item = (&'a String, &'a PlannedTargets)> + Clone,
) -> Vec<Finding> {
    let mut out = Vec::new();
    let mut all: Vec<&Target> = planned.clone().into_iter().flat_map(|(_, p)| &p.drawn).collect();
    all.sort();
    all.dedup();
    if all.len() > limits.max_targets {
        let text = format!("{} targets are drawn, {} are allowed", all.len(), limits.max_targets);
        out.push(
            Finding::new(Refusal, "limits.max_targets", text)
                .hint("narrow the selectors with `select`, `tags` or `where`"),
        );
    }
    if let Some(percent) = limits.max_percent {
        for kind in ResourceKind::ALL {
            let of: Vec<_> = planned.clone().into_iter().filter(|(_, p)| p.resource == kind).collect();
            let Some(population) = of.iter().map(|(_, p)| p.population).min() else { continue };
            let drawn = all.iter().filter(|t| t.kind == kind).count();
            // without rounding: drawn / population > percent / 100
            if drawn * 100 > population * usize::from(percent) {
                let names: Vec<String> = of.iter().map(|(name, _)| format!("`{name}`")).collect();
                let draw = if of.len() == 1 { "draws" } else { "draw" };
                let text = format!(
                    "{} {draw} {drawn} of the {population} {kind} that exist, more than {percent} %",
                    names.join(" and ")
                );
                out.push(Finding::new(Refusal, "limits.max_percent", text));
            }
        }
    }
    for target in all {
        out.extend(tags(limits, target));
        out.extend(held(target, None));
    }
    out
}

/// Whether a target carries what it must, nothing that it must not, and has room for one tag more.
pub fn tags(limits: &Limits, target: &Target) -> Vec<Finding> {
    let mut out = Vec::new();
    for (key, want) in &limits.require_tags {
        let value = target.tags.get(key);
        if !value.is_some_and(|v| want.matches(v)) {
            let has = value.map_or_else(|| "has no such tag".to_owned(), |v| format!("has `{v}`"));
            let text = format!("the limits require the tag {key}={want}, and it {has}");
            out.push(Finding::new(Refusal, label(target), text));
        }
    }
    for (key, value) in forbidden(limits, target) {
        let text = format!("it carries the tag {key}={value}, which the limits forbid");
        out.push(Finding::new(Refusal, label(target), text));
    }
    // AWS does not count its own
    let own = target.tags.keys().filter(|k| !k.starts_with("aws:") && *k != target::TAG_HELD).count();
    if own >= MOST_TAGS {
        let text =
            format!("it carries {own} tags, as many as AWS allows, and a run adds {}", target::TAG_HELD);
        out.push(Finding::new(Refusal, label(target), text).hint("remove a tag that is not needed"));
    }
    out
}

/// The tags of a resource that the limits forbid.
fn forbidden<'a>(limits: &'a Limits, target: &'a Target) -> impl Iterator<Item = (&'a String, &'a String)> {
    limits.forbid_tags.iter().filter_map(|(key, never)| {
        let value = target.tags.get(key)?;
        never.matches(value).then_some((key, value))
    })
}

/// Whether what faults reach without naming it stays within the limits.
pub fn affected(limits: &Limits, found: &Inhabitants) -> Vec<Finding> {
    let mut out = Vec::new();
    let hit = found.instances.len();
    if let Some(most) = limits.max_affected
        && hit > most
    {
        let text = format!(
            "{hit} of the {} instances that exist are in the subnets that faults change, {most} are allowed",
            found.population
        );
        out.push(
            Finding::new(Refusal, "limits.max_affected", text)
                .hint("narrow the selectors with `select`, `tags` or `where`"),
        );
    }
    for t in &found.instances {
        let subnet = t.attrs.get("subnet").map_or("", String::as_str);
        for (key, value) in forbidden(limits, t) {
            let text = format!(
                "a fault changes its subnet {subnet}, and it carries the tag {key}={value}, which the limits forbid"
            );
            out.push(Finding::new(Refusal, label(t), text));
        }
    }
    out
}

/// Whether another run holds the target; `own` is this run's id.
pub fn held(target: &Target, own: Option<&str>) -> Option<Finding> {
    let run = target.tags.get(target::TAG_HELD)?;
    // the value is the run's id, then a short hint for undo
    let id = run.split_whitespace().next().unwrap_or(run);
    if own == Some(id) {
        return None;
    }
    let text = format!("the run {id} holds it ({}={run})", target::TAG_HELD);
    Some(Finding::new(Refusal, label(target), text).hint(format!("finish it first: redrill rollback {id}")))
}

/// Whether faults may be injected now; the severity is the caller's: `plan` warns, `run` refuses.
pub fn window(limits: &Limits, now: DateTime<Utc>, severity: Severity) -> Option<Finding> {
    let windows: Vec<Window> = limits.windows.iter().filter_map(|w| w.parse().ok()).collect();
    let next = open_at(&windows, now).err()?;
    let next = match next {
        Some(at) => format!("it opens at {} UTC", at.format("%Y-%m-%d %H:%M")),
        None => "it does not open within two weeks".to_owned(),
    };
    Some(Finding::new(severity, "limits.windows", format!("the time window is closed; {next}")))
}

/// How long a run may need its credentials: until it gives up, and then for every undo.
pub fn longest(drill: &Drill, steps: &[PlannedStep]) -> Dur {
    let undo =
        steps.iter().map(|s| s.undo_timeout.0).fold(std::time::Duration::ZERO, |a, b| a.saturating_add(b));
    Dur(drill.objectives.give_up().0.saturating_add(drill.impact_timeout.0).saturating_add(undo))
}

/// Whether the credentials outlive the run. What nothing renews must; what is unknown is said.
pub fn credentials(identity: &Identity, now: DateTime<Utc>, longest: Dur) -> Option<Finding> {
    let needed = now + TimeDelta::from_std(longest.0).unwrap_or(TimeDelta::MAX);
    let renew = "use a profile or a role whose credentials renew themselves";
    Some(match (identity.expires_at, identity.renewable) {
        (_, Some(true)) | (None, None) => return None,
        (Some(at), _) if at >= needed => return None,
        (Some(at), renewable) => {
            let severity = if renewable == Some(false) { Refusal } else { Warning };
            let text = format!(
                "the credentials expire at {} UTC, and the run with its undo may take {longest}",
                at.format("%Y-%m-%d %H:%M")
            );
            Finding::new(severity, "credentials", text).hint(renew)
        }
        (None, Some(false)) => {
            let text = format!(
                "a session token of unknown expiry cannot be renewed; the run with its undo may take {longest}"
            );
            let known = "AWS_CREDENTIAL_EXPIRATION tells when the token ends";
            Finding::new(Warning, "credentials", text).hint(format!("{renew}; {known}"))
        }
    })
}

/// How findings call a target.
pub(super) fn label(target: &Target) -> String {
    match &target.name {
        Some(name) if *name != target.id => format!("{} ({name})", target.id),
        _ => target.id.clone(),
    }
}
