//! Instances: how they start, stop and end. Synchronous; the waiting is `world`'s.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use super::refusal::{Answer, Refusal, refuse};
use super::world::{Due, Machine, World, check_tags, tags_match};
use crate::cloud::{
    Address, BlockDevice, Filter, Instance, InstanceAttribute, InstanceDetail, Interface, LaunchSpec,
    Outcome, Page, Settings, Volume,
};
use crate::model::Tags;

const GONE: [&str; 2] = ["shutting-down", "terminated"];

/// The settings of what is launched: what RunInstances does not take is as AWS sets it.
fn launched(like: &Settings, interface: String, six: Option<String>) -> Settings {
    Settings {
        interfaces: vec![interface],
        addresses: Vec::from_iter(six),
        forwards: false,
        reservation: None,
        operator: None,
        ..like.clone()
    }
}

impl World {
    /// Whether the id can be found by now.
    fn sees_instance(&self, id: &str) -> bool {
        self.instances.get(id).is_some_and(|m| m.visible_from <= self.now)
    }

    pub(super) fn need_instances(&self, ids: &[String]) -> Answer<()> {
        if ids.is_empty() {
            return Err(refuse("MissingParameter", "the request must contain the parameter InstanceId"));
        }
        if let Some(bad) = ids.iter().find(|id| !id.starts_with("i-")) {
            return Err(refuse("InvalidInstanceID.Malformed", format!("invalid id: \"{bad}\"")));
        }
        let missing: Vec<&str> =
            ids.iter().filter(|id| !self.sees_instance(id)).map(String::as_str).collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(refuse(
            "InvalidInstanceID.NotFound",
            format!("the instance IDs '{}' do not exist", missing.join(", ")),
        ))
    }

    pub(super) fn list_instances(&self, f: &Filter, page: Option<String>) -> Answer<Page<Instance>> {
        if !f.ids.is_empty() {
            self.need_instances(&f.ids)?;
        } else if self.withdrawn.contains("listing of all zones") {
            return Err(refuse("Unavailable", "The service is unavailable. Please try again shortly."));
        }
        let found = self
            .instances
            .values()
            .filter(|m| m.visible_from <= self.now)
            .filter(|m| f.ids.is_empty() || f.ids.contains(&m.inst.id))
            .filter(|m| tags_match(&m.inst.tags, &f.tags))
            .map(|m| Instance { addresses: super::interfaces::addresses(&m.inst), ..m.inst.clone() })
            .collect();
        self.page(found, page)
    }

    pub(super) fn attribute(&self, id: &str, which: InstanceAttribute) -> Answer<Option<String>> {
        self.need_instances(&[id.to_owned()])?;
        let detail = &self.instances[id].detail;
        Ok(match which {
            InstanceAttribute::TerminationProtection => Some(detail.disable_api_termination.to_string()),
            InstanceAttribute::StopProtection => Some(detail.disable_api_stop.to_string()),
            InstanceAttribute::UserData => detail.user_data.clone(),
            InstanceAttribute::Shutdown => Some(detail.shutdown.clone().unwrap_or_else(|| "stop".to_owned())),
        })
    }

    pub(super) fn list_volumes(&self, ids: &[String], page: Option<String>) -> Answer<Page<Volume>> {
        if let Some(id) = ids.iter().find(|id| !self.volumes.contains_key(*id)) {
            return Err(refuse("InvalidVolume.NotFound", format!("the volume '{id}' does not exist")));
        }
        let found =
            self.volumes.values().filter(|v| ids.is_empty() || ids.contains(&v.id)).cloned().collect();
        self.page(found, page)
    }

    pub(super) fn list_addresses(&self, instances: &[String]) -> Vec<Address> {
        self.addresses
            .values()
            .filter(|a| a.instance.as_ref().is_some_and(|i| instances.contains(i)))
            .cloned()
            .collect()
    }

    /// Sends an instance towards a state and forgets where it was going.
    fn send_instance(&mut self, id: &str, now: &'static str, after: crate::model::Dur, to: &'static str) {
        let generation = self.count("generation");
        if let Some(m) = self.instances.get_mut(id) {
            now.clone_into(&mut m.inst.state);
            m.generation = generation;
            m.running_since = None;
        }
        self.later(after, Due::Instance { id: id.to_owned(), generation, to });
    }

