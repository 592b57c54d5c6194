//! One run in which much goes wrong: what is told of it in words, and what is kept of it.

use super::*;
use crate::journal::Mark;
use crate::model::{ProgramEnd, ProgramId};

fn error(code: Option<&str>) -> CallError {
    let code = code.map(str::to_owned);
    CallError { kind: "denied".into(), code, message: "no".into(), effect: EffectCertainty::None }
}

fn seen(probe: &str, health: Health, seen: &str, ms: i64) -> Event {
    let (probe, seen) = (probe.to_owned(), seen.to_owned());
    Event::Observed { probe, health, seen, sent: stamp(ms), answered: stamp(ms), source_at: None }
}

fn unchanged(probe: &str, health: Health, count: u64, ms: i64) -> Event {
    let (last_sent, last_answered) = (stamp(ms), stamp(ms));
    Event::Unchanged { probe: probe.to_owned(), health, count, last_sent, last_answered }
}

fn attached(mode: Mode) -> Event {
    let (host, user, redrill) = ("box".into(), "ann".into(), "0.2.0".into());
    Event::Attached { mode, pid: 7, host, user, redrill, boot: None }
}

fn sent(call: u64, phase: Phase, attempt: u32) -> Event {
    let (step, operation) = (Some(StepId::new("break")), "ec2:Stop".to_owned());
    Event::CallSent { call, step, phase, operation, params: json!({}), attempt }
}

fn answered(call: u64, error: Option<CallError>) -> Event {
    Event::CallAnswered { call, request_id: Some(format!("r-{call}")), outcome: None, error }
}

fn mark(mark: Mark, note: &str) -> Event {
    Event::Marked { mark, at: stamp(-5_000).at, by: "ann".into(), note: note.into(), request: None }
}

fn confirmed(step: &str, note: &str, simulated: bool) -> Event {
    Event::Confirmed {
        step: StepId::new(step),
        by: "ann".into(),
        note: note.into(),
        simulated,
        request: None,
    }
}

fn approval() -> Approved {
    Approved {
        by: "eve".into(),
        key: "SHA256:x".into(),
        at: stamp(-60_000).at,
        expires: stamp(60_000).at,
        same_user: false,
        same_machine: false,
        note: String::new(),
        listed: true,
        made_as: String::new(),
    }
}

fn targets(names: &[&str]) -> Vec<Option<String>> {
    names.iter().map(|n| Some((*n).to_owned())).collect()
}

