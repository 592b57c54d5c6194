//! `redrill plan`: what a drill would do, to what. Reads the account; asks nothing of anybody whom the drill names,
//! unless `--gates` says so, and then after the page that shows whom.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;

use super::check::load;
use super::exercise::ExerciseArgs;
use super::{CliError, DrillArgs, Global, Output, approve, files, out, place, run, runtime, world};
use crate::catalog::{Finding, Severity};
use crate::cloud::Cloud;
use crate::drill::Loaded;
use crate::engine::kill_switch;
use crate::model::Clock;
use crate::model::time::SystemClock;
use crate::plan::limits::Rule;
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
    /// Write the plan there, to be run later exactly as it is. A file that is there already is replaced only where it
    /// is a plan.
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
    // a region that is not allowed is not asked anything
    let rules = Rule::all(&loaded.drill.limits, &options.house);
    if let Some(f) = rules.into_iter().find_map(|rule| plan::limits::region(rule, &options.region)) {
        return Err(refused(&f));
    }
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
        return Err(refused(&f));
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

fn refused(f: &Finding) -> CliError {
    let e = CliError::refused(format!("refused: {}: {}", f.subject, f.text));
    f.hint.iter().fold(e, CliError::hint)
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
    let mut e = refused(first);
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
    if let Some(path) = &args.out {
        replaceable(path)?;
    }
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
    if let Some(warning) = runtime.block_on(switched(&plan, &cloud)) {
        out::note(&warning);
    }
    if let Some(path) = &args.out {
        files::write(path, &file::write(&plan))
            .map_err(|e| CliError::usage(format!("cannot write {}", path.display())).because(e))?;
    }
    let refusal = refuse(&plan);
    match &args.out {
        Some(path) if refusal.is_err() => out::note(&format!("plan written to {}", path.display())),
        None if refusal.is_err() => {}
        out => next(&plan, out.as_deref()).iter().for_each(|line| out::note(line)),
    }
    refusal?;
    Ok(0)
}

/// Refuses to write over what is no plan: a drill given twice on one command line would be lost.
fn replaceable(path: &Path) -> Result<(), CliError> {
    // what is no file is nobody's to lose; whether it can be written is seen then
    if !std::fs::metadata(path).is_ok_and(|found| found.is_file() && found.len() > 0) {
        return Ok(());
    }
    // also one of another version, or one that was edited
    let is_plan = |whole: serde_json::Value| whole["plan"]["format"].is_u64() && whole["sha256"].is_string();
    if files::bytes(path).is_ok_and(|bytes| serde_json::from_slice(&bytes).is_ok_and(is_plan)) {
        return Ok(());
    }
    Err(CliError::usage(format!("{} is there already and is no plan", path.display()))
        .hint("nothing was written; name another file, or remove that one"))
}

/// What the kill switch would say to a run of this plan.
async fn switched(plan: &Plan, cloud: &Cloud) -> Option<String> {
    let switch = &plan.house.kill_switch;
    if switch.is_empty() {
        return None;
    }
    let refuses = "a run is refused as long as that is so";
    match kill_switch::place(switch, &cloud.reads, cloud.local.as_ref()).await {
        Ok(None) => None,
        Ok(Some(place)) => Some(format!("warning: the kill switch is set: {place}; {refuses}")),
        Err(e) => Some(format!("warning: the kill switch cannot be read: {e}; {refuses}")),
    }
}

