//! Local programs of a run: what each is known by is on the disk before it does anything, and one that nobody waits
//! for is ended. I/O.
//!
//! Left to others: which are to be ended ([`super::unended`]), how that is done ([`crate::cloud::Local`]).

use std::hash::{BuildHasher as _, Hasher as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;

use super::driver::Shared;
use super::recorder::Recorder;
use super::state::RunState;
use super::{decide, unended};
use crate::catalog::Programs;
use crate::cloud::{
    CloudError, CloudResult, CommandOutput, CommandRequest, ErrorKind, Local, Starting, Unended,
};
use crate::journal::writer::JournalError;
use crate::journal::{Event, Phase};
use crate::model::{ProgramEnd, ProgramId, RunId, Stage, StepId};

const OPERATION: &str = "local:run";

/// Runs the programs of one step in one phase.
pub struct StepPrograms {
    recorder: Arc<Recorder>,
    local: Arc<dyn Local>,
    run: RunId,
    step: StepId,
    phase: Phase,
    stage: Option<Stage>,
}

impl StepPrograms {
    /// For `step`; `stage` is the step's stage in the plan.
    pub fn new(shared: &Shared, step: &StepId, phase: Phase, stage: Option<Stage>) -> Self {
        Self {
            recorder: Arc::clone(&shared.recorder),
            local: Arc::clone(&shared.cloud.local),
            run: shared.run.clone(),
            step: step.clone(),
            phase,
            stage,
        }
    }
}

#[async_trait]
impl Programs for StepPrograms {
    async fn run(&self, request: &CommandRequest) -> CloudResult<CommandOutput> {
        let nonce = std::hash::RandomState::new().build_hasher().finish();
        let mark = format!("{}/{}/{nonce:016x}", self.run, self.step);
        let start = Start { of: self, mark, recorded: AtomicBool::new(false) };
        let folder = self.recorder.with(|s, _| s.programs.folder.clone());
        let ran = self.local.run(&within(folder, request), &start).await;
        if start.recorded.load(Ordering::SeqCst) {
            let (step, mark) = (self.step.clone(), start.mark);
            let ended = Event::ProgramEnded { step, mark, how: ProgramEnd::Seen };
            // if this cannot be recorded the recorder is broken and the driver stops; the answer still counts
            let _broken = self.recorder.note(vec![ended]).await;
        }
        ran.map(|output| self.without_words(output))
    }
}

impl StepPrograms {
    /// What a program says may hold a secret of the run that it was not given again: a fault can have left one behind.
    fn without_words(&self, output: CommandOutput) -> CommandOutput {
        let Some(kept_out) = self.recorder.kept_out() else { return output };
        let out = |said: String| if said.is_empty() { said } else { kept_out.clone() };
        CommandOutput { stdout: out(output.stdout), stderr: out(output.stderr), ..output }
    }
}

/// The request, in the folder that the run began in: `./mend` is then the same program for whoever takes it up, from
/// whatever folder.
fn within(folder: Option<String>, request: &CommandRequest) -> CommandRequest {
    let own = request.cwd.as_deref().unwrap_or_default();
    let cwd = folder.map(|folder| Path::new(&folder).join(own).to_string_lossy().into_owned());
    CommandRequest { cwd: cwd.or_else(|| request.cwd.clone()), ..request.clone() }
}

/// One program about to start.
struct Start<'a> {
    of: &'a StepPrograms,
    mark: String,
    recorded: AtomicBool,
}

