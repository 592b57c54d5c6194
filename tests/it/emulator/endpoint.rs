//! A program in between that ends TLS and answers for AWS, as anybody on the machine could start one.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::cli::Place;

const IDENTITY: &str = "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
    <GetCallerIdentityResult><Arn>arn:aws:iam::123456789012:user/ann</Arn><UserId>AIDA</UserId>\
    <Account>123456789012</Account></GetCallerIdentityResult>\
    <ResponseMetadata><RequestId>r-1</RequestId></ResponseMetadata></GetCallerIdentityResponse>";

/// A root, and a certificate for a region's services under it.
fn certify(folder: &Path) {
    let names = "subjectAltName=DNS:*.eu-west-1.amazonaws.com\nextendedKeyUsage=serverAuth\n";
    std::fs::write(folder.join("names"), names).expect("written");
    for line in [
        "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 30 -subj /O=Example/CN=Corp-Root",
        "req -newkey rsa:2048 -nodes -keyout own.key -out own.csr -subj /CN=aws",
        "x509 -req -in own.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -extfile names -out own.pem",
    ] {
        let out =
            Command::new("openssl").args(line.split(' ')).current_dir(folder).output().expect("openssl");
        assert!(out.status.success(), "{line}: {}", String::from_utf8_lossy(&out.stderr));
    }
}

/// Takes a CONNECT to anywhere, ends TLS itself, and says who is calling, whatever is asked.
async fn stand_in(folder: &Path) -> u16 {
    let key = PrivateKeyDer::from_pem_file(folder.join("own.key")).expect("a key");
    let certificate = CertificateDer::from_pem_file(folder.join("own.pem")).expect("a certificate");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("a certificate with its key");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut asked = Vec::new();
                while !asked.ends_with(b"\r\n\r\n") {
                    asked.push(stream.read_u8().await?);
                }
                stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
                let mut over = acceptor.accept(stream).await?;
                let mut request = [0; 16 << 10];
                if over.read(&mut request).await? > 0 {
                    let answer = format!(
                        "HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{IDENTITY}",
                        IDENTITY.len()
                    );
                    over.write_all(answer.as_bytes()).await?;
                }
                over.shutdown().await
            });
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_answers_through_a_proxy_under_a_private_root_is_not_proven_to_be_aws() {
    let place = Place::new();
    certify(place.path());
    let port = stand_in(place.path()).await;
    let mut command = place.command(&["doctor", "--output", "json"]);
    command
        .env("HTTPS_PROXY", format!("http://ann:s3cret@127.0.0.1:{port}"))
        .env("SSL_CERT_FILE", place.path().join("ca.pem"))
        .env("AWS_REGION", "eu-west-1")
        .env("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
        .env("AWS_SECRET_ACCESS_KEY", "made-up");
    let out =
        tokio::task::spawn_blocking(move || command.output().expect("redrill starts")).await.expect("ran");
    let told = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    let says = format!("endpoint not proven: requests went through the proxy http://127.0.0.1:{port}");
    assert!(told.contains(&says) && told.contains("123456789012"), "{told}");
    assert!(!told.contains("s3cret"), "{told}");
}
