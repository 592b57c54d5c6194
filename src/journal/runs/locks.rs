//! Locks of runs, of their targets and of the services that they drill. I/O.
//!
//! A lock is the operating system's, on a file, and dies with its process. The file says who holds it: process,
//! run, state folder, since when. Two rules make it safe to remove such a file. Whoever removes it holds it;
//! and whoever has locked a file looks whether it still is the one at its path, else it was removed meanwhile,
//! and he begins again. So the file is removed after use, and one that is left says that its process was
//! killed: with which run unfinished, and where.
//!
//! The locks that count for all state folders of this machine and user lie in one folder of `/tmp`: it is there
//! in every session, job and container, without a home. What tidies `/tmp` goes by age, so what is held is kept
//! young; where a file is taken away all the same, it is made and locked anew.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::super::line_hash;
use super::{RunDir, RunsError, entry, io_error, no_follow, own_folder, state_folder};
use crate::model::time::SystemClock;
use crate::model::{Clock as _, RunId};

/// How often what is held is touched; what tidies `/tmp` takes what was not touched for days.
const YOUNG: Duration = Duration::from_secs(600);
/// Who only looks, or tidies up, holds a lock for a moment: it is tried again before it counts as taken.
const TRIES: usize = 12;
const PAUSE: Duration = Duration::from_millis(15);

/// Who holds a lock.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The process.
    pub pid: Option<u32>,
    /// The run it works on.
    pub run: Option<String>,
    /// The state folder that the run lies in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<PathBuf>,
    /// Since when (UTC).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<DateTime<Utc>>,
}

impl Holder {
    fn of(run: &RunId, state: Option<PathBuf>) -> Self {
        let now = SystemClock.now();
        // whole seconds: it is for people
        let since = DateTime::from_timestamp(now.timestamp(), 0);
        Self { pid: Some(std::process::id()), run: Some(run.to_string()), state, since }
    }

    /// The process and since when, as far as it is known.
    pub fn at_work(&self) -> String {
        let since = self.since.map(|at| format!(", since {}", at.format("%Y-%m-%d %H:%M:%S UTC")));
        match self.pid {
            Some(pid) => format!("process {pid}{}", since.unwrap_or_default()),
            None => "another process".to_owned(),
        }
    }

    /// Who holds what is locked: the process alone where that is its own run.
    pub(super) fn of_another(&self, what: &str) -> String {
        let own = self.run.as_ref().is_some_and(|run| what == format!("run {run}"));
        if own { self.at_work() } else { self.to_string() }
    }

    /// Whether its run is not finished, as its journal says.
    pub fn is_unfinished(&self) -> bool {
        let (Some(run), Some(state)) = (&self.run, &self.state) else { return false };
        let dir = RunDir::at(state.join("runs").join(run));
        // nothing was sent before the first line
        let begun = |dir: &RunDir| fs::metadata(dir.journal()).is_ok_and(|m| m.len() > 0);
        dir.is_some_and(|dir| begun(&dir) && entry(&dir).is_open())
    }
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.run {
            Some(run) if self.pid.is_some() => write!(f, "run {run} ({})", self.at_work()),
            _ => f.write_str(&self.at_work()),
        }
    }
}

/// A lock that is held until this is dropped or the process ends, however it ends.
#[derive(Debug)]
pub struct Lock {
    file: File,
    path: PathBuf,
    /// Whether the file goes with the lock.
    goes: bool,
}

impl Drop for Lock {
    fn drop(&mut self) {
        if self.goes && is_at(&self.file, &self.path) {
            // still locked: nobody else can have it
            let _gone = fs::remove_file(&self.path);
        }
    }
}

/// Locks a run for this process.
///
/// # Errors
/// When another process works on it.
pub fn lock(run: &RunDir) -> Result<Lock, RunsError> {
    let state = run.path().parent().and_then(Path::parent).map(Path::to_owned);
    let (mut lock, _) = take(&file_of(run), format!("run {}", run.id()), &Holder::of(run.id(), state))?;
    lock.goes = false;
    Ok(lock)
}

fn file_of(run: &RunDir) -> PathBuf {
    run.path().join("lock")
}

