//! `ec2.launch-replacement`: starts an instance like one that is gone, and puts it in its place.
//!
//! `apply` launches, waits until the instance runs, then moves the Elastic IP and registers it with
//! the target groups. A crash in between is healed: the instance is found by its tags, `poll` says
//! [`Progress::Incomplete`] when one of those is missing, and `apply` is repeatable (the same
//! ClientToken gives the same instance; what is done already is not done again). `keep` completes it too:
//! after a second signal nothing is applied any more, and a replacement that serves nobody is none.
//!
//! Invariant: at most one replacement an instance and step; nothing but what this step's launch made is ever taken
//! for it, changed or terminated: it bears the launch's ClientToken, while tags can be copied; user data never
//! reaches a record.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::look::{self, Patience};
use super::original::{self, Original};
use super::replacement::{Missing, Placed, differences, elsewise, outputs, placed, put_in_place, unwell};
use crate::catalog::action::{
    Action, ActionError, ActionSpec, After, Applied, Batch, Finding, Of, OutputSpec, Permissions, Prepared,
    Progress, ReadCx, Reversibility, Severity, StageRule, Undone, WriteCx,
};
use crate::catalog::kinds;
use crate::cloud::{
    BlockDevice, CloudResult, EffectCertainty, ErrorKind, Filter, Instance, LaunchSpec, Mutation, Named,
    Outcome, Settings, Volume, What, all_pages,
};
use crate::model::target::{self, TAG_REPLACES};
use crate::model::{Dur, Tags, Target, naming};

/// `ec2.launch-replacement`.
pub struct LaunchReplacement;

/// AWS's limit of tags on a resource.
const TAG_LIMIT: usize = 50;
/// How long the old instance may take to end, and the new one to run.
const MOVING: Duration = Duration::from_secs(20 * 60);

/// Which private address the replacement gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PrivateIp {
    /// Any free address of the subnet.
    #[default]
    New,
    /// That of the original: free only once its termination has ended, which is waited for.
    Keep,
}

/// The parameters.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// `new` (default): any free address; `keep`: the original's, once it is free.
    #[serde(default)]
    pub private_ip: PrivateIp,
    /// Another instance type than the original's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_type: Option<String>,
    /// Tags in addition to those of the original; they win over them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: Tags,
}

/// What undo, and a resumed run, need.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undo {
    /// The instance as it was before the fault.
    pub original: Original,
    /// ClientToken of the launch.
    pub token: String,
    /// The tags by which the replacement is found.
    pub marks: Tags,
    /// All tags that it is launched with.
    pub tags: Tags,
    /// Instance type to launch.
    pub instance_type: String,
    /// The private address to ask for.
    pub private_ip: Option<String>,
}

