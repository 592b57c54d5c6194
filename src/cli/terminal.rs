//! What reaches a run from its terminal: signals, and the key that confirms a manual step.
//!
//! Both are listened to in threads of their own, so that nothing else holds them up, and neither the keys for
//! job control nor a terminal that goes away stop a run while its fault is in place. I/O.

use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, mpsc as blocking};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::outlet::never_stopped_by_the_terminal;
use super::session::operator;
use crate::engine::Control;
use crate::journal::inbox::Request;
use crate::model::StepId;

/// How long a process that was told to leave may take for it.
const GRACE: Duration = Duration::from_secs(2);
/// How often a process in the background looks whether it has the terminal.
const BACKGROUND: Duration = Duration::from_millis(250);
/// Set in [`Ears`] once the run is over; below it stands the exit code.
const OVER: u16 = 0x100;

/// The exit code of a run that was left.
const LEFT: u8 = 20;

/// Why the process has to leave although something still holds it up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// A third signal.
    ThirdSignal,
    /// A signal after the run's end, which has this exit code.
    AfterTheEnd(u8),
}

/// Listens to signals.
#[derive(Clone, Default)]
pub struct Ears {
    over: Arc<AtomicU16>,
}

impl Ears {
    /// The run has come to its end: what is left to do must not keep anybody who wants to leave.
    pub fn run_is_over(&self, exit_code: u8) {
        self.over.store(OVER | u16::from(exit_code), Ordering::SeqCst);
    }

    fn over(&self) -> Option<u8> {
        let over = self.over.load(Ordering::SeqCst);
        (over & OVER != 0).then(|| over.to_le_bytes()[0])
    }
}

struct Signals {
    int: Signal,
    term: Signal,
    /// None where whoever started this wants it to outlive the terminal.
    hup: Option<Signal>,
    quit: Signal,
    stop: Signal,
    background_read: Signal,
    background_write: Signal,
}

/// Whether a hang-up was to be ignored when this process began, as `nohup` sees to.
fn hangs_on() -> bool {
    std::fs::read_to_string("/proc/self/status").is_ok_and(|status| ignores_hangup(&status))
}

fn ignores_hangup(status: &str) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    // SIGHUP is number 1, which is the lowest bit
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}

/// The next of a signal that is listened to; never, of one that is not.
async fn heard(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => _ = signal.recv().await,
        None => std::future::pending().await,
    }
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        let raw = |number: i32| signal(SignalKind::from_raw(number));
        use nix::sys::signal::Signal as S;
        Ok(Self {
            int: signal(SignalKind::interrupt())?,
            term: signal(SignalKind::terminate())?,
            hup: if hangs_on() { None } else { Some(signal(SignalKind::hangup())?) },
            quit: signal(SignalKind::quit())?,
            stop: raw(S::SIGTSTP as i32)?,
            background_read: raw(S::SIGTTIN as i32)?,
            background_write: raw(S::SIGTTOU as i32)?,
        })
    }

    /// The next one that asks for something; `None`: to be stopped.
    async fn next(&mut self) -> Option<&'static str> {
        loop {
            tokio::select! {
                _ = self.int.recv() => return Some("SIGINT"),
                _ = self.term.recv() => return Some("SIGTERM"),
                _ = heard(&mut self.hup) => return Some("SIGHUP"),
                _ = self.quit.recv() => return Some("SIGQUIT"),
                _ = self.stop.recv() => return None,
                // listened to so that their default, to stop the process, is not what happens
                _ = self.background_read.recv() => {}
                _ = self.background_write.recv() => {}
            }
        }
    }
}

/// Listens to signals from here on: returns when a signal no longer has its default effect. `say` tells the
/// person at the terminal; `leave` ends the process.
pub fn listen(
    control: mpsc::Sender<Control>,
    say: impl Fn(&str) + Send + 'static,
    leave: impl Fn(Leave) + Send + 'static,
) -> Ears {
    let ears = Ears::default();
    let own = ears.clone();
    let (ready, heard) = blocking::channel::<()>();
    let listening = std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let Ok(runtime) = runtime else { return };
        runtime.block_on(async {
            let Ok(mut signals) = Signals::new() else { return };
            drop(ready);
            hear(&mut signals, &control, &own, &say, &leave).await;
        });
    });
    if listening.is_ok() {
        let _ready = heard.recv();
    }
    ears
}

