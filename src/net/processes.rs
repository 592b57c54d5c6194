//! The processes of a program that was started earlier: which they are, and their end. I/O, except for what decides.
//!
//! Not for: starting anything. Invariant: a process gets a signal only where it surely belongs to the program: its
//! session or group is that of a leader who has the recorded start time and the program's mark in its environment, or
//! its own environment holds the mark.
//! What only may belong is never touched, and never passed over in silence. Where the system has no `/proc`, all that
//! can be known is that no process of the group is left.

use std::time::Duration;

use rustix::process::{Pid, Signal, test_kill_process_group};

use crate::cloud::Unended;
use crate::model::program::MARK;
use crate::model::time::{Clock as _, SystemClock};
use crate::model::{ProgramEnd, ProgramId};

/// How long a program that was asked to end may take for it.
pub(super) const GRACE: Duration = Duration::from_secs(5);
/// How long one that was killed may take to be gone.
const LAST: Duration = Duration::from_secs(5);
/// How often is looked.
const PAUSE: Duration = Duration::from_millis(25);
/// How long one may tell nothing of whose it is: in the middle of a fork, an exec or its end no process does.
const DOUBT: Duration = Duration::from_secs(2);

/// One process, as `/proc/PID/stat` tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Process {
    pid: i32,
    name: String,
    state: char,
    group: i32,
    session: i32,
    start: u64,
}

impl Process {
    /// Whether it does nothing any more, and only waits to be taken note of.
    fn is_dead(&self) -> bool {
        matches!(self.state, 'Z' | 'X' | 'x')
    }
}

/// Reads a line of `/proc/PID/stat`. The name may hold anything, also `)`.
fn parse(stat: &str) -> Option<Process> {
    let (pid, rest) = stat.split_once(" (")?;
    let (name, rest) = rest.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let number = |field: usize| fields.get(field)?.parse().ok();
    Some(Process {
        pid: pid.parse().ok()?,
        name: name.to_owned(),
        // fields 3, 5, 6 and 22 of proc_pid_stat(5)
        state: fields.first()?.chars().next()?,
        group: number(2)?,
        session: number(3)?,
        start: fields.get(19)?.parse().ok()?,
    })
}

fn read(pid: i32) -> Option<Process> {
    parse(&String::from_utf8_lossy(&std::fs::read(format!("/proc/{pid}/stat")).ok()?))
}

/// Who leads the group by now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leader {
    /// The process that was recorded.
    Own,
    /// Another one, which got its process id, or which a record that was not written by redrill names.
    Stranger,
    /// Nobody has that process id, or it does not tell any more whose it is.
    Gone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Belongs {
    Yes,
    No,
    /// It is in a session or group of that number, and nothing tells whether that is the program's.
    Maybe,
}

/// Whether a process belongs to the program. `environ` is `None` where it may not be read.
fn belongs(
    p: &Process,
    program: &ProgramId,
    leader: Leader,
    environ: impl FnOnce() -> Option<Vec<u8>>,
) -> Belongs {
    if p.is_dead() {
        return Belongs::No;
    }
    let id = i64::from(program.pid);
    let inside = i64::from(p.session) == id || i64::from(p.group) == id;
    if inside && leader == Leader::Own {
        return Belongs::Yes;
    }
    let marked = environ().is_some_and(|all| is_marked(&all, program));
    match (marked, inside, leader) {
        (true, _, _) => Belongs::Yes,
        (false, true, Leader::Gone) => Belongs::Maybe,
        (false, _, _) => Belongs::No,
    }
}

/// Whether this environment has the program's mark.
fn is_marked(environ: &[u8], program: &ProgramId) -> bool {
    let wanted = format!("{MARK}={}", program.mark);
    environ.split(|b| *b == 0).any(|one| one == wanted.as_bytes())
}

/// Whose the process is that has the recorded id. An id and a start time can be written into a journal by anybody; the
/// mark stands in the process itself.
fn leader(now: Option<&Process>, program: &ProgramId, environ: impl FnOnce() -> Option<Vec<u8>>) -> Leader {
    match now {
        None => Leader::Gone,
        Some(p) if Some(p.start) != program.start => Leader::Stranger,
        Some(p) if p.is_dead() => Leader::Gone,
        Some(_) => match environ() {
            Some(all) if is_marked(&all, program) => Leader::Own,
            Some(_) => Leader::Stranger,
            None => Leader::Gone,
        },
    }
}

