//! Replacing a terminated instance on the simulator, with everything that can go wrong on the way.

use serde_json::{Value, json};

use super::*;
use crate::catalog::DynAction;
use crate::catalog::actions::testing::{Bench, instance};
use crate::cloud::InstanceAttribute;
use crate::cloud::faulty::Fault;
use crate::cloud::misread::Misread;
use crate::sim::InstanceSeed;

mod alike;
mod foreseen;
mod registered;
mod removed;
mod serving;

const ACTION: LaunchReplacement = LaunchReplacement;
const RUN: &str = "ec2:RunInstances";

struct Scene {
    bench: Bench,
    old: String,
    allocation: String,
    group: String,
    user_data: String,
}

/// A web server with user data, an Elastic IP and a registration.
fn scene(secret: &str) -> Scene {
    let bench = Bench::new();
    let old = bench.sim.add_instance(&InstanceSeed {
        name: "web-1".to_owned(),
        subnet: bench.a.clone(),
        instance_type: "m7g.large".to_owned(),
        security_groups: vec!["sg-1".to_owned()],
        tags: Tags::from([
            ("service".to_owned(), "shop".to_owned()),
            ("redrill:held".to_owned(), "somebody".to_owned()),
            ("aws:ec2launchtemplate:id".to_owned(), "lt-1".to_owned()),
        ]),
        user_data: Some(format!("#!/bin/sh\nTOKEN={secret}\n")),
    });
    let allocation = bench.sim.add_address("198.51.100.7", Some(&old));
    let group = bench.sim.add_target_group("web");
    for _ in 0..3 {
        bench.sim.add_target_group("other");
    }
    bench.sim.add_registration(&group, &old, 8080);
    let mut user_data = String::new();
    bench.sim.edit_instance(&old, |_, d| user_data = d.user_data.clone().unwrap_or_default());
    Scene { bench, old, allocation, group, user_data }
}

impl Scene {
    /// Captures and prepares; the original goes on.
    async fn beside(&self) -> Prepared<Value> {
        self.bench.prepare(&ACTION, &[instance(&self.old)], &Value::Null).await.remove(0)
    }

    /// Captures, terminates the original, prepares.
    async fn lost(&self, with: &Value) -> Prepared<Value> {
        let target = instance(&self.old);
        let captured = DynAction::capture(&ACTION, self.bench.read(), &target, with).await.expect("captures");
        self.bench.somebody(Mutation::TerminateInstances { ids: vec![self.old.clone()] }).await;
        tokio::time::sleep(Duration::from_secs(300)).await;
        let batch = [(Some(target.clone()), captured)];
        let undo =
            DynAction::prepare(&ACTION, self.bench.read(), &batch, with).await.remove(0).expect("prepares");
        Prepared { target: Some(target), undo }
    }

    async fn apply(&self, p: &Prepared<Value>) -> Result<Applied, ActionError> {
        self.bench.apply(&ACTION, std::slice::from_ref(p), &Value::Null).await.remove(0)
    }

    async fn replacements(&self) -> Vec<Instance> {
        let marks = Tags::from([(TAG_REPLACES.to_owned(), self.old.clone())]);
        tagged(self.bench.read(), &marks).await.expect("reads")
    }
}

