//! What a replacement has of its original in an account as they are: addresses, volumes and their tags, load balancers
//! of every kind, as many tags as fit.

use std::collections::{BTreeMap, BTreeSet};

use redrill::sandbox::{Pace, SandboxOptions};
use serde_json::Value;

use super::super::drills::{Parts, server};
use super::super::world::World;
use super::{inner, planned, refused, says, told};

const CLASSIC: &str = "2012-06-01";
const BALANCERS: &str = "elasticloadbalancing";
/// The originals that run; one more is stopped.
const RUNNING: usize = 7;

/// Launches an original; what AWS answers.
async fn launched(w: &World, name: &str, tags: usize, more: &[(&str, &str)]) -> String {
    let spec = |n: usize, what: &str| format!("TagSpecification.1.Tag.{n}.{what}");
    let mut all = vec![
        ("Action".to_owned(), "RunInstances".to_owned()),
        ("ImageId".to_owned(), "ami-1e749f67".to_owned()),
        ("InstanceType".to_owned(), "t3.micro".to_owned()),
        ("MinCount".to_owned(), "1".to_owned()),
        ("MaxCount".to_owned(), "1".to_owned()),
        ("TagSpecification.1.ResourceType".to_owned(), "instance".to_owned()),
    ];
    let own = [("Name".to_owned(), name.to_owned()), ("fleet".to_owned(), "estate".to_owned())];
    let own = own.into_iter().chain([("env".to_owned(), "staging".to_owned())]);
    let own = own.chain((3..tags).map(|n| (format!("cost-{n}"), "x".to_owned())));
    for (n, (key, value)) in own.enumerate() {
        all.extend([(spec(n + 1, "Key"), key), (spec(n + 1, "Value"), value)]);
    }
    all.extend(more.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
    let pairs: Vec<(&str, &str)> = all.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    w.ec2(&pairs).await
}

/// One whose launch says whether it has a public address.
async fn exposed(w: &World, name: &str, subnet: &str, group: &str, public: &str) -> String {
    let interface = [
        ("NetworkInterface.1.DeviceIndex", "0"),
        ("NetworkInterface.1.SubnetId", subnet),
        ("NetworkInterface.1.SecurityGroupId.1", group),
        ("NetworkInterface.1.AssociatePublicIpAddress", public),
    ];
    told(&launched(w, name, 3, &interface).await, "instanceId")
}

fn estate(w: &World) -> Parts {
    let mut drill = server(w);
    drill.targets = "\n  web: { resource: ec2.instance, tags: { fleet: estate } }".to_owned();
    drill.limits = drill.limits.replace("max_targets: 5", "max_targets: 20");
    drill.steady = format!(
        "  - {{ name: servers, probe: ec2.instances, with: {{ tags: {{ fleet: estate }}, at_least: {RUNNING}, \
         include_run_made: true }}, every: 300ms, hold: 1s }}"
    );
    drill
}

/// The tags of a resource; those of the run are left out.
async fn tags(w: &World, id: &str) -> BTreeMap<String, String> {
    let ask = [("Action", "DescribeTags"), ("Filter.1.Name", "resource-id"), ("Filter.1.Value.1", id)];
    let answer = w.ec2(&ask).await;
    let plain = |text: &str| text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
    let one =
        |item: &str| Some((plain(inner(item, "key")?), plain(inner(item, "value").unwrap_or_default())));
    let all = answer.split("<item>").skip(1).filter_map(one);
    all.filter(|(key, _)| !key.starts_with("redrill:")).collect()
}

async fn volume(w: &World, instance: &str, device: &str) -> String {
    let ask = [
        ("Action", "DescribeVolumes"),
        ("Filter.1.Name", "attachment.instance-id"),
        ("Filter.1.Value.1", instance),
        ("Filter.2.Name", "attachment.device"),
        ("Filter.2.Value.1", device),
    ];
    told(&w.ec2(&ask).await, "volumeId")
}

async fn tag(w: &World, id: &str, all: &[(&str, &str)]) {
    let mut pairs =
        vec![("Action".to_owned(), "CreateTags".to_owned()), ("ResourceId.1".to_owned(), id.to_owned())];
    for (n, (key, value)) in all.iter().enumerate() {
        pairs.push((format!("Tag.{}.Key", n + 1), (*key).to_owned()));
        pairs.push((format!("Tag.{}.Value", n + 1), (*value).to_owned()));
    }
    let pairs: Vec<(&str, &str)> = pairs.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    w.ec2(&pairs).await;
}

/// An Elastic IP with an instance or an interface: its address.
async fn address(w: &World, kind: &str, id: &str) -> String {
    let made = w.ec2(&[("Action", "AllocateAddress"), ("Domain", "vpc")]).await;
    let allocation = told(&made, "allocationId");
    w.ec2(&[("Action", "AssociateAddress"), ("AllocationId", &allocation), (kind, id)]).await;
    told(&made, "publicIp")
}

/// Who stands in for an instance, as AWS tells it.
async fn successor(w: &World, of: &str) -> (String, String) {
    let ask = [
        ("Action", "DescribeInstances"),
        ("Filter.1.Name", "tag:redrill:replaces"),
        ("Filter.1.Value.1", of),
    ];
    let answer = w.ec2(&ask).await;
    assert_eq!(answer.matches("<instanceId>").count(), 1, "{answer}");
    (told(&answer, "instanceId"), answer)
}

fn public(told: &str) -> Option<&str> {
    inner(told, "ipAddress").filter(|ip| !ip.is_empty())
}

/// Everything at once, each thing on an instance of its own: they are terminated and replaced in one run.
#[tokio::test]
async fn a_replacement_has_what_its_original_had_and_what_it_has_not_is_told() {
    let Some(w) = World::start().await else { return };
    let [open, closed] =
        [w.named("subnets", "shop-public-b").await, w.named("subnets", "shop-private-a").await];
    let state = w.state().await;
    let vpc = state["subnets"][&open]["vpc"].as_str().expect("a VPC").to_owned();
    let group = state["instances"][0]["security_groups"][0].as_str().expect("a group").to_owned();
    w.ec2(&[("Action", "ModifySubnetAttribute"), ("SubnetId", &open), ("MapPublicIpOnLaunch.Value", "true")])
        .await;

    // against what its subnet does by itself, either way; and one that is stopped has given its address back
    let hidden = exposed(&w, "hidden", &open, &group, "false").await;
    let shown = exposed(&w, "shown", &closed, &group, "true").await;
    let idle = told(&launched(&w, "idle", 3, &[("SubnetId", &open)]).await, "instanceId");
    w.ec2(&[("Action", "StopInstances"), ("InstanceId.1", &idle)]).await;

    // volumes with tags of their own, and a root that outlives its instance
    let disks = [
        ("SubnetId", closed.as_str()),
        ("BlockDeviceMapping.1.DeviceName", "/dev/sda1"),
        ("BlockDeviceMapping.1.Ebs.VolumeSize", "9"),
        ("BlockDeviceMapping.1.Ebs.DeleteOnTermination", "false"),
        ("BlockDeviceMapping.2.DeviceName", "/dev/sdf"),
        ("BlockDeviceMapping.2.Ebs.VolumeSize", "3"),
        ("BlockDeviceMapping.2.Ebs.DeleteOnTermination", "true"),
    ];
    let disks = told(&launched(&w, "disks", 3, &disks).await, "instanceId");
    let (root, data) = (volume(&w, &disks, "/dev/sda1").await, volume(&w, &disks, "/dev/sdf").await);
    let of_root = [("backup", "daily <35d> & weekly + \u{e9}"), ("Name", "web root"), ("empty", "")];
    let of_data = [("backup", "daily <35d> & weekly + \u{e9}"), ("Name", "web data")];
    tag(&w, &root, &of_root).await;
    tag(&w, &data, &of_data).await;

    // behind two Classic Load Balancers; by its address in a target group
    for name in ["front", "old-front", "not-his"] {
        let balancer = [
            ("Action", "CreateLoadBalancer"),
            ("LoadBalancerName", name),
            ("Listeners.member.1.Protocol", "http"),
            ("Listeners.member.1.LoadBalancerPort", "80"),
            ("Listeners.member.1.InstancePort", "80"),
            ("Subnets.member.1", &closed),
        ];
        w.query(BALANCERS, CLASSIC, &balancer).await;
        if name != "not-his" {
            let behind = [
                ("Action", "RegisterInstancesWithLoadBalancer"),
                ("LoadBalancerName", name),
                ("Instances.member.1.InstanceId", &disks),
            ];
            w.query(BALANCERS, CLASSIC, &behind).await;
        }
    }
    let pod = launched(&w, "pod", 3, &[("SubnetId", &closed)]).await;
    let (pod, ip) = (told(&pod, "instanceId"), told(&pod, "privateIpAddress"));
    let pods = [
        ("Action", "CreateTargetGroup"),
        ("Name", "pods"),
        ("Protocol", "HTTP"),
        ("Port", "8080"),
        ("VpcId", &vpc),
        ("TargetType", "ip"),
    ];
    let pods = told(&w.query(BALANCERS, "2015-12-01", &pods).await, "TargetGroupArn");
    let joined = [
        ("Action", "RegisterTargets"),
        ("TargetGroupArn", &pods),
        ("Targets.member.1.Id", &ip),
        ("Targets.member.1.Port", "8080"),
    ];
    w.query(BALANCERS, "2015-12-01", &joined).await;

    // an Elastic IP that was given to the instance, and one that was given to its interface
    let named = told(&launched(&w, "named", 3, &[("SubnetId", &closed)]).await, "instanceId");
    let by_instance = address(&w, "InstanceId", &named).await;
    let wired = launched(&w, "wired", 3, &[("SubnetId", &closed)]).await;
    let (wired, interface) = (told(&wired, "instanceId"), told(&wired, "networkInterfaceId"));
    let by_interface = address(&w, "NetworkInterfaceId", &interface).await;

    // forty-six tags, and four of the run's while it is being kept
    let costly = told(&launched(&w, "costly", 46, &[("SubnetId", &closed)]).await, "instanceId");
    let of_costly = tags(&w, &costly).await;
    assert_eq!(of_costly.len(), 46);

    let drill = estate(&w);
    let plan = planned(&w, &drill).await;
    assert_eq!(plan.code, Some(0), "{plan}");
    let plan: Value = serde_json::from_str(&plan.out).unwrap_or_else(|e| panic!("{e}: {plan}"));
    let findings = plan["plan"]["findings"].as_array().unwrap_or_else(|| panic!("{plan}"));
    let of = |id: &str, part: &str| {
        let mut found =
            findings.iter().filter(|f| f["subject"] == id && f["text"].to_string().contains(part));
        found.next().map(ToString::to_string)
    };
    let behind = of(&disks, "Classic Load Balancer").expect("it is foreseen");
    assert!(
        behind.contains("front") && behind.contains("old-front") && !behind.contains("not-his"),
        "{behind}"
    );
    assert_eq!(findings.iter().filter(|f| f["text"].to_string().contains("Classic")).count(), 1);
    assert!(of(&wired, &format!("Elastic IP {by_interface}")).is_some(), "{plan}");

    let ended = w.run(&drill.text()).await;
    ended.expect(0, "passed");
    let notes = &ended.out;

    assert_eq!(public(&successor(&w, &hidden).await.1), None, "{ended}");
    let is = successor(&w, &shown).await.1;
    says(notes, &[&format!("public address {} instead of ", public(&is).expect("it has one"))]);
    let is = successor(&w, &idle).await.1;
    let is = public(&is).expect("what its subnet does by itself");
    says(notes, &[&format!("public address {is}; the original had none")]);

    let (new, _) = successor(&w, &disks).await;
    let map = |all: &[(&str, &str)]| -> BTreeMap<String, String> {
        all.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    };
    assert_eq!(tags(&w, &volume(&w, &new, "/dev/sda1").await).await, map(&of_root));
    assert_eq!(tags(&w, &volume(&w, &new, "/dev/sdf").await).await, map(&of_data));
    assert_eq!(tags(&w, &root).await, map(&of_root), "what is left behind stays as it was");
    says(notes, &[&format!("{root} is left unattached")]);
    for name in ["front", "old-front"] {
        says(notes, &[&format!("not registered with the Classic Load Balancer {name}; the original was")]);
    }
    assert!(!notes.contains("Classic Load Balancer not-his"), "{ended}");

    // the address is out of the group, unless it is somebody else's by now: addresses come back soon here
    let (new, is) = successor(&w, &pod).await;
    let ask = [
        ("Action", "DescribeNetworkInterfaces"),
        ("Filter.1.Name", "addresses.private-ip-address"),
        ("Filter.1.Value.1", &ip),
    ];
    let holder = w.ec2(&ask).await;
    let mut serving = BTreeSet::from([told(&is, "privateIpAddress")]);
    serving.extend(inner(&holder, "instanceId").filter(|id| *id != new).map(|_| ip.clone()));
    let state = w.state().await;
    let registered: BTreeSet<String> =
        serde_json::from_value(state["target_groups"]["pods"].clone()).expect("addresses");
    // whoever got it after it was taken out has not put it there
    let all = registered.contains(&told(&is, "privateIpAddress")) && registered.is_subset(&serving);
    assert!(all, "{registered:?} of {serving:?}: {ended}");

    assert_eq!(public(&successor(&w, &named).await.1), Some(by_instance.as_str()));
    assert_eq!(public(&successor(&w, &wired).await.1), Some(by_interface.as_str()));

    let (new, _) = successor(&w, &costly).await;
    assert_eq!(tags(&w, &new).await, of_costly);
    let kept = state["instances"].as_array().expect("instances").iter().find(|i| i["id"] == new.as_str());
    let kept = kept.expect("it runs")["tags"].as_object().expect("tags").clone();
    assert!(kept.contains_key("redrill:kept") && !kept.contains_key("redrill:run"), "{kept:?}");
}

/// AWS takes fifty tags. One more than there is room for is known before the fault: at the launch, and at the moment in
/// which a replacement is kept, when it has what it is kept by and not yet lost what it was the run's by.
#[tokio::test]
async fn an_instance_with_more_tags_than_its_replacement_has_room_for_is_not_terminated() {
    let Some(w) = World::start().await else { return };
    let mut drill = estate(&w);
    drill.steady = drill.steady.replace(&format!("at_least: {RUNNING}"), "at_least: 1");
    for (own, wanted) in [(47, "51 tags"), (48, "52 tags"), (50, "as many as AWS allows")] {
        w.reseed().await;
        let subnet = w.named("subnets", "shop-private-a").await;
        let id = told(&launched(&w, "costly", own, &[("SubnetId", &subnet)]).await, "instanceId");
        says(&refused(&w, &drill).await, &[&id, wanted]);
        let state = w.state().await;
        let all = state["instances"].as_array().expect("instances");
        assert!(all.iter().any(|i| i["id"] == id.as_str() && i["state"] == "running"), "{own}");
    }
    // what the drill adds counts as well, and what it sets anew does not count twice
    w.reseed().await;
    let subnet = w.named("subnets", "shop-private-a").await;
    launched(&w, "costly", 46, &[("SubnetId", &subnet)]).await;
    let with = |tags: &str| {
        let mut drill = drill.clone();
        drill.recovery =
            drill.recovery.replace("target: web", &format!("target: web, with: {{ tags: {tags} }}"));
        drill
    };
    says(&refused(&w, &with("{ added: x }")).await, &["51 tags"]);
    assert_eq!(planned(&w, &with("{ cost-3: y }")).await.code, Some(0));
}

/// AWS frees an Elastic IP when its instance ends; where that has not happened, it is taken from the one that has ended,
/// and from nobody else. An emulator that is as moto is leaves it there.
#[tokio::test]
async fn an_elastic_ip_is_taken_from_an_original_that_ended_with_it_and_from_nobody_else() {
    let options = SandboxOptions { pace: Pace::None, plain: true, ..SandboxOptions::default() };
    let Some(w) = World::of(options).await else { return };
    let subnet = w.named("subnets", "shop-private-a").await;
    let one = told(&launched(&w, "one", 3, &[("SubnetId", &subnet)]).await, "instanceId");
    let ip = address(&w, "InstanceId", &one).await;
    // beside it, one that is no target, with an address of its own
    let other = w.named("instances", "batch-1").await;
    let foreign = address(&w, "InstanceId", &other).await;
    let mut drill = estate(&w);
    drill.steady = drill.steady.replace(&format!("at_least: {RUNNING}"), "at_least: 1");
    let ended = w.run(&drill.text()).await;
    ended.expect(0, "passed");
    let (new, is) = successor(&w, &one).await;
    assert_eq!(public(&is), Some(ip.as_str()), "{ended}");
    let all = w.ec2(&[("Action", "DescribeAddresses")]).await;
    let holder = |ip: &str| {
        let item = all.split("<item>").find(|item| item.contains(&format!("<publicIp>{ip}<")));
        item.and_then(|item| inner(item, "instanceId")).unwrap_or_default().to_owned()
    };
    assert_eq!((holder(&ip), holder(&foreign)), (new, other), "{all}");
}
