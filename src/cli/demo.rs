//! `redrill demo`: a whole drill on the local emulator. Asks nothing, can reach no real account.

use std::sync::Arc;

use clap::Args;

use super::session::{self, Work};
use super::{CliError, Global, Output, out, plan, runtime, sandbox::failed, world};
use crate::drill::{self, LoadOptions};
use crate::engine::People;
use crate::journal::Mode;
use crate::model::Clock;
use crate::model::time::SystemClock;
use crate::plan::BuildOptions;
use crate::plan::house::KillSwitch;
use crate::sandbox::{self, SandboxOptions};

/// The drill of the demo, embedded so that an installed binary has it.
const DRILL: &str = include_str!("../../drills/critical-service-loss.yaml");
/// The region of the sample shop.
const REGION: &str = "us-east-1";

/// Run a whole drill on a local emulator: nothing to configure, no AWS account.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Leave the emulator running afterwards.
    #[arg(long)]
    keep: bool,
}

pub fn run(global: &Global, args: &DemoArgs) -> Result<u8, CliError> {
    runtime()?.block_on(demo(global, args))
}

async fn demo(global: &Global, args: &DemoArgs) -> Result<u8, CliError> {
    let text = global.output == Output::Text;
    let say = |m: &str| {
        if text {
            out::note(m);
        }
    };
    let options = SandboxOptions { seed: true, ..SandboxOptions::default() };
    if args.keep {
        let up = sandbox::start_detached(&global.state, &options, &say).await.map_err(failed)?;
        let (sandbox::Up::Started(r) | sandbox::Up::AlreadyRunning(r)) = up;
        let code = drill_on(global, &r.endpoint, &r.health).await?;
        say("\nThe emulator goes on running; stop it with: redrill sandbox down");
        return Ok(code);
    }
    let emulator = sandbox::start(&options, &say).await.map_err(failed)?;
    let code = drill_on(global, &emulator.endpoint, &emulator.health).await;
    emulator.stop().await;
    code
}

async fn drill_on(global: &Global, endpoint: &str, health: &str) -> Result<u8, CliError> {
    let set = vec![("health_url".to_owned(), format!("{health}/health"))];
    let loaded = drill::load("critical-service-loss.yaml", DRILL, &LoadOptions { env: None, set })
        .map_err(|p| CliError::internal(format!("BUG: the demo's drill is not valid\n{p}")))?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let run = session::new_id(clock.as_ref(), &loaded.drill.name);
    let cloud = world::connect_isolated(endpoint, REGION, Arc::clone(&clock), Some(&run)).await?;
    let mut options = BuildOptions::new(cloud.world, cloud.region.clone());
    options.endpoint = Some(endpoint.to_owned());
    let plan = plan::build(&loaded, &cloud, clock.as_ref(), &options).await?;
    if global.output == Output::Text {
        out::note(&crate::report::plan_text::plan_text(&plan, out::width()));
    }
    plan::refuse(&plan)?;
    let people = People::Simulate(std::time::Duration::from_secs(2));
    session::start(
        global,
        run,
        Work {
            plan,
            secrets: loaded.secrets,
            cloud,
            clock,
            mode: Mode::Run,
            kill_switch: KillSwitch::default(),
            people,
            programs_ended: false,
            accepted: vec![],
            approvals: vec![],
        },
    )
    .await
}
