//! A plan made again from what it holds: the drill's text, its parameters, and what was found. Pure.
//!
//! A plan's hash says that nothing was changed since it was written; whoever writes it can hash it anew.
//! So whoever relies on a plan (`run`, `approve`, `verify`) makes drill, steps, draw and the findings that
//! need no world again, and compares. What the world said (populations, attributes, inspections) is taken
//! as it stands. A plan of format 1 does not hold all that this takes: what cannot be judged is named.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::limits::Rule;
use super::{House, Plan, PlannedStep, PlannedTargets, build, limits, lint, roles};
use crate::catalog::action::{Finding, Severity};
use crate::drill::{self, Drill, Known, LoadOptions, Select, selector};
use crate::inventory::Inhabitants;
use crate::model::{Tags, Target};

/// The first format that holds what it takes to make a plan again.
const WHOLE: u32 = 2;

/// What a plan made again says of the one at hand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Again {
    /// Where it is not what its drill, parameters and resolution give; one sentence each.
    pub broken: Vec<String>,
    /// What cannot be judged, since the plan does not hold it.
    pub lacking: Vec<String>,
}

impl Again {
    fn broken(&mut self, text: impl Into<String>) {
        self.broken.push(text.into());
    }
}

/// Makes a plan again and compares.
pub fn again(plan: &Plan) -> Again {
    let known = Known::shipped();
    let mut out = Again::default();
    // another version may word findings and count permissions another way; what runs is the same
    let exact = plan.redrill == env!("CARGO_PKG_VERSION");
    format(plan, &mut out);
    drill_of(plan, &mut out);
    for (name, spec) in &plan.drill.targets {
        match plan.targets.get(name) {
            Some(planned) => draw(plan, name, spec, planned, &mut out),
            None => out.broken(format!("the plan has no targets for the selector `{name}`")),
        }
    }
    for name in plan.targets.keys().filter(|name| !plan.drill.targets.contains_key(*name)) {
        out.broken(format!("the plan has targets for `{name}`, which the drill does not select"));
    }
    let steps = build::steps(&plan.drill, &known);
    if let Some(what) = steps_differ(&plan.steps, &steps, exact) {
        out.broken(format!("the plan's steps are not those of its drill: {what}"));
    } else if exact && plan.permissions != build::permissions(&plan.drill, &plan.house, &plan.steps, &known) {
        out.broken("the plan's permissions are not those that its steps take");
    }
    reach(plan, &mut out);
    findings(plan, &known, exact, &mut out);
    out
}

fn format(plan: &Plan, out: &mut Again) {
    let holds_more = !plan.set.is_empty()
        || !plan.typed.is_empty()
        || plan.targets.values().any(|t| !t.candidates.is_empty());
    match plan.format {
        1 if holds_more => out.broken("the plan says that it has format 1, and holds what format 1 has not"),
        1 => out.lacking.push(format!(
            "the plan has format 1, of redrill {}: it holds neither the parameters that it was made with nor \
             what its targets were drawn from",
            plan.redrill
        )),
        _ if plan.redrill == "0.1.0" => {
            out.broken("redrill 0.1.0 writes plans of format 1, and this is none");
        }
        _ => {}
    }
}

/// The drill, made again from its text.
fn drill_of(plan: &Plan, out: &mut Again) {
    let digest: String = Sha256::digest(plan.source.as_bytes()).iter().map(|b| format!("{b:02x}")).collect();
    if digest != plan.source_sha256 {
        out.broken("the plan's drill file does not have the hash that the plan gives it");
    }
    let set = plan.set.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    let options = LoadOptions { env: plan.environment.clone(), set };
    // secrets have no value here, and none is needed: a plan holds none either
    let known = Known::of(&plan.redrill);
    let mut drill = match drill::check_with(&known, "drill.yaml", &plan.source, &options) {
        Ok(loaded) => loaded.drill,
        Err(problems) => {
            let first = problems.problems.first().map(|p| p.message.clone()).unwrap_or_default();
            return out.broken(format!("the plan's drill file gives no drill: {first}"));
        }
    };
    let secret: Vec<&String> = drill.params.iter().filter(|(_, p)| p.secret).map(|(name, _)| name).collect();
    if !secret.iter().copied().eq(&plan.secret_params) {
        out.broken("the plan's secret parameters are not those of its drill file");
    }
    if plan.format < WHOLE {
        // what flags said stands among it, and the plan does not say which
        drill.exercise = plan.drill.exercise.clone();
    } else {
        drill.exercise.add(&plan.typed);
    }
    let value = |drill: &Drill| serde_json::to_value(drill).unwrap_or_default();
    let Some(what) = difference("", &value(&drill), &value(&plan.drill)) else { return };
    if plan.format < WHOLE && drill.params.values().any(|p| !p.secret) {
        out.lacking.push(format!(
            "whether the plan is what its drill file gives: the parameters are not in it ({what})"
        ));
    } else {
        out.broken(format!("the plan is not what its drill file gives: {what}"));
    }
}

