//! Signing keys: Ed25519 and ECDSA P-256, as PEM files that openssl reads. No I/O; generating draws
//! randomness from the operating system.
//!
//! Private keys are PKCS#8, under a passphrase if wished (PBES2 with scrypt and AES-256). A public key
//! has one byte form only, so a file that is not exactly that is refused. Fingerprints are those of
//! `ssh-keygen -l`: `SHA256:` and the base64 of the OpenSSH form's hash.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair as _, UnparsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use der::asn1::OctetStringRef;
use der::{Decode as _, Encode as _, Reader as _};
use pem_rfc7468::LineEnding;

use super::merkle::sha256;

const PRIVATE: &str = "PRIVATE KEY";
const ENCRYPTED: &str = "ENCRYPTED PRIVATE KEY";
const PUBLIC: &str = "PUBLIC KEY";
/// The DER of a public key up to the key itself (RFC 8410, RFC 5480).
const ED25519_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
const P256_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// The order of the curve P-256 (FIPS 186-5), big-endian.
const ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc,
    0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

/// Why a key cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not a key in PEM.
    #[error("this is no key in PEM: {0}")]
    NotPem(String),
    /// Another kind of key.
    #[error("only Ed25519 and ECDSA P-256 keys are supported")]
    Unsupported,
    /// The passphrase is missing.
    #[error("the key has a passphrase")]
    NeedsPassphrase,
    /// The passphrase is wrong, or the file is damaged.
    #[error("the passphrase does not open the key")]
    WrongPassphrase,
    /// A public key that is not written in the one form that is accepted.
    #[error("the public key is not written in its canonical form")]
    NotCanonical,
    /// The library refused.
    #[error("the key could not be made or used")]
    Refused,
}

/// The kinds of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// Ed25519 (RFC 8032).
    Ed25519,
    /// ECDSA on P-256 with SHA-256, signatures in DER.
    P256,
}

/// A private key.
#[derive(Debug)]
pub struct PrivateKey(Pair);

#[derive(Debug)]
enum Pair {
    Ed25519(Box<Ed25519KeyPair>, Vec<u8>),
    P256(Box<EcdsaKeyPair>, Vec<u8>),
}

/// A public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    algorithm: Algorithm,
    // Ed25519: 32 bytes; P-256: the uncompressed point, 65 bytes
    raw: Vec<u8>,
}

impl PrivateKey {
    /// A new key.
    ///
    /// # Errors
    /// When the operating system gives no randomness.
    pub fn generate(algorithm: Algorithm) -> Result<Self, KeyError> {
        let der = match algorithm {
            Algorithm::Ed25519 => Ed25519KeyPair::generate()
                .and_then(|pair| pair.to_pkcs8v1())
                .map_err(|_| KeyError::Refused)?
                .as_ref()
                .to_vec(),
            Algorithm::P256 => EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING)
                .and_then(|pair| pair.to_pkcs8v1())
                .map_err(|_| KeyError::Refused)?
                .as_ref()
                .to_vec(),
        };
        Self::from_der(der)
    }

    fn from_der(der: Vec<u8>) -> Result<Self, KeyError> {
        if let Ok(pair) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der) {
            return Ok(Self(Pair::Ed25519(Box::new(pair), der)));
        }
        match EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &der) {
            Ok(pair) => Ok(Self(Pair::P256(Box::new(pair), der))),
            Err(_) => Err(KeyError::Unsupported),
        }
    }

    /// What a passphrase gave: one wrong passphrase in 256 also gives bytes, but they are no key.
    fn opened(der: Vec<u8>) -> Result<Self, KeyError> {
        let whole = der::SliceReader::new(&der).and_then(|mut r| {
            let header = der::Header::decode(&mut r)?;
            header.tag().assert_eq(der::Tag::Sequence)?;
            r.read_slice(header.length())?;
            r.finish()
        });
        whole.map_err(|_| KeyError::WrongPassphrase)?;
        Self::from_der(der)
    }

    /// Reads PKCS#8 in PEM.
    ///
    /// # Errors
    /// Where it is no key, another kind of key, or the passphrase is missing or wrong.
    pub fn from_pem(text: &str, passphrase: Option<&str>) -> Result<Self, KeyError> {
        let (label, der) =
            pem_rfc7468::decode_vec(text.as_bytes()).map_err(|e| KeyError::NotPem(e.to_string()))?;
        match label {
            PRIVATE => Self::from_der(der),
            ENCRYPTED => {
                let passphrase = passphrase.ok_or(KeyError::NeedsPassphrase)?;
                Self::opened(decrypt(&der, passphrase)?)
            }
            other => Err(KeyError::NotPem(format!("it is a {other}"))),
        }
    }

    /// Writes PKCS#8 in PEM, under a passphrase if one is given.
    ///
    /// # Errors
    /// When the operating system gives no randomness.
    pub fn to_pem(&self, passphrase: Option<&str>) -> Result<String, KeyError> {
        let (Pair::Ed25519(_, der) | Pair::P256(_, der)) = &self.0;
        let (label, der) = match passphrase {
            None => (PRIVATE, der.clone()),
            Some(passphrase) => (ENCRYPTED, encrypt(der, passphrase)?),
        };
        pem_rfc7468::encode_string(label, LineEnding::LF, &der).map_err(|_| KeyError::Refused)
    }

    /// Its public half.
    pub fn public(&self) -> PublicKey {
        match &self.0 {
            Pair::Ed25519(pair, _) => {
                PublicKey { algorithm: Algorithm::Ed25519, raw: pair.public_key().as_ref().to_vec() }
            }
            Pair::P256(pair, _) => {
                PublicKey { algorithm: Algorithm::P256, raw: pair.public_key().as_ref().to_vec() }
            }
        }
    }

    /// Signs a message.
    ///
    /// # Errors
    /// When the operating system gives no randomness (P-256).
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        match &self.0 {
            Pair::Ed25519(pair, _) => Ok(pair.sign(message).as_ref().to_vec()),
            Pair::P256(pair, _) => pair
                .sign(&SystemRandom::new(), message)
                .ok()
                .and_then(|s| one_form(s.as_ref()))
                .ok_or(KeyError::Refused),
        }
    }
}

