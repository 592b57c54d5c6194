//! `ec2.stop-instances`: stops instances, and starts again those that ran.
//!
//! Invariant: an instance that was stopped before the drill stays stopped, and nothing is stopped
//! that would not come back: group members, instance-store roots, one-time Spot.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::batch::{self, Bulk};
use super::ec2_terminate::{elastic_ips, public};
use super::look::{self, Group, Patience};
use crate::catalog::action::{
    Action, ActionError, ActionSpec, After, Applied, Batch, Finding, Permissions, Prepared, Progress, ReadCx,
    Reversibility, SentCall, Severity, StageRule, Undone, WriteCx,
};
use crate::catalog::kinds;
use crate::cloud::{
    Address, CloudResult, EffectCertainty, ErrorKind, Instance, InstanceAttribute, InstanceDetail, Mutation,
    Named, What,
};
use crate::model::{Dur, Target};

/// `ec2.stop-instances`.
pub struct StopInstances;

/// Stopping takes no parameters.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {}

/// What undo needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undo {
    /// Instance id.
    pub id: String,
    /// State before: only what was `running` is started again.
    pub state: String,
    /// Its Auto Scaling group, as the tag says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// When it was started last before that (UTC).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub launched: Option<DateTime<Utc>>,
}

/// What a group must not do while a member is stopped, and why it is all three: HealthCheck marks what does not run,
/// and the mark stays, so that ReplaceUnhealthy ends the instance when it is resumed ("any instances that were marked
/// unhealthy while this process was suspended", Amazon EC2 Auto Scaling User Guide); Terminate is how a group scales
/// in, which stopped servers bring about.
const MUST_REST: [&str; 3] = ["HealthCheck", "ReplaceUnhealthy", "Terminate"];

const STOP: &str = "ec2:StopInstances";

/// How long `stopping` and `pending` may last before undo gives up.
const MOVING: Duration = Duration::from_secs(20 * 60);

static SPEC: ActionSpec = ActionSpec {
    name: "ec2.stop-instances",
    summary: "Stops EC2 instances; undo starts those that ran.",
    kind: Some(kinds::EC2_INSTANCE),
    stage: StageRule::Fault,
    reversibility: Reversibility::Reversible,
    after: After::None,
    batch: Batch { size: 1000, by_zone: false },
    mends: &[],
    outputs: &[],
    timeout: Dur::mins(15),
    // missing capacity is waited for as long as the drill gives it, which may be hours
    undo_timeout: Dur::hours(12),
    poll_every: Dur::secs(5),
    permissions: Permissions {
        prepare: &[
            "ec2:DescribeInstances",
            "ec2:DescribeInstanceAttribute",
            "ec2:DescribeAddresses",
            "ec2:DescribeInstanceTypes",
            "ec2:DescribeSpotInstanceRequests",
            "autoscaling:DescribeAutoScalingInstances",
            "autoscaling:DescribeAutoScalingGroups",
        ],
        apply: &["ec2:StopInstances", "ec2:DescribeInstances"],
        poll: &["ec2:DescribeInstances"],
        // starting an instance with encrypted volumes makes a grant for EC2 in the caller's name; without it
        // the call is accepted and the instance stops again
        undo: &[
            "ec2:StartInstances",
            "ec2:DescribeInstances",
            "kms:CreateGrant",
            "autoscaling:DescribeAutoScalingInstances",
            "autoscaling:DescribeAutoScalingGroups",
        ],
    },
    undo_story: "Starts each instance that was running and waits until it runs again; one that was stopped stays stopped.",
    docs: "\
Stops all targets of a batch with one StopInstances call. When AWS refuses the call because of one member, every \
instance is looked at and the rest is divided until that one stands alone.

The step is done when an instance is `stopping`: the service is about to lose it, and the recovery begins once an \
outage was seen. Where the drill expects none (`impact: none-expected`), it is done when the instance is `stopped`: until \
then it may still answer.

Undo starts what was running, waiting first where an instance is still `stopping`. A start can meet \
InsufficientInstanceCapacity: it is repeated, with growing waits, until the drill gives up; then a person is needed. \
An instance that somebody terminated meanwhile cannot be started: a person is needed at once, unless another step of \
the run terminated it. Nothing is started that the run has sent no stop for, or that somebody started and stopped again \
since.

Refused: members of an Auto Scaling group, unless its processes HealthCheck, ReplaceUnhealthy and Terminate are all \
suspended. A group marks a stopped member unhealthy and terminates it; where only the replacing is suspended, the mark \
stays and the member is terminated when it is resumed. Resume them only when the members run again and the load \
balancers of the group hold them for healthy. A member that is marked nevertheless is told after undo. Also refused: \
instances with an instance-store root (they cannot be stopped); \
one-time Spot instances (they cannot be started by their owner again); instances with stop protection. So are \
types with instance-store volumes, which a stop erases, unless the drill says `allow_irreversible: true`. A public \
address that is not an Elastic IP is lost: see the plan's findings.

Documentation: \"Stop and start Amazon EC2 instances\", \"Enable stop protection for your EC2 instances\", \"Spot \
Instance interruptions\" (Amazon EC2 User Guide), \"Suspend and resume Amazon EC2 Auto Scaling processes\" (Amazon \
EC2 Auto Scaling User Guide), \"StopInstances\" and \"StartInstances\" (Amazon EC2 API Reference).",
};

