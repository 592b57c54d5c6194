//! What is written and read back: secrets never change what a run does, and what cannot be read back as it
//! was is neither written nor folded.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use redrill::cloud::{CloudResult, CommandOutput, CommandRequest, Local, Starting};
use redrill::drill::{self, LoadOptions};
use redrill::engine::recorder::Recorder;
use redrill::engine::sabotage::{self, Sabotage};
use redrill::engine::state::RunState;
use redrill::engine::{self, Control, EngineError, secrets};
use redrill::journal::writer::{JournalError, MemoryJournal};
use redrill::journal::{Event, Mode, reader};
use redrill::model::naming;
use redrill::model::{Stage, StepId};
use redrill::plan::file;
use serde_json::Value;
use tokio::sync::mpsc;

use crate::bench::{Bench, SharedJournal, dump};
use crate::play::{Play, drill};

/// Something of every kind that a secret may get into: a program and its undo, a restore whose output a
/// probe is told, tags, a stop condition.
const ALL: &str = r#"params: { pw: { secret: true } }
objectives: { rto: 2h }
targets:
  it: { resource: vpc.subnet, tags: { service: shop, tier: private } }
  db: { resource: rds.instance, tags: { role: orders }, select: { count: 1 } }
fault:
  - { id: cut, action: vpc.detach-route-table, target: it }
  - action: command
    with:
      argv: [tool, "${params.pw}"]
      env: { PW: "x${params.pw}y" }
      undo: { argv: [untool, "${params.pw}"], env: { PW: "x${params.pw}y" } }
recovery:
  - { id: attach, action: vpc.attach-route-table, target: it }
  - { id: restore, action: rds.restore-to-point-in-time, target: db, with: { to: -15m } }
verify:
  - { name: restored, probe: rds.instance, with: { identifier: "${steps.restore.identifier}", status: available } }
stop: [{ name: budget, probe: cloudwatch.alarm, with: { name: shop-error-budget }, for: 5m }]"#;
/// What no name, id or word has anything in common with.
const NEUTRAL: &str = "kQ8vZ2pLr0wXyT";

/// Programs that say what they were given.
#[derive(Default)]
struct Echo(Mutex<Vec<String>>);

#[async_trait]
impl Local for Echo {
    async fn run(&self, request: &CommandRequest, _: &dyn Starting) -> CloudResult<CommandOutput> {
        let said = format!("{:?} {:?}", request.argv, request.env);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(said.clone());
        Ok(CommandOutput { code: Some(0), timed_out: false, stdout: said, stderr: String::new() })
    }
}

/// What a run came to: how it ended, its fold, the world, and what its programs were given.
#[derive(Debug, PartialEq)]
struct Came {
    exit_code: u8,
    fold: String,
    world: Value,
    programs: Vec<String>,
    journal: String,
}

