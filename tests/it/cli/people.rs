//! `mark`, `confirm` and `abort`: told to a process at work, or recorded by the command itself.
//!
//! A process at work is whoever holds the run's lock: in most tests that is the test.

use std::fs;
use std::process::Child;
use std::sync::Arc;
use std::time::Duration;

use redrill::engine::{self, Control, Ended, People};
use redrill::journal::inbox::{Inbox as _, Left, Request};
use redrill::journal::runs::{self, RunDir};
use redrill::journal::writer::{FileJournal, Journal as _, MemoryJournal};
use redrill::journal::{Event, Line, Mark, Mode, Verdict, reader};
use redrill::model::time::SystemClock;
use redrill::model::{Clock as _, StepId};
use serde_json::json;
use tokio::sync::mpsc;

use super::{PATIENCE, Place, ended, fixture, os_user, text_of};
use crate::bench::{Bench, load};
use crate::play::drill;

const CUT: &str = "objectives: { rto: 10m }
targets: { it: { resource: vpc.subnet, tags: { service: shop, tier: private } } }
fault: [{ action: vpc.detach-route-table, target: it }]
recovery: [{ manual: Call the team, id: call }, { action: vpc.attach-route-table, target: it }]";

fn lines(dir: &RunDir) -> Vec<Line> {
    reader::read(&fs::read(dir.journal()).expect("a journal")).expect("whole lines").lines
}

fn inbox(dir: &RunDir) -> Vec<Left> {
    dir.requests().expect("the inbox")
}

/// Cuts the journal off behind the first event of this kind, as a `kill -9` would.
fn cut_behind(dir: &RunDir, wanted: fn(&Event) -> bool) {
    let at = lines(dir).iter().position(|l| wanted(&l.event)).expect("such an event");
    let text = fs::read_to_string(dir.journal()).expect("a journal");
    fs::write(dir.journal(), text.split_inclusive('\n').take(at + 1).collect::<String>()).expect("written");
}

/// An unfinished run in which `call` waits for a person.
fn waiting(place: &Place) -> RunDir {
    let dir = place.run_of(&drill("/health", CUT), 1);
    cut_behind(&dir, |e| matches!(e, Event::Waiting { .. }));
    dir
}

/// Nothing was recorded and nothing was left.
fn refused(place: &Place, dir: &RunDir, args: &[&str], sentence: &str) -> String {
    let before = fs::read(dir.journal()).expect("a journal");
    let ran = place.run(args).exits(2);
    let want = format!("redrill: {}\n", sentence.replace("RUN", dir.id().as_str()));
    assert!(ran.stderr.starts_with(&want), "{args:?}: {}", ran.stderr);
    assert_eq!((ran.stdout.as_str(), inbox(dir)), ("", vec![]), "{args:?}");
    assert!(before == fs::read(dir.journal()).expect("a journal"), "{args:?} wrote into the journal");
    ran.stderr
}

#[test]
fn requests_are_left_for_a_process_at_work_with_who_and_when() {
    let place = Place::new();
    let dir = waiting(&place);
    let id = dir.id();
    let _at_work = runs::lock(&dir).expect("nobody else");
    let journal = fs::read(dir.journal()).expect("a journal");
    let before = SystemClock.now();
    assert_eq!(
        place.run(&["mark", "last", "ack", "--note", "mine"]).all(),
        (0, format!("mark handed to the process that works on run {id}\n").as_str(), "")
    );
    let at = ["mark", "last", "declare", "--at", "2026-09-21T14:00:00Z"];
    let _ = place.run(&at).exits(0);
    assert_eq!(
        place.run(&["confirm", "last", "call", "--output", "json"]).exits(0).json(),
        [json!({"run": id, "left": "confirmation"})]
    );
    let _ = place.run(&["abort", "last", "--note", "enough"]).exits(0);
    let left = inbox(&dir);
    for l in &left {
        assert!(l.by.starts_with(&format!("{}@", os_user())) && l.by.len() > os_user().len() + 1, "{l:?}");
        assert!((before..=SystemClock.now()).contains(&l.asked.at), "{l:?}");
    }
    let asked: Vec<&Request> = left.iter().map(|l| &l.request).collect();
    let [
        Request::Mark { mark: Mark::Ack, marked_at: now, note },
        Request::Mark { mark: Mark::Declare, marked_at, .. },
        Request::Confirm { step, .. },
        Request::Abort { note: why },
    ] = asked[..]
    else {
        panic!("{left:?}");
    };
    assert_eq!((note.as_str(), step.as_str(), why.as_str()), ("mine", "call", "enough"));
    assert_eq!(marked_at.to_rfc3339(), "2026-09-21T14:00:00+00:00");
    assert!(*now >= before, "{now}");
    assert!(journal == fs::read(dir.journal()).expect("a journal"), "the journal is the other process's");
}