/// The one form of an ECDSA signature in DER that is accepted: with (r, s), (r, n − s) is a signature of the
/// same message, and whoever swaps them has changed a signed file. The lower s is the form.
///
/// `None` where it is no signature of P-256 in DER.
pub fn one_form(signature: &[u8]) -> Option<Vec<u8>> {
    let (r, s) = parts(signature)?;
    let other = rest_of_order(&s)?;
    let low = s.min(other);
    let integers = [r, low].map(|n| der::asn1::UintRef::new(&n).and_then(|n| n.to_der()));
    let body: Vec<u8> = integers.into_iter().collect::<Result<Vec<_>, _>>().ok()?.concat();
    let header = der::Header::new(der::Tag::Sequence, der::Length::new(u32::try_from(body.len()).ok()?));
    Some([header.to_der().ok()?, body].concat())
}

/// r and s, big-endian.
fn parts(signature: &[u8]) -> Option<([u8; 32], [u8; 32])> {
    let mut outer = der::SliceReader::new(signature).ok()?;
    let read = |reader: &mut der::SliceReader<'_>| {
        let number = der::asn1::UintRef::decode(reader)?;
        let bytes = number.as_bytes();
        let mut out = [0; 32];
        let from = out.len().checked_sub(bytes.len()).ok_or(der::ErrorKind::Overlength)?;
        out[from..].copy_from_slice(bytes);
        Ok::<_, der::Error>(out)
    };
    let both = outer.sequence(|reader| Ok::<_, der::Error>((read(reader)?, read(reader)?))).ok()?;
    outer.finish().ok()?;
    Some(both)
}

/// n − s; `None` where s is none of 1 to n − 1.
fn rest_of_order(s: &[u8; 32]) -> Option<[u8; 32]> {
    if *s == [0; 32] || *s >= ORDER {
        return None;
    }
    let (mut out, mut borrow) = ([0; 32], 0);
    for i in (0..32).rev() {
        let difference = i16::from(ORDER[i]) - i16::from(s[i]) - borrow;
        borrow = i16::from(difference < 0);
        out[i] = u8::try_from(difference.rem_euclid(256)).ok()?;
    }
    Some(out)
}

