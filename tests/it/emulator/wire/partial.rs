//! A part of a batch fails.

use serde_json::json;

use super::on_record;
use crate::emulator::drills::{Parts, objects, server};
use crate::emulator::world::{World, kept};

#[tokio::test]
async fn objects_that_are_not_deleted_fail_the_fault_and_all_are_back() {
    let Some(w) = World::start().await else { return };
    let before = w.state().await;
    w.faults(json!([{"action": "DeleteObjects", "fault": "partial"}])).await;
    let ended = w.run(&objects(&w).text()).await;
    ended.expect(14, "failed");
    let answered = ended.events("call-answered");
    assert!(answered.iter().any(|l| l["outcome"].to_string().contains("InternalError")), "{ended}");
    on_record(&w, &[&ended]).await;
    assert_eq!(before, w.state().await, "{ended}");
}

#[tokio::test]
async fn objects_that_do_not_come_back_at_once_are_tried_again() {
    let Some(w) = World::start().await else { return };
    let before = w.state().await;
    w.faults(json!([{"action": "DeleteObjects", "fault": "partial", "skip": 1, "times": 2}])).await;
    let ended = w.run(&objects(&w).text()).await;
    assert!(matches!(ended.code, Some(0 | 14)), "{ended}");
    assert!(w.count("DeleteObjects").await > 2, "{ended}");
    on_record(&w, &[&ended]).await;
    assert_eq!(before, w.state().await, "{ended}");
}

#[tokio::test]
async fn a_server_protected_in_the_last_moment_spares_itself_and_the_others_are_replaced() {
    let Some(w) = World::start().await else { return };
    let drill = server(&w);
    let all = Parts {
        targets: "\n  web: { resource: ec2.instance, tags: { service: shop, role: web }, where: { state: running } }".to_owned(),
        ..drill
    };
    let ids = |state: &serde_json::Value| -> Vec<String> {
        let list = state["instances"].as_array().into_iter().flatten();
        list.filter(|i| i["tags"]["role"] == "web").map(|i| i["id"].to_string()).collect()
    };
    let before = ids(&w.state().await);
    // one call a zone: it is one of two, or the only one of its call
    w.faults(json!([{"action": "TerminateInstances", "fault": "protected"}])).await;
    let ended = w.run(&all.text()).await;
    ended.expect(14, "failed");
    let after = w.state().await;
    let now = ids(&after);
    let spared = now.iter().filter(|id| before.contains(id)).count();
    assert_eq!(
        (before.len(), now.len(), spared, kept(&after)),
        (3, 3, 1, 2),
        "what is lost is replaced: {ended}"
    );
    assert!(!after.to_string().contains("redrill:held"), "{ended}");
    on_record(&w, &[&ended]).await;
}
