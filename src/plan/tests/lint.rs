//! What is allowed and probably not meant: each finding with what cures it, and the nearest drill without it.

use super::*;
use crate::catalog::{self, action::Severity};

const WHOLE: &str = r#"version: 1
name: whole
title: Whole
service: shop
objectives: { rto: 15m, give_up: 30m }
limits: { accounts: ["123456789012"], regions: [us-east-1], max_targets: 9 }
allow_irreversible: true
targets:
  web: { resource: ec2.instance, tags: { role: web }, select: { count: 1 } }
  orders: { resource: rds.instance, tags: { role: orders }, select: { count: 1 } }
steady_state: [{ name: page, probe: http, with: { url: "http://127.0.0.1:8080/health", status: 200 }, every: 1s, hold: 10s }]
fault: [{ action: ec2.terminate-instances, target: web, id: terminate }]
recovery:
  - { action: ec2.launch-replacement, target: web, id: replace }
  - { action: rds.restore-to-point-in-time, target: orders, id: restore, with: { to: "-15m" } }
verify: [{ name: rows, probe: rds.instance, with: { identifier: "${steps.restore.identifier}", status: available } }]
"#;

const FAULT: &str = "fault: [{ action: ec2.terminate-instances, target: web, id: terminate }]\n";
const REPLACE: &str = "  - { action: ec2.launch-replacement, target: web, id: replace }\n";
const VERIFY: &str = r#"verify: [{ name: rows, probe: rds.instance, with: { identifier: "${steps.restore.identifier}", status: available } }]
"#;

/// What is found of this drill, as `subject: text -> hint`.
async fn found(edits: &[(&str, &str)]) -> Vec<String> {
    let mut text = WHOLE.to_owned();
    for (from, to) in edits {
        assert!(text.contains(from), "{from:?} is not in the drill");
        text = text.replacen(from, to, 1);
    }
    let plan = planned(&text).await;
    let told = crate::plan::lint::lint(&plan, &drill::Known::shipped()).into_iter().map(|f| {
        let severity = if f.severity == Severity::Warning { "" } else { "info: " };
        format!(
            "{severity}{}: {}{}",
            f.subject,
            f.text,
            f.hint.map(|h| format!(" -> {h}")).unwrap_or_default()
        )
    });
    told.collect()
}

