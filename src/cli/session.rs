//! One process working on one run: folder, locks, signals, progress, and the result.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tokio::sync::{mpsc, oneshot};

use super::checkpoints::{self, Notary};
use super::out::Outcome;
use super::terminal::{self, Leave};
use super::watching::{self, Show};
use super::{CliError, Global, Kind, Output, out};
use crate::cloud::Cloud;
use crate::engine::recorder::Recorder;
use crate::engine::state::RunState;
use crate::engine::{self, Ended, EngineError, Operator, People, Setup, requests};
use crate::evidence::approval;
use crate::journal::event::Approved;
use crate::journal::inbox::{Door, Inbox as _};
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
    /// The approvals that a new run starts with, with their files.
    pub approvals: Vec<(Approved, Vec<u8>)>,
}

/// Who runs this process.
pub fn operator() -> Operator {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let user = std::env::var("USER")
        .or_else(|_| std::env::var("LOGNAME"))
        .unwrap_or_else(|_| format!("uid {}", rustix::process::getuid().as_raw()));
    Operator { pid: std::process::id(), host, user }
}

/// A fresh run id.
pub fn new_id(clock: &dyn Clock, drill: &str) -> RunId {
    use std::hash::{BuildHasher as _, Hasher as _};
    let entropy = std::collections::hash_map::RandomState::new().build_hasher().finish();
    RunId::new(clock.now(), drill, entropy)
}

/// The keys that a plan's targets are locked under.
pub fn target_keys(plan: &Plan) -> Vec<String> {
    // two emulators of one machine have the same accounts, and often the same names
    let world = match &plan.endpoint {
        Some(endpoint) => format!("{} {endpoint}", plan.world),
        None => plan.world.to_string(),
    };
    plan.targets
        .values()
        .flat_map(|t| &t.drawn)
        .map(|t| {
            let region = if t.kind.is_global() { "global" } else { &plan.region };
            format!("{world}/{}/{region}/{}/{}", plan.account, t.kind, t.id)
        })
        .collect()
}

/// Locks a run and its targets for all state folders of this machine and user. Not below `TMPDIR`, which is
/// another one in each session.
///
/// # Errors
/// As [`TargetLocks::on_machine`].
pub fn on_machine(run: &RunId, targets: &[String]) -> Result<TargetLocks, RunsError> {
    let folder = PathBuf::from(format!("/tmp/redrill-{}", rustix::process::getuid().as_raw()));
    let keys = [&[format!("run {run}")], targets].concat();
    TargetLocks::on_machine(&folder, run, &keys)
}

pub fn io(what: &str) -> impl FnOnce(RunsError) -> CliError + '_ {
    move |e| CliError::new(Kind::Journal, what).because(e)
}

/// A lock that is taken is a refusal; anything else is a failure of the state folder.
pub fn locked(e: RunsError) -> CliError {
    match e {
        RunsError::Locked { .. } => CliError::refused("another redrill is at work there")
            .because(e)
            .hint("wait for it to end, or stop it: redrill abort RUN"),
        e => CliError::new(Kind::Journal, "the state folder cannot be used").because(e),
    }
}

/// Refuses where an unfinished run has any of the same targets, and says whether it is still under way.
pub fn refuse_unfinished(state: &Path, plan: &Plan) -> Result<(), CliError> {
    let keys = target_keys(plan);
    for entry in runs::list(state).map_err(io("the runs cannot be listed"))? {
        let open = entry.verdict.is_none() || entry.verdict == Some(Verdict::Stuck);
        if !open {
            continue;
        }
        let Ok(dir) = runs::find(state, entry.run.as_str()) else { continue };
        let Ok(other) = read_plan(&dir) else { continue };
        if let Some(shared) = target_keys(&other).iter().find(|k| keys.contains(k)) {
            if let Err(e @ RunsError::Locked { .. }) = runs::lock(&dir) {
                return Err(locked(e));
            }
            if read_journal(&dir).is_ok_and(|lines| lines.is_empty()) {
                // it ended before its first line: nothing was sent, so there is nothing to put back
                continue;
            }
            let target = shared.rsplit('/').next().unwrap_or(shared);
            return Err(CliError::refused(format!(
                "run {} is not finished and has the same target {target}",
                entry.run
            ))
            .hint(format!("roll it back first: redrill rollback {}", entry.run)));
        }
    }
    Ok(())
}

