//! One process working on one run: folder, locks, signals, progress, and the result.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use tokio::sync::{mpsc, oneshot};

use super::checkpoints::{self, Notary};
use super::given;
use super::guard::{by_hand, service_key, unfinished};
pub use super::guard::{
    by_tag, command, command_in, locked, machine_locks, on_machine, refuse_unfinished, remove, target_keys,
};
use super::out::Outcome;
use super::safe::{self, FileSafe};
use super::terminal::{self, Leave};
use super::watching::{self, Show};
use super::{CliError, Global, Kind, Output, out};
use crate::cloud::{Cloud, Reads};
use crate::engine::recorder::Recorder;
use crate::engine::state::RunState;
use crate::engine::{self, Accepted, Ended, EngineError, Operator, People, Setup, requests};
use crate::evidence::{approval, merkle};
use crate::journal::chain;
use crate::journal::event::{Approved, Chained};
use crate::journal::inbox::{Door, Inbox};
use crate::journal::runs::{self, Lock, RunDir, RunsError, TargetLocks};
use crate::journal::writer::{FileJournal, Journal, JournalError};
use crate::journal::{Event, Line, Mode, Verdict, reader};
use crate::model::{Clock, RunId, StepId};
use crate::plan::house::KillSwitch;
use crate::plan::{Plan, file};
use crate::report;
use crate::view::RunView;

/// What a process is about to do.
pub struct Work {
    /// The plan.
    pub plan: Plan,
    /// Secret parameters.
    pub secrets: BTreeMap<String, String>,
    /// The world.
    pub cloud: Cloud,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Why.
    pub mode: Mode,
    /// The kill switch of the `redrill.toml` at hand, where it may be another than the plan's.
    pub kill_switch: KillSwitch,
    /// Who confirms manual steps.
    pub people: People,
    /// A person says that programs which cannot be looked for from here have ended.
    pub programs_ended: bool,
    /// What is stuck and is left as it is.
    pub accepted: Vec<Accepted>,
    /// The approvals that a new run starts with, with their files.
    pub approvals: Vec<(Approved, Vec<u8>)>,
}

/// Who runs this process: the user as the operating system knows the process's own id, whatever the
/// environment says. The machine's name is what it calls itself.
pub fn operator() -> Operator {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let uid = nix::unistd::getuid();
    let known = nix::unistd::User::from_uid(uid).ok().flatten().map(|u| u.name);
    let user = known.filter(|n| !n.is_empty()).unwrap_or_else(|| format!("uid {uid}"));
    Operator { pid: std::process::id(), host, user }
}

/// A fresh run id.
pub fn new_id(clock: &dyn Clock, drill: &str) -> RunId {
    use std::hash::{BuildHasher as _, Hasher as _};
    let entropy = std::collections::hash_map::RandomState::new().build_hasher().finish();
    RunId::new(clock.now(), drill, entropy)
}

pub fn io(what: &str) -> impl FnOnce(RunsError) -> CliError + '_ {
    move |e| CliError::new(Kind::Journal, what).because(e)
}

/// The plan of a run on disk.
pub fn read_plan(dir: &RunDir) -> Result<Plan, CliError> {
    let by_hand = |e: CliError| by_hand(dir).into_iter().fold(e, CliError::hint);
    let bytes = dir.read(runs::PLAN).map_err(|e| by_hand(io("the run's plan cannot be read")(e)))?;
    file::read(&String::from_utf8_lossy(&bytes)).map_err(|e| {
        let told = format!("{} cannot be used", dir.plan().display());
        by_hand(CliError::new(Kind::Usage, told).because(e))
    })
}

/// The plan that a run was started with.
pub fn plan_of(dir: &RunDir, lines: &[Line]) -> Result<Plan, CliError> {
    let plan = read_plan(dir)?;
    match lines.first().map(|l| &l.event) {
        Some(Event::Header { plan_sha256, .. }) if *plan_sha256 != plan.sha256() => {
            let text = format!("the plan of run {} is not the one it was started with", dir.id());
            Err(CliError::usage(text).hint("restore plan.json from a copy; nothing was changed"))
        }
        _ => Ok(plan),
    }
}

