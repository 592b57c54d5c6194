//! Says what to journal of the observations: every change at once, the rest rolled up. Pure.
//!
//! A probe that answers each second would fill a journal with the same line. What decides the
//! recovery clock is kept exact: the first and the last observation of each stretch of the same
//! health, and every gap. So measuring from rolled-up lines and from single ones gives the same.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::steady_state::ProbeInfo;
use crate::journal::Event;
use crate::model::{Health, Stamp};

/// At most one `unchanged` line a probe in this time.
pub const EVERY_MS: u64 = 60_000;

/// What a probe that was not announced is taken for: looks each second.
const UNANNOUNCED_GAP_MS: i64 = 4_000;

/// An observation of a probe.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// The probe's name in the drill.
    pub probe: String,
    /// The judgement.
    pub health: Health,
    /// What was seen.
    pub seen: String,
    /// When it was asked.
    pub sent: Stamp,
    /// When it was answered.
    pub answered: Stamp,
    /// The source's own time (UTC).
    pub source_at: Option<DateTime<Utc>>,
}

/// What was journalled last of a probe, and what was not yet.
#[derive(Clone, Debug)]
struct Pending {
    health: Health,
    source_at: Option<DateTime<Utc>>,
    /// Sending of the observation that the last line tells of.
    line_sent: Stamp,
    /// Observations since, and the times of the newest.
    count: u64,
    last_sent: Stamp,
    last_answered: Stamp,
}

/// The observations that are not journalled yet, per probe.
#[derive(Clone, Debug, Default)]
pub struct Rollup {
    gap_ms: BTreeMap<String, i64>,
    pending: BTreeMap<String, Pending>,
}

impl Rollup {
    /// For these probes.
    pub fn new<'a>(probes: impl IntoIterator<Item = &'a ProbeInfo>) -> Self {
        let gap_ms = probes.into_iter().map(|p| (p.name.clone(), p.quiet_ms())).collect();
        Self { gap_ms, pending: BTreeMap::new() }
    }

    /// Takes an observation and returns what to journal now, in this order.
    pub fn push(&mut self, o: Observation) -> Vec<Event> {
        let gap_ms = self.gap_ms.get(&o.probe).copied().unwrap_or(UNANNOUNCED_GAP_MS);
        let Some(known) = self.pending.get_mut(&o.probe) else {
            return self.observed(o, None);
        };
        let apart = ms(o.sent).saturating_sub(ms(known.last_answered));
        let news = known.health != o.health
            || apart > gap_ms
            // an alarm that fires anew between two looks
            || (o.source_at.is_some() && o.source_at != known.source_at);
        if news {
            let before = known.flush(&o.probe);
            return self.observed(o, before);
        }
        known.count += 1;
        known.last_sent = o.sent;
        known.last_answered = o.answered;
        if o.sent.mono_ms.saturating_sub(known.line_sent.mono_ms) >= EVERY_MS {
            return known.flush(&o.probe).into_iter().collect();
        }
        Vec::new()
    }

    /// What is not journalled yet. Call it before anything that reads the journal for its
    /// observations: the end of a stage, a measurement.
    pub fn flush(&mut self) -> Vec<Event> {
        self.pending.iter_mut().filter_map(|(probe, p)| p.flush(probe)).collect()
    }

    fn observed(&mut self, o: Observation, before: Option<Event>) -> Vec<Event> {
        let known = Pending {
            health: o.health,
            source_at: o.source_at,
            line_sent: o.sent,
            count: 0,
            last_sent: o.sent,
            last_answered: o.answered,
        };
        self.pending.insert(o.probe.clone(), known);
        let Observation { probe, health, seen, sent, answered, source_at } = o;
        before
            .into_iter()
            .chain([Event::Observed { probe, health, seen, sent, answered, source_at }])
            .collect()
    }
}

impl Pending {
    fn flush(&mut self, probe: &str) -> Option<Event> {
        if self.count == 0 {
            return None;
        }
        let event = Event::Unchanged {
            probe: probe.to_owned(),
            health: self.health,
            count: self.count,
            last_sent: self.last_sent,
            last_answered: self.last_answered,
        };
        self.count = 0;
        self.line_sent = self.last_sent;
        Some(event)
    }
}

fn ms(stamp: Stamp) -> i64 {
    i64::try_from(stamp.mono_ms).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
