//! Which key signs evidence, and signing with it: a file, or a key in AWS KMS. Files are read in `keys`.
//!
//! `--key` wins over `[evidence] key` in `redrill.toml`; without either it is the state folder's own,
//! made when it is first needed. A key that is named and not there is a refusal, never another key.
//! Every signature is checked against the public key before it is kept. AWS KMS gets a digest, never
//! what is signed.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use super::{CliError, Global, Kind, keys, runtime, world};
use crate::cloud::custody::Kms;
use crate::cloud::{CloudError, ErrorKind};
use crate::evidence::dsse::{Envelope, pae};
use crate::evidence::keys::{Algorithm, PrivateKey, PublicKey, one_form};
use crate::evidence::merkle::sha256;

/// Which key signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyName {
    /// The state folder's own.
    Own,
    /// A file.
    File(PathBuf),
    /// A key in AWS KMS.
    Kms(Arn),
}

/// The ARN of a key, or of an alias, in AWS KMS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arn {
    text: String,
    region: String,
}

impl Arn {
    fn read(text: &str) -> Option<Self> {
        let [arn, _partition, service, region, account, resource] =
            text.splitn(6, ':').collect::<Vec<_>>().try_into().ok()?;
        let (kind, name) = resource.split_once('/')?;
        let good = (arn, service) == ("arn", "kms")
            && !region.is_empty()
            && account.len() == 12
            && ["key", "alias"].contains(&kind)
            && !name.is_empty();
        good.then(|| Self { text: text.to_owned(), region: region.to_owned() })
    }
}

impl KeyName {
    /// The one on the command line, else the configured one, else the state folder's own.
    ///
    /// # Errors
    /// Where an ARN is not that of a key.
    pub fn chosen(global: &Global, named: Option<&str>) -> Result<Self, CliError> {
        named.or(global.settings.evidence.key.as_deref()).map_or(Ok(Self::Own), Self::read)
    }

    /// What a person wrote.
    ///
    /// # Errors
    /// Where an ARN is not that of a key.
    pub fn read(text: &str) -> Result<Self, CliError> {
        if !text.starts_with("arn:") {
            return Ok(Self::File(PathBuf::from(text)));
        }
        Arn::read(text).map(Self::Kms).ok_or_else(|| {
            CliError::usage(format!("{text} is no key of AWS KMS"))
                .hint("write arn:aws:kms:REGION:ACCOUNT:key/ID, or …:alias/NAME")
        })
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own => f.write_str("own"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Kms(arn) => f.write_str(&arn.text),
        }
    }
}

/// What a key of AWS KMS has to be: `SHA-256` and `ECDSA` on P-256, as DSSE's readers know it.
const SPEC: &str = "ECC_NIST_P256";
const USAGE: &str = "SIGN_VERIFY";

/// A key that signs.
pub struct Signer {
    public: PublicKey,
    held: Held,
}

/// Where the private half is.
enum Held {
    Here(PrivateKey),
    // one runtime for all calls: the connection lives in it
    Kms { kms: Arc<dyn Kms>, arn: String, runtime: super::Runtime },
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
            KeyName::Kms(arn) => {
                let runtime = runtime()?;
                let kms = runtime.block_on(world::custody(global, Some(&arn.region)))?.kms;
                return Self::in_kms(kms, &arn.text, runtime);
            }
        };
        Ok(Self { public: key.public(), held: Held::Here(key) })
    }

    /// A key of AWS KMS, if it is of the kind that signs bundles.
    fn in_kms(kms: Arc<dyn Kms>, arn: &str, runtime: super::Runtime) -> Result<Self, CliError> {
        let key = runtime.block_on(kms.public_key(arn)).map_err(|e| refused(arn, e))?;
        let public = PublicKey::from_der(&key.der).ok().filter(|p| p.algorithm() == Algorithm::P256);
        match public {
            Some(public) if (key.spec.as_str(), key.usage.as_str()) == (SPEC, USAGE) => {
                Ok(Self { public, held: Held::Kms { kms, arn: arn.to_owned(), runtime } })
            }
            _ => Err(CliError::usage(format!(
                "the key {arn} is a key {} for {}; what signs bundles is {SPEC} for {USAGE}",
                key.spec, key.usage
            ))
            .hint(format!("make one: aws kms create-key --key-spec {SPEC} --key-usage {USAGE}"))),
        }
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
            Held::Kms { kms, arn, runtime } => {
                let sent = runtime.block_on(kms.sign(arn, &sha256(message))).map_err(|e| refused(arn, e))?;
                // what is no signature at all is told below
                one_form(&sent).unwrap_or(sent)
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

/// Why AWS KMS does not sign, and what to type next.
fn refused(arn: &str, e: CloudError) -> CliError {
    let (kind, what, hint) = match (e.kind, e.code.as_deref()) {
        (_, Some("DisabledException")) => {
            (Kind::Aws, format!("the key {arn} is disabled"), format!("aws kms enable-key --key-id {arn}"))
        }
        (_, Some("KMSInvalidStateException")) => (
            Kind::Aws,
            format!("the key {arn} is in no state to sign"),
            format!("see why: aws kms describe-key --key-id {arn}"),
        ),
        (_, Some("InvalidKeyUsageException" | "UnsupportedOperationException")) => (
            Kind::Usage,
            format!("the key {arn} is not of a kind that signs"),
            format!("make one: aws kms create-key --key-spec {SPEC} --key-usage {USAGE}"),
        ),
        (ErrorKind::Denied, _) => (
            Kind::Aws,
            format!("AWS KMS does not let you use the key {arn}"),
            "allow kms:GetPublicKey and kms:Sign on it, in your policy or the key's".to_owned(),
        ),
        (ErrorKind::NotFound, _) => (
            Kind::Usage,
            format!("there is no key {arn}"),
            "compare region, account and id: aws kms list-keys".to_owned(),
        ),
        _ => return e.into(),
    };
    CliError::new(kind, what).because(e).hint(hint)
}

#[cfg(test)]
mod tests;
