//! What a run of a plan will start on this machine, and whom it will ask: for whoever allows it. Pure.
//!
//! Left to others: how it is laid out. Invariant: nothing that a run starts or asks is missing, and no value of a
//! secret is in it: the plan has none.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{House, Plan};
use crate::catalog::actions::command;
use crate::catalog::{self, Need};
use crate::drill::{Drill, refs};

/// All of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Will {
    /// The programs, in the order of the steps; each step's undo behind it.
    pub run: Vec<Runs>,
    /// Whom it asks, and for what.
    pub ask: Vec<Asks>,
}

/// A program on this machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Runs {
    /// The step.
    pub step: String,
    /// Whether it is the step's undo.
    pub undo: bool,
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// The folder that it is started in; the one that redrill is started in, if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// The names of the variables that it is given beside `PATH`, `HOME` and `LANG`.
    pub env: Vec<String>,
    /// The secret parameters that it is given.
    pub secrets: Vec<String>,
    /// Killed after this long.
    pub timeout: String,
    /// The exit code that means success.
    pub expect_exit: String,
}

/// A program as a drill writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// Its variables; a value may be a reference.
    pub env: BTreeMap<String, String>,
    /// Its folder.
    pub cwd: Option<String>,
    /// Killed after this long.
    pub timeout: String,
    /// The exit code that means success.
    pub expect_exit: String,
}

/// Something that is asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Asks {
    /// `steady`, `verify`, `stop`, `gate`, or `kill switch`.
    #[serde(rename = "for")]
    pub what: String,
    /// Its own name, where it has one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The probe.
    pub probe: String,
    /// Whom, with which method, and with whose password.
    pub asks: String,
    /// What is sent and expected, one line each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<String>,
    /// The secret parameters that it is given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
    /// Whether `redrill.toml` says so, and not the drill.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub house: bool,
}

/// What a run of this plan will start and ask.
pub fn of(plan: &Plan) -> Will {
    let run = plan.steps.iter().filter(|s| s.action.as_deref() == Some(command::NAME));
    let run = run.flat_map(|s| {
        programs(&s.params).into_iter().map(|(undo, p)| runs(s.id.as_str(), undo, p)).collect::<Vec<_>>()
    });
    Will { run: run.collect(), ask: asks(plan) }
}

/// The programs of a `command`: its own, and the one that undoes it. Read by hand: where a reference stands for a
/// number, the parameters are not yet what they will be, and the program must not be missing for that.
pub fn programs(params: &Value) -> Vec<(bool, Program)> {
    let own = Some((false, program(params)));
    let undo = params.get("undo").filter(|u| !u.is_null()).map(|u| (true, program(u)));
    own.into_iter().chain(undo).collect()
}

fn program(with: &Value) -> Program {
    let text = |v: &Value| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
    let of = |key: &str| with.get(key).filter(|v| !v.is_null());
    Program {
        argv: match of("argv") {
            Some(Value::Array(items)) => items.iter().map(text).collect(),
            other => other.map(text).into_iter().collect(),
        },
        env: match of("env") {
            Some(Value::Object(all)) => all.iter().map(|(k, v)| (k.clone(), text(v))).collect(),
            other => other.map(|v| (text(v), String::new())).into_iter().collect(),
        },
        cwd: of("cwd").map(text),
        timeout: of("timeout").map_or("1m".to_owned(), text),
        expect_exit: of("expect_exit").map_or("0".to_owned(), text),
    }
}

fn runs(step: &str, undo: bool, p: Program) -> Runs {
    let given = serde_json::json!([p.argv, p.env, p.cwd]);
    Runs {
        step: step.to_owned(),
        undo,
        secrets: secrets(&given),
        argv: p.argv,
        cwd: p.cwd,
        env: p.env.into_keys().collect(),
        timeout: p.timeout,
        expect_exit: p.expect_exit,
    }
}

