//! Whoever is at the other end of a run's output holds nothing up: a terminal that was stopped, a reader who does
//! not read, job control, a terminal that goes away. On one CPU, where there is a way to ask for that.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use redrill::model::Clock as _;
use redrill::model::time::SystemClock;
use rustix::process::Signal;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Action, LocalModes, OptionalActions, tcflow, tcgetattr, tcsetattr};
use serde_json::Value;
use tokio::process::{Child, Command};

use super::drills::{blind, network};
use super::world::{PATIENCE, World, skipped};

/// A terminal: the test holds the end that a person would look at.
struct Terminal {
    person: OwnedFd,
    name: String,
    /// What was shown so far.
    shown: Arc<Mutex<String>>,
}

impl Terminal {
    fn open() -> Self {
        let person =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a terminal");
        grantpt(&person).expect("granted");
        unlockpt(&person).expect("unlocked");
        let name = ptsname(&person, Vec::new()).expect("a name").into_string().expect("text");
        Self { person, name, shown: Arc::default() }
    }

    /// The end that a program has.
    fn end(&self) -> File {
        File::options().read(true).write(true).open(&self.name).expect("opened")
    }

    /// Reads whatever comes.
    fn read_on(&self) {
        let mut from = File::from(self.person.try_clone().expect("another"));
        let shown = Arc::clone(&self.shown);
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(n @ 1..) = from.read(&mut piece) {
                shown.lock().expect("shown").push_str(&String::from_utf8_lossy(&piece[..n]));
            }
        });
    }

    fn shown(&self) -> String {
        self.shown.lock().expect("shown").clone()
    }

    fn types(&self, text: &str) {
        File::from(self.person.try_clone().expect("another")).write_all(text.as_bytes()).expect("typed");
    }

    /// Starts a command as the leader of a session that this terminal belongs to, on one CPU.
    fn start(&self, w: &World, command: &[&str]) -> Child {
        let mut c = Command::new("setsid");
        c.arg("--ctty");
        if Path::new("/usr/bin/taskset").is_file() {
            c.args(["taskset", "-c", "0"]);
        }
        c.args(command);
        let as_redrill = w.redrill([""; 0]);
        let as_redrill = as_redrill.as_std();
        c.env_clear().envs(as_redrill.get_envs().filter_map(|(k, v)| Some((k, v?)))).env("TERM", "xterm");
        c.current_dir(w.home.path()).kill_on_drop(true);
        let end = || Stdio::from(self.end());
        c.stdin(end()).stdout(end()).stderr(end()).spawn().expect("it starts")
    }
}

fn has_setsid() -> bool {
    let there = Path::new("/usr/bin/setsid").is_file();
    if !there {
        skipped("there is no setsid here");
    }
    there
}

/// The lines of the only run so far.
fn journal(w: &World) -> Vec<Value> {
    let runs = std::fs::read_dir(w.home.path().join(".redrill/runs")).into_iter().flatten().flatten();
    let texts = runs.filter_map(|run| std::fs::read_to_string(run.path().join("journal.jsonl")).ok());
    texts.flat_map(|t| t.lines().filter_map(|l| serde_json::from_str(l).ok()).collect::<Vec<_>>()).collect()
}

