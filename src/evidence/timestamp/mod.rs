//! Timestamps of an authority (RFC 3161): what is asked, and whether the answer holds. Pure.
//!
//! What is stamped is the signature of an envelope, as a Sigstore bundle wants it. An answer counts
//! only if all of it holds: its status, what it is about, the authority's signature over that, and the
//! certificate that made it. Whether that authority can be trusted takes a certificate from elsewhere
//! ([`Timestamp::leads_to`]); revocation is not looked up. An answer is read in DER only, and signatures
//! are ECDSA (P-256, P-384, P-521) or RSA (PKCS#1 v1.5) over SHA-2.

mod certificate;
mod der;

use ::der::Tag;
use ::der::asn1::ObjectIdentifier;
use aws_lc_rs::digest;
use chrono::{DateTime, Utc};

use self::certificate::{Certificate, Hash};
use self::der::{Element, Read, not, tagged};
use super::merkle::sha256;

const SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
const TST_INFO: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.1.4");
const CONTENT_TYPE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.3");
const MESSAGE_DIGEST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.4");
const SIGNING_CERTIFICATE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.12");
const SIGNING_CERTIFICATE_V2: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.47");
/// Hashes, with the signatures over them: RSA, ECDSA.
const HASHES: [(Hash, [ObjectIdentifier; 3]); 3] = [
    (
        Hash::Sha256,
        [
            ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1"),
            ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11"),
            ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2"),
        ],
    ),
    (
        Hash::Sha384,
        [
            ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2"),
            ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.12"),
            ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3"),
        ],
    ),
    (
        Hash::Sha512,
        [
            ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.3"),
            ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.13"),
            ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.4"),
        ],
    ),
];
/// RSA over whatever hash the signer names beside it.
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
/// A request, up to the hash (SHA-256), and between that and the nonce; then `certReq TRUE`.
const REQUEST: [u8; 24] = [
    0x30, 0x43, 0x02, 0x01, 0x01, 0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03,
    0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20,
];
const CERTIFICATE_PLEASE: [u8; 3] = [0x01, 0x01, 0xff];

const RESPONSE: &str = "the response";
const TOKEN: &str = "the token";
const SIGNER: &str = "the authority's signature";

/// Why a timestamp does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimestampError {
    /// It is no timestamp, or not in DER.
    #[error("{0} is not what RFC 3161 says, or is not in DER")]
    NotRead(String),
    /// The authority said no.
    #[error("the authority does not grant it: status {0}{1}")]
    NotGranted(String, String),
    /// It stamps something else.
    #[error("it is a timestamp of something else")]
    OfSomethingElse,
    /// It answers another request.
    #[error("it is the answer to another request: the nonce differs")]
    OtherNonce,
    /// The certificate.
    #[error("the authority's certificate does not serve: {0}")]
    Certificate(String),
    /// The signature.
    #[error("the authority's signature does not hold")]
    Signature,
    /// Something that this version cannot check.
    #[error("it is signed in a way that redrill cannot check ({0})")]
    Unsupported(ObjectIdentifier),
}

/// What is asked of an authority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    imprint: [u8; 32],
    nonce: [u8; 8],
}

/// An answer that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timestamp {
    /// The authority's time (UTC).
    pub at: DateTime<Utc>,
    /// The authority, as its certificate says.
    pub authority: String,
    nonce: Option<Vec<u8>>,
    certificate: Vec<u8>,
    others: Vec<Vec<u8>>,
}

impl Request {
    /// For the time of these bytes, with eight random ones to know the answer by.
    pub fn new(stamped: &[u8], mut nonce: [u8; 8]) -> Self {
        // as an INTEGER it has to be positive, and in its shortest form
        nonce[0] = (nonce[0] & 0x7f) | 0x40;
        Self { imprint: sha256(stamped), nonce }
    }

    /// `TimeStampReq` in DER.
    pub fn to_der(&self) -> Vec<u8> {
        [&REQUEST[..], &self.imprint, &[0x02, 0x08], &self.nonce, &CERTIFICATE_PLEASE].concat()
    }

    /// Whether a timestamp is the answer to this.
    ///
    /// # Errors
    /// Where it answers another.
    pub fn answered_by(&self, timestamp: &Timestamp) -> Result<(), TimestampError> {
        if timestamp.nonce.as_deref() == Some(&self.nonce[..]) {
            Ok(())
        } else {
            Err(TimestampError::OtherNonce)
        }
    }
}

impl Timestamp {
    /// Reads `TimeStampResp` in DER, as a timestamp of these bytes.
    ///
    /// # Errors
    /// Where anything about it does not hold.
    pub fn read(response: &[u8], stamped: &[u8]) -> Result<Self, TimestampError> {
        let mut parts = Element::only(response, RESPONSE)?.within(Tag::Sequence, RESPONSE)?;
        granted(&parts.next()?)?;
        let token = parts.next()?;
        parts.end()?;
        let token = Token::read(&token)?;
        let info = Info::read(token.info)?;
        if info.imprint != sha256(stamped) {
            return Err(TimestampError::OfSomethingElse);
        }
        let signer = token.signer()?;
        signer.may_sign_at(info.at)?;
        let others = token.certificates.iter().filter(|c| **c != signer.whole).map(|c| c.to_vec()).collect();
        Ok(Self {
            at: info.at,
            authority: signer.subject,
            nonce: info.nonce,
            certificate: signer.whole.to_vec(),
            others,
        })
    }

