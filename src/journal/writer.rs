//! Appends to a journal. I/O: the only module that writes one.
//!
//! A line that is `durable` is on disk when `append` returns; other lines are handed to the
//! operating system at once and reach the disk with the next durable one. After the first failure
//! nothing is appended any more: a caller that cannot record must not change anything either. A file
//! that was moved, removed or cut under the writer's hands is such a failure: what is appended to it
//! nobody finds again.
//!
//! A run writes in a thread of its own ([`FileJournal::in_a_thread`]): a disk that stands still holds up that
//! thread and whoever waits for the line, and what fills the runtime's shared threads does not hold up the disk.

use std::fs::{DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};

use async_trait::async_trait;
use tokio::sync::oneshot;

use super::reader::{self, Read, ReadError};
use super::{Event, Line, NO_PREVIOUS, line_hash};
use crate::model::Stamp;

/// Why a journal could not be written or opened.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The operating system refused.
    #[error("cannot {what} {}", path.display())]
    Io {
        /// What was tried: `write`, `create`, `open`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Its answer.
        #[source]
        source: io::Error,
    },
    /// An earlier write failed.
    #[error("the journal could not be written earlier, so nothing more is recorded")]
    Poisoned,
    /// The file is not the one that was opened, or not as long as what was written.
    #[error("{} was moved, removed or changed while it was being written", path.display())]
    Gone {
        /// The file.
        path: PathBuf,
    },
    /// What stands in the file is not what was written.
    #[error("{} cannot be trusted", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: ReadError,
    },
    /// An event of redrill's own that the state could not be read back from.
    #[error("BUG: an event does not fit the run, so it is not recorded: {what}")]
    Unfit {
        /// Why.
        what: String,
    },
    /// What was decided is recorded and decided again.
    #[error("BUG: the run does not move: {what}")]
    Unmoved {
        /// What it decides.
        what: String,
    },
    /// An event cannot be written as JSON.
    #[error("cannot write an event as JSON")]
    Encode(#[source] serde_json::Error),
}

/// An append-only store of lines.
#[async_trait]
pub trait Journal: Send + Sync {
    /// Appends one line for each event, all or none in order. `durable` lines are on disk, with
    /// everything before them, when this returns.
    ///
    /// # Errors
    /// When the lines could not be written; from then on every call fails.
    async fn append(&self, stamp: Stamp, events: &[Event], durable: bool) -> Result<Vec<Line>, JournalError>;
}

/// The bytes of the lines, the lines, and the hash of the last.
pub(crate) type Encoded = (Vec<u8>, Vec<Line>, String);

