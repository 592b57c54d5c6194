//! `report.md`: a page for somebody who was not there, then the tables behind it. Pure.

use super::{
    cell_status, escape, finding_parts, health_name, in_words, left_behind, lower, mark_label, rta_line,
    rto_line, time, timeline, world_line,
};
use crate::journal::{Measured, Verdict};
use crate::view::RunView;

/// The report.
pub fn report(view: &RunView) -> String {
    let mut out = String::new();
    first_page(&mut out, view);
    if let Some(m) = &view.measured {
        clock(&mut out, m);
    }
    steps(&mut out, view);
    probes(&mut out, view);
    moments(&mut out, view);
    calls(&mut out, view);
    findings(&mut out, view);
    people(&mut out, view);
    out
}

fn first_page(out: &mut String, view: &RunView) {
    match &view.header {
        Some(h) => {
            line(out, &format!("# {}\n", escape(&h.title)));
            if let Some(world) = world_line(h.world) {
                line(out, &format!("> **{world}**\n"));
            }
        }
        None => line(out, "# A run without a single whole line\n"),
    }
    line(out, &format!("**{}**\n", in_a_sentence(view)));
    for reason in &view.reasons {
        line(out, &format!("- {}", escape(reason)));
    }
    if !view.reasons.is_empty() {
        out.push('\n');
    }
    let mut rows = Vec::new();
    let mut row = |name: &str, value: Option<String>| rows.extend(value.map(|v| vec![name.to_owned(), v]));
    row(
        "Verdict",
        view.verdict.map(|v| format!("{} (exit code {})", v.name(), view.exit_code.unwrap_or(v.exit_code()))),
    );
    row("Recovery time (RTA)", rta_line(view));
    row("Objective (RTO)", rto_line(view));
    if let Some(m) = &view.measured {
        row("From the declaration", m.from_declaration_ms.map(in_words));
        row("Capacity back after", m.capacity_ms.map(in_words));
        row("Restore point, before T0 (not an RPO)", m.restore_point_age_ms.map(in_words));
        row("Clients saw an outage", Some(if m.outage { "yes" } else { "no" }.to_owned()));
    }
    row("Stopped", view.stop.as_ref().map(|s| escape(&s.detail)));
    row("Began", view.started_at.map(time));
    row("Ended", view.finished_at.map(time));
    if let Some(h) = &view.header {
        row("Drill", Some(escape(&h.drill)));
        row("Run", Some(escape(h.run.as_str())));
        row("Account, region", Some(format!("{}, {}", escape(&h.account), escape(&h.region))));
        row("Caller", Some(escape(&h.caller)));
        row("Plan (SHA-256)", Some(escape(&h.plan_sha256)));
    }
    table(out, &["", ""], rows);
    section(out, "Left behind");
    let left = left_behind(view);
    match (left.is_empty(), view.finished_at) {
        (true, Some(_)) => line(out, "Nothing is on record as left behind.\n"),
        (true, None) => line(out, "Not known yet: the run is not finished.\n"),
        (false, _) => {
            for item in left {
                line(out, &format!("- {}", escape(&item)));
            }
            out.push('\n');
        }
    }
}

/// What a manager reads.
pub(super) fn in_a_sentence(view: &RunView) -> String {
    let rta = view.measured.as_ref().and_then(|m| m.judged_ms).map(in_words);
    let rto = view.measured.as_ref().map(|m| in_words(m.rto_ms)).unwrap_or_default();
    match (view.verdict, rta) {
        (None, _) => "The run is not finished.".to_owned(),
        (Some(Verdict::Passed), Some(rta)) => format!("Passed: recovered in {rta}; the objective is {rto}."),
        (Some(Verdict::Passed), None) => "Passed: the service survived the fault.".to_owned(),
        (Some(Verdict::ObjectiveMissed), Some(rta)) => {
            format!("Objective missed: recovered in {rta}; the objective is {rto}.")
        }
        (Some(verdict), _) => match verdict {
            Verdict::Passed | Verdict::ObjectiveMissed => "Objective missed.",
            Verdict::Refused => "Refused: the drill was not allowed to start. Nothing was changed.",
            Verdict::NotSteady => {
                "Not started: the service was not healthy to begin with. Nothing was changed."
            }
            Verdict::NotRecovered => "Not recovered within the time that the drill allows.",
            Verdict::NoImpact => "Not tested: no probe saw the fault.",
            Verdict::Stopped => "Stopped before its end and rolled back.",
            Verdict::Failed => "Failed: a step did not work.",
            Verdict::Inconclusive => "Inconclusive: what decides could not be read.",
            Verdict::Stuck => "A person is needed: something could not be put back.",
        }
        .to_owned(),
    }
}

fn clock(out: &mut String, m: &Measured) {
    section(out, "Recovery clock");
    let t0 = m.marks.get("t0").copied();
    let marks = m
        .marks
        .iter()
        .map(|(name, at)| {
            let since = t0.map(|t0| timeline::offset(t0, *at)).unwrap_or_default();
            vec![mark_label(name), time(*at), since]
        })
        .collect();
    table(out, &["Mark", "When", "Since T0"], marks);
    let phases =
        m.phases.iter().map(|p| vec![mark_label(&p.from), mark_label(&p.to), in_words(p.ms)]).collect();
    table(out, &["From", "To", "Took"], phases);
    let gaps = m.gaps.iter().map(|g| {
        let ms = g.to.signed_duration_since(g.from).num_milliseconds();
        format!("not observed for {} from {}: {}", in_words(ms), time(g.from), g.why)
    });
    let flaps = (m.flaps > 0).then(|| format!("{} times healthy, then unhealthy inside the hold", m.flaps));
    let mut any = false;
    for note in gaps.chain(flaps).chain(m.notes.iter().cloned()) {
        line(out, &format!("- {}", escape(&note)));
        any = true;
    }
    if any {
        out.push('\n');
    }
}