static SPEC: ActionSpec = ActionSpec {
    name: "ec2.launch-replacement",
    summary: "Launches an instance like one that the drill terminated, and puts it in its place.",
    kind: Some(kinds::EC2_INSTANCE),
    stage: StageRule::Recovery,
    reversibility: Reversibility::Additive,
    after: After::Keep,
    batch: Batch { size: 1, by_zone: false },
    mends: &["ec2.terminate-instances"],
    outputs: &[
        OutputSpec::of_made("instance_id", "Id of the replacement."),
        OutputSpec::of_made("private_ip", "Private address of the replacement."),
    ],
    timeout: Dur::mins(30),
    undo_timeout: Dur::mins(20),
    poll_every: Dur::secs(5),
    permissions: Permissions {
        prepare: &[
            "ec2:DescribeInstances",
            "ec2:DescribeInstanceAttribute",
            "ec2:DescribeVolumes",
            "ec2:DescribeNetworkInterfaces",
            "ec2:DescribeAddresses",
            "elasticloadbalancing:DescribeLoadBalancers",
            "elasticloadbalancing:DescribeTargetGroups",
            "elasticloadbalancing:DescribeTargetHealth",
            "autoscaling:DescribeAutoScalingInstances",
            "autoscaling:DescribeAutoScalingGroups",
            "ec2:DescribeFleets",
            "ec2:DescribeImages",
            "ec2:DescribeInstanceCreditSpecifications",
            "ec2:DescribeInstanceTypeOfferings",
            "ec2:DescribeInstanceTypes",
            "ec2:DescribeKeyPairs",
            "ec2:DescribeRouteTables",
            "ec2:DescribeSubnets",
            "iam:GetInstanceProfile",
        ],
        apply: &[
            "ec2:RunInstances",
            "ec2:CreateTags",
            "iam:PassRole",
            "ec2:AssociateAddress",
            "elasticloadbalancing:RegisterTargets",
            "elasticloadbalancing:DeregisterTargets",
            "ec2:DescribeNetworkInterfaces",
            "ec2:DescribeInstances",
            "ec2:DescribeInstanceAttribute",
            "ec2:DescribeAddresses",
            "elasticloadbalancing:DescribeTargetHealth",
            // EC2 uses the keys of encrypted volumes in the caller's name ("Requirements for Amazon EBS
            // encryption", Amazon EBS User Guide)
            "kms:CreateGrant",
            "kms:Decrypt",
            "kms:DescribeKey",
            "kms:GenerateDataKeyWithoutPlaintext",
            "kms:ReEncryptFrom",
            "kms:ReEncryptTo",
        ],
        poll: &[
            "ec2:DescribeInstances",
            "ec2:DescribeInstanceStatus",
            "ec2:DescribeVolumes",
            "ec2:DescribeNetworkInterfaces",
            "ec2:DescribeAddresses",
            "elasticloadbalancing:DescribeTargetHealth",
        ],
        undo: &[
            "ec2:DescribeVolumes",
            "ec2:DescribeInstances",
            "ec2:DescribeAddresses",
            "elasticloadbalancing:DescribeTargetHealth",
            "ec2:TerminateInstances",
            "ec2:CreateTags",
            "ec2:DeleteTags",
            "ec2:AssociateAddress",
            "ec2:DescribeNetworkInterfaces",
            "elasticloadbalancing:RegisterTargets",
            "elasticloadbalancing:DeregisterTargets",
        ],
    },
    undo_story: "By default the replacement is kept, retagged `redrill:kept`, and put in its place if a stop came before that; with \
                 `after: remove` it is terminated, unless the original is gone.",
    docs: "\
Soon after a termination EC2 forgets an instance's subnet, security groups and addresses. So preflight captures, \
before the fault, all that a replacement needs: image, type, subnet, groups, key pair, instance profile, metadata \
options, CPU options and credits, DNS names, placement, enclave, hibernation, automatic recovery, licences, shutdown \
behaviour, user data, volumes with their keys, tags, Elastic IP, and the registrations in target groups of type \
`instance` and `ip`, every page of them. Without a registration a service behind a load balancer never recovers.

Plan and preflight look at what the launch will need while the original is still there: its image, its key pair, \
its type in its zone, its instance profile, room for redrill's tags, free addresses in its subnet. On AWS itself, at its \
own endpoints, preflight also asks EC2 with DryRun for the very launches. What is known to fail refuses the run.

The launch has a ClientToken made from run, step and instance, so that repeating it cannot launch twice, and the tags \
`redrill:run`, `redrill:step` and `redrill:replaces`, by which the instance is found again when an answer is lost. The \
original's tags go on at launch, and on its volumes those of the original's volumes; tags in AWS's own namespace \
(`aws:`) and redrill's cannot be copied. It has a public address where the running original has one, whatever its subnet \
does by itself, and where the original has a primary IPv6 address, by which IPv6 target groups know their instances, a \
new one of its subnet. Once the \
replacement runs, the Elastic IP is moved to it and it is registered with the target groups. While the original still \
exists, its Elastic IP stays with it; what has ended and holds it still, loses it. When there is no capacity, the launch is repeated with growing waits, at \
most until the step's timeout; so it is, with another token, where AWS accepts it and ends the instance before it runs, \
for want of capacity, at a limit or by an internal error.

The step is done when the replacement serves: when every target group calls it healthy (or is not used by a load \
balancer; where the original was unhealthy already, its replacement may be), and without a target group when both status checks of the instance are passed. Until the step's timeout \
it is waited for; then the step fails.

Not carried over, and told in the plan or reported where it differs: the private address (unless `private_ip: keep`, \
which waits until the old instance has released it), further addresses, the very public address where it is no Elastic IP, the data \
on volumes (the replacement's come from its image or are empty), volumes that outlive the original (they stay behind, \
and the replacement has nothing in their place), termination and stop protection, Spot, a Capacity Reservation. \
Beyond that the two, their volumes and their interfaces are compared field by field, as AWS describes them, and every \
field that differs is told by AWS's name for it, also one that this version does not know. In groups of type `ip` the original's address is taken out, unless another interface has it by then, and so is the \
replacement's by `after: remove`. A Classic Load Balancer that the original is behind is named in the plan and in the report; VPC \
Lattice, Global Accelerator, Cloud Map and DNS records are not looked at. What all these know the original by has to be \
changed by another step.

It stands in for what a fault terminated, so a drill that keeps it terminates its target, by `ec2.terminate-instances` or \
by a `manual` step or a `command` before it. To try the launch alone, without a fault, say `after: remove`: the replacement \
is then terminated at the end. Where the original is gone by then, it is kept all the same; where somebody gave it the tag \
`redrill:kept`, or one of `limits.forbid_tags`, it is left and a person has to say what becomes of it.

User data may hold secrets, so the journal has only its digest. A process that resumes a run reads it again from the \
terminated instance, which AWS answers only for a while; where that fails the step fails and says so, rather than \
launching without it.

Refused: members of an Auto Scaling group, of an EC2 Fleet of type `maintain`, of a Spot Fleet, and what Karpenter, EMR or another AWS service \
manages (they replace it themselves); instances that forward traffic of others (no source and destination check, or a \
route leads through them), those with more than one network interface, and those that a replacement could not be \
registered like: in a target group of protocol QUIC or TCP_QUIC, whose targets have a server id each, or in one of type \
`ip` by another address than their primary private one. `kms:*` is used for encrypted \
volumes with a customer managed key, by EC2 only; the key's own policy must allow it too, and a key of another account \
is not in the policy that `redrill iam` prints.

Documentation: \"Launch an Amazon EC2 instance\", \"Terminate Amazon EC2 instances\" (Amazon EC2 User Guide), \
\"Ensuring idempotency in Amazon EC2 API requests\" (Amazon EC2 Developer Guide), \"RunInstances\", \"AssociateAddress\" \
(Amazon EC2 API Reference), \"Register targets with your target group\" (Elastic Load Balancing User Guide).",
};

#[async_trait]
impl Action for LaunchReplacement {
    type Params = Params;
    type Undo = Undo;

    fn spec(&self) -> &'static ActionSpec {
        &SPEC
    }

    fn about<'u>(&self, undo: &'u Undo) -> Vec<Named<'u>> {
        let original = &undo.original.instance;
        let read = [
            (What::Subnet, original.subnet.as_deref()),
            (What::Vpc, original.vpc.as_deref()),
            (What::Image, Some(original.image.as_str())),
        ];
        let read = read.into_iter().filter_map(|(what, id)| Some((what, id.filter(|id| !id.is_empty())?)));
        std::iter::once((What::Instance, original.id.as_str())).chain(read).collect()
    }

    fn found<'u>(&self, undo: &'u Undo) -> Vec<Named<'u>> {
        let addresses = undo.original.addresses.iter().map(|a| (What::Address, a.allocation.as_str()));
        let groups = undo.original.registrations.iter().map(|r| (What::TargetGroup, r.group.as_str()));
        addresses.chain(groups).collect()
    }

    fn astray(&self, undo: &Undo, of: &Of<'_>, params: &Params) -> Option<&'static str> {
        let original = &undo.original;
        if !of.is_captured(original) {
            return Some("original");
        }
        if of.run.is_some_and(|run| naming::launch_token(run, of.step, &original.instance.id) != undo.token) {
            return Some("token");
        }
        if !of.is_tagged(&undo.marks) || undo.marks.get(TAG_REPLACES) != Some(&original.instance.id) {
            return Some("marks");
        }
        let wanted = params.instance_type.as_ref().unwrap_or(&original.instance.instance_type);
        (undo.instance_type != *wanted).then_some("instance_type")
    }

    fn check(&self, params: &Params) -> Vec<String> {
        let mut wrong = Vec::new();
        for key in params.tags.keys() {
            if key.starts_with("aws:") || key.starts_with("redrill:") {
                wrong.push(format!("`tags`: the key `{key}` is reserved"));
            }
        }
        if params.instance_type.as_ref().is_some_and(|t| t.trim().is_empty()) {
            wrong.push("`instance_type` is empty: name a type, or leave it out".to_owned());
        }
        wrong
    }

    async fn inspect(
        &self,
        cx: ReadCx<'_>,
        targets: &[Target],
        params: &Params,
    ) -> CloudResult<Vec<Finding>> {
        foresee::inspect(cx, targets, params).await
    }

    async fn capture(&self, cx: ReadCx<'_>, target: &Target, _params: &Params) -> Result<Value, ActionError> {
        recordable(original::capture(cx, &target.id).await)
    }

    async fn capture_all(
        &self,
        cx: ReadCx<'_>,
        targets: &[Target],
        _params: &Params,
    ) -> Vec<Result<Value, ActionError>> {
        original::capture_all(cx, &look::ids(targets)).await.into_iter().map(recordable).collect()
    }

    async fn prepare(
        &self,
        cx: ReadCx<'_>,
        batch: &[(Option<Target>, Value)],
        params: &Params,
    ) -> Vec<Result<Undo, ActionError>> {
        let mut records = Vec::with_capacity(batch.len());
        for (target, captured) in batch {
            records.push(record(cx, target.as_ref(), captured, params).await);
        }
        records
    }

    async fn apply(
        &self,
        cx: WriteCx<'_>,
        batch: &[Prepared<Undo>],
        _params: &Params,
    ) -> Vec<Result<Applied, ActionError>> {
        let mut outcomes = Vec::with_capacity(batch.len());
        for Prepared { undo, .. } in batch {
            outcomes.push(launching::replace(cx, undo).await);
        }
        outcomes
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
            let instance = match look::present(cx, || standing(cx, undo)).await? {
                None => return Ok(Progress::Absent),
                Some(Standing::Up(instance)) => instance,
                Some(Standing::Lost(i)) => {
                    let why = i.state_reason.unwrap_or_default();
                    return Ok(Progress::Incomplete(format!("AWS ended {} before it ran: {why}", i.id)));
                }
            };
            match instance.state.as_str() {
                "running" => {}
                "pending" => return Ok(Progress::Pending(instance.state)),
                _ => return Err(not_running(&instance)),
            }
            let Placed { missing, unwell: ailing } = placed(cx, undo, &instance).await?;
            if missing.is_empty() {
                let ailing = if ailing.is_empty() { unwell(cx, undo, &instance).await? } else { ailing };
                if !ailing.is_empty() {
                    return Ok(Progress::Pending(ailing.join("; ")));
                }
                let mut notes = differences(undo, &instance, is_alive(cx, &undo.original).await?);
                notes.extend(volumes::left_out(&undo.original));
                notes.extend(strangers(cx, undo).await?);
                notes.extend(elsewise(cx, undo, &instance).await);
                return Ok(Progress::Ready(Applied { outputs: outputs(&instance), notes }));
            }
            if !patience.wait().await {
                let what: Vec<String> = missing.iter().map(Missing::describe).collect();
                return Ok(Progress::Incomplete(format!("{} runs without {}", instance.id, what.join(", "))));
            }
        }
    }

    async fn undo(
        &self,
        cx: WriteCx<'_>,
        _target: Option<&Target>,
        undo: &Undo,
    ) -> Result<Undone, ActionError> {
        removal::remove(cx, undo).await
    }

    async fn keep(
        &self,
        cx: WriteCx<'_>,
        _target: Option<&Target>,
        undo: &Undo,
    ) -> Result<Undone, ActionError> {
        keep(cx, undo).await
    }
}

