//! When faults may be injected: windows, freezes, and a run that would outlast them.

use super::*;
use crate::drill::Limits;
use crate::plan::limits::{Rule, hours};

fn limits(windows: &[&str], freeze: &[&str]) -> Limits {
    let own = |all: &[&str]| all.iter().map(|t| (*t).to_owned()).collect();
    Limits { windows: own(windows), freeze: own(freeze), ..Limits::default() }
}

fn found(limits: &Limits, at: &str, longest: Dur) -> Vec<String> {
    let house = House::default();
    let all = Rule::all(limits, &house).into_iter();
    let found = all.flat_map(|r| hours(r, at.parse().unwrap(), longest, Severity::Refusal));
    found.map(|f| format!("{:?} {}: {}", f.severity, f.subject, f.text)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_plan_warns_of_a_closed_window() {
    let plan =
        planned(&edited(&[("max_targets: 3", "max_targets: 3\n  windows: [\"Mon 10:00-11:00 UTC\"]")])).await;
    let closed = plan.findings.iter().find(|f| f.subject == "limits.windows").expect("is found");
    assert_eq!(closed.severity, Severity::Warning);
    assert_eq!(closed.text, "the time window is closed; it opens at 2027-01-18 10:00 UTC");
}

#[test]
fn outside_of_its_windows_and_in_a_freeze_nothing_is_broken() {
    let office = limits(&["Mon-Fri 09:00-17:00 UTC"], &["2027-01-01 UTC"]);
    let minute = Dur::mins(1);
    assert_eq!(found(&office, "2027-01-15T12:00:00Z", minute), [""; 0]);
    assert_eq!(
        found(&office, "2027-01-15T17:00:00Z", minute),
        ["Refusal limits.windows: the time window is closed; it opens at 2027-01-18 09:00 UTC"]
    );
    // a Friday, in the window
    assert_eq!(
        found(&office, "2027-01-01T12:00:00Z", minute),
        ["Refusal limits.freeze: nothing is broken during `2027-01-01 UTC`"]
    );
    assert_eq!(found(&limits(&[], &[]), "2027-01-01T12:00:00Z", Dur::hours(1000)), [""; 0]);
}

#[test]
fn a_run_that_may_outlast_its_window_is_a_warning() {
    let office = limits(&["Mon-Fri 09:00-17:00 UTC"], &["2027-01-01 UTC"]);
    let at = "2027-01-15T12:00:00Z";
    assert_eq!(found(&office, at, Dur::mins(299)), [""; 0], "over by 16:59");
    assert_eq!(
        found(&office, at, Dur::hours(8)),
        ["Warning limits.windows: faults may be injected until 2027-01-15 17:00 UTC, \
          and the run with its undo may take 8h"]
    );
    let holiday = limits(&[], &["2027-01-01 UTC"]);
    assert_eq!(
        found(&holiday, "2026-12-31T23:30:00Z", Dur::hours(1)),
        ["Warning limits.freeze: faults may be injected until 2027-01-01 00:00 UTC, \
          and the run with its undo may take 1h"]
    );
}

#[test]
fn two_weeks_are_looked_ahead_and_no_more() {
    let at = "2027-01-15T12:00:00Z";
    let far = |freeze: &str| found(&limits(&[], &[freeze]), at, Dur::hours(24 * 365)).len();
    assert_eq!((far("2027-01-29 UTC"), far("2027-01-30 UTC")), (1, 0));
}
