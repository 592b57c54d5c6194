//! How runs end: signals, stop conditions, failures, refusals; each with its exit code and its world.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use redrill::cloud::Mutation;
use redrill::cloud::faulty::{Fault, Faulty};
use redrill::engine::state::RunState;
use redrill::engine::verdict::judge;
use redrill::engine::{Control, EngineError, People};
use redrill::journal::writer::{Journal as _, MemoryJournal};
use redrill::journal::{Event, Measured, Mode, Request, StopCause, Verdict};
use redrill::model::Stage;
use redrill::sim::InstanceSeed;
use redrill::view::RunView;

use crate::bench::{Bench, dump};
use crate::play::{Play, accepted, again, drill, meddle, target};
use crate::world::differences;

const LOSS: &str = "objectives: { rto: 10m }
allow_irreversible: true
targets: { it: { resource: ec2.instance, tags: { role: web }, select: { count: 1 } } }
fault: [{ action: ec2.terminate-instances, target: it }]
recovery: [{ action: ec2.launch-replacement, target: it }]
verify:
  - { name: servers, probe: ec2.instances, with: { tags: { role: web }, at_least: 3, include_run_made: true }, every: 1s }";
const CUT: &str = "objectives: { rto: 10m }
targets: { it: { resource: vpc.subnet, tags: { service: shop, tier: private } } }
fault: [{ action: vpc.detach-route-table, target: it }]
recovery: [{ action: wait, with: { for: 30s } }, { action: vpc.attach-route-table, target: it }]";

const STAGES: [Stage; 8] = [
    Stage::Preflight,
    Stage::Baseline,
    Stage::Fault,
    Stage::Impact,
    Stage::Recovery,
    Stage::Verify,
    Stage::Hold,
    Stage::Undo,
];

