//! Signed checkpoints of a journal: how long it was and which root it had, at a moment. Pure.
//!
//! C2SP `tlog-checkpoint` in a C2SP `signed-note`, Ed25519. The origin is `redrill/` and the run's id,
//! and the key goes by the same name. Extension lines say at which stage and when it was taken. Since
//! each is signed while the run goes on, a journal that is cut or written anew later does not fit them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::keys::{Algorithm, KeyError, PrivateKey, PublicKey};
use super::merkle::{Hash, root, sha256};

/// The stage of a checkpoint that a process which died could not take: it was taken when the bundle was made.
pub const LATE: &str = "late";

/// Why a checkpoint cannot be trusted.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// Not a checkpoint of this run in its one form.
    #[error("it is no checkpoint of this run in its canonical form")]
    NotCanonical,
    /// The signature does not fit.
    #[error("the signature does not fit the checkpoint key")]
    BadSignature,
    /// The journal is not the one that was signed.
    #[error("the journal's first {0} lines are not those that were signed")]
    OtherJournal(usize),
}

/// A journal at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// `redrill/` and the run's id.
    pub origin: String,
    /// How many lines.
    pub size: usize,
    /// Their root.
    pub root: Hash,
    /// The stage, or `start`, `end`.
    pub stage: String,
    /// When (RFC 3339, UTC).
    pub at: String,
}

/// The origin of a run's checkpoints.
pub fn origin(run: &str) -> String {
    format!("redrill/{run}")
}

fn key_hash(origin: &str, key: &PublicKey) -> [u8; 4] {
    let mut text = format!("{origin}\n").into_bytes();
    text.push(1);
    text.extend(key.raw());
    let hash = sha256(&text);
    [hash[0], hash[1], hash[2], hash[3]]
}

/// The verifier's form of a checkpoint key: `name+hash+key`.
pub fn verifier_key(origin: &str, key: &PublicKey) -> String {
    let hash: String = key_hash(origin, key).iter().map(|b| format!("{b:02x}")).collect();
    format!("{origin}+{hash}+{}", STANDARD.encode([&[1], key.raw()].concat()))
}

impl Checkpoint {
    /// The checkpoint of these lines.
    pub fn of(run: &str, leaves: &[&[u8]], stage: &str, at: &str) -> Self {
        Self {
            origin: origin(run),
            size: leaves.len(),
            root: root(leaves),
            stage: stage.to_owned(),
            at: at.to_owned(),
        }
    }

    fn body(&self) -> String {
        format!(
            "{}\n{}\n{}\nstage {}\ntime {}\n",
            self.origin,
            self.size,
            STANDARD.encode(self.root),
            self.stage,
            self.at
        )
    }

    /// The signed note.
    ///
    /// # Errors
    /// Where the key is not Ed25519, or cannot sign.
    pub fn sign(&self, key: &PrivateKey) -> Result<String, KeyError> {
        let public = key.public();
        if public.algorithm() != Algorithm::Ed25519 {
            return Err(KeyError::Unsupported);
        }
        let body = self.body();
        let signature = key.sign(body.as_bytes())?;
        let blob = [&key_hash(&self.origin, &public)[..], &signature].concat();
        Ok(format!("{body}\n\u{2014} {} {}\n", self.origin, STANDARD.encode(blob)))
    }

