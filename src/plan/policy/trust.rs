//! The trust policy of the role that runs a drill: who may take it on, and under what conditions. Pure.

use std::collections::BTreeMap;

use serde::Serialize;

use super::document::{Condition, Values};

/// Who may take the role on.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// ARNs of principals.
    pub principals: Vec<String>,
    /// The external id that must be given.
    pub external_id: Option<String>,
    /// Whether a second factor must have been used.
    pub mfa: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Statement {
    sid: &'static str,
    effect: &'static str,
    principal: BTreeMap<&'static str, Values>,
    action: &'static str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    condition: Condition,
}

/// A trust policy.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Document {
    version: &'static str,
    statement: [Statement; 1],
}

/// The trust policy.
pub fn document(trust: &Trust) -> Document {
    let mut condition = Condition::new();
    if let Some(id) = &trust.external_id {
        let id = BTreeMap::from([("sts:ExternalId".to_owned(), Values::one(id))]);
        condition.insert("StringEquals", id);
    }
    if trust.mfa {
        let mfa = BTreeMap::from([("aws:MultiFactorAuthPresent".to_owned(), Values::one("true"))]);
        condition.insert("Bool", mfa);
    }
    Document {
        version: "2012-10-17",
        statement: [Statement {
            sid: "RunDrills",
            effect: "Allow",
            principal: BTreeMap::from([("AWS", trust.principals.iter().cloned().collect())]),
            action: "sts:AssumeRole",
            condition,
        }],
    }
}
