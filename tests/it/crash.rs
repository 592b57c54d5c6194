//! The crash harness: every action, stopped after every journal line, with answers lost on the way.
//!
//! A run is cut off, then resumed or rolled back from the journal's bytes by another process. The
//! world must be as before, but for what the drill declares: a terminated instance and its kept
//! replacement. Nothing is left tagged and no fault is sent twice. It runs over the catalogue: a
//! new action needs one line in [`FIXTURES`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use redrill::catalog::actions::ACTIONS;
use redrill::cloud::Cloud;
use redrill::cloud::faulty::{Fault, Faulty};
use redrill::cloud::misread::Reader;
use redrill::engine::sabotage::{self, Sabotage};
use redrill::engine::{self, Control, Ended, EngineError};
use redrill::journal::writer::MemoryJournal;
use redrill::journal::{Event, Mode, Phase};
use redrill::model::Stage;
use redrill::sim::Pace;
use tokio::sync::mpsc;

use crate::bench::{Bench, dump};
use crate::world;

/// A minimal drill around one action.
pub struct Fixture {
    pub action: &'static str,
    /// Targets, fault and recovery.
    drill: &'static str,
    /// What may be accepted at most once, however often the run is cut off: the operation, and a
    /// text that its parameters contain.
    once: &'static [(&'static str, &'static str)],
}

const WEB: &str = "targets: { it: { resource: ec2.instance, tags: { role: web }, select: { count: 1 } } }\n";
const NET: &str = "targets: { it: { resource: vpc.subnet, tags: { service: shop, tier: private } } }\n";
const DB: &str = "targets: { it: { resource: rds.instance, tags: { role: orders } } }\n";
const CDN: &str = "targets: { it: { resource: cloudfront.distribution, tags: { role: storefront } } }\n";
const BUCKET: &str = "targets: { it: { resource: s3.bucket, tags: { role: assets } } }\n";
const NOTHING: &str = "targets: {}\n";

pub const FIXTURES: &[(&str, Fixture)] = &[
    (
        WEB,
        Fixture {
            action: "ec2.terminate-instances",
            drill: "allow_irreversible: true
fault: [{ action: ec2.terminate-instances, target: it }]
recovery: [{ action: ec2.launch-replacement, target: it }]",
            once: &[("ec2:TerminateInstances", "")],
        },
    ),
    (
        WEB,
        Fixture {
            action: "ec2.stop-instances",
            drill: "impact: none-expected
fault: [{ action: ec2.stop-instances, target: it }]",
            once: &[("ec2:StopInstances", "")],
        },
    ),
    (
        NET,
        Fixture {
            action: "vpc.detach-route-table",
            drill: "impact: none-expected
fault: [{ action: vpc.detach-route-table, target: it }]",
            once: &[("ec2:CreateRouteTable", "")],
        },
    ),
    (
        NET,
        Fixture {
            action: "vpc.detach-route-table",
            drill: "impact: none-expected
fault: [{ action: vpc.detach-route-table, target: it, with: { to: main } }]",
            once: &[],
        },
    ),
    (
        BUCKET,
        Fixture {
            action: "s3.delete-objects",
            drill: "impact: none-expected
fault: [{ action: s3.delete-objects, target: it, with: { prefix: catalogue/ } }]",
            once: &[("s3:DeleteObjects", "\"version\":null")],
        },
    ),
    (
        WEB,
        Fixture {
            action: "ec2.launch-replacement",
            drill: "recovery: [{ action: ec2.launch-replacement, target: it, after: remove }]",
            once: &[],
        },
    ),
    (
        NET,
        Fixture {
            action: "vpc.attach-route-table",
            drill: "fault: [{ action: vpc.detach-route-table, target: it }]
recovery: [{ action: vpc.attach-route-table, target: it }]",
            once: &[("ec2:CreateRouteTable", "")],
        },
    ),
    (
        NET,
        Fixture {
            action: "vpc.attach-route-table",
            drill: "fault: [{ action: vpc.detach-route-table, target: it }]
recovery: [{ action: vpc.attach-route-table, target: it, with: { table: shop-public } }]",
            once: &[("ec2:CreateRouteTable", "")],
        },
    ),
    (
        DB,
        Fixture {
            action: "rds.restore-to-point-in-time",
            drill: "recovery: [{ action: rds.restore-to-point-in-time, target: it, with: { to: -15m } }]",
            once: &[("rds:RestoreDBInstanceToPointInTime", "")],
        },
    ),
    (
        DB,
        Fixture {
            action: "rds.reboot",
            drill: "impact: none-expected
fault: [{ action: rds.reboot, target: it, with: { failover: true } }]",
            once: &[("rds:RebootDBInstance", "")],
        },
    ),
    (
        BUCKET,
        Fixture {
            action: "s3.restore-objects",
            drill: "fault: [{ action: s3.delete-objects, target: it, with: { prefix: catalogue/ } }]
recovery: [{ action: s3.restore-objects, target: it, with: { prefix: catalogue/ } }]",
            once: &[("s3:DeleteObjects", "\"version\":null")],
        },
    ),
    (
        CDN,
        Fixture {
            action: "cloudfront.invalidate",
            drill: "recovery: [{ action: cloudfront.invalidate, target: it, with: { paths: [/index.html] } }]",
            once: &[],
        },
    ),
    (
        NOTHING,
        Fixture {
            action: "wait",
            drill: "impact: none-expected
fault: [{ action: wait, with: { for: 3s } }]",
            once: &[],
        },
    ),
    (
        NOTHING,
        Fixture {
            action: "command",
            drill: "impact: none-expected
fault: [{ action: command, with: { argv: [/bin/break], undo: { argv: [/bin/mend] } } }]",
            once: &[],
        },
    ),
];

