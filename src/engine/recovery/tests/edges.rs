//! Each figure at its edge: what just counts, and what does not any more.

use super::*;

fn waiting(step: &str) -> Event {
    Event::Waiting { step: StepId::new(step), text: String::new() }
}

fn confirmed(step: &str) -> Event {
    let (by, note) = (String::new(), String::new());
    Event::Confirmed { step: StepId::new(step), by, note, simulated: false, request: None }
}

fn refused(call: u64) -> Event {
    let (kind, message, effect) = (String::new(), String::new(), EffectCertainty::None);
    let error = Some(CallError { kind, code: None, message, effect });
    Event::CallAnswered { call, request_id: None, outcome: None, error }
}

fn measured(run: &Run) -> Measured {
    measure(&run.lines, &params())
}

#[test]
fn the_objective_and_what_was_lost_stand_beside_the_figures() {
    let mut run = Run::new();
    run.at(1, Event::ObservationsLost { count: 2 }).at(2, Event::ObservationsLost { count: 1 });
    outage(&mut run);
    let m = measured(&run);
    assert_eq!(m.rto_ms, 60_000);
    let lost = "3 lines about observations could not be recorded in time, and are lost";
    assert_eq!(m.notes.iter().filter(|n| n.contains("lost")).collect::<Vec<_>>(), [lost]);
    let mut run = Run::new();
    run.at(1, Event::ObservationsLost { count: 0 });
    assert!(
        !measured(outage(&mut run))
            .notes
            .iter()
            .any(|n| n.contains("lost") || n.contains("no client outage"))
    );
}

#[test]
fn a_fault_that_takes_a_second_to_have_an_effect_is_told() {
    for (answered, told) in [(10_999, false), (11_000, true)] {
        let mut run = Run::new();
        run.seconds("web", Health::Healthy, 0, 10).call(1, "break", 10_000, answered).seconds(
            "web",
            Health::Healthy,
            11,
            12,
        );
        let found = measured(&run).notes.iter().any(|n| n.starts_with("the fault took effect within"));
        assert_eq!(found, told, "{answered}");
    }
}

#[test]
fn the_first_process_is_no_gap() {
    let mut run = Run::new();
    run.seconds("web", Health::Healthy, 1, 3);
    assert_eq!(measured(&run).gaps, [], "before T0 either");
    run.attached(3_200, Mode::Resume);
    assert_eq!(measured(&run).gaps.len(), 1);
}

#[test]
fn once_the_steady_state_was_met_clients_count_no_more_and_capacity_does_until_the_clean_up() {
    let mut p = params();
    p.probes.push(probe("group", Role::Capacity, ProbeUsage::SteadyState));
    let mut run = Run::new();
    run.at(500, Event::Steady { since: stamp(0).at });
    outage(&mut run).see("group", Health::Unhealthy, 40_500);
    assert_eq!(mark(&measure(&run.lines, &p), "t7"), Some(30_100), "a baseline that held decides nothing");
    run.at(41_000, Event::Steady { since: stamp(30_100).at });
    run.seconds("web", Health::Unhealthy, 41, 43).see("group", Health::Healthy, 42_000);
    let m = measure(&run.lines, &p);
    assert_eq!((m.flaps, m.capacity_ms, m.capacity_lost), (0, Some(42_100 - 10_500), false));
    // in the clean-up nothing counts, whatever is said of it
    run.lines.pop();
    run.stage(43_000, Stage::Undo).at(43_100, Event::Steady { since: stamp(43_000).at });
    run.see("group", Health::Healthy, 44_000);
    let m = measure(&run.lines, &p);
    assert_eq!((m.capacity_ms, m.capacity_lost), (None, true));
}

#[test]
fn a_target_that_was_only_prepared_or_failed_is_to_be_restored_too() {
    let (step, target) = (StepId::new("mend"), Some("b".to_owned()));
    let failed = Event::StepFailed {
        step: step.clone(),
        target: target.clone(),
        error: String::new(),
        effect: EffectCertainty::None,
        hint: None,
    };
    for event in [Event::StepPrepared { step, target, undo: serde_json::Value::Null }, failed] {
        let mut run = Run::new();
        run.call(1, "break", 0, 1).at(2, event).ready(1_000, "mend", Some("a"), &[]);
        assert_eq!(mark(&measured(&run), "t5"), None);
        run.ready(2_000, "mend", Some("b"), &[]);
        assert_eq!(mark(&measured(&run), "t5"), Some(2_000));
    }
}