#[test]
fn with_no_process_at_work_a_mark_is_recorded_at_once() {
    let place = Place::new();
    let dir = waiting(&place);
    let (id, had) = (dir.id(), lines(&dir).len());
    let before = SystemClock.now();
    assert_eq!(
        place.run(&["mark", "last", "declare", "--note", "it is bad"]).all(),
        (0, format!("mark recorded for run {id}; no process works on it\n").as_str(), "")
    );
    assert_eq!(
        place.run(&["mark", "last", "note", "--output", "json"]).exits(0).json(),
        [json!({"run": id, "recorded": "mark"})]
    );
    let all = lines(&dir);
    let [attached, marked, attached_again, noted] = &all[had..] else { panic!("{:?}", &all[had..]) };
    let Event::Attached { mode: Mode::Tell, user, host, .. } = &attached.event else {
        panic!("{attached:?}")
    };
    assert!(*user == os_user() && !host.is_empty(), "{attached:?}");
    let Event::Marked { mark: Mark::Declare, at, by, note, request } = &marked.event else {
        panic!("{marked:?}")
    };
    assert_eq!((by, note.as_str()), (&format!("{}@{host}", os_user()), "it is bad"));
    assert!((before..=SystemClock.now()).contains(at) && marked.stamp.at >= *at, "{marked:?}");
    assert!(request.is_some(), "as the running process would have");
    assert!(matches!(attached_again.event, Event::Attached { mode: Mode::Tell, .. }));
    assert!(matches!(noted.event, Event::Marked { mark: Mark::Note, .. }));
    assert_eq!(inbox(&dir), []);
    let shown = place.run(&["show", "last", "--timeline"]).exits(0).stdout;
    assert!(shown.contains(&format!("disaster declared by {}@{host}: it is bad", os_user())), "{shown}");
    assert!(shown.contains("while no process was running"), "{shown}");
    runs::lock(&dir).expect("the lock is free again");
}

#[test]
fn what_is_of_no_use_is_refused_and_leaves_no_trace() {
    let place = Place::new();
    let dir = waiting(&place);
    let other = ["confirm", "last", "attach"];
    let not_manual = "run RUN: `attach` is not a manual step of this drill";
    let told = refused(&place, &dir, &other, not_manual);
    assert!(told.ends_with("  hint: the manual steps of this drill: call\n"), "{told}");
    // with a process at work the same
    let at_work = runs::lock(&dir).expect("nobody else");
    refused(&place, &dir, &other, not_manual);
    drop(at_work);

    let _ = place.run(&["confirm", "last", "call"]).exits(0);
    let again = ["confirm", "last", "call"];
    refused(&place, &dir, &again, "run RUN: step `call` is confirmed already");
}

#[test]
fn a_confirmation_of_a_step_that_does_not_wait_yet_is_refused() {
    let place = Place::new();
    let dir = place.run_of(&drill("/health", CUT), 1);
    cut_behind(&dir, |e| matches!(e, Event::Held { .. }));
    let early = ["confirm", "last", "call"];
    let sentence = "step `call` of run RUN does not wait for anybody yet";
    let told = refused(&place, &dir, &early, sentence);
    assert!(told.ends_with(&format!("  hint: where the run stands: redrill show {}\n", dir.id())), "{told}");
    let _at_work = runs::lock(&dir).expect("nobody else");
    refused(&place, &dir, &early, sentence);
}