/// Turns events into the lines that follow `prev`.
pub(crate) fn encode(seq: u64, prev: &str, stamp: Stamp, events: &[Event]) -> Result<Encoded, JournalError> {
    let mut bytes = Vec::new();
    let mut lines = Vec::with_capacity(events.len());
    let mut prev = prev.to_owned();
    for (seq, event) in (seq..).zip(events) {
        let line = Line { seq, prev, stamp, event: event.clone() };
        let raw = serde_json::to_vec(&line).map_err(JournalError::Encode)?;
        prev = line_hash(&raw);
        bytes.extend_from_slice(&raw);
        bytes.push(b'\n');
        lines.push(line);
    }
    Ok((bytes, lines, prev))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Tail {
    seq: u64,
    /// How long the journal is, in bytes.
    size: u64,
    last_hash: String,
    failed: bool,
}

impl Tail {
    fn empty() -> Self {
        Self { seq: 0, size: 0, last_hash: NO_PREVIOUS.to_owned(), failed: false }
    }

    /// Of the whole lines of this many bytes.
    fn after(read: &Read, bytes: usize) -> Self {
        let size = (bytes - read.torn) as u64;
        Self { seq: read.lines.len() as u64, size, last_hash: read.last_hash.clone(), failed: false }
    }

    /// Goes on after what was written.
    fn moves(&mut self, (bytes, lines, hash): &Encoded) {
        self.seq += lines.len() as u64;
        self.size += bytes.len() as u64;
        self.last_hash.clone_from(hash);
    }
}

/// What tells a file from another one under its name.
fn identity(of: &Metadata) -> (u64, u64) {
    (of.dev(), of.ino())
}

/// A journal in a local file.
pub struct FileJournal {
    disk: Arc<OnDisk>,
    /// Where appends go, if not here.
    thread: Option<mpsc::Sender<Append>>,
}

struct OnDisk {
    path: PathBuf,
    file: File,
    /// The file's device and number.
    identity: (u64, u64),
    tail: Mutex<Tail>,
}

/// What is to be appended, and who waits for it.
struct Append {
    stamp: Stamp,
    events: Vec<Event>,
    durable: bool,
    done: oneshot::Sender<Result<Vec<Line>, JournalError>>,
}

impl FileJournal {
    /// Makes a new journal (mode 0600) and, where it is missing, its folder (0700).
    ///
    /// # Errors
    /// When the file exists, is a link, or cannot be made durable.
    pub fn create(path: impl Into<PathBuf>) -> Result<Self, JournalError> {
        let path = path.into();
        let failed = |source| JournalError::Io { what: "create", path: path.clone(), source };
        let folder = path.parent().unwrap_or(Path::new("."));
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
        let file =
            OpenOptions::new().append(true).create_new(true).mode(0o600).open(&path).map_err(failed)?;
        file.sync_all().map_err(failed)?;
        File::open(folder).and_then(|f| f.sync_all()).map_err(failed)?;
        let identity = identity(&file.metadata().map_err(failed)?);
        Ok(Self::on(OnDisk { path, file, identity, tail: Mutex::new(Tail::empty()) }))
    }

    fn on(disk: OnDisk) -> Self {
        Self { disk: Arc::new(disk), thread: None }
    }

    /// From here on a thread of its own writes. Not on a paused runtime: its time would pass meanwhile.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn in_a_thread(mut self) -> Result<Self, JournalError> {
        let (thread, appends) = mpsc::channel::<Append>();
        let disk = Arc::clone(&self.disk);
        let work = move || {
            for Append { stamp, events, durable, done } in appends {
                let written = disk.append(stamp, &events, durable);
                // whoever asked may have gone; what it asked for is written all the same
                let _gone = done.send(written);
            }
        };
        let started = std::thread::Builder::new().name("journal".to_owned()).spawn(work);
        started.map_err(|source| self.disk.failed("write")(source))?;
        self.thread = Some(thread);
        Ok(self)
    }

    /// Opens a journal to go on with it, and returns what it holds. An unfinished last line is
    /// moved to `<path>.torn-N` first. The caller holds the run's lock.
    ///
    /// # Errors
    /// When it cannot be read or written, is a link, or its chain is broken.
    pub fn open_for_append(path: impl Into<PathBuf>) -> Result<(Self, Read), JournalError> {
        let path = path.into();
        let failed = |what| {
            let path = path.clone();
            move |source| JournalError::Io { what, path, source }
        };
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .custom_flags(super::runs::no_follow())
            .open(&path)
            .map_err(failed("open"))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(failed("read"))?;
        let read =
            reader::read(&bytes).map_err(|source| JournalError::Changed { path: path.clone(), source })?;
        if read.torn > 0 {
            let whole = bytes.len() - read.torn;
            keep_torn(&path, &bytes[whole..])?;
            file.set_len(whole as u64).map_err(failed("cut the unfinished line off"))?;
            file.seek(io::SeekFrom::End(0)).map_err(failed("open"))?;
            file.sync_all().map_err(failed("write"))?;
        }
        let identity = identity(&file.metadata().map_err(failed("read"))?);
        let tail = Mutex::new(Tail::after(&read, bytes.len()));
        Ok((Self::on(OnDisk { path, file, identity, tail }), read))
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.disk.path
    }
}

impl OnDisk {
    fn failed(&self, what: &'static str) -> impl FnOnce(io::Error) -> JournalError + use<> {
        let path = self.path.clone();
        move |source| JournalError::Io { what, path, source }
    }

    fn append(&self, stamp: Stamp, events: &[Event], durable: bool) -> Result<Vec<Line>, JournalError> {
        let lines = self.write(stamp, events)?;
        if durable {
            self.synced(self.file.sync_data())?;
        }
        Ok(lines)
    }

    fn synced(&self, synced: io::Result<()>) -> Result<(), JournalError> {
        synced.map_err(|source| {
            lock(&self.tail).failed = true;
            self.failed("write")(source)
        })
    }

    fn write(&self, stamp: Stamp, events: &[Event]) -> Result<Vec<Line>, JournalError> {
        let mut tail = lock(&self.tail);
        if tail.failed {
            return Err(JournalError::Poisoned);
        }
        let encoded = encode(tail.seq, &tail.last_hash, stamp, events)?;
        let there = std::fs::symlink_metadata(&self.path);
        if !there.is_ok_and(|m| identity(&m) == self.identity && m.len() == tail.size) {
            tail.failed = true;
            return Err(JournalError::Gone { path: self.path.clone() });
        }
        if let Err(source) = (&self.file).write_all(&encoded.0) {
            tail.failed = true;
            return Err(self.failed("write")(source));
        }
        tail.moves(&encoded);
        Ok(encoded.1)
    }
}

