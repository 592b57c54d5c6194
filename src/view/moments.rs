//! Events as sentences, for timelines. Pure.

use super::RunView;
use crate::journal::{Event, Mark, Mode, Phase};
use crate::model::time::in_words;
use crate::model::{Health, ProgramEnd, Stage};

/// What a person accepts who ends a run without a look at the service.
pub(super) const UNSEEN: &str = "the steady state was not seen to hold after the clean-up";

fn on(target: Option<&String>) -> String {
    target.map(|t| format!(" on {t}")).unwrap_or_default()
}

fn many(targets: &[Option<String>]) -> String {
    let named: Vec<&str> = targets.iter().flatten().map(String::as_str).collect();
    match named.len() {
        0 => String::new(),
        1..=3 => format!(" on {}", named.join(", ")),
        n => format!(" on {n} targets"),
    }
}

/// What an undo did or saw, in words that claim no more: what it found in place, whoever put it there.
pub fn undone(how: &str, stage: Option<Stage>) -> &'static str {
    match (how, stage == Some(Stage::Recovery)) {
        ("already", true) => "nothing found to take back; this attempt changed nothing",
        ("already", false) => "found in place; this attempt changed nothing",
        ("nothing", true) => "nothing to take back",
        ("nothing", false) => "nothing to put back",
        (_, true) => "taken back",
        _ => "put back",
    }
}

/// What the event says to a reader who follows the run; `None` for what is only bookkeeping.
pub(super) fn sentence(event: &Event, view: &RunView) -> Option<String> {
    Some(match event {
        Event::Attached { mode, host, user, .. } => match mode {
            Mode::Run => return None,
            Mode::Resume => format!("resumed by {user}@{host}"),
            Mode::Rollback => format!("rollback by {user}@{host}"),
            Mode::Tell => format!("told by {user}@{host}, while no process was running"),
        },
        Event::ObservationsLost { count } => {
            format!("{count} lines about observations could not be recorded in time, and are lost")
        }
        Event::Stage { stage } => format!("stage: {}", format!("{stage:?}").to_lowercase()),
        Event::StepStarted { step, targets } => format!("{step} started{}", many(targets)),
        Event::CallSent { operation, phase: Phase::Apply, attempt, .. } => match attempt {
            0 | 1 => format!("{operation} sent"),
            n => format!("{operation} sent (attempt {n})"),
        },
        Event::CallAnswered { call, error: Some(error), .. } => {
            let sent = view.calls.iter().rev().find(|c| c.call == *call);
            let operation = sent.map_or("call", |c| c.operation.as_str());
            format!("{operation} failed: {}", error.code.as_deref().unwrap_or(&error.kind))
        }
        Event::ReadRetried { operation, attempt, error } => {
            let why = error.code.as_deref().unwrap_or(&error.kind);
            format!("{operation} failed: {why}; sent again (attempt {})", attempt + 1)
        }
        Event::ProgramStarted { step, phase, program } => {
            let what = if *phase == Phase::Undo { "program that undoes it" } else { "program" };
            format!("{step}: its {what} starts (process {} on {})", program.pid, program.host)
        }
        Event::ProgramEnded { step, how, .. } => match how {
            ProgramEnd::Seen => return None,
            ProgramEnd::Gone => format!("{step}: its program is not running any more"),
            ProgramEnd::Ended => format!("{step}: its program was still running, and was ended"),
            ProgramEnd::Said => {
                format!("{step}: its program cannot be looked for from here; a person says that it has ended")
            }
        },
        Event::StepApplied { step, target, .. } => format!("{step} accepted{}", on(target.as_ref())),
        Event::StepReady { step, target, .. } => format!("{step} ready{}", on(target.as_ref())),
        Event::StepFailed { step, target, error, .. } => {
            format!("{step} failed{}: {error}", on(target.as_ref()))
        }
        Event::StepProgress { step, target, note } => format!("{step}{}: {note}", on(target.as_ref())),
        Event::StepSkipped { step, why } => format!("{step} skipped: {why}"),
        Event::Waiting { step, text } => format!("{step} waits for a person: {text}"),
        Event::Confirmed { step, by, simulated, .. } => {
            let how = if *simulated { " (simulated)" } else { "" };
            format!("{step} confirmed by {by}{how}")
        }
        Event::Marked { mark, by, note, .. } => {
            let name = match mark {
                Mark::Detected => "detected",
                Mark::Ack => "acknowledged",
                Mark::Declare => "disaster declared",
                Mark::Note => "note",
            };
            if note.is_empty() { format!("{name} by {by}") } else { format!("{name} by {by}: {note}") }
        }
        Event::RequestUnused { what, by, why, .. } => format!("{what} by {by} not used: {why}"),
        Event::Observed { probe, health, seen, .. } => {
            let known = view.probes.iter().find(|p| p.name == *probe);
            if known.is_some_and(|p| p.health() == *health) {
                return None;
            }
            let word = match health {
                Health::Healthy => "healthy",
                Health::Unhealthy => "unhealthy",
                Health::Unknown => "could not be read",
            };
            if seen.is_empty() { format!("{probe}: {word}") } else { format!("{probe}: {word} ({seen})") }
        }
        Event::Steady { .. } => "the steady state was met and held".to_owned(),
        Event::StopRequested { detail, .. } => format!("stopping: {detail}"),
        Event::Signal { count, now: None } => format!("signal {count}"),
        Event::Signal { count, now: Some(now) } => format!("signal {count}: {now}"),
        Event::UndoFailed { step, target, error, .. } => {
            format!("undo of {step}{} failed: {error}", on(target.as_ref()))
        }
        Event::UndoDone { step, target, how, .. } => {
            let stage = view.steps.iter().find(|s| s.id == *step).and_then(|s| s.stage);
            format!("{step}{} {}", on(target.as_ref()), undone(how, stage))
        }
        Event::Kept { step, target, .. } => format!("result of {step}{} kept", on(target.as_ref())),
        Event::Renamed { target, arn } => format!("{target} has another name by now: {arn}"),
        Event::Stuck { step, target, error, .. } => {
            let step = step.as_ref().map_or("the clean-up", |s| s.as_str());
            format!("STUCK: {step}{}: {error}", on(target.as_ref()))
        }
        Event::LeftInPlace { step, target, why, by } => {
            view.gone(step, target.as_deref(), &view.left(step, target.as_ref(), why, by.as_deref()))
        }
        Event::SteadyStateAccepted { why, by } => format!("{UNSEEN}: {why} (accepted by {by})"),
        Event::Cleaned { until: None } => "clean-up over".to_owned(),
        Event::Cleaned { until: Some(until) } => format!(
            "clean-up over; waiting for the service to be healthy, until {} at the latest",
            until.format("%H:%M:%S UTC")
        ),
        Event::SteadyAfter { healthy } => {
            if *healthy { "healthy after the clean-up" } else { "NOT healthy after the clean-up" }.to_owned()
        }
        Event::Finished { verdict, measured, .. } => match measured.rta_ms {
            Some(rta) => format!("verdict: {} (RTA {})", verdict.name(), in_words(rta)),
            None => format!("verdict: {}", verdict.name()),
        },
        Event::Unknown(value) => {
            let kind = value.get("type").and_then(|t| t.as_str()).unwrap_or("?");
            format!("`{kind}`: an event that this version does not know")
        }
        _ => return None,
    })
}