    fn states(&self, ids: &[String]) -> Outcome {
        Outcome::Instances {
            states: ids.iter().map(|id| (id.clone(), self.instances[id].inst.state.clone())).collect(),
        }
    }

    pub(super) fn terminate(&mut self, ids: &[String]) -> Answer<Outcome> {
        self.need_instances(ids)?;
        // AWS ends the unprotected instances of every zone without a protected one, and errs all the same
        let protected: Vec<String> = ids
            .iter()
            .filter(|id| {
                let m = &self.instances[*id];
                m.detail.disable_api_termination && !GONE.contains(&m.inst.state.as_str())
            })
            .cloned()
            .collect();
        let spared: BTreeSet<String> =
            protected.iter().map(|id| self.instances[id].inst.zone.clone()).collect();
        for id in ids {
            let m = &self.instances[id];
            if !spared.contains(&m.inst.zone) && !GONE.contains(&m.inst.state.as_str()) {
                self.end_instance(id);
            }
        }
        match protected.first() {
            None => Ok(self.states(ids)),
            Some(id) => Err(refuse(
                "OperationNotPermitted",
                format!(
                    "the instance '{id}' may not be terminated: modify its 'disableApiTermination' attribute"
                ),
            )
            .of_batch(ids.len())),
        }
    }

    /// Starts the end of one instance.
    pub(super) fn end_instance(&mut self, id: &str) {
        self.send_instance(id, "shutting-down", self.pace.instance_terminate, "terminated");
        self.group_will_look(id);
    }

    fn group_will_look(&mut self, id: &str) {
        if let Some(group) = self.instances.get(id).and_then(|m| m.group.clone()) {
            self.later(self.pace.group_replace, Due::GroupLooks { group });
        }
    }

    pub(super) fn stop(&mut self, ids: &[String]) -> Answer<Outcome> {
        self.need_instances(ids)?;
        for id in ids {
            self.may_stop(&self.instances[id])?;
        }
        for id in ids {
            if self.instances[id].inst.state == "running" {
                self.send_instance(id, "stopping", self.pace.instance_stop, "stopped");
                if let Some(m) = self.instances.get_mut(id) {
                    m.inst.stopped_at = Some(self.now);
                }
                self.group_will_look(id);
            }
        }
        Ok(self.states(ids))
    }

    fn may_stop(&self, m: &Machine) -> Answer<()> {
        let (id, state) = (&m.inst.id, &m.inst.state);
        if m.detail.disable_api_stop && state == "running" {
            return Err(refuse(
                "OperationNotPermitted",
                format!("the instance '{id}' may not be stopped: modify its 'disableApiStop' attribute"),
            ));
        }
        if m.inst.root_device_type == "instance-store" {
            return Err(refuse(
                "UnsupportedOperation",
                format!("the instance '{id}' does not have an 'ebs' root device type and cannot be stopped"),
            ));
        }
        let one_time = m.inst.spot_request.as_ref().and_then(|r| self.spot_requests.get(r));
        if one_time.is_some_and(|t| t == "one-time") {
            return Err(refuse(
                "UnsupportedOperation",
                format!("'{id}' belongs to a one-time Spot request and cannot be stopped"),
            ));
        }
        if ["running", "stopping", "stopped"].contains(&state.as_str()) {
            return Ok(());
        }
        Err(wrong_state(id, state, "stopped"))
    }

    pub(super) fn start(&mut self, ids: &[String]) -> Answer<Outcome> {
        self.need_instances(ids)?;
        for id in ids {
            let m = &self.instances[id];
            if !["pending", "running", "stopped"].contains(&m.inst.state.as_str()) {
                return Err(wrong_state(id, &m.inst.state, "started"));
            }
            if m.inst.state == "stopped" {
                self.has_capacity(&m.inst.zone).map_err(|r| r.of_batch(ids.len()))?;
            }
        }
        for id in ids {
            if self.instances[id].inst.state == "stopped" {
                let fails = self.withdrawn.contains(&format!("start in {}", self.instances[id].inst.zone));
                let to = if fails { "stopped" } else { "running" };
                self.send_instance(id, "pending", self.pace.instance_start, to);
                if let Some(m) = self.instances.get_mut(id) {
                    (m.inst.launched_at, m.inst.stopped_at) = (Some(self.now), None);
                }
            }
        }
        Ok(self.states(ids))
    }

