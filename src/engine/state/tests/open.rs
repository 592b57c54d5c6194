//! What a run leaves open: faults without an answer, what is stuck, a steady state that nobody saw hold again.

use super::*;
use crate::model::CallError;

const UNSURE: EffectCertainty = EffectCertainty::Unknown;

fn answered(call: u64, effect: Option<EffectCertainty>) -> Event {
    let (kind, message) = ("timeout".to_owned(), String::new());
    let error = effect.map(|effect| CallError { kind, code: None, message, effect });
    Event::CallAnswered { call, request_id: None, outcome: None, error }
}

fn finished(verdict: Verdict) -> Event {
    Event::Finished { verdict, exit_code: 0, reasons: Vec::new(), measured: Box::default() }
}

fn doubts(state: &RunState, step: &str) -> bool {
    state.doubted(state.plan.step(&StepId::new(step)).unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_fault_is_in_doubt_until_every_call_of_it_has_an_answer_that_tells() {
    for (answer, doubt) in
        [(None, false), (Some(NONE), false), (Some(UNSURE), true), (Some(EffectCertainty::Partial), true)]
    {
        let (mut s, ..) = loss().await;
        assert!(!doubts(&s, "terminate"), "nothing was sent");
        take(&mut s, 10, sent(1, Some("terminate"), Phase::Apply));
        take(&mut s, 20, sent(2, Some("terminate"), Phase::Apply));
        take(&mut s, 30, answered(1, None));
        assert!(doubts(&s, "terminate"), "one of two is open");
        take(&mut s, 40, answered(2, answer));
        assert_eq!(doubts(&s, "terminate"), doubt, "{answer:?}");
    }
    // no other call is about whether the fault happened
    for (step, phase) in [
        (Some("replace"), Phase::Apply),
        (Some("terminate"), Phase::Undo),
        (Some("terminate"), Phase::Keep),
        (None, Phase::Hold),
    ] {
        let (mut s, ..) = loss().await;
        take(&mut s, 10, sent(1, step, phase));
        assert!(!doubts(&s, "terminate") && !doubts(&s, "replace"), "{step:?} {phase:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn only_an_irreversible_fault_is_in_doubt() {
    use Reversibility::{Additive, Irreversible, Momentary, Reversible};
    for is_sent in [true, false] {
        let (mut s, ..) = loss().await;
        if is_sent {
            take(&mut s, 10, sent(1, Some("terminate"), Phase::Apply));
        }
        let step = s.plan.step(&StepId::new("terminate")).unwrap();
        for (stage, reversibility, doubt) in [
            (Stage::Fault, Irreversible, true),
            (Stage::Fault, Reversible, false),
            (Stage::Fault, Momentary, false),
            (Stage::Recovery, Irreversible, false),
            (Stage::Recovery, Additive, false),
        ] {
            let step = PlannedStep { stage, reversibility, ..step.clone() };
            assert_eq!(s.doubted(&step), doubt && is_sent, "{stage:?} {reversibility:?}, sent: {is_sent}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_looked_for_once_more_at_the_end_and_is_not_there_is_settled() {
    for (at, before, settled) in [
        (Stage::Undo, Status::Failed(NONE), true),
        // the last look is still to come
        (Stage::Undo, Status::Started, false),
        (Stage::Undo, Status::Failed(UNSURE), false),
        (Stage::Fault, Status::Failed(NONE), false),
        (Stage::Hold, Status::Failed(NONE), false),
    ] {
        let (mut s, a, _) = loss().await;
        take(&mut s, 10, stage(at));
        cell(&mut s, "terminate", &a).status = before;
        take(&mut s, 20, failed("terminate", Some(&a), NONE));
        let found = cell(&mut s, "terminate", &a);
        assert_eq!((found.status, found.settled), (Status::Failed(NONE), settled), "{at:?} {before:?}");
    }
    let (mut s, a, _) = loss().await;
    cell(&mut s, "terminate", &a).settled = true;
    take(&mut s, 20, failed("terminate", Some(&a), NONE));
    assert!(cell(&mut s, "terminate", &a).settled, "what is settled stays so");
}

#[tokio::test(start_paused = true)]
async fn a_person_is_one_that_was_not_simulated() {
    let (mut s, ..) = run_of(UNSEEN).await;
    for (step, simulated, person) in [("person", true, false), ("back", false, true), ("person", true, true)]
    {
        let (step, by, note) = (StepId::new(step), String::new(), String::new());
        take(&mut s, 10, Event::Confirmed { step, by, note, simulated, request: None });
        assert_eq!(s.person, person, "simulated: {simulated}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_ends_as_stuck_is_unsteady_where_nobody_saw_the_service_hold_after_its_clean_up() {
    for (cleaned, after, accepted, verdict, unsteady) in [
        (true, Some(false), false, Verdict::Stuck, true),
        (true, None, false, Verdict::Stuck, true),
        (true, Some(true), false, Verdict::Stuck, false),
        // it did not come that far
        (false, None, false, Verdict::Stuck, false),
        (true, Some(false), true, Verdict::Stuck, false),
        (true, None, true, Verdict::Stuck, false),
        (true, None, false, Verdict::Stopped, false),
        (true, None, false, Verdict::Failed, false),
    ] {
        let (mut s, ..) = loss().await;
        s.steady_accepted = accepted;
        if cleaned {
            take(&mut s, 10, Event::Cleaned { until: None });
        }
        if let Some(healthy) = after {
            take(&mut s, 20, Event::SteadyAfter { healthy });
            assert!(!s.unsteady, "it has not ended");
        }
        take(&mut s, 30, finished(verdict));
        let case = format!("cleaned {cleaned}, after {after:?}, accepted {accepted}, {verdict:?}");
        assert_eq!(s.unsteady, unsteady, "{case}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_unsteady_run_is_one_until_somebody_sees_it_hold_or_accepts_it() {
    let unsteady = async || {
        let (mut s, ..) = loss().await;
        take(&mut s, 10, Event::Cleaned { until: None });
        take(&mut s, 20, finished(Verdict::Stuck));
        take(&mut s, 30, attached(Mode::Rollback));
        assert!(s.unsteady);
        s
    };
    let mut s = unsteady().await;
    take(&mut s, 40, finished(Verdict::Stuck));
    assert!(s.unsteady, "it ended before its clean-up: nobody has looked");
    take(&mut s, 50, attached(Mode::Rollback));
    take(&mut s, 60, Event::Cleaned { until: None });
    take(&mut s, 70, Event::SteadyAfter { healthy: false });
    assert!(s.unsteady);
    take(&mut s, 80, Event::SteadyAfter { healthy: true });
    assert!(!s.unsteady);
    let mut s = unsteady().await;
    let (why, by) = ("known".to_owned(), "ann".to_owned());
    take(&mut s, 40, Event::SteadyStateAccepted { why, by });
    take(&mut s, 50, Event::Cleaned { until: None });
    take(&mut s, 60, finished(Verdict::Stuck));
    assert!(!s.unsteady);
    assert_eq!(s.accepted, ["the steady state after the clean-up, accepted by ann: known"]);
}

#[tokio::test(start_paused = true)]
async fn a_stuck_target_is_one_that_a_step_changed_and_did_not_put_back() {
    for (stuck, status, settled, stays) in [
        (true, Status::Ready, false, true),
        (true, Status::Started, false, true),
        (true, Status::Failed(UNSURE), false, true),
        (true, Status::Failed(NONE), false, false),
        (true, Status::Idle, false, false),
        (true, Status::Ready, true, false),
        (false, Status::Ready, false, false),
        (false, Status::Idle, false, false),
    ] {
        // what is launched beside the target has tags of its own
        for (step, changes) in [("terminate", true), ("replace", false)] {
            let (mut s, a, _) = loss().await;
            *cell(&mut s, step, &a) = CellState { stuck, status, settled, ..CellState::default() };
            let wanted: BTreeSet<String> = (stays && changes).then_some(a).into_iter().collect();
            assert_eq!(s.stuck_targets(), wanted, "{step}: stuck {stuck}, {status:?}, settled {settled}");
        }
    }
    let (s, ..) = run_of(UNSEEN).await;
    let changes = ["stop", "person", "none"].map(|step| s.changes_its_target(&StepId::new(step)));
    assert!(changes[0] && !changes[2], "{changes:?}");
}

#[tokio::test(start_paused = true)]
async fn it_is_waited_in_vain_where_nothing_but_what_cannot_be_read_is_missing() {
    let (mut s, ..) = loss().await;
    take(&mut s, 110, seen("page", Healthy, 100, 110));
    take(&mut s, 110, seen("api", Healthy, 100, 110));
    s.unread.insert("servers".to_owned(), "token".to_owned());
    assert!(!s.waits_in_vain(110), "capacity decides nothing");
    s.unread.insert("page".to_owned(), "token".to_owned());
    assert!(s.waits_in_vain(110));
    for health in [Unhealthy, Unknown] {
        take(&mut s, 210, seen("api", health, 200, 210));
        assert!(!s.waits_in_vain(210), "{health:?}: it may get healthy");
    }
    s.unread.insert("api".to_owned(), "token".to_owned());
    assert!(s.waits_in_vain(210), "none can be read");
}
