//! What a replacement needs of an instance, read while the instance is still there.
//!
//! Soon after termination EC2 forgets subnet, groups and addresses. Invariant: user data, which may
//! hold secrets, is never part of the record; it stays in this process's memory, and the record has
//! only its digest. Reads only.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use futures::StreamExt as _;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::ec2_terminate::elastic_ips;
use super::look;
use crate::catalog::action::{ActionError, ReadCx};
use crate::cloud::{Address, BlockDevice, CloudResult, Instance, Volume, all_pages};

/// User data of this process's captures, by digest: the same text is the same entry.
static USER_DATA: Mutex<BTreeMap<String, String>> = Mutex::new(BTreeMap::new());

/// Target groups read at once.
const ABREAST: usize = 8;

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
    /// Its volumes.
    pub volumes: Vec<(BlockDevice, Volume)>,
    /// Its Elastic IPs.
    pub addresses: Vec<Address>,
    /// Where it is registered.
    pub registrations: Vec<Registered>,
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
}

/// Reads everything about the instance, all pages of target groups included: until two readings in a row are the same,
/// since a registration or an address that one answer left out would be missing on the replacement.
pub(super) async fn capture(cx: ReadCx<'_>, id: &str) -> Result<Original, ActionError> {
    look::twice(|| read(cx, id)).await
}

async fn read(cx: ReadCx<'_>, id: &str) -> Result<Original, ActionError> {
    let now = look::present(cx, || look::instance(cx, id)).await?;
    let instance = now.filter(|i| !look::is_ending(&i.state)).ok_or_else(|| {
        ActionError::refused(format!(
            "{id} is terminated or does not exist: what it was cannot be read any more"
        ))
        .hint("a replacement is captured before the fault; pick a target that still exists")
    })?;
    let detail = cx.reads.ec2.instance_detail(id).await?;
    let user_data_sha256 = detail.user_data.filter(|d| !d.is_empty()).map(|data| {
        let digest = sha256(&data);
        USER_DATA.lock().unwrap_or_else(PoisonError::into_inner).insert(digest.clone(), data);
        digest
    });
    let volumes = volumes(cx, &instance).await?;
    let addresses = elastic_ips(cx, &[id.to_owned()]).await?.remove(id).unwrap_or_default();
    let registrations = registrations(cx, &instance).await?;
    Ok(Original {
        instance,
        user_data_sha256,
        termination_protection: detail.disable_api_termination,
        stop_protection: detail.disable_api_stop,
        volumes,
        addresses,
        registrations,
    })
}

/// The user data that was captured: from memory, else read again from the instance, which AWS may
/// still answer for a while after the termination. Never silently none.
pub(super) async fn user_data(cx: ReadCx<'_>, original: &Original) -> Result<Option<String>, ActionError> {
    let Some(digest) = &original.user_data_sha256 else { return Ok(None) };
    let kept = USER_DATA.lock().unwrap_or_else(PoisonError::into_inner).get(digest).cloned();
    if kept.is_some() {
        return Ok(kept);
    }
    let id = &original.instance.id;
    let why = match cx.reads.ec2.instance_detail(id).await {
        Ok(detail) => match detail.user_data {
            Some(data) if sha256(&data) == *digest => return Ok(Some(data)),
            Some(_) => "it has changed since preflight".to_owned(),
            None => "AWS does not tell it any more".to_owned(),
        },
        Err(e) => e.to_string(),
    };
    Err(ActionError::refused(format!("the user data of {id} is lost: {why}")).hint(
        "user data is never written to the journal, so another process has to read it again; \
         launch the replacement by hand from its launch template or infrastructure code",
    ))
}

fn sha256(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|b| format!("{b:02x}")).collect()
}

async fn volumes(cx: ReadCx<'_>, instance: &Instance) -> CloudResult<Vec<(BlockDevice, Volume)>> {
    let ids: Vec<String> = instance.block_devices.iter().map(|b| b.volume.clone()).collect();
    if ids.is_empty() {
        return Ok(Vec::new()); // without ids it would list everyone's
    }
    let found = all_pages(|page| cx.reads.ec2.volumes(&ids, page)).await?;
    let mut by_id: BTreeMap<String, Volume> = found.into_iter().map(|v| (v.id.clone(), v)).collect();
    Ok(instance.block_devices.iter().filter_map(|b| Some((b.clone(), by_id.remove(&b.volume)?))).collect())
}

async fn registrations(cx: ReadCx<'_>, instance: &Instance) -> CloudResult<Vec<Registered>> {
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
    let mut found = Vec::new();
    let mut answers = futures::stream::iter(reads).buffered(ABREAST);
    while let Some((group, by_address, answer)) = answers.next().await {
        let own = if by_address { instance.private_ip.as_deref() } else { Some(instance.id.as_str()) };
        for r in answer? {
            if own == Some(r.id.as_str()) && r.state != "draining" {
                found.push(Registered {
                    group: group.arn.clone(),
                    name: group.name.clone(),
                    by_address,
                    port: r.port,
                });
            }
        }
    }
    Ok(found)
}

/// What another process would find in its memory: nothing.
#[cfg(test)]
pub(super) fn forget(digest: &str) {
    USER_DATA.lock().unwrap_or_else(PoisonError::into_inner).remove(digest);
}
