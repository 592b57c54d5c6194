//! Faults on the wire: throttling, lost answers, refusals, expired keys, nobody there.

use serde_json::json;

use crate::emulator::drills::{database, network, server};
use crate::emulator::world::{Running, World, but_replaced, command, kept};

#[tokio::test]
async fn a_throttled_call_is_sent_again_and_each_attempt_is_on_record() {
    let Some(w) = World::start().await else { return };
    w.faults(json!([{"action": "TerminateInstances", "fault": "throttle", "times": 2}])).await;
    let before = w.state().await;
    let ended = w.run(&server(&w).text()).await;
    ended.expect(0, "passed");
    let attempts: Vec<_> = ended
        .events("call-sent")
        .into_iter()
        .filter(|l| l["operation"] == "ec2:TerminateInstances")
        .map(|l| l["attempt"].clone())
        .collect();
    assert_eq!(attempts, [json!(1), json!(2), json!(3)], "{ended}");
    let throttled =
        ended.events("call-answered").iter().filter(|l| l["error"]["kind"] == "throttled").count();
    assert_eq!(throttled, 2, "{ended}");
    assert_eq!(w.count("TerminateInstances").await, 3, "and nothing else sent it");
    assert_eq!(but_replaced(before), but_replaced(w.state().await));
}

#[tokio::test]
async fn a_restore_whose_answer_is_lost_is_found_and_not_repeated() {
    let Some(w) = World::with(&[("restore", 2.0)]).await else { return };
    let before = w.state().await;
    w.faults(json!([{"action": "RestoreDBInstanceToPointInTime", "fault": "lose_answer"}])).await;
    let ended = w.run(&database(&w).text()).await;
    ended.expect(0, "passed");
    assert_eq!(w.count("RestoreDBInstanceToPointInTime").await, 1, "{ended}");
    assert_eq!(before, w.state().await, "the restored one is removed\n{ended}");
}

#[tokio::test]
async fn a_fault_whose_answer_is_lost_is_found_and_not_repeated() {
    let Some(w) = World::start().await else { return };
    let before = w.state().await;
    w.faults(json!([
        {"action": "TerminateInstances", "fault": "lose_answer"},
        {"action": "RunInstances", "fault": "lose_answer"},
    ]))
    .await;
    let ended = w.run(&server(&w).text()).await;
    ended.expect(0, "passed");
    assert_eq!(w.count("TerminateInstances").await, 1, "{ended}");
    assert_eq!(kept(&w.state().await), 1, "one replacement\n{ended}");
    assert_eq!(but_replaced(before), but_replaced(w.state().await), "{ended}");
    // the route tables, too: both the table that is made and the association that is replaced
    w.reseed().await;
    let before = w.state().await;
    w.faults(json!([
        {"action": "CreateRouteTable", "fault": "lose_answer"},
        {"action": "ReplaceRouteTableAssociation", "fault": "lose_answer", "times": 3},
    ]))
    .await;
    let ended = w.run(&network(&w).text()).await;
    ended.expect(0, "passed");
    assert_eq!(before, w.state().await, "{ended}");
}

#[tokio::test]
async fn a_refused_fault_is_a_failed_run() {
    let Some(w) = World::start().await else { return };
    let before = w.state().await;
    w.faults(json!([{"action": "TerminateInstances", "fault": "deny"}])).await;
    let ended = w.run(&server(&w).text()).await;
    ended.expect(14, "failed");
    assert_eq!(before, w.state().await, "{ended}");
    // half of a network fault: the first subnet is moved, the second one refused
    w.reseed().await;
    let before = w.state().await;
    w.faults(json!([{"action": "ReplaceRouteTableAssociation", "fault": "deny", "skip": 1}])).await;
    let ended = w.run(&network(&w).text()).await;
    ended.expect(14, "failed");
    assert_eq!(before, w.state().await, "{ended}");
}

