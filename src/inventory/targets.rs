//! Turns what the services return into [`Target`]s: id, name, tags and the attributes of `where`. Pure.

use std::collections::BTreeMap;

use crate::cloud::{DbInstance, Distribution, Instance, RouteTable, Subnet};
use crate::model::{ResourceKind, Tags, Target};

/// The tag that Auto Scaling sets on the members of a group.
const GROUP_TAG: &str = "aws:autoscaling:groupName";

/// Attributes that are present.
fn attrs<'a>(pairs: impl IntoIterator<Item = (&'a str, Option<String>)>) -> BTreeMap<String, String> {
    pairs.into_iter().filter_map(|(k, v)| Some((k.to_owned(), v?))).collect()
}

fn text(value: &str) -> Option<String> {
    (!value.is_empty()).then(|| value.to_owned())
}

fn name(tags: &Tags) -> Option<String> {
    tags.get("Name").cloned()
}

/// An EC2 instance.
pub(super) fn instance(i: Instance) -> Target {
    Target {
        kind: ResourceKind::Ec2Instance,
        arn: None,
        name: name(&i.tags),
        attrs: attrs([
            ("id", text(&i.id)),
            ("name", name(&i.tags)),
            ("state", text(&i.state)),
            ("zone", text(&i.zone)),
            ("vpc", i.vpc),
            ("subnet", i.subnet),
            ("type", text(&i.instance_type)),
            ("image", text(&i.image)),
            ("private_ip", i.private_ip),
            ("group", i.tags.get(GROUP_TAG).cloned()),
            (PROFILE, i.profile_arn),
        ]),
        id: i.id,
        tags: i.tags,
    }
}

/// A subnet; `route_table` is the table it is explicitly associated with.
pub(super) fn subnet(s: Subnet, tables: &BTreeMap<String, String>) -> Target {
    Target {
        kind: ResourceKind::VpcSubnet,
        // its account is its owner's
        arn: text(&s.arn),
        name: name(&s.tags),
        attrs: attrs([
            ("id", text(&s.id)),
            ("name", name(&s.tags)),
            ("state", text(&s.state)),
            ("zone", text(&s.zone)),
            ("vpc", text(&s.vpc)),
            ("cidr", text(&s.cidr)),
            ("route_table", tables.get(&s.id).cloned()),
        ]),
        id: s.id,
        tags: s.tags,
    }
}

/// Per subnet, the route table it is explicitly associated with.
pub(super) fn explicit(tables: &[RouteTable]) -> BTreeMap<String, String> {
    let pairs = tables
        .iter()
        .flat_map(|t| t.associations.iter().filter_map(|a| Some((a.subnet.clone()?, t.id.clone()))));
    pairs.collect()
}

/// A route table.
pub(super) fn route_table(t: RouteTable) -> Target {
    let main = t.associations.iter().any(|a| a.main);
    Target {
        kind: ResourceKind::VpcRouteTable,
        arn: None,
        name: name(&t.tags),
        attrs: attrs([
            ("id", text(&t.id)),
            ("name", name(&t.tags)),
            ("vpc", text(&t.vpc)),
            ("main", Some(main.to_string())),
        ]),
        id: t.id,
        tags: t.tags,
    }
}

/// When a resource was created: a name can be given to another resource, its birth cannot.
pub(crate) const CREATED: &str = "created_at";
/// The ARN of an instance's profile. Not for `where`, nor are the next two.
pub(crate) const PROFILE: &str = "instance_profile";
/// The ARN of the role that sends a database's enhanced monitoring.
pub(crate) const MONITORING_ROLE: &str = "monitoring_role";
/// The ARN of the role that joins a database to its directory.
pub(crate) const DOMAIN_ROLE: &str = "domain_role";

/// A database.
pub(super) fn database(d: DbInstance) -> Target {
    Target {
        kind: ResourceKind::RdsInstance,
        arn: text(&d.arn),
        name: name(&d.tags),
        attrs: attrs([
            ("id", text(&d.identifier)),
            ("identifier", text(&d.identifier)),
            ("status", text(&d.status)),
            ("zone", d.zone),
            ("vpc", d.vpc),
            ("engine", text(&d.engine)),
            ("engine_version", text(&d.engine_version)),
            ("class", text(&d.class)),
            ("multi_az", Some(d.multi_az.to_string())),
            // not for `where`: tells another database of the same name from this one
            (CREATED, d.created_at.map(|at| at.to_rfc3339())),
            (MONITORING_ROLE, d.monitoring_role),
            (DOMAIN_ROLE, d.domain_role),
            ("cluster", d.cluster),
        ]),
        id: d.identifier,
        tags: d.tags,
    }
}

/// A bucket; one whose `versioning` was never on answers with nothing.
pub(super) fn bucket(name: String, region: &str, tags: Tags, versioning: &str) -> Target {
    let versioning = text(versioning).or_else(|| Some("Disabled".to_owned()));
    Target {
        kind: ResourceKind::S3Bucket,
        arn: None,
        name: None,
        attrs: attrs([
            ("id", text(&name)),
            ("name", text(&name)),
            ("region", text(region)),
            ("versioning", versioning),
        ]),
        id: name,
        tags,
    }
}

/// A distribution.
pub(super) fn distribution(d: Distribution, tags: Tags) -> Target {
    Target {
        kind: ResourceKind::CloudfrontDistribution,
        arn: text(&d.arn),
        name: name(&tags).or_else(|| text(&d.comment)),
        attrs: attrs([
            ("id", text(&d.id)),
            ("domain", text(&d.domain)),
            ("status", text(&d.status)),
            ("enabled", Some(d.enabled.to_string())),
            ("comment", text(&d.comment)),
            ("alias", text(&d.aliases.join(","))),
        ]),
        id: d.id,
        tags,
    }
}