#[test]
fn a_confirmation_of_the_very_next_step_is_left_for_the_process_but_not_recorded_without_one() {
    let place = Place::new();
    let dir = place.run_of(&drill("/health", CUT), 1);
    // the recovery has begun, and its first step is about to announce itself
    let recovery = |e: &Event| matches!(e, Event::Stage { stage: redrill::model::Stage::Recovery });
    cut_behind(&dir, recovery);
    let early = ["confirm", "last", "call"];
    refused(&place, &dir, &early, "step `call` of run RUN does not wait for anybody yet");
    let _at_work = runs::lock(&dir).expect("nobody else");
    let _ = place.run(&early).exits(0);
    assert!(matches!(&inbox(&dir)[..], [Left { request: Request::Confirm { .. }, .. }]));
}

#[test]
fn a_finished_run_takes_no_requests() {
    let place = Place::new();
    let dir = place.run_of(&text_of(&fixture("stop")), 1);
    for args in [&["mark", "last", "ack"][..], &["confirm", "last", "tell"], &["abort", "last"]] {
        refused(&place, &dir, args, "run RUN is finished already (passed); nobody would see a request");
    }
}

#[test]
fn a_run_without_a_line_takes_no_requests() {
    let place = Place::new();
    let dir = waiting(&place);
    fs::write(dir.journal(), "").expect("written");
    refused(&place, &dir, &["mark", "last", "ack"], "run RUN has not begun: its journal has no line yet");
}

#[test]
fn a_journal_that_was_changed_is_not_written_to() {
    let place = Place::new();
    let dir = waiting(&place);
    let text = fs::read_to_string(dir.journal()).expect("a journal");
    let changed = text.replacen("\"title\":\"Play\"", "\"title\":\"Pray\"", 1);
    assert_ne!(changed, text);
    fs::write(dir.journal(), changed).expect("written");
    let sentence = format!(
        "the journal of run {} cannot be trusted: line 2 does not follow line 1: the journal was changed",
        dir.id()
    );
    refused(&place, &dir, &["abort", "last"], &sentence);
}

/// A runtime on virtual time.
fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime")
}

/// A run that works as the command does, until this event, and is killed then.
async fn killed_at(place: &Place, bench: &Bench, wanted: fn(&Event) -> bool) -> RunDir {
    let plan = redrill::plan::file::write(&bench.plan);
    let dir = runs::create(&place.state(), &bench.run, plan.as_bytes(), b"x: 1\n").expect("a run folder");
    let mut setup = bench.setup(Mode::Run, Arc::new(MemoryJournal::new()), vec![], bench.sim.cloud());
    setup.journal = Box::new(FileJournal::create(dir.journal()).expect("a journal"));
    setup.people = People::Ask;
    setup.inbox = Some(Arc::new(dir.clone()));
    let (watcher, mut seen) = mpsc::unbounded_channel();
    setup.watcher = Some(watcher.into());
    let (_keep, control) = mpsc::channel::<Control>(1);
    let run = tokio::spawn(engine::run(setup, control));
    while !wanted(&seen.recv().await.expect("it comes to that").event) {}
    run.abort();
    assert!(run.await.is_err_and(|e| e.is_cancelled()), "it was still running");
    dir
}

async fn resumed(bench: &Bench, dir: &RunDir) -> Ended {
    let (journal, read) = FileJournal::open_for_append(dir.journal()).expect("a journal");
    let mut setup = bench.setup(Mode::Resume, Arc::new(MemoryJournal::new()), read.lines, bench.sim.cloud());
    setup.journal = Box::new(journal);
    setup.people = People::Ask;
    setup.inbox = Some(Arc::new(dir.clone()));
    let (_keep, control) = mpsc::channel::<Control>(1);
    engine::run(setup, control).await.expect("an end")
}

