//! What a step restored, and which probes read it: one rule for what is warned of, what is judged and what counts for
//! a control. Pure.
//!
//! A copy beside the original is read where one of its own names is asked: the name of the original, a time, a port
//! or a secret are not the copy. What was put back in its place is read where that place is asked.

use serde_json::Value;

use super::{Plan, PlannedStep};
use crate::catalog;
use crate::catalog::action::{ActionSpec, Reversibility};
use crate::drill::refs::{self, Reference};
use crate::drill::{Known, ProbeUse};
use crate::model::{Stage, StepId};

/// Parameters of probes that say who is asked.
const ASKED: [&str; 5] = ["identifier", "host", "bucket", "name", "subnet"];

/// Whether the step makes something that was not there before.
pub(super) fn creates(step: &PlannedStep) -> bool {
    step.stage == Stage::Recovery && step.reversibility == Reversibility::Additive
}

/// Whether any of the texts refers to an output of the step of which this holds.
pub(super) fn refers(value: &Value, step: &str, which: &dyn Fn(&str) -> bool) -> bool {
    refs::references(value).iter().any(|inner| match Reference::read(inner) {
        Reference::Step(rest) => refs::split_step(rest, [step]).is_some_and(|(_, output)| which(output)),
        _ => false,
    })
}

/// Who is asked by these parameters of a probe: a mention elsewhere, as in the query of another page's address, or
/// as the user who asks there, reads nothing of what is mentioned.
fn asked(with: &Value) -> impl Iterator<Item = Value> + '_ {
    let server = |url: &Value| {
        let rest = url.as_str().and_then(|u| u.split_once("://")).map_or("", |(_, rest)| rest);
        let place = rest.split(['/', '?', '#']).next().unwrap_or_default();
        Value::from(place.rsplit('@').next().unwrap_or_default())
    };
    with.as_object().into_iter().flatten().filter_map(move |(key, value)| match key.as_str() {
        "url" => Some(server(value)),
        key => ASKED.contains(&key).then(|| value.clone()),
    })
}

/// Whether what is asked is what the step made, by a name that is its own.
fn asks_made(with: &Value, step: &str, spec: &ActionSpec) -> bool {
    let own = |output: &str| spec.outputs.iter().any(|o| o.names_made && o.name == output);
    asked(with).any(|value| refers(&value, step, &own))
}

/// Whether a step of this action restores something beside the original: a replacement is seen by the steady state,
/// such a copy is not.
fn restores_beside(spec: &ActionSpec) -> bool {
    spec.mends.is_empty() && !spec.outputs.is_empty()
}

/// Whether a probe with these parameters reads what this step restored of this target: the copy, or the place that it
/// was put back in. Without the step as it was planned, any of the place will do.
pub fn reads(
    with: &Value,
    action: &str,
    step: &str,
    target: Option<&str>,
    planned: Option<&PlannedStep>,
) -> bool {
    let Some(action) = catalog::action(action) else { return false };
    let spec = action.spec();
    if restores_beside(spec) && spec.reversibility == Reversibility::Additive {
        return asks_made(with, step, spec);
    }
    let there = target.is_some_and(|target| asked(with).any(|value| value == target));
    there && planned.is_none_or(|planned| action.restores(&planned.params, with))
}

/// The steps that restore something beside the original which no verify probe reads that could fail.
pub fn unread<'p>(plan: &'p Plan, known: &Known) -> Vec<&'p StepId> {
    let could_fail = |p: &&ProbeUse| !takes_any_answer(p);
    let unread = |step: &&PlannedStep| {
        let action = step.action.as_deref().and_then(|a| known.action(a));
        let spec = action.map(|a| a.spec()).filter(|spec| creates(step) && restores_beside(spec));
        let read = |spec| {
            plan.drill.verify.iter().filter(could_fail).any(|p| asks_made(&p.with, step.id.as_str(), spec))
        };
        spec.is_some_and(|spec| !read(spec))
    };
    plan.steps.iter().filter(unread).map(|step| &step.id).collect()
}

/// Whether a probe is healthy whatever it is answered.
pub fn takes_any_answer(probe: &ProbeUse) -> bool {
    any_answer(&probe.probe, &probe.with)
}

/// The same of a probe by its name and parameters.
pub fn any_answer(probe: &str, with: &Value) -> bool {
    catalog::probe(probe).is_some_and(|p| p.any_answer(with))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_copy_is_read_by_its_own_names_alone() {
        let reads = |with: &Value| {
            super::reads(with, "rds.restore-to-point-in-time", "restore", Some("orders"), None)
        };
        for with in [
            json!({ "identifier": "${steps.restore.identifier}" }),
            json!({ "host": "${steps.restore.endpoint}", "port": "${steps.restore.port}" }),
            json!({ "url": "https://app:${params.password}@${steps.restore.endpoint}:8443/health" }),
        ] {
            assert!(reads(&with), "{with}");
        }
        for with in [
            json!({ "identifier": "${steps.restore.source}" }),
            json!({ "identifier": "orders" }),
            json!({ "identifier": "${steps.restore2.identifier}" }),
            json!({ "identifier": "$${steps.restore.identifier}" }),
            json!({ "host": "production", "port": "${steps.restore.port}" }),
            json!({ "host": "production", "secret": "${steps.restore.secret}" }),
            json!({ "host": "production", "query": "select '${steps.restore.endpoint}'" }),
            json!({ "name": "orders-${steps.restore.restored_to}" }),
            json!({ "url": "http://production:${steps.restore.port}/" }),
            json!({ "url": "http://${steps.restore.endpoint}@production/?of=${steps.restore.identifier}" }),
            json!(null),
        ] {
            assert!(!reads(&with), "{with}");
        }
    }

    #[test]
    fn every_action_that_restores_a_copy_says_which_outputs_name_it() {
        for spec in catalog::actions::ACTIONS.iter().map(|a| a.spec()) {
            if restores_beside(spec) && spec.reversibility == Reversibility::Additive {
                assert!(spec.outputs.iter().any(|o| o.names_made), "{}: nothing could read it", spec.name);
            }
        }
    }

    #[test]
    fn what_was_put_back_in_its_place_is_read_there() {
        let restore = |target: &str| {
            let with = json!({ "bucket": "shop", "key": "catalogue/items.json", "etag": "\"0\"" });
            super::reads(&with, "s3.restore-objects", "restore", Some(target), None)
        };
        assert!(restore("shop") && !restore("other"));
        assert!(!super::reads(&json!({ "bucket": "shop" }), "no.such-action", "restore", Some("shop"), None));
    }
}