    /// Whether the authority's certificate is one of these (in DER), or leads to one of them.
    ///
    /// # Errors
    /// Where it does not, or was not valid then.
    pub fn leads_to(&self, roots: &[Vec<u8>]) -> Result<(), TimestampError> {
        let others: Vec<&[u8]> = self.others.iter().map(Vec::as_slice).collect();
        Certificate::read(&self.certificate)?.leads_to(roots, &others, self.at)
    }
}

/// `PKIStatusInfo`: granted, and nothing else.
fn granted(status: &Element<'_>) -> Read<()> {
    let mut parts = status.within(Tag::Sequence, RESPONSE)?;
    let code = parts.next()?.content(Tag::Integer, RESPONSE)?;
    if code == [0] {
        return Ok(());
    }
    let mut said = String::new();
    if let Some(texts) = parts.next_if(Tag::Sequence)? {
        for text in texts.within(Tag::Sequence, RESPONSE)?.rest()? {
            said += ", ";
            said += &String::from_utf8_lossy(text.value());
        }
    }
    let code = code.iter().map(u8::to_string).collect::<Vec<_>>().join(" ");
    Err(TimestampError::NotGranted(code, said))
}

/// `TSTInfo`: what the authority says.
struct Info {
    imprint: Vec<u8>,
    at: DateTime<Utc>,
    nonce: Option<Vec<u8>>,
}

impl Info {
    fn read(bytes: &[u8]) -> Read<Self> {
        let mut parts = Element::only(bytes, TOKEN)?.within(Tag::Sequence, TOKEN)?;
        if parts.next()?.content(Tag::Integer, TOKEN)? != [1] {
            return Err(not(TOKEN));
        }
        let _policy = parts.next()?.oid(TOKEN)?;
        let mut imprint = parts.next()?.within(Tag::Sequence, TOKEN)?;
        if hash_of(&imprint.next()?)? != Hash::Sha256 {
            return Err(TimestampError::OfSomethingElse);
        }
        let value = imprint.next()?.content(Tag::OctetString, TOKEN)?.to_vec();
        imprint.end()?;
        let _serial = parts.next()?.content(Tag::Integer, TOKEN)?;
        let at = parts.next()?.time(TOKEN)?;
        let _accuracy = parts.next_if(Tag::Sequence)?;
        let _ordering = parts.next_if(Tag::Boolean)?;
        let nonce = parts.next_if(Tag::Integer)?.map(|n| n.value().to_vec());
        let _authority = parts.next_if(tagged(0, true))?;
        let _extensions = parts.next_if(tagged(1, true))?;
        parts.end()?;
        Ok(Self { imprint: value, at, nonce })
    }
}

/// The hash that an `AlgorithmIdentifier` names.
fn hash_of(algorithm: &Element<'_>) -> Read<Hash> {
    let oid = algorithm.within(Tag::Sequence, TOKEN)?.next()?.oid(TOKEN)?;
    let known = HASHES.iter().find(|(_, oids)| oids[0] == oid);
    known.map(|(hash, _)| *hash).ok_or(TimestampError::Unsupported(oid))
}

fn digest_of(hash: Hash, bytes: &[u8]) -> Vec<u8> {
    let algorithm = match hash {
        Hash::Sha256 => &digest::SHA256,
        Hash::Sha384 => &digest::SHA384,
        Hash::Sha512 => &digest::SHA512,
    };
    digest::digest(algorithm, bytes).as_ref().to_vec()
}

/// `TimeStampToken`: CMS signed data with one signer.
struct Token<'a> {
    /// `TSTInfo` in DER: what is signed.
    info: &'a [u8],
    certificates: Vec<&'a [u8]>,
    signer: Element<'a>,
}

impl<'a> Token<'a> {
    fn read(token: &Element<'a>) -> Read<Self> {
        let mut parts = token.within(Tag::Sequence, TOKEN)?;
        if parts.next()?.oid(TOKEN)? != SIGNED_DATA {
            return Err(not(TOKEN));
        }
        let content = parts.next()?.content(tagged(0, true), TOKEN)?;
        parts.end()?;
        let mut signed = Element::only(content, TOKEN)?.within(Tag::Sequence, TOKEN)?;
        let _version = signed.next()?.content(Tag::Integer, TOKEN)?;
        let _hashes = signed.next()?.content(Tag::Set, TOKEN)?;
        let mut wrapped = signed.next()?.within(Tag::Sequence, TOKEN)?;
        if wrapped.next()?.oid(TOKEN)? != TST_INFO {
            return Err(not(TOKEN));
        }
        let info = Element::only(wrapped.next()?.content(tagged(0, true), TOKEN)?, TOKEN)?;
        wrapped.end()?;
        let certificates = match signed.next_if(tagged(0, true))? {
            None => Vec::new(),
            Some(all) => all.within(tagged(0, true), TOKEN)?.rest()?,
        };
        let _revocations = signed.next_if(tagged(1, true))?;
        let mut signers = signed.next()?.within(Tag::Set, TOKEN)?;
        signed.end()?;
        let signer = signers.next()?;
        signers.end()?;
        Ok(Self {
            info: info.content(Tag::OctetString, TOKEN)?,
            certificates: certificates.iter().filter(|c| c.is(Tag::Sequence)).map(|c| c.whole).collect(),
            signer,
        })
    }

