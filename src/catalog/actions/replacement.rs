//! What makes a new instance a replacement: the Elastic IP, the registrations, and what differs.
//!
//! It leaves launching and finding the instance to `ec2_launch_replacement`. Everything here may be
//! repeated: what is in place already is not done again.

use super::ec2_launch_replacement::volumes::untagged;
use super::ec2_launch_replacement::{Undo, is_alive};
use super::ec2_terminate::elastic_ips;
use super::original::Original;
use super::{look, whole};
use crate::catalog::action::{ActionError, Outputs, ReadCx, WriteCx};
use crate::cloud::{
    CloudResult, EffectCertainty, Instance, Interface, InterfacesOf, Mutation, Registration, all_pages,
};
use crate::model::Tags;

/// What a running replacement still lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    Address {
        allocation: String,
        public_ip: String,
        from: Option<String>,
    },
    Registration {
        group: String,
        name: String,
        id: String,
        port: Option<i32>,
    },
    /// The old address is to be taken out first: whoever gets it next would be sent requests.
    Leaving {
        group: String,
        name: String,
        id: String,
        port: Option<i32>,
    },
    VolumeTags {
        volume: String,
        device: String,
        tags: Tags,
    },
}

impl Missing {
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Address { public_ip, .. } => format!("Elastic IP {public_ip}"),
            Self::Registration { name, .. } => format!("registration in {name}"),
            Self::Leaving { id, name, .. } => format!("the end of the registration of {id} in {name}"),
            Self::VolumeTags { device, .. } => format!("the tags of its volume at {device}"),
        }
    }

    fn change(&self, instance: &Instance) -> Mutation {
        match self {
            Self::Address { allocation, from, .. } => Mutation::AssociateAddress {
                allocation: allocation.clone(),
                instance: instance.id.clone(),
                from: from.clone(),
            },
            Self::Registration { group, id, port, .. } => {
                Mutation::RegisterTargets { group: group.clone(), id: id.clone(), port: *port }
            }
            Self::Leaving { group, id, port, .. } => {
                Mutation::DeregisterTargets { group: group.clone(), id: id.clone(), port: *port }
            }
            Self::VolumeTags { volume, tags, .. } => {
                Mutation::CreateTags { ids: vec![volume.clone()], tags: tags.clone() }
            }
        }
    }
}

/// What a running replacement lacks, and where it is registered and does not serve yet.
pub(super) struct Placed {
    pub(super) missing: Vec<Missing>,
    pub(super) unwell: Vec<String>,
}

pub(super) async fn placed(cx: ReadCx<'_>, undo: &Undo, instance: &Instance) -> Result<Placed, ActionError> {
    let original = &undo.original;
    let (mut missing, mut unwell) = (Vec::new(), Vec::new());
    let by_address = original.registrations.iter().any(|r| r.by_address);
    let alive = (by_address || !original.addresses.is_empty()) && is_alive(cx, original).await?;
    if let Some(address) = original.addresses.first().filter(|_| !alive) {
        let (new, old) = (&instance.id, &original.instance.id);
        let held = elastic_ips(cx, &[new.clone(), old.clone()]).await?;
        let is_with =
            |id| held.get(id).is_some_and(|own| own.iter().any(|a| a.allocation == address.allocation));
        if !is_with(new) {
            missing.push(Missing::Address {
                allocation: address.allocation.clone(),
                public_ip: address.public_ip.clone(),
                // one that has ended gives its address back; where it has not, nobody else loses it
                from: is_with(old).then(|| old.clone()),
            });
        }
    }
    for (volume, device, tags) in untagged(cx, undo, instance).await? {
        missing.push(Missing::VolumeTags { volume, device, tags });
    }
    for r in &original.registrations {
        let id = if r.by_address { instance.private_ip.as_ref() } else { Some(&instance.id) };
        let id = id.ok_or_else(|| ActionError::refused(format!("{} has no private address", instance.id)))?;
        let now = cx.reads.elb.registrations(&r.group).await?;
        let entry = |id: &str| now.iter().find(|n| n.id == id && n.port == r.port && n.state != "draining");
        let old = original.instance.private_ip.as_deref().filter(|old| r.by_address && *old != id);
        if let Some(old) = old.filter(|old| entry(old).is_some())
            && !alive
            && !is_taken(cx, original, old).await?
        {
            missing.push(Missing::Leaving {
                group: r.group.clone(),
                name: r.name.clone(),
                id: old.to_owned(),
                port: r.port,
            });
        }
        match entry(id) {
            None => missing.push(Missing::Registration {
                group: r.group.clone(),
                name: r.name.clone(),
                id: id.clone(),
                port: r.port,
            }),
            // as the original was: nothing here makes it better
            Some(n) if r.ailing && n.is_unhealthy() => {}
            Some(n) if !serves(n) => {
                let why = n.reason.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
                unwell.push(format!("{} in {}{why}", n.state, r.name));
            }
            Some(_) => {}
        }
    }
    Ok(Placed { missing, unwell })
}

