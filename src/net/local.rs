//! Local programs: argv without a shell, a small environment, an end for certain. I/O.
//!
//! Not for: deciding what an exit code means. Invariant: nothing of a program outlives its limit, its caller or
//! redrill, also where redrill is killed: see [`super::guard`]. What it left in the background when it ended by itself
//! is its effect, and stays.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::task::JoinHandle;

use super::guard::{self, Guard};
use super::processes;
use crate::cloud::{
    CloudError, CloudResult, CommandOutput, CommandRequest, ErrorKind, Local, Starting, Unended,
};
use crate::model::{ProgramEnd, ProgramId};

pub(super) const OPERATION: &str = "local:run";
/// How much of each output is kept.
const OUTPUT_LIMIT: usize = 64 * 1024;
/// How long a finished program's children may keep its output open.
const GRACE: Duration = Duration::from_millis(500);

/// Runs programs on this machine.
#[derive(Clone, Debug)]
pub struct RealLocal {
    guard: PathBuf,
}

impl Default for RealLocal {
    /// This very program is also the guard of what it starts.
    fn default() -> Self {
        Self { guard: guard::itself() }
    }
}

impl RealLocal {
    /// Where this program is not redrill: where redrill is, to guard what is started.
    pub fn guarded_by(redrill: impl Into<PathBuf>) -> Self {
        Self { guard: redrill.into() }
    }
}

#[async_trait]
impl Local for RealLocal {
    async fn exists(&self, path: &str) -> CloudResult<bool> {
        match tokio::fs::symlink_metadata(path).await {
            Ok(_) => Ok(true),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                let parent = Path::new(path).parent().filter(|p| !p.as_os_str().is_empty());
                let folder = parent.unwrap_or(Path::new("."));
                match tokio::fs::metadata(folder).await {
                    Ok(meta) if meta.is_dir() => Ok(false),
                    // a share that is not mounted says nothing about what is on it
                    _ => {
                        let why = format!("{path}: the folder {} is not there", folder.display());
                        Err(CloudError::new("local:exists", ErrorKind::Other, why))
                    }
                }
            }
            Err(e) => Err(CloudError::new("local:exists", ErrorKind::Other, format!("{path}: {e}"))),
        }
    }

    fn folder(&self) -> Option<String> {
        std::env::current_dir().ok()?.into_os_string().into_string().ok()
    }

    fn lacks(&self, request: &CommandRequest) -> Option<String> {
        lacks(request)
    }

    async fn run(&self, request: &CommandRequest, starting: &dyn Starting) -> CloudResult<CommandOutput> {
        if request.argv.is_empty() {
            return Err(CloudError::new(OPERATION, ErrorKind::Invalid, "no program is named"));
        }
        let mut guard = Guard::start(&self.guard, starting.mark()).await?;
        starting.known(&guard.id).await?;
        let (stdout, stderr) = guard.outputs();
        let (stdout, stderr) = (Output::collect(stdout), Output::collect(stderr));
        let (code, timed_out) = match tokio::time::timeout(request.timeout, guard.go(request)).await {
            Ok(Ok(code)) => (code, false),
            Ok(Err(failed)) => {
                guard.kill().await;
                guard.over().await;
                return Err(failed);
            }
            Err(_elapsed) => {
                guard.kill().await;
                (None, true)
            }
        };
        let finished = tokio::time::timeout(GRACE, async { tokio::join!(stdout.end(), stderr.end()) }).await;
        if finished.is_err() {
            guard.kill().await;
        }
        guard.over().await;
        Ok(CommandOutput { code, timed_out, stdout: stdout.text(), stderr: stderr.text() })
    }

    async fn end(&self, program: &ProgramId) -> Result<ProgramEnd, Unended> {
        processes::end(program).await
    }

    /// The address that the system would send from. Connecting a datagram socket sends nothing: it only
    /// asks for the route. The far end stands for any address beyond this machine's own network.
    fn addresses(&self) -> Vec<std::net::IpAddr> {
        let route = |bind: &str, beyond: &str| {
            let socket = std::net::UdpSocket::bind((bind, 0)).ok()?;
            socket.connect((beyond, 9)).ok()?;
            Some(socket.local_addr().ok()?.ip())
        };
        // addresses set aside for documentation (RFC 5737, RFC 3849)
        [route("0.0.0.0", "192.0.2.1"), route("::", "2001:db8::1")]
            .into_iter()
            .flatten()
            .filter(|ip| !ip.is_loopback() && !ip.is_unspecified())
            .collect()
    }

    /// By the files and variables that Docker, Podman, Kubernetes and ECS leave.
    fn is_contained(&self) -> bool {
        let files = ["/.dockerenv", "/run/.containerenv"];
        let variables = ["KUBERNETES_SERVICE_HOST", "ECS_CONTAINER_METADATA_URI_V4"];
        files.iter().any(|f| Path::new(f).exists()) || variables.iter().any(|v| std::env::var_os(v).is_some())
    }
}

