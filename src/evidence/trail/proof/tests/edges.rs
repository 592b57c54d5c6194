//! The rules of a chain at their edges, and what is said of a region.

use super::*;
use crate::evidence::trail::digest::Digest;

fn signer() -> Signer {
    Signer::new(ACCOUNT, "eu-west-1")
}

fn read(signed: &Signed) -> Digest {
    Digest::read(signed.plain.as_bytes()).expect("a digest")
}

/// What walking these digests gives: how many there are in the chain, or why there is none.
fn walked(digests: &[&Signed], from: DateTime<Utc>, until: DateTime<Utc>) -> Result<Vec<usize>, String> {
    let read: Vec<Digest> = digests.iter().map(|d| read(d)).collect();
    let chain = walk(read.iter().enumerate().collect(), (from, until))?;
    Ok(chain.into_iter().map(|(n, _)| n).collect())
}

#[test]
fn a_chain_reaches_from_the_first_second_to_the_last() {
    let chain = signer().chain(hour(0), &[&[], &[], &[]]);
    let [a, b, c] = [&chain[0], &chain[1], &chain[2]];
    let second = TimeDelta::seconds(1);
    for (digests, from, until, expected) in [
        (vec![a, b, c], hour(0), hour(1), Ok(vec![0])),
        (vec![a, b, c], hour(1) - second, hour(1), Ok(vec![0])),
        (vec![a, b, c], hour(1), hour(2), Ok(vec![1])),
        (vec![c, b, a], hour(0), hour(3), Ok(vec![2, 1, 0])),
        (vec![a, b, c], hour(0), hour(1) + second, Ok(vec![0, 1])),
        (vec![a], hour(1), hour(2), Err("no digest covers 2026-09-21 14:00:00 UTC".to_owned())),
        (vec![b], hour(1) - second, hour(2), Err("no digest covers 2026-09-21 13:59:59 UTC".to_owned())),
        (
            vec![a, b],
            hour(0),
            hour(2) + second,
            Err("the newest digest ends at 2026-09-21 15:00:00 UTC, and the run's last records came until \
                 2026-09-21 15:00:01 UTC: CloudTrail delivers one an hour"
                .to_owned()),
        ),
        (
            vec![a, c],
            hour(0),
            hour(3),
            Err("the digests have a gap after 2026-09-21 14:00:00 UTC".to_owned()),
        ),
    ] {
        assert_eq!(walked(&digests, from, until), expected);
    }
    // what follows and leads no further is passed over; what begins later leaves a gap
    let beside = signer().digest((hour(1), hour(2)), Some(b), &[]);
    assert_eq!(walked(&[a, b, &beside, c], hour(0), hour(3)), Ok(vec![0, 1, 3]));
    let later = signer().digest((hour(1) + second, hour(2)), Some(a), &[]);
    assert!(walked(&[a, &later], hour(0), hour(2)).is_err_and(|e| e.contains("have a gap after")));
}

#[test]
fn a_region_is_told_in_words() {
    let whole = RegionProof {
        region: "eu-west-1".into(),
        trail: Some("audit".into()),
        from: Some(hour(1)),
        until: Some(hour(3)),
        digests: 2,
        log_files: 5,
        missing: 0,
        unchecked: 0,
        gap: None,
    };
    let covered = "covered from 2026-09-21 14:00:00 UTC until 2026-09-21 16:00:00 UTC by 2 digests of trail \
                   audit; they name 5 log files of the run's time";
    let says = |missing, unchecked, more: &str| {
        let region = RegionProof { missing, unchecked, ..whole.clone() };
        assert_eq!(region.in_words(), format!("{covered}{more}"));
        let written = serde_json::to_value(&region).expect("JSON");
        assert_eq!(
            written.get("unchecked").and_then(Value::as_u64),
            (unchecked > 0).then_some(unchecked as u64)
        );
    };
    says(0, 0, "");
    says(3, 0, ", 3 of them not there");
    says(0, 1, "; 1 more digest names files of that time, and its signature could not be checked");
    says(0, 2, "; 2 more digests name files of that time, and their signatures could not be checked");
    let one = RegionProof { digests: 1, log_files: 1, ..whole.clone() };
    assert!(one.in_words().ends_with(" by 1 digest of trail audit; it names 1 log file of the run's time"));
    let gap = RegionProof { gap: Some("no digest".into()), ..whole };
    assert_eq!(gap.in_words(), "not covered: no digest");
}

#[test]
fn only_a_name_that_cloudtrail_could_give_is_kept() {
    let long = |n: usize| format!("{}.json.gz", "x".repeat(n - ".json.gz".len()));
    for (name, kept) in [
        ("1_CloudTrail_eu-west-1_20260921T1500Z_a+b=.json.gz".to_owned(), true),
        (long(199), true),
        (long(200), false),
        (String::new(), false),
        ("a.json".to_owned(), false),
        ("a b.json.gz".to_owned(), false),
        ("ä.json.gz".to_owned(), false),
    ] {
        let expected = if kept { name.clone() } else { "00ff.json.gz".to_owned() };
        assert_eq!(safe(&name, "00ff"), expected);
    }
}

