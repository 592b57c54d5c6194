//! What a run says about each control: computed from what it did and how it came out, never typed. Pure.
//!
//! Steps, probes and measures show capabilities, and a control names those that it needs: both stand in
//! `controls.toml`. A run off AWS, and one that came to no end that shows anything, leaves every control
//! not tested; a run supports a control only where it tried it and everything needed was seen to hold.

mod capability;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

pub use capability::Capability;
use capability::Shown;

use super::record::{Check, ControlOutcome, ControlResult, Record, Status};
use crate::drill::Drill;
use crate::journal::Verdict;
use crate::model::World;
use crate::plan::Plan;

/// A set of controls.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Framework {
    /// Short name, for example `soc2`.
    pub key: String,
    /// Its full name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its controls, in the order in which they are reported.
    pub controls: Vec<Control>,
}

/// One control of a framework.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Control {
    /// Its id, for example `A1.3`.
    pub id: String,
    /// What it asks for, in words of our own.
    pub paraphrase: String,
    /// How often it is to be shown.
    #[serde(default = "not_set")]
    pub cadence: String,
    /// A run that tries any of these exercises it; with none, only a drill that names it does.
    #[serde(default)]
    pub exercised_by: Vec<Capability>,
    /// All of these must hold before a run supports it.
    pub needs: Vec<Capability>,
    /// What the output must show, and where the record has it.
    #[serde(default)]
    pub shows: Vec<String>,
}

fn not_set() -> String {
    "not set".to_owned()
}

/// `controls.toml`: what shows which capability, and the frameworks that need them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    /// Probes that ask the service itself, as its clients do.
    clients: Vec<String>,
    fault: BTreeMap<String, Vec<Capability>>,
    recovery: BTreeMap<String, Vec<Capability>>,
    verify: BTreeMap<String, Vec<Capability>>,
    /// By probe and parameter: what a check that gives it shows beyond.
    verify_asking: BTreeMap<String, BTreeMap<String, Vec<Capability>>>,
    objectives: BTreeMap<String, Vec<Capability>>,
    frameworks: Vec<Framework>,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    toml::from_str(include_str!("../controls.toml")).expect("BUG: controls.toml is read by a test")
});

/// The built-in frameworks.
pub fn built_in() -> &'static [Framework] {
    &TABLE.frameworks
}

/// The built-in frameworks, then these. The configuration refuses added ones that pass for built-in ones.
pub fn with(added: &[Framework]) -> Vec<(&Framework, &Control)> {
    built_in().iter().chain(added).flat_map(|f| f.controls.iter().map(move |c| (f, c))).collect()
}

/// What the run says about each control: of the built-in frameworks, of the added ones, and of those
/// that the drill names.
pub(super) fn assess(
    record: &Record,
    drill: Option<&Drill>,
    plan: Option<&Plan>,
    added: &[Framework],
) -> Vec<ControlResult> {
    let named: &[String] = drill.map_or(&[], |d| &d.controls);
    let known = with(added);
    let seen = capability::all(record, plan);
    let mut out: Vec<ControlResult> = known
        .iter()
        .map(|(framework, control)| {
            let named = named.iter().any(|n| is_named(n, framework, control));
            let (outcome, why) = judge(record, control, named, &seen);
            ControlResult {
                framework: framework.key.clone(),
                framework_name: if added.contains(framework) {
                    format!("{} ({}), defined in redrill.toml", framework.name, framework.version)
                } else {
                    format!("{} ({})", framework.name, framework.version)
                },
                id: control.id.clone(),
                paraphrase: control.paraphrase.clone(),
                cadence: control.cadence.clone(),
                outcome,
                why,
                shows: control.shows.clone(),
            }
        })
        .collect();
    for name in named {
        if known.iter().any(|(f, c)| is_named(name, f, c)) {
            continue;
        }
        let (framework, id) = name.split_once('/').unwrap_or(("", name));
        out.push(ControlResult {
            framework: framework.to_owned(),
            framework_name: framework.to_owned(),
            id: id.to_owned(),
            paraphrase: String::new(),
            cadence: not_set(),
            outcome: ControlOutcome::NotTested,
            why: "not known to redrill; add it in redrill.toml".to_owned(),
            shows: Vec::new(),
        });
    }
    out
}

