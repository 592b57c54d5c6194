//! What a replacement needs of an instance, read while the instance is still there.
//!
//! Soon after termination EC2 forgets subnet, groups and addresses. Invariant: user data, which may
//! hold secrets, is never part of the record; it is kept in the run's [`Safe`](crate::cloud::safe::Safe) by its digest,
//! which is all that the record has. Reads only.

use std::collections::{BTreeMap, BTreeSet};

use futures::StreamExt as _;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::ec2_terminate::elastic_ips;
use super::{look, whole};
use crate::catalog::action::{ActionError, ReadCx};
use crate::cloud::{
    Address, BlockDevice, CloudResult, Fields, Instance, InstanceAttribute, Secret, Volume, agreed, all_pages,
};

/// Target groups read at once.
const ABREAST: usize = 8;
/// Volumes in one DescribeVolumes call.
const VOLUMES: usize = 200;

/// An instance as it was before the fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Original {
    /// As DescribeInstances tells.
    pub instance: Instance,
    /// SHA-256 (hex) of its user data in base64, where it has any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_data_sha256: Option<String>,
    /// Termination protection.
    pub termination_protection: bool,
    /// Stop protection.
    pub stop_protection: bool,
    /// What a shutdown from within does, where it is not `stop`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shutdown: Option<String>,
    /// `standard` or `unlimited`, where its type has CPU credits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credits: Option<String>,
    /// Its volumes.
    pub volumes: Vec<(BlockDevice, Volume)>,
    /// Its Elastic IPs.
    pub addresses: Vec<Address>,
    /// Where it is registered.
    pub registrations: Vec<Registered>,
    /// Classic Load Balancers that it is behind, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classic: Vec<String>,
    /// Whatever else AWS tells of it, of its volumes and of its interfaces; none in records of earlier versions.
    #[serde(default, skip_serializing_if = "Fields::is_empty")]
    pub fields: Fields,
}

/// One registration in a target group of type `instance` or `ip`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registered {
    /// Target group ARN.
    pub group: String,
    /// Target group name.
    pub name: String,
    /// Whether the group registers addresses rather than instance ids.
    pub by_address: bool,
    /// Port.
    pub port: Option<i32>,
    /// Which of its addresses is registered, where that is not its primary private IPv4 address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other: Option<String>,
    /// Whether each target there has a QUIC server id of its own.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub quic: bool,
    /// It was unhealthy there: its replacement is not waited for until it is better.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ailing: bool,
}

impl Registered {
    /// Why a replacement cannot be registered there as the original is, and what to do about it.
    pub(super) fn unplaceable(&self) -> Option<(String, &'static str)> {
        let name = &self.name;
        if self.quic {
            let text = format!(
                "it is registered in {name}, whose protocol is QUIC: each target there has a server id of its own, which \
                 redrill cannot choose for a replacement"
            );
            return Some((text, "pick other targets, or take it out of that group before the drill"));
        }
        let other = self.other.as_ref()?;
        let text = format!(
            "it is registered in {name} by {other}, which is not its primary private address: a replacement would not \
             be registered there, and {other} would stay"
        );
        Some((text, "register its primary private address there, or pick other targets"))
    }
}

/// Reads everything about the instance; see [`capture_all`].
pub(super) async fn capture(cx: ReadCx<'_>, id: &str) -> Result<Original, ActionError> {
    capture_all(cx, &[id.to_owned()]).await.pop().unwrap_or_else(|| Err(gone(id)))
}

