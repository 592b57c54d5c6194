//! Bundles of a run of each verdict, reviewed and checked in under `tests/fixtures/bundles`.
//!
//! `drill.yaml`, `plan.json` and `journal.jsonl` were recorded once, from rehearsals on the simulator
//! (`recorded`). What is made of them must stay the same, byte for byte: a change of a report shows in
//! the diff of the files beside them, and whoever makes it reads what it says now.
//!
//! `REDRILL_UPDATE=1 cargo test --no-default-features --test it golden` writes those files again;
//! `REDRILL_RECORD=1` also records the runs again. The reports here name the redrill that recorded the
//! run as the one that made them, so a release leaves them as they are.

mod forged;
mod recorded;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use redrill::bundle::{self, Files, Sources, verify::Trust, verify::verify};
use redrill::evidence::dsse::{Envelope, pae};
use redrill::evidence::keys::PrivateKey;
use redrill::evidence::{Material, Record, record};
use redrill::journal::reader;
use redrill::plan::file;

/// Each verdict, its exit code, and what the first page says.
const VERDICTS: [(&str, u8, &str); 10] = [
    ("passed", 0, "Passed: recovered in "),
    ("objective-missed", 10, "Objective missed: recovered in "),
    ("not-recovered", 11, "Not recovered "),
    ("no-impact", 12, "Not tested: "),
    ("stopped", 13, "Stopped "),
    ("failed", 14, "Failed: "),
    ("inconclusive", 15, "Inconclusive: "),
    ("stuck", 20, "A person is needed: "),
    ("not-steady", 4, "Not started: "),
    ("refused", 3, "Refused: "),
];

/// What was recorded.
const SOURCES: [&str; 3] = [bundle::DRILL, bundle::PLAN, bundle::JOURNAL];
/// What is made of each and small enough to be read.
const MADE: [&str; 3] = ["report.md", "form-summary.md", bundle::VERIFY];

fn made(verdict: &str) -> Vec<&'static str> {
    let more: &[&str] = match verdict {
        "passed" => &[bundle::REPORT, "form-fedramp.md"],
        "objective-missed" => {
            &[bundle::REPORT, "assessment-results.json", "plan-of-action-and-milestones.json"]
        }
        "stuck" => &[bundle::REPORT],
        _ => &[],
    };
    MADE.iter().chain(more).copied().collect()
}

fn folder(verdict: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/bundles").join(verdict)
}

fn asked(variable: &str) -> bool {
    std::env::var_os(variable).is_some()
}

