//! One IAM policy document: grants merged into statements, in an order that never changes. Pure.
//!
//! Merging never widens: statements become one only where what they limit is the same, or, in a document
//! that is too long otherwise, where the one's actions are never decided on the other's resources.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::catalog::iam::{Type, decided_on};

/// Characters that a managed policy may have; white space does not count ("IAM and AWS STS quotas").
pub const LONGEST: usize = 6_144;
/// Characters that the inline policies of a role may have together.
pub const LONGEST_INLINE: usize = 10_240;

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
    /// The type of the resources; none for `*`.
    pub kind: Option<Type>,
    /// ARNs, or `*`.
    pub resources: BTreeSet<String>,
    /// What has to hold.
    pub condition: Condition,
}

/// A statement that is being made: what its resources are is still known.
struct Draft {
    sid: String,
    condition: Condition,
    actions: BTreeSet<String>,
    resources: BTreeSet<(Option<Type>, String)>,
}

impl Draft {
    /// Whether one statement for both allows nothing that the two do not.
    fn joins(&self, other: &Self) -> bool {
        let idle = |a: &Self, b: &Self| {
            b.resources.difference(&a.resources).all(|(kind, _)| match kind {
                Some(kind) => a.actions.difference(&b.actions).all(|action| !decided_on(action, *kind)),
                None => false,
            })
        };
        self.sid == other.sid && self.condition == other.condition && idle(self, other) && idle(other, self)
    }
}

fn drafts(grants: impl IntoIterator<Item = Grant>) -> Vec<Draft> {
    type Resources = BTreeSet<(Option<Type>, String)>;
    let mut by_action: BTreeMap<(String, String, Condition), Resources> = BTreeMap::new();
    for g in grants {
        let resources = g.resources.into_iter().map(|r| (g.kind, r));
        by_action.entry((g.sid, g.action, g.condition)).or_default().extend(resources);
    }
    let mut merged: BTreeMap<(String, Resources, Condition), BTreeSet<String>> = BTreeMap::new();
    for ((sid, action, condition), resources) in by_action {
        merged.entry((sid, resources, condition)).or_default().insert(action);
    }
    let draft = |((sid, resources, condition), actions)| Draft { sid, condition, actions, resources };
    merged.into_iter().map(draft).collect()
}

impl Document {
    /// The document that allows exactly these; joined as far as that is honest where it is too long for a
    /// managed policy.
    pub fn of(grants: impl IntoIterator<Item = Grant>) -> Self {
        let drafts = drafts(grants);
        let plain = Self::from(&drafts);
        if plain.size() <= LONGEST {
            return plain;
        }
        let mut joined: Vec<Draft> = Vec::new();
        for draft in drafts {
            match joined.iter_mut().find(|d| d.joins(&draft)) {
                Some(d) => {
                    d.actions.extend(draft.actions);
                    d.resources.extend(draft.resources);
                }
                None => joined.push(draft),
            }
        }
        Self::from(&joined)
    }

    /// The document that allows exactly these, each action only with resources that it is decided on.
    pub fn plain(grants: impl IntoIterator<Item = Grant>) -> Self {
        Self::from(&drafts(grants))
    }

    fn from(drafts: &[Draft]) -> Self {
        let mut used: BTreeMap<&str, usize> = BTreeMap::new();
        let statement = drafts
            .iter()
            .map(|d| {
                let n = used.entry(&d.sid).and_modify(|n| *n += 1).or_insert(1);
                Statement {
                    sid: if *n == 1 { d.sid.clone() } else { format!("{}{n}", d.sid) },
                    effect: "Allow",
                    action: Values(d.actions.clone()),
                    resource: d.resources.iter().map(|(_, r)| r).collect(),
                    condition: d.condition.clone(),
                }
            })
            .collect();
        Self { version: "2012-10-17", statement }
    }

    /// The same in as few documents as fit into a managed policy each. Statements stay whole, so a document
    /// of one statement may be longer.
    pub fn parts(&self) -> Vec<Self> {
        let mut parts: Vec<Self> = Vec::new();
        for statement in &self.statement {
            if let Some(last) = parts.last_mut() {
                last.statement.push(statement.clone());
                if last.size() <= LONGEST {
                    continue;
                }
                last.statement.pop();
            }
            parts.push(Self { version: self.version, statement: vec![statement.clone()] });
        }
        parts
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
