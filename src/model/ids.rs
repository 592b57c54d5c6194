//! Identifiers of runs and steps. Pure.
//!
//! A run id is `YYYYMMDDTHHMMSSZ-<drill>-<6 base32>`: it sorts by time and is safe as a file name
//! and as an AWS tag value. A step id is unique within its drill.

use std::fmt;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The identifier of one run, also the name of its folder and the value of the tag `redrill:run`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct RunId(String);

/// The identifier of a step, unique within its drill; the value of the tag `redrill:step`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct StepId(String);

const BASE32: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

impl RunId {
    /// Builds the id from the start of the run (UTC), the drill's name and 30 bits of entropy.
    pub fn new(started: DateTime<Utc>, drill: &str, entropy: u64) -> Self {
        let suffix: String =
            (0..6).map(|i| char::from(BASE32[((entropy >> (5 * i)) & 31) as usize])).collect();
        Self(format!("{}-{drill}-{suffix}", started.format("%Y%m%dT%H%M%SZ")))
    }

    /// Takes an id as it stands, for instance the name of a run's folder.
    pub fn from_existing(id: impl Into<String>) -> Self {
        Self(id.into())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl StepId {
    /// Takes a step's id as the drill gives it.
    pub fn new(id: impl Into<String>) -> Self {
        Self(id.into())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for StepId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_id_sorts_by_time_and_names_its_drill() {
        let at = DateTime::from_timestamp(1_700_000_000, 0).expect("a valid time");
        let id = RunId::new(at, "rds-point-in-time", 0);
        assert_eq!(id.as_str(), "20231114T221320Z-rds-point-in-time-aaaaaa");
        assert_ne!(id, RunId::new(at, "rds-point-in-time", 1));
    }
}
