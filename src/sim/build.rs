//! Putting things into the account, and pushing it around: for tests, training and estates.
//!
//! Nothing here is a call: it is not logged, takes no time and obeys no rule of AWS's.

use chrono::TimeDelta;

use super::Sim;
use super::refusal::{Refusal, refuse};
use super::vpc::local_route;
use super::world::{
    Assoc, BucketState, Database, DistributionState, Due, Group, Machine, Registered, Vpc, World,
};
use crate::cloud::{
    Address, Alarm, BlockDevice, BucketInfo, ClassicLoadBalancer, DbInstance, Distribution, Instance,
    InstanceDetail, Route, Settings, Subnet, TargetGroup, Volume,
};
use crate::model::{Dur, Tags};

/// What a new instance is like; everything left out has a sensible default.
#[derive(Clone, Debug, Default)]
pub struct InstanceSeed {
    /// `Name` tag.
    pub name: String,
    /// Subnet id.
    pub subnet: String,
    /// For example `t3.small`.
    pub instance_type: String,
    /// Security group ids.
    pub security_groups: Vec<String>,
    /// Tags besides `Name`.
    pub tags: Tags,
    /// User data, plain text.
    pub user_data: Option<String>,
}

/// What a new subnet is like.
#[derive(Clone, Debug, Default)]
pub struct SubnetSeed {
    /// `Name` tag.
    pub name: String,
    /// VPC id.
    pub vpc: String,
    /// CIDR block.
    pub cidr: String,
    /// Availability Zone.
    pub zone: String,
    /// Tags besides `Name`.
    pub tags: Tags,
    /// The route table to associate; `None` leaves it to the main table.
    pub table: Option<String>,
}

fn named(tags: &Tags, name: &str) -> Tags {
    let mut tags = tags.clone();
    if !name.is_empty() {
        tags.insert("Name".to_owned(), name.to_owned());
    }
    tags
}

impl World {
    /// A VPC with its main table, which has the local route only.
    pub(super) fn add_vpc(&mut self, cidr: &str) -> (String, String) {
        let id = self.new_id("vpc");
        self.vpcs.insert(id.clone(), Vpc { cidr: cidr.to_owned() });
        let main = self.add_table(&id, vec![local_route(cidr)], Tags::new());
        self.add_assoc(Assoc { table: main.clone(), subnet: None, gateway: None, main: true });
        (id, main)
    }

    pub(super) fn add_subnet(&mut self, id: Option<String>, seed: &SubnetSeed) -> String {
        let id = id.unwrap_or_else(|| self.new_id("subnet"));
        let subnet = Subnet {
            id: id.clone(),
            vpc: seed.vpc.clone(),
            zone: seed.zone.clone(),
            cidr: seed.cidr.clone(),
            state: "available".to_owned(),
            free_addresses: 0,
            owner: self.account.clone(),
            arn: format!("arn:aws:ec2:{}:{}:subnet/{id}", self.region, self.account),
            tags: named(&seed.tags, &seed.name),
        };
        self.subnets.insert(id.clone(), subnet);
        if let Some(table) = &seed.table {
            let (table, subnet) = (table.clone(), Some(id.clone()));
            self.add_assoc(Assoc { table, subnet, gateway: None, main: false });
        }
        id
    }

