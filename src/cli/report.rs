//! `redrill report`: the reports of a run, from its journal alone.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::material::Folder;
use super::{CliError, Global, Output, out, runs};
use crate::journal::runs as store;
use crate::report;

/// Write the reports of a run from its journal.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// Id, unique prefix, path, or `last`.
    #[arg(default_value = "last")]
    run: String,
    /// Print this form on stdout instead of writing files.
    #[arg(long, value_enum)]
    format: Option<Form>,
    /// Write `report.json` and `report.md` into this folder; the run's own if left out.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// The forms of a report.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Form {
    /// For the terminal.
    Text,
    /// For machines.
    Json,
    /// For people, as a file.
    Markdown,
}

pub fn run(global: &Global, args: &ReportArgs) -> Result<u8, CliError> {
    let dir = store::find(&global.state, &args.run).map_err(runs::not_found)?;
    let folder = Folder::read(&dir)?;
    if folder.lines.is_empty() {
        return runs::nothing_happened(global, &dir);
    }
    let record = folder.record();
    let view = &record.run;
    match args.format {
        Some(Form::Text) => out::print(&report::text::summary(view, None)),
        Some(Form::Json) => out::print(&report::json::report(&record)),
        Some(Form::Markdown) => out::print(&report::markdown::report(view)),
        None => {
            let folder = args.out.clone().unwrap_or_else(|| dir.path().to_owned());
            let failed = |e: std::io::Error| {
                CliError::usage(format!("the report cannot be written to {}", folder.display())).because(e)
            };
            std::fs::create_dir_all(&folder).map_err(failed)?;
            let files = [
                (folder.join("report.json"), report::json::report(&record)),
                (folder.join("report.md"), report::markdown::report(view)),
            ];
            for (path, text) in &files {
                std::fs::write(path, text).map_err(failed)?;
            }
            match global.output {
                Output::Text => {
                    out::print(&report::text::summary(view, Some(&files[1].0.display().to_string())));
                }
                Output::Json => out::json(&serde_json::json!({
                    "run": dir.id(), "files": files.iter().map(|(p, _)| p).collect::<Vec<_>>()
                })),
            }
        }
    }
    Ok(0)
}
