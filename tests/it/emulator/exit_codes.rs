//! Every way in which a run ends, by its exit code. 1 and 2 need no emulator and are tested elsewhere.

use serde_json::json;

use super::drills::{Parts, blind, network, shop};
use super::world::{Running, World};

#[tokio::test]
async fn refused_3() {
    let Some(w) = World::start().await else { return };
    let before = w.state().await;
    let mut nothing = network(&w);
    nothing.targets =
        "\n  private: { resource: vpc.subnet, tags: { service: shop, tier: nowhere } }".to_owned();
    w.run(&nothing.text()).await.refused(3, "refused: ");

    let mut few = network(&w);
    few.limits = few.limits.replace("max_targets: 5", "max_targets: 1");
    w.run(&few.text()).await.refused(3, "max_targets");

    let mut elsewhere = network(&w);
    elsewhere.limits = elsewhere.limits.replace("123456789012", "999999999999");
    w.run(&elsewhere.text()).await.refused(3, "account");

    w.file("drill.yaml", &network(&w).text());
    let asked = w.go(["run", "drill.yaml"]).await;
    asked.refused(3, "--yes");
    assert!(w.changes().await.is_empty());
    assert_eq!(before, w.state().await);

    // a plan, and a world that is no longer the one that was planned for
    let planned = w.go(["plan", "drill.yaml", "-o", "plan.json"]).await;
    assert_eq!(planned.code, Some(0), "{planned}");
    let subnet = w.named("subnets", "shop-private-b").await;
    w.ec2(&[
        ("Action", "CreateTags"),
        ("ResourceId.1", &subnet),
        ("Tag.1.Key", "redrill"),
        ("Tag.1.Value", "never"),
    ])
    .await;
    let before = w.state().await;
    w.forget_calls().await;
    let drifted = w.go(["run", "plan.json", "--yes", "--output", "json"]).await;
    drifted.expect(3, "refused");
    assert!(w.changes().await.is_empty(), "{drifted}");
    assert_eq!(before, w.state().await);

    // somebody else holds it
    w.reseed().await;
    let subnet = w.named("subnets", "shop-private-b").await;
    w.ec2(&[
        ("Action", "CreateTags"),
        ("ResourceId.1", &subnet),
        ("Tag.1.Key", "redrill:held"),
        ("Tag.1.Value", "20260101T000000Z-other-0000"),
    ])
    .await;
    let before = w.state().await;
    let held = w.run(&network(&w).text()).await;
    assert_eq!(held.code, Some(3), "{held}");
    assert_eq!(before, w.state().await, "the other one's tag stays");
}

#[tokio::test]
async fn a_plan_runs_exactly_as_it_was_made() {
    let Some(w) = World::start().await else { return };
    w.file("drill.yaml", &network(&w).text());
    w.go(["plan", "drill.yaml", "-o", "plan.json"]).await.refused(0, "plan written");
    let before = w.state().await;
    w.go(["run", "plan.json", "--yes", "--output", "json"]).await.expect(0, "passed");
    assert_eq!(before, w.state().await);
}

#[tokio::test]
async fn not_steady_4() {
    let Some(w) = World::start().await else { return };
    let before = w.state().await;
    w.gate.set(false);
    let drill = Parts { steady: blind(&w), ..network(&w) };
    w.run(&drill.text()).await.expect(4, "not-steady");
    assert!(w.changes().await.is_empty(), "nothing was injected");
    assert_eq!(before, w.state().await);
}

#[tokio::test]
async fn late_10_and_never_11() {
    let Some(w) = World::start().await else { return };
    let before = w.state().await;
    // the repair alone takes longer than the objective
    let mut run = w.start_run(&network(&w).objectives("rto: 1s, give_up: 60s").text());
    run.stage("impact").await;
    w.faults(json!([{"action": "ReplaceRouteTableAssociation", "fault": "latency", "seconds": 2}])).await;
    let late = run.end().await;
    late.expect(10, "objective-missed");
    assert!(late.result()["rta_ms"].as_i64().is_some_and(|ms| ms > 1000), "{late}");
    assert_eq!(before, w.state().await, "{late}");

    w.gate.set(false);
    let never = w.run(&network(&w).gated(&w).objectives("rto: 2s, give_up: 4s").text()).await;
    never.expect(11, "not-recovered");
    assert_eq!(before, w.state().await, "{never}");
}