const BULK: Bulk = Bulk {
    build: |ids| Mutation::StopInstances { ids },
    shows: |i| matches!(i.state.as_str(), "stopping" | "stopped"),
};

#[async_trait]
impl Action for StopInstances {
    type Params = Params;
    type Undo = Undo;

    fn spec(&self) -> &'static ActionSpec {
        &SPEC
    }

    fn about<'u>(&self, undo: &'u Undo) -> Vec<Named<'u>> {
        vec![(What::Instance, &undo.id)]
    }

    async fn inspect(
        &self,
        cx: ReadCx<'_>,
        targets: &[Target],
        _params: &Params,
    ) -> CloudResult<Vec<Finding>> {
        let ids = look::ids(targets);
        let instances = look::instances(cx, &ids).await?;
        let known: Vec<String> = instances.keys().cloned().collect();
        let groups = look::groups(cx, &instances).await?;
        let protection = [InstanceAttribute::StopProtection];
        let details = match cx.planning {
            true => look::details(cx, &known, &protection).await?,
            false => BTreeMap::new(),
        };
        let storage = if cx.planning { look::with_storage(cx, &instances).await? } else { BTreeSet::new() };
        let addresses = elastic_ips(cx, &public(&instances)).await?;
        let mut findings = Vec::new();
        for id in &ids {
            let Some(instance) = instances.get(id).filter(|i| !look::is_ending(&i.state)) else {
                findings.push(Finding::new(
                    Severity::Refusal,
                    id,
                    "the instance is terminated or does not exist",
                ));
                continue;
            };
            findings.extend(refusals(instance, groups.get(id), details.get(id)));
            findings.extend(losses(instance, &addresses));
            if instance.state != "stopped" && storage.contains(&instance.instance_type) {
                findings.push(erased(cx, instance));
            }
            if instance.state == "stopped" {
                findings.push(
                    Finding::new(
                        Severity::Warning,
                        id,
                        "it is stopped already: this step does nothing to it",
                    )
                    .hint("select what runs: `where: { state: running }`"),
                );
            }
            if instance.lifecycle.as_deref() == Some("spot") || instance.spot_request.is_some() {
                let kind = match &instance.spot_request {
                    Some(request) => cx.reads.ec2.spot_request_type(request).await?,
                    None => None,
                };
                if kind.as_deref() != Some("persistent") {
                    findings.push(Finding::new(
                        Severity::Refusal,
                        id,
                        "a one-time Spot instance cannot be stopped and started again",
                    ));
                }
            }
        }
        Ok(findings)
    }

    async fn prepare(
        &self,
        cx: ReadCx<'_>,
        batch: &[(Option<Target>, Value)],
        _params: &Params,
    ) -> Vec<Result<Undo, ActionError>> {
        let ids: Vec<String> = batch.iter().filter_map(|(t, _)| t.as_ref()).map(|t| t.id.clone()).collect();
        let instances = match look::instances(cx, &ids).await {
            Ok(found) => found,
            Err(e) => return batch.iter().map(|_| Err(e.clone().into())).collect(),
        };
        batch.iter().map(|(target, _)| before(target.as_ref(), &instances)).collect()
    }

    async fn apply(
        &self,
        cx: WriteCx<'_>,
        batch: &[Prepared<Undo>],
        _params: &Params,
    ) -> Vec<Result<Applied, ActionError>> {
        // what does not run is not stopped: a call for it would make a step of nothing look like a fault
        let (running, others): (Vec<_>, Vec<_>) = batch.iter().partition(|p| p.undo.state == "running");
        let ids = |of: &[&Prepared<Undo>]| of.iter().map(|p| p.undo.id.clone()).collect::<Vec<_>>();
        let mut outcomes = batch::send(cx, &ids(&running), &BULK).await;
        outcomes.extend(ids(&others).into_iter().map(|id| (id, Ok(()))));
        batch::in_order(&batch.iter().map(|p| p.undo.id.clone()).collect::<Vec<_>>(), &outcomes)
    }

    async fn poll(
        &self,
        cx: ReadCx<'_>,
        _target: Option<&Target>,
        undo: &Undo,
        _params: &Params,
    ) -> Result<Progress, ActionError> {
        let mut patience = look::settle(cx);
        loop {
            match look::present(cx, || look::instance(cx, &undo.id)).await? {
                None if look::is_long_ago(cx) => return ended(cx, &undo.id).map(ready),
                None => return Ok(Progress::Pending(NOT_LISTED.to_owned())),
                Some(i) if look::is_ending(&i.state) => return ended(cx, &undo.id).map(ready),
                Some(i) if i.state == "stopping" && cx.no_impact => {
                    return Ok(Progress::Pending("stopping, and may still answer".to_owned()));
                }
                // an outage is looked for from here on, however long AWS takes to stop it
                Some(i) if matches!(i.state.as_str(), "stopping" | "stopped") => {
                    return Ok(ready(format!("{} is {}; it was {}", undo.id, i.state, undo.state)));
                }
                Some(_) if patience.wait().await => {}
                Some(_) => return Ok(Progress::Absent),
            }
        }
    }

    async fn undo(
        &self,
        cx: WriteCx<'_>,
        _target: Option<&Target>,
        undo: &Undo,
    ) -> Result<Undone, ActionError> {
        if undo.state != "running" {
            return Ok(Undone::Nothing(format!("{} was {} before and stays so", undo.id, undo.state)));
        }
        if look::sent_for(cx.read, STOP, (What::Instance, &undo.id)).is_empty() {
            return Ok(Undone::Nothing(format!("{} was not stopped: no call for it was sent", undo.id)));
        }
        let started = start(cx, undo).await?;
        Ok(match (&undo.group, started) {
            (Some(_), Undone::PutBack(text)) => Undone::PutBack(text + &marked(cx.read, &undo.id).await),
            (Some(_), Undone::Already(text)) => Undone::Already(text + &marked(cx.read, &undo.id).await),
            (_, started) => started,
        })
    }
}

