//! Probes against the sample shop in the simulator.

use std::time::Duration;

use serde_json::{Value, json};

use crate::catalog::actions::trial::{BUCKET, Trial};
use crate::catalog::{Reading, probe};
use crate::cloud::{Filter, Mutation};
use crate::model::target::TAG_RUN;
use crate::model::{Dur, Health, Tags};
use crate::sim::InstanceSeed;

async fn observe(t: &Trial, name: &str, with: Value) -> Reading {
    let probe = probe(name).expect("a probe of that name");
    assert_eq!(probe.check(&with), Vec::<String>::new(), "{name} {with}");
    probe.observe(t.read(), &with).await
}

async fn health(t: &Trial, name: &str, with: Value) -> Health {
    observe(t, name, with).await.health
}

#[tokio::test(start_paused = true)]
async fn http_sees_what_clients_get() {
    let t = Trial::new();
    let url = "http://shop.example.com/health";
    let ok = json!({ "url": url, "json": { "path": "checks.database.ok", "equals": true } });
    assert_eq!(health(&t, "http", ok.clone()).await, Health::Healthy);
    t.sim.edit_db("shop-orders", |db| "rebooting".clone_into(&mut db.status));
    let seen = observe(&t, "http", ok.clone()).await;
    assert_eq!((seen.health, seen.seen.as_str()), (Health::Unhealthy, "status 503, not 200 (0 ms)"));
    t.sim.close_port("shop.example.com");
    let seen = observe(&t, "http", ok).await;
    assert_eq!(seen.health, Health::Unhealthy, "{}", seen.seen);
    assert!(seen.seen.contains("connection refused"), "{}", seen.seen);
}

#[tokio::test(start_paused = true)]
async fn http_judges_latency() {
    let t = Trial::new();
    t.sim.tune(|pace| pace.read_latency = Dur(Duration::from_millis(300)));
    let seen = |max: &str| json!({ "url": "http://shop.example.com/", "max_latency": max });
    assert_eq!(observe(&t, "http", seen("300ms")).await, Reading::judged(true, "200 in 300 ms"));
    let slow = observe(&t, "http", seen("299ms")).await;
    assert_eq!(slow, Reading::judged(false, "200 in 300 ms, more than 299ms"));
}

