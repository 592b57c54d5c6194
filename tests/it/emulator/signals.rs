//! Signals: once in each stage, twice, three times.

use rustix::process::Signal;
use serde_json::json;

use super::drills::{blind, both, database, network};
use super::world::{Ended, World, but_replaced, kept};

/// Sends the signal when the stage begins; the run must be in that very stage when it takes it.
async fn in_stage(w: &World, stage: &str, signal: Signal) -> Ended {
    w.reseed().await;
    // closed, so that verification lasts until the signal comes; hold is reached with it open
    w.gate.set(stage == "hold" || stage == "impact");
    let before = w.state().await;
    let mut drill = both(w).gated(w);
    if stage == "impact" {
        // a page that never sees the fault, so that its impact is waited for until the signal comes
        drill.steady = blind(w);
    }
    let mut run = w.start_run(&drill.text());
    run.stage(stage).await;
    run.signal(signal);
    let ended = run.end().await;
    ended.expect(13, "stopped");
    assert_eq!(ended.stage_of("signal"), stage, "{ended}");
    let after = w.state().await;
    if w.count("TerminateInstances").await == 0 {
        assert_eq!(before, after, "{stage}: nothing was terminated, so everything is as it was\n{ended}");
    } else {
        assert_eq!(kept(&after), 1, "{stage}: what was lost is replaced\n{ended}");
        assert_eq!(but_replaced(before), but_replaced(after), "{stage}\n{ended}");
    }
    ended
}

#[tokio::test]
async fn once_before_and_in_the_fault() {
    let Some(w) = World::with(&[("pending", 1.0), ("shutting-down", 1.0)]).await else { return };
    for stage in ["baseline", "fault"] {
        in_stage(&w, stage, Signal::INT).await;
    }
    assert_eq!(w.count("TerminateInstances").await, 0, "the fault had not been sent");
    // and in the middle of the very call
    w.reseed().await;
    let before = w.state().await;
    w.faults(json!([{"service": "ec2", "action": "TerminateInstances", "fault": "latency", "seconds": 2}]))
        .await;
    let mut run = w.start_run(&both(&w).text());
    run.sent("ec2:TerminateInstances").await;
    // on record is not yet on its way: a signal in between would hold it back
    w.struck().await;
    run.signal(Signal::INT);
    let ended = run.end().await;
    ended.expect(13, "stopped");
    assert_eq!(ended.stage_of("signal"), "fault", "{ended}");
    assert_eq!(w.count("TerminateInstances").await, 1);
    assert_eq!(but_replaced(before), but_replaced(w.state().await), "{ended}");
    assert_eq!(kept(&w.state().await), 1, "what was lost is replaced\n{ended}");
}

#[tokio::test]
async fn once_while_the_fault_is_felt() {
    let Some(w) = World::with(&[("pending", 1.0), ("shutting-down", 1.0)]).await else { return };
    in_stage(&w, "impact", Signal::INT).await;
    in_stage(&w, "recovery", Signal::INT).await;
}

#[tokio::test]
async fn once_while_it_is_verified_and_held() {
    let Some(w) = World::with(&[("pending", 1.0), ("shutting-down", 1.0)]).await else { return };
    in_stage(&w, "verify", Signal::INT).await;
    in_stage(&w, "hold", Signal::INT).await;
}

#[tokio::test]
async fn sigterm_is_a_signal_like_any_other() {
    let Some(w) = World::with(&[("pending", 1.0), ("shutting-down", 1.0)]).await else { return };
    let ended = in_stage(&w, "recovery", Signal::TERM).await;
    assert!(
        ended.events("stop-requested")[0]["detail"].as_str().unwrap_or("").contains("SIGTERM"),
        "{ended}"
    );
}

#[tokio::test]
async fn sighup_is_a_signal_like_any_other() {
    let Some(w) = World::with(&[("pending", 1.0), ("shutting-down", 1.0)]).await else { return };
    // the terminal is closed while the service is still down, and while its recovery is verified
    for stage in ["impact", "verify"] {
        let ended = in_stage(&w, stage, Signal::HUP).await;
        let why = ended.events("stop-requested")[0]["detail"].as_str().unwrap_or("").to_owned();
        assert!(why.contains("SIGHUP"), "{why}\n{ended}");
    }
}

#[tokio::test]
async fn once_while_it_is_undone_changes_nothing() {
    let Some(w) = World::with(&[("restore", 1.0), ("delete", 2.0)]).await else { return };
    let before = w.state().await;
    let mut run = w.start_run(&database(&w).text());
    run.stage("undo").await;
    run.signal(Signal::INT);
    let ended = run.end().await;
    assert_eq!(ended.stage_of("signal"), "undo");
    ended.expect(0, "passed");
    assert_eq!(before, w.state().await, "{ended}");
}

#[tokio::test]
async fn twice_only_undoes() {
    let Some(w) = World::with(&[("pending", 4.0), ("shutting-down", 1.0)]).await else { return };
    let before = w.state().await;
    let mut run = w.start_run(&both(&w).text());
    run.sent("ec2:RunInstances").await;
    run.signal(Signal::INT);
    run.event("signal").await;
    run.signal(Signal::INT);
    let ended = run.end().await;
    ended.expect(13, "stopped");
    assert_eq!(ended.events("signal").len(), 2, "{ended}");
    assert_eq!(ended.events("steady-after").len(), 0, "nothing is measured any more: {ended}");
    // every subnet is back, no tag is left, and the replacement that was asked for is kept and serves
    let after = w.state().await;
    assert_eq!(kept(&after), 1, "{ended}");
    assert_eq!(but_replaced(before), but_replaced(after), "{ended}");
    assert_eq!(w.count("RunInstances").await, 1, "{ended}");
}

#[tokio::test]
async fn three_times_leaves_with_the_command_that_finishes() {
    let Some(w) = World::start().await else { return };
    let before = w.state().await;
    w.gate.set(false);
    let mut run = w.start_run(&network(&w).gated(&w).text());
    run.stage("impact").await;
    // putting things back takes long now
    w.faults(
        json!([{"action": "ReplaceRouteTableAssociation", "fault": "latency", "seconds": 6, "times": null}]),
    )
    .await;
    run.signal(Signal::INT);
    for n in [2, 3] {
        run.until("the signal", |l| l["type"] == "signal" && l["count"] == n - 1).await;
        run.signal(Signal::INT);
    }
    let ended = run.end().await;
    let id = ended.run();
    assert_eq!(ended.code, Some(20), "{ended}");
    let last = ended.result();
    assert_eq!((&last["exit_code"], &last["verdict"]), (&json!(20), &json!(null)), "{ended}");
    assert!(ended.err.contains(&format!("redrill rollback {id}")), "{ended}");
    w.no_faults().await;
    w.gate.set(true);
    let finished = w.go(["rollback", &id, "--output", "json"]).await;
    finished.expect(0, "stopped");
    assert_eq!(before, w.state().await, "{finished}");
}
