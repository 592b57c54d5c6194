//! AWS's smaller traps, one test each, that the conformance suite cannot set up through the traits.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::cloud::{
    DbInstance, EffectCertainty, Filter, InstanceAttribute, LaunchSpec, ObjectRef, Outcome, SqlRequest,
};
use crate::model::Tags;
use crate::model::time::VirtualClock;

fn empty() -> (Arc<Sim>, String) {
    let start = chrono::DateTime::from_timestamp(1_700_000_000, 0).expect("a valid time");
    let sim = Sim::new(Arc::new(VirtualClock::starting_at(start)));
    let (vpc, _) = sim.add_vpc("10.0.0.0/16");
    let zone = "us-east-1a".to_owned();
    let subnet =
        sim.add_subnet(&SubnetSeed { vpc, cidr: "10.0.0.0/24".to_owned(), zone, ..SubnetSeed::default() });
    (sim, subnet)
}

fn instance(sim: &Arc<Sim>, subnet: &str) -> String {
    sim.add_instance(&InstanceSeed { subnet: subnet.to_owned(), ..InstanceSeed::default() })
}

async fn refused(sim: &Arc<Sim>, m: Mutation) -> CloudError {
    sim.cloud().mutate.send(&m).await.expect_err("refused")
}

async fn accepted(sim: &Arc<Sim>, m: Mutation) -> Outcome {
    sim.cloud().mutate.send(&m).await.expect("accepted").outcome
}

#[tokio::test(start_paused = true)]
async fn some_instances_cannot_be_stopped() {
    let (sim, subnet) = empty();
    let ids: Vec<String> = (0..4).map(|_| instance(&sim, &subnet)).collect();
    sim.protect_from_stop(&ids[0]);
    sim.make_spot(&ids[1], "one-time");
    sim.edit_instance(&ids[2], |i, _| "instance-store".clone_into(&mut i.root_device_type));
    sim.make_spot(&ids[3], "persistent");
    for id in &ids[..3] {
        let e = refused(&sim, Mutation::StopInstances { ids: vec![id.clone()] }).await;
        assert_eq!((e.kind, e.effect), (ErrorKind::State, EffectCertainty::None), "{e}");
    }
    accepted(&sim, Mutation::StopInstances { ids: vec![ids[3].clone()] }).await;
    tokio::time::sleep(Duration::from_secs(45)).await;
    sim.set_capacity("us-east-1a", false);
    let start = || Mutation::StartInstances { ids: vec![ids[3].clone()] };
    assert_eq!(refused(&sim, start()).await.kind, ErrorKind::Capacity);
    sim.set_capacity("us-east-1a", true);
    accepted(&sim, start()).await;
}

#[tokio::test(start_paused = true)]
async fn an_address_is_free_once_its_instance_is_terminated() {
    let (sim, subnet) = empty();
    let id = instance(&sim, &subnet);
    let allocation = sim.add_address("203.0.113.7", Some(&id));
    let filter = Filter { ids: vec![id.clone()], tags: vec![] };
    let like = sim.cloud().reads.ec2.instances(&filter, None).await.expect("reads").items.remove(0);
    assert_eq!(like.public_ip.as_deref(), Some("203.0.113.7"));
    let spec = Box::new(LaunchSpec { private_ip: like.private_ip.clone(), like, ..LaunchSpec::default() });
    let launch = Mutation::RunInstances { token: "t".to_owned(), spec };
    accepted(&sim, Mutation::TerminateInstances { ids: vec![id.clone()] }).await;
    assert_eq!(refused(&sim, launch.clone()).await.code.as_deref(), Some("InvalidIPAddress.InUse"));
    tokio::time::sleep(Duration::from_secs(40)).await;
    let Outcome::Created { id: new } = accepted(&sim, launch).await else { panic!("an instance") };
    tokio::time::sleep(Duration::from_secs(1)).await;
    let associate = Mutation::AssociateAddress { allocation, instance: new.clone(), from: None };
    assert_eq!(refused(&sim, associate.clone()).await.kind, ErrorKind::State, "it is pending");
    tokio::time::sleep(Duration::from_secs(25)).await;
    accepted(&sim, associate).await;
    let held = sim.cloud().reads.ec2.addresses(&[id, new.clone()]).await.expect("reads");
    assert_eq!(held.into_iter().map(|a| a.instance).collect::<Vec<_>>(), [Some(new)]);
}

