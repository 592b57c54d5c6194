//! What a later process of a run needs and no journal may hold, kept in the run's folder. I/O.
//!
//! Each entry is a line of `kept.jsonl`, sealed (AES-256-GCM) with the state folder's own key, `keys/kept.key`: a copy
//! of the run's folder alone tells nothing. The file goes with the end of the run, unless the run is stuck. A folder
//! without the key or the file is taken up all the same: AWS is asked again then. Invariant: what is kept is written
//! only as sealed.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::files;
use crate::cloud::Secret;
use crate::cloud::safe::Safe;
use crate::journal::runs::{self, RunDir};

const FILE: &str = "kept.jsonl";
const KEY: &str = "kept.key";

#[derive(Serialize, Deserialize)]
struct Entry {
    name: String,
    /// Base64.
    nonce: String,
    /// Base64.
    sealed: String,
}

/// Of one run.
pub struct FileSafe {
    state: PathBuf,
    dir: RunDir,
    known: Arc<Mutex<BTreeMap<String, Secret>>>,
}

impl FileSafe {
    /// With what earlier processes of the run kept, as far as it can be read.
    pub fn open(state: &Path, dir: &RunDir) -> Self {
        let known = read(state, dir).unwrap_or_default();
        Self { state: state.to_owned(), dir: dir.clone(), known: Arc::new(Mutex::new(known)) }
    }
}

/// Nobody needs any more what was kept of the run.
pub fn remove(dir: &RunDir) {
    // a file that stays is sealed; it is no reason to say that the run has failed
    let _gone = std::fs::remove_file(dir.path().join(FILE));
}

fn read(state: &Path, dir: &RunDir) -> Option<BTreeMap<String, Secret>> {
    let bytes = dir.read(FILE).ok()?;
    let key = key_in(&runs::within(state, "keys").ok()?.join(KEY)).ok()??;
    let lines = bytes.split(|b| *b == b'\n');
    Some(lines.filter_map(|line| unsealed(&key, dir, line)).collect())
}

fn unsealed(key: &RandomizedNonceKey, dir: &RunDir, line: &[u8]) -> Option<(String, Secret)> {
    let entry: Entry = serde_json::from_slice(line).ok()?;
    let nonce: [u8; NONCE_LEN] = STANDARD.decode(&entry.nonce).ok()?.try_into().ok()?;
    let mut text = STANDARD.decode(&entry.sealed).ok()?;
    let about = Aad::from(about(dir, &entry.name));
    let text = key.open_in_place(Nonce::assume_unique_for_key(nonce), about, &mut text).ok()?;
    Some((entry.name, Secret::new(String::from_utf8(text.to_vec()).ok()?)))
}

/// An entry is of its run, and of its name.
fn about(dir: &RunDir, name: &str) -> Vec<u8> {
    format!("{}\n{name}", dir.id()).into_bytes()
}

fn sealed(key: &RandomizedNonceKey, dir: &RunDir, name: &str, secret: &Secret) -> io::Result<Vec<u8>> {
    let mut text = secret.expose().as_bytes().to_vec();
    let nonce = key
        .seal_in_place_append_tag(Aad::from(about(dir, name)), &mut text)
        .map_err(|_| io::Error::other("it cannot be sealed"))?;
    let entry = Entry {
        name: name.to_owned(),
        nonce: STANDARD.encode(nonce.as_ref()),
        sealed: STANDARD.encode(text),
    };
    let mut line = serde_json::to_vec(&entry)?;
    line.push(b'\n');
    Ok(line)
}

