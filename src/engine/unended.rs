//! Local programs that were started and whose end is not on record. Pure.
//!
//! A program that nobody waits for any more is ended before anything else is done: what it did later would undo what
//! is put back. That holds for one that redrill left behind when it was killed, as for one that a stop interrupted.

use std::collections::BTreeMap;

use super::decide::Task;
use super::state::RunState;
use crate::catalog::actions::command;
use crate::model::{ProgramId, StepId};

/// The first format of journals that says what was started.
const SAYS_WHAT_RUNS: u32 = 2;

/// What the journal says of local programs.
#[derive(Clone, Debug, Default)]
pub struct Programs {
    /// By their marks, those whose end is not on record.
    open: BTreeMap<String, (StepId, ProgramId)>,
    silent: bool,
    /// Where they are started.
    pub folder: Option<String>,
}

impl Programs {
    /// The header was read.
    pub fn header(&mut self, format: u32) {
        self.silent = format < SAYS_WHAT_RUNS;
    }

    /// One is about to start.
    pub fn started(&mut self, step: &StepId, program: &ProgramId) {
        self.open.insert(program.mark.clone(), (step.clone(), program.clone()));
    }

    /// One has ended.
    pub fn ended(&mut self, mark: &str) {
        self.open.remove(mark);
    }

    /// A program whose end is not on record.
    pub fn get(&self, mark: &str) -> Option<&ProgramId> {
        self.open.get(mark).map(|(_, program)| program)
    }
}

/// A task for each program that nobody waits for. One that could not be ended is left to a person.
pub fn orphans(state: &RunState, running: &[Task]) -> Vec<Task> {
    let waited_for = |id: &StepId| {
        running.iter().any(|t| match t {
            Task::Step { step, .. } | Task::Undo { step, .. } => step == id,
            _ => false,
        })
    };
    let given_up = |id: &StepId| state.cells_of(id).any(|(_, cell)| cell.stuck || cell.settled);
    let open = state.programs.open.iter();
    open.filter(|(_, (step, _))| !waited_for(step) && !given_up(step))
        .map(|(mark, (step, _))| Task::EndProgram { step: step.clone(), mark: mark.clone() })
        .collect()
}

/// What a reader must know before this step is put back: a journal of version 0.1.0 does not say what it started.
pub fn lack(state: &RunState, step: &StepId) -> Option<String> {
    let runs = state.plan.step(step).is_some_and(|s| s.action.as_deref() == Some(command::NAME));
    (runs && state.programs.silent).then(|| {
        "this journal is of version 0.1.0, which did not record what it started: whether a program of this step, or \
         of its undo, still runs is not known. Look for it, and end it: what it does later is not put back"
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use chrono::DateTime;

    use super::*;
    use crate::drill::{self, LoadOptions};
    use crate::model::World;
    use crate::model::time::VirtualClock;
    use crate::plan::{self, BuildOptions};
    use crate::sandbox::ESTATE_JSON;
    use crate::sim::Sim;

    const DRILL: &str = "version: 1
name: programs
title: Programs
service: shop
objectives: { rto: 15m }
limits: { accounts: [\"123456789012\"], regions: [us-east-1], max_targets: 1 }
targets: {}
impact: none-expected
steady_state: [{ name: page, probe: http, with: { url: \"http://127.0.0.1:8080/health\" } }]
fault:
  - { action: command, id: one, with: { argv: [a], undo: { argv: [b] } } }
  - { action: command, id: two, with: { argv: [c] } }
  - { action: wait, id: pause, with: { for: 1s } }";

    async fn state() -> RunState {
        let clock = Arc::new(VirtualClock::starting_at(DateTime::from_timestamp(1_800_000_000, 0).unwrap()));
        let cloud = Sim::from_estate(ESTATE_JSON, clock.clone()).unwrap().cloud();
        let loaded =
            drill::load("drill.yaml", DRILL, &LoadOptions::default()).unwrap_or_else(|p| panic!("{p}"));
        let options = BuildOptions::new(World::Sim, "us-east-1");
        RunState::new(Arc::new(plan::build(&loaded, &cloud.reads, clock.as_ref(), &options).await.unwrap()))
    }

    fn program(mark: &str) -> ProgramId {
        let (host, mark) = ("desk".to_owned(), mark.to_owned());
        ProgramId { pid: 7, start: Some(1), boot: None, host, mark }
    }

    #[tokio::test(start_paused = true)]
    async fn a_program_is_an_orphan_once_nobody_waits_for_it() {
        let mut state = state().await;
        let (one, two) = (StepId::new("one"), StepId::new("two"));
        let end = |step: &StepId, mark: &str| Task::EndProgram { step: step.clone(), mark: mark.to_owned() };
        let doing = |step: &StepId| Task::Step { step: step.clone(), targets: vec![None] };
        let undoing = |step: &StepId| Task::Undo { step: step.clone(), target: None };
        assert_eq!(orphans(&state, &[]), []);
        state.programs.started(&one, &program("m1"));
        state.programs.started(&two, &program("m2"));
        assert_eq!(orphans(&state, &[]), [end(&one, "m1"), end(&two, "m2")]);
        assert_eq!(orphans(&state, &[doing(&one)]), [end(&two, "m2")]);
        assert_eq!(orphans(&state, &[doing(&one), undoing(&two)]), []);
        assert_eq!(orphans(&state, &[Task::Release, end(&one, "m1")]), [end(&one, "m1"), end(&two, "m2")]);
        // nothing else is decided meanwhile
        let decided = super::super::decide::decide(&state, 0, &[]);
        assert_eq!((decided.tasks, decided.events), (vec![end(&one, "m1"), end(&two, "m2")], vec![]));
        // one that could not be ended is a person's, until another process tries
        state.cells.get_mut(&(two.clone(), None)).unwrap().stuck = true;
        assert_eq!(orphans(&state, &[]), [end(&one, "m1")]);
        state.programs.ended("m1");
        assert_eq!((orphans(&state, &[]), state.programs.get("m1")), (vec![], None));
        assert_eq!(state.programs.get("m2"), Some(&program("m2")));
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_the_first_version_wrote_lacks_it() {
        let mut state = state().await;
        for (format, lacks) in [(1, true), (2, false), (3, false)] {
            state.programs.header(format);
            assert_eq!(lack(&state, &StepId::new("one")).is_some(), lacks, "{format}");
            assert_eq!(lack(&state, &StepId::new("pause")), None, "it runs none");
        }
    }
}
