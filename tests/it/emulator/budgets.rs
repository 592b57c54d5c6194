//! How many calls a run costs the user's quota, held exactly: the emulator counts them.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::drills::{Parts, blind, database, network, objects, server};
use super::world::World;

#[derive(Deserialize)]
struct Table {
    budget: Vec<Budget>,
}

#[derive(Deserialize)]
struct Budget {
    work: String,
    targets: usize,
    most: usize,
}

/// So many servers with the tag, in as few calls as the emulator takes.
async fn fleet(w: &World, n: usize) {
    let shop = w.named("subnets", "shop-private-a").await;
    let vpc = w.state().await["subnets"][&shop]["vpc"].as_str().expect("a VPC").to_owned();
    // the shop's own subnets are too small for a large fleet
    let zones = [("10.20.128.0/20", "us-east-1a", n.div_ceil(2)), ("10.20.144.0/20", "us-east-1b", n / 2)];
    for (cidr, zone, n) in zones {
        let new =
            [("Action", "CreateSubnet"), ("VpcId", &vpc), ("CidrBlock", cidr), ("AvailabilityZone", zone)];
        let made = w.ec2(&new).await;
        let subnet =
            made.split("<subnetId>").nth(1).and_then(|t| t.split('<').next()).expect("an id").to_owned();
        let n = n.to_string();
        if n != "0" {
            w.ec2(&[
                ("Action", "RunInstances"),
                ("ImageId", "ami-1e749f67"),
                ("InstanceType", "t3.micro"),
                ("MinCount", &n),
                ("MaxCount", &n),
                ("SubnetId", &subnet),
                ("TagSpecification.1.ResourceType", "instance"),
                ("TagSpecification.1.Tag.1.Key", "fleet"),
                ("TagSpecification.1.Tag.1.Value", "blue"),
                ("TagSpecification.1.Tag.2.Key", "env"),
                ("TagSpecification.1.Tag.2.Value", "staging"),
            ])
            .await;
        }
    }
}

/// As many private subnets as that, each on the table that the first is on.
async fn subnets(w: &World, n: usize) {
    let state = w.state().await;
    let one = w.named("subnets", "shop-private-a").await;
    let like = &state["subnets"][&one];
    let (vpc, table) = (like["vpc"].as_str().expect("a VPC"), like["table"].as_str().expect("a table"));
    for n in 2..n {
        let cidr = format!("10.20.{}.0/24", 100 + n);
        let made = w
            .ec2(&[
                ("Action", "CreateSubnet"),
                ("VpcId", vpc),
                ("CidrBlock", &cidr),
                ("TagSpecification.1.ResourceType", "subnet"),
                ("TagSpecification.1.Tag.1.Key", "service"),
                ("TagSpecification.1.Tag.1.Value", "shop"),
                ("TagSpecification.1.Tag.2.Key", "tier"),
                ("TagSpecification.1.Tag.2.Value", "private"),
                ("TagSpecification.1.Tag.3.Key", "env"),
                ("TagSpecification.1.Tag.3.Value", "staging"),
            ])
            .await;
        let subnet = made.split("<subnetId>").nth(1).and_then(|t| t.split('<').next()).expect("an id");
        w.ec2(&[("Action", "AssociateRouteTable"), ("SubnetId", subnet), ("RouteTableId", table)]).await;
    }
}

async fn drill(w: &World, work: &str, n: usize) -> String {
    let only_fault = |parts: Parts, fault: &str| {
        let mut drill =
            Parts { steady: blind(w), recovery: String::new(), ..parts }.top("impact: none-expected");
        if !fault.is_empty() {
            drill.fault = format!("  - {{ action: {fault}, id: fault, target: web }}");
        }
        drill.targets = "\n  web: { resource: ec2.instance, tags: { fleet: blue } }".to_owned();
        drill
    };
    let parts = match work {
        "terminate" => {
            fleet(w, n).await;
            only_fault(server(w), "ec2.terminate-instances")
        }
        "stop" => {
            fleet(w, n).await;
            only_fault(network(w), "ec2.stop-instances")
        }
        "detach" => {
            subnets(w, n).await;
            Parts { steady: blind(w), recovery: String::new(), ..network(w) }.top("impact: none-expected")
        }
        "delete-objects" => {
            let bucket = bucket(w).await;
            for key in 0..n {
                w.put(&bucket, &format!("catalogue/more/{key}"), "text".to_owned()).await;
            }
            let all =
                |step: String| step.replace("prefix: catalogue/", "prefix: catalogue/, max_objects: 2000");
            let parts = objects(w);
            let (fault, recovery) = (all(parts.fault.clone()), all(parts.recovery.clone()));
            Parts { steady: blind(w), fault, recovery, ..parts }.top("impact: none-expected")
        }
        "restore" => Parts { steady: blind(w), ..database(w) },
        other => panic!("no work is called {other}"),
    };
    let mut parts = parts;
    parts.limits = parts.limits.replace("max_targets: 5", &format!("max_targets: {}", n.max(5)));
    parts.text()
}

async fn bucket(w: &World) -> String {
    let state = w.state().await;
    let all = state["buckets"].as_object().expect("buckets");
    let assets = all.iter().find(|(_, b)| b["tags"]["role"] == "assets").expect("the bucket of the shop");
    assets.0.clone()
}

#[tokio::test]
async fn a_run_costs_no_more_calls_than_the_table_says() {
    let table: Table = toml::from_str(include_str!("budgets.toml")).expect("a table");
    let mut over = Vec::new();
    for Budget { work, targets, most } in table.budget {
        let Some(w) = World::start().await else { return };
        let text = drill(&w, &work, targets).await;
        w.forget_calls().await;
        let ended = w.run(&text).await;
        ended.expect(0, "passed");
        let mut by_action: BTreeMap<String, usize> = BTreeMap::new();
        for call in w.calls().await {
            *by_action.entry(call["action"].as_str().unwrap_or("?").to_owned()).or_default() += 1;
        }
        let all: usize = by_action.values().sum();
        if all > most {
            over.push(format!("{work} of {targets}: {all} calls, at most {most}: {by_action:?}"));
        }
    }
    assert!(over.is_empty(), "{}", over.join("\n"));
}
