//! Writing to the terminal: the one file that may.
//!
//! What is written is calm: nothing in it steers the terminal, wherever the text came from. Documents
//! that a program reads are written as they are.
//!
//! A closed pipe is no error: `redrill runs | head -1` ends quietly. From [`detach`] on, nothing that is
//! written is waited for: a run with a fault in place must not stand still because nobody reads.

use std::borrow::Cow;
use std::io::{self, IsTerminal as _, Write as _};
use std::os::fd::AsFd;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::outlet::Outlet;
use super::{CliError, fold, masked};
use crate::journal::{Measured, Verdict};
use crate::model::RunId;
use crate::model::text::{escaped, is_unseen, shown};

/// How much of stdout may wait for its reader, in bytes: what machines read is worth keeping.
const ROOM: usize = 8 << 20;
/// How much of stderr may, in bytes.
const ROOM_FOR_PEOPLE: usize = 256 << 10;
/// How long the end waits for a reader who takes nothing.
const STALL: Duration = Duration::from_secs(1);
/// How long it waits for one who takes little.
const LAST: Duration = Duration::from_secs(10);

/// Where output goes once nobody may wait for it.
struct Outlets {
    out: Outlet,
    err: Outlet,
}

static OUTLETS: OnceLock<Outlets> = OnceLock::new();

/// From here on all output is written by threads of its own, and what is not read in time is left out and
/// counted. Also what a panic has to say.
pub fn detach() {
    OUTLETS.get_or_init(|| {
        std::panic::set_hook(Box::new(|panic| note(&format!("redrill: BUG: {panic}"))));
        let left_out = |n| format!("{}\n", serde_json::json!({ "type": "dropped", "count": n }));
        Outlets {
            out: Outlet::new(Descriptor(io::stdout()), ROOM, left_out),
            err: Outlet::new(Descriptor(io::stderr()), ROOM_FOR_PEOPLE, |n| {
                format!("… {n} lines were left out, because the output was not read\n")
            }),
        }
    });
}

/// Waits until what was written is read: for a second where nothing is taken.
pub fn finish() {
    if let Some(Outlets { out, err }) = OUTLETS.get() {
        let patience = if out.drained(STALL, LAST) { STALL } else { STALL / 10 };
        err.drained(patience, LAST);
    }
}

/// Waits for stderr in the same way, before something on stdout that is to stand below it.
pub fn settle() {
    if let Some(Outlets { err, .. }) = OUTLETS.get() {
        err.drained(STALL, LAST);
    }
}

/// Whether stderr takes more: on a terminal, what is drawn there, elsewhere lines.
pub fn takes(drawing: bool) -> bool {
    OUTLETS.get().is_none_or(|o| if drawing { o.err.is_idle() } else { o.err.has_room() })
}

/// A file descriptor, without the buffers and the lock of the standard library.
struct Descriptor<F: AsFd>(F);

impl<F: AsFd> io::Write for Descriptor<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        use rustix::event::{PollFd, PollFlags, poll};
        loop {
            match rustix::io::write(&self.0, bytes) {
                // whoever else has it open made it so
                Err(rustix::io::Errno::AGAIN) => {
                    let _again = poll(&mut [PollFd::new(&self.0, PollFlags::OUT)], None);
                }
                written => return Ok(written?),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes a document to stdout, byte for byte as it would be in a file.
pub fn document(text: &str) {
    if let Some(outlets) = OUTLETS.get() {
        return outlets.out.insist(text.to_owned());
    }
    let mut out = io::stdout().lock();
    let _closed = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Writes text to stdout.
pub fn print(text: &str) {
    document(&fitted(&calm(text), io::stdout().is_terminal(), width));
}

/// Writes a line to stdout.
pub fn line(text: &str) {
    print(&format!("{text}\n"));
}

/// On a terminal, lines that are wider are broken; programs are given them whole.
fn fitted<'t>(text: &'t str, terminal: bool, width: impl FnOnce() -> usize) -> Cow<'t, str> {
    if terminal { Cow::Owned(fold::folded(text, width())) } else { Cow::Borrowed(text) }
}

/// Whatever a text is made of, only its line breaks act on the terminal.
fn calm(text: &str) -> Cow<'_, str> {
    if !text.contains(|c| c != '\n' && is_unseen(c)) {
        return Cow::Borrowed(text);
    }
    let lines = text.split('\n').map(|line| line.chars().filter_map(shown).collect::<String>());
    Cow::Owned(lines.collect::<Vec<_>>().join("\n"))
}

/// Writes one JSON value on one line to stdout.
pub fn json<T: serde::Serialize>(value: &T) {
    if let Some(text) = in_one_line(value) {
        document(&text);
    }
}

/// The same, of something of which there are many: while nobody reads they are left out, and a line
/// `{"type":"dropped","count":n}` says how many. `missed`: so many before it never came here.
pub fn event<T: serde::Serialize>(value: &T, missed: u64) {
    match (OUTLETS.get(), in_one_line(value)) {
        (Some(Outlets { out, .. }), Some(text)) => {
            out.missed(missed);
            out.offer(text);
        }
        (None, Some(text)) => document(&text),
        (_, None) => {}
    }
}

/// So many events never came here, and none comes any more.
pub fn missed(events: u64) {
    if let Some(Outlets { out, .. }) = OUTLETS.get() {
        out.missed(events);
    }
}

fn in_one_line<T: serde::Serialize>(value: &T) -> Option<String> {
    match serde_json::to_string(value) {
        Ok(text) => Some(escaped(&text) + "\n"),
        Err(e) => {
            note(&format!("redrill: BUG: {e}"));
            None
        }
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

/// Whether there is a result line already.
static RESULT: AtomicBool = AtomicBool::new(false);

/// Whether the result line was written.
pub fn has_result() -> bool {
    RESULT.load(Ordering::SeqCst)
}

/// Writes the result line.
pub fn result(o: &Outcome<'_>) {
    RESULT.store(true, Ordering::SeqCst);
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
    let width = || given_width().or(screen().map(|(columns, _)| columns.into())).unwrap_or(80).clamp(60, 120);
    raw(format!("{}\n", fitted(&calm(text), watched(), width)));
}

/// Writes to stderr what may steer the terminal: lines that stay.
pub fn raw(text: String) {
    match OUTLETS.get() {
        Some(outlets) => outlets.err.insist(text),
        None => {
            let _closed = io::stderr().lock().write_all(text.as_bytes());
        }
    }
}

/// Writes an error to stderr, without the secrets that are known by now.
pub fn error(e: &CliError) {
    note(&masked::text(e.text()));
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
    given_width().or_else(terminal_width).unwrap_or(80).clamp(60, 120)
}

fn given_width() -> Option<usize> {
    std::env::var("COLUMNS").ok()?.parse().ok()
}

/// Columns and rows of the terminal on stderr.
pub fn screen() -> Option<(u16, u16)> {
    let size = rustix::termios::tcgetwinsize(io::stderr()).ok()?;
    (size.ws_col > 0 && size.ws_row > 0).then_some((size.ws_col, size.ws_row))
}

fn terminal_width() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    (size.ws_col > 0).then_some(usize::from(size.ws_col))
}
