//! What a drill must satisfy beyond its shape: limits, selectors, probes, stop conditions. Pure.
//!
//! Works on the tree and skips what has the wrong shape (`walk` reports that), so that one mistake
//! does not hide another. Steps and references are in `check_steps`.

use std::str::FromStr;

use serde_json::Value;

use super::check_steps;
use super::freeze::Freeze;
use super::limits::{is_account, is_region};
use super::nodes::{Data, Key, Node};
use super::problem::Report;
use super::walk::walk;
use super::window::Window;
use super::{Known, refs};
use crate::catalog::kind::KindSpec;
use crate::catalog::kinds;
use crate::model::text::without_user;
use crate::model::{Dur, ResourceKind};

/// Checks a merged drill whose parameters are put in.
pub(super) fn check(drill: &Node, known: &Known, report: &mut Report<'_>) {
    head(drill, report);
    objectives(drill, report);
    limits(drill, known, report);
    selectors(drill, report);
    let steps = check_steps::check(drill, known, report);
    probes(drill, known, report);
    check_steps::references(drill, &steps, report);
    if steps.is_empty() && !has_steps(drill) {
        report.at(drill.span, "a drill needs at least one step under `fault` or `recovery`");
    }
    let looks = |key| drill.get(key).is_some_and(|n| !n.items().is_empty());
    if !looks("steady_state") && !looks("verify") {
        report.hint(
            drill.span,
            "a drill needs at least one probe under `steady_state` or `verify`",
            "one that looks at nothing proves nothing",
        );
    }
}

fn has_steps(drill: &Node) -> bool {
    ["fault", "recovery"].iter().any(|k| drill.get(k).is_some_and(|n| !n.items().is_empty()))
}

/// Lower case, digits and inner hyphens: what run ids, folders and tags can carry.
fn is_name(text: &str) -> bool {
    let inner = text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    inner && !text.is_empty() && text.len() <= 63 && !text.starts_with('-') && !text.ends_with('-')
}

fn head(drill: &Node, report: &mut Report<'_>) {
    if let Some(version) = drill.get("version")
        && let Data::Number(n) = &version.data
        && n.as_u64() != Some(1)
    {
        report.hint(
            version.span,
            format!("version {n} of the drill format is not known"),
            "this redrill reads version 1",
        );
    }
    let name_rule = "lower-case letters, digits and hyphens, at most 63";
    if let Some(name) = drill.get("name")
        && let Some(text) = name.text()
        && !is_name(text)
    {
        report.hint(name.span, format!("`{text}` is no name for a drill"), name_rule);
    }
    for key in ["title", "service"] {
        if let Some(node) = drill.get(key)
            && node.text().is_some_and(|t| t.trim().is_empty())
        {
            report.at(node.span, format!("`{key}` is empty"));
        }
    }
    for (key, _) in drill.get("environments").map(Node::entries).unwrap_or_default() {
        if !is_name(&key.text) {
            report.hint(key.span, format!("`{}` is no name for an environment", key.text), name_rule);
        }
    }
    for item in drill.get("controls").map(Node::items).unwrap_or_default() {
        if item.text().is_some_and(|t| !t.contains('/') || t.starts_with('/') || t.ends_with('/')) {
            report.hint(
                item.span,
                "a control is FRAMEWORK/CONTROL",
                "for example soc2/A1.3 or iso27001/A.8.13",
            );
        }
    }
    without_passwords(drill, report);
    if let Some(n) = drill.get("concurrency")
        && n.number() == Some(0)
    {
        report.at(n.span, "`concurrency` must be at least 1");
    }
    positive(drill, "impact_timeout", report);
    at_most(drill, "impact_timeout", Dur::hours(24), report);
    at_most(drill, "settle", Dur::hours(1), report);
    if let Some((key, impact)) = drill.entry("impact")
        && impact.text().is_some()
        && drill.get("fault").is_none_or(|f| f.items().is_empty())
    {
        report.hint(key.span, "there is no fault whose impact could be seen", "leave `impact` out");
    }
}

/// What people write stands in the plan, the journal, the report and the bundle as it is. What a step, a probe or a gate
/// is given under `with` is looked at by itself, as it takes secrets.
fn without_passwords(node: &Node, report: &mut Report) {
    if node.text().is_some_and(|text| without_user(text) != text) {
        let told = "its URL has a user name or password, which would stand in the report";
        report.hint(node.span, told, "leave it out");
    }
    node.items().iter().for_each(|item| without_passwords(item, report));
    for (_, value) in node.entries().iter().filter(|(key, _)| key.text != "with" && key.text != "gates") {
        without_passwords(value, report);
    }
}

/// The duration of a key, where it is one.
fn duration(node: &Node, key: &str) -> Option<Dur> {
    node.get(key)?.text()?.parse().ok()
}