/// What there is of a program.
#[derive(Default)]
struct Found {
    own: Vec<Process>,
    unsure: Vec<Process>,
}

/// Looks through all processes but this one.
fn look(program: &ProgramId) -> std::io::Result<Found> {
    let now = i32::try_from(program.pid).ok().and_then(read);
    let leader =
        leader(now.as_ref(), program, || std::fs::read(format!("/proc/{}/environ", program.pid)).ok());
    let this = i32::try_from(std::process::id()).ok();
    let mut found = Found::default();
    for entry in std::fs::read_dir("/proc")? {
        let pid = entry.ok().and_then(|e| e.file_name().to_str()?.parse::<i32>().ok());
        let Some(pid) = pid.filter(|p| Some(*p) != this) else { continue };
        let Some(process) = read(pid) else { continue };
        match belongs(&process, program, leader, || std::fs::read(format!("/proc/{pid}/environ")).ok()) {
            Belongs::Yes => found.own.push(process),
            Belongs::Maybe => found.unsure.push(process),
            Belongs::No => {}
        }
    }
    Ok(found)
}

/// What this machine knows of the process that has this id: when it was started, and in which boot.
pub(super) fn known(pid: u32, mark: &str) -> ProgramId {
    let boot = SystemClock.boot();
    let start = i32::try_from(pid).ok().and_then(read).map(|p| p.start).filter(|_| boot.is_some());
    ProgramId { pid, start, boot, host: host(), mark: mark.to_owned() }
}

fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Whether it can be looked for here and now; else what is known without a look.
fn where_from(
    program: &ProgramId,
    host: &str,
    boot: Option<&str>,
) -> Result<(), Result<ProgramEnd, Unended>> {
    if program.host != host {
        let why = format!("it was started on the machine {}, and this is {host}", program.host);
        return Err(Err(Unended::Unseen(why)));
    }
    match (program.boot.as_deref(), boot) {
        // nothing lives through that
        (Some(then), Some(now)) if then != now => Err(Ok(ProgramEnd::Gone)),
        (Some(_), Some(_)) if program.start.is_some() => Ok(()),
        _ => Err(without_proc(program)),
    }
}

/// What is known where the system tells nothing about processes but whether there are any of a group.
fn without_proc(program: &ProgramId) -> Result<ProgramEnd, Unended> {
    // 0 and 1 would stand for other groups
    let group = i32::try_from(program.pid).ok().filter(|pid| *pid > 1).and_then(Pid::from_raw);
    match group.map(test_kill_process_group) {
        Some(Err(rustix::io::Errno::SRCH)) => Ok(ProgramEnd::Gone),
        _ => Err(Unended::Unseen(format!(
            "there are processes of a group {}, and this system does not tell whether they are its own",
            program.pid
        ))),
    }
}

/// Ends a program of an earlier process, as [`crate::cloud::Local::end`] says.
pub(super) async fn end(program: &ProgramId) -> Result<ProgramEnd, Unended> {
    match where_from(program, &host(), SystemClock.boot().as_deref()) {
        Ok(()) => sweep(program, GRACE).await,
        Err(known) => known,
    }
}

/// Ends everything of a program that was started in this boot of this machine, but this process; without `grace`, it
/// is not asked first.
pub(super) async fn sweep(program: &ProgramId, grace: Duration) -> Result<ProgramEnd, Unended> {
    swept(program, grace, || look(program)).await
}

async fn swept(
    program: &ProgramId,
    grace: Duration,
    mut look: impl FnMut() -> std::io::Result<Found>,
) -> Result<ProgramEnd, Unended> {
    let (mut how, mut doubted) = (ProgramEnd::Gone, Duration::ZERO);
    for (sent, patience) in [(Signal::TERM, grace), (Signal::KILL, LAST)] {
        let mut waited = Duration::ZERO;
        let mut told = Vec::new();
        // who forks while everybody is looked at may be missed once, not twice
        let mut empty = 0;
        while empty < 2 && waited < patience {
            let found = look().map_err(|e| Unended::Unseen(format!("/proc: {e}")))?;
            match (found.own.is_empty(), found.unsure.first()) {
                (true, Some(p)) if doubted >= DOUBT => return Err(unsure(p, program)),
                (true, Some(_)) => (empty, doubted) = (0, doubted + PAUSE),
                (true, None) => empty += 1,
                (false, _) => (empty, doubted, how) = (0, Duration::ZERO, ProgramEnd::Ended),
            }
            for process in found.own {
                // whoever was killed may be listed for a moment; a program is asked once
                if sent == Signal::KILL || !told.contains(&(process.pid, process.start)) {
                    signal(&process, sent);
                    told.push((process.pid, process.start));
                }
            }
            if empty < 2 {
                tokio::time::sleep(PAUSE).await;
                waited += PAUSE;
            }
        }
        if empty == 2 {
            return Ok(how);
        }
    }
    let Found { own: left, unsure: doubtful } = look().unwrap_or_default();
    match (left.is_empty(), doubtful.first()) {
        (true, Some(p)) => Err(unsure(p, program)),
        (true, None) => Ok(how),
        (false, _) => {
            let named: Vec<String> = left.iter().map(named).collect();
            let ids = left.iter().filter_map(|p| u32::try_from(p.pid).ok()).collect();
            Err(Unended::Lives(named.join(", "), ids))
        }
    }
}

