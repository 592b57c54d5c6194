//! The list of a state folder's runs, `<state>/chain.jsonl`: one line for each run as it begins, never
//! changed. I/O.
//!
//! Each line names the run before and the root of its journal as it stood then, and carries the hash of the
//! line before it. The first line of a run's own journal says the same, so that a run whose folder is thrown
//! away is missed by the one after it. Who throws away the whole state folder throws this away with it.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::event::{Before, Chained};
use super::runs::{self, RunDir, RunsError, io_error, no_follow};
use super::{NO_PREVIOUS, line_hash};
use crate::model::RunId;

/// The file's name.
pub const FILE: &str = "chain.jsonl";

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Number, from 1.
    pub number: u64,
    /// SHA-256 (hex) of the line before, without the newline; 64 zeros on the first.
    pub prev: String,
    /// When the run began (UTC).
    #[serde(deserialize_with = "crate::model::bounded::time")]
    pub at: DateTime<Utc>,
    /// The run.
    pub run: RunId,
    /// The one before, as it stood then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Before>,
}

fn path(state: &Path) -> PathBuf {
    state.join(FILE)
}

/// The runs that the list names, oldest first; none where there is no list.
///
/// # Errors
/// It cannot be read, or a line of it was changed or taken out.
pub fn read(state: &Path) -> Result<Vec<Entry>, RunsError> {
    let path = path(state);
    match OpenOptions::new().read(true).custom_flags(no_follow()).open(&path) {
        Ok(file) => entries(&file, &path).map(|(all, _)| all),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(e) => Err(io_error("read", &path)(e)),
    }
}

/// The lines, and the hash of the last.
fn entries(mut file: &File, path: &Path) -> Result<(Vec<Entry>, String), RunsError> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(io_error("read", path))?;
    let mut all: Vec<Entry> = Vec::new();
    let mut prev = NO_PREVIOUS.to_owned();
    for line in bytes.split_inclusive(|b| *b == b'\n') {
        let Some(whole) = line.strip_suffix(b"\n") else { break };
        let entry: Option<Entry> = serde_json::from_slice(whole).ok();
        let follows = |e: &Entry| e.prev == prev && e.number == all.len() as u64 + 1;
        let Some(entry) = entry.filter(follows) else {
            return Err(RunsError::Chain { path: path.to_owned(), line: all.len() + 1 });
        };
        prev = line_hash(whole);
        all.push(entry);
    }
    Ok((all, prev))
}

/// The length of the list without a last line that was never written whole.
fn whole_length(mut file: &File) -> std::io::Result<u64> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.read_to_end(&mut bytes)?;
    Ok(bytes.iter().rposition(|b| *b == b'\n').map_or(0, |at| at as u64 + 1))
}

/// Puts a run that begins on the list, durably, and says what its first line says of the one before. `root`
/// makes the root of a journal's bytes.
///
/// # Errors
/// The list cannot be read or written.
pub fn begin(
    state: &Path,
    run: &RunId,
    now: DateTime<Utc>,
    root: impl Fn(&[u8]) -> String,
) -> Result<Chained, RunsError> {
    let path = path(state);
    let file = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        .custom_flags(no_follow())
        .open(&path)
        .map_err(io_error("open", &path))?;
    // another run may begin at the same time
    file.lock().map_err(io_error("lock", &path))?;
    let (all, prev) = entries(&file, &path)?;
    let before = match all.last() {
        Some(last) => Some(last.run.clone()),
        // a folder of an older redrill has runs and no list
        None => runs::list(state)?.into_iter().map(|e| e.run).rfind(|r| r != run),
    };
    let before = before.map(|run| as_it_stands(state, run, root));
    let number = all.len() as u64 + 1;
    let entry = Entry { number, prev, at: now, run: run.clone(), before: before.clone() };
    let mut line = serde_json::to_vec(&entry).map_err(|e| io_error("write", &path)(e.into()))?;
    let list = line_hash(&line);
    line.push(b'\n');
    // what a full disk or a power cut left of a line is no entry, and the next must not be written on it
    let whole = whole_length(&file).map_err(io_error("read", &path))?;
    let written = file.set_len(whole).and_then(|()| (&file).write_all(&line)).and_then(|()| file.sync_all());
    if let Err(e) = written {
        let _as_it_was = file.set_len(whole);
        return Err(io_error("write", &path)(e));
    }
    Ok(Chained { number, list, before })
}

