//! What actions and probes are given: contexts that borrow from what the tasks of a run share.

use super::driver::Shared;
use super::gate::StepGate;
use super::programs::StepPrograms;
use crate::catalog::action::After;
use crate::catalog::{self, ReadCx, WriteCx};
use crate::model::StepId;

impl Shared {
    /// The context for everything that only reads.
    pub fn read_cx<'a>(&'a self, step: &'a StepId, t0: Option<chrono::DateTime<chrono::Utc>>) -> ReadCx<'a> {
        ReadCx {
            reads: &self.cloud.reads,
            clock: self.clock.as_ref(),
            region: &self.cloud.region,
            account: &self.plan.account,
            run: &self.run,
            step,
            after: self.plan.step(step).map_or(After::None, |s| s.after),
            t0,
            settle: self.plan.drill.settle,
            give_up: self.plan.drill.objectives.give_up(),
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
