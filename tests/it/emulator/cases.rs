//! What accounts are like in the field: a subnet in which more lives than instances, a restore into another VPC, paths
//! that no URL has, a partition of its own, a trail's folder with more than records in it.
//!
//! What a replacement keeps of its original is in `alike`. Each test asks about one estate, several things at a time:
//! an emulator costs seconds.

use std::io::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use super::drills::{Parts, blind, database, network, server, shop};
use super::reconcile::record;
use super::world::{Ended, Running, World};

mod alike;

/// What stands between the first `<name>` and its end.
fn inner<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    Some(rest.split_once(&format!("</{name}>"))?.0)
}

/// The same, where it must be there.
fn told(xml: &str, name: &str) -> String {
    inner(xml, name).unwrap_or_else(|| panic!("no {name}: {xml}")).to_owned()
}

/// A plan of this drill, as text: every finding in one piece.
async fn planned(w: &World, drill: &Parts) -> Ended {
    w.file("drill.yaml", &drill.text());
    w.go(["plan", "drill.yaml", "--output", "json"]).await
}

/// The drill is refused, by its plan and by its run, with nothing changed; what the plan says.
async fn refused(w: &World, drill: &Parts) -> String {
    let plan = planned(w, drill).await;
    assert_eq!(plan.code, Some(3), "{plan}");
    let before = w.changes().await;
    w.run(&drill.text()).await.expect(3, "refused");
    assert_eq!(w.changes().await, before, "nothing was changed");
    format!("{plan}")
}

fn says(text: &str, all: &[&str]) {
    for one in all {
        assert!(text.contains(one), "`{one}` is not said: {text}");
    }
}

/// A drill that takes the subnet of this name off its table.
fn cut(w: &World, subnet: &str, limit: &str) -> Parts {
    let mut drill = Parts { steady: blind(w), recovery: String::new(), ..network(w) };
    drill.fault = "  - { action: vpc.detach-route-table, id: detach, target: edge }".to_owned();
    drill.targets = format!("\n  edge: {{ resource: vpc.subnet, where: {{ name: {subnet} }} }}");
    drill.limits = drill.limits.replace("forbid_tags: { redrill: never }", limit);
    drill.top("impact: none-expected")
}

/// A subnet without any instance may carry the traffic of all others: by a NAT gateway, or by a server that a route
/// leads to. And there are things in a subnet that nobody calls a server: endpoints, nodes of load balancers.
#[tokio::test]
async fn what_lives_in_a_subnet_that_is_cut_and_who_goes_through_it_is_seen() {
    let Some(w) = World::start().await else { return };
    let state = w.state().await;
    let [public, other] =
        [w.named("subnets", "shop-public-b").await, w.named("subnets", "shop-public-a").await];
    let [a, b] = [w.named("subnets", "shop-private-a").await, w.named("subnets", "shop-private-b").await];
    let vpc = state["subnets"][&public]["vpc"].as_str().expect("a VPC");
    let webs: Vec<&str> = state["instances"]
        .as_array()
        .expect("instances")
        .iter()
        .filter(|i| i["tags"]["role"] == "web")
        .map(|i| i["id"].as_str().expect("an id"))
        .collect();

    // no instance is in the subnet of the NAT gateway, and three lose their way out with it
    let nobody = cut(&w, "shop-public-a", "forbid_tags: { role: web }, max_affected: 0");
    let said = refused(&w, &nobody).await;
    says(&said, &["NAT gateway nat-", &a, &b, "route through it and are cut off", "0 are allowed: 3 of the"]);
    assert_eq!(webs.len(), 3);
    says(&said, &webs);
    let meant = cut(&w, "shop-public-a", "allow_reach: [nat-gateway]");
    assert_eq!(planned(&w, &meant).await.code, Some(0));

    // a server that forwards, a load balancer's node and an endpoint
    let router = w.named("instances", "batch-1").await;
    let answer = w.ec2(&[("Action", "DescribeInstances"), ("InstanceId.1", &router)]).await;
    let interface = told(&answer, "networkInterfaceId");
    let made = [("Action", "CreateSubnet"), ("VpcId", vpc), ("CidrBlock", "10.20.77.0/24")];
    let far = told(&w.ec2(&made).await, "subnetId");
    let table = told(&w.ec2(&[("Action", "CreateRouteTable"), ("VpcId", vpc)]).await, "routeTableId");
    w.ec2(&[("Action", "AssociateRouteTable"), ("SubnetId", &far), ("RouteTableId", &table)]).await;
    w.ec2(&[
        ("Action", "CreateRoute"),
        ("RouteTableId", &table),
        ("DestinationCidrBlock", "0.0.0.0/0"),
        ("NetworkInterfaceId", &interface),
    ])
    .await;
    let endpoint = w
        .ec2(&[
            ("Action", "CreateVpcEndpoint"),
            ("VpcId", vpc),
            ("ServiceName", "com.amazonaws.us-east-1.sqs"),
            ("VpcEndpointType", "Interface"),
            ("SubnetId.1", &public),
        ])
        .await;
    let endpoint = told(&endpoint, "vpcEndpointId");
    let balancer = [("Action", "CreateLoadBalancer"), ("Name", "front"), ("Subnets.member.1", &public)];
    let balancer = [&balancer[..], &[("Subnets.member.2", other.as_str())]].concat();
    w.query("elasticloadbalancing", "2015-12-01", &balancer).await;
    let classic = [
        ("Action", "CreateLoadBalancer"),
        ("LoadBalancerName", "old-front"),
        ("Listeners.member.1.Protocol", "http"),
        ("Listeners.member.1.LoadBalancerPort", "80"),
        ("Listeners.member.1.InstancePort", "80"),
        ("Subnets.member.1", &public),
    ];
    w.query("elasticloadbalancing", "2012-06-01", &classic).await;
    let said = refused(&w, &cut(&w, "shop-public-b", "forbid_tags: { redrill: never }")).await;
    says(&said, &[&format!("instance {router}"), &far, "limits.allow_reach does not name router"]);
    let meant = cut(&w, "shop-public-b", "allow_reach: [router]");
    let plan = planned(&w, &meant).await;
    assert_eq!(plan.code, Some(0), "{plan}");
    let there = format!("interface endpoint {endpoint}");
    says(&plan.out, &[&there, "load balancer app/front/", "load balancer old-front"]);
    // whoever counts what is hit counts these, too
    let few = cut(&w, "shop-public-b", "allow_reach: [router], max_affected: 3");
    says(&refused(&w, &few).await, &["limits.max_affected: 4 are in", &there]);
}

