//! Tests of the recovery clock.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::drill::Role;
use crate::engine::rollup::{Observation, Rollup};
use crate::engine::testing::header;
use crate::journal::{Event, Mark, Mode, Phase};
use crate::model::{CallError, EffectCertainty, Stage, Stamp};

mod clocks;
mod edges;

const BASE_MS: i64 = 1_700_000_000_000;

fn stamp(ms: i64) -> Stamp {
    let at = DateTime::from_timestamp_millis(BASE_MS + ms).unwrap();
    Stamp { at, mono_ms: u64::try_from(ms + 5_000_000).unwrap() }
}

/// Builds the lines of a run. Times are seconds or milliseconds after an arbitrary start.
struct Run {
    lines: Vec<Line>,
    rollup: Option<Rollup>,
}

impl Run {
    fn new() -> Self {
        let mut run = Self { lines: Vec::new(), rollup: None };
        run.attached(0, Mode::Run);
        run
    }

    fn line(&mut self, stamp: Stamp, event: Event) {
        let seq = self.lines.len() as u64;
        self.lines.push(Line { seq, prev: String::new(), stamp, event });
    }

    fn at(&mut self, ms: i64, event: Event) -> &mut Self {
        if !matches!(event, Event::Observed { .. })
            && let Some(rollup) = &mut self.rollup
        {
            for event in rollup.flush() {
                self.line(stamp(ms), event);
            }
        }
        self.line(stamp(ms), event);
        self
    }

    fn attached(&mut self, ms: i64, mode: Mode) -> &mut Self {
        let (pid, host, user, redrill) = (1, String::new(), String::new(), String::new());
        self.at(ms, Event::Attached { mode, pid, host, user, redrill, boot: None })
    }

    fn stage(&mut self, ms: i64, stage: Stage) -> &mut Self {
        self.at(ms, Event::Stage { stage })
    }

    fn see_from(
        &mut self,
        probe: &str,
        health: Health,
        sent: i64,
        answered: i64,
        source: Option<i64>,
    ) -> &mut Self {
        let o = Observation {
            probe: probe.into(),
            health,
            seen: String::new(),
            sent: stamp(sent),
            answered: stamp(answered),
            source_at: source.map(|ms| stamp(ms).at),
        };
        if let Some(rollup) = &mut self.rollup {
            for event in rollup.push(o) {
                self.line(stamp(answered), event);
            }
        } else {
            let Observation { probe, health, seen, sent, answered: at, source_at } = o;
            self.line(
                stamp(answered),
                Event::Observed { probe, health, seen, sent, answered: at, source_at },
            );
        }
        self
    }

    fn see(&mut self, probe: &str, health: Health, sent: i64) -> &mut Self {
        self.see_from(probe, health, sent, sent + 100, None)
    }

    /// Observations each second, `from` and `to` in seconds, `to` left out.
    fn seconds(&mut self, probe: &str, health: Health, from: i64, to: i64) -> &mut Self {
        for s in from..to {
            self.see(probe, health, s * 1_000);
        }
        self
    }

    fn call(&mut self, number: u64, step: &str, sent: i64, answered: i64) -> &mut Self {
        self.sent(number, step, sent);
        self.at(answered, Event::CallAnswered { call: number, request_id: None, outcome: None, error: None })
    }

    fn sent(&mut self, call: u64, step: &str, ms: i64) -> &mut Self {
        let step = Some(StepId::new(step));
        let (operation, params) = (String::new(), serde_json::Value::Null);
        self.at(ms, Event::CallSent { call, step, phase: Phase::Apply, operation, params, attempt: 1 })
    }

    fn applied(&mut self, ms: i64, step: &str) -> &mut Self {
        let (outputs, notes) = (BTreeMap::new(), Vec::new());
        self.at(ms, Event::StepApplied { step: StepId::new(step), target: None, outputs, notes })
    }

    fn ready(&mut self, ms: i64, step: &str, target: Option<&str>, outputs: &[(&str, &str)]) -> &mut Self {
        let outputs = outputs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let (step, target) = (StepId::new(step), target.map(str::to_owned));
        self.at(ms, Event::StepReady { step, target, outputs, notes: Vec::new() })
    }

