//! Databases: when they can be restored, what a restore gives, and what refuses to go.

use std::time::Duration;

use chrono::TimeDelta;
use redrill::cloud::{DbInstance, EffectCertainty, ErrorKind, ModifyDb, Mutation, Outcome, RestoreSpec};

use super::{TestWorld, tags};

async fn existing(w: &TestWorld, identifier: &str) -> DbInstance {
    w.db(identifier).await.unwrap_or_else(|| panic!("the shop has a database {identifier}"))
}

async fn spec(w: &TestWorld, source: &str, target: &str) -> RestoreSpec {
    let like = existing(w, source).await;
    let before = like.latest_restorable.map(|latest| latest - TimeDelta::seconds(1));
    let at = before.unwrap_or_else(|| w.clock.now() - TimeDelta::hours(1));
    let tags = tags(&[("redrill:run", "conformance")]);
    RestoreSpec { source: source.to_owned(), target: target.to_owned(), at, like, tags }
}

fn restore(spec: RestoreSpec) -> Mutation {
    Mutation::RestoreDb { spec: Box::new(spec) }
}

pub(super) async fn restorable_times_lag_and_advance(w: &TestWorld) {
    let first = existing(w, "shop-orders").await.latest_restorable.expect("backups are on");
    let lag = w.clock.now() - first;
    assert!(lag >= TimeDelta::minutes(4) && lag <= TimeDelta::minutes(11), "{lag}");
    w.until("the latest restorable time advances", async || {
        existing(w, "shop-orders").await.latest_restorable.filter(|later| *later > first)
    })
    .await;
    assert_eq!(existing(w, "shop-orders-replica").await.latest_restorable, None);
    assert_eq!(existing(w, "batch-scratch").await.latest_restorable, None);
}

async fn refused(w: &TestWorld, spec: RestoreSpec, kinds: &[ErrorKind]) {
    let target = spec.target.clone();
    let was_there = w.db(&target).await.is_some();
    let e = w.send(restore(spec)).await.expect_err("the restore must be refused");
    assert!(kinds.contains(&e.kind), "{e}");
    assert_eq!(e.effect, EffectCertainty::None, "{e}");
    assert_eq!(w.db(&target).await.is_some(), was_there);
}

pub(super) async fn a_restore_outside_the_window_is_refused(w: &TestWorld) {
    let good = spec(w, "shop-orders", "conformance-window").await;
    let kinds = [ErrorKind::Invalid, ErrorKind::State];
    let future = w.clock.now() + TimeDelta::hours(1);
    let barely = good.at + TimeDelta::minutes(4);
    let ancient = w.clock.now() - TimeDelta::days(400);
    for at in [future, barely, ancient] {
        refused(w, RestoreSpec { at, ..good.clone() }, &kinds).await;
    }
}

pub(super) async fn a_restore_without_backups_is_refused(w: &TestWorld) {
    let kinds = [ErrorKind::Invalid, ErrorKind::State];
    for source in ["shop-orders-replica", "batch-scratch"] {
        refused(w, spec(w, source, "conformance-none").await, &kinds).await;
    }
    let unknown = RestoreSpec {
        source: "no-such-database".to_owned(),
        ..spec(w, "shop-orders", "conformance-none").await
    };
    refused(w, unknown, &[ErrorKind::NotFound]).await;
}

pub(super) async fn a_restore_onto_an_existing_name_is_refused(w: &TestWorld) {
    let before = existing(w, "batch-scratch").await;
    refused(w, spec(w, "shop-orders", "batch-scratch").await, &[ErrorKind::AlreadyExists]).await;
    assert_eq!(existing(w, "batch-scratch").await, before);
}