    pub(super) fn add_instance(&mut self, id: Option<String>, seed: &InstanceSeed) -> String {
        let id = id.unwrap_or_else(|| self.new_id("i"));
        let (zone, vpc) = match self.subnets.get(&seed.subnet) {
            Some(s) => (s.zone.clone(), Some(s.vpc.clone())),
            None => (format!("{}a", self.region), None),
        };
        let volume = self.new_id("vol");
        let long_ago = self.now - TimeDelta::days(1);
        let tags = named(&seed.tags, &seed.name);
        self.volumes.insert(
            volume.clone(),
            Volume {
                id: volume.clone(),
                size_gib: 8,
                volume_type: "gp3".to_owned(),
                iops: Some(3000),
                throughput: Some(125),
                tags: tags.clone(),
                ..Volume::default()
            },
        );
        let kind = if seed.instance_type.is_empty() { "t3.small" } else { &seed.instance_type };
        let inst = Instance {
            id: id.clone(),
            state: "running".to_owned(),
            instance_type: kind.to_owned(),
            image: "ami-00000000000000001".to_owned(),
            zone,
            private_ip: self.free_address(&seed.subnet).ok(),
            subnet: (!seed.subnet.is_empty()).then(|| seed.subnet.clone()),
            vpc,
            security_groups: seed.security_groups.clone(),
            root_device_type: "ebs".to_owned(),
            root_device: Some("/dev/xvda".to_owned()),
            block_devices: vec![BlockDevice {
                device: "/dev/xvda".to_owned(),
                volume,
                delete_on_termination: true,
            }],
            settings: Settings { interfaces: vec![self.new_id("eni")], ..Settings::default() },
            tenancy: Some("default".to_owned()),
            metadata_tokens: Some("required".to_owned()),
            metadata_hop_limit: Some(1),
            metadata_endpoint: Some("enabled".to_owned()),
            launched_at: Some(long_ago),
            stopped_at: None,
            client_token: None,
            tags,
            ..Instance::default()
        };
        let user_data = seed.user_data.as_ref().map(|text| base64(text.as_bytes()));
        let detail = InstanceDetail { user_data, ..InstanceDetail::default() };
        let machine = Machine {
            inst,
            detail,
            visible_from: long_ago,
            running_since: Some(long_ago),
            ..Machine::default()
        };
        self.instances.insert(id.clone(), machine);
        id
    }

    pub(super) fn add_target_group(&mut self, name: &str) -> String {
        let arn = format!(
            "arn:aws:elasticloadbalancing:{}:{}:targetgroup/{name}/{:016x}",
            self.region,
            self.account,
            self.target_groups.len() + 1
        );
        let (name, target_type) = (name.to_owned(), "instance".to_owned());
        let vpc = self.vpcs.keys().next().cloned();
        let (protocol, ip_type) = (Some("HTTP".to_owned()), Some("ipv4".to_owned()));
        let group = TargetGroup { arn: arn.clone(), name, target_type, vpc, protocol, ip_type };
        self.target_groups.insert(arn.clone(), group);
        arn
    }

    pub(super) fn add_registration(&mut self, group: &str, id: &str, port: i32) {
        let since = self.now - TimeDelta::days(1);
        let (group, id) = (group.to_owned(), id.to_owned());
        self.registrations.push(Registered { group, id, port: Some(port), since, leaves: false });
    }

    /// Adds a database as it stands; status, ARN, endpoint and age get defaults.
    pub(super) fn add_db(&mut self, mut inst: DbInstance) {
        let id = inst.identifier.clone();
        if inst.status.is_empty() {
            "available".clone_into(&mut inst.status);
        }
        inst.arn = self.db_arn(&id);
        inst.endpoint.get_or_insert(self.db_endpoint(&id));
        inst.port.get_or_insert(5432);
        let created = *inst.created_at.get_or_insert(self.now - TimeDelta::days(1));
        inst.latest_restorable = None;
        if let Some(group) = &inst.subnet_group {
            let subnets = inst.subnets.clone();
            self.subnet_groups.entry(group.clone()).or_insert(subnets);
        }
        let born = self.count("database");
        self.dbs.insert(id, Database { inst, generation: 0, born, restorable_from: Some(created) });
    }

    pub(super) fn add_bucket(&mut self, name: &str, versioning: &str, tags: Tags) {
        let info = BucketInfo {
            region: Some(self.region.clone()),
            versioning: versioning.to_owned(),
            ..BucketInfo::default()
        };
        self.buckets.insert(name.to_owned(), BucketState { info, tags, ..BucketState::default() });
    }

    pub(super) fn add_distribution(
        &mut self,
        id: Option<String>,
        comment: &str,
        aliases: Vec<String>,
        tags: Tags,
    ) -> String {
        let n = self.count("distribution");
        let id = id.unwrap_or_else(|| format!("E{n:013X}"));
        let dist = Distribution {
            id: id.clone(),
            arn: format!("arn:aws:cloudfront::{}:distribution/{id}", self.account),
            domain: format!("d{n:013x}.cloudfront.net"),
            status: "Deployed".to_owned(),
            enabled: true,
            aliases,
            comment: comment.to_owned(),
        };
        self.distributions.insert(id.clone(), DistributionState { dist, tags, invalidations: Vec::new() });
        id
    }

    pub(super) fn put_alarm(&mut self, name: &str, state: &str, reason: &str) {
        let alarm = Alarm {
            name: name.to_owned(),
            state: state.to_owned(),
            changed_at: Some(self.now),
            reason: reason.to_owned(),
        };
        self.alarms.insert(name.to_owned(), alarm);
    }