#[test]
fn what_a_person_breaks_begins_when_they_are_asked_and_is_done_when_they_say_so() {
    let mut run = Run::new();
    run.at(1_000, waiting("mend"));
    assert_eq!(mark(&measured(&run), "t0"), None, "a recovery that waits breaks nothing");
    run.at(2_000, waiting("break")).at(5_000, confirmed("break"));
    let m = measured(&run);
    assert_eq!(mark(&m, "t0"), Some(2_000));
    assert!(m.notes.iter().any(|n| n.contains("no call was sent for it")));
    assert!(m.notes.iter().any(|n| n.starts_with("the fault took effect within 3 s")), "{:?}", m.notes);
    // and what they recover is restored when they say so
    run.at(9_000, confirmed("mend"));
    let m = measured(&run);
    assert_eq!((mark(&m, "t4"), mark(&m, "t5")), (Some(9_000), Some(9_000)));
    // where AWS refused all that was sent, nothing was injected
    let mut run = Run::new();
    let targets = vec![None];
    run.at(1, Event::StepStarted { step: StepId::new("break"), targets })
        .sent(1, "break", 1_000)
        .at(1_500, refused(1));
    assert_eq!(mark(&measured(&run), "t0"), None);
}

#[test]
fn only_a_call_for_the_fault_is_t0_and_only_its_own_answer_refuses_it() {
    let mut run = Run::new();
    run.sent(1, "mend", 1_000);
    assert_eq!(mark(&measured(&run), "t0"), None);
    run.sent(2, "break", 2_000).sent(3, "break", 3_000).at(3_500, refused(3));
    assert_eq!(mark(&measured(&run), "t0"), Some(2_000), "the other one was refused");
    // what is answered once is answered
    let mut run = Run::new();
    run.call(1, "break", 1_000, 1_100).at(1_200, refused(1));
    assert_eq!(mark(&measured(&run), "t0"), Some(1_000));
}

#[test]
fn the_end_of_the_clean_up_is_marked_where_it_is_clean() {
    let (step, target, proof) = (StepId::new("mend"), None::<String>, String::new());
    let ends = [
        Event::UndoDone {
            step: step.clone(),
            target: target.clone(),
            how: String::new(),
            proof: proof.clone(),
        },
        Event::Kept { step: step.clone(), target: target.clone(), proof },
        Event::Released { targets: vec![] },
        Event::Cleaned { until: None },
    ];
    let (error, hint) = (String::new(), String::new());
    let unclean = [
        Event::Stuck { step: Some(step.clone()), target: target.clone(), error, hint },
        Event::LeftInPlace { step, target, why: String::new(), by: None },
        Event::SteadyAfter { healthy: false },
    ];
    for end in &ends {
        let mut run = Run::new();
        outage(&mut run);
        assert_eq!(mark(&measured(&run), "t8"), None);
        run.at(50_000, end.clone());
        assert_eq!(mark(&measured(&run), "t8"), Some(50_000), "{end:?}");
        run.at(51_000, Event::SteadyAfter { healthy: true });
        assert_eq!(mark(&measured(&run), "t8"), Some(50_000), "{end:?}");
        for event in &unclean {
            run.at(52_000, event.clone());
            assert_eq!(mark(&measured(&run), "t8"), None, "{event:?}");
            run.lines.pop();
        }
    }
}

