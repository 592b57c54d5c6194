//! Looks at target groups, asked for as one: who wants to know of the same group at the same moment shares an answer.
//!
//! Controllers of the account share the quota of DescribeTargetHealth, and a fleet behind one group would ask once a
//! target. Invariant: as in [`super::gathered`], nothing is kept for later, a later look is a new call, and whoever is
//! dropped meanwhile takes nobody along. Reads only.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tokio::sync::oneshot;

use crate::cloud::{ClassicLoadBalancer, CloudResult, Elb, Page, Registration, TargetGroup};

type Answer = oneshot::Sender<CloudResult<Vec<Registration>>>;
type Waiting = Mutex<BTreeMap<String, Vec<Answer>>>;

/// The reads of load balancing with looks at a group gathered.
pub(super) struct GatheredHealth {
    inner: Arc<dyn Elb>,
    waiting: Waiting,
}

impl GatheredHealth {
    /// Looks through `inner`, gathered.
    pub(super) fn new(inner: Arc<dyn Elb>) -> Self {
        Self { inner, waiting: Mutex::default() }
    }
}

/// The one who asks for all that wait. Dropped before it took them, it lets go of them, so that they ask anew.
struct Lead<'w>(&'w Waiting, &'w str);

impl Lead<'_> {
    fn take(&self) -> Vec<Answer> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(self.1).unwrap_or_default()
    }
}

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        drop(self.take());
    }
}

#[async_trait]
impl Elb for GatheredHealth {
    async fn target_groups(&self, page: Option<String>) -> CloudResult<Page<TargetGroup>> {
        self.inner.target_groups(page).await
    }

    async fn registrations(&self, group: &str) -> CloudResult<Vec<Registration>> {
        loop {
            let (answer, answered) = oneshot::channel();
            let first = {
                let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
                let all = waiting.entry(group.to_owned()).or_default();
                all.push(answer);
                all.len() == 1
            };
            if first {
                let lead = Lead(&self.waiting, group);
                // whoever is ready to ask comes first
                tokio::task::yield_now().await;
                let all = lead.take();
                drop(lead);
                let said = self.inner.registrations(group).await;
                all.into_iter().for_each(|one| _ = one.send(said.clone()));
            }
            // who led may have been dropped before it asked: then others lead
            if let Ok(answer) = answered.await {
                return answer;
            }
        }
    }

    async fn classic(&self, page: Option<String>) -> CloudResult<Page<ClassicLoadBalancer>> {
        self.inner.classic(page).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::Sim;
    use futures::future::join_all;

    #[tokio::test(start_paused = true)]
    async fn looks_of_one_moment_at_a_group_are_one_call_and_a_later_one_is_new() {
        let clock = Arc::new(crate::model::time::VirtualClock::starting_at(
            chrono::DateTime::from_timestamp(1_700_000_000, 0).expect("a time"),
        ));
        let sim = Sim::new(clock);
        let (web, api) = (sim.add_target_group("web"), sim.add_target_group("api"));
        sim.add_registration(&web, "i-1", 80);
        let reads = GatheredHealth::new(sim.cloud().reads.elb);
        let asked = || sim.calls().iter().filter(|c| c.operation.ends_with("DescribeTargetHealth")).count();
        let groups = [&web, &web, &api, &web];
        let said = join_all(groups.iter().map(|group| reads.registrations(group))).await;
        let said: Vec<usize> = said.into_iter().map(|s| s.expect("told").len()).collect();
        assert_eq!((said, asked()), (vec![1, 1, 0, 1], 2));
        sim.add_registration(&web, "i-2", 80);
        assert_eq!(reads.registrations(&web).await.expect("told").len(), 2, "nothing is kept");
        // who leads is dropped before it asked
        let mut one = Box::pin(reads.registrations(&web));
        let two = reads.registrations(&web);
        assert!(futures::poll!(&mut one).is_pending());
        let mut two = Box::pin(two);
        assert!(futures::poll!(&mut two).is_pending());
        drop(one);
        let said = tokio::time::timeout(std::time::Duration::from_secs(5), two).await;
        assert_eq!(said.expect("answered").expect("told").len(), 2);
    }
}
