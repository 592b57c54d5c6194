//! Local programs on this machine, with the binary as their guard: what they see, and that they have an end.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use redrill::cloud::{
    CloudError, CloudResult, CommandOutput, CommandRequest, EffectCertainty, ErrorKind, Local as _, Starting,
};
use redrill::model::{ProgramEnd, ProgramId};
use redrill::net::RealLocal;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::task::JoinHandle;

/// Longest wait for anything that a test awaits.
const PATIENCE: Duration = Duration::from_secs(30);

pub fn local() -> RealLocal {
    RealLocal::guarded_by(env!("CARGO_BIN_EXE_redrill"))
}

/// Waits until something is so.
pub async fn until(what: &str, mut so: impl FnMut() -> bool) {
    let looked = async {
        while !so() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, looked).await.is_ok(), "waited in vain: {what}");
}

/// Waits for a file with a line in it, and reads it.
pub async fn told(path: &Path) -> String {
    let read = || std::fs::read_to_string(path).ok().filter(|text| text.ends_with('\n'));
    until(&format!("{} is written", path.display()), || read().is_some()).await;
    read().unwrap_or_default().trim().to_owned()
}

/// Whether there is such a process, and it is not dead already.
pub fn lives(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
    stat.is_ok_and(|stat| !stat.contains(") Z "))
}

pub fn signal(pid: &str, signal: Signal) {
    let pid = pid.trim().parse().ok().and_then(Pid::from_raw).expect("a process id");
    kill_process(pid, signal).expect("signalled");
}

/// Field `n` of `/proc/PID/stat`, of those behind the name.
fn stat(pid: &str, n: usize) -> String {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    stat.rsplit_once(") ").expect("a name").1.split(' ').nth(n - 3).expect("a field").to_owned()
}

/// Keeps what it is told, and allows it or not.
pub struct Told {
    mark: String,
    id: Mutex<Option<ProgramId>>,
    refuse: bool,
}

impl Told {
    pub fn new(mark: &str) -> Arc<Self> {
        Arc::new(Self { mark: mark.to_owned(), id: Mutex::default(), refuse: false })
    }

    fn id(&self) -> Option<ProgramId> {
        self.id.lock().expect("told").clone()
    }
}

#[async_trait]
impl Starting for Told {
    fn mark(&self) -> &str {
        &self.mark
    }

    async fn known(&self, program: &ProgramId) -> CloudResult<()> {
        *self.id.lock().expect("told") = Some(program.clone());
        match self.refuse {
            true => Err(CloudError::new("test", ErrorKind::Journal, "not on the disk")),
            false => Ok(()),
        }
    }
}

const LONG: Duration = Duration::from_secs(60);

fn sh(script: &str, timeout: Duration) -> CommandRequest {
    CommandRequest {
        argv: vec!["/bin/sh".to_owned(), "-c".to_owned(), script.to_owned()],
        env: [("GIVEN".to_owned(), "yes".to_owned()), ("REDRILL_PROGRAM".to_owned(), "other".to_owned())]
            .into(),
        cwd: None,
        timeout,
    }
}

async fn run(script: &str, timeout: Duration) -> CommandOutput {
    local().run(&sh(script, timeout), &*Told::new("run/step/1")).await.expect("it starts")
}

/// A folder that scripts and tests meet in.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A script with `@name` for the path of a file.
    fn script(&self, text: &str) -> String {
        text.replace('@', &format!("{}/", self.0.path().display()))
    }
}

type Run = JoinHandle<CloudResult<CommandOutput>>;

/// A program that goes on until somebody ends it, and has a child that went into a session of its own: it, the pids
/// of both, and what it is known by.
async fn endless(place: &Place, mark: &str) -> (Run, [String; 2], ProgramId) {
    let told_of = Told::new(mark);
    let script = "setsid sh -c 'echo $$ > @child; exec sleep 600' & echo $$ > @own; wait; sleep 600";
    let (request, own) = (sh(&place.script(script), LONG), Arc::clone(&told_of));
    let ran = tokio::spawn(async move { local().run(&request, &*own).await });
    let pids = [told(&place.file("own")).await, told(&place.file("child")).await];
    assert!(pids.iter().all(|pid| lives(pid)));
    (ran, pids, told_of.id().expect("told before it started"))
}

