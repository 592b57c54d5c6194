//! Judging a run again, from its journal and plan alone, and comparing with what is signed. Pure.
//!
//! Whoever owns the key can write any last line and sign it. So measurement, verdict, exit code and
//! reasons are made again by the engine's own pure parts, of every end that the journal tells of, and the
//! first line is held against the plan. An end that an older redrill judged is held to the figures and to the
//! rules of that very version, which must be one that was released; where today's are stricter, it is said.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;

use super::verify::Findings;
use crate::engine::recovery::measure;
use crate::engine::setup::clock_params;
use crate::engine::state::RunState;
use crate::engine::strangers::strangers;
use crate::engine::verdict::{Judged, Rules, judge, judge_by};
use crate::evidence::approval::{self, Said};
use crate::evidence::clocks;
use crate::journal::event::{Approved, FORMAT};
use crate::journal::{Event, Line, Measured};
use crate::model::StepId;
use crate::model::time::in_words;
use crate::plan::Plan;
use crate::view::{Header, RunView};

/// This redrill's version.
const OWN: &str = env!("CARGO_PKG_VERSION");

/// Holds a journal against its plan and judges it again.
pub(super) fn check(plan: &Arc<Plan>, lines: &[Line], view: &RunView, found: &mut Findings) {
    let before = found.broken.len();
    match &view.header {
        Some(header) => first_line(plan, header, lines, found),
        None => found.broken.push("the journal's first line does not say what the run is".to_owned()),
    }
    found.caveats.extend(clocks::odd(lines));
    let planned = found.broken.len();
    unplanned(plan, lines, found);
    let misplaced = RunState::replay(Arc::clone(plan), lines).misplaced;
    if let Some(what) = misplaced.filter(|_| found.broken.len() == planned) {
        found.broken.push(format!("the journal has what the plan has no place for: {what}"));
    }
    tail(lines, found);
    let (mut ends, mut same) = (0, true);
    for (at, line) in lines.iter().enumerate() {
        if let Event::Finished { verdict, exit_code, reasons, measured } = &line.event {
            let stated = Judged { verdict: *verdict, exit_code: *exit_code, reasons: reasons.clone() };
            let judged_by = judged_by(&lines[..at]);
            same &= end(plan, &lines[..at], &stated, measured, judged_by, found);
            ends += 1;
        }
    }
    if ends > 0 && same && found.broken.len() == before {
        let judged = "judged again from the journal and the plan: the same measurement and the same verdict";
        found.holds.push(judged.to_owned());
    }
}

/// What the first line says, as the plan has it.
fn first_line(plan: &Plan, header: &Header, lines: &[Line], found: &mut Findings) {
    let d = &plan.drill;
    let same = [
        ("drill", header.drill == d.name),
        ("title", header.title == d.title),
        ("world", header.world == plan.world),
        ("account", header.account == plan.account),
        ("caller", header.caller == plan.caller),
        ("region", header.region == plan.region),
        ("RTO", header.rto_ms == d.objectives.rto.ms()),
        ("time to give up", header.give_up_ms == d.objectives.give_up().ms()),
    ];
    for (what, _) in same.iter().filter(|(_, same)| !same) {
        found.broken.push(format!("the journal's first line names another {what} than the plan"));
    }
    let attached = lines.iter().filter_map(|l| match &l.event {
        Event::Attached { redrill, .. } => Some(redrill.as_str()),
        _ => None,
    });
    let wrote: BTreeSet<&str> = attached.chain([header.redrill.as_str()]).collect();
    found.broken.extend(wrote.iter().filter(|by| Rules::of(by).is_none()).map(|by| {
        format!("redrill {by} is said to have judged the run, and this is {OWN}, which knows no such version")
    }));
    if lines.iter().skip(1).any(|l| matches!(l.event, Event::Header { .. })) {
        found.broken.push("the journal has a second first line".to_owned());
    }
    let by = &header.redrill;
    match header.format {
        0 | 1 if *by != "0.1.0" => {
            found.broken.push(format!("redrill {by} writes no journal of format {}", header.format));
        }
        0 | 1 => found.caveats.push(format!(
            "the journal has format 1, of redrill {by}: it says neither on which boot of the machine a process \
             ran nor which run was before it, and names users by their environment"
        )),
        FORMAT if wrote.contains("0.1.0") => {
            found.broken.push(format!("redrill 0.1.0 writes no journal of format {FORMAT}"));
        }
        FORMAT => match &header.chain {
            None => found.caveats.push("the run names no run before it: it was kept in no list of runs".to_owned()),
            Some(c) => found.caveats.extend(c.before.iter().filter(|b| b.root.is_none()).map(|b| {
                format!("the run before it, {}, was no longer in the state folder when this one began", b.run)
            })),
        },
        newer => found.broken.push(format!("the journal has format {newer}, which redrill {OWN} cannot read")),
    }
    if plan.format > header.format.max(1) && header.format <= 1 {
        found.broken.push("the plan is of a newer redrill than the run".to_owned());
    }
}

