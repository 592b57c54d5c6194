//! Merges an environment's patch over a drill: deep, and limits can only get stricter. Pure.
//!
//! Works on the tree, so that a problem in a patch is reported where the patch stands. What guards the
//! drill is merged by [`tighten`], once parameters are put in: which of two limits is stricter is seen
//! in their values alone.

use serde_json::Number;

use super::nodes::{Data, Key, Node};
use super::problem::Report;
use crate::model::pattern;

/// What a patch may not change: the drill would be another one.
const FIXED: [&str; 3] = ["version", "name", "environments"];
/// What a patch can only make stricter.
const GUARDS: [&str; 2] = ["limits", "allow_irreversible"];

/// Merges `patch` over `base`, except for what guards it.
pub(super) fn merge(base: &mut Node, patch: &Node, report: &mut Report<'_>) {
    for (key, value) in patch.entries() {
        if FIXED.contains(&key.text.as_str()) {
            report.at(key.span, format!("an environment cannot change `{}`", key.text));
        } else if !GUARDS.contains(&key.text.as_str()) {
            merge_key(base, key, value);
        }
    }
}

/// The part of a patch that [`tighten`] takes.
pub(super) fn guards(patch: &Node) -> Node {
    let entries = patch.entries().iter().filter(|(k, _)| GUARDS.contains(&k.text.as_str()));
    Node::new(patch.span, Data::Map(entries.cloned().collect()))
}

/// Merges the guards of a patch over `base`; parameters are put in on both sides.
pub(super) fn tighten(base: &mut Node, guards: &Node, report: &mut Report<'_>) {
    for (key, value) in guards.entries() {
        let drill = base.get("allow_irreversible");
        let allowed = drill.is_some_and(|n| matches!(n.data, Data::Bool(true)));
        if key.text == "limits" {
            merge_limit(base, key, value, report);
        } else if matches!(value.data, Data::Bool(true)) && !allowed {
            report.hint(
                value.span,
                "an environment cannot allow what the drill does not",
                "say `allow_irreversible: true` in the drill itself",
            );
        } else {
            put(base, key, value);
        }
    }
}

fn merge_key(base: &mut Node, key: &Key, value: &Node) {
    match (base.get_mut(&key.text), &value.data) {
        (Some(Node { data: Data::Map(_), .. }), Data::Map(entries)) => {
            if let Some(below) = base.get_mut(&key.text) {
                for (key, value) in entries {
                    merge_key(below, key, value);
                }
            }
        }
        _ => put(base, key, value),
    }
}

fn put(base: &mut Node, key: &Key, value: &Node) {
    match base.get_mut(&key.text) {
        Some(old) => *old = value.clone(),
        None => {
            if let Data::Map(entries) = &mut base.data {
                // a null may stand there already
                entries.retain(|(k, _)| k.text != key.text);
                entries.push((key.clone(), value.clone()));
            }
        }
    }
}

