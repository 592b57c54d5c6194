//! Files to upload to Vanta (CSV) and Drata (JSON) as evidence, with the name, the effective date and
//! the description that their forms ask for. Pure.
//!
//! Neither platform publishes a format for the file itself; both take documents. So these are tables
//! of what the run showed, complete enough to be read alone.

use serde_json::json;

use super::{Record, json as text, last, summary};
use crate::evidence::text::line;

/// The evidence's name.
fn name(r: &Record) -> String {
    line(&format!("Recovery drill {}, run {}", r.identity.title, r.identity.run))
}

/// The day that the evidence speaks for.
fn effective(r: &Record) -> String {
    last(r).format("%Y-%m-%d").to_string()
}

/// Objectives, checks and controls: kind, name, expected, actual, status.
fn rows(r: &Record) -> Vec<[String; 5]> {
    let mut out = Vec::new();
    for o in &r.result.objectives {
        out.push(["objective", &o.name, &o.expected, &o.actual, o.status.name()].map(line));
    }
    for c in &r.checks {
        out.push(["check", &c.name, &c.with.to_string(), &c.seen, c.status.name()].map(line));
    }
    for c in &r.controls {
        let id = format!("{} {}", c.framework_name, c.id);
        out.push(["control", &id, &c.paraphrase, &c.why, c.outcome.name()].map(line));
    }
    for f in &r.findings {
        let owner = format!("owner: {}", f.owner.as_deref().unwrap_or("none"));
        let due = f.due.map_or_else(|| "no due date".to_owned(), |d| format!("due {d}"));
        out.push(["finding", &f.title, &owner, &f.detail, &due].map(line));
    }
    out
}

/// A CSV file for a document upload to Vanta.
pub fn vanta(r: &Record) -> String {
    let about = |what: &str, value: &str| {
        ["evidence".to_owned(), what.to_owned(), String::new(), line(value), String::new()]
    };
    let mut all = vec![["kind", "name", "expected", "actual", "status"].map(str::to_owned)];
    all.push(about("name", &name(r)));
    all.push(about("effective date", &effective(r)));
    all.push(about("description", &summary(r)));
    all.push(about("world", &r.scope.world.to_string()));
    all.push(about("plan SHA-256", &r.identity.plan_sha256));
    all.push(about("journal root", &r.integrity.journal_root));
    all.extend(rows(r));
    all.iter().map(|row| format!("{}\r\n", row.each_ref().map(|c| cell(c)).join(","))).collect()
}

/// Quoted; a spreadsheet does not take it for a formula.
fn cell(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠']);
    format!("\"{}{}\"", if formula { "'" } else { "" }, text.replace('"', "\"\""))
}

/// A JSON file for an evidence upload to Drata.
pub fn drata(r: &Record) -> String {
    let rows: Vec<_> = rows(r)
        .into_iter()
        .map(|[kind, name, expected, actual, status]| {
            json!({ "kind": kind, "name": name, "expected": expected, "actual": actual, "status": status })
        })
        .collect();
    text(&json!({
        "name": name(r),
        "description": line(&summary(r)),
        "filedAt": effective(r),
        "world": r.scope.world.to_string(),
        "run": r.identity.run,
        "verdict": r.result.verdict,
        "rtoMs": r.objectives.rto_ms,
        "rtaMs": r.measures.rta_ms,
        "planSha256": r.identity.plan_sha256,
        "journalRoot": r.integrity.journal_root,
        "items": rows,
    }))
}
