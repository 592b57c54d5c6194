//! Answers that come too late, later than the SDK waits: a minute for a change, half a minute for a read.

use serde_json::json;

use super::{on_record, refusals};
use crate::emulator::drills::{network, server};
use crate::emulator::world::{World, but_replaced, kept};

#[tokio::test]
async fn a_change_that_answers_too_late_is_found_and_not_repeated() {
    let Some(w) = World::start().await else { return };
    let before = w.state().await;
    w.faults(json!([{"action": "RunInstances", "fault": "slow_answer", "seconds": 63}])).await;
    let ended = w.run(&server(&w).text()).await;
    ended.expect(0, "passed");
    let late = [(1, "timeout".to_owned(), String::new())];
    assert_eq!(refusals(&ended, "ec2:RunInstances"), late, "{ended}");
    assert_eq!(w.count("RunInstances").await, 1, "{ended}");
    assert_eq!(kept(&w.state().await), 1, "{ended}");
    assert_eq!(but_replaced(before), but_replaced(w.state().await), "{ended}");
}

#[tokio::test]
async fn a_fault_that_answers_too_late_is_found_and_not_repeated() {
    let Some(w) = World::start().await else { return };
    let before = w.state().await;
    w.faults(json!([{"action": "TerminateInstances", "fault": "slow_answer", "seconds": 63}])).await;
    let ended = w.run(&server(&w).text()).await;
    ended.expect(0, "passed");
    let late = [(1, "timeout".to_owned(), String::new())];
    assert_eq!(refusals(&ended, "ec2:TerminateInstances"), late, "{ended}");
    assert_eq!(w.count("TerminateInstances").await, 1, "{ended}");
    assert_eq!(but_replaced(before), but_replaced(w.state().await), "{ended}");
}

#[tokio::test]
async fn a_read_that_answers_too_late_is_sent_again() {
    let Some(w) = World::start().await else { return };
    let before = w.state().await;
    let mut run = w.start_run(&network(&w).text());
    run.stage("impact").await;
    w.faults(json!([{"action": "DescribeRouteTables", "fault": "latency", "seconds": 33}])).await;
    let ended = run.end().await;
    ended.expect(0, "passed");
    on_record(&w, &[&ended]).await;
    assert_eq!(before, w.state().await, "{ended}");
}
