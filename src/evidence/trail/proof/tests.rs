//! Chains of digests, whole and forged in every way that we could think of.

mod edges;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use super::super::forge::{Signed, Signer};
use super::super::tests::{GLOBAL, REGIONAL, at, changed, gz, run};
use super::super::{Compared, Gathering, Session, Source, Standing, matching};
use super::*;
use crate::journal::Line;
use crate::model::StepId;

const ACCOUNT: &str = "123456789012";
/// An hour before the one of the run, which is at 14:13.
const HOUR: i64 = -4_380;

/// Trail files of the run's two regions as they lie in a folder: name and content.
pub(crate) struct Folder {
    pub(crate) files: Vec<(String, Vec<u8>)>,
    pub(crate) keys: Vec<Value>,
}

fn hour(n: i64) -> DateTime<Utc> {
    at(HOUR) + TimeDelta::hours(n)
}

impl Folder {
    /// Both regions, digests of four hours, the run's records in the second.
    pub(crate) fn whole() -> Self {
        let (a, b) = (Signer::new(ACCOUNT, "eu-west-1"), Signer::new(ACCOUNT, "us-east-1"));
        let mut folder = Self { files: Vec::new(), keys: vec![a.keys(), b.keys()] };
        for (signer, name, log) in [(&a, "eu.json.gz", REGIONAL), (&b, "us.json.gz", GLOBAL)] {
            folder.put(name, gz(log));
            folder.digests(&signer.chain(hour(0), &[&[], &[(name, log.as_bytes())], &[], &[]]));
        }
        folder
    }

    pub(crate) fn put(&mut self, name: &str, bytes: Vec<u8>) {
        self.files.push((name.to_owned(), bytes));
    }

    /// Digests, the last with its signature beside it.
    pub(crate) fn digests(&mut self, chain: &[Signed]) {
        for digest in chain {
            self.put(&digest.name, gz(&digest.plain));
        }
        if let Some(last) = chain.last() {
            self.put(&format!("{}.head.json", last.name), last.head().to_string().into_bytes());
        }
    }

    pub(crate) fn without(mut self, part: &str) -> Self {
        let before = self.files.len();
        self.files.retain(|(name, _)| !name.contains(part));
        assert!(self.files.len() < before, "{part}");
        self
    }

    fn gathered(&self, lines: &[Line]) -> Gathering {
        let mut gathering =
            Gathering::new(&Session::of(lines).expect("a header"), matching::request_ids(lines));
        for (name, bytes) in &self.files {
            gathering.file(name, bytes);
        }
        for keys in &self.keys {
            gathering.trust(PublicKeys::read(keys.to_string().as_bytes()).expect("keys"));
        }
        gathering
    }

    pub(crate) fn compared(&self, lines: &[Line], included: Included) -> Compared {
        let source = Source::Files { from: "trail".into(), files: vec![] };
        let session = Session::of(lines).expect("a header");
        matching::compare(lines, &session, self.gathered(lines), source, (at(86_400), included))
    }

    fn result(&self) -> super::super::Reconciliation {
        self.compared(&run().finish(100), Included::Run).result
    }
}

#[track_caller]
fn is(folder: &Folder, standing: Standing, says: &str) -> super::super::Reconciliation {
    let r = folder.result();
    let told = format!("{} {:?}", r.verdict, r.proof);
    assert!(r.standing == Some(standing) && told.contains(says), "{:?}: {told}", r.standing);
    assert_eq!(r.standing == Some(Standing::Proven), r.is_proven() && r.holds);
    r
}

#[test]
fn a_whole_chain_proves_the_run_in_both_regions() {
    let r = is(&Folder::whole(), Standing::Proven, "journal and trail agree");
    let proof = r.proof.expect("a proof");
    assert!(proof.proven && proof.complete && proof.changed.is_empty() && proof.open.is_empty(), "{proof:?}");
    assert_eq!((proof.digests, proof.keys.len(), proof.unvouched), (8, 2, 0));
    let regions: Vec<_> = proof.regions.iter().map(|r| (r.region.as_str(), r.digests, r.log_files)).collect();
    assert_eq!(regions, [("eu-west-1", 1, 1), ("us-east-1", 1, 1)]);
    assert_eq!(proof.regions[0].trail.as_deref(), Some("audit_all_eu-west-1"));
    assert_eq!((proof.regions[0].from, proof.regions[0].until), (Some(hour(1)), Some(hour(2))));
}