/// `EncryptedPrivateKeyInfo` (RFC 5958): the algorithm, then the encrypted bytes.
fn encrypt(der: &[u8], passphrase: &str) -> Result<Vec<u8>, KeyError> {
    let refused = |_| KeyError::Refused;
    let scheme = pkcs5::EncryptionScheme::generate();
    let bytes = scheme.encrypt(passphrase, der).map_err(|_| KeyError::Refused)?;
    let body = OctetStringRef::new(&bytes).map_err(|_| KeyError::Refused)?;
    let mut out = scheme.to_der().map_err(refused)?;
    out.extend(body.to_der().map_err(refused)?);
    let length = u32::try_from(out.len()).map_err(|_| KeyError::Refused)?;
    let header = der::Header::new(der::Tag::Sequence, der::Length::new(length));
    let mut whole = header.to_der().map_err(refused)?;
    whole.extend(out);
    Ok(whole)
}

fn decrypt(der: &[u8], passphrase: &str) -> Result<Vec<u8>, KeyError> {
    let mut reader = der::SliceReader::new(der).map_err(|e| KeyError::NotPem(e.to_string()))?;
    let parts = |r: &mut der::SliceReader<'_>| -> der::Result<(pkcs5::EncryptionScheme, Vec<u8>)> {
        der::Header::decode(r)?.tag().assert_eq(der::Tag::Sequence)?;
        let scheme = pkcs5::EncryptionScheme::decode(r)?;
        let body = <&OctetStringRef>::decode(r)?.as_bytes().to_vec();
        Ok((scheme, body))
    };
    let (scheme, body) = parts(&mut reader).map_err(|e| KeyError::NotPem(e.to_string()))?;
    if !reader.is_finished() {
        return Err(KeyError::NotPem("something follows the key".to_owned()));
    }
    scheme.decrypt(passphrase, &body).map_err(|_| KeyError::WrongPassphrase)
}

