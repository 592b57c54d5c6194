//! Signed checkpoints, taken while a run goes on and kept in its folder. A run goes on without them
//! if they cannot be taken; the report then has a gap, and it is said once. They are taken in a thread of
//! their own ([`Notary`]): whoever asks for one never waits for the disk.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use super::material::Folder;
use super::{CliError, Global, keys, out};
use crate::bundle;
use crate::evidence::checkpoint::{Checkpoint, CheckpointError, LATE, notes};
use crate::evidence::keys::{PrivateKey, PublicKey};
use crate::evidence::merkle;
use crate::journal::runs::{self, RunDir};
use crate::model::Clock;

/// Whether the journal holds all that the run's own checkpoints signed. Those that cannot be read say
/// nothing: what is to be put back does not wait for evidence.
///
/// # Errors
/// It was cut, or written anew.
pub fn fit(dir: &RunDir) -> Result<(), CheckpointError> {
    let read = |name| dir.read(name).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let Some(key) = read(bundle::CHECKPOINT_KEY).and_then(|pem| PublicKey::from_pem(&pem).ok()) else {
        return Ok(());
    };
    let (Some(all), Ok(journal)) = (read(bundle::CHECKPOINTS), dir.read(runs::JOURNAL)) else {
        return Ok(());
    };
    let leaves = merkle::leaves(&journal);
    let signed = notes(&all);
    let signed = signed.iter().filter_map(|note| Checkpoint::open(note, dir.id().as_str(), &key).ok());
    signed.into_iter().try_for_each(|c| c.fits(&leaves))
}

/// How many checkpoints may be asked for and not taken yet: more than a run has stages.
const ASKED: usize = 32;

/// Takes checkpoints when asked to, in a thread of its own.
pub struct Notary {
    asked: SyncSender<String>,
    working: Option<JoinHandle<()>>,
}

impl Notary {
    /// For one run.
    pub fn new(global: &Global, dir: &RunDir, clock: Arc<dyn Clock>) -> Self {
        let mut checkpoints = Checkpoints::new(global, dir);
        Self::working(move |stage| checkpoints.take(stage, &*clock))
    }

    fn working(mut take: impl FnMut(&str) + Send + 'static) -> Self {
        let (asked, stages): (_, Receiver<String>) = sync_channel(ASKED);
        let work = move || stages.iter().for_each(|stage| take(&stage));
        let working = std::thread::Builder::new().name("checkpoints".to_owned()).spawn(work).ok();
        Self { asked, working }
    }

    /// Asks for a checkpoint of what the journal holds. One that finds no room is left out: those after it
    /// sign all that it would have signed.
    pub fn sign(&self, stage: &str) {
        let _left_out = self.asked.try_send(stage.to_owned());
    }

    /// Asks for the last one, and waits for all of them.
    pub fn end(self) {
        let _gone = self.asked.send("end".to_owned());
        drop(self.asked);
        if let Some(working) = self.working {
            let _panicked = working.join();
        }
    }
}

/// Reads the folder of a run that is handed over, with a checkpoint of its end.
///
/// # Errors
/// As [`Folder::read`].
pub fn completed(global: &Global, dir: &RunDir, clock: &dyn Clock) -> Result<Folder, CliError> {
    let folder = Folder::read(dir)?;
    if super::runs::finished(&folder.lines).is_none() {
        return Ok(folder);
    }
    complete(global, dir, clock);
    Folder::read(dir)
}

/// Takes the checkpoint of a finished run's end, where the process that ended it died before it could. It
/// says that it is late; what is known of the journal from before then is in the others.
fn complete(global: &Global, dir: &RunDir, clock: &dyn Clock) {
    let read = |name| dir.read(name).ok();
    let (Some(all), Some(journal)) = (read(bundle::CHECKPOINTS), read(runs::JOURNAL)) else { return };
    let signed = notes(&String::from_utf8_lossy(&all));
    let key =
        read(bundle::CHECKPOINT_KEY).and_then(|pem| PublicKey::from_pem(&String::from_utf8(pem).ok()?).ok());
    let (Some(last), Some(key)) = (signed.last(), key) else { return };
    let size = Checkpoint::open(last, dir.id().as_str(), &key).map(|c| c.size);
    // one that cannot be read is for whoever verifies to say; a run that is worked on takes its own
    if size.is_ok_and(|size| size < merkle::leaves(&journal).len()) && runs::lock(dir).is_ok() {
        Checkpoints::new(global, dir).take(LATE, clock);
    }
}

/// Takes checkpoints of one run.
struct Checkpoints {
    dir: RunDir,
    key: Option<PrivateKey>,
}

impl Checkpoints {
    /// With the configured key, else the state folder's own.
    fn new(global: &Global, dir: &RunDir) -> Self {
        let key = keys::checkpoint(global);
        if let Err(e) = &key {
            out::note("no checkpoints are signed while this runs; the report will say so");
            out::error(e);
        }
        Self { dir: dir.clone(), key: key.ok() }
    }

    /// Signs what the journal holds now.
    fn take(&mut self, stage: &str, clock: &dyn Clock) {
        let Some(key) = &self.key else { return };
        if let Err(e) = self.try_take(key, stage, clock) {
            out::note("no more checkpoints are signed while this runs; the report will say so");
            out::error(&e);
            self.key = None;
        }
    }