#[tokio::test(start_paused = true)]
async fn silence_is_unhealthy_only_where_clients_feel_it() {
    for (name, want) in [
        ("http", Health::Unhealthy),
        ("tcp", Health::Unhealthy),
        ("sql", Health::Unhealthy),
        ("ec2.instances", Health::Unknown),
        ("rds.instance", Health::Unknown),
        ("vpc.route-table", Health::Unknown),
        ("s3.object", Health::Unknown),
        ("cloudwatch.alarm", Health::Unknown),
    ] {
        let silent = probe(name).expect("a probe").timed_out(Duration::from_secs(5));
        assert_eq!(silent.health, want, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn tcp_connects_or_not() {
    let t = Trial::new();
    let with = json!({ "host": "shop.example.com", "port": "443" });
    assert_eq!(health(&t, "tcp", with.clone()).await, Health::Healthy);
    t.sim.close_port("shop.example.com:443");
    assert_eq!(health(&t, "tcp", with).await, Health::Unhealthy);
    let unresolved = json!({ "host": "shop.example.com", "port": "${steps.restore.port}" });
    assert_eq!(health(&t, "tcp", unresolved).await, Health::Unknown);
}

#[tokio::test(start_paused = true)]
async fn sql_reads_from_the_database_and_keeps_the_password() {
    let t = Trial::new();
    t.sim.answer_sql("db", "42");
    let with = |more: Value| {
        let mut all = json!({ "host": "db", "database": "orders", "query": "select count(*) from orders" });
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        all
    };
    assert_eq!(health(&t, "sql", with(json!({ "user": "probe", "expect": 42 }))).await, Health::Healthy);
    assert_eq!(health(&t, "sql", with(json!({ "user": "probe", "expect": 43 }))).await, Health::Unhealthy);

    // the machine of a rehearsal is made up, and no variable of this one is read for it
    let made_up = with(json!({ "user": "probe", "password_env": "TEST_IS_NOT_SET_PASSWORD" }));
    assert_eq!(health(&t, "sql", made_up).await, Health::Healthy);
    // a plan from elsewhere was not checked here; PATH is set wherever this runs
    let path = with(json!({ "user": "probe", "password_env": "PATH" }));
    let seen = probe("sql").expect("a probe").observe(t.read(), &path).await;
    assert_eq!(seen.health, Health::Unknown);
    assert!(seen.seen.starts_with("`password_env` must name a variable"), "{}", seen.seen);
    t.sim.put_secret("db", r#"{"username":"probe","password":"hunter2"}"#);
    let secret = with(json!({ "secret": "db" }));
    assert_eq!(health(&t, "sql", secret.clone()).await, Health::Healthy);
    t.sim.put_secret("db", "hunter2");
    let seen = observe(&t, "sql", secret).await;
    assert_eq!(seen.health, Health::Unknown);
    assert!(!seen.seen.contains("hunter2"), "{}", seen.seen);

    t.sim.close_port("db");
    assert_eq!(health(&t, "sql", with(json!({ "user": "probe" }))).await, Health::Unhealthy);
}

#[tokio::test(start_paused = true)]
async fn instances_are_counted_on_every_page_without_what_a_run_made() {
    let t = Trial::new();
    let web = json!({ "service": "shop", "role": "we*" });
    let three = json!({ "tags": web, "at_least": 3 });
    assert_eq!(
        observe(&t, "ec2.instances", three.clone()).await,
        Reading::judged(true, "3 of at least 3 running")
    );
    let filter = Filter { ids: vec![], tags: vec![("Name".to_owned(), vec!["shop-web-1".to_owned()])] };
    let one = t.cloud.reads.ec2.instances(&filter, None).await.unwrap().items[0].clone();
    t.sim.edit_instance(&one.id, |i, _| "stopped".clone_into(&mut i.state));
    assert_eq!(
        observe(&t, "ec2.instances", three.clone()).await,
        Reading::judged(false, "2 of at least 3 running")
    );

    let mut tags: Tags = one.tags.clone();
    tags.insert(TAG_RUN.to_owned(), "a run".to_owned());
    t.sim.add_instance(&InstanceSeed {
        name: "shop-web-1".to_owned(),
        subnet: one.subnet.unwrap(),
        tags,
        ..InstanceSeed::default()
    });
    assert_eq!(health(&t, "ec2.instances", three.clone()).await, Health::Unhealthy, "made by a run");
    let all = json!({ "tags": web, "at_least": 3, "include_run_made": true });
    assert_eq!(health(&t, "ec2.instances", all).await, Health::Healthy);
    let stopped = json!({ "tags": web, "state": ["stopping", "stopped"], "at_most": 0 });
    assert_eq!(health(&t, "ec2.instances", stopped).await, Health::Unhealthy);
    t.sim.fail_next("ec2:DescribeInstances", "InternalError", 1);
    assert_eq!(health(&t, "ec2.instances", three).await, Health::Unknown);
}

#[tokio::test(start_paused = true)]
async fn a_database_that_is_not_there_is_unhealthy_and_one_unread_is_unknown() {
    let t = Trial::new();
    let of = |id: &str| json!({ "identifier": id });
    assert_eq!(health(&t, "rds.instance", of("shop-orders")).await, Health::Healthy);
    assert_eq!(observe(&t, "rds.instance", of("nobody")).await, Reading::judged(false, "does not exist"));
    for (status, seen) in [
        ("storage-initialization", Health::Healthy),
        ("configuring-log-exports", Health::Healthy),
        ("backing-up", Health::Unhealthy),
        ("modifying", Health::Unhealthy),
    ] {
        t.sim.edit_db("shop-orders", |db| status.clone_into(&mut db.status));
        assert_eq!(health(&t, "rds.instance", of("shop-orders")).await, seen, "{status}");
        let only = json!({ "identifier": "shop-orders", "status": "available" });
        assert_eq!(health(&t, "rds.instance", only).await, Health::Unhealthy, "{status}");
    }
    t.sim.edit_db("shop-orders", |db| "available".clone_into(&mut db.status));
    let not = json!({ "identifier": "shop-orders", "status": ["stopped", "deleting"] });
    assert_eq!(health(&t, "rds.instance", not).await, Health::Unhealthy);
    t.sim.fail_next("rds:DescribeDBInstances", "InternalError", 1);
    assert_eq!(health(&t, "rds.instance", of("shop-orders")).await, Health::Unknown);
}

#[tokio::test(start_paused = true)]
async fn a_subnet_without_an_association_uses_the_main_table() {
    let t = Trial::new();
    let tags = json!({ "service": "shop", "tier": "private" });
    let by_name = json!({ "subnet_tags": tags, "table": "shop-private" });
    let by_route = json!({ "subnet_tags": tags, "has_route": "0.0.0.0/0" });
    assert_eq!(
        observe(&t, "vpc.route-table", by_name.clone()).await,
        Reading::judged(true, "2 subnets as wanted")
    );
    assert_eq!(health(&t, "vpc.route-table", by_route.clone()).await, Health::Healthy);

    let filter = &Filter::default();
    let all = crate::cloud::all_pages(|page| t.cloud.reads.ec2.route_tables(filter, page)).await.unwrap();
    let table = all.iter().find(|t| t.tags.get("Name").is_some_and(|n| n == "shop-private")).unwrap();
    t.sim.set_route(&table.id, "0.0.0.0/0", "nat-gone", "blackhole");
    let seen = observe(&t, "vpc.route-table", by_route.clone()).await;
    assert!(seen.seen.ends_with("the route to 0.0.0.0/0 is blackhole"), "{}", seen.seen);
    assert_eq!(seen.health, Health::Unhealthy);

    let association = table.associations.iter().find(|a| a.subnet.is_some()).unwrap();
    let subnet = association.subnet.clone().unwrap();
    let detach = Mutation::DisassociateRouteTable { association: association.id.clone() };
    t.cloud.mutate.send(&detach).await.unwrap();
    let seen = observe(&t, "vpc.route-table", by_name).await;
    assert!(seen.seen.starts_with(&format!("1 of 2 subnets: {subnet} uses ")), "{}", seen.seen);
    let one = json!({ "subnet": subnet, "has_route": "0.0.0.0/0" });
    assert!(observe(&t, "vpc.route-table", one).await.seen.ends_with("no route to 0.0.0.0/0"));
    let none = json!({ "subnet_tags": { "service": "nobody" }, "table": "x" });
    assert_eq!(health(&t, "vpc.route-table", none).await, Health::Unknown);
}

#[tokio::test(start_paused = true)]
async fn an_object_under_a_marker_does_not_exist() {
    let t = Trial::new();
    let with = json!({ "bucket": BUCKET, "key": "index.html", "min_size": 10 });
    assert_eq!(health(&t, "s3.object", with.clone()).await, Health::Healthy);
    t.sim.put_marker(BUCKET, "index.html");
    assert_eq!(health(&t, "s3.object", with).await, Health::Unhealthy);
    let nowhere = json!({ "bucket": "nobody", "key": "x", "exists": false });
    assert_eq!(
        health(&t, "s3.object", nowhere).await,
        Health::Unknown,
        "a bucket that is not there proves nothing"
    );
}

#[tokio::test(start_paused = true)]
async fn an_alarm_says_since_when() {
    let t = Trial::new();
    let with = json!({ "name": "shop-availability" });
    assert_eq!(health(&t, "cloudwatch.alarm", with.clone()).await, Health::Healthy);
    tokio::time::sleep(Duration::from_secs(60)).await;
    t.sim.set_alarm("shop-availability", "ALARM");
    let seen = observe(&t, "cloudwatch.alarm", with).await;
    assert_eq!(seen.health, Health::Unhealthy);
    assert_eq!(seen.at.map(|at| at.timestamp()), Some(1_700_000_060));
    assert_eq!(health(&t, "cloudwatch.alarm", json!({ "name": "nobody" })).await, Health::Unknown);
}

#[test]
fn combinations_that_make_no_sense_are_told() {
    for (name, with) in [
        ("tcp", json!({ "host": "", "port": 1 })),
        ("tcp", json!({ "host": "x", "port": 70000 })),
        ("ec2.instances", json!({ "tags": {}, "at_least": 1 })),
        ("ec2.instances", json!({ "tags": { "a": "b" } })),
        ("ec2.instances", json!({ "tags": { "a": "b" }, "at_least": 3, "at_most": 2 })),
        ("ec2.instances", json!({ "tags": { "a": "b" }, "at_least": 3, "state": "runing" })),
        ("ec2.instances", json!({ "tags": { "a": [] }, "at_least": 3 })),
        ("rds.instance", json!({ "identifier": "" })),
        ("vpc.route-table", json!({ "table": "x" })),
        ("vpc.route-table", json!({ "subnet": "subnet-1" })),
        ("vpc.route-table", json!({ "subnet": "subnet-1", "subnet_tags": { "a": "b" }, "table": "x" })),
        ("s3.object", json!({ "bucket": "b", "key": "k", "exists": false, "min_size": 1 })),
        ("cloudwatch.alarm", json!({ "name": "" })),
        ("cloudwatch.alarm", json!({ "name": "a", "nme": "b" })),
    ] {
        assert_eq!(probe(name).expect("a probe").check(&with).len(), 1, "{name} {with}");
    }
}

#[test]
fn every_probe_says_what_it_asks_and_what_it_is_given() {
    for (name, with, want) in [
        ("http", json!({ "url": "http://shop/health" }), "GET http://shop/health"),
        (
            "http",
            json!({ "url": "https://user:hunter2@shop/health?key=hunter2&plain#hunter2", "method": "HEAD" }),
            "HEAD https://************@shop/health?key=…&plain",
        ),
        ("http", json!({ "url": "https://user:${params.pw}@shop/" }), "GET https://user:${params.pw}@shop/"),
        ("tcp", json!({ "host": "db", "port": "${steps.restore.port}" }), "db:${steps.restore.port}"),
        (
            "sql",
            json!({ "host": "db.example", "database": "orders", "query": "q", "password_env": "PGPASSWORD" }),
            "db.example:5432/orders, password from $PGPASSWORD",
        ),
        (
            "sql",
            json!({ "host": "db", "port": 5433, "database": "o", "query": "q", "secret": "shop/db" }),
            "db:5433/o, password from secret shop/db",
        ),
        ("sql", json!({ "host": "db", "database": "o", "user": "u", "query": "q" }), "db:5432/o"),
        (
            "ec2.instances",
            json!({ "tags": { "role": ["web", "api"], "env": "prod" }, "at_least": 2 }),
            "tags env=prod role=web|api, state running, at_least 2",
        ),
        ("rds.instance", json!({ "identifier": "orders" }), "identifier orders"),
        ("s3.object", json!({ "bucket": "b", "key": "k" }), "bucket b, key k, exists true"),
        ("cloudwatch.alarm", json!({ "name": "shop" }), "name shop"),
        // what the types cannot read yet is not passed over in silence
        (
            "http",
            json!({ "url": "http://shop/", "insecure": "${steps.a.b}" }),
            "url http://shop/, insecure ${steps.a.b}",
        ),
    ] {
        assert_eq!(crate::catalog::probe(name).expect("a probe").asks(&with), want);
    }
}