/// The first place where two values differ: `objectives.rto: the drill file gives "2s", the plan says "4h"`.
fn difference(path: &str, file: &Value, plan: &Value) -> Option<String> {
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match (file, plan) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            let of = |map: &serde_json::Map<String, Value>, key: &String| map.get(key).cloned();
            keys.into_iter().find_map(|key| {
                difference(
                    &below(key),
                    &of(a, key).unwrap_or(Value::Null),
                    &of(b, key).unwrap_or(Value::Null),
                )
            })
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            let pairs = a.iter().zip(b).enumerate();
            pairs.into_iter().find_map(|(n, (a, b))| difference(&below(&n.to_string()), a, b))
        }
        (a, b) if a == b => None,
        (a, b) => Some(format!("{path}: the drill file gives {}, the plan says {}", short(a), short(b))),
    }
}

fn short(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= 80 { text } else { text.chars().take(77).chain("…".chars()).collect() }
}

/// What a selector drew, of what was found.
fn draw(plan: &Plan, name: &str, spec: &crate::drill::TargetSpec, planned: &PlannedTargets, out: &mut Again) {
    if planned.resource != spec.resource {
        out.broken(format!("`{name}` selects {}, the plan has {}", spec.resource, planned.resource));
    }
    if planned.matched > planned.population || planned.drawn.len() > planned.matched {
        out.broken(format!("`{name}` draws more than there is"));
    }
    for target in &planned.drawn {
        if target.kind != spec.resource || !selector::matches(spec, target) {
            out.broken(format!("{} does not match the selector `{name}`", limits::label(target)));
        }
    }
    let all = planned.drawn.len() == planned.matched;
    if !all && planned.candidates.is_empty() && plan.format < WHOLE {
        if spec.select == Select::All {
            out.broken(format!(
                "`{name}` draws all of {}, the plan has {}",
                planned.matched,
                planned.drawn.len()
            ));
        }
        return; // said to be lacking already
    }
    let ids: Vec<String> = match all {
        true => planned.drawn.iter().map(|t| t.id.clone()).collect(),
        false => planned.candidates.clone(),
    };
    let distinct: BTreeSet<&String> = ids.iter().collect();
    if distinct.len() != planned.matched {
        return out.broken(format!(
            "`{name}` matched {}, and the plan names {} of them",
            planned.matched,
            distinct.len()
        ));
    }
    let bare = |id: String| Target {
        kind: spec.resource,
        id,
        arn: None,
        name: None,
        tags: Tags::new(),
        attrs: BTreeMap::new(),
    };
    let found: Vec<Target> = ids.into_iter().map(bare).collect();
    // of nothing, and of too little, nothing is drawn: the plan is refused for that
    let drawn = selector::draw(spec.select, plan.seed, found).unwrap_or_default();
    if !drawn.iter().map(|t| &t.id).eq(planned.drawn.iter().map(|t| &t.id)) {
        out.broken(format!("`{name}`: with seed {} other targets are drawn than the plan has", plan.seed));
    }
}

