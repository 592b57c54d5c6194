//! The evidence bundle of a run on disk: assembled, signed once, written to a folder.
//!
//! A signature is kept in the run's folder under the hash of what it signs, and used again: the same
//! run gives the same bundle, byte for byte, also where signing draws randomness. So is the answer of a
//! timestamp authority, under the hash of the signature that it stamps.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use super::material::{Folder, optional};
use super::session::command;
use super::signer::{KeyName, Signer};
use super::{CliError, Global, out, timestamp};
use crate::bundle::{self, Files, Sources, Stamp, seal};
use crate::evidence::Record;
use crate::evidence::dsse::Envelope;
use crate::evidence::keys::PublicKey;
use crate::evidence::statement::{Statement, digest};
use crate::evidence::timestamp::Timestamp;
use crate::journal::runs::RunDir;
use crate::model::RunId;

/// Which key signed last, beside its public half in [`bundle::KEY`].
const KEY_NAME: &str = "signing.name";

/// The bundle of a finished run, signed by the key that is named, else by the configured one.
pub fn bundle(
    global: &Global,
    dir: &RunDir,
    folder: &Folder,
    record: &Record,
    key: Option<&str>,
) -> Result<Files, CliError> {
    if record.result.verdict.is_none() {
        return Err(CliError::usage(format!(
            "run {} is not finished; a bundle is made of finished runs",
            dir.id()
        ))
        .hint(format!(
            "go on with: {}\nor put everything back: {}",
            command(global, "resume", dir),
            command(global, "rollback", dir)
        )));
    }
    let mut sources = Sources { files: folder.sources(dir)? };
    let settings = bundle::settings(&global.settings.settings());
    sources.files.extend(settings.map(|bytes| (bundle::SETTINGS.to_owned(), bytes)));
    if let Some(authority) = &record.integrity.timestamp_authority {
        timestamp::check(authority)?;
    }
    let name = KeyName::chosen(global, key)?;
    // the key that signed it before, so that an unchanged run needs no private key
    let before = signed_before(dir, &name)?;
    if let Some(key) = &before
        && let Ok(files) = Unsigned::of(record, &sources, key)?.kept(dir, key)?
    {
        return Ok(files);
    }
    let signer = Signer::open(global, &name)?;
    let key = signer.public();
    if record.review.sign_offs.iter().any(|s| s.key == key.fingerprint()) {
        return Err(CliError::refused(
            "that key signed the review of this run; it cannot sign its bundle, too",
        )
        .hint("a bundle is signed by those who ran the drill"));
    }
    let unsigned = match Unsigned::of(record, &sources, key)?.kept(dir, key)? {
        Ok(files) => return Ok(files),
        Err(unsigned) => unsigned,
    };
    let failed = |e| CliError::internal("the signature could not be kept").because(e);
    let envelope = match signed(dir, key, &unsigned.payload)? {
        Some(envelope) => envelope,
        None => {
            let envelope = signer.envelope(&unsigned.payload)?;
            dir.write(&kept(&unsigned.payload), &envelope.to_bytes()).map_err(failed)?;
            envelope
        }
    };
    dir.write(bundle::KEY, key.to_pem().as_bytes()).map_err(failed)?;
    dir.write(KEY_NAME, name.to_string().as_bytes()).map_err(failed)?;
    let authority = record.integrity.timestamp_authority.as_deref();
    let stamp = authority.map(|a| stamp(dir, &signer, a, &envelope)).transpose()?;
    Ok(bundle::sealed(unsigned.content, &envelope, stamp.as_ref()))
}

/// The public half of the key that signed this run's bundle before, if that is the key of this name. A
/// file is opened each time: it has to be there. AWS KMS is not asked again.
fn signed_before(dir: &RunDir, name: &KeyName) -> Result<Option<PublicKey>, CliError> {
    let said = optional(dir, KEY_NAME)?;
    let same = match name {
        // runs signed before names were kept were signed by the state folder's own
        KeyName::Own => said.is_none_or(|said| said == name.to_string().as_bytes()),
        KeyName::Kms(_) => said.is_some_and(|said| said == name.to_string().as_bytes()),
        KeyName::File(_) => false,
    };
    if !same {
        return Ok(None);
    }
    let pem = optional(dir, bundle::KEY)?;
    Ok(pem.and_then(|pem| PublicKey::from_pem(&String::from_utf8_lossy(&pem)).ok()))
}

/// A bundle that lacks its signature.
struct Unsigned {
    content: Files,
    payload: Vec<u8>,
    authority: Option<String>,
}

impl Unsigned {
    fn of(record: &Record, sources: &Sources, key: &PublicKey) -> Result<Self, CliError> {
        let content = bundle::content(record, sources, key)
            .map_err(|e| CliError::internal("the bundle cannot be made").because(e))?;
        let payload = bundle::statement(record, &content).to_bytes();
        Ok(Self { content, payload, authority: record.integrity.timestamp_authority.clone() })
    }