#[test]
fn times_as_the_older_cli_prints_them_are_read() {
    let mut folder = Folder::whole();
    for keys in &mut folder.keys {
        keys["PublicKeyList"][0]["ValidityStartTime"] = 0.0.into();
        keys["PublicKeyList"][0]["ValidityEndTime"] = 3_155_760_000.5.into();
    }
    is(&folder, Standing::Proven, "");
}

#[test]
fn files_without_digests_and_looked_up_events_are_unclear() {
    let r = is(&Folder::whole().without("CloudTrail-Digest"), Standing::Unclear, "no digest file of");
    assert!(r.holds && r.proof.is_none(), "{r:?}");
    let lines = run().finish(100);
    let gathering = Folder::whole().without("CloudTrail-Digest").gathered(&lines);
    let session = Session::of(&lines).expect("a header");
    let source = Source::Lookup { regions: vec![], user: String::new(), from: at(0), to: at(1) };
    let r = matching::reconcile(&lines, &session, gathering, source, at(86_400));
    assert!(r.standing == Some(Standing::Unclear) && r.verdict.contains("signs nothing"), "{}", r.verdict);
}

#[test]
fn a_changed_log_file_is_found() {
    let mut folder = Folder::whole().without("eu.json.gz");
    let other = changed(|r| r["sourceIPAddress"] = "192.0.2.99".into());
    folder.put("eu.json.gz", gz(std::str::from_utf8(&other).expect("text")));
    let r = is(&folder, Standing::Differs, "eu.json.gz is not as CloudTrail delivered it");
    assert!(!r.holds);
    // under another name no digest knows it, and the one that is named is not there
    let mut folder = Folder::whole().without("eu.json.gz");
    folder.put("2026.json", other);
    is(&folder, Standing::Unclear, "1 log file that the digests name is not there");
}

#[test]
fn a_changed_digest_is_found() {
    let lines = Folder::whole();
    for middle in [true, false] {
        let mut folder = Folder { files: lines.files.clone(), keys: lines.keys.clone() };
        let of = if middle { "eu-west-1_20260921T150000Z" } else { "eu-west-1_20260921T170000Z" };
        for (name, bytes) in &mut folder.files {
            if name.contains(of) && !name.contains("head") {
                let mut plain = String::new();
                use std::io::Read as _;
                flate2::read::GzDecoder::new(&bytes[..]).read_to_string(&mut plain).expect("text");
                *bytes = gz(&plain.replace("\"newestEventTime\"", "\"newestEventtime\""));
            }
        }
        if middle {
            is(&folder, Standing::Differs, "is not as CloudTrail delivered it");
        } else {
            // the last of the chain: nothing after it says what it was, but nothing signs it either
            let r = folder.result();
            let proof = r.proof.expect("a proof");
            assert!(proof.open.iter().any(|w| w.contains("no signature at hand")), "{proof:?}");
        }
    }
}