/// The lines of a run on disk.
pub fn read_journal(dir: &RunDir) -> Result<Vec<Line>, CliError> {
    let bytes = match dir.read(runs::JOURNAL) {
        Ok(bytes) => bytes,
        Err(RunsError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(e) => return Err(io("the journal cannot be read")(e)),
    };
    Ok(reader::read(&bytes).map_err(|e| broken(dir, e))?.lines)
}

pub fn broken(dir: &RunDir, e: impl std::error::Error) -> CliError {
    let text = format!("the journal of run {} cannot be trusted", dir.id());
    let told = CliError::new(Kind::Usage, text).because(e).hint("nothing was changed");
    by_hand(dir).into_iter().fold(told, CliError::hint)
}

/// Starts a new run and sees it to its end.
pub async fn start(global: &Global, run: RunId, work: Work) -> Result<u8, CliError> {
    // first the locks: a run that is under way is not one that somebody has to finish
    let keys = target_keys(&work.plan);
    let targets = TargetLocks::take(&global.state, &run, &keys).map_err(|e| locked(global, e))?;
    let all = [&keys[..], &[service_key(&work.plan)]].concat();
    let machine = on_machine(&global.state, &run, &all).map_err(|e| locked(global, e))?;
    refuse_unfinished(global, &work.plan)?;
    if let Some((holder, other)) = machine.left.iter().find_map(|h| Some((h, h.run.as_ref()?))) {
        let rollback = command_in(global, "rollback", other, holder.state.as_deref());
        let why = "has the same targets or service";
        let dir = RunDir::at(holder.state.as_deref().unwrap_or(&global.state).join("runs").join(other));
        return Err(dir.map_or_else(
            || CliError::refused(format!("run {other} is not finished and {why}")).hint(&rollback),
            |dir| unfinished(&dir, why, &rollback),
        ));
    }
    let plan_text = file::write(&work.plan);
    let dir = runs::create(&global.state, &run, plan_text.as_bytes(), work.plan.source.as_bytes())
        .map_err(io("the run's folder cannot be made"))?;
    let lock = lock(global, &dir)?;
    given::keep(&dir, &work.secrets)?;
    for (n, (_, bytes)) in work.approvals.iter().enumerate() {
        let name = format!("{}{}.json", approval::NAME, n + 1);
        dir.write(&name, bytes).map_err(io("an approval cannot be kept"))?;
    }
    let chained = chain::begin(&global.state, &run, work.clock.now(), |journal| {
        merkle::hex(&merkle::root(&merkle::leaves(journal)))
    });
    let chained = chained.map_err(unlisted)?;
    let journal = FileJournal::create(dir.journal())
        .and_then(FileJournal::in_a_thread)
        .map_err(|e| CliError::new(Kind::Journal, "the journal cannot be made").because(e))?;
    let done = work_on(global, &dir, lock, work, Box::new(journal), Written::Nothing(chained)).await;
    let_go(&dir, &[&targets, &machine]);
    done
}

/// What is locked is left to tell of a run that is not finished; else nothing is left.
fn let_go(dir: &RunDir, locks: &[&TargetLocks]) {
    if finished(dir) {
        safe::remove(dir);
    } else {
        locks.iter().for_each(|locks| locks.leave());
    }
}

/// Whether nobody has to finish the run.
fn finished(dir: &RunDir) -> bool {
    runs::entry_of(dir).verdict.is_some_and(|v| v != Verdict::Stuck)
}

/// Takes up a run on disk: `resume` or `rollback`.
pub async fn take_up(global: &Global, dir: &RunDir, work: Work) -> Result<u8, CliError> {
    let lock = lock(global, dir)?;
    let keys = target_keys(&work.plan);
    let targets = TargetLocks::take(&global.state, dir.id(), &keys).map_err(|e| locked(global, e))?;
    let machine = match on_machine(&global.state, dir.id(), &keys) {
        Err(e @ RunsError::Locked { .. }) => return Err(locked(global, e)),
        // what is to be put back does not wait for a folder that cannot be used
        other => other.ok(),
    };
    // nor for another run of the service that has begun elsewhere
    let service =
        TargetLocks::on_machine(&machine_locks(), &global.state, dir.id(), &[service_key(&work.plan)]).ok();
    checkpoints::fit(dir).map_err(|why| cut(global, dir).because(why))?;
    let (journal, lines) = open(dir)?;
    let journal = journal
        .in_a_thread()
        .map_err(|e| CliError::new(Kind::Journal, "the journal cannot be written").because(e))?;
    let done = work_on(global, dir, lock, work, Box::new(journal), Written::Lines(lines)).await;
    let locks: Vec<&TargetLocks> =
        [Some(&targets), machine.as_ref(), service.as_ref()].into_iter().flatten().collect();
    let_go(dir, &locks);
    done
}

/// A journal that lacks what is known to have been written.
fn cut(global: &Global, dir: &RunDir) -> CliError {
    CliError::refused(format!("the journal of run {} is not whole", dir.id()))
        .hint("nothing was changed: take up the newest copy of the run's folder")
        .hint(format!("where there is none, put back by tag: {}", by_tag(global, dir.id().as_str())))
        .hint(&by_hand(dir)[1])
}

/// Locks the run. A command that only tells it something, and holds the lock for a moment, is waited for.
fn lock(global: &Global, dir: &RunDir) -> Result<Lock, CliError> {
    let _door = entered(dir).map_err(|e| locked(global, e))?;
    runs::lock(dir).map_err(|e| locked(global, e))
}

/// The run's door; `None` where another process keeps it: putting things back, or ending, does not wait for that.
fn entered(dir: &RunDir) -> Result<Option<Door>, RunsError> {
    match dir.door() {
        Err(e @ RunsError::DoorHeld { .. }) => {
            out::note(&format!("{e}: going on without it; a request that is left now may not be read"));
            Ok(None)
        }
        door => door.map(Some),
    }
}

/// The journal, to go on with it, and what it holds. The caller has the run's lock.
pub fn open(dir: &RunDir) -> Result<(FileJournal, Vec<Line>), CliError> {
    match FileJournal::open_for_append(dir.journal()) {
        Ok((journal, read)) => Ok((journal, read.lines)),
        Err(JournalError::Changed { source, .. }) => Err(broken(dir, source)),
        Err(e) => Err(CliError::new(Kind::Journal, "the journal cannot be opened").because(e)),
    }
}

/// What a run's journal holds when a process begins to work on it.
enum Written {
    /// Nothing yet; the new run's place in the list of runs.
    Nothing(Chained),
    /// These lines.
    Lines(Vec<Line>),
}

/// The list of runs cannot be used: a run that is not on it could be thrown away unseen.
fn unlisted(e: RunsError) -> CliError {
    let e = CliError::new(Kind::Journal, "the run cannot be put on the list of runs").because(e);
    e.hint("nothing was changed; where the list is damaged, move it aside: the next run begins a new one")
}

async fn work_on(
    global: &Global,
    dir: &RunDir,
    lock: Lock,
    work: Work,
    journal: Box<dyn Journal>,
    written: Written,
) -> Result<u8, CliError> {
    let (chain, lines) = match written {
        Written::Nothing(chained) => (Some(chained), Vec::new()),
        Written::Lines(lines) => (None, lines),
    };
    out::detach();
    let (control, controls) = mpsc::channel(64);
    let (watcher, watched) = watching::watch();
    let waiting: Arc<Mutex<Option<StepId>>> = Arc::default();
    let (say, said) = mpsc::unbounded_channel();
    let say = move |text: &str| _ = say.send(text.to_owned());
    let rto_ms = work.plan.drill.objectives.rto.ms();
    let ears = terminal::listen(control.clone(), say, leaving(global, dir, rto_ms));
    if out::can_ask() {
        terminal::keys(control, Arc::clone(&waiting));
    }
    let (over, is_over) = oneshot::channel();
    let show = Show {
        output: global.output,
        watched,
        view: RunView::of(&lines),
        clock: Arc::clone(&work.clock),
        waiting,
        notary: Notary::new(global, dir, Arc::clone(&work.clock)),
        said,
        over: is_over,
    };
    let show = tokio::spawn(show.until_over());
    let kept = Arc::new(FileSafe::open(&global.state, dir));
    let cloud = Cloud { reads: Reads { safe: kept, ..work.cloud.reads }, ..work.cloud };
    let plan_sha256 = work.plan.sha256();
    let plan = Arc::new(work.plan);
    let (clock, secrets) = (Arc::clone(&work.clock), work.secrets.clone());
    let setup = Setup {
        plan: Arc::clone(&plan),
        plan_sha256,
        run: dir.id().clone(),
        cloud,
        clock: work.clock,
        journal,
        lines,
        mode: work.mode,
        finish: command(global, "rollback", dir),
        chain,
        approvals: work.approvals.into_iter().map(|(approved, _)| approved).collect(),
        secrets: work.secrets,
        kill_switch: work.kill_switch,
        people: work.people,
        programs_ended: work.programs_ended,
        accepted: work.accepted,
        operator: operator(),
        inbox: Some(Arc::new(dir.clone())),
        watcher: Some(watcher),
    };
    let ended = engine::run(setup, controls).await;
    let ended = ended.map_err(|e| failed(global, dir, e));
    ears.run_is_over(ended.as_ref().map_or_else(CliError::exit_code, |e| e.exit_code));
    let _ended = over.send(());
    let shown = show.await;
    // an unfinished run keeps its requests for the next process; a finished one leaves none unanswered
    let door = match ended.is_ok() {
        true => last_look(dir, plan, secrets, Arc::clone(&clock)).await,
        false => entered(dir).map_err(io(DOOR)),
    };
    if let Ok(notary) = shown {
        notary.end();
    }
    let report = write_reports(global, dir);
    drop(lock);
    out::settle();
    if let Err(e) = door {
        out::error(&e);
    }
    match ended {
        Ok(ended) => {
            result(global, dir, &ended, rto_ms, report.as_ref().ok());
            if let Err(e) = report {
                // a report that cannot be written changes nothing about the run
                out::error(&e);
            }
            Ok(ended.exit_code)
        }
        Err(e) => {
            if global.output == Output::Json {
                let (run, rto_ms) = (Some(dir.id()), Some(rto_ms));
                out::result(&Outcome { run, rto_ms, exit_code: e.exit_code(), ..Outcome::default() });
            }
            Err(e.told())
        }
    }
}

pub const DOOR: &str = "the run's inbox cannot be used";

/// Answers what came after the engine's last look. While the door is held nobody leaves more, and
/// whoever comes next finds the run let go of. What lies there is answered also where another process keeps the door.
async fn last_look(
    dir: &RunDir,
    plan: Arc<Plan>,
    secrets: BTreeMap<String, String>,
    clock: Arc<dyn Clock>,
) -> Result<Option<Door>, CliError> {
    let door = entered(dir).map_err(io(DOOR))?;
    if !dir.requests().map_err(io(DOOR))?.is_empty() {
        let (journal, lines) = open(dir)?;
        let recorder = Recorder::new(Box::new(journal), RunState::new(plan), lines, clock, secrets, None);
        let inbox: Arc<dyn Inbox> = Arc::new(dir.clone());
        requests::settle(&recorder, &inbox, true)
            .await
            .map_err(|e| CliError::new(Kind::Journal, "a late request cannot be recorded").because(e))?;
    }
    Ok(door)
}

/// Ends the process although something still holds it up. What is on record stays; the locks go with it.
fn leaving(global: &Global, dir: &RunDir, rto_ms: i64) -> impl Fn(Leave) + Send + 'static {
    let (global, dir) = (global.clone(), dir.clone());
    move |why| {
        let (exit_code, left) = match why {
            Leave::AfterTheEnd(code) => (code, None),
            Leave::ThirdSignal => {
                let e = failed(&global, &dir, EngineError::Left);
                (e.exit_code(), Some(e))
            }
        };
        if global.output == Output::Json && !out::has_result() {
            let (run, rto_ms) = (Some(dir.id()), Some(rto_ms));
            out::result(&Outcome { run, rto_ms, exit_code, ..Outcome::default() });
        }
        if let Some(e) = left {
            out::error(&e);
        }
        out::finish();
        #[expect(clippy::disallowed_methods, reason = "whatever would have to return stands still")]
        std::process::exit(i32::from(exit_code));
    }
}

