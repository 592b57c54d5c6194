//! Clocks that are set between two processes, and marks from the future.

use super::*;

#[test]
fn a_mark_from_after_the_line_that_takes_it_is_not_counted_and_is_told() {
    let p = ClockParams { rto_clock: RtoClock::Declaration, ..params() };
    let mut run = Run::new();
    outage(&mut run);
    run.mark(12_000, Mark::Declare, 23_000);
    let m = measure(&run.lines, &p);
    assert_eq!((mark(&m, "t3"), m.from_declaration_ms, m.judged_ms), (None, None, None));
    let said = "T3 (declared): a mark for 11 s after it was recorded is not counted";
    assert!(m.notes.iter().any(|n| n == said), "{:?}", m.notes);
    // one that is honest counts, whatever else was tried
    run.mark(13_000, Mark::Declare, 12_500);
    assert_eq!(mark(&measure(&run.lines, &p), "t3"), Some(12_500));
    // clocks of two machines: a little ahead is now
    let mut run = Run::new();
    outage(&mut run);
    run.mark(12_000, Mark::Declare, 12_900);
    assert_eq!(mark(&measure(&run.lines, &p), "t3"), Some(12_000));
}

/// An outage that a second process sees the end of. Its clocks are the machine's, with the wall clock moved
/// by `moved_ms`, and on another boot with a monotonic clock that began anew.
fn taken_up(moved_ms: i64, boot: &str, skews: Option<(i64, i64)>) -> Measured {
    let mut run = Run::new();
    run.lines.clear();
    let anew = if boot == "a" { 0 } else { 15_000 };
    let attached = |boot: &str| Event::Attached {
        mode: Mode::Resume,
        pid: 1,
        host: String::new(),
        user: String::new(),
        redrill: String::new(),
        boot: Some(boot.to_owned()),
    };
    run.at(0, header(2)).at(0, attached("a"));
    if let Some((before, _)) = skews {
        run.at(0, Event::Skew { ms: before });
    }
    run.seconds("web", Health::Healthy, 0, 10)
        .call(1, "break", 10_000, 10_200)
        .seconds("web", Health::Unhealthy, 11, 20)
        .ready(18_500, "mend", None, &[]);
    let later = |ms: i64| Stamp {
        at: stamp(ms + moved_ms).at,
        mono_ms: stamp(ms).mono_ms - u64::try_from(anew).unwrap(),
    };
    run.line(later(60_000), attached(boot));
    if let Some((_, after)) = skews {
        run.line(later(60_000), Event::Skew { ms: after });
    }
    for s in 61..75 {
        let (sent, answered) = (later(s * 1_000), later(s * 1_000 + 100));
        let (probe, seen, source_at) = ("web".to_owned(), String::new(), None);
        let health = Health::Healthy;
        run.line(answered, Event::Observed { probe, health, seen, sent, answered, source_at });
    }
    measure(&run.lines, &params())
}

#[test]
fn a_clock_that_is_set_between_two_processes_shortens_no_recovery() {
    let honest = taken_up(0, "a", None);
    assert_eq!(honest.rta_ms, Some(51_100));
    for moved in [-35_000, 35_000, -3_600_000] {
        let m = taken_up(moved, "a", None);
        assert_eq!((m.rta_ms, &m.gaps), (Some(51_100), &honest.gaps), "{moved}");
    }
    // on another boot only the wall clock tells, and AWS's clock puts it right
    let m = taken_up(-35_000, "b", Some((0, -35_000)));
    assert_eq!((m.rta_ms, m.rta_high_ms), (Some(51_100), Some(52_100)));
    assert!(m.notes.iter().any(|n| n.contains("it may be 1 s off")), "{:?}", m.notes);
    let m = taken_up(5_000, "b", Some((0, 5_000)));
    assert_eq!((m.rta_ms, m.rta_low_ms), (Some(56_100), honest.rta_low_ms.map(|low| low - 6_000)));
    let m = taken_up(-35_000, "b", None);
    assert!(m.rta_ms.is_some_and(|ms| ms > 10_000), "time does not run backwards: {m:?}");
    assert!(m.notes.iter().any(|n| n.contains("how far it is off is not known")), "{:?}", m.notes);
}

#[test]
fn clocks_that_come_apart_in_the_recovery_are_told_by_what_is_known_of_them() {
    let said =
        |m: &Measured| m.notes.iter().filter(|n| n.contains(" for 35 s ") || n.contains(" by 35 s ")).count();
    // AWS's clock was as far off before and after: the machine stood still, and that counts
    let m = taken_up(35_000, "a", Some((0, 0)));
    let stood = "the machine stood still for 35 s in the recovery, by AWS's clock; that counts";
    assert!(m.notes.iter().any(|n| n == stood) && said(&m) == 1, "{:?}", m.notes);
    // nobody asked: it stood still, or its clock was set
    let m = taken_up(35_000, "a", None);
    let apart = "the clocks of the machine came apart by 35 s in the recovery: it stood still, or its wall clock was \
                 set, and nobody compared it with AWS's since; the interval is wider by that";
    assert!(m.notes.iter().any(|n| n == apart) && said(&m) == 1, "{:?}", m.notes);
    assert_eq!(said(&taken_up(0, "a", None)), 0);
}
