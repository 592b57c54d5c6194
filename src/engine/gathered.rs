//! Looks at single instances, asked for as one: what many targets of a step want to know at the same moment is one
//! call of DescribeInstances.
//!
//! Actions look at one target at a time, which is simple to read and to prove. Their looks go out together here: who
//! asks first waits until everybody else who is ready has asked too, and asks for all of them. So a poll of a thousand
//! instances costs what a poll of one costs. Invariant: whoever asks is answered about its own ids only, and as if it
//! had asked alone, also where another's id does not exist; nothing is kept for later, a later look is a new call.
//! Whoever is dropped meanwhile takes nobody along. Reads only.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tokio::sync::oneshot;

use crate::cloud::*;

/// Ids in one call of DescribeInstances.
const TOGETHER: usize = 1000;

/// Somebody who wants to know about these ids.
struct Waiting {
    ids: Vec<String>,
    answer: oneshot::Sender<CloudResult<Vec<Instance>>>,
}

/// The reads of EC2 with looks at instances gathered.
pub(super) struct Gathered {
    inner: Arc<dyn Ec2>,
    waiting: Mutex<Vec<Waiting>>,
}

impl Gathered {
    /// Looks at instances through `inner`, gathered.
    pub(super) fn new(inner: Arc<dyn Ec2>) -> Self {
        Self { inner, waiting: Mutex::default() }
    }

    /// Asks with everybody who asks now.
    async fn together(&self, ids: &[String]) -> CloudResult<Vec<Instance>> {
        loop {
            let (answer, answered) = oneshot::channel();
            let first = {
                let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
                waiting.push(Waiting { ids: ids.to_vec(), answer });
                waiting.len() == 1
            };
            if first {
                let lead = Lead(&self.waiting);
                // whoever is ready to ask comes first
                tokio::task::yield_now().await;
                let all = lead.take();
                drop(lead);
                self.ask(all).await;
            }
            // who led may have been dropped before it asked: then others lead
            if let Ok(answer) = answered.await {
                return answer;
            }
        }
    }

    async fn ask(&self, all: Vec<Waiting>) {
        let mut work = parts(all);
        while let Some(some) = work.pop() {
            match self.look(&some).await {
                Ok(found) => {
                    for one in some {
                        let own = one.ids.iter().filter_map(|id| found.get(id).cloned()).collect();
                        _ = one.answer.send(Ok(own)); // it may not wait any more
                    }
                }
                // DescribeInstances fails as a whole where one id is not known: who named it is told so, the others
                // are asked for again
                Err(e) if e.is_not_found() && some.len() > 1 => work.extend(divide(some, &e.message)),
                Err(e) => some.into_iter().for_each(|one| _ = one.answer.send(Err(e.clone()))),
            }
        }
    }

    async fn look(&self, some: &[Waiting]) -> CloudResult<BTreeMap<String, Instance>> {
        let ids: BTreeSet<&String> = some.iter().flat_map(|one| &one.ids).collect();
        let filter = Filter { ids: ids.into_iter().cloned().collect(), ..Filter::default() };
        let found = all_pages(|page| self.inner.instances(&filter, page)).await?;
        Ok(found.into_iter().map(|i| (i.id.clone(), i)).collect())
    }
}

/// The one who asks for all that wait. Dropped before it took them, it lets go of them, so that they ask anew.
struct Lead<'w>(&'w Mutex<Vec<Waiting>>);

impl Lead<'_> {
    fn take(&self) -> Vec<Waiting> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        drop(self.take());
    }
}

/// As many together as one call takes.
fn parts(all: Vec<Waiting>) -> Vec<Vec<Waiting>> {
    let mut parts: Vec<Vec<Waiting>> = Vec::new();
    let mut room = 0;
    for one in all {
        match parts.last_mut() {
            Some(part) if one.ids.len() <= room => {
                room -= one.ids.len();
                part.push(one);
            }
            _ => {
                room = TOGETHER.saturating_sub(one.ids.len());
                parts.push(vec![one]);
            }
        }
    }
    parts
}

/// Strictly smaller parts: those whose ids the message names stand alone, else halves.
fn divide(mut some: Vec<Waiting>, message: &str) -> Vec<Vec<Waiting>> {
    let (named, others): (Vec<Waiting>, Vec<Waiting>) =
        some.drain(..).partition(|one| one.ids.iter().any(|id| message.contains(id.as_str())));
    if named.is_empty() || others.is_empty() {
        let mut one: Vec<Waiting> = named.into_iter().chain(others).collect();
        let other = one.split_off(one.len() / 2);
        return vec![one, other];
    }
    std::iter::once(others).chain(named.into_iter().map(|one| vec![one])).collect()
}

