//! HTTP requests, of probes and to timestamp authorities: one request, no redirect, no retry, no proxy, a
//! fresh connection. I/O.
//!
//! Invariant: at most `body_limit` bytes of the body are kept, and no more is read than the piece
//! that goes beyond it.

use std::collections::BTreeMap;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, Url};

use super::{chain, name};
use crate::cloud::{
    CloudError, CloudResult, ErrorKind, HttpRequest, HttpResponse, is_link_local, link_local,
};

const OPERATION: &str = "net:http";

/// A client that checks certificates and one that does not, each also for link-local addresses.
#[derive(Clone, Debug)]
pub(super) struct Clients {
    checked: Client,
    unchecked: Client,
    checked_near: Client,
    unchecked_near: Client,
}

impl Clients {
    pub(super) fn new() -> CloudResult<Self> {
        Ok(Self {
            checked: client(false, false)?,
            unchecked: client(true, false)?,
            checked_near: client(false, true)?,
            unchecked_near: client(true, true)?,
        })
    }

    /// Sends a probe's request; the answer's body is text.
    pub(super) async fn send(&self, request: &HttpRequest) -> CloudResult<HttpResponse> {
        let body = request.body.clone().map(String::into_bytes);
        let (status, headers, body) = self.exchange(request, body).await?;
        Ok(HttpResponse { status, headers, body: String::from_utf8_lossy(&body).into_owned() })
    }

    /// Sends a request with this body; status, headers and body of the answer, as they are.
    pub(super) async fn exchange(
        &self,
        request: &HttpRequest,
        body: Option<Vec<u8>>,
    ) -> CloudResult<(u16, BTreeMap<String, String>, Vec<u8>)> {
        let invalid = |what: String| CloudError::new(OPERATION, ErrorKind::Invalid, what);
        let url = Url::parse(&request.url).map_err(|error| invalid(format!("the URL is wrong: {error}")))?;
        let method = match request.method.as_str() {
            "" => Method::GET,
            name => Method::from_bytes(name.as_bytes())
                .map_err(|_| invalid(format!("`{name}` is not an HTTP method")))?,
        };
        // an address in numbers is never looked up
        if let Some(ip) = numbers(&url)
            && !request.link_local
            && is_link_local(ip)
        {
            return Err(invalid(link_local(&ip.to_string())));
        }
        let client = match (request.insecure, request.link_local) {
            (false, false) => &self.checked,
            (true, false) => &self.unchecked,
            (false, true) => &self.checked_near,
            (true, true) => &self.unchecked_near,
        };
        let mut call = client.request(method, url).headers(headers(&request.headers)?);
        if let Some(body) = body {
            call = call.body(body);
        }
        let mut response = call.send().await.map_err(failed)?;
        let status = response.status().as_u16();
        let headers = texts(response.headers());
        let mut body = Vec::new();
        while body.len() < request.body_limit {
            let Some(piece) = response.chunk().await.map_err(failed)? else { break };
            let room = request.body_limit - body.len();
            body.extend_from_slice(&piece[..piece.len().min(room)]);
        }
        Ok((status, headers, body))
    }
}

/// The address that a URL gives in numbers, in any of the ways that there are: the parser has made it plain.
fn numbers(url: &Url) -> Option<std::net::IpAddr> {
    url.host_str()?.trim_matches(['[', ']']).parse().ok()
}

fn client(insecure: bool, link_local: bool) -> CloudResult<Client> {
    Client::builder()
        .user_agent(concat!("redrill/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy()
        .dns_resolver(std::sync::Arc::new(name::Resolver { link_local }))
        .pool_max_idle_per_host(0)
        .tls_danger_accept_invalid_certs(insecure)
        .build()
        .map_err(|error| CloudError::new(OPERATION, ErrorKind::Other, chain(&error)))
}

fn headers(given: &BTreeMap<String, String>) -> CloudResult<HeaderMap> {
    let mut map = HeaderMap::new();
    for (name, value) in given {
        let invalid =
            |what: &str| CloudError::new(OPERATION, ErrorKind::Invalid, format!("{what} of header `{name}`"));
        let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| invalid("wrong name"))?;
        let mut value = HeaderValue::from_str(value).map_err(|_| invalid("wrong value"))?;
        value.set_sensitive(true);
        map.append(key, value);
    }
    Ok(map)
}

/// Names in lower case; several values of one name in one line, as HTTP allows.
fn texts(headers: &HeaderMap) -> BTreeMap<String, String> {
    let mut texts = BTreeMap::<String, String>::new();
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        texts
            .entry(name.as_str().to_owned())
            .and_modify(|all| {
                all.push_str(", ");
                all.push_str(&value);
            })
            .or_insert_with(|| value.into_owned());
    }
    texts
}

