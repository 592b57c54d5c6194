//! Runs on a local disk: where they are and how they are found. I/O.
//!
//! `<state>/runs/<id>/` holds `journal.jsonl`, `plan.json`, `drill.yaml`, `lock` and [`super::inbox`];
//! `<state>/locks/` one file for each target that a run is at work on ([`locks`]). Everything is made for its
//! owner only, and no link in the state folder is followed. A run is what line 1 of its journal says, whatever
//! its folder is called; only one without that line goes by the folder's name.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use chrono::{DateTime, NaiveDateTime, Utc};
use serde::Serialize;

use super::{Event, Line, Verdict, inbox, line_hash};
use crate::model::{RunId, World};

mod locks;

pub use locks::{Holder, Lock, TargetLocks, holder, lock, usable};

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
    /// Somebody else made the folder.
    #[error("{} belongs to user {owner}; redrill keeps this user's locks there", path.display())]
    NotOurs {
        /// Where.
        path: PathBuf,
        /// The user's number.
        owner: u32,
    },
    /// The list of runs is not as it was written.
    #[error("line {line} of {} does not follow the one before it: the list of runs was changed", path.display())]
    Chain {
        /// The list.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
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
    /// Another process keeps the inbox of a run locked.
    #[error("another process keeps {} locked", path.display())]
    DoorHeld {
        /// The inbox.
        path: PathBuf,
    },
    /// Another process works on it.
    #[error("{what} is in use by {}", holder.of_another(what))]
    Locked {
        /// What is locked: a run or a target.
        what: String,
        /// Who holds it, as far as the lock file tells.
        holder: Box<Holder>,
    },
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
    /// The run in this folder; `None` where the path has no name to call it by.
    pub fn at(path: PathBuf) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        // a folder that was moved or copied is still that run's: its tags, its signed checkpoints
        let id = written(&path.join(JOURNAL)).unwrap_or_else(|| RunId::from_existing(name));
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

/// The run that line 1 of a journal names.
fn written(journal: &Path) -> Option<RunId> {
    let file = OpenOptions::new().read(true).custom_flags(no_follow()).open(journal).ok()?;
    let mut line = Vec::new();
    BufReader::new(file.take(WINDOW)).read_until(b'\n', &mut line).ok()?;
    match whole(&line)?.event {
        Event::Header { run, .. } => Some(run),
        _ => None,
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
    /// The process that is at work on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub under_way: Option<Holder>,
}

impl RunEntry {
    /// Whether somebody has to finish it, or is at it.
    pub fn is_open(&self) -> bool {
        self.verdict.is_none_or(|v| v == Verdict::Stuck)
    }
}

/// Every run, oldest first. Only the ends of each journal are read, and the chain is not checked.
///
/// # Errors
/// When the state folder cannot be read. One that does not exist holds no runs.
pub fn list(state: &Path) -> Result<Vec<RunEntry>, RunsError> {
    Ok(folders(state)?.iter().map(entry).collect())
}

fn folders(state: &Path) -> Result<Vec<RunDir>, RunsError> {
    // a link to what is not there, as to a share that is not mounted, is not a folder without runs
    match fs::metadata(state) {
        Ok(meta) if !meta.is_dir() => return Err(RunsError::NotAFolder { path: state.to_owned() }),
        Err(e) if e.kind() == io::ErrorKind::NotFound && state.symlink_metadata().is_ok() => {
            return Err(io_error("read", state)(e));
        }
        _ => {}
    }
    let runs = state.join("runs");
    match fs::symlink_metadata(&runs) {
        Ok(meta) if meta.is_dir() => {}
        // what may not be looked at is not what is not there
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(io_error("read", &runs)(e)),
        _ => return Ok(Vec::new()),
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

/// One run, as [`list`] lists it.
pub fn entry_of(run: &RunDir) -> RunEntry {
    entry(run)
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
        under_way: None,
    };
    // without a single whole line the id still tells when and what
    if let Some((at, rest)) = run.id.as_str().split_once('-') {
        entry.started_at = NaiveDateTime::parse_from_str(at, "%Y%m%dT%H%M%SZ").ok().map(|t| t.and_utc());
        entry.drill = rest.rsplit_once('-').map(|(drill, _)| drill.to_owned());
    }
    let (head, end) = ends(&run.journal()).unwrap_or_default();
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
    for line in end.split_inclusive(|b| *b == b'\n').filter_map(whole) {
        match line.event {
            Event::Finished { verdict, measured, .. } => {
                entry.verdict = Some(verdict);
                entry.finished_at = Some(line.stamp.at);
                entry.rta_ms = measured.rta_ms;
            }
            // a process took it up again and has not come to an end
            Event::Attached { .. } => (entry.verdict, entry.finished_at, entry.rta_ms) = (None, None, None),
            _ => {}
        }
    }
    if entry.is_open() {
        entry.under_way = holder(run);
    }
    entry
}

fn whole(raw: &[u8]) -> Option<Line> {
    serde_json::from_slice(raw.strip_suffix(b"\n")?).ok()
}

/// How much of a journal is read at its beginning, and first at its end.
const WINDOW: u64 = 256 * 1024;
/// So many whole lines hold whatever a run writes at its end. A line may be longer than the window.
const LINES: usize = 16;

/// The first bytes of a journal, enough for a header; and its last whole lines, enough for an end.
fn ends(path: &Path) -> io::Result<(Vec<u8>, Vec<u8>)> {
    let mut file = OpenOptions::new().read(true).custom_flags(no_follow()).open(path)?;
    let length = file.metadata()?.len();
    let (mut head, mut window) = (Vec::new(), WINDOW);
    (&file).take(WINDOW).read_to_end(&mut head)?;
    loop {
        let from = length.saturating_sub(window);
        let mut tail = Vec::new();
        file.seek(SeekFrom::Start(from))?;
        (&file).take(window).read_to_end(&mut tail)?;
        let lines = tail.iter().filter(|b| **b == b'\n').count();
        if from == 0 || lines > LINES {
            return Ok((head, tail));
        }
        window *= 4;
    }
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
    // a copy beside it has the same id; the run's own folder goes before
    let is_it = |r: &&RunDir| r.id.as_str() == what;
    let own = all.iter().filter(is_it).find(|r| r.path.ends_with(what));
    if let Some(run) = own.or_else(|| all.iter().find(is_it)) {
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

#[cfg(test)]
mod tests;
