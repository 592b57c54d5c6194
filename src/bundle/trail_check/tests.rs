//! Bundles with a proven trail, and what a dishonest maker of one could leave out or put in.

use super::*;
use crate::evidence::merkle;
use crate::evidence::trail::proof::tests::Folder;
use crate::evidence::trail::tests::run;
use crate::evidence::trail::{Include, PublicKeys};
use crate::journal::Line;

/// The lines as they stand in a file, each with the hash of the one before.
fn chained(lines: &[Line]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut prev = "0".repeat(64);
    for line in lines {
        let bytes = serde_json::to_vec(&Line { prev, ..line.clone() }).expect("JSON");
        prev = merkle::hex(&merkle::sha256(&bytes));
        out.extend(bytes);
        out.push(b'\n');
    }
    out
}

struct Bundle {
    files: Files,
    journal: Vec<u8>,
    keys: PublicKeys,
}

impl Bundle {
    fn of(folder: &Folder, included: Included) -> Self {
        let lines = run().finish(100);
        let compared = folder.compared(&lines, included);
        let mut files = Files::new();
        files.insert(trail::FILE.to_owned(), serde_json::to_vec(&compared.result).expect("JSON"));
        for include in compared.files {
            let (name, bytes) = match include {
                Include::Given { file, name } => (name, folder.files[file].1.clone()),
                Include::Made { name, bytes } => (name, bytes),
            };
            files.insert(name, bytes);
        }
        let mut keys = PublicKeys::default();
        for own in &folder.keys {
            keys.add(PublicKeys::read(own.to_string().as_bytes()).expect("keys"));
        }
        Self { files, journal: chained(&lines), keys }
    }

    fn check(&self, keys: Option<&PublicKeys>) -> Findings {
        let trust = Trust { cloudtrail_keys: keys.cloned(), ..Trust::default() };
        check(&self.files, &self.journal, &trust)
    }

    fn told(&mut self, change: impl FnOnce(&mut Reconciliation)) {
        let mut told: Reconciliation = serde_json::from_slice(&self.files[trail::FILE]).expect("one");
        change(&mut told);
        self.files.insert(trail::FILE.to_owned(), serde_json::to_vec(&told).expect("JSON"));
    }
}

#[track_caller]
fn broken(bundle: &Bundle, says: &str) {
    for keys in [None, Some(&bundle.keys)] {
        let found = bundle.check(keys);
        assert!(found.broken.iter().any(|b| b.contains(says)), "{found:?}");
        assert!(found.holds.is_empty(), "{found:?}");
    }
}

#[test]
fn a_proven_trail_is_proven_again_by_the_readers_keys() {
    let bundle = Bundle::of(&Folder::whole(), Included::All);
    let found = bundle.check(Some(&bundle.keys));
    assert!(found.all_hold() && found.unproven.len() == 1, "{found:?}");
    assert!(found.unproven[0].starts_with("that CloudTrail delivered nothing of the run later"), "{found:?}");
    assert!(
        found.holds[0].contains("by the keys that you gave, vouch for the record of all 3 calls"),
        "{found:?}"
    );
    // with the bundle's own keys it is its maker's word
    let found = bundle.check(None);
    assert!(found.all_hold() && found.unproven.len() == 2, "{found:?}");
    assert!(found.unproven[1].starts_with("that the trail is AWS's"), "{found:?}");
    let run_only = Bundle::of(&Folder::whole(), Included::Run);
    assert!(run_only.check(Some(&run_only.keys)).all_hold());
}

#[test]
fn keys_that_are_not_the_makers_break_it() {
    let bundle = Bundle::of(&Folder::whole(), Included::All);
    let mut others = bundle.keys.clone();
    let swapped = others.keys[0].der.clone();
    others.keys[0].der = std::mem::replace(&mut others.keys[1].der, swapped);
    for keys in [others, PublicKeys::default()] {
        let found = bundle.check(Some(&keys));
        assert!(found.broken[0].contains("does not prove the run by the keys that you gave"), "{found:?}");
    }
}

