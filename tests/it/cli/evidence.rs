//! The evidence bundle through the real binary: made, checked, made again; and tampered with in every
//! way that one can think of.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use redrill::bundle::{self, Files, verify::Trust, verify::verify};
use redrill::evidence::checkpoint::Checkpoint;
use redrill::evidence::dsse::{Envelope, pae};
use redrill::evidence::keys::{Algorithm, PrivateKey};
use redrill::evidence::merkle;
use redrill::evidence::statement::{Statement, digest};
use serde_json::{Value, json};

use super::authority::{Authority, Kind};
use super::runs::a_place_with_runs;
use super::{Place, fixture, text_of};

/// Checkpoints as a running process leaves them: one early, one at the end.
fn checkpointed(place: &Place, run: &str) {
    let folder = place.state().join("runs").join(run);
    let journal = fs::read(folder.join("journal.jsonl")).expect("a journal");
    let leaves = merkle::leaves(&journal);
    let key = PrivateKey::generate(Algorithm::Ed25519).expect("a key");
    let mut notes = String::new();
    for (size, stage) in [(2, "start"), (leaves.len() / 2, "recovery"), (leaves.len(), "end")] {
        let at = "2026-01-01T00:00:00.000Z";
        notes += &Checkpoint::of(run, &leaves[..size], stage, at).sign(&key).expect("signed");
    }
    fs::write(folder.join("checkpoints.txt"), notes).expect("written");
    fs::write(folder.join("checkpoint.pub"), key.public().to_pem()).expect("written");
}

#[test]
fn a_last_line_that_was_changed_is_not_reported_and_is_said_of_what_is_shown() {
    let (place, ids) = a_place_with_runs();
    let (run, journal) = (&ids[1], place.state().join("runs").join(&ids[1]).join("journal.jsonl"));
    checkpointed(&place, run);
    let _reported = place.run(&["report", run]).exits(0);
    assert_eq!(place.run(&["show", run]).exits(0).stderr, "");
    let text = fs::read_to_string(&journal).expect("a journal");
    let changed = text.replace("\"verdict\":\"objective-missed\"", "\"verdict\":\"passed\"");
    assert_ne!(changed, text);
    fs::write(&journal, &changed).expect("written");
    let want = format!("the journal of run {run} is not the one that its checkpoints signed");
    let _made = place.run(&["init", "--key", "reviewer.pem"]).exits(0);
    for args in [
        vec!["report", run],
        vec!["report", run, "--format", "text"],
        vec!["report", run, "--export", "junit"],
        vec!["report", run, "--form", "summary"],
        vec!["report", run, "--out", "bundle"],
        vec!["sign-off", run, "--by", "the owner", "--key", "reviewer.pem"],
    ] {
        let ran = place.run(&args).exits(2);
        assert!(ran.stderr.contains(&want) && ran.stdout.is_empty(), "{args:?}: {}", ran.stderr);
        assert!(ran.stderr.contains("take the newest copy of the run's folder"), "{args:?}: {}", ran.stderr);
    }
    for output in ["text", "json"] {
        let shown = place.run(&["show", run, "--output", output]).exits(0);
        assert!(shown.stderr.contains(&want) && !shown.stdout.is_empty(), "{output}: {}", shown.stderr);
    }
    // where nothing was signed, nothing is known of it
    fs::remove_file(journal.with_file_name("checkpoints.txt")).expect("removed");
    assert_eq!(place.run(&["show", run]).exits(0).stderr, "");
}

pub(super) fn read(folder: &Path) -> Files {
    let entries = fs::read_dir(folder).expect("a folder");
    entries
        .map(|e| {
            let e = e.expect("an entry");
            (e.file_name().to_string_lossy().into_owned(), fs::read(e.path()).expect("a file"))
        })
        .collect()
}

/// Two runs with checkpoints and sign-offs, and the bundle of the second.
fn a_bundle() -> (Place, Vec<String>, Files) {
    let (place, ids) = a_place_with_runs();
    for run in &ids {
        checkpointed(&place, run);
    }
    let _made = place.run(&["init", "--key", "reviewer.pem"]).exits(0);
    let args = ["sign-off", &ids[1], "--by", "the service owner", "--key", "reviewer.pem", "--note", "seen"];
    let _signed = place.run(&args).exits(0);
    let _bundle = place.run(&["report", &ids[1], "--out", "bundle"]).exits(0);
    let files = read(&place.path().join("bundle"));
    (place, ids, files)
}

