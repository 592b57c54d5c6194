//! From a run's journal and plan to its record. Pure.
//!
//! The verdict and the clock's figures are the journal's own; nothing is judged again here, but by whoever
//! verifies a bundle. What auditors ask for and the run does not have becomes a gap.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::record::{
    Authority, Check, Conditions, Criterion, Drawn, Fault, Identity, Integrity, Measures, Notice, Objectives,
    Outcome, People, Record, Recovery, Remark, Review, SCHEMA, Safety, Scope, Selection, SignOff, Status,
    VERSION,
};
use super::review::Annotation;
use super::{clocks, controls, findings, gaps, merkle, result};
use crate::catalog::action::Reversibility;
use crate::drill::{Drill, ProbeUse, RtoClock, Select, Unreadable};
use crate::journal::{Line, Mark, Mode, Verdict};
use crate::model::exercise::{Approval, Exercise};
use crate::model::time::in_words;
use crate::model::{Dur, Health, OneOrMany, RunId, Stage, World};
use crate::plan::Plan;
use crate::view::{CellView, Ending, ProbeView, RunView, undone};

/// What a record is made of.
#[derive(Clone, Copy, Debug)]
pub struct Material<'a> {
    /// The journal's lines.
    pub lines: &'a [Line],
    /// Its bytes.
    pub journal: &'a [u8],
    /// The plan; without it the record has gaps.
    pub plan: Option<&'a Plan>,
    /// Sign-offs whose signatures hold.
    pub sign_offs: &'a [SignOff],
    /// What people added after the run.
    pub annotations: &'a [Annotation],
    /// How many signed checkpoints the run folder has.
    pub checkpoints: usize,
    /// Controls in addition to the built-in ones.
    pub frameworks: &'a [controls::Framework],
    /// Who follows findings up, and by when, where nobody said so.
    pub follow_up: &'a findings::Defaults,
    /// What a comparison with CloudTrail gave.
    pub reconciliation: Option<&'a Value>,
    /// Where it was published.
    pub publication: Option<&'a Value>,
    /// The authority that is asked for a timestamp of the signature.
    pub timestamp_authority: Option<&'a str>,
}

/// What of `redrill.toml` a record depends on: part of a bundle where it says anything, so that the
/// record can be made again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Controls in addition to the built-in ones.
    pub frameworks: Vec<controls::Framework>,
    /// Who follows findings up, and by when.
    pub exercise: findings::Defaults,
}

/// The record of a run.
pub fn record(m: &Material<'_>) -> Record {
    let run = RunView::of(m.lines);
    let drill = m.plan.map(|p| &p.drill);
    let none = Exercise::default();
    let exercise = drill.map_or(&none, |d| &d.exercise);
    let checks = drill.map(|d| checks(d, &run)).unwrap_or_default();
    let safety = safety(m.plan, &run);
    let measures = measures(&run);
    let result = Outcome {
        verdict: run.verdict,
        exit_code: run.exit_code,
        reasons: run.reasons.clone(),
        objectives: result::objectives(drill, &run, &measures, &checks, &safety),
    };
    let mut record = Record {
        schema: SCHEMA.to_owned(),
        v: VERSION,
        made_by: env!("CARGO_PKG_VERSION").to_owned(),
        identity: identity(m.plan, &run),
        authority: Authority {
            approvals: approvals(exercise, &run),
            ticket: exercise.ticket.clone(),
            rules: exercise.rules.clone(),
            exercise_type: exercise.kind,
            announced: exercise.announced,
            plan: exercise.plan.clone(),
        },
        scope: scope(m.plan, &run),
        objectives: objectives(drill, exercise, &run),
        people: people(exercise, &run),
        conditions: conditions(m.plan, exercise, &run),
        recoveries: recoveries(m.plan, &run),
        measures,
        checks,
        result,
        safety,
        findings: Vec::new(),
        lessons: lessons(&run),
        review: Review::of(m.sign_offs),
        controls: Vec::new(),
        integrity: integrity(m, &run),
        limits: limits(&run, m.lines),
        gaps: Vec::new(),
        run,
    };
    record.findings = findings::find(&record, m.annotations, m.follow_up);
    record.controls = controls::assess(&record, drill, m.plan, m.frameworks);
    record.gaps = gaps::find(&record);
    record
}