fn recordable(captured: Result<Original, ActionError>) -> Result<Value, ActionError> {
    let original = captured?;
    if let Some((text, hint)) = original.registrations.iter().find_map(original::Registered::unplaceable) {
        return Err(ActionError::refused(text).hint(hint));
    }
    serde_json::to_value(original).map_err(|e| ActionError::refused(format!("cannot be recorded: {e}")))
}

async fn record(
    cx: ReadCx<'_>,
    target: Option<&Target>,
    captured: &Value,
    params: &Params,
) -> Result<Undo, ActionError> {
    let id = &look::required(target)?.id;
    let original: Original = if captured.is_null() {
        original::capture(cx, id).await?
    } else {
        serde_json::from_value(captured.clone())
            .map_err(|e| ActionError::refused(format!("what preflight captured cannot be read: {e}")))?
    };
    let private_ip = match params.private_ip {
        PrivateIp::New => None,
        PrivateIp::Keep if is_alive(cx, &original).await? => {
            return Err(ActionError::refused(format!("{id} still has its private address"))
                .hint("`private_ip: keep` works only after the instance is terminated; use `new`"));
        }
        PrivateIp::Keep => original.instance.private_ip.clone(),
    };
    let marks = marks(cx, id);
    let tags = tags_at_launch(&original.instance.tags, params, &marks);
    if tags.len() > TAG_LIMIT {
        return Err(ActionError::refused(format!(
            "{} tags are more than the {TAG_LIMIT} that AWS allows",
            tags.len()
        ))
        .hint("the replacement needs room for three tags of redrill's own"));
    }
    let instance_type =
        params.instance_type.clone().unwrap_or_else(|| original.instance.instance_type.clone());
    Ok(Undo {
        token: naming::launch_token(cx.run, cx.step, id),
        original,
        marks,
        tags,
        instance_type,
        private_ip,
    })
}

