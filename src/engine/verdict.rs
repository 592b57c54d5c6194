//! The verdict: one word for a run, and why. Pure.
//!
//! Nothing is green without work: each way in which a run did less than its drill says has a verdict
//! of its own. Where several hold, the first of stuck, stopped, failed, not-recovered,
//! objective-missed, inconclusive, no-impact wins.
//!
//! The rules of released versions that judged otherwise are kept, so that what they judged can be checked
//! exactly, and so that no journal buys a better word by naming another version.

use super::decide::unmended;
use super::state::{RunState, Status};
use crate::drill::{Impact, Known, ProbeUse, Role, RtoClock};
use crate::journal::event::UNREADABLE;
use crate::journal::{Measured, StopCause, Verdict};
use crate::model::time::in_words;
use crate::model::{Stage, StepId};
use crate::plan::lint;

/// The verdict with its reasons, most important first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// The word.
    pub verdict: Verdict,
    /// The exit code: the verdict's own, but 5 where AWS could not be asked.
    pub exit_code: u8,
    /// Sentences.
    pub reasons: Vec<String>,
}

/// By whose rules a run is judged; the oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rules {
    /// Version 0.1.0 took the exit code of a program for a change, without a fault asked nothing of a capacity
    /// that never dropped, of a run that was stopped not whether anybody looked at its end, and of a restore not
    /// whether anything read the copy. Everything else it judged alike.
    V0_1_0,
    /// This version's.
    Own,
}

impl Rules {
    /// The rules of a version; `None` where it is none that was released, so that nobody knows them. A version
    /// that is released comes in here when the next one begins.
    pub fn of(version: &str) -> Option<Self> {
        match version {
            env!("CARGO_PKG_VERSION") => Some(Self::Own),
            "0.1.0" => Some(Self::V0_1_0),
            _ => None,
        }
    }
}

/// Judges a run that is over.
pub fn judge(state: &RunState, measured: &Measured) -> Judged {
    judge_by(Rules::Own, state, measured)
}

/// Judges a run that is over, as a released version did.
pub fn judge_by(rules: Rules, state: &RunState, measured: &Measured) -> Judged {
    let mut reasons = Vec::new();
    let mut candidates: Vec<Verdict> = Vec::new();
    let mut add = |v: Verdict, why: String| {
        candidates.push(v);
        reasons.push((v, why));
    };
    for why in &state.stuck {
        add(Verdict::Stuck, why.clone());
    }
    // a person may end the run so, but it is neither passed nor rolled back
    let accepted = &state.accepted;
    if !accepted.is_empty() {
        let things =
            if accepted.len() == 1 { "1 thing is" } else { &format!("{} things are", accepted.len()) };
        add(Verdict::Failed, format!("{things} left as found, not put back: {}", accepted.join("; ")));
    }
    // what brought it back is not on record, if anything of the run did
    if rules == Rules::Own && state.steady_lost && state.steady_after == Some(true) {
        add(Verdict::Inconclusive, RETURNED_LATER.to_owned());
    }
    let mut exit = None;
    let lost = unmended(state);
    if let Some((cause, detail)) = &state.stop {
        match cause {
            StopCause::StopCondition | StopCause::Signal | StopCause::Rollback => {
                let is_stuck = rules == Rules::Own && !state.stuck.is_empty();
                let clean = lost.is_empty() && accepted.is_empty() && !is_stuck;
                let how = if clean { "stopped and rolled back" } else { "stopped" };
                let word = if accepted.is_empty() { Verdict::Stopped } else { Verdict::Failed };
                add(word, format!("{how}: {detail}"));
            }
            StopCause::StepFailed => add(Verdict::Failed, detail.clone()),
            StopCause::Unreadable => add(Verdict::Inconclusive, detail.clone()),
            // as version 0.1.0 wrote it
            StopCause::GaveUp if detail.starts_with(UNREADABLE) => add(Verdict::Inconclusive, detail.clone()),
            StopCause::GaveUp => add(Verdict::NotRecovered, detail.clone()),
            StopCause::NoImpact => add(Verdict::NoImpact, detail.clone()),
            StopCause::NotSteady => add(Verdict::NotSteady, detail.clone()),
            StopCause::Refused => add(Verdict::Refused, detail.clone()),
            StopCause::Aws => {
                exit = Some(5);
                add(Verdict::Refused, detail.clone());
            }
        }
        if rules == Rules::Own && state.sent && nobody_looked(state) {
            add(Verdict::Inconclusive, NOBODY_LOOKED.to_owned());
        }
        for step in lost.iter().filter(|step| !state.stuck.iter().any(|s| s.contains(&broke(step)))) {
            let word = if accepted.is_empty() { unmended_as(*cause) } else { &Verdict::Failed };
            add(*word, format!("{} is not mended", broke(step)));
        }
    } else {
        forward(rules, state, measured, &mut add);
    }
    for why in &state.skipped {
        add(Verdict::Inconclusive, format!("skipped: {why}"));
    }
    const ORDER: [Verdict; 9] = [
        Verdict::Stuck,
        Verdict::Stopped,
        Verdict::Failed,
        Verdict::NotRecovered,
        Verdict::ObjectiveMissed,
        Verdict::Inconclusive,
        Verdict::NoImpact,
        Verdict::NotSteady,
        Verdict::Refused,
    ];
    let refused_early = state
        .stop
        .as_ref()
        .is_some_and(|(c, _)| matches!(c, StopCause::NotSteady | StopCause::Refused | StopCause::Aws));
    let verdict = if refused_early && !candidates.contains(&Verdict::Stuck) {
        reasons.first().map_or(Verdict::Refused, |(v, _)| *v)
    } else {
        ORDER.into_iter().find(|v| candidates.contains(v)).unwrap_or(Verdict::Passed)
    };
    reasons.sort_by_key(|(v, _)| *v != verdict);
    let exit_code = if verdict == Verdict::Refused { exit.unwrap_or(3) } else { verdict.exit_code() };
    let mut reasons: Vec<String> = reasons.into_iter().map(|(_, why)| why).collect();
    if verdict == Verdict::Passed {
        reasons.push(passed_text(measured));
    }
    Judged { verdict, exit_code, reasons }
}