#[test]
fn a_chain_under_another_key_proves_nothing() {
    let forged = Folder::whole();
    // the auditor's keys have the same fingerprints, and are others
    let others = ["eu-west-1", "us-east-1"].map(|region| Signer::new("of AWS's own", region).keys());
    let mut auditors = Folder { files: forged.files.clone(), keys: others.to_vec() };
    for (own, theirs) in auditors.keys.iter_mut().zip(&forged.keys) {
        own["PublicKeyList"][0]["Fingerprint"] = theirs["PublicKeyList"][0]["Fingerprint"].clone();
    }
    let r = is(&auditors, Standing::Unclear, "no signature at hand is AWS's");
    assert_eq!(r.proof.expect("a proof").digests, 0);
    let mut none = Folder { files: forged.files.clone(), keys: vec![] };
    is(&none, Standing::Unclear, "which is not at hand");
    // keys that lie beside the files count only where nobody brought their own
    for keys in &forged.keys {
        none.put("keys.json", keys.to_string().into_bytes());
    }
    is(&none, Standing::Proven, "");
    let lines = run().finish(100);
    let mut gathering = Gathering::new(&Session::of(&lines).expect("one"), matching::request_ids(&lines));
    gathering.trust_only(PublicKeys::default());
    for (name, bytes) in &none.files {
        gathering.file(name, bytes);
    }
    assert!(gathering.keys.keys.is_empty());
    is(&forged, Standing::Proven, "");
}

#[test]
fn a_key_counts_for_its_time_only() {
    for (from, to, standing) in [
        ("2026-09-21T15:30:00Z", "2027-01-01T00:00:00Z", Standing::Proven),
        ("2026-09-22T00:00:00Z", "2027-01-01T00:00:00Z", Standing::Unclear),
        ("2026-01-01T00:00:00Z", "2026-09-21T14:30:00Z", Standing::Unclear),
    ] {
        let mut folder = Folder::whole();
        for keys in &mut folder.keys {
            keys["PublicKeyList"][0]["ValidityStartTime"] = from.into();
            keys["PublicKeyList"][0]["ValidityEndTime"] = to.into();
        }
        let says = if standing == Standing::Proven { "" } else { "not valid then" };
        is(&folder, standing, says);
    }
}

#[test]
fn a_missing_digest_signature_or_log_file_leaves_it_open() {
    is(
        &Folder::whole().without("Digest_eu-west-1_audit_all_eu-west-1_20260921T15"),
        Standing::Unclear,
        "no digest covers",
    );
    is(&Folder::whole().without("eu.json.gz"), Standing::Unclear, "2 calls without a record");
    // the signature of a digest is in the one that follows: the run's own needs none beside it
    is(&Folder::whole().without(".head.json"), Standing::Proven, "");
    let alone = Folder::whole().without("T160000Z").without("T170000Z.json.gz");
    is(&alone, Standing::Unclear, "no signature at hand");
    // the twin: with its own signature beside it
    let signer = Signer::new(ACCOUNT, "eu-west-1");
    let mut one = Folder::whole().without("Digest_eu-west-1");
    let log: (&str, &[u8]) = ("eu.json.gz", REGIONAL.as_bytes());
    one.digests(&[signer.digest((hour(1), hour(2)), None, &[log])]);
    one.keys.push(signer.keys());
    is(&one, Standing::Proven, "");
}

#[test]
fn the_newest_digest_may_not_be_there_yet() {
    let lines = run().finish(100 + 3_600);
    let r = Folder::whole()
        .without("T160000Z")
        .without("T170000Z.json.gz")
        .compared(&lines, Included::Run)
        .result;
    assert_eq!(r.standing, Some(Standing::Unclear));
    let signer = Signer::new(ACCOUNT, "eu-west-1");
    let mut one = Folder::whole().without("Digest_eu-west-1");
    let log: (&str, &[u8]) = ("eu.json.gz", REGIONAL.as_bytes());
    one.digests(&[signer.digest((hour(1), hour(2)), None, &[log])]);
    one.keys.push(signer.keys());
    let r = one.compared(&lines, Included::Run).result;
    assert!(r.verdict.contains("the newest digest ends at 2026-09-21 15:00:00 UTC"), "{}", r.verdict);
    // a digest after a break does not mend it
    one.digests(&[signer.digest((hour(2), hour(3)), None, &[])]);
    let r = one.compared(&lines, Included::Run).result;
    assert!(r.verdict.contains("the digests have a gap after 2026-09-21 15:00:00"), "{}", r.verdict);
    let whole = Folder::whole().compared(&lines, Included::Run).result;
    assert_eq!((whole.standing, whole.proof.expect("one").regions[0].digests), (Some(Standing::Proven), 2));
}

