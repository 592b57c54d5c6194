//! Runs on a local disk: where they are, how they are found and locked. I/O.
//!
//! `<state>/runs/<id>/` holds `journal.jsonl`, `plan.json`, `drill.yaml`, `lock` and [`super::inbox`];
//! `<state>/locks/` one file for each target. Everything is made for its owner only, and no link in
//! the state folder is followed. Locks are the operating system's and die with their process.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use chrono::{DateTime, NaiveDateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Event, Line, Verdict, inbox, line_hash};
use crate::model::{RunId, World};

/// The journal's file name.
pub const JOURNAL: &str = "journal.jsonl";
/// The plan's file name.
pub const PLAN: &str = "plan.json";
/// The file name of the drill as it was run.
pub const DRILL: &str = "drill.yaml";

/// Why a run could not be made, found or locked.
#[derive(Debug, thiserror::Error)]
pub enum RunsError {
    /// The operating system refused.
    #[error("cannot {what} {}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Its answer.
        #[source]
        source: io::Error,
    },
    /// Something else stands where a folder of redrill's should.
    #[error("{} is not a folder, and links in the state folder are not followed", path.display())]
    NotAFolder {
        /// Where.
        path: PathBuf,
    },
    /// No run of that name.
    #[error("no run `{what}`{}", suggestion.as_ref().map(|s| format!("; did you mean `{s}`?")).unwrap_or_default())]
    NotFound {
        /// What was asked for.
        what: String,
        /// The nearest run.
        suggestion: Option<String>,
    },
    /// There is not a single run.
    #[error("there are no runs in {}", state.display())]
    NoRuns {
        /// The state folder.
        state: PathBuf,
    },
    /// Several runs begin like that.
    #[error("`{what}` could be any of {}", candidates.join(", "))]
    Ambiguous {
        /// What was asked for.
        what: String,
        /// The runs.
        candidates: Vec<String>,
    },
    /// Another process works on it.
    #[error("{what} is in use by {holder}")]
    Locked {
        /// What is locked: a run or a target.
        what: String,
        /// Who holds it, as far as the lock file tells.
        holder: Holder,
    },
}

/// Who holds a lock.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The process.
    pub pid: Option<u32>,
    /// The run it works on.
    pub run: Option<String>,
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.run, self.pid) {
            (Some(run), Some(pid)) => write!(f, "run {run} (process {pid})"),
            (_, Some(pid)) => write!(f, "process {pid}"),
            _ => f.write_str("another process"),
        }
    }
}

pub(super) fn io_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> RunsError {
    let path = path.to_owned();
    move |source| RunsError::Io { what, path, source }
}

/// Neither a link is followed nor a pipe waited for.
pub(super) fn no_follow() -> i32 {
    use rustix::fs::OFlags;
    (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits() as i32
}

/// Makes the folder for its owner only, unless it is there; whatever else is there is refused.
pub(super) fn own_folder(path: &Path) -> Result<(), RunsError> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
        other => other.map_err(io_error("create", path))?,
    }
    if is_folder(path) { Ok(()) } else { Err(RunsError::NotAFolder { path: path.to_owned() }) }
}

pub(super) fn is_folder(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|m| m.is_dir())
}

fn state_folder(state: &Path, name: &str) -> Result<PathBuf, RunsError> {
    // the state folder itself is the user's choice and may be a link
    DirBuilder::new().recursive(true).mode(0o700).create(state).map_err(io_error("create", state))?;
    let path = state.join(name);
    own_folder(&path)?;
    Ok(path)
}

/// Where a folder of the state folder is, or will be.
///
/// # Errors
/// Something else is there; a link is not followed.
pub fn within(state: &Path, folder: &str) -> Result<PathBuf, RunsError> {
    let path = state.join(folder);
    match fs::symlink_metadata(&path) {
        Ok(meta) if !meta.is_dir() => Err(RunsError::NotAFolder { path }),
        _ => Ok(path),
    }
}

/// A new file in a folder of the state folder, for its owner only, with the path that it has.
///
/// # Errors
/// It cannot be made, is there already, or its folder is none.
pub fn new_file(state: &Path, folder: &str, name: &str) -> Result<(PathBuf, File), RunsError> {
    let path = state_folder(state, folder)?.join(name);
    let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(&path);
    Ok((path.clone(), file.map_err(io_error("create", &path))?))
}

