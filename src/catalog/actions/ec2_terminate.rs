//! `ec2.terminate-instances`: ends instances for good.
//!
//! One call a batch, one outcome a target. Replacing them is another action's business
//! (`ec2.launch-replacement`). Invariant: nothing that an Auto Scaling group looks after and nothing
//! protected is named in a plan, and an id that shows the effect is never reported as failed.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::batch::{self, Bulk};
use super::look;
use crate::catalog::action::{
    Action, ActionError, ActionSpec, After, Applied, Batch, Finding, Permissions, Prepared, Progress, ReadCx,
    Reversibility, Severity, StageRule, Undone, WriteCx,
};
use crate::catalog::kinds;
use crate::cloud::{
    Address, BlockDevice, CloudResult, ErrorKind, Instance, InstanceAttribute, Mutation, Named, What,
};
use crate::model::{Dur, Target};

/// `ec2.terminate-instances`.
pub struct TerminateInstances;

/// Terminating takes no parameters.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {}

/// What was there before: evidence only, since a terminated instance cannot be put back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undo {
    /// Instance id.
    pub id: String,
    /// State before.
    pub state: String,
    /// Volumes that were attached, and whether they go with the instance.
    pub volumes: Vec<BlockDevice>,
}

static SPEC: ActionSpec = ActionSpec {
    name: "ec2.terminate-instances",
    summary: "Terminates EC2 instances.",
    kind: Some(kinds::EC2_INSTANCE),
    stage: StageRule::Fault,
    reversibility: Reversibility::Irreversible,
    after: After::None,
    batch: Batch { size: 1000, by_zone: true },
    mends: &[],
    outputs: &[],
    timeout: Dur::mins(15),
    undo_timeout: Dur::mins(1),
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
        apply: &["ec2:TerminateInstances", "ec2:DescribeInstances"],
        poll: &["ec2:DescribeInstances"],
        undo: &[],
    },
    undo_story: "There is none: a terminated instance is gone; `ec2.launch-replacement` starts another like it.",
    docs: "\
Terminates all targets of a batch with one TerminateInstances call, at most 1,000 ids of one Availability Zone. \
AWS may refuse the whole call because of one member, and across zones may err and still terminate some: after an \
error every instance is looked at before the rest is divided, until the one at fault stands alone. Each target has \
its own outcome.

Refused: members of an Auto Scaling group (the group replaces them itself; suspend or scale it instead), instances \
with termination protection, and instances that are already terminated. Termination protection is not part of \
DescribeInstances and is read for each instance.

The step is done when an instance is `shutting-down`: the service is about to lose it, and the recovery begins once an \
outage was seen. How long AWS takes to end it (seconds to minutes) is AWS's; what needs that end waits for it. Where the \
drill expects no outage (`impact: none-expected`), the step is done when the instance is `terminated`: until then it may \
still answer.

The plan lists what goes with the instance: volumes with DeleteOnTermination, everything on instance-store volumes, \
and a public address that is not an Elastic IP. An Elastic IP stays allocated but is disassociated. A persistent \
Spot request launches an instance of its own. Instance-store data volumes of an EBS-backed instance are told by its \
type: DescribeInstances does not show them where they are NVMe.

Documentation: \"Terminate Amazon EC2 instances\" (Amazon EC2 User Guide), \"TerminateInstances\" (Amazon EC2 API \
Reference), \"Change instance termination protection\" (Amazon EC2 User Guide).",
};

const BULK: Bulk =
    Bulk { build: |ids| Mutation::TerminateInstances { ids }, shows: |i| look::is_ending(&i.state) };

#[async_trait]
impl Action for TerminateInstances {
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
        let protection = [InstanceAttribute::TerminationProtection];
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
            if let Some(group) = groups.get(id) {
                findings.push(
                    Finding::new(
                        Severity::Refusal,
                        id,
                        format!(
                            "the instance belongs to the Auto Scaling group {}, which replaces it",
                            group.name
                        ),
                    )
                    .hint("pick instances outside Auto Scaling groups"),
                );
            }
            if details.get(id).is_some_and(|d| d.disable_api_termination) {
                findings.push(
                    Finding::new(Severity::Refusal, id, "termination protection is on")
                        .hint("turn it off for the drill, or pick another instance"),
                );
            }
            findings.extend(losses(instance, addresses.get(id)));
            if storage.contains(&instance.instance_type) {
                let text = "its type has instance-store volumes: what is on them is destroyed";
                findings.push(Finding::new(Severity::Warning, id, text));
            }
            if let Some(request) = &instance.spot_request
                && cx.reads.ec2.spot_request_type(request).await?.as_deref() == Some("persistent")
            {
                findings.push(Finding::new(
                    Severity::Warning,
                    id,
                    format!("the persistent Spot request {request} launches another instance"),
                ));
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
        batch
            .iter()
            .map(|(target, _)| {
                let id = &look::required(target.as_ref())?.id;
                match instances.get(id) {
                    None => Err(ActionError::refused(format!("{id} does not exist"))),
                    Some(i) if look::is_ending(&i.state) => {
                        Err(ActionError::refused(format!("{id} is already {}", i.state)))
                    }
                    Some(i) => {
                        Ok(Undo { id: id.clone(), state: i.state.clone(), volumes: i.block_devices.clone() })
                    }
                }
            })
            .collect()
    }

