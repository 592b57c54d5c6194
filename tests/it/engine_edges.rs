//! Corners where a run could say more than it knows, or touch what is not its own.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use redrill::cloud::{
    Cloud, CloudError, CloudResult, CommandOutput, CommandRequest, ErrorKind, Filter, HttpRequest,
    HttpResponse, Local, Mutation, Net, SqlAnswer, SqlRequest, Starting,
};
use redrill::engine::{self, Control, Ended, EngineError, People};
use redrill::journal::writer::MemoryJournal;
use redrill::journal::{Event, Mode};
use redrill::model::{Health, Stage, Tags, World};
use tokio::sync::mpsc;

use crate::bench::{Bench, dump};
use crate::play::{Play, drill, meddle, target};

const CUT: &str = "objectives: { rto: 10m }
targets: { it: { resource: vpc.subnet, tags: { service: shop, tier: private } } }
fault: [{ action: vpc.detach-route-table, target: it }]
recovery: [{ action: vpc.attach-route-table, target: it }]";

#[tokio::test(start_paused = true)]
async fn a_drill_that_changes_nothing_is_not_passed() {
    let waits = "targets: {}\nrecovery: [{ action: wait, with: { for: 10s } }]";
    let before = "targets: {}\nimpact: none-expected\nfault: [{ action: wait, with: { for: 10s } }]";
    // the table was never detached: there is nothing to attach
    let idle = "targets: { it: { resource: vpc.subnet, tags: { service: shop, tier: private } } }
recovery: [{ action: vpc.attach-route-table, target: it }]";
    for steps in [waits, before, idle] {
        let bench = Bench::new(&drill("/", &format!("objectives: {{ rto: 10m }}\n{steps}"))).await;
        let (ended, _) = Play::start(&bench).ends_with(12).await;
        assert_eq!(ended.reasons, ["nothing was broken and nothing recovered: no step had anything to do"]);
    }
}

/// The sample shop as an emulator has it.
async fn emulated(text: &str) -> (Bench, Cloud) {
    let mut bench = Bench::new(text).await;
    let mut plan = (*bench.plan).clone();
    (plan.world, plan.endpoint) = (World::Emulator, Some("http://127.0.0.1:5001".to_owned()));
    bench.plan = Arc::new(plan);
    let mut cloud = bench.sim.cloud();
    cloud.world = World::Emulator;
    (bench, cloud)
}

async fn taken_up(bench: &Bench, bytes: &[u8], mut cloud: Cloud, mode: Mode) -> Result<Ended, EngineError> {
    let (journal, read) = MemoryJournal::resume(bytes).expect("whole lines");
    cloud.world = World::Emulator;
    let setup = bench.setup(mode, Arc::new(journal), read.lines, cloud);
    let (_keep, control) = mpsc::channel::<Control>(1);
    engine::run(setup, control).await
}

#[tokio::test(start_paused = true)]
async fn an_emulator_that_was_started_anew_at_the_same_address_is_another_one() {
    let (bench, cloud) = emulated(&drill("/health", CUT)).await;
    let mut play = Play::of(&bench, cloud.clone(), People::Ask);
    play.stage(Stage::Recovery).await;
    let bytes = play.killed().await.bytes();
    // the same estate, and nobody holds anything in it
    let anew = bench.again();
    for mode in [Mode::Rollback, Mode::Resume] {
        let error = taken_up(&bench, &bytes, anew.sim.cloud(), mode).await.expect_err("another emulator");
        let says = "http://127.0.0.1:5001 is not the emulator that the run was started in";
        assert!(matches!(&error, EngineError::OtherWorld(text) if text.starts_with(says)), "{error:?}");
        assert!(anew.sim.changes().is_empty());
    }
    let ended = taken_up(&bench, &bytes, cloud, Mode::Rollback).await.expect("its own");
    assert_eq!(ended.exit_code, 0, "{:?}", ended.reasons);
}

