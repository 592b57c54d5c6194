//! `redrill report`: the reports of a run, from its journal alone.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};

use super::material::Folder;
use super::{CliError, Global, Output, checkpoints, hand_over, out, runs};
use crate::evidence::{Record, exports, oscal};
use crate::journal::runs as store;
use crate::model::time::SystemClock;
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
    /// Fill this form on stdout instead of writing files.
    #[arg(long, value_name = "NAME", value_parser = forms(), conflicts_with_all = ["format", "out"])]
    form: Option<report::forms::Form>,
    /// Print the run in another tool's format on stdout instead of writing files.
    #[arg(long, value_enum, value_name = "FORMAT", conflicts_with_all = ["format", "form", "out"])]
    export: Option<Export>,
    /// Write the signed evidence bundle into this folder; without it, `report.json` and `report.md`
    /// into the run's own.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// The key that signs the bundle, if not the configured one or the state folder's own: a file, or
    /// the ARN of a key in AWS KMS.
    #[arg(long, value_name = "FILE|ARN", requires = "out")]
    key: Option<String>,
    /// Ask this authority (RFC 3161) for a timestamp of the bundle's signature; one that cannot be had
    /// is a refusal. Without it, the one that the configuration names.
    #[arg(long, value_name = "URL", requires = "out")]
    timestamp: Option<String>,
    /// Hand over without a timestamp, also where the configuration names an authority.
    #[arg(long, requires = "out", conflicts_with = "timestamp")]
    no_timestamp: bool,
}

/// The names of the forms; a wrong one is told the nearest.
fn forms() -> impl TypedValueParser<Value = report::forms::Form> {
    let names = report::forms::Form::ALL.map(report::forms::Form::name);
    PossibleValuesParser::new(names).try_map(|name| name.parse::<report::forms::Form>())
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
    /// For people, as a page that needs nothing else.
    Html,
}

/// Formats of other tools.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Export {
    /// OSCAL assessment plan.
    OscalAp,
    /// OSCAL assessment results.
    OscalAr,
    /// OSCAL plan of action and milestones, where there are findings.
    OscalPoam,
    /// JUnit XML.
    Junit,
    /// OCSF Compliance Findings.
    Ocsf,
    /// AWS Security Finding Format, for Security Hub.
    Asff,
    /// CSV to upload to Vanta.
    Vanta,
    /// JSON to upload to Drata.
    Drata,
}

impl Export {
    fn text(self, record: &Record) -> Result<String, CliError> {
        // what the record itself knows of the other files' hashes is in there
        let files = oscal::Files::new();
        Ok(match self {
            Self::OscalAp => oscal::assessment_plan(record, &files),
            Self::OscalAr => oscal::assessment_results(record, &files),
            Self::OscalPoam => oscal::action_plan(record, &files).ok_or_else(|| {
                CliError::usage("there are no findings, and OSCAL has no plan of action without any")
            })?,
            Self::Junit => exports::junit(record),
            Self::Ocsf => exports::ocsf(record),
            Self::Asff => exports::asff(record),
            Self::Vanta => exports::vanta(record),
            Self::Drata => exports::drata(record),
        })
    }
}

pub fn run(global: &Global, args: &ReportArgs) -> Result<u8, CliError> {
    let dir = store::find(&global.state, &args.run).map_err(runs::not_found)?;
    let folder = match &args.out {
        Some(_) => checkpoints::completed(global, &dir, &SystemClock)?,
        None => Folder::read(&dir)?,
    };
    if folder.lines.is_empty() {
        return runs::nothing_happened(global, &dir);
    }
    let settings = global.settings.stamped(args.timestamp.as_ref(), args.no_timestamp);
    let record = folder.record(&settings);
    if let Some(export) = args.export {
        out::document(&export.text(&record)?);
        return Ok(0);
    }
    let view = &record.run;
    if let Some(form) = args.form {
        out::document(&report::forms::fill(form, &record));
        return Ok(0);
    }
    match args.format {
        Some(Form::Text) => out::print(&report::text::summary(view, None)),
        Some(Form::Json) => out::document(&report::json::report(&record)),
        Some(Form::Markdown) => out::document(&report::markdown::report(&record)),
        Some(Form::Html) => out::document(&report::html::report(&record)),
        None => match &args.out {
            Some(place) => {
                let record = folder.bundled(&settings);
                let files = hand_over::bundle(global, &dir, &folder, &record, args.key.as_deref())?;
                hand_over::write(place, dir.id(), &files)?;
                match global.output {
                    Output::Text => {
                        out::line(&format!(
                            "evidence bundle of run {}: {} files in {}",
                            dir.id(),
                            files.len(),
                            place.display()
                        ));
                        out::line(&format!("check it: redrill verify {}", place.display()));
                    }
                    Output::Json => out::json(&serde_json::json!({
                        "run": dir.id(), "out": place, "files": files.keys().collect::<Vec<_>>()
                    })),
                }
            }
            None => {
                let failed =
                    |e| CliError::usage("the report cannot be written to the run's folder").because(e);
                dir.write("report.json", report::json::report(&record).as_bytes()).map_err(failed)?;
                dir.write("report.md", report::markdown::report(&record).as_bytes()).map_err(failed)?;
                let paths = ["report.json", "report.md"].map(|n| dir.path().join(n));
                match global.output {
                    Output::Text => {
                        out::print(&report::text::summary(view, Some(&paths[1].display().to_string())));
                    }
                    Output::Json => out::json(&serde_json::json!({ "run": dir.id(), "files": paths })),
                }
            }
        },
    }
    Ok(0)
}