/// Reads everything about these instances, all pages of target groups included: until two readings in a row are the
/// same, since a registration or an address that one answer left out would be missing on the replacement. What can
/// be asked for all is asked once for all. One outcome per id, in order.
pub(super) async fn capture_all(cx: ReadCx<'_>, ids: &[String]) -> Vec<Result<Original, ActionError>> {
    let captured = agreed::each_twice(
        "ec2:DescribeInstances",
        ids.to_vec(),
        String::clone,
        |(read, _)| read,
        |ids| read(cx, ids),
    );
    let mut captured = match captured.await {
        Ok(captured) => captured,
        Err(e) => return ids.iter().map(|_| Err(ActionError::clone(&e))).collect(),
    };
    // for the comparison afterwards, which decides nothing: one reading will do
    let alive = captured.values().filter_map(|agreed| Some(&agreed.as_ref().ok()?.0.as_ref().ok()?.instance));
    let mut fields = match whole::instances(cx, alive).await {
        Ok(fields) => fields,
        Err(e) => return ids.iter().map(|_| Err(e.clone().into())).collect(),
    };
    let outcome = |id: &String| {
        let (original, ailing) = captured.remove(id).ok_or_else(|| gone(id))??;
        let mut original: Original = original?;
        for (r, ailing) in original.registrations.iter_mut().zip(ailing) {
            r.ailing = ailing;
        }
        original.fields = fields.remove(id).unwrap_or_default();
        Ok(original)
    };
    ids.iter().map(outcome).collect()
}

fn gone(id: &str) -> ActionError {
    ActionError::refused(format!("{id} is terminated or does not exist: what it was cannot be read any more"))
        .hint("a replacement is captured before the fault; pick a target that still exists")
}

/// What is read of one, and which of its registrations are unhealthy: that may change from one look to the next.
type Reading = (Result<Original, ActionError>, Vec<bool>);

async fn read(cx: ReadCx<'_>, ids: Vec<String>) -> Result<BTreeMap<String, Reading>, ActionError> {
    let mut described = described(cx, ids.clone()).await?;
    let alive: Vec<String> = described.keys().cloned().collect();
    let mut addresses = elastic_ips(cx, &alive).await?;
    let mut classic = if alive.is_empty() { BTreeMap::new() } else { classic(cx).await? };
    let mut registrations = registrations(cx, described.values().map(|o| &o.instance)).await?;
    for (id, original) in &mut described {
        original.addresses = addresses.remove(id).unwrap_or_default();
        original.registrations = registrations.remove(id).unwrap_or_default();
        original.classic = classic.remove(id).unwrap_or_default();
    }
    Ok(ids
        .into_iter()
        .map(|id| {
            let mut original = described.remove(&id).ok_or_else(|| gone(&id));
            let registrations = original.iter_mut().flat_map(|o| &mut o.registrations);
            let ailing = registrations.map(|r| std::mem::take(&mut r.ailing)).collect();
            (id, (original, ailing))
        })
        .collect())
}

/// Those of these instances that are not ending, with all that a launch takes of them: addresses and registrations
/// are not read.
pub(super) async fn described(
    cx: ReadCx<'_>,
    ids: Vec<String>,
) -> Result<BTreeMap<String, Original>, ActionError> {
    let all_there = |found: &BTreeMap<String, Instance>| ids.iter().all(|id| found.contains_key(id));
    let mut instances = look::agreed(cx, all_there, || look::instances(cx, &ids)).await?;
    instances.retain(|_, i| !look::is_ending(&i.state));
    if instances.is_empty() {
        return Ok(BTreeMap::new());
    }
    let alive: Vec<String> = instances.keys().cloned().collect();
    let wanted = [
        InstanceAttribute::TerminationProtection,
        InstanceAttribute::StopProtection,
        InstanceAttribute::UserData,
        InstanceAttribute::Shutdown,
    ];
    let mut details = look::details(cx, &alive, &wanted).await?;
    let mut volumes = volumes(cx, instances.values()).await?;
    let mut credits = credits(cx, instances.values()).await?;
    usual_processors(cx, &mut instances).await?;
    let mut digests: BTreeMap<String, String> = BTreeMap::new();
    // the same text is the same entry
    let mut user_data: BTreeMap<String, Secret> = BTreeMap::new();
    for (id, detail) in &mut details {
        let Some(data) = detail.user_data.take().filter(|data| !data.is_empty()) else { continue };
        let digest = sha256(&data);
        digests.insert(id.clone(), digest.clone());
        user_data.insert(digest, Secret::new(data));
    }
    let unkept = |why| ActionError::refused(format!("the user data of the instances cannot be kept: {why}"));
    cx.reads.safe.keep(user_data.into_iter().collect()).await.map_err(unkept)?;
    let of = |(id, instance): (String, Instance)| {
        let detail = details.remove(&id).unwrap_or_default();
        let devices = instance.block_devices.iter();
        let original = Original {
            user_data_sha256: digests.remove(&id),
            termination_protection: detail.disable_api_termination,
            stop_protection: detail.disable_api_stop,
            shutdown: detail.shutdown,
            credits: credits.remove(&id),
            volumes: devices.filter_map(|b| Some((b.clone(), volumes.remove(&b.volume)?))).collect(),
            addresses: Vec::new(),
            registrations: Vec::new(),
            classic: Vec::new(),
            fields: Fields::default(),
            instance,
        };
        (id, original)
    };
    Ok(instances.into_iter().map(of).collect())
}

