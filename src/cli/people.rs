//! `redrill mark`, `confirm` and `abort`: what people tell a run.
//!
//! Each leaves a request in the run's inbox, which the running process records with who and when.

use chrono::{DateTime, Utc};
use clap::{Args, ValueEnum};

use super::runs::finished;
use super::session::{operator, read_journal};
use super::{CliError, Global, Output, out};
use crate::journal::Mark;
use crate::journal::runs::{self, Request};
use crate::model::{Clock as _, StepId, time::SystemClock};

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
}

/// Stop a run and roll it back.
#[derive(Debug, Args)]
pub struct AbortArgs {
    /// Id, unique prefix, path, or `last`.
    run: String,
    /// Why.
    #[arg(long, default_value = "")]
    note: String,
}

pub fn mark(global: &Global, args: &MarkArgs) -> Result<u8, CliError> {
    let at = args.at.unwrap_or_else(|| SystemClock.now());
    leave(global, &args.run, "mark", |by| Request::Mark {
        mark: args.mark.into(),
        at,
        by,
        note: args.note.clone(),
    })
}

pub fn confirm(global: &Global, args: &ConfirmArgs) -> Result<u8, CliError> {
    leave(global, &args.run, "confirmation", |by| Request::Confirm {
        step: StepId::new(args.step.clone()),
        by,
        note: args.note.clone(),
    })
}

pub fn abort(global: &Global, args: &AbortArgs) -> Result<u8, CliError> {
    leave(global, &args.run, "abort", |by| Request::Abort { by, note: args.note.clone() })
}

fn leave(
    global: &Global,
    run: &str,
    what: &str,
    request: impl FnOnce(String) -> Request,
) -> Result<u8, CliError> {
    let dir = runs::find(&global.state, run).map_err(super::runs::not_found)?;
    // a journal that cannot be read may still belong to a process that works on it
    if let Ok(lines) = read_journal(&dir)
        && let Some(verdict) = finished(&lines)
    {
        let (id, verdict) = (dir.id(), verdict.name());
        return Err(CliError::usage(format!(
            "run {id} is finished already ({verdict}); nobody would see a request"
        ))
        .hint("`redrill runs` lists those that are not"));
    }
    let who = operator();
    dir.leave(&request(format!("{}@{}", who.user, who.host)))
        .map_err(|e| CliError::internal("the request could not be left in the run's inbox").because(e))?;
    match global.output {
        Output::Text => out::line(&format!("{what} left for run {}", dir.id())),
        Output::Json => out::json(&serde_json::json!({"run": dir.id(), "left": what})),
    }
    Ok(0)
}
