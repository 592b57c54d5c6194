//! What is found out before the original is gone.

use super::*;
use crate::sim::SubnetSeed;

async fn refusals(s: &Scene, with: &Value) -> Vec<String> {
    s.bench.refusals(&ACTION, &[instance(&s.old)], with).await
}

fn texts(findings: &[Finding]) -> String {
    findings.iter().map(|f| format!("{:?} {}: {}\n", f.severity, f.subject, f.text)).collect()
}

async fn warnings(s: &Scene, with: &Value) -> String {
    let mut findings = s.bench.inspect(&ACTION, &[instance(&s.old)], with).await;
    findings.retain(|f| f.severity == Severity::Warning);
    texts(&findings)
}

/// The original has a key pair and an instance profile.
fn furnished(secret: &str) -> Scene {
    let s = scene(secret);
    s.bench.sim.edit_instance(&s.old, |i, _| {
        i.key_name = Some("ops".to_owned());
        i.profile_arn = Some("arn:aws:iam::123456789012:instance-profile/web".to_owned());
    });
    s
}

#[tokio::test(start_paused = true)]
async fn what_a_launch_needs_and_is_not_there_refuses_the_run() {
    let gone = [
        ("image ami-00000000000000001", "does not exist any more", "InvalidAMIID.NotFound"),
        ("use of ami-00000000000000001", "is disabled", "InvalidAMIID.Unavailable"),
        ("key ops", "key pair ops", "InvalidKeyPair.NotFound"),
        ("m7g.large us-east-1a", "no instances of type m7g.large", "Unsupported"),
        ("profile web", "instance-profile/web does not exist", "InvalidParameterValue"),
    ];
    for (what, said, code) in gone {
        let s = furnished("gone");
        assert_eq!(refusals(&s, &Value::Null).await, [""; 0], "{what}: all is there");
        s.bench.sim.withdraw(what);
        let found = refusals(&s, &Value::Null).await;
        assert!(found.len() == 1 && found[0].contains(said), "{what}: {found:?}");
        // and so it is: EC2 does not launch
        let p = s.lost(&Value::Null).await;
        let error = s.apply(&p).await.expect_err("refused").to_string();
        assert!(error.contains(code), "{what}: {error}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_image_that_is_gone_is_found_among_many_and_what_is_asked_for_all_is_asked_once() {
    let s = furnished("many");
    let mut fleet = vec![instance(&s.old)];
    for n in 0..20 {
        let id = s.bench.instance(&s.bench.a);
        s.bench.sim.edit_instance(&id, |i, _| i.image = format!("ami-{n:017x}"));
        fleet.push(instance(&id));
    }
    s.bench.sim.withdraw("image ami-00000000000000007");
    s.bench.sim.set_page_size(1_000);
    let before = s.bench.sim.calls().len();
    let found = s.bench.refusals(&ACTION, &fleet, &Value::Null).await;
    assert!(found.len() == 1 && found[0].contains("ami-00000000000000007"), "{found:?}");
    let calls = s.bench.sim.calls().split_off(before);
    let sent = |operation: &str| calls.iter().filter(|c| c.operation == operation).count();
    for once in ["KeyPairs", "InstanceTypeOfferings", "Subnets", "RouteTables"] {
        assert_eq!(sent(&format!("ec2:Describe{once}")), 1, "{once}");
    }
    assert_eq!(sent("ec2:DescribeImages"), 3, "all, then the one that is named and the others");
}

#[tokio::test(start_paused = true)]
async fn what_has_ended_is_not_looked_at_and_what_is_refused_is_not_tried() {
    let mut s = furnished("ended");
    s.bench.dry_run = Some(s.bench.sim.clone());
    s.bench.sim.withdraw("image ami-00000000000000001");
    assert_eq!(refusals(&s, &Value::Null).await.len(), 1);
    let tried = |c: &&crate::sim::Call| c.operation == "ec2:RunInstances (DryRun)";
    assert_eq!(s.bench.sim.calls().iter().filter(tried).count(), 0, "it is known to fail");
    s.bench.sim.edit_instance(&s.old, |i, _| "shutting-down".clone_into(&mut i.state));
    assert_eq!(refusals(&s, &Value::Null).await, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn another_type_is_what_has_to_be_offered() {
    let s = scene("type");
    s.bench.sim.withdraw("m7g.large us-east-1a");
    assert_eq!(refusals(&s, &json!({"instance_type": "m7g.xlarge"})).await, [""; 0]);
    assert_eq!(refusals(&s, &Value::Null).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn tags_that_do_not_fit_beside_those_of_the_run_are_refused_before_the_fault() {
    for (own, fits) in [(46, true), (47, false)] {
        let s = scene("tags");
        let tags: Tags = (0..own).map(|n| (format!("t{n}"), String::new())).collect();
        s.bench.sim.edit_instance(&s.old, |i, _| i.tags = tags);
        assert_eq!(refusals(&s, &Value::Null).await.is_empty(), fits, "{own}");
        // and so it is: it is launched, and cannot be kept
        let p = s.lost(&Value::Null).await;
        s.apply(&p).await.expect("launched");
        let kept = DynAction::keep(&ACTION, s.bench.write(), None, &p.undo).await;
        assert_eq!(kept.is_ok(), fits, "{own}: {kept:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_somebody_else_replaces_is_refused_and_what_a_stack_made_is_told() {
    let tags = [
        "aws:ec2spot:fleet-request-id",
        "karpenter.sh/nodeclaim",
        "karpenter.sh/nodepool",
        "karpenter.sh/provisioner-name",
        "aws:elasticmapreduce:job-flow-id",
    ];
    for tag in tags {
        let s = scene("owned");
        s.bench.sim.edit_instance(&s.old, |i, _| _ = i.tags.insert(tag.to_owned(), "x".to_owned()));
        let found = refusals(&s, &Value::Null).await;
        assert!(found.len() == 1 && found[0].contains("one too many"), "{tag}: {found:?}");
    }
    for (kind, replaces) in [("maintain", true), ("instant", false), ("request", false)] {
        let s = scene("fleet-member");
        s.bench.sim.put_into_fleet(&s.old, kind);
        let found = refusals(&s, &Value::Null).await;
        assert_eq!(
            found.iter().any(|f| f.contains("of type `maintain` replaces")),
            replaces,
            "{kind}: {found:?}"
        );
        assert_eq!(found.is_empty(), !replaces, "{kind}: {found:?}");
    }
    let s = scene("group");
    s.bench.sim.add_group("web", &[&s.old], &[]);
    let found = refusals(&s, &Value::Null).await;
    assert!(found.len() == 1 && found[0].contains("Auto Scaling group web"), "{found:?}");
    let s = scene("managed");
    s.bench.sim.edit_instance(&s.old, |i, _| i.settings.operator = Some("eks.amazonaws.com".to_owned()));
    assert!(refusals(&s, &Value::Null).await[0].starts_with("eks.amazonaws.com replaces"));
    let s = scene("stack");
    s.bench.sim.edit_instance(&s.old, |i, _| {
        i.tags.insert("aws:cloudformation:stack-name".to_owned(), "shop".to_owned());
    });
    assert_eq!(refusals(&s, &Value::Null).await, [""; 0]);
    assert!(warnings(&s, &Value::Null).await.contains("stack shop will not know"));
}

#[tokio::test(start_paused = true)]
async fn what_forwards_for_others_or_has_more_interfaces_is_refused() {
    let s = scene("nat");
    s.bench.sim.edit_instance(&s.old, |i, _| i.settings.forwards = true);
    assert!(refusals(&s, &Value::Null).await[0].contains("source and destination check"));
    let s = scene("interfaces");
    s.bench.sim.edit_instance(&s.old, |i, _| i.settings.interfaces.push("eni-2".to_owned()));
    assert!(refusals(&s, &Value::Null).await[0].contains("2 network interfaces"));
    for by_interface in [false, true] {
        let s = scene("route");
        let mut via = s.old.clone();
        if by_interface {
            s.bench.sim.edit_instance(&s.old, |i, _| via.clone_from(&i.settings.interfaces[0]));
        }
        s.bench.sim.set_route(&s.bench.public, "192.168.0.0/16", &via, "active");
        assert!(refusals(&s, &Value::Null).await[0].contains("route to 192.168.0.0/16"), "{via}");
        s.bench.sim.set_route(&s.bench.public, "192.168.0.0/16", "eni-another", "active");
        assert_eq!(refusals(&s, &Value::Null).await, [""; 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_replacement_will_lack_is_told() {
    let s = scene("lacks");
    assert_eq!(warnings(&s, &Value::Null).await, "");
    s.bench.sim.edit_instance(&s.old, |i, _| {
        i.settings.addresses = vec!["10.0.1.77".to_owned()];
        i.settings.reservation = Some("cr-1".to_owned());
        i.settings.bandwidth = Some("vpc-1".to_owned());
        i.settings.nested = Some("enabled".to_owned());
        i.block_devices.push(BlockDevice {
            device: "/dev/sdf".to_owned(),
            volume: "vol-data".to_owned(),
            delete_on_termination: false,
        });
    });
    let told = warnings(&s, &json!({"private_ip": "keep"})).await;
    for said in ["10.0.1.77", "Capacity Reservation cr-1", "vol-data at /dev/sdf", "takes it first"] {
        assert!(told.contains(said), "{said}: {told}");
    }
    for (kind, told) in [("m7g.large", false), ("m7g.xlarge", true)] {
        let found = warnings(&s, &json!({"instance_type": kind})).await;
        assert_eq!(found.contains("bandwidth weighting, vpc-1"), told, "{kind}: {found}");
        assert_eq!(found.contains("nested virtualization"), told, "{kind}: {found}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_subnet_and_one_of_another_account_are_told() {
    let s = scene("subnet");
    let small = s.bench.sim.add_subnet(&SubnetSeed {
        vpc: s.bench.vpc.clone(),
        cidr: "10.0.9.0/29".to_owned(),
        zone: "us-east-1a".to_owned(),
        ..SubnetSeed::default()
    });
    let full: Vec<Target> = (0..3).map(|_| instance(&s.bench.instance(&small))).collect();
    let found = texts(&s.bench.inspect(&ACTION, &full, &Value::Null).await);
    assert!(found.contains("0 free addresses for 3 replacements"), "{found}");
    let keep = texts(&s.bench.inspect(&ACTION, &full, &json!({"private_ip": "keep"})).await);
    assert!(!keep.contains("free addresses"), "{keep}");
    s.bench.sim.share_subnet(&s.bench.a, "999999999999");
    let found = warnings(&s, &Value::Null).await;
    assert!(found.contains("shared by account 999999999999"), "{found}");
}

#[tokio::test(start_paused = true)]
async fn on_aws_itself_the_very_launches_are_tried_with_dry_run() {
    const ASKED: &str = "ec2:RunInstances (DryRun)";
    let asked = |s: &Scene| s.bench.sim.calls().iter().filter(|c| c.operation == ASKED).count();
    let mut s = furnished("dry-run");
    let other = || instance(&s.bench.instance(&s.bench.b));
    let fleet = [instance(&s.old), other(), other()];
    s.bench.sim.deny(RUN);
    assert_eq!(s.bench.refusals(&ACTION, &fleet, &Value::Null).await, [""; 0], "nobody is asked in a plan");
    assert_eq!(asked(&s), 0);
    s.bench.dry_run = Some(s.bench.sim.clone());
    let found = s.bench.refusals(&ACTION, &fleet, &Value::Null).await;
    assert!(found.len() == 3 && found.iter().all(|f| f.contains("UnauthorizedOperation")), "{found:?}");
    assert_eq!(asked(&s), 2, "two of them are alike");
    // throttled, nobody knows: the run is not refused for that
    s.bench.sim.fail_next(ASKED, "RequestLimitExceeded", 1);
    let found = texts(&s.bench.inspect(&ACTION, &fleet[..1], &Value::Null).await);
    assert!(found.contains("Warning") && found.contains("not told") && !found.contains("Refusal"), "{found}");
    assert_eq!(s.bench.sent(RUN), 0);
    // what the original makes room for when it has ended, and what it does not
    for (code, is_refused) in [("VcpuLimitExceeded", false), ("VolumeLimitExceeded", true)] {
        let mut s = furnished("dry-run-limit");
        s.bench.dry_run = Some(s.bench.sim.clone());
        s.bench.sim.fail_next(ASKED, code, 1);
        let found = texts(&s.bench.inspect(&ACTION, &[instance(&s.old)], &Value::Null).await);
        assert!(found.contains(code), "{found}");
        assert_eq!(found.contains("Refusal"), is_refused, "{found}");
    }

    let mut s = furnished("dry-run-allowed");
    s.bench.dry_run = Some(s.bench.sim.clone());
    assert_eq!(refusals(&s, &Value::Null).await, [""; 0]);
    assert_eq!((asked(&s), s.bench.sent(RUN)), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn what_an_interface_that_stays_keeps_is_foreseen_and_on_aws_refused() {
    let keeps =
        "its network interface eni-9 outlives it (DeleteOnTermination is off) and keeps its addresses";
    for (public, with, told) in
        [(true, Value::Null, true), (false, json!({"private_ip": "keep"}), true), (false, Value::Null, false)]
    {
        let mut s = scene("staying");
        let ip = public.then(|| "203.0.113.9".to_owned());
        s.bench.sim.edit_instance(&s.old, |i, _| {
            (i.settings.staying, i.public_ip) = (vec!["eni-9".to_owned()], ip);
        });
        let found = s.bench.inspect(&ACTION, &[instance(&s.old)], &with).await;
        assert_eq!(found.iter().any(|f| f.text.starts_with(keeps)), told, "{found:?}");
        assert_eq!(refusals(&s, &with).await, [""; 0], "an emulator may say so of every interface");
        s.bench.dry_run = Some(s.bench.sim.clone());
        let refused = refusals(&s, &with).await;
        assert_eq!(refused.iter().any(|r| r.starts_with(keeps)), told, "{refused:?}");
    }
}