/// What happens, and what is told of it (nothing where that is empty).
fn story() -> Vec<(Event, &'static str)> {
    let step = |id: &str| StepId::new(id);
    let t = |name: &str| Some(name.to_owned());
    let started = |id: &str, names: &[&str]| Event::StepStarted { step: step(id), targets: targets(names) };
    let (why, text, note) = ("no use".to_owned(), "pull the plug".to_owned(), "half".to_owned());
    let undone = |id: &str, how: &str| Event::UndoDone {
        step: step(id),
        target: t("a"),
        how: how.into(),
        proof: "seen".into(),
    };
    let failed = |effect| Event::StepFailed {
        step: step("break"),
        target: t("b"),
        error: "refused".into(),
        effect,
        hint: Some("ask".into()),
    };
    let finished = |rta_ms| Event::Finished {
        verdict: Verdict::Stuck,
        exit_code: 20,
        reasons: vec!["what step `break` broke is not mended".into()],
        measured: Box::new(Measured { rta_ms, ..Measured::default() }),
    };
    vec![
        (attached(Mode::Run), ""),
        (Event::Endpoint { proof: EndpointProof::public() }, ""),
        (Event::Skew { ms: -250 }, ""),
        (Event::Approved { approval: approval() }, ""),
        (Event::Found { finding: json!({ "subject": "web" }) }, ""),
        (Event::PreflightPassed {}, ""),
        (Event::Stage { stage: Stage::Fault }, "stage: fault"),
        (Event::Holding { targets: vec!["a".into(), "b".into()] }, ""),
        (Event::Held { targets: vec!["a".into(), "b".into()] }, ""),
        (Event::StepPrepared { step: step("break"), target: t("a"), undo: json!(1) }, ""),
        (started("break", &["a", "b", "c"]), "break started on a, b, c"),
        (started("pause", &[]), "pause started"),
        (Event::StepStarted { step: step("pause"), targets: vec![None] }, "pause started"),
        (started("many", &["a", "b", "c", "d"]), "many started on 4 targets"),
        (sent(1, Phase::Apply, 1), "ec2:Stop sent"),
        (answered(1, Some(error(Some("AccessDenied")))), "ec2:Stop failed: AccessDenied"),
        (sent(2, Phase::Apply, 2), "ec2:Stop sent (attempt 2)"),
        (answered(2, None), ""),
        (sent(3, Phase::Undo, 1), ""),
        (answered(3, Some(error(None))), "ec2:Stop failed: denied"),
        (answered(9, Some(error(None))), "call failed: denied"),
        (
            Event::ReadRetried { operation: "ec2:List".into(), attempt: 1, error: error(None) },
            "ec2:List failed: denied; sent again (attempt 2)",
        ),
        (
            Event::StepApplied {
                step: step("break"),
                target: t("a"),
                outputs: [("id".to_owned(), "x".to_owned())].into(),
                notes: vec!["one".into()],
            },
            "break accepted on a",
        ),
        (failed(EffectCertainty::Unknown), "break failed on b: refused"),
        (Event::StepProgress { step: step("break"), target: t("a"), note }, "break on a: half"),
        (Event::StepSkipped { step: step("late"), why: why.clone() }, "late skipped: no use"),
        (
            Event::Waiting { step: step("person"), text: text.clone() },
            "person waits for a person: pull the plug",
        ),
        (confirmed("person", "done", false), "person confirmed by ann"),
        (Event::Waiting { step: step("robot"), text }, "robot waits for a person: pull the plug"),
        (confirmed("robot", "", true), "robot confirmed by ann (simulated)"),
        (mark(Mark::Detected, ""), "detected by ann"),
        (mark(Mark::Ack, "pager"), "acknowledged by ann: pager"),
        (mark(Mark::Declare, ""), "disaster declared by ann"),
        (mark(Mark::Note, "hm"), "note by ann: hm"),
        (
            Event::RequestUnused {
                what: "declare".into(),
                by: "bob".into(),
                note: String::new(),
                why: "it was over".into(),
                request: None,
            },
            "declare by bob not used: it was over",
        ),
        (seen("page", Health::Healthy, "200", 100), "page: healthy (200)"),
        (unchanged("page", Health::Healthy, 59, 59_000), ""),
        (seen("page", Health::Healthy, "200 again", 60_000), ""),
        (seen("api", Health::Unknown, "", 60_000), "api: could not be read"),
        (seen("page", Health::Unhealthy, "503", 61_000), "page: unhealthy (503)"),
        (unchanged("rows", Health::Healthy, 2, 62_000), ""),
        (
            Event::ObservationsLost { count: 3 },
            "3 lines about observations could not be recorded in time, and are lost",
        ),
        (Event::Stage { stage: Stage::Recovery }, "stage: recovery"),
        (started("mend", &["a"]), "mend started on a"),
        (
            Event::StepReady {
                step: step("mend"),
                target: t("a"),
                outputs: [("id".to_owned(), "y".to_owned())].into(),
                notes: vec!["two".into()],
            },
            "mend ready on a",
        ),
        (Event::Steady { since: stamp(61_000).at }, "the steady state was met and held"),
        (Event::stop(StopCause::Signal, "Ctrl-C"), "stopping: Ctrl-C"),
        (Event::Signal { count: 1, now: None }, "signal 1"),
        (Event::Signal { count: 2, now: Some("only undo".into()) }, "signal 2: only undo"),
        (attached(Mode::Resume), "resumed by ann@box"),
        (attached(Mode::Tell), "told by ann@box, while no process was running"),
        (attached(Mode::Rollback), "rollback by ann@box"),
        (Event::Stage { stage: Stage::Undo }, "stage: undo"),
        (Event::UndoStarted { step: step("break"), target: t("b") }, ""),
        (
            Event::UndoFailed { step: step("break"), target: t("b"), error: "denied".into(), attempt: 3 },
            "undo of break on b failed: denied",
        ),
        (Event::UndoStarted { step: step("break"), target: t("c") }, ""),
        (undone("mend", "removed"), "mend on a taken back"),
        (undone("mend", "already"), "mend on a nothing found to take back; this attempt changed nothing"),
        (undone("mend", "nothing"), "mend on a nothing to take back"),
        (undone("break", "already"), "break on a found in place; this attempt changed nothing"),
        (undone("break", "nothing"), "break on a nothing to put back"),
        (undone("break", "started"), "break on a put back"),
        (
            Event::Kept { step: step("many"), target: t("a"), proof: "tagged".into() },
            "result of many on a kept",
        ),
        (
            Event::LeftInPlace {
                step: step("many"),
                target: t("b"),
                why: why.clone(),
                by: Some("alice@desk".into()),
            },
            "many on b: left in place: no use (accepted by alice@desk)",
        ),
        (
            Event::LeftInPlace { step: step("many"), target: t("b"), why, by: None },
            "many on b: no use, if it took effect",
        ),
        (
            Event::Stuck {
                step: Some(step("many")),
                target: t("c"),
                error: "gone".into(),
                hint: "look".into(),
            },
            "STUCK: many on c: gone",
        ),
        (
            Event::Stuck {
                step: Some(step("many")),
                target: None,
                error: "step `many` is lost".into(),
                hint: "go".into(),
            },
            "STUCK: many: step `many` is lost",
        ),
        (
            Event::Stuck { step: None, target: None, error: "unwell".into(), hint: "wait".into() },
            "STUCK: the clean-up: unwell",
        ),
        (
            Event::Renamed { target: "a".into(), arn: "arn:aws:rds:us-east-1:1:db:a-old".into() },
            "a has another name by now: arn:aws:rds:us-east-1:1:db:a-old",
        ),
        (Event::Released { targets: vec!["a".into()] }, ""),
        (Event::Cleaned { until: None }, "clean-up over"),
        (
            Event::Cleaned { until: chrono::DateTime::from_timestamp(1_790_000_000, 0) },
            "clean-up over; waiting for the service to be healthy, until 14:13:20 UTC at the latest",
        ),
        (Event::SteadyAfter { healthy: true }, "healthy after the clean-up"),
        (
            Event::SteadyStateAccepted { why: "the shop moved".into(), by: "ann@box".into() },
            "the steady state was not seen to hold after the clean-up: the shop moved (accepted by ann@box)",
        ),
        (Event::SteadyAfter { healthy: false }, "NOT healthy after the clean-up"),
        (
            Event::Unknown(json!({ "type": "of tomorrow" })),
            "`of tomorrow`: an event that this version does not know",
        ),
        (finished(None), "verdict: stuck"),
        (finished(Some(61_000)), "verdict: stuck (RTA 1 min 1 s)"),
    ]
}

