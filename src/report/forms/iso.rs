//! A post-exercise report: outcomes, recommendations and actions against the aims.

use super::super::{escape, in_words, page, time};
use super::rows::{self, GAP, list, or_gap};
use crate::evidence::Record;
use crate::model::exercise::ExerciseKind;

pub(super) fn fill(r: &Record) -> String {
    let mut out = String::new();
    let mut part = |title: &str, text: &str| out.extend(["## ", title, "\n\n", text, "\n"]);
    let approvals: Vec<String> = r
        .authority
        .approvals
        .iter()
        .map(|a| a.at.map_or_else(|| a.name.clone(), |at| format!("{}, {}", a.name, time(at))))
        .collect();
    let facts = [
        ["Exercise".to_owned(), or_gap(&r.identity.title)],
        ["Service".to_owned(), or_gap(&r.identity.service)],
        ["Type".to_owned(), r.authority.exercise_type.map_or(GAP, ExerciseKind::name).to_owned()],
        ["When".to_owned(), rows::when(r)],
        ["Where".to_owned(), rows::place(r)],
        ["Approved by".to_owned(), rows::lines(&approvals)],
        ["Change".to_owned(), or_gap(r.authority.ticket.as_deref().unwrap_or_default())],
        ["Plan under test".to_owned(), rows::document(r.authority.plan.as_ref())],
        ["Business impact analysis".to_owned(), rows::document(r.identity.impact_analysis.as_ref())],
        ["Risks".to_owned(), rows::lines(&r.identity.risks)],
    ];
    part("The exercise", &rows::table(&["Item", "Entry"], &facts));
    let took = |ms: Option<i64>| ms.map_or_else(|| GAP.to_owned(), in_words);
    let aims = [
        ["Scenario".to_owned(), or_gap(&r.identity.description)],
        ["Recovery time objective".to_owned(), in_words(r.objectives.rto_ms)],
        ["Recovery point objective".to_owned(), took(r.objectives.rpo_ms)],
        ["Maximum tolerable period of disruption".to_owned(), took(r.objectives.max_tolerable_downtime_ms)],
        [
            "Minimum business continuity objective".to_owned(),
            or_gap(r.objectives.minimum_service.as_deref().unwrap_or_default()),
        ],
        ["Assumptions".to_owned(), rows::lines(&r.conditions.assumptions)],
        ["Differences from production".to_owned(), rows::lines(&r.conditions.deviations)],
    ];
    part("Scenario and aims", &rows::table(&["Item", "Entry"], &aims));
    part("Participants", &list(&rows::participants(r), GAP));
    let verdict =
        format!("{}\n\nRecovery time: {}.\n\n", escape(&page::in_a_sentence(&r.run)), rows::recovery_time(r));
    part("Outcomes", &format!("{verdict}{}", rows::objectives(r)));
    part("What was done", &list(&rows::method(r), "No step was run."));
    part("Recommendations and actions", &rows::findings(r));
    part("Lessons", &list(&rows::lessons(r), GAP));
    let signed: Vec<String> = r
        .review
        .sign_offs
        .iter()
        .map(|s| {
            let who = if s.independent { "independent" } else { "not independent" };
            format!("{}, {}: {} ({who}) {}", s.who(), time(s.at), s.decision, s.note)
        })
        .collect();
    part("Review", &list(&signed, GAP));
    let gaps: Vec<String> = r.gaps.iter().map(|g| format!("{}: {}", g.part, g.what)).collect();
    part("What this report does not have", &list(&gaps, "There are no gaps."));
    out
}