/// The tags by which a replacement of this instance is found.
fn marks(cx: ReadCx<'_>, id: &str) -> Tags {
    let mut marks = cx.run_tags();
    marks.insert(TAG_REPLACES.to_owned(), id.to_owned());
    marks
}

/// All tags that it is launched with: those of the original that can be copied, the drill's, redrill's.
fn tags_at_launch(own: &Tags, params: &Params, marks: &Tags) -> Tags {
    let copied = own.iter().filter(|(key, _)| !key.starts_with("aws:") && !key.starts_with("redrill:"));
    let mut tags: Tags = copied.map(|(key, value)| (key.clone(), value.clone())).collect();
    tags.extend(params.tags.clone());
    tags.extend(marks.clone());
    tags
}

/// What the step's launch made and carries these tags, ended instances included. Whoever launches a copy of it copies
/// its tags, too, but not the ClientToken; all that is done to an instance here is done to what this gives.
async fn found(cx: ReadCx<'_>, undo: &Undo, marks: &Tags) -> CloudResult<Vec<Instance>> {
    let mut all = tagged(cx, marks).await?;
    all.retain(|i| is_ours(undo, i));
    Ok(all)
}

fn is_ours(undo: &Undo, instance: &Instance) -> bool {
    instance.client_token.as_ref().is_some_and(|token| naming::is_launch(token, &undo.token))
}

