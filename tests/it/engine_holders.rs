//! What other runs and people do with the targets of a run meanwhile.

use std::sync::Arc;
use std::time::Duration;

use redrill::cloud::Mutation;
use redrill::engine::{self, Ended, EngineError};
use redrill::journal::Mode;
use redrill::journal::writer::MemoryJournal;
use redrill::model::target::TAG_HELD;
use redrill::model::{Stage, Tags};
use tokio::sync::mpsc;

use crate::bench::{Bench, dump};
use crate::play::{Play, accepted, again, drill, meddle, target};
use crate::world::differences;

#[tokio::test(start_paused = true)]
async fn what_another_run_holds_by_now_is_left_until_that_run_has_ended() {
    let stop = "objectives: { rto: 10m }
targets: { it: { resource: ec2.instance, tags: { role: web } } }
fault: [{ action: ec2.stop-instances, target: it }]";
    let bench = Bench::new(&drill("/health", stop)).await;
    let before = bench.sim.snapshot();
    let (theirs, all) = (target(&bench), bench.plan.targets["it"].drawn.len());
    let mut play = Play::start(&bench);
    play.stage(Stage::Impact).await;
    let journal = play.killed().await;
    // a sweep let go of it, and another run has stopped it since
    let other = "20260921T150000Z-other-bbbbbb";
    let tags = Tags::from([(TAG_HELD.to_owned(), format!("{other} undo: ec2.stop-instances was running"))]);
    meddle(&bench, Mutation::CreateTags { ids: vec![theirs.clone()], tags }).await;
    let (next, read) = MemoryJournal::resume(&journal.bytes()).expect("a chain");
    let (_keep, control) = mpsc::channel(1);
    let setup = bench.setup(Mode::Resume, Arc::new(next), read.lines, bench.sim.cloud());
    let refused = engine::run(setup, control).await;
    assert!(
        matches!(&refused, Err(EngineError::HeldByAnother { target, run }) if *target == theirs && run == other),
        "{refused:?}"
    );
    assert_eq!(accepted(&bench, "ec2:StartInstances"), 0);
    let (ended, journal) = again(&bench, Mode::Rollback, &journal).await;
    assert_eq!(ended.exit_code, 20, "{:?}", ended.reasons);
    let told = format!("{theirs} is held by run {other} by now, so it is left as it is");
    assert!(ended.reasons.iter().any(|r| r.contains(&told)), "{:?}", ended.reasons);
    assert_eq!(accepted(&bench, "ec2:StartInstances"), all - 1, "the others are put back");
    // it has ended, and its clean-up left the instance as it found it
    meddle(&bench, Mutation::DeleteTags { ids: vec![theirs.clone()], keys: vec![TAG_HELD.to_owned()] }).await;
    let (ended, _) = again(&bench, Mode::Rollback, &journal).await;
    assert_eq!(ended.exit_code, 0, "{:?}", ended.reasons);
    assert_eq!(differences(&before, &bench.sim.snapshot(), bench.run.as_str(), false), [""; 0]);
}

/// What another run, or a person, does to the targets of a run in its second minute.
async fn tagged_meanwhile(bench: &Bench, key: &str, value: &str) -> (Ended, Arc<MemoryJournal>) {
    let mut play = Play::start(bench);
    play.stage(Stage::Recovery).await;
    tokio::time::sleep(Duration::from_secs(90)).await;
    let tags = Tags::from([(key.to_owned(), value.to_owned())]);
    meddle(bench, Mutation::CreateTags { ids: vec![target(bench)], tags }).await;
    let (ended, journal) = play.end().await;
    (ended.unwrap_or_else(|e| panic!("{e}\n{}", dump(&journal))), journal)
}