    /// The failure that a test ordered for this operation, if any is left.
    pub(super) fn ordered_failure(&mut self, operation: &str) -> Option<Refusal> {
        let (code, left) = self.failing.get_mut(operation)?;
        *left = left.checked_sub(1)?;
        // codes are static text elsewhere; the few that tests order are mapped here
        let known = [
            "RequestLimitExceeded",
            "AccessDenied",
            "OperationAborted",
            "InternalError",
            "VcpuLimitExceeded",
            "VolumeLimitExceeded",
        ];
        let code = known
            .into_iter()
            .chain(["VcpuLimitExceeded", "InstanceLimitExceeded"])
            .find(|known| known == code)
            .unwrap_or("InternalError");
        Some(refuse(code, "ordered by the test"))
    }
}

impl Sim {
    /// Adds a VPC; its id and that of its main table, which has the local route only.
    pub fn add_vpc(&self, cidr: &str) -> (String, String) {
        self.lock().add_vpc(cidr)
    }

    /// Adds a route table with the local route and, if given, a default route; its id.
    pub fn add_route_table(&self, vpc: &str, name: &str, tags: &Tags, default_via: Option<&str>) -> String {
        let mut w = self.lock();
        let cidr = w.vpcs.get(vpc).map(|v| v.cidr.clone()).unwrap_or_default();
        let mut routes = vec![local_route(&cidr)];
        routes.extend(default_via.map(default_route));
        w.add_table(vpc, routes, named(tags, name))
    }

    /// Adds a route to a table, or replaces the one to the same destination.
    pub fn set_route(&self, table: &str, destination: &str, via: &str, state: &str) {
        if let Some(t) = self.lock().tables.get_mut(table) {
            t.routes.retain(|r| r.destination != destination);
            t.routes.push(Route {
                destination: destination.to_owned(),
                via: via.to_owned(),
                state: state.to_owned(),
            });
        }
    }

    /// Adds a subnet; its id.
    pub fn add_subnet(&self, seed: &SubnetSeed) -> String {
        self.lock().add_subnet(None, seed)
    }

    /// Adds an edge association of a gateway with a table.
    pub fn add_gateway_association(&self, gateway: &str, table: &str) -> String {
        let (table, gateway) = (table.to_owned(), Some(gateway.to_owned()));
        self.lock().add_assoc(Assoc { table, subnet: None, gateway, main: false })
    }

    /// Adds a running instance; its id.
    pub fn add_instance(&self, seed: &InstanceSeed) -> String {
        self.lock().add_instance(None, seed)
    }

    /// Changes an instance as it stands: its lifecycle, root device, public address …
    pub fn edit_instance(&self, id: &str, change: impl FnOnce(&mut Instance, &mut InstanceDetail)) {
        if let Some(m) = self.lock().instances.get_mut(id) {
            change(&mut m.inst, &mut m.detail);
        }
    }

    /// Turns termination protection on.
    pub fn protect(&self, id: &str) {
        self.edit_instance(id, |_, d| d.disable_api_termination = true);
    }

    /// Makes a target group one of addresses.
    pub fn make_by_address(&self, group: &str) {
        if let Some(g) = self.lock().target_groups.get_mut(group) {
            "ip".clone_into(&mut g.target_type);
        }
    }

    /// Makes a target group one of another VPC, whose addresses may be the same.
    pub fn move_group(&self, group: &str, vpc: &str) {
        if let Some(g) = self.lock().target_groups.get_mut(group) {
            g.vpc = Some(vpc.to_owned());
        }
    }

    /// Adds a Classic Load Balancer with these instances.
    pub fn add_classic(&self, name: &str, instances: &[&str]) {
        let instances = instances.iter().map(|id| (*id).to_owned()).collect();
        let one = ClassicLoadBalancer { name: name.to_owned(), instances };
        self.lock().classic.insert(name.to_owned(), one);
    }

    /// Turns stop protection on.
    pub fn protect_from_stop(&self, id: &str) {
        self.edit_instance(id, |_, d| d.disable_api_stop = true);
    }

    /// Makes an instance a Spot instance whose request is `one-time` or `persistent`.
    pub fn make_spot(&self, id: &str, request_type: &str) {
        let mut w = self.lock();
        let request = w.new_id("sir");
        w.spot_requests.insert(request.clone(), request_type.to_owned());
        if let Some(m) = w.instances.get_mut(id) {
            m.inst.lifecycle = Some("spot".to_owned());
            m.inst.spot_request = Some(request);
        }
    }

