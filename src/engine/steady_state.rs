//! Whether the service is healthy, since when, and whether that has lasted. Pure.
//!
//! Times are milliseconds on one [`Timeline`]: monotonic within a boot of the machine, wall time across
//! boots. A probe that could not be read, or was not read for too long, is not healthy.

use std::collections::BTreeMap;

use crate::drill::Role;
use crate::journal::{Event, Line};
use crate::model::{Health, Stamp};

/// Maps stamps of all processes of a run to milliseconds since the epoch. A process's wall clock is read
/// once, when it attaches itself; from there its monotonic clock counts, and goes on to count for every
/// process of the same boot, whatever becomes of the wall clock. Only from one boot to another does wall
/// time count: then it never runs backwards, and the longer way counts where AWS's clock tells that the
/// wall clock was set back. A machine that stood still (a paused virtual machine, whose monotonic clock does not count
/// that) shows by its wall clock going ahead of the other: where AWS's clock says that the wall clock was not set, that
/// time counts; where nobody asked, it makes the measurement unsure.
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    format: u32,
    offset_ms: Option<i64>,
    /// What the offset would be by the wall clock alone.
    wall_offset_ms: i64,
    boot: Option<String>,
    /// Of each boot the offset, and the newest monotonic reading.
    boots: BTreeMap<String, (i64, u64)>,
    /// Where the newest line stands.
    last: Option<i64>,
    skew_ms: Option<i64>,
    /// What the newest line's wall clock was ahead of its monotonic one.
    apart_ms: Option<i64>,
    reboots: Vec<Reboot>,
}

/// Clocks that come apart by less tell nothing: wall clocks are slewed, and AWS's tells whole seconds.
const APART_MS: i64 = 2_000;

/// The machine was started anew between two processes of a run, or another one took over; or its clocks came apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reboot {
    /// When the later process attached itself (ms).
    pub at_ms: i64,
    /// The skew of the clock before, where it was asked.
    skew_before: Option<i64>,
    /// How far off the time across it may be; `None` where nobody compared both clocks with AWS's.
    pub unsure_ms: Option<i64>,
    /// Within one boot: by how much the wall clock went ahead of the monotonic one.
    pub apart_ms: Option<i64>,
}

impl Timeline {
    /// Before any process attached itself: wall time.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes note of a line. What it says about clocks counts from there on.
    pub fn line(&mut self, line: &Line) {
        match &line.event {
            Event::Header { format, .. } => self.format = *format,
            Event::Attached { boot, .. } => self.attach(line.stamp, boot.as_ref()),
            Event::Skew { ms } => self.skew(*ms),
            _ => {}
        }
        self.came_apart(line.stamp);
        let at = self.ms(line.stamp);
        self.last = Some(self.last.map_or(at, |last| last.max(at)));
        if let (Some(boot), Some(offset)) = (&self.boot, self.offset_ms) {
            self.boots.insert(boot.clone(), (offset, line.stamp.mono_ms));
        }
    }

    /// Looks whether the clocks of one boot came apart since the line before.
    fn came_apart(&mut self, stamp: Stamp) {
        let now = stamp.at.timestamp_millis().saturating_sub(mono(stamp));
        let before = self.apart_ms.replace(now);
        // of a format 1 journal, or of a process that did not tell its boot, nothing is known of the other clock
        if self.format <= 1 || self.boot.is_none() {
            return;
        }
        let ahead = before.map_or(0, |before| now.saturating_sub(before));
        if ahead >= APART_MS {
            let (at_ms, skew_before) = (self.ms(stamp), self.skew_ms.take());
            self.reboots.push(Reboot { at_ms, skew_before, unsure_ms: Some(ahead), apart_ms: Some(ahead) });
        }
    }

