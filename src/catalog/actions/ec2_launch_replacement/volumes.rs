//! The volumes of the original and of its replacement: which are made anew, and with which tags. Pure but for the reads
//! at the end.
//!
//! RunInstances gives all volumes that it makes the same tags. So they get redrill's and what the original's volumes
//! have in common, and each the rest of its own afterwards: backup policies pick volumes by their tags, and the tags of
//! the instance may be in another policy.

use super::*;

/// Tags that a volume has room for beside redrill's three, and the one that comes before those go.
const ROOM: usize = TAG_LIMIT - 4;

/// Volumes that outlive the instance, but for its root.
pub(super) fn surviving(i: &Instance) -> impl Iterator<Item = &BlockDevice> {
    let is_root = |b: &BlockDevice| i.root_device.as_deref() == Some(b.device.as_str());
    i.block_devices.iter().filter(move |b| !b.delete_on_termination && !is_root(b))
}

/// The volumes of the original that the launch makes anew.
pub(super) fn renewed(original: &Original) -> impl Iterator<Item = &(BlockDevice, Volume)> {
    let surviving: Vec<&str> = surviving(&original.instance).map(|b| b.volume.as_str()).collect();
    original.volumes.iter().filter(move |(b, _)| !surviving.contains(&b.volume.as_str()))
}

/// What a volume's successor gets of its tags: as many as it has room for.
fn copied(volume: &Volume) -> Tags {
    let own = volume.tags.iter().filter(|(key, _)| !key.starts_with("aws:") && !key.starts_with("redrill:"));
    own.take(ROOM).map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// The tags that all volumes of the original have.
pub(super) fn common_tags(original: &Original) -> Tags {
    let mut all = renewed(original).map(|(_, v)| copied(v));
    let mut common = all.next().unwrap_or_default();
    for tags in all {
        common.retain(|key, value| tags.get(key) == Some(value));
    }
    common
}

/// By device, the tags that not all volumes of the original have.
fn own_tags(original: &Original) -> Vec<(&str, Tags)> {
    let common = common_tags(original);
    let own = renewed(original).map(|(b, v)| {
        let mut tags = copied(v);
        tags.retain(|key, value| common.get(key) != Some(value));
        (b.device.as_str(), tags)
    });
    own.filter(|(_, tags)| !tags.is_empty()).collect()
}

/// What is to be told of tags that there was no room for.
pub(super) fn left_out(original: &Original) -> Vec<String> {
    let left = |v: &Volume| {
        let own = v.tags.keys().filter(|key| !key.starts_with("aws:") && !key.starts_with("redrill:"));
        own.skip(ROOM).map(String::as_str).collect::<Vec<_>>().join(", ")
    };
    let all = renewed(original).map(|(b, v)| (&b.device, left(v))).filter(|(_, keys)| !keys.is_empty());
    all.map(|(device, keys)| format!("{device}: no room for the tags of the original's volume: {keys}"))
        .collect()
}

/// The volumes of the replacement that lack tags of those in whose place they are: volume, device, tags.
pub(in super::super) async fn untagged(
    cx: ReadCx<'_>,
    undo: &Undo,
    instance: &Instance,
) -> CloudResult<Vec<(String, String, Tags)>> {
    let wanted = own_tags(&undo.original);
    let at = |device: &str| instance.block_devices.iter().find(|b| b.device == device);
    let wanted: Vec<(&BlockDevice, Tags)> =
        wanted.into_iter().filter_map(|(device, tags)| Some((at(device)?, tags))).collect();
    let ids: Vec<String> = wanted.iter().map(|(b, _)| b.volume.clone()).collect();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let mine = made(cx, undo, &ids).await?;
    let lacking = wanted.into_iter().filter_map(|(b, tags)| {
        let volume = mine.iter().find(|v| v.id == b.volume)?;
        let lacks = tags.iter().any(|(key, value)| volume.tags.get(key) != Some(value));
        lacks.then(|| (b.volume.clone(), b.device.clone(), tags))
    });
    Ok(lacking.collect())
}

/// Those of these volumes that the launch made: what somebody has attached since is not the run's.
async fn made(cx: ReadCx<'_>, undo: &Undo, ids: &[String]) -> CloudResult<Vec<Volume>> {
    let all_there = |found: &Vec<Volume>| ids.iter().all(|id| found.iter().any(|v| v.id == *id));
    let read = || all_pages(|page| cx.reads.ec2.volumes(ids, page));
    let mut found = look::agreed(cx, all_there, read).await?;
    let run = undo.marks.get(target::TAG_RUN);
    found.retain(|v| {
        run.is_some() && [target::TAG_RUN, target::TAG_KEPT].iter().any(|tag| v.tags.get(*tag) == run)
    });
    Ok(found)
}

/// The volumes of the replacement that the launch made.
pub(super) async fn own_volumes(
    cx: ReadCx<'_>,
    undo: &Undo,
    instance: &Instance,
) -> CloudResult<Vec<String>> {
    let attached: Vec<String> = instance.block_devices.iter().map(|b| b.volume.clone()).collect();
    if attached.is_empty() {
        return Ok(attached);
    }
    Ok(made(cx, undo, &attached).await?.into_iter().map(|v| v.id).collect())
}
