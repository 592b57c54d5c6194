//! What probes ask of the network, and steps of this machine, with the answers. Pure data.

use std::collections::BTreeMap;

use super::types::Secret;

/// An HTTP request of a probe.
#[derive(Clone, Debug, Default)]
pub struct HttpRequest {
    /// `GET`, `HEAD`, `POST`.
    pub method: String,
    /// Absolute URL.
    pub url: String,
    /// Request headers.
    pub headers: BTreeMap<String, String>,
    /// Request body.
    pub body: Option<String>,
    /// Whether certificates go unchecked.
    pub insecure: bool,
    /// How many bytes of the body are read at most.
    pub body_limit: usize,
    /// Whether a link-local address may be asked.
    pub link_local: bool,
}

/// The answer to a probe's HTTP request. Redirects are not followed.
#[derive(Clone, Debug, Default)]
pub struct HttpResponse {
    /// Status code.
    pub status: u16,
    /// Response headers, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// Body, as text, cut at the request's limit.
    pub body: String,
}

/// A query of a probe: one statement, in a transaction that only reads; the first column of the first row is
/// read as text.
#[derive(Clone, Debug, Default)]
pub struct SqlRequest {
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Database name.
    pub database: String,
    /// User.
    pub user: String,
    /// Password.
    pub password: Option<Secret>,
    /// `disable`, `prefer`, `require`, `verify-ca`, `verify-full`; where it is empty, `prefer` for this
    /// machine and `verify-full` for any other.
    pub tls: String,
    /// File with the CA certificates, for example the RDS bundle.
    pub ca_file: Option<String>,
    /// The query.
    pub query: String,
    /// Whether a link-local address may be asked.
    pub link_local: bool,
    /// Whether an error may repeat what the server said while it ran the query. That may be data:
    /// `invalid input syntax for type integer: "…"`.
    pub quote_errors: bool,
}

/// The answer to a probe's query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SqlAnswer {
    /// How many rows came back.
    pub rows: usize,
    /// First column of the first row as PostgreSQL prints it; `None` for NULL or no row.
    pub first: Option<String>,
}

/// A local program to run: no shell.
#[derive(Clone, Debug)]
pub struct CommandRequest {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Added to a minimal environment.
    pub env: BTreeMap<String, String>,
    /// Working folder.
    pub cwd: Option<String>,
    /// Killed after this long.
    pub timeout: std::time::Duration,
}

/// What a local program did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommandOutput {
    /// Exit code; `None` where a signal ended it.
    pub code: Option<i32>,
    /// Whether the time limit ended it.
    pub timed_out: bool,
    /// Standard output, cut at 64 KiB.
    pub stdout: String,
    /// Standard error, cut at 64 KiB.
    pub stderr: String,
}
