//! What a launch will need, looked at before the original is gone. Reads only, and EC2's DryRun where there is one.
//!
//! What one call answers for all targets is asked once. Invariant: a launch that is known to fail is a refusal, and so
//! is a replacement that could not do what the original does; whatever else the replacement will lack is told.

use std::collections::{BTreeMap, BTreeSet};

use super::super::ec2_terminate::elastic_ips;
use super::super::{original, routing};
use super::*;
use crate::cloud::{CloudError, Offering, Subnet};

/// Tags by which whoever launched an instance knows it, with who replaces it.
const OWNERS: &[(&str, &str)] = &[
    ("aws:ec2spot:fleet-request-id", "a Spot Fleet"),
    ("aws:elasticmapreduce:job-flow-id", "an EMR cluster"),
    ("karpenter.sh/nodeclaim", "Karpenter"),
    ("karpenter.sh/nodepool", "Karpenter"),
    ("karpenter.sh/provisioner-name", "Karpenter"),
];
const FLEET: &str = "aws:ec2:fleet-id";
const STACK: &str = "aws:cloudformation:stack-name";

type Instances = BTreeMap<String, Instance>;

fn refusal(id: &str, text: String) -> Finding {
    Finding::new(Severity::Refusal, id, text)
}

fn warning(id: &str, text: String) -> Finding {
    Finding::new(Severity::Warning, id, text)
}

/// Everything that can be said before the fault.
pub(super) async fn inspect(
    cx: ReadCx<'_>,
    targets: &[Target],
    params: &Params,
) -> CloudResult<Vec<Finding>> {
    let mut instances = look::instances(cx, &look::ids(targets)).await?;
    instances.retain(|_, i| !look::is_ending(&i.state));
    if instances.is_empty() {
        return Ok(Vec::new());
    }
    let groups = look::groups(cx, &instances).await?;
    let mut out = Vec::new();
    for (id, instance) in &instances {
        if let Some(group) = groups.get(id) {
            let text = format!("the Auto Scaling group {} replaces the instance itself", group.name);
            out.push(refusal(id, text));
        }
        out.extend(of_instance(cx, instance, params));
    }
    out.extend(fleets(cx, &instances).await?);
    out.extend(routes(cx, &instances).await?);
    out.extend(images(cx, &instances).await?);
    out.extend(key_pairs(cx, &instances).await?);
    out.extend(types(cx, &instances, params).await?);
    out.extend(subnets(cx, &instances, params).await?);
    out.extend(profiles(cx, &instances).await?);
    out.extend(classic(cx, &instances).await?);
    out.extend(registered(cx, &instances).await?);
    if out.iter().all(|f| f.severity != Severity::Refusal) {
        out.extend(tried(cx, &instances, params).await?);
    }
    Ok(out)
}