/// The process that works on a run, if one does. Looks only.
pub fn holder(run: &RunDir) -> Option<Holder> {
    let file = OpenOptions::new().read(true).custom_flags(no_follow()).open(file_of(run)).ok()?;
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => Some(note(&file).unwrap_or_default()),
        _ => None,
    }
}

/// Whether an open file is the one at its path, and not one that was removed.
fn is_at(file: &File, path: &Path) -> bool {
    let same = |a: &fs::Metadata, b: &fs::Metadata| (a.dev(), a.ino()) == (b.dev(), b.ino());
    matches!((file.metadata(), fs::symlink_metadata(path)), (Ok(a), Ok(b)) if same(&a, &b))
}

/// What the file says about its holder. That it is held is what counts, who by is a courtesy.
fn note(mut file: &File) -> Option<Holder> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.take(4096).read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

fn open(path: &Path) -> Result<File, RunsError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(no_follow());
    options.open(path).map_err(io_error("open", path))
}

/// The lock, and who held it last where he was killed with a run unfinished.
fn take(path: &Path, what: String, holder: &Holder) -> Result<(Lock, Option<Holder>), RunsError> {
    let mut tries = 0;
    loop {
        tries += 1;
        let mut file = open(path)?;
        match file.try_lock() {
            Ok(()) if is_at(&file, path) => {
                let last = note(&file).filter(|last| last.run != holder.run && last.is_unfinished());
                if last.is_none() {
                    serde_json::to_vec(holder)
                        .map_err(io::Error::from)
                        .and_then(|text| {
                            file.rewind()?;
                            file.set_len(0)?;
                            file.write_all(&text)
                        })
                        .map_err(io_error("write", path))?;
                }
                // what tells of a run that is not finished stays, whoever looks meanwhile
                return Ok((Lock { file, path: path.to_owned(), goes: last.is_none() }, last));
            }
            // it was removed between the opening and the locking: that lock is nobody's
            Ok(()) if tries < 10 * TRIES => {}
            Err(TryLockError::WouldBlock) if tries < TRIES => pause(),
            Ok(()) | Err(TryLockError::WouldBlock) => {
                let holder = Box::new(note(&file).unwrap_or_default());
                return Err(RunsError::Locked { what, holder });
            }
            Err(TryLockError::Error(source)) => {
                return Err(RunsError::Io { what: "lock", path: path.to_owned(), source });
            }
        }
    }
}

/// The locks on a run's targets.
#[derive(Debug)]
pub struct TargetLocks {
    held: Arc<Held>,
    /// Unfinished runs of other state folders that were killed with one of these locks.
    pub left: Vec<Holder>,
    /// Its end stops what keeps the locks young.
    _young: Option<mpsc::Sender<()>>,
}

#[derive(Debug)]
struct Held {
    folder: PathBuf,
    holder: Holder,
    keys: BTreeSet<String>,
    locks: Mutex<Vec<Lock>>,
    /// Locked as a whole, which systemd-tmpfiles respects.
    _folder: Option<File>,
}

impl TargetLocks {
    /// Locks every target for this run, or none. A key names a target across accounts, for instance
    /// `account/region/kind/id`.
    ///
    /// # Errors
    /// When another process works on one of them.
    pub fn take(state: &Path, run: &RunId, keys: &[String]) -> Result<Self, RunsError> {
        let folder = state_folder(state, "locks")?;
        Self::all(folder, Holder::of(run, fs::canonicalize(state).ok()), keys)
    }

    /// Locks them for all state folders of this machine: in a folder that they share, which is made where
    /// it is missing and must be this user's own. `state` is the one that the run lies in.
    ///
    /// # Errors
    /// When another process works on one of them, or the folder is somebody else's.
    pub fn on_machine(folder: &Path, state: &Path, run: &RunId, keys: &[String]) -> Result<Self, RunsError> {
        usable(folder)?;
        let state = fs::canonicalize(state).or_else(|_| std::path::absolute(state)).ok();
        let mut locks = Self::all(folder.to_owned(), Holder::of(run, state), keys)?;
        let (young, end) = mpsc::channel::<()>();
        // what is dropped is let go of at once, and not when the thread wakes up
        let held = Arc::downgrade(&locks.held);
        std::thread::spawn(move || {
            while end.recv_timeout(YOUNG) == Err(mpsc::RecvTimeoutError::Timeout) {
                let Some(held) = held.upgrade() else { return };
                held.renew();
            }
        });
        locks._young = Some(young);
        Ok(locks)
    }

