//! Tests of findings: what becomes one, and what alone closes one.

mod closing;

use chrono::TimeDelta;

use super::history::{Entry, Past, history, may_close};
use super::*;
use crate::evidence::record::{Fault, ObjectiveResult};
use crate::evidence::tests::record_of;
use crate::journal::Verdict;
use crate::model::exercise::Approval;
use crate::model::{RunId, World};
use crate::view::tests::example;

/// A run of the same drill on AWS, so many days later, with everything in order.
fn run(day: i64) -> Record {
    let mut r = record_of(&example(World::Aws));
    let later = |at: &mut Option<DateTime<Utc>>| *at = at.map(|at| at + TimeDelta::days(day));
    later(&mut r.identity.started_at);
    later(&mut r.identity.finished_at);
    let at = r.identity.started_at.unwrap();
    r.identity.run = RunId::new(at, "rds-restore", 0);
    for key in ["rto", "clean", "steady-after"] {
        set(&mut r, key, Status::Satisfied);
    }
    r.findings.clear();
    r
}

fn set(r: &mut Record, key: &str, status: Status) {
    r.result.objectives.retain(|o| o.key != key);
    r.result.objectives.push(ObjectiveResult {
        key: key.to_owned(),
        name: key.to_owned(),
        expected: "this".to_owned(),
        actual: "that".to_owned(),
        status,
    });
}

/// The run came too late.
fn late(day: i64) -> Record {
    let mut r = run(day);
    r.result.verdict = Some(Verdict::ObjectiveMissed);
    set(&mut r, "rto", Status::NotSatisfied);
    r
}

fn past(mut record: Record, annotations: Vec<Annotation>) -> Past {
    record.findings = find(&record, &annotations, &Defaults::default());
    Past { record, annotations }
}

fn plain(records: Vec<Record>) -> Vec<Entry> {
    history(&records.into_iter().map(|r| past(r, vec![])).collect::<Vec<_>>())
}

fn of<'a>(entries: &'a [Entry], kind: &str) -> Vec<&'a Entry> {
    entries.iter().filter(|e| e.finding.kind == kind).collect()
}

fn remark(text: &str) -> Annotation {
    let (at, by) = (DateTime::UNIX_EPOCH, "somebody@box".to_owned());
    Annotation::Remark { at, by, severity: FindingSeverity::Medium, text: text.to_owned() }
}

#[test]
fn a_run_in_order_has_no_findings() {
    assert_eq!(find(&run(0), &[], &Defaults::default()), []);
}

#[test]
fn due_dates_count_from_the_end_of_the_run() {
    let mut r = late(0);
    r.measures.flaps = 2;
    let found = find(&r, &[], &Defaults { owner: Some("service owner".into()), ..Defaults::default() });
    let dates: Vec<_> = found.iter().map(|f| (f.kind.as_str(), f.due.map(|d| d.to_string()))).collect();
    // the run ended on 2023-11-14
    assert_eq!(
        dates,
        [("objective-missed", Some("2023-11-21".to_owned())), ("flap", Some("2023-12-14".to_owned()))]
    );
    assert!(found.iter().all(|f| f.owner.as_deref() == Some("service owner")));
    r.identity.finished_at = None;
    assert!(find(&r, &[], &Defaults::default()).iter().all(|f| f.due.is_none() && f.owner.is_none()));
}

#[test]
fn the_newest_word_of_people_counts() {
    let r = late(0);
    let id = find(&r, &[], &Defaults::default())[0].id.clone();
    let note = |owner: Option<&str>, ticket: Option<&str>| Annotation::FollowUp {
        at: DateTime::UNIX_EPOCH,
        by: "somebody@box".to_owned(),
        finding: id.clone(),
        owner: owner.map(str::to_owned),
        due: None,
        ticket: ticket.map(str::to_owned),
    };
    let notes = [note(Some("first"), Some("T-1")), note(Some("second"), None)];
    let found = find(&r, &notes, &Defaults::default());
    assert_eq!((found[0].owner.as_deref(), found[0].ticket.as_deref()), (Some("second"), Some("T-1")));
    assert_eq!(found[0].due.map(|d| d.to_string()).as_deref(), Some("2023-11-21"), "not given, not changed");
}

