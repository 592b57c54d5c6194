//! Against servers of this test's own, with certificates of its own.

use std::path::Path;
use std::process::Command;

use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::model::Clock as _;
use crate::model::time::SystemClock;

const HOST: &str = "sts.eu-west-1.amazonaws.com";

/// A root, and a certificate for every service of a region under it.
struct Authority {
    folder: tempfile::TempDir,
}

impl Authority {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let names = "subjectAltName=DNS:*.eu-west-1.amazonaws.com\nextendedKeyUsage=serverAuth\n";
        std::fs::write(folder.path().join("names"), names).unwrap();
        for line in [
            "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 30 -subj /O=Example/CN=Corp-Root",
            "req -newkey rsa:2048 -nodes -keyout own.key -out own.csr -subj /CN=aws",
            "x509 -req -in own.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -extfile names -out own.pem",
        ] {
            let out =
                Command::new("openssl").args(line.split(' ')).current_dir(folder.path()).output().unwrap();
            assert!(out.status.success(), "{line}: {}", String::from_utf8_lossy(&out.stderr));
        }
        Self { folder }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn roots(&self) -> Vec<CertificateDer<'static>> {
        certificates(&self.path("ca.pem"))
    }

    /// Shakes hands for ever, behind a CONNECT if one comes first; gives its port.
    async fn serve(&self) -> u16 {
        let key = PrivateKeyDer::from_pem_file(self.path("own.key")).unwrap();
        let config =
            ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(certificates(&self.path("own.pem")), key)
                .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let mut first = [0; 1];
                    if stream.peek(&mut first).await.is_ok_and(|_| first == *b"C") {
                        let mut asked = Vec::new();
                        while !asked.ends_with(b"\r\n\r\n") {
                            asked.push(stream.read_u8().await?);
                        }
                        let known = asked.windows(18).any(|w| w == b"Basic dTpzZWNyZXQ=");
                        let answer: &[u8] =
                            if known { b"HTTP/1.1 200 OK\r\n\r\n" } else { b"HTTP/1.1 407 Who?\r\n\r\n" };
                        stream.write_all(answer).await?;
                    }
                    let mut over = acceptor.accept(stream).await?;
                    over.read_to_end(&mut Vec::new()).await
                });
            }
        });
        port
    }
}

fn certificates(path: &Path) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_file_iter(path).unwrap().map(Result::unwrap).collect()
}