    /// Adds an Elastic IP address, associated with an instance if one is given; its allocation id.
    pub fn add_address(&self, public_ip: &str, instance: Option<&str>) -> String {
        let mut w = self.lock();
        let allocation = w.new_id("eipalloc");
        let address = Address {
            allocation: allocation.clone(),
            public_ip: public_ip.to_owned(),
            instance: instance.map(str::to_owned),
        };
        w.addresses.insert(allocation.clone(), address);
        if let Some(m) = instance.and_then(|id| w.instances.get_mut(id)) {
            m.inst.public_ip = Some(public_ip.to_owned());
        }
        allocation
    }

    /// No instance can be started in this zone any more, or again.
    pub fn set_capacity(&self, zone: &str, available: bool) {
        let mut w = self.lock();
        if available {
            w.no_capacity.remove(zone);
        } else {
            w.no_capacity.insert(zone.to_owned());
        }
    }

    /// Puts instances into an Auto Scaling group that wants as many as there are.
    pub fn add_group(&self, name: &str, members: &[&str], suspended: &[&str]) {
        let mut w = self.lock();
        let template =
            members.first().and_then(|id| w.instances.get(*id)).map(|m| m.inst.clone()).unwrap_or_default();
        for id in members {
            if let Some(m) = w.instances.get_mut(*id) {
                m.group = Some(name.to_owned());
                m.inst.tags.insert("aws:autoscaling:groupName".to_owned(), name.to_owned());
            }
        }
        let suspended = suspended.iter().map(|s| (*s).to_owned()).collect();
        w.groups.insert(name.to_owned(), Group { desired: members.len(), suspended, template });
    }

    /// Sets a group's suspended processes; the group looks again after its delay.
    pub fn suspend(&self, group: &str, processes: &[&str]) {
        let mut w = self.lock();
        if let Some(g) = w.groups.get_mut(group) {
            g.suspended = processes.iter().map(|s| (*s).to_owned()).collect();
        }
        let after = w.pace.group_replace;
        w.later(after, Due::GroupLooks { group: group.to_owned() });
    }

    /// Adds a target group for instances; its ARN.
    pub fn add_target_group(&self, name: &str) -> String {
        self.lock().add_target_group(name)
    }

    /// Registers a target as if long ago: it is healthy where its instance runs.
    pub fn add_registration(&self, group: &str, id: &str, port: i32) {
        self.lock().add_registration(group, id, port);
    }

    /// Adds a database as it stands; status `available`, ARN, endpoint, port and an age of a day are defaults.
    pub fn add_db(&self, inst: DbInstance) {
        self.lock().add_db(inst);
    }

    /// Changes a database as it stands.
    pub fn edit_db(&self, identifier: &str, change: impl FnOnce(&mut DbInstance)) {
        if let Some(d) = self.lock().dbs.get_mut(identifier) {
            change(&mut d.inst);
        }
    }

    /// Somebody renames a database: its identifier, its ARN and its endpoint are others then, its tags and its age
    /// stay (ModifyDBInstance, NewDBInstanceIdentifier).
    pub fn rename_db(&self, identifier: &str, to: &str) {
        let mut world = self.lock();
        let (arn, endpoint) = (world.db_arn(to), world.db_endpoint(to));
        if let Some(mut d) = world.dbs.remove(identifier) {
            to.clone_into(&mut d.inst.identifier);
            (d.inst.arn, d.inst.endpoint) = (arn, Some(endpoint));
            world.dbs.insert(to.to_owned(), d);
        }
    }

    /// Adds a DB subnet group of these subnets.
    pub fn add_db_subnet_group(&self, name: &str, subnets: &[String]) {
        self.lock().subnet_groups.insert(name.to_owned(), subnets.to_vec());
    }

    /// Sets how many databases the account may have (40 at first).
    pub fn set_db_quota(&self, instances: i64) {
        self.lock().db_quota = instances;
    }

    /// Adds a bucket; `versioning` is `Enabled`, `Suspended` or empty.
    pub fn add_bucket(&self, name: &str, versioning: &str, tags: &Tags) {
        self.lock().add_bucket(name, versioning, tags.clone());
    }