#[test]
fn who_takes_up_a_stuck_run_and_puts_it_back_ends_it_clean() {
    let taken_up = |mode: Mode, version: &str| {
        let (pid, host, user) = (1, String::new(), String::new());
        Event::Attached { mode, pid, host, user, redrill: version.to_owned(), boot: None }
    };
    let stuck = Event::Stuck { step: None, target: None, error: String::new(), hint: String::new() };
    for (mode, version, again) in [
        (Mode::Resume, "0.2.0", true),
        (Mode::Rollback, "0.2.0", true),
        (Mode::Tell, "0.2.0", false),
        // version 0.1.0 never called such a run clean
        (Mode::Resume, "0.1.0", false),
        (Mode::Rollback, "0.1.0", false),
    ] {
        let mut run = Run::new();
        outage(&mut run).at(50_000, stuck.clone()).at(51_000, Event::Cleaned { until: None });
        run.at(60_000, taken_up(mode, version)).at(61_000, Event::Cleaned { until: None });
        assert_eq!(mark(&measured(&run), "t8"), again.then_some(61_000), "{mode:?} {version}");
        // one that was clean is clean again only once this one has cleaned up
        let mut run = Run::new();
        outage(&mut run).at(51_000, Event::Cleaned { until: None }).at(60_000, taken_up(mode, version));
        assert_eq!(mark(&measured(&run), "t8"), (!again).then_some(51_000), "{mode:?} {version}");
    }
}

#[test]
fn a_mark_may_be_a_second_ahead_of_the_line_that_takes_it() {
    let mut run = Run::new();
    outage(&mut run).mark(41_000, Mark::Ack, 42_000).mark(41_000, Mark::Declare, 42_001);
    let m = measured(&run);
    assert_eq!((mark(&m, "t2"), mark(&m, "t3")), (Some(41_000), None));
}

#[test]
fn without_a_probe_that_decides_nothing_is_said_of_clients() {
    let mut p = ClockParams { impact_none_expected: true, ..params() };
    let mut run = Run::new();
    run.seconds("web", Health::Healthy, 0, 10).call(1, "break", 10_000, 10_200).seconds(
        "web",
        Health::Healthy,
        10,
        30,
    );
    let told =
        |p: &ClockParams| measure(&run.lines, p).notes.iter().any(|n| n.starts_with("no client outage"));
    assert!(told(&p));
    p.probes[0].role = Role::Capacity;
    assert!(!told(&p));
}

#[test]
fn there_is_no_recovery_before_the_verify_probes_have_passed() {
    let mut p = params();
    p.probes.push(probe("rows", Role::Client, ProbeUsage::Verify));
    let mut run = Run::new();
    outage(&mut run).see("rows", Health::Unhealthy, 41_000);
    let m = measure(&run.lines, &p);
    assert_eq!((mark(&m, "t6"), mark(&m, "t7"), m.outage), (None, None, true));
    // what is read before anything is restored verifies nothing
    let mut early = Run::new();
    early.call(1, "break", 1_000, 1_100).see("rows", Health::Healthy, 2_000);
    assert_eq!(mark(&measure(&early.lines, &p), "t6"), None);
    run.see("rows", Health::Healthy, 42_000).seconds("web", Health::Healthy, 42, 53);
    // nothing was asked of it since
    assert_eq!(mark(&measure(&run.lines, &p), "t7"), None);
    run.see("rows", Health::Healthy, 53_000);
    let m = measure(&run.lines, &p);
    assert_eq!((mark(&m, "t6"), mark(&m, "t7")), (Some(42_100), Some(42_100)));
    // one that passes and fails again before the end has not passed; of several times the last one counts
    run.see("rows", Health::Unhealthy, 54_000);
    let m = measure(&run.lines, &p);
    assert_eq!((mark(&m, "t6"), mark(&m, "t7")), (None, None));
    run.see("rows", Health::Healthy, 56_000).seconds("web", Health::Healthy, 54, 70);
    run.see("rows", Health::Healthy, 70_000);
    let m = measure(&run.lines, &p);
    assert_eq!((mark(&m, "t6"), mark(&m, "t7")), (Some(56_100), Some(56_100)));
    // what comes after the steady state was held changes nothing
    run.at(70_200, Event::Steady { since: stamp(56_100).at }).see("rows", Health::Unhealthy, 71_000);
    assert_eq!(mark(&measure(&run.lines, &p), "t6"), Some(56_100));
    // version 0.1.0 took the first time
    let mut old = Run::new();
    old.at(0, header(1));
    outage(&mut old).see("rows", Health::Healthy, 42_000).see("rows", Health::Unhealthy, 43_000);
    assert_eq!(mark(&measure(&old.lines, &p), "t6"), Some(42_100));
}