    fn mark(&mut self, ms: i64, mark: Mark, said: i64) -> &mut Self {
        self.at(
            ms,
            Event::Marked { mark, at: stamp(said).at, by: String::new(), note: String::new(), request: None },
        )
    }
}

fn probe(name: &str, role: Role, stage_of_use: ProbeUsage) -> ProbeInfo {
    let name = name.to_owned();
    ProbeInfo { name, role, every_ms: 1_000, timeout_ms: 1_000, hold_ms: 10_000, stage_of_use }
}

fn params() -> ClockParams {
    ClockParams {
        rto_ms: 60_000,
        give_up_ms: 120_000,
        rto_clock: RtoClock::Impact,
        detect_ms: None,
        impact_none_expected: false,
        probes: vec![probe("web", Role::Client, ProbeUsage::SteadyState)],
        fault_steps: vec![StepId::new("break")],
        by_hand: vec![],
        recovery_steps: vec![StepId::new("mend")],
    }
}

fn mark(m: &Measured, name: &str) -> Option<i64> {
    m.marks.get(name).map(|at| at.timestamp_millis() - BASE_MS)
}

fn sums(m: &Measured) {
    if let Some(rta) = m.rta_ms {
        assert_eq!(m.phases.iter().map(|p| p.ms).sum::<i64>(), rta, "{m:?}");
        assert!(m.phases.iter().all(|p| p.ms >= 0));
        let (low, high) = (m.rta_low_ms.unwrap(), m.rta_high_ms.unwrap());
        assert!(0 <= low && low <= rta && rta <= high, "{low} {rta} {high}");
    } else {
        assert!(m.phases.is_empty());
    }
}

/// Broken at 10.5 s (answered 10.9), unhealthy seen from 12 to 29 s, restored at 25 s.
fn outage(run: &mut Run) -> &mut Run {
    run.seconds("web", Health::Healthy, 0, 11)
        .call(1, "break", 10_500, 10_900)
        .seconds("web", Health::Healthy, 11, 12)
        .seconds("web", Health::Unhealthy, 12, 15)
        .stage(15_000, Stage::Recovery)
        .call(2, "mend", 15_200, 15_700)
        .applied(15_750, "mend")
        .seconds("web", Health::Unhealthy, 16, 25)
        .ready(25_000, "mend", None, &[])
        .seconds("web", Health::Unhealthy, 25, 30)
        .seconds("web", Health::Healthy, 30, 41)
}

#[test]
fn an_outage_is_measured_from_the_sending_of_the_fault_to_the_first_healthy_answer() {
    let mut run = Run::new();
    let m = measure(&outage(&mut run).lines, &params());
    assert_eq!(mark(&m, "t0"), Some(10_500));
    assert_eq!((mark(&m, "t4"), mark(&m, "t5")), (Some(15_700), Some(25_000)));
    assert_eq!(mark(&m, "t7"), Some(30_100));
    assert_eq!(m.rta_ms, Some(19_600));
    // last unhealthy sent at 29 s, the fault effective at 10.9 s at the latest
    assert_eq!((m.rta_low_ms, m.rta_high_ms), (Some(18_100), Some(19_600)));
    assert!(m.outage);
    assert_eq!((m.judged_ms, m.flaps), (m.rta_ms, 0));
    let phases: Vec<_> = m.phases.iter().map(|p| (p.from.as_str(), p.to.as_str(), p.ms)).collect();
    assert_eq!(phases, [("t0", "t4", 5_200), ("t4", "t5", 9_300), ("t5", "t7", 5_100)]);
    assert_eq!(m.gaps, []);
    assert_eq!(m.resolution_ms, 1_000);
    assert!(m.notes.contains(&"T1 (detected): not measured".to_owned()));
    sums(&m);
}

