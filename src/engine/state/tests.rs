//! The fold, event by event: what each line changes, and what it does not.

use serde_json::json;

use super::*;
use crate::engine::testing::{
    LOSS, attached, failed, line, plan_of, ready, seen, sent, stage, stamp, started,
};

mod open;
mod verified;

const NONE: EffectCertainty = EffectCertainty::None;
use Health::{Healthy, Unhealthy, Unknown};

/// A run of this drill, with its first process attached at 0, and the two web servers.
async fn run_of(drill: &str) -> (RunState, String, String) {
    let plan = plan_of(drill).await;
    let drawn = plan.targets.get("web").map(|t| t.drawn.clone()).unwrap_or_default();
    let [a, b] = [0, 1].map(|n| drawn.get(n).map(|t| t.id.clone()).unwrap_or_default());
    let state = RunState::replay(plan, &[line(0, attached(Mode::Run))]);
    (state, a, b)
}

async fn loss() -> (RunState, String, String) {
    run_of(LOSS).await
}

fn take(state: &mut RunState, ms: i64, event: Event) {
    state.evolve(&line(ms, event));
    assert_eq!(state.misplaced, None);
}

fn status(state: &RunState, step: &str, target: &str) -> Status {
    state.cells[&(StepId::new(step), Some(target.to_owned()))].status
}

fn cell<'a>(state: &'a mut RunState, step: &str, target: &str) -> &'a mut CellState {
    state.cells.get_mut(&(StepId::new(step), Some(target.to_owned()))).unwrap()
}

fn stop(cause: StopCause) -> Event {
    Event::stop(cause, format!("{cause:?}"))
}

