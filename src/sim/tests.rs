//! What the account itself must keep: the conformance suite (`tests/it/conformance`) has the rest.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::catalog::kinds;
use crate::cloud::{EffectCertainty, Filter, HttpRequest, InstanceAttribute, Outcome, RestoreSpec};
use crate::model::time::VirtualClock;

const ESTATE: &str = include_str!("../../localstack/estate.json");

fn shop() -> Arc<Sim> {
    let start = chrono::DateTime::from_timestamp(1_700_000_000, 0).expect("a valid time");
    Sim::from_estate(ESTATE, Arc::new(VirtualClock::starting_at(start))).expect("the estate is sound")
}

async fn named(sim: &Arc<Sim>, name: &str) -> crate::cloud::Instance {
    let filter = Filter { ids: vec![], tags: vec![("Name".to_owned(), vec![name.to_owned()])] };
    let page = sim.cloud().reads.ec2.instances(&filter, None).await.expect("reads");
    page.items.into_iter().next().expect("is there")
}

async fn health(sim: &Arc<Sim>, path: &str) -> u16 {
    let request = HttpRequest { url: format!("http://127.0.0.1:8080{path}"), ..HttpRequest::default() };
    sim.cloud().reads.net.http(&request).await.expect("answers").status
}

#[tokio::test(start_paused = true)]
async fn the_shop_is_healthy_and_a_lost_instance_shows() {
    let sim = shop();
    assert_eq!(health(&sim, "/health").await, 200);
    let id = named(&sim, "shop-web-1").await.id;
    let before = sim.snapshot();
    let reply = sim.cloud().mutate.send(&Mutation::TerminateInstances { ids: vec![id.clone()] }).await;
    let reply = reply.expect("accepted");
    assert!(reply.request_id.expect("an id").starts_with("sim-"));
    assert_eq!(
        reply.outcome,
        Outcome::Instances { states: [(id.clone(), "shutting-down".to_owned())].into() }
    );
    assert_eq!(health(&sim, "/health/web").await, 503);
    assert_eq!(health(&sim, "/health/database").await, 200);
    assert_eq!(health(&sim, "/health/nothing").await, 404);
    assert_ne!(sim.snapshot(), before);
    tokio::time::sleep(Duration::from_secs(41)).await;
    let gone = named(&sim, "shop-web-1").await;
    assert_eq!((gone.state.as_str(), gone.subnet.is_some()), ("terminated", true));
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(named(&sim, "shop-web-1").await.subnet, None);
    tokio::time::sleep(Duration::from_secs(3600)).await;
    let err = sim.cloud().reads.ec2.attribute(&id, InstanceAttribute::UserData).await.expect_err("forgotten");
    assert!(err.is_not_found());
}

#[tokio::test(start_paused = true)]
async fn a_protected_instance_spares_its_own_zone_only() {
    let sim = shop();
    let [one, two, three] = ["shop-web-1", "shop-web-2", "shop-web-3"];
    let ids = [named(&sim, one).await.id, named(&sim, two).await.id, named(&sim, three).await.id];
    sim.protect(&ids[0]);
    let sent = sim.cloud().mutate.send(&Mutation::TerminateInstances { ids: ids.to_vec() }).await;
    let err = sent.expect_err("one is protected");
    assert_eq!((err.kind, err.effect), (ErrorKind::State, EffectCertainty::Partial));
    // 1 and 3 are in zone a, 2 is in zone b
    assert_eq!(named(&sim, one).await.state, "running");
    assert_eq!(named(&sim, two).await.state, "shutting-down");
    assert_eq!(named(&sim, three).await.state, "running");
}

