//! Which key signs: named on the command line, configured, or the state folder's own; never another one.

use std::fs;
use std::path::Path;

use redrill::evidence::keys::PublicKey;

use super::runs::a_place_with_runs;
use super::{Place, fixture};

/// Makes a key and says its fingerprint.
fn a_key(place: &Place, name: &str, kind: &str) -> String {
    let made = place.run(&["init", "--key", name, "--key-type", kind, "--output", "json"]).exits(0);
    made.json()[0]["fingerprint"].as_str().expect("a fingerprint").to_owned()
}

/// Makes the bundle, checks it, and says whose key signed it.
fn signer(place: &Place, args: &[&str]) -> String {
    let folder = place.path().join("bundle");
    if folder.exists() {
        fs::remove_dir_all(&folder).expect("the old one goes");
    }
    let _made = place.run(&[&["report", "--out", "bundle"], args].concat()).exits(0);
    let _holds = place.run(&["verify", "bundle"]).exits(0);
    fingerprint(&folder.join("signing.pub"))
}

fn fingerprint(pem: &Path) -> String {
    PublicKey::from_pem(&fs::read_to_string(pem).expect("a public key")).expect("a key").fingerprint()
}

#[test]
fn the_command_line_wins_over_the_configuration_over_the_own_key() {
    let (place, _) = a_place_with_runs();
    let (one, two) = (a_key(&place, "one.pem", "p256"), a_key(&place, "two.pem", "ed25519"));
    let own = signer(&place, &[]);
    assert!(own != one && own != two);
    place.write("redrill.toml", "[evidence]\nkey = \"one.pem\"\n");
    assert_eq!(signer(&place, &[]), one);
    let first = fs::read(place.path().join("bundle/attestation.dsse.json")).expect("signed");
    assert_eq!(signer(&place, &["--key", "two.pem"]), two);
    assert_eq!(signer(&place, &[]), one, "not the one that signed last");
    let again = fs::read(place.path().join("bundle/attestation.dsse.json")).expect("signed");
    assert_eq!(first, again, "signed once, although P-256 draws randomness");
    fs::remove_file(place.path().join("redrill.toml")).expect("gone");
    assert_eq!(signer(&place, &[]), own, "without a configuration it is the own key again");
}

#[test]
fn a_key_that_is_named_and_not_there_is_a_refusal() {
    let (place, ids) = a_place_with_runs();
    let _made = place.run(&["report", "--out", "bundle"]).exits(0);
    place.write("redrill.toml", "[evidence]\nkey = \"gone.pem\"\n");
    let missing = "redrill: there is no key gone.pem\n  hint: make one: redrill init --key gone.pem\n";
    let ran = place.run(&["report", "--out", "again"]);
    assert_eq!(ran.all(), (2, "", missing), "also where the run was signed before");
    assert!(!place.path().join("again").exists());
    let ran = place.run(&["report", "--out", "again", "--key", "lost.pem"]).exits(2);
    assert!(ran.stderr.contains("there is no key lost.pem"), "{}", ran.stderr);
    let ran = place.run(&["sign-off", &ids[0], "--by", "me", "--key", "lost.pem"]).exits(2);
    assert!(ran.stderr.contains("there is no key lost.pem"), "{}", ran.stderr);
    place.write("redrill.toml", "[evidence]\nkey = \"arn:aws:kms:us-east-1:123456789012:key/k\"\n");
    let ran = place.run(&["init"]).exits(2);
    assert!(ran.stderr.contains("there is nothing to make here"), "{}", ran.stderr);
    place.write("redrill.toml", "[evidence]\nkey = \"gone.pem\"\n");
    // what the configuration names is what `init` makes
    let _made = place.run(&["init"]).exits(0);
    assert_eq!(place.run(&["report", "--out", "again"]).exits(0).stderr, "");
    assert!(!place.state().join("keys/gone.pem").exists());
}

#[test]
fn checkpoints_are_signed_by_an_ed25519_key_of_this_machine_or_the_run_does_not_begin() {
    let place = Place::new();
    let _p256 = a_key(&place, "p256.pem", "p256");
    let drill = fixture("stop");
    let refused = |key: &str, why: &str| {
        place.write("redrill.toml", format!("[evidence]\ncheckpoint_key = \"{key}\"\n"));
        let ran = place.run(&["run", &drill, "--yes"]).exits(2);
        assert!(ran.stderr.contains(why), "{}", ran.stderr);
        assert!(!place.state().join("runs").exists(), "nothing began");
    };
    refused("gone.pem", "there is no key gone.pem");
    refused("p256.pem", "the key p256.pem cannot sign checkpoints: it is no Ed25519 key");
    refused("arn:aws:kms:us-east-1:123456789012:key/k", "`checkpoint_key` takes a file");
}

#[test]
fn who_runs_the_drills_does_not_sign_their_review_off() {
    let (place, ids) = a_place_with_runs();
    let (_one, _two) = (a_key(&place, "one.pem", "p256"), a_key(&place, "two.pem", "p256"));
    let _reviewer = a_key(&place, "reviewer.pem", "p256");
    place.write("redrill.toml", "[evidence]\nkey = \"one.pem\"\n");
    let sign_off = |key: &str| place.run(&["sign-off", &ids[1], "--by", "a reviewer", "--key", key]);
    assert!(sign_off("one.pem").exits(3).stderr.contains("the key of whoever runs the drills here"));
    let _made = place.run(&["report", &ids[1], "--out", "bundle", "--key", "two.pem"]).exits(0);
    assert!(sign_off("two.pem").exits(3).stderr.contains("the key of whoever runs the drills here"));
    let _accepted = sign_off("reviewer.pem").exits(0);
    let ran = place.run(&["report", &ids[1], "--out", "again", "--key", "reviewer.pem"]).exits(3);
    assert!(ran.stderr.contains("that key signed the review of this run"), "{}", ran.stderr);
}
