//! What people add to a finished run: sign-offs, and who follows a finding up. Pure data.

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

use super::record::FindingSeverity;

/// One line of `annotations.jsonl` in the run's folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Annotation {
    /// A finding that a person adds.
    Remark {
        /// When (UTC).
        at: DateTime<Utc>,
        /// Who.
        by: String,
        /// How bad.
        severity: FindingSeverity,
        /// What.
        text: String,
    },
    /// Who follows a finding up; each given field replaces what was there.
    FollowUp {
        /// When (UTC).
        at: DateTime<Utc>,
        /// Who says so.
        by: String,
        /// The finding.
        finding: String,
        /// Who has to see to it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        owner: Option<String>,
        /// By when.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        due: Option<NaiveDate>,
        /// Where.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ticket: Option<String>,
    },
}
