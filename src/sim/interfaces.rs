//! Network interfaces: what is in a subnet. Synchronous.

use super::refusal::Answer;
use super::world::World;
use super::{Sim, ec2};
use crate::cloud::{Instance, Interface, InterfacesOf, NatGateway, Page};
use crate::model::Tags;

impl World {
    /// Those of instances and databases, which follow them, and those that were put here.
    fn interfaces(&self) -> Vec<Interface> {
        let mut out: Vec<Interface> = self.instances.values().filter_map(|m| of_instance(&m.inst)).collect();
        for d in self.dbs.values().filter(|d| d.inst.status != "creating") {
            let group = d.inst.subnet_group.as_ref().and_then(|g| self.subnet_groups.get(g));
            let subnets = if d.inst.subnets.is_empty() { group } else { Some(&d.inst.subnets) };
            // one in the database's zone; with Multi-AZ one more, of the standby
            let mut here: Vec<_> =
                subnets.into_iter().flatten().filter_map(|id| self.subnets.get(id)).collect();
            here.sort_by_key(|s| (Some(&s.zone) != d.inst.zone.as_ref(), s.id.clone()));
            for (n, s) in here.into_iter().take(1 + usize::from(d.inst.multi_az)).enumerate() {
                let (base, size) = ec2::cidr(&s.cidr);
                // from the end, where no instance comes soon
                let from_end = u32::try_from(2 + d.born % 50).unwrap_or(2);
                let address = std::net::Ipv4Addr::from(base + size.saturating_sub(from_end));
                out.push(Interface {
                    id: format!("eni-db{:07x}{n:08x}", d.born),
                    subnet: s.id.clone(),
                    vpc: s.vpc.clone(),
                    kind: "interface".to_owned(),
                    description: "RDSNetworkInterface".to_owned(),
                    requester: Some("amazon-rds".to_owned()),
                    status: "in-use".to_owned(),
                    instance: None,
                    addresses: vec![address.to_string()],
                    tags: Tags::new(),
                });
            }
        }
        out.extend(self.interfaces.values().cloned());
        out
    }

    pub(super) fn list_interfaces(&self, of: &InterfacesOf, page: Option<String>) -> Answer<Page<Interface>> {
        let mut found = self.interfaces();
        match of {
            InterfacesOf::Subnets(ids) => found.retain(|i| ids.contains(&i.subnet)),
            InterfacesOf::Addresses(ips) => found.retain(|i| i.addresses.iter().any(|a| ips.contains(a))),
        }
        self.page(found, page)
    }

    /// The NAT gateways that have an interface in these subnets.
    pub(super) fn list_nat_gateways(
        &self,
        subnets: &[String],
        page: Option<String>,
    ) -> Answer<Page<NatGateway>> {
        let here = self.interfaces.values().filter(|i| subnets.contains(&i.subnet));
        let gateway = |i: &Interface| NatGateway {
            id: i.description.rsplit(' ').next().unwrap_or_default().to_owned(),
            subnet: i.subnet.clone(),
            vpc: i.vpc.clone(),
            state: "available".to_owned(),
            interfaces: vec![i.id.clone()],
        };
        self.page(here.filter(|i| i.kind == "nat_gateway").map(gateway).collect(), page)
    }

    /// An interface of a service in a subnet; its id.
    pub(super) fn add_interface(
        &mut self,
        subnet: &str,
        kind: &str,
        description: &str,
        tags: Tags,
    ) -> String {
        let id = self.new_id("eni");
        let vpc = self.subnets.get(subnet).map(|s| s.vpc.clone()).unwrap_or_default();
        let address = self.free_address(subnet).ok();
        let (subnet, kind) = (subnet.to_owned(), kind.to_owned());
        self.interfaces.insert(
            id.clone(),
            Interface {
                id: id.clone(),
                subnet,
                vpc,
                kind,
                description: description.to_owned(),
                requester: None,
                status: "in-use".to_owned(),
                instance: None,
                addresses: address.into_iter().collect(),
                tags,
            },
        );
        id
    }
}

fn of_instance(i: &Instance) -> Option<Interface> {
    if i.state == "terminated" {
        return None;
    }
    Some(Interface {
        id: format!("eni-{}", i.id.strip_prefix("i-").unwrap_or(&i.id)),
        subnet: i.subnet.clone()?,
        vpc: i.vpc.clone().unwrap_or_default(),
        kind: "interface".to_owned(),
        description: "Primary network interface".to_owned(),
        requester: None,
        status: "in-use".to_owned(),
        instance: Some(i.id.clone()),
        addresses: addresses(i),
        tags: Tags::new(),
    })
}

/// All addresses of an instance, the primary one first.
pub(super) fn addresses(i: &Instance) -> Vec<String> {
    let own = i.private_ip.iter().filter(|ip| !i.addresses.contains(ip));
    own.chain(&i.addresses).cloned().collect()
}

impl Sim {
    /// Puts an interface of a service into a subnet: its type and its description as AWS writes them; its id.
    pub fn add_interface(&self, subnet: &str, kind: &str, description: &str) -> String {
        self.lock().add_interface(subnet, kind, description, Tags::new())
    }

    /// Changes an interface that was put here.
    pub fn edit_interface(&self, id: &str, change: impl FnOnce(&mut Interface)) {
        if let Some(i) = self.lock().interfaces.get_mut(id) {
            change(i);
        }
    }
}