/// A VPC for recoveries, with a subnet group and a security group.
async fn recovery_vpc(w: &World) -> (String, String) {
    let vpc = told(&w.ec2(&[("Action", "CreateVpc"), ("CidrBlock", "10.9.0.0/16")]).await, "vpcId");
    let mut group = vec![
        ("Action".to_owned(), "CreateDBSubnetGroup".to_owned()),
        ("DBSubnetGroupName".to_owned(), "recovery".to_owned()),
        ("DBSubnetGroupDescription".to_owned(), "recovery".to_owned()),
    ];
    for (n, zone) in [(1, "us-east-1a"), (2, "us-east-1b")] {
        let cidr = format!("10.9.{n}.0/24");
        let new =
            [("Action", "CreateSubnet"), ("VpcId", &vpc), ("CidrBlock", &cidr), ("AvailabilityZone", zone)];
        group.push((format!("SubnetIds.SubnetIdentifier.{n}"), told(&w.ec2(&new).await, "subnetId")));
    }
    let group: Vec<(&str, &str)> = group.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    w.query("rds", "2014-10-31", &group).await;
    let guard = [
        ("Action", "CreateSecurityGroup"),
        ("GroupName", "recovery"),
        ("GroupDescription", "recovery"),
        ("VpcId", &vpc),
    ];
    (vpc.clone(), told(&w.ec2(&guard).await, "groupId"))
}

fn restored_with(w: &World, with: &str) -> Parts {
    let mut drill = database(w);
    drill.steady = blind(w);
    drill.recovery = drill.recovery.replace("\"-15m\"", &format!("\"-15m\", {with}"));
    drill
}

