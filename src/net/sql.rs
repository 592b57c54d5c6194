//! Queries of probes against PostgreSQL: one connection, one query, read as text. I/O.
//!
//! Not for: pools, changes of data. The query is the text of a cursor in a transaction that only reads and is
//! never committed, so it is one `SELECT` (or `VALUES`, `TABLE`, `WITH` without changes): the server itself
//! refuses a second statement and everything that writes. What is left is a function that acts outside of
//! the transaction (`pg_terminate_backend`, `dblink`): a user who may not do that is the protection.
//!
//! Invariants: no password appears in an error, nor in clear text on a connection to another machine that
//! goes without TLS ([`plain`]); host, user, password, database and TLS mode come from the request, never from
//! `PG*` variables. A client certificate can only come from those.

use std::net::SocketAddr;
use std::str::FromStr as _;

use futures::TryStreamExt as _;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgRow, PgSslMode};
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, Row as _, SqlSafeStr as _,
    Statement as _, ValueRef as _,
};

use super::{chain, name, plain};
use crate::cloud::{CloudError, CloudResult, ErrorKind, Secret, SqlAnswer, SqlRequest};

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
    let failed = |error: sqlx::Error| failed(&error, request.password.as_ref());
    let mut options = options(request, near)?;
    let mode = options.get_ssl_mode();
    let mut _door = None;
    if !near && matches!(mode, PgSslMode::Disable | PgSslMode::Allow | PgSslMode::Prefer) {
        let may_encrypt = matches!(mode, PgSslMode::Prefer);
        let opened = plain::door(addresses, may_encrypt).await.map_err(|e| failed(sqlx::Error::Io(e)))?;
        // no certificate is held against a name in these modes
        options = options.host("127.0.0.1").port(opened.port);
        _door = Some(opened);
    }
    let mut connection = options.connect().await.map_err(failed)?;
    let answer = read(&mut connection, &request.query).await.map_err(|e| match e {
        Failed::Asking(e) => failed(e),
        Failed::Reading(e) if request.quote_errors => failed(e),
        Failed::Reading(e) => without_data(failed(e)),
    });
    // the answer is known; a connection that does not close cleanly changes nothing about it
    let _ = connection.close().await;
    answer
}

/// `near`: the server is on this machine.
fn options(request: &SqlRequest, near: bool) -> CloudResult<PgConnectOptions> {
    let tls = match request.tls.as_str() {
        "" if near => PgSslMode::Prefer,
        "" => PgSslMode::VerifyFull,
        mode => PgSslMode::from_str(mode).map_err(|_| {
            CloudError::new(OPERATION, ErrorKind::Invalid, format!("`{mode}` is no TLS mode"))
        })?,
    };
    let mut options = PgConnectOptions::new_without_pgpass()
        .host(&request.host)
        .port(request.port)
        .database(&request.database)
        .username(&request.user)
        // set even where there is none: a password in the environment is somebody else's
        .password(request.password.as_ref().map(Secret::expose).unwrap_or_default())
        .ssl_mode(tls)
        .application_name("redrill")
        .disable_statement_logging();
    if let Some(file) = &request.ca_file {
        if !std::path::Path::new(file).is_file() {
            let message = format!("there is no file `{file}` with CA certificates");
            return Err(CloudError::new(OPERATION, ErrorKind::Invalid, message));
        }
        options = options.ssl_root_cert(file);
    }
    Ok(options)
}

/// Where it failed.
enum Failed {
    /// Before anything was read: what the server says is about the question.
    Asking(sqlx::Error),
    /// While it was read: what the server says may hold what stands in the database.
    Reading(sqlx::Error),
}

/// One statement that only reads. The extended protocol, in which the cursor is declared, takes one statement
/// alone; the simple one, in which it is read, sends every value as text, so any type can be read. The first
/// `select` fixes the transaction's mode: after a query it cannot be set any more.
async fn read(connection: &mut PgConnection, query: &str) -> Result<SqlAnswer, Failed> {
    let begin = "begin transaction read only; select 1";
    connection.execute(sqlx::raw_sql(begin)).await.map_err(Failed::Asking)?;
    let declare = format!("declare redrill no scroll cursor without hold for {query}");
    let statement =
        connection.prepare(AssertSqlSafe(declare).into_sql_str()).await.map_err(Failed::Asking)?;
    connection.execute(statement.query()).await.map_err(Failed::Reading)?;
    let mut rows = connection.fetch(sqlx::raw_sql("fetch all from redrill"));
    let mut answer = SqlAnswer::default();
    while let Some(row) = rows.try_next().await.map_err(Failed::Reading)? {
        if answer.rows == 0 {
            answer.first = first(&row).map_err(Failed::Reading)?;
        }
        answer.rows += 1;
    }
    // never committed: it ends with the connection
    Ok(answer)
}

fn first(row: &PgRow) -> Result<Option<String>, sqlx::Error> {
    if row.is_empty() {
        return Ok(None);
    }
    let value = row.try_get_raw(0)?;
    if value.is_null() {
        return Ok(None);
    }
    value.as_str().map(|text| Some(text.to_owned())).map_err(sqlx::Error::Decode)
}

fn failed(error: &sqlx::Error, password: Option<&Secret>) -> CloudError {
    let mut message = match error {
        // the driver adds a line of the server's own source code
        sqlx::Error::Database(database) => database.message().to_owned(),
        _ => chain(error),
    };
    if let Some(password) = password.map(Secret::expose).filter(|text| !text.is_empty()) {
        message = message.replace(password, "[secret]");
    }
    let code = match error {
        sqlx::Error::Database(database) => database.code().map(|code| code.into_owned()),
        _ => None,
    };
    let kind = match (error, code.as_deref()) {
        (_, Some(code)) => kind_of_state(code),
        (sqlx::Error::Io(_), _) if name::handshake(error) => ErrorKind::Invalid,
        (sqlx::Error::Io(io), _) if is_connect(io.kind()) => ErrorKind::Unreachable,
        (sqlx::Error::Io(_), _) => ErrorKind::Timeout,
        (sqlx::Error::Tls(_) | sqlx::Error::Configuration(_), _) => ErrorKind::Invalid,
        _ => ErrorKind::Other,
    };
    let error = CloudError::new(OPERATION, kind, message);
    match code {
        Some(code) => error.code(code),
        None => error,
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
        let error = sqlx::Error::Protocol("password hunter2 is too short".to_owned());
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
        assert_eq!(options(&wrong, true).unwrap_err().kind, ErrorKind::Invalid);
        let missing = SqlRequest { ca_file: Some("/nonexistent/ca.pem".to_owned()), ..request(1) };
        assert_eq!(options(&missing, true).unwrap_err().kind, ErrorKind::Invalid);
    }

    #[test]
    fn another_machine_has_to_prove_itself_unless_the_drill_says_otherwise() {
        let mode = |tls: &str, near| {
            let request = SqlRequest { tls: tls.to_owned(), ..request(1) };
            options(&request, near).unwrap().get_ssl_mode()
        };
        assert!(matches!(mode("", true), PgSslMode::Prefer));
        assert!(matches!(mode("", false), PgSslMode::VerifyFull));
        assert!(matches!(mode("prefer", false), PgSslMode::Prefer));
        assert!(matches!(mode("disable", false), PgSslMode::Disable));
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
