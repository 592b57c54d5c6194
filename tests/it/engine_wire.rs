//! Faults on the wire, on the simulator and in virtual time: what would take minutes against a real service,
//! and what no emulator counts, such as AWS's own limits.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use redrill::cloud::faulty::{Fault, Faulty};
use redrill::cloud::*;
use redrill::engine::People;
use redrill::journal::writer::MemoryJournal;
use redrill::journal::{Event, Mode};
use redrill::model::{Clock, Health, Stage};

use crate::bench::{Bench, dump};
use crate::play::{Play, accepted, again, drill, target};
use crate::world::differences;

const CUT: &str = "objectives: { rto: 10m }
targets: { it: { resource: vpc.subnet, tags: { service: shop, tier: private } } }
fault: [{ action: vpc.detach-route-table, target: it }]
recovery: [{ action: vpc.attach-route-table, target: it }]";
const LOSS: &str = "objectives: { rto: 10m }
allow_irreversible: true
targets: { it: { resource: ec2.instance, tags: { role: web }, select: { count: 1 } } }
fault: [{ action: ec2.terminate-instances, target: it }]
recovery: [{ action: ec2.launch-replacement, target: it }]";
const OBJECTS: &str = "objectives: { rto: 10m }
targets: { it: { resource: s3.bucket, tags: { role: assets } } }
fault: [{ action: s3.delete-objects, target: it, with: { prefix: catalogue/ } }]
recovery: [{ action: s3.restore-objects, target: it, with: { prefix: catalogue/ } }]";

/// Events with what was refused, as (operation, attempt, code).
fn refusals(journal: &MemoryJournal) -> Vec<(String, u32, String)> {
    let mut sent = std::collections::BTreeMap::new();
    let mut found = Vec::new();
    for line in journal.lines() {
        match line.event {
            Event::CallSent { call, operation, attempt, .. } => _ = sent.insert(call, (operation, attempt)),
            Event::CallAnswered { call, error: Some(e), .. } => {
                let (operation, attempt) = sent[&call].clone();
                found.push((operation, attempt, e.code.unwrap_or(e.kind)));
            }
            _ => {}
        }
    }
    found
}

/// Fails changes of this name while the switch is on.
fn failing(bench: &Bench, operation: &'static str, fault: Fault) -> (Cloud, Arc<AtomicBool>) {
    let on = Arc::new(AtomicBool::new(true));
    let switch = Arc::clone(&on);
    let decide =
        move |_, m: &Mutation| (m.operation() == operation && switch.load(Ordering::SeqCst)).then_some(fault);
    (bench.cloud(|inner| Arc::new(Faulty::new(inner, decide))), on)
}

#[tokio::test(start_paused = true)]
async fn throttling_that_never_ends_fails_the_fault_with_every_attempt_on_record() {
    let bench = Bench::new(&drill("/health", LOSS)).await;
    let before = bench.sim.snapshot();
    let (cloud, _) = failing(&bench, "ec2:TerminateInstances", Fault::Throttle);
    let (_, journal) = Play::of(&bench, cloud, People::Ask).ends_with(14).await;
    let want: Vec<_> = (1..=8)
        .map(|n| ("ec2:TerminateInstances".to_owned(), n, "RequestLimitExceeded".to_owned()))
        .collect();
    assert_eq!(refusals(&journal), want, "{}", dump(&journal));
    assert_eq!(before, bench.sim.snapshot());
    assert_eq!(accepted(&bench, "ec2:TerminateInstances"), 0);
}

#[tokio::test(start_paused = true)]
async fn throttling_that_outlasts_an_undo_is_stuck_and_finished_by_a_rollback() {
    let bench = Bench::new(&drill("/health", CUT)).await;
    let before = bench.sim.snapshot();
    let (cloud, on) = failing(&bench, "ec2:ReplaceRouteTableAssociation", Fault::Throttle);
    on.store(false, Ordering::SeqCst);
    let mut play = Play::of(&bench, cloud, People::Ask);
    play.stage(Stage::Impact).await;
    on.store(true, Ordering::SeqCst);
    play.signal().await;
    let (_, journal) = play.ends_with(20).await;
    assert!(
        refusals(&journal).iter().filter(|(_, attempt, _)| *attempt == 8).count() > 1,
        "undo is tried again"
    );
    assert_ne!(before, bench.sim.snapshot());
    let (ended, journal) = again(&bench, Mode::Rollback, &journal).await;
    assert_eq!(ended.exit_code, 0, "{:?}\n{}", ended.reasons, dump(&journal));
    assert_eq!(before, bench.sim.snapshot());
}