/// The key, if it is there.
fn key_in(path: &Path) -> io::Result<Option<RandomizedNonceKey>> {
    let file = match files::open_no_link(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    let bytes = STANDARD.decode(files::whole(file)?).map_err(|_| io::Error::other("it is no key"))?;
    RandomizedNonceKey::new(&AES_256_GCM, &bytes).map(Some).map_err(|_| io::Error::other("it is no key"))
}

/// The key; made where there is none.
fn key(state: &Path) -> io::Result<RandomizedNonceKey> {
    let folder = runs::within(state, "keys").map_err(|e| io::Error::other(e.to_string()))?;
    let path = folder.join(KEY);
    if let Some(key) = key_in(&path)? {
        return Ok(key);
    }
    let mut bytes = [0; 32];
    rand::fill(&mut bytes).map_err(|_| io::Error::other("the system has no random numbers"))?;
    DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
    match made {
        Ok(mut file) => file.write_all(STANDARD.encode(bytes).as_bytes()).and_then(|()| file.sync_all())?,
        // another run made it just now
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
        Err(e) => return Err(e),
    }
    key_in(&path)?.ok_or_else(|| io::Error::other("it is gone"))
}

#[async_trait]
impl Safe for FileSafe {
    async fn keep(&self, named: Vec<(String, Secret)>) -> Result<(), String> {
        let known = Arc::clone(&self.known);
        let (state, dir) = (self.state.clone(), self.dir.clone());
        // a slow disk holds nobody else up
        let kept = tokio::task::spawn_blocking(move || {
            let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
            let new: Vec<(String, Secret)> =
                named.into_iter().filter(|(name, secret)| known.get(name) != Some(secret)).collect();
            if new.is_empty() {
                return Ok(());
            }
            let key = key(&state).map_err(|e| format!("its key: {e}"))?;
            let lines = new.iter().map(|(name, secret)| sealed(&key, &dir, name, secret));
            let lines = lines.collect::<io::Result<Vec<_>>>().map_err(|e| e.to_string())?.concat();
            dir.append(FILE, &lines).map_err(|e| e.to_string())?;
            known.extend(new);
            Ok(())
        });
        kept.await.map_err(|e| e.to_string())?
    }

    fn kept(&self, name: &str) -> Option<Secret> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::RunId;

    fn run(state: &Path, id: &str) -> RunDir {
        runs::create(state, &RunId::from_existing(id), b"{}", b"x: 1\n").unwrap()
    }

    #[tokio::test]
    async fn a_later_process_finds_what_was_kept_and_nobody_else_reads_it() {
        let state = tempfile::tempdir().unwrap();
        let dir = run(state.path(), "20270115-080000-shop-1a2b");
        let named = |text: &str| vec![("digest".to_owned(), Secret::new(text))];
        FileSafe::open(state.path(), &dir).keep(named("TOKEN=hunter2")).await.unwrap();
        let later = FileSafe::open(state.path(), &dir);
        assert_eq!(later.kept("digest").unwrap().expose(), "TOKEN=hunter2");
        assert!(later.kept("another").is_none());
        later.keep(named("TOKEN=hunter2")).await.unwrap();
        let text = String::from_utf8(dir.read(FILE).unwrap()).unwrap();
        assert_eq!(text.lines().count(), 1, "what is kept already is not written again");
        assert!(!text.contains("hunter2") && !text.contains(&STANDARD.encode("TOKEN=hunter2")), "{text}");
        // a line that was cut off is none, and those before it hold
        dir.append(FILE, &text.as_bytes()[..40]).unwrap();
        assert!(FileSafe::open(state.path(), &dir).kept("digest").is_some());
        // an entry is of its own run and name
        let other = run(state.path(), "20270115-080000-shop-3c4d");
        other.write(FILE, text.as_bytes()).unwrap();
        assert!(FileSafe::open(state.path(), &other).kept("digest").is_none());
        dir.write(FILE, text.replace("digest", "another").as_bytes()).unwrap();
        assert!(FileSafe::open(state.path(), &dir).kept("another").is_none());
        // without the key it is nothing
        dir.write(FILE, text.as_bytes()).unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        assert!(FileSafe::open(elsewhere.path(), &dir).kept("digest").is_none());
        remove(&dir);
        assert!(dir.read(FILE).is_err());
    }
}
