//! `kill -9`, then `rollback` or `resume`.

use std::os::unix::fs::PermissionsExt as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::drills::{blind, both};
use super::world::{Ended, World, but_replaced, kept};

/// Kills the run when the stage begins.
async fn killed_in(w: &World, stage: &str) -> Ended {
    w.gate.set(matches!(stage, "impact" | "hold" | "undo"));
    let mut drill = both(w).gated(w);
    if stage == "impact" {
        // a page that never sees the fault, so that its impact is waited for until the end
        drill.steady = blind(w);
    }
    let mut run = w.start_run(&drill.text());
    run.stage(stage).await;
    let ended = run.kill().await;
    assert_eq!(ended.code, None, "it was killed: {ended}");
    let unfinished = w.go(["runs", "--output", "json"]).await;
    let list: Value = serde_json::from_str(&unfinished.out).expect("an array");
    let last = list.as_array().and_then(|l| l.last()).expect("the run is listed");
    assert_eq!((&last["run"], &last["verdict"]), (&json!(ended.run()), &json!(null)));
    ended
}

async fn rolled_back(w: &World, stage: &str) {
    w.reseed().await;
    let before = w.state().await;
    let id = killed_in(w, stage).await.run();
    let lost = w.count("TerminateInstances").await;
    let ended = w.take_up("rollback").end().await;
    assert_eq!(ended.code, Some(0), "{stage}: {ended}");
    assert_eq!(ended.result()["run"], json!(id));
    assert_eq!(w.count("TerminateInstances").await, lost, "{stage}: a rollback injects nothing");
    let after = w.state().await;
    if lost == 0 {
        assert_eq!(before, after, "{stage}\n{ended}");
    }
    assert_eq!(but_replaced(before), but_replaced(after.clone()), "{stage}\n{ended}");
    assert!(!after.to_string().contains("redrill:held"), "{stage}: {after}");
    assert!(lost == 0 || kept(&after) == 1, "{stage}: what was lost is replaced\n{ended}");
    // a second one finds nothing to do
    w.forget_calls().await;
    assert_eq!(w.take_up("rollback").end().await.code, Some(0));
    assert!(w.changes().await.is_empty(), "{stage}: nothing is changed twice");
}

#[tokio::test]
async fn rolled_back_from_before_the_fault() {
    let Some(w) = World::with(&[("pending", 1.0), ("shutting-down", 1.0)]).await else { return };
    for stage in ["baseline", "fault"] {
        rolled_back(&w, stage).await;
    }
}

#[tokio::test]
async fn rolled_back_from_the_outage() {
    let Some(w) = World::with(&[("pending", 1.0), ("shutting-down", 1.0)]).await else { return };
    for stage in ["impact", "recovery"] {
        rolled_back(&w, stage).await;
    }
}

#[tokio::test]
async fn rolled_back_from_the_end() {
    let Some(w) = World::with(&[("pending", 1.0), ("shutting-down", 1.0)]).await else { return };
    for stage in ["verify", "hold", "undo"] {
        rolled_back(&w, stage).await;
    }
}

#[tokio::test]
async fn rolled_back_from_the_middle_of_a_call() {
    let Some(w) = World::start().await else { return };
    let before = but_replaced(w.state().await);
    // the answer never arrives: the caller is dead by then
    w.faults(json!([{"action": "TerminateInstances", "fault": "latency", "seconds": 1}])).await;
    let mut run = w.start_run(&both(&w).text());
    run.sent("ec2:TerminateInstances").await;
    // on record is not yet on the wire: killed only when the call has come in
    w.struck().await;
    run.kill().await;
    let ended = w.take_up("rollback").end().await;
    assert_eq!(ended.code, Some(0), "{ended}");
    assert_eq!(before, but_replaced(w.state().await), "{ended}");
}

#[tokio::test]
async fn rolled_back_from_between_the_record_and_the_wire() {
    let Some(w) = World::start().await else { return };
    for n in 0..3 {
        w.reseed().await;
        let before = w.state().await;
        let mut run = w.start_run(&both(&w).text());
        run.sent("ec2:TerminateInstances").await;
        run.kill().await;
        let ended = w.take_up("rollback").end().await;
        assert_eq!(ended.code, Some(0), "{ended}");
        // whether it was sent or not: as many servers as before, and no spare one for a loss that was none
        let sent = w.count("TerminateInstances").await;
        let after = w.state().await;
        assert_eq!(but_replaced(before), but_replaced(after.clone()), "{n}: {sent} sent\n{ended}");
        assert_eq!(kept(&after), sent, "{n}\n{ended}");
    }
}

