//! `redrill resume` and `redrill rollback`: from the journal.

use std::sync::Arc;

use clap::Args;

use super::run::{people, secrets_for, secrets_given};
use super::session::{self, Work};
use super::{CliError, DrillArgs, Global, place, runs, runtime, world};
use crate::journal::{Mode, runs as store};
use crate::model::time::SystemClock;
use crate::model::{Clock, World};

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
    args: DrillArgs,
}

pub fn resume(global: &Global, args: &ResumeArgs) -> Result<u8, CliError> {
    take_up(global, &args.run, Mode::Resume, args.simulate_people, &args.programs, &args.args)
}

pub fn rollback(global: &Global, args: &RollbackArgs) -> Result<u8, CliError> {
    take_up(global, &args.run, Mode::Rollback, false, &args.programs, &args.args)
}

fn take_up(
    global: &Global,
    what: &str,
    mode: Mode,
    simulate: bool,
    programs: &Programs,
    args: &DrillArgs,
) -> Result<u8, CliError> {
    let dir = store::find(&global.state, what).map_err(|e| runs::lost(global, what, e))?;
    let lines = session::read_journal(&dir)?;
    if lines.is_empty() {
        // killed before its first line: nothing was sent, so there is nothing to put back
        return runs::nothing_happened(global, &dir);
    }
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
        Mode::Rollback => secrets_given(&plan, &args.set)?,
        _ => secrets_for(&plan, args)?,
    };
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
                approvals: vec![],
            },
        )
        .await
    })
}
