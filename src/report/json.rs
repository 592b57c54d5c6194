//! `report.json`: the record, for machines. Pure.
//!
//! The same run gives the same bytes.

use crate::catalog::kinds;
use crate::evidence::Record;
use crate::model::text::escaped;

/// The record, indented, with a newline at its end.
///
/// # Panics
/// Never: a record always serialises.
pub fn report(record: &Record) -> String {
    let text = serde_json::to_string_pretty(record).expect("BUG: a record serialises");
    let mut text = escaped(&text);
    text.push('\n');
    text
}

/// The JSON Schema of `report.json`.
///
/// # Panics
/// Never: a schema always serialises.
pub fn schema() -> String {
    let mut schema = schemars::schema_for!(Record).to_value();
    kinds::in_schema(&mut schema);
    // in the order of the schema's own type
    let schema = schemars::Schema::try_from(schema).expect("BUG: a schema is one");
    let mut text = serde_json::to_string_pretty(&schema).expect("BUG: a schema serialises");
    text.push('\n');
    text
}
