//! The `sql` probe against a database that wants to end whoever asks it: it announces more than there is memory
//! for, never stops, or lies about lengths. What it says makes an unknown observation, and is never held.

use std::process::Command;
use std::time::Duration;

use redrill::model::Health;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::postgres::{Bench, sees};

const HUGE: u32 = 1_900_000_000;

/// What the server does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Evil {
    /// Announces a message of this type and length in place of a login.
    Instead(u8, u32),
    /// Asks for the proof of the password at a price.
    Work,
    /// Ends the login only after this message, over and over.
    Login(&'static [u8]),
    /// Logs in, and announces a message of this type and length in place of the n-th answer.
    Answer(usize, u8, u32),
    /// Logs in, answers, and then says this over and over in place of rows.
    Rows(&'static [u8]),
    /// A row of 1 MB that never quite ends.
    Almost,
    /// One byte now and then.
    Drip,
}

const OK: &[u8] = b"R\0\0\0\x08\0\0\0\0";
const READY: &[u8] = b"Z\0\0\0\x05T";

/// One message of the client: its type and what it says.
async fn heard(socket: &mut TcpStream, typed: bool) -> std::io::Result<(u8, Vec<u8>)> {
    let kind = if typed { socket.read_u8().await? } else { 0 };
    let mut body = vec![0; socket.read_u32().await? as usize - 4];
    socket.read_exact(&mut body).await?;
    Ok((kind, body))
}

/// A message of 1,002 bytes that begins and ends like this.
fn whole(kind: u8, begin: &[u8], end: &[u8]) -> &'static [u8] {
    let fill = vec![b'x'; 1002 - 5 - begin.len() - end.len()];
    [&[kind][..], &1001_u32.to_be_bytes(), begin, &fill, end].concat().leak()
}

/// Waits for a question to end: a simple one is one message.
async fn asked(socket: &mut TcpStream) -> std::io::Result<()> {
    while !matches!(heard(socket, true).await?.0, b'Q' | b'S') {}
    Ok(())
}

async fn for_ever(socket: &mut TcpStream, message: &[u8]) -> std::io::Result<()> {
    let many = message.repeat(1 + 65_536 / message.len());
    loop {
        socket.write_all(&many).await?;
    }
}

async fn serve(mut socket: TcpStream, evil: Evil) -> std::io::Result<()> {
    // no TLS, then who it is
    heard(&mut socket, false).await?;
    socket.write_all(b"N").await?;
    heard(&mut socket, false).await?;
    let announce = |kind: u8, length: u32| [&[kind][..], &length.to_be_bytes(), &[0; 64]].concat();
    match evil {
        Evil::Instead(kind, length) => socket.write_all(&announce(kind, length)).await?,
        Evil::Work => {
            socket.write_all(b"R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0").await?;
            let (_, first) = heard(&mut socket, true).await?;
            let nonce = String::from_utf8_lossy(&first).into_owned();
            let nonce = nonce.split("r=").nth(1).unwrap_or_default().to_owned();
            let price = format!("r={nonce}x,s=c2FsdA==,i=4294967295");
            let length = u32::try_from(price.len() + 8).expect("it is short");
            let message = [&b"R"[..], &length.to_be_bytes(), b"\0\0\0\x0b", price.as_bytes()].concat();
            socket.write_all(&message).await?;
        }
        Evil::Login(message) => for_ever(&mut socket, message).await?,
        _ => socket.write_all(&[OK, READY].concat()).await?,
    }
    // the transaction, the cursor, its declaration: and then what is read
    let answers: [&[u8]; 3] = [b"C\0\0\0\x0aBEGIN\0", b"1\0\0\0\x04", b"2\0\0\0\x04"];
    for (n, answer) in answers.into_iter().enumerate() {
        asked(&mut socket).await?;
        match evil {
            Evil::Answer(at, kind, length) if at == n => {
                socket.write_all(&announce(kind, length)).await?;
            }
            _ => socket.write_all(&[answer, READY].concat()).await?,
        }
    }
    asked(&mut socket).await?;
    match evil {
        Evil::Answer(_, kind, length) => socket.write_all(&announce(kind, length)).await?,
        Evil::Rows(message) => for_ever(&mut socket, message).await?,
        Evil::Almost => {
            let length = 1_000_000_u32;
            socket.write_all(&[&b"D"[..], &length.to_be_bytes()].concat()).await?;
            for _ in 0..999 {
                socket.write_all(&[0; 1000]).await?;
            }
        }
        Evil::Drip => {
            socket.write_all(b"D\0\0\xff\xff").await?;
            loop {
                socket.write_all(b"1").await?;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        _ => {}
    }
    // until the client goes
    let _gone = socket.read_to_end(&mut Vec::new()).await?;
    Ok(())
}

/// A server like that, as long as the test lasts.
async fn server(evil: Evil) -> Bench {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let bench = Bench::new(listener.local_addr().expect("an address").port());
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(serve(socket, evil));
        }
    });
    bench
}

