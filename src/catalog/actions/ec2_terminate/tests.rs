//! Terminating on the simulator: batches with a culprit, lost answers, refusals.

use serde_json::Value;

use super::*;
use crate::catalog::actions::testing::{Bench, instance};
use crate::cloud::EffectCertainty;
use crate::cloud::faulty::Fault;
use crate::cloud::misread::Misread;
use crate::model::Clock as _;

const TERMINATE: &str = "ec2:TerminateInstances";
const ACTION: TerminateInstances = TerminateInstances;

async fn state(bench: &Bench, id: &str) -> String {
    look::instance(bench.read(), id).await.expect("reads").map_or("gone".to_owned(), |i| i.state)
}

fn several(bench: &Bench, subnet: &str, n: usize) -> Vec<Target> {
    (0..n).map(|_| instance(&bench.instance(subnet))).collect()
}

#[tokio::test(start_paused = true)]
async fn a_whole_batch_goes_with_one_call_and_vanishes_in_the_end() {
    let mut bench = Bench::new();
    bench.t0 = Some(bench.clock.now());
    let targets = several(&bench, &bench.a, 120);
    let batch = bench.prepare(&ACTION, &targets, &Value::Null).await;
    assert!(bench.apply(&ACTION, &batch, &Value::Null).await.iter().all(Result::is_ok));
    assert_eq!(bench.sent(TERMINATE), 1);
    let applied = bench.ready(&ACTION, &batch[7], &Value::Null).await;
    assert!(applied.notes[1].contains("vol-"), "the destroyed volume is named: {applied:?}");
    tokio::time::sleep(std::time::Duration::from_secs(2 * 3600)).await;
    assert_eq!(state(&bench, &targets[7].id).await, "gone");
    bench.ready(&ACTION, &batch[7], &Value::Null).await;
    assert!(matches!(bench.undo(&ACTION, &batch[7]).await, Ok(Undone::Irreversible(_))));
}

#[tokio::test(start_paused = true)]
async fn a_protected_member_stands_alone_and_the_others_go() {
    let bench = Bench::new();
    let mut targets = several(&bench, &bench.a, 20);
    targets.extend(several(&bench, &bench.b, 20));
    bench.sim.protect(&targets[3].id);
    let batch = bench.prepare(&ACTION, &targets, &Value::Null).await;
    let outcomes = bench.apply(&ACTION, &batch, &Value::Null).await;
    for (i, outcome) in outcomes.iter().enumerate() {
        assert_eq!(outcome.is_ok(), i != 3, "{i}: {outcome:?}");
    }
    let error = outcomes[3].as_ref().expect_err("protected");
    assert_eq!(error.effect, EffectCertainty::None);
    assert_eq!(state(&bench, &targets[3].id).await, "running");
    // all; then the culprit by itself and the rest of its zone
    assert_eq!(bench.sent(TERMINATE), 3);
    assert_eq!(bench.outcome(&ACTION, &batch[3], &Value::Null).await, Ok(Progress::Absent));
}

