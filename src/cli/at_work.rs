//! The process that works on a run, in words: which one, where, what it waits for, and how to end it.
//!
//! A run that is going back cannot be aborted, and one that is worked on cannot be rolled back: whoever asks for
//! either has to learn what is true and what to type. Reads runs on disk.

use std::path::Path;

use super::guard::command_in;
use super::session::{operator, plan_of, read_journal};
use super::{CliError, Global, out};
use crate::drill::Role;
use crate::engine::state::RunState;
use crate::engine::{decide, requests};
use crate::journal::runs::{Holder, RunDir};
use crate::journal::{Event, Line};

/// A process that works on a run.
pub struct AtWork {
    /// Which process, since when, on which host, and what it does.
    pub text: String,
    /// What to type about it.
    hints: Vec<String>,
}

impl AtWork {
    /// The holder of a run's lock. `state` is the state folder that the run lies in, where it is another one.
    pub fn of(global: &Global, run: &str, state: Option<&Path>, holder: &Holder) -> Self {
        let there = |verb: &str| command_in(global, verb, run, state);
        let dir = RunDir::at(state.unwrap_or(&global.state).join("runs").join(run));
        let lines = dir.as_ref().and_then(|dir| read_journal(dir).ok()).unwrap_or_default();
        let known =
            dir.and_then(|dir| plan_of(&dir, &lines).ok()).map(|p| RunState::replay(p.into(), &lines));
        let mut text = format!("{} on {}", holder.at_work(), host(&lines, holder));
        let mut hints = vec![format!("wait for it to end; how far it is: {}", there("show"))];
        let kill = holder.pid.map(|pid| format!(", or type `kill {pid}`")).unwrap_or_default();
        match known.filter(requests::going_back) {
            None => hints.push(format!("or stop it, which puts everything back: {}", there("abort"))),
            Some(state) => match decide::waits_until(&state) {
                Some(until) => {
                    let until = chrono::DateTime::from_timestamp_millis(until).unwrap_or_default();
                    text = format!(
                        "{text}; it has put everything back and waits for the service to be healthy ({}), until {} \
                         at the latest",
                        deciding(&state),
                        until.format("%H:%M:%S UTC")
                    );
                    hints.push(format!(
                        "or end the wait, so that nobody looks whether the service is healthy: press Ctrl-C there\
                         {kill}, twice"
                    ));
                }
                None => {
                    text.push_str("; it is putting everything back");
                    hints.push(format!(
                        "only if it does not end: press Ctrl-C there{kill}, three times, then: {}",
                        there("rollback")
                    ));
                }
            },
        }
        Self { text, hints }
    }

    /// Prints what to type.
    pub fn print(&self) {
        self.hints.iter().for_each(|hint| out::line(hint));
    }

    /// The error with what to type.
    pub fn hinted(self, e: CliError) -> CliError {
        self.hints.into_iter().fold(e, CliError::hint)
    }
}

/// Where the process runs: as it said when it began, else here, since a lock is this machine's.
fn host(lines: &[Line], holder: &Holder) -> String {
    let attached = lines.iter().rev().find_map(|line| match &line.event {
        Event::Attached { pid, host, .. } if holder.pid == Some(*pid) => Some(host.clone()),
        _ => None,
    });
    attached.unwrap_or_else(|| operator().host)
}

fn deciding(state: &RunState) -> String {
    let probes = state.plan.drill.steady_state.iter().filter(|p| p.role == Role::Client);
    probes.map(|p| format!("`{}`", p.name)).collect::<Vec<_>>().join(", ")
}