    fn all(folder: PathBuf, holder: Holder, keys: &[String]) -> Result<Self, RunsError> {
        let keys: BTreeSet<String> = keys.iter().cloned().collect();
        let (mut locks, mut left) = (Vec::new(), Vec::new());
        for key in &keys {
            let (lock, last) = take(&path_of(&folder, key), what(key), &holder)?;
            locks.push(lock);
            left.extend(last.filter(|last| last.state != holder.state));
        }
        left.dedup();
        tidy(&folder);
        let whole = File::open(&folder).ok().filter(|folder| folder.try_lock_shared().is_ok());
        let held = Held { folder, holder, keys, locks: Mutex::new(locks), _folder: whole };
        Ok(Self { held: Arc::new(held), left, _young: None })
    }

    /// Leaves the files where they are, as a killed process does: the run is not finished.
    pub fn leave(&self) {
        for lock in self.held.locks.lock().unwrap_or_else(PoisonError::into_inner).iter_mut() {
            lock.goes = false;
        }
    }
}

impl Held {
    /// Keeps the files young, and makes and locks anew what was taken away.
    fn renew(&self) {
        use rustix::fs::{Timespec, Timestamps, UTIME_NOW, futimens};
        let now = || Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        for lock in locks.iter() {
            let _too_late =
                futimens(&lock.file, &Timestamps { last_access: now(), last_modification: now() });
        }
        if locks.iter().all(|lock| is_at(&lock.file, &lock.path)) || usable(&self.folder).is_err() {
            return;
        }
        for key in &self.keys {
            let path = path_of(&self.folder, key);
            if locks.iter().any(|lock| lock.path == path && is_at(&lock.file, &path)) {
                continue;
            }
            if let Ok((lock, _)) = take(&path, what(key), &self.holder) {
                locks.push(lock);
            }
        }
    }
}

fn path_of(folder: &Path, key: &str) -> PathBuf {
    folder.join(line_hash(key.as_bytes()))
}

/// What a key stands for, in words.
fn what(key: &str) -> String {
    match key.split_once(' ') {
        Some(("run" | "service", _)) => key.to_owned(),
        _ => format!("target {key}"),
    }
}

/// Whether the folder that all state folders share can be used: made where it is missing.
///
/// # Errors
/// It is none, or somebody else's.
pub fn usable(folder: &Path) -> Result<(), RunsError> {
    own_folder(folder)?;
    let owner = fs::symlink_metadata(folder).map_err(io_error("read", folder))?.uid();
    match owner == rustix::process::getuid().as_raw() {
        true => Ok(()),
        false => Err(RunsError::NotOurs { path: folder.to_owned(), owner }),
    }
}

/// Removes what killed processes left, unless it tells of a run that is not finished.
fn tidy(folder: &Path) {
    let Ok(all) = fs::read_dir(folder) else { return };
    for path in all.flatten().map(|entry| entry.path()) {
        let opened = OpenOptions::new().read(true).custom_flags(no_follow()).open(&path);
        let Ok(file) = opened else { continue };
        if file.try_lock().is_ok() && is_at(&file, &path) && !note(&file).is_some_and(|n| n.is_unfinished()) {
            let _gone = fs::remove_file(&path);
        }
    }
}

/// Whoever only looked lets go at once.
fn pause() {
    #[expect(
        clippy::disallowed_methods,
        reason = "locks are taken before anything runs that this could hold up"
    )]
    std::thread::sleep(PAUSE);
}

#[cfg(test)]
mod tests {
    use super::super::tests::{finished, state};
    use super::super::{create, find};
    use super::*;

    const A: &str = "20260101T000000Z-rds-restore-aaaaaa";
    const B: &str = "20260102T000000Z-rds-restore-bbbbbb";