fn positive(node: &Node, key: &str, report: &mut Report<'_>) {
    if duration(node, key).is_some_and(|d| d.0.is_zero())
        && let Some(value) = node.get(key)
    {
        report.at(value.span, format!("`{key}` must be more than nothing"));
    }
}

/// Nobody waits for months, and nothing may be watched or looked at again without an end; no duration
/// at all is longer than [`Dur::LONGEST`].
fn at_most(node: &Node, key: &str, longest: Dur, report: &mut Report<'_>) {
    if let Some(found) = duration(node, key)
        && found > longest
        && let Some(value) = node.get(key)
    {
        let hours = longest.0.as_secs() / 3600;
        report.at(value.span, format!("`{key}` is at most {hours}h, not {found}"));
    }
}

fn objectives(drill: &Node, report: &mut Report<'_>) {
    let Some(objectives) = drill.get("objectives") else { return };
    positive(objectives, "rto", report);
    positive(objectives, "detect", report);
    let (rto, give_up) = (duration(objectives, "rto"), duration(objectives, "give_up"));
    if let (Some(rto), Some(give_up), Some(node)) = (rto, give_up, objectives.get("give_up"))
        && give_up < rto
    {
        report.hint(
            node.span,
            format!("`give_up` ({give_up}) comes before the objective is missed ({rto})"),
            "it is 2 × rto if left out",
        );
    }
}

fn limits(drill: &Node, known: &Known, report: &mut Report<'_>) {
    let Some(limits) = drill.get("limits") else { return };
    for item in limits.get("accounts").map(Node::items).unwrap_or_default() {
        if let Some(text) = item.text()
            && !is_account(text)
        {
            report.hint(item.span, format!("`{text}` is no account"), "twelve digits, in quotes");
        }
    }
    let regions = limits.get("regions").map(Node::items).unwrap_or_default();
    for item in regions {
        if let Some(text) = item.text()
            && !is_region(text)
        {
            report.hint(
                item.span,
                format!("`{text}` is no region"),
                "for example us-east-1; `global` for CloudFront",
            );
        }
    }
    let texts: Vec<&str> = regions.iter().filter_map(Node::text).collect();
    if !texts.is_empty()
        && texts.iter().all(|t| *t == "global")
        && let Some((key, _)) = limits.entry("regions")
    {
        report.hint(key.span, "`regions` needs a region beside `global`", "a run works in one region");
    }
    if let Some(n) = limits.get("max_targets")
        && n.number() == Some(0)
    {
        report.at(n.span, "`max_targets` must be at least 1");
    }
    for (key, _) in limits.get("kinds").map(Node::entries).unwrap_or_default() {
        let all: Vec<ResourceKind> = kinds::all().collect();
        let names = || all.iter().map(ResourceKind::name);
        if !names().any(|name| name == key.text) {
            report.unknown(key.span, format!("no kind of resource `{}`", key.text), &key.text, names());
        }
    }
    parsed::<Window>(limits, "windows", report);
    parsed::<Freeze>(limits, "freeze", report);
    for gate in limits.get("gates").map(Node::items).unwrap_or_default() {
        probe(gate, known, report);
        positive(gate, "timeout", report);
        at_most(gate, "timeout", Dur::hours(1), report);
    }
    let global = texts.contains(&"global");
    for (_, spec) in drill.get("targets").map(Node::entries).unwrap_or_default() {
        if let Some(resource) = spec.get("resource")
            && kind(resource).is_some_and(|k| k.is_global)
            && !global
            && !texts.is_empty()
        {
            report.hint(
                resource.span,
                "CloudFront is global, and `limits.regions` does not list `global`",
                "add `global` to `limits.regions`",
            );
        }
    }
}

/// The texts of a list, each of which must be a `T`.
fn parsed<T: FromStr<Err = String>>(limits: &Node, key: &str, report: &mut Report<'_>) {
    for item in limits.get(key).map(Node::items).unwrap_or_default() {
        if let Some(text) = item.text()
            && let Err(e) = text.parse::<T>()
        {
            report.at(item.span, e);
        }
    }
}

/// The kind that a node names, if it is one.
pub(super) fn kind(node: &Node) -> Option<&'static KindSpec> {
    kinds::spec(ResourceKind::of(node.text()?)?)
}

fn selectors(drill: &Node, report: &mut Report<'_>) {
    for (name, spec) in drill.get("targets").map(Node::entries).unwrap_or_default() {
        if !is_name(&name.text.replace('_', "-")) {
            report.hint(
                name.span,
                format!("`{}` is no name for a selector", name.text),
                "lower-case letters, digits, `-` and `_`",
            );
        }
        let some = |key| spec.get(key).is_some_and(|n| !n.entries().is_empty());
        if matches!(spec.data, Data::Map(_)) && !some("tags") && !some("where") {
            report.hint(
                name.span,
                format!("`{}` would match everything", name.text),
                "say which with `tags` or `where`",
            );
        }
        if let Some(kind) = spec.get("resource").and_then(kind) {
            for (key, _) in spec.get("where").map(Node::entries).unwrap_or_default() {
                if !kind.attributes.contains(&key.text.as_str()) {
                    let message = format!("`{}` has no attribute `{}`", kind.kind, key.text);
                    report.unknown(key.span, message, &key.text, kind.attributes.iter().copied());
                }
            }
        }
        if let Some(n) = spec.get("select").and_then(|s| s.get("count"))
            && n.number() == Some(0)
        {
            report.at(n.span, "`count` must be at least 1");
        }
    }
}