    /// The bundle with what this key signed before and the timestamp of that, if all of it is there.
    fn kept(self, dir: &RunDir, key: &PublicKey) -> Result<Result<Files, Self>, CliError> {
        let Some(envelope) = signed(dir, key, &self.payload)? else { return Ok(Err(self)) };
        let stamp = match &self.authority {
            None => None,
            Some(authority) => {
                let Some(response) = stamped(dir, &envelope)? else { return Ok(Err(self)) };
                let payload = seal::statement(authority, &envelope, &response).to_bytes();
                let Some(seal) = signed(dir, key, &payload)? else { return Ok(Err(self)) };
                Some(Stamp { response, seal })
            }
        };
        Ok(Ok(bundle::sealed(self.content, &envelope, stamp.as_ref())))
    }
}

/// The timestamp of a signature and the seal over it: what is kept, else asked for and signed.
fn stamp(dir: &RunDir, signer: &Signer, authority: &str, envelope: &Envelope) -> Result<Stamp, CliError> {
    let failed = |e| CliError::internal("the timestamp could not be kept").because(e);
    let response = match stamped(dir, envelope)? {
        Some(response) => response,
        None => {
            let (response, clocks) = timestamp::ask(authority, &envelope.signature())?;
            clocks.iter().for_each(|warning| out::note(warning));
            dir.write(&kept_response(envelope), &response).map_err(failed)?;
            response
        }
    };
    let payload = seal::statement(authority, envelope, &response).to_bytes();
    let seal = match signed(dir, signer.public(), &payload)? {
        Some(seal) => seal,
        None => {
            let seal = signer.envelope(&payload)?;
            dir.write(&kept(&payload), &seal.to_bytes()).map_err(failed)?;
            seal
        }
    };
    Ok(Stamp { response, seal })
}

/// The envelope that this key made over a payload before, if it did.
fn signed(dir: &RunDir, key: &PublicKey, payload: &[u8]) -> Result<Option<Envelope>, CliError> {
    let envelope = optional(dir, &kept(payload))?.and_then(|b| Envelope::from_bytes(&b).ok());
    Ok(envelope.filter(|e| e.verify(key).is_ok_and(|signed| signed == payload)))
}

/// The timestamp of an envelope's signature that was got before, if there is one that holds.
fn stamped(dir: &RunDir, envelope: &Envelope) -> Result<Option<Vec<u8>>, CliError> {
    let response = optional(dir, &kept_response(envelope))?;
    Ok(response.filter(|r| Timestamp::read(r, &envelope.signature()).is_ok()))
}

fn kept_response(envelope: &Envelope) -> String {
    format!("timestamp-{}.tsr", &digest(&envelope.signature())[..16])
}

fn kept(payload: &[u8]) -> String {
    format!("signature-{}.dsse.json", &digest(payload)[..16])
}

/// The run that a bundle is of, as its envelope says.
fn run_of(envelope: &Path) -> Option<String> {
    let payload = Envelope::from_bytes(&super::files::bytes(envelope).ok()?).ok()?.payload();
    let statement: Statement = serde_json::from_slice(&payload).ok()?;
    let configuration = statement.predicate["configuration"].as_array()?.clone();
    configuration.iter().find_map(|c| Some(c["annotations"]["run"].as_str()?.to_owned()))
}

/// Writes the files. The folder must be new, empty, or hold an older bundle of the same run (its envelope, and nothing
/// of another name).
pub fn write(folder: &Path, run: &RunId, files: &Files) -> Result<(), CliError> {
    let failed = |e: io::Error| {
        CliError::usage(format!("the bundle cannot be written to {}", folder.display())).because(e)
    };
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
    let envelope = folder.join(bundle::ENVELOPE);
    let foreign = !envelope.exists();
    if let Some(other) = run_of(&envelope).filter(|other| other != run.as_str()) {
        return Err(CliError::usage(format!(
            "{} holds the bundle of run {other}, and this is run {run}",
            folder.display()
        ))
        .hint("name another folder with --out; nothing was written"));
    }
    for entry in fs::read_dir(folder).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name().to_string_lossy().into_owned();
        if foreign || !files.contains_key(&name) {
            return Err(CliError::usage(format!(
                "{} holds {name}, which is no part of the bundle",
                folder.display()
            ))
            .hint("write into a folder of its own: a bundle with anything beside it is refused"));
        }
    }
    let no_follow = rustix::fs::OFlags::NOFOLLOW.bits() as i32;
    // the envelope first: it marks the folder as a bundle's, so that one half written can be written again
    let first = files.get_key_value(bundle::ENVELOPE);
    for (name, bytes) in first.into_iter().chain(files.iter().filter(|(n, _)| *n != bundle::ENVELOPE)) {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600).custom_flags(no_follow);
        let mut file = options.open(folder.join(name)).map_err(failed)?;
        file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed)?;
    }
    Ok(())
}
