//! The one place where events enter a run: journal first, then state, then whoever watches.
//!
//! An event that is not on record does not exist: if the journal cannot be written the state does
//! not move, [`Recorder::is_broken`] turns true and nothing more is sent. Secrets are replaced here,
//! before anything is written. An event that has no place in the plan, or would be read back as another,
//! breaks the journal too: see [`super::place`].
//!
//! Whoever records waits in a task of its own, and looking waits for nobody: a look that stood in line
//! for the pen could be handed it while nobody polls the look (another branch of a `select!` being at
//! work), and the run would stand still for ever.
//!
//! Observations are taken at once and recorded by whoever has the pen next, before anything else: a slow disk
//! delays neither a probe nor what follows from it, and the lines stand in the order in which things came.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex as Brief, MutexGuard, OnceLock, PoisonError};

use tokio::sync::{Mutex, mpsc, watch};

use super::calls;
use super::redaction::Redaction;
use super::rollup::{Observation, Rollup};
use super::secrets;
use super::state::RunState;
use crate::catalog::{Calls, SentCall};
use crate::cloud::Held;
use crate::journal::writer::{Journal, JournalError};
use crate::journal::{Event, Line};
use crate::model::Clock;
use crate::plan::Plan;

/// How many lines about observations may wait for the disk.
const UNWRITTEN: usize = 10_000;

/// Is told every recorded line, in order, and must not wait for anything.
pub struct Watcher(Box<dyn Fn(&Line) + Send + Sync>);

impl Watcher {
    /// Tells lines in this way.
    pub fn new(tell: impl Fn(&Line) + Send + Sync + 'static) -> Self {
        Self(Box::new(tell))
    }
}

/// Nobody watching any more is fine.
impl From<mpsc::UnboundedSender<Line>> for Watcher {
    fn from(lines: mpsc::UnboundedSender<Line>) -> Self {
        Self::new(move |line| drop(lines.send(line.clone())))
    }
}

/// Records events and keeps the state that follows from them.
///
/// Recording goes on to its end even if the caller is dropped meanwhile: a line on the disk that the
/// state does not know would be worse than either alone.
pub struct Recorder {
    core: Arc<Core>,
}

struct Core {
    /// Held for as long as a write takes, and only by tasks of their own.
    pen: Mutex<Pen>,
    /// Held for a moment, never across a wait; changed by whoever holds the pen.
    known: Brief<Known>,
    clock: Arc<dyn Clock>,
    /// What the parameters are, and what is looked for beside them.
    given: BTreeMap<String, String>,
    held: OnceLock<Held>,
    plan: Arc<Plan>,
    /// Made again whenever there is more; with how many were held then.
    redaction: Brief<(usize, Arc<Redaction>)>,
    broken: AtomicBool,
    /// Somebody wants the run to stop; that need not be on record yet.
    halting: AtomicBool,
    changed: watch::Sender<u64>,
    watcher: Option<Watcher>,
}

struct Pen {
    journal: Box<dyn Journal>,
}

struct Known {
    state: RunState,
    lines: Vec<Line>,
    rollup: Rollup,
    /// What the state knows of observations and the journal does not.
    unwritten: VecDeque<Event>,
    /// Lines that found no room there.
    lost: u64,
    /// Somebody is about to record them.
    asked: bool,
}

impl Known {
    fn keep(&mut self, events: Vec<Event>) {
        for event in events {
            if self.unwritten.len() < UNWRITTEN {
                self.unwritten.push_back(event);
            } else {
                self.lost += 1;
            }
        }
    }

    fn take_unwritten(&mut self) -> Vec<Event> {
        self.asked = false;
        let lost = std::mem::take(&mut self.lost);
        let gap = (lost > 0).then_some(Event::ObservationsLost { count: lost });
        self.unwritten.drain(..).chain(gap).collect()
    }
}

impl Recorder {
    /// Puts back what this process knows of the secrets in something of the journal; the rest stays marked.
    pub fn reveal(&self, value: &mut serde_json::Value) {
        self.core.redaction().put_back(value);
    }

    /// Whether a record that is acted on later could not be kept as it is.
    pub fn loses(&self, record: &serde_json::Value) -> bool {
        self.core.redaction().is_lost(record)
    }

    /// What stands in place of words from elsewhere, while a secret was not given.
    pub fn kept_out(&self) -> Option<String> {
        self.core.redaction().kept_out()
    }

