//! `vpc.route-table`: route tables.

use async_trait::async_trait;

use crate::catalog::iam::Type;
use crate::catalog::kind::{Kind, KindSpec, Listing, Wanted, attrs, name, text};
use crate::cloud::{CloudResult, Filter, Mutation, Reads, RouteTable, What, all_pages};
use crate::model::{ResourceKind, Target};

/// Its name.
pub const KIND: ResourceKind = ResourceKind::new("vpc.route-table");

/// `vpc.route-table`.
pub struct VpcRouteTable;

static SPEC: KindSpec = KindSpec {
    attributes: &["id", "name", "vpc", "main"],
    is_stood_on: true,
    list: &["ec2:DescribeRouteTables"],
    ..KindSpec::new(KIND, "A VPC route table.", What::RouteTable, Type::RouteTable)
};

#[async_trait]
impl Kind for VpcRouteTable {
    fn spec(&self) -> &'static KindSpec {
        &SPEC
    }

    async fn list(&self, reads: &Reads, _region: &str, _wanted: &Wanted<'_>) -> CloudResult<Listing> {
        let all = Filter::default();
        let found = all_pages(|page| reads.ec2.route_tables(&all, page)).await?;
        Ok(Listing::of(found.into_iter().map(target).collect()))
    }

    fn removal(&self, target: &Target, _final_snapshot: Option<String>) -> Option<Mutation> {
        Some(Mutation::DeleteRouteTable { table: target.id.clone() })
    }
}

fn target(t: RouteTable) -> Target {
    let main = t.associations.iter().any(|a| a.main);
    Target {
        kind: KIND,
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
