//! A local program has an end before anything is put back: in the simulator, with programs that really run.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use redrill::cloud::{
    Cloud, CloudResult, CommandOutput, CommandRequest, EffectCertainty, Local, Starting, Unended,
};
use redrill::drill::{self, LoadOptions};
use redrill::engine::{self, Control, Ended};
use redrill::journal::writer::{Journal as _, MemoryJournal};
use redrill::journal::{Event, Line, Mode, Phase};
use redrill::model::{ProgramEnd, ProgramId};
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::sync::mpsc;

use crate::bench::{Bench, dump};
use crate::play::{self, Play};
use crate::programs::{lives, local, signal, told, until};

/// A drill whose fault and undo are shell scripts, and a folder that they meet in: `@name` is a file there.
struct Scripts {
    place: TempDir,
    bench: Bench,
}

impl Scripts {
    async fn new(fault: &str, undo: &str) -> Self {
        let place = tempfile::tempdir().expect("a folder");
        let script = |text: &str| text.replace('@', &format!("{}/", place.path().display()));
        let steps = format!(
            "objectives: {{ rto: 10m }}
targets: {{}}
impact: none-expected
settle: 1s
fault:
  - action: command
    id: break
    with:
      argv: [/bin/sh, -c, {:?}]
      timeout: 10m
      undo: {{ argv: [/bin/sh, -c, {:?}], timeout: 10m }}",
            script(fault),
            script(undo)
        );
        let text = play::drill("/health", &steps).replace("hold: 3s", "hold: 1s");
        let bench = Bench::new(&text).await;
        Self { place, bench }
    }