    fn keys(names: &[&str]) -> Vec<String> {
        names.iter().map(|n| (*n).to_owned()).collect()
    }

    fn files(folder: &Path) -> usize {
        fs::read_dir(folder).map_or(0, Iterator::count)
    }

    #[test]
    fn a_run_and_a_target_are_locked_once() {
        let state = state();
        let (a, b) = (find(state.path(), A).unwrap(), find(state.path(), B).unwrap());
        assert_eq!(holder(&a), None);
        let held = lock(&a).unwrap();
        let said = lock(&a).unwrap_err().to_string();
        let process = std::process::id();
        assert!(said.starts_with(&format!("run {A} is in use by process {process}, since 2")), "{said}");
        let at_work = holder(&a).unwrap();
        assert_eq!((at_work.pid, at_work.run.as_deref()), (Some(process), Some(A)));
        let other = lock(&b).unwrap();
        drop((held, other));
        assert_eq!(holder(&a), None, "what is left of the file is nobody's lock");
        lock(&a).unwrap();

        let first = keys(&["1/eu/db/x", "1/eu/db/x", "1/eu/db/y"]);
        let first = TargetLocks::take(state.path(), a.id(), &first).unwrap();
        let error = TargetLocks::take(state.path(), b.id(), &keys(&["1/eu/db/w", "1/eu/db/y"])).unwrap_err();
        assert!(error.to_string().starts_with(&format!("target 1/eu/db/y is in use by run {A}")), "{error}");
        TargetLocks::take(state.path(), b.id(), &keys(&["1/eu/db/w"]))
            .expect("a refused take leaves nothing locked");
        drop(first);
        TargetLocks::take(state.path(), b.id(), &keys(&["1/eu/db/y"])).unwrap();
        assert_eq!(files(&state.path().join("locks")), 0, "and no file");
    }

    #[test]
    fn runs_of_two_state_folders_lock_a_target_once_and_say_where() {
        let (state, other) = (state(), tempfile::tempdir().unwrap());
        let (a, b) = (RunId::from_existing(A), RunId::from_existing(B));
        let machine = other.path().join("redrill-0");
        let take =
            |state: &Path, run: &RunId| TargetLocks::on_machine(&machine, state, run, &keys(&["service x"]));
        let first = take(state.path(), &a).unwrap();
        assert!(TargetLocks::take(state.path(), &b, &keys(&["service x"])).is_ok(), "each has its own");
        let RunsError::Locked { what, holder } = take(other.path(), &b).unwrap_err() else { panic!() };
        assert_eq!((what.as_str(), holder.run.as_deref()), ("service x", Some(A)));
        assert_eq!(holder.state, fs::canonicalize(state.path()).ok());
        drop(first);
        assert_eq!(files(&machine), 0);
        take(other.path(), &b).unwrap();
        // where everybody may write, the name may be anything
        let link = other.path().join("link");
        std::os::unix::fs::symlink(&machine, &link).unwrap();
        assert!(matches!(usable(&link), Err(RunsError::NotAFolder { .. })));
    }

    #[test]
    fn what_a_killed_process_left_tells_of_its_unfinished_run_and_is_tidied_up_once_that_is_over() {
        let (state, other) = (state(), tempfile::tempdir().unwrap());
        let machine = other.path().join("redrill-0");
        let (a, b) = (find(state.path(), A).unwrap(), RunId::from_existing(B));
        let take = |state: &Path, run: &RunId, key: &str| {
            TargetLocks::on_machine(&machine, state, run, &keys(&[key])).unwrap()
        };
        let killed = take(state.path(), a.id(), "service x");
        killed.leave();
        drop(killed);
        fs::write(a.journal(), "{}\n").unwrap();
        assert_eq!(files(&machine), 1);
        drop(take(other.path(), &b, "service y"));
        assert_eq!(files(&machine), 1, "it tells of a run that is not finished");
        let next = take(other.path(), &b, "service x");
        assert_eq!(next.left.iter().map(|h| h.run.as_deref()).collect::<Vec<_>>(), [Some(A)]);
        drop(next);
        assert_eq!(take(other.path(), &b, "service x").left.len(), 1, "who only looked leaves it as it was");
        finished(&a);
        assert_eq!(take(other.path(), &b, "service x").left, []);
        assert_eq!(files(&machine), 0);
    }

