//! What people leave in a run's inbox: on record exactly once, whatever dies when, and never lost.

use std::sync::Arc;
use std::time::Duration;

use redrill::engine::recorder::Recorder;
use redrill::engine::state::RunState;
use redrill::engine::{self, Control, Ended, EngineError, People, requests};
use redrill::journal::inbox::{Inbox, Left, Request};
use redrill::journal::runs::{self, RunDir, RunsError};
use redrill::journal::writer::MemoryJournal;
use redrill::journal::{Event, Line, Mark, Mode};
use redrill::model::{Clock, Stage, Stamp, StepId};
use tokio::sync::mpsc;

use crate::bench::{Bench, SharedJournal, dump};
use crate::play::{Play, drill};

const MANUAL: &str = "objectives: { rto: 1h }
targets: {}
recovery: [{ action: wait, with: { for: 30s } }, { manual: Call the team, id: call, timeout: 20m }]";
const CUT: &str = "objectives: { rto: 10m }
targets: { it: { resource: vpc.subnet, tags: { service: shop, tier: private } } }
fault: [{ action: vpc.detach-route-table, target: it }]
recovery: [{ manual: Call the team, id: call }, { action: vpc.attach-route-table, target: it }]";

/// A run's folder on disk; its journal is elsewhere.
struct Desk {
    _state: tempfile::TempDir,
    dir: RunDir,
}

impl Desk {
    fn new(bench: &Bench) -> Self {
        let state = tempfile::tempdir().expect("a temporary folder");
        let dir = runs::create(state.path(), &bench.run, b"{}", b"x: 1\n").expect("a run folder");
        Self { _state: state, dir }
    }

    fn leave(&self, bench: &Bench, request: Request) -> Left {
        let door = self.dir.door().expect("nobody in the door");
        self.dir.leave(&door, bench.clock.now(), "ann@desk", request).expect("left")
    }

    fn lies_there(&self, left: &Left) -> bool {
        self.dir.requests().expect("the inbox").contains(left)
    }

    fn is_empty(&self) -> bool {
        self.dir.requests().expect("the inbox").is_empty()
    }
}

fn ack(bench: &Bench) -> Request {
    Request::Mark { mark: Mark::Ack, marked_at: bench.clock.now(), note: String::new() }
}

fn confirm(step: &str) -> Request {
    Request::Confirm { step: StepId::new(step), note: "done".into() }
}

fn abort(note: &str) -> Request {
    Request::Abort { note: note.into() }
}

/// The lines that answer this request.
fn answers(journal: &MemoryJournal, left: &Left) -> Vec<Event> {
    let of = |l: Line| (l.event.request().is_some_and(|r| r.id == left.asked.id)).then_some(l.event);
    journal.lines().into_iter().filter_map(of).collect()
}

fn why(event: &Event) -> &str {
    match event {
        Event::RequestUnused { why, by, .. } if by == "ann@desk" => why,
        other => panic!("it is not said to be unused: {other:?}"),
    }
}

async fn at_desk(
    bench: &Bench,
    desk: &Desk,
    mode: Mode,
    journal: &Arc<MemoryJournal>,
    lines: Vec<Line>,
) -> Result<Ended, EngineError> {
    let mut setup = bench.setup(mode, Arc::clone(journal), lines, bench.sim.cloud());
    setup.people = People::Ask;
    setup.inbox = Some(Arc::new(desk.dir.clone()));
    let (_keep, control) = mpsc::channel::<Control>(1);
    engine::run(setup, control).await
}

/// How many lines a whole run has when both requests lie there from the beginning.
async fn whole_run() -> usize {
    let bench = Bench::new(&drill("/", MANUAL)).await;
    let desk = Desk::new(&bench);
    let left = [desk.leave(&bench, confirm("call")), desk.leave(&bench, ack(&bench))];
    let journal = Arc::new(MemoryJournal::new());
    let ended = at_desk(&bench, &desk, Mode::Run, &journal, vec![]).await.expect("an end");
    assert_eq!(ended.exit_code, 0, "{}", dump(&journal));
    assert!(left.iter().all(|l| answers(&journal, l).len() == 1) && desk.is_empty(), "{}", dump(&journal));
    journal.lines().len()
}