/// What is to be told of instances that carry the step's tags and were launched by somebody else.
async fn strangers(cx: ReadCx<'_>, undo: &Undo) -> CloudResult<Vec<String>> {
    let mut all = tagged(cx, &undo.marks).await?;
    all.retain(|i| !is_ours(undo, i) && !look::is_ending(&i.state));
    let left =
        |i: Instance| format!("{} carries this run's tags and was not launched by it; left alone", i.id);
    Ok(all.into_iter().map(left).collect())
}

/// Everything that carries these tags, every page. Without ids DescribeInstances fails while a zone is disrupted (Amazon
/// EC2 API Reference); then what this step's launches were answered is looked at by its id.
async fn tagged(cx: ReadCx<'_>, marks: &Tags) -> CloudResult<Vec<Instance>> {
    match everything_tagged(cx, marks).await {
        Err(e) if matches!(e.kind, ErrorKind::Server | ErrorKind::Timeout) => {
            let launched =
                look::on_record(cx, &["ec2:RunInstances"]).into_iter().filter_map(|sent| sent.made);
            let ids: Vec<String> = launched.collect();
            if ids.is_empty() {
                return Err(e);
            }
            let mut known: Vec<Instance> = look::instances(cx, &ids).await?.into_values().collect();
            known.retain(|i| carries(i, marks));
            Ok(known)
        }
        all => all,
    }
}

