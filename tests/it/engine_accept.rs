//! What a person accepts not to be put back: the run can end, and is no better for it.

use std::sync::Arc;

use redrill::cloud::{Filter, Mutation, RouteTable, Subnet};
use redrill::engine::state::RunState;
use redrill::engine::{Accepted, EngineError, Setup};
use redrill::journal::writer::MemoryJournal;
use redrill::journal::{Mode, Verdict};
use redrill::model::target::TAG_HELD;
use redrill::model::{Stage, StepId};

use crate::bench::{Bench, dump};
use crate::engine_undo::association;
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
    setup.accepted = vec![Accepted { step, target: Some(target.to_owned()), why }];
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
