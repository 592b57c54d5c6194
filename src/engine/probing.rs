//! Probing: each probe looks at its own rhythm, in every stage, whatever else happens.
//!
//! An observation is sent every `every`, even while an earlier one has not been answered; a healthy
//! answer that arrives after that of a later observation is dropped, any other counts. An observation that takes longer than
//! its timeout is unknown, except for what a client would feel: that is the probe's own judgement.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::driver::Shared;
use super::rollup::Observation;
use super::{setup, stop};
use crate::catalog::{self, DynProbe, ReadCx, Reading};
use crate::model::{Dur, Health, Stamp, StepId};

/// A probe as the engine runs it.
#[derive(Clone)]
pub struct Running {
    /// The name its observations are journalled under.
    pub name: String,
    probe: &'static dyn DynProbe,
    params: Value,
    every: Duration,
    timeout: Duration,
    is_stop: bool,
}

impl Running {
    fn new(name: &str, probe: &str, params: Value, every: Dur, timeout: Option<Dur>) -> Option<Self> {
        let probe = catalog::probe(probe)?;
        let timeout = timeout.unwrap_or(probe.spec().timeout);
        Some(Self {
            name: name.to_owned(),
            probe,
            params,
            every: every.0,
            timeout: timeout.0,
            is_stop: false,
        })
    }

    /// Looks once.
    pub async fn look(&self, shared: &Shared) -> (Stamp, Reading, Stamp) {
        let sent = shared.clock.stamp();
        let step = StepId::new(self.name.clone());
        let t0 = shared.t0().await;
        // a probe takes no turn: what it measures must not wait for what steps ask
        let cx = ReadCx { reads: &shared.probed, ..shared.read_cx(&step, t0) };
        let reading = match tokio::time::timeout(self.timeout, self.probe.observe(cx, &self.params)).await {
            Ok(reading) => reading,
            Err(_) => self.probe.timed_out(self.timeout),
        };
        let reading = if self.is_stop { self.probe.as_stop(reading) } else { reading };
        (sent, reading, shared.clock.stamp())
    }
}

/// The probes of the steady state, and the stop conditions, as far as their parameters can be resolved; and, in
/// words, the first parameter that cannot.
pub async fn standing(shared: &Shared) -> (Vec<Running>, Option<String>) {
    let drill = &shared.plan.drill;
    let (mut all, mut lacks) = (Vec::new(), None);
    for p in &drill.steady_state {
        match shared.resolve(&p.with).await {
            Ok(params) => all.extend(Running::new(&p.name, &p.probe, params, p.every, p.timeout)),
            Err(why) => _ = lacks.get_or_insert(why),
        }
    }
    for s in &drill.stop {
        match shared.resolve(&s.with).await {
            Ok(params) => {
                let probe = Running::new(&stop::key(&s.name), &s.probe, params, s.every, s.timeout);
                all.extend(probe.map(|p| Running { is_stop: true, ..p }));
            }
            Err(why) => _ = lacks.get_or_insert(why),
        }
    }
    (all, lacks)
}

/// The verify probes; their references resolve once the recovery steps are ready.
///
/// # Errors
/// A parameter that cannot be resolved, in words.
pub async fn verifying(shared: &Shared) -> Result<Vec<Running>, String> {
    let mut all = Vec::new();
    for p in &shared.plan.drill.verify {
        let params = shared.resolve(&p.with).await?;
        all.extend(Running::new(
            &setup::verify_key(&shared.plan.drill, p),
            &p.probe,
            params,
            p.every,
            p.timeout,
        ));
    }
    Ok(all)
}

/// Keeps a probe going until the task is aborted.
pub async fn keep(shared: Arc<Shared>, probe: Running) {
    let mut tick = tokio::time::interval(probe.every);
    // late ticks are not caught up with a burst: the gap stays visible
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut under_way: JoinSet<Observation> = JoinSet::new();
    // more than this many unanswered observations at once tell nothing new
    let most = usize::try_from(probe.timeout.as_millis() / probe.every.as_millis().max(1)).unwrap_or(1) + 2;
    let mut newest_sent: Option<Stamp> = None;
    loop {
        tokio::select! {
            _ = tick.tick() => {
                if under_way.len() < most {
                    let (shared, probe) = (Arc::clone(&shared), probe.clone());
                    under_way.spawn(observed(shared, probe));
                }
            }
            Some(done) = under_way.join_next() => {
                let Ok(observation) = done else { continue };
                let late = newest_sent.is_some_and(|s| s.mono_ms > observation.sent.mono_ms);
                // a late "healthy" tells nothing new; a late "unhealthy" is a request that a client lost
                if late && observation.health == Health::Healthy {
                    continue;
                }
                if !late {
                    newest_sent = Some(observation.sent);
                }
                shared.recorder.observe(observation);
                if shared.recorder.is_broken() {
                    return;
                }
            }
        }
    }
}

/// One observation. A probe that panics has seen nothing, and says so: one that fell silent would keep a stop
/// condition from ever being breached.
async fn observed(shared: Arc<Shared>, probe: Running) -> Observation {
    let sent = shared.clock.stamp();
    let (name, clock) = (probe.name.clone(), Arc::clone(&shared.clock));
    let mut looking = JoinSet::new();
    looking.spawn(async move { probe.look(&shared).await });
    let (sent, reading, answered) = match looking.join_next().await {
        Some(Ok(seen)) => seen,
        failed => {
            let why = failed.and_then(Result::err).map_or_else(String::new, |e| e.to_string());
            (sent, Reading::unknown(format!("BUG: {why}")), clock.stamp())
        }
    };
    Observation {
        probe: name,
        health: reading.health,
        seen: reading.seen,
        sent,
        answered,
        source_at: reading.at,
    }
}
