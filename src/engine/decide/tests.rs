//! Each decision at its edge: what still waits, and the moment from which it does not.

use std::sync::Arc;

use super::*;
use crate::engine::testing::plan_of;
use crate::model::EffectCertainty;

mod clean_up;
mod mending;
mod stages;

const DRILL: &str = "version: 1
name: edge
title: Edge
service: shop
objectives: { rto: 15m, give_up: 30m }
limits: { accounts: [\"123456789012\"], regions: [us-east-1], max_targets: 2 }
settle: 5s
impact_timeout: 1m
targets: { web: { resource: ec2.instance, tags: { service: shop, role: web }, select: { count: 2 } } }
steady_state: [{ name: page, probe: http, with: { url: \"http://127.0.0.1:8080/health\" }, every: 1s, hold: 10s }]
fault: [{ action: ec2.stop-instances, target: web, id: stop }]";

/// A run in this stage since `since`, in its first process.
async fn in_stage(stage: Stage, since: i64) -> RunState {
    let mut state = RunState::new(plan_of(DRILL).await);
    state.sessions = 1;
    state.preflighted = true;
    state.armed = stage >= Stage::Fault;
    state.stage = Some((stage, since));
    state.attached_ms = 0;
    state
}

fn cell(state: &mut RunState, nth: usize) -> &mut CellState {
    state.cells.values_mut().nth(nth).unwrap()
}

fn stops(state: &RunState, now: i64) -> Option<StopCause> {
    decide(state, now, &[]).events.iter().find_map(|e| match e {
        Event::StopRequested { cause, .. } => Some(*cause),
        _ => None,
    })
}

fn enters(state: &RunState, now: i64) -> Option<Stage> {
    decide(state, now, &[]).events.iter().find_map(|e| match e {
        Event::Stage { stage } => Some(*stage),
        _ => None,
    })
}

/// Healthy answers of the page, one a second.
fn healthy(state: &mut RunState, from_s: i64, to_s: i64) {
    for s in from_s..=to_s {
        state.steady.observe("page", Health::Healthy, s * 1000, s * 1000 + 10);
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_gives_up_at_its_time_and_not_before() {
    for stage in [Stage::Impact, Stage::Recovery, Stage::Verify, Stage::Hold] {
        let mut state = in_stage(stage, 1_000).await;
        for n in 0..2 {
            cell(&mut state, n).status = Status::Ready;
        }
        state.t0 = Some(1_000);
        let due = 1_000 + 30 * 60_000;
        // later stages have nothing to do with the impact's own time
        if stage != Stage::Impact {
            assert_eq!(stops(&state, due - 1), None, "{stage:?}");
            assert!(decide(&state, due - 1, &[]).wake.is_some_and(|w| w <= due), "it looks again in time");
        }
        // nobody has looked at the page; then it was seen; and a minute later, not any more
        assert_eq!(stops(&state, due), Some(StopCause::Unreadable), "{stage:?}");
        state.steady.observe("page", Health::Unhealthy, due - 500, due - 490);
        assert_eq!(stops(&state, due), Some(StopCause::GaveUp), "{stage:?}");
        assert_eq!(stops(&state, due + 60_000), Some(StopCause::Unreadable), "{stage:?}");
        state.t0 = None;
        assert_ne!(stops(&state, due), Some(StopCause::GaveUp), "without a fault nothing runs");
    }
    let mut state = in_stage(Stage::Undo, 1_000).await;
    state.t0 = Some(1_000);
    assert_eq!(stops(&state, i64::MAX / 2), None, "what is put back is not given up");
}

#[tokio::test(start_paused = true)]
async fn a_failed_target_lets_its_neighbours_come_to_an_end() {
    for (neighbour, wanted) in [
        (Status::Started, None),
        (Status::Applied, None),
        (Status::Ready, Some(StopCause::StepFailed)),
        (Status::Failed(EffectCertainty::Unknown), Some(StopCause::StepFailed)),
        (Status::Idle, Some(StopCause::StepFailed)),
        (Status::Prepared, Some(StopCause::StepFailed)),
    ] {
        let mut state = in_stage(Stage::Fault, 0).await;
        healthy(&mut state, 0, 1);
        cell(&mut state, 0).status = Status::Failed(EffectCertainty::None);
        cell(&mut state, 1).status = neighbour;
        assert_eq!(stops(&state, 1_500), wanted, "{neighbour:?}");
    }
    let mut state = in_stage(Stage::Fault, 0).await;
    healthy(&mut state, 0, 1);
    cell(&mut state, 0).status = Status::Started;
    assert_eq!(stops(&state, 1_500), None, "nothing failed");
}

#[tokio::test(start_paused = true)]
async fn the_baseline_is_waited_for_and_not_for_ever() {
    let mut state = in_stage(Stage::Baseline, 0).await;
    // hold, three rounds, and the grace
    let limit = 10_000 + 3 * 1_000 + BASELINE_GRACE_MS;
    assert_eq!(stops(&state, limit - 1), None);
    assert_eq!(stops(&state, limit), Some(StopCause::NotSteady));
    assert!(decide(&state, limit - 1, &[]).wake.is_some_and(|w| w <= limit));
    healthy(&mut state, 0, 9);
    assert_eq!(enters(&state, 9_500), None, "not held yet");
    healthy(&mut state, 10, 10);
    assert_eq!(enters(&state, 10_010), Some(Stage::Fault));
    state.mode = Mode::Resume;
    assert_eq!(stops(&state, 10_010), Some(StopCause::Signal), "a resumed run never injects");
}

#[tokio::test(start_paused = true)]
async fn no_fault_is_sent_into_an_outage() {
    let mut state = in_stage(Stage::Fault, 0).await;
    healthy(&mut state, 0, 1);
    assert!(matches!(decide(&state, 1_500, &[]).tasks[..], [Task::Step { .. }, ..]));
    state.steady.observe("page", Health::Unhealthy, 2_000, 2_010);
    assert_eq!(stops(&state, 2_010), Some(StopCause::NotSteady));
    // what has begun is not called off by the outage that it made
    cell(&mut state, 0).status = Status::Started;
    assert_eq!(stops(&state, 2_010), None);
    cell(&mut state, 0).status = Status::Prepared;
    assert_eq!(stops(&state, 2_010), None);
}

#[tokio::test(start_paused = true)]
async fn targets_are_tagged_before_the_first_step() {
    let mut state = in_stage(Stage::Fault, 0).await;
    state.armed = false;
    healthy(&mut state, 0, 1);
    assert_eq!(decide(&state, 1_500, &[]).tasks, [Task::Arm]);
    state.mode = Mode::Resume;
    assert_eq!(stops(&state, 1_500), Some(StopCause::Signal));
}

#[tokio::test(start_paused = true)]
async fn the_impact_is_waited_for_until_its_time() {
    let mut state = in_stage(Stage::Impact, 5_000).await;
    assert_eq!(stops(&state, 5_000), Some(StopCause::Signal), "no fault was injected");
    for n in 0..2 {
        cell(&mut state, n).status = Status::Ready;
    }
    state.t0 = Some(4_000);
    assert_eq!(stops(&state, 64_999), None);
    assert_eq!(decide(&state, 6_000, &[]).wake, Some(65_000));
    assert_eq!(stops(&state, 65_000), Some(StopCause::NoImpact));
    state.impact_seen = true;
    assert_eq!(enters(&state, 65_000), Some(Stage::Recovery));
}

#[tokio::test(start_paused = true)]
async fn where_no_impact_is_expected_two_rounds_are_looked_at() {
    let quiet = DRILL.replace("impact_timeout: 1m", "impact: none-expected");
    let mut state = in_stage(Stage::Impact, 5_000).await;
    let plan = plan_of(&quiet).await;
    state.plan = plan;
    for n in 0..2 {
        cell(&mut state, n).status = Status::Ready;
    }
    assert_eq!(enters(&state, 6_999), None);
    assert_eq!(decide(&state, 6_000, &[]).wake, Some(7_000));
    assert_eq!(enters(&state, 7_000), Some(Stage::Recovery));
}

#[tokio::test(start_paused = true)]
async fn the_steady_state_is_held_from_the_verification_on() {
    let mut state = in_stage(Stage::Verify, 0).await;
    assert_eq!(enters(&state, 500), None);
    state.verified = Some(20_000);
    assert_eq!(enters(&state, 20_000), Some(Stage::Hold));
    state.stage = Some((Stage::Hold, 20_000));
    healthy(&mut state, 0, 29);
    assert_eq!(decide(&state, 29_500, &[]).events, [], "healthy before does not count");
    healthy(&mut state, 30, 30);
    assert!(matches!(decide(&state, 30_010, &[]).events[..], [Event::Steady { .. }]));
    state.held = true;
    assert_eq!(enters(&state, 30_010), Some(Stage::Undo));
}

#[tokio::test(start_paused = true)]
async fn a_check_vouches_for_the_hold_by_an_answer_to_a_look_from_it() {
    let checked = DRILL.replace(
        "fault:",
        "verify: [{ name: orders, probe: http, with: { url: \"http://127.0.0.1:8080/orders\" }, every: 3s }]\nfault:",
    );
    let mut state = in_stage(Stage::Hold, 20_000).await;
    state.plan = plan_of(&checked).await;
    state.verify = RunState::new(Arc::clone(&state.plan)).verify;
    state.verified = Some(20_000);
    healthy(&mut state, 0, 60);
    let held = |state: &RunState| {
        let events = decide(state, 60_100, &[]).events;
        matches!(events[..], [Event::Steady { .. }])
    };
    // the hold is from 20 s to 30 s
    for (sent, answered, vouches) in [
        (19_999, 20_000, false), // asked before it, and nothing answered since
        (26_999, 29_999, false), // another look came before the end, and is not answered
        (26_999, 45_000, false), // nor does it help that this one was slow
        (27_000, 27_010, true),
        (27_000, 45_000, true),
        (31_000, 31_010, true),
    ] {
        state.verify.observe("orders", Health::Healthy, sent, answered);
        assert_eq!(held(&state), vouches, "{sent} {answered}");
    }
    state.verify.observe("orders", Health::Unknown, 32_000, 32_010);
    assert!(!held(&state));
}

#[tokio::test(start_paused = true)]
async fn what_was_begun_last_is_put_back_first_and_never_twice() {
    let mut state = in_stage(Stage::Undo, 0).await;
    for (n, order) in [(0, 1), (1, 2)] {
        cell(&mut state, n).status = Status::Ready;
        cell(&mut state, n).order = order;
    }
    state.holding.insert("i-1".to_owned());
    let undone = |state: &RunState| {
        let tasks = decide(state, 100, &[]).tasks;
        tasks.iter().filter(|t| matches!(t, Task::Undo { .. })).count()
    };
    assert_eq!(undone(&state), 2, "both targets of the step");
    cell(&mut state, 0).settled = true;
    assert_eq!(undone(&state), 1);
    cell(&mut state, 1).stuck = true;
    assert_eq!(undone(&state), 0);
    assert_eq!(decide(&state, 100, &[]).tasks, [Task::Release], "the tags go last");
    for status in
        [Status::Failed(EffectCertainty::Unknown), Status::Failed(EffectCertainty::Partial), Status::Started]
    {
        *cell(&mut state, 0) = CellState { status, ..CellState::default() };
        assert_eq!(undone(&state), 1, "{status:?} may have happened");
    }
    for status in [Status::Failed(EffectCertainty::None), Status::Idle, Status::Prepared, Status::Skipped] {
        *cell(&mut state, 0) = CellState { status, ..CellState::default() };
        assert_eq!(undone(&state), 0, "{status:?} did nothing");
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_stops_lets_its_steps_end_and_then_puts_back() {
    let mut state = in_stage(Stage::Fault, 0).await;
    state.stop = Some((StopCause::Signal, String::new()));
    let targets = state.cells.keys().map(|(_, t)| t.clone()).collect();
    let step = Task::Step { step: StepId::new("stop"), targets };
    let waits = decide(&state, 1_000, std::slice::from_ref(&step));
    assert_eq!((waits.events, waits.wake), (vec![], Some(2_000)));
    assert_eq!(enters(&state, 1_000), Some(Stage::Undo));
}

#[tokio::test(start_paused = true)]
async fn after_the_clean_up_the_steady_state_must_hold_again() {
    let mut state = in_stage(Stage::Undo, 0).await;
    for n in 0..2 {
        *cell(&mut state, n) = CellState { status: Status::Ready, settled: true, ..CellState::default() };
    }
    assert!(matches!(decide(&state, 100, &[]).events[..], [Event::Cleaned { .. }]));
    state.cleaned = Some(10_000);
    // asked before the clean-up was over
    healthy(&mut state, 0, 10);
    assert_eq!(decide(&state, 10_500, &[]).events, []);
    // the settling time is shorter than the hold
    healthy(&mut state, 11, 16);
    assert_eq!(decide(&state, 14_999, &[]).events, []);
    let judged = decide(&state, 16_010, &[]).events;
    assert!(matches!(judged[..], [Event::SteadyAfter { healthy: true }]), "{judged:?}");
    state.steady.observe("page", Health::Unhealthy, 17_000, 17_010);
    let limit = 10_000 + AFTER_MS;
    assert_eq!(decide(&state, limit - 1, &[]).events, []);
    let lost = decide(&state, limit, &[]).events;
    assert!(matches!(lost[..], [Event::Stuck { .. }, Event::SteadyAfter { healthy: false }]), "{lost:?}");
    state.steady_after = Some(true);
    assert!(decide(&state, limit, &[]).over);
}
