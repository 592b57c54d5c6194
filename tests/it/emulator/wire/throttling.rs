//! Throttling, in the words of each service.

use serde_json::json;

use super::{on_record, refusals};
use crate::emulator::drills::{database, objects, server};
use crate::emulator::world::{World, but_replaced, kept};

/// Refused twice, then accepted; each attempt with the service's own word for it.
fn twice(code: &str) -> Vec<(i64, String, String)> {
    [1, 2].map(|n| (n, "throttled".to_owned(), code.to_owned())).to_vec()
}

#[tokio::test]
async fn a_storm_over_every_change_of_a_drill_is_weathered() {
    let Some(w) = World::start().await else { return };
    let before = w.state().await;
    let changes = ["CreateTags", "TerminateInstances", "RunInstances", "RegisterTargets", "DeleteTags"];
    w.faults(json!(changes.map(|action| json!({"action": action, "fault": "throttle", "times": 2})))).await;
    let ended = w.run(&server(&w).text()).await;
    ended.expect(0, "passed");
    for operation in ["ec2:CreateTags", "ec2:TerminateInstances", "ec2:RunInstances", "ec2:DeleteTags"] {
        assert_eq!(refusals(&ended, operation), twice("RequestLimitExceeded"), "{operation}\n{ended}");
    }
    let register = "elasticloadbalancing:RegisterTargets";
    assert_eq!(refusals(&ended, register), twice("Throttling"), "{ended}");
    for once in ["TerminateInstances", "RunInstances", "RegisterTargets"] {
        assert_eq!(w.accepted(once).await, 1, "{once}\n{ended}");
    }
    on_record(&w, &[&ended]).await;
    let after = w.state().await;
    assert_eq!(kept(&after), 1, "{ended}");
    assert_eq!(but_replaced(before), but_replaced(after), "{ended}");
}

#[tokio::test]
async fn databases_and_objects_are_throttled_in_their_own_words() {
    let Some(w) = World::with(&[("restore", 1.0)]).await else { return };
    let before = w.state().await;
    w.faults(json!([
        {"action": "RestoreDBInstanceToPointInTime", "fault": "throttle", "times": 2},
        {"action": "DeleteDBInstance", "fault": "throttle", "times": 2},
    ]))
    .await;
    let ended = w.run(&database(&w).text()).await;
    ended.expect(0, "passed");
    for operation in ["rds:RestoreDBInstanceToPointInTime", "rds:DeleteDBInstance"] {
        assert_eq!(refusals(&ended, operation), twice("Throttling"), "{ended}");
        assert_eq!(w.accepted(operation.trim_start_matches("rds:")).await, 1, "{ended}");
    }
    on_record(&w, &[&ended]).await;
    assert_eq!(before, w.state().await, "{ended}");

    w.reseed().await;
    let before = w.state().await;
    w.faults(json!([{"action": "DeleteObjects", "fault": "throttle", "times": 2}])).await;
    let ended = w.run(&objects(&w).text()).await;
    ended.expect(0, "passed");
    assert_eq!(refusals(&ended, "s3:DeleteObjects"), twice("SlowDown"), "{ended}");
    on_record(&w, &[&ended]).await;
    assert_eq!(before, w.state().await, "{ended}");
}

#[tokio::test]
async fn a_service_that_throttles_everything_for_a_while_is_waited_for() {
    let Some(w) = World::start().await else { return };
    let before = w.state().await;
    let mut run = w.start_run(&server(&w).text());
    run.stage("impact").await;
    w.faults(json!([
        // more often than the SDK tries by itself, twice
        {"action": "DescribeInstances", "fault": "throttle", "times": 7},
        {"service": "ec2", "fault": "throttle", "times": null, "lasts": 4},
    ]))
    .await;
    let ended = run.end().await;
    ended.expect(0, "passed");
    let read = ended.events("read-retried");
    assert!(read.len() >= 2, "a read that is sent again is on record: {ended}");
    assert!(read.iter().all(|l| l["error"]["code"] == "RequestLimitExceeded"), "{ended}");
    assert_eq!(w.accepted("RunInstances").await, 1, "{ended}");
    on_record(&w, &[&ended]).await;
    assert_eq!(but_replaced(before), but_replaced(w.state().await), "{ended}");
}
