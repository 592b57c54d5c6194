//! Whether the service is healthy, since when, and whether that has lasted. Pure.
//!
//! Times are milliseconds on one [`Timeline`]: monotonic within a process, wall time across
//! processes. A probe that could not be read, or was not read for too long, is not healthy.

use crate::drill::Role;
use crate::journal::{Event, Line};
use crate::model::{Health, Stamp};

/// Maps stamps of all processes of a run to milliseconds since the epoch. Each process's wall clock
/// is read once, when it attaches itself; from there its monotonic clock counts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timeline {
    offset_ms: Option<i64>,
}

impl Timeline {
    /// Before any process attached itself: wall time.
    pub fn new() -> Self {
        Self::default()
    }

    /// A process attached itself at this stamp.
    pub fn attach(&mut self, stamp: Stamp) {
        self.offset_ms = Some(stamp.at.timestamp_millis().saturating_sub(mono(stamp)));
    }

    /// Takes note of a line; only `attached` matters.
    pub fn line(&mut self, line: &Line) {
        if matches!(line.event, Event::Attached { .. }) {
            self.attach(line.stamp);
        }
    }

    /// Where a stamp of the process attached last stands.
    pub fn ms(&self, stamp: Stamp) -> i64 {
        match self.offset_ms {
            Some(offset) => offset.saturating_add(mono(stamp)),
            None => stamp.at.timestamp_millis(),
        }
    }
}

fn mono(stamp: Stamp) -> i64 {
    i64::try_from(stamp.mono_ms).unwrap_or(i64::MAX)
}

/// Where a probe is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeUsage {
    /// Part of the steady state.
    SteadyState,
    /// Must pass once the recovery steps are ready.
    Verify,
    /// A stop condition.
    Stop,
}

/// What the clock needs to know about a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeInfo {
    /// Its name, as in the journal.
    pub name: String,
    /// What its answer is used for.
    pub role: Role,
    /// How often it looks, in milliseconds.
    pub every_ms: i64,
    /// How long one observation may take, in milliseconds.
    pub timeout_ms: i64,
    /// How long it must stay healthy, in milliseconds.
    pub hold_ms: i64,
    /// Where it is used.
    pub stage_of_use: ProbeUsage,
}

impl ProbeInfo {
    /// Whether this probe decides about recovery.
    pub fn decides(&self) -> bool {
        self.role == Role::Client && self.stage_of_use == ProbeUsage::SteadyState
    }

    /// From one answer to the next: longer than this and something was not observed.
    pub fn gap_limit_ms(&self) -> i64 {
        self.every_ms.saturating_mul(3).saturating_add(self.timeout_ms)
    }

    /// The newest answer counts for this long.
    pub fn fresh_ms(&self) -> i64 {
        self.every_ms.saturating_mul(2).saturating_add(self.timeout_ms)
    }
}

/// What is known of one probe.
#[derive(Clone, Debug)]
pub struct ProbeTrack {
    /// The probe.
    pub info: ProbeInfo,
    /// Its newest answer.
    pub health: Option<Health>,
    /// Answer of the first observation of the present, unbroken stretch of that health.
    pub since_ms: Option<i64>,
    /// Sending of the newest observation.
    pub last_sent_ms: Option<i64>,
    /// Answer of the newest observation.
    pub last_answered_ms: Option<i64>,
    /// Sending and answer of the newest unhealthy observation.
    pub last_unhealthy_ms: Option<(i64, i64)>,
    /// Answer of the first healthy observation after it.
    pub healthy_again_ms: Option<i64>,
    /// Observations so far: healthy, unhealthy, unknown.
    pub counts: [u64; 3],
}

impl ProbeTrack {
    fn new(info: ProbeInfo) -> Self {
        Self {
            info,
            health: None,
            since_ms: None,
            last_sent_ms: None,
            last_answered_ms: None,
            last_unhealthy_ms: None,
            healthy_again_ms: None,
            counts: [0; 3],
        }
    }

    fn take(&mut self, health: Health, count: u64, sent_ms: i64, answered_ms: i64) {
        // of several observations in one line only the last is timed; the others were in rhythm
        let gap = count <= 1
            && self
                .last_answered_ms
                .is_some_and(|last| answered_ms.saturating_sub(last) > self.info.gap_limit_ms());
        if self.health != Some(health) || gap {
            self.since_ms = Some(answered_ms);
        }
        match health {
            Health::Healthy => {
                if self.last_unhealthy_ms.is_some() && self.healthy_again_ms.is_none() {
                    self.healthy_again_ms = Some(answered_ms);
                }
            }
            Health::Unhealthy => {
                self.last_unhealthy_ms = Some((sent_ms, answered_ms));
                self.healthy_again_ms = None;
            }
            Health::Unknown => {}
        }
        let slot = match health {
            Health::Healthy => 0,
            Health::Unhealthy => 1,
            Health::Unknown => 2,
        };
        self.counts[slot] += count;
        self.health = Some(health);
        self.last_sent_ms = Some(sent_ms);
        self.last_answered_ms = Some(answered_ms);
    }