fn identity(plan: Option<&Plan>, run: &RunView) -> Identity {
    let header = run.header.as_ref();
    let exercise = plan.map(|p| &p.drill.exercise);
    Identity {
        run: header.map_or_else(|| RunId::from_existing(""), |h| h.run.clone()),
        drill: header.map(|h| h.drill.clone()).unwrap_or_default(),
        title: header.map(|h| h.title.clone()).unwrap_or_default(),
        description: plan.map(|p| p.drill.description.clone()).unwrap_or_default(),
        service: plan.map(|p| p.drill.service.clone()).unwrap_or_default(),
        tool: "redrill".to_owned(),
        tool_version: header.map(|h| h.redrill.clone()).unwrap_or_default(),
        drill_sha256: plan.map(|p| p.source_sha256.clone()),
        plan_sha256: header.map(|h| h.plan_sha256.clone()).unwrap_or_default(),
        planned_at: plan.map(|p| p.created_at),
        started_at: run.started_at,
        finished_at: run.finished_at,
        impact_analysis: exercise.and_then(|e| e.impact_analysis.clone()),
        risks: exercise.map(|e| e.risks.clone()).unwrap_or_default(),
    }
}

fn filter(values: &BTreeMap<String, OneOrMany>) -> BTreeMap<String, Vec<String>> {
    values.iter().map(|(k, v)| (k.clone(), v.values().to_vec())).collect()
}

fn scope(plan: Option<&Plan>, run: &RunView) -> Scope {
    let header = run.header.as_ref();
    let selections = plan.iter().flat_map(|p| {
        p.targets.iter().map(|(name, t)| {
            let spec = p.drill.targets.get(name);
            Selection {
                name: name.clone(),
                resource: t.resource,
                tags: spec.map(|s| filter(&s.tags)).unwrap_or_default(),
                attributes: spec.map(|s| filter(&s.attrs)).unwrap_or_default(),
                select: match spec.map(|s| s.select) {
                    None | Some(Select::All) => "all".to_owned(),
                    Some(Select::Count(n)) => n.to_string(),
                    Some(Select::Percent(n)) => format!("{n} %"),
                },
                population: t.population,
                matched: t.matched,
                drawn: t.drawn.iter().map(Drawn::from).collect(),
            }
        })
    });
    Scope {
        // without a header nothing is known, and nothing may count
        world: header.map_or(World::Sim, |h| h.world),
        endpoint_doubt: run.endpoint_doubt(),
        account: header.map(|h| h.account.clone()).unwrap_or_default(),
        region: header.map(|h| h.region.clone()).unwrap_or_default(),
        endpoint: plan.and_then(|p| p.endpoint.clone()),
        environment: plan.and_then(|p| p.environment.clone()),
        seed: plan.map(|p| p.seed),
        selections: selections.collect(),
    }
}

fn objectives(drill: Option<&Drill>, exercise: &Exercise, run: &RunView) -> Objectives {
    let header = run.header.as_ref();
    let asked = drill.map(|d| &d.objectives);
    Objectives {
        rto_ms: header.map_or(0, |h| h.rto_ms),
        rpo_ms: asked.and_then(|o| o.rpo).map(Dur::ms),
        detect_ms: asked.and_then(|o| o.detect).map(Dur::ms),
        give_up_ms: header.map_or(0, |h| h.give_up_ms),
        clock: match asked.map(|o| o.rto_clock) {
            Some(RtoClock::Declaration) => "declaration",
            _ => "impact",
        }
        .to_owned(),
        max_tolerable_downtime_ms: exercise.max_tolerable_downtime.map(Dur::ms),
        minimum_service: exercise.minimum_service.clone(),
        criteria: drill.map(criteria).unwrap_or_default(),
    }
}

fn criteria(drill: &Drill) -> Vec<Criterion> {
    let of = |part: &'static str| {
        move |p: &ProbeUse| Criterion {
            name: p.name.clone(),
            probe: p.probe.clone(),
            part: part.to_owned(),
            role: format!("{:?}", p.role).to_lowercase(),
            with: p.with.clone(),
            every_ms: p.every.ms(),
            hold_ms: p.hold.ms(),
        }
    };
    let steady = drill.steady_state.iter().map(of("steady-state"));
    steady.chain(drill.verify.iter().map(of("verify"))).collect()
}