#[test]
fn what_may_have_happened_and_what_is_over() {
    for (status, effect, over) in [
        (Status::Idle, false, false),
        (Status::Prepared, false, false),
        (Status::Started, true, false),
        (Status::Applied, true, false),
        (Status::Ready, true, true),
        (Status::Skipped, false, true),
        (Status::Failed(EffectCertainty::None), false, true),
        (Status::Failed(EffectCertainty::Unknown), true, true),
        (Status::Failed(EffectCertainty::Partial), true, true),
    ] {
        let cell = CellState { status, ..CellState::default() };
        assert_eq!((cell.may_have_effect(), cell.is_final()), (effect, over), "{status:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_step_comes_as_far_as_its_lines_say_on_the_target_that_they_name() {
    let (mut s, a, b) = loss().await;
    let (step, target) = (StepId::new("terminate"), Some(a.clone()));
    assert_eq!(s.stage(), Stage::Preflight);
    take(&mut s, 10, Event::StepPrepared { step: step.clone(), target: target.clone(), undo: json!(1) });
    assert_eq!(status(&s, "terminate", &a), Status::Prepared);
    assert!(!s.fault_happened(), "nothing was sent");
    take(&mut s, 20, started("terminate", &[Some(&a)]));
    assert_eq!(status(&s, "terminate", &a), Status::Started);
    assert!(s.fault_happened());
    // a batch that is sent anew records its undo again, and has begun all the same
    take(&mut s, 25, Event::StepPrepared { step: step.clone(), target: target.clone(), undo: json!(2) });
    assert_eq!(status(&s, "terminate", &a), Status::Started);
    assert_eq!(cell(&mut s, "terminate", &a).undo, Some(json!(2)));
    let (outputs, notes) = ([("id".to_owned(), "x".to_owned())].into(), Vec::new());
    take(&mut s, 30, Event::StepApplied { step, target, outputs, notes });
    assert_eq!(status(&s, "terminate", &a), Status::Applied);
    take(&mut s, 40, ready("terminate", Some(&a), &[("state", "terminated")]));
    assert_eq!(status(&s, "terminate", &a), Status::Ready);
    assert_eq!(s.output("terminate", "id"), Some("x"));
    assert_eq!(s.output("terminate", "state"), Some("terminated"));
    assert_eq!((s.output("terminate", "none"), s.output("replace", "id")), (None, None));
    take(&mut s, 50, failed("terminate", Some(&b), NONE));
    assert_eq!(status(&s, "terminate", &b), Status::Failed(NONE));
    assert_eq!(s.cells_of(&StepId::new("terminate")).count(), 2);
    assert_eq!([status(&s, "replace", &a), status(&s, "replace", &b)], [Status::Idle; 2]);
}

#[tokio::test(start_paused = true)]
async fn a_recovery_that_happened_is_no_fault() {
    let (mut s, a, _) = loss().await;
    take(&mut s, 10, started("replace", &[Some(&a)]));
    assert!(!s.fault_happened());
}

#[tokio::test(start_paused = true)]
async fn the_order_for_undo_grows_with_every_start() {
    let (mut s, a, b) = loss().await;
    take(&mut s, 10, started("terminate", &[Some(&a), Some(&b)]));
    take(&mut s, 20, started("replace", &[Some(&a)]));
    let order = ["terminate", "terminate", "replace"].into_iter().zip([&a, &b, &a]);
    let order: Vec<u64> = order.map(|(step, t)| cell(&mut s, step, t).order).collect();
    assert!(0 < order[0] && order.is_sorted_by(|x, y| x < y), "{order:?}");
}

#[tokio::test(start_paused = true)]
async fn a_skipped_step_is_skipped_where_it_had_not_begun() {
    let (mut s, a, b) = loss().await;
    take(&mut s, 10, started("terminate", &[Some(&a)]));
    take(&mut s, 20, Event::StepSkipped { step: StepId::new("terminate"), why: "resumed".to_owned() });
    assert_eq!(status(&s, "terminate", &a), Status::Started);
    assert_eq!(status(&s, "terminate", &b), Status::Skipped);
    assert_eq!(status(&s, "replace", &a), Status::Idle);
    assert_eq!(s.skipped, ["terminate: resumed"]);
}

#[tokio::test(start_paused = true)]
async fn the_end_undoes_faults_and_leaves_recoveries_as_their_after_says() {
    let (s, ..) = loss().await;
    let step = s.plan.step(&StepId::new("replace")).unwrap();
    use Reversibility::{Additive, Irreversible, Momentary, Reversible};
    for (stage, after, reversibility, fate) in [
        (Stage::Recovery, After::Keep, Additive, Fate::Keep),
        (Stage::Recovery, After::Keep, Momentary, Fate::Keep),
        (Stage::Recovery, After::Remove, Additive, Fate::Undo),
        (Stage::Recovery, After::None, Reversible, Fate::Undo),
        (Stage::Recovery, After::None, Irreversible, Fate::Nothing),
        (Stage::Recovery, After::None, Momentary, Fate::Nothing),
        (Stage::Fault, After::None, Reversible, Fate::Undo),
        (Stage::Fault, After::None, Irreversible, Fate::Undo),
        (Stage::Fault, After::None, Momentary, Fate::Nothing),
        (Stage::Fault, After::Keep, Reversible, Fate::Undo),
    ] {
        let step = PlannedStep { stage, after, reversibility, ..step.clone() };
        assert_eq!(s.fate(&step), fate, "{stage:?} {after:?} {reversibility:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn t0_is_the_first_call_that_applies_a_fault() {
    let (mut s, a, b) = loss().await;
    take(&mut s, 10, started("terminate", &[Some(&a), Some(&b)]));
    take(&mut s, 20, sent(4, None, Phase::Hold));
    take(&mut s, 30, sent(5, Some("replace"), Phase::Apply));
    take(&mut s, 40, sent(6, Some("terminate"), Phase::Undo));
    assert_eq!((s.t0, s.t0_at), (None, None), "neither tagging, nor a recovery, nor an undo");
    take(&mut s, 50, sent(7, Some("terminate"), Phase::Apply));
    assert_eq!((s.t0, s.t0_at), (Some(50), Some(stamp(50).at)));
    take(&mut s, 60, sent(8, Some("terminate"), Phase::Apply));
    assert_eq!((s.t0, s.t0_at), (Some(50), Some(stamp(50).at)), "the first counts");
}

#[tokio::test(start_paused = true)]
async fn calls_are_numbered_on_and_known_until_they_are_answered() {
    let (mut s, ..) = loss().await;
    take(&mut s, 10, sent(4, None, Phase::Hold));
    assert_eq!((s.next_call, s.sent, s.releasing), (5, false, false));
    take(&mut s, 20, sent(2, Some("terminate"), Phase::Undo));
    assert_eq!(
        (s.next_call, s.sent, s.releasing),
        (5, false, false),
        "an undo is no step that did something"
    );
    take(&mut s, 30, sent(5, Some("replace"), Phase::Apply));
    assert_eq!((s.next_call, s.sent), (6, true));
    take(&mut s, 40, sent(6, None, Phase::Release));
    take(&mut s, 50, sent(7, None, Phase::Hold));
    assert_eq!((s.sent, s.releasing), (true, true), "what was sent stays sent");
    assert_eq!(s.open_calls.keys().copied().collect::<Vec<_>>(), [2, 4, 5, 6, 7]);
    let answered = |call| Event::CallAnswered { call, request_id: None, outcome: None, error: None };
    take(&mut s, 60, answered(5));
    assert!(!s.open_calls.contains_key(&5) && s.open_calls.contains_key(&4));
}

const UNSEEN: &str = "version: 1
name: unseen
title: Unseen
service: shop
objectives: { rto: 15m }
limits: { accounts: [\"123456789012\"], regions: [us-east-1], max_targets: 9 }
targets: { web: { resource: ec2.instance, tags: { service: shop, role: web }, select: { count: 1 } } }
steady_state: [{ name: page, probe: http, with: { url: \"http://127.0.0.1:8080/health\", status: 200 } }]
fault:
  - { action: wait, id: pause, with: { for: 1s } }
  - { action: ec2.stop-instances, target: web, id: stop }
  - { action: command, id: program, with: { argv: [/bin/true] } }
  - { manual: Pull the plug, id: person }
recovery: [{ manual: Put it back, id: back }]";

#[tokio::test(start_paused = true)]
async fn a_fault_without_a_call_begins_with_its_step_and_waiting_is_none() {
    let waiting = |step: &str| Event::Waiting { step: StepId::new(step), text: String::new() };
    for (event, begins) in [
        (started("pause", &[None]), false),
        (started("stop", &[]), false),
        (started("program", &[None]), true),
        (waiting("person"), true),
        (waiting("back"), false),
    ] {
        let (mut s, ..) = run_of(UNSEEN).await;
        take(&mut s, 70, event.clone());
        let wanted = begins.then_some(70);
        assert_eq!((s.t0, s.t0_at), (wanted, wanted.map(|ms| stamp(ms).at)), "{event:?}");
        take(&mut s, 80, waiting("person"));
        assert_eq!(s.t0, wanted.or(Some(80)), "the first counts");
    }
}

#[tokio::test(start_paused = true)]
async fn a_manual_step_waits_from_its_first_announcement_until_a_person_answers() {
    let (mut s, ..) = run_of(UNSEEN).await;
    let back = StepId::new("back");
    let waiting = Event::Waiting { step: back.clone(), text: String::new() };
    take(&mut s, 10, waiting.clone());
    take(&mut s, 20, waiting.clone());
    assert_eq!(s.waiting.get(&back), Some(&10));
    take(&mut s, 30, attached(Mode::Resume));
    assert_eq!((s.waiting.get(&back), s.announced.contains(&back)), (None, true), "asked in another process");
    take(&mut s, 40, waiting);
    let (by, note) = (String::new(), String::new());
    take(&mut s, 50, Event::Confirmed { step: back.clone(), by, note, simulated: false, request: None });
    assert_eq!(s.waiting.get(&back), None);
    assert_eq!(s.cells[&(back, None)].status, Status::Ready);
}

#[tokio::test(start_paused = true)]
async fn without_a_fault_the_clock_starts_with_the_recovery() {
    let no_fault = LOSS
        .replace("fault: [{ action: ec2.terminate-instances, target: web, id: terminate }]\n", "")
        .replace("  - { action: ec2.launch-replacement, target: web, id: replace }\n", "")
        .replace("allow_irreversible: true\n", "");
    let (mut s, ..) = run_of(&no_fault).await;
    take(&mut s, 10, stage(Stage::Baseline));
    assert_eq!(s.t0, None);
    take(&mut s, 20, stage(Stage::Recovery));
    assert_eq!((s.t0, s.t0_at), (Some(20), Some(stamp(20).at)));
    take(&mut s, 30, stage(Stage::Recovery));
    assert_eq!(s.t0, Some(20));
    assert_eq!((s.stage, s.stage_times[&Stage::Recovery]), (Some((Stage::Recovery, 30)), 20));
    // a run that is stopped measures nothing any more
    let (mut s, ..) = run_of(&no_fault).await;
    take(&mut s, 10, stop(StopCause::Signal));
    take(&mut s, 20, stage(Stage::Recovery));
    assert_eq!(s.t0, None);
    let (mut s, ..) = loss().await;
    take(&mut s, 20, stage(Stage::Recovery));
    assert_eq!(s.t0, None, "with a fault its call is T0");
}

#[tokio::test(start_paused = true)]
async fn the_impact_is_an_unhealthy_client_asked_since_t0() {
    for (probe, health, asked, seen_it, blind) in [
        ("page", Unhealthy, 1_000, true, false),
        ("api", Unhealthy, 1_000, true, false),
        ("page", Unhealthy, 999, false, false),
        ("servers", Unhealthy, 1_000, false, false),
        ("page", Healthy, 1_000, false, false),
        ("page", Unknown, 1_000, false, true),
        ("page", Unknown, 999, false, false),
        ("servers", Unknown, 1_000, false, false),
    ] {
        for live in [true, false] {
            let (mut s, ..) = loss().await;
            take(&mut s, 900, seen(probe, health, 900, 901));
            assert!(!s.impact_seen && !s.blind, "before T0 there is nothing to see");
            take(&mut s, 1_000, sent(1, Some("terminate"), Phase::Apply));
            let event = seen(probe, health, asked, 1_100);
            if live {
                // taken when it was made, recorded later
                s.recorded(&line(1_100, event));
            } else {
                take(&mut s, 1_100, event);
            }
            let found = (s.impact_seen, s.blind);
            assert_eq!(found, (seen_it, blind), "{probe} {health:?} asked at {asked}, live: {live}");
        }
    }
    for (at, blind) in [(Stage::Hold, true), (Stage::Undo, false)] {
        let (mut s, ..) = loss().await;
        take(&mut s, 1_000, sent(1, Some("terminate"), Phase::Apply));
        take(&mut s, 1_010, stage(at));
        take(&mut s, 1_100, seen("page", Unknown, 1_050, 1_100));
        assert_eq!(s.blind, blind, "what clients see of the clean-up decides nothing: {at:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_rolled_up_line_is_concluded_from_like_a_single_one() {
    let unchanged = |health, ms| Event::Unchanged {
        probe: "page".to_owned(),
        health,
        count: 5,
        last_sent: stamp(ms),
        last_answered: stamp(ms + 10),
    };
    for live in [true, false] {
        let (mut s, ..) = loss().await;
        take(&mut s, 1_000, sent(1, Some("terminate"), Phase::Apply));
        let line = line(1_100, unchanged(Unhealthy, 1_000));
        if live {
            s.recorded(&line);
        } else {
            s.evolve(&line);
        }
        assert!(s.impact_seen, "live: {live}");
        assert_eq!(s.steady.tracks()[0].health, (!live).then_some(Unhealthy), "taken once, live: {live}");
    }
    // a single one, too, is taken once
    let (mut s, ..) = loss().await;
    take(&mut s, 1_000, sent(1, Some("terminate"), Phase::Apply));
    s.recorded(&line(1_100, seen("page", Unhealthy, 1_000, 1_010)));
    assert_eq!((s.impact_seen, s.steady.tracks()[0].health), (true, None));
    // every other line is taken as ever
    let (mut s, ..) = loss().await;
    s.recorded(&line(10, stage(Stage::Baseline)));
    assert_eq!(s.stage(), Stage::Baseline);
    // one line for a minute of answers is no gap in them
    let (mut s, ..) = loss().await;
    take(&mut s, 1_010, seen("page", Healthy, 1_000, 1_010));
    take(&mut s, 1_010, seen("api", Healthy, 1_000, 1_010));
    take(&mut s, 61_010, unchanged(Healthy, 61_000));
    assert_eq!(s.steady.healthy_since(), Some(1_010));
}

#[tokio::test(start_paused = true)]
async fn a_turn_is_from_healthy_to_unhealthy_or_back_and_asked_since_t0() {
    for (before, after, asked, turned) in [
        (Healthy, Unhealthy, 1_000, true),
        (Unhealthy, Healthy, 1_000, true),
        (Healthy, Unhealthy, 999, false),
        (Healthy, Healthy, 1_000, false),
        (Unhealthy, Unhealthy, 1_000, false),
        (Unknown, Unhealthy, 1_000, false),
        (Healthy, Unknown, 1_000, false),
    ] {
        for probe in ["servers", "rows"] {
            let (mut s, ..) = loss().await;
            take(&mut s, 1_000, sent(1, Some("terminate"), Phase::Apply));
            // the opposite of another probe is no turn of this one
            take(&mut s, 1_000, seen("page", after, 990, 1_000));
            take(&mut s, 1_000, seen(probe, before, 990, 1_000));
            take(&mut s, 1_100, seen(probe, after, asked, 1_100));
            assert_eq!(s.turned, turned, "{probe}: {before:?} to {after:?} at {asked}");
            take(&mut s, 2_000, seen(probe, after, 1_900, 2_000));
            assert_eq!(s.turned, turned, "once seen, it was seen");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn steady_again_are_clients_that_were_asked_since_and_are_healthy() {
    let (mut s, ..) = loss().await;
    take(&mut s, 110, seen("servers", Unhealthy, 100, 110));
    take(&mut s, 110, seen("page", Healthy, 100, 110));
    assert!(!s.steady_again(100), "one was never asked");
    take(&mut s, 110, seen("api", Healthy, 101, 110));
    assert!(s.steady_again(100));
    assert!(!s.steady_again(101), "asked before");
    take(&mut s, 210, seen("api", Unhealthy, 200, 210));
    assert!(!s.steady_again(100));
}

#[tokio::test(start_paused = true)]
async fn the_longest_hold_and_the_slowest_rhythm_are_those_of_clients() {
    let (s, ..) = loss().await;
    assert_eq!((s.longest_hold(), s.slowest()), (10_000, 2_000));
}

#[tokio::test(start_paused = true)]
async fn what_stands_in_the_way_is_named() {
    let (mut s, ..) = loss().await;
    assert_eq!(s.not_healthy(0), "`page` is unknown, `api` is unknown");
    take(&mut s, 110, seen("page", Unhealthy, 100, 110));
    take(&mut s, 110, seen("api", Healthy, 100, 110));
    assert_eq!(s.not_healthy(110), "`page` is unhealthy");
    take(&mut s, 210, seen("page", Healthy, 200, 210));
    assert_eq!(s.not_healthy(210), "it did not stay healthy for long enough");
}

#[tokio::test(start_paused = true)]
async fn unreadable_is_a_probe_that_decides_where_none_is_known_to_be_unhealthy() {
    let (mut s, ..) = loss().await;
    take(&mut s, 110, seen("page", Healthy, 100, 110));
    take(&mut s, 110, seen("api", Healthy, 100, 110));
    assert_eq!(s.unreadable(110), None, "verify probes are not asked yet");
    take(&mut s, 210, seen("api", Unknown, 200, 210));
    assert_eq!(s.unreadable(210).as_deref(), Some("api"));
    take(&mut s, 210, seen("page", Unhealthy, 200, 210));
    assert_eq!(s.unreadable(210), None);
    take(&mut s, 310, seen("page", Healthy, 300, 310));
    take(&mut s, 310, seen("api", Healthy, 300, 310));
    take(&mut s, 310, stage(Stage::Verify));
    assert_eq!(s.unreadable(310).as_deref(), Some("rows"));
    take(&mut s, 320, seen("rows", Unhealthy, 311, 320));
    assert_eq!(s.unreadable(320), None);
}

#[tokio::test(start_paused = true)]
async fn a_stronger_cause_replaces_a_weaker_one_and_never_the_other_way_round() {
    let (mut s, ..) = loss().await;
    for (event, wanted) in [
        (StopCause::StepFailed, StopCause::StepFailed),
        (StopCause::NoImpact, StopCause::StepFailed),
        (StopCause::Signal, StopCause::Signal),
        (StopCause::StopCondition, StopCause::Signal),
    ] {
        take(&mut s, 10, stop(event));
        assert_eq!(s.stop, Some((wanted, format!("{wanted:?}"))));
    }
    take(&mut s, 20, Event::stop(StopCause::Signal, "again"));
    assert_eq!(s.stop, Some((StopCause::Signal, "Signal".to_owned())), "the first of the same stays");
}

#[tokio::test(start_paused = true)]
async fn a_process_that_only_tells_works_on_nothing() {
    let (mut s, ..) = loss().await;
    take(&mut s, 10, Event::PreflightPassed {});
    take(&mut s, 20, Event::Signal { count: 2, now: None });
    take(&mut s, 30, attached(Mode::Tell));
    assert_eq!((s.sessions, s.preflighted, s.signals, s.mode), (1, true, 2, Mode::Run));
    assert_eq!(s.attached_ms, 0);
}

#[tokio::test(start_paused = true)]
async fn a_process_that_takes_a_run_up_looks_anew_and_tries_what_was_stuck() {
    for (mode, again) in [(Mode::Run, false), (Mode::Resume, true), (Mode::Rollback, true)] {
        let (mut s, a, _) = loss().await;
        take(&mut s, 10, Event::PreflightPassed {});
        take(&mut s, 20, Event::Signal { count: 2, now: None });
        take(&mut s, 21, sent(1, None, Phase::Hold));
        take(&mut s, 30, Event::Cleaned { until: None });
        take(&mut s, 31, Event::SteadyAfter { healthy: false });
        let (step, target) = (Some(StepId::new("terminate")), Some(a.clone()));
        take(&mut s, 32, Event::Stuck { step, target, error: "no".to_owned(), hint: String::new() });
        assert_eq!((s.cleaned, s.steady_after, s.stuck.len()), (Some(30), Some(false), 1));
        assert!(cell(&mut s, "terminate", &a).stuck);
        s.release_failed = true;
        s.finished = Some(Verdict::Stuck);
        take(&mut s, 40, attached(mode));
        assert_eq!((s.sessions, s.preflighted, s.signals, s.mode), (2, false, 0, mode));
        assert_eq!((s.attached_ms, s.open_calls.len()), (40, 0));
        let left = (s.cleaned, s.steady_after, s.stuck.len(), s.finished, s.release_failed);
        let wanted = if again {
            (None, None, 0, None, false)
        } else {
            (Some(30), Some(false), 1, Some(Verdict::Stuck), true)
        };
        assert_eq!(left, wanted, "{mode:?}");
        assert_eq!(cell(&mut s, "terminate", &a).stuck, !again, "{mode:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_not_mended_is_mended_by_whoever_takes_the_run_up() {
    use Status::{Applied, Failed, Idle, Ready, Skipped, Started};
    for (mode, before, after, settled) in [
        // a rollback begins anew what surely did nothing, and looks for what may have
        (Mode::Rollback, Failed(NONE), Idle, false),
        (Mode::Rollback, Skipped, Idle, false),
        (Mode::Rollback, Failed(EffectCertainty::Unknown), Started, false),
        (Mode::Rollback, Failed(EffectCertainty::Partial), Started, false),
        (Mode::Rollback, Applied, Applied, false),
        (Mode::Rollback, Ready, Ready, false),
        // a resumed run does neither
        (Mode::Resume, Failed(NONE), Failed(NONE), true),
        (Mode::Resume, Skipped, Skipped, true),
        (Mode::Resume, Failed(EffectCertainty::Unknown), Failed(EffectCertainty::Unknown), true),
        (Mode::Resume, Started, Started, false),
        (Mode::Run, Failed(NONE), Failed(NONE), true),
    ] {
        let (mut s, a, b) = loss().await;
        take(&mut s, 10, ready("terminate", Some(&a), &[]));
        take(&mut s, 10, ready("terminate", Some(&b), &[]));
        *cell(&mut s, "replace", &a) = CellState { status: before, settled: true, ..CellState::default() };
        let restore = s.cells.iter_mut().find(|((step, _), _)| step.as_str() == "restore").unwrap();
        *restore.1 = CellState { status: before, settled: true, ..CellState::default() };
        cell(&mut s, "terminate", &a).settled = true;
        take(&mut s, 20, attached(mode));
        let mend = cell(&mut s, "replace", &a);
        assert_eq!((mend.status, mend.settled), (after, settled), "{mode:?} {before:?}");
        assert!(cell(&mut s, "terminate", &a).settled, "a fault is not mended");
        let restore = s.cells.iter().find(|((step, _), _)| step.as_str() == "restore").unwrap();
        assert_eq!((restore.1.status, restore.1.settled), (before, true), "it mends nothing");
    }
    // what is kept stands in its place
    let (mut s, a, b) = loss().await;
    take(&mut s, 10, ready("terminate", Some(&a), &[]));
    take(&mut s, 10, ready("terminate", Some(&b), &[]));
    let failed = Status::Failed(EffectCertainty::Unknown);
    *cell(&mut s, "replace", &a) =
        CellState { status: failed, kept: true, settled: true, ..CellState::default() };
    take(&mut s, 20, attached(Mode::Rollback));
    assert_eq!((cell(&mut s, "replace", &a).status, cell(&mut s, "replace", &a).settled), (failed, true));
    // where the fault surely did nothing, nothing is to be mended
    let (mut s, a, _) = loss().await;
    *cell(&mut s, "replace", &a) = CellState { status: Status::Skipped, ..CellState::default() };
    take(&mut s, 20, attached(Mode::Rollback));
    assert_eq!(status(&s, "replace", &a), Status::Skipped);
}

#[tokio::test(start_paused = true)]
async fn the_tag_is_known_until_it_is_removed() {
    let (mut s, a, b) = loss().await;
    assert!(!s.has_held && !s.armed);
    take(&mut s, 10, Event::Holding { targets: vec![a.clone(), b.clone()] });
    assert!(s.has_held && !s.armed);
    take(&mut s, 20, Event::Held { targets: vec![a.clone(), b.clone()] });
    assert!(s.armed);
    take(&mut s, 30, Event::Released { targets: vec![a.clone()] });
    assert_eq!((s.holding.len(), s.release_failed, s.cleaned), (1, true, None));
    take(&mut s, 40, Event::Released { targets: vec![b.clone()] });
    assert_eq!(
        (s.holding.len(), s.release_failed, s.cleaned, s.has_held),
        (0, false, None, true),
        "the wait is told after it"
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_put_back_kept_or_left_is_settled_and_stuck_no_more() {
    let (step, how, proof) = (StepId::new("replace"), String::new(), String::new());
    let target = |t: &String| Some(t.clone());
    let (mut s, a, b) = loss().await;
    let stuck = |t| Event::Stuck { step: Some(step.clone()), target: t, error: "no".into(), hint: "".into() };
    take(&mut s, 5, stuck(target(&a)));
    take(&mut s, 10, Event::UndoDone { step: step.clone(), target: target(&a), how, proof: proof.clone() });
    let done = cell(&mut s, "replace", &a).clone();
    assert_eq!((done.settled, done.kept, done.stuck), (true, false, false));
    let other = cell(&mut s, "replace", &b).clone();
    assert_eq!((other.settled, other.kept, other.stuck), (false, false, false));
    take(&mut s, 20, Event::Kept { step: step.clone(), target: target(&b), proof });
    let kept = cell(&mut s, "replace", &b).clone();
    assert_eq!((kept.settled, kept.kept), (true, true));
    take(&mut s, 30, Event::LeftInPlace { step, target: target(&b), why: String::new(), by: None });
    assert_eq!((cell(&mut s, "replace", &b).settled, cell(&mut s, "replace", &b).kept), (true, false));
    assert_eq!(s.stuck, ["no"]);
}

#[tokio::test(start_paused = true)]
async fn an_undo_record_is_about_its_own_target() {
    let (mut s, a, b) = loss().await;
    let record = |id: &str| json!({ "id": id, "state": "running", "volumes": [] });
    let step = StepId::new("terminate");
    let prepared =
        |id: &str| Event::StepPrepared { step: step.clone(), target: Some(a.clone()), undo: record(id) };
    take(&mut s, 10, prepared(&a));
    s.evolve(&Line { seq: 6, ..line(11, prepared(&b)) });
    let what = format!("line 7: the undo record of step `terminate` is about `{b}`, which is not its target");
    assert_eq!(s.misplaced, Some(what));
    assert_eq!(cell(&mut s, "terminate", &a).undo, Some(record(&a)));
}

#[tokio::test(start_paused = true)]
async fn a_line_that_the_plan_has_no_place_for_changes_nothing_and_is_told() {
    let (mut s, a, _) = loss().await;
    s.evolve(&Line { seq: 6, ..line(10, ready("elsewhere", Some(&a), &[])) });
    s.evolve(&Line { seq: 7, ..line(11, ready("terminate", Some("i-0"), &[])) });
    assert_eq!(s.misplaced.as_deref(), Some("line 7: the plan has no step `elsewhere`"));
    assert!(s.cells.values().all(|c| c.status == Status::Idle));
    let (mut s, ..) = loss().await;
    for _ in 0..2 {
        take(&mut s, 10, Event::Unknown(json!({ "type": "of tomorrow" })));
    }
    assert_eq!(s.unknown, 2);
}

#[tokio::test(start_paused = true)]
async fn the_end_is_taken_as_it_is_recorded() {
    let (mut s, a, _) = loss().await;
    take(&mut s, 10, Event::Captured { step: StepId::new("replace"), target: a.clone(), data: json!(1) });
    assert_eq!(s.captured.get(&(StepId::new("replace"), Some(a))), Some(&json!(1)));
    take(&mut s, 20, Event::Steady { since: stamp(5).at });
    assert!(s.held);
    let measured = Box::default();
    let (verdict, exit_code) = (Verdict::Passed, 0);
    take(&mut s, 30, Event::Finished { verdict, exit_code, reasons: Vec::new(), measured });
    assert_eq!(s.finished, Some(Verdict::Passed));
    let request = Some(crate::journal::event::Asked { id: "r-1".into(), at: stamp(1).at });
    take(&mut s, 40, Event::StopRequested { cause: StopCause::Signal, detail: String::new(), request });
    assert!(s.answered.contains("r-1"));
}

#[tokio::test(start_paused = true)]
async fn a_test_of_the_tests_can_make_it_forget_its_stages() {
    let (mut s, ..) = loss().await;
    let bug = sabotage::commit(Sabotage::StagesAreForgotten);
    take(&mut s, 10, stage(Stage::Baseline));
    assert_eq!(s.stage, None);
    drop(bug);
    take(&mut s, 20, stage(Stage::Baseline));
    assert_eq!(s.stage, Some((Stage::Baseline, 20)));
}
