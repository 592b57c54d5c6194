//! Queries of probes against PostgreSQL: one connection, one query, read as text. I/O.
//!
//! Not for: pools, changes of data. The query is the text of a cursor in a transaction that only reads and is
//! never committed, so it is one `SELECT` (or `VALUES`, `TABLE`, `WITH` without changes): the server itself
//! refuses a second statement and everything that writes. What is left is a function that acts outside of
//! the transaction (`pg_terminate_backend`, `dblink`): a user who may not do that is the protection.
//!
//! Invariants: no password appears in an error, nor in clear text on a connection to another machine that
//! goes without TLS; host, user, password, database and TLS mode come from the request, never from `PG*`
//! variables. A client certificate can only come from those. However long the server says that its answer is,
//! only so much of it is ever held ([`wire`]).

mod tls;
mod wire;

use std::net::SocketAddr;

use tokio::net::{TcpStream, UnixStream};

use super::{chain, name};
use crate::cloud::{CloudError, CloudResult, ErrorKind, Secret, SqlAnswer, SqlRequest};
use tls::Mode;
use wire::{Failure, Login, Stream, Wire};

const OPERATION: &str = "net:sql";

pub(super) async fn query(request: &SqlRequest) -> CloudResult<SqlAnswer> {
    // a path is a local socket
    let (addresses, near) = match request.host.starts_with('/') {
        true => (Vec::new(), true),
        false => {
            let found = name::resolve(OPERATION, &request.host, request.port, request.link_local).await?;
            let near = found.iter().all(|a| a.ip().is_loopback());
            (found, near)
        }
    };
    ask(request, &addresses, near).await
}

/// `near`: the server is on this machine.
async fn ask(request: &SqlRequest, addresses: &[SocketAddr], near: bool) -> CloudResult<SqlAnswer> {
    let failed = |error: Failure| failed(&error, request.password.as_ref());
    let mode = mode(request, near)?;
    let mut wire = open(request, addresses, near, mode).await.map_err(failed)?;
    let answer = read(&mut wire, &request.query).await.map_err(|e| match e {
        Failed::Asking(e) => failed(e),
        Failed::Reading(e) if request.quote_errors => failed(e),
        Failed::Reading(e) => without_data(failed(e)),
    });
    // the answer is known; a connection that does not close cleanly changes nothing about it
    wire.close().await;
    answer
}

/// `near`: the server is on this machine.
fn mode(request: &SqlRequest, near: bool) -> CloudResult<Mode> {
    let invalid = |message: String| CloudError::new(OPERATION, ErrorKind::Invalid, message);
    if let Some(file) = request.ca_file.as_ref().filter(|file| !std::path::Path::new(file).is_file()) {
        return Err(invalid(format!("there is no file `{file}` with CA certificates")));
    }
    match request.tls.as_str() {
        "" if near => Ok(Mode::Prefer),
        "" => Ok(Mode::VerifyFull),
        mode => Mode::named(mode).ok_or_else(|| invalid(format!("`{mode}` is no TLS mode"))),
    }
}

/// Connects and logs in.
async fn open(
    request: &SqlRequest,
    addresses: &[SocketAddr],
    near: bool,
    mode: Mode,
) -> Result<Wire<Box<dyn Stream>>, Failure> {
    let (host, ca_file) = (request.host.as_str(), request.ca_file.as_deref());
    let (stream, encrypted) = if host.starts_with('/') {
        let path = format!("{host}/.s.PGSQL.{}", request.port);
        tls::encrypt(UnixStream::connect(path).await?, mode, host, ca_file).await?
    } else {
        let socket = TcpStream::connect(addresses).await?;
        socket.set_nodelay(true)?;
        tls::encrypt(socket, mode, host, ca_file).await?
    };
    let login = Login {
        user: &request.user,
        database: &request.database,
        password: request.password.as_ref().map(Secret::expose).unwrap_or_default(),
        clear_text: near || encrypted,
    };
    Wire::open(stream, &login).await
}

/// Where it failed.
enum Failed {
    /// Before anything was read: what the server says is about the question.
    Asking(Failure),
    /// While it was read: what the server says may hold what stands in the database.
    Reading(Failure),
}