fn people(exercise: &Exercise, run: &RunView) -> People {
    // who only told a run something while nobody worked on it did not sit at redrill
    let at_work = run.processes.iter().filter(|p| p.mode != Mode::Tell);
    let operators: BTreeSet<String> = at_work.map(|p| format!("{}@{}", p.user, p.host)).collect();
    People {
        caller: run.header.as_ref().map(|h| h.caller.clone()).unwrap_or_default(),
        operators: operators.into_iter().collect(),
        participants: exercise.participants.clone(),
        simulated: run
            .steps
            .iter()
            .any(|s| s.confirmed.as_deref().is_some_and(|c| c.starts_with("simulated"))),
    }
}

/// Who approved it: as stated in the drill, and as signed.
fn approvals(exercise: &Exercise, run: &RunView) -> Vec<Approval> {
    let signed = run.approvals.iter().map(|a| Approval {
        name: a.by.clone(),
        at: Some(a.at),
        reference: Some(format!(
            "signed with key {}{}{}",
            a.key,
            a.claim(),
            a.not_independent().map(|how| format!(", {how}")).unwrap_or_default()
        )),
    });
    exercise.approved_by.iter().cloned().chain(signed).collect()
}

fn conditions(plan: Option<&Plan>, exercise: &Exercise, run: &RunView) -> Conditions {
    let mut limits = Vec::new();
    let mut abort_conditions = Vec::new();
    if let Some(Plan { drill: d, house, .. }) = plan {
        let both = d.limits.in_words().into_iter().chain(house.limits.in_words());
        limits.extend(both.map(|(what, text)| format!("{what}: {text}")));
        limits.push(format!(
            "irreversible steps: {}",
            if d.allow_irreversible { "allowed" } else { "refused" }
        ));
        for s in &d.stop {
            let after = s.for_.map_or_else(String::new, |f| format!(" for {}", in_words(f.ms())));
            let unread = if s.unreadable == Unreadable::Ignore { "" } else { " or unreadable" };
            abort_conditions
                .push(format!("{} ({}) unhealthy{unread}{after}: stop and roll back", s.name, s.probe));
        }
    }
    abort_conditions.push("an interrupt, `redrill abort` or a failed step: stop and roll back".to_owned());
    let text = |v: &Value, key: &str| v.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    Conditions {
        assumptions: exercise.assumptions.clone(),
        deviations: exercise.deviations.clone(),
        limits,
        abort_conditions,
        notices: run
            .findings
            .iter()
            .map(|f| Notice {
                severity: text(f, "severity"),
                subject: text(f, "subject"),
                text: text(f, "text"),
            })
            .collect(),
    }
}

fn measures(run: &RunView) -> Measures {
    let Some(m) = &run.measured else {
        return Measures { skew_ms: run.skew_ms, ..Measures::default() };
    };
    let between = |from: &str, to: &str| {
        Some(m.marks.get(to)?.signed_duration_since(m.marks.get(from)?).num_milliseconds())
    };
    Measures {
        rta_ms: m.rta_ms,
        rta_low_ms: m.rta_low_ms,
        rta_high_ms: m.rta_high_ms,
        from_declaration_ms: m.from_declaration_ms,
        judged_ms: m.judged_ms,
        margin_ms: m.judged_ms.map(|j| m.rto_ms - j),
        // what is said to have been before the fault took no time after it
        detect_ms: between("t0", "t1").filter(|ms| *ms >= 0),
        acknowledge_ms: between("t0", "t2").filter(|ms| *ms >= 0),
        declare_ms: between("t0", "t3").filter(|ms| *ms >= 0),
        decide_ms: between("t0", "t4"),
        technical_restore_ms: between("t4", "t5"),
        capacity_ms: m.capacity_ms,
        restore_point_age_ms: m.restore_point_age_ms,
        outage: m.outage,
        outage_in_clean_up: m.outage_in_clean_up,
        resolution_ms: m.resolution_ms,
        flaps: m.flaps,
        skew_ms: run.skew_ms,
    }
}