    fn try_take(&self, key: &PrivateKey, stage: &str, clock: &dyn Clock) -> Result<(), CliError> {
        let failed = || CliError::internal("a checkpoint could not be signed");
        let journal = self.dir.read(runs::JOURNAL).map_err(|e| failed().because(e))?;
        // what is signed must not be lost with the power, or nothing could be put back from what is left
        let synced = std::fs::File::open(self.dir.journal()).and_then(|file| file.sync_data());
        synced.map_err(|e| failed().because(e))?;
        let at = clock.now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
        let leaves = merkle::leaves(&journal);
        let note = Checkpoint::of(self.dir.id().as_str(), &leaves, stage, &at)
            .sign(key)
            .map_err(|e| failed().because(e))?;
        let pem = key.public().to_pem();
        if super::material::optional(&self.dir, bundle::CHECKPOINT_KEY)?.is_some_and(|k| k != pem.as_bytes())
        {
            return Err(failed().hint("the run began with another checkpoint key; use the same state folder"));
        }
        let mut all = super::material::optional(&self.dir, bundle::CHECKPOINTS)?.unwrap_or_default();
        all.extend(note.as_bytes());
        self.dir.write(bundle::CHECKPOINT_KEY, pem.as_bytes()).map_err(|e| failed().because(e))?;
        self.dir.write(bundle::CHECKPOINTS, &all).map_err(|e| failed().because(e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::keys::Algorithm;
    use crate::model::RunId;

    #[test]
    fn whoever_asks_for_a_checkpoint_does_not_wait_for_the_disk() {
        let (disk, stalled) = std::sync::mpsc::channel::<()>();
        let taken = Arc::new(std::sync::Mutex::new(Vec::new()));
        let kept = Arc::clone(&taken);
        let notary = Notary::working(move |stage| {
            let _until_it_is_back = stalled.recv();
            kept.lock().unwrap().push(stage.to_owned());
        });
        // with a disk that stands still, far more than there is room for
        (0..10 * ASKED).for_each(|n| notary.sign(&n.to_string()));
        drop(disk);
        notary.end();
        let taken = taken.lock().unwrap();
        assert!((ASKED + 1..=ASKED + 2).contains(&taken.len()), "{taken:?}");
        assert_eq!((taken[0].as_str(), taken[taken.len() - 1].as_str()), ("0", "end"));
    }

    #[test]
    fn a_journal_that_was_cut_does_not_fit_in_a_folder_of_another_name_either() {
        use crate::journal::writer::encode;
        use crate::journal::{Event, NO_PREVIOUS};
        let state = tempfile::tempdir().unwrap();
        let id = RunId::from_existing("20260921T141320Z-sample-mdaaaa");
        let dir = runs::create(state.path(), &id, b"{}", b"").unwrap();
        let header = Event::Header {
            format: 1,
            redrill: String::new(),
            run: id.clone(),
            drill: "sample".into(),
            title: String::new(),
            plan_sha256: String::new(),
            world: crate::model::World::Sim,
            account: String::new(),
            caller: String::new(),
            region: String::new(),
            rto_ms: 1,
            give_up_ms: 1,
            chain: None,
        };
        let stamp = crate::model::Stamp { at: chrono::DateTime::UNIX_EPOCH, mono_ms: 0 };
        let whole = encode(0, NO_PREVIOUS, stamp, &[header, Event::Skew { ms: 1 }]).unwrap().0;
        let key = PrivateKey::generate(Algorithm::Ed25519).unwrap();
        let note = Checkpoint::of(id.as_str(), &merkle::leaves(&whole), "fault", "2026-09-21T14:13:20.000Z");
        dir.write(bundle::CHECKPOINTS, note.sign(&key).unwrap().as_bytes()).unwrap();
        dir.write(bundle::CHECKPOINT_KEY, key.public().to_pem().as_bytes()).unwrap();
        let first = whole.iter().position(|b| *b == b'\n').unwrap() + 1;
        for (journal, fits) in [(&whole[..], true), (&whole[..first], false)] {
            dir.write(runs::JOURNAL, journal).unwrap();
            let moved = state.path().join("moved");
            std::fs::rename(dir.path(), &moved).unwrap();
            let found = runs::find(state.path(), moved.to_str().unwrap()).unwrap();
            assert_eq!((found.id(), fit(&found).is_ok()), (&id, fits));
            std::fs::rename(&moved, dir.path()).unwrap();
        }
    }

    #[test]
    fn a_journal_shorter_than_what_was_signed_does_not_fit() {
        let state = tempfile::tempdir().unwrap();
        let id = RunId::from_existing("20260921T141320Z-sample-mdaaaa");
        let dir = runs::create(state.path(), &id, b"{}", b"").unwrap();
        let key = PrivateKey::generate(Algorithm::Ed25519).unwrap();
        let write = |name: &str, bytes: &[u8]| dir.write(name, bytes).unwrap();
        write(runs::JOURNAL, b"one\ntwo\nthree\n");
        assert_eq!(fit(&dir), Ok(()), "nothing was signed");
        let two = Checkpoint::of(id.as_str(), &[b"one", b"two"], "fault", "2026-09-21T14:13:20.000Z");
        write(bundle::CHECKPOINTS, two.sign(&key).unwrap().as_bytes());
        write(bundle::CHECKPOINT_KEY, key.public().to_pem().as_bytes());
        assert_eq!(fit(&dir), Ok(()));
        for cut in ["one\n", "one\ntw", "", "one\ntwo!\nthree\n"] {
            write(runs::JOURNAL, cut.as_bytes());
            assert_eq!(fit(&dir), Err(CheckpointError::OtherJournal(2)), "{cut:?}");
        }
        // evidence that cannot be read never stands in the way of putting back
        write(bundle::CHECKPOINTS, b"half a no");
        assert_eq!(fit(&dir), Ok(()));
    }
}