/// The URL may hold a password, so it goes out of the message; the probe names it anyway.
fn failed(error: reqwest::Error) -> CloudError {
    let kind = if error.is_builder() || name::forbidden(&error) {
        ErrorKind::Invalid
    } else if name::no_address(&error) {
        ErrorKind::NotFound
    } else if error.is_connect() && name::handshake(&error) {
        ErrorKind::Invalid
    } else if error.is_connect() {
        ErrorKind::Unreachable
    } else {
        ErrorKind::Timeout
    };
    CloudError::new(OPERATION, kind, chain(&error.without_url()))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// Answers one connection with these bytes and returns what was asked.
    async fn serve(answer: &'static [u8]) -> (u16, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut buffer = vec![0; 4096];
            let n = socket.read(&mut buffer).await.unwrap();
            socket.write_all(answer).await.unwrap();
            String::from_utf8_lossy(&buffer[..n]).into_owned()
        });
        (port, asked)
    }

    fn get(port: u16) -> HttpRequest {
        HttpRequest {
            url: format!("http://user:hunter2@127.0.0.1:{port}/health"),
            body_limit: 1 << 20,
            ..HttpRequest::default()
        }
    }

    #[tokio::test]
    async fn a_redirect_is_an_answer() {
        let answer =
            b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nX-A: 1\r\nx-a: 2\r\nContent-Length: 2\r\n\r\nno";
        let (port, asked) = serve(answer).await;
        let mut request = get(port);
        request.headers.insert("X-Probe".to_owned(), "yes".to_owned());
        let response = Clients::new().unwrap().send(&request).await.unwrap();
        assert_eq!((response.status, response.body.as_str()), (302, "no"));
        assert_eq!(response.headers["location"], "http://127.0.0.1:1/");
        assert_eq!(response.headers["x-a"], "1, 2");
        let asked = asked.await.unwrap();
        assert!(asked.starts_with("GET /health HTTP/1.1\r\n") && asked.contains("x-probe: yes"), "{asked}");
    }

    #[tokio::test]
    async fn the_body_is_cut_at_its_limit() {
        // more is announced than is ever sent: reading on would wait or fail
        let (port, _asked) = serve(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n0123456789").await;
        let response =
            Clients::new().unwrap().send(&HttpRequest { body_limit: 4, ..get(port) }).await.unwrap();
        assert_eq!(response.body, "0123");
    }

    #[tokio::test]
    async fn what_was_never_asked_is_told_apart_from_what_refused() {
        let clients = Clients::new().unwrap();
        let request = |url: String| HttpRequest { url, ..HttpRequest::default() };
        let nowhere = clients.send(&request(format!("http://{}/", name::NO_SUCH))).await.unwrap_err();
        assert_eq!(nowhere.kind, ErrorKind::NotFound, "{nowhere}");
        // a server that speaks no TLS
        let (port, _asked) = serve(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await;
        let plain = clients.send(&request(format!("https://127.0.0.1:{port}/"))).await.unwrap_err();
        assert_eq!(plain.kind, ErrorKind::Invalid, "{plain}");
        // one that hangs up in the middle of the handshake is down, not misconfigured
        let (port, _asked) = serve(b"").await;
        let hung_up = clients.send(&request(format!("https://127.0.0.1:{port}/"))).await.unwrap_err();
        assert!(matches!(hung_up.kind, ErrorKind::Unreachable | ErrorKind::Timeout), "{hung_up}");
    }

    #[tokio::test]
    async fn failures_are_told_apart_and_hold_no_password() {
        let clients = Clients::new().unwrap();
        let (port, _asked) = serve(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\nshort").await;
        let broken = clients.send(&get(port)).await.unwrap_err();
        assert_eq!(broken.kind, ErrorKind::Timeout);
        let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        let refused = clients.send(&get(port)).await.unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Unreachable);
        let url = "http://user:hunter2@[bad/".to_owned();
        let wrong = clients.send(&HttpRequest { url, ..HttpRequest::default() }).await.unwrap_err();
        assert_eq!(wrong.kind, ErrorKind::Invalid);
        for error in [broken, refused, wrong] {
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }
}
