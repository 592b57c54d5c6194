//! Reading is safe: no command that merely reads asks anything of anybody whom a drill names, starts a program, or
//! takes a password. A drill, and a `redrill.toml`, in which everything points at one listener; it hears nothing.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use clap::CommandFactory as _;
use redrill::catalog::probes::PROBES;
use redrill::cloud::{CloudResult, Secret, Secrets};
use redrill::model::World;
use redrill::model::time::SystemClock;
use redrill::net::RealNet;
use redrill::plan::{self, BuildOptions};
use redrill::sandbox::ESTATE_JSON;
use redrill::sim::Sim;

use super::{Place, finish};
use crate::bench::{Bench, load};

/// Commands that only read, each with arguments, and how it ends; `None` where AWS has to be asked for that.
const READING: [(&str, &[&str], Option<i32>); 25] = [
    ("check", &["drill.yaml"], Some(0)),
    ("plan", &["drill.yaml"], None),
    ("plan", &["drill.yaml", "-o", "other.json", "--output", "json"], None),
    ("approve", &["plan.json", "--yes", "--by", "ann", "--key", "ann.pem"], Some(0)),
    ("approve", &["plan.json", "--yes", "--by", "ben", "--key", "ann.pem", "--output", "json"], Some(0)),
    ("rehearse", &["drill.yaml"], None),
    ("rehearse", &["--from", "plan.json"], None),
    ("sweep", &["--list"], None),
    ("sweep", &[], None),
    ("runs", &[], Some(0)),
    ("show", &["last"], Some(0)),
    ("report", &["last"], Some(0)),
    ("report", &["last", "--out", "bundle", "--no-timestamp", "--key", "ann.pem"], Some(0)),
    ("verify", &["bundle"], None),
    ("sign-off", &["last", "--by", "ann", "--key", "ann.pem", "--reject"], None),
    ("init", &["--key", "new.pem"], Some(0)),
    ("findings", &[], Some(0)),
    ("reconcile", &["last", "--from", "trail"], None),
    ("catalog", &[], Some(0)),
    ("catalog", &["sql"], Some(0)),
    ("iam", &["drill.yaml"], Some(0)),
    ("iam", &["plan.json", "--phase", "plan"], Some(0)),
    ("doctor", &["drill.yaml"], None),
    ("schema", &[], Some(0)),
    ("completions", &["bash"], Some(0)),
];

/// Commands that are there to act, or to tell a run something.
const ACTING: [&str; 9] =
    ["demo", "run", "resume", "rollback", "publish", "mark", "confirm", "abort", "sandbox"];

/// Parameters of every probe, with the listener's port where there is one to ask.
fn probes(port: u16) -> Vec<(&'static str, String)> {
    let sql = "host: 127.0.0.1, database: orders, query: select 1, tls: disable";
    vec![
        ("http", format!("url: \"http://127.0.0.1:{port}/get\"")),
        ("http", format!("url: \"http://127.0.0.1:{port}/header\", headers: {{ x-shop: orders }}")),
        ("http", format!("url: \"http://127.0.0.1:{port}/delete\", method: POST, body: all")),
        ("tcp", format!("host: localhost, port: {port}")),
        ("sql", format!("{sql}, port: {port}, user: me")),
        ("sql", format!("{sql}, port: {port}, user: me, password_env: PROBE_PASSWORD")),
        ("sql", format!("{sql}, port: {port}, secret: prod/orders")),
        ("ec2.instances", "tags: { service: shop }, at_least: 1".to_owned()),
        ("rds.instance", "identifier: shop-orders".to_owned()),
        ("vpc.route-table", "subnet_tags: { tier: private }, table: shop-private".to_owned()),
        ("s3.object", "bucket: shop-assets-123456789012, key: index.html".to_owned()),
        ("cloudwatch.alarm", "name: shop-availability".to_owned()),
    ]
}

fn items(port: u16, what: &str, indent: &str) -> String {
    let item = |(n, (probe, with)): (usize, &(&str, String))| {
        format!("{indent}- {{ name: \"{what} {n}\", probe: {probe}, with: {{ {with} }} }}\n")
    };
    probes(port).iter().enumerate().map(item).collect()
}

