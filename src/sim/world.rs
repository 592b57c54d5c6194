//! The simulated account's state, and time passing in it.
//!
//! Nothing happens by itself: every change of state that AWS would make later is an entry in `due`,
//! and [`World::settle`] makes those that are due, in order of time, whenever somebody looks. So
//! the same calls at the same times always give the same account; ids come from counters.
//! Synchronous; reads no clock.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};

use super::health::Check;
use super::pace::Pace;
use super::refusal::{Answer, refuse};
use crate::cloud::{
    Address, Alarm, BucketInfo, ClassicLoadBalancer, DbInstance, Distribution, Instance, InstanceDetail,
    Interface, Invalidation, ModifyDb, ObjectMeta, ObjectVersion, Page, Route, Subnet, TargetGroup, Volume,
};
use crate::model::{Dur, Tags};

/// Something that AWS will do later by itself.
#[derive(Clone, Debug)]
pub(super) enum Due {
    /// An instance reaches a state, unless it was sent elsewhere meanwhile.
    Instance { id: String, generation: u64, to: &'static str },
    /// A terminated instance loses subnet, groups and addresses.
    Strip { id: String },
    /// A terminated instance is gone from listings.
    Forget { id: String },
    /// A registration of a terminated instance is gone.
    Drained { id: String },
    /// An Auto Scaling group looks after a member that is not well.
    GroupLooks { group: String },
    /// A database reaches a status.
    Db { id: String, generation: u64, to: &'static str },
    /// A failover has moved a database to its other zone.
    DbMoves { id: String, generation: u64 },
    /// A change of settings shows.
    DbChanged { id: String, born: u64, change: ModifyDb },
    /// A database is gone.
    DbGone { id: String, generation: u64 },
    /// An invalidation is `Completed`.
    Invalidated { distribution: String, id: String },
    /// An alarm that follows the shop's health turns, unless the health has turned again.
    AlarmTurns { name: String, generation: u64, ok: bool },
}

#[derive(Clone, Debug, Default)]
pub(super) struct Machine {
    pub(super) inst: Instance,
    pub(super) detail: InstanceDetail,
    pub(super) visible_from: DateTime<Utc>,
    pub(super) generation: u64,
    pub(super) running_since: Option<DateTime<Utc>>,
    pub(super) group: Option<String>,
    /// Its group holds it for unhealthy.
    pub(super) is_unhealthy: bool,
    /// CPU credits, where somebody has chosen.
    pub(super) credits: Option<String>,
}

#[derive(Clone, Debug)]
pub(super) struct Vpc {
    pub(super) cidr: String,
}

#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) vpc: String,
    pub(super) routes: Vec<Route>,
    pub(super) tags: Tags,
    pub(super) visible_from: DateTime<Utc>,
}

/// An association of a route table; kept apart from tables since replacing moves it.
#[derive(Clone, Debug)]
pub(super) struct Assoc {
    pub(super) table: String,
    pub(super) subnet: Option<String>,
    pub(super) gateway: Option<String>,
    pub(super) main: bool,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Group {
    pub(super) desired: usize,
    pub(super) suspended: Vec<String>,
    pub(super) template: Instance,
}

#[derive(Clone, Debug)]
pub(super) struct Registered {
    pub(super) group: String,
    pub(super) id: String,
    pub(super) port: Option<i32>,
    pub(super) since: DateTime<Utc>,
    /// It was deregistered, and drains.
    pub(super) leaves: bool,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Database {
    pub(super) inst: DbInstance,
    pub(super) generation: u64,
    /// Tells apart databases that had the same identifier one after the other.
    pub(super) born: u64,
    /// Since when there is a backup to restore from.
    pub(super) restorable_from: Option<DateTime<Utc>>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct BucketState {
    pub(super) info: BucketInfo,
    pub(super) tags: Tags,
    /// Per key, newest first.
    pub(super) objects: BTreeMap<String, Vec<StoredVersion>>,
    /// Keys that DeleteObjects refuses.
    pub(super) denied: BTreeSet<String>,
}

#[derive(Clone, Debug)]
pub(super) struct StoredVersion {
    pub(super) version: String,
    pub(super) marker: bool,
    pub(super) body: String,
    pub(super) modified: DateTime<Utc>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct DistributionState {
    pub(super) dist: Distribution,
    pub(super) tags: Tags,
    /// Oldest first.
    pub(super) invalidations: Vec<Invalidation>,
}

/// One call that the account received.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// When it took effect or was refused (UTC).
    pub at: DateTime<Utc>,
    /// The operation as AWS names it, for example `ec2:TerminateInstances`.
    pub operation: String,
    /// Its request id.
    pub request_id: String,
    /// The parameters of a change, redacted; `None` for reads.
    pub change: Option<serde_json::Value>,
    /// The code of a refusal.
    pub refused: Option<String>,
}

/// The whole account.
pub(super) struct World {
    pub(super) account: String,
    pub(super) region: String,
    pub(super) now: DateTime<Utc>,
    pub(super) pace: Pace,
    pub(super) page_size: usize,
    pub(super) link_down: bool,
    pub(super) failing: BTreeMap<String, (String, usize)>,
    pub(super) calls: Vec<Call>,
    /// What IAM's simulation denies.
    pub(super) denied: BTreeSet<String>,
    pub(super) no_capacity: BTreeSet<String>,
    /// What launches could use, and cannot any more; see [`super::Sim::withdraw`].
    pub(super) withdrawn: BTreeSet<String>,
    /// Subnets that give public addresses to what says nothing of them.
    pub(super) public_subnets: BTreeSet<String>,
    counters: BTreeMap<&'static str, u64>,
    due: BTreeMap<(DateTime<Utc>, u64), Due>,

    pub(super) instances: BTreeMap<String, Machine>,
    pub(super) spot_requests: BTreeMap<String, String>,
    pub(super) volumes: BTreeMap<String, Volume>,
    pub(super) addresses: BTreeMap<String, Address>,
    pub(super) vpcs: BTreeMap<String, Vpc>,
    pub(super) subnets: BTreeMap<String, Subnet>,
    /// Those of services; those of instances and databases follow them.
    pub(super) interfaces: BTreeMap<String, Interface>,
    pub(super) tables: BTreeMap<String, Table>,
    pub(super) assocs: BTreeMap<String, Assoc>,
    /// Client token → what was asked, and the id of what it created.
    pub(super) tokens: BTreeMap<String, (serde_json::Value, String)>,
    pub(super) groups: BTreeMap<String, Group>,
    pub(super) target_groups: BTreeMap<String, TargetGroup>,
    /// Types of EC2 Fleets by id.
    pub(super) fleets: BTreeMap<String, String>,
    /// Classic Load Balancers by name.
    pub(super) classic: BTreeMap<String, ClassicLoadBalancer>,
    pub(super) registrations: Vec<Registered>,
    pub(super) subnet_groups: BTreeMap<String, Vec<String>>,
    pub(super) dbs: BTreeMap<String, Database>,
    pub(super) db_quota: i64,
    pub(super) buckets: BTreeMap<String, BucketState>,
    pub(super) distributions: BTreeMap<String, DistributionState>,
    pub(super) alarms: BTreeMap<String, Alarm>,
    pub(super) secrets: BTreeMap<String, String>,
    pub(super) parameters: BTreeMap<String, String>,
    /// Resource → fields that only a reading in full shows.
    pub(super) more_fields: BTreeMap<String, BTreeMap<String, String>>,
    /// Files on the machine that redrill runs on.
    pub(super) files: BTreeSet<String>,
    pub(super) checks: Vec<Check>,
    /// Alarm → for how long the health must have turned.
    pub(super) followers: BTreeMap<String, Dur>,
    /// The shop's health when last looked at, and how often it has turned.
    pub(super) healthy: Option<bool>,
    pub(super) health_turns: u64,
}

impl World {
    pub(super) fn new(account: &str, region: &str, now: DateTime<Utc>) -> Self {
        Self {
            account: account.to_owned(),
            region: region.to_owned(),
            now,
            pace: Pace::default(),
            page_size: 50,
            link_down: false,
            failing: BTreeMap::new(),
            calls: Vec::new(),
            denied: BTreeSet::new(),
            no_capacity: BTreeSet::new(),
            withdrawn: BTreeSet::new(),
            public_subnets: BTreeSet::new(),
            counters: BTreeMap::new(),
            due: BTreeMap::new(),
            instances: BTreeMap::new(),
            spot_requests: BTreeMap::new(),
            volumes: BTreeMap::new(),
            addresses: BTreeMap::new(),
            vpcs: BTreeMap::new(),
            subnets: BTreeMap::new(),
            interfaces: BTreeMap::new(),
            tables: BTreeMap::new(),
            assocs: BTreeMap::new(),
            tokens: BTreeMap::new(),
            groups: BTreeMap::new(),
            target_groups: BTreeMap::new(),
            classic: BTreeMap::new(),
            fleets: BTreeMap::new(),
            registrations: Vec::new(),
            subnet_groups: BTreeMap::new(),
            dbs: BTreeMap::new(),
            db_quota: 40,
            buckets: BTreeMap::new(),
            distributions: BTreeMap::new(),
            alarms: BTreeMap::new(),
            secrets: BTreeMap::new(),
            parameters: BTreeMap::new(),
            more_fields: BTreeMap::new(),
            files: BTreeSet::new(),
            checks: Vec::new(),
            followers: BTreeMap::new(),
            healthy: None,
            health_turns: 0,
        }
    }

    /// The next number of a sequence.
    pub(super) fn count(&mut self, what: &'static str) -> u64 {
        let n = self.counters.entry(what).or_insert(0);
        *n += 1;
        *n
    }

    /// A new id with AWS's shape: the prefix and 17 hexadecimal digits.
    pub(super) fn new_id(&mut self, prefix: &'static str) -> String {
        format!("{prefix}-{:017x}", self.count(prefix))
    }

    /// Makes everything happen that is due by `now`.
    pub(super) fn settle(&mut self, now: DateTime<Utc>) {
        self.note_health();
        while let Some(entry) = self.due.first_entry() {
            if entry.key().0 > now {
                break;
            }
            let ((at, _), what) = entry.remove_entry();
            self.now = self.now.max(at);
            self.happen(what);
            self.note_health();
        }
        self.now = self.now.max(now);
    }

    /// Notes what will happen after a while.
    pub(super) fn later(&mut self, after: Dur, what: Due) {
        let at = self.now + TimeDelta::milliseconds(after.ms());
        let seq = self.count("due");
        self.due.insert((at, seq), what);
    }

    fn happen(&mut self, what: Due) {
        match what {
            Due::Instance { id, generation, to } => self.instance_reaches(&id, generation, to),
            Due::Strip { id } => self.instance_strips(&id),
            Due::Forget { id } => {
                self.instances.remove(&id);
            }
            Due::Drained { id } => {
                let is_instance = id.starts_with("i-");
                self.registrations.retain(|r| r.id != id || !(is_instance || r.leaves));
            }
            Due::GroupLooks { group } => self.group_looks(&group),
            Due::Db { id, generation, to } => self.db_reaches(&id, generation, to),
            Due::DbMoves { id, generation } => self.db_moves(&id, generation),
            Due::DbChanged { id, born, change } => self.db_changed(&id, born, &change),
            Due::DbGone { id, generation } => {
                if self.dbs.get(&id).is_some_and(|d| d.generation == generation) {
                    self.dbs.remove(&id);
                }
            }
            Due::Invalidated { distribution, id } => self.invalidated(&distribution, &id),
            Due::AlarmTurns { name, generation, ok } => self.alarm_turns(&name, generation, ok),
        }
    }

    /// When something created now becomes visible.
    pub(super) fn visible_from(&self) -> DateTime<Utc> {
        self.now + TimeDelta::milliseconds(self.pace.consistency.ms())
    }

    /// Cuts one page out of a listing.
    pub(super) fn page<T>(&self, items: Vec<T>, token: Option<String>) -> Answer<Page<T>> {
        let start = match token {
            None => 0,
            Some(t) => t
                .strip_prefix("page-")
                .and_then(|n| n.parse::<usize>().ok())
                .ok_or_else(|| refuse("InvalidNextToken", format!("the token `{t}` is not valid")))?,
        };
        let size = self.page_size.max(1);
        let total = items.len();
        let items: Vec<T> = items.into_iter().skip(start).take(size).collect();
        let next = (start + size < total).then(|| format!("page-{}", start + size));
        Ok(Page { items, next })
    }
}

/// Whether tags satisfy a filter of EC2's kind: all keys, any of each one's patterns.
pub(super) fn tags_match(tags: &Tags, wanted: &[(String, Vec<String>)]) -> bool {
    wanted
        .iter()
        .all(|(key, values)| tags.get(key).is_some_and(|have| values.iter().any(|v| wildcard(v, have))))
}

/// EC2's filter patterns: `*` any run of characters, `?` exactly one, `\` takes the next literally.
pub(super) fn wildcard(pattern: &str, text: &str) -> bool {
    fn at(p: &[char], t: &[char]) -> bool {
        match p {
            [] => t.is_empty(),
            ['*', rest @ ..] => (0..=t.len()).any(|i| at(rest, &t[i..])),
            ['?', rest @ ..] => !t.is_empty() && at(rest, &t[1..]),
            ['\\', c, rest @ ..] | [c, rest @ ..] => t.first() == Some(c) && at(rest, &t[1..]),
        }
    }
    let (p, t): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    at(&p, &t)
}

/// Refuses tags that AWS would refuse: the reserved prefix, and more than fifty.
pub(super) fn check_tags(tags: &Tags, having: usize) -> Answer<()> {
    if let Some(key) = tags.keys().find(|k| k.to_ascii_lowercase().starts_with("aws:")) {
        return Err(refuse(
            "InvalidParameterValue",
            format!("tag keys starting with `aws:` are reserved: `{key}`"),
        ));
    }
    if having + tags.len() > 50 {
        return Err(refuse("TagLimitExceeded", "a resource has at most 50 tags"));
    }
    Ok(())
}

/// A stored object as HeadObject tells it.
pub(super) fn meta(v: &StoredVersion) -> ObjectMeta {
    use sha2::{Digest as _, Sha256};
    let etag = Sha256::digest(v.body.as_bytes()).iter().take(16).map(|b| format!("{b:02x}")).collect();
    ObjectMeta {
        size: i64::try_from(v.body.len()).unwrap_or(i64::MAX),
        etag: Some(etag),
        version: (v.version != "null").then(|| v.version.clone()),
        modified: Some(v.modified),
    }
}

/// A stored object as ListObjectVersions tells it.
pub(super) fn listed(key: &str, index: usize, v: &StoredVersion) -> ObjectVersion {
    ObjectVersion {
        key: key.to_owned(),
        version: v.version.clone(),
        latest: index == 0,
        marker: v.marker,
        modified: Some(v.modified),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_are_those_of_ec2() {
        for (pattern, text, yes) in [
            ("shop-*", "shop-web-1", true),
            ("shop-?", "shop-ab", false),
            ("*web*", "shop-web-1", true),
            ("a\\*b", "a*b", true),
            ("a\\*b", "axb", false),
            ("", "", true),
            ("", "x", false),
        ] {
            assert_eq!(wildcard(pattern, text), yes, "{pattern} on {text}");
        }
    }

    #[test]
    fn pages_hold_everything_once() {
        let mut w = World::new("1", "r", DateTime::<Utc>::UNIX_EPOCH);
        w.page_size = 2;
        let (mut seen, mut token) = (Vec::new(), None);
        loop {
            let page = w.page((0..5).collect(), token).expect("a page");
            assert!(page.items.len() <= 2);
            seen.extend(page.items);
            token = page.next;
            if token.is_none() {
                break;
            }
        }
        assert_eq!(seen, [0, 1, 2, 3, 4]);
        assert!(w.page(vec![1], Some("garbage".to_owned())).is_err());
    }
}
