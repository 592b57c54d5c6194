//! The command line: one file per command, arguments and `run`.
//!
//! This is the edge: the only place (with `report`) that writes output, reads the environment and
//! picks a world. Progress goes to stderr, data to stdout. Exit codes are part of the interface.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};

mod approve;
mod at_work;
mod catalog;
mod check;
mod checkpoints;
mod completions;
pub mod config;
mod demo;
mod doctor;
mod error;
mod exercise;
mod files;
mod findings;
mod fold;
mod given;
mod guard;
mod hand_over;
mod iam;
mod init;
mod keys;
mod masked;
mod material;
mod out;
mod outlet;
mod people;
mod place;
mod plan;
mod progress;
mod publish;
mod reconcile;
mod reference;
mod rehearse;
mod report;
mod resume;
mod run;
mod runs;
mod safe;
mod sandbox;
mod schema;
mod session;
mod set;
mod sign_off;
mod signer;
mod sweep;
mod terminal;
mod timestamp;
mod verify;
mod watching;
mod world;

pub use error::{CliError, Kind};
pub use reference::reference;

/// AWS disaster-recovery drills: break or restore by tag, time the recovery against its RTO, put
/// everything back, and leave evidence.
#[derive(Debug, Parser)]
#[command(name = "redrill", version, max_term_width = 100, arg_required_else_help = true)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Options of every command.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Options of every command")]
pub struct Global {
    /// How results are printed on stdout.
    #[arg(long, global = true, value_name = "FORM", value_enum, default_value_t = Output::Text, env = "REDRILL_OUTPUT", hide_env_values = true)]
    pub output: Output,
    /// Folder for runs and locks.
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        default_value = ".redrill",
        env = "REDRILL_STATE",
        hide_env_values = true
    )]
    pub state: PathBuf,
    /// AWS profile; its credentials are used, whatever stands in the environment.
    #[arg(long, global = true, value_name = "NAME", env = "REDRILL_PROFILE", hide_env_values = true)]
    pub profile: Option<String>,
    /// AWS region.
    #[arg(long, global = true, value_name = "NAME", env = "REDRILL_REGION", hide_env_values = true)]
    pub region: Option<String>,
    /// Endpoint of an AWS emulator; everything run there is marked as not being AWS.
    #[arg(long, global = true, value_name = "URL", env = "REDRILL_ENDPOINT_URL", hide_env_values = true)]
    pub endpoint_url: Option<String>,
    /// Configuration; `./redrill.toml` where there is one, if left out.
    #[arg(long, global = true, value_name = "FILE", env = "REDRILL_CONFIG", hide_env_values = true)]
    pub config: Option<PathBuf>,
    /// What that file says.
    #[arg(skip)]
    pub settings: config::Config,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    #[default]
    Text,
    /// Compact JSON, one value a line.
    Json,
}

/// What turns a drill file into a drill.
#[derive(Clone, Debug, Default, Args)]
pub struct DrillArgs {
    /// Apply this environment of the drill.
    #[arg(long, value_name = "NAME")]
    pub env: Option<String>,
    /// What its parameters are set to.
    #[command(flatten)]
    pub set: set::Set,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a whole drill on a local emulator: nothing to configure, no AWS account.
    Demo(demo::DemoArgs),
    /// Check drill files; report every problem with line and column.
    Check(check::CheckArgs),
    /// Show what a drill would do, to what, without changing anything.
    Plan(plan::PlanArgs),
    /// Approve a plan, with a key of your own.
    Approve(approve::ApproveArgs),
    /// Run a drill or a plan: break, time the recovery, put everything back.
    Run(run::RunArgs),
    /// Rehearse a drill on the simulator: what would happen and when, in milliseconds.
    Rehearse(rehearse::RehearseArgs),
    /// Take up an interrupted run: measure and recover, never inject again.
    Resume(resume::ResumeArgs),
    /// Put back everything that a run changed.
    Rollback(resume::RollbackArgs),
    /// Find and remove what runs left behind, by tag alone.
    Sweep(sweep::SweepArgs),
    /// List runs.
    Runs(runs::RunsArgs),
    /// Show one run.
    Show(runs::ShowArgs),
    /// Write the reports of a run from its journal.
    Report(report::ReportArgs),
    /// Check an evidence bundle offline; says what is proven and what is not.
    Verify(verify::VerifyArgs),
    /// Put a run's evidence bundle into S3, locked so that nobody can delete or change it.
    Publish(publish::PublishArgs),
    /// Accept or reject a finished run, as a reviewer with a key of your own.
    SignOff(sign_off::SignOffArgs),
    /// Make the keys that sign evidence.
    Init(init::InitArgs),
    /// What has to be followed up: list it, say who sees to it, add remarks.
    Findings(findings::FindingsArgs),
    /// Compare a run's journal with CloudTrail's records, both ways.
    Reconcile(reconcile::ReconcileArgs),
    /// Set a time mark on a run: detected, ack, declare, note.
    ///
    /// The process that works on the run records it. If none does, this command records it itself. A
    /// finished run takes no marks.
    Mark(people::MarkArgs),
    /// Confirm a manual step that waits.
    ///
    /// Refused while the step does not wait yet, and when it is over. The process that works on the run
    /// records the confirmation and goes on. If none does, this command records it itself, and
    /// `redrill resume RUN` goes on from there.
    Confirm(people::ConfirmArgs),
    /// Stop a run and roll it back.
    ///
    /// The process that works on the run puts everything back. If none does, this command only records
    /// that the run is to be stopped and puts nothing back: `redrill rollback RUN` does, and so does
    /// `redrill resume RUN` from then on. A finished run, and one that is being put back already, takes
    /// no abort.
    Abort(people::AbortArgs),
    /// List actions and probes.
    Catalog(catalog::CatalogArgs),
    /// Print the smallest IAM policy that runs a drill.
    Iam(iam::IamArgs),
    /// Check whether all is ready: AWS, this machine, and the permissions of a drill.
    Doctor(doctor::DoctorArgs),
    /// Print the JSON Schema of drill files.
    Schema(schema::SchemaArgs),
    /// Manage the local AWS emulator.
    Sandbox(sandbox::SandboxArgs),
    /// Print shell completions.
    Completions(completions::CompletionsArgs),
}

