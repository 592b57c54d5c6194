//! A run in the formats of other tools: JUnit, OCSF, ASFF, and files for Vanta and Drata. Pure.
//!
//! Made from the record alone, with the run's own times; the same record gives the same bytes. What was
//! not tested is skipped or not available in each of them, never passed; off AWS that is every control
//! and the run as a whole.

mod asff;
mod junit;
mod ocsf;
mod platforms;
#[cfg(test)]
mod tests;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::record::{ControlOutcome, ControlResult, Record, Status};
use crate::journal::Verdict;
use crate::model::World;
use crate::model::text::escaped;

pub use asff::asff;
pub use junit::junit;
pub use ocsf::ocsf;
pub use platforms::{drata, vanta};

/// What the run as a whole shows. A verdict counts only on AWS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    Passed,
    Failed,
    /// It ran, and shows neither.
    Unclear,
    NotTested,
}

fn run_shows(r: &Record) -> Shown {
    if !r.counts() {
        return Shown::NotTested;
    }
    match r.result.verdict {
        Some(Verdict::Passed) => Shown::Passed,
        Some(Verdict::ObjectiveMissed | Verdict::NotRecovered | Verdict::Stuck) => Shown::Failed,
        Some(
            Verdict::NoImpact
            | Verdict::Stopped
            | Verdict::Failed
            | Verdict::Inconclusive
            | Verdict::NotSteady,
        ) => Shown::Unclear,
        Some(Verdict::Refused) | None => Shown::NotTested,
    }
}

fn control_shows(r: &Record, c: &ControlResult) -> Shown {
    match c.outcome {
        _ if !r.counts() => Shown::NotTested,
        ControlOutcome::Supports => Shown::Passed,
        ControlOutcome::DoesNotSupport => Shown::Failed,
        ControlOutcome::NotTested => Shown::NotTested,
    }
}

/// The verdict and why, with the world where it is not AWS.
fn summary(r: &Record) -> String {
    let verdict = r.result.verdict.map_or("unfinished", Verdict::name);
    let world = match r.scope.world {
        World::Aws if r.counts() => String::new(),
        World::Aws => " World: aws, endpoint not proven; every control is left not tested.".to_owned(),
        world => format!(" World: {world}; every control is left not tested."),
    };
    format!(
        "Drill {}, run {}: {verdict}. {}{world}",
        r.identity.drill,
        r.identity.run,
        r.result.reasons.join("; ")
    )
}

/// The newest time of the run.
fn last(r: &Record) -> DateTime<Utc> {
    let last = r.identity.finished_at.or(r.run.last_at).or(r.identity.started_at);
    last.unwrap_or(DateTime::UNIX_EPOCH)
}

fn json<T: Serialize>(value: &T) -> String {
    let text = serde_json::to_string_pretty(value).expect("BUG: a JSON value serialises");
    let mut text = escaped(&text);
    text.push('\n');
    text
}
