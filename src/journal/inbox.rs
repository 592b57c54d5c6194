//! The inbox of a run: what people ask of the process that works on it. I/O.
//!
//! A request is one file, `inbox/<id>.json`. It stays until a line that carries its id is on disk, so
//! that a crash neither loses it nor has it recorded twice. Whoever leaves a request, takes a run up
//! or lets go of it stands in the run's [`Door`] meanwhile: nothing is left for a process that has
//! looked for the last time.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::runs::{RunDir, RunsError, io_error, is_folder, no_follow, own_folder, temporary};
use super::{Asked, Mark};
use crate::model::StepId;

/// How long a process that works on a run waits for its door, which nobody needs for longer than a moment.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a person asks of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "kebab-case")]
pub enum Request {
    /// Set a mark.
    Mark {
        /// Which.
        mark: Mark,
        /// When it happened (UTC).
        marked_at: DateTime<Utc>,
        /// Anything worth keeping.
        note: String,
    },
    /// A manual step is done.
    Confirm {
        /// Which.
        step: StepId,
        /// Anything worth keeping.
        note: String,
    },
    /// Stop and roll back.
    Abort {
        /// Why.
        note: String,
    },
}

/// A request that was left.
#[derive(Clone, Debug, PartialEq)]
pub struct Left {
    /// Its id, and when it was left.
    pub asked: Asked,
    /// Who asks, `user@host`.
    pub by: String,
    /// For what.
    pub request: Request,
}

/// The form on disk; the id is the file's name.
#[derive(Serialize, Deserialize)]
struct OnDisk {
    at: DateTime<Utc>,
    by: String,
    #[serde(flatten)]
    request: Request,
}

/// Where people leave requests.
pub trait Inbox: Send + Sync {
    /// What lies there, oldest first.
    ///
    /// # Errors
    /// When it cannot be looked into.
    fn requests(&self) -> Result<Vec<Left>, RunsError>;

    /// Takes a request away that is on record; one that is gone already is fine.
    ///
    /// # Errors
    /// When it cannot be removed.
    fn remove(&self, id: &str) -> Result<(), RunsError>;
}

/// Held while somebody leaves a request, takes the run up or lets go of it. A lock of the operating
/// system's on the inbox.
#[derive(Debug)]
pub struct Door {
    _folder: File,
}

pub(super) fn folder(run: &RunDir) -> PathBuf {
    run.path().join("inbox")
}

/// The ids of the requests that lie there, oldest first.
fn ids(run: &RunDir) -> Result<Vec<String>, RunsError> {
    let inbox = folder(run);
    if !is_folder(&inbox) {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(&inbox).map_err(io_error("read", &inbox))? {
        let name = entry.map_err(io_error("read", &inbox))?.file_name();
        let id = name.to_str().and_then(|n| n.strip_suffix(".json")).filter(|id| !id.starts_with('.'));
        found.extend(id.map(str::to_owned));
    }
    found.sort_unstable();
    Ok(found)
}

impl RunDir {
    /// Waits until nobody else stands in the door, for 2 seconds at most. Held for moments only.
    ///
    /// # Errors
    /// When the inbox is not a folder or cannot be locked; [`RunsError::DoorHeld`] where somebody else keeps standing
    /// in it.
    pub fn door(&self) -> Result<Door, RunsError> {
        self.door_within(PATIENCE)
    }

    /// As [`RunDir::door`], for as long as this.
    ///
    /// # Errors
    /// As [`RunDir::door`].
    pub fn door_within(&self, patience: Duration) -> Result<Door, RunsError> {
        let inbox = folder(self);
        own_folder(&inbox)?;
        let opened = OpenOptions::new().read(true).custom_flags(no_follow()).open(&inbox);
        let folder = opened.map_err(io_error("open", &inbox))?;
        // the system's own wait has no end: a thread waits, and lets go at once where nobody wants it any more
        let (locked, told) = mpsc::channel();
        let wait = move || drop(locked.send(folder.lock().map(|()| folder)));
        std::thread::Builder::new().spawn(wait).map_err(io_error("lock", &inbox))?;
        match told.recv_timeout(patience) {
            Ok(folder) => Ok(Door { _folder: folder.map_err(io_error("lock", &inbox))? }),
            Err(_) => Err(RunsError::DoorHeld { path: inbox }),
        }
    }

    /// Leaves a request, durably. `_door` is this run's.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn leave(
        &self,
        _door: &Door,
        at: DateTime<Utc>,
        by: &str,
        request: Request,
    ) -> Result<Left, RunsError> {
        use std::hash::{BuildHasher as _, Hasher as _};
        let inbox = folder(self);
        let failed = |e: io::Error| io_error("write into", &inbox)(e);
        // behind all others: requests are taken in their order. The rest of the id makes it the only
        // one of its kind in the journal, where ids stay for good
        let last = ids(self)?.last().and_then(|id| id.split('-').next()?.parse::<u64>().ok());
        let entropy = std::collections::hash_map::RandomState::new().build_hasher().finish();
        let id = format!("{:08}-{entropy:016x}", last.map_or(0, |n| n + 1));
        let on_disk = OnDisk { at, by: by.to_owned(), request };
        let bytes = serde_json::to_vec(&on_disk).map_err(|e| failed(e.into()))?;
        let temporary = temporary(&inbox, &bytes).map_err(failed)?;
        fs::rename(&temporary, inbox.join(format!("{id}.json")))
            .and_then(|()| File::open(&inbox)?.sync_all())
            .map_err(failed)?;
        let OnDisk { at, by, request } = on_disk;
        Ok(Left { asked: Asked { id, at }, by, request })
    }
}