    /// Changes what a bucket tells of itself: replication, lifecycle, MFA Delete …
    pub fn edit_bucket(&self, name: &str, change: impl FnOnce(&mut BucketInfo)) {
        if let Some(b) = self.lock().buckets.get_mut(name) {
            change(&mut b.info);
        }
    }

    /// Writes an object as somebody else would; its version id, `null` without versioning.
    pub fn put_object(&self, bucket: &str, key: &str, body: &str) -> Option<String> {
        self.lock().put_object(bucket, key, body, false)
    }

    /// Deletes an object as somebody else would: a delete marker; its version id.
    pub fn put_marker(&self, bucket: &str, key: &str) -> Option<String> {
        self.lock().put_object(bucket, key, "", true)
    }

    /// Copies the newest delete marker of a key to another bucket with its version id, as replication does.
    pub fn replicate_marker(&self, from: &str, to: &str, key: &str) {
        let mut world = self.lock();
        let newest = world.buckets.get(from).and_then(|b| b.objects.get(key)).and_then(|v| v.first());
        let Some(marker) = newest.filter(|v| v.marker).cloned() else { return };
        if let Some(b) = world.buckets.get_mut(to) {
            b.objects.entry(key.to_owned()).or_default().insert(0, marker);
        }
    }

    /// DeleteObjects refuses this key from now on.
    pub fn deny_object(&self, bucket: &str, key: &str) {
        if let Some(b) = self.lock().buckets.get_mut(bucket) {
            b.denied.insert(key.to_owned());
        }
    }

    /// Adds a deployed distribution; its id.
    pub fn add_distribution(&self, comment: &str, aliases: &[&str], tags: &Tags) -> String {
        let aliases = aliases.iter().map(|a| (*a).to_owned()).collect();
        self.lock().add_distribution(None, comment, aliases, tags.clone())
    }

    /// Sets an alarm's state, creating it where there is none.
    pub fn set_alarm(&self, name: &str, state: &str) {
        self.lock().put_alarm(name, state, "set by hand (simulated)");
    }

    /// Sets a parameter of Systems Manager.
    pub fn set_parameter(&self, name: &str, value: &str) {
        self.lock().parameters.insert(name.to_owned(), value.to_owned());
    }

    /// Puts a file on the machine that redrill runs on.
    pub fn add_file(&self, path: &str) {
        self.lock().files.insert(path.to_owned());
    }

    /// From now on this alarm follows the shop's health: it turns when the health has turned for so long.
    pub fn follow_health(&self, alarm: &str, after: Dur) {
        let mut w = self.lock();
        w.followers.insert(alarm.to_owned(), after);
        w.healthy = None;
        w.note_health();
    }

    /// Removes an alarm.
    pub fn remove_alarm(&self, name: &str) {
        self.lock().alarms.remove(name);
    }

    /// Stores a secret.
    pub fn put_secret(&self, id: &str, value: &str) {
        self.lock().secrets.insert(id.to_owned(), value.to_owned());
    }

    /// Nothing gets through any more: every call and probe fails as unreachable, and nothing was sent.
    pub fn kill_link(&self) {
        self.lock().link_down = true;
    }

    /// The link is back.
    pub fn mend_link(&self) {
        self.lock().link_down = false;
    }

    /// IAM's simulation says of this action that no policy allows it; calls still go through.
    pub fn deny(&self, action: &str) {
        self.lock().denied.insert(action.to_owned());
    }

    /// The next `times` calls of this operation are refused with `RequestLimitExceeded`, `AccessDenied` or
    /// `InternalError`; nothing is changed by them. Only for reads and refusals: to lose the answer of a
    /// change, wrap the account in [`crate::cloud::faulty::Faulty`].
    pub fn fail_next(&self, operation: &str, code: &str, times: usize) {
        self.lock().failing.insert(operation.to_owned(), (code.to_owned(), times));
    }
}

pub(super) fn default_route(via: &str) -> Route {
    Route { destination: "0.0.0.0/0".to_owned(), via: via.to_owned(), state: "active".to_owned() }
}

/// User data as AWS gives it back.
pub(super) fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let n = chunk.iter().enumerate().fold(0_u32, |n, (i, b)| n | u32::from(*b) << (16 - 8 * i));
        for i in 0..4 {
            let c =
                if i <= chunk.len() { char::from(ALPHABET[(n >> (18 - 6 * i) & 63) as usize]) } else { '=' };
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::base64;

    #[test]
    fn base64_is_that_of_rfc_4648() {
        for (plain, coded) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }
}