#[async_trait]
impl Ec2 for Gathered {
    async fn instances(&self, filter: &Filter, page: Option<String>) -> CloudResult<Page<Instance>> {
        let alone = filter.ids.is_empty() || !filter.tags.is_empty() || page.is_some();
        if alone || filter.ids.len() >= TOGETHER {
            return self.inner.instances(filter, page).await;
        }
        Ok(Page { items: self.together(&filter.ids).await?, next: None })
    }
    async fn attribute(&self, id: &str, which: InstanceAttribute) -> CloudResult<Option<String>> {
        self.inner.attribute(id, which).await
    }
    async fn volumes(&self, ids: &[String], page: Option<String>) -> CloudResult<Page<Volume>> {
        self.inner.volumes(ids, page).await
    }
    async fn addresses(&self, instances: &[String]) -> CloudResult<Vec<Address>> {
        self.inner.addresses(instances).await
    }
    async fn subnets(&self, filter: &Filter, page: Option<String>) -> CloudResult<Page<Subnet>> {
        self.inner.subnets(filter, page).await
    }
    async fn nat_gateways(&self, subnets: &[String], page: Option<String>) -> CloudResult<Page<NatGateway>> {
        self.inner.nat_gateways(subnets, page).await
    }
    async fn interfaces(&self, of: &InterfacesOf, page: Option<String>) -> CloudResult<Page<Interface>> {
        self.inner.interfaces(of, page).await
    }
    async fn route_tables(&self, filter: &Filter, page: Option<String>) -> CloudResult<Page<RouteTable>> {
        self.inner.route_tables(filter, page).await
    }
    async fn spot_request_type(&self, request: &str) -> CloudResult<Option<String>> {
        self.inner.spot_request_type(request).await
    }
    async fn fleets(&self, ids: &[String]) -> CloudResult<BTreeMap<String, String>> {
        self.inner.fleets(ids).await
    }
    async fn images(&self, ids: &[String]) -> CloudResult<Vec<Image>> {
        self.inner.images(ids).await
    }
    async fn key_pairs(&self, names: &[String]) -> CloudResult<Vec<String>> {
        self.inner.key_pairs(names).await
    }
    async fn offerings(&self, types: &[String], page: Option<String>) -> CloudResult<Page<Offering>> {
        self.inner.offerings(types, page).await
    }
    async fn instance_types(&self, names: &[String]) -> CloudResult<Vec<InstanceType>> {
        self.inner.instance_types(names).await
    }
    async fn credits(&self, ids: &[String]) -> CloudResult<BTreeMap<String, String>> {
        self.inner.credits(ids).await
    }
    async fn status_checks(&self, ids: &[String]) -> CloudResult<Vec<StatusChecks>> {
        self.inner.status_checks(ids).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::{InstanceSeed, Sim};
    use futures::future::join_all;

    /// Counts the calls, and answers them after a while.
    struct Counted {
        inner: Arc<dyn Ec2>,
        asked: Mutex<Vec<usize>>,
    }

    #[async_trait]
    impl Ec2 for Counted {
        async fn instances(&self, filter: &Filter, page: Option<String>) -> CloudResult<Page<Instance>> {
            // the pages of one answer count once
            if page.is_none() {
                self.asked.lock().expect("counted").push(filter.ids.len());
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            self.inner.instances(filter, page).await
        }
        async fn attribute(&self, _: &str, _: InstanceAttribute) -> CloudResult<Option<String>> {
            unreachable!()
        }
        async fn volumes(&self, _: &[String], _: Option<String>) -> CloudResult<Page<Volume>> {
            unreachable!()
        }
        async fn addresses(&self, _: &[String]) -> CloudResult<Vec<Address>> {
            unreachable!()
        }
        async fn subnets(&self, _: &Filter, _: Option<String>) -> CloudResult<Page<Subnet>> {
            unreachable!()
        }
        async fn nat_gateways(&self, _: &[String], _: Option<String>) -> CloudResult<Page<NatGateway>> {
            unreachable!()
        }
        async fn interfaces(&self, _: &InterfacesOf, _: Option<String>) -> CloudResult<Page<Interface>> {
            unreachable!()
        }
        async fn route_tables(&self, _: &Filter, _: Option<String>) -> CloudResult<Page<RouteTable>> {
            unreachable!()
        }
        async fn spot_request_type(&self, _: &str) -> CloudResult<Option<String>> {
            unreachable!()
        }
        async fn fleets(&self, _: &[String]) -> CloudResult<BTreeMap<String, String>> {
            unreachable!()
        }
        async fn images(&self, _: &[String]) -> CloudResult<Vec<Image>> {
            unreachable!()
        }
        async fn key_pairs(&self, _: &[String]) -> CloudResult<Vec<String>> {
            unreachable!()
        }
        async fn offerings(&self, _: &[String], _: Option<String>) -> CloudResult<Page<Offering>> {
            unreachable!()
        }
        async fn instance_types(&self, _: &[String]) -> CloudResult<Vec<InstanceType>> {
            unreachable!()
        }
        async fn credits(&self, _: &[String]) -> CloudResult<BTreeMap<String, String>> {
            unreachable!()
        }
        async fn status_checks(&self, _: &[String]) -> CloudResult<Vec<StatusChecks>> {
            unreachable!()
        }
    }

    fn fleet(n: usize) -> (Arc<Counted>, Gathered, Vec<String>) {
        let clock = Arc::new(crate::model::time::VirtualClock::starting_at(
            chrono::DateTime::from_timestamp(1_700_000_000, 0).expect("a time"),
        ));
        let sim = Sim::from_estate(include_str!("../../localstack/estate.json"), clock).expect("an estate");
        let subnets = sim.snapshot()["subnets"].clone();
        let subnet = subnets.as_object().expect("subnets").keys().next().expect("one").clone();
        let ids = (0..n)
            .map(|_| sim.add_instance(&InstanceSeed { subnet: subnet.clone(), ..InstanceSeed::default() }))
            .collect();
        let counted = Arc::new(Counted { inner: sim.cloud().reads.ec2, asked: Mutex::default() });
        (Arc::clone(&counted), Gathered::new(counted), ids)
    }

    fn asked(counted: &Counted) -> Vec<usize> {
        std::mem::take(&mut *counted.asked.lock().expect("counted"))
    }

    fn look<'g>(
        reads: &'g Gathered,
        ids: &[&String],
    ) -> impl Future<Output = CloudResult<Vec<String>>> + use<'g> {
        let filter = Filter { ids: ids.iter().map(|id| (*id).clone()).collect(), ..Filter::default() };
        async move {
            let found = reads.instances(&filter, None).await?;
            Ok(found.items.into_iter().map(|i| i.id).collect())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn looks_of_one_moment_are_one_call_and_each_is_answered_its_own() {
        let (counted, reads, ids) = fleet(1500);
        let answers = join_all(ids.iter().map(|id| look(&reads, &[id]))).await;
        for (id, answer) in ids.iter().zip(answers) {
            assert_eq!(answer.expect("found"), std::slice::from_ref(id));
        }
        assert_eq!(asked(&counted), [500, 1000], "as many as a call takes");
        // the same one, wanted twice
        let both = join_all([look(&reads, &[&ids[0], &ids[1]]), look(&reads, &[&ids[1]])]).await;
        assert_eq!(both.into_iter().map(|a| a.expect("found").len()).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(asked(&counted), [2]);
        // a later look is a new one
        look(&reads, &[&ids[0]]).await.expect("found");
        look(&reads, &[&ids[0]]).await.expect("found");
        assert_eq!(asked(&counted), [1, 1]);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_names_what_is_not_there_is_told_so_and_nobody_else() {
        let (counted, reads, mut ids) = fleet(100);
        let gone = ["i-0aaaaaaaaaaaaaaaa".to_owned(), "i-0bbbbbbbbbbbbbbbb".to_owned()];
        ids.extend(gone.clone());
        let answers = join_all(ids.iter().map(|id| look(&reads, &[id]))).await;
        for (id, answer) in ids.iter().zip(answers) {
            assert_eq!(answer.is_err_and(|e| e.is_not_found()), gone.contains(id), "{id}");
        }
        assert!(asked(&counted).len() <= 6, "not one by one");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_is_dropped_takes_nobody_along() {
        let (counted, reads, ids) = fleet(3);
        // the first leads, and is dropped before it asks; then while it waits for the answer
        for while_asking in [false, true] {
            let mut one = Box::pin(look(&reads, &[&ids[0]]));
            let mut two = Box::pin(look(&reads, &[&ids[1]]));
            assert!(futures::poll!(&mut one).is_pending() && futures::poll!(&mut two).is_pending());
            if while_asking {
                assert!(futures::poll!(&mut one).is_pending());
            }
            drop(one);
            let answer = tokio::time::timeout(std::time::Duration::from_secs(5), two).await;
            assert_eq!(answer.expect("answered").expect("found"), [ids[1].clone()]);
            assert_eq!(asked(&counted), if while_asking { vec![2, 1] } else { vec![1] });
        }
    }
}
