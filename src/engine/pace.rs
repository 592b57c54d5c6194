//! How fast AWS is asked: as fast as it takes it, and no faster.
//!
//! AWS throttles per account and region, and a run works in one of each, so all steps of a run share one
//! pace for the changes of each service and one for its reads: AWS keeps them apart, too. Nothing is held
//! back until AWS throttles; then calls go out one after the other with a gap that doubles with each refusal and
//! shrinks with each acceptance. Probes take no turn ([`super::reading`]), so neither steps nor their
//! polling ever starve them. [`Pace`] is pure.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::model::Clock;

/// The first gap after a refusal, in milliseconds.
const FIRST_MS: u64 = 100;
/// The longest gap, in milliseconds.
const LONGEST_MS: u64 = 5_000;
/// A gap that has shrunk below this is none, in milliseconds.
const NONE_MS: u64 = 20;

/// The pace of one service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Pace {
    gap_ms: u64,
    /// When the next call may go out, on the monotonic clock.
    next_ms: u64,
}

impl Pace {
    /// Takes the next free moment, and says how long it is until then.
    fn turn(&mut self, now_ms: u64) -> u64 {
        let at = self.next_ms.max(now_ms);
        self.next_ms = at + self.gap_ms;
        at - now_ms
    }

    fn answered(&mut self, now_ms: u64, throttled: bool) {
        if throttled {
            self.gap_ms = (self.gap_ms * 2).clamp(FIRST_MS, LONGEST_MS);
            self.next_ms = self.next_ms.max(now_ms + self.gap_ms);
        } else {
            self.gap_ms = Some(self.gap_ms * 4 / 5).filter(|gap| *gap >= NONE_MS).unwrap_or(0);
        }
    }
}

/// What AWS counts apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// Calls that change something.
    Changes,
    /// Calls that look.
    Reads,
}

/// The paces of a run.
pub struct Pacer {
    clock: Arc<dyn Clock>,
    paces: Mutex<BTreeMap<(Lane, String), Pace>>,
}

impl Pacer {
    /// Nothing is held back yet.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, paces: Mutex::default() }
    }

    fn with<T>(&self, lane: Lane, operation: &str, act: impl FnOnce(&mut Pace, u64) -> T) -> T {
        let service = operation.split(':').next().unwrap_or(operation);
        let now = self.clock.stamp().mono_ms;
        let mut paces = self.paces.lock().unwrap_or_else(PoisonError::into_inner);
        act(paces.entry((lane, service.to_owned())).or_default(), now)
    }

    /// Waits until it is this call's turn.
    pub async fn turn(&self, lane: Lane, operation: &str) {
        let wait = self.with(lane, operation, Pace::turn);
        if wait > 0 {
            tokio::time::sleep(Duration::from_millis(wait)).await;
        }
    }

    /// Learns from an answer.
    pub fn answered(&self, lane: Lane, operation: &str, throttled: bool) {
        self.with(lane, operation, |pace, now| pace.answered(now, throttled));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_held_back_until_aws_throttles() {
        let mut pace = Pace::default();
        assert_eq!([pace.turn(1_000), pace.turn(1_000), pace.turn(1_000)], [0, 0, 0]);
        pace.answered(1_000, false);
        assert_eq!(pace.turn(1_000), 0);
    }

    #[test]
    fn a_refusal_spreads_calls_out_and_acceptance_lets_them_close_up() {
        let mut pace = Pace::default();
        pace.answered(0, true);
        assert_eq!([pace.turn(0), pace.turn(0), pace.turn(50)], [100, 200, 250], "one after the other");
        pace.answered(50, true);
        assert_eq!(pace.gap_ms, 200);
        for _ in 0..20 {
            pace.answered(50, true);
        }
        assert_eq!(pace.gap_ms, LONGEST_MS, "never longer");
        let mut accepted = 0;
        while pace.gap_ms > 0 {
            pace.answered(50, false);
            accepted += 1;
        }
        assert_eq!(accepted, 25, "and back to full speed");
    }

    #[tokio::test(start_paused = true)]
    async fn services_do_not_slow_each_other() {
        let clock = Arc::new(crate::model::time::VirtualClock::starting_at(
            chrono::DateTime::from_timestamp(1_790_000_000, 0).unwrap(),
        ));
        let pacer = Pacer::new(clock.clone());
        pacer.answered(Lane::Changes, "ec2:TerminateInstances", true);
        let begin = clock.stamp().mono_ms;
        for _ in 0..5 {
            pacer.turn(Lane::Changes, "rds:RebootDBInstance").await;
            pacer.turn(Lane::Reads, "ec2:DescribeInstances").await;
        }
        assert_eq!(clock.stamp().mono_ms, begin, "nor do reads wait for changes");
        for _ in 0..5 {
            pacer.turn(Lane::Changes, "ec2:StopInstances").await;
        }
        assert_eq!(clock.stamp().mono_ms - begin, 500);
    }
}