fn before(target: Option<&Target>, instances: &BTreeMap<String, Instance>) -> Result<Undo, ActionError> {
    let id = &look::required(target)?.id;
    let instance = instances.get(id).ok_or_else(|| ActionError::refused(format!("{id} does not exist")))?;
    match instance.state.as_str() {
        "running" | "stopping" | "stopped" => Ok(Undo {
            id: id.clone(),
            state: instance.state.clone(),
            group: instance.tags.get(look::TAG_GROUP).cloned(),
            launched: instance.launched_at,
        }),
        "pending" => Err(ActionError::refused(format!("{id} is still starting"))
            .hint("run the drill when it is running: EC2 does not stop a pending instance")),
        state => Err(ActionError::refused(format!("{id} is {state}"))),
    }
}

/// For an instance that answers leave out: had it ended, it would be listed as terminated for an hour.
const NOT_LISTED: &str = "not listed";

/// What is to be said of one that has ended.
///
/// # Errors
/// Nobody of this run has ended it.
fn ended(cx: ReadCx<'_>, id: &str) -> Result<String, ActionError> {
    match look::terminated_by(cx, id) {
        Some(step) => Ok(format!("step `{step}` of this run terminated {id}, so it is not started again")),
        None => Err(ActionError::hopeless(format!(
            "{id} was terminated by somebody else and cannot be started again"
        ))
        .hint("launch a replacement, and find out who terminated it")),
    }
}

fn ready(note: String) -> Progress {
    Progress::Ready(Applied { notes: vec![note], ..Applied::default() })
}

