//! `redrill mark`, `confirm` and `abort`: what people tell a run that is not finished.
//!
//! Each leaves a request in the run's inbox and then tries the run's lock. If a process holds it, that
//! process records the request, with who and when. If nobody does, the command records it itself, as
//! that process would have, and nothing is left behind. What can be seen to be of no use is refused.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::{Args, ValueEnum};

use super::at_work::AtWork;
use super::runs::finished;
use super::session::{self, DOOR, command, io, operator, read_journal};
use super::{CliError, Global, Kind, Output, masked, out, place, run, runtime};
use crate::engine::EngineError;
use crate::engine::decide::{self, Task};
use crate::engine::recorder::Recorder;
use crate::engine::requests;
use crate::engine::state::RunState;
use crate::journal::inbox::{Inbox as _, Left, Request};
use crate::journal::runs::{self, RunDir, RunsError};
use crate::journal::{Event, Line, Mark, Mode};
use crate::model::{Clock as _, StepId, time::SystemClock};
use crate::plan::Plan;

/// What is to be kept out of the journal.
#[derive(Debug, Args)]
struct Known {
    // needed only while no process works on the run
    #[command(flatten)]
    set: super::set::Set,
}

/// Set a time mark on a run.
#[derive(Debug, Args)]
pub struct MarkArgs {
    /// Id, unique prefix, path, or `last`.
    run: String,
    /// Which mark.
    #[arg(value_enum)]
    mark: MarkKind,
    /// When it was, if not now (RFC 3339).
    #[arg(long, value_name = "TIME", value_parser = time)]
    at: Option<DateTime<Utc>>,
    /// Anything worth keeping.
    #[arg(long, default_value = "")]
    note: String,
    #[command(flatten)]
    known: Known,
}

fn time(s: &str) -> Result<DateTime<Utc>, String> {
    let read = DateTime::parse_from_rfc3339(s).map(|t| t.to_utc());
    read.map_err(|_| "write a time with its zone, for example 2026-01-31T14:05:00Z".to_owned())
}

/// The marks people set.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum MarkKind {
    /// T1: somebody or something noticed.
    Detected,
    /// T2: somebody took it.
    Ack,
    /// T3: the disaster was declared.
    Declare,
    /// Anything else worth a time.
    Note,
}

impl From<MarkKind> for Mark {
    fn from(k: MarkKind) -> Self {
        match k {
            MarkKind::Detected => Self::Detected,
            MarkKind::Ack => Self::Ack,
            MarkKind::Declare => Self::Declare,
            MarkKind::Note => Self::Note,
        }
    }
}

/// Confirm a manual step that waits.
#[derive(Debug, Args)]
pub struct ConfirmArgs {
    /// Id, unique prefix, path, or `last`.
    run: String,
    /// The step.
    step: String,
    /// What was done.
    #[arg(long, default_value = "")]
    note: String,
    #[command(flatten)]
    known: Known,
}

/// Stop a run and roll it back.
#[derive(Debug, Args)]
pub struct AbortArgs {
    /// Id, unique prefix, path, or `last`.
    run: String,
    /// Why.
    #[arg(long, default_value = "")]
    note: String,
    #[command(flatten)]
    known: Known,
}

pub fn mark(global: &Global, args: &MarkArgs) -> Result<u8, CliError> {
    let now = SystemClock.now();
    if let Some(at) = args.at.filter(|at| *at > now) {
        return Err(CliError::usage(format!("--at {} lies in the future", at.to_rfc3339()))
            .hint("a mark is set when something has happened; leave --at out for now"));
    }
    let marked_at = args.at.unwrap_or(now);
    let request = Request::Mark { mark: args.mark.into(), marked_at, note: args.note.clone() };
    tell(global, &args.run, request, &args.known)
}

pub fn confirm(global: &Global, args: &ConfirmArgs) -> Result<u8, CliError> {
    tell(
        global,
        &args.run,
        Request::Confirm { step: StepId::new(args.step.clone()), note: args.note.clone() },
        &args.known,
    )
}

pub fn abort(global: &Global, args: &AbortArgs) -> Result<u8, CliError> {
    tell(global, &args.run, Request::Abort { note: args.note.clone() }, &args.known)
}

/// How long a person is kept waiting for the run's door.
const PATIENCE: Duration = Duration::from_secs(60);

