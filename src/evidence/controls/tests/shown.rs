//! What a run shows of each capability, word by word: the nearest record that shows it, and that does not.

use Capability as C;
use Status::{NotSatisfied, NotTested, Satisfied};

use super::*;
use crate::model::StepId;
use crate::view;

/// Whether the run tried it, whether it held, and what was seen.
fn shown(r: &Record, plan: Option<&Plan>, c: C) -> (bool, Status, String) {
    let found = capability::all(r, plan).remove(&c).unwrap();
    (found.tried, found.status, found.why)
}

fn seen(tried: bool, status: Status, why: &str) -> (bool, Status, String) {
    (tried, status, why.to_owned())
}

fn held(why: &str) -> (bool, Status, String) {
    seen(true, Satisfied, why)
}

fn absent(why: &str) -> (bool, Status, String) {
    seen(false, NotTested, why)
}

fn unclear(why: &str) -> (bool, Status, String) {
    seen(true, NotTested, why)
}

fn failed(why: &str) -> (bool, Status, String) {
    seen(true, NotSatisfied, why)
}

#[test]
fn the_worst_of_several_decides_and_the_same_is_counted() {
    let mut r = restored();
    let one = r.recoveries[0].clone();
    assert_eq!(shown(&r, None, C::Restore), held("`restore` done"));
    r.recoveries = vec![one.clone(); 3];
    assert_eq!(shown(&r, None, C::Restore), held("`restore` done (3 times)"));
    r.recoveries[1].ready_at = None;
    assert_eq!(shown(&r, None, C::Restore), failed("`restore` did not finish"));
    r.recoveries[1].started_at = None;
    assert_eq!(shown(&r, None, C::Restore), unclear("`restore` was not reached"));
    r.recoveries = vec![r.recoveries[1].clone()];
    assert_eq!(shown(&r, None, C::Restore), absent("`restore` was not reached"));
    r.recoveries.clear();
    assert_eq!(shown(&r, None, C::Restore), absent("nothing was restored"));
}

#[test]
fn a_step_recovers_something_only_by_its_own_call_that_was_not_refused() {
    let mut r = restored();
    assert_eq!(shown(&r, None, C::Restore).1, Satisfied);
    let calls = r.run.calls.clone();
    let unsent = unclear("`restore` found nothing to do");
    let changes: [fn(&mut view::CallView); 3] = [
        |c| c.error = Some("denied".to_owned()),
        |c| c.step = Some(StepId::new("another")),
        |c| c.phase = crate::journal::Phase::Undo,
    ];
    for change in changes {
        r.run.calls.clone_from(&calls);
        r.run.calls.iter_mut().for_each(change);
        assert_eq!(shown(&r, None, C::Restore), unsent);
    }
}

#[test]
fn an_objective_and_a_check_are_told_as_they_were_judged() {
    let mut r = restored();
    r.result.objectives.clear();
    assert_eq!(shown(&r, None, C::CleanUp), absent("nothing had to be put back"));
    assert_eq!(shown(&r, None, C::RecoveryPoint), absent("the drill has no such objective"));
    set(&mut r, "rpo", NotTested);
    assert_eq!(shown(&r, None, C::RecoveryPoint), absent("that, asked for: this"));
    set(&mut r, "rpo", NotSatisfied);
    assert_eq!(shown(&r, None, C::RecoveryPoint), failed("that, asked for: this"));
    r.result.objectives[0].expected = "that".to_owned();
    assert_eq!(shown(&r, None, C::RecoveryPoint), failed("that"));
    assert_eq!(shown(&r, None, C::DataCheck), held("`sql` satisfied"));
    r.checks[0].status = NotTested;
    assert_eq!(shown(&r, None, C::DataCheck), absent("`sql` not tested"));
    r.checks.clear();
    assert_eq!(shown(&r, None, C::DataCheck), absent("`verify` of the drill has no such probe"));
}