    /// Reads a signed note of this run, if this key signed it.
    ///
    /// # Errors
    /// Where it is written in any other way, or the signature does not fit.
    pub fn open(note: &str, run: &str, key: &PublicKey) -> Result<Self, CheckpointError> {
        let not = || CheckpointError::NotCanonical;
        let (body, signature) = note.split_once("\n\n").ok_or_else(not)?;
        let lines: Vec<&str> = body.lines().collect();
        let [origin_line, size, root, stage, at] = lines[..] else { return Err(not()) };
        let root: Vec<u8> = STANDARD.decode(root).map_err(|_| not())?;
        let checkpoint = Self {
            origin: origin_line.to_owned(),
            size: size.parse().map_err(|_| not())?,
            root: root.try_into().map_err(|_| not())?,
            stage: stage.strip_prefix("stage ").ok_or_else(not)?.to_owned(),
            at: at.strip_prefix("time ").ok_or_else(not)?.to_owned(),
        };
        if checkpoint.origin != origin(run) || checkpoint.body() != format!("{body}\n") {
            return Err(not());
        }
        let line = signature.strip_prefix(&format!("\u{2014} {} ", checkpoint.origin)).ok_or_else(not)?;
        let blob = STANDARD.decode(line.strip_suffix('\n').ok_or_else(not)?).map_err(|_| not())?;
        let (hash, signature) = blob.split_at_checked(4).ok_or_else(not)?;
        if hash != key_hash(&checkpoint.origin, key) || !key.verifies(checkpoint.body().as_bytes(), signature)
        {
            return Err(CheckpointError::BadSignature);
        }
        Ok(checkpoint)
    }

    /// Whether these are the lines that were signed, or begin with them.
    ///
    /// # Errors
    /// Where they are not.
    pub fn fits(&self, leaves: &[&[u8]]) -> Result<(), CheckpointError> {
        match leaves.get(..self.size) {
            Some(first) if root(first) == self.root => Ok(()),
            _ => Err(CheckpointError::OtherJournal(self.size)),
        }
    }
}

/// The notes of a file with one after the other.
pub fn notes(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut rest = text;
    // a note ends with the first line after its signature's beginning
    while let Some(at) = rest.find("\n\n") {
        let end = rest[at + 2..].find('\n').map_or(rest.len(), |n| at + 2 + n + 1);
        out.push(rest[..end].to_owned());
        rest = &rest[end..];
    }
    if !rest.is_empty() {
        out.push(rest.to_owned());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: [&[u8]; 3] = [b"one", b"two", b"three"];

    fn note(key: &PrivateKey, lines: &[&[u8]]) -> String {
        Checkpoint::of("r", lines, "fault", "2026-01-01T00:00:00.000Z").sign(key).unwrap()
    }

    #[test]
    fn a_checkpoint_fits_the_journal_it_was_made_of_and_what_it_grew_into() {
        let key = PrivateKey::generate(Algorithm::Ed25519).unwrap();
        let checkpoint = Checkpoint::open(&note(&key, &LINES[..2]), "r", &key.public()).unwrap();
        assert_eq!((checkpoint.size, checkpoint.stage.as_str()), (2, "fault"));
        assert_eq!(checkpoint.fits(&LINES), Ok(()));
        assert_eq!(checkpoint.fits(&LINES[..1]), Err(CheckpointError::OtherJournal(2)), "cut");
        assert_eq!(checkpoint.fits(&[b"one", b"tvo"]), Err(CheckpointError::OtherJournal(2)), "changed");
    }

    #[test]
    fn every_changed_byte_and_another_run_or_key_are_refused() {
        let key = PrivateKey::generate(Algorithm::Ed25519).unwrap();
        let note = note(&key, &LINES);
        for at in 0..note.len() {
            let mut bytes = note.clone().into_bytes();
            bytes[at] ^= 1;
            let Ok(changed) = String::from_utf8(bytes) else { continue };
            assert!(Checkpoint::open(&changed, "r", &key.public()).is_err(), "byte {at}");
        }
        assert!(Checkpoint::open(&note, "s", &key.public()).is_err());
        let other = PrivateKey::generate(Algorithm::Ed25519).unwrap().public();
        assert_eq!(Checkpoint::open(&note, "r", &other), Err(CheckpointError::BadSignature));
        assert!(Checkpoint::open(&format!("{note}\n"), "r", &key.public()).is_err());
    }

    #[test]
    fn notes_in_one_file_come_apart_again() {
        let key = PrivateKey::generate(Algorithm::Ed25519).unwrap();
        let all: Vec<String> = (1..=3).map(|n| note(&key, &LINES[..n])).collect();
        assert_eq!(notes(&all.concat()), all);
        assert_eq!(notes(&format!("{}x", all.concat())).len(), 4, "a rest is a note, and no good one");
    }
}