#[tokio::test(start_paused = true)]
async fn a_group_replaces_what_it_lost_unless_launching_is_suspended() {
    for (suspended, expected) in [(&[][..], 3), (&["Launch"][..], 2)] {
        let sim = shop();
        let id = named(&sim, "shop-web-1").await.id;
        let others = [named(&sim, "shop-web-2").await.id, named(&sim, "shop-web-3").await.id];
        sim.add_group("web", &[&id, &others[0], &others[1]], suspended);
        sim.cloud().mutate.send(&Mutation::TerminateInstances { ids: vec![id] }).await.expect("accepted");
        tokio::time::sleep(Duration::from_secs(120)).await;
        let filter = Filter { ids: vec![], tags: vec![("role".to_owned(), vec!["web".to_owned()])] };
        let all = sim.cloud().reads.ec2.instances(&filter, None).await.expect("reads").items;
        assert_eq!(all.iter().filter(|i| i.state == "running").count(), expected, "{suspended:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_restore_takes_its_time_and_its_settings() {
    let sim = shop();
    let cloud = sim.cloud();
    let page = cloud.reads.rds.instances(Some("shop-orders"), None).await.expect("reads");
    let source = page.items.into_iter().next().expect("is there");
    let latest = source.latest_restorable.expect("backups are on");
    let mut spec = RestoreSpec {
        source: "shop-orders".to_owned(),
        target: "copy".to_owned(),
        at: latest,
        like: source,
        ..RestoreSpec::default()
    };
    let send = |spec: RestoreSpec| {
        let cloud = cloud.clone();
        async move { cloud.mutate.send(&Mutation::RestoreDb { spec: Box::new(spec) }).await }
    };
    assert_eq!(send(spec.clone()).await.expect_err("too late").kind, ErrorKind::Invalid);
    spec.at = latest - chrono::TimeDelta::seconds(1);
    send(spec).await.expect("accepted");
    let mut seen = Vec::new();
    for _ in 0..30 {
        let d = cloud.reads.rds.instances(Some("copy"), None).await.expect("reads").items.remove(0);
        if seen.last() != Some(&d.status) {
            seen.push(d.status.clone());
        }
        assert!(!d.deletion_protection);
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
    assert_eq!(seen, ["creating", "backing-up", "available"]);
}

#[tokio::test(start_paused = true)]
async fn the_same_calls_give_the_same_account() {
    let run = async || {
        let sim = shop();
        let id = named(&sim, "shop-web-2").await.id;
        sim.cloud().mutate.send(&Mutation::StopInstances { ids: vec![id] }).await.expect("accepted");
        tokio::time::sleep(Duration::from_secs(50)).await;
        (sim.snapshot(), sim.calls().len())
    };
    assert_eq!(run().await, run().await);
}

#[tokio::test(start_paused = true)]
async fn a_dead_link_sends_nothing() {
    let sim = shop();
    let (id, before) = (named(&sim, "shop-web-1").await.id, sim.snapshot());
    sim.kill_link();
    let err = sim.cloud().mutate.send(&Mutation::StopInstances { ids: vec![id] }).await.expect_err("no link");
    assert_eq!((err.kind, err.effect), (ErrorKind::Unreachable, EffectCertainty::None));
    sim.mend_link();
    assert_eq!(sim.snapshot(), before);
}

#[tokio::test(start_paused = true)]
async fn an_alarm_follows_the_health_after_its_delay() {
    let sim = shop();
    sim.follow_health("shop-availability", Dur::secs(60));
    let alarm = async || sim.cloud().reads.cloudwatch.alarm("shop-availability").await.expect("reads");
    let start = sim.clock.now();
    let id = named(&sim, "shop-web-1").await.id;
    sim.cloud().mutate.send(&Mutation::StopInstances { ids: vec![id.clone()] }).await.expect("accepted");
    tokio::time::sleep(Duration::from_secs(59)).await;
    assert_eq!(alarm().await.expect("is there").state, "OK");
    tokio::time::sleep(Duration::from_secs(41)).await;
    let raised = alarm().await.expect("is there");
    assert_eq!(raised.state, "ALARM");
    assert_eq!(raised.changed_at.map(|at| (at - start).num_seconds()), Some(60), "its own time, not ours");
    sim.cloud().mutate.send(&Mutation::StartInstances { ids: vec![id] }).await.expect("accepted");
    tokio::time::sleep(Duration::from_secs(86)).await;
    assert_eq!(alarm().await.expect("is there").state, "OK");
}

#[tokio::test(start_paused = true)]
async fn a_stopped_member_is_replaced_unless_the_group_may_not() {
    for (suspended, running) in [(&[][..], 2), (&["ReplaceUnhealthy", "Terminate"][..], 1)] {
        let sim = shop();
        let ids = [named(&sim, "shop-web-1").await.id, named(&sim, "shop-web-3").await.id];
        sim.add_group("web", &[&ids[0], &ids[1]], suspended);
        let members = sim.cloud().reads.autoscaling.members(&ids).await.expect("reads");
        assert_eq!(members.len(), 2);
        assert_eq!(members[0].suspended, suspended);
        sim.cloud()
            .mutate
            .send(&Mutation::StopInstances { ids: vec![ids[0].clone()] })
            .await
            .expect("accepted");
        tokio::time::sleep(Duration::from_secs(240)).await;
        let filter = Filter {
            ids: vec![],
            tags: vec![("aws:autoscaling:groupName".to_owned(), vec!["web".to_owned()])],
        };
        let all = sim.cloud().reads.ec2.instances(&filter, None).await.expect("reads").items;
        assert_eq!(all.iter().filter(|i| i.state == "running").count(), running, "{suspended:?}");
        // the mark outlives the stop: what was held back happens when it may
        let marked = sim.cloud().reads.autoscaling.members(&ids).await.expect("reads");
        assert_eq!(marked.iter().any(|m| m.is_unhealthy), !suspended.is_empty());
        sim.cloud()
            .mutate
            .send(&Mutation::StartInstances { ids: vec![ids[0].clone()] })
            .await
            .map_or_else(|_| assert!(suspended.is_empty()), |_| ());
        tokio::time::sleep(Duration::from_secs(240)).await;
        sim.suspend("web", &[]);
        tokio::time::sleep(Duration::from_secs(240)).await;
        assert!(["shutting-down", "terminated"].contains(&named(&sim, "shop-web-1").await.state.as_str()));
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_new_is_not_found_at_once() {
    let sim = shop();
    let cloud = sim.cloud();
    let like = named(&sim, "shop-web-1").await;
    let vpc = like.vpc.clone().expect("a VPC");
    let spec = crate::cloud::LaunchSpec { like, ..Default::default() };
    let launch = Mutation::RunInstances { token: "t".to_owned(), spec: Box::new(spec) };
    let made = [
        cloud.mutate.send(&launch).await.expect("accepted").outcome,
        cloud
            .mutate
            .send(&Mutation::CreateRouteTable { token: "r".to_owned(), vpc, tags: Default::default() })
            .await
            .expect("accepted")
            .outcome,
    ];
    let ids: Vec<String> = made
        .into_iter()
        .map(|o| match o {
            Outcome::Created { id } => id,
            other => panic!("{other:?}"),
        })
        .collect();
    let tag =
        |id: &String| Mutation::CreateTags { ids: vec![id.clone()], tags: [("a".into(), "b".into())].into() };
    for id in &ids {
        let e = cloud.mutate.send(&tag(id)).await.expect_err("not to be found yet");
        assert_eq!((e.kind, e.effect), (ErrorKind::NotFound, EffectCertainty::None));
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    for id in &ids {
        cloud.mutate.send(&tag(id)).await.expect("found now");
    }
}

#[tokio::test(start_paused = true)]
async fn a_plans_targets_make_an_account() {
    use crate::model::Target;
    let target = |kind, id: &str, attrs: &[(&str, &str)]| Target {
        kind,
        id: id.to_owned(),
        arn: None,
        name: None,
        tags: [("service".to_owned(), "orders".to_owned())].into(),
        attrs: attrs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
    };
    let targets = [
        target(
            kinds::EC2_INSTANCE,
            "i-0aa",
            &[("zone", "eu-west-1b"), ("vpc", "vpc-1"), ("subnet", "subnet-1"), ("type", "m5.large")],
        ),
        target(
            kinds::VPC_SUBNET,
            "subnet-1",
            &[("vpc", "vpc-1"), ("zone", "eu-west-1b"), ("route_table", "rtb-1")],
        ),
        target(kinds::VPC_ROUTE_TABLE, "rtb-main", &[("vpc", "vpc-1"), ("main", "true")]),
        target(kinds::RDS_INSTANCE, "orders", &[("engine", "postgres"), ("multi_az", "true")]),
        target(kinds::S3_BUCKET, "orders-bucket", &[("versioning", "Enabled")]),
        target(kinds::CLOUDFRONT_DISTRIBUTION, "E1", &[("comment", "front")]),
    ];
    let start = chrono::DateTime::from_timestamp(1_700_000_000, 0).expect("a valid time");
    let sim = Sim::from_targets(&targets, Arc::new(VirtualClock::starting_at(start)));
    let cloud = sim.cloud();
    assert_eq!(cloud.region, "eu-west-1");
    let by = |id: &str| Filter { ids: vec![id.to_owned()], tags: vec![] };
    let i = cloud.reads.ec2.instances(&by("i-0aa"), None).await.expect("reads").items.remove(0);
    assert_eq!((i.subnet.as_deref(), i.instance_type.as_str()), (Some("subnet-1"), "m5.large"));
    assert_eq!((i.zone.as_str(), i.vpc.as_deref()), ("eu-west-1b", Some("vpc-1")));
    let t = cloud.reads.ec2.route_tables(&by("rtb-1"), None).await.expect("reads").items.remove(0);
    assert!(t.associations.iter().any(|a| a.subnet.as_deref() == Some("subnet-1")));
    assert!(t.routes.iter().any(|r| r.destination == "0.0.0.0/0"));
    let main = cloud.reads.ec2.route_tables(&by("rtb-main"), None).await.expect("reads").items.remove(0);
    assert!(main.associations.iter().any(|a| a.main));
    let d = cloud.reads.rds.instances(Some("orders"), None).await.expect("reads").items.remove(0);
    assert!(d.multi_az && d.latest_restorable.is_some() && d.tags["service"] == "orders");
    assert!(!cloud.reads.s3.versions("orders-bucket", "", None).await.expect("reads").items.is_empty());
    assert_eq!(cloud.reads.cloudfront.distributions(None).await.expect("reads").items[0].id, "E1");
}

#[test]
fn an_estate_that_names_what_it_lacks_is_refused() {
    let clock: Arc<dyn Clock> = Arc::new(crate::model::time::SystemClock);
    let text = ESTATE.replace("\"subnet\": \"shop-private-a\"", "\"subnet\": \"nowhere\"");
    let err = Sim::from_estate(&text, clock.clone()).err().expect("a subnet is missing");
    assert!(err.to_string().contains("`nowhere`"), "{err}");
    assert!(matches!(Sim::from_estate("{}", clock), Err(EstateError::Read(_))));
}