    /// The certificate that signed it, if its signature holds.
    fn signer(&self) -> Read<Certificate<'a>> {
        let mut parts = self.signer.within(Tag::Sequence, SIGNER)?;
        let _version = parts.next()?.content(Tag::Integer, SIGNER)?;
        let who = parts.next()?;
        let hash = hash_of(&parts.next()?)?;
        let attributes = parts.next()?;
        let algorithm = parts.next()?.within(Tag::Sequence, SIGNER)?.next()?.oid(SIGNER)?;
        let signature = parts.next()?.content(Tag::OctetString, SIGNER)?;
        let _unsigned = parts.next_if(tagged(1, true))?;
        parts.end()?;
        let attributes = Attributes::read(&attributes)?;
        if attributes.one(CONTENT_TYPE)?.oid(SIGNER)? != TST_INFO
            || attributes.one(MESSAGE_DIGEST)?.content(Tag::OctetString, SIGNER)?
                != digest_of(hash, self.info)
        {
            return Err(TimestampError::Signature);
        }
        let known = HASHES.iter().find(|(_, oids)| oids.contains(&algorithm));
        let rsa = match known {
            _ if algorithm == RSA => true,
            Some((named, oids)) if *named == hash => oids[1] == algorithm,
            _ => return Err(TimestampError::Unsupported(algorithm)),
        };
        let certificate = self.named_by(&attributes)?;
        if who.is(Tag::Sequence) && who.value() != [certificate.issuer, certificate.serial].concat() {
            return Err(TimestampError::Certificate("the signer names another".to_owned()));
        }
        certificate.signed(hash, rsa, &attributes.signed, signature)?;
        Ok(certificate)
    }

    /// The certificate that the signed attributes name by its hash (RFC 2634, RFC 5035).
    fn named_by(&self, attributes: &Attributes<'_>) -> Read<Certificate<'a>> {
        let (value, version_2) = match attributes.one(SIGNING_CERTIFICATE_V2) {
            Ok(value) => (value, true),
            Err(_) => (attributes.one(SIGNING_CERTIFICATE)?, false),
        };
        let mut list = value.within(Tag::Sequence, SIGNER)?.next()?.within(Tag::Sequence, SIGNER)?;
        let mut first = list.next()?.within(Tag::Sequence, SIGNER)?;
        let named = first.next_if(Tag::Sequence)?.map(|a| hash_of(&a)).transpose()?;
        let wanted = first.next()?.content(Tag::OctetString, SIGNER)?;
        let fits = |c: &&&[u8]| match version_2 {
            true => digest_of(named.unwrap_or(Hash::Sha256), c) == wanted,
            false => digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, c).as_ref() == wanted,
        };
        match self.certificates.iter().find(fits) {
            Some(certificate) => Certificate::read(certificate),
            None => Err(TimestampError::Certificate("it is not in the token".to_owned())),
        }
    }
}

/// What the authority signed beside `TSTInfo`.
struct Attributes<'a> {
    all: Vec<(ObjectIdentifier, Element<'a>)>,
    /// The bytes that the signature is over: as a SET, whatever its tag is in its place.
    signed: Vec<u8>,
}

impl<'a> Attributes<'a> {
    fn read(element: &Element<'a>) -> Read<Self> {
        let mut all = Vec::new();
        for attribute in element.within(tagged(0, true), SIGNER)?.rest()? {
            let mut parts = attribute.within(Tag::Sequence, SIGNER)?;
            let kind = parts.next()?.oid(SIGNER)?;
            let mut values = parts.next()?.within(Tag::Set, SIGNER)?;
            parts.end()?;
            all.push((kind, values.next()?));
            values.end()?;
        }
        let mut signed = element.whole.to_vec();
        signed[0] = 0x31;
        Ok(Self { all, signed })
    }

    /// The value of an attribute that is there exactly once.
    fn one(&self, kind: ObjectIdentifier) -> Read<Element<'a>> {
        let mut values = self.all.iter().filter(|(k, _)| *k == kind).map(|(_, v)| *v);
        match (values.next(), values.next()) {
            (Some(value), None) => Ok(value),
            _ => Err(not(SIGNER)),
        }
    }
}