/// Plans and runs the drill with this secret; kills it at a line, where one is given, and rolls it back.
async fn run_with(secret: &str, killed_at: Option<u64>) -> (Bench, Came) {
    let options = LoadOptions { env: None, set: vec![("pw".to_owned(), secret.to_owned())] };
    // seldom, so that a run of an hour is over soon
    let text = drill("/health", ALL).replace("every: 1s, hold: 3s", "every: 10s, hold: 30s");
    let loaded = drill::load("drill.yaml", &text, &options).unwrap_or_else(|p| panic!("{p}"));
    let bench = Bench::planned(&loaded, |_| {}).await;
    let echo = Arc::new(Echo::default());
    let cloud = || {
        let mut cloud = bench.sim.cloud();
        cloud.local = Arc::clone(&echo) as Arc<dyn Local>;
        cloud
    };
    let mut journal = MemoryJournal::new();
    if let Some(line) = killed_at {
        journal = journal.crashing_after(line);
    }
    let mut journal = Arc::new(journal);
    let (_keep, control) = mpsc::channel::<Control>(1);
    let setup = bench.setup(Mode::Run, Arc::clone(&journal), vec![], cloud());
    let mut ended = engine::run(setup, control).await;
    if killed_at.is_some() {
        let (next, read) = MemoryJournal::resume(&journal.bytes()).expect("a chain");
        journal = Arc::new(next);
        let (_keep, control) = mpsc::channel::<Control>(1);
        let setup = bench.setup(Mode::Rollback, Arc::clone(&journal), read.lines, cloud());
        ended = engine::run(setup, control).await;
    }
    let text = dump(&journal);
    let ended = ended.unwrap_or_else(|e| panic!("{e:?}\n{text}"));
    let state = RunState::replay(Arc::clone(&bench.plan), &journal.lines());
    assert_eq!((state.unknown, &state.misplaced), (0, &None), "{text}");
    let cells: Vec<String> = state
        .cells
        .iter()
        .map(|(cell, c)| format!("{cell:?} {:?} {} {} {:?}", c.status, c.settled, c.stuck, c.outputs.keys()))
        .collect();
    let fold = format!(
        "{cells:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?}",
        state.stage_times,
        state.t0,
        state.verified,
        state.held,
        // its cause; the sentence is for people, and what it holds is taken out like anywhere else
        state.stop.as_ref().map(|(cause, _)| cause),
        state.holding,
        state.finished,
        state.next_call
    );
    let programs = echo.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let world = bench.sim.snapshot();
    (bench, Came { exit_code: ended.exit_code, fold, world, programs, journal: text })
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime")
}

/// Every name of a field and every text of a value.
fn texts(value: &Value, into: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => _ = into.insert(text.clone()),
        Value::Array(items) => items.iter().for_each(|v| texts(v, into)),
        Value::Object(map) => {
            into.extend(map.keys().cloned());
            map.values().for_each(|v| texts(v, into));
        }
        _ => {}
    }
}

/// A journal without what numbers, hashes and clocks may hold by chance.
fn said(journal: &str) -> String {
    fn without(value: &mut Value) {
        match value {
            Value::Array(items) => items.iter_mut().for_each(without),
            Value::Object(map) => {
                map.retain(|key, v| {
                    v.is_string() && !CHANCE.contains(&key.as_str()) || v.is_object() || v.is_array()
                });
                map.values_mut().for_each(without);
            }
            _ => {}
        }
    }
    let mut out = String::new();
    for line in journal.lines() {
        let mut line: Value = serde_json::from_str(line).expect("JSON");
        // the clock's own sentences follow from what stands above, word for word, and are made again by `verify`
        if let Some(measured) = line.get_mut("measured").and_then(Value::as_object_mut) {
            measured.remove("notes");
        }
        without(&mut line);
        out.push_str(&line.to_string());
        out.push('\n');
    }
    out
}

/// Every text that stands in a journal as a value.
fn values(journal: &str) -> Vec<String> {
    fn of(value: Value, into: &mut Vec<String>) {
        match value {
            Value::String(text) => into.push(text),
            Value::Array(items) => items.into_iter().for_each(|v| of(v, into)),
            Value::Object(map) => map.into_iter().for_each(|(_, v)| of(v, into)),
            _ => {}
        }
    }
    let mut out = Vec::new();
    for line in journal.lines() {
        of(serde_json::from_str(line).expect("JSON"), &mut out);
    }
    out
}

/// What is no text of anybody's.
const CHANCE: [&str; 8] =
    ["prev", "at", "plan_sha256", "request_id", "since", "marked_at", "source_at", "user_data_sha256"];

