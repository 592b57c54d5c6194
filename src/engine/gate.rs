//! The gate: every change of a run passes here, and nowhere else.
//!
//! Order: the attempt is on the disk, then it is sent once, then the answer is recorded. Only a call
//! that was surely refused for throttling is sent again, with a growing, jittered pause; whatever
//! may have happened is returned as it is, for the step to look before it does anything else. All gates of
//! a run share one pace ([`Pacer`]).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;

use super::decide;
use super::pace::{Lane, Pacer};
use super::recorder::Recorder;
use super::sabotage::{self, Sabotage};
use super::state::RunState;
use crate::catalog::Gate;
use crate::cloud::{CloudError, CloudResult, EffectCertainty, ErrorKind, Mutate, Mutation, Reply};
use crate::journal::{Event, Phase};
use crate::model::{CallError, Stage, StepId};

/// A call that is not answered by then counts as "may have happened".
pub const CALL_TIMEOUT: Duration = Duration::from_secs(60);
/// Attempts of a throttled call; with the pauses below about a minute.
const ATTEMPTS: u32 = 8;
const FIRST_PAUSE_MS: u64 = 500;
const LONGEST_PAUSE_MS: u64 = 30_000;

/// The gate of one step in one phase.
pub struct StepGate {
    recorder: Arc<Recorder>,
    mutate: Arc<dyn Mutate>,
    pacer: Arc<Pacer>,
    step: Option<StepId>,
    phase: Phase,
    stage: Option<Stage>,
    in_flight: AtomicUsize,
    idle: Notify,
}

impl StepGate {
    /// A gate for `step`; `stage` is the step's stage in the plan.
    pub fn new(
        recorder: Arc<Recorder>,
        mutate: Arc<dyn Mutate>,
        pacer: Arc<Pacer>,
        step: Option<StepId>,
        phase: Phase,
        stage: Option<Stage>,
    ) -> Self {
        Self {
            recorder,
            mutate,
            pacer,
            step,
            phase,
            stage,
            in_flight: AtomicUsize::new(0),
            idle: Notify::new(),
        }
    }

    /// Waits until no call is under way.
    pub async fn idle(&self) {
        loop {
            let waiting = self.idle.notified();
            if self.in_flight.load(Ordering::SeqCst) == 0 {
                return;
            }
            waiting.await;
        }
    }

    async fn attempt(&self, mutation: &Mutation, attempt: u32) -> CloudResult<Reply> {
        let op = mutation.operation();
        let call = self.recorder.next_call();
        let sent = Event::CallSent {
            call,
            step: self.step.clone(),
            phase: self.phase,
            operation: op.to_owned(),
            params: mutation.redacted(),
            attempt,
        };
        // one look and one record under one lock: nothing is sent after a stop that is on record, or due by
        // now, however long it waited to be written
        let held_back = self.phase == Phase::Apply && self.stage == Some(Stage::Fault);
        let (recorder, clock) = (Arc::clone(&self.recorder), self.recorder.clock());
        let stopping = move |s: &RunState| {
            let now = s.timeline.ms(clock.stamp());
            let due = || recorder.is_halting() || decide::interrupted(s, now).is_some();
            held_back && (s.stop.is_some() || s.signals > 0 || due())
        };
        let recorded = self
            .recorder
            .durable_from(move |s| if stopping(s) { Vec::new() } else { vec![sent] })
            .await
            .map_err(|e| CloudError::new(op, ErrorKind::Journal, format!("not sent: {e}")))?;
        if recorded.is_empty() {
            return Err(CloudError::new(op, ErrorKind::Other, "not sent: the run is stopping"));
        }
        // what was long in being written may come too late: whoever stopped the run meanwhile is heard
        let stopped = held_back && self.recorder.is_halting();
        let sending = async {
            match stopped {
                true => Err(CloudError::new(op, ErrorKind::Other, "not sent: the run is stopping")),
                false => self.mutate.send(mutation).await,
            }
        };
        let result = match tokio::time::timeout(CALL_TIMEOUT, sending).await {
            Ok(result) => result,
            Err(_) => Err(CloudError::new(
                op,
                ErrorKind::Timeout,
                format!("no answer within {} s", CALL_TIMEOUT.as_secs()),
            )
            .effect(EffectCertainty::Unknown)),
        };
        let answered = match &result {
            Ok(reply) => Event::CallAnswered {
                call,
                request_id: reply.request_id.clone(),
                outcome: serde_json::to_value(&reply.outcome).ok(),
                error: None,
            },
            Err(e) => Event::CallAnswered {
                call,
                request_id: e.request_id.clone(),
                outcome: None,
                error: Some(call_error(e)),
            },
        };
        let result = result.map_err(|e| {
            if sabotage::is(Sabotage::TimeoutIsNothing) { e.effect(EffectCertainty::None) } else { e }
        });
        // if this cannot be recorded the recorder is broken and the driver stops; the answer still counts
        let _broken = self.recorder.note(vec![answered]).await;
        result
    }
}

/// A failed call as the journal keeps it.
pub(super) fn call_error(e: &CloudError) -> CallError {
    let kind =
        serde_json::to_value(e.kind).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default();
    CallError { kind, code: e.code.clone(), message: e.message.clone(), effect: e.effect }
}

#[async_trait]
impl Gate for StepGate {
    async fn send(&self, mutation: Mutation) -> CloudResult<Reply> {
        let mut attempt = 1;
        loop {
            // before it is on record: what waits for its turn is not sent
            self.pacer.turn(Lane::Changes, mutation.operation()).await;
            self.in_flight.fetch_add(1, Ordering::SeqCst);
            let result = self.attempt(&mutation, attempt).await;
            self.in_flight.fetch_sub(1, Ordering::SeqCst);
            self.idle.notify_waiters();
            let throttled = matches!(&result, Err(e) if e.kind == ErrorKind::Throttled);
            self.pacer.answered(Lane::Changes, mutation.operation(), throttled);
            match result {
                Err(e)
                    if e.kind == ErrorKind::Throttled
                        && e.effect == EffectCertainty::None
                        && attempt < ATTEMPTS =>
                {
                    tokio::time::sleep(pause(attempt, mutation.operation())).await;
                    attempt += 1;
                }
                result => return result,
            }
        }
    }
}

/// Exponential, with jitter from the operation, the attempt and the process: two steps, or two
/// machines, do not wake together.
fn pause(attempt: u32, operation: &str) -> Duration {
    use sha2::{Digest as _, Sha256};
    let ceiling = (FIRST_PAUSE_MS << (attempt - 1).min(10)).min(LONGEST_PAUSE_MS);
    let digest = Sha256::digest(format!("{operation}\n{attempt}\n{}", std::process::id()));
    let jitter = u64::from(digest[0]) * ceiling / 512;
    Duration::from_millis(ceiling / 2 + jitter)
}
