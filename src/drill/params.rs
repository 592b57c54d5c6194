//! Parameters: their values from defaults and `--set`, and putting them in. Pure.

use std::collections::BTreeMap;

use serde_json::Value;

use super::nodes::{Data, Node, Pos, Span};
use super::problem::{Report, suggest};
use super::refs::{self, Part, Reference};
use crate::model::Dur;
use crate::model::text::without_user;

/// The values of a drill's parameters.
#[derive(Clone, Debug, Default)]
pub(super) struct Values {
    /// Of those that are no secret and have a value.
    pub(super) plain: BTreeMap<String, Value>,
    /// Of those that are.
    pub(super) secret: BTreeMap<String, String>,
    /// Every parameter there is, with whether it is a secret.
    pub(super) known: BTreeMap<String, bool>,
}

/// Reads the specs under `params` and the values given. `partial` tolerates missing ones.
pub(super) fn read(drill: &Node, set: &[(String, String)], partial: bool, report: &mut Report<'_>) -> Values {
    let mut values = Values::default();
    let none = Node::new(Span::default(), Data::Map(Vec::new()));
    let specs = drill.get("params").unwrap_or(&none);
    for (key, spec) in specs.entries() {
        let name = key.text.as_str();
        let first = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        let rest = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
        if !(first && rest) {
            report.hint(
                key.span,
                format!("`{name}` is no name for a parameter"),
                "letters, digits, `_` and `-`",
            );
        }
        let secret = spec.get("secret").is_some_and(|n| matches!(n.data, Data::Bool(true)));
        values.known.insert(name.to_owned(), secret);
        let kind = spec.get("type").and_then(Node::text).unwrap_or("string");
        if secret && kind != "string" {
            report.at(key.span, format!("the secret `{name}` can only be a string"));
        }
        if let Some((at, default)) = spec.entry("default") {
            if secret {
                report.conceal(default.span);
                report.hint(
                    at.span,
                    "a secret has no default: it would be on disk",
                    "give it with `--set-env`",
                );
                continue;
            }
            match typed(kind, default) {
                Ok(v) => drop(values.plain.insert(name.to_owned(), v)),
                Err(expected) => report.at(
                    default.span,
                    format!("the default of `{name}`: expected {expected}, found {}", default.describe()),
                ),
            }
        }
        let given = set.iter().rev().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
        match given {
            Some(text) if secret => drop(values.secret.insert(name.to_owned(), text.to_owned())),
            Some(text) if without_user(text) != text => {
                let told =
                    "its URL has a user name or password, which would stand in the plan and the report";
                report.outside(
                    format!("--set {name}=…: {told}"),
                    Some("let a parameter with `secret: true` hold the password".to_owned()),
                );
            }
            Some(text) => match from_text(kind, text) {
                Ok(v) => drop(values.plain.insert(name.to_owned(), v)),
                Err(expected) => {
                    report.outside(format!("--set {name}={text}: expected {expected}"), None);
                }
            },
            None if spec.get("default").is_none() && !partial => {
                let message = format!("the parameter `{name}` needs a value");
                let how = if secret { "--set-env" } else { "--set" };
                let what = if secret { "VARIABLE" } else { "VALUE" };
                report.hint(key.span, message, format!("{how} {name}={what}"));
            }
            None => {}
        }
    }
    let known: Vec<&str> = values.known.keys().map(String::as_str).collect();
    for (name, _) in set {
        if !values.known.contains_key(name) {
            // the value is not repeated: it may be a secret
            report.outside(
                format!("--set {name}=…: the drill has no parameter `{name}`"),
                suggest(name, known.iter().copied()),
            );
        }
    }
    values
}

/// What a parameter that is a duration takes.
const DURATION: &str = "a duration such as 30s, at most 35 days";

fn typed(kind: &str, node: &Node) -> Result<Value, &'static str> {
    match (kind, &node.data) {
        ("string", Data::Text(s)) => Ok(Value::String(s.clone())),
        ("string", _) => Err("text"),
        ("integer", Data::Number(n)) if !n.is_f64() => Ok(Value::Number(n.clone())),
        ("integer", _) => Err("a whole number"),
        ("boolean", Data::Bool(b)) => Ok(Value::Bool(*b)),
        ("boolean", _) => Err("true or false"),
        ("duration", Data::Text(s)) if s.parse::<Dur>().is_ok() => Ok(Value::String(s.clone())),
        ("duration", _) => Err(DURATION),
        // the type itself is wrong, which is reported where it stands
        (_, _) => Ok(node.to_value()),
    }
}

fn from_text(kind: &str, text: &str) -> Result<Value, &'static str> {
    match kind {
        "integer" => text.parse::<i64>().map(Value::from).map_err(|_| "a whole number"),
        "boolean" => text.parse::<bool>().map(Value::from).map_err(|_| "true or false"),
        "duration" if text.parse::<Dur>().is_err() => Err(DURATION),
        _ => Ok(Value::String(text.to_owned())),
    }
}

/// Puts the values of non-secret parameters into every text of the drill but `params`, and checks
/// every reference as far as it can be checked without knowing the steps. Texts under `with` and
/// `manual` keep their other references and their escapes, since they are resolved once more in the run.
pub(super) fn substitute(drill: &mut Node, values: &Values, report: &mut Report<'_>) {
    if let Data::Map(entries) = &mut drill.data {
        for (key, value) in entries.iter_mut() {
            if key.text != "params" && key.text != "environments" {
                below(value, false, values, report);
            }
        }
    }
}

