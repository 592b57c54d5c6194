//! Credentials that expire in the middle.

use serde_json::json;

use super::on_record;
use crate::emulator::drills::network;
use crate::emulator::world::{Running, World};

/// A program that makes new keys each time it is asked: KEY1, KEY2 … The SDK asks again ten seconds before
/// they end, so it does a second after each.
fn renewing(w: &World) {
    let program = "#!/bin/sh\nn=$(($(cat keys 2>/dev/null || echo 0) + 1)); echo $n > keys\n\
        at=$(date -u -d '+11 seconds' +%Y-%m-%dT%H:%M:%SZ)\n\
        echo '{\"Version\":1,\"AccessKeyId\":\"KEY'$n'\",\"SecretAccessKey\":\"s\",\"SessionToken\":\"t\",\"Expiration\":\"'$at'\"}'\n";
    let path = w.file("new-keys", program);
    std::fs::create_dir_all(w.home.path().join(".aws")).expect("made");
    w.file(".aws/config", &format!("[default]\ncredential_process = sh {}\n", path.display()));
}

#[tokio::test]
async fn credentials_that_are_renewed_carry_a_run_through() {
    let Some(w) = World::start().await else { return };
    let before = w.state().await;
    renewing(&w);
    w.file("drill.yaml", &network(&w).gated(&w).text());
    w.gate.set(false);
    let mut c = w.redrill(["run", "drill.yaml", "--yes", "--output", "json"]);
    c.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
    let mut run = Running::start(c);
    run.stage("verify").await;
    // every key that was in use until now is over
    let keys = |calls: &[serde_json::Value]| {
        let used = calls.iter().filter_map(|c| c["access_key"].as_str().map(str::to_owned));
        used.collect::<std::collections::BTreeSet<_>>()
    };
    let old = keys(&w.calls().await);
    let rules = old.iter().map(|k| json!({"access_key": k, "fault": "expired", "times": null}));
    w.faults(json!(rules.collect::<Vec<_>>())).await;
    w.gate.set(true);
    let ended = run.end().await;
    ended.expect(0, "passed");
    assert!(keys(&w.calls().await).len() > old.len(), "with new keys: {old:?}\n{ended}");
    on_record(&w, &[&ended]).await;
    assert_eq!(before, w.state().await, "{ended}");
    let journal = ended.out;
    assert!(!journal.contains("KEY1"), "keys are on no record");
}

#[tokio::test]
async fn a_profile_that_is_named_wins_over_keys_of_the_environment() {
    let Some(w) = World::start().await else { return };
    std::fs::create_dir_all(w.home.path().join(".aws")).expect("made");
    let keys = "aws_access_key_id = AKIAPROD\naws_secret_access_key = secret\n";
    w.file(".aws/config", &format!("[profile prod]\n{keys}"));
    w.file("drill.yaml", &network(&w).text());
    let plan = |profile| ["plan", "drill.yaml", "--profile", profile];
    w.forget_calls().await;
    w.go(plan("prod")).await.refused(0, "");
    let calls = w.calls().await;
    assert!(!calls.is_empty() && calls.iter().all(|c| c["access_key"] == "AKIAPROD"), "{calls:?}");
    w.forget_calls().await;
    w.go(plan("nosuch")).await.refused(5, "nosuch");
    assert!(w.calls().await.is_empty());
}

#[tokio::test]
async fn a_run_whose_credentials_end_is_finished_by_whoever_has_some() {
    use rustix::process::Signal;
    let Some(w) = World::start().await else { return };
    let before = w.state().await;
    let mut run = w.start_run(&network(&w).text());
    run.stage("impact").await;
    w.faults(json!([{"access_key": "test", "fault": "expired", "times": null}])).await;
    let failed = run.event("undo-failed").await;
    let why = failed["error"].as_str().unwrap_or_default();
    assert!(why.contains("the AWS credentials are expired or not valid; log in again"), "{failed}");
    // nobody waits for somebody to log in, this time
    run.signal(Signal::INT);
    run.until("the signal", |l| l["type"] == "signal" && l["count"] == 1).await;
    run.signal(Signal::INT);
    run.until("the signal", |l| l["type"] == "signal" && l["count"] == 2).await;
    run.signal(Signal::INT);
    let left = run.end().await;
    let id = left.run();
    assert_eq!(left.code, Some(20), "{left}");
    assert!(left.err.contains(&format!("redrill rollback {id}")), "{left}");
    assert_ne!(before, w.state().await, "the subnets are still cut off");
    // the same keys are of no use
    w.go(["rollback", &id]).await.refused(5, "expired");
    let mut c = w.redrill(["rollback", &id, "--output", "json"]);
    c.env("AWS_ACCESS_KEY_ID", "another");
    let finished = Running::start(c).end().await;
    assert_eq!(finished.code, Some(0), "{finished}");
    on_record(&w, &[&left, &finished]).await;
    assert_eq!(before, w.state().await, "{finished}");
}
