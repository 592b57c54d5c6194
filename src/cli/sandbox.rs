//! `redrill sandbox`: the local AWS emulator.

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use super::{CliError, Global, Kind, Output, out, runtime};
use crate::sandbox::{self, Pace, Record, SandboxError, SandboxOptions, Status, Up};

/// Manage the local AWS emulator.
#[derive(Debug, Args)]
pub struct SandboxArgs {
    #[command(subcommand)]
    command: SandboxCommand,
}

#[derive(Debug, Subcommand)]
enum SandboxCommand {
    /// Start it, install it first if need be; it stays until `down`.
    Up(UpArgs),
    /// Put the sample shop back to its first state.
    Seed,
    /// Say whether it runs, and where.
    Status,
    /// Stop it.
    Down,
}

#[derive(Debug, Args)]
struct UpArgs {
    /// Port of the AWS endpoint; 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Port of the health service; 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    health_port: u16,
    /// How long things take.
    #[arg(long, value_enum, default_value_t = PaceArg::Fast)]
    pace: PaceArg,
    /// The emulator as it is, without redrill's corrections.
    #[arg(long)]
    plain: bool,
}

/// How long things take.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum PaceArg {
    /// Seconds where AWS takes minutes.
    Fast,
    /// About as long as AWS.
    Real,
    /// No delays.
    None,
}

/// What went wrong with the emulator.
pub fn failed(e: SandboxError) -> CliError {
    let hint = e.hint();
    let error = CliError::new(Kind::Internal, "the emulator").because(e);
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

pub fn run(global: &Global, args: &SandboxArgs) -> Result<u8, CliError> {
    runtime()?.block_on(async {
        match &args.command {
            SandboxCommand::Up(up) => {
                let pace = match up.pace {
                    PaceArg::Fast => Pace::Fast,
                    PaceArg::Real => Pace::Real,
                    PaceArg::None => Pace::None,
                };
                let options = SandboxOptions {
                    port: up.port,
                    health_port: up.health_port,
                    pace,
                    seed: !up.plain,
                    plain: up.plain,
                    ..SandboxOptions::default()
                };
                let say = |m: &str| out::note(m);
                let up = sandbox::start_detached(&global.state, &options, &say).await.map_err(failed)?;
                let (Up::Started(record) | Up::AlreadyRunning(record)) = &up;
                if matches!(up, Up::AlreadyRunning(_)) {
                    out::note("it runs already, and was left as it is");
                }
                report(global, record);
                Ok(0)
            }
            SandboxCommand::Seed => {
                let Status::Running(info) = sandbox::status(&global.state).await.map_err(failed)? else {
                    return Err(not_running());
                };
                sandbox::seed(&info.endpoint, &info.token).await.map_err(failed)?;
                match global.output {
                    Output::Text => out::line("the sample shop is back in its first state"),
                    Output::Json => out::json(&json!({"seeded": true, "endpoint": info.endpoint})),
                }
                Ok(0)
            }
            SandboxCommand::Status => match sandbox::status(&global.state).await.map_err(failed)? {
                Status::Running(info) => {
                    report(global, &info);
                    Ok(0)
                }
                _ if global.output == Output::Json => {
                    out::json(&json!({"running": false}));
                    Ok(1)
                }
                _ => {
                    out::line("the emulator is not running; start it with: redrill sandbox up");
                    Ok(1)
                }
            },
            SandboxCommand::Down => {
                let was = sandbox::down(&global.state).await.map_err(failed)?.is_some();
                match global.output {
                    Output::Text => out::line(if was {
                        "the emulator is stopped"
                    } else {
                        "the emulator was not running"
                    }),
                    Output::Json => out::json(&json!({"stopped": was})),
                }
                Ok(0)
            }
        }
    })
}

fn not_running() -> CliError {
    CliError::usage("the emulator is not running").hint("start it with: redrill sandbox up")
}

fn report(global: &Global, info: &Record) {
    match global.output {
        Output::Json => out::json(&json!({
            "running": true, "endpoint": info.endpoint, "health": info.health, "pid": info.pid
        })),
        Output::Text => out::print(&format!(
            "endpoint  {0}\nhealth    {1}/health\npid       {2}\n\n\
             Run a drill there:\n  \
             AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test redrill run DRILL \\\n    \
             --endpoint-url {0} --region us-east-1 --set health_url={1}/health\n",
            info.endpoint, info.health, info.pid
        )),
    }
}
