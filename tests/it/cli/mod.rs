//! The real binary in a hermetic place: its environment is empty, its folders are temporary, its
//! time to answer is bounded. Both streams and the exit code are what is looked at.

mod approve;
pub mod authority;
mod basics;
mod check;
mod evidence;
mod findings;
mod hostile;
mod keys;
mod least_privilege;
mod people;
mod publish;
mod reading;
mod reconcile;
mod rehearse;
mod reports;
mod runs;
mod secrets;
mod timestamp;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use redrill::cloud::Cloud;
use redrill::drill::Loaded;
use redrill::engine;
use redrill::journal::writer::{FileJournal, MemoryJournal};
use redrill::journal::{Mode, runs as store};
use redrill::model::RunId;
use redrill::plan::file;
use serde_json::Value;

use crate::bench::{Bench, load};

/// Longer than any command may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// How a command came out.
#[must_use]
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    /// Exit code, stdout, stderr, as a test reads best.
    pub fn all(&self) -> (i32, &str, &str) {
        (self.code, &self.stdout, &self.stderr)
    }

    /// Stdout as JSON, one value a line.
    pub fn json(&self) -> Vec<Value> {
        let read = |l: &str| serde_json::from_str(l).unwrap_or_else(|e| panic!("{e}: {l}"));
        self.stdout.lines().map(read).collect()
    }

    /// The exit code must be this one.
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }
}

/// The user that the tests run as, as the operating system says.
pub fn os_user() -> String {
    let out = Command::new("id").arg("-un").output().expect("there is id");
    String::from_utf8_lossy(&out.stdout).trim().to_owned()
}

/// A folder of its own, with a home in it.
pub struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::create_dir(folder.path().join("home")).expect("a home");
        Self { folder }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The default state folder.
    pub fn state(&self) -> PathBuf {
        self.path().join(".redrill")
    }

    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        std::fs::write(self.path().join(name), text).expect("the file is written");
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    /// A command with an empty environment.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_redrill"));
        command
            .args(args)
            .env_clear()
            .env("HOME", self.path().join("home"))
            .env("PATH", "/usr/bin:/bin")
            .env("USER", "tester")
            .env("COLUMNS", "80")
            .current_dir(self.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub fn run(&self, args: &[&str]) -> Ran {
        finish(self.command(args))
    }

    /// A run that the library made on the simulator, at a fixed time, as the command would have left it.
    pub fn run_of(&self, drill: &str, entropy: u64) -> store::RunDir {
        self.run_in(&load(drill), entropy, |_| {})
    }

    /// The same of a drill that is loaded already, in a world that is changed first.
    pub fn run_in(&self, loaded: &Loaded, entropy: u64, change: impl FnOnce(&mut Cloud)) -> store::RunDir {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let bench = Bench::planned(loaded, |_| {}).await;
            let id = RunId::new(bench.clock.now(), &bench.plan.drill.name, entropy);
            let plan = file::write(&bench.plan);
            let dir = store::create(&self.state(), &id, plan.as_bytes(), loaded.source.as_bytes())
                .expect("a run folder");
            let unused = Arc::new(MemoryJournal::new());
            let mut setup = bench.setup(Mode::Run, unused, vec![], bench.cloud(|mutate| mutate));
            change(&mut setup.cloud);
            setup.journal = Box::new(FileJournal::create(dir.journal()).expect("a journal"));
            setup.run = id;
            let (_keep, control) = tokio::sync::mpsc::channel(1);
            engine::run(setup, control).await.expect("the run comes to its end");
            dir
        })
    }

    /// A plan file made by the library on the simulator.
    pub fn plan_of(&self, drill: &str) -> String {
        self.plan_loaded(&crate::bench::load(drill))
    }

    /// The same of a drill that is loaded already.
    pub fn plan_loaded(&self, loaded: &redrill::drill::Loaded) -> String {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .expect("a runtime");
        runtime.block_on(async { file::write(&Bench::planned(loaded, |_| {}).await.plan) })
    }
}

/// Runs to the end, but not for ever.
pub fn finish(mut command: Command) -> Ran {
    ended(command.spawn().expect("the binary starts"))
}

/// Waits for the end, but not for ever.
pub fn ended(child: Child) -> Ran {
    let pid = child.id();
    let (done, waiting) = mpsc::channel();
    std::thread::spawn(move || done.send(child.wait_with_output()));
    let Ok(output) = waiting.recv_timeout(PATIENCE) else {
        let pid = rustix::process::Pid::from_raw(pid.try_into().expect("a pid")).expect("a pid");
        let _gone = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        panic!("it takes longer than {PATIENCE:?}");
    };
    let output = output.expect("the output is read");
    Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).expect("UTF-8 on stdout"),
        stderr: String::from_utf8(output.stderr).expect("UTF-8 on stderr"),
    }
}

/// In a fresh place, to a good end.
pub fn redrill(args: &[&str]) -> Ran {
    Place::new().run(args).exits(0)
}

/// A shipped drill's path.
pub fn shipped(name: &str) -> String {
    format!("{}/drills/{name}.yaml", env!("CARGO_MANIFEST_DIR"))
}

/// A fixture's path.
pub fn fixture(name: &str) -> String {
    format!("{}/tests/fixtures/drills/{name}.yaml", env!("CARGO_MANIFEST_DIR"))
}

/// A fixture's text.
pub fn text_of(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{path}: {e}"))
}