#[test]
fn a_digest_of_the_same_name_in_another_bucket_changes_nothing() {
    let name = "Digest_eu-west-1_audit_all_eu-west-1_20260921T15";
    let mut folder = Folder::whole().without(name);
    let chain = signer().chain(hour(0), &[&[], &[("eu.json.gz", REGIONAL.as_bytes())], &[], &[]]);
    let (own, other) = ("\"digestS3Bucket\":\"audit-logs\"", "\"digestS3Bucket\":\"another\"");
    assert!(chain[1].plain.contains(own));
    folder.put("another.json", chain[1].plain.replace(own, other).into_bytes());
    let proof = is(&folder, Standing::Unclear, "no signature at hand").proof.expect("one");
    assert_eq!(proof.changed, [""; 0]);
    // in its own bucket it is the one that the next one names
    folder
        .put("own.json", chain[1].plain.replace("2026-09-21T14:13:20Z", "2026-09-21T14:13:21Z").into_bytes());
    assert_eq!(folder.result().proof.expect("one").changed.len(), 1);
}

#[test]
fn a_log_file_is_named_by_its_digest_packed_or_not() {
    let other = changed(|r| r["sourceIPAddress"] = "192.0.2.99".into());
    for name in ["eu.json", "eu.json.gz", "cloudtrail-eu.json.gz", "below/eu.json", "cloudtrail-eu.json"] {
        let mut folder = Folder::whole().without("eu.json.gz");
        folder.put(name, other.clone());
        let proof = folder.result().proof.expect("one");
        let name = name.rsplit('/').next().unwrap_or_default().trim_start_matches("cloudtrail-");
        assert_eq!(proof.changed, [format!("{name} is not as CloudTrail delivered it")]);
    }
}

#[test]
fn calls_are_recorded_in_their_own_region_or_in_that_of_global_services() {
    let lines = run().finish(100);
    let session = Session::of(&lines).expect("a header");
    let of = |operation: &str, request_id: Option<&str>, error: Option<&str>| {
        let mut j = run();
        j.call(70, operation, serde_json::json!({}), request_id, error);
        let last = crate::evidence::trail::calls::calls(&j.finish(100)).pop().expect("a call");
        regions(&session, &[last])
    };
    assert_eq!(of("ec2:StopInstances", Some("a"), None), ["eu-west-1"]);
    for global in ["cloudfront:CreateInvalidation", "iam:TagRole", "route53:ChangeResourceRecordSets"] {
        assert_eq!(of(global, Some("a"), None), ["us-east-1"], "{global}");
    }
    assert_eq!(of("ec2:StopInstances", None, Some("timeout")), [""; 0]);
    assert_eq!(of("ec2:StopInstances", Some("a"), Some("denied")), ["eu-west-1"]);
}

#[test]
fn reasons_are_told_up_to_a_number() {
    let mut folder = Folder::whole();
    let elsewhere = Signer::new("999999999999", "eu-west-1");
    for digest in elsewhere.chain(hour(0), &[&[] as &[(&str, &[u8])]; 25]) {
        folder.put(&digest.name, gz(&digest.plain));
    }
    let proof = is(&folder, Standing::Proven, "").proof.expect("one");
    assert_eq!((proof.open.len(), proof.digests), (MOST_SAID, 8));
}

#[test]
fn the_last_of_a_chain_alone_has_its_signature_beside_it() {
    let lines = run().finish(100 + 3_600);
    let folder = Folder::whole();
    let files = folder.compared(&lines, Included::Run).files;
    let made: Vec<String> = files
        .iter()
        .filter_map(|f| match f {
            Include::Made { name, .. } => Some(name.clone()),
            Include::Given { .. } => None,
        })
        .collect();
    let signature = |region: &str| {
        format!(
            "cloudtrail-{ACCOUNT}_CloudTrail-Digest_{region}_audit_all_eu-west-1_20260921T160000Z.signature.json"
        )
    };
    assert_eq!(made, [signature("eu-west-1"), signature("us-east-1"), KEYS.to_owned()]);
    // two digests of each region, and two log files
    assert_eq!(files.len() - made.len(), 6);
    // where no file of the session is vouched for, nothing goes along
    let lines = run().finish(100);
    let empty = signer().chain(hour(0), &[&[], &[], &[], &[]]);
    let mut folder = Folder::whole().without("Digest").without("us.json.gz");
    folder.digests(&empty);
    assert_eq!(folder.compared(&lines, Included::All).files, []);
}

#[test]
fn a_whole_chain_proves_nothing_where_it_vouches_for_no_call() {
    let lines = run().finish(100);
    let session = Session::of(&lines).expect("a header");
    let gathered = Folder::whole().gathered(&lines);
    let calls = super::super::super::calls::calls(&lines);
    let proven = |folder: &Gathering, unvouched, matched| {
        let found = Proven::of(folder, &session, &calls).expect("digests");
        found.summary(unvouched, matched, Included::Run).proven
    };
    for (unvouched, matched, holds) in [(0, 3, true), (0, 1, true), (0, 0, false), (1, 3, false)] {
        assert_eq!(proven(&gathered, unvouched, matched), holds, "{unvouched} of {matched} not vouched for");
    }
    let gap = Folder::whole().without("Digest_eu-west-1_audit_all_eu-west-1_20260921T15").gathered(&lines);
    assert!(!proven(&gap, 0, 3));
}
