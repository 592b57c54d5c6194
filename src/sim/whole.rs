//! What the simulator answers where a resource is read in full: AWS's names for what it knows of it, and what a test
//! has added, which nothing else knows.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::Sim;
use super::world::World;
use crate::cloud::{CloudResult, DbInstance, Fields, Instance, Part, Volume, Whole};

#[async_trait]
impl Whole for Sim {
    async fn whole(&self, part: Part, ids: &[String]) -> CloudResult<BTreeMap<String, Fields>> {
        self.read(part.operation(), |w| {
            let told = |id: &String| {
                let mut fields = w.fields(part, id)?;
                if let Some(more) = w.more_fields.get(id) {
                    more.iter().for_each(|(path, value)| fields.set(path, value));
                }
                Some((id.clone(), fields))
            };
            Ok(ids.iter().filter_map(told).collect())
        })
        .await
    }
}

impl Sim {
    /// Has AWS tell a field of a resource that this simulator knows nothing about.
    pub fn tell(&self, id: &str, path: &str, value: &str) {
        let mut w = self.lock();
        w.more_fields.entry(id.to_owned()).or_default().insert(path.to_owned(), value.to_owned());
    }
}

impl World {
    fn fields(&self, part: Part, id: &str) -> Option<Fields> {
        match part {
            Part::Instances => self.instances.get(id).map(|m| instance(&m.inst)),
            Part::Volumes => self.volumes.get(id).map(volume),
            // an instance has the one that it is launched with, which has no settings here
            Part::Interfaces => None,
            Part::Databases => self.dbs.get(id).map(|db| database(&db.inst)),
        }
    }
}

fn instance(i: &Instance) -> Fields {
    let mut told = vec![
        ("instanceId".to_owned(), i.id.clone()),
        ("imageId".to_owned(), i.image.clone()),
        ("instanceType".to_owned(), i.instance_type.clone()),
        ("ebsOptimized".to_owned(), i.ebs_optimized.to_string()),
        ("instanceState.name".to_owned(), i.state.clone()),
    ];
    let volumes = i.block_devices.iter();
    told.extend(
        volumes.map(|b| (format!("blockDeviceMapping[{}].ebs.volumeId", b.device), b.volume.clone())),
    );
    told.extend(i.key_name.clone().map(|key| ("keyName".to_owned(), key)));
    told.extend(i.metadata_tokens.clone().map(|v| ("metadataOptions.httpTokens".to_owned(), v)));
    told.extend(i.security_groups.iter().map(|g| ("groupSet.groupId".to_owned(), g.clone())));
    told.extend(i.tags.iter().map(|(key, value)| (format!("tagSet[{key}]"), value.clone())));
    Fields::of(told)
}

fn volume(v: &Volume) -> Fields {
    Fields::of([
        ("volumeId", v.id.clone()),
        ("volumeType", v.volume_type.clone()),
        ("size", v.size_gib.to_string()),
        ("encrypted", v.encrypted.to_string()),
    ])
}

fn database(db: &DbInstance) -> Fields {
    Fields::of([
        ("DBInstanceIdentifier", db.identifier.clone()),
        ("DBInstanceClass", db.class.clone()),
        ("DBInstanceStatus", db.status.clone()),
    ])
}