/// One statement that only reads. The extended protocol, in which the cursor is declared, takes one statement
/// alone; the simple one, in which it is read, sends every value as text, so any type can be read. The first
/// `select` fixes the transaction's mode: after a query it cannot be set any more.
async fn read(wire: &mut Wire<Box<dyn Stream>>, query: &str) -> Result<SqlAnswer, Failed> {
    wire.tell("begin transaction read only; select 1").await.map_err(Failed::Asking)?;
    wire.ready().await.map_err(Failed::Asking)?;
    let declare = format!("declare redrill no scroll cursor without hold for {query}");
    wire.prepare(&declare).await.map_err(Failed::Asking)?;
    wire.ready().await.map_err(Failed::Asking)?;
    wire.run_prepared().await.map_err(Failed::Reading)?;
    wire.ready().await.map_err(Failed::Reading)?;
    wire.tell("fetch all from redrill").await.map_err(Failed::Reading)?;
    let mut answer = SqlAnswer::default();
    while let Some(row) = wire.row().await.map_err(Failed::Reading)? {
        if answer.rows == 0 {
            answer.first = wire::first(&row).map_err(Failed::Reading)?;
        }
        answer.rows += 1;
    }
    // never committed: it ends with the connection
    Ok(answer)
}

fn failed(error: &Failure, password: Option<&Secret>) -> CloudError {
    let mut message = chain(error);
    if let Some(password) = password.map(Secret::expose).filter(|text| !text.is_empty()) {
        message = message.replace(password, "[secret]");
    }
    let kind = match error {
        Failure::Server { code, .. } => kind_of_state(code),
        Failure::ClearText => ErrorKind::Denied,
        Failure::Io(_) if name::handshake(error) => ErrorKind::Invalid,
        Failure::Io(io) if is_connect(io.kind()) => ErrorKind::Unreachable,
        Failure::Io(_) => ErrorKind::Timeout,
        Failure::Invalid(_) => ErrorKind::Invalid,
        Failure::TooLong(..) | Failure::TooMuch(_) | Failure::Protocol(_) => ErrorKind::Other,
    };
    let failed = CloudError::new(OPERATION, kind, message);
    match error {
        Failure::Server { code, .. } if !code.is_empty() => failed.code(code),
        _ => failed,
    }
}

/// The error with its state in place of what the server said.
fn without_data(error: CloudError) -> CloudError {
    let Some(code) = error.code.clone() else { return error };
    let name = match code.as_str() {
        "22012" => "division by zero",
        "22P02" => "a text that is no value of the type asked for",
        "25006" => "the transaction only reads",
        "42501" => "permission denied",
        "57014" => "cancelled, or out of time",
        "P0001" => "raised by a function",
        "42P01" => "a table that does not exist",
        _ if code.starts_with("22") => "a value that cannot be used so",
        _ if code.starts_with("42") => "a query that cannot be run",
        _ => "the query failed",
    };
    CloudError {
        message: format!("{name} (SQLSTATE {code}; `show_value: true` shows what the server says)"),
        ..error
    }
}

/// Everything that keeps a connection from coming about, but not one that came about and broke.
fn is_connect(kind: std::io::ErrorKind) -> bool {
    use std::io::ErrorKind as Io;
    !matches!(kind, Io::ConnectionReset | Io::ConnectionAborted | Io::BrokenPipe | Io::UnexpectedEof)
}

