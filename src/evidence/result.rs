//! How each objective came out: expected, actual, satisfied or not. Pure.
//!
//! What was not measured is "not tested", never a pass.

use super::record::{Check, Measures, ObjectiveResult, Safety, Status};
use crate::drill::{Drill, Impact};
use crate::journal::{Measured, Verdict};
use crate::model::Dur;
use crate::model::time::in_words;
use crate::view::RunView;

/// The objectives of a run.
pub(super) fn objectives(
    drill: Option<&Drill>,
    run: &RunView,
    measures: &Measures,
    checks: &[Check],
    safety: &Safety,
) -> Vec<ObjectiveResult> {
    let mut out = vec![rto(run, measures)];
    if let Some(rpo) = drill.and_then(|d| d.objectives.rpo) {
        out.push(ObjectiveResult {
            key: "rpo".to_owned(),
            name: "Recovery point objective".to_owned(),
            expected: format!("at most {} of data lost", in_words(rpo.ms())),
            actual: match measures.restore_point_age_ms {
                Some(age) => format!("not measured; the restore point lies {} before T0", in_words(age)),
                None => "not measured".to_owned(),
            },
            status: Status::NotTested,
        });
    }
    if let Some(detect) = drill.and_then(|d| d.objectives.detect).map(Dur::ms) {
        out.push(ObjectiveResult {
            key: "detect".to_owned(),
            name: "Time to detect".to_owned(),
            expected: format!("within {}", in_words(detect)),
            actual: measures.detect_ms.map_or_else(|| "not measured".to_owned(), in_words),
            status: held(measures.detect_ms.map(|ms| ms <= detect)),
        });
    }
    if drill.is_some_and(|d| d.impact == Impact::NoneExpected) {
        out.push(no_outage(run));
    }
    if !checks.is_empty() {
        let good = checks.iter().filter(|c| c.status == Status::Satisfied).count();
        let bad = checks.iter().any(|c| c.status == Status::NotSatisfied);
        out.push(ObjectiveResult {
            key: "data".to_owned(),
            name: "Checks after the recovery".to_owned(),
            expected: "all pass".to_owned(),
            actual: match checks.iter().filter(|c| c.status == Status::NotTested).count() {
                0 => format!("{good} of {} passed", checks.len()),
                open => format!("{good} of {} passed, {open} not tested", checks.len()),
            },
            status: held(if bad { Some(false) } else { (good == checks.len()).then_some(true) }),
        });
    }
    out.push(clean(run, safety));
    out.push(ObjectiveResult {
        key: "steady-after".to_owned(),
        name: "Steady state after the clean-up".to_owned(),
        expected: "healthy".to_owned(),
        actual: match safety.steady_after {
            Some(true) => "healthy",
            Some(false) => "not healthy",
            None => "not measured",
        }
        .to_owned(),
        status: held(safety.steady_after),
    });
    out
}

/// Of a drill that says that there will be none. That none was seen counts only where the run came to its end.
fn no_outage(run: &RunView) -> ObjectiveResult {
    let seen = run.measured.as_ref().filter(|m| m.marks.contains_key("t0")).map(|m| m.outage);
    let known = seen.filter(|seen| *seen || run.verdict == Some(Verdict::Passed));
    let actual = match known {
        Some(true) => "clients saw an outage",
        Some(false) => "none was seen",
        None => "not measured",
    };
    ObjectiveResult {
        key: "no-outage".to_owned(),
        name: "No client outage".to_owned(),
        expected: "none".to_owned(),
        actual: actual.to_owned(),
        status: held(known.map(|seen| !seen)),
    }
}

fn held(held: Option<bool>) -> Status {
    match held {
        Some(true) => Status::Satisfied,
        Some(false) => Status::NotSatisfied,
        None => Status::NotTested,
    }
}

/// The figure is compared only where the verdict says that the drill did its work: a time that was
/// measured over a fault nobody saw proves nothing.
fn rto(run: &RunView, measures: &Measures) -> ObjectiveResult {
    let rto = run.header.as_ref().map_or(0, |h| h.rto_ms);
    let status = match (run.verdict, measures.judged_ms) {
        (Some(Verdict::Passed | Verdict::ObjectiveMissed | Verdict::Stuck), Some(ms)) => {
            held(Some(ms <= rto))
        }
        (Some(Verdict::NotRecovered), _) => Status::NotSatisfied,
        _ => Status::NotTested,
    };
    ObjectiveResult {
        key: "rto".to_owned(),
        name: "Recovery time objective".to_owned(),
        expected: format!("within {}", in_words(rto)),
        actual: match (measures.judged_ms, run.verdict) {
            (Some(ms), _) => match run.measured.as_ref().and_then(Measured::since_declaration) {
                Some(since) => format!("{} {since}", in_words(ms)),
                None => in_words(ms),
            },
            (None, Some(Verdict::NotRecovered)) => {
                let give_up = run.header.as_ref().map_or(0, |h| h.give_up_ms);
                let t0 = run.measured.as_ref().and_then(|m| m.marks.get("t0"));
                let waited = t0.zip(run.finished_at).map(|(t0, end)| (end - *t0).num_milliseconds());
                match waited.filter(|waited| *waited < give_up) {
                    Some(waited) => format!("not recovered; the run ended after {}", in_words(waited)),
                    None => format!("not recovered within {}", in_words(give_up)),
                }
            }
            (None, _) => "not measured".to_owned(),
        },
        status,
    }
}

fn clean(run: &RunView, safety: &Safety) -> ObjectiveResult {
    let changed = !run.calls.is_empty();
    ObjectiveResult {
        key: "clean".to_owned(),
        name: "Everything put back".to_owned(),
        expected: "nothing left behind".to_owned(),
        actual: match safety.left_behind.len() {
            0 if safety.clean && !safety.gone.is_empty() => {
                format!("nothing left behind; {} destroyed for good, as the drill says", safety.gone.len())
            }
            0 if safety.clean => "nothing left behind".to_owned(),
            0 if !changed => "nothing was changed".to_owned(),
            0 => "the clean-up was not completed".to_owned(),
            n => format!("{n} left behind"),
        },
        status: match (safety.left_behind.is_empty(), safety.clean, changed) {
            (true, true, _) => Status::Satisfied,
            (false, ..) => Status::NotSatisfied,
            // nothing was changed, so there was nothing to put back
            (true, false, false) => Status::NotTested,
            (true, false, true) => Status::NotSatisfied,
        },
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    #[test]
    fn that_no_outage_was_seen_counts_of_a_run_that_came_to_its_end() {
        let row = |began: bool, outage: bool, verdict: Verdict| {
            let marks = began.then(|| ("t0".to_owned(), DateTime::default())).into_iter().collect();
            let measured = Some(Measured { marks, outage, ..Measured::default() });
            no_outage(&RunView { measured, verdict: Some(verdict), ..RunView::default() }).status
        };
        assert_eq!(row(true, false, Verdict::Passed), Status::Satisfied);
        assert_eq!(row(true, true, Verdict::ObjectiveMissed), Status::NotSatisfied);
        assert_eq!(row(true, true, Verdict::Stopped), Status::NotSatisfied, "it was seen all the same");
        assert_eq!(row(true, false, Verdict::Stopped), Status::NotTested);
        assert_eq!(row(false, false, Verdict::Refused), Status::NotTested);
    }
}
