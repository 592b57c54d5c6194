//! Steps: what each must be, and what references between them may say. Pure.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Known;
use super::check::{kind, with};
use super::nodes::{Key, Node, Span};
use super::params::place;
use super::problem::Report;
use super::refs::{self, Part, Reference};
use crate::catalog::action::{After, Reversibility, StageRule};
use crate::catalog::actions::command;
use crate::catalog::{ActionSpec, DynAction};
use crate::model::Stage;

/// A step as far as the others must know it.
pub(super) struct Seen<'n> {
    id: String,
    node: &'n Node,
    /// Fault groups come before recovery groups.
    group: usize,
    spec: Option<&'static ActionSpec>,
    manual: bool,
    /// Whether a reference to it can only mean one target.
    single: bool,
}

/// More steps than any procedure has; what compares each with each stays quick.
const MAX_STEPS: usize = 500;

/// Checks every step; returns those that have the right shape, in order.
pub(super) fn check<'n>(drill: &'n Node, known: &Known, report: &mut Report<'_>) -> Vec<Seen<'n>> {
    let mut seen: Vec<Seen<'n>> = Vec::new();
    let mut group = 0;
    let sections = ["fault", "recovery"].into_iter().filter_map(|s| drill.get(s));
    let items = sections.clone().flat_map(Node::items);
    let many = items.map(|i| i.get("parallel").map_or(1, |p| p.items().len())).sum::<usize>() > MAX_STEPS;
    if many && let Some(first) = sections.clone().next() {
        report.at(first.span, format!("a drill has at most {MAX_STEPS} steps"));
        return seen;
    }
    for (section, stage) in [("fault", Stage::Fault), ("recovery", Stage::Recovery)] {
        for item in drill.get(section).map(Node::items).unwrap_or_default() {
            match item.entry("parallel") {
                None => step(drill, item, stage, group, known, &mut seen, report),
                Some((key, inner)) => {
                    for (other, _) in
                        item.entries().iter().filter(|(k, v)| k.text != "parallel" && !v.is_null())
                    {
                        if ["action", "manual"].contains(&other.text.as_str()) {
                            report.at(other.span, "a step is one of `action`, `manual` and `parallel`");
                        } else {
                            report.at(
                                other.span,
                                format!("`{}` belongs to the steps under `parallel`", other.text),
                            );
                        }
                    }
                    if inner.items().is_empty() && matches!(inner.data, super::nodes::Data::List(_)) {
                        report.at(key.span, "`parallel` has no steps");
                    }
                    for item in inner.items() {
                        match item.entry("parallel") {
                            Some((key, _)) => {
                                report.at(key.span, "`parallel` cannot stand within `parallel`");
                            }
                            None => step(drill, item, stage, group, known, &mut seen, report),
                        }
                    }
                }
            }
            group += 1;
        }
    }
    if known.matched {
        seen.iter().for_each(|step| replaces(drill, step, &seen, report));
    }
    seen
}

/// What stands in for something that a fault ends for good is kept; what is kept stands in for something that is ended. A
/// person or a program may end it, too. To make it beside what still stands is a trial, which is removed at the end.
fn replaces(drill: &Node, step: &Seen<'_>, all: &[Seen<'_>], report: &mut Report<'_>) {
    let Some(spec) = step.spec.filter(|s| s.reversibility == Reversibility::Additive && !s.mends.is_empty())
    else {
        return;
    };
    let target = |s: &Seen<'_>| s.node.get("target").and_then(Node::text).map(str::to_owned);
    let Some(name) = target(step).filter(|name| drill.get("targets").is_some_and(|t| t.get(name).is_some()))
    else {
        return; // told already
    };
    let ends = |s: &&Seen<'_>| {
        s.spec.is_some_and(|s| spec.mends.contains(&s.name)) && target(s).as_ref() == Some(&name)
    };
    let fault = all.iter().find(ends).and_then(|s| s.spec).map(|s| s.name);
    let after = step.node.get("after");
    let removed = after.map_or(spec.after == After::Remove, |after| after.text() == Some("remove"));
    match (fault, after.or(step.node.get("action"))) {
        (Some(fault), Some(at)) if removed => report.hint(
            at.span,
            format!(
                "`{fault}` ends its target for good, so what `{}` puts in its place has to stay",
                spec.name
            ),
            "say `after: keep`, or leave `after` out",
        ),
        (None, Some(at)) if !removed => {
            let free = |s: &&Seen<'_>| s.manual || s.spec.is_some_and(|s| s.name == command::NAME);
            if !all.iter().filter(|s| s.group < step.group).any(|s| free(&s)) {
                report.hint(
                    at.span,
                    format!(
                        "no step before it ends `{name}`: what `{}` launches would stand beside it for good",
                        spec.name
                    ),
                    format!(
                        "add `{}` on `{name}` under `fault`; to try the launch alone, say `after: remove`",
                        spec.mends.join("` or `")
                    ),
                );
            }
        }
        _ => {}
    }
}