fn anchors(roots: &[CertificateDer<'static>]) -> Vec<TrustAnchor<'static>> {
    roots.iter().map(|c| anchor_from_trusted_cert(c).unwrap().to_owned()).collect()
}

fn way(proxy: Matcher, machine: Vec<CertificateDer<'static>>, web: &[TrustAnchor<'_>]) -> Way {
    Way::new(proxy, machine, web, SystemClock.now())
}

fn no_proxy() -> Matcher {
    Matcher::builder().build()
}

#[tokio::test]
async fn a_root_is_public_private_or_unknown() {
    let (own, other) = (Authority::new(), Authority::new());
    let port = own.serve().await;
    let look = async |way: Way, host: &str| way.root(host, ("127.0.0.1", port)).await;
    // as SSL_CERT_FILE gives it, without and with that root being one of the web's
    let machine = rustls_native_certs::load_certs_from_paths(Some(own.path("ca.pem").as_path()), None).certs;
    let private = look(way(no_proxy(), machine.clone(), webpki_roots::TLS_SERVER_ROOTS), HOST).await;
    let Root::Private { subject, sha256 } = private else { panic!("{private:?}") };
    assert_eq!((subject.as_str(), sha256.len()), ("Corp-Root, Example", 64));
    let web = anchors(&own.roots());
    let public = look(way(no_proxy(), machine.clone(), &web), HOST).await;
    assert_eq!(public, Root::Public { subject: "Corp-Root, Example".to_owned() });
    // a root of the same name with another key is another root
    let public = look(way(no_proxy(), machine.clone(), &anchors(&other.roots())), HOST).await;
    assert!(matches!(public, Root::Private { .. }), "{public:?}");
    // nobody here trusts it; it is another host's; nobody answers
    let unknown = look(way(no_proxy(), other.roots(), &web), HOST).await;
    assert!(matches!(&unknown, Root::Unknown { why } if why.contains("not trusted here")), "{unknown:?}");
    let unknown = look(way(no_proxy(), machine.clone(), &web), "sts.us-east-1.amazonaws.com").await;
    assert!(matches!(unknown, Root::Unknown { .. }), "{unknown:?}");
    let nobody = way(no_proxy(), machine, &web).root(HOST, ("127.0.0.1", 1)).await;
    assert!(matches!(nobody, Root::Unknown { .. }), "{nobody:?}");
}

#[tokio::test]
async fn a_proxy_is_used_as_the_sdk_would_and_recorded_without_its_password() {
    let own = Authority::new();
    let port = own.serve().await;
    let proxy = |auth: &str| {
        Matcher::builder()
            .https(format!("http://{auth}127.0.0.1:{port}"))
            .no("rds.eu-west-1.amazonaws.com")
            .build()
    };
    let through = way(proxy("u:secret@"), own.roots(), webpki_roots::TLS_SERVER_ROOTS);
    let proof = through.look(&[HOST.to_owned()], BTreeMap::new()).await;
    assert_eq!(proof.proxy, Some(format!("http://127.0.0.1:{port}")));
    assert!(matches!(proof.roots[0].root, Root::Private { .. }), "{proof:?}");
    assert!(proof.doubt().is_some_and(|d| d.contains("proxy")) && !format!("{proof:?}").contains("secret"));
    assert_eq!(through.proxy_of("rds.eu-west-1.amazonaws.com"), None);
    // a proxy alone is a doubt, whatever the root
    let web = anchors(&own.roots());
    let proof = way(proxy("u:secret@"), own.roots(), &web).look(&[HOST.to_owned()], BTreeMap::new()).await;
    assert!(matches!(proof.roots[0].root, Root::Public { .. }) && proof.doubt().is_some(), "{proof:?}");
    let refused = way(proxy(""), own.roots(), &web).root(HOST, (HOST, 443)).await;
    assert_eq!(refused, Root::Unknown { why: "the proxy did not connect".to_owned() });
}

#[test]
fn what_is_recorded_of_an_address_holds_no_secret() {
    for (name, value, kept) in [
        ("HTTPS_PROXY", "http://ann:s3cret@proxy:3128/x?y", "http://proxy:3128"),
        ("all_proxy", "ann:s3cret@proxy:3128", "http://proxy:3128"),
        ("ALL_PROXY", "socks5://ann:s3cret@proxy:1080", "socks5://proxy:1080"),
        ("HTTPS_PROXY", "http://[s3cret", "set, and no address"),
        ("NO_PROXY", "10.0.0.0/8,.internal", "10.0.0.0/8,.internal"),
        ("SSL_CERT_FILE", "/etc/ca.pem", "/etc/ca.pem"),
        ("AWS_ENDPOINT_URL_S3", "https://ann:s3cret@s3.example/", "https://s3.example"),
        (
            "endpoint",
            "https://vpce-1.sts.eu-west-1.vpce.amazonaws.com",
            "https://vpce-1.sts.eu-west-1.vpce.amazonaws.com",
        ),
    ] {
        assert_eq!(without_secrets(name, value), kept);
    }
}

#[test]
fn the_pinned_roots_are_those_of_the_web_alone() {
    let own = Authority::new();
    let pinned = |web: &[TrustAnchor<'_>]| way(no_proxy(), own.roots(), web).pinned();
    assert_eq!(pinned(webpki_roots::TLS_SERVER_ROOTS), "");
    let pem = pinned(&anchors(&own.roots()));
    let read: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes()).map(Result::unwrap).collect();
    assert_eq!(read, own.roots());
}