/// A security group is of one VPC: what a copy in another has must be named, and be of that one. What AWS would refuse
/// in the middle of a recovery is refused before it; so is a copy with more tags than a database can carry.
#[tokio::test]
async fn a_restore_that_aws_would_not_take_is_refused_before_anything_is_changed() {
    let Some(w) = World::start().await else { return };
    let (vpc, guard) = recovery_vpc(&w).await;
    let before = w.state().await;
    let source = &before["databases"].as_array().expect("databases");
    let source = source.iter().find(|d| d["identifier"] == "shop-orders").expect("the shop's");
    let own = source["security_groups"][0].as_str().expect("a group").to_owned();

    let said = refused(&w, &restored_with(&w, "subnet_group: recovery")).await;
    says(&said, &[&vpc, "another VPC than the source's", "cannot have the source's security groups there"]);
    let mixed = format!("subnet_group: recovery, security_groups: [{guard}, {own}]");
    says(&refused(&w, &restored_with(&w, &mixed)).await, &["cannot have the source's security groups there"]);

    // forty-seven tags and three of the run's are what a database can carry
    let mut tags = vec![
        ("Action".to_owned(), "AddTagsToResource".to_owned()),
        ("ResourceName".to_owned(), "arn:aws:rds:us-east-1:123456789012:db:shop-orders".to_owned()),
    ];
    for n in 1..=44 {
        tags.push((format!("Tags.Tag.{n}.Key"), format!("cost-{n}")));
        tags.push((format!("Tags.Tag.{n}.Value"), "x".to_owned()));
    }
    let all: Vec<(&str, &str)> = tags.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    w.query("rds", "2014-10-31", &all).await;
    // with what AWS takes the copy stands there, and has what it was given
    let elsewhere = format!("subnet_group: recovery, security_groups: [{guard}], tags: copy");
    let mut drill = restored_with(&w, &elsewhere).gated(&w);
    drill.steady = shop(&w);
    w.gate.set(false);
    let mut run = w.start_run(&drill.text());
    let ready = run.event("step-ready").await;
    let copy = ready["outputs"]["identifier"].as_str().unwrap_or_else(|| panic!("{ready}")).to_owned();
    let state = w.state().await;
    let all = state["databases"].as_array().expect("databases");
    let made = all.iter().find(|d| d["identifier"] == copy.as_str()).expect("the copy");
    assert_eq!((&made["subnet_group"], &made["security_groups"]), (&json!("recovery"), &json!([guard])));
    assert_eq!(made["tags"].as_object().map(serde_json::Map::len), Some(50), "{made}");
    w.gate.set(true);
    run.end().await.expect(0, "passed");

    let more =
        [&all_but_keys(&tags)[..], &[("Tags.Tag.1.Key", "one-more"), ("Tags.Tag.1.Value", "x")]].concat();
    w.query("rds", "2014-10-31", &more).await;
    let said = refused(&w, &restored_with(&w, "tags: copy")).await;
    says(&said, &["51 tags of the copy are more than the 50 that AWS allows"]);
    assert_eq!(planned(&w, &restored_with(&w, "tags: none")).await.code, Some(0));
}

fn all_but_keys(pairs: &[(String, String)]) -> Vec<(&str, &str)> {
    let kept = pairs.iter().filter(|(k, _)| !k.starts_with("Tags."));
    kept.map(|(k, v)| (k.as_str(), v.as_str())).collect()
}

/// What was deleted is not restored from what RDS retains of it, and that is said: in the catalogue, and where it goes
/// between the plan and the run. What is on its way out is no source either.
#[tokio::test]
async fn a_database_that_somebody_deletes_is_no_target_and_what_to_do_is_said() {
    let Some(w) = World::with(&[("delete", 600.0)]).await else { return };
    let mut drill = Parts { steady: blind(&w), ..database(&w) };
    drill.targets =
        "\n  orders: { resource: rds.instance, where: { identifier: shop-orders }, select: { count: 1 } }"
            .to_owned();
    w.file("drill.yaml", &drill.text());
    let made = w.go(["plan", "drill.yaml", "-o", "plan.json"]).await;
    assert_eq!(made.code, Some(0), "{made}");
    let orders = |action| [("Action", action), ("DBInstanceIdentifier", "shop-orders")];
    let unprotected = [&orders("ModifyDBInstance")[..], &[("DeletionProtection", "false")]].concat();
    w.query("rds", "2014-10-31", &unprotected).await;
    let retained = [("SkipFinalSnapshot", "true"), ("DeleteAutomatedBackups", "false")];
    w.query("rds", "2014-10-31", &[&orders("DeleteDBInstance")[..], &retained].concat()).await;
    let there = w.query("rds", "2014-10-31", &orders("DescribeDBInstances")).await;
    says(&there, &["<DBInstanceStatus>deleting<"]);
    w.forget_calls().await;
    // the plan is from before; and with one of now it is no better
    let late = w.go(["run", "plan.json", "--yes", "--output", "json"]).await;
    late.expect(3, "refused");
    let what = ["it is being deleted", "retained or replicated automated backups"];
    says(&format!("{late}"), &what[..1]);
    says(&refused(&w, &drill).await, &what);
    drill.targets = drill.targets.replace("shop-orders", "shop-orders-of-old");
    says(&refused(&w, &drill).await, &["none of the 3 rds.instance in us-east-1 matches"]);
    assert!(w.changes().await.is_empty());
    let catalogue = w.go(["catalog", "rds.restore-to-point-in-time"]).await;
    let text = catalogue.out.split_whitespace().collect::<Vec<_>>().join(" ");
    says(
        &text,
        &["restoring from retained or replicated automated backups", "not something this action does"],
    );
}

