//! What a drill says about a restore, and what is on record of it. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::RestorePoint;
use crate::catalog::action::{After, ReadCx};
use crate::cloud::{DbInstance, Fields};
use crate::model::target::{TAG_KEPT, TAG_REPLACES};
use crate::model::{RunId, StepId, Tags, naming};

/// Which tags the copy gets besides the run's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum CopyTags {
    /// `none` or `copy`.
    Word(CopyWord),
    /// These tags.
    These(BTreeMap<String, String>),
}

/// Which tags of the source the copy gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CopyWord {
    /// None of them.
    None,
    /// All of them but `aws:*`, `rds:*` and `redrill:*`: the copy then looks like the source to every selector.
    Copy,
}

impl Default for CopyTags {
    fn default() -> Self {
        Self::Word(CopyWord::None)
    }
}

/// Parameters of `rds.restore-to-point-in-time`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The point in time: `latest`, a time with its zone, or how long before T0, such as `-15m`.
    pub to: RestorePoint,
    /// Identifier of the new database. Default: the source's, `-redrill-` and eight characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identifier: Option<String>,
    /// Instance class, if another than the source's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// Ids of VPC security groups, if others than the source's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security_groups: Option<Vec<String>>,
    /// DB subnet group, if another than the source's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subnet_group: Option<String>,
    /// DB parameter group, if another than the source's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameter_group: Option<String>,
    /// Multi-AZ, if other than at the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub multi_az: Option<bool>,
    /// Tags of the copy besides the run's own: `none`, `copy` (the source's), or a mapping.
    #[serde(default)]
    pub tags: CopyTags,
}

/// A source as it was before the fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Its settings.
    #[serde(flatten)]
    pub db: DbInstance,
    /// RDS gives no new database the CA that it has.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ca_is_lost: bool,
    /// Whatever else AWS tells of it; none in records of earlier versions.
    #[serde(default, skip_serializing_if = "Fields::is_empty")]
    pub fields: Fields,
}

impl Deref for Source {
    type Target = DbInstance;

    fn deref(&self) -> &DbInstance {
        &self.db
    }
}

/// What undo, and a resumed run, need to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undo {
    /// Identifier of the new database.
    pub identifier: String,
    /// Identifier of the source.
    pub source: String,
    /// The source before the fault.
    pub original: Source,
    /// The settings that are asked for.
    pub like: DbInstance,
    /// The names of the settings that the drill overrides.
    pub asked: BTreeSet<String>,
    /// The point in time as the drill gives it.
    pub requested: String,
    /// The point in time (UTC) that is sent.
    pub at: DateTime<Utc>,
    /// Tags of the new database.
    pub tags: Tags,
}

impl Params {
    /// What the schema cannot express.
    pub(super) fn wrong(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        if let Some(id) = self.identifier.as_deref().filter(|id| !id.contains("${") && !is_identifier(id)) {
            wrong.push(format!(
                "`identifier: {id}` is no database identifier: at most 63 letters, digits and single hyphens, \
                 a letter first"
            ));
        }
        if self.security_groups.as_ref().is_some_and(Vec::is_empty) {
            wrong.push("`security_groups` is empty; leave it out to take the source's".to_owned());
        }
        if let CopyTags::These(these) = &self.tags {
            for key in these.keys().filter(|k| is_reserved(k)) {
                wrong.push(format!("`tags` must not set `{key}`"));
            }
            // RDS refuses both in values as well
            for (key, value) in these.iter().filter(|(_, v)| v.starts_with("aws:") || v.starts_with("rds:")) {
                wrong.push(format!("`tags`: RDS takes no value that begins so: `{key}: {value}`"));
            }
        }
        wrong
    }
}

/// Whether nobody sets a tag of this key: RDS refuses `aws:` and `rds:`, and `redrill:` is the run's.
/// <https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_Tag.html>
fn is_reserved(key: &str) -> bool {
    ["aws:", "rds:", "redrill:"].iter().any(|prefix| key.starts_with(prefix))
}

/// The identifier of the copy: valid for RDS (at most 63 characters, no double and no trailing hyphen)
/// and the same every time this step asks.
pub(super) fn identifier(run: &RunId, step: &StepId, source: &str, params: &Params) -> String {
    params
        .identifier
        .as_ref()
        .map_or_else(|| naming::copy_identifier(run, step, source), |given| given.to_ascii_lowercase())
}

pub(super) fn is_identifier(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
        && !text.ends_with('-')
        && !text.contains("--")
}

pub(super) fn tags(cx: ReadCx<'_>, source: &DbInstance, params: &Params) -> Tags {
    let mut tags: Tags = match &params.tags {
        CopyTags::Word(CopyWord::None) => Tags::new(),
        CopyTags::Word(CopyWord::Copy) => {
            source.tags.iter().filter(|(k, _)| !is_reserved(k)).map(|(k, v)| (k.clone(), v.clone())).collect()
        }
        CopyTags::These(these) => these.clone(),
    };
    tags.extend(cx.run_tags());
    tags.insert(TAG_REPLACES.to_owned(), source.identifier.clone());
    if cx.after == After::Keep {
        // something may be cut over to it before the run ends: a sweep must know that from the start
        tags.insert(TAG_KEPT.to_owned(), cx.run.to_string());
    }
    tags
}

pub(super) fn overridden(like: &mut DbInstance, params: &Params) -> BTreeSet<String> {
    let mut asked = BTreeSet::new();
    let mut ask = |name: &str| asked.insert(name.to_owned());
    if let Some(class) = &params.class {
        // cores and threads per core are those of a class: another one has its own
        if like.class != *class {
            like.processor_features.clear();
        }
        like.class.clone_from(class);
        ask("class");
    }
    if let Some(groups) = &params.security_groups {
        like.security_groups.clone_from(groups);
        ask("security_groups");
    }
    if let Some(group) = &params.subnet_group {
        // which of the two networks there are is its subnets' to say
        if like.subnet_group.as_ref() != Some(group) {
            like.more.network_type = None;
        }
        like.subnet_group = Some(group.clone());
        ask("subnet_group");
    }
    if let Some(group) = &params.parameter_group {
        like.parameter_group = Some(group.clone());
        ask("parameter_group");
    }
    if let Some(multi_az) = params.multi_az {
        like.multi_az = multi_az;
        ask("multi_az");
    }
    asked
}
