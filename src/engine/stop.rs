//! Stop conditions: things that must not happen, other than the outage itself.
//!
//! A condition is breached when its probe has been unhealthy for as long as its `for`. What cannot
//! be read is unknown, not a breach. Pure: a fold over observations.

use crate::drill::StopUse;
use crate::model::{Health, Stage};

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
    stages: Vec<Stage>,
    health: Option<Health>,
    unhealthy_since: Option<i64>,
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
            .map(|u| Watched {
                key: key(&u.name),
                name: u.name.clone(),
                for_ms: u.for_.map_or(0, crate::model::Dur::ms),
                stages: u.stages.clone(),
                health: None,
                unhealthy_since: None,
            })
            .collect();
        Self { watched }
    }

    /// Takes one observation, answered at `at_ms`.
    pub fn observe(&mut self, probe: &str, health: Health, at_ms: i64) {
        for w in self.watched.iter_mut().filter(|w| w.key == probe) {
            w.health = Some(health);
            match health {
                Health::Unhealthy => {
                    w.unhealthy_since.get_or_insert(at_ms);
                }
                Health::Healthy => w.unhealthy_since = None,
                // what cannot be read neither breaches nor clears a breach
                Health::Unknown => {}
            }
        }
    }

    /// The first breached condition that is watched in this stage.
    pub fn breached(&self, stage: Stage, now_ms: i64) -> Option<&str> {
        self.watched
            .iter()
            .filter(|w| if w.stages.is_empty() { stage >= Stage::Fault } else { w.stages.contains(&stage) })
            .find(|w| w.unhealthy_since.is_some_and(|since| now_ms - since >= w.for_ms))
            .map(|w| w.name.as_str())
    }

    /// When the next breach would become due, for conditions that are unhealthy now.
    pub fn due(&self) -> Option<i64> {
        self.watched.iter().filter_map(|w| w.unhealthy_since.map(|s| s + w.for_ms)).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Dur;

    fn watch(for_: Option<Dur>) -> StopWatch {
        StopWatch::new(&[StopUse {
            name: "budget".into(),
            probe: "cloudwatch.alarm".into(),
            with: serde_json::Value::Null,
            every: Dur::secs(5),
            for_,
            timeout: None,
            stages: vec![],
        }])
    }

    #[test]
    fn a_breach_needs_its_whole_time_and_unknown_does_not_clear_it() {
        let mut w = watch(Some(Dur::mins(2)));
        let k = key("budget");
        w.observe(&k, Health::Unhealthy, 0);
        assert_eq!(w.breached(Stage::Fault, 119_999), None);
        w.observe(&k, Health::Unknown, 60_000);
        assert_eq!(w.breached(Stage::Fault, 120_000), Some("budget"));
        assert_eq!(w.breached(Stage::Baseline, 120_000), None, "watched from the fault on");
        w.observe(&k, Health::Healthy, 121_000);
        assert_eq!(w.breached(Stage::Fault, 500_000), None);
    }

    #[test]
    fn unknown_alone_is_no_breach() {
        let mut w = watch(None);
        w.observe(&key("budget"), Health::Unknown, 0);
        assert_eq!(w.breached(Stage::Recovery, 1_000_000), None);
    }
}