#[test]
fn a_digest_of_another_account_or_region_does_not_count() {
    let elsewhere = |account: &str, region: &str| {
        let signer = Signer::new(account, region);
        let mut folder = Folder::whole().without("Digest_eu-west-1");
        let log: (&str, &[u8]) = ("eu.json.gz", REGIONAL.as_bytes());
        folder.digests(&signer.chain(hour(0), &[&[], &[log], &[], &[]]));
        folder.keys.push(signer.keys());
        folder
    };
    is(&elsewhere(ACCOUNT, "eu-west-1"), Standing::Proven, "");
    is(&elsewhere("999999999999", "eu-west-1"), Standing::Unclear, "is of account 999999999999");
    is(&elsewhere(ACCOUNT, "eu-west-2"), Standing::Unclear, "no digest of eu-west-1 counts");
}

#[test]
fn what_no_digest_vouches_for_shows_nothing() {
    // a whole chain of empty hours, and records that somebody wrote
    let signer = Signer::new(ACCOUNT, "eu-west-1");
    let mut folder = Folder::whole().without("Digest_eu-west-1");
    folder.digests(&signer.chain(hour(0), &[&[], &[], &[], &[]]));
    folder.keys.push(signer.keys());
    let r = is(&folder, Standing::Unclear, "no digest vouches for the records of 2 calls");
    assert!(r.holds && !r.proof.expect("one").proven);
}

#[test]
fn a_call_that_a_whole_trail_does_not_have_did_not_happen() {
    let mut j = run();
    j.call(70, "ec2:StartInstances", serde_json::json!({"ids": ["i-0ccc"]}), Some("nobody-saw-it"), None);
    let lines = j.finish(100);
    let standing = |folder: Folder| folder.compared(&lines, Included::Run).result.standing;
    assert_eq!(standing(Folder::whole()), Some(Standing::Differs));
    // with a gap, it may be in what is not there
    assert_eq!(
        standing(Folder::whole().without("Digest_eu-west-1_audit_all_eu-west-1_20260921T15")),
        Some(Standing::Unclear)
    );
    assert_eq!(standing(Folder::whole().without("eu.json.gz")), Some(Standing::Unclear));
    // a trail of reads only has no changes to show
    let signer = Signer::new(ACCOUNT, "eu-west-1");
    let reads = changed(|r| {
        r["readOnly"] = true.into();
        r["requestID"] = "another".into();
        r["userIdentity"] = Value::Null;
        r["userAgent"] = "console".into();
    });
    let mut folder = Folder::whole().without("Digest_eu-west-1").without("eu.json.gz");
    folder.put("eu.json.gz", gz(std::str::from_utf8(&reads).expect("text")));
    folder.digests(&signer.chain(hour(0), &[&[], &[("eu.json.gz", &reads)], &[], &[]]));
    folder.keys.push(signer.keys());
    let r = folder.compared(&lines, Included::Run).result;
    assert!(
        r.standing == Some(Standing::Unclear) && r.verdict.contains("no change by anybody"),
        "{}",
        r.verdict
    );
}

#[test]
fn a_file_that_was_delivered_late_is_in_a_digest_of_its_own() {
    let signer = Signer::new(ACCOUNT, "eu-west-1");
    let mut folder = Folder::whole().without("Digest_eu-west-1");
    let log: (&str, &[u8]) = ("eu.json.gz", REGIONAL.as_bytes());
    folder.digests(&signer.chain(hour(0), &[&[], &[], &[], &[]]));
    let late = signer.named((hour(1), hour(2)), None, &[log], "_backfill");
    folder.put(&late.name, gz(&late.plain));
    folder.keys.push(signer.keys());
    is(&folder, Standing::Unclear, "no signature at hand");
    folder.put(&format!("{}.head.json", late.name), late.head().to_string().into_bytes());
    let r = is(&folder, Standing::Proven, "");
    assert_eq!(r.proof.expect("one").regions[0].digests, 2);
}

