//! The evidence bundle of a run on disk: assembled, signed once, written to a folder.
//!
//! A signature is kept in the run's folder under the hash of what it signs, and used again: the same
//! run gives the same bundle, byte for byte, also where signing draws randomness.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use super::material::{Folder, optional};
use super::{CliError, Global, keys};
use crate::bundle::{self, Files, Sources};
use crate::evidence::Record;
use crate::evidence::dsse::{Envelope, pae};
use crate::evidence::keys::PublicKey;
use crate::evidence::statement::digest;
use crate::journal::runs::RunDir;

/// The bundle of a finished run.
pub fn bundle(global: &Global, dir: &RunDir, folder: &Folder, record: &Record) -> Result<Files, CliError> {
    if record.result.verdict.is_none() {
        return Err(CliError::usage(format!(
            "run {} is not finished; a bundle is made of finished runs",
            dir.id()
        ))
        .hint(format!("go on with: redrill resume {0}, or: redrill rollback {0}", dir.id())));
    }
    let sources = Sources { files: folder.sources(dir)? };
    // the key that signed it before, so that an unchanged run needs no private key
    if let Some(pem) = optional(dir, bundle::KEY)?
        && let Ok(key) = PublicKey::from_pem(&String::from_utf8_lossy(&pem))
    {
        let content = bundle::content(record, &sources, &key).map_err(unmade)?;
        let payload = bundle::statement(record, &content).to_bytes();
        if let Some(bytes) = optional(dir, &kept(&payload))?
            && let Ok(envelope) = Envelope::from_bytes(&bytes)
            && envelope.verify(&key).is_ok_and(|signed| signed == payload)
        {
            return Ok(bundle::sealed(content, &envelope));
        }
    }
    let key = keys::signing(&global.state)?;
    let public = key.public();
    let content = bundle::content(record, &sources, &public).map_err(unmade)?;
    let payload = bundle::statement(record, &content).to_bytes();
    let signature =
        key.sign(&pae(&payload)).map_err(|e| CliError::internal("the key does not sign").because(e))?;
    let envelope = Envelope::new(&payload, &public, &signature);
    let failed = |e| CliError::internal("the signature could not be kept").because(e);
    dir.write(&kept(&payload), &envelope.to_bytes()).map_err(failed)?;
    dir.write(bundle::KEY, public.to_pem().as_bytes()).map_err(failed)?;
    Ok(bundle::sealed(content, &envelope))
}

fn unmade(e: bundle::BundleError) -> CliError {
    CliError::internal("the bundle cannot be made").because(e)
}

fn kept(payload: &[u8]) -> String {
    format!("signature-{}.dsse.json", &digest(payload)[..16])
}

/// Writes the files. The folder must be new, empty, or hold an older bundle of the same names only.
pub fn write(folder: &Path, files: &Files) -> Result<(), CliError> {
    let failed = |e: io::Error| {
        CliError::usage(format!("the bundle cannot be written to {}", folder.display())).because(e)
    };
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
    for entry in fs::read_dir(folder).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name().to_string_lossy().into_owned();
        if !files.contains_key(&name) {
            return Err(CliError::usage(format!(
                "{} holds {name}, which is no part of the bundle",
                folder.display()
            ))
            .hint("write into a folder of its own: a bundle with anything beside it is refused"));
        }
    }
    let no_follow = rustix::fs::OFlags::NOFOLLOW.bits() as i32;
    for (name, bytes) in files {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600).custom_flags(no_follow);
        let mut file = options.open(folder.join(name)).map_err(failed)?;
        file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed)?;
    }
    Ok(())
}