/// Writes the torn bytes beside the journal, under the first free number.
fn keep_torn(path: &Path, bytes: &[u8]) -> Result<(), JournalError> {
    for n in 1.. {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".torn-{n}"));
        let torn = PathBuf::from(name);
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&torn);
        let written = match made {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => continue,
            Err(e) => Err(e),
            Ok(mut file) => file.write_all(bytes).and_then(|()| file.sync_all()),
        };
        return written.map_err(|source| JournalError::Io { what: "write", path: torn, source });
    }
    Ok(())
}

#[async_trait]
impl Journal for FileJournal {
    async fn append(&self, stamp: Stamp, events: &[Event], durable: bool) -> Result<Vec<Line>, JournalError> {
        if let Some(thread) = &self.thread {
            let (done, written) = oneshot::channel();
            let append = Append { stamp, events: events.to_vec(), durable, done };
            let asked = thread.send(append).is_ok();
            return match written.await {
                Ok(written) if asked => written,
                _ => {
                    lock(&self.disk.tail).failed = true;
                    Err(self.disk.failed("write")(io::Error::other("the thread that writes has ended")))
                }
            };
        }
        let lines = self.disk.write(stamp, events)?;
        if durable {
            // a paused runtime must not let time pass while it waits
            let disk = Arc::clone(&self.disk);
            let synced = tokio::task::spawn_blocking(move || disk.file.sync_data()).await;
            self.disk.synced(synced.map_err(io::Error::other).flatten())?;
        }
        Ok(lines)
    }
}

struct Memory {
    bytes: Vec<u8>,
    tail: Tail,
    appends: u64,
    lines_of_appends: Vec<(u64, bool)>,
}

/// A journal in memory, for tests and rehearsals. Can be told to fail.
pub struct MemoryJournal {
    inner: Mutex<Memory>,
    fail_from: Option<u64>,
    crash_after: Option<u64>,
}

impl Default for MemoryJournal {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryJournal {
    /// An empty journal.
    pub fn new() -> Self {
        let inner =
            Memory { bytes: Vec::new(), tail: Tail::empty(), appends: 0, lines_of_appends: Vec::new() };
        Self { inner: Mutex::new(inner), fail_from: None, crash_after: None }
    }

    /// Goes on with these bytes, an unfinished last line left out, and returns what they hold.
    ///
    /// # Errors
    /// When the chain is broken.
    pub fn resume(bytes: &[u8]) -> Result<(Self, Read), ReadError> {
        let read = reader::read(bytes)?;
        let journal = Self::new();
        {
            let mut inner = lock(&journal.inner);
            inner.bytes = bytes[..bytes.len() - read.torn].to_vec();
            inner.tail = Tail::after(&read, bytes.len());
        }
        Ok((journal, read))
    }

    /// Fails from the `n`-th append on (counted from 0), which then writes nothing: what came
    /// before it, for instance a call, has happened and is not recorded.
    #[must_use]
    pub fn failing_from(mut self, n: u64) -> Self {
        self.fail_from = Some(n);
        self
    }

    /// Fails for good as soon as it holds `n` lines: the line is on disk, and what was to follow
    /// it never happened.
    #[must_use]
    pub fn crashing_after(mut self, n: u64) -> Self {
        self.crash_after = Some(n);
        self
    }

    /// The journal's bytes.
    pub fn bytes(&self) -> Vec<u8> {
        lock(&self.inner).bytes.clone()
    }

    /// How many appends were asked for.
    pub fn appends(&self) -> u64 {
        lock(&self.inner).appends
    }

    /// For each append that was written: the number of lines after it, and whether it was durable.
    pub fn boundaries(&self) -> Vec<(u64, bool)> {
        lock(&self.inner).lines_of_appends.clone()
    }

