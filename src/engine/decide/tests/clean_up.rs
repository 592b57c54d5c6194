//! The clean-up: in which order, how many at a time, and how long the steady state may take to return.

use super::*;
use crate::engine::testing::LOSS;
use crate::journal::Mode;

/// Everything is put back, and the clean-up was over at 10 s.
async fn cleaned(drill: &str) -> RunState {
    let mut state = in_stage(Stage::Undo, 0).await;
    let fresh = RunState::new(plan_of(drill).await);
    (state.plan, state.cells, state.steady) = (fresh.plan, fresh.cells, fresh.steady);
    for c in state.cells.values_mut() {
        (c.status, c.settled) = (Status::Ready, true);
    }
    state.cleaned = Some(10_000);
    state
}

fn over(state: &RunState) -> bool {
    decide(state, 11_000, &[]).over
}

#[tokio::test(start_paused = true)]
async fn faults_are_undone_and_replacements_kept_newest_first() {
    let mut state = cleaned(LOSS).await;
    state.cleaned = None;
    let order = |step: &str| ["terminate", "replace", "restore"].iter().position(|s| *s == step).unwrap();
    for ((step, _), c) in &mut state.cells {
        c.settled = false;
        c.order = order(step.as_str()) as u64 + 1;
    }
    let target = |t: &str, n: usize| Some(state.plan.targets[t].drawn[n].id.clone());
    let (web, db) = ([target("web", 0), target("web", 1)], target("orders", 0));
    let settle = |state: &mut RunState, step: &str| {
        state.cells.iter_mut().filter(|((s, _), _)| s.as_str() == step).for_each(|(_, c)| c.settled = true);
    };
    let step = StepId::new;
    assert_eq!(decide(&state, 0, &[]).tasks, [Task::Undo { step: step("restore"), target: db }]);
    settle(&mut state, "restore");
    let keep = web.clone().map(|target| Task::Keep { step: step("replace"), target });
    assert_eq!(decide(&state, 0, &[]).tasks, keep);
    settle(&mut state, "replace");
    let undo = web.map(|target| Task::Undo { step: step("terminate"), target });
    assert_eq!(decide(&state, 0, &[]).tasks, undo);
    let mut plan = (*state.plan).clone();
    for (concurrency, at_a_time) in [(0, 1), (1, 1), (2, 2)] {
        plan.drill.concurrency = concurrency;
        state.plan = plan.clone().into();
        assert_eq!(decide(&state, 0, &[]).tasks, undo[..at_a_time], "{concurrency} at a time");
    }
    let _bug = sabotage::commit(Sabotage::FailedIsNotUndone);
    assert_eq!(decide(&state, 0, &[]).tasks.len(), 2, "the bug is about what failed");
    state.cells.values_mut().for_each(|c| c.status = Status::Failed(EffectCertainty::Partial));
    state.signals = 2;
    assert_eq!(decide(&state, 0, &[]).tasks, [], "a test of the tests: the bug is seen");
}

#[tokio::test(start_paused = true)]
async fn what_a_person_did_is_not_put_back_and_momentary_things_are_over() {
    let manual =
        DRILL.replace("action: ec2.stop-instances, target: web, id: stop", "manual: Pull the plug, id: stop");
    let mut state =
        cleaned(&manual.replace("fault: [", "fault: [{ action: wait, id: pause, with: { for: 1s } }, "))
            .await;
    state.cleaned = None;
    state.cells.values_mut().for_each(|c| c.settled = false);
    let until = chrono::DateTime::from_timestamp_millis(15 * 60_000);
    assert_eq!(decide(&state, 0, &[]).events, [Event::Cleaned { until }]);
}

