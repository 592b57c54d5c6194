//! Objects: markers, versions, and what is gone for good.

use redrill::cloud::{DeletedObject, EffectCertainty, Mutation, ObjectRef, Outcome};

use super::{TestWorld, tags};

const ASSETS: &str = "shop-assets-123456789012";
const SCRATCH: &str = "batch-scratch-123456789012";
const KEY: &str = "catalogue/items.json";

async fn delete(w: &TestWorld, bucket: &str, key: &str, version: Option<String>) -> DeletedObject {
    let objects = vec![ObjectRef { key: key.to_owned(), version }];
    match w.done(Mutation::DeleteObjects { bucket: bucket.to_owned(), objects }).await {
        Outcome::Objects { mut deleted, errors } => {
            assert!(errors.is_empty(), "{errors:?}");
            assert_eq!(deleted.len(), 1);
            deleted.remove(0)
        }
        other => panic!("objects are told: {other:?}"),
    }
}

async fn there(w: &TestWorld, bucket: &str, key: &str) -> bool {
    w.cloud.reads.s3.head(bucket, key).await.expect("head").is_some()
}

pub(super) async fn each_deletion_adds_a_marker(w: &TestWorld) {
    assert_eq!(w.cloud.reads.s3.bucket_info(ASSETS).await.expect("info").versioning, "Enabled");
    let first = delete(w, ASSETS, KEY, None).await.marker.expect("a marker was made");
    assert!(!there(w, ASSETS, KEY).await);
    let second = delete(w, ASSETS, KEY, None).await.marker.expect("another marker was made");
    assert_ne!(first, second);
    let versions = w.versions(ASSETS, KEY).await;
    assert_eq!(versions.iter().filter(|v| v.marker).count(), 2);
    assert_eq!(versions.iter().filter(|v| !v.marker).count(), 1);
    let latest: Vec<_> = versions.iter().filter(|v| v.latest).collect();
    assert_eq!(latest.len(), 1);
    assert_eq!(latest[0].version, second);
}

pub(super) async fn a_removed_marker_brings_the_object_back(w: &TestWorld) {
    let before = w.versions(ASSETS, "").await;
    let marker = delete(w, ASSETS, KEY, None).await.marker.expect("a marker was made");
    assert_ne!(w.versions(ASSETS, "").await, before);
    for _ in 0..2 {
        // the second time there is nothing left to remove, and that is no error
        delete(w, ASSETS, KEY, Some(marker.clone())).await;
        assert!(there(w, ASSETS, KEY).await);
        assert_eq!(w.versions(ASSETS, "").await, before);
    }
}

pub(super) async fn without_versions_an_object_is_gone(w: &TestWorld) {
    assert_eq!(w.cloud.reads.s3.bucket_info(SCRATCH).await.expect("info").versioning, "");
    assert!(there(w, SCRATCH, "input/1.csv").await);
    assert_eq!(delete(w, SCRATCH, "input/1.csv", None).await.marker, None);
    assert!(!there(w, SCRATCH, "input/1.csv").await);
    assert!(w.versions(SCRATCH, "").await.is_empty());
}

pub(super) async fn more_than_a_thousand_keys_are_refused(w: &TestWorld) {
    let objects = (0..1001).map(|n| ObjectRef { key: format!("none/{n}"), version: None }).collect();
    let e = w.send(Mutation::DeleteObjects { bucket: ASSETS.to_owned(), objects }).await;
    assert_eq!(e.expect_err("too many").effect, EffectCertainty::None);
    assert!(w.versions(ASSETS, "none/").await.is_empty());
}

pub(super) async fn bucket_tags_are_replaced_as_a_whole(w: &TestWorld) {
    let s3 = &w.cloud.reads.s3;
    let before = s3.bucket_tags(SCRATCH).await.expect("tags");
    assert_eq!(before["service"], "batch");
    let put = |tags| Mutation::TagBucket { bucket: SCRATCH.to_owned(), tags };
    w.done(put(tags(&[("redrill:held", "run")]))).await;
    assert_eq!(s3.bucket_tags(SCRATCH).await.expect("tags"), tags(&[("redrill:held", "run")]));
    w.done(put(tags(&[]))).await;
    assert!(s3.bucket_tags(SCRATCH).await.expect("no tags is no error").is_empty());
    w.done(put(before.clone())).await;
    assert_eq!(s3.bucket_tags(SCRATCH).await.expect("tags"), before);
}
