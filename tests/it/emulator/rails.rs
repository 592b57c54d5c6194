//! Guard rails over the wire: a kill switch in each of its places, approvals from plan to bundle.

use redrill::evidence::approval::{self, Said};
use redrill::evidence::keys::PrivateKey;
use redrill::model::Clock as _;
use redrill::model::time::SystemClock;
use serde_json::{Value, json};

use super::drills::{Parts, database, network, server};
use super::world::{World, but_replaced, kept};

const FILE: &str = "[kill_switch]\nfile = \"stop\"\n";
const OBJECT: &str = "[kill_switch]\ns3 = \"s3://shop-assets-123456789012/redrill/stop\"\n";
const PARAMETER: &str = "[kill_switch]\nssm = \"/redrill/stop\"\n";

/// Sets a parameter of Systems Manager.
async fn parameter(w: &World, value: &str) {
    let body = serde_json::json!({
        "Name": "/redrill/stop", "Value": value, "Type": "String", "Overwrite": true,
    });
    w.json("ssm", "AmazonSSM.PutParameter", &body).await;
}

#[tokio::test]
async fn the_kill_switch_stops_a_run_wherever_it_is() {
    let Some(w) = World::start().await else { return };
    for rules in [FILE, OBJECT, PARAMETER] {
        w.reseed().await;
        parameter(&w, "off").await;
        let before = w.state().await;
        w.file("redrill.toml", rules);
        // the gate never opens, so the run waits until it is stopped
        w.gate.set(false);
        let mut run = w.start_run(&network(&w).gated(&w).text());
        run.stage("verify").await;
        match rules {
            FILE => _ = w.file("stop", ""),
            OBJECT => w.put("shop-assets-123456789012", "redrill/stop", String::new()).await,
            _ => parameter(&w, "on").await,
        }
        let ended = run.end().await;
        ended.expect(13, "stopped");
        assert!(format!("{ended}").contains("the kill switch is set: "), "{ended}");
        // set as it is, it refuses the next
        let again = w.run(&network(&w).text()).await;
        again.expect(3, "refused");
        assert!(format!("{again}").contains("kill switch: it is set: "), "{again}");
        let mut after = w.state().await;
        if rules == OBJECT {
            // the switch itself is an object
            after["buckets"] = before["buckets"].clone();
        }
        assert_eq!(before, after, "{rules}");
        w.gate.set(true);
    }
}

#[tokio::test]
async fn a_kill_switch_that_cannot_be_read_refuses_a_start() {
    let Some(w) = World::start().await else { return };
    w.file("redrill.toml", "[kill_switch]\ns3 = \"s3://no-such-bucket-123456789012/stop\"\n");
    // a misspelt bucket would be a switch that nobody can set
    let refused = w.run(&network(&w).text()).await;
    refused.expect(3, "refused");
    assert!(format!("{refused}").contains("kill switch: it cannot be read"), "{refused}");
    assert!(w.changes().await.is_empty());
}

#[tokio::test]
async fn a_sweep_needs_no_journal() {
    let Some(w) = World::start().await else { return };
    let before = w.state().await;
    let mut parts = network(&w);
    parts.recovery = format!("  - {{ action: wait, with: {{ for: 5m }} }}\n{}", parts.recovery);
    let mut run = w.start_run(&parts.text());
    run.stage("recovery").await;
    let id = run.kill().await.run();
    w.forget_calls().await;
    // where the journal is, it is the better way
    let here = w.go(["sweep", "--older-than", "0s", "--yes"]).await;
    assert!(here.code == Some(0) && format!("{here}").contains("redrill rollback "), "{here}");
    std::fs::remove_dir_all(w.home.path().join(".redrill")).expect("the state is lost");
    let young = w.go(["sweep", "--yes"]).await;
    assert!(young.code == Some(0) && format!("{young}").contains("younger than 1day"), "{young}");
    let asked = w.go(["sweep", "--run", &id]).await;
    asked.refused(3, "--yes was not given");
    let all = w.go(["sweep", "--yes", "--older-than", "0s"]).await;
    all.refused(3, "--yes is for one run");
    assert!(w.changes().await.is_empty());
    let swept = w.go(["sweep", "--run", &id, "--yes"]).await;
    assert_eq!(swept.code, Some(0), "{swept}");
    assert_eq!(before, w.state().await, "{swept}");
    let again = w.go(["sweep", "--yes"]).await;
    assert!(format!("{again}").contains("us-east-1: nothing left behind"), "{again}");
}