async fn everything_tagged(cx: ReadCx<'_>, marks: &Tags) -> CloudResult<Vec<Instance>> {
    let filter = Filter {
        ids: Vec::new(),
        tags: marks.iter().map(|(key, value)| (key.clone(), vec![value.clone()])).collect(),
    };
    let mut all = all_pages(|page| cx.reads.ec2.instances(&filter, page)).await?;
    all.retain(|i| carries(i, marks));
    Ok(all)
}

fn carries(instance: &Instance, marks: &Tags) -> bool {
    marks.iter().all(|(key, value)| instance.tags.get(key) == Some(value))
}

/// What has become of the launches so far.
enum Standing {
    /// This one stands, kept already or not.
    Up(Instance),
    /// AWS ended the newest before it ran.
    Lost(Instance),
}

/// Whether AWS accepted the launch and then did not go through with it: for want of capacity, at a limit of the
/// account, or by an error of its own or with a key ("Instance terminates immediately", Amazon EC2 User Guide).
fn is_lost(i: &Instance) -> bool {
    let of_aws = ["Server.InsufficientInstanceCapacity", "Server.InternalError", "Client.InternalError"];
    let why = i.state_reason.as_deref().unwrap_or_default();
    look::is_ending(&i.state) && (of_aws.contains(&why) || why.ends_with("LimitExceeded"))
}

/// The replacement that stands, or that AWS ended; an error where there was one and somebody ended it.
async fn standing(cx: ReadCx<'_>, undo: &Undo) -> Result<Option<Standing>, ActionError> {
    let (mut lost, mut ended) = (None, None);
    for tags in [&undo.marks, &kept_tags(cx, undo)] {
        for instance in found(cx, undo, tags).await? {
            if !look::is_ending(&instance.state) {
                return Ok(Some(Standing::Up(instance)));
            }
            if is_lost(&instance) { lost = Some(instance) } else { ended = Some(instance) }
        }
    }
    ended.map_or(Ok(lost.map(Standing::Lost)), |instance| Err(not_running(&instance)))
}

/// The tags by which a replacement is known once it is kept.
fn kept_tags(cx: ReadCx<'_>, undo: &Undo) -> Tags {
    let run = undo.marks.get(target::TAG_RUN).cloned().unwrap_or_else(|| cx.run.to_string());
    let replaces = undo.original.instance.id.clone();
    Tags::from([(target::TAG_KEPT.to_owned(), run), (TAG_REPLACES.to_owned(), replaces)])
}

