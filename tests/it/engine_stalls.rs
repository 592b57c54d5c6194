//! What stands still or breaks outside holds up nothing but itself: a slow disk, a disk that stands still, a
//! place of the kill switch that does not answer, a watcher that panics. On virtual time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use redrill::cloud::{
    Bucket, BucketInfo, CloudResult, CommandOutput, CommandRequest, Local, ObjectMeta, ObjectVersion, Page,
    S3, Starting,
};
use redrill::engine::recorder::Recorder;
use redrill::engine::rollup::Observation;
use redrill::engine::state::RunState;
use redrill::engine::{EngineError, Setup};
use redrill::journal::inbox::Left;
use redrill::journal::runs::RunsError;
use redrill::journal::writer::{Journal, JournalError, MemoryJournal};
use redrill::journal::{Event, Inbox, Line};
use redrill::model::{Health, Stage, Stamp, Tags};
use tokio::sync::watch;

use crate::bench::{Bench, dump};
use crate::play::{Play, accepted, drill};

const CUT: &str = "objectives: { rto: 10m }
targets: { it: { resource: vpc.subnet, tags: { service: shop, tier: private } } }
fault: [{ action: vpc.detach-route-table, target: it }]
recovery: [{ action: wait, with: { for: 30s } }, { action: vpc.attach-route-table, target: it }]";

const FAULT: &str = "ec2:ReplaceRouteTableAssociation";

/// A disk that takes this long for what must be on it, and for nothing else while it does.
struct Slow(Arc<MemoryJournal>, Duration);

#[async_trait]
impl Journal for Slow {
    async fn append(&self, stamp: Stamp, events: &[Event], durable: bool) -> Result<Vec<Line>, JournalError> {
        if durable {
            tokio::time::sleep(self.1).await;
        }
        self.0.append(stamp, events, durable).await
    }
}

/// A disk that stands still from the first line of a kind on, until it is let go.
struct StandsStill {
    journal: Arc<MemoryJournal>,
    from: fn(&Event) -> bool,
    standing: watch::Sender<bool>,
    let_go: watch::Receiver<bool>,
}

#[async_trait]
impl Journal for StandsStill {
    async fn append(&self, stamp: Stamp, events: &[Event], durable: bool) -> Result<Vec<Line>, JournalError> {
        if events.iter().any(self.from) {
            self.standing.send_replace(true);
        }
        if *self.standing.borrow() {
            let mut let_go = self.let_go.clone();
            let _gone = let_go.wait_for(|go| *go).await;
        }
        self.journal.append(stamp, events, durable).await
    }
}

/// A run on such a disk; says when it stands still, and can let it go.
fn on_a_standing_disk(
    bench: &Bench,
    from: fn(&Event) -> bool,
) -> (Play, watch::Receiver<bool>, watch::Sender<bool>) {
    let (go, let_go) = watch::channel(false);
    let (standing, stands) = watch::channel(false);
    let play = Play::set_on(bench, |setup, journal| {
        setup.journal = Box::new(StandsStill { journal, from, standing, let_go });
    });
    (play, stands, go)
}

async fn at_once<T>(what: &str, done: impl Future<Output = T>) -> T {
    let within = Duration::from_secs(2);
    tokio::time::timeout(within, done).await.unwrap_or_else(|_| panic!("{what}: not within {within:?}"))
}

#[tokio::test(start_paused = true)]
async fn a_slow_disk_delays_no_probe() {
    let bench = Bench::new(&drill("/health", CUT)).await;
    let play = Play::set_on(&bench, |setup, journal| {
        setup.journal = Box::new(Slow(journal, Duration::from_secs(4)));
    });
    let (ended, journal) = play.ends_with(0).await;
    assert_eq!(ended.measured.gaps, [], "{}", dump(&journal));
    let (mut looks, mut sent) = (0, Vec::new());
    for line in journal.lines() {
        match line.event {
            Event::Observed { sent: at, .. } => (looks += 1, sent.push(at.at)).0,
            Event::Unchanged { count, last_sent, .. } => (looks += count, sent.push(last_sent.at)).0,
            _ => {}
        }
    }
    let took = (sent[sent.len() - 1] - sent[0]).num_seconds();
    assert!(i64::try_from(looks).unwrap() >= took, "{looks} looks in {took} s, at one a second");
    assert!(took > 100, "the disk was slow: {took} s");
}

