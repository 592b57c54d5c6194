//! The blast radius as the user writes it: in a drill, and in `redrill.toml` for every drill. Pure.
//!
//! Both say what is allowed, and both are held against a plan, so the stricter wins. A drill must name
//! accounts, regions and `max_targets`; `redrill.toml` leaves out what it does not care about.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::freeze::Freeze;
use super::window::Window;
use crate::model::reach::Passage;
use crate::model::{Dur, OneOrMany, ResourceKind};

/// The blast radius: a plan outside it is refused.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("required" = ["accounts", "regions", "max_targets"]))]
pub struct Limits {
    /// Accounts the drill may run in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1), inner(regex(pattern = r"^\d{12}$")))]
    pub accounts: Vec<String>,
    /// Regions the drill may touch; `global` for CloudFront.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1))]
    pub regions: Vec<String>,
    /// Which environment the drill is for, for example `staging`. `redrill.toml` may say which accounts
    /// belong to it; without this, it is the one chosen with `--env`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// How many targets all selectors together may draw.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "usize")]
    pub max_targets: Option<usize>,
    /// How much of what exists of a kind all selectors together may draw, in percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub max_percent: Option<u8>,
    /// The same for one kind of resource, for example `{ ec2.instance: { max_targets: 2 } }`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub kinds: BTreeMap<ResourceKind, KindLimits>,
    /// How much may be in the subnets that faults change, whether it is a target or not: instances, and everything
    /// else with a network interface there. Without it, any number may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_affected: Option<usize>,
    /// What others route through, and may be in a subnet that a fault changes all the same: it cuts them off, too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow_reach: Vec<Passage>,
    /// The roles that a run may pass on, with what it launches or restores: each by its name, behind its path if it has
    /// one. Without it, whatever role a target has is passed on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(inner(regex(pattern = r"^[\w+=,.@/-]+$")))]
    pub roles: Vec<String>,
    /// Every target must carry these.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub require_tags: BTreeMap<String, OneOrMany>,
    /// No target may carry any of these, and nothing in a subnet that a fault changes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub forbid_tags: BTreeMap<String, OneOrMany>,
    /// When faults may be injected, for example `Mon-Fri 13:00-17:00 Europe/Amsterdam`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub windows: Vec<String>,
    /// Days on which no fault is injected, whatever the windows say: holidays and freezes, for example
    /// `2026-12-18 to 2027-01-03 Europe/Amsterdam`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub freeze: Vec<String>,
    /// What must be healthy before a fault is injected, for example an error budget that is left.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<Gate>,
    /// How many people other than the runner must have approved the plan (`redrill approve`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approvals: Option<usize>,
}

/// What may be drawn of one kind of resource.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KindLimits {
    /// How many all selectors together may draw.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_targets: Option<usize>,
    /// How much of what exists all selectors together may draw, in percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub max_percent: Option<u8>,
}

/// A probe that must be healthy before a fault. One that cannot be read is a closed gate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Gate {
    /// What people read; the probe's name if left out.
    #[serde(default)]
    pub name: String,
    /// The probe, for example `http`.
    pub probe: String,
    /// Its parameters.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub with: Value,
    /// How long it may take, at most 1h; the probe's own if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Dur>,
}

impl Gate {
    /// Its name, or its probe's.
    pub fn label(&self) -> &str {
        if self.name.is_empty() { &self.probe } else { &self.name }
    }
}

impl Limits {
    /// The windows; what does not parse was reported when the drill was read.
    pub fn open(&self) -> Vec<Window> {
        self.windows.iter().filter_map(|w| w.parse().ok()).collect()
    }

    /// The freezes; what does not parse was reported when the drill was read.
    pub fn frozen(&self) -> Vec<Freeze> {
        self.freeze.iter().filter_map(|f| f.parse().ok()).collect()
    }

    /// Every limit that is set: what it is about, and what it says.
    pub fn in_words(&self) -> Vec<(&'static str, String)> {
        let mut out = Vec::new();
        let mut put = |what, text: String| {
            if !text.is_empty() {
                out.push((what, text));
            }
        };
        put("accounts", self.accounts.join(", "));
        put("regions", self.regions.join(", "));
        put("environment", self.environment.clone().unwrap_or_default());
        put("targets", numbers(self.max_targets, self.max_percent));
        for (kind, l) in &self.kinds {
            put("targets", format!("{kind}: {}", numbers(l.max_targets, l.max_percent)));
        }
        put("affected", self.max_affected.map(|n| format!("at most {n}")).unwrap_or_default());
        let reach: Vec<&str> = self.allow_reach.iter().map(|p| p.name()).collect();
        put("may reach", reach.join(", "));
        put("roles", self.roles.join(", "));
        put("must carry", tags(&self.require_tags));
        put("never", tags(&self.forbid_tags));
        put("windows", self.windows.join("; "));
        put("freeze", self.freeze.join("; "));
        put("gates", self.gates.iter().map(Gate::label).collect::<Vec<_>>().join(", "));
        put("approvals", self.approvals.map(|n| format!("at least {n}")).unwrap_or_default());
        out
    }
}

/// Twelve digits.
pub fn is_account(text: &str) -> bool {
    text.len() == 12 && text.chars().all(|c| c.is_ascii_digit())
}

/// What regions look like, or `global`.
pub fn is_region(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let word = |s: &&str| !s.is_empty() && s.chars().all(|c| c.is_ascii_lowercase());
    let digit = |s: &&str| !s.is_empty() && s.chars().all(|c| c.is_ascii_digit());
    match parts.split_last() {
        Some((last, rest)) => text == "global" || (rest.len() >= 2 && digit(last) && rest.iter().all(word)),
        None => false,
    }
}

fn numbers(most: Option<usize>, percent: Option<u8>) -> String {
    let mut out = most.map(|n| format!("at most {n}")).unwrap_or_default();
    if let Some(percent) = percent {
        let joint = if out.is_empty() { "at most" } else { ", and" };
        let _ = write!(out, "{joint} {percent} % of what exists");
    }
    out
}

fn tags(tags: &BTreeMap<String, OneOrMany>) -> String {
    tags.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(", ")
}
