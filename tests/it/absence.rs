//! One look decides nothing: every action, with each of its reads once saying too little.
//!
//! What is asked for is "not found", a page is empty, or the answer is the one from before the last change: each read
//! of a whole run, and of the process that takes up or rolls back a run that was cut off. However it ends, nothing is
//! lost: what is left behind is said to be stuck, and a rollback finishes it. A sample of the cases is tried; with
//! `CRASH_FULL=1` all of them.

use std::collections::BTreeMap;

use redrill::cloud::misread::{Misread, Reader};
use redrill::journal::writer::MemoryJournal;
use redrill::journal::{Event, Line, Mode};
use redrill::model::Dur;
use redrill::sim::Pace;

use crate::bench::{count, dump};
use crate::crash::{Case, Crash, FIXTURES, Fixture, Stand};

/// Cases tried of one process; the others are tried with `CRASH_FULL=1`.
const SAMPLE: usize = 24;

/// Slow enough that an undo finds things on their way.
fn pace() -> Pace {
    Pace {
        db_create: Dur::secs(20),
        db_delete: Dur::secs(5),
        instance_start: Dur::secs(3),
        instance_stop: Dur::secs(3),
        instance_terminate: Dur::secs(3),
        ..Pace::instant()
    }
}

fn is_full() -> bool {
    std::env::var_os("CRASH_FULL").is_some()
}

/// Every case, or a sample from the whole length of a run: the `turn`-th of each stretch, so that one run's sample
/// is not the next one's.
fn sample(chances: Vec<(usize, Misread)>, turn: usize) -> Vec<(usize, Misread)> {
    let stretch = if is_full() { 1 } else { chances.len().div_ceil(SAMPLE).max(1) };
    chances.into_iter().skip(turn % stretch).step_by(stretch).collect()
}

/// Where a run is cut off, to be taken up: after the steps were started, after they were accepted, and in the undo.
fn cuts(journal: &MemoryJournal) -> Vec<u64> {
    let last = |wanted: fn(&Event) -> bool| {
        let lines = journal.lines();
        lines.iter().rev().find(|l: &&Line| wanted(&l.event)).map(|l| l.seq + 1)
    };
    let mut all: Vec<u64> = [
        last(|e| matches!(e, Event::StepStarted { .. })),
        last(|e| matches!(e, Event::CallSent { step: Some(_), .. })),
        last(|e| matches!(e, Event::StepApplied { .. })),
        last(|e| matches!(e, Event::UndoStarted { .. })),
        last(|e| matches!(e, Event::Released { .. })).map(|n| n - 1),
    ]
    .into_iter()
    .flatten()
    .collect();
    if is_full() {
        all = (1..journal.lines().len() as u64).collect();
    }
    all.sort_unstable();
    all.dedup();
    all
}

#[derive(Default)]
struct Tally {
    tried: usize,
    stuck: usize,
    violations: Vec<String>,
}

impl Tally {
    /// All that one process may misread, one at a time.
    async fn process(&mut self, stand: &Stand, fixture: &Fixture, case: Case, turn: usize) -> Vec<Line> {
        let calm = Reader::new(|_, _| None);
        let (wrong, journal) = stand.look_through(case, Some(&calm)).await;
        if !wrong.is_empty() {
            self.violations.push(format!("{} {case:?} undisturbed: {}", fixture.action, wrong.join("; ")));
        }
        for (at, how) in sample(calm.chances(), turn) {
            let asked = std::sync::Arc::new(std::sync::Mutex::new(String::new()));
            let said = std::sync::Arc::clone(&asked);
            let reader = Reader::new(move |n, operation| {
                (n == at).then(|| {
                    operation.clone_into(&mut said.lock().expect("nobody panics with it"));
                    how
                })
            });
            let (wrong, journal) = stand.look_through(case, Some(&reader)).await;
            self.tried += 1;
            self.stuck += usize::from(journal.lines().iter().any(|l| matches!(l.event, Event::Stuck { .. })));
            if !wrong.is_empty() {
                let asked = asked.lock().expect("nobody panics with it").clone();
                let lines =
                    if std::env::var_os("CRASH_DUMP").is_some() { dump(&journal) } else { String::new() };
                self.violations.push(format!(
                    "{} {case:?}: read {at} ({asked}) {how:?}: {}\n{lines}",
                    fixture.action,
                    wrong.join("; ")
                ));
            }
        }
        journal.lines()
    }

    async fn fixture(&mut self, targets: &str, fixture: &'static Fixture) {
        let stand = Stand::new(targets, fixture).await.at(pace(), 2);
        let whole = Case { crash: Crash::Never, fault: None, then: Mode::Resume };
        self.process(&stand, fixture, whole, 0).await;
        let (_, journal) = stand.try_out(whole).await;
        for (turn, cut) in cuts(&journal).into_iter().enumerate() {
            let then = [Mode::Rollback, Mode::Resume];
            let both = if is_full() { &then[..] } else { &then[usize::from(turn % 4 == 3)..][..1] };
            for then in both {
                let case = Case { crash: Crash::AfterLine(cut), fault: None, then: *then };
                self.process(&stand, fixture, case, turn + 1).await;
            }
        }
    }
}

async fn shard(part: usize, of: usize) {
    let mut tally = Tally::default();
    let mut cases = BTreeMap::new();
    for (i, (targets, fixture)) in FIXTURES.iter().enumerate() {
        let left_out = std::env::var("CRASH_ONLY").is_ok_and(|only| !fixture.action.contains(&only));
        if i % of != part || left_out {
            continue;
        }
        let before = tally.tried;
        tally.fixture(targets, fixture).await;
        *cases.entry(fixture.action).or_insert(0) += tally.tried - before;
    }
    count(&format!("{} looks that said too little, {} ended stuck: {cases:?}", tally.tried, tally.stuck));
    let n = tally.violations.len();
    tally.violations.truncate(12);
    assert!(n == 0, "{n} violations:\n{}", tally.violations.join("\n"));
    let part = std::env::var_os("CRASH_ONLY").is_some();
    assert!(part || tally.tried > 100, "too little is tried: {}", tally.tried);
}

#[tokio::test(start_paused = true)]
async fn one_look_decides_nothing_0() {
    shard(0, 4).await;
}

#[tokio::test(start_paused = true)]
async fn one_look_decides_nothing_1() {
    shard(1, 4).await;
}

#[tokio::test(start_paused = true)]
async fn one_look_decides_nothing_2() {
    shard(2, 4).await;
}

#[tokio::test(start_paused = true)]
async fn one_look_decides_nothing_3() {
    shard(3, 4).await;
}
