//! Sweeping without a journal: a run is killed, its journal is gone, and tags are all there is.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use redrill::catalog::kinds;
use redrill::cloud::faulty::{Fault, Faulty};
use redrill::cloud::misread::{Misread, Reader};
use redrill::cloud::{Cloud, CloudError, CloudResult, ErrorKind, Mutation, Reply};
use redrill::journal::Event;
use redrill::model::target::{TAG_HELD, TAG_KEPT, TAG_REPLACES, TAG_RUN, TAG_STEP};
use redrill::model::{ResourceKind, RunId, Stage, StepId, Tags, Target, naming};
use redrill::sweep::{self, Birth, Births, Found, Ledger, Leftover, Need, Outcome};

use crate::bench::Bench;
use crate::play::{Play, accepted, drill, meddle, target};
use crate::world::differences;

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

/// Remembers the calls themselves.
#[derive(Default)]
struct Calls(Mutex<Vec<Mutation>>);

#[async_trait]
impl Ledger for Calls {
    async fn sending(&self, _: &Leftover, call: &Mutation) -> Result<(), CloudError> {
        self.0.lock().expect("no other thread panicked").push(call.clone());
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
            let _retried = sweep::mend(&bench.sim.cloud(), &notes, l, true).await;
        }
        tokio::time::sleep(Duration::from_secs(120)).await;
    }
    panic!("never done: {:?}", found(bench).await);
}

const CUT: &str = "objectives: { rto: 10m }
targets: { it: { resource: vpc.subnet, tags: { service: shop, tier: private } } }
fault: [{ action: vpc.detach-route-table, target: it }]
recovery: [{ action: wait, with: { for: 30s } }, { action: vpc.attach-route-table, target: it }]";
const MAIN: &str = "objectives: { rto: 10m }
targets: { it: { resource: vpc.subnet, tags: { service: shop, tier: private } } }
fault: [{ action: vpc.detach-route-table, target: it, with: { to: main } }]
recovery: [{ action: wait, with: { for: 30s } }, { action: vpc.attach-route-table, target: it }]";
const MOVED: &str = "objectives: { rto: 10m }
targets: { it: { resource: vpc.subnet, tags: { service: shop, tier: private } } }
recovery: [{ action: vpc.attach-route-table, target: it, with: { table: shop-public } }, WAIT]";
const LOSS: &str = "objectives: { rto: 10m }
allow_irreversible: true
targets: { it: { resource: ec2.instance, tags: { role: web }, select: { count: 1 } } }
fault: [{ action: ec2.terminate-instances, target: it }]
recovery: [{ action: wait, with: { for: 30s } }, { action: ec2.launch-replacement, target: it }]";
const BESIDE: &str = "objectives: { rto: 10m }
targets: { it: { resource: ec2.instance, tags: { role: web }, select: { count: 1 } } }
fault: [{ action: ec2.stop-instances, target: it }]
recovery: [{ action: wait, with: { for: 30s } }, { action: ec2.launch-replacement, id: launch, target: it, after: remove }]";
const STOPPED: &str = "objectives: { rto: 10m }
targets: { it: { resource: ec2.instance, tags: { role: web } } }
fault: [{ action: ec2.stop-instances, target: it }]";
const RESTORE: &str = "objectives: { rto: 4h }
targets: { it: { resource: rds.instance, tags: { service: shop, role: orders }, select: { count: 1 } } }
recovery: [{ action: rds.restore-to-point-in-time, target: it, with: { to: latest } }]";

