//! The shape of a drill, defaults filled in: what the checker returns and the plan embeds.
//!
//! Field names and meanings are the public drill format, version 1. Pure data.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::limits::Limits;
use crate::catalog::action::After;
pub use crate::model::Stage;
use crate::model::pattern::OneOrMany;
use crate::model::{Dur, Exercise, ResourceKind};

/// One disaster-recovery drill.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Drill {
    /// The format's version: 1.
    pub version: u32,
    /// Short name, lower case with hyphens; part of run ids and tags.
    #[schemars(regex(pattern = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"))]
    pub name: String,
    /// What the drill does, one line.
    pub title: String,
    /// Why, and what to know.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// The service drilled: its key in the programme.
    pub service: String,
    /// What must be met.
    pub objectives: Objectives,
    /// Controls in addition to those that the actions imply, for example `soc2/A1.3`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub controls: Vec<String>,
    /// The exercise around it: people, approval, the plan under test. Changes nothing about the run.
    #[serde(default, skip_serializing_if = "Exercise::is_empty")]
    pub exercise: Exercise,
    /// Values that can be set with `--set NAME=VALUE` and used as `${params.NAME}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, ParamSpec>,
    /// Patches merged over the drill with `--env NAME`; limits can only get stricter.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environments: BTreeMap<String, BTreeMap<String, Value>>,
    /// The blast radius.
    pub limits: Limits,
    /// The drill contains steps that cannot be put back.
    #[serde(default)]
    pub allow_irreversible: bool,
    /// Named selectors.
    pub targets: BTreeMap<String, TargetSpec>,
    /// What "healthy" means.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steady_state: Vec<ProbeUse>,
    /// Whether a probe must see the fault.
    #[serde(default)]
    pub impact: Impact,
    /// How long the fault may take to be seen; at most 24h.
    #[serde(default = "Drill::default_impact_timeout")]
    pub impact_timeout: Dur,
    /// What breaks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fault: Vec<Step>,
    /// The procedure being drilled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recovery: Vec<Step>,
    /// Probes that must pass once the recovery steps are ready.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub verify: Vec<ProbeUse>,
    /// Things that must not happen: when one does, the run is stopped and rolled back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stop: Vec<StopUse>,
    /// How many batches and parallel steps are under way at once.
    #[serde(default = "Drill::default_concurrency")]
    pub concurrency: usize,
    /// How long undo looks again after a change, for eventual consistency; at most 1h.
    #[serde(default = "Drill::default_settle")]
    pub settle: Dur,
}

impl Drill {
    fn default_impact_timeout() -> Dur {
        Dur::mins(5)
    }
    fn default_concurrency() -> usize {
        10
    }
    fn default_settle() -> Dur {
        Dur::secs(10)
    }
}

/// The objectives of a drill.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Objectives {
    /// Recovery time objective.
    pub rto: Dur,
    /// Recovery point objective.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rpo: Option<Dur>,
    /// How soon the fault should be detected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detect: Option<Dur>,
    /// Stop waiting for recovery after this long; 2 × RTO if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub give_up: Option<Dur>,
    /// Which mark starts the clock for the verdict.
    #[serde(default)]
    pub rto_clock: RtoClock,
}

impl Objectives {
    /// `give_up`, or twice the RTO.
    pub fn give_up(&self) -> Dur {
        self.give_up.unwrap_or(Dur(self.rto.0.saturating_mul(2)))
    }
}

/// Which mark starts the RTO clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RtoClock {
    /// From the first effect of the fault (T0).
    #[default]
    Impact,
    /// From the declaration of the disaster by a person (T3).
    Declaration,
}

/// Whether clients are expected to notice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Impact {
    /// A client probe must see the fault.
    #[default]
    Expected,
    /// The service should survive the fault: an outage that clients see is an objective missed, however short.
    NoneExpected,
}