/// What is typed next, line by line. `path` is where the plan was written.
fn next(plan: &Plan, path: Option<&Path>) -> Vec<String> {
    let mut lines: Vec<String> = approve::given(plan, 0).into_iter().collect();
    let Some(path) = path.map(Path::display) else {
        lines.push("to run exactly this plan, write it with: -o plan.json".to_owned());
        return lines;
    };
    let set = plan.set_again();
    match plan.house.approvals(&plan.drill.limits) {
        0 => lines.push(format!("plan written to {path}; run it with: redrill run {path}{set}")),
        _ => lines.extend([
            format!("plan written to {path}; approve it with: redrill approve {path} --by NAME --key FILE"),
            format!("then run it with: redrill run {path}{set}"),
        ]),
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drill::{self, LoadOptions};
    use crate::model::World;
    use crate::model::time::VirtualClock;
    use crate::plan::House;
    use crate::sandbox::ESTATE_JSON;
    use crate::sim::Sim;

    const DRILL: &str = "version: 1
name: cut
title: Cut
service: shop
objectives: { rto: 1h }
params: { token: { secret: true } }
limits: { accounts: [\"123456789012\"], regions: [us-east-1], max_targets: 2 }
targets: { it: { resource: vpc.subnet, tags: { service: shop, tier: private } } }
steady_state: [{ probe: http, with: { url: \"http://127.0.0.1/\", headers: { X-Token: \"${params.token}\" } } }]
fault: [{ action: vpc.detach-route-table, target: it }]";

    fn world() -> (Arc<dyn Clock>, Cloud, Loaded) {
        let start = chrono::DateTime::from_timestamp(1_790_000_000, 0).unwrap();
        let clock: Arc<dyn Clock> = Arc::new(VirtualClock::starting_at(start));
        let cloud = Sim::from_estate(ESTATE_JSON, Arc::clone(&clock)).unwrap().cloud();
        let set = vec![("token".to_owned(), "kQ8vZ2pLr0".to_owned())];
        let loaded = drill::load("drill.yaml", DRILL, &LoadOptions { env: None, set }).unwrap();
        (clock, cloud, loaded)
    }

    #[test]
    fn only_a_plan_is_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        for path in [
            at("plan.json", r#"{"plan":{"format":2},"sha256":"ab"}"#),
            at("empty", ""),
            folder.path().join("new.json"),
            "/dev/null".into(),
        ] {
            replaceable(&path).unwrap();
        }
        for path in [at("drill.yaml", DRILL), at("estate.json", "{}"), at("list.json", "[1]")] {
            let refused = replaceable(&path).unwrap_err().text();
            assert!(refused.contains("is there already and is no plan"), "{refused}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_region_that_is_not_allowed_is_asked_nothing() {
        let (clock, mut cloud, mut loaded) = world();
        // whatever is asked there is denied
        cloud.reads.sts = Arc::new(Denied);
        let options = |region: &str, house: &str| {
            let mut options = BuildOptions::new(World::Sim, region);
            options.house = toml::from_str::<House>(house).unwrap();
            options
        };
        for (region, house, says) in [
            ("us-east-2", "", "refused: limits.regions: this is us-east-2; the drill may run in us-east-1"),
            (
                "us-east-1",
                "[limits]\nregions = [\"eu-west-1\"]",
                "refused: redrill.toml: limits.regions: this is us-east-1; the drill may run in eu-west-1",
            ),
        ] {
            let e = build(&loaded, &cloud, clock.as_ref(), &options(region, house)).await.unwrap_err();
            assert_eq!((e.exit_code(), e.message()), (3, says));
            assert_eq!(e.hints(), ["check --region, or add the region"]);
        }
        loaded.drill.limits.regions.push("us-east-2".to_owned());
        let e = build(&loaded, &cloud, clock.as_ref(), &options("us-east-2", "")).await.unwrap_err();
        assert_eq!(e.exit_code(), 5, "{}", e.text());
    }

    struct Denied;

    #[async_trait::async_trait]
    impl crate::cloud::Sts for Denied {
        async fn identity(&self) -> crate::cloud::CloudResult<crate::cloud::Identity> {
            Err(crate::cloud::CloudError::new("sts:GetCallerIdentity", crate::cloud::ErrorKind::Denied, "no"))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_plan_ends_with_what_is_typed_next() {
        let (clock, cloud, loaded) = world();
        let mut options = BuildOptions::new(World::Sim, cloud.region.clone());
        let plan = build(&loaded, &cloud, clock.as_ref(), &options).await.unwrap();
        let run = "redrill run p.json --set-env token=…";
        assert_eq!(
            next(&plan, Some(Path::new("p.json"))),
            [format!("plan written to p.json; run it with: {run}")]
        );
        assert_eq!(next(&plan, None), ["to run exactly this plan, write it with: -o plan.json"]);
        options.house =
            toml::from_str("[limits]\napprovals = 2\n[[approvers]]\nname = \"Ann\"\nkey = \"SHA256:x\"")
                .unwrap();
        let plan = build(&loaded, &cloud, clock.as_ref(), &options).await.unwrap();
        assert_eq!(
            next(&plan, Some(Path::new("p.json"))),
            [
                "approvals: 0 of 2 given; those of Ann count (redrill.toml)".to_owned(),
                "plan written to p.json; approve it with: redrill approve p.json --by NAME --key FILE"
                    .to_owned(),
                format!("then run it with: {run}"),
            ]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_kill_switch_that_is_set_is_told_when_planning() {
        let (clock, cloud, loaded) = world();
        let mut options = BuildOptions::new(World::Sim, cloud.region.clone());
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("stop");
        options.house.kill_switch.file = Some(file.display().to_string());
        let plan = build(&loaded, &cloud, clock.as_ref(), &options).await.unwrap();
        let mut cloud = cloud;
        cloud.local = Arc::new(crate::net::RealLocal::default());
        assert_eq!(switched(&plan, &cloud).await, None);
        std::fs::write(&file, "").unwrap();
        let told = switched(&plan, &cloud).await.unwrap();
        assert!(
            told.starts_with(&format!("warning: the kill switch is set: file {}", file.display())),
            "{told}"
        );
    }
}
