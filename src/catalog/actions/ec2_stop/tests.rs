//! Stopping and starting again on the simulator, with everything that can go wrong on the way.

use serde_json::Value;

use super::*;
use crate::catalog::DynAction;
use crate::catalog::actions::testing::{Bench, instance};
use crate::cloud::faulty::Fault;
use crate::cloud::misread::Misread;
use crate::model::Clock as _;
use crate::model::time::VirtualClock;

const ACTION: StopInstances = StopInstances;
const ZONE: &str = "us-east-1a";

fn several(bench: &Bench, n: usize) -> Vec<Target> {
    (0..n).map(|_| instance(&bench.instance(&bench.a))).collect()
}

#[tokio::test(start_paused = true)]
async fn what_ran_runs_again_and_what_was_stopped_stays_stopped() {
    let bench = Bench::new();
    let targets = several(&bench, 3);
    bench.sim.edit_instance(&targets[1].id, |i, _| "stopped".clone_into(&mut i.state));
    let before = bench.sim.snapshot();
    let batch = bench.prepare(&ACTION, &targets, &Value::Null).await;
    assert!(bench.apply(&ACTION, &batch, &Value::Null).await.iter().all(Result::is_ok));
    assert_eq!(bench.sent("ec2:StopInstances"), 1);
    let asked = bench.sim.changes()[0].change.as_ref().expect("a change").to_string();
    assert!(!asked.contains(&targets[1].id), "what does not run is not stopped: {asked}");
    for p in &batch {
        bench.ready(&ACTION, p, &Value::Null).await;
    }
    assert!(matches!(bench.undo(&ACTION, &batch[0]).await, Ok(Undone::PutBack(_))));
    assert!(matches!(bench.undo(&ACTION, &batch[1]).await, Ok(Undone::Nothing(_))));
    assert!(matches!(bench.undo(&ACTION, &batch[2]).await, Ok(Undone::PutBack(_))));
    assert_eq!(bench.sim.snapshot(), before);
    assert!(matches!(bench.undo(&ACTION, &batch[0]).await, Ok(Undone::Already(_))), "undo twice");
    assert_eq!(bench.sent("ec2:StartInstances"), 2);
}

#[tokio::test(start_paused = true)]
async fn undo_waits_for_an_instance_that_is_still_stopping() {
    let bench = Bench::new();
    let before = {
        let targets = several(&bench, 1);
        let before = bench.sim.snapshot();
        let batch = bench.prepare(&ACTION, &targets, &Value::Null).await;
        bench.apply(&ACTION, &batch, &Value::Null).await.remove(0).expect("accepted");
        assert!(matches!(bench.undo(&ACTION, &batch[0]).await, Ok(Undone::PutBack(_))));
        before
    };
    assert_eq!(bench.sim.snapshot(), before);
    assert_eq!(bench.sent("ec2:StartInstances"), 1, "not sent while it was stopping");
}

#[tokio::test(start_paused = true)]
async fn undo_of_what_was_never_applied_changes_nothing() {
    let bench = Bench::new();
    let batch = bench.prepare(&ACTION, &several(&bench, 1), &Value::Null).await;
    assert_eq!(bench.outcome(&ACTION, &batch[0], &Value::Null).await, Ok(Progress::Absent));
    assert!(matches!(bench.undo(&ACTION, &batch[0]).await, Ok(Undone::Nothing(_))));
    assert!(bench.sim.changes().is_empty());
}

#[tokio::test(start_paused = true)]
async fn lost_answers_and_lost_requests() {
    let mut bench = Bench::new();
    let targets = several(&bench, 2);
    let before = bench.sim.snapshot();
    let batch = bench.prepare(&ACTION, &targets, &Value::Null).await;
    bench.fail_once("ec2:StopInstances", Fault::LoseRequest);
    for outcome in bench.apply(&ACTION, &batch, &Value::Null).await {
        assert_eq!(outcome.expect_err("no answer").effect, EffectCertainty::Unknown);
    }
    assert_eq!(bench.outcome(&ACTION, &batch[0], &Value::Null).await, Ok(Progress::Absent));
    bench.fail_once("ec2:StopInstances", Fault::LoseAnswer);
    assert!(bench.apply(&ACTION, &batch, &Value::Null).await.iter().all(Result::is_ok));
    bench.ready(&ACTION, &batch[0], &Value::Null).await;
    for fault in [Fault::LoseAnswer, Fault::LoseRequest] {
        bench.fail_once("ec2:StartInstances", fault);
        let p = if fault == Fault::LoseAnswer { &batch[0] } else { &batch[1] };
        assert!(matches!(bench.undo(&ACTION, p).await, Ok(Undone::PutBack(_))));
    }
    assert_eq!(bench.sim.snapshot(), before);
}

