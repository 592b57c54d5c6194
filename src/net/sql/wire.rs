//! A connection to PostgreSQL, message by message: the login, then questions and answers. I/O.
//!
//! The library knows the messages and the ways to log in; how much is read is decided here. Invariants: of a
//! message of the server, nothing but its five bytes of type and length is read, and nothing allocated, before
//! the length is known to be within [`Bounds`]; whatever comes counts towards what all of them may have. The
//! server may ask for the password once, and for it in clear text only where the caller says that it may.

use std::io;

use bytes::BytesMut;
use fallible_iterator::FallibleIterator as _;
use postgres_protocol::IsNull;
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{
    ChannelBinding, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramSha256,
};
use postgres_protocol::message::backend::{DataRowBody, ErrorResponseBody, Message};
use postgres_protocol::message::frontend;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader};

/// A connection, encrypted or not.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// How much of the server's is read, in bytes.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    /// Of one message.
    message: usize,
    /// Of all of them.
    in_all: usize,
}

/// Until the login is over. The longest message of PostgreSQL's own is far shorter.
const OF_LOGIN: Bounds = Bounds { message: 64 << 10, in_all: 256 << 10 };
/// Of one look. A row is one message; rows are counted and not kept, so their sum is about time.
const OF_LOOK: Bounds = Bounds { message: 1 << 20, in_all: 64 << 20 };

/// Type and length of a message.
const HEAD: usize = 5;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The connection does not come about, or breaks.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The server says so.
    #[error("{message}")]
    Server {
        /// SQLSTATE.
        code: String,
        /// What it says.
        message: String,
    },
    /// The password would go in clear text, to another machine, without TLS.
    #[error("the server asks for the password in clear text, and the connection is not encrypted")]
    ClearText,
    /// What was asked for cannot be asked.
    #[error("{0}")]
    Invalid(String),
    /// One message is too long.
    #[error("the server announces a message of {0} bytes; at most {1} are read")]
    TooLong(usize, usize),
    /// All messages together are too long.
    #[error("the server's answer is longer than {0} bytes, which is all that is read of it")]
    TooMuch(usize),
    /// What the server says is not PostgreSQL's protocol.
    #[error("not PostgreSQL's protocol: {0}")]
    Protocol(String),
}

fn protocol(why: impl ToString) -> Failure {
    Failure::Protocol(why.to_string())
}

/// Who logs in.
pub(super) struct Login<'a> {
    pub(super) user: &'a str,
    pub(super) database: &'a str,
    pub(super) password: &'a str,
    /// Whether the password may be given in clear text.
    pub(super) clear_text: bool,
}

/// A connection after the login.
pub(super) struct Wire<S> {
    stream: BufReader<S>,
    bounds: Bounds,
    read: usize,
}

impl<S: Stream> Wire<S> {
    /// Logs in.
    pub(super) async fn open(stream: S, login: &Login<'_>) -> Result<Self, Failure> {
        let mut wire = Self { stream: BufReader::new(stream), bounds: OF_LOGIN, read: 0 };
        let settings = [
            ("user", login.user),
            ("database", login.database),
            ("application_name", "redrill"),
            ("client_encoding", "UTF8"),
            // values look the same whatever the server's own settings are
            ("DateStyle", "ISO, MDY"),
            ("TimeZone", "UTC"),
            ("extra_float_digits", "2"),
        ];
        wire.send(|out| frontend::startup_message(settings, out)).await?;
        wire.authenticate(login).await?;
        wire.ready().await?;
        (wire.bounds, wire.read) = (OF_LOOK, 0);
        Ok(wire)
    }

    async fn authenticate(&mut self, login: &Login<'_>) -> Result<(), Failure> {
        let password = login.password.as_bytes();
        match self.next().await? {
            Message::AuthenticationOk => return Ok(()),
            Message::AuthenticationCleartextPassword if !login.clear_text => return Err(Failure::ClearText),
            Message::AuthenticationCleartextPassword => {
                self.send(|out| frontend::password_message(password, out)).await?;
            }
            Message::AuthenticationMd5Password(body) => {
                let hash = md5_hash(login.user.as_bytes(), password, body.salt());
                self.send(|out| frontend::password_message(hash.as_bytes(), out)).await?;
            }
            Message::AuthenticationSasl(body) => {
                let known = body.mechanisms().any(|m| Ok([SCRAM_SHA_256, SCRAM_SHA_256_PLUS].contains(&m)));
                if !known.map_err(protocol)? {
                    return Err(protocol("a way to log in that is not known"));
                }
                self.scram(password).await?;
            }
            _ => return Err(protocol("a way to log in that is not known")),
        }
        match self.next().await? {
            Message::AuthenticationOk => Ok(()),
            _ => Err(protocol("the login does not end")),
        }
    }

