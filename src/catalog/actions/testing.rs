//! What the tests of actions share: a small simulated account and a gate that only forwards.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use chrono::DateTime;
use serde_json::Value;

use crate::catalog::action::{
    ActionError, After, Applied, Calls, DynAction, Finding, Gate, Of, Prepared, Programs, Progress, ReadCx,
    SentCall, Severity, Stray, Undone, WriteCx,
};
use crate::catalog::kinds;
use crate::cloud::faulty::{Fault, Faulty};
use crate::cloud::misread::{Misread, Reader};
use crate::cloud::{
    Cloud, CloudResult, CommandOutput, CommandRequest, DryRun, EffectCertainty, Mutate, Mutation, Reply, What,
};
use crate::model::pattern::OneOrMany;
use crate::model::time::VirtualClock;
use crate::model::{Clock as _, Dur, ResourceKind, RunId, StepId, Tags, Target};
use crate::sim::{InstanceSeed, Sim, SubnetSeed};

/// Forwards, and keeps what a journal would.
struct Forward {
    to: Arc<dyn Mutate>,
    step: StepId,
    clock: VirtualClock,
    sent: Mutex<Vec<SentCall>>,
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
            step: self.step.clone(),
            operation: mutation.operation().to_owned(),
            params: mutation.redacted(),
            sent,
            answered: answer.is_ok().then(|| self.clock.now()),
            outcome: answer.as_ref().ok().map(|reply| reply.outcome.clone()),
            refused: answer.as_ref().is_err_and(|e| e.effect == EffectCertainty::None),
        });
        answer
    }
}

/// None of these actions runs a program.
struct NoPrograms;

#[async_trait]
impl Programs for NoPrograms {
    async fn run(&self, request: &CommandRequest) -> CloudResult<CommandOutput> {
        panic!("{:?} is run", request.argv)
    }
}

/// One VPC: a main table with the local route, `private` with a NAT, `public` with an internet
/// gateway; subnets a and b on `private`, `loose` on none; every listing has one item a page.
pub(super) struct Bench {
    pub(super) sim: Arc<Sim>,
    pub(super) clock: VirtualClock,
    cloud: Cloud,
    gate: Forward,
    run: RunId,
    step: StepId,
    pub(super) give_up: Dur,
    pub(super) dry_run: Option<Arc<dyn DryRun>>,
    pub(super) irreversible: bool,
    pub(super) no_impact: bool,
    pub(super) t0: Option<DateTime<chrono::Utc>>,
    pub(super) forbid_tags: Option<BTreeMap<String, OneOrMany>>,
    pub(super) vpc: String,
    pub(super) main: String,
    pub(super) private: String,
    pub(super) public: String,
    pub(super) a: String,
    pub(super) b: String,
    pub(super) loose: String,
}

impl Bench {
    pub(super) fn new() -> Self {
        let clock = VirtualClock::starting_at(DateTime::from_timestamp(1_700_000_000, 0).expect("valid"));
        let sim = Sim::new(Arc::new(clock));
        sim.set_page_size(1);
        let (vpc, main) = sim.add_vpc("10.0.0.0/16");
        let private = sim.add_route_table(&vpc, "private", &Tags::new(), Some("nat-1"));
        let public = sim.add_route_table(&vpc, "public", &Tags::new(), Some("igw-1"));
        let subnet = |cidr: &str, zone: &str, table: Option<&String>| {
            sim.add_subnet(&SubnetSeed {
                vpc: vpc.clone(),
                cidr: cidr.to_owned(),
                zone: zone.to_owned(),
                table: table.cloned(),
                ..SubnetSeed::default()
            })
        };
        let a = subnet("10.0.1.0/24", "us-east-1a", Some(&private));
        let b = subnet("10.0.2.0/24", "us-east-1b", Some(&private));
        let loose = subnet("10.0.3.0/24", "us-east-1c", None);
        let cloud = sim.cloud();
        let (to, step) = (cloud.mutate.clone(), StepId::new("step-1"));
        let gate = Forward { to, step, clock, sent: Mutex::default() };
        Self {
            run: RunId::new(DateTime::UNIX_EPOCH, "test", 1),
            step: StepId::new("step-1"),
            give_up: Dur::hours(1),
            dry_run: None,
            irreversible: false,
            no_impact: false,
            t0: None,
            forbid_tags: None,
            sim,
            clock,
            cloud,
            gate,
            vpc,
            main,
            private,
            public,
            a,
            b,
            loose,
        }
    }

