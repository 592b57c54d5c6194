//! `vpc.route-table`: route tables.

use async_trait::async_trait;

use crate::catalog::iam::Type;
use crate::catalog::kind::{Kind, KindSpec, Listing, Tagging, Wanted, attrs, name, text};
use crate::cloud::{CloudResult, Filter, Mutation, Reads, RouteTable, What, all_pages};
use crate::model::{ResourceKind, Tags, Target};

/// Its name.
pub const KIND: ResourceKind = ResourceKind::new("vpc.route-table");

/// `vpc.route-table`.
pub struct VpcRouteTable;

static SPEC: KindSpec = KindSpec {
    kind: KIND,
    summary: "A VPC route table.",
    attributes: &["id", "name", "vpc", "main"],
    id: "id",
    state: "state",
    ends: &[],
    lingers: false,
    is_renamed: false,
    stands_in: false,
    holds_others: false,
    is_stood_on: true,
    before: &[],
    profile: None,
    roles: &[],
    is_global: false,
    takes_calls: false,
    list: &["ec2:DescribeRouteTables"],
    tagging: Tagging::Together,
    tag: &["ec2:CreateTags", "ec2:DeleteTags"],
    what: What::RouteTable,
    iam: Type::RouteTable,
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

    fn tag(&self, target: &Target, tags: Tags) -> Mutation {
        Mutation::CreateTags { ids: vec![target.id.clone()], tags }
    }

    fn untag(&self, target: &Target, keys: Vec<String>) -> Option<Mutation> {
        Some(Mutation::DeleteTags { ids: vec![target.id.clone()], keys })
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