#[test]
fn what_is_left_out_or_changed_breaks_it() {
    let whole = || Bundle::of(&Folder::whole(), Included::All);
    let names: Vec<String> = whole().files.keys().filter(|n| n.starts_with(proof::NAME)).cloned().collect();
    assert_eq!(names.len(), 7, "two log files, two digests with signatures, keys: {names:?}");
    for name in names {
        let mut bundle = whole();
        bundle.files.remove(&name);
        // without the bundle's keys, the reader's still do
        if name == proof::KEYS {
            assert!(bundle.check(Some(&bundle.keys)).all_hold());
            assert!(!bundle.check(None).all_hold());
            continue;
        }
        let found = bundle.check(None);
        assert!(!found.all_hold(), "{name}: {found:?}");
        let mut bundle = whole();
        bundle.files.insert(name.clone(), b"{\"Records\":[]}".to_vec());
        assert!(!bundle.check(None).all_hold(), "{name}");
    }
    let mut bundle = whole();
    bundle.files.insert("cloudtrail-more.json".to_owned(), b"<html>".to_vec());
    broken(&bundle, "cannot be read");
}

#[test]
fn a_comparison_that_was_rewritten_breaks_it() {
    // the trail says otherwise, and the record was to look better
    let mut j = run();
    j.call(70, "ec2:StartInstances", serde_json::json!({"ids": ["i-0ccc"]}), Some("nobody-saw-it"), None);
    let lines = j.finish(100);
    let mut bundle = Bundle::of(&Folder::whole(), Included::All);
    bundle.journal = chained(&lines);
    broken(&bundle, "is not what the log files in the bundle give");
    // a claim without anything behind it
    let mut bundle = Bundle::of(&Folder::whole(), Included::All);
    bundle.files.retain(|name, _| name == trail::FILE);
    broken(&bundle, "does not prove the run");
    // a call that was exchanged for another
    let mut bundle = Bundle::of(&Folder::whole(), Included::All);
    bundle.told(|r| r.calls[0].record = r.calls[1].record.clone());
    broken(&bundle, "is not what the log files in the bundle give");
    // the twin
    let bundle = Bundle::of(&Folder::whole(), Included::All);
    assert!(bundle.check(Some(&bundle.keys)).all_hold());
}

#[test]
fn what_the_session_did_beside_the_journal_is_found_again() {
    let mut bundle = Bundle::of(&Folder::whole(), Included::All);
    let lines = run().finish(100);
    // the journal without its second call, and a comparison that says nothing of it
    let shorter: Vec<Line> =
        lines.iter().filter(|l| !(3..=4).contains(&l.seq)).cloned().enumerate().map(renumbered).collect();
    bundle.journal = chained(&shorter);
    bundle.told(|r| {
        r.calls.remove(1);
        for (n, call) in r.calls.iter_mut().enumerate() {
            call.seq = 1 + 2 * n as u64;
        }
    });
    broken(&bundle, "have 1 changes of the run's session");
}

fn renumbered((n, line): (usize, Line)) -> Line {
    Line { seq: n as u64, ..line }
}

#[test]
fn without_digests_it_says_that_nothing_is_shown() {
    let bundle = Bundle::of(&Folder::whole().without("CloudTrail-Digest"), Included::All);
    let found = bundle.check(None);
    assert!(found.all_hold() && found.holds.is_empty(), "{found:?}");
    assert!(found.unproven[0].contains("whoever wrote the records could have written anything"), "{found:?}");
    assert!(!bundle.check(Some(&bundle.keys)).all_hold(), "keys without anything to check");
    let mut none = bundle;
    none.files.clear();
    assert!(!none.check(Some(&none.keys)).all_hold());
    assert_eq!(none.check(None), Findings::default());
}
