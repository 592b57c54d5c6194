//! Whether a run that is taken up is given the secret parameters that it was started with. I/O.
//!
//! An undo that runs with another password may do nothing and look well. What is kept is one salted, slow hash each
//! (PBKDF2-HMAC-SHA256), in the run's own folder and readable by its owner alone. It is not in the journal, which goes
//! into evidence: whoever holds a hash can try passwords on it for as long as they like. A folder without the file, of
//! an older redrill, or copied without it, is taken up all the same. Invariant: no message shows a value.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::num::NonZeroU32;

use aws_lc_rs::pbkdf2::{PBKDF2_HMAC_SHA256, derive, verify};
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::session::io;
use super::{CliError, Kind};
use crate::journal::runs::{RunDir, RunsError};

const FILE: &str = "given.json";
/// As OWASP has it; a quarter of a second for each secret.
const ROUNDS: NonZeroU32 = NonZeroU32::new(600_000).unwrap();

#[derive(Serialize, Deserialize)]
struct Given {
    rounds: NonZeroU32,
    salt: String,
    /// Of each parameter, the hash of its value.
    hashes: BTreeMap<String, String>,
}

/// The same value of two parameters has two hashes.
fn salted(salt: &[u8], name: &str) -> Vec<u8> {
    [salt, name.as_bytes()].concat()
}

/// Keeps what tells these values from others.
pub fn keep(dir: &RunDir, secrets: &BTreeMap<String, String>) -> Result<(), CliError> {
    if secrets.is_empty() {
        return Ok(());
    }
    let mut salt = [0; 16];
    rand::fill(&mut salt).map_err(|_| CliError::new(Kind::Internal, "the system has no random numbers"))?;
    let hash = |name: &str, secret: &str| {
        let mut hash = [0; 32];
        derive(PBKDF2_HMAC_SHA256, ROUNDS, &salted(&salt, name), secret.as_bytes(), &mut hash);
        STANDARD.encode(hash)
    };
    let hashes = secrets.iter().map(|(name, secret)| (name.clone(), hash(name, secret))).collect();
    let given = Given { rounds: ROUNDS, salt: STANDARD.encode(salt), hashes };
    let text = serde_json::to_vec(&given).expect("BUG: hashes serialise");
    dir.write(FILE, &text).map_err(io("the run's folder cannot be written"))
}

/// Refuses a value that is not the one that the run was started with; `again` is what to type.
pub fn hold_against(dir: &RunDir, secrets: &BTreeMap<String, String>, again: &str) -> Result<(), CliError> {
    let bytes = match dir.read(FILE) {
        Ok(bytes) => bytes,
        Err(RunsError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(io("what the run was given cannot be read")(e)),
    };
    let known: Option<Given> = serde_json::from_slice(&bytes).ok();
    let salt = known.as_ref().and_then(|known| STANDARD.decode(&known.salt).ok());
    // what is to be put back does not wait for a file that is broken
    let (Some(known), Some(salt)) = (known, salt) else { return Ok(()) };
    for (name, secret) in secrets {
        let Some(hash) = known.hashes.get(name).and_then(|hash| STANDARD.decode(hash).ok()) else { continue };
        let rounds = known.rounds.min(ROUNDS);
        if verify(PBKDF2_HMAC_SHA256, rounds, &salted(&salt, name), secret.as_bytes(), &hash).is_err() {
            let text = format!("the secret parameter `{name}` is not the one that the run was started with");
            return Err(CliError::usage(text)
                .hint(format!("nothing was changed; give the value that it was started with: {again}")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::runs;
    use crate::model::RunId;

    #[test]
    fn another_value_is_refused_and_none_is_shown() {
        let state = tempfile::tempdir().unwrap();
        let id = RunId::from_existing("20270115-080000-shop-1a2b");
        let dir = runs::create(state.path(), &id, b"{}", b"x: 1\n").unwrap();
        let of = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let held =
            |pairs: &[(&str, &str)]| hold_against(&dir, &of(pairs), "redrill rollback X --set-env pw=…");
        assert!(held(&[("pw", "anything")]).is_ok(), "a run of an older redrill");
        keep(&dir, &of(&[])).unwrap();
        assert!(dir.read(FILE).is_err(), "no secrets, no file");
        keep(&dir, &of(&[("pw", "Right-7312"), ("other", "Right-7312")])).unwrap();
        let kept = String::from_utf8(dir.read(FILE).unwrap()).unwrap();
        let given: Given = serde_json::from_str(&kept).unwrap();
        assert!(!kept.contains("Right") && given.hashes["pw"] != given.hashes["other"], "{kept}");
        assert!(held(&[]).is_ok() && held(&[("pw", "Right-7312")]).is_ok());
        let refused = held(&[("other", "Right-7312"), ("pw", "Wrong-7312")]).unwrap_err().text();
        assert!(
            refused.contains("`pw` is not the one that the run was started with")
                && refused.contains("redrill rollback X --set-env pw=…")
                && !refused.contains("7312"),
            "{refused}"
        );
    }
}
