//! `vpc.subnet`: subnets, with the route table that each is explicitly associated with; none: its VPC's main table.

use std::collections::BTreeMap;

use async_trait::async_trait;

use crate::catalog::iam::Type;
use crate::catalog::kind::{Kind, KindSpec, Listing, Wanted, attrs, name, text};
use crate::cloud::{CloudResult, Filter, Reads, RouteTable, Subnet, What, all_pages};
use crate::model::{ResourceKind, Target};

/// Its name.
pub const KIND: ResourceKind = ResourceKind::new("vpc.subnet");

/// `vpc.subnet`.
pub struct VpcSubnet;

static SPEC: KindSpec = KindSpec {
    attributes: &["id", "name", "state", "zone", "vpc", "cidr", "route_table"],
    holds_others: true,
    before: &["route_table"],
    list: &["ec2:DescribeRouteTables", "ec2:DescribeSubnets"],
    ..KindSpec::new(KIND, "A VPC subnet.", What::Subnet, Type::Subnet)
};

#[async_trait]
impl Kind for VpcSubnet {
    fn spec(&self) -> &'static KindSpec {
        &SPEC
    }

    async fn list(&self, reads: &Reads, _region: &str, _wanted: &Wanted<'_>) -> CloudResult<Listing> {
        let all = Filter::default();
        let tables = all_pages(|page| reads.ec2.route_tables(&all, page)).await?;
        let explicit = explicit(&tables);
        let found = all_pages(|page| reads.ec2.subnets(&all, page)).await?;
        Ok(Listing::of(found.into_iter().map(|s| target(s, &explicit)).collect()))
    }

    fn moved(&self, before: &Target, now: &Target) -> Option<String> {
        let (was, is) = (before.attrs.get("route_table"), now.attrs.get("route_table"));
        let on = |table: Option<&String>| table.map_or("the VPC's main table", String::as_str).to_owned();
        (was != is)
            .then(|| format!("it stands on {} now, and stood on {} when it was planned", on(is), on(was)))
    }
}

/// Per subnet, the route table it is explicitly associated with.
fn explicit(tables: &[RouteTable]) -> BTreeMap<String, String> {
    let pairs = tables
        .iter()
        .flat_map(|t| t.associations.iter().filter_map(|a| Some((a.subnet.clone()?, t.id.clone()))));
    pairs.collect()
}

fn target(s: Subnet, tables: &BTreeMap<String, String>) -> Target {
    Target {
        kind: KIND,
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
