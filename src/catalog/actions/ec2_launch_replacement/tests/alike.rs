//! What a replacement has of the original's: its public address or none, its Elastic IP, the tags of its volumes.

use super::*;

impl Scene {
    async fn replaced(&self) -> (Instance, Applied) {
        let p = self.lost(&Value::Null).await;
        self.apply(&p).await.expect("launched");
        let ready = self.bench.ready(&ACTION, &p, &Value::Null).await;
        (self.replacements().await.remove(0), ready)
    }

    /// Without an Elastic IP, and with this public address.
    fn with_public_ip(secret: &str, public_ip: Option<&str>) -> Self {
        let mut s = scene(secret);
        s.old = s.bench.instance(&s.bench.a);
        s.bench.sim.edit_instance(&s.old, |i, _| i.public_ip = public_ip.map(str::to_owned));
        s
    }

    fn root(&self) -> String {
        let mut root = String::new();
        self.bench.sim.edit_instance(&self.old, |i, _| root = i.block_devices[0].volume.clone());
        root
    }

    async fn tags_at(&self, new: &Instance, device: &str) -> Tags {
        let b = new.block_devices.iter().find(|b| b.device == device).expect("a volume there");
        let ids = [b.volume.clone()];
        let volumes = self.bench.read().reads.ec2.volumes(&ids, None).await.expect("reads");
        let mut tags = volumes.items[0].tags.clone();
        tags.retain(|key, _| !key.starts_with("redrill:"));
        tags
    }
}

fn tags(all: &[(&str, &str)]) -> Tags {
    all.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[tokio::test(start_paused = true)]
async fn a_private_original_is_not_replaced_in_front_of_the_internet() {
    let s = Scene::with_public_ip("private", None);
    s.bench.sim.make_public(&s.bench.a);
    let (new, ready) = s.replaced().await;
    assert_eq!(new.public_ip, None);
    assert!(!ready.notes.join("\n").contains("public address"), "{:?}", ready.notes);
}

#[tokio::test(start_paused = true)]
async fn a_public_original_is_replaced_by_a_public_one_whatever_the_subnet_does() {
    let s = Scene::with_public_ip("public", Some("192.0.2.44"));
    let (new, ready) = s.replaced().await;
    let is = new.public_ip.expect("it has one");
    assert!(ready.notes.contains(&format!("public address {is} instead of 192.0.2.44")), "{:?}", ready.notes);
}

#[tokio::test(start_paused = true)]
async fn of_a_stopped_original_nobody_knows_and_an_address_is_told() {
    let s = Scene::with_public_ip("stopped", None);
    s.bench.sim.make_public(&s.bench.a);
    s.bench.somebody(Mutation::StopInstances { ids: vec![s.old.clone()] }).await;
    tokio::time::sleep(Duration::from_secs(300)).await;
    let (new, ready) = s.replaced().await;
    let is = new.public_ip.expect("the subnet's default");
    assert!(
        ready.notes.contains(&format!("public address {is}; the original had none")),
        "{:?}",
        ready.notes
    );
}

#[tokio::test(start_paused = true)]
async fn volumes_have_the_tags_of_the_volumes_in_whose_place_they_are() {
    let s = scene("volume-tags");
    s.bench.sim.tag_volume(&s.root(), &[("backup", "daily"), ("Name", "web root"), ("aws:dlm", "x")]);
    let data = s.bench.sim.add_volume(&s.old, "/dev/sdf", true);
    s.bench.sim.tag_volume(&data, &[("backup", "daily"), ("Name", "web data"), ("tier", "slow")]);
    let (new, _) = s.replaced().await;
    assert_eq!(s.tags_at(&new, "/dev/xvda").await, tags(&[("backup", "daily"), ("Name", "web root")]));
    let of_data = tags(&[("backup", "daily"), ("Name", "web data"), ("tier", "slow")]);
    assert_eq!(s.tags_at(&new, "/dev/sdf").await, of_data);
    // no tag of the instance is on them
    assert_eq!(new.tags["service"], "shop");
    assert_eq!(s.bench.sent("ec2:CreateTags"), 2, "one for what each has alone");
}

#[tokio::test(start_paused = true)]
async fn tags_that_all_volumes_have_need_no_call_and_those_without_room_are_told() {
    let s = scene("volume-tags-many");
    let many: Vec<String> = (10..60).map(|n| format!("key-{n}")).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|key| (key.as_str(), "x")).collect();
    s.bench.sim.tag_volume(&s.root(), &many);
    let (new, ready) = s.replaced().await;
    assert_eq!(s.tags_at(&new, "/dev/xvda").await, tags(&many[..46]));
    assert_eq!(s.bench.sent("ec2:CreateTags"), 0);
    let told = "/dev/xvda: no room for the tags of the original's volume: key-56, key-57, key-58, key-59";
    assert!(ready.notes.contains(&told.to_owned()), "{:?}", ready.notes);
}