/// The secret parameters that a value refers to: every other one is put in before there is a plan.
pub fn secrets(value: &Value) -> Vec<String> {
    let mut all: Vec<String> = refs::references(value)
        .into_iter()
        .filter_map(|r| r.strip_prefix("params.").map(str::to_owned))
        .collect();
    all.sort();
    all.dedup();
    all
}

fn asks(plan: &Plan) -> Vec<Asks> {
    let drill = &plan.drill;
    let one = |what: &str, name: &str, probe: &str, with: &Value, house: bool| {
        let known = catalog::probe(probe);
        Asks {
            what: what.to_owned(),
            name: if [probe, ""].contains(&name) { String::new() } else { name.to_owned() },
            probe: probe.to_owned(),
            asks: known.map(|p| p.asks(with)).unwrap_or_default(),
            details: known.map(|p| p.details(with)).unwrap_or_default(),
            secrets: secrets(with),
            house,
        }
    };
    let mut out: Vec<Asks> = Vec::new();
    out.extend(drill.steady_state.iter().map(|p| one("steady", &p.name, &p.probe, &p.with, false)));
    out.extend(drill.verify.iter().map(|p| one("verify", &p.name, &p.probe, &p.with, false)));
    out.extend(drill.stop.iter().map(|s| one("stop", &s.name, &s.probe, &s.with, false)));
    for (gates, house) in [(&drill.limits.gates, false), (&plan.house.limits.gates, true)] {
        out.extend(gates.iter().map(|g| one("gate", &g.name, &g.probe, &g.with, house)));
    }
    let switch = &plan.house.kill_switch;
    for (kind, place) in [("file", &switch.file), ("s3", &switch.s3), ("ssm", &switch.ssm)] {
        out.extend(place.as_ref().map(|place| Asks {
            what: "kill switch".to_owned(),
            name: String::new(),
            probe: kind.to_owned(),
            asks: place.clone(),
            details: Vec::new(),
            secrets: Vec::new(),
            house: true,
        }));
    }
    out
}

/// What the probes of a drill need before they can look, each with the probe that needs it. What is a reference is
/// left out: nobody knows yet.
pub fn needs(drill: &Drill, house: &House) -> Vec<(String, Need)> {
    let label = |name: &str, probe: &str| if name.is_empty() { probe.to_owned() } else { name.to_owned() };
    let probes = drill.steady_state.iter().chain(&drill.verify);
    let mut uses: Vec<(String, &str, &Value)> =
        probes.map(|p| (label(&p.name, &p.probe), p.probe.as_str(), &p.with)).collect();
    uses.extend(drill.stop.iter().map(|s| (label(&s.name, &s.probe), s.probe.as_str(), &s.with)));
    let gates = drill.limits.gates.iter().chain(&house.limits.gates);
    uses.extend(gates.map(|g| (g.label().to_owned(), g.probe.as_str(), &g.with)));
    let mut out = Vec::new();
    for (name, probe, with) in uses {
        let all = catalog::probe(probe).map(|p| p.needs(with)).unwrap_or_default();
        out.extend(all.into_iter().filter(|n| !refs::has_reference(n.name())).map(|n| (name.clone(), n)));
    }
    out.sort();
    out.dedup();
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn no_program_is_missing_whatever_its_other_parameters_are() {
        let p = programs(&json!({
            "argv": ["sh", "-c", 1], "timeout": "${steps.a.b}", "expect_exit": "${steps.a.c}", "env": { "A": true },
            "undo": { "argv": "${steps.a.d}" },
        }));
        let argv: Vec<_> = p.iter().map(|(undo, p)| (*undo, p.argv.join(" "))).collect();
        assert_eq!(argv, [(false, "sh -c 1".to_owned()), (true, "${steps.a.d}".to_owned())]);
        assert_eq!(p[0].1.env["A"], "true");
        assert_eq!(programs(&json!({ "argv": ["a"], "undo": null })).len(), 1);
    }
}
