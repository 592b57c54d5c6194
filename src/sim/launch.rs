//! What launches use, and how what was launched fares: images, key pairs, types, status checks; EC2's DryRun.
//! Synchronous but for [`DryRun`].
//!
//! Whatever an instance was launched from is there until a test withdraws it.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::Sim;
use super::refusal::{Answer, refuse};
use super::world::World;
use crate::cloud::{
    BlockDevice, CloudResult, DryRun, Image, LaunchSpec, Mutation, Offering, Page, StatusChecks, Volume,
};

/// Whether a type has disks of its own: those with a `d` behind the generation, and the families for storage.
pub(super) fn has_storage(instance_type: &str) -> bool {
    let family = instance_type.split('.').next().unwrap_or_default();
    let behind = family
        .trim_start_matches(|c: char| c.is_ascii_lowercase())
        .trim_start_matches(|c: char| c.is_ascii_digit());
    behind.contains('d') || family.starts_with("i4") || family.starts_with("i3") || family.starts_with("d3")
}

impl World {
    fn is_withdrawn(&self, what: &str, name: &str) -> bool {
        self.withdrawn.contains(&format!("{what} {name}"))
    }

    pub(super) fn list_images(&self, ids: &[String]) -> Answer<Vec<Image>> {
        if let Some(id) = ids.iter().find(|id| self.is_withdrawn("image", id)) {
            return Err(refuse("InvalidAMIID.NotFound", format!("The image id '[{id}]' does not exist")));
        }
        let state = |id: &String| if self.is_withdrawn("use of", id) { "disabled" } else { "available" };
        Ok(ids.iter().map(|id| Image { id: id.clone(), state: state(id).to_owned() }).collect())
    }

    pub(super) fn list_key_pairs(&self, names: &[String]) -> Vec<String> {
        names.iter().filter(|name| !self.is_withdrawn("key", name)).cloned().collect()
    }

    pub(super) fn list_offerings(&self, types: &[String], page: Option<String>) -> Answer<Page<Offering>> {
        let zones: std::collections::BTreeSet<&String> = self.subnets.values().map(|s| &s.zone).collect();
        let offered = types.iter().flat_map(|kind| zones.iter().map(move |zone| (kind, *zone)));
        let offered = offered.filter(|(kind, zone)| !self.is_withdrawn(kind, zone));
        let offering =
            |(kind, zone): (&String, &String)| Offering { instance_type: kind.clone(), zone: zone.clone() };
        self.page(offered.map(offering).collect(), page)
    }

    pub(super) fn list_credits(&self, ids: &[String]) -> Answer<BTreeMap<String, String>> {
        self.need_instances(ids)?;
        if let Some(id) = ids.iter().find(|id| !self.instances[*id].inst.instance_type.starts_with('t')) {
            let text = format!("The instance '{id}' is not a burstable performance instance");
            return Err(refuse("InvalidInstanceID.NotBurstable", text));
        }
        let chosen =
            |id: &String| self.instances[id].credits.clone().unwrap_or_else(|| "unlimited".to_owned());
        Ok(ids.iter().map(|id| (id.clone(), chosen(id))).collect())
    }

    pub(super) fn list_status_checks(&self, ids: &[String]) -> Answer<Vec<StatusChecks>> {
        self.need_instances(ids)?;
        let running = ids.iter().filter_map(|id| Some((id, self.instances[id].running_since?)));
        Ok(running
            .map(|(id, since)| {
                let early = (self.now - since).num_milliseconds() < self.pace.status_checks.ms();
                let of_instance = match early {
                    true => "initializing",
                    false if self.is_unwell(id) => "impaired",
                    false => "ok",
                };
                let system = if early { "initializing" } else { "ok" };
                StatusChecks { id: id.clone(), instance: of_instance.to_owned(), system: system.to_owned() }
            })
            .collect())
    }

    /// Whether a test said that it fails its checks.
    pub(super) fn is_unwell(&self, id: &str) -> bool {
        self.is_withdrawn("health of", id) || self.is_withdrawn("health of", "everything new")
    }