fn curious(port: u16, place: &Place) -> String {
    let mark = place.path().join("started").display().to_string();
    format!(
        "version: 1
name: curious
title: Asks everybody
service: shop
objectives: {{ rto: 10m }}
limits:
  accounts: [\"123456789012\"]
  regions: [us-east-1]
  max_targets: 3
  gates:
{gates}targets: {{ it: {{ resource: vpc.subnet, tags: {{ service: shop, tier: private }} }} }}
steady_state:
{steady}verify:
{verify}stop:
{stop}fault:
  - {{ action: command, with: {{ argv: [touch, \"{mark}\"], undo: {{ argv: [touch, \"{mark}\"] }} }} }}
  - {{ action: vpc.detach-route-table, target: it }}
recovery: [{{ action: vpc.attach-route-table, target: it }}]
",
        gates = items(port, "gate", "    "),
        steady = items(port, "steady", "  "),
        verify = items(port, "verify", "  "),
        stop = items(port, "stop", "  "),
    )
}

fn house(port: u16) -> String {
    format!(
        "[kill_switch]\nfile = \"stop\"\ns3 = \"s3://shop-assets-123456789012/stop\"\nssm = \"/redrill/stop\"\n\
         [[limits.gates]]\nprobe = \"http\"\nwith = {{ url = \"http://127.0.0.1:{port}/house\", method = \"POST\" }}\n\
         [[limits.gates]]\nprobe = \"tcp\"\nwith = {{ host = \"127.0.0.1\", port = {port} }}\n"
    )
}

/// Hears whoever connects, and answers every request well.
struct Listener {
    port: u16,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Listener {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let said = Arc::clone(&heard);
        std::thread::spawn(move || {
            for socket in listener.incoming() {
                let Ok(mut socket) = socket else { continue };
                let at = {
                    let mut heard = said.lock().expect("not poisoned");
                    heard.push(String::new());
                    heard.len() - 1
                };
                let said = Arc::clone(&said);
                std::thread::spawn(move || {
                    let _bounded = socket.set_read_timeout(Some(Duration::from_secs(20)));
                    let mut text = [0; 4096];
                    let n = socket.read(&mut text).unwrap_or(0);
                    said.lock().expect("not poisoned")[at] = String::from_utf8_lossy(&text[..n]).into_owned();
                    let _gone = socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
                });
            }
        });
        Self { port, heard }
    }

    fn heard(&self) -> Vec<String> {
        self.heard.lock().expect("not poisoned").clone()
    }
}

/// The plan of a drill under the rules of a house, made on the simulator.
fn planned(drill: &str, house: &str) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(async { plan::file::write(&Bench::under(house, drill).await.plan) })
}

#[test]
fn every_command_is_one_that_reads_or_one_that_acts() {
    let command = redrill::cli::Cli::command();
    let there: BTreeSet<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
    let reading: BTreeSet<&str> = READING.iter().map(|(name, ..)| *name).collect();
    let acting: BTreeSet<&str> = ACTING.into_iter().collect();
    assert!(reading.is_disjoint(&acting));
    assert_eq!(
        reading.union(&acting).copied().collect::<BTreeSet<_>>(),
        there,
        "a new command stands in one of the lists"
    );
    let asked: BTreeSet<&str> = probes(1).iter().map(|(name, _)| *name).collect();
    assert_eq!(asked, PROBES.iter().map(|p| p.spec().name).collect(), "a new probe is among those that ask");
}

#[test]
fn no_command_that_reads_asks_starts_or_gives_anything_away() {
    let place = Place::new();
    let listener = Listener::start();
    let text = curious(listener.port, &place);
    place.write("drill.yaml", &text);
    place.write("plan.json", planned(&text, &house(listener.port)));
    let _run = place.run_of(&text, 1);
    place.write("redrill.toml", house(listener.port));
    let _ = place.run(&["init", "--key", "ann.pem"]).exits(0);
    std::fs::create_dir(place.path().join("trail")).expect("a folder");
    // an address where nobody listens stands for AWS
    let closed = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
    for (name, args, code) in READING {
        let args: Vec<&str> = [name].iter().chain(args).copied().collect();
        let mut command = place.command(&args);
        command.env("PROBE_PASSWORD", "CANARY-PASSWORD").env("AWS_REGION", "us-east-1");
        command.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test");
        command.env("AWS_EC2_METADATA_DISABLED", "true").env("AWS_MAX_ATTEMPTS", "1");
        command.env("REDRILL_ENDPOINT_URL", format!("http://127.0.0.1:{closed}"));
        let ran = finish(command);
        let said = format!("{args:?}: {}\n{}\n{}", ran.code, ran.stdout, ran.stderr);
        assert!(code.is_none_or(|code| code == ran.code), "{said}");
        assert!(
            code.is_some() || ![1, 2].contains(&ran.code) || ["verify", "reconcile"].contains(&name),
            "{said}"
        );
        assert!(!said.contains("CANARY"), "{said}");
        assert_eq!(listener.heard(), [""; 0], "{args:?}");
    }
    assert!(!place.path().join("started").exists(), "a program was started");
}

/// Counts what is asked of Secrets Manager.
struct Counting(AtomicUsize);

#[async_trait]
impl Secrets for Counting {
    async fn secret(&self, _: &str) -> CloudResult<Secret> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Ok(Secret::new("{\"username\":\"u\",\"password\":\"CANARY-PASSWORD\"}"))
    }
}

/// The same over a whole world, in which a plan comes about; and whom `plan --gates` asks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn planning_asks_nobody_and_gates_are_asked_for_nothing_that_acts() {
    let (place, listener) = (Place::new(), Listener::start());
    let sim = Sim::from_estate(ESTATE_JSON, Arc::new(SystemClock)).expect("the estate is valid");
    let mut reads = sim.cloud().reads;
    reads.net = Arc::new(RealNet::new().expect("a network"));
    let secrets = Arc::new(Counting(AtomicUsize::new(0)));
    reads.secrets = secrets.clone();
    let mut options = BuildOptions::new(World::Sim, sim.cloud().region);
    options.house = toml::from_str(&house(listener.port)).expect("valid rules");
    let plan = plan::build(&load(&curious(listener.port, &place)), &reads, &SystemClock, &options)
        .await
        .expect("it is planned");
    assert_eq!(listener.heard(), [""; 0]);
    assert_eq!(secrets.0.load(Ordering::SeqCst), 0);
    assert!(!plan.findings.iter().any(|f| f.subject.contains("gates")), "{:?}", plan.findings);

    let asked = plan::gates::ask(&plan, &reads, &SystemClock).await;
    let state = |n: usize| asked[n].state;
    assert_eq!(asked.len(), probes(1).len() + 2);
    let not: Vec<usize> = (0..asked.len()).filter(|n| state(*n) == "not asked").collect();
    // a header, a POST, two passwords, and the POST of the house
    assert_eq!(not, [1, 2, 5, 6, 12], "{asked:#?}");
    assert_eq!((state(0), state(3), state(7)), ("open", "open", "open"), "{asked:#?}");
    let heard = listener.heard().join("\n");
    assert!(heard.contains("GET /get "), "{heard}");
    assert!(!heard.contains("POST") && !heard.contains("/header") && !heard.contains("CANARY"), "{heard}");
    assert_eq!(secrets.0.load(Ordering::SeqCst), 0);
}