    /// With the secret `pw` as `PW` in the environment of the fault.
    async fn with_secret(fault: &str, undo: &str, secret: &str) -> Self {
        let s = Self::new(fault, undo).await;
        let own = ("argv: [/bin/sh, -c", "env: { PW: \"${params.pw}\" }\n      argv: [/bin/sh, -c");
        let params = ("targets: {}", "params: { pw: { type: string, secret: true } }\ntargets: {}");
        let text = s.bench.plan.source.replacen(own.0, own.1, 1).replace(params.0, params.1);
        let options = LoadOptions { env: None, set: vec![("pw".to_owned(), secret.to_owned())] };
        let loaded = drill::load("drill.yaml", &text, &options).unwrap_or_else(|p| panic!("{p}"));
        Self { bench: Bench::planned(&loaded, |_| {}).await, ..s }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    fn cloud(&self) -> Cloud {
        self.with(Arc::new(local()))
    }

    fn with(&self, local: Arc<dyn Local>) -> Cloud {
        Cloud { local, ..self.bench.sim.cloud() }
    }

    fn start(&self) -> Play {
        Play::set(&self.bench, self.cloud(), |_| {})
    }

    /// Takes a journal up again, in another process.
    async fn again(&self, journal: &MemoryJournal, said: bool, cloud: Cloud) -> (Ended, Arc<MemoryJournal>) {
        let (next, read) = MemoryJournal::resume(&journal.bytes()).expect("a journal");
        let next = Arc::new(next);
        let (_keep, control) = mpsc::channel::<Control>(1);
        let mut setup = self.bench.setup(Mode::Rollback, Arc::clone(&next), read.lines, cloud);
        setup.programs_ended = said;
        let ended = engine::run(setup, control).await.unwrap_or_else(|e| panic!("{e:?}\n{}", dump(&next)));
        (ended, next)
    }

    /// The process that works on the run is killed, and so is the guard of the program: nothing ends the program.
    async fn killed(&self, play: Play, pids: &[&str]) -> Arc<MemoryJournal> {
        let (id, _) = started(&play.journal.lines()).pop().expect("it has started");
        signal(&id.pid.to_string(), Signal::STOP);
        let journal = play.killed().await;
        signal(&id.pid.to_string(), Signal::KILL);
        until("the guard is gone", || !lives(&id.pid.to_string())).await;
        assert!(pids.iter().all(|pid| lives(pid)), "{}", dump(&journal));
        journal
    }
}

/// The programs that were started, oldest first.
fn started(lines: &[Line]) -> Vec<(ProgramId, Phase)> {
    let programs = lines.iter().filter_map(|l| match &l.event {
        Event::ProgramStarted { program, phase, .. } => Some((program.clone(), *phase)),
        _ => None,
    });
    programs.collect()
}

fn ends(lines: &[Line]) -> Vec<ProgramEnd> {
    let ends = lines.iter().filter_map(|l| match &l.event {
        Event::ProgramEnded { how, .. } => Some(*how),
        _ => None,
    });
    ends.collect()
}

fn position(lines: &[Line], like: impl Fn(&Event) -> bool) -> usize {
    lines.iter().position(|l| like(&l.event)).unwrap_or_else(|| panic!("{lines:#?}"))
}

/// The journal with each event as `change` makes it.
async fn rewritten(journal: &MemoryJournal, change: impl Fn(Event) -> Option<Event>) -> MemoryJournal {
    let other = MemoryJournal::new();
    for line in journal.lines() {
        if let Some(event) = change(line.event) {
            other.append(line.stamp, &[event], true).await.expect("written");
        }
    }
    other
}

/// Breaks again and again, until it is ended.
const BREAKS: &str = "echo $$ > @own; while :; do touch @BROKEN; sleep 0.05; done";
/// Says whether what it undoes was still at work.
const MENDS: &str =
    "grep -v ') Z ' /proc/$(cat @own)/stat 2>/dev/null && touch @OVERLAP; rm -f @BROKEN; echo . >> @mended";

#[tokio::test]
async fn what_a_program_says_is_kept_out_while_a_secret_of_the_run_is_not_given() {
    let secret = "correct-horse-battery";
    // it fails once, and says what it found
    let mends = "cat @left; cat @left >&2; test -e @again || { touch @again; exit 3; }";
    let mut s = Scripts::with_secret("printf %s \"$PW\" > @left; sleep 600", mends, secret).await;
    let play = s.start();
    let left = s.file("left");
    until("it is left behind", || std::fs::read_to_string(&left).is_ok_and(|text| text == secret)).await;
    let journal = s.killed(play, &[]).await;
    s.bench.secrets.clear();
    let (ended, journal) = s.again(&journal, false, s.cloud()).await;
    let text = dump(&journal);
    assert_eq!(ended.exit_code, 0, "{text}");
    assert!(!text.contains(secret), "{text}");
    assert!(
        text.contains("it said: [kept out: it could hold the secret `pw`, which was not given]"),
        "{text}"
    );
}

#[tokio::test]
async fn each_program_is_on_record_before_it_runs_and_when_it_has_ended() {
    let s = Scripts::new("echo $PPID > @guard", "echo $PPID > @undo-guard").await;
    let (_, journal) = s.start().ends_with(12).await;
    let lines = journal.lines();
    let programs = started(&lines);
    let phases: Vec<Phase> = programs.iter().map(|(_, phase)| *phase).collect();
    assert_eq!(phases, [Phase::Apply, Phase::Undo]);
    for ((id, _), file) in programs.iter().zip(["guard", "undo-guard"]) {
        assert_eq!(id.pid.to_string(), told(&s.file(file)).await);
        let mark = format!("{}/break/", s.bench.run);
        assert!(id.mark.starts_with(&mark) && id.start.is_some() && id.boot.is_some(), "{id:?}");
    }
    assert_ne!(programs[0].0.mark, programs[1].0.mark);
    assert_eq!(ends(&lines), [ProgramEnd::Seen, ProgramEnd::Seen]);
    let at = |like: fn(&Event) -> bool| position(&lines, like);
    assert!(
        at(|e| matches!(e, Event::StepStarted { .. })) < at(|e| matches!(e, Event::ProgramStarted { .. }))
    );
    assert!(at(|e| matches!(e, Event::ProgramEnded { .. })) < at(|e| matches!(e, Event::StepApplied { .. })));
}

#[tokio::test]
async fn a_stop_ends_the_program_before_it_is_undone() {
    // it does not listen to the request to end
    let s = Scripts::new(&format!("trap '' TERM; {BREAKS}"), MENDS).await;
    let play = s.start();
    let own = told(&s.file("own")).await;
    play.signal().await;
    let (_, journal) = play.ends_with(13).await;
    assert!(!lives(&own) && !s.file("BROKEN").exists() && !s.file("OVERLAP").exists(), "{}", dump(&journal));
    let lines = journal.lines();
    let ended = position(&lines, |e| matches!(e, Event::ProgramEnded { .. }));
    assert!(ended < position(&lines, |e| matches!(e, Event::UndoStarted { .. })), "{}", dump(&journal));
    assert_eq!(ends(&lines), [ProgramEnd::Ended, ProgramEnd::Seen]);
}

#[tokio::test]
async fn a_rollback_ends_what_a_killed_run_left_and_only_then_undoes() {
    let s = Scripts::new(BREAKS, MENDS).await;
    let play = s.start();
    let own = told(&s.file("own")).await;
    let journal = s.killed(play, &[&own]).await;
    let (ended, journal) = s.again(&journal, false, s.cloud()).await;
    assert_eq!(ended.exit_code, 0, "{:?}\n{}", ended.reasons, dump(&journal));
    // what is gone cannot break anything again
    assert!(!lives(&own) && !s.file("BROKEN").exists() && !s.file("OVERLAP").exists(), "{}", dump(&journal));
    assert_eq!(ends(&journal.lines()), [ProgramEnd::Ended, ProgramEnd::Seen]);
}

#[tokio::test]
async fn a_rollback_ends_the_undo_of_a_killed_rollback_before_it_undoes_again() {
    let undo =
        "test -e @first || { touch @first; echo $$ > @undo; while :; do touch @BROKEN; sleep 0.05; done; }
        grep -v ') Z ' /proc/$(cat @undo)/stat 2>/dev/null && touch @OVERLAP; rm -f @BROKEN";
    let s = Scripts::new("touch @BROKEN", &undo.replace('\n', ";")).await;
    let play = s.start();
    let own = told(&s.file("undo")).await;
    let journal = s.killed(play, &[&own]).await;
    let (ended, journal) = s.again(&journal, false, s.cloud()).await;
    assert_eq!(ended.exit_code, 0, "{:?}\n{}", ended.reasons, dump(&journal));
    assert!(!lives(&own) && !s.file("BROKEN").exists() && !s.file("OVERLAP").exists(), "{}", dump(&journal));
    assert_eq!(ends(&journal.lines()), [ProgramEnd::Seen, ProgramEnd::Ended, ProgramEnd::Seen]);
}

#[tokio::test]
async fn what_another_machine_started_is_left_to_a_person_who_says_that_it_has_ended() {
    let s = Scripts::new(BREAKS, MENDS).await;
    let play = s.start();
    let own = told(&s.file("own")).await;
    let journal = s.killed(play, &[&own]).await;
    let moved = |event| match event {
        Event::ProgramStarted { step, phase, program } => {
            let program = ProgramId { host: "elsewhere".to_owned(), ..program };
            Some(Event::ProgramStarted { step, phase, program })
        }
        other => Some(other),
    };
    let journal = rewritten(&journal, moved).await;
    let (ended, journal) = s.again(&journal, false, s.cloud()).await;
    assert_eq!(ended.exit_code, 20, "{:?}", ended.reasons);
    assert!(ended.reasons[0].contains("started on the machine elsewhere"), "{:?}", ended.reasons);
    let text = dump(&journal);
    assert!(text.contains("make sure on elsewhere") && text.contains("--programs-ended"), "{text}");
    assert!(lives(&own) && !s.file("mended").exists(), "nothing was put back: {text}");

    // a person looks, ends it, and says so
    signal(&own, Signal::KILL);
    until("it is gone", || !lives(&own)).await;
    let (ended, journal) = s.again(&journal, true, s.cloud()).await;
    assert_eq!(ended.exit_code, 0, "{:?}\n{}", ended.reasons, dump(&journal));
    assert!(!s.file("BROKEN").exists() && s.file("mended").exists());
    assert_eq!(ends(&journal.lines()), [ProgramEnd::Said, ProgramEnd::Seen]);
}

#[tokio::test]
async fn a_journal_of_the_first_version_is_rolled_back_and_what_it_lacks_is_said() {
    let s = Scripts::new(BREAKS, MENDS).await;
    let play = s.start();
    let own = told(&s.file("own")).await;
    let journal = s.killed(play, &[&own]).await;
    signal(&own, Signal::KILL);
    until("it is gone", || !lives(&own)).await;
    for old in [false, true] {
        let first = |mut event| {
            if let Event::Header { format, .. } = &mut event
                && old
            {
                *format = 1;
            }
            (!matches!(event, Event::ProgramStarted { .. } | Event::ProgramEnded { .. })).then_some(event)
        };
        let journal = rewritten(&journal, first).await;
        let (ended, journal) = s.again(&journal, false, s.cloud()).await;
        assert_eq!(ended.exit_code, 0, "{:?}\n{}", ended.reasons, dump(&journal));
        let named = dump(&journal).contains("did not record what it started");
        assert_eq!(named, old, "{}", dump(&journal));
        assert!(!s.file("BROKEN").exists());
        std::fs::write(s.file("BROKEN"), "").expect("written");
    }
}

/// A machine whose programs never end, and where nobody can end them.
#[derive(Default)]
struct Stubborn(Mutex<Vec<Vec<String>>>);

#[async_trait]
impl Local for Stubborn {
    async fn run(&self, request: &CommandRequest, starting: &dyn Starting) -> CloudResult<CommandOutput> {
        let (host, mark) = ("here".to_owned(), starting.mark().to_owned());
        starting.known(&ProgramId { pid: 77, start: None, boot: None, host, mark }).await?;
        self.0.lock().expect("remembered").push(request.argv.clone());
        std::future::pending().await
    }