fn probes(drill: &Node, known: &Known, report: &mut Report<'_>) {
    // the journal and every report know a probe by its name alone, whichever section it stands in
    let mut names: Vec<(&str, &str, usize)> = Vec::new();
    for section in ["steady_state", "verify", "stop"] {
        for item in drill.get(section).map(Node::items).unwrap_or_default() {
            let Some((shown, name)) = probe(item, known, report) else { continue };
            let given = item.get("name").filter(|n| n.text() != Some(""));
            let shown = given.unwrap_or(shown);
            let text = shown.text().unwrap_or(name);
            match names.iter().find(|(n, ..)| *n == text) {
                Some((_, other, line)) => report.hint(
                    shown.span,
                    match *other == section {
                        true => format!("two probes under `{section}` are called `{text}`"),
                        false => format!("a probe under `{other}` is called `{text}`, too"),
                    },
                    format!("the other is in line {line}; give one a `name` of its own"),
                ),
                None => names.push((text, section, shown.span.start.line)),
            }
            rhythm(item, section, report);
        }
    }
}

/// Checks the probe that an item names, and what stands under its `with`.
fn probe<'a>(item: &'a Node, known: &Known, report: &mut Report<'_>) -> Option<(&'a Node, &'a str)> {
    let (key, probe) = item.entry("probe")?;
    let name = probe.text()?;
    match known.probe(name) {
        Some(p) => {
            let schema = p.params_schema().to_value();
            with(item, key, name, &schema, &|v| p.check(v), report);
        }
        None => {
            let all = known.probes.iter().map(|p| p.spec().name);
            report.unknown(probe.span, format!("no probe `{name}`"), name, all);
        }
    }
    Some((probe, name))
}

fn rhythm(item: &Node, section: &str, report: &mut Report<'_>) {
    if let Some(every) = duration(item, "every")
        && every.ms() < 100
        && let Some(node) = item.get("every")
    {
        report.at(node.span, "`every` must be at least 100ms");
    }
    positive(item, "timeout", report);
    for (key, hours) in [("every", 1), ("timeout", 1), ("hold", 24), ("for", 24)] {
        at_most(item, key, Dur::hours(hours), report);
    }
    if section == "verify" {
        if let Some((key, _)) = item.entry("hold") {
            report.hint(key.span, "`hold` is for `steady_state` only", "a verify probe has to pass once");
        }
        if let Some((key, node)) = item.entry("role")
            && node.text() != Some("client")
        {
            report.at(key.span, "`role` is for `steady_state` only");
        }
    }
    for stage in item.get("stages").map(Node::items).unwrap_or_default() {
        if let Some(text @ ("preflight" | "baseline" | "undo")) = stage.text() {
            report.hint(
                stage.span,
                format!("nothing can be stopped in the stage `{text}`"),
                "write fault, impact, recovery, verify or hold",
            );
        }
    }
}

/// Checks what stands under `with` against the schema of the action or probe, then by its own rules.
pub(super) fn with(
    item: &Node,
    at: &Key,
    name: &str,
    schema: &Value,
    check: &dyn Fn(&Value) -> Vec<String>,
    report: &mut Report<'_>,
) {
    let empty = Node::new(at.span, Data::Map(Vec::new()));
    let (span, node) = item.entry("with").map_or((at.span, &empty), |(k, v)| (k.span, v));
    let before = report.len();
    let what = if item.get("with").is_some() { "with" } else { name };
    walk(node, span, what, schema, report);
    if report.len() > before {
        return;
    }
    let value = node.to_value();
    for message in own_rules(&value, check) {
        report.at(span, message);
    }
}

/// The messages that do not depend on what a reference will turn out to be.
fn own_rules(value: &Value, check: &dyn Fn(&Value) -> Vec<String>) -> Vec<String> {
    if refs::references(value).is_empty() {
        let plain = refs::resolve_value(value, &|_| None);
        return check(plain.as_ref().unwrap_or(value));
    }
    let mut left = check(value);
    for guess in ["1", "example.com", "30s"] {
        if let Ok(guessed) = refs::resolve_value(value, &|_| Some(guess.to_owned())) {
            let messages = check(&guessed);
            left.retain(|m| messages.contains(m));
        }
    }
    left
}
