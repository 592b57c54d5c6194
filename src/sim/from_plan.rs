//! An account made from a plan's targets: what a rehearsal of a real plan runs on.
//!
//! It holds the targets with their ids, tags and attributes, and around them what they cannot be
//! without: a VPC, subnets, tables with a default route, a few objects. What the plan does not
//! know is made up, so the account rehearses the drill's course, not the estate's detail.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Sim;
use super::build::{InstanceSeed, SubnetSeed, default_route};
use super::vpc::local_route;
use super::world::{Assoc, Vpc, World};
use crate::cloud::DbInstance;
use crate::model::{Clock, Target};

impl Sim {
    /// An account with these targets in it.
    pub fn from_targets(targets: &[Target], clock: Arc<dyn Clock>) -> Arc<Self> {
        let parts: Vec<&str> =
            targets.iter().find_map(|t| t.arn.as_deref()).unwrap_or("").split(':').collect();
        let regional = targets
            .iter()
            .filter_map(|t| t.zone())
            .next()
            .and_then(|z| z.strip_suffix(|c: char| c.is_ascii_alphabetic()).map(str::to_owned));
        let region = regional
            .or_else(|| targets.iter().find_map(|t| t.attrs.get("region").cloned()))
            .or_else(|| parts.get(3).filter(|r| !r.is_empty()).map(|r| (*r).to_owned()))
            .unwrap_or_else(|| super::REGION.to_owned());
        let account = targets
            .iter()
            .filter_map(|t| t.arn.as_deref()?.split(':').nth(4))
            .find(|a| !a.is_empty())
            .unwrap_or(super::ACCOUNT);
        let mut w = World::new(account, &region, clock.now());
        let mut places = Places::default();
        // tables and subnets first: the others stand in them
        for kind in ["vpc.route-table", "vpc.subnet"] {
            for t in targets.iter().filter(|t| t.kind.name() == kind) {
                w.place(t, &mut places);
            }
        }
        for t in targets {
            w.place(t, &mut places);
        }
        Self::of(w, clock)
    }
}

#[derive(Default)]
struct Places {
    /// VPC id → a table with a default route.
    tables: BTreeMap<String, String>,
    subnets: u32,
}

impl World {
    fn place(&mut self, t: &Target, places: &mut Places) {
        match t.kind.name() {
            "vpc.route-table" => {
                let vpc = self.place_vpc(t.attrs.get("vpc"));
                if t.attrs.get("main").is_some_and(|m| m == "true") {
                    self.place_main(&vpc, t);
                } else {
                    self.place_table(&vpc, &t.id, places);
                    if let Some(table) = self.tables.get_mut(&t.id) {
                        table.tags.clone_from(&t.tags);
                    }
                }
                // a table as a target has subnets: what its detachment acts on
                if !self.assocs.values().any(|a| a.table == t.id && a.subnet.is_some()) {
                    let seed = self.next_subnet(&vpc, None, Some(t.id.clone()), places);
                    self.add_subnet(None, &seed);
                }
            }
            "vpc.subnet" => {
                self.place_subnet(t, places);
            }
            "ec2.instance" => self.place_instance(t, places),
            "rds.instance" => self.place_db(t),
            "s3.bucket" => self.place_bucket(t),
            "cloudfront.distribution" => {
                if self.distributions.contains_key(&t.id) {
                    return;
                }
                let aliases = t.attrs.get("alias").into_iter().flat_map(|a| a.split(',')).map(str::to_owned);
                let comment = t.attrs.get("comment").map_or("", String::as_str);
                self.add_distribution(Some(t.id.clone()), comment, aliases.collect(), t.tags.clone());
                if let Some(d) = self.distributions.get_mut(&t.id) {
                    if let Some(domain) = t.attrs.get("domain") {
                        d.dist.domain.clone_from(domain);
                    }
                    if let Some(arn) = &t.arn {
                        d.dist.arn.clone_from(arn);
                    }
                }
            }
            // of a kind that the account does not have there is nothing to rehearse on
            _ => {}
        }
    }

    fn place_vpc(&mut self, id: Option<&String>) -> String {
        let id = id.cloned().unwrap_or_else(|| "vpc-rehearsal".to_owned());
        if !self.vpcs.contains_key(&id) {
            let cidr = "10.0.0.0/8";
            self.vpcs.insert(id.clone(), Vpc { cidr: cidr.to_owned() });
            let main = self.add_table(&id, vec![local_route(cidr)], BTreeMap::new());
            self.add_assoc(Assoc { table: main, subnet: None, gateway: None, main: true });
        }
        id
    }

    /// Gives the VPC's main table this target's id and tags.
    fn place_main(&mut self, vpc: &str, t: &Target) {
        let in_vpc = |w: &Self, table: &str| w.tables.get(table).is_some_and(|x| x.vpc == vpc);
        let Some(assoc) =
            self.assocs.iter().find(|(_, a)| a.main && in_vpc(self, &a.table)).map(|(id, _)| id.clone())
        else {
            return;
        };
        let Some(a) = self.assocs.get_mut(&assoc) else { return };
        let old = std::mem::replace(&mut a.table, t.id.clone());
        if let Some(mut table) = self.tables.remove(&old) {
            table.tags.clone_from(&t.tags);
            self.tables.insert(t.id.clone(), table);
        }
    }