#[test]
fn a_later_run_that_met_the_objective_closes_it() {
    let entries = plain(vec![late(0), late(1), run(2)]);
    let [entry] = &of(&entries, "objective-missed")[..] else { panic!("{entries:?}") };
    assert_eq!(entry.seen_in, [late(0).identity.run, late(1).identity.run]);
    assert_eq!(entry.closed_by, Some(run(2).identity.run));
    assert_eq!(entry.finding.run, late(0).identity.run);
    // the order in which runs are read is not that in which they ran
    let backwards = plain(vec![run(2), late(1), late(0)]);
    assert_eq!(backwards, entries);
    // and what came back is another entry
    let again = plain(vec![late(0), run(1), late(2)]);
    assert_eq!(of(&again, "objective-missed").iter().map(|e| e.is_open()).collect::<Vec<_>>(), [true, false]);
}

#[test]
fn asking_for_less_closes_nothing() {
    let mut easier = run(1);
    easier.objectives.rto_ms += 1;
    let entries = plain(vec![late(0), easier]);
    assert!(of(&entries, "objective-missed")[0].is_open());
    let mut harder = run(1);
    harder.objectives.rto_ms -= 1;
    let entries = plain(vec![late(0), harder]);
    assert!(!of(&entries, "objective-missed")[0].is_open());
}

#[test]
fn another_drill_of_the_same_name_closes_nothing() {
    use crate::evidence::record::Criterion;
    let probe = |probe: &str| Criterion {
        name: "the shop answers".to_owned(),
        probe: probe.to_owned(),
        part: "steady-state".to_owned(),
        role: "client".to_owned(),
        with: serde_json::Value::Null,
        every_ms: 1_000,
        hold_ms: 1_000,
    };
    let fault = |action: &str| Fault {
        step: "break".to_owned(),
        action: Some(action.to_owned()),
        target: Some("i-1".to_owned()),
        reversibility: "reversible".to_owned(),
        started_at: None,
        ending: "put back".to_owned(),
    };
    let with = |mut r: Record, faults: &[&str], asked: &str| {
        r.safety.faults = faults.iter().map(|f| fault(f)).collect();
        r.objectives.criteria = vec![probe(asked)];
        r
    };
    let then = || with(late(0), &["vpc.detach-route-table"], "http");
    let open = |later: Record| of(&plain(vec![then(), later]), "objective-missed")[0].is_open();
    assert!(!open(with(run(1), &["vpc.detach-route-table"], "http")), "the twin: this one tried it");
    assert!(!open(with(run(1), &["vpc.detach-route-table", "ec2.stop-instances"], "http")), "and more");
    assert!(open(with(run(1), &["command"], "http")));
    assert!(open(with(run(1), &[], "http")));
    assert!(open(with(run(1), &["vpc.detach-route-table"], "tcp")));
}

#[test]
fn a_run_that_could_not_show_it_closes_nothing() {
    let open = |later: Record| {
        let entries = plain(vec![late(0), later]);
        of(&entries, "objective-missed")[0].is_open()
    };
    assert!(!open(run(1)), "the twin: this one can");
    let mut untested = run(1);
    set(&mut untested, "rto", Status::NotTested);
    assert!(open(untested));
    let mut unfinished = run(1);
    unfinished.result.verdict = None;
    unfinished.identity.finished_at = None;
    set(&mut unfinished, "rto", Status::NotTested);
    assert!(open(unfinished));
    assert!(open(run(-1)), "an earlier run says nothing about a later one");
}

