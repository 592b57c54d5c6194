//! `redrill runs` and `redrill show`.

use std::path::Path;

use clap::Args;

use super::at_work::AtWork;
use super::out::Outcome;
use super::{CliError, Global, Kind, Output, checkpoints, material, out, session};
use crate::engine::decide;
use crate::engine::state::RunState;
use crate::journal::chain;
use crate::journal::runs::{self, RunDir, RunEntry, RunsError};
use crate::journal::{Event, Line, Measured, Mode, Verdict};
use crate::plan::Plan;
use crate::report::{self, time};
use crate::sweep;
use crate::view::RunView;

/// List runs.
#[derive(Debug, Args)]
pub struct RunsArgs {}

/// Show one run.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Id, unique prefix, path, or `last`.
    #[arg(default_value = "last")]
    run: String,
    /// With the timeline.
    #[arg(long)]
    timeline: bool,
}

/// No such run, or the folder cannot be read. What is put back may be all that is left of a run.
pub fn lost(global: &Global, what: &str, e: RunsError) -> CliError {
    let by_tag =
        sweep::began(what).filter(|_| matches!(e, RunsError::NoRuns { .. } | RunsError::NotFound { .. }));
    let e = not_found(e);
    match by_tag {
        Some(_) => {
            e.hint(format!("where its folder is lost, put back by tag: {}", session::by_tag(global, what)))
        }
        None => e,
    }
}

/// No such run, or the folder cannot be read.
pub fn not_found(e: RunsError) -> CliError {
    match e {
        RunsError::NoRuns { .. } => CliError::usage(e.to_string())
            .hint("make one with `redrill demo`, or name another folder with --state"),
        RunsError::NotFound { .. } | RunsError::Ambiguous { .. } => {
            CliError::usage(e.to_string()).hint("`redrill runs` lists them; --state names another folder")
        }
        RunsError::NotAFolder { .. } => {
            CliError::usage(e.to_string()).hint("name the folder of the runs with --state")
        }
        e => CliError::new(Kind::Journal, "the state folder cannot be read").because(e),
    }
}

/// A run that never wrote a line.
pub fn nothing_happened(global: &Global, dir: &RunDir) -> Result<u8, CliError> {
    match global.output {
        Output::Text => {
            out::line(&format!("run {} ended before its first line; nothing was changed", dir.id()));
        }
        Output::Json => out::result(&Outcome { run: Some(dir.id()), ..Outcome::default() }),
    }
    Ok(0)
}

/// How a run ended, unless a process took it up again afterwards.
fn end(lines: &[Line]) -> Option<(Verdict, &Measured)> {
    let last = lines.iter().rev().find_map(|l| match &l.event {
        Event::Finished { verdict, measured, .. } => Some(Some((*verdict, measured.as_ref()))),
        Event::Attached { .. } => Some(None),
        _ => None,
    });
    last.flatten()
}

/// The verdict of a run that is over.
pub fn finished(lines: &[Line]) -> Option<Verdict> {
    end(lines).map(|(verdict, _)| verdict)
}

/// Whether a run in the list has something left for `rollback` to do. For all that asks it: by what happened, not by
/// its verdict alone. One whose journal cannot be read is what its last line says.
pub fn is_open(state: &Path, entry: &RunEntry) -> bool {
    let Some(verdict) = entry.verdict.filter(|_| !entry.is_open()) else { return true };
    changed(verdict)
        && runs::find(state, entry.run.as_str())
            .is_ok_and(|dir| session::read_journal(&dir).is_ok_and(|lines| owes(&dir, verdict, &lines)))
}

/// Whether a run of this verdict may have changed anything that it does not say is clean again.
fn changed(verdict: Verdict) -> bool {
    !matches!(verdict, Verdict::Passed | Verdict::Refused | Verdict::NotSteady)
}

/// Whether a finished run left something broken that its drill knows how to mend: by what happened, since
/// version 0.1.0 called such a run stopped.
pub fn owes(dir: &RunDir, verdict: Verdict, lines: &[Line]) -> bool {
    let owed = |plan: Plan| !decide::owed(&RunState::replay(plan.into(), lines)).is_empty();
    changed(verdict) && session::plan_of(dir, lines).is_ok_and(owed)
}