/// Whether the address of the original is another's by now, who may have registered it: then it is left alone.
async fn is_taken(cx: ReadCx<'_>, original: &Original, address: &str) -> CloudResult<bool> {
    let of = InterfacesOf::Addresses(vec![address.to_owned()]);
    let found = all_pages(|page| cx.reads.ec2.interfaces(&of, page)).await?;
    let (own, vpc) = (original.instance.id.as_str(), original.instance.vpc.as_deref());
    // an interface of the original that stays after it is still the original's until it is attached to another instance
    let stays = |i: &Interface| i.instance.is_none() && original.instance.settings.interfaces.contains(&i.id);
    let mut others = found.iter().filter(|i| vpc.is_none_or(|vpc| i.vpc == vpc) && !stays(i));
    Ok(others.any(|i| i.instance.as_deref() != Some(own)))
}

/// Whether a load balancer sends it requests, or would: `unavailable` is where health checks are off, and a group that
/// no load balancer uses checks nothing.
pub(super) fn serves(r: &Registration) -> bool {
    match r.state.as_str() {
        "healthy" | "unavailable" => true,
        "unused" => r.reason.as_deref().is_none_or(|why| why == "Target.NotInUse"),
        _ => false,
    }
}

/// What the status checks have against a replacement that no target group checks.
pub(super) async fn unwell(
    cx: ReadCx<'_>,
    undo: &Undo,
    instance: &Instance,
) -> Result<Vec<String>, ActionError> {
    if !undo.original.registrations.is_empty() {
        return Ok(Vec::new());
    }
    let told = match cx.reads.ec2.status_checks(std::slice::from_ref(&instance.id)).await {
        Ok(told) => told,
        Err(e) if e.is_not_found() => Vec::new(),
        Err(e) => return Err(e.into()),
    };
    let Some(checks) = told.iter().find(|c| c.id == instance.id) else {
        return Ok(vec!["no status checks yet".to_owned()]);
    };
    let passed = |state: &str| matches!(state, "ok" | "not-applicable");
    if passed(&checks.instance) && passed(&checks.system) {
        return Ok(Vec::new());
    }
    Ok(vec![format!("status checks: instance {}, system {}", checks.instance, checks.system)])
}

/// Moves the Elastic IP and registers with the target groups, whichever is missing. Both are
/// repeatable on AWS, so a lost answer is followed by another look and, if need be, another call.
pub(super) async fn put_in_place(
    cx: WriteCx<'_>,
    undo: &Undo,
    instance: &Instance,
) -> Result<(), ActionError> {
    let mut patience = look::settle(cx.read);
    loop {
        let (mut unsure, mut refused) = (None, None);
        for m in placed(cx.read, undo, instance).await?.missing {
            match cx.gate.send(m.change(instance)).await {
                Ok(_) => {}
                Err(e) if e.effect != EffectCertainty::None || e.is_not_found() => unsure = Some(e),
                // nothing that is refused keeps the rest from being done
                Err(e) => refused = refused.or(Some(e)),
            }
        }
        if let Some(e) = refused {
            return Err(e.into());
        }
        match unsure {
            None => return Ok(()),
            Some(e) if !patience.wait().await => return Err(e.into()),
            Some(_) => {}
        }
    }
}

pub(super) fn outputs(instance: &Instance) -> Outputs {
    let mut outputs = Outputs::from([("instance_id".to_owned(), instance.id.clone())]);
    if let Some(ip) = &instance.private_ip {
        outputs.insert("private_ip".to_owned(), ip.clone());
    }
    outputs
}

