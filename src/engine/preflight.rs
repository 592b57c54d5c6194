//! Preflight: the world is looked at once more, and what recoveries need is captured.
//!
//! Reads only. What it finds is recorded; a refusal ends the run before anything is changed.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::driver::{EngineError, Shared};
use super::{hold, kill_switch, lockout, needs};
use crate::catalog::probes::cloudwatch_alarm::NO_DATA;
use crate::catalog::{self, Finding, Need, ReadCx, Severity};
use crate::cloud::{CLOCK_LIMIT_MS, CloudError, Identity, clock_is_off};
use crate::drill::Unreadable;
use crate::journal::writer::JournalError;
use crate::journal::{Event, Mode, StopCause};
use crate::model::{Dur, Health, Stage, StepId, World};
use crate::plan::policy::{Phase, Source};
use crate::plan::{self, check_drift, limits, will};

/// The checks of a new run; of a resumed one only what it still needs.
///
/// # Errors
/// The journal could not be written.
pub async fn check(shared: &Arc<Shared>) -> Result<(), JournalError> {
    let (mode, stage) = shared.recorder.with(|s, _| (s.mode, s.stage()));
    if mode != Mode::Run && stage > Stage::Baseline {
        // the world was checked before the run was taken up; the fault is out there, go on
        return shared.recorder.durable(vec![Event::PreflightPassed {}]).await;
    }
    match examine(shared).await {
        Ok((mut events, findings)) => {
            let refusal = findings.iter().find(|f| f.severity == Severity::Refusal).cloned();
            events.extend(findings.iter().map(found));
            events.push(match refusal {
                Some(f) => Event::stop(StopCause::Refused, sentence(&f)),
                None => Event::PreflightPassed {},
            });
            shared.recorder.durable(events).await
        }
        Err(e) => shared.recorder.durable(vec![unreachable(&e)]).await,
    }
}

fn found(f: &Finding) -> Event {
    Event::Found { finding: serde_json::to_value(f).unwrap_or_default() }
}

fn sentence(f: &Finding) -> String {
    let hint = f.hint.as_ref().map(|h| format!(" ({h})")).unwrap_or_default();
    format!("{}: {}{hint}", f.subject, f.text)
}

fn unreachable(e: &CloudError) -> Event {
    Event::stop(StopCause::Aws, format!("AWS could not be asked: {e}"))
}

async fn examine(shared: &Arc<Shared>) -> Result<(Vec<Event>, Vec<Finding>), CloudError> {
    let mut events = Vec::new();
    let mut findings = Vec::new();
    let before = shared.clock.now();
    let identity = shared.cloud.reads.sts.identity().await?;
    if let Some(ms) = skew(before, &identity) {
        events.push(Event::Skew { ms });
        findings.extend(clock_finding(ms));
    }
    findings.extend(identity_findings(shared, &identity.account));
    let now = shared.clock.now();
    let longest = limits::longest(&shared.plan.drill, &shared.plan.steps);
    findings.extend(hours(shared, longest));
    findings.extend(limits::credentials(&identity, now, longest));
    findings.extend(
        check_drift(
            &shared.plan,
            &shared.cloud.reads,
            shared.cloud.world,
            &identity.account,
            Some(&shared.run),
        )
        .await?,
    );
    findings.extend(lockout::check(shared).await?);
    findings.extend(permissions(shared, &identity).await);
    findings.extend(lacking(shared).await);
    if findings.iter().any(|f| f.severity == Severity::Refusal) {
        return Ok((events, findings));
    }
    for step in &shared.plan.steps {
        let Some(action) = step.action.as_deref().and_then(catalog::action) else { continue };
        let targets = shared.plan.targets_of(step);
        // a parameter that refers to an earlier step's output has no value yet
        let Ok(params) = shared.resolve(&step.params).await else { continue };
        let dry_run = shared.cloud.dry_run.as_deref();
        let cx = ReadCx { dry_run, ..shared.read_cx(&step.id, None) };
        findings.extend(action.inspect(cx, targets, &params).await?);
        if step.stage != Stage::Recovery {
            continue;
        }
        for (t, captured) in targets.iter().zip(action.capture_all(cx, targets, &params).await) {
            match captured {
                Ok(serde_json::Value::Null) => {}
                Ok(data) if shared.recorder.loses(&data) => findings.push(Finding::new(
                    Severity::Refusal,
                    t.id.clone(),
                    format!(
                        "what step `{}` needs of it holds a secret of redrill's own, or the user of a URL, which is not \
                         written to disk",
                        step.id
                    ),
                )),
                Ok(data) => {
                    events.push(Event::Captured { step: step.id.clone(), target: t.id.clone(), data });
                }
                Err(e) => findings.push(Finding::new(
                    Severity::Refusal,
                    t.id.clone(),
                    format!("what step `{}` needs of it could not be captured: {e}", step.id),
                )),
            }
        }
    }
    findings.extend(stop_conditions(shared).await);
    findings.extend(gates(shared).await);
    findings.extend(kill_switch::check(shared).await);
    Ok((events, findings))
}

