//! What stays at the end although the drill would remove it, and what one step of a run did to the target of another.

use std::time::Duration;

use redrill::cloud::{Filter, Instance, Mutation};
use redrill::drill::{self, Known, LoadOptions};
use redrill::engine::strangers::strangers;
use redrill::model::Stage;
use redrill::model::target::{TAG_KEPT, TAG_REPLACES, TAG_RUN};
use redrill::view::RunView;

use crate::bench::{Bench, dump};
use crate::play::{self, Play, accepted, meddle, target};

const ONE: &str = "objectives: { rto: 10m }
allow_irreversible: true
targets: { it: { resource: ec2.instance, tags: { role: web }, select: { count: 1 } } }";

/// What stands in for the target.
async fn replacement(bench: &Bench) -> Instance {
    let tags = vec![(TAG_REPLACES.to_owned(), vec![target(bench)])];
    let filter = Filter { ids: Vec::new(), tags };
    let ec2 = bench.sim.cloud().reads.ec2;
    ec2.instances(&filter, None).await.expect("reads").items.pop().expect("it stands")
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_gone_keeps_its_replacement_whatever_an_old_drill_says() {
    let text = play::drill(
        "/health",
        &format!(
            "{ONE}
fault: [{{ action: ec2.terminate-instances, id: lose, target: it }}]
recovery: [{{ action: ec2.launch-replacement, target: it, after: remove }}]"
        ),
    );
    assert!(drill::load("drill.yaml", &text, &LoadOptions::default()).is_err(), "it is refused now");
    let old = drill::load_with(&Known::of("0.1.0"), "drill.yaml", &text, &LoadOptions::default());
    let bench = Bench::planned(&old.unwrap_or_else(|p| panic!("{p}")), |_| {}).await;
    let (_, journal) = Play::start(&bench).ends_with(0).await;
    let new = replacement(&bench).await;
    assert_eq!((new.state.as_str(), new.tags.contains_key(TAG_KEPT)), ("running", true), "{:?}", new.tags);
    assert!(!new.tags.contains_key(TAG_RUN), "{:?}", new.tags);
    let view = RunView::of(&journal.lines());
    assert_eq!(view.kept().count(), 1, "{}", dump(&journal));
    assert!(
        view.left_behind()[0].ends_with(&format!("; replaced by {}", new.id)),
        "{:?}",
        view.left_behind()
    );
    let found = strangers(&bench.plan, &journal.lines());
    assert!(found.calls.is_empty() && found.unclear.is_empty(), "{found:?}");
}

#[tokio::test(start_paused = true)]
async fn a_trial_of_a_launch_leaves_nothing_unless_the_original_went_meanwhile() {
    for goes in [false, true] {
        let trial = "recovery: [{ action: ec2.launch-replacement, target: it, after: remove }, { action: wait, with: { for: 5m } }]";
        let bench = Bench::new(&play::drill("/health", &format!("{ONE}\n{trial}"))).await;
        let mut play = Play::start(&bench);
        play.stage(Stage::Recovery).await;
        tokio::time::sleep(Duration::from_secs(200)).await;
        if goes {
            meddle(&bench, Mutation::TerminateInstances { ids: vec![target(&bench)] }).await;
        }
        let (ended, journal) = play.end().await;
        let state = replacement(&bench).await.state;
        assert_eq!(state == "running", goes, "{state} {:?}\n{}", ended.map(|e| e.reasons), dump(&journal));
        assert_eq!(accepted(&bench, "ec2:TerminateInstances"), 1, "one of the two");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_the_run_stopped_and_then_terminated_needs_no_person() {
    let steps = "fault:
  - { action: ec2.stop-instances, target: it }
  - { action: ec2.terminate-instances, id: lose, target: it }
recovery: [{ action: ec2.launch-replacement, target: it }]";
    let bench = Bench::new(&play::drill("/health", &format!("{ONE}\n{steps}"))).await;
    let (_, journal) = Play::start(&bench).ends_with(0).await;
    assert_eq!(replacement(&bench).await.state, "running");
    let text = dump(&journal);
    assert!(text.contains("step `lose` of this run terminated") && !text.contains("somebody else"), "{text}");
    assert_eq!(accepted(&bench, "ec2:StartInstances"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_copy_with_a_tag_that_the_limits_forbid_is_not_deleted() {
    for claim in ["never", "whatever"] {
        let restore = "objectives: { rto: 1h }
targets: { it: { resource: rds.instance, tags: { role: orders }, select: { count: 1 } } }
recovery:
  - { id: restore, action: rds.restore-to-point-in-time, target: it, with: { to: -15m, identifier: copy } }
  - { action: wait, with: { for: 5m } }
verify: [{ name: restored, probe: rds.instance, with: { identifier: \"${steps.restore.identifier}\", status: available } }]";
        let bench = Bench::new(&play::drill("/health", restore)).await;
        let mut play = Play::start(&bench);
        play.until(|e| matches!(e, redrill::journal::Event::StepReady { .. })).await;
        bench.sim.edit_db("copy", |db| _ = db.tags.insert("redrill".to_owned(), claim.to_owned()));
        let forbidden = claim == "never";
        let (ended, journal) = play.ends_with(if forbidden { 20 } else { 0 }).await;
        assert_eq!(accepted(&bench, "rds:DeleteDBInstance"), usize::from(!forbidden), "{}", dump(&journal));
        let told = ended.reasons.iter().any(|r| r.contains("redrill=never, so it is not deleted"));
        assert_eq!(told, forbidden, "{:?}", ended.reasons);
    }
}
