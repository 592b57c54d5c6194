//! What can go wrong with the emulator, and what to do about it. Pure.

/// A failure of the sandbox.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// No folder to install into.
    #[error("no cache folder: neither XDG_CACHE_HOME nor HOME is set")]
    NoCache,
    /// There is no Python.
    #[error("python3 was not found on the path")]
    PythonMissing,
    /// Every Python found is too old.
    #[error("python {found} is too old: the emulator needs 3.11 or later")]
    PythonTooOld {
        /// The version found, for example `3.8`.
        found: String,
    },
    /// `python3 -m venv` failed.
    #[error("making a virtual environment failed:\n{output}")]
    Venv {
        /// The last lines that Python printed.
        output: String,
    },
    /// `pip install` failed.
    #[error("installing the emulator's packages failed:\n{output}")]
    Pip {
        /// The last lines that pip printed.
        output: String,
    },
    /// A file or a process could not be dealt with.
    #[error("{what}")]
    Io {
        /// What was tried, as a fragment.
        what: String,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// The emulator ended instead of getting ready.
    #[error("the emulator did not start:\n{output}")]
    Start {
        /// The last lines that it printed.
        output: String,
    },
    /// The emulator is silent.
    #[error("the emulator was not ready after {seconds} s:\n{output}")]
    NotReady {
        /// How long it had.
        seconds: u64,
        /// The last lines that it printed.
        output: String,
    },
    /// The endpoint is not on this machine, so it cannot be an emulator of ours.
    #[error("`{endpoint}` is not a loopback address")]
    NotLoopback {
        /// The endpoint asked for.
        endpoint: String,
    },
    /// The emulator could not be reached.
    #[error("no answer from the emulator at {endpoint}")]
    Unreachable {
        /// Its endpoint.
        endpoint: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// The emulator answered something unexpected.
    #[error("the emulator at {endpoint} answered {status}: {body}")]
    Answer {
        /// Its endpoint.
        endpoint: String,
        /// HTTP status.
        status: u16,
        /// The beginning of the answer.
        body: String,
    },
    /// It got the signal and is still there.
    #[error("the emulator (process {pid}) did not end")]
    StillRunning {
        /// Its process id.
        pid: u32,
    },
}

impl SandboxError {
    /// What to do next, where there is something to do.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::NoCache => "set REDRILL_CACHE to a folder that redrill may write to",
            Self::PythonMissing | Self::PythonTooOld { .. } => {
                "install Python 3.11 or later, or name one: REDRILL_PYTHON=/path/to/python3"
            }
            Self::Venv { .. } => "on Debian and Ubuntu: apt install python3-venv",
            Self::Pip { .. } => {
                "the first start needs the network; pip's own settings (PIP_INDEX_URL, proxies) apply"
            }
            Self::Start { .. } | Self::NotReady { .. } => "is the port free? leave it out to take any",
            Self::Unreachable { .. } => "start it with: redrill sandbox up",
            Self::NotLoopback { .. } => "the sandbox is always on 127.0.0.1",
            Self::Io { .. } | Self::Answer { .. } | Self::StillRunning { .. } => return None,
        })
    }

    pub(super) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}
