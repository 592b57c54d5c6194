//! What a process that takes up a run begins anew. Pure.

use super::{RunState, Status};
use crate::engine::decide;
use crate::journal::Mode;
use crate::model::EffectCertainty;

impl RunState {
    pub(super) fn attached(&mut self, mode: Mode, now: i64) {
        if mode == Mode::Tell {
            return; // it works on nothing
        }
        self.mode = mode;
        self.attached_ms = now;
        self.sessions += 1;
        self.preflighted = false;
        self.signals = 0;
        self.waiting.clear();
        self.open_calls.clear();
        if mode != Mode::Run {
            // what was stuck is tried again: a person may have mended it
            self.stuck.clear();
            for cell in self.cells.values_mut() {
                cell.stuck = false;
            }
            self.finished = None;
            self.steady_after = None;
            // this process cleans up, and only then looks whether the steady state holds again
            self.cleaned = None;
            self.release_failed = false;
            self.mend_again();
        }
    }

    /// What is owed can be done now. A recovery that surely did nothing (for want of a permission, say) is
    /// begun anew by a rollback; one that came to an end half-way is looked for and completed.
    fn mend_again(&mut self) {
        let again = decide::unmended(self);
        let faults: Vec<_> = self.plan.steps.iter().filter(|s| again.contains(&s.id)).collect();
        let rollback = self.mode == Mode::Rollback;
        for ((id, _), cell) in &mut self.cells {
            let Some(step) = self.plan.step(id) else { continue };
            let mends = faults.iter().any(|f| decide::mended_by(f, step));
            if !mends || cell.kept {
                continue;
            }
            match cell.status {
                Status::Failed(EffectCertainty::None) | Status::Skipped if rollback => {
                    cell.status = Status::Idle;
                }
                Status::Failed(_) if rollback => cell.status = Status::Started,
                Status::Failed(_) | Status::Skipped => continue,
                Status::Idle | Status::Prepared | Status::Started | Status::Applied | Status::Ready => {}
            }
            // an earlier clean-up found nothing to keep; what is made from here on is kept
            cell.settled = false;
        }
    }
}