    /// Starts from the lines that are on record already.
    pub fn new(
        journal: Box<dyn Journal>,
        mut state: RunState,
        lines: Vec<Line>,
        clock: Arc<dyn Clock>,
        secrets: BTreeMap<String, String>,
        watcher: Option<Watcher>,
    ) -> Self {
        for line in &lines {
            state.evolve(line);
        }
        let rollup = Rollup::new(&super::setup::clock_params(&state.plan).probes);
        let plan = Arc::clone(&state.plan);
        let is_word = secrets::is_word(&plan);
        let redaction = Arc::new(Redaction::except(&is_word, &secrets, &plan.secret_params, &[]));
        drop(is_word);
        let core = Core {
            pen: Mutex::new(Pen { journal }),
            known: Brief::new(Known {
                state,
                lines,
                rollup,
                unwritten: VecDeque::new(),
                lost: 0,
                asked: false,
            }),
            clock,
            given: secrets,
            held: OnceLock::new(),
            plan,
            redaction: Brief::new((0, redaction)),
            broken: AtomicBool::new(false),
            halting: AtomicBool::new(false),
            changed: watch::Sender::new(0),
            watcher,
        };
        Self { core: Arc::new(core) }
    }

    /// From here on also leaves out what this list holds, now and later.
    pub fn keep_out(&self, held: Held) {
        let _set_already = self.core.held.set(held);
    }

    /// Records events and returns once they are on the disk.
    ///
    /// # Errors
    /// The journal could not be written; from then on nothing is recorded.
    pub async fn durable(&self, events: Vec<Event>) -> Result<(), JournalError> {
        self.append(events, true).await
    }

    /// Records, durably, what the state at this moment asks
    /// for; returns it. Nothing can be recorded between the look and the record.
    ///
    /// # Errors
    /// As [`Recorder::durable`].
    pub async fn durable_from(
        &self,
        wanted: impl FnOnce(&RunState) -> Vec<Event> + Send + 'static,
    ) -> Result<Vec<Event>, JournalError> {
        let core = Arc::clone(&self.core);
        to_its_end(async move {
            let mut pen = core.pen.lock().await;
            let wanted = wanted(&core.known().state);
            let redaction = core.redaction();
            let events: Vec<Event> = wanted.into_iter().map(|e| redaction.event(e)).collect();
            if !events.is_empty() {
                core.write(&mut pen, &events, true).await?;
            }
            Ok(events)
        })
        .await
    }

    /// Records events without waiting for the disk: nothing is about to be changed because of them.
    ///
    /// # Errors
    /// As [`Recorder::durable`].
    pub async fn note(&self, events: Vec<Event>) -> Result<(), JournalError> {
        self.append(events, false).await
    }

    async fn append(&self, events: Vec<Event>, durable: bool) -> Result<(), JournalError> {
        if events.is_empty() {
            return Ok(());
        }
        let core = Arc::clone(&self.core);
        to_its_end(async move {
            let redaction = core.redaction();
            let events: Vec<Event> = events.into_iter().map(|e| redaction.event(e)).collect();
            let mut pen = core.pen.lock().await;
            core.write(&mut pen, &events, durable).await
        })
        .await
    }

    /// Takes one observation, without waiting: changes are recorded as soon as can be, the unchanged
    /// rolled up per minute.
    pub fn observe(&self, o: Observation) {
        let ask = {
            let mut known = self.core.known();
            known.state.observe(&o.probe, o.health, o.sent, o.answered);
            let events = known.rollup.push(o);
            known.keep(events);
            let ask = !known.unwritten.is_empty() && !known.asked;
            known.asked |= ask;
            ask
        };
        self.core.changed.send_modify(|n| *n += 1);
        if ask {
            let core = Arc::clone(&self.core);
            drop(tokio::spawn(async move {
                let mut pen = core.pen.lock().await;
                // a journal that cannot be written stops the run: `is_broken`
                let _broken = core.write(&mut pen, &[], false).await;
            }));
        }
    }

    /// Records what the rollup still holds.
    ///
    /// # Errors
    /// As [`Recorder::durable`].
    pub async fn flush(&self) -> Result<(), JournalError> {
        let core = Arc::clone(&self.core);
        to_its_end(async move {
            let mut pen = core.pen.lock().await;
            {
                let mut known = core.known();
                let events = known.rollup.flush();
                known.keep(events);
            }
            core.write(&mut pen, &[], true).await
        })
        .await
    }

    /// Somebody wants the run to stop: nothing that goes forward begins any more, whatever the record says.
    pub fn halt(&self) {
        self.core.halting.store(true, Ordering::SeqCst);
        self.core.changed.send_modify(|n| *n += 1);
    }

    /// Whether somebody does, on record or not.
    pub fn is_halting(&self) -> bool {
        self.core.halting.load(Ordering::SeqCst)
    }

    /// Looks at the state, with the time on the run's timeline (ms).
    pub fn with<R>(&self, look: impl FnOnce(&RunState, i64) -> R) -> R {
        let known = self.core.known();
        let now = known.state.timeline.ms(self.core.clock.stamp());
        look(&known.state, now)
    }

