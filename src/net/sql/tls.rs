//! Whether a connection to PostgreSQL is encrypted, and who is believed. I/O.
//!
//! Invariant: no byte that came before the handshake is taken for one that came after it.

use std::fs::OpenOptions;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsConnector;

use super::wire::{Failure, Stream};

/// More than any bundle of authorities; that of RDS has 165 KB.
const LARGEST: u64 = 4 << 20;
/// PostgreSQL's request for TLS.
const REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// How a connection is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Not at all.
    Disable,
    /// If the server can.
    Prefer,
    /// Always, any certificate.
    Require,
    /// Always, with a certificate of a known authority.
    VerifyCa,
    /// Always, with a certificate of a known authority for this host.
    VerifyFull,
}

impl Mode {
    /// By its name, as PostgreSQL's own clients have it.
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "disable" => Self::Disable,
            "prefer" => Self::Prefer,
            "require" => Self::Require,
            "verify-ca" => Self::VerifyCa,
            "verify-full" => Self::VerifyFull,
            _ => return None,
        })
    }
}

/// Encrypts a connection where the mode says so; whether it is encrypted.
pub(super) async fn encrypt<S: Stream + 'static>(
    mut stream: S,
    mode: Mode,
    host: &str,
    ca_file: Option<&str>,
) -> Result<(Box<dyn Stream>, bool), Failure> {
    if mode == Mode::Disable {
        return Ok((Box::new(stream), false));
    }
    stream.write_all(&REQUEST).await?;
    stream.flush().await?;
    // one byte and not more: what follows it belongs to the handshake
    match stream.read_u8().await? {
        b'S' => {
            let config = config(mode, ca_file)?;
            let name = ServerName::try_from(host.to_owned()).map_err(invalid)?;
            let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
            Ok((Box::new(stream), true))
        }
        b'N' if mode == Mode::Prefer => Ok((Box::new(stream), false)),
        b'N' => Err(Failure::Invalid("the server does not support TLS".to_owned())),
        _ => Err(Failure::Protocol("no answer to the request for TLS".to_owned())),
    }
}

fn invalid(why: impl ToString) -> Failure {
    Failure::Invalid(why.to_string())
}

fn config(mode: Mode, ca_file: Option<&str>) -> Result<ClientConfig, Failure> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(invalid)?;
    let verifier: Arc<dyn ServerCertVerifier> = match mode {
        Mode::VerifyFull => verifier(ca_file, provider)?,
        Mode::VerifyCa => Arc::new(AnyName(verifier(ca_file, provider)?)),
        Mode::Disable | Mode::Prefer | Mode::Require => Arc::new(Anyone(provider)),
    };
    let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
    match client_certificate()? {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).map_err(invalid),
        None => Ok(builder.with_no_client_auth()),
    }
}

/// The roots of the public web, and those of a file.
fn verifier(
    ca_file: Option<&str>,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>, Failure> {
    let mut roots = RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    for certificate in ca_file.map(certificates).transpose()?.into_iter().flatten() {
        roots.add(certificate).map_err(invalid)?;
    }
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().map_err(invalid)
}

/// A file of certificates or a key, whole.
fn read(file: &str) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    // at a pipe that nobody writes to, a probe would wait for ever
    let no_wait = rustix::fs::OFlags::NONBLOCK.bits() as i32;
    let opened = OpenOptions::new().read(true).custom_flags(no_wait).open(file);
    if opened.as_ref().is_ok_and(|f| f.metadata().is_ok_and(|m| !m.is_file() && !m.is_dir())) {
        return Err(Failure::Invalid(format!("`{file}` is no regular file")));
    }
    let read = opened.and_then(|f| f.take(LARGEST + 1).read_to_end(&mut bytes));
    read.map_err(|e| Failure::Invalid(format!("`{file}` cannot be read: {e}")))?;
    if bytes.len() as u64 > LARGEST {
        return Err(Failure::Invalid(format!("`{file}` is larger than {} MiB", LARGEST >> 20)));
    }
    Ok(bytes)
}

fn certificates(file: &str) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let wrong = |e| Failure::Invalid(format!("`{file}` does not hold certificates: {e}"));
    CertificateDer::pem_slice_iter(&read(file)?).collect::<Result<_, _>>().map_err(wrong)
}

/// A certificate for whoever asks, as PostgreSQL's own clients find one.
fn client_certificate() -> Result<Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>, Failure> {
    let named = |variable| std::env::var(variable).ok().filter(|file| !file.is_empty());
    match (named("PGSSLCERT"), named("PGSSLKEY")) {
        (None, None) => Ok(None),
        (Some(chain), Some(key)) => {
            let key = PrivateKeyDer::from_pem_slice(&read(&key)?)
                .map_err(|e| Failure::Invalid(format!("`{key}` does not hold a key: {e}")))?;
            Ok(Some((certificates(&chain)?, key)))
        }
        _ => Err(Failure::Invalid("PGSSLCERT and PGSSLKEY must be set together".to_owned())),
    }
}

/// Believes a certificate of a known authority, whatever name it is for.
#[derive(Debug)]
struct AnyName(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        use CertificateError::{NotValidForName, NotValidForNameContext};
        // the name is looked at last, when everything else has been found good
        match self.0.verify_server_cert(certificate, chain, name, ocsp, now) {
            Err(Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. })) => {
                Ok(ServerCertVerified::assertion())
            }
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// Believes any certificate, but only of who has its key.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _chain: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_file_of_certificates_is_read_to_a_limit() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_str().unwrap().to_owned();
        assert!(certificates(&path).unwrap().is_empty());
        file.write_all(b"-----BEGIN CERTIFICATE-----\nno base64!\n-----END CERTIFICATE-----\n").unwrap();
        let error = certificates(&path).unwrap_err();
        assert!(error.to_string().contains("does not hold certificates"), "{error}");
        file.as_file().set_len(1 << 40).unwrap();
        let error = certificates(&path).unwrap_err();
        assert!(error.to_string().contains("larger than 4 MiB"), "{error}");
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe").to_str().unwrap().to_owned();
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        for no_file in ["/dev/zero", &pipe] {
            let error = certificates(no_file).unwrap_err();
            assert!(error.to_string().contains("is no regular file"), "{error}");
        }
        assert!(certificates("/nonexistent").is_err());
    }
}
