//! Least privilege over the wire: every shipped drill under exactly its own policy, and without any one
//! action of it.
//!
//! The emulator holds every call against the policy: actions, resources and conditions. What it does not
//! decide (what AWS checks behind a call: passing roles, keys, secrets) no test here proves.
//! `REDRILL_TEST_IAM=all` leaves out each action of each drill in turn; else a sample of a fixed seed is.

use serde_json::{Value, json};

use super::world::{World, but_replaced};

const DRILLS: [&str; 6] = [
    "cdn-invalidation",
    "critical-service-loss",
    "ec2-instance-loss",
    "rds-point-in-time",
    "route-table-detach",
    "s3-object-loss",
];

/// The drill, looking more often and holding for a shorter time.
fn quick(name: &str) -> String {
    let path = format!("{}/drills/{name}.yaml", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).expect("a shipped drill");
    text.replace("hold: 10s", "hold: 1s")
        .replace("every: 1s", "every: 300ms")
        .replace("every: 2s", "every: 300ms")
}

async fn policy(w: &World, of: &str) -> Value {
    let printed = w.go(["iam", of, "--output", "json"]).await;
    assert_eq!(printed.code, Some(0), "{printed}");
    assert_eq!(printed.lines.len(), 1, "one document and nothing else: {printed}");
    printed.lines[0].clone()
}

fn actions(policy: &Value) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for statement in policy["Statement"].as_array().expect("statements") {
        match &statement["Action"] {
            Value::String(one) => all.push(one.clone()),
            several => all.extend(
                several.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned),
            ),
        }
    }
    all.sort();
    all.dedup();
    all
}

fn without(policy: &Value, action: &str) -> Value {
    let mut policy = policy.clone();
    let statements = policy["Statement"].as_array_mut().expect("statements");
    for s in statements.iter_mut() {
        let left: Vec<Value> = match &s["Action"] {
            Value::Array(all) => all.clone(),
            one => vec![one.clone()],
        };
        s["Action"] = left.into_iter().filter(|a| a != action).collect();
    }
    statements.retain(|s| s["Action"].as_array().is_some_and(|a| !a.is_empty()));
    policy
}

async fn run(w: &World, of: &str) -> super::world::Ended {
    let health = format!("health_url={}/health", w.sandbox.health);
    let plan = of == "plan.json";
    let args = ["run", of, "--yes", "--output", "json", "--set", &health];
    w.go(&args[..if plan { 5 } else { 7 }]).await
}

async fn passes(name: &str) {
    let Some(w) = World::start().await else { return };
    w.file("drill.yaml", &quick(name));
    let before = w.state().await;
    let policy = policy(&w, "drill.yaml").await;
    w.allow_only(&policy).await;
    let ended = run(&w, "drill.yaml").await;
    assert_eq!(ended.code, Some(0), "{name} under its own policy: {ended}\n{:?}", denied(&w).await);
    assert_eq!(but_replaced(before), but_replaced(w.state().await), "{name}");
    assert_eq!(denied(&w).await, Vec::<String>::new(), "nothing that redrill asks for is refused");
}

/// The calls that the policy refused.
async fn denied(w: &World) -> Vec<String> {
    let calls = w.calls().await;
    let refused = calls.iter().filter(|c| c["status"] == 403 || c["error"] == "AccessDeniedException");
    refused.map(|c| format!("{}:{}", c["service"], c["action"])).collect()
}

#[tokio::test]
async fn a_small_drill_passes_under_exactly_its_own_policy() {
    for name in ["cdn-invalidation", "route-table-detach", "s3-object-loss"] {
        passes(name).await;
    }
}

#[tokio::test]
async fn a_lost_server_is_replaced_under_exactly_its_own_policy() {
    passes("ec2-instance-loss").await;
}

#[tokio::test]
async fn a_database_is_restored_under_exactly_its_own_policy() {
    passes("rds-point-in-time").await;
}

