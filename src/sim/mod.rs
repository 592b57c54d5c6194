//! An AWS account in memory: what `rehearse` runs on, and what every action is tested against.
//!
//! It implements the traits of [`crate::cloud`] over one state behind one lock, with the durations
//! that AWS really takes ([`Pace`]) and the traps that AWS really sets: instances forget their
//! subnet, a failed batch was half done, association ids change, restores start `creating`.
//! Time is the [`Clock`] that it is given; the account moves only when somebody looks. Calls to one
//! account are answered in the order they arrive, ids come from counters: the same calls at the
//! same times give the same account. No socket is opened and no program is started, ever.
//!
//! It leaves to others: judging what it shows (`catalog`), failing on purpose ([`crate::cloud::faulty`]).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::cloud::safe::InMemory;
use crate::cloud::{Cloud, CloudError, CloudResult, ErrorKind, Mutation, Reads, Reply};
use crate::model::{Clock, Dur, World as WorldKind};

mod build;
mod cloudfront;
mod ec2;
mod estate;
mod from_plan;
mod health;
mod interfaces;
mod launch;
mod mutate;
mod net;
mod pace;
mod rds;
mod reads;
mod refusal;
mod s3;
mod scaling;
mod snapshot;
mod vpc;
mod whole;
mod world;

pub use build::{InstanceSeed, SubnetSeed};
pub use estate::EstateError;
pub use pace::Pace;
pub use world::Call;

use refusal::Answer;
use world::World;

/// The account a simulated world starts with.
pub const ACCOUNT: &str = "123456789012";
/// Its region.
pub const REGION: &str = "us-east-1";

/// A simulated account. Share the `Arc`: every clone sees the same account.
pub struct Sim {
    clock: Arc<dyn Clock>,
    world: Mutex<World>,
    net: Mutex<net::NetState>,
    safe: Arc<InMemory>,
}

impl Sim {
    /// An empty account ([`ACCOUNT`], [`REGION`]) with AWS's durations and no latency.
    pub fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        Self::of(World::new(ACCOUNT, REGION, clock.now()), clock)
    }

    fn of(world: World, clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self { clock, world: Mutex::new(world), net: Mutex::default(), safe: Arc::default() })
    }

    /// What was kept for a later process is lost.
    #[cfg(test)]
    pub fn forget_kept(&self) {
        self.safe.forget();
    }

    /// The account behind redrill's traits.
    pub fn cloud(self: &Arc<Self>) -> Cloud {
        Cloud {
            reads: Reads {
                sts: self.clone(),
                iam: self.clone(),
                ec2: self.clone(),
                autoscaling: self.clone(),
                elb: self.clone(),
                rds: self.clone(),
                s3: self.clone(),
                cloudfront: self.clone(),
                cloudwatch: self.clone(),
                secrets: self.clone(),
                ssm: self.clone(),
                trail: self.clone(),
                whole: self.clone(),
                net: self.clone(),
                safe: self.safe.clone(),
            },
            mutate: self.clone(),
            // a rehearsal changes nothing anyway
            dry_run: None,
            local: self.clone(),
            world: WorldKind::Sim,
            endpoint: None,
            region: self.lock().region.clone(),
            endpoints: std::collections::BTreeMap::new(),
            held: crate::cloud::Held::default(),
        }
    }

    /// The account, with everything done that is due by now.
    fn lock(&self) -> MutexGuard<'_, World> {
        let mut world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        world.settle(self.clock.now());
        world
    }

    fn net_state(&self) -> MutexGuard<'_, net::NetState> {
        self.net.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every call so far, oldest first; what the network and local programs were asked is not among them.
    pub fn calls(&self) -> Vec<Call> {
        self.lock().calls.clone()
    }

    /// The changes that were asked for so far, refused ones included.
    pub fn changes(&self) -> Vec<Call> {
        self.lock().calls.iter().filter(|c| c.change.is_some()).cloned().collect()
    }

    async fn read<T>(&self, operation: &str, look: impl FnOnce(&mut World) -> Answer<T>) -> CloudResult<T> {
        let latency = self.lock().pace.read_latency;
        wait(latency.0).await;
        self.call(operation, None, look).map(|(_, answer)| answer)
    }

    async fn change(&self, mutation: &Mutation) -> CloudResult<Reply> {
        let half = self.lock().pace.change_latency.0 / 2;
        wait(half).await;
        let answer = self.call(mutation.operation(), Some(mutation.redacted()), |w| w.mutate(mutation));
        wait(half).await;
        answer.map(|(request_id, outcome)| Reply { request_id: Some(request_id), outcome })
    }

    /// One call: numbered, logged, and refused where a test said so.
    fn call<T>(
        &self,
        operation: &str,
        change: Option<serde_json::Value>,
        act: impl FnOnce(&mut World) -> Answer<T>,
    ) -> CloudResult<(String, T)> {
        let mut w = self.lock();
        if w.link_down {
            return Err(CloudError::new(operation, ErrorKind::Unreachable, "the link is down (simulated)"));
        }
        let request_id = format!("sim-{:06}", w.count("request"));
        let answer = match w.ordered_failure(operation) {
            Some(refusal) => Err(refusal),
            None => act(&mut w),
        };
        let refused = answer.as_ref().err().map(|r| r.code.to_string());
        let at = w.now;
        w.calls.push(Call {
            at,
            operation: operation.to_owned(),
            request_id: request_id.clone(),
            change,
            refused,
        });
        // a change without duration is over before anybody can look again
        w.settle(at);
        match answer {
            Ok(answer) => Ok((request_id, answer)),
            Err(refusal) => Err(refusal.into_error(operation, &request_id)),
        }
    }
}

async fn wait(time: Duration) {
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
}

impl Sim {
    /// Sets how long things take; what is under way keeps its time.
    pub fn set_pace(&self, pace: Pace) {
        self.lock().pace = pace;
    }

    /// Changes single durations.
    pub fn tune(&self, change: impl FnOnce(&mut Pace)) {
        change(&mut self.lock().pace);
    }

    /// Sets how many items a page of a listing holds (50 at first).
    pub fn set_page_size(&self, items: usize) {
        self.lock().page_size = items;
    }

    /// How long a restore takes until `available`.
    pub fn restore_time(&self) -> Dur {
        let w = self.lock();
        Dur(w.pace.db_create.0 + w.pace.db_backup.0)
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod traps;