    /// The journal's lines.
    ///
    /// # Panics
    /// Never: only whole, chained lines are kept.
    pub fn lines(&self) -> Vec<Line> {
        reader::read(&self.bytes()).expect("BUG: lines kept in memory are whole").lines
    }
}

#[async_trait]
impl Journal for MemoryJournal {
    async fn append(&self, stamp: Stamp, events: &[Event], durable: bool) -> Result<Vec<Line>, JournalError> {
        let full = || JournalError::Io {
            what: "write",
            path: "memory".into(),
            source: io::ErrorKind::StorageFull.into(),
        };
        let mut inner = lock(&self.inner);
        let nth = inner.appends;
        inner.appends += 1;
        if inner.tail.failed {
            return Err(JournalError::Poisoned);
        }
        if self.fail_from.is_some_and(|n| nth >= n) {
            inner.tail.failed = true;
            return Err(full());
        }
        let room = self.crash_after.map(|n| n.saturating_sub(inner.tail.seq));
        let fits = room.map_or(events.len(), |r| events.len().min(usize::try_from(r).unwrap_or(usize::MAX)));
        let encoded = encode(inner.tail.seq, &inner.tail.last_hash, stamp, &events[..fits])?;
        inner.tail.moves(&encoded);
        let (bytes, lines, _) = encoded;
        inner.bytes.extend(bytes);
        if self.crash_after.is_some_and(|n| inner.tail.seq >= n) {
            inner.tail.failed = true;
            return Err(full());
        }
        let at = inner.tail.seq;
        inner.lines_of_appends.push((at, durable));
        Ok(lines)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use chrono::DateTime;

    use super::*;

    fn stamp() -> Stamp {
        Stamp { at: DateTime::from_timestamp_millis(1_700_000_000_123).unwrap(), mono_ms: 9 }
    }

    fn skew(ms: i64) -> Event {
        Event::Skew { ms }
    }

    #[tokio::test]
    async fn what_is_appended_is_read_back_and_gone_on_with() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run/journal.jsonl");
        let journal = FileJournal::create(&path).unwrap();
        let first = journal.append(stamp(), &[skew(1), skew(2)], true).await.unwrap();
        assert_eq!(first.iter().map(|l| l.seq).collect::<Vec<_>>(), [0, 1]);
        drop(journal);
        assert!(FileJournal::create(&path).is_err(), "a journal is never overwritten");

        let (journal, read) = FileJournal::open_for_append(&path).unwrap();
        assert_eq!(read.lines, first);
        journal.append(stamp(), &[skew(3)], false).await.unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let all = reader::read(&bytes).unwrap();
        assert_eq!(all.lines.len(), 3);
        let second = bytes.split(|b| *b == b'\n').nth(1).unwrap();
        assert_eq!(all.lines[2].prev, line_hash(second));
        let mode = |p: &Path| std::fs::metadata(p).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    }

    #[tokio::test]
    async fn a_torn_tail_is_kept_beside_and_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        FileJournal::create(&path).unwrap().append(stamp(), &[skew(1)], true).await.unwrap();
        for (n, torn) in ["{\"seq\":1,\"pr", "\0\0\n"].into_iter().enumerate() {
            OpenOptions::new().append(true).open(&path).unwrap().write_all(torn.as_bytes()).unwrap();
            let (journal, read) = FileJournal::open_for_append(&path).unwrap();
            assert_eq!((read.lines.len(), read.torn), (n + 1, torn.len()));
            let kept = folder.path().join(format!("journal.jsonl.torn-{}", n + 1));
            assert_eq!(std::fs::read_to_string(kept).unwrap(), torn);
            journal.append(stamp(), &[skew(2)], true).await.unwrap();
        }
        assert_eq!(reader::read(&std::fs::read(&path).unwrap()).unwrap().lines.len(), 3);
    }

