//! The sandbox: an AWS emulator that redrill carries, installs, starts, seeds and ends.
//!
//! The emulator itself is Python (`localstack/`); this module is only about its life: it installs
//! it in the user's cache ([`install()`]), runs it as a child that cannot outlive us ([`start`]), or
//! by wish in the background ([`start_detached`], [`status`], [`down`]). It knows nothing of AWS.
//!
//! Invariant: everything is on 127.0.0.1, and no process is ever signalled unless it has just said
//! itself that it is the emulator with that process id. I/O throughout.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

mod detached;
mod error;
mod files;
mod http;
mod install;

pub use detached::{Record, Status, Up, down, start_detached, status};
pub use error::SandboxError;
pub use files::ESTATE_JSON;
pub use install::{Installed, cache_folder, install};

/// How long the emulator may take to get ready.
const READY: Duration = Duration::from_secs(90);
/// How long it may take to end before it is killed.
const END: Duration = Duration::from_secs(5);

/// How long things take in the emulated account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pace {
    /// Everything at once.
    None,
    /// Seconds: a restore takes twelve.
    #[default]
    Fast,
    /// The minutes that AWS takes.
    Real,
}

impl Pace {
    /// The launcher's word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Fast => "fast",
            Self::Real => "real",
        }
    }
}

/// How to start the emulator.
#[derive(Clone, Debug)]
pub struct SandboxOptions {
    /// Cache folder; `None` for the user's own ([`cache_folder`]).
    pub cache: Option<PathBuf>,
    /// AWS port; 0 takes a free one.
    pub port: u16,
    /// Port of the health service; 0 takes a free one.
    pub health_port: u16,
    /// How long things take.
    pub pace: Pace,
    /// Single delays in seconds that differ from the pace, for example `("restore", 2.0)`; the names are
    /// in the emulator's README.
    pub delays: Vec<(String, f64)>,
    /// Whether to seed the sample estate before it is ready.
    pub seed: bool,
    /// File that every AWS call is appended to, one JSON object a line.
    pub log: Option<PathBuf>,
    /// moto as it is: no delays, no corrections.
    pub plain: bool,
}

impl Default for SandboxOptions {
    fn default() -> Self {
        Self {
            cache: None,
            port: 0,
            health_port: 0,
            pace: Pace::default(),
            delays: Vec::new(),
            seed: true,
            log: None,
            plain: false,
        }
    }
}

/// The line that the launcher prints when both ports answer.
#[derive(Clone, Debug, Deserialize)]
struct Ready {
    endpoint: String,
    health: String,
    pid: u32,
    token: String,
}

/// A running emulator. It ends when this is dropped, and when this process dies in any way, because
/// it watches the other end of its standard input.
#[derive(Debug)]
pub struct Sandbox {
    /// Where the emulated AWS answers, for example `http://127.0.0.1:40123`.
    pub endpoint: String,
    /// Where the shop's health page is; ask for `/health`.
    pub health: String,
    /// Its process id.
    pub pid: u32,
    /// What its control pages ask for.
    pub token: String,
    child: Child,
    errors: Lines,
}

impl Sandbox {
    /// Ends the emulator and waits until it is gone.
    pub async fn stop(mut self) {
        drop(self.child.stdin.take());
        if tokio::time::timeout(END, self.child.wait()).await.is_err() {
            // its own end of the pipe is closed, so this is a child that hangs; nothing it holds is worth saving
            let _ = self.child.kill().await;
        }
    }

    /// Whether it is still running.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// The last lines that it printed on standard error.
    pub fn complaints(&self) -> String {
        self.errors.text()
    }
}

/// The last lines of a stream, collected in the background so that the writer never blocks.
#[derive(Clone, Debug, Default)]
struct Lines(Arc<Mutex<VecDeque<String>>>);

impl Lines {
    fn collect(stream: impl tokio::io::AsyncRead + Unpin + Send + 'static) -> Self {
        let kept = Self::default();
        let filled = kept.clone();
        tokio::spawn(async move {
            let mut lines = BufReader::new(stream).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                let mut kept = filled.0.lock().unwrap_or_else(PoisonError::into_inner);
                if kept.len() == 200 {
                    kept.pop_front();
                }
                kept.push_back(line);
            }
        });
        kept
    }

    fn text(&self) -> String {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        install::tail(&kept.iter().map(String::as_str).collect::<Vec<_>>().join("\n"))
    }
}