/// What the instance itself tells.
fn of_instance(cx: ReadCx<'_>, i: &Instance, params: &Params) -> Vec<Finding> {
    let (id, settings) = (i.id.as_str(), &i.settings);
    let mut out = Vec::new();
    let managed = settings.operator.as_deref();
    let owner = OWNERS.iter().find(|(tag, _)| i.tags.contains_key(*tag)).map(|(_, who)| *who).or(managed);
    if let Some(who) = owner {
        out.push(replaced(id, who));
    }
    if let Some(stack) = i.tags.get(STACK) {
        out.push(
            warning(id, format!("the CloudFormation stack {stack} will not know the replacement"))
                .hint("import it into the stack after the drill, or let the stack launch another"),
        );
    }
    if settings.forwards {
        let text = "its source and destination check is off, so it forwards traffic of others; a replacement would \
                    not: RunInstances switches the check on";
        out.push(refusal(id, text.to_owned()));
    }
    if settings.interfaces.len() > 1 {
        let text =
            format!("it has {} network interfaces; a replacement would have one", settings.interfaces.len());
        out.push(refusal(id, text));
    }
    // that it is kept is there before the tags go that it had until then
    let kept = usize::from(cx.after != After::Remove);
    let tags = tags_at_launch(&i.tags, params, &marks(cx, id)).len() + kept;
    if tags > TAG_LIMIT {
        let text = format!("{tags} tags are more than the {TAG_LIMIT} that AWS allows");
        out.push(refusal(id, text).hint("the replacement needs room for four tags of redrill's own"));
    }
    if !settings.staying.is_empty() && (i.public_ip.is_some() || params.private_ip == PrivateIp::Keep) {
        let text = format!(
            "its network interface {} outlives it (DeleteOnTermination is off) and keeps its addresses: the replacement \
             can have neither its Elastic IP nor its private address",
            settings.staying.join(", ")
        );
        // an emulator may say so of every interface
        let found = if cx.dry_run.is_some() { refusal(id, text) } else { warning(id, text) };
        out.push(found.hint("switch it on: `aws ec2 modify-network-interface-attribute … --attachment …`"));
    }
    if i.lifecycle.as_deref() == Some("spot") {
        out.push(warning(id, "the original is a Spot instance, its replacement is On-Demand".to_owned()));
    }
    let other_type = params.instance_type.as_ref().is_some_and(|kind| *kind != i.instance_type);
    out.extend(
        lost(settings, other_type)
            .into_iter()
            .map(|what| warning(id, format!("the replacement will lack {what}"))),
    );
    for b in volumes::surviving(i) {
        let text = format!(
            "the volume {} at {} is not deleted with the instance: it stays behind, unattached, and the replacement has \
             nothing there unless its image has",
            b.volume, b.device
        );
        out.push(
            warning(id, text).hint("a boot that waits for the device (fstab without `nofail`) does not end"),
        );
    }
    if params.private_ip == PrivateIp::Keep {
        let text = "the launch waits until the old instance has released its address; whoever takes it first keeps \
                    it, and then nothing is launched";
        out.push(warning(id, text.to_owned()));
    }
    out
}

/// What RunInstances cannot be asked for.
fn lost(settings: &Settings, other_type: bool) -> Vec<String> {
    let mut out = Vec::new();
    if !settings.addresses.is_empty() {
        out.push(format!("its further addresses ({})", settings.addresses.join(", ")));
    }
    if let Some(reservation) = &settings.reservation {
        out.push(format!("its place in the Capacity Reservation {reservation}"));
    }
    // another type may not take these
    if let Some(bandwidth) = settings.bandwidth.as_ref().filter(|_| other_type) {
        out.push(format!("its bandwidth weighting, {bandwidth}"));
    }
    if other_type && settings.nested.as_deref() == Some("enabled") {
        out.push("its nested virtualization".to_owned());
    }
    out
}

fn replaced(id: &str, who: &str) -> Finding {
    let text = format!("{who} replaces the instance itself: redrill's replacement would be one too many");
    refusal(id, text).hint("pick instances that nobody else replaces")
}

/// EC2 Fleets tag what they launch, whatever their type: one of type `maintain` alone launches another ("EC2 Fleet
/// request types", Amazon EC2 User Guide).
async fn fleets(cx: ReadCx<'_>, instances: &Instances) -> CloudResult<Vec<Finding>> {
    let of = by(instances, |i| i.tags.get(FLEET).map(String::as_str));
    if of.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<String> = of.keys().map(|id| (*id).to_owned()).collect();
    let types = cx.reads.ec2.fleets(&ids).await?;
    let maintained = of.into_iter().filter(|(fleet, _)| types.get(*fleet).is_some_and(|t| t == "maintain"));
    Ok(maintained
        .flat_map(|(_, ids)| ids)
        .map(|id| replaced(id, "an EC2 Fleet of type `maintain`"))
        .collect())
}