fn failed(global: &Global, dir: &RunDir, e: EngineError) -> CliError {
    let finish = format!("finish it with: {}", command(global, "rollback", dir));
    match e {
        EngineError::Journal(source) => {
            let e = CliError::new(Kind::Journal, "the journal cannot be written; nothing more was changed");
            let e = match source {
                Some(source) => e.because(source),
                None => e,
            };
            match dir.journal().is_file() {
                true => e.hint(finish),
                false => e.hint(format!(
                    "its journal is gone: put back by tag: {}",
                    by_tag(global, dir.id().as_str())
                )),
            }
        }
        EngineError::Cloud(e) => CliError::from(e).hint(finish),
        EngineError::OtherWorld(text) => {
            let e = CliError::refused(text)
                .hint("nothing was changed; use the endpoint and the account that the run was started with");
            match read_plan(dir) {
                Ok(plan) => super::place::gone(e, &plan, dir),
                Err(_) => e,
            }
        }
        e @ EngineError::HeldByAnother { .. } => CliError::refused(e.to_string())
            .hint(format!("nothing was changed; once that run has ended, {finish}")),
        e @ EngineError::Behind(_) => cut(global, dir).because(e),
        EngineError::Left => {
            CliError::new(Kind::Stuck, "left on the third signal; what was changed is still changed")
                .hint(finish)
        }
        e @ EngineError::Misplaced(_) => broken(dir, e),
        e @ EngineError::NotStuck(_) => CliError::usage(e.to_string()),
        e @ EngineError::UnknownEvents(_) => {
            CliError::refused("this redrill is too old for the run").because(e)
        }
    }
}

