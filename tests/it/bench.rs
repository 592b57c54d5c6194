//! What the engine's tests share: a drill on the simulator, on virtual time, with a journal in memory.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use redrill::cloud::{Cloud, Mutate};
use redrill::drill::{self, LoadOptions, Loaded};
use redrill::engine::{self, Control, Ended, EngineError, Operator, People, Setup};
use redrill::journal::event::Chained;
use redrill::journal::writer::{Journal, JournalError, MemoryJournal};
use redrill::journal::{Event, Line, Mode};
use redrill::model::time::VirtualClock;
use redrill::model::{Clock, RunId, Stamp, World};
use redrill::plan::{self, BuildOptions, House, Plan};
use redrill::sandbox::ESTATE_JSON;
use redrill::sim::Sim;
use tokio::sync::mpsc;

/// A journal that several processes, one after the other, write to.
#[derive(Clone)]
pub struct SharedJournal(pub Arc<MemoryJournal>);

#[async_trait]
impl Journal for SharedJournal {
    async fn append(&self, stamp: Stamp, events: &[Event], durable: bool) -> Result<Vec<Line>, JournalError> {
        self.0.append(stamp, events, durable).await
    }
}

/// The sample shop with a plan for one drill.
pub struct Bench {
    pub clock: Arc<dyn Clock>,
    pub sim: Arc<Sim>,
    pub plan: Arc<Plan>,
    pub secrets: BTreeMap<String, String>,
    pub run: RunId,
}

/// Loads a drill from text.
///
/// # Panics
/// With the problems, if there are any.
pub fn load(text: &str) -> Loaded {
    drill::load("drill.yaml", text, &LoadOptions::default()).unwrap_or_else(|p| panic!("{p}"))
}

fn start() -> DateTime<Utc> {
    DateTime::from_timestamp(1_790_000_000, 0).expect("a valid time")
}

impl Bench {
    /// Plans a drill on a fresh sample shop. Must be called on a paused runtime.
    pub async fn new(text: &str) -> Self {
        Self::with(text, |_| {}).await
    }

    /// The same, with the shop changed first.
    pub async fn with(text: &str, change: impl FnOnce(&Arc<Sim>)) -> Self {
        Self::planned(&load(text), change).await
    }

    /// The same for a drill that is loaded already.
    pub async fn planned(loaded: &Loaded, change: impl FnOnce(&Arc<Sim>)) -> Self {
        Self::since(start(), loaded, change).await
    }

    /// The same with a clock that starts then.
    pub async fn since(start: DateTime<Utc>, loaded: &Loaded, change: impl FnOnce(&Arc<Sim>)) -> Self {
        Self::made(start, loaded, House::default(), change).await
    }

    /// A drill under the rules of a house, as TOML.
    pub async fn under(house: &str, text: &str) -> Self {
        let house = toml::from_str(house).expect("the rules are valid");
        Self::made(start(), &load(text), house, |_| {}).await
    }

    async fn made(
        start: DateTime<Utc>,
        loaded: &Loaded,
        house: House,
        change: impl FnOnce(&Arc<Sim>),
    ) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(VirtualClock::starting_at(start));
        let sim = Sim::from_estate(ESTATE_JSON, Arc::clone(&clock)).expect("the estate is valid");
        change(&sim);
        let cloud = sim.cloud();
        let mut options = BuildOptions::new(World::Sim, cloud.region.clone());
        options.seed = Some(7);
        options.house = house;
        let plan = plan::build(loaded, &cloud.reads, clock.as_ref(), &options).await.expect("plans");
        let run = RunId::new(clock.now(), &plan.drill.name, 0);
        Self { clock, sim, plan: Arc::new(plan), secrets: loaded.secrets.clone(), run }
    }

    /// The same plan on a fresh shop.
    pub fn again(&self) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(VirtualClock::starting_at(start()));
        let sim = Sim::from_estate(ESTATE_JSON, Arc::clone(&clock)).expect("the estate is valid");
        let (plan, secrets, run) = (Arc::clone(&self.plan), self.secrets.clone(), self.run.clone());
        Self { clock, sim, plan, secrets, run }
    }

    /// The world with every change passing through `wrap`.
    pub fn cloud(&self, wrap: impl FnOnce(Arc<dyn Mutate>) -> Arc<dyn Mutate>) -> Cloud {
        let mut cloud = self.sim.cloud();
        cloud.mutate = wrap(cloud.mutate);
        cloud
    }

    /// What the engine is given.
    pub fn setup(&self, mode: Mode, journal: Arc<MemoryJournal>, lines: Vec<Line>, cloud: Cloud) -> Setup {
        Setup {
            plan: Arc::clone(&self.plan),
            plan_sha256: self.plan.sha256(),
            run: self.run.clone(),
            cloud,
            clock: Arc::clone(&self.clock),
            journal: Box::new(SharedJournal(journal)),
            lines,
            mode,
            finish: format!("redrill rollback {}{}", self.run, self.plan.set_again()),
            chain: Some(Chained { number: 1, list: "0".repeat(64), before: None }),
            approvals: vec![],
            secrets: self.secrets.clone(),
            kill_switch: redrill::plan::house::KillSwitch::default(),
            people: People::Simulate(Duration::from_secs(60)),
            programs_ended: false,
            accepted: vec![],
            operator: Operator { pid: 1, host: "test".into(), user: "test".into() },
            inbox: None,
            watcher: None,
        }
    }

    /// Runs to the end; returns how it ended and the journal.
    pub async fn go(&self) -> (Result<Ended, EngineError>, Arc<MemoryJournal>) {
        let journal = Arc::new(MemoryJournal::new());
        let setup = self.setup(Mode::Run, Arc::clone(&journal), vec![], self.cloud(|mutate| mutate));
        let (_keep, control) = mpsc::channel::<Control>(8);
        (engine::run(setup, control).await, journal)
    }
}

/// Every line as text, for messages of failing tests.
pub fn dump(journal: &MemoryJournal) -> String {
    String::from_utf8_lossy(&journal.bytes()).into_owned()
}

/// Tells `tests/run` what was counted: past the test runner, which keeps what tests print to itself.
pub fn count(what: &str) {
    use std::io::Write as _;
    writeln!(std::io::stderr(), "COUNT: {what}").expect("said");
}
