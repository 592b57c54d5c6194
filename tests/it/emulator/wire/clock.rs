//! A clock that is off. AWS refuses what is signed by one; the SDK learns AWS's time from the refusal.

use serde_json::json;

use super::{on_record, refusals};
use crate::emulator::drills::network;
use crate::emulator::world::World;

#[tokio::test]
async fn a_clock_that_is_off_refuses_the_run_and_says_how_far() {
    let Some(w) = World::start().await else { return };
    for (seconds, way) in [(400_i64, "behind"), (-400, "ahead of"), (1300, "behind")] {
        w.reseed().await;
        let before = w.state().await;
        w.faults(json!([{"fault": "skewed", "seconds": seconds, "times": null}])).await;
        let ended = w.run(&network(&w).text()).await;
        let said = format!("{ended}");
        // beyond a quarter of an hour EC2's refusal is one that the SDK does not see through
        assert_eq!(ended.code, Some(if seconds == 1300 { 5 } else { 3 }), "{seconds}: {said}");
        let (_, rest) = said.split_once("this machine's clock is ").unwrap_or_else(|| panic!("{said}"));
        let (told, rest) = rest.split_once(" s ").unwrap_or_default();
        // a `Date` has whole seconds, and calls take a moment
        assert!((seconds.abs() - 3..=seconds.abs() + 3).contains(&told.parse().unwrap_or(0)), "{said}");
        assert!(rest.starts_with(&format!("{way} AWS's")), "{said}");
        assert!(said.contains("set the clock"), "{seconds}: {said}");
        let struck = w.calls().await.iter().filter(|c| c["fault"] == "skewed").count();
        assert!(struck > 0 && struck < 30, "{struck} calls were refused: {said}");
        assert!(w.changes().await.is_empty(), "{said}");
        assert_eq!(before, w.state().await);
    }
}

#[tokio::test]
async fn a_clock_that_goes_wrong_in_the_middle_stops_the_run_and_all_is_put_back() {
    let Some(w) = World::start().await else { return };
    let before = w.state().await;
    w.gate.set(false);
    let mut run = w.start_run(&network(&w).gated(&w).text());
    run.stage("impact").await;
    w.faults(json!([{"fault": "skewed", "seconds": 400, "times": null}])).await;
    let ended = run.end().await;
    ended.expect(14, "failed");
    let refused = refusals(&ended, "ec2:ReplaceRouteTableAssociation");
    assert!(refused.iter().all(|(_, kind, _)| kind == "clock_skew") && !refused.is_empty(), "{ended}");
    assert!(refused.len() <= 4, "it does not go round in circles: {ended}");
    on_record(&w, &[&ended]).await;
    assert_eq!(before, w.state().await, "{ended}");
}