async fn all_gone(pids: &[String]) {
    until(&format!("{pids:?} are gone"), || !pids.iter().any(|pid| lives(pid))).await;
}

#[tokio::test]
async fn code_outputs_and_environment_are_what_they_should_be() {
    let out = run("echo $GIVEN; env | cut -d= -f1 >&2; echo $REDRILL_PROGRAM; exit 3", LONG).await;
    assert_eq!((out.code, out.timed_out, out.stdout.as_str()), (Some(3), false, "yes\nrun/step/1\n"));
    assert!(!out.stderr.contains("CARGO"), "{}", out.stderr);
    assert!(out.stderr.contains("PATH"));
    let out = run("kill -9 $$", LONG).await;
    assert_eq!((out.code, out.timed_out), (None, false));
}

#[tokio::test]
async fn output_is_cut_and_the_program_does_not_block() {
    let out = run("head -c 1000000 /dev/zero", LONG).await;
    assert_eq!((out.code, out.stdout.len()), (Some(0), 64 * 1024));
}

#[tokio::test]
async fn what_cannot_be_started_is_an_error() {
    let request = |argv: &[&str]| CommandRequest {
        argv: argv.iter().map(|a| (*a).to_owned()).collect(),
        env: [].into(),
        cwd: None,
        timeout: LONG,
    };
    for (argv, kind) in [
        (&["/nonexistent/program"][..], ErrorKind::NotFound),
        (&["/tmp"], ErrorKind::Denied),
        (&[], ErrorKind::Invalid),
    ] {
        let failed = local().run(&request(argv), &*Told::new("m")).await.expect_err("not started");
        assert_eq!((failed.kind, failed.effect), (kind, EffectCertainty::None), "{failed}");
    }
    // and where nothing guards it, it is not started at all
    for binary in ["/nonexistent/redrill", "/bin/true"] {
        let unguarded = RealLocal::guarded_by(binary);
        let failed = unguarded.run(&request(&["/bin/true"]), &*Told::new("m")).await.expect_err("no guard");
        assert_eq!(failed.effect, EffectCertainty::None);
        assert!(failed.message.contains("guard"), "{failed}");
    }
}

#[tokio::test]
async fn nothing_is_started_before_what_it_is_known_by_is_on_record() {
    let place = Place::new();
    let request = sh(&place.script("touch @started"), LONG);
    let refused = Told { mark: "m".to_owned(), id: Mutex::default(), refuse: true };
    let failed = local().run(&request, &refused).await.expect_err("refused");
    assert_eq!((failed.kind, failed.effect), (ErrorKind::Journal, EffectCertainty::None));
    let guard = refused.id().expect("told").pid.to_string();
    all_gone(&[guard]).await;
    assert!(!place.file("started").exists());
}

#[tokio::test]
async fn a_program_has_the_session_of_its_guard_and_no_terminal() {
    let place = Place::new();
    let (ran, [own, _], id) = endless(&place, "run/step/2").await;
    let guard = id.pid.to_string();
    // fields 5 to 7: group, session, terminal
    assert_eq!([5, 6, 7].map(|n| stat(&own, n)), [guard.clone(), guard.clone(), "0".to_owned()]);
    assert_eq!(id.start.map(|s| s.to_string()), Some(stat(&guard, 22)));
    assert_ne!(stat(&guard, 6), stat(&std::process::id().to_string(), 6), "not the session of redrill");
    // neither does what a terminal sends to everybody end the guard
    for sent in [Signal::INT, Signal::HUP, Signal::TERM, Signal::QUIT] {
        signal(&guard, sent);
    }
    signal(&own, Signal::KILL);
    let out = ran.await.expect("no panic").expect("seen to its end");
    assert_eq!(out.code, None);
}

#[tokio::test]
async fn a_program_that_hangs_ends_with_everything_that_it_started() {
    let place = Place::new();
    let script =
        "trap '' TERM; setsid sh -c 'echo $$ > @child; exec sleep 600' & sleep 600 & echo $! > @own; wait";
    let out = run(&place.script(script), Duration::from_secs(2)).await;
    assert_eq!((out.code, out.timed_out), (None, true));
    let pids = [told(&place.file("own")).await, told(&place.file("child")).await];
    assert!(!pids.iter().any(|pid| lives(pid)), "they live on");
}

