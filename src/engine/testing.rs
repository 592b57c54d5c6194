//! What the tests of the deciding modules share: plans of small drills on the sample estate, and lines of a
//! journal whose milliseconds are easy to read. No I/O.

use std::sync::Arc;

use chrono::DateTime;
use serde_json::Value;

use crate::drill::{self, LoadOptions};
use crate::journal::{Event, Line, Mode, Phase};
use crate::model::time::VirtualClock;
use crate::model::{EffectCertainty, Health, Stage, Stamp, StepId, World};
use crate::plan::{self, BuildOptions, Plan};
use crate::sandbox::ESTATE_JSON;
use crate::sim::Sim;

/// Two web servers are lost for good and replaced, and a database is restored beside the original.
pub(crate) const LOSS: &str = "version: 1
name: loss
title: Loss
service: shop
objectives: { rto: 15m, give_up: 30m }
limits: { accounts: [\"123456789012\"], regions: [us-east-1], max_targets: 9 }
allow_irreversible: true
settle: 5s
targets:
  web: { resource: ec2.instance, tags: { service: shop, role: web }, select: { count: 2 } }
  orders: { resource: rds.instance, tags: { service: shop, role: orders }, select: { count: 1 } }
steady_state:
  - { name: page, probe: http, with: { url: \"http://127.0.0.1:8080/health\", status: 200 }, every: 1s, hold: 10s }
  - { name: api, probe: http, with: { url: \"http://127.0.0.1:8080/api\", status: 200 }, every: 2s, hold: 6s }
  - { name: servers, probe: ec2.instances, with: { tags: { role: web }, at_least: 3 }, every: 5s, hold: 20s, role: capacity }
fault: [{ action: ec2.terminate-instances, target: web, id: terminate }]
recovery:
  - { action: ec2.launch-replacement, target: web, id: replace }
  - { action: rds.restore-to-point-in-time, target: orders, id: restore, with: { to: \"-15m\" } }
verify:
  - { name: rows, probe: rds.instance, with: { identifier: \"${steps.restore.identifier}\", status: available }, every: 3s }
stop:
  - { name: budget, probe: cloudwatch.alarm, with: { name: shop-error-budget }, for: 2m }";

/// The first line of a journal of this format.
pub(crate) fn header(format: u32) -> Event {
    Event::Header {
        format,
        redrill: String::new(),
        run: crate::model::RunId::from_existing("r"),
        drill: String::new(),
        title: String::new(),
        plan_sha256: String::new(),
        world: crate::model::World::Sim,
        account: String::new(),
        caller: String::new(),
        region: String::new(),
        rto_ms: 0,
        give_up_ms: 0,
        chain: None,
    }
}

/// The plan of this drill.
pub(crate) async fn plan_of(text: &str) -> Arc<Plan> {
    plan_with(text, &[]).await
}

/// The same, with parameters given.
pub(crate) async fn plan_with(text: &str, set: &[(&str, &str)]) -> Arc<Plan> {
    let start = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
    let clock = Arc::new(VirtualClock::starting_at(start));
    let cloud = Sim::from_estate(ESTATE_JSON, clock.clone()).unwrap().cloud();
    let set = set.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let given = LoadOptions { set, ..LoadOptions::default() };
    let loaded = drill::load("drill.yaml", text, &given).unwrap_or_else(|p| panic!("{p}"));
    let options = BuildOptions { seed: Some(7), ..BuildOptions::new(World::Sim, "us-east-1") };
    let plan = plan::build(&loaded, &cloud.reads, clock.as_ref(), &options).await.unwrap();
    assert_eq!(plan.refusals().count(), 0, "{:?}", plan.findings);
    Arc::new(plan)
}

pub(crate) fn stamp(ms: i64) -> Stamp {
    Stamp { at: DateTime::from_timestamp_millis(ms).unwrap(), mono_ms: ms.try_into().unwrap() }
}

/// A line of a process whose clocks say this.
pub(crate) fn line(ms: i64, event: Event) -> Line {
    Line { seq: 0, prev: String::new(), stamp: stamp(ms), event }
}

pub(crate) fn attached(mode: Mode) -> Event {
    let (host, user, redrill) = (String::new(), String::new(), String::new());
    Event::Attached { mode, pid: 1, host, user, redrill, boot: Some("a".to_owned()) }
}

pub(crate) fn stage(stage: Stage) -> Event {
    Event::Stage { stage }
}

pub(crate) fn seen(probe: &str, health: Health, sent: i64, answered: i64) -> Event {
    let (sent, answered) = (stamp(sent), stamp(answered));
    Event::Observed { probe: probe.to_owned(), health, seen: String::new(), sent, answered, source_at: None }
}

pub(crate) fn sent(call: u64, step: Option<&str>, phase: Phase) -> Event {
    let (step, operation) = (step.map(StepId::new), String::new());
    Event::CallSent { call, step, phase, operation, params: Value::Null, attempt: 1 }
}

pub(crate) fn started(step: &str, targets: &[Option<&str>]) -> Event {
    let targets = targets.iter().map(|t| t.map(str::to_owned)).collect();
    Event::StepStarted { step: StepId::new(step), targets }
}

pub(crate) fn failed(step: &str, target: Option<&str>, effect: EffectCertainty) -> Event {
    let (step, target) = (StepId::new(step), target.map(str::to_owned));
    Event::StepFailed { step, target, error: String::new(), effect, hint: None }
}

pub(crate) fn ready(step: &str, target: Option<&str>, outputs: &[(&str, &str)]) -> Event {
    let (step, target) = (StepId::new(step), target.map(str::to_owned));
    let outputs = outputs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    Event::StepReady { step, target, outputs, notes: Vec::new() }
}
