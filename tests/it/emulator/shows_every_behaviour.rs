//! The conformance suite on the emulator, through the SDK.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use redrill::aws::{ConnectOptions, connect};
use redrill::model::Clock;
use redrill::model::time::SystemClock;
use redrill::net::{RealLocal, RealNet};
use redrill::sandbox::{Pace, SandboxOptions};

use super::world::World;
use crate::conformance::{CASES, TestWorld};

async fn test_world(w: &World) -> TestWorld {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let options = ConnectOptions {
        region: Some("us-east-1".to_owned()),
        endpoint_url: Some(w.sandbox.endpoint.clone()),
        isolated: true,
        ..ConnectOptions::default()
    };
    let net = Arc::new(RealNet::new().expect("a client"));
    let cloud =
        connect(options, Arc::clone(&clock), net, Arc::new(RealLocal::default())).await.expect("connected");
    TestWorld { cloud, clock, every: Duration::from_millis(200), patience: Duration::from_secs(60) }
}

/// Half of the suite, so that both halves run side by side.
async fn half(which: usize) {
    // states that pass must be seen passing, so there are delays, but short ones
    let delays =
        ["pending", "stopping", "shutting-down", "modify", "reboot", "failover", "delete", "db-stop"]
            .iter()
            .map(|name| ((*name).to_owned(), 1.0))
            .chain(
                [("create", 2.0), ("restore", 2.0), ("backing-up", 0.5), ("invalidation", 1.5)]
                    .map(|(n, s)| (n.to_owned(), s)),
            )
            .collect();
    let Some(w) = World::of(SandboxOptions { pace: Pace::Fast, delays, ..SandboxOptions::default() }).await
    else {
        return;
    };
    let (mut ran, mut gaps) = (0, Vec::new());
    let mut failed = Vec::new();
    for (i, case) in CASES.iter().enumerate().filter(|(i, _)| i % 2 == which) {
        w.reseed().await;
        let world = test_world(&w).await;
        // a world of its own for each case: what one leaves undone ends with it
        let run = std::panic::AssertUnwindSafe((case.run)(&world));
        let outcome = futures::FutureExt::catch_unwind(run).await;
        match (outcome, case.not_on_emulator) {
            (Ok(()), None) => ran += 1,
            (Ok(()), Some(why)) => gaps.push(format!("{}: shown all the same ({why})", case.name)),
            (Err(_), Some(why)) => gaps.push(format!("{}: {why}", case.name)),
            (Err(e), None) => {
                let text = e.downcast_ref::<String>().cloned().unwrap_or_default();
                failed.push(format!("{i} {}: {text}", case.name));
            }
        }
    }
    let _closed = writeln!(
        std::io::stderr(),
        "\nconformance on the emulator, half {which}: {ran} shown, {} not asked of it: {gaps:?}",
        gaps.len()
    );
    assert!(failed.is_empty(), "{failed:#?}");
    assert!(ran >= 10, "only {ran} cases ran");
    let shown: Vec<_> = gaps.iter().filter(|g| g.contains("shown all the same")).collect();
    assert!(shown.is_empty(), "the emulator shows these now, so they must be asked of it: {shown:#?}");
}

#[tokio::test]
async fn one_half() {
    half(0).await;
}

#[tokio::test]
async fn the_other_half() {
    half(1).await;
}
