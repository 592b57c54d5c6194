//! Evidence handed over for good: published under Object Lock, signed by a key of KMS. What came of it
//! is asked of the emulator itself, never of redrill.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use redrill::evidence::checkpoint::notes;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::world::{Ended, World, skipped};
use crate::cli::authority::{Authority, Kind};

const BUCKET: &str = "evidence-123456789012";
const TO: &str = "s3://evidence-123456789012/dr";

/// A world with a finished run, and a bucket with Object Lock.
async fn a_run() -> Option<(World, String)> {
    let w = World::start().await?;
    let drill = format!("{}/drills/ec2-instance-loss.yaml", env!("CARGO_MANIFEST_DIR"));
    let health = format!("health_url={}/health", w.sandbox.health);
    let ended = w.go(["run", &drill, "--yes", "--output", "json", "--set", &health]).await;
    ended.expect(0, "passed");
    let run = ended.result()["run"].as_str().expect("a run").to_owned();
    let made = w.s3("PUT", BUCKET, &[("x-amz-bucket-object-lock-enabled", "true")]).await;
    assert_eq!(made.status(), 200);
    w.forget_calls().await;
    Some((w, run))
}

async fn publish(w: &World, run: &str, more: &[&str]) -> Ended {
    w.go([&["publish", run, "--to", TO, "--output", "json"], more].concat()).await
}

fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).expect("a folder").map(|e| e.expect("an entry"));
    let file =
        |e: fs::DirEntry| (e.file_name().to_string_lossy().into_owned(), fs::read(e.path()).expect("a file"));
    entries.map(file).collect()
}

fn receipts(w: &World, run: &str) -> usize {
    let names = fs::read_dir(w.home.path().join(".redrill/runs").join(run)).expect("the run's folder");
    let names = names.map(|e| e.expect("an entry").file_name().to_string_lossy().into_owned());
    names.filter(|n| n.starts_with("receipt-") && n.ends_with(".dsse.json")).count()
}

async fn versions(w: &World) -> usize {
    let list = w.s3("GET", &format!("{BUCKET}?versions"), &[]).await.text().await.expect("a list");
    list.matches("<Version>").count()
}

#[tokio::test]
async fn what_is_published_lies_there_under_lock_and_stays() {
    let Some((w, run)) = a_run().await else { return };
    let ended = publish(&w, &run, &["--retain", "7y"]).await;
    assert!(ended.code == Some(3) && ended.err.contains("there is no terminal to ask on"), "{ended}");
    assert_eq!(w.count("PutObject").await, 0);

    let ended = publish(&w, &run, &["--retain", "7y", "--yes"]).await;
    assert_eq!(ended.code, Some(0), "{ended}");
    assert!(ended.err.contains("not even the root user"), "{ended}");
    let told = &ended.lines[0];
    let bundle = w.go(["report", &run, "--out", "bundle"]).await;
    assert_eq!(bundle.code, Some(0), "{bundle}");
    let files = files(&w.home.path().join("bundle"));
    let objects = told["publication"]["objects"].as_array().expect("objects");
    assert_eq!((objects.len(), told["uploaded"].as_u64()), (files.len(), Some(files.len() as u64)));
    let until = told["publication"]["lock"]["until"].as_str().expect("a date");
    let years = until[..4].parse::<i32>().expect("a year") - run[..4].parse::<i32>().expect("a year");
    assert!([7, 8].contains(&years), "{until}");
    for object in objects {
        let (name, version) =
            (object["name"].as_str().expect("a name"), object["version"].as_str().expect("one"));
        let path = format!("{BUCKET}/dr/{run}/{name}?versionId={version}");
        let head = w.s3("HEAD", &path, &[("x-amz-checksum-mode", "ENABLED")]).await;
        let header = |name: &str| head.headers().get(name).and_then(|v| v.to_str().ok()).unwrap_or_default();
        assert_eq!(header("x-amz-object-lock-mode"), "COMPLIANCE", "{name}");
        assert!(header("x-amz-object-lock-retain-until-date").starts_with(&until[..10]), "{name}");
        assert_eq!(header("x-amz-checksum-sha256"), STANDARD.encode(Sha256::digest(&files[name])), "{name}");
        let body = w.s3("GET", &path, &[]).await.bytes().await.expect("a body");
        assert_eq!(body, files[name], "{name}");
        let gone = w.s3("DELETE", &path, &[("x-amz-bypass-governance-retention", "true")]).await;
        assert_eq!(gone.status(), 403, "{name} can be deleted");
    }
    let receipt = told["receipt"].as_str().expect("a path");
    let checked = w.go(["verify", "bundle", "--receipt", receipt]).await;
    assert!(
        checked.code == Some(0) && checked.out.contains("the receipt, signed by the same key"),
        "{checked}"
    );

    w.forget_calls().await;
    let again = publish(&w, &run, &["--retain", "7y"]).await;
    assert_eq!((again.code, again.lines[0]["uploaded"].as_u64()), (Some(0), Some(0)), "{again}");
    assert_eq!(again.lines[0]["publication"], told["publication"]);
    assert_eq!((w.count("PutObject").await, w.count("HeadObject").await), (0, files.len()));
    // a longer lock is another publication
    let longer = publish(&w, &run, &["--retain", "9y", "--yes"]).await;
    assert_eq!((longer.code, receipts(&w, &run)), (Some(0), 2), "{longer}");
    assert_eq!(versions(&w).await, 2 * files.len());
}

