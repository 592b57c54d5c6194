//! Distributions: invalidations and tags.

use redrill::cloud::{Distribution, EffectCertainty, Mutation, all_pages};

use super::{TestWorld, tags};

async fn storefront(w: &TestWorld) -> Distribution {
    let cdn = &w.cloud.reads.cloudfront;
    let all = all_pages(|page| async move { cdn.distributions(page).await }).await.expect("distributions");
    all.into_iter().find(|d| d.comment == "shop storefront").expect("the shop has a storefront")
}

fn invalidate(d: &Distribution, reference: &str, paths: &[&str]) -> Mutation {
    Mutation::CreateInvalidation {
        distribution: d.id.clone(),
        caller_reference: reference.to_owned(),
        paths: paths.iter().map(|p| (*p).to_owned()).collect(),
    }
}

pub(super) async fn an_invalidation_completes(w: &TestWorld) {
    let cdn = &w.cloud.reads.cloudfront;
    let d = storefront(w).await;
    assert_eq!(d.aliases, ["shop.example.com"]);
    let id = w.created(invalidate(&d, "first", &["/index.html", "/catalogue/*"])).await;
    let made = cdn.invalidation(&d.id, &id).await.expect("reads").expect("is there");
    assert_eq!((made.caller_reference.as_str(), made.paths.len()), ("first", 2));
    w.until("the invalidation is completed", async || {
        let i = cdn.invalidation(&d.id, &id).await.expect("reads").expect("is there");
        assert!(["InProgress", "Completed"].contains(&i.status.as_str()), "{}", i.status);
        (i.status == "Completed").then_some(())
    })
    .await;
    let distribution = d.id.as_str();
    let all =
        all_pages(|page| async move { cdn.invalidations(distribution, page).await }).await.expect("lists");
    assert!(all.iter().any(|i| i.id == id));
    assert_eq!(cdn.invalidation(&d.id, "I0123456789ABCD").await.expect("a missing one is no error"), None);
}

pub(super) async fn the_same_reference_is_one_invalidation(w: &TestWorld) {
    let d = storefront(w).await;
    let one = w.created(invalidate(&d, "same", &["/a", "/b"])).await;
    assert_eq!(w.created(invalidate(&d, "same", &["/a", "/b"])).await, one);
    assert_ne!(w.created(invalidate(&d, "other", &["/a", "/b"])).await, one);
    let e = w.send(invalidate(&d, "same", &["/c"])).await.expect_err("other paths");
    assert_eq!(e.effect, EffectCertainty::None, "{e}");
}

pub(super) async fn distribution_tags_come_and_go(w: &TestWorld) {
    let cdn = &w.cloud.reads.cloudfront;
    let d = storefront(w).await;
    let before = cdn.tags(&d.arn).await.expect("tags");
    assert_eq!(before["role"], "storefront");
    w.done(Mutation::TagDistribution { arn: d.arn.clone(), tags: tags(&[("redrill:held", "run")]) }).await;
    assert_eq!(cdn.tags(&d.arn).await.expect("tags")["redrill:held"], "run");
    let keys = vec!["redrill:held".to_owned()];
    w.done(Mutation::UntagDistribution { arn: d.arn.clone(), keys }).await;
    assert_eq!(cdn.tags(&d.arn).await.expect("tags"), before);
}
