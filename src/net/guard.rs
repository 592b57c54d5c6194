//! The guard of a local program: a process of its own between redrill and the program. I/O.
//!
//! Whatever ends redrill, a program that it started must not go on unseen: what it does afterwards would undo what a
//! rollback puts back. So redrill starts itself once more as a guard, over a socket that is the guard's standard input.
//! The guard goes into a session of its own, so that no terminal reaches it or the program, says that it is ready, and
//! waits: redrill journals what it is known by, and only then sends what to start. When the socket closes, redrill is
//! gone or wants no more of it: the guard ends everything of the program, then itself.
//!
//! Invariants: nothing is started before the order came whole; the guard leads the session and the group of everything
//! that it starts, and outlives a request to end. Not for: deciding anything about the program.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group, setsid};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::signal::unix::{SignalKind, signal};

use super::local::OPERATION;
use super::processes;
use crate::cloud::{CloudError, CloudResult, CommandRequest, EffectCertainty, ErrorKind};
use crate::model::ProgramId;
use crate::model::program::MARK;

/// The argument that makes redrill a guard.
pub const ARGUMENT: &str = "__guard";
/// How long a guard may take to be ready.
const READY: Duration = Duration::from_secs(20);
/// What of redrill's own environment a program sees.
const INHERITED: [&str; 4] = ["PATH", "HOME", "LANG", MARK];

/// What is to be started.
#[derive(Serialize, Deserialize)]
struct Order {
    argv: Vec<String>,
    env: BTreeMap<String, String>,
    cwd: Option<String>,
}

/// What the guard says, a line each.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Said {
    /// It has a session of its own, and waits for the order.
    Ready,
    /// The program could not be started.
    Failed { kind: ErrorKind, why: String },
    /// The program has ended; `None`: by a signal.
    Ended(Option<i32>),
}

/// How redrill starts itself: on Linux the very file that it runs from, even if another stands at its path by now.
pub(super) fn itself() -> PathBuf {
    let own = PathBuf::from("/proc/self/exe");
    if cfg!(target_os = "linux") { own } else { std::env::current_exe().unwrap_or(own) }
}

/// A guard at work, seen from redrill. Dropped, it ends what it guards.
pub(super) struct Guard {
    process: Child,
    socket: BufReader<UnixStream>,
    /// What it and its program are known by.
    pub(super) id: ProgramId,
}

impl Guard {
    /// Starts a guard, which starts nothing yet.
    pub(super) async fn start(binary: &PathBuf, mark: &str) -> CloudResult<Self> {
        let failed = |why: String| CloudError::new(OPERATION, ErrorKind::Other, why);
        let io = |e: std::io::Error| failed(format!("the program's guard cannot be started: {e}"));
        let (own, other) = UnixStream::pair().map_err(io)?;
        let other = other.into_std().and_then(|s| s.set_nonblocking(false).map(|()| s)).map_err(io)?;
        let mut process = Command::new(binary)
            .arg0("redrill")
            .arg(ARGUMENT)
            .env(MARK, mark)
            .stdin(Stdio::from(OwnedFd::from(other)))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(io)?;
        let mut socket = BufReader::new(own);
        match tokio::time::timeout(READY, hear(&mut socket)).await {
            Ok(Some(Said::Ready)) => {}
            Ok(_) => {
                let _ended = process.wait().await;
                return Err(failed("the program's guard ended before it was ready".to_owned()));
            }
            Err(_) => {
                let _ended = process.kill().await;
                return Err(failed(format!(
                    "the program's guard was not ready within {} s",
                    READY.as_secs()
                )));
            }
        }
        let pid = process.id().ok_or_else(|| failed("the program's guard has ended".to_owned()))?;
        Ok(Self { process, socket, id: processes::known(pid, mark) })
    }

    /// What the program writes.
    pub(super) fn outputs(&mut self) -> (Option<ChildStdout>, Option<ChildStderr>) {
        (self.process.stdout.take(), self.process.stderr.take())
    }

    /// Has the program started, and waits for its end: its exit code, `None` where a signal ended it.
    pub(super) async fn go(&mut self, request: &CommandRequest) -> CloudResult<Option<i32>> {
        let (argv, env, cwd) = (request.argv.clone(), request.env.clone(), request.cwd.clone());
        let gone = || {
            CloudError::new(
                OPERATION,
                ErrorKind::Other,
                "the program's guard was ended; nobody saw how the program ended",
            )
            .effect(EffectCertainty::Unknown)
        };
        say(self.socket.get_mut(), &Order { argv, env, cwd }).await.map_err(|_| gone())?;
        match hear(&mut self.socket).await {
            Some(Said::Ended(code)) => Ok(code),
            Some(Said::Failed { kind, why }) => Err(CloudError::new(OPERATION, kind, why)),
            Some(Said::Ready) | None => Err(gone()),
        }
    }

    /// Kills everything that is left of the program, and the guard.
    pub(super) async fn kill(&mut self) {
        // not waited for yet, so that the number cannot be another's
        if self.process.id() == Some(self.id.pid) {
            kill_group(self.id.pid);
        }
        // what went into another group; whoever cannot be ended here is looked for again before an undo
        let _left = processes::sweep(&self.id, Duration::ZERO).await;
    }

    /// Takes note of the guard's own end, which has come.
    pub(super) async fn over(mut self) {
        let _status = self.process.wait().await;
    }
}

/// Where there is no `/proc`, this is all that can be done.
fn kill_group(leader: u32) {
    if let Some(group) = i32::try_from(leader).ok().and_then(Pid::from_raw) {
        // it may be gone already, which is what is wanted
        let _ = kill_process_group(group, Signal::KILL);
    }
}

