//! Every shipped drill, rehearsed to its expected verdict.

use redrill::journal::Verdict;

use crate::bench::{Bench, dump};

const DRILLS: [(&str, &str); 6] = [
    ("ec2-instance-loss", include_str!("../../drills/ec2-instance-loss.yaml")),
    ("route-table-detach", include_str!("../../drills/route-table-detach.yaml")),
    ("rds-point-in-time", include_str!("../../drills/rds-point-in-time.yaml")),
    ("s3-object-loss", include_str!("../../drills/s3-object-loss.yaml")),
    ("cdn-invalidation", include_str!("../../drills/cdn-invalidation.yaml")),
    ("critical-service-loss", include_str!("../../drills/critical-service-loss.yaml")),
];

async fn passes(name: &str) {
    let text = DRILLS.iter().find(|(n, _)| *n == name).expect("a shipped drill").1;
    let bench = Bench::new(text).await;
    assert_eq!(bench.plan.refusals().count(), 0, "{:?}", bench.plan.findings);
    let before = bench.sim.snapshot();
    let (ended, journal) = bench.go().await;
    let ended = ended.unwrap_or_else(|e| panic!("{e:?}\n{}", dump(&journal)));
    assert_eq!(ended.verdict, Some(Verdict::Passed), "{:?}\n{}", ended.reasons, dump(&journal));
    assert_eq!(ended.exit_code, 0);
    assert!(ended.measured.rta_ms.is_some_and(|ms| ms > 0), "{:?}", ended.measured);
    let sum: i64 = ended.measured.phases.iter().map(|p| p.ms).sum();
    assert_eq!(Some(sum), ended.measured.rta_ms);
    let after = bench.sim.snapshot();
    if !name.contains("instance") && !name.contains("critical") {
        assert_eq!(before, after, "everything is put back");
    }
}

macro_rules! drills {
    ($($test:ident => $name:literal),* $(,)?) => {
        $(#[tokio::test(start_paused = true)]
        async fn $test() {
            passes($name).await;
        })*

        #[test]
        fn no_shipped_drill_is_forgotten() {
            let here = [$($name),*];
            let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/drills")).unwrap();
            for file in files {
                let name = file.unwrap().file_name().into_string().unwrap();
                if let Some(stem) = name.strip_suffix(".yaml") {
                    assert!(here.contains(&stem), "{name} is not rehearsed");
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
