//! Which route table a subnet uses, and the table that a run makes.
//!
//! Association ids change on every replacement, so everything is keyed by the subnet and looked up
//! freshly. Gateway (edge) associations carry no subnet and are never considered. Reads only.

use std::collections::BTreeSet;

use super::look::{self, OnRecord};
use crate::catalog::action::{Finding, ReadCx, Severity};
use crate::cloud::{
    CloudError, CloudResult, EffectCertainty, Filter, Mutation, Route, RouteTable, all_pages,
};
use crate::model::{Tags, Target, target};

/// Where a subnet's route table comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place<'a> {
    /// It is associated with this table, by this association.
    On {
        /// The table.
        table: &'a RouteTable,
        /// The association's id at this moment.
        association: &'a str,
    },
    /// No association of its own: it follows the VPC's main table.
    Implicit,
}

impl Place<'_> {
    /// The table's id, where the subnet has one of its own.
    pub(super) fn table(&self) -> Option<&str> {
        match self {
            Self::On { table, .. } => Some(&table.id),
            Self::Implicit => None,
        }
    }

    /// Its association's id at this moment.
    pub(super) fn association(&self) -> Option<&str> {
        match self {
            Self::On { association, .. } => Some(association),
            Self::Implicit => None,
        }
    }
}

/// Every route table of the region, every page.
pub(super) async fn tables(cx: ReadCx<'_>) -> CloudResult<Vec<RouteTable>> {
    let filter = Filter::default();
    all_pages(|page| cx.reads.ec2.route_tables(&filter, page)).await
}

/// The same, for a subnet: that it has no association of its own is what an answer with something left out says, too,
/// so it is believed only where all looks of the settling time agree.
pub(super) async fn tables_around(cx: ReadCx<'_>, subnet: &str) -> CloudResult<Vec<RouteTable>> {
    let has_own = |all: &Vec<RouteTable>| place(all, subnet) != Place::Implicit;
    look::agreed(cx, has_own, || tables(cx)).await
}

/// A subnet that another account shares: who takes part in a VPC cannot touch its route tables.
pub(super) fn shared(cx: ReadCx<'_>, subnet: &Target) -> Option<Finding> {
    let owner = subnet.arn.as_deref()?.split(':').nth(4).filter(|o| !o.is_empty())?;
    (owner != cx.account).then(|| {
        let text =
            format!("the subnet belongs to account {owner}, and only its owner can change its route table");
        Finding::new(Severity::Refusal, &subnet.id, text)
            .hint("run the drill in the account that owns the VPC")
    })
}

/// Whether a table exists; not only where all looks of the settling time agree that it does not.
pub(super) async fn exists(cx: ReadCx<'_>, table: &str) -> CloudResult<bool> {
    let there = |all: &Vec<RouteTable>| all.iter().any(|t| t.id == table);
    Ok(there(&look::agreed(cx, there, || tables(cx)).await?))
}

/// Where the subnet is.
pub(super) fn place<'a>(tables: &'a [RouteTable], subnet: &str) -> Place<'a> {
    for table in tables {
        for a in &table.associations {
            if a.subnet.as_deref() == Some(subnet) && !a.main {
                return Place::On { table, association: &a.id };
            }
        }
    }
    Place::Implicit
}

/// The VPC's main table.
pub(super) fn main_of<'a>(tables: &'a [RouteTable], vpc: &str) -> Option<&'a RouteTable> {
    tables.iter().find(|t| t.vpc == vpc && t.associations.iter().any(|a| a.main))
}

