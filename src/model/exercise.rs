//! The exercise around a drill: who takes part, who approved it, which plan it tests. Pure data.
//!
//! Written in the drill file under `exercise`, or with flags when planning; either way it is part of
//! the plan and of its hash, so it is fixed before the run starts. Nothing of it changes what a run
//! does; reports print it, and what is left out is listed there as a gap.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Dur;

/// What auditors ask about an exercise.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Exercise {
    /// What kind of exercise it is.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<ExerciseKind>,
    /// Whether the people involved knew of it beforehand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub announced: Option<bool>,
    /// The change ticket, an id or a URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<String>,
    /// Who takes part.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub participants: Vec<Participant>,
    /// Who approved it before it starts, as stated by whoever plans.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approved_by: Vec<Approval>,
    /// The contingency or recovery plan under test.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Document>,
    /// The business impact analysis that the objectives come from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub impact_analysis: Option<Document>,
    /// Ids of the risks that the scenario stands for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub risks: Vec<String>,
    /// The maximum tolerable downtime (MTD, MTPD), beyond the RTO.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tolerable_downtime: Option<Dur>,
    /// The least service that must be back at the RTO (MBCO), in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum_service: Option<String>,
    /// What is assumed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub assumptions: Vec<String>,
    /// How the place of the exercise differs from production.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deviations: Vec<String>,
    /// What participants may and may not do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules: Option<String>,
}

impl Exercise {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// With what else is said: lists grow, single values replace.
    pub fn add(&mut self, more: &Self) {
        fn replace<T: Clone>(slot: &mut Option<T>, more: Option<&T>) {
            if let Some(more) = more {
                *slot = Some(more.clone());
            }
        }
        replace(&mut self.kind, more.kind.as_ref());
        replace(&mut self.announced, more.announced.as_ref());
        replace(&mut self.ticket, more.ticket.as_ref());
        replace(&mut self.plan, more.plan.as_ref());
        replace(&mut self.impact_analysis, more.impact_analysis.as_ref());
        replace(&mut self.max_tolerable_downtime, more.max_tolerable_downtime.as_ref());
        replace(&mut self.minimum_service, more.minimum_service.as_ref());
        replace(&mut self.rules, more.rules.as_ref());
        self.participants.extend(more.participants.iter().cloned());
        self.approved_by.extend(more.approved_by.iter().cloned());
        self.risks.extend(more.risks.iter().cloned());
        self.assumptions.extend(more.assumptions.iter().cloned());
        self.deviations.extend(more.deviations.iter().cloned());
    }
}

/// Kinds of exercises, as NIST SP 800-84 and the frameworks name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ExerciseKind {
    /// Talked through.
    Tabletop,
    /// Parts are really done.
    Functional,
    /// Everything is really done.
    FullScale,
    /// The service is switched over to its redundant place.
    Switchover,
}

impl ExerciseKind {
    /// The name as in drill files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tabletop => "tabletop",
            Self::Functional => "functional",
            Self::FullScale => "full-scale",
            Self::Switchover => "switchover",
        }
    }
}

/// Somebody who takes part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Participant {
    /// The role, for example `incident commander`, `responder`, `observer`.
    pub role: String,
    /// The name.
    pub name: String,
    /// How the person is known to systems: an IAM principal, an SSO id, an address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
}

/// An approval given before the start, as stated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// Who approved.
    pub name: String,
    /// When (with a zone).
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "super::bounded::time_opt")]
    pub at: Option<DateTime<Utc>>,
    /// Where that is written: a ticket, a URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
}

/// A document that the exercise refers to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// Its title.
    pub title: String,
    /// Its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Where it is: a URL, a file name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// SHA-256 (hex) of its bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}