/// CloudFront refuses the whole request for one path that no URL has; what is encoded already must not be encoded
/// again, and what means something in XML must arrive as it is. What it refuses for its number is known to `check`.
#[tokio::test]
async fn paths_reach_cloudfront_as_it_takes_them() {
    let Some(w) = World::start().await else { return };
    let invalidating = |paths: &[String]| {
        let mut drill = Parts { fault: String::new(), steady: blind(&w), ..network(&w) };
        drill.targets =
            "\n  front: { resource: cloudfront.distribution, tags: { role: storefront } }".to_owned();
        let paths = json!(paths);
        drill.recovery = format!(
            "  - {{ action: cloudfront.invalidate, id: forget, target: front, with: {{ paths: {paths} }} }}"
        );
        drill
    };
    let pairs = [
        ("/css/main.css", "/css/main.css"),
        ("/summer sale/*", "/summer%20sale/*"),
        ("/gr\u{f6}\u{df}en.html", "/gr%C3%B6%C3%9Fen.html"),
        // encoded by its author; a sign that only looks so
        ("/winter%20sale/*", "/winter%20sale/*"),
        ("/100%", "/100%25"),
        ("/search?a=1&b=<2>", "/search?a=1&amp;b=%3C2%3E"),
        ("/it's;v=1", "/it's;v=1"),
    ];
    let asked: Vec<String> = pairs.iter().map(|(asked, _)| (*asked).to_owned()).collect();
    let drill = invalidating(&asked);
    w.file("drill.yaml", &drill.text());
    assert_eq!(w.go(["check", "drill.yaml"]).await.code, Some(0));
    let ended = w.run(&drill.text()).await;
    ended.expect(0, "passed");
    let ready = ended.events("step-ready");
    let id = ready[0]["outputs"]["invalidation_id"].as_str().expect("an id");
    let front = w.state().await["distributions"][0]["id"].as_str().expect("an id").to_owned();
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let url = format!("{}/2020-05-31/distribution/{front}/invalidation/{id}", w.sandbox.endpoint);
    let scope = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/cloudfront/aws4_request, SignedHeaders=host, Signature=0";
    let answer = client.get(url).header("authorization", scope).send().await.expect("answered");
    let answer = answer.text().await.expect("a body");
    let mut sent: Vec<&str> =
        answer.split("<Path>").skip(1).filter_map(|t| t.split("</Path>").next()).collect();
    let mut wanted: Vec<&str> = pairs.iter().map(|(_, sent)| *sent).collect();
    sent.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(sent, wanted, "{answer}");

    // fifteen at a time, however many single files there are beside them
    w.forget_calls().await;
    for (wild, code) in [(15, 0), (16, 2)] {
        let paths: Vec<String> = (0..wild).map(|n| format!("/{n} x/*")).chain(asked[..1].to_vec()).collect();
        w.file("drill.yaml", &invalidating(&paths).text());
        let checked = w.go(["check", "drill.yaml"]).await;
        assert_eq!(checked.code, Some(code), "{wild}: {checked}");
    }
    assert!(w.calls().await.is_empty(), "a check asks nobody");
}