#[tokio::test]
async fn a_bucket_that_cannot_keep_it_is_refused_unless_that_is_asked_for() {
    let Some((w, run)) = a_run().await else { return };
    let plain = |more: &'static [&'static str]| {
        let to = "s3://shop-assets-123456789012/dr";
        w.go([&["publish", &run, "--to", to, "--yes"], more].concat())
    };
    let refused = plain(&["--retain", "1d"]).await;
    assert!(
        refused.code == Some(3) && refused.err.contains("bucket shop-assets-123456789012 has no Object Lock"),
        "{refused}"
    );
    assert!(refused.err.contains("--object-lock-enabled-for-bucket"), "{refused}");
    let foreign = publish(&w, &run, &["--retain", "1d", "--yes", "--bucket-owner", "999999999999"]).await;
    assert!(foreign.code == Some(5) && foreign.err.contains("--bucket-owner ID"), "{foreign}");
    let missing =
        w.go(["publish", &run, "--to", "s3://no-such-bucket-here", "--retain", "1d", "--yes"]).await;
    assert!(
        missing.code == Some(2) && missing.err.contains("there is no bucket no-such-bucket-here"),
        "{missing}"
    );
    assert_eq!((w.count("PutObject").await, receipts(&w, &run)), (0, 0));

    let open = plain(&["--without-lock"]).await;
    assert_eq!((open.code, receipts(&w, &run)), (Some(0), 1), "{open}");
    assert!(
        open.err.contains("WARNING: nothing is locked") && open.out.contains("lock       NONE"),
        "{open}"
    );
    let _bundle = w.go(["report", &run, "--out", "bundle"]).await;
    let receipt = format!(".redrill/runs/{run}/receipt-1.dsse.json");
    let checked = w.go(["verify", "bundle", "--receipt", &receipt]).await;
    assert!(checked.code == Some(0) && checked.out.contains("nothing is locked"), "{checked}");
    // what is gone is said, and not put back in silence
    let envelope: Value =
        serde_json::from_slice(&fs::read(w.home.path().join(&receipt)).expect("a receipt")).expect("JSON");
    let payload = STANDARD.decode(envelope["payload"].as_str().expect("text")).expect("base64");
    let statement: Value = serde_json::from_slice(&payload).expect("JSON");
    let object = &statement["predicate"]["objects"][2];
    let (key, version) = (object["key"].as_str().expect("a key"), object["version"].as_str().expect("one"));
    let path = format!("shop-assets-123456789012/{key}?versionId={version}");
    assert!(w.s3("DELETE", &path, &[]).await.status().is_success());
    w.forget_calls().await;
    let gone = plain(&["--without-lock"]).await;
    let says = format!("receipt-1.dsse.json is not borne out: {key}: it is not there any more");
    assert!(gone.code == Some(1) && gone.err.contains(&says), "{gone}");
    assert_eq!(w.count("PutObject").await, 0);
}

#[tokio::test]
async fn an_interrupted_publication_is_taken_up_and_nothing_is_there_twice() {
    let Some((w, run)) = a_run().await else { return };
    w.faults(json!([{ "service": "s3", "action": "PutObject", "fault": "error503", "skip": 3, "times": 3 }]))
        .await;
    let broken = publish(&w, &run, &["--retain-until", "2099-01-01", "--yes"]).await;
    assert!(broken.code == Some(5) && broken.err.contains("what is there by then is kept"), "{broken}");
    assert_eq!((receipts(&w, &run), versions(&w).await), (0, 3));
    w.no_faults().await;
    w.faults(
        json!([{ "service": "s3", "action": "PutObject", "fault": "lose_answer", "skip": 1, "times": 1 }]),
    )
    .await;
    let ended = publish(&w, &run, &["--retain-until", "2099-01-01", "--yes"]).await;
    assert_eq!((ended.code, receipts(&w, &run)), (Some(0), 1), "{ended}");
    let count = ended.lines[0]["publication"]["objects"].as_array().expect("objects").len();
    assert_eq!(ended.lines[0]["uploaded"].as_u64(), Some(count as u64 - 3));
    assert_eq!(versions(&w).await, count, "one version of each");
}

