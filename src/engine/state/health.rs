//! What the state says of the probes: whether the service is healthy, for how long it must be, and what stands in the
//! way. Pure; nothing is changed here.

use super::RunState;
use crate::engine::steady_state::ProbeTrack;
use crate::model::{Health, Stage};

impl RunState {
    /// Whether every verify probe's newest answer was asked for in the verify stage and is healthy.
    pub fn verify_passed(&self) -> bool {
        let since = self.stage_times.get(&Stage::Verify).copied().unwrap_or(i64::MAX);
        self.verify.clients_healthy_since(since)
    }

    /// Whether what was verified still holds: a check that passes once and fails while the steady state is held has not
    /// passed.
    pub(super) fn verifies(&mut self) {
        if self.held
            || self.verify.tracks().is_empty()
            || !matches!(self.stage(), Stage::Verify | Stage::Hold)
        {
            return;
        }
        if !self.verify_passed() {
            self.verified = None;
        } else if self.verified.is_none() {
            // answers may be recorded in another order than they came
            self.verified = self.verify.tracks().iter().filter_map(|t| t.last_answered_ms).max();
        }
    }

    /// Whether the newest answer of every deciding probe was asked for after `since` and is healthy.
    pub fn steady_again(&self, since: i64) -> bool {
        self.steady.clients_healthy_since(since)
    }

    /// The longest hold of the steady state (ms).
    pub fn longest_hold(&self) -> i64 {
        self.deciding().map(|t| t.info.hold_ms).max().unwrap_or(0)
    }

    /// The slowest rhythm of the steady state (ms).
    pub fn slowest(&self) -> i64 {
        self.deciding().map(|t| t.info.every_ms).max().unwrap_or(0)
    }

    /// What stands in the way of the steady state, in words.
    pub fn not_healthy(&self, now: i64) -> String {
        let bad: Vec<String> = self
            .deciding()
            .filter_map(|t| match t.health_at(now) {
                Health::Healthy => None,
                Health::Unhealthy => Some(format!("`{}` is unhealthy", t.info.name)),
                Health::Unknown => Some(format!("`{}` is unknown", t.info.name)),
            })
            .collect();
        if bad.is_empty() { "it did not stay healthy for long enough".to_owned() } else { bad.join(", ") }
    }

    /// Whether this process cannot read a deciding probe, and every other one is healthy: what waits for the
    /// steady state then waits for nothing.
    pub fn waits_in_vain(&self, now: i64) -> bool {
        let unread = |t: &ProbeTrack| self.unread.contains_key(&t.info.name);
        self.deciding().any(unread)
            && self.deciding().all(|t| unread(t) || t.health_at(now) == Health::Healthy)
    }

    /// A deciding probe that cannot be read now, where no other is known to be unhealthy.
    pub fn unreadable(&self, now: i64) -> Option<String> {
        let track = |t: &&ProbeTrack| t.health_at(now) == Health::Unknown;
        let all = || {
            self.deciding().chain(
                self.verify
                    .tracks()
                    .iter()
                    .filter(|_| self.verified.is_none() && self.stage() >= Stage::Verify),
            )
        };
        if all().any(|t| t.health_at(now) == Health::Unhealthy) {
            return None;
        }
        all().find(track).map(|t| t.info.name.clone())
    }

    pub(super) fn deciding(&self) -> impl Iterator<Item = &ProbeTrack> {
        self.steady.tracks().iter().filter(|t| t.info.decides())
    }
}
