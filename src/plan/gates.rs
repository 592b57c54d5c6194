//! Gates: probes that must be healthy before a fault is injected. Reads.
//!
//! A run asks them, in preflight and right before the fault; a gate that cannot be read is closed. While
//! planning nobody is asked: [`ask`] is for whoever wants that, knowing whom. Invariant of [`ask`]: nothing is
//! changed and nothing given away.

use serde_json::Value;

use super::Plan;
use super::limits::Rule;
use crate::catalog::action::{After, Finding, ReadCx, Severity};
use crate::catalog::{self, DynProbe, Reading};
use crate::cloud::Reads;
use crate::drill::{Gate, refs};
use crate::model::{Clock, Health, RunId, StepId};

/// Looks at every gate of a rule; one that is not open refuses. `resolve` puts the values of parameters in; a
/// gate whose parameters have none is not looked at.
pub async fn look(rule: Rule<'_>, cx: ReadCx<'_>, resolve: impl Fn(&Value) -> Option<Value>) -> Vec<Finding> {
    let mut out = Vec::new();
    for gate in &rule.limits().gates {
        let (Some(probe), Some(params)) = (catalog::probe(&gate.probe), resolve(&gate.with)) else {
            continue;
        };
        let Reading { health, seen, .. } = observe(gate, probe, cx, &params).await;
        let says = match health {
            Health::Healthy => continue,
            Health::Unhealthy => "is closed",
            Health::Unknown => "cannot be read, and counts as closed",
        };
        let text = format!("`{}` {says}: {seen}", gate.label());
        out.push(Finding::new(Severity::Refusal, rule.key("gates"), text));
    }
    out
}

async fn observe(gate: &Gate, probe: &dyn DynProbe, cx: ReadCx<'_>, params: &Value) -> Reading {
    let limit = gate.timeout.unwrap_or(probe.spec().timeout).0;
    let reading = tokio::time::timeout(limit, probe.observe(cx, params)).await;
    reading.unwrap_or_else(|_| probe.timed_out(limit))
}

/// How a gate came out.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Asked {
    /// Whose: `limits.gates`, or `redrill.toml limits.gates`.
    pub rule: String,
    /// The gate.
    pub gate: String,
    /// `open`, `closed`, `unreadable` or `not asked`.
    pub state: &'static str,
    /// What was seen, or why nobody was asked.
    pub seen: String,
}

/// Asks every gate of a plan that can be asked without changing anything and without giving anything away.
pub async fn ask(plan: &Plan, reads: &Reads, clock: &dyn Clock) -> Vec<Asked> {
    let (run, step) = (RunId::from_existing("plan"), StepId::new("gate"));
    let cx = ReadCx {
        reads,
        clock,
        region: &plan.region,
        account: &plan.account,
        run: &run,
        step: &step,
        after: After::None,
        t0: None,
        settle: plan.drill.settle,
        give_up: plan.drill.objectives.give_up(),
        calls: &(),
        forbid_tags: [None; 2],
        planning: true,
        irreversible: plan.drill.allow_irreversible,
        no_impact: false,
        dry_run: None,
    };
    let mut out = Vec::new();
    for rule in plan.rules() {
        for gate in &rule.limits().gates {
            let Some(probe) = catalog::probe(&gate.probe) else { continue };
            let asked =
                |state, seen| Asked { rule: rule.key("gates"), gate: gate.label().to_owned(), state, seen };
            // what is secret has no value while planning
            let params = refs::resolve_value(&gate.with, &|_| None);
            let why_not = match &params {
                Ok(params) => probe.only_in_a_run(params),
                Err(_) => Some("it takes a secret parameter"),
            };
            out.push(match (params, why_not) {
                (Ok(params), None) => {
                    let Reading { health, seen, .. } = observe(gate, probe, cx, &params).await;
                    let state = match health {
                        Health::Healthy => "open",
                        Health::Unhealthy => "closed",
                        Health::Unknown => "unreadable",
                    };
                    asked(state, seen)
                }
                (_, why) => asked("not asked", format!("{}; a run asks it", why.unwrap_or_default())),
            });
        }
    }
    out
}
