//! An after-action report: background, observations, recommendations, participants.

use super::super::{escape, in_words, page};
use super::rows::{self, GAP, list, or_gap};
use crate::evidence::Record;
use crate::evidence::record::FindingSeverity;
use crate::model::exercise::ExerciseKind;

pub(super) fn fill(r: &Record) -> String {
    let mut out = String::new();
    let mut part = |title: &str, text: &str| out.extend(["## ", title, "\n\n", text, "\n"]);
    let kind = r.authority.exercise_type.map_or(GAP, ExerciseKind::name);
    let announced = match r.authority.announced {
        Some(true) => "announced",
        Some(false) => "not announced",
        None => GAP,
    };
    let background = [
        ["Exercise".to_owned(), or_gap(&r.identity.title)],
        ["Kind of exercise".to_owned(), kind.to_owned()],
        ["Announced".to_owned(), announced.to_owned()],
        ["When".to_owned(), rows::when(r)],
        ["Where".to_owned(), rows::place(r)],
        ["Scope".to_owned(), rows::lines(&rows::samples(r))],
        ["Scenario".to_owned(), or_gap(&r.identity.description)],
        ["Plan under test".to_owned(), rows::document(r.authority.plan.as_ref())],
        ["Assumptions".to_owned(), rows::lines(&r.conditions.assumptions)],
    ];
    part("Background", &rows::table(&["Item", "Entry"], &background));
    part("Objectives", &rows::objectives(r));
    let mut seen = format!("{}\n\n", escape(&page::in_a_sentence(&r.run)));
    let line = format!("Recovery time: {}.\n\n", rows::recovery_time(r));
    seen.push_str(&line);
    seen.push_str(&list(&rows::marks(r), "Marks of the clock: not recorded (gap)"));
    seen.push('\n');
    let took = |ms: Option<i64>| ms.map_or_else(|| GAP.to_owned(), in_words);
    let people = [
        ["To detect".to_owned(), took(r.measures.detect_ms)],
        ["To acknowledge".to_owned(), took(r.measures.acknowledge_ms)],
        ["To declare".to_owned(), took(r.measures.declare_ms)],
        ["To decide".to_owned(), took(r.measures.decide_ms)],
        ["Technical restore".to_owned(), took(r.measures.technical_restore_ms)],
    ];
    seen.push_str(&rows::table(&["Time", "Took"], &people));
    part("Observations", &seen);
    part("What people noted", &list(&rows::lessons(r), GAP));
    let critical: Vec<String> = r
        .findings
        .iter()
        .filter(|f| f.severity == FindingSeverity::High)
        .map(|f| format!("{} {}: {}", f.id, f.title, f.detail))
        .collect();
    part("Critical lapses, to be reported at once", &list(&critical, "None is among the findings."));
    part("Recommendations and action items", &rows::findings(r));
    part("Participants", &list(&rows::participants(r), GAP));
    part("Survey of the participants", &format!("{GAP}\n"));
    out
}
