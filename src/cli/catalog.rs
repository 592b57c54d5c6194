//! `redrill catalog`: the actions and probes, from the same slices that run them.

use clap::Args;
use serde_json::{Value, json};

use super::{CliError, Global, Output, out};
use crate::catalog::actions::ACTIONS;
use crate::catalog::probes::PROBES;
use crate::catalog::{self, DynAction, DynProbe};
use crate::drill::suggest;
use crate::report::catalogue;

/// List actions and probes, or show one with its parameters.
#[derive(Debug, Args)]
pub struct CatalogArgs {
    /// Show only this action or probe, with everything there is to say.
    name: Option<String>,
    /// Print everything as one Markdown page.
    #[arg(long, conflicts_with = "name")]
    markdown: bool,
}

fn action(a: &dyn DynAction) -> Value {
    with_params(serde_json::to_value(a.spec()), a.params_schema())
}

fn probe(p: &dyn DynProbe) -> Value {
    with_params(serde_json::to_value(p.spec()), p.params_schema())
}

fn with_params(spec: serde_json::Result<Value>, params: schemars::Schema) -> Value {
    let mut value = spec.unwrap_or_default();
    value["params"] = params.to_value();
    value
}

pub fn run(global: &Global, args: &CatalogArgs) -> Result<u8, CliError> {
    match (&args.name, global.output) {
        (Some(name), output) => one(name, output)?,
        (None, _) if args.markdown => out::document(&catalogue::markdown()),
        (None, Output::Text) => out::print(&catalogue::list()),
        (None, Output::Json) => {
            let actions: Vec<_> = ACTIONS.iter().map(|a| action(*a)).collect();
            let probes: Vec<_> = PROBES.iter().map(|p| probe(*p)).collect();
            out::json(&json!({"actions": actions, "probes": probes}));
        }
    }
    Ok(0)
}

fn one(name: &str, output: Output) -> Result<(), CliError> {
    let missing = || {
        let names = ACTIONS.iter().map(|a| a.spec().name).chain(PROBES.iter().map(|p| p.spec().name));
        let near = suggest(name, names).map(|s| format!("{s} ")).unwrap_or_default();
        CliError::usage(format!("there is no action or probe `{name}`"))
            .hint(format!("{near}`redrill catalog` lists them all"))
    };
    match output {
        Output::Text => out::print(&catalogue::one(name, out::width()).ok_or_else(missing)?),
        Output::Json => {
            let found = catalog::action(name).map(action).or_else(|| catalog::probe(name).map(probe));
            out::json(&found.ok_or_else(missing)?);
        }
    }
    Ok(())
}