#[tokio::test]
async fn another_object_under_the_same_key_and_lock_does_not_count() {
    let Some((w, run)) = a_run().await else { return };
    // another object under the same key and lock, put there by somebody else
    let key = format!("{BUCKET}/dr/{run}/report.json");
    let lock = [
        ("x-amz-object-lock-mode", "COMPLIANCE"),
        ("x-amz-object-lock-retain-until-date", "2099-01-01T00:00:00Z"),
        ("x-amz-sdk-checksum-algorithm", "SHA256"),
    ];
    assert_eq!(w.s3("PUT", &key, &lock).await.status(), 200);
    let ended = publish(&w, &run, &["--retain", "1d", "--yes"]).await;
    assert_eq!(ended.code, Some(0), "{ended}");
    let count = ended.lines[0]["publication"]["objects"].as_array().expect("objects").len();
    assert_eq!(ended.lines[0]["uploaded"].as_u64(), Some(count as u64), "the other one does not count");
    assert_eq!(versions(&w).await, count + 1);
}

async fn a_key(w: &World, spec: &str) -> String {
    let made = w.kms("CreateKey", json!({ "KeySpec": spec, "KeyUsage": "SIGN_VERIFY" })).await;
    made["KeyMetadata"]["Arn"].as_str().expect("an ARN").to_owned()
}

#[tokio::test]
async fn a_key_of_kms_signs_bundles_and_receipts_and_is_asked_once() {
    let Some((w, run)) = a_run().await else { return };
    let arn = a_key(&w, "ECC_NIST_P256").await;
    w.file("redrill.toml", &format!("[evidence]\nkey = \"{arn}\"\nretain = \"1d\"\n"));
    w.forget_calls().await;
    for folder in ["bundle", "again"] {
        let made = w.go(["report", &run, "--out", folder]).await;
        assert_eq!(made.code, Some(0), "{made}");
        assert_eq!((w.count("GetPublicKey").await, w.count("Sign").await), (1, 1), "{folder}");
    }
    let bundle = w.home.path().join("bundle");
    assert_eq!(files(&bundle), files(&w.home.path().join("again")));
    let checked = w.go(["verify", "bundle"]).await;
    assert_eq!(checked.code, Some(0), "{checked}");

    // the public key is the one that KMS hands out, and openssl agrees with the signature
    let der = w.kms("GetPublicKey", json!({ "KeyId": arn })).await;
    let der = STANDARD.decode(der["PublicKey"].as_str().expect("a key")).expect("base64");
    let pem = fs::read_to_string(bundle.join("signing.pub")).expect("a key");
    let body: String = pem.lines().filter(|l| !l.starts_with('-')).collect();
    assert_eq!(STANDARD.decode(body).expect("base64"), der);
    openssl_agrees(&w, &bundle);

    w.forget_calls().await;
    let published = publish(&w, &run, &["--yes"]).await;
    assert_eq!(published.code, Some(0), "{published}");
    assert_eq!(w.count("Sign").await, 1, "the receipt");
    let receipt = published.lines[0]["receipt"].as_str().expect("a path");
    let checked = w.go(["verify", "bundle", "--receipt", receipt]).await;
    assert_eq!(checked.code, Some(0), "{checked}");
    let again = publish(&w, &run, &[]).await;
    assert_eq!((again.code, w.count("Sign").await), (Some(0), 1), "{again}");

    // with a timestamp KMS signs the result and the seal, once each
    let authority = Authority::new(Kind::P256);
    w.forget_calls().await;
    for folder in ["stamped", "stamped-again"] {
        let made = w.go(["report", &run, "--out", folder, "--timestamp", &authority.url]).await;
        assert_eq!((made.code, w.count("Sign").await), (Some(0), 2), "{folder}: {made}");
    }
    assert_eq!(authority.answers().len(), 1);
    assert_eq!(files(&w.home.path().join("stamped")), files(&w.home.path().join("stamped-again")));
    let root = authority.root();
    let checked = w.go(["verify", "stamped", "--timestamp-ca", &root.to_string_lossy()]).await;
    assert!(checked.code == Some(0) && checked.out.contains("timestamp"), "{checked}");
}

