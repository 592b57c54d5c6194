//! References in texts: `${steps.ID.output}`, `${params.NAME}`, `${run.id}`; `$${` is a literal `${`. Pure.
//!
//! Parameters that are no secret are put in while a drill is loaded. The others stay in the plan
//! until a step is prepared: only then are outputs known, and only then may a secret be.

use serde_json::Value;

/// A part of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<'t> {
    /// As it stands.
    Text(&'t str),
    /// `$${`: a literal `${`.
    Escape,
    /// What stands between `${` and `}`.
    Reference(&'t str),
    /// A `${` without its `}`, to the end.
    Open(&'t str),
}

/// What a reference refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reference<'t> {
    /// `params.NAME`.
    Param(&'t str),
    /// `steps.ID.output`, still in one: an id may hold dots, see [`split_step`].
    Step(&'t str),
    /// `run.id`.
    RunId,
    /// Anything else.
    Unknown(&'t str),
}

impl<'t> Reference<'t> {
    /// Reads what stands between `${` and `}`.
    pub fn read(inner: &'t str) -> Self {
        if let Some(name) = inner.strip_prefix("params.") {
            Self::Param(name)
        } else if let Some(rest) = inner.strip_prefix("steps.") {
            Self::Step(rest)
        } else if inner == "run.id" {
            Self::RunId
        } else {
            Self::Unknown(inner)
        }
    }
}

/// Takes a text apart.
pub fn parts(text: &str) -> Vec<Part<'_>> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let escaped = rest[..at].ends_with('$');
        let before = if escaped { &rest[..at - 1] } else { &rest[..at] };
        if !before.is_empty() {
            out.push(Part::Text(before));
        }
        rest = &rest[at + 2..];
        if escaped {
            out.push(Part::Escape);
            continue;
        }
        match rest.split_once('}') {
            Some((inner, after)) => {
                out.push(Part::Reference(inner));
                rest = after;
            }
            None => {
                out.push(Part::Open(rest));
                return out;
            }
        }
    }
    if !rest.is_empty() {
        out.push(Part::Text(rest));
    }
    out
}

/// Whether the text holds a reference.
pub fn has_reference(text: &str) -> bool {
    parts(text).iter().any(|p| matches!(p, Part::Reference(_)))
}

/// Takes `ID.output` apart, given the ids there are: the longest id that fits.
pub fn split_step<'t, 'i>(
    rest: &'t str,
    ids: impl IntoIterator<Item = &'i str>,
) -> Option<(&'i str, &'t str)> {
    ids.into_iter()
        .filter_map(|id| rest.strip_prefix(id)?.strip_prefix('.').map(|output| (id, output)))
        .max_by_key(|(id, _)| id.len())
}

/// Makes a text out of one with references, escapes undone. `value` gives each reference's text.
///
/// # Errors
/// The first reference that `value` does not know.
pub fn resolve(text: &str, value: &dyn Fn(Reference<'_>) -> Option<String>) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    for part in parts(text) {
        match part {
            Part::Text(t) => out.push_str(t),
            Part::Escape => out.push_str("${"),
            Part::Reference(inner) => match value(Reference::read(inner)) {
                Some(v) => out.push_str(&v),
                None => return Err(inner.to_owned()),
            },
            Part::Open(rest) => {
                out.push_str("${");
                out.push_str(rest);
            }
        }
    }
    Ok(out)
}

/// [`resolve`] for every text in a value.
///
/// # Errors
/// The first reference that `value` does not know.
pub fn resolve_value(
    value: &Value,
    known: &dyn Fn(Reference<'_>) -> Option<String>,
) -> Result<Value, String> {
    Ok(match value {
        Value::String(s) => Value::String(resolve(s, known)?),
        Value::Array(items) => {
            Value::Array(items.iter().map(|v| resolve_value(v, known)).collect::<Result<_, _>>()?)
        }
        Value::Object(entries) => {
            let one = |(k, v): (&String, &Value)| Ok::<_, String>((k.clone(), resolve_value(v, known)?));
            Value::Object(entries.iter().map(one).collect::<Result<_, _>>()?)
        }
        other => other.clone(),
    })
}

/// Every reference in a value, in order.
pub fn references(value: &Value) -> Vec<&str> {
    let mut out = Vec::new();
    collect(value, &mut out);
    out
}

fn collect<'v>(value: &'v Value, out: &mut Vec<&'v str>) {
    match value {
        Value::String(s) => out.extend(parts(s).into_iter().filter_map(|p| match p {
            Part::Reference(inner) => Some(inner),
            _ => None,
        })),
        Value::Array(items) => items.iter().for_each(|v| collect(v, out)),
        Value::Object(entries) => entries.values().for_each(|v| collect(v, out)),
        _ => {}
    }
}

/// The text that [`resolve`] turns into exactly `text`.
pub fn escape(text: &str) -> String {
    text.replace("${", "$${")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn texts_come_apart() {
        assert_eq!(
            parts("a ${params.x}-$${b} ${steps.r.endpoint}"),
            [
                Part::Text("a "),
                Part::Reference("params.x"),
                Part::Text("-"),
                Part::Escape,
                Part::Text("b} "),
                Part::Reference("steps.r.endpoint")
            ]
        );
        assert_eq!(parts("$5 and ${open"), [Part::Text("$5 and "), Part::Open("open")]);
        assert!(!has_reference("$${params.x}") && has_reference("${run.id}"));
    }

    #[test]
    fn the_longest_id_wins() {
        let ids = ["rds.restore", "rds", "restore"];
        assert_eq!(split_step("rds.restore.endpoint", ids), Some(("rds.restore", "endpoint")));
        assert_eq!(split_step("rds.endpoint", ids), Some(("rds", "endpoint")));
        assert_eq!(split_step("other.endpoint", ids), None);
    }

    #[test]
    fn everything_is_put_in_and_unescaped() {
        let known = |r: Reference<'_>| (r == Reference::RunId).then(|| "R1".to_owned());
        assert_eq!(
            resolve("run ${run.id}, literal $${run.id}", &known).unwrap(),
            "run R1, literal ${run.id}"
        );
        assert_eq!(resolve("${params.x}", &known).unwrap_err(), "params.x");
        let value = serde_json::json!({"a": ["${run.id}", 1], "b": {"c": "x"}});
        assert_eq!(
            resolve_value(&value, &known).unwrap(),
            serde_json::json!({"a": ["R1", 1], "b": {"c": "x"}})
        );
        assert_eq!(references(&value), ["run.id"]);
    }

    #[test]
    fn each_part_is_what_stands_there() {
        use Part::{Escape, Open, Text};
        let reference = Part::Reference;
        for (text, expected) in [
            ("", vec![]),
            ("a", vec![Text("a")]),
            ("${a}", vec![reference("a")]),
            ("${a}${b}", vec![reference("a"), reference("b")]),
            ("$${a}", vec![Escape, Text("a}")]),
            ("a$${", vec![Text("a"), Escape]),
            ("$$${a}", vec![Text("$"), Escape, Text("a}")]),
            ("${", vec![Open("")]),
            ("a}${b", vec![Text("a}"), Open("b")]),
        ] {
            assert_eq!(parts(text), expected, "{text}");
        }
        let read = ["params.a.b", "steps.a.b", "run.id", "run.ids", "param.a"].map(Reference::read);
        use Reference::{Param, RunId, Step, Unknown};
        assert_eq!(read, [Param("a.b"), Step("a.b"), RunId, Unknown("run.ids"), Unknown("param.a")]);
        assert_eq!(resolve("a ${b", &|_| None), Ok("a ${b".to_owned()));
        assert_eq!(split_step("rds", ["rds"]), None);
        let value = serde_json::json!({"a": ["${x} $${y}", {"b": "${z}"}], "c": "${u}", "d": 1});
        assert_eq!(references(&value), ["x", "z", "u"]);
        let wrong = resolve_value(&serde_json::json!([{"a": "${x}"}]), &|_| None);
        assert_eq!(wrong, Err("x".to_owned()));
    }

    proptest! {
        #[test]
        fn an_escaped_text_resolves_to_itself(text in "[a${}.]{0,20}") {
            prop_assert_eq!(resolve(&escape(&text), &|_| None).unwrap(), text);
        }
    }
}
