//! The catalogue of actions and probes as text and as Markdown, from the slices that run them. Pure.
//!
//! Invariant: nothing here is written by hand, so that the page cannot say what the code does not do.

use std::fmt::Write as _;

use serde_json::Value;

use crate::catalog::action::Reversibility;
use crate::catalog::actions::ACTIONS;
use crate::catalog::probes::PROBES;
use crate::catalog::{self, ActionSpec, After, DynAction, DynProbe, StageRule};

/// What every action and probe has.
struct Entry {
    name: &'static str,
    summary: &'static str,
    docs: &'static str,
    facts: Vec<(&'static str, String)>,
    params: Value,
    outputs: Vec<(&'static str, &'static str)>,
}

fn action(a: &dyn DynAction) -> Entry {
    let s = a.spec();
    Entry {
        name: s.name,
        summary: s.summary,
        docs: s.docs,
        facts: facts(s),
        params: a.params_schema().to_value(),
        outputs: s.outputs.iter().map(|o| (o.name, o.summary)).collect(),
    }
}

fn probe(p: &dyn DynProbe) -> Entry {
    let s = p.spec();
    let mut facts = vec![("Timeout", s.timeout.to_string())];
    if !s.permissions.is_empty() {
        facts.push(("Permissions", s.permissions.join(", ")));
    }
    let params = p.params_schema().to_value();
    Entry { name: s.name, summary: s.summary, docs: s.docs, facts, params, outputs: Vec::new() }
}

fn facts(s: &ActionSpec) -> Vec<(&'static str, String)> {
    let target = s.kind.map_or("none".to_owned(), |k| k.to_string());
    let stands = match s.stage {
        StageRule::Fault => "fault",
        StageRule::Recovery => "recovery",
        StageRule::Any => "fault or recovery",
    };
    let reversible = match s.reversibility {
        Reversibility::Reversible => "reversible",
        Reversibility::Additive => "adds something, which can be removed",
        Reversibility::Momentary => "passes by itself",
        Reversibility::Irreversible => "cannot be put back: a drill says `allow_irreversible: true`",
    };
    let mut facts =
        vec![("Target", target), ("Stands under", stands.to_owned()), ("Effect", reversible.to_owned())];
    match s.after {
        After::None => {}
        After::Remove => {
            facts.push(("After the run", "removed, unless the drill says `after: keep`".to_owned()));
        }
        After::Keep => {
            facts.push(("After the run", "kept, unless the drill says `after: remove`".to_owned()));
        }
    }
    if !s.mends.is_empty() {
        facts.push(("Mends", s.mends.join(", ")));
    }
    facts.push(("Undo", s.undo_story.to_owned()));
    facts.push(("Timeout", format!("{}, undo {}", s.timeout, s.undo_timeout)));
    let p = &s.permissions;
    for (phase, list) in [
        ("Permissions to prepare", p.prepare),
        ("Permissions to apply", p.apply),
        ("Permissions to poll", p.poll),
        ("Permissions to undo", p.undo),
    ] {
        if !list.is_empty() {
            facts.push((phase, list.join(", ")));
        }
    }
    facts
}

/// Name, type, default and description of each parameter.
fn params(schema: &Value) -> Vec<[String; 4]> {
    let Some(properties) = schema["properties"].as_object() else { return Vec::new() };
    let required = |key: &str| schema["required"].as_array().is_some_and(|r| r.iter().any(|k| k == key));
    properties
        .iter()
        .map(|(key, p)| {
            let default = match &p["default"] {
                _ if required(key) => "required".to_owned(),
                Value::Null => "-".to_owned(),
                Value::String(s) => s.clone(),
                Value::Array(a) if a.is_empty() => "-".to_owned(),
                Value::Object(o) if o.is_empty() => "-".to_owned(),
                other => other.to_string(),
            };
            let about = p["description"].as_str().unwrap_or_default().replace('\n', " ");
            [key.clone(), type_of(p, schema), default, about]
        })
        .collect()
}

/// A schema's type in a word or two.
fn type_of(p: &Value, root: &Value) -> String {
    if let Some(path) = p["$ref"].as_str() {
        let name = path.rsplit('/').next().unwrap_or(path);
        let found = &root["$defs"][name];
        return if found["type"] == "string" && name == "Duration" {
            "duration".to_owned()
        } else {
            type_of(found, root)
        };
    }
    if let Some(values) = p["enum"].as_array() {
        return values.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" | ");
    }
    if let Some(one) = p["const"].as_str() {
        return one.to_owned();
    }
    for key in ["anyOf", "oneOf"] {
        if let Some(options) = p[key].as_array() {
            let mut kinds: Vec<String> = Vec::new();
            for kind in options.iter().map(|o| type_of(o, root)).filter(|k| k != "null" && !k.is_empty()) {
                if !kinds.contains(&kind) {
                    kinds.push(kind);
                }
            }
            return kinds.join(" | ");
        }
    }
    let word = |t: &str| match t {
        "object" => "mapping".to_owned(),
        "array" => format!("list of {}", type_of(&p["items"], root)),
        "string" => "text".to_owned(),
        other => other.to_owned(),
    };
    match &p["type"] {
        Value::String(t) => word(t),
        Value::Array(all) => {
            let kinds = all.iter().filter_map(Value::as_str).filter(|t| *t != "null");
            kinds.map(word).collect::<Vec<_>>().join(" | ")
        }
        _ => "anything".to_owned(),
    }
}