#[tokio::test(start_paused = true)]
async fn an_emulator_in_which_the_tags_are_gone_because_the_run_removed_them_is_the_same_one() {
    let (bench, cloud) = emulated(&drill("/health", CUT)).await;
    let (_, journal) = Play::of(&bench, cloud.clone(), People::Ask).ends_with(0).await;
    let at =
        journal.lines().iter().position(|l| matches!(l.event, Event::Released { .. })).expect("released");
    // killed between the call and the line that says so
    let bytes: Vec<u8> =
        journal.bytes().split_inclusive(|b| *b == b'\n').take(at).flatten().copied().collect();
    let ended = taken_up(&bench, &bytes, cloud, Mode::Rollback).await.expect("the same");
    assert_eq!(ended.exit_code, 0, "{:?}", ended.reasons);
}

#[tokio::test(start_paused = true)]
async fn a_run_is_not_taken_up_in_another_partition() {
    let mut bench = Bench::new(&drill("/health", CUT)).await;
    let mut plan = (*bench.plan).clone();
    plan.caller = plan.caller.replacen("arn:aws:", "arn:aws-cn:", 1);
    bench.plan = Arc::new(plan);
    let mut play = Play::start(&bench);
    play.stage(Stage::Recovery).await;
    let bytes = play.killed().await.bytes();
    let (journal, read) = MemoryJournal::resume(&bytes).expect("whole lines");
    let setup = bench.setup(Mode::Rollback, Arc::new(journal), read.lines, bench.sim.cloud());
    let (_keep, control) = mpsc::channel::<Control>(1);
    let error = engine::run(setup, control).await.expect_err("another partition");
    assert!(
        matches!(&error, EngineError::OtherWorld(text) if text.contains("partition aws-cn")),
        "{error:?}"
    );
}

/// Programs that end well and are seen to do nothing, in front of a probe that any answer satisfies.
#[tokio::test(start_paused = true)]
async fn a_drill_that_nobody_sees_doing_anything_is_not_passed() {
    const PROGRAMS: &str = "objectives: { rto: 10m }
targets: {}
impact: none-expected
fault: [{ id: break, action: command, with: { argv: [/bin/true] } }]
recovery: [{ id: mend, action: command, with: { argv: [/bin/true] } }]";
    let verify = |probe: &str| format!("{PROGRAMS}\nverify: [{probe}]");
    let any =
        "{ name: v, probe: http, with: { url: \"http://127.0.0.1:8080/x\", status: \"???\" }, every: 1s }";
    let one = any.replace("\"???\"", "200");
    for (text, code) in [
        // nor does a probe that any answer satisfies show that no client felt anything
        (drill("/", PROGRAMS).replace("status: 200", "status: [\"???\"]"), 15),
        (drill("/", PROGRAMS), 12),
        (drill("/", &verify(any)), 12),
        // an answer that nobody saw otherwise
        (drill("/", &verify(&one)), 12),
        // a fault alone: nothing was recovered that it could look at
        (
            drill("/", &verify(&one))
                .replace("recovery: [{ id: mend, action: command, with: { argv: [/bin/true] } }]", ""),
            12,
        ),
    ] {
        let bench = Bench::new(&text).await;
        let warned = bench.plan.findings.iter().any(|f| f.text.contains("any answer satisfies"));
        assert_eq!(warned, text.contains("???"), "{:?}", bench.plan.findings);
        let (ended, _) = Play::start(&bench).ends_with(code).await;
        let told = ended.reasons.iter().any(|r| r.starts_with("nothing was seen to change"));
        assert!(told, "{:?}", ended.reasons);
    }
    // a program whose effect clients feel, and one that a probe sees
    let bench = Bench::new(&drill("/", PROGRAMS)).await;
    let mut play = Play::start(&bench);
    play.stage(Stage::Impact).await;
    bench.sim.answer_http("http://127.0.0.1:8080/", 503, "");
    play.until(|e| matches!(e, Event::Observed { health: Health::Unhealthy, .. })).await;
    bench.sim.answer_http("http://127.0.0.1:8080/", 200, "");
    // the drill says that they would not
    play.ends_with(10).await;
}

#[tokio::test(start_paused = true)]
async fn a_run_is_not_taken_up_in_another_region() {
    let bench = Bench::new(&drill("/health", CUT)).await;
    let mut play = Play::start(&bench);
    play.stage(Stage::Recovery).await;
    let bytes = play.journal.bytes();
    drop(play);
    let (journal, read) = MemoryJournal::resume(&bytes).expect("whole lines");
    let mut elsewhere = bench.sim.cloud();
    elsewhere.region = "eu-west-1".to_owned();
    let changes = bench.sim.changes().len();
    let setup = bench.setup(Mode::Rollback, Arc::new(journal), read.lines, elsewhere);
    let (_keep, control) = mpsc::channel::<Control>(1);
    let error = engine::run(setup, control).await.expect_err("another region");
    assert!(matches!(&error, EngineError::OtherWorld(text) if text.contains("eu-west-1")), "{error:?}");
    assert!(bench.sim.changes().len() >= changes, "nothing is taken back that is not there");
}

