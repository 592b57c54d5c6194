//! Output that nobody waits for: a thread of its own writes it, from a queue with an end. I/O.
//!
//! A terminal that is stopped, or a pipe that nobody reads, holds up that thread and nothing else. What does
//! not fit into the queue is left out and counted, and the count stands where the gap is. Invariant: no
//! function here waits, except [`Outlet::drained`], which says for how long.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal};

use crate::model::Clock as _;
use crate::model::time::SystemClock;

/// What is written at once: little enough to see whether anything is taken.
const PIECE: usize = 4096;

/// One output.
pub struct Outlet {
    shared: Arc<Shared>,
    /// How much may wait, in bytes.
    room: usize,
}

struct Shared {
    waiting: Mutex<Waiting>,
    changed: Condvar,
    /// What is said of this many lines that were left out.
    gap: fn(u64) -> String,
}

#[derive(Default)]
struct Waiting {
    texts: VecDeque<String>,
    bytes: usize,
    left_out: u64,
    /// Grows with every piece that is taken.
    taken: u64,
    writing: bool,
    /// Nobody reads any more.
    closed: bool,
}

impl Waiting {
    fn is_idle(&self) -> bool {
        self.closed || (self.texts.is_empty() && !self.writing)
    }

    fn push(&mut self, text: String) {
        self.bytes += text.len();
        self.texts.push_back(text);
    }
}

impl Outlet {
    /// Starts the thread that writes into `sink`.
    pub fn new(mut sink: impl Write + Send + 'static, room: usize, gap: fn(u64) -> String) -> Self {
        let shared = Arc::new(Shared { waiting: Mutex::default(), changed: Condvar::new(), gap });
        let own = Arc::clone(&shared);
        let started = std::thread::Builder::new().name("output".to_owned()).spawn(move || {
            never_stopped_by_the_terminal();
            own.write(&mut sink);
        });
        if started.is_err() {
            shared.lock().closed = true;
        }
        Self { shared, room }
    }

    /// A line that may be left out. Returns whether it was taken.
    pub fn offer(&self, text: String) -> bool {
        self.put(text, self.room)
    }

    /// What is worth more than that: left out only where nothing was read for very long.
    pub fn insist(&self, text: String) {
        self.put(text, 2 * self.room);
    }

    fn put(&self, text: String, room: usize) -> bool {
        let mut waiting = self.shared.lock();
        if waiting.closed {
            return true;
        }
        if waiting.bytes + text.len() > room {
            waiting.left_out += 1;
            return false;
        }
        self.shared.own_up(&mut waiting);
        waiting.push(text);
        drop(waiting);
        self.shared.changed.notify_all();
        true
    }

    /// So many lines never came here.
    pub fn missed(&self, lines: u64) {
        self.shared.lock().left_out += lines;
    }

    /// Whether everything is written.
    pub fn is_idle(&self) -> bool {
        self.shared.lock().is_idle()
    }

    /// Whether there is much room.
    pub fn has_room(&self) -> bool {
        self.shared.lock().bytes <= self.room / 4
    }

