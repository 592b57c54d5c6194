//! One process working on one run: folder, locks, signals, inbox, progress, and the result.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::mpsc;

use super::checkpoints::Checkpoints;
use super::out::Outcome;
use super::progress::Progress;
use super::{CliError, Global, Kind, Output, out};
use crate::cloud::Cloud;
use crate::engine::{self, Control, Ended, EngineError, Operator, People, Setup};
use crate::journal::runs::{self, Request, RunDir, RunsError, TargetLocks};
use crate::journal::writer::{FileJournal, Journal, JournalError};
use crate::journal::{Event, Line, Mode, Verdict, reader};
use crate::model::{Clock, RunId, StepId};
use crate::plan::{Plan, file};
use crate::report;
use crate::view::RunView;

/// How often the inbox is looked at.
const INBOX_EVERY: Duration = Duration::from_millis(300);

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
    /// Who confirms manual steps.
    pub people: People,
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
    plan.targets
        .values()
        .flat_map(|t| &t.drawn)
        .map(|t| format!("{}/{}/{}/{}/{}", plan.world, plan.account, plan.region, t.kind, t.id))
        .collect()
}

fn io(what: &str) -> impl FnOnce(RunsError) -> CliError + '_ {
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
    let _targets = TargetLocks::take(&global.state, &run, &target_keys(&work.plan)).map_err(locked)?;
    refuse_unfinished(&global.state, &work.plan)?;
    let plan_text = file::write(&work.plan);
    let dir = runs::create(&global.state, &run, plan_text.as_bytes(), work.plan.source.as_bytes())
        .map_err(io("the run's folder cannot be made"))?;
    let _lock = runs::lock(&dir).map_err(locked)?;
    let journal = FileJournal::create(dir.journal())
        .map_err(|e| CliError::new(Kind::Journal, "the journal cannot be made").because(e))?;
    work_on(global, &dir, work, Box::new(journal), Vec::new()).await
}

/// Takes up a run on disk: `resume` or `rollback`.
pub async fn take_up(global: &Global, dir: &RunDir, work: Work) -> Result<u8, CliError> {
    let _lock = runs::lock(dir).map_err(locked)?;
    let _targets = TargetLocks::take(&global.state, dir.id(), &target_keys(&work.plan)).map_err(locked)?;
    let opened = FileJournal::open_for_append(dir.journal());
    let (journal, read) = match opened {
        Ok(both) => both,
        Err(e @ JournalError::Changed { .. }) => return Err(broken(dir, e)),
        Err(e) => return Err(CliError::new(Kind::Journal, "the journal cannot be opened").because(e)),
    };
    work_on(global, dir, work, Box::new(journal), read.lines).await
}

async fn work_on(
    global: &Global,
    dir: &RunDir,
    work: Work,
    journal: Box<dyn Journal>,
    lines: Vec<Line>,
) -> Result<u8, CliError> {
    let (control, controls) = mpsc::channel(64);
    let (watcher, watched) = mpsc::unbounded_channel();
    let waiting: Arc<Mutex<Option<StepId>>> = Arc::default();
    let helpers = [tokio::spawn(signals(control.clone())), tokio::spawn(inbox(dir.clone(), control.clone()))];
    if out::can_ask() {
        ask_keys(control, Arc::clone(&waiting));
    }
    let view = RunView::of(&lines);
    let clock = Arc::clone(&work.clock);
    let checkpoints = Checkpoints::new(&global.state, dir);
    let show = tokio::spawn(show(global.output, watched, view, work.clock.clone(), waiting, checkpoints));
    let plan_sha256 = work.plan.sha256();
    let rto_ms = work.plan.drill.objectives.rto.ms();
    let setup = Setup {
        plan: Arc::new(work.plan),
        plan_sha256,
        run: dir.id().clone(),
        cloud: work.cloud,
        clock: work.clock,
        journal,
        lines,
        mode: work.mode,
        secrets: work.secrets,
        people: work.people,
        operator: operator(),
        watcher: Some(watcher),
    };
    let ended = engine::run(setup, controls).await;
    for h in helpers {
        h.abort();
    }
    // the engine has dropped its end, so the view comes to its end, too
    if let Ok(mut checkpoints) = show.await {
        checkpoints.take("end", &*clock);
    }
    let report = write_reports(global, dir);
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
            let e = failed(global, dir, e);
            if global.output == Output::Json {
                let (run, rto_ms) = (Some(dir.id()), Some(rto_ms));
                out::result(&Outcome { run, rto_ms, exit_code: e.exit_code(), ..Outcome::default() });
            }
            Err(e.told())
        }
    }
}