#[tokio::test]
async fn unseen_12() {
    let Some(w) = World::start().await else { return };
    let before = w.state().await;
    let drill = Parts { steady: blind(&w), ..network(&w) }.top("impact_timeout: 2s");
    let ended = w.run(&drill.text()).await;
    ended.expect(12, "no-impact");
    assert_eq!(before, w.state().await, "{ended}");
}

#[tokio::test]
async fn unreadable_15() {
    let Some(w) = World::start().await else { return };
    let before = w.state().await;
    let mut drill = network(&w).objectives("rto: 3s, give_up: 6s");
    drill.steady = format!(
        "{}\n  - {{ name: servers, probe: ec2.instances, with: {{ tags: {{ role: web }}, at_least: 3 }}, every: 300ms, hold: 1s }}",
        shop(&w)
    );
    let mut run = w.start_run(&drill.text());
    run.stage("recovery").await;
    w.faults(json!([{"action": "DescribeInstances", "fault": "deny", "times": null}])).await;
    run.event("stop-requested").await;
    w.no_faults().await;
    let ended = run.end().await;
    ended.expect(15, "inconclusive");
    assert_eq!(before, w.state().await, "{ended}");
}

#[tokio::test]
async fn stuck_20_and_finished_once_the_cause_is_mended() {
    let Some(w) = World::start().await else { return };
    let before = w.state().await;
    let mut run = w.start_run(&network(&w).objectives("rto: 3s, give_up: 6s").text());
    run.stage("impact").await;
    let deny = ["ReplaceRouteTableAssociation", "AssociateRouteTable", "DisassociateRouteTable"]
        .map(|action| json!({"action": action, "fault": "deny", "times": null}));
    w.faults(json!(deny)).await;
    let ended = run.end().await;
    ended.expect(20, "stuck");
    let id = ended.run();
    assert!(
        ended.events("stuck").iter().any(|l| l["hint"].as_str().is_some_and(|h| h.contains(&id))),
        "{ended}"
    );
    assert_ne!(before, w.state().await, "the subnets are still cut off");
    // another run on the same subnets would bury what is left to do
    let refused = w.run(&network(&w).text()).await;
    refused.refused(3, &format!("redrill rollback {id}"));
    // still the same
    let again = w.go(["rollback", &id, "--output", "json"]).await;
    again.expect(20, "stuck");
    w.no_faults().await;
    let finished = w.go(["rollback", &id, "--output", "json"]).await;
    assert_eq!(finished.code, Some(0), "{finished}");
    assert_eq!(before, w.state().await, "{finished}");
    w.run(&network(&w).text()).await.expect(0, "passed");
    assert_eq!(before, w.state().await);
}

/// As many 512-byte blocks as the shell allows a file to have; the shell takes away the signal that
/// would end the process before it can say anything.
async fn limited(w: &World, blocks: usize) -> super::world::Ended {
    let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" run drill.yaml --yes --output json");
    let inner = w.redrill::<&str>([]);
    let mut sh = tokio::process::Command::new("sh");
    sh.env_clear().current_dir(w.home.path()).stdin(std::process::Stdio::null()).kill_on_drop(true);
    for (name, value) in inner.as_std().get_envs() {
        if let Some(value) = value {
            sh.env(name, value);
        }
    }
    sh.args(["-c", &script, super::world::REDRILL]);
    Running::start(sh).end().await
}

