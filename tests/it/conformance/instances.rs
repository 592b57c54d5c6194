//! Instances: ending, stopping, launching, protecting.

use redrill::cloud::{
    EffectCertainty, ErrorKind, InstanceAttribute, LaunchSpec, Mutation, Outcome, all_pages,
};

use super::{TestWorld, tagged, tags};

pub(super) async fn a_terminated_instance_ends_and_others_stay(w: &TestWorld) {
    let (one, two) = (w.instance("shop-web-1").await, w.instance("shop-web-2").await);
    let outcome = w.done(Mutation::TerminateInstances { ids: vec![one.id.clone()] }).await;
    let Outcome::Instances { states } = outcome else { panic!("states are told: {outcome:?}") };
    assert!(["shutting-down", "terminated"].contains(&states[&one.id].as_str()), "{states:?}");
    w.reaches(&one.id, "terminated").await;
    assert_eq!(w.state(&two.id).await, "running");
    // again is no error
    w.done(Mutation::TerminateInstances { ids: vec![one.id] }).await;
}

pub(super) async fn a_terminated_instance_forgets_its_subnet(w: &TestWorld) {
    let id = w.instance("shop-web-1").await.id;
    w.done(Mutation::TerminateInstances { ids: vec![id.clone()] }).await;
    w.until("subnet, groups and address are gone, tags are not", async || {
        let i = w.instance("shop-web-1").await;
        assert_eq!(i.id, id);
        (i.subnet.is_none() && i.vpc.is_none() && i.private_ip.is_none() && i.security_groups.is_empty())
            .then_some(())
    })
    .await;
}

pub(super) async fn a_stopped_instance_starts_again(w: &TestWorld) {
    let before = w.instance("shop-web-3").await;
    let ids = vec![before.id.clone()];
    w.done(Mutation::StopInstances { ids: ids.clone() }).await;
    w.reaches(&before.id, "stopped").await;
    w.done(Mutation::StopInstances { ids: ids.clone() }).await;
    assert_eq!(w.state(&before.id).await, "stopped");
    w.done(Mutation::StartInstances { ids: ids.clone() }).await;
    w.reaches(&before.id, "running").await;
    w.done(Mutation::StartInstances { ids }).await;
    let after = w.instance("shop-web-3").await;
    assert_eq!((after.private_ip, after.subnet), (before.private_ip, before.subnet));
}

pub(super) async fn a_terminated_instance_neither_stops_nor_starts(w: &TestWorld) {
    let id = w.instance("batch-1").await.id;
    w.done(Mutation::TerminateInstances { ids: vec![id.clone()] }).await;
    w.reaches(&id, "terminated").await;
    for m in [
        Mutation::StopInstances { ids: vec![id.clone()] },
        Mutation::StartInstances { ids: vec![id.clone()] },
    ] {
        let e = w.send(m).await.expect_err("it is terminated");
        assert_eq!((e.kind, e.effect), (ErrorKind::State, EffectCertainty::None), "{e}");
        assert_eq!(e.code.as_deref(), Some("IncorrectInstanceState"));
    }
}

pub(super) async fn an_unknown_id_fails_the_whole_batch(w: &TestWorld) {
    let id = w.instance("shop-web-1").await.id;
    let ids = vec![id.clone(), "i-0123456789abcdef0".to_owned()];
    for m in [Mutation::TerminateInstances { ids: ids.clone() }, Mutation::StopInstances { ids: ids.clone() }]
    {
        let e = w.send(m).await.expect_err("one id is unknown");
        assert_eq!((e.kind, e.effect), (ErrorKind::NotFound, EffectCertainty::None), "{e}");
    }
    assert_eq!(w.state(&id).await, "running");
}

async fn user_data(w: &TestWorld, id: &str) -> Option<String> {
    w.cloud.reads.ec2.attribute(id, InstanceAttribute::UserData).await.expect("an attribute")
}

async fn model(w: &TestWorld, name: &str) -> LaunchSpec {
    let like = w.instance(name).await;
    let user_data = user_data(w, &like.id).await;
    let ids: Vec<String> = like.block_devices.iter().map(|b| b.volume.clone()).collect();
    let (ec2, ids) = (&w.cloud.reads.ec2, &ids);
    let volumes = all_pages(|page| async move { ec2.volumes(ids, page).await }).await.expect("volumes");
    let volumes = like
        .block_devices
        .iter()
        .filter_map(|b| Some((b.clone(), volumes.iter().find(|v| v.id == b.volume)?.clone())))
        .collect();
    LaunchSpec {
        user_data,
        volumes,
        tags: tags(&[("Name", "twin"), ("conformance", "yes")]),
        like,
        ..LaunchSpec::default()
    }
}

