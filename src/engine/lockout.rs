//! A drill must not cut off redrill itself: it could neither measure nor put anything back.
//!
//! Reads only. redrill knows its own addresses; an instance with one of them that a fault stops, ends
//! or takes the routes from is a refusal. What cannot be seen from here (a NAT or an endpoint that
//! redrill's traffic passes through) is not checked.

use std::net::IpAddr;

use super::driver::Shared;
use crate::catalog::{Finding, Severity};
use crate::cloud::{CloudError, Filter, Instance, all_pages};
use crate::model::{ResourceKind, Stage};

/// Refusals for every instance in the faults' reach that this process runs on.
///
/// # Errors
/// The instances cannot be listed.
pub async fn check(shared: &Shared) -> Result<Vec<Finding>, CloudError> {
    let own = shared.cloud.local.addresses();
    let faults = || shared.plan.steps.iter().filter(|s| s.stage == Stage::Fault);
    let hit: Vec<(ResourceKind, &str)> = faults()
        .flat_map(|s| shared.plan.targets_of(s))
        .filter(|t| matches!(t.kind, ResourceKind::Ec2Instance | ResourceKind::VpcSubnet))
        .map(|t| (t.kind, t.id.as_str()))
        .collect();
    if own.is_empty() || hit.is_empty() {
        return Ok(Vec::new());
    }
    let filter = Filter::default();
    let instances = all_pages(|page| shared.cloud.reads.ec2.instances(&filter, page)).await?;
    let in_reach = |i: &&Instance| {
        hit.iter().any(|(kind, id)| match kind {
            ResourceKind::Ec2Instance => i.id == *id,
            _ => i.subnet.as_deref() == Some(*id),
        })
    };
    let is_own = |i: &&Instance| {
        let address = i.private_ip.as_deref().and_then(|ip| ip.parse::<IpAddr>().ok());
        address.is_some_and(|ip| own.contains(&ip))
    };
    Ok(instances
        .iter()
        .filter(in_reach)
        .filter(is_own)
        .map(|i| {
            let text = "redrill runs on this instance, and the drill would cut it off";
            Finding::new(Severity::Refusal, i.id.clone(), text)
                .hint("run the drill from outside of what it breaks")
        })
        .collect())
}
