//! Each way in which a run is not a pass, and the edge at which it becomes one.

use super::*;
use crate::engine::testing::{LOSS, plan_of};
use crate::model::EffectCertainty;

/// A run of this drill that came to its end: everything is done and put back, and the clients are well.
async fn ended(drill: &str) -> RunState {
    let mut state = RunState::new(plan_of(drill).await);
    for cell in state.cells.values_mut() {
        (cell.status, cell.settled) = (Status::Ready, true);
    }
    state.sent = true;
    state.steady_after = Some(true);
    state
}

/// An outage, and a recovery after a minute.
fn measured() -> Measured {
    Measured {
        outage: true,
        rta_ms: Some(60_000),
        judged_ms: Some(60_000),
        rto_ms: 900_000,
        ..Measured::default()
    }
}

fn stopped(mut state: RunState, cause: StopCause, detail: &str) -> RunState {
    state.stop = Some((cause, detail.to_owned()));
    state
}

/// Everything that was done on this step.
fn set(state: &mut RunState, step: &str, status: Status) {
    let mut found = 0;
    for ((id, _), cell) in &mut state.cells {
        if id.as_str() == step {
            cell.status = status;
            found += 1;
        }
    }
    assert!(found > 0, "no step {step}");
}

#[track_caller]
fn holds(state: &RunState, measured: &Measured, verdict: Verdict, reasons: &[&str]) {
    let judged = judge(state, measured);
    assert_eq!(
        (judged.verdict, judged.reasons),
        (verdict, reasons.iter().map(|r| (*r).to_owned()).collect())
    );
    assert_eq!(judged.exit_code, verdict.exit_code());
}

#[tokio::test(start_paused = true)]
async fn a_run_passes_within_its_rto_and_not_a_millisecond_later() {
    let state = ended(LOSS).await;
    let passed = "recovered in 1 min, within the RTO of 15 min; everything is clean";
    holds(&state, &measured(), Verdict::Passed, &[passed]);
    let at = |ms| Measured { judged_ms: Some(ms), ..measured() };
    assert_eq!(judge(&state, &at(900_000)).verdict, Verdict::Passed);
    let missed = "recovered in 15 min, later than the RTO of 15 min";
    holds(&state, &at(900_001), Verdict::ObjectiveMissed, &[missed]);
    let declared = Measured { judged_ms: Some(40_000), from_declaration_ms: Some(40_000), ..measured() };
    let passed = "recovered in 40 s since the declaration (1 min since the fault), within the RTO of 15 min; \
                  everything is clean";
    holds(&state, &declared, Verdict::Passed, &[passed]);
}