/// The plan of a run on disk.
pub fn read_plan(dir: &RunDir) -> Result<Plan, CliError> {
    let bytes = dir.read(runs::PLAN).map_err(io("the run's plan cannot be read"))?;
    file::read(&String::from_utf8_lossy(&bytes)).map_err(|e| {
        CliError::new(Kind::Usage, format!("{} cannot be used", dir.plan().display())).because(e)
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
    CliError::new(Kind::Usage, format!("the journal of run {} cannot be trusted", dir.id()))
        .because(e)
        .hint("nothing was changed; restore the journal from a copy, or put things back by hand")
}

/// Starts a new run and sees it to its end.
pub async fn start(global: &Global, run: RunId, work: Work) -> Result<u8, CliError> {
    // first the locks: a run that is under way is not one that somebody has to finish
    let keys = target_keys(&work.plan);
    let _targets = TargetLocks::take(&global.state, &run, &keys).map_err(locked)?;
    let _machine = on_machine(&run, &keys).map_err(locked)?;
    refuse_unfinished(&global.state, &work.plan)?;
    let plan_text = file::write(&work.plan);
    let dir = runs::create(&global.state, &run, plan_text.as_bytes(), work.plan.source.as_bytes())
        .map_err(io("the run's folder cannot be made"))?;
    let lock = lock(&dir)?;
    for (n, (_, bytes)) in work.approvals.iter().enumerate() {
        let name = format!("{}{}.json", approval::NAME, n + 1);
        dir.write(&name, bytes).map_err(io("an approval cannot be kept"))?;
    }
    let journal = FileJournal::create(dir.journal())
        .map_err(|e| CliError::new(Kind::Journal, "the journal cannot be made").because(e))?;
    work_on(global, &dir, lock, work, Box::new(journal), Vec::new()).await
}

/// Takes up a run on disk: `resume` or `rollback`.
pub async fn take_up(global: &Global, dir: &RunDir, work: Work) -> Result<u8, CliError> {
    let lock = lock(dir)?;
    let keys = target_keys(&work.plan);
    let _targets = TargetLocks::take(&global.state, dir.id(), &keys).map_err(locked)?;
    let _machine = match on_machine(dir.id(), &keys) {
        Err(e @ RunsError::Locked { .. }) => return Err(locked(e)),
        // what is to be put back does not wait for a folder that cannot be used
        other => other.ok(),
    };
    checkpoints::fit(dir).map_err(|why| cut(global, dir).because(why))?;
    let (journal, lines) = open(dir)?;
    work_on(global, dir, lock, work, Box::new(journal), lines).await
}

/// A journal that lacks what is known to have been written.
fn cut(global: &Global, dir: &RunDir) -> CliError {
    let mut sweep = format!("redrill sweep --run {}", dir.id());
    if let Some(profile) = &global.profile {
        sweep = format!("{sweep} --profile {profile}");
    }
    CliError::refused(format!("the journal of run {} is not whole", dir.id()))
        .hint("nothing was changed: take up the newest copy of the run's folder")
        .hint(format!("where there is none, put back by tag: {sweep}"))
}

/// Locks the run. A command that only tells it something, and holds the lock for a moment, is waited for.
fn lock(dir: &RunDir) -> Result<Lock, CliError> {
    let _door = dir.door().map_err(locked)?;
    runs::lock(dir).map_err(locked)
}

/// The journal, to go on with it, and what it holds. The caller has the run's lock.
pub fn open(dir: &RunDir) -> Result<(FileJournal, Vec<Line>), CliError> {
    match FileJournal::open_for_append(dir.journal()) {
        Ok((journal, read)) => Ok((journal, read.lines)),
        Err(JournalError::Changed { source, .. }) => Err(broken(dir, source)),
        Err(e) => Err(CliError::new(Kind::Journal, "the journal cannot be opened").because(e)),
    }
}

async fn work_on(
    global: &Global,
    dir: &RunDir,
    lock: Lock,
    work: Work,
    journal: Box<dyn Journal>,
    lines: Vec<Line>,
) -> Result<u8, CliError> {
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
    let plan_sha256 = work.plan.sha256();
    let plan = Arc::new(work.plan);
    let (clock, secrets) = (Arc::clone(&work.clock), work.secrets.clone());
    let setup = Setup {
        plan: Arc::clone(&plan),
        plan_sha256,
        run: dir.id().clone(),
        cloud: work.cloud,
        clock: work.clock,
        journal,
        lines,
        mode: work.mode,
        approvals: work.approvals.into_iter().map(|(approved, _)| approved).collect(),
        secrets: work.secrets,
        kill_switch: work.kill_switch,
        people: work.people,
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
        false => dir.door().map_err(io(DOOR)),
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
/// whoever comes next finds the run let go of.
async fn last_look(
    dir: &RunDir,
    plan: Arc<Plan>,
    secrets: BTreeMap<String, String>,
    clock: Arc<dyn Clock>,
) -> Result<Door, CliError> {
    let door = dir.door().map_err(io(DOOR))?;
    if !dir.requests().map_err(io(DOOR))?.is_empty() {
        let (journal, lines) = open(dir)?;
        let recorder = Recorder::new(Box::new(journal), RunState::new(plan), lines, clock, secrets, None);
        requests::settle(&recorder, dir, true)
            .await
            .map_err(|e| CliError::new(Kind::Journal, "a late request cannot be recorded").because(e))?;
    }
    Ok(door)
}

/// The exact command: from any folder and shell, it must find the same run and the same account.
pub fn command(global: &Global, verb: &str, dir: &RunDir) -> String {
    let mut command = format!("redrill {verb} {}", dir.id());
    if global.state != Path::new(".redrill") {
        command = format!("{command} --state {}", global.state.display());
    }
    if let Some(profile) = &global.profile {
        command = format!("{command} --profile {profile}");
    }
    command
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
            match source {
                Some(source) => e.because(source),
                None => e,
            }
            .hint(finish)
        }
        EngineError::Cloud(e) => CliError::from(e).hint(finish),
        EngineError::OtherWorld(text) => {
            CliError::refused(text).hint("use the account and endpoint that the run was started with")
        }
        e @ EngineError::Behind(_) => cut(global, dir).because(e),
        EngineError::Left => {
            CliError::new(Kind::Stuck, "left on the third signal; what was changed is still changed")
                .hint(finish)
        }
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
    use crate::journal::inbox::Request;
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

    #[tokio::test(start_paused = true)]
    async fn what_comes_after_the_engines_last_look_is_answered_behind_the_closed_door() {
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

        let door = last_look(&dir, Arc::clone(&plan), BTreeMap::new(), clock).await.unwrap();
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

    const CUT: &str = "version: 1
name: cut
title: Cut
service: shop
objectives: { rto: 1h }
limits: { accounts: [\"123456789012\"], regions: [us-east-1], max_targets: 2 }
targets: { it: { resource: vpc.subnet, tags: { service: shop, tier: private } } }
steady_state: [{ probe: tcp, with: { host: shop.example.com, port: 443 } }]
fault: [{ action: vpc.detach-route-table, target: it }]";

    #[tokio::test(start_paused = true)]
    async fn a_run_that_ended_before_its_first_line_is_in_nobodys_way() {
        let start = DateTime::from_timestamp(1_790_000_000, 0).unwrap();
        let clock: Arc<dyn Clock> = Arc::new(VirtualClock::starting_at(start));
        let cloud = Sim::from_estate(ESTATE_JSON, Arc::clone(&clock)).unwrap().cloud();
        let loaded = drill::load("drill.yaml", CUT, &LoadOptions::default()).unwrap();
        let options = BuildOptions::new(World::Sim, cloud.region.clone());
        let plan = plan::build(&loaded, &cloud.reads, clock.as_ref(), &options).await.unwrap();
        assert_eq!(target_keys(&plan).len(), 2);
        let state = tempfile::tempdir().unwrap();
        let run = new_id(clock.as_ref(), "cut");
        let dir = runs::create(state.path(), &run, file::write(&plan).as_bytes(), b"x: 1\n").unwrap();
        refuse_unfinished(state.path(), &plan).unwrap();
        let journal = FileJournal::create(dir.journal()).unwrap();
        refuse_unfinished(state.path(), &plan).unwrap();
        journal.append(clock.stamp(), &[Event::Skew { ms: 1 }], true).await.unwrap();
        let refused = refuse_unfinished(state.path(), &plan).unwrap_err();
        assert!(refused.hints()[0].contains(&format!("redrill rollback {run}")), "{}", refused.text());
    }
}