#[test]
fn a_bundle_verifies_and_is_the_same_each_time() {
    let (place, ids, files) = a_bundle();
    let ran = place.run(&["verify", "bundle"]).exits(0);
    for part in [
        "are an unbroken chain that begins with this plan",
        "3 checkpoints, signed by key SHA256:",
        "the signed result is FAILED (objective-missed), as the journal says",
        "accepted by the service owner, key SHA256:",
        "Proven: nothing in this bundle was changed since it was signed.",
        "comes with the bundle. Get the fingerprint from the signer, not from here",
        "this ran on sim and is evidence for no control",
    ] {
        assert!(ran.stdout.contains(part), "{part}:\n{}", ran.stdout);
    }
    for name in ["journal.jsonl", "plan.json", "drill.yaml", "report.json", "report.schema.json", "VERIFY.md"]
    {
        assert!(files.contains_key(name), "{name}");
    }
    assert_eq!(files.contains_key("report.pdf"), cfg!(feature = "pdf"));
    // again, elsewhere, without the private key
    fs::rename(place.state().join("keys"), place.path().join("away")).expect("moved");
    let _again = place.run(&["report", &ids[1], "--out", "again"]).exits(0);
    assert_eq!(read(&place.path().join("again")), files, "byte for byte");
    let mode = |p: &str| fs::metadata(place.path().join(p)).expect("there").permissions().mode() & 0o777;
    assert_eq!((mode("again"), mode("again/report.json"), mode("away/signing.pem")), (0o700, 0o600, 0o600));
}

#[test]
fn with_a_key_from_elsewhere_it_also_says_who_signed() {
    let (place, _, _) = a_bundle();
    let key = "bundle/signing.pub";
    let ran = place.run(&["verify", "bundle", "--key", key, "--output", "json"]).exits(0).json().remove(0);
    assert_eq!(ran["ok"], true);
    assert!(!ran["unproven"].to_string().contains("who signed"), "{ran}");
    let _other = place.run(&["init", "--key", "other.pem", "--output", "json"]).exits(0);
    let ran = place.run(&["verify", "bundle", "--fingerprint", "SHA256:nobody"]).exits(1);
    assert!(ran.stdout.contains("not by SHA256:nobody"), "{}", ran.stdout);
    assert!(ran.stdout.contains("Do not rely on this bundle."), "{}", ran.stdout);
}

#[test]
fn a_changed_bundle_is_refused_whatever_is_changed() {
    let (place, ids, files) = a_bundle();
    let _other = place.run(&["report", &ids[0], "--out", "other"]).exits(0);
    let tried = tampered_with(&files, &read(&place.path().join("other")));
    count(tried, "a bundle");
}

#[test]
fn a_changed_bundle_with_a_timestamp_is_refused_too() {
    let (place, ids, files) = a_bundle();
    let authority = Authority::new(Kind::P256);
    for (run, out) in [(&ids[1], "stamped"), (&ids[0], "other")] {
        let _bundle = place.run(&["report", run, "--out", out, "--timestamp", &authority.url]).exits(0);
    }
    let stamped = read(&place.path().join("stamped"));
    assert_eq!(stamped.len(), files.len() + 2);
    let tried = tampered_with(&stamped, &read(&place.path().join("other")));
    count(tried, "a bundle with a timestamp");
}

fn count(tried: usize, what: &str) {
    // past the test runner's capture, so that the count is seen
    writeln!(std::io::stderr(), "COUNT: {tried} ways of tampering with {what}, all refused").expect("said");
    assert!(tried > 3000, "{tried}");
}

