//! `redrill rehearse`: the drill on the simulator, on virtual time. No network, nothing written.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::Args;
use tokio::sync::mpsc;

use super::check::load;
use super::exercise::ExerciseArgs;
use super::out::Outcome;
use super::{CliError, DrillArgs, Global, Kind, Output, out, plan, session};
use crate::catalog::Severity;
use crate::drill::Drill;
use crate::engine::{self, Control, People, Setup};
use crate::journal::writer::MemoryJournal;
use crate::journal::{Line, Mode};
use crate::model::time::{SystemClock, VirtualClock};
use crate::model::{Clock, World};
use crate::plan::house::KillSwitch;
use crate::plan::{BuildOptions, Plan, limits};
use crate::report;
use crate::sandbox::ESTATE_JSON;
use crate::sim::Sim;
use crate::view::RunView;

/// How long a simulated person takes to do and confirm a manual step.
const PERSON: Duration = Duration::from_secs(5 * 60);

/// Rehearse a drill on the simulator: what would happen and when, in milliseconds.
#[derive(Debug, Args)]
pub struct RehearseArgs {
    /// The drill file.
    drill: Option<PathBuf>,
    /// Rehearse a plan on a world made of its targets.
    #[arg(long, value_name = "PLAN", conflicts_with = "drill")]
    from: Option<PathBuf>,
    /// Rehearse on this estate instead of the sample shop.
    #[arg(long, value_name = "FILE", conflicts_with = "from")]
    world: Option<PathBuf>,
    /// Draw the targets with this seed.
    #[arg(long, default_value_t = 1, conflicts_with = "from")]
    seed: u32,
    #[command(flatten)]
    args: DrillArgs,
    #[command(flatten)]
    exercise: ExerciseArgs,
}

pub fn run(global: &Global, args: &RehearseArgs) -> Result<u8, CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .map_err(|e| CliError::internal("the runtime could not be started").because(e))?;
    runtime.block_on(rehearse(global, args))
}

async fn rehearse(global: &Global, args: &RehearseArgs) -> Result<u8, CliError> {
    // seconds keep the timeline readable, and two rehearsals within one second alike
    let start: DateTime<Utc> = DateTime::from_timestamp(SystemClock.now().timestamp(), 0).unwrap_or_default();
    let clock: Arc<dyn Clock> = Arc::new(VirtualClock::starting_at(start));
    let (sim, plan, secrets) = match (&args.from, &args.drill) {
        (Some(from), _) => {
            args.exercise.refuse_with_plan()?;
            let given = plan::read(from)?;
            let secrets = super::run::secrets_for(&given, &args.args)?;
            let targets: Vec<_> = given.targets.values().flat_map(|t| t.drawn.clone()).collect();
            let sim = Sim::from_targets(&targets, Arc::clone(&clock));
            alarms(&given.drill).iter().for_each(|name| sim.set_alarm(name, "OK"));
            (sim, on_sim(given), secrets)
        }
        (None, Some(drill)) => {
            let loaded = load(drill, &args.args)?;
            let estate = match &args.world {
                Some(path) => super::files::read(path)
                    .map_err(|e| CliError::usage(format!("cannot read {}", path.display())).because(e))?,
                None => ESTATE_JSON.to_owned(),
            };
            let sim = Sim::from_estate(&estate, Arc::clone(&clock))
                .map_err(|e| CliError::usage("the estate cannot be used").because(e))?;
            let cloud = sim.cloud();
            let mut options = BuildOptions::new(cloud.world, cloud.region.clone());
            options.seed = Some(args.seed);
            options.typed = args.exercise.said();
            let plan = plan::build(&loaded, &cloud, clock.as_ref(), &options).await?;
            (sim, plan, loaded.secrets)
        }
        (None, None) => {
            return Err(CliError::usage("name a drill file, or a plan with --from")
                .hint("for example: redrill rehearse drills/critical-service-loss.yaml"));
        }
    };
    let mut plan = plan;
    at_any_hour(&mut plan, clock.as_ref());
    super::run::keep_out(&plan, &[], &secrets)?;
    plan::refuse(&plan)?;
    let mut cloud = sim.cloud();
    cloud.region.clone_from(&plan.region);
    let (watcher, mut lines) = mpsc::unbounded_channel::<Line>();
    let (_keep, controls) = mpsc::channel::<Control>(1);
    let run = session::new_id(clock.as_ref(), &plan.drill.name);
    let setup = Setup {
        plan_sha256: plan.sha256(),
        finish: format!("redrill rollback {run}{}", plan.set_again()),
        run,
        plan: Arc::new(plan),
        cloud,
        clock,
        journal: Box::new(MemoryJournal::new()),
        lines: Vec::new(),
        mode: Mode::Run,
        chain: None,
        approvals: Vec::new(),
        secrets,
        kill_switch: KillSwitch::default(),
        people: People::Simulate(PERSON),
        programs_ended: false,
        accepted: vec![],
        operator: session::operator(),
        inbox: None,
        watcher: Some(watcher.into()),
    };
    let (run, rto_ms) = (setup.run.clone(), setup.plan.drill.objectives.rto.ms());
    let ended = engine::run(setup, controls)
        .await
        .map_err(|e| CliError::new(Kind::Internal, "the rehearsal broke off").because(e))?;
    let mut view = RunView::default();
    while let Ok(line) = lines.try_recv() {
        if global.output == Output::Json {
            out::json(&line);
        }
        view.apply(&line);
    }
    match global.output {
        Output::Json => out::result(&Outcome {
            run: Some(&run),
            verdict: ended.verdict,
            measured: Some(&ended.measured),
            rto_ms: Some(rto_ms),
            exit_code: ended.exit_code,
        }),
        Output::Text => {
            out::print(&report::timeline::timeline(&view));
            out::line("");
            out::print(&report::text::summary(&view, None));
        }
    }
    Ok(ended.exit_code)
}