#[tokio::test(start_paused = true)]
async fn what_is_seen_while_the_disk_stands_still_is_known_at_once_and_recorded_in_order() {
    let bench = Bench::new(&drill("/health", CUT)).await;
    let journal = Arc::new(MemoryJournal::new());
    let (go, let_go) = watch::channel(false);
    let disk = StandsStill {
        journal: Arc::clone(&journal),
        from: |e| matches!(e, Event::Skew { .. }),
        standing: watch::channel(false).0,
        let_go,
    };
    let state = RunState::new(Arc::clone(&bench.plan));
    let (clock, secrets) = (Arc::clone(&bench.clock), bench.secrets.clone());
    let recorder = Arc::new(Recorder::new(Box::new(disk), state, vec![], clock, secrets, None));
    let own = Arc::clone(&recorder);
    let stalled = tokio::spawn(async move { own.durable(vec![Event::Skew { ms: 1 }]).await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    // far more than may wait: each answer is another one
    let sent = bench.clock.stamp();
    let looks = 25_000;
    for n in 0..looks {
        let health = if n % 2 == 0 { Health::Unhealthy } else { Health::Healthy };
        let seen = n.to_string();
        let probe = "shop".to_owned();
        recorder.observe(Observation { probe, health, seen, sent, answered: sent, source_at: None });
    }
    let known = recorder.with(|s, _| s.steady.tracks()[0].health);
    assert_eq!(known, Some(Health::Healthy), "the newest is known, and the disk stands still");
    assert_eq!(journal.lines().len(), 0);
    let own = Arc::clone(&recorder);
    let after = tokio::spawn(async move { own.durable(vec![Event::Skew { ms: 2 }]).await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    go.send_replace(true);
    stalled.await.unwrap().unwrap();
    after.await.unwrap().unwrap();
    let lines = journal.lines();
    let lost = lines.iter().position(|l| matches!(l.event, Event::ObservationsLost { .. })).unwrap();
    assert_eq!(lines[lost].event, Event::ObservationsLost { count: looks - 10_000 });
    assert_eq!(lines[lost + 1].event, Event::Skew { ms: 2 }, "what came first stands first");
    let seen = |n: usize| match &lines[n].event {
        Event::Observed { seen, .. } => seen.clone(),
        e => panic!("{e:?}"),
    };
    assert_eq!((seen(1), seen(lost - 1)), ("0".to_owned(), "9999".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn what_was_not_on_the_disk_when_the_signal_came_is_not_sent() {
    let kinds: [fn(&Event) -> bool; 3] = [
        |e| matches!(e, Event::StepPrepared { .. }),
        |e| matches!(e, Event::StepStarted { .. }),
        |e| matches!(e, Event::CallSent { operation, .. } if operation == FAULT),
    ];
    for (n, from) in kinds.into_iter().enumerate() {
        let bench = Bench::new(&drill("/health", CUT)).await;
        let before = bench.sim.snapshot();
        let (play, mut stands, go) = on_a_standing_disk(&bench, from);
        stands.wait_for(|still| *still).await.unwrap();
        play.signal().await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        go.send_replace(true);
        let (ended, journal) = play.end().await;
        let at = format!("{n}: {ended:?}\n{}", dump(&journal));
        assert_eq!(ended.unwrap().exit_code, 13, "{at}");
        assert_eq!(accepted(&bench, FAULT), 0, "{at}");
        assert_eq!(bench.sim.snapshot(), before, "{at}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_give_up_that_fell_due_meanwhile_is_heeded() {
    let two = CUT.replace("rto: 10m", "rto: 10m, give_up: 11m").replace(
        "[{ action: vpc.detach-route-table, target: it }]",
        "[{ action: wait, id: first, with: { for: 1s } }, { action: vpc.detach-route-table, target: it }]",
    );
    // T0 is there once the first of several calls was sent; the second stands still beyond give_up
    let bench = Bench::new(&drill("/health", &two)).await;
    let (play, mut stands, go) = on_a_standing_disk(
        &bench,
        |e| matches!(e, Event::CallSent { call, operation, .. } if operation == FAULT && *call > 0),
    );
    stands.wait_for(|still| *still).await.unwrap();
    let sent = accepted(&bench, FAULT);
    tokio::time::sleep(Duration::from_secs(15 * 60)).await;
    go.send_replace(true);
    let (ended, journal) = play.end().await;
    let ended = ended.unwrap();
    assert!(ended.exit_code == 11 || ended.exit_code == 13, "{:?}\n{}", ended.reasons, dump(&journal));
    assert!(sent <= accepted(&bench, FAULT), "{}", dump(&journal));
}

#[tokio::test(start_paused = true)]
async fn a_third_signal_leaves_a_run_whose_disk_stands_still() {
    for stage in [Stage::Baseline, Stage::Impact, Stage::Recovery] {
        let bench = Bench::new(&drill("/health", CUT)).await;
        let from: fn(&Event) -> bool = match stage {
            Stage::Baseline => |e| matches!(e, Event::Stage { stage: Stage::Baseline }),
            Stage::Impact => |e| matches!(e, Event::Stage { stage: Stage::Impact }),
            _ => |e| matches!(e, Event::Stage { stage: Stage::Recovery }),
        };
        let (play, mut stands, _never) = on_a_standing_disk(&bench, from);
        stands.wait_for(|still| *still).await.unwrap();
        for _ in 0..3 {
            play.signal().await;
        }
        let (ended, journal) = at_once("leaving", play.end()).await;
        assert!(matches!(ended, Err(EngineError::Left)), "{stage:?}: {ended:?}\n{}", dump(&journal));
    }
}

/// S3 that does not answer any more once it is dark.
struct Dark {
    inner: Arc<dyn S3>,
    dark: Arc<AtomicBool>,
}

#[async_trait]
impl S3 for Dark {
    async fn buckets(&self, page: Option<String>) -> CloudResult<Page<Bucket>> {
        self.inner.buckets(page).await
    }
    async fn bucket_tags(&self, bucket: &str) -> CloudResult<Tags> {
        self.inner.bucket_tags(bucket).await
    }
    async fn region(&self, bucket: &str) -> CloudResult<String> {
        self.inner.region(bucket).await
    }
    async fn versioning(&self, bucket: &str) -> CloudResult<String> {
        self.inner.versioning(bucket).await
    }
    async fn bucket_info(&self, bucket: &str) -> CloudResult<BucketInfo> {
        self.inner.bucket_info(bucket).await
    }
    async fn versions(
        &self,
        bucket: &str,
        prefix: &str,
        page: Option<String>,
    ) -> CloudResult<Page<ObjectVersion>> {
        if self.dark.load(Ordering::SeqCst) {
            return std::future::pending().await;
        }
        self.inner.versions(bucket, prefix, page).await
    }
    async fn head(&self, bucket: &str, key: &str) -> CloudResult<Option<ObjectMeta>> {
        self.inner.head(bucket, key).await
    }
}

const SWITCH: &str = "[kill_switch]\nfile = \"/etc/stop\"\ns3 = \"s3://shop-assets-123456789012/stop\"";

/// A run whose kill switch is an object, which goes dark when asked to, and a file.
async fn with_a_dark_switch() -> (Bench, Play, Arc<AtomicBool>) {
    let bench = Bench::under(SWITCH, &drill("/health", CUT)).await;
    let dark = Arc::new(AtomicBool::new(false));
    let play = Play::set_on(&bench, |setup, _| {
        let inner = Arc::clone(&setup.cloud.reads.s3);
        setup.cloud.reads.s3 = Arc::new(Dark { inner, dark: Arc::clone(&dark) });
    });
    (bench, play, dark)
}

#[tokio::test(start_paused = true)]
async fn a_place_of_the_switch_that_does_not_answer_does_not_hide_another() {
    for stage in [Stage::Impact, Stage::Recovery] {
        let (bench, mut play, dark) = with_a_dark_switch().await;
        play.stage(stage).await;
        dark.store(true, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_secs(4)).await;
        bench.sim.add_file("/etc/stop");
        at_once("the switch", play.until(|e| matches!(e, Event::StopRequested { .. }))).await;
        let (ended, journal) = play.ends_with(13).await;
        assert!(ended.reasons[0].contains("file /etc/stop"), "{:?}\n{}", ended.reasons, dump(&journal));
    }
}

#[tokio::test(start_paused = true)]
async fn a_signal_is_acted_on_while_a_step_looks_at_a_switch_that_does_not_answer() {
    let (bench, mut play, dark) = with_a_dark_switch().await;
    play.stage(Stage::Impact).await;
    dark.store(true, Ordering::SeqCst);
    play.stage(Stage::Recovery).await;
    // the first step is about to begin, and looks
    tokio::time::sleep(Duration::from_millis(100)).await;
    play.signal().await;
    at_once("the undo", play.until(|e| matches!(e, Event::UndoStarted { .. }))).await;
    play.ends_with(13).await;
    assert_eq!(accepted(&bench, FAULT), 4, "there and back");
}

/// A machine on which looking for a file panics, after so many looks.
struct Panics {
    inner: Arc<dyn Local>,
    after: usize,
    looks: AtomicUsize,
}

#[async_trait]
impl Local for Panics {
    async fn exists(&self, path: &str) -> CloudResult<bool> {
        let looks = self.looks.fetch_add(1, Ordering::SeqCst);
        assert!(looks < self.after, "looking panics");
        self.inner.exists(path).await
    }
    async fn run(&self, request: &CommandRequest, starting: &dyn Starting) -> CloudResult<CommandOutput> {
        self.inner.run(request, starting).await
    }
    fn addresses(&self) -> Vec<std::net::IpAddr> {
        self.inner.addresses()
    }
}

/// An inbox that panics when looked into.
struct Bomb;

impl Inbox for Bomb {
    fn requests(&self) -> Result<Vec<Left>, RunsError> {
        panic!("the inbox panics")
    }
    fn remove(&self, _id: &str) -> Result<(), RunsError> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_watcher_that_panics_stops_the_run_and_is_on_record() {
    type Broken = fn(&mut Setup);
    let watchers: [(&str, Broken); 2] = [
        ("BUG: the kill switch:", |setup| {
            let inner = Arc::clone(&setup.cloud.local);
            setup.cloud.local = Arc::new(Panics { inner, after: 12, looks: AtomicUsize::new(0) });
        }),
        ("BUG: the inbox:", |setup| setup.inbox = Some(Arc::new(Bomb))),
    ];
    for (what, broken) in watchers {
        let bench = Bench::under(SWITCH, &drill("/health", CUT)).await;
        let before = bench.sim.snapshot();
        let (ended, journal) = Play::set_on(&bench, |setup, _| broken(setup)).ends_with(14).await;
        assert!(ended.reasons[0].contains(what), "{:?}\n{}", ended.reasons, dump(&journal));
        assert_eq!(bench.sim.snapshot(), before, "{}", dump(&journal));
    }
}