/// What this process has had at most, in MiB: address space, and memory.
fn peaks() -> [u64; 2] {
    let status = std::fs::read_to_string("/proc/self/status").expect("this process");
    ["VmPeak:", "VmHWM:"].map(|name| {
        let line = status.lines().find_map(|l| l.strip_prefix(name)).expect(name);
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") / 1024
    })
}

/// Once more in a process of its own, whose memory is nobody else's. Whether this is that process.
fn alone(test: &str) -> bool {
    if std::env::var_os("REDRILL_TEST_ALONE").is_some() {
        return true;
    }
    let mut again = Command::new(std::env::current_exe().expect("this test"));
    again.args(["--exact", &format!("hostile_database::{test}")]).env("REDRILL_TEST_ALONE", "1");
    let ran = again.output().expect("it starts");
    let text = String::from_utf8_lossy(&ran.stdout) + String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success() && text.contains("1 passed"), "{text}");
    false
}

#[tokio::test]
async fn what_a_database_announces_is_unknown_and_never_held() {
    if !alone("what_a_database_announces_is_unknown_and_never_held") {
        return;
    }
    let before = peaks();
    let announced = "announces a message of 1900000000 bytes";
    // messages of 1,002 bytes: a column of 991, a text, a name and a value
    let row = whole(b'D', b"\0\x01\0\0\x03\xdf", b"1");
    let notice = whole(b'N', b"M", b"\0");
    let setting = whole(b'S', b"name\0", b"\0");
    // a column that says that it is longer than its row
    let lying: &[u8] = b"D\0\0\0\x0b\0\x01\x71\x3f\xb3\0x";
    for (evil, why) in [
        (Evil::Instead(b'R', HUGE), announced),
        (Evil::Instead(b'E', HUGE), announced),
        (Evil::Instead(b'S', HUGE), announced),
        (Evil::Instead(b'R', u32::MAX), "announces a message of 4294967295 bytes"),
        (Evil::Instead(b'R', 0x8000_0000), "announces a message of 2147483648 bytes"),
        (Evil::Instead(b'R', 100_000), "at most 65536 are read"),
        (Evil::Instead(b'R', 3), "a message of 3 bytes"),
        (Evil::Instead(b'R', 0), "a message of 0 bytes"),
        (Evil::Work, "iteration count"),
        (Evil::Login(notice), "longer than 262144 bytes"),
        (Evil::Login(setting), "longer than 262144 bytes"),
        (Evil::Login(b"R\0\0\0\x08\0\0\0\x03"), "the login does not end"),
        (Evil::Answer(0, b'E', HUGE), announced),
        (Evil::Answer(1, b'E', HUGE), announced),
        (Evil::Answer(1, b'T', HUGE), announced),
        (Evil::Answer(2, b'N', HUGE), announced),
        (Evil::Answer(3, b'T', HUGE), announced),
        (Evil::Answer(3, b'D', HUGE), announced),
        (Evil::Answer(3, b'D', u32::MAX), "announces a message of 4294967295 bytes"),
        (Evil::Answer(3, b'D', (1 << 20) + 1), "at most 1048576 are read"),
        (Evil::Answer(3, b'D', 2), "a message of 2 bytes"),
        (Evil::Answer(3, b'?', 8), "not PostgreSQL's protocol"),
        (Evil::Rows(lying), "not PostgreSQL's protocol"),
        (Evil::Rows(row), "longer than 67108864 bytes"),
        (Evil::Rows(notice), "longer than 67108864 bytes"),
        (Evil::Rows(setting), "longer than 67108864 bytes"),
    ] {
        let bench = server(evil).await;
        let look = bench.look(json!({"user": "shop", "query": "select 1"}));
        let reading = tokio::time::timeout(Duration::from_secs(10), look).await.expect("in the probe's time");
        assert_eq!(reading.health, Health::Unknown, "{evil:?}: {reading:?}");
        sees(&reading, Health::Unknown, why);
    }
    let after = peaks();
    assert!(after[0] - before[0] < 512, "address space, in MiB: {before:?}, {after:?}");
    assert!(after[1] - before[1] < 48, "memory, in MiB: {before:?}, {after:?}");
}

/// Each of many looks at once holds one message at most; and who stops waiting has let go of everything.
#[tokio::test]
async fn many_looks_at_databases_that_do_not_end_are_bounded() {
    if !alone("many_looks_at_databases_that_do_not_end_are_bounded") {
        return;
    }
    let before = peaks();
    for evil in [Evil::Almost, Evil::Drip] {
        let bench = server(evil).await;
        let looks = (0..24).map(|_| async {
            let with = json!({"user": "shop", "query": "select 1"});
            tokio::time::timeout(Duration::from_secs(2), bench.look(with)).await
        });
        let all = futures::future::join_all(looks).await;
        assert!(all.iter().all(Result::is_err), "{evil:?}: {all:?}");
    }
    let after = peaks();
    assert!(after[1] - before[1] < 48, "memory, in MiB: {before:?}, {after:?}");
}
