//! Deleting objects: what is refused, what undo takes away, and what it leaves to a person.

use serde_json::json;

use super::*;
use crate::catalog::actions::s3_restore::S3Restore;
use crate::catalog::actions::trial::{BUCKET, SCRATCH_BUCKET, Trial, params, puts_everything_back, target};
use crate::catalog::kinds;
use crate::cloud::faulty::Fault;

fn assets() -> Target {
    target(kinds::S3_BUCKET, BUCKET)
}

async fn deleted(t: &Trial, with: Value) -> Undo {
    let p = params(&S3Delete, with);
    let undo = t.prepare(&S3Delete, Some(&assets()), &p).await.unwrap();
    t.apply(&S3Delete, Some(&assets()), &undo, &p).await.unwrap();
    undo
}

#[tokio::test(start_paused = true)]
async fn it_puts_everything_back() {
    puts_everything_back(&S3Delete, &assets(), json!({ "prefix": "catalogue/" })).await;
    puts_everything_back(&S3Delete, &assets(), json!({ "keys": ["index.html", "css/site.css"] })).await;
    puts_everything_back(&S3Delete, &assets(), json!({ "prefix": "" })).await;
}

#[tokio::test(start_paused = true)]
async fn only_what_is_meant_is_deleted() {
    let t = Trial::new();
    t.sim.put_object(BUCKET, "index.html.bak", "a neighbour");
    let undo = deleted(&t, json!({ "keys": ["index.html"] })).await;
    assert_eq!(undo.objects.len(), 1);
    let there = async |key| t.cloud.reads.s3.head(BUCKET, key).await.unwrap().is_some();
    assert!(!there("index.html").await);
    assert!(there("index.html.bak").await && there("css/site.css").await);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_objects_a_call() {
    let t = Trial::new();
    t.sim.set_page_size(1000);
    for n in 0..1500 {
        t.sim.put_object(BUCKET, &format!("many/{n:04}"), "x");
    }
    let before = t.sim.snapshot();
    let undo = deleted(&t, json!({ "prefix": "many/", "max_objects": 2000 })).await;
    assert_eq!(t.sim.changes().len(), 2);
    S3Delete.undo(t.write(), None, &undo).await.unwrap();
    assert_eq!(t.sim.snapshot(), before);
}

#[tokio::test(start_paused = true)]
async fn no_more_is_listed_than_tells_that_it_is_too_much() {
    let t = Trial::new();
    t.sim.set_page_size(100);
    for n in 0..1_500 {
        t.sim.put_object(BUCKET, &format!("many/{n:04}"), "x");
    }
    let listed = || t.sim.calls().iter().filter(|c| c.operation == "s3:ListBucketVersions").count();
    let refused = async |with: Value| {
        let before = listed();
        let p = params(&S3Delete, with.clone());
        let said = t.refusals(&S3Delete, &assets(), &p).await.join("; ");
        let planned = listed() - before;
        let e = t.prepare(&S3Delete, Some(&assets()), &p).await.map(|_| ()).err().map(|e| e.message);
        (said, planned, listed() - before - planned, e.unwrap_or_default())
    };
    let (said, planned, prepared, again) = refused(json!({ "prefix": "many/", "max_objects": 250 })).await;
    assert_eq!(said, "more objects are meant than `max_objects: 250` allows");
    assert_eq!((planned, prepared), (3, 3));
    assert!(again.ends_with(&said), "{again}");
    // a key alone is not its neighbours
    t.sim.put_object(BUCKET, "many/", "the key itself");
    let (said, planned, prepared, again) = refused(json!({ "keys": ["many/"] })).await;
    assert_eq!((said.as_str(), planned, prepared, again.as_str()), ("", 1, 1, ""));
    // and what stands behind the last object is not looked at again and again
    let undo = deleted(&t, json!({ "keys": ["many/0001"] })).await;
    let undo = Undo { prefix: Some("many/".to_owned()), ..undo };
    let before = listed();
    let p = params(&S3Delete, json!({ "prefix": "many/" }));
    assert!(matches!(S3Delete.poll(t.read(), None, &undo, &p).await.unwrap(), Progress::Ready(_)));
    assert_eq!(listed() - before, 1);
}

#[tokio::test(start_paused = true)]
async fn a_prefix_full_of_old_versions_is_refused_before_all_are_read() {
    let t = Trial::new();
    t.sim.set_page_size(20_000);
    for n in 0..141_000 {
        t.sim.put_object(BUCKET, &format!("log/{:03}", n % 101), "x");
    }
    let before = t.sim.calls().len();
    let p = params(&S3Delete, json!({ "prefix": "log/", "max_objects": 200 }));
    let said = t.refusals(&S3Delete, &assets(), &p).await;
    assert_eq!(said, ["more than 100000 versions and delete markers are under `prefix`"]);
    assert!(t.sim.calls().len() - before <= 7, "six pages and the settings");
    // named, it is one object with its history
    let p = params(&S3Delete, json!({ "keys": ["log/007"] }));
    assert_eq!(t.refusals(&S3Delete, &assets(), &p).await, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_bucket_whose_tags_cannot_be_set_is_refused_in_the_plan() {
    let t = Trial::new();
    let p = params(&S3Delete, json!({ "prefix": "catalogue/" }));
    assert_eq!(t.refusals(&S3Delete, &assets(), &p).await, Vec::<String>::new());
    t.sim.edit_bucket(BUCKET, |info| info.abac = true);
    let said = t.refusals(&S3Delete, &assets(), &p).await;
    assert!(said[0].starts_with("attribute-based access control is on"), "{said:?}");
    assert!(t.prepare(&S3Delete, Some(&assets()), &p).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn applying_again_adds_no_second_marker() {
    let t = Trial::new().failing(0, 1, Fault::LoseAnswer);
    let before = t.sim.snapshot();
    let p = params(&S3Delete, json!({ "prefix": "catalogue/" }));
    let undo = t.prepare(&S3Delete, Some(&assets()), &p).await.unwrap();
    t.apply(&S3Delete, Some(&assets()), &undo, &p).await.unwrap_err();
    t.apply(&S3Delete, Some(&assets()), &undo, &p).await.unwrap();
    assert!(matches!(S3Delete.undo(t.write(), None, &undo).await.unwrap(), Undone::PutBack(_)));
    assert_eq!(t.sim.snapshot(), before);
}

#[tokio::test(start_paused = true)]
async fn an_object_refused_fails_the_step_and_the_rest_is_put_back() {
    let t = Trial::new();
    let before = t.sim.snapshot();
    t.sim.deny_object(BUCKET, "catalogue/items.json");
    let p = params(&S3Delete, json!({ "prefix": "catalogue/" }));
    let undo = t.prepare(&S3Delete, Some(&assets()), &p).await.unwrap();
    let e = t.apply(&S3Delete, Some(&assets()), &undo, &p).await.unwrap_err();
    assert_eq!((e.effect, e.hopeless), (EffectCertainty::Partial, true));
    assert!(e.message.contains("1 of 2 objects, the first: catalogue/items.json: AccessDenied"), "{e}");
    let e = S3Delete.poll(t.read(), None, &undo, &p).await.unwrap_err();
    assert!(e.hopeless && e.message == "1 of 2 objects are deleted", "{e}");
    S3Delete.undo(t.write(), None, &undo).await.unwrap();
    assert_eq!(t.sim.snapshot(), before);
}

#[tokio::test(start_paused = true)]
async fn what_somebody_else_did_is_never_guessed_at() {
    let t = Trial::new();
    let undo = deleted(&t, json!({ "prefix": "catalogue/" })).await;
    t.sim.put_marker(BUCKET, "catalogue/items.json");
    let e = S3Delete.undo(t.write(), None, &undo).await.unwrap_err();
    assert!(e.hopeless && e.message.contains("somebody else deleted 1 objects meanwhile"), "{e}");
    let there = async |key| t.cloud.reads.s3.head(BUCKET, key).await.unwrap().is_some();
    assert!(there("catalogue/prices.json").await, "the clear ones are put back all the same");
    assert!(!there("catalogue/items.json").await);
}

#[tokio::test(start_paused = true)]
async fn what_somebody_wrote_right_before_the_deletion_comes_out_from_under_its_marker() {
    let t = Trial::new();
    let p = params(&S3Delete, json!({ "prefix": "catalogue/" }));
    let key = "catalogue/items.json";
    let undo = t.prepare(&S3Delete, Some(&assets()), &p).await.unwrap();
    t.sim.put_object(BUCKET, key, "new");
    let object = |key: &str| ObjectRef { key: key.to_owned(), version: None };
    let objects = vec![object(key), object("catalogue/prices.json")];
    t.write()
        .gate
        .send(crate::cloud::Mutation::DeleteObjects { bucket: BUCKET.to_owned(), objects })
        .await
        .unwrap();
    assert!(matches!(S3Delete.poll(t.read(), None, &undo, &p).await.unwrap(), Progress::Ready(_)));
    let done = S3Delete.undo(t.write(), None, &undo).await.unwrap();
    assert!(matches!(&done, Undone::PutBack(told) if told.ends_with(key)), "{done:?}");
    let size = t.cloud.reads.s3.head(BUCKET, key).await.unwrap().map(|m| m.size);
    assert_eq!(size, Some(3), "the new content");
    // one that they deleted after that stays deleted, and is theirs to look at
    let t = Trial::new();
    let undo = deleted(&t, json!({ "prefix": "catalogue/" })).await;
    let own = markers(&t, BUCKET, key).await;
    t.sim.put_object(BUCKET, key, "new");
    t.sim.put_marker(BUCKET, key);
    let e = S3Delete.undo(t.write(), None, &undo).await.unwrap_err();
    assert!(e.hopeless && e.message.contains("it is left as it is"), "{e}");
    assert!(!markers(&t, BUCKET, key).await.contains(&own[0]), "its own marker is gone");
    assert!(t.cloud.reads.s3.head(BUCKET, key).await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn what_somebody_wrote_anew_is_current_and_needs_nothing() {
    let t = Trial::new();
    let p = params(&S3Delete, json!({ "prefix": "catalogue/" }));
    let undo = deleted(&t, json!({ "prefix": "catalogue/" })).await;
    t.sim.put_object(BUCKET, "catalogue/items.json", "new");
    // it was deleted, and the service has written it since
    assert!(matches!(S3Delete.poll(t.read(), None, &undo, &p).await.unwrap(), Progress::Ready(_)));
    let done = S3Delete.undo(t.write(), None, &undo).await.unwrap();
    let Undone::PutBack(told) = &done else { panic!("{done:?}") };
    assert!(told.ends_with("written anew by somebody else, and left so: catalogue/items.json"), "{told}");
    let head = async |key| t.cloud.reads.s3.head(BUCKET, key).await.unwrap().map(|m| m.size);
    assert_eq!(head("catalogue/items.json").await, Some(3), "the new content");
    assert!(head("catalogue/prices.json").await.is_some());
    for key in ["catalogue/items.json", "catalogue/prices.json"] {
        assert_eq!(markers(&t, BUCKET, key).await, [""; 0], "no marker of the run's is left");
    }
    assert!(matches!(S3Delete.undo(t.write(), None, &undo).await.unwrap(), Undone::Already(_)));

    // a marker of somebody else below it is theirs
    let t = Trial::new();
    let undo = deleted(&t, json!({ "keys": ["index.html"] })).await;
    let theirs = t.sim.put_marker(BUCKET, "index.html").unwrap();
    t.sim.put_object(BUCKET, "index.html", "new");
    assert!(matches!(S3Delete.undo(t.write(), None, &undo).await.unwrap(), Undone::PutBack(_)));
    assert_eq!(markers(&t, BUCKET, "index.html").await, [theirs]);
    // and deleted by somebody again, it is a person's
    t.sim.put_marker(BUCKET, "index.html");
    let e = S3Delete.undo(t.write(), None, &undo).await.unwrap_err();
    assert!(e.hopeless && e.message.ends_with("it is left as it is"), "{e}");
}

/// The version ids of the delete markers on a key.
async fn markers(t: &Trial, bucket: &str, key: &str) -> Vec<String> {
    let all = t.cloud.reads.s3.versions(bucket, key, None).await.unwrap().items;
    all.into_iter().filter(|v| v.marker).map(|v| v.version).collect()
}

#[tokio::test(start_paused = true)]
async fn what_somebody_else_deleted_after_the_recovery_stays_deleted() {
    let t = Trial::new();
    let with = || json!({ "prefix": "catalogue/" });
    let restore = params(&S3Restore, with());
    let record = t.prepare(&S3Restore, Some(&assets()), &restore).await.unwrap();
    let before = t.sim.snapshot();
    let undo = deleted(&t, with()).await;
    t.apply(&S3Restore, Some(&assets()), &record, &restore).await.unwrap();
    assert_eq!(t.sim.snapshot(), before, "the recovery has put it back");
    let theirs = t.sim.put_marker(BUCKET, "catalogue/prices.json").unwrap();
    let sent = t.sim.changes().len();
    let e = S3Delete.undo(t.write(), None, &undo).await.unwrap_err();
    assert!(e.hopeless && e.message.contains("catalogue/prices.json") && e.message.contains(&theirs), "{e}");
    assert_eq!(markers(&t, BUCKET, "catalogue/prices.json").await, std::slice::from_ref(&theirs));
    // nor does the recovery of the run's own fault take it away
    let e = t.apply(&S3Restore, Some(&assets()), &record, &restore).await.unwrap_err();
    assert!(e.hopeless && e.message.contains(&theirs), "{e}");
    assert_eq!(markers(&t, BUCKET, "catalogue/prices.json").await, [theirs]);
    assert_eq!(t.sim.changes().len(), sent, "nothing was sent");
}

#[tokio::test(start_paused = true)]
async fn of_a_lost_answer_a_marker_is_the_run_s_by_its_time_alone() {
    for (late, own) in [(0, true), (100, false)] {
        // the request never arrives, and somebody else deletes the object: then, or later
        let t = Trial::new().failing(0, 1, Fault::LoseRequest);
        let p = params(&S3Delete, json!({ "keys": ["index.html"] }));
        let undo = t.prepare(&S3Delete, Some(&assets()), &p).await.unwrap();
        t.apply(&S3Delete, Some(&assets()), &undo, &p).await.unwrap_err();
        tokio::time::sleep(Duration::from_secs(late)).await;
        t.sim.put_marker(BUCKET, "index.html");
        let done = S3Delete.undo(t.write(), None, &undo).await;
        assert_eq!(done.is_ok(), own, "{late} s: {done:?}");
    }
    let t = Trial::new().failing(0, 1, Fault::LoseAnswer);
    let p = params(&S3Delete, json!({ "keys": ["index.html"] }));
    let undo = t.prepare(&S3Delete, Some(&assets()), &p).await.unwrap();
    t.apply(&S3Delete, Some(&assets()), &undo, &p).await.unwrap_err();
    t.sim.put_marker(BUCKET, "index.html");
    let e = S3Delete.undo(t.write(), None, &undo).await.unwrap_err();
    assert!(e.hopeless && e.message.contains("cannot be told") && e.message.contains("index.html"), "{e}");
    assert_eq!(markers(&t, BUCKET, "index.html").await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn markers_in_replicas_are_mended_too() {
    let t = Trial::new();
    t.sim.add_bucket("replica", "Enabled", &crate::model::Tags::new());
    t.sim.put_object("replica", "index.html", "the same");
    t.sim.edit_bucket(BUCKET, |info| info.marker_replicas = vec!["replica".to_owned()]);
    let before = t.sim.snapshot();
    let p = params(&S3Delete, json!({ "keys": ["index.html"] }));
    let refusals = t.refusals(&S3Delete, &assets(), &p).await;
    assert!(refusals[0].contains("replicates delete markers to replica"), "{refusals:?}");
    assert!(t.prepare(&S3Delete, Some(&assets()), &p).await.is_err());

    let more = json!({ "keys": ["index.html"], "replicas": ["replica", "payroll"] });
    let p = params(&S3Delete, more);
    let refusals = t.refusals(&S3Delete, &assets(), &p).await;
    assert_eq!(refusals, ["it replicates no delete markers to payroll"]);
    assert!(t.prepare(&S3Delete, Some(&assets()), &p).await.is_err());

    let with = json!({ "keys": ["index.html"], "replicas": ["replica"] });
    assert_eq!(t.refusals(&S3Delete, &assets(), &params(&S3Delete, with.clone())).await, [""; 0]);
    let undo = deleted(&t, with).await;
    t.sim.replicate_marker(BUCKET, "replica", "index.html");
    S3Delete.undo(t.write(), None, &undo).await.unwrap();
    assert_eq!(t.sim.snapshot(), before);
    // another marker there is no copy of the run's
    let theirs = t.sim.put_marker("replica", "index.html").unwrap();
    let e = S3Delete.undo(t.write(), None, &undo).await.unwrap_err();
    assert!(e.hopeless && e.message.contains("index.html in replica"), "{e}");
    assert_eq!(markers(&t, "replica", "index.html").await, [theirs]);
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_undone_is_refused() {
    let refusals = async |change: fn(&mut BucketInfo), with: Value| {
        let t = Trial::new();
        t.sim.edit_bucket(BUCKET, change);
        t.refusals(&S3Delete, &assets(), &params(&S3Delete, with)).await.join("; ")
    };
    let all = || json!({ "prefix": "" });
    assert_eq!(refusals(|_| {}, all()).await, "");
    assert!(refusals(|b| b.versioning = "Suspended".to_owned(), all()).await.contains("is Suspended"));
    assert!(refusals(|b| b.mfa_delete = true, all()).await.contains("MFA Delete"));
    // give_up is 8 hours: one day is too short, two are enough
    assert!(refusals(|b| b.noncurrent_expiry_days = Some(1), all()).await.contains("after 1 days"));
    assert_eq!(refusals(|b| b.noncurrent_expiry_days = Some(2), all()).await, "");
    let many = refusals(|_| {}, json!({ "prefix": "", "max_objects": 5 })).await;
    assert_eq!(many, "more objects are meant than `max_objects: 5` allows");
    assert!(refusals(|_| {}, json!({ "prefix": "nothing/" })).await.contains("nothing to delete"));
    assert!(refusals(|_| {}, json!({ "keys": ["nobody"] })).await.contains("there is no object nobody"));
    let t = Trial::new();
    let scratch = target(kinds::S3_BUCKET, SCRATCH_BUCKET);
    let p = params(&S3Delete, all());
    assert!(t.refusals(&S3Delete, &scratch, &p).await.join("; ").contains("versioning is off"));
    assert!(t.prepare(&S3Delete, Some(&scratch), &p).await.is_err(), "prepare looks again");
}
