//! The roles that the steps of a plan pass to AWS's services, and whether they may: who launches an instance with a
//! role, or restores a database with one, hands on what the role may do.
//!
//! [`passed`] reads profiles, everything else is pure. Invariant: what could not be read is never taken for nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::Plan;
use super::limits::Rule;
use crate::catalog::action::{Finding, Severity};
use crate::catalog::kinds;
use crate::cloud::{ErrorKind, Reads};
use crate::model::Target;

/// Stands for roles that could not be read.
pub(super) const UNKNOWN: &str = "*";
/// What a step that passes roles asks for.
const PASS: &str = "iam:PassRole";

/// By target, the roles that the plan's steps pass.
pub(super) async fn passed(plan: &Plan, reads: &Reads) -> BTreeMap<String, Vec<String>> {
    let steps = plan.steps.iter().filter(|s| s.permissions.iter().any(|p| p == PASS));
    let targets: BTreeSet<&Target> = steps.flat_map(|s| plan.targets_of(s)).collect();
    let mut of_profiles: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let mut out = BTreeMap::new();
    for t in targets {
        let Some(kind) = kinds::spec(t.kind) else { continue };
        let roles = match kind.profile.and_then(|key| t.attrs.get(key)) {
            Some(profile) => {
                if !of_profiles.contains_key(profile.as_str()) {
                    of_profiles.insert(profile, of_profile(reads, profile).await);
                }
                of_profiles[profile.as_str()].clone()
            }
            None => kind.roles.iter().filter_map(|key| t.attrs.get(*key).cloned()).collect(),
        };
        if !roles.is_empty() {
            out.insert(t.id.clone(), roles);
        }
    }
    out
}

async fn of_profile(reads: &Reads, profile: &str) -> Vec<String> {
    let name = profile.rsplit('/').next().unwrap_or(profile);
    match reads.iam.profile_role(name).await {
        Ok(role) => role.into_iter().collect(),
        // the step that launches refuses what does not exist
        Err(e) if e.kind == ErrorKind::NotFound => Vec::new(),
        Err(_) => vec![UNKNOWN.to_owned()],
    }
}

/// A role's path and name.
pub(super) fn name(arn: &str) -> &str {
    arn.split_once(":role/").map_or(arn, |(_, name)| name)
}

/// Refuses roles that the limits do not name, where they name any.
pub(super) fn limited(rule: Rule<'_>, roles: &BTreeMap<String, Vec<String>>) -> Vec<Finding> {
    let allowed = &rule.limits().roles;
    if allowed.is_empty() {
        return Vec::new();
    }
    let key = rule.key("roles");
    let mut out = Vec::new();
    for (target, role) in roles.iter().flat_map(|(t, all)| all.iter().map(move |r| (t, r))) {
        let (text, hint) = match name(role) {
            UNKNOWN => (
                format!(
                    "the role of its instance profile could not be read, so {key} cannot be held against it"
                ),
                "allow iam:GetInstanceProfile",
            ),
            name if allowed.iter().any(|a| a == name) => continue,
            name => (
                format!("its role {name} would be passed on, which {key} does not name"),
                "pick other targets, or name the role",
            ),
        };
        out.push(Finding::new(Severity::Refusal, target, text).hint(hint));
    }
    out
}
