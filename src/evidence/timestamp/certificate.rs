//! The certificate of an authority: whose it is, what it is for, what it signed. Pure.

use chrono::{DateTime, Utc};
use der::Tag;
use der::asn1::ObjectIdentifier;
use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm, UnixTime};
use webpki::{ALL_VERIFICATION_ALGS, EndEntityCert, KeyUsage, anchor_from_trusted_cert, aws_lc_rs as alg};

use super::TimestampError;
use super::der::{Element, Read, not, tagged};

const CERTIFICATE: &str = "the authority's certificate";
const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
const ORGANIZATION: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.10");
const EXTENDED_KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37");
const TIME_STAMPING: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.8");
/// [`TIME_STAMPING`], encoded.
const TIME_STAMPING_DER: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 8];

/// What redrill reads of a certificate.
pub(super) struct Certificate<'a> {
    pub whole: &'a [u8],
    /// In DER, with its tag.
    pub issuer: &'a [u8],
    /// In DER, with its tag.
    pub serial: &'a [u8],
    /// In words.
    pub subject: String,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    stamps_time: bool,
}

/// The hashes that timestamps are signed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

impl<'a> Certificate<'a> {
    pub(super) fn read(whole: &'a [u8]) -> Read<Self> {
        let mut parts = Element::only(whole, CERTIFICATE)?.within(Tag::Sequence, CERTIFICATE)?;
        let mut signed = parts.next()?.within(Tag::Sequence, CERTIFICATE)?;
        let _version = signed.next_if(tagged(0, true))?;
        let serial = signed.next()?.whole;
        let _algorithm = signed.next()?;
        let issuer = signed.next()?.whole;
        let mut validity = signed.next()?.within(Tag::Sequence, CERTIFICATE)?;
        let (from, to) = (validity.next()?.time(CERTIFICATE)?, validity.next()?.time(CERTIFICATE)?);
        let subject = name(&signed.next()?)?;
        let mut stamps_time = false;
        for part in signed.rest()?.iter().filter(|p| p.is(tagged(3, true))) {
            let extensions = Element::only(part.value(), CERTIFICATE)?.within(Tag::Sequence, CERTIFICATE)?;
            for extension in extensions.rest()? {
                stamps_time |= is_for_time_stamping(&extension)?;
            }
        }
        Ok(Self { whole, issuer, serial, subject, from, to, stamps_time })
    }

    /// Whether it may sign timestamps (RFC 3161: that use alone, and marked critical) at that time.
    pub(super) fn may_sign_at(&self, at: DateTime<Utc>) -> Read<()> {
        if !self.stamps_time {
            return Err(TimestampError::Certificate("it is not one for time stamping".to_owned()));
        }
        if at < self.from || at > self.to {
            return Err(TimestampError::Certificate("it was not valid at that time".to_owned()));
        }
        Ok(())
    }

    /// Whether its key made the signature.
    pub(super) fn signed(&self, hash: Hash, rsa: bool, message: &[u8], signature: &[u8]) -> Read<()> {
        let algorithms: &[&dyn SignatureVerificationAlgorithm] = match (rsa, hash) {
            (true, Hash::Sha256) => &[alg::RSA_PKCS1_2048_8192_SHA256],
            (true, Hash::Sha384) => &[alg::RSA_PKCS1_2048_8192_SHA384],
            (true, Hash::Sha512) => &[alg::RSA_PKCS1_2048_8192_SHA512],
            (false, Hash::Sha256) => {
                &[alg::ECDSA_P256_SHA256, alg::ECDSA_P384_SHA256, alg::ECDSA_P521_SHA256]
            }
            (false, Hash::Sha384) => {
                &[alg::ECDSA_P256_SHA384, alg::ECDSA_P384_SHA384, alg::ECDSA_P521_SHA384]
            }
            (false, Hash::Sha512) => {
                &[alg::ECDSA_P256_SHA512, alg::ECDSA_P384_SHA512, alg::ECDSA_P521_SHA512]
            }
        };
        let der = CertificateDer::from(self.whole);
        let key = EndEntityCert::try_from(&der).map_err(|e| TimestampError::Certificate(e.to_string()))?;
        // a key fits one curve only; the others say no
        let fits = algorithms.iter().any(|a| key.verify_signature(*a, message, signature).is_ok());
        if fits { Ok(()) } else { Err(TimestampError::Signature) }
    }

    /// Whether it is one of these certificates, or leads to one of them over the others of the token.
    pub(super) fn leads_to(&self, roots: &[Vec<u8>], others: &[&[u8]], at: DateTime<Utc>) -> Read<()> {
        if roots.iter().any(|root| root == self.whole) {
            return Ok(());
        }
        let failed = |e: webpki::Error| TimestampError::Certificate(e.to_string());
        let roots: Vec<CertificateDer<'_>> =
            roots.iter().map(|r| CertificateDer::from(r.as_slice())).collect();
        let anchors: Result<Vec<_>, _> = roots.iter().map(anchor_from_trusted_cert).collect();
        let others: Vec<CertificateDer<'_>> = others.iter().map(|c| CertificateDer::from(*c)).collect();
        let der = CertificateDer::from(self.whole);
        let at = u64::try_from(at.timestamp()).map_err(|_| not("the time"))?;
        let time = UnixTime::since_unix_epoch(std::time::Duration::from_secs(at));
        let usage = KeyUsage::required(TIME_STAMPING_DER);
        EndEntityCert::try_from(&der)
            .and_then(|c| {
                let anchors = anchors?;
                c.verify_for_usage(ALL_VERIFICATION_ALGS, &anchors, &others, time, usage, None, None)
                    .map(|_| ())
            })
            .map_err(failed)
    }
}

fn is_for_time_stamping(extension: &Element<'_>) -> Read<bool> {
    let mut parts = extension.within(Tag::Sequence, CERTIFICATE)?;
    if parts.next()?.oid(CERTIFICATE)? != EXTENDED_KEY_USAGE {
        return Ok(false);
    }
    let critical = parts.next_if(Tag::Boolean)?.is_some_and(|b| b.value() == [0xff]);
    let uses = Element::only(parts.next()?.content(Tag::OctetString, CERTIFICATE)?, CERTIFICATE)?;
    let uses = uses.within(Tag::Sequence, CERTIFICATE)?.rest()?;
    Ok(critical && uses.len() == 1 && uses[0].oid(CERTIFICATE)? == TIME_STAMPING)
}

/// A name in words: the common name and the organization.
fn name(element: &Element<'_>) -> Read<String> {
    let (mut common, mut organization) = (None, None);
    for set in element.within(Tag::Sequence, CERTIFICATE)?.rest()? {
        for pair in set.within(Tag::Set, CERTIFICATE)?.rest()? {
            let mut pair = pair.within(Tag::Sequence, CERTIFICATE)?;
            let kind = pair.next()?.oid(CERTIFICATE)?;
            let text = String::from_utf8_lossy(pair.next()?.value()).into_owned();
            match kind {
                COMMON_NAME => common = Some(text),
                ORGANIZATION => organization = Some(text),
                _ => {}
            }
        }
    }
    Ok(match (common, organization) {
        (Some(name), Some(of)) => format!("{name}, {of}"),
        (Some(name), None) | (None, Some(name)) => name,
        (None, None) => "without a name".to_owned(),
    })
}