#[test]
fn recovery_counts_only_once_it_has_held() {
    let mut run = Run::new();
    outage(&mut run);
    while measure(&run.lines, &params()).rta_ms.is_some() {
        run.lines.pop();
    }
    // the observation of 40 s (answered 40.1 s) is the first that proves ten healthy seconds
    assert_eq!(run.lines.last().unwrap().stamp, stamp(39_100));
    let m = measure(&run.lines, &params());
    assert!(m.outage && m.phases.is_empty());
    run.at(40_050, Event::Steady { since: stamp(30_100).at });
    assert_eq!(mark(&measure(&run.lines, &params()), "t7"), None, "held from 30.1 s needs 40.1 s");
    run.lines.pop();
    run.at(40_100, Event::Steady { since: stamp(30_100).at });
    assert_eq!(mark(&measure(&run.lines, &params()), "t7"), Some(30_100));
    run.seconds("web", Health::Unhealthy, 41, 45).seconds("web", Health::Healthy, 45, 60);
    assert_eq!(mark(&measure(&run.lines, &params()), "t7"), Some(30_100), "the clean-up is not the recovery");
}

#[test]
fn being_put_back_is_not_being_recovered() {
    let mut run = Run::new();
    run.seconds("web", Health::Healthy, 0, 10)
        .call(1, "break", 10_000, 10_200)
        .seconds("web", Health::Unhealthy, 11, 20)
        .stage(20_000, Stage::Recovery)
        .ready(21_000, "mend", None, &[])
        .stage(22_000, Stage::Undo)
        .seconds("web", Health::Healthy, 23, 60);
    let m = measure(&run.lines, &params());
    assert_eq!((m.rta_ms, mark(&m, "t7"), m.outage), (None, None, true));
}

#[test]
fn a_flap_is_counted_and_does_not_end_the_recovery() {
    let mut run = Run::new();
    run.seconds("web", Health::Healthy, 0, 10)
        .call(1, "break", 10_000, 10_200)
        .seconds("web", Health::Unhealthy, 11, 20)
        .ready(12_000, "mend", None, &[])
        .seconds("web", Health::Healthy, 20, 25)
        .seconds("web", Health::Unhealthy, 25, 27)
        .seconds("web", Health::Healthy, 27, 40);
    let m = measure(&run.lines, &params());
    assert_eq!((m.flaps, mark(&m, "t7")), (1, Some(27_100)));
    assert_eq!(m.rta_low_ms, Some(26_000 - 10_200));
    sums(&m);
}

#[test]
fn a_service_that_was_never_unhealthy_is_recovered_when_the_restore_is_done() {
    let mut run = Run::new();
    let with_verify = ClockParams {
        probes: vec![
            probe("web", Role::Client, ProbeUsage::SteadyState),
            probe("rows", Role::Client, ProbeUsage::Verify),
        ],
        fault_steps: vec![],
        ..params()
    };
    run.seconds("web", Health::Healthy, 0, 5)
        .stage(5_000, Stage::Recovery)
        .seconds("web", Health::Healthy, 5, 905)
        .ready(905_000, "mend", None, &[("restored_to", "2023-11-14T22:03:25Z")])
        .stage(905_000, Stage::Verify)
        .see("rows", Health::Unhealthy, 905_200)
        .seconds("web", Health::Healthy, 906, 907)
        .see("rows", Health::Healthy, 906_200)
        .seconds("web", Health::Healthy, 907, 918)
        .see("rows", Health::Healthy, 917_200);
    let m = measure(&run.lines, &with_verify);
    assert_eq!(mark(&m, "t7"), Some(906_300));
    assert_eq!(m.rta_ms, Some(901_300), "not zero");
    assert_eq!((m.rta_low_ms, m.rta_high_ms), (Some(900_200), Some(901_300)));
    assert!(!m.outage);
    assert_eq!(m.restore_point_age_ms, Some(600_000));
    assert!(m.notes.iter().any(|n| n.contains("no fault")));
    sums(&m);
}