#[test]
fn a_confirmation_recorded_by_the_command_is_what_resume_goes_on_from() {
    let place = Place::new();
    runtime().block_on(async {
        // the command reads the real clock: the run began a few minutes before, and is resumed after
        let start = SystemClock.now() - Duration::from_secs(300);
        let bench = Bench::since(start, &load(&drill("/health", CUT)), |_| {}).await;
        let before = bench.sim.snapshot();
        let dir = killed_at(&place, &bench, |e| matches!(e, Event::Waiting { .. })).await;
        let id = dir.id();
        let said = format!(
            "confirmation recorded for run {id}; no process works on it\ngo on with: redrill resume {id}\n"
        );
        assert_eq!(place.run(&["confirm", "last", "call", "--note", "called"]).all(), (0, said.as_str(), ""));
        tokio::time::sleep(Duration::from_secs(300) + PATIENCE).await;
        let ended = resumed(&bench, &dir).await;
        assert_eq!(ended.exit_code, 0, "{:?}", ended.reasons);
        let all = lines(&dir);
        let confirmed: Vec<&Event> =
            all.iter().map(|l| &l.event).filter(|e| matches!(e, Event::Confirmed { .. })).collect();
        let [Event::Confirmed { by, note, simulated: false, .. }] = &confirmed[..] else {
            panic!("{confirmed:?}")
        };
        assert!(by.starts_with(&format!("{}@", os_user())) && note == "called", "{confirmed:?}");
        let waiting = |l: &&Line| matches!(l.event, Event::Waiting { .. });
        assert_eq!(all.iter().filter(waiting).count(), 1, "nobody is asked again");
        assert_eq!(before, bench.sim.snapshot());
    });
}

#[test]
fn an_abort_recorded_by_the_command_makes_resume_roll_back() {
    let place = Place::new();
    runtime().block_on(async {
        let bench = Bench::new(&drill("/health", CUT)).await;
        let before = bench.sim.snapshot();
        let dir = killed_at(&place, &bench, |e| matches!(e, Event::Waiting { .. })).await;
        let broken = bench.sim.snapshot();
        assert_ne!(before, broken);
        let id = dir.id();
        let said = format!(
            "abort recorded for run {id}; no process works on it\n\
             nothing is put back yet; do it with: redrill rollback {id}\n"
        );
        assert_eq!(place.run(&["abort", "last", "--note", "enough"]).all(), (0, said.as_str(), ""));
        assert_eq!(broken, bench.sim.snapshot(), "as it says");
        // what is being stopped asks nobody any more
        let sentence = "run RUN: the run is being stopped, and step `call` is left out";
        refused(&place, &dir, &["confirm", "last", "call"], sentence);
        let ended = resumed(&bench, &dir).await;
        assert_eq!(ended.exit_code, 13, "{:?}", ended.reasons);
        assert!(ended.reasons[0].contains(&format!("aborted by {}@", os_user())), "{:?}", ended.reasons);
        assert!(ended.reasons[0].ends_with(": enough"), "{:?}", ended.reasons);
        assert_eq!(before, bench.sim.snapshot());
    });
}

#[test]
fn an_abort_during_the_clean_up_is_refused_and_says_how_to_finish() {
    let place = Place::new();
    let dir = place.run_of(&drill("/health", CUT), 1);
    cut_behind(&dir, |e| matches!(e, Event::Stage { stage: redrill::model::Stage::Undo }));
    let told = refused(&place, &dir, &["abort", "last"], GOING_BACK);
    assert!(told.ends_with(&format!("  hint: put back the rest: redrill rollback {}\n", dir.id())), "{told}");
}

const GOING_BACK: &str = "run RUN was being put back already when its process ended; no process works on it";

