//! What has to be followed up, from the record alone. Pure.
//!
//! A finding's id depends on the drill, the kind and the subject only, so the same problem has the same
//! id in every run, and a later run that was able to show it and does not closes it.

use uuid::Uuid;

use super::record::{Finding, FindingSeverity, Record, Status};
use super::review::Annotation;
use crate::journal::Verdict;
use crate::model::Health;
use crate::model::time::in_words;

/// The findings of a run, worst first.
pub fn find(record: &Record, annotations: &[Annotation]) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut add = |kind: &str, severity, subject: &str, title: String, detail: String| {
        found.push(Finding {
            id: id(&record.identity.service, &record.identity.drill, kind, subject),
            kind: kind.to_owned(),
            severity,
            title,
            detail,
            subject: subject.to_owned(),
            run: record.identity.run.clone(),
            owner: None,
            due: None,
            ticket: None,
        });
    };
    use FindingSeverity::{High, Low, Medium};
    for o in record.result.objectives.iter().filter(|o| o.status == Status::NotSatisfied) {
        // what is left behind has a finding for each thing
        if o.key != "clean" {
            let detail = format!("expected {}; seen {}", o.expected, o.actual);
            add("objective-missed", High, &o.key, format!("{} not satisfied", o.name), detail);
        }
    }
    for left in &record.safety.left_behind {
        add("left-behind", High, left, "Something was left behind".to_owned(), left.clone());
    }
    if let Some(verdict @ (Verdict::NoImpact | Verdict::Failed | Verdict::Stopped | Verdict::NotSteady)) =
        record.result.verdict
    {
        add(
            "not-completed",
            Medium,
            verdict.name(),
            format!("The drill ended as {}", verdict.name()),
            record.result.reasons.join("; "),
        );
    }
    for c in record.checks.iter().filter(|c| c.status == Status::NotSatisfied) {
        add("check-failed", High, &c.name, format!("Check failed: {}", c.name), c.seen.clone());
    }
    for probe in &record.run.probes {
        let unknown: u64 =
            probe.segments.iter().filter(|s| s.health == Health::Unknown).map(|s| s.observations).sum();
        if unknown > 0 {
            let first = probe.segments.iter().find(|s| s.health == Health::Unknown);
            let seen = first.map_or("", |s| s.seen.as_str());
            add(
                "unknown-probe",
                Low,
                &probe.name,
                format!("Probe could not be read: {}", probe.name),
                format!("{unknown} of {} observations unknown; first: {seen}", probe.observations),
            );
        }
    }
    if record.measures.flaps > 0 {
        add(
            "flap",
            Medium,
            "steady-state",
            "The service flapped while it recovered".to_owned(),
            format!("healthy, then unhealthy inside the hold, {} times", record.measures.flaps),
        );
    }
    for gap in record.run.measured.iter().flat_map(|m| &m.gaps) {
        let ms = gap.to.signed_duration_since(gap.from).num_milliseconds();
        let why = if gap.why.is_empty() { "unknown reason" } else { &gap.why };
        add(
            "observation-gap",
            Low,
            why,
            "Nothing was observed for a while".to_owned(),
            format!("{} from {}: {why}", in_words(ms), gap.from.to_rfc3339()),
        );
    }
    for note in annotations {
        if let Annotation::Remark { severity, text, .. } = note {
            add("remark", *severity, text, text.lines().next().unwrap_or_default().to_owned(), text.clone());
        }
    }
    found.sort_by(|a, b| b.severity.cmp(&a.severity).then_with(|| a.id.cmp(&b.id)));
    found.dedup_by(|a, b| a.id == b.id);
    follow_up(&mut found, annotations);
    found
}

/// Owner, due date and ticket, as the newest annotation of each says.
fn follow_up(found: &mut [Finding], annotations: &[Annotation]) {
    for note in annotations {
        let Annotation::FollowUp { finding, owner, due, ticket, .. } = note else { continue };
        for f in found.iter_mut().filter(|f| f.id == *finding) {
            f.owner = owner.clone().or(f.owner.take());
            f.due = due.or(f.due);
            f.ticket = ticket.clone().or(f.ticket.take());
        }
    }
}

/// The id that this problem has in every run of the drill.
fn id(service: &str, drill: &str, kind: &str, subject: &str) -> String {
    let name = [service, drill, kind, subject].join("\u{1f}");
    let uuid = Uuid::new_v5(&super::NAMESPACE, name.as_bytes());
    format!("F-{}", &uuid.simple().to_string()[..10])
}