fn failed(global: &Global, dir: &RunDir, e: EngineError) -> CliError {
    // the exact command: from any folder and shell, it must find the same run and the same account
    let mut finish = format!("finish it with: redrill rollback {}", dir.id());
    if global.state != Path::new(".redrill") {
        finish = format!("{finish} --state {}", global.state.display());
    }
    if let Some(profile) = &global.profile {
        finish = format!("{finish} --profile {profile}");
    }
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
    dir.write("report.md", report::markdown::report(&record.run).as_bytes())
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

/// Sent where a write would exceed the file-size limit; the same number on Linux and macOS.
const SIGXFSZ: i32 = 25;

async fn signals(control: mpsc::Sender<Control>) {
    use tokio::signal::unix::{SignalKind, signal};
    // a file-size limit must come back from the write as an error, not end the process
    let _too_large = signal(SignalKind::from_raw(SIGXFSZ));
    let (Ok(mut int), Ok(mut term), Ok(mut hup)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()), signal(SignalKind::hangup()))
    else {
        return;
    };
    loop {
        let name = tokio::select! {
            _ = int.recv() => "SIGINT",
            _ = term.recv() => "SIGTERM",
            _ = hup.recv() => "SIGHUP",
        };
        if control.send(Control::Signal(name.to_owned())).await.is_err() {
            return;
        }
    }
}

async fn inbox(dir: RunDir, control: mpsc::Sender<Control>) {
    loop {
        // a request that cannot be read stays where it is; the next look tries again
        for request in dir.take_all().unwrap_or_default() {
            let message = match request {
                Request::Mark { mark, at, by, note } => Control::Mark { mark, at, by, note },
                Request::Confirm { step, by, note } => Control::Confirm { step, by, note },
                Request::Abort { by, note } => Control::Abort { by, note },
            };
            if control.send(message).await.is_err() {
                return;
            }
        }
        tokio::time::sleep(INBOX_EVERY).await;
    }
}

/// Reads lines from the terminal: each confirms the manual step that waits, if one does.
fn ask_keys(control: mpsc::Sender<Control>, waiting: Arc<Mutex<Option<StepId>>>) {
    // a thread of its own: reading the terminal cannot be interrupted, and must not hold the run up
    std::thread::spawn(move || {
        let who = operator();
        let mut text = String::new();
        while std::io::stdin().read_line(&mut text).is_ok_and(|n| n > 0) {
            let step = waiting.lock().ok().and_then(|mut w| w.take());
            if let Some(step) = step {
                let note = text.trim().to_owned();
                let by = format!("{}@{}", who.user, who.host);
                if control.blocking_send(Control::Confirm { step, by, note }).is_err() {
                    return;
                }
            }
            text.clear();
        }
    });
}

async fn show(
    output: Output,
    mut lines: mpsc::UnboundedReceiver<Line>,
    mut view: RunView,
    clock: Arc<dyn Clock>,
    waiting: Arc<Mutex<Option<StepId>>>,
    mut checkpoints: Checkpoints,
) -> Checkpoints {
    let mut progress = (output == Output::Text).then(|| Progress::new(out::watched()));
    let mut tick = tokio::time::interval(Duration::from_millis(250));
    loop {
        tokio::select! {
            line = lines.recv() => {
                let Some(line) = line else { break };
                if let Event::Waiting { step, .. } = &line.event
                    && let Ok(mut w) = waiting.lock()
                {
                    *w = Some(step.clone());
                }
                match &line.event {
                    Event::Attached { .. } => checkpoints.take("start", &*clock),
                    Event::Stage { stage } => checkpoints.take(&format!("{stage:?}").to_lowercase(), &*clock),
                    _ => {}
                }
                if output == Output::Json {
                    out::json(&line);
                }
                view.apply(&line);
                if let Some(p) = &mut progress {
                    p.update(&view, &line, clock.now());
                }
            }
            _ = tick.tick() => {
                if let Some(p) = &mut progress {
                    p.draw(&view, clock.now());
                }
            }
        }
    }
    if let Some(p) = &mut progress {
        p.end();
    }
    checkpoints
}
