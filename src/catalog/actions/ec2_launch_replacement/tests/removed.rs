//! `after: remove`: what is removed, and what stays all the same.

use super::*;
use crate::model::pattern::OneOrMany;

impl Scene {
    /// The replacement that runs.
    async fn runs(&self) -> Option<Instance> {
        self.replacements().await.into_iter().find(|i| i.state == "running")
    }
}

#[tokio::test(start_paused = true)]
async fn what_nothing_else_stands_in_for_is_kept_though_it_was_to_be_removed() {
    let s = scene("last");
    let p = s.lost(&Value::Null).await;
    assert!(matches!(s.bench.undo(&ACTION, &p).await, Ok(Undone::NothingMade(_))), "never applied");
    s.apply(&p).await.expect("launched");
    for _ in 0..2 {
        let done = s.bench.undo(&ACTION, &p).await;
        let Ok(Undone::Kept(proof)) = &done else { panic!("{done:?}") };
        assert!(proof.contains(&format!("{} is gone for good", s.old)), "{proof}");
        let new = s.runs().await.expect("it stands");
        assert_eq!(new.tags[target::TAG_KEPT], s.bench.read().run.as_str());
        assert!(!new.tags.contains_key(target::TAG_RUN), "{:?}", new.tags);
    }
    // one that somebody ended is not called kept
    let id = s.runs().await.expect("it stands").id;
    s.bench.somebody(Mutation::TerminateInstances { ids: vec![id] }).await;
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert!(matches!(s.bench.undo(&ACTION, &p).await, Ok(Undone::Already(_))));
}

#[tokio::test(start_paused = true)]
async fn what_was_launched_and_is_not_listed_is_not_called_nothing() {
    let mut s = scene("unlisted");
    let p = s.lost(&Value::Null).await;
    s.apply(&p).await.expect("launched");
    s.bench.misread(|_, _| Some(Misread::Empty));
    let error = s.bench.undo(&ACTION, &p).await.expect_err("it may run");
    assert!(error.effect == EffectCertainty::Unknown && !error.hopeless, "{error}");
    s.bench.misread(|_, _| None);
    assert!(matches!(s.bench.undo(&ACTION, &p).await, Ok(Undone::Kept(_))));
}

#[tokio::test(start_paused = true)]
async fn what_somebody_wants_to_stay_is_left_until_they_let_go_of_it() {
    for (key, value) in [(target::TAG_KEPT, "oncall"), ("redrill", "never")] {
        let mut s = scene("claimed");
        s.bench.forbid_tags = Some([("redrill".to_owned(), OneOrMany::from("never"))].into());
        let p = s.beside().await;
        s.apply(&p).await.expect("launched");
        let new = s.runs().await.expect("it stands");
        s.bench.sim.edit_instance(&new.id, |i, _| _ = i.tags.insert(key.to_owned(), value.to_owned()));
        let error = s.bench.undo(&ACTION, &p).await.expect_err("somebody wants it");
        assert!(error.hopeless && error.message.contains(&format!("{key}={value}")), "{error}");
        let hint = error.hint.expect("what to do");
        assert!(hint.contains("delete-tags") && hint.contains("take the tag"), "{hint}");
        assert_eq!(
            (s.runs().await.map(|i| i.id), s.bench.sent("ec2:TerminateInstances")),
            (Some(new.id.clone()), 0)
        );
        s.bench.sim.edit_instance(&new.id, |i, _| _ = i.tags.remove(key));
        assert!(matches!(s.bench.undo(&ACTION, &p).await, Ok(Undone::PutBack(_))));
        assert_eq!(s.runs().await, None);
    }
    // what it was launched with says nothing
    let mut s = scene("unclaimed");
    s.bench.forbid_tags = Some([("service".to_owned(), OneOrMany::from("shop"))].into());
    let p = s.beside().await;
    s.apply(&p).await.expect("launched");
    assert!(matches!(s.bench.undo(&ACTION, &p).await, Ok(Undone::PutBack(_))));
}

#[tokio::test(start_paused = true)]
async fn what_somebody_wants_to_stay_stays_registered_until_they_take_it_out_of_the_run() {
    let (s, _) = Scene::by_address("claimed-address");
    let p = s.beside().await;
    s.apply(&p).await.expect("launched");
    let new = s.runs().await.expect("it stands");
    s.bench.sim.edit_instance(&new.id, |i, _| _ = i.tags.insert(target::TAG_KEPT.to_owned(), String::new()));
    let error = s.bench.undo(&ACTION, &p).await.expect_err("somebody wants it");
    assert!(error.message.contains("tagged") && error.message.contains(target::TAG_KEPT), "{error}");
    assert_eq!(s.serving().await.len(), 2, "and it goes on serving");
    s.bench.sim.edit_instance(&new.id, |i, _| {
        i.tags.retain(|key, _| key != target::TAG_RUN && key != target::TAG_STEP);
    });
    assert!(matches!(s.bench.undo(&ACTION, &p).await, Ok(Undone::Already(_))));
    assert_eq!((s.runs().await.map(|i| i.id), s.serving().await.len()), (Some(new.id), 2));
}

#[tokio::test(start_paused = true)]
async fn one_that_is_kept_beside_its_original_says_so() {
    let s = scene("kept-beside");
    let p = s.beside().await;
    s.apply(&p).await.expect("launched");
    let kept = DynAction::keep(&ACTION, s.bench.write(), p.target.as_ref(), &p.undo).await.expect("kept");
    let Undone::PutBack(proof) = kept else { panic!("{kept:?}") };
    assert!(proof.ends_with(&format!("is kept beside {}, which still exists", s.old)), "{proof}");
}
