//! `vpc.route-table`: which route table a subnet really uses, and where it leads.
//!
//! Invariant: a subnet without an association of its own uses its VPC's main table.

use std::collections::BTreeMap;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ec2_instances::{check_tags, tag_filter, tags_match};
use crate::catalog::action::ReadCx;
use crate::catalog::probe::{Probe, ProbeSpec, Reading};
use crate::cloud::{CloudResult, Filter, RouteTable, Subnet, all_pages};
use crate::model::target::TAG_RUN;
use crate::model::{Dur, OneOrMany};

/// `vpc.route-table`.
pub struct VpcRouteTable;

/// Parameters of `vpc.route-table`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// Subnet id. Either this or `subnet_tags`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subnet: Option<String>,
    /// Tags of the subnets with their accepted values (`*` and `?` allowed); all must match.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub subnet_tags: BTreeMap<String, OneOrMany>,
    /// The table that each subnet must use: id or `Name` tag (`*` and `?` allowed).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<OneOrMany>,
    /// A destination, such as `0.0.0.0/0`, to which each subnet must have an active route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub has_route: Option<String>,
}

static SPEC: ProbeSpec = ProbeSpec {
    name: "vpc.route-table",
    summary: "Looks which route table subnets use, and whether a route is active.",
    permissions: &["ec2:DescribeRouteTables", "ec2:DescribeSubnets"],
    timeout: Dur::secs(5),
    docs: "Finds the route table that each subnet really uses: the one associated with it, else its VPC's main table. \
Healthy when every subnet uses `table` (an id or a `Name`) and has an active route to `has_route`, where given; a \
route that is a `blackhole` does not count. No subnet at all is unknown.

A route is no proof that traffic flows: a client's view takes an `http` or `tcp` probe. Relied on: \"Subnet route \
tables\" (VPC User Guide).",
};

fn effective<'a>(tables: &'a [RouteTable], subnet: &Subnet) -> Option<&'a RouteTable> {
    tables
        .iter()
        .find(|t| t.associations.iter().any(|a| a.subnet.as_deref() == Some(&subnet.id)))
        .or_else(|| tables.iter().find(|t| t.vpc == subnet.vpc && t.associations.iter().any(|a| a.main)))
}

/// What is wrong with the subnet's table, if anything.
fn wrong(table: Option<&RouteTable>, params: &Params) -> Option<String> {
    let Some(table) = table else { return Some("no route table".to_owned()) };
    let name = table.tags.get("Name");
    if let Some(wanted) = &params.table
        && !wanted.matches(&table.id)
        && !name.is_some_and(|n| wanted.matches(n))
    {
        return Some(format!("uses {}", name.unwrap_or(&table.id)));
    }
    let destination = params.has_route.as_ref()?;
    match table.routes.iter().find(|r| r.destination == *destination) {
        Some(route) if route.state == "active" => None,
        Some(route) => Some(format!("the route to {destination} is {}", route.state)),
        None => Some(format!("no route to {destination}")),
    }
}

async fn subnets(cx: ReadCx<'_>, params: &Params) -> CloudResult<Vec<Subnet>> {
    let filter = match &params.subnet {
        Some(id) => Filter { ids: vec![id.clone()], tags: Vec::new() },
        None => tag_filter(&params.subnet_tags),
    };
    let filter = &filter;
    let found = all_pages(|page| cx.reads.ec2.subnets(filter, page)).await?;
    Ok(found
        .into_iter()
        .filter(|s| match &params.subnet {
            Some(id) => s.id == *id,
            None => tags_match(&params.subnet_tags, &s.tags) && !s.tags.contains_key(TAG_RUN),
        })
        .collect())
}

#[async_trait]
impl Probe for VpcRouteTable {
    type Params = Params;

    fn spec(&self) -> &'static ProbeSpec {
        &SPEC
    }

    fn check(&self, params: &Params) -> Vec<String> {
        let mut out = Vec::new();
        match (&params.subnet, params.subnet_tags.is_empty()) {
            (Some(_), false) => out.push("give `subnet` or `subnet_tags`, not both".to_owned()),
            (None, true) => out.push("say which subnets: `subnet` or `subnet_tags`".to_owned()),
            (None, false) => out.extend(check_tags("subnet_tags", &params.subnet_tags)),
            (Some(_), true) => {}
        }
        if params.table.is_none() && params.has_route.is_none() {
            out.push("say what must hold: `table`, `has_route` or both".to_owned());
        }
        out
    }

    fn any_answer(&self, params: &Params) -> bool {
        // every id there may be begins with one of these
        let ids = "0123456789abcdef".chars().map(|digit| format!("rtb-{}", digit.to_string().repeat(17)));
        let any = |table: &OneOrMany| table.matches_anything() || ids.clone().all(|id| table.matches(&id));
        params.has_route.is_none() && params.table.as_ref().is_some_and(any)
    }

    async fn observe(&self, cx: ReadCx<'_>, params: &Params) -> Reading {
        let subnets = match subnets(cx, params).await {
            Ok(found) if found.is_empty() => return Reading::unknown("no such subnet"),
            Ok(found) => found,
            Err(e) => return Reading::unknown(e.to_string()),
        };
        let all = &Filter::default();
        let tables = match all_pages(|page| cx.reads.ec2.route_tables(all, page)).await {
            Ok(tables) => tables,
            Err(e) => return Reading::unknown(e.to_string()),
        };
        let bad: Vec<(&Subnet, String)> =
            subnets.iter().filter_map(|s| wrong(effective(&tables, s), params).map(|w| (s, w))).collect();
        match bad.first() {
            None => Reading::judged(true, format!("{} subnets as wanted", subnets.len())),
            Some((subnet, why)) => Reading::judged(
                false,
                format!("{} of {} subnets: {} {why}", bad.len(), subnets.len(), subnet.id),
            ),
        }
    }
}