/// Who is told.
enum Told {
    /// The process that works on the run.
    Process,
    /// The journal, by this command.
    Journal,
}

fn tell(global: &Global, run: &str, mut request: Request, known: &Known) -> Result<u8, CliError> {
    let dir = runs::find(&global.state, run).map_err(super::runs::not_found)?;
    let who = operator();
    let by = format!("{}@{}", who.user, who.host);
    // a journal that cannot be read may still belong to a process that works on it
    if let Ok(lines) = read_journal(&dir) {
        if let Ok(plan) = session::plan_of(&dir, &lines) {
            let mut set = known.set.all().into_iter().collect::<BTreeMap<_, _>>();
            set.retain(|name, _| plan.secret_params.contains(name));
            masked::given(&set);
            place::settle(global, dir.id(), &plan)?;
        }
        of_use(global, &dir, &lines, &by, &request)?;
    }
    // the process that works on the run may hold other keys than the shell in which the note was written
    let (Request::Mark { note, .. } | Request::Confirm { note, .. } | Request::Abort { note }) = &mut request;
    *note = masked::text(std::mem::take(note));
    let door = dir.door_within(PATIENCE).map_err(io(DOOR))?;
    let left = dir.leave(&door, SystemClock.now(), &by, request).map_err(io(DOOR))?;
    // only now the lock: a process that dies later leaves the request for the next one
    let told = match runs::lock(&dir) {
        Err(RunsError::Locked { .. }) => Told::Process,
        held => {
            let recorded = held
                .map_err(|e| session::locked(global, e))
                .and_then(|_lock| record(global, &dir, &left, known));
            dir.remove(&left.asked.id).map_err(io(DOOR))?;
            recorded?;
            Told::Journal
        }
    };
    drop(door);
    say(global, &dir, &left.request, &told);
    Ok(0)
}

/// Records it with nobody else at work on the run, as a process would have that answers it at once.
fn record(global: &Global, dir: &RunDir, left: &Left, known: &Known) -> Result<(), CliError> {
    let (journal, lines) = session::open(dir)?;
    still_open(dir, &lines)?;
    let plan = session::plan_of(dir, &lines)?;
    let secrets = run::secrets_given(&plan, &known.set.all())?;
    let unknown = plan.secret_params.iter().find(|name| !secrets.contains_key(*name));
    if let (Some(name), true) = (unknown, has_note(&left.request)) {
        return Err(CliError::usage(format!(
            "the note could hold the secret parameter `{name}`, and no process works on the run that would know"
        ))
        .hint(format!("give it, so that it is kept out: --set-env {name}=…"))
        .hint("or leave the note out; nothing was recorded"));
    }
    let state = RunState::replay(plan.into(), &lines);
    if let Some(what) = &state.misplaced {
        return Err(session::broken(dir, EngineError::Misplaced(what.clone())));
    }
    if state.unknown > 0 {
        return Err(CliError::refused("this redrill is too old for the run")
            .hint("use the version that works on it; nothing was recorded"));
    }
    if state.answered.contains(&left.asked.id) {
        return Ok(()); // the process did, and died before it could take the request away
    }
    let event = match requests::answer(&state, &left.by, &left.request, Some(left.asked.clone()), false) {
        Some(Event::RequestUnused { why, .. }) => {
            return Err(useless(global, dir, &state.plan, &left.request, &why));
        }
        Some(event) => event,
        None => return Err(too_early(global, dir, &left.request)),
    };
    let who = operator();
    let redrill = env!("CARGO_PKG_VERSION").to_owned();
    let boot = SystemClock.boot();
    let attached =
        Event::Attached { mode: Mode::Tell, pid: who.pid, host: who.host, user: who.user, redrill, boot };
    runtime()?.block_on(async {
        let clock = std::sync::Arc::new(SystemClock);
        let recorder = Recorder::new(Box::new(journal), state, Vec::new(), clock, secrets, None);
        recorder
            .durable(vec![attached, event])
            .await
            .map_err(|e| CliError::new(Kind::Journal, "the journal cannot be written").because(e))
    })
}

fn has_note(request: &Request) -> bool {
    match request {
        Request::Mark { note, .. } | Request::Confirm { note, .. } | Request::Abort { note } => {
            !note.is_empty()
        }
    }
}