/// The same key each time; it guards nothing.
fn key() -> PrivateKey {
    let mut der = vec![0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    der.extend([7; 32]);
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n");
    PrivateKey::from_pem(&pem, None).expect("an Ed25519 key")
}

/// The record of a recorded run, with its sources.
fn made_of(verdict: &str) -> (Record, Sources) {
    let read =
        |name: &str| fs::read(folder(verdict).join(name)).unwrap_or_else(|e| panic!("{verdict}/{name}: {e}"));
    let files: Files = SOURCES.iter().map(|n| ((*n).to_owned(), read(n))).collect();
    let journal = &files[bundle::JOURNAL];
    let lines = reader::read(journal).expect("a chain").lines;
    let plan = file::read(&String::from_utf8_lossy(&files[bundle::PLAN])).expect("a plan");
    let record = record(&Material {
        lines: &lines,
        journal,
        plan: Some(&plan),
        sign_offs: &[],
        annotations: &[],
        checkpoints: 0,
        frameworks: &[],
        follow_up: &Default::default(),
        reconciliation: None,
        publication: None,
        timestamp_authority: None,
    });
    (record, Sources { files })
}

#[test]
fn the_runs_come_out_as_they_were_recorded() {
    for (verdict, exit_code, sentence) in VERDICTS {
        let now = recorded::run(verdict);
        if asked("REDRILL_RECORD") {
            for (name, bytes) in &now {
                fs::write(folder(verdict).join(name), bytes).expect("written");
            }
        }
        let lines = reader::read(&now[bundle::JOURNAL]).expect("a chain").lines;
        let (then, _) = made_of(verdict);
        let view = redrill::view::RunView::of(&lines);
        assert_eq!((view.exit_code, then.result.exit_code), (Some(exit_code), Some(exit_code)), "{verdict}");
        assert_eq!(view.verdict.map(|v| v.name()), Some(verdict));
        assert_eq!(view.reasons, then.result.reasons, "{verdict}: record it again and read what changed");
        assert!(redrill::report::markdown::report(&then).contains(&format!("\n**{sentence}")), "{verdict}");
    }
}

#[test]
fn the_bundles_are_what_was_reviewed_and_verify() {
    let key = key();
    let mut size = 0;
    for (verdict, ..) in VERDICTS {
        let (mut record, sources) = made_of(verdict);
        record.made_by.clone_from(&record.identity.tool_version);
        let files = bundle::texts(&record, &sources, &key.public());
        for name in made(verdict) {
            same(&folder(verdict).join(name), &files[name]);
        }
        let payload = bundle::statement(&record, &files).to_bytes();
        let signature = key.sign(&pae(&payload)).expect("signed");
        let sealed = bundle::sealed(files, &Envelope::new(&payload, &key.public(), &signature), None);
        let trust = Trust { key: Some(key.public()), ..Trust::default() };
        assert_eq!(verify(&sealed, &trust).broken, [""; 0], "{verdict}");
        // for other people's tools (`tests/evidence`)
        if let Some(keep) = std::env::var_os("REDRILL_TEST_BUNDLES") {
            let keep = Path::new(&keep).join("golden").join(verdict);
            fs::create_dir_all(&keep).expect("made");
            for (name, bytes) in &sealed {
                fs::write(keep.join(name), bytes).expect("kept");
            }
        }
        for name in SOURCES.into_iter().chain(made(verdict)) {
            let mut changed = sealed.clone();
            changed.get_mut(name).expect("made").push(b'\n');
            assert!(!verify(&changed, &trust).all_hold(), "{verdict}/{name}");
        }
        let there: Vec<_> = fs::read_dir(folder(verdict)).expect("a folder").flatten().collect();
        assert_eq!(there.len(), SOURCES.len() + made(verdict).len(), "{verdict}: something else lies there");
        size += there.iter().map(|e| e.metadata().map_or(0, |m| m.len())).sum::<u64>();
    }
    assert!(size < 1_000_000, "{size} bytes are too many to read");
}

#[test]
fn not_even_the_key_signs_what_the_journal_does_not_bear_out() {
    let key = key();
    let (record, sources) = made_of("objective-missed");
    let honest = bundle::texts(&record, &sources, &key.public());
    let trust = Trust { key: Some(key.public()), ..Trust::default() };
    let checked = |files: Files| {
        let payload = bundle::statement(&record, &files).to_bytes();
        let signature = key.sign(&pae(&payload)).expect("signed");
        let sealed = bundle::sealed(files, &Envelope::new(&payload, &key.public(), &signature), None);
        verify(&sealed, &trust)
    };
    assert_eq!(checked(honest.clone()).broken, [""; 0]);
    for name in honest.keys().filter(|n| !bundle::is_source(n)) {
        let mut lying = honest.clone();
        lying.entry(name.clone()).or_default().push(b'!');
        assert!(!checked(lying).all_hold(), "{name}");
    }
    let mut more = honest.clone();
    more.insert("certificate.txt".to_owned(), b"passed\n".to_vec());
    assert_eq!(checked(more).broken, ["certificate.txt is none of the files of a bundle"]);
    let mut fewer = honest.clone();
    fewer.remove("report.html");
    assert_eq!(checked(fewer).broken, ["report.html is missing, and journal and plan give one"]);
    // what another version made is not said to be checked
    let mut other = honest;
    let report = String::from_utf8_lossy(&other[bundle::REPORT]).replace(&record.made_by, "9.9.9");
    other.insert(bundle::REPORT.to_owned(), report.into_bytes());
    let found = checked(other);
    assert!(found.broken.iter().any(|u| u.contains("check with redrill 9.9.9")), "{found:?}");
    assert!(!found.holds.iter().any(|h| h.contains("every file says")), "{found:?}");
}

fn same(path: &Path, bytes: &[u8]) {
    if asked("REDRILL_UPDATE") || asked("REDRILL_RECORD") {
        fs::write(path, bytes).expect("written");
    }
    let there = fs::read(path).unwrap_or_default();
    let line = |bytes: &[u8]| String::from_utf8_lossy(bytes).lines().map(str::to_owned).collect::<Vec<_>>();
    let differs = line(&there).iter().zip(&line(bytes)).position(|(a, b)| a != b);
    assert!(
        there == bytes,
        "{} is not what is made of the run now (first in line {:?}). Write it again, and read it:\n  \
         REDRILL_UPDATE=1 cargo test --no-default-features --test it golden",
        path.display(),
        differs.map(|n| n + 1)
    );
}

/// What was recorded, under its file names.
type Run = BTreeMap<&'static str, Vec<u8>>;
