//! Plans that were edited and hashed anew, each in another place.

use super::*;
use crate::drill::Loaded;
use crate::model::time::VirtualClock;
use crate::model::{Dur, World};
use crate::plan::{BuildOptions, file};
use crate::sandbox::ESTATE_JSON;
use crate::sim::Sim;

const DRILL: &str = r#"version: 1
name: sample
title: A sample
service: shop
objectives: { rto: "${params.rto}" }
params:
  rto: { type: duration, default: 15m }
  pw: { secret: true }
limits:
  accounts: ["123456789012"]
  regions: [us-east-1]
  max_targets: 3
targets:
  web:
    resource: ec2.instance
    tags: { service: shop, role: web }
    select: { count: 1 }
steady_state:
  - probe: http
    with: { url: "http://127.0.0.1:8080/health", header: { x-key: "${params.pw}" } }
fault:
  - action: ec2.stop-instances
    target: web
environments:
  production: { title: A sample in production }
"#;

fn loaded(text: &str) -> Loaded {
    let set = [("rto", "2s"), ("pw", "correct horse")].map(|(n, v)| (n.to_owned(), v.to_owned()));
    let options = LoadOptions { env: Some("production".to_owned()), set: set.into() };
    drill::load("drill.yaml", text, &options).unwrap_or_else(|p| panic!("{p}"))
}

async fn planned_under(house: &str) -> Plan {
    let start = chrono::DateTime::from_timestamp(1_800_000_000, 0).expect("a valid time");
    let clock = std::sync::Arc::new(VirtualClock::starting_at(start));
    let sim = Sim::from_estate(ESTATE_JSON, clock.clone()).expect("the estate is sound");
    let mut options = BuildOptions::new(World::Sim, "us-east-1");
    options.typed.ticket = Some("CHG-1".to_owned());
    options.house = toml::from_str(house).expect("rules");
    let drill = DRILL.replace(", header: { x-key: \"${params.pw}\" }", "");
    super::super::build(&loaded(&drill), &sim.cloud().reads, &*clock, &options).await.expect("plans")
}

/// What is found in the plan once it was edited, written, and read again.
async fn after(edit: impl FnOnce(&mut Plan)) -> Again {
    let mut plan = planned_under("").await;
    edit(&mut plan);
    again(&file::read(&file::write(&plan)).expect("it has its hash"))
}

#[tokio::test(start_paused = true)]
async fn a_plan_as_it_was_made_is_the_same_again_and_holds_no_secret() {
    let plan = planned_under("").await;
    assert_eq!(again(&file::read(&file::write(&plan)).unwrap()), Again::default());
    assert_eq!(plan.set, [("rto".to_owned(), "2s".to_owned())].into());
    assert!(!file::write(&plan).contains("correct horse"));
    let web = &plan.targets["web"];
    assert!(web.candidates.len() == web.matched && web.matched > web.drawn.len(), "{web:?}");
}