/// The type of a parameter's value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ParamType {
    /// Text.
    #[default]
    String,
    /// A whole number.
    Integer,
    /// `true` or `false`.
    Boolean,
    /// A duration such as `30s`.
    Duration,
}

/// A parameter of a drill.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ParamSpec {
    /// Its type.
    #[serde(default, rename = "type")]
    pub kind: ParamType,
    /// Its value if `--set` does not give one; without a default it must be given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
    /// What it is for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Whether it must never reach the disk.
    #[serde(default)]
    pub secret: bool,
}

/// A selector.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TargetSpec {
    /// The kind of resource.
    pub resource: ResourceKind,
    /// All must match; values may be lists and `*`/`?` patterns.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, OneOrMany>,
    /// Attributes; all must match; values may be lists and patterns.
    #[serde(default, rename = "where", skip_serializing_if = "BTreeMap::is_empty")]
    pub attrs: BTreeMap<String, OneOrMany>,
    /// How many of the matches are drawn.
    #[serde(default)]
    pub select: Select,
    /// Whether things made by an earlier run may be drawn.
    #[serde(default)]
    pub include_run_made: bool,
}

/// How many of the matches are drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Select {
    /// All of them.
    #[default]
    All,
    /// This many; fewer matches than that is a refusal.
    Count(u32),
    /// This share, rounded up, at least one.
    Percent(#[schemars(range(min = 1, max = 100))] u8),
}

/// What a probe's answer is used for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// What users feel: decides recovery.
    #[default]
    Client,
    /// An alarm: sets T1.
    Monitoring,
    /// Reported beside.
    Capacity,
}

/// A probe in use.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProbeUse {
    /// What people read; the probe's name if left out.
    #[serde(default)]
    pub name: String,
    /// The probe, for example `http`.
    pub probe: String,
    /// Its parameters.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub with: Value,
    /// How often it looks: from 100ms to 1h.
    #[serde(default = "ProbeUse::default_every")]
    pub every: Dur,
    /// How long it must stay healthy; at most 24h.
    #[serde(default = "ProbeUse::default_hold")]
    pub hold: Dur,
    /// How long one observation may take, at most 1h; the probe's own if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Dur>,
    /// What its answer is used for.
    #[serde(default)]
    pub role: Role,
}

impl ProbeUse {
    fn default_every() -> Dur {
        Dur::secs(5)
    }
    fn default_hold() -> Dur {
        Dur::secs(60)
    }
}

/// A stop condition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StopUse {
    /// What people read; the probe's name if left out.
    #[serde(default)]
    pub name: String,
    /// The probe.
    pub probe: String,
    /// Its parameters.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub with: Value,
    /// How often it looks: from 100ms to 1h.
    #[serde(default = "ProbeUse::default_every")]
    pub every: Dur,
    /// Breached only after being unhealthy for this long; at most 24h.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub for_: Option<Dur>,
    /// How long one observation may take; at most 1h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Dur>,
    /// What it means when it cannot be read.
    #[serde(default, skip_serializing_if = "Unreadable::is_default")]
    pub unreadable: Unreadable,
    /// The stages it is watched in; all from the fault on if left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<Stage>,
}

/// What a stop condition means that cannot be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Unreadable {
    /// It counts as breached once it could not be read for as long as its `for`, and three times in a row.
    #[default]
    Breach,
    /// Nothing.
    Ignore,
}

impl Unreadable {
    fn is_default(&self) -> bool {
        *self == Self::Breach
    }
}

/// An item of `fault` or `recovery`: exactly one of `action`, `manual` and `parallel`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// The action, for example `ec2.terminate-instances`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// What a person has to do and confirm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manual: Option<String>,
    /// Steps that run together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parallel: Option<Vec<Step>>,
    /// Unique; the action's name if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The selector that names its targets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The action's parameters.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub with: Value,
    /// How long it may take; the action's own if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Dur>,
    /// What the end of the run does with a recovery's result; the action's own if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<After>,
}
