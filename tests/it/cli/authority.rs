//! A timestamp authority on 127.0.0.1, with openssl behind it, that can be told to lie.
//!
//! Keys and certificates are made anew each time. One request is answered after the other; the thread
//! ends with the test process.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

/// What an authority does wrong.
#[derive(Clone, Debug)]
pub enum Lie {
    /// Nothing.
    None,
    /// It stamps another hash than the one asked for.
    Imprint,
    /// It answers another request.
    Nonce,
    /// It says no.
    Rejection,
    /// No DER at all.
    Garbage,
    /// A good answer, and then a byte.
    Trailing,
    /// HTTP 500, with a good answer.
    Status,
    /// It hangs up.
    HangUp,
    /// What it once answered somebody else.
    Replay(Vec<u8>),
    /// One bit of its signature differs.
    Signature,
    /// Its certificate is not in the answer.
    NoCertificate,
    /// Its certificate is not one for time stamping.
    Purpose,
    /// Its clock is wrong: the time it says, as `YYYYMMDDHHMMSS`.
    Clock(&'static str),
}

/// The kind of the authority's keys.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    P256,
    Rsa,
}

struct State {
    lie: Lie,
    answers: Vec<Vec<u8>>,
}

/// A running authority.
pub struct Authority {
    pub url: String,
    folder: Arc<tempfile::TempDir>,
    state: Arc<Mutex<State>>,
}

impl Authority {
    pub fn new(kind: Kind) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        certificates(folder.path(), kind);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}/tsr", listener.local_addr().expect("an address"));
        let state = Arc::new(Mutex::new(State { lie: Lie::None, answers: Vec::new() }));
        let (folder, shared) = (Arc::new(folder), Arc::clone(&state));
        let place = Arc::clone(&folder);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                answer(stream.expect("a connection"), place.path(), &shared);
            }
        });
        Self { url, folder, state }
    }

    pub fn lies(&self, lie: Lie) {
        self.state.lock().expect("the state").lie = lie;
    }

    /// The answers so far.
    pub fn answers(&self) -> Vec<Vec<u8>> {
        self.state.lock().expect("the state").answers.clone()
    }

    /// The certificate that its own is issued under.
    pub fn root(&self) -> PathBuf {
        self.folder.path().join("root.pem")
    }

    /// Its own certificate.
    pub fn certificate(&self) -> PathBuf {
        self.folder.path().join("tsa.pem")
    }
}

/// Runs openssl there; it has to be installed, and to succeed.
fn openssl(place: &Path, args: &[&str]) {
    let ran = Command::new("openssl").args(args).current_dir(place).output();
    let ran = ran.expect("these tests need the openssl command (3.0 or later)");
    assert!(ran.status.success(), "openssl {args:?}: {}", String::from_utf8_lossy(&ran.stderr));
}

fn certificates(place: &Path, kind: Kind) {
    let key: &[&str] = match kind {
        Kind::P256 => &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
        Kind::Rsa => &["-newkey", "rsa:2048"],
    };
    let own = ["req", "-x509", "-nodes", "-keyout", "root.key", "-out", "root.pem", "-days", "3650"];
    let about = ["-subj", "/O=redrill tests/CN=Test root", "-addext", "basicConstraints=critical,CA:TRUE"];
    let more = ["-addext", "keyUsage=critical,keyCertSign"];
    openssl(place, &[&own[..], key, &about, &more].concat());
    for (name, use_) in
        [("tsa", "extendedKeyUsage=critical,timeStamping"), ("web", "extendedKeyUsage=serverAuth")]
    {
        let [secret, asked, made, extensions] =
            ["key", "csr", "pem", "ext"].map(|end| format!("{name}.{end}"));
        let subject = ["-subj", "/O=redrill tests/CN=Test authority"];
        openssl(place, &[&["req", "-nodes", "-keyout", &secret, "-out", &asked], key, &subject].concat());
        let text = format!("basicConstraints=CA:FALSE\nkeyUsage=critical,digitalSignature\n{use_}\n");
        fs::write(place.join(&extensions), text).expect("written");
        let from =
            ["x509", "-req", "-in", &asked, "-CA", "root.pem", "-CAkey", "root.key", "-CAcreateserial"];
        openssl(place, &[&from[..], &["-days", "3650", "-extfile", &extensions, "-out", &made]].concat());
    }
    fs::write(place.join("serial"), "01\n").expect("written");
    for (name, digests) in [("tsa.cnf", "sha256"), ("other.cnf", "sha512")] {
        let text = format!(
            "[tsa]\ndefault_tsa = it\n[it]\nserial = serial\nsigner_cert = tsa.pem\nsigner_key = tsa.key\n\
             signer_digest = sha256\ndefault_policy = 1.2.3.4.1\ndigests = {digests}\naccuracy = secs:1\n\
             ess_cert_id_alg = sha256\n"
        );
        fs::write(place.join(name), text).expect("written");
    }
}