#[tokio::test(start_paused = true)]
async fn an_error_of_the_service_is_looked_into_and_no_fault_is_sent_twice() {
    for (text, operation) in [
        (LOSS, "ec2:TerminateInstances"),
        (CUT, "ec2:ReplaceRouteTableAssociation"),
        (OBJECTS, "s3:DeleteObjects"),
    ] {
        for fault in [Fault::ServerError, Fault::LoseRequest] {
            let bench = Bench::new(&drill("/health", text)).await;
            let before = bench.sim.snapshot();
            let (cloud, on) = failing(&bench, operation, fault);
            let mut play = Play::of(&bench, cloud, People::Ask);
            play.until(|e| matches!(e, Event::CallAnswered { error: Some(_), .. })).await;
            on.store(false, Ordering::SeqCst);
            let (ended, journal) = play.ends_with(14).await;
            let at = format!("{operation} {fault:?}: {:?}\n{}", ended.reasons, dump(&journal));
            assert_eq!(before, bench.sim.snapshot(), "{at}");
            // a subnet is looked at before its association is replaced again; nothing else is sent again
            assert!(refusals(&journal).len() == 1 || text == CUT, "{at}");
            assert_eq!(accepted(&bench, operation), 0, "{at}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_bucket_that_somebody_else_is_changing_is_held_a_moment_later() {
    for (busy, exit) in [(4, 0), (5, 3)] {
        let bench = Bench::new(&drill("/health", OBJECTS)).await;
        let before = bench.sim.snapshot();
        bench.sim.fail_next("s3:PutBucketTagging", "OperationAborted", busy);
        let (_, journal) = Play::start(&bench).ends_with(exit).await;
        assert_eq!(refusals(&journal).len(), busy, "{}", dump(&journal));
        assert_eq!(before, bench.sim.snapshot());
    }
}

#[tokio::test(start_paused = true)]
async fn a_part_of_the_objects_that_fails_fails_the_fault_and_all_come_back() {
    let bench = Bench::new(&drill("/health", OBJECTS)).await;
    let before = bench.sim.snapshot();
    let (cloud, on) = failing(&bench, "s3:DeleteObjects", Fault::Partial);
    let mut play = Play::of(&bench, cloud, People::Ask);
    play.stage(Stage::Undo).await;
    on.store(false, Ordering::SeqCst);
    let (ended, journal) = play.ends_with(14).await;
    assert!(
        ended.reasons.iter().any(|r| r.contains("step `s3.delete-objects` failed")),
        "{:?}",
        ended.reasons
    );
    let dumped = dump(&journal);
    assert!(dumped.contains("InternalError"), "the object's own error is on record: {dumped}");
    assert_eq!(before, bench.sim.snapshot(), "{dumped}");
}

#[tokio::test(start_paused = true)]
async fn a_part_of_the_markers_that_cannot_be_removed_is_tried_again() {
    let bench = Bench::new(&drill("/health", OBJECTS)).await;
    let before = bench.sim.snapshot();
    let calls = AtomicUsize::new(0);
    // the fault itself passes; the first two calls that bring objects back fail in part
    let decide = move |_, m: &Mutation| {
        let n = usize::from(m.operation() == "s3:DeleteObjects");
        (n == 1 && [1, 2].contains(&calls.fetch_add(n, Ordering::SeqCst))).then_some(Fault::Partial)
    };
    let cloud = bench.cloud(|inner| Arc::new(Faulty::new(inner, decide)));
    let (ended, journal) = Play::of(&bench, cloud, People::Ask).end().await;
    let code = ended.unwrap().exit_code;
    assert!([0, 14].contains(&code), "{code}\n{}", dump(&journal));
    assert_eq!(before, bench.sim.snapshot(), "{}", dump(&journal));
}

/// What a policy that asks for a tag says of an instance that has none any more: nothing that is left to remove, so no
/// person is needed. Of a server that stands, the tag has to come off.
#[tokio::test(start_paused = true)]
async fn the_tag_of_a_server_that_is_gone_goes_with_it() {
    let stop = LOSS.replace("terminate-instances", "stop-instances");
    let stop = stop.replace("ec2.launch-replacement, target: it", "wait, with: { for: 1s }");
    for (text, stuck) in [(LOSS, false), (&*stop, true)] {
        let bench = Bench::new(&drill("/health", text)).await;
        let hit = target(&bench);
        let decide = move |_, m: &Mutation| {
            matches!(m, Mutation::DeleteTags { ids, .. } if ids.contains(&hit)).then_some(Fault::Deny)
        };
        let cloud = bench.cloud(|inner| Arc::new(Faulty::new(inner, decide)));
        let (ended, journal) = Play::of(&bench, cloud, People::Ask).end().await;
        let code = ended.unwrap().exit_code;
        assert_eq!(code == 20, stuck, "{code}\n{}", dump(&journal));
    }
}

/// STS at another time of day.
struct Late(Arc<dyn Sts>, i64);

#[async_trait]
impl Sts for Late {
    async fn identity(&self) -> CloudResult<Identity> {
        let mut identity = self.0.identity().await?;
        identity.server_date = identity.server_date.map(|d| d + chrono::TimeDelta::seconds(self.1));
        Ok(identity)
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_off_is_refused_with_how_far() {
    for (seconds, says) in [
        (1200, Some("clock: this machine's clock is 1200 s behind AWS's (set the clock")),
        (-301, Some("clock: this machine's clock is 301 s ahead of AWS's (set the clock")),
        (-240, None),
    ] {
        let bench = Bench::new(&drill("/health", CUT)).await;
        let mut cloud = bench.sim.cloud();
        cloud.reads.sts = Arc::new(Late(Arc::clone(&cloud.reads.sts), seconds));
        let play = Play::of(&bench, cloud, People::Ask);
        let (ended, journal) = play.ends_with(if says.is_some() { 3 } else { 0 }).await;
        if let Some(says) = says {
            assert!(ended.reasons[0].starts_with(says), "{:?}", ended.reasons);
            assert!(bench.sim.changes().is_empty(), "{}", dump(&journal));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_goes_wrong_in_the_middle_stops_the_run_and_says_what_to_do() {
    let bench = Bench::new(&drill("/health", CUT)).await;
    let before = bench.sim.snapshot();
    let (cloud, on) = failing(&bench, "ec2:ReplaceRouteTableAssociation", Fault::Skew);
    on.store(false, Ordering::SeqCst);
    let mut play = Play::of(&bench, cloud, People::Ask);
    play.stage(Stage::Impact).await;
    on.store(true, Ordering::SeqCst);
    let (_, journal) = play.ends_with(20).await;
    assert!(refusals(&journal).len() < 30, "it does not go round in circles: {}", refusals(&journal).len());
    let hint = format!("set this machine's clock, then finish with: redrill rollback {}", bench.run);
    let stuck = |e: &Event| matches!(e, Event::Stuck { hint: h, .. } if *h == hint);
    assert!(journal.lines().iter().any(|l| stuck(&l.event)), "{}", dump(&journal));
    let (ended, _) = again(&bench, Mode::Rollback, &journal).await;
    assert_eq!(ended.exit_code, 0, "{:?}", ended.reasons);
    assert_eq!(before, bench.sim.snapshot());
}

/// EC2 with a limit as AWS has one: a bucket of calls that fills up by one each `every_ms`.
struct Limited {
    inner: Arc<dyn Ec2>,
    clock: Arc<dyn Clock>,
    every_ms: u64,
    /// Calls in the bucket (in milliseconds), and since when.
    bucket: Mutex<(u64, u64)>,
    refused: AtomicUsize,
}

impl Limited {
    const SIZE: u64 = 4;

    fn of(bench: &Bench, every_ms: u64) -> Arc<Self> {
        Arc::new(Self {
            inner: bench.sim.cloud().reads.ec2,
            clock: Arc::clone(&bench.clock),
            every_ms,
            bucket: Mutex::new((Self::SIZE * every_ms, 0)),
            refused: AtomicUsize::new(0),
        })
    }

    fn pass(&self) -> CloudResult<()> {
        let now = self.clock.stamp().mono_ms;
        let mut bucket = self.bucket.lock().expect("no test panics with it");
        bucket.0 = (bucket.0 + now - bucket.1).min(Self::SIZE * self.every_ms);
        bucket.1 = now;
        if bucket.0 < self.every_ms {
            self.refused.fetch_add(1, Ordering::SeqCst);
            return Err(CloudError::new(
                "ec2:DescribeInstances",
                ErrorKind::Throttled,
                "Request limit exceeded.",
            )
            .code("RequestLimitExceeded"));
        }
        bucket.0 -= self.every_ms;
        Ok(())
    }
}

#[async_trait]
impl Ec2 for Limited {
    async fn nat_gateways(&self, subnets: &[String], page: Option<String>) -> CloudResult<Page<NatGateway>> {
        self.inner.nat_gateways(subnets, page).await
    }
    async fn interfaces(&self, of: &InterfacesOf, page: Option<String>) -> CloudResult<Page<Interface>> {
        self.inner.interfaces(of, page).await
    }
    async fn instances(&self, filter: &Filter, page: Option<String>) -> CloudResult<Page<Instance>> {
        self.pass()?;
        self.inner.instances(filter, page).await
    }
    async fn attribute(&self, id: &str, which: InstanceAttribute) -> CloudResult<Option<String>> {
        self.pass()?;
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
    async fn route_tables(&self, filter: &Filter, page: Option<String>) -> CloudResult<Page<RouteTable>> {
        self.inner.route_tables(filter, page).await
    }
    async fn spot_request_type(&self, request: &str) -> CloudResult<Option<String>> {
        self.inner.spot_request_type(request).await
    }
    async fn fleets(&self, ids: &[String]) -> CloudResult<std::collections::BTreeMap<String, String>> {
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
    async fn credits(&self, ids: &[String]) -> CloudResult<std::collections::BTreeMap<String, String>> {
        self.inner.credits(ids).await
    }
    async fn status_checks(&self, ids: &[String]) -> CloudResult<Vec<StatusChecks>> {
        self.inner.status_checks(ids).await
    }
}

/// Observations of one probe: when sent (ms), and the answer.
fn observed(journal: &MemoryJournal, name: &str) -> Vec<(u64, Health)> {
    let lines = journal.lines().into_iter();
    lines
        .filter_map(|l| match l.event {
            Event::Observed { probe, health, sent, .. } if probe == name => Some((sent.mono_ms, health)),
            Event::Unchanged { probe, health, last_sent, .. } if probe == name => {
                Some((last_sent.mono_ms, health))
            }
            _ => None,
        })
        .collect()
}

/// Thirty servers are stopped and started while a probe counts servers each second; AWS takes one read
/// each `every_ms`.
async fn storm(every_ms: u64) -> (Arc<MemoryJournal>, usize, Bench) {
    let text = "objectives: { rto: 30m }
targets: { it: { resource: ec2.instance, tags: { fleet: batch } } }
fault: [{ action: ec2.stop-instances, target: it }]
recovery: [{ action: wait, with: { for: 1m } }]";
    let count = "\n  - { name: servers, probe: ec2.instances, role: monitoring, with: { tags: { role: web }, at_least: 3 }, every: 1s, hold: 1s }";
    let text = drill("/health", text)
        .replace("hold: 3s }", &format!("hold: 3s }}{count}"))
        .replace("service: shop\nlimits", "service: shop\nimpact: none-expected\nlimits");
    let bench = Bench::with(&text, |sim| {
        let subnet =
            sim.snapshot()["subnets"].as_object().and_then(|s| s.keys().next().cloned()).expect("a subnet");
        for n in 0..30 {
            sim.add_instance(&redrill::sim::InstanceSeed {
                name: format!("batch-{n}"),
                subnet: subnet.clone(),
                instance_type: "t3.small".to_owned(),
                security_groups: vec![],
                tags: [("fleet".to_owned(), "batch".to_owned())].into(),
                user_data: None,
            });
        }
    })
    .await;
    let limited = Limited::of(&bench, every_ms);
    let mut cloud = bench.sim.cloud();
    cloud.reads.ec2 = limited.clone();
    let (ended, journal) = Play::of(&bench, cloud, People::Ask).end().await;
    assert_eq!(ended.expect("it ends").exit_code, 0, "{}", dump(&journal));
    (journal, limited.refused.load(Ordering::SeqCst), bench)
}

#[tokio::test(start_paused = true)]
async fn a_storm_of_throttled_polls_never_delays_a_probe() {
    let (journal, refused, bench) = storm(1_500).await;
    assert!(refused > 5, "there was a storm: {refused}");
    let retried = journal.lines().iter().filter(|l| matches!(l.event, Event::ReadRetried { .. })).count();
    assert!(
        retried > 0 && retried <= refused,
        "each repetition of a step's read is on record: {retried} of {refused}"
    );
    let seen = observed(&journal, "servers");
    assert!(
        seen.iter().all(|(_, health)| *health != Health::Unhealthy),
        "throttled is not unhealthy: {seen:?}"
    );
    assert!(seen.iter().any(|(_, health)| *health == Health::Unknown), "and not healthy either: {seen:?}");
    // each probe went out at its own rhythm, whatever was throttled
    let line = |l: &redrill::journal::Line| match &l.event {
        Event::Observed { probe, sent, .. } if probe == "servers" => Some((1, sent.mono_ms)),
        Event::Unchanged { probe, count, last_sent, .. } if probe == "servers" => {
            Some((*count, last_sent.mono_ms))
        }
        _ => None,
    };
    let mut last = None;
    for (count, sent) in journal.lines().iter().filter_map(line) {
        if let Some(before) = last {
            assert!(sent - before <= count * 1_000 + 50, "{count} observations took {} ms", sent - before);
        }
        last = Some(sent);
    }
    let wrong = differences(&bench.again().sim.snapshot(), &bench.sim.snapshot(), bench.run.as_str(), false);
    assert!(wrong.iter().all(|w| w.starts_with("instances") || w.starts_with("volumes")), "{wrong:?}");
}

#[tokio::test(start_paused = true)]
async fn without_throttling_nothing_is_held_back() {
    let (journal, refused, _) = storm(0).await;
    assert_eq!(refused, 0);
    assert!(!journal.lines().iter().any(|l| matches!(l.event, Event::ReadRetried { .. })));
}

/// EC2 gives no bound for when a change shows: what nobody was told of ends the server minutes later.
#[tokio::test(start_paused = true)]
async fn a_termination_without_an_answer_that_shows_late_is_mended() {
    for (after_it_was_given_up, code) in [(false, 0), (true, 14)] {
        let bench = Bench::new(&drill("/health", LOSS)).await;
        let hit = target(&bench);
        let (cloud, on) = failing(&bench, "ec2:TerminateInstances", Fault::LoseRequest);
        let mut play = Play::of(&bench, cloud, People::Ask);
        play.until(|e| matches!(e, Event::CallAnswered { error: Some(_), .. })).await;
        if after_it_was_given_up {
            play.until(|e| matches!(e, Event::StepFailed { .. })).await;
        } else {
            tokio::time::sleep(std::time::Duration::from_secs(4 * 60)).await;
        }
        let shows = Mutation::TerminateInstances { ids: vec![hit] };
        bench.sim.cloud().mutate.send(&shows).await.expect("AWS had taken it");
        on.store(false, Ordering::SeqCst);
        let (_, journal) = play.ends_with(code).await;
        assert_eq!(accepted(&bench, "ec2:RunInstances"), 1, "{}", dump(&journal));
    }
}