#[tokio::test(start_paused = true)]
async fn missing_capacity_is_waited_for_until_the_drill_gives_up() {
    let mut bench = Bench::new();
    let batch = bench.prepare(&ACTION, &several(&bench, 1), &Value::Null).await;
    bench.apply(&ACTION, &batch, &Value::Null).await.remove(0).expect("accepted");
    bench.ready(&ACTION, &batch[0], &Value::Null).await;
    bench.sim.set_capacity(ZONE, false);
    bench.give_up = Dur::mins(30);
    let start = bench.clock.stamp().mono_ms;
    let error = bench.undo(&ACTION, &batch[0]).await.expect_err("no capacity");
    assert_eq!((error.kind, error.effect), (Some(ErrorKind::Capacity), EffectCertainty::None));
    assert!(bench.clock.stamp().mono_ms - start >= 30 * 60_000, "it waited as long as it may");
    assert!(bench.sent("ec2:StartInstances") < 60, "with growing waits");

    let sim = bench.sim.clone();
    tokio::spawn(async move {
        tokio::time::sleep(std::time::Duration::from_secs(600)).await;
        sim.set_capacity(ZONE, true);
    });
    assert!(matches!(bench.undo(&ACTION, &batch[0]).await, Ok(Undone::PutBack(_))));
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_somebody_terminated_needs_a_person() {
    let bench = Bench::new();
    let targets = several(&bench, 1);
    let batch = bench.prepare(&ACTION, &targets, &Value::Null).await;
    bench.apply(&ACTION, &batch, &Value::Null).await.remove(0).expect("accepted");
    bench.somebody(Mutation::TerminateInstances { ids: vec![targets[0].id.clone()] }).await;
    assert!(bench.undo(&ACTION, &batch[0]).await.expect_err("gone").hopeless);
    assert!(bench.outcome(&ACTION, &batch[0], &Value::Null).await.expect_err("gone").hopeless);
}

#[tokio::test(start_paused = true)]
async fn a_member_that_cannot_be_stopped_does_not_save_the_others() {
    let bench = Bench::new();
    let targets = several(&bench, 8);
    bench.sim.protect_from_stop(&targets[5].id);
    let batch = bench.prepare(&ACTION, &targets, &Value::Null).await;
    let outcomes = bench.apply(&ACTION, &batch, &Value::Null).await;
    for (i, outcome) in outcomes.iter().enumerate() {
        assert_eq!(outcome.is_ok(), i != 5, "{i}: {outcome:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn inspect_refuses_what_would_not_come_back() {
    let bench = Bench::new();
    let targets = several(&bench, 7);
    let id = |n: usize| targets[n].id.as_str();
    bench.sim.add_group("bare", &[id(0)], &["ReplaceUnhealthy", "Terminate"]);
    bench.sim.add_group("calm", &[id(1)], &MUST_REST);
    bench.sim.edit_instance(id(2), |i, _| i.root_device_type = "instance-store".to_owned());
    bench.sim.make_spot(id(3), "one-time");
    bench.sim.make_spot(id(4), "persistent");
    bench.sim.protect_from_stop(id(5));
    bench.sim.edit_instance(id(6), |i, _| i.public_ip = Some("203.0.113.9".to_owned()));
    let findings = bench.inspect(&ACTION, &targets, &Value::Null).await;
    let refused: Vec<&str> =
        findings.iter().filter(|f| f.severity == Severity::Refusal).map(|f| f.subject.as_str()).collect();
    assert_eq!(refused, [id(0), id(2), id(3), id(5)], "{findings:?}");
    assert!(findings[0].text.contains("HealthCheck not suspended"), "{}", findings[0].text);
    assert!(findings.iter().any(|f| f.subject == id(6) && f.text.contains("not an Elastic IP")));
}

#[tokio::test(start_paused = true)]
async fn what_a_group_must_not_do_is_enough_and_not_more_than_enough() {
    // stopped and started again, then everything is resumed: with all three the member lives, with one less it does not
    for left_out in [None, Some(0), Some(1)] {
        let bench = Bench::new();
        let targets = several(&bench, 1);
        let id = targets[0].id.as_str();
        let rest: Vec<&str> =
            MUST_REST.iter().enumerate().filter(|(i, _)| Some(*i) != left_out).map(|(_, p)| *p).collect();
        bench.sim.add_group("web", &[id], &rest);
        let batch = bench.prepare(&ACTION, &targets, &Value::Null).await;
        bench.apply(&ACTION, &batch, &Value::Null).await.remove(0).expect("accepted");
        bench.ready(&ACTION, &batch[0], &Value::Null).await;
        tokio::time::sleep(std::time::Duration::from_secs(600)).await;
        let undone = bench.undo(&ACTION, &batch[0]).await.expect("started");
        let Undone::PutBack(text) = undone else { panic!("{undone:?}") };
        // what is marked is told, with the way out
        assert_eq!(text.contains("set-instance-health"), left_out == Some(0), "{left_out:?}: {text}");
        bench.sim.suspend("web", &[]);
        tokio::time::sleep(std::time::Duration::from_secs(600)).await;
        let lives =
            look::instance(bench.read(), id).await.expect("reads").is_some_and(|i| i.state == "running");
        assert_eq!(lives, left_out != Some(0), "{left_out:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_that_arrives_late_is_still_undone() {
    let mut bench = Bench::new();
    let targets = several(&bench, 1);
    let before = bench.sim.snapshot();
    let batch = bench.prepare(&ACTION, &targets, &Value::Null).await;
    bench.fail_once("ec2:StopInstances", Fault::LoseRequest);
    bench.apply(&ACTION, &batch, &Value::Null).await.remove(0).expect_err("no answer");
    let (mutate, ids) = (bench.sim.cloud().mutate, vec![targets[0].id.clone()]);
    tokio::spawn(async move {
        tokio::time::sleep(std::time::Duration::from_secs(3)).await;
        mutate.send(&Mutation::StopInstances { ids }).await.expect("accepted");
    });
    assert!(matches!(bench.undo(&ACTION, &batch[0]).await, Ok(Undone::PutBack(_))));
    assert_eq!(bench.sim.snapshot(), before);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_one_look_does_not_find_is_started_all_the_same() {
    for at in 0..16 {
        let mut bench = Bench::new();
        let targets = several(&bench, 1);
        let before = bench.sim.snapshot();
        let batch = bench.prepare(&ACTION, &targets, &Value::Null).await;
        bench.apply(&ACTION, &batch, &Value::Null).await.remove(0).expect("accepted");
        bench.misread(move |n, _| (n == at).then_some(Misread::NotFound));
        bench.ready(&ACTION, &batch[0], &Value::Null).await;
        let done = bench.undo(&ACTION, &batch[0]).await;
        assert!(matches!(done, Ok(Undone::PutBack(_))), "{at}: {done:?}");
        assert_eq!(bench.sim.snapshot(), before, "{at}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_not_listed_for_minutes_is_not_called_terminated() {
    let mut bench = Bench::new();
    let targets = [instance(&bench.instance(&bench.a))];
    let batch = bench.prepare(&ACTION, &targets, &Value::Null).await;
    bench.apply(&ACTION, &batch, &Value::Null).await.remove(0).expect("accepted");
    bench.ready(&ACTION, &batch[0], &Value::Null).await;
    let clock = std::sync::Arc::new(VirtualClock::starting_at(chrono::DateTime::UNIX_EPOCH));
    bench.misread(move |_, _| (clock.stamp().mono_ms < 180_000).then_some(Misread::NotFound));
    let poll = DynAction::poll(&ACTION, bench.read(), Some(&targets[0]), &batch[0].undo, &Value::Null).await;
    assert!(matches!(poll, Ok(Progress::Pending(_))), "{poll:?}");
    let done = bench.undo(&ACTION, &batch[0]).await;
    assert!(matches!(done, Ok(Undone::PutBack(_))), "{done:?}");

    // never listed again: unknown, and no advice to launch another one
    bench.misread(|_, _| Some(Misread::NotFound));
    let error = bench.undo(&ACTION, &batch[0]).await.expect_err("not seen");
    assert!(!error.hopeless && error.effect == EffectCertainty::Unknown, "{error}");
    assert!(error.hint.is_some_and(|h| h.contains("start-instances") && !h.contains("replacement")));
    bench.t0 = Some(bench.clock.now() - chrono::TimeDelta::hours(2));
    assert!(bench.undo(&ACTION, &batch[0]).await.expect_err("forgotten").hopeless);
}

#[tokio::test(start_paused = true)]
async fn where_nothing_runs_nothing_is_sent_and_the_plan_says_so() {
    let bench = Bench::new();
    let targets = several(&bench, 1);
    bench.sim.edit_instance(&targets[0].id, |i, _| "stopped".clone_into(&mut i.state));
    let found = bench.inspect(&ACTION, &targets, &Value::Null).await;
    assert!(found.iter().any(|f| f.text.contains("does nothing to it")), "{found:?}");
    let batch = bench.prepare(&ACTION, &targets, &Value::Null).await;
    assert!(bench.apply(&ACTION, &batch, &Value::Null).await[0].is_ok());
    bench.ready(&ACTION, &batch[0], &Value::Null).await;
    assert_eq!(bench.sim.changes().len(), 0, "a run of it alone sends nothing, and does not pass");
}

#[tokio::test(start_paused = true)]
async fn a_stop_that_erases_disks_is_refused_unless_the_drill_allows_what_cannot_be_undone() {
    let mut bench = Bench::new();
    let targets = several(&bench, 2);
    bench.sim.edit_instance(&targets[0].id, |i, _| "c5d.large".clone_into(&mut i.instance_type));
    let refused = bench.refusals(&ACTION, &targets, &Value::Null).await;
    assert!(refused.len() == 1 && refused[0].contains("c5d.large has instance-store volumes"), "{refused:?}");
    bench.irreversible = true;
    let found = bench.inspect(&ACTION, &targets, &Value::Null).await;
    let found: Vec<_> = found.iter().filter(|f| f.text.contains("instance-store volumes")).collect();
    assert!(found.len() == 1 && found[0].severity == Severity::Warning, "{found:?}");
    // what is stopped already has nothing on them
    bench.irreversible = false;
    bench.sim.edit_instance(&targets[0].id, |i, _| "stopped".clone_into(&mut i.state));
    assert_eq!(bench.refusals(&ACTION, &targets, &Value::Null).await, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn the_fault_is_effective_when_the_stop_has_begun_and_undo_waits_for_its_end() {
    let bench = Bench::new();
    bench.sim.tune(|pace| pace.instance_stop = Dur::mins(8));
    let targets = several(&bench, 1);
    let before = bench.sim.snapshot();
    let batch = bench.prepare(&ACTION, &targets, &Value::Null).await;
    bench.apply(&ACTION, &batch, &Value::Null).await.remove(0).expect("accepted");
    let began = bench.clock.stamp().mono_ms;
    let ready = bench.ready(&ACTION, &batch[0], &Value::Null).await;
    assert!(bench.clock.stamp().mono_ms - began < 30_000, "AWS's eight minutes are not waited for");
    assert!(ready.notes[0].contains("is stopping; it was running"), "{:?}", ready.notes);
    assert!(matches!(bench.undo(&ACTION, &batch[0]).await, Ok(Undone::PutBack(_))));
    assert_eq!(bench.sim.snapshot(), before);
}

#[tokio::test(start_paused = true)]
async fn where_no_outage_is_expected_the_stop_has_come_to_its_end() {
    let mut bench = Bench::new();
    bench.no_impact = true;
    bench.sim.tune(|pace| pace.instance_stop = Dur::mins(8));
    let batch = bench.prepare(&ACTION, &several(&bench, 1), &Value::Null).await;
    bench.apply(&ACTION, &batch, &Value::Null).await.remove(0).expect("accepted");
    let began = bench.clock.stamp().mono_ms;
    let ready = bench.ready(&ACTION, &batch[0], &Value::Null).await;
    assert!(bench.clock.stamp().mono_ms - began >= 8 * 60_000, "until then it may answer");
    assert!(ready.notes[0].contains("is stopped; it was running"), "{:?}", ready.notes);
}

#[tokio::test(start_paused = true)]
async fn what_somebody_stopped_again_is_not_started() {
    // where nothing is known of the start before, one that is dated about when the stop was answered may be that one
    for (later, known, is_theirs) in
        [(Dur::secs(50), false, false), (Dur::mins(30), false, true), (Dur::secs(50), true, true)]
    {
        let bench = Bench::new();
        let mut batch = bench.prepare(&ACTION, &several(&bench, 1), &Value::Null).await;
        assert!(!batch[0].undo["launched"].is_null());
        if !known {
            batch[0].undo.as_object_mut().expect("fields").remove("launched");
        }
        bench.apply(&ACTION, &batch, &Value::Null).await.remove(0).expect("accepted");
        let at = bench.clock.now() + TimeDelta::milliseconds(later.ms());
        tokio::time::sleep(Duration::from_secs(3_600)).await;
        let id = batch[0].target.as_ref().expect("one").id.clone();
        bench.sim.edit_instance(&id, |i, _| i.launched_at = Some(at));
        match bench.undo(&ACTION, &batch[0]).await {
            Ok(Undone::PutBack(_)) => assert!(!is_theirs, "{later}"),
            Err(e) => assert!(is_theirs && e.message.contains("and then stopped again"), "{later}: {e:?}"),
            other => panic!("{later}: {other:?}"),
        }
        assert_eq!(bench.sent("ec2:StartInstances"), usize::from(!is_theirs), "{later}");
    }
}

/// Somebody starts it and stops it again, and takes their time.
async fn started_and_stopped(bench: &Bench, id: &str) {
    for change in [
        Mutation::StartInstances { ids: vec![id.to_owned()] },
        Mutation::StopInstances { ids: vec![id.to_owned()] },
    ] {
        tokio::time::sleep(Duration::from_secs(600)).await;
        bench.somebody(change).await;
    }
    tokio::time::sleep(Duration::from_secs(600)).await;
}

#[tokio::test(start_paused = true)]
async fn what_a_person_stopped_stays_so_however_often_the_run_is_rolled_back() {
    let bench = Bench::new();
    let batch = bench.prepare(&ACTION, &several(&bench, 2), &Value::Null).await;
    assert!(bench.apply(&ACTION, &batch, &Value::Null).await.iter().all(Result::is_ok));
    let theirs = batch[1].target.as_ref().expect("one").id.clone();
    started_and_stopped(&bench, &theirs).await;
    // the start of another server of the step is none of this one
    assert!(matches!(bench.undo(&ACTION, &batch[0]).await, Ok(Undone::PutBack(_))));
    for _ in 0..3 {
        let error = bench.undo(&ACTION, &batch[1]).await.expect_err("somebody's");
        assert!(error.hopeless && error.message.contains("and then stopped again"), "{error}");
    }
    assert_eq!(bench.sent("ec2:StartInstances"), 2, "the person's, and that of the other server");

    // nor does the run's own start excuse a stop after it
    let own = batch[0].target.as_ref().expect("one").id.clone();
    tokio::time::sleep(Duration::from_secs(600)).await;
    bench.somebody(Mutation::StopInstances { ids: vec![own] }).await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    let error = bench.undo(&ACTION, &batch[0]).await.expect_err("somebody's");
    assert!(error.hopeless && error.message.contains("after this run had started it again"), "{error}");
    assert_eq!(bench.sent("ec2:StartInstances"), 2);
}

#[tokio::test(start_paused = true)]
async fn what_the_run_has_sent_no_stop_for_is_not_started() {
    let mut bench = Bench::new();
    let batch = bench.prepare(&ACTION, &several(&bench, 3), &Value::Null).await;
    bench.apply(&ACTION, &batch[..1], &Value::Null).await.remove(0).expect("accepted");
    bench.fail_once("ec2:StopInstances", Fault::Deny);
    bench.apply(&ACTION, &batch[1..2], &Value::Null).await.remove(0).expect_err("denied");
    for p in &batch[1..] {
        let id = p.target.as_ref().expect("one").id.clone();
        bench.somebody(Mutation::StopInstances { ids: vec![id] }).await;
    }
    tokio::time::sleep(Duration::from_secs(600)).await;
    for p in &batch[1..] {
        let done = bench.undo(&ACTION, p).await;
        assert!(matches!(&done, Ok(Undone::Nothing(text)) if text.contains("no call for it")), "{done:?}");
    }
    assert!(matches!(bench.undo(&ACTION, &batch[0]).await, Ok(Undone::PutBack(_))));
    assert_eq!(bench.sent("ec2:StartInstances"), 1);
}

/// A stop on record that does not say of what.
struct Unsaid(crate::catalog::action::SentCall);

impl crate::catalog::action::Calls for Unsaid {
    fn sent(&self) -> Vec<crate::catalog::action::SentCall> {
        vec![self.0.clone()]
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_on_record_that_does_not_say_what_it_names_may_have_named_it() {
    let bench = Bench::new();
    let call = |params: Value, refused| {
        Unsaid(crate::catalog::action::SentCall {
            step: bench.read().step.clone(),
            operation: STOP.to_owned(),
            params,
            sent: bench.clock.now(),
            answered: None,
            outcome: None,
            refused,
        })
    };
    let ids = serde_json::json!({ "operation": STOP, "ids": ["i-1"] });
    for (params, refused, of_1, of_2) in
        [(Value::Null, false, true, true), (Value::Null, true, false, false), (ids, false, true, false)]
    {
        let calls = call(params, refused);
        let cx = ReadCx { calls: &calls, ..bench.read() };
        let sent = |id| !look::sent_for(cx, STOP, (What::Instance, id)).is_empty();
        assert_eq!((sent("i-1"), sent("i-2")), (of_1, of_2));
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_run_itself_terminated_is_no_somebody_elses() {
    let mut bench = Bench::new();
    let batch = bench.prepare(&ACTION, &several(&bench, 1), &Value::Null).await;
    bench.apply(&ACTION, &batch, &Value::Null).await.remove(0).expect("accepted");
    bench.ready(&ACTION, &batch[0], &Value::Null).await;
    bench.step("lose");
    let ids = vec![batch[0].target.as_ref().expect("one").id.clone()];
    bench.write().gate.send(Mutation::TerminateInstances { ids }).await.expect("accepted");
    tokio::time::sleep(Duration::from_secs(300)).await;
    bench.step("step-1");
    let done = bench.undo(&ACTION, &batch[0]).await;
    assert!(
        matches!(&done, Ok(Undone::Nothing(text)) if text.contains("step `lose` of this run")),
        "{done:?}"
    );
    assert!(bench.ready(&ACTION, &batch[0], &Value::Null).await.notes[0].contains("terminated"));
    // hours later, when EC2 does not list it any more
    bench.t0 = Some(bench.clock.now() - chrono::TimeDelta::hours(2));
    bench.misread(|_, _| Some(Misread::NotFound));
    assert!(matches!(bench.undo(&ACTION, &batch[0]).await, Ok(Undone::Nothing(_))));
    assert_eq!(bench.sent("ec2:StartInstances"), 0);
}

#[tokio::test(start_paused = true)]
async fn why_aws_did_not_go_through_with_a_start_is_told() {
    let bench = Bench::new();
    let batch = bench.prepare(&ACTION, &several(&bench, 1), &Value::Null).await;
    bench.apply(&ACTION, &batch, &Value::Null).await.remove(0).expect("accepted");
    bench.ready(&ACTION, &batch[0], &Value::Null).await;
    bench.sim.withdraw(&format!("start in {ZONE}"));
    let error = bench.undo(&ACTION, &batch[0]).await.expect_err("it does not start");
    assert!(error.message.contains("(Server.InsufficientInstanceCapacity)"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn what_was_shut_down_from_within_after_its_start_stays_so() {
    for (reason, is_theirs) in
        [("Client.InstanceInitiatedShutdown", true), ("Client.UserInitiatedShutdown", false)]
    {
        let bench = Bench::new();
        let batch = bench.prepare(&ACTION, &several(&bench, 1), &Value::Null).await;
        bench.apply(&ACTION, &batch, &Value::Null).await.remove(0).expect("accepted");
        let id = batch[0].target.as_ref().expect("one").id.clone();
        assert!(matches!(bench.undo(&ACTION, &batch[0]).await, Ok(Undone::PutBack(_))));
        tokio::time::sleep(Duration::from_secs(600)).await;
        bench.somebody(Mutation::StopInstances { ids: vec![id.clone()] }).await;
        tokio::time::sleep(Duration::from_secs(600)).await;
        // AWS gives no time where a shutdown came from within, and need not give one for any
        bench.sim.edit_instance(&id, |i, _| (i.stopped_at, i.state_reason) = (None, Some(reason.to_owned())));
        let done = bench.undo(&ACTION, &batch[0]).await;
        match is_theirs {
            true => assert!(done.expect_err("theirs").message.contains("shut down from within")),
            false => assert!(matches!(done, Ok(Undone::PutBack(_))), "{done:?}"),
        }
    }
}