#[tokio::test(start_paused = true)]
async fn every_edit_of_what_follows_from_the_drill_is_found() {
    type Edit = fn(&mut Plan);
    let edits: [(&str, Edit); 16] = [
        ("objectives.rto: the drill file gives \"2s\", the plan says \"4h\"", |p| {
            p.drill.objectives.rto = Dur::hours(4);
        }),
        ("steady_state.0.with.url", |p| {
            p.drill.steady_state[0].with["url"] = "http://127.0.0.1:1/".into();
        }),
        ("limits.max_targets", |p| p.drill.limits.max_targets = Some(4)),
        ("exercise.ticket", |p| p.drill.exercise.ticket = Some("CHG-2".to_owned())),
        ("exercise.approved_by", |p| {
            let name = "the board".to_owned();
            p.drill.exercise.approved_by.push(crate::model::exercise::Approval {
                name,
                at: None,
                reference: None,
            });
        }),
        ("title", |p| p.environment = None),
        ("objectives.rto", |p| p.set.clear()),
        ("secret parameters", |p| p.secret_params.clear()),
        ("does not have the hash", |p| p.source_sha256 = "0".repeat(64)),
        ("other targets are drawn", |p| {
            let was = p.targets["web"].drawn[0].id.clone();
            let bare = |id: &String| Target { id: id.clone(), ..p.targets["web"].drawn[0].clone() };
            let all: Vec<Target> = p.targets["web"].candidates.iter().map(bare).collect();
            let first = |seed| selector::draw(Select::Count(1), seed, all.clone()).unwrap()[0].id.clone();
            p.seed = (0..).find(|seed| first(*seed) != was).unwrap();
        }),
        ("other targets are drawn", |p| {
            let web = p.targets.get_mut("web").unwrap();
            let drawn = web.drawn[0].id.clone();
            web.drawn[0].id = web.candidates.iter().find(|c| **c != drawn).unwrap().clone();
        }),
        ("does not match the selector", |p| {
            p.targets.get_mut("web").unwrap().drawn[0].tags.insert("service".into(), "payroll".into());
        }),
        ("the plan names", |p| drop(p.targets.get_mut("web").unwrap().candidates.pop())),
        ("steps are not those", |p| p.steps[0].params = serde_json::json!({"force": true})),
        ("steps are not those", |p| p.steps[0].undo_story = "Nothing needs to be undone.".to_owned()),
        ("permissions", |p| drop(p.permissions.pop())),
    ];
    for (at, (wanted, edit)) in edits.into_iter().enumerate() {
        let found = after(edit).await;
        assert!(found.broken.iter().any(|b| b.contains(wanted)), "{at}: {wanted}: {found:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn refusals_that_were_taken_out_are_found_again() {
    let house = "limits.accounts = ['111122223333']\nlimits.regions = ['eu-west-1']\n\
                 [environments]\nstaging = ['123456789012']\n";
    let mut plan = planned_under(house).await;
    assert_eq!(again(&plan).broken, [""; 0], "they are among its findings");
    let refused: Vec<String> = plan.refusals().map(|f| f.subject.clone()).collect();
    assert_eq!(refused.len(), 3, "{refused:?}");
    plan.findings.clear();
    let found = again(&plan).broken;
    for subject in &refused {
        assert!(found.iter().any(|b| b.contains("a refusal") && b.contains(subject)), "{subject}: {found:?}");
    }
    // and under rules that the plan says nothing of
    let mut other = planned_under("").await;
    other.findings.clear();
    let rules = toml::from_str(house).expect("rules");
    assert_eq!(refused_by(&other, &rules).len(), 3);
    assert_eq!(refused_by(&other, &House::default()), []);
}

#[tokio::test(start_paused = true)]
async fn the_older_format_shows_as_lacking_and_hides_nothing() {
    let old = |p: &mut Plan| {
        p.format = 1;
        p.redrill = "0.1.0".to_owned();
        p.set.clear();
        p.typed = Default::default();
        p.targets.values_mut().for_each(|t| t.candidates.clear());
    };
    let found = after(old).await;
    assert_eq!(found.broken, [""; 0]);
    assert!(found.lacking.iter().any(|l| l.contains("format 1, of redrill 0.1.0")), "{found:?}");
    assert!(found.lacking.iter().any(|l| l.contains("objectives.rto")), "{found:?}");
    // a version that does not write it, and fields that it does not have
    let found = after(|p| p.format = 1).await;
    assert!(found.broken.iter().any(|b| b.contains("what format 1 has not")), "{found:?}");
    let found = after(|p| p.redrill = "0.1.0".to_owned()).await;
    assert!(found.broken.iter().any(|b| b.contains("writes plans of format 1")), "{found:?}");
}

#[tokio::test(start_paused = true)]
async fn what_version_0_1_0_allowed_is_no_mistake_of_its_plans() {
    let start = chrono::DateTime::from_timestamp(1_800_000_000, 0).expect("a valid time");
    let clock = std::sync::Arc::new(VirtualClock::starting_at(start));
    let sim = Sim::from_estate(ESTATE_JSON, clock.clone()).expect("the estate is sound");
    let text = "version: 1
name: taken-back
title: A replacement that is taken back
service: shop
objectives: { rto: 15m }
limits: { accounts: [\"123456789012\"], regions: [us-east-1], max_targets: 1 }
allow_irreversible: true
targets: { web: { resource: ec2.instance, tags: { role: web }, select: { count: 1 } } }
steady_state: [{ probe: http, with: { url: \"http://127.0.0.1:8080/health\" } }]
fault: [{ action: ec2.terminate-instances, target: web }]
recovery: [{ action: ec2.launch-replacement, target: web, after: remove }]
";
    let old = drill::load_with(&Known::of("0.1.0"), "drill.yaml", text, &LoadOptions::default());
    let options = BuildOptions::new(World::Sim, "us-east-1");
    let old = old.unwrap_or_else(|p| panic!("{p}"));
    let mut plan = super::super::build(&old, &sim.cloud().reads, &*clock, &options).await.expect("plans");
    assert!(again(&plan).broken.iter().any(|b| b.contains("gives no drill")), "this version refuses it");
    plan.format = 1;
    plan.redrill = "0.1.0".to_owned();
    plan.targets.values_mut().for_each(|t| t.candidates.clear());
    assert_eq!(again(&plan).broken, [""; 0]);
}
