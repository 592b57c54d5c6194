//! The sample shop in the simulator, for the unit tests of actions and probes.
//!
//! [`puts_everything_back`] is what every action with an undo has to survive.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use chrono::DateTime;
use serde_json::Value;

use crate::catalog::action::{
    Action, ActionError, After, Applied, Calls, Finding, Gate, Prepared, Programs, Progress, ReadCx,
    SentCall, Severity, Undone, WriteCx,
};
use crate::cloud::faulty::{Fault, Faulty};
use crate::cloud::{
    Cloud, CloudResult, CommandOutput, CommandRequest, EffectCertainty, Mutate, Mutation, Reply, Starting,
};
use crate::model::pattern::OneOrMany;
use crate::model::time::VirtualClock;
use crate::model::{Clock as _, Dur, ProgramId, ResourceKind, RunId, StepId, Tags, Target};
use crate::sim::Sim;

pub(in crate::catalog) const BUCKET: &str = "shop-assets-123456789012";
pub(in crate::catalog) const SCRATCH_BUCKET: &str = "batch-scratch-123456789012";

/// Forwards, and keeps what a journal would.
struct Forward {
    to: Arc<dyn Mutate>,
    clock: Arc<VirtualClock>,
    sent: Mutex<Vec<SentCall>>,
}

impl Forward {
    fn new(to: Arc<dyn Mutate>, clock: Arc<VirtualClock>) -> Self {
        Self { to, clock, sent: Mutex::default() }
    }
}

impl Calls for Forward {
    fn sent(&self) -> Vec<SentCall> {
        self.sent.lock().expect("no test has panicked here").clone()
    }
}

#[async_trait]
impl Gate for Forward {
    async fn send(&self, mutation: Mutation) -> CloudResult<Reply> {
        let sent = self.clock.now();
        let answer = self.to.send(&mutation).await;
        self.sent.lock().expect("no test has panicked here").push(SentCall {
            step: StepId::new("step"),
            operation: mutation.operation().to_owned(),
            params: mutation.redacted(),
            sent,
            answered: Some(self.clock.now()),
            outcome: answer.as_ref().ok().map(|reply| reply.outcome.clone()),
            refused: answer.as_ref().is_err_and(|e| e.effect == EffectCertainty::None),
        });
        answer
    }
}

/// Nothing is written down.
struct Unmarked;

#[async_trait]
impl Starting for Unmarked {
    fn mark(&self) -> &str {
        "trial/step/0"
    }

    async fn known(&self, _: &ProgramId) -> CloudResult<()> {
        Ok(())
    }
}

#[async_trait]
impl Programs for Trial {
    async fn run(&self, request: &CommandRequest) -> CloudResult<CommandOutput> {
        self.cloud.local.run(request, &Unmarked).await
    }
}

pub(in crate::catalog) struct Trial {
    pub(in crate::catalog) sim: Arc<Sim>,
    pub(in crate::catalog) clock: Arc<VirtualClock>,
    pub(in crate::catalog) cloud: Cloud,
    pub(in crate::catalog) give_up: Dur,
    pub(in crate::catalog) after: After,
    pub(in crate::catalog) forbid_tags: Option<BTreeMap<String, OneOrMany>>,
    gate: Forward,
    run: RunId,
    step: StepId,
    t0: DateTime<chrono::Utc>,
}

impl Trial {
    pub(in crate::catalog) fn new() -> Self {
        let start = DateTime::from_timestamp(1_700_000_000, 0).expect("a valid time");
        let clock = Arc::new(VirtualClock::starting_at(start));
        let sim = Sim::from_estate(include_str!("../../../localstack/estate.json"), clock.clone())
            .expect("the sample estate");
        sim.set_page_size(2);
        let cloud = sim.cloud();
        Self {
            gate: Forward::new(cloud.mutate.clone(), clock.clone()),
            run: RunId::from_existing("20231114T221320Z-trial-aaaaaa"),
            step: StepId::new("step"),
            t0: clock.now(),
            give_up: Dur::hours(8),
            after: After::None,
            forbid_tags: None,
            sim,
            clock,
            cloud,
        }
    }

    /// The n-th change (from 0) and every later one up to `times` fails so.
    pub(in crate::catalog) fn failing(mut self, first: usize, times: usize, fault: Fault) -> Self {
        let faulty = Faulty::new(self.cloud.mutate.clone(), move |n, _| {
            (first..first + times).contains(&n).then_some(fault)
        });
        self.gate = Forward::new(Arc::new(faulty), self.clock.clone());
        self
    }

    /// The same world, seen by another run.
    pub(in crate::catalog) fn another_run(mut self) -> Self {
        self.run = RunId::from_existing("20231114T221320Z-trial-bbbbbb");
        self
    }