/// How else it differs, field by field.
pub(super) async fn elsewise(cx: ReadCx<'_>, undo: &Undo, new: &Instance) -> Vec<String> {
    let read = async || {
        let mut all = whole::instances(cx, std::iter::once(new)).await?;
        Ok(all.remove(&new.id))
    };
    whole::compared(&undo.original.fields, read).await
}

/// How the replacement differs from the original, a sentence each.
pub(super) fn differences(undo: &Undo, new: &Instance, alive: bool) -> Vec<String> {
    let old = &undo.original;
    let mut notes = vec![format!("{} replaces {}", new.id, old.instance.id)];
    if let (Some(was), Some(is)) = (&old.instance.private_ip, &new.private_ip)
        && was != is
    {
        notes.push(format!("private address {is} instead of {was}"));
        for r in old.registrations.iter().filter(|r| r.by_address) {
            notes.push(if alive {
                format!(
                    "the old address {was} stays registered in {}, since {} still exists",
                    r.name, old.instance.id
                )
            } else {
                format!(
                    "the old address {was} is taken out of {}, unless somebody else has it by now",
                    r.name
                )
            });
        }
    }
    match (old.addresses.as_slice(), &old.instance.public_ip, &new.public_ip) {
        ([own, ..], ..) if alive => {
            notes.push(format!(
                "Elastic IP {} stays with {}, which still exists",
                own.public_ip, old.instance.id
            ));
        }
        ([_, others @ ..], ..) => {
            notes.extend(
                others.iter().map(|a| format!("Elastic IP {} is not moved: only the first is", a.public_ip)),
            );
        }
        ([], Some(was), Some(is)) if was != is => notes.push(format!("public address {is} instead of {was}")),
        ([], None, Some(is)) => notes.push(format!("public address {is}; the original had none")),
        ([], Some(was), None) => notes.push(format!("no public address; the original had {was}")),
        _ => {}
    }
    for r in old.registrations.iter().filter(|r| r.ailing) {
        notes.push(format!(
            "in {} the original was unhealthy before the fault, and its replacement may be",
            r.name
        ));
    }
    for name in &old.classic {
        notes.push(format!("not registered with the Classic Load Balancer {name}; the original was"));
    }
    if new.instance_type != old.instance.instance_type {
        notes.push(format!("type {} instead of {}", new.instance_type, old.instance.instance_type));
    }
    for (device, _) in &old.volumes {
        let root = old.instance.root_device.as_deref() == Some(device.device.as_str());
        let fate = match device.delete_on_termination {
            _ if alive => "stays with the original",
            true => "went with the original",
            false => "is left unattached",
        };
        let fresh = match (root, device.delete_on_termination) {
            (true, _) => "from the image",
            (false, true) => "new, from the image or empty",
            (false, false) => "nothing, unless the image has something there",
        };
        notes.push(format!("{}: {fresh}; {} {fate}", device.device, device.volume));
    }
    let (was, is) = (&old.instance.settings, &new.settings);
    if !was.addresses.is_empty() {
        notes.push(format!("further addresses of the original are missing: {}", was.addresses.join(", ")));
    }
    if let Some(reservation) = was.reservation.as_ref().filter(|_| is.reservation.is_none()) {
        notes.push(format!("not in the Capacity Reservation {reservation}"));
    }
    if let Some(bandwidth) = was.bandwidth.as_ref().filter(|_| was.bandwidth != is.bandwidth) {
        notes.push(format!("bandwidth weighting is not {bandwidth}"));
    }
    if was.cores.is_some() && new.instance_type != old.instance.instance_type {
        notes.push("cores and threads are those of the type; the original had others".to_owned());
    }
    if old.termination_protection {
        notes.push("termination protection is off; the original had it on".to_owned());
    }
    if old.stop_protection {
        notes.push("stop protection is off; the original had it on".to_owned());
    }
    if old.instance.lifecycle.as_deref() == Some("spot") {
        notes.push("On-Demand; the original was a Spot instance".to_owned());
    }
    let own: Vec<&str> =
        old.instance.tags.keys().filter(|k| k.starts_with("aws:")).map(String::as_str).collect();
    if !own.is_empty() {
        notes.push(format!("tags that only AWS can set are missing: {}", own.join(", ")));
    }
    notes
}
