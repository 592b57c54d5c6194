//! Tests of the restore: what is copied, what is refused, and what undo removes.

use std::sync::Arc;

use serde_json::json;

use super::params::{identifier, is_identifier};
use super::*;
use crate::catalog::Severity;
use crate::catalog::actions::trial::{Trial, params, puts_everything_back, target};
use crate::catalog::kinds;
use crate::cloud::faulty::Fault;
use crate::cloud::misread::{Misread, Reader};
use crate::model::Clock as _;
use crate::model::target::TAG_REPLACES;

mod removed;
mod without;

fn orders() -> Target {
    target(kinds::RDS_INSTANCE, "shop-orders")
}

async fn restored(t: &Trial, with: Value) -> (Undo, Applied) {
    let p = params(&RdsRestore, with);
    let undo = t.prepare(&RdsRestore, Some(&orders()), &p).await.unwrap();
    t.apply(&RdsRestore, Some(&orders()), &undo, &p).await.unwrap();
    match t.settled(&RdsRestore, &undo, &p).await.unwrap() {
        Progress::Ready(done) => (undo, done),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn it_puts_everything_back() {
    puts_everything_back(&RdsRestore, &orders(), json!({ "to": "-15m" })).await;
}

#[tokio::test(start_paused = true)]
async fn every_setting_is_carried_over_and_the_rest_is_told() {
    let t = Trial::new();
    t.sim.edit_db("shop-orders", |db| {
        db.monitoring_interval = 60;
        db.monitoring_role = Some("arn:aws:iam::123456789012:role/monitoring".to_owned());
        db.performance_insights = true;
        db.performance_insights_retention = Some(31);
        db.more.lifecycle_support = Some("open-source-rds-extended-support-disabled".to_owned());
        db.more.minor_upgrades = Some(false);
        db.more.network_type = Some("DUAL".to_owned());
        db.more.dedicated_log_volume = true;
        db.more.backup_window = Some("03:00-03:30".to_owned());
    });
    // nothing in redrill knows this field
    t.sim.tell("shop-orders", "LatticeOptions.Mode", "strict");
    let (undo, done) = restored(&t, json!({ "to": "-15m" })).await;
    assert_eq!(done.notes.iter().filter(|n| *n == "LatticeOptions.Mode: none, was strict").count(), 1);
    let source = find(t.read(), "shop-orders").await.unwrap().unwrap();
    let copy = find(t.read(), &undo.identifier).await.unwrap().unwrap();
    for note in &done.notes {
        let setting = note.split(':').next().unwrap();
        assert!(["deletion_protection", "zone", "LatticeOptions.Mode"].contains(&setting), "{note}");
    }
    assert!(source.deletion_protection && !copy.deletion_protection);
    assert_eq!(copy.monitoring_interval, 60);
    assert_eq!(copy.performance_insights_retention, Some(31));
    assert_eq!(copy.parameter_group, source.parameter_group);
    assert_eq!(done.outputs["endpoint"], copy.endpoint.unwrap());
    assert_eq!(done.outputs["port"], "5432");
    assert_eq!(done.outputs["source"], "shop-orders");
    assert_eq!(done.outputs["restored_to"], "2023-11-14T21:58:20.000Z");
    let tags: Vec<&str> = copy.tags.keys().map(String::as_str).collect();
    assert_eq!(tags, [TAG_REPLACES, TAG_RUN, TAG_STEP], "no tag of the source makes the copy a target");
    let sent: Vec<_> = t.sim.changes().into_iter().map(|c| c.operation).collect();
    assert_eq!(sent, ["rds:RestoreDBInstanceToPointInTime", "rds:ModifyDBInstance"]);
}

#[tokio::test(start_paused = true)]
async fn what_a_restore_does_not_take_is_told() {
    let t = Trial::new();
    t.sim.edit_db("shop-orders", |db| {
        db.more.roles = vec!["s3Import=arn:aws:iam::123456789012:role/import".to_owned()];
        db.more.insights_mode = Some("advanced".to_owned());
        db.more.network_type = Some("DUAL".to_owned());
    });
    let (undo, done) = restored(&t, json!({ "to": "-15m" })).await;
    for setting in ["roles: s3Import=", "insights_mode: advanced"] {
        assert!(done.notes.iter().any(|n| n.starts_with(setting)), "{setting}: {:?}", done.notes);
    }
    assert!(!done.notes.iter().any(|n| n.starts_with("network_type")), "{:?}", done.notes);
    // what goes on about its storage is told, and does not keep it from serving
    t.sim.edit_db(&undo.identifier, |db| {
        "storage-initialization".clone_into(&mut db.status);
        db.more.storage_operation = Some(("Initializing".to_owned(), 34));
    });
    let p = params(&RdsRestore, json!({ "to": "-15m" }));
    let Progress::Ready(done) = RdsRestore.poll(t.read(), None, &undo, &p).await.unwrap() else { panic!() };
    assert!(done.notes.iter().any(|n| n.contains("initializing, 34 % done")), "{:?}", done.notes);
    t.sim.edit_db("shop-orders", |db| db.more.more_volumes = vec!["rdsdbdata2".to_owned()]);
    let refusals = t.refusals(&RdsRestore, &orders(), &p).await;
    assert!(
        refusals.len() == 1 && refusals[0].contains("additional storage volumes (rdsdbdata2)"),
        "{refusals:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_subnet_group_of_another_vpc_wants_security_groups_of_its_own() {
    let t = Trial::new();
    let own = find(t.read(), "shop-orders").await.unwrap().unwrap();
    let (vpc, _) = t.sim.add_vpc("10.9.0.0/16");
    let subnet = t.sim.add_subnet(&crate::sim::SubnetSeed {
        name: "recovery".to_owned(),
        vpc,
        cidr: "10.9.1.0/24".to_owned(),
        zone: "us-east-1a".to_owned(),
        tags: Tags::new(),
        table: None,
    });
    t.sim.add_db_subnet_group("recovery", &[subnet]);
    let refused =
        async |with: Value| t.refusals(&RdsRestore, &orders(), &params(&RdsRestore, with)).await.join("; ");
    let said = refused(json!({ "to": "-15m", "subnet_group": "recovery", "multi_az": false })).await;
    assert!(said.contains("cannot have the source's security groups"), "{said}");
    let groups =
        json!({ "to": "-15m", "subnet_group": "recovery", "security_groups": ["sg-1"], "multi_az": false });
    assert_eq!(refused(groups).await, "");
    let also = ["sg-1", own.security_groups[0].as_str()];
    let groups =
        json!({ "to": "-15m", "subnet_group": "recovery", "security_groups": also, "multi_az": false });
    assert!(refused(groups).await.contains("cannot have the source's security groups"));
    assert_eq!(refused(json!({ "to": "-15m", "subnet_group": own.subnet_group })).await, "");
    assert!(
        refused(json!({ "to": "-15m", "subnet_group": "none" })).await.contains("no DB subnet group none")
    );
}

#[tokio::test(start_paused = true)]
async fn settings_can_be_overridden_and_copied_tags_leave_out_what_marks_a_run() {
    let t = Trial::new();
    t.sim.edit_db("shop-orders", |db| {
        db.tags.insert("aws:cloudformation:stack-name".to_owned(), "shop".to_owned());
        db.tags.insert("redrill:held".to_owned(), "some run".to_owned());
        db.tags.insert("rds:made-by".to_owned(), "RDS".to_owned());
    });
    let with = json!({ "to": "-15m", "class": "db.t3.small", "multi_az": false, "tags": "copy",
                       "identifier": "Orders-Copy" });
    let (undo, done) = restored(&t, with).await;
    assert_eq!(undo.identifier, "orders-copy");
    let copy = find(t.read(), "orders-copy").await.unwrap().unwrap();
    assert_eq!((copy.class.as_str(), copy.multi_az), ("db.t3.small", false));
    assert!(
        done.notes.iter().any(|n| n == "multi_az: on at the source, off in the copy (as the drill asks)")
    );
    assert_eq!(copy.tags.get("service").map(String::as_str), Some("shop"));
    assert!(
        !copy.tags.keys().any(|k| k.starts_with("aws:") || k.starts_with("rds:") || k == "redrill:held"),
        "{:?}",
        copy.tags
    );
}

#[tokio::test(start_paused = true)]
async fn more_tags_than_a_copy_can_carry_are_refused_beforehand() {
    for (own, fits) in [(47, true), (48, false)] {
        let t = Trial::new();
        t.sim.edit_db("shop-orders", |db| {
            db.tags = (0..own).map(|n| (format!("t{n}"), String::new())).collect();
        });
        let refused =
            async |with: Value| t.refusals(&RdsRestore, &orders(), &params(&RdsRestore, with)).await;
        let found = refused(json!({ "to": "-15m", "tags": "copy" })).await;
        assert_eq!(found.is_empty(), fits, "{own}: {found:?}");
        assert_eq!(refused(json!({ "to": "-15m" })).await, [""; 0], "none are copied");
    }
}

#[tokio::test(start_paused = true)]
async fn latest_is_read_once_and_sent_as_a_time() {
    let t = Trial::new();
    let latest = find(t.read(), "shop-orders").await.unwrap().unwrap().latest_restorable.unwrap();
    let (undo, done) = restored(&t, json!({ "to": "latest" })).await;
    let before = latest - TimeDelta::seconds(1);
    assert_eq!((undo.at, undo.requested.as_str()), (before, "latest"), "AWS wants a time before the latest");
    assert_eq!(done.outputs["restored_to"], rfc3339(before));
}

#[tokio::test(start_paused = true)]
async fn a_password_that_rds_manages_is_asked_for_where_the_engine_takes_it() {
    for (engine, changes) in [
        ("postgres", &["RestoreDBInstanceToPointInTime", "ModifyDBInstance"][..]),
        ("sqlserver-se", &["RestoreDBInstanceToPointInTime", "ModifyDBInstance"]),
        ("oracle-ee-cdb", &["RestoreDBInstanceToPointInTime", "ModifyDBInstance"]),
        ("oracle-ee", &["RestoreDBInstanceToPointInTime"]),
    ] {
        let t = Trial::new();
        t.sim.edit_db("shop-orders", |db| {
            db.engine = engine.to_owned();
            db.managed_secret =
                Some("arn:aws:secretsmanager:us-east-1:123456789012:secret:rds!db-source".to_owned());
            db.managed_secret_key = Some("arn:aws:kms:us-east-1:123456789012:key/own".to_owned());
        });
        let (undo, done) = restored(&t, json!({ "to": "-15m" })).await;
        let sent: Vec<_> = t.sim.changes().into_iter().map(|c| c.operation.replace("rds:", "")).collect();
        assert_eq!(sent, changes, "{engine}");
        let copy = find(t.read(), &undo.identifier).await.unwrap().unwrap();
        assert_eq!(done.outputs["secret"], copy.managed_secret.clone().unwrap(), "{engine}");
        assert_eq!(copy.managed_secret_key.as_deref(), Some("arn:aws:kms:us-east-1:123456789012:key/own"));
        assert!(!done.notes.iter().any(|n| n.contains("password")), "{engine}: {:?}", done.notes);
    }
}

#[tokio::test(start_paused = true)]
async fn a_setting_that_comes_later_waits_out_a_state_in_which_it_is_refused() {
    let t = Trial::new().failing(1, 2, Fault::State);
    t.sim.edit_db("shop-orders", |db| db.monitoring_interval = 60);
    let (undo, done) = restored(&t, json!({ "to": "-15m" })).await;
    let copy = find(t.read(), &undo.identifier).await.unwrap().unwrap();
    let lost = done.notes.iter().any(|n| n.contains("carried over"));
    assert_eq!((copy.monitoring_interval, lost), (60, false), "{:?}", done.notes);
    // nothing shows of a change for half a minute: it is not taken for done before it is there
    t.sim.edit_db("shop-orders", |db| {
        db.performance_insights = true;
        db.managed_secret =
            Some("arn:aws:secretsmanager:us-east-1:123456789012:secret:rds!db-source".to_owned());
    });
    let (undo, done) = restored(&t, json!({ "to": "-15m", "identifier": "second" })).await;
    let copy = find(t.read(), &undo.identifier).await.unwrap().unwrap();
    assert_eq!((copy.monitoring_interval, copy.performance_insights), (60, true));
    assert!(copy.managed_secret.is_some_and(|s| s == done.outputs["secret"]), "{:?}", done.notes);
    // one that is refused takes no other with it
    let t = Trial::new().failing(1, 1, Fault::Deny);
    t.sim.edit_db("shop-orders", |db| {
        db.monitoring_interval = 60;
        db.managed_secret =
            Some("arn:aws:secretsmanager:us-east-1:123456789012:secret:rds!db-source".to_owned());
    });
    let (undo, done) = restored(&t, json!({ "to": "-15m" })).await;
    let copy = find(t.read(), &undo.identifier).await.unwrap().unwrap();
    assert_eq!((copy.monitoring_interval, copy.managed_secret.is_some()), (0, true), "{:?}", done.notes);
    // and is told where that does not end
    let t = Trial::new().failing(1, 1000, Fault::State);
    t.sim.edit_db("shop-orders", |db| db.monitoring_interval = 60);
    let p = params(&RdsRestore, json!({ "to": "-15m" }));
    let undo = t.prepare(&RdsRestore, Some(&orders()), &p).await.unwrap();
    let done = t.apply(&RdsRestore, Some(&orders()), &undo, &p).await.unwrap();
    let copy = find(t.read(), &undo.identifier).await.unwrap().unwrap();
    let lost = done.notes.iter().any(|n| n.starts_with("monitoring could not be carried over"));
    assert_eq!((copy.monitoring_interval, lost), (0, true), "{:?}", done.notes);
}

#[test]
fn a_database_that_serves_while_its_storage_loads_is_restored() {
    for status in ["available", "storage-initialization", "storage-optimization", "configuring-log-exports"] {
        assert!(is_usable(status) && !is_failed(status), "{status}");
    }
    for status in [
        "creating",
        "backing-up",
        "modifying",
        "rebooting",
        "deleting",
        "failed",
        "resetting-master-credentials",
    ] {
        assert!(!is_usable(status), "{status}");
    }
    // hours may pass: what is to be deleted is not waited for
    assert!(!is_busy("storage-initialization") && is_busy("backing-up"));
}

#[tokio::test(start_paused = true)]
async fn what_belongs_to_a_class_or_a_kind_of_storage_is_not_asked_of_another() {
    for (class, kept) in [("db.t3.small", false), ("db.t3.medium", true)] {
        let t = Trial::new();
        t.sim.edit_db("shop-orders", |db| {
            db.processor_features.insert("coreCount".to_owned(), "2".to_owned());
        });
        let (undo, _) = restored(&t, json!({ "to": "-15m", "class": class })).await;
        assert_eq!(!undo.like.processor_features.is_empty(), kept, "{class}");
    }
    let t = Trial::new();
    t.sim.edit_db("shop-orders", |db| {
        db.engine = "sqlserver-se".to_owned();
        (db.storage_type, db.iops) = (Some("io1".to_owned()), Some(12_000));
    });
    let (undo, _) = restored(&t, json!({ "to": "-15m" })).await;
    let copy = find(t.read(), &undo.identifier).await.unwrap().unwrap();
    assert_eq!((copy.storage_type.as_deref(), copy.iops), (Some("io1"), Some(12_000)));
}

#[tokio::test(start_paused = true)]
async fn rds_custom_is_refused() {
    let t = Trial::new();
    let p = params(&RdsRestore, json!({ "to": "-15m" }));
    t.sim.edit_db("shop-orders", |db| db.engine = "custom-sqlserver-ee".to_owned());
    let refusals = t.refusals(&RdsRestore, &orders(), &p).await;
    assert!(refusals.len() == 1 && refusals[0].starts_with("it is RDS Custom"), "{refusals:?}");
}

#[tokio::test(start_paused = true)]
async fn a_time_ahead_of_the_backups_is_waited_for() {
    let t = Trial::new();
    let before = t.clock.now();
    // the simulated backups lag by five minutes
    let p = params(&RdsRestore, json!({ "to": "-1m" }));
    let undo = t.prepare(&RdsRestore, Some(&orders()), &p).await.unwrap();
    t.apply(&RdsRestore, Some(&orders()), &undo, &p).await.unwrap();
    let waited = (t.clock.now() - before).num_seconds();
    assert!((240..=270).contains(&waited), "{waited}");
}

#[tokio::test(start_paused = true)]
async fn applying_again_makes_no_second_copy() {
    let t = Trial::new().failing(0, 1, Fault::LoseAnswer);
    let p = params(&RdsRestore, json!({ "to": "-15m" }));
    let undo = t.prepare(&RdsRestore, Some(&orders()), &p).await.unwrap();
    t.apply(&RdsRestore, Some(&orders()), &undo, &p).await.unwrap_err();
    t.apply(&RdsRestore, Some(&orders()), &undo, &p).await.unwrap();
    assert_eq!(t.sim.changes().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_another_run_made_is_neither_taken_over_nor_deleted() {
    let t = Trial::new();
    let p = params(&RdsRestore, json!({ "to": "-15m", "identifier": "orders-copy" }));
    let (undo, _) = restored(&t, json!({ "to": "-15m", "identifier": "orders-copy" })).await;
    let t = t.another_run();
    let e = t.apply(&RdsRestore, Some(&orders()), &undo, &p).await.unwrap_err();
    assert!(e.hopeless && e.effect == EffectCertainty::None, "{e}");
    let e = RdsRestore.undo(t.write(), None, &undo).await.unwrap_err();
    assert!(e.hopeless && e.message.contains("redrill:run"), "{e}");
    assert!(find(t.read(), "orders-copy").await.unwrap().is_some());
    let refusals = t.refusals(&RdsRestore, &orders(), &p).await;
    assert_eq!(refusals, ["a database orders-copy exists already"]);
}

#[tokio::test(start_paused = true)]
async fn what_may_be_the_only_copy_is_not_deleted() {
    let (gone, given_up, cut_over) = ("does not exist any more", "is `failed`, so", "is `renaming`, so");
    for (is_gone, why) in [(true, gone), (false, given_up), (false, cut_over)] {
        let t = Trial::new();
        let p = params(&RdsRestore, json!({ "to": "-15m" }));
        let undo = t.prepare(&RdsRestore, Some(&orders()), &p).await.unwrap();
        t.apply(&RdsRestore, Some(&orders()), &undo, &p).await.unwrap();
        tokio::time::sleep(Duration::from_secs(7200)).await;
        match is_gone {
            true => t.sim.rename_db(&undo.source, "orders-of-somebody"),
            false => t.sim.edit_db(&undo.source, |db| {
                why.split('`').nth(1).expect("a status").clone_into(&mut db.status);
            }),
        }
        let Err(left) = RdsRestore.undo(t.write(), None, &undo).await else { panic!("{why}: deleted") };
        assert!(left.message.contains(why) && left.message.ends_with("it is not deleted"), "{left:?}");
        assert!(left.hint.is_some_and(|hint| hint.contains("--final-db-snapshot-identifier")));
        assert_eq!(deletions(&t), 0, "{why}");
    }
}

/// How often the deletion was accepted.
fn deletions(t: &Trial) -> usize {
    let deletes = |c: &&crate::sim::Call| c.operation == "rds:DeleteDBInstance" && c.refused.is_none();
    t.sim.changes().iter().filter(deletes).count()
}

#[tokio::test(start_paused = true)]
async fn one_not_found_in_the_middle_of_an_undo_is_no_deletion() {
    for at in [0, 1, 2, 5] {
        let mut t = Trial::new();
        let before = t.sim.snapshot();
        let p = params(&RdsRestore, json!({ "to": "-15m" }));
        let undo = t.prepare(&RdsRestore, Some(&orders()), &p).await.unwrap();
        t.apply(&RdsRestore, Some(&orders()), &undo, &p).await.unwrap();
        t.cloud = Reader::new(move |n, _| (n == at).then_some(Misread::NotFound)).over(t.cloud);
        let done = RdsRestore.undo(t.write(), None, &undo).await.unwrap();
        assert!(matches!(done, Undone::PutBack(_)), "{at}: {done:?}");
        assert_eq!(deletions(&t), 1, "{at}");
        assert_eq!(t.sim.snapshot(), before, "{at}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_seen_and_never_asked_to_go_is_not_called_deleted() {
    let mut t = Trial::new();
    let before = t.sim.snapshot();
    let p = params(&RdsRestore, json!({ "to": "-15m" }));
    let undo = t.prepare(&RdsRestore, Some(&orders()), &p).await.unwrap();
    t.apply(&RdsRestore, Some(&orders()), &undo, &p).await.unwrap();
    // from its second second on, the copy is not found for three times the settling time
    let (clock, began) = (Arc::clone(&t.clock), t.clock.now());
    let hidden = move |_: usize, _: &str| {
        let passed = (clock.now() - began).num_milliseconds();
        (500..30_000).contains(&passed).then_some(Misread::NotFound)
    };
    t.cloud = Reader::new(hidden).over(t.cloud);
    let done = RdsRestore.undo(t.write(), None, &undo).await.unwrap();
    assert!(matches!(done, Undone::PutBack(_)), "{done:?}");
    assert_eq!(deletions(&t), 1);
    assert_eq!(t.sim.snapshot(), before);
}

#[tokio::test(start_paused = true)]
async fn what_aws_has_accepted_is_looked_for_longer_than_the_settling_time() {
    let mut t = Trial::new();
    let before = t.sim.snapshot();
    let (undo, _) = restored(&t, json!({ "to": "-15m" })).await;
    // every look of the first 25 seconds says that it is not there; `settle` is 10 s
    let (clock, began) = (Arc::clone(&t.clock), t.clock.now());
    let hidden =
        move |_: usize, _: &str| ((clock.now() - began).num_seconds() < 25).then_some(Misread::NotFound);
    t.cloud = Reader::new(hidden).over(t.cloud);
    let done = RdsRestore.undo(t.write(), None, &undo).await.unwrap();
    assert!(matches!(done, Undone::PutBack(_)), "{done:?}");
    tokio::time::sleep(Duration::from_secs(1_800)).await;
    assert_eq!((deletions(&t), t.sim.snapshot()), (1, before));
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_was_renamed_may_serve_and_is_not_called_gone() {
    let t = Trial::new();
    let (undo, _) = restored(&t, json!({ "to": "-15m" })).await;
    t.sim.rename_db(&undo.identifier, "orders-new");
    let error = RdsRestore.undo(t.write(), None, &undo).await.unwrap_err();
    assert!(error.hopeless && error.message.contains("was renamed to orders-new"), "{error}");
    assert!(error.hint.as_ref().is_some_and(|h| h.contains("remove-tags-from-resource")), "{error:?}");
    assert_eq!(deletions(&t), 0);
    // a person took it out of the run
    t.sim.edit_db("orders-new", |db| db.tags.retain(|k, _| k != TAG_RUN && k != TAG_STEP));
    let done = RdsRestore.undo(t.write(), None, &undo).await.unwrap();
    assert!(matches!(&done, Undone::Already(text) if text.contains("somebody else")), "{done:?}");
    assert_eq!(deletions(&t), 0);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_for_what_is_not_seen_any_more() {
    let t = Trial::new();
    t.sim.tune(|pace| pace.db_delete = Dur::secs(0));
    let before = t.sim.snapshot();
    let p = params(&RdsRestore, json!({ "to": "-15m" }));
    let undo = t.prepare(&RdsRestore, Some(&orders()), &p).await.unwrap();
    t.apply(&RdsRestore, Some(&orders()), &undo, &p).await.unwrap();
    let somebody = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        t.sim.edit_db(&undo.identifier, |db| "available".clone_into(&mut db.status));
        t.cloud.mutate.send(&deletion(&undo.identifier)).await.unwrap();
    };
    let (done, ()) = tokio::join!(RdsRestore.undo(t.write(), None, &undo), somebody);
    let error = done.unwrap_err();
    assert!(error.hopeless && error.hint.is_some_and(|h| h.contains("describe-db-instances")));
    let sent = t.sim.changes().iter().filter(|c| c.operation == "rds:DeleteDBInstance").count();
    assert_eq!(sent, 1, "somebody's");
    assert_eq!(t.sim.snapshot(), before);
    // whoever has looked goes on
    assert!(matches!(RdsRestore.undo(t.write(), None, &undo).await, Ok(Undone::Already(_))));
}

#[tokio::test(start_paused = true)]
async fn a_database_that_is_about_to_be_deleted_is_not_deleted_again() {
    assert!(is_busy("delete-precheck"));
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_is_retagged_and_safe_from_undo() {
    let t = Trial::new();
    let (undo, _) = restored(&t, json!({ "to": "-15m" })).await;
    assert!(matches!(RdsRestore.keep(t.write(), None, &undo).await.unwrap(), Undone::PutBack(_)));
    assert!(matches!(RdsRestore.keep(t.write(), None, &undo).await.unwrap(), Undone::Already(_)));
    let copy = find(t.read(), &undo.identifier).await.unwrap().unwrap();
    assert_eq!(copy.tags.keys().collect::<Vec<_>>(), [TAG_KEPT, TAG_REPLACES]);
    assert!(RdsRestore.undo(t.write(), None, &undo).await.unwrap_err().hopeless);
}

#[tokio::test(start_paused = true)]
async fn what_the_drill_keeps_says_so_from_the_start_and_what_it_stands_in_for() {
    for (after, kept) in [(After::Keep, true), (After::Remove, false)] {
        let mut t = Trial::new();
        t.after = after;
        let (undo, _) = restored(&t, json!({ "to": "-15m" })).await;
        let copy = find(t.read(), &undo.identifier).await.unwrap().unwrap();
        assert_eq!(copy.tags[TAG_REPLACES], undo.source);
        assert_eq!(copy.tags.get(TAG_KEPT), kept.then_some(&copy.tags[TAG_RUN]), "{after:?}");
        if kept {
            assert!(matches!(RdsRestore.keep(t.write(), None, &undo).await.unwrap(), Undone::PutBack(_)));
            let copy = find(t.read(), &undo.identifier).await.unwrap().unwrap();
            assert_eq!(copy.tags.keys().collect::<Vec<_>>(), [TAG_KEPT, TAG_REPLACES]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_restored_is_refused_beforehand() {
    let t = Trial::new();
    let inspect = async |id: &str, with: Value| {
        t.refusals(&RdsRestore, &target(kinds::RDS_INSTANCE, id), &params(&RdsRestore, with)).await.join("; ")
    };
    assert_eq!(inspect("shop-orders", json!({ "to": "-15m" })).await, "");
    assert!(
        inspect("shop-orders-replica", json!({ "to": "-15m" })).await.contains("read replica of shop-orders")
    );
    assert!(inspect("batch-scratch", json!({ "to": "-15m" })).await.contains("automated backups are off"));
    assert!(inspect("nobody", json!({ "to": "-15m" })).await.contains("does not exist"));
    assert!(inspect("shop-orders", json!({ "to": "-30d" })).await.contains("lies before its backups"));
    assert!(
        inspect("shop-orders", json!({ "to": "2030-01-01T00:00:00Z" })).await.contains("lies in the future")
    );
    t.sim.set_db_quota(3);
    assert!(
        inspect("shop-orders", json!({ "to": "-15m" }))
            .await
            .contains("quota DBInstances is 3 with 3 in use")
    );
    t.sim.set_db_quota(40);
    t.sim.edit_db("shop-orders", |db| db.cluster = Some("aurora-1".to_owned()));
    assert!(inspect("shop-orders", json!({ "to": "-15m" })).await.contains("member of the cluster aurora-1"));
    t.sim.edit_db("shop-orders", |db| "deleting".clone_into(&mut db.status));
    assert_eq!(inspect("shop-orders", json!({ "to": "-15m" })).await, "it is being deleted");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_beforehand_is_said() {
    let t = Trial::new();
    t.sim.fail_next("rds:DescribeAccountAttributes", "AccessDenied", 1);
    let p = params(&RdsRestore, json!({ "to": "latest" }));
    let found = RdsRestore.inspect(t.read(), &[orders()], &p).await.unwrap();
    let infos: Vec<&str> =
        found.iter().filter(|f| f.severity == Severity::Info).map(|f| f.text.as_str()).collect();
    assert!(infos.iter().any(|t| t.starts_with("RDS quotas were not checked")), "{infos:?}");
    assert!(infos.iter().any(|t| t.contains("a bad migration")), "{infos:?}");
    assert!(
        infos.iter().any(|t| t.contains("costs like a db.t3.medium in two zones with 100 GiB")),
        "{infos:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_database_that_failed_to_restore_is_no_pending_one() {
    let t = Trial::new();
    let p = params(&RdsRestore, json!({ "to": "-15m" }));
    let undo = t.prepare(&RdsRestore, Some(&orders()), &p).await.unwrap();
    t.apply(&RdsRestore, Some(&orders()), &undo, &p).await.unwrap();
    t.sim.edit_db(&undo.identifier, |db| "incompatible-parameters".clone_into(&mut db.status));
    let e = RdsRestore.poll(t.read(), None, &undo, &p).await.unwrap_err();
    assert!(e.hopeless && e.effect == EffectCertainty::Unknown);
}

#[test]
fn derived_identifiers_are_valid() {
    assert!(is_identifier("shop-orders-redrill-0123abcd"));
    for wrong in ["", "1db", "a--b", "a-", "a_b", &"a".repeat(64)] {
        assert!(!is_identifier(wrong), "{wrong}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_longest_source_still_gives_a_valid_identifier() {
    let t = Trial::new();
    let p = params(&RdsRestore, json!({ "to": "latest" }));
    for source in ["a".repeat(63), format!("{}-{}", "a".repeat(45), "b".repeat(17))] {
        let derived = identifier(t.read().run, t.read().step, &source, &p);
        assert!(is_identifier(&derived) && derived.contains("-redrill-"), "{derived}");
    }
}

#[test]
fn parameters_are_checked() {
    let check = |with: Value| Action::check(&RdsRestore, &params(&RdsRestore, with)).len();
    assert_eq!(check(json!({ "to": "latest", "tags": { "team": "a" } })), 0);
    assert_eq!(check(json!({ "to": "latest", "tags": { "redrill:run": "x" } })), 1);
    assert_eq!(check(json!({ "to": "latest", "tags": { "rds:x": "x" } })), 1);
    assert_eq!(check(json!({ "to": "latest", "tags": { "x": "aws:x", "y": "rds:y", "z": "rdsz" } })), 2);
    assert_eq!(check(json!({ "to": "latest", "identifier": "1-is-no-name" })), 1);
    assert_eq!(check(json!({ "to": "latest", "identifier": "${params.name}" })), 0);
    assert_eq!(check(json!({ "to": "latest", "security_groups": [] })), 1);
    let unknown = serde_json::from_value::<Params>(json!({ "to": "latest", "klass": "x" }));
    assert!(unknown.unwrap_err().to_string().contains("klass"));
}