pub(super) async fn a_restored_database_has_what_was_asked(w: &TestWorld) {
    let asked = spec(w, "shop-orders", "conformance-copy").await;
    let source = asked.like.clone();
    let Outcome::Db { identifier, status } = w.done(restore(asked)).await else { panic!("a database") };
    assert_eq!((identifier.as_str(), status.as_str()), ("conformance-copy", "creating"));
    let copy = w.db_is("conformance-copy", "available").await;
    assert!(copy.endpoint.is_some() && copy.endpoint != source.endpoint);
    assert_ne!(copy.arn, source.arn);
    let settings = |d: &DbInstance| {
        (
            (d.engine.clone(), d.engine_version.clone(), d.class.clone(), d.multi_az, d.iam_auth),
            (d.subnet_group.clone(), d.security_groups.clone(), d.parameter_group.clone()),
            (d.storage_gib, d.storage_type.clone(), d.copy_tags_to_snapshot, d.publicly_accessible),
        )
    };
    assert_eq!(settings(&copy), settings(&source));
    assert!(
        source.deletion_protection && !copy.deletion_protection,
        "left off so that the copy can be removed"
    );
    assert_eq!(copy.tags, tags(&[("redrill:run", "conformance")]), "tags are those of the request");
    assert!(w.dbs().await.iter().any(|d| d.identifier == "conformance-copy"));
    w.done(Mutation::DeleteDb { identifier: "conformance-copy".to_owned(), final_snapshot: None }).await;
    w.until("the copy is gone", async || w.db("conformance-copy").await.is_none().then_some(())).await;
    let e =
        w.send(Mutation::DeleteDb { identifier: "conformance-copy".to_owned(), final_snapshot: None }).await;
    assert_eq!(e.expect_err("it is gone").kind, ErrorKind::NotFound);
}

pub(super) async fn a_database_in_creation_is_not_deleted(w: &TestWorld) {
    w.done(restore(spec(w, "shop-orders", "conformance-early").await)).await;
    assert_eq!(existing(w, "conformance-early").await.status, "creating");
    let e =
        w.send(Mutation::DeleteDb { identifier: "conformance-early".to_owned(), final_snapshot: None }).await;
    let e = e.expect_err("it is in creation");
    assert_eq!((e.kind, e.effect), (ErrorKind::State, EffectCertainty::None), "{e}");
    w.db_is("conformance-early", "available").await;
    w.done(Mutation::DeleteDb { identifier: "conformance-early".to_owned(), final_snapshot: None }).await;
}

pub(super) async fn deletion_protection_is_lifted_before_deletion(w: &TestWorld) {
    let identifier = || "shop-orders".to_owned();
    let e = w
        .send(Mutation::DeleteDb { identifier: identifier(), final_snapshot: None })
        .await
        .expect_err("it is protected");
    assert_eq!(e.effect, EffectCertainty::None, "{e}");
    assert_eq!(existing(w, "shop-orders").await.status, "available");
    let change = ModifyDb { deletion_protection: Some(false), ..ModifyDb::default() };
    w.done(Mutation::ModifyDb { identifier: identifier(), change }).await;
    w.until("the protection is off", async || {
        let d = existing(w, "shop-orders").await;
        (!d.deletion_protection && d.status == "available").then_some(())
    })
    .await;
    w.done(Mutation::DeleteDb { identifier: identifier(), final_snapshot: None }).await;
    w.until("the database is gone", async || w.db("shop-orders").await.is_none().then_some(())).await;
}

pub(super) async fn a_failover_changes_the_zone_and_needs_two(w: &TestWorld) {
    let before = existing(w, "shop-orders").await;
    assert!(before.multi_az);
    w.done(Mutation::RebootDb { identifier: "shop-orders".to_owned(), failover: true }).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    w.until("the zone has changed and it is available", async || {
        let d = existing(w, "shop-orders").await;
        (d.zone != before.zone && d.status == "available").then_some(())
    })
    .await;
    let single = Mutation::RebootDb { identifier: "batch-scratch".to_owned(), failover: true };
    let e = w.send(single).await.expect_err("it has one zone");
    assert_eq!((e.kind, e.effect), (ErrorKind::Invalid, EffectCertainty::None), "{e}");
    w.done(Mutation::RebootDb { identifier: "batch-scratch".to_owned(), failover: false }).await;
    w.db_is("batch-scratch", "available").await;
}

pub(super) async fn database_tags_come_and_go(w: &TestWorld) {
    let before = existing(w, "shop-orders").await;
    let arn = before.arn.clone();
    w.done(Mutation::TagDb { arn: arn.clone(), tags: tags(&[("redrill:held", "run")]) }).await;
    assert_eq!(existing(w, "shop-orders").await.tags["redrill:held"], "run");
    w.done(Mutation::UntagDb { arn, keys: vec!["redrill:held".to_owned()] }).await;
    assert_eq!(existing(w, "shop-orders").await.tags, before.tags);
}