/// Steps and targets that the plan does not have.
fn unplanned(plan: &Plan, lines: &[Line], found: &mut Findings) {
    let mut said = BTreeSet::new();
    for line in lines {
        let (step, targets) = acts_on(&line.event);
        let Some(step) = step else { continue };
        let what = match plan.step(step) {
            None => format!("step `{step}`"),
            Some(planned) => {
                let drawn = plan.targets_of(planned);
                let other = targets.into_iter().flatten().find(|t| drawn.iter().all(|d| d.id != **t));
                let other = other.map(|other| format!("{other} as a target of step `{step}`"));
                let Some(what) = other else { continue };
                what
            }
        };
        if said.insert(what.clone()) {
            found.broken.push(format!("the journal has {what}, and the plan does not"));
        }
    }
    let strangers = strangers(plan, lines);
    found.broken.extend(strangers.calls.into_iter().map(|call| {
        format!("the journal has {call}, which the plan does not draw and the run did not make")
    }));
    found.caveats.extend(
        strangers
            .unclear
            .into_iter()
            .map(|call| format!("the journal has {call}, and does not say whose that is: CloudTrail does")),
    );
}

fn acts_on(event: &Event) -> (Option<&StepId>, Vec<Option<&String>>) {
    match event {
        Event::StepStarted { step, targets } => (Some(step), targets.iter().map(Option::as_ref).collect()),
        Event::StepPrepared { step, target, .. }
        | Event::StepApplied { step, target, .. }
        | Event::StepFailed { step, target, .. }
        | Event::StepReady { step, target, .. }
        | Event::UndoStarted { step, target }
        | Event::UndoDone { step, target, .. }
        | Event::Kept { step, target, .. } => (Some(step), vec![target.as_ref()]),
        Event::CallSent { step, .. } => (step.as_ref(), Vec::new()),
        Event::StepSkipped { step, .. } | Event::Waiting { step, .. } | Event::Confirmed { step, .. } => {
            (Some(step), Vec::new())
        }
        _ => (None, Vec::new()),
    }
}

/// After its end a run only answers what came too late.
fn tail(lines: &[Line], found: &mut Findings) {
    let Some(last) = lines.iter().rposition(|l| matches!(l.event, Event::Finished { .. })) else { return };
    let more = lines[last + 1..].iter().filter(|l| !matches!(l.event, Event::RequestUnused { .. })).count();
    if more > 0 {
        found.broken.push(format!("the journal goes on for {more} lines after the run's end"));
    }
}

/// The redrill that wrote the line that comes next.
fn judged_by(lines: &[Line]) -> &str {
    let by = |line: &'_ Line| match &line.event {
        Event::Attached { redrill, .. } => Some(redrill.len()),
        _ => None,
    };
    let at = lines.iter().rposition(|l| by(l).is_some());
    match at.map(|at| &lines[at].event) {
        Some(Event::Attached { redrill, .. }) => redrill,
        _ => OWN,
    }
}

