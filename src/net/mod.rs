//! The network and this machine, for probes, local steps and timestamps. Always built; I/O.
//!
//! For: one HTTP request (also that for a timestamp), one TCP connection, one query, one program. Not for: deciding what an
//! answer means, retrying, bounding the time of network calls (the caller does). Invariants: no
//! proxy and no password is taken from the environment, and no error holds a password. A name that
//! does not resolve is `NotFound`, a failed TLS handshake or a link-local address that nobody allowed
//! `Invalid`: the service was not asked.
//! `Unreachable` is a service that was, and refused.

mod guard;
mod http;
mod local;
mod lookups;
mod name;
mod processes;
mod sql;

use async_trait::async_trait;

pub use guard::called as guard;
pub use local::RealLocal;
pub use lookups::addresses as look_up;

use crate::cloud::{
    CloudError, CloudResult, ErrorKind, HttpRequest, HttpResponse, Net, Secret, SqlAnswer, SqlRequest,
};

/// Probes over the real network. Cheap to clone.
#[derive(Clone, Debug)]
pub struct RealNet {
    http: http::Clients,
    hash_key: [u8; 32],
}

impl RealNet {
    /// Prepares the HTTP clients; sends nothing.
    ///
    /// # Errors
    /// `Other` where the TLS library cannot be set up, or the system gives no random bytes.
    pub fn new() -> CloudResult<Self> {
        let mut hash_key = [0; 32];
        aws_lc_rs::rand::fill(&mut hash_key)
            .map_err(|_| CloudError::new("net:random", ErrorKind::Other, "there are no random bytes"))?;
        Ok(Self { http: http::Clients::new()?, hash_key })
    }

    /// Posts bytes of this type; the status and at most `body_limit` bytes of the answer.
    ///
    /// # Errors
    /// As [`Net::http`].
    pub async fn post(
        &self,
        url: &str,
        content_type: &str,
        body: Vec<u8>,
        body_limit: usize,
    ) -> CloudResult<(u16, Vec<u8>)> {
        let headers = [("content-type".to_owned(), content_type.to_owned())].into();
        let (method, url) = ("POST".to_owned(), url.to_owned());
        let request = HttpRequest { method, url, headers, body_limit, ..HttpRequest::default() };
        let (status, _, body) = self.http.exchange(&request, Some(body)).await?;
        Ok((status, body))
    }
}

#[async_trait]
impl Net for RealNet {
    async fn http(&self, request: &HttpRequest) -> CloudResult<HttpResponse> {
        self.http.send(request).await
    }

    async fn tcp(&self, host: &str, port: u16, link_local: bool) -> CloudResult<()> {
        let addresses = name::resolve("net:tcp", host, port, link_local).await?;
        match tokio::net::TcpStream::connect(addresses.as_slice()).await {
            Ok(_connection) => Ok(()),
            Err(error) => {
                Err(CloudError::new("net:tcp", ErrorKind::Unreachable, format!("{host}:{port}: {error}")))
            }
        }
    }

    async fn sql(&self, request: &SqlRequest) -> CloudResult<SqlAnswer> {
        sql::query(request).await
    }

    fn variable(&self, name: &str) -> Option<Secret> {
        std::env::var(name).ok().map(Secret::new)
    }

    fn is_file(&self, path: &str) -> bool {
        std::path::Path::new(path).is_file()
    }

    fn hash_key(&self) -> [u8; 32] {
        self.hash_key
    }
}

/// The causes of an error in one line, each part once.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        if !parts.iter().any(|part| part.contains(&text)) {
            parts.push(text);
        }
        next = error.source();
    }
    parts.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_is_open_or_refused() {
        let net = RealNet::new().unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        net.tcp("127.0.0.1", port, false).await.unwrap();
        drop(listener);
        let error = net.tcp("127.0.0.1", port, false).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unreachable);
    }

    #[tokio::test]
    async fn a_name_that_does_not_resolve_is_not_a_service_that_refuses() {
        let net = RealNet::new().unwrap();
        let error = net.tcp(name::NO_SUCH, 80, false).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::NotFound, "{error}");
        assert!(error.message.contains(name::NO_SUCH), "{error}");
    }

    #[tokio::test]
    async fn a_link_local_address_is_asked_by_nobody_who_was_not_allowed_to() {
        let net = RealNet::new().unwrap();
        // by its numbers, in every way that a resolver or a URL takes them
        for host in ["169.254.169.254", "2852039166", "0xa9fea9fe", "0251.0376.0251.0376", "fe80::1"] {
            let error = net.tcp(host, 80, false).await.unwrap_err();
            assert!(error.kind == ErrorKind::Invalid && error.message.contains("link-local"), "{error}");
            let sql = SqlRequest { host: host.to_owned(), port: 80, ..SqlRequest::default() };
            let error = net.sql(&sql).await.unwrap_err();
            assert!(error.kind == ErrorKind::Invalid && error.message.contains("link-local"), "{error}");
        }
        for host in
            ["169.254.169.254", "2852039166", "0xa9.0xfe.43518", "[fd00:ec2::254]", "[::ffff:a9fe:a9fe]"]
        {
            let request = HttpRequest { url: format!("http://{host}/latest"), ..HttpRequest::default() };
            let error = net.http(&request).await.unwrap_err();
            assert!(error.kind == ErrorKind::Invalid && error.message.contains("link-local"), "{error}");
        }
    }
}
