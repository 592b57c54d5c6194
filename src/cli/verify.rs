//! `redrill verify`: checks a bundle offline and says what that proves.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use super::{CliError, Global, Output, out};
use crate::bundle::verify::{Findings, Trust, verify};
use crate::bundle::{self, Files, published};
use crate::evidence::keys::PublicKey;
use crate::model::{Clock as _, time::SystemClock};
use crate::report::clean;

/// The largest bundle that is read, in bytes.
const LARGEST: u64 = 1 << 30;

/// Check an evidence bundle; says what is proven and what is not.
///
/// Needs no network, no configuration and no state. Exit code 0 only if all of it holds, else 1.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The bundle's folder.
    path: PathBuf,
    /// The signer's public key, got another way than with the bundle.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// The signer's fingerprint, got another way than with the bundle: `SHA256:…`.
    #[arg(long, value_name = "TEXT")]
    fingerprint: Option<String>,
    /// Certificates (PEM), got another way than with the bundle, that a timestamp authority must be
    /// certified by.
    #[arg(long, value_name = "FILE")]
    timestamp_ca: Option<PathBuf>,
    /// CloudTrail's public keys, got from AWS and not with the bundle: what `aws cloudtrail list-public-keys`
    /// prints. The trail's digests in the bundle must be signed under them.
    #[arg(long, value_name = "FILE")]
    cloudtrail_keys: Option<PathBuf>,
    /// The receipt of its publication: whether it is of this bundle, and what it says.
    #[arg(long, value_name = "FILE")]
    receipt: Option<PathBuf>,
}

pub fn run(global: &Global, args: &VerifyArgs) -> Result<u8, CliError> {
    let key = match &args.key {
        None => None,
        Some(path) => {
            let failed = || CliError::usage(format!("the key {} cannot be used", path.display()));
            let text = super::files::read(path).map_err(|e| failed().because(e))?;
            Some(PublicKey::from_pem(&text).map_err(|e| failed().because(e))?)
        }
    };
    let timestamp_roots = args.timestamp_ca.as_deref().map(certificates).transpose()?;
    let cloudtrail_keys = args.cloudtrail_keys.as_deref().map(super::reconcile::keys).transpose()?;
    let now = Some(SystemClock.now());
    let trust = Trust { key, fingerprint: args.fingerprint.clone(), now, timestamp_roots, cloudtrail_keys };
    let copy = match &args.receipt {
        None => None,
        Some(path) => Some(super::files::bytes(path).map_err(|e| {
            CliError::usage(format!("the receipt {} cannot be read", path.display())).because(e)
        })?),
    };
    if args.path.is_file() {
        return Err(CliError::usage(format!("{} is a file; a bundle is a folder", args.path.display()))
            .hint(if folder_of(&args.path).join(bundle::ENVELOPE).exists() {
                format!("redrill verify {}", folder_of(&args.path).display())
            } else {
                format!(
                    "a receipt is checked against its bundle: redrill verify DIR --receipt {}",
                    args.path.display()
                )
            }));
    }
    if let Some(run) = run_in(&args.path) {
        return Err(CliError::usage(format!(
            "{} is the folder of a run, and no bundle",
            args.path.display()
        ))
        .hint(format!("make a bundle of it: redrill report {run} --out DIR, then: redrill verify DIR")));
    }
    let found = match read(&args.path)? {
        Ok(files) => {
            let mut found = verify(&files, &trust);
            if let Some(copy) = copy {
                found.add(published::check(&files, &copy));
            }
            found
        }
        Err(broken) => Findings { broken: vec![broken], ..Findings::default() },
    };
    match global.output {
        Output::Json => out::json(&serde_json::json!({
            "ok": found.all_hold(), "holds": found.holds, "broken": found.broken, "caveats": found.caveats,
            "unproven": found.unproven,
        })),
        Output::Text => show(&found),
    }
    Ok(u8::from(!found.all_hold()))
}

/// The run whose own folder this is: one of a state folder's `runs`, with a journal and no envelope.
fn run_in(path: &Path) -> Option<String> {
    let whole = fs::canonicalize(path).ok()?;
    let is_run = whole.parent()?.file_name()? == "runs"
        && whole.join(bundle::JOURNAL).is_file()
        && !whole.join(bundle::ENVELOPE).exists();
    Some(whole.file_name()?.to_string_lossy().into_owned()).filter(|_| is_run)
}

/// The folder that a file lies in.
fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|f| !f.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The certificates of a PEM file.
fn certificates(path: &Path) -> Result<Vec<Vec<u8>>, CliError> {
    let failed = || CliError::usage(format!("the certificates {} cannot be used", path.display()));
    let text = super::files::bytes(path).map_err(|e| failed().because(e))?;
    let all: Result<Vec<_>, _> =
        CertificateDer::pem_slice_iter(&text).map(|c| c.map(|c| c.to_vec())).collect();
    let all = all.map_err(|e| failed().because(e))?;
    if all.is_empty() {
        return Err(failed().hint("the file holds no certificate in PEM"));
    }
    Ok(all)
}

fn show(found: &Findings) {
    for line in &found.holds {
        out::line(&format!("ok      {}", clean(line)));
    }
    for line in &found.caveats {
        out::line(&format!("NOTE    {}", clean(line)));
    }
    for line in &found.broken {
        out::line(&format!("BROKEN  {}", clean(line)));
    }
    if found.all_hold() {
        out::line("\nProven: nothing in this bundle was changed since it was signed.");
        if !found.caveats.is_empty() {
            out::line("Read the lines marked NOTE: what they name could not be checked, or is odd.");
        }
    } else {
        out::line("\nDo not rely on this bundle.");
    }
    if !found.unproven.is_empty() {
        out::line("\nNot proven by this bundle alone:");
        for line in &found.unproven {
            out::line(&format!("- {}", clean(line)));
        }
    }
}

/// The folder's files; or why it is no bundle, whatever its content.
fn read(folder: &Path) -> Result<Result<Files, String>, CliError> {
    let failed = |e: io::Error| CliError::usage(format!("{} cannot be read", folder.display())).because(e);
    let mut files = Files::new();
    let mut size = 0;
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let kind = entry.file_type().map_err(failed)?;
        if !kind.is_file() {
            return Ok(Err(format!("{name} is no regular file, and a bundle has nothing else")));
        }
        size += entry.metadata().map_err(failed)?.len();
        if size > LARGEST {
            return Ok(Err("the folder is larger than any bundle".to_owned()));
        }
        files.insert(name, fs::read(entry.path()).map_err(failed)?);
    }
    Ok(Ok(files))
}