#[tokio::test(start_paused = true)]
async fn tags_go_last_and_once() {
    let mut state = cleaned(DRILL).await;
    assert_eq!(decide(&state, 0, &[]).tasks, [], "nothing is tagged");
    state.holding.insert("i-1".to_owned());
    assert_eq!(decide(&state, 0, &[]).tasks, [Task::Release]);
    state.release_failed = true;
    assert_eq!(decide(&state, 0, &[]).tasks, [], "it was tried");
    let waits = decide(&state, 500, &[Task::Release]);
    assert_eq!((waits.wake, waits.events, waits.over), (Some(1_500), vec![], false), "it is under way");
}

#[tokio::test(start_paused = true)]
async fn the_steady_state_is_asked_for_where_something_was_touched_and_a_client_watches() {
    let mut state = cleaned(DRILL).await;
    assert!(!over(&state));
    state.signals = 1;
    assert!(!over(&state));
    state.signals = 2;
    assert!(over(&state), "who asks twice wants no more than undo");
    assert!(over(&cleaned(&DRILL.replace("hold: 10s }", "hold: 10s, role: capacity }")).await), "no client");
    for (status, mode, has_held, is_over) in [
        (Status::Idle, Mode::Run, false, true),
        (Status::Idle, Mode::Run, true, true),
        (Status::Idle, Mode::Resume, false, true),
        // what a fault did may be lost with the journal's end
        (Status::Idle, Mode::Resume, true, false),
        (Status::Idle, Mode::Rollback, true, false),
        (Status::Ready, Mode::Run, false, false),
        (Status::Ready, Mode::Resume, false, false),
    ] {
        let mut state = cleaned(DRILL).await;
        state.cells.values_mut().for_each(|c| c.status = status);
        (state.mode, state.has_held) = (mode, has_held);
        assert_eq!(over(&state), is_over, "{status:?} {mode:?} tagged: {has_held}");
    }
    let mut state = cleaned(DRILL).await;
    state.steady_after = Some(false);
    assert!(over(&state), "it is judged");
}

#[tokio::test(start_paused = true)]
async fn it_must_hold_for_the_settling_time_or_its_own_hold_whichever_is_shorter() {
    for (settle, hold) in [("5s", 5_000), ("60s", 10_000)] {
        let mut state = cleaned(&DRILL.replace("settle: 5s", &format!("settle: {settle}"))).await;
        healthy(&mut state, 8, 10);
        // asked at the moment of the clean-up; healthy before it does not count
        let due = 10_000 + hold;
        for s in 11..due / 1000 {
            healthy(&mut state, s, s);
        }
        state.steady.observe("page", Health::Healthy, due - 20, due - 10);
        let waits = decide(&state, due - 1, &[]);
        assert_eq!((waits.events, waits.wake), (vec![], Some(due)), "settle {settle}");
        assert_eq!(
            decide(&state, due, &[]).events,
            [Event::SteadyAfter { healthy: true }],
            "settle {settle}"
        );
        // healthy when it was last asked, and that is long ago
        assert_eq!(decide(&state, due + 60_000, &[]).events, [], "settle {settle}");
        // healthy only since later: it counts from there
        state.steady.observe("page", Health::Unhealthy, due, due + 10);
        assert_eq!(decide(&state, due + 20, &[]).wake, Some(due + 1_020));
        state.steady.observe("page", Health::Healthy, due + 1_000, due + 1_010);
        assert_eq!(decide(&state, due + 1_020, &[]).wake, Some(due + 1_010 + hold));
    }
}

