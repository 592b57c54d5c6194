//! Against moto as it is, without our corrections: they serve realism, not redrill.

use redrill::sandbox::{Pace, SandboxOptions};

use super::drills::{network, server};
use super::world::{World, but_replaced};

#[tokio::test]
async fn drills_pass_on_an_unmodified_moto() {
    let options = SandboxOptions { pace: Pace::None, plain: true, ..SandboxOptions::default() };
    let Some(w) = World::of(options).await else { return };
    for (drill, replaces) in [(network(&w), false), (server(&w), true)] {
        w.reseed().await;
        w.file("drill.yaml", &drill.text());
        let planned = w.go(["plan", "drill.yaml"]).await;
        assert_eq!(planned.code, Some(0), "{planned}");
        assert!(w.changes().await.is_empty());
        let before = w.state().await;
        let ended = w.run(&drill.text()).await;
        ended.expect(0, "passed");
        let after = w.state().await;
        if replaces {
            assert_eq!(but_replaced(before), but_replaced(after), "{ended}");
        } else {
            assert_eq!(before, after, "{ended}");
        }
    }
}

#[tokio::test]
async fn a_bucket_is_emptied_and_restored_on_an_unmodified_moto() {
    let options = SandboxOptions { pace: Pace::None, plain: true, ..SandboxOptions::default() };
    let Some(w) = World::of(options).await else { return };
    let file = format!("{}/drills/s3-object-loss.yaml", env!("CARGO_MANIFEST_DIR"));
    let health = format!("health_url={}/health", w.sandbox.health);
    let planned = w.go(["plan", &file, "--set", &health]).await;
    assert_eq!(planned.code, Some(0), "{planned}");
    assert!(w.changes().await.is_empty());
    let before = w.state().await;
    let ended = w.go(["run", &file, "--yes", "--output", "json", "--set", &health]).await;
    ended.expect(0, "passed");
    let calls = w.changes().await;
    assert!(calls.iter().any(|c| c == "DeleteObjects"), "{calls:?}");
    assert_eq!(before, w.state().await, "{ended}");
}