/// PostgreSQL's SQLSTATE classes.
fn kind_of_state(code: &str) -> ErrorKind {
    match code {
        "3D000" | "42P01" | "42703" | "42883" => ErrorKind::NotFound,
        "57P03" => ErrorKind::Unreachable,
        "57P01" | "57P02" | "57014" => ErrorKind::Timeout,
        "42501" => ErrorKind::Denied,
        _ if code.starts_with("28") => ErrorKind::Denied,
        _ if code.starts_with("53") => ErrorKind::Limit,
        _ if code.starts_with("08") => ErrorKind::Unreachable,
        _ if code.starts_with("42") || code.starts_with("22") => ErrorKind::Invalid,
        _ if code.starts_with("25") || code.starts_with("55") => ErrorKind::State,
        _ if code.starts_with("58") || code.starts_with("XX") => ErrorKind::Server,
        _ => ErrorKind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(port: u16) -> SqlRequest {
        SqlRequest {
            host: "127.0.0.1".to_owned(),
            port,
            database: "shop".to_owned(),
            user: "probe".to_owned(),
            password: Some(Secret::new("hunter2")),
            tls: "disable".to_owned(),
            ca_file: None,
            query: "select 1".to_owned(),
            ..SqlRequest::default()
        }
    }

    #[tokio::test]
    async fn a_closed_port_is_unreachable_and_a_broken_connection_is_not() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let answering = tokio::spawn(async move { drop(listener.accept().await) });
        let broken = query(&request(port)).await.unwrap_err();
        assert_ne!(broken.kind, ErrorKind::Unreachable, "{broken}");
        answering.await.unwrap();
        let refused = query(&request(port)).await.unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Unreachable, "{refused}");
    }

    #[tokio::test]
    async fn a_name_without_an_address_and_a_server_without_tls_were_not_asked() {
        let nowhere = SqlRequest { host: name::NO_SUCH.to_owned(), ..request(5432) };
        let error = query(&nowhere).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::NotFound, "{error}");
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let answering = tokio::spawn(async move {
            use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut asked = [0; 8];
            socket.read_exact(&mut asked).await.unwrap();
            // PostgreSQL's "no" to the request for TLS
            socket.write_all(b"N").await.unwrap();
        });
        let error = query(&SqlRequest { tls: "require".to_owned(), ..request(port) }).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Invalid, "{error}");
        answering.await.unwrap();
    }

    #[tokio::test]
    async fn the_server_may_quote_the_password_but_the_error_does_not() {
        let message = "password hunter2 is too short".to_owned();
        let error = Failure::Server { code: "28P01".to_owned(), message };
        let error = failed(&error, Some(&Secret::new("hunter2")));
        assert!(!error.message.contains("hunter2") && error.message.contains("[secret]"));
    }

    #[test]
    fn sql_states_have_kinds() {
        assert_eq!(kind_of_state("28P01"), ErrorKind::Denied);
        assert_eq!(kind_of_state("57P03"), ErrorKind::Unreachable);
        assert_eq!(kind_of_state("42601"), ErrorKind::Invalid);
        assert_eq!(kind_of_state("53300"), ErrorKind::Limit);
    }

    #[test]
    fn an_unknown_tls_mode_or_a_missing_file_is_refused() {
        let wrong = SqlRequest { tls: "maybe".to_owned(), ..request(1) };
        assert_eq!(mode(&wrong, true).unwrap_err().kind, ErrorKind::Invalid);
        let missing = SqlRequest { ca_file: Some("/nonexistent/ca.pem".to_owned()), ..request(1) };
        assert_eq!(mode(&missing, true).unwrap_err().kind, ErrorKind::Invalid);
    }

    #[test]
    fn another_machine_has_to_prove_itself_unless_the_drill_says_otherwise() {
        let mode = |tls: &str, near| {
            let request = SqlRequest { tls: tls.to_owned(), ..request(1) };
            super::mode(&request, near).unwrap()
        };
        assert_eq!(mode("", true), Mode::Prefer);
        assert_eq!(mode("", false), Mode::VerifyFull);
        assert_eq!(mode("prefer", false), Mode::Prefer);
        assert_eq!(mode("disable", false), Mode::Disable);
    }

    /// A server that has no TLS and asks for the password in clear text; what it is given.
    async fn curious(may_encrypt: bool) -> (SocketAddr, tokio::task::JoinHandle<Vec<u8>>) {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let given = tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            if may_encrypt {
                let mut asked = [0; 8];
                socket.read_exact(&mut asked).await.unwrap();
                socket.write_all(b"N").await.unwrap();
            }
            let length = socket.read_u32().await.unwrap();
            let mut startup = vec![0; length as usize - 4];
            socket.read_exact(&mut startup).await.unwrap();
            socket.write_all(b"R\0\0\0\x08\0\0\0\x03").await.unwrap();
            let mut given = vec![0; 4096];
            let n = socket.read(&mut given).await.unwrap_or(0);
            given.truncate(n);
            given
        });
        (address, given)
    }

    #[tokio::test]
    async fn no_password_goes_to_another_machine_in_clear_text() {
        for tls in ["disable", "prefer"] {
            for near in [true, false] {
                let (address, given) = curious(tls == "prefer").await;
                let request = SqlRequest { tls: tls.to_owned(), ..request(address.port()) };
                let error = ask(&request, &[address], near).await.unwrap_err();
                let given = given.await.unwrap();
                let gave = given.windows(7).any(|w| w == b"hunter2");
                assert_eq!(gave, near, "{tls}: {error}");
                assert!(near || error.kind == ErrorKind::Denied, "{error}");
                assert_eq!(error.message.contains("in clear text"), !near, "{error}");
            }
        }
    }
}