/// Cells of steps in this stage, with the plan's step where there is a plan.
fn cells<'a>(
    plan: Option<&'a Plan>,
    run: &'a RunView,
    stage: Stage,
) -> impl Iterator<Item = (&'a crate::view::StepView, Option<&'a crate::plan::PlannedStep>, &'a CellView)> {
    run.steps
        .iter()
        .map(move |s| (s, plan.and_then(|p| p.step(&s.id))))
        .filter(move |(s, planned)| planned.map_or(s.stage, |p| Some(p.stage)) == Some(stage))
        .flat_map(|(s, planned)| s.cells.iter().map(move |c| (s, planned, c)))
}

fn recoveries(plan: Option<&Plan>, run: &RunView) -> Vec<Recovery> {
    cells(plan, run, Stage::Recovery)
        .map(|(s, planned, c)| Recovery {
            step: s.id.to_string(),
            action: planned.and_then(|p| p.action.clone()),
            target: c.target.clone(),
            started_at: c.started_at,
            ready_at: c.ready_at,
            outputs: c.outputs.clone(),
            notes: c.notes.clone(),
        })
        .collect()
}

fn checks(drill: &Drill, run: &RunView) -> Vec<Check> {
    drill.verify.iter().map(|p| check(drill, p, run)).collect()
}

fn check(drill: &Drill, p: &ProbeUse, run: &RunView) -> Check {
    // as the engine journals it: apart from a probe of the steady state that has the same name
    let clash = drill.steady_state.iter().any(|s| s.name == p.name);
    let name = if clash { format!("verify: {}", p.name) } else { p.name.clone() };
    let seen: Option<&ProbeView> = run.probes.iter().find(|v| v.name == name);
    // a probe goes on looking while the run cleans up; what counts is what it said until then
    let end = run.stages.iter().find(|s| s.stage == Stage::Undo).map(|s| s.from);
    let last = seen.and_then(|v| v.segments.iter().rev().find(|s| end.is_none_or(|end| s.from <= end)));
    let verified = run.measured.as_ref().is_some_and(|m| m.marks.contains_key("t6"));
    Check {
        name: p.name.clone(),
        probe: p.probe.clone(),
        with: p.with.clone(),
        with_sha256: merkle::hex(&merkle::sha256(
            &serde_json_canonicalizer::to_vec(&p.with).unwrap_or_default(),
        )),
        status: match last.map(|s| s.health) {
            Some(Health::Healthy) if verified => Status::Satisfied,
            Some(Health::Unhealthy) => Status::NotSatisfied,
            _ => Status::NotTested,
        },
        seen: last.map(|s| s.seen.clone()).unwrap_or_default(),
        at: last.map(|s| s.to),
        observations: seen.map_or(0, |v| v.observations),
    }
}

fn safety(plan: Option<&Plan>, run: &RunView) -> Safety {
    let faults = cells(plan, run, Stage::Fault).map(|(s, planned, c)| Fault {
        step: s.id.to_string(),
        action: planned.and_then(|p| p.action.clone()),
        target: c.target.clone(),
        reversibility: planned.map_or("unknown", |p| reversibility(p.reversibility)).to_owned(),
        started_at: c.started_at,
        ending: ending(c),
    });
    // gone for good, as the drill said, and the service is back without it: nothing left to put back
    let recovered = matches!(run.verdict, Some(Verdict::Passed | Verdict::ObjectiveMissed));
    let gone: Vec<String> = cells(plan, run, Stage::Fault)
        .filter(|_| recovered)
        .filter(|(_, p, _)| p.is_some_and(|p| p.reversibility == Reversibility::Irreversible))
        .filter_map(|(s, _, c)| match (&c.ending, &c.target) {
            (Some(Ending::Left { why }), Some(target)) => Some(run.gone(&s.id, Some(target), why)),
            _ => None,
        })
        .collect();
    let left_behind: Vec<String> =
        run.left_behind().into_iter().filter(|l| !gone.iter().any(|g| l.starts_with(g))).collect();
    let t8 = run.measured.as_ref().is_some_and(|m| m.marks.contains_key("t8"));
    Safety {
        clean: t8 || (!gone.is_empty() && left_behind.is_empty()),
        gone,
        faults: faults.collect(),
        targets: plan.map_or(0, |p| p.targets.values().map(|t| t.drawn.len()).sum()),
        left_behind,
        kept: run
            .kept()
            .map(|(step, target)| match target {
                Some(target) => format!("the result of {step} on {target}"),
                None => format!("the result of {step}"),
            })
            .collect(),
        steady_after: run.steady_after,
    }
}