#[test]
fn detection_is_an_objective_or_a_time_that_was_measured() {
    let mut r = restored();
    r.result.objectives.retain(|o| o.key != "detect");
    r.measures.detect_ms = None;
    assert_eq!(shown(&r, None, C::Detection), absent("nobody and nothing was seen to notice"));
    r.measures.detect_ms = Some(1);
    assert_eq!(shown(&r, None, C::Detection), held("its time was measured"));
    set(&mut r, "detect", NotSatisfied);
    assert_eq!(shown(&r, None, C::Detection), failed("that, asked for: this"));
}

#[test]
fn a_declaration_counts_until_the_recovery() {
    let mut r = restored();
    r.measures.declare_ms = None;
    assert_eq!(shown(&r, None, C::Declaration), absent("nobody declared it"));
    r.measures.declare_ms = Some(1);
    let t7 = r.run.measured.as_ref().unwrap().marks["t7"];
    for (later_ms, wanted) in [
        (-1, held("a person declared it")),
        (0, held("a person declared it")),
        (1, unclear("declared only after the recovery")),
    ] {
        let t3 = t7 + chrono::TimeDelta::milliseconds(later_ms);
        r.run.measured.as_mut().unwrap().marks.insert("t3".to_owned(), t3);
        assert_eq!(shown(&r, None, C::Declaration), wanted, "{later_ms}");
    }
}

#[test]
fn what_people_state_counts_where_it_is_there() {
    let mut r = restored();
    r.identity.risks.clear();
    r.lessons.clear();
    (r.integrity.checkpoints, r.measures.skew_ms) = (0, None);
    assert_eq!(shown(&r, None, C::Scenario), absent("the drill names none"));
    assert_eq!(shown(&r, None, C::Lessons), absent("none were noted"));
    assert_eq!(shown(&r, None, C::SignedRecord), absent("none were taken during the run"));
    assert_eq!(shown(&r, None, C::ClockCompared), absent("no answer of AWS's told its time"));
    r.identity.risks = vec!["R-1".to_owned(), "R-2".to_owned()];
    r.integrity.checkpoints = 1;
    let (at, by, text) = (chrono::DateTime::UNIX_EPOCH, "ann".to_owned(), "page sooner".to_owned());
    r.lessons = vec![crate::evidence::record::Remark { at, by, text }];
    assert_eq!(shown(&r, None, C::Lessons), held("1 noted"));
    assert_eq!(shown(&r, None, C::Scenario), held("R-1, R-2"));
    assert_eq!(shown(&r, None, C::SignedRecord), held("1 taken during the run"));
    for (ms, wanted) in [
        (2_000, held("2000 ms apart")),
        (-2_000, held("-2000 ms apart")),
        (2_001, failed("2001 ms apart, more than 2000 ms")),
        (-2_001, failed("-2001 ms apart, more than 2000 ms")),
    ] {
        r.measures.skew_ms = Some(ms);
        assert_eq!(shown(&r, None, C::ClockCompared), wanted);
    }
    (r.people.simulated, r.people.participants) = (false, vec![]);
    assert_eq!(shown(&r, None, C::People), absent("no participants were named"));
    r.people.participants = vec![Participant { role: "lead".into(), name: "ann".into(), identity: None }];
    assert_eq!(shown(&r, None, C::People), held("1 named with their roles"));
    r.people.simulated = true;
    assert_eq!(shown(&r, None, C::People), unclear("people were simulated"));
    assert_eq!(shown(&r, None, C::AlternateSite), absent("not shown by this version of redrill"));
}

#[test]
fn every_finding_has_an_owner_and_a_date_or_the_follow_up_is_unclear() {
    let mut r = restored();
    r.findings.clear();
    assert_eq!(shown(&r, None, C::FollowUp), seen(false, Satisfied, "there are no findings"));
    r.measures.flaps = 1;
    let mut found = crate::evidence::findings::find(&r, &[], &Default::default());
    found[0].owner = Some("ann".to_owned());
    r.findings = vec![found[0].clone(), found[0].clone()];
    assert_eq!(shown(&r, None, C::FollowUp), held("2 with owner and date"));
    r.findings[0].owner = None;
    assert_eq!(shown(&r, None, C::FollowUp), unclear("1 of 2 findings lack an owner or a date"));
    r.findings[1].due = None;
    assert_eq!(shown(&r, None, C::FollowUp), unclear("2 of 2 findings lack an owner or a date"));
}

