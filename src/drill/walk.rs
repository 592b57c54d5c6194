//! Holds a tree against a JSON Schema and reports everything that differs, in people's words. Pure.
//!
//! Only what the schemas of [`super::Drill`] and of the catalogue's parameters use: `$ref`, `type`,
//! `properties`, `required`, `additionalProperties`, `items`, `enum`, `const`, `oneOf`, `anyOf`,
//! `allOf`, `minimum`, `maximum`, `minLength`, `minItems`. What a schema says by `pattern` is checked
//! by the type itself: durations here, names and accounts in `check`. A schema refers to itself only further down in
//! the tree, so a walk ends where the tree does.

use serde_json::Value;

use super::nodes::{Data, Node, Span};
use super::problem::{Report, nearest};
use super::refs;
use crate::model::Dur;

/// Holds `node` against `schema`, reporting at `at` where the node itself has no better place.
pub(super) fn walk(node: &Node, at: Span, what: &str, schema: &Value, report: &mut Report<'_>) {
    Walker { root: schema, report }.node(node, at, what, schema);
}

struct Walker<'a, 'r, 't> {
    root: &'a Value,
    report: &'r mut Report<'t>,
}

impl<'a> Walker<'a, '_, '_> {
    fn resolve(&self, schema: &'a Value) -> (&'a Value, Option<&'a str>) {
        let (mut schema, mut name) = (schema, None);
        for _ in 0..16 {
            let Some(target) = schema.get("$ref").and_then(Value::as_str) else { break };
            let Some(found) = self.root.pointer(target.trim_start_matches('#')) else { break };
            name = target.rsplit('/').next();
            schema = found;
        }
        (schema, name)
    }

    fn node(&mut self, node: &Node, at: Span, what: &str, schema: &'a Value) {
        let (schema, name) = self.resolve(schema);
        if schema.as_bool() == Some(true) {
            return;
        }
        if let Some(all) = schema.get("allOf").and_then(Value::as_array) {
            for one in all {
                self.node(node, at, what, one);
            }
        }
        if let Some(branches) = schema.get("oneOf").or_else(|| schema.get("anyOf")).and_then(Value::as_array)
        {
            self.branches(node, at, what, branches);
            return;
        }
        if !self.is_type(node, at, what, schema, name) {
            return;
        }
        if name == Some(DURATION) {
            if let Some(text) = node.text()
                && !refs::has_reference(text)
                && let Err(e) = text.parse::<Dur>()
            {
                self.report.at(node.span, e);
            }
            return;
        }
        match &node.data {
            Data::Text(text) => self.text(node, what, text, schema),
            Data::Number(n) => self.number(node, what, n, schema),
            Data::List(items) => {
                let min = schema.get("minItems").and_then(Value::as_u64).unwrap_or(0);
                if (items.len() as u64) < min {
                    self.report.at(node.span, format!("`{what}` needs at least {min} in its list"));
                }
                if let Some(schema) = schema.get("items") {
                    for item in items {
                        self.node(item, item.span, what, schema);
                    }
                }
            }
            Data::Map(_) => self.mapping(node, at, what, schema),
            Data::Null | Data::Bool(_) => {}
        }
        if let Some(only) = schema.get("const") {
            self.one_of(node, what, std::slice::from_ref(only));
        }
        if let Some(values) = schema.get("enum").and_then(Value::as_array) {
            self.one_of(node, what, values);
        }
    }

