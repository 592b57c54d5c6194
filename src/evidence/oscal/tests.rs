//! Tests of the OSCAL files. `tests/evidence/check_exports.py` has other people's tools look at the same
//! records.

use std::collections::BTreeSet;

use serde_json::Value;

use super::*;
use crate::evidence::record::Status;
use crate::evidence::tests::{made_up, record_of};
use crate::model::World;
use crate::view::tests::example;

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("OSCAL is JSON")
}

fn results_of(record: &Record) -> Value {
    json(&assessment_results(record, &Files::new()))["assessment-results"]["results"][0].clone()
}

/// Every value in the tree with its key.
fn walk<'a>(key: &'a str, value: &'a Value, each: &mut impl FnMut(&'a str, &'a Value)) {
    each(key, value);
    match value {
        Value::Array(all) => all.iter().for_each(|v| walk(key, v, each)),
        Value::Object(all) => all.iter().for_each(|(k, v)| walk(k, v, each)),
        _ => {}
    }
}

fn files_of(record: &Record) -> Vec<Value> {
    let files = Files::from([("plan.json".to_owned(), "0f".repeat(32))]);
    let mut out = vec![json(&assessment_plan(record, &files)), json(&assessment_results(record, &files))];
    out.extend(action_plan(record, &files).map(|text| json(&text)));
    out
}

/// Writes every file of every made-up record for the check with other tools, where a folder is given.
#[test]
fn the_files_for_other_tools() {
    let Ok(folder) = std::env::var("REDRILL_TEST_EXPORTS") else { return };
    let folder = std::path::Path::new(&folder);
    for (name, record) in made_up() {
        let files = Files::from([("plan.json".to_owned(), "0f".repeat(32))]);
        let write = |what: &str, text: &str| {
            std::fs::create_dir_all(folder.join(name)).expect("a folder");
            std::fs::write(folder.join(name).join(what), text).expect("a file");
        };
        write(ASSESSMENT_PLAN, &assessment_plan(&record, &files));
        write(ASSESSMENT_RESULTS, &assessment_results(&record, &files));
        if let Some(text) = action_plan(&record, &files) {
            write(ACTION_PLAN, &text);
        }
    }
}

#[test]
fn nothing_is_written_that_oscal_refuses() {
    for (name, record) in made_up() {
        for file in files_of(&record) {
            let mut uuids = BTreeSet::new();
            let mut refers = Vec::new();
            walk("", &file, &mut |key, value| match value {
                Value::Array(all) => assert!(!all.is_empty(), "{name}: {key} is empty"),
                Value::String(text) => {
                    assert!(!text.is_empty() && text.trim() == text, "{name}: {key} {text:?}");
                    assert!(!text.chars().any(char::is_control), "{name}: {key} {text:?}");
                    if key == "uuid" {
                        assert!(uuids.insert(text.clone()), "{name}: {key} {text} twice");
                        assert_eq!(text.as_bytes().get(14), Some(&b'5'), "{name}: {text}");
                    }
                    if key == "href" && text.starts_with('#') {
                        refers.push(text[1..].to_owned());
                    }
                    let to =
                        ["observation-uuid", "risk-uuid", "subject-uuid", "response-uuid", "activity-uuid"];
                    if to.contains(&key) || key == "component-uuid" {
                        refers.push(text.clone());
                    }
                }
                Value::Null => panic!("{name}: {key} is null"),
                _ => {}
            });
            if file.get("plan-of-action-and-milestones").is_none() {
                for uuid in refers {
                    assert!(uuids.contains(&uuid), "{name}: nothing has the UUID {uuid}");
                }
            }
        }
    }
}

#[test]
fn the_same_record_gives_the_same_bytes_and_another_one_another_uuid() {
    let record = record_of(&example(World::Aws));
    let files = Files::new();
    assert_eq!(assessment_results(&record, &files), assessment_results(&record, &files));
    let mut other = record.clone();
    other.result.reasons.push("more".to_owned());
    let uuid = |r: &Record| json(&assessment_results(r, &files))["assessment-results"]["uuid"].clone();
    assert_ne!(uuid(&record), uuid(&other));
}