/// The folder of one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunDir {
    path: PathBuf,
    id: RunId,
}

impl RunDir {
    fn at(path: PathBuf) -> Option<Self> {
        let id = RunId::from_existing(path.file_name()?.to_str()?);
        Some(Self { path, id })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The run.
    pub fn id(&self) -> &RunId {
        &self.id
    }

    /// `journal.jsonl`.
    pub fn journal(&self) -> PathBuf {
        self.path.join(JOURNAL)
    }

    /// `plan.json`.
    pub fn plan(&self) -> PathBuf {
        self.path.join(PLAN)
    }

    /// `drill.yaml`.
    pub fn drill(&self) -> PathBuf {
        self.path.join(DRILL)
    }

    /// Reads one of the run's files; a link is an error.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(&self, name: &str) -> Result<Vec<u8>, RunsError> {
        let path = self.path.join(name);
        let mut bytes = Vec::new();
        OpenOptions::new()
            .read(true)
            .custom_flags(no_follow())
            .open(&path)
            .and_then(|mut f| f.read_to_end(&mut bytes))
            .map_err(io_error("read", &path))?;
        Ok(bytes)
    }

    /// Writes a file (mode 0600) so that it is either whole or not there, and durable.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), RunsError> {
        let path = self.path.join(name);
        let temporary = temporary(&self.path, bytes).map_err(io_error("write", &path))?;
        fs::rename(&temporary, &path)
            .and_then(|()| File::open(&self.path)?.sync_all())
            .map_err(io_error("write", &path))
    }

    /// Adds bytes to the end of a file (mode 0600), durably. What is there is never changed.
    ///
    /// # Errors
    /// When it cannot be written; a link is an error.
    pub fn append(&self, name: &str, bytes: &[u8]) -> Result<(), RunsError> {
        let path = self.path.join(name);
        OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .custom_flags(no_follow())
            .open(&path)
            .and_then(|mut f| f.write_all(bytes).and_then(|()| f.sync_all()))
            .and_then(|()| File::open(&self.path)?.sync_all())
            .map_err(io_error("write", &path))
    }
}

/// Writes the bytes, durably, to a new file of its own in that folder.
pub(super) fn temporary(folder: &Path, bytes: &[u8]) -> io::Result<PathBuf> {
    let hash = line_hash(bytes);
    for n in 0_u32.. {
        let path = folder.join(format!(".{}-{}-{n}.tmp", std::process::id(), &hash[..8]));
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e),
            Ok(mut file) => {
                file.write_all(bytes)?;
                file.sync_all()?;
                return Ok(path);
            }
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// Makes the folder of a new run with its plan and drill in it.
///
/// # Errors
/// When there is such a run already, or something cannot be written.
pub fn create(state: &Path, id: &RunId, plan: &[u8], drill: &[u8]) -> Result<RunDir, RunsError> {
    let runs = state_folder(state, "runs")?;
    let path = runs.join(id.as_str());
    DirBuilder::new().mode(0o700).create(&path).map_err(io_error("create", &path))?;
    let run = RunDir { path, id: id.clone() };
    run.write(PLAN, plan)?;
    run.write(DRILL, drill)?;
    own_folder(&inbox::folder(&run))?;
    File::open(&runs).and_then(|f| f.sync_all()).map_err(io_error("write", &runs))?;
    Ok(run)
}

/// A run as `runs` lists it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunEntry {
    /// Its id.
    pub run: RunId,
    /// The drill's name.
    pub drill: Option<String>,
    /// How it ended; `None` while it has not.
    pub verdict: Option<Verdict>,
    /// When it began (UTC).
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended (UTC).
    pub finished_at: Option<DateTime<Utc>>,
    /// The world it touched.
    pub world: Option<World>,
    /// The account.
    pub account: Option<String>,
    /// The region.
    pub region: Option<String>,
    /// Measured, in milliseconds.
    pub rta_ms: Option<i64>,
    /// The objective, in milliseconds.
    pub rto_ms: Option<i64>,
}

