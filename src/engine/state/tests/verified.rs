//! When the checks of a drill have passed.

use super::*;

#[tokio::test(start_paused = true)]
async fn verification_is_passed_when_every_verify_probe_was_asked_in_its_stage_and_is_healthy() {
    let two = LOSS.replace(
        "stop:\n",
        "  - { name: more, probe: rds.instance, with: { identifier: \"${steps.restore.identifier}\" }, every: 3s }\nstop:\n",
    );
    let (mut s, ..) = run_of(&two).await;
    take(&mut s, 900, seen("rows", Healthy, 800, 900));
    take(&mut s, 900, seen("more", Healthy, 800, 900));
    assert!(!s.verify_passed(), "not before the stage");
    take(&mut s, 1_000, stage(Stage::Verify));
    take(&mut s, 1_010, seen("page", Healthy, 1_000, 1_010));
    assert_eq!(s.verified, None, "asked before the stage");
    take(&mut s, 1_100, seen("rows", Healthy, 1_000, 1_100));
    assert_eq!((s.verified, s.verify_passed()), (None, false), "one of two");
    take(&mut s, 1_200, seen("more", Unhealthy, 1_000, 1_200));
    assert_eq!(s.verified, None);
    take(&mut s, 1_300, seen("more", Healthy, 1_250, 1_300));
    assert_eq!((s.verified, s.verify_passed()), (Some(1_300), true));
    take(&mut s, 1_400, seen("more", Healthy, 1_350, 1_400));
    assert_eq!(s.verified, Some(1_300), "the first moment counts");
    // what fails again while the steady state is held has not passed, until it does for good
    take(&mut s, 1_450, stage(Stage::Hold));
    take(&mut s, 1_500, seen("rows", Unhealthy, 1_460, 1_500));
    assert_eq!(s.verified, None);
    take(&mut s, 1_700, seen("rows", Healthy, 1_650, 1_700));
    take(&mut s, 1_710, seen("more", Healthy, 1_600, 1_690));
    assert_eq!(s.verified, Some(1_700));
    take(&mut s, 1_800, Event::Steady { since: DateTime::default() });
    take(&mut s, 1_900, seen("rows", Unhealthy, 1_850, 1_900));
    assert_eq!(s.verified, Some(1_700), "after that nothing is waited for");
    // answers that are recorded in another order than they came: the later one counts
    let (mut s, ..) = run_of(&two).await;
    take(&mut s, 1_000, stage(Stage::Verify));
    take(&mut s, 1_100, seen("rows", Healthy, 1_050, 1_095));
    take(&mut s, 1_100, seen("more", Healthy, 1_050, 1_090));
    assert_eq!(s.verified, Some(1_095));
    // in another stage nothing is verified
    let (mut s, ..) = run_of(&two).await;
    take(&mut s, 1_000, stage(Stage::Verify));
    take(&mut s, 1_010, stage(Stage::Undo));
    take(&mut s, 1_100, seen("rows", Healthy, 1_050, 1_100));
    take(&mut s, 1_100, seen("more", Healthy, 1_050, 1_100));
    assert_eq!(s.verified, None);
}

#[tokio::test(start_paused = true)]
async fn without_verify_probes_the_stage_itself_verifies() {
    let (mut s, ..) = run_of(UNSEEN).await;
    take(&mut s, 500, stage(Stage::Recovery));
    assert_eq!(s.verified, None);
    take(&mut s, 1_000, stage(Stage::Verify));
    assert_eq!(s.verified, Some(1_000));
    let (mut s, ..) = loss().await;
    take(&mut s, 1_000, stage(Stage::Verify));
    assert_eq!(s.verified, None);
}