    /// From now on changes fail as `decide` says.
    pub(super) fn faulty(
        &mut self,
        decide: impl Fn(usize, &Mutation) -> Option<Fault> + Send + Sync + 'static,
    ) {
        self.gate.to = Arc::new(Faulty::new(self.cloud.mutate.clone(), decide));
    }

    /// The next change of this operation fails in this way, once; later ones pass.
    pub(super) fn fail_once(&mut self, operation: &'static str, fault: Fault) {
        let done = std::sync::atomic::AtomicBool::new(false);
        self.faulty(move |_, m| {
            let hit = m.operation() == operation && !done.swap(true, std::sync::atomic::Ordering::SeqCst);
            hit.then_some(fault)
        });
    }

    /// From now on reads miss what is there as `decide` says; nothing else is misread.
    pub(super) fn misread(
        &mut self,
        decide: impl Fn(usize, &str) -> Option<Misread> + Send + Sync + 'static,
    ) {
        self.cloud.reads = Reader::new(decide).over(self.sim.cloud()).reads;
    }

    /// Changes pass again.
    pub(super) fn mended(&mut self) {
        self.gate.to = self.cloud.mutate.clone();
    }

    pub(super) fn step(&mut self, id: &str) {
        self.step = StepId::new(id);
        self.gate.step = StepId::new(id);
    }

    pub(super) fn instance(&self, subnet: &str) -> String {
        self.sim.add_instance(&InstanceSeed { subnet: subnet.to_owned(), ..InstanceSeed::default() })
    }

