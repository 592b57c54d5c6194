//! What actions and probes are given: contexts that borrow from what the tasks of a run share.

use std::sync::Arc;

use super::driver::Shared;
use super::gate::StepGate;
use super::programs::StepPrograms;
use super::recorder::Recorder;
use crate::catalog::action::After;
use crate::catalog::{self, ReadCx, WriteCx};
use crate::drill::Impact;
use crate::model::{Clock, Stamp, StepId};

/// Time on the run's own [timeline](super::steady_state::Timeline): the wall time of when it began, and from there
/// the monotonic clock, also from one process to the next. A step that waits until a moment is not held up, nor
/// ends early, where the machine's clock is set meanwhile. Not for what is recorded.
pub(super) struct RunClock(pub(super) Arc<Recorder>);

impl Clock for RunClock {
    fn stamp(&self) -> Stamp {
        let told = self.0.clock().stamp();
        let on_timeline = self.0.with(|state, _| state.timeline.ms(told));
        Stamp { at: chrono::DateTime::from_timestamp_millis(on_timeline).unwrap_or(told.at), ..told }
    }
}

impl Shared {
    /// The context for everything that only reads.
    pub fn read_cx<'a>(&'a self, step: &'a StepId, t0: Option<chrono::DateTime<chrono::Utc>>) -> ReadCx<'a> {
        ReadCx {
            reads: &self.cloud.reads,
            clock: &self.steady,
            region: &self.cloud.region,
            account: &self.plan.account,
            run: &self.run,
            step,
            after: self.plan.step(step).map_or(After::None, |s| s.after),
            t0,
            settle: self.plan.drill.settle,
            give_up: self.plan.drill.objectives.give_up(),
            calls: self.recorder.as_ref(),
            forbid_tags: self.plan.rules().map(|rule| Some(&rule.limits().forbid_tags)),
            planning: false,
            irreversible: self.plan.drill.allow_irreversible,
            no_impact: self.plan.drill.impact == Impact::NoneExpected,
            dry_run: None,
        }
    }

    /// The context for changes.
    pub fn write_cx<'a>(
        &'a self,
        step: &'a StepId,
        t0: Option<chrono::DateTime<chrono::Utc>>,
        gate: &'a StepGate,
        programs: &'a StepPrograms,
    ) -> WriteCx<'a> {
        WriteCx { read: self.read_cx(step, t0), gate: gate as &dyn catalog::Gate, programs }
    }
}