    #[test]
    fn a_lock_file_that_was_removed_is_nobodys_lock() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("l");
        let stale = open(&path).unwrap();
        stale.try_lock().unwrap();
        fs::remove_file(&path).unwrap();
        // the removed one is locked, the one at the path is free
        let holder = Holder::of(&RunId::from_existing(A), None);
        let (lock, _) = take(&path, String::new(), &holder).unwrap();
        assert!(is_at(&lock.file, &path) && !is_at(&stale, &path));
        // one that holds a removed file removes nobody else's
        drop(Lock { file: stale, path: path.clone(), goes: true });
        assert!(is_at(&lock.file, &path));
    }

    /// Takers that come and go, each removing its file, never hold the lock together.
    #[test]
    fn two_never_hold_a_lock_that_is_removed_after_use() {
        use std::sync::atomic::{AtomicUsize, Ordering};
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("l");
        let (inside, taken) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|threads| {
            for n in 0..4 {
                let (path, inside, taken) = (&path, &inside, &taken);
                threads.spawn(move || {
                    let holder = Holder::of(&RunId::from_existing(format!("{A}{n}")), None);
                    for _ in 0..400 {
                        let Ok((lock, _)) = take(path, String::new(), &holder) else { continue };
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two at once");
                        taken.fetch_add(1, Ordering::SeqCst);
                        inside.fetch_sub(1, Ordering::SeqCst);
                        drop(lock);
                    }
                });
            }
        });
        assert!(taken.into_inner() >= 400);
        assert!(!path.exists());
    }

    #[test]
    fn what_tidies_tmp_lets_no_second_run_in() {
        let (state, other) = (state(), tempfile::tempdir().unwrap());
        let machine = other.path().join("redrill-0");
        let (a, b) = (RunId::from_existing(A), RunId::from_existing(B));
        let take = |run: &RunId| TargetLocks::on_machine(&machine, state.path(), run, &keys(&["1/eu/db/x"]));
        let first = take(&a).unwrap();
        let file = fs::read_dir(&machine).unwrap().next().unwrap().unwrap().path();
        // kept young
        let old = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        File::open(&file).unwrap().set_modified(old).unwrap();
        first.held.renew();
        assert!(fs::metadata(&file).unwrap().modified().unwrap() > old + Duration::from_secs(1_000_000));
        // and made anew, with the folder
        fs::remove_dir_all(&machine).unwrap();
        first.held.renew();
        assert!(matches!(take(&b), Err(RunsError::Locked { .. })));
        drop(first);
        assert_eq!(files(&machine), 0);
        take(&b).unwrap();
    }

    #[test]
    fn a_folder_that_somebody_else_made_is_said_to_be_his() {
        // of the folders that every machine has, one that is not ours
        if rustix::process::getuid().as_raw() == 0 {
            let folder = tempfile::tempdir().unwrap();
            std::os::unix::fs::chown(folder.path(), Some(65534), None).unwrap();
            let error = usable(folder.path()).unwrap_err();
            assert!(matches!(error, RunsError::NotOurs { owner: 65534, .. }), "{error}");
        } else {
            assert!(matches!(usable(Path::new("/usr")), Err(RunsError::NotOurs { owner: 0, .. })));
        }
    }

    #[test]
    fn a_run_that_is_not_there_is_not_unfinished() {
        let state = state();
        let nobody = Holder { run: Some("x".into()), state: Some(state.path().into()), ..Holder::default() };
        assert!(!nobody.is_unfinished() && !Holder::default().is_unfinished());
        create(state.path(), &RunId::from_existing("x"), b"{}", b"").unwrap();
        assert!(!nobody.is_unfinished(), "it has no journal");
        let run = find(state.path(), "x").unwrap();
        fs::write(run.journal(), "").unwrap();
        assert!(!nobody.is_unfinished(), "nothing was sent before the first line");
        fs::write(run.journal(), "{").unwrap();
        assert!(nobody.is_unfinished());
    }
}