#[test]
fn surviving_a_fault_is_not_a_recovery_in_no_time() {
    let mut p = params();
    p.impact_none_expected = true;
    p.probes.push(probe("group", Role::Capacity, ProbeUsage::SteadyState));
    let mut run = Run::new();
    run.seconds("web", Health::Healthy, 0, 10)
        .seconds("group", Health::Healthy, 9, 10)
        .call(1, "break", 10_000, 10_200)
        .seconds("group", Health::Unhealthy, 11, 12)
        .ready(12_000, "mend", None, &[])
        .seconds("web", Health::Healthy, 10, 40)
        .seconds("group", Health::Unhealthy, 12, 35)
        .see("group", Health::Healthy, 35_000);
    let m = measure(&run.lines, &p);
    assert_eq!((m.rta_ms, m.rta_low_ms, m.judged_ms, m.outage), (None, None, None, false));
    assert_eq!(m.capacity_ms, Some(25_100));
    assert!(m.notes.contains(&"no client outage (resolution 1 s)".to_owned()), "{:?}", m.notes);
    p.impact_none_expected = false;
    assert_eq!(measure(&run.lines, &p).rta_ms, Some(2_000));
}

#[test]
fn t0_is_the_first_call_that_was_not_refused() {
    let mut run = Run::new();
    run.sent(1, "break", 5_000);
    let error = CallError {
        kind: "throttled".into(),
        code: None,
        message: String::new(),
        effect: EffectCertainty::None,
    };
    run.at(5_100, Event::CallAnswered { call: 1, request_id: None, outcome: None, error: Some(error) });
    assert_eq!(mark(&measure(&run.lines, &params()), "t0"), None);
    run.call(2, "break", 6_000, 9_000);
    assert_eq!(mark(&measure(&run.lines, &params()), "t0"), Some(6_000));
    // the first unhealthy observation bounds it before a late answer does
    run.lines.truncate(3);
    run.sent(2, "break", 6_000).see("web", Health::Unhealthy, 7_000).ready(8_000, "mend", None, &[]).seconds(
        "web",
        Health::Healthy,
        8,
        20,
    );
    let m = measure(&run.lines, &params());
    assert_eq!((m.rta_ms, m.rta_low_ms), (Some(2_100), Some(8_000 - 7_100)));
    assert!(m.notes.iter().any(|n| n.contains("within 1.100 s")), "{:?}", m.notes);
}

#[test]
fn every_target_of_a_recovery_step_must_be_ready() {
    let mut run = Run::new();
    let targets = vec![Some("a".to_owned()), Some("b".to_owned())];
    run.call(1, "break", 0, 1).at(2, Event::StepStarted { step: StepId::new("mend"), targets }).ready(
        1_000,
        "mend",
        Some("a"),
        &[],
    );
    assert_eq!(mark(&measure(&run.lines, &params()), "t5"), None);
    run.ready(4_000, "mend", Some("b"), &[]);
    assert_eq!(mark(&measure(&run.lines, &params()), "t5"), Some(4_000));
}

#[test]
fn marks_come_from_alarms_and_people_and_late_ones_are_said() {
    let mut p = params();
    p.probes.push(probe("alarm", Role::Monitoring, ProbeUsage::SteadyState));
    p.rto_clock = RtoClock::Declaration;
    p.detect_ms = Some(1_000);
    let mut run = Run::new();
    run.at(1, Event::Skew { ms: -2_000 });
    outage(&mut run);
    // recorded late; the order of the lines does not matter
    run.see_from("alarm", Health::Unhealthy, 20_000, 20_100, Some(14_500))
        .mark(21_000, Mark::Declare, 14_000)
        .mark(45_000, Mark::Ack, 44_000);
    let m = measure(&run.lines, &p);
    assert_eq!(mark(&m, "t1"), Some(12_500), "AWS's clock is 2 s ahead of ours");
    assert_eq!((mark(&m, "t2"), mark(&m, "t3")), (Some(44_000), Some(14_000)));
    assert_eq!((m.from_declaration_ms, m.judged_ms), (Some(16_100), Some(16_100)));
    for text in [
        "T2 (acknowledged): only after the recovery, so it cuts no phase",
        "detected after 2 s, later than the objective of 1 s",
        "the local clock is 2 s behind AWS's; alarm times are put right by that",
    ] {
        assert!(m.notes.iter().any(|n| n == text), "{text} in {:?}", m.notes);
    }
    let names: Vec<_> = m.phases.iter().map(|p| p.from.as_str()).collect();
    assert_eq!(names, ["t0", "t1", "t3", "t4", "t5"]);
    sums(&m);
    run.lines.retain(|l| !matches!(l.event, Event::Marked { .. }));
    let m = measure(&run.lines, &p);
    assert_eq!((m.rta_ms.is_some(), m.judged_ms), (true, None));
    // typed once the service was back, for a moment before that: it decides nothing, and that is said
    run.mark(46_000, Mark::Declare, 30_000);
    let m = measure(&run.lines, &p);
    assert_eq!((mark(&m, "t3"), m.from_declaration_ms, m.judged_ms), (Some(30_000), None, None));
    let said = "T3 (declared): noted after the recovery, so it does not count for the RTO";
    assert!(m.notes.iter().any(|n| n == said), "{:?}", m.notes);
    // one that was noted in time counts, whatever is typed afterwards
    run.mark(20_000, Mark::Declare, 19_000);
    assert_eq!(mark(&measure(&run.lines, &p), "t3"), Some(19_000));
}

