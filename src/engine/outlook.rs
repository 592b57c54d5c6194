//! What lies ahead of a run that is being stopped, in words. Pure.
//!
//! Whoever presses Ctrl-C has to know what it does, and what a second time would leave undone.

use super::decide::{self, Owed};
use super::driver::Shared;
use super::state::{Fate, RunState, Status};
use super::verdict::broke;
use crate::catalog::action::Reversibility;
use crate::journal::Event;
use crate::model::Stage;

/// As a person names it who accepts that redrill has not seen it hold.
pub const STEADY_STATE: &str = "steady-state";

/// Names shown before the rest is counted.
const SHOWN: usize = 3;

/// A person is needed: this much is left broken.
pub fn stuck(shared: &Shared, owed: &Owed) -> Event {
    let Owed { fault, mend, targets, failed } = owed;
    let (how, first) =
        if *failed { ("failed", "mend the cause, then ") } else { ("did not come to its end", "") };
    let on = if targets.is_empty() { String::new() } else { format!(" on {}", named(targets)) };
    Event::Stuck {
        step: None,
        target: None,
        error: format!("{}{on} is not mended: step `{mend}` {how}", broke(fault)),
        hint: format!("{first}finish with: {}", shared.finish()),
    }
}

/// A person is needed: nobody could look whether the service is healthy, for want of secret parameters. `finish` is the
/// command that finishes the run, with the secrets that it needs.
pub fn unseen(state: &RunState, finish: &str) -> Event {
    let lacks = |(probe, name): (&String, &String)| {
        format!("`{probe}` needs the secret parameter `{name}`, which was not given")
    };
    let lacks: Vec<String> = state.unread.iter().map(lacks).collect();
    // whoever has lost the secret cannot give it
    let without = finish.strip_suffix(&state.plan.set_again()).unwrap_or(finish);
    Event::Stuck {
        step: None,
        target: None,
        error: format!("nobody could look whether the service is healthy: {}", lacks.join(", ")),
        hint: format!(
            "have it looked at: {finish}; where the secret is lost, look at the service yourself, then end the run: \
             {without} --accept {STEADY_STATE} --reason TEXT"
        ),
    }
}

/// What the `count`-th signal of this process does, and what the next one would. `None` for the third.
/// `finish` is the command that finishes the run.
pub fn after_signal(state: &RunState, count: u8, finish: &str) -> Option<String> {
    let lost = lost(state);
    let left = |rest: &str| match lost.is_empty() {
        true => rest.to_owned(),
        false => format!("{rest}, which leaves {} lost", named(&lost)),
    };
    match count {
        1 if state.stage() == Stage::Undo => Some(format!(
            "the clean-up goes on; once more: {}, and nobody looks whether the service is healthy again",
            left("only undo")
        )),
        1 => {
            let now = if ahead(state).is_empty() {
                "stopping; nothing is to be put back".to_owned()
            } else {
                format!("rolling back: {}", ahead(state).join("; "))
            };
            Some(format!("{now}; once more: {}", left("only undo")))
        }
        2 => {
            let lost = match lost.is_empty() {
                true => String::new(),
                false => format!("; {} stays lost until a rollback", named(&lost)),
            };
            // the command stands at the end, to be copied
            Some(format!(
                "only undo from here on{lost}; once more: leave at once, to be finished with: {finish}"
            ))
        }
        _ => None,
    }
}

/// The targets that an irreversible fault may have reached, and that a step of the drill still has to mend.
fn lost(state: &RunState) -> Vec<String> {
    decide::owed(state).into_iter().flat_map(|o| o.targets).collect()
}

/// What a rollback does from here, step by step.
fn ahead(state: &RunState) -> Vec<String> {
    let mut out = Vec::new();
    for step in state.plan.steps.iter().rev() {
        if step.reversibility == Reversibility::Irreversible || state.fate(step) != Fate::Undo {
            continue;
        }
        let open = state.cells_of(&step.id).filter(|(_, c)| c.may_have_effect() && !c.settled);
        let open: Vec<&Option<String>> = open.map(|(t, _)| t).collect();
        if open.is_empty() || step.manual.is_some() {
            continue;
        }
        let targets: Vec<String> = open.into_iter().flatten().cloned().collect();
        let on = if targets.is_empty() { String::new() } else { format!(" on {}", named(&targets)) };
        out.push(match step.stage {
            Stage::Recovery => format!("`{}`{on} is taken back", step.id),
            _ => format!("`{}`{on} is put back", step.id),
        });
    }
    for Owed { fault, mend, targets, .. } in decide::owed(state) {
        let begun = state.cells_of(&mend).any(|(_, c)| matches!(c.status, Status::Started | Status::Applied));
        let verb = if begun { "goes on to mend" } else { "mends" };
        out.push(format!("`{mend}` {verb} what `{fault}` broke on {}", named(&targets)));
    }
    out
}

/// A few names, and how many more.
fn named(targets: &[String]) -> String {
    match targets.len() {
        ..=SHOWN => targets.join(", "),
        n => format!("{} and {} more", targets[..SHOWN].join(", "), n - SHOWN),
    }
}