    async fn apply(
        &self,
        cx: WriteCx<'_>,
        batch: &[Prepared<Undo>],
        _params: &Params,
    ) -> Vec<Result<Applied, ActionError>> {
        let ids: Vec<String> = batch.iter().map(|p| p.undo.id.clone()).collect();
        let outcomes = batch::send(cx, &ids, &BULK).await;
        batch::in_order(&ids, &outcomes)
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
                None if look::is_long_ago(cx) => return Ok(ready(undo, "no longer listed")),
                // had it ended, it would be listed as terminated
                None => return Ok(Progress::Pending("not listed".to_owned())),
                Some(i) if i.state == "shutting-down" && cx.no_impact => {
                    return Ok(Progress::Pending("shutting down, and may still answer".to_owned()));
                }
                // an outage is looked for from here on, however long AWS takes to end it
                Some(i) if look::is_ending(&i.state) => return Ok(ready(undo, &i.state)),
                Some(_) if patience.wait().await => {}
                Some(_) => return Ok(Progress::Absent),
            }
        }
    }

    async fn undo(
        &self,
        _cx: WriteCx<'_>,
        _target: Option<&Target>,
        _undo: &Undo,
    ) -> Result<Undone, ActionError> {
        Ok(Undone::Irreversible("terminated for good".to_owned()))
    }
}

fn ready(undo: &Undo, how: &str) -> Progress {
    let gone: Vec<&str> =
        undo.volumes.iter().filter(|v| v.delete_on_termination).map(|v| v.volume.as_str()).collect();
    let mut notes = vec![format!("{} is {how}", undo.id)];
    if !gone.is_empty() {
        notes.push(format!("destroyed with it: {}", gone.join(", ")));
    }
    Progress::Ready(Applied { notes, ..Applied::default() })
}

/// Those that have a public address: an Elastic IP is one.
pub(super) fn public(instances: &BTreeMap<String, Instance>) -> Vec<String> {
    instances.values().filter(|i| i.public_ip.is_some()).map(|i| i.id.clone()).collect()
}

/// The Elastic IPs of these instances.
pub(super) async fn elastic_ips(
    cx: ReadCx<'_>,
    ids: &[String],
) -> CloudResult<BTreeMap<String, Vec<Address>>> {
    let mut found: BTreeMap<String, Vec<Address>> = BTreeMap::new();
    if ids.is_empty() {
        return Ok(found); // without a filter it would list everyone's
    }
    let addresses = match cx.reads.ec2.addresses(ids).await {
        Err(e) if e.kind == ErrorKind::NotFound => Vec::new(),
        answer => answer?,
    };
    for a in addresses {
        if let Some(id) = &a.instance {
            found.entry(id.clone()).or_default().push(a);
        }
    }
    Ok(found)
}

fn losses(instance: &Instance, addresses: Option<&Vec<Address>>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut warn = |text: String| findings.push(Finding::new(Severity::Warning, &instance.id, text));
    let gone: Vec<String> = instance
        .block_devices
        .iter()
        .filter(|v| v.delete_on_termination)
        .map(|v| format!("{} ({})", v.volume, v.device))
        .collect();
    if !gone.is_empty() {
        warn(format!("destroyed with the instance (DeleteOnTermination): {}", gone.join(", ")));
    }
    if !instance.settings.staying.is_empty() {
        let staying = instance.settings.staying.join(", ");
        warn(format!("network interface {staying} is left, with its address: DeleteOnTermination is off"));
    }
    if instance.root_device_type == "instance-store" {
        warn("the root device is an instance store: its data is destroyed".to_owned());
    }
    match (addresses, &instance.public_ip) {
        (Some(own), _) => {
            let list: Vec<&str> = own.iter().map(|a| a.public_ip.as_str()).collect();
            let list = list.join(", ");
            match instance.settings.staying.is_empty() {
                true => warn(format!("Elastic IP {list} is disassociated; it stays allocated")),
                false => warn(format!("Elastic IP {list} stays with the network interface that is left")),
            }
        }
        (None, Some(ip)) => warn(format!("the public address {ip} is not an Elastic IP and is lost")),
        (None, None) => {}
    }
    findings
}

#[cfg(test)]
mod tests;