#[test]
fn a_crash_widens_the_interval_and_is_shown() {
    let mut run = Run::new();
    run.seconds("web", Health::Healthy, 0, 10)
        .call(1, "break", 10_000, 10_200)
        .seconds("web", Health::Unhealthy, 11, 20)
        .ready(18_500, "mend", None, &[]);
    // the machine was restarted: the monotonic clock begins anew
    let later = |ms: i64| Stamp { at: stamp(ms).at, mono_ms: u64::try_from(ms - 300_000).unwrap() };
    let (pid, host, user, redrill) = (2, String::new(), String::new(), String::new());
    run.line(later(320_000), Event::Attached { mode: Mode::Resume, pid, host, user, redrill, boot: None });
    for s in 321..335 {
        let (sent, answered) = (later(s * 1_000), later(s * 1_000 + 100));
        let (probe, seen, source_at) = ("web".to_owned(), String::new(), None);
        run.line(
            answered,
            Event::Observed { probe, health: Health::Healthy, seen, sent, answered, source_at },
        );
    }
    let m = measure(&run.lines, &params());
    assert_eq!((m.rta_low_ms, m.rta_ms), (Some(19_000 - 10_200), Some(311_100)));
    assert_eq!(m.gaps.len(), 1);
    assert_eq!(m.gaps[0].why, "no process was running");
    assert_eq!(m.gaps[0].from, stamp(19_000).at);
    assert_eq!(m.gaps[0].to, stamp(321_100).at);
    sums(&m);
}

#[test]
fn a_gap_while_healthy_widens_upwards() {
    let mut run = Run::new();
    run.seconds("web", Health::Healthy, 0, 12)
        .call(1, "break", 10_000, 10_200)
        .ready(12_000, "mend", None, &[])
        .seconds("web", Health::Healthy, 12, 14)
        .seconds("web", Health::Healthy, 100, 120);
    let m = measure(&run.lines, &params());
    assert_eq!((m.rta_ms, m.rta_high_ms), (Some(2_000), Some(90_100)));
    assert_eq!(m.gaps.len(), 1);
    assert_eq!(m.gaps[0].why, "probe late");
    sums(&m);
}

#[test]
fn of_very_many_gaps_the_widest_are_listed_and_the_others_counted() {
    let mut run = Run::new();
    run.seconds("web", Health::Healthy, 0, 12)
        .call(1, "break", 10_000, 10_200)
        .ready(12_000, "mend", None, &[])
        .seconds("web", Health::Healthy, 12, 14);
    // 120 gaps of 8 s, but for one of 40 s
    let mut at = 23;
    for n in 0..120 {
        run.seconds("web", Health::Healthy, at, at + 2);
        at += if n == 115 { 41 } else { 9 };
    }
    let m = measure(&run.lines, &params());
    assert_eq!((m.gaps.len(), m.gaps_left_out), (GAPS, 120 - GAPS as u64));
    assert!(m.gaps.is_sorted_by_key(|g| g.from));
    let longest = m.gaps.iter().map(|g| (g.to - g.from).num_seconds()).max();
    assert_eq!(longest, Some(40));
    let note = "observation: 20 more gaps, none wider than 8.100 s and 2 min 42 s together, are not listed";
    assert!(m.notes.iter().any(|n| n == note), "{:?}", m.notes);
    sums(&m);
}