#[test]
fn what_was_delivered_late_and_is_not_at_hand_leaves_it_incomplete() {
    let signer = Signer::new(ACCOUNT, "eu-west-1");
    let log: (&str, &[u8]) = ("eu.json.gz", REGIONAL.as_bytes());
    let other = REGIONAL.replace("req-restore", "req-another");
    let late: (&str, &[u8]) = ("late.json.gz", other.as_bytes());
    let whole = is(&Folder::whole(), Standing::Proven, "").proof.expect("one");
    assert!(whole.complete);
    // named by a digest of a later hour
    let mut folder = Folder::whole().without("Digest_eu-west-1");
    folder.digests(&signer.chain(hour(0), &[&[], &[log], &[], &[late]]));
    let proof =
        is(&folder, Standing::Unclear, "1 log file that the digests name is not there").proof.expect("one");
    assert_eq!((proof.complete, proof.regions[0].missing), (false, 1));
    // by a digest of its own whose signature is not there: only that it names something is known
    let mut folder = Folder::whole();
    let backfill = signer.named((hour(1), hour(2)), None, &[late], "_backfill");
    folder.put(&backfill.name, gz(&backfill.plain));
    let proof = is(&folder, Standing::Unclear, "1 digest that names log files").proof.expect("one");
    assert_eq!((proof.complete, proof.regions[0].missing, proof.regions[0].unchecked), (false, 0, 1));
    assert!(proof.regions[0].in_words().contains("1 more digest names files of that time"));
    // what is of another time says nothing about the run
    let mut folder = Folder::whole();
    let other = REGIONAL.replace("2026-09-21T14", "2026-09-21T03");
    let early: (&str, &[u8]) = ("early.json.gz", other.as_bytes());
    let backfill = signer.named((hour(1), hour(2)), None, &[early], "_backfill");
    folder.put(&backfill.name, gz(&backfill.plain));
    assert!(is(&folder, Standing::Proven, "").proof.expect("one").complete);
}

#[test]
fn the_keys_are_asked_for_where_and_when_the_digests_were_signed() {
    let lines = run().finish(100);
    let mut gathering = Folder::whole().gathered(&lines);
    assert_eq!(gathering.times(), Some((hour(-1), hour(5))));
    assert_eq!(gathering.digest_regions(), ["eu-west-1", "us-east-1"].map(str::to_owned).into());
    // a digest of what came late is signed when it is made
    gathering.generated(hour(40));
    assert_eq!(gathering.times(), Some((hour(-1), hour(41))));
    let one = Folder::whole().without("us-east-1").gathered(&lines);
    assert_eq!(one.digest_regions(), ["eu-west-1".to_owned()].into());
}

#[test]
fn a_replayed_record_contradicts() {
    let (mut lines, folder) = (run().finish(100), Folder::whole());
    let class = |lines: &[Line]| {
        let r = folder.compared(lines, Included::Run).result;
        let first = r.calls.first().expect("a call");
        (first.class, first.why.clone().unwrap_or_default())
    };
    assert_eq!(class(&lines).0, super::super::Class::Matched);
    // an older run's records, in a journal of another hour
    for line in &mut lines {
        line.stamp.at += TimeDelta::minutes(3);
    }
    assert!(class(&lines).1.contains("is of 2026-09-21 14:13:31 UTC"), "{:?}", class(&lines));
    // of another run
    let mut lines = run().finish(100);
    if let crate::journal::Event::Header { run, .. } = &mut lines[0].event {
        *run = crate::model::RunId::from_existing("20260921T141320Z-shop-cccccc");
    }
    assert!(class(&lines).1.contains("is of run 20260921T141320Z-shop-aaaaaa"), "{:?}", class(&lines));
    // one record cannot be two calls'
    let mut j = run();
    j.call(31, "ec2:TerminateInstances", serde_json::json!({}), Some("req-terminate"), None);
    let r = folder.compared(&j.finish(100), Included::Run).result;
    assert_eq!((r.standing, r.counts.contradicted), (Some(Standing::Differs), 1));
    assert_eq!(r.calls[4].step, Some(StepId::new("step")));
}