    /// The newest answer, `Unknown` where there is none or it is too old to count.
    pub fn health_at(&self, now_ms: i64) -> Health {
        match (self.health, self.last_answered_ms) {
            (Some(health), Some(at)) if now_ms.saturating_sub(at) < self.info.fresh_ms() => health,
            _ => Health::Unknown,
        }
    }
}

/// The steady state as far as it was observed. Only the `client` probes of the steady state decide;
/// others are tracked beside.
#[derive(Clone, Debug)]
pub struct SteadyState {
    tracks: Vec<ProbeTrack>,
}

impl SteadyState {
    /// Nothing observed yet.
    pub fn new(probes: &[ProbeInfo]) -> Self {
        Self { tracks: probes.iter().cloned().map(ProbeTrack::new).collect() }
    }

    /// One observation. Names that were not given at the start are ignored.
    pub fn observe(&mut self, probe: &str, health: Health, sent_ms: i64, answered_ms: i64) {
        self.unchanged(probe, health, 1, sent_ms, answered_ms);
    }

    /// Several observations of the same health, the newest of them at these times.
    pub fn unchanged(
        &mut self,
        probe: &str,
        health: Health,
        count: u64,
        last_sent_ms: i64,
        last_answered_ms: i64,
    ) {
        for track in self.tracks.iter_mut().filter(|t| t.info.name == probe) {
            track.take(health, count, last_sent_ms, last_answered_ms);
        }
    }

    /// Takes the observation out of a journal line, if it is one.
    pub fn line(&mut self, timeline: &Timeline, line: &Line) {
        match &line.event {
            Event::Observed { probe, health, sent, answered, .. } => {
                self.observe(probe, *health, timeline.ms(*sent), timeline.ms(*answered));
            }
            Event::Unchanged { probe, health, count, last_sent, last_answered } => {
                let (sent, answered) = (timeline.ms(*last_sent), timeline.ms(*last_answered));
                self.unchanged(probe, *health, *count, sent, answered);
            }
            _ => {}
        }
    }

    /// Every probe.
    pub fn tracks(&self) -> &[ProbeTrack] {
        &self.tracks
    }

    fn deciding(&self) -> impl Iterator<Item = &ProbeTrack> {
        self.tracks.iter().filter(|t| t.info.decides())
    }

    /// Unhealthy when any deciding probe's newest answer is; else unknown when any is unknown,
    /// missing or too old; else healthy. Healthy where no probe decides.
    pub fn healthy_at(&self, now_ms: i64) -> Health {
        let mut worst = Health::Healthy;
        for track in self.deciding() {
            match track.health_at(now_ms) {
                Health::Unhealthy => return Health::Unhealthy,
                Health::Unknown => worst = Health::Unknown,
                Health::Healthy => {}
            }
        }
        worst
    }

    /// The start of the present unbroken stretch in which every deciding probe is healthy: the
    /// answer of the first healthy observation of the last of them to get there.
    pub fn healthy_since(&self) -> Option<i64> {
        self.deciding()
            .map(|t| t.since_ms.filter(|_| t.health == Some(Health::Healthy)))
            .collect::<Option<Vec<_>>>()?
            .into_iter()
            .max()
    }

    /// Whether every deciding probe has stayed healthy for its `hold`, counted from the later of
    /// [`Self::healthy_since`] and `from_ms`. True where no probe decides.
    pub fn held(&self, now_ms: i64, from_ms: i64) -> bool {
        self.held_at(from_ms).is_none_or(|due| now_ms >= due) && self.healthy_at(now_ms) == Health::Healthy
    }

