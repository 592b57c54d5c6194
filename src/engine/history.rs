//! A probe's answers as stretches of the same health. Pure.
//!
//! Single observations and roll-ups of them give the same stretches, as long as a roll-up holds no
//! gap: see [`super::rollup`].

use super::steady_state::ProbeInfo;
use crate::journal::Line;
use crate::journal::event::Event;
use crate::model::{Health, Stamp};

/// Observations of the same health without a gap between them. Times in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stretch {
    pub(crate) health: Health,
    /// Sending of the first observation.
    pub(crate) first_sent: i64,
    /// Its answer.
    pub(crate) start: i64,
    /// Sending of the last observation.
    pub(crate) last_sent: i64,
    /// Its answer, or a later moment at which the health is vouched for.
    pub(crate) end: i64,
}

/// Nothing was observed of a probe for longer than its rhythm explains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Silence {
    /// Sending of the last observation before.
    pub(crate) from: i64,
    /// Answer of the first after.
    pub(crate) to: i64,
}

/// Everything observed of one probe.
#[derive(Clone, Debug)]
pub(crate) struct History {
    pub(crate) info: ProbeInfo,
    pub(crate) stretches: Vec<Stretch>,
    pub(crate) silences: Vec<Silence>,
    /// The format of the journal: what counts as a silence is judged as by the version that measured.
    pub(crate) format: u32,
}

impl History {
    pub(crate) fn new(info: ProbeInfo) -> Self {
        Self { info, stretches: Vec::new(), silences: Vec::new(), format: u32::MAX }
    }

    fn is_silent(&self, last: i64, sent: i64, answered: i64) -> bool {
        if self.format < 2 {
            return answered.saturating_sub(last) > self.info.quiet_ms_before_format_2();
        }
        sent.saturating_sub(last) > self.info.quiet_ms()
    }

    /// Takes `count` observations of which the last has these times.
    pub(crate) fn take(&mut self, health: Health, count: u64, sent: i64, answered: i64) {
        // a probe has one observation under way at a time; should a journal say otherwise, its
        // answers still count in the order in which they were recorded
        let answered = self.stretches.last().map_or(answered, |s| answered.max(s.end));
        let sent = sent.min(answered);
        let mut gap = false;
        if let Some(last) = self.stretches.last()
            && count <= 1
            && self.is_silent(last.end, sent, answered)
        {
            gap = true;
            self.silences.push(Silence { from: last.last_sent, to: answered });
        }
        match self.stretches.last_mut() {
            Some(last) if last.health == health && !gap => {
                last.last_sent = sent;
                last.end = answered;
            }
            _ => self.stretches.push(Stretch {
                health,
                first_sent: sent,
                start: answered,
                last_sent: sent,
                end: answered,
            }),
        }
    }

    /// The probe was found healthy up to this moment, whatever single observations are recorded.
    pub(crate) fn vouch(&mut self, until: i64) {
        if let Some(last) = self.stretches.last_mut()
            && last.health == Health::Healthy
        {
            last.end = last.end.max(until);
        }
    }

    pub(crate) fn of(&self, health: Health) -> impl DoubleEndedIterator<Item = &Stretch> {
        self.stretches.iter().filter(move |s| s.health == health)
    }

    /// Whether it was healthy all along from `from` to `to`.
    pub(crate) fn healthy_through(&self, from: i64, to: i64) -> bool {
        self.of(Health::Healthy).any(|s| s.start <= from && s.end >= to)
    }

    /// Whether its newest answers were healthy and speak for the time from `from` to `to`.
    pub(crate) fn vouches(&self, from: i64, to: i64) -> bool {
        let last = self.stretches.last().filter(|s| s.health == Health::Healthy);
        last.is_some_and(|s| self.info.vouches(s.last_sent, from, to))
    }

    /// The stretch that the newest answer at that moment belongs to.
    pub(crate) fn newest_at(&self, at: i64) -> Option<&Stretch> {
        self.stretches.iter().rfind(|s| s.start <= at)
    }

    /// The stretch that follows the one of that moment.
    pub(crate) fn after(&self, at: i64) -> Option<&Stretch> {
        self.stretches.iter().find(|s| s.start > at)
    }

