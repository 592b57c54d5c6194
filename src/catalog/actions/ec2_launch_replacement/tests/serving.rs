//! When a replacement counts, launches that AWS ends, and what goes on with the launch.

use super::*;

impl Scene {
    async fn polled(&self, p: &Prepared<Value>) -> Result<Progress, ActionError> {
        DynAction::poll(&ACTION, self.bench.read(), p.target.as_ref(), &p.undo, &Value::Null).await
    }

    /// Nothing is registered anywhere: the status checks decide.
    fn alone(secret: &str) -> Self {
        let mut s = scene(secret);
        s.old = s.bench.instance(&s.bench.b);
        s
    }
}

fn pending(progress: Result<Progress, ActionError>) -> String {
    match progress {
        Ok(Progress::Pending(text)) => text,
        other => panic!("not pending: {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_replacement_counts_once_its_target_group_calls_it_healthy() {
    let s = scene("healthy");
    let p = s.lost(&Value::Null).await;
    s.bench.sim.withdraw("health of everything new");
    s.apply(&p).await.expect("launched");
    assert_eq!(pending(s.polled(&p).await), "initial in web: Elb.RegistrationInProgress");
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(pending(s.polled(&p).await), "unhealthy in web: Target.FailedHealthChecks");
    s.bench.sim.give_back("health of everything new");
    assert!(matches!(s.polled(&p).await, Ok(Progress::Ready(_))));
}

#[tokio::test(start_paused = true)]
async fn without_a_target_group_it_counts_once_its_status_checks_are_passed() {
    let s = Scene::alone("alone");
    let p = s.lost(&Value::Null).await;
    s.bench.sim.withdraw("health of everything new");
    s.apply(&p).await.expect("launched");
    assert_eq!(pending(s.polled(&p).await), "status checks: instance initializing, system initializing");
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(pending(s.polled(&p).await), "status checks: instance impaired, system ok");
    s.bench.sim.give_back("health of everything new");
    assert!(matches!(s.polled(&p).await, Ok(Progress::Ready(_))));
}

#[tokio::test(start_paused = true)]
async fn a_group_that_no_load_balancer_uses_checks_nothing() {
    let of = |state: &str, reason: Option<&str>| crate::cloud::Registration {
        group: String::new(),
        id: String::new(),
        port: None,
        state: state.to_owned(),
        reason: reason.map(str::to_owned),
    };
    for (state, reason, serves) in [
        ("healthy", None, true),
        ("unavailable", Some("Target.HealthCheckDisabled"), true),
        ("unused", Some("Target.NotInUse"), true),
        ("unused", None, true),
        ("unused", Some("Target.InvalidState"), false),
        ("initial", Some("Elb.InitialHealthChecking"), false),
        ("unhealthy", Some("Target.Timeout"), false),
        ("unhealthy.draining", None, false),
    ] {
        assert_eq!(
            crate::catalog::actions::replacement::serves(&of(state, reason)),
            serves,
            "{state} {reason:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_launch_that_aws_accepts_and_ends_is_repeated_with_another_token() {
    let s = scene("ended");
    let p = s.beside().await;
    s.bench.sim.withdraw("start in us-east-1a");
    let sim = s.bench.sim.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(90)).await;
        sim.give_back("start in us-east-1a");
    });
    s.apply(&p).await.expect("launched in the end");
    s.bench.ready(&ACTION, &p, &Value::Null).await;
    let all = s.replacements().await;
    let up: Vec<_> = all.iter().filter(|i| i.state == "running").collect();
    assert!(up.len() == 1 && all.len() >= 3, "{all:?}");
    let tokens: std::collections::BTreeSet<_> = all.iter().map(|i| i.client_token.clone()).collect();
    assert_eq!(tokens.len(), all.len(), "each launch has a token of its own");
    // all of it is this step's, and goes
    assert!(matches!(s.bench.undo(&ACTION, &p).await, Ok(Undone::PutBack(_))));
    assert!(s.replacements().await.iter().all(|i| i.state == "terminated"));
}

#[tokio::test(start_paused = true)]
async fn another_process_goes_on_where_aws_ended_the_launch_and_tells_it() {
    let s = scene("ended-resumed");
    let p = s.lost(&Value::Null).await;
    s.bench.sim.withdraw("start in us-east-1a");
    let undo: Undo = serde_json::from_value(p.undo.clone()).expect("a record");
    let user_data = original::user_data(s.bench.read(), &undo.original).await.expect("in memory");
    let spec =
        launching::spec(&undo.original, &undo.instance_type, undo.tags.clone(), None, user_data, After::Keep);
    s.bench.somebody(Mutation::RunInstances { token: undo.token.clone(), spec: Box::new(spec) }).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    match s.polled(&p).await {
        Ok(Progress::Incomplete(text)) => {
            assert!(text.contains("Server.InsufficientInstanceCapacity"), "{text}");
        }
        other => panic!("{other:?}"),
    }
    s.bench.sim.give_back("start in us-east-1a");
    s.apply(&p).await.expect("launched");
    assert_eq!(s.replacements().await.iter().filter(|i| i.state == "running").count(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_a_person_ended_is_not_launched_again() {
    let s = scene("person");
    let p = s.lost(&Value::Null).await;
    s.apply(&p).await.expect("launched");
    let id = s.replacements().await[0].id.clone();
    s.bench.somebody(Mutation::TerminateInstances { ids: vec![id] }).await;
    tokio::time::sleep(Duration::from_secs(300)).await;
    let error = s.apply(&p).await.expect_err("somebody wanted it gone");
    assert!(error.hopeless && error.message.contains("Client.UserInitiatedShutdown"), "{error}");
    assert_eq!(s.bench.sent(RUN), 1);
}

#[tokio::test(start_paused = true)]
async fn volumes_that_outlive_the_original_are_not_made_again_and_those_that_go_with_it_are() {
    for (goes, expected) in [(false, 1), (true, 2)] {
        let s = scene("volumes");
        let data = s.bench.sim.add_volume(&s.old, "/dev/sdf", goes);
        let p = s.lost(&Value::Null).await;
        s.apply(&p).await.expect("launched");
        let new = s.replacements().await.remove(0);
        assert_eq!(new.block_devices.len(), expected, "{:?}", new.block_devices);
        let ready = s.bench.ready(&ACTION, &p, &Value::Null).await;
        assert_eq!(ready.notes.iter().any(|n| n.contains(&format!("{data} is left unattached"))), !goes);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_to_be_removed_again_leaves_no_volume_behind() {
    let s = scene("root");
    s.bench.sim.edit_instance(&s.old, |i, _| i.block_devices[0].delete_on_termination = false);
    let original = original::capture(s.bench.read(), &s.old).await.expect("captures");
    for (after, goes) in [(After::Remove, true), (After::Keep, false)] {
        let spec = launching::spec(&original, "m7g.large", Tags::new(), None, None, after);
        assert_eq!(spec.volumes.len(), 1, "the root is made from the image");
        assert_eq!(spec.volumes[0].0.delete_on_termination, goes, "{after:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_volume_that_somebody_attached_is_not_marked_as_kept() {
    let s = scene("foreign");
    let p = s.lost(&Value::Null).await;
    s.apply(&p).await.expect("launched");
    let new = s.replacements().await.remove(0);
    let theirs = s.bench.sim.add_volume(&new.id, "/dev/sdz", false);
    DynAction::keep(&ACTION, s.bench.write(), p.target.as_ref(), &p.undo).await.expect("kept");
    let tags = |id: &String| {
        let ids = vec![id.clone()];
        let ec2 = s.bench.read().reads.ec2.clone();
        async move { ec2.volumes(&ids, None).await.expect("reads").items[0].tags.clone() }
    };
    assert_eq!(tags(&theirs).await, Tags::new());
    assert!(tags(&new.block_devices[0].volume).await.contains_key(target::TAG_KEPT));
}

#[tokio::test(start_paused = true)]
async fn settings_go_on_with_the_launch_and_credits_and_cores_where_the_type_has_them() {
    let s = scene("settings");
    s.bench.sim.set_credits(&s.old, "standard");
    s.bench.sim.edit_instance(&s.old, |i, d| {
        i.instance_type = "t3.small".to_owned();
        d.shutdown = Some("terminate".to_owned());
        i.settings.metadata_tags = Some("enabled".to_owned());
        i.settings.placement_group = Some("together".to_owned());
        i.settings.hostname = Some("resource-name".to_owned());
        (i.settings.cores, i.settings.threads) = (Some(1), Some(1));
        (i.settings.nested, i.settings.bandwidth) = (Some("enabled".to_owned()), Some("vpc-1".to_owned()));
    });
    let original = original::capture(s.bench.read(), &s.old).await.expect("captures");
    let spec = |kind: &str| launching::spec(&original, kind, Tags::new(), None, None, After::Keep);
    let same = spec("t3.small");
    let settings = &same.like.settings;
    assert_eq!((same.credits.as_deref(), same.shutdown.as_deref()), (Some("standard"), Some("terminate")));
    assert_eq!((settings.cores, settings.placement_group.as_deref()), (Some(1), Some("together")));
    assert_eq!(settings.metadata_tags.as_deref(), Some("enabled"));
    assert_eq!((settings.nested.as_deref(), settings.bandwidth.as_deref()), (Some("enabled"), Some("vpc-1")));
    let other = spec("m7g.large");
    assert_eq!((other.credits, other.like.settings.cores), (None, None));
    assert_eq!((other.like.settings.nested, other.like.settings.bandwidth), (None, None));
    // those of the type need not be said, and cannot be of every type
    s.bench.sim.edit_instance(&s.old, |i, _| (i.settings.cores, i.settings.threads) = (Some(2), Some(1)));
    let usual = original::capture(s.bench.read(), &s.old).await.expect("captures");
    assert_eq!((usual.instance.settings.cores, usual.instance.settings.threads), (None, None));
}
