//! Auto Scaling groups and target groups, as far as they answer to what happens to instances.
//! Synchronous.

use super::refusal::{Answer, refuse};
use super::world::{Due, Registered, World};
use crate::cloud::{ClassicLoadBalancer, GroupMember, LaunchSpec, Outcome, Page, Registration, TargetGroup};
use crate::model::Tags;

impl World {
    pub(super) fn members(&self, instances: &[String]) -> Vec<GroupMember> {
        instances
            .iter()
            .filter_map(|id| {
                let machine = self.instances.get(id)?;
                let group = machine.group.clone()?;
                let suspended = self.groups.get(&group)?.suspended.clone();
                Some(GroupMember {
                    instance: id.clone(),
                    group,
                    suspended,
                    is_unhealthy: machine.is_unhealthy,
                })
            })
            .collect()
    }

    /// The group marks members that are not running, ends what is marked, and launches what is missing. Nothing
    /// takes a mark away again: what was marked while the group might not replace it is ended as soon as it may.
    pub(super) fn group_looks(&mut self, name: &str) {
        let Some(group) = self.groups.get(name).cloned() else { return };
        let off = |process: &str| group.suspended.iter().any(|s| s == process);
        let members: Vec<String> = self.live_members(name).into_keys().cloned().collect();
        for id in members {
            let Some(m) = self.instances.get_mut(&id) else { continue };
            m.is_unhealthy |= !off("HealthCheck") && ["stopping", "stopped"].contains(&m.inst.state.as_str());
            if m.is_unhealthy && !off("ReplaceUnhealthy") && !off("Terminate") {
                self.end_instance(&id);
            }
        }
        if off("Launch") {
            return;
        }
        let missing = group.desired.saturating_sub(self.live_members(name).len());
        let tags: Tags = group
            .template
            .tags
            .iter()
            .filter(|(k, _)| !k.starts_with("aws:"))
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect();
        for _ in 0..missing {
            let spec =
                LaunchSpec { like: group.template.clone(), tags: tags.clone(), ..LaunchSpec::default() };
            match self.launch(&spec, Some(name.to_owned())) {
                Ok(id) => {
                    if let Some(m) = self.instances.get_mut(&id) {
                        m.inst.tags.insert("aws:autoscaling:groupName".to_owned(), name.to_owned());
                    }
                }
                // the group tries again for as long as there is no capacity
                Err(_) => self.later(crate::model::Dur::secs(60), Due::GroupLooks { group: name.to_owned() }),
            }
        }
    }

    pub(super) fn list_target_groups(&self, page: Option<String>) -> Answer<Page<TargetGroup>> {
        self.page(self.target_groups.values().cloned().collect(), page)
    }

    pub(super) fn list_registrations(&self, group: &str) -> Answer<Vec<Registration>> {
        self.need_target_group(group)?;
        Ok(self
            .registrations
            .iter()
            .filter(|r| r.group == group)
            .map(|r| Registration {
                group: r.group.clone(),
                id: r.id.clone(),
                port: r.port,
                state: self.target_state(r).0.to_owned(),
                reason: self.target_state(r).1.map(str::to_owned),
            })
            .collect())
    }

    pub(super) fn list_classic(&self, page: Option<String>) -> Answer<Page<ClassicLoadBalancer>> {
        self.page(self.classic.values().cloned().collect(), page)
    }

    fn target_state(&self, r: &Registered) -> (&'static str, Option<&'static str>) {
        if r.leaves {
            return ("draining", Some("Target.DeregistrationInProgress"));
        }
        let Some(m) = self.instances.get(&r.id) else {
            let gone = ("draining", Some("Target.DeregistrationInProgress"));
            return if r.id.starts_with("i-") { gone } else { ("healthy", None) };
        };
        match m.inst.state.as_str() {
            "shutting-down" | "terminated" => ("draining", Some("Target.DeregistrationInProgress")),
            "stopping" | "stopped" => ("unused", Some("Target.InvalidState")),
            "running" => {
                let since = m.running_since.unwrap_or(r.since).max(r.since);
                let passed = (self.now - since).num_milliseconds();
                match passed >= self.pace.target_healthy.ms() {
                    true if self.is_unwell(&r.id) => ("unhealthy", Some("Target.FailedHealthChecks")),
                    true => ("healthy", None),
                    false => ("initial", Some("Elb.RegistrationInProgress")),
                }
            }
            _ => ("initial", Some("Elb.RegistrationInProgress")),
        }
    }

    fn need_target_group(&self, arn: &str) -> Answer<&TargetGroup> {
        self.target_groups
            .get(arn)
            .ok_or_else(|| refuse("TargetGroupNotFound", format!("target group '{arn}' not found")))
    }

    /// Requests stop at once; the registration is listed as draining for a while. What is not registered is no error.
    pub(super) fn deregister(&mut self, group: &str, id: &str, port: Option<i32>) -> Answer<Outcome> {
        self.need_target_group(group)?;
        let named = |r: &Registered| r.group == group && r.id == id && (port.is_none() || r.port == port);
        for r in self.registrations.iter_mut().filter(|r| named(r)) {
            r.leaves = true;
        }
        self.later(self.pace.target_drain, Due::Drained { id: id.to_owned() });
        Ok(Outcome::Done)
    }

    pub(super) fn register(&mut self, group: &str, id: &str, port: Option<i32>) -> Answer<Outcome> {
        let TargetGroup { target_type, ip_type, .. } = self.need_target_group(group)?.clone();
        if self.need_target_group(group)?.is_quic() {
            return Err(refuse("ValidationError", "QuicServerId is required for targets of this protocol"));
        }
        if target_type == "instance" {
            let machine = self.instances.get(id).map(|m| &m.inst);
            let state = machine.map(|i| i.state.as_str());
            if ip_type.as_deref() == Some("ipv6") && machine.is_some_and(|i| !i.settings.primary_six) {
                return Err(refuse(
                    "InvalidTarget",
                    format!("the following targets have no primary IPv6 address: '{id}'"),
                ));
            }
            if state != Some("running") {
                return Err(refuse(
                    "InvalidTarget",
                    format!(
                        "the following targets are not in a running state and cannot be registered: '{id}'"
                    ),
                ));
            }
        }
        let known = |r: &Registered| r.group == group && r.id == id && (port.is_none() || r.port == port);
        // one that is leaving comes back
        self.registrations.retain(|r| !(known(r) && r.leaves));
        if !self.registrations.iter().any(known) {
            let since = self.now;
            self.registrations.push(Registered {
                group: group.to_owned(),
                id: id.to_owned(),
                port: port.or(Some(80)),
                since,
                leaves: false,
            });
        }
        Ok(Outcome::Done)
    }
}