/// EC2 has two names in China, and every ARN its partition's: a policy with the others denies every launch with a role,
/// after the termination. GovCloud has a partition, and one name; a drill may be for both.
#[tokio::test]
async fn the_policy_of_another_partition_allows_what_is_done_there() {
    let Some(w) = World::start().await else { return };
    for (region, partition, services) in [
        ("cn-north-1", "aws-cn", json!(["ec2.amazonaws.com", "ec2.amazonaws.com.cn"])),
        ("us-gov-west-1", "aws-us-gov", json!("ec2.amazonaws.com")),
    ] {
        let ec2 = async |pairs: &[(&str, &str)]| w.query_in(region, "ec2", "2016-11-15", pairs).await;
        let iam = async |pairs: &[(&str, &str)]| w.query_in(region, "iam", "2010-05-08", pairs).await;
        let vpc = told(&ec2(&[("Action", "CreateVpc"), ("CidrBlock", "10.0.0.0/16")]).await, "vpcId");
        let zone = format!("{region}a");
        let subnet = [
            ("Action", "CreateSubnet"),
            ("VpcId", &vpc),
            ("CidrBlock", "10.0.1.0/24"),
            ("AvailabilityZone", &zone),
        ];
        let subnet = told(&ec2(&subnet).await, "subnetId");
        iam(&[("Action", "CreateRole"), ("RoleName", "web"), ("AssumeRolePolicyDocument", "{}")]).await;
        iam(&[("Action", "CreateInstanceProfile"), ("InstanceProfileName", "web")]).await;
        iam(&[("Action", "AddRoleToInstanceProfile"), ("InstanceProfileName", "web"), ("RoleName", "web")])
            .await;
        ec2(&[
            ("Action", "RunInstances"),
            ("ImageId", "ami-1e749f67"),
            ("InstanceType", "t3.micro"),
            ("MinCount", "1"),
            ("MaxCount", "1"),
            ("SubnetId", &subnet),
            ("IamInstanceProfile.Name", "web"),
            ("TagSpecification.1.ResourceType", "instance"),
            ("TagSpecification.1.Tag.1.Key", "role"),
            ("TagSpecification.1.Tag.1.Value", "web"),
            ("TagSpecification.1.Tag.2.Key", "env"),
            ("TagSpecification.1.Tag.2.Value", "staging"),
        ])
        .await;
        let mut drill = server(&w);
        drill.targets = "\n  web: { resource: ec2.instance, tags: { role: web } }".to_owned();
        drill.limits = drill.limits.replace("us-east-1, global", region);
        drill.steady =
            "  - { name: servers, probe: ec2.instances, with: { tags: { role: web }, at_least: 1, \
                        include_run_made: true }, every: 300ms, hold: 1s }"
                .to_owned();
        w.file("drill.yaml", &drill.text());
        let there = async |args: &[&str]| {
            let mut command = w.redrill(args);
            command.env("REDRILL_REGION", region);
            Running::start(command).end().await
        };
        let planned = there(&["plan", "drill.yaml", "-o", "plan.json"]).await;
        assert_eq!(planned.code, Some(0), "{planned}");
        let passing = |policy: &Value| {
            let all = policy["Statement"].as_array().expect("statements").iter();
            let passing: Vec<&Value> = all.filter(|s| s["Action"] == "iam:PassRole").collect();
            let [one] = *passing else { panic!("{policy}") };
            (one["Resource"].clone(), one["Condition"]["StringEquals"]["iam:PassedToService"].clone())
        };
        let partitions = |text: &str| {
            let named = text.split("\"arn:").skip(1).filter_map(|t| t.split(':').next().map(str::to_owned));
            named.collect::<std::collections::BTreeSet<_>>()
        };
        // of the plan, which knows the role that is passed on, and of the drill alone
        let policy = there(&["iam", "plan.json", "--output", "json"]).await;
        let role = json!(format!("arn:{partition}:iam::123456789012:role/web"));
        assert_eq!(passing(&policy.lines[0]), (role, services.clone()), "{policy}");
        assert_eq!(partitions(&policy.out), [partition.to_owned()].into());
        let policy = there(&["iam", "drill.yaml", "--output", "json"]).await;
        assert_eq!(passing(&policy.lines[0]).1, services, "{policy}");
        // and what it allows is what is done there
        there(&["run", "plan.json", "--yes", "--output", "json"]).await.expect(0, "passed");

        drill.limits = drill.limits.replace(region, &format!("us-east-1, {region}"));
        w.file("both.yaml", &drill.text());
        let both = there(&["iam", "both.yaml", "--output", "json"]).await;
        assert_eq!(partitions(&both.out), ["aws".to_owned(), partition.to_owned()].into(), "{both}");
        assert_eq!(passing(&both.lines[0]).1, services);
    }
}

fn gz(text: &str) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packed.write_all(text.as_bytes()).expect("packed");
    packed.finish().expect("packed")
}

fn put(folder: &Path, name: &str, bytes: &[u8]) {
    let path = folder.join("trail/AWSLogs").join(name);
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    std::fs::write(path, bytes).expect("written");
}