async fn say(socket: &mut UnixStream, what: &impl Serialize) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(what)?;
    line.push(b'\n');
    socket.write_all(&line).await
}

/// The next line; `None` where the other end is gone, or says what nobody understands.
async fn hear<T: for<'a> Deserialize<'a>>(socket: &mut BufReader<UnixStream>) -> Option<T> {
    let mut line = Vec::new();
    socket.read_until(b'\n', &mut line).await.ok()?;
    // what was cut off is not an order
    line.ends_with(b"\n").then(|| serde_json::from_slice(&line).ok())?
}

/// What the guard's process does, instead of all else. `None`: this process is not one.
pub fn called() -> Option<ExitCode> {
    let is_guard = std::env::args_os().nth(1) == Some(OsString::from(ARGUMENT));
    is_guard.then(|| match stand() {
        Some(()) => ExitCode::SUCCESS,
        None => ExitCode::FAILURE,
    })
}

fn stand() -> Option<()> {
    // redrill's threads block signals of the terminal, which a program need not
    let _as_it_was = nix::sys::signal::SigSet::empty().thread_set_mask();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    runtime.block_on(async {
        // who is asked to end goes on guarding; a program has the defaults again
        let asked =
            [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup(), SignalKind::quit()];
        let _heard: Vec<_> = asked.into_iter().map(signal).collect::<Result<_, _>>().ok()?;
        setsid().ok()?;
        let stdin = std::io::stdin().as_fd().try_clone_to_owned().ok()?;
        let socket = std::os::unix::net::UnixStream::from(stdin);
        socket.set_nonblocking(true).ok()?;
        let mut socket = BufReader::new(UnixStream::from_std(socket).ok()?);
        say(socket.get_mut(), &Said::Ready).await.ok()?;
        let order = hear::<Order>(&mut socket).await?;
        guard(&mut socket, &order).await
    })
}

async fn guard(socket: &mut BufReader<UnixStream>, order: &Order) -> Option<()> {
    let mut program = match start(order) {
        Ok(program) => program,
        Err(failed) => return say(socket.get_mut(), &failed).await.ok(),
    };
    let closed = async {
        // nothing more is said; whatever comes, the other end is not redrill any more
        let mut rest = Vec::new();
        let _closed = socket.read_until(b'\n', &mut rest).await;
    };
    let status = tokio::select! {
        biased;
        status = program.wait() => status,
        () = closed => {
            end(program).await;
            return Some(());
        }
    };
    say(socket.get_mut(), &Said::Ended(status.ok()?.code())).await.ok()
}

fn start(order: &Order) -> Result<Child, Said> {
    let failed = |kind, why: String| Said::Failed { kind, why };
    let Some((program, arguments)) = order.argv.split_first() else {
        return Err(failed(ErrorKind::Invalid, "no program is named".to_owned()));
    };
    let own = INHERITED.iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
    let mark = std::env::var_os(MARK).map(|mark| (MARK, mark));
    let mut command = Command::new(program);
    command.args(arguments).env_clear().envs(own).envs(&order.env).envs(mark).stdin(Stdio::null());
    if let Some(folder) = &order.cwd {
        command.current_dir(folder);
    }
    command.spawn().map_err(|error| {
        let kind = match error.kind() {
            std::io::ErrorKind::NotFound => ErrorKind::NotFound,
            std::io::ErrorKind::PermissionDenied => ErrorKind::Denied,
            _ => ErrorKind::Other,
        };
        failed(kind, format!("`{program}` cannot be started: {error}"))
    })
}

/// Redrill is gone: ends everything of the program but this process.
async fn end(mut program: Child) {
    let id = processes::known(std::process::id(), &std::env::var(MARK).unwrap_or_default());
    if id.start.is_some() {
        let _swept = processes::sweep(&id, processes::GRACE).await;
        return;
    }
    if let Some(group) = i32::try_from(id.pid).ok().and_then(Pid::from_raw) {
        // this process hears it, and stays
        let _ = kill_process_group(group, Signal::TERM);
    }
    let _ended = tokio::time::timeout(processes::GRACE, program.wait()).await;
    // whatever is left of the group, and this process with it
    kill_group(id.pid);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_that_was_cut_off_is_none() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let order =
                serde_json::to_vec(&Order { argv: vec!["rm\n".to_owned()], env: BTreeMap::new(), cwd: None });
            let order = order.unwrap();
            for (sent, taken) in
                [(&order[..], false), (&[&order[..], b"\n"].concat(), true), (b"\n", false), (b"", false)]
            {
                let (mut one, other) = UnixStream::pair().unwrap();
                one.write_all(sent).await.unwrap();
                drop(one);
                let heard = hear::<Order>(&mut BufReader::new(other)).await;
                assert_eq!(heard.map(|o| o.argv), taken.then(|| vec!["rm\n".to_owned()]), "{sent:?}");
            }
        });
    }

    #[test]
    fn a_program_gets_the_mark_whatever_it_is_given() {
        let order = |argv: &[&str]| Order {
            argv: argv.iter().map(|a| (*a).to_owned()).collect(),
            env: [(MARK.to_owned(), "another".to_owned())].into(),
            cwd: None,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            assert!(matches!(start(&order(&[])), Err(Said::Failed { kind: ErrorKind::Invalid, .. })));
            let missing = start(&order(&["/nonexistent/program"])).err();
            assert!(matches!(missing, Some(Said::Failed { kind: ErrorKind::NotFound, .. })), "{missing:?}");
        });
    }
}