    /// When [`Self::held`] will be true if everything stays healthy; `None` where that is not the
    /// case now or no probe decides.
    pub fn held_at(&self, from_ms: i64) -> Option<i64> {
        let start = self.healthy_since()?.max(from_ms);
        self.deciding().map(|t| start.saturating_add(t.info.hold_ms)).max()
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::journal::Mode;

    fn probe(name: &str, role: Role, hold_ms: i64) -> ProbeInfo {
        ProbeInfo {
            name: name.into(),
            role,
            every_ms: 1_000,
            timeout_ms: 500,
            hold_ms,
            stage_of_use: ProbeUsage::SteadyState,
        }
    }

    #[test]
    fn healthy_needs_every_client_probe_fresh_and_healthy() {
        let mut s = SteadyState::new(&[
            probe("a", Role::Client, 0),
            probe("b", Role::Client, 0),
            probe("alarm", Role::Monitoring, 0),
        ]);
        assert_eq!(s.healthy_at(0), Health::Unknown);
        s.observe("a", Health::Healthy, 0, 100);
        assert_eq!(s.healthy_at(100), Health::Unknown, "b was never read");
        s.observe("b", Health::Healthy, 100, 200);
        s.observe("alarm", Health::Unhealthy, 100, 200);
        assert_eq!(s.healthy_at(200), Health::Healthy, "an alarm does not decide");
        assert_eq!(s.healthy_since(), Some(200));
        assert_eq!(s.healthy_at(2_599), Health::Healthy);
        assert_eq!(s.healthy_at(2_600), Health::Unknown, "a's answer is 2 × every + timeout old");
        s.observe("b", Health::Unhealthy, 300, 400);
        assert_eq!(s.healthy_at(9_999_999), Health::Unknown);
        assert_eq!(s.healthy_at(400), Health::Unhealthy);
        assert_eq!(s.healthy_since(), None);
        s.observe("b", Health::Unknown, 500, 600);
        assert_eq!(s.healthy_at(600), Health::Unknown);
        assert_eq!(s.tracks()[1].counts, [1, 1, 1]);
        s.observe("b", Health::Healthy, 700, 800);
        assert_eq!(s.tracks()[1].last_unhealthy_ms, Some((300, 400)));
        assert_eq!(s.tracks()[1].healthy_again_ms, Some(800));
    }

    #[test]
    fn the_hold_counts_from_the_later_of_healthy_and_from() {
        let mut s = SteadyState::new(&[probe("a", Role::Client, 3_000)]);
        for t in 0..10 {
            s.observe("a", Health::Healthy, t * 1_000, t * 1_000 + 10);
            let now = t * 1_000 + 10;
            assert_eq!(s.held(now, 0), t >= 3, "at {now}");
            assert_eq!(s.held(now, 4_010), t >= 7, "at {now}");
        }
        assert!(!s.held(20_000, 0), "nothing was observed since");
        s.observe("a", Health::Unknown, 10_000, 10_010);
        s.observe("a", Health::Healthy, 11_000, 11_010);
        assert!(!s.held(11_010, 0), "an answer that could not be read breaks the hold");
    }

    #[test]
    fn a_gap_breaks_the_stretch_and_a_rollup_does_not() {
        let mut s = SteadyState::new(&[probe("a", Role::Client, 1_000)]);
        s.observe("a", Health::Healthy, 0, 10);
        s.unchanged("a", Health::Healthy, 60, 60_000, 60_010);
        assert_eq!(s.healthy_since(), Some(10));
        s.observe("a", Health::Healthy, 63_000, 63_510);
        assert_eq!(s.healthy_since(), Some(10), "3 × every + timeout is no gap");
        s.observe("a", Health::Healthy, 67_000, 67_011);
        assert_eq!(s.healthy_since(), Some(67_011));
    }

    #[test]
    fn without_a_deciding_probe_there_is_nothing_to_wait_for() {
        let s = SteadyState::new(&[probe("alarm", Role::Monitoring, 1_000)]);
        assert_eq!((s.healthy_at(5), s.healthy_since(), s.held(5, 5)), (Health::Healthy, None, true));
    }

    #[test]
    fn the_timeline_is_monotonic_within_a_process_and_wall_time_across() {
        let stamp = |wall, mono_ms| Stamp { at: DateTime::from_timestamp_millis(wall).unwrap(), mono_ms };
        let attached = |stamp| Line {
            seq: 0,
            prev: String::new(),
            stamp,
            event: Event::Attached {
                mode: Mode::Run,
                pid: 1,
                host: String::new(),
                user: String::new(),
                redrill: String::new(),
            },
        };
        let mut t = Timeline::new();
        assert_eq!(t.ms(stamp(1_000, 7)), 1_000);
        t.line(&attached(stamp(1_000_000, 500)));
        // the wall clock was set back an hour; time still passes
        assert_eq!(t.ms(stamp(-2_600_000, 1_500)), 1_001_000);
        t.line(&attached(stamp(2_000_000, 3)));
        assert_eq!(t.ms(stamp(0, 13)), 2_000_010);
    }
}