#[tokio::test(start_paused = true)]
async fn an_id_that_vanished_does_not_save_the_others() {
    let bench = Bench::new();
    let targets = several(&bench, &bench.a, 5);
    let mut batch = bench.prepare(&ACTION, &targets, &Value::Null).await;
    batch[2].undo["id"] = "i-00000000000000bad".into();
    let outcomes = bench.apply(&ACTION, &batch, &Value::Null).await;
    assert_eq!(outcomes.iter().filter(|o| o.is_ok()).count(), 4);
    let error = outcomes[2].as_ref().expect_err("does not exist");
    assert_eq!((error.kind, error.effect), (Some(ErrorKind::NotFound), EffectCertainty::None));
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_no_failure_and_a_lost_request_is_unknown() {
    let mut bench = Bench::new();
    let targets = several(&bench, &bench.a, 3);
    let batch = bench.prepare(&ACTION, &targets, &Value::Null).await;
    bench.fail_once(TERMINATE, Fault::LoseRequest);
    for outcome in bench.apply(&ACTION, &batch, &Value::Null).await {
        assert_eq!(outcome.expect_err("no answer").effect, EffectCertainty::Unknown);
    }
    assert_eq!(bench.sent(TERMINATE), 0, "what is unknown is not sent again");
    assert_eq!(bench.outcome(&ACTION, &batch[0], &Value::Null).await, Ok(Progress::Absent));
    bench.fail_once(TERMINATE, Fault::LoseAnswer);
    assert!(bench.apply(&ACTION, &batch, &Value::Null).await.iter().all(Result::is_ok));
    bench.ready(&ACTION, &batch[0], &Value::Null).await;
}

#[tokio::test(start_paused = true)]
async fn a_denial_is_not_repeated_for_every_member() {
    let mut bench = Bench::new();
    let targets = several(&bench, &bench.a, 50);
    let batch = bench.prepare(&ACTION, &targets, &Value::Null).await;
    let calls = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = calls.clone();
    bench.faulty(move |_, _| {
        counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        Some(Fault::Deny)
    });
    for outcome in bench.apply(&ACTION, &batch, &Value::Null).await {
        assert_eq!(outcome.expect_err("denied").effect, EffectCertainty::None);
    }
    assert_eq!(calls.load(std::sync::atomic::Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn prepare_refuses_what_is_terminated_already() {
    let bench = Bench::new();
    let targets = several(&bench, &bench.a, 2);
    bench.somebody(Mutation::TerminateInstances { ids: vec![targets[0].id.clone()] }).await;
    let batch: Vec<_> = targets.iter().map(|t| (Some(t.clone()), Value::Null)).collect();
    let records = crate::catalog::DynAction::prepare(&ACTION, bench.read(), &batch, &Value::Null).await;
    assert!(records[0].as_ref().expect_err("ended").message.contains("already shutting-down"));
    assert!(records[1].is_ok());
}

#[tokio::test(start_paused = true)]
async fn inspect_refuses_members_and_protected_ones_and_lists_the_losses() {
    let bench = Bench::new();
    let targets = several(&bench, &bench.a, 4);
    let id = |n: usize| targets[n].id.as_str();
    bench.sim.add_group("web", &[id(0)], &[]);
    bench.sim.protect(id(1));
    bench.sim.add_address("198.51.100.7", Some(id(2)));
    bench.sim.edit_instance(id(3), |i, _| {
        i.public_ip = Some("203.0.113.9".to_owned());
        i.root_device_type = "instance-store".to_owned();
    });
    bench.sim.make_spot(id(3), "persistent");
    bench.sim.edit_instance(id(2), |i, _| i.settings.staying = vec!["eni-7".to_owned()]);
    let refused = bench.refusals(&ACTION, &targets, &Value::Null).await;
    assert_eq!(refused.len(), 2, "{refused:?}");
    assert!(refused[0].contains("Auto Scaling group web") && refused[1].contains("protection"));
    let findings = bench.inspect(&ACTION, &targets, &Value::Null).await;
    for (subject, text) in [
        (id(2), "Elastic IP 198.51.100.7"),
        (id(2), "destroyed with the instance (DeleteOnTermination)"),
        (id(2), "network interface eni-7 is left, with its address: DeleteOnTermination is off"),
        (id(3), "203.0.113.9 is not an Elastic IP"),
        (id(3), "instance store"),
        (id(3), "persistent Spot request"),
    ] {
        assert!(
            findings.iter().any(|f| f.subject == subject && f.text.contains(text)),
            "{text}: {findings:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_one_look_does_not_find_is_not_taken_for_terminated() {
    for at in 0..6 {
        let mut bench = Bench::new();
        let targets = several(&bench, &bench.a, 1);
        let batch = bench.prepare(&ACTION, &targets, &Value::Null).await;
        bench.fail_once(TERMINATE, Fault::LoseRequest);
        bench.apply(&ACTION, &batch, &Value::Null).await.remove(0).expect_err("no answer");
        bench.misread(move |n, _| (n == at).then_some(Misread::NotFound));
        assert_eq!(bench.outcome(&ACTION, &batch[0], &Value::Null).await, Ok(Progress::Absent), "{at}");
        assert_eq!(state(&bench, &targets[0].id).await, "running");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_not_listed_within_the_hour_is_not_taken_for_terminated() {
    let mut bench = Bench::new();
    bench.t0 = Some(bench.clock.now());
    let targets = several(&bench, &bench.a, 1);
    let batch = bench.prepare(&ACTION, &targets, &Value::Null).await;
    bench.misread(|_, _| Some(Misread::NotFound));
    let poll = crate::catalog::DynAction::poll(
        &ACTION,
        bench.read(),
        Some(&targets[0]),
        &batch[0].undo,
        &Value::Null,
    );
    assert_eq!(poll.await, Ok(Progress::Pending("not listed".to_owned())));
}

#[tokio::test(start_paused = true)]
async fn the_fault_is_effective_when_the_end_has_begun() {
    let bench = Bench::new();
    bench.sim.tune(|pace| pace.instance_terminate = Dur::mins(8));
    let batch = bench.prepare(&ACTION, &several(&bench, &bench.a, 1), &Value::Null).await;
    bench.apply(&ACTION, &batch, &Value::Null).await.remove(0).expect("accepted");
    let began = bench.clock.stamp().mono_ms;
    let ready = bench.ready(&ACTION, &batch[0], &Value::Null).await;
    assert!(bench.clock.stamp().mono_ms - began < 30_000, "AWS's eight minutes are not waited for");
    assert!(ready.notes[0].ends_with("is shutting-down"), "{:?}", ready.notes);
}

#[tokio::test(start_paused = true)]
async fn disks_of_the_instance_itself_are_told_and_addresses_are_read_where_there_are_any() {
    let bench = Bench::new();
    let targets = several(&bench, &bench.a, 2);
    bench.sim.edit_instance(&targets[1].id, |i, _| "i4i.large".clone_into(&mut i.instance_type));
    let findings = bench.inspect(&ACTION, &targets, &Value::Null).await;
    let told: Vec<&str> =
        findings.iter().filter(|f| f.text.contains("instance-store")).map(|f| f.subject.as_str()).collect();
    assert_eq!(told, [targets[1].id.as_str()]);
    let asked = bench.sim.calls().iter().filter(|c| c.operation == "ec2:DescribeAddresses").count();
    assert_eq!(asked, 0, "neither has a public address");
}

#[tokio::test(start_paused = true)]
async fn where_no_outage_is_expected_the_instance_is_terminated() {
    let mut bench = Bench::new();
    bench.no_impact = true;
    bench.sim.tune(|pace| pace.instance_terminate = Dur::mins(8));
    let batch = bench.prepare(&ACTION, &several(&bench, &bench.a, 1), &Value::Null).await;
    bench.apply(&ACTION, &batch, &Value::Null).await.remove(0).expect("accepted");
    let began = bench.clock.stamp().mono_ms;
    let ready = bench.ready(&ACTION, &batch[0], &Value::Null).await;
    assert!(bench.clock.stamp().mono_ms - began >= 8 * 60_000, "until then it may answer");
    assert!(ready.notes[0].ends_with("is terminated"), "{:?}", ready.notes);
}
