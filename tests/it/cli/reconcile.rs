//! `redrill reconcile` on runs that lie on disk, with trail files made from what they sent.

use serde_json::{Value, json};

use super::{Place, fixture, text_of};

/// What a trail would hold of the calls in a run's journal.
fn records_of(place: &Place, run: &str) -> Vec<Value> {
    let lines: Vec<Value> = place
        .read(&format!(".redrill/runs/{run}/journal.jsonl"))
        .lines()
        .map(|l| serde_json::from_str(l).expect("JSON"))
        .collect();
    let event = |l: &Value| l.get("event").cloned().unwrap_or_else(|| l.clone());
    let events: Vec<Value> = lines.iter().map(event).collect();
    let header = &events[0];
    let answer = |call: &Value| {
        events
            .iter()
            .find(|e| e["call"] == *call && e.get("operation").is_none())
            .cloned()
            .unwrap_or_default()
    };
    let sent = lines.iter().zip(&events).filter(|(_, e)| e.get("operation").is_some());
    sent.map(|(line, e)| {
        let operation = e["operation"].as_str().expect("an operation");
        let (service, name) = operation.split_once(':').expect("service:Action");
        json!({
            "eventID": format!("event-{}", e["call"]), "eventTime": line["at"],
            "eventSource": format!("{service}.amazonaws.com"), "eventName": name,
            "awsRegion": header["region"], "requestID": answer(&e["call"])["request_id"],
            "recipientAccountId": header["account"], "readOnly": false,
            "userIdentity": {"arn": header["caller"], "accessKeyId": "ASIAEXAMPLEKEY000001"},
            "userAgent": format!("aws-sdk-rust/1.3 app/redrill-{run}"),
        })
    })
    .collect()
}

fn a_run() -> (Place, String, Vec<Value>) {
    let place = Place::new();
    let run = place.run_of(&text_of(&fixture("reboot")), 1).id().to_string();
    let records = records_of(&place, &run);
    assert!(records.len() > 1 && records.iter().all(|r| r["requestID"].is_string()), "{records:?}");
    std::fs::create_dir_all(place.path().join("trail/2026")).expect("a folder");
    (place, run, records)
}

fn report(place: &Place, run: &str) -> Value {
    let printed = place.run(&["report", run, "--format", "json"]).exits(0).stdout;
    serde_json::from_str(&printed).expect("JSON")
}

fn put(place: &Place, name: &str, records: &[Value]) {
    place.write(&format!("trail/{name}"), json!({ "Records": records }).to_string());
}

#[test]
fn a_run_and_its_trail_agree_and_the_report_says_so() {
    let (place, run, records) = a_run();
    put(&place, "2026/a.json", &records);
    place.write("trail/notes.txt", "not a trail file");
    let ran = place.run(&["reconcile", &run, "--from", "trail"]).exits(0);
    assert!(ran.stdout.contains("journal and trail agree"), "{}", ran.stdout);
    assert!(ran.stdout.contains("did not touch AWS itself"), "{}", ran.stdout);
    let written: Value =
        serde_json::from_str(&place.read(&format!(".redrill/runs/{run}/reconciliation.json"))).expect("JSON");
    assert_eq!((&written["holds"], &written["counts"]["matched"]), (&true.into(), &records.len().into()));
    let json =
        place.run(&["reconcile", &run, "--from", "trail/2026/a.json", "--output", "json"]).exits(0).json();
    assert_eq!((&json[0]["counts"], json.len()), (&written["counts"], 1));
    let report = report(&place, &run);
    let integrity = &report["integrity"]["reconciliation"];
    assert_eq!((&integrity["holds"], &integrity["counts"]), (&true.into(), &written["counts"]));
    assert!(!report["gaps"].to_string().contains("a comparison with CloudTrail"), "{}", report["gaps"]);
}

#[test]
fn differences_either_way_exit_with_1() {
    let (place, run, mut records) = a_run();
    put(&place, "a.json", &records[1..]);
    let ran = place.run(&["reconcile", &run, "--from", "trail"]).exits(1);
    assert!(ran.stdout.contains("1 call without a record"), "{}", ran.stdout);
    let mut extra = records[0].clone();
    extra["eventID"] = "event-extra".into();
    extra["requestID"] = "nobody".into();
    extra["eventName"] = "Delete\u{1b}[2JEverything".into();
    records.push(extra);
    put(&place, "a.json", &records);
    let ran = place.run(&["reconcile", &run, "--from", "trail"]).exits(1);
    assert!(ran.stdout.contains("1 change without an entry in the journal"), "{}", ran.stdout);
    assert!(ran.stdout.contains("not in journal") && !ran.stdout.contains('\u{1b}'), "{:?}", ran.stdout);
    place.write("trail/b.json", "{");
    let ran = place.run(&["reconcile", &run, "--from", "trail", "--output", "json"]).exits(1);
    assert_eq!(ran.json()[0]["counts"]["unreadable_files"], 1);
}

#[test]
fn a_source_that_is_not_there_and_a_comparison_of_another_run_are_said() {
    let (place, run, records) = a_run();
    let ran = place.run(&["reconcile", &run, "--from", "nowhere"]).exits(2);
    assert!(ran.stderr.contains("`nowhere` cannot be read"), "{}", ran.stderr);
    let ran = place.run(&["reconcile", &run, "--from", "trail"]).exits(2);
    assert!(ran.stderr.contains("holds no trail file"), "{}", ran.stderr);
    let ran = place.run(&["reconcile", &run, "--from", "lookup"]).exits(2);
    assert!(ran.stderr.contains("did not touch AWS itself"), "{}", ran.stderr);
    let ran = place.run(&["reconcile", &run, "--from", "s3:///AWSLogs"]).exits(2);
    assert!(ran.stderr.contains("names no bucket"), "{}", ran.stderr);
    let _ = place.run(&["reconcile", "nothing-like-it", "--from", "trail"]).exits(2);
    // a comparison that belongs to another run is not taken into the report
    put(&place, "a.json", &records);
    let _ = place.run(&["reconcile", &run, "--from", "trail"]).exits(0);
    let name = format!(".redrill/runs/{run}/reconciliation.json");
    place.write(&name, place.read(&name).replace(&run, "20260101T000000Z-other-aaaaaa"));
    let report = report(&place, &run);
    assert_eq!(report["integrity"]["reconciliation"], Value::Null);
}