async fn hear(
    signals: &mut Signals,
    control: &mpsc::Sender<Control>,
    ears: &Ears,
    say: &impl Fn(&str),
    leave: &impl Fn(Leave),
) {
    let mut count = 0;
    let mut leaving: Option<Leave> = None;
    let grace = tokio::time::sleep(GRACE);
    tokio::pin!(grace);
    loop {
        let name = tokio::select! {
            name = signals.next() => name,
            () = &mut grace, if leaving.is_some() => {
                return leave(late(leaving, ears.over()));
            }
        };
        let Some(name) = name else {
            say(
                "Ctrl-Z is ignored while a run is under way: use another terminal. Ctrl-C stops the run and puts everything back.",
            );
            continue;
        };
        count += 1;
        // an engine that takes nothing any more is what the third signal is for
        let _heard = control.try_send(Control::Signal(name.to_owned()));
        let now = ears.over().map(Leave::AfterTheEnd).or((count >= 3).then_some(Leave::ThirdSignal));
        if now.is_some() && leaving.is_none() {
            leaving = now;
            grace.set(tokio::time::sleep(GRACE));
        }
    }
}

/// Why the process leaves once its grace is over: what the engine came to meanwhile counts, unless that is the
/// third signal itself.
fn late(leaving: Option<Leave>, over: Option<u8>) -> Leave {
    match (leaving, over) {
        (Some(Leave::ThirdSignal), Some(LEFT)) | (_, None) => leaving.unwrap_or(Leave::ThirdSignal),
        (_, Some(code)) => Leave::AfterTheEnd(code),
    }
}

/// Reads lines from the terminal: each confirms the manual step that waits, if one does.
pub fn keys(control: mpsc::Sender<Control>, waiting: Arc<Mutex<Option<StepId>>>) {
    // a thread of its own: reading the terminal cannot be interrupted, and must not hold the run up
    let reading = move || {
        never_stopped_by_the_terminal();
        let who = operator();
        let mut text = String::new();
        loop {
            match (in_the_foreground(), std::io::stdin().read_line(&mut text)) {
                (Some(_), Ok(1..)) => {}
                // another job has the terminal now
                (Some(false), Err(_)) => {
                    std::thread::park_timeout(BACKGROUND);
                    continue;
                }
                _ => return,
            }
            let step = waiting.lock().ok().and_then(|mut w| w.take());
            if let Some(step) = step {
                let note = text.trim().to_owned();
                let by = format!("{}@{}", who.user, who.host);
                let request = Request::Confirm { step, note };
                if control.blocking_send(Control::Asked { by, request }).is_err() {
                    return;
                }
            }
            text.clear();
        }
    };
    // without it, `redrill confirm` is still there
    let _started = std::thread::Builder::new().name("keys".to_owned()).spawn(reading);
}

/// Whether this process has the terminal; `None` where there is none any more.
fn in_the_foreground() -> Option<bool> {
    let theirs = rustix::termios::tcgetpgrp(std::io::stdin()).ok()?;
    Some(theirs == rustix::process::getpgrp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_of_a_run_that_is_over_is_kept() {
        let ears = Ears::default();
        assert_eq!(ears.over(), None);
        ears.run_is_over(0);
        assert_eq!(ears.over(), Some(0));
        ears.run_is_over(21);
        assert_eq!(ears.over(), Some(21));
    }

    #[test]
    fn what_a_run_came_to_counts_unless_it_was_left() {
        use Leave::{AfterTheEnd, ThirdSignal};
        assert_eq!(late(Some(ThirdSignal), None), ThirdSignal);
        assert_eq!(late(Some(ThirdSignal), Some(20)), ThirdSignal);
        assert_eq!(late(Some(ThirdSignal), Some(13)), AfterTheEnd(13));
        assert_eq!(late(Some(AfterTheEnd(20)), Some(20)), AfterTheEnd(20));
    }

    #[test]
    fn what_nohup_ignores_is_read_from_the_mask() {
        let status =
            |mask: &str| format!("Name:\tredrill\nSigBlk:\t0000000000000001\nSigIgn:\t{mask}\nSigCgt:\t1\n");
        for (mask, is_ignored) in
            [("0000000000000001", true), ("0000000000001003", true), ("0000000000001002", false), ("", false)]
        {
            assert_eq!(ignores_hangup(&status(mask)), is_ignored, "{mask}");
        }
        assert!(!ignores_hangup(""));
    }
}