#[tokio::test]
async fn everything_at_once_passes_under_exactly_its_own_policy() {
    passes("critical-service-loss").await;
}

#[tokio::test]
async fn a_plan_passes_under_a_policy_that_names_its_targets_alone() {
    let Some(w) = World::start().await else { return };
    w.file("drill.yaml", &quick("route-table-detach"));
    let health = format!("health_url={}/health", w.sandbox.health);
    w.go(["plan", "drill.yaml", "-o", "plan.json", "--set", &health]).await.refused(0, "plan written");
    let policy = policy(&w, "plan.json").await;
    let subnet = w.named("subnets", "shop-private-a").await;
    let text = policy.to_string();
    assert!(text.contains(&format!("subnet/{subnet}")) && !text.contains("subnet/*"), "{text}");
    w.allow_only(&policy).await;
    let ended = run(&w, "plan.json").await;
    assert_eq!(ended.code, Some(0), "{ended}\n{:?}", denied(&w).await);
}

/// Removes one action and runs; the exit code.
async fn fails_cleanly(w: &World, name: &str, policy: &Value, action: &str) -> i32 {
    w.reseed().await;
    w.file("drill.yaml", &quick(name));
    let before = w.state().await;
    w.allow_only(&without(policy, action)).await;
    let ended = run(w, "drill.yaml").await;
    let code = ended.code.unwrap_or(-1);
    assert!([0, 3, 5, 10, 11, 14, 15, 20].contains(&code), "{name} without {action}: {ended}");
    let refused = denied(w).await;
    assert_eq!(code == 0, refused.is_empty(), "{name} without {action}: {code}, refused {refused:?}");
    w.allow_only(&Value::Null).await;
    if code == 20 {
        // a person gives the permission and has the rest put back
        let swept = w.go(["sweep", "--older-than", "0s", "--yes"]).await;
        assert!(swept.code.is_some(), "{swept}");
        let again = w.take_up("rollback").end().await;
        assert!([Some(0), Some(20)].contains(&again.code), "{again}");
    }
    let after = w.state().await;
    let text = after.to_string();
    assert!(code == 20 || !text.contains("redrill:held"), "{name} without {action}: a tag is left: {ended}");
    let irreversible = ended.events("step_applied").iter().any(|e| e.to_string().contains("terminate"));
    if code != 20 && !irreversible && !name.contains("instance") && !name.contains("critical") {
        assert_eq!(but_replaced(before), but_replaced(after), "{name} without {action}");
    }
    code
}

#[tokio::test]
async fn without_any_one_action_a_drill_fails_cleanly() {
    let Some(w) = World::start().await else { return };
    let all = std::env::var("REDRILL_TEST_IAM").is_ok_and(|v| v == "all");
    let mut codes: std::collections::BTreeMap<i32, usize> = std::collections::BTreeMap::new();
    let mut lines = Vec::new();
    for (n, name) in DRILLS.into_iter().enumerate() {
        w.allow_only(&Value::Null).await;
        w.file("drill.yaml", &quick(name));
        let policy = policy(&w, "drill.yaml").await;
        let actions = actions(&policy);
        // of each drill one, the same every time
        let chosen: Vec<&String> = if all {
            actions.iter().collect()
        } else {
            actions.iter().skip((n * 7 + 3) % actions.len()).take(1).collect()
        };
        for action in chosen {
            let code = fails_cleanly(&w, name, &policy, action).await;
            lines.push(json!([name, action, code]).to_string());
            *codes.entry(code).or_default() += 1;
        }
    }
    use std::io::Write as _;
    let runs: usize = codes.values().sum();
    let told = codes.iter().map(|(c, n)| format!("{n} with {c}")).collect::<Vec<_>>().join(", ");
    let detail = if all { format!("\n{}", lines.join("\n")) } else { String::new() };
    let _closed = writeln!(std::io::stderr(), "\nCOUNT: {runs} runs without one action: {told}{detail}");
}