#[tokio::test(start_paused = true)]
async fn a_database_does_not_answer_while_it_fails_over() {
    let (sim, _) = empty();
    sim.add_db(DbInstance {
        identifier: "orders".to_owned(),
        multi_az: true,
        zone: Some("us-east-1a".to_owned()),
        ..DbInstance::default()
    });
    let db = async || {
        let page = sim.cloud().reads.rds.instances(Some("orders"), None).await.expect("reads");
        page.items.into_iter().next().expect("is there")
    };
    let request = SqlRequest {
        host: db().await.endpoint.expect("an endpoint"),
        port: 5432,
        query: "select 1".to_owned(),
        ..SqlRequest::default()
    };
    sim.answer_sql(&request.host, "42");
    let ask = async || sim.cloud().reads.net.sql(&request).await.ok().and_then(|a| a.first);
    assert_eq!(ask().await.as_deref(), Some("42"));
    accepted(&sim, Mutation::RebootDb { identifier: "orders".to_owned(), failover: true }).await;
    assert_eq!((db().await.status.as_str(), ask().await), ("rebooting", None));
    tokio::time::sleep(Duration::from_secs(90)).await;
    let after = db().await;
    assert_eq!((after.status.as_str(), after.zone.as_deref()), ("available", Some("us-east-1b")));
    assert_eq!(ask().await.as_deref(), Some("42"));
    let gone = SqlRequest { host: request.host.replace("orders", "nobody"), ..request.clone() };
    assert!(sim.cloud().reads.net.sql(&gone).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn objects_can_fail_one_by_one() {
    let (sim, _) = empty();
    sim.add_bucket("b", "Enabled", &Tags::new());
    for key in ["yes", "no"] {
        sim.put_object("b", key, "body");
    }
    sim.deny_object("b", "no");
    let objects = ["yes", "no"].map(|k| ObjectRef { key: k.to_owned(), version: None }).to_vec();
    let outcome = accepted(&sim, Mutation::DeleteObjects { bucket: "b".to_owned(), objects }).await;
    let Outcome::Objects { deleted, errors } = outcome else { panic!("objects: {outcome:?}") };
    assert_eq!((deleted.len(), errors.len()), (1, 1));
    assert_eq!((errors[0].key.as_str(), errors[0].code.as_str()), ("no", "AccessDenied"));
    assert!(sim.cloud().reads.s3.head("b", "no").await.expect("reads").is_some());
    // a suspended bucket replaces its null version by a null marker
    sim.edit_bucket("b", |info| "Suspended".clone_into(&mut info.versioning));
    let versions = async || sim.cloud().reads.s3.versions("b", "new", None).await.expect("reads").items;
    sim.put_object("b", "new", "body");
    let objects = vec![ObjectRef { key: "new".to_owned(), version: None }];
    accepted(&sim, Mutation::DeleteObjects { bucket: "b".to_owned(), objects }).await;
    let left = versions().await;
    assert_eq!(left.len(), 1);
    assert!(left[0].marker && left[0].version == "null");
}

#[tokio::test(start_paused = true)]
async fn invalidations_in_progress_are_limited() {
    let (sim, _) = empty();
    let id = sim.add_distribution("front", &[], &Tags::new());
    let send = |reference: &str, n: usize| Mutation::CreateInvalidation {
        distribution: id.clone(),
        caller_reference: reference.to_owned(),
        paths: (0..n).map(|p| format!("/{reference}/{p}")).collect(),
    };
    accepted(&sim, send("a", 3000)).await;
    let e = refused(&sim, send("b", 1)).await;
    assert_eq!((e.kind, e.effect), (ErrorKind::Limit, EffectCertainty::None));
    tokio::time::sleep(Duration::from_secs(240)).await;
    accepted(&sim, send("b", 1)).await;
}

#[tokio::test(start_paused = true)]
async fn reserved_tags_and_ordered_failures_are_refused() {
    let (sim, subnet) = empty();
    let id = instance(&sim, &subnet);
    let tag = |k: &str| Mutation::CreateTags {
        ids: vec![id.clone()],
        tags: [(k.to_owned(), "v".to_owned())].into(),
    };
    assert_eq!(refused(&sim, tag("aws:x")).await.kind, ErrorKind::Invalid);
    sim.fail_next("ec2:CreateTags", "RequestLimitExceeded", 1);
    assert_eq!(refused(&sim, tag("x")).await.kind, ErrorKind::Throttled);
    accepted(&sim, tag("x")).await;
    let log: Vec<_> = sim.changes().into_iter().map(|c| (c.operation, c.refused)).collect();
    assert_eq!(log.len(), 3);
    assert_eq!(log[1].1.as_deref(), Some("RequestLimitExceeded"));
    let ids: std::collections::BTreeSet<_> = sim.calls().into_iter().map(|c| c.request_id).collect();
    assert_eq!(ids.len(), 3, "each call has its own request id");
}

#[tokio::test(start_paused = true)]
async fn answers_take_their_time_only_where_asked() {
    let (sim, subnet) = empty();
    let id = instance(&sim, &subnet);
    let timed = async || {
        let before = sim.clock.stamp().mono_ms;
        sim.cloud().reads.ec2.attribute(&id, InstanceAttribute::UserData).await.expect("reads");
        accepted(&sim, Mutation::StopInstances { ids: vec![id.clone()] }).await;
        sim.clock.stamp().mono_ms - before
    };
    assert_eq!(timed().await, 0);
    sim.set_pace(Pace::rehearsal());
    assert_eq!(timed().await, 380);
}