    fn has_capacity(&self, zone: &str) -> Answer<()> {
        if self.no_capacity.contains(zone) {
            return Err(refuse(
                "InsufficientInstanceCapacity",
                format!("we currently do not have sufficient capacity in the Availability Zone {zone}"),
            ));
        }
        Ok(())
    }

    pub(super) fn run_instance(&mut self, token: &str, spec: &LaunchSpec) -> Answer<Outcome> {
        let asked = serde_json::to_value(spec).unwrap_or_default();
        if let Some((before, id)) = self.tokens.get(token) {
            if self.instances.get(id).is_some_and(|m| m.inst.state == "terminated") {
                return Err(refuse(
                    "IdempotentInstanceTerminated",
                    "The client token provided is associated with a terminated instance.",
                ));
            }
            if *before == asked {
                return Ok(Outcome::Created { id: id.clone() });
            }
            return Err(refuse(
                "IdempotentParameterMismatch",
                "the client token was used with other parameters",
            ));
        }
        let id = self.launch(spec, None)?;
        if !token.is_empty() {
            self.tokens.insert(token.to_owned(), (asked, id.clone()));
            if let Some(machine) = self.instances.get_mut(&id) {
                machine.inst.client_token = Some(token.to_owned());
            }
        }
        Ok(Outcome::Created { id })
    }

    /// Launches one instance; also what an Auto Scaling group does.
    pub(super) fn launch(&mut self, spec: &LaunchSpec, group: Option<String>) -> Answer<String> {
        let subnet = spec.like.subnet.clone().unwrap_or_default();
        let Some(net) = self.subnets.get(&subnet).cloned() else {
            return Err(refuse(
                "InvalidSubnetID.NotFound",
                format!("the subnet ID '{subnet}' does not exist"),
            ));
        };
        check_tags(&spec.tags, 0)?;
        self.may_launch(spec, &net.zone)?;
        self.has_capacity(&net.zone)?;
        let private_ip = match &spec.private_ip {
            Some(ip) if self.uses_address(&subnet, ip) => {
                return Err(refuse("InvalidIPAddress.InUse", format!("address {ip} is in use")));
            }
            Some(ip) => ip.clone(),
            None => self.free_address(&subnet)?,
        };
        let is_public = spec.public_ip.unwrap_or_else(|| self.public_subnets.contains(&subnet));
        let public_ip = is_public.then(|| format!("203.0.113.{}", 100 + self.count("public address") % 100));
        let primary_six = spec.like.settings.primary_six;
        let six = primary_six.then(|| format!("2001:db8::{:x}", self.count("IPv6 address") + 1));
        let id = self.new_id("i");
        let mut block_devices = Vec::new();
        for (device, volume) in &spec.volumes {
            let vol = self.new_id("vol");
            let tags = spec.volume_tags.clone();
            self.volumes.insert(vol.clone(), Volume { id: vol.clone(), tags, ..volume.clone() });
            block_devices.push(BlockDevice { volume: vol, ..device.clone() });
        }
        let inst = Instance {
            id: id.clone(),
            zone: net.zone,
            vpc: Some(net.vpc),
            private_ip: Some(private_ip),
            addresses: Vec::from_iter(six.clone()),
            public_ip,
            block_devices,
            launched_at: Some(self.now),
            stopped_at: None,
            client_token: None,
            tags: spec.tags.clone(),
            settings: launched(&spec.like.settings, self.new_id("eni"), six),
            ..spec.like.clone()
        };
        let detail = InstanceDetail {
            disable_api_termination: spec.disable_api_termination,
            disable_api_stop: false,
            user_data: spec.user_data.clone(),
            shutdown: spec.shutdown.clone(),
        };
        let (visible_from, credits) = (self.visible_from(), spec.credits.clone());
        self.instances
            .insert(id.clone(), Machine { inst, detail, visible_from, group, credits, ..Machine::default() });
        // accepted, and ended before it runs
        let to = if self.withdrawn.contains(&format!("start in {}", self.instances[&id].inst.zone)) {
            "terminated"
        } else {
            "running"
        };
        self.send_instance(&id, "pending", self.pace.instance_start, to);
        Ok(id)
    }