#[tokio::test(start_paused = true)]
async fn the_replacement_takes_the_place_of_the_original() {
    let s = scene("place");
    // nothing in redrill knows these fields
    s.bench.sim.tell(&s.old, "quantumOptions.entangled", "true");
    let mut volume = String::new();
    s.bench.sim.edit_instance(&s.old, |i, _| volume.clone_from(&i.block_devices[0].volume));
    s.bench.sim.tell(&volume, "coldStorage", "frozen");
    let p = s.lost(&Value::Null).await;
    assert_eq!(s.bench.outcome(&ACTION, &p, &Value::Null).await, Ok(Progress::Absent));
    let applied = s.apply(&p).await.expect("launched");
    let ready = s.bench.ready(&ACTION, &p, &Value::Null).await;
    assert_eq!(applied.outputs, ready.outputs);
    let new = s.replacements().await.remove(0);
    assert_eq!(new.id, ready.outputs["instance_id"]);
    assert_eq!(new.private_ip.as_deref(), Some(ready.outputs["private_ip"].as_str()));
    assert_eq!((new.state.as_str(), new.instance_type.as_str()), ("running", "m7g.large"));
    assert_eq!(new.subnet.as_deref(), Some(s.bench.a.as_str()));
    assert_eq!(new.public_ip.as_deref(), Some("198.51.100.7"));
    assert_eq!(new.tags["service"], "shop");
    assert_eq!(new.tags["Name"], "web-1");
    assert!(!new.tags.keys().any(|k| k.starts_with("aws:") || k == target::TAG_HELD), "{:?}", new.tags);
    let ec2 = &s.bench.read().reads.ec2;
    let user_data = ec2.attribute(&new.id, InstanceAttribute::UserData).await.expect("reads");
    assert_eq!(user_data.as_ref(), Some(&s.user_data));
    let registered = s.bench.read().reads.elb.registrations(&s.group).await.expect("reads");
    assert!(registered.iter().any(|r| r.id == new.id && r.port == Some(8080)), "{registered:?}");
    let notes = ready.notes.join("\n");
    assert!(
        notes.contains("/dev/xvda: from the image") && notes.contains("aws:ec2launchtemplate:id"),
        "{notes}"
    );
    assert!(!notes.contains("public address"), "it has the Elastic IP: {notes}");
    let unknown =
        ["quantumOptions.entangled: none, was true", "volume[/dev/xvda].coldStorage: none, was frozen"];
    let fields: Vec<&String> = ready.notes.iter().filter(|n| n.contains(", was ")).collect();
    assert_eq!(fields, unknown, "these and no others");
}

#[tokio::test(start_paused = true)]
async fn user_data_reaches_no_record_and_no_call_log() {
    let s = scene("hunter2-records");
    let target = instance(&s.old);
    let captured =
        DynAction::capture(&ACTION, s.bench.read(), &target, &Value::Null).await.expect("captures");
    let p = s.lost(&Value::Null).await;
    s.apply(&p).await.expect("launched");
    let log = format!("{captured}{}{:?}", p.undo, s.bench.sim.changes());
    assert!(!log.contains(&s.user_data) && !log.contains("hunter2"), "{log}");
}

#[tokio::test(start_paused = true)]
async fn without_its_user_data_nothing_is_launched() {
    let s = scene("lost");
    let mut p = s.lost(&Value::Null).await;
    p.undo["original"]["user_data_sha256"] = "00".repeat(32).into();
    let error = s.apply(&p).await.expect_err("user data is lost");
    assert_eq!(error.effect, EffectCertainty::None);
    assert!(error.message.contains("user data") && error.hint.is_some(), "{error}");
    assert_eq!(s.bench.sent(RUN), 0);
}