fn is_id(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-');
    text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && text.len() <= 64
        && text.chars().all(inner)
}

fn step<'n>(
    drill: &'n Node,
    item: &'n Node,
    stage: Stage,
    group: usize,
    known: &Known,
    seen: &mut Vec<Seen<'n>>,
    report: &mut Report<'_>,
) {
    if !matches!(item.data, super::nodes::Data::Map(_)) {
        return;
    }
    let (action, manual) = (item.entry("action"), item.entry("manual"));
    let (found, span) = match (action, manual) {
        (Some(_), Some((key, _))) => {
            report.at(key.span, "a step is one of `action`, `manual` and `parallel`");
            return;
        }
        (None, None) => {
            // a misspelt key is reported already; a step without any is not
            let typo = item
                .entries()
                .iter()
                .any(|(k, _)| super::problem::nearest(&k.text, &["action", "manual", "parallel"]).is_some());
            if !typo {
                report.at(item.span, "a step needs `action`, `manual` or `parallel`");
            }
            return;
        }
        (Some((key, value)), None) => {
            (action_step(drill, item, key, value, stage, known, report), value.span)
        }
        (None, Some((key, value))) => {
            manual_step(item, value, report);
            (None, key.span)
        }
    };
    let name = item.get("action").and_then(Node::text).unwrap_or("manual");
    let (id, span) = match item.get("id") {
        Some(node) => (node.text().unwrap_or(name), node.span),
        None => (name, span),
    };
    if item.get("id").is_some() && !is_id(id) {
        report.hint(
            span,
            format!("`{id}` is no id for a step"),
            "lower-case letters, digits, `.`, `_` and `-`, at most 64",
        );
    }
    if let Some(other) = seen.iter().find(|s| s.id == id) {
        let line = other.node.span.start.line;
        report.hint(
            span,
            format!("two steps are called `{id}`"),
            format!("the other is in line {line}; give one an `id`"),
        );
    }
    let single = item.get("target").and_then(Node::text).is_none_or(|name| draws_one(drill, name));
    seen.push(Seen {
        id: id.to_owned(),
        node: item,
        group,
        spec: found.map(DynAction::spec),
        manual: manual.is_some(),
        single,
    });
}

fn manual_step(item: &Node, text: &Node, report: &mut Report<'_>) {
    if text.text().is_some_and(|t| t.trim().is_empty()) {
        report.at(text.span, "`manual` is empty: say what the person has to do");
    }
    for key in ["target", "with", "after"] {
        if let Some((key, _)) = item.entry(key) {
            report
                .at(key.span, format!("`{}` is for actions; a person reads the text of `manual`", key.text));
        }
    }
}

