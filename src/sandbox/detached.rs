//! The emulator in the background: `redrill sandbox up`, `status`, `down`.
//!
//! It lives until `down`, until its record `<state>/sandbox.json` (or the folder) is gone, or until a
//! day passes without a call. It writes the record itself, so that one whose starter was killed is
//! found all the same. What counts is its own answer to a ping, with the recorded process id,
//! because ids are given again.

use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::install::{install, tail};
use super::{END, SandboxError, SandboxOptions, absolute, command, http, ready};

/// A day without a call ends it.
const IDLE: &str = "86400";
/// How long a ping may take; a busy emulator answers late.
const PING: Duration = Duration::from_secs(5);

/// Where a detached emulator is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Process id.
    pub pid: u32,
    /// Where the emulated AWS answers.
    pub endpoint: String,
    /// Where the shop's health page is; ask for `/health`.
    pub health: String,
    /// When it was started (UTC).
    pub started: DateTime<Utc>,
    /// What its control pages ask for; empty in a record of an older redrill.
    #[serde(default)]
    pub token: String,
}

/// What [`start_detached`] found to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Up {
    /// It was started.
    Started(Record),
    /// One was running already; it was left as it is.
    AlreadyRunning(Record),
}

/// Whether a detached emulator runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// None was started, or it was ended.
    Down,
    /// It runs and answers.
    Running(Record),
    /// It was started, and is gone or does not answer.
    Gone(Record),
}

fn file(state: &Path) -> PathBuf {
    state.join("sandbox.json")
}

/// Starts the emulator so that it survives this process, unless one is running already.
///
/// # Errors
/// What [`install`] reports, that the emulator did not get ready, or a state folder that cannot be
/// written.
pub async fn start_detached(
    state: &Path,
    options: &SandboxOptions,
    progress: &(dyn Fn(&str) + Sync),
) -> Result<Up, SandboxError> {
    let state = absolute(state)?;
    let failed = |path: &Path| SandboxError::io(format!("cannot write {}", path.display()));
    DirBuilder::new().recursive(true).mode(0o700).create(&state).map_err(failed(&state))?;
    let guard = state.join("sandbox.lock");
    // for their owner alone, and never through a link
    let mut own = File::options();
    own.create(true).mode(0o600).custom_flags(rustix::fs::OFlags::NOFOLLOW.bits() as i32);
    let lock = own.append(true).open(&guard).map_err(failed(&guard))?;
    lock.try_lock().map_err(|e| SandboxError::Io {
        what: "another redrill is starting the sandbox".to_owned(),
        source: e.into(),
    })?;
    if let Status::Running(record) = status(&state).await? {
        return Ok(Up::AlreadyRunning(record));
    }
    let installed = install(options.cache.as_deref(), progress).await?;
    progress("starting the emulator");
    let log = state.join("sandbox.log");
    let errors = own.append(false).write(true).truncate(true).open(&log).map_err(failed(&log))?;
    let mut command = command(&installed, options);
    command.args(["--new-session", "--idle-exit", IDLE, "--record"]).arg(file(&state));
    command.stdin(Stdio::null()).stderr(errors);
    let mut child = command.spawn().map_err(SandboxError::io("cannot start the emulator"))?;
    let said = || tail(&fs::read_to_string(&log).unwrap_or_default());
    if let Err(error) = ready(&mut child, said).await {
        let _ = child.kill().await;
        return Err(error);
    }
    match read(&state)? {
        Some(record) => Ok(Up::Started(record)),
        None => Err(SandboxError::Start { output: "it left no record".to_owned() }),
    }
}

/// The record; `None` where there is none, or one that is not whole: `up` writes a new one.
fn read(state: &Path) -> Result<Option<Record>, SandboxError> {
    let path = file(state);
    match fs::read_to_string(&path) {
        Ok(text) => Ok(serde_json::from_str(&text).ok()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(SandboxError::Io { what: format!("cannot read {}", path.display()), source }),
    }
}

/// Whether a detached emulator runs: it is asked, and must answer with the recorded process id.
///
/// # Errors
/// The record exists and cannot be read.
pub async fn status(state: &Path) -> Result<Status, SandboxError> {
    #[derive(Deserialize)]
    struct Ping {
        redrill: String,
        pid: u32,
    }
    let Some(record) = read(state)? else { return Ok(Status::Down) };
    let ping: Result<Ping, _> = http::get(&record.endpoint, &record.token, "/_redrill/ping", PING).await;
    Ok(match ping {
        Ok(p) if p.redrill == "emulator" && p.pid == record.pid => Status::Running(record),
        _ => Status::Gone(record),
    })
}

/// Ends the detached emulator and waits until its process is gone. Returns what was ended; `None`
/// where nothing was running.
///
/// # Errors
/// It does not end, or the record cannot be read or removed.
pub async fn down(state: &Path) -> Result<Option<Record>, SandboxError> {
    let ended = match status(state).await? {
        Status::Down | Status::Gone(_) => None,
        Status::Running(record) => {
            end(record.pid).await?;
            Some(record)
        }
    };
    match fs::remove_file(file(state)) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(SandboxError::Io { what: "cannot remove the sandbox's record".to_owned(), source })
        }
        _ => Ok(ended),
    }
}

#[cfg(unix)]
async fn end(pid: u32) -> Result<(), SandboxError> {
    use rustix::process::{Pid, Signal, WaitOptions, kill_process, test_kill_process, waitpid};

    let still = || SandboxError::StillRunning { pid };
    let id = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or_else(still)?;
    for signal in [Signal::TERM, Signal::KILL] {
        // gone between the ping and now: fine
        if kill_process(id, signal).is_err() {
            return Ok(());
        }
        let mut left = END;
        while !left.is_zero() {
            // where we are its parent it stays a zombie until it is waited for
            let _ = waitpid(Some(id), WaitOptions::NOHANG);
            if test_kill_process(id).is_err() || is_zombie(pid) {
                return Ok(());
            }
            let pause = Duration::from_millis(20);
            tokio::time::sleep(pause).await;
            left = left.saturating_sub(pause);
        }
    }
    Err(still())
}

/// Whether the process has ended and only its entry is left: in a container, process 1 may never take
/// such entries away.
#[cfg(unix)]
fn is_zombie(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|text| text.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('Z')))
}

#[cfg(not(unix))]
async fn end(pid: u32) -> Result<(), SandboxError> {
    Err(SandboxError::StillRunning { pid })
}