#[test]
fn an_outage_after_the_recovery_does_not_move_its_lower_bound() {
    let mut run = Run::new();
    outage(&mut run);
    let before = measured(&run);
    run.seconds("web", Health::Healthy, 41, 45).seconds("web", Health::Unhealthy, 45, 47);
    let m = measured(&run);
    assert_eq!((m.rta_ms, m.rta_low_ms), (before.rta_ms, Some(18_100)));
}

#[test]
fn a_flap_lies_between_the_outage_and_the_recovery_and_is_shorter_than_the_hold() {
    let flaps = |before: i64, healthy: i64, then: Health| {
        let mut run = Run::new();
        run.seconds("web", Health::Healthy, 10 - before, 10).call(1, "break", 10_000, 10_200);
        run.seconds("web", Health::Unhealthy, 11, 20).ready(12_000, "mend", None, &[]);
        run.seconds("web", Health::Healthy, 20, 20 + healthy).seconds(
            "web",
            then,
            20 + healthy,
            22 + healthy,
        );
        run.seconds("web", Health::Healthy, 22 + healthy, 40 + healthy);
        measured(&run).flaps
    };
    assert_eq!(flaps(8, 5, Health::Unhealthy), 1, "the baseline's end is none");
    assert_eq!(flaps(8, 9, Health::Unhealthy), 1);
    assert_eq!(flaps(8, 10, Health::Unhealthy), 0, "it held for as long as it has to");
    assert_eq!(flaps(8, 5, Health::Unknown), 0, "what could not be read was not seen to be unhealthy");
    // after the recovery nothing is a flap of it
    let mut run = Run::new();
    outage(&mut run).seconds("web", Health::Healthy, 41, 45).seconds("web", Health::Unhealthy, 45, 47);
    run.seconds("web", Health::Healthy, 47, 50).seconds("web", Health::Unhealthy, 50, 51);
    assert_eq!((measured(&run).flaps, mark(&measured(&run), "t7")), (0, Some(30_100)));
    // an answer from before the outage, recorded after its first, is no return to health
    let mut run = Run::new();
    run.seconds("web", Health::Healthy, 2, 10).call(1, "break", 10_000, 10_200);
    run.see_from("web", Health::Unhealthy, 11_000, 11_100, None);
    run.see_from("web", Health::Healthy, 10_900, 11_050, None);
    run.seconds("web", Health::Unhealthy, 12, 20).ready(12_000, "mend", None, &[]);
    run.seconds("web", Health::Healthy, 20, 40);
    assert_eq!((measured(&run).flaps, mark(&measured(&run), "t7")), (0, Some(20_100)));
}

#[test]
fn a_gap_says_whether_a_process_was_running() {
    let mut p = params();
    p.probes.push(probe("api", Role::Client, ProbeUsage::SteadyState));
    let gaps = |run: &Run| -> Vec<(i64, i64, String)> {
        let ms = |at: DateTime<Utc>| at.timestamp_millis() - BASE_MS;
        measure(&run.lines, &p).gaps.into_iter().map(|g| (ms(g.from), ms(g.to), g.why)).collect()
    };
    let late = "probe late".to_owned();
    let nobody = "no process was running".to_owned();
    let mut run = Run::new();
    run.seconds("web", Health::Healthy, 0, 10).call(1, "break", 10_000, 10_200).see(
        "web",
        Health::Healthy,
        20_000,
    );
    assert_eq!(gaps(&run), [(9_000, 20_100, late.clone())]);
    // a process that ends long after it, and one long before
    run.seconds("web", Health::Healthy, 21, 30).attached(31_000, Mode::Resume).see(
        "web",
        Health::Healthy,
        31_500,
    );
    assert_eq!(gaps(&run), [(9_000, 20_100, late.clone()), (29_100, 31_000, nobody.clone())]);
    run.see("web", Health::Healthy, 45_000);
    let third = (31_500, 45_100, late);
    assert_eq!(gaps(&run)[2], third);
    // a late probe beside the change of processes makes one gap with it, and with what overlaps that
    let mut run = Run::new();
    run.seconds("web", Health::Healthy, 0, 10).call(1, "break", 10_000, 10_200);
    run.attached(19_000, Mode::Resume).see("api", Health::Healthy, 19_100);
    run.see("web", Health::Healthy, 20_000).see("api", Health::Healthy, 30_000);
    assert_eq!(gaps(&run), [(9_000, 30_100, nobody)]);
}

