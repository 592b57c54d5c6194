//! Subnets, route tables and their associations. Synchronous.

use super::refusal::{Answer, refuse};
use super::world::{Assoc, Table, World, check_tags, tags_match};
use crate::cloud::{Association, Filter, Outcome, Page, Route, RouteTable, Subnet};
use crate::model::Tags;

impl World {
    pub(super) fn list_subnets(&self, f: &Filter, page: Option<String>) -> Answer<Page<Subnet>> {
        if let Some(id) = f.ids.iter().find(|id| !self.subnets.contains_key(*id)) {
            return Err(refuse("InvalidSubnetID.NotFound", format!("the subnet ID '{id}' does not exist")));
        }
        let found = self
            .subnets
            .values()
            .filter(|s| f.ids.is_empty() || f.ids.contains(&s.id))
            .filter(|s| tags_match(&s.tags, &f.tags))
            .map(|s| Subnet { free_addresses: self.free_addresses(&s.id, &s.cidr), ..s.clone() })
            .collect();
        self.page(found, page)
    }

    pub(super) fn sees_table(&self, id: &str) -> bool {
        self.tables.get(id).is_some_and(|t| t.visible_from <= self.now)
    }

    fn need_table(&self, id: &str) -> Answer<&Table> {
        self.tables.get(id).filter(|t| t.visible_from <= self.now).ok_or_else(|| {
            refuse("InvalidRouteTableID.NotFound", format!("the routeTable ID '{id}' does not exist"))
        })
    }

    pub(super) fn list_tables(&self, f: &Filter, page: Option<String>) -> Answer<Page<RouteTable>> {
        for id in &f.ids {
            self.need_table(id)?;
        }
        let found = self
            .tables
            .iter()
            .filter(|(_, t)| t.visible_from <= self.now)
            .filter(|(id, t)| (f.ids.is_empty() || f.ids.contains(id)) && tags_match(&t.tags, &f.tags))
            .map(|(id, t)| RouteTable {
                id: id.clone(),
                vpc: t.vpc.clone(),
                associations: self.associations(id),
                routes: t.routes.clone(),
                tags: t.tags.clone(),
            })
            .collect();
        self.page(found, page)
    }

    fn associations(&self, table: &str) -> Vec<Association> {
        self.assocs
            .iter()
            .filter(|(_, a)| a.table == table)
            .map(|(id, a)| Association {
                id: id.clone(),
                subnet: a.subnet.clone(),
                gateway: a.gateway.clone(),
                main: a.main,
            })
            .collect()
    }

    /// The table that decides for a subnet: its own, else the VPC's main table.
    pub(super) fn effective_table(&self, subnet: &str) -> Option<(&String, &Table)> {
        let own = self.assocs.values().find(|a| a.subnet.as_deref() == Some(subnet));
        let assoc = match own {
            Some(a) => a,
            None => {
                let vpc = &self.subnets.get(subnet)?.vpc;
                self.assocs
                    .values()
                    .find(|a| a.main && self.tables.get(&a.table).is_some_and(|t| t.vpc == *vpc))?
            }
        };
        self.tables.get_key_value(&assoc.table)
    }

    pub(super) fn create_table(&mut self, token: &str, vpc: &str, tags: &Tags) -> Answer<Outcome> {
        let asked = serde_json::json!({ "vpc": vpc, "tags": tags });
        if let Some((before, id)) = self.tokens.get(token) {
            if *before == asked {
                return Ok(Outcome::Created { id: id.clone() });
            }
            return Err(refuse(
                "IdempotentParameterMismatch",
                "the client token was used with other parameters",
            ));
        }
        let Some(cidr) = self.vpcs.get(vpc).map(|v| v.cidr.clone()) else {
            return Err(refuse("InvalidVpcID.NotFound", format!("the vpc ID '{vpc}' does not exist")));
        };
        check_tags(tags, 0)?;
        let visible_from = self.visible_from();
        let id = self.add_table(vpc, vec![local_route(&cidr)], tags.clone());
        if let Some(t) = self.tables.get_mut(&id) {
            t.visible_from = visible_from;
        }
        if !token.is_empty() {
            self.tokens.insert(token.to_owned(), (asked, id.clone()));
        }
        Ok(Outcome::Created { id })
    }

    /// Adds a table that everybody sees at once.
    pub(super) fn add_table(&mut self, vpc: &str, routes: Vec<Route>, tags: Tags) -> String {
        let id = self.new_id("rtb");
        let table = Table { vpc: vpc.to_owned(), routes, tags, visible_from: self.now };
        self.tables.insert(id.clone(), table);
        id
    }

    /// Adds an association without any check; its id is new.
    pub(super) fn add_assoc(&mut self, assoc: Assoc) -> String {
        let id = self.new_id("rtbassoc");
        self.assocs.insert(id.clone(), assoc);
        id
    }

    pub(super) fn delete_table(&mut self, id: &str) -> Answer<Outcome> {
        self.need_table(id)?;
        if self.assocs.values().any(|a| a.table == id) {
            return Err(refuse(
                "DependencyViolation",
                format!("the routeTable '{id}' has dependencies and cannot be deleted"),
            ));
        }
        self.tables.remove(id);
        Ok(Outcome::Done)
    }

    pub(super) fn associate(&mut self, subnet: &str, table: &str) -> Answer<Outcome> {
        let vpc = self.need_table(table)?.vpc.clone();
        let Some(net) = self.subnets.get(subnet) else {
            return Err(refuse(
                "InvalidSubnetID.NotFound",
                format!("the subnet ID '{subnet}' does not exist"),
            ));
        };
        if net.vpc != vpc {
            return Err(refuse(
                "InvalidParameterValue",
                format!("route table {table} and subnet {subnet} belong to different networks"),
            ));
        }
        if self.assocs.values().any(|a| a.subnet.as_deref() == Some(subnet)) {
            return Err(refuse(
                "Resource.AlreadyAssociated",
                format!("the specified association for route table {table} conflicts with an existing one"),
            ));
        }
        let assoc =
            Assoc { table: table.to_owned(), subnet: Some(subnet.to_owned()), gateway: None, main: false };
        Ok(Outcome::Created { id: self.add_assoc(assoc) })
    }

    fn need_assoc(&self, id: &str) -> Answer<Assoc> {
        self.assocs.get(id).cloned().ok_or_else(|| {
            refuse("InvalidAssociationID.NotFound", format!("the association ID '{id}' does not exist"))
        })
    }

    pub(super) fn disassociate(&mut self, id: &str) -> Answer<Outcome> {
        if self.need_assoc(id)?.main {
            return Err(refuse(
                "InvalidParameterValue",
                format!("cannot disassociate the main route table association {id}"),
            ));
        }
        self.assocs.remove(id);
        Ok(Outcome::Done)
    }

    pub(super) fn replace_assoc(&mut self, id: &str, table: &str) -> Answer<Outcome> {
        let assoc = self.need_assoc(id)?;
        let vpc = self.need_table(table)?.vpc.clone();
        if self.tables.get(&assoc.table).is_some_and(|t| t.vpc != vpc) {
            return Err(refuse(
                "InvalidParameterValue",
                format!("route table {table} and association {id} belong to different networks"),
            ));
        }
        self.assocs.remove(id);
        Ok(Outcome::Created { id: self.add_assoc(Assoc { table: table.to_owned(), ..assoc }) })
    }
}

/// The route that every table of a VPC has.
pub(super) fn local_route(cidr: &str) -> Route {
    Route { destination: cidr.to_owned(), via: "local".to_owned(), state: "active".to_owned() }
}