fn action_step(
    drill: &Node,
    item: &Node,
    key: &Key,
    value: &Node,
    stage: Stage,
    known: &Known,
    report: &mut Report<'_>,
) -> Option<&'static dyn DynAction> {
    let name = value.text()?;
    let Some(action) = known.action(name) else {
        let all = known.actions.iter().map(|a| a.spec().name);
        report.unknown(value.span, format!("no action `{name}`"), name, all);
        selector(drill, item, report);
        return None;
    };
    let spec = action.spec();
    match (spec.stage, stage) {
        (StageRule::Fault, Stage::Recovery) => report.hint(
            value.span,
            format!("`{name}` breaks something and stands under `recovery`"),
            "move it to `fault`",
        ),
        (StageRule::Recovery, Stage::Fault) => report.hint(
            value.span,
            format!("`{name}` is part of a recovery and stands under `fault`"),
            "move it to `recovery`",
        ),
        _ => {}
    }
    target(drill, item, value.span, spec, report);
    let schema = action.params_schema().to_value();
    with(item, key, name, &schema, &|v| action.check(v), report);
    let params = item.get("with").map_or(Value::Null, Node::to_value);
    let reversibility = action.reversibility(&params);
    let allowed =
        drill.get("allow_irreversible").is_some_and(|n| matches!(n.data, super::nodes::Data::Bool(true)));
    if reversibility == Reversibility::Irreversible && !allowed {
        report.hint(
            value.span,
            format!("`{name}` cannot be put back"),
            "if that is meant, say `allow_irreversible: true` at the top",
        );
    }
    after(item, stage, spec, report);
    Some(action)
}

fn after(item: &Node, stage: Stage, spec: &ActionSpec, report: &mut Report<'_>) {
    let Some((key, value)) = item.entry("after") else { return };
    if stage == Stage::Fault {
        report.at(key.span, "`after` is for recovery steps; a fault is always put back");
        return;
    }
    let creates = spec.after != After::None;
    match value.text() {
        Some("remove" | "keep") if !creates => {
            report.at(value.span, format!("`{}` creates nothing that could be removed or kept", spec.name));
        }
        Some("none") if creates => {
            report.hint(value.span, format!("`{}` creates something", spec.name), "say `remove` or `keep`");
        }
        _ => {}
    }
}

/// The selector that a step names, checked to exist.
fn selector<'n>(drill: &'n Node, item: &Node, report: &mut Report<'_>) -> Option<(&'n Node, Span)> {
    let target = item.get("target")?;
    let name = target.text()?;
    let selectors = drill.get("targets").map(Node::entries).unwrap_or_default();
    match selectors.iter().find(|(k, _)| k.text == name) {
        Some((_, spec)) => Some((spec, target.span)),
        None => {
            let all = selectors.iter().map(|(k, _)| k.text.as_str());
            report.unknown(target.span, format!("no selector `{name}` under `targets`"), name, all);
            None
        }
    }
}

fn target(drill: &Node, item: &Node, at: Span, spec: &ActionSpec, report: &mut Report<'_>) {
    match (spec.kind, item.entry("target")) {
        (None, Some((key, _))) => report.at(key.span, format!("`{}` takes no target", spec.name)),
        (None, None) => {}
        (Some(wanted), None) => {
            let selectors = drill.get("targets").map(Node::entries).unwrap_or_default();
            let fitting: Vec<String> = selectors
                .iter()
                .filter(|(_, s)| s.get("resource").and_then(kind).is_some_and(|k| k.kind == wanted))
                .map(|(k, _)| format!("`target: {}`", k.text))
                .collect();
            let hint = match fitting.is_empty() {
                true => format!("name a selector of {wanted}"),
                false => format!("for example {}", fitting.join(" or ")),
            };
            report.hint(at, format!("`{}` needs a target", spec.name), hint);
        }
        (Some(wanted), Some(_)) => {
            if let Some((selector, at)) = selector(drill, item, report)
                && let Some(found) = selector.get("resource").and_then(kind)
                && found.kind != wanted
            {
                let found = found.kind;
                report.at(at, format!("`{}` takes {wanted}, and this selects {found}", spec.name));
            }
        }
    }
}

/// Whether a selector can never draw more than one target.
fn draws_one(drill: &Node, name: &str) -> bool {
    let most = drill.get("limits").and_then(|l| l.get("max_targets")).and_then(Node::number);
    let Some(spec) = drill.get("targets").and_then(|t| t.get(name)) else { return true };
    let count = spec.get("select").and_then(|s| s.get("count")).and_then(Node::number);
    most == Some(1) || count == Some(1)
}