/// `resume` or `rollback` of a run that came to its end and left nothing to do; `None` for any other.
/// No world is asked, so that this needs neither network nor credentials.
pub fn finished_already(global: &Global, dir: &RunDir, lines: &[Line], mode: Mode) -> Option<u8> {
    let (verdict, measured) = end(lines)?;
    if verdict == Verdict::Stuck || owes(dir, verdict, lines) {
        return None; // what is stuck is tried again, and what is owed is mended
    }
    let outcome = match mode {
        Mode::Rollback => Outcome { run: Some(dir.id()), ..Outcome::default() },
        _ => Outcome {
            run: Some(dir.id()),
            verdict: Some(verdict),
            measured: Some(measured),
            rto_ms: Some(measured.rto_ms),
            exit_code: verdict.exit_code(),
        },
    };
    match global.output {
        Output::Text => {
            let verdict = verdict.name();
            out::line(&format!("run {} is finished already ({verdict}); nothing was changed", dir.id()));
        }
        Output::Json => out::result(&outcome),
    }
    Some(outcome.exit_code)
}

pub fn runs(global: &Global, _args: &RunsArgs) -> Result<u8, CliError> {
    let list = runs::list(&global.state).map_err(not_found)?;
    match chain::missing(&global.state) {
        Ok(gone) => {
            for run in gone {
                out::note(&format!(
                    "run {} began at {} and its folder is not there; the run after it says so, too",
                    run.run,
                    time(run.at)
                ));
            }
        }
        Err(e) => out::note(&e.to_string()),
    }
    match global.output {
        Output::Json => out::json(&list),
        Output::Text if list.is_empty() => {
            out::line(&format!("no runs in {}; start with: redrill demo", global.state.display()));
        }
        Output::Text => {
            let width = list.iter().map(|r| r.run.as_str().len()).max().unwrap_or(0);
            out::line(&format!("{:width$}  {:17}  {:9}  {:>12}  STARTED", "RUN", "VERDICT", "WORLD", "RTA"));
            for r in &list {
                let verdict = match (&r.under_way, r.verdict) {
                    (Some(_), _) => "under way",
                    (None, verdict) => verdict.map_or("unfinished", Verdict::name),
                };
                let world = r.world.map(|w| w.to_string()).unwrap_or_default();
                let rta = r.rta_ms.map(crate::model::time::in_words).unwrap_or_else(|| "-".to_owned());
                let started = r.started_at.map(time).unwrap_or_default();
                let by = r.under_way.as_ref().map(|h| format!(" ({})", h.at_work())).unwrap_or_default();
                out::line(&format!(
                    "{:width$}  {verdict:17}  {world:9}  {rta:>12}  {started}{by}",
                    r.run.as_str()
                ));
            }
        }
    }
    Ok(0)
}

pub fn show(global: &Global, args: &ShowArgs) -> Result<u8, CliError> {
    let dir = runs::find(&global.state, &args.run).map_err(not_found)?;
    let lines = session::read_journal(&dir)?;
    if lines.is_empty() {
        return nothing_happened(global, &dir);
    }
    if let Err(e) = checkpoints::fit(&dir) {
        out::note(&format!("{}: {e}", material::unsigned(&dir)));
    }
    let view = RunView::of(&lines);
    match global.output {
        Output::Json => {
            out::json(&view);
        }
        Output::Text => {
            let place = dir.path().join("report.md");
            let place = place.is_file().then(|| place.display().to_string());
            out::print(&report::text::summary(&view, place.as_deref()));
            if args.timeline {
                out::line("");
                out::print(&report::timeline::timeline(&view));
            }
            let type_ = |verb: &str| session::command(global, verb, &dir);
            if let Some(holder) = runs::entry_of(&dir).under_way {
                let at_work = AtWork::of(global, dir.id().as_str(), None, &holder);
                out::line(&format!("\nThe run is under way: {}.", at_work.text));
                at_work.print();
            } else if view.verdict.is_none() {
                out::line(&format!(
                    "\nThe run is not finished. Go on with: {}\nor put everything back:  {}",
                    type_("resume"),
                    type_("rollback")
                ));
            }
        }
    }
    Ok(0)
}
