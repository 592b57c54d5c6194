//! Reading: pages, filters, what is not there.

use std::collections::BTreeSet;

use redrill::cloud::{ErrorKind, Filter, InstanceAttribute, all_pages};

use super::{TestWorld, tagged};

pub(super) async fn the_caller_is_known(w: &TestWorld) {
    let who = w.cloud.reads.sts.identity().await.expect("identity");
    assert_eq!(who.account, "123456789012");
    assert!(who.arn.starts_with("arn:aws:"), "{}", who.arn);
    assert_eq!(w.cloud.region, "us-east-1");
}

fn once<T: Ord + std::fmt::Debug>(what: &str, at_least: usize, items: Vec<T>) {
    let (all, distinct) = (items.len(), items.iter().collect::<BTreeSet<_>>().len());
    assert_eq!(all, distinct, "{what} are listed once each: {items:?}");
    assert!(all >= at_least, "{what}: {all} of {at_least}: {items:?}");
}

pub(super) async fn every_page_is_read_once(w: &TestWorld) {
    let r = &w.cloud.reads;
    let all = Filter::default();
    once("instances", 4, w.instances(&all).await.into_iter().map(|i| i.id).collect());
    once("subnets", 4, w.subnets(&all).await.into_iter().map(|s| s.id).collect());
    once("route tables", 3, w.tables().await.into_iter().map(|t| t.id).collect());
    once("databases", 3, w.dbs().await.into_iter().map(|d| d.identifier).collect());
    let buckets = all_pages(|page| async move { r.s3.buckets(page).await }).await.expect("buckets");
    once("buckets", 2, buckets.into_iter().map(|b| b.name).collect());
    let found = all_pages(|page| async move { r.cloudfront.distributions(page).await }).await;
    once("distributions", 1, found.expect("distributions").into_iter().map(|d| d.id).collect());
    let versions = w.versions("shop-assets-123456789012", "").await;
    once("versions", 6, versions.into_iter().map(|v| (v.key, v.version)).collect());
    let catalogue = w.versions("shop-assets-123456789012", "catalogue/").await;
    assert_eq!(catalogue.len(), 2);
    assert!(catalogue.iter().all(|v| v.latest && !v.marker));
}

pub(super) async fn tags_filter_with_lists_and_wildcards(w: &TestWorld) {
    let count = async |wanted: &[(&str, &[&str])]| w.instances(&tagged(wanted)).await.len();
    assert_eq!(count(&[("service", &["shop"])]).await, 3);
    assert_eq!(count(&[("service", &["shop", "batch"])]).await, 4);
    assert_eq!(count(&[("Name", &["shop-web-*"])]).await, 3);
    assert_eq!(count(&[("Name", &["shop-web-?"])]).await, 3);
    assert_eq!(count(&[("Name", &["shop-?"])]).await, 0);
    assert_eq!(count(&[("Name", &["*-1"])]).await, 2);
    assert_eq!(count(&[("service", &["shop"]), ("role", &["worker"])]).await, 0);
    assert_eq!(count(&[("service", &["batch"]), ("role", &["worker"])]).await, 1);
    assert_eq!(count(&[("service", &["Shop"])]).await, 0, "values are case-sensitive");
    assert_eq!(w.subnets(&tagged(&[("tier", &["priv*"])])).await.len(), 2);
}

pub(super) async fn what_does_not_exist_is_not_found(w: &TestWorld) {
    let r = &w.cloud.reads;
    let by_id = |id: &str| Filter { ids: vec![id.to_owned()], tags: Vec::new() };
    let none = ErrorKind::NotFound;
    let missing = "0123456789abcdef0";
    let e = r.ec2.instances(&by_id(&format!("i-{missing}")), None).await.expect_err("no such instance");
    assert_eq!(e.kind, none, "{e}");
    let e = r.ec2.route_tables(&by_id(&format!("rtb-{missing}")), None).await.expect_err("no such table");
    assert_eq!(e.kind, none, "{e}");
    let e = r.ec2.subnets(&by_id(&format!("subnet-{missing}")), None).await.expect_err("no such subnet");
    assert_eq!(e.kind, none, "{e}");
    let e = r.rds.instances(Some("no-such-database"), None).await.expect_err("no such database");
    assert_eq!(e.kind, none, "{e}");
    let e = r.s3.versions("no-such-bucket-123456789012", "", None).await.expect_err("no such bucket");
    assert_eq!(e.kind, none, "{e}");
    let e = r.secrets.secret("no-such-secret").await.expect_err("no such secret");
    assert_eq!(e.kind, none, "{e}");
    let head = r.s3.head("shop-assets-123456789012", "no/such/key").await.expect("a missing key is no error");
    assert_eq!(head, None);
}

pub(super) async fn alarms_are_read_by_name(w: &TestWorld) {
    let alarm = w.cloud.reads.cloudwatch.alarm("shop-error-budget").await.expect("reads").expect("is there");
    assert_eq!((alarm.name.as_str(), alarm.state.as_str()), ("shop-error-budget", "OK"));
    assert_eq!(w.cloud.reads.cloudwatch.alarm("no-such-alarm").await.expect("reads"), None);
}

pub(super) async fn details_hold_user_data_and_protection(w: &TestWorld) {
    let ec2 = &w.cloud.reads.ec2;
    let read = async |id: &str, which| ec2.attribute(id, which).await.expect("an attribute");
    let web = w.instance("shop-web-1").await.id;
    for protection in [InstanceAttribute::TerminationProtection, InstanceAttribute::StopProtection] {
        assert_eq!(read(&web, protection).await.as_deref(), Some("false"), "{protection:?}");
    }
    let data = read(&web, InstanceAttribute::UserData).await.expect("the shop's web servers have user data");
    assert!(data.starts_with("IyEvYmluL3No"), "user data is base64: {data}");
    let batch = w.instance("batch-1").await.id;
    assert_eq!(read(&batch, InstanceAttribute::UserData).await, None);
}

pub(super) async fn registrations_tell_their_health(w: &TestWorld) {
    let elb = &w.cloud.reads.elb;
    let groups = all_pages(|page| async move { elb.target_groups(page).await }).await.expect("groups");
    let group = groups.into_iter().find(|g| g.name == "shop-web").expect("the shop has a target group");
    assert_eq!(group.target_type, "instance");
    let found = elb.registrations(&group.arn).await.expect("registrations");
    assert_eq!(found.len(), 3);
    assert!(found.iter().all(|r| r.port == Some(80) && r.state == "healthy"), "{found:?}");
}

pub(super) async fn quotas_count_databases(w: &TestWorld) {
    let quotas = w.cloud.reads.rds.quotas().await.expect("quotas");
    let dbs = quotas.iter().find(|q| q.name == "DBInstances").expect("the quota of databases");
    assert!(dbs.used >= 3 && dbs.max > dbs.used, "{dbs:?}");
}