pub(super) async fn a_protected_instance_fails_its_batch(w: &TestWorld) {
    let spec = LaunchSpec { disable_api_termination: true, ..model(w, "shop-web-1").await };
    let guarded =
        w.created(Mutation::RunInstances { token: "guarded".to_owned(), spec: Box::new(spec) }).await;
    w.reaches(&guarded, "running").await;
    let neighbour = w.instance("shop-web-1").await.id;
    let elsewhere = w.instance("shop-web-2").await.id;
    let alone = w.send(Mutation::TerminateInstances { ids: vec![guarded.clone()] }).await;
    let e = alone.expect_err("it is protected");
    assert_eq!((e.kind, e.effect), (ErrorKind::State, EffectCertainty::None), "{e}");
    let ids = vec![guarded.clone(), neighbour.clone(), elsewhere];
    let e = w.send(Mutation::TerminateInstances { ids }).await.expect_err("one is protected");
    assert_eq!((e.kind, e.effect), (ErrorKind::State, EffectCertainty::Partial), "{e}");
    assert_eq!(e.code.as_deref(), Some("OperationNotPermitted"));
    // what is elsewhere may be gone; the protected one and those in its zone are not
    assert_eq!(w.state(&guarded).await, "running");
    assert_eq!(w.state(&neighbour).await, "running");
}

pub(super) async fn a_launch_is_like_its_model(w: &TestWorld) {
    let spec = model(w, "shop-web-2").await;
    let like = spec.like.clone();
    let data = spec.user_data.clone();
    let id = w.created(Mutation::RunInstances { token: "like".to_owned(), spec: Box::new(spec) }).await;
    w.reaches(&id, "running").await;
    let twin = w.instances(&tagged(&[("conformance", &["yes"])])).await;
    assert_eq!(twin.len(), 1, "found by the tags it was launched with");
    let twin = &twin[0];
    assert_eq!(twin.id, id);
    assert_eq!((&twin.subnet, &twin.vpc, &twin.zone), (&like.subnet, &like.vpc, &like.zone));
    assert_eq!((&twin.instance_type, &twin.image), (&like.instance_type, &like.image));
    assert_eq!(twin.security_groups, like.security_groups);
    assert_ne!(twin.private_ip, like.private_ip, "the model still has its address");
    assert_eq!(user_data(w, &id).await, data);
}

pub(super) async fn a_launch_with_the_same_token_is_one_launch(w: &TestWorld) {
    let spec = Box::new(model(w, "shop-web-2").await);
    let launch = |token: &str| Mutation::RunInstances { token: token.to_owned(), spec: spec.clone() };
    let one = w.created(launch("one")).await;
    assert_eq!(w.created(launch("one")).await, one);
    assert_ne!(w.created(launch("two")).await, one);
    let other = LaunchSpec { tags: tags(&[("Name", "other")]), ..*spec.clone() };
    let sent = w.send(Mutation::RunInstances { token: "one".to_owned(), spec: Box::new(other) }).await;
    let e = sent.expect_err("the token was used for something else");
    assert_eq!(e.effect, EffectCertainty::None, "{e}");
}

pub(super) async fn tags_come_and_go(w: &TestWorld) {
    let before = w.instance("shop-web-1").await;
    let subnet = w.subnet("shop-private-a").await.id;
    let ids = vec![before.id.clone(), subnet];
    w.done(Mutation::CreateTags { ids: ids.clone(), tags: tags(&[("redrill:held", "run")]) }).await;
    assert_eq!(w.instances(&tagged(&[("redrill:held", &["run"])])).await.len(), 1);
    assert_eq!(w.subnet("shop-private-a").await.tags["redrill:held"], "run");
    for _ in 0..2 {
        let keys = vec!["redrill:held".to_owned()];
        w.done(Mutation::DeleteTags { ids: ids.clone(), keys }).await;
        assert_eq!(w.instance("shop-web-1").await.tags, before.tags);
    }
}

pub(super) async fn a_new_instance_becomes_a_healthy_target(w: &TestWorld) {
    let elb = &w.cloud.reads.elb;
    let groups = all_pages(|page| async move { elb.target_groups(page).await }).await.expect("groups");
    let group = groups.into_iter().find(|g| g.name == "shop-web").expect("the shop has a target group").arn;
    let spec = Box::new(model(w, "shop-web-2").await);
    let id = w.created(Mutation::RunInstances { token: "target".to_owned(), spec }).await;
    w.reaches(&id, "running").await;
    let before = elb.registrations(&group).await.expect("registrations");
    assert!(before.iter().all(|r| r.id != id), "nothing is registered by itself: {before:?}");
    let register = Mutation::RegisterTargets { group: group.clone(), id: id.clone(), port: Some(80) };
    w.done(register.clone()).await;
    w.done(register).await;
    w.until("the new target is healthy", async || {
        let found = elb.registrations(&group).await.expect("registrations");
        let mine: Vec<_> = found.iter().filter(|r| r.id == id).collect();
        assert_eq!(mine.len(), 1, "registered once: {found:?}");
        (mine[0].state == "healthy").then_some(())
    })
    .await;
}