/// Routes through an instance lead nowhere once it is gone; its replacement has another interface.
async fn routes(cx: ReadCx<'_>, instances: &Instances) -> CloudResult<Vec<Finding>> {
    let own = |i: &Instance, via: &str| i.id == via || i.settings.interfaces.iter().any(|n| n == via);
    let mut out = Vec::new();
    for table in routing::tables(cx).await? {
        for route in &table.routes {
            let through = instances.values().find(|i| own(i, &route.via));
            out.extend(through.map(|i| {
                let text = format!(
                    "the route to {} in {} leads through it, and would not lead to its replacement",
                    route.destination, table.id
                );
                refusal(&i.id, text)
            }));
        }
    }
    Ok(out)
}

/// Which instances have a value in common.
fn by<'a>(
    instances: &'a Instances,
    value: impl Fn(&'a Instance) -> Option<&'a str>,
) -> BTreeMap<&'a str, Vec<&'a str>> {
    let mut out: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for i in instances.values() {
        if let Some(value) = value(i).filter(|v| !v.is_empty()) {
            out.entry(value).or_default().push(&i.id);
        }
    }
    out
}

async fn images(cx: ReadCx<'_>, instances: &Instances) -> CloudResult<Vec<Finding>> {
    let wanted = by(instances, |i| Some(i.image.as_str()));
    let mut states: BTreeMap<String, String> = BTreeMap::new();
    let mut work = vec![wanted.keys().map(|id| (*id).to_owned()).collect::<Vec<_>>()];
    while let Some(part) = work.pop().filter(|part| !part.is_empty()) {
        match cx.reads.ec2.images(&part).await {
            Ok(found) => states.extend(found.into_iter().map(|i| (i.id, i.state))),
            // one that is not there, or not this account's to use, spoils the call for all
            Err(e) if is_no_image(&e) => work.extend(look::divide(&part, &e.message)),
            Err(e) => return Err(e),
        }
    }
    let mut out = Vec::new();
    for (image, ids) in wanted {
        let text = match states.get(image).map(String::as_str) {
            Some("available") => continue,
            Some(state) => format!("its image {image} is {state}, so no replacement can be launched"),
            None => format!("its image {image} does not exist any more, or is not shared with this account"),
        };
        let hint = "launch the original from an image that is there, or pick other targets";
        out.extend(ids.into_iter().map(|id| refusal(id, text.clone()).hint(hint)));
    }
    Ok(out)
}

fn is_no_image(e: &CloudError) -> bool {
    e.is_not_found()
        || matches!(e.code.as_deref(), Some("InvalidAMIID.Unavailable"))
        || (e.code.as_deref() == Some("AuthFailure") && e.message.contains("Not authorized for images"))
}

async fn key_pairs(cx: ReadCx<'_>, instances: &Instances) -> CloudResult<Vec<Finding>> {
    let wanted = by(instances, |i| i.key_name.as_deref());
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let names: Vec<String> = wanted.keys().map(|name| (*name).to_owned()).collect();
    let there: BTreeSet<String> = cx.reads.ec2.key_pairs(&names).await?.into_iter().collect();
    let missing = wanted.into_iter().filter(|(name, _)| !there.contains(*name));
    let text = |name: &str| {
        format!("its key pair {name} does not exist any more, and RunInstances refuses the name")
    };
    Ok(missing.flat_map(|(name, ids)| ids.into_iter().map(move |id| refusal(id, text(name)))).collect())
}

async fn types(cx: ReadCx<'_>, instances: &Instances, params: &Params) -> CloudResult<Vec<Finding>> {
    let kind = |i: &'_ Instance| params.instance_type.clone().unwrap_or_else(|| i.instance_type.clone());
    let wanted: BTreeSet<String> = instances.values().map(kind).collect();
    let wanted: Vec<String> = wanted.into_iter().collect();
    let offered = all_pages(|page| cx.reads.ec2.offerings(&wanted, page)).await?;
    let lacks = |i: &&Instance| {
        let offering = Offering { instance_type: kind(i), zone: i.zone.clone() };
        !i.zone.is_empty() && !offered.contains(&offering)
    };
    let text = |i: &Instance| format!("{} has no instances of type {}", i.zone, kind(i));
    Ok(instances.values().filter(lacks).map(|i| refusal(&i.id, text(i))).collect())
}