#[tokio::test(start_paused = true)]
async fn a_run_that_goes_on_sees_that_another_has_taken_its_target() {
    let stop = "objectives: { rto: 10m }
targets: { it: { resource: ec2.instance, tags: { role: web } } }
fault: [{ action: ec2.stop-instances, target: it }]
recovery: [{ action: wait, with: { for: 3m } }]
impact: none-expected";
    let bench = Bench::new(&drill("/", stop)).await;
    let (theirs, all) = (target(&bench), bench.plan.targets["it"].drawn.len());
    let other = "20260921T150000Z-other-bbbbbb";
    let (ended, journal) = tagged_meanwhile(&bench, TAG_HELD, &format!("{other} undo: x")).await;
    assert_eq!(ended.exit_code, 20, "{:?}", ended.reasons);
    let told = format!("{theirs} is held by run {other} by now, so it is left as it is");
    assert!(ended.reasons.iter().any(|r| r.contains(&told)), "{:?}", ended.reasons);
    assert_eq!(accepted(&bench, "ec2:StartInstances"), all - 1, "{}", dump(&journal));
    let tags = bench.sim.cloud().reads.ec2.instances(&redrill::cloud::Filter::default(), None).await.unwrap();
    let it = tags.items.iter().find(|i| i.id == theirs).expect("is there");
    assert!(it.tags[TAG_HELD].starts_with(other), "the other run's tag stays: {:?}", it.tags);
}

#[tokio::test(start_paused = true)]
async fn a_later_fault_is_not_sent_to_what_another_run_holds_or_a_person_forbade() {
    let late = "objectives: { rto: 10m }
allow_irreversible: true
targets:
  one: { resource: ec2.instance, tags: { role: web }, select: { count: 1 } }
fault:
  - { action: wait, with: { for: 3m } }
  - { action: ec2.terminate-instances, target: one }
recovery: [{ action: ec2.launch-replacement, target: one }]";
    for (key, value, told) in [
        (
            TAG_HELD,
            "20260921T150000Z-other-bbbbbb undo: x",
            "is held by run 20260921T150000Z-other-bbbbbb by now",
        ),
        ("redrill", "never", "carries the tag redrill=never by now"),
        ("note", "harmless", ""),
    ] {
        let bench = Bench::new(&drill("/", late)).await;
        let mut play = Play::start(&bench);
        play.stage(Stage::Fault).await;
        tokio::time::sleep(Duration::from_secs(90)).await;
        let tags = Tags::from([(key.to_owned(), value.to_owned())]);
        meddle(&bench, Mutation::CreateTags { ids: vec![target(&bench)], tags }).await;
        let (ended, journal) = play.end().await;
        let ended = ended.unwrap_or_else(|e| panic!("{e}"));
        let sent = accepted(&bench, "ec2:TerminateInstances");
        if told.is_empty() {
            assert_eq!(sent, 1, "{}", dump(&journal));
            continue;
        }
        assert_eq!((ended.exit_code, sent), (14, 0), "{:?}\n{}", ended.reasons, dump(&journal));
        assert!(dump(&journal).contains(&format!("{} {told}", target(&bench))), "{}", dump(&journal));
    }
}

#[tokio::test(start_paused = true)]
async fn one_kind_that_cannot_be_read_hides_nothing_of_the_others() {
    let two = "objectives: { rto: 10m }
targets:
  it: { resource: ec2.instance, tags: { role: web }, select: { count: 1 } }
  db: { resource: rds.instance, tags: { role: orders }, select: { count: 1 } }
fault:
  - { action: ec2.stop-instances, target: it }
  - { action: rds.reboot, target: db }";
    let bench = Bench::new(&drill("/", two)).await;
    let mut play = Play::start(&bench);
    play.stage(Stage::Impact).await;
    let journal = play.killed().await;
    let other = "20260921T150000Z-other-bbbbbb";
    let theirs = bench.plan.targets["it"].drawn[0].id.clone();
    let tags = Tags::from([(TAG_HELD.to_owned(), format!("{other} undo: x"))]);
    meddle(&bench, Mutation::CreateTags { ids: vec![theirs.clone()], tags }).await;
    let (next, read) = MemoryJournal::resume(&journal.bytes()).expect("a chain");
    bench.sim.fail_next("rds:DescribeDBInstances", "AccessDenied", 1_000_000);
    let (_keep, control) = mpsc::channel(1);
    let setup = bench.setup(Mode::Rollback, Arc::new(next), read.lines, bench.sim.cloud());
    let ended = engine::run(setup, control).await.expect("it is taken up");
    assert_eq!(ended.exit_code, 20, "{:?}", ended.reasons);
    assert_eq!(accepted(&bench, "ec2:StartInstances"), 0, "{:?}", ended.reasons);
}
