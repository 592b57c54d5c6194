//! Which run shows that a finding is gone, kind by kind, and which nearly does.

use super::*;
use crate::evidence::record::{Check, Criterion, Recovery};
use crate::evidence::review::Annotation;
use crate::journal::Gap;
use crate::view::{ProbeView, Segment};

/// Whether the finding of this kind, of the first run, is closed by the second.
#[track_caller]
fn closes(kind: &str, first: &Record, later: Record) -> bool {
    let entries = plain(vec![first.clone(), later]);
    let found = of(&entries, kind);
    assert!(!found.is_empty(), "no {kind} in {entries:?}");
    found.iter().all(|e| !e.is_open())
}

fn ended(day: i64, verdict: Verdict) -> Record {
    let mut r = run(day);
    r.result.verdict = Some(verdict);
    r
}

fn check(name: &str, status: Status) -> Check {
    Check {
        name: name.to_owned(),
        probe: "sql".to_owned(),
        with: serde_json::Value::Null,
        with_sha256: String::new(),
        status,
        seen: "no rows".to_owned(),
        at: None,
        observations: 1,
    }
}

fn probe(name: &str, health: Health, observations: u64) -> ProbeView {
    let at = DateTime::UNIX_EPOCH;
    let segment = Segment { health, from: at, to: at, observations, seen: "no answer".to_owned() };
    ProbeView { name: name.to_owned(), observations, segments: vec![segment] }
}

fn criterion(part: &str, name: &str) -> Criterion {
    Criterion {
        name: name.to_owned(),
        probe: "http".to_owned(),
        part: part.to_owned(),
        role: "client".to_owned(),
        with: serde_json::Value::Null,
        every_ms: 1_000,
        hold_ms: 1_000,
    }
}

#[test]
fn a_check_that_failed_is_closed_by_the_same_check_that_passed() {
    let mut first = run(0);
    first.checks = vec![check("rows", Status::NotSatisfied)];
    let found = find(&first, &[], &Defaults::default());
    let told: Vec<_> = found.iter().map(|f| (f.kind.as_str(), f.title.as_str(), f.detail.as_str())).collect();
    assert_eq!(told, [("check-failed", "Check failed: rows", "no rows")]);
    for (name, status, closed) in [
        ("rows", Status::Satisfied, true),
        ("rows", Status::NotTested, false),
        ("totals", Status::Satisfied, false),
    ] {
        let mut later = run(1);
        later.checks = vec![check(name, status)];
        assert_eq!(closes("check-failed", &first, later), closed, "{name} {status:?}");
    }
    assert!(!closes("check-failed", &first, run(1)), "it was not asked");
}

#[test]
fn a_drill_that_was_not_completed_is_closed_by_one_that_was() {
    for verdict in [
        Verdict::NoImpact,
        Verdict::Failed,
        Verdict::Stopped,
        Verdict::NotSteady,
        Verdict::Refused,
        Verdict::Inconclusive,
    ] {
        let first = ended(0, verdict);
        let found = find(&first, &[], &Defaults::default());
        assert_eq!((found.len(), found[0].subject.as_str()), (1, verdict.name()));
        assert!(closes("not-completed", &first, ended(1, Verdict::Passed)), "{verdict:?}");
        assert!(closes("not-completed", &first, ended(1, Verdict::ObjectiveMissed)), "{verdict:?}");
        for other in [Verdict::NotRecovered, Verdict::Stuck] {
            assert!(!closes("not-completed", &first, ended(1, other)), "{verdict:?} by {other:?}");
        }
    }
    for verdict in [Verdict::Passed, Verdict::ObjectiveMissed, Verdict::NotRecovered, Verdict::Stuck] {
        assert!(
            find(&ended(0, verdict), &[], &Defaults::default()).iter().all(|f| f.kind != "not-completed")
        );
    }
}

#[test]
fn a_probe_that_could_not_be_read_is_closed_by_a_whole_run_that_read_it() {
    let mut first = run(0);
    first.run.probes = vec![probe("page", Health::Unknown, 3), probe("api", Health::Healthy, 5)];
    let found = find(&first, &[], &Defaults::default());
    let told: Vec<_> = found.iter().map(|f| (f.title.as_str(), f.detail.as_str())).collect();
    let text = "3 of 3 observations unknown; first: no answer";
    assert_eq!(told, [("Probe could not be read: page", text)]);
    for (verdict, name, observations, closed) in [
        (Verdict::Passed, "page", 1, true),
        (Verdict::ObjectiveMissed, "page", 1, true),
        (Verdict::NotRecovered, "page", 1, true),
        (Verdict::Stuck, "page", 1, true),
        (Verdict::Stopped, "page", 1, false),
        (Verdict::Passed, "page", 0, false),
        (Verdict::Passed, "api", 1, false),
    ] {
        let mut later = ended(1, verdict);
        later.run.probes = vec![probe(name, Health::Healthy, observations)];
        let was = closes("unknown-probe", &first, later);
        assert_eq!(was, closed, "{verdict:?} {name} {observations}");
    }
}