/// As somebody may who has no permission but to tag.
#[tokio::test]
async fn a_sweep_believes_no_tag() {
    let Some(w) = World::start().await else { return };
    let state = w.state().await;
    let instance = state["instances"][0]["id"].as_str().expect("an id").to_owned();
    let other = state["instances"][1]["id"].as_str().expect("an id").to_owned();
    let run = "20260101T000000Z-x-aaaaaa";
    w.query(
        "ec2",
        "2016-11-15",
        &[
            ("Action", "CreateTags"),
            ("ResourceId.1", &instance),
            ("Tag.1.Key", "redrill:run"),
            ("Tag.1.Value", run),
            ("Tag.2.Key", "redrill:replaces"),
            ("Tag.2.Value", &other),
        ],
    )
    .await;
    w.query(
        "rds",
        "2014-10-31",
        &[
            ("Action", "AddTagsToResource"),
            ("ResourceName", "arn:aws:rds:us-east-1:123456789012:db:batch-scratch"),
            ("Tags.Tag.1.Key", "redrill:run"),
            ("Tags.Tag.1.Value", run),
            ("Tags.Tag.2.Key", "redrill:replaces"),
            ("Tags.Tag.2.Value", "shop-orders"),
        ],
    )
    .await;
    let tagged = w.state().await;
    w.forget_calls().await;
    let swept = w.go(["sweep", "--run", run, "--yes"]).await;
    assert_eq!(format!("{swept}").matches("only its tags say that a run made it").count(), 2, "{swept}");
    assert!(w.changes().await.is_empty(), "{swept}");
    assert_eq!(tagged, w.state().await);
}

#[tokio::test]
async fn a_sweep_removes_a_restored_database_and_leaves_its_snapshot() {
    let Some(w) = World::start().await else { return };
    let before = w.state().await;
    let mut parts = database(&w);
    parts.recovery = format!("{}\n  - {{ action: wait, with: {{ for: 5m }} }}", parts.recovery);
    let mut run = w.start_run(&parts.text());
    run.event("step-ready").await;
    let id = run.kill().await.run();
    std::fs::remove_dir_all(w.home.path().join(".redrill")).expect("the state is lost");
    let swept = w.go(["sweep", "--run", &id, "--yes"]).await;
    assert_eq!(swept.code, Some(0), "{swept}");
    assert!(format!("{swept}").contains("remove, with the final snapshot shop-orders-redrill-"), "{swept}");
    assert_eq!(before["databases"], w.state().await["databases"], "{swept}");
    let told = w.query("rds", "2014-10-31", &[("Action", "DescribeDBSnapshots")]).await;
    assert!(told.contains("-final</DBSnapshotIdentifier>"), "{told}");
}

#[tokio::test]
async fn a_sweep_leaves_what_a_person_has_accepted_to_stay() {
    let Some(w) = World::start().await else { return };
    w.faults(json!([{"action": "DeleteDBInstance", "fault": "deny", "times": null}])).await;
    let ended = w.start_run(&database(&w).text()).end().await;
    ended.expect(20, "stuck");
    w.no_faults().await;
    let accepted =
        w.go(["rollback", "last", "--accept", "restore/shop-orders", "--reason", "the team reads it"]).await;
    assert_eq!(accepted.code, Some(14), "{accepted}");
    w.forget_calls().await;
    let swept = w.go(["sweep", "--run", &ended.run(), "--yes"]).await;
    assert!(swept.code == Some(0) && w.changes().await.is_empty(), "{swept}");
    assert!(
        format!("{swept}").contains("somebody has accepted that it stays, as the journal of its run says"),
        "{swept}"
    );
}

