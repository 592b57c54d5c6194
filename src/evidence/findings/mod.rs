//! What has to be followed up, from the record alone. Pure.
//!
//! A finding's id depends on the drill, the kind and the subject only, so the same problem has the same
//! id in every run. [`history`] folds over runs: what is open, and which later run closed what.

pub mod history;

use chrono::{DateTime, Days, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::record::{Finding, FindingSeverity, Record, Status};
use super::review::Annotation;
use crate::journal::Verdict;
use crate::model::Health;
use crate::model::time::in_words;

/// Who follows a finding up, and by when, where nobody said so.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Defaults {
    /// Who.
    pub owner: Option<String>,
    /// By when.
    pub due_days: DueDays,
}

/// Days from the end of the run, per severity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DueDays {
    /// For what is high.
    pub high: u16,
    /// For what is medium.
    pub medium: u16,
    /// For what is low.
    pub low: u16,
}

impl Default for DueDays {
    fn default() -> Self {
        Self { high: 7, medium: 30, low: 90 }
    }
}

impl DueDays {
    /// The date, counted from the run's end and never from today: a report made later says the same.
    fn after(self, end: DateTime<Utc>, severity: FindingSeverity) -> Option<NaiveDate> {
        let days = match severity {
            FindingSeverity::High => self.high,
            FindingSeverity::Medium => self.medium,
            FindingSeverity::Low => self.low,
        };
        end.date_naive().checked_add_days(Days::new(days.into()))
    }
}

/// The findings of a run, worst first.
pub fn find(record: &Record, annotations: &[Annotation], defaults: &Defaults) -> Vec<Finding> {
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
            owner: defaults.owner.clone(),
            due: record.identity.finished_at.and_then(|end| defaults.due_days.after(end, severity)),
            ticket: None,
        });
    };
    use FindingSeverity::{High, Low, Medium};
    for o in record.result.objectives.iter().filter(|o| o.status == Status::NotSatisfied) {
        // what is left behind, and each check, has a finding of its own
        let of_its_own = match o.key.as_str() {
            "clean" => !record.safety.left_behind.is_empty(),
            "data" => record.checks.iter().any(|c| c.status == Status::NotSatisfied),
            _ => false,
        };
        if !of_its_own {
            let detail = format!("expected {}; seen {}", o.expected, o.actual);
            add("objective-missed", High, &o.key, format!("{} not satisfied", o.name), detail);
        }
    }
    for left in &record.safety.left_behind {
        let (what, _) = split_after_second(left);
        add("left-behind", High, what, "Something was left behind".to_owned(), left.clone());
    }
    if let Some(
        verdict @ (Verdict::NoImpact
        | Verdict::Failed
        | Verdict::Stopped
        | Verdict::NotSteady
        | Verdict::Refused
        | Verdict::Inconclusive),
    ) = record.result.verdict
    {
        add(
            "not-completed",
            Medium,
            verdict.name(),
            format!("The drill ended as {}", verdict.name()),
            [record.result.reasons.clone(), record.run.failures()].concat().join("; "),
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
    for late in record.authority.approvals.iter().filter(|a| approved_late(record, a.at)) {
        add(
            "late-approval",
            Medium,
            &late.name,
            "An approval is dated after the start".to_owned(),
            format!("{} approved at {}", late.name, late.at.map(|at| at.to_rfc3339()).unwrap_or_default()),
        );
    }
    if let Some(no) = record.review.rejected() {
        let title = format!("The review was rejected by {}", no.who());
        add("review-rejected", High, &no.by, title, no.note.clone());
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

/// What is left behind, without the words of this one failure: `STUCK: detach on subnet-1`.
fn split_after_second(sentence: &str) -> (&str, &str) {
    let second = sentence.match_indices(": ").nth(1).map_or(sentence.len(), |(at, _)| at);
    sentence.split_at(second)
}

/// Whether a stated approval came after the run began.
pub(super) fn approved_late(record: &Record, at: Option<DateTime<Utc>>) -> bool {
    at.zip(record.identity.started_at).is_some_and(|(at, start)| at > start)
}

/// Owner, due date and ticket, as the newest annotation of each says.
fn follow_up(found: &mut [Finding], annotations: &[Annotation]) {
    for note in annotations {
        found.iter_mut().for_each(|f| set(f, note));
    }
}

/// What one annotation says about one finding.
fn set(f: &mut Finding, note: &Annotation) {
    if let Annotation::FollowUp { finding, owner, due, ticket, .. } = note
        && f.id == *finding
    {
        f.owner = owner.clone().or(f.owner.take());
        f.due = due.or(f.due);
        f.ticket = ticket.clone().or(f.ticket.take());
    }
}

/// The id that this problem has in every run of the drill.
fn id(service: &str, drill: &str, kind: &str, subject: &str) -> String {
    let name = [service, drill, kind, subject].join("\u{1f}");
    let uuid = Uuid::new_v5(&super::NAMESPACE, name.as_bytes());
    format!("F-{}", &uuid.simple().to_string()[..10])
}

#[cfg(test)]
mod tests;