/// Changes a bundle in every way, also with files of another; each has to be refused. How many there are.
fn tampered_with(files: &Files, other: &Files) -> usize {
    assert!(verify(files, &Trust::default()).all_hold());
    assert_eq!(files.contains_key("report.pdf"), cfg!(feature = "pdf"), "the PDF is tampered with, too");
    let mut tried = 0;
    let mut refused = |what: &str, changed: &Files| {
        assert!(changed != files, "{what} changes nothing");
        assert!(!verify(changed, &Trust::default()).all_hold(), "{what} goes unnoticed");
        tried += 1;
    };
    let with = |name: &str, bytes: Vec<u8>| {
        let mut changed = files.clone();
        changed.insert(name.to_owned(), bytes);
        changed
    };
    for (name, bytes) in files {
        let last = bytes.len() - 1;
        // small files at every byte, large ones at 64 places and both ends
        let step = (bytes.len() / 64).max(1);
        let small = bytes.len() <= 1200;
        for at in (0..bytes.len()).filter(|at| small || at % step == 0 || *at == last) {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << (at % 7);
            refused(&format!("{name}: byte {at} flipped"), &with(name, changed));
        }
        for cut in [0, 1, last] {
            refused(&format!("{name}: cut to {cut}"), &with(name, bytes[..cut].to_vec()));
        }
        for extra in [&b"\n"[..], b" ", b"x", b"{}\n"] {
            refused(&format!("{name}: appended"), &with(name, [bytes, extra].concat()));
        }
        refused(&format!("{name}: twice"), &with(name, [&bytes[..], bytes].concat()));
        let mut without = files.clone();
        without.remove(name);
        refused(&format!("{name}: deleted"), &without);
        if let Some(theirs) = other.get(name).filter(|theirs| *theirs != bytes) {
            refused(&format!("{name}: another run's"), &with(name, theirs.clone()));
        }
        let lines: Vec<&[u8]> = bytes.split_inclusive(|b| *b == b'\n').collect();
        for at in (1..lines.len()).filter(|at| lines[at - 1] != lines[*at]) {
            let mut swapped = lines.clone();
            swapped.swap(at - 1, at);
            // a final line without its newline is joined to the next, which is a change, too
            if small || name == "journal.jsonl" || at % 50 == 1 {
                refused(&format!("{name}: lines {at} and {} swapped", at + 1), &with(name, swapped.concat()));
            }
        }
    }
    refused("a file more", &with("notes.txt", b"x".to_vec()));
    refused("an empty file more", &with("empty", Vec::new()));
    let pairs = [
        ["signing.pub", "attestation.dsse.json"],
        ["checkpoint.pub", "checkpoints.txt"],
        ["timestamp.tsr", "seal.dsse.json"],
        ["timestamp.tsr", "attestation.sigstore.json"],
    ];
    for pair in pairs.iter().filter(|pair| pair.iter().all(|name| files.contains_key(*name))) {
        let mut changed = files.clone();
        for name in *pair {
            changed.extend(other.get(name).map(|b| (name.to_owned(), b.clone())));
        }
        refused("a pair of another run", &changed);
    }
    tried
}

/// Signs changed files anew, with a key of one's own.
fn signed_anew(mut files: Files, change: impl FnOnce(&mut Statement)) -> Files {
    let key = PrivateKey::generate(Algorithm::P256).expect("a key");
    let old = Envelope::from_bytes(&files[bundle::ENVELOPE]).expect("an envelope");
    let mut statement: Statement = serde_json::from_slice(&old.payload()).expect("a statement");
    files.insert(bundle::KEY.to_owned(), key.public().to_pem().into_bytes());
    for subject in &mut statement.subject {
        subject.digest = BTreeMap::from([("sha256".to_owned(), digest(&files[&subject.name]))]);
    }
    change(&mut statement);
    let payload = statement.to_bytes();
    let envelope = Envelope::new(&payload, &key.public(), &key.sign(&pae(&payload)).expect("signed"));
    files.insert(bundle::SIGSTORE.to_owned(), envelope.sigstore(&[]));
    files.insert(bundle::ENVELOPE.to_owned(), envelope.to_bytes());
    files
}

#[test]
fn not_even_a_valid_signature_covers_a_report_that_the_journal_does_not_bear_out() {
    let (_place, _, files) = a_bundle();
    let broken = |files: &Files| verify(files, &Trust::default()).broken.join("; ");
    // another signer, the same content, and only the page that names the signer differs
    let other = broken(&signed_anew(files.clone(), |_| ()));
    assert_eq!(other, "VERIFY.md is not what journal and plan give");
    let mut report: Value = serde_json::from_slice(&files["report.json"]).expect("JSON");
    report["result"]["verdict"] = json!("passed");
    let mut changed = files.clone();
    changed.insert("report.json".to_owned(), report.to_string().into_bytes());
    assert!(broken(&signed_anew(changed, |_| ())).contains("report.json is not what journal and plan give"));
    let passed = signed_anew(files.clone(), |s| s.predicate["result"] = json!("PASSED"));
    assert!(broken(&passed).contains("the signed result is not what the journal says"));
    let mut cut = files.clone();
    let journal = cut["journal.jsonl"].clone();
    let end = journal[..journal.len() - 1].iter().rposition(|b| *b == b'\n').expect("lines");
    cut.insert("journal.jsonl".to_owned(), journal[..=end].to_vec());
    assert!(!broken(&signed_anew(cut, |_| ())).is_empty(), "a journal without its end");
}