fn named(p: &Process) -> String {
    format!("process {} ({})", p.pid, p.name)
}

fn unsure(p: &Process, program: &ProgramId) -> Unended {
    Unended::Unseen(format!(
        "{} is in a session of the same number {}, and nothing tells whether it is the program's",
        named(p),
        program.pid
    ))
}

/// Sends a signal to the process that was looked at, and to no other that may have got its id meanwhile.
#[cfg(target_os = "linux")]
fn signal(process: &Process, signal: Signal) {
    use rustix::process::{PidfdFlags, kill_process, pidfd_open, pidfd_send_signal};
    let Some(pid) = Pid::from_raw(process.pid) else { return };
    let held = pidfd_open(pid, PidfdFlags::empty());
    if read(process.pid).is_none_or(|now| now.start != process.start) {
        return;
    }
    // whether it was of use is seen at the next look
    let _sent = match held {
        Ok(held) => pidfd_send_signal(held, signal),
        // a kernel without them
        Err(_) => kill_process(pid, signal),
    };
}

/// Nobody is found where there is no `/proc`.
#[cfg(not(target_os = "linux"))]
fn signal(_: &Process, _: Signal) {}

#[cfg(test)]
mod tests {
    use super::*;

    fn program() -> ProgramId {
        ProgramId {
            pid: 4000,
            start: Some(777),
            boot: Some("b1".to_owned()),
            host: "desk".to_owned(),
            mark: "run/step/1f".to_owned(),
        }
    }

    fn process(pid: i32, group: i32, session: i32) -> Process {
        Process { pid, name: "sh".to_owned(), state: 'S', group, session, start: 800 }
    }

    #[test]
    fn a_line_of_stat_is_read_whatever_the_name() {
        let line = "4001 (a) b (c) R 4000 4000 3999 0 -1 4194560 90 0 0 0 0 0 0 0 20 0 1 0 12345 2 3";
        let p = parse(line).unwrap();
        assert_eq!((p.pid, p.name.as_str(), p.state), (4001, "a) b (c", 'R'));
        assert_eq!((p.group, p.session, p.start), (4000, 3999, 12345));
        for broken in
            ["", "1 (x", "1 (x) S", "1 (x) S 1 1 1", "x (x) S 1 1 1 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 5"]
        {
            assert_eq!(parse(broken), None, "{broken}");
        }
        let own = read(i32::try_from(std::process::id()).unwrap());
        assert!(own.is_some_and(|p| p.start > 0 && !p.is_dead()));
    }

    #[test]
    fn only_what_surely_belongs_is_the_programs() {
        let marked = || Some(b"A=1\0REDRILL_PROGRAM=run/step/1f\0B=2".to_vec());
        let other = || Some(b"REDRILL_PROGRAM=run/step/1f0\0XREDRILL_PROGRAM=run/step/1f".to_vec());
        let hidden = || None;
        let of = |p: &Process, leader, environ: &dyn Fn() -> Option<Vec<u8>>| {
            belongs(p, &program(), leader, environ)
        };
        use Leader::{Gone, Own, Stranger};
        let (inside, left, stranger) =
            (process(4001, 4000, 4000), process(4001, 4001, 4000), process(9, 9, 9));
        for p in [&inside, &left, &process(4001, 4000, 1)] {
            assert_eq!(of(p, Own, &hidden), Belongs::Yes, "{p:?}");
            assert_eq!(of(p, Gone, &marked), Belongs::Yes, "{p:?}");
            assert_eq!(of(p, Gone, &hidden), Belongs::Maybe, "{p:?}");
            assert_eq!(of(p, Gone, &other), Belongs::Maybe, "{p:?}");
            assert_eq!(of(p, Stranger, &hidden), Belongs::No, "{p:?}");
            assert_eq!(of(p, Stranger, &other), Belongs::No, "{p:?}");
        }
        // it went into a session of its own
        for leader in [Own, Gone, Stranger] {
            assert_eq!(of(&stranger, leader, &marked), Belongs::Yes);
            assert_eq!(of(&stranger, leader, &other), Belongs::No);
            assert_eq!(of(&stranger, leader, &hidden), Belongs::No);
        }
        let dead = Process { state: 'Z', ..inside };
        assert_eq!(of(&dead, Own, &marked), Belongs::No);
    }

