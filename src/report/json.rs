//! `report.json`: everything that the view knows, versioned, for machines. Pure.
//!
//! Made from the journal alone: the same journal gives the same bytes.

use serde::Serialize;

use crate::view::RunView;

/// The name of the format.
pub const SCHEMA: &str = "redrill/report";
/// Its version. Fields are added without a new one; none changes its meaning.
pub const VERSION: u32 = 1;

#[derive(Serialize)]
struct Report<'a> {
    schema: &'a str,
    v: u32,
    #[serde(flatten)]
    view: &'a RunView,
}

/// The report, indented, with a newline at its end.
///
/// # Panics
/// Never: a view always serialises.
pub fn report(view: &RunView) -> String {
    let report = Report { schema: SCHEMA, v: VERSION, view };
    let mut text = serde_json::to_string_pretty(&report).expect("BUG: a view serialises");
    text.push('\n');
    text
}