    fn is_type(&mut self, node: &Node, at: Span, what: &str, schema: &Value, name: Option<&str>) -> bool {
        let wanted: Vec<&str> = match schema.get("type") {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).collect(),
            _ => return true,
        };
        if wanted.iter().any(|t| type_fits(node, t)) {
            return true;
        }
        let expected: Vec<&str> = wanted.iter().filter(|t| **t != "null").map(|t| people(t, name)).collect();
        let message = format!("`{what}`: expected {}, found {}", expected.join(" or "), node.describe());
        let span = if node.is_null() { at } else { node.span };
        match (&node.data, wanted.contains(&"string"), &node.raw) {
            // in quotes it would be text and still no duration
            (Data::Number(_), _, _) if name == Some(DURATION) => {
                self.report.hint(span, message, with_unit(node));
            }
            (Data::Number(_) | Data::Bool(_), true, Some(raw)) if name != Some(DURATION) => {
                self.report.hint(span, message, format!("in quotes it is text: \"{raw}\""));
            }
            (Data::Text(_), false, None) if wanted.iter().any(|t| matches!(*t, "integer" | "boolean")) => {
                self.report.hint(span, message, "leave the quotes out");
            }
            _ => self.report.at(span, message),
        }
        false
    }

    fn text(&mut self, node: &Node, what: &str, text: &str, schema: &Value) {
        let min = schema.get("minLength").and_then(Value::as_u64).unwrap_or(0);
        if min > 0 && text.trim().is_empty() {
            self.report.at(node.span, format!("`{what}` is empty"));
        }
    }

    fn number(&mut self, node: &Node, what: &str, n: &serde_json::Number, schema: &Value) {
        let value = n.as_f64().unwrap_or(f64::NAN);
        let (low, high) = (schema.get("minimum"), schema.get("maximum"));
        let below = low.and_then(Value::as_f64).is_some_and(|low| value < low);
        let above = high.and_then(Value::as_f64).is_some_and(|high| value > high);
        if below || above {
            let range = match (low, high) {
                (Some(low), Some(high)) => format!("from {low} to {high}"),
                (Some(low), None) => format!("at least {low}"),
                (None, Some(high)) => format!("at most {high}"),
                (None, None) => return,
            };
            self.report.at(node.span, format!("`{what}` must be {range}, not {n}"));
        }
    }

    fn one_of(&mut self, node: &Node, what: &str, values: &[Value]) {
        if node.text().is_some_and(refs::has_reference) || values.contains(&node.to_value()) {
            return;
        }
        let names: Vec<&str> = values.iter().filter_map(Value::as_str).collect();
        match node.text() {
            Some(text) => self.report.unknown(node.span, format!("`{what}` cannot be `{text}`"), text, names),
            None => {
                let known: Vec<String> = values.iter().map(ToString::to_string).collect();
                let message = format!("`{what}` must be {}, not {}", known.join(" or "), node.describe());
                self.report.at(node.span, message);
            }
        }
    }

    fn mapping(&mut self, node: &Node, at: Span, what: &str, schema: &'a Value) {
        let properties = schema.get("properties").and_then(Value::as_object);
        let closed = schema.get("additionalProperties").and_then(Value::as_bool) == Some(false)
            || schema.get("unevaluatedProperties").and_then(Value::as_bool) == Some(false);
        let all: Vec<&str> = properties.into_iter().flat_map(|p| p.keys().map(String::as_str)).collect();
        // in a list of what there is, what stands there already is of no use
        let free: Vec<&str> = all.iter().copied().filter(|k| node.entry(k).is_none()).collect();
        for (key, value) in node.entries() {
            if self.report.is_full() {
                return;
            }
            if let Some(schema) = properties.and_then(|p| p.get(&key.text)) {
                self.node(value, key.span, &key.text, schema);
            } else if let Some(schema) = schema.get("additionalProperties").filter(|s| s.is_object()) {
                self.node(value, key.span, &key.text, schema);
            } else if closed {
                let listed = match nearest(&key.text, &all) {
                    Some(near) => vec![near],
                    None => free.clone(),
                };
                self.report.unknown(key.span, format!("unknown key `{}`", key.text), &key.text, listed);
            }
        }
        for required in schema.get("required").and_then(Value::as_array).into_iter().flatten() {
            let Some(name) = required.as_str() else { continue };
            if node.entries().iter().all(|(k, _)| k.text != name) {
                // a misspelt key is reported once, not as unknown and as missing
                let known: Vec<&str> = vec![name];
                let misspelt = node.entries().iter().any(|(k, _)| {
                    properties.is_none_or(|p| !p.contains_key(&k.text)) && nearest(&k.text, &known).is_some()
                });
                if !misspelt {
                    let whole = std::ptr::eq(schema, self.root) && what.contains(' ');
                    let what = if whole { what.to_owned() } else { format!("`{what}`") };
                    self.report.at(at, format!("{what} needs `{name}`"));
                }
            }
        }
    }

    fn branches(&mut self, node: &Node, at: Span, what: &str, branches: &'a [Value]) {
        let mut fitting: Vec<&'a Value> = Vec::new();
        let mut constants: Vec<Value> = Vec::new();
        for branch in branches {
            let (branch, _) = self.resolve(branch);
            if let Some(only) = branch.get("const") {
                constants.push(only.clone());
            } else if let Some(values) = branch.get("enum").and_then(Value::as_array) {
                constants.extend(values.iter().cloned());
            } else if could_be(node, branch) {
                fitting.push(branch);
            }
        }
        if constants.contains(&node.to_value()) {
            return;
        }
        // the first branch without a problem will do
        for branch in branches {
            let mut trial = Report::new("");
            Walker { root: self.root, report: &mut trial }.node(node, at, what, branch);
            if trial.is_empty() {
                return;
            }
        }
        let best = fitting.iter().copied().max_by_key(|b| shared_keys(node, b));
        match best {
            Some(branch) => {
                // positions and lines come from this walk; pass the un-resolved branch for its name
                let whole =
                    branches.iter().find(|b| std::ptr::eq(self.resolve(b).0, branch)).unwrap_or(branch);
                let alternatives = fitting.len() > 1 && shared_keys(node, branch) == 0;
                if alternatives && let Data::Map(_) = node.data {
                    self.alternatives(node, at, what, &fitting);
                } else {
                    self.node(node, at, what, whole);
                }
            }
            None if !constants.is_empty() && node.text().is_some() => self.one_of(node, what, &constants),
            None => {
                let mut expected: Vec<String> = constants.iter().map(|c| format!("`{}`", plain(c))).collect();
                let named: Vec<(&Value, Option<&str>)> = branches.iter().map(|b| self.resolve(b)).collect();
                expected.extend(
                    named
                        .iter()
                        .filter(|(b, _)| b.get("const").is_none() && b.get("enum").is_none())
                        .flat_map(|(b, name)| types(b).into_iter().map(move |t| (t, *name)))
                        .filter(|(t, _)| *t != "null")
                        .map(|(t, name)| people(t, name).to_owned()),
                );
                expected.dedup();
                let span = if node.is_null() { at } else { node.span };
                let message =
                    format!("`{what}`: expected {}, found {}", expected.join(" or "), node.describe());
                let number = matches!(node.data, Data::Number(_));
                match named.iter().any(|(_, name)| *name == Some(DURATION)) && number {
                    true => self.report.hint(span, message, with_unit(node)),
                    false => self.report.at(span, message),
                }
            }
        }
    }

    fn alternatives(&mut self, node: &Node, at: Span, what: &str, fitting: &[&'a Value]) {
        let known: Vec<&str> = fitting
            .iter()
            .filter_map(|b| b.get("properties").and_then(Value::as_object))
            .flat_map(|p| p.keys().map(String::as_str))
            .collect();
        match node.entries().first() {
            Some((key, _)) => {
                self.report.unknown(key.span, format!("unknown key `{}`", key.text), &key.text, known);
            }
            None => self.report.at(at, format!("`{what}` needs one of {}", known.join(", "))),
        }
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn types(schema: &Value) -> Vec<&str> {
    match schema.get("type") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

fn could_be(node: &Node, schema: &Value) -> bool {
    let types = types(schema);
    types.is_empty() || types.iter().any(|t| type_fits(node, t))
}

fn shared_keys(node: &Node, schema: &Value) -> usize {
    let properties = schema.get("properties").and_then(Value::as_object);
    node.entries().iter().filter(|(k, _)| properties.is_some_and(|p| p.contains_key(&k.text))).count()
}

fn type_fits(node: &Node, wanted: &str) -> bool {
    match &node.data {
        Data::Null => wanted == "null",
        Data::Bool(_) => wanted == "boolean",
        Data::Number(n) => wanted == "number" || (wanted == "integer" && !n.is_f64()),
        Data::Text(_) => wanted == "string",
        Data::List(_) => wanted == "array",
        Data::Map(_) => wanted == "object",
    }
}

/// The name of the type of durations.
const DURATION: &str = "Duration";

/// How a number is written as a duration.
fn with_unit(node: &Node) -> String {
    match &node.raw {
        Some(raw) if !raw.is_empty() && raw.bytes().all(|b| b.is_ascii_digit()) => {
            format!("with its unit: {raw}s, {raw}m or {raw}h")
        }
        _ => "with its unit, in whole numbers: 90s, 15m or 1h 30m".to_owned(),
    }
}

fn people<'t>(json_type: &'t str, name: Option<&str>) -> &'t str {
    match json_type {
        "string" if name == Some(DURATION) => "a duration",
        "string" => "text",
        "integer" => "a whole number",
        "number" => "a number",
        "boolean" => "true or false",
        "array" => "a list",
        "object" => "a mapping",
        _ => "nothing",
    }
}