/// Said where a second signal ended the wait for the steady state after the clean-up.
const NOBODY_LOOKED: &str =
    "interrupted before anybody looked whether the steady state holds after the clean-up";

/// Said where the service was down after the clean-up, and a later process saw it healthy.
const RETURNED_LATER: &str =
    "the steady state did not return by itself after the clean-up: only a later process saw it hold again";

/// Whether the clean-up ended without a look at whether the service is healthy again, although there is one to take.
pub(super) fn nobody_looked(state: &RunState) -> bool {
    let has_client = state.plan.drill.steady_state.iter().any(|p| p.role == Role::Client);
    has_client && state.steady_after.is_none() && state.signals >= 2 && !state.steady_accepted
}

/// How a loss is spoken of.
pub(super) fn broke(fault: &StepId) -> String {
    format!("what step `{fault}` broke")
}

/// An irreversible loss that no step of the drill is there to mend does not change the word, only the reasons.
fn unmended_as(cause: StopCause) -> &'static Verdict {
    match cause {
        StopCause::StepFailed => &Verdict::Failed,
        StopCause::GaveUp | StopCause::Unreadable => &Verdict::NotRecovered,
        StopCause::NoImpact => &Verdict::NoImpact,
        _ => &Verdict::Stopped,
    }
}

/// A run that came to its end by itself.
fn forward(rules: Rules, state: &RunState, measured: &Measured, add: &mut impl FnMut(Verdict, String)) {
    let drill = &state.plan.drill;
    let rto = drill.objectives.rto;
    let unfinished: Vec<String> = state
        .cells
        .iter()
        .filter(|(_, c)| !matches!(c.status, Status::Ready | Status::Skipped))
        .map(|((step, target), _)| {
            format!("{step}{}", target.as_ref().map(|t| format!(" on {t}")).unwrap_or_default())
        })
        .collect();
    if !unfinished.is_empty() {
        add(Verdict::Inconclusive, format!("not done: {}", unfinished.join(", ")));
    }
    // what sent nothing broke nothing and mended nothing, however long it took
    if !state.sent && !state.plan.acts_unseen() {
        add(
            Verdict::NoImpact,
            "nothing was broken and nothing recovered: no step had anything to do".to_owned(),
        );
    } else if rules == Rules::Own && !state.sent && !seen_to_change(state, measured) {
        add(
            Verdict::NoImpact,
            "nothing was seen to change: no probe answered differently while the programs worked".to_owned(),
        );
    }
    let has_fault = state.plan.steps.iter().any(|s| s.stage == Stage::Fault);
    let has_client = drill.steady_state.iter().any(|p| p.role == Role::Client);
    if has_fault && drill.impact == Impact::Expected && has_client && !measured.outage {
        add(Verdict::NoImpact, "no probe saw the fault".to_owned());
    }
    if nobody_looked(state) {
        add(Verdict::Inconclusive, NOBODY_LOOKED.to_owned());
    }
    if rules == Rules::Own {
        own_rules(state, measured, add);
        for step in unread(state) {
            add(Verdict::Inconclusive, format!("nothing read what `{step}` restored"));
        }
    }
    match measured.judged_ms {
        Some(ms) if ms > rto.ms() => {
            add(
                Verdict::ObjectiveMissed,
                format!("recovered in {}, later than the RTO of {}", in_words(ms), in_words(rto.ms())),
            );
        }
        Some(_) => {}
        None if drill.objectives.rto_clock == RtoClock::Declaration && measured.rta_ms.is_some() => {
            add(
                Verdict::Inconclusive,
                "the RTO runs from the declaration, and nobody declared before the recovery (redrill mark RUN declare)"
                    .to_owned(),
            );
        }
        // no outage was expected and none was seen: there is no recovery time, and the drill says so
        None if drill.impact == Impact::NoneExpected && !measured.outage => {
            if state.blind {
                add(
                    Verdict::Inconclusive,
                    "a probe that decides could not be read after the fault, so nobody knows what clients felt"
                        .to_owned(),
                );
            }
            if !has_client {
                add(Verdict::Inconclusive, "no client probe was watching".to_owned());
            }
            let could_fail = |p: &ProbeUse| p.role == Role::Client && !lint::takes_any_answer(p);
            if rules == Rules::Own && has_client && !drill.steady_state.iter().any(could_fail) {
                add(
                    Verdict::Inconclusive,
                    "any answer satisfies each client probe, so nobody knows what clients felt".to_owned(),
                );
            }
            let counts_capacity = drill.steady_state.iter().any(|p| p.role == Role::Capacity);
            if measured.capacity_lost {
                add(Verdict::NotRecovered, "capacity was not back at the end of the recovery".to_owned());
            } else if (rules == Rules::Own || has_fault) && counts_capacity && measured.capacity_ms.is_none()
            {
                // what never dropped cannot come back: nobody knows whether the fault did anything
                add(Verdict::NoImpact, "no probe saw the fault: capacity did not drop either".to_owned());
            }
            if let Some(ms) = measured.capacity_ms.filter(|ms| *ms > rto.ms()) {
                add(
                    Verdict::ObjectiveMissed,
                    format!(
                        "capacity was back after {}, later than the RTO of {}",
                        in_words(ms),
                        in_words(rto.ms())
                    ),
                );
            }
        }
        None => add(Verdict::Inconclusive, "the recovery time could not be measured".to_owned()),
    }
}