#[test]
fn a_drill_whose_probes_are_all_in_verify_is_recovered_when_they_pass() {
    let mut run = Run::new();
    let p = ClockParams { probes: vec![probe("rows", Role::Client, ProbeUsage::Verify)], ..params() };
    run.call(1, "break", 1_000, 1_100).ready(9_000, "mend", None, &[]);
    assert_eq!(measure(&run.lines, &p).rta_ms, None);
    run.see("rows", Health::Unknown, 9_100).see("rows", Health::Healthy, 10_100);
    let m = measure(&run.lines, &p);
    assert_eq!((m.rta_ms, m.rta_low_ms), (Some(9_200), Some(8_000)));
}

/// One thing that can stand in a journal, at any time and in any order.
#[derive(Clone, Debug)]
enum Item {
    See(usize, Health, i64),
    Sent(u64, bool),
    Answered(u64, bool),
    Applied(bool),
    Ready(bool, bool),
    Stage(Stage),
    Mark(Mark, i64),
    Attached,
    Steady,
    Clean,
}

const NAMES: [&str; 4] = ["web", "api", "alarm", "rows"];

fn item() -> impl Strategy<Value = Item> {
    let health = prop_oneof![Just(Health::Healthy), Just(Health::Unhealthy), Just(Health::Unknown)];
    let stage = prop_oneof![Just(Stage::Recovery), Just(Stage::Undo), Just(Stage::Verify)];
    let mark = prop_oneof![Just(Mark::Detected), Just(Mark::Ack), Just(Mark::Declare)];
    prop_oneof![
        20 => (0..4_usize, health, 0..900_i64).prop_map(|(p, h, took)| Item::See(p, h, took)),
        2 => (1..4_u64, any::<bool>()).prop_map(|(n, fault)| Item::Sent(n, fault)),
        2 => (1..4_u64, any::<bool>()).prop_map(|(n, ok)| Item::Answered(n, ok)),
        1 => any::<bool>().prop_map(Item::Applied),
        2 => (any::<bool>(), any::<bool>()).prop_map(|(fault, target)| Item::Ready(fault, target)),
        1 => stage.prop_map(Item::Stage),
        1 => (mark, -5_000..5_000_i64).prop_map(|(m, off)| Item::Mark(m, off)),
        1 => Just(Item::Attached),
        1 => Just(Item::Steady),
        1 => Just(Item::Clean),
    ]
}

fn play(run: &mut Run, items: &[(i64, Item)]) {
    let mut now = 0;
    let step = |fault: bool| if fault { "break" } else { "mend" };
    for (after, item) in items {
        now += after;
        match item {
            Item::See(probe, health, took) => {
                let source = (*probe == 2).then_some(now - 50);
                run.see_from(NAMES[*probe], *health, now, now + took, source);
                now += took;
            }
            Item::Sent(n, fault) => drop(run.sent(*n, step(*fault), now).lines.len()),
            Item::Answered(n, ok) => {
                let effect = EffectCertainty::None;
                let (kind, message) = (String::new(), String::new());
                let error = (!ok).then_some(CallError { kind, code: None, message, effect });
                run.at(now, Event::CallAnswered { call: *n, request_id: None, outcome: None, error });
            }
            Item::Applied(fault) => drop(run.applied(now, step(*fault)).lines.len()),
            Item::Ready(fault, t) => {
                run.ready(now, step(*fault), t.then_some("a"), &[("restored_to", "2023-11-14T22:03:25Z")]);
            }
            Item::Stage(stage) => drop(run.stage(now, *stage).lines.len()),
            Item::Mark(mark, off) => drop(run.mark(now, *mark, now + off).lines.len()),
            Item::Attached => drop(run.attached(now, Mode::Resume).lines.len()),
            Item::Steady => drop(run.at(now, Event::Steady { since: stamp(now).at }).lines.len()),
            Item::Clean => drop(run.at(now, Event::Cleaned { until: None }).lines.len()),
        }
    }
}