/// The bundle's own VERIFY.md says how: the encoding, then `openssl dgst`.
fn openssl_agrees(w: &World, bundle: &Path) {
    let text = fs::read_to_string(bundle.join("attestation.dsse.json")).expect("an envelope");
    let envelope: Value = serde_json::from_str(&text).expect("JSON");
    let bytes = |v: &Value| STANDARD.decode(v.as_str().expect("text")).expect("base64");
    let payload = bytes(&envelope["payload"]);
    let kind = envelope["payloadType"].as_str().expect("a type");
    let pae = [format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len()).as_bytes(), &payload].concat();
    let home = w.home.path();
    fs::write(home.join("sig"), bytes(&envelope["signatures"][0]["sig"])).expect("written");
    for (what, data, agrees) in
        [("as signed", pae.clone(), true), ("changed", [&pae[..], b" "].concat(), false)]
    {
        fs::write(home.join("pae"), data).expect("written");
        let mut openssl = std::process::Command::new("openssl");
        openssl.args(["dgst", "-sha256", "-verify"]).arg(bundle.join("signing.pub"));
        openssl.arg("-signature").arg(home.join("sig")).arg(home.join("pae"));
        match openssl.output() {
            Ok(out) => {
                assert_eq!(out.status.success(), agrees, "{what}: {}", String::from_utf8_lossy(&out.stdout));
            }
            Err(e) => skipped(&format!("openssl cannot be run: {e}")),
        }
    }
}

#[tokio::test]
async fn a_key_of_kms_that_cannot_sign_is_said_by_name_and_no_other_one_signs() {
    let Some((w, run)) = a_run().await else { return };
    let report = |key: String| {
        let w = &w;
        let run = &run;
        async move { w.go(["report", run, "--out", "bundle", "--key", &key]).await }
    };
    let refused = |ended: Ended, code: i32, says: &str| {
        assert!(ended.code == Some(code) && ended.err.contains(says), "{ended}");
        assert!(!w.home.path().join("bundle").exists());
    };
    let rsa = a_key(&w, "RSA_2048").await;
    refused(report(rsa).await, 2, "is a key RSA_2048 for SIGN_VERIFY; what signs bundles is ECC_NIST_P256");
    let arn = a_key(&w, "ECC_NIST_P256").await;
    let other = format!("{}00000000-0000-0000-0000-000000000000", &arn[..arn.len() - 36]);
    refused(report(other).await, 2, "there is no key arn:aws:kms:us-east-1:");
    w.kms("DisableKey", json!({ "KeyId": arn })).await;
    refused(report(arn.clone()).await, 5, "aws kms enable-key --key-id arn:aws:kms:us-east-1:");
    w.kms("EnableKey", json!({ "KeyId": arn })).await;
    for action in ["GetPublicKey", "Sign"] {
        w.faults(json!([{ "service": "kms", "action": action, "fault": "deny", "times": 1 }])).await;
        refused(report(arn.clone()).await, 5, "allow kms:GetPublicKey and kms:Sign on it");
        w.no_faults().await;
    }
    let elsewhere = arn.replace("us-east-1", "eu-west-1");
    refused(report(elsewhere).await, 2, "there is no key arn:aws:kms:eu-west-1:");
    assert!(!w.home.path().join(".redrill/keys/signing.pem").exists(), "no other key was made");
    let made = report(arn).await;
    assert_eq!(made.code, Some(0), "{made}");
}

#[tokio::test]
async fn the_end_is_signed_before_it_is_published() {
    let Some((w, run)) = a_run().await else { return };
    let signed = w.home.path().join(".redrill/runs").join(&run).join("checkpoints.txt");
    let all = notes(&fs::read_to_string(&signed).expect("checkpoints"));
    // the process that ended the run died before it signed that
    let (_, before) = all.split_last().expect("some");
    fs::write(&signed, before.concat()).expect("written");
    let ended = publish(&w, &run, &["--retain", "1d", "--yes"]).await;
    assert_eq!(ended.code, Some(0), "{ended}");
    let there =
        w.s3("GET", &format!("{BUCKET}/dr/{run}/checkpoints.txt"), &[]).await.text().await.expect("a body");
    let last = notes(&there).pop().expect("one");
    assert_eq!((notes(&there).len(), last.contains("late")), (all.len(), true), "{there}");
}