#[test]
fn a_gap_is_closed_by_a_recovery_that_was_watched_to_its_end() {
    let mut first = run(0);
    let at = first.identity.started_at.unwrap();
    let gap = |why: &str| Gap { from: at, to: at + TimeDelta::seconds(90), why: why.to_owned() };
    let measured = first.run.measured.as_mut().unwrap();
    measured.gaps = vec![gap("probe late"), gap("")];
    let found = find(&first, &[], &Defaults::default());
    let told: Vec<_> = found.iter().map(|f| (f.kind.as_str(), f.subject.as_str())).collect();
    assert_eq!(told.len(), 2);
    assert!(
        told.contains(&("observation-gap", "probe late"))
            && told.contains(&("observation-gap", "unknown reason"))
    );
    assert!(
        found.iter().any(|f| f.detail.starts_with("1 min 30 s from ") && f.detail.ends_with(": probe late"))
    );
    assert!(closes("observation-gap", &first, run(1)));
    assert!(!closes("observation-gap", &first, ended(1, Verdict::Stopped)));
    let mut unmeasured = run(1);
    unmeasured.measures.rta_ms = None;
    assert!(!closes("observation-gap", &first, unmeasured.clone()));
    // neither does it show that nothing flaps
    let mut flapped = run(0);
    flapped.measures.flaps = 3;
    let found = find(&flapped, &[], &Defaults::default());
    assert_eq!(found[0].detail, "healthy, then unhealthy inside the hold, 3 times");
    assert!(closes("flap", &flapped, run(1)));
    assert!(!closes("flap", &flapped, unmeasured));
    assert!(!closes("flap", &flapped, ended(1, Verdict::Failed)));
}

#[test]
fn what_people_rejected_or_approved_late_is_closed_by_people() {
    let mut late = run(0);
    let start = late.identity.started_at.unwrap();
    let approval = |at| Approval { name: "owner".to_owned(), at: Some(at), reference: None };
    late.authority.approvals = vec![approval(start)];
    assert_eq!(find(&late, &[], &Defaults::default()), [], "at the start is before it");
    late.authority.approvals = vec![approval(start + TimeDelta::milliseconds(1))];
    let begins = run(1).identity.started_at.unwrap();
    for (approvals, closed) in [
        (vec![], false),
        (vec![approval(begins)], true),
        (vec![approval(begins), approval(begins + TimeDelta::seconds(1))], false),
    ] {
        let mut later = run(1);
        // not even the same test: words of people are no matter of how the drill was made
        later.objectives.criteria.clear();
        later.authority.approvals = approvals;
        let entries = plain(vec![late.clone(), later]);
        let first = of(&entries, "late-approval").into_iter().find(|e| e.finding.run == late.identity.run);
        assert_eq!(!first.unwrap().is_open(), closed, "{closed}");
    }
    let mut rejected = run(0);
    rejected.review.sign_offs = vec![crate::evidence::record::SignOff {
        by: "eve".to_owned(),
        listed_as: None,
        at: start,
        decision: "rejected".to_owned(),
        note: "too short".to_owned(),
        key: "k".to_owned(),
        independent: true,
        made_as: String::new(),
    }];
    let found = find(&rejected, &[], &Defaults::default());
    assert_eq!(
        (found[0].title.as_str(), found[0].detail.as_str()),
        ("The review was rejected by eve", "too short")
    );
    assert!(!closes("review-rejected", &rejected, run(1)));
    let mut reviewed = run(1);
    reviewed.review.independent = true;
    assert!(closes("review-rejected", &rejected, reviewed));
}

#[test]
fn what_is_left_behind_or_failed_a_check_is_one_finding_not_two() {
    let mut r = run(0);
    set(&mut r, "clean", Status::NotSatisfied);
    set(&mut r, "data", Status::NotSatisfied);
    let kinds = |r: &Record| {
        let mut kinds: Vec<_> = find(r, &[], &Defaults::default()).into_iter().map(|f| f.kind).collect();
        kinds.sort();
        kinds
    };
    assert_eq!(kinds(&r), ["objective-missed", "objective-missed"]);
    r.safety.left_behind = vec!["left in place: detach on subnet-1: asked to".to_owned()];
    assert_eq!(kinds(&r), ["left-behind", "objective-missed"]);
    r.checks = vec![check("rows", Status::Satisfied)];
    assert_eq!(kinds(&r), ["left-behind", "objective-missed"]);
    r.checks = vec![check("rows", Status::NotSatisfied)];
    assert_eq!(kinds(&r), ["check-failed", "left-behind"]);
    let missed = find(&late(0), &[], &Defaults::default());
    assert_eq!(missed[0].detail, "expected this; seen that");
}