/// What version 0.1.0 did not ask.
fn own_rules(state: &RunState, measured: &Measured, add: &mut impl FnMut(Verdict, String)) {
    let objectives = &state.plan.drill.objectives;
    // the fault is in place until it is undone: whoever sees an outage then has not seen the service survive it
    if measured.outage_in_clean_up && !measured.outage && state.plan.drill.impact == Impact::NoneExpected {
        add(
            Verdict::Inconclusive,
            "clients saw an outage in the clean-up, so the service did not live through all of the fault"
                .to_owned(),
        );
    }
    if measured.outage && state.plan.drill.impact == Impact::NoneExpected {
        add(
            Verdict::ObjectiveMissed,
            "clients saw an outage, and the drill expects none (`impact: none-expected`)".to_owned(),
        );
    }
    let detected = measured.marks.get("t1").zip(measured.marks.get("t0"));
    let took = detected.map(|(t1, t0)| t1.signed_duration_since(*t0).num_milliseconds());
    if let (Some(took), Some(detect)) = (took, objectives.detect)
        && took > detect.ms()
    {
        let (took, wanted) = (in_words(took), in_words(detect.ms()));
        add(Verdict::ObjectiveMissed, format!("detected after {took}, later than the objective of {wanted}"));
    }
    // where clocks came apart, the time is known only to within an interval
    let (rta, high, rto) = (measured.rta_ms, measured.rta_high_ms, objectives.rto.ms());
    if let (Some(judged), Some(wider)) = (measured.judged_ms, high.zip(rta).map(|(high, rta)| high - rta))
        && judged <= rto
        && judged.saturating_add(wider) > rto
    {
        let (at_least, at_most) = (in_words(judged), in_words(judged.saturating_add(wider)));
        add(
            Verdict::Inconclusive,
            format!(
                "recovered in {at_least}, but by the clocks it may be {at_most}, later than the RTO of {}",
                in_words(rto)
            ),
        );
    }
}

/// Whether anybody saw that programs did something: an exit code of 0 is no observation, and neither is an answer
/// that was the same before. A person who confirms a step is one, under their name; a simulated one is nobody.
fn seen_to_change(state: &RunState, measured: &Measured) -> bool {
    let capacity = measured.capacity_ms.is_some() || measured.capacity_lost;
    state.person || measured.outage || capacity || state.turned
}

/// What was restored beside the original and not read: that the restore came to its end shows nothing of it.
fn unread(state: &RunState) -> Vec<&StepId> {
    let restored = |id: &&StepId| state.cells_of(id).any(|(_, cell)| cell.may_have_effect());
    lint::unread(&state.plan, &Known::shipped()).into_iter().filter(restored).collect()
}

fn passed_text(measured: &Measured) -> String {
    let again =
        if measured.outage_in_clean_up { "; clients saw an outage again in the clean-up" } else { "" };
    match measured.judged_ms {
        Some(ms) => format!(
            "recovered in {}{}, within the RTO of {}; everything is clean{again}",
            in_words(ms),
            measured.since_declaration().map(|t| format!(" {t}")).unwrap_or_default(),
            in_words(measured.rto_ms)
        ),
        None => "no client outage; everything is clean".to_owned(),
    }
}

#[cfg(test)]
mod tests;