#[test]
fn a_process_that_puts_back_is_named_with_what_it_waits_for_and_how_it_is_ended() {
    let place = Place::new();
    let dir = place.run_of(&drill("/health", CUT), 1);
    let (id, process) = (dir.id().clone(), std::process::id());
    let whole = fs::read(dir.journal()).expect("a journal");
    let waits = "; it has put everything back and waits for the service to be healthy (`shop`), until 1";
    for (cut, does, ends) in [
        (
            (|e| matches!(e, Event::Cleaned { .. })) as fn(&Event) -> bool,
            waits,
            format!("press Ctrl-C there, or type `kill {process}`, twice\n"),
        ),
        (
            |e| matches!(e, Event::Stage { stage: redrill::model::Stage::Undo }),
            "; it is putting everything back",
            format!("or type `kill {process}`, three times, then: redrill rollback {id}\n"),
        ),
    ] {
        fs::write(dir.journal(), &whole).expect("written");
        cut_behind(&dir, cut);
        let at_work = runs::lock(&dir).expect("nobody else");
        let who = format!("process {process}, since 2");
        let aborted = place.run(&["abort", "last"]).exits(2).stderr;
        assert!(aborted.contains(&format!("run {id} is being put back already, by {who}")), "{aborted}");
        let rolled = place.run(&["rollback", "last"]).exits(3).stderr;
        assert!(rolled.contains(&format!("run {id} is in use by {who}")), "{rolled}");
        let shown = place.run(&["show", "last"]).exits(0).stdout;
        for told in [aborted, rolled, shown] {
            assert!(told.contains(&format!(" on {}", host())), "{told}");
            assert!(told.contains(does) && told.contains(&ends), "{told}");
            assert!(!told.contains("redrill abort"), "it would be refused: {told}");
        }
        drop(at_work);
    }
}

fn host() -> String {
    let out = std::process::Command::new("uname").arg("-n").output().expect("there is uname");
    String::from_utf8_lossy(&out.stdout).trim().to_owned()
}

#[test]
fn every_command_that_takes_a_run_up_names_its_secrets() {
    let place = Place::new();
    let text = drill("/health", CUT)
        .replace("status: 200", "status: 200, headers: { X-Token: \"${params.token}\" }")
        + "params: { token: { secret: true } }\n";
    let set = vec![("token".to_owned(), "kQ8vZ2pLr0".to_owned())];
    let loaded = redrill::drill::load("drill.yaml", &text, &redrill::drill::LoadOptions { env: None, set });
    let dir = place.run_in(&loaded.unwrap_or_else(|p| panic!("{p}")), 1, |_| {});
    cut_behind(&dir, |e| matches!(e, Event::Waiting { .. }));
    let id = dir.id();
    let typed = |verb: &str| format!("redrill {verb} {id} --set-env token=…");
    let shown = place.run(&["show", "last"]).exits(0).stdout;
    assert!(shown.contains(&typed("resume")) && shown.contains(&typed("rollback")), "{shown}");
    let doctor = place.run(&["doctor"]);
    assert!(doctor.stdout.contains(&typed("rollback")), "{}", doctor.stdout);
    let report = place.run(&["report", "last", "--out", "bundle"]).exits(2).stderr;
    assert!(report.contains(&typed("resume")) && report.contains(&typed("rollback")), "{report}");
    let rolled = place.run(&["rollback", "last"]).stderr;
    let says = format!(
        "the secret parameter `token` was not given: everything else is put back, but nobody can look whether the \
         service is healthy (`shop`); with it: {}\n",
        typed("rollback")
    );
    assert!(rolled.starts_with(&says), "{rolled}");
    let given = place.run(&["rollback", "last", "--set", "token=kQ8vZ2pLr0"]).stderr;
    assert!(!given.contains("was not given"), "{given}");
    let aborted = place.run(&["abort", "last"]).exits(0).stdout;
    assert!(aborted.contains(&typed("rollback")), "{aborted}");
}

/// The command, stopped at the door that the test stands in (where the system tells).
fn at_the_door(place: &Place, args: &[&str]) -> Child {
    let child = place.command(args).spawn().expect("the binary starts");
    let deadline = SystemClock.now() + PATIENCE;
    // `1: -> FLOCK  ADVISORY  WRITE 4711 …` is a process that waits for a lock
    let waits = |line: &str| line.contains("-> FLOCK") && line.contains(&format!(" {} ", child.id()));
    while fs::read_to_string("/proc/locks").is_ok_and(|locks| !locks.lines().any(waits)) {
        assert!(SystemClock.now() < deadline, "it never came to the door");
        std::thread::yield_now();
    }
    child
}