/// Whether instances of this type earn CPU credits that can be chosen: T2, T3, T3a, T4g. The only type of T1, which AWS
/// has no call for, does not.
pub(super) fn has_credits(instance_type: &str) -> bool {
    let mut name = instance_type.chars();
    name.next() == Some('t') && name.next().is_some_and(|c| c.is_ascii_digit() && c != '1')
}

async fn credits(
    cx: ReadCx<'_>,
    instances: impl Iterator<Item = &Instance>,
) -> CloudResult<BTreeMap<String, String>> {
    let ids: Vec<String> =
        instances.filter(|i| has_credits(&i.instance_type)).map(|i| i.id.clone()).collect();
    // AWS refuses to be asked about other types, and lists everyone's where none is named
    if ids.is_empty() { Ok(BTreeMap::new()) } else { cx.reads.ec2.credits(&ids).await }
}

/// DescribeInstances tells cores and threads of every instance; RunInstances takes them of some types only. So they are
/// on record where they are not those of the type.
async fn usual_processors(cx: ReadCx<'_>, instances: &mut BTreeMap<String, Instance>) -> CloudResult<()> {
    let told = instances.values().filter(|i| i.settings.cores.is_some() || i.settings.threads.is_some());
    let names: BTreeSet<String> = told.map(|i| i.instance_type.clone()).collect();
    if names.is_empty() {
        return Ok(());
    }
    let types = cx.reads.ec2.instance_types(&names.into_iter().collect::<Vec<_>>()).await?;
    for i in instances.values_mut() {
        let Some(usual) = types.iter().find(|t| t.name == i.instance_type) else { continue };
        if i.settings.cores == usual.cores && i.settings.threads == usual.threads {
            (i.settings.cores, i.settings.threads) = (None, None);
        }
    }
    Ok(())
}

/// The user data that was captured: as it was kept, else read again from the instance, which AWS may
/// still answer for a while after the termination. Never silently none.
pub(super) async fn user_data(cx: ReadCx<'_>, original: &Original) -> Result<Option<String>, ActionError> {
    let Some(digest) = &original.user_data_sha256 else { return Ok(None) };
    if let Some(kept) = cx.reads.safe.kept(digest).filter(|kept| sha256(kept.expose()) == *digest) {
        return Ok(Some(kept.expose().to_owned()));
    }
    let id = &original.instance.id;
    let why = match cx.reads.ec2.attribute(id, InstanceAttribute::UserData).await {
        Ok(told) => match told {
            Some(data) if sha256(&data) == *digest => return Ok(Some(data)),
            Some(_) => "it has changed since preflight".to_owned(),
            None => "AWS does not tell it any more".to_owned(),
        },
        Err(e) => e.to_string(),
    };
    Err(ActionError::refused(format!("the user data of {id} is lost: {why}")).hint(
        "user data is never written to the journal, and what is kept beside it for a later process cannot be read \
         from here; launch the replacement by hand from its launch template or infrastructure code",
    ))
}

fn sha256(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|b| format!("{b:02x}")).collect()
}