    #[tokio::test]
    async fn a_changed_journal_and_a_link_are_not_gone_on_with() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        FileJournal::create(&path).unwrap().append(stamp(), &[skew(1), skew(2)], true).await.unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(matches!(FileJournal::open_for_append(&link), Err(JournalError::Io { .. })));
        assert!(FileJournal::create(&link).is_err());
        let changed = std::fs::read_to_string(&path).unwrap().replacen("\"ms\":1", "\"ms\":7", 1);
        std::fs::write(&path, changed).unwrap();
        assert!(matches!(
            FileJournal::open_for_append(&path),
            Err(JournalError::Changed { source: ReadError::Broken { line: 2 }, .. })
        ));
    }

    #[tokio::test]
    async fn after_a_failed_write_nothing_more_is_recorded() {
        // a file opened for reading only: every write fails
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        let mut journal = FileJournal::create(&path).unwrap();
        let mut file = |other| std::mem::replace(&mut Arc::get_mut(&mut journal.disk).unwrap().file, other);
        let writable = file(File::open(&path).unwrap());
        assert!(matches!(journal.append(stamp(), &[skew(1)], false).await, Err(JournalError::Io { .. })));
        Arc::get_mut(&mut journal.disk).unwrap().file = writable;
        assert!(matches!(journal.append(stamp(), &[skew(1)], false).await, Err(JournalError::Poisoned)));
        assert_eq!(std::fs::read(&path).unwrap(), b"");
    }

    #[tokio::test]
    async fn a_file_that_was_moved_removed_or_cut_is_not_written_any_more() {
        type Change = fn(&Path);
        let changes: [Change; 5] = [
            |path| std::fs::remove_file(path).unwrap(),
            |path| std::fs::remove_dir_all(path.parent().unwrap()).unwrap(),
            |path| {
                std::fs::rename(path, path.with_extension("old")).unwrap();
                std::fs::copy(path.with_extension("old"), path).unwrap();
            },
            |path| OpenOptions::new().write(true).open(path).unwrap().set_len(9).unwrap(),
            |path| OpenOptions::new().append(true).open(path).unwrap().write_all(b"\n").unwrap(),
        ];
        for change in changes {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("run/journal.jsonl");
            let journal = FileJournal::create(&path).unwrap();
            journal.append(stamp(), &[skew(1)], true).await.unwrap();
            change(&path);
            let appended = journal.append(stamp(), &[skew(2)], true).await;
            assert!(matches!(appended, Err(JournalError::Gone { .. })));
            let again = journal.append(stamp(), &[skew(2)], true).await;
            assert!(matches!(again, Err(JournalError::Poisoned)));
        }
    }

    #[test]
    #[expect(clippy::await_holding_lock, reason = "that is how the disk is made to stand still")]
    fn a_disk_that_stands_still_holds_up_nothing_else_and_nothing_else_the_disk() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .max_blocking_threads(1)
            .build()
            .unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        let journal = FileJournal::create(&path).unwrap().in_a_thread().unwrap();
        let (busy, until) = mpsc::channel::<()>();
        runtime.block_on(async {
            // whatever fills the runtime's own threads (names that are looked up) is not waited for
            let _full = tokio::task::spawn_blocking(move || until.recv());
            journal.append(stamp(), &[skew(1)], true).await.unwrap();
            // and a write that does not come back leaves the runtime's only thread to others
            let held = lock(&journal.disk.tail);
            let events = [skew(2)];
            let mut stalled = journal.append(stamp(), &events, true);
            let wait = std::time::Duration::from_millis(20);
            assert!(tokio::time::timeout(wait, &mut stalled).await.is_err());
            drop(held);
            stalled.await.unwrap();
            // nobody waits any more, and it is written all the same
            let held = lock(&journal.disk.tail);
            let events = [skew(3)];
            let gone = tokio::time::timeout(wait, journal.append(stamp(), &events, true)).await;
            assert!(gone.is_err());
            drop(held);
            journal.append(stamp(), &[skew(4)], true).await.unwrap();
        });
        drop(busy);
        assert_eq!(reader::read(&std::fs::read(&path).unwrap()).unwrap().lines.len(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn a_paused_runtime_does_not_skip_time_while_it_writes() {
        let folder = tempfile::tempdir().unwrap();
        let journal = FileJournal::create(folder.path().join("journal.jsonl")).unwrap();
        let sleep = tokio::time::sleep(std::time::Duration::from_secs(3600));
        tokio::pin!(sleep);
        let events = [skew(1)];
        tokio::select! {
            biased;
            () = &mut sleep => panic!("time passed while the journal was written"),
            lines = journal.append(stamp(), &events, true) => assert_eq!(lines.unwrap().len(), 1),
        }
    }

    #[tokio::test]
    async fn the_memory_journal_fails_where_it_is_told_to() {
        let journal = MemoryJournal::new().failing_from(1);
        assert!(journal.append(stamp(), &[skew(1)], true).await.is_ok());
        assert!(journal.append(stamp(), &[skew(2)], true).await.is_err());
        assert!(journal.append(stamp(), &[skew(3)], true).await.is_err());
        assert_eq!(journal.lines().len(), 1);

        let journal = MemoryJournal::new().crashing_after(2);
        assert!(journal.append(stamp(), &[skew(1)], true).await.is_ok());
        assert!(journal.append(stamp(), &[skew(2), skew(3)], true).await.is_err());
        assert!(journal.append(stamp(), &[skew(4)], true).await.is_err());
        assert_eq!(journal.lines().len(), 2, "the second line is there, the third is not");

        let (journal, read) = MemoryJournal::resume(&journal.bytes()).unwrap();
        assert_eq!(read.lines.len(), 2);
        journal.append(stamp(), &[skew(5)], true).await.unwrap();
        assert_eq!(journal.lines().len(), 3);
        assert_eq!(journal.boundaries(), [(3, true)]);
    }
}