    /// A process attached itself at this stamp.
    fn attach(&mut self, stamp: Stamp, boot: Option<&String>) {
        let known = boot.and_then(|b| self.boots.get(b)).filter(|(_, mono)| *mono <= stamp.mono_ms);
        if let Some((offset, _)) = known {
            (self.offset_ms, self.boot) = (Some(*offset), boot.cloned());
            return;
        }
        self.apart_ms = None;
        let another = self.offset_ms.is_some();
        self.wall_offset_ms = stamp.at.timestamp_millis().saturating_sub(mono(stamp));
        self.offset_ms = Some(self.wall_offset_ms);
        // a journal of format 1 was measured by wall time alone
        if let (true, Some(last)) = (another && self.format > 1, self.last) {
            self.not_before(last.saturating_sub(mono(stamp)));
            if boot.is_some() || self.boot.is_some() {
                let (at_ms, skew_before) = (self.ms(stamp), self.skew_ms.take());
                self.reboots.push(Reboot { at_ms, skew_before, unsure_ms: None, apart_ms: None });
            }
        }
        self.boot = boot.cloned();
    }

    /// The first skew after a reboot tells how far the wall clock was moved across it.
    fn skew(&mut self, ms: i64) {
        if self.skew_ms.is_none()
            && let Some(reboot) = self.reboots.last_mut()
            && let Some(before) = reboot.skew_before
        {
            let moved = ms.saturating_sub(before);
            if let Some(ahead) = reboot.apart_ms {
                let stood = ahead.saturating_sub(moved);
                // AWS gives whole seconds, twice
                reboot.unsure_ms = Some(1_000);
                if stood >= APART_MS {
                    reboot.apart_ms = Some(stood);
                    self.offset_ms = self.offset_ms.map(|o| o.saturating_add(stood));
                } else {
                    // the wall clock was set, and does not count
                    self.reboots.pop();
                }
                self.skew_ms = Some(ms);
                return;
            }
            // AWS gives whole seconds, twice
            reboot.unsure_ms = Some(moved.max(0).saturating_add(1_000));
            self.not_before(self.wall_offset_ms.saturating_sub(moved.min(0)));
        }
        self.skew_ms = Some(ms);
    }

    fn not_before(&mut self, offset: i64) {
        self.offset_ms = self.offset_ms.map(|o| o.max(offset));
    }

    /// Whether the clocks came apart, and AWS's was not asked since which of them is right.
    pub fn is_unsettled(&self) -> bool {
        let apart = |r: &Reboot| r.apart_ms.is_some() && r.skew_before.is_some();
        self.skew_ms.is_none() && self.reboots.last().is_some_and(apart)
    }

    /// Where a stamp of the process attached last stands.
    pub fn ms(&self, stamp: Stamp) -> i64 {
        match self.offset_ms {
            Some(offset) => offset.saturating_add(mono(stamp)),
            None => stamp.at.timestamp_millis(),
        }
    }

