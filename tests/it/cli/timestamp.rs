//! Timestamps of an authority on the evidence bundle, through the real binary: got, checked, kept; an
//! authority that lies; a bundle whose timestamp was taken away or exchanged.

use std::fs;

use redrill::bundle::verify::{Trust, verify};
use redrill::bundle::{self, Files, seal};
use redrill::evidence::dsse::{Envelope, pae};
use redrill::evidence::keys::{Algorithm, PrivateKey};
use redrill::evidence::timestamp::Timestamp;
use serde_json::Value;

use super::authority::{Authority, Kind, Lie};
use super::evidence::read;
use super::{Place, fixture, text_of};

/// A finished run with keys, and an authority that its configuration names.
fn a_place() -> (Place, Authority) {
    let place = Place::new();
    let _run = place.run_of(&text_of(&fixture("missed")), 2);
    let _made = place.run(&["init"]).exits(0);
    let authority = Authority::new(Kind::P256);
    place.write("redrill.toml", format!("[evidence]\ntimestamp_authority = \"{}\"\n", authority.url));
    (place, authority)
}

fn broken(files: &Files) -> String {
    verify(files, &Trust::default()).broken.join("; ")
}

#[test]
fn a_bundle_says_when_it_was_signed_and_by_whose_clock() {
    let (place, authority) = a_place();
    let ran = place.run(&["report", "last", "--out", "b"]).exits(0);
    assert_eq!(ran.stderr, "", "the clocks agree");
    let ran = place.run(&["verify", "b"]).exits(0);
    for part in [
        "ok      attestation.sigstore.json holds the same envelope and timestamp",
        "ok      timestamp.tsr is as it was sealed by the same key",
        "says the timestamp authority “Test authority, redrill tests”",
        "- when it was signed, unless you trust the timestamp authority",
    ] {
        assert!(ran.stdout.contains(part), "{part}:\n{}", ran.stdout);
    }
    assert!(!ran.stdout.contains("there is no timestamp"), "{}", ran.stdout);
    // a certificate from elsewhere decides: that of the issuer, or the authority's own; not any other
    for own in [authority.root(), authority.certificate()] {
        let ran = place.run(&["verify", "b", "--timestamp-ca", own.to_str().expect("text")]).exits(0);
        assert!(ran.stdout.contains("leads to one that you trust"), "{}", ran.stdout);
        assert!(!ran.stdout.contains("unless you trust"), "{}", ran.stdout);
        assert!(ran.stdout.contains("was not revoked: nobody was asked"), "{}", ran.stdout);
    }
    let other = Authority::new(Kind::P256);
    for no in [other.root(), other.certificate()] {
        let ran = place.run(&["verify", "b", "--timestamp-ca", no.to_str().expect("text")]).exits(1);
        assert!(ran.stdout.contains("BROKEN  timestamp.tsr: the authority's certificate"), "{}", ran.stdout);
    }
    place.write("none.pem", "nothing");
    let ran = place.run(&["verify", "b", "--timestamp-ca", "none.pem"]).exits(2);
    assert!(ran.stderr.contains("the file holds no certificate in PEM"), "{}", ran.stderr);
    let report: Value = serde_json::from_str(&place.read("b/report.json")).expect("JSON");
    assert_eq!(report["integrity"]["timestamp_authority"], authority.url.as_str());
    assert!(!report["gaps"].to_string().contains("a timestamp of an authority"), "{}", report["gaps"]);
}

#[test]
fn a_timestamp_is_asked_for_once() {
    let (place, authority) = a_place();
    let _bundle = place.run(&["report", "last", "--out", "b"]).exits(0);
    authority.lies(Lie::Garbage);
    fs::rename(place.state().join("keys"), place.path().join("away")).expect("moved");
    let _again = place.run(&["report", "last", "--out", "again"]).exits(0);
    assert_eq!(read(&place.path().join("again")), read(&place.path().join("b")), "byte for byte");
    assert_eq!(authority.answers().len(), 1);
}

#[test]
fn one_that_was_got_but_not_sealed_is_kept() {
    let (place, authority) = a_place();
    let _bundle = place.run(&["report", "last", "--out", "b"]).exits(0);
    let run =
        fs::read_dir(place.state().join("runs")).expect("runs").next().expect("one").expect("read").path();
    let seal = fs::read(place.path().join("b/seal.dsse.json")).expect("a seal");
    let entries = fs::read_dir(&run).expect("a folder").map(|e| e.expect("an entry").path());
    let kept: Vec<_> = entries.filter(|p| fs::read(p).is_ok_and(|bytes| bytes == seal)).collect();
    assert_eq!(kept.len(), 1);
    fs::remove_file(&kept[0]).expect("removed");
    let _again = place.run(&["report", "last", "--out", "again"]).exits(0);
    let (first, again) = (read(&place.path().join("b")), read(&place.path().join("again")));
    assert_eq!(again["timestamp.tsr"], first["timestamp.tsr"]);
    assert_eq!(authority.answers().len(), 1);
    assert_eq!(broken(&again), "");
}

