//! What undo deletes, and what it leaves to a person.

use super::*;
use crate::model::pattern::OneOrMany;

#[tokio::test(start_paused = true)]
async fn undo_waits_for_creating() {
    let t = Trial::new();
    let before = t.sim.snapshot();
    let p = params(&RdsRestore, json!({ "to": "-15m" }));
    let undo = t.prepare(&RdsRestore, Some(&orders()), &p).await.unwrap();
    t.apply(&RdsRestore, Some(&orders()), &undo, &p).await.unwrap();
    let done = RdsRestore.undo(t.write(), None, &undo).await.unwrap();
    let text = format!("{} deleted, DescribeDBInstances says not found", undo.identifier);
    assert_eq!(done, Undone::PutBack(text));
    assert_eq!(t.sim.snapshot(), before);
    let refused: Vec<_> = t.sim.changes().into_iter().map(|c| c.operation).collect();
    assert_eq!(
        refused,
        ["rds:RestoreDBInstanceToPointInTime", "rds:DeleteDBInstance"],
        "nothing is sent that AWS would refuse"
    );
}

#[tokio::test(start_paused = true)]
async fn what_has_the_name_of_the_source_has_to_be_the_source() {
    for on_record in [true, false] {
        let t = Trial::new();
        let (mut undo, _) = restored(&t, json!({ "to": "-15m" })).await;
        let later = Some(t.clock.now());
        t.sim.edit_db(&undo.source, |db| db.created_at = later);
        if on_record {
            let left = RdsRestore.undo(t.write(), None, &undo).await.unwrap_err();
            assert!(left.hopeless && left.message.contains("is another database now, created"), "{left}");
            assert!(left.hint.is_some_and(|hint| hint.contains("--final-db-snapshot-identifier")));
            assert_eq!(deletions(&t), 0);
        } else {
            // an old record may not say when it was created: its name is all that is known
            undo.original.db.created_at = None;
            assert!(matches!(RdsRestore.undo(t.write(), None, &undo).await, Ok(Undone::PutBack(_))));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_somebody_wants_to_stay_is_left_until_they_let_go_of_it() {
    let protect: fn(&mut DbInstance) = |db| db.deletion_protection = true;
    let keep: fn(&mut DbInstance) = |db| _ = db.tags.insert(TAG_KEPT.to_owned(), "oncall".to_owned());
    let forbid: fn(&mut DbInstance) = |db| _ = db.tags.insert("redrill".to_owned(), "never".to_owned());
    let let_go: fn(&mut DbInstance) = |db| {
        db.deletion_protection = false;
        db.tags.retain(|key, _| key != TAG_KEPT && key != "redrill");
    };
    for (claim, told) in [
        (protect, "turned on the deletion protection"),
        (keep, "redrill:kept=oncall"),
        (forbid, "redrill=never"),
    ] {
        let mut t = Trial::new();
        t.forbid_tags = Some([("redrill".to_owned(), OneOrMany::from("never"))].into());
        let before = t.sim.snapshot();
        let (undo, _) = restored(&t, json!({ "to": "-15m" })).await;
        t.sim.edit_db(&undo.identifier, claim);
        let now = t.sim.snapshot();
        let left = RdsRestore.undo(t.write(), None, &undo).await.unwrap_err();
        assert!(left.hopeless && left.message.contains(told), "{left}");
        let hint = left.hint.expect("what to do");
        assert!(hint.contains("--accept step/shop-orders") && hint.contains("remove-tags-from"), "{hint}");
        assert_eq!((deletions(&t), t.sim.snapshot()), (0, now), "{told}");
        t.sim.edit_db(&undo.identifier, let_go);
        assert!(matches!(RdsRestore.undo(t.write(), None, &undo).await, Ok(Undone::PutBack(_))), "{told}");
        assert_eq!(t.sim.snapshot(), before);
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_run_itself_made_it_with_says_nothing() {
    let mut t = Trial::new();
    t.after = After::Keep;
    t.forbid_tags = Some([("team".to_owned(), OneOrMany::from("a"))].into());
    let (undo, _) = restored(&t, json!({ "to": "-15m", "tags": { "team": "a" } })).await;
    assert!(matches!(RdsRestore.undo(t.write(), None, &undo).await, Ok(Undone::PutBack(_))));
    assert_eq!(deletions(&t), 1);
}
