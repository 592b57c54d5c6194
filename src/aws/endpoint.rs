//! Whose endpoint it is: the proxy on the way, and the root that each certificate leads to.
//!
//! The SDK takes a proxy of the environment and whatever root this machine trusts, so a program in between
//! can answer for AWS. Here redrill makes handshakes of its own the way the SDK would, sends nothing over
//! them, and records what it saw. Where all of it leads to roots of the public web, [`Way::pinned`] are the
//! only ones that the SDK is given from then on: what is proven once holds for every connection. I/O.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use chrono::{DateTime, Utc};
use hyper_util::client::proxy::matcher::Matcher;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use webpki::{ALL_VERIFICATION_ALGS, EndEntityCert, KeyUsage, anchor_from_trusted_cert};

use crate::model::EndpointProof;
use crate::model::endpoint::{EndpointRoot, Root};

/// For the endpoint that says who the caller is.
const PATIENCE: Duration = Duration::from_secs(5);
/// For the others: one that does not answer shows nothing.
const SHORT: Duration = Duration::from_secs(2);
/// The longest answer of a proxy that is read.
const LONGEST_ANSWER: usize = 8 << 10;

/// Variables that bear on the way to AWS. The SDK for Rust reads no `AWS_CA_BUNDLE`; who looks at the
/// record will want to know of it.
const SETTINGS: [&str; 14] = [
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "http_proxy",
    "ALL_PROXY",
    "all_proxy",
    "NO_PROXY",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "AWS_CA_BUNDLE",
    "AWS_USE_FIPS_ENDPOINT",
    "AWS_USE_DUALSTACK_ENDPOINT",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
];

/// How connections are made: which proxy, which roots.
pub(super) struct Way {
    /// What the SDK asks whether a proxy is to be used.
    proxy: Matcher,
    /// Roots of this machine, as the SDK takes them.
    machine: Vec<CertificateDer<'static>>,
    /// Those of them that are roots of the public web.
    public: Vec<CertificateDer<'static>>,
    /// The time that certificates have to be valid at.
    now: UnixTime,
}

impl Way {
    /// The SDK's: the proxy of the environment, and this machine's roots (`SSL_CERT_FILE`, `SSL_CERT_DIR`).
    pub(super) fn of_sdk(now: DateTime<Utc>) -> Self {
        let machine = rustls_native_certs::load_native_certs().certs;
        Self::new(Matcher::from_env(), machine, webpki_roots::TLS_SERVER_ROOTS, now)
    }

    fn new(
        proxy: Matcher,
        machine: Vec<CertificateDer<'static>>,
        web: &[TrustAnchor<'_>],
        now: DateTime<Utc>,
    ) -> Self {
        let is_public = |cert: &&CertificateDer<'static>| {
            anchor_from_trusted_cert(cert).is_ok_and(|own| {
                web.iter().any(|w| {
                    w.subject.as_ref() == own.subject.as_ref()
                        && w.subject_public_key_info.as_ref() == own.subject_public_key_info.as_ref()
                })
            })
        };
        let public = machine.iter().filter(is_public).cloned().collect();
        let now = u64::try_from(now.timestamp()).unwrap_or_default();
        Self { proxy, machine, public, now: UnixTime::since_unix_epoch(Duration::from_secs(now)) }
    }

    /// The public roots of this machine, in PEM.
    pub(super) fn pinned(&self) -> String {
        use base64::Engine as _;
        let mut pem = String::new();
        for cert in &self.public {
            let text = base64::engine::general_purpose::STANDARD.encode(cert);
            pem.push_str("-----BEGIN CERTIFICATE-----\n");
            for line in text.as_bytes().chunks(64) {
                pem.push_str(&String::from_utf8_lossy(line));
                pem.push('\n');
            }
            pem.push_str("-----END CERTIFICATE-----\n");
        }
        pem
    }

    /// The proxy for a host, without user and password.
    fn proxy_of(&self, host: &str) -> Option<String> {
        let url = format!("https://{host}/");
        let taken = self.proxy.intercept(&url.parse().ok()?)?;
        let uri = taken.uri();
        let port = uri.port_u16().map(|p| format!(":{p}")).unwrap_or_default();
        Some(format!("{}://{}{port}", uri.scheme_str().unwrap_or("http"), uri.host().unwrap_or_default()))
    }