/// The alarms that the drill's probes and stop conditions ask for: a made-up world has them, and they are quiet.
fn alarms(drill: &Drill) -> Vec<String> {
    let probes = drill.steady_state.iter().chain(&drill.verify).map(|p| (&p.probe, &p.with));
    let all = probes.chain(drill.stop.iter().map(|s| (&s.probe, &s.with)));
    all.filter(|(probe, _)| *probe == "cloudwatch.alarm")
        .filter_map(|(_, with)| Some(with.get("name")?.as_str()?.to_owned()))
        .collect()
}

/// Says that a run would be refused at this hour. A rehearsal breaks nothing, so it goes on.
fn at_any_hour(plan: &mut Plan, clock: &dyn Clock) {
    let longest = limits::longest(&plan.drill, &plan.steps);
    let rules = plan.rules().into_iter();
    for f in rules.flat_map(|rule| limits::hours(rule, clock.now(), longest, Severity::Warning)) {
        out::note(&format!("warning: {}: {}; a rehearsal goes on all the same", f.subject, f.text));
    }
    for limits in [&mut plan.drill.limits, &mut plan.house.limits] {
        limits.windows.clear();
        limits.freeze.clear();
    }
}

/// The same plan, for the simulator: another world has another hash, and its resources another birth.
/// Nothing exists there beside the targets, so shares of what exists were judged by the plan alone.
fn on_sim(mut plan: Plan) -> Plan {
    for limits in [&mut plan.drill.limits, &mut plan.house.limits] {
        limits.max_percent = None;
        limits.kinds.values_mut().for_each(|k| k.max_percent = None);
    }
    for target in plan.targets.values_mut().flat_map(|t| &mut t.drawn) {
        target.attrs.remove(crate::catalog::kind::CREATED);
    }
    Plan {
        world: World::Sim,
        account: "123456789012".to_owned(),
        endpoint: None,
        endpoints: std::collections::BTreeMap::new(),
        findings: Vec::new(),
        ..plan
    }
}