#[test]
fn only_as_strict_an_objective_is_met() {
    let with = |day, rpo: Option<i64>, detect: Option<i64>, clock: &str| {
        let mut r = if day == 0 { late(0) } else { run(day) };
        (r.objectives.rpo_ms, r.objectives.detect_ms) = (rpo, detect);
        clock.clone_into(&mut r.objectives.clock);
        r
    };
    for (then, now, closed) in [
        ((Some(5), Some(5), "impact"), (Some(5), Some(5), "impact"), true),
        ((Some(5), None, "impact"), (Some(4), None, "impact"), true),
        ((Some(5), None, "impact"), (Some(6), None, "impact"), false),
        ((Some(5), None, "impact"), (None, None, "impact"), false),
        ((None, None, "impact"), (Some(6), None, "impact"), true),
        ((None, Some(5), "impact"), (None, Some(6), "impact"), false),
        ((None, None, "impact"), (None, None, "declaration"), false),
    ] {
        let first = with(0, then.0, then.1, then.2);
        let was = closes("objective-missed", &first, with(1, now.0, now.1, now.2));
        assert_eq!(was, closed, "{then:?} {now:?}");
    }
    // what is no objective may be shown under a laxer one
    let mut first = with(0, Some(5), None, "impact");
    first.checks = vec![check("rows", Status::NotSatisfied)];
    let mut later = with(1, None, None, "impact");
    later.checks = vec![check("rows", Status::Satisfied)];
    assert!(closes("check-failed", &first, later));
}

#[test]
fn without_a_fault_the_same_recovery_is_the_same_test() {
    let with = |mut r: Record, actions: &[&str], criteria: &[(&str, &str)]| {
        r.safety.faults.clear();
        r.recoveries = actions
            .iter()
            .map(|a| Recovery {
                step: "mend".to_owned(),
                action: Some((*a).to_owned()),
                target: None,
                started_at: None,
                ready_at: None,
                outputs: std::collections::BTreeMap::new(),
                notes: vec![],
            })
            .collect();
        r.objectives.criteria = criteria.iter().map(|(part, name)| criterion(part, name)).collect();
        r
    };
    let probes = [("steady-state", "page"), ("stop", "budget")];
    let first = with(late(0), &["rds.restore-to-point-in-time"], &probes);
    let closed = |actions: &[&str], criteria: &[(&str, &str)]| {
        closes("objective-missed", &first, with(run(1), actions, criteria))
    };
    assert!(closed(&["rds.restore-to-point-in-time"], &probes));
    assert!(closed(&["rds.restore-to-point-in-time", "command"], &probes));
    assert!(closed(&["rds.restore-to-point-in-time"], &probes[..1]), "a stop condition is no measure");
    assert!(!closed(&["command"], &probes));
    assert!(!closed(&["rds.restore-to-point-in-time"], &probes[1..]));
}

#[test]
fn a_remark_is_not_closed_by_a_run_that_has_it_too() {
    let text = "the pager was silent";
    let first = past(run(0), vec![remark(text)]);
    let id = first.record.findings[0].id.clone();
    let close = Annotation::Close {
        at: DateTime::UNIX_EPOCH,
        by: "somebody@box".to_owned(),
        finding: id.clone(),
        run: run(1).identity.run,
    };
    let entries = history(&[first.clone(), past(run(1), vec![remark(text), close])]);
    assert!(of(&entries, "remark")[0].is_open(), "the run that would close it shows it");
    assert!(may_close(of(&entries, "remark")[0], &run(2)).is_ok());
    // words about one finding are none about another
    let other = Annotation::Close {
        at: DateTime::UNIX_EPOCH,
        by: "somebody@box".to_owned(),
        finding: "F-0000000000".to_owned(),
        run: run(1).identity.run,
    };
    let entries = history(&[past(run(0), vec![remark(text), other]), past(run(1), vec![])]);
    assert!(of(&entries, "remark")[0].is_open());
}

#[test]
fn what_shows_again_is_not_closed_by_the_run_that_shows_it() {
    let flapped = |day: i64, flaps: u32| {
        let mut r = ended(day, Verdict::Passed);
        (r.measures.outage, r.measures.rta_ms, r.measures.flaps) = (true, Some(1_000), flaps);
        r
    };
    let entries = plain(vec![flapped(0, 2), flapped(1, 1)]);
    let [entry] = &of(&entries, "flap")[..] else { panic!("{entries:?}") };
    assert!(entry.is_open());
    assert_eq!(entry.seen_in, [flapped(0, 2).identity.run, flapped(1, 1).identity.run]);
    // another finding beside is no reason to keep it open
    let mut later = flapped(1, 0);
    set(&mut later, "rto", Status::NotSatisfied);
    later.result.verdict = Some(Verdict::ObjectiveMissed);
    let entries = plain(vec![flapped(0, 2), later]);
    assert_eq!(
        entries.iter().map(|e| (e.finding.kind.as_str(), e.is_open())).collect::<Vec<_>>(),
        [("objective-missed", true), ("flap", false)]
    );
}
