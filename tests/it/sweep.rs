//! Sweeping without a journal: a run is killed, its journal is gone, and tags are all there is.

use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use redrill::cloud::{CloudError, CloudResult, ErrorKind, Mutation, Reply};
use redrill::journal::Event;
use redrill::model::Stage;
use redrill::model::target::{TAG_HELD, TAG_KEPT, TAG_RUN};
use redrill::sweep::{self, Found, Ledger, Leftover, Need, Outcome};

use crate::bench::Bench;
use crate::play::{Play, drill, meddle, target};

/// Remembers; may be full.
#[derive(Default)]
struct Notes {
    sent: Mutex<Vec<String>>,
    full: bool,
}

#[async_trait]
impl Ledger for Notes {
    async fn sending(&self, l: &Leftover, call: &Mutation) -> Result<(), CloudError> {
        if self.full {
            return Err(CloudError::new(call.operation(), ErrorKind::Journal, "no space left"));
        }
        self.sent.lock().expect("no other thread panicked").push(format!(
            "{} {}",
            call.operation(),
            l.target.id
        ));
        Ok(())
    }

    async fn answered(&self, _: &Leftover, _: &Mutation, _: &CloudResult<Reply>) {}
}

async fn found(bench: &Bench) -> Found {
    sweep::find(&bench.sim.cloud().reads, "us-east-1", true).await.expect("the listings are whole")
}

/// Sweeps until nothing is left that a machine can mend; some things take their time to be removable.
async fn swept(bench: &Bench) -> Vec<Leftover> {
    let notes = Notes::default();
    for _ in 0..60 {
        let found = found(bench).await.leftovers;
        let work: Vec<&Leftover> = found.iter().filter(|l| !matches!(l.need, Need::Person { .. })).collect();
        if work.is_empty() {
            return found;
        }
        for l in work {
            let _retried = sweep::mend(&bench.sim.cloud(), &notes, l).await;
        }
        tokio::time::sleep(Duration::from_secs(120)).await;
    }
    panic!("never done: {:?}", found(bench).await);
}

const CUT: &str = "objectives: { rto: 10m }
targets: { it: { resource: vpc.subnet, tags: { service: shop, tier: private } } }
fault: [{ action: vpc.detach-route-table, target: it }]
recovery: [{ action: wait, with: { for: 30s } }, { action: vpc.attach-route-table, target: it }]";
const STOPPED: &str = "objectives: { rto: 10m }
targets: { it: { resource: ec2.instance, tags: { role: web } } }
fault: [{ action: ec2.stop-instances, target: it }]";
const RESTORE: &str = "objectives: { rto: 4h }
targets: { it: { resource: rds.instance, tags: { service: shop, role: orders }, select: { count: 1 } } }
recovery: [{ action: rds.restore-to-point-in-time, target: it, with: { to: latest } }]";

#[tokio::test(start_paused = true)]
async fn what_a_killed_run_left_is_put_back_and_removed() {
    for (text, stage, seconds) in [
        (CUT, Stage::Fault, [0, 1, 2]),
        (CUT, Stage::Recovery, [0, 5, 29]),
        (STOPPED, Stage::Fault, [1, 5, 10]),
        (RESTORE, Stage::Recovery, [1, 60, 900]),
    ] {
        for later in seconds {
            let bench = Bench::new(&drill("/health", text)).await;
            let before = bench.sim.snapshot();
            let mut play = Play::start(&bench);
            play.stage(stage).await;
            tokio::time::sleep(Duration::from_secs(later)).await;
            let _journal_is_lost = play.killed().await;
            // what AWS is still at work on comes to its end
            tokio::time::sleep(Duration::from_secs(600)).await;
            let at = format!("{text}\n{stage:?} + {later} s");
            assert!(!found(&bench).await.leftovers.is_empty(), "{at}");
            assert_eq!(swept(&bench).await, [], "{at}");
            tokio::time::sleep(Duration::from_secs(3600)).await;
            assert_eq!(before, bench.sim.snapshot(), "{at}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_carries_no_run_tag_or_is_kept_is_never_touched() {
    let bench = Bench::new(&drill("/health", CUT)).await;
    let before = bench.sim.snapshot();
    assert_eq!(found(&bench).await, Found::default());
    // tags that look like it, and what a drill keeps
    for (key, value) in [("redrill", "run"), (TAG_KEPT, "20260101T000000Z-a-bbbbbb"), ("redrill:runs", "x")] {
        let tags = [(key.to_owned(), value.to_owned())].into();
        meddle(&bench, Mutation::CreateTags { ids: vec![target(&bench)], tags }).await;
    }
    let tags = [(TAG_RUN.to_owned(), "20260101T000000Z-a-bbbbbb".to_owned())].into();
    meddle(&bench, Mutation::CreateTags { ids: vec![target(&bench)], tags }).await;
    assert_eq!(found(&bench).await, Found::default(), "kept wins over made");
    let keys = vec![TAG_KEPT.to_owned()];
    meddle(&bench, Mutation::DeleteTags { ids: vec![target(&bench)], keys }).await;
    // no run makes subnets: a person has to look
    let odd = found(&bench).await.leftovers;
    assert!(matches!(&odd[..], [l] if matches!(l.need, Need::Person { .. })), "{odd:?}");
    let sent = bench.sim.changes().len();
    let outcome = sweep::mend(&bench.sim.cloud(), &Notes::default(), &odd[0]).await;
    assert_eq!((outcome, bench.sim.changes().len()), (Ok(Outcome::Left), sent));
    assert_ne!(before, bench.sim.snapshot(), "the tags are there");
}

#[tokio::test(start_paused = true)]
async fn what_changed_since_it_was_shown_is_left_alone() {
    let bench = Bench::new(&drill("/health", CUT)).await;
    let mut play = Play::start(&bench);
    play.stage(Stage::Impact).await;
    let _journal = play.killed().await;
    let shown = found(&bench).await.leftovers;
    let subnet = shown.iter().find(|l| matches!(l.need, Need::Reroute { .. })).unwrap();
    let keys = vec![TAG_HELD.to_owned()];
    meddle(&bench, Mutation::DeleteTags { ids: vec![subnet.target.id.clone()], keys }).await;
    let sent = bench.sim.changes().len();
    let outcome = sweep::mend(&bench.sim.cloud(), &Notes::default(), subnet).await;
    assert_eq!((outcome, bench.sim.changes().len()), (Ok(Outcome::Changed), sent));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_written_down_is_not_sent() {
    let bench = Bench::new(&drill("/health", CUT)).await;
    let mut play = Play::start(&bench);
    play.until(|e| matches!(e, Event::StepApplied { .. })).await;
    let _journal = play.killed().await;
    let sent = bench.sim.changes().len();
    let full = Notes { full: true, ..Notes::default() };
    for l in found(&bench).await.leftovers {
        let kind = sweep::mend(&bench.sim.cloud(), &full, &l).await.unwrap_err().kind;
        assert_eq!(kind, ErrorKind::Journal);
    }
    assert_eq!(bench.sim.changes().len(), sent);
}
