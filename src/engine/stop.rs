//! Stop conditions: things that must not happen, other than the outage itself.
//!
//! A condition is breached when its probe has been unhealthy for as long as its `for`. One that cannot
//! be read for that long, and at least three times in a row, counts as breached, too, unless the drill
//! says otherwise. Pure: a fold over observations.

use crate::drill::{StopUse, Unreadable};
use crate::model::{Dur, Health, Stage};

/// A single answer that did not come is no sign of anything.
const READS: i64 = 3;

/// Watches every stop condition of a drill.
#[derive(Clone, Debug)]
pub struct StopWatch {
    watched: Vec<Watched>,
}

#[derive(Clone, Debug)]
struct Watched {
    key: String,
    name: String,
    for_ms: i64,
    /// How long it may be unreadable; `None`: for ever.
    unread_ms: Option<i64>,
    stages: Vec<Stage>,
    unhealthy_since: Option<i64>,
    unread_since: Option<i64>,
}

impl Watched {
    /// When it is breached, as things are.
    fn due(&self) -> Option<i64> {
        let unhealthy = self.unhealthy_since.map(|since| since + self.for_ms);
        let unread = self.unread_since.zip(self.unread_ms).map(|(since, limit)| since + limit);
        [unhealthy, unread].into_iter().flatten().min()
    }

    /// Why, once it is due: what is unhealthy is due before it could be so for being unreadable.
    fn says(&self) -> String {
        if self.unhealthy_since.is_some() {
            return format!("stop condition `{}` is breached", self.name);
        }
        format!("stop condition `{}` cannot be read, and counts as breached", self.name)
    }
}

/// The name that a stop condition's observations are journalled under.
pub fn key(name: &str) -> String {
    format!("stop: {name}")
}

impl StopWatch {
    /// Nothing observed yet.
    pub fn new(uses: &[StopUse]) -> Self {
        let watched = uses
            .iter()
            .map(|u| {
                let for_ms = u.for_.map_or(0, Dur::ms);
                let unread = for_ms.max((READS - 1) * u.every.ms());
                Watched {
                    key: key(&u.name),
                    name: u.name.clone(),
                    for_ms,
                    unread_ms: (u.unreadable == Unreadable::Breach).then_some(unread),
                    stages: u.stages.clone(),
                    unhealthy_since: None,
                    unread_since: None,
                }
            })
            .collect();
        Self { watched }
    }

    /// Takes one observation, answered at `at_ms`.
    pub fn observe(&mut self, probe: &str, health: Health, at_ms: i64) {
        for w in self.watched.iter_mut().filter(|w| w.key == probe) {
            match health {
                Health::Unhealthy => {
                    w.unhealthy_since.get_or_insert(at_ms);
                    w.unread_since = None;
                }
                Health::Healthy => (w.unhealthy_since, w.unread_since) = (None, None),
                // what cannot be read does not clear a breach
                Health::Unknown => {
                    w.unread_since.get_or_insert(at_ms);
                }
            }
        }
    }

    /// The first breached condition that is watched in this stage, in words.
    pub fn breached(&self, stage: Stage, now_ms: i64) -> Option<String> {
        self.watched
            .iter()
            .filter(|w| if w.stages.is_empty() { stage >= Stage::Fault } else { w.stages.contains(&stage) })
            .find(|w| w.due().is_some_and(|due| now_ms >= due))
            .map(Watched::says)
    }

    /// When the next breach would become due, as things are.
    pub fn due(&self) -> Option<i64> {
        self.watched.iter().filter_map(Watched::due).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(for_: Option<Dur>, unreadable: Unreadable) -> StopWatch {
        StopWatch::new(&[StopUse {
            name: "budget".into(),
            probe: "cloudwatch.alarm".into(),
            with: serde_json::Value::Null,
            every: Dur::secs(5),
            for_,
            timeout: None,
            unreadable,
            stages: vec![],
        }])
    }

    #[test]
    fn a_breach_needs_its_whole_time_and_unknown_does_not_clear_it() {
        let mut w = watch(Some(Dur::mins(2)), Unreadable::Ignore);
        let k = key("budget");
        w.observe(&k, Health::Unhealthy, 0);
        assert_eq!(w.breached(Stage::Fault, 119_999), None);
        w.observe(&k, Health::Unknown, 60_000);
        let says = "stop condition `budget` is breached";
        assert_eq!(w.breached(Stage::Fault, 120_000).as_deref(), Some(says));
        assert_eq!(w.breached(Stage::Baseline, 120_000), None, "watched from the fault on");
        w.observe(&k, Health::Healthy, 121_000);
        assert_eq!(w.breached(Stage::Fault, 500_000), None);
    }

    #[test]
    fn a_condition_hears_its_own_probe_and_is_watched_in_its_stages() {
        let mut w = watch(None, Unreadable::Breach);
        w.watched[0].stages = vec![Stage::Baseline, Stage::Hold];
        w.observe("budget", Health::Unhealthy, 5_000);
        assert_eq!(w.due(), None, "a probe of the steady state may have the same name");
        w.observe("stop: budget", Health::Unhealthy, 5_000);
        for (stage, watched) in [(Stage::Baseline, true), (Stage::Fault, false), (Stage::Hold, true)] {
            assert_eq!(w.breached(stage, 5_000).is_some(), watched, "{stage:?}");
        }
        // unhealthy beats unreadable, as long as it lasts long enough
        let mut w = watch(Some(Dur::mins(2)), Unreadable::Breach);
        w.observe("stop: budget", Health::Unknown, 1_000);
        w.observe("stop: budget", Health::Unhealthy, 50_000);
        assert_eq!(w.breached(Stage::Hold, 169_999), None);
        assert_eq!(w.breached(Stage::Hold, 170_000).as_deref(), Some("stop condition `budget` is breached"));
        w.observe("stop: budget", Health::Unknown, 60_000);
        let says = w.breached(Stage::Hold, 170_000);
        assert_eq!(says.as_deref(), Some("stop condition `budget` is breached"));
    }

    #[test]
    fn what_cannot_be_read_counts_as_breached_after_its_time_and_three_reads() {
        let k = key("budget");
        let says = "stop condition `budget` cannot be read, and counts as breached";
        for (for_, limit) in [(None, 10_000), (Some(Dur::secs(1)), 10_000), (Some(Dur::mins(2)), 120_000)] {
            let mut w = watch(for_, Unreadable::Breach);
            w.observe(&k, Health::Unknown, 1_000);
            assert_eq!(w.due(), Some(1_000 + limit), "somebody looks again then");
            assert_eq!(w.breached(Stage::Recovery, 999 + limit), None);
            assert_eq!(w.breached(Stage::Recovery, 1_000 + limit).as_deref(), Some(says));
            w.observe(&k, Health::Healthy, 2_000);
            assert_eq!(w.breached(Stage::Recovery, 1_000_000), None, "read again");
        }
        let mut w = watch(None, Unreadable::Ignore);
        w.observe(&k, Health::Unknown, 0);
        assert_eq!((w.breached(Stage::Recovery, 1_000_000), w.due()), (None, None));
    }
}