/// The table that a step made in a VPC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Made<'a> {
    /// This one.
    Table(&'a RouteTable),
    /// None is there.
    Nothing,
    /// These carry its tags, and what is on record does not tell whether it made one of them.
    Unclear(Vec<&'a RouteTable>),
}

/// What a step is on record to have sent: which table is its own.
pub(super) const TELLING: [&str; 3] =
    ["ec2:CreateRouteTable", "ec2:ReplaceRouteTableAssociation", "ec2:DeleteRouteTable"];

/// The table that a step made in this VPC, of which `sent` tells ([`TELLING`]); `token` is that of its creation. Tags
/// can be copied, so they alone decide only where no answer told the id, and then only for a single table that leads
/// nowhere; once the step has put a subnet on one or deleted one, that one it is.
pub(super) fn made_by<'a>(
    tables: &'a [RouteTable],
    vpc: &str,
    tags: &Tags,
    token: &str,
    sent: &[OnRecord],
) -> Made<'a> {
    let creation =
        |s: &&OnRecord| matches!(&s.asked, Mutation::CreateRouteTable { token: t, .. } if t == token);
    let here: Vec<&RouteTable> = tables.iter().filter(|t| t.vpc == vpc && carries(t, tags)).collect();
    let named = |ids: &[&String]| {
        here.iter().find(|t| ids.contains(&&t.id)).map_or(Made::Nothing, |t| Made::Table(t))
    };
    if !sent.iter().any(|s| creation(&s)) {
        return Made::Nothing;
    }
    let told: Vec<&String> = sent.iter().filter(creation).filter_map(|s| s.made.as_ref()).collect();
    if !told.is_empty() {
        return named(&told);
    }
    let told_elsewhere = |id: &&String| sent.iter().any(|s| s.made.as_ref() == Some(*id));
    let deleted =
        |s: &OnRecord| matches!(&s.asked, Mutation::DeleteRouteTable { table } if !told_elsewhere(&table));
    let chosen = sent.iter().filter_map(|s| match &s.asked {
        Mutation::ReplaceRouteTableAssociation { table, .. } | Mutation::DeleteRouteTable { table } => {
            Some(table)
        }
        _ => None,
    });
    match (named(&chosen.collect::<Vec<_>>()), &*here) {
        (Made::Table(table), _) => Made::Table(table),
        (_, []) => Made::Nothing,
        (_, [one]) if beyond(one).is_empty() && !sent.iter().any(deleted) => Made::Table(one),
        _ => Made::Unclear(here),
    }
}

/// What carries a step's tags in this VPC and is not its own.
pub(super) fn strangers(tables: &[RouteTable], vpc: &str, tags: &Tags, own: Option<&str>) -> Vec<String> {
    let others = tables.iter().filter(|t| t.vpc == vpc && carries(t, tags) && Some(t.id.as_str()) != own);
    others.map(|t| format!("{} carries this run's tags and was not made by it; left alone", t.id)).collect()
}

/// Whether a table carries the run's and the step's tag.
pub(super) fn carries(table: &RouteTable, tags: &Tags) -> bool {
    [target::TAG_RUN, target::TAG_STEP].iter().all(|key| match (tags.get(*key), table.tags.get(*key)) {
        (Some(want), Some(have)) => want == have,
        _ => false,
    })
}

/// Looks, after a change that was accepted, until the subnet is on that table (`None`: on none of its own) or the
/// settling time is over.
pub(super) async fn arrived(cx: ReadCx<'_>, subnet: &str, table: Option<&str>) -> CloudResult<bool> {
    let there = |all: &Vec<RouteTable>| place(all, subnet).table() == table;
    Ok(there(&look::agreed(cx, there, || tables(cx)).await?))
}

/// Whether a change was refused because the subnet, or its association, is not where a look said it is: it was
/// moved in between, or the look left something out.
pub(super) fn is_elsewhere(e: &CloudError) -> bool {
    let taken = e.code.as_deref() == Some("Resource.AlreadyAssociated");
    e.effect == EffectCertainty::None && (e.is_not_found() || taken)
}

/// What routes do, without the `local` ones, which every table of a VPC has.
fn beyond(table: &RouteTable) -> BTreeSet<(&str, &str, &str)> {
    table.routes.iter().filter(|r| r.via != "local").map(|r| (&*r.destination, &*r.via, &*r.state)).collect()
}

