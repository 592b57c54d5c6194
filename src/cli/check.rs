//! `redrill check`.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::{CliError, DrillArgs, Global, Kind, Output, out};
use crate::drill::{self, LoadOptions, Loaded};

/// Check drill files; report every problem with line and column.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Drill files.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    drill: DrillArgs,
}

/// Reads and checks a drill file.
pub fn load(path: &std::path::Path, args: &DrillArgs) -> Result<Loaded, CliError> {
    let name = path.display().to_string();
    let text = std::fs::read(path).map_err(|e| {
        CliError::usage(format!("cannot read {name}"))
            .because(e)
            .hint("name a drill file, for example drills/ec2-instance-loss.yaml")
    })?;
    let text = String::from_utf8(text).map_err(|e| {
        CliError::usage(format!("{name} is not UTF-8 text, from byte {}", e.utf8_error().valid_up_to()))
    })?;
    let options = LoadOptions { env: args.env.clone(), set: args.set.clone() };
    drill::load(&name, &text, &options).map_err(|p| CliError::rendered(Kind::Usage, p.to_string()))
}

pub fn run(global: &Global, args: &CheckArgs) -> Result<u8, CliError> {
    let mut bad = 0;
    for path in &args.files {
        match (load(path, &args.drill), global.output) {
            (Ok(l), Output::Text) => {
                out::line(&format!(
                    "ok    {}  {} ({} steps)",
                    path.display(),
                    l.drill.title,
                    l.drill.fault.len() + l.drill.recovery.len()
                ));
            }
            (Ok(l), Output::Json) => out::json(&json!({"file": path, "ok": true, "drill": l.drill.name})),
            (Err(e), Output::Text) => {
                bad += 1;
                out::note(&e.text());
            }
            (Err(e), Output::Json) => {
                bad += 1;
                out::json(&json!({"file": path, "ok": false, "problems": e.text()}));
            }
        }
    }
    Ok(if bad > 0 { 2 } else { 0 })
}
