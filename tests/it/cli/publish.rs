//! Publishing, as far as it goes without a bucket: what is refused before, and what a receipt says after.

use std::fs;
use std::path::Path;

use redrill::bundle::Files;
use redrill::evidence::dsse::{Envelope, pae};
use redrill::evidence::keys::PrivateKey;
use redrill::evidence::receipt::{COMPLIANCE, Object, Publication, Retention, UNLOCKED};
use redrill::evidence::statement::digest;
use redrill::model::World;

use super::Place;
use super::runs::a_place_with_runs;

fn read(folder: &Path) -> Files {
    let entries = fs::read_dir(folder).expect("a folder").map(|e| e.expect("an entry"));
    let file =
        |e: fs::DirEntry| (e.file_name().to_string_lossy().into_owned(), fs::read(e.path()).expect("a file"));
    entries.map(file).collect()
}

#[test]
fn nothing_is_published_without_a_place_and_a_date_that_is_to_come() {
    let (place, ids) = a_place_with_runs();
    let refused = |args: &[&str], code: i32, why: &str| {
        let ran = place.run(&[&["publish", &ids[1], "--yes"], args].concat()).exits(code);
        assert!(ran.stderr.contains(why), "{}", ran.stderr);
    };
    refused(&["--to", "bucket/dr"], 2, "`bucket/dr` names no place in S3");
    refused(&["--to", "s3://bucket"], 2, "give --retain 7y or --retain-until 2033-12-31, or set `retain`");
    refused(&["--to", "s3://bucket", "--retain", "7"], 2, "`7` is no time to retain something");
    refused(&["--to", "s3://bucket", "--retain-until", "2020-01-01"], 2, "which is over");
    refused(&["--to", "s3://bucket", "--retain", "700y"], 2, "that is more than 100 years");
    refused(&["--to", "s3://bucket", "--retain", "7y", "--without-lock"], 2, "cannot be used with");
    place.write("redrill.toml", "[evidence]\nretain = \"7w\"\n");
    refused(&["--to", "s3://bucket"], 2, "`7w` is no time to retain something");
    assert!(!place.state().join("keys").exists(), "not even a key was made");
}

/// A receipt as `publish` would have left it, signed by this state folder's own key.
fn receipt(place: &Place, run: &str, files: &Files, change: fn(&mut Publication)) -> Vec<u8> {
    let envelope = Envelope::from_bytes(&files["attestation.dsse.json"]).expect("an envelope");
    let lock = || {
        Some(Retention {
            mode: COMPLIANCE.to_owned(),
            until: "2033-01-01T00:00:00Z".parse().expect("a time"),
        })
    };
    let object = |(name, bytes): (&String, &Vec<u8>)| Object {
        name: name.clone(),
        key: format!("dr/{run}/{name}"),
        version: Some("v1".to_owned()),
        sha256: digest(bytes),
        size: bytes.len() as u64,
        lock: lock(),
    };
    let mut made = Publication {
        run: run.to_owned(),
        statement_sha256: digest(&envelope.payload()),
        redrill: "0".to_owned(),
        world: World::Sim,
        bucket: "evidence".to_owned(),
        prefix: format!("dr/{run}/"),
        region: "eu-west-1".to_owned(),
        account: "123456789012".to_owned(),
        by: "arn:aws:iam::123456789012:role/drills".to_owned(),
        operator: "tester@host".to_owned(),
        at: "2026-01-01T00:00:00Z".parse().expect("a time"),
        lock: lock(),
        warning: None,
        objects: files.iter().map(object).collect(),
    };
    change(&mut made);
    let pem = place.read(".redrill/keys/signing.pem");
    let key = PrivateKey::from_pem(&pem, None).expect("the own key");
    let payload = made.to_bytes();
    Envelope::new(&payload, &key.public(), &key.sign(&pae(&payload)).expect("signed")).to_bytes()
}

