//! `redrill init`: the keys that sign evidence.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::signer::KeyName;
use super::{CliError, Global, Output, keys, out};
use crate::evidence::keys::Algorithm;

/// Make the keys that sign evidence.
///
/// Without --key: the signing key and the checkpoint key of this state folder. With --key: one key in
/// a file of its own, for a reviewer who signs off. A passphrase is taken from REDRILL_KEY_PASSPHRASE.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// Make one key in this file instead, for `redrill sign-off`.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// The kind of key.
    #[arg(long, value_enum, default_value_t = KeyType::Ed25519)]
    key_type: KeyType,
}

/// Kinds of keys.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum KeyType {
    /// Ed25519.
    Ed25519,
    /// ECDSA on P-256.
    P256,
}

pub fn run(global: &Global, args: &InitArgs) -> Result<u8, CliError> {
    let path = match (&args.key, KeyName::chosen(global, None)?) {
        (Some(path), _) => path.clone(),
        (None, KeyName::File(path)) => path,
        (None, KeyName::Own) => keys::signing_path(&global.state)?,
        (None, name @ KeyName::Kms(_)) => {
            return Err(CliError::usage(format!("the configuration names a key of AWS KMS, {name}"))
                .hint("there is nothing to make here; checkpoint keys are made when the first run needs one")
                .hint("a key in a file: redrill init --key FILE"));
        }
    };
    let algorithm = match args.key_type {
        KeyType::Ed25519 => Algorithm::Ed25519,
        KeyType::P256 => Algorithm::P256,
    };
    let passphrase = keys::passphrase();
    let key = keys::make(&path, algorithm, passphrase.as_deref())?.public();
    if args.key.is_none() {
        let _made_or_there = keys::checkpoint(global)?;
    }
    match global.output {
        Output::Text => {
            out::line(&format!("key          {}", path.display()));
            out::line(&format!("fingerprint  {}", key.fingerprint()));
            out::line(&format!("passphrase   {}", if passphrase.is_some() { "yes" } else { "no" }));
            out::line("\nPublish the fingerprint where auditors find it, and keep a copy of the key.");
        }
        Output::Json => out::json(&serde_json::json!({
            "key": path, "fingerprint": key.fingerprint(), "public": key.to_pem(), "passphrase": passphrase.is_some(),
        })),
    }
    Ok(0)
}