#[tokio::test(start_paused = true)]
async fn who_ends_the_wait_early_does_not_make_an_outage_unseen() {
    let mut state = cleaned(DRILL).await;
    state.signals = 2;
    state.steady.observe("page", Health::Unhealthy, 9_000, 9_010);
    assert!(over(&state), "that was before the clean-up had ended");
    state.steady.observe("page", Health::Unhealthy, 11_000, 11_010);
    let events = decide(&state, 11_020, &[]).events;
    assert!(
        matches!(&events[..], [Event::Stuck { .. }, Event::SteadyAfter { healthy: false }]),
        "{events:?}"
    );
    let mut state = cleaned(DRILL).await;
    state.signals = 2;
    state.steady.observe("page", Health::Healthy, 11_000, 11_010);
    assert!(over(&state), "nobody waits for the hold any more");
    // what is stuck, or owed, says enough
    let mut stuck = cleaned(DRILL).await;
    stuck.stuck.push("no".to_owned());
    let mut owes = cleaned(LOSS).await;
    let mend = owes.cells.iter_mut().find(|((s, _), _)| s.as_str() == "replace").unwrap();
    mend.1.status = Status::Failed(EffectCertainty::None);
    for (mut state, case) in [(stuck, "stuck"), (owes, "owed")] {
        state.signals = 2;
        state.steady.observe("page", Health::Unhealthy, 11_000, 11_010);
        let decision = decide(&state, 11_020, &[]);
        assert!(decision.over && decision.events.is_empty(), "{case}: {decision:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn how_long_it_may_take_to_return_depends_on_whether_a_person_is_needed_anyway() {
    let (stuck, owed, quick) = ("stuck", "owed", "give_up");
    for (case, limit) in [("", 15 * 60_000), (quick, 5 * 60_000), (stuck, 2 * 5_000), (owed, 2 * 5_000)] {
        let drill = if case == owed { LOSS } else { DRILL };
        let drill = if case == quick {
            drill.replace("30m", "5m").replace("rto: 15m", "rto: 4m")
        } else {
            drill.to_owned()
        };
        let mut state = cleaned(&drill).await;
        let mut hint = "look at the service; redrill has put back everything that it changed. `redrill rollback` \
                        looks again; with `--accept steady-state --reason TEXT` it ends the run as it is";
        if case == stuck {
            state.stuck.push("no".to_owned());
            hint = "what is not put back may be why: finish that first";
        }
        if case == owed {
            let mend = state.cells.iter_mut().find(|((s, _), _)| s.as_str() == "replace").unwrap();
            mend.1.status = Status::Failed(EffectCertainty::None);
        }
        let limit = 10_000 + limit;
        let waits = decide(&state, limit - 1, &[]);
        assert_eq!((waits.events, waits.wake), (vec![], Some(limit)), "{case}");
        assert_eq!(
            decide(&state, limit - 5_000, &[]).wake,
            Some(limit - 4_000),
            "{case}: it looks every second"
        );
        let lost = decide(&state, limit, &[]).events;
        let [
            Event::Stuck { step: None, target: None, error, hint: told },
            Event::SteadyAfter { healthy: false },
        ] = &lost[..]
        else {
            panic!("{case}: {lost:?}")
        };
        assert!(
            error.starts_with("the steady state did not return after the clean-up: `page` is unknown"),
            "{error}"
        );
        assert_eq!(told, hint, "{case}");
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_probes_that_cannot_be_read() {
    let mut state = cleaned(DRILL).await;
    assert_eq!(waits_until(&state), Some(10_000 + 15 * 60_000));
    assert!(!decide(&state, 10_001, &[]).over && !is_unseen(&state));
    state.unread.insert("page".to_owned(), "token".to_owned());
    let over = decide(&state, 10_001, &[]);
    assert!(over.over && over.events.is_empty() && is_unseen(&state), "{over:?}");
    // a second signal asked that nobody looks
    state.signals = 2;
    assert!(!is_unseen(&state) && waits_until(&state).is_none());
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_clean_up_says_until_when_the_service_is_waited_for_if_it_is() {
    let mut state = cleaned(DRILL).await;
    state.cleaned = None;
    let says = |state: &RunState| decide(state, 10_000, &[]).events;
    let until = chrono::DateTime::from_timestamp_millis(10_000 + 15 * 60_000);
    assert_eq!(says(&state), [Event::Cleaned { until }]);
    state.signals = 2;
    assert_eq!(says(&state), [Event::Cleaned { until: None }], "who asks twice waits for nothing");
    state.signals = 0;
    state.unread.insert("page".to_owned(), "token".to_owned());
    assert_eq!(says(&state), [Event::Cleaned { until: None }], "it cannot be read");
}
