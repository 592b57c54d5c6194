//! What is allowed and probably not meant: findings about a drill as a whole. Pure.

use serde_json::Value;

use super::restored::{self, creates};
pub use super::restored::{takes_any_answer, unread};
use super::{Plan, PlannedStep};
use crate::catalog::action::{After, Finding, Reversibility, Severity};
use crate::catalog::actions::{command, wait};
use crate::drill::{Impact, Known, Role};
use crate::model::{Stage, StepId};

/// Everything that looks wrong.
pub fn lint(plan: &Plan, known: &Known) -> Vec<Finding> {
    let mut out = Vec::new();
    if plan.only_waits() {
        out.push(
            warning(
                "recovery",
                "every step only waits, so nothing is tested: the verdict will be no-impact".to_owned(),
            )
            .hint(
                "break something under `fault`, recover something under `recovery`, or add a `manual` step",
            ),
        );
    }
    let changes = |s: &PlannedStep| {
        s.manual.is_some() || !matches!(s.action.as_deref(), Some(command::NAME | wait::NAME))
    };
    if !plan.only_waits() && !plan.steps.iter().any(changes) {
        out.push(
            warning(
                "steps",
                "only programs change something: unless a probe answers differently while they work, the verdict will \
                 be no-impact"
                    .to_owned(),
            )
            .hint("watch what they change with a probe, or add a `manual` step in which somebody confirms it"),
        );
    }
    undrawn(plan, known, &mut out);
    any_answer(plan, &mut out);
    restored_unseen(plan, known, &mut out);
    impact_unseen(plan, &mut out);
    rhythm(plan, &mut out);
    cut_over(plan, &mut out);
    not_mended(plan, known, &mut out);
    selectors(plan, known, &mut out);
    let irreversible = plan.steps.iter().any(|s| s.reversibility == Reversibility::Irreversible);
    if plan.drill.allow_irreversible && !irreversible {
        let stops = |s: &crate::plan::PlannedStep| s.action.as_deref() == Some("ec2.stop-instances");
        let text = if plan.steps.iter().any(stops) {
            "`allow_irreversible` is needed only where a stop erases instance-store volumes"
        } else {
            "every step can be put back; `allow_irreversible` is not needed"
        };
        out.push(Finding::new(Severity::Info, "allow_irreversible", text));
    }
    out
}

fn warning(subject: &str, text: String) -> Finding {
    Finding::new(Severity::Warning, subject, text)
}

/// What a step changes beside its targets is held against the limits, held and watched for drift as a target is:
/// so it has to be one.
fn undrawn(plan: &Plan, known: &Known, out: &mut Vec<Finding>) {
    for step in &plan.steps {
        let Some(action) = step.action.as_deref().and_then(|a| known.action(a)) else { continue };
        let Some(kind) = action.spec().kind else { continue };
        let drawn =
            |id: &String| plan.targets.values().flat_map(|t| &t.drawn).any(|t| t.kind == kind && t.id == *id);
        for id in action.beside(&step.params).iter().filter(|id| !drawn(id)) {
            let text = format!("it changes {id} too, which no selector of the drill draws");
            let hint =
                format!("add a selector of `resource: {kind}` that draws it, so that the limits hold for it");
            out.push(Finding::new(Severity::Refusal, step.id.as_str(), text).hint(hint));
        }
    }
}

fn restored_unseen(plan: &Plan, known: &Known, out: &mut Vec<Finding>) {
    let several = |id: &StepId| {
        let step = plan.steps.iter().find(|s| s.id == *id);
        let target = step.and_then(|s| s.target.as_ref()).and_then(|t| plan.targets.get(t));
        target.is_some_and(|t| t.drawn.len() > 1)
    };
    for id in unread(plan, known) {
        // a reference to a step of several targets is refused
        let first = match several(id) {
            true => "give each target a step of its own, with `select: { count: 1 }`, and ",
            false => "",
        };
        out.push(
            warning(
                id.as_str(),
                "no verify probe that could fail looks at what this step restores: the verdict will be inconclusive"
                    .to_owned(),
            )
            .hint(format!("{first}ask it under `verify`, for example with `identifier: ${{steps.{id}.…}}`")),
        );
    }
}

/// A probe that is healthy whatever it is answered decides nothing, and a gate that it opens is none.
fn any_answer(plan: &Plan, out: &mut Vec<Finding>) {
    let hint = "say which answer is the healthy one";
    let drill = &plan.drill;
    for probe in drill.steady_state.iter().chain(&drill.verify) {
        if takes_any_answer(probe) {
            let text = "any answer satisfies this probe, so it shows nothing";
            out.push(warning(&probe.name, text.to_owned()).hint(hint));
        }
    }
    for stop in drill.stop.iter().filter(|s| restored::any_answer(&s.probe, &s.with)) {
        let text = "any answer satisfies this probe, so it stops nothing";
        out.push(warning(&stop.name, text.to_owned()).hint(hint));
    }
    for rule in plan.rules() {
        for gate in rule.limits().gates.iter().filter(|g| restored::any_answer(&g.probe, &g.with)) {
            let text = format!("any answer opens `{}`, so it holds nothing back", gate.label());
            out.push(warning(&rule.key("gates"), text).hint(hint));
        }
    }
}

