//! Which key signs evidence, and signing with it. Reads key files; the keys themselves are in `keys`.
//!
//! `--key` wins over `[evidence] key` in `redrill.toml`; without either it is the state folder's own,
//! made when it is first needed. A key that is named and not there is a refusal, never another key.
//! Every signature is checked against the public key before it is kept.

use std::fmt;
use std::path::PathBuf;

use super::{CliError, Global, keys};
use crate::evidence::dsse::{Envelope, pae};
use crate::evidence::keys::{PrivateKey, PublicKey};

/// Which key signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyName {
    /// The state folder's own.
    Own,
    /// A file.
    File(PathBuf),
}

impl KeyName {
    /// The one on the command line, else the configured one, else the state folder's own.
    pub fn chosen(global: &Global, named: Option<&str>) -> Self {
        match named.or(global.settings.evidence.key.as_deref()) {
            None => Self::Own,
            Some(text) => Self::read(text),
        }
    }

    /// What a person wrote.
    pub fn read(text: &str) -> Self {
        Self::File(PathBuf::from(text))
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own => f.write_str("own"),
            Self::File(path) => write!(f, "file {}", path.display()),
        }
    }
}

/// A key that signs.
pub struct Signer {
    public: PublicKey,
    held: Held,
}

/// Where the private half is.
enum Held {
    Here(PrivateKey),
}

impl Signer {
    /// Opens the key of that name.
    ///
    /// # Errors
    /// Where it is not there, or cannot be used.
    pub fn open(global: &Global, name: &KeyName) -> Result<Self, CliError> {
        let key = match name {
            KeyName::Own => keys::signing(&global.state)?,
            KeyName::File(path) => keys::named(path)?,
        };
        Ok(Self { public: key.public(), held: Held::Here(key) })
    }

    /// Its public half.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Signs a message: Ed25519, or ECDSA P-256 with SHA-256 in DER.
    ///
    /// # Errors
    /// Where the key does not sign, or what came back does not fit it.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, CliError> {
        let signature = match &self.held {
            Held::Here(key) => {
                key.sign(message).map_err(|e| CliError::internal("the key does not sign").because(e))?
            }
        };
        if self.public.verifies(message, &signature) {
            return Ok(signature);
        }
        Err(CliError::internal(format!(
            "a signature came back that does not fit key {}",
            self.public.fingerprint()
        ))
        .hint("nothing was kept; repeat the command"))
    }

    /// The signed envelope over a payload.
    ///
    /// # Errors
    /// As [`Self::sign`].
    pub fn envelope(&self, payload: &[u8]) -> Result<Envelope, CliError> {
        Ok(Envelope::new(payload, &self.public, &self.sign(&pae(payload))?))
    }
}
