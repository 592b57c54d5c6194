//! What was made and is not yet to be seen: EC2 and RDS are eventually consistent.

use serde_json::json;

use super::on_record;
use crate::emulator::drills::{database, network, server};
use crate::emulator::world::{World, but_replaced, kept};

#[tokio::test]
async fn a_new_server_that_is_not_found_for_a_while_is_waited_for() {
    let Some(w) = World::start().await else { return };
    for fault in ["unseen", "untagged"] {
        w.reseed().await;
        let before = w.state().await;
        w.faults(json!([{"action": "RunInstances", "fault": fault, "reads": 3}])).await;
        let ended = w.run(&server(&w).text()).await;
        ended.expect(0, "passed");
        assert_eq!(w.count("RunInstances").await, 1, "{fault}: {ended}");
        on_record(&w, &[&ended]).await;
        assert_eq!(kept(&w.state().await), 1, "{fault}: {ended}");
        assert_eq!(but_replaced(before), but_replaced(w.state().await), "{fault}: {ended}");
    }
}

#[tokio::test]
async fn a_new_server_not_yet_seen_whose_answer_is_lost_is_launched_once() {
    let Some(w) = World::start().await else { return };
    let before = w.state().await;
    // whoever looks only once, or only for a moment, takes it for not launched
    w.faults(json!([{"action": "RunInstances", "fault": "unseen", "reads": 4, "lost": true}])).await;
    let ended = w.run(&server(&w).text()).await;
    ended.expect(0, "passed");
    on_record(&w, &[&ended]).await;
    assert_eq!(kept(&w.state().await), 1, "{ended}");
    assert_eq!(but_replaced(before), but_replaced(w.state().await), "{ended}");
}

#[tokio::test]
async fn a_restored_database_that_is_not_found_for_a_while_is_waited_for_and_removed() {
    let Some(w) = World::with(&[("restore", 1.0)]).await else { return };
    let before = w.state().await;
    w.faults(json!([{"action": "RestoreDBInstanceToPointInTime", "fault": "unseen", "reads": 3}])).await;
    let ended = w.run(&database(&w).text()).await;
    ended.expect(0, "passed");
    assert_eq!(w.accepted("RestoreDBInstanceToPointInTime").await, 1, "{ended}");
    on_record(&w, &[&ended]).await;
    assert_eq!(before, w.state().await, "{ended}");
}

#[tokio::test]
async fn a_new_route_table_that_is_not_found_for_a_while_is_waited_for_and_removed() {
    let Some(w) = World::start().await else { return };
    for fault in ["unseen", "untagged"] {
        w.reseed().await;
        let before = w.state().await;
        w.faults(json!([{"action": "CreateRouteTable", "fault": fault, "reads": 3}])).await;
        let ended = w.run(&network(&w).text()).await;
        ended.expect(0, "passed");
        on_record(&w, &[&ended]).await;
        assert_eq!(before, w.state().await, "{fault}: {ended}");
    }
}