    /// Looks at these hosts, the first of which says who the caller is, with these settings.
    pub(super) async fn look(&self, hosts: &[String], settings: BTreeMap<String, String>) -> EndpointProof {
        let looks = hosts.iter().enumerate().map(|(n, host)| async move {
            let patience = if n == 0 { PATIENCE } else { SHORT };
            let root = match tokio::time::timeout(patience, self.root(host, (host.as_str(), 443))).await {
                Ok(root) => root,
                Err(_) => Root::Unknown { why: "there was no answer in time".to_owned() },
            };
            EndpointRoot { host: host.clone(), root }
        });
        let mut roots = futures::future::join_all(looks).await;
        // what could not be reached says nothing, except of the first
        let mut n = 0;
        roots.retain(|r| {
            n += 1;
            n == 1 || !matches!(r.root, Root::Unknown { .. })
        });
        EndpointProof { proxy: hosts.iter().find_map(|h| self.proxy_of(h)), settings, roots }
    }

    /// The root that a host's certificate leads to; `at` is where it is, where there is no proxy.
    async fn root(&self, host: &str, at: (&str, u16)) -> Root {
        let seen = match self.chain(host, at).await {
            Ok(seen) => seen,
            Err(why) => return Root::Unknown { why },
        };
        let Some((leaf, others)) = seen.split_first() else {
            return Root::Unknown { why: "it showed no certificate".to_owned() };
        };
        match leads_to((leaf, others), host, &self.public, self.now) {
            Ok(root) => Root::Public { subject: subject(root) },
            Err(_) => match leads_to((leaf, others), host, &self.machine, self.now) {
                Ok(root) => {
                    let sha256 = digest(&SHA256, root).as_ref().iter().map(|b| format!("{b:02x}")).collect();
                    Root::Private { subject: subject(root), sha256 }
                }
                Err(why) => Root::Unknown { why: format!("its certificate is not trusted here: {why}") },
            },
        }
    }

    /// The certificates that a host shows in a handshake, its own first.
    async fn chain(&self, host: &str, at: (&str, u16)) -> Result<Vec<CertificateDer<'static>>, String> {
        let failed = |e: std::io::Error| e.to_string();
        let url = format!("https://{host}/");
        let taken = url.parse().ok().and_then(|url| self.proxy.intercept(&url));
        let Some(taken) = taken else {
            return handshake(host, TcpStream::connect(at).await.map_err(failed)?).await;
        };
        if taken.uri().scheme_str() != Some("http") {
            return Err("it was not looked at through this kind of proxy".to_owned());
        }
        let proxy = (taken.uri().host().unwrap_or_default(), taken.uri().port_u16().unwrap_or(80));
        let mut stream = TcpStream::connect(proxy).await.map_err(failed)?;
        let mut request = format!("CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n").into_bytes();
        if let Some(auth) = taken.basic_auth() {
            request.extend_from_slice(b"Proxy-Authorization: ");
            request.extend_from_slice(auth.as_bytes());
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"\r\n");
        stream.write_all(&request).await.map_err(failed)?;
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") && answer.len() < LONGEST_ANSWER {
            answer.push(stream.read_u8().await.map_err(failed)?);
        }
        let status = answer.split(|b| *b == b' ').nth(1).unwrap_or_default();
        if !status.starts_with(b"2") {
            return Err("the proxy did not connect".to_owned());
        }
        handshake(host, stream).await
    }
}

/// The variables that are set, without secrets, and the endpoints that are.
pub(super) fn settings(endpoints: &[String]) -> BTreeMap<String, String> {
    let mut found: BTreeMap<String, String> = BTreeMap::new();
    let variables = std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v)));
    for (name, value) in variables {
        if SETTINGS.contains(&name.as_str()) || name.starts_with("AWS_ENDPOINT_URL") {
            found.insert(name.clone(), without_secrets(&name, &value.to_string_lossy()));
        }
    }
    for (n, url) in endpoints.iter().enumerate() {
        found.insert(format!("endpoint {}", n + 1), without_secrets("endpoint", url));
    }
    found
}

/// Of an address, only scheme, host and port.
fn without_secrets(name: &str, value: &str) -> String {
    let is_address = name.to_ascii_lowercase().ends_with("_proxy") && !name.eq_ignore_ascii_case("no_proxy")
        || name.to_ascii_lowercase().starts_with("aws_endpoint_url")
        || name == "endpoint";
    if !is_address || value.is_empty() {
        return value.to_owned();
    }
    let with_scheme = if value.contains("://") { value.to_owned() } else { format!("http://{value}") };
    match reqwest::Url::parse(&with_scheme) {
        Ok(url) => {
            let port = url.port().map(|p| format!(":{p}")).unwrap_or_default();
            format!("{}://{}{port}", url.scheme(), url.host_str().unwrap_or_default())
        }
        Err(_) => "set, and no address".to_owned(),
    }
}

