//! What several forms say, in the same words. Everything from elsewhere is escaped here.

use super::super::{escape, in_words, mark_label, time};
use crate::evidence::Record;
use crate::evidence::record::{Finding, ObjectiveResult};
use crate::model::World;
use crate::model::exercise::Document;

/// What is asked for and was not recorded.
pub(super) const GAP: &str = "not recorded (gap)";

/// A text, or that there is none.
pub(super) fn or_gap(text: &str) -> String {
    if text.trim().is_empty() { GAP.to_owned() } else { escape(text.trim()) }
}

/// Texts as one cell, or that there are none.
pub(super) fn lines<T: AsRef<str>>(items: &[T]) -> String {
    if items.is_empty() {
        return GAP.to_owned();
    }
    items.iter().map(|i| escape(i.as_ref())).collect::<Vec<_>>().join("<br>")
}

/// Texts as a list, or that there are none.
pub(super) fn list<T: AsRef<str>>(items: &[T], none: &str) -> String {
    if items.is_empty() {
        return format!("{none}\n");
    }
    items.iter().map(|i| format!("- {}\n", escape(i.as_ref()))).collect()
}

/// A table; the cells are escaped already.
pub(super) fn table<R: AsRef<[String]>>(head: &[&str], rows: &[R]) -> String {
    let mut out = format!("| {} |\n|{}\n", head.join(" | "), " --- |".repeat(head.len()));
    for row in rows {
        let line = format!("| {} |\n", row.as_ref().join(" | "));
        out.push_str(&line);
    }
    out
}

/// When it was: from, to.
pub(super) fn when(r: &Record) -> String {
    match (r.identity.started_at, r.identity.finished_at) {
        (Some(from), Some(to)) => format!("{} to {}", time(from), time(to)),
        (Some(from), None) => format!("since {}; not finished", time(from)),
        _ => GAP.to_owned(),
    }
}

/// Where it was.
pub(super) fn place(r: &Record) -> String {
    let world = match r.scope.world {
        World::Aws if r.scope.endpoint_doubt.is_some() => "AWS, endpoint not proven",
        World::Aws => "AWS",
        World::Emulator => "an emulator, not AWS",
        World::Sim => "the simulator, not AWS",
    };
    format!("{world}; account {}, region {}", or_gap(&r.scope.account), or_gap(&r.scope.region))
}

/// Who took part, with their roles; then who sat at redrill.
pub(super) fn participants(r: &Record) -> Vec<String> {
    let stated = r.people.participants.iter().map(|p| {
        let identity = p.identity.as_ref().map(|i| format!(" ({i})")).unwrap_or_default();
        format!("{}: {}{identity}", p.role, p.name)
    });
    stated.chain(r.people.operators.iter().map(|o| format!("operator: {o}"))).collect()
}

/// What the run worked on.
pub(super) fn components(r: &Record) -> Vec<String> {
    r.scope
        .selections
        .iter()
        .flat_map(|s| s.drawn.iter().map(|d| format!("{} {} ({})", s.resource, d.id, s.name)))
        .collect()
}

/// How the targets were picked.
pub(super) fn samples(r: &Record) -> Vec<String> {
    let seed = r.scope.seed.map(|s| format!(", seed {s}")).unwrap_or_default();
    r.scope
        .selections
        .iter()
        .map(|s| {
            format!(
                "{}: {} of {} that matched, out of {} {}{seed}",
                s.name,
                s.drawn.len(),
                s.matched,
                s.population,
                s.resource
            )
        })
        .collect()
}

/// A document with its version, place and hash.
pub(super) fn document(d: Option<&Document>) -> String {
    let Some(d) = d else { return GAP.to_owned() };
    let version = d.version.as_ref().map(|v| format!("version {v}"));
    let hash = d.sha256.as_ref().map(|h| format!("SHA-256 {h}"));
    let parts = [Some(d.title.clone()), version, d.reference.clone(), hash];
    escape(&parts.into_iter().flatten().collect::<Vec<_>>().join(", "))
}

/// The objectives and how they came out.
pub(super) fn objectives(r: &Record) -> String {
    let row = |o: &ObjectiveResult| {
        [escape(&o.name), escape(&o.expected), escape(&o.actual), o.status.name().to_owned()]
    };
    let rows: Vec<_> = r.result.objectives.iter().map(row).collect();
    table(&["Objective", "Expected", "Actual", "Status"], &rows)
}

/// The findings with who follows them up.
pub(super) fn findings(r: &Record) -> String {
    if r.findings.is_empty() {
        return "The run has no findings.\n".to_owned();
    }
    let text = |t: Option<&String>| t.map_or_else(|| GAP.to_owned(), |t| escape(t));
    let row = |f: &Finding| {
        [
            escape(&f.id),
            f.severity.name().to_owned(),
            escape(&format!("{}: {}", f.title, f.detail)),
            text(f.owner.as_ref()),
            f.due.map_or_else(|| GAP.to_owned(), |d| d.to_string()),
            text(f.ticket.as_ref()),
        ]
    };
    let rows: Vec<_> = r.findings.iter().map(row).collect();
    table(&["Id", "Severity", "What", "Owner", "Due", "Ticket"], &rows)
}

/// What people noted.
pub(super) fn lessons(r: &Record) -> Vec<String> {
    r.lessons.iter().map(|l| format!("{}, {}: {}", time(l.at), l.by, l.text)).collect()
}

/// What was done, in order: the faults, then the recoveries.
pub(super) fn method(r: &Record) -> Vec<String> {
    let on = |target: &Option<String>| target.as_ref().map(|t| format!(" on {t}")).unwrap_or_default();
    let action = |a: &Option<String>| a.clone().unwrap_or_else(|| "by a person".to_owned());
    let faults =
        r.safety.faults.iter().map(|f| format!("fault {} ({}){}", f.step, action(&f.action), on(&f.target)));
    let recoveries =
        r.recoveries.iter().map(|c| format!("recovery {} ({}){}", c.step, action(&c.action), on(&c.target)));
    faults.chain(recoveries).collect()
}

/// The clock's marks.
pub(super) fn marks(r: &Record) -> Vec<String> {
    let marks = r.run.measured.iter().flat_map(|m| &m.marks);
    marks.map(|(name, at)| format!("{}: {}", mark_label(&r.run, name), time(*at))).collect()
}

/// The RTA against the RTO, in a sentence.
pub(super) fn recovery_time(r: &Record) -> String {
    let rto = in_words(r.objectives.rto_ms);
    match (r.measures.judged_ms, r.measures.margin_ms) {
        (Some(ms), Some(margin)) if margin >= 0 => {
            format!("{} against {rto}, {} to spare", in_words(ms), in_words(margin))
        }
        (Some(ms), Some(margin)) => format!("{} against {rto}, {} too late", in_words(ms), in_words(-margin)),
        _ => format!("not measured against {rto}"),
    }
}

/// Changes that findings ask of the plan; nothing is made up.
pub(super) fn changes(r: &Record) -> String {
    if r.findings.is_empty() {
        return GAP.to_owned();
    }
    let ids: Vec<&str> = r.findings.iter().map(|f| f.id.as_str()).collect();
    format!("{GAP}; to be decided from findings {}", escape(&ids.join(", ")))
}
