//! Writing to the terminal: the one file that may.
//!
//! What is written is calm: nothing in it steers the terminal, wherever the text came from. Documents
//! that a program reads are written as they are.
//!
//! A closed pipe is no error: `redrill runs | head -1` ends quietly.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};

use super::CliError;
use crate::journal::{Measured, Verdict};
use crate::model::RunId;
use crate::model::text::{is_unseen, shown};

/// Writes a document to stdout, byte for byte as it would be in a file.
pub fn document(text: &str) {
    let mut out = io::stdout().lock();
    let _closed = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Writes text to stdout.
pub fn print(text: &str) {
    document(&calm(text));
}

/// Writes a line to stdout.
pub fn line(text: &str) {
    let mut out = io::stdout().lock();
    let _closed = writeln!(out, "{}", calm(text)).and_then(|()| out.flush());
}

/// Whatever a text is made of, only its line breaks act on the terminal.
fn calm(text: &str) -> Cow<'_, str> {
    if !text.contains(|c| c != '\n' && is_unseen(c)) {
        return Cow::Borrowed(text);
    }
    let lines = text.split('\n').map(|line| line.chars().filter_map(shown).collect::<String>());
    Cow::Owned(lines.collect::<Vec<_>>().join("\n"))
}

/// JSON in which what is not seen stands as an escape: the same values, and nothing acts on a terminal.
fn visible(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if is_unseen(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(c);
        }
    }
    out
}

/// Writes one JSON value on one line to stdout.
pub fn json<T: serde::Serialize>(value: &T) {
    match serde_json::to_string(value) {
        Ok(text) => document(&(visible(&text) + "\n")),
        Err(e) => note(&format!("redrill: BUG: {e}")),
    }
}

/// How a run came out, for machines: the last line of `run`, `resume`, `rollback`, `demo` and `rehearse`.
#[derive(Default)]
pub struct Outcome<'a> {
    /// The run; `None` where it came to none.
    pub run: Option<&'a RunId>,
    /// The verdict, where there is one.
    pub verdict: Option<Verdict>,
    /// What was measured.
    pub measured: Option<&'a Measured>,
    /// The objective, in milliseconds.
    pub rto_ms: Option<i64>,
    /// The exit code.
    pub exit_code: u8,
}

/// Writes the result line.
pub fn result(o: &Outcome<'_>) {
    json(&serde_json::json!({
        "type": "result", "v": 1, "run": o.run, "verdict": o.verdict.map(Verdict::name),
        "rta_ms": o.measured.and_then(|m| m.rta_ms),
        "rta_low_ms": o.measured.and_then(|m| m.rta_low_ms),
        "rta_high_ms": o.measured.and_then(|m| m.rta_high_ms),
        "rto_ms": o.rto_ms, "exit_code": o.exit_code
    }));
}

/// Writes a line to stderr.
pub fn note(text: &str) {
    let mut err = io::stderr().lock();
    let _closed = writeln!(err, "{}", calm(text));
}

/// Writes an error to stderr.
pub fn error(e: &CliError) {
    note(&e.text());
}

/// Whether people are watching stderr.
pub fn watched() -> bool {
    io::stderr().is_terminal()
}

/// Whether a person can be asked.
pub fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks a yes-or-no question on the terminal; anything but `yes` is no.
pub fn ask(question: &str) -> bool {
    let mut err = io::stderr().lock();
    if write!(err, "{} ", calm(question)).and_then(|()| err.flush()).is_err() {
        return false;
    }
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).is_ok() && answer.trim() == "yes"
}

/// The terminal's width, 80 where there is none.
pub fn width() -> usize {
    std::env::var("COLUMNS")
        .ok()
        .and_then(|c| c.parse().ok())
        .or_else(terminal_width)
        .unwrap_or(80)
        .clamp(60, 120)
}

fn terminal_width() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    (size.ws_col > 0).then_some(usize::from(size.ws_col))
}