#[tokio::test(start_paused = true)]
async fn each_cause_of_a_stop_has_its_verdict_and_what_is_stuck_wins() {
    use StopCause as S;
    let unreadable = format!("{UNREADABLE}: `page`");
    for (cause, detail, verdict, exit_code) in [
        (S::StopCondition, "why", Verdict::Stopped, 13),
        (S::Signal, "why", Verdict::Stopped, 13),
        (S::Rollback, "why", Verdict::Stopped, 13),
        (S::StepFailed, "why", Verdict::Failed, 14),
        (S::GaveUp, "why", Verdict::NotRecovered, 11),
        (S::GaveUp, &unreadable, Verdict::Inconclusive, 15),
        (S::Unreadable, "whatever it says", Verdict::Inconclusive, 15),
        (S::NoImpact, "why", Verdict::NoImpact, 12),
        (S::NotSteady, "why", Verdict::NotSteady, 4),
        (S::Refused, "why", Verdict::Refused, 3),
        (S::Aws, "why", Verdict::Refused, 5),
    ] {
        let mut state = stopped(ended(LOSS).await, cause, detail);
        let judged = judge(&state, &measured());
        let told = if verdict == Verdict::Stopped { "stopped and rolled back: why" } else { detail };
        assert_eq!((judged.verdict, judged.exit_code), (verdict, exit_code), "{cause:?}");
        assert_eq!(judged.reasons, [told], "{cause:?}");
        // what refused a run before it began is not drowned by what it then left out
        state.skipped.push("replace: stopped".to_owned());
        let judged = judge(&state, &measured());
        let inconclusive = matches!(cause, S::NoImpact) || detail == unreadable;
        let wanted = if inconclusive { Verdict::Inconclusive } else { verdict };
        assert_eq!(judged.verdict, wanted, "{cause:?}");
        assert_eq!(judged.reasons.len(), 2);
        state.stuck.push("the table is not back".to_owned());
        let judged = judge(&state, &measured());
        assert_eq!((judged.verdict, judged.exit_code), (Verdict::Stuck, 20), "{cause:?}");
        assert_eq!(judged.reasons[0], "the table is not back", "the most important first");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_lost_and_not_mended_is_told_as_what_stopped_the_run() {
    for (cause, verdict, first) in [
        (StopCause::Signal, Verdict::Stopped, "stopped: why"),
        (StopCause::StepFailed, Verdict::Failed, "why"),
        (StopCause::GaveUp, Verdict::NotRecovered, "why"),
        (StopCause::NoImpact, Verdict::NoImpact, "why"),
    ] {
        let mut state = stopped(ended(LOSS).await, cause, "why");
        set(&mut state, "replace", Status::Skipped);
        let lost = "what step `terminate` broke is not mended";
        holds(&state, &measured(), verdict, &[first, lost]);
        // who is told so as stuck is not told twice
        state.stuck.push(format!("{lost}: look"));
        holds(
            &state,
            &measured(),
            Verdict::Stuck,
            &["what step `terminate` broke is not mended: look", first],
        );
        state.stuck = vec!["something else".to_owned()];
        holds(&state, &measured(), Verdict::Stuck, &["something else", first, lost]);
    }
    // of what is refused later the loss is the worst
    let mut state = stopped(ended(LOSS).await, StopCause::Refused, "why");
    set(&mut state, "replace", Status::Skipped);
    assert_eq!(judge(&state, &measured()).reasons.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_was_not_done_is_no_pass() {
    for (status, done) in [
        (Status::Idle, false),
        (Status::Prepared, false),
        (Status::Started, false),
        (Status::Applied, false),
        (Status::Failed(EffectCertainty::None), false),
        (Status::Ready, true),
        (Status::Skipped, true),
    ] {
        let mut state = ended(LOSS).await;
        set(&mut state, "restore", status);
        let verdict = if done { Verdict::Passed } else { Verdict::Inconclusive };
        let judged = judge(&state, &measured());
        assert_eq!(judged.verdict, verdict, "{status:?}");
        let target = &state.plan.targets["orders"].drawn[0].id;
        assert_eq!(judged.reasons.contains(&format!("not done: restore on {target}")), !done, "{status:?}");
    }
    let mut state = ended(LOSS).await;
    state.skipped.push("restore: no".to_owned());
    holds(&state, &measured(), Verdict::Inconclusive, &["skipped: restore: no"]);
}

#[tokio::test(start_paused = true)]
async fn a_restore_whose_copy_nothing_read_is_no_pass() {
    let why = "nothing read what `restore` restored";
    let verify = LOSS.split_once("verify:").unwrap().1.split_once("stop:").unwrap().0;
    for (what, drill) in [
        ("no verify", LOSS.replace(&format!("verify:{verify}"), "")),
        ("of the source", LOSS.replace("${steps.restore.identifier}", "shop-orders")),
        ("of the run", LOSS.replace("${steps.restore.identifier}", "${run.id}")),
        ("any answer", LOSS.replace("status: available", "status: \"*\"")),
        ("every answer", LOSS.replace("status: available", "status: [available, \"*\"]")),
    ] {
        assert_ne!(drill, LOSS, "{what}");
        let mut state = ended(&drill).await;
        holds(&state, &measured(), Verdict::Inconclusive, &[why]);
        let by_older = judge_by(Rules::V0_1_0, &state, &measured());
        assert_eq!(by_older.verdict, Verdict::Passed, "{what}: as version 0.1.0 judged it");
        // what was not restored need not be read
        set(&mut state, "restore", Status::Skipped);
        assert_eq!(judge(&state, &measured()).verdict, Verdict::Passed, "{what}");
    }
    // one that reads it is enough, among others that do not; a replacement is seen by the steady state
    for drill in [
        LOSS.to_owned(),
        LOSS.replace(
            "verify:\n",
            "verify:\n  - { name: page2, probe: tcp, with: { host: shop, port: 80 } }\n",
        ),
        LOSS.replace("status: available", "status: [available, backing-up]"),
    ] {
        assert_eq!(judge(&ended(&drill).await, &measured()).verdict, Verdict::Passed, "{drill}");
    }
}

/// Programs alone: no call shows that something was changed.
const PROGRAMS: &str = "version: 1
name: programs
title: Programs
service: shop
objectives: { rto: 15m }
limits: { accounts: [\"123456789012\"], regions: [us-east-1], max_targets: 1 }
targets: {}
steady_state: [{ name: page, probe: http, with: { url: \"http://127.0.0.1:8080/health\", status: 200 } }]
recovery: [{ action: command, id: program, with: { argv: [/bin/true] } }]
verify: [{ name: rows, probe: http, with: { url: \"http://127.0.0.1:8080/rows\", status: 200 } }]";

#[tokio::test(start_paused = true)]
async fn a_run_that_sent_nothing_did_nothing() {
    let mut state = ended(LOSS).await;
    state.sent = false;
    let nothing = "nothing was broken and nothing recovered: no step had anything to do";
    holds(&state, &measured(), Verdict::NoImpact, &[nothing]);
}

#[tokio::test(start_paused = true)]
async fn of_programs_somebody_must_have_seen_that_they_did_something() {
    let unseen = "nothing was seen to change: no probe answered differently while the programs worked";
    let quiet = || Measured { outage: false, ..measured() };
    let verdict = |state: &RunState, measured: &Measured| judge(state, measured).verdict;
    let no_verify = PROGRAMS.split("\nverify").next().unwrap();
    let mut state = ended(no_verify).await;
    state.sent = false;
    holds(&state, &quiet(), Verdict::NoImpact, &[unseen]);
    assert_eq!(verdict(&state, &measured()), Verdict::Passed, "an outage");
    assert_eq!(verdict(&state, &Measured { capacity_ms: Some(1), ..quiet() }), Verdict::Passed);
    assert_eq!(verdict(&state, &Measured { capacity_lost: true, ..quiet() }), Verdict::Passed);
    state.turned = true;
    assert_eq!(verdict(&state, &quiet()), Verdict::Passed, "a probe answered differently");
    (state.turned, state.sent) = (false, true);
    assert_eq!(verdict(&state, &quiet()), Verdict::Passed, "a call was sent");
    // a verify probe that was never seen otherwise shows nothing; a person says so under their name
    for (drill, wanted) in [
        (PROGRAMS.to_owned(), Verdict::NoImpact),
        (PROGRAMS.replace("rows\", status: 200", "rows\", status: \"*\""), Verdict::NoImpact),
        (
            PROGRAMS
                .replace("recovery:", "fault:")
                .replace("verify:", "recovery: [{ action: wait, id: pause, with: { for: 1s } }]\nverify:"),
            Verdict::NoImpact,
        ),
        (
            PROGRAMS.replace(
                "action: command, id: program, with: { argv: [/bin/true] }",
                "manual: Do it, id: person",
            ),
            Verdict::Passed,
        ),
        (
            no_verify.replace(
                "action: command, id: program, with: { argv: [/bin/true] }",
                "manual: Do it, id: person",
            ),
            Verdict::Passed,
        ),
    ] {
        let mut state = ended(&drill).await;
        (state.sent, state.person) = (false, drill.contains("manual"));
        assert_eq!(verdict(&state, &quiet()), wanted, "{drill}");
        let told = judge(&state, &quiet()).reasons.iter().any(|r| r == unseen);
        assert_eq!(told, wanted == Verdict::NoImpact, "{drill}");
        // nobody confirmed it
        state.person = false;
        assert_eq!(verdict(&state, &quiet()), Verdict::NoImpact, "{drill}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_fault_that_no_client_probe_saw_is_no_impact() {
    let quiet = Measured { outage: false, ..measured() };
    holds(&ended(LOSS).await, &quiet, Verdict::NoImpact, &["no probe saw the fault"]);
    for (drill, why) in [
        (LOSS.replace("\nsettle", "\nimpact: none-expected\nsettle"), "none is expected"),
        (
            LOSS.replace("hold: 10s }", "hold: 10s, role: capacity }")
                .replace("hold: 6s }", "hold: 6s, role: capacity }"),
            "no client watched",
        ),
        (
            LOSS.replace("fault: [{ action: ec2.terminate-instances, target: web, id: terminate }]\n", "")
                .replace("  - { action: ec2.launch-replacement, target: web, id: replace }\n", ""),
            "there is no fault",
        ),
    ] {
        assert_eq!(judge(&ended(&drill).await, &quiet).verdict, Verdict::Passed, "{why}");
    }
}

#[tokio::test(start_paused = true)]
async fn that_no_client_felt_it_says_no_probe_that_any_answer_satisfies() {
    let quiet =
        Measured { outage: false, rta_ms: None, judged_ms: None, capacity_ms: Some(1_000), ..measured() };
    let survived = LOSS.replace("\nsettle", "\nimpact: none-expected\nsettle");
    let any = "any answer satisfies each client probe, so nobody knows what clients felt";
    let weak = survived.replace("status: 200", "status: \"*\"");
    assert_ne!(weak, survived);
    holds(&ended(&weak).await, &quiet, Verdict::Inconclusive, &[any]);
    // one that could fail is enough
    let one = survived.replacen("status: 200", "status: \"*\"", 1);
    assert_eq!(judge(&ended(&one).await, &quiet).verdict, Verdict::Passed, "{one}");
}

#[tokio::test(start_paused = true)]
async fn who_interrupts_the_last_look_gets_no_pass() {
    for (signals, looked, verdict) in [
        (2, None, Verdict::Inconclusive),
        (3, None, Verdict::Inconclusive),
        (1, None, Verdict::Passed),
        (2, Some(true), Verdict::Passed),
    ] {
        let mut state = ended(LOSS).await;
        (state.signals, state.steady_after) = (signals, looked);
        assert_eq!(judge(&state, &measured()).verdict, verdict, "{signals} {looked:?}");
        // without a client there is nothing to look at
        let no_client = LOSS.replace("hold: 10s }", "hold: 10s, role: capacity }");
        let mut state = ended(&no_client.replace("hold: 6s }", "hold: 6s, role: capacity }")).await;
        (state.signals, state.steady_after) = (signals, looked);
        assert_eq!(judge(&state, &measured()).verdict, Verdict::Passed, "{signals} {looked:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_interrupts_the_last_look_of_a_stopped_run_is_told_that_nobody_looked() {
    let text = "interrupted before anybody looked whether the steady state holds after the clean-up";
    for (signals, looked, sent, said) in
        [(2, None, true, true), (1, None, true, false), (2, Some(true), true, false), (2, None, false, false)]
    {
        let mut state = stopped(ended(LOSS).await, StopCause::Rollback, "redrill rollback");
        (state.signals, state.steady_after, state.sent) = (signals, looked, sent);
        let judged = judge(&state, &measured());
        assert_eq!(judged.verdict, Verdict::Stopped);
        assert_eq!(
            judged.reasons.iter().any(|r| r == text),
            said,
            "{signals} {looked:?}: {:?}",
            judged.reasons
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_recovery_time_that_is_not_known_is_no_pass() {
    let unknown = Measured { rta_ms: None, judged_ms: None, ..measured() };
    let text = "the recovery time could not be measured";
    holds(&ended(LOSS).await, &unknown, Verdict::Inconclusive, &[text]);
    let undeclared = Measured { judged_ms: None, ..measured() };
    holds(&ended(LOSS).await, &undeclared, Verdict::Inconclusive, &[text]);
    let declaration = LOSS.replace("rto: 15m,", "rto: 15m, rto_clock: declaration,");
    let why = "the RTO runs from the declaration, and nobody declared before the recovery (redrill mark RUN declare)";
    holds(&ended(&declaration).await, &undeclared, Verdict::Inconclusive, &[why]);
    holds(&ended(&declaration).await, &unknown, Verdict::Inconclusive, &[text]);
}

#[tokio::test(start_paused = true)]
async fn where_no_outage_is_expected_capacity_and_readable_clients_decide() {
    let survives = LOSS.replace("\nsettle", "\nimpact: none-expected\nsettle");
    let base =
        Measured { outage: false, rta_ms: None, judged_ms: None, rto_ms: 900_000, ..Measured::default() };
    let back = |ms| Measured { capacity_ms: Some(ms), ..base.clone() };
    let state = ended(&survives).await;
    holds(&state, &back(900_000), Verdict::Passed, &["no client outage; everything is clean"]);
    let late = "capacity was back after 15 min, later than the RTO of 15 min";
    holds(&state, &back(900_001), Verdict::ObjectiveMissed, &[late]);
    let lost = Measured { capacity_lost: true, ..base.clone() };
    holds(&state, &lost, Verdict::NotRecovered, &["capacity was not back at the end of the recovery"]);
    let unseen = "no probe saw the fault: capacity did not drop either";
    holds(&state, &base, Verdict::NoImpact, &[unseen]);
    // an outage all the same is measured like any other, and is what the drill said there would not be
    let outage = Measured { outage: true, ..back(1) };
    let said = "clients saw an outage, and the drill expects none (`impact: none-expected`)";
    let reasons = [said, "the recovery time could not be measured"];
    holds(&state, &outage, Verdict::ObjectiveMissed, &reasons);
    let mut blind = ended(&survives).await;
    blind.blind = true;
    let why = "a probe that decides could not be read after the fault, so nobody knows what clients felt";
    holds(&blind, &back(1), Verdict::Inconclusive, &[why]);
    let no_client = survives.replace("hold: 10s }", "hold: 10s, role: capacity }");
    let no_client = ended(&no_client.replace("hold: 6s }", "hold: 6s, role: capacity }")).await;
    holds(&no_client, &back(1), Verdict::Inconclusive, &["no client probe was watching"]);
    // without a capacity probe a drop is not waited for
    let clients: String =
        survives.lines().filter(|l| !l.contains("role: capacity")).map(|l| format!("{l}\n")).collect();
    assert_eq!(judge(&ended(&clients).await, &base).verdict, Verdict::Passed);
    // what is measured is not judged by the drill's expectation
    assert_eq!(
        judge(&ended(LOSS).await, &Measured { outage: false, ..back(1) }).verdict,
        Verdict::Inconclusive
    );
}

#[test]
fn a_version_that_nobody_released_has_no_rules() {
    assert_eq!(Rules::of(env!("CARGO_PKG_VERSION")), Some(Rules::Own));
    assert_eq!(Rules::of("0.1.0"), Some(Rules::V0_1_0));
    assert_eq!(Rules::of("0.1.1"), None);
}

/// What version 0.1.0 did not ask is not asked of its runs: they are judged as they were then.
#[tokio::test(start_paused = true)]
async fn the_released_version_judges_as_it_did() {
    let none = |rules, state: &RunState, measured: &Measured| judge_by(rules, state, measured).verdict;
    // capacity that never dropped: without a fault it was no matter then
    let survives = LOSS.replace("\nsettle", "\nimpact: none-expected\nsettle");
    let quiet =
        Measured { outage: false, rta_ms: None, judged_ms: None, rto_ms: 900_000, ..Measured::default() };
    let mut state = ended(&survives).await;
    assert_eq!(none(Rules::V0_1_0, &state, &quiet), Verdict::NoImpact, "there is a fault");
    let mut plan = (*state.plan).clone();
    plan.steps.retain(|s| s.stage != Stage::Fault);
    state.plan = plan.into();
    let said = |rules| judge_by(rules, &state, &quiet).reasons;
    let unseen = "no probe saw the fault: capacity did not drop either".to_owned();
    assert!(said(Rules::Own).contains(&unseen) && !said(Rules::V0_1_0).contains(&unseen));
    // a restore that nothing read was no matter either
    let unread = ended(&LOSS.replace("${steps.restore.identifier}", "shop-orders")).await;
    let why = "nothing read what `restore` restored".to_owned();
    assert!(judge_by(Rules::Own, &unread, &measured()).reasons.contains(&why));
    assert!(!judge_by(Rules::V0_1_0, &unread, &measured()).reasons.contains(&why));
}

#[tokio::test(start_paused = true)]
async fn an_outage_in_the_clean_up_is_no_survival_and_is_told_beside_a_recovery() {
    let survives = LOSS.replace("title: Loss\n", "title: Loss\nimpact: none-expected\n");
    assert_ne!(survives, LOSS);
    let state = ended(&survives).await;
    let quiet = Measured { rto_ms: 900_000, capacity_ms: Some(1), ..Measured::default() };
    assert_eq!(judge(&state, &quiet).verdict, Verdict::Passed, "{:?}", judge(&state, &quiet));
    let late = Measured { outage_in_clean_up: true, ..quiet };
    let told = "clients saw an outage in the clean-up, so the service did not live through all of the fault";
    holds(&state, &late, Verdict::Inconclusive, &[told]);
    assert_eq!(judge_by(Rules::V0_1_0, &state, &late).verdict, Verdict::Passed, "as it was judged");
    // a recovery was measured before it
    let again = Measured { outage_in_clean_up: true, ..measured() };
    let passed = "recovered in 1 min, within the RTO of 15 min; everything is clean; clients saw an outage again in the \
                  clean-up";
    holds(&ended(LOSS).await, &again, Verdict::Passed, &[passed]);
}

#[tokio::test(start_paused = true)]
async fn an_objective_for_detection_is_one() {
    let drill = LOSS.replace("rto: 15m", "rto: 15m, detect: 10s");
    assert_ne!(drill, LOSS);
    let state = ended(&drill).await;
    let after = |ms: i64| {
        let at = |ms| chrono::DateTime::from_timestamp_millis(1_700_000_000_000 + ms).unwrap();
        let marks = [("t0".to_owned(), at(0)), ("t1".to_owned(), at(ms))].into();
        Measured { marks, ..measured() }
    };
    assert_eq!(judge(&state, &after(10_000)).verdict, Verdict::Passed);
    let told = "detected after 10.001 s, later than the objective of 10 s";
    holds(&state, &after(10_001), Verdict::ObjectiveMissed, &[told]);
    assert_eq!(judge(&state, &measured()).verdict, Verdict::Passed, "nobody said when: it is not tested");
    assert_eq!(judge(&ended(LOSS).await, &after(10_001)).verdict, Verdict::Passed, "the drill does not ask");
    assert_eq!(judge_by(Rules::V0_1_0, &state, &after(10_001)).verdict, Verdict::Passed);
}

#[tokio::test(start_paused = true)]
async fn a_time_that_is_known_only_to_within_the_rto_decides_nothing() {
    let state = ended(LOSS).await;
    let wider = |ms: i64| Measured { rta_high_ms: Some(60_000 + ms), ..measured() };
    assert_eq!(judge(&state, &wider(840_000)).verdict, Verdict::Passed);
    let judged = judge(&state, &wider(840_001));
    assert_eq!(judged.verdict, Verdict::Inconclusive, "{:?}", judged.reasons);
    assert!(
        judged.reasons[0].starts_with("recovered in 1 min, but by the clocks it may be 15 min"),
        "{judged:?}"
    );
    let missed = Measured { judged_ms: Some(900_001), ..wider(840_001) };
    assert_eq!(judge(&state, &missed).verdict, Verdict::ObjectiveMissed);
    assert_eq!(judge_by(Rules::V0_1_0, &state, &wider(840_001)).verdict, Verdict::Passed);
}

#[tokio::test(start_paused = true)]
async fn what_only_a_later_process_saw_healthy_again_is_no_pass() {
    let mut state = ended(LOSS).await;
    state.steady_lost = true;
    holds(&state, &measured(), Verdict::Inconclusive, &[RETURNED_LATER]);
    // version 0.1.0 called it passed, and what it stopped it still calls stopped
    assert_eq!(judge_by(Rules::V0_1_0, &state, &measured()).verdict, Verdict::Passed);
    let said = ["stopped and rolled back: ctrl-c", RETURNED_LATER];
    holds(&stopped(state, StopCause::Signal, "ctrl-c"), &measured(), Verdict::Stopped, &said);
    // while nobody has, it is stuck for that, and says so itself
    let mut state = ended(LOSS).await;
    (state.steady_lost, state.steady_after) = (true, Some(false));
    state.stuck.push("down".to_owned());
    holds(&state, &measured(), Verdict::Stuck, &["down"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_stuck_is_not_called_rolled_back() {
    let mut state = stopped(ended(LOSS).await, StopCause::Signal, "ctrl-c");
    state.stuck.push("the subnet is elsewhere".to_owned());
    holds(&state, &measured(), Verdict::Stuck, &["the subnet is elsewhere", "stopped: ctrl-c"]);
    let then = judge_by(Rules::V0_1_0, &state, &measured());
    assert!(then.reasons.contains(&"stopped and rolled back: ctrl-c".to_owned()), "{:?}", then.reasons);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_should_survive_and_did_not_has_missed_that() {
    let none = LOSS.replace("allow_irreversible: true", "allow_irreversible: true\nimpact: none-expected");
    let state = ended(&none).await;
    let said = "clients saw an outage, and the drill expects none (`impact: none-expected`)";
    holds(&state, &measured(), Verdict::ObjectiveMissed, &[said]);
    let then = judge_by(Rules::V0_1_0, &state, &measured());
    assert_eq!(then.verdict, Verdict::Passed);
    // where one is expected, it is what the drill is for
    holds(
        &ended(LOSS).await,
        &measured(),
        Verdict::Passed,
        &["recovered in 1 min, within the RTO of 15 min; everything is clean"],
    );
}