#[tokio::test(start_paused = true)]
async fn a_whole_drill_is_not_warned_of() {
    assert_eq!(found(&[]).await, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn what_is_restored_beside_the_original_is_looked_at() {
    let unseen = "restore: no verify probe that could fail looks at what this step restores: \
                  the verdict will be inconclusive -> \
                  ask it under `verify`, for example with `identifier: ${steps.restore.…}`";
    assert_eq!(found(&[(VERIFY, "")]).await, [unseen]);
    assert_eq!(found(&[("${steps.restore.identifier}", "shop-orders")]).await, [unseen]);
    assert_eq!(
        found(&[("${steps.restore.identifier}", "${run.id}")]).await,
        [unseen],
        "a reference to something else"
    );
    for other in ["source", "restored_to", "port", "secret"] {
        let edit = format!("${{steps.restore.{other}}}");
        assert_eq!(
            found(&[("${steps.restore.identifier}", &edit)]).await,
            [unseen],
            "{other} is not the copy"
        );
    }
    // it is mentioned to somebody else
    let page = "probe: http, with: { url: \"http://127.0.0.1:8080/health?x=${steps.restore.identifier}\", status: 200 }";
    let (_, asked) = VERIFY.split_once("probe: ").unwrap();
    let asked = format!("probe: {}", asked.split_once(" }").unwrap().0) + " }";
    assert_eq!(found(&[(asked.as_str(), page)]).await, [unseen], "{asked}");
    let copy = page
        .replace("127.0.0.1:8080/health?x=${steps.restore.identifier}", "${steps.restore.identifier}.test/x");
    assert_eq!(found(&[(asked.as_str(), copy.as_str())]).await, [""; 0], "it is the server that is asked");
    let any =
        "rows: any answer satisfies this probe, so it shows nothing -> say which answer is the healthy one";
    assert_eq!(found(&[("status: available", "status: \"*\"")]).await, [any, unseen]);
}

#[tokio::test(start_paused = true)]
async fn where_a_step_restores_several_each_copy_needs_a_step_of_its_own() {
    let mut plan = planned(&WHOLE.replace(VERIFY, "")).await;
    let name = plan.steps.iter().find(|s| s.id.as_str() == "restore").unwrap().target.clone().unwrap();
    let drawn = &mut plan.targets.get_mut(&name).unwrap().drawn;
    drawn.push(drawn[0].clone());
    let found = crate::plan::lint::lint(&plan, &drill::Known::shipped());
    let hint = found.iter().find(|f| f.text.starts_with("no verify probe")).unwrap().hint.clone();
    assert_eq!(
        hint.unwrap(),
        "give each target a step of its own, with `select: { count: 1 }`, and ask it under `verify`, for \
         example with `identifier: ${steps.restore.…}`"
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_put_back_in_its_place_is_not_beside_the_original() {
    // it stands among the recoveries and makes nothing new, or makes something and is a fault
    let with = |stage, reversibility| async move {
        let mut plan = planned(&WHOLE.replace(VERIFY, "")).await;
        let step = plan.steps.iter_mut().find(|s| s.id.as_str() == "restore").unwrap();
        (step.stage, step.reversibility) = (stage, reversibility);
        let found = crate::plan::lint::lint(&plan, &drill::Known::shipped());
        found.iter().any(|f| f.text.starts_with("no verify probe that could fail"))
    };
    use crate::catalog::action::Reversibility::{Additive, Reversible};
    use crate::model::Stage::{Fault, Recovery};
    assert!(with(Recovery, Additive).await);
    assert!(!with(Recovery, Reversible).await && !with(Fault, Additive).await);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_any_answer_satisfies_shows_nothing() {
    let warning =
        "page: any answer satisfies this probe, so it shows nothing -> say which answer is the healthy one";
    assert_eq!(found(&[("status: 200", "status: \"*\"")]).await, [warning]);
    // nor is a quick error page a healthy answer
    assert_eq!(found(&[("status: 200", "status: \"*\", max_latency: 5s")]).await, [warning]);
    let any = |probe: &str, with: serde_json::Value| {
        catalog::probe(probe).expect("it is shipped").any_answer(&with)
    };
    let servers = |state: &str, at_most: Option<u32>| {
        let with = serde_json::json!({ "tags": { "role": "web" }, "at_least": 1, "at_most": at_most, "state": state });
        any("ec2.instances", with)
    };
    assert!(servers("*", None), "stopped ones count");
    assert!(!servers("running", None) && !servers("*", Some(3)));
    let page = |more: serde_json::Value| {
        let mut with = serde_json::json!({ "url": "http://127.0.0.1/" });
        with.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        any("http", with)
    };
    let every = ["2??", "3??", "4??", "5??"];
    assert!(page(serde_json::json!({ "status": every })), "what is on its way ends no answer");
    assert!(page(serde_json::json!({ "status": every, "header": { "Date": "*", "server": "?*" } })));
    assert!(!page(serde_json::json!({ "status": every[..3] })));
    assert!(!page(serde_json::json!({ "status": every, "header": { "x-cache": "*" } })));
    assert!(!page(serde_json::json!({ "status": every, "header": { "server": "nginx*" } })));
    let table = |with: serde_json::Value| any("vpc.route-table", with);
    for pattern in [serde_json::json!("*"), serde_json::json!("rtb-*"), serde_json::json!(["shop-*", "*"])] {
        assert!(table(serde_json::json!({ "subnet": "subnet-1", "table": pattern })), "{pattern}");
        assert!(!table(
            serde_json::json!({ "subnet": "subnet-1", "table": pattern, "has_route": "0.0.0.0/0" })
        ));
    }
    assert!(!table(serde_json::json!({ "subnet": "subnet-1", "table": ["shop-*", "rtb-0*"] })));
    assert!(!table(serde_json::json!({ "subnet": "subnet-1", "has_route": "0.0.0.0/0" })));
}

#[tokio::test(start_paused = true)]
async fn what_any_answer_satisfies_holds_nothing_back_and_stops_nothing() {
    let page = r#"probe: http, with: { url: "http://127.0.0.1/", status: ["2??", "3??", "4??", "5??"] }"#;
    let gate = format!("max_targets: 9, gates: [{{ {page} }}, {{ name: the other side, {page} }}]");
    let says = |name: &str| {
        format!(
            "limits.gates: any answer opens `{name}`, so it holds nothing back -> say which answer is the healthy one"
        )
    };
    assert_eq!(found(&[("max_targets: 9", &gate)]).await, [says("http"), says("the other side")]);
    let open = gate.replace(r#", "5??""#, "");
    assert_eq!(found(&[("max_targets: 9", &open)]).await, [""; 0]);
    let stop = format!("{VERIFY}stop: [{{ name: errors, {page} }}]\n");
    let says =
        "errors: any answer satisfies this probe, so it stops nothing -> say which answer is the healthy one";
    assert_eq!(found(&[(VERIFY, &stop)]).await, [says]);
}

#[tokio::test(start_paused = true)]
async fn a_fault_that_no_client_probe_can_see_is_told_before() {
    let warning = "steady_state: no client probe can see the fault: the verdict will be no-impact -> \
                   add a probe to `steady_state`, or say `impact: none-expected`";
    let blind = ("hold: 10s }", "hold: 10s, role: capacity }");
    assert_eq!(found(&[blind]).await, [warning]);
    assert_eq!(
        found(&[blind, ("allow_irreversible", "impact: none-expected\nallow_irreversible")]).await,
        [""; 0]
    );
    let no_fault = [blind, (FAULT, ""), (REPLACE, ""), ("allow_irreversible: true\n", "")];
    let unused = "web: no step uses this selector, and its targets count";
    assert_eq!(found(&no_fault).await, [unused]);
}

#[tokio::test(start_paused = true)]
async fn a_probe_keeps_time_with_the_objectives() {
    let slow = "page: it looks every 16m, and the RTO is 15m -> look more often: `every`";
    assert_eq!(found(&[("every: 1s", "every: 16m")]).await, [slow]);
    assert_eq!(found(&[("every: 1s", "every: 15m")]).await, [""; 0]);
    let long = "page: it must hold for 31m, and the run gives up after 30m";
    assert_eq!(found(&[("hold: 10s", "hold: 31m")]).await, [long]);
    assert_eq!(found(&[("hold: 10s", "hold: 30m")]).await, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn what_is_pointed_at_is_not_removed() {
    let add = |step: &str| format!("with: {{ to: \"-15m\" }} }}\n  - {{ {step}, id: later }}\n");
    let at = "with: { to: \"-15m\" } }\n";
    let warning = "restore: `later` uses it, and it is removed at the end of the run -> \
                   if something is cut over to it for good, say `after: keep`";
    let person = "manual: \"Point the shop at ${steps.restore.endpoint}\"";
    let program = "action: command, with: { argv: [/bin/echo, \"${steps.restore.endpoint}\"] }";
    for uses in [person, program] {
        assert_eq!(found(&[(at, &add(uses))]).await, [warning], "{uses}");
        let kept = add(uses).replacen("} }", "}, after: keep }", 1);
        assert_eq!(found(&[(at, &kept)]).await, [""; 0], "{uses}");
    }
    for other in ["manual: Have a look", "action: command, with: { argv: [/bin/true] }"] {
        assert_eq!(found(&[(at, &add(other))]).await, [""; 0], "{other}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_broken_for_good_is_mended() {
    let warning = "terminate: nothing under `recovery` mends what this breaks for good -> \
                   for example ec2.launch-replacement";
    assert_eq!(found(&[(REPLACE, "")]).await, [warning]);
    let stop = [("ec2.terminate-instances", "ec2.stop-instances"), (REPLACE, "")];
    let needless = "info: allow_irreversible: `allow_irreversible` is needed only where a stop erases instance-store volumes";
    assert_eq!(found(&stop).await, [needless]);
    let without = [stop[0], stop[1], ("allow_irreversible: true\n", "")];
    assert_eq!(found(&without).await, [""; 0], "there is a recovery");
}

const RESTORE: &str =
    "  - { action: rds.restore-to-point-in-time, target: orders, id: restore, with: { to: \"-15m\" } }\n";

/// What is found of this fault in a drill without any recovery, or with this one.
async fn alone(fault: &str, recovery: &str) -> Vec<String> {
    let recovery = format!("recovery: [{recovery}]\n");
    let of_fault = format!("fault: [{{ id: break, {fault} }}]\n");
    let mut found = found(&[
        (FAULT, &of_fault),
        (&format!("recovery:\n{REPLACE}{RESTORE}"), &recovery),
        (VERIFY, ""),
        ("allow_irreversible: true\n", ""),
    ])
    .await;
    found.retain(|f| f.starts_with("break: "));
    found
}

#[tokio::test(start_paused = true)]
async fn a_fault_that_nothing_follows_is_told() {
    let waits = "break: no step under `recovery` mends it: unless the service comes back by itself, the run waits until it \
                 gives up, after 30m, and only then puts it back -> ";
    let stop = "action: ec2.stop-instances, target: web";
    // nothing in the catalogue starts what was stopped, so nothing of it is named
    assert!(!drill::Known::shipped().actions.iter().any(|a| a.spec().mends.contains(&"ec2.stop-instances")));
    let people = "add the steps that people would take, for example a `manual` one";
    assert_eq!(alone(stop, "").await, [format!("{waits}{people}")]);
    assert_eq!(alone(stop, "{ manual: Start it }").await, [""; 0]);
    let cut = "action: vpc.detach-route-table, target: net";
    let net = (
        "  orders:",
        "  net: { resource: vpc.subnet, tags: { tier: private }, select: { count: 1 } }\n  orders:",
    );
    let of_cut = format!("fault: [{{ id: break, {cut} }}]\n");
    let edits =
        [(FAULT, of_cut.as_str()), (REPLACE, ""), (RESTORE, ""), ("recovery:\n", ""), (VERIFY, ""), net];
    let mut of_cut = found(&edits).await;
    of_cut.retain(|f| f.starts_with("break: "));
    assert_eq!(of_cut, [format!("{waits}for example vpc.attach-route-table")]);
    let mut none = edits.to_vec();
    none.push(("allow_irreversible: true", "impact: none-expected"));
    assert!(found(&none).await.iter().all(|f| !f.starts_with("break: ")), "the service is to stay up");
}

#[tokio::test(start_paused = true)]
async fn a_program_that_nothing_undoes_and_nothing_follows_is_told() {
    let stays = "break: it has no `undo`, and there is no step under `recovery`: what the program changes stays -> \
                 add the steps that people would take, for example a `manual` one";
    let program = |undo: &str| format!("action: command, with: {{ argv: [/bin/true]{undo} }}");
    assert_eq!(alone(&program(""), "").await, [stays]);
    assert_eq!(alone(&program(""), "{ manual: Mend it }").await, [""; 0]);
    let undone = alone(&program(", undo: { argv: [/bin/true] }"), "").await;
    assert!(undone.len() == 1 && undone[0].contains("only then puts it back"), "{undone:?}");
    // what passes by itself leaves nothing
    assert_eq!(alone("action: rds.reboot, target: orders", "").await, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn what_a_step_changes_beside_its_targets_is_drawn_too() {
    let delete = "fault: [{ action: ec2.terminate-instances, target: web, id: terminate }, { action: s3.delete-objects, \
                  target: assets, id: delete, with: { prefix: \"\", replicas: [batch-scratch-123456789012] } }]\n";
    let assets = "  assets: { resource: s3.bucket, tags: { role: assets }, select: { count: 1 } }\n  orders:";
    let undrawn = found(&[(FAULT, delete), ("  orders:", assets)]).await;
    let refused =
        |f: &&String| f.contains("delete: it changes batch-scratch-123456789012 too, which no selector");
    assert_eq!(undrawn.iter().filter(refused).count(), 1, "{undrawn:?}");
    let both = "  assets: { resource: s3.bucket, tags: { role: assets }, select: { count: 1 } }\n  \
                replica: { resource: s3.bucket, tags: { role: scratch }, select: { count: 1 } }\n  orders:";
    let drawn = found(&[(FAULT, delete), ("  orders:", both)]).await;
    assert!(drawn.iter().all(|f| !f.contains("batch-scratch") && !f.starts_with("replica:")), "{drawn:?}");
}

#[tokio::test(start_paused = true)]
async fn a_selector_without_a_step_is_told() {
    let spare = (
        "  orders:",
        "  spare: { resource: vpc.subnet, tags: { tier: private }, select: { count: 1 } }\n  orders:",
    );
    assert_eq!(found(&[spare]).await, ["spare: no step uses this selector, and its targets count"]);
}
