//! The blast radius: everything about accounts, regions, numbers, tags and hours that refuses a plan. Pure.

mod reach;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};

use super::{House, PlannedStep, PlannedTargets};
use crate::catalog::action::{Finding, Severity};
use crate::catalog::kinds;
use crate::cloud::Identity;
use crate::drill::window::open_at;
use crate::drill::{Drill, Limits};
use crate::model::{Dur, ResourceKind, Tags, Target, target};

pub use reach::{affected, count, inside};

use Severity::{Refusal, Warning};

/// How many tags AWS allows a resource to carry.
const MOST_TAGS: usize = 50;
/// How far the end of a window is looked for: two weeks.
const LOOK_AHEAD_MINUTES: i64 = 14 * 24 * 60;

/// Limits and where they stand.
#[derive(Clone, Copy)]
pub struct Rule<'a> {
    origin: &'static str,
    limits: &'a Limits,
}

impl<'a> Rule<'a> {
    /// Those of the drill and those of the house: both hold, so the stricter wins.
    pub fn all(drill: &'a Limits, house: &'a House) -> [Self; 2] {
        [Self { origin: "", limits: drill }, Self { origin: "redrill.toml: ", limits: &house.limits }]
    }

    /// The limits themselves.
    pub fn limits(self) -> &'a Limits {
        self.limits
    }

    /// How findings call one of them.
    pub fn key(&self, name: &str) -> String {
        format!("{}limits.{name}", self.origin)
    }

    fn refusal(&self, name: &str, text: String) -> Finding {
        Finding::new(Refusal, self.key(name), text)
    }
}

/// Whether the drill may run in this account and region, and with what is in no region.
pub fn place(rule: Rule<'_>, drill: &Drill, account: &str, region: &str) -> Vec<Finding> {
    let mut out = Vec::new();
    let Limits { accounts, regions, .. } = rule.limits;
    if !accounts.is_empty() && !accounts.iter().any(|a| a == account) {
        let text = format!("this is account {account}; the drill may run in {}", accounts.join(", "));
        out.push(rule.refusal("accounts", text).hint("check --profile, or add the account"));
    }
    out.extend(self::region(rule, region));
    let global = drill.targets.iter().find(|(_, spec)| kinds::is_global(spec.resource));
    if let Some((name, spec)) = global
        && !regions.is_empty()
        && !regions.iter().any(|r| r == "global")
    {
        let text = format!(
            "`{name}` is {}, which is global; the drill may run in {}",
            spec.resource,
            regions.join(", ")
        );
        out.push(rule.refusal("regions", text).hint("add `global` to the regions"));
    }
    out
}

/// Whether the drill may run in this region: known before AWS is asked anything.
pub fn region(rule: Rule<'_>, region: &str) -> Option<Finding> {
    let regions = &rule.limits.regions;
    let may = regions.is_empty() || regions.iter().any(|r| r == region);
    (!may).then(|| {
        let text = format!("this is {region}; the drill may run in {}", regions.join(", "));
        rule.refusal("regions", text).hint("check --region, or add the region")
    })
}

/// Whether the drill is for the environment that the house allows, and the account belongs to it.
///
/// A drill is for `limits.environment`, or else for what `--env` chose.
pub fn environment(drill: &Limits, chosen: Option<&str>, house: &House, account: &str) -> Vec<Finding> {
    let wanted = drill.environment.as_deref().or(chosen);
    [allowed(wanted, house), belongs(wanted, house, account)].into_iter().flatten().collect()
}

/// The house may name the one environment that its drills are for.
fn allowed(wanted: Option<&str>, house: &House) -> Option<Finding> {
    let only = house.limits.environment.as_deref()?;
    let (text, hint) = match wanted {
        Some(wanted) if wanted == only => return None,
        Some(wanted) => (format!("the drill is for {wanted}; only drills for {only} may run"), "check --env"),
        None => {
            (format!("the drill does not say what it is for; only drills for {only} may run"), SAY_WHAT_FOR)
        }
    };
    Some(Finding::new(Refusal, "redrill.toml: limits.environment", text).hint(hint))
}

const SAY_WHAT_FOR: &str = "say it with --env NAME, or with `limits.environment` in the drill";

