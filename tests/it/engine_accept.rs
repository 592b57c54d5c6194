//! What a person accepts not to be put back: the run can end, and is no better for it.

use std::sync::Arc;

use redrill::cloud::{Filter, Mutation, RouteTable, Subnet};
use redrill::engine::state::RunState;
use redrill::engine::{Accepted, Ended, EngineError, Setup};
use redrill::journal::writer::MemoryJournal;
use redrill::journal::{Event, Mode, Verdict};
use redrill::model::target::TAG_HELD;
use redrill::model::{Stage, StepId};
use redrill::view::RunView;

use crate::bench::{Bench, dump};
use crate::engine_undo::{association, secret_bench};
use crate::play::{Play, again, drill, meddle, target};

const CUT: &str = "objectives: { rto: 10m }
targets: { it: { resource: vpc.subnet, tags: { service: shop, tier: private } } }
fault: [{ action: vpc.detach-route-table, target: it }]
recovery: [{ action: wait, with: { for: 30s } }]
impact: none-expected";

/// A run that cannot put a subnet back, since somebody has moved it meanwhile.
async fn moved(bench: &Bench) -> Arc<MemoryJournal> {
    let mut play = Play::start(bench);
    play.stage(Stage::Recovery).await;
    let (id, _) = association(bench, &target(bench)).await;
    let filter = Filter::default();
    let tables = bench.sim.cloud().reads.ec2.route_tables(&filter, None).await.expect("listed").items;
    let public = |t: &RouteTable| t.tags.get("Name").is_some_and(|name| name == "shop-public");
    let table = tables.into_iter().find(public).expect("a table").id;
    meddle(bench, Mutation::ReplaceRouteTableAssociation { association: id, table }).await;
    play.ends_with(20).await.1
}

fn accepted(bench: &Bench, target: &str, journal: &MemoryJournal) -> (Setup, Arc<MemoryJournal>) {
    let (next, read) = MemoryJournal::resume(&journal.bytes()).expect("as the test set it up");
    let journal = Arc::new(next);
    let mut setup = bench.setup(Mode::Rollback, Arc::clone(&journal), read.lines, bench.sim.cloud());
    let step = StepId::new("vpc.detach-route-table");
    let why = "the network team moved it for good".to_owned();
    setup.accepted = vec![Accepted { cell: Some((step, Some(target.to_owned()))), why }];
    (setup, journal)
}