#[tokio::test(start_paused = true)]
async fn one_signal_rolls_back_and_mends_in_every_stage() {
    for text in [LOSS, CUT] {
        for stage in STAGES {
            for later in [0, 700, 2500] {
                let bench = Bench::new(&drill("/health", text)).await;
                let before = bench.sim.snapshot();
                let mut play = Play::start(&bench);
                play.stage(stage).await;
                tokio::time::sleep(Duration::from_millis(later)).await;
                play.signal().await;
                let (ended, journal) = play.end().await;
                let ended = ended.unwrap();
                let at = format!("{stage:?} + {later} ms: {:?}\n{}", ended.reasons, dump(&journal));
                let past = journal.lines().iter().position(|l| matches!(l.event, Event::Signal { .. }));
                let undo = journal
                    .lines()
                    .iter()
                    .position(|l| matches!(l.event, Event::Stage { stage: Stage::Undo }));
                let in_time = past.is_some() && past < undo;
                assert_eq!(ended.exit_code, if in_time { 13 } else { 0 }, "{at}");
                let wrong = differences(&before, &bench.sim.snapshot(), bench.run.as_str(), false);
                assert_eq!(wrong, [""; 0], "{at}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn two_signals_only_undo_and_three_leave_what_a_rollback_finishes() {
    let mut owed = 0;
    // at each stage, and once AWS has accepted the fault
    for (stage, accepted_too) in STAGES.map(|stage| (stage, false)).into_iter().chain([(Stage::Fault, true)])
    {
        for signals in [2, 3] {
            let bench = Bench::new(&drill("/health", LOSS)).await;
            let before = bench.sim.snapshot();
            let mut play = Play::start(&bench);
            play.stage(stage).await;
            if accepted_too {
                play.until(|e| matches!(e, Event::StepApplied { .. })).await;
            }
            for _ in 0..signals {
                play.signal().await;
            }
            let (ended, journal) = play.end().await;
            if signals == 2 {
                let ended = ended.unwrap();
                let gone = accepted(&bench, "ec2:TerminateInstances") > 0;
                let mended = accepted(&bench, "ec2:RunInstances") > 0;
                let at = format!("{stage:?}: {:?}\n{}", ended.reasons, dump(&journal));
                let code = if stage == Stage::Undo { 15 } else { 13 };
                assert_eq!(ended.exit_code, if gone && !mended { 20 } else { code }, "{at}");
                if ended.exit_code == 20 {
                    owed += 1;
                    let id = target(&bench);
                    let broke =
                        format!("broke on {id} is not mended: step `ec2.launch-replacement` did not come");
                    assert!(ended.reasons[0].contains(&broke), "{at}");
                    assert!(!ended.reasons.iter().any(|r| r.contains("rolled back")), "{at}");
                    let said = RunView::of(&journal.lines());
                    assert!(said.is_unmended(), "{at}");
                    let leaves = format!("only undo, which leaves {id} lost");
                    let stays = format!("{id} stays lost until a rollback");
                    for told in [leaves, stays] {
                        assert!(
                            said.moments.iter().any(|m| m.what.contains(&told)),
                            "{told}: {:?}",
                            said.moments
                        );
                    }
                    let (resumed, _) = again(&bench, Mode::Resume, &journal).await;
                    assert_eq!(resumed.exit_code, 20);
                    assert!(resumed.reasons[1].contains(&format!("redrill rollback {}", bench.run)));
                }
                // what is owed is launched by a later rollback, and never twice
                let (ended, journal) = again(&bench, Mode::Rollback, &journal).await;
                let launched = usize::from(gone);
                assert_eq!(ended.exit_code, 0, "{:?}\n{}", ended.reasons, dump(&journal));
                assert_eq!(accepted(&bench, "ec2:RunInstances"), launched, "{at}");
                let (ended, _) = again(&bench, Mode::Rollback, &journal).await;
                assert_eq!((ended.exit_code, accepted(&bench, "ec2:RunInstances")), (0, launched), "{at}");
            } else {
                // with nothing to put back, the run is over before the third signal
                let early =
                    (stage < Stage::Fault || stage == Stage::Undo || stage == Stage::Fault && !accepted_too)
                        && matches!(&ended, Ok(e) if [13, 15].contains(&e.exit_code));
                assert!(early || matches!(ended, Err(EngineError::Left)), "{stage:?}: {ended:?}");
                let (ended, journal) = again(&bench, Mode::Rollback, &journal).await;
                assert_eq!(ended.exit_code, 0, "{stage:?}: {:?}\n{}", ended.reasons, dump(&journal));
            }
            tokio::time::sleep(Duration::from_secs(300)).await;
            let wrong = differences(&before, &bench.sim.snapshot(), bench.run.as_str(), false);
            assert_eq!(wrong, [""; 0], "{stage:?}, {signals} signals\n{}", dump(&journal));
        }
    }
    assert!(owed >= 1, "{owed}");
}

/// The server is going down, and nobody has seen it gone.
async fn terminated(play: &mut Play) {
    play.until(
        |e| matches!(e, Event::StepApplied { step, .. } if step.as_str() == "ec2.terminate-instances"),
    )
    .await;
}

/// A journal as version 0.1.0 left it: the verdict says stopped, and no event that a person is needed.
fn as_before(journal: &MemoryJournal) -> Vec<Event> {
    let mut events: Vec<Event> = journal.lines().into_iter().map(|l| l.event).collect();
    events.retain(|e| !matches!(e, Event::Stuck { .. }));
    for event in &mut events {
        match event {
            Event::Finished { verdict, exit_code, reasons, .. } => {
                (*verdict, *exit_code) = (Verdict::Stopped, 13);
                *reasons = vec!["stopped and rolled back: interrupted by SIGINT".to_owned()];
            }
            Event::Signal { now, .. } => *now = None,
            _ => {}
        }
    }
    events
}

#[tokio::test(start_paused = true)]
async fn what_an_older_version_left_broken_is_mended_by_a_rollback() {
    let bench = Bench::new(&drill("/health", LOSS)).await;
    let before = bench.sim.snapshot();
    let mut play = Play::start(&bench);
    terminated(&mut play).await;
    play.signal().await;
    play.signal().await;
    let (_, journal) = play.ends_with(20).await;
    let old = MemoryJournal::new();
    for event in as_before(&journal) {
        old.append(bench.clock.stamp(), &[event], true).await.unwrap();
    }
    let (resumed, _) = again(&bench, Mode::Resume, &old).await;
    assert_eq!(resumed.exit_code, 20, "{:?}", resumed.reasons);
    assert!(resumed.reasons[1].contains("redrill rollback"), "{:?}", resumed.reasons);
    let (ended, journal) = again(&bench, Mode::Rollback, &old).await;
    assert_eq!(ended.exit_code, 0, "{:?}\n{}", ended.reasons, dump(&journal));
    assert_eq!(accepted(&bench, "ec2:RunInstances"), 1);
    tokio::time::sleep(Duration::from_secs(300)).await;
    let wrong = differences(&before, &bench.sim.snapshot(), bench.run.as_str(), false);
    assert_eq!(wrong, [""; 0], "{}", dump(&journal));
}

/// The signals of a process are its own: one that takes the run up mends what the first was told to leave.
#[tokio::test(start_paused = true)]
async fn signals_of_an_earlier_process_do_not_keep_a_later_one_from_mending() {
    let second = |e: &Event| matches!(e, Event::Signal { count: 2, .. });
    let undo = |e: &Event| matches!(e, Event::Stage { stage: Stage::Undo });
    for mode in [Mode::Resume, Mode::Rollback] {
        for last in [second, undo] as [fn(&Event) -> bool; 2] {
            let bench = Bench::new(&drill("/health", LOSS)).await;
            let before = bench.sim.snapshot();
            let mut play = Play::start(&bench);
            terminated(&mut play).await;
            play.signal().await;
            play.signal().await;
            let (_, journal) = play.ends_with(20).await;
            // as if it had been killed right after this line
            let lines = journal.lines();
            let end = lines.iter().position(|l| last(&l.event)).unwrap();
            let cut = MemoryJournal::new();
            for line in &lines[..=end] {
                cut.append(line.stamp, std::slice::from_ref(&line.event), true).await.unwrap();
            }
            let (ended, journal) = again(&bench, mode, &cut).await;
            let at = format!("{mode:?}: {:?}\n{}", ended.reasons, dump(&journal));
            assert_eq!(ended.exit_code, if mode == Mode::Resume { 13 } else { 0 }, "{at}");
            assert_eq!(accepted(&bench, "ec2:RunInstances"), 1, "{at}");
            tokio::time::sleep(Duration::from_secs(300)).await;
            let wrong = differences(&before, &bench.sim.snapshot(), bench.run.as_str(), false);
            assert_eq!(wrong, [""; 0], "{at}");
        }
    }
}

/// However the stop came about, and whatever cut the mending off: it is stuck, and a rollback finishes.
#[tokio::test(start_paused = true)]
async fn whatever_stops_it_what_is_broken_and_not_mended_is_stuck() {
    let stop = "\nstop: [{ name: budget, probe: cloudwatch.alarm, with: { name: shop-error-budget }, every: 1s, for: 5s }]";
    for how in ["abort", "stop condition", "kill switch"] {
        let bench = Bench::new(&drill("/health", &format!("{LOSS}{stop}"))).await;
        let before = bench.sim.snapshot();
        // nothing is launched before the second signal
        let room = |there| ["us-east-1a", "us-east-1b"].iter().for_each(|z| bench.sim.set_capacity(z, there));
        room(false);
        let mut play = Play::set(&bench, bench.sim.cloud(), |setup| {
            if how == "kill switch" {
                setup.kill_switch.file = Some("/stop".to_owned());
            }
        });
        terminated(&mut play).await;
        match how {
            "abort" => {
                let request = Request::Abort { note: String::new() };
                play.control.send(Control::Asked { by: "ann".into(), request }).await.unwrap();
            }
            "kill switch" => bench.sim.add_file("/stop"),
            _ => bench.sim.set_alarm("shop-error-budget", "ALARM"),
        }
        play.until(|e| matches!(e, Event::StopRequested { .. })).await;
        play.signal().await;
        play.signal().await;
        let (ended, journal) = play.ends_with(20).await;
        assert!(ended.reasons[0].contains("is not mended"), "{how}: {:?}", ended.reasons);
        room(true);
        let (ended, journal) = again(&bench, Mode::Rollback, &journal).await;
        assert_eq!(ended.exit_code, 0, "{how}: {:?}\n{}", ended.reasons, dump(&journal));
        tokio::time::sleep(Duration::from_secs(300)).await;
        let wrong = differences(&before, &bench.sim.snapshot(), bench.run.as_str(), false);
        assert_eq!(wrong, [""; 0], "{how}\n{}", dump(&journal));
    }
}

#[tokio::test(start_paused = true)]
async fn a_replacement_cut_off_by_a_second_signal_serves_all_the_same() {
    let launched =
        |e: &Event| matches!(e, Event::CallSent { operation, .. } if operation == "ec2:RunInstances");
    let mut cut_off = 0;
    for later in [0, 1, 500, 5_000, 20_000] {
        let bench = Bench::new(&drill("/health", LOSS)).await;
        let before = bench.sim.snapshot();
        let mut play = Play::start(&bench);
        play.until(launched).await;
        play.signal().await;
        tokio::time::sleep(Duration::from_millis(later)).await;
        play.signal().await;
        let (ended, journal) = play.end().await;
        let at = format!("+ {later} ms\n{}", dump(&journal));
        assert_eq!(ended.unwrap().exit_code, 13, "{at}");
        let undo =
            journal.lines().iter().position(|l| matches!(l.event, Event::Stage { stage: Stage::Undo }));
        let registered = journal.lines().iter().position(
            |l| matches!(&l.event, Event::CallSent { operation, .. } if operation.ends_with("RegisterTargets")),
        );
        cut_off += usize::from(undo < registered);
        tokio::time::sleep(Duration::from_secs(300)).await;
        // the registration, too: the new server is where the old one was
        let wrong = differences(&before, &bench.sim.snapshot(), bench.run.as_str(), false);
        assert_eq!(wrong, [""; 0], "{at}");
        assert_eq!(accepted(&bench, "ec2:RunInstances"), 1, "{at}");
    }
    assert!(cut_off >= 3, "only {cut_off} were cut off before the registration");
}

#[tokio::test(start_paused = true)]
async fn a_replacement_that_cannot_be_registered_is_stuck_and_never_passes() {
    let bench = Bench::new(&drill("/health", LOSS)).await;
    let deny = |_, m: &Mutation| matches!(m, Mutation::RegisterTargets { .. }).then_some(Fault::Deny);
    let cloud = bench.cloud(|inner| Arc::new(Faulty::new(inner, deny)));
    let mut play = Play::of(&bench, cloud, People::Ask);
    play.until(|e| matches!(e, Event::CallSent { operation, .. } if operation == "ec2:RunInstances")).await;
    play.signal().await;
    play.signal().await;
    let (ended, journal) = play.ends_with(20).await;
    assert!(
        ended.reasons.iter().any(|r| r.contains("not yet in its place")),
        "{:?}\n{}",
        ended.reasons,
        dump(&journal)
    );
    // it is nothing that a sweep would take away
    let kept = bench.sim.snapshot()["instances"].to_string();
    assert!(kept.contains("redrill:kept") && !kept.contains("redrill:step"), "{kept}");
    let before = bench.again().sim.snapshot();
    let (ended, journal) = again(&bench, Mode::Rollback, &journal).await;
    assert_eq!(ended.exit_code, 0, "{:?}\n{}", ended.reasons, dump(&journal));
    let wrong = differences(&before, &bench.sim.snapshot(), bench.run.as_str(), false);
    assert_eq!(wrong, [""; 0], "{}", dump(&journal));
    assert_eq!(accepted(&bench, "ec2:RunInstances"), 1, "the one that is kept is found, not launched again");
}

#[tokio::test(start_paused = true)]
async fn an_abort_is_a_stop_too() {
    let bench = Bench::new(&drill("/health", CUT)).await;
    let before = bench.sim.snapshot();
    let mut play = Play::start(&bench);
    play.stage(Stage::Recovery).await;
    let request = Request::Abort { note: "not today".into() };
    play.control.send(Control::Asked { by: "ann".into(), request }).await.unwrap();
    let (ended, _) = play.ends_with(13).await;
    assert!(ended.reasons[0].contains("aborted by ann: not today"), "{:?}", ended.reasons);
    assert_eq!(before, bench.sim.snapshot());
}

#[tokio::test(start_paused = true)]
async fn a_breached_stop_condition_rolls_back() {
    let stop = "\nstop: [{ name: budget, probe: cloudwatch.alarm, with: { name: shop-error-budget }, every: 1s, for: 5s }]";
    let bench = Bench::new(&drill("/health", &format!("{CUT}{stop}"))).await;
    let before = bench.sim.snapshot();
    let mut play = Play::start(&bench);
    play.stage(Stage::Recovery).await;
    bench.sim.set_alarm("shop-error-budget", "ALARM");
    let (ended, _) = play.ends_with(13).await;
    assert!(ended.reasons[0].contains("`budget` is breached"), "{:?}", ended.reasons);
    assert_eq!(before, bench.sim.snapshot());
}

#[tokio::test(start_paused = true)]
async fn a_failed_step_is_rolled_back() {
    let bench = Bench::new(&drill("/health", CUT)).await;
    let before = bench.sim.snapshot();
    let deny =
        |_, m: &Mutation| matches!(m, Mutation::ReplaceRouteTableAssociation { .. }).then_some(Fault::Deny);
    let cloud = bench.cloud(|inner| Arc::new(Faulty::new(inner, deny)));
    let (ended, journal) = Play::of(&bench, cloud, People::Ask).ends_with(14).await;
    assert!(ended.reasons[0].contains("vpc.detach-route-table"), "{:?}", ended.reasons);
    assert_eq!(before, bench.sim.snapshot(), "{}", dump(&journal));
    assert_eq!(accepted(&bench, "ec2:CreateRouteTable"), 1, "half of the fault had happened");
}

#[tokio::test(start_paused = true)]
async fn what_is_not_steady_is_left_alone() {
    let bench = Bench::new(&drill("/health", LOSS)).await;
    bench.sim.answer_http("http://127.0.0.1:8080/health", 503, "");
    let (ended, _) = Play::start(&bench).ends_with(4).await;
    assert!(ended.reasons[0].contains("`shop` is unhealthy"), "{:?}", ended.reasons);
    assert_eq!(bench.sim.changes(), []);
}

fn tag(id: &str, key: &str, value: &str) -> Mutation {
    Mutation::CreateTags {
        ids: vec![id.to_owned()],
        tags: BTreeMap::from([(key.to_owned(), value.to_owned())]),
    }
}

/// Starts a run of a world that somebody changes, before preflight or in the baseline.
async fn changed(bench: &Bench, change: Mutation, before_preflight: bool) -> Play {
    if before_preflight {
        meddle(bench, change).await;
        return Play::start(bench);
    }
    let mut play = Play::start(bench);
    play.stage(Stage::Baseline).await;
    meddle(bench, change).await;
    play
}

#[tokio::test(start_paused = true)]
async fn drift_is_refused_with_nothing_changed() {
    let drifts: [fn(&str) -> Mutation; 4] = [
        |id| Mutation::TerminateInstances { ids: vec![id.to_owned()] },
        |id| Mutation::DeleteTags { ids: vec![id.to_owned()], keys: vec!["role".to_owned()] },
        |id| tag(id, "redrill", "never"),
        |id| tag(id, "redrill:held", "20260101T000000Z-other-abcdef undo: x"),
    ];
    for before_preflight in [true, false] {
        for drift in drifts {
            // the page does not depend on the account: drift is found, not an outage
            let bench = Bench::new(&drill("/", LOSS)).await;
            let change = drift(&target(&bench));
            let play = changed(&bench, change, before_preflight).await;
            let (_, journal) = play.ends_with(3).await;
            assert_eq!(bench.sim.changes().len(), 1, "only the drift itself:\n{}", dump(&journal));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_share_that_has_grown_since_planning_is_refused_with_nothing_changed() {
    for before_preflight in [true, false] {
        let text = drill("/", LOSS).replace("max_targets: 300", "max_targets: 2, max_percent: 25");
        let bench = Bench::new(&text).await;
        let others = ["i-00000000000000001", "i-00000000000000002"];
        let other = others.into_iter().find(|id| *id != target(&bench)).expect("another");
        let change = Mutation::TerminateInstances { ids: vec![other.to_owned()] };
        let play = changed(&bench, change, before_preflight).await;
        let (ended, journal) = play.ends_with(3).await;
        let want = "limits.max_percent: `it` draws 1 of the 3 ec2.instance that exist, more than 25 %";
        assert!(ended.reasons[0].contains(want), "{:?}", ended.reasons);
        assert_eq!(bench.sim.changes().len(), 1, "only the drift itself:\n{}", dump(&journal));
    }
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_came_into_a_subnet_since_planning_is_refused_with_nothing_changed() {
    let cut = "objectives: { rto: 10m }
targets: { it: { resource: vpc.subnet, tags: { service: shop, tier: private } } }
fault: [{ action: vpc.detach-route-table, target: it }]";
    for before_preflight in [true, false] {
        let text = drill("/", cut).replace("max_targets: 300", "max_targets: 2, max_affected: 7");
        let bench = Bench::new(&text).await;
        let come = || {
            bench.sim.add_instance(&InstanceSeed {
                name: "new".to_owned(),
                subnet: target(&bench),
                instance_type: "t3.small".to_owned(),
                security_groups: vec![],
                tags: BTreeMap::new(),
                user_data: None,
            })
        };
        let play = if before_preflight {
            come();
            Play::start(&bench)
        } else {
            let mut play = Play::start(&bench);
            play.stage(Stage::Baseline).await;
            come();
            play
        };
        let (ended, journal) = play.ends_with(3).await;
        assert!(ended.reasons[0].contains("limits.max_affected: 8 are in"), "{:?}", ended.reasons);
        assert_eq!(bench.sim.changes(), [], "{}", dump(&journal));
    }
}

#[tokio::test(start_paused = true)]
async fn a_protection_set_since_the_plan_is_enforced_by_aws_and_nothing_is_lost() {
    let bench = Bench::new(&drill("/", LOSS)).await;
    bench.sim.protect(&target(&bench));
    let before = bench.sim.snapshot();
    // it costs a call a target, so that nobody reads it again: TerminateInstances is refused instead
    let (ended, journal) = Play::start(&bench).ends_with(14).await;
    assert!(
        ended.reasons.iter().any(|r| r.contains("step `ec2.terminate-instances` failed")),
        "{:?}",
        ended.reasons
    );
    assert!(dump(&journal).contains("disableApiTermination"), "{}", dump(&journal));
    assert_eq!(accepted(&bench, "ec2:TerminateInstances"), 0);
    assert_eq!(before, bench.sim.snapshot(), "{}", dump(&journal));
}

#[tokio::test(start_paused = true)]
async fn a_fault_that_nobody_sees_is_no_impact() {
    let bench = Bench::new(&drill("/", &format!("impact_timeout: 20s\n{CUT}"))).await;
    let before = bench.sim.snapshot();
    Play::start(&bench).ends_with(12).await;
    assert_eq!(before, bench.sim.snapshot());
}

const STOPPED: &str = "targets: { it: { resource: ec2.instance, tags: { role: web }, select: { count: 1 } } }
fault: [{ action: ec2.stop-instances, target: it }]
recovery: [{ action: wait, with: { for: 10s } }]";

#[tokio::test(start_paused = true)]
async fn what_does_not_recover_is_given_up_and_put_back() {
    let text = format!("objectives: {{ rto: 2m, give_up: 5m }}\n{STOPPED}");
    let bench = Bench::new(&drill("/health", &text)).await;
    let before = bench.sim.snapshot();
    let (ended, _) = Play::start(&bench).ends_with(11).await;
    assert!(ended.reasons[0].contains("5 min after T0"), "{:?}", ended.reasons);
    assert_eq!(before, bench.sim.snapshot());
}

#[tokio::test(start_paused = true)]
async fn a_recovery_later_than_the_rto_misses_it() {
    let bench = Bench::new(&drill("/health", &LOSS.replace("rto: 10m", "rto: 10s, give_up: 20m"))).await;
    let (ended, _) = Play::start(&bench).ends_with(10).await;
    assert!(ended.measured.rta_ms.is_some_and(|ms| ms > 10_000), "{:?}", ended.measured);
}

#[tokio::test(start_paused = true)]
async fn a_deciding_probe_that_cannot_be_read_is_inconclusive() {
    let text = drill(
        "/",
        "objectives: { rto: 1m, give_up: 10m }
targets: { it: { resource: cloudfront.distribution, tags: { role: storefront } } }
recovery: [{ action: cloudfront.invalidate, target: it, with: { paths: [/a] } }]",
    );
    let text = text.replace(
        "steady_state:\n",
        "steady_state:\n  - { name: alarm, probe: cloudwatch.alarm, with: { name: shop-availability }, every: 1s, role: client }\n",
    );
    // a secret that is part of the sentence is taken out of it, and changes nothing else
    for secret in [None, Some("probe that decides")] {
        let mut bench = Bench::new(&text).await;
        bench.secrets.extend(secret.map(|s| ("word".to_owned(), s.to_owned())));
        let before = bench.sim.snapshot();
        let mut play = Play::start(&bench);
        play.stage(Stage::Recovery).await;
        bench.sim.set_alarm("shop-availability", "INSUFFICIENT_DATA");
        // unreadable to the end it would be stuck: nobody could say that the service is well again
        play.stage(Stage::Undo).await;
        bench.sim.set_alarm("shop-availability", "OK");
        let (ended, journal) = play.ends_with(15).await;
        assert!(ended.reasons[0].contains("`alarm`"), "{:?}", ended.reasons);
        assert_eq!(ended.reasons[0].contains("[secret word]"), secret.is_some(), "{:?}", ended.reasons);
        assert!(dump(&journal).contains("\"cause\":\"unreadable\""), "{}", dump(&journal));
        assert_eq!(before, bench.sim.snapshot());
    }
}

#[tokio::test(start_paused = true)]
async fn a_give_up_of_the_first_version_is_read_from_its_sentence() {
    let bench = Bench::new(&drill("/health", CUT)).await;
    for (cause, detail, verdict) in [
        (StopCause::Unreadable, "[secret word] could not be read", Verdict::Inconclusive),
        (StopCause::GaveUp, "a probe that decides could not be read: `page`", Verdict::Inconclusive),
        (StopCause::GaveUp, "not recovered by give_up, 20 min after T0", Verdict::NotRecovered),
    ] {
        let mut state = RunState::new(Arc::clone(&bench.plan));
        state.stop = Some((cause, detail.to_owned()));
        let judged = judge(&state, &Measured::default());
        assert_eq!((judged.verdict, judged.reasons), (verdict, vec![detail.to_owned()]));
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_journal_nothing_is_changed() {
    let bench = Bench::new(&drill("/health", CUT)).await;
    let (ended, whole) = bench.go().await;
    assert_eq!(ended.unwrap().exit_code, 0);
    for n in 0..whole.appends() {
        let bench = bench.again();
        let journal = Arc::new(MemoryJournal::new().failing_from(n));
        let setup = bench.setup(Mode::Run, Arc::clone(&journal), vec![], bench.sim.cloud());
        let (_keep, control) = tokio::sync::mpsc::channel(1);
        let ended = redrill::engine::run(setup, control).await;
        assert!(matches!(ended, Err(EngineError::Journal(_))), "append {n}: {ended:?}");
        tokio::time::sleep(Duration::from_secs(600)).await;
        let recorded = journal.lines().iter().filter(|l| matches!(l.event, Event::CallSent { .. })).count();
        assert_eq!(
            bench.sim.changes().len(),
            recorded,
            "append {n}: every change is on record before it is sent"
        );
    }
}
