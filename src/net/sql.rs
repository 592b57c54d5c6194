//! Queries of probes against PostgreSQL: one connection, one query, read as text. I/O.
//!
//! Not for: pools, prepared statements, changes of data (whoever writes the query answers for it).
//! Invariants: no password appears in an error; host, user, password, database and TLS mode come from
//! the request, never from `PG*` variables. A client certificate can only come from those.

use std::str::FromStr as _;

use futures::TryStreamExt as _;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgRow, PgSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, Row as _, ValueRef as _};

use super::{chain, name};
use crate::cloud::{CloudError, CloudResult, ErrorKind, Secret, SqlAnswer, SqlRequest};

const OPERATION: &str = "net:sql";

pub(super) async fn query(request: &SqlRequest) -> CloudResult<SqlAnswer> {
    let failed = |error: sqlx::Error| failed(&error, request.password.as_ref());
    let options = options(request)?;
    // a path is a local socket
    if !request.host.starts_with('/') {
        name::resolve(OPERATION, &request.host, request.port).await?;
    }
    let mut connection = options.connect().await.map_err(failed)?;
    let answer = read(&mut connection, &request.query).await.map_err(failed);
    // the answer is known; a connection that does not close cleanly changes nothing about it
    let _ = connection.close().await;
    answer
}

fn options(request: &SqlRequest) -> CloudResult<PgConnectOptions> {
    let tls = match request.tls.as_str() {
        "" => PgSslMode::Prefer,
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

/// The simple protocol sends every value as text, so any type can be read.
async fn read(connection: &mut PgConnection, query: &str) -> Result<SqlAnswer, sqlx::Error> {
    let mut rows = connection.fetch(sqlx::raw_sql(AssertSqlSafe(query.to_owned())));
    let mut answer = SqlAnswer::default();
    while let Some(row) = rows.try_next().await? {
        if answer.rows == 0 {
            answer.first = first(&row)?;
        }
        answer.rows += 1;
    }
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
        assert_eq!(options(&wrong).unwrap_err().kind, ErrorKind::Invalid);
        let missing = SqlRequest { ca_file: Some("/nonexistent/ca.pem".to_owned()), ..request(1) };
        assert_eq!(options(&missing).unwrap_err().kind, ErrorKind::Invalid);
    }
}