    /// The server proves as well that it knows the password. It also says how much work that is; the library
    /// has a bound on it.
    async fn scram(&mut self, password: &[u8]) -> Result<(), Failure> {
        let mut scram = ScramSha256::new(password, ChannelBinding::unsupported());
        self.send(|out| frontend::sasl_initial_response(SCRAM_SHA_256, scram.message(), out)).await?;
        let Message::AuthenticationSaslContinue(body) = self.next().await? else {
            return Err(protocol("the login breaks off"));
        };
        scram.update(body.data()).map_err(protocol)?;
        self.send(|out| frontend::sasl_response(scram.message(), out)).await?;
        let Message::AuthenticationSaslFinal(body) = self.next().await? else {
            return Err(protocol("the login breaks off"));
        };
        scram.finish(body.data()).map_err(protocol)
    }

    /// Asks in the simple protocol: every value comes back as text.
    pub(super) async fn tell(&mut self, query: &str) -> Result<(), Failure> {
        self.send(|out| frontend::query(query, out)).await
    }

    /// Has one statement looked at, and no more than one.
    pub(super) async fn prepare(&mut self, statement: &str) -> Result<(), Failure> {
        let parse = |out: &mut BytesMut| {
            frontend::parse("", statement, [], out)?;
            frontend::sync(out);
            Ok(())
        };
        self.send(parse).await
    }

    /// Runs the statement that was looked at last.
    pub(super) async fn run_prepared(&mut self) -> Result<(), Failure> {
        let none: [i16; 0] = [];
        let run = |out: &mut BytesMut| {
            frontend::bind("", "", none, none, |_, _| Ok(IsNull::Yes), none, out)
                .map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
            frontend::execute("", 0, out)?;
            frontend::sync(out);
            Ok(())
        };
        self.send(run).await
    }

    /// Sends what is written.
    async fn send(&mut self, write: impl FnOnce(&mut BytesMut) -> io::Result<()>) -> Result<(), Failure> {
        let mut out = BytesMut::new();
        write(&mut out).map_err(|e| Failure::Invalid(e.to_string()))?;
        self.stream.write_all(&out).await?;
        Ok(self.stream.flush().await?)
    }

    /// The next message that is part of an answer; an error of the server is one here as well.
    async fn next(&mut self) -> Result<Message, Failure> {
        loop {
            match self.message().await? {
                Message::NoticeResponse(_)
                | Message::NotificationResponse(_)
                | Message::ParameterStatus(_) => {}
                Message::ErrorResponse(body) => return Err(server(&body)),
                other => return Ok(other),
            }
        }
    }

    async fn message(&mut self) -> Result<Message, Failure> {
        let mut head = [0; HEAD];
        self.stream.read_exact(&mut head).await?;
        let [_, length @ ..] = head;
        // the length counts itself, and not the type
        let length = u32::from_be_bytes(length) as usize;
        if length < HEAD - 1 {
            return Err(protocol(format!("a message of {length} bytes")));
        }
        if length > self.bounds.message {
            return Err(Failure::TooLong(length, self.bounds.message));
        }
        self.read += 1 + length;
        if self.read > self.bounds.in_all {
            return Err(Failure::TooMuch(self.bounds.in_all));
        }
        let mut whole = BytesMut::zeroed(1 + length);
        let (start, rest) = whole.split_at_mut(HEAD);
        start.copy_from_slice(&head);
        self.stream.read_exact(rest).await?;
        Message::parse(&mut whole).map_err(protocol)?.ok_or_else(|| protocol("half a message"))
    }

    /// The next row of an answer; `None` at its end.
    pub(super) async fn row(&mut self) -> Result<Option<DataRowBody>, Failure> {
        loop {
            match self.next().await? {
                Message::DataRow(row) => return Ok(Some(row)),
                Message::ReadyForQuery(_) => return Ok(None),
                _ => {}
            }
        }
    }

    /// Reads to the end of an answer.
    pub(super) async fn ready(&mut self) -> Result<(), Failure> {
        while self.row().await?.is_some() {}
        Ok(())
    }

    /// Says goodbye; nobody waits for an answer.
    pub(super) async fn close(mut self) {
        let goodbye = |out: &mut BytesMut| {
            frontend::terminate(out);
            Ok(())
        };
        if self.send(goodbye).await.is_ok() {
            let _ = self.stream.shutdown().await;
        }
    }
}

/// The first column of a row, as text; `None` for NULL, and where there is no column.
pub(super) fn first(row: &DataRowBody) -> Result<Option<String>, Failure> {
    let Some(Some(range)) = row.ranges().next().map_err(protocol)? else { return Ok(None) };
    let bytes = row.buffer().get(range).ok_or_else(|| protocol("half a row"))?;
    std::str::from_utf8(bytes).map(|text| Some(text.to_owned())).map_err(protocol)
}

fn server(body: &ErrorResponseBody) -> Failure {
    let (mut code, mut message) = (String::new(), String::new());
    let mut fields = body.fields();
    // what is no field ends them
    while let Ok(Some(field)) = fields.next() {
        let text = || String::from_utf8_lossy(field.value_bytes()).into_owned();
        match field.type_() {
            b'C' => code = text(),
            b'M' => message = text(),
            _ => {}
        }
    }
    Failure::Server { code, message }
}

#[cfg(test)]
mod tests {
    use tokio::io::{join, sink};