    /// Whether a live instance has this address; a terminated one has given it back.
    fn uses_address(&self, subnet: &str, ip: &str) -> bool {
        let instance = self.instances.values().any(|m| {
            m.inst.state != "terminated"
                && m.inst.subnet.as_deref() == Some(subnet)
                && m.inst.private_ip.as_deref() == Some(ip)
        });
        let other = |i: &Interface| i.subnet == subnet && i.addresses.iter().any(|a| a == ip);
        instance || self.interfaces.values().any(other)
    }

    /// The lowest free address of a subnet; AWS keeps the first four and the last for itself.
    pub(super) fn free_address(&self, subnet: &str) -> Answer<String> {
        let (base, size) = self.subnets.get(subnet).map_or((0, 256), |s| cidr(&s.cidr));
        (4..size.saturating_sub(1))
            .map(|n| Ipv4Addr::from(base + n).to_string())
            .find(|ip| !self.uses_address(subnet, ip))
            .ok_or_else(|| refuse("InsufficientFreeAddressesInSubnet", format!("{subnet} is full")))
    }

    pub(super) fn free_addresses(&self, subnet: &str, block: &str) -> i32 {
        let used = self
            .instances
            .values()
            .filter(|m| m.inst.state != "terminated" && m.inst.subnet.as_deref() == Some(subnet))
            .count();
        i32::try_from(cidr(block).1).unwrap_or(i32::MAX) - 5 - i32::try_from(used).unwrap_or(0)
    }

    pub(super) fn instance_reaches(&mut self, id: &str, generation: u64, to: &'static str) {
        let now = self.now;
        let elastic = self.addresses.values().any(|a| a.instance.as_deref() == Some(id));
        let Some(m) = self.instances.get_mut(id).filter(|m| m.generation == generation) else { return };
        let before = std::mem::replace(&mut m.inst.state, to.to_owned());
        m.inst.state_reason = match (before.as_str(), to) {
            ("pending", "terminated" | "stopped") => Some("Server.InsufficientInstanceCapacity".to_owned()),
            (_, "terminated") => Some("Client.UserInitiatedShutdown".to_owned()),
            _ => None,
        };
        match to {
            "running" => m.running_since = Some(now),
            "stopped" if !elastic => m.inst.public_ip = None,
            "terminated" => {
                let (gone, kept): (Vec<_>, Vec<_>) = std::mem::take(&mut m.inst.block_devices)
                    .into_iter()
                    .partition(|b| b.delete_on_termination);
                drop(kept);
                for b in gone {
                    self.volumes.remove(&b.volume);
                }
                let withdrawn = &self.withdrawn;
                let frees = |a: &Address| !withdrawn.contains(&format!("release of {}", a.allocation));
                let held = self.addresses.values_mut().filter(|a| a.instance.as_deref() == Some(id));
                for a in held.filter(|a| frees(a)) {
                    a.instance = None;
                }
                let id = id.to_owned();
                self.later(self.pace.instance_strip, Due::Strip { id: id.clone() });
                self.later(self.pace.instance_forget, Due::Forget { id: id.clone() });
                self.later(self.pace.target_drain, Due::Drained { id });
            }
            _ => {}
        }
    }

    pub(super) fn instance_strips(&mut self, id: &str) {
        if let Some(m) = self.instances.get_mut(id) {
            m.inst.subnet = None;
            m.inst.vpc = None;
            m.inst.private_ip = None;
            m.inst.public_ip = None;
            m.inst.security_groups.clear();
            m.inst.profile_arn = None;
            m.group = None;
        }
    }