/// Writes `report.json` and `report.md` from the run's folder.
fn write_reports(global: &Global, dir: &RunDir) -> Result<PathBuf, CliError> {
    let record = super::material::Folder::read(dir)?.record(&global.settings);
    dir.write("report.json", report::json::report(&record).as_bytes())
        .map_err(io("the report cannot be written"))?;
    dir.write("report.md", report::markdown::report(&record).as_bytes())
        .map_err(io("the report cannot be written"))?;
    Ok(dir.path().join("report.md"))
}

fn result(global: &Global, dir: &RunDir, ended: &Ended, rto_ms: i64, report: Option<&PathBuf>) {
    match global.output {
        Output::Json => out::result(&Outcome {
            run: Some(dir.id()),
            verdict: ended.verdict,
            measured: Some(&ended.measured),
            rto_ms: Some(rto_ms),
            exit_code: ended.exit_code,
        }),
        Output::Text => {
            let Ok(lines) = read_journal(dir) else { return };
            let place = report.map(|p| p.display().to_string());
            out::print(&report::text::summary(&RunView::of(&lines), place.as_deref()));
            if ended.measured == crate::journal::Measured::default() {
                for reason in &ended.reasons {
                    out::line(reason);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::drill::{self, LoadOptions};
    use crate::engine::requests::answer;
    use crate::journal::Measured;
    use crate::journal::inbox::{Left, Request};
    use crate::model::World;
    use crate::model::time::VirtualClock;
    use crate::plan::{self, BuildOptions};
    use crate::sandbox::ESTATE_JSON;
    use crate::sim::Sim;

    const DRILL: &str = "version: 1
name: talk
title: Talk
service: shop
objectives: { rto: 1h }
limits: { accounts: [\"123456789012\"], regions: [us-east-1], max_targets: 1 }
targets: {}
steady_state: [{ probe: tcp, with: { host: shop.example.com, port: 443 } }]
recovery: [{ manual: Call the team, id: call }]";

    /// A run on record as ended, and a request that came too late.
    async fn late() -> (tempfile::TempDir, RunDir, Arc<Plan>, Arc<dyn Clock>, Left) {
        let start = DateTime::from_timestamp(1_790_000_000, 0).unwrap();
        let clock: Arc<dyn Clock> = Arc::new(VirtualClock::starting_at(start));
        let cloud = Sim::from_estate(ESTATE_JSON, Arc::clone(&clock)).unwrap().cloud();
        let loaded = drill::load("drill.yaml", DRILL, &LoadOptions::default()).unwrap();
        let options = BuildOptions::new(World::Sim, cloud.region.clone());
        let plan = Arc::new(plan::build(&loaded, &cloud.reads, clock.as_ref(), &options).await.unwrap());
        let state = tempfile::tempdir().unwrap();
        let dir = runs::create(state.path(), &new_id(clock.as_ref(), "talk"), b"{}", b"x: 1\n").unwrap();
        let end = Event::Finished {
            verdict: Verdict::Passed,
            exit_code: 0,
            reasons: vec![],
            measured: Box::new(Measured::default()),
        };
        FileJournal::create(dir.journal()).unwrap().append(clock.stamp(), &[end], true).await.unwrap();
        let request = Request::Abort { note: "late".into() };
        let left = dir.leave(&dir.door().unwrap(), clock.now(), "ann@desk", request).unwrap();
        (state, dir, plan, clock, left)
    }

    #[tokio::test(start_paused = true)]
    async fn who_keeps_the_door_freezes_neither_the_end_of_a_run_nor_what_puts_it_back() {
        let (_state, dir, plan, clock, _) = late().await;
        let other = dir.door().unwrap();
        assert!(last_look(&dir, plan, BTreeMap::new(), clock).await.unwrap().is_none());
        let lines = read_journal(&dir).unwrap();
        assert!(matches!(lines[1].event, Event::RequestUnused { .. }), "{:?}", lines[1].event);
        assert_eq!(dir.requests().unwrap(), []);
        assert!(entered(&dir).unwrap().is_none());
        drop(other);
        assert!(entered(&dir).unwrap().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_after_the_engines_last_look_is_answered_behind_the_closed_door() {
        let (_state, dir, plan, clock, left) = late().await;
        let door = last_look(&dir, Arc::clone(&plan), BTreeMap::new(), clock).await.unwrap();
        assert!(door.is_some());
        let lines = read_journal(&dir).unwrap();
        let unused = answer(
            &RunState::replay(plan, &lines),
            "ann@desk",
            &left.request,
            Some(left.asked.clone()),
            true,
        );
        assert_eq!((lines.len(), Some(&lines[1].event)), (2, unused.as_ref()));
        assert!(matches!(unused, Some(Event::RequestUnused { .. })), "{unused:?}");
        assert_eq!(dir.requests().unwrap(), []);
        let inbox = std::fs::File::open(dir.path().join("inbox")).unwrap();
        assert!(inbox.try_lock().is_err(), "nobody leaves anything between this and the run's lock");
        drop(door);
        inbox.try_lock().unwrap();
    }
}