/// One end, judged again. Whether the verdict is the same by today's rules, too.
fn end(
    plan: &Arc<Plan>,
    before: &[Line],
    stated: &Judged,
    figures: &Measured,
    by: &str,
    found: &mut Findings,
) -> bool {
    let measured = measure(before, &clock_params(plan));
    let state = RunState::replay(Arc::clone(plan), before);
    let judged = judge(&state, &measured);
    let exact = by == OWN;
    if let Some(what) = differs(figures, &measured, exact) {
        found.broken.push(format!("measured again from its own lines, the run has another {what}"));
    }
    let word = |judged: &Judged| (judged.verdict, judged.exit_code);
    if word(&judged) == word(stated) {
        if exact && judged.reasons != stated.reasons {
            found.broken.push("judged again, the run has other reasons than the journal says".to_owned());
        }
        return true;
    }
    let text = if judged.verdict == stated.verdict {
        format!("the journal says exit code {}; judged again it is {}", stated.exit_code, judged.exit_code)
    } else {
        let why = judged.reasons.first().cloned().unwrap_or_default();
        let (said, again) = (stated.verdict.name(), judged.verdict.name());
        format!("the journal says `{said}`; judged again it is `{again}`: {why}")
    };
    let then = Rules::of(by).map(|rules| judge_by(rules, &state, &measured));
    if then.is_some_and(|then| word(&then) == word(stated)) {
        found.caveats.push(format!("{text} (redrill {by}, whose rules were milder, judged it so)"));
    } else {
        found.broken.push(text);
    }
    false
}

/// The first figure that differs, with both values. Of another version sentences and gaps may be worded or
/// cut another way; the figures may not.
fn differs(stated: &Measured, measured: &Measured, exact: bool) -> Option<String> {
    let value = |m: &Measured| serde_json::to_value(m).unwrap_or_default();
    let (Value::Object(a), Value::Object(b)) = (value(stated), value(measured)) else { return None };
    let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    let key = keys.into_iter().find(|key| {
        let figure = exact || !matches!(key.as_str(), "notes" | "gaps");
        figure && a.get(*key) != b.get(*key)
    })?;
    let say = |v: Option<&Value>| match v {
        Some(Value::Number(n)) if key.ends_with("_ms") => n.as_i64().map_or_else(|| n.to_string(), in_words),
        None | Some(Value::Null) => "nothing".to_owned(),
        Some(v) => v.to_string(),
    };
    Some(format!("{key}: {}, and the journal says {}", say(b.get(key)), say(a.get(key))))
}

/// Whether an approval on record is what its signed file says, and was given before the start, by somebody
/// whose approval counts.
pub(super) fn approved(plan: &Plan, view: &RunView, on_record: &Approved, said: &Said) -> Result<(), String> {
    let by = &on_record.by;
    let listed = plan.house.approvers.iter().find(|a| a.key == on_record.key);
    let name = listed.map_or(said.by.trim(), |a| a.name.trim());
    if (name, said.at, said.expires, &said.note) != (by, on_record.at, on_record.expires, &on_record.note) {
        return Err(format!("the approval of `{by}` is not on record as it was signed"));
    }
    let known = view.header.as_ref().is_some_and(|h| h.format > 1);
    if known && (on_record.listed, &on_record.made_as) != (listed.is_some(), &said.operator) {
        return Err(format!("whose the approval of `{by}` is, is not on record as it was signed"));
    }
    if !plan.house.approvers.is_empty() && listed.is_none() {
        return Err(format!("the approval of `{by}` is signed by none of the approvers of the plan's rules"));
    }
    if let Some(start) = view.started_at
        && !(said.at <= start && start <= said.expires)
    {
        return Err(format!("the run did not start while the approval of `{by}` held"));
    }
    let runner = view.processes.first().map(|p| approval::Runner { user: &p.user, host: &p.host, keys: &[] });
    if let Some(runner) = runner
        && approval::sat_at(said, &runner) != (on_record.same_user, on_record.same_machine)
    {
        return Err(format!("where the approval of `{by}` was given is not on record as it was signed"));
    }
    Ok(())
}
