//! The small shop of `localstack/estate.json` as a simulated account: the same file that the
//! emulator is seeded from, so that a drill means the same thing on both. Reads text, no file.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::TimeDelta;
use serde::Deserialize;

use super::Sim;
use super::build::{InstanceSeed, SubnetSeed, default_route};
use super::health::Check;
use super::vpc::local_route;
use super::world::World;
use crate::cloud::DbInstance;
use crate::model::{Clock, Tags};

/// Why an estate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EstateError {
    /// It is not JSON, or something is missing or of the wrong type.
    #[error("the estate cannot be read")]
    Read(#[from] serde_path_to_error::Error<serde_json::Error>),
    /// Something names a thing that the estate does not have.
    #[error("the estate names {what} `{name}`, but has none")]
    Missing {
        /// What kind of thing.
        what: &'static str,
        /// Its name.
        name: String,
    },
}

#[derive(Deserialize)]
struct Estate {
    account: String,
    region: String,
    #[serde(default)]
    vpcs: Vec<VpcSeed>,
    #[serde(default)]
    instances: Vec<MachineSeed>,
    #[serde(default)]
    target_groups: Vec<GroupSeed>,
    #[serde(default)]
    databases: Vec<DbSeed>,
    #[serde(default)]
    buckets: Vec<BucketSeed>,
    #[serde(default)]
    distributions: Vec<DistributionSeed>,
    #[serde(default)]
    alarms: Vec<AlarmSeed>,
    #[serde(default)]
    health: Health,
}

#[derive(Deserialize)]
struct VpcSeed {
    cidr: String,
    #[serde(default)]
    internet_gateway: Option<String>,
    #[serde(default)]
    nat_gateway: Option<NatSeed>,
    #[serde(default)]
    subnets: Vec<NetSeed>,
    #[serde(default)]
    route_tables: Vec<TableSeed>,
    #[serde(default)]
    security_groups: Vec<Named>,
}

#[derive(Deserialize)]
struct NatSeed {
    subnet: String,
}

#[derive(Deserialize)]
struct NetSeed {
    name: String,
    cidr: String,
    zone: String,
    #[serde(default)]
    tags: Tags,
    #[serde(default)]
    table: Option<String>,
}

#[derive(Deserialize)]
struct TableSeed {
    name: String,
    #[serde(default)]
    tags: Tags,
    #[serde(default)]
    routes: Vec<RouteSeed>,
}

#[derive(Deserialize)]
struct RouteSeed {
    cidr: String,
    via: String,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
struct MachineSeed {
    name: String,
    subnet: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    security_groups: Vec<String>,
    #[serde(default)]
    tags: Tags,
    #[serde(default)]
    user_data: Option<String>,
    #[serde(default)]
    target_group: Option<String>,
}

#[derive(Deserialize)]
struct GroupSeed {
    name: String,
    port: i32,
}

#[derive(Deserialize)]
struct DbSeed {
    identifier: String,
    engine: String,
    engine_version: String,
    class: String,
    storage_gib: i32,
    #[serde(default)]
    storage_type: Option<String>,
    #[serde(default)]
    multi_az: bool,
    #[serde(default)]
    backup_retention: i32,
    subnet_group: String,
    #[serde(default)]
    subnets: Vec<String>,
    #[serde(default)]
    security_groups: Vec<String>,
    #[serde(default)]
    parameter_group: Option<String>,
    #[serde(default)]
    copy_tags_to_snapshot: bool,
    #[serde(default)]
    deletion_protection: bool,
    #[serde(default)]
    iam_auth: bool,
    #[serde(default)]
    log_exports: Vec<String>,
    #[serde(default)]
    replica_of: Option<String>,
    #[serde(default)]
    tags: Tags,
    #[serde(default)]
    created_days_ago: i64,
}

#[derive(Deserialize)]
struct BucketSeed {
    name: String,
    #[serde(default)]
    versioning: Option<String>,
    #[serde(default)]
    tags: Tags,
    #[serde(default)]
    objects: Vec<ObjectSeed>,
}

#[derive(Deserialize)]
struct ObjectSeed {
    key: String,
    body: String,
}

#[derive(Deserialize)]
struct DistributionSeed {
    comment: String,
    #[serde(default)]
    aliases: Vec<String>,
    #[serde(default)]
    tags: Tags,
}

#[derive(Deserialize)]
struct AlarmSeed {
    name: String,
    state: String,
}

#[derive(Default, Deserialize)]
struct Health {
    #[serde(default)]
    checks: Vec<Check>,
}

type Ids = BTreeMap<String, String>;

fn find(ids: &Ids, what: &'static str, name: &str) -> Result<String, EstateError> {
    ids.get(name).cloned().ok_or_else(|| EstateError::Missing { what, name: name.to_owned() })
}

fn find_all(ids: &Ids, what: &'static str, names: &[String]) -> Result<Vec<String>, EstateError> {
    names.iter().map(|n| find(ids, what, n)).collect()
}

impl Sim {
    /// The account that an estate file describes, with AWS's durations and no latency.
    ///
    /// # Errors
    /// Where the text is no estate, or names something that it does not have.
    pub fn from_estate(json: &str, clock: Arc<dyn Clock>) -> Result<Arc<Self>, EstateError> {
        let estate: Estate = serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_str(json))?;
        let mut w = World::new(&estate.account, &estate.region, clock.now());
        let (mut subnets, mut groups) = (Ids::new(), Ids::new());
        for vpc in &estate.vpcs {
            w.seed_vpc(vpc, &mut subnets, &mut groups)?;
        }
        let mut targets = BTreeMap::new();
        for g in &estate.target_groups {
            targets.insert(g.name.clone(), (w.add_target_group(&g.name), g.port));
        }
        for m in &estate.instances {
            let id = w.add_instance(
                None,
                &InstanceSeed {
                    name: m.name.clone(),
                    subnet: find(&subnets, "subnet", &m.subnet)?,
                    instance_type: m.kind.clone(),
                    security_groups: find_all(&groups, "security group", &m.security_groups)?,
                    tags: m.tags.clone(),
                    user_data: m.user_data.clone(),
                },
            );
            if let Some(name) = &m.target_group {
                let (arn, port) = targets
                    .get(name)
                    .cloned()
                    .ok_or_else(|| EstateError::Missing { what: "target group", name: name.clone() })?;
                w.add_registration(&arn, &id, port);
            }
        }
        for d in estate.databases {
            w.seed_db(d, &subnets, &groups)?;
        }
        for b in estate.buckets {
            w.add_bucket(&b.name, b.versioning.as_deref().unwrap_or_default(), b.tags);
            for o in b.objects {
                w.put_object(&b.name, &o.key, &o.body, false);
            }
        }
        for d in estate.distributions {
            w.add_distribution(None, &d.comment, d.aliases, d.tags);
        }
        for a in estate.alarms {
            w.put_alarm(&a.name, &a.state, "as the estate says");
        }
        w.checks = estate.health.checks;
        Ok(Self::of(w, clock))
    }
}

