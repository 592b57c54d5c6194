//! Plans and runs written out: for the terminal, for machines, for people who were not there. Pure.
//!
//! The terminal shows the [`crate::view`]; every other report of a run is made from its record, which is a
//! fold of the same journal, so it says the same whenever it is made.
//! Functions return text; the caller decides where it goes. What comes from elsewhere (names, tags,
//! AWS's messages) is cleaned before it is written. Times are UTC and say so.

pub mod catalogue;
pub mod forms;
pub mod html;
pub mod json;
pub mod markdown;
mod page;
#[cfg(feature = "pdf")]
pub mod pdf;
pub mod pictures;
pub mod plan_text;
pub mod text;
pub mod timeline;

use chrono::{DateTime, Utc};

use crate::model::text::shown;
pub use crate::model::time::in_words;
use crate::model::{Health, World};
use crate::view::{CellView, Ending, RunView, Status, StepView, undone};

/// A time as reports write it: `2026-11-21 01:36:17 UTC`.
pub fn time(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// Text that comes from elsewhere, on one line and without anything that steers a terminal or
/// reorders what is read.
pub fn clean(text: &str) -> String {
    text.chars().filter_map(shown).collect()
}

/// A text cut to so many characters; what is cut off shows as `…`.
fn short(text: &str, most: usize) -> String {
    if text.chars().nth(most).is_none() {
        return text.to_owned();
    }
    let mut out: String = text.chars().take(most.saturating_sub(1)).collect();
    out.push('…');
    out
}

/// The words of a text, none wider than `room`: what is longer is broken, and so long a text cut.
fn words(text: &str, room: usize) -> Vec<String> {
    /// Nobody reads on.
    const MOST: usize = 2_000;
    let room = room.max(1);
    let mut out = Vec::new();
    for word in short(text, MOST).split_whitespace() {
        let letters: Vec<char> = word.chars().collect();
        out.extend(letters.chunks(room).map(|piece| piece.iter().collect::<String>()));
    }
    out
}

/// [`clean`], and nothing in it is Markdown or HTML.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in clean(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\\' | '`' | '*' | '_' | '{' | '}' | '[' | ']' | '#' | '|' | '!' | '~' | '$' => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out
}

/// Said at the top of every report of a run that did not touch AWS, or that does not show that it did.
pub fn world_line(world: World, doubt: Option<&str>) -> Option<String> {
    match (world, doubt) {
        (World::Aws, None) => None,
        (World::Aws, Some(doubt)) => Some(format!(
            "world: aws, endpoint not proven — {doubt}; controls count only with a proven trail (redrill reconcile)"
        )),
        (world, _) => Some(format!("world: {world} — leaves every control not tested")),
    }
}

/// What a mark means in this run.
fn mark_name<'a>(view: &RunView, mark: &'a str) -> &'a str {
    match mark {
        "t0" if !view.has_fault() => "recovery begun",
        "t0" => "fault effective",
        "t1" => "detected",
        "t2" => "acknowledged",
        "t3" => "declared",
        "t4" => "restore requested",
        "t5" => "restored",
        "t6" => "checks passed",
        "t7" => "recovered",
        "t8" => "clean",
        other => other,
    }
}

fn health_name(health: Health) -> &'static str {
    match health {
        Health::Healthy => "healthy",
        Health::Unhealthy => "unhealthy",
        Health::Unknown => "unknown",
    }
}

fn lower(name: impl std::fmt::Debug) -> String {
    format!("{name:?}").to_lowercase()
}

/// `T4 restore requested` for `t4`.
fn mark_label(view: &RunView, mark: &str) -> String {
    format!("{} {}", mark.to_uppercase(), mark_name(view, mark))
}

/// The RTA with its interval: `21 min 46 s (between 21 min 44 s and 21 min 46 s)`.
fn rta_line(view: &RunView) -> Option<String> {
    let m = view.measured.as_ref()?;
    let rta = in_words(m.rta_ms?);
    Some(match (m.rta_low_ms, m.rta_high_ms) {
        (Some(low), Some(high)) if low != high => {
            format!("{rta} (between {} and {})", in_words(low), in_words(high))
        }
        _ => rta,
    })
}

/// What the recovery time says about the objective.
fn rto_line(view: &RunView) -> Option<String> {
    let m = view.measured.as_ref()?;
    let rto = in_words(m.rto_ms);
    Some(match m.judged_ms {
        None => rto,
        Some(ms) => {
            let from = if m.judged_ms == m.rta_ms { "" } else { ", counted from the declaration" };
            let margin = m.rto_ms - ms;
            if margin >= 0 {
                format!("{rto}, met with {} to spare{from}", in_words(margin))
            } else {
                format!("{rto}, missed by {}{from}", in_words(-margin))
            }
        }
    })
}

/// How a step ended on one target, in words.
fn cell_status(step: &StepView, cell: &CellView) -> String {
    let mut text = match cell.status {
        _ if step.skipped.is_some() => "skipped".to_owned(),
        Status::Prepared => "not started".to_owned(),
        Status::Started => "started, outcome unknown".to_owned(),
        Status::Applied => "accepted, not ready".to_owned(),
        Status::Ready => match (cell.started_at, cell.ready_at) {
            (Some(from), Some(to)) => {
                format!("ready after {}", in_words(to.signed_duration_since(from).num_milliseconds()))
            }
            _ => "ready".to_owned(),
        },
        Status::Failed => format!("failed: {}", cell.error.as_deref().unwrap_or("no reason recorded")),
    };
    let ending = match &cell.ending {
        None => None,
        Some(Ending::Undoing { error: Some(error), .. }) => Some(format!("undo not finished: {error}")),
        Some(Ending::Undoing { .. }) => Some("undo not finished".to_owned()),
        Some(Ending::Undone { how, proof, .. }) => {
            let word = undone(how, step.stage);
            Some(if proof.is_empty() { word.to_owned() } else { format!("{word} ({proof})") })
        }
        Some(Ending::Kept { .. }) => Some("result kept".to_owned()),
        Some(Ending::Stuck { .. }) => Some("STUCK".to_owned()),
        Some(Ending::Left { why }) => Some(why.clone()),
    };
    if let Some(ending) = ending {
        text.push_str("; ");
        text.push_str(&ending);
    }
    text
}

/// A finding's severity, subject, text and hint, as far as it has them.
fn finding_parts(finding: &serde_json::Value) -> [String; 4] {
    ["severity", "subject", "text", "hint"].map(|key| match finding.get(key) {
        Some(serde_json::Value::String(s)) => clean(s),
        Some(serde_json::Value::Null) | None => String::new(),
        Some(other) => clean(&other.to_string()),
    })
}

/// Everything that the run left behind or keeps, one sentence each; raw text.
fn left_behind(view: &RunView) -> Vec<String> {
    let mut out = view.left_behind();
    for (step, target) in view.kept() {
        let on = target.map(|t| format!(" on {t}")).unwrap_or_default();
        out.push(format!("kept: the result of {step}{on}"));
    }
    out
}

#[cfg(test)]
mod tests;