    pub(super) fn read(&self) -> ReadCx<'_> {
        ReadCx {
            reads: &self.cloud.reads,
            clock: &self.clock,
            region: &self.cloud.region,
            account: crate::sim::ACCOUNT,
            run: &self.run,
            step: &self.step,
            after: After::None,
            t0: self.t0,
            settle: Dur::secs(10),
            give_up: self.give_up,
            calls: &self.gate,
            forbid_tags: [self.forbid_tags.as_ref(), None],
            planning: true,
            irreversible: self.irreversible,
            no_impact: self.no_impact,
            dry_run: self.dry_run.as_deref(),
        }
    }

    pub(super) fn write(&self) -> WriteCx<'_> {
        WriteCx { read: self.read(), gate: &self.gate, programs: &NoPrograms }
    }

    /// Sends a change as somebody else would.
    pub(super) async fn somebody(&self, mutation: Mutation) {
        self.cloud.mutate.send(&mutation).await.expect("somebody else's change is accepted");
    }

    pub(super) async fn refusals(
        &self,
        action: &dyn DynAction,
        targets: &[Target],
        params: &Value,
    ) -> Vec<String> {
        let findings = self.inspect(action, targets, params).await;
        findings.into_iter().filter(|f| f.severity == Severity::Refusal).map(|f| f.text).collect()
    }

    pub(super) async fn inspect(
        &self,
        action: &dyn DynAction,
        targets: &[Target],
        params: &Value,
    ) -> Vec<Finding> {
        action.inspect(self.read(), targets, params).await.expect("inspects")
    }

    /// Captures and prepares; everything must succeed.
    pub(super) async fn prepare(
        &self,
        action: &dyn DynAction,
        targets: &[Target],
        params: &Value,
    ) -> Vec<Prepared<Value>> {
        let batch: Vec<_> = targets.iter().map(|t| (Some(t.clone()), Value::Null)).collect();
        let records = action.prepare(self.read(), &batch, params).await;
        records
            .into_iter()
            .zip(targets)
            .map(|(undo, t)| {
                let undo = undo.expect("prepares");
                holds_of_its_target_alone(action, self.read(), &undo, t, params);
                Prepared { target: Some(t.clone()), undo }
            })
            .collect()
    }

    pub(super) async fn apply(
        &self,
        action: &dyn DynAction,
        batch: &[Prepared<Value>],
        params: &Value,
    ) -> Vec<Result<Applied, ActionError>> {
        action.apply(self.write(), batch, params).await
    }

    /// Polls as long as it is pending.
    pub(super) async fn outcome(
        &self,
        action: &dyn DynAction,
        p: &Prepared<Value>,
        params: &Value,
    ) -> Result<Progress, ActionError> {
        for _ in 0..1000 {
            match action.poll(self.read(), p.target.as_ref(), &p.undo, params).await? {
                Progress::Pending(_) => tokio::time::sleep(Duration::from_secs(5)).await,
                done => return Ok(done),
            }
        }
        panic!("pending for ever");
    }

    /// Polls until it is ready.
    pub(super) async fn ready(&self, action: &dyn DynAction, p: &Prepared<Value>, params: &Value) -> Applied {
        match self.outcome(action, p, params).await {
            Ok(Progress::Ready(applied)) => applied,
            other => panic!("not ready: {other:?}"),
        }
    }

    pub(super) async fn undo(
        &self,
        action: &dyn DynAction,
        p: &Prepared<Value>,
    ) -> Result<Undone, ActionError> {
        action.undo(self.write(), p.target.as_ref(), &p.undo).await
    }

    /// How often this operation was asked for.
    pub(super) fn sent(&self, operation: &str) -> usize {
        self.sim.changes().iter().filter(|c| c.operation == operation).count()
    }
}

pub(super) fn target(kind: ResourceKind, id: &str) -> Target {
    Target { kind, id: id.to_owned(), arn: None, name: None, tags: Tags::new(), attrs: BTreeMap::new() }
}

pub(super) fn instance(id: &str) -> Target {
    target(kinds::EC2_INSTANCE, id)
}

pub(super) fn subnet(id: &str) -> Target {
    target(kinds::VPC_SUBNET, id)
}

/// Of every action: the record is about its target, and nobody else's; and where it says whose it is, of its run.
pub(super) fn holds_of_its_target_alone(
    action: &dyn DynAction,
    cx: ReadCx<'_>,
    undo: &Value,
    target: &Target,
    params: &Value,
) {
    // what these tests leave out of a target, a plan has read
    let mut target = target.clone();
    for (what, id) in
        action.names(undo).into_iter().filter(|(what, _)| *what != crate::catalog::kinds::what(target.kind))
    {
        let attr = match what {
            What::Vpc => "vpc",
            What::Subnet => "subnet",
            What::Image => "image",
            What::RouteTable => "route_table",
            _ => continue,
        };
        target.attrs.entry(attr.to_owned()).or_insert(id);
    }
    let (run, step, params) = (Some(cx.run), cx.step, Some(params));
    let of = Of { run, step, target: Some(&target), params, captured: None, refused_elsewhere: true };
    assert_eq!(action.is_about(undo, &of), Ok(()));
    let other = Target { id: "another".to_owned(), ..target.clone() };
    let another = action.is_about(undo, &Of { target: Some(&other), ..of });
    assert_eq!(another, Err(Stray::Target(target.id.clone())));
    let run = RunId::from_existing("20260101T000000Z-another-aaaaaa");
    let of_another_run = action.is_about(undo, &Of { run: Some(&run), ..of });
    let says = ["token", "marks", "tags", "run"].iter().any(|field| undo.get(field).is_some());
    assert!(of_another_run.is_err() || !says, "{undo} holds of another run, too");
}