fn lines() -> Vec<Line> {
    lines_of(story().into_iter().map(|(event, _)| event).collect())
}

fn lines_of(events: Vec<Event>) -> Vec<Line> {
    let line = |(n, event): (usize, _)| Line {
        seq: n as u64,
        prev: String::new(),
        stamp: stamp(n as i64 * 1_000),
        event,
    };
    events.into_iter().enumerate().map(line).collect()
}

#[test]
fn what_matters_is_told_in_words_and_bookkeeping_is_not() {
    let view = RunView::of(&lines());
    let told: Vec<(u64, &str)> = view.moments.iter().map(|m| (m.seq, m.what.as_str())).collect();
    let story = story();
    let wanted = (0..).zip(&story).filter(|(_, (_, what))| !what.is_empty()).map(|(n, (_, what))| (n, *what));
    assert_eq!(told, wanted.collect::<Vec<_>>());
    for moment in &view.moments {
        let marked = matches!(story[moment.seq as usize].0, Event::Marked { .. });
        let at = if marked { -5_000 } else { moment.seq as i64 * 1_000 };
        assert_eq!(moment.at, stamp(at).at, "a mark stands where the person says: {}", moment.what);
    }
    assert_eq!((view.moments[0].stage, view.moments[1].stage), (None, Some(Stage::Fault)));
}