async fn subnets(cx: ReadCx<'_>, instances: &Instances, params: &Params) -> CloudResult<Vec<Finding>> {
    let wanted = by(instances, |i| i.subnet.as_deref());
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let filter = Filter { ids: wanted.keys().map(|id| (*id).to_owned()).collect(), ..Filter::default() };
    let found: Vec<Subnet> = all_pages(|page| cx.reads.ec2.subnets(&filter, page)).await?;
    let mut out = Vec::new();
    for subnet in found {
        let ids = wanted.get(subnet.id.as_str()).cloned().unwrap_or_default();
        let free = usize::try_from(subnet.free_addresses).unwrap_or_default();
        if params.private_ip == PrivateIp::New && free < ids.len() {
            let text = format!(
                "{} free addresses for {} replacements: they fit only where the originals have given theirs back",
                free,
                ids.len()
            );
            out.push(warning(&subnet.id, text));
        }
        let owner = &subnet.owner;
        if !owner.is_empty() && owner != cx.account {
            let text = format!(
                "the subnet is shared by account {owner}: whoever runs the drill needs ec2:RunInstances on the subnet \
                 of that account"
            );
            out.push(warning(&subnet.id, text));
        }
    }
    Ok(out)
}

async fn profiles(cx: ReadCx<'_>, instances: &Instances) -> CloudResult<Vec<Finding>> {
    let mut out = Vec::new();
    for (profile, ids) in by(instances, |i| i.profile_arn.as_deref()) {
        let name = profile.rsplit('/').next().unwrap_or(profile);
        let (severity, text) = match cx.reads.iam.profile_role(name).await {
            Ok(Some(role)) => (Severity::Info, format!("launching needs iam:PassRole for {role}")),
            Ok(None) => (Severity::Warning, format!("its instance profile {profile} has no role")),
            Err(e) if e.is_not_found() => {
                (Severity::Refusal, format!("its instance profile {profile} does not exist any more"))
            }
            // what it would tell is told by the launch at the latest
            Err(e) if e.kind == ErrorKind::Denied || e.code.as_deref() == Some("NotImplemented") => {
                let text = "launching needs iam:PassRole for the role of its instance profile";
                (Severity::Warning, format!("{text} {profile}, which cannot be read: {e}"))
            }
            Err(e) => return Err(e),
        };
        out.extend(ids.into_iter().map(|id| Finding::new(severity, id, text.clone())));
    }
    Ok(out)
}

/// Where a replacement cannot be registered, and where the original is unhealthy already: so would its replacement be.
/// A run finds the first in what it captures.
async fn registered(cx: ReadCx<'_>, instances: &Instances) -> CloudResult<Vec<Finding>> {
    if !cx.planning {
        return Ok(Vec::new());
    }
    let all = original::registrations(cx, instances.values()).await?;
    let ailing = all.iter().flat_map(|(id, own)| own.iter().filter(|r| r.ailing).map(move |r| (id, r)));
    let told = ailing.map(|(id, r)| {
        let text = format!(
            "it is unhealthy in {} already: whether its replacement serves there cannot be told, and is not waited for",
            r.name
        );
        warning(id, text).hint("mend the target group first, or pick targets that are healthy")
    });
    let told = told.collect::<Vec<_>>();
    let unplaceable = all.iter().flat_map(|(id, own)| own.iter().map(move |r| (id, r)));
    let unplaceable = unplaceable.filter_map(|(id, r)| {
        let (text, hint) = r.unplaceable()?;
        Some(refusal(id, text).hint(hint))
    });
    Ok(unplaceable.chain(told).collect())
}

/// Load balancers of a kind that the replacement is not registered with: told once, while there is time to say so in the
/// drill.
async fn classic(cx: ReadCx<'_>, instances: &Instances) -> CloudResult<Vec<Finding>> {
    if !cx.planning {
        return Ok(Vec::new());
    }
    let behind = original::classic(cx).await?;
    let told = instances.keys().filter_map(|id| Some((id, behind.get(id)?)));
    let told = told.map(|(id, names)| {
        let text = format!(
            "it is behind the Classic Load Balancer {}, with which the replacement is not registered",
            names.join(", ")
        );
        let hint = "register the replacement in a later step, for example with `command`: \
                    aws elb register-instances-with-load-balancer";
        warning(id, text).hint(hint)
    });
    Ok(told.collect())
}