#[test]
fn a_steady_state_says_something_of_a_service_that_was_asked() {
    let (mut r, _) = exercised();
    r.checks.clear();
    set(&mut r, "steady-after", Satisfied);
    r.result.objectives.retain(|o| o.key == "steady-after");
    assert_eq!(shown(&r, None, C::ServiceCheck), held("that, asked for: this"));
    let asked = r.objectives.criteria.clone();
    for c in &mut r.objectives.criteria {
        c.probe = "ec2.instances".to_owned();
    }
    let only = "that, asked for: this, but only AWS was asked, not the service";
    assert_eq!(shown(&r, None, C::ServiceCheck), unclear(only));
    // a check that asked the service says more
    r.checks = vec![check("http", Satisfied)];
    assert_eq!(shown(&r, None, C::ServiceCheck), held("`http` satisfied"));
    set(&mut r, "steady-after", NotSatisfied);
    assert_eq!(shown(&r, None, C::ServiceCheck), failed("that, asked for: this"));
    set(&mut r, "steady-after", NotTested);
    r.checks.clear();
    assert_eq!(shown(&r, None, C::ServiceCheck).1, NotTested);
    r.result.objectives.clear();
    assert_eq!(shown(&r, None, C::ServiceCheck), absent("the service was not asked"));
    // capacity, and probes of other parts, are no clients of it
    for (part, role) in [("steady-state", "capacity"), ("verify", "client")] {
        set(&mut r, "steady-after", Satisfied);
        r.objectives.criteria.clone_from(&asked);
        for c in &mut r.objectives.criteria {
            (c.part, c.role) = (part.to_owned(), role.to_owned());
        }
        assert_eq!(shown(&r, None, C::ServiceCheck), unclear(only), "{part} {role}");
    }
}

#[test]
fn a_person_is_believed_where_something_was_seen_to_change() {
    let (mut r, plan) = exercised();
    r.recoveries.clear();
    let person = plan.steps.iter().find(|s| s.manual.is_some()).unwrap().id.clone();
    let of = |r: &Record| shown(r, Some(&plan), C::Recovery);
    r.measures.outage = true;
    assert_eq!(of(&r), held(&format!("`{person}` confirmed")));
    r.measures.outage = false;
    r.checks.clear();
    let unseen = format!("`{person}` confirmed, and nothing was seen to change by it");
    assert_eq!(of(&r), unclear(&unseen));
    let confirm = |r: &mut Record, by: Option<&str>| {
        r.run.steps.iter_mut().find(|s| s.id == person).unwrap().confirmed = by.map(str::to_owned);
    };
    r.measures.outage = true;
    confirm(&mut r, Some("simulated (ann)"));
    assert_eq!(of(&r), absent(&format!("`{person}` was simulated")));
    confirm(&mut r, None);
    assert_eq!(of(&r), absent(&format!("`{person}` was not confirmed")));
}