/// Reads the command line, runs the command, prints what went wrong.
pub fn main() -> ExitCode {
    if let Some(code) = crate::net::guard() {
        return code;
    }
    let mut cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(mut e) => {
            hide_value_of_set(&mut e);
            // clap's own codes: 0 for help and version, 2 for usage
            let code = if e.use_stderr() { 2 } else { 0 };
            let _closed = e.print();
            return ExitCode::from(code);
        }
    };
    let ends_with_result = cli.command.ends_with_result();
    let configured = if cli.command.is_configured() {
        config::load(cli.global.config.as_deref()).map(|c| cli.global.settings = c)
    } else {
        Ok(())
    };
    let code = match configured.and_then(|()| cli.command.run(&cli.global)) {
        Ok(code) => ExitCode::from(code),
        Err(e) => {
            if ends_with_result && cli.global.output == Output::Json && !e.is_told() {
                let verdict = (e.kind() == Kind::Refused).then_some(crate::journal::Verdict::Refused);
                out::result(&out::Outcome { verdict, exit_code: e.exit_code(), ..out::Outcome::default() });
            }
            out::error(&e);
            ExitCode::from(e.exit_code())
        }
    };
    out::finish();
    code
}

/// A value that is not `NAME=VALUE`, or names no variable, is repeated nowhere: it may be a secret.
fn hide_value_of_set(e: &mut clap::Error) {
    use clap::error::{ContextKind, ContextValue};
    let is_set = |v: &ContextValue| matches!(v, ContextValue::String(arg) if arg.starts_with("--set"));
    if e.get(ContextKind::InvalidArg).is_some_and(is_set) {
        e.insert(ContextKind::InvalidValue, ContextValue::String("…".to_owned()));
    }
}

impl Command {
    /// Whether `redrill.toml` has a say: what needs nothing must not fail because of it.
    fn is_configured(&self) -> bool {
        !matches!(
            self,
            Self::Demo(_)
                | Self::Verify(_)
                | Self::Catalog(_)
                | Self::Doctor(_)
                | Self::Schema(_)
                | Self::Sandbox(_)
                | Self::Completions(_)
        )
    }

    /// Whether its JSON ends with a result line, however it comes out.
    fn ends_with_result(&self) -> bool {
        matches!(self, Self::Demo(_) | Self::Run(_) | Self::Rehearse(_) | Self::Resume(_) | Self::Rollback(_))
    }

    fn run(self, global: &Global) -> Result<u8, CliError> {
        match self {
            Self::Demo(a) => demo::run(global, &a),
            Self::Check(a) => check::run(global, &a),
            Self::Plan(a) => plan::run(global, &a),
            Self::Approve(a) => approve::run(global, &a),
            Self::Run(a) => run::run(global, &a),
            Self::Rehearse(a) => rehearse::run(global, &a),
            Self::Resume(a) => resume::resume(global, &a),
            Self::Rollback(a) => resume::rollback(global, &a),
            Self::Sweep(a) => sweep::run(global, &a),
            Self::Runs(a) => runs::runs(global, &a),
            Self::Show(a) => runs::show(global, &a),
            Self::Report(a) => report::run(global, &a),
            Self::Verify(a) => verify::run(global, &a),
            Self::Publish(a) => publish::run(global, &a),
            Self::SignOff(a) => sign_off::run(global, &a),
            Self::Init(a) => init::run(global, &a),
            Self::Findings(a) => findings::run(global, &a),
            Self::Reconcile(a) => reconcile::run(global, &a),
            Self::Mark(a) => people::mark(global, &a),
            Self::Confirm(a) => people::confirm(global, &a),
            Self::Abort(a) => people::abort(global, &a),
            Self::Catalog(a) => catalog::run(global, &a),
            Self::Iam(a) => iam::run(global, &a),
            Self::Doctor(a) => doctor::run(global, &a),
            Self::Schema(a) => schema::run(global, &a),
            Self::Sandbox(a) => sandbox::run(global, &a),
            Self::Completions(a) => completions::run(&a),
        }
    }
}

/// A runtime for commands that wait. Its end does not wait for what cannot be interrupted (looking up a
/// name, say): what matters has come to its end before.
pub(crate) struct Runtime(Option<tokio::runtime::Runtime>);

impl Runtime {
    /// Sees this to its end.
    pub(crate) fn block_on<F: Future>(&self, work: F) -> F::Output {
        self.0.as_ref().expect("BUG: taken only when dropped").block_on(work)
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_timeout(Duration::from_secs(1));
        }
    }
}

/// Starts one. At least two workers: what holds one of them up must not hold up the run.
pub(crate) fn runtime() -> Result<Runtime, CliError> {
    let workers = std::thread::available_parallelism().map_or(2, |cpus| cpus.get().max(2));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .enable_all()
        .build()
        .map_err(|e| CliError::internal("the runtime could not be started").because(e))?;
    // from here on a file-size limit comes back from the write as an error and does not end the process
    {
        let _inside = runtime.enter();
        let _too_large = signal(SignalKind::from_raw(SIGXFSZ));
    }
    Ok(Runtime(Some(runtime)))
}

/// Sent where a write would exceed the file-size limit; the same number on Linux and macOS.
const SIGXFSZ: i32 = 25;