fn below(node: &mut Node, live: bool, values: &Values, report: &mut Report<'_>) {
    match &mut node.data {
        Data::List(items) => items.iter_mut().for_each(|n| below(n, live, values, report)),
        Data::Map(entries) => {
            for (key, value) in entries.iter_mut() {
                if refs::has_reference(&key.text) {
                    report.at(key.span, "a key cannot hold a reference");
                }
                let live = live || key.text == "with" || key.text == "manual";
                if key.text == "manual" {
                    secret_in_manual(value, values, report);
                }
                below(value, live, values, report);
            }
        }
        Data::Text(text) if text.contains("${") => {
            let text = text.clone();
            node.data = replaced(node, &text, live, values, report);
            node.raw = None;
        }
        _ => {}
    }
}

fn secret_in_manual(node: &Node, values: &Values, report: &mut Report<'_>) {
    for part in node.text().map(refs::parts).unwrap_or_default() {
        if let Part::Reference(inner) = part
            && let Reference::Param(name) = Reference::read(inner)
            && values.known.get(name) == Some(&true)
        {
            report.at(place(node, inner, report), format!("the secret `{name}` would be shown to everyone"));
        }
    }
}

fn replaced(node: &Node, text: &str, live: bool, values: &Values, report: &mut Report<'_>) -> Data {
    let parts = refs::parts(text);
    // a text that is nothing but one parameter takes over its type
    if let [Part::Reference(inner)] = parts[..]
        && let Reference::Param(name) = Reference::read(inner)
        && let Some(value) = values.plain.get(name)
    {
        match value {
            Value::Bool(b) => return Data::Bool(*b),
            Value::Number(n) => return Data::Number(n.clone()),
            _ => {}
        }
    }
    let mut out = String::new();
    for part in parts {
        match part {
            Part::Text(t) => out.push_str(t),
            Part::Escape => out.push_str(if live { "$${" } else { "${" }),
            Part::Open(rest) => {
                report.hint(place(node, rest, report), "`${` without its `}`", "`$${` is a literal `${`");
                out.push_str("${");
                out.push_str(rest);
            }
            Part::Reference(inner) => {
                let at = place(node, inner, report);
                match Reference::read(inner) {
                    Reference::Param(name) => match values.plain.get(name) {
                        Some(Value::String(s)) if live => out.push_str(&refs::escape(s)),
                        Some(Value::String(s)) => out.push_str(s),
                        Some(v) => out.push_str(&v.to_string()),
                        None => {
                            let known = values.known.keys().map(String::as_str);
                            match values.known.get(name) {
                                None => report.unknown(at, format!("no parameter `{name}`"), name, known),
                                Some(true) if !live => {
                                    report
                                        .at(at, format!("the secret `{name}` can only be used under `with`"));
                                }
                                // given later, or reported as missing already
                                Some(_) => {}
                            }
                            out.push_str(&format_reference(inner));
                        }
                    },
                    Reference::Step(_) | Reference::RunId => {
                        if !live {
                            report.at(at, format!("`{inner}` can only be used under `with` and `manual`"));
                        }
                        out.push_str(&format_reference(inner));
                    }
                    Reference::Unknown(inner) => {
                        let known = ["params", "steps", "run.id"];
                        let head = inner.split('.').next().unwrap_or(inner);
                        let hint = match super::problem::nearest(head, &known) {
                            Some("run.id") | None => {
                                "references are `params.NAME`, `steps.ID.OUTPUT` and `run.id`".to_owned()
                            }
                            Some(near) => format!("did you mean `{near}{}`?", &inner[head.len()..]),
                        };
                        report.hint(at, format!("`${{{inner}}}` refers to nothing"), hint);
                        out.push_str(&format_reference(inner));
                    }
                }
            }
        }
    }
    Data::Text(out)
}

fn format_reference(inner: &str) -> String {
    format!("${{{inner}}}")
}

/// Where a reference stands within a text: its own columns where they can be found, else the text's.
pub(super) fn place(node: &Node, inner: &str, report: &Report<'_>) -> Span {
    let needle = format!("${{{inner}");
    for line in node.span.start.line..=node.span.end.line {
        let text = report.line(line);
        let skip = if line == node.span.start.line { node.span.start.column - 1 } else { 0 };
        let from = text.char_indices().nth(skip).map_or(text.len(), |(i, _)| i);
        if let Some(found) = text[from..].find(&needle) {
            let column = text[..from + found].chars().count() + 1;
            let whole =
                needle.chars().count() + usize::from(text[from + found + needle.len()..].starts_with('}'));
            return Span { start: Pos { line, column }, end: Pos { line, column: column + whole } };
        }
    }
    node.span
}

/// A number as text, for `tags: { version: 1.10 }`: a tag's value is what was written.
pub(super) fn tags_are_text(node: &mut Node) {
    node.scalars_mut(&mut |n| {
        if let (Data::Number(_) | Data::Bool(_), Some(raw)) = (&n.data, &n.raw) {
            n.data = Data::Text(raw.clone());
        }
    });
}