#[tokio::test]
async fn a_sweep_tells_what_a_stuck_run_still_owes() {
    let Some(w) = World::with(&[("shutting-down", 1.0)]).await else { return };
    w.faults(json!([{"action": "RunInstances", "fault": "deny", "times": null}])).await;
    let ended = w.start_run(&server(&w).text()).end().await;
    ended.expect(20, "stuck");
    let here = w.go(["sweep", "--list", "--older-than", "0s"]).await;
    assert!(format!("{here}").contains("its journal is here: redrill rollback "), "{here}");
    let swept = w.go(["sweep", "--run", &ended.run(), "--yes"]).await;
    assert_eq!(swept.code, Some(20), "{swept}");
    assert!(
        format!("{swept}").contains("it is gone, and nothing that a run made stands in for it"),
        "{swept}"
    );
}

#[tokio::test]
async fn a_sweep_leaves_a_run_alone_that_is_under_way_and_regions_that_are_not_listed() {
    let Some(w) = World::start().await else { return };
    let before = w.state().await;
    w.gate.set(false);
    let mut run = w.start_run(&network(&w).gated(&w).text());
    run.stage("verify").await;
    w.forget_calls().await;
    let list = w.go(["sweep", "--list", "--older-than", "0s", "--regions", "us-east-1,us-east-1"]).await;
    assert_eq!(format!("{list}").matches(", us-east-1: ").count(), 1, "listed once: {list}");
    let runs: Value = serde_json::from_str(&w.go(["runs", "--output", "json"]).await.out).expect("an array");
    let id = runs[0]["run"].as_str().expect("listed").to_owned();
    for state in [".redrill", "elsewhere"] {
        for which in [["--run", id.as_str()], ["--older-than", "0s"]] {
            let swept = w.go([&["sweep", "--yes", "--state", state], &which[..]].concat()).await;
            assert_eq!(swept.code, Some(0), "{swept}");
            assert!(format!("{swept}").contains("its run is under way on this machine"), "{swept}");
        }
    }
    assert!(w.changes().await.is_empty(), "nothing is mended under its hands");
    w.file("redrill.toml", "[limits]\nregions = [\"eu-west-1\"]\n");
    for other in [vec!["--list"], vec!["--yes", "--regions", "eu-west-1,us-east-1"]] {
        w.go([vec!["sweep"], other].concat()).await.refused(3, "limits.regions: this is us-east-1");
    }
    w.gate.set(true);
    run.end().await.expect(0, "passed");
    assert_eq!(before, w.state().await);
}

#[tokio::test]
async fn a_sweep_keeps_what_serves_and_starts_what_is_kept() {
    let Some(w) = World::start().await else { return };
    let before = w.state().await;
    let lost = || std::fs::remove_dir_all(w.home.path().join(".redrill")).expect("the state is lost");
    // killed once the replacement serves
    w.gate.set(false);
    let mut run = w.start_run(&server(&w).gated(&w).text());
    run.stage("verify").await;
    let id = run.kill().await.run();
    lost();
    w.forget_calls().await;
    let listed = w.go(["sweep", "--list", "--older-than", "0s"]).await;
    assert!(listed.code == Some(0) && format!("{listed}").contains("keep: it stands in for i-"), "{listed}");
    let swept = w.go(["sweep", "--run", &id, "--yes"]).await;
    assert_eq!(swept.code, Some(0), "{swept}");
    assert_eq!(w.changes().await, ["CreateTags", "DeleteTags"], "{swept}");
    let after = w.state().await;
    assert_eq!(but_replaced(before), but_replaced(after.clone()), "{swept}");
    assert_eq!(kept(&after), 1);
    // what is kept is a target like any other: killed while it is stopped
    let targets =
        "\n  kept: { resource: ec2.instance, tags: { role: web, \"redrill:kept\": \"*\" } }".to_owned();
    let stop = Parts {
        targets,
        fault: "  - { action: ec2.stop-instances, id: stop, target: kept }".to_owned(),
        recovery: "  - { action: wait, with: { for: 5m } }".to_owned(),
        ..network(&w)
    };
    let mut run = w.start_run(&stop.text());
    run.stage("recovery").await;
    let id = run.kill().await.run();
    lost();
    assert_ne!(after, w.state().await);
    let listed = w.go(["sweep", "--list", "--older-than", "0s"]).await;
    assert!(format!("{listed}").contains("start, then release"), "{listed}");
    let swept = w.go(["sweep", "--run", &id, "--yes"]).await;
    assert_eq!(swept.code, Some(0), "{swept}");
    assert_eq!(after, w.state().await, "{swept}");
    let again = w.go(["sweep", "--older-than", "0s", "--yes"]).await;
    assert!(format!("{again}").contains("us-east-1: nothing left behind"), "{again}");
}