    /// The clock that lines are stamped by.
    pub fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.core.clock)
    }

    /// Looks at the lines on record.
    pub fn with_lines<R>(&self, look: impl FnOnce(&[Line], &RunState) -> R) -> R {
        let known = self.core.known();
        look(&known.lines, &known.state)
    }

    /// Takes the number of the next call.
    pub fn next_call(&self) -> u64 {
        let mut known = self.core.known();
        let n = known.state.next_call;
        known.state.next_call += 1;
        n
    }

    /// Whether the journal could not be written.
    pub fn is_broken(&self) -> bool {
        self.core.broken.load(Ordering::SeqCst)
    }

    /// Tells when something was recorded or observed.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.core.changed.subscribe()
    }

    /// Waits until the state meets a condition, or the journal is broken.
    pub async fn until(&self, met: impl Fn(&RunState) -> bool) {
        let mut changes = self.changes();
        loop {
            if self.is_broken() || self.with(|s, _| met(s)) {
                return;
            }
            if changes.changed().await.is_err() {
                return;
            }
        }
    }
}

impl Calls for Recorder {
    fn sent(&self) -> Vec<SentCall> {
        self.with_lines(|lines, _| calls::sent(lines, |value| self.reveal(value)))
    }
}

async fn to_its_end<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    match tokio::spawn(work).await {
        Ok(done) => done,
        Err(e) => std::panic::resume_unwind(e.into_panic()),
    }
}

impl Core {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// With every secret that is held by now: credentials are renewed, and passwords fetched, while a run goes on.
    fn redaction(&self) -> Arc<Redaction> {
        let mut made = self.redaction.lock().unwrap_or_else(PoisonError::into_inner);
        let held = self.held.get().map(Held::all).unwrap_or_default();
        if held.len() != made.0 {
            // nobody chose these for this drill, so none of them refuses it; but what is also a name of it is none
            // that could be left out
            let fit = |what: &str, text: &str| {
                secrets::check(&self.plan, &[], &[(what.to_owned(), text.to_owned())].into()).is_ok()
            };
            let fit: Vec<(String, String)> = held
                .iter()
                .filter(|(what, secret)| fit(what, secret.expose()))
                .map(|(what, secret)| ((*what).to_owned(), secret.expose().to_owned()))
                .collect();
            let (names, is_word) = (&self.plan.secret_params, secrets::is_word(&self.plan));
            let redaction = Redaction::except(&is_word, &self.given, names, &fit);
            *made = (held.len(), Arc::new(redaction));
        }
        Arc::clone(&made.1)
    }

    /// What could not be read back as it is, or has no place in the plan, is a bug: on record it would be
    /// worse than a run that ends here.
    fn fit(&self, events: &[Event]) -> Result<(), String> {
        let known = self.known();
        for event in events {
            known.state.place(event)?;
            let text = serde_json::to_vec(event).map_err(|e| e.to_string())?;
            let unknown = matches!(event, Event::Unknown(_));
            if unknown || !serde_json::from_slice::<Event>(&text).is_ok_and(|back| back == *event) {
                return Err(format!("it would be read back as another event: {}", kind(event)));
            }
        }
        Ok(())
    }

    /// Appends what is known of observations, then these events.
    async fn write(&self, pen: &mut Pen, events: &[Event], durable: bool) -> Result<(), JournalError> {
        let observed = self.known().take_unwritten();
        let redaction = self.redaction();
        let mut all: Vec<Event> = observed.into_iter().map(|e| redaction.event(e)).collect();
        let observed = all.len();
        all.extend_from_slice(events);
        if all.is_empty() {
            return Ok(());
        }
        if let Err(what) = self.fit(&all) {
            self.broken.store(true, Ordering::SeqCst);
            self.changed.send_modify(|n| *n += 1);
            return Err(JournalError::Unfit { what });
        }
        match pen.journal.append(self.clock.stamp(), &all, durable).await {
            Ok(lines) => {
                let mut known = self.known();
                for (n, line) in lines.into_iter().enumerate() {
                    if n < observed {
                        known.state.recorded(&line);
                    } else {
                        known.state.evolve(&line);
                    }
                    if let Some(watcher) = &self.watcher {
                        (watcher.0)(&line);
                    }
                    known.lines.push(line);
                }
                drop(known);
                self.changed.send_modify(|n| *n += 1);
                Ok(())
            }
            Err(e) => {
                self.broken.store(true, Ordering::SeqCst);
                self.changed.send_modify(|n| *n += 1);
                Err(e)
            }
        }
    }
}

fn kind(event: &Event) -> String {
    let value = serde_json::to_value(event).unwrap_or_default();
    value.get("type").and_then(|t| t.as_str()).unwrap_or("?").to_owned()
}