/// What is said of this run that begins so.
fn said(run: &Run, p: &ClockParams, start: &str) -> Vec<String> {
    measure(&run.lines, p).notes.into_iter().filter(|n| n.starts_with(start)).collect()
}

#[test]
fn a_mark_outside_of_the_recovery_cuts_no_phase_and_that_is_told() {
    // T0 10.5 s, the restore requested 15.7 s, recovered 30.1 s
    for (ms, told) in [
        (10_499, Some("T2 (acknowledged): a mark from before T0 is not counted")),
        (10_500, None),
        (15_700, None),
        (15_701, Some("T2 (acknowledged): only after the restore was requested")),
        (30_100, Some("T2 (acknowledged): only after the restore was requested")),
        (30_101, Some("T2 (acknowledged): only after the recovery, so it cuts no phase")),
    ] {
        let mut run = Run::new();
        outage(&mut run).mark(50_000, Mark::Ack, ms);
        let noted = |note: &String| note.starts_with("T2 (acknowledged): noted ");
        let (late, others): (Vec<_>, Vec<_>) = said(&run, &params(), "T2").into_iter().partition(noted);
        assert_eq!(others, told.into_iter().collect::<Vec<_>>(), "{ms}");
        assert_eq!(late.len(), 1, "{ms}");
    }
    let mut run = Run::new();
    outage(&mut run).mark(10_499, Mark::Declare, 10_499);
    assert_eq!(said(&run, &params(), "T3"), ["T3 (declared): before T0, so it cuts no phase"]);
    // while nothing was requested, nothing is too late for it
    let mut run = Run::new();
    run.call(1, "break", 1_000, 1_100).mark(9_000, Mark::Ack, 8_000);
    assert_eq!(said(&run, &params(), "T2"), [""; 0]);
}

#[test]
fn a_mark_that_is_noted_late_says_so() {
    for (noted, late) in [(20_999, false), (21_000, true)] {
        let mut run = Run::new();
        outage(&mut run).mark(noted, Mark::Ack, 11_000);
        let told = said(&run, &params(), "T2 (acknowledged): noted 10 s after the time it gives").len();
        assert_eq!(told == 1, late, "{noted}");
    }
    let late = "T3 (declared): noted after the recovery, so it does not count for the RTO";
    for (mark, noted, time, told) in [
        (Mark::Declare, 30_101, 30_100, true),
        (Mark::Declare, 30_100, 30_000, false),
        (Mark::Declare, 31_000, 30_101, false),
        (Mark::Ack, 31_000, 30_000, false),
    ] {
        let mut run = Run::new();
        outage(&mut run).mark(noted, mark, time);
        assert_eq!(said(&run, &params(), late).len() == 1, told, "{mark:?} noted at {noted} for {time}");
    }
}

#[test]
fn detection_is_late_after_its_objective() {
    for (ms, late) in [(12_500, false), (12_501, true)] {
        let mut run = Run::new();
        outage(&mut run).mark(50_000, Mark::Detected, ms);
        let p = ClockParams { detect_ms: Some(2_000), ..params() };
        assert_eq!(said(&run, &p, "detected after 2").len() == 1, late, "{ms}");
        assert_eq!(said(&run, &params(), "detected after"), [""; 0], "no objective");
    }
}

#[test]
fn what_was_noted_for_before_the_fault_hides_nothing_that_came_after_it() {
    let t0 = 10_500;
    for (kind, name) in [(Mark::Detected, "t1"), (Mark::Ack, "t2")] {
        let with = |format: u32, early: i64, late: Option<i64>| {
            let mut run = Run::new();
            run.at(0, header(format));
            outage(&mut run).mark(early, kind, early);
            if let Some(late) = late {
                run.mark(late, kind, late);
            }
            let m = measure(&run.lines, &params());
            let told = m.notes.iter().filter(|n| n.ends_with("a mark from before T0 is not counted")).count();
            assert_eq!(mark(&m, "t0"), Some(t0));
            (mark(&m, name), told)
        };
        assert_eq!(with(2, 3_000, Some(14_000)), (Some(14_000), 1), "{name}");
        assert_eq!(with(2, t0 - 1, None), (None, 1), "{name}");
        assert_eq!(with(2, t0, Some(14_000)), (Some(t0), 0), "{name}");
        // as version 0.1.0 measured it
        assert_eq!(with(1, 3_000, Some(14_000)), (Some(3_000), 0), "{name}");
    }
}