fn steps(out: &mut String, view: &RunView) {
    let mut rows = Vec::new();
    for step in &view.steps {
        let stage = step.stage.map(lower).unwrap_or_default();
        let person = match (&step.skipped, &step.waiting, &step.confirmed) {
            (Some(why), ..) => Some(format!("skipped: {why}")),
            (_, Some(text), _) => Some(format!("waits for a person: {text}")),
            (_, _, Some(who)) => Some(format!("confirmed by {who}")),
            _ => None,
        };
        if let Some(person) = person {
            rows.push(vec![
                escape(step.id.as_str()),
                stage.clone(),
                String::new(),
                escape(&person),
                String::new(),
            ]);
        }
        for cell in step.cells.iter().filter(|_| step.skipped.is_none()) {
            let outputs = cell.outputs.iter().map(|(k, v)| format!("{k} = {v}"));
            let known = outputs.chain(cell.notes.iter().cloned()).chain(cell.hint.clone());
            rows.push(vec![
                escape(step.id.as_str()),
                stage.clone(),
                escape(cell.target.as_deref().unwrap_or("")),
                escape(&cell_status(step, cell)),
                escape(&known.collect::<Vec<_>>().join("; ")),
            ]);
        }
    }
    titled(out, "Steps", &["Step", "Stage", "Target", "Outcome", "Outputs and notes"], rows);
}

fn probes(out: &mut String, view: &RunView) {
    let mut rows = Vec::new();
    for probe in &view.probes {
        for s in &probe.segments {
            rows.push(vec![
                escape(&probe.name),
                health_name(s.health).to_owned(),
                time(s.from),
                in_words(s.to.signed_duration_since(s.from).num_milliseconds()),
                s.observations.to_string(),
                escape(&s.seen),
            ]);
        }
    }
    titled(out, "Probes", &["Probe", "Health", "From", "For", "Observations", "Seen first"], rows);
}

fn moments(out: &mut String, view: &RunView) {
    let Some((from, what)) = timeline::origin(view) else { return };
    let mut moments: Vec<_> = view.moments.iter().collect();
    moments.sort_by_key(|m| m.at);
    let rows =
        moments.iter().map(|m| vec![timeline::offset(from, m.at), time(m.at), escape(&m.what)]).collect();
    titled(out, "Timeline", &[&format!("Since {what}"), "When", "What"], rows);
}

fn calls(out: &mut String, view: &RunView) {
    let rows = view
        .calls
        .iter()
        .map(|c| {
            vec![
                time(c.sent_at),
                escape(&c.operation),
                lower(c.phase),
                escape(c.step.as_ref().map_or("", |s| s.as_str())),
                escape(c.request_id.as_deref().unwrap_or("")),
                escape(match (&c.error, c.answered_at) {
                    (Some(error), _) => error,
                    (None, Some(_)) => "accepted",
                    (None, None) => "not answered",
                }),
            ]
        })
        .collect();
    titled(out, "Changes sent", &["When", "Operation", "For", "Step", "Request id", "Answer"], rows);
}

fn findings(out: &mut String, view: &RunView) {
    let rows = view.findings.iter().map(|f| finding_parts(f).map(|p| escape(&p)).to_vec()).collect();
    titled(out, "Findings", &["Severity", "About", "What", "What to do"], rows);
}

fn people(out: &mut String, view: &RunView) {
    let marks = view.marks.iter().map(|m| (m.at, lower(m.mark), m.by.clone(), m.note.clone()));
    let processes = view.processes.iter().map(|p| {
        let note = format!("redrill {}, process {}", p.redrill, p.pid);
        (p.at, lower(p.mode), format!("{}@{}", p.user, p.host), note)
    });
    let mut rows: Vec<_> = processes.chain(marks).collect();
    rows.sort();
    let rows = rows
        .into_iter()
        .map(|(at, what, who, note)| vec![time(at), escape(&what), escape(&who), escape(&note)])
        .collect();
    titled(out, "Who did what", &["When", "What", "Who", "Note"], rows);
}

fn line(out: &mut String, text: &str) {
    out.push_str(text);
    out.push('\n');
}

fn section(out: &mut String, title: &str) {
    line(out, &format!("## {title}\n"));
}

fn titled(out: &mut String, title: &str, head: &[&str], rows: Vec<Vec<String>>) {
    if !rows.is_empty() {
        section(out, title);
        table(out, head, rows);
    }
}

/// A table; cells are escaped already.
fn table(out: &mut String, head: &[&str], rows: Vec<Vec<String>>) {
    if rows.is_empty() {
        return;
    }
    line(out, &format!("| {} |", head.join(" | ")));
    line(out, &format!("|{}", " --- |".repeat(head.len())));
    for row in rows {
        line(out, &format!("| {} |", row.join(" | ")));
    }
    out.push('\n');
}
