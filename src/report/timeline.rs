//! What happened when, as text: `+00:21:40  restore ready on orders-db`. Pure.

use chrono::{DateTime, Utc};

use super::{clean, short};
use crate::view::RunView;

/// The most that one moment says.
const LONGEST: usize = 400;

/// The moment that offsets count from, and what it is: T0, else the first line.
pub fn origin(view: &RunView) -> Option<(DateTime<Utc>, &'static str)> {
    let t0 = view.measured.as_ref().and_then(|m| m.marks.get("t0")).map(|at| (*at, "T0"));
    t0.or_else(|| view.started_at.map(|at| (at, "the start of the run")))
}

/// The time since the origin: `+00:21:40`, `-00:01:05`. Whole seconds, cut off towards the origin.
pub fn offset(from: DateTime<Utc>, at: DateTime<Utc>) -> String {
    let ms = at.signed_duration_since(from).num_milliseconds();
    let s = ms.unsigned_abs() / 1_000;
    let sign = if ms < 0 { '-' } else { '+' };
    format!("{sign}{:02}:{:02}:{:02}", s / 3_600, s / 60 % 60, s % 60)
}

/// One line for each moment, in the order of time.
pub fn timeline(view: &RunView) -> String {
    let Some((from, _)) = origin(view) else { return String::new() };
    // a mark is set after the moment that it tells of
    let mut moments: Vec<_> = view.moments.iter().collect();
    moments.sort_by_key(|m| m.at);
    moments.iter().map(|m| format!("{}  {}\n", offset(from, m.at), short(&clean(&m.what), LONGEST))).collect()
}