#[test]
fn what_is_kept_of_a_run_is_what_its_journal_says() {
    let lines = lines();
    let at = |n: i64| stamp(n * 1_000).at;
    let index = |find: fn(&Event) -> bool| lines.iter().position(|l| find(&l.event)).unwrap() as i64;
    let view = RunView::of(&lines);
    assert_eq!((view.started_at, view.last_at), (Some(at(0)), Some(at(lines.len() as i64 - 1))));
    assert_eq!((view.skew_ms, view.steady_since, view.steady_after), (Some(-250), Some(at(61)), Some(false)));
    assert_eq!((view.lines, view.unknown.len()), (lines.len() as u64, 1));
    assert_eq!(view.stop.as_ref().map(|s| (s.cause, s.detail.as_str())), Some((StopCause::Signal, "Ctrl-C")));
    assert_eq!(view.held, ["b"]);
    assert_eq!(view.approvals, [approval()]);
    assert_eq!(view.findings, [json!({ "subject": "web" })]);
    let modes: Vec<_> = view.processes.iter().map(|p| (p.mode, p.endpoint.is_some())).collect();
    let later = [Mode::Resume, Mode::Tell, Mode::Rollback].map(|mode| (mode, false));
    assert_eq!(modes, [vec![(Mode::Run, true)], later.to_vec()].concat());
    let stages: Vec<_> = view.stages.iter().map(|s| (s.stage, s.to)).collect();
    let (recovery, undo) = (
        at(index(|e| matches!(e, Event::Stage { stage: Stage::Recovery }))),
        at(index(|e| matches!(e, Event::Stage { stage: Stage::Undo }))),
    );
    let end = at(index(|e| matches!(e, Event::Finished { .. })));
    let wanted = [(Stage::Fault, Some(recovery)), (Stage::Recovery, Some(undo)), (Stage::Undo, Some(end))];
    assert_eq!(stages, wanted);
    let marks: Vec<_> = view.marks.iter().map(|m| (m.mark, m.note.as_str())).collect();
    assert_eq!(marks, [(Mark::Detected, ""), (Mark::Ack, "pager"), (Mark::Declare, ""), (Mark::Note, "hm")]);
    let calls: Vec<_> =
        view.calls.iter().map(|c| (c.call, c.request_id.as_deref(), c.error.as_deref())).collect();
    let wanted = [
        (1, Some("r-1"), Some("AccessDenied: no")),
        (2, Some("r-2"), None),
        (3, Some("r-3"), Some("denied: no")),
    ];
    assert_eq!(calls, wanted);
    assert_eq!(view.failed_calls(), 2);
}

#[test]
fn a_probe_is_told_in_stretches_with_all_their_observations() {
    let view = RunView::of(&lines());
    let probes: Vec<_> = view.probes.iter().map(|p| (p.name.as_str(), p.observations, p.health())).collect();
    let wanted = [("page", 62, Health::Unhealthy), ("api", 1, Health::Unknown), ("rows", 2, Health::Healthy)];
    assert_eq!(probes, wanted);
    let page: Vec<_> =
        view.probes[0].segments.iter().map(|s| (s.health, s.observations, s.seen.as_str())).collect();
    assert_eq!(page, [(Health::Healthy, 61, "200"), (Health::Unhealthy, 1, "503")]);
    let first = &view.probes[0].segments[0];
    assert_eq!((first.from, first.to), (stamp(100).at, stamp(60_000).at));
    let empty = ProbeView { name: String::new(), observations: 0, segments: vec![] };
    assert_eq!(empty.health(), Health::Unknown);
}