#[test]
fn a_timestamp_that_cannot_be_had_is_never_left_out_in_silence() {
    let (place, authority) = a_place();
    let other = Authority::new(Kind::P256);
    let _old = place.run(&["report", "last", "--out", "old", "--timestamp", &other.url]).exits(0);
    for (lie, why) in [
        (Lie::Imprint, "it is a timestamp of something else"),
        (Lie::Nonce, "it is the answer to another request: the nonce differs"),
        (Lie::Rejection, "the authority does not grant it: status 2"),
        (Lie::Garbage, "the response is not what RFC 3161 says, or is not in DER"),
        (Lie::Trailing, "the response is not what RFC 3161 says, or is not in DER"),
        (Lie::Status, "it answered with HTTP status 500"),
        (Lie::HangUp, "no timestamp of http://127.0.0.1:"),
        (Lie::Replay(other.answers().remove(0)), "it is a timestamp of something else"),
        (Lie::Signature, "the authority's signature does not hold"),
        (Lie::NoCertificate, "the authority's certificate does not serve: it is not in the token"),
        (Lie::Purpose, "the authority's certificate does not serve: it is not one for time stamping"),
        (
            Lie::Clock("20010101000000"),
            "the authority's certificate does not serve: it was not valid at that time",
        ),
    ] {
        authority.lies(lie.clone());
        let ran = place.run(&["report", "last", "--out", "b"]).exits(3);
        assert!(ran.stderr.contains(why), "{lie:?}: {}", ran.stderr);
        assert!(ran.stderr.contains("no bundle was written"), "{lie:?}: {}", ran.stderr);
        assert!(ran.stderr.contains("hint: hand over without one, which the report says: --no-timestamp"));
        assert!(!place.path().join("b").exists(), "{lie:?}");
    }
    let _without = place.run(&["report", "last", "--out", "without", "--no-timestamp"]).exits(0);
    let without = read(&place.path().join("without"));
    assert!(!without.contains_key("timestamp.tsr") && !without.contains_key("seal.dsse.json"));
    let ran = place.run(&["verify", "without"]).exits(0);
    assert!(
        ran.stdout.contains("when it was signed: there is no timestamp of an authority"),
        "{}",
        ran.stdout
    );
    let root = authority.root();
    let _asked = place.run(&["verify", "without", "--timestamp-ca", root.to_str().expect("text")]).exits(1);
    // nothing of what it said before was kept
    authority.lies(Lie::None);
    let _bundle = place.run(&["report", "last", "--out", "b"]).exits(0);
    assert_eq!(broken(&read(&place.path().join("b"))), "");
    // and without a server there is none
    place.write("redrill.toml", "[evidence]\ntimestamp_authority = \"https://me:hunter2@a.example/\"\n");
    let ran = place.run(&["report", "last", "--out", "c"]).exits(2);
    assert!(
        ran.stderr.contains("holds a user or password") && !ran.stderr.contains("hunter2"),
        "{}",
        ran.stderr
    );
}

#[test]
fn clocks_that_are_far_apart_are_said_when_it_is_made_and_when_it_is_checked() {
    let (place, authority) = a_place();
    authority.lies(Lie::Clock("20320304050607"));
    let ran = place.run(&["report", "last", "--out", "b"]).exits(0);
    assert!(
        ran.stderr
            .contains("the timestamp authority says it is 2032-03-04 05:06:07 UTC, this machine's clock"),
        "{}",
        ran.stderr
    );
    let ran = place.run(&["verify", "b"]).exits(0);
    assert!(ran.stdout.contains("it was signed before 2032-03-04 05:06:07 UTC"), "{}", ran.stdout);
    assert!(!ran.stdout.contains("which clock was wrong"), "{}", ran.stdout);
}