/// The names and summaries of everything.
pub fn list() -> String {
    let actions: Vec<Entry> = ACTIONS.iter().map(|a| action(*a)).collect();
    let probes: Vec<Entry> = PROBES.iter().map(|p| probe(*p)).collect();
    let width = actions.iter().chain(&probes).map(|e| e.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for (title, entries) in [("Actions", actions), ("\nProbes", probes)] {
        let _ = writeln!(text, "{title}");
        for e in entries {
            let _ = writeln!(text, "  {:width$}  {}", e.name, e.summary);
        }
    }
    text.push_str("\n`redrill catalog NAME` shows parameters, permissions and what to watch for.\n");
    text
}

/// Everything about one action or probe, for a terminal of that width; `None` where there is none.
pub fn one(name: &str, width: usize) -> Option<String> {
    let e = catalog::action(name).map(action).or_else(|| catalog::probe(name).map(probe))?;
    let mut text = format!("{}\n", e.name);
    fill(&mut text, "  ", "  ", e.summary, width);
    for paragraph in e.docs.trim().split("\n\n") {
        text.push('\n');
        fill(&mut text, "", "", paragraph, width);
    }
    text.push('\n');
    for (label, value) in &e.facts {
        fill(&mut text, &format!("{label}: "), "  ", value, width);
    }
    let params = params(&e.params);
    if params.is_empty() {
        text.push_str("\nNo parameters.\n");
    } else {
        text.push_str("\nParameters under `with`\n");
    }
    for [key, kind, default, about] in &params {
        let default = match default.as_str() {
            "-" => String::new(),
            "required" => ", required".to_owned(),
            value => format!(", default {value}"),
        };
        fill(&mut text, &format!("  {key} ({kind}{default}): "), "      ", about, width);
    }
    if !e.outputs.is_empty() {
        text.push_str("\nOutputs for later steps\n");
    }
    for (name, about) in &e.outputs {
        fill(&mut text, &format!("  ${{steps.ID.{name}}}: "), "      ", about, width);
    }
    Some(text)
}

/// Breaks text into lines: `first` begins the first, `rest` the others.
fn fill(out: &mut String, first: &str, rest: &str, text: &str, width: usize) {
    let mut empty = first.trim().is_empty();
    let mut line = if empty { first.to_owned() } else { first.trim_end().to_owned() };
    for word in text.split_whitespace() {
        if !empty && line.chars().count() + 1 + word.chars().count() > width {
            let _ = writeln!(out, "{}", line.trim_end());
            line = rest.to_owned();
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line.push_str(word);
        empty = false;
    }
    let _ = writeln!(out, "{}", line.trim_end());
}

/// The whole catalogue as a Markdown page.
pub fn markdown() -> String {
    let mut text = String::from(
        "<!-- Generated by `redrill catalog --markdown`; do not edit. -->\n\n# Actions and probes\n\n\
         An action changes something and says how it is put back; a probe looks once and says healthy,\n\
         unhealthy or unknown. Durations are written `30s`, `15m`, `4h`; none is\n\
         longer than 35 days.\n",
    );
    let actions = ACTIONS.iter().map(|a| action(*a));
    let probes = PROBES.iter().map(|p| probe(*p));
    for (title, entries) in [("Actions", actions.collect::<Vec<_>>()), ("Probes", probes.collect())] {
        let _ = write!(text, "\n## {title}\n\n| name | |\n|---|---|\n");
        for e in &entries {
            let _ = writeln!(text, "| [`{0}`](#{1}) | {2} |", e.name, anchor(e.name), cell(e.summary));
        }
        for e in &entries {
            page(&mut text, e);
        }
    }
    text
}

fn page(text: &mut String, e: &Entry) {
    let _ = write!(text, "\n### `{}`\n\n{}\n", e.name, e.summary);
    for paragraph in e.docs.trim().split("\n\n") {
        let _ = write!(text, "\n{}\n", paragraph.trim());
    }
    let _ = write!(text, "\n| | |\n|---|---|\n");
    for (label, value) in &e.facts {
        let _ = writeln!(text, "| {label} | {} |", cell(value));
    }
    let params = params(&e.params);
    if params.is_empty() {
        text.push_str("\nNo parameters.\n");
    } else {
        text.push_str("\n| parameter | type | default | |\n|---|---|---|---|\n");
        for [key, kind, default, about] in &params {
            let default = match default.as_str() {
                "required" | "-" => default.clone(),
                value => format!("`{}`", cell(value)),
            };
            let _ = writeln!(text, "| `{key}` | {} | {default} | {} |", cell(kind), cell(about));
        }
    }
    if !e.outputs.is_empty() {
        text.push_str("\n| output | |\n|---|---|\n");
        for (name, about) in &e.outputs {
            let _ = writeln!(text, "| `${{steps.ID.{name}}}` | {} |", cell(about));
        }
    }
}

/// The anchor that Markdown viewers give a heading.
fn anchor(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_')).collect()
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn types_are_told_in_a_word() {
        let root = json!({"$defs": {
            "Duration": {"type": "string"},
            "Tls": {"oneOf": [{"const": "disable", "type": "string"}, {"const": "prefer", "type": "string"}]},
        }});
        for (schema, word) in [
            (json!({"type": "string"}), "text"),
            (json!({"type": ["string", "null"]}), "text"),
            (json!({"$ref": "#/$defs/Duration"}), "duration"),
            (json!({"anyOf": [{"$ref": "#/$defs/Duration"}, {"type": "null"}]}), "duration"),
            (json!({"$ref": "#/$defs/Tls"}), "disable | prefer"),
            (json!({"type": "array", "items": {"type": "integer"}}), "list of integer"),
            (json!({"type": "object"}), "mapping"),
            (
                json!({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
                "text | list of text",
            ),
            (json!({}), "anything"),
        ] {
            assert_eq!(type_of(&schema, &root), word, "{schema}");
        }
    }

    #[test]
    fn no_line_is_wider_than_the_terminal_unless_one_word_is() {
        for name in ["vpc.detach-route-table", "sql", "wait"] {
            let text = one(name, 80).unwrap();
            for line in text.lines().filter(|l| l.chars().count() > 80) {
                assert!(line.trim().split(' ').count() <= 3, "{line}");
            }
        }
        assert_eq!(one("nothing", 80), None);
    }
}
