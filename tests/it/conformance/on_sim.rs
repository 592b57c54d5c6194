//! The suite on the simulator: at AWS's pace on a paused clock, with pages of two, and with a
//! decorator in between that decides to fail nothing.

use std::sync::Arc;
use std::time::Duration;

use redrill::cloud::faulty::Faulty;
use redrill::model::time::VirtualClock;
use redrill::sim::{Pace, Sim};

use super::{CASES, Case, TestWorld};

const ESTATE: &str = include_str!("../../../localstack/estate.json");

pub(super) fn world() -> TestWorld {
    let start = chrono::DateTime::from_timestamp(1_790_000_000, 0).expect("a valid time");
    let clock = Arc::new(VirtualClock::starting_at(start));
    let sim = Sim::from_estate(ESTATE, clock.clone()).expect("the estate is sound");
    sim.set_page_size(2);
    sim.set_pace(Pace::rehearsal());
    let every = Duration::from_secs(1);
    TestWorld { cloud: sim.cloud(), clock, every, patience: Duration::from_secs(2 * 3600) }
}

async fn walk(make: impl Fn() -> TestWorld) {
    for Case { name, run, .. } in CASES {
        // captured output names the case that failed
        println_case(name);
        run(&make()).await;
    }
}

#[expect(clippy::print_stdout, reason = "a failing test must name its case")]
fn println_case(name: &str) {
    println!("{name}");
}

#[tokio::test(start_paused = true)]
async fn the_simulator_shows_every_behaviour() {
    walk(world).await;
}

#[tokio::test(start_paused = true)]
async fn a_decorator_that_fails_nothing_changes_nothing() {
    walk(|| {
        let mut w = world();
        w.cloud.mutate = Arc::new(Faulty::new(w.cloud.mutate.clone(), |_, _| None));
        w
    })
    .await;
}

#[test]
fn names_are_unique_and_gaps_have_reasons() {
    let mut names: Vec<_> = CASES.iter().map(|c| c.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), CASES.len());
    assert!(CASES.iter().filter_map(|c| c.not_on_emulator).all(|why| !why.is_empty()));
}
