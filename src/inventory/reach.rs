//! Who is in a subnet: everything that is there is there by a network interface. Reads, and sorts what it read.
//!
//! Instances are counted as such; of the rest, the interface's type and description tell what it is. Something that
//! others route through ([`Passage`]) is told with the subnets that do: what cuts it off cuts them off, too.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{among, list};
use crate::catalog::kinds;
use crate::cloud::{
    CloudResult, Filter, Interface, InterfacesOf, NatGateway, Reads, RouteTable, Subnet, all_pages,
};
use crate::model::reach::Passage;
use crate::model::{Tags, Target};

/// How many values a filter takes.
const MOST_VALUES: usize = 200;

/// What is in a number of subnets, and in those that route through them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inhabitants {
    /// How many instances exist in the account and region; terminated ones do not.
    pub population: usize,
    /// The instances, sorted by id.
    pub instances: Vec<Target>,
    /// Everything else, sorted by subnet and interface.
    pub others: Vec<Neighbour>,
}

/// Something in a subnet that is no instance of the account, or an instance that others route through.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Neighbour {
    /// The subnet.
    pub subnet: String,
    /// Its network interface.
    pub interface: String,
    /// What it is, as people read it: `NAT gateway nat-1`.
    pub what: String,
    /// The instance, where it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// What it is to others, where they route through it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passage: Option<Passage>,
    /// The subnets that route through it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub through: Vec<String>,
    /// The tags of the interface.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
}

/// Who is in these subnets, and in those that route through something in them; nothing is read where there are none.
///
/// # Errors
/// The first error of any page.
pub async fn inhabitants(reads: &Reads, region: &str, subnets: &BTreeSet<&str>) -> CloudResult<Inhabitants> {
    if subnets.is_empty() {
        return Ok(Inhabitants::default());
    }
    let all = Filter::default();
    let listing = list(reads, region, kinds::EC2_INSTANCE, &among(&[])).await?;
    let tables = all_pages(|page| reads.ec2.route_tables(&all, page)).await?;
    let existing = all_pages(|page| reads.ec2.subnets(&all, page)).await?;
    let hit: BTreeSet<String> = subnets.iter().map(|s| (*s).to_owned()).collect();
    let found = interfaces(reads, &hit).await?;
    let mut others = neighbours(found, &tables, &existing);
    let through: BTreeSet<String> =
        others.iter().flat_map(|n| &n.through).filter(|s| !hit.contains(*s)).cloned().collect();
    for n in &mut others {
        n.through.retain(|s| through.contains(s));
    }
    // a NAT instance is one only where somebody else goes through it
    others.retain(|n| n.passage != Some(Passage::Router) || !n.through.is_empty() || n.instance.is_none());
    for mut n in neighbours(interfaces(reads, &through).await?, &[], &[]) {
        n.passage = None;
        others.push(n);
    }
    // what is being ended keeps its interfaces a while longer
    let gone: BTreeSet<&String> = listing.targets.iter().filter(|t| has_ended(t)).map(|t| &t.id).collect();
    others.retain(|n| !n.instance.as_ref().is_some_and(|i| gone.contains(i)));
    let exists = |t: &Target| !has_ended(t);
    let inside = |t: &Target| t.attrs.get("subnet").is_some_and(|s| hit.contains(s) || through.contains(s));
    let mut instances: Vec<Target> = listing.targets.into_iter().filter(|t| exists(t) && inside(t)).collect();
    instances.sort_by(|a, b| a.id.cmp(&b.id));
    // an instance of the account is among the instances; that of a participant of a shared VPC is not
    let own: BTreeSet<&String> = instances.iter().map(|t| &t.id).collect();
    others.retain(|n| n.passage.is_some() || !n.instance.as_ref().is_some_and(|i| own.contains(i)));
    others.sort();
    Ok(Inhabitants { population: listing.population, instances, others })
}

/// Whether it is listed although it has ended.
fn has_ended(t: &Target) -> bool {
    kinds::spec(t.kind).is_some_and(|k| k.end_of(t).is_some())
}

/// Every interface in these subnets that is in use.
async fn interfaces(reads: &Reads, subnets: &BTreeSet<String>) -> CloudResult<Vec<Interface>> {
    let mut out = Vec::new();
    let ids: Vec<String> = subnets.iter().cloned().collect();
    for some in ids.chunks(MOST_VALUES) {
        let of = InterfacesOf::Subnets(some.to_vec());
        out.extend(all_pages(|page| reads.ec2.interfaces(&of, page)).await?);
        // asked for by themselves: a description is a text
        for nat in all_pages(|page| reads.ec2.nat_gateways(some, page)).await? {
            if !matches!(nat.state.as_str(), "failed" | "deleting" | "deleted") {
                mark(&mut out, nat);
            }
        }
    }
    out.retain(|i| i.status != "available" && subnets.contains(&i.subnet));
    Ok(out)
}

