//! The way forward: who looks first, when a stage is over, and when the run is looked at again.

use super::*;
use crate::engine::testing::LOSS;

async fn of(drill: &str, stage: Stage, since: i64) -> RunState {
    let mut state = in_stage(stage, since).await;
    let plan = plan_of(drill).await;
    let fresh = RunState::new(plan);
    (state.plan, state.cells) = (fresh.plan, fresh.cells);
    (state.steady, state.verify, state.stops) = (fresh.steady, fresh.verify, fresh.stops);
    state
}

const NO_CLIENT: &str = "hold: 10s, role: capacity }";

#[tokio::test(start_paused = true)]
async fn every_process_looks_at_the_world_before_it_goes_on() {
    let mut state = in_stage(Stage::Preflight, 0).await;
    state.stage = None;
    assert_eq!(enters(&state, 0), Some(Stage::Preflight));
    state.stage = Some((Stage::Preflight, 0));
    assert_eq!(enters(&state, 0), Some(Stage::Baseline));
    state.preflighted = false;
    assert_eq!(decide(&state, 0, &[]).tasks, [Task::Preflight]);
    for (sessions, preflighted, looks) in
        [(1, false, false), (2, false, true), (3, false, true), (2, true, false)]
    {
        let mut state = in_stage(Stage::Hold, 0).await;
        (state.sessions, state.preflighted) = (sessions, preflighted);
        let found = decide(&state, 0, &[]).tasks == [Task::Preflight];
        assert_eq!(found, looks, "process {sessions}, looked: {preflighted}");
    }
    let mut state = in_stage(Stage::Hold, 0).await;
    state.finished = Some(crate::journal::Verdict::Passed);
    let over = decide(&state, 0, &[]);
    assert_eq!((over.over, over.events, over.tasks, over.wake), (true, vec![], vec![], None));
}

#[tokio::test(start_paused = true)]
async fn the_baseline_is_watched_anew_by_every_process() {
    let mut state = in_stage(Stage::Baseline, 0).await;
    assert_eq!(decide(&state, 5_000, &[]).wake, Some(6_000), "every second");
    let limit = 10_000 + 3_000 + 15_000;
    assert_eq!(decide(&state, limit - 1, &[]).wake, Some(limit), "and at its end");
    state.attached_ms = 4_000;
    healthy(&mut state, 0, 13);
    assert_eq!(enters(&state, 13_990), None, "nobody looked before");
    healthy(&mut state, 14, 14);
    assert_eq!(enters(&state, 14_010), Some(Stage::Fault));
    let blank = in_stage(Stage::Baseline, 4_000).await;
    assert_eq!(stops(&blank, 4_000 + limit - 1), None);
    let lost = decide(&blank, 4_000 + limit, &[]).events;
    assert_eq!(lost, [Event::stop(StopCause::NotSteady, "the steady state did not hold: `page` is unknown")]);
}