/// What is told of a member that its group has marked unhealthy; nothing where it has not, or where that cannot be read:
/// the instance runs again, whatever the group thinks of it.
async fn marked(cx: ReadCx<'_>, id: &str) -> String {
    let members = cx.reads.autoscaling.members(&[id.to_owned()]).await.unwrap_or_default();
    members.iter().find(|m| m.instance == id && m.is_unhealthy).map_or_else(String::new, |m| {
        format!(
            ", but its Auto Scaling group {} has marked it unhealthy and terminates it unless its processes stay \
             suspended: `aws autoscaling set-instance-health --instance-id {id} --health-status Healthy`",
            m.group
        )
    })
}

/// How far AWS's time of a start and the time of an answer may be apart.
const DATED: TimeDelta = TimeDelta::minutes(1);

/// Whether the instance stands as this run has stopped it. One that was started since, by nobody of this run, was stopped
/// again by somebody who wants it so, whether by a call or from within; and so was one that was stopped after the run
/// itself had started it. LaunchTime is "the time that the instance was last launched" (DescribeInstances); when AWS
/// dates a stop, no document says.
fn is_our_stop(cx: ReadCx<'_>, undo: &Undo, instance: &Instance) -> Result<(), ActionError> {
    let id = instance.id.as_str();
    // an answer that never came may have been minutes late
    let within = |operation: &str| -> Vec<(DateTime<Utc>, DateTime<Utc>)> {
        let sent = look::sent_for(cx, operation, (What::Instance, id)).into_iter();
        let until = |s: &SentCall| s.answered.unwrap_or(s.sent + TimeDelta::minutes(5));
        sent.map(|s| (s.sent - DATED, until(&s) + DATED)).collect()
    };
    let (stops, starts) = (within(STOP), within("ec2:StartInstances"));
    let last = |of: &[(DateTime<Utc>, DateTime<Utc>)]| of.iter().map(|(_, until)| *until).max();
    let (stopped, started) = (last(&stops), last(&starts));
    let at = |time: DateTime<Utc>| time.format("%Y-%m-%d %H:%M:%S UTC");
    let again = started.zip(instance.stopped_at).filter(|(start, stop)| stop > start).map(|(_, stop)| stop);
    // where it is known when it was started before, any start but the run's own shows, however soon it came
    let is_theirs = |launch: DateTime<Utc>| {
        let ours = starts.iter().any(|(from, until)| (*from..=*until).contains(&launch));
        let since = stops.iter().map(|(from, _)| *from).min().is_some_and(|from| launch >= from);
        let another = undo.launched.is_some_and(|before| launch > before) && since && !ours;
        another || stopped.max(started).is_some_and(|ours| launch > ours)
    };
    // of a shutdown from within AWS gives no time, only that it was one; the run stops by a call
    let within = instance.state_reason.as_deref() == Some("Client.InstanceInitiatedShutdown");
    if within && started.is_some() && instance.stopped_at.is_none() {
        return Err(ActionError::hopeless(format!(
            "{id} was shut down from within after this run had started it again"
        ))
        .hint(format!("if it should run: `aws ec2 start-instances --instance-ids {id}`")));
    }
    let why = match (again, instance.launched_at.filter(|launch| is_theirs(*launch))) {
        (Some(stop), _) => {
            format!("{id} was stopped at {} by somebody else, after this run had started it again", at(stop))
        }
        (_, Some(launch)) => format!(
            "{id} was started at {}, after this run had stopped it, and then stopped again by somebody else",
            at(launch)
        ),
        _ => return Ok(()),
    };
    Err(ActionError::hopeless(why)
        .hint(format!("if it should run: `aws ec2 start-instances --instance-ids {id}`")))
}