#[test]
fn a_timestamp_can_be_neither_taken_away_nor_exchanged() {
    let (place, authority) = a_place();
    let _bundle = place.run(&["report", "last", "--out", "b"]).exits(0);
    let files = read(&place.path().join("b"));
    let envelope = Envelope::from_bytes(&files[bundle::ENVELOPE]).expect("an envelope");
    // another valid one, of the same signature by the same authority
    let run =
        fs::read_dir(place.state().join("runs")).expect("runs").next().expect("one").expect("read").path();
    for file in fs::read_dir(&run).expect("a folder").map(|e| e.expect("an entry").path()) {
        if file.extension().is_some_and(|e| e == "tsr") {
            fs::remove_file(file).expect("removed");
        }
    }
    let _other = place.run(&["report", "last", "--out", "other"]).exits(0);
    let other = read(&place.path().join("other"));
    assert_eq!(other[bundle::ENVELOPE], files[bundle::ENVELOPE]);
    assert_ne!(other[bundle::TIMESTAMP], files[bundle::TIMESTAMP]);
    assert_eq!(broken(&other), "");
    let with = |changes: &[(&str, Option<Vec<u8>>)]| {
        let mut changed = files.clone();
        for (name, bytes) in changes {
            match bytes {
                Some(bytes) => changed.insert((*name).to_owned(), bytes.clone()),
                None => changed.remove(*name),
            };
        }
        broken(&changed)
    };
    let bare = Some(envelope.sigstore(&[]));
    let missing = with(&[(bundle::TIMESTAMP, None), (bundle::SEAL, None), (bundle::SIGSTORE, bare.clone())]);
    assert!(
        missing.contains(&format!("a timestamp of {} belongs to this bundle", authority.url)),
        "{missing}"
    );
    let missing = with(&[(bundle::SEAL, None)]);
    assert!(missing.starts_with("seal.dsse.json is missing"), "{missing}");
    let exchanged = with(&[
        (bundle::TIMESTAMP, Some(other[bundle::TIMESTAMP].clone())),
        (bundle::SIGSTORE, Some(other[bundle::SIGSTORE].clone())),
    ]);
    assert!(exchanged.contains("is not what seal.dsse.json was signed for"), "{exchanged}");
    assert!(with(&[(bundle::SIGSTORE, bare)]).contains("does not hold the same envelope and timestamp"));
    // sealed anew by another key, or about another authority
    let resealed = |key: &PrivateKey, url: &str| {
        let payload = seal::statement(url, &envelope, &files[bundle::TIMESTAMP]).to_bytes();
        let seal = Envelope::new(&payload, &key.public(), &key.sign(&pae(&payload)).expect("signed"));
        with(&[(bundle::SEAL, Some(seal.to_bytes()))])
    };
    let key = PrivateKey::from_pem(&place.read(".redrill/keys/signing.pem"), None).expect("the key");
    assert_eq!(resealed(&key, &authority.url), "", "Ed25519: the same seal");
    assert!(resealed(&key, "http://127.0.0.1/").contains("is not what seal.dsse.json was signed for"));
    let stranger = PrivateKey::generate(Algorithm::Ed25519).expect("a key");
    assert!(resealed(&stranger, &authority.url).contains("the signature does not fit key"));
    // put into a bundle that was signed without one
    let _without = place.run(&["report", "last", "--out", "without", "--no-timestamp"]).exits(0);
    let mut without = read(&place.path().join("without"));
    for name in [bundle::TIMESTAMP, bundle::SEAL] {
        let mut one = without.clone();
        one.insert(name.to_owned(), files[name].clone());
        assert!(broken(&one).contains(&format!("{name} is not part of what was signed")), "{}", broken(&one));
        without = one;
    }
}

#[test]
fn no_bit_of_an_answer_decides_unseen() {
    for kind in [Kind::P256, Kind::Rsa] {
        let (place, _) = a_place();
        let authority = Authority::new(kind);
        let _bundle = place.run(&["report", "last", "--out", "b", "--timestamp", &authority.url]).exits(0);
        let files = read(&place.path().join("b"));
        let signature = Envelope::from_bytes(&files[bundle::ENVELOPE]).expect("an envelope").signature();
        let response = &files[bundle::TIMESTAMP];
        let good = Timestamp::read(response, &signature).expect("it holds");
        let mut unseen = 0;
        for at in 0..response.len() * 8 {
            let mut changed = response.clone();
            changed[at / 8] ^= 1 << (at % 8);
            if let Ok(read) = Timestamp::read(&changed, &signature) {
                assert_eq!(read, good, "bit {at}");
                unseen += 1;
            }
        }
        // numbers of versions, and the list of hashes before the signature, say nothing that counts
        assert!(unseen < 8 * 32, "{kind:?}: {unseen} bits");
    }
}
