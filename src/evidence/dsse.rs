//! Signed statements: the DSSE envelope, and the same in a Sigstore bundle. Pure.
//!
//! One byte form each: what is read is written again and compared, so nothing can hide in a file that
//! carries a signature. Specifications: <https://github.com/secure-systems-lab/dsse> and the Sigstore
//! bundle format, version 0.3.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::keys::PublicKey;

/// The type of what is signed.
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";
const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// Why an envelope cannot be trusted.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum DsseError {
    /// Not an envelope, or written in another way than the one accepted.
    #[error("it is no envelope in its canonical form: {0}")]
    NotCanonical(String),
    /// The signature does not fit.
    #[error("the signature does not fit key {0}")]
    BadSignature(String),
}

/// An envelope with one signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Envelope {
    payload: String,
    #[serde(rename = "payloadType")]
    payload_type: String,
    signatures: Vec<Signature>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Signature {
    keyid: String,
    sig: String,
}

/// What is really signed: type and payload with their lengths.
pub fn pae(payload: &[u8]) -> Vec<u8> {
    let mut out = format!("DSSEv1 {} {PAYLOAD_TYPE} {} ", PAYLOAD_TYPE.len(), payload.len()).into_bytes();
    out.extend(payload);
    out
}

impl Envelope {
    /// The envelope over a payload, with the signature of its [`pae`].
    pub fn new(payload: &[u8], key: &PublicKey, signature: &[u8]) -> Self {
        Self {
            payload: STANDARD.encode(payload),
            payload_type: PAYLOAD_TYPE.to_owned(),
            signatures: vec![Signature { keyid: key.fingerprint(), sig: STANDARD.encode(signature) }],
        }
    }

    /// The one byte form.
    ///
    /// # Panics
    /// Never: an envelope always serialises.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = serde_json::to_vec(self).expect("BUG: an envelope serialises");
        out.push(b'\n');
        out
    }

    /// Reads the one byte form, and nothing else.
    ///
    /// # Errors
    /// Where it is no envelope, has several signatures, or is written in any other way.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DsseError> {
        let not = DsseError::NotCanonical;
        let envelope: Self = serde_json::from_slice(bytes).map_err(|e| not(e.to_string()))?;
        if envelope.payload_type != PAYLOAD_TYPE {
            return Err(not(format!("its payload is {}", envelope.payload_type)));
        }
        if envelope.signatures.len() != 1 {
            return Err(not("it has not exactly one signature".to_owned()));
        }
        // strict decoding, so that each value has one form, too
        for text in [&envelope.payload, &envelope.signatures[0].sig] {
            STANDARD.decode(text).map_err(|e| not(e.to_string()))?;
        }
        if envelope.to_bytes() == bytes { Ok(envelope) } else { Err(not("other bytes".to_owned())) }
    }

    /// The payload.
    pub fn payload(&self) -> Vec<u8> {
        STANDARD.decode(&self.payload).unwrap_or_default()
    }

    /// The signature's bytes.
    pub fn signature(&self) -> Vec<u8> {
        self.signatures.first().and_then(|s| STANDARD.decode(&s.sig).ok()).unwrap_or_default()
    }

    /// The fingerprint that the envelope names.
    pub fn key_id(&self) -> &str {
        self.signatures.first().map_or("", |s| s.keyid.as_str())
    }

    /// The payload, if this key signed it.
    ///
    /// # Errors
    /// Where it names another key or the signature does not fit.
    pub fn verify(&self, key: &PublicKey) -> Result<Vec<u8>, DsseError> {
        let payload = self.payload();
        if self.key_id() == key.fingerprint() && key.verifies(&pae(&payload), &self.signature()) {
            Ok(payload)
        } else {
            Err(DsseError::BadSignature(key.fingerprint()))
        }
    }

    /// The Sigstore bundle of it, with timestamps (RFC 3161 tokens in DER) where there are any.
    ///
    /// # Panics
    /// Never: a bundle always serialises.
    pub fn sigstore(&self, timestamps: &[Vec<u8>]) -> Vec<u8> {
        let mut material = serde_json::json!({ "publicKey": { "hint": self.key_id() } });
        if !timestamps.is_empty() {
            let tokens: Vec<_> = timestamps
                .iter()
                .map(|t| serde_json::json!({ "signedTimestamp": STANDARD.encode(t) }))
                .collect();
            material["timestampVerificationData"] = serde_json::json!({ "rfc3161Timestamps": tokens });
        }
        let bundle = serde_json::json!({
            "mediaType": MEDIA_TYPE,
            "verificationMaterial": material,
            "dsseEnvelope": self,
        });
        let mut out = serde_json::to_vec(&bundle).expect("BUG: a bundle serialises");
        out.push(b'\n');
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::keys::{Algorithm, PrivateKey};

    fn signed(payload: &[u8]) -> (PrivateKey, Envelope) {
        let key = PrivateKey::generate(Algorithm::Ed25519).unwrap();
        let envelope = Envelope::new(payload, &key.public(), &key.sign(&pae(payload)).unwrap());
        (key, envelope)
    }

    #[test]
    fn the_pre_authentication_encoding_has_lengths() {
        assert_eq!(pae(b"hello"), b"DSSEv1 28 application/vnd.in-toto+json 5 hello");
    }

    #[test]
    fn an_envelope_comes_back_and_every_changed_byte_is_refused() {
        let (key, envelope) = signed(b"{\"a\":1}");
        let bytes = envelope.to_bytes();
        let read = Envelope::from_bytes(&bytes).unwrap();
        assert_eq!(read.verify(&key.public()).unwrap(), b"{\"a\":1}");
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            let accepted = Envelope::from_bytes(&changed).is_ok_and(|e| e.verify(&key.public()).is_ok());
            assert!(!accepted, "byte {at}");
        }
        for extra in [&b"\n"[..], b" ", b"{}"] {
            assert!(Envelope::from_bytes(&[&bytes, extra].concat()).is_err());
        }
    }

    #[test]
    fn another_key_does_not_verify() {
        let (_, envelope) = signed(b"x");
        let (other, _) = signed(b"x");
        assert!(matches!(envelope.verify(&other.public()), Err(DsseError::BadSignature(_))));
    }
}