#[test]
fn a_run_elsewhere_closes_nothing() {
    let changes: [fn(&mut Record); 7] = [
        |r| r.scope.world = World::Sim,
        |r| r.scope.world = World::Emulator,
        |r| r.scope.account = "210987654321".to_owned(),
        |r| r.scope.region = "us-west-2".to_owned(),
        |r| r.scope.environment = Some("production".to_owned()),
        |r| r.identity.drill = "another".to_owned(),
        |r| r.identity.service = "another".to_owned(),
    ];
    for (n, change) in changes.into_iter().enumerate() {
        let mut elsewhere = run(1);
        change(&mut elsewhere);
        let entries = plain(vec![late(0), elsewhere]);
        assert!(of(&entries, "objective-missed")[0].is_open(), "change {n}");
    }
}

#[test]
fn what_a_fault_left_behind_is_closed_by_the_same_fault_on_the_same_target_put_back() {
    let mut stuck = run(0);
    stuck.result.verdict = Some(Verdict::Stuck);
    set(&mut stuck, "clean", Status::NotSatisfied);
    stuck.safety.left_behind = vec!["STUCK: detach on subnet-1: denied. Attach rtb-1 by hand".to_owned()];
    let closed = |target: &str, status: Status| {
        let mut later = run(1);
        set(&mut later, "clean", status);
        later.safety.faults = vec![Fault {
            step: "detach".to_owned(),
            action: None,
            target: Some(target.to_owned()),
            reversibility: "reversible".to_owned(),
            started_at: None,
            ending: String::new(),
        }];
        let entries = plain(vec![stuck.clone(), later]);
        !of(&entries, "left-behind")[0].is_open()
    };
    assert!(closed("subnet-1", Status::Satisfied));
    assert!(!closed("subnet-2", Status::Satisfied));
    assert!(!closed("subnet-1", Status::NotTested));
}

#[test]
fn a_flap_is_closed_only_by_a_run_that_saw_an_outage() {
    let mut flapped = run(0);
    flapped.measures.flaps = 1;
    let calm = run(1);
    let mut unseen = run(1);
    unseen.measures.outage = false;
    assert!(!of(&plain(vec![flapped.clone(), calm]), "flap")[0].is_open());
    assert!(of(&plain(vec![flapped, unseen]), "flap")[0].is_open());
}

#[test]
fn a_remark_is_closed_only_by_naming_a_later_run_that_passed() {
    let text = "nobody had the phone number of the on-call";
    let first = past(run(0), vec![remark(text)]);
    let id = first.record.findings[0].id.clone();
    let open = history(&[first.clone(), past(run(1), vec![])]);
    assert!(open[0].is_open() && open[0].finding.detail == text, "no run sees it by itself");
    let close = |run: &Record| Annotation::Close {
        at: DateTime::UNIX_EPOCH,
        by: "somebody@box".to_owned(),
        finding: id.clone(),
        run: run.identity.run.clone(),
    };
    let closed_by = |later: Record| {
        let notes = vec![remark(text), close(&later)];
        let entries = history(&[past(run(0), notes), past(later, vec![])]);
        of(&entries, "remark")[0].closed_by.clone()
    };
    assert_eq!(closed_by(run(1)), Some(run(1).identity.run));
    assert_eq!(closed_by(late(1)), None);
    assert_eq!(closed_by(run(-1)), None);
    let mut on_sim = run(1);
    on_sim.scope.world = World::Sim;
    assert_eq!(closed_by(on_sim), None);
    // and what redrill saw itself is not closed by anybody's word
    let missed = plain(vec![late(0)]);
    assert!(may_close(&missed[0], &run(1)).is_err());
}

#[test]
fn an_approval_dated_after_the_start_is_a_finding_and_no_approval() {
    let mut r = run(0);
    let start = r.identity.started_at.unwrap();
    let approval = |at| Approval { name: "service owner".to_owned(), at: Some(at), reference: None };
    r.authority.approvals = vec![approval(start - TimeDelta::hours(1))];
    assert_eq!(find(&r, &[], &Defaults::default()), []);
    r.authority.approvals = vec![approval(start + TimeDelta::seconds(1))];
    assert_eq!(find(&r, &[], &Defaults::default())[0].kind, "late-approval");
    let gap = |r: &Record| crate::evidence::gaps::find(r).iter().any(|g| g.what.starts_with("who approved"));
    assert!(gap(&r));
}