/// The subnets that carry the tag of the run.
async fn held(bench: &Bench) -> Vec<String> {
    let all = bench.sim.cloud().reads.ec2.subnets(&Filter::default(), None).await.expect("listed").items;
    let held = |t: &Subnet| t.tags.get(TAG_HELD).is_some_and(|held| held.starts_with(bench.run.as_str()));
    all.into_iter().filter(held).map(|subnet| subnet.id).collect()
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_put_back_can_be_accepted_and_then_the_run_ends_and_is_no_pass() {
    let bench = Bench::new(&drill("/", CUT)).await;
    let journal = moved(&bench).await;
    // without the journal the tag alone tells that it is cut off, and from where
    assert_eq!(held(&bench).await, [target(&bench)], "of what is stuck, and of nothing that is put back");
    let run = async |(setup, journal): (Setup, Arc<MemoryJournal>)| {
        let (_control, controls) = tokio::sync::mpsc::channel(1);
        (redrill::engine::run(setup, controls).await, journal)
    };
    // only what is stuck
    let other = bench.plan.targets["it"].drawn.iter().map(|t| t.id.clone()).find(|id| *id != target(&bench));
    for id in [other.as_deref(), Some("subnet-0dead")].into_iter().flatten() {
        let (refused, after) = run(accepted(&bench, id, &journal)).await;
        assert!(matches!(refused, Err(EngineError::NotStuck(_))), "{refused:?}");
        assert_eq!(after.lines().len(), journal.lines().len(), "nothing was recorded");
    }
    let (ended, after) = run(accepted(&bench, &target(&bench), &journal)).await;
    let ended = ended.unwrap_or_else(|e| panic!("{e}\n{}", dump(&after)));
    assert_eq!((ended.verdict, ended.exit_code), (Some(Verdict::Failed), 14), "{}", dump(&after));
    assert_eq!(held(&bench).await, [""; 0], "what is accepted is let go of");
    let told = format!(
        "1 thing is left as found, not put back: `vpc.detach-route-table` on {}, accepted by test@test: the network \
         team moved it for good",
        target(&bench)
    );
    assert_eq!(ended.reasons[0], told);
    assert!(!ended.reasons.iter().any(|r| r.contains("rolled back")), "{:?}", ended.reasons);
    // judged again from its lines it is the same, and it is over
    let lines = after.lines();
    let state = RunState::replay(Arc::clone(&bench.plan), &lines[..lines.len() - 1]);
    let measured = redrill::engine::recovery::measure(
        &lines[..lines.len() - 1],
        &redrill::engine::setup::clock_params(&bench.plan),
    );
    assert_eq!(redrill::engine::verdict::judge(&state, &measured).verdict, Verdict::Failed);
    let changes = bench.sim.changes().len();
    let (ended, after) = again(&bench, Mode::Rollback, &after).await;
    assert_eq!((ended.exit_code, bench.sim.changes().len()), (0, changes), "{}", dump(&after));
    // and nobody accepts twice
    let (refused, _) = run(accepted(&bench, &target(&bench), &after)).await;
    assert!(matches!(refused, Err(EngineError::NotStuck(_))), "{refused:?}");
}

/// The run taken up once more, with the steady state accepted as it is.
async fn steady_state(
    bench: &Bench,
    journal: &MemoryJournal,
    why: &str,
) -> (Result<Ended, EngineError>, Arc<MemoryJournal>) {
    let (next, read) = MemoryJournal::resume(&journal.bytes()).expect("as the test set it up");
    let journal = Arc::new(next);
    let mut setup = bench.setup(Mode::Rollback, Arc::clone(&journal), read.lines, bench.sim.cloud());
    setup.accepted = vec![Accepted { cell: None, why: why.to_owned() }];
    let (_control, controls) = tokio::sync::mpsc::channel(1);
    (redrill::engine::run(setup, controls).await, journal)
}

fn accepts(journal: &MemoryJournal) -> usize {
    journal.lines().iter().filter(|l| matches!(l.event, Event::SteadyStateAccepted { .. })).count()
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_secret_is_lost_ends_once_a_person_says_so() {
    let mut bench = secret_bench().await;
    let before = bench.sim.snapshot();
    let mut play = Play::start(&bench);
    play.stage(Stage::Recovery).await;
    let journal = play.killed().await;
    bench.secrets.clear();
    let (refused, journal) = steady_state(&bench, &journal, "not yet").await;
    assert!(matches!(refused, Err(EngineError::NotStuck(_))), "before anybody tried: {refused:?}");
    let (ended, journal) = again(&bench, Mode::Rollback, &journal).await;
    assert_eq!(ended.exit_code, 20, "{:?}", ended.reasons);
    assert!(
        dump(&journal).contains(&format!(
            "end the run: redrill rollback {} --accept steady-state --reason TEXT",
            bench.run
        )),
        "{}",
        dump(&journal)
    );
    let (ended, journal) = steady_state(&bench, &journal, "kQ8vZ2pLr0 is lost, the page works").await;
    let ended = ended.unwrap_or_else(|e| panic!("{e}\n{}", dump(&journal)));
    assert_eq!((ended.verdict, ended.exit_code), (Some(Verdict::Failed), 14), "{}", dump(&journal));
    let text = dump(&journal);
    assert!(!text.contains("kQ8vZ2pLr0") && text.contains("[kept out: "), "{text}");
    assert!(
        ended.reasons[0].starts_with(
            "1 thing is left as found, not put back: the steady state after the clean-up, accepted by test@test: "
        ),
        "{:?}",
        ended.reasons
    );
    assert!(!ended.reasons.iter().any(|r| r.contains("rolled back")), "{:?}", ended.reasons);
    let view = RunView::of(&journal.lines());
    assert_eq!((view.stuck.len(), view.left_behind().len()), (0, 1), "{:?}", view.left_behind());
    assert!(!ended.measured.marks.contains_key("t8"), "nobody has seen that all is clean");
    assert_eq!(before, bench.sim.snapshot());
    // it is over, and nobody accepts twice
    let (ended, journal) = again(&bench, Mode::Rollback, &journal).await;
    assert_eq!(ended.exit_code, 0);
    let (refused, journal) = steady_state(&bench, &journal, "twice").await;
    assert!(matches!(refused, Err(EngineError::NotStuck(_))), "{refused:?}");
    assert_eq!(accepts(&journal), 1);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_stays_down_for_another_reason_can_be_accepted_and_one_that_is_well_cannot() {
    for well_again in [false, true] {
        let bench = Bench::new(&drill("/health", CUT)).await;
        let mut play = Play::start(&bench);
        play.stage(Stage::Recovery).await;
        bench.sim.close_port("127.0.0.1:8080");
        let (_, journal) = play.ends_with(20).await;
        if well_again {
            bench.sim.open_port("127.0.0.1:8080");
            let (ended, journal) = again(&bench, Mode::Rollback, &journal).await;
            assert_eq!(ended.exit_code, 0, "{}", dump(&journal));
            assert_ne!(ended.verdict, Some(Verdict::Passed), "nobody knows what brought it back");
            let later = |r: &String| r.contains("only a later process saw it hold again");
            assert!(ended.reasons.iter().any(later), "{:?}", ended.reasons);
            let view = RunView::of(&journal.lines());
            assert_eq!(
                (view.stuck.len(), view.left_behind()),
                (0, vec![]),
                "the story tells it, the end does not"
            );
            assert!(ended.measured.marks.contains_key("t8"), "{:?}", ended.measured.marks);
            assert!(dump(&journal).contains("the steady state did not return"), "{}", dump(&journal));
            let (refused, _) = steady_state(&bench, &journal, "late").await;
            assert!(matches!(refused, Err(EngineError::NotStuck(_))), "{refused:?}");
            continue;
        }
        let began = bench.clock.now();
        let (ended, journal) = steady_state(&bench, &journal, "the shop moved").await;
        let ended = ended.unwrap_or_else(|e| panic!("{e}\n{}", dump(&journal)));
        assert_eq!((ended.verdict, ended.exit_code), (Some(Verdict::Failed), 14), "{}", dump(&journal));
        assert!((bench.clock.now() - began).num_seconds() < 60, "nobody looks any more");
        let left = RunView::of(&journal.lines()).left_behind();
        assert_eq!(
            left,
            [
                "the steady state was not seen to hold after the clean-up: the shop moved (accepted by test@test)"
            ]
        );
    }
}
