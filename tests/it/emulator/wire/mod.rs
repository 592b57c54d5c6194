//! Faults on the wire: the real binary, the real SDK, and a service that has a bad day.
//!
//! Each test says how the run ends, that the world is as it was, that no change was applied twice, and
//! ([`on_record`]) that the journal holds every call that the service saw, with the reason of each refusal.
//! What would take minutes here is in `engine_wire`, in virtual time.

mod calls;
mod clock;
mod consistency;
mod late;
mod login;
mod partial;
mod throttling;

use std::collections::BTreeMap;

use serde_json::Value;

use super::world::{Ended, World};

/// The changes that reached the service are those on record, no more and no fewer, and each refusal has a reason.
async fn on_record(w: &World, runs: &[&Ended]) {
    let mut seen: BTreeMap<String, i64> = BTreeMap::new();
    for call in w.calls().await {
        let ours = call["user_agent"].as_str().is_some_and(|agent| agent.contains("aws-sdk-rust"));
        if ours && call["mutating"] == true {
            *seen.entry(call["action"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
        }
    }
    let told = runs.iter().map(ToString::to_string).collect::<String>();
    let mut recorded: BTreeMap<String, i64> = BTreeMap::new();
    for run in runs {
        for sent in run.events("call-sent") {
            let operation = sent["operation"].as_str().unwrap_or_default();
            *recorded.entry(operation.rsplit(':').next().unwrap_or_default().to_owned()).or_default() += 1;
        }
        for answered in run.events("call-answered") {
            let error = &answered["error"];
            let said = |name: &str| error[name].as_str().is_some_and(|s| !s.is_empty());
            assert!(error.is_null() || (said("kind") && said("message")), "{answered}");
        }
    }
    assert_eq!(seen, recorded, "{told}");
}

/// The refusals of an operation, as (attempt, kind, code).
fn refusals(ended: &Ended, operation: &str) -> Vec<(i64, String, String)> {
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let mut found = Vec::new();
    for sent in ended.events("call-sent").into_iter().filter(|l| l["operation"] == operation) {
        for answer in ended.events("call-answered").into_iter().filter(|l| l["call"] == sent["call"]) {
            if !answer["error"].is_null() {
                let error = &answer["error"];
                found.push((
                    sent["attempt"].as_i64().unwrap_or(0),
                    text(&error["kind"]),
                    text(&error["code"]),
                ));
            }
        }
    }
    found
}