fn as_it_stands(state: &Path, run: RunId, root: impl Fn(&[u8]) -> String) -> Before {
    let journal = runs::find(state, run.as_str()).ok().filter(|dir| *dir.id() == run);
    let journal = journal.and_then(|dir| RunDir::read(&dir, runs::JOURNAL).ok());
    match journal {
        Some(bytes) => {
            let lines = bytes.iter().filter(|b| **b == b'\n').count() as u64;
            Before { run, lines, root: Some(root(&bytes)) }
        }
        None => Before { run, lines: 0, root: None },
    }
}

/// The runs on the list whose folder is not there.
///
/// # Errors
/// The list cannot be read.
pub fn missing(state: &Path) -> Result<Vec<Entry>, RunsError> {
    let there: Vec<RunId> = runs::list(state)?.into_iter().map(|e| e.run).collect();
    Ok(read(state)?.into_iter().filter(|e| !there.contains(&e.run)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_790_000_000, 0).unwrap()
    }

    fn made(state: &Path, name: &str) -> Chained {
        let id = RunId::from_existing(name);
        let dir = runs::create(state, &id, b"{}", b"x: 1\n").unwrap();
        let chained = begin(state, &id, now(), |b| format!("root of {}", b.len())).unwrap();
        dir.write(runs::JOURNAL, b"one\ntwo\n").unwrap();
        chained
    }

    #[test]
    fn each_run_names_the_one_before_and_one_that_is_thrown_away_is_missed() {
        let state = tempfile::tempdir().unwrap();
        let first = made(state.path(), "20260101T000000Z-a-aaaaaa");
        assert_eq!((first.number, &first.before), (1, &None));
        let second = made(state.path(), "20260101T000001Z-a-aaaaaa");
        let before = second.before.unwrap();
        assert_eq!((before.lines, before.root.as_deref()), (2, Some("root of 8")));
        assert_eq!(missing(state.path()).unwrap(), []);
        std::fs::remove_dir_all(state.path().join("runs/20260101T000001Z-a-aaaaaa")).unwrap();
        let third = made(state.path(), "20260101T000002Z-a-aaaaaa");
        let before = third.before.unwrap();
        assert_eq!((before.run.as_str(), before.root), ("20260101T000001Z-a-aaaaaa", None));
        let gone: Vec<RunId> = missing(state.path()).unwrap().into_iter().map(|e| e.run).collect();
        assert_eq!(gone, [RunId::from_existing("20260101T000001Z-a-aaaaaa")]);
        // a list that was rewritten is no list
        let list = std::fs::read_to_string(state.path().join(FILE)).unwrap();
        let without: Vec<&str> = list.lines().enumerate().filter(|(n, _)| *n != 1).map(|(_, l)| l).collect();
        std::fs::write(state.path().join(FILE), without.join("\n") + "\n").unwrap();
        assert!(matches!(read(state.path()), Err(RunsError::Chain { line: 2, .. })));
        let id = RunId::from_existing("20260101T000003Z-a-aaaaaa");
        assert!(begin(state.path(), &id, now(), |_| String::new()).is_err());
        // what was never written whole is no line, and nothing is written on it
        std::fs::write(state.path().join(FILE), format!("{list}{{\"number\":4,\"prev\":\"ab")).unwrap();
        assert_eq!(begin(state.path(), &id, now(), |_| String::new()).unwrap().number, 4);
        assert_eq!(read(state.path()).unwrap().len(), 4);
        // without one, the newest run that is there is the one before
        std::fs::remove_file(state.path().join(FILE)).unwrap();
        let anew = made(state.path(), "20260101T000004Z-a-aaaaaa");
        assert_eq!((anew.number, anew.before.unwrap().run.as_str()), (1, "20260101T000002Z-a-aaaaaa"));
    }
}