/// Starts one instance and waits until it runs. `running` is believed at once only where a start of this undo was
/// accepted; else it is looked at for all of the settling time, since a stop may be on its way that does not show
/// yet, or not any more.
async fn start(cx: WriteCx<'_>, undo: &Undo) -> Result<Undone, ActionError> {
    let id = undo.id.as_str();
    let second = Duration::from_secs(1);
    let mut settle = look::settle(cx.read);
    let mut moving = Patience::of(MOVING, second, 5 * second);
    let mut capacity = Patience::of(cx.read.give_up.0, 5 * second, 60 * second);
    let (mut accepted, mut moved) = (false, false);
    let mut why: Option<String> = None;
    loop {
        let state = match look::present(cx.read, || look::instance(cx.read, id)).await? {
            None if look::is_long_ago(cx.read) => return ended(cx.read, id).map(Undone::Nothing),
            None => NOT_LISTED.to_owned(),
            Some(i) if look::is_ending(&i.state) => return ended(cx.read, id).map(Undone::Nothing),
            Some(i) if i.state == "stopped" => {
                is_our_stop(cx.read, undo, &i)?;
                // else it is the reason of the stop
                why = i.state_reason.filter(|why| accepted && why != "Client.UserInitiatedShutdown");
                i.state
            }
            Some(i) => i.state,
        };
        match state.as_str() {
            "running" if accepted => return Ok(Undone::PutBack(format!("{id} is running again"))),
            "running" if settle.wait().await => continue,
            "running" if moved => return Ok(Undone::PutBack(format!("{id} is running again"))),
            "running" => return Ok(Undone::Already(format!("{id} is running"))),
            "stopped" => match cx.gate.send(Mutation::StartInstances { ids: vec![id.to_owned()] }).await {
                Ok(_) => accepted = true,
                Err(e) if e.kind == ErrorKind::Capacity => {
                    if !capacity.wait().await {
                        return Err(ActionError::from(e).hint(format!(
                            "there is no capacity for {id} in its zone: start it later, or change its type"
                        )));
                    }
                    continue;
                }
                // The state moved between the look and the call: look again.
                Err(e) if e.kind == ErrorKind::State => {}
                Err(e) if e.effect != EffectCertainty::None => moved = true,
                Err(e) => return Err(e.into()),
            },
            NOT_LISTED => {}
            // Undo saw it on its way back up or down, so there is something to put back.
            _ => moved = true,
        }
        settle = look::settle(cx.read);
        if !moving.wait().await {
            let told = why.map_or_else(String::new, |why| {
                format!(": AWS accepted its start, and did not go through with it ({why})")
            });
            return Err(ActionError::refused(format!(
                "{id} is still {state} after {} minutes{told}",
                MOVING.as_secs() / 60
            ))
            .effect(EffectCertainty::Unknown)
            .hint(format!(
                "`aws ec2 describe-instances --instance-ids {id}`; if it is stopped: `aws ec2 start-instances \
                 --instance-ids {id}`"
            )));
        }
    }
}

fn refusals(instance: &Instance, group: Option<&Group>, detail: Option<&InstanceDetail>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut refuse = |text: String, hint: &str| {
        findings.push(Finding::new(Severity::Refusal, &instance.id, text).hint(hint));
    };
    if let Some(group) = group {
        let missing: Vec<&str> =
            MUST_REST.into_iter().filter(|p| !group.suspended.iter().any(|s| s == p)).collect();
        if !missing.is_empty() {
            refuse(
                format!(
                    "the Auto Scaling group {} terminates a stopped member: {} not suspended",
                    group.name,
                    missing.join(" and ")
                ),
                "suspend HealthCheck, ReplaceUnhealthy and Terminate before the drill and resume them when the instances \
                 run again and are healthy, or pick other instances",
            );
        }
    }
    if instance.root_device_type == "instance-store" {
        refuse(
            "an instance with an instance-store root cannot be stopped".to_owned(),
            "pick instances with an EBS root",
        );
    }
    if detail.is_some_and(|d| d.disable_api_stop) {
        refuse("stop protection is on".to_owned(), "turn it off for the drill, or pick another instance");
    }
    findings
}

/// Starting it again gives it empty disks.
fn erased(cx: ReadCx<'_>, instance: &Instance) -> Finding {
    let text = format!(
        "{} has instance-store volumes: a stop erases what is on them, and no undo brings it back",
        instance.instance_type
    );
    if cx.irreversible {
        return Finding::new(Severity::Warning, &instance.id, text);
    }
    let hint = "say `allow_irreversible: true` where nothing on them is needed, or pick other instances";
    Finding::new(Severity::Refusal, &instance.id, text).hint(hint)
}

fn losses(instance: &Instance, addresses: &BTreeMap<String, Vec<Address>>) -> Option<Finding> {
    let ip = instance.public_ip.as_ref()?;
    (!addresses.contains_key(&instance.id)).then(|| {
        Finding::new(
            Severity::Warning,
            &instance.id,
            format!("the public address {ip} is not an Elastic IP: the instance comes back with another"),
        )
        .hint("what refers to the address directly does not recover by itself")
    })
}

#[cfg(test)]
mod tests;
