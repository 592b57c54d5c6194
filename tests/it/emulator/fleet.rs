//! Hundreds of instances: all of them, in few calls, and nothing else.

use std::collections::BTreeMap;

use futures::StreamExt as _;
use serde_json::Value;

use super::drills::{Parts, blind, server};
use super::world::World;

const FLEET: usize = 250;
const DECOYS: usize = 5;

async fn launch(w: &World, subnet: &str, tag: &str) {
    // one call each: a reservation of its own, so that listing them takes many pages
    w.ec2(&[
        ("Action", "RunInstances"),
        ("ImageId", "ami-1e749f67"),
        ("InstanceType", "t3.micro"),
        ("MinCount", "1"),
        ("MaxCount", "1"),
        ("SubnetId", subnet),
        ("TagSpecification.1.ResourceType", "instance"),
        ("TagSpecification.1.Tag.1.Key", "fleet"),
        ("TagSpecification.1.Tag.1.Value", tag),
        ("TagSpecification.1.Tag.2.Key", "env"),
        ("TagSpecification.1.Tag.2.Value", "staging"),
    ])
    .await;
}

#[tokio::test]
async fn all_of_a_large_fleet_and_nothing_else() {
    let Some(w) = World::start().await else { return };
    let subnets = [w.named("subnets", "shop-private-a").await, w.named("subnets", "shop-private-b").await];
    let made: Vec<()> = futures::stream::iter(0..FLEET + DECOYS)
        .map(|n| launch(&w, &subnets[n % 2], if n < FLEET { "blue" } else { "blueish" }))
        .buffer_unordered(4)
        .collect()
        .await;
    assert_eq!(made.len(), FLEET + DECOYS);
    let before = w.state().await;
    let of = |state: &Value, tag: &str| {
        state["instances"]
            .as_array()
            .map_or(0, |all| all.iter().filter(|i| i["tags"]["fleet"] == tag).count())
    };
    assert_eq!((of(&before, "blue"), of(&before, "blueish")), (FLEET, DECOYS));
    w.forget_calls().await;
    let mut drill =
        Parts { steady: blind(&w), recovery: String::new(), ..server(&w) }.top("impact: none-expected");
    drill.targets = "\n  web: { resource: ec2.instance, tags: { fleet: blue } }".to_owned();
    drill.limits = drill.limits.replace("max_targets: 5", "max_targets: 250");
    let ended = w.run(&drill.text()).await;
    ended.expect(0, "passed");
    let calls = w.calls().await;
    let sizes: Vec<usize> = calls
        .iter()
        .filter(|c| c["action"] == "TerminateInstances")
        .map(|c| c["resources"].as_array().map_or(0, Vec::len))
        .collect();
    assert_eq!(sizes, [FLEET / 2, FLEET / 2], "one call per zone\n{}", ended.err);
    let after = w.state().await;
    assert_eq!((of(&after, "blue"), of(&after, "blueish")), (0, DECOYS));
    let others = |state: &Value| -> BTreeMap<String, Value> {
        let all = state["instances"].as_array().cloned().unwrap_or_default();
        all.into_iter().filter(|i| i["tags"]["fleet"] != "blue").map(|i| (i["id"].to_string(), i)).collect()
    };
    assert_eq!(others(&before), others(&after), "everything else is untouched");
}
