//! What a call is about: only what a parameter names counts, wherever it is read from.

use std::collections::BTreeSet;

use serde_json::json;

use super::*;
use crate::model::Stamp;

/// The names in a call with these parameters.
fn names(params: Value) -> Vec<String> {
    let stamp = Stamp { at: DateTime::UNIX_EPOCH, mono_ms: 0 };
    let (step, phase, operation) = (Some(StepId::new("stop")), Phase::Apply, "ec2:StopInstances".to_owned());
    let event = Event::CallSent { call: 1, step, phase, operation, params, attempt: 1 };
    let found = calls(&[Line { seq: 0, prev: String::new(), stamp, event }]);
    assert_eq!(found.len(), 1);
    found.into_iter().flat_map(|c| c.names).collect()
}

#[test]
fn a_call_is_about_what_its_naming_parameters_say() {
    for (params, wanted) in [
        (json!({ "ids": ["i-1", "i-2"] }), vec!["i-1", "i-2"]),
        (json!({ "instance": "i-1" }), vec!["i-1"]),
        (json!({ "spec": { "target": "copy", "ids": ["i-1"] } }), vec!["i-1", "copy"]),
        // how a thing is made is not which thing it is
        (json!({ "class": "db.t3.micro", "zones": ["us-east-1a"], "ids": ["i-1"] }), vec!["i-1"]),
        (json!({ "spec": { "zones": ["us-east-1a"], "class": "db.t3.micro" } }), vec![]),
        (json!({ "tags": { "id": "x", "ids": ["y"] } }), vec![]),
        (json!({ "ids": [1, null, ["i-1"]], "id": 7 }), vec![]),
        (json!(["i-1"]), vec![]),
        (Value::Null, vec![]),
    ] {
        let found: BTreeSet<String> = names(params.clone()).into_iter().collect();
        assert_eq!(found, wanted.into_iter().map(str::to_owned).collect(), "{params}");
    }
}
