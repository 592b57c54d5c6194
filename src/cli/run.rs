//! `redrill run`: a drill file, or a plan exactly as it was made.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use super::check::load;
use super::exercise::ExerciseArgs;
use super::session::{self, Work};
use super::{CliError, DrillArgs, Global, Output, approve, keys, masked, out, place, plan, runtime, world};
use crate::cloud::{Cloud, Local as _, is_near};
use crate::engine::{People, secrets};
use crate::journal::Mode;
use crate::model::time::SystemClock;
use crate::model::{Clock, World};
use crate::net::RealLocal;
use crate::plan::house::KillSwitch;
use crate::plan::{Plan, will};
use crate::report::plan_text::plan_text;

/// How long a simulated person takes.
const SIMULATED_PERSON: Duration = Duration::from_secs(2);

/// Run a drill or a plan: break, time the recovery, put everything back.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// A drill file, or a plan written by `redrill plan -o`.
    what: PathBuf,
    /// Do not ask. Never confirms a manual step.
    #[arg(long)]
    yes: bool,
    /// Confirm manual steps without a person; only off AWS, and the journal says so.
    #[arg(long)]
    simulate_people: bool,
    /// Draw the targets with this seed. A plan has its targets already.
    #[arg(long)]
    seed: Option<u32>,
    /// An approval of the plan, beside those that lie next to it; may be given again.
    #[arg(long, value_name = "FILE")]
    approval: Vec<PathBuf>,
    #[command(flatten)]
    args: DrillArgs,
    #[command(flatten)]
    exercise: ExerciseArgs,
}

/// Who confirms manual steps in this world. A gateway in front of AWS passes for an emulator, so that an emulator
/// counts as one here only where it is near.
pub fn people(simulate: bool, cloud: &Cloud) -> Result<People, CliError> {
    match (simulate, cloud.world, cloud.endpoints.values().find(|url| !is_near(url))) {
        (true, World::Aws, _) => Err(CliError::usage("--simulate-people works only off AWS")
            .hint("on AWS a person confirms: press Enter, or redrill confirm RUN STEP --note …")),
        (true, _, Some(far)) => Err(CliError::usage(format!(
            "--simulate-people works only with an emulator on this machine or its network, and {far} may hand on to AWS"
        ))
        .hint("a person confirms: press Enter, or redrill confirm RUN STEP --note …")),
        (true, ..) => Ok(People::Simulate(SIMULATED_PERSON)),
        (false, ..) => Ok(People::Ask),
    }
}

/// Values of a plan's secret parameters, from `--set`; each must be there.
pub fn secrets_for(plan: &Plan, args: &DrillArgs) -> Result<BTreeMap<String, String>, CliError> {
    let secrets = secrets_given(plan, &args.set.all())?;
    match plan.secret_params.iter().find(|name| !secrets.contains_key(*name)) {
        Some(name) => Err(CliError::usage(format!("the secret parameter `{name}` is missing"))
            .hint(format!("plans hold no secrets; give it again: --set-env {name}=…"))),
        None => Ok(secrets),
    }
}

/// Values of a plan's secret parameters, from `--set`, as far as they are given.
pub fn secrets_given(plan: &Plan, set: &[(String, String)]) -> Result<BTreeMap<String, String>, CliError> {
    let mut secrets = BTreeMap::new();
    for (name, value) in set {
        if !plan.secret_params.contains(name) {
            return Err(CliError::usage(format!("the plan is fixed: `{name}` cannot be set any more"))
                .hint("set it when planning; only secret parameters are given when a plan is run"));
        }
        secrets.insert(name.clone(), value.clone());
    }
    masked::given(&secrets);
    Ok(secrets)
}