fn reversibility(r: Reversibility) -> &'static str {
    match r {
        Reversibility::Reversible => "reversible",
        Reversibility::Additive => "additive",
        Reversibility::Momentary => "momentary",
        Reversibility::Irreversible => "irreversible",
    }
}

/// How a fault ended.
fn ending(cell: &CellView) -> String {
    match &cell.ending {
        None if cell.started_at.is_none() => "never sent".to_owned(),
        None => "nothing recorded".to_owned(),
        Some(Ending::Undoing { .. }) => "undo not finished".to_owned(),
        Some(Ending::Undone { how, proof, .. }) => {
            let word = undone(how, Some(Stage::Fault));
            if proof.is_empty() { word.to_owned() } else { format!("{word}: {proof}") }
        }
        Some(Ending::Kept { proof, .. }) => format!("kept: {proof}"),
        Some(Ending::Stuck { error, .. }) => format!("stuck: {error}"),
        Some(Ending::Left { why }) => why.clone(),
    }
}

fn lessons(run: &RunView) -> Vec<Remark> {
    let notes = run.marks.iter().filter(|m| m.mark == Mark::Note);
    notes.map(|m| Remark { at: m.at, by: m.by.clone(), text: m.note.clone() }).collect()
}

fn integrity(m: &Material<'_>, run: &RunView) -> Integrity {
    Integrity {
        journal_lines: run.lines,
        journal_sha256: merkle::hex(&merkle::sha256(m.journal)),
        journal_root: merkle::hex(&merkle::root(&merkle::leaves(m.journal))),
        checkpoints: m.checkpoints,
        calls_with_request_id: run.calls.iter().filter(|c| c.request_id.is_some()).count(),
        calls: run.calls.len(),
        reconciliation: m.reconciliation.cloned(),
        publication: m.publication.cloned(),
        timestamp_authority: m.timestamp_authority.map(str::to_owned),
    }
}

/// What the record cannot tell.
fn limits(run: &RunView, lines: &[Line]) -> Vec<String> {
    let mut out = Vec::new();
    match run.header.as_ref().map(|h| h.world) {
        Some(World::Aws) => out.extend(
            run.endpoint_doubt().map(|doubt| format!("that the endpoint was AWS's is not proven: {doubt}")),
        ),
        Some(world) => out.push(format!(
            "this ran on {}; its durations are made up and it counts as evidence for no control",
            if world == World::Sim { "the simulator" } else { "an emulator" }
        )),
        None => out.push("the journal has no first line; nothing is known of the run".to_owned()),
    }
    if run.steps.iter().any(|s| s.confirmed.as_deref().is_some_and(|c| c.starts_with("simulated"))) {
        out.push("people were simulated: the time that people need is made up".to_owned());
    }
    if let Some(m) = &run.measured {
        out.extend(m.notes.iter().cloned());
        if m.restore_point_age_ms.is_some() {
            out.push("data loss was not measured; the age of the restore point is no RPO".to_owned());
        }
    }
    if !run.unknown.is_empty() {
        out.push(format!("{} journal lines are of kinds that this redrill does not know", run.unknown.len()));
    }
    if let Some(before) = run.header.as_ref().and_then(|h| h.chain.as_ref()?.before.as_ref())
        && before.root.is_none()
    {
        out.push(format!("the run before it, {}, was no longer there when it began", before.run));
    }
    out.push(
        "whoever owns the machine and the keys can make up a run, or throw one away with its whole state folder: \
         only AWS's own records show that"
            .to_owned(),
    );
    out.extend(clocks::odd(lines));
    out.push("the cost of the run was not measured".to_owned());
    out
}