#[test]
fn an_rto_from_a_declaration_misses_it() {
    let nobody = "the RTO counts from the declaration, and nobody declared";
    for (rto_clock, declared, told) in [
        (RtoClock::Declaration, false, true),
        (RtoClock::Declaration, true, false),
        (RtoClock::Impact, false, false),
        (RtoClock::Impact, true, false),
    ] {
        let mut run = Run::new();
        outage(&mut run);
        if declared {
            run.mark(42_000, Mark::Declare, 41_000);
        }
        let p = ClockParams { rto_clock, ..params() };
        assert_eq!(said(&run, &p, nobody).len() == 1, told, "{rto_clock:?}, declared: {declared}");
    }
}

#[test]
fn a_skew_of_a_second_moves_alarms_and_is_told_where_there_are_any() {
    let mut p = params();
    p.probes.push(probe("alarm", Role::Monitoring, ProbeUsage::SteadyState));
    for (ms, alarm, told) in [
        (1_000, true, Some("the local clock is 1 s ahead of AWS's; alarm times are put right by that")),
        (-1_000, true, Some("the local clock is 1 s behind AWS's; alarm times are put right by that")),
        (999, true, None),
        (-999, true, None),
        (5_000, false, None),
    ] {
        let mut run = Run::new();
        run.at(1, Event::Skew { ms });
        outage(&mut run);
        if alarm {
            run.see_from("alarm", Health::Unhealthy, 20_000, 20_100, Some(14_500));
        }
        assert_eq!(said(&run, &p, "the local clock"), told.into_iter().collect::<Vec<_>>(), "{ms} {alarm}");
    }
}

#[test]
fn giving_up_is_told_from_its_time_on() {
    for (until, told) in [(121_000 - 1, false), (121_000, true)] {
        let mut run = Run::new();
        run.call(1, "break", 1_000, 1_100)
            .seconds("web", Health::Unhealthy, 2, 100)
            .at(until, Event::Cleaned { until: None });
        assert_eq!(said(&run, &params(), "no recovery was seen within 2 min").len() == 1, told, "{until}");
    }
    let mut run = Run::new();
    outage(&mut run).at(500_000, Event::Cleaned { until: None });
    assert_eq!(said(&run, &params(), "no recovery"), [""; 0], "recovered");
}

#[test]
fn what_stops_the_run_is_no_capacity() {
    let mut p = params();
    p.probes.push(probe("stop: budget", Role::Capacity, ProbeUsage::Stop));
    let mut run = Run::new();
    outage(&mut run).see("stop: budget", Health::Unhealthy, 20_000);
    let m = measure(&run.lines, &p);
    assert_eq!((m.capacity_lost, m.capacity_ms), (false, None));
}