#[test]
fn each_step_and_target_is_told_as_far_as_it_came() {
    let lines = lines();
    let view = RunView::of(&lines);
    let steps: Vec<_> = view.steps.iter().map(|s| (s.id.as_str(), s.stage, s.cells.len())).collect();
    let fault = Some(Stage::Fault);
    let wanted = [
        ("break", fault, 3),
        ("pause", fault, 1),
        ("many", fault, 5),
        ("late", fault, 0),
        ("person", fault, 0),
        ("robot", fault, 0),
        ("mend", Some(Stage::Recovery), 1),
    ];
    assert_eq!(steps, wanted);
    assert!(view.has_fault() && view.is_unmended());
    let step = |id: &str| view.steps.iter().find(|s| s.id.as_str() == id).unwrap();
    assert_eq!(step("late").skipped.as_deref(), Some("no use"));
    let people = ["person", "robot"].map(|id| (step(id).confirmed.as_deref(), step(id).waiting.as_deref()));
    assert_eq!(people, [(Some("ann: done"), None), (Some("simulated (ann)"), None)]);
    let status = |id: &str| step(id).cells.iter().map(|c| c.status).collect::<Vec<_>>();
    assert_eq!(status("break"), [Status::Applied, Status::Failed, Status::Started]);
    let cell = &step("break").cells[0];
    assert_eq!(
        (cell.progress.as_deref(), cell.outputs.get("id").map(String::as_str)),
        (Some("half"), Some("x"))
    );
    assert_eq!((cell.notes.len(), cell.applied_at.is_some(), cell.started_at.is_some()), (1, true, true));
    let cell = &step("break").cells[1];
    assert_eq!((cell.error.as_deref(), cell.effect), (Some("refused"), Some(EffectCertainty::Unknown)));
    assert_eq!(cell.hint.as_deref(), Some("ask"));
    assert_eq!(cell.ending, Some(Ending::Undoing { failures: 3, error: Some("denied".into()) }));
    assert_eq!(step("break").cells[2].ending, Some(Ending::Undoing { failures: 0, error: None }));
    let mend = &step("mend").cells[0];
    assert_eq!((mend.status, mend.outputs.len(), mend.notes.len()), (Status::Ready, 1, 1));
    assert!(mend.ready_at.is_some() && mend.progress.is_none());
    assert_eq!(view.failures(), ["break on b: refused"]);
    assert_eq!(view.kept().map(|(s, t)| (s.as_str(), t)).collect::<Vec<_>>(), [("many", Some("a"))]);
    let endings: Vec<_> = step("many").cells.iter().map(|c| c.ending.is_some()).collect();
    assert_eq!(endings, [true, true, true, false, true]);
    let waiting = RunView::of(&lines[..index_of(&lines, "person") + 1]);
    assert_eq!(waiting.steps.last().unwrap().waiting.as_deref(), Some("pull the plug"));
}

fn index_of(lines: &[Line], waits: &str) -> usize {
    lines
        .iter()
        .position(|l| matches!(&l.event, Event::Waiting { step, .. } if step.as_str() == waits))
        .unwrap()
}

#[test]
fn what_is_left_behind_is_told_with_what_to_do() {
    let left = RunView::of(&lines()).left_behind();
    let wanted = [
        "STUCK: many on c: gone. What to do: look",
        "STUCK: step `many` is lost. What to do: go",
        "STUCK: the clean-up: unwell. What to do: wait",
        "undo not finished: break on b",
        "undo not finished: break on c",
        "many on b: no use, if it took effect",
        "the steady state was not seen to hold after the clean-up: the shop moved (accepted by ann@box)",
        "still tagged redrill:held: b",
    ];
    assert_eq!(left, wanted);
    assert_eq!(RunView::of(&example(World::Sim)).left_behind(), [""; 0]);
    assert!(
        !RunView::of(&example(World::Sim)).is_unmended() && !RunView::of(&example(World::Sim)).has_fault()
    );
}

#[test]
fn of_a_world_that_is_not_known_nothing_is_doubted_and_without_a_process_everything() {
    assert_eq!(RunView::default().endpoint_doubt(), None);
    let header = example(World::Aws).into_iter().take(1).collect::<Vec<_>>();
    assert_eq!(RunView::of(&header).endpoint_doubt(), Some(endpoint::NOT_RECORDED.to_owned()));
}