#[test]
fn what_goes_along_shows_it_again() {
    let (lines, mut folder) = (run().finish(100), Folder::whole());
    // another file of the run's hour that has nothing of the session
    let others = changed(|r| {
        r["requestID"] = "another".into();
        r["eventID"] = format!("other-{}", r["eventID"]).into();
        r["userIdentity"] =
            serde_json::json!({ "arn": "arn:aws:iam::123456789012:user/x", "accessKeyId": "AKIAX" });
        r["userAgent"] = "console".into();
    });
    let signer = Signer::new(ACCOUNT, "eu-west-1");
    folder = folder.without("Digest_eu-west-1");
    folder.put("other.json", others.clone());
    let logs: [(&str, &[u8]); 2] = [("eu.json.gz", REGIONAL.as_bytes()), ("other.json.gz", &others)];
    folder.digests(&signer.chain(hour(0), &[&[], &logs, &[], &[]]));
    folder.keys.push(signer.keys());
    for (included, complete) in [(Included::Run, false), (Included::All, true)] {
        let compared = folder.compared(&lines, included);
        assert_eq!(compared.result.standing, Some(Standing::Proven), "{}", compared.result.verdict);
        let along: Vec<(String, Vec<u8>)> = compared
            .files
            .into_iter()
            .map(|include| match include {
                Include::Given { file, name } => (name, folder.files[file].1.clone()),
                Include::Made { name, bytes } => (name, bytes),
            })
            .collect();
        let names: BTreeSet<&str> = along.iter().map(|(n, _)| n.as_str()).collect();
        assert_eq!(names.len(), along.len(), "{names:?}");
        assert!(names.contains(KEYS) && names.contains("cloudtrail-eu.json.gz"), "{names:?}");
        assert_eq!(names.contains("cloudtrail-other.json"), complete, "{names:?}");
        let again = Folder { files: along, keys: vec![] }.compared(&lines, included).result;
        let proof = again.proof.clone().expect("a proof");
        assert!(proof.proven && proof.complete == complete && proof.changed.is_empty(), "{proof:?}");
        assert_eq!((again.counts.matched, again.counts.unexplained), (3, 0));
        assert_eq!(again.standing == Some(Standing::Proven), complete);
    }
}

#[test]
fn only_what_aws_documents_is_a_digest() {
    let signer = Signer::new(ACCOUNT, "eu-west-1");
    let good = signer.digest((hour(0), hour(1)), None, &[]);
    let read = |plain: &str| Digest::read(plain.as_bytes()).map_err(|e| e.to_string());
    assert_eq!(read(&good.plain).expect("a digest").trail, "audit_all_eu-west-1");
    for (from, to, says) in [
        ("SHA256withRSA", "MD5withRSA", "uses MD5withRSA"),
        ("/2026/09/21/", "/2026/09/", "no place of CloudTrail's"),
        ("AWSLogs/123456789012/", "AWSLogs/x/123456789012/", "no place of CloudTrail's"),
        ("CloudTrail-Digest/", "CloudTrail/", "no place of CloudTrail's"),
        ("\"awsAccountId\":\"123456789012\"", "\"awsAccountId\":\"1\"", "is of account 1, but lies under"),
        ("\"awsAccountId\":", "\"awsAccountId\":\"1\",\"awsAccountId\":", "duplicate field"),
        ("\"digestEndTime\":\"2026", "\"digestEndTime\":\"MMXXVI", "no digest file"),
    ] {
        let bad = good.plain.replace(from, to);
        assert_ne!(bad, good.plain, "{from}");
        assert!(read(&bad).is_err_and(|e| e.contains(says)), "{from}: {:?}", read(&bad));
    }
    // an organisation's trail has one folder more
    assert!(read(&good.plain.replace("AWSLogs/", "logs/AWSLogs/o-example/")).is_ok());
}