fn text(targets: &str, fixture: &Fixture) -> String {
    format!(
        "version: 1
name: crash
title: Crash
service: shop
objectives: {{ rto: 10m, give_up: 12m }}
limits: {{ accounts: [\"123456789012\"], regions: [us-east-1, global], max_targets: 5 }}
settle: 2s
impact_timeout: 10s
{targets}steady_state:
  - {{ name: shop, probe: http, with: {{ url: \"http://127.0.0.1:8080{path}\", status: 200 }}, every: 2s, hold: 2s }}
{}
",
        fixture.drill,
        // without an expected impact, clients look at something that does not depend on the account
        path = if fixture.drill.contains("none-expected") { "/" } else { "/health" },
    )
}

/// Where the first process dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    Never,
    /// The journal holds so many lines; what was to follow the last never happened.
    AfterLine(u64),
    /// The n-th append is lost, and with it the knowledge of what was done right before.
    InAppend(u64),
    /// As `AfterLine`, and half of the last line is not on the disk either.
    Torn(u64),
}

#[derive(Clone, Copy, Debug)]
pub struct Case {
    pub crash: Crash,
    /// The n-th change of the first process fails so.
    pub fault: Option<(usize, Fault)>,
    pub then: Mode,
}

/// The same drill again and again, each time on a fresh shop.
pub struct Stand {
    bench: Bench,
    fixture: &'static Fixture,
    pace: Pace,
    page: usize,
}

impl Stand {
    pub async fn new(targets: &str, fixture: &'static Fixture) -> Self {
        let bench = Bench::with(&text(targets, fixture), |sim| sim.set_pace(Pace::instant())).await;
        let refusals: Vec<_> = bench.plan.refusals().collect();
        assert!(refusals.is_empty(), "{}: {refusals:?}", fixture.action);
        Self { bench, fixture, pace: Pace::instant(), page: 50 }
    }

    /// The same at another pace, and with so many items a page.
    pub fn at(self, pace: Pace, page: usize) -> Self {
        Self { pace, page, ..self }
    }

    /// One case; what is wrong with its end, and the journal of the whole.
    pub async fn try_out(&self, case: Case) -> (Vec<String>, Arc<MemoryJournal>) {
        self.look_through(case, None).await
    }

    /// The same; the process that is looked at (the first, or where that dies the next) reads through `reader`.
    pub async fn look_through(
        &self,
        case: Case,
        reader: Option<&Arc<Reader>>,
    ) -> (Vec<String>, Arc<MemoryJournal>) {
        let through = |cloud: Cloud, here: bool| match reader {
            Some(reader) if here => reader.over(cloud),
            _ => cloud,
        };
        let bench = self.bench.again();
        bench.sim.set_pace(self.pace.clone());
        bench.sim.set_page_size(self.page);
        let before = bench.sim.snapshot();
        let journal = Arc::new(match case.crash {
            Crash::Never => MemoryJournal::new(),
            Crash::AfterLine(n) | Crash::Torn(n) => MemoryJournal::new().crashing_after(n),
            Crash::InAppend(n) => MemoryJournal::new().failing_from(n),
        });
        let cloud = bench.cloud(|inner| {
            Arc::new(Faulty::new(inner, move |n, _| case.fault.filter(|(k, _)| *k == n).map(|(_, f)| f)))
        });
        let cloud = through(cloud, case.crash == Crash::Never);
        let first = process(&bench, Mode::Run, &journal, vec![], cloud).await;
        let sent = bench.sim.changes().len();
        tokio::time::sleep(Duration::from_secs(3)).await;
        let mut wrong = Vec::new();
        if bench.sim.changes().len() != sent {
            wrong.push("something was changed after the process had died".to_owned());
        }
        let mut journal = journal;
        let ended = match (case.crash, first) {
            (_, Ok(ended)) => ended,
            (Crash::Never, Err(e)) => return (vec![format!("did not end: {e:?}")], journal),
            (_, Err(EngineError::Journal(_))) => {
                let mut bytes = journal.bytes();
                if matches!(case.crash, Crash::Torn(_)) {
                    let start =
                        bytes[..bytes.len() - 1].iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
                    bytes.truncate(start + (bytes.len() - start) / 2);
                }
                let (next, read) = MemoryJournal::resume(&bytes).expect("the rest is whole");
                if read.lines.is_empty() {
                    return (wrong, journal);
                }
                journal = Arc::new(next);
                let cloud = through(bench.sim.cloud(), true);
                match process(&bench, case.then, &journal, read.lines, cloud).await {
                    Ok(ended) => ended,
                    // a look that says too little may keep a run from being taken up, but not the next time
                    Err(_) if reader.is_some() => {
                        let (next, read) = MemoryJournal::resume(&journal.bytes()).expect("whole");
                        journal = Arc::new(next);
                        match process(&bench, case.then, &journal, read.lines, bench.sim.cloud()).await {
                            Ok(ended) => ended,
                            Err(e) => return (vec![format!("{:?} did not end: {e:?}", case.then)], journal),
                        }
                    }
                    Err(e) => {
                        wrong.push(format!("{:?} did not end: {e:?}", case.then));
                        return (wrong, journal);
                    }
                }
            }
            (_, Err(e)) => return (vec![format!("another error than the journal's: {e:?}")], journal),
        };
        let mut ended = ended;
        if ended.exit_code == 20 {
            // only a refusal may need a person, and then `rollback` finishes the job
            if !matches!(case.fault, Some((_, Fault::Deny))) && reader.is_none() {
                wrong.push(format!("stuck: {:?}", ended.reasons));
            }
            let (next, read) = MemoryJournal::resume(&journal.bytes()).expect("whole");
            journal = Arc::new(next);
            match process(&bench, Mode::Rollback, &journal, read.lines, bench.sim.cloud()).await {
                Ok(again) if again.exit_code == 0 => ended = again,
                other => wrong.push(format!("rollback of the stuck run: {other:?}")),
            }
        }
        let unmended = ended.reasons.iter().any(|r| r.contains("is not mended"));
        if unmended && !matches!(case.fault, Some((_, Fault::Deny))) {
            wrong.push(format!("left unmended: {:?}", ended.reasons));
        }
        wrong.extend(world::differences(&before, &bench.sim.snapshot(), bench.run.as_str(), unmended));
        wrong.extend(self.twice(&bench));
        wrong.extend(self.faults_after_a_crash(&journal));
        (wrong, journal)
    }

    /// What was accepted more often than it may be.
    fn twice(&self, bench: &Bench) -> Vec<String> {
        let accepted = |op: &str, part: &str| {
            let changes = bench.sim.changes().into_iter();
            changes
                .filter(|c| c.refused.is_none() && c.operation == op)
                .filter(|c| c.change.as_ref().is_some_and(|p| p.to_string().contains(part)))
                .count()
        };
        let often = self.fixture.once.iter().map(|(op, part)| (op, accepted(op, part)));
        often.filter(|(_, n)| *n > 1).map(|(op, n)| format!("{op} was accepted {n} times")).collect()
    }

    /// Faults that another process than the first sent.
    fn faults_after_a_crash(&self, journal: &MemoryJournal) -> Vec<String> {
        let mut attached = 0;
        let mut wrong = Vec::new();
        for line in journal.lines() {
            match line.event {
                Event::Attached { .. } => attached += 1,
                Event::CallSent { step: Some(step), phase: Phase::Apply, operation, .. }
                    if attached > 1
                        && self.bench.plan.step(&step).is_some_and(|s| s.stage == Stage::Fault) =>
                {
                    wrong.push(format!("the fault `{step}` sent {operation} after the crash"));
                }
                _ => {}
            }
        }
        wrong
    }
}

async fn process(
    bench: &Bench,
    mode: Mode,
    journal: &Arc<MemoryJournal>,
    lines: Vec<redrill::journal::Line>,
    cloud: Cloud,
) -> Result<Ended, EngineError> {
    let (_keep, control) = mpsc::channel::<Control>(1);
    engine::run(bench.setup(mode, Arc::clone(journal), lines, cloud), control).await
}

/// How much was tried, and what went wrong.
#[derive(Default)]
struct Tally {
    tried: BTreeMap<&'static str, usize>,
    violations: Vec<String>,
    stop_at_first: bool,
}

impl Tally {
    async fn take(&mut self, stand: &Stand, kind: &'static str, case: Case) {
        if self.stop_at_first && !self.violations.is_empty() {
            return;
        }
        *self.tried.entry(kind).or_default() += 1;
        let (wrong, journal) = stand.try_out(case).await;
        if !wrong.is_empty() {
            let show = std::env::var_os("CRASH_DUMP").is_some();
            let lines = if show { dump(&journal) } else { String::new() };
            self.violations.push(format!("{} {case:?}: {}\n{lines}", stand.fixture.action, wrong.join("; ")));
        }
    }
}

const FAULTS: [Fault; 5] =
    [Fault::LoseAnswer, Fault::LoseRequest, Fault::ServerError, Fault::Deny, Fault::Throttle];
const TAKE_UP: [Mode; 2] = [Mode::Resume, Mode::Rollback];

/// Every case of one fixture.
async fn harness(targets: &str, fixture: &'static Fixture, tally: &mut Tally) {
    let stand = Stand::new(targets, fixture).await;
    let calm = Case { crash: Crash::Never, fault: None, then: Mode::Resume };
    let (wrong, journal) = stand.try_out(calm).await;
    if !wrong.is_empty() {
        tally.violations.push(format!(
            "{} undisturbed: {}\n{}",
            fixture.action,
            wrong.join("; "),
            dump(&journal)
        ));
        return;
    }
    let (lines, appends) = (journal.lines().len() as u64, journal.appends());
    let calls = journal.lines().iter().filter(|l| matches!(l.event, Event::CallSent { .. })).count();
    for n in 1..=lines {
        for then in TAKE_UP {
            let case = |crash| Case { crash, fault: None, then };
            tally.take(&stand, "crash after a line", case(Crash::AfterLine(n))).await;
            if n < appends && (n % 2 == 0) == (then == Mode::Resume) {
                tally.take(&stand, "append lost", case(Crash::InAppend(n))).await;
            }
        }
        if n % 3 == 0 {
            let case = Case { crash: Crash::Torn(n), fault: None, then: TAKE_UP[(n as usize / 3) % 2] };
            tally.take(&stand, "torn last line", case).await;
        }
    }
    for k in 0..calls {
        for kind in FAULTS {
            let case = Case { crash: Crash::Never, fault: Some((k, kind)), then: Mode::Resume };
            tally.take(&stand, "bad answer", case).await;
        }
        // from the lost answer on, cut off at every line
        let fault = Some((k, Fault::LoseAnswer));
        let (_, journal) = stand.try_out(Case { crash: Crash::Never, fault, then: Mode::Resume }).await;
        let all = journal.lines();
        let sent = all.iter().filter(|l| matches!(l.event, Event::CallSent { .. })).nth(k);
        let from = sent.map_or(0, |l| l.seq + 1);
        for n in from..=all.len() as u64 {
            let then = TAKE_UP[(n as usize + k) % 2];
            let case = Case { crash: Crash::AfterLine(n), fault, then };
            tally.take(&stand, "lost answer, then crash", case).await;
        }
        for (i, kind) in [Fault::LoseRequest, Fault::ServerError, Fault::Deny].into_iter().enumerate() {
            // line `from` is the call; right after it its answer is not on record, then it is
            let (n, then) = (from + 1 + (k + i) as u64 % 2, TAKE_UP[(k + i) % 2]);
            let case = Case { crash: Crash::AfterLine(n), fault: Some((k, kind)), then };
            tally.take(&stand, "bad answer, then crash", case).await;
        }
    }
}

#[expect(clippy::print_stderr, reason = "how much was tried is part of what the harness tells")]
async fn shard(part: usize, of: usize) {
    let mut tally = Tally::default();
    let started = redrill::model::time::SystemClock;
    let began = redrill::model::Clock::stamp(&started).mono_ms;
    for (i, (targets, fixture)) in FIXTURES.iter().enumerate() {
        if i % of != part {
            continue;
        }
        if std::env::var("CRASH_ONLY").is_ok_and(|only| !fixture.action.contains(&only)) {
            continue;
        }
        let before: usize = tally.tried.values().sum();
        let at = redrill::model::Clock::stamp(&started).mono_ms;
        harness(targets, fixture, &mut tally).await;
        let cases = tally.tried.values().sum::<usize>() - before;
        let ms = redrill::model::Clock::stamp(&started).mono_ms - at;
        eprintln!("{}: {cases} cases in {ms} ms", fixture.action);
    }
    let took = redrill::model::Clock::stamp(&started).mono_ms - began;
    let total: usize = tally.tried.values().sum();
    eprintln!("{total} cases in {took} ms: {:?}", tally.tried);
    let n = tally.violations.len();
    tally.violations.truncate(12);
    assert!(n == 0, "{n} violations:\n{}", tally.violations.join("\n"));
    assert!(total > 200, "the harness tries out too little: {total}");
}

macro_rules! shards {
    ($($test:ident => $part:literal),* $(,)?) => {
        const SHARDS: usize = [$($part),*].len();
        $(#[tokio::test(start_paused = true)]
        async fn $test() {
            shard($part, SHARDS).await;
        })*
    };
}

shards! {
    no_crash_loses_anything_0 => 0,
    no_crash_loses_anything_1 => 1,
    no_crash_loses_anything_2 => 2,
    no_crash_loses_anything_3 => 3,
}

#[test]
fn every_action_has_a_fixture() {
    for action in ACTIONS {
        let name = action.spec().name;
        assert!(FIXTURES.iter().any(|(_, f)| f.action == name), "`{name}` has no line in FIXTURES");
    }
    for (_, f) in FIXTURES {
        let known = ACTIONS.iter().any(|a| a.spec().name == f.action);
        assert!(known && f.drill.contains(f.action), "`{}` is no action, or its drill lacks it", f.action);
    }
}

/// With a bug put into the engine on purpose the harness must find fault with it.
async fn finds(bug: Sabotage) {
    let _on = sabotage::commit(bug);
    let mut tally = Tally { stop_at_first: true, ..Tally::default() };
    for (targets, fixture) in FIXTURES {
        harness(targets, fixture, &mut tally).await;
        if !tally.violations.is_empty() {
            return;
        }
    }
    panic!("the harness did not notice: {bug:?}");
}

#[tokio::test(start_paused = true)]
async fn it_notices_an_undo_that_is_journalled_after_the_call() {
    finds(Sabotage::NoWriteAhead).await;
}

#[tokio::test(start_paused = true)]
async fn it_notices_a_timeout_that_is_taken_for_no_effect() {
    finds(Sabotage::TimeoutIsNothing).await;
}

#[tokio::test(start_paused = true)]
async fn it_notices_failed_steps_that_are_not_undone() {
    finds(Sabotage::FailedIsNotUndone).await;
}