#[test]
fn a_process_that_dies_before_the_request_is_left_is_noticed() {
    let place = Place::new();
    let dir = waiting(&place);
    let at_work = runs::lock(&dir).expect("nobody else");
    // the command cannot leave anything while the door is taken; by then the process is dead
    let door = dir.door().expect("nobody else");
    let command = at_the_door(&place, &["mark", "last", "ack"]);
    drop(at_work);
    drop(door);
    let ran = ended(command).exits(0);
    let want = format!("mark recorded for run {}; no process works on it\n", dir.id());
    assert_eq!(ran.stdout, want);
    let marks = lines(&dir).iter().filter(|l| matches!(l.event, Event::Marked { .. })).count();
    assert_eq!((marks, inbox(&dir)), (1, vec![]));
}

#[test]
fn a_run_that_ends_before_the_request_is_left_is_noticed() {
    let place = Place::new();
    let dir = waiting(&place);
    let at_work = runs::lock(&dir).expect("nobody else");
    let door = dir.door().expect("nobody else");
    let command = at_the_door(&place, &["mark", "last", "ack"]);
    // the process comes to its end as `run` does: the last line, then the lock, then the door
    let end =
        Event::Finished { verdict: Verdict::Passed, exit_code: 0, reasons: vec![], measured: Box::default() };
    add(&dir, &[end]);
    drop(at_work);
    drop(door);
    let ran = ended(command).exits(2);
    assert!(
        ran.stderr.contains("is finished already (passed); nobody would see a request"),
        "{}",
        ran.stderr
    );
    assert!(matches!(lines(&dir).last().map(|l| &l.event), Some(Event::Finished { .. })));
    assert_eq!(inbox(&dir), []);
}

#[test]
fn what_a_dead_process_recorded_and_could_not_take_away_is_not_recorded_again() {
    let place = Place::new();
    let dir = waiting(&place);
    let door = dir.door().expect("nobody else");
    let confirm = Request::Confirm { step: StepId::new("call"), note: String::new() };
    let left = dir.leave(&door, SystemClock.now(), "ann@desk", confirm).expect("left");
    drop(door);
    let confirmed = Event::Confirmed {
        step: StepId::new("call"),
        by: left.by.clone(),
        note: String::new(),
        simulated: false,
        request: Some(left.asked.clone()),
    };
    add(&dir, &[confirmed]);
    // another command at work on the run leaves it to the process that takes the run up
    let _ = place.run(&["mark", "last", "note"]).exits(0);
    assert_eq!(inbox(&dir), [left]);
    runtime().block_on(async {
        let bench = Bench::new(&drill("/health", CUT)).await;
        resumed(&bench, &dir).await;
    });
    let confirmed = lines(&dir).iter().filter(|l| matches!(l.event, Event::Confirmed { .. })).count();
    assert_eq!((confirmed, inbox(&dir)), (1, vec![]));
}

/// Adds lines, as another process would have.
fn add(dir: &RunDir, events: &[Event]) {
    runtime().block_on(async {
        let (journal, _) = FileJournal::open_for_append(dir.journal()).expect("a journal");
        journal.append(SystemClock.stamp(), events, true).await.expect("recorded");
    });
}

fn attached(mode: Mode) -> Event {
    Event::Attached {
        mode,
        pid: 7,
        host: "desk".into(),
        user: "ann".into(),
        redrill: "0.1.0".into(),
        boot: None,
    }
}

#[test]
fn who_was_asked_may_confirm_although_the_run_died_again_before_asking_again() {
    let place = Place::new();
    let dir = waiting(&place);
    add(&dir, &[attached(Mode::Resume)]);
    let ran = place.run(&["confirm", "last", "call"]).exits(0);
    assert!(ran.stdout.starts_with("confirmation recorded"), "{}", ran.stdout);
    assert!(matches!(lines(&dir).last().map(|l| &l.event), Some(Event::Confirmed { .. })));
}

#[test]
fn a_mark_does_not_make_a_rollback_something_else() {
    let place = Place::new();
    let dir = waiting(&place);
    add(&dir, &[attached(Mode::Rollback)]);
    let _ = place.run(&["mark", "last", "note"]).exits(0);
    refused(&place, &dir, &["abort", "last"], GOING_BACK);
}

/// A process on real time that works on a run with a manual step.
struct AtWork {
    runtime: tokio::runtime::Runtime,
    run: tokio::task::JoinHandle<Ended>,
    seen: mpsc::UnboundedReceiver<Line>,
    dir: RunDir,
    _lock: runs::Lock,
}