    async fn end(&self, _: &ProgramId) -> Result<ProgramEnd, Unended> {
        Err(Unended::Lives("process 78 (dd), process 79 (sh)".to_owned(), vec![78, 79]))
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_ended_is_not_undone_and_what_to_type_is_said() {
    let s = Scripts::new("true", "true").await;
    let stubborn = Arc::new(Stubborn::default());
    let mut play = Play::set(&s.bench, s.with(stubborn.clone()), |_| {});
    play.until(|e| matches!(e, Event::ProgramStarted { .. })).await;
    play.signal().await;
    let (ended, journal) = play.ends_with(20).await;
    let text = dump(&journal);
    assert!(ended.reasons[0].contains("could not be ended: process 78 (dd), process 79 (sh)"), "{ended:?}");
    assert!(text.contains("sudo kill -9 78 79, then finish with: redrill rollback"), "{text}");
    assert_eq!(stubborn.0.lock().expect("remembered").len(), 1, "the undo is not started: {text}");
    // nobody's word counts against what is seen
    let (ended, journal) = s.again(&journal, true, s.with(stubborn.clone())).await;
    assert_eq!(
        (ended.exit_code, stubborn.0.lock().expect("remembered").len()),
        (20, 1),
        "{}",
        dump(&journal)
    );
    // and once it is gone, all is put back
    let (ended, _) = s.again(&journal, false, s.bench.sim.cloud()).await;
    assert_eq!(ended.exit_code, 0);
}

#[tokio::test(start_paused = true)]
async fn nothing_that_breaks_starts_after_a_stop() {
    /// Is asked to stop while the guard gets ready.
    struct Late(mpsc::Sender<Control>, Mutex<usize>);
    #[async_trait]
    impl Local for Late {
        async fn run(&self, _: &CommandRequest, starting: &dyn Starting) -> CloudResult<CommandOutput> {
            self.0.send(Control::Signal("SIGINT".to_owned())).await.expect("the run listens");
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            let (host, mark) = ("here".to_owned(), starting.mark().to_owned());
            let known = starting.known(&ProgramId { pid: 77, start: None, boot: None, host, mark }).await;
            if let Err(e) = &known {
                assert_eq!(e.effect, EffectCertainty::None, "{e}");
            }
            known?;
            *self.1.lock().expect("counted") += 1;
            Ok(CommandOutput { code: Some(0), ..CommandOutput::default() })
        }
    }
    let s = Scripts::new("true", "true").await;
    let journal = Arc::new(MemoryJournal::new());
    let (control, receiver) = mpsc::channel(8);
    let late = Arc::new(Late(control, Mutex::default()));
    let setup = s.bench.setup(Mode::Run, Arc::clone(&journal), vec![], s.with(late.clone()));
    let ended = engine::run(setup, receiver).await.expect("it ends");
    assert_eq!(ended.exit_code, 13, "{}", dump(&journal));
    // what undoes it still runs, in case it had begun
    let programs = started(&journal.lines());
    assert!(programs.iter().all(|(_, phase)| *phase == Phase::Undo), "{}", dump(&journal));
}
