//! Host names to addresses, told apart from connections that fail. I/O.
//!
//! Invariant: whoever connects has resolved here first, so that a name without an address is never
//! taken for a service that is down.

use std::error::Error;
use std::net::SocketAddr;
use std::{fmt, io};

use crate::cloud::{CloudError, CloudResult, ErrorKind, is_link_local, link_local};

/// A name without an address (RFC 2606), for tests.
#[cfg(test)]
pub(super) const NO_SUCH: &str = "no-such-host.invalid";

/// The addresses of a host.
pub(super) async fn resolve(
    operation: &str,
    host: &str,
    port: u16,
    link_local: bool,
) -> CloudResult<Vec<SocketAddr>> {
    let found = lookup(host, port)
        .await
        .map_err(|e| CloudError::new(operation, ErrorKind::NotFound, e.to_string()))?;
    match allowed(host, &found, link_local) {
        Ok(()) => Ok(found),
        Err(e) => Err(CloudError::new(operation, ErrorKind::Invalid, e.to_string())),
    }
}

/// A link-local address that nobody allowed.
#[derive(Debug, thiserror::Error)]
#[error("{}", link_local(.0))]
pub(super) struct LinkLocal(String);

/// One forbidden address among several is enough: which of them is asked is not chosen here.
pub(super) fn allowed(host: &str, found: &[SocketAddr], link_local: bool) -> Result<(), LinkLocal> {
    match !link_local && found.iter().any(|a| is_link_local(a.ip())) {
        true => Err(LinkLocal(host.to_owned())),
        false => Ok(()),
    }
}

/// A name without an address.
#[derive(Debug)]
pub(super) struct NoAddress {
    host: String,
    why: Option<io::Error>,
}

impl fmt::Display for NoAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.why {
            Some(why) => write!(f, "`{}` has no address: {why}", self.host),
            None => write!(f, "`{}` has no address", self.host),
        }
    }
}

impl Error for NoAddress {}

async fn lookup(host: &str, port: u16) -> Result<Vec<SocketAddr>, NoAddress> {
    let none = |why| NoAddress { host: host.to_owned(), why };
    let found = super::lookups::addresses(host).await.map_err(|e| none(Some(e)))?;
    let found: Vec<SocketAddr> = found.iter().map(|ip| SocketAddr::new(*ip, port)).collect();
    if found.is_empty() { Err(none(None)) } else { Ok(found) }
}

/// The same for the HTTP client, which looks names up by itself.
pub(super) struct Resolver {
    /// Whether link-local addresses may be asked.
    pub(super) link_local: bool,
}

impl reqwest::dns::Resolve for Resolver {
    fn resolve(&self, name: reqwest::dns::Name) -> reqwest::dns::Resolving {
        let link_local = self.link_local;
        Box::pin(async move {
            let found = lookup(name.as_str(), 0).await?;
            allowed(name.as_str(), &found, link_local)?;
            let addresses: reqwest::dns::Addrs = Box::new(found.into_iter());
            Ok(addresses)
        })
    }
}

/// Whether a link-local address is what an error came from.
pub(super) fn forbidden(error: &(dyn Error + 'static)) -> bool {
    any(error, |e| e.is::<LinkLocal>())
}

/// Whether a name without an address is what an error came from.
pub(super) fn no_address(error: &(dyn Error + 'static)) -> bool {
    any(error, |e| e.is::<NoAddress>())
}

/// Whether a handshake failed: the TLS library wraps its errors as invalid data. A connection that
/// breaks in the middle of one is not among them.
pub(super) fn handshake(error: &(dyn Error + 'static)) -> bool {
    any(error, |e| e.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::InvalidData))
}

/// Looks at an error and its causes. `io::Error` hides what it wraps from `source`.
fn any(error: &(dyn Error + 'static), is: impl Fn(&(dyn Error + 'static)) -> bool) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if is(error) {
            return true;
        }
        next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    false
}