#[tokio::test(start_paused = true)]
async fn whatever_dies_when_a_request_is_on_record_once() {
    let lines = u64::try_from(whole_run().await).expect("few");
    assert!(lines > 15, "{lines}");
    // after each line, and instead of each write
    let written = |n: u64| MemoryJournal::new().crashing_after(n);
    let instead = |n: u64| MemoryJournal::new().failing_from(n);
    let cuts = (1..lines).map(written).chain((1..lines).map(instead));
    let (mut before, mut after) = (0, 0);
    for journal in cuts {
        let bench = Bench::new(&drill("/", MANUAL)).await;
        let desk = Desk::new(&bench);
        let left = [desk.leave(&bench, confirm("call")), desk.leave(&bench, ack(&bench))];
        let journal = Arc::new(journal);
        let cut = at_desk(&bench, &desk, Mode::Run, &journal, vec![]).await;
        if cut.is_ok() {
            continue; // fewer writes than lines
        }
        for left in &left {
            // what is not on record must still lie there
            match answers(&journal, left).len() {
                0 => before += u32::from(desk.lies_there(left)),
                _ => after += u32::from(desk.lies_there(left)),
            }
            assert!(!answers(&journal, left).is_empty() || desk.lies_there(left), "{}", dump(&journal));
        }
        let (next, read) = MemoryJournal::resume(&journal.bytes()).expect("whole lines");
        let next = Arc::new(next);
        let ended = at_desk(&bench, &desk, Mode::Resume, &next, read.lines).await;
        let ended = ended.unwrap_or_else(|e| panic!("{e:?}\n{}", dump(&next)));
        assert_eq!(ended.exit_code, 0, "{}", dump(&next));
        for left in &left {
            assert_eq!(answers(&next, left).len(), 1, "{left:?}\n{}", dump(&next));
        }
        assert!(desk.is_empty(), "{}", dump(&next));
    }
    assert!(before > 5, "cut before a request was on record: {before}");
    assert!(after > 0, "cut when a request was on record and still lay there: {after}");
}

