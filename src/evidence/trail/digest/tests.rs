//! Digest files field by field, the places that they may lie in, and the keys' times at their edges.

use serde_json::json;

use super::super::forge::{Signed, Signer};
use super::super::tests::at;
use super::*;

fn signer() -> Signer {
    Signer::new("123456789012", "eu-west-1")
}

/// A digest of a second hour, with the one before it.
fn second() -> (Signed, Signed) {
    let first = signer().digest((at(0), at(3_600)), None, &[]);
    let log: (&str, &[u8]) = ("a.json.gz", b"{\"Records\":[]}");
    let second = signer().digest((at(3_600), at(7_200)), Some(&first), &[log]);
    (first, second)
}

fn read(text: &str) -> Result<Digest, String> {
    Digest::read(text.as_bytes()).map_err(|e| e.to_string())
}

#[test]
fn hexadecimal_text_is_whole_bytes_and_not_without_end() {
    for (text, bytes) in [
        ("", None),
        ("0", None),
        ("000", None),
        ("0g", None),
        ("0a1F", Some(vec![0x0a, 0x1f])),
        ("f00f", Some(vec![0xf0, 0x0f])),
    ] {
        assert_eq!(unhex(text), bytes, "{text}");
    }
    assert_eq!(unhex(&"ab".repeat(2_048)), Some(vec![0xab; 2_048]));
    assert_eq!(unhex(&"ab".repeat(2_049)), None);
}

#[test]
fn only_algorithms_that_are_checked_count() {
    let (_, second) = second();
    let digest = read(&second.plain).expect("a digest");
    assert_eq!((digest.name(), digest.logs.len(), digest.start), (second.name.as_str(), 1, at(3_600)));
    for (from, to, says) in [
        (
            "\"previousDigestHashAlgorithm\":\"SHA-256\"",
            "\"previousDigestHashAlgorithm\":\"MD5\"",
            "uses MD5,",
        ),
        ("\"previousDigestHashAlgorithm\":\"SHA-256\",", "", "uses ,"),
        ("\"hashAlgorithm\":\"SHA-256\"", "\"hashAlgorithm\":\"SHA-1\"", "uses SHA-1,"),
        (&format!("\"{}\"", second_signature(&digest)), "\"zz\"", "a signature is not hexadecimal"),
        ("\"previousDigestHashValue\"", "\"renamed\"", "is named without its hash"),
        ("\"previousDigestSignature\"", "\"renamed\"", "is named without its hash"),
    ] {
        let bad = second.plain.replace(from, to);
        assert_ne!(bad, second.plain, "{from}");
        assert!(read(&bad).is_err_and(|e| e.contains(says)), "{from}: {:?}", read(&bad));
    }
    // one whose predecessor is not named is the first of its chain
    for key in ["previousDigestS3Bucket", "previousDigestS3Object"] {
        let first = read(&second.plain.replace(key, "renamed")).expect("a digest");
        assert_eq!(first.previous, None, "{key}");
    }
}

fn second_signature(digest: &Digest) -> String {
    merkle::hex(&digest.previous.as_ref().expect("one before").signature)
}

#[test]
fn a_digest_follows_the_one_that_it_names_by_place_and_hash() {
    let (first, second) = second();
    let (first, second) = (read(&first.plain).expect("one"), read(&second.plain).expect("one"));
    assert!(second.follows(&first) && !first.follows(&second) && !second.follows(&second));
    let changes: [fn(&mut Previous); 3] =
        [|p| p.bucket.push('x'), |p| p.object.push('x'), |p| p.sha256.push('x')];
    for change in changes {
        let mut other = second.clone();
        change(other.previous.as_mut().expect("one before"));
        assert!(!other.follows(&first), "{:?}", other.previous);
    }
}

#[test]
fn a_signature_is_of_one_text_by_one_key() {
    let (first, second) = second();
    let own = PublicKeys::read(signer().keys().to_string().as_bytes()).expect("keys");
    let other = Signer::new("123456789012", "us-east-1").keys().to_string();
    let other = PublicKeys::read(other.as_bytes()).expect("keys");
    let signature = unhex(&second.signature).expect("hexadecimal");
    let digest = read(&second.plain).expect("a digest");
    assert!(digest.is_signed(&signature, &own.keys[0]));
    assert!(!digest.is_signed(&signature, &other.keys[0]));
    assert!(!digest.is_signed(&unhex(&first.signature).expect("hexadecimal"), &own.keys[0]));
    assert!(!read(&first.plain).expect("a digest").is_signed(&signature, &own.keys[0]));
}

