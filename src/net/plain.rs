//! Between the database driver and a server on another machine, where the connection may go without TLS: no
//! password passes in clear text. I/O.
//!
//! The driver answers every way of asking for a password. So it is given an address on this machine, and what
//! it hears from the server is looked at until it is logged in. Invariant: of a connection without TLS, a
//! request for the password in clear text never reaches the driver; everything else passes unchanged.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// The longest message of a login; the longest of PostgreSQL's own is far shorter.
const LONGEST: u32 = 64 * 1024;
/// AuthenticationCleartextPassword and AuthenticationOk.
const CLEAR_TEXT: u32 = 3;
const LOGGED_IN: u32 = 0;
/// What the driver hears instead, with the state "invalid authorization".
const REFUSED: &str = "the server asks for the password in clear text, and the connection is not encrypted";

/// A door on this machine that leads to the server; it closes when dropped.
pub(super) struct Door {
    /// Where the driver connects to.
    pub(super) port: u16,
    task: JoinHandle<()>,
}

impl Drop for Door {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Connects to the server and opens a door to it, for one connection. `may_encrypt`: the driver asks for TLS
/// first, and goes on without.
///
/// # Errors
/// The server cannot be connected to.
pub(super) async fn door(server: &[SocketAddr], may_encrypt: bool) -> io::Result<Door> {
    let server = TcpStream::connect(server).await?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let port = listener.local_addr()?.port();
    let task = tokio::spawn(async move {
        let Ok((driver, _)) = listener.accept().await else { return };
        drop(listener);
        // whatever breaks here, the driver sees a connection that broke
        let _ended = pass(driver, server, may_encrypt).await;
    });
    Ok(Door { port, task })
}

async fn pass(mut driver: TcpStream, mut server: TcpStream, may_encrypt: bool) -> io::Result<()> {
    if may_encrypt {
        // the request for TLS, eight bytes, and the answer, one
        let mut asked = [0; 8];
        driver.read_exact(&mut asked).await?;
        server.write_all(&asked).await?;
        let answer = server.read_u8().await?;
        driver.write_u8(answer).await?;
        if answer == b'S' {
            copy_bidirectional(&mut driver, &mut server).await?;
            return Ok(());
        }
        if answer != b'N' {
            return Ok(());
        }
    }
    let (mut from_driver, mut to_driver) = driver.split();
    let (mut from_server, mut to_server) = server.split();
    let login = async {
        login(&mut from_server, &mut to_driver).await?;
        copy(&mut from_server, &mut to_driver).await
    };
    // the first end of either is the end of both
    tokio::select! {
        ended = copy(&mut from_driver, &mut to_server) => ended.map(drop),
        ended = login => ended.map(drop),
    }
}

/// Hands the server's messages on until the login is over.
async fn login(
    server: &mut (impl AsyncRead + Unpin),
    driver: &mut (impl AsyncWrite + Unpin),
) -> io::Result<()> {
    loop {
        let kind = server.read_u8().await?;
        let length = server.read_u32().await?;
        if !(4..=LONGEST).contains(&length) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut body = vec![0; length as usize - 4];
        server.read_exact(&mut body).await?;
        let code = body.first_chunk().map(|four| u32::from_be_bytes(*four));
        if kind == b'R' && code == Some(CLEAR_TEXT) {
            driver.write_all(&refusal()).await?;
            driver.flush().await?;
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        driver.write_u8(kind).await?;
        driver.write_u32(length).await?;
        driver.write_all(&body).await?;
        // after an error there is nothing more to come
        if (kind == b'R' && code == Some(LOGGED_IN)) || kind == b'E' {
            return Ok(());
        }
    }
}

/// PostgreSQL's ErrorResponse.
fn refusal() -> Vec<u8> {
    let fields = format!("SFATAL\0VFATAL\0C28000\0M{REFUSED}\0\0");
    let length = u32::try_from(fields.len() + 4).unwrap_or(u32::MAX);
    [&b"E"[..], &length.to_be_bytes(), fields.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn heard(server: &[u8]) -> (io::Result<()>, Vec<u8>) {
        let mut driver = Vec::new();
        let ended = login(&mut &*server, &mut driver).await;
        (ended, driver)
    }

    #[tokio::test]
    async fn a_request_for_the_password_in_clear_text_does_not_pass() {
        let notice = b"N\0\0\0\x08\0\0\0\x03";
        let asks = [&notice[..], b"R\0\0\0\x08\0\0\0\x03"].concat();
        let (ended, driver) = heard(&asks).await;
        assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        assert_eq!(driver, [&notice[..], &refusal()].concat());
        // a challenge, then the login, then anything at all
        let other = b"R\0\0\0\x0c\0\0\0\x05saltR\0\0\0\x08\0\0\0\0R\0\0\0\x08\0\0\0\x03";
        let (ended, driver) = heard(other).await;
        assert!(ended.is_ok());
        assert_eq!(driver, other[..22]);
    }

    #[tokio::test]
    async fn a_message_of_a_login_is_bounded() {
        for length in [u32::MAX, LONGEST + 1, 3, 0] {
            let (ended, driver) = heard(&[&b"R"[..], &length.to_be_bytes(), &[0; 64]].concat()).await;
            assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::InvalidData, "{length}");
            assert!(driver.is_empty());
        }
    }
}
