//! The shop's health as its small health service would tell it: a function of the account. Pure.

use serde::Deserialize;

use super::world::{Due, World};
use crate::model::Tags;

/// One check of the health service.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Check {
    pub(super) name: String,
    #[serde(flatten)]
    pub(super) what: What,
}

/// What a check looks at.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub(super) enum What {
    /// At least so many running instances carry all tags.
    Instances { tags: Tags, running: usize },
    /// Every subnet with these tags has an active default route.
    DefaultRoute { subnet_tags: Tags },
    /// Any database with these tags has this status.
    Database { tags: Tags, status: String },
    /// The object is there.
    Object { bucket: String, key: String },
}

pub(super) struct Verdict {
    pub(super) ok: bool,
    pub(super) detail: String,
}

impl World {
    /// Notes whether the shop is well, for the alarms that follow its health.
    pub(super) fn note_health(&mut self) {
        if self.followers.is_empty() {
            return;
        }
        let ok = self.checks.iter().all(|c| judge(self, c).ok);
        if self.healthy.replace(ok) == Some(ok) {
            return;
        }
        self.health_turns += 1;
        let generation = self.health_turns;
        for (name, after) in self.followers.clone() {
            self.later(after, Due::AlarmTurns { name, generation, ok });
        }
    }

    pub(super) fn alarm_turns(&mut self, name: &str, generation: u64, ok: bool) {
        let state = if ok { "OK" } else { "ALARM" };
        let known = self.alarms.get(name).is_some_and(|a| a.state != state);
        if known && generation == self.health_turns {
            let reason = if ok { "the health service answers 200" } else { "the health service answers 503" };
            self.put_alarm(name, state, reason);
        }
    }
}

fn carries(have: &Tags, wanted: &Tags) -> bool {
    wanted.iter().all(|(k, v)| have.get(k) == Some(v))
}

/// Judges one check.
pub(super) fn judge(w: &World, check: &Check) -> Verdict {
    match &check.what {
        What::Instances { tags, running } => {
            let n = w
                .instances
                .values()
                .filter(|m| m.inst.state == "running" && carries(&m.inst.tags, tags))
                .count();
            Verdict { ok: n >= *running, detail: format!("{n} of {running} running") }
        }
        What::DefaultRoute { subnet_tags } => {
            let subnets: Vec<_> = w.subnets.values().filter(|s| carries(&s.tags, subnet_tags)).collect();
            let without: Vec<&str> = subnets
                .iter()
                .filter(|s| {
                    !w.effective_table(&s.id).is_some_and(|(_, t)| {
                        t.routes.iter().any(|r| r.destination == "0.0.0.0/0" && r.state == "active")
                    })
                })
                .map(|s| s.id.as_str())
                .collect();
            let detail = if subnets.is_empty() {
                "no such subnet".to_owned()
            } else if without.is_empty() {
                format!("{} subnets with a default route", subnets.len())
            } else {
                format!("no default route: {}", without.join(", "))
            };
            Verdict { ok: !subnets.is_empty() && without.is_empty(), detail }
        }
        What::Database { tags, status } => {
            let found: Vec<&str> = w
                .dbs
                .values()
                .filter(|d| carries(&d.inst.tags, tags))
                .map(|d| d.inst.status.as_str())
                .collect();
            let detail = if found.is_empty() { "no such database".to_owned() } else { found.join(", ") };
            Verdict { ok: found.contains(&status.as_str()), detail }
        }
        What::Object { bucket, key } => {
            let ok = w.has_object(bucket, key);
            Verdict { ok, detail: if ok { "there" } else { "missing" }.to_owned() }
        }
    }
}