/// For any secret made of what the plan and the journal say: the run does what it does with another one. And
/// it is refused, or stands nowhere on disk.
#[test]
fn no_secret_changes_what_a_run_does() {
    let (bench, whole) = runtime().block_on(run_with(NEUTRAL, None));
    assert_eq!(whole.exit_code, 0, "{}", whole.journal);
    assert_eq!(whole.programs.len(), 2, "the program and its undo: {:?}", whole.programs);
    let half = whole.journal.lines().count() as u64 * 2 / 3;
    let (_, rolled_back) = runtime().block_on(run_with(NEUTRAL, Some(half)));
    assert_eq!(rolled_back.exit_code, 0, "{}", rolled_back.journal);
    let mut words = BTreeSet::new();
    for line in said(&whole.journal).lines().chain(said(&rolled_back.journal).lines()) {
        texts(&serde_json::from_str(line).expect("JSON"), &mut words);
    }
    texts(&serde_json::to_value(&*bench.plan).expect("JSON"), &mut words);
    // times of the made-up clock stand in many fields by chance
    words.retain(|w| !w.contains("2026-09-21T"));
    words.retain(|w| !w.contains("secret ") && !w.contains(NEUTRAL) && w.len() >= 3 && w.len() < 200);
    let words: Vec<String> = words.into_iter().collect();
    assert!(words.len() > 200, "{}", words.len());
    let secret =
        (prop::sample::select(words), any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..4_u8);
    let secret = secret.prop_map(|(word, from, length, how)| {
        let chars: Vec<char> = word.chars().collect();
        let from = if how == 0 { from.index(chars.len()) } else { 0 };
        let part: String = chars[from..].iter().take(3 + length.index(chars.len().max(4))).collect();
        match how {
            0 | 1 => part,
            2 => word,
            _ => format!("{word}-{NEUTRAL}"),
        }
    });
    let config = Config { cases: 48, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let (refused, passed) = (Cell::new(0), Cell::new(0));
    let result = runner.run(&(secret, any::<bool>()), |(secret, kill)| {
        prop_assume!(!secret.is_empty() && !secret.contains("${"));
        // an undo record carries its step's name and its run's id, and is held against them; such a secret is refused
        prop_assume!(!bench.plan.steps.iter().any(|s| s.id.as_str().contains(&secret)));
        prop_assume!(!bench.run.as_str().contains(&secret));
        // so do ids that a run gives by itself
        prop_assume!(!bench.plan.targets.values().flat_map(|t| &t.drawn).any(|t| {
            bench
                .plan
                .steps
                .iter()
                .any(|s| naming::copy_identifier(&bench.run, &s.id, &t.id).contains(&secret))
        }));
        let (bench, came) = runtime().block_on(run_with(&secret, kill.then_some(half)));
        let want = if kill { &rolled_back } else { &whole };
        prop_assert_eq!(came.exit_code, want.exit_code);
        prop_assert_eq!(&came.fold, &want.fold);
        let quoted = format!("{secret:?}");
        let given = want.programs.iter().map(|p| p.replace(NEUTRAL, &quoted[1..quoted.len() - 1]));
        prop_assert_eq!(&came.programs, &given.collect::<Vec<_>>());
        prop_assert!(came.world == want.world, "another world");
        match secrets::check(&bench.plan, &[bench.run.as_str()], &bench.secrets) {
            Err(unfit) => {
                let told = format!("{unfit} {}", unfit.hint());
                prop_assert!(secret.len() < 8 || !told.contains(&secret), "{} shows it", told);
                refused.set(refused.get() + 1);
            }
            Ok(()) => {
                // names of fields inside of what AWS is asked say nothing about anybody
                let on_disk = values(&said(&came.journal)).iter().any(|v| v.contains(&secret));
                prop_assert!(!on_disk, "{} is on disk", secret);
                passed.set(passed.get() + 1);
            }
        }
        Ok(())
    });
    result.unwrap_or_else(|e| panic!("{e}"));
    let (refused, passed) = (refused.get(), passed.get());
    assert!(refused > 10 && passed > 5, "{refused} refused, {passed} not");
    crate::bench::count(&format!("{} secrets made of the words of a plan and a journal", refused + passed));
}

#[test]
fn a_random_password_is_no_word() {
    let (bench, _) = runtime().block_on(run_with(NEUTRAL, None));
    let mut runner = TestRunner::new(Config { cases: 300, failure_persistence: None, ..Config::default() });
    let result = runner.run(&"[A-Za-z0-9!#%+/=_-]{10,30}", |password| {
        let secrets = BTreeMap::from([("pw".to_owned(), password)]);
        prop_assert_eq!(secrets::check(&bench.plan, &[bench.run.as_str()], &secrets), Ok(()));
        Ok(())
    });
    result.unwrap_or_else(|e| panic!("{e}"));
}

#[tokio::test(start_paused = true)]
async fn a_record_whose_secret_is_not_given_is_not_acted_on() {
    // as a rollback on another machine would be that nobody gave the secret
    let options = LoadOptions { env: None, set: vec![("pw".to_owned(), NEUTRAL.to_owned())] };
    let loaded =
        drill::load("drill.yaml", &drill("/health", ALL), &options).unwrap_or_else(|p| panic!("{p}"));
    let mut bench = Bench::planned(&loaded, |_| {}).await;
    let echo = Arc::new(Echo::default());
    let cloud = |bench: &Bench| {
        let mut cloud = bench.sim.cloud();
        cloud.local = Arc::clone(&echo) as Arc<dyn Local>;
        cloud
    };
    let mut play = Play::of(&bench, cloud(&bench), engine::People::Ask);
    play.stage(Stage::Recovery).await;
    let journal = play.killed().await;
    bench.secrets.clear();
    let rollback = async |bench: &Bench, journal: &MemoryJournal| {
        let (next, read) = MemoryJournal::resume(&journal.bytes()).expect("a chain");
        let next = Arc::new(next);
        let (_keep, control) = mpsc::channel::<Control>(1);
        let setup = bench.setup(Mode::Rollback, Arc::clone(&next), read.lines, cloud(bench));
        (engine::run(setup, control).await.expect("it is taken up"), next)
    };
    let (ended, journal) = rollback(&bench, &journal).await;
    assert_eq!(ended.exit_code, 20, "{:?}", ended.reasons);
    assert!(
        ended.reasons[0].contains("it holds the secret `pw`, which was not given"),
        "{:?}",
        ended.reasons
    );
    let text = dump(&journal);
    assert!(text.contains(&format!("redrill rollback {} --set-env pw=…", bench.run)), "{text}");
    let ran = || echo.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
    assert_eq!(ran().len(), 1, "the undo was not begun: {:?}", ran());
    bench.secrets = loaded.secrets.clone();
    let (ended, journal) = rollback(&bench, &journal).await;
    assert_eq!(ended.exit_code, 0, "{:?}\n{}", ended.reasons, dump(&journal));
    assert!(ran()[1].contains(&format!("x{NEUTRAL}y")), "{:?}", ran());
}

const CUT: &str = "objectives: { rto: 10m }
targets: { it: { resource: vpc.subnet, tags: { service: shop, tier: private } } }
fault: [{ action: vpc.detach-route-table, target: it }]
recovery: [{ action: vpc.attach-route-table, target: it }]";

fn ready(step: &str, target: Option<&str>) -> Event {
    Event::StepReady {
        step: StepId::new(step),
        target: target.map(str::to_owned),
        outputs: BTreeMap::new(),
        notes: vec![],
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_plan_has_no_place_for_is_neither_written_nor_read() {
    let bench = Bench::new(&drill("/health", CUT)).await;
    let step = "vpc.detach-route-table";
    let observed = |probe: &str| Event::Observed {
        probe: probe.to_owned(),
        health: redrill::model::Health::Healthy,
        seen: String::new(),
        sent: bench.clock.stamp(),
        answered: bench.clock.stamp(),
        source_at: None,
    };
    for (event, why) in [
        (ready("nobody", None), "no step `nobody`"),
        (ready(step, Some("subnet-0")), "no target `subnet-0`"),
        (ready(step, None), "has targets"),
        (Event::Holding { targets: vec!["subnet-0".to_owned()] }, "no target `subnet-0`"),
        (observed("nobody"), "no probe `nobody`"),
        (Event::Unknown(serde_json::json!({"type": "stage", "stage": "x"})), "another event: stage"),
    ] {
        let journal = Arc::new(MemoryJournal::new());
        let state = RunState::new(Arc::clone(&bench.plan));
        let clock = Arc::clone(&bench.clock);
        let shared = Box::new(SharedJournal(Arc::clone(&journal)));
        let recorder = Recorder::new(shared, state, vec![], clock, BTreeMap::new(), None);
        // all or nothing, and nothing any more after it
        let refused = recorder.durable(vec![Event::Skew { ms: 1 }, event.clone()]).await;
        assert!(
            matches!(&refused, Err(JournalError::Unfit { what }) if what.contains(why)),
            "{refused:?}, not {why}"
        );
        assert!(recorder.is_broken() && journal.lines().is_empty());

        // in a journal that is there already
        if matches!(event, Event::Unknown(_)) {
            continue;
        }
        let journal = Play::start(&bench.again()).ends_with(0).await.1;
        let at =
            journal.lines().iter().position(|l| matches!(l.event, Event::Stage { stage: Stage::Impact }));
        let before: Vec<Event> =
            journal.lines()[..at.expect("an impact")].iter().map(|l| l.event.clone()).collect();
        let forged = MemoryJournal::new();
        use redrill::journal::writer::Journal as _;
        for event in before.into_iter().chain([event]) {
            forged.append(bench.clock.stamp(), &[event], true).await.expect("written");
        }
        for mode in [Mode::Rollback, Mode::Resume] {
            let again = bench.again();
            let (next, read) = MemoryJournal::resume(&forged.bytes()).expect("a chain");
            let (_keep, control) = mpsc::channel::<Control>(1);
            let setup = again.setup(mode, Arc::new(next), read.lines, again.sim.cloud());
            let refused = engine::run(setup, control).await;
            assert!(
                matches!(&refused, Err(EngineError::Misplaced(what)) if what.contains(why)),
                "{refused:?}, not {why}"
            );
            assert_eq!(again.sim.changes(), []);
        }
    }
}

#[test]
fn every_recorded_journal_has_its_place_in_its_plan() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let mut seen = 0;
    for folder in ["bundles", "v0.1.0/bundles"] {
        for entry in std::fs::read_dir(fixtures.join(folder)).expect("a folder") {
            let path = entry.expect("an entry").path();
            let read = |name: &str| {
                std::fs::read(path.join(name)).unwrap_or_else(|e| panic!("{path:?} {name}: {e}"))
            };
            let plan = file::read(&String::from_utf8_lossy(&read("plan.json"))).expect("a plan");
            let lines = reader::read(&read("journal.jsonl")).expect("a chain").lines;
            assert_eq!(RunState::replay(Arc::new(plan), &lines).misplaced, None, "{path:?}");
            seen += 1;
        }
    }
    assert!(seen >= 20, "{seen}");
}

#[tokio::test(start_paused = true)]
async fn a_run_that_does_not_move_ends_at_once() {
    let bench = Bench::new(&drill("/health", CUT)).await;
    let bug = sabotage::commit(Sabotage::StagesAreForgotten);
    let (ended, journal) = bench.go().await;
    drop(bug);
    assert!(matches!(&ended, Err(EngineError::Journal(Some(JournalError::Unmoved { .. })))), "{ended:?}");
    assert!(journal.lines().len() < 60, "{} lines", journal.lines().len());
    assert_eq!(bench.sim.changes(), []);

    // a task that does nothing, for ever: it is given up, and so is the run
    let bench = Bench::new(&drill("/health", CUT)).await;
    let bug = sabotage::commit(Sabotage::TasksDoNothing);
    let ended = tokio::time::timeout(Duration::from_secs(3600), bench.go()).await;
    drop(bug);
    let (ended, journal) = ended.expect("it ends");
    assert_eq!(ended.as_ref().map(|e| e.exit_code).ok(), Some(14), "{ended:?}");
    assert!(journal.lines().len() < 200, "{} lines", journal.lines().len());
}
