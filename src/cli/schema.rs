//! `redrill schema`.

use clap::Args;

use super::{CliError, Global, Output, out};
use crate::drill;

/// Print the JSON Schema of drill files, for editors.
#[derive(Debug, Args)]
pub struct SchemaArgs {}

pub fn run(global: &Global, _args: &SchemaArgs) -> Result<u8, CliError> {
    let schema = drill::json_schema();
    match global.output {
        Output::Json => out::json(&schema),
        Output::Text => out::line(&serde_json::to_string_pretty(&schema).unwrap_or_default()),
    }
    Ok(0)
}