/// What changes for a subnet that goes from one table to the other: `- 0.0.0.0/0 via nat-1`. Empty where nothing does.
pub(super) fn difference(from: &RouteTable, to: &RouteTable) -> Vec<String> {
    let (old, new) = (beyond(from), beyond(to));
    let line = |sign: char, (destination, via, state): &(&str, &str, &str)| {
        let state = if *state == "blackhole" { " (blackhole)" } else { "" };
        format!("{sign} {destination} via {via}{state}")
    };
    let mut lines: Vec<String> = old.difference(&new).map(|r| line('-', r)).collect();
    lines.extend(new.difference(&old).map(|r| line('+', r)));
    lines
}

/// Whether a table leads to an internet gateway: what makes a subnet public.
pub(super) fn is_public(table: &RouteTable) -> bool {
    let default = |r: &&Route| r.destination == "0.0.0.0/0" || r.destination == "::/0";
    table.routes.iter().filter(default).any(|r| r.via.starts_with("igw-"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloud::Association;

    fn table(id: &str, routes: &[(&str, &str)]) -> RouteTable {
        let route = |(d, v): &(&str, &str)| Route {
            destination: (*d).to_owned(),
            via: (*v).to_owned(),
            state: "active".to_owned(),
        };
        RouteTable {
            id: id.to_owned(),
            vpc: "vpc-1".to_owned(),
            routes: routes.iter().map(route).collect(),
            ..RouteTable::default()
        }
    }

    fn association(subnet: Option<&str>, main: bool) -> Association {
        Association { id: "rtbassoc-1".to_owned(), subnet: subnet.map(str::to_owned), gateway: None, main }
    }

    #[test]
    fn a_subnet_without_an_association_of_its_own_follows_the_main_table() {
        let mut main = table("rtb-main", &[]);
        main.associations = vec![association(None, true)];
        let mut own = table("rtb-own", &[]);
        own.associations = vec![association(Some("subnet-1"), false)];
        let tables = [main, own];
        assert_eq!(place(&tables, "subnet-1").table(), Some("rtb-own"));
        assert_eq!(place(&tables, "subnet-2"), Place::Implicit);
        assert_eq!(main_of(&tables, "vpc-1").map(|t| t.id.as_str()), Some("rtb-main"));
        assert_eq!(main_of(&tables, "vpc-2"), None);
    }

    #[test]
    fn the_difference_ignores_local_routes_and_shows_both_directions() {
        let a = table("a", &[("10.0.0.0/16", "local"), ("0.0.0.0/0", "nat-1")]);
        let b = table("b", &[("10.0.0.0/16", "local"), ("0.0.0.0/0", "igw-1")]);
        assert_eq!(difference(&a, &b), ["- 0.0.0.0/0 via nat-1", "+ 0.0.0.0/0 via igw-1"]);
        assert!(difference(&a, &a).is_empty());
        assert!(is_public(&b) && !is_public(&a));
        assert!(difference(&table("c", &[("10.0.0.0/16", "local")]), &RouteTable::default()).is_empty());
    }

    #[test]
    fn a_table_is_the_steps_own_only_with_both_tags() {
        let tags = Tags::from([
            (target::TAG_RUN.to_owned(), "r".to_owned()),
            (target::TAG_STEP.to_owned(), "s".to_owned()),
        ]);
        let mut t = table("a", &[]);
        assert!(!carries(&t, &tags), "no tags");
        t.tags.insert(target::TAG_RUN.to_owned(), "r".to_owned());
        assert!(!carries(&t, &tags), "run only");
        t.tags.insert(target::TAG_STEP.to_owned(), "s".to_owned());
        assert!(carries(&t, &tags));
        assert!(!carries(&t, &Tags::new()), "a record without tags owns nothing");
    }
}