/// An organisation's trail has the files of other accounts in its folder, and what CloudTrail itself remarked beside the
/// records. Neither changes what a comparison comes to, and a remark on a call is no record of it.
#[tokio::test]
async fn what_lies_in_a_trails_folder_beside_the_runs_records_changes_nothing() {
    let Some(w) = World::start().await else { return };
    let ended = w.run(&network(&w).text()).await;
    ended.expect(0, "passed");
    let (run, calls) = (ended.run(), w.calls().await);
    let records: Vec<Value> = calls.iter().enumerate().map(|(n, c)| record(n, c)).collect();
    let home = w.home.path();
    let own = "123456789012/CloudTrail/us-east-1/2026/01/05/a.json.gz";
    put(home, own, &gz(&json!({ "Records": records }).to_string()));
    let compared = async || {
        let trail = home.join("trail");
        let said =
            w.go(["reconcile", &run, "--from", trail.to_str().expect("a path"), "--output", "json"]).await;
        let counts = said.lines[0]["counts"].clone();
        (said, counts)
    };
    // the emulator signs no digests: it cannot be more than unclear
    let (said, alone) = compared().await;
    assert_eq!(said.code, Some(15), "{said}");
    assert!(alone["calls"].as_u64() > Some(3), "{alone}");
    assert_eq!((&alone["matched"], &alone["unexplained"]), (&alone["calls"], &json!(0)), "{alone}");

    let at = records[0]["eventTime"].clone();
    let insight = json!({
        "eventVersion": "1.09", "eventTime": at, "awsRegion": "us-east-1", "eventID": "insight-1",
        "eventType": "AwsCloudTrailInsight", "recipientAccountId": "123456789012", "sharedEventID": "shared-1",
        "eventCategory": "Insight",
        "insightDetails": {
            "state": "Start", "eventSource": "ec2.amazonaws.com", "eventName": "ReplaceRouteTableAssociation",
            "insightType": "ApiCallRateInsight",
        },
    });
    let remarks = "123456789012/CloudTrail-Insight/us-east-1/2026/01/05/i.json.gz";
    put(home, remarks, &gz(&json!({ "Records": [insight] }).to_string()));
    let sums = json!({
        "eventVersion": "1.0", "accountId": "123456789012", "eventId": "sum-1", "eventCategory": "Aggregated",
        "eventType": "AwsAggregatedEvent", "awsRegion": "us-east-1", "eventSource": "ec2.amazonaws.com",
        "timeWindow": { "windowStart": at, "windowEnd": at },
    });
    let more = "123456789012/CloudTrail-Aggregated/us-east-1/2026/01/05/s.json.gz";
    put(home, more, &gz(&json!({ "Records": [sums] }).to_string()));
    // of another account: the same changes by a caller of its own, with other ids
    let foreign: Vec<Value> = records
        .iter()
        .enumerate()
        .map(|(n, r)| {
            let mut r = r.clone();
            r["recipientAccountId"] = json!("210987654321");
            r["eventID"] = json!(format!("foreign-{n}"));
            r["requestID"] = json!(format!("foreign-{n}"));
            r["userAgent"] = json!("autoscaling.amazonaws.com");
            r["userIdentity"] = json!({ "type": "AWSService", "invokedBy": "autoscaling.amazonaws.com" });
            r
        })
        .collect();
    let theirs = "210987654321/CloudTrail/us-east-1/2026/01/05/b.json.gz";
    put(home, theirs, &gz(&json!({ "Records": foreign }).to_string()));
    let (said, beside) = compared().await;
    assert_eq!(said.code, Some(15), "{said}");
    for figure in [
        "calls",
        "matched",
        "missing",
        "unexplained",
        "by_services",
        "of_session",
        "malformed",
        "unreadable_files",
    ] {
        assert_eq!(beside[figure], alone[figure], "{figure}: {said}");
    }

    // without its record a call is missing, whatever is remarked about calls of its name
    let less: Vec<&Value> =
        records.iter().filter(|r| r["eventName"] != "ReplaceRouteTableAssociation").collect();
    assert!(less.len() < records.len());
    put(home, own, &gz(&json!({ "Records": less }).to_string()));
    let (said, without) = compared().await;
    let lost = records.len() - less.len();
    assert_eq!((said.code, &without["missing"]), (Some(1), &json!(lost)), "{said}");

    // and where the file with the rest was cut off, nobody knows
    let mut cut = gz(&json!({ "Records": records }).to_string());
    cut.truncate(cut.len() / 2);
    put(home, "123456789012/CloudTrail/us-east-1/2026/01/05/c.json.gz", &cut);
    let (said, unknown) = compared().await;
    assert_eq!((said.code, &unknown["unreadable_files"]), (Some(15), &json!(1)), "{said}");
}