    fn place_table(&mut self, vpc: &str, id: &str, places: &mut Places) {
        if !self.tables.contains_key(id) {
            let gateway = self.new_id("igw");
            let made = self.add_table(
                vpc,
                vec![local_route("10.0.0.0/8"), default_route(&gateway)],
                BTreeMap::new(),
            );
            if let Some(table) = self.tables.remove(&made) {
                self.tables.insert(id.to_owned(), table);
            }
        }
        places.tables.entry(vpc.to_owned()).or_insert_with(|| id.to_owned());
    }

    fn next_subnet(
        &mut self,
        vpc: &str,
        zone: Option<&str>,
        table: Option<String>,
        places: &mut Places,
    ) -> SubnetSeed {
        places.subnets += 1;
        let n = places.subnets;
        let table = table.unwrap_or_else(|| match places.tables.get(vpc) {
            Some(t) => t.clone(),
            None => {
                let id = self.new_id("rtb");
                self.place_table(vpc, &id, places);
                id
            }
        });
        SubnetSeed {
            vpc: vpc.to_owned(),
            cidr: format!("10.{}.{}.0/24", n / 256 % 256, n % 256),
            zone: zone.map_or_else(|| format!("{}a", self.region), str::to_owned),
            table: Some(table),
            ..SubnetSeed::default()
        }
    }

    fn place_subnet(&mut self, t: &Target, places: &mut Places) {
        if self.subnets.contains_key(&t.id) {
            return;
        }
        let vpc = self.place_vpc(t.attrs.get("vpc"));
        let table = t.attrs.get("route_table").filter(|id| !id.is_empty()).cloned();
        if let Some(id) = &table {
            self.place_table(&vpc, id, places);
        }
        let mut seed = self.next_subnet(&vpc, t.zone(), table, places);
        if let Some(cidr) = t.attrs.get("cidr") {
            seed.cidr.clone_from(cidr);
        }
        seed.tags.clone_from(&t.tags);
        self.add_subnet(Some(t.id.clone()), &seed);
    }

    fn place_instance(&mut self, t: &Target, places: &mut Places) {
        if self.instances.contains_key(&t.id) {
            return;
        }
        let vpc = self.place_vpc(t.attrs.get("vpc"));
        let subnet = t
            .attrs
            .get("subnet")
            .cloned()
            .unwrap_or_else(|| format!("subnet-{}", t.zone().unwrap_or("rehearsal")));
        if !self.subnets.contains_key(&subnet) {
            let seed = self.next_subnet(&vpc, t.zone(), None, places);
            self.add_subnet(Some(subnet.clone()), &seed);
        }
        let seed = InstanceSeed {
            subnet,
            instance_type: t.attrs.get("type").cloned().unwrap_or_default(),
            tags: t.tags.clone(),
            ..InstanceSeed::default()
        };
        self.add_instance(Some(t.id.clone()), &seed);
        if let Some(m) = self.instances.get_mut(&t.id) {
            for (attr, field) in [("state", &mut m.inst.state), ("image", &mut m.inst.image)] {
                if let Some(value) = t.attrs.get(attr) {
                    field.clone_from(value);
                }
            }
            if let Some(ip) = t.attrs.get("private_ip") {
                m.inst.private_ip = Some(ip.clone());
            }
            m.group = t.attrs.get("group").filter(|g| !g.is_empty()).cloned();
        }
        if let Some(name) = t.attrs.get("group").filter(|g| !g.is_empty()) {
            let template = self.instances[&t.id].inst.clone();
            let group = self.groups.entry(name.clone()).or_default();
            group.desired += 1;
            group.template = template;
        }
    }

    fn place_db(&mut self, t: &Target) {
        if self.dbs.contains_key(&t.id) {
            return;
        }
        let get = |name: &str| t.attrs.get(name).filter(|v| !v.is_empty()).cloned();
        self.add_db(DbInstance {
            identifier: t.id.clone(),
            status: get("status").unwrap_or_default(),
            engine: get("engine").unwrap_or_else(|| "postgres".to_owned()),
            engine_version: get("engine_version").unwrap_or_else(|| "15.4".to_owned()),
            class: get("class").unwrap_or_else(|| "db.t3.medium".to_owned()),
            zone: t.zone().map(str::to_owned),
            multi_az: get("multi_az").is_some_and(|v| v == "true"),
            vpc: get("vpc"),
            subnet_group: Some("default".to_owned()),
            storage_type: Some("gp3".to_owned()),
            storage_gib: Some(100),
            backup_retention: 7,
            cluster: get("cluster"),
            // a database with another birth is another one under the same name
            created_at: get("created_at").and_then(|at| at.parse().ok()),
            tags: t.tags.clone(),
            ..DbInstance::default()
        });
        if let (Some(arn), Some(d)) = (&t.arn, self.dbs.get_mut(&t.id)) {
            d.inst.arn.clone_from(arn);
        }
    }

    fn place_bucket(&mut self, t: &Target) {
        if self.buckets.contains_key(&t.id) {
            return;
        }
        let versioning = t.attrs.get("versioning").map_or("Enabled", String::as_str).to_owned();
        self.add_bucket(&t.id, &versioning, t.tags.clone());
        for key in ["index.html", "data/1.json", "data/2.json", "data/3.json"] {
            self.put_object(&t.id, key, "rehearsal", false);
        }
    }
}
