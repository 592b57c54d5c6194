//! `redrill resume` and `redrill rollback`: from the journal.

use std::collections::BTreeMap;
use std::sync::Arc;

use clap::Args;

use super::masked::nothing_secret;
use super::run::{people, secrets_for, secrets_given};
use super::session::{self, Work};
use super::{CliError, DrillArgs, Global, given, out, place, runs, runtime, world};
use crate::engine::state::{Cell, RunState};
use crate::engine::{Accepted, STEADY_STATE, setup};
use crate::journal::runs::RunDir;
use crate::journal::{Line, Mode, runs as store};
use crate::model::time::SystemClock;
use crate::model::{Clock, World};
use crate::plan::Plan;

/// Take up an interrupted run: measure and recover, never inject again.
#[derive(Debug, Args)]
pub struct ResumeArgs {
    /// Id, unique prefix, path, or `last`.
    run: String,
    /// Confirm manual steps without a person; only off AWS.
    #[arg(long)]
    simulate_people: bool,
    #[command(flatten)]
    programs: Programs,
    #[command(flatten)]
    args: DrillArgs,
}

/// What a person knows of programs that this machine does not show.
#[derive(Debug, Args)]
struct Programs {
    /// You have seen to it that no program which the run started still runs: for a run that was started on another
    /// machine. A program that is seen to run is ended all the same.
    #[arg(long)]
    programs_ended: bool,
}

/// Put back everything that a run changed.
#[derive(Debug, Args)]
pub struct RollbackArgs {
    /// Id, unique prefix, path, or `last`.
    run: String,
    #[command(flatten)]
    programs: Programs,
    #[command(flatten)]
    accept: Accept,
    #[command(flatten)]
    args: DrillArgs,
}

/// What a person accepts not to be put back.
#[derive(Debug, Default, Args)]
struct Accept {
    /// Leave as it is what is stuck, so that the run can end, as `failed`: STEP/TARGET, what this step changed on this
    /// target, which nobody tries again to put back; or `steady-state`, which was not seen to hold after the clean-up
    /// and is not looked at again. May be given several times. Your user name, this machine and the reason go on
    /// record; the reason is kept out while a secret parameter is not given. Refused for what is not stuck.
    #[arg(long, value_name = "WHAT", requires = "reason")]
    accept: Vec<String>,
    /// Why it is accepted.
    #[arg(long, value_name = "TEXT", requires = "accept", value_parser = nothing_secret)]
    reason: Option<String>,
}

pub fn resume(global: &Global, args: &ResumeArgs) -> Result<u8, CliError> {
    take_up(
        global,
        &args.run,
        Mode::Resume,
        args.simulate_people,
        &args.programs,
        &Accept::default(),
        &args.args,
    )
}

pub fn rollback(global: &Global, args: &RollbackArgs) -> Result<u8, CliError> {
    take_up(global, &args.run, Mode::Rollback, false, &args.programs, &args.accept, &args.args)
}