impl Inbox for RunDir {
    /// What is not a request is put aside as `*.bad` and left out.
    fn requests(&self) -> Result<Vec<Left>, RunsError> {
        let mut found = Vec::new();
        for id in ids(self)? {
            let path = folder(self).join(format!("{id}.json"));
            let mut bytes = Vec::new();
            let read = OpenOptions::new()
                .read(true)
                .custom_flags(no_follow())
                .open(&path)
                .and_then(|f| f.take(1 << 20).read_to_end(&mut bytes));
            if read.as_ref().is_err_and(|e| e.kind() == io::ErrorKind::NotFound) {
                continue;
            }
            match read.ok().and_then(|_| serde_json::from_slice(&bytes).ok()) {
                Some(OnDisk { at, by, request }) => {
                    found.push(Left { asked: Asked { id, at }, by, request });
                }
                None => {
                    fs::rename(&path, path.with_extension("bad")).map_err(io_error("put aside", &path))?;
                }
            }
        }
        Ok(found)
    }

    fn remove(&self, id: &str) -> Result<(), RunsError> {
        let path = folder(self).join(format!("{id}.json"));
        match fs::remove_file(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other.map_err(io_error("remove", &path)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::runs::{create, find};
    use crate::model::RunId;

    fn run() -> (tempfile::TempDir, RunDir) {
        let state = tempfile::tempdir().unwrap();
        let id = RunId::from_existing("20260101T000000Z-drill-aaaaaa");
        let run = create(state.path(), &id, b"{}", b"x: 1\n").unwrap();
        (state, run)
    }

    fn confirm(step: &str) -> Request {
        Request::Confirm { step: StepId::new(step), note: "n".into() }
    }

    fn leave(run: &RunDir, request: Request) -> Left {
        let door = run.door().unwrap();
        run.leave(&door, DateTime::from_timestamp_millis(1_001).unwrap(), "a@b", request).unwrap()
    }

    #[test]
    fn requests_stay_in_their_order_until_they_are_removed() {
        let (_state, run) = run();
        let mut left: Vec<Left> = (0..12).map(|n| leave(&run, confirm(&format!("s{n}")))).collect();
        assert_eq!(run.requests().unwrap(), left);
        assert_eq!(run.requests().unwrap(), left, "looking takes nothing away");
        let bad = left.remove(3).asked.id;
        std::fs::write(folder(&run).join(format!("{bad}.json")), "nonsense").unwrap();
        std::fs::write(folder(&run).join(".half.tmp"), "{").unwrap();
        assert_eq!(run.requests().unwrap(), left);
        assert!(folder(&run).join(format!("{bad}.bad")).exists());
        for gone in left.drain(..6) {
            run.remove(&gone.asked.id).unwrap();
            run.remove(&gone.asked.id).expect("gone already is fine");
        }
        assert_eq!(run.requests().unwrap(), left);
        let marked_at = DateTime::from_timestamp(1, 0).unwrap();
        let mark = Request::Mark { mark: Mark::Declare, marked_at, note: "n".into() };
        left.push(leave(&run, mark));
        left.push(leave(&run, Request::Abort { note: String::new() }));
        assert_eq!(run.requests().unwrap(), left, "every kind comes back as it was, with who and when");
    }

    #[test]
    fn an_id_is_never_given_twice() {
        let (_state, run) = run();
        let mut ids = std::collections::BTreeSet::new();
        for _ in 0..20 {
            // the inbox is empty each time, so that counting alone would begin anew
            let left = leave(&run, confirm("s"));
            run.remove(&left.asked.id).unwrap();
            assert!(ids.insert(left.asked.id));
        }
    }

    #[test]
    fn one_at_a_time_stands_in_the_door() {
        let (state, run) = run();
        let door = run.door().unwrap();
        let other = find(state.path(), "last").unwrap();
        let file = OpenOptions::new().read(true).open(folder(&other)).unwrap();
        assert!(matches!(file.try_lock(), Err(std::fs::TryLockError::WouldBlock)));
        drop(door);
        file.try_lock().unwrap();
    }

    #[test]
    fn who_keeps_standing_in_the_door_is_not_waited_for() {
        let (_state, run) = run();
        let other = run.door().unwrap();
        let refused = run.door_within(Duration::from_millis(1)).unwrap_err();
        assert!(matches!(&refused, RunsError::DoorHeld { path } if *path == folder(&run)), "{refused}");
        drop(other);
        // who gave up does not come into the door later
        drop(run.door_within(Duration::from_secs(600)).unwrap());
        run.door_within(Duration::from_secs(600)).unwrap();
    }

    #[test]
    fn no_link_is_followed() {
        let (state, run) = run();
        let elsewhere = state.path().join("elsewhere");
        std::fs::create_dir(&elsewhere).unwrap();
        std::fs::remove_dir(folder(&run)).unwrap();
        std::os::unix::fs::symlink(&elsewhere, folder(&run)).unwrap();
        assert!(matches!(run.door(), Err(RunsError::NotAFolder { .. })));
        assert_eq!(run.requests().unwrap(), []);
    }
}
