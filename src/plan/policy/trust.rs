//! The trust policy of the role that runs a drill: who may take it on, and under what conditions. Pure.
//!
//! Invariant: whoever is named is named whole. A pattern would let in whole accounts, or everybody.

use std::collections::BTreeMap;

use serde::Serialize;

use super::document::{Condition, Values};
use crate::drill::limits::is_account;

/// Who may take the role on.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// Accounts, and ARNs of principals; see [`is_principal`].
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

/// Whether this names one principal, as a trust policy takes it: an account, its root, a role, a user, or
/// a session of a role or of a federated user.
pub fn is_principal(text: &str) -> bool {
    if is_account(text) {
        return true;
    }
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let ["arn", partition, service, "", account, resource] = parts[..] else { return false };
    // the characters of IAM's names and paths, and of session names
    let plain = |c: char| c.is_ascii_alphanumeric() || "+=,.@_-".contains(c);
    let name = |n: &str| !n.is_empty() && n.chars().all(plain);
    let names: Vec<&str> = resource.split('/').collect();
    let kind = match (service, &names[..]) {
        ("iam", ["root"]) | ("sts", ["assumed-role", _, _] | ["federated-user", _]) => true,
        ("iam", ["role" | "user", path @ ..]) => !path.is_empty(),
        _ => false,
    };
    let partition = partition == "aws" || partition.strip_prefix("aws-").is_some_and(name);
    partition && is_account(account) && kind && names.into_iter().all(name)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_principal_is_named_whole() {
        for whole in [
            "123456789012",
            "arn:aws:iam::123456789012:root",
            "arn:aws-cn:iam::123456789012:role/ci",
            "arn:aws-us-gov:iam::123456789012:user/teams/shop/me@example.com",
            "arn:aws:iam::123456789012:role/aws-reserved/sso.amazonaws.com/AWSReservedSSO_Drill_0123456789abcdef",
            "arn:aws:sts::123456789012:assumed-role/ci/session",
            "arn:aws:sts::123456789012:federated-user/me",
        ] {
            assert!(is_principal(whole), "{whole}");
        }
        for other in [
            "",
            "*",
            "12345678901",
            "12345678901*",
            "arn:aws:iam::1:role/*",
            "arn:aws:iam::1:role/ci",
            "arn:aws:iam::*:root",
            "arn:aws:iam::123456789012:*",
            "arn:aws:iam::123456789012:role/*",
            "arn:aws:iam::123456789012:role/c?",
            "arn:aws:iam::123456789012:role/${aws:username}",
            "arn:aws:iam::123456789012:role/",
            "arn:aws:iam::123456789012:role//ci",
            "arn:aws:iam::123456789012:role",
            "arn:aws:iam::123456789012:group/ops",
            "arn:aws:iam:us-east-1:123456789012:root",
            "arn:*:iam::123456789012:root",
            "arn:aws:sts::123456789012:assumed-role/ci",
            "arn:aws:sts::123456789012:assumed-role/ci/*",
            "arn:aws:s3::123456789012:role/ci",
            " arn:aws:iam::123456789012:root",
        ] {
            assert!(!is_principal(other), "{other}");
        }
    }
}
