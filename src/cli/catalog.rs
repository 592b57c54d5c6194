//! `redrill catalog`: the actions and probes, from the same slices that run them.

use std::fmt::Write as _;

use clap::Args;
use serde_json::json;

use super::{CliError, Global, Output, out};
use crate::catalog::actions::ACTIONS;
use crate::catalog::probes::PROBES;

/// List actions and probes, or show one with its parameters.
#[derive(Debug, Args)]
pub struct CatalogArgs {
    /// Show only this action or probe, with everything there is to say.
    name: Option<String>,
}

pub fn run(global: &Global, args: &CatalogArgs) -> Result<u8, CliError> {
    if let Some(name) = &args.name {
        return one(global, name);
    }
    match global.output {
        Output::Json => {
            let actions: Vec<_> = ACTIONS
                .iter()
                .map(|a| {
                    let mut v = serde_json::to_value(a.spec()).unwrap_or_default();
                    v["params"] = serde_json::to_value(a.params_schema()).unwrap_or_default();
                    v
                })
                .collect();
            let probes: Vec<_> = PROBES
                .iter()
                .map(|p| {
                    let mut v = serde_json::to_value(p.spec()).unwrap_or_default();
                    v["params"] = serde_json::to_value(p.params_schema()).unwrap_or_default();
                    v
                })
                .collect();
            out::json(&json!({"actions": actions, "probes": probes}));
        }
        Output::Text => {
            let width = ACTIONS
                .iter()
                .map(|a| a.spec().name.len())
                .chain(PROBES.iter().map(|p| p.spec().name.len()))
                .max();
            let width = width.unwrap_or(0);
            let mut text = String::from("Actions\n");
            for a in ACTIONS {
                let _ = writeln!(text, "  {:width$}  {}", a.spec().name, a.spec().summary);
            }
            text.push_str("\nProbes\n");
            for p in PROBES {
                let _ = writeln!(text, "  {:width$}  {}", p.spec().name, p.spec().summary);
            }
            text.push_str("\nredrill catalog NAME shows parameters, permissions and what to watch for.\n");
            out::print(&text);
        }
    }
    Ok(0)
}

fn one(global: &Global, name: &str) -> Result<u8, CliError> {
    let (spec, params, text) = if let Some(a) = crate::catalog::action(name) {
        let s = a.spec();
        let mut text =
            format!("{}\n  {}\n\n{}\n\nUndo: {}\n", s.name, s.summary, s.docs.trim(), s.undo_story);
        let p = &s.permissions;
        for (phase, list) in [("prepare", p.prepare), ("apply", p.apply), ("poll", p.poll), ("undo", p.undo)]
        {
            if !list.is_empty() {
                let _ = writeln!(text, "Permissions to {phase}: {}", list.join(", "));
            }
        }
        (serde_json::to_value(s).unwrap_or_default(), a.params_schema(), text)
    } else if let Some(p) = crate::catalog::probe(name) {
        let s = p.spec();
        let mut text = format!("{}\n  {}\n\n{}\n", s.name, s.summary, s.docs.trim());
        if !s.permissions.is_empty() {
            let _ = writeln!(text, "\nPermissions: {}", s.permissions.join(", "));
        }
        (serde_json::to_value(s).unwrap_or_default(), p.params_schema(), text)
    } else {
        let names: Vec<&str> =
            ACTIONS.iter().map(|a| a.spec().name).chain(PROBES.iter().map(|p| p.spec().name)).collect();
        let near = names.iter().min_by_key(|n| strsim::damerau_levenshtein(n, name));
        let e = CliError::usage(format!("there is no action or probe `{name}`"));
        return Err(match near {
            Some(near) => e.hint(format!("did you mean `{near}`? `redrill catalog` lists them all")),
            None => e,
        });
    };
    let params = serde_json::to_value(params).unwrap_or_default();
    match global.output {
        Output::Json => {
            let mut v = spec;
            v["params"] = params;
            out::json(&v);
        }
        Output::Text => {
            let mut text = text;
            if let Some(props) = params["properties"].as_object().filter(|p| !p.is_empty()) {
                text.push_str("\nParameters under `with`\n");
                let width = props.keys().map(String::len).max().unwrap_or(0);
                for (key, p) in props {
                    let required = params["required"].as_array().is_some_and(|r| r.iter().any(|k| k == key));
                    let about = p["description"].as_str().unwrap_or_default().replace('\n', " ");
                    let _ = writeln!(
                        text,
                        "  {key:width$}  {about}{}",
                        if required { " (required)" } else { "" }
                    );
                }
            }
            out::print(&text);
        }
    }
    Ok(0)
}
