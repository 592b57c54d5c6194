//! Signed checkpoints, taken while a run goes on and kept in its folder. A run goes on without them
//! if they cannot be taken; the report then has a gap, and it is said once.

use super::{CliError, Global, keys, out};
use crate::bundle;
use crate::evidence::checkpoint::Checkpoint;
use crate::evidence::keys::PrivateKey;
use crate::evidence::merkle;
use crate::journal::runs::{self, RunDir};
use crate::model::Clock;

/// Takes checkpoints of one run.
pub struct Checkpoints {
    dir: RunDir,
    key: Option<PrivateKey>,
}

impl Checkpoints {
    /// With the configured key, else the state folder's own.
    pub fn new(global: &Global, dir: &RunDir) -> Self {
        let key = keys::checkpoint(global);
        if let Err(e) = &key {
            out::note("no checkpoints are signed while this runs; the report will say so");
            out::error(e);
        }
        Self { dir: dir.clone(), key: key.ok() }
    }

    /// Signs what the journal holds now.
    pub fn take(&mut self, stage: &str, clock: &dyn Clock) {
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
