//! A run that a test watches and meddles with while it goes on.

use std::sync::Arc;
use std::time::Duration;

use redrill::cloud::{Cloud, Mutation};
use redrill::engine::{self, Control, Ended, EngineError, People, Setup};
use redrill::journal::runs::RunDir;
use redrill::journal::writer::MemoryJournal;
use redrill::journal::{Event, Inbox, Line, Mode};
use redrill::model::Stage;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::bench::{Bench, dump};

/// A drill on the sample shop; `rest` holds targets, steps and whatever else.
pub fn drill(page: &str, rest: &str) -> String {
    format!(
        "version: 1
name: play
title: Play
service: shop
limits: {{ accounts: [\"123456789012\"], regions: [us-east-1, global], max_targets: 300, forbid_tags: {{ redrill: never }} }}
steady_state:
  - {{ name: shop, probe: http, with: {{ url: \"http://127.0.0.1:8080{page}\", status: 200 }}, every: 1s, hold: 3s }}
{rest}
"
    )
}

pub struct Play {
    pub control: mpsc::Sender<Control>,
    pub journal: Arc<MemoryJournal>,
    lines: mpsc::UnboundedReceiver<Line>,
    handle: JoinHandle<Result<Ended, EngineError>>,
}

impl Play {
    pub fn start(bench: &Bench) -> Self {
        Self::of(bench, bench.sim.cloud(), People::Ask)
    }

    pub fn of(bench: &Bench, cloud: Cloud, people: People) -> Self {
        Self::with(bench, cloud, people, None)
    }

    /// With an inbox on disk.
    pub fn at_desk(bench: &Bench, dir: &RunDir) -> Self {
        Self::with(bench, bench.sim.cloud(), People::Ask, Some(Arc::new(dir.clone())))
    }

    fn with(bench: &Bench, cloud: Cloud, people: People, inbox: Option<Arc<dyn Inbox>>) -> Self {
        Self::set(bench, cloud, |setup| {
            setup.people = people;
            setup.inbox = inbox;
        })
    }

    /// With anything else that the engine is given.
    pub fn set(bench: &Bench, cloud: Cloud, change: impl FnOnce(&mut Setup)) -> Self {
        Self::made(bench, cloud, |setup, _| change(setup))
    }

    /// The same, given the journal that the test reads at the end.
    pub fn set_on(bench: &Bench, change: impl FnOnce(&mut Setup, Arc<MemoryJournal>)) -> Self {
        Self::made(bench, bench.sim.cloud(), change)
    }

    fn made(bench: &Bench, cloud: Cloud, change: impl FnOnce(&mut Setup, Arc<MemoryJournal>)) -> Self {
        let journal = Arc::new(MemoryJournal::new());
        let mut setup = bench.setup(Mode::Run, Arc::clone(&journal), vec![], cloud);
        let (watcher, lines) = mpsc::unbounded_channel();
        setup.watcher = Some(watcher.into());
        change(&mut setup, Arc::clone(&journal));
        let (control, receiver) = mpsc::channel(8);
        let handle = tokio::spawn(engine::run(setup, receiver));
        Self { control, journal, lines, handle }
    }

    /// Waits for an event.
    pub async fn until(&mut self, wanted: impl Fn(&Event) -> bool) {
        while let Some(line) = self.lines.recv().await {
            if wanted(&line.event) {
                return;
            }
        }
        panic!("the run ended before:\n{}", dump(&self.journal));
    }

    pub async fn stage(&mut self, wanted: Stage) {
        self.until(|e| matches!(e, Event::Stage { stage } if *stage == wanted)).await;
    }

    pub async fn signal(&self) {
        self.control.send(Control::Signal("SIGINT".to_owned())).await.expect("the run listens");
    }

    /// The process is killed; returns what it has written.
    pub async fn killed(self) -> Arc<MemoryJournal> {
        self.handle.abort();
        assert!(self.handle.await.is_err_and(|e| e.is_cancelled()), "it was still running");
        self.journal
    }

    /// Waits for the end.
    pub async fn end(self) -> (Result<Ended, EngineError>, Arc<MemoryJournal>) {
        let ended = tokio::time::timeout(Duration::from_secs(48 * 3600), self.handle).await;
        (
            ended
                .unwrap_or_else(|_| panic!("no end:\n{}", dump(&self.journal)))
                .expect("as the test set it up"),
            self.journal,
        )
    }

    /// Waits for the end and holds its exit code against the expected one.
    pub async fn ends_with(self, exit_code: u8) -> (Ended, Arc<MemoryJournal>) {
        let (ended, journal) = self.end().await;
        let ended = ended.unwrap_or_else(|e| panic!("{e:?}\n{}", dump(&journal)));
        assert_eq!(ended.exit_code, exit_code, "{:?}\n{}", ended.reasons, dump(&journal));
        (ended, journal)
    }
}

/// Takes a journal up again, in another process.
pub async fn again(bench: &Bench, mode: Mode, journal: &MemoryJournal) -> (Ended, Arc<MemoryJournal>) {
    let (next, read) = MemoryJournal::resume(&journal.bytes()).expect("as the test set it up");
    let next = Arc::new(next);
    let (_keep, control) = mpsc::channel::<Control>(1);
    let setup = bench.setup(mode, Arc::clone(&next), read.lines, bench.sim.cloud());
    let ended = engine::run(setup, control).await.unwrap_or_else(|e| panic!("{e:?}\n{}", dump(&next)));
    (ended, next)
}

/// Somebody else changes something.
pub async fn meddle(bench: &Bench, change: Mutation) {
    bench.sim.cloud().mutate.send(&change).await.expect("as the test set it up");
}

/// The first target of the plan's only selector.
pub fn target(bench: &Bench) -> String {
    bench.plan.targets.values().next().expect("as the test set it up").drawn[0].id.clone()
}

/// How many calls of this name were accepted.
pub fn accepted(bench: &Bench, operation: &str) -> usize {
    bench.sim.changes().iter().filter(|c| c.operation == operation && c.refused.is_none()).count()
}