/// An account that the house lists takes only drills for its own environment; an environment that it
/// lists is only in its accounts.
fn belongs(wanted: Option<&str>, house: &House, account: &str) -> Option<Finding> {
    let listed = house.environments.iter().filter(|(_, all)| all.contains(account));
    let listed: Vec<&str> = listed.map(|(name, _)| name.as_str()).collect();
    let (text, hint) = match wanted {
        Some(wanted) if listed.contains(&wanted) => return None,
        Some(wanted) if listed.is_empty() => {
            let own: Vec<&str> = house.environments.get(wanted)?.iter().map(String::as_str).collect();
            let own = own.join(", ");
            (
                format!("the drill is for {wanted}, which is account {own}; this is {account}"),
                "check --profile",
            )
        }
        Some(wanted) => (
            format!("the drill is for {wanted}, and account {account} is {}", listed.join(" and ")),
            "check --profile and --env",
        ),
        None if listed.is_empty() => return None,
        None => (
            format!("account {account} is {}; the drill does not say what it is for", listed.join(" and ")),
            SAY_WHAT_FOR,
        ),
    };
    Some(Finding::new(Refusal, "redrill.toml: environments", text).hint(hint))
}

/// Whether what was drawn stays within the numbers and tags that the limits allow.
pub fn targets(rule: Rule<'_>, planned: &BTreeMap<String, PlannedTargets>) -> Vec<Finding> {
    let drawn: BTreeSet<&Target> = planned.values().flat_map(|p| &p.drawn).collect();
    let tags = drawn.into_iter().flat_map(|t| tags(rule, t));
    numbers(rule, planned).into_iter().chain(tags).collect()
}

/// Whether no more is drawn than the limits allow, of what exists.
pub fn numbers(rule: Rule<'_>, planned: &BTreeMap<String, PlannedTargets>) -> Vec<Finding> {
    let mut out = Vec::new();
    let limits = rule.limits;
    let kinds: Vec<Drawn<'_>> = kinds::all().filter_map(|k| Drawn::of(k, planned)).collect();
    let all: usize = kinds.iter().map(|k| k.targets.len()).sum();
    let exist: usize = kinds.iter().map(|k| k.population).sum();
    if let Some(most) = limits.max_targets
        && all > most
    {
        let text = format!("{all} of the {exist} that exist are drawn, {most} are allowed");
        out.push(rule.refusal("max_targets", text).hint(NARROW));
    }
    for k in &kinds {
        let own = limits.kinds.get(&k.kind).copied().unwrap_or_default();
        if let Some(most) = own.max_targets
            && k.targets.len() > most
        {
            let text = format!("{k}, {most} are allowed");
            out.push(rule.refusal(&format!("kinds.{}.max_targets", k.kind), text).hint(NARROW));
        }
        let shares = [
            ("max_percent".to_owned(), limits.max_percent),
            (format!("kinds.{}.max_percent", k.kind), own.max_percent),
        ];
        for (name, percent) in shares {
            // without rounding: drawn / population > percent / 100
            if let Some(percent) = percent
                && k.targets.len() * 100 > k.population * usize::from(percent)
            {
                out.push(rule.refusal(&name, format!("{k}, more than {percent} %")).hint(NARROW));
            }
        }
    }
    out
}

const NARROW: &str = "narrow the selectors with `select`, `tags` or `where`";

/// What all selectors of one kind draw together.
struct Drawn<'a> {
    kind: ResourceKind,
    names: Vec<&'a String>,
    population: usize,
    targets: Vec<&'a Target>,
}

impl<'a> Drawn<'a> {
    fn of(kind: ResourceKind, planned: &'a BTreeMap<String, PlannedTargets>) -> Option<Self> {
        let of: Vec<_> = planned.iter().filter(|(_, p)| p.resource == kind).collect();
        let population = of.iter().map(|(_, p)| p.population).min()?;
        let mut targets: Vec<&Target> = of.iter().flat_map(|(_, p)| &p.drawn).collect();
        targets.sort();
        targets.dedup();
        Some(Self { kind, names: of.iter().map(|(name, _)| *name).collect(), population, targets })
    }
}

impl std::fmt::Display for Drawn<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<String> = self.names.iter().map(|name| format!("`{name}`")).collect();
        let draw = if names.len() == 1 { "draws" } else { "draw" };
        let (drawn, population) = (self.targets.len(), self.population);
        write!(f, "{} {draw} {drawn} of the {population} {} that exist", names.join(" and "), self.kind)
    }
}

/// Whether a target carries what it must, and nothing that it must not.
pub fn tags(rule: Rule<'_>, target: &Target) -> Vec<Finding> {
    let mut out = Vec::new();
    for (key, want) in &rule.limits.require_tags {
        let value = target.tags.get(key);
        if !value.is_some_and(|v| want.matches(v)) {
            let has = value.map_or_else(|| "has no such tag".to_owned(), |v| format!("has `{v}`"));
            let text = format!("{} requires {key}={want}, and it {has}", rule.key("require_tags"));
            out.push(Finding::new(Refusal, label(target), text));
        }
    }
    for (key, value) in forbidden(rule.limits, &target.tags) {
        let text = format!("it carries the tag {key}={value}, which {} forbids", rule.key("forbid_tags"));
        out.push(Finding::new(Refusal, label(target), text));
    }
    out
}