#[tokio::test(start_paused = true)]
async fn tags_of_volumes_that_a_stop_cut_off_are_set_when_it_is_kept() {
    let mut s = scene("volume-tags-kept");
    let data = s.bench.sim.add_volume(&s.old, "/dev/sdf", true);
    s.bench.sim.tag_volume(&data, &[("Name", "web data")]);
    let p = s.lost(&Value::Null).await;
    s.bench.fail_once("ec2:CreateTags", Fault::Deny);
    s.apply(&p).await.expect_err("denied");
    let what = s.bench.outcome(&ACTION, &p, &Value::Null).await;
    assert!(matches!(&what, Ok(Progress::Incomplete(w)) if w.contains("tags of its volume at")), "{what:?}");
    DynAction::keep(&ACTION, s.bench.write(), None, &p.undo).await.expect("kept");
    let new = s.replacements().await.remove(0);
    assert_eq!(s.tags_at(&new, "/dev/sdf").await, tags(&[("Name", "web data")]));
}

#[tokio::test(start_paused = true)]
async fn an_elastic_ip_is_taken_from_the_original_that_ended_with_it() {
    let s = scene("dead-holder");
    s.bench.sim.withdraw(&format!("release of {}", s.allocation));
    let (new, _) = s.replaced().await;
    assert_eq!(new.public_ip.as_deref(), Some("198.51.100.7"));
    let log = format!("{:?}", s.bench.sim.changes());
    assert!(log.contains(&s.old), "the call says from whom: {log}");
}

#[tokio::test(start_paused = true)]
async fn an_elastic_ip_that_somebody_put_to_use_meanwhile_stays_there() {
    let s = scene("other-holder");
    let p = s.lost(&Value::Null).await;
    let other = s.bench.instance(&s.bench.b);
    let moved =
        Mutation::AssociateAddress { allocation: s.allocation.clone(), instance: other.clone(), from: None };
    s.bench.somebody(moved).await;
    let error = s.apply(&p).await.expect_err("it is another's");
    assert!(error.message.contains("already associated"), "{error}");
    let held = s.bench.read().reads.ec2.addresses(std::slice::from_ref(&other)).await.expect("reads");
    assert_eq!(held[0].allocation, s.allocation);
}

#[tokio::test(start_paused = true)]
async fn a_classic_load_balancer_is_named_before_and_after() {
    let s = scene("classic");
    s.bench.sim.add_classic("front", &[&s.old, "i-0aaaaaaaaaaaaaaaa"]);
    s.bench.sim.add_classic("other", &["i-0aaaaaaaaaaaaaaaa"]);
    let found = s.bench.inspect(&ACTION, &[instance(&s.old)], &Value::Null).await;
    let told: Vec<&Finding> = found.iter().filter(|f| f.text.contains("Classic Load Balancer")).collect();
    assert_eq!(told.len(), 1, "{found:?}");
    assert!(told[0].text.contains("front, with which") && told[0].severity == Severity::Warning, "{told:?}");
    let (_, ready) = s.replaced().await;
    let told = ready.notes.iter().filter(|n| n.contains("Classic")).collect::<Vec<_>>();
    assert_eq!(told, ["not registered with the Classic Load Balancer front; the original was"]);
}