#[tokio::test(start_paused = true)]
async fn what_a_killed_run_left_is_put_back_and_removed() {
    for (text, stage, seconds) in [
        (CUT, Stage::Fault, [3, 4, 5]),
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

/// What a run killed in this stage left behind, an hour later.
async fn left_behind(text: &str, stage: Stage) -> (Bench, serde_json::Value) {
    let bench = Bench::new(&drill("/health", text)).await;
    bench.sim.set_page_size(2);
    let before = bench.sim.snapshot();
    let mut play = Play::start(&bench);
    play.stage(stage).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let _journal_is_lost = play.killed().await;
    tokio::time::sleep(Duration::from_secs(1800)).await;
    (bench, before)
}

#[tokio::test(start_paused = true)]
async fn one_look_that_says_too_little_sweeps_nothing_wrong() {
    for (text, stage) in [(RESTORE, Stage::Recovery), (CUT, Stage::Recovery), (BESIDE, Stage::Verify)] {
        let sweep_once = async |bench: &Bench, reader: &Arc<Reader>| {
            let cloud = reader.over(bench.sim.cloud());
            let found = sweep::find(&cloud.reads, "us-east-1", true).await.unwrap_or_default();
            for l in found.leftovers {
                let _tried = sweep::mend(&cloud, &Notes::default(), &l, true).await;
            }
        };
        let calm = Reader::new(|_, _| None);
        sweep_once(&left_behind(text, stage).await.0, &calm).await;
        let chances = calm.chances();
        assert!(chances.len() > 20, "{}", chances.len());
        // every single one of those that mend, and a sample of the listings
        let listing = chances.len() / 2;
        let some = chances.iter().enumerate().filter(|(i, _)| *i >= listing || i % 3 == 0);
        for (_, &(at, how)) in some {
            let (bench, before) = left_behind(text, stage).await;
            sweep_once(&bench, &Reader::new(move |n, _| (n == at).then_some(how))).await;
            assert_eq!(swept(&bench).await, [], "read {at} {how:?}: {text}");
            tokio::time::sleep(Duration::from_secs(7200)).await;
            assert_eq!(before, bench.sim.snapshot(), "read {at} {how:?}: {text}");
        }
    }
}

/// A database that stands beside its original is not kept because one listing leaves the original out.
#[tokio::test(start_paused = true)]
async fn what_one_listing_leaves_out_is_not_called_gone() {
    let (bench, _) = left_behind(RESTORE, Stage::Recovery).await;
    let mut shown = found(&bench).await.leftovers;
    let copy = shown.iter_mut().find(|l| l.need == Need::Remove).expect("the copy");
    copy.need = Need::Keep { instead_of: Some(target(&bench)) };
    for at in 0..4 {
        let sent = bench.sim.changes().len();
        let reader = Reader::new(move |n, _| (n == at).then_some(Misread::Empty));
        let cloud = reader.over(bench.sim.cloud());
        let outcome = sweep::mend(&cloud, &Notes::default(), copy, false).await;
        assert_eq!((outcome, bench.sim.changes().len()), (Ok(Outcome::Changed), sent), "{at}");
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
    let outcome = sweep::mend(&bench.sim.cloud(), &Notes::default(), &odd[0], false).await;
    assert_eq!((outcome, bench.sim.changes().len()), (Ok(Outcome::Left), sent));
    assert_ne!(before, bench.sim.snapshot(), "the tags are there");
}

fn of(found: &[Leftover], kind: ResourceKind) -> Vec<Need> {
    found.iter().filter(|l| l.target.kind == kind).map(|l| l.need.clone()).collect()
}

/// Kills a run of [`LOSS`] once its replacement is launched; the original and the replacement.
async fn replaced(bench: &Bench, seconds: u64) -> (String, Leftover) {
    let mut play = Play::start(bench);
    play.stage(Stage::Verify).await;
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let _journal_is_lost = play.killed().await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    let mut found = found(bench).await.leftovers;
    assert_eq!(found.len(), 1, "{found:?}");
    (target(bench), found.remove(0))
}

#[tokio::test(start_paused = true)]
async fn what_stands_in_for_what_is_gone_is_kept() {
    // in the verification and the hold, and an hour later, when EC2 has forgotten the original
    for (seconds, later) in [(0, 0), (2, 0), (2, 7200)] {
        let bench = Bench::new(&drill("/health", LOSS)).await;
        let before = bench.sim.snapshot();
        let (original, replacement) = replaced(&bench, seconds).await;
        tokio::time::sleep(Duration::from_secs(later)).await;
        assert_eq!(replacement.need, Need::Keep { instead_of: Some(original.clone()) });
        let words = replacement.need.in_words();
        assert!(words.contains(&format!("stands in for {original}, which is gone")), "{words}");
        assert_eq!(swept(&bench).await, []);
        tokio::time::sleep(Duration::from_secs(7200)).await;
        // kept, its volumes too, registered, and nothing of the run's is left
        let after = bench.sim.snapshot();
        let lacks = differences(&before, &after, bench.run.as_str(), false);
        assert!(lacks.is_empty(), "{lacks:?}");
        let text = after.to_string();
        assert!(!text.contains(TAG_RUN) && !text.contains(TAG_STEP) && !text.contains(TAG_HELD), "{text}");
        assert_eq!(after["volumes"].to_string().matches(TAG_KEPT).count(), 1);
        assert_eq!(found(&bench).await, Found::default());
    }
}

#[tokio::test(start_paused = true)]
async fn a_replacement_beside_its_original_is_removed_but_not_once_that_is_gone() {
    for goes in [false, true] {
        let bench = Bench::new(&drill("/health", BESIDE)).await;
        let before = bench.sim.snapshot();
        let mut play = Play::start(&bench);
        play.stage(Stage::Verify).await;
        let _journal_is_lost = play.killed().await;
        tokio::time::sleep(Duration::from_secs(600)).await;
        let shown = found(&bench).await.leftovers;
        let removal = shown.iter().find(|l| l.target.tags.contains_key(TAG_RUN)).expect("shown").clone();
        assert_eq!(removal.need, Need::Remove);
        let original = target(&bench);
        assert_eq!(removal.target.tags.get(TAG_REPLACES), Some(&original));
        if !goes {
            assert_eq!(swept(&bench).await, []);
            tokio::time::sleep(Duration::from_secs(7200)).await;
            assert_eq!(before, bench.sim.snapshot());
            continue;
        }
        // the original goes between the look and the call
        meddle(&bench, Mutation::TerminateInstances { ids: vec![original.clone()] }).await;
        let sent = bench.sim.changes().len();
        let outcome = sweep::mend(&bench.sim.cloud(), &Notes::default(), &removal, false).await;
        assert_eq!((outcome, bench.sim.changes().len()), (Ok(Outcome::Changed), sent));
        let now = of(&found(&bench).await.leftovers, kinds::EC2_INSTANCE);
        assert!(now.contains(&Need::Keep { instead_of: Some(original) }), "{now:?}");
    }
}

/// Whoever may tag names what he wants to see removed, of a run that never was or of one that was.
#[tokio::test(start_paused = true)]
async fn what_only_tags_say_a_run_made_is_not_removed() {
    let bench = Bench::new(&drill("/health", BESIDE)).await;
    let mut play = Play::start(&bench);
    play.stage(Stage::Verify).await;
    let _journal_is_lost = play.killed().await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    let reads = bench.sim.cloud().reads;
    let all = reads.ec2.instances(&redrill::cloud::Filter::default(), None).await.expect("reads").items;
    let free = |i: &&redrill::cloud::Instance| {
        i.state == "running" && !i.tags.contains_key(TAG_RUN) && !i.tags.contains_key(TAG_HELD)
    };
    let others: Vec<&redrill::cloud::Instance> = all.iter().filter(free).collect();
    let (victim, stands) = (others[0].id.clone(), others[1].id.clone());
    let tables = reads.ec2.route_tables(&redrill::cloud::Filter::default(), None).await.expect("reads").items;
    let out = |t: &&redrill::cloud::RouteTable| {
        !t.associations.iter().any(|a| a.main) && t.routes.iter().any(|r| r.via != "local")
    };
    let table = tables.iter().find(out).expect("one with a way out").id.clone();
    let db = reads.rds.instances(None, None).await.expect("reads").items;
    let (orders, other) = (db[0].clone(), db[1].identifier.clone());
    let sent = |bench: &Bench| bench.sim.changes().len();
    for run in ["20260101T000000Z-x-aaaaaa", bench.run.as_str(), "20990101T000000Z-x-aaaaaa"] {
        let tags = |replaces: &str| {
            let pairs = [(TAG_RUN, run), (TAG_STEP, "launch"), (TAG_REPLACES, replaces)];
            Tags::from(pairs.map(|(k, v)| (k.to_owned(), v.to_owned())))
        };
        meddle(&bench, Mutation::CreateTags { ids: vec![victim.clone()], tags: tags(&stands) }).await;
        meddle(&bench, Mutation::CreateTags { ids: vec![table.clone()], tags: tags("") }).await;
        meddle(&bench, Mutation::TagDb { arn: orders.arn.clone(), tags: tags(&other) }).await;
        let shown = found(&bench).await.leftovers;
        for id in [&victim, &table, &orders.identifier] {
            let shown = shown.iter().find(|l| l.target.id == *id).expect("shown");
            assert!(
                matches!(&shown.need, Need::Person { why } if why.contains("only its tags say")),
                "{run}: {shown:?}"
            );
            // even where somebody says that it was to be removed
            let before = sent(&bench);
            let forged = Leftover { need: Need::Remove, ..shown.clone() };
            let outcome = sweep::mend(&bench.sim.cloud(), &Notes::default(), &forged, false).await;
            assert_eq!((outcome, sent(&bench)), (Ok(Outcome::Changed), before), "{run}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_database_that_is_removed_leaves_a_snapshot_unless_told_otherwise() {
    let bench = Bench::new(&drill("/health", RESTORE)).await;
    let mut play = Play::start(&bench);
    play.stage(Stage::Recovery).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let _journal_is_lost = play.killed().await;
    let copy = async || {
        let shown = found(&bench).await.leftovers;
        shown.into_iter().find(|l| l.target.kind == kinds::RDS_INSTANCE && l.need == Need::Remove)
    };
    // none can be taken of one that is still being made
    let early = copy().await.expect("shown");
    let sent = bench.sim.changes().len();
    let outcome = sweep::mend(&bench.sim.cloud(), &Notes::default(), &early, true).await;
    assert!(matches!(&outcome, Ok(Outcome::NotYet(why)) if why.contains("`creating`")), "{outcome:?}");
    assert_eq!(bench.sim.changes().len(), sent);
    tokio::time::sleep(Duration::from_secs(7200)).await;
    let ready = copy().await.expect("shown");
    let name = format!("{}-final", ready.target.id);
    assert_eq!(sweep::final_snapshot(&ready).as_ref(), Some(&name));
    let calls = Calls::default();
    assert_eq!(sweep::mend(&bench.sim.cloud(), &calls, &ready, true).await, Ok(Outcome::Mended));
    let wanted = Mutation::DeleteDb { identifier: ready.target.id.clone(), final_snapshot: Some(name) };
    assert_eq!(*calls.0.lock().expect("no other thread panicked"), [wanted]);
}

#[tokio::test(start_paused = true)]
async fn what_something_still_stands_on_is_tried_again_for_a_while_and_a_database_later() {
    for (text, refusals, calls, least) in
        [(CUT, 0, 1, 2), (CUT, 2, 3, 8), (CUT, usize::MAX, 8, 60), (RESTORE, usize::MAX, 1, 0)]
    {
        let (bench, _) = left_behind(text, Stage::Recovery).await;
        tokio::time::sleep(Duration::from_secs(7200)).await;
        for l in found(&bench).await.leftovers.iter().filter(|l| l.need != Need::Remove) {
            assert_eq!(
                sweep::mend(&bench.sim.cloud(), &Notes::default(), l, false).await,
                Ok(Outcome::Mended)
            );
        }
        let made = found(&bench).await.leftovers.into_iter().find(|l| l.need == Need::Remove).expect("made");
        let sim = bench.sim.cloud();
        let in_use = Faulty::new(sim.mutate.clone(), move |n, _| (n < refusals).then_some(Fault::State));
        let cloud = Cloud { mutate: Arc::new(in_use), ..sim };
        let (notes, began) = (Notes::default(), bench.clock.stamp().mono_ms);
        let outcome = sweep::mend(&cloud, &notes, &made, false).await;
        let at = format!("{text} {refusals}: {outcome:?}");
        match outcome {
            Ok(Outcome::Mended) => assert!(refusals < 3, "{at}"),
            Ok(Outcome::NotYet(why)) => assert!(refusals > 3 && why.contains("not in this state"), "{at}"),
            _ => panic!("{at}"),
        }
        assert_eq!(notes.sent.lock().expect("no other thread panicked").len(), calls, "{at}");
        let took = (bench.clock.stamp().mono_ms - began) / 1_000;
        assert!((least..least + 9).contains(&took), "{took} s: {at}");
    }
}

/// How things were made is asked by their tag: an id that is gone by then would fail the whole call.
#[tokio::test(start_paused = true)]
async fn what_is_gone_since_it_was_listed_does_not_end_the_sweep() {
    let (bench, _) = left_behind(BESIDE, Stage::Verify).await;
    let reader =
        Reader::new(|_, operation| (operation == "ec2:DescribeInstances").then_some(Misread::NotFound));
    let cloud = reader.over(bench.sim.cloud());
    let shown = sweep::find(&cloud.reads, "us-east-1", true).await;
    assert_eq!(shown, Ok(found(&bench).await));
}

#[tokio::test(start_paused = true)]
async fn each_listing_is_read_once() {
    let (bench, _) = left_behind(CUT, Stage::Recovery).await;
    bench.sim.set_page_size(1_000);
    let before = bench.sim.calls().len();
    assert!(!found(&bench).await.leftovers.is_empty());
    let calls = bench.sim.calls().split_off(before);
    let sent = |operation: &str| calls.iter().filter(|c| c.operation == operation).count();
    assert_eq!((sent("rds:DescribeDBInstances"), sent("ec2:DescribeSubnets")), (1, 1));
    // with the subnets, by themselves, and how the run's was made
    assert_eq!(sent("ec2:DescribeRouteTables"), 3);
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_is_gone_without_a_replacement_is_said() {
    let bench = Bench::new(&drill("/health", LOSS)).await;
    let mut play = Play::start(&bench);
    play.stage(Stage::Recovery).await;
    let _journal_is_lost = play.killed().await;
    let left = swept(&bench).await;
    assert!(
        matches!(&left[..], [l] if l.target.id == target(&bench) && l.need.in_words().contains("it is gone")),
        "{left:?}"
    );
    assert_eq!(accepted(&bench, "ec2:RunInstances"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_restored_database_is_kept_where_its_original_is_gone_or_its_drill_says_so() {
    let text = RESTORE.replace("latest } }]", "latest } }, { action: wait, with: { for: 2h } }]");
    let keep = text.replace("target: it, with", "target: it, after: keep, with");
    for (text, original_goes) in [(&text, true), (&keep, false)] {
        for seconds in [60, 3600] {
            let bench = Bench::new(&drill("/health", text)).await;
            let original = target(&bench);
            let mut play = Play::start(&bench);
            play.stage(Stage::Recovery).await;
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            let _journal_is_lost = play.killed().await;
            if original_goes {
                bench.sim.edit_db(&original, |db| db.deletion_protection = false);
                meddle(&bench, Mutation::DeleteDb { identifier: original.clone(), final_snapshot: None })
                    .await;
            }
            let needs = of(&found(&bench).await.leftovers, kinds::RDS_INSTANCE);
            let wanted = Need::Keep { instead_of: original_goes.then(|| original.clone()) };
            assert!(needs.contains(&wanted), "{seconds} s: {needs:?}");
            tokio::time::sleep(Duration::from_secs(7200)).await;
            assert_eq!(swept(&bench).await, []);
            assert_eq!(accepted(&bench, "rds:DeleteDBInstance"), usize::from(original_goes));
            let all = bench.sim.cloud().reads.rds.instances(None, None).await.expect("reads").items;
            let copy = all.iter().find(|db| db.tags.contains_key(TAG_REPLACES)).expect("it stays");
            assert_eq!(copy.tags.keys().collect::<Vec<_>>(), [TAG_KEPT, TAG_REPLACES]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_and_stopped_by_a_run_is_started_and_still_kept() {
    let bench = Bench::new(&drill("/health", STOPPED)).await;
    let tags = Tags::from([(TAG_KEPT.to_owned(), "20260101T000000Z-a-bbbbbb".to_owned())]);
    meddle(&bench, Mutation::CreateTags { ids: vec![target(&bench)], tags }).await;
    let before = bench.sim.snapshot();
    let mut play = Play::start(&bench);
    play.stage(Stage::Impact).await;
    let _journal_is_lost = play.killed().await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    let kept = found(&bench).await.leftovers;
    let kept = kept.iter().find(|l| l.target.id == target(&bench)).expect("held, so it is left behind");
    assert_eq!((&kept.need, kept.run.as_str()), (&Need::Start, bench.run.as_str()));
    // a start that AWS has accepted may come to nothing: until it runs, the tag is all that finds the instance
    bench.sim.tune(|pace| pace.instance_start = redrill::model::Dur::hours(1));
    let outcome = sweep::mend(&bench.sim.cloud(), &Notes::default(), kept, true).await;
    assert!(matches!(&outcome, Ok(Outcome::NotYet(why)) if why.contains("is pending")), "{outcome:?}");
    let starting = found(&bench).await.leftovers.into_iter().find(|l| l.target.id == kept.target.id);
    assert!(starting.is_some_and(|l| matches!(l.need, Need::Person { .. })), "still held");
    bench.sim.tune(|pace| pace.instance_start = redrill::model::Dur::secs(25));
    bench.sim.edit_instance(&kept.target.id, |i, _| "stopped".clone_into(&mut i.state));
    let left = found(&bench).await.leftovers.into_iter().find(|l| l.target.id == kept.target.id);
    assert!(left.is_some_and(|l| l.need.in_words().contains("AWS does not say when it was stopped")));
    bench.sim.edit_instance(&kept.target.id, |i, _| (i.launched_at, i.stopped_at) = (None, kept.began));
    assert_eq!(swept(&bench).await, []);
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(before, bench.sim.snapshot());
}

#[tokio::test(start_paused = true)]
async fn a_subnet_that_a_recovery_moved_is_a_persons_who_is_told_where_it_stood() {
    let own = "attach-route-table, target: it }]";
    let after_a_fault = CUT.replace(own, &own.replace(" }]", ", with: { table: shop-public } }, WAIT]"));
    for text in [MOVED, &after_a_fault] {
        let text = text.replace("WAIT", "{ action: wait, id: on, with: { for: 10m } }");
        let bench = Bench::new(&drill("/health", &text)).await;
        let mut play = Play::start(&bench);
        play.stage(Stage::Recovery).await;
        play.until(|e| matches!(e, Event::StepApplied { .. })).await;
        tokio::time::sleep(Duration::from_secs(45)).await;
        let _journal_is_lost = play.killed().await;
        let was = &bench.plan.targets["it"].drawn[0].attrs["route_table"];
        let left = swept(&bench).await;
        let subnets = of(&left, kinds::VPC_SUBNET);
        assert!(!subnets.is_empty(), "{text}");
        for need in subnets {
            assert!(need.in_words().contains(&format!("it stood on {was} and is on rtb-")), "{need:?}");
        }
        assert!(left.iter().all(|l| l.target.tags.contains_key(TAG_HELD)), "the tag is still there");
    }
}

#[test]
fn what_the_tags_do_not_say_is_a_persons() {
    let owned = |all: &[(&str, &str)]| all.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let thing = |kind, id: &str, tags: &[(&str, &str)]| Target {
        kind,
        id: id.to_owned(),
        arn: None,
        name: None,
        tags: owned(tags),
        attrs: owned(&[("status", "available")]),
    };
    let births = |all: &[Target]| -> Births {
        all.iter().map(|t| ((t.kind, t.id.clone()), Birth { empty: true, ..Birth::default() })).collect()
    };
    let need = |all: &[Target]| sweep::decide(&all[0], all, &births(all));
    let person = |need: Need| matches!(need, Need::Person { .. });
    let db = kinds::RDS_INSTANCE;
    // what it was made from is not known
    assert!(person(need(&[thing(db, "copy", &[(TAG_RUN, "r")])])));
    assert!(person(need(&[thing(kinds::EC2_INSTANCE, "i-1", &[(TAG_RUN, "r")])])));
    // renamed to its original's name, it is no original
    let run = "20260101T000000Z-a-bbbbbb";
    let name = naming::copy_identifier(&RunId::from_existing(run), &StepId::new("s"), "orders");
    let copy = |id| thing(db, id, &[(TAG_RUN, run), (TAG_STEP, "s"), (TAG_REPLACES, "orders")]);
    let kept = Need::Keep { instead_of: Some("orders".to_owned()) };
    assert_eq!(need(&[copy("orders"), thing(db, "orders-old", &[])]), kept);
    assert_eq!(need(&[copy(&name), thing(db, "orders", &[])]), Need::Remove);
    assert!(person(need(&[copy("copy"), thing(db, "orders", &[])])), "a name that the run does not give");
    // of another kind
    assert_eq!(need(&[copy("copy"), thing(kinds::S3_BUCKET, "orders", &[])]), kept);
    // held by another run than the one that made it: put back before it is removed
    let mut both = thing(kinds::EC2_INSTANCE, "i-1", &[(TAG_RUN, "a")]);
    both.tags.insert(TAG_HELD.to_owned(), format!("{run} undo: ec2.stop-instances was running"));
    both.attrs.insert("state".to_owned(), "stopped".to_owned());
    let stopped = Birth { stopped: sweep::began(run), ..Birth::default() };
    let births = [((both.kind, both.id.clone()), stopped)].into();
    assert_eq!(sweep::decide(&both, std::slice::from_ref(&both), &births), Need::Start);
    // an undo that this redrill has never heard of
    let held = [(TAG_HELD, "r undo: rds.fail-over was zone-a")];
    assert!(person(need(&[thing(db, "orders", &held)])));
    // the table is gone on which the subnet stood
    let held = [(TAG_HELD, "20260301T120000Z-r-aaaaaa undo: vpc.detach-route-table was rtb-1")];
    let subnet = thing(kinds::VPC_SUBNET, "subnet-1", &held);
    assert!(person(need(std::slice::from_ref(&subnet))));
    let table = thing(kinds::VPC_ROUTE_TABLE, "rtb-1", &[]);
    // nothing shows that a run took it off: whoever may tag could have a private subnet put on a public table
    assert!(person(need(&[subnet.clone(), table.clone()])));
    let mut on = subnet;
    on.attrs.insert("route_table".to_owned(), "rtb-2".to_owned());
    let called = |run, name| {
        thing(kinds::VPC_ROUTE_TABLE, "rtb-2", &[(TAG_RUN, run), (TAG_STEP, "cut"), ("Name", name)])
    };
    let of = |run| called(run, "redrill cut empty");
    assert!(person(need(&[on.clone(), table.clone(), of("another")])));
    let back = Need::Reroute { from: "rtb-2".to_owned(), to: Some("rtb-1".to_owned()) };
    let of_the_run = of("20260301T120000Z-r-aaaaaa");
    assert_eq!(need(&[on.clone(), table.clone(), of_the_run.clone()]), back);
    // by its name it is somebody's, whatever its tags say
    let theirs = called("20260301T120000Z-r-aaaaaa", "isolated-db");
    assert!(person(need(&[on.clone(), table.clone(), theirs])));
    // one with routes is somebody's, whatever its tag says
    assert!(person(sweep::decide(&on, &[on.clone(), table, of_the_run], &Births::new())));
}

#[tokio::test(start_paused = true)]
async fn what_stands_on_the_main_table_is_a_persons() {
    let bench = Bench::new(&drill("/health", MAIN)).await;
    let mut play = Play::start(&bench);
    play.stage(Stage::Recovery).await;
    let _journal_is_lost = play.killed().await;
    let shown = found(&bench).await.leftovers;
    assert!(!shown.is_empty());
    for leftover in &shown {
        let words = leftover.need.in_words();
        assert!(matches!(leftover.need, Need::Person { .. }), "{leftover:?}");
        assert!(
            words.contains("it stood on rtb-") && words.contains("put it back unless somebody moved it"),
            "{words}"
        );
    }
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
    let outcome = sweep::mend(&bench.sim.cloud(), &Notes::default(), subnet, false).await;
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
        let kind = sweep::mend(&bench.sim.cloud(), &full, &l, false).await.unwrap_err().kind;
        assert_eq!(kind, ErrorKind::Journal);
    }
    assert_eq!(bench.sim.changes().len(), sent);
}

#[tokio::test(start_paused = true)]
async fn a_tag_that_names_no_run_is_found() {
    let bench = Bench::new(&drill("/health", CUT)).await;
    for blank in ["", " "] {
        let tags = Tags::from([(TAG_HELD.to_owned(), blank.to_owned())]);
        meddle(&bench, Mutation::CreateTags { ids: vec![target(&bench)], tags }).await;
        let all = found(&bench).await.leftovers;
        assert_eq!(all.len(), 1, "{all:?}");
        assert_eq!((all[0].target.id.as_str(), all[0].run.as_str()), (target(&bench).as_str(), ""));
    }
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_may_not_be_listed_is_named_and_does_not_hide_the_others() {
    let bench = Bench::new(&drill("/health", CUT)).await;
    let mut play = Play::start(&bench);
    play.stage(Stage::Recovery).await;
    let _journal_is_lost = play.killed().await;
    bench.sim.fail_next("rds:DescribeDBInstances", "AccessDenied", 100);
    let seen = found(&bench).await;
    assert_eq!(seen.denied, [(kinds::RDS_INSTANCE, "rds:DescribeDBInstances".to_owned())]);
    assert!(seen.leftovers.iter().any(|l| matches!(l.need, Need::Reroute { .. })), "{:?}", seen.leftovers);
    // where nothing may be listed, that is an error, and not an empty account
    for kind in
        ["ec2:DescribeInstances", "ec2:DescribeSubnets", "ec2:DescribeRouteTables", "s3:ListAllMyBuckets"]
    {
        bench.sim.fail_next(kind, "AccessDenied", 100);
    }
    let denied =
        sweep::find(&bench.sim.cloud().reads, "us-east-1", false).await.expect_err("nothing was seen");
    assert_eq!(denied.kind, redrill::cloud::ErrorKind::Denied);
}
