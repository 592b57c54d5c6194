//! `redrill plan`: what a drill would do, to what. Reads the account; asks nothing of anybody whom the drill names,
//! unless `--gates` says so, and then after the page that shows whom.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;

use super::check::load;
use super::exercise::ExerciseArgs;
use super::{CliError, DrillArgs, Global, Output, files, out, place, run, runtime, world};
use crate::catalog::Severity;
use crate::cloud::Cloud;
use crate::drill::Loaded;
use crate::model::Clock;
use crate::model::time::SystemClock;
use crate::plan::{self, BuildOptions, Plan, PlanError, file, will};
use crate::report::plan_text::plan_text;

/// Show what a drill would do, to what, without changing anything.
///
/// The account is read. No probe, gate, program or secret of the drill is asked: the page shows whom a run would
/// ask, and for what.
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// The drill file.
    drill: PathBuf,
    /// Write the plan there, to be run later exactly as it is.
    #[arg(short = 'o', long = "out", value_name = "FILE")]
    out: Option<PathBuf>,
    /// Draw the targets with this seed.
    #[arg(long)]
    seed: Option<u32>,
    /// Once the plan is shown, ask its gates, too. Those that would send a POST, a header or a password are left
    /// to the run.
    #[arg(long)]
    gates: bool,
    #[command(flatten)]
    args: DrillArgs,
    #[command(flatten)]
    exercise: ExerciseArgs,
}

/// How this command line plans: its seed and endpoint, the rules of `redrill.toml`, and what it says about
/// people and authority.
pub fn options(global: &Global, cloud: &Cloud, seed: Option<u32>, exercise: &ExerciseArgs) -> BuildOptions {
    let mut options = BuildOptions::new(cloud.world, cloud.region.clone());
    options.seed = seed;
    (options.endpoint, options.endpoints) =
        place::endpoints(global.endpoint_url.as_deref(), &cloud.endpoints);
    options.endpoint_proof.clone_from(&cloud.endpoint);
    options.house = global.settings.house();
    options.typed = exercise.said();
    options
}

/// Plans a loaded drill.
pub async fn build(
    loaded: &Loaded,
    cloud: &Cloud,
    clock: &dyn Clock,
    options: &BuildOptions,
) -> Result<Plan, CliError> {
    let plan = plan::build(loaded, &cloud.reads, clock, options).await;
    let plan = plan.map_err(|PlanError::Cloud(e)| CliError::from(e))?;
    run::keep_out(&plan, &[], &loaded.secrets)?;
    Ok(plan)
}

const AGAIN: &str = "plan again: redrill plan DRILL -o plan.json";

/// Refuses a plan from a file that the rules at hand do not allow, or that is not what its own drill,
/// parameters and rules give: whoever writes a plan can also hash it.
pub fn hold_against(global: &Global, plan: &Plan) -> Result<(), CliError> {
    let house = global.settings.house();
    // what refuses is named before that the rules are others
    if let Some(f) = plan::refused_by(plan, &house).into_iter().find(|f| f.severity == Severity::Refusal) {
        let e = CliError::refused(format!("refused: {}: {}", f.subject, f.text));
        return Err(f.hint.into_iter().fold(e, CliError::hint));
    }
    if !house.is_empty() && house != plan.house {
        return Err(CliError::refused("the plan was made under other rules than those of this redrill.toml")
            .hint(AGAIN));
    }
    let again = plan::again(plan);
    match again.broken.into_iter().chain(again.lacking).next() {
        Some(why) => Err(CliError::refused(format!("refused: {why}")).hint(AGAIN)),
        None => Ok(()),
    }
}

/// Says what of a run's plan cannot be relied on. Nothing is refused: what is to be put back is put back.
pub fn say_doubts(plan: &Plan) {
    let again = plan::again(plan);
    for why in again.broken.iter().chain(&again.lacking) {
        out::note(&format!("{why}; it is put back all the same, and `redrill verify` will say so"));
    }
}

/// Refuses a plan with refusals, naming each.
pub fn refuse(plan: &Plan) -> Result<(), CliError> {
    let refusals: Vec<_> = plan.refusals().collect();
    let Some(first) = refusals.first() else { return Ok(()) };
    let mut e = CliError::refused(format!("refused: {}: {}", first.subject, first.text));
    if let Some(hint) = &first.hint {
        e = e.hint(hint.clone());
    }
    for more in &refusals[1..] {
        e = e.hint(format!("also refused: {}: {}", more.subject, more.text));
    }
    Err(e)
}

/// Reads `plan.json`.
pub fn read(path: &Path) -> Result<Plan, CliError> {
    let text = files::read(path)
        .map_err(|e| CliError::usage(format!("cannot read {}", path.display())).because(e))?;
    file::read(&text).map_err(|e| CliError::usage(format!("{}", path.display())).because(e))
}

pub fn run(global: &Global, args: &PlanArgs) -> Result<u8, CliError> {
    let loaded = load(&args.drill, &args.args)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let runtime = runtime()?;
    let (plan, cloud) = runtime.block_on(async {
        let cloud = world::connect(global, Arc::clone(&clock), None).await?;
        let options = options(global, &cloud, args.seed, &args.exercise);
        let plan = build(&loaded, &cloud, clock.as_ref(), &options).await?;
        Ok::<_, CliError>((plan, cloud))
    })?;
    match global.output {
        Output::Text => out::print(&plan_text(&plan, out::width())),
        Output::Json => {
            let will = Some(will::of(&plan));
            out::json(&plan::PlanFile { sha256: plan.sha256(), plan: plan.clone(), will });
        }
    }
    if args.gates {
        // what is asked of whom stands on the page above
        let asked = runtime.block_on(plan::gates::ask(&plan, &cloud.reads, clock.as_ref()));
        match global.output {
            Output::Json => out::json(&serde_json::json!({ "type": "gates", "gates": asked })),
            Output::Text => {
                out::line("");
                for g in asked {
                    out::line(&format!("{}: `{}` {}: {}", g.rule, g.gate, g.state, g.seen));
                }
            }
        }
    }
    if let Some(path) = &args.out {
        files::write(path, &file::write(&plan))
            .map_err(|e| CliError::usage(format!("cannot write {}", path.display())).because(e))?;
        out::note(&format!("plan written to {0}; run it with: redrill run {0}", path.display()));
    }
    refuse(&plan)?;
    Ok(0)
}