/// Where the steps are others; of another version only what they do.
fn steps_differ(plan: &[PlannedStep], drill: &[PlannedStep], exact: bool) -> Option<String> {
    if plan.len() != drill.len() {
        return Some(format!("the drill has {}, the plan {}", drill.len(), plan.len()));
    }
    plan.iter().zip(drill).find_map(|(has, wants)| {
        let mut wants = wants.clone();
        if !exact {
            (wants.undo_timeout, wants.reversibility) = (has.undo_timeout, has.reversibility);
            (wants.undo_story, wants.permissions) = (has.undo_story.clone(), has.permissions.clone());
        }
        let value = |step: &PlannedStep| serde_json::to_value(step).unwrap_or_default();
        difference(has.id.as_str(), &value(&wants), &value(has))
    })
}

/// What faults reach without naming it is counted where they reach anything.
fn reach(plan: &Plan, out: &mut Again) {
    let hit = plan.subnets_hit();
    let counted: BTreeSet<&str> =
        plan.affected.iter().flat_map(|a| a.instances.keys()).map(String::as_str).collect();
    let through: BTreeSet<&str> =
        plan.affected.iter().flat_map(|a| &a.others).flat_map(|n| &n.through).map(String::as_str).collect();
    if !hit.is_subset(&counted) || counted.iter().any(|s| !hit.contains(s) && !through.contains(s)) {
        out.broken("what the faults reach was not counted for the subnets that they change");
    }
}

/// The findings that need no world are among the plan's.
fn findings(plan: &Plan, known: &Known, exact: bool, out: &mut Again) {
    let mut again = refused_by(plan, &plan.house);
    for (name, planned) in plan.targets.iter().filter(|(_, t)| t.drawn.is_empty()) {
        let found = plan.findings.iter().any(|f| f.severity == Severity::Refusal && f.subject == *name);
        if !found {
            let text = format!("no target: none of the {} is drawn", planned.population);
            again.push(Finding::new(Severity::Refusal, name, text));
        }
    }
    let drawn: BTreeSet<&Target> = plan.targets.values().flat_map(|t| &t.drawn).collect();
    again.extend(drawn.into_iter().flat_map(|t| limits::tagging(t, None)));
    if exact {
        let longest = limits::longest(&plan.drill, &plan.steps);
        for rule in plan.rules() {
            again.extend(limits::hours(rule, plan.created_at, longest, Severity::Warning));
        }
        again.extend(lint::lint(plan, known));
    }
    let has = |f: &Finding| {
        let same = |g: &&Finding| g.subject == f.subject && (!exact || g.text == f.text);
        plan.findings.iter().filter(same).any(|g| g.severity >= f.severity)
    };
    for f in again.iter().filter(|f| !has(f)) {
        let what = if f.severity == Severity::Refusal { "a refusal" } else { "a finding" };
        out.broken(format!("the plan lacks {what} of its own rules: {}: {}", f.subject, f.text));
    }
}

/// What the drill's limits and the rules of a house refuse of a plan, whatever its file says was found:
/// account, region, environment, numbers, tags, reach. Hours and gates are looked at when it runs.
pub fn refused_by(plan: &Plan, house: &House) -> Vec<Finding> {
    let rules = Rule::all(&plan.drill.limits, house);
    let mut out = Vec::new();
    for rule in rules {
        out.extend(limits::place(rule, &plan.drill, &plan.account, &plan.region));
        out.extend(limits::targets(rule, &plan.targets));
        out.extend(roles::limited(rule, &plan.roles));
        if let Some(reached) = reached(plan) {
            out.extend(limits::affected(rule, &reached));
        }
    }
    let chosen = plan.environment.as_deref();
    out.extend(limits::environment(&plan.drill.limits, chosen, house, &plan.account));
    out
}

/// What faults reach, as far as the plan says: instances by their ids, without tags.
fn reached(plan: &Plan) -> Option<Inhabitants> {
    let affected = plan.affected.as_ref()?;
    let instances = affected.instances.iter().flat_map(|(subnet, ids)| {
        ids.iter().map(move |id| Target {
            kind: crate::catalog::kinds::EC2_INSTANCE,
            id: id.clone(),
            arn: None,
            name: None,
            tags: Tags::new(),
            attrs: [("subnet".to_owned(), subnet.clone())].into(),
        })
    });
    let (population, others) = (affected.population, affected.others.clone());
    Some(Inhabitants { population, instances: instances.collect(), others })
}

#[cfg(test)]
mod tests;
