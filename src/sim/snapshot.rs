//! The account as one comparable value: "the world is as before" is an equality of two of these.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::Sim;
use super::world::{Database, World};
use crate::cloud::DbInstance;

impl Sim {
    /// The lasting state of the account, without times and without what changes by itself:
    /// live instances (id, state, type, image, subnet, protection, tags), volumes, addresses, routes
    /// and subnets by table (without association ids), registrations, databases with settings and
    /// tags, every object version, tags of everything. Invalidations are not part of it.
    pub fn snapshot(&self) -> Value {
        self.lock().snapshot()
    }
}

impl World {
    fn snapshot(&self) -> Value {
        json!({
            "instances": self.snap_instances(),
            "volumes": self.volumes.values().map(|v| (v.id.clone(), json!({
                "size": v.size_gib, "type": v.volume_type, "tags": v.tags,
            }))).collect::<Map<_, _>>(),
            "addresses": self.addresses.values()
                .map(|a| (a.allocation.clone(), json!(a.instance))).collect::<Map<_, _>>(),
            "subnets": self.subnets.values().map(|s| (s.id.clone(), json!({
                "vpc": s.vpc, "cidr": s.cidr, "tags": s.tags,
            }))).collect::<Map<_, _>>(),
            "route_tables": self.snap_tables(),
            "registrations": self.snap_registrations(),
            "groups": self.groups.iter()
                .map(|(name, g)| (name.clone(), json!({"suspended": g.suspended}))).collect::<Map<_, _>>(),
            "databases": self.dbs.values()
                .map(|d| (d.inst.identifier.clone(), snap_db(d))).collect::<Map<_, _>>(),
            "buckets": self.snap_buckets(),
            "distributions": self.distributions.values().map(|d| (d.dist.id.clone(), json!({
                "aliases": d.dist.aliases, "comment": d.dist.comment, "enabled": d.dist.enabled, "tags": d.tags,
            }))).collect::<Map<_, _>>(),
        })
    }

    fn snap_instances(&self) -> Map<String, Value> {
        let live = self.instances.values().filter(|m| !m.inst.state.contains("terminated"));
        live.filter(|m| m.inst.state != "shutting-down")
            .map(|m| {
                let i = &m.inst;
                let value = json!({
                    "state": i.state, "type": i.instance_type, "image": i.image, "subnet": i.subnet,
                    "private_ip": i.private_ip, "security_groups": i.security_groups, "tags": i.tags,
                    "group": m.group,
                    "disable_api_termination": m.detail.disable_api_termination,
                    "disable_api_stop": m.detail.disable_api_stop,
                });
                (i.id.clone(), value)
            })
            .collect()
    }

    fn snap_tables(&self) -> Map<String, Value> {
        self.tables
            .iter()
            .map(|(id, t)| {
                let of = |main: bool| {
                    let mut bound: Vec<&str> = self
                        .assocs
                        .values()
                        .filter(|a| a.table == *id && a.main == main)
                        .filter_map(|a| a.subnet.as_deref().or(a.gateway.as_deref()).or(main.then_some("main")))
                        .collect();
                    bound.sort_unstable();
                    bound
                };
                let routes: Vec<String> =
                    t.routes.iter().map(|r| format!("{} via {} ({})", r.destination, r.via, r.state)).collect();
                let value = json!({
                    "vpc": t.vpc, "main": !of(true).is_empty(), "bound": of(false), "routes": routes, "tags": t.tags,
                });
                (id.clone(), value)
            })
            .collect()
    }

    fn snap_registrations(&self) -> Map<String, Value> {
        let mut groups: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for r in &self.registrations {
            let live = self
                .instances
                .get(&r.id)
                .is_none_or(|m| !["shutting-down", "terminated"].contains(&m.inst.state.as_str()));
            if live {
                let port = r.port.unwrap_or(0);
                groups.entry(&r.group).or_default().push(format!("{}:{port}", r.id));
            }
        }
        groups
            .into_iter()
            .map(|(group, mut ids)| {
                ids.sort();
                (group.to_owned(), json!(ids))
            })
            .collect()
    }

    fn snap_buckets(&self) -> Map<String, Value> {
        self.buckets
            .iter()
            .map(|(name, b)| {
                let objects: Map<String, Value> = b
                    .objects
                    .iter()
                    .map(|(key, versions)| {
                        let all: Vec<String> = versions
                            .iter()
                            .map(|v| format!("{} {}", if v.marker { "marker" } else { "object" }, v.version))
                            .collect();
                        (key.clone(), json!(all))
                    })
                    .collect();
                let value = json!({"versioning": b.info.versioning, "tags": b.tags, "objects": objects});
                (name.clone(), value)
            })
            .collect()
    }
}

/// All settings of a database, without times and without the zone, which a failover changes.
fn snap_db(d: &Database) -> Value {
    let lasting = DbInstance { latest_restorable: None, created_at: None, zone: None, ..d.inst.clone() };
    serde_json::to_value(lasting).unwrap_or_default()
}
