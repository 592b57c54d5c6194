//! Several processes: locks, and what people tell a run that is under way.

use serde_json::json;

use super::drills::{network, server};
use super::world::{Running, World};

#[tokio::test]
async fn a_second_run_on_the_same_targets_is_refused() {
    let Some(w) = World::start().await else { return };
    let before = w.state().await;
    w.gate.set(false);
    let mut first = w.start_run(&network(&w).gated(&w).text());
    first.stage("verify").await;
    w.forget_calls().await;
    let second = w.go(["run", "drill.yaml", "--yes", "--output", "json"]).await;
    second.refused(3, "is under way");
    assert!(w.changes().await.is_empty(), "{second}");
    // nor can the run be taken up meanwhile
    for verb in ["rollback", "resume"] {
        let taken = w.take_up(verb).end().await;
        taken.refused(3, "is in use by ");
    }
    w.gate.set(true);
    first.end().await.expect(0, "passed");
    assert_eq!(before, w.state().await);
}

#[tokio::test]
async fn nor_from_another_state_folder_before_the_targets_are_tagged() {
    let Some(w) = World::start().await else { return };
    let before = w.state().await;
    let mut first = w.start_run(&network(&w).text().replace("hold: 1s", "hold: 20m"));
    first.stage("baseline").await;
    let second = w.go(["run", "drill.yaml", "--yes", "--output", "json", "--state", "elsewhere"]).await;
    second.refused(3, "is in use by ");
    let aborted = w.go(["abort", "last"]).await;
    assert_eq!(aborted.code, Some(0), "{aborted}");
    first.end().await.expect(13, "stopped");
    assert!(w.changes().await.is_empty(), "{second}");
    assert_eq!(before, w.state().await);
}

#[tokio::test]
async fn an_unfinished_run_must_be_finished_first() {
    let Some(w) = World::start().await else { return };
    let before = w.state().await;
    let mut run = w.start_run(&network(&w).text());
    run.stage("recovery").await;
    let id = run.kill().await.run();
    w.forget_calls().await;
    let refused = w.run(&network(&w).text()).await;
    refused.refused(3, &format!("redrill rollback {id}"));
    assert!(w.changes().await.is_empty(), "{refused}");
    // with other targets it would measure the outage that is still there
    let other = w.run(&server(&w).text()).await;
    other.refused(3, "is one of the same drill");
    let renamed = server(&w).text().replace("name: small", "name: large");
    w.run(&renamed).await.refused(3, "drills the same service `shop`");
    assert!(w.changes().await.is_empty(), "{other}");
    let finished = w.go(["rollback", &id]).await;
    assert_eq!(finished.code, Some(0), "{finished}");
    assert_eq!(before, w.state().await);
    w.run(&network(&w).text()).await.expect(0, "passed");
}

#[tokio::test]
async fn a_run_is_put_back_only_where_it_was_made() {
    let (Some(w), Some(other)) = (World::start().await, World::start().await) else { return };
    let mut run = w.start_run(&network(&w).text());
    run.stage("recovery").await;
    let id = run.kill().await.run();
    let there = other.sandbox.endpoint.clone();
    for verb in ["rollback", "resume", "abort"] {
        for variable in ["REDRILL_ENDPOINT_URL", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_EC2"] {
            let mut command = w.redrill([verb, id.as_str()]);
            command.env_remove("REDRILL_ENDPOINT_URL").env(variable, &there);
            let refused = Running::start(command).end().await;
            refused.refused(3, &format!("{variable} names {there}"));
        }
    }
    assert!(other.calls().await.is_empty(), "nothing is asked there");
    // the emulator at its address is another one: the same names, and nothing that the run holds
    w.reseed().await;
    let anew = w.state().await;
    let refused = w.go(["rollback", &id]).await;
    refused.refused(3, "is not the emulator that the run was started in");
    assert_eq!(anew, w.state().await);
    assert!(w.changes().await.is_empty(), "{refused}");
}

#[tokio::test]
async fn people_mark_and_confirm() {
    let Some(w) = World::start().await else { return };
    let mut drill = network(&w);
    drill.recovery = format!("{}\n  - {{ manual: Call the team, id: call }}", drill.recovery);
    let mut run = w.start_run(&drill.text());
    let waiting = run.event("waiting").await;
    assert_eq!(waiting["step"], "call");
    let marked = w.go(["mark", "last", "declare", "--note", "it is bad"]).await;
    assert_eq!(marked.code, Some(0), "{marked}");
    let line = run.event("marked").await;
    assert_eq!((&line["mark"], &line["note"]), (&json!("declare"), &json!("it is bad")));
    assert!(line["by"].as_str().is_some_and(|by| by.contains('@')), "{line}");
    // a confirmation of something else is refused
    let wrong = w.go(["confirm", "last", "attach", "--note", "wrong step"]).await;
    assert_eq!(wrong.code, Some(2), "{wrong}");
    assert_eq!(w.go(["mark", "last", "ack"]).await.code, Some(0));
    run.event("marked").await;
    let confirmed = w.go(["confirm", "last", "call", "--note", "called"]).await;
    assert_eq!(confirmed.code, Some(0), "{confirmed}");
    let ended = run.end().await;
    ended.expect(0, "passed");
    let lines = ended.events("confirmed");
    assert_eq!(lines.len(), 1, "{ended}");
    assert_eq!((&lines[0]["note"], &lines[0]["simulated"]), (&json!("called"), &json!(false)));
    let shown = w.go(["show", "last", "--output", "json"]).await;
    assert!(
        shown.out.contains("it is bad") || shown.out.contains("\"t3\""),
        "the declaration is in the report: {shown}"
    );
}

#[tokio::test]
async fn yes_confirms_no_manual_step_and_simulated_people_do() {
    let Some(w) = World::start().await else { return };
    let before = w.state().await;
    let mut drill = network(&w);
    drill.recovery = format!("{}\n  - {{ manual: Call the team, id: call, timeout: 2s }}", drill.recovery);
    let ended = w.run(&drill.text()).await;
    ended.expect(14, "failed");
    assert!(ended.events("confirmed").is_empty(), "{ended}");
    assert_eq!(before, w.state().await);
    w.file("drill.yaml", &drill.text().replace("timeout: 2s", "timeout: 60s"));
    let simulated = w.redrill(["run", "drill.yaml", "--yes", "--simulate-people", "--output", "json"]);
    let ended = Running::start(simulated).end().await;
    ended.expect(0, "passed");
    assert_eq!(ended.events("confirmed")[0]["simulated"], true, "{ended}");
    assert_eq!(before, w.state().await);
}

#[tokio::test]
async fn people_abort() {
    let Some(w) = World::start().await else { return };
    let before = w.state().await;
    w.gate.set(false);
    let mut run = w.start_run(&network(&w).gated(&w).text());
    run.stage("verify").await;
    let aborted = w.go(["abort", "last", "--note", "wrong day"]).await;
    assert_eq!(aborted.code, Some(0), "{aborted}");
    let ended = run.end().await;
    ended.expect(13, "stopped");
    assert!(
        ended.events("stop-requested")[0]["detail"].as_str().unwrap_or("").contains("wrong day"),
        "{ended}"
    );
    assert_eq!(before, w.state().await);
}