#[test]
fn what_a_program_or_a_person_broke_before_the_first_call_counts_from_there() {
    let by_hand = ClockParams {
        fault_steps: ["by-hand", "pause", "break"].map(StepId::new).to_vec(),
        by_hand: vec![StepId::new("by-hand")],
        ..params()
    };
    let started = |step: &str| Event::StepStarted { step: StepId::new(step), targets: vec![None] };
    let mut run = Run::new();
    run.seconds("web", Health::Healthy, 0, 2)
        .at(2_500, started("by-hand"))
        .applied(2_700, "by-hand")
        .at(3_000, started("pause"))
        .seconds("web", Health::Unhealthy, 3, 10)
        .at(10_400, started("break"))
        .call(1, "break", 10_500, 10_900)
        .stage(15_000, Stage::Recovery)
        .ready(25_000, "mend", None, &[])
        .seconds("web", Health::Unhealthy, 25, 30)
        .seconds("web", Health::Healthy, 30, 41);
    let m = measure(&run.lines, &by_hand);
    assert_eq!((mark(&m, "t0"), m.outage, m.rta_ms), (Some(2_500), true, Some(30_100 - 2_500)));
    assert_eq!(
        m.rta_high_ms.map(|high| high - m.rta_low_ms.unwrap()),
        Some(1_100 + 200),
        "effective by 2.7 s"
    );
    // a pause breaks nothing, and what comes after the first call does not count from there
    let m = measure(&run.lines, &ClockParams { by_hand: vec![], ..by_hand.clone() });
    assert_eq!(mark(&m, "t0"), Some(10_500));
    run.lines.retain(|l| !matches!(&l.event, Event::StepStarted { step, .. } | Event::StepApplied { step, .. } if step.as_str() == "by-hand"));
    run.at(42_000, started("by-hand"));
    assert_eq!(mark(&measure(&run.lines, &by_hand), "t0"), Some(10_500));
    // and where nothing else broke anything, a person's from when they were asked
    run.lines.retain(|l| !matches!(l.event, Event::CallSent { .. } | Event::CallAnswered { .. }));
    assert_eq!(mark(&measure(&run.lines, &by_hand), "t0"), Some(42_000));
}

#[test]
fn an_outage_in_the_clean_up_is_told_and_is_no_part_of_the_recovery() {
    let p = params();
    let held = |format: u32| {
        let mut run = Run::new();
        run.at(0, header(format));
        outage(&mut run);
        run.seconds("web", Health::Healthy, 42, 53).at(53_200, Event::Steady { since: stamp(42_100).at });
        run
    };
    let in_clean_up = |run: &Run| measure(&run.lines, &p).outage_in_clean_up;
    let mut run = held(2);
    let before = measure(&run.lines, &p);
    assert!(!before.outage_in_clean_up);
    run.stage(54_000, Stage::Undo).see("monitor", Health::Unhealthy, 54_500);
    assert!(!in_clean_up(&run), "no client");
    run.see("web", Health::Unhealthy, 55_000);
    let after = measure(&run.lines, &p);
    assert_eq!((after.rta_ms, after.outage_in_clean_up), (before.rta_ms, true));
    assert!(
        after.notes.iter().any(|n| n.starts_with("clients saw an outage in the clean-up")),
        "{:?}",
        after.notes
    );
    // once all is put back, what comes is not the run's
    let mut run = held(2);
    run.stage(54_000, Stage::Undo).at(54_100, Event::Cleaned { until: None }).see(
        "web",
        Health::Unhealthy,
        55_000,
    );
    assert!(!in_clean_up(&run));
    // one that is stopped in the outage is put back in it
    let mut run = Run::new();
    run.at(0, header(2));
    outage(&mut run).stage(43_000, Stage::Undo).see("web", Health::Unhealthy, 44_000);
    assert!(!in_clean_up(&run));
    // version 0.1.0 did not look
    let mut old = held(1);
    old.stage(54_000, Stage::Undo).see("web", Health::Unhealthy, 55_000);
    assert!(!in_clean_up(&old));
}

#[test]
fn a_check_that_answered_nothing_in_the_hold_is_not_vouched_for() {
    let mut p = params();
    p.probes.push(probe("rows", Role::Client, ProbeUsage::Verify));
    let run = |rows: &[(i64, i64)]| {
        let mut run = Run::new();
        run.call(1, "break", 1_000, 1_100);
        run.seconds("web", Health::Unhealthy, 2, 8).ready(9_000, "mend", None, &[]);
        run.see("rows", Health::Healthy, 9_100).seconds("web", Health::Healthy, 10, 40);
        for (sent, answered) in rows {
            run.see_from("rows", Health::Healthy, *sent, *answered, None);
        }
        measure(&run.lines, &p)
    };
    let alone = run(&[]);
    assert!(alone.marks.contains_key("t6"), "{alone:?}");
    assert_eq!((alone.rta_ms, alone.outage), (None, true));
    let t7 = run(&[(39_000, 40_100)]).rta_ms;
    assert!(t7.is_some(), "asked in the hold, and answered after it");
}