#[test]
fn a_receipt_is_checked_against_its_bundle_offline() {
    let (place, ids) = a_place_with_runs();
    let _made = place.run(&["report", &ids[1], "--out", "bundle"]).exits(0);
    let _other = place.run(&["report", &ids[0], "--out", "other"]).exits(0);
    let files = read(&place.path().join("bundle"));
    let verify = |bundle: &str, bytes: Vec<u8>| {
        place.write("receipt.json", bytes);
        place.run(&["verify", bundle, "--receipt", "receipt.json"])
    };
    let good = receipt(&place, &ids[1], &files, |_| {});
    let ran = verify("bundle", good.clone()).exits(0);
    let place_of = format!(
        "s3://evidence/dr/{}/ in eu-west-1, account 123456789012, locked in COMPLIANCE mode until 2033-01-01",
        ids[1]
    );
    assert!(ran.stdout.contains(&place_of), "{}", ran.stdout);
    assert!(ran.stdout.contains("--version-id v1 --checksum-mode ENABLED"), "{}", ran.stdout);
    // every byte of it counts
    for at in (0..good.len()).step_by(97) {
        let mut changed = good.clone();
        changed[at] ^= 1;
        let _refused = verify("bundle", changed).exits(1);
    }
    let refused = |bundle: &str, change: fn(&mut Publication), why: &str| {
        let ran = verify(bundle, receipt(&place, &ids[1], &files, change)).exits(1);
        assert!(ran.stdout.contains(why) && ran.stdout.contains("Do not rely"), "{}", ran.stdout);
    };
    refused("other", |_| {}, "BROKEN  the receipt: it is about another bundle");
    refused("bundle", |r| drop(r.objects.pop()), "was not published");
    refused("bundle", |r| r.objects[3].sha256 = digest(b"x"), "is not the file that was published");
    refused("bundle", |r| r.objects[3].lock = None, "is not locked until");
    let open: fn(&mut Publication) = |r| {
        (r.lock, r.warning) = (None, Some(UNLOCKED.to_owned()));
        r.objects.iter_mut().for_each(|o| o.lock = None);
    };
    let ran = verify("bundle", receipt(&place, &ids[1], &files, open)).exits(0);
    assert!(ran.stdout.contains("without a lock") && ran.stdout.contains(UNLOCKED), "{}", ran.stdout);
    let ran = place.run(&["verify", "receipt.json"]).exits(2);
    assert!(ran.stderr.contains("redrill verify DIR --receipt receipt.json"), "{}", ran.stderr);
}

#[test]
fn a_receipt_shows_in_reports_and_never_in_the_bundle_that_it_is_of() {
    let (place, ids) = a_place_with_runs();
    let run = ids[1].as_str();
    let _made = place.run(&["report", run, "--out", "bundle"]).exits(0);
    let files = read(&place.path().join("bundle"));
    let published = || {
        let ran = place.run(&["report", run, "--format", "json"]).exits(0);
        serde_json::from_str::<serde_json::Value>(&ran.stdout).expect("a report")
    };
    assert!(published()["integrity"]["publication"].is_null());
    let folder = place.state().join("runs").join(run);
    let keep = |change: fn(&mut Publication)| {
        fs::write(folder.join("receipt-1.dsse.json"), receipt(&place, run, &files, change)).expect("written");
        fs::write(folder.join("receipt-1.pub"), &files["signing.pub"]).expect("written");
    };
    keep(|_| {});
    let report = published();
    assert_eq!(report["integrity"]["publication"]["place"], format!("s3://evidence/dr/{run}/"));
    assert!(!report["gaps"].to_string().contains("Object Lock"), "{}", report["gaps"]);
    let _again = place.run(&["report", run, "--out", "again"]).exits(0);
    assert_eq!(read(&place.path().join("again")), files, "byte for byte");
    // what is not locked, or lies in another world, is no copy under Object Lock
    keep(|r| r.world = World::Emulator);
    assert!(published()["integrity"]["publication"].is_null());
    // one that cannot be trusted is never passed over
    keep(|r| r.objects.clear());
    let ran = place.run(&["report", run]).exits(2);
    assert!(ran.stderr.contains("a receipt of run"), "{}", ran.stderr);
}