    pub(super) fn associate_address(
        &mut self,
        allocation: &str,
        instance: &str,
        reassociate: bool,
    ) -> Answer<Outcome> {
        self.need_instances(&[instance.to_owned()])?;
        let state = self.instances[instance].inst.state.clone();
        if !["running", "stopping", "stopped"].contains(&state.as_str()) {
            return Err(refuse(
                "IncorrectInstanceState",
                format!("the instance '{instance}' is '{state}': an address cannot be associated"),
            ));
        }
        let Some(a) = self.addresses.get_mut(allocation) else {
            return Err(refuse(
                "InvalidAllocationID.NotFound",
                format!("the allocation ID '{allocation}' does not exist"),
            ));
        };
        let ip = a.public_ip.clone();
        if !reassociate && a.instance.as_deref().is_some_and(|other| other != instance) {
            return Err(refuse(
                "Resource.AlreadyAssociated",
                format!("resource {allocation} is already associated with associate-id eipassoc-0"),
            ));
        }
        if let Some(before) = a.instance.replace(instance.to_owned())
            && before != instance
            && let Some(m) = self.instances.get_mut(&before)
        {
            m.inst.public_ip = None;
        }
        if let Some(m) = self.instances.get_mut(instance) {
            m.inst.public_ip = Some(ip);
        }
        Ok(Outcome::Created { id: self.new_id("eipassoc") })
    }

    /// The tags of every EC2 and VPC resource named; the first unknown id is a refusal.
    fn ec2_tags(&mut self, ids: &[String], mut each: impl FnMut(&mut Tags)) -> Answer<()> {
        for id in ids {
            let (known, code): (bool, &'static str) = match id.split('-').next().unwrap_or("") {
                "i" => (self.sees_instance(id), "InvalidInstanceID.NotFound"),
                "subnet" => (self.subnets.contains_key(id), "InvalidSubnetID.NotFound"),
                "rtb" => (self.sees_table(id), "InvalidRouteTableID.NotFound"),
                "vol" => (self.volumes.contains_key(id), "InvalidVolume.NotFound"),
                _ => (false, "InvalidID.NotFound"),
            };
            if !known {
                return Err(refuse(code, format!("the ID '{id}' does not exist")));
            }
        }
        for id in ids {
            let tags = match id.split('-').next().unwrap_or("") {
                "i" => self.instances.get_mut(id).map(|m| &mut m.inst.tags),
                "subnet" => self.subnets.get_mut(id).map(|s| &mut s.tags),
                "rtb" => self.tables.get_mut(id).map(|t| &mut t.tags),
                _ => self.volumes.get_mut(id).map(|v| &mut v.tags),
            };
            if let Some(tags) = tags {
                each(tags);
            }
        }
        Ok(())
    }

    pub(super) fn create_tags(&mut self, ids: &[String], tags: &Tags) -> Answer<Outcome> {
        check_tags(tags, 0)?;
        let mut most = 0;
        self.ec2_tags(ids, |have| {
            most = most.max(have.keys().chain(tags.keys()).collect::<BTreeSet<_>>().len());
        })?;
        if most > 50 {
            return Err(refuse("TagLimitExceeded", "a resource has at most 50 tags"));
        }
        self.ec2_tags(ids, |have| have.extend(tags.clone()))?;
        Ok(Outcome::Done)
    }

    pub(super) fn delete_tags(&mut self, ids: &[String], keys: &[String]) -> Answer<Outcome> {
        self.ec2_tags(ids, |have| have.retain(|k, _| !keys.contains(k)))?;
        Ok(Outcome::Done)
    }

    /// Live instances of a group.
    pub(super) fn live_members(&self, group: &str) -> BTreeMap<&String, &Machine> {
        self.instances
            .iter()
            .filter(|(_, m)| m.group.as_deref() == Some(group) && !GONE.contains(&m.inst.state.as_str()))
            .collect()
    }
}

fn wrong_state(id: &str, state: &str, verb: &str) -> Refusal {
    refuse(
        "IncorrectInstanceState",
        format!("the instance '{id}' is not in a state from which it can be {verb}: {state}"),
    )
}

/// The first address of an IPv4 block and how many it has.
pub(super) fn cidr(block: &str) -> (u32, u32) {
    let (base, bits) = block.split_once('/').unwrap_or((block, "32"));
    let base: Ipv4Addr = base.parse().unwrap_or(Ipv4Addr::UNSPECIFIED);
    let bits: u32 = bits.parse().unwrap_or(32);
    (u32::from(base), 1_u32.checked_shl(32_u32.saturating_sub(bits)).unwrap_or(u32::MAX))
}
