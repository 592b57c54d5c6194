//! Tests of the view: folds of made-up journals.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use serde_json::json;

use super::*;
use crate::journal::{Mode, Phase, PhaseTime, StopCause};
use crate::model::{CallError, EffectCertainty, EndpointProof, Health, RunId, Stamp};

mod story;

fn stamp(ms: i64) -> Stamp {
    let at = DateTime::from_timestamp(1_700_000_000, 0).unwrap() + TimeDelta::milliseconds(ms);
    Stamp { at, mono_ms: ms as u64 }
}

/// A small run: a database is restored, with names that try to break out of a report.
pub(crate) fn example(world: World) -> Vec<Line> {
    let step = StepId::new("restore");
    let target = Some("orders|db\u{1b}[31m".to_owned());
    let seen = |ms, health, seen: &str| {
        let (sent, answered) = (stamp(ms), stamp(ms + 100));
        Event::Observed {
            probe: "checkout".into(),
            health,
            seen: seen.into(),
            sent,
            answered,
            source_at: None,
        }
    };
    let mark = |name: &str, ms| (name.to_owned(), stamp(ms).at);
    let phase = |from: &str, to: &str, ms| PhaseTime { from: from.into(), to: to.into(), ms };
    let measured = Measured {
        marks: [mark("t0", 4_000), mark("t4", 10_000), mark("t5", 1_310_000), mark("t7", 1_310_100)].into(),
        rta_ms: Some(1_306_100),
        rta_low_ms: Some(1_304_000),
        rta_high_ms: Some(1_306_100),
        rto_ms: 14_400_000,
        judged_ms: Some(1_306_100),
        phases: vec![phase("t0", "t4", 6_000), phase("t4", "t5", 1_300_000), phase("t5", "t7", 100)],
        outage: true,
        resolution_ms: 1_000,
        notes: vec!["T1 (detected): not measured".into()],
        ..Measured::default()
    };
    let call = |call, operation: &str, phase| Event::CallSent {
        call,
        step: Some(step.clone()),
        phase,
        operation: operation.into(),
        params: json!({}),
        attempt: 1,
    };
    let error = CallError {
        kind: "throttled".into(),
        code: Some("Throttling".into()),
        message: "rate\nexceeded".into(),
        effect: EffectCertainty::None,
    };
    let ready = Event::StepReady {
        step: step.clone(),
        target: target.clone(),
        outputs: [("endpoint".to_owned(), "db.local".to_owned())].into(),
        notes: vec!["single zone".into()],
    };
    let mut events = vec![
        (
            0,
            Event::Header {
                format: 1,
                redrill: "0.1.0".into(),
                run: RunId::from_existing("20231114T221320Z-rds-restore-aaaaaa"),
                drill: "rds-restore".into(),
                title: "Restore *orders* to a point in time".into(),
                plan_sha256: "ab".repeat(32),
                world,
                account: "123456789012".into(),
                caller: "arn:aws:sts::123456789012:assumed-role/drill/ann".into(),
                region: "eu-west-1".into(),
                rto_ms: 14_400_000,
                give_up_ms: 28_800_000,
                chain: None,
            },
        ),
        (
            1,
            Event::Attached {
                mode: Mode::Run,
                pid: 7,
                host: "box".into(),
                user: "ann".into(),
                redrill: "0.1.0".into(),
                boot: None,
            },
        ),
        (2, Event::Stage { stage: Stage::Preflight }),
        (
            3,
            Event::Found {
                finding: json!({"severity": "warning", "subject": "orders", "text": "no backup <b>window</b>", "hint": "set one"}),
            },
        ),
        (1_100, seen(1_000, Health::Healthy, "200 in 12 ms")),
        (4_000, Event::Stage { stage: Stage::Recovery }),
        (5_100, seen(5_000, Health::Unhealthy, "503")),
        (9_000, Event::Holding { targets: vec!["orders".into()] }),
        (9_100, Event::StepPrepared { step: step.clone(), target: target.clone(), undo: json!({}) }),
        (9_200, Event::StepStarted { step: step.clone(), targets: vec![target.clone()] }),
        (9_300, call(1, "rds:RestoreDBInstanceToPointInTime", Phase::Apply)),
        (9_400, Event::CallAnswered { call: 1, request_id: None, outcome: None, error: Some(error) }),
        (9_500, call(2, "rds:RestoreDBInstanceToPointInTime", Phase::Apply)),
        (9_900, Event::CallAnswered { call: 2, request_id: Some("r-2".into()), outcome: None, error: None }),
        (
            10_000,
            Event::StepApplied {
                step: step.clone(),
                target: target.clone(),
                outputs: BTreeMap::new(),
                notes: vec![],
            },
        ),
        (
            65_000,
            Event::Unchanged {
                probe: "checkout".into(),
                health: Health::Unhealthy,
                count: 60,
                last_sent: stamp(64_900),
                last_answered: stamp(65_000),
            },
        ),
        (70_000, Event::StepProgress { step: step.clone(), target: target.clone(), note: "creating".into() }),
        (1_310_000, ready),
        (1_310_100, seen(1_310_000, Health::Healthy, "200")),
        (1_370_200, Event::Steady { since: stamp(1_310_100).at }),
        (1_370_300, Event::Stage { stage: Stage::Undo }),
        (1_380_000, Event::UndoStarted { step: step.clone(), target: target.clone() }),
        (1_390_000, Event::UndoDone { step, target, how: "removed".into(), proof: "not found".into() }),
        (1_390_100, Event::Released { targets: vec!["orders".into()] }),
        (1_390_200, Event::Cleaned { until: None }),
        (1_390_300, Event::Unknown(json!({"type": "from-the-future"}))),
        (
            1_400_000,
            Event::Finished {
                verdict: Verdict::Passed,
                exit_code: 0,
                reasons: vec!["recovered in 21 min 46 s, within the RTO of 4 h; everything is clean".into()],
                measured: Box::new(measured),
            },
        ),
    ];
    if world == World::Aws {
        events.insert(2, (1, Event::Endpoint { proof: EndpointProof::public() }));
    }
    (0..)
        .zip(events)
        .map(|(seq, (ms, event))| Line { seq, prev: String::new(), stamp: stamp(ms), event })
        .collect()
}

