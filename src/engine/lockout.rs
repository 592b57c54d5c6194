//! A drill must not cut off redrill itself: it could neither measure nor put anything back.
//!
//! Reads only. redrill knows the addresses that it sends from; where one of them is an instance's that a fault stops or
//! ends, an interface's in a subnet that a fault changes or that routes through something in one, or lies in such a
//! subnet's block, that is a refusal. In a container it may know an address that only its host knows: then that its place
//! cannot be told is a warning. An endpoint or a proxy that its traffic passes through elsewhere is not checked.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use super::driver::Shared;
use crate::catalog::kinds;
use crate::catalog::{Finding, Severity};
use crate::cloud::{CloudError, ErrorKind, Filter, InterfacesOf, What, all_pages};
use crate::model::{Stage, World};

/// Refusals for everything in the faults' reach that this process runs on.
///
/// # Errors
/// What is in reach cannot be listed.
pub async fn check(shared: &Shared) -> Result<Vec<Finding>, CloudError> {
    let own = shared.cloud.local.addresses();
    let targets = shared.plan.steps.iter().filter(|s| s.stage == Stage::Fault);
    let targets = targets.flat_map(|s| shared.plan.targets_of(s));
    let ended: BTreeSet<&str> =
        targets.filter(|t| kinds::what(t.kind) == What::Instance).map(|t| t.id.as_str()).collect();
    // those that route through something in a subnet that is cut lose their way out with it
    let mut cut = shared.plan.subnets_hit();
    let others = shared.plan.affected.iter().flat_map(|a| &a.others);
    cut.extend(others.flat_map(|n| &n.through).map(String::as_str));
    if own.is_empty() || (ended.is_empty() && cut.is_empty()) {
        return Ok(Vec::new());
    }
    let mut out = instances(shared, &own, &ended, &cut).await?;
    if out.is_empty() && !cut.is_empty() {
        out = subnets(shared, &own, &cut).await?;
    }
    if out.is_empty() {
        out.extend(unknown_place(shared, &own).await?);
    }
    Ok(out)
}

fn refusal(subject: &str, text: String) -> Finding {
    Finding::new(Severity::Refusal, subject, text).hint("run the drill from outside of what it breaks")
}

fn is_own(own: &[IpAddr], address: &str) -> bool {
    address.parse::<IpAddr>().is_ok_and(|ip| own.contains(&ip))
}

async fn instances(
    shared: &Shared,
    own: &[IpAddr],
    ended: &BTreeSet<&str>,
    cut: &BTreeSet<&str>,
) -> Result<Vec<Finding>, CloudError> {
    let filter = Filter::default();
    let all = all_pages(|page| shared.cloud.reads.ec2.instances(&filter, page)).await?;
    let in_reach = all.iter().filter(|i| {
        ended.contains(i.id.as_str()) || i.subnet.as_deref().is_some_and(|subnet| cut.contains(subnet))
    });
    let here = in_reach.filter(|i| i.private_ip.iter().chain(&i.addresses).any(|a| is_own(own, a)));
    let text = "redrill runs on this instance, and the drill would cut it off";
    Ok(here.map(|i| refusal(&i.id, text.to_owned())).collect())
}

/// Whatever has no instance of its own: a task, a pod, a function, a build.
async fn subnets(shared: &Shared, own: &[IpAddr], cut: &BTreeSet<&str>) -> Result<Vec<Finding>, CloudError> {
    let (ec2, all) = (&shared.cloud.reads.ec2, Filter::default());
    let known = all_pages(|page| ec2.subnets(&all, page)).await?;
    let mut out = Vec::new();
    for s in known.iter().filter(|s| cut.contains(s.id.as_str())) {
        let here = own.iter().find(|ip| matches!(ip, IpAddr::V4(ip) if contains(&s.cidr, *ip)));
        out.extend(here.map(|ip| {
            let text = format!(
                "redrill runs at {ip}, which is in this subnet ({}), and the drill would cut it off",
                s.cidr
            );
            refusal(&s.id, text)
        }));
    }
    if out.is_empty() {
        for ids in cut.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>().chunks(200) {
            let of = InterfacesOf::Subnets(ids.to_vec());
            for i in all_pages(|page| ec2.interfaces(&of, page)).await? {
                if let Some(ip) = i.addresses.iter().find(|a| is_own(own, a)) {
                    let text = format!(
                        "redrill runs at {ip}, an address of this interface, and the drill would cut it off"
                    );
                    out.push(refusal(&i.id, text));
                }
            }
        }
    }
    Ok(out)
}

/// That no interface of the account has the address says nothing where it is one inside of a host.
async fn unknown_place(shared: &Shared, own: &[IpAddr]) -> Result<Option<Finding>, CloudError> {
    let four: Vec<String> = own.iter().filter(|ip| ip.is_ipv4()).map(ToString::to_string).collect();
    if four.is_empty() || !shared.cloud.local.is_contained() || shared.cloud.world == World::Emulator {
        return Ok(None);
    }
    let of = InterfacesOf::Addresses(four.clone());
    match all_pages(|page| shared.cloud.reads.ec2.interfaces(&of, page)).await {
        Ok(found) if found.is_empty() => {}
        // not needed otherwise, so a drill's policy may leave it out
        Err(e) if e.kind == ErrorKind::Denied => {}
        Ok(_) => return Ok(None),
        Err(e) => return Err(e),
    }
    let text = format!(
        "it runs in a container, and no network interface here is known to have its address {}: whether the drill would \
         cut it off cannot be told",
        four.join(", ")
    );
    let finding = Finding::new(Severity::Warning, "redrill", text);
    Ok(Some(finding.hint("run it on a host that the drill does not break, or with its host's network")))
}

/// Whether an IPv4 block holds the address.
fn contains(block: &str, ip: Ipv4Addr) -> bool {
    let Some((base, bits)) = block.split_once('/') else { return false };
    let (Ok(base), Ok(bits)) = (base.parse::<Ipv4Addr>(), bits.parse::<u32>()) else { return false };
    let mask = u32::MAX.checked_shl(32_u32.saturating_sub(bits)).unwrap_or(0);
    bits <= 32 && u32::from(base) & mask == u32::from(ip) & mask
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_holds_its_first_and_its_last_address_and_no_other() {
        for (block, ip, holds) in [
            ("10.0.1.0/24", "10.0.1.0", true),
            ("10.0.1.0/24", "10.0.1.255", true),
            ("10.0.1.0/24", "10.0.2.0", false),
            ("10.0.1.0/28", "10.0.1.16", false),
            ("10.0.1.7/32", "10.0.1.7", true),
            ("0.0.0.0/0", "192.0.2.1", true),
            ("10.0.1.0/33", "10.0.1.0", false),
            ("10.0.1.0", "10.0.1.0", false),
        ] {
            assert_eq!(contains(block, ip.parse().unwrap()), holds, "{block} {ip}");
        }
    }
}
