//! A run in NIST's OSCAL 1.2.1: assessment plan, assessment results, plan of action and milestones. Pure.
//!
//! Made from the record alone. Every UUID is of version 5 and every time one of the run's, so the same
//! record gives the same bytes. What OSCAL cannot say goes into properties of redrill's own name space
//! ([`NS`]): measured times, what an objective was, controls that no OSCAL catalog has (their ids only).
//!
//! A finding exists where something was tested on AWS; what was not tested, and everything off AWS, has
//! none. A finding about a control says what this run shows; the assessor judges the control.

mod base;
mod document;
mod model;
mod plan;
mod results;
mod risks;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::record::Record;
use crate::model::text::escaped;
use base::Base;

/// The version of OSCAL that is written.
pub const OSCAL_VERSION: &str = "1.2.1";
/// The name space of redrill's own properties: the URN of [`super::NAMESPACE`], which nobody else has.
pub const NS: &str = "urn:uuid:6b1d5c0e-4f6a-5b0e-9d57-2f1f0a4d8c31";
/// The name of the assessment plan; the results refer to it.
pub const ASSESSMENT_PLAN: &str = "assessment-plan.json";
/// The name of the assessment results.
pub const ASSESSMENT_RESULTS: &str = "assessment-results.json";
/// The name of the plan of action and milestones.
pub const ACTION_PLAN: &str = "plan-of-action-and-milestones.json";

/// Names of files that lie beside, and the SHA-256 (hex) of each.
pub type Files = BTreeMap<String, String>;

/// `assessment-plan.json`: what was fixed before the start.
pub fn assessment_plan(record: &Record, files: &Files) -> String {
    let base = Base::new(record, files);
    finish(&base, "assessment-plan", &plan::of(&base))
}

/// `assessment-results.json`: what was seen, and what follows.
pub fn assessment_results(record: &Record, files: &Files) -> String {
    let base = Base::new(record, files);
    finish(&base, "assessment-results", &results::of(&base))
}

/// `plan-of-action-and-milestones.json`: the open findings. `None` where there are none, since OSCAL
/// refuses a plan without items.
pub fn action_plan(record: &Record, files: &Files) -> Option<String> {
    if record.findings.is_empty() {
        return None;
    }
    let base = Base::new(record, files);
    Some(finish(&base, "plan-of-action-and-milestones", &risks::action_plan(&base)))
}

/// The file's text. Its own UUID is derived from all the rest, since OSCAL wants a new one whenever
/// the content changes.
fn finish<T: Serialize>(base: &Base<'_>, model: &str, content: &T) -> String {
    let mut value = serde_json::to_value(content).expect("BUG: an OSCAL model serialises");
    if let Some(object) = value.as_object_mut() {
        let uuid =
            Uuid::new_v5(&base.root, format!("{model}\u{1f}{}", Value::from(object.clone())).as_bytes());
        object.insert("uuid".to_owned(), Value::from(uuid.to_string()));
    }
    let mut file = serde_json::Map::new();
    file.insert(model.to_owned(), value);
    let text = serde_json::to_string_pretty(&file).expect("BUG: a JSON value serialises");
    let mut text = escaped(&text);
    text.push('\n');
    text
}