impl AtWork {
    fn start(place: &Place) -> Self {
        let text = drill("/", "objectives: { rto: 1h }\ntargets: {}\nrecovery: [{ manual: Call, id: call }]");
        let text = text.replace("every: 1s, hold: 3s", "every: 100ms, hold: 300ms");
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
        let (run, seen, dir, lock) = runtime.block_on(async {
            let bench = Bench::new(&text).await;
            let plan = redrill::plan::file::write(&bench.plan);
            let dir = runs::create(&place.state(), &bench.run, plan.as_bytes(), b"x: 1\n").expect("a folder");
            let lock = runs::lock(&dir).expect("nobody else");
            let mut setup = bench.setup(Mode::Run, Arc::new(MemoryJournal::new()), vec![], bench.sim.cloud());
            setup.journal = Box::new(FileJournal::create(dir.journal()).expect("a journal"));
            setup.people = People::Ask;
            setup.inbox = Some(Arc::new(dir.clone()));
            let (watcher, seen) = mpsc::unbounded_channel();
            setup.watcher = Some(watcher.into());
            let run = tokio::spawn(async move {
                let (_keep, control) = mpsc::channel::<Control>(1);
                engine::run(setup, control).await.expect("an end")
            });
            (run, seen, dir, lock)
        });
        Self { runtime, run, seen, dir, _lock: lock }
    }

    fn until(&mut self, wanted: fn(&Event) -> bool) -> Event {
        self.runtime.block_on(async {
            loop {
                let line = tokio::time::timeout(Duration::from_secs(60), self.seen.recv()).await;
                let line = line.expect("it comes to that in time").expect("it comes to that");
                if wanted(&line.event) {
                    return line.event;
                }
            }
        })
    }
}

#[test]
fn a_process_at_work_records_what_the_commands_leave() {
    let place = Place::new();
    let mut work = AtWork::start(&place);
    work.until(|e| matches!(e, Event::Waiting { .. }));
    assert!(
        place.run(&["mark", "last", "ack", "--note", "mine"]).exits(0).stdout.starts_with("mark handed to")
    );
    let marked = work.until(|e| matches!(e, Event::Marked { .. }));
    let Event::Marked { by, note, request: Some(_), .. } = &marked else { panic!("{marked:?}") };
    assert!(by.starts_with(&format!("{}@", os_user())) && note == "mine", "{marked:?}");
    let ran = place.run(&["confirm", "last", "call", "--note", "called"]).exits(0);
    assert!(ran.stdout.starts_with("confirmation handed to"), "{}", ran.stdout);
    let confirmed = work.until(|e| matches!(e, Event::Confirmed { .. }));
    let Event::Confirmed { by, note, simulated: false, request: Some(_), .. } = &confirmed else {
        panic!("{confirmed:?}")
    };
    assert!(by.starts_with(&format!("{}@", os_user())) && note == "called", "{confirmed:?}");
    let ended = work.runtime.block_on(work.run).expect("no panic");
    assert_eq!(ended.exit_code, 0, "{:?}", ended.reasons);
    assert_eq!(inbox(&work.dir), []);
}

#[test]
fn wrong_marks_and_times_are_wrong_usage() {
    let place = Place::new();
    let mark = place.run(&["mark", "last", "panic"]).exits(2);
    assert!(mark.stderr.contains("[possible values: detected, ack, declare, note]"), "{}", mark.stderr);
    let future = place.run(&["mark", "last", "declare", "--at", "2999-01-01T00:00:00Z"]).exits(2);
    assert!(future.stderr.contains("lies in the future"), "{}", future.stderr);
    let time = place.run(&["mark", "last", "ack", "--at", "yesterday"]).exits(2);
    assert!(time.stderr.contains("2026-01-31T14:05:00Z"), "it shows how a time is written: {}", time.stderr);
    let none = place.run(&["mark", "last", "ack"]).exits(2);
    assert!(none.stderr.starts_with("redrill: there are no runs in .redrill\n"), "{}", none.stderr);
}