#[tokio::test(start_paused = true)]
async fn an_early_confirmation_stays_until_its_step_waits() {
    let bench = Bench::new(&drill("/", MANUAL)).await;
    let desk = Desk::new(&bench);
    let mut play = Play::at_desk(&bench, &desk.dir);
    play.stage(Stage::Recovery).await;
    let early = desk.leave(&bench, confirm("call"));
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert!(desk.lies_there(&early) && answers(&play.journal, &early).is_empty());
    let (_, journal) = play.ends_with(0).await;
    let lines = journal.lines();
    let position = |wanted: fn(&Event) -> bool| lines.iter().position(|l| wanted(&l.event));
    let waiting = position(|e| matches!(e, Event::Waiting { .. })).expect("it waits");
    let confirmed = position(|e| matches!(e, Event::Confirmed { .. })).expect("it is confirmed");
    assert!(waiting < confirmed, "{}", dump(&journal));
    assert_eq!(answers(&journal, &early), [lines[confirmed].event.clone()]);
    let waited = lines[confirmed].stamp.at - lines[waiting].stamp.at;
    assert!(waited.num_seconds() < 2, "{waited}");
    assert!(desk.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_comes_to_nothing_is_on_record_as_unused() {
    let bench = Bench::new(&drill("/", MANUAL)).await;
    let desk = Desk::new(&bench);
    let mut play = Play::at_desk(&bench, &desk.dir);
    play.stage(Stage::Recovery).await;
    let early = desk.leave(&bench, confirm("call"));
    let other = desk.leave(&bench, confirm("wait"));
    let stop = desk.leave(&bench, abort("wrong day"));
    let (ended, journal) = play.ends_with(13).await;
    assert!(ended.reasons[0].contains("aborted by ann@desk: wrong day"), "{:?}", ended.reasons);
    assert_eq!(why(&answers(&journal, &other)[0]), "`wait` is not a manual step of this drill");
    let unused = answers(&journal, &early);
    assert_eq!(unused.len(), 1, "{}", dump(&journal));
    assert_eq!(why(&unused[0]), "the run is being stopped, and step `call` is left out");
    assert!(matches!(&answers(&journal, &stop)[..], [Event::StopRequested { .. }]), "{}", dump(&journal));
    assert!(desk.is_empty());
    assert!(matches!(journal.lines().last().map(|l| &l.event), Some(Event::Finished { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_second_confirmation_and_an_abort_of_the_clean_up_come_to_nothing() {
    let bench = Bench::new(&drill("/health", CUT)).await;
    let before = bench.sim.snapshot();
    let desk = Desk::new(&bench);
    let mut play = Play::at_desk(&bench, &desk.dir);
    play.until(|e| matches!(e, Event::Waiting { .. })).await;
    let first = desk.leave(&bench, confirm("call"));
    let second = desk.leave(&bench, confirm("call"));
    play.stage(Stage::Undo).await;
    let late = desk.leave(&bench, abort(""));
    let mark = desk.leave(&bench, ack(&bench));
    let (_, journal) = play.ends_with(0).await;
    assert!(matches!(&answers(&journal, &first)[..], [Event::Confirmed { simulated: false, .. }]));
    assert_eq!(why(&answers(&journal, &second)[0]), "step `call` is confirmed already");
    assert_eq!(why(&answers(&journal, &late)[0]), "everything is being put back already");
    assert!(matches!(&answers(&journal, &mark)[..], [Event::Marked { .. }]), "a mark is never too late");
    assert!(desk.is_empty());
    assert_eq!(before, bench.sim.snapshot());
}

#[tokio::test(start_paused = true)]
async fn what_comes_after_the_end_is_on_record_as_unused_and_changes_nothing_else() {
    let bench = Bench::new(&drill("/", MANUAL)).await;
    let desk = Desk::new(&bench);
    let journal = Arc::new(MemoryJournal::new());
    desk.leave(&bench, confirm("call"));
    at_desk(&bench, &desk, Mode::Run, &journal, vec![]).await.expect("an end");
    let late = [desk.leave(&bench, ack(&bench)), desk.leave(&bench, abort(""))];
    let lines = journal.lines();
    let state = RunState::replay(Arc::clone(&bench.plan), &lines);
    let shared = Box::new(SharedJournal(Arc::clone(&journal)));
    let clock = Arc::clone(&bench.clock);
    let recorder = Recorder::new(shared, state, vec![], clock, bench.secrets.clone(), None);
    let inbox: Arc<dyn Inbox> = Arc::new(desk.dir.clone());
    requests::settle(&recorder, &inbox, true).await.expect("recorded");
    for left in &late {
        assert_eq!(why(&answers(&journal, left)[0]), "the run had ended");
    }
    assert!(desk.is_empty());
    let (old, new) = (redrill::view::RunView::of(&lines), redrill::view::RunView::of(&journal.lines()));
    assert_eq!((old.verdict, &old.marks, &old.stop), (new.verdict, &new.marks, &new.stop));
    assert!(new.moments.iter().any(|m| m.what == "abort by ann@desk not used: the run had ended"));
}

/// Shows what lies there only when the steady state was looked at for the last time.
struct JustInTime {
    dir: RunDir,
    journal: Arc<MemoryJournal>,
}

impl Inbox for JustInTime {
    fn requests(&self) -> Result<Vec<Left>, RunsError> {
        let over = |l: &Line| matches!(l.event, Event::SteadyAfter { .. });
        if self.journal.lines().iter().any(over) { self.dir.requests() } else { Ok(vec![]) }
    }

    fn remove(&self, id: &str) -> Result<(), RunsError> {
        self.dir.remove(id)
    }
}

#[tokio::test(start_paused = true)]
async fn the_engine_looks_once_more_before_the_end() {
    let bench = Bench::new(&drill(
        "/health",
        &CUT.replace("manual: Call the team, id: call", "action: wait, with: { for: 1s }"),
    ))
    .await;
    let desk = Desk::new(&bench);
    let marked_at = bench.clock.now() + Duration::from_secs(20);
    let left = desk.leave(&bench, Request::Mark { mark: Mark::Declare, marked_at, note: String::new() });
    let journal = Arc::new(MemoryJournal::new());
    let mut setup = bench.setup(Mode::Run, Arc::clone(&journal), vec![], bench.sim.cloud());
    setup.inbox = Some(Arc::new(JustInTime { dir: desk.dir.clone(), journal: Arc::clone(&journal) }));
    let (_keep, control) = mpsc::channel::<Control>(1);
    let ended = engine::run(setup, control).await.expect("an end");
    assert!(matches!(&answers(&journal, &left)[..], [Event::Marked { .. }]), "{}", dump(&journal));
    assert!(matches!(journal.lines().last().map(|l| &l.event), Some(Event::Finished { .. })));
    assert_eq!(ended.measured.marks.get("t3"), Some(&marked_at), "and it counts");
    assert!(desk.is_empty());
}

/// Another process, after a restart of the machine: its monotonic clock began anew.
struct Restarted(Arc<dyn Clock>);

impl Clock for Restarted {
    fn stamp(&self) -> Stamp {
        Stamp { mono_ms: 5, ..self.0.stamp() }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_told_to_a_dead_run_is_no_sign_of_life() {
    let bench = Bench::new(&drill("/health", CUT)).await;
    let desk = Desk::new(&bench);
    let mut play = Play::at_desk(&bench, &desk.dir);
    play.until(|e| matches!(e, Event::Waiting { .. })).await;
    let died = bench.clock.now();
    let journal = play.killed().await;
    tokio::time::sleep(Duration::from_secs(300)).await;

    let (told, read) = MemoryJournal::resume(&journal.bytes()).expect("whole lines");
    let told = Arc::new(told);
    let state = RunState::replay(Arc::clone(&bench.plan), &read.lines);
    let clock = Arc::new(Restarted(Arc::clone(&bench.clock)));
    let recorder =
        Recorder::new(Box::new(SharedJournal(Arc::clone(&told))), state, vec![], clock, [].into(), None);
    let (mode, by) = (Mode::Tell, "ann@desk".to_owned());
    let attached = Event::Attached {
        mode,
        pid: 7,
        host: "desk".into(),
        user: "ann".into(),
        redrill: "".into(),
        boot: None,
    };
    let at = bench.clock.now();
    let marked =
        Event::Marked { mark: Mark::Declare, at, by: by.clone(), note: String::new(), request: None };
    let step = StepId::new("call");
    let confirmed = Event::Confirmed { step, by, note: String::new(), simulated: false, request: None };
    recorder.durable(vec![attached, marked, confirmed]).await.expect("recorded");
    tokio::time::sleep(Duration::from_secs(100)).await;

    let (next, read) = MemoryJournal::resume(&told.bytes()).expect("whole lines");
    let next = Arc::new(next);
    let resumed = bench.clock.now();
    let ended = at_desk(&bench, &desk, Mode::Resume, &next, read.lines).await.expect("an end");
    assert_eq!(ended.exit_code, 0, "{:?}\n{}", ended.reasons, dump(&next));
    assert_eq!(ended.measured.marks.get("t3"), Some(&at), "a declaration counts from when it was made");
    let gap = |g: &&redrill::journal::Gap| g.why == "no process was running";
    let gaps: Vec<_> = ended.measured.gaps.iter().filter(gap).collect();
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    assert!(gaps[0].from <= died && gaps[0].to >= resumed, "{gaps:?} for {died} to {resumed}");
    let waiting = |l: &Line| matches!(l.event, Event::Waiting { .. });
    assert_eq!(next.lines().iter().filter(|l| waiting(l)).count(), 1, "nobody is asked again");
}

#[tokio::test(start_paused = true)]
async fn who_was_asked_before_a_crash_may_confirm_before_being_asked_again() {
    let bench = Bench::new(&drill("/health", CUT)).await;
    let desk = Desk::new(&bench);
    let mut play = Play::at_desk(&bench, &desk.dir);
    play.until(|e| matches!(e, Event::Waiting { .. })).await;
    let journal = play.killed().await;
    let left = desk.leave(&bench, confirm("call"));
    let (next, read) = MemoryJournal::resume(&journal.bytes()).expect("whole lines");
    let next = Arc::new(next);
    let ended = at_desk(&bench, &desk, Mode::Resume, &next, read.lines).await.expect("an end");
    assert_eq!(ended.exit_code, 0, "{:?}\n{}", ended.reasons, dump(&next));
    assert!(matches!(&answers(&next, &left)[..], [Event::Confirmed { .. }]), "{}", dump(&next));
}

#[tokio::test(start_paused = true)]
async fn an_abort_that_was_left_for_a_dead_process_rolls_back() {
    let bench = Bench::new(&drill("/health", CUT)).await;
    let before = bench.sim.snapshot();
    let desk = Desk::new(&bench);
    let mut play = Play::at_desk(&bench, &desk.dir);
    play.until(|e| matches!(e, Event::Waiting { .. })).await;
    let journal = play.killed().await;
    assert_ne!(before, bench.sim.snapshot());
    desk.leave(&bench, abort("enough"));
    let (next, read) = MemoryJournal::resume(&journal.bytes()).expect("whole lines");
    let next = Arc::new(next);
    let ended = at_desk(&bench, &desk, Mode::Resume, &next, read.lines).await.expect("an end");
    assert_eq!(ended.exit_code, 13, "{:?}\n{}", ended.reasons, dump(&next));
    assert_eq!(before, bench.sim.snapshot());
}