/// Shakes hands, and ends it: nothing is sent.
async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(
    host: &str,
    stream: S,
) -> Result<Vec<CertificateDer<'static>>, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let look = Arc::new(Look { provider: Arc::clone(&provider), seen: Mutex::default() });
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(&look) as Arc<dyn ServerCertVerifier>)
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).map_err(|e| e.to_string())?;
    let _over =
        TlsConnector::from(Arc::new(config)).connect(name, stream).await.map_err(|e| e.to_string())?;
    let seen = look.seen.lock().map_err(|_| "BUG: a handshake broke off".to_owned())?;
    Ok(seen.clone())
}

/// Takes every certificate, to look at it afterwards; that the other side has its key is checked.
#[derive(Debug)]
struct Look {
    provider: Arc<CryptoProvider>,
    seen: Mutex<Vec<CertificateDer<'static>>>,
}

impl ServerCertVerifier for Look {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if let Ok(mut seen) = self.seen.lock() {
            seen.push(end_entity.clone().into_owned());
            seen.extend(intermediates.iter().map(|c| c.clone().into_owned()));
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// The root among these that a certificate for this host leads to.
fn leads_to<'a>(
    (leaf, others): (&CertificateDer<'_>, &[CertificateDer<'_>]),
    host: &str,
    roots: &'a [CertificateDer<'static>],
    now: UnixTime,
) -> Result<&'a CertificateDer<'static>, String> {
    let failed = |e: webpki::Error| e.to_string();
    let leaf = EndEntityCert::try_from(leaf).map_err(failed)?;
    let name = ServerName::try_from(host).map_err(|e| e.to_string())?;
    leaf.verify_is_valid_for_subject_name(&name).map_err(failed)?;
    let anchors: Vec<(usize, TrustAnchor<'_>)> =
        roots.iter().enumerate().filter_map(|(n, c)| Some((n, anchor_from_trusted_cert(c).ok()?))).collect();
    let list: Vec<TrustAnchor<'_>> = anchors.iter().map(|(_, a)| a.clone()).collect();
    let path = leaf
        .verify_for_usage(ALL_VERIFICATION_ALGS, &list, others, now, KeyUsage::server_auth(), None, None)
        .map_err(failed)?;
    let found = anchors.iter().find(|(_, a)| {
        a.subject == path.anchor().subject
            && a.subject_public_key_info == path.anchor().subject_public_key_info
    });
    found.map(|(n, _)| &roots[*n]).ok_or_else(|| "its root is not among them".to_owned())
}

/// A certificate's subject in words: its common name, and its organization.
fn subject(cert: &CertificateDer<'_>) -> String {
    const COMMON_NAME: [u8; 3] = [0x55, 0x04, 0x03];
    const ORGANIZATION: [u8; 3] = [0x55, 0x04, 0x0a];
    let Ok(anchor) = anchor_from_trusted_cert(cert) else { return "without a name".to_owned() };
    let (mut common, mut organization) = (None, None);
    // SETs of SEQUENCEs of an OBJECT IDENTIFIER and a text (X.501)
    let mut sets = anchor.subject.as_ref();
    while let Some((set, rest)) = element(sets) {
        sets = rest;
        let Some((pair, _)) = element(set) else { continue };
        let Some((oid, value)) = element(pair) else { continue };
        let text = element(value).map(|(text, _)| String::from_utf8_lossy(text).into_owned());
        match <[u8; 3]>::try_from(oid) {
            Ok(COMMON_NAME) => common = text,
            Ok(ORGANIZATION) => organization = text,
            _ => {}
        }
    }
    match (common, organization) {
        (Some(name), Some(of)) => format!("{name}, {of}"),
        (Some(name), None) | (None, Some(name)) => name,
        (None, None) => "without a name".to_owned(),
    }
}

/// The content of the DER element that begins here, and what follows it.
fn element(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (_tag, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        0x81 => (usize::from(*rest.first()?), rest.get(1..)?),
        0x82 => (usize::from(*rest.first()?) << 8 | usize::from(*rest.get(1)?), rest.get(2..)?),
        _ => return None,
    };
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests;