/// Reads one request and answers it, in truth or not.
fn answer(stream: TcpStream, place: &Path, state: &Mutex<State>) {
    let mut reader = BufReader::new(&stream);
    let mut length = 0;
    let mut kind = String::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).expect("a request") == 0 || line == "\r\n" {
            break;
        }
        let (name, value) = line.split_once(':').unwrap_or((&line, ""));
        match name.to_lowercase().as_str() {
            "content-length" => length = value.trim().parse().expect("a length"),
            "content-type" => value.trim().clone_into(&mut kind),
            _ => {}
        }
    }
    let mut query = vec![0; length];
    reader.read_exact(&mut query).expect("a body");
    assert_eq!(kind, "application/timestamp-query");
    let lie = state.lock().expect("the state").lie.clone();
    if matches!(lie, Lie::HangUp) {
        return;
    }
    let response = lied(place, query, &lie);
    let status = if matches!(lie, Lie::Status) { "500 Internal Server Error" } else { "200 OK" };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/timestamp-reply\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        response.len()
    );
    state.lock().expect("the state").answers.push(response.clone());
    let mut stream = &stream;
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&response)).expect("answered");
}

fn lied(place: &Path, mut query: Vec<u8>, lie: &Lie) -> Vec<u8> {
    let end = query.len();
    match lie {
        // where the request has them: hash, nonce, and at the end whether certificates are asked for
        Lie::Imprint => query[30] ^= 1,
        Lie::Nonce => query[60] ^= 1,
        Lie::NoCertificate => query[end - 1] = 0,
        Lie::Garbage => return b"<html>It works!</html>".to_vec(),
        Lie::Replay(old) => return old.clone(),
        _ => {}
    }
    fs::write(place.join("query"), query).expect("written");
    let config = if matches!(lie, Lie::Rejection) { "other.cnf" } else { "tsa.cnf" };
    openssl(place, &["ts", "-reply", "-config", config, "-queryfile", "query", "-out", "response"]);
    match lie {
        Lie::Purpose => signed_by_hand(place, "web", |_| ()),
        Lie::Clock(time) => signed_by_hand(place, "tsa", |info| {
            let at = info.windows(2).position(|w| w == [0x18, 15]).expect("a time") + 2;
            info[at..at + 14].copy_from_slice(time.as_bytes());
        }),
        _ => {}
    }
    let mut response = fs::read(place.join("response")).expect("a response");
    match lie {
        Lie::Signature => *response.last_mut().expect("bytes") ^= 1,
        Lie::Trailing => response.push(0),
        _ => {}
    }
    response
}

/// Signs what the authority said anew, changed, in a way that `openssl ts` would not.
fn signed_by_hand(place: &Path, signer: &str, change: impl FnOnce(&mut Vec<u8>)) {
    openssl(place, &["ts", "-reply", "-config", "tsa.cnf", "-in", "response", "-token_out", "-out", "token"]);
    let read = ["cms", "-verify", "-noverify", "-inform", "DER", "-in", "token", "-binary", "-out", "info"];
    openssl(place, &read);
    let mut info = fs::read(place.join("info")).expect("read");
    change(&mut info);
    fs::write(place.join("info"), info).expect("written");
    let [certificate, key] = ["pem", "key"].map(|end| format!("{signer}.{end}"));
    let sign = ["cms", "-sign", "-binary", "-nodetach", "-cades", "-md", "sha256", "-outform", "DER"];
    let what = ["-in", "info", "-econtent_type", "1.2.840.113549.1.9.16.1.4", "-out", "token"];
    openssl(place, &[&sign[..], &what, &["-signer", &certificate, "-inkey", &key]].concat());
    let token = fs::read(place.join("token")).expect("read");
    // status granted, then the token
    let length = u16::try_from(token.len() + 5).expect("a short token").to_be_bytes();
    let head = [0x30, 0x82, length[0], length[1], 0x30, 0x03, 0x02, 0x01, 0x00];
    fs::write(place.join("response"), [&head[..], &token].concat()).expect("written");
}