fn not_running(i: &Instance) -> ActionError {
    let (id, state) = (&i.id, &i.state);
    let why = i.state_reason.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
    ActionError::hopeless(format!("the replacement {id} is {state}{why}"))
        .effect(EffectCertainty::Partial)
        .hint(format!("`aws ec2 describe-instances --instance-ids {id}` tells the reason for the state"))
}

/// Adds how a run ends whose replacement somebody has ended.
fn or_accepted(cx: ReadCx<'_>, undo: &Undo, e: ActionError) -> ActionError {
    let Some(hint) = e.hint.as_ref().filter(|_| e.hopeless) else { return e };
    let (run, step, original) = (cx.run, cx.step, &undo.original.instance.id);
    let hint = format!(
        "{hint}; launch another where one is needed, then end the run: `redrill rollback {run} --accept \
         {step}/{original} --reason TEXT`"
    );
    e.hint(hint)
}

/// Whether the original still exists (then it keeps its addresses).
pub(super) async fn is_alive(cx: ReadCx<'_>, original: &Original) -> CloudResult<bool> {
    let now = look::present(cx, || look::instance(cx, &original.instance.id)).await?;
    Ok(now.is_some_and(|i| !look::is_ending(&i.state)))
}

/// Retags the replacement and its volumes as kept, then sees to it that it serves: the run may have
/// been stopped between the launch and what follows it. The new tag is there before the old ones go,
/// so that there is no moment in which `sweep` would take it; nor does a registration that is refused
/// leave it to `sweep`.
async fn keep(cx: WriteCx<'_>, undo: &Undo) -> Result<Undone, ActionError> {
    let kept = Tags::from_iter(kept_tags(cx.read, undo).remove_entry(target::TAG_KEPT));
    let standing = look::present(cx.read, || standing(cx.read, undo)).await;
    let Some(Standing::Up(instance)) = standing.map_err(|e| or_accepted(cx.read, undo, e))? else {
        return Ok(Undone::NothingMade(format!(
            "no replacement of {} was launched",
            undo.original.instance.id
        )));
    };
    let left = strangers(cx.read, undo).await?.iter().map(|s| format!("; {s}")).collect::<String>();
    let beside = match is_alive(cx.read, &undo.original).await? {
        true => format!(" beside {}, which still exists", undo.original.instance.id),
        false => String::new(),
    };
    let proof = format!("{} is kept{beside}{left}", instance.id);
    if !carries(&instance, &undo.marks) {
        serve(cx, undo, &instance).await?;
        return Ok(Undone::Already(proof));
    }
    let mut ids = vec![instance.id.clone()];
    ids.extend(volumes::own_volumes(cx.read, undo, &instance).await?);
    cx.gate.send(Mutation::CreateTags { ids: ids.clone(), tags: kept }).await?;
    // while its volumes are the run's still; what is refused is told below, where it is asked for again
    for (volume, _, tags) in volumes::untagged(cx.read, undo, &instance).await? {
        let _told_below = cx.gate.send(Mutation::CreateTags { ids: vec![volume], tags }).await;
    }
    let keys = [target::TAG_RUN, target::TAG_STEP, target::TAG_HELD].map(str::to_owned).to_vec();
    cx.gate.send(Mutation::DeleteTags { ids, keys }).await?;
    serve(cx, undo, &instance).await?;
    Ok(Undone::PutBack(proof))
}

/// Completes what a stop may have cut off. One that somebody has stopped is left as it is.
async fn serve(cx: WriteCx<'_>, undo: &Undo, instance: &Instance) -> Result<(), ActionError> {
    if !matches!(instance.state.as_str(), "pending" | "running") {
        return Ok(());
    }
    let unplaced = |e: ActionError| ActionError {
        message: format!("{} is kept, but not yet in its place: {}", instance.id, e.message),
        ..e
    };
    launching::place(cx, undo, &instance.id, &mut Vec::new()).await.map(|_| ()).map_err(unplaced)
}

mod foresee;
mod launching;
mod removal;
#[cfg(test)]
mod tests;
pub(super) mod volumes;