/// Half of the requests are never answered.
struct HalfDead(Arc<dyn Net>, AtomicUsize);

#[async_trait]
impl Net for HalfDead {
    async fn http(&self, request: &HttpRequest) -> CloudResult<HttpResponse> {
        if self.1.fetch_add(1, Ordering::SeqCst).is_multiple_of(2) {
            return self.0.http(request).await;
        }
        tokio::time::sleep(Duration::from_millis(1500)).await;
        Err(CloudError::new("http", ErrorKind::Unreachable, "connection reset"))
    }
    async fn tcp(&self, host: &str, port: u16, link_local: bool) -> CloudResult<()> {
        self.0.tcp(host, port, link_local).await
    }
    async fn sql(&self, request: &SqlRequest) -> CloudResult<SqlAnswer> {
        self.0.sql(request).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_loses_every_second_request_is_not_steady() {
    let bench = Bench::new(&drill("/", CUT)).await;
    let mut cloud = bench.sim.cloud();
    cloud.reads.net = Arc::new(HalfDead(Arc::clone(&cloud.reads.net), AtomicUsize::new(0)));
    let (_, journal) = Play::of(&bench, cloud, People::Ask).ends_with(4).await;
    let unhealthy = |e: &Event| matches!(e, Event::Observed { health: Health::Unhealthy, seen, .. } if seen.contains("reset"));
    assert!(journal.lines().iter().any(|l| unhealthy(&l.event)), "late answers count:\n{}", dump(&journal));
    assert_eq!(bench.sim.changes(), []);
}

#[tokio::test(start_paused = true)]
async fn a_fault_by_hand_starts_the_clock_and_can_be_given_up() {
    let text = "objectives: { rto: 5m, give_up: 10m }
impact: none-expected
targets: {}
fault: [{ manual: Pull the plug, id: pull }]
verify: [{ name: never, probe: http, with: { url: \"http://other.example\", status: 418 }, every: 1s }]";
    let bench = Bench::new(&drill("/", text)).await;
    let play = Play::of(&bench, bench.sim.cloud(), People::Simulate(Duration::from_secs(1)));
    let (ended, journal) = play.ends_with(11).await;
    assert!(ended.reasons[0].contains("give_up"), "{:?}\n{}", ended.reasons, dump(&journal));
}

/// A server is lost that clients are said not to miss; the group is counted with `at_least`.
async fn lost_with_capacity(at_least: u32) -> Bench {
    let text = "objectives: { rto: 5m }
impact: none-expected
allow_irreversible: true
targets: { it: { resource: ec2.instance, tags: { role: web }, select: { count: 1 } } }
fault: [{ action: ec2.terminate-instances, target: it }]";
    let probe = format!(
        "steady_state:\n  - {{ name: servers, probe: ec2.instances, with: {{ tags: {{ role: web }}, at_least: {at_least} }}, every: 1s, role: capacity }}\n",
    );
    Bench::new(&drill("/", text).replace("steady_state:\n", &probe)).await
}

#[tokio::test(start_paused = true)]
async fn capacity_that_never_came_back_is_not_passed() {
    let bench = lost_with_capacity(3).await;
    let (ended, _) = Play::start(&bench).ends_with(11).await;
    assert!(ended.reasons[0].contains("capacity was not back"), "{:?}", ended.reasons);
}

#[tokio::test(start_paused = true)]
async fn capacity_that_never_dropped_is_neither_lost_nor_passed() {
    let bench = lost_with_capacity(1).await;
    let (ended, _) = Play::start(&bench).ends_with(12).await;
    assert_eq!(ended.reasons[0], "no probe saw the fault: capacity did not drop either");
    assert!(!ended.measured.capacity_lost);
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_its_own_right_before_the_fault_is_not_the_drills() {
    let bench = Bench::new(&drill("/", CUT)).await;
    // somebody else's outage begins while the targets are tagged
    let sim = Arc::clone(&bench.sim);
    let break_it = move |_, m: &Mutation| {
        if matches!(m, Mutation::CreateTags { tags, .. } if tags.contains_key("redrill:held")) {
            sim.answer_http("http://127.0.0.1:8080/", 503, "");
        }
        None
    };
    let slow_tags = bench
        .cloud(|inner| Arc::new(SlowTags(Arc::new(redrill::cloud::faulty::Faulty::new(inner, break_it)))));
    let (ended, journal) = Play::of(&bench, slow_tags, People::Ask).end().await;
    let ended = ended.unwrap_or_else(|e| panic!("{e:?}"));
    assert_eq!(crate::play::accepted(&bench, "ec2:ReplaceRouteTableAssociation"), 0, "{}", dump(&journal));
    // the steady state does not come back by itself, so a person is asked to look
    assert!([4, 20].contains(&ended.exit_code), "{:?}", ended.reasons);
}

/// Tagging takes long enough for the probes to look again.
struct SlowTags(Arc<dyn redrill::cloud::Mutate>);

#[async_trait]
impl redrill::cloud::Mutate for SlowTags {
    async fn send(&self, mutation: &Mutation) -> CloudResult<redrill::cloud::Reply> {
        let reply = self.0.send(mutation).await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        reply
    }
}

/// The first change, the tags that hold the targets, always fails like this.
struct NoTags(Arc<dyn redrill::cloud::Mutate>, ErrorKind);

#[async_trait]
impl redrill::cloud::Mutate for NoTags {
    async fn send(&self, mutation: &Mutation) -> CloudResult<redrill::cloud::Reply> {
        match mutation {
            Mutation::CreateTags { .. } => Err(CloudError::new("ec2:CreateTags", self.1, "as the test says")),
            _ => self.0.send(mutation).await,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_aws_that_is_gone_before_the_first_change_is_not_a_refusal_of_the_targets() {
    use ErrorKind as K;
    for (kind, code) in
        [(K::Unreachable, 5), (K::Expired, 5), (K::Denied, 5), (K::Limit, 3), (K::NotFound, 3)]
    {
        let bench = Bench::new(&drill("/health", CUT)).await;
        let before = bench.sim.snapshot();
        let cloud = bench.cloud(|inner| Arc::new(NoTags(inner, kind)));
        let (ended, _) = Play::of(&bench, cloud, People::Ask).ends_with(code).await;
        assert!(ended.reasons[0].contains("could not be tagged as held"), "{kind:?}: {:?}", ended.reasons);
        assert_eq!(before, bench.sim.snapshot(), "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_tag_that_another_run_has_set_meanwhile_is_left() {
    let bench = Bench::new(&drill("/health", CUT)).await;
    let mut play = Play::start(&bench);
    play.stage(Stage::Recovery).await;
    let id = target(&bench);
    let foreign = Tags::from([("redrill:held".to_owned(), "20260101T000000Z-other-abcdef".to_owned())]);
    meddle(&bench, Mutation::CreateTags { ids: vec![id.clone()], tags: foreign }).await;
    play.ends_with(0).await;
    let left = bench.sim.snapshot().to_string();
    assert_eq!(left.matches("20260101T000000Z-other-abcdef").count(), 1, "the other run's tag stays");
    assert_eq!(left.matches("redrill:held").count(), 1, "ours are gone");
}

/// This machine, if it had that address.
struct Here(Arc<dyn Local>, IpAddr, bool);

#[async_trait]
impl Local for Here {
    async fn run(&self, request: &CommandRequest, starting: &dyn Starting) -> CloudResult<CommandOutput> {
        self.0.run(request, starting).await
    }
    fn addresses(&self) -> Vec<IpAddr> {
        vec![self.1]
    }
    fn is_contained(&self) -> bool {
        self.2
    }
}

fn at(bench: &Bench, ip: &str, contained: bool) -> Cloud {
    let mut cloud = bench.sim.cloud();
    cloud.local = Arc::new(Here(Arc::clone(&cloud.local), ip.parse().expect("an address"), contained));
    cloud
}

/// A task, a pod or a build has an address in the subnet, and no instance of its own.
#[tokio::test(start_paused = true)]
async fn a_drill_that_would_cut_off_the_subnet_that_redrill_runs_in_is_refused() {
    let nat = CUT.replace("tier: private }", "tier: public }, where: { name: shop-public-a }");
    let nat = format!("{nat}\nimpact: none-expected");
    for (text, ip, refused) in [
        (CUT, "10.20.10.77", true),
        (CUT, "10.20.11.200", true),
        (CUT, "10.20.0.77", false),
        // where the NAT gateway is cut, those that route through it are
        (&nat, "10.20.10.77", true),
        (&nat, "10.20.1.77", false),
    ] {
        let text =
            drill("/", text).replace("max_targets: 300", "max_targets: 300, allow_reach: [nat-gateway]");
        let bench = Bench::new(&text).await;
        let (ended, journal) = Play::of(&bench, at(&bench, ip, false), People::Ask).end().await;
        let ended = ended.expect("it ends");
        assert_eq!(ended.exit_code == 3, refused, "{ip}: {:?}", ended.reasons);
        if refused {
            assert!(ended.reasons[0].contains(&format!("redrill runs at {ip}")), "{:?}", ended.reasons);
            assert_eq!(bench.sim.changes(), [], "{}", dump(&journal));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn every_address_of_an_instance_counts_and_in_a_container_an_unknown_one_is_told() {
    for (ip, contained, refused, told) in [
        ("192.168.7.7", true, true, false),
        ("172.17.0.2", true, false, true),
        ("172.17.0.2", false, false, false),
        // another subnet's server is known
        ("10.20.1.4", true, false, false),
    ] {
        let bench = Bench::new(&drill("/", CUT)).await;
        let page = bench.sim.cloud().reads.ec2.instances(&Filter::default(), None).await.expect("listed");
        let web =
            page.items.iter().find(|i| i.tags.get("role").is_some_and(|r| r == "web")).expect("a server");
        bench.sim.edit_instance(&web.id, |i, _| i.addresses = vec!["192.168.7.7".to_owned()]);
        let (ended, journal) = Play::of(&bench, at(&bench, ip, contained), People::Ask).end().await;
        assert_eq!(ended.expect("it ends").exit_code == 3, refused, "{ip}\n{}", dump(&journal));
        let said = dump(&journal).contains("cannot be told");
        assert_eq!(said, told, "{ip}\n{}", dump(&journal));
    }
}

#[tokio::test(start_paused = true)]
async fn a_drill_that_would_cut_off_redrill_itself_is_refused() {
    let loss = "objectives: { rto: 10m }
allow_irreversible: true
targets: { it: { resource: ec2.instance, tags: { role: web } } }
fault: [{ action: ec2.terminate-instances, target: it }]";
    for text in [CUT, loss] {
        for (subnet_of, refused) in [("web", true), ("nobody", false)] {
            let bench = Bench::new(&drill("/health", text)).await;
            let page = bench.sim.cloud().reads.ec2.instances(&Filter::default(), None).await.expect("listed");
            let web = page.items.iter().find(|i| i.tags.get("role").is_some_and(|r| r == subnet_of));
            let ip = web.and_then(|i| i.private_ip.clone()).unwrap_or_else(|| "203.0.113.9".to_owned());
            let cloud = at(&bench, &ip, false);
            let (ended, _) = Play::of(&bench, cloud, People::Ask).end().await;
            let ended = ended.expect("it ends");
            assert_eq!(ended.exit_code == 3, refused, "{:?}", ended.reasons);
            if refused {
                assert!(ended.reasons[0].contains("redrill runs on this instance"), "{:?}", ended.reasons);
                assert_eq!(bench.sim.changes(), []);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn another_database_of_the_same_name_is_drift() {
    let text = "objectives: { rto: 1h }
targets: { it: { resource: rds.instance, tags: { role: orders } } }
recovery: [{ action: rds.reboot, target: it }]";
    let bench = Bench::new(&drill("/", text)).await;
    let id = target(&bench);
    bench.sim.edit_db(&id, |d| d.created_at = d.created_at.map(|at| at + chrono::TimeDelta::hours(1)));
    let (ended, _) = Play::start(&bench).ends_with(3).await;
    assert!(ended.reasons[0].contains("another resource has its name"), "{:?}", ended.reasons);
    assert_eq!(bench.sim.changes(), []);
}