/// Waits for a line in the journal.
async fn line(w: &World, what: &str, like: impl Fn(&Value) -> bool) -> Value {
    let found = async {
        loop {
            if let Some(line) = journal(w).into_iter().find(|l| like(l)) {
                return line;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let found = tokio::time::timeout(PATIENCE, found).await;
    found.unwrap_or_else(|_| panic!("waited in vain for {what}: {:#?}", journal(w)))
}

async fn stage(w: &World, stage: &str) {
    line(w, stage, |l| l["type"] == "stage" && l["stage"] == stage).await;
}

async fn end(child: &mut Child) -> ExitStatus {
    tokio::time::timeout(PATIENCE, child.wait()).await.expect("it ends").expect("waited for")
}

fn signal(child: &Child, signal: Signal) {
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
    rustix::process::kill_process(pid.expect("it runs"), signal).expect("signalled");
}

/// How long after `since` this line was written, in milliseconds.
fn after(line: &Value, since: chrono::DateTime<chrono::Utc>) -> i64 {
    let at = line["at"].as_str().and_then(|t| t.parse::<chrono::DateTime<chrono::Utc>>().ok());
    (at.expect("a time") - since).num_milliseconds()
}

#[tokio::test]
async fn a_terminal_that_was_stopped_holds_up_neither_the_run_nor_a_signal_nor_the_end() {
    let Some(w) = World::start().await else { return };
    if !has_setsid() {
        return;
    }
    for at in ["baseline", "impact", "verify", "hold"] {
        w.reseed().await;
        let before = w.state().await;
        w.gate.set(at == "hold" || at == "impact");
        let mut drill = network(&w).gated(&w);
        if at == "impact" {
            drill.steady = blind(&w);
        }
        drill.steady = drill.steady.replace("hold: 1s", "hold: 3s");
        w.file("drill.yaml", &drill.text());
        let _gone = std::fs::remove_dir_all(w.home.path().join(".redrill"));
        let terminal = Terminal::open();
        terminal.read_on();
        let mut run = terminal.start(&w, &[super::world::REDRILL, "run", "drill.yaml", "--yes"]);
        stage(&w, at).await;
        // Ctrl-S: from here on nothing that is written comes back
        tcflow(terminal.end(), Action::OOff).expect("stopped");
        let shown = terminal.shown().len();
        tokio::time::sleep(Duration::from_secs(1)).await;
        let sent = SystemClock.now();
        signal(&run, Signal::INT);
        let stopped = line(&w, "the stop", |l| l["type"] == "stop-requested").await;
        let undo = line(&w, "the undo", |l| l["type"] == "stage" && l["stage"] == "undo").await;
        assert!(after(&stopped, sent) < 2_000, "{at}: {stopped}");
        assert!(after(&undo, sent) < 5_000, "{at}: {undo}");
        let code = end(&mut run).await.code();
        assert_eq!(code, Some(13), "{at}: {}", terminal.shown());
        assert!(terminal.shown().len() < shown + 4096, "{at}: it was stopped");
        assert_eq!(w.state().await, before, "{at}: {:#?}", journal(&w));
    }
}

#[tokio::test]
async fn a_reader_who_does_not_read_holds_nothing_up() {
    let Some(w) = World::start().await else { return };
    w.file("drill.yaml", &network(&w).text());
    let (unread, write) = std::io::pipe().expect("a pipe");
    // as little as a pipe can hold
    rustix::pipe::fcntl_setpipe_size(&write, 4096).expect("small");
    let mut run = w.redrill(["run", "drill.yaml", "--yes", "--output", "json"]);
    let mut run = run.stdout(write).stderr(Stdio::null()).spawn().expect("it starts");
    let over = line(&w, "the end", |l| l["type"] == "finished").await;
    assert_eq!(over["verdict"], "passed", "{over}");
    assert_eq!(end(&mut run).await.code(), Some(0));
    // the lock of the run and of its targets is free again
    let next = w.go(["run", "drill.yaml", "--yes", "--output", "json"]).await;
    next.expect(0, "passed");
    drop(unread);
}

#[tokio::test]
async fn job_control_does_not_stop_a_run() {
    let Some(w) = World::start().await else { return };
    if !has_setsid() {
        return;
    }
    w.gate.set(false);
    w.file("drill.yaml", &network(&w).gated(&w).text());
    // Ctrl-Z, typed at the terminal while the fault is in place
    let terminal = Terminal::open();
    terminal.read_on();
    let mut run = terminal.start(&w, &[super::world::REDRILL, "run", "drill.yaml", "--yes"]);
    stage(&w, "verify").await;
    terminal.types("\u{1a}");
    let told = async {
        while !terminal.shown().contains("Ctrl-Z is ignored") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, told).await.is_ok(), "{}", terminal.shown());
    w.gate.set(true);
    assert_eq!(end(&mut run).await.code(), Some(0), "{}", terminal.shown());

    // in the background from the start, with something typed that it could read
    let _gone = std::fs::remove_dir_all(w.home.path().join(".redrill"));
    w.gate.set(false);
    let terminal = Terminal::open();
    terminal.read_on();
    let job = format!("set -m; {} run drill.yaml --yes & wait $!", super::world::REDRILL);
    let mut shell = terminal.start(&w, &["bash", "-c", &job]);
    stage(&w, "verify").await;
    // as `stty tostop` does; before a run begins, it stops what shows the plan like any other program
    let mut modes = tcgetattr(terminal.end()).expect("its modes");
    modes.local_modes |= LocalModes::TOSTOP;
    tcsetattr(terminal.end(), OptionalActions::Now, &modes).expect("set");
    terminal.types("anything\n");
    w.gate.set(true);
    assert_eq!(end(&mut shell).await.code(), Some(0), "{}", terminal.shown());
    let over = line(&w, "the end", |l| l["type"] == "finished").await;
    assert_eq!(over["verdict"], "passed", "{over}");
}

#[tokio::test]
async fn a_terminal_that_goes_away_rolls_back() {
    let Some(w) = World::start().await else { return };
    if !has_setsid() {
        return;
    }
    let before = w.state().await;
    w.gate.set(false);
    w.file("drill.yaml", &network(&w).gated(&w).text());
    let terminal = Terminal::open();
    let mut run = {
        let mut from = File::from(terminal.person.try_clone().expect("another"));
        let run = terminal.start(&w, &[super::world::REDRILL, "run", "drill.yaml", "--yes"]);
        // the plan is shown before the run begins, and is read
        let mut piece = [0; 4096];
        while !journal(&w).iter().any(|l| l["type"] == "stage" && l["stage"] == "verify") {
            let _some = from.read(&mut piece).expect("shown");
        }
        run
    };
    drop(terminal);
    assert_eq!(end(&mut run).await.code(), Some(13));
    let over = line(&w, "the end", |l| l["type"] == "finished").await;
    assert_eq!(over["verdict"], "stopped", "{over}");
    assert_eq!(w.state().await, before);
}