fn many() -> ClockParams {
    ClockParams {
        probes: vec![
            probe("web", Role::Client, ProbeUsage::SteadyState),
            ProbeInfo { hold_ms: 3_000, ..probe("api", Role::Client, ProbeUsage::SteadyState) },
            probe("alarm", Role::Monitoring, ProbeUsage::SteadyState),
            probe("rows", Role::Client, ProbeUsage::Verify),
        ],
        ..params()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn whatever_stands_in_a_journal_the_figures_are_consistent(
        items in prop::collection::vec((0..2_500_i64, item()), 0..120),
        (no_fault, survives, no_verify) in any::<(bool, bool, bool)>(),
    ) {
        let mut p = many();
        if no_fault { p.fault_steps.clear(); }
        if no_verify { p.probes.pop(); }
        p.impact_none_expected = survives;
        let mut run = Run::new();
        play(&mut run, &items);
        for n in [run.lines.len() / 2, run.lines.len()] {
            sums(&measure(&run.lines[..n], &p));
        }
        run.lines.reverse();
        sums(&measure(&run.lines, &p));
    }

}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn rolled_up_observations_measure_the_same(
        stretches in prop::collection::vec((0..4_usize, 0..3_usize, 1..150_i64, 0..4_000_i64), 1..20),
        fault in 0..40_i64, ready in 0..100_i64, steady in any::<bool>(),
    ) {
        let healths = [Health::Healthy, Health::Unhealthy, Health::Unknown];
        let mut plain = Run::new();
        let mut rolled = Run::new();
        rolled.rollup = Some(Rollup::new(&many().probes));
        for run in [&mut plain, &mut rolled] {
            let mut now = 1_000;
            let mut looks = 0;
            for (probe, health, count, pause) in &stretches {
                for _ in 0..*count {
                    if looks == fault { run.call(1, "break", now, now + 10).stage(now + 10, Stage::Recovery); }
                    if looks == fault + ready { run.ready(now, "mend", None, &[]); }
                    // all probes look each second; one of them may see something else
                    for (i, name) in NAMES.iter().enumerate() {
                        let seen = if i == *probe { healths[*health] } else { Health::Healthy };
                        run.see(name, seen, now + 20 * i as i64);
                    }
                    now += 1_000;
                    looks += 1;
                }
                now += pause;
            }
            if steady { run.at(now, Event::Steady { since: stamp(now).at }); }
            run.at(now, Event::Cleaned { until: None });
        }
        prop_assert!(rolled.lines.len() <= plain.lines.len());
        let (a, b) = (measure(&plain.lines, &many()), measure(&rolled.lines, &many()));
        sums(&a);
        prop_assert_eq!(a, b);
    }
}

#[test]
fn four_hours_of_ten_probes_fit_and_measure_the_same() {
    let names: Vec<String> = (0..10).map(|n| format!("checkout answers in region {n}")).collect();
    let mut p = params();
    p.probes = names.iter().map(|n| probe(n, Role::Client, ProbeUsage::SteadyState)).collect();
    let mut plain = Run::new();
    let mut rolled = Run::new();
    rolled.rollup = Some(Rollup::new(&p.probes));
    for run in [&mut plain, &mut rolled] {
        for s in 0..4 * 3600 {
            if s == 600 {
                run.call(1, "break", 600_000, 600_300).stage(600_300, Stage::Recovery);
            }
            if s == 14_000 {
                run.ready(14_000_000, "mend", None, &[]);
            }
            for (i, name) in names.iter().enumerate() {
                let down = (603..14_005 + i as i64).contains(&s);
                let health = if down { Health::Unhealthy } else { Health::Healthy };
                run.see(name, health, s * 1_000);
            }
        }
        run.at(4 * 3_600_000, Event::Cleaned { until: None });
    }
    let bytes: usize = rolled
        .lines
        .iter()
        .map(|l| {
            let line = Line { prev: crate::journal::NO_PREVIOUS.to_owned(), ..l.clone() };
            serde_json::to_vec(&line).unwrap().len() + 1
        })
        .sum();
    assert!(bytes < 5_000_000, "{bytes} bytes");
    assert!(plain.lines.len() > 140_000);
    let (a, b) = (measure(&plain.lines, &p), measure(&rolled.lines, &p));
    assert_eq!(a.rta_ms, Some(14_014_100 - 600_000));
    assert_eq!(a, b);
}