#[tokio::test]
async fn a_caller_that_goes_away_takes_the_program_along() {
    let place = Place::new();
    let (ran, pids, _) = endless(&place, "run/step/3").await;
    ran.abort();
    all_gone(&pids).await;
}

#[tokio::test]
async fn a_child_in_the_background_does_not_keep_the_caller_waiting() {
    let place = Place::new();
    let out = run(&place.script("sleep 60 & echo $! > @own; echo done"), LONG).await;
    assert_eq!((out.code, out.stdout.as_str()), (Some(0), "done\n"));
    assert!(!lives(&told(&place.file("own")).await), "it held the output");
    // what is left in the background on purpose is the program's effect
    let out = run(&place.script("sleep 60 > /dev/null 2>&1 & echo $! > @left; echo done"), LONG).await;
    assert_eq!((out.code, out.stdout.as_str()), (Some(0), "done\n"));
    let left = told(&place.file("left")).await;
    assert!(lives(&left));
    signal(&left, Signal::KILL);
}

#[tokio::test]
async fn a_guard_that_is_killed_is_said_to_be_and_takes_the_program_along() {
    let place = Place::new();
    let (ran, pids, id) = endless(&place, "run/step/4").await;
    signal(&id.pid.to_string(), Signal::KILL);
    let failed = ran.await.expect("no panic").expect_err("nobody saw its end");
    assert_eq!(failed.effect, EffectCertainty::Unknown, "{failed}");
    assert!(failed.message.contains("guard was ended"), "{failed}");
    assert!(!pids.iter().any(|pid| lives(pid)), "they live on");
}

#[tokio::test]
async fn what_redrill_and_its_guard_left_behind_is_found_and_ended() {
    // the guard stands still: all is of its session; the guard is gone: the mark tells
    for gone in [false, true] {
        let place = Place::new();
        let (ran, pids, id) = endless(&place, &format!("run/step/5{gone}")).await;
        let guard = id.pid.to_string();
        signal(&guard, Signal::STOP);
        ran.abort();
        assert!(ran.await.is_err_and(|e| e.is_cancelled()));
        if gone {
            signal(&guard, Signal::KILL);
            until("the guard is gone", || !lives(&guard)).await;
        }
        assert!(pids.iter().all(|pid| lives(pid)));
        assert_eq!(local().end(&id).await, Ok(ProgramEnd::Ended), "gone: {gone}");
        assert!(!pids.iter().any(|pid| lives(pid)) && !lives(&guard), "they live on");
        assert_eq!(local().end(&id).await, Ok(ProgramEnd::Gone));
    }
}

#[tokio::test]
async fn who_does_not_listen_is_killed() {
    let place = Place::new();
    let told_of = Told::new("run/step/6");
    let script = "trap '' TERM HUP INT; echo $$ > @own; while :; do sleep 1; done";
    let (request, own) = (sh(&place.script(script), LONG), Arc::clone(&told_of));
    let ran = tokio::spawn(async move { local().run(&request, &*own).await });
    let pid = told(&place.file("own")).await;
    signal(&told_of.id().expect("told").pid.to_string(), Signal::STOP);
    ran.abort();
    assert_eq!(local().end(&told_of.id().expect("told")).await, Ok(ProgramEnd::Ended));
    assert!(!lives(&pid));
}

#[tokio::test]
async fn a_stranger_with_the_same_process_id_is_left_alone() {
    let stranger = |script: &str| {
        let mut c = tokio::process::Command::new("setsid");
        c.args(["sh", "-c", script]).stdin(Stdio::null()).kill_on_drop(true).spawn().expect("it starts")
    };
    // nothing that would be left when it is killed, with this test's output open
    let mut one = stranger("exec sleep 600");
    let pid = one.id().expect("it runs").to_string();
    until("it leads its session", || stat(&pid, 6) == pid).await;
    let place = Place::new();
    let (ran, pids, mut id) = endless(&place, "run/step/7").await;
    signal(&pids[0], Signal::KILL);
    signal(&pids[1], Signal::KILL);
    ran.await.expect("no panic").expect("seen");
    id.pid = pid.parse().expect("a number");
    id.start = stat(&pid, 22).parse::<u64>().ok().map(|s| s - 1);
    assert_eq!(local().end(&id).await, Ok(ProgramEnd::Gone));
    assert!(lives(&pid) && one.try_wait().expect("asked").is_none());
}
