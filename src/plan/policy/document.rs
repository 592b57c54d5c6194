//! One IAM policy document: grants merged into statements, in an order that never changes. Pure.
//!
//! Merging never widens: statements become one only where what they limit is the same.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

/// Characters that a managed policy may have; white space does not count.
pub const LONGEST: usize = 6_144;

/// What a condition asks: operator, then key, then the values that will do.
pub type Condition = BTreeMap<&'static str, BTreeMap<String, Values>>;

/// One value, or any of several.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Values(pub BTreeSet<String>);

impl Values {
    /// One.
    pub fn one(value: impl Into<String>) -> Self {
        Self(BTreeSet::from([value.into()]))
    }
}

impl<S: Into<String>> FromIterator<S> for Values {
    fn from_iter<I: IntoIterator<Item = S>>(all: I) -> Self {
        Self(all.into_iter().map(Into::into).collect())
    }
}

impl Serialize for Values {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match (self.0.len(), self.0.first()) {
            (1, Some(one)) => one.serialize(s),
            _ => self.0.serialize(s),
        }
    }
}

/// One statement; it always allows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Statement {
    /// What it is for, in letters and digits; unique.
    pub sid: String,
    /// `Allow`.
    pub effect: &'static str,
    /// The actions, each by its name.
    pub action: Values,
    /// ARNs, or `*`.
    pub resource: Values,
    /// What has to hold.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub condition: Condition,
}

/// A policy document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Document {
    /// The version of the language.
    pub version: &'static str,
    /// The statements, by `Sid`.
    pub statement: Vec<Statement>,
}

/// One action, on these resources, under this condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// For example `ec2:StopInstances`.
    pub action: String,
    /// What it is for: the beginning of the statement's `Sid`.
    pub sid: String,
    /// ARNs, or `*`.
    pub resources: BTreeSet<String>,
    /// What has to hold.
    pub condition: Condition,
}

impl Document {
    /// The document that allows exactly these.
    pub fn of(grants: impl IntoIterator<Item = Grant>) -> Self {
        let mut by_action: BTreeMap<(String, String, Condition), BTreeSet<String>> = BTreeMap::new();
        for g in grants {
            by_action.entry((g.sid, g.action, g.condition)).or_default().extend(g.resources);
        }
        let mut merged: BTreeMap<(String, BTreeSet<String>, Condition), BTreeSet<String>> = BTreeMap::new();
        for ((sid, action, condition), resources) in by_action {
            merged.entry((sid, resources, condition)).or_default().insert(action);
        }
        let mut used: BTreeMap<String, usize> = BTreeMap::new();
        let statement = merged
            .into_iter()
            .map(|((name, resources, condition), actions)| {
                let n = used.entry(name.clone()).and_modify(|n| *n += 1).or_insert(1);
                let sid = if *n == 1 { name } else { format!("{name}{n}") };
                Statement {
                    sid,
                    effect: "Allow",
                    action: Values(actions),
                    resource: Values(resources),
                    condition,
                }
            })
            .collect();
        Self { version: "2012-10-17", statement }
    }

    /// How many characters of a managed policy it takes.
    ///
    /// # Panics
    /// Never: a document always serialises.
    pub fn size(&self) -> usize {
        let text = serde_json::to_string(self).expect("BUG: a document serialises");
        text.chars().filter(|c| !c.is_whitespace()).count()
    }
}