impl PublicKey {
    /// The algorithm.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The key's own bytes: 32 of Ed25519, the uncompressed point of P-256.
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    fn prefix(&self) -> &'static [u8] {
        match self.algorithm {
            Algorithm::Ed25519 => &ED25519_PREFIX,
            Algorithm::P256 => &P256_PREFIX,
        }
    }

    /// `SubjectPublicKeyInfo` in DER.
    pub fn to_der(&self) -> Vec<u8> {
        [self.prefix(), &self.raw].concat()
    }

    /// Reads `SubjectPublicKeyInfo` in DER.
    ///
    /// # Errors
    /// Where it is another kind of key.
    pub fn from_der(der: &[u8]) -> Result<Self, KeyError> {
        let key = if let Some(raw) = der.strip_prefix(&ED25519_PREFIX) {
            Self { algorithm: Algorithm::Ed25519, raw: raw.to_vec() }
        } else if let Some(raw) = der.strip_prefix(&P256_PREFIX) {
            Self { algorithm: Algorithm::P256, raw: raw.to_vec() }
        } else {
            return Err(KeyError::Unsupported);
        };
        let length = if key.algorithm == Algorithm::Ed25519 { 32 } else { 65 };
        if key.raw.len() == length { Ok(key) } else { Err(KeyError::NotCanonical) }
    }

    /// The one form in PEM.
    ///
    /// # Panics
    /// Never: a key of this size always encodes.
    pub fn to_pem(&self) -> String {
        pem_rfc7468::encode_string(PUBLIC, LineEnding::LF, &self.to_der()).expect("BUG: a key encodes")
    }

    /// Reads the one form in PEM, and nothing else.
    ///
    /// # Errors
    /// Where it is no public key, or is written in any other way.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let (label, der) =
            pem_rfc7468::decode_vec(text.as_bytes()).map_err(|e| KeyError::NotPem(e.to_string()))?;
        if label != PUBLIC {
            return Err(KeyError::NotPem(format!("it is a {label}")));
        }
        let key = Self::from_der(&der)?;
        if key.to_pem() == text { Ok(key) } else { Err(KeyError::NotCanonical) }
    }

    /// As `ssh-keygen -l` prints it: `SHA256:` and base64 without padding.
    pub fn fingerprint(&self) -> String {
        let mut blob = Vec::new();
        let mut string = |s: &[u8]| {
            blob.extend((s.len() as u32).to_be_bytes());
            blob.extend(s);
        };
        match self.algorithm {
            Algorithm::Ed25519 => string(b"ssh-ed25519"),
            Algorithm::P256 => {
                string(b"ecdsa-sha2-nistp256");
                string(b"nistp256");
            }
        }
        string(&self.raw);
        format!("SHA256:{}", STANDARD_NO_PAD.encode(sha256(&blob)))
    }

    /// Whether the signature over the message is this key's, in its one form.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match self.algorithm {
            Algorithm::Ed25519 => UnparsedPublicKey::new(&ED25519, &self.raw).verify(message, signature),
            Algorithm::P256 if one_form(signature).as_deref() != Some(signature) => return false,
            Algorithm::P256 => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.raw).verify(message, signature)
            }
        }
        .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_signs_and_only_its_own_public_half_verifies() {
        for algorithm in [Algorithm::Ed25519, Algorithm::P256] {
            let key = PrivateKey::generate(algorithm).unwrap();
            let other = PrivateKey::generate(algorithm).unwrap();
            let signature = key.sign(b"message").unwrap();
            assert!(key.public().verifies(b"message", &signature));
            assert!(!key.public().verifies(b"messagf", &signature));
            assert!(!other.public().verifies(b"message", &signature));
            let mut changed = signature;
            changed[10] ^= 1;
            assert!(!key.public().verifies(b"message", &changed));
        }
    }

    #[test]
    fn the_other_half_of_an_ecdsa_signature_is_none() {
        let key = PrivateKey::generate(Algorithm::P256).unwrap();
        for n in 0..64_u8 {
            let signature = key.sign(&[n]).unwrap();
            assert_eq!(one_form(&signature).as_ref(), Some(&signature));
            let (r, s) = parts(&signature).unwrap();
            let high = rest_of_order(&s).unwrap();
            assert_eq!(rest_of_order(&high), Some(s));
            let integer = |n: &[u8]| der::asn1::UintRef::new(n).unwrap().to_der().unwrap();
            let body = [integer(&r), integer(&high)].concat();
            let swapped = [&[0x30, u8::try_from(body.len()).unwrap()], body.as_slice()].concat();
            // the curve takes it, and it is not the form that was signed
            let public = key.public();
            let curve = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &public.raw);
            assert!(curve.verify(&[n], &swapped).is_ok());
            assert!(!key.public().verifies(&[n], &swapped));
            assert_eq!(one_form(&swapped), Some(signature));
        }
        for wrong in [&b""[..], b"\x30\x00", b"\x30\x06\x02\x01\x01\x02\x01\x00", b"no signature"] {
            assert_eq!(one_form(wrong), None);
        }
    }

    #[test]
    fn keys_come_back_from_pem_with_and_without_a_passphrase() {
        for algorithm in [Algorithm::Ed25519, Algorithm::P256] {
            let key = PrivateKey::generate(algorithm).unwrap();
            let plain = key.to_pem(None).unwrap();
            assert_eq!(PrivateKey::from_pem(&plain, None).unwrap().public(), key.public());
            let locked = key.to_pem(Some("correct horse")).unwrap();
            assert!(locked.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"));
            let open = |p| PrivateKey::from_pem(&locked, p).map(|k| k.public());
            assert_eq!(open(Some("correct horse")), Ok(key.public()));
            assert_eq!(open(Some("wrong")).unwrap_err(), KeyError::WrongPassphrase);
            assert_eq!(open(None).unwrap_err(), KeyError::NeedsPassphrase);
        }
    }

    #[test]
    fn what_a_wrong_passphrase_opens_by_chance_is_no_key_of_another_kind() {
        let opened = |der: &[u8]| PrivateKey::opened(der.to_vec()).map(|_| ()).unwrap_err();
        for chance in [&b""[..], b"\x9c\x01\x77", b"\x30\x03\x02\x01", b"\x30\x01\x00\x00"] {
            assert_eq!(opened(chance), KeyError::WrongPassphrase, "{chance:?}");
        }
        assert_eq!(opened(b"\x30\x03\x02\x01\x00"), KeyError::Unsupported, "DER, and no such key");
    }

    #[test]
    fn a_public_key_has_one_byte_form() {
        for algorithm in [Algorithm::Ed25519, Algorithm::P256] {
            let key = PrivateKey::generate(algorithm).unwrap().public();
            let pem = key.to_pem();
            assert_eq!(PublicKey::from_pem(&pem).as_ref(), Ok(&key));
            for other in [pem.replace('\n', "\r\n"), format!("{pem}\n"), pem.trim_end().to_owned()] {
                assert!(PublicKey::from_pem(&other).is_err(), "{other:?}");
            }
        }
    }
}
