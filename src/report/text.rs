//! The summary for the terminal: 80 columns, no colour. Pure.

use super::{
    cell_status, clean, finding_parts, in_words, left_behind, mark_label, rta_line, rto_line, time,
    world_line,
};
use crate::view::RunView;

const WIDTH: usize = 80;
const LABEL: usize = 10;

/// The summary of a run; `report` says where the full report is.
pub fn summary(view: &RunView, report: Option<&str>) -> String {
    let mut out = String::new();
    if let Some(h) = &view.header {
        wrap(&mut out, "", &format!("{} — {}", clean(&h.drill), clean(&h.title)));
        if let Some(world) = world_line(h.world, view.endpoint_doubt().as_deref()) {
            wrap(&mut out, "", &world);
        }
        out.push('\n');
        wrap(&mut out, "run", h.run.as_str());
        wrap(&mut out, "where", &format!("account {}, {}", clean(&h.account), clean(&h.region)));
    }
    if let Some(at) = view.started_at {
        let lasted = view.last_at.map(|to| to.signed_duration_since(at).num_milliseconds());
        let lasted = lasted.map(|ms| format!(", {} until the last line", in_words(ms)));
        wrap(&mut out, "began", &format!("{}{}", time(at), lasted.unwrap_or_default()));
    }
    match (view.verdict, view.exit_code) {
        (Some(verdict), Some(code)) => {
            wrap(&mut out, "verdict", &format!("{} (exit code {code})", verdict.name().to_uppercase()));
        }
        _ => wrap(&mut out, "verdict", "none yet: the run is not finished"),
    }
    for reason in &view.reasons {
        wrap(&mut out, "", &indented(&clean(reason)));
    }
    if let Some(stop) = &view.stop {
        wrap(&mut out, "stopped", &clean(&stop.detail));
    }
    if let Some(rta) = rta_line(view) {
        wrap(&mut out, "RTA", &rta);
    }
    if let Some(rto) = rto_line(view) {
        wrap(&mut out, "RTO", &rto);
    }
    if let Some(m) = &view.measured {
        if let Some(ms) = m.capacity_ms {
            wrap(&mut out, "capacity", &format!("back after {}", in_words(ms)));
        }
        if let Some(ms) = m.restore_point_age_ms {
            wrap(&mut out, "restored", &format!("to a point {} before T0 (not an RPO)", in_words(ms)));
        }
        if m.flaps > 0 {
            wrap(&mut out, "flaps", &format!("{} (healthy, then unhealthy inside the hold)", m.flaps));
        }
        if !m.phases.is_empty() {
            out.push_str("\nphases\n");
            for phase in &m.phases {
                let name = format!("{} to {}", mark_label(view, &phase.from), mark_label(view, &phase.to));
                line(&mut out, &format!("  {name:<52}{:>20}", in_words(phase.ms)));
            }
        }
    }
    section(&mut out, "steps", steps(view));
    section(&mut out, "left behind", left_behind(view));
    section(&mut out, "plan warnings", view.findings.iter().map(finding).collect());
    if let Some(m) = &view.measured {
        let gaps = m.gaps.iter().map(|g| {
            let ms = g.to.signed_duration_since(g.from).num_milliseconds();
            format!("not observed for {} from {}: {}", in_words(ms), time(g.from), g.why)
        });
        section(&mut out, "notes", gaps.chain(m.notes.iter().cloned()).collect());
    }
    if !view.unknown.is_empty() {
        out.push('\n');
        let n = view.unknown.len();
        wrap(&mut out, "", &format!("{n} event(s) of kinds that this version does not know"));
    }
    if let Some(report) = report {
        out.push('\n');
        // whole, to be copied
        line(&mut out, &format!("{:<LABEL$}{}", "report", clean(report)));
    }
    out
}

fn steps(view: &RunView) -> Vec<String> {
    let mut out = Vec::new();
    for step in &view.steps {
        if let Some(why) = &step.skipped {
            out.push(format!("{}: skipped: {why}", step.id));
        } else if let Some(who) = &step.confirmed {
            out.push(format!("{}: confirmed by {who}", step.id));
        }
        if let Some(text) = &step.waiting {
            out.push(format!("{}: waits for a person: {text}", step.id));
        }
        for cell in step.cells.iter().filter(|_| step.skipped.is_none()) {
            let on = cell.target.as_ref().map(|t| format!(" on {t}")).unwrap_or_default();
            out.push(format!("{}{on}: {}", step.id, cell_status(step, cell)));
            out.extend(cell.notes.iter().map(|n| format!("  note: {n}")));
        }
    }
    out
}

fn finding(value: &serde_json::Value) -> String {
    let [severity, subject, text, hint] = finding_parts(value);
    let hint = if hint.is_empty() { hint } else { format!(" ({hint})") };
    format!("{severity}: {subject}: {text}{hint}")
}

fn section(out: &mut String, title: &str, items: Vec<String>) {
    if items.is_empty() {
        return;
    }
    out.push('\n');
    line(out, title);
    for item in items {
        wrap(out, "  ", &clean(&item));
    }
}

fn indented(text: &str) -> String {
    format!("{:LABEL$}{text}", "")
}

fn line(out: &mut String, text: &str) {
    out.push_str(text);
    out.push('\n');
}

/// Writes `label  text`, broken at blanks, further lines indented like the first.
fn wrap(out: &mut String, label: &str, text: &str) {
    let blank = label.trim().is_empty();
    let lead = text.len() - text.trim_start().len();
    let start = if blank { format!("{label}{}", " ".repeat(lead)) } else { format!("{label:<LABEL$}") };
    let indent = if blank { start.len() + 2 * usize::from(!label.is_empty()) } else { LABEL };
    let mut line = start;
    let mut empty = true;
    for word in super::words(text, WIDTH.saturating_sub(indent.max(line.chars().count()))) {
        if !empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            out.push_str(line.trim_end());
            out.push('\n');
            line = " ".repeat(indent);
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line.push_str(&word);
        empty = false;
    }
    out.push_str(line.trim_end());
    out.push('\n');
}
