//! The 14 rows of FedRAMP's contingency plan test report.

use super::super::{escape, health_name, page};
use super::rows::{self, GAP, lines, or_gap};
use crate::evidence::Record;
use crate::model::exercise::ExerciseKind;

pub(super) fn fill(r: &Record) -> String {
    let lead = r.people.participants.iter().find(|p| p.role.to_lowercase().contains("lead"));
    let lead = lead.map(|p| {
        let identity = p.identity.as_ref().map(|i| format!(", {i}")).unwrap_or_default();
        escape(&format!("{}{identity}", p.name))
    });
    let open: Vec<String> =
        r.findings.iter().map(|f| format!("{} ({}): {}", f.id, f.severity.name(), f.title)).collect();
    let open = if open.is_empty() { "none: the run has no findings".to_owned() } else { lines(&open) };
    let rows = [
        ["Name of Test".to_owned(), or_gap(&r.identity.title)],
        ["System Name".to_owned(), or_gap(&r.identity.service)],
        ["Date of Test".to_owned(), rows::when(r)],
        ["Team Test Lead and Point of Contact".to_owned(), lead.unwrap_or_else(|| GAP.to_owned())],
        ["Location Where Conducted".to_owned(), rows::place(r)],
        ["Participants".to_owned(), lines(&rows::participants(r))],
        ["Components".to_owned(), lines(&rows::components(r))],
        ["Assumptions".to_owned(), lines(&r.conditions.assumptions)],
        ["Objectives".to_owned(), objectives(r)],
        ["Methodology".to_owned(), methodology(r)],
        ["Activities and Results (Action, Expected, Actual)".to_owned(), activities(r)],
        ["Post Test Action Items".to_owned(), open],
        ["Lessons Learned and Analysis of Test".to_owned(), analysis(r)],
        ["Recommended Changes to Contingency Plan".to_owned(), rows::changes(r)],
    ];
    rows::table(&["Row", "Entry"], &rows)
}

/// The template's boxes. One is ticked only for what the record shows.
fn objectives(r: &Record) -> String {
    let kind = r.authority.exercise_type;
    let told = r.measures.declare_ms.is_some() || r.measures.acknowledge_ms.is_some();
    let item = |ticked: bool, text: &str| format!("{} {text}", if ticked { "☒" } else { "☐" });
    let mut boxes = vec![
        item(kind == Some(ExerciseKind::Switchover), "recovery at an alternate site"),
        // the record cannot show these three; who signs the form may tick them
        item(false, "coordination among recovery teams"),
        item(false, "functionality on alternate equipment"),
        item(false, "performance of alternate equipment"),
        item(!r.recoveries.is_empty(), "recovery procedures"),
        item(told, "notification procedures"),
    ];
    // ticked because of what was done; met or not is another question
    boxes.extend(r.result.objectives.iter().map(|o| {
        let text = format!("{}: {}; {}; {}", o.name, o.expected, o.actual, o.status.name());
        escape(&text)
    }));
    boxes.join("<br>")
}

fn methodology(r: &Record) -> String {
    let kind = r.authority.exercise_type.map_or(GAP, ExerciseKind::name);
    let mut parts = vec![format!("Kind of exercise: {kind}"), or_gap(&r.identity.description)];
    parts.extend(rows::samples(r).iter().map(|s| escape(s)));
    parts.extend(rows::method(r).iter().map(|s| escape(s)));
    parts.join("<br>")
}

fn activities(r: &Record) -> String {
    let on = |target: Option<&String>| target.map(|t| format!(" on {t}")).unwrap_or_default();
    let mut out = Vec::new();
    for f in &r.safety.faults {
        let expected =
            if f.reversibility == "irreversible" { "to be lost for good" } else { "to be put back" };
        out.push(format!("{}{}: expected {expected}; {}", f.step, on(f.target.as_ref()), f.ending));
    }
    for c in &r.recoveries {
        let ended = if c.ready_at.is_some() { "ready" } else { "not ready" };
        out.push(format!("{}{}: expected ready; {ended}", c.step, on(c.target.as_ref())));
    }
    for c in &r.checks {
        let seen = if c.seen.is_empty() { "nothing seen".to_owned() } else { c.seen.clone() };
        out.push(format!("{}: expected to pass; {} ({seen})", c.name, c.status.name()));
    }
    for p in &r.run.probes {
        out.push(format!("{}: expected healthy at the end; {}", p.name, health_name(p.health())));
    }
    lines(&out)
}

fn analysis(r: &Record) -> String {
    let mut out = vec![escape(&page::in_a_sentence(&r.run))];
    out.extend(r.result.reasons.iter().map(|t| escape(t)));
    out.push(format!("Lessons: {}", lines(&rows::lessons(r))));
    out.join("<br>")
}