/// Every run, oldest first. Only the ends of each journal are read, and the chain is not checked.
///
/// # Errors
/// When the state folder cannot be read. One that does not exist holds no runs.
pub fn list(state: &Path) -> Result<Vec<RunEntry>, RunsError> {
    Ok(folders(state)?.iter().map(entry).collect())
}

fn folders(state: &Path) -> Result<Vec<RunDir>, RunsError> {
    if state.exists() && !state.is_dir() {
        return Err(RunsError::NotAFolder { path: state.to_owned() });
    }
    let runs = state.join("runs");
    if !is_folder(&runs) {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(&runs).map_err(io_error("read", &runs))? {
        let path = entry.map_err(io_error("read", &runs))?.path();
        if is_folder(&path) {
            found.extend(RunDir::at(path));
        }
    }
    found.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(found)
}

fn entry(run: &RunDir) -> RunEntry {
    let mut entry = RunEntry {
        run: run.id.clone(),
        drill: None,
        verdict: None,
        started_at: None,
        finished_at: None,
        world: None,
        account: None,
        region: None,
        rta_ms: None,
        rto_ms: None,
    };
    // without a single whole line the id still tells when and what
    if let Some((at, rest)) = run.id.as_str().split_once('-') {
        entry.started_at = NaiveDateTime::parse_from_str(at, "%Y%m%dT%H%M%SZ").ok().map(|t| t.and_utc());
        entry.drill = rest.rsplit_once('-').map(|(drill, _)| drill.to_owned());
    }
    let (head, tail) = ends(&run.journal()).unwrap_or_default();
    if let Some(Line { stamp, event: Event::Header { drill, world, account, region, rto_ms, .. }, .. }) =
        head.split_inclusive(|b| *b == b'\n').next().and_then(whole)
    {
        entry.started_at = Some(stamp.at);
        entry.drill = Some(drill);
        entry.world = Some(world);
        entry.account = Some(account);
        entry.region = Some(region);
        entry.rto_ms = Some(rto_ms);
    }
    for line in tail.split_inclusive(|b| *b == b'\n').filter_map(whole) {
        if let Event::Finished { verdict, measured, .. } = line.event {
            entry.verdict = Some(verdict);
            entry.finished_at = Some(line.stamp.at);
            entry.rta_ms = measured.rta_ms;
        }
    }
    entry
}

fn whole(raw: &[u8]) -> Option<Line> {
    serde_json::from_slice(raw.strip_suffix(b"\n")?).ok()
}

/// The first and the last bytes of a file, enough for a header and an end.
fn ends(path: &Path) -> io::Result<(Vec<u8>, Vec<u8>)> {
    const ENOUGH: u64 = 256 * 1024;
    let mut file = OpenOptions::new().read(true).custom_flags(no_follow()).open(path)?;
    let length = file.metadata()?.len();
    let (mut head, mut tail) = (Vec::new(), Vec::new());
    (&file).take(ENOUGH).read_to_end(&mut head)?;
    file.seek(SeekFrom::Start(length.saturating_sub(ENOUGH)))?;
    file.take(ENOUGH).read_to_end(&mut tail)?;
    Ok((head, tail))
}

/// Finds a run by its id, a unique prefix of it, its folder's path, or `last`.
///
/// # Errors
/// When there is none, or more than one.
pub fn find(state: &Path, what: &str) -> Result<RunDir, RunsError> {
    if what.contains(std::path::MAIN_SEPARATOR) || what == "." {
        let not_found = || RunsError::NotFound { what: what.to_owned(), suggestion: None };
        let path = fs::canonicalize(what).map_err(|_| not_found())?;
        let path = if path.is_file() { path.parent().unwrap_or(&path).to_owned() } else { path };
        let holds_a_run = [JOURNAL, PLAN].iter().any(|n| path.join(n).is_file());
        return RunDir::at(path).filter(|_| holds_a_run).ok_or_else(not_found);
    }
    let mut all = folders(state)?;
    if all.is_empty() {
        return Err(RunsError::NoRuns { state: state.to_owned() });
    }
    if what == "last" {
        return all.pop().ok_or_else(|| RunsError::NoRuns { state: state.to_owned() });
    }
    if let Some(run) = all.iter().find(|r| r.id.as_str() == what) {
        return Ok(run.clone());
    }
    let mut like: Vec<RunDir> =
        all.iter().filter(|r| !what.is_empty() && r.id.as_str().starts_with(what)).cloned().collect();
    match like.len() {
        1 => Ok(like.remove(0)),
        0 => Err(RunsError::NotFound { what: what.to_owned(), suggestion: nearest(&all, what) }),
        _ => {
            let candidates = like.iter().map(|r| r.id.as_str().to_owned()).collect();
            Err(RunsError::Ambiguous { what: what.to_owned(), candidates })
        }
    }
}

/// The newest run of that drill, else the run whose id looks most alike.
fn nearest(all: &[RunDir], what: &str) -> Option<String> {
    let of_drill = |r: &&RunDir| {
        let name = r.id.as_str().split_once('-').and_then(|(_, rest)| rest.rsplit_once('-'));
        name.is_some_and(|(drill, _)| drill == what)
    };
    let alike = |r: &RunDir| strsim::jaro_winkler(r.id.as_str(), what);
    let run = all
        .iter()
        .rev()
        .find(of_drill)
        .or_else(|| all.iter().filter(|r| alike(r) > 0.8).max_by(|a, b| alike(a).total_cmp(&alike(b))))?;
    Some(run.id.as_str().to_owned())
}

/// A lock that is held until this is dropped or the process ends, however it ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Locks a run for this process.
///
/// # Errors
/// When another process works on it.
pub fn lock(run: &RunDir) -> Result<Lock, RunsError> {
    take_lock(&run.path.join("lock"), format!("run {}", run.id), &run.id)
}

fn take_lock(path: &Path, what: String, run: &RunId) -> Result<Lock, RunsError> {
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(no_follow())
        .open(path)
        .map_err(io_error("open", path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            // who holds it is a courtesy: that it is held is what counts
            let read = file.take(4096).read_to_string(&mut text);
            let holder = read.ok().and_then(|_| serde_json::from_str(&text).ok()).unwrap_or_default();
            return Err(RunsError::Locked { what, holder });
        }
        Err(TryLockError::Error(source)) => {
            return Err(RunsError::Io { what: "lock", path: path.to_owned(), source });
        }
    }
    let holder = Holder { pid: Some(std::process::id()), run: Some(run.as_str().to_owned()) };
    serde_json::to_vec(&holder)
        .map_err(io::Error::from)
        .and_then(|text| {
            file.set_len(0)?;
            file.write_all(&text)
        })
        .map_err(io_error("write", path))?;
    Ok(Lock { _file: file })
}

/// The locks on a run's targets.
#[derive(Debug)]
pub struct TargetLocks {
    _locks: Vec<Lock>,
}

impl TargetLocks {
    /// Locks every target for this run, or none. A key names a target across accounts, for instance
    /// `account/region/kind/id`.
    ///
    /// # Errors
    /// When another process works on one of them.
    pub fn take(state: &Path, run: &RunId, keys: &[String]) -> Result<Self, RunsError> {
        Ok(Self { _locks: take_locks(&state_folder(state, "locks")?, run, keys)? })
    }

    /// Locks them for all state folders of this machine: in a folder that they share, which is made where
    /// it is missing and must be this user's own.
    ///
    /// # Errors
    /// When another process works on one of them, or the folder is somebody else's.
    pub fn on_machine(folder: &Path, run: &RunId, keys: &[String]) -> Result<Self, RunsError> {
        own_folder(folder)?;
        let owner = fs::symlink_metadata(folder).map_err(io_error("read", folder))?.uid();
        if owner != rustix::process::getuid().as_raw() {
            return Err(RunsError::NotAFolder { path: folder.to_owned() });
        }
        Ok(Self { _locks: take_locks(folder, run, keys)? })
    }
}

fn take_locks(folder: &Path, run: &RunId, keys: &[String]) -> Result<Vec<Lock>, RunsError> {
    let keys: BTreeSet<&String> = keys.iter().collect();
    keys.into_iter()
        .map(|key| take_lock(&folder.join(line_hash(key.as_bytes())), format!("target {key}"), run))
        .collect()
}

#[cfg(test)]
mod tests;