/// Whether a run can tag the target as its own: no other run holds it, and there is room for a tag.
pub fn tagging(target: &Target, own: Option<&str>) -> Vec<Finding> {
    let mut out: Vec<Finding> = held(target, own).into_iter().collect();
    // AWS does not count its own
    let tags = target.tags.keys().filter(|k| !k.starts_with("aws:") && *k != target::TAG_HELD).count();
    if tags >= MOST_TAGS {
        let text =
            format!("it carries {tags} tags, as many as AWS allows, and a run adds {}", target::TAG_HELD);
        out.push(Finding::new(Refusal, label(target), text).hint("remove a tag that is not needed"));
    }
    out
}

/// The tags of a resource that the limits forbid.
fn forbidden<'a>(limits: &'a Limits, tags: &'a Tags) -> impl Iterator<Item = (&'a String, &'a String)> {
    limits.forbid_tags.iter().filter_map(|(key, never)| {
        let value = tags.get(key)?;
        never.matches(value).then_some((key, value))
    })
}

/// The tag of a target that these limits forbid, in words.
pub fn forbidden_tag(limits: &Limits, target: &Target) -> Option<String> {
    forbidden(limits, &target.tags).next().map(|(key, value)| format!("{key}={value}"))
}

/// Whether another run holds the target; `own` is this run's id.
fn held(target: &Target, own: Option<&str>) -> Option<Finding> {
    let run = target.tags.get(target::TAG_HELD)?;
    // the value is the run's id, then a short hint for undo
    let id = run.split_whitespace().next().unwrap_or(run);
    if own == Some(id) {
        return None;
    }
    if id.is_empty() || !id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
        let text = format!("it carries {}={run:?}, which names no run", target::TAG_HELD);
        return Some(
            Finding::new(Refusal, label(target), text).hint("remove the tag, if no run is at work on it"),
        );
    }
    let text = format!("the run {id} holds it ({}={run})", target::TAG_HELD);
    Some(Finding::new(Refusal, label(target), text).hint(format!("finish it first: redrill rollback {id}")))
}

/// Whether faults may be injected now, and whether the run can be over before they no longer may; the
/// severity of the first is the caller's: `plan` warns, `run` refuses.
pub fn hours(rule: Rule<'_>, now: DateTime<Utc>, longest: Dur, severity: Severity) -> Vec<Finding> {
    let (windows, freezes) = (rule.limits.open(), rule.limits.frozen());
    let at = |t: DateTime<Utc>| t.format("%Y-%m-%d %H:%M UTC");
    let mut out = Vec::new();
    if let Err(next) = open_at(&windows, now) {
        let next = match next {
            Some(next) => format!("it opens at {}", at(next)),
            None => "it does not open within two weeks".to_owned(),
        };
        let text = format!("the time window is closed; {next}");
        out.push(Finding::new(severity, rule.key("windows"), text));
    }
    if let Some(n) = freezes.iter().position(|f| f.holds(now)) {
        let text = format!("nothing is broken during `{}`", rule.limits.freeze[n]);
        out.push(Finding::new(severity, rule.key("freeze"), text));
    }
    if out.is_empty() {
        let minutes = i64::try_from(longest.0.as_secs() / 60).unwrap_or(i64::MAX).min(LOOK_AHEAD_MINUTES);
        let after = |n| now.checked_add_signed(TimeDelta::minutes(n));
        let ends = (1..=minutes).map_while(after).find(|t| {
            !(windows.is_empty() || windows.iter().any(|w| w.is_open(*t)))
                || freezes.iter().any(|f| f.holds(*t))
        });
        if let Some(ends) = ends {
            let name = if freezes.iter().any(|f| f.holds(ends)) { "freeze" } else { "windows" };
            let text = format!(
                "faults may be injected until {}, and the run with its undo may take {longest}",
                at(ends)
            );
            out.push(Finding::new(Warning, rule.key(name), text).hint("start earlier, or lower `give_up`"));
        }
    }
    out
}

/// How long a run may need its credentials: until it gives up, and then for every undo.
pub fn longest(drill: &Drill, steps: &[PlannedStep]) -> Dur {
    let undo =
        steps.iter().map(|s| s.undo_timeout.0).fold(std::time::Duration::ZERO, |a, b| a.saturating_add(b));
    Dur(drill.objectives.give_up().0.saturating_add(drill.impact_timeout.0).saturating_add(undo))
}

/// Whether the credentials outlive the run. What nothing renews must; what is unknown is said.
pub fn credentials(identity: &Identity, now: DateTime<Utc>, longest: Dur) -> Option<Finding> {
    let needed =
        now.checked_add_signed(TimeDelta::milliseconds(longest.ms())).unwrap_or(DateTime::<Utc>::MAX_UTC);
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

#[cfg(test)]
mod tests;