fn impact_unseen(plan: &Plan, out: &mut Vec<Finding>) {
    let client = plan.drill.steady_state.iter().any(|p| p.role == Role::Client);
    if plan.drill.impact == Impact::Expected && !plan.drill.fault.is_empty() && !client {
        out.push(
            warning(
                "steady_state",
                "no client probe can see the fault: the verdict will be no-impact".to_owned(),
            )
            .hint("add a probe to `steady_state`, or say `impact: none-expected`"),
        );
    }
}

fn rhythm(plan: &Plan, out: &mut Vec<Finding>) {
    let objectives = &plan.drill.objectives;
    for probe in &plan.drill.steady_state {
        if probe.every > objectives.rto {
            let text = format!("it looks every {}, and the RTO is {}", probe.every, objectives.rto);
            out.push(warning(&probe.name, text).hint("look more often: `every`"));
        }
        if probe.hold > objectives.give_up() {
            let text = format!(
                "it must hold for {}, and the run gives up after {}",
                probe.hold,
                objectives.give_up()
            );
            out.push(warning(&probe.name, text));
        }
    }
}

/// A step that is removed at the end although something was pointed at it.
fn cut_over(plan: &Plan, out: &mut Vec<Finding>) {
    for (n, step) in plan.steps.iter().enumerate() {
        if !(creates(step) && step.after == After::Remove) {
            continue;
        }
        let later = plan.steps.iter().skip(n + 1).find(|s| {
            let refers = |value: &Value| restored::refers(value, step.id.as_str(), &|_| true);
            let manual = s.manual.as_deref().is_some_and(|m| refers(&Value::from(m)));
            let command = s.action.as_deref() == Some("command") && refers(&s.params);
            manual || command
        });
        if let Some(later) = later {
            let text = format!("`{}` uses it, and it is removed at the end of the run", later.id);
            out.push(
                warning(step.id.as_str(), text)
                    .hint("if something is cut over to it for good, say `after: keep`"),
            );
        }
    }
}

fn not_mended(plan: &Plan, known: &Known, out: &mut Vec<Finding>) {
    let mended: Vec<&str> = plan
        .steps
        .iter()
        .filter(|s| s.stage == Stage::Recovery)
        .filter_map(|s| known.action(s.action.as_deref()?))
        .flat_map(|a| a.spec().mends.iter().copied())
        .collect();
    let nothing_follows = !plan.steps.iter().any(|s| s.stage == Stage::Recovery);
    let give_up = plan.drill.objectives.give_up();
    for step in plan.steps.iter().filter(|s| s.stage == Stage::Fault) {
        let Some(action) = step.action.as_deref() else { continue };
        let text = match step.reversibility {
            Reversibility::Irreversible if !mended.contains(&action) => {
                "nothing under `recovery` mends what this breaks for good".to_owned()
            }
            Reversibility::Reversible if nothing_follows && plan.drill.impact == Impact::Expected => format!(
                "no step under `recovery` mends it: unless the service comes back by itself, the run waits until it gives \
                 up, after {give_up}, and only then puts it back"
            ),
            Reversibility::Momentary if nothing_follows && action == command::NAME => {
                "it has no `undo`, and there is no step under `recovery`: what the program changes stays"
                    .to_owned()
            }
            _ => continue,
        };
        let by: Vec<&str> = known
            .actions
            .iter()
            .filter(|a| a.spec().mends.contains(&action))
            .map(|a| a.spec().name)
            .collect();
        let finding = warning(step.id.as_str(), text);
        out.push(match (by.is_empty(), step.reversibility) {
            (false, _) => finding.hint(format!("for example {}", by.join(" or "))),
            (true, Reversibility::Irreversible) => finding,
            (true, _) => finding.hint("add the steps that people would take, for example a `manual` one"),
        });
    }
}

fn selectors(plan: &Plan, known: &Known, out: &mut Vec<Finding>) {
    let action = |s: &PlannedStep| s.action.as_deref().and_then(|a| known.action(a));
    let beside = |s: &PlannedStep| action(s).map(|a| a.beside(&s.params)).unwrap_or_default();
    let beside: Vec<String> = plan.steps.iter().flat_map(beside).collect();
    for (name, planned) in &plan.targets {
        let used = plan.steps.iter().any(|s| s.target.as_ref() == Some(name))
            || planned.drawn.iter().any(|t| beside.contains(&t.id));
        if !used {
            out.push(warning(name, "no step uses this selector, and its targets count".to_owned()));
        }
    }
}