#[tokio::test(start_paused = true)]
async fn another_process_reads_the_user_data_again_while_aws_still_tells() {
    let s = scene("another-process");
    let p = s.lost(&Value::Null).await;
    s.bench.sim.forget_kept();
    s.apply(&p).await.expect("launched");
    let new = s.replacements().await.remove(0);
    let ec2 = &s.bench.read().reads.ec2;
    let user_data = ec2.attribute(&new.id, InstanceAttribute::UserData).await.expect("reads");
    assert_eq!(user_data.as_ref(), Some(&s.user_data));

    let s = scene("another-process-too-late");
    let p = s.lost(&Value::Null).await;
    s.bench.sim.forget_kept();
    tokio::time::sleep(Duration::from_secs(2 * 3600)).await;
    assert!(s.apply(&p).await.expect_err("too late").message.contains("is lost"));
    assert!(s.replacements().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_launches_once() {
    let mut s = scene("answer");
    let p = s.lost(&Value::Null).await;
    s.bench.fail_once(RUN, Fault::LoseAnswer);
    s.apply(&p).await.expect("found by its tags");
    s.bench.mended();
    s.apply(&p).await.expect("repeatable");
    assert_eq!(s.replacements().await.len(), 1);
    assert_eq!(s.bench.sent(RUN), 1);
    assert_eq!(s.bench.sent("ec2:AssociateAddress"), 1);
    assert_eq!(s.bench.sent("elasticloadbalancing:RegisterTargets"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_launch_that_was_never_answered_and_shows_late_is_removed() {
    let mut s = scene("late");
    let p = s.beside().await;
    s.bench.sim.tune(|pace| pace.consistency = Dur::secs(60));
    s.bench.fail_once(RUN, Fault::LoseAnswer);
    assert_eq!(s.apply(&p).await.expect_err("no answer").effect, EffectCertainty::Unknown);
    let done = s.bench.undo(&ACTION, &p).await;
    assert!(matches!(done, Ok(Undone::PutBack(_))), "{done:?}");
    let left = s.replacements().await;
    assert!(left.len() == 1 && left[0].state == "terminated", "{left:?}");
}

#[tokio::test(start_paused = true)]
async fn a_fleet_is_captured_with_one_pause_and_its_target_groups_are_read_once_a_look() {
    let s = scene("fleet");
    s.bench.sim.set_page_size(1_000);
    let mut fleet = vec![instance(&s.old)];
    fleet.extend((0..20).map(|n| {
        let seed =
            InstanceSeed { name: format!("web-{n}"), subnet: s.bench.a.clone(), ..InstanceSeed::default() };
        instance(&s.bench.sim.add_instance(&seed))
    }));
    fleet.push(instance("i-0123456789abcdef0"));
    let (began, before) = (s.bench.read().clock.stamp().mono_ms, s.bench.sim.calls().len());
    // what is not there is looked for until it is settled that it is not
    let captured = DynAction::capture_all(&ACTION, s.bench.read(), &fleet[..21], &Value::Null).await;
    assert_eq!(s.bench.read().clock.stamp().mono_ms - began, 2_000);
    let calls = s.bench.sim.calls().split_off(before);
    let sent = |operation: &str| calls.iter().filter(|c| c.operation == operation).count();
    assert_eq!(sent("elasticloadbalancing:DescribeTargetGroups"), 2);
    assert_eq!((sent("ec2:DescribeInstances"), sent("ec2:DescribeVolumes")), (3, 3));
    for (target, captured) in fleet.iter().zip(&captured) {
        let captured = captured.as_ref().expect("captured");
        assert_eq!(captured["instance"]["id"], target.id.as_str());
        assert_eq!(captured["volumes"].as_array().map(Vec::len), Some(1), "{captured}");
        let registrations = captured["registrations"].as_array().map_or(0, Vec::len);
        assert_eq!(registrations, usize::from(target.id == s.old), "{captured}");
    }
    let captured = DynAction::capture_all(&ACTION, s.bench.read(), &fleet[19..], &Value::Null).await;
    let told = |n: usize| captured[n].as_ref().map(|c| c["instance"]["id"].clone());
    assert_eq!((told(0), told(1)), (Ok(json!(fleet[19].id)), Ok(json!(fleet[20].id))));
    assert!(told(2).expect_err("it never was").message.contains("does not exist"));
}

#[tokio::test(start_paused = true)]
async fn a_lost_request_is_absent_and_applied_again_launches_once() {
    let mut s = scene("request");
    let p = s.lost(&Value::Null).await;
    s.bench.fail_once(RUN, Fault::LoseRequest);
    assert_eq!(s.apply(&p).await.expect_err("no answer").effect, EffectCertainty::Unknown);
    assert_eq!(s.bench.outcome(&ACTION, &p, &Value::Null).await, Ok(Progress::Absent));
    s.apply(&p).await.expect("launched");
    assert_eq!(s.replacements().await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_replacement_that_serves_nobody_is_incomplete_until_applied_again() {
    let mut s = scene("incomplete");
    let p = s.lost(&Value::Null).await;
    s.bench.faulty(|_, m| matches!(m, Mutation::RegisterTargets { .. }).then_some(Fault::Deny));
    assert_eq!(s.apply(&p).await.expect_err("denied").effect, EffectCertainty::Partial);
    match s.bench.outcome(&ACTION, &p, &Value::Null).await {
        Ok(Progress::Incomplete(what)) => assert!(what.contains("registration in web"), "{what}"),
        other => panic!("{other:?}"),
    }
    s.bench.mended();
    s.apply(&p).await.expect("completed");
    s.bench.ready(&ACTION, &p, &Value::Null).await;
    assert_eq!(s.replacements().await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn lost_answers_of_what_follows_the_launch_are_looked_at_and_repeated() {
    for operation in ["ec2:AssociateAddress", "elasticloadbalancing:RegisterTargets"] {
        for fault in [Fault::LoseAnswer, Fault::LoseRequest] {
            let mut s = scene("follow-up");
            let p = s.lost(&Value::Null).await;
            s.bench.fail_once(operation, fault);
            s.apply(&p).await.expect("looked again");
            s.bench.ready(&ACTION, &p, &Value::Null).await;
            assert_eq!(s.bench.sent(operation), 1, "{operation} {fault:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn undo_removes_only_the_replacement_and_may_come_at_any_time() {
    let mut s = scene("undo");
    let p = s.beside().await;
    let before = s.bench.sim.snapshot();
    assert!(matches!(s.bench.undo(&ACTION, &p).await, Ok(Undone::Already(_))), "never applied");
    let bystander = s.bench.instance(&s.bench.a);
    let with_bystander = s.bench.sim.snapshot();
    s.apply(&p).await.expect("launched");
    s.bench.fail_once("ec2:TerminateInstances", Fault::LoseRequest);
    assert!(matches!(s.bench.undo(&ACTION, &p).await, Ok(Undone::PutBack(_))));
    assert!(matches!(s.bench.undo(&ACTION, &p).await, Ok(Undone::Already(_))), "undo twice");
    assert_eq!(s.bench.sim.snapshot(), with_bystander);
    assert_ne!(with_bystander, before, "the bystander {bystander} is still there");
    // the replacement is gone: applying again must not pretend otherwise
    assert!(s.apply(&p).await.expect_err("ended").hopeless);
}

#[tokio::test(start_paused = true)]
async fn an_empty_listing_after_a_lost_answer_is_no_termination() {
    for fault in [Fault::LoseRequest, Fault::LoseAnswer] {
        for at in 0..6 {
            let mut s = scene("empty");
            let p = s.beside().await;
            s.apply(&p).await.expect("launched");
            s.bench.fail_once("ec2:TerminateInstances", fault);
            s.bench.misread(move |n, _| (n == at).then_some(Misread::Empty));
            let done = s.bench.undo(&ACTION, &p).await;
            assert!(matches!(done, Ok(Undone::PutBack(_))), "{fault:?} {at}: {done:?}");
            let left = s.replacements().await;
            let ended = left.iter().all(|i| i.state == "terminated");
            assert!(ended && left.len() == 1, "{fault:?} {at}: {left:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_stood_and_is_not_listed_any_more_is_terminated_only_where_that_was_accepted() {
    for fault in [None, Some(Fault::LoseRequest), Some(Fault::Missing)] {
        let mut s = scene("hidden");
        let p = s.beside().await;
        s.apply(&p).await.expect("launched");
        if let Some(fault) = fault {
            s.bench.fail_once("ec2:TerminateInstances", fault);
        }
        // the original is listed, then it is once, and nothing ever again
        s.bench.misread(|n, _| (n > 1).then_some(Misread::Empty));
        let done = s.bench.undo(&ACTION, &p).await;
        if fault.is_some() {
            assert!(s.bench.undo(&ACTION, &p).await.is_err(), "the next try knows of it, too");
        }
        s.bench.misread(|_, _| None);
        tokio::time::sleep(Duration::from_secs(60)).await;
        let state = s.replacements().await[0].state.clone();
        if fault.is_none() {
            assert!(matches!(done, Ok(Undone::PutBack(_))), "{done:?}");
            assert_eq!(state, "terminated");
            assert_eq!(s.bench.sent("ec2:TerminateInstances"), 1, "one that was accepted");
        } else {
            let error = done.expect_err("it may run on");
            assert_eq!((error.effect, state.as_str()), (EffectCertainty::Unknown, "running"));
            assert!(error.hint.is_some(), "{error}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_somebody_else_launched_with_the_same_tags_is_left_alone_and_told() {
    for keeps in [false, true] {
        let s = scene("stranger");
        let p = s.beside().await;
        let undo: Undo = serde_json::from_value(p.undo.clone()).expect("a record");
        let spec = LaunchSpec {
            like: undo.original.instance.clone(),
            tags: undo.tags.clone(),
            ..LaunchSpec::default()
        };
        s.bench.somebody(Mutation::RunInstances { token: "theirs".to_owned(), spec: Box::new(spec) }).await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        let theirs = s.replacements().await.remove(0);
        assert_eq!(s.bench.outcome(&ACTION, &p, &Value::Null).await, Ok(Progress::Absent), "not the run's");
        s.apply(&p).await.expect("launches its own");
        let ready = s.bench.ready(&ACTION, &p, &Value::Null).await;
        assert_ne!(ready.outputs["instance_id"], theirs.id);
        let told = |text: &str| text.contains(&format!("{} carries this run's tags", theirs.id));
        assert!(ready.notes.iter().any(|n| told(n)), "{:?}", ready.notes);
        let registered = s.bench.read().reads.elb.registrations(&s.group).await.expect("reads");
        assert!(registered.iter().all(|r| r.id != theirs.id), "{registered:?}");
        let done = if keeps {
            DynAction::keep(&ACTION, s.bench.write(), p.target.as_ref(), &p.undo).await
        } else {
            s.bench.undo(&ACTION, &p).await
        };
        assert!(matches!(&done, Ok(Undone::PutBack(proof)) if told(proof)), "{done:?}");
        let left = s.replacements().await.into_iter().find(|i| i.id == theirs.id).expect("still there");
        assert_eq!((left.state.as_str(), &left.tags), ("running", &theirs.tags));
    }
}

#[tokio::test(start_paused = true)]
async fn a_registration_that_one_answer_leaves_out_is_captured_all_the_same() {
    for at in 0..14 {
        let mut s = scene("capture");
        let target = instance(&s.old);
        let whole =
            DynAction::capture(&ACTION, s.bench.read(), &target, &Value::Null).await.expect("captures");
        s.bench.misread(move |n, _| (n == at).then_some(Misread::Empty));
        let read = DynAction::capture(&ACTION, s.bench.read(), &target, &Value::Null).await;
        assert!(read.as_ref().is_ok_and(|now| *now == whole), "{at}: {read:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_kept_replacement_loses_the_runs_tags_and_may_be_kept_again() {
    let mut s = scene("keep");
    let p = s.lost(&Value::Null).await;
    let target = p.target.clone();
    s.apply(&p).await.expect("launched");
    s.bench.fail_once("ec2:DeleteTags", Fault::LoseRequest);
    DynAction::keep(&ACTION, s.bench.write(), target.as_ref(), &p.undo).await.expect_err("no answer");
    for expected in ["PutBack", "Already"] {
        let kept = DynAction::keep(&ACTION, s.bench.write(), target.as_ref(), &p.undo).await.expect("kept");
        assert!(format!("{kept:?}").starts_with(expected), "{kept:?}");
    }
    let new = s.replacements().await.remove(0);
    assert_eq!(new.tags[target::TAG_KEPT], s.bench.read().run.as_str());
    let volumes = [new.block_devices[0].volume.clone()];
    let volumes = s.bench.read().reads.ec2.volumes(&volumes, None).await.expect("reads").items;
    for tags in [&new.tags, &volumes[0].tags] {
        assert!(tags.contains_key(target::TAG_KEPT), "{tags:?}");
        assert!(!tags.contains_key(target::TAG_RUN) && !tags.contains_key(target::TAG_STEP), "{tags:?}");
    }
    assert!(matches!(s.bench.undo(&ACTION, &p).await, Ok(Undone::Kept(_))), "what is kept is not removed");
    assert_eq!(s.replacements().await[0].state, "running");
}

#[tokio::test(start_paused = true)]
async fn the_old_address_is_asked_for_once_it_is_free() {
    let s = scene("address");
    let with = json!({"private_ip": "keep", "instance_type": "m7g.xlarge", "tags": {"service": "spare"}});
    let target = instance(&s.old);
    let captured = DynAction::capture(&ACTION, s.bench.read(), &target, &with).await.expect("captures");
    let batch = [(Some(target.clone()), captured)];
    let early = DynAction::prepare(&ACTION, s.bench.read(), &batch, &with).await.remove(0);
    assert!(early.expect_err("still in use").message.contains("private address"));
    s.bench.somebody(Mutation::TerminateInstances { ids: vec![s.old.clone()] }).await;
    let undo = DynAction::prepare(&ACTION, s.bench.read(), &batch, &with).await.remove(0).expect("prepares");
    let old_ip = undo["private_ip"].as_str().expect("recorded").to_owned();
    let p = Prepared { target: Some(target), undo };
    s.apply(&p).await.expect("waited for the address");
    let ready = s.bench.ready(&ACTION, &p, &with).await;
    assert_eq!(ready.outputs["private_ip"], old_ip);
    assert!(ready.notes.iter().any(|n| n.contains("m7g.xlarge instead of m7g.large")), "{:?}", ready.notes);
    assert_eq!(s.replacements().await[0].tags["service"], "spare");
}

#[tokio::test(start_paused = true)]
async fn missing_capacity_is_waited_for() {
    let s = scene("capacity");
    let p = s.lost(&Value::Null).await;
    s.bench.sim.set_capacity("us-east-1a", false);
    let sim = s.bench.sim.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(600)).await;
        sim.set_capacity("us-east-1a", true);
    });
    s.apply(&p).await.expect("launched in the end");
    assert_eq!(s.replacements().await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn beside_a_living_original_the_elastic_ip_stays_where_it_is() {
    let s = scene("beside");
    let p = s.beside().await;
    let before = s.bench.sim.snapshot();
    s.apply(&p).await.expect("launched");
    let ready = s.bench.ready(&ACTION, &p, &Value::Null).await;
    assert!(ready.notes.iter().any(|n| n.contains("stays with")), "{:?}", ready.notes);
    let addresses = s.bench.read().reads.ec2.addresses(std::slice::from_ref(&s.old)).await.expect("reads");
    assert_eq!(addresses[0].allocation, s.allocation);
    s.bench.undo(&ACTION, &p).await.expect("undone");
    assert_eq!(s.bench.sim.snapshot(), before);
}

#[tokio::test(start_paused = true)]
async fn what_is_gone_cannot_be_captured() {
    let s = scene("gone");
    s.bench.somebody(Mutation::TerminateInstances { ids: vec![s.old.clone()] }).await;
    let target = instance(&s.old);
    let error = DynAction::capture(&ACTION, s.bench.read(), &target, &Value::Null).await.expect_err("gone");
    assert!(error.hint.is_some(), "{error}");
}

#[test]
fn reserved_tags_and_empty_types_are_wrong() {
    let wrong =
        DynAction::check(&ACTION, &json!({"tags": {"redrill:run": "x", "aws:y": "z"}, "instance_type": " "}));
    assert_eq!(wrong.len(), 3, "{wrong:?}");
    assert!(DynAction::check(&ACTION, &Value::Null).is_empty());
    assert_eq!(DynAction::check(&ACTION, &json!({"private": "keep"})).len(), 1, "unknown field");
}