#[test]
fn a_fault_counts_where_it_took_effect_and_did_what_was_expected() {
    let (mut r, mut plan) = exercised();
    let faults: Vec<StepId> =
        plan.steps.iter().filter(|s| s.stage == Stage::Fault).map(|s| s.id.clone()).collect();
    let n = r.run.steps.iter().filter(|s| faults.contains(&s.id)).map(|s| s.cells.len()).sum::<usize>();
    assert!(n > 0);
    let clients = |r: &Record| {
        let of = r.objectives.criteria.iter().filter(|c| c.part == "steady-state" && c.role == "client");
        of.map(|c| format!("`{}` ({})", c.name, c.probe)).collect::<Vec<_>>().join(", ")
    };
    for (survives, outage, challenge, redundancy) in [
        (false, true, held(&format!("{n} injected")), absent("the drill expects an outage")),
        (false, false, unclear("no client probe saw it"), absent("the drill expects an outage")),
        (true, true, held(&format!("{n} injected")), failed("a client saw an outage")),
        (
            true,
            false,
            held(&format!("{n} injected")),
            held(&format!(
                "no outage seen by {}, at a resolution of {} ms",
                clients(&r),
                r.measures.resolution_ms
            )),
        ),
    ] {
        use crate::drill::Impact::{Expected, NoneExpected};
        plan.drill.impact = if survives { NoneExpected } else { Expected };
        r.measures.outage = outage;
        let of = |c| shown(&r, Some(&plan), c);
        assert_eq!(of(C::SelfChallenge), challenge, "survives: {survives}, outage: {outage}");
        assert_eq!(of(C::Redundancy), redundancy, "survives: {survives}, outage: {outage}");
    }
    assert_eq!(shown(&r, None, C::SelfChallenge), absent("there is no plan"));
    // what only waits breaks nothing, nor does what breaks something where it is done to recover
    let mut other = plan.clone();
    for step in other.steps.iter_mut().filter(|s| s.stage == Stage::Fault) {
        step.action = Some("wait".to_owned());
    }
    assert_eq!(shown(&r, Some(&other), C::SelfChallenge), absent("no fault took effect"));
    let mut other = plan.clone();
    for step in other.steps.iter_mut().filter(|s| s.stage == Stage::Fault) {
        step.stage = Stage::Recovery;
    }
    assert_eq!(shown(&r, Some(&other), C::SelfChallenge), absent("no fault took effect"));
    // two targets, of which one was not reached
    let step = r.run.steps.iter_mut().find(|s| faults.contains(&s.id)).unwrap();
    let mut other = step.cells[0].clone();
    other.status = view::Status::Failed;
    step.cells.push(other);
    let part = unclear(&format!("{n} of {} faults took effect", n + 1));
    assert_eq!(shown(&r, Some(&plan), C::SelfChallenge), part);
    for step in r.run.steps.iter_mut().filter(|s| faults.contains(&s.id)) {
        step.cells.iter_mut().for_each(|c| c.status = view::Status::Started);
    }
    assert_eq!(shown(&r, Some(&plan), C::SelfChallenge), absent("no fault took effect"));
}

#[test]
fn a_sample_is_what_restores_were_drawn_from() {
    let (mut r, mut plan) = exercised();
    assert_eq!(shown(&r, None, C::Sample), absent("there is no plan"));
    let mut selection = r.scope.selections.first().expect("a selection").clone();
    selection.name = "orders".to_owned();
    (selection.matched, selection.population) = (2, 5);
    selection.drawn.truncate(1);
    assert_eq!(selection.drawn.len(), 1);
    r.scope.selections = vec![selection.clone()];
    r.scope.seed = Some(7);
    assert_eq!(shown(&r, Some(&plan), C::Sample), absent("no restore has targets"));
    let step = plan.steps.iter_mut().find(|s| s.stage == Stage::Recovery).unwrap();
    step.action = Some("rds.restore-to-point-in-time".to_owned());
    step.target = Some("orders".to_owned());
    assert_eq!(shown(&r, Some(&plan), C::Sample), held("1 of 2 matching, 5 there are, seed 7"));
    r.scope.selections[0].name = "other".to_owned();
    assert_eq!(shown(&r, Some(&plan), C::Sample), absent("no restore has targets"));
    r.scope.selections[0].name = "orders".to_owned();
    r.scope.selections[0].drawn.clear();
    assert_eq!(shown(&r, Some(&plan), C::Sample), absent("no restore has targets"));
}

#[test]
fn a_comparison_with_cloudtrail_is_told_by_its_standing() {
    let mut r = restored();
    assert_eq!(shown(&r, None, C::TrailCompared), absent("there was none"));
    for (told, wanted) in [
        (
            serde_json::json!({ "provisional_until": "2026-01-01T00:00:00Z" }),
            unclear("it is provisional; make it again"),
        ),
        (
            serde_json::json!({ "provisional_until": null, "holds": true }),
            unclear("it was made without CloudTrail's signed digests"),
        ),
        (serde_json::json!({ "holds": false }), failed("the calls differ")),
        (serde_json::json!({ "standing": "differs" }), failed("the calls differ")),
        (
            serde_json::json!({ "standing": "unclear" }),
            unclear("no whole chain of CloudTrail's signed digests vouches for it"),
        ),
    ] {
        r.integrity.reconciliation = Some(told.clone());
        assert_eq!(shown(&r, None, C::TrailCompared), wanted, "{told}");
    }
}