    pub(in crate::catalog) fn read(&self) -> ReadCx<'_> {
        ReadCx {
            reads: &self.cloud.reads,
            clock: &*self.clock,
            region: "us-east-1",
            account: "123456789012",
            run: &self.run,
            step: &self.step,
            after: self.after,
            t0: Some(self.t0),
            settle: Dur::secs(10),
            give_up: self.give_up,
            calls: &self.gate,
            forbid_tags: [self.forbid_tags.as_ref(), None],
            planning: true,
            irreversible: false,
            no_impact: false,
            dry_run: None,
        }
    }

    pub(in crate::catalog) fn write(&self) -> WriteCx<'_> {
        WriteCx { read: self.read(), gate: &self.gate, programs: self }
    }

    pub(in crate::catalog) async fn refusals<A: Action>(
        &self,
        action: &A,
        target: &Target,
        params: &A::Params,
    ) -> Vec<String> {
        let found: Vec<Finding> =
            action.inspect(self.read(), std::slice::from_ref(target), params).await.expect("inspects");
        found.into_iter().filter(|f| f.severity == Severity::Refusal).map(|f| f.text).collect()
    }

    /// Capture and prepare; the record goes through JSON, as on its way through a journal.
    pub(in crate::catalog) async fn prepare<A: Action>(
        &self,
        action: &A,
        target: Option<&Target>,
        params: &A::Params,
    ) -> Result<A::Undo, ActionError> {
        let captured = match target {
            Some(target) => action.capture(self.read(), target, params).await?,
            None => Value::Null,
        };
        self.prepare_with(action, target, captured, params).await
    }

    pub(in crate::catalog) async fn prepare_with<A: Action>(
        &self,
        action: &A,
        target: Option<&Target>,
        captured: Value,
        params: &A::Params,
    ) -> Result<A::Undo, ActionError> {
        let made = action.prepare(self.read(), &[(target.cloned(), captured)], params).await.pop();
        let record = serde_json::to_value(made.expect("one outcome")?).expect("a record");
        // of every action: the record is about its target, and nobody else's
        if let Some(target) = target.filter(|_| Action::spec(action).kind.is_some()) {
            let with = serde_json::to_value(params).expect("parameters");
            super::testing::holds_of_its_target_alone(action, self.read(), &record, target, &with);
        }
        Ok(serde_json::from_value(record).expect("the record is read back"))
    }

    pub(in crate::catalog) async fn apply<A: Action>(
        &self,
        action: &A,
        target: Option<&Target>,
        undo: &A::Undo,
        params: &A::Params,
    ) -> Result<Applied, ActionError> {
        let batch = [Prepared { target: target.cloned(), undo: undo.clone() }];
        action.apply(self.write(), &batch, params).await.pop().expect("one outcome")
    }

    /// Polls until it is no longer pending, for at most six hours.
    pub(in crate::catalog) async fn settled<A: Action>(
        &self,
        action: &A,
        undo: &A::Undo,
        params: &A::Params,
    ) -> Result<Progress, ActionError> {
        for _ in 0..6 * 360 {
            match action.poll(self.read(), None, undo, params).await? {
                Progress::Pending(_) => tokio::time::sleep(std::time::Duration::from_secs(10)).await,
                done => return Ok(done),
            }
        }
        panic!("still pending after six hours");
    }
}

pub(in crate::catalog) fn params<A: Action>(_: &A, json: Value) -> A::Params {
    serde_json::from_value(json).expect("parameters")
}

pub(in crate::catalog) fn target(kind: ResourceKind, id: &str) -> Target {
    let attrs = BTreeMap::new();
    Target { kind, id: id.to_owned(), arn: None, name: None, tags: Tags::new(), attrs }
}

/// Apply and undo; undo without apply; undo twice; a lost answer and a lost request, each found out
/// by polling: whatever happened, the world is as before.
pub(in crate::catalog) async fn puts_everything_back<A: Action>(action: &A, target: &Target, with: Value) {
    let params = &params(action, with);
    let target = Some(target);

    let t = Trial::new();
    let before = t.sim.snapshot();
    let undo = t.prepare(action, target, params).await.expect("prepares");
    assert_eq!(t.sim.snapshot(), before, "prepare only reads");
    let nothing = action.undo(t.write(), target, &undo).await.expect("undo without apply");
    assert!(matches!(nothing, Undone::Already(_)), "{nothing:?}");
    assert_eq!(t.sim.snapshot(), before, "undo without apply");

    let undo = t.prepare(action, target, params).await.expect("prepares");
    t.apply(action, target, &undo, params).await.expect("applies");
    let ready = t.settled(action, &undo, params).await.expect("polls");
    assert!(matches!(ready, Progress::Ready(_)), "{ready:?}");
    assert_ne!(t.sim.snapshot(), before, "apply does something");
    let done = action.undo(t.write(), target, &undo).await.expect("undo");
    assert!(matches!(done, Undone::PutBack(_)), "{done:?}");
    assert_eq!(t.sim.snapshot(), before, "undo");
    let again = action.undo(t.write(), target, &undo).await.expect("undo again");
    assert!(matches!(again, Undone::Already(_)), "{again:?}");
    assert_eq!(t.sim.snapshot(), before, "undo again");

    for (fault, arrives) in [(Fault::LoseAnswer, true), (Fault::LoseRequest, false)] {
        let t = Trial::new().failing(0, 1, fault);
        let before = t.sim.snapshot();
        let undo = t.prepare(action, target, params).await.expect("prepares");
        let lost = t.apply(action, target, &undo, params).await.expect_err("the answer is lost");
        assert_eq!((lost.effect, lost.hopeless), (EffectCertainty::Unknown, false), "{fault:?}: {lost}");
        let found = t.settled(action, &undo, params).await.expect("polls");
        assert_eq!(found != Progress::Absent, arrives, "{fault:?}: {found:?}");
        let done = action.undo(t.write(), target, &undo).await.expect("undo");
        assert_eq!(matches!(done, Undone::PutBack(_)), arrives, "{fault:?}: {done:?}");
        assert_eq!(t.sim.snapshot(), before, "{fault:?}");
    }
}