    #[test]
    fn a_leader_is_known_by_its_mark_and_not_by_what_a_record_says_alone() {
        let with = |mark: &str| Some(format!("A=1\0REDRILL_PROGRAM={mark}\0").into_bytes());
        let of = |p: &Process, environ| leader(Some(p), &program(), || environ);
        let own = Process { start: 777, ..process(4000, 4000, 4000) };
        assert_eq!(of(&own, with("run/step/1f")), Leader::Own);
        assert_eq!(of(&own, with("run/step/20")), Leader::Stranger, "somebody's, named by a forged journal");
        assert_eq!(of(&own, Some(Vec::new())), Leader::Stranger);
        assert_eq!(of(&own, None), Leader::Gone, "nothing tells");
        assert_eq!(of(&process(4000, 4000, 4000), with("run/step/1f")), Leader::Stranger, "another start");
        assert_eq!(of(&Process { state: 'Z', ..own }, Some(Vec::new())), Leader::Gone);
        assert_eq!(leader(None, &program(), || None), Leader::Gone);
    }

    #[test]
    fn what_another_machine_or_boot_started_is_not_looked_for_here() {
        let of = |p: &ProgramId| where_from(p, "desk", Some("b1"));
        assert_eq!(of(&program()), Ok(()));
        let elsewhere = ProgramId { host: "other".to_owned(), ..program() };
        assert!(matches!(of(&elsewhere), Err(Err(Unended::Unseen(why))) if why.contains("machine other")));
        let before = ProgramId { boot: Some("b0".to_owned()), ..program() };
        assert_eq!(of(&before), Err(Ok(ProgramEnd::Gone)));
    }

    #[test]
    fn without_proc_only_an_empty_group_is_known() {
        // no process has an id that large
        let gone = ProgramId { pid: 2_000_000_000, start: None, boot: None, ..program() };
        assert_eq!(where_from(&gone, "desk", None), Err(Ok(ProgramEnd::Gone)));
        let own = rustix::process::getpgrp().as_raw_nonzero().get();
        for pid in [u32::try_from(own).unwrap(), 0, 1, u32::MAX] {
            let there = ProgramId { pid, ..gone.clone() };
            assert!(matches!(where_from(&there, "desk", None), Err(Err(Unended::Unseen(_)))), "{pid}");
        }
    }

    /// What a sweep comes to that sees these, one look after the other, and then the last of them for ever.
    async fn seen(mut looks: Vec<Found>) -> Result<ProgramEnd, Unended> {
        looks.reverse();
        let again = |f: &Found| Found { own: f.own.clone(), unsure: f.unsure.clone() };
        let look = || Ok(if looks.len() > 1 { looks.pop().unwrap_or_default() } else { again(&looks[0]) });
        swept(&program(), GRACE, look).await
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_does_not_tell_whose_it_is_is_looked_at_again() {
        // no process has so high an id
        let one = || vec![process(i32::MAX, 4000, 4000)];
        let own = || Found { own: one(), unsure: vec![] };
        let unsure = || Found { own: vec![], unsure: one() };
        let looks = vec![unsure(), unsure(), own(), Found::default()];
        assert_eq!(seen(looks).await, Ok(ProgramEnd::Ended));
        assert_eq!(seen(vec![unsure(), Found::default()]).await, Ok(ProgramEnd::Gone));
        // it stays so
        let Err(Unended::Unseen(why)) = seen(vec![unsure()]).await else { panic!("it counts as ended") };
        assert!(why.contains("nothing tells whether it is the program's"), "{why}");
    }
}
