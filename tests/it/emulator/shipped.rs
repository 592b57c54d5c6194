//! Every shipped drill, run by the real binary at the emulator's own pace.

use redrill::sandbox::{Pace, SandboxOptions};

use super::world::{World, but_replaced, kept};

async fn passes(name: &str) {
    let options = SandboxOptions { pace: Pace::Fast, ..SandboxOptions::default() };
    let Some(w) = World::of(options).await else { return };
    let before = w.state().await;
    let file = format!("{}/drills/{name}.yaml", env!("CARGO_MANIFEST_DIR"));
    let health = format!("health_url={}/health", w.sandbox.health);
    let ended = w.go(["run", &file, "--yes", "--output", "json", "--set", &health]).await;
    ended.expect(0, "passed");
    assert!(ended.lines.iter().all(|l| l["type"].is_string()), "every line is an event: {ended}");
    assert!(ended.result()["rta_ms"].as_i64().is_some_and(|ms| ms > 0), "{ended}");
    assert_eq!(ended.events("finished").len(), 1);
    let after = w.state().await;
    if ended.events("kept").is_empty() {
        assert_eq!(before, after, "everything is as it was");
    } else {
        assert_eq!(kept(&after), 1, "the replacement, and nothing else");
        assert_eq!(
            but_replaced(before),
            but_replaced(after),
            "everything is as it was but for a replacement"
        );
    }
}

macro_rules! drills {
    ($($test:ident => $name:literal),* $(,)?) => {
        $(#[tokio::test]
        async fn $test() {
            passes($name).await;
        })*

        #[test]
        fn none_is_forgotten() {
            let here = [$($name),*];
            let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/drills")).expect("drills");
            for file in files {
                let name = file.expect("readable").file_name().into_string().expect("a name");
                if let Some(stem) = name.strip_suffix(".yaml") {
                    assert!(here.contains(&stem), "{name} is not run on the emulator");
                }
            }
        }
    };
}

drills! {
    ec2_instance_loss => "ec2-instance-loss",
    route_table_detach => "route-table-detach",
    rds_point_in_time => "rds-point-in-time",
    s3_object_loss => "s3-object-loss",
    cdn_invalidation => "cdn-invalidation",
    critical_service_loss => "critical-service-loss",
}
