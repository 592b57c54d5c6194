//! What makes a new instance a replacement: the Elastic IP, the registrations, and what differs.
//!
//! It leaves launching and finding the instance to `ec2_launch_replacement`. Everything here may be
//! repeated: what is in place already is not done again.

use super::ec2_launch_replacement::{Undo, is_alive};
use super::ec2_terminate::elastic_ips;
use super::look;
use crate::catalog::action::{ActionError, Outputs, ReadCx, WriteCx};
use crate::cloud::{EffectCertainty, Instance, Mutation, Registration};

/// What a running replacement still lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    Address { allocation: String, public_ip: String },
    Registration { group: String, name: String, id: String, port: Option<i32> },
}

impl Missing {
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Address { public_ip, .. } => format!("Elastic IP {public_ip}"),
            Self::Registration { name, .. } => format!("registration in {name}"),
        }
    }

    fn change(&self, instance: &Instance) -> Mutation {
        match self {
            Self::Address { allocation, .. } => {
                Mutation::AssociateAddress { allocation: allocation.clone(), instance: instance.id.clone() }
            }
            Self::Registration { group, id, port, .. } => {
                Mutation::RegisterTargets { group: group.clone(), id: id.clone(), port: *port }
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
    if let Some(address) = original.addresses.first()
        && !is_alive(cx, original).await?
    {
        let own = elastic_ips(cx, std::slice::from_ref(&instance.id)).await?;
        let here = own.values().flatten().any(|a| a.allocation == address.allocation);
        if !here {
            missing.push(Missing::Address {
                allocation: address.allocation.clone(),
                public_ip: address.public_ip.clone(),
            });
        }
    }
    for r in &original.registrations {
        let id = if r.by_address { instance.private_ip.as_ref() } else { Some(&instance.id) };
        let id = id.ok_or_else(|| ActionError::refused(format!("{} has no private address", instance.id)))?;
        let now = cx.reads.elb.registrations(&r.group).await?;
        match now.iter().find(|n| n.id == *id && n.port == r.port && n.state != "draining") {
            None => missing.push(Missing::Registration {
                group: r.group.clone(),
                name: r.name.clone(),
                id: id.clone(),
                port: r.port,
            }),
            Some(n) if !serves(n) => {
                let why = n.reason.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
                unwell.push(format!("{} in {}{why}", n.state, r.name));
            }
            Some(_) => {}
        }
    }
    Ok(Placed { missing, unwell })
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
        let mut unsure = None;
        for m in placed(cx.read, undo, instance).await?.missing {
            match cx.gate.send(m.change(instance)).await {
                Ok(_) => {}
                Err(e) if e.effect != EffectCertainty::None || e.is_not_found() => unsure = Some(e),
                Err(e) => return Err(e.into()),
            }
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

/// How the replacement differs from the original, a sentence each.
pub(super) fn differences(undo: &Undo, new: &Instance, alive: bool) -> Vec<String> {
    let old = &undo.original;
    let mut notes = vec![format!("{} replaces {}", new.id, old.instance.id)];
    if let (Some(was), Some(is)) = (&old.instance.private_ip, &new.private_ip)
        && was != is
    {
        notes.push(format!("private address {is} instead of {was}"));
        for r in old.registrations.iter().filter(|r| r.by_address) {
            notes.push(format!("the old address {was} stays registered in {} until it is removed", r.name));
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
        ([], Some(was), None) => notes.push(format!("no public address; the original had {was}")),
        _ => {}
    }
    if new.instance_type != old.instance.instance_type {
        notes.push(format!("type {} instead of {}", new.instance_type, old.instance.instance_type));
    }
    for (device, _) in &old.volumes {
        let root = old.instance.root_device.as_deref() == Some(device.device.as_str());
        let (fate, fresh) = match (device.delete_on_termination, root) {
            (true, true) => ("went with the original", "from the image"),
            (true, false) => ("went with the original", "new, from the image or empty"),
            (false, true) => ("is left unattached", "from the image"),
            (false, false) => ("is left unattached", "nothing, unless the image has something there"),
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
