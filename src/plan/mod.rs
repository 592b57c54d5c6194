//! A plan: the resolved, immutable, hashed list of steps on named targets.
//!
//! Everything is decided here; nothing is left to choose while running. `build` resolves and reads
//! (it is handed [`crate::cloud::Reads`] only); `limits`, `lint` and `drift` are pure.

pub mod again;
pub mod build;
pub mod drift;
pub mod file;
pub mod gates;
pub mod house;
pub mod limits;
pub mod lint;
pub mod permissions;
pub mod policy;
pub mod restored;
mod roles;
pub mod will;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::catalog::action::{After, Finding, Reversibility, Severity};
use crate::catalog::actions::{command, wait};
use crate::catalog::kinds;
use crate::drill::Drill;
use crate::inventory::Neighbour;
use crate::model::exercise::Exercise;
use crate::model::{Dur, EndpointProof, ResourceKind, Stage, StepId, Target, World};

pub use again::{Again, again, refused_by};
pub use build::{BuildOptions, PlanError, build, check_drift, held_of, read_again};
pub use drift::is_the_same;
pub use file::FileError;
pub use house::House;

#[cfg(test)]
mod tests;

/// The plan format's version. 1 (redrill 0.1.0) holds neither `set` and `typed` nor `candidates`, so that
/// such a plan cannot be made again from what it holds.
pub const FORMAT: u32 = 2;

/// A plan with its hash, as it stands in `plan.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanFile {
    /// The plan.
    pub plan: Plan,
    /// SHA-256 (hex) of the plan's RFC 8785 bytes.
    pub sha256: String,
    /// What a run would start and ask, for people and their tools. It follows from the plan and is no part of the
    /// hash; `plan --output json` says it, a written plan does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub will: Option<will::Will>,
}

/// What will be done, where, to what.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Format version.
    pub format: u32,
    /// The redrill version that made it.
    pub redrill: String,
    /// When it was made (UTC).
    #[serde(deserialize_with = "crate::model::bounded::time")]
    pub created_at: DateTime<Utc>,
    /// Which world.
    pub world: World,
    /// Account.
    pub account: String,
    /// ARN of the caller who planned.
    pub caller: String,
    /// Region.
    pub region: String,
    /// The endpoint, where one is overridden.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// By service, the endpoint of its own, where they are not all the same.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub endpoints: BTreeMap<String, String>,
    /// How AWS was reached when it was made; nothing off AWS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint_proof: Option<EndpointProof>,
    /// The seed that targets were drawn with.
    pub seed: u32,
    /// The drill, environment and parameters applied, secret parameters still as `${params.NAME}`.
    pub drill: Drill,
    /// The drill file as it was read.
    pub source: String,
    /// SHA-256 (hex) of the drill file's bytes.
    pub source_sha256: String,
    /// The environment chosen with `--env`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// What was given with `--set`, as it was written; secrets are not among it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub set: BTreeMap<String, String>,
    /// What flags said about people and authority; it is part of the drill's `exercise`.
    #[serde(default, skip_serializing_if = "Exercise::is_empty")]
    pub typed: Exercise,
    /// The rules of `redrill.toml` that it was made under.
    #[serde(default, skip_serializing_if = "House::is_empty")]
    pub house: House,
    /// The names of parameters whose values must be given again when the plan is run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secret_params: Vec<String>,
    /// Per selector, what was drawn.
    pub targets: BTreeMap<String, PlannedTargets>,
    /// What faults reach without naming it; absent where no fault changes a subnet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affected: Option<Affected>,
    /// The ARNs of the roles that steps pass to AWS's services, by the target that has them; `*` where they could not be
    /// read.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub roles: BTreeMap<String, Vec<String>>,
    /// Faults, then recoveries, in order.
    pub steps: Vec<PlannedStep>,
    /// What was found; a refusal among them means that the plan cannot be run.
    pub findings: Vec<Finding>,
    /// Every IAM permission the run needs, sorted.
    pub permissions: Vec<String>,
}

/// What a selector drew.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedTargets {
    /// Kind.
    pub resource: ResourceKind,
    /// How many of that kind exist.
    pub population: usize,
    /// How many matched.
    pub matched: usize,
    /// What was drawn, sorted by id.
    pub drawn: Vec<Target>,
    /// The ids of all that matched, sorted, where not all of them were drawn.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub candidates: Vec<String>,
}