/// The very launches, with DryRun: whether this caller may, and whether EC2 takes what it is given.
async fn tried(cx: ReadCx<'_>, instances: &Instances, params: &Params) -> CloudResult<Vec<Finding>> {
    let Some(dry_run) = cx.dry_run else { return Ok(Vec::new()) };
    let ids: Vec<String> = instances.keys().cloned().collect();
    let described = match original::described(cx, ids).await {
        Ok(described) => described,
        Err(e) => return Ok(vec![refusal(cx.step.as_str(), e.to_string())]),
    };
    let public: Vec<String> =
        described.iter().filter(|(_, o)| o.instance.public_ip.is_some()).map(|(id, _)| id.clone()).collect();
    let mut addresses = elastic_ips(cx, &public).await?;
    let mut asked: Vec<(LaunchSpec, Option<CloudError>)> = Vec::new();
    let mut out = Vec::new();
    for (id, mut original) in described {
        original.addresses = addresses.remove(&id).unwrap_or_default();
        let Ok(user_data) = original::user_data(cx, &original).await else { continue };
        let tags = tags_at_launch(&original.instance.tags, params, &marks(cx, &id));
        let kind = params.instance_type.clone().unwrap_or_else(|| original.instance.instance_type.clone());
        // the address is the original's still
        let spec = launching::spec(&original, &kind, tags, None, user_data, cx.after);
        let alike = alike(&spec);
        let known = asked.iter().find(|(other, _)| *other == alike).map(|(_, answer)| answer.clone());
        let answer = match known {
            Some(answer) => answer,
            None => {
                let run = Mutation::RunInstances { token: String::new(), spec: Box::new(spec) };
                let answer = dry_run.would(&run).await.err();
                asked.push((alike, answer.clone()));
                answer
            }
        };
        out.extend(answer.map(|e| untaken(&id, &e, cx.after)));
    }
    Ok(out)
}

/// The same launch as another but for whom it replaces.
fn alike(spec: &LaunchSpec) -> LaunchSpec {
    let mut spec = spec.clone();
    spec.tags.remove(TAG_REPLACES);
    spec.volume_tags.remove(TAG_REPLACES);
    let kept = Settings {
        interfaces: Vec::new(),
        staying: Vec::new(),
        addresses: Vec::new(),
        ..spec.like.settings.clone()
    };
    spec.like = Instance {
        id: String::new(),
        state: String::new(),
        private_ip: None,
        public_ip: None,
        addresses: Vec::new(),
        launched_at: None,
        stopped_at: None,
        client_token: None,
        block_devices: Vec::new(),
        tags: Tags::new(),
        settings: kept,
        ..spec.like
    };
    for (device, volume) in &mut spec.volumes {
        device.volume.clear();
        volume.id.clear();
        volume.tags.clear();
    }
    spec
}

fn untaken(id: &str, e: &CloudError, after: After) -> Finding {
    match e.kind {
        ErrorKind::Throttled
        | ErrorKind::Server
        | ErrorKind::Timeout
        | ErrorKind::Unreachable
        | ErrorKind::Capacity => {
            warning(id, format!("whether it could be replaced was asked, and not told: {e}"))
        }
        // nothing ends the original of a launch that is taken away again
        _ if after != After::Remove && launching::is_until_it_ends(e) => {
            let text = format!("while it is there, EC2 would not launch its replacement beside it: {e}");
            warning(id, text).hint("if the quota leaves no room after its termination either, raise it")
        }
        _ => refusal(id, format!("EC2 would refuse to launch its replacement: {e}"))
            .hint("nothing was launched: it was asked with DryRun; what the run needs: redrill iam DRILL"),
    }
}