/// Checks every `${steps.ID.output}` of the drill.
pub(super) fn references(drill: &Node, steps: &[Seen<'_>], report: &mut Report<'_>) {
    if steps.is_empty() {
        return; // refused already
    }
    for (n, step) in steps.iter().enumerate() {
        let before: BTreeMap<&str, Order> = steps
            .iter()
            .enumerate()
            .map(|(m, s)| {
                let order = match () {
                    () if m == n => Order::Itself,
                    () if s.group == step.group => Order::Beside,
                    () if m < n => Order::Before,
                    () => Order::After,
                };
                (s.id.as_str(), order)
            })
            .collect();
        for key in ["with", "manual"] {
            if let Some(node) = step.node.get(key) {
                each(node, report, &mut |at, rest, report| one(at, rest, steps, &before, report));
            }
        }
    }
    let all: BTreeMap<&str, Order> = steps.iter().map(|s| (s.id.as_str(), Order::Before)).collect();
    for item in drill.get("verify").map(Node::items).unwrap_or_default() {
        if let Some(node) = item.get("with") {
            each(node, report, &mut |at, rest, report| one(at, rest, steps, &all, report));
        }
    }
    for section in ["steady_state", "stop"] {
        for item in drill.get(section).map(Node::items).unwrap_or_default() {
            if let Some(node) = item.get("with") {
                each(node, report, &mut |at, _, report| {
                    report.hint(
                        at,
                        format!("`{section}` is watched before any step has run"),
                        "only `verify` and later steps can refer to a step",
                    );
                });
            }
        }
    }
}

/// Where a step stands, seen from the one that refers to it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    Before,
    Beside,
    Itself,
    After,
}

fn each(node: &Node, report: &mut Report<'_>, f: &mut dyn FnMut(Span, &str, &mut Report<'_>)) {
    let mut found: Vec<(Span, String)> = Vec::new();
    node.texts(&mut |n, text| {
        for part in refs::parts(text) {
            if let Part::Reference(inner) = part
                && let Reference::Step(rest) = Reference::read(inner)
            {
                found.push((place(n, inner, report), rest.to_owned()));
            }
        }
    });
    for (at, rest) in found {
        f(at, &rest, report);
    }
}

fn one(at: Span, rest: &str, steps: &[Seen<'_>], order: &BTreeMap<&str, Order>, report: &mut Report<'_>) {
    let Some((id, output)) = refs::split_step(rest, order.keys().copied()) else {
        let name = rest.rsplit_once('.').map_or(rest, |(id, _)| id);
        report.unknown(at, format!("no step `{name}`"), name, order.keys().copied());
        return;
    };
    let Some(step) = steps.iter().find(|s| s.id == id) else { return };
    match order.get(id) {
        Some(Order::Itself) => report.at(at, "a step cannot refer to itself"),
        Some(Order::Beside) => report.at(at, format!("`{id}` runs at the same time")),
        Some(Order::After) => report.at(at, format!("`{id}` comes later")),
        Some(Order::Before) | None => {}
    }
    if step.manual {
        report.at(at, format!("`{id}` is done by a person and has no outputs"));
        return;
    }
    let Some(spec) = step.spec else { return };
    if !spec.outputs.iter().any(|o| o.name == output) {
        let names = spec.outputs.iter().map(|o| o.name);
        let message = match spec.outputs.is_empty() {
            true => format!("`{}` has no outputs", spec.name),
            false => format!("`{}` has no output `{output}`", spec.name),
        };
        report.unknown(at, message, output, names);
    }
    if !step.single {
        let target = step.node.get("target").and_then(Node::text).unwrap_or_default();
        report.hint(
            at,
            format!("a reference to `{id}` needs exactly one target, and `{target}` may draw more"),
            "`select: { count: 1 }` draws one",
        );
    }
}