#[test]
fn the_folder_of_a_run_is_no_bundle_and_says_how_one_is_made() {
    let (place, ids) = a_place_with_runs();
    let ran = place.run(&["verify", &format!(".redrill/runs/{}", ids[0])]).exits(2);
    assert!(ran.stderr.contains("is the folder of a run, and no bundle"), "{}", ran.stderr);
    assert!(ran.stderr.contains(&format!("redrill report {} --out DIR", ids[0])), "{}", ran.stderr);
}

#[test]
fn the_bundle_of_another_run_is_not_written_over() {
    let (place, ids, files) = a_bundle();
    let ran = place.run(&["report", &ids[0], "--out", "bundle"]).exits(2);
    let says = format!("redrill: bundle holds the bundle of run {}, and this is run {}\n", ids[1], ids[0]);
    assert!(ran.stderr.starts_with(&says), "{}", ran.stderr);
    assert!(ran.stderr.contains("name another folder with --out"), "{}", ran.stderr);
    assert!(read(&place.path().join("bundle")) == files, "nothing was written");
    // its own is written again, also where the writing broke off after the first file
    for name in files.keys().filter(|name| *name != "attestation.dsse.json") {
        fs::remove_file(place.path().join("bundle").join(name)).expect("removed");
    }
    let _refused = place.run(&["report", &ids[0], "--out", "bundle"]).exits(2);
    let _again = place.run(&["report", &ids[1], "--out", "bundle"]).exits(0);
    assert!(read(&place.path().join("bundle")) == files);
}

#[test]
fn a_bundle_needs_a_finished_run_its_plan_and_a_folder_of_its_own() {
    let (place, ids) = a_place_with_runs();
    let run = &ids[1];
    fs::create_dir(place.path().join("full")).expect("made");
    place.write("full/notes.txt", "mine");
    let ran = place.run(&["report", run, "--out", "full"]).exits(2);
    assert!(ran.stderr.contains("full holds notes.txt, which is no part of the bundle"), "{}", ran.stderr);
    // a report of somebody else's is not written over, though a bundle has a file of that name
    fs::create_dir(place.path().join("theirs")).expect("made");
    place.write("theirs/report.md", "theirs");
    let ran = place.run(&["report", run, "--out", "theirs"]).exits(2);
    assert!(ran.stderr.contains("theirs holds report.md, which is no part of the bundle"), "{}", ran.stderr);
    assert_eq!(fs::read(place.path().join("theirs/report.md")).expect("there"), b"theirs");
    let folder = place.state().join("runs").join(run);
    fs::rename(folder.join("plan.json"), folder.join("gone")).expect("moved");
    let ran = place.run(&["report", run, "--out", "b"]).exits(2);
    assert!(ran.stderr.contains("has no plan.json; there is no bundle without it"), "{}", ran.stderr);
    fs::rename(folder.join("gone"), folder.join("plan.json")).expect("moved");
    let journal = fs::read(folder.join("journal.jsonl")).expect("a journal");
    fs::write(folder.join("journal.jsonl"), &journal[..journal.len() / 2]).expect("cut");
    let ran = place.run(&["report", run, "--out", "b"]).exits(2);
    assert!(ran.stderr.contains("is not finished; a bundle is made of finished runs"), "{}", ran.stderr);
    assert!(!place.path().join("b").exists());
}

#[test]
fn keys_are_for_their_owner_only_and_never_overwritten() {
    let place = Place::new();
    let made = place.run(&["init", "--output", "json"]).exits(0).json().remove(0);
    assert!(made["fingerprint"].as_str().is_some_and(|f| f.starts_with("SHA256:")), "{made}");
    let ran = place.run(&["init"]).exits(2);
    assert!(ran.stderr.contains("a key is never overwritten"), "{}", ran.stderr);
    let _run = place.run_of(&text_of(&fixture("missed")), 2);
    let key = place.state().join("keys/signing.pem");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).expect("set");
    let ran = place.run(&["report", "last", "--out", "b"]).exits(2);
    assert!(ran.stderr.contains("others can read the key"), "{}", ran.stderr);
}