fn take_up(
    global: &Global,
    what: &str,
    mode: Mode,
    simulate: bool,
    programs: &Programs,
    accept: &Accept,
    args: &DrillArgs,
) -> Result<u8, CliError> {
    let dir = store::find(&global.state, what).map_err(|e| runs::lost(global, what, e))?;
    let lines = session::read_journal(&dir)?;
    if lines.is_empty() {
        // killed before its first line: nothing was sent, so there is nothing to put back
        return runs::nothing_happened(global, &dir);
    }
    let accepted = if accept.accept.is_empty() { vec![] } else { accepted(&dir, &lines, accept)? };
    if let Some(code) = runs::finished_already(global, &dir, &lines, mode) {
        return Ok(code);
    }
    if let Some(holder) = store::holder(&dir) {
        let (what, holder) = (format!("run {}", dir.id()), Box::new(holder));
        return Err(session::locked(global, store::RunsError::Locked { what, holder }));
    }
    let plan = session::plan_of(&dir, &lines)?;
    super::plan::say_doubts(&plan);
    // the run knows where it belongs
    let global = place::settle(global, dir.id(), &plan)?;
    let secrets = match mode {
        // undo works from the journal alone; a secret that is not given is only missed by a mending step
        Mode::Rollback => {
            let secrets = secrets_given(&plan, &args.set.all())?;
            if let Some(text) = lacking(&global, &dir, &plan, &secrets) {
                out::note(&text);
                if !accepted.is_empty() {
                    out::note("the reason is kept out of the journal, since it could hold that secret");
                }
            }
            secrets
        }
        _ => secrets_for(&plan, args)?,
    };
    let verb = if mode == Mode::Rollback { "rollback" } else { "resume" };
    given::hold_against(&dir, &secrets, &session::command(&global, verb, &dir))?;
    runtime()?.block_on(async {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let cloud = world::connect(&global, Arc::clone(&clock), Some(dir.id())).await?;
        place::same(&plan, &cloud)?;
        if cloud.world == World::Emulator {
            cloud.reads.sts.identity().await.map_err(|e| place::gone(e.into(), &plan, &dir))?;
        }
        let kill_switch = global.settings.kill_switch.clone();
        let people = people(simulate, &cloud)?;
        session::take_up(
            &global,
            &dir,
            Work {
                plan,
                secrets,
                cloud,
                clock,
                mode,
                kill_switch,
                people,
                programs_ended: programs.programs_ended,
                accepted,
                approvals: vec![],
            },
        )
        .await
    })
}

/// What was named, where all of it is stuck.
fn accepted(dir: &RunDir, lines: &[Line], accept: &Accept) -> Result<Vec<Accepted>, CliError> {
    let why = accept.reason.as_deref().unwrap_or_default().trim();
    if why.is_empty() {
        return Err(
            CliError::usage("the reason is empty").hint("say why it may stay as it is: --reason TEXT")
        );
    }
    let state = RunState::replay(session::plan_of(dir, lines)?.into(), lines);
    let label = |cell: &Option<Cell>| match cell {
        Some((step, Some(target))) => format!("{step}/{target}"),
        Some((step, None)) => step.to_string(),
        None => STEADY_STATE.to_owned(),
    };
    let cells = state.cells.iter().filter(|(_, c)| c.was_stuck).map(|(cell, _)| Some(cell.clone()));
    let stuck: Vec<Option<Cell>> = cells.chain(state.unsteady.then_some(None)).collect();
    let one = |named: &String| match stuck.iter().find(|cell| label(cell) == *named) {
        Some(cell) => Ok(Accepted { cell: cell.clone(), why: why.to_owned() }),
        None => {
            let all: Vec<String> = stuck.iter().map(label).collect();
            let hint = match all.is_empty() {
                true => "nothing of this run is stuck; nothing was recorded".to_owned(),
                false => format!("stuck is: {}; nothing was recorded", all.join(", ")),
            };
            Err(CliError::usage(format!("`{named}` is not stuck, so there is nothing to accept")).hint(hint))
        }
    };
    accept.accept.iter().map(one).collect()
}

/// What a rollback cannot do for want of secret parameters; `None` where all are given.
fn lacking(
    global: &Global,
    dir: &store::RunDir,
    plan: &Plan,
    secrets: &BTreeMap<String, String>,
) -> Option<String> {
    let missing: Vec<String> =
        plan.secret_params.iter().filter(|n| !secrets.contains_key(*n)).map(|n| format!("`{n}`")).collect();
    let (noun, verb) = if missing.len() == 1 { ("parameter", "was") } else { ("parameters", "were") };
    let probes: Vec<String> = setup::unread(plan, secrets).keys().map(|probe| format!("`{probe}`")).collect();
    let then = match probes.is_empty() {
        true => "what needs it cannot be put back or mended".to_owned(),
        false => format!("nobody can look whether the service is healthy ({})", probes.join(", ")),
    };
    (!missing.is_empty()).then(|| {
        format!(
            "the secret {noun} {} {verb} not given: everything else is put back, but {then}; with it: {}",
            missing.join(", "),
            session::command(global, "rollback", dir)
        )
    })
}