/// What this machine lacks, and secrets that nobody can read: found now, they cost no outage. The simulator has no
/// secrets but those that it is given.
async fn lacking(shared: &Shared) -> Vec<Finding> {
    let source = Source::plan(&shared.plan);
    let mut out = needs::missing(&source, shared.probed.net.as_ref(), shared.cloud.local.as_ref());
    if shared.cloud.world == World::Sim {
        return out;
    }
    for (probe, need) in will::needs(source.drill, source.house) {
        let Need::Secret(name) = need else { continue };
        if let Err(e) = shared.cloud.reads.secrets.secret(&name).await {
            let text = format!("the secret {name} cannot be read: {e}");
            out.push(Finding::new(Severity::Refusal, probe, text));
        }
    }
    out
}

/// Whether the caller may do all of it, where IAM says so. The simulator has no policies to speak of.
async fn permissions(shared: &Shared, identity: &Identity) -> Vec<Finding> {
    let (source, world) = (Source::plan(&shared.plan), shared.cloud.world);
    let reads = &shared.cloud.reads;
    let checked =
        plan::permissions::check(&source, Phase::Run, reads, identity, world, &shared.cloud.region).await;
    let mut findings =
        checked.findings("what the run needs: redrill iam DRILL; what there is: redrill doctor DRILL");
    findings.retain(|f| world != World::Sim || f.severity == Severity::Refusal);
    findings
}

/// What must be healthy before a fault.
async fn gates(shared: &Shared) -> Vec<Finding> {
    let step = StepId::new("gate");
    let mut out = Vec::new();
    for rule in shared.plan.rules() {
        let mut params = BTreeMap::new();
        for gate in &rule.limits().gates {
            match shared.resolve(&gate.with).await {
                Ok(with) => _ = params.insert(gate.with.to_string(), with),
                Err(why) => out.push(Finding::new(Severity::Refusal, rule.key("gates"), why)),
            }
        }
        let cx = shared.read_cx(&step, None);
        let resolve = |with: &Value| params.get(&with.to_string()).cloned();
        out.extend(plan::gates::look(rule, cx, resolve).await);
    }
    out
}

/// When faults may be injected, by the drill and by the house.
fn hours(shared: &Shared, longest: Dur) -> Vec<Finding> {
    let now = shared.clock.now();
    let rules = shared.plan.rules().into_iter();
    rules.flat_map(|r| limits::hours(r, now, longest, Severity::Refusal)).collect()
}

/// The SDK signs by AWS's clock once it knows it, so calls would go through; but every time in the
/// evidence would be wrong, and a window would open at the wrong hour.
fn clock_finding(ahead_ms: i64) -> Option<Finding> {
    (ahead_ms.abs() >= CLOCK_LIMIT_MS).then(|| {
        Finding::new(Severity::Refusal, "clock", clock_is_off(ahead_ms))
            .hint("set the clock (NTP, chrony), then run again: every time in the evidence comes from it")
    })
}

/// The local clock, read before the call, minus AWS's. The header has whole seconds: half a second either way
/// is noise.
pub(super) fn skew(before: DateTime<Utc>, identity: &Identity) -> Option<i64> {
    Some(before.signed_duration_since(identity.server_date?).num_milliseconds())
}

fn identity_findings(shared: &Shared, account: &str) -> Option<Finding> {
    (account != shared.plan.account).then(|| {
        Finding::new(
            Severity::Refusal,
            "account",
            format!("the plan is for account {}, the credentials belong to {account}", shared.plan.account),
        )
        .hint("use the credentials that the plan was made with")
    })
}

/// A stop condition that is breached already, or cannot be found, would stop the run at once.
async fn stop_conditions(shared: &Arc<Shared>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let (probes, _) = super::probing::standing(shared).await;
    for probe in &probes {
        let stops = &shared.plan.drill.stop;
        let Some(stop) = stops.iter().find(|s| super::stop::key(&s.name) == probe.name) else { continue };
        let (_, reading, _) = probe.look(shared).await;
        let (severity, text) = match (reading.health, stop.unreadable) {
            (Health::Healthy, _) if reading.seen == NO_DATA => {
                (Severity::Warning, format!("{NO_DATA}: it stops the run only once there is data again"))
            }
            (Health::Healthy, _) => continue,
            (Health::Unhealthy, _) => (Severity::Refusal, format!("is breached already: {}", reading.seen)),
            (Health::Unknown, Unreadable::Breach) => {
                (Severity::Refusal, format!("cannot be read: {}", reading.seen))
            }
            (Health::Unknown, Unreadable::Ignore) => {
                (Severity::Warning, format!("cannot be read, and is ignored until it can: {}", reading.seen))
            }
        };
        findings.push(Finding::new(severity, probe.name.clone(), text));
    }
    findings
}