#[tokio::test(start_paused = true)]
async fn where_nobody_is_behind_a_classic_load_balancer_none_is_told() {
    let s = scene("no-classic");
    s.bench.sim.add_classic("front", &["i-0aaaaaaaaaaaaaaaa"]);
    let found = s.bench.inspect(&ACTION, &[instance(&s.old)], &Value::Null).await;
    let (_, ready) = s.replaced().await;
    assert!(!format!("{found:?}{:?}", ready.notes).contains("Classic"), "{found:?}");
}

impl Scene {
    /// Registered by its address, which whoever comes next does not get.
    pub(super) fn by_address(secret: &str) -> (Self, String) {
        let mut s = scene(secret);
        s.old = s.bench.instance(&s.bench.a);
        let mut ip = String::new();
        s.bench.sim.edit_instance(&s.old, |i, _| {
            i.private_ip = Some("10.0.1.200".to_owned());
            ip = i.private_ip.clone().unwrap_or_default();
        });
        s.group = s.bench.sim.add_target_group("pods");
        s.bench.sim.make_by_address(&s.group);
        s.bench.sim.add_registration(&s.group, &ip, 8080);
        (s, ip)
    }

    pub(super) async fn serving(&self) -> Vec<String> {
        let mut all = self.bench.read().reads.elb.registrations(&self.group).await.expect("reads");
        all.retain(|r| r.state != "draining");
        all.into_iter().map(|r| r.id).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn the_dead_address_leaves_its_target_group_before_the_new_one_comes() {
    let (s, _) = Scene::by_address("address-group");
    let (new, ready) = s.replaced().await;
    assert_eq!(s.serving().await, [new.private_ip.expect("it has one")]);
    let sent: Vec<String> = s.bench.sim.changes().into_iter().map(|c| c.operation).collect();
    let at = |what: &str| sent.iter().position(|op| op.ends_with(what)).expect("sent");
    assert!(at(":DeregisterTargets") < at(":RegisterTargets"), "{sent:?}");
    assert!(ready.notes.iter().any(|n| n.contains("is taken out of pods")), "{:?}", ready.notes);
}

#[tokio::test(start_paused = true)]
async fn an_address_that_is_anothers_by_then_stays_registered() {
    let (s, ip) = Scene::by_address("address-taken");
    let p = s.lost(&Value::Null).await;
    let pod = s.bench.sim.add_interface(&s.bench.a, "interface", "aws-K8S-i-0aaaaaaaaaaaaaaaa");
    s.bench.sim.edit_interface(&pod, |i| i.addresses = vec![ip.clone()]);
    s.apply(&p).await.expect("launched");
    let serving = s.serving().await;
    assert!(serving.contains(&ip) && serving.len() == 2, "{serving:?}");
}

#[tokio::test(start_paused = true)]
async fn an_interface_of_the_original_that_stays_is_no_other() {
    for attached in [false, true] {
        let (s, ip) = Scene::by_address(if attached { "address-moved" } else { "address-stays" });
        let stays = s.bench.sim.add_interface(&s.bench.a, "interface", "of the original");
        s.bench.sim.edit_interface(&stays, |i| i.addresses = vec![ip.clone()]);
        s.bench.sim.edit_instance(&s.old, |i, _| i.settings.interfaces.push(stays.clone()));
        let p = s.lost(&Value::Null).await;
        if attached {
            s.bench.sim.edit_interface(&stays, |i| i.instance = Some("i-0another".to_owned()));
        }
        s.apply(&p).await.expect("launched");
        let serving = s.serving().await;
        // the address of what has ended serves nobody, unless somebody attached it to another server
        let told = (serving.contains(&ip), serving.len());
        assert_eq!(told, (attached, 1 + usize::from(attached)), "{serving:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_quota_that_counts_the_original_until_it_has_ended_is_waited_for() {
    for code in ["VcpuLimitExceeded", "InstanceLimitExceeded"] {
        let s = scene(code);
        let p = s.lost(&Value::Null).await;
        s.bench.sim.fail_next(RUN, code, 2);
        s.apply(&p).await.expect("launched once the original is not counted any more");
    }
}

#[tokio::test(start_paused = true)]
async fn an_address_that_a_failover_took_keeps_nothing_else_from_being_put_in_place() {
    let s = scene("failover");
    let standby = s.bench.instance(&s.bench.a);
    let p = s.lost(&Value::Null).await;
    let taken = Mutation::AssociateAddress {
        allocation: s.allocation.clone(),
        instance: standby.clone(),
        from: None,
    };
    s.bench.somebody(taken).await;
    let refused = s.apply(&p).await.expect_err("the address is the standby's");
    assert!(refused.message.contains("AssociateAddress"), "{refused:?}");
    let new = s.replacements().await.remove(0).id;
    let registered = s.bench.read().reads.elb.registrations(&s.group).await.expect("reads");
    assert!(registered.iter().any(|r| r.id == new), "{registered:?}");
}

#[tokio::test(start_paused = true)]
async fn the_same_address_in_another_vpc_is_somebody_elses() {
    let (s, ip) = Scene::by_address("address-elsewhere");
    s.bench.sim.move_group(&s.group, "vpc-0peer");
    let (_, ready) = s.replaced().await;
    assert_eq!(s.serving().await, [ip], "neither taken out nor joined");
    assert!(!ready.notes.iter().any(|n| n.contains("pods")), "{:?}", ready.notes);
}

#[tokio::test(start_paused = true)]
async fn what_is_removed_leaves_its_target_group_of_addresses() {
    let (s, _) = Scene::by_address("address-removed");
    let p = s.beside().await;
    let before = s.serving().await;
    s.apply(&p).await.expect("launched");
    assert_eq!((before.len(), s.serving().await.len()), (1, 2));
    s.bench.undo(&ACTION, &p).await.expect("removed");
    assert_eq!(s.serving().await, before);
}

#[tokio::test(start_paused = true)]
async fn a_target_group_that_was_unhealthy_before_is_foreseen_and_not_waited_for() {
    let s = scene("ailing");
    s.bench.sim.withdraw("health of everything new");
    let found = s.bench.inspect(&ACTION, &[instance(&s.old)], &Value::Null).await;
    assert!(found.iter().any(|f| f.text.contains("unhealthy in web already")), "{found:?}");
    let (_, ready) = s.replaced().await;
    assert!(ready.notes.iter().any(|n| n.contains("in web the original was unhealthy")), "{:?}", ready.notes);

    // where the original was healthy, its replacement has to be
    let s = scene("well");
    let found = s.bench.inspect(&ACTION, &[instance(&s.old)], &Value::Null).await;
    assert!(!found.iter().any(|f| f.text.contains("unhealthy")), "{found:?}");
}

#[tokio::test(start_paused = true)]
async fn in_a_zone_outage_what_was_launched_is_known_by_its_id() {
    let s = scene("outage");
    let p = s.beside().await;
    s.apply(&p).await.expect("launched");
    s.bench.sim.withdraw("listing of all zones");
    s.bench.ready(&ACTION, &p, &Value::Null).await;
    assert!(matches!(s.bench.undo(&ACTION, &p).await, Ok(Undone::PutBack(_))));

    // what was never launched is not known, and nothing is concluded
    let s = scene("outage-before");
    let p = s.lost(&Value::Null).await;
    s.bench.sim.withdraw("listing of all zones");
    assert!(s.apply(&p).await.is_err());
    assert_eq!(s.bench.sent(RUN), 0);
}

#[tokio::test(start_paused = true)]
async fn the_time_that_aws_takes_to_end_the_original_is_told_apart() {
    let s = scene("aws-time");
    let with = json!({"private_ip": "keep"});
    let target = instance(&s.old);
    let captured = DynAction::capture(&ACTION, s.bench.read(), &target, &with).await.expect("captures");
    s.bench.sim.tune(|pace| pace.instance_terminate = Dur::mins(7));
    s.bench.somebody(Mutation::TerminateInstances { ids: vec![s.old.clone()] }).await;
    let batch = [(Some(target.clone()), captured)];
    let undo = DynAction::prepare(&ACTION, s.bench.read(), &batch, &with).await.remove(0).expect("prepares");
    let applied = s.apply(&Prepared { target: Some(target), undo }).await.expect("launched");
    let told = applied.notes.iter().find(|n| n.contains("until AWS had ended")).expect("told");
    assert!(told.contains("7m") || told.contains("7 m"), "{told}");
}
