//! Merges an environment's patch over a drill: deep, and limits can only get stricter. Pure.
//!
//! Works on the tree, so that a problem in a patch is reported where the patch stands.

use serde_json::Number;

use super::nodes::{Data, Key, Node};
use super::problem::Report;
use crate::model::pattern;

/// What a patch may not change: the drill would be another one.
const FIXED: [&str; 3] = ["version", "name", "environments"];

/// Merges `patch` over `base`.
pub(super) fn merge(base: &mut Node, patch: &Node, report: &mut Report<'_>) {
    for (key, value) in patch.entries() {
        if FIXED.contains(&key.text.as_str()) {
            report.at(key.span, format!("an environment cannot change `{}`", key.text));
        } else if key.text == "limits" {
            match base.get_mut("limits") {
                Some(limits) => merge_limits(limits, value, report),
                None => put(base, key, value),
            }
        } else {
            merge_key(base, key, value);
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

fn merge_limits(base: &mut Node, patch: &Node, report: &mut Report<'_>) {
    for (key, value) in patch.entries() {
        let Some(old) = base.get_mut(&key.text).filter(|n| !n.is_null()) else {
            put(base, key, value);
            continue;
        };
        match (key.text.as_str(), &mut old.data, &value.data) {
            ("accounts" | "regions", Data::List(ours), Data::List(theirs)) => {
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
            ("max_targets" | "max_percent" | "max_affected", Data::Number(ours), Data::Number(theirs)) => {
                if let (Some(a), Some(b)) = (ours.as_u64(), theirs.as_u64()) {
                    *ours = Number::from(a.min(b));
                } else {
                    put(base, key, value);
                }
            }
            ("approvals", Data::Number(ours), Data::Number(theirs)) => {
                if let (Some(a), Some(b)) = (ours.as_u64(), theirs.as_u64()) {
                    *ours = Number::from(a.max(b));
                } else {
                    put(base, key, value);
                }
            }
            // every freeze and every gate holds
            ("freeze" | "gates", Data::List(ours), Data::List(theirs)) => ours.extend(theirs.iter().cloned()),
            ("environment", Data::Text(ours), Data::Text(theirs)) if ours != theirs => {
                let (ours, theirs) = (ours.clone(), theirs.clone());
                report.hint(
                    value.span,
                    format!("the drill is for `{ours}`: an environment cannot make it one for `{theirs}`"),
                    "leave `limits.environment` out of the drill, or out of the environment",
                );
            }
            ("kinds", Data::Map(_), Data::Map(theirs)) => {
                for (kind, numbers) in theirs {
                    match old.get_mut(&kind.text).filter(|n| !n.is_null()) {
                        Some(below) => merge_limits(below, numbers, report),
                        None => put(old, kind, numbers),
                    }
                }
            }
            ("require_tags", Data::Map(_), Data::Map(theirs)) => {
                for (key, value) in theirs {
                    require(old, key, value, report);
                }
            }
            ("forbid_tags", Data::Map(_), Data::Map(theirs)) => {
                for (key, value) in theirs {
                    let mut all = old.get(&key.text).map(values).unwrap_or_default();
                    all.extend(values(value).into_iter().filter(|v| !all.contains(v)).collect::<Vec<_>>());
                    put(old, key, &list(value, all));
                }
            }
            ("windows", Data::List(ours), Data::List(theirs)) => {
                let (ours_texts, theirs_texts) = (texts(ours), texts(theirs));
                if ours_texts.is_empty() {
                    ours.clone_from(theirs);
                } else if theirs_texts.len() == theirs.len() && ours_texts.len() == ours.len() {
                    let both = ours_texts.iter().flat_map(|a| theirs_texts.iter().map(move |b| (a, b)));
                    let both = both.map(|(a, b)| Node::new(value.span, Data::Text(format!("{a} and {b}"))));
                    let both: Vec<Node> = both.collect();
                    // an empty list in a patch asks for nothing more
                    if !both.is_empty() {
                        *ours = both;
                    }
                } else {
                    put(base, key, value);
                }
            }
            _ => put(base, key, value),
        }
    }
}

/// Both demands must hold: what is left of them is what satisfies both.
fn require(base: &mut Node, key: &Key, value: &Node, report: &mut Report<'_>) {
    let Some(old) = base.get(&key.text) else {
        put(base, key, value);
        return;
    };
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

fn values(node: &Node) -> Vec<String> {
    match &node.data {
        Data::List(items) => texts(items),
        _ => node.text().map(str::to_owned).into_iter().collect(),
    }
}

fn list(like: &Node, values: Vec<String>) -> Node {
    let items = values.into_iter().map(|v| Node::new(like.span, Data::Text(v))).collect();
    Node::new(like.span, Data::List(items))
}