#[test]
fn a_digest_lies_where_cloudtrail_puts_one() {
    let name = "1_CloudTrail-Digest_eu-west-1_a_b_eu-west-1_20260921T150000Z";
    for (place, lies) in [
        ("AWSLogs/1/CloudTrail-Digest/eu-west-1/2026/09/21", true),
        ("logs/AWSLogs/1/CloudTrail-Digest/eu-west-1/2026/09/21", true),
        ("AWSLogs/o-x/1/CloudTrail-Digest/eu-west-1/2026/09/21", true),
        ("AWSLogs/x/1/CloudTrail-Digest/eu-west-1/2026/09/21", false),
        ("logs/o-x/1/CloudTrail-Digest/eu-west-1/2026/09/21", false),
        ("o-x/1/CloudTrail-Digest/eu-west-1/2026/09/21", false),
        ("AWSLogs/1/CloudTrail/eu-west-1/2026/09/21", false),
        ("AWSLogs/2/CloudTrail-Digest/eu-west-1/2026/09/21", false),
        ("AWSLogs/1/CloudTrail-Digest/eu-west-2/2026/09/21", false),
        ("AWSLogs/1/CloudTrail-Digest/eu-west-1/2026/9/21", false),
        ("AWSLogs/1/CloudTrail-Digest/eu-west-1/2026/ab/21", false),
        ("AWSLogs/1/CloudTrail-Digest/eu-west-1/26/09/2026", false),
        ("2026/09/21", false),
    ] {
        let found = Place::of(&format!("{place}/{name}.json.gz"));
        let found = found.map(|p| (p.account, p.region, p.trail, p.backfill));
        let expected = ("1".to_owned(), "eu-west-1".to_owned(), "a_b_eu-west-1".to_owned(), false);
        assert_eq!(found, lies.then_some(expected), "{place}");
    }
    let place = "AWSLogs/1/CloudTrail-Digest/eu-west-1/2026/09/21";
    let late = Place::of(&format!("{place}/{name}_backfill.json.gz")).expect("a place");
    assert_eq!((late.trail.as_str(), late.backfill), ("a_b_eu-west-1", true));
    assert!(Place::of(&format!("{place}/{name}.json")).is_none());
    assert_eq!((base("a/b/c"), base("c"), base("")), ("c", "c", ""));
}

#[test]
fn the_signature_is_in_what_head_object_prints() {
    for (answer, found) in [
        (json!({"Metadata": {"signature": "0a", "signature-algorithm": "SHA256withRSA"}}), Some(vec![10])),
        (json!({"Metadata": {"signature": "0a"}}), Some(vec![10])),
        (json!({"Metadata": {"signature": "0a", "signature-algorithm": "MD5withRSA"}}), None),
        (json!({"Metadata": {"signature": "soon"}}), None),
        (json!({"signature": "0a"}), None),
    ] {
        assert_eq!(head_object(&answer), found, "{answer}");
    }
}

#[test]
fn keys_are_written_as_they_are_read_and_none_twice() {
    let key = |start: Value, end: Value| {
        let key = json!({"Value": " AQID\n", "Fingerprint": "f", "ValidityStartTime": start, "ValidityEndTime": end});
        PublicKeys::read(json!({"PublicKeyList": [key]}).to_string().as_bytes())
    };
    let times = ("2026-09-21T14:13:00Z", "2026-09-21T16:13:01+02:00");
    let mut keys = key(times.0.into(), times.1.into()).expect("keys");
    assert_eq!(keys.keys[0].der, [1, 2, 3]);
    assert_eq!((keys.keys[0].validity_start_time, keys.keys[0].validity_end_time), (at(0), at(1)));
    let seconds = at(0).timestamp();
    assert_eq!(key(seconds.into(), (seconds + 1).into()).expect("keys"), keys);
    for wrong in [Value::Null, json!("soon"), json!(true), json!(1e30)] {
        let refused = key(wrong.clone(), times.1.into()).expect_err("no time").to_string();
        assert!(refused.contains("is no time"), "{wrong}: {refused}");
    }
    let written = keys.to_bytes();
    assert!(written.ends_with(b"}\n"));
    assert_eq!(PublicKeys::read(&written).expect("keys"), keys);
    keys.add(keys.clone());
    assert_eq!(keys.keys.len(), 1);
    let mut other = keys.clone();
    other.keys[0].fingerprint = "g".into();
    keys.add(other);
    assert_eq!(keys.keys.iter().map(|k| k.fingerprint.as_str()).collect::<Vec<_>>(), ["f", "g"]);
}

#[test]
fn a_key_is_valid_from_when_the_hour_ends_until_the_digest_must_be_signed() {
    let (_, second) = second();
    let mut digest = read(&second.plain).expect("a digest");
    let of = |digest: &Digest, from: i64, to: i64| {
        let mut keys = PublicKeys::read(signer().keys().to_string().as_bytes()).expect("keys");
        (keys.keys[0].validity_start_time, keys.keys[0].validity_end_time) = (at(from), at(to));
        keys.of(digest).map(|keys| keys.len())
    };
    let (end, latest) = (7_200, 7_200 + 2 * 3_600);
    let late = format!("is signed under key {}, which was not valid then", digest.fingerprint);
    assert_eq!(of(&digest, 0, end), Ok(1));
    assert_eq!(of(&digest, 0, end - 1), Err(late.clone()));
    assert_eq!(of(&digest, latest, latest), Ok(1));
    assert_eq!(of(&digest, latest + 1, latest + 9), Err(late));
    digest.backfill = true;
    assert_eq!(of(&digest, latest + 1, latest + 9), Ok(1), "what came late is signed late");
    digest.fingerprint = "f".into();
    assert_eq!(of(&digest, 0, end), Err("is signed under key f, which is not at hand".to_owned()));
}
