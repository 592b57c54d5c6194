//! What is put back, kept, mended and left to a person.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redrill::cloud::Mutation;
use redrill::cloud::faulty::{Fault, Faulty};
use redrill::engine::People;
use redrill::journal::writer::MemoryJournal;
use redrill::journal::{Event, Line, Mode};
use redrill::model::{Stage, Tags};
use redrill::sim::InstanceSeed;

use crate::bench::{Bench, dump};
use crate::play::{Play, accepted, again, drill, meddle, target};
use crate::world::differences;

const CUT: &str = "objectives: { rto: 10m }
targets: { it: { resource: vpc.subnet, tags: { service: shop, tier: private } } }
fault: [{ action: vpc.detach-route-table, target: it }]
recovery: [{ action: wait, with: { for: 30s } }]";
const RESTORE: &str = "objectives: { rto: 1h }
targets: { it: { resource: rds.instance, tags: { role: orders }, select: { count: 1 } } }
recovery: [{ id: restore, action: rds.restore-to-point-in-time, target: it, with: { to: -15m } }]
verify: [{ name: restored, probe: rds.instance, with: { identifier: \"${steps.restore.identifier}\", status: available } }]";

pub async fn association(bench: &Bench, subnet: &str) -> (String, String) {
    let filter = redrill::cloud::Filter::default();
    let tables = bench.sim.cloud().reads.ec2.route_tables(&filter, None).await.expect("reads").items;
    let on = tables.iter().find_map(|t| {
        let a = t.associations.iter().find(|a| a.subnet.as_deref() == Some(subnet))?;
        Some((a.id.clone(), t.id.clone()))
    });
    on.expect("the subnet has a table")
}

#[tokio::test(start_paused = true)]
async fn what_somebody_else_moved_is_left_and_finished_once_it_is_mended() {
    let bench = Bench::new(&drill("/health", CUT)).await;
    let before = bench.sim.snapshot();
    let subnet = target(&bench);
    let own = association(&bench, &subnet).await.1;
    let other = {
        let filter = redrill::cloud::Filter::default();
        let tables = bench.sim.cloud().reads.ec2.route_tables(&filter, None).await.unwrap().items;
        tables.into_iter().find(|t| t.tags.get("Name").is_some_and(|n| n == "shop-public")).unwrap().id
    };
    let mut play = Play::start(&bench);
    play.stage(Stage::Recovery).await;
    let (id, _) = association(&bench, &subnet).await;
    meddle(&bench, Mutation::ReplaceRouteTableAssociation { association: id, table: other.clone() }).await;
    let (ended, journal) = play.ends_with(20).await;
    assert!(ended.reasons[0].contains("somebody else acted"), "{:?}", ended.reasons);
    assert_eq!(association(&bench, &subnet).await.1, other, "foreign state is never overwritten");

    let (ended, journal) = again(&bench, Mode::Rollback, &journal).await;
    assert_eq!(ended.exit_code, 20, "it is not mended yet: {:?}", ended.reasons);
    let (id, _) = association(&bench, &subnet).await;
    meddle(&bench, Mutation::ReplaceRouteTableAssociation { association: id, table: own }).await;
    tokio::time::sleep(Duration::from_secs(7200)).await;
    let (ended, journal) = again(&bench, Mode::Rollback, &journal).await;
    assert_eq!(ended.exit_code, 0, "{:?}\n{}", ended.reasons, dump(&journal));
    assert_eq!(before, bench.sim.snapshot());
    // and once more: there is nothing left to do
    let changes = bench.sim.changes().len();
    let (ended, _) = again(&bench, Mode::Rollback, &journal).await;
    assert_eq!((ended.exit_code, bench.sim.changes().len()), (0, changes));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_where_what_undo_needs_must_not_be_written() {
    let bench = Bench::new(&drill("/health", CUT)).await;
    let before = bench.sim.snapshot();
    // a password that a probe fetched, and that stands in what the account says
    let (own, _) = association(&bench, &target(&bench)).await;
    let cloud = bench.sim.cloud();
    cloud.held.password(&redrill::cloud::Secret::new(own.clone()));
    let (ended, journal) = Play::of(&bench, cloud, People::Ask).ends_with(14).await;
    let told = |l: &Line| matches!(&l.event, Event::StepFailed { error, .. } if error.contains("is not written to disk"));
    assert!(journal.lines().iter().any(told), "{:?}\n{}", ended.reasons, dump(&journal));
    let sent = |l: &Line| matches!(l.event, Event::StepStarted { .. });
    assert!(!journal.lines().iter().any(sent), "{}", dump(&journal));
    assert!(!String::from_utf8(journal.bytes()).unwrap().contains(&own), "{}", dump(&journal));
    assert_eq!(before, bench.sim.snapshot());
}

#[tokio::test(start_paused = true)]
async fn nothing_is_broken_where_what_a_recovery_needs_must_not_be_written() {
    const REPLACE: &str = "objectives: { rto: 10m }
allow_irreversible: true
targets: { it: { resource: ec2.instance, tags: { role: web }, select: { count: 1 } } }
fault: [{ action: ec2.terminate-instances, target: it }]
recovery: [{ action: ec2.launch-replacement, target: it }]";
    let bench = Bench::new(&drill("/health", REPLACE)).await;
    let key = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
    bench.sim.edit_instance(&target(&bench), |i, _| _ = i.tags.insert("note".to_owned(), key.to_owned()));
    let before = bench.sim.snapshot();
    let cloud = bench.sim.cloud();
    cloud.held.credentials(key, None);
    let (ended, journal) = Play::of(&bench, cloud, People::Ask).ends_with(3).await;
    assert!(ended.reasons.iter().any(|r| r.contains("is not written to disk")), "{:?}", ended.reasons);
    assert!(!String::from_utf8(journal.bytes()).unwrap().contains(key), "{}", dump(&journal));
    assert_eq!(before, bench.sim.snapshot());
}

/// Subnets cut off, by a drill whose probe wants a secret.
pub async fn secret_bench() -> Bench {
    let text = drill("/health", CUT)
        .replace("status: 200", "status: 200, headers: { X-Token: \"${params.token}\" }")
        + "params: { token: { secret: true } }\n";
    let set = vec![("token".to_owned(), "kQ8vZ2pLr0".to_owned())];
    let loaded = redrill::drill::load("drill.yaml", &text, &redrill::drill::LoadOptions { env: None, set });
    Bench::planned(&loaded.unwrap_or_else(|p| panic!("{p}")), |_| {}).await
}

#[tokio::test(start_paused = true)]
async fn without_the_secret_of_its_probe_a_rollback_puts_back_and_waits_for_nobody() {
    let mut bench = secret_bench().await;
    let before = bench.sim.snapshot();
    let mut play = Play::start(&bench);
    play.stage(Stage::Recovery).await;
    let journal = play.killed().await;
    let secrets = std::mem::take(&mut bench.secrets);
    let began = bench.clock.now();
    let (ended, journal) = again(&bench, Mode::Rollback, &journal).await;
    assert_eq!(before, bench.sim.snapshot(), "undo needs no secret");
    assert!((bench.clock.now() - began).num_seconds() < 60, "it waited until {}", bench.clock.now());
    assert_eq!(ended.exit_code, 20, "{:?}", ended.reasons);
    assert_eq!(
        ended.reasons[0],
        "nobody could look whether the service is healthy: `shop` needs the secret parameter `token`, which was \
         not given"
    );
    let text = dump(&journal);
    assert!(
        text.contains(&format!("have it looked at: redrill rollback {} --set-env token=…", bench.run)),
        "{text}"
    );
    assert_eq!(waited(&journal), [false], "{text}");
    // with it somebody looks
    bench.secrets = secrets;
    let (ended, journal) = again(&bench, Mode::Rollback, &journal).await;
    assert_eq!(ended.exit_code, 0, "{:?}\n{}", ended.reasons, dump(&journal));
    assert_eq!(waited(&journal), [false, true], "{}", dump(&journal));
    assert_eq!(before, bench.sim.snapshot());
}

/// Of each end of the clean-up: whether it is told until when the service is waited for.
fn waited(journal: &MemoryJournal) -> Vec<bool> {
    let lines = journal.lines();
    let told = lines.iter().filter_map(|line| match line.event {
        Event::Cleaned { until } => Some(until.is_some()),
        _ => None,
    });
    told.collect()
}

#[tokio::test(start_paused = true)]
async fn a_tag_that_could_not_be_removed_is_removed_by_a_rollback() {
    let bench = Bench::new(&drill("/health", CUT)).await;
    let before = bench.sim.snapshot();
    let deny = |_, m: &Mutation| matches!(m, Mutation::DeleteTags { .. }).then_some(Fault::Deny);
    let cloud = bench.cloud(|inner| Arc::new(Faulty::new(inner, deny)));
    let (ended, journal) = Play::of(&bench, cloud, People::Ask).ends_with(20).await;
    assert!(ended.reasons[0].contains("redrill:held"), "{:?}", ended.reasons);
    assert_ne!(before, bench.sim.snapshot());
    let (ended, journal) = again(&bench, Mode::Rollback, &journal).await;
    assert_eq!(ended.exit_code, 0, "{:?}\n{}", ended.reasons, dump(&journal));
    assert_eq!(before, bench.sim.snapshot());
}

#[tokio::test(start_paused = true)]
async fn what_is_once_not_found_is_not_taken_for_gone_while_it_carries_the_tag() {
    let bench = Bench::new(&drill("/health", CUT)).await;
    let before = bench.sim.snapshot();
    let said = AtomicBool::new(false);
    let own = target(&bench);
    // of several, the first that is asked about alone; of one, the only call
    let missing = move |_: usize, m: &Mutation| match m {
        Mutation::DeleteTags { ids, .. } if ids.len() > 1 => Some(Fault::Missing),
        Mutation::DeleteTags { ids, .. } if *ids == [own.clone()] => {
            (!said.swap(true, Ordering::SeqCst)).then_some(Fault::Missing)
        }
        _ => None,
    };
    let cloud = bench.cloud(|inner| Arc::new(Faulty::new(inner, missing)));
    let (ended, journal) = Play::of(&bench, cloud, People::Ask).end().await;
    let ended = ended.unwrap_or_else(|e| panic!("{e}"));
    assert_ne!(ended.exit_code, 20, "{:?}\n{}", ended.reasons, dump(&journal));
    assert_eq!(before, bench.sim.snapshot(), "no tag is left");
}

const TWO: &str = "objectives: { rto: 10m }
targets:
  it: { resource: vpc.subnet, tags: { service: shop, tier: private } }
  web: { resource: ec2.instance, tags: { role: web }, select: { count: 1 } }
fault: [{ action: ec2.stop-instances, target: web }, { action: vpc.detach-route-table, target: it }]
recovery: [{ action: wait, with: { for: 30s } }]";

/// A run whose credentials expire when the clean-up begins, and the switch that renews them.
async fn logged_out(bench: &Bench) -> (Play, Arc<AtomicBool>) {
    let expired = Arc::new(AtomicBool::new(false));
    let switch = Arc::clone(&expired);
    let fail = move |_, _: &Mutation| switch.load(Ordering::SeqCst).then_some(Fault::Expire);
    let cloud = bench.cloud(|inner| Arc::new(Faulty::new(inner, fail)));
    let mut play = Play::of(bench, cloud, People::Ask);
    play.stage(Stage::Recovery).await;
    expired.store(true, Ordering::SeqCst);
    play.signal().await;
    (play, expired)
}

#[tokio::test(start_paused = true)]
async fn credentials_that_expire_in_the_clean_up_are_named_and_a_rollback_finishes() {
    let bench = Bench::new(&drill("/health", TWO)).await;
    let before = bench.sim.snapshot();
    let (mut play, _) = logged_out(&bench).await;
    play.stage(Stage::Undo).await;
    let began = bench.clock.now();
    play.until(|e| matches!(e, Event::Released { .. })).await;
    // one wait for somebody to log in, not one for each step
    let took = (bench.clock.now() - began).num_minutes();
    assert!((15..20).contains(&took), "{took} min");
    let (ended, journal) = play.ends_with(20).await;
    assert_ne!(before, bench.sim.snapshot());
    for reason in ended.reasons.iter().filter(|r| r.contains("put back")) {
        assert!(reason.contains("the AWS credentials are expired or not valid; log in again"), "{reason}");
    }
    let stuck = |line: Line| if let Event::Stuck { hint, .. } = line.event { Some(hint) } else { None };
    let hints: Vec<String> = journal.lines().into_iter().filter_map(stuck).collect();
    // both subnets and the instance, whose tags stay until they are put back; and the shop, which is still down
    let next =
        format!("log in again, or set fresh credentials, then finish with: redrill rollback {}", bench.run);
    let (login, other): (Vec<_>, Vec<_>) = hints.iter().partition(|h| **h == next);
    assert_eq!((login.len(), other.len()), (3, 1), "{hints:?}");
    assert_eq!(other[0], "what is not put back may be why: finish that first");
    let (ended, journal) = again(&bench, Mode::Rollback, &journal).await;
    assert_eq!(ended.exit_code, 0, "{:?}\n{}", ended.reasons, dump(&journal));
    assert_eq!(before, bench.sim.snapshot());
}

#[tokio::test(start_paused = true)]
async fn a_clean_up_goes_on_when_somebody_logs_in_meanwhile() {
    let bench = Bench::new(&drill("/health", TWO)).await;
    let before = bench.sim.snapshot();
    let (mut play, expired) = logged_out(&bench).await;
    play.until(|e| matches!(e, Event::UndoFailed { attempt: 8, .. })).await;
    expired.store(false, Ordering::SeqCst);
    play.ends_with(13).await;
    assert_eq!(before, bench.sim.snapshot());
}

#[tokio::test(start_paused = true)]
async fn a_run_taken_up_hours_later_still_looks_before_it_judges() {
    let bench = Bench::new(&drill("/health", CUT)).await;
    let before = bench.sim.snapshot();
    let mut play = Play::start(&bench);
    play.until(|e| matches!(e, Event::Cleaned { .. } | Event::Released { .. })).await;
    for _ in 0..3 {
        play.signal().await;
    }
    let (_, journal) = play.end().await;
    tokio::time::sleep(Duration::from_secs(6 * 3600)).await;
    let (ended, journal) = again(&bench, Mode::Resume, &journal).await;
    assert_ne!(ended.exit_code, 20, "{:?}\n{}", ended.reasons, dump(&journal));
    assert_eq!(before, bench.sim.snapshot());
}

/// A run that was killed in its outage, with the journal cut before the first line of a kind.
async fn cut_before(bench: &Bench, first: impl Fn(&Event) -> bool) -> MemoryJournal {
    let mut play = Play::start(bench);
    play.stage(Stage::Recovery).await;
    let journal = play.killed().await;
    let at = journal.lines().iter().position(|l| first(&l.event)).expect("it came so far");
    let bytes: Vec<u8> =
        journal.bytes().split_inclusive(|b| *b == b'\n').take(at).flatten().copied().collect();
    MemoryJournal::resume(&bytes).expect("whole lines").0
}

#[tokio::test(start_paused = true)]
async fn a_journal_from_before_the_tags_is_not_taken_up() {
    for mode in [Mode::Rollback, Mode::Resume] {
        let bench = Bench::new(&drill("/health", CUT)).await;
        let journal = cut_before(&bench, |e| matches!(e, Event::Holding { .. })).await;
        let changes = bench.sim.changes().len();
        let lines = journal.lines();
        let (_keep, control) = tokio::sync::mpsc::channel(1);
        let setup = bench.setup(mode, Arc::new(journal), lines, bench.sim.cloud());
        let refused = redrill::engine::run(setup, control).await.expect_err("it would put nothing back");
        assert_eq!(
            refused.to_string(),
            format!("{} carries the tag of this run, and the journal knows nothing of that", target(&bench))
        );
        assert_eq!(bench.sim.changes().len(), changes, "nothing is changed");
    }
}

#[tokio::test(start_paused = true)]
async fn a_journal_from_before_the_fault_is_never_rolled_back_to_stopped() {
    let bench = Bench::new(&drill("/health", CUT)).await;
    let started = |e: &Event| matches!(e, Event::StepStarted { .. } | Event::StepPrepared { .. });
    let journal = cut_before(&bench, started).await;
    let (ended, journal) = again(&bench, Mode::Rollback, &journal).await;
    assert_eq!(ended.exit_code, 20, "{:?}\n{}", ended.reasons, dump(&journal));
    let told = ended.reasons.join(" ");
    assert!(told.contains("the steady state did not return after the clean-up"), "{told}");
}

#[tokio::test(start_paused = true)]
async fn a_denied_replacement_is_launched_by_a_later_rollback() {
    let text = "objectives: { rto: 10m }
allow_irreversible: true
targets: { it: { resource: ec2.instance, tags: { role: web }, select: { count: 1 } } }
fault: [{ action: ec2.terminate-instances, target: it }]
recovery: [{ action: ec2.launch-replacement, target: it }]";
    let bench = Bench::new(&drill("/health", text)).await;
    let before = bench.sim.snapshot();
    let deny = |_, m: &Mutation| matches!(m, Mutation::RunInstances { .. }).then_some(Fault::Deny);
    let cloud = bench.cloud(|inner| Arc::new(Faulty::new(inner, deny)));
    let (ended, journal) = Play::of(&bench, cloud, People::Ask).ends_with(20).await;
    assert!(ended.reasons.iter().any(|r| r.contains("is not mended")), "{:?}", ended.reasons);
    let (ended, journal) = again(&bench, Mode::Rollback, &journal).await;
    assert_eq!(ended.exit_code, 0, "{:?}\n{}", ended.reasons, dump(&journal));
    assert_eq!(differences(&before, &bench.sim.snapshot(), bench.run.as_str(), false), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_refused_for_one_member_is_split_and_only_what_is_gone_is_replaced() {
    let text = "objectives: { rto: 10m }
allow_irreversible: true
targets: { it: { resource: ec2.instance, tags: { role: web } } }
fault: [{ action: ec2.terminate-instances, target: it }]
recovery: [{ action: ec2.launch-replacement, target: it }]";
    let bench = Bench::new(&drill("/health", text)).await;
    let before = bench.sim.snapshot();
    let survivor = target(&bench);
    // the protection comes after the last look, with the tags that hold the targets
    let (sim, id) = (Arc::clone(&bench.sim), survivor.clone());
    let protect = move |_, m: &Mutation| {
        if matches!(m, Mutation::CreateTags { tags, .. } if tags.contains_key("redrill:held")) {
            sim.protect(&id);
        }
        None
    };
    let cloud = bench.cloud(|inner| Arc::new(Faulty::new(inner, protect)));
    let (_, journal) = Play::of(&bench, cloud, People::Ask).ends_with(14).await;
    bench.sim.edit_instance(&survivor, |_, d| d.disable_api_termination = false);
    tokio::time::sleep(Duration::from_secs(300)).await;
    let wrong = differences(&before, &bench.sim.snapshot(), bench.run.as_str(), false);
    assert_eq!(wrong, [""; 0], "{}", dump(&journal));
    assert_eq!(accepted(&bench, "ec2:RunInstances"), 2, "the one that stands is not replaced");
}

#[tokio::test(start_paused = true)]
async fn a_fleet_is_terminated_with_one_call_a_zone_and_decoys_are_left_alone() {
    let text = "objectives: { rto: 10m }
allow_irreversible: true
impact: none-expected
targets: { it: { resource: ec2.instance, tags: { fleet: big } } }
fault: [{ action: ec2.terminate-instances, target: it }]";
    let mut decoys = Vec::new();
    let mut subnets = Vec::new();
    let bench = Bench::with(&drill("/", text), |sim| {
        let shop = sim.snapshot();
        subnets = ["10.20.10.0/24", "10.20.11.0/24"]
            .map(|cidr| {
                let all = shop["subnets"].as_object().unwrap();
                all.iter().find(|(_, s)| s["cidr"] == cidr).unwrap().0.clone()
            })
            .to_vec();
        for n in 0..255 {
            let fleet = if n % 51 == 50 { "bigger" } else { "big" };
            let id = sim.add_instance(&InstanceSeed {
                name: format!("fleet-{n}"),
                subnet: subnets[n % 2].clone(),
                instance_type: "t3.small".to_owned(),
                security_groups: vec![],
                tags: Tags::from([("fleet".to_owned(), fleet.to_owned())]),
                user_data: None,
            });
            if fleet == "bigger" {
                decoys.push(id);
            }
        }
    })
    .await;
    assert_eq!((bench.plan.targets["it"].drawn.len(), decoys.len()), (250, 5));
    Play::start(&bench).ends_with(0).await;
    assert_eq!(accepted(&bench, "ec2:TerminateInstances"), 2);
    let after = bench.sim.snapshot();
    let left = after["instances"].as_object().unwrap();
    assert!(decoys.iter().all(|id| left.contains_key(id)));
    assert_eq!(left.len(), 5 + 4, "the decoys and the shop's own");
}

#[tokio::test(start_paused = true)]
async fn a_recovery_whose_answer_was_lost_is_found_and_not_applied_twice() {
    let bench = Bench::new(&drill("/", RESTORE)).await;
    let before = bench.sim.snapshot();
    let lose = |_, m: &Mutation| matches!(m, Mutation::RestoreDb { .. }).then_some(Fault::LoseAnswer);
    let cloud = bench.cloud(|inner| Arc::new(Faulty::new(inner, lose)));
    let (ended, _) = Play::of(&bench, cloud, People::Ask).ends_with(0).await;
    let restores: Vec<_> =
        bench.sim.changes().into_iter().filter(|c| c.operation.contains("RestoreDB")).collect();
    assert_eq!(restores.len(), 1);
    let least = i64::try_from(bench.sim.restore_time().0.as_millis()).unwrap();
    assert!(ended.measured.rta_ms.is_some_and(|ms| ms >= least), "{:?}", ended.measured);
    assert_eq!(before, bench.sim.snapshot());
}

#[tokio::test(start_paused = true)]
async fn a_pending_restore_that_is_given_up_is_waited_for_and_removed() {
    for stop in [false, true] {
        let give_up = if stop { "2h" } else { "5m" };
        let text = RESTORE.replace("rto: 1h", &format!("rto: 4m, give_up: {give_up}"));
        let bench = Bench::new(&drill("/", &text)).await;
        let before = bench.sim.snapshot();
        let mut play = Play::start(&bench);
        play.until(|e| matches!(e, Event::StepApplied { .. })).await;
        if stop {
            play.signal().await;
        }
        let (_, journal) = play.ends_with(if stop { 13 } else { 11 }).await;
        assert_eq!(accepted(&bench, "rds:DeleteDBInstance"), 1, "{}", dump(&journal));
        assert_eq!(before, bench.sim.snapshot());
    }
}

#[tokio::test(start_paused = true)]
async fn what_recoveries_made_is_kept_or_removed_as_the_drill_says() {
    for (after, kept) in [("remove", false), ("keep", true)] {
        let text = RESTORE.replace("target: it, with", &format!("target: it, after: {after}, with"));
        let bench = Bench::new(&drill("/", &text)).await;
        let before = bench.sim.snapshot();
        let (_, journal) = Play::start(&bench).ends_with(0).await;
        let now = bench.sim.snapshot();
        assert_eq!(before == now, !kept, "{after}\n{}", dump(&journal));
        let count = |s: &serde_json::Value| s["databases"].as_object().unwrap().len();
        assert_eq!(count(&now) - count(&before), usize::from(kept));
        let text = now["databases"].to_string();
        assert_eq!(text.contains("redrill:kept"), kept);
        assert!(!text.contains("redrill:run") && !text.contains("redrill:held"), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_never_made_needs_not_be_kept() {
    let text = RESTORE.replace("target: it, with", "target: it, after: keep, with");
    let bench = Bench::new(&drill("/", &text)).await;
    let before = bench.sim.snapshot();
    let lose = |_, m: &Mutation| matches!(m, Mutation::RestoreDb { .. }).then_some(Fault::LoseRequest);
    let cloud = bench.cloud(|inner| Arc::new(Faulty::new(inner, lose)));
    let (_, journal) = Play::of(&bench, cloud, People::Ask).ends_with(14).await;
    assert_eq!(before, bench.sim.snapshot(), "{}", dump(&journal));
}

#[tokio::test(start_paused = true)]
async fn the_held_tag_is_there_before_the_first_change_and_gone_after_the_last() {
    let bench = Bench::new(&drill("/health", CUT)).await;
    Play::start(&bench).ends_with(11).await;
    let changes = bench.sim.changes();
    let (first, last) = (changes.first().unwrap(), changes.last().unwrap());
    assert_eq!((first.operation.as_str(), last.operation.as_str()), ("ec2:CreateTags", "ec2:DeleteTags"));
    let value = first.change.as_ref().unwrap().to_string();
    assert!(
        value.contains(bench.run.as_str()) && value.contains("vpc.detach-route-table was rtb-"),
        "{value}"
    );
    for t in &bench.plan.targets["it"].drawn {
        assert!(value.contains(&t.id), "{} is held", t.id);
    }
    assert!(!bench.sim.snapshot().to_string().contains("redrill:held"));
}

/// The usual cut-over, in the middle of a run: the source gives its name to the copy.
#[tokio::test(start_paused = true)]
async fn a_copy_that_took_the_name_of_its_source_is_told_and_the_source_is_let_go_of() {
    let steps = RESTORE.replace("-15m } }]", "-15m } }, { manual: Cut over, id: cut-over }]");
    let bench = Bench::new(&drill("/", &steps)).await;
    let mut play = Play::start(&bench);
    play.until(|e| matches!(e, Event::Waiting { .. })).await;
    let copy = bench.sim.cloud().reads.rds.instances(None, None).await.expect("reads").items;
    let copy = copy.into_iter().find(|d| d.tags.contains_key("redrill:run")).expect("the copy").identifier;
    bench.sim.rename_db("shop-orders", "shop-orders-old");
    bench.sim.rename_db(&copy, "shop-orders");
    play.signal().await;
    let (ended, journal) = play.ends_with(20).await;
    let said = format!("{copy} was renamed to shop-orders and may be what serves");
    assert!(ended.reasons.iter().any(|r| r.contains(&said)), "{:?}", ended.reasons);
    let now = bench.sim.snapshot().to_string();
    assert!(!now.contains("redrill:held"), "the source, by its new name, is let go of: {}", dump(&journal));
    assert_eq!(accepted(&bench, "rds:DeleteDBInstance"), 0);
    assert!(
        journal
            .lines()
            .iter()
            .any(|l| matches!(&l.event, Event::Renamed { target, .. } if target == "shop-orders"))
    );
    // whoever verifies the run knows that a database may have another name at the end
    assert_eq!(redrill::engine::strangers::strangers(&bench.plan, &journal.lines()), Default::default());
}

#[tokio::test(start_paused = true)]
async fn a_copy_to_keep_is_kept_under_whatever_name_it_has_by_then() {
    for name in ["shop-orders", "orders-new"] {
        let steps = RESTORE
            .replace("target: it, with", "target: it, after: keep, with")
            .replace("-15m } }]", "-15m } }, { manual: Cut over, id: cut-over }]");
        let bench = Bench::new(&drill("/", &steps)).await;
        let mut play = Play::start(&bench);
        play.until(|e| matches!(e, Event::Waiting { .. })).await;
        let all = bench.sim.cloud().reads.rds.instances(None, None).await.expect("reads").items;
        let copy = all.into_iter().find(|d| d.tags.contains_key("redrill:run")).expect("the copy").identifier;
        bench.sim.rename_db("shop-orders", "shop-orders-old");
        bench.sim.rename_db(&copy, name);
        play.signal().await;
        let (ended, journal) = play.ends_with(13).await;
        let kept = bench.sim.snapshot()["databases"][name].to_string();
        assert!(kept.contains("redrill:kept") && !kept.contains("redrill:run"), "{:?}", ended.reasons);
        let now = bench.sim.snapshot().to_string();
        assert!(!now.contains("redrill:held") && !now.contains("redrill:step"), "{}", dump(&journal));
        assert_eq!(redrill::engine::strangers::strangers(&bench.plan, &journal.lines()), Default::default());
    }
}