/// What is in the subnets that faults change and in those that route through them, whether it is a target or not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Affected {
    /// How many instances exist.
    pub population: usize,
    /// Per subnet, the ids of the instances in it, sorted.
    pub instances: BTreeMap<String, Vec<String>>,
    /// Everything else with a network interface there; redrill 0.2.0 and before did not look.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<Neighbour>,
}

impl Affected {
    /// How many instances are affected.
    pub fn count(&self) -> usize {
        self.instances.values().map(Vec::len).sum()
    }
}

/// One step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedStep {
    /// Id.
    pub id: StepId,
    /// `fault` or `recovery`.
    pub stage: Stage,
    /// Steps of one stage with the same group run together; groups run in order.
    pub group: usize,
    /// The action; `None` for a manual step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// What a person has to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manual: Option<String>,
    /// The selector that names its targets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Parameters; `${steps…}`, `${run.id}` and secret `${params…}` still in place.
    pub params: Value,
    /// How long it may take.
    pub timeout: Dur,
    /// How long its undo may take.
    pub undo_timeout: Dur,
    /// Whether it can be put back.
    pub reversibility: Reversibility,
    /// What the end of the run does with it (recoveries).
    pub after: After,
    /// What undo does.
    pub undo_story: String,
    /// Its IAM permissions, sorted.
    pub permissions: Vec<String>,
}

impl Plan {
    /// Whether a step may change something without a call to AWS: a person's, or a command.
    pub fn acts_unseen(&self) -> bool {
        self.starts_programs() || self.steps.iter().any(|s| s.manual.is_some())
    }

    /// Whether no step does anything but let time pass: nothing would be broken, nothing recovered.
    pub fn only_waits(&self) -> bool {
        self.steps.iter().all(|s| s.action.as_deref() == Some(wait::NAME))
    }

    /// The world and account, by which two emulators of one machine differ: they have the same accounts, and
    /// often the same names.
    pub fn place(&self) -> String {
        let endpoint = self.endpoint.iter().map(|url| format!(" {}", url.trim_end_matches('/')));
        let endpoints = self.endpoints.iter().map(|(service, url)| format!(" {service}={url}"));
        format!("{}{}/{}", self.world, endpoint.chain(endpoints).collect::<String>(), self.account)
    }

    /// Whether a step starts a program on this machine.
    pub fn starts_programs(&self) -> bool {
        self.steps.iter().any(|s| s.action.as_deref() == Some(command::NAME))
    }

    /// What gives the secret parameters again on a command line, with a blank before it.
    pub fn set_again(&self) -> String {
        self.secret_params.iter().map(|name| format!(" --set-env {name}=…")).collect()
    }

    /// The findings that refuse the run.
    pub fn refusals(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|f| f.severity == Severity::Refusal)
    }

    /// The limits that hold: the drill's, and the house's.
    pub fn rules(&self) -> [limits::Rule<'_>; 2] {
        limits::Rule::all(&self.drill.limits, &self.house)
    }

    /// The step of that id.
    pub fn step(&self, id: &StepId) -> Option<&PlannedStep> {
        self.steps.iter().find(|s| &s.id == id)
    }

    /// The targets a step acts on; empty for steps without any.
    pub fn targets_of(&self, step: &PlannedStep) -> &[Target] {
        step.target.as_ref().and_then(|n| self.targets.get(n)).map_or(&[], |t| t.drawn.as_slice())
    }

    /// The ids of what a step changes beside its targets.
    pub fn beside(&self, step: &PlannedStep) -> Vec<String> {
        let action = step.action.as_deref().and_then(crate::catalog::action);
        action.map(|a| a.beside(&step.params)).unwrap_or_default()
    }

    /// The subnets that faults change, or that a recovery puts on another table than before: what happens to them
    /// happens to everything inside.
    pub fn subnets_hit(&self) -> BTreeSet<&str> {
        self.steps
            .iter()
            .filter(|s| s.stage == Stage::Fault || s.params.get("table").is_some())
            .flat_map(|s| self.targets_of(s))
            .filter(|t| kinds::spec(t.kind).is_some_and(|k| k.holds_others))
            .map(|t| t.id.as_str())
            .collect()
    }

    /// SHA-256 (hex) of the RFC 8785 bytes.
    ///
    /// # Panics
    /// Never: a plan always serialises.
    pub fn sha256(&self) -> String {
        use sha2::{Digest as _, Sha256};
        let bytes = serde_json_canonicalizer::to_vec(self).expect("BUG: a plan serialises");
        Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect()
    }
}
