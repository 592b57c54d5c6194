//! What faults reach without naming it, held against the limits and put into words. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::{NARROW, Rule, forbidden, label};
use crate::catalog::action::{Finding, Severity};
use crate::inventory::{Inhabitants, Neighbour};
use crate::model::reach::Passage;

use Severity::{Refusal, Warning};

/// How many are named in one line.
const NAMED: usize = 10;

/// Whether what faults reach without naming it stays within the limits.
pub fn affected(rule: Rule<'_>, found: &Inhabitants) -> Vec<Finding> {
    let mut out = Vec::new();
    let hit = count(found);
    if let Some(most) = rule.limits.max_affected
        && hit > most
    {
        let (instances, exist) = (found.instances.len(), found.population);
        let text = if hit == instances {
            format!(
                "{hit} of the {exist} instances that exist are in the subnets that faults change, {most} are allowed"
            )
        } else {
            let others: Vec<String> = found.others.iter().map(named).collect();
            format!(
                "{hit} are in the subnets that faults change, {most} are allowed: {instances} of the {exist} instances \
                 that exist, and {}",
                few(&others)
            )
        };
        out.push(rule.refusal("max_affected", text).hint(NARROW));
    }
    for t in &found.instances {
        let subnet = t.attrs.get("subnet").map_or("", String::as_str);
        for (key, value) in forbidden(rule.limits, &t.tags) {
            let text = format!(
                "a fault changes its subnet {subnet}, and it carries the tag {key}={value}, which {} forbids",
                rule.key("forbid_tags")
            );
            out.push(Finding::new(Refusal, label(t), text));
        }
    }
    for n in &found.others {
        for (key, value) in forbidden(rule.limits, &n.tags) {
            let text = format!(
                "a fault changes its subnet {}, and its interface carries the tag {key}={value}, which {} forbids",
                n.subnet,
                rule.key("forbid_tags")
            );
            out.push(Finding::new(Refusal, named(n), text));
        }
    }
    out.extend(found.others.iter().filter_map(|n| passage(rule, n, n.passage?)));
    out
}

/// A subnet with something in it that others route through: cut only where the drill says so. The house has a word in
/// it only where it names what may be cut.
fn passage(rule: Rule<'_>, n: &Neighbour, passage: Passage) -> Option<Finding> {
    let allowed = &rule.limits.allow_reach;
    let is_house = !rule.origin.is_empty();
    let is_allowed = allowed.contains(&passage);
    if is_house && (is_allowed || allowed.is_empty()) {
        return None;
    }
    let who = match &*n.through {
        [] => "whatever routes through it is cut off, too".to_owned(),
        [one] => format!("{one} routes through it and is cut off, too"),
        several => format!("{} route through it and are cut off, too", few(several)),
    };
    let text = format!("{} is in the subnet: {who}", named(n));
    if is_allowed {
        return Some(Finding::new(Warning, &n.subnet, text));
    }
    let key = rule.key("allow_reach");
    let hint = match is_house {
        true => "pick other subnets".to_owned(),
        false => format!("pick other subnets, or allow it with `{key}: [{passage}]`"),
    };
    let text = format!("{text}; {key} does not name {passage}");
    Some(Finding::new(Refusal, &n.subnet, text).hint(hint))
}

/// Who is in each subnet, for people: one line for the instances and one for everything else.
pub fn inside(found: &Inhabitants) -> Vec<Finding> {
    let mut by_subnet: BTreeMap<&str, (Vec<String>, Vec<String>)> = BTreeMap::new();
    for t in &found.instances {
        let subnet = t.attrs.get("subnet").map_or("", String::as_str);
        by_subnet.entry(subnet).or_default().0.push(t.id.clone());
    }
    for n in &found.others {
        by_subnet.entry(&n.subnet).or_default().1.push(named(n));
    }
    let mut out = Vec::new();
    for (subnet, (instances, others)) in by_subnet {
        for (what, all) in [("instance", instances), ("other", others)] {
            if !all.is_empty() {
                let plural = if all.len() == 1 { "" } else { "s" };
                let text =
                    format!("{} {what}{plural} in the subnet will be affected: {}", all.len(), few(&all));
                out.push(Finding::new(Warning, subnet, text));
            }
        }
    }
    out
}

/// How many are affected: an instance that others route through is one, and so is an instance with two interfaces.
pub fn count(found: &Inhabitants) -> usize {
    let own = found.instances.iter().map(|t| t.id.as_str());
    let others = found.others.iter().map(|n| n.instance.as_deref().unwrap_or(&n.interface));
    own.chain(others).collect::<BTreeSet<_>>().len()
}

/// What it is, and by which interface.
fn named(n: &Neighbour) -> String {
    format!("{} ({})", n.what, n.interface)
}

fn few(all: &[String]) -> String {
    let more = if all.len() > NAMED { format!(" and {} more", all.len() - NAMED) } else { String::new() };
    format!("{}{more}", all[..all.len().min(NAMED)].join(", "))
}
