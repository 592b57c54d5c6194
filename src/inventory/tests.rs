//! Every page, every kind, on the simulated shop.

use std::sync::Arc;

use super::*;
use crate::catalog::kinds;
use crate::cloud::Mutation;
use crate::model::Tags;
use crate::model::target::{TAG_HELD, TAG_RUN};
use crate::sim::Sim;

const ESTATE: &str = include_str!("../../localstack/estate.json");

fn shop() -> Arc<Sim> {
    let start = chrono::DateTime::from_timestamp(1_800_000_000, 0).expect("a valid time");
    let clock = Arc::new(crate::model::time::VirtualClock::starting_at(start));
    Sim::from_estate(ESTATE, clock).expect("the estate is sound")
}

fn spec(json: serde_json::Value) -> TargetSpec {
    serde_json::from_value(json).expect("a selector")
}

async fn resolved(sim: &Arc<Sim>, json: serde_json::Value) -> Resolution {
    resolve(&sim.cloud().reads, "us-east-1", &spec(json)).await.expect("resolves")
}

fn labels(found: &Resolution) -> Vec<&str> {
    let mut labels: Vec<&str> = found.matched.iter().map(Target::label).collect();
    labels.sort_unstable();
    labels
}

#[tokio::test(start_paused = true)]
async fn every_kind_resolves_by_tags() {
    let sim = shop();
    for (resource, tags, population, want) in [
        ("ec2.instance", "web", 4, vec!["shop-web-1", "shop-web-2", "shop-web-3"]),
        ("rds.instance", "orders", 3, vec!["shop-orders"]),
        ("s3.bucket", "assets", 2, vec!["shop-assets-123456789012"]),
        ("cloudfront.distribution", "storefront", 1, vec!["shop storefront"]),
    ] {
        let found = resolved(
            &sim,
            serde_json::json!({"resource": resource, "tags": {"service": "shop", "role": tags}}),
        )
        .await;
        assert_eq!((labels(&found), found.population), (want, population), "{resource}");
    }
    let private =
        serde_json::json!({"resource": "vpc.subnet", "tags": {"service": "shop", "tier": "private"}});
    let found = resolved(&sim, private).await;
    assert_eq!(labels(&found), ["shop-private-a", "shop-private-b"]);
    let table = found.matched[0].attrs["route_table"].clone();
    assert!(table.starts_with("rtb-") && table == found.matched[1].attrs["route_table"]);
    let found =
        resolved(&sim, serde_json::json!({"resource": "vpc.route-table", "where": {"id": table}})).await;
    assert_eq!(labels(&found), ["shop-private"]);
    assert_eq!(found.matched[0].attrs["main"], "false");
    assert!(sim.changes().is_empty());
}

#[tokio::test(start_paused = true)]
async fn no_page_is_missed_whatever_the_size_of_a_page() {
    let all = serde_json::json!({"resource": "ec2.instance", "where": {"id": "i-*"}});
    let whole = resolved(&shop(), all.clone()).await;
    assert_eq!(whole.matched.len(), 4);
    for size in [1, 2, 3] {
        let sim = shop();
        sim.set_page_size(size);
        assert_eq!(resolved(&sim, all.clone()).await, whole, "pages of {size}");
        for kind in ["vpc.subnet", "rds.instance", "s3.bucket"] {
            let json = serde_json::json!({"resource": kind, "where": {"id": "*"}});
            assert_eq!(resolved(&sim, json.clone()).await, resolved(&shop(), json).await, "{kind} {size}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_on_a_later_page_is_an_error() {
    let sim = shop();
    sim.set_page_size(1);
    sim.fail_next("ec2:DescribeInstances", "UnauthorizedOperation", 1);
    let spec = spec(serde_json::json!({"resource": "ec2.instance", "tags": {"service": "shop"}}));
    assert!(resolve(&sim.cloud().reads, "us-east-1", &spec).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn attributes_narrow_and_buckets_elsewhere_do_not_count() {
    let sim = shop();
    let zone = serde_json::json!({"resource": "ec2.instance", "tags": {"role": "web"}, "where": {"zone": "us-east-1b"}});
    assert_eq!(labels(&resolved(&sim, zone).await), ["shop-web-2"]);
    let versioned = serde_json::json!({"resource": "s3.bucket", "where": {"versioning": "Enabled"}});
    assert_eq!(labels(&resolved(&sim, versioned).await), ["shop-assets-123456789012"]);
    let alias = serde_json::json!({"resource": "cloudfront.distribution", "where": {"alias": "shop.*"}});
    assert_eq!(resolved(&sim, alias).await.matched.len(), 1);
    let buckets = spec(serde_json::json!({"resource": "s3.bucket", "where": {"id": "*"}}));
    let elsewhere = resolve(&sim.cloud().reads, "eu-west-1", &buckets).await.expect("resolves");
    assert_eq!((elsewhere.population, elsewhere.matched.len()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn rereading_finds_what_is_there_now() {
    let sim = shop();
    let web = resolved(&sim, serde_json::json!({"resource": "ec2.instance", "tags": {"role": "web"}}))
        .await
        .matched;
    let db = resolved(&sim, serde_json::json!({"resource": "rds.instance", "tags": {"role": "orders"}}))
        .await
        .matched;
    let mut gone = web[1].clone();
    gone.id = "i-0123456789abcdef0".to_owned();
    let tags = Tags::from([(TAG_HELD.to_owned(), "other".to_owned()), (TAG_RUN.to_owned(), "x".to_owned())]);
    let mutate = sim.cloud().mutate;
    mutate.send(&Mutation::CreateTags { ids: vec![web[0].id.clone()], tags }).await.expect("accepted");
    let wanted = [web[0].clone(), gone, db[0].clone()];
    let now = reread_all(&sim.cloud().reads, "us-east-1", &wanted).await.expect("reads");
    assert_eq!(now.population, [(kinds::EC2_INSTANCE, 4), (kinds::RDS_INSTANCE, 3)].into());
    let now = now.targets;
    assert_eq!(now[0].as_ref().expect("is there").tags[TAG_HELD], "other");
    assert_eq!(now[1], None);
    assert_eq!(now[2].as_ref(), Some(&db[0]));
    assert_eq!(reread(&sim.cloud().reads, "us-east-1", &db[0]).await.expect("reads").as_ref(), Some(&db[0]));
}