#[tokio::test]
async fn journal_21_and_finished_once_there_is_room() {
    let Some(w) = World::start().await else { return };
    w.file("drill.yaml", &network(&w).text());
    // how large the files of such a run are
    let free = w.run(&network(&w).text()).await;
    free.expect(0, "passed");
    let folder = w.home.path().join(".redrill/runs").join(free.run());
    let size = |name: &str| {
        std::fs::metadata(folder.join(name)).map_or(0, |m| usize::try_from(m.len()).unwrap_or(0))
    };
    let (plan, journal) = (size("plan.json"), size("journal.jsonl"));
    assert!(journal > plan + 8192, "the journal ({journal}) must outgrow the plan ({plan}) for this test");
    // at several places of the journal: the plan fits, the journal does not
    for step in 1..=4 {
        w.reseed().await;
        let before = w.state().await;
        let bytes = plan + 512 + (journal - plan - 512) * step / 5;
        let ended = limited(&w, bytes / 512).await;
        assert_eq!(ended.code, Some(21), "{bytes} of {journal}: {ended}");
        assert_eq!(ended.result()["exit_code"], 21);
        assert!(ended.err.contains("redrill rollback"), "{ended}");
        // nothing is sent that is not on record
        let recorded = ended.events("call-sent").len();
        assert!(w.changes().await.len() <= recorded, "{} of {recorded}: {ended}", w.changes().await.len());
        let finished = w.take_up("rollback").end().await;
        assert_eq!(finished.code, Some(0), "{bytes}: {finished}");
        assert_eq!(before, w.state().await, "{bytes}: {finished}");
    }
}

/// With a session token in the environment, that ends at this time where one is known.
fn with_token(w: &World, args: &[&str], expires: Option<&str>) -> Running {
    let mut c = w.redrill(args);
    c.env("AWS_SESSION_TOKEN", "token");
    if let Some(at) = expires {
        c.env("AWS_CREDENTIAL_EXPIRATION", at);
    }
    Running::start(c)
}

#[tokio::test]
async fn a_session_token_that_ends_before_the_drill_can_is_refused() {
    let Some(w) = World::start().await else { return };
    w.file("drill.yaml", &network(&w).text());
    let plan = ["plan", "drill.yaml"];
    let run = ["run", "drill.yaml", "--yes"];
    let says = "the credentials expire at 2020-01-01 00:00 UTC";
    for args in [&plan[..], &run[..]] {
        let ended = with_token(&w, args, Some("2020-01-01T00:00:00Z")).end().await;
        ended.refused(3, says);
    }
    let ended = with_token(&w, &plan, None).end().await;
    assert_eq!(ended.code, Some(0), "{ended}");
    assert!(ended.out.contains("a session token of unknown expiry cannot be renewed"), "{ended}");
    let ended = with_token(&w, &plan, Some("2099-01-01T00:00:00+00:00")).end().await;
    assert_eq!(ended.code, Some(0), "{ended}");
    assert!(!ended.out.contains("credentials"), "{ended}");
    // a plan made with a good token is not run with one that ends too soon
    let made = with_token(&w, &["plan", "drill.yaml", "-o", "plan.json"], Some("2099-01-01T00:00:00Z"));
    assert_eq!(made.end().await.code, Some(0));
    let ended = with_token(&w, &["run", "plan.json", "--yes"], Some("2020-01-01T00:00:00Z")).end().await;
    assert_eq!(ended.code, Some(3), "{ended}");
    assert!(ended.out.contains(says), "{ended}");
    assert!(w.changes().await.is_empty());

    // in a profile: a token given as it is, and one that a program makes anew whenever it is asked
    std::fs::create_dir(w.home.path().join(".aws")).expect("made");
    let given = "aws_access_key_id = key\naws_secret_access_key = secret\naws_session_token = token";
    let made =
        json!({ "Version": 1, "AccessKeyId": "key", "SecretAccessKey": "secret", "SessionToken": "token" });
    let process = format!("credential_process = cat {}", w.file("made.json", &made.to_string()).display());
    for (profile, told) in [(given, true), (process.as_str(), false)] {
        w.file(".aws/config", &format!("[default]\n{profile}\n"));
        let mut c = w.redrill(plan);
        c.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
        let ended = Running::start(c).end().await;
        assert_eq!(ended.code, Some(0), "{ended}");
        assert_eq!(ended.out.contains("a session token of unknown expiry"), told, "{profile}: {ended}");
    }
}
