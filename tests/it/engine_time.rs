//! Time: what is measured, how often probes look, what waits for people, what runs together.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use redrill::cloud::{
    CloudResult, CommandOutput, CommandRequest, HttpRequest, HttpResponse, Local, Net, SqlAnswer, SqlRequest,
    Starting,
};
use redrill::drill::{self, LoadOptions};
use redrill::engine::recorder::Recorder;
use redrill::engine::rollup::Observation;
use redrill::engine::state::RunState;
use redrill::engine::{Control, People};
use redrill::journal::writer::{Journal, JournalError, MemoryJournal};
use redrill::journal::{Event, Line, Mode, Request};
use redrill::model::{Clock, Health, Stage, Stamp, StepId};
use redrill::sim::Pace;

use crate::bench::{Bench, SharedJournal, dump};
use crate::play::{Play, again, drill as text};

const RESTORE: &str = "objectives: { rto: 1h }
targets: { it: { resource: rds.instance, tags: { role: orders }, select: { count: 1 } } }
recovery: [{ id: restore, action: rds.restore-to-point-in-time, target: it, with: { to: -15m } }]
verify: [{ name: restored, probe: rds.instance, with: { identifier: \"${steps.restore.identifier}\", status: available } }]";

#[tokio::test(start_paused = true)]
async fn a_service_that_was_never_away_still_waits_for_the_restore() {
    let bench = Bench::new(&text("/", RESTORE)).await;
    let (ended, _) = Play::start(&bench).ends_with(0).await;
    let restore = i64::try_from(bench.sim.restore_time().0.as_millis()).unwrap();
    let rta = ended.measured.rta_ms.unwrap();
    assert!((restore..restore + 120_000).contains(&rta), "{rta} ms for a restore of {restore} ms");
}

/// Notes when it was asked, and answers every seventh time only after a while.
struct Slow {
    inner: Arc<dyn Net>,
    clock: Arc<dyn Clock>,
    asked: Mutex<Vec<u64>>,
}

#[async_trait]
impl Net for Slow {
    async fn http(&self, request: &HttpRequest) -> CloudResult<HttpResponse> {
        let nth = {
            let mut asked = self.asked.lock().expect("not poisoned");
            asked.push(self.clock.stamp().mono_ms);
            asked.len()
        };
        if nth.is_multiple_of(7) {
            tokio::time::sleep(Duration::from_millis(3500)).await;
        }
        self.inner.http(request).await
    }

    async fn tcp(&self, host: &str, port: u16, link_local: bool) -> CloudResult<()> {
        self.inner.tcp(host, port, link_local).await
    }

    async fn sql(&self, request: &SqlRequest) -> CloudResult<SqlAnswer> {
        self.inner.sql(request).await
    }
}

#[tokio::test(start_paused = true)]
async fn probes_keep_their_rhythm_whatever_else_is_slow() {
    let steps = "objectives: { rto: 10m }
targets: { it: { resource: vpc.subnet, tags: { service: shop, tier: private } } }
fault: [{ action: vpc.detach-route-table, target: it }]
recovery: [{ action: vpc.attach-route-table, target: it }]";
    let bench = Bench::new(&text("/health", steps)).await;
    bench.sim.set_pace(Pace {
        change_latency: redrill::model::Dur::secs(20),
        read_latency: redrill::model::Dur(Duration::from_millis(900)),
        ..Pace::default()
    });
    let mut cloud = bench.sim.cloud();
    let (inner, clock) = (cloud.reads.net.clone(), Arc::clone(&bench.clock));
    let slow = Arc::new(Slow { inner, clock, asked: Mutex::default() });
    cloud.reads.net = slow.clone();
    let (_, journal) = Play::of(&bench, cloud, People::Ask).ends_with(0).await;
    let asked = slow.asked.lock().unwrap();
    let stages: Vec<u64> = journal
        .lines()
        .iter()
        .filter(|l| matches!(l.event, Event::Stage { .. }))
        .map(|l| l.stamp.mono_ms)
        .collect();
    assert_eq!(stages.len(), 8, "every stage was gone through");
    assert!(asked[0] <= stages[1], "from preflight on");
    let longest = asked.windows(2).map(|w| w[1] - w[0]).max().unwrap();
    assert!(longest <= 1000, "{longest} ms without a look");
    let end = journal.lines().last().unwrap().stamp.mono_ms;
    assert!(end - asked.last().unwrap() <= 1000 && end > 100_000, "to the end");
}

#[tokio::test(start_paused = true)]
async fn ten_probes_each_second_for_four_hours_stay_small() {
    let probes: String = (0..10)
        .map(|n| {
            format!("  - {{ name: p{n}, probe: http, with: {{ url: \"http://127.0.0.1:8080/{n}\" }}, every: 1s }}\n")
        })
        .collect();
    let drill = text("/", RESTORE).replace("steady_state:\n", &format!("steady_state:\n{probes}"));
    let bench = Bench::new(&drill).await;
    let journal = Arc::new(MemoryJournal::new());
    let recorder = Recorder::new(
        Box::new(SharedJournal(Arc::clone(&journal))),
        RunState::new(Arc::clone(&bench.plan)),
        vec![],
        Arc::clone(&bench.clock),
        bench.secrets.clone(),
        None,
    );
    for second in 0..4 * 3600 {
        for n in 0..10 {
            let sent = bench.clock.stamp();
            let health = if second % 3600 < 30 { Health::Unhealthy } else { Health::Healthy };
            let seen = format!("{} in 12 ms", if health == Health::Healthy { 200 } else { 503 });
            let o =
                Observation { probe: format!("p{n}"), health, seen, sent, answered: sent, source_at: None };
            recorder.observe(o);
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    recorder.flush().await.unwrap();
    let lines: Vec<Line> = journal.lines();
    let seen: u64 = lines
        .iter()
        .map(|l| match &l.event {
            Event::Observed { .. } => 1,
            Event::Unchanged { count, .. } => *count,
            _ => 0,
        })
        .sum();
    assert_eq!(seen, 10 * 4 * 3600, "every observation is accounted for");
    let changes = lines.iter().filter(|l| matches!(l.event, Event::Observed { .. })).count();
    assert_eq!(changes, 10 * 8, "each change of health is a line of its own");
    assert!(journal.bytes().len() < 5_000_000, "{} bytes", journal.bytes().len());
}

/// Writes once it is let.
struct Held(Arc<tokio::sync::Semaphore>, MemoryJournal);

#[async_trait]
impl Journal for Held {
    async fn append(&self, stamp: Stamp, events: &[Event], durable: bool) -> Result<Vec<Line>, JournalError> {
        self.0.acquire().await.expect("open").forget();
        self.1.append(stamp, events, durable).await
    }
}

/// A wait in one branch of a `select!` while another branch records: what waits and is not asked
/// any more must not stand in anybody's way.
#[tokio::test(start_paused = true)]
async fn a_wait_that_nobody_polls_holds_nothing_up() {
    let bench = Bench::new(&text("/", RESTORE)).await;
    let pen = Arc::new(tokio::sync::Semaphore::new(0));
    let recorder = Arc::new(Recorder::new(
        Box::new(Held(Arc::clone(&pen), MemoryJournal::new())),
        RunState::new(Arc::clone(&bench.plan)),
        vec![],
        Arc::clone(&bench.clock),
        BTreeMap::new(),
        None,
    ));
    let writing = tokio::spawn({
        let recorder = Arc::clone(&recorder);
        async move { recorder.durable(vec![Event::Skew { ms: 1 }]).await }
    });
    tokio::time::sleep(Duration::from_millis(1)).await;
    let mut waiting = Box::pin(recorder.until(|_| false));
    assert!(futures::poll!(&mut waiting).is_pending(), "asked while the line is being written");
    pen.add_permits(2);
    writing.await.unwrap().unwrap();
    let next = recorder.note(vec![Event::Skew { ms: 2 }]);
    tokio::time::timeout(Duration::from_secs(60), next).await.expect("goes on").unwrap();
    drop(waiting);
}

const MANUAL: &str = "objectives: { rto: 1h }
targets: {}
recovery: [{ manual: \"Point ${run.id} elsewhere\", id: point, timeout: 20m }]";

#[tokio::test(start_paused = true)]
async fn manual_steps_wait_for_a_person() {
    let bench = Bench::new(&text("/", MANUAL)).await;
    let mut play = Play::start(&bench);
    play.until(|e| matches!(e, Event::Waiting { text, .. } if text.contains(bench.run.as_str()))).await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    let confirm = |step: &str| {
        let request = Request::Confirm { step: StepId::new(step), note: "done".into() };
        Control::Asked { by: "ann".into(), request }
    };
    play.control.send(confirm("another")).await.unwrap();
    play.control.send(confirm("point")).await.unwrap();
    let (ended, journal) = play.ends_with(0).await;
    assert!(ended.measured.rta_ms.is_some_and(|ms| (600_000..660_000).contains(&ms)), "{:?}", ended.measured);
    let confirmed: Vec<_> = journal
        .lines()
        .into_iter()
        .filter_map(|l| match l.event {
            Event::Confirmed { by, simulated, .. } => Some((by, simulated)),
            _ => None,
        })
        .collect();
    assert_eq!(confirmed, [("ann".to_owned(), false)]);
}

#[tokio::test(start_paused = true)]
async fn a_manual_step_that_nobody_confirms_fails_and_a_simulated_one_says_so() {
    let bench = Bench::new(&text("/", MANUAL)).await;
    let (ended, journal) = Play::start(&bench).ends_with(14).await;
    assert!(ended.reasons[0].contains("`point` failed"), "{:?}", ended.reasons);
    assert!(dump(&journal).contains("nobody confirmed within 20 min"));

    let bench = Bench::new(&text("/", MANUAL)).await;
    let people = People::Simulate(Duration::from_secs(30));
    // nobody saw anything: no pass
    let (_, journal) = Play::of(&bench, bench.sim.cloud(), people).ends_with(12).await;
    let simulated =
        |l: &Line| matches!(&l.event, Event::Confirmed { by, simulated: true, .. } if by == "simulated");
    assert_eq!(journal.lines().iter().filter(|l| simulated(l)).count(), 1);
}

/// Remembers the environment that programs got, and repeats it on standard output.
#[derive(Default)]
struct Echo(Mutex<Vec<String>>);

#[async_trait]
impl Local for Echo {
    async fn run(&self, request: &CommandRequest, _: &dyn Starting) -> CloudResult<CommandOutput> {
        let token = request.env.get("TOKEN").cloned().unwrap_or_default();
        self.0.lock().expect("not poisoned").push(token.clone());
        Ok(CommandOutput { code: Some(0), stdout: format!("token={token}"), ..CommandOutput::default() })
    }
}

#[tokio::test(start_paused = true)]
async fn secret_parameters_reach_programs_and_never_the_journal() {
    const SECRET: &str = "hunter2-\"quoted\"";
    let steps = "objectives: { rto: 1h }
params: { token: { secret: true } }
targets: {}
impact: none-expected
fault:
  - action: command
    with:
      argv: [/bin/break]
      env: { TOKEN: \"${params.token}\" }
      undo: { argv: [/bin/mend], env: { TOKEN: \"${params.token}\" } }
verify:
  - name: v
    probe: http
    with: { url: \"http://127.0.0.1:8080/x\", headers: { authorization: \"${params.token}\" } }
    every: 1s";
    let options = LoadOptions { set: vec![("token".into(), SECRET.into())], ..LoadOptions::default() };
    let loaded = drill::load("drill.yaml", &text("/", steps), &options).unwrap_or_else(|p| panic!("{p}"));
    let bench = Bench::planned(&loaded, |_| {}).await;
    let mut cloud = bench.sim.cloud();
    let echo = Arc::new(Echo::default());
    cloud.local = echo.clone();
    // nothing shows that the program did anything
    let (_, journal) = Play::of(&bench, cloud, People::Ask).ends_with(12).await;
    let text = dump(&journal);
    assert!(!text.contains("hunter2"), "{text}");
    assert!(text.contains("token=[secret token]"), "it is marked where it stood");
    assert_eq!(*echo.0.lock().unwrap(), [SECRET, SECRET], "the step and its undo got the real one");
}

/// The most steps' targets under way at once, and how long the steps took together (ms).
fn abreast(lines: &[Line]) -> (usize, u64) {
    let (mut now, mut most) = (0, 0);
    let mut times = Vec::new();
    for l in lines {
        match &l.event {
            Event::StepStarted { targets, .. } => now += targets.len(),
            Event::StepReady { .. } => now -= 1,
            _ => continue,
        }
        times.push(l.stamp.mono_ms);
        most = most.max(now);
    }
    (most, times.last().expect("steps ran") - times[0])
}

#[tokio::test(start_paused = true)]
async fn steps_run_together_up_to_the_limit() {
    let waits = "objectives: { rto: 1h }
targets: {}
recovery:
  - parallel:
      - { action: wait, id: a, with: { for: 30s } }
      - { action: wait, id: b, with: { for: 30s } }
      - { action: wait, id: c, with: { for: 30s } }
  - { action: wait, id: d, with: { for: 10s } }";
    for (limit, most, least_ms, most_ms) in
        [(10, 3, 40_000, 45_000), (2, 2, 70_000, 77_000), (1, 1, 100_000, 110_000)]
    {
        let bench = Bench::new(&text("/", &format!("concurrency: {limit}\n{waits}"))).await;
        let (_, journal) = Play::start(&bench).ends_with(12).await;
        let (at_once, took) = abreast(&journal.lines());
        assert_eq!(at_once, most, "concurrency {limit}");
        assert!((least_ms..most_ms).contains(&took), "concurrency {limit}: {took} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn a_verify_probe_is_not_satisfied_by_the_steady_state() {
    let steps = format!(
        "{}, {{ name: other, probe: http, with: {{ url: \"http://127.0.0.1:8080/other\", status: 200 }}, every: 1s }}]",
        RESTORE.trim_end_matches(']')
    )
    .replace("rto: 1h", "rto: 40m, give_up: 1h");
    let bench = Bench::new(&text("/", &steps)).await;
    bench.sim.answer_http("http://127.0.0.1:8080/other", 503, "");
    let mut play = Play::start(&bench);
    play.stage(Stage::Verify).await;
    let (ended, journal) = play.ends_with(11).await;
    assert!(!ended.measured.marks.contains_key("t6"), "{:?}\n{}", ended.measured, dump(&journal));
}

#[tokio::test(start_paused = true)]
async fn a_check_that_passed_before_a_crash_in_the_hold_is_asked_again() {
    let checked = format!(
        "{}, {{ name: other, probe: http, with: {{ url: \"http://127.0.0.1:8080/other\", status: 200 }}, every: 1s }}]",
        RESTORE.trim_end_matches(']')
    )
    .replace("rto: 1h", "rto: 40m, give_up: 1h");
    for (answer, code) in [(200, 0), (503, 11)] {
        let bench = Bench::new(&text("/", &checked)).await;
        let mut play = Play::start(&bench);
        play.stage(Stage::Hold).await;
        let journal = play.killed().await;
        bench.sim.answer_http("http://127.0.0.1:8080/other", answer, "");
        let (ended, journal) = again(&bench, Mode::Resume, &journal).await;
        assert_eq!(ended.exit_code, code, "{answer}\n{}", dump(&journal));
    }
}

/// A machine whose wall clock is set by so many milliseconds once it has run for so long.
struct SetClock {
    inner: Arc<dyn Clock>,
    from_mono_ms: u64,
    by_ms: i64,
}

impl Clock for SetClock {
    fn stamp(&self) -> Stamp {
        let told = self.inner.stamp();
        let by = if told.mono_ms < self.from_mono_ms { 0 } else { self.by_ms };
        Stamp { at: told.at + chrono::TimeDelta::milliseconds(by), ..told }
    }

    fn boot(&self) -> Option<String> {
        Some("one".to_owned())
    }
}

/// When each stage began, in milliseconds of the monotonic clock, and how the run ended.
async fn stages(bench: &Bench, clock: Option<SetClock>) -> (Vec<u64>, u8) {
    let play = Play::set(bench, bench.sim.cloud(), |setup| {
        setup.people = People::Ask;
        if let Some(clock) = clock {
            setup.clock = Arc::new(clock);
        }
    });
    let (ended, journal) = play.end().await;
    let begun = journal.lines().into_iter().filter(|l| matches!(l.event, Event::Stage { .. }));
    let begun = begun.map(|l| l.stamp.mono_ms).collect();
    (begun, ended.unwrap_or_else(|e| panic!("{e:?}\n{}", dump(&journal))).exit_code)
}

/// What a run waits for is a span: the impact, its own `wait`, what AWS takes, recovery, `give_up`, undo.
#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_makes_no_stage_longer_or_shorter() {
    let cut = "targets: { it: { resource: vpc.subnet, tags: { service: shop, tier: private } } }
fault: [{ action: vpc.detach-route-table, target: it }]";
    for (page, steps) in [
        (
            "/health",
            format!(
                "objectives: {{ rto: 20m }}\n{cut}\nrecovery: [{{ action: wait, with: {{ for: 5m }} }}, {{ action: vpc.attach-route-table, target: it }}]"
            ),
        ),
        (
            "/health",
            format!(
                "objectives: {{ rto: 10m, give_up: 15m }}\n{cut}\nrecovery: [{{ action: wait, with: {{ for: 10s }} }}]"
            ),
        ),
        (
            "/",
            format!(
                "objectives: {{ rto: 10m }}\nimpact_timeout: 3m\n{cut}\nrecovery: [{{ action: vpc.attach-route-table, target: it }}]"
            ),
        ),
        ("/", RESTORE.to_owned()),
    ] {
        // planning takes its time, too, and none of the runs below is planned anew
        let bench = Bench::new(&text(page, &steps)).await.again();
        let honest = stages(&bench, None).await;
        for by_ms in [-5_400_000, 400_000] {
            for after_ms in [0, 30_000] {
                let bench = bench.again();
                let from_mono_ms = honest.0[3] + after_ms;
                let clock = SetClock { inner: Arc::clone(&bench.clock), from_mono_ms, by_ms };
                assert_eq!(
                    stages(&bench, Some(clock)).await,
                    honest,
                    "set by {by_ms} ms, {after_ms} ms after the fault:\n{steps}"
                );
            }
        }
    }
}

/// The next process on the same machine waits for what is left, not for what the wall clock says.
#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_between_two_processes_makes_no_wait_longer() {
    let steps = "objectives: { rto: 1h }\ntargets: {}\nrecovery: [{ action: wait, with: { for: 10m } }]";
    let bench = Bench::new(&text("/", steps)).await;
    let told = |by_ms| SetClock { inner: Arc::clone(&bench.clock), from_mono_ms: 0, by_ms };
    let mut play = Play::set(&bench, bench.sim.cloud(), |setup| setup.clock = Arc::new(told(0)));
    play.until(|e| matches!(e, Event::StepApplied { .. })).await;
    let begun = bench.clock.stamp().mono_ms;
    let journal = play.killed().await;
    tokio::time::sleep(Duration::from_secs(60)).await;

    let (next, read) = MemoryJournal::resume(&journal.bytes()).expect("whole lines");
    let next = Arc::new(next);
    let mut setup = bench.setup(Mode::Resume, Arc::clone(&next), read.lines, bench.sim.cloud());
    setup.clock = Arc::new(told(-5_400_000));
    let (_keep, control) = tokio::sync::mpsc::channel(1);
    redrill::engine::run(setup, control).await.unwrap_or_else(|e| panic!("{e:?}\n{}", dump(&next)));
    let ready = next.lines().into_iter().find(|l| matches!(l.event, Event::StepReady { .. }));
    let waited = ready.expect("the wait ended").stamp.mono_ms - begun;
    assert!((600_000..615_000).contains(&waited), "{waited} ms");
}

/// A clock of a machine that was paused: wall time went on, and the other one did not.
struct Paused(Arc<dyn Clock>, Arc<AtomicU64>);

impl Clock for Paused {
    fn stamp(&self) -> Stamp {
        let now = self.0.stamp();
        Stamp { mono_ms: now.mono_ms - self.1.load(Ordering::Relaxed), ..now }
    }

    fn boot(&self) -> Option<String> {
        Some("one".to_owned())
    }
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_is_paused_in_the_outage_asks_aws_what_time_it_is() {
    let cut = "objectives: { rto: 40s, give_up: 10m }
targets: { it: { resource: vpc.subnet, tags: { service: shop, tier: private } } }
fault: [{ action: vpc.detach-route-table, target: it }]
recovery: [{ action: wait, with: { for: 10s } }, { action: vpc.attach-route-table, target: it }]";
    for paused in [false, true] {
        let bench = Bench::new(&text("/health", cut)).await;
        let lost = Arc::new(AtomicU64::new(0));
        let clock: Arc<dyn Clock> = Arc::new(Paused(Arc::clone(&bench.clock), Arc::clone(&lost)));
        let mut play = Play::set(&bench, bench.sim.cloud(), |setup| setup.clock = clock);
        play.stage(Stage::Recovery).await;
        if paused {
            lost.store(45_000, Ordering::Relaxed);
            tokio::time::advance(Duration::from_secs(45)).await;
        }
        let (ended, journal) = play.end().await;
        let ended = ended.unwrap_or_else(|e| panic!("{e}"));
        let skews = journal.lines().iter().filter(|l| matches!(l.event, Event::Skew { .. })).count();
        assert_eq!(skews, 1 + usize::from(paused), "asked once more: {}", dump(&journal));
        let rta = ended.measured.rta_ms.unwrap_or_default();
        assert_eq!(rta > 45_000, paused, "{rta} ms: {:?}", ended.measured.notes);
        assert_eq!(ended.exit_code, if paused { 10 } else { 0 }, "{:?}", ended.reasons);
    }
}