/// The command that both ways of starting share.
fn command(installed: &Installed, options: &SandboxOptions) -> Command {
    let mut command = Command::new(&installed.python);
    command.arg(installed.launcher());
    command.args(["--port", &options.port.to_string(), "--health-port", &options.health_port.to_string()]);
    command.args(["--pace", options.pace.name()]);
    if !options.delays.is_empty() {
        let delays: Vec<_> =
            options.delays.iter().map(|(name, seconds)| format!("{name}={seconds}")).collect();
        command.args(["--delays", &delays.join(",")]);
    }
    if options.seed {
        command.arg("--seed").arg(installed.estate());
    }
    if let Some(log) = &options.log {
        command.arg("--log").arg(log);
    }
    if options.plain {
        command.arg("--plain");
    }
    command.env_remove("PYTHONPATH").env_remove("PYTHONHOME").stdout(Stdio::piped());
    command
}

/// Waits for the ready line. `said` tells what the emulator printed, should it fail.
async fn ready(child: &mut Child, said: impl Fn() -> String) -> Result<Ready, SandboxError> {
    let Some(out) = child.stdout.take() else {
        return Err(SandboxError::Start { output: "no standard output".to_owned() });
    };
    let mut lines = BufReader::new(out).lines();
    match tokio::time::timeout(READY, lines.next_line()).await {
        Err(_) => Err(SandboxError::NotReady { seconds: READY.as_secs(), output: said() }),
        Ok(Ok(Some(line))) => serde_json::from_str(&line).map_err(|_| SandboxError::Start { output: line }),
        Ok(_) => {
            // it has ended: let its last words arrive
            let _ = tokio::time::timeout(END, child.wait()).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
            Err(SandboxError::Start { output: said() })
        }
    }
}

/// Installs the emulator where needed and starts it as a child of this process.
///
/// # Errors
/// What [`install()`] reports, or that the emulator did not get ready.
pub async fn start(
    options: &SandboxOptions,
    progress: &(dyn Fn(&str) + Sync),
) -> Result<Sandbox, SandboxError> {
    let installed = install(options.cache.as_deref(), progress).await?;
    progress("starting the emulator");
    let mut command = command(&installed, options);
    command.arg("--exit-with-stdin").stdin(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    // Ctrl-C in the terminal is for redrill, which still needs the emulator to roll back
    #[cfg(unix)]
    command.process_group(0);
    let mut child = command.spawn().map_err(SandboxError::io("cannot start the emulator"))?;
    let errors = child.stderr.take().map(Lines::collect).unwrap_or_default();
    let ready = ready(&mut child, || errors.text()).await?;
    Ok(Sandbox {
        endpoint: ready.endpoint,
        health: ready.health,
        pid: ready.pid,
        token: ready.token,
        child,
        errors,
    })
}

/// Forgets everything in the emulated account and seeds the sample estate; returns name → id.
///
/// # Errors
/// The endpoint is not on this machine, or does not answer as our emulator does.
pub async fn seed(endpoint: &str, token: &str) -> Result<BTreeMap<String, String>, SandboxError> {
    #[derive(Deserialize)]
    struct Seeded {
        seeded: BTreeMap<String, String>,
    }
    let answer: Seeded = http::post(endpoint, token, "/_redrill/reset-and-seed", String::new()).await?;
    Ok(answer.seeded)
}

/// The estate as JSON, to compare before and after.
///
/// # Errors
/// As [`seed`].
pub async fn state(endpoint: &str, token: &str) -> Result<serde_json::Value, SandboxError> {
    http::get(endpoint, token, "/_redrill/state", END).await
}

/// The AWS calls so far.
///
/// # Errors
/// As [`seed`].
pub async fn calls(endpoint: &str, token: &str) -> Result<Vec<serde_json::Value>, SandboxError> {
    http::get(endpoint, token, "/_redrill/calls", END).await
}

/// Adds fault rules, a JSON array as the emulator's README describes.
///
/// # Errors
/// As [`seed`]; a rule that makes no sense is [`SandboxError::Answer`] with status 400.
pub async fn faults(endpoint: &str, token: &str, rules: &serde_json::Value) -> Result<(), SandboxError> {
    let _: serde_json::Value = http::post(endpoint, token, "/_redrill/faults", rules.to_string()).await?;
    Ok(())
}

fn absolute(folder: &Path) -> Result<PathBuf, SandboxError> {
    std::path::absolute(folder).map_err(SandboxError::io(format!("cannot find {}", folder.display())))
}

#[cfg(test)]
mod tests;
