//! Guard rails while a run goes on: gates, windows, freezes, the kill switch, unreadable stop conditions.

use std::sync::Arc;

use redrill::cloud::Mutation;
use redrill::cloud::faulty::{Fault, Faulty};
use redrill::engine::People;
use redrill::journal::writer::MemoryJournal;
use redrill::journal::{Event, Mode};
use redrill::model::Stage;

use crate::bench::{Bench, dump};
use crate::play::{Play, accepted, again, drill};

const CUT: &str = "objectives: { rto: 10m }
targets: { it: { resource: vpc.subnet, tags: { service: shop, tier: private } } }
fault: [{ action: vpc.detach-route-table, target: it }]
recovery: [{ action: wait, with: { for: 30s } }, { action: vpc.attach-route-table, target: it }]";

const SWITCH: &str = "[kill_switch]\nfile = \"/etc/stop\"\ns3 = \"s3://shop-assets-123456789012/stop\"\nssm = \"/redrill/stop\"";

fn changes(bench: &Bench) -> usize {
    bench.sim.changes().len()
}

/// Sets each place of the switch in turn.
fn set(bench: &Bench, place: usize) -> &'static str {
    match place {
        0 => {
            bench.sim.add_file("/etc/stop");
            "file /etc/stop"
        }
        1 => {
            bench.sim.put_object("shop-assets-123456789012", "stop", "");
            "s3://shop-assets-123456789012/stop"
        }
        _ => {
            bench.sim.set_parameter("/redrill/stop", "on");
            "parameter /redrill/stop"
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_kill_switch_refuses_a_start() {
    for place in 0..3 {
        let bench = Bench::under(SWITCH, &drill("/health", CUT)).await;
        let name = set(&bench, place);
        let before = changes(&bench);
        let (ended, journal) = Play::start(&bench).ends_with(3).await;
        assert_eq!(ended.reasons, [format!("kill switch: it is set: {name}")]);
        assert_eq!(changes(&bench), before, "{}", dump(&journal));
    }
    let bench = Bench::under(SWITCH, &drill("/health", CUT)).await;
    bench.sim.set_parameter("/redrill/stop", " Off ");
    Play::start(&bench).ends_with(0).await;
}

#[tokio::test(start_paused = true)]
async fn the_kill_switch_stops_and_rolls_back_in_every_stage() {
    for stage in [Stage::Baseline, Stage::Fault, Stage::Impact, Stage::Recovery, Stage::Verify, Stage::Hold] {
        for place in 0..3 {
            let bench = Bench::under(SWITCH, &drill("/health", CUT)).await;
            let before = bench.sim.snapshot();
            let mut play = Play::start(&bench);
            play.stage(stage).await;
            let name = set(&bench, place);
            let after_baseline = stage != Stage::Baseline;
            // before the fault it may be the last look that sees it: nothing was changed then
            let (ended, journal) = play.end().await;
            let ended = ended.unwrap();
            let at = format!("{stage:?} {name}: {:?}\n{}", ended.reasons, dump(&journal));
            assert!(ended.exit_code == 13 || (!after_baseline && ended.exit_code == 3), "{at}");
            assert!(ended.reasons[0].contains(name), "{at}");
            let now = bench.sim.snapshot();
            for (key, value) in before.as_object().unwrap() {
                // the switch itself is an object in a bucket
                assert!(key == "buckets" || now[key] == *value, "{key}, {at}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn no_step_begins_once_the_kill_switch_is_set() {
    // two steps, and the first is over before the switch is looked at by itself
    let steps = CUT.replace(
        "[{ action: vpc.detach-route-table, target: it }]",
        "[{ action: wait, id: first, with: { for: 1s } }, { action: vpc.detach-route-table, target: it }]",
    );
    let bench = Bench::under(SWITCH, &drill("/health", &steps)).await;
    let mut play = Play::start(&bench);
    play.until(|e| matches!(e, Event::StepStarted { .. })).await;
    bench.sim.add_file("/etc/stop");
    let (ended, journal) = play.ends_with(13).await;
    assert_eq!(ended.reasons, ["stopped and rolled back: the kill switch is set: file /etc/stop"]);
    assert_eq!(accepted(&bench, "ec2:ReplaceRouteTableAssociation"), 0, "{}", dump(&journal));
}

#[tokio::test(start_paused = true)]
async fn a_resumed_run_sees_the_kill_switch() {
    let bench = Bench::under(SWITCH, &drill("/health", CUT)).await;
    let before = bench.sim.snapshot();
    let mut play = Play::start(&bench);
    play.stage(Stage::Recovery).await;
    let journal = play.killed().await;
    bench.sim.add_file("/etc/stop");
    let (ended, journal) = again(&bench, Mode::Resume, &journal).await;
    assert_eq!(ended.exit_code, 13, "{:?}\n{}", ended.reasons, dump(&journal));
    assert_eq!(before, bench.sim.snapshot());
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_resumed_from_another_folder_sees_the_kill_switch_of_its_own() {
    let bench = Bench::under("[kill_switch]\nfile = \"stop\"", &drill("/health", CUT)).await;
    let before = bench.sim.snapshot();
    bench.sim.stand_in("/drills");
    let mut play = Play::start(&bench);
    play.stage(Stage::Recovery).await;
    let journal = play.killed().await;
    bench.sim.stand_in("/home/ann");
    bench.sim.add_file("/drills/stop");
    let (ended, journal) = again(&bench, Mode::Resume, &journal).await;
    assert_eq!(ended.exit_code, 13, "{:?}\n{}", ended.reasons, dump(&journal));
    assert!(ended.reasons[0].ends_with("the kill switch is set: file /drills/stop"), "{:?}", ended.reasons);
    assert_eq!(before, bench.sim.snapshot());
}

#[tokio::test(start_paused = true)]
async fn a_resumed_run_sees_the_kill_switch_of_the_rules_at_hand() {
    let bench = Bench::new(&drill("/health", CUT)).await;
    let before = bench.sim.snapshot();
    let mut play = Play::start(&bench);
    play.stage(Stage::Recovery).await;
    let journal = play.killed().await;
    bench.sim.add_file("/etc/later");
    let (_keep, control) = tokio::sync::mpsc::channel(8);
    let mut setup =
        bench.setup(Mode::Resume, Arc::new(MemoryJournal::new()), journal.lines(), bench.sim.cloud());
    setup.kill_switch.file = Some("/etc/later".to_owned());
    let ended = redrill::engine::run(setup, control).await.unwrap();
    assert_eq!(ended.exit_code, 13, "{:?}", ended.reasons);
    assert!(ended.reasons[0].ends_with("the kill switch is set: file /etc/later"), "{:?}", ended.reasons);
    assert_eq!(before, bench.sim.snapshot());
}

/// The alarm's page says how much of the error budget is left.
const GATE: &str = "
  gates: [{ name: error budget, probe: http, with: { url: \"http://budget.example.com/\", json: { path: left, at_least: 0.2 } } }]";

fn gated() -> String {
    drill("/health", CUT).replace("limits: {", "limits: {\n").replace(
        "forbid_tags: { redrill: never } }",
        &format!("forbid_tags: {{ redrill: never }},{} }}", GATE.trim_start().replace("\n", "")),
    )
}

#[tokio::test(start_paused = true)]
async fn a_closed_gate_refuses_whatever_the_plan_saw() {
    for (page, want) in [
        ("{\"left\": 0.2}", None),
        ("{\"left\": 0.19}", Some("limits.gates: `error budget` is closed: left is less than 0.2 (hash ")),
        ("{\"left\": \"?\"}", Some("limits.gates: `error budget` is closed: left is no number (hash ")),
    ] {
        let bench =
            Bench::with(&gated(), |sim| sim.answer_http("http://budget.example.com/", 200, "{\"left\": 1}"))
                .await;
        assert_eq!(bench.plan.findings.iter().filter(|f| f.subject == "limits.gates").count(), 0);
        bench.sim.answer_http("http://budget.example.com/", 200, page);
        let (ended, journal) = Play::start(&bench).ends_with(if want.is_some() { 3 } else { 0 }).await;
        if let Some(want) = want {
            assert!(ended.reasons[0].starts_with(want), "{:?}", ended.reasons);
            assert_eq!(changes(&bench), 0, "{}", dump(&journal));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_gate_that_closes_during_the_baseline_refuses() {
    let bench =
        Bench::with(&gated(), |sim| sim.answer_http("http://budget.example.com/", 200, "{\"left\": 1}"))
            .await;
    let mut play = Play::start(&bench);
    play.stage(Stage::Baseline).await;
    bench.sim.answer_http("http://budget.example.com/", 500, "");
    let (ended, journal) = play.ends_with(3).await;
    assert!(ended.reasons[0].contains("`error budget` is closed: status 500"), "{:?}", ended.reasons);
    assert_eq!(changes(&bench), 0, "{}", dump(&journal));
}

#[tokio::test(start_paused = true)]
async fn a_window_that_closes_during_the_baseline_refuses() {
    // the run starts at 14:13:20 UTC, and the baseline takes more than a minute
    let text = drill("/health", CUT).replace("hold: 3s", "hold: 70s").replace(
        "forbid_tags: { redrill: never }",
        "forbid_tags: { redrill: never }, windows: [\"daily 14:00-14:14 UTC\"]",
    );
    let bench = Bench::new(&text).await;
    let (ended, journal) = Play::start(&bench).ends_with(3).await;
    assert!(ended.reasons[0].starts_with("limits.windows: the time window is closed"), "{:?}", ended.reasons);
    assert_eq!(changes(&bench), 0, "{}", dump(&journal));
}

#[tokio::test(start_paused = true)]
async fn a_stop_condition_that_cannot_be_read_refuses_a_start_unless_it_is_ignored() {
    for (extra, code) in [("", 3), (", unreadable: ignore", 0)] {
        let stop =
            format!("\nstop: [{{ name: budget, probe: cloudwatch.alarm, with: {{ name: nosuch }}{extra} }}]");
        let bench = Bench::new(&drill("/health", &format!("{CUT}{stop}"))).await;
        let (_, journal) = Play::start(&bench).ends_with(code).await;
        let told = |e: &Event| match e {
            Event::Found { finding } => finding["text"].as_str().map(str::to_owned),
            _ => None,
        };
        let told: Vec<String> = journal.lines().iter().filter_map(|l| told(&l.event)).collect();
        let want =
            if code == 0 { "cannot be read, and is ignored until it can: " } else { "cannot be read: " };
        assert!(told.iter().any(|t| t.starts_with(want)), "{told:?}");
        // what can be read is not ignored
        let bench =
            Bench::new(&drill("/health", &format!("{CUT}{}", stop.replace("nosuch", "shop-error-budget"))))
                .await;
        bench.sim.set_alarm("shop-error-budget", "ALARM");
        Play::start(&bench).ends_with(3).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_condition_that_cannot_be_read_any_more_stops_the_run() {
    // an alarm without data is there, and says nothing of a breach
    for (extra, gone, code) in [("", true, 13), (", unreadable: ignore", true, 0), ("", false, 0)] {
        let stop = format!(
            "\nstop: [{{ name: budget, probe: cloudwatch.alarm, with: {{ name: shop-error-budget }}, every: 1s, for: 5s{extra} }}]"
        );
        let bench = Bench::new(&drill("/health", &format!("{CUT}{stop}"))).await;
        let before = bench.sim.snapshot();
        let mut play = Play::start(&bench);
        play.stage(Stage::Recovery).await;
        match gone {
            true => bench.sim.remove_alarm("shop-error-budget"),
            false => bench.sim.set_alarm("shop-error-budget", "INSUFFICIENT_DATA"),
        }
        let (ended, journal) = play.ends_with(code).await;
        if code == 13 {
            let want = "stop condition `budget` cannot be read, and counts as breached";
            assert!(ended.reasons[0].contains(want), "{:?}", ended.reasons);
        }
        assert_eq!(before, bench.sim.snapshot(), "{}", dump(&journal));
    }
}

const LOSS: &str = "objectives: { rto: 30m }
allow_irreversible: true
targets: { it: { resource: ec2.instance, tags: { role: web }, select: { count: 1 } } }
fault: [{ action: ec2.terminate-instances, target: it }]
recovery: [{ action: ec2.launch-replacement, target: it }]";

/// From the first line to the last, in milliseconds.
fn took(journal: &MemoryJournal) -> u64 {
    let lines = journal.lines();
    let ends = lines.first().zip(lines.last()).expect("lines");
    ends.1.stamp.mono_ms - ends.0.stamp.mono_ms
}

#[tokio::test(start_paused = true)]
async fn what_iam_denies_is_refused_before_the_fault() {
    let bench = Bench::new(&drill("/health", LOSS)).await;
    bench.sim.deny("ec2:RunInstances");
    let (_, journal) = Play::start(&bench).ends_with(3).await;
    assert_eq!(bench.sim.changes(), []);
    let told = journal.lines().into_iter().find_map(|l| match l.event {
        Event::StopRequested { detail, .. } => Some(detail),
        _ => None,
    });
    let told = told.expect("a reason");
    for part in [
        "permissions: ",
        " may not ec2:RunInstances on arn:aws:ec2:",
        "no policy allows it",
        "redrill iam DRILL",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    // nothing denied, nothing said: the simulator has no policies
    let bench = Bench::new(&drill("/health", LOSS)).await;
    let (_, journal) = Play::start(&bench).ends_with(0).await;
    let about = |e: &Event| matches!(e, Event::Found { finding } if finding["subject"] == "permissions");
    assert!(!journal.lines().iter().any(|l| about(&l.event)), "{}", dump(&journal));
}

#[tokio::test(start_paused = true)]
async fn a_permission_that_is_missing_does_not_come_by_waiting() {
    // refused: the service stays broken, and waiting for it would decide nothing
    let bench = Bench::new(&drill("/health", LOSS)).await;
    let mut cloud = bench.sim.cloud();
    let deny = |_: usize, m: &Mutation| matches!(m, Mutation::RunInstances { .. }).then_some(Fault::Deny);
    cloud.mutate = Arc::new(Faulty::new(cloud.mutate.clone(), deny));
    let (_, journal) = Play::of(&bench, cloud, People::Ask).ends_with(20).await;
    assert!(took(&journal) < 5 * 60_000, "{} ms", took(&journal));
    // polling is refused: the step is over, and does not go on until its limit
    let invalidate = "objectives: { rto: 30m }
allow_irreversible: true
targets: { it: { resource: cloudfront.distribution, tags: { role: storefront } } }
recovery: [{ action: cloudfront.invalidate, target: it, with: { paths: [\"/*\"] } }]";
    let bench = Bench::new(&drill("/health", invalidate)).await;
    for read in ["cloudfront:GetInvalidation", "cloudfront:ListInvalidations"] {
        bench.sim.fail_next(read, "AccessDenied", 1_000_000);
    }
    let (_, journal) = Play::start(&bench).ends_with(14).await;
    assert!(took(&journal) < 60_000, "{} ms:\n{}", took(&journal), dump(&journal));
}