fn still_open(dir: &RunDir, lines: &[Line]) -> Result<(), CliError> {
    let id = dir.id();
    if lines.is_empty() {
        return Err(CliError::usage(format!("run {id} has not begun: its journal has no line yet"))
            .hint("`redrill runs` lists what there is"));
    }
    match finished(lines) {
        Some(verdict) => {
            let verdict = verdict.name();
            Err(CliError::usage(format!(
                "run {id} is finished already ({verdict}); nobody would see a request"
            ))
            .hint("`redrill runs` lists those that are not"))
        }
        None => Ok(()),
    }
}

/// Refuses what can be seen to be of no use.
fn of_use(
    global: &Global,
    dir: &RunDir,
    lines: &[Line],
    by: &str,
    request: &Request,
) -> Result<(), CliError> {
    still_open(dir, lines)?;
    let Ok(plan) = session::plan_of(dir, lines) else { return Ok(()) };
    let state = RunState::replay(plan.into(), lines);
    match requests::answer(&state, by, request, None, false) {
        Some(Event::RequestUnused { why, .. }) => Err(useless(global, dir, &state.plan, request, &why)),
        None if !comes_next(&state, lines, request) => Err(too_early(global, dir, request)),
        Some(_) | None => Ok(()),
    }
}

/// Whether the step is what the run asks for next, as its last line leaves it.
fn comes_next(state: &RunState, lines: &[Line], request: &Request) -> bool {
    let (Request::Confirm { step, .. }, Some(last)) = (request, lines.last()) else { return false };
    let next = decide::decide(state, state.timeline.ms(last.stamp), &[]);
    next.tasks.contains(&Task::Manual { step: step.clone() })
}

fn too_early(global: &Global, dir: &RunDir, request: &Request) -> CliError {
    let step = match request {
        Request::Confirm { step, .. } => step.as_str(),
        Request::Mark { .. } | Request::Abort { .. } => "",
    };
    CliError::usage(format!("step `{step}` of run {} does not wait for anybody yet", dir.id()))
        .hint(format!("where the run stands: {}", command(global, "show", dir)))
}

fn useless(global: &Global, dir: &RunDir, plan: &Plan, request: &Request, why: &str) -> CliError {
    let e = CliError::usage(format!("run {}: {why}", dir.id()));
    let manual: Vec<&str> = plan.steps.iter().filter(|s| s.manual.is_some()).map(|s| s.id.as_str()).collect();
    match request {
        Request::Confirm { .. } if manual.is_empty() => e.hint("this drill has no manual step"),
        Request::Confirm { .. } => e.hint(format!("the manual steps of this drill: {}", manual.join(", "))),
        Request::Mark { .. } => e,
        Request::Abort { .. } => match runs::holder(dir) {
            Some(holder) => {
                let at_work = AtWork::of(global, dir.id().as_str(), None, &holder);
                let text = format!("run {} is being put back already, by {}", dir.id(), at_work.text);
                at_work.hinted(CliError::usage(text))
            }
            None => CliError::usage(format!(
                "run {} was being put back already when its process ended; no process works on it",
                dir.id()
            ))
            .hint(format!("put back the rest: {}", command(global, "rollback", dir))),
        },
    }
}

fn say(global: &Global, dir: &RunDir, request: &Request, told: &Told) {
    let what = match request {
        Request::Mark { .. } => "mark",
        Request::Confirm { .. } => "confirmation",
        Request::Abort { .. } => "abort",
    };
    let id = dir.id();
    match (global.output, told) {
        (Output::Json, Told::Process) => out::json(&serde_json::json!({"run": id, "left": what})),
        (Output::Json, Told::Journal) => out::json(&serde_json::json!({"run": id, "recorded": what})),
        (Output::Text, Told::Process) => {
            out::line(&format!("{what} handed to the process that works on run {id}"));
        }
        (Output::Text, Told::Journal) => {
            out::line(&format!("{what} recorded for run {id}; no process works on it"));
            match request {
                Request::Mark { .. } => {}
                Request::Confirm { .. } => {
                    out::line(&format!("go on with: {}", command(global, "resume", dir)));
                }
                Request::Abort { .. } => {
                    let rollback = command(global, "rollback", dir);
                    out::line(&format!("nothing is put back yet; do it with: {rollback}"));
                }
            }
        }
    }
}
