//! `redrill reconcile` on runs that lie on disk, with trail files made from what they sent.

use std::io::Write as _;

use chrono::{DateTime, TimeDelta, Timelike as _, Utc};
use serde_json::{Value, json};

use super::{Place, fixture, text_of};

#[path = "../../../src/evidence/trail/forge.rs"]
mod forge;

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
    // nobody vouches for these files: unclear
    let ran = place.run(&["reconcile", &run, "--from", "trail"]).exits(15);
    assert!(ran.stdout.contains("journal and trail agree"), "{}", ran.stdout);
    assert!(ran.stdout.contains("unclear: no digest file of CloudTrail vouches"), "{}", ran.stdout);
    assert!(ran.stdout.contains("did not touch AWS itself"), "{}", ran.stdout);
    let written: Value =
        serde_json::from_str(&place.read(&format!(".redrill/runs/{run}/reconciliation.json"))).expect("JSON");
    assert_eq!((&written["holds"], &written["counts"]["matched"]), (&true.into(), &records.len().into()));
    let json =
        place.run(&["reconcile", &run, "--from", "trail/2026/a.json", "--output", "json"]).exits(15).json();
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
    let _ = place.run(&["reconcile", &run, "--from", "trail"]).exits(15);
    let name = format!(".redrill/runs/{run}/reconciliation.json");
    place.write(&name, place.read(&name).replace(&run, "20260101T000000Z-other-aaaaaa"));
    let report = report(&place, &run);
    assert_eq!(report["integrity"]["reconciliation"], Value::Null);
}

fn gz(text: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packed.write_all(text).expect("packed");
    packed.finish().expect("packed")
}

/// A trail as CloudTrail leaves it, of the run's hour and those around it, signed by a key of the test's own;
/// `keys.json` is what ListPublicKeys would give.
fn delivered(place: &Place, signer: &forge::Signer, records: &[Value]) {
    let log = json!({ "Records": records }).to_string();
    let name = "123456789012_CloudTrail_us-east-1_20260921T1420Z_abcdefgh.json.gz";
    let first = records[0]["eventTime"].as_str().expect("a time");
    let first = DateTime::parse_from_rfc3339(first).expect("a time").to_utc();
    let hour: DateTime<Utc> = first.with_minute(0).and_then(|t| t.with_second(0)).expect("a time");
    let hour = hour.with_nanosecond(0).expect("a time") - TimeDelta::hours(1);
    let chain = signer.chain(hour, &[&[], &[(name, log.as_bytes())], &[], &[]]);
    for digest in &chain {
        place.write(&format!("trail/{}", digest.name), gz(digest.plain.as_bytes()));
    }
    let last = chain.last().expect("a digest");
    place.write("trail/newest.json", last.head().to_string());
    place.write(&format!("trail/2026/{name}"), gz(log.as_bytes()));
    place.write("keys.json", signer.keys().to_string());
}

/// What `VERIFY.md` says about the trail, done.
fn by_the_page(place: &Place, keys: &str) -> Result<String, String> {
    let page = place.read("bundle/VERIFY.md");
    let section = page.split("## The trail").nth(1).expect("the section");
    let script = section.split("```sh\n").nth(2).and_then(|s| s.split("```").next()).expect("the commands");
    let check = tempfile::tempdir().expect("a folder");
    let out = std::process::Command::new("sh")
        .args(["-e", "-c", script])
        .env("CHECK", check.path())
        .env("KEYS", place.path().join(keys))
        .current_dir(place.path().join("bundle"))
        .output()
        .expect("sh starts");
    let (stdout, stderr) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    if out.status.success() { Ok(stdout.into_owned()) } else { Err(stderr.into_owned()) }
}

#[test]
fn a_trail_under_signed_digests_goes_into_the_bundle_and_is_checked_there_by_the_readers_keys() {
    let (place, run, records) = a_run();
    let region = records[0]["awsRegion"].as_str().expect("a region");
    let signer = forge::Signer::new("123456789012", region);
    delivered(&place, &signer, &records);
    // a key that nobody vouches for is not taken from anywhere
    let none = place.run(&["reconcile", &run, "--from", "trail"]).exits(15);
    assert!(none.stdout.contains("which is not at hand"), "{}", none.stdout);
    assert!(!place.path().join(format!(".redrill/runs/{run}/cloudtrail-public-keys.json")).exists());
    let args = ["reconcile", &run, "--from", "trail", "--cloudtrail-keys", "keys.json"];
    let ran = place.run(&args).exits(0);
    for says in
        ["journal and trail agree", "covered from", "they hold other people's calls", "a claim of this"]
    {
        assert!(ran.stdout.contains(says), "{says}: {}", ran.stdout);
    }
    let _ = place.run(&["init"]).exits(0);
    let _ = place.run(&["report", &run, "--out", "bundle"]).exits(0);
    let mine = place.run(&["verify", "bundle", "--cloudtrail-keys", "keys.json"]).exits(0);
    assert!(
        mine.stdout.contains("by the keys that you gave, vouch for the record of all"),
        "{}",
        mine.stdout
    );
    let theirs = place.run(&["verify", "bundle"]).exits(0);
    assert!(theirs.stdout.contains("- that the trail is AWS's"), "{}", theirs.stdout);
    // what AWS's own keys would say of a forged trail
    let mut others = forge::Signer::new("AWS", region).keys();
    others["PublicKeyList"][0]["Fingerprint"] = signer.keys()["PublicKeyList"][0]["Fingerprint"].clone();
    place.write("aws.json", others.to_string());
    let forged = place.run(&["verify", "bundle", "--cloudtrail-keys", "aws.json"]).exits(1);
    assert!(forged.stdout.contains("BROKEN  the trail does not prove the run"), "{}", forged.stdout);
    place.write("bad.json", "{}");
    let bad = place.run(&["verify", "bundle", "--cloudtrail-keys", "bad.json"]).exits(2);
    assert!(bad.stderr.contains("list-public-keys"), "{}", bad.stderr);

    // the same without redrill
    let n = records.len();
    let told = by_the_page(&place, "keys.json").expect("it holds");
    assert_eq!(told, format!("{n} of {n} calls are in log files that 1 signed digests name\n"));
    assert!(by_the_page(&place, "aws.json").is_err_and(|e| e.contains("AssertionError: cloudtrail-")));

    // a later comparison without digests takes the proof away again
    let _ = place.run(&["reconcile", &run, "--from", "trail/2026"]).exits(15);
    let left: Vec<_> = std::fs::read_dir(place.path().join(format!(".redrill/runs/{run}")))
        .expect("a folder")
        .filter_map(|e| e.expect("an entry").file_name().into_string().ok())
        .filter(|n| n.starts_with("cloudtrail-"))
        .collect();
    assert_eq!(left, Vec::<String>::new());
}
