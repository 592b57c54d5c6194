//! Signing keys on disk: `<state>/keys/signing.pem` and `checkpoint.pem`, for their owner only.
//!
//! The signing key signs bundles and may have a passphrase; the checkpoint key is always Ed25519 and
//! has none, since it signs while a drill runs. Either is made when it is first needed, and said; one
//! that the configuration names is never made on the way, and never replaced by another. A link in place
//! of the folder `keys` is not followed.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::{CliError, Global, out};
use crate::evidence::keys::{Algorithm, KeyError, PrivateKey};
use crate::journal::runs;

/// The variable that holds a key's passphrase.
pub const PASSPHRASE: &str = "REDRILL_KEY_PASSPHRASE";

/// Where the key that signs bundles is.
pub fn signing_path(state: &Path) -> Result<PathBuf, CliError> {
    in_keys(state, "signing.pem")
}

fn own_checkpoint_path(state: &Path) -> Result<PathBuf, CliError> {
    in_keys(state, "checkpoint.pem")
}

fn in_keys(state: &Path, name: &str) -> Result<PathBuf, CliError> {
    let folder = runs::within(state, "keys").map_err(|e| {
        CliError::usage(e.to_string()).hint(
            "keys that are elsewhere are named under [evidence] in redrill.toml: `key`, `checkpoint_key`",
        )
    })?;
    Ok(folder.join(name))
}

/// The key that signs bundles; made if there is none.
pub fn signing(state: &Path) -> Result<PrivateKey, CliError> {
    let path = signing_path(state)?;
    match read(&path)? {
        Some(key) => Ok(key),
        None => {
            let key = make(&path, Algorithm::Ed25519, None)?;
            out::note(&format!(
                "made a signing key, {}: {}\nkeep it, and publish its fingerprint where auditors find it",
                path.display(),
                key.public().fingerprint()
            ));
            Ok(key)
        }
    }
}

/// The key that signs checkpoints: the configured file, which has to be there, else the state
/// folder's own, made if there is none.
pub fn checkpoint(global: &Global) -> Result<PrivateKey, CliError> {
    let Some(named) = &global.settings.evidence.checkpoint_key else {
        let path = own_checkpoint_path(&global.state)?;
        return match read(&path)? {
            Some(key) => Ok(key),
            None => make(&path, Algorithm::Ed25519, None),
        };
    };
    let key = named_checkpoint(named)?;
    if key.public().algorithm() != Algorithm::Ed25519 {
        return Err(CliError::usage(format!(
            "the key {named} cannot sign checkpoints: it is no Ed25519 key"
        ))
        .hint("`checkpoint_key` in the configuration takes one made by: redrill init --key FILE"));
    }
    Ok(key)
}

fn named_checkpoint(named: &str) -> Result<PrivateKey, CliError> {
    if named.starts_with("arn:") {
        return Err(CliError::usage("checkpoints are signed on this machine; `checkpoint_key` takes a file")
            .hint("a run must go on signing while AWS cannot be reached; only `key` may be in AWS KMS"));
    }
    self::named(Path::new(named))
}

/// A key that somebody named: it has to be there.
pub fn named(path: &Path) -> Result<PrivateKey, CliError> {
    read(path)?.ok_or_else(|| {
        CliError::usage(format!("there is no key {}", path.display()))
            .hint(format!("make one: redrill init --key {}", path.display()))
    })
}

/// A passphrase from the environment.
pub fn passphrase() -> Option<String> {
    std::env::var(PASSPHRASE).ok().filter(|p| !p.is_empty())
}

/// Reads a private key, if the file is there. Refuses one that others can read.
pub fn read(path: &Path) -> Result<Option<PrivateKey>, CliError> {
    let failed =
        |e: io::Error| CliError::usage(format!("the key {} cannot be read", path.display())).because(e);
    let file = match super::files::open_no_link(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(failed(e)),
    };
    if file.metadata().map_err(failed)?.mode() & 0o077 != 0 {
        return Err(CliError::usage(format!("others can read the key {}", path.display()))
            .hint(format!("chmod 600 {}; and consider it known to them", path.display())));
    }
    let text = super::files::whole(file).and_then(super::files::text).map_err(failed)?;
    PrivateKey::from_pem(&text, passphrase().as_deref()).map(Some).map_err(|e| {
        let error = CliError::usage(format!("the key {} cannot be used", path.display()));
        match e {
            KeyError::NeedsPassphrase => error.because(e).hint(format!("give it in {PASSPHRASE}")),
            e => error.because(e),
        }
    })
}

/// Makes a key, in a file that must not be there yet.
pub fn make(path: &Path, algorithm: Algorithm, passphrase: Option<&str>) -> Result<PrivateKey, CliError> {
    let refused = |e: KeyError| CliError::internal("no key could be made").because(e);
    let key = PrivateKey::generate(algorithm).map_err(refused)?;
    let pem = key.to_pem(passphrase).map_err(refused)?;
    let failed = |e: io::Error| {
        let error = CliError::usage(format!("the key {} cannot be written", path.display()));
        if e.kind() == io::ErrorKind::AlreadyExists {
            error.because(e).hint("a key is never overwritten: if another redrill made it just now, run this again; else move it away and keep it")
        } else {
            error.because(e)
        }
    };
    if let Some(folder) = path.parent().filter(|f| !f.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    file.write_all(pem.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
    Ok(key)
}

/// The fingerprints of the keys on this machine that sign for whoever runs drills here.
pub fn own(global: &Global) -> Result<Vec<String>, CliError> {
    let e = &global.settings.evidence;
    let named = [&e.key, &e.checkpoint_key].into_iter().flatten().filter(|k| !k.starts_with("arn:"));
    let paths = [signing_path(&global.state)?, own_checkpoint_path(&global.state)?];
    let keys = paths.into_iter().chain(named.map(PathBuf::from)).map(|p| read(&p));
    let keys = keys.collect::<Result<Vec<_>, _>>()?;
    Ok(keys.into_iter().flatten().map(|k| k.public().fingerprint()).collect())
}