/// The last look right before the first change; `false` where the world is not as planned.
///
/// # Errors
/// The journal could not be written.
pub async fn undrifted(shared: &Arc<Shared>) -> Result<bool, JournalError> {
    let events = match last_look(shared).await {
        Ok(findings) => {
            let Some(first) = findings.iter().find(|f| f.severity == Severity::Refusal) else {
                return Ok(true);
            };
            let stop = Event::stop(StopCause::Refused, sentence(first));
            let refusals = findings.iter().filter(|f| f.severity == Severity::Refusal);
            refusals.map(found).chain([stop]).collect()
        }
        Err(e) => vec![unreachable(&e)],
    };
    shared.recorder.durable(events).await?;
    Ok(false)
}

/// Drift, and what the faults themselves refuse: a protection may have been set since preflight.
async fn last_look(shared: &Arc<Shared>) -> Result<Vec<Finding>, CloudError> {
    let (reads, world) = (&shared.cloud.reads, shared.cloud.world);
    let account = reads.sts.identity().await?.account;
    let mut findings = check_drift(&shared.plan, reads, world, &account, Some(&shared.run)).await?;
    // windows and gates are about the fault, and the baseline took its time
    findings.extend(hours(shared, Dur::secs(0)));
    findings.extend(gates(shared).await);
    findings.extend(kill_switch::check(shared).await);
    for step in shared.plan.steps.iter().filter(|s| s.stage == Stage::Fault) {
        let Some(action) = step.action.as_deref().and_then(catalog::action) else { continue };
        let Ok(params) = shared.resolve(&step.params).await else { continue };
        let cx = shared.read_cx(&step.id, None);
        findings.extend(action.inspect(cx, shared.plan.targets_of(step), &params).await?);
    }
    Ok(findings)
}

/// A run is only taken up in the account and the world that it was started in. Gives the clock's skew: each
/// process has a clock that may be set another way.
///
/// # Errors
/// AWS cannot be asked, or it is another account or world.
pub async fn same_world(shared: &Shared) -> Result<Option<i64>, EngineError> {
    if shared.cloud.world != shared.plan.world {
        return Err(EngineError::OtherWorld(format!(
            "the run belongs to the world `{}`, this is `{}`",
            shared.plan.world, shared.cloud.world
        )));
    }
    if shared.cloud.region != shared.plan.region {
        return Err(EngineError::OtherWorld(format!(
            "the run belongs to region {}, this is {}",
            shared.plan.region, shared.cloud.region
        )));
    }
    let before = shared.clock.now();
    let identity = shared.cloud.reads.sts.identity().await.map_err(EngineError::Cloud)?;
    if let Some(f) = identity_findings(shared, &identity.account) {
        return Err(EngineError::OtherWorld(f.text));
    }
    let partition = |arn: &str| arn.split(':').nth(1).map(str::to_owned);
    let (own, this) = (partition(&shared.plan.caller), partition(&identity.arn));
    match (own, this) {
        (Some(own), Some(this)) if own != this => Err(EngineError::OtherWorld(format!(
            "the run belongs to the partition {own} of AWS, the credentials to {this}"
        ))),
        _ => Ok(skew(before, &identity)),
    }
}

/// All emulators have the same account: whether this one is the run's, and was not started anew, only the
/// tags tell that the run set on its targets. Where it is another, nothing that is found there, and nothing
/// that is not, says anything about what the run changed.
///
/// # Errors
/// The run held its targets, has not begun to let go of them, and none of them carries its tag.
pub async fn same_emulator(shared: &Shared) -> Result<(), EngineError> {
    let holds = shared.recorder.with(|s, _| s.armed && !s.releasing && !s.holding.is_empty());
    if shared.plan.world != World::Emulator || !holds {
        return Ok(());
    }
    match hold::held_here(shared).await.map_err(EngineError::Cloud)? {
        true => Ok(()),
        false => Err(EngineError::OtherWorld(format!(
            "{} is not the emulator that the run was started in, or it was started anew: none of the run's targets \
             carries its tag, so that nothing here says what is put back",
            shared.plan.endpoint.as_deref().unwrap_or("this")
        ))),
    }
}

/// A journal that knows nothing of holding its targets, while one of them carries this run's tag, was
/// cut or is an older copy: taken up, it would say that nothing was changed.
///
/// # Errors
/// It is such a journal. Where the tags cannot be read, undo goes on with what the journal says.
pub async fn not_behind(shared: &Shared) -> Result<(), EngineError> {
    if shared.recorder.with(|s, _| s.has_held) {
        return Ok(());
    }
    match hold::carries_own_tag(shared).await {
        Some(target) => Err(EngineError::Behind(target)),
        None => Ok(()),
    }
}