    /// The earliest moment at which the health seen at `at` may have begun: the sending of the last
    /// observation that says otherwise, or of the first of all.
    pub(crate) fn healthy_not_before(&self, at: i64) -> i64 {
        let Some(now) = self.newest_at(at) else { return at };
        let other = self.stretches.iter().rfind(|s| s.start <= at && s.health != now.health);
        other.map_or(now.first_sent, |s| s.last_sent)
    }

    /// Answer of the first unhealthy observation answered at or after `from`.
    pub(crate) fn first_unhealthy(&self, from: i64) -> Option<i64> {
        self.of(Health::Unhealthy).find(|s| s.end >= from).map(|s| s.start.max(from))
    }
}

/// An observation line: probe, health, count, sent, answered.
pub(crate) fn observation(line: &Line) -> Option<(&str, Health, u64, Stamp, Stamp)> {
    match &line.event {
        Event::Observed { probe, health, sent, answered, .. } => Some((probe, *health, 1, *sent, *answered)),
        Event::Unchanged { probe, health, count, last_sent, last_answered } => {
            Some((probe, *health, *count, *last_sent, *last_answered))
        }
        _ => None,
    }
}

/// What is said of observations that could not be recorded, if there are any.
pub(crate) fn lost(lines: &[Line]) -> Option<String> {
    let counts = lines.iter().filter_map(|line| match &line.event {
        Event::ObservationsLost { count } => Some(*count),
        _ => None,
    });
    let lost: u64 = counts.sum();
    (lost > 0).then(|| format!("{lost} lines about observations could not be recorded in time, and are lost"))
}

/// The histories of these probes.
pub(crate) fn histories(probes: &[ProbeInfo]) -> Vec<History> {
    probes.iter().cloned().map(History::new).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drill::Role;
    use crate::engine::steady_state::ProbeUsage;
    use Health::{Healthy, Unhealthy};

    /// Looks each second and answers within one: four seconds are its rhythm.
    fn history() -> History {
        History::new(ProbeInfo {
            name: "page".into(),
            role: Role::Client,
            every_ms: 1_000,
            timeout_ms: 1_000,
            hold_ms: 0,
            stage_of_use: ProbeUsage::SteadyState,
        })
    }

    #[test]
    fn a_question_later_than_the_rhythm_explains_is_a_silence() {
        for (format, sent, answered, silences) in
            [(2, 4_100, 9_000, 0), (2, 4_101, 4_102, 1), (1, 4_000, 4_100, 0), (1, 4_000, 4_101, 1)]
        {
            let mut h = history();
            h.format = format;
            h.take(Healthy, 1, 0, 100);
            h.take(Healthy, 1, sent, answered);
            assert_eq!((h.silences.len(), h.stretches.len()), (silences, silences + 1), "{answered}");
            assert_eq!(h.healthy_through(100, answered), silences == 0);
        }
        let mut h = history();
        h.take(Healthy, 1, 0, 100);
        h.take(Healthy, 60, 60_000, 60_100);
        assert_eq!((h.silences.len(), h.stretches.len()), (0, 1), "sixty answers in one line are no gap");
    }

    #[test]
    fn health_may_have_begun_right_after_the_last_answer_that_says_otherwise() {
        let mut h = history();
        assert_eq!(h.healthy_not_before(50), 50, "nothing is known");
        h.take(Healthy, 1, 0, 100);
        h.take(Healthy, 1, 9_000, 9_100);
        assert_eq!(h.healthy_not_before(9_500), 9_000, "what was seen before the gap is another stretch");
        h.take(Unhealthy, 1, 10_000, 10_100);
        h.take(Unhealthy, 1, 11_000, 11_100);
        h.take(Healthy, 1, 12_000, 12_100);
        assert_eq!(h.healthy_not_before(12_100), 11_000);
        assert_eq!(h.healthy_not_before(9_500), 9_000, "what comes later says nothing of it");
        // two answers in the same millisecond
        h.take(Unhealthy, 1, 13_000, 13_100);
        h.take(Healthy, 1, 13_050, 13_100);
        assert_eq!(h.healthy_not_before(13_100), 13_000);
    }
}
