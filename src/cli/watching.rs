//! Follows a run while it goes on: every recorded line for machines, the calm view for people, and the
//! moments at which the journal is signed.
//!
//! The engine hands lines over and never waits: what finds no room is left out, and how much shows in the
//! lines' numbers.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::checkpoints::Notary;
use super::progress::Progress;
use super::{Output, out};
use crate::engine::Watcher;
use crate::journal::{Event, Line};
use crate::model::{Clock, StepId};
use crate::view::RunView;

/// How many lines may be on their way.
const LINES: usize = 4096;

/// What the engine hands over.
pub struct Watched {
    lines: mpsc::Receiver<Line>,
    missed: Arc<AtomicU64>,
}

/// Both ends: the engine's, and that of whoever shows it.
pub fn watch() -> (Watcher, Watched) {
    watch_with(LINES)
}

fn watch_with(room: usize) -> (Watcher, Watched) {
    let (sender, lines) = mpsc::channel(room);
    let missed = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&missed);
    let watcher = Watcher::new(move |line: &Line| {
        if sender.try_send(line.clone()).is_err() {
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    (watcher, Watched { lines, missed })
}

/// What is to be shown, and where.
pub struct Show {
    /// For people or for machines.
    pub output: Output,
    /// The lines.
    pub watched: Watched,
    /// What was on record before.
    pub view: RunView,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// The manual step that waits for a key.
    pub waiting: Arc<Mutex<Option<StepId>>>,
    /// Signs the journal.
    pub notary: Notary,
    /// What is said to the person at the terminal meanwhile.
    pub said: mpsc::UnboundedReceiver<String>,
    /// The run is over.
    pub over: oneshot::Receiver<()>,
}

impl Show {
    /// Follows the run to its end.
    pub async fn until_over(mut self) -> Notary {
        let mut progress = (self.output == Output::Text).then(|| Progress::new(out::watched()));
        let mut next = self.view.lines;
        let mut missed = 0;
        let mut tick = tokio::time::interval(Duration::from_millis(250));
        let mut over = false;
        loop {
            let line = if over {
                match self.watched.lines.try_recv() {
                    Ok(line) => Some(line),
                    Err(_) => break,
                }
            } else {
                tokio::select! {
                    line = self.watched.lines.recv() => line,
                    _ = &mut self.over => { over = true; continue; }
                    Some(text) = self.said.recv() => {
                        match &progress {
                            Some(p) => p.say(&text),
                            None => out::note(&text),
                        }
                        continue;
                    }
                    _ = tick.tick() => {
                        if let Some(p) = &mut progress {
                            p.draw(&self.view, self.clock.now());
                        }
                        continue;
                    }
                }
            };
            let Some(line) = line else { break };
            let gap = line.seq.saturating_sub(next);
            next = line.seq + 1;
            missed += gap;
            self.take(&line, gap, progress.as_mut());
        }
        if let Some(p) = &mut progress {
            p.end(&self.view);
        } else {
            out::missed(self.watched.missed.load(Ordering::SeqCst).saturating_sub(missed));
        }
        self.notary
    }

    fn take(&mut self, line: &Line, gap: u64, progress: Option<&mut Progress>) {
        if let Event::Waiting { step, .. } = &line.event
            && let Ok(mut w) = self.waiting.lock()
        {
            *w = Some(step.clone());
        }
        match &line.event {
            Event::Attached { .. } => self.notary.sign("start"),
            Event::Stage { stage } => self.notary.sign(&format!("{stage:?}").to_lowercase()),
            _ => {}
        }
        if self.output == Output::Json {
            out::event(line, gap);
        }
        self.view.apply(line);
        if let Some(p) = progress {
            p.update(&self.view, line, self.clock.now());
        }
    }
}