#[tokio::test]
async fn an_error_of_the_service_in_the_fault_leaves_nothing_behind() {
    let Some(w) = World::start().await else { return };
    for fault in ["error500", "error503", "reset"] {
        w.reseed().await;
        let before = w.state().await;
        w.faults(json!([{"action": "ReplaceRouteTableAssociation", "fault": fault}])).await;
        let ended = w.run(&network(&w).text()).await;
        assert!(matches!(ended.code, Some(0 | 14)), "{fault}: {ended}");
        assert_eq!(before, w.state().await, "{fault}: {ended}");
    }
}

#[tokio::test]
async fn refused_tags_stop_the_run_before_anything_is_changed() {
    let Some(w) = World::start().await else { return };
    let before = w.state().await;
    w.faults(json!([{"action": "CreateTags", "fault": "deny", "times": null}])).await;
    let ended = w.run(&network(&w).text()).await;
    ended.expect(5, "refused");
    assert_eq!(before, w.state().await, "{ended}");
    assert_eq!(w.count("ReplaceRouteTableAssociation").await, 0, "{ended}");
}

#[tokio::test]
async fn without_valid_keys_nothing_begins() {
    let Some(w) = World::start().await else { return };
    w.faults(json!([{"fault": "expired", "times": null}])).await;
    let ended = w.run(&network(&w).text()).await;
    ended.refused(5, "expired").refused(5, "hint: log in again");
    // and when they expire between the plan and the first change
    w.reseed().await;
    let before = w.state().await;
    let mut run = w.start_run(&network(&w).text());
    run.stage("baseline").await;
    w.faults(json!([{"service": "ec2", "fault": "expired", "times": null}])).await;
    let ended = run.end().await;
    assert_eq!(ended.code, Some(5), "{ended}");
    assert_eq!(before, w.state().await, "{ended}");
    assert!(w.changes().await.is_empty(), "{ended}");
}

#[tokio::test]
async fn nobody_there_no_region_no_credentials() {
    let Some(w) = World::start().await else { return };
    let text = network(&w).text();
    w.file("drill.yaml", &text);
    let args = ["run", "drill.yaml", "--yes", "--output", "json"];
    let mut nobody = w.redrill(args);
    nobody.env("REDRILL_ENDPOINT_URL", "http://127.0.0.1:1");
    Running::start(nobody).end().await.refused(5, "could not be reached").refused(5, "hint:");

    let mut no_region = w.redrill(args);
    no_region.env_remove("REDRILL_REGION");
    Running::start(no_region)
        .end()
        .await
        .refused(5, "no AWS region")
        .refused(5, "hint: name one with --region");

    let mut no_keys = command(w.home.path());
    no_keys.env("REDRILL_ENDPOINT_URL", &w.sandbox.endpoint).env("REDRILL_REGION", "us-east-1").args(args);
    Running::start(no_keys).end().await.refused(5, "no AWS credentials").refused(5, "hint: log in");
    assert!(w.changes().await.is_empty());
}

#[tokio::test]
async fn looking_changes_nothing() {
    let Some(w) = World::start().await else { return };
    w.file("drill.yaml", &network(&w).text());
    for args in [
        &["check", "drill.yaml"][..],
        &["plan", "drill.yaml", "-o", "plan.json"],
        &["plan", "drill.yaml", "--output", "json"],
        &["rehearse", "drill.yaml"],
        &["runs"],
    ] {
        let ended = w.go(args).await;
        assert_eq!(ended.code, Some(0), "{args:?}: {ended}");
    }
    assert!(w.changes().await.is_empty(), "{:?}", w.changes().await);
    assert!(!w.calls().await.is_empty(), "but the plan has looked");
    w.run(&network(&w).text()).await.expect(0, "passed");
    w.forget_calls().await;
    for args in [
        &["show"][..],
        &["show", "last", "--timeline"],
        &["report", "last"],
        &["rollback", "last"],
        &["runs"],
    ] {
        let ended = w.go(args).await;
        assert_eq!(ended.code, Some(0), "{args:?}: {ended}");
    }
    assert!(w.changes().await.is_empty(), "{:?}", w.changes().await);
}
