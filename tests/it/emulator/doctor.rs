//! What the caller may do, asked before anything is done: `redrill doctor` and preflight, with a policy in force.

use serde_json::{Value, json};

use super::world::{Ended, World};

const DRILL: &str = "drill.yaml";

/// The shipped drill, its policy, and what it takes to ask IAM.
async fn with(w: &World, name: &str, without: &str) -> Value {
    let path = format!("{}/drills/{name}.yaml", env!("CARGO_MANIFEST_DIR"));
    w.file(DRILL, &std::fs::read_to_string(path).expect("a shipped drill").replace("hold: 10s", "hold: 1s"));
    let printed = w.go(["iam", DRILL, "--output", "json"]).await;
    let mut policy = printed.lines[0].clone();
    let statements = policy["Statement"].as_array_mut().expect("statements");
    for s in statements.iter_mut() {
        if let Some(all) = s["Action"].as_array() {
            s["Action"] = all.iter().filter(|a| **a != without).cloned().collect();
        }
    }
    statements.retain(|s| s["Action"] != without && s["Action"] != json!([]));
    statements.push(json!({ "Effect": "Allow", "Action": "iam:SimulatePrincipalPolicy", "Resource": "*" }));
    policy
}

async fn doctor(w: &World) -> Ended {
    w.go(["doctor", DRILL, "--output", "json"]).await
}

fn line<'a>(ended: &'a Ended, name: &str) -> &'a Value {
    let checks = ended.lines[0]["checks"].as_array().expect("checks");
    checks.iter().find(|c| c["check"] == name).unwrap_or_else(|| panic!("no {name}: {ended}"))
}

fn permissions<'a>(ended: &'a Ended, state: &str) -> Vec<&'a str> {
    let all = ended.lines[0]["permissions"].as_array().expect("permissions");
    all.iter().filter(|p| p["state"] == state).filter_map(|p| p["action"].as_str()).collect()
}

#[tokio::test]
async fn under_its_own_policy_every_permission_of_a_drill_is_allowed_and_nothing_is_changed() {
    let Some(w) = World::start().await else { return };
    for name in ["ec2-instance-loss", "rds-point-in-time", "critical-service-loss", "s3-object-loss"] {
        let policy = with(&w, name, "").await;
        w.allow_only(&policy).await;
        let ended = doctor(&w).await;
        assert_eq!(ended.code, Some(0), "{name}: {ended}");
        assert_eq!(
            (permissions(&ended, "denied").len(), permissions(&ended, "not_checked").len()),
            (0, 0),
            "{ended}"
        );
        assert!(permissions(&ended, "allowed").len() > 10, "{ended}");
        assert_eq!(line(&ended, "permissions")["state"], "ok");
    }
    let ended = doctor(&w).await;
    assert_eq!(line(&ended, "account")["text"], "123456789012, region us-east-1, partition aws");
    assert!(
        line(&ended, "aws")["text"]
            .as_str()
            .is_some_and(|t| t.starts_with("no AWS: an emulator at http://127."))
    );
    assert_eq!(line(&ended, "clock")["state"], "ok");
    assert_eq!(w.changes().await, Vec::<String>::new());
    let text = w.go(["doctor", DRILL]).await;
    assert!(text.out.contains("\nallowed ") && text.out.contains("service control policies"), "{text}");
}

#[tokio::test]
async fn a_permission_that_is_missing_refuses_before_the_fault_and_is_named() {
    let Some(w) = World::start().await else { return };
    let policy = with(&w, "ec2-instance-loss", "ec2:RunInstances").await;
    w.allow_only(&policy).await;
    let ended = doctor(&w).await;
    assert_eq!(ended.code, Some(3), "{ended}");
    assert!(permissions(&ended, "denied").iter().all(|a| *a == "ec2:RunInstances"), "{ended}");
    assert_eq!(line(&ended, "permissions")["state"], "problem");
    let health = format!("health_url={}/health", w.sandbox.health);
    let run = w.go(["run", DRILL, "--yes", "--output", "json", "--set", &health]).await;
    assert_eq!(run.code, Some(3), "{run}");
    assert_eq!(w.changes().await, Vec::<String>::new(), "nothing was changed");
    let reasons = run.events("finished")[0]["reasons"].to_string();
    for part in [
        "may not ec2:RunInstances on arn:aws:ec2:us-east-1:123456789012:",
        "no policy allows it",
        "redrill iam",
    ] {
        assert!(reasons.contains(part), "{part}: {reasons}");
    }
}

#[tokio::test]
async fn where_iam_cannot_be_asked_it_says_not_checked_and_the_run_goes_on() {
    let Some(w) = World::start().await else { return };
    let mut policy = with(&w, "route-table-detach", "").await;
    policy["Statement"].as_array_mut().expect("statements").pop();
    let health = format!("health_url={}/health", w.sandbox.health);
    for (policy, why) in [
        (policy, "the caller may not call iam:SimulatePrincipalPolicy"),
        (Value::Null, "this emulator does not simulate policies"),
    ] {
        w.allow_only(&policy).await;
        let ended = doctor(&w).await;
        assert_eq!(ended.code, Some(0), "{ended}");
        let said = line(&ended, "permissions");
        assert_eq!((&said["state"], &said["text"]), (&json!("not_checked"), &json!(why)), "{ended}");
        let run = w.go(["run", DRILL, "--yes", "--output", "json", "--set", &health]).await;
        assert_eq!(run.code, Some(0), "{run}");
        let found = run.events("found");
        let found = found.iter().find(|f| f["finding"]["subject"] == "permissions").expect("on record");
        assert_eq!(found["finding"]["text"], format!("not checked: {why}"));
    }
}

#[tokio::test]
async fn a_drill_of_another_account_and_a_kill_switch_that_is_set_are_problems() {
    let Some(w) = World::start().await else { return };
    let _policy = with(&w, "cdn-invalidation", "").await;
    let text = std::fs::read_to_string(w.home.path().join(DRILL)).expect("the drill");
    w.file(
        DRILL,
        &text.replace("\"123456789012\"", "\"111111111111\"").replace("\"000000000000\"", "\"222222222222\""),
    );
    let ended = doctor(&w).await;
    assert_eq!(ended.code, Some(3), "{ended}");
    assert_eq!(line(&ended, "limits")["text"], "the drill does not run in account 123456789012");
    w.file(DRILL, &text);
    w.file("redrill.toml", "[kill_switch]\nfile = \"STOP\"\n");
    let ended = doctor(&w).await;
    assert_eq!((ended.code, &line(&ended, "kill switch")["text"]), (Some(0), &json!("readable, not set")));
    w.file("STOP", "");
    let ended = doctor(&w).await;
    assert_eq!(
        (ended.code, &line(&ended, "kill switch")["text"]),
        (Some(3), &json!("set: file STOP")),
        "{ended}"
    );
}