#[tokio::test]
async fn the_user_data_of_what_has_ended_outlives_the_process_that_read_it() {
    let Some(w) = World::with(&[("pending", 1.0), ("shutting-down", 1.0)]).await else { return };
    let killed = killed_in(&w, "impact").await;
    let kept = w.home.path().join(".redrill/runs").join(killed.run()).join("kept.jsonl");
    let text = std::fs::read_to_string(&kept).expect("it is kept");
    let user_data = "#!/bin/sh\nexec /opt/shop/bin/web --port 80\n";
    assert!(!text.contains("bin/web") && !text.contains(&STANDARD.encode(user_data)), "{text}");
    assert_eq!(std::fs::metadata(&kept).expect("it is there").permissions().mode() & 0o777, 0o600);
    w.faults(json!([{"action": "DescribeInstanceAttribute", "fault": "deny", "times": null}])).await;
    let ended = w.take_up("rollback").end().await;
    assert_eq!(ended.code, Some(0), "{ended}");
    let launches: Vec<Value> =
        w.calls().await.into_iter().filter(|c| c["action"] == "RunInstances").collect();
    assert_eq!(launches.len(), 1, "{ended}");
    assert!(launches[0]["parameters"].to_string().contains("\"UserData\""), "{launches:?}");
    assert!(!kept.exists(), "nobody needs it any more");
    // a copy of the folder without the key is asked of AWS again, and says what is lost
    w.reseed().await;
    let killed = killed_in(&w, "impact").await;
    let key = w.home.path().join(".redrill/runs").join(killed.run()).join("../../keys/kept.key");
    std::fs::rename(&key, key.with_extension("away")).expect("the key is there");
    w.faults(json!([{"action": "DescribeInstanceAttribute", "fault": "deny", "times": null}])).await;
    let ended = w.take_up("rollback").end().await;
    assert_eq!(ended.code, Some(20), "{ended}");
    assert!(ended.to_string().contains("user data") && ended.to_string().contains("is lost"), "{ended}");
    assert_eq!(w.count("RunInstances").await, 0, "nothing is launched without it");
}

async fn resumed(w: &World, stage: &str) {
    w.reseed().await;
    let before = but_replaced(w.state().await);
    let killed = killed_in(w, stage).await;
    w.gate.set(true);
    let ended = w.take_up("resume").end().await;
    assert_eq!(ended.result()["run"], json!(killed.run()));
    ended.expect(0, "passed");
    assert_eq!(w.count("TerminateInstances").await, 1, "{stage}: nothing is injected again");
    assert_eq!(w.count("RunInstances").await, 1, "{stage}: one replacement");
    assert_eq!(before, but_replaced(w.state().await), "{stage}\n{ended}");
}

#[tokio::test]
async fn resumed_from_recovery_on() {
    let Some(w) = World::with(&[("pending", 1.0), ("shutting-down", 1.0)]).await else { return };
    for stage in ["recovery", "verify", "hold"] {
        resumed(&w, stage).await;
    }
}

#[tokio::test]
async fn resumed_before_the_fault_stops_honestly() {
    let Some(w) = World::start().await else { return };
    let before = w.state().await;
    let mut run = w.start_run(&both(&w).text());
    run.stage("baseline").await;
    run.kill().await;
    let ended = w.take_up("resume").end().await;
    ended.expect(13, "stopped");
    assert_eq!(w.count("TerminateInstances").await, 0, "nothing is injected by a resumed run");
    assert_eq!(before, w.state().await, "{ended}");
}

#[tokio::test]
async fn a_journal_that_was_cut_is_not_taken_up() {
    let Some(w) = World::start().await else { return };
    let before = w.state().await;
    let id = killed_in(&w, "hold").await.run();
    w.forget_calls().await;
    let folder = w.file(".redrill/.keep", "").with_file_name("runs").join(&id);
    let (journal, signed) = (folder.join("journal.jsonl"), folder.join("checkpoints.txt"));
    let whole = std::fs::read_to_string(&journal).expect("it is there");
    let cut_before = |kind: &str| {
        let kind = format!("\"type\":\"{kind}\"");
        let lines = whole.split_inclusive('\n').take_while(|l| !l.contains(&kind));
        std::fs::write(&journal, lines.collect::<String>()).expect("written");
    };
    // what its own checkpoints signed is missing
    cut_before("step-started");
    w.take_up("rollback").end().await.refused(3, "is not whole");
    // without them, the tags on the targets tell
    std::fs::remove_file(&signed).expect("it is there");
    cut_before("holding");
    let refused = w.take_up("rollback").end().await;
    refused.refused(3, &format!("redrill sweep --run {id}"));
    assert!(w.changes().await.is_empty(), "{refused}");
    std::fs::write(&journal, &whole).expect("written");
    assert_eq!(w.take_up("rollback").end().await.code, Some(0));
    assert_eq!(but_replaced(before), but_replaced(w.state().await));
}