    use super::*;

    const LOGIN: Login<'_> = Login { user: "probe", database: "shop", password: "hunter2", clear_text: true };
    const OK: &[u8] = b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I";

    async fn opened(server: &[u8]) -> Result<usize, Failure> {
        Wire::open(join(server, sink()), &LOGIN).await.map(|wire| wire.read)
    }

    async fn rows(server: &[u8]) -> Result<usize, Failure> {
        let mut wire = Wire::open(join(server, sink()), &LOGIN).await?;
        let mut n = 0;
        while wire.row().await?.is_some() {
            n += 1;
        }
        Ok(n)
    }

    fn message(kind: u8, length: usize) -> Vec<u8> {
        let mut whole = vec![0; length + 1];
        whole[0] = kind;
        whole[1..HEAD].copy_from_slice(&u32::try_from(length).unwrap().to_be_bytes());
        whole
    }

    #[tokio::test]
    async fn a_message_is_read_only_if_it_is_short_enough() {
        assert_eq!(opened(OK).await.unwrap(), 0, "a look begins anew");
        for length in [u32::MAX, 1_900_000_000, u32::try_from(OF_LOGIN.message).unwrap() + 1] {
            let error = opened(&[&b"R"[..], &length.to_be_bytes()].concat()).await.unwrap_err();
            assert!(matches!(error, Failure::TooLong(n, _) if n == length as usize), "{error}");
        }
        let longest = [OK, &message(b'D', OF_LOOK.message), b"Z\0\0\0\x05I"].concat();
        assert_eq!(rows(&longest).await.unwrap(), 1);
        let longer = [OK, &message(b'D', OF_LOOK.message + 1)].concat();
        assert!(matches!(rows(&longer).await.unwrap_err(), Failure::TooLong(..)));
        for length in 0..4_u32 {
            let error = opened(&[&b"R"[..], &length.to_be_bytes()].concat()).await.unwrap_err();
            assert!(matches!(error, Failure::Protocol(_)), "{error}");
        }
    }

    #[tokio::test]
    async fn all_messages_together_are_bounded() {
        let one = message(b'N', OF_LOGIN.message);
        let fits = one.repeat(OF_LOGIN.in_all / one.len());
        assert!(opened(&[&fits, OK].concat()).await.is_ok());
        let error = opened(&[&fits, &one[..], OK].concat()).await.unwrap_err();
        assert!(matches!(error, Failure::TooMuch(_)), "{error}");
        let one = message(b'D', OF_LOOK.message);
        let all = [OK, &one.repeat(1 + OF_LOOK.in_all / one.len())].concat();
        assert!(matches!(rows(&all).await.unwrap_err(), Failure::TooMuch(_)));
    }

    #[tokio::test]
    async fn a_login_that_is_none_is_refused() {
        for server in [
            // clear text twice, a proof that never comes, ready without a login
            &b"R\0\0\0\x08\0\0\0\x03R\0\0\0\x08\0\0\0\x03"[..],
            b"R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0R\0\0\0\x08\0\0\0\0",
            b"R\0\0\0\x10\0\0\0\x0aOTHER\0\0R\0\0\0\x08\0\0\0\0",
            b"R\0\0\0\x08\0\0\0\x07",
            b"Z\0\0\0\x05I",
            b"?\0\0\0\x05I",
        ] {
            let error = opened(server).await.unwrap_err();
            assert!(matches!(error, Failure::Protocol(_)), "{error}");
        }
    }

    #[test]
    fn a_field_may_lie_about_its_length() {
        let row = |bytes: &[u8]| {
            let mut whole = BytesMut::from(bytes);
            let Ok(Some(Message::DataRow(row))) = Message::parse(&mut whole) else { panic!("no row") };
            first(&row)
        };
        assert_eq!(row(b"D\0\0\0\x0b\0\x01\0\0\0\x01x").unwrap().as_deref(), Some("x"));
        assert_eq!(row(b"D\0\0\0\x0a\0\x01\xff\xff\xff\xff").unwrap(), None);
        assert_eq!(row(b"D\0\0\0\x06\0\0").unwrap(), None);
        assert!(row(b"D\0\0\0\x0b\0\x01\0\0\0\x02x").is_err());
        assert!(row(b"D\0\0\0\x0b\0\x01\0\0\0\x01\xff").is_err());
    }

    #[tokio::test]
    async fn what_the_server_says_of_an_error_is_taken_as_it_comes() {
        for (fields, code, message) in [
            (&b"SFATAL\0C28P01\0Mno \xff\0\0"[..], "28P01", "no \u{fffd}"),
            (b"\0", "", ""),
            (b"C28P01", "", ""),
            (b"", "", ""),
        ] {
            let length = u32::try_from(fields.len() + 4).unwrap().to_be_bytes();
            let error = opened(&[&b"E"[..], &length, fields].concat()).await.unwrap_err();
            let Failure::Server { code: state, message: said } = error else { panic!("{error}") };
            assert_eq!((state.as_str(), said.as_str()), (code, message));
        }
    }
}
