//! What the pure parts need to know of a plan's probes. Pure.

use std::collections::BTreeMap;

use super::recovery::ClockParams;
use super::steady_state::{ProbeInfo, ProbeUsage};
use super::stop;
use crate::catalog::{self, actions::wait};
use crate::drill::{Drill, Impact, ProbeUse, Role};
use crate::model::{Dur, Stage};
use crate::plan::{Plan, PlannedStep};

/// The probes of the steady state.
pub fn steady(drill: &Drill) -> Vec<ProbeInfo> {
    drill.steady_state.iter().map(|p| info(p, ProbeUsage::SteadyState)).collect()
}

/// The verify probes.
pub fn verify(drill: &Drill) -> Vec<ProbeInfo> {
    let named = |p: &ProbeUse| ProbeInfo { name: verify_key(drill, p), ..info(p, ProbeUsage::Verify) };
    drill.verify.iter().map(named).collect()
}

/// The name that a verify probe's observations are journalled under: its own, unless a probe of the
/// steady state has the same, whose answers must not count for it.
pub fn verify_key(drill: &Drill, probe: &ProbeUse) -> String {
    if drill.steady_state.iter().any(|p| p.name == probe.name) {
        format!("verify: {}", probe.name)
    } else {
        probe.name.clone()
    }
}

fn info(p: &ProbeUse, stage_of_use: ProbeUsage) -> ProbeInfo {
    ProbeInfo {
        name: p.name.clone(),
        role: p.role,
        every_ms: p.every.ms(),
        timeout_ms: timeout(&p.probe, p.timeout).ms(),
        hold_ms: p.hold.ms(),
        stage_of_use,
    }
}

/// The probes of the steady state that cannot be read for want of a secret parameter: each with the first one that
/// was not given.
pub fn unread(plan: &Plan, given: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let lacks = |p: &ProbeUse| {
        let text = p.with.to_string();
        let missing =
            |name: &&String| !given.contains_key(*name) && text.contains(&format!("${{params.{name}}}"));
        plan.secret_params.iter().find(missing).map(|name| (p.name.clone(), name.clone()))
    };
    plan.drill.steady_state.iter().filter_map(lacks).collect()
}

fn timeout(probe: &str, given: Option<Dur>) -> Dur {
    given.or_else(|| catalog::probe(probe).map(|p| p.spec().timeout)).unwrap_or(Dur::secs(5))
}

/// Whether a person or a program does what this step is for, and no call to AWS.
pub fn acts_without_call(step: &PlannedStep) -> bool {
    let calls = step.action.as_deref().and_then(catalog::action).is_some_and(|a| a.spec().kind.is_some());
    !calls && step.action.as_deref() != Some(wait::NAME)
}

/// What the recovery clock needs to know of a plan.
pub fn clock_params(plan: &Plan) -> ClockParams {
    let drill = &plan.drill;
    let mut probes = steady(drill);
    probes.extend(verify(drill));
    probes.extend(drill.stop.iter().map(|s| ProbeInfo {
        name: stop::key(&s.name),
        role: Role::Capacity,
        every_ms: s.every.ms(),
        timeout_ms: timeout(&s.probe, s.timeout).ms(),
        hold_ms: 0,
        stage_of_use: ProbeUsage::Stop,
    }));
    let ids = |stage: Stage| plan.steps.iter().filter(|s| s.stage == stage).map(|s| s.id.clone()).collect();
    ClockParams {
        rto_ms: drill.objectives.rto.ms(),
        give_up_ms: drill.objectives.give_up().ms(),
        rto_clock: drill.objectives.rto_clock,
        detect_ms: drill.objectives.detect.map(Dur::ms),
        impact_none_expected: drill.impact == Impact::NoneExpected,
        probes,
        fault_steps: ids(Stage::Fault),
        by_hand: plan
            .steps
            .iter()
            .filter(|s| s.stage == Stage::Fault && acts_without_call(s))
            .map(|s| s.id.clone())
            .collect(),
        recovery_steps: ids(Stage::Recovery),
    }
}