/// Why a program could not be started. As the system looks for it: a name without a slash in the folders of `PATH`,
/// the one that the program is given; anything else from the folder that it is started in.
fn lacks(request: &CommandRequest) -> Option<String> {
    let name = request.argv.first()?;
    let folder = Path::new(request.cwd.as_deref().unwrap_or("."));
    if !folder.is_dir() {
        return Some(format!("there is no folder `{}`", folder.display()));
    }
    let executable =
        |path: &Path| path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok();
    if name.contains('/') {
        let path = folder.join(name);
        return match (path.is_file(), executable(&path)) {
            (_, true) => None,
            (true, false) => Some(format!("`{name}` may not be executed")),
            (false, false) => Some(format!("there is no program `{name}`")),
        };
    }
    let path = match request.env.get("PATH") {
        Some(own) => Some(own.into()),
        None => std::env::var_os("PATH"),
    };
    let found = std::env::split_paths(&path?).any(|dir| executable(&folder.join(dir).join(name)));
    (!found).then(|| format!("there is no program `{name}` in any folder of PATH"))
}

/// One output, read to its end so that the program never blocks, and kept up to the limit.
struct Output {
    kept: Arc<Mutex<Vec<u8>>>,
    reader: Mutex<Option<JoinHandle<()>>>,
    abort: Option<tokio::task::AbortHandle>,
}

impl Output {
    fn collect(pipe: Option<impl AsyncRead + Unpin + Send + 'static>) -> Self {
        let kept = Arc::new(Mutex::new(Vec::new()));
        let reader = pipe.map(|mut pipe| {
            let kept = Arc::clone(&kept);
            tokio::spawn(async move {
                let mut piece = vec![0; 8192];
                while let Ok(n @ 1..) = pipe.read(&mut piece).await {
                    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                    let room = OUTPUT_LIMIT.saturating_sub(kept.len());
                    kept.extend_from_slice(&piece[..n.min(room)]);
                }
            })
        });
        let abort = reader.as_ref().map(JoinHandle::abort_handle);
        Self { kept, reader: Mutex::new(reader), abort }
    }

    async fn end(&self) {
        let reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(reader) = reader {
            let _ = reader.await;
        }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.kept.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if let Some(abort) = &self.abort {
            abort.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn a_file_in_a_folder_that_is_not_there_cannot_be_looked_for() {
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| folder.path().join(name).display().to_string();
        assert_eq!(RealLocal::default().exists(&place("stop")).await, Ok(false));
        std::fs::write(folder.path().join("stop"), "").unwrap();
        assert_eq!(RealLocal::default().exists(&place("stop")).await, Ok(true));
        for gone in ["share/stop", "share/redrill/stop", "stop/stop"] {
            let error = RealLocal::default().exists(&place(gone)).await.unwrap_err();
            assert_eq!(error.operation, "local:exists", "{error}");
        }
        assert_eq!(RealLocal::default().exists("no-such-file-here").await, Ok(false));
    }

    #[test]
    fn what_cannot_be_started_is_known_before() {
        let folder = tempfile::tempdir().unwrap();
        let inside = |name: &str| folder.path().join(name);
        for (name, mode) in [("tool", 0o755), ("text", 0o644)] {
            std::fs::write(inside(name), "#!/bin/sh\n").unwrap();
            let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
            std::fs::set_permissions(inside(name), mode).unwrap();
        }
        let home = folder.path().display().to_string();
        let lacks = |name: &str, cwd: Option<&str>, path: Option<&str>| {
            let env = path.map(|p| ("PATH".to_owned(), p.to_owned())).into_iter().collect();
            let argv = vec![name.to_owned()];
            lacks(&CommandRequest { argv, env, cwd: cwd.map(str::to_owned), timeout: LONG })
        };
        let (here, absolute) = (Some(home.as_str()), inside("tool").display().to_string());
        for (name, cwd, path, want) in [
            ("sh", None, None, None),
            (absolute.as_str(), None, None, None),
            ("./tool", here, None, None),
            ("tool", None, here, None),
            ("tool", here, Some("."), None),
            ("tool", here, Some("/nonexistent"), Some("there is no program `tool` in any folder of PATH")),
            ("text", None, here, Some("there is no program `text` in any folder of PATH")),
            ("./tool", None, None, Some("there is no program `./tool`")),
            ("./strat.sh", here, None, Some("there is no program `./strat.sh`")),
            ("./text", here, None, Some("`./text` may not be executed")),
            ("/tmp", None, None, Some("there is no program `/tmp`")),
            ("sh", Some("/nonexistent"), None, Some("there is no folder `/nonexistent`")),
        ] {
            assert_eq!(lacks(name, cwd, path).as_deref(), want, "{name} in {cwd:?} with {path:?}");
        }
    }
}