/// Their volumes, by id.
async fn volumes(
    cx: ReadCx<'_>,
    instances: impl Iterator<Item = &Instance>,
) -> CloudResult<BTreeMap<String, Volume>> {
    let ids: Vec<String> = instances.flat_map(|i| &i.block_devices).map(|b| b.volume.clone()).collect();
    let mut by_id = BTreeMap::new();
    // none are asked for without ids, which would list everyone's
    for some in ids.chunks(VOLUMES) {
        let found = all_pages(|page| cx.reads.ec2.volumes(some, page)).await?;
        by_id.extend(found.into_iter().map(|v| (v.id.clone(), v)));
    }
    Ok(by_id)
}

/// The Classic Load Balancers that instances are behind, by the ids of these.
pub(super) async fn classic(cx: ReadCx<'_>) -> CloudResult<BTreeMap<String, Vec<String>>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for one in all_pages(|page| cx.reads.elb.classic(page)).await? {
        for id in one.instances {
            found.entry(id).or_default().push(one.name.clone());
        }
    }
    Ok(found)
}

/// An IPv6 address can be written in more ways than one.
fn canonical(address: &str) -> String {
    address.parse::<std::net::IpAddr>().map_or_else(|_| address.to_owned(), |ip| ip.to_string())
}

/// Where they are registered, by their ids.
pub(super) async fn registrations(
    cx: ReadCx<'_>,
    instances: impl Iterator<Item = &Instance>,
) -> CloudResult<BTreeMap<String, Vec<Registered>>> {
    let (mut by_id, mut by_ip) = (BTreeSet::new(), BTreeMap::new());
    for i in instances {
        by_id.insert(i.id.clone());
        // an address is one instance's in one VPC: networks overlap
        for ip in
            i.vpc.iter().flat_map(|_| i.addresses.iter().chain(&i.settings.addresses).chain(&i.private_ip))
        {
            let primary = i.private_ip.as_ref() == Some(ip);
            by_ip.insert((i.vpc.clone(), canonical(ip)), (i.id.clone(), primary));
        }
    }
    if by_id.is_empty() {
        return Ok(BTreeMap::new());
    }
    let groups = all_pages(|page| cx.reads.elb.target_groups(page)).await?;
    let mut reads = Vec::new();
    for group in groups {
        let by_address = match group.target_type.as_str() {
            "instance" => false,
            "ip" => true,
            _ => continue,
        };
        reads.push(async move {
            let answer = cx.reads.elb.registrations(&group.arn).await;
            (group, by_address, answer)
        });
    }
    let mut found: BTreeMap<String, Vec<Registered>> = BTreeMap::new();
    let mut answers = futures::stream::iter(reads).buffered(ABREAST);
    while let Some((group, by_address, answer)) = answers.next().await {
        for r in answer?.into_iter().filter(|r| r.state != "draining") {
            let (id, primary) = match by_address {
                false if by_id.contains(&r.id) => (&r.id, true),
                false => continue,
                true => match by_ip.get(&(group.vpc.clone(), canonical(&r.id))) {
                    Some((id, primary)) => (id, *primary),
                    None => continue,
                },
            };
            found.entry(id.clone()).or_default().push(Registered {
                group: group.arn.clone(),
                name: group.name.clone(),
                by_address,
                port: r.port,
                other: (!primary).then(|| r.id.clone()),
                quic: group.is_quic(),
                ailing: r.is_unhealthy(),
            });
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credits_are_chosen_of_the_families_that_earn_them() {
        for (kind, earns) in [
            ("t2.nano", true),
            ("t4g.small", true),
            ("t1.micro", false),
            ("trn1.2xlarge", false),
            ("m7g.large", false),
        ] {
            assert_eq!(has_credits(kind), earns, "{kind}");
        }
    }

    #[test]
    fn an_ipv6_address_is_the_same_however_it_is_written() {
        assert_eq!(canonical("2001:0db8:0:0:0:0:0:001"), canonical("2001:db8::1"));
        assert_eq!(canonical("10.0.0.4"), "10.0.0.4");
    }
}