/// Whether `soc2/A1.3` is this control.
fn is_named(name: &str, framework: &Framework, control: &Control) -> bool {
    name.split_once('/').is_some_and(|(f, id)| f == framework.key && id == control.id)
}

fn judge(
    record: &Record,
    control: &Control,
    named: bool,
    seen: &BTreeMap<Capability, Shown>,
) -> (ControlOutcome, String) {
    use ControlOutcome::{DoesNotSupport, NotTested, Supports};
    if let Some(why) = says_nothing(record) {
        return (NotTested, why);
    }
    let of = |c: &Capability| seen.get(c).map(|s| (*c, s));
    let tried: Vec<_> = control.exercised_by.iter().filter_map(of).filter(|(_, s)| s.tried).collect();
    if tried.is_empty() && !named {
        return (NotTested, not_exercised(control));
    }
    // each once: what was tried, then what is needed beyond
    let mut all = tried;
    for need in control.needs.iter().filter_map(of) {
        if !all.iter().any(|(c, _)| *c == need.0) {
            all.push(need);
        }
    }
    let words = |status: Status| {
        let of = all.iter().filter(|(_, s)| s.status == status);
        of.map(|(c, s)| format!("{}: {}", c.words(), s.why)).collect::<Vec<_>>().join("; ")
    };
    let any = |status: Status| all.iter().any(|(_, s)| s.status == status);
    if any(Status::NotSatisfied) {
        return (DoesNotSupport, words(Status::NotSatisfied));
    }
    if any(Status::NotTested) || all.is_empty() {
        return (NotTested, words(Status::NotTested));
    }
    match record.result.verdict {
        Some(Verdict::Passed | Verdict::ObjectiveMissed) => (Supports, words(Status::Satisfied)),
        verdict => {
            let verdict = verdict.map_or("unfinished", Verdict::name);
            (NotTested, format!("the run ended as {verdict}"))
        }
    }
}

/// Why a run says nothing about any control.
fn says_nothing(record: &Record) -> Option<String> {
    match record.scope.world {
        World::Aws if record.counts() => {}
        World::Aws => {
            let doubt = record.scope.endpoint_doubt.as_deref().unwrap_or_default();
            return Some(format!(
                "endpoint not proven ({doubt}), and no proven trail shows that AWS was called"
            ));
        }
        World::Sim => return Some("ran on the simulator; only a run on AWS counts".to_owned()),
        World::Emulator => return Some("ran on an emulator; only a run on AWS counts".to_owned()),
    }
    match record.result.verdict {
        None => Some("the run is not finished".to_owned()),
        Some(
            verdict @ (Verdict::Refused
            | Verdict::NotSteady
            | Verdict::NoImpact
            | Verdict::Inconclusive
            | Verdict::Stopped),
        ) => Some(format!("the run ended as {}, which shows nothing", verdict.name())),
        Some(_) => None,
    }
}

fn not_exercised(control: &Control) -> String {
    if control.exercised_by.is_empty() {
        return "only a drill that names it exercises it".to_owned();
    }
    let words: Vec<&str> = control.exercised_by.iter().map(|c| c.words()).collect();
    format!("this run did not exercise it; that takes: {}", words.join(", or "))
}

/// What a step with this action, in this stage, shows; `None` for one that the table does not have.
fn of_action(action: &str, stage: crate::model::Stage) -> Option<&'static [Capability]> {
    let table = match stage {
        crate::model::Stage::Fault => &TABLE.fault,
        _ => &TABLE.recovery,
    };
    table.get(action).map(Vec::as_slice)
}

/// What a check shows: by its probe, and by what it asks of it.
fn of_check(check: &Check) -> Vec<Capability> {
    let asked = TABLE.verify_asking.get(&check.probe).into_iter().flatten();
    let asked = asked.filter(|(param, _)| check.with.get(param.as_str()).is_some()).map(|(_, c)| c);
    TABLE.verify.get(&check.probe).into_iter().chain(asked).flatten().copied().collect()
}

/// Whether this probe asks the service itself; others ask AWS about it.
fn asks_the_service(probe: &str) -> bool {
    TABLE.clients.iter().any(|p| p == probe)
}

/// What an objective shows.
fn of_objective(key: &str) -> Option<&'static [Capability]> {
    TABLE.objectives.get(key).map(Vec::as_slice)
}

#[cfg(test)]
mod tests;
