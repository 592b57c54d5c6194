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
    let id = w.named("instances", "shop-web-1").await;
    let drill = server(&w);
    let all = Parts {
        targets: "\n  web: { resource: ec2.instance, tags: { service: shop, role: web }, where: { state: running } }".to_owned(),
        ..drill
    };
    w.faults(json!([{"action": "TerminateInstances", "fault": "latency", "seconds": 5}])).await;
    let mut run = w.start_run(&all.text());
    run.sent("ec2:TerminateInstances").await;
    let attribute = [
        ("Action", "ModifyInstanceAttribute"),
        ("InstanceId", id.as_str()),
        ("DisableApiTermination.Value", "true"),
    ];
    w.ec2(&attribute).await;
    let ended = run.end().await;
    ended.expect(14, "failed");
    let after = w.state().await;
    let list = after["instances"].as_array().expect("a list");
    assert!(list.iter().any(|i| i["id"] == id.as_str() && i["state"] == "running"), "{ended}");
    let web = list.iter().filter(|i| i["tags"]["role"] == "web" && i["state"] == "running").count();
    assert_eq!((web, kept(&after)), (3, 2), "the two that are lost are replaced: {ended}");
    assert!(!after.to_string().contains("redrill:held"), "{ended}");
    on_record(&w, &[&ended]).await;
}