#[test]
fn a_sign_off_needs_another_key_and_a_finished_run() {
    let (place, ids) = a_place_with_runs();
    let _made = place.run(&["init"]).exits(0);
    let ran = place.run(&["sign-off", &ids[0], "--by", "me", "--key", ".redrill/keys/signing.pem"]).exits(3);
    assert!(ran.stderr.contains("that is the key of whoever runs the drills here"), "{}", ran.stderr);
    let ran = place.run(&["sign-off", &ids[0], "--by", "me", "--key", "none.pem"]).exits(2);
    assert!(ran.stderr.contains("make one: redrill init --key none.pem"), "{}", ran.stderr);
    let _made = place.run(&["init", "--key", "mine.pem", "--key-type", "p256"]).exits(0);
    let args = ["sign-off", &ids[0], "--by", "the service owner", "--key", "mine.pem", "--reject"];
    let ran = place.run(&args).exits(0);
    assert!(ran.stdout.starts_with("rejected by the service owner, key SHA256:"), "{}", ran.stdout);
    let report = place.run(&["report", &ids[0], "--format", "json"]).exits(0).stdout;
    let report: Value = serde_json::from_str(&report).expect("JSON");
    assert_eq!(report["review"]["sign_offs"][0]["decision"], "rejected");
    assert_eq!(report["review"]["independent"], false, "a rejection is no acceptance");
}

/// Bundles of both kinds of keys, without and with timestamps; kept in the folder that
/// `REDRILL_TEST_BUNDLES` names, where other people's tools check them (`tests/evidence`). Beside those
/// with a timestamp, the certificates of its authority.
#[test]
fn bundles_for_other_peoples_tools() {
    let keep = std::env::var_os("REDRILL_TEST_BUNDLES").map(std::path::PathBuf::from);
    let bundles = [
        ("ed25519", "ed25519", "missed", None),
        ("p256", "p256", "stop", None),
        ("ed25519-timestamp", "ed25519", "missed", Some(Kind::P256)),
        ("p256-timestamp", "p256", "stop", Some(Kind::P256)),
        ("rsa-timestamp", "ed25519", "missed", Some(Kind::Rsa)),
    ];
    for (name, key, drill, authority) in bundles {
        let place = Place::new();
        let _made = place.run(&["init", "--key-type", key]).exits(0);
        let run = place.run_of(&text_of(&fixture(drill)), 7).id().to_string();
        checkpointed(&place, &run);
        let authority = authority.map(Authority::new);
        let mut args = vec!["report", &run, "--out", name];
        args.extend(authority.iter().flat_map(|a| ["--timestamp", &a.url]));
        let _bundle = place.run(&args).exits(0);
        let _holds = place.run(&["verify", name]).exits(0);
        if let Some(keep) = &keep {
            let to = keep.join(name);
            fs::create_dir_all(&to).expect("made");
            for (file, bytes) in read(&place.path().join(name)) {
                fs::write(to.join(file), bytes).expect("kept");
            }
            if let Some(a) = &authority {
                fs::copy(a.root(), keep.join(format!("{name}.root.pem"))).expect("kept");
                fs::copy(a.certificate(), keep.join(format!("{name}.tsa.pem"))).expect("kept");
            }
        }
    }
}

#[test]
fn the_way_to_aws_is_in_the_journal_of_every_process() {
    use redrill::journal::Event;
    use redrill::model::EndpointProof;
    let place = Place::new();
    let proof = EndpointProof { proxy: Some("http://127.0.0.1:3128".to_owned()), ..EndpointProof::public() };
    let loaded = super::load(&text_of(&fixture("reboot")));
    let run = place.run_in(&loaded, 1, |cloud| cloud.endpoint = Some(proof.clone()));
    let read =
        redrill::journal::reader::read(&std::fs::read(run.journal()).expect("a journal")).expect("whole");
    let told = |l: &redrill::journal::Line| matches!(&l.event, Event::Endpoint { proof: p } if *p == proof);
    assert!(
        matches!(read.lines[1].event, Event::Attached { .. }) && told(&read.lines[2]),
        "{:?}",
        read.lines[2]
    );
    // off AWS there is none
    let other = place.run_in(&loaded, 2, |_| {});
    assert!(!place.read(&format!(".redrill/runs/{}/journal.jsonl", other.id())).contains("\"endpoint\""));
}
