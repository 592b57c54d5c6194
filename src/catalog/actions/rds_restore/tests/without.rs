//! Settings of the source that AWS does not take back.

use super::*;

async fn warned(t: &Trial) -> Vec<String> {
    let p = params(&RdsRestore, json!({ "to": "-15m" }));
    let found = RdsRestore.inspect(t.read(), &[orders()], &p).await.unwrap();
    found.into_iter().filter(|f| f.severity == Severity::Warning).map(|f| f.text).collect()
}

/// As a run does it: captured before the fault, restored by that.
async fn restored_as_captured(t: &Trial) -> Undo {
    let p = params(&RdsRestore, json!({ "to": "-15m" }));
    let captured = RdsRestore.capture_all(t.read(), &[orders()], &p).await.remove(0).unwrap();
    let undo = RdsRestore.prepare(t.read(), &[(Some(orders()), captured)], &p).await.remove(0).unwrap();
    t.apply(&RdsRestore, Some(&orders()), &undo, &p).await.unwrap();
    undo
}

#[tokio::test(start_paused = true)]
async fn a_ceiling_near_to_which_storage_has_grown_is_told_and_not_sent() {
    for (max, sent) in [(110, true), (109, false), (100, false)] {
        let t = Trial::new();
        t.sim.edit_db("shop-orders", |db| {
            (db.storage_gib, db.max_storage_gib) = (Some(100), Some(max));
        });
        let told = warned(&t).await;
        assert_eq!(told.iter().any(|w| w.contains(&format!("may grow to {max} GiB"))), !sent, "{told:?}");
        let undo = restored_as_captured(&t).await;
        assert_eq!(undo.like.max_storage_gib, sent.then_some(max));
    }
}

#[tokio::test(start_paused = true)]
async fn a_ca_that_rds_does_not_know_any_more_is_told_and_not_sent() {
    let old = Some("rds-ca-2019".to_owned());
    for known in [true, false] {
        let t = Trial::new();
        t.sim.edit_db("shop-orders", |db| db.ca.clone_from(&old));
        if !known {
            t.sim.withdraw("certificate rds-ca-2019");
        }
        let told = warned(&t).await;
        assert_eq!(told.iter().any(|w| w.contains("does not know its CA rds-ca-2019")), !known, "{told:?}");
        let undo = restored_as_captured(&t).await;
        assert_eq!(undo.like.ca.is_some(), known);
        let copy = find(t.read(), &undo.identifier).await.unwrap().unwrap();
        assert_eq!(copy.ca.as_deref(), Some(if known { "rds-ca-2019" } else { "rds-ca-rsa2048-g1" }));
    }
}

#[tokio::test(start_paused = true)]
async fn authorities_are_asked_for_once_and_what_nobody_tells_is_taken_for_known() {
    let t = Trial::new();
    let p = params(&RdsRestore, json!({ "to": "-15m" }));
    let both = [orders(), orders()];
    let before = t.sim.calls().len();
    assert_eq!(RdsRestore.capture_all(t.read(), &both, &p).await.len(), 2);
    let asked = |c: &&crate::sim::Call| c.operation == "rds:DescribeCertificates";
    assert_eq!(t.sim.calls()[before..].iter().filter(asked).count(), 1);
    t.sim.fail_next("rds:DescribeCertificates", "AccessDenied", 2);
    let found = RdsRestore.inspect(t.read(), &[orders()], &p).await.unwrap();
    assert!(
        found.iter().any(|f| f.text.starts_with("certificate authorities were not checked")),
        "{found:?}"
    );
    assert!(restored_as_captured(&t).await.like.ca.is_some());
}

#[tokio::test(start_paused = true)]
async fn storage_that_a_restore_of_sql_server_cannot_ask_for_is_told() {
    for (engine, kind, told) in
        [("sqlserver-se", "io2", true), ("sqlserver-se", "gp3", false), ("postgres", "io2", false)]
    {
        let t = Trial::new();
        t.sim.edit_db("shop-orders", |db| {
            engine.clone_into(&mut db.engine);
            (db.storage_type, db.iops) = (Some(kind.to_owned()), Some(12_000));
        });
        let found = warned(&t).await;
        assert_eq!(
            found.iter().any(|w| w.starts_with("its storage is io2")),
            told,
            "{engine} {kind}: {found:?}"
        );
    }
}