    /// What RunInstances refuses before it makes anything.
    pub(super) fn may_launch(&self, spec: &LaunchSpec, zone: &str) -> Answer<()> {
        let like = &spec.like;
        self.list_images(std::slice::from_ref(&like.image))?;
        if self.is_withdrawn("use of", &like.image) {
            return Err(refuse("InvalidAMIID.Unavailable", format!("The image {} is disabled", like.image)));
        }
        if let Some(key) = like.key_name.as_ref().filter(|key| self.is_withdrawn("key", key)) {
            return Err(refuse("InvalidKeyPair.NotFound", format!("The key pair '{key}' does not exist")));
        }
        if self.is_withdrawn(&like.instance_type, zone) {
            return Err(refuse(
                "Unsupported",
                format!(
                    "Your requested instance type ({}) is not supported in your requested Availability Zone ({zone})",
                    like.instance_type
                ),
            ));
        }
        let name = like.profile_arn.as_deref().and_then(|arn| arn.rsplit('/').next());
        if let Some(name) = name.filter(|name| self.is_withdrawn("profile", name)) {
            return Err(refuse(
                "InvalidParameterValue",
                format!(
                    "Value ({name}) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name"
                ),
            ));
        }
        Ok(())
    }
}

impl Sim {
    /// Takes something away that launches use: `image ID` (deregistered), `use of ID` (the image is disabled),
    /// `key NAME`, `TYPE ZONE`, `profile NAME`, `start in ZONE` (launches and starts are accepted, and end before they run). Or it fails its health checks from now on: `health of ID`,
    /// `health of everything new`. Or RDS knows a CA no more: `certificate NAME`. Or an ended instance keeps its Elastic IP: `release of ALLOCATION`. Or
    /// a zone is disrupted, and instances are told by id only: `listing of all zones`.
    pub fn withdraw(&self, what: &str) {
        self.lock().withdrawn.insert(what.to_owned());
    }

    /// Attaches a new volume without tags to an instance; its id.
    pub fn add_volume(&self, id: &str, device: &str, delete_on_termination: bool) -> String {
        let mut w = self.lock();
        let volume = w.new_id("vol");
        let made =
            Volume { id: volume.clone(), size_gib: 8, volume_type: "gp3".to_owned(), ..Volume::default() };
        w.volumes.insert(volume.clone(), made);
        if let Some(m) = w.instances.get_mut(id) {
            let (device, volume) = (device.to_owned(), volume.clone());
            m.inst.block_devices.push(BlockDevice { device, volume, delete_on_termination });
        }
        volume
    }

    /// Changes a target group.
    pub fn edit_target_group(&self, arn: &str, change: impl FnOnce(&mut crate::cloud::TargetGroup)) {
        if let Some(group) = self.lock().target_groups.get_mut(arn) {
            change(group);
        }
    }

    /// Says that an instance was launched by an EC2 Fleet of this type: `maintain`, `request` or `instant`.
    pub fn put_into_fleet(&self, id: &str, fleet_type: &str) {
        let mut w = self.lock();
        let fleet = w.new_id("fleet");
        w.fleets.insert(fleet.clone(), fleet_type.to_owned());
        if let Some(m) = w.instances.get_mut(id) {
            m.inst.tags.insert("aws:ec2:fleet-id".to_owned(), fleet);
        }
    }

    /// Sets the tags of a volume.
    pub fn tag_volume(&self, id: &str, tags: &[(&str, &str)]) {
        if let Some(v) = self.lock().volumes.get_mut(id) {
            v.tags = tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        }
    }

    /// Chooses how an instance uses CPU credits: `standard` or `unlimited`, which it is unless somebody chooses.
    pub fn set_credits(&self, id: &str, credits: &str) {
        if let Some(m) = self.lock().instances.get_mut(id) {
            m.credits = Some(credits.to_owned());
        }
    }

    /// The subnet gives public addresses by default.
    pub fn make_public(&self, subnet: &str) {
        self.lock().public_subnets.insert(subnet.to_owned());
    }

    /// The subnet belongs to another account, which shares it with this one.
    pub fn share_subnet(&self, id: &str, owner: &str) {
        if let Some(s) = self.lock().subnets.get_mut(id) {
            s.owner = owner.to_owned();
        }
    }

    /// It is there again.
    pub fn give_back(&self, what: &str) {
        self.lock().withdrawn.remove(what);
    }
}

#[async_trait]
impl DryRun for Sim {
    async fn would(&self, mutation: &Mutation) -> CloudResult<()> {
        self.read("ec2:RunInstances (DryRun)", |w| {
            if w.denied.contains(mutation.operation()) {
                return Err(refuse(
                    "UnauthorizedOperation",
                    "You are not authorized to perform this operation.",
                ));
            }
            match mutation {
                Mutation::RunInstances { spec, .. } => {
                    let subnet = spec.like.subnet.as_deref().and_then(|id| w.subnets.get(id));
                    let zone = subnet.map(|s| s.zone.clone()).unwrap_or_default();
                    w.may_launch(spec, &zone)
                }
                _ => Ok(()),
            }
        })
        .await
    }
}