#[async_trait]
impl Starting for Start<'_> {
    fn mark(&self) -> &str {
        &self.mark
    }

    async fn known(&self, program: &ProgramId) -> CloudResult<()> {
        let StepPrograms { recorder, step, phase, stage, .. } = self.of;
        let started = Event::ProgramStarted { step: step.clone(), phase: *phase, program: program.clone() };
        // as a call that changes something: nothing that breaks begins after a stop that is on record, or due by now
        let held_back = *phase == Phase::Apply && *stage == Some(Stage::Fault);
        let own = Arc::clone(recorder);
        let stopping = move |s: &RunState| {
            let now = s.timeline.ms(own.clock().stamp());
            let due = || own.is_halting() || decide::interrupted(s, now).is_some();
            held_back && (s.stop.is_some() || s.signals > 0 || due())
        };
        let recorded = recorder
            .durable_from(move |s| if stopping(s) { Vec::new() } else { vec![started] })
            .await
            .map_err(|e| CloudError::new(OPERATION, ErrorKind::Journal, format!("not started: {e}")))?;
        self.recorded.store(!recorded.is_empty(), Ordering::SeqCst);
        // what was long in being written may come too late
        match recorded.is_empty() || (held_back && recorder.is_halting()) {
            true => Err(CloudError::new(OPERATION, ErrorKind::Other, "not started: the run is stopping")),
            false => Ok(()),
        }
    }
}

/// Ends a program that nobody waits for any more.
///
/// # Errors
/// The journal could not be written.
pub(super) async fn end(shared: &Shared, step: &StepId, mark: &str) -> Result<(), JournalError> {
    let Some(program) = shared.recorder.with(|s, _| s.programs.get(mark).cloned()) else { return Ok(()) };
    let ended = |how| Event::ProgramEnded { step: step.clone(), mark: mark.to_owned(), how };
    let event = match shared.cloud.local.end(&program).await {
        Ok(how) => ended(how),
        Err(Unended::Unseen(_)) if shared.programs_ended => ended(ProgramEnd::Said),
        Err(why) => stuck(shared, step, &program, &why),
    };
    shared.recorder.durable(vec![event]).await
}

/// It may go on, so what it broke is not put back: it could be broken again afterwards.
fn stuck(shared: &Shared, step: &StepId, program: &ProgramId, why: &Unended) -> Event {
    let rollback = shared.finish();
    let (error, hint) = match why {
        Unended::Lives(named, ids) => {
            let ids: Vec<String> = ids.iter().map(u32::to_string).collect();
            let error = format!("a program of step `{step}` still runs and could not be ended: {named}");
            let hint = format!("end it with: sudo kill -9 {}, then finish with: {rollback}", ids.join(" "));
            (error, hint)
        }
        Unended::Unseen(why) => {
            let error = format!("whether a program of step `{step}` still runs cannot be seen: {why}");
            let hint = format!(
                "make sure on {} that no process of session {} runs any more, nor any with {} in its environment; \
                 then finish with: {rollback} --programs-ended",
                program.host, program.pid, program.mark
            );
            (error, hint)
        }
    };
    Event::Stuck { step: Some(step.clone()), target: None, error, hint }
}

/// Says what is not known of a step that is about to be put back.
///
/// # Errors
/// The journal could not be written.
pub(super) async fn say_lack(shared: &Shared, step: &StepId) -> Result<(), JournalError> {
    let lack = shared.recorder.with(|s, _| unended::lack(s, step));
    let event = lack.map(|note| Event::StepProgress { step: step.clone(), target: None, note });
    shared.recorder.note(event.into_iter().collect()).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_starts_where_the_run_began() {
        let request = |cwd: Option<&str>| CommandRequest {
            argv: vec!["./mend".to_owned()],
            env: std::collections::BTreeMap::new(),
            cwd: cwd.map(str::to_owned),
            timeout: std::time::Duration::from_secs(1),
        };
        let cwd = |folder: Option<&str>, own| within(folder.map(str::to_owned), &request(own)).cwd;
        assert_eq!(cwd(Some("/drills"), None).as_deref(), Some("/drills/"));
        assert_eq!(cwd(Some("/drills"), Some("tools")).as_deref(), Some("/drills/tools"));
        assert_eq!(cwd(Some("/drills"), Some("/srv/tools")).as_deref(), Some("/srv/tools"));
        // a journal that does not say
        assert_eq!(cwd(None, None), None);
        assert_eq!(cwd(None, Some("tools")).as_deref(), Some("tools"));
    }
}
