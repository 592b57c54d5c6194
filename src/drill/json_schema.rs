//! The JSON Schema of drills, for editors: the same types, with every action's and probe's parameters. Pure.

use serde_json::{Map, Value, json};

use super::{Drill, Known};
use crate::catalog::kinds::{self, KINDS};

/// The JSON Schema (draft 2020-12) of the drill format.
pub fn json_schema() -> Value {
    of(&Known::shipped())
}

/// The plain schema of the types: what `walk` holds a file against.
pub(super) fn plain() -> Value {
    let mut schema = schemars::schema_for!(Drill).to_value();
    kinds::in_schema(&mut schema);
    schema
}

pub(super) fn of(known: &Known) -> Value {
    let mut root = plain();
    let mut defs =
        root.get_mut("$defs").and_then(Value::as_object_mut).map(std::mem::take).unwrap_or_default();
    let actions: Vec<_> = known
        .actions
        .iter()
        .map(|a| (a.spec().name, a.spec().summary, a.params_schema().to_value()))
        .collect();
    let probes: Vec<_> = known
        .probes
        .iter()
        .map(|p| (p.spec().name, p.spec().summary, p.params_schema().to_value()))
        .collect();
    dispatch(&mut defs, "Step", "action", &actions);
    dispatch(&mut defs, "ProbeUse", "probe", &probes);
    dispatch(&mut defs, "StopUse", "probe", &probes);
    attributes(&mut defs);
    defs.insert(
        "Reference".to_owned(),
        json!({
            "type": "string",
            "pattern": r"\$\{(params\.[^}]+|steps\.[^}]+|run\.id)\}",
            "description": "A reference: ${params.NAME}, ${steps.ID.output} or ${run.id}."
        }),
    );
    for (name, schema) in &mut defs {
        if name != "Reference" {
            allow_references(schema);
        }
    }
    if let Some(top) = root.get_mut("properties") {
        allow_references(top);
    }
    if let Some(object) = root.as_object_mut() {
        object.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
        object.insert("title".to_owned(), json!("redrill drill, version 1"));
        object.insert("$defs".to_owned(), Value::Object(defs));
        if let Some(version) = object.get_mut("properties").and_then(|p| p.get_mut("version")) {
            *version = json!({"const": 1, "description": "The format's version: 1."});
        }
    }
    root
}

/// Per name of an action or probe: the parameters under `with`.
fn dispatch(defs: &mut Map<String, Value>, def: &str, key: &str, known: &[(&str, &str, Value)]) {
    let mut rules = Vec::new();
    for (name, _, schema) in known {
        let place = format!("{key}.{name}");
        if !defs.contains_key(&place) {
            let mut schema = schema.clone();
            let inner = schema.get_mut("$defs").and_then(Value::as_object_mut).map(std::mem::take);
            if let Some(object) = schema.as_object_mut() {
                object.remove("$defs");
                object.remove("$schema");
                object.remove("title");
            }
            rename(&mut schema, &place);
            for (inner_name, mut inner) in inner.unwrap_or_default() {
                rename(&mut inner, &place);
                defs.insert(format!("{place}.{inner_name}"), inner);
            }
            defs.insert(place.clone(), schema);
        }
        let schema = defs.get(&place).cloned().unwrap_or_default();
        let needed = schema.get("required").and_then(Value::as_array).is_some_and(|r| !r.is_empty());
        let mut then = json!({"properties": {"with": {"$ref": format!("#/$defs/{place}")}}});
        if needed && let Some(then) = then.as_object_mut() {
            then.insert("required".to_owned(), json!(["with"]));
        }
        rules.push(json!({"if": {"properties": {key: {"const": name}}, "required": [key]}, "then": then}));
    }
    let names: Vec<Value> = known.iter().map(|(n, s, _)| json!({"const": n, "description": s})).collect();
    let Some(schema) = defs.get_mut(def).and_then(Value::as_object_mut) else { return };
    if names.is_empty() {
        return;
    }
    if let Some(property) = schema.get_mut("properties").and_then(|p| p.get_mut(key)) {
        let description = property.get("description").cloned().unwrap_or_default();
        *property = json!({"description": description, "oneOf": names});
    }
    schema.insert("allOf".to_owned(), Value::Array(rules));
    if def == "Step" {
        let one = |k: &str| json!({"required": [k]});
        schema.insert("oneOf".to_owned(), json!([one("action"), one("manual"), one("parallel")]));
    }
}

/// Definitions of one action's schema move beside those of the others.
fn rename(schema: &mut Value, place: &str) {
    match schema {
        Value::Object(entries) => {
            for (key, value) in entries.iter_mut() {
                match (key.as_str(), value.as_str()) {
                    ("$ref", Some(target)) => {
                        if let Some(name) = target.strip_prefix("#/$defs/") {
                            *value = Value::String(format!("#/$defs/{place}.{name}"));
                        }
                    }
                    _ => rename(value, place),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|v| rename(v, place)),
        _ => {}
    }
}

/// Per kind of resource: the attributes that `where` knows.
fn attributes(defs: &mut Map<String, Value>) {
    let rules: Vec<Value> = KINDS
        .iter()
        .map(|kind| {
            let spec = kind.spec();
            json!({
                "if": {"properties": {"resource": {"const": spec.kind.name()}}, "required": ["resource"]},
                "then": {"properties": {"where": {"propertyNames": {"enum": spec.attributes}}}}
            })
        })
        .collect();
    if let Some(spec) = defs.get_mut("TargetSpec").and_then(Value::as_object_mut) {
        spec.insert("allOf".to_owned(), Value::Array(rules));
    }
}

/// A number, a boolean or a patterned text may also be given by a reference.
fn allow_references(schema: &mut Value) {
    match schema {
        Value::Object(entries) => {
            let typed =
                matches!(entries.get("type").and_then(Value::as_str), Some("integer" | "number" | "boolean"));
            let patterned = entries.contains_key("pattern");
            if typed || patterned {
                let mut outer = Map::new();
                for key in ["description", "default"] {
                    if let Some(value) = entries.remove(key) {
                        outer.insert(key.to_owned(), value);
                    }
                }
                let inner = Value::Object(std::mem::take(entries));
                outer.insert("anyOf".to_owned(), json!([inner, {"$ref": "#/$defs/Reference"}]));
                *entries = outer;
                return;
            }
            for (key, value) in entries.iter_mut() {
                if !matches!(key.as_str(), "if" | "default" | "examples" | "const" | "enum" | "required") {
                    allow_references(value);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(allow_references),
        _ => {}
    }
}