#[tokio::test(start_paused = true)]
async fn without_a_fault_the_baseline_is_followed_by_the_recovery() {
    let no_fault = LOSS
        .replace("fault: [{ action: ec2.terminate-instances, target: web, id: terminate }]\n", "")
        .replace("  - { action: ec2.launch-replacement, target: web, id: replace }\n", "");
    for mode in [Mode::Run, Mode::Resume] {
        let mut state = of(&no_fault, Stage::Baseline, 0).await;
        state.mode = mode;
        for s in 0..=10 {
            for page in ["page", "api"] {
                state.steady.observe(page, Health::Healthy, s * 1000, s * 1000 + 10);
            }
        }
        assert_eq!(enters(&state, 10_010), Some(Stage::Recovery), "{mode:?}: there is nothing to inject");
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_before_the_fault_is_none_of_the_faults() {
    let unhealthy = async |drill: &str| {
        let mut state = of(drill, Stage::Fault, 0).await;
        for page in ["page", "api"] {
            state.steady.observe(page, Health::Unhealthy, 1_000, 1_010);
        }
        state
    };
    let mut state = unhealthy(LOSS).await;
    let text = "the steady state was lost before the fault: `page` is unhealthy, `api` is unhealthy";
    assert_eq!(decide(&state, 1_100, &[]).events, [Event::stop(StopCause::NotSteady, text)]);
    // a recovery that has begun has broken nothing
    state.cells.iter_mut().find(|((s, _), _)| s.as_str() == "replace").unwrap().1.status = Status::Prepared;
    assert_eq!(stops(&state, 1_100), Some(StopCause::NotSteady));
    state.t0 = Some(1_050);
    assert_eq!(stops(&state, 1_100), None, "a call was sent");
    // where no client is asked, nothing is known to be lost
    let blind = LOSS.replace("hold: 10s }", NO_CLIENT).replace("hold: 6s }", NO_CLIENT);
    assert_eq!(stops(&unhealthy(&blind).await, 1_100), None);
}

#[tokio::test(start_paused = true)]
async fn a_resumed_run_leaves_out_the_faults_that_had_not_begun_and_finishes_the_others() {
    let mut state = of(LOSS, Stage::Fault, 0).await;
    state.mode = Mode::Resume;
    let why = "a resumed run never injects a fault".to_owned();
    let skipped = [Event::StepSkipped { step: StepId::new("terminate"), why }];
    for status in [Status::Idle, Status::Prepared] {
        *cell(&mut state, 4) = CellState { status, ..CellState::default() };
        assert_eq!(decide(&state, 0, &[]).events, skipped, "{status:?}");
    }
    let begun = |state: &mut RunState, status| {
        for (_, c) in state.cells.iter_mut().filter(|((s, _), _)| s.as_str() == "terminate") {
            c.status = status;
        }
    };
    begun(&mut state, Status::Started);
    let goes_on = decide(&state, 0, &[]);
    assert!(matches!(goes_on.tasks[..], [Task::Step { .. }, ..]) && goes_on.events.is_empty(), "{goes_on:?}");
    begun(&mut state, Status::Ready);
    assert_eq!(enters(&state, 0), Some(Stage::Impact));
}

#[tokio::test(start_paused = true)]
async fn waiting_has_an_end_and_somebody_looks_in_time() {
    let mut state = in_stage(Stage::Verify, 0).await;
    assert_eq!(decide(&state, 500, &[]).wake, Some(1_500));
    state.stage = Some((Stage::Hold, 0));
    assert_eq!(decide(&state, 500, &[]).wake, Some(1_000));
    // healthy from 12 s, verified at 5 s: the hold began when both were so
    state.verified = Some(5_000);
    healthy(&mut state, 12, 22);
    let at = chrono::DateTime::from_timestamp_millis(12_010).unwrap();
    assert_eq!(decide(&state, 22_010, &[]).events, [Event::Steady { since: at }]);
    state.verified = Some(12_500);
    assert_eq!(decide(&state, 22_499, &[]).events, []);
    let at = chrono::DateTime::from_timestamp_millis(12_500).unwrap();
    assert_eq!(decide(&state, 22_500, &[]).events, [Event::Steady { since: at }]);
    state.held = true;
    assert_eq!(enters(&state, 0), Some(Stage::Undo));
    let blind = DRILL.replace("hold: 10s }", NO_CLIENT);
    let state = of(&blind, Stage::Hold, 0).await;
    assert_eq!(enters(&state, 0), Some(Stage::Undo), "without a client there is nothing to hold");
}

#[tokio::test(start_paused = true)]
async fn whatever_could_end_the_run_wakes_it() {
    let half_an_hour = 30 * 60_000;
    let mut state = of(LOSS, Stage::Impact, 0).await;
    for (_, c) in state.cells.iter_mut().filter(|((s, _), _)| s.as_str() == "terminate") {
        c.status = Status::Ready;
    }
    state.t0 = Some(1_000);
    state.plan = {
        let mut plan = (*state.plan).clone();
        plan.drill.impact_timeout = Dur::mins(60);
        plan.into()
    };
    assert_eq!(decide(&state, 2_000, &[]).wake, Some(1_000 + half_an_hour));
    state.stops.observe("stop: budget", Health::Unhealthy, 3_000);
    assert_eq!(decide(&state, 4_000, &[]).wake, Some(3_000 + 120_000), "the first of them");
    assert_eq!(stops(&state, 122_999), None);
    let breached = "stop condition `budget` is breached";
    assert_eq!(decide(&state, 123_000, &[]).events, [Event::stop(StopCause::StopCondition, breached)]);
    // not what is over: a run that stops, or puts back
    state.stop = Some((StopCause::Signal, String::new()));
    let look = [Task::Look { step: StepId::new("terminate"), targets: vec![] }];
    assert_eq!(decide(&state, 122_900, &look).wake, Some(123_900));
    state.stop = None;
    state.stage = Some((Stage::Undo, 0));
    (state.signals, state.cleaned) = (2, Some(0));
    state.cells.values_mut().for_each(|c| c.settled = true);
    assert_eq!(decide(&state, 122_900, &[Task::Release]).wake, Some(123_900));
    let mut state = in_stage(Stage::Hold, 0).await;
    state.t0 = Some(1_000);
    assert!(interrupted(&state, 1_000 + half_an_hour).is_some());
    state.stage = Some((Stage::Undo, 0));
    assert!(interrupted(&state, 1_000 + half_an_hour).is_none(), "what is put back is not given up");
}

#[tokio::test(start_paused = true)]
async fn who_gives_up_says_whether_a_probe_could_not_be_read() {
    let mut state = in_stage(Stage::Recovery, 0).await;
    state.t0 = Some(0);
    let due = 30 * 60_000;
    let text = "a probe that decides could not be read: `page`, until give_up after 30 min";
    assert_eq!(decide(&state, due, &[]).events, [Event::stop(StopCause::Unreadable, text)]);
    state.steady.observe("page", Health::Unhealthy, due - 10, due);
    let text = "not recovered by give_up, 30 min after T0";
    assert_eq!(decide(&state, due, &[]).events, [Event::stop(StopCause::GaveUp, text)]);
    state.mode = Mode::Rollback;
    let text = "redrill rollback";
    assert_eq!(
        decide(&state, due, &[]).events,
        [Event::stop(StopCause::Rollback, text)],
        "whatever else holds"
    );
}

#[tokio::test(start_paused = true)]
async fn manual_steps_of_a_group_wait_together_and_the_first_that_is_due_wakes() {
    let manual = LOSS.replace(
        "recovery:\n",
        "recovery:\n  - parallel:\n    - { manual: Call, id: call, timeout: 10m }\n    - { manual: Write, id: write, timeout: 5m }\n",
    );
    let mut state = of(&manual, Stage::Recovery, 0).await;
    let both = ["call", "write"].map(|s| Task::Manual { step: StepId::new(s) });
    let asked = decide(&state, 0, &[]);
    assert_eq!((asked.tasks, asked.wake), (both.to_vec(), None));
    state.waiting.insert(StepId::new("call"), 1_000);
    assert_eq!(decide(&state, 0, &[]).wake, Some(601_000));
    state.waiting.insert(StepId::new("write"), 2_000);
    assert_eq!(decide(&state, 0, &[]).wake, Some(302_000));
    for id in ["call", "write"] {
        assert_eq!(decide(&state, 0, &[]).tasks.len(), if id == "call" { 2 } else { 1 });
        state.cells.get_mut(&(StepId::new(id), None)).unwrap().status = Status::Ready;
    }
    assert!(!decide(&state, 0, &[]).tasks.iter().any(|t| matches!(t, Task::Manual { .. })));
}