/// One limit, a kind's limits, or all of them.
fn merge_limit(base: &mut Node, key: &Key, value: &Node, report: &mut Report<'_>) {
    let Some(old) = base.get_mut(&key.text).filter(|n| !n.is_null()) else {
        match &value.data {
            // the one limit that is looser for being there
            Data::List(all) if key.text == "allow_reach" && !all.is_empty() => report.hint(
                value.span,
                "an environment cannot allow what the drill does not",
                "say `allow_reach` in the drill itself",
            ),
            _ => put(base, key, value),
        }
        return;
    };
    if value.is_null() {
        taken_away(key, report);
        return;
    }
    if !is_shaped(key, old) {
        return; // it stays, and is reported where it stands
    }
    match (key.text.as_str(), &mut old.data, &value.data) {
        ("accounts" | "regions" | "roles", Data::List(ours), Data::List(theirs)) => {
            let had = texts(ours);
            ours.retain(|n| theirs.iter().any(|t| t.text() == n.text()));
            if ours.is_empty() && !had.is_empty() {
                report.hint(
                    value.span,
                    format!("none of the drill's `{}` is left: limits can only get stricter", key.text),
                    format!("the drill allows {}", had.join(", ")),
                );
                *ours = theirs.clone();
            }
        }
        ("allow_reach", Data::List(ours), Data::List(theirs)) => {
            ours.retain(|n| theirs.iter().any(|t| t.text() == n.text()));
        }
        ("approvals", Data::Number(ours), Data::Number(theirs)) if theirs.is_u64() => {
            *ours = Number::from(ours.as_u64().max(theirs.as_u64()).unwrap_or_default());
        }
        (_, Data::Number(ours), Data::Number(theirs)) if theirs.is_u64() => {
            *ours = Number::from(ours.as_u64().min(theirs.as_u64()).unwrap_or_default());
        }
        // every freeze and every gate holds
        ("freeze" | "gates", Data::List(ours), Data::List(theirs)) => ours.extend(theirs.iter().cloned()),
        ("windows", Data::List(ours), Data::List(theirs)) => {
            let (ours_texts, theirs_texts) = (texts(ours), texts(theirs));
            if ours.is_empty() || theirs_texts.len() < theirs.len() {
                ours.clone_from(theirs);
            } else if ours_texts.len() == ours.len() && !theirs.is_empty() {
                let both = ours_texts.iter().flat_map(|a| theirs_texts.iter().map(move |b| (a, b)));
                let both = both.map(|(a, b)| Node::new(value.span, Data::Text(format!("{a} and {b}"))));
                *ours = both.collect();
            }
        }
        ("environment", Data::Text(ours), Data::Text(theirs)) if ours != theirs => {
            let (ours, theirs) = (ours.clone(), theirs.clone());
            report.hint(
                value.span,
                format!("the drill is for `{ours}`: an environment cannot make it one for `{theirs}`"),
                "leave `limits.environment` out of the drill, or out of the environment",
            );
        }
        (tags @ ("require_tags" | "forbid_tags"), Data::Map(_), Data::Map(theirs)) => {
            for (key, value) in theirs {
                match old.get(&key.text) {
                    None => put(old, key, value),
                    Some(_) if value.is_null() => taken_away(key, report),
                    Some(_) if tags == "require_tags" => require(old, key, value, report),
                    Some(ours) => {
                        let mut all = items(ours);
                        all.extend(
                            items(value)
                                .into_iter()
                                .filter(|n| values(ours).iter().all(|v| n.text() != Some(v))),
                        );
                        put(old, key, &Node::new(value.span, Data::List(all)));
                    }
                }
            }
        }
        (_, Data::Map(_), Data::Map(theirs)) => {
            for (key, value) in theirs {
                merge_limit(old, key, value, report);
            }
        }
        // the schema does not allow it
        _ => put(base, key, value),
    }
}

fn taken_away(key: &Key, report: &mut Report<'_>) {
    report.hint(
        key.span,
        format!("`{}` cannot be taken away: limits can only get stricter", key.text),
        "leave it out, and what the drill says holds",
    );
}

/// Whether the drill's own limit is what the schema wants there, so that another can be held against it.
fn is_shaped(key: &Key, node: &Node) -> bool {
    match key.text.as_str() {
        "accounts" | "regions" | "roles" | "windows" | "freeze" | "gates" | "allow_reach" => {
            matches!(node.data, Data::List(_))
        }
        "max_targets" | "max_percent" | "max_affected" | "approvals" => node.number().is_some(),
        "environment" => node.text().is_some(),
        // all limits, the tags, the kinds, and each kind by its name
        _ => matches!(node.data, Data::Map(_)),
    }
}

/// Both demands must hold: what is left of them is what satisfies both.
fn require(base: &mut Node, key: &Key, value: &Node, report: &mut Report<'_>) {
    let Some(old) = base.get(&key.text) else { return };
    let (ours, theirs) = (values(old), values(value));
    let fits = |v: &String, others: &[String]| {
        others.contains(v) || (!pattern::is_pattern(v) && others.iter().any(|p| pattern::matches(p, v)))
    };
    let mut both: Vec<String> = ours.iter().filter(|v| fits(v, &theirs)).cloned().collect();
    both.extend(theirs.iter().filter(|v| fits(v, &ours) && !ours.contains(v)).cloned());
    if both.is_empty() {
        report.hint(
            value.span,
            format!("no value of `{}` satisfies both the drill and its environment", key.text),
            format!("the drill requires {}", ours.join(" or ")),
        );
        return;
    }
    put(base, key, &list(value, both));
}

fn texts(items: &[Node]) -> Vec<String> {
    items.iter().filter_map(|n| n.text().map(str::to_owned)).collect()
}

fn items(node: &Node) -> Vec<Node> {
    match &node.data {
        Data::List(items) => items.clone(),
        _ => vec![node.clone()],
    }
}

fn values(node: &Node) -> Vec<String> {
    texts(&items(node))
}

fn list(like: &Node, values: Vec<String>) -> Node {
    let items = values.into_iter().map(|v| Node::new(like.span, Data::Text(v))).collect();
    Node::new(like.span, Data::List(items))
}