    /// Where only wall time counts.
    pub fn reboots(&self) -> &[Reboot] {
        &self.reboots
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

/// How late a look may be beside its rhythm: machines are busy (ms).
const LATE_MS: i64 = 2_000;

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

    /// From an answer to the next question: longer than this and nobody was looking. How long an answer may take is
    /// no part of it: while nothing is asked, nothing is known.
    pub fn quiet_ms(&self) -> i64 {
        self.every_ms.saturating_mul(2).saturating_add(LATE_MS)
    }

    /// What version 0.1.0 (format 1 of the journal) took for it, from one answer to the next.
    pub fn quiet_ms_before_format_2(&self) -> i64 {
        self.every_ms.saturating_mul(3).saturating_add(self.timeout_ms)
    }

    /// Whether a healthy answer to a look speaks for the time from `from_ms` to `to_ms`: it was asked for in that time, and
    /// in its rhythm the next one came only at the end of it. Looks overlap: a slow answer says nothing of later ones.
    pub fn vouches(&self, sent_ms: i64, from_ms: i64, to_ms: i64) -> bool {
        sent_ms >= from_ms && sent_ms.saturating_add(self.every_ms) >= to_ms
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
}

impl ProbeTrack {
    fn new(info: ProbeInfo) -> Self {
        Self { info, health: None, since_ms: None, last_sent_ms: None, last_answered_ms: None }
    }

    fn take(&mut self, health: Health, count: u64, sent_ms: i64, answered_ms: i64) {
        // of several observations in one line only the last is timed; the others were in rhythm
        let gap = count <= 1
            && self.last_answered_ms.is_some_and(|last| sent_ms.saturating_sub(last) > self.info.quiet_ms());
        if self.health != Some(health) || gap {
            self.since_ms = Some(answered_ms);
        }
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

    /// Every probe.
    pub fn tracks(&self) -> &[ProbeTrack] {
        &self.tracks
    }

    /// Whether the newest answer of every probe of what clients feel was asked for since then (ms) and is healthy.
    pub fn clients_healthy_since(&self, since: i64) -> bool {
        self.tracks
            .iter()
            .filter(|t| t.info.role == Role::Client)
            .all(|t| t.health == Some(Health::Healthy) && t.last_sent_ms.is_some_and(|sent| sent >= since))
    }

    /// Whether the newest answer of a probe of what clients feel was asked for since then (ms) and is unhealthy.
    pub fn clients_unhealthy_since(&self, since: i64) -> bool {
        self.tracks
            .iter()
            .filter(|t| t.info.role == Role::Client)
            .any(|t| t.health == Some(Health::Unhealthy) && t.last_sent_ms.is_some_and(|sent| sent >= since))
    }

    /// Whether the newest answers of every probe of what clients feel vouch for the time from `from_ms` to `to_ms`.
    pub fn clients_vouch(&self, from_ms: i64, to_ms: i64) -> bool {
        self.tracks.iter().filter(|t| t.info.role == Role::Client).all(|t| {
            t.health == Some(Health::Healthy)
                && t.last_sent_ms.is_some_and(|sent| t.info.vouches(sent, from_ms, to_ms))
        })
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
        // a process that was stopped wakes up with old answers, and asks before it concludes anything
        let watched = |t: &ProbeTrack| {
            t.last_answered_ms.is_none_or(|last| now_ms.saturating_sub(last) <= t.info.quiet_ms())
        };
        self.held_at(from_ms).is_none_or(|due| now_ms >= due)
            && self.healthy_at(now_ms) == Health::Healthy
            && self.deciding().all(watched)
    }

    /// When [`Self::held`] will be true if everything stays healthy; `None` where that is not the
    /// case now or no probe decides.
    fn held_at(&self, from_ms: i64) -> Option<i64> {
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
        s.observe("a", Health::Healthy, 64_010, 64_510);
        assert_eq!(s.healthy_since(), Some(10), "2 × every + 2 s is no gap, however long the answer takes");
        s.observe("a", Health::Healthy, 68_511, 68_520);
        assert_eq!(s.healthy_since(), Some(68_520));
    }

    #[test]
    fn who_wakes_up_with_old_answers_has_not_watched_the_hold() {
        let mut s = SteadyState::new(&[ProbeInfo { timeout_ms: 55_000, ..probe("a", Role::Client, 10_000) }]);
        for t in 0..=3 {
            s.observe("a", Health::Healthy, t * 1_000, t * 1_000 + 10);
        }
        assert!(!s.held(45_000, 0), "the process was stopped for 42 s: nothing says what was meanwhile");
        s.observe("a", Health::Healthy, 45_000, 45_010);
        assert!(!s.held(45_010, 0), "the hold begins anew");
        for t in 46..=55 {
            s.observe("a", Health::Healthy, t * 1_000, t * 1_000 + 10);
        }
        assert!(s.held(55_010, 0));
    }

    #[test]
    fn without_a_deciding_probe_there_is_nothing_to_wait_for() {
        let s = SteadyState::new(&[probe("alarm", Role::Monitoring, 1_000)]);
        assert_eq!((s.healthy_at(5), s.healthy_since(), s.held(5, 5)), (Health::Healthy, None, true));
    }

    fn stamp(wall: i64, mono_ms: u64) -> Stamp {
        Stamp { at: DateTime::from_timestamp_millis(wall).unwrap(), mono_ms }
    }

    fn line(stamp: Stamp, event: Event) -> Line {
        Line { seq: 0, prev: String::new(), stamp, event }
    }

    fn attached(stamp: Stamp, boot: Option<&str>) -> Line {
        let event = Event::Attached {
            mode: Mode::Run,
            pid: 1,
            host: String::new(),
            user: String::new(),
            redrill: String::new(),
            boot: boot.map(str::to_owned),
        };
        line(stamp, event)
    }

    /// The first line, of this format.
    fn header(format: u32) -> Line {
        line(stamp(0, 0), crate::engine::testing::header(format))
    }

    #[test]
    fn the_timeline_of_format_1_is_monotonic_within_a_process_and_wall_time_across() {
        let mut t = Timeline::new();
        assert_eq!(t.ms(stamp(1_000, 7)), 1_000);
        t.line(&header(1));
        t.line(&attached(stamp(1_000_000, 500), None));
        // the wall clock was set back an hour; time still passes
        assert_eq!(t.ms(stamp(-2_600_000, 1_500)), 1_001_000);
        t.line(&attached(stamp(2_000_000, 3), None));
        assert_eq!(t.ms(stamp(0, 13)), 2_000_010);
        // also where that runs backwards: it was measured so, and is judged so
        t.line(&attached(stamp(900_000, 3), None));
        assert_eq!((t.ms(stamp(0, 13)), t.reboots().len()), (900_010, 0));
    }

    #[test]
    fn within_a_boot_the_monotonic_clock_counts_whatever_the_wall_clock_says() {
        let mut t = Timeline::new();
        t.line(&header(2));
        t.line(&attached(stamp(1_000_000, 500), Some("a")));
        t.line(&line(stamp(1_010_000, 10_500), Event::Cleaned { until: None }));
        // killed, the clock set back by 35 s, taken up 60 s after the first line
        t.line(&attached(stamp(1_025_000, 60_500), Some("a")));
        assert_eq!(t.ms(stamp(1_026_000, 61_500)), 1_061_000);
        assert_eq!(t.reboots(), []);
    }

    #[test]
    fn across_boots_time_never_runs_backwards_and_the_longer_way_counts() {
        let before = |skew: Option<i64>| {
            let mut t = Timeline::new();
            t.line(&header(2));
            t.line(&attached(stamp(1_000_000, 500), Some("a")));
            t.line(&line(stamp(1_000_000, 500), Event::Cleaned { until: None }));
            if let Some(ms) = skew {
                t.line(&line(stamp(1_000_000, 500), Event::Skew { ms }));
            }
            t.line(&line(stamp(1_050_000, 50_500), Event::Cleaned { until: None }));
            t
        };
        // another boot, with the wall clock 35 s back: nothing is before the last line
        let mut t = before(None);
        t.line(&attached(stamp(1_025_000, 1_000), Some("b")));
        assert_eq!(t.ms(stamp(1_026_000, 2_000)), 1_051_000);
        assert_eq!(t.reboots()[0].unsure_ms, None, "nobody asked AWS");
        // the same, and AWS's clock tells that it is 35 s: 60 s have passed, not 25
        let mut t = before(Some(0));
        t.line(&attached(stamp(1_075_000, 1_000), Some("b")));
        t.line(&line(stamp(1_075_000, 1_000), Event::Skew { ms: -35_000 }));
        assert_eq!(t.ms(stamp(1_075_000, 1_000)), 1_110_000);
        assert_eq!(t.reboots()[0].unsure_ms, Some(1_000));
        // set forward, the longer way is the wall clock's own, and the interval says by how much
        let mut t = before(Some(0));
        t.line(&attached(stamp(1_075_000, 1_000), Some("b")));
        t.line(&line(stamp(1_075_000, 1_000), Event::Skew { ms: 5_000 }));
        assert_eq!(t.ms(stamp(1_075_000, 1_000)), 1_075_000);
        assert_eq!(t.reboots()[0].unsure_ms, Some(6_000));
        // from a process that does not say its boot to one that does, or the other way round, is another one
        for boots in [[None, Some("b")], [Some("a"), None]] {
            let mut t = Timeline::new();
            t.line(&header(2));
            t.line(&attached(stamp(1_000_000, 500), boots[0]));
            t.line(&attached(stamp(1_010_000, 600), boots[1]));
            assert_eq!(t.reboots().len(), 1, "{boots:?}");
        }
        // the same boot, with a monotonic clock that ran backwards, is another one
        let mut t = before(None);
        t.line(&attached(stamp(1_060_000, 400), Some("a")));
        assert_eq!((t.ms(stamp(0, 500)), t.reboots().len()), (1_060_100, 1));
    }

    #[test]
    fn clocks_come_apart_only_where_both_are_known() {
        for (format, boot, told) in [(2, Some("a"), 1), (2, None, 0), (1, Some("a"), 0), (1, None, 0)] {
            let mut t = Timeline::new();
            t.line(&header(format));
            t.line(&attached(stamp(1_000_000, 1_000), boot));
            t.line(&line(stamp(1_046_000, 2_000), Event::PreflightPassed {}));
            assert_eq!(t.reboots().len(), told, "format {format}, boot {boot:?}");
        }
    }

    /// Where the last of these lines stands, and by how much that is unsure: the clocks come apart by 45 s at the third.
    fn apart(skews: (Option<i64>, Option<i64>)) -> (i64, Vec<[Option<i64>; 2]>) {
        let mut t = Timeline::new();
        t.line(&header(2));
        t.line(&attached(stamp(1_000_000, 1_000), Some("a")));
        if let Some(ms) = skews.0 {
            t.line(&line(stamp(1_001_000, 2_000), Event::Skew { ms }));
        }
        t.line(&attached(stamp(1_056_000, 12_000), Some("a")));
        if let Some(ms) = skews.1 {
            t.line(&line(stamp(1_056_000, 12_000), Event::Skew { ms }));
        }
        let last = line(stamp(1_057_000, 13_000), Event::PreflightPassed {});
        t.line(&last);
        (t.ms(last.stamp), t.reboots().iter().map(|r| [r.apart_ms, r.unsure_ms]).collect())
    }

    #[test]
    fn clocks_that_came_apart_are_unsettled_until_aws_is_asked() {
        let mut t = Timeline::new();
        t.line(&header(2));
        t.line(&attached(stamp(1_000_000, 1_000), Some("a")));
        t.line(&line(stamp(1_000_000, 1_000), Event::Skew { ms: 0 }));
        assert!(!t.is_unsettled());
        t.line(&line(stamp(1_056_000, 12_000), Event::PreflightPassed {}));
        assert!(t.is_unsettled());
        t.line(&line(stamp(1_056_000, 12_000), Event::Skew { ms: 0 }));
        assert!(!t.is_unsettled());
        // who never asked cannot compare, and another boot is another matter
        let mut t = Timeline::new();
        t.line(&header(2));
        t.line(&attached(stamp(1_000_000, 1_000), Some("a")));
        t.line(&line(stamp(1_056_000, 12_000), Event::PreflightPassed {}));
        assert!(!t.is_unsettled());
        let mut t = Timeline::new();
        t.line(&header(2));
        t.line(&attached(stamp(1_000_000, 1_000), Some("a")));
        t.line(&line(stamp(1_000_000, 1_000), Event::Skew { ms: 0 }));
        t.line(&attached(stamp(1_060_000, 400), Some("b")));
        assert!(!t.is_unsettled());
    }

    #[test]
    fn a_machine_that_stood_still_stood_still_by_awss_clock() {
        // the skew is the same: the wall clock was right
        assert_eq!(apart((Some(641), Some(210))), (1_057_431, vec![[Some(45_431), Some(1_000)]]));
        // the wall clock was set forward by that much: the other one counts
        assert_eq!(apart((Some(500), Some(45_500))), (1_012_000, vec![]));
        // nobody asked, before or after
        for skews in [(None, None), (Some(500), None), (None, Some(500))] {
            assert_eq!(apart(skews), (1_012_000, vec![[Some(45_000), Some(45_000)]]), "{skews:?}");
        }
    }
}