#[test]
fn the_view_tells_what_the_journal_says() {
    let view = RunView::of(&example(World::Sim));
    assert_eq!((view.verdict, view.exit_code), (Some(Verdict::Passed), Some(0)));
    assert_eq!(view.stages.len(), 3);
    assert_eq!(view.stages[0].to, Some(view.stages[1].from));
    assert_eq!(view.stages[2].to, view.finished_at);
    assert_eq!(view.held, Vec::<String>::new());
    let cell = &view.steps[0].cells[0];
    assert_eq!((view.steps[0].stage, cell.status), (Some(Stage::Recovery), Status::Ready));
    assert_eq!(cell.outputs["endpoint"], "db.local");
    assert_eq!((cell.notes.len(), cell.progress.as_deref()), (1, None));
    assert!(matches!(&cell.ending, Some(Ending::Undone { how, .. }) if how == "removed"));
    let strip: Vec<_> = view.probes[0].segments.iter().map(|s| (s.health, s.observations)).collect();
    assert_eq!(strip, [(Health::Healthy, 1), (Health::Unhealthy, 61), (Health::Healthy, 1)]);
    assert_eq!((view.calls.len(), view.failed_calls()), (2, 1));
    assert_eq!(view.calls[1].request_id.as_deref(), Some("r-2"));
    assert_eq!(view.unknown.len(), 1);
    assert!(view.moments.iter().any(|m| m.what == "rds:RestoreDBInstanceToPointInTime failed: Throttling"));
}

#[test]
fn the_view_of_an_unfinished_run_has_no_verdict() {
    let lines = example(World::Aws);
    for n in 0..lines.len() {
        let view = RunView::of(&lines[..n]);
        assert_eq!((view.verdict, view.finished_at, view.lines), (None, None, n as u64));
    }
    let held = RunView::of(&lines[..11]);
    assert_eq!(held.held, ["orders"]);
    assert_eq!(held.steps[0].cells[0].status, Status::Started);
}

#[test]
fn what_went_wrong_at_the_end_is_kept_apart() {
    let mut lines = example(World::Aws);
    lines.truncate(19);
    let (step, target) = (StepId::new("restore"), None);
    let mut push = |event| lines.push(Line { seq: 0, prev: String::new(), stamp: stamp(2_000_000), event });
    push(Event::stop(StopCause::Signal, "interrupted"));
    push(Event::stop(StopCause::GaveUp, "later"));
    push(Event::UndoFailed {
        step: step.clone(),
        target: target.clone(),
        error: "denied".into(),
        attempt: 2,
    });
    push(Event::Stuck { step: Some(step.clone()), target, error: "denied".into(), hint: "delete it".into() });
    push(Event::LeftInPlace {
        step: step.clone(),
        target: Some("b".into()),
        why: "asked to".into(),
        by: None,
    });
    push(Event::Kept { step, target: Some("c".into()), proof: "tagged".into() });
    let view = RunView::of(&lines);
    assert_eq!(view.stop.as_ref().unwrap().cause, StopCause::Signal, "the first cause counts");
    assert_eq!(view.stuck.len(), 1);
    assert_eq!(
        view.left_in_place().collect::<Vec<_>>(),
        [(&StepId::new("restore"), Some("b"), "asked to, if it took effect")]
    );
    assert_eq!(view.kept().count(), 1);
}

#[test]
fn every_process_that_works_on_a_run_has_to_have_reached_aws_itself() {
    let lines = example(World::Aws);
    let doubt = |lines: &[Line]| RunView::of(lines).endpoint_doubt();
    assert_eq!(doubt(&lines), None);
    assert_eq!(RunView::of(&example(World::Emulator)).endpoint_doubt(), None);
    let not_recorded = Some(endpoint::NOT_RECORDED.to_owned());
    let without: Vec<Line> =
        lines.iter().filter(|l| !matches!(l.event, Event::Endpoint { .. })).cloned().collect();
    assert_eq!(doubt(&without), not_recorded, "as older versions wrote it");
    // a second process, whose way was another
    let again = |mode, proof: Option<EndpointProof>| {
        let mut all = lines.clone();
        let mut push = |event| all.push(Line { event, ..lines[1].clone() });
        let (host, user, redrill) = ("box".into(), "ann".into(), "0.1.0".into());
        push(Event::Attached { mode, pid: 8, host, user, redrill, boot: None });
        if let Some(proof) = proof {
            push(Event::Endpoint { proof });
        }
        doubt(&all)
    };
    let proxied = EndpointProof { proxy: Some("http://p:1".into()), ..EndpointProof::public() };
    assert_eq!(again(Mode::Rollback, Some(EndpointProof::public())), None);
    assert_eq!(again(Mode::Resume, Some(proxied.clone())), proxied.doubt());
    assert_eq!(again(Mode::Resume, None), not_recorded);
    assert_eq!(again(Mode::Tell, None), None, "whoever only tells a run something calls nobody");
}