#[tokio::test]
async fn approvals_from_the_plan_to_the_bundle() {
    let Some(w) = World::start().await else { return };
    let parts = network(&w);
    let limits = parts.limits.replace("max_targets: 5", "max_targets: 5, approvals: 1");
    w.file("drill.yaml", &Parts { limits, ..parts }.text());
    w.go(["run", "drill.yaml", "--yes"]).await.refused(3, "a plan is approved, not a drill");
    w.go(["plan", "drill.yaml", "-o", "plan.json"]).await.refused(0, "plan written");
    w.go(["run", "plan.json", "--yes"]).await.refused(3, "the plan has 0 of 1 approval");
    assert!(w.changes().await.is_empty());
    let made = w.go(["init", "--key", "ann.pem", "--output", "json"]).await;
    let key = format!("{made}").split('"').find(|t| t.starts_with("SHA256:")).expect("a key").to_owned();
    let approve = ["approve", "plan.json", "--yes", "--by", "ann", "--key", "ann.pem"];
    w.go(approve).await.refused(0, "");
    w.go(["run", "plan.json", "--yes"]).await.refused(3, "given by the user who runs the drill");
    assert!(w.changes().await.is_empty());
    // nor does it with her key on the list: from another machine it does
    w.file("redrill.toml", &format!("[[approvers]]\nname = \"ann\"\nkey = \"{key}\"\n"));
    w.go(["plan", "drill.yaml", "-o", "plan.json"]).await.refused(0, "plan written");
    std::fs::remove_file(w.home.path().join("plan.approval-1.json")).expect("of the plan before");
    w.go(approve).await.refused(0, "");
    w.go(["run", "plan.json", "--yes"]).await.refused(3, "given by the user who runs the drill");
    let own = w.home.path().join("ann.pem");
    let own = PrivateKey::from_pem(&std::fs::read_to_string(own).expect("a key"), None).expect("a key");
    let plan = std::fs::read_to_string(w.home.path().join("plan.json")).expect("a plan");
    let plan = redrill::plan::file::read(&plan).expect("a plan");
    let at = SystemClock.now();
    let said = Said {
        by: "ann".to_owned(),
        operator: "ann@elsewhere".to_owned(),
        at,
        expires: at + chrono::TimeDelta::days(7),
        drill: plan.drill.name.clone(),
        note: String::new(),
    };
    let sealed = approval::seal(&own, &plan.sha256(), &said).expect("signed");
    std::fs::write(w.home.path().join("plan.approval-1.json"), sealed).expect("written");
    w.go(["run", "plan.json", "--yes", "--output", "json"]).await.expect(0, "passed");
    w.go(["report", "last", "--out", "bundle"]).await.refused(0, "");
    let verified = w.go(["verify", "bundle"]).await;
    assert_eq!(verified.code, Some(0), "{verified}");
    assert!(format!("{verified}").contains("approved by ann, key SHA256:"), "{verified}");
    // without the approval the bundle is not what was signed
    std::fs::remove_file(w.file("bundle/.keep", "").with_file_name("approval-1.json")).expect("it is there");
    assert_eq!(w.go(["verify", "bundle"]).await.code, Some(1));
}
