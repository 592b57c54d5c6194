//! Targets: the AWS resources a drill acts on, in redrill's own terms. Pure.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ResourceKind;

/// Tags of a resource, sorted by key.
pub type Tags = BTreeMap<String, String>;

/// Set on everything a run creates; the value is the run's id.
pub const TAG_RUN: &str = "redrill:run";
/// Set on everything a run creates; the value is the step's id.
pub const TAG_STEP: &str = "redrill:step";
/// Set on every taggable target before the first change, removed by the clean-up.
pub const TAG_HELD: &str = "redrill:held";
/// Replaces [`TAG_RUN`] on what a run created and the drill keeps; `sweep` never removes it.
pub const TAG_KEPT: &str = "redrill:kept";
/// On what a run made to stand in for something else: the id of that, by which `sweep` knows without a
/// journal whether it may be removed. Stays when it is kept.
pub const TAG_REPLACES: &str = "redrill:replaces";

/// One resolved resource.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// What kind of resource it is.
    pub kind: ResourceKind,
    /// The id that AWS's API takes: instance id, subnet id, database identifier, bucket name.
    pub id: String,
    /// The ARN where the service gives or implies one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arn: Option<String>,
    /// The `Name` tag, or the service's own name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The tags as read from the owning service.
    pub tags: Tags,
    /// The attributes that `where` can name, and what else is known of its kind.
    pub attrs: BTreeMap<String, String>,
}

impl Target {
    /// The Availability Zone, where the kind has one.
    pub fn zone(&self) -> Option<&str> {
        self.attrs.get("zone").map(String::as_str)
    }

    /// The name, else the id: what people read.
    pub fn label(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.id)
    }
}

/// Which world a run touches. Anything but `aws` leaves every control "not tested".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum World {
    /// AWS itself: no endpoint is overridden.
    Aws,
    /// An emulator behind an overridden endpoint.
    Emulator,
    /// The in-process simulator.
    Sim,
}

impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Aws => "aws",
            Self::Emulator => "emulator",
            Self::Sim => "sim",
        })
    }
}