impl World {
    fn seed_vpc(&mut self, v: &VpcSeed, subnets: &mut Ids, groups: &mut Ids) -> Result<(), EstateError> {
        let (vpc, _main) = self.add_vpc(&v.cidr);
        let igw = v.internet_gateway.as_ref().map(|_| self.new_id("igw"));
        let nat = self.new_id("nat");
        let mut tables = Ids::new();
        for t in &v.route_tables {
            let mut routes = vec![local_route(&v.cidr)];
            for r in &t.routes {
                let via = match r.via.as_str() {
                    "igw" => igw
                        .clone()
                        .ok_or_else(|| EstateError::Missing { what: "gateway", name: "igw".to_owned() })?,
                    "nat" => nat.clone(),
                    other => other.to_owned(),
                };
                let mut route = default_route(&via);
                route.destination.clone_from(&r.cidr);
                routes.push(route);
            }
            let mut tags = t.tags.clone();
            tags.insert("Name".to_owned(), t.name.clone());
            tables.insert(t.name.clone(), self.add_table(&vpc, routes, tags));
        }
        for s in &v.subnets {
            let table = s.table.as_ref().map(|t| find(&tables, "route table", t)).transpose()?;
            let seed = SubnetSeed {
                name: s.name.clone(),
                vpc: vpc.clone(),
                cidr: s.cidr.clone(),
                zone: s.zone.clone(),
                tags: s.tags.clone(),
                table,
            };
            subnets.insert(s.name.clone(), self.add_subnet(None, &seed));
        }
        if let Some(seed) = &v.nat_gateway {
            let subnet = find(subnets, "subnet", &seed.subnet)?;
            self.add_interface(
                &subnet,
                "nat_gateway",
                &format!("Interface for NAT Gateway {nat}"),
                Tags::new(),
            );
        }
        for g in &v.security_groups {
            groups.insert(g.name.clone(), self.new_id("sg"));
        }
        Ok(())
    }

    fn seed_db(&mut self, d: DbSeed, subnets: &Ids, groups: &Ids) -> Result<(), EstateError> {
        let ids = find_all(subnets, "subnet", &d.subnets)?;
        let first = ids.first().and_then(|s| self.subnets.get(s)).cloned().unwrap_or_default();
        let family = d.engine_version.split('.').next().unwrap_or_default();
        let parameter_group = d.parameter_group.unwrap_or(format!("default.{}{family}", d.engine));
        self.add_db(DbInstance {
            identifier: d.identifier,
            class: d.class,
            zone: Some(first.zone),
            multi_az: d.multi_az,
            subnet_group: Some(d.subnet_group),
            vpc: Some(first.vpc),
            subnets: ids,
            security_groups: find_all(groups, "security group", &d.security_groups)?,
            parameter_group: Some(parameter_group),
            option_group: Some(format!("default:{}-{family}", d.engine)),
            storage_type: d.storage_type,
            storage_gib: Some(d.storage_gib),
            iam_auth: d.iam_auth,
            log_exports: d.log_exports,
            copy_tags_to_snapshot: d.copy_tags_to_snapshot,
            license_model: Some("postgresql-license".to_owned()),
            ca: Some("rds-ca-rsa2048-g1".to_owned()),
            deletion_protection: d.deletion_protection,
            backup_retention: d.backup_retention,
            created_at: Some(self.now - TimeDelta::days(d.created_days_ago)),
            replica_of: d.replica_of,
            engine: d.engine,
            engine_version: d.engine_version,
            tags: d.tags,
            ..DbInstance::default()
        });
        Ok(())
    }
}