#[test]
fn a_header_is_kept_whole() {
    let view = RunView::of(&example(World::Sim)[..1]);
    let header = serde_json::to_value(view.header.unwrap()).unwrap();
    let line = serde_json::to_value(&example(World::Sim)[0]).unwrap();
    for (key, value) in header.as_object().unwrap() {
        assert_eq!(Some(value), line.get(key).or(Some(&serde_json::Value::Null)), "{key}");
    }
    assert!(header.as_object().unwrap().len() >= 12);
}

#[test]
fn a_program_is_told_when_it_starts_and_when_nobody_saw_it_end() {
    let program = |phase| Event::ProgramStarted {
        step: StepId::new("break"),
        phase,
        program: ProgramId { pid: 7, start: None, boot: None, host: "here".into(), mark: "m".into() },
    };
    let ended = |how| Event::ProgramEnded { step: StepId::new("break"), mark: "m".into(), how };
    let told = |event: Event| {
        let moments = RunView::of(&lines_of(vec![attached(Mode::Run), event])).moments;
        moments.last().map(|m| m.what.clone()).unwrap_or_default()
    };
    assert_eq!(told(program(Phase::Apply)), "break: its program starts (process 7 on here)");
    assert_eq!(told(program(Phase::Undo)), "break: its program that undoes it starts (process 7 on here)");
    assert_eq!(told(ended(ProgramEnd::Seen)), "", "its end is the step's");
    assert_eq!(told(ended(ProgramEnd::Gone)), "break: its program is not running any more");
    assert_eq!(told(ended(ProgramEnd::Ended)), "break: its program was still running, and was ended");
    let said = "break: its program cannot be looked for from here; a person says that it has ended";
    assert_eq!(told(ended(ProgramEnd::Said)), said);
}

#[test]
fn what_is_gone_is_told_with_what_stands_in_its_place_and_whether_it_is_sure() {
    let step = |id: &str| StepId::new(id);
    let t = |name: &str| Some(name.to_owned());
    let ready = |id: &str, target: &str, made: &[(&str, &str)]| Event::StepReady {
        step: step(id),
        target: t(target),
        outputs: made.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        notes: Vec::new(),
    };
    let left = |target: &str| Event::LeftInPlace {
        step: step("break"),
        target: t(target),
        why: "gone for good".to_owned(),
        by: None,
    };
    let prepared = Event::StepPrepared { step: step("break"), target: t("z"), undo: json!(1) };
    let events = vec![
        attached(Mode::Run),
        prepared,
        ready("break", "a", &[("instance_id", "i-own")]),
        ready("mend", "a", &[("instance_id", "i-new")]),
        ready("other", "b", &[("instance_id", "i-b")]),
        left("a"),
        left("b"),
    ];
    let view = RunView::of(&lines_of(events));
    let told: Vec<&str> =
        view.moments.iter().map(|m| m.what.as_str()).filter(|w| w.contains("gone")).collect();
    assert_eq!(
        told,
        [
            "break on a: gone for good; replaced by i-new",
            "break on b: gone for good, if it took effect; replaced by i-b"
        ]
    );
    // what was taken away again stands in for nothing
    let undone = |target: &str| {
        let (step, how, proof) = (step("mend"), "put-back".to_owned(), String::new());
        Event::UndoDone { step, target: t(target), how, proof }
    };
    let later = RunView::of(&lines_of(vec![
        attached(Mode::Run),
        ready("mend", "a", &[("instance_id", "i-new")]),
        undone("a"),
        left("a"),
    ]));
    assert_eq!(
        later.gone(&step("break"), Some("a"), "gone"),
        "break on a: gone; i-new, which replaced it, does not stand any more"
    );
    assert_eq!(view.gone(&step("break"), Some("z"), "gone"), "break on z: gone");
    assert_eq!(view.gone(&step("break"), None, "gone"), "break: gone");
    let cells = &view.steps.iter().find(|s| s.id.as_str() == "break").unwrap().cells;
    assert!(cells.iter().any(|c| c.target.as_deref() == Some("z")), "what is prepared is known");
}