    /// Waits until everything is written, or nothing was taken for `stall`, or `all` is over. Returns
    /// whether everything is written.
    pub fn drained(&self, stall: Duration, all: Duration) -> bool {
        let began = SystemClock.stamp().mono_ms;
        let mut waiting = self.shared.lock();
        if waiting.left_out > 0 {
            self.shared.own_up(&mut waiting);
            self.shared.changed.notify_all();
        }
        loop {
            if waiting.is_idle() {
                return true;
            }
            let before = waiting.taken;
            let nothing = |w: &mut Waiting| w.taken == before && !w.is_idle();
            let (now, waited) = self
                .shared
                .changed
                .wait_timeout_while(waiting, stall, nothing)
                .unwrap_or_else(PoisonError::into_inner);
            waiting = now;
            let spent = u128::from(SystemClock.stamp().mono_ms.saturating_sub(began));
            if waited.timed_out() || spent >= all.as_millis() {
                return waiting.is_idle();
            }
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says where the gap is how many lines are missing.
    fn own_up(&self, waiting: &mut Waiting) {
        if waiting.left_out > 0 {
            let gap = (self.gap)(std::mem::take(&mut waiting.left_out));
            waiting.push(gap);
        }
    }

    /// Writes whatever comes, until nobody reads any more.
    fn write(&self, sink: &mut dyn Write) {
        let mut waiting = self.lock();
        loop {
            let Some(text) = waiting.texts.pop_front() else {
                waiting = self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            waiting.writing = true;
            drop(waiting);
            let written = text.as_bytes().chunks(PIECE).try_for_each(|piece| {
                sink.write_all(piece)?;
                self.lock().taken += 1;
                self.changed.notify_all();
                Ok::<(), io::Error>(())
            });
            let _closed = sink.flush();
            waiting = self.lock();
            waiting.writing = false;
            waiting.bytes -= text.len();
            if written.is_err() {
                waiting.closed = true;
                waiting.texts.clear();
            }
            self.changed.notify_all();
            if waiting.closed {
                return;
            }
        }
    }
}

/// In a thread that reads or writes the terminal: a process in the background is not stopped for it (POSIX:
/// with SIGTTOU blocked it may write, with SIGTTIN blocked its reading fails).
pub fn never_stopped_by_the_terminal() {
    let mut both = SigSet::empty();
    both.add(Signal::SIGTTIN);
    both.add(Signal::SIGTTOU);
    let _as_it_was = both.thread_block();
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Read as _};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn gap(n: u64) -> String {
        format!("{n} left out\n")
    }

    #[test]
    fn what_nobody_reads_is_left_out_and_counted_where_the_gap_is() {
        let (reader, writer) = io::pipe().unwrap();
        let outlet = Outlet::new(writer, 200_000, gap);
        let line = |n: usize| format!("{n:>9}\n");
        // many times what the pipe and the queue hold, and nobody reads: nobody waits either
        let taken = (0..100_000).filter(|n| outlet.offer(line(*n))).count();
        assert!((20_000..80_000).contains(&taken), "{taken} lines of 10 bytes");
        outlet.insist("the result\n".to_owned());
        assert!(!outlet.drained(Duration::from_millis(50), SECOND), "nobody reads");

        let read = std::thread::spawn(move || {
            let lines = BufReader::new(reader).lines().map(Result::unwrap);
            lines.take_while(|line| line != "the result").collect::<Vec<_>>()
        });
        assert!(outlet.drained(60 * SECOND, 60 * SECOND));
        // what is there and what is said to be missing make up all of it, in order
        let (mut next, mut there) = (0, 0);
        for line in read.join().unwrap() {
            match line.strip_suffix(" left out") {
                Some(n) => next += n.parse::<usize>().unwrap(),
                None => {
                    assert_eq!(line.trim(), next.to_string());
                    (next, there) = (next + 1, there + 1);
                }
            }
        }
        assert_eq!((next, there), (100_000, taken));
    }

    #[test]
    fn a_slow_reader_is_waited_for_and_one_that_went_away_is_not() {
        let (mut reader, writer) = io::pipe().unwrap();
        let outlet = Outlet::new(writer, 1 << 20, gap);
        outlet.insist("x".repeat(300_000));
        let reading = std::thread::spawn(move || {
            let mut some = [0; 30_000];
            for _ in 0..10 {
                std::thread::park_timeout(Duration::from_millis(30));
                reader.read_exact(&mut some).unwrap();
            }
        });
        assert!(outlet.drained(20 * SECOND, 60 * SECOND), "it is slow, and takes all");
        reading.join().unwrap();
        // nobody reads any more: a closed pipe is no error, and nothing waits for it
        while outlet.offer("more\n".to_owned()) && !outlet.shared.lock().closed {
            std::thread::yield_now();
        }
        assert!(outlet.is_idle() && outlet.drained(SECOND, SECOND));
    }

    #[test]
    fn lines_that_never_came_are_counted_too() {
        let (mut reader, writer) = io::pipe().unwrap();
        let outlet = Outlet::new(writer, 1 << 20, gap);
        outlet.offer("one\n".to_owned());
        outlet.missed(3);
        outlet.offer("five\n".to_owned());
        outlet.missed(2);
        assert!(outlet.drained(60 * SECOND, 60 * SECOND));
        let told = "one\n3 left out\nfive\n2 left out\n";
        let mut read = vec![0; told.len()];
        reader.read_exact(&mut read).unwrap();
        assert_eq!(String::from_utf8(read).unwrap(), told);
    }
}
