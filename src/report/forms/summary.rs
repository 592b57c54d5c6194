//! One page for management: the answer, the figures, what to decide.

use super::super::{escape, in_words, page};
use super::rows::{self, GAP, list};
use crate::evidence::Record;
use crate::evidence::record::{ControlOutcome, FindingSeverity};

/// More than this does not fit on a page.
const SHOWN: usize = 8;

pub(super) fn fill(r: &Record) -> String {
    let mut out = format!("**{}**\n\n", escape(&page::in_a_sentence(&r.run)));
    let mut left = page::left_in_words(r);
    if !r.safety.left_behind.is_empty() {
        left.push_str(", see below");
    }
    let loss = r.result.objectives.iter().find(|o| o.key == "rpo");
    let loss = loss.map_or_else(
        || "not measured; the drill names no objective".to_owned(),
        |o| escape(&format!("{}: {}; {}", o.expected, o.actual, o.status.name())),
    );
    let outage = page::outage_in_words(r).unwrap_or("not measured");
    let of = |s: FindingSeverity| r.findings.iter().filter(|f| f.severity == s).count();
    let control = |o: ControlOutcome| r.controls.iter().filter(|c| c.outcome == o).count();
    let reviewed = if r.review.independent { "accepted" } else { GAP };
    let facts = [
        ["What".to_owned(), escape(&format!("{}, service {}", r.identity.drill, r.identity.service))],
        ["When".to_owned(), rows::when(r)],
        ["Where".to_owned(), rows::place(r)],
        ["Recovery time".to_owned(), rows::recovery_time(r)],
        ["Data loss".to_owned(), loss],
        ["Clients saw an outage".to_owned(), outage.to_owned()],
        [
            "Until the first recovery step".to_owned(),
            r.measures.decide_ms.map_or_else(|| GAP.to_owned(), in_words),
        ],
        ["Left behind".to_owned(), left],
        [
            "Findings".to_owned(),
            format!(
                "{} high, {} medium, {} low",
                of(FindingSeverity::High),
                of(FindingSeverity::Medium),
                of(FindingSeverity::Low)
            ),
        ],
        [
            "Controls".to_owned(),
            format!(
                "{} supported, {} not supported, {} not tested",
                control(ControlOutcome::Supports),
                control(ControlOutcome::DoesNotSupport),
                control(ControlOutcome::NotTested)
            ),
        ],
        ["Independent review".to_owned(), reviewed.to_owned()],
    ];
    out.push_str(&rows::table(&["", ""], &facts));
    let shown = |items: &[String]| {
        let mut text = list(&items[..items.len().min(SHOWN)], "None.");
        if items.len() > SHOWN {
            let line = format!("- and {} more, in the report\n", items.len() - SHOWN);
            text.push_str(&line);
        }
        text
    };
    let findings: Vec<String> = r
        .findings
        .iter()
        .map(|f| {
            format!(
                "{} ({}): {}; owner: {}",
                f.id,
                f.severity.name(),
                f.title,
                f.owner.as_deref().unwrap_or(GAP)
            )
        })
        .collect();
    let line = format!("\n## What was found\n\n{}", shown(&findings));
    out.push_str(&line);
    let line = format!("\n## What was left behind\n\n{}", shown(&r.safety.left_behind));
    out.push_str(&line);
    let line = format!("\n## What this cannot tell\n\n{}", shown(&r.limits));
    out.push_str(&line);
    let line = format!("\n{} fields that auditors ask for are gaps; the report lists them.\n", r.gaps.len());
    out.push_str(&line);
    out
}