/// Says of the interfaces of a NAT gateway that they are; one that is not listed is added.
fn mark(out: &mut Vec<Interface>, nat: NatGateway) {
    let is_its = |i: &Interface| nat.interfaces.contains(&i.id);
    if !out.iter().any(is_its) {
        let id = nat.interfaces.first().unwrap_or(&nat.id).clone();
        let (subnet, vpc) = (nat.subnet.clone(), nat.vpc.clone());
        out.push(Interface { id: id.clone(), subnet, vpc, ..Interface::default() });
        return mark(out, NatGateway { interfaces: vec![id], ..nat });
    }
    for i in out.iter_mut().filter(|i| is_its(i)) {
        "nat_gateway".clone_into(&mut i.kind);
        "in-use".clone_into(&mut i.status);
        i.description.clone_from(&nat.id);
    }
}

fn neighbours(found: Vec<Interface>, tables: &[RouteTable], subnets: &[Subnet]) -> Vec<Neighbour> {
    let one = |i: Interface| {
        let (what, id, passage) = described(&i);
        let leads_to = |via: &str| match passage {
            // a route names the gateway, an attachment does not
            Some(Passage::TransitGateway) => via.starts_with("tgw-"),
            _ => via == i.id || Some(via) == i.instance.as_deref() || Some(via) == id.as_deref(),
        };
        let through = routed(tables, subnets, &i.vpc, leads_to);
        let passage = passage.or((!through.is_empty()).then_some(Passage::Router));
        Neighbour {
            subnet: i.subnet,
            interface: i.id,
            what,
            instance: i.instance,
            passage,
            through,
            tags: i.tags,
        }
    };
    found.into_iter().map(one).collect()
}

/// The subnets of a VPC with a route that leads there, by their own table or by the main one.
fn routed(
    tables: &[RouteTable],
    subnets: &[Subnet],
    vpc: &str,
    leads_to: impl Fn(&str) -> bool,
) -> Vec<String> {
    let own: BTreeMap<&str, &str> = tables
        .iter()
        .flat_map(|t| t.associations.iter().filter_map(|a| Some((a.subnet.as_deref()?, t.id.as_str()))))
        .collect();
    let here = tables.iter().filter(|t| t.vpc == vpc && t.routes.iter().any(|r| leads_to(&r.via)));
    let mut out = BTreeSet::new();
    for table in here {
        let is_main = table.associations.iter().any(|a| a.main);
        let on_it = |s: &&Subnet| match own.get(s.id.as_str()) {
            Some(id) => *id == table.id,
            None => is_main && s.vpc == vpc,
        };
        out.extend(subnets.iter().filter(on_it).map(|s| s.id.clone()));
        out.extend(table.associations.iter().filter_map(|a| a.subnet.clone()));
    }
    out.into_iter().collect()
}

/// What an interface belongs to: in words, by the id that routes know it by, and whether others may route through it.
/// The services write into the description what theirs are for.
fn described(i: &Interface) -> (String, Option<String>, Option<Passage>) {
    let text = i.description.trim();
    let named = |prefix: &str| {
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
        words.filter(|w| w.starts_with(prefix)).map(str::to_owned).next_back()
    };
    let with = |what: &str, id: Option<String>| match id {
        Some(id) => format!("{what} {id}"),
        None => what.to_owned(),
    };
    let balancer = || format!("load balancer {}", text.strip_prefix("ELB ").unwrap_or(text));
    let plain = |what: String| (what, None, None);
    match i.kind.as_str() {
        // the model spells it one way, the filter and the answers another
        "nat_gateway" | "natGateway" => {
            let id = named("nat-");
            (with("NAT gateway", id.clone()), id, Some(Passage::NatGateway))
        }
        "gateway_load_balancer_endpoint" => {
            let id = named("vpce-");
            let what = with("Gateway Load Balancer endpoint", id.clone());
            (what, id, Some(Passage::GatewayLoadBalancerEndpoint))
        }
        "transit_gateway" => {
            let what = with("transit gateway attachment", named("tgw-attach-"));
            (what, None, Some(Passage::TransitGateway))
        }
        "vpc_endpoint" => plain(with("interface endpoint", named("vpce-"))),
        "load_balancer" | "network_load_balancer" | "gateway_load_balancer" => plain(balancer()),
        "lambda" => plain("Lambda function".to_owned()),
        _ if text.starts_with("ELB ") => plain(balancer()),
        _ if text.contains(":ecs:") && text.contains(":attachment/") => {
            let id = text.rsplit('/').next().unwrap_or_default();
            plain(format!("ECS task (attachment {id})"))
        }
        _ if text.starts_with("AWS Lambda VPC ENI") => plain("Lambda function".to_owned()),
        _ if text == "RDSNetworkInterface" => plain("RDS database".to_owned()),
        _ => {
            let other = match (&i.instance, i.requester.as_deref(), text) {
                (Some(id), _, _) => format!("instance {id}"),
                (None, Some(who), "") => format!("network interface of {who}"),
                (None, _, "") => "network interface".to_owned(),
                // ElastiCache, EFS, EKS, Redshift, WorkSpaces …
                (None, _, text) => text.to_owned(),
            };
            plain(other)
        }
    }
}

#[cfg(test)]
mod tests;