pub fn run(global: &Global, args: &RunArgs) -> Result<u8, CliError> {
    let is_plan = args.what.extension().is_some_and(|e| e == "json");
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let loaded = if is_plan { None } else { Some(load(&args.what, &args.args)?) };
    if is_plan {
        args.exercise.refuse_with_plan()?;
        if args.seed.is_some() {
            let what = args.what.display();
            return Err(CliError::usage(format!(
                "{what} is a plan, which has its targets: --seed draws none"
            ))
            .hint(format!("run it without --seed, or draw again: redrill plan DRILL --seed N -o {what}")));
        }
    }
    let given = if is_plan { Some(plan::read(&args.what)?) } else { None };
    if !args.yes && !out::can_ask() {
        return Err(CliError::refused("there is no terminal to ask on, and --yes was not given")
            .hint("look at `redrill plan`, then run with --yes"));
    }
    if is_plan && args.args.env.is_some() {
        return Err(CliError::usage("a plan has its environment already").hint("choose --env when planning"));
    }
    if global.settings.evidence.checkpoint_key.is_some() {
        // a run that has begun goes on without checkpoints; one that has not must not begin
        let _usable = keys::checkpoint(global)?;
    }
    // what can be refused without AWS is refused before anything is asked of it
    let approvals = match &given {
        Some(plan) => {
            plan::hold_against(global, plan)?;
            approve::gather(global, plan, &args.what, &args.approval, clock.now())?
        }
        None => Vec::new(),
    };
    runtime()?.block_on(async {
        let name =
            loaded.as_ref().map(|l| l.drill.name.clone()).or(given.as_ref().map(|p| p.drill.name.clone()));
        let run = session::new_id(clock.as_ref(), &name.unwrap_or_default());
        let cloud = world::connect(global, Arc::clone(&clock), Some(&run)).await?;
        let (plan, secrets) = match (loaded, given) {
            (Some(l), _) => {
                let options = plan::options(global, &cloud, args.seed, &args.exercise);
                let plan = plan::build(&l, &cloud, clock.as_ref(), &options).await?;
                approve::refuse_unapproved(&plan)?;
                (plan, l.secrets)
            }
            (None, Some(plan)) => {
                place::same(&plan, &cloud)?;
                let secrets = secrets_for(&plan, &args.args)?;
                (plan, secrets)
            }
            (None, None) => return Err(CliError::internal("BUG: neither drill nor plan")),
        };
        keep_out(&plan, &[run.as_str()], &secrets)?;
        // whoever is asked has seen what for
        if global.output == Output::Text || !args.yes {
            out::note(&plan_text(&plan, out::width()));
        }
        // before the plan's own refusals: what an unfinished run left behind is best explained by that run
        session::refuse_unfinished(global, &plan)?;
        plan::refuse(&plan)?;
        if !args.yes && !out::ask(&question(&plan)) {
            return Err(CliError::refused("not confirmed; nothing was changed"));
        }
        let people = people(args.simulate_people, &cloud)?;
        session::start(
            global,
            run,
            Work {
                plan,
                secrets,
                cloud,
                clock,
                mode: Mode::Run,
                kill_switch: KillSwitch::default(),
                people,
                programs_ended: false,
                accepted: vec![],
                approvals,
            },
        )
        .await
    })
}

/// A secret is kept out of the journal by its text: one that is part of other words cannot be. `also` are
/// names that the plan does not know yet.
pub fn keep_out(plan: &Plan, also: &[&str], secrets: &BTreeMap<String, String>) -> Result<(), CliError> {
    let who = session::operator();
    // where local programs are started, which the journal says
    let folder = RealLocal::default().folder().filter(|_| plan.starts_programs()).unwrap_or_default();
    let also = [also, &[who.user.as_str(), who.host.as_str(), folder.as_str()]].concat();
    secrets::check(plan, &also, secrets)
        .map_err(|unfit| CliError::usage(unfit.to_string()).hint(unfit.hint()))
}

fn question(plan: &Plan) -> String {
    let targets: usize = plan.targets.values().map(|t| t.drawn.len()).sum();
    let irreversible: Vec<&str> = plan
        .steps
        .iter()
        .filter(|s| s.reversibility == crate::catalog::Reversibility::Irreversible)
        .map(|s| s.id.as_str())
        .collect();
    let warning = if irreversible.is_empty() {
        String::new()
    } else {
        format!(" These steps cannot be put back: {}.", irreversible.join(", "))
    };
    let programs = match will::of(plan).run.iter().map(|p| usize::from(!p.undo)).sum() {
        0 => String::new(),
        1 => " It starts a program on this machine.".to_owned(),
        n => format!(" It starts {n} programs on this machine."),
    };
    let noun = if targets == 1 { "target" } else { "targets" };
    format!(
        "Run this on {targets} {noun} in account {} ({}), {}?{warning}{programs} Type yes to go on:",
        plan.account, plan.world, plan.region
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloud::ALL_SERVICES;
    use crate::model::time::VirtualClock;
    use crate::sandbox::ESTATE_JSON;
    use crate::sim::Sim;

    #[tokio::test]
    async fn nobody_is_simulated_on_aws_nor_where_it_may_be_aws() {
        let clock: Arc<dyn Clock> = Arc::new(VirtualClock::starting_at(chrono::DateTime::UNIX_EPOCH));
        let mut cloud = Sim::from_estate(ESTATE_JSON, clock).unwrap().cloud();
        let mut at = |world, url: Option<&str>| {
            cloud.world = world;
            cloud.endpoints = url.map(|url| (ALL_SERVICES.to_owned(), url.to_owned())).into_iter().collect();
            people(true, &cloud)
        };
        assert!(at(World::Aws, None).is_err_and(|e| e.exit_code() == 2));
        assert!(matches!(at(World::Emulator, Some("http://127.0.0.1:5000")), Ok(People::Simulate(_))));
        let far = at(World::Emulator, Some("https://aws-gateway.example.com"));
        assert!(far.is_err_and(|e| e.exit_code() == 2 && e.text().contains("aws-gateway.example.com")));
        assert!(matches!(at(World::Sim, None), Ok(People::Simulate(_))));
        cloud.world = World::Aws;
        assert!(matches!(people(false, &cloud), Ok(People::Ask)));
    }
}