#[test]
fn off_aws_there_is_no_finding() {
    for (name, record) in made_up() {
        let result = results_of(&record);
        let findings = result["findings"].as_array().map_or(0, Vec::len);
        let says = result["props"].as_array().expect("props").iter().any(|p| p["name"] == "every-control");
        let aws = record.counts();
        assert_eq!(says, !aws, "{name}");
        assert!(aws || findings == 0, "{name}");
    }
}

#[test]
fn a_finding_exists_for_what_was_tested_and_says_how_it_came_out() {
    for (name, record) in made_up().into_iter().filter(|(_, r)| r.counts()) {
        let result = results_of(&record);
        let findings = result["findings"].as_array().cloned().unwrap_or_default();
        for o in &record.result.objectives {
            let id = format!("redrill-{}", o.key);
            let state = findings
                .iter()
                .find(|f| f["target"]["target-id"] == id.as_str())
                .map(|f| f["target"]["status"]["state"].as_str().expect("a state").to_owned());
            let expected = match o.status {
                Status::Satisfied => Some("satisfied".to_owned()),
                Status::NotSatisfied => Some("not-satisfied".to_owned()),
                Status::NotTested => None,
            };
            assert_eq!(state, expected, "{name}: {}", o.key);
        }
    }
}

#[test]
fn a_missed_objective_is_a_risk_that_its_finding_links_to() {
    let (_, record) = made_up().into_iter().find(|(name, _)| *name == "missed").expect("there");
    let result = results_of(&record);
    let risks = result["risks"].as_array().expect("risks");
    let risk = risks
        .iter()
        .find(|r| {
            r["props"]
                .as_array()
                .expect("props")
                .iter()
                .any(|p| p["name"] == "subject" && p["value"] == "rto")
        })
        .expect("a risk");
    assert_eq!(risk["deadline"], "2023-12-24T23:59:59Z");
    let facets = risk["characterizations"][0]["facets"].as_array().expect("facets");
    assert!(facets.iter().any(|f| f["name"] == "margin-ms" && f["value"] == "-1000"), "{facets:?}");
    let finding = result["findings"]
        .as_array()
        .expect("findings")
        .iter()
        .find(|f| f["target"]["target-id"] == "redrill-rto")
        .expect("a finding");
    assert_eq!(finding["related-risks"][0]["risk-uuid"], risk["uuid"]);
    let plan = json(&action_plan(&record, &Files::new()).expect("there are findings"));
    let items = plan["plan-of-action-and-milestones"]["poam-items"].as_array().expect("items");
    assert_eq!(items.len(), record.findings.len());
}

#[test]
fn controls_have_the_ids_of_their_catalog_or_are_only_named() {
    let (_, record) = made_up().into_iter().find(|(name, _)| *name == "full").expect("there");
    let result = results_of(&record);
    let ids = &result["reviewed-controls"]["control-selections"][0]["include-controls"];
    let ids: Vec<&str> =
        ids.as_array().expect("ids").iter().filter_map(|c| c["control-id"].as_str()).collect();
    assert_eq!(ids, ["cp-10", "cp-4", "cp-4.1"]);
    let named =
        result["props"].as_array().expect("props").iter().find(|p| p["name"] == "control").expect("named");
    assert_eq!((&named["value"], &named["class"]), (&Value::from("A1.3"), &Value::from("soc2")));
    let targets: Vec<&str> = result["findings"]
        .as_array()
        .expect("findings")
        .iter()
        .filter_map(|f| f["target"]["target-id"].as_str())
        .collect();
    assert!(targets.contains(&"cp-4_smt") && targets.contains(&"cp-10_smt"), "{targets:?}");
    assert!(!targets.contains(&"cp-4.1_smt"), "not tested, so no finding: {targets:?}");
}

#[test]
fn calls_carry_the_id_that_cloudtrail_has() {
    let result = results_of(&record_of(&example(World::Aws)));
    let entries = result["assessment-log"]["entries"].as_array().expect("entries");
    let ids: Vec<&Value> = entries
        .iter()
        .flat_map(|e| e["props"].as_array().expect("props"))
        .filter(|p| p["name"] == "aws-request-id")
        .map(|p| &p["value"])
        .collect();
    assert_eq!(ids, ["r-2"]);
}

#[test]
fn a_plan_without_items_is_not_written() {
    let mut record = record_of(&example(World::Aws));
    record.findings.clear();
    assert_eq!(action_plan(&record, &Files::new()), None);
}
