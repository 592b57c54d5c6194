//! `vpc.detach-route-table`: takes a subnet off its route table.
//!
//! Invariant: a subnet is put back only from where this step left it; where somebody else has put it
//! on another table meanwhile, that is never overwritten. No table is deleted but the one that the step made, which
//! the answer on record tells; that of somebody else may carry the same tags.

use std::collections::BTreeMap;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::look;
use super::routing::{self, Made, Place};
use crate::catalog::action::{
    Action, ActionError, ActionSpec, After, Applied, Batch, Finding, Of, Permissions, Prepared, Progress,
    ReadCx, Reversibility, Severity, StageRule, Undone, WriteCx,
};
use crate::catalog::kinds;
use crate::cloud::{
    CloudError, CloudResult, EffectCertainty, ErrorKind, Mutation, Named, Outcome, RouteTable, What,
};
use crate::model::{Dur, Tags, Target, naming, target};

/// `vpc.detach-route-table`.
pub struct DetachRouteTable;

/// Where the subnet goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum To {
    /// Onto a table made for the run that has only the local route: always bites.
    #[default]
    Empty,
    /// Onto the VPC's main table, by removing the association.
    Main,
}

/// The parameters.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// `empty` (default): a table with only the local route; `main`: the VPC's main table.
    #[serde(default)]
    pub to: To,
}

/// What undo needs; keyed by the subnet, which survives everything that happens to associations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undo {
    /// Subnet id.
    pub subnet: String,
    /// VPC id.
    pub vpc: String,
    /// The table that the subnet was associated with.
    pub table: String,
    /// By which association; not on record of version 0.1.0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub association: Option<String>,
    /// ClientToken of the table that the step makes in this VPC.
    pub token: String,
    /// Tags of that table: how it is found again.
    pub tags: Tags,
}

static SPEC: ActionSpec = ActionSpec {
    name: "vpc.detach-route-table",
    summary: "Takes subnets off their route table: onto an empty one, or onto the VPC's main table.",
    kind: Some(kinds::VPC_SUBNET),
    stage: StageRule::Fault,
    reversibility: Reversibility::Reversible,
    after: After::None,
    batch: Batch { size: 200, by_zone: false },
    mends: &[],
    outputs: &[],
    timeout: Dur::mins(10),
    undo_timeout: Dur::mins(5),
    poll_every: Dur::secs(2),
    permissions: Permissions {
        prepare: &["ec2:DescribeRouteTables", "ec2:DescribeInstances", "ec2:DescribeNatGateways", "ec2:DescribeNetworkInterfaces"],
        apply: &[
            "ec2:DescribeRouteTables",
            "ec2:CreateRouteTable",
            "ec2:CreateTags",
            "ec2:ReplaceRouteTableAssociation",
            "ec2:DisassociateRouteTable",
        ],
        poll: &["ec2:DescribeRouteTables"],
        undo: &[
            "ec2:DescribeRouteTables",
            "ec2:AssociateRouteTable",
            "ec2:ReplaceRouteTableAssociation",
            "ec2:DeleteRouteTable",
        ],
    },
    undo_story: "Puts each subnet back on the table it was on, unless somebody else has moved it, and deletes the table that the run made.",
    docs: "\
With `to: empty` each subnet's association is replaced by one with a table that the run makes, one per VPC, which has \
only the local route: nothing beyond the VPC is reached any more. With `to: main` the association is removed, and the \
subnet falls back to the VPC's main table; what that changes depends on the routes there, so the plan prints the \
difference, says when the subnet's exposure to the internet changes, and refuses when there is no difference.

Refused: subnets that another account shares, subnets that follow the main table implicitly (there is nothing to detach), the main association itself, \
and subnets that sit on the table of another, unfinished run. A subnet whose table has no route beyond the VPC is \
refused for `to: empty`, since nothing would change. Gateway (edge) associations are not this action's.

Undo is keyed by the subnet, because every replacement gives the association a new id: on the same table as before \
nothing is done; without an association it is associated, unless no call of the run took it off; from the run's own table it is moved back; from any other \
table it is not: somebody else acted, and a person decides. The run's table is deleted when no subnet uses it any more.

The plan lists what is in each subnet, by its network interfaces: instances, and nodes of load balancers, ECS tasks on \
Fargate, Lambda functions, databases, endpoints. `limits.max_affected` bounds how many there may be, and \
`limits.forbid_tags` holds for them as for targets (for what is no instance, the tags of its interface). A subnet with \
something that others route through (a NAT gateway, a Gateway Load Balancer endpoint, a transit gateway attachment, an \
instance that a route leads to) is refused unless `limits.allow_reach` names it: its cut is theirs, and the plan names \
the subnets. What is in those counts, too. Connections that exist may break at once. Traffic inside the VPC is not \
affected. Gateway endpoints are routes too and are lost with the table.

Documentation: \"Configure route tables\", \"Subnet route tables\", \"Change a subnet's route table\" (Amazon VPC User \
Guide), \"DisassociateRouteTable\", \"ReplaceRouteTableAssociation\" (Amazon EC2 API Reference), \"Eventual consistency \
in the Amazon EC2 API\" (Amazon EC2 Developer Guide).",
};

#[async_trait]
impl Action for DetachRouteTable {
    type Params = Params;
    type Undo = Undo;

    fn spec(&self) -> &'static ActionSpec {
        &SPEC
    }

    fn about<'u>(&self, undo: &'u Undo) -> Vec<Named<'u>> {
        vec![
            (What::Subnet, undo.subnet.as_str()),
            (What::Vpc, undo.vpc.as_str()),
            (What::RouteTable, undo.table.as_str()),
        ]
    }

    fn found<'u>(&self, undo: &'u Undo) -> Vec<Named<'u>> {
        undo.association.iter().map(|a| (What::Association, a.as_str())).collect()
    }

    fn astray(&self, undo: &Undo, of: &Of<'_>, _: &Params) -> Option<&'static str> {
        if !of.is_tagged(&undo.tags) {
            return Some("tags");
        }
        (!of.is_token(&undo.token, &asked_by(&undo.vpc))).then_some("token")
    }

    async fn inspect(
        &self,
        cx: ReadCx<'_>,
        targets: &[Target],
        params: &Params,
    ) -> CloudResult<Vec<Finding>> {
        let tables = routing::tables(cx).await?;
        let mut findings = Vec::new();
        for t in targets {
            if let Some(refusal) = routing::shared(cx, t) {
                findings.push(refusal);
                continue;
            }
            match routing::place(&tables, &t.id) {
                Place::Implicit => findings.push(implicit(&tables, &t.id)),
                Place::On { table, .. } => findings.extend(change(cx, &tables, table, &t.id, params.to)),
            }
        }
        Ok(findings)
    }

    async fn prepare(
        &self,
        cx: ReadCx<'_>,
        batch: &[(Option<Target>, Value)],
        _params: &Params,
    ) -> Vec<Result<Undo, ActionError>> {
        let tables = match routing::tables(cx).await {
            Ok(t) => t,
            Err(e) => return batch.iter().map(|_| Err(e.clone().into())).collect(),
        };
        let record = |target: Option<&Target>| {
            let target = look::required(target)?;
            let (subnet, planned) = (&target.id, target.attrs.get("route_table"));
            let Place::On { table, association } = routing::place(&tables, subnet) else {
                return Err(ActionError::refused(format!(
                    "{subnet} has no route table of its own to detach"
                )));
            };
            // what is put back is what was planned
            if let Some(planned) = planned.filter(|planned| **planned != table.id) {
                return Err(ActionError::refused(format!(
                    "{subnet} was on {planned} when it was planned and is now on {}",
                    table.id
                ))
                .hint("plan again: redrill plan"));
            }
            if table.tags.contains_key(target::TAG_RUN) {
                return Err(ActionError::refused(format!("{subnet} is on {}, which a run made", table.id)));
            }
            let mut tags = cx.run_tags();
            tags.insert("Name".to_owned(), naming::empty_table(cx.step));
            Ok(Undo {
                subnet: subnet.clone(),
                vpc: table.vpc.clone(),
                table: table.id.clone(),
                association: Some(association.to_owned()),
                token: cx.token(&asked_by(&table.vpc)),
                tags,
            })
        };
        batch.iter().map(|(target, _)| record(target.as_ref())).collect()
    }

    async fn apply(
        &self,
        cx: WriteCx<'_>,
        batch: &[Prepared<Undo>],
        params: &Params,
    ) -> Vec<Result<Applied, ActionError>> {
        // The empty table of each VPC, made once for all of its subnets.
        let mut made: BTreeMap<&str, Result<String, ActionError>> = BTreeMap::new();
        let mut outcomes = Vec::with_capacity(batch.len());
        for Prepared { undo, .. } in batch {
            outcomes.push(match params.to {
                To::Main => detach(cx, undo, None).await,
                To::Empty => {
                    if !made.contains_key(undo.vpc.as_str()) {
                        let table = empty_table(cx, undo).await;
                        made.insert(&undo.vpc, table);
                    }
                    match &made[undo.vpc.as_str()] {
                        // There is a table now, so even a refused replacement leaves something to undo.
                        Ok(table) => detach(cx, undo, Some(table)).await.map_err(|e| {
                            let effect = e.effect.max(EffectCertainty::Partial);
                            e.effect(effect)
                        }),
                        Err(e) => Err(e.clone()),
                    }
                }
            });
        }
        outcomes
    }

    async fn poll(
        &self,
        cx: ReadCx<'_>,
        _target: Option<&Target>,
        undo: &Undo,
        params: &Params,
    ) -> Result<Progress, ActionError> {
        let mut patience = look::settle(cx);
        loop {
            let tables = routing::tables_around(cx, &undo.subnet).await?;
            let note = match (params.to, routing::place(&tables, &undo.subnet)) {
                (_, Place::On { table, .. }) if table.id == undo.table => {
                    if patience.wait().await {
                        continue;
                    }
                    return Ok(Progress::Absent);
                }
                (To::Empty, Place::On { table, .. }) if own(cx, undo, &tables) == Made::Table(table) => {
                    format!(
                        "{} moved from {} to {}, which has only the local route",
                        undo.subnet, undo.table, table.id
                    )
                }
                (To::Main, Place::Implicit) => {
                    let main = routing::main_of(&tables, &undo.vpc).map_or("the main table", |t| &t.id);
                    format!("{} left {} and follows {main}", undo.subnet, undo.table)
                }
                (_, other) => return Err(somebody_else(undo, &other)),
            };
            return Ok(Progress::Ready(Applied { notes: vec![note], ..Applied::default() }));
        }
    }

    async fn undo(
        &self,
        cx: WriteCx<'_>,
        _target: Option<&Target>,
        undo: &Undo,
    ) -> Result<Undone, ActionError> {
        let undone = put_back(cx, undo).await?;
        let left: String = remove_table(cx, undo).await?.iter().map(|s| format!("; {s}")).collect();
        Ok(match undone {
            Undone::PutBack(proof) => Undone::PutBack(proof + &left),
            Undone::Already(proof) => Undone::Already(proof + &left),
            Undone::Nothing(proof) => Undone::Nothing(proof + &left),
            other => other,
        })
    }
}

/// What the token of a table's creation is made of.
fn asked_by(vpc: &str) -> String {
    format!("route table {vpc}")
}

fn implicit(tables: &[RouteTable], subnet: &str) -> Finding {
    let is_main =
        |t: &&RouteTable| t.associations.iter().any(|a| a.main && a.subnet.as_deref() == Some(subnet));
    if let Some(table) = tables.iter().find(is_main) {
        return Finding::new(
            Severity::Refusal,
            subnet,
            format!("its association is the main association of {}, which cannot be removed", table.id),
        )
        .hint("pick subnets with an association of their own");
    }
    Finding::new(
        Severity::Refusal,
        subnet,
        "the subnet follows its VPC's main route table implicitly: there is nothing to detach",
    )
    .hint("associate it with a table explicitly, or pick subnets that have an association of their own")
}

fn change(cx: ReadCx<'_>, tables: &[RouteTable], from: &RouteTable, subnet: &str, to: To) -> Vec<Finding> {
    if let Some(run) = from.tags.get(target::TAG_RUN) {
        let own = if run == cx.run.as_str() { "this run" } else { run.as_str() };
        let text = format!("the subnet sits on {}, which {own} made and did not remove", from.id);
        let finding = Finding::new(Severity::Refusal, subnet, text);
        return vec![finding.hint(format!("roll that run back first: redrill rollback {run}"))];
    }
    let empty = RouteTable::default();
    let target = match to {
        To::Empty => &empty,
        To::Main => match routing::main_of(tables, &from.vpc) {
            Some(main) => main,
            None => {
                let text = format!("the main route table of {} cannot be seen", from.vpc);
                return vec![Finding::new(Severity::Refusal, subnet, text)];
            }
        },
    };
    let lines = routing::difference(from, target);
    if lines.is_empty() {
        let finding = match to {
            To::Empty => Finding::new(
                Severity::Refusal,
                subnet,
                format!("{} has no route beyond the VPC: an empty table changes nothing", from.id),
            )
            .hint("pick subnets whose table has a gateway, NAT or other route"),
            To::Main => Finding::new(
                Severity::Refusal,
                subnet,
                format!(
                    "{} and the main table {} have the same routes: nothing would change",
                    from.id, target.id
                ),
            )
            .hint("use `to: empty`, which always takes effect"),
        };
        return vec![finding];
    }
    let mut findings =
        vec![Finding::new(Severity::Info, subnet, format!("routes change: {}", lines.join("; ")))];
    match (routing::is_public(from), routing::is_public(target)) {
        (false, true) => findings.push(
            Finding::new(
                Severity::Warning,
                subnet,
                format!(
                    "the main table {} leads to an internet gateway: the subnet becomes public",
                    target.id
                ),
            )
            .hint("use `to: empty` to cut it off without exposing it"),
        ),
        (true, false) => {
            findings.push(Finding::new(Severity::Warning, subnet, "the subnet loses its internet gateway"));
        }
        _ => {}
    }
    findings
}

fn somebody_else(undo: &Undo, place: &Place<'_>) -> ActionError {
    let now = match place.table() {
        Some(table) => format!("on {table}"),
        None => "without an association".to_owned(),
    };
    ActionError::hopeless(format!(
        "{} was on {} and is now {now}: somebody else acted, it is left as it is",
        undo.subnet, undo.table
    ))
    .hint(format!("find out who moved it; `aws ec2 describe-route-tables` shows where {} is", undo.subnet))
}

/// The step's own table among these.
fn own<'a>(cx: ReadCx<'_>, undo: &Undo, tables: &'a [RouteTable]) -> Made<'a> {
    routing::made_by(tables, &undo.vpc, &undo.tags, &undo.token, &look::on_record(cx, &routing::TELLING))
}

fn unclear(undo: &Undo, tables: &[&RouteTable]) -> ActionError {
    let ids = tables.iter().map(|t| t.id.as_str()).collect::<Vec<_>>().join(" ");
    ActionError::hopeless(format!(
        "which route table of {} this run made is not known: {ids} carries its tags, and the answer that told was lost",
        undo.vpc
    ))
    .effect(EffectCertainty::Unknown)
    .hint(format!(
        "`aws ec2 describe-route-tables --route-table-ids {ids}`; delete the one without routes that nobody needs: \
         `aws ec2 delete-route-table --route-table-id ID`"
    ))
}

/// The step's empty table in the record's VPC: the one that it made, else made now. A table that AWS has
/// just made may not be visible for a moment.
async fn empty_table(cx: WriteCx<'_>, undo: &Undo) -> Result<String, ActionError> {
    match own(cx.read, undo, &routing::tables(cx.read).await?) {
        Made::Table(table) => return Ok(table.id.clone()),
        Made::Unclear(tables) => return Err(unclear(undo, &tables)),
        Made::Nothing => {}
    }
    let create = Mutation::CreateRouteTable {
        token: undo.token.clone(),
        vpc: undo.vpc.clone(),
        tags: undo.tags.clone(),
    };
    let lost = match cx.gate.send(create).await {
        Ok(reply) => match reply.outcome {
            Outcome::Created { id } => Ok(id),
            _ => Err(ActionError::refused("CreateRouteTable did not tell the table's id")),
        },
        Err(e) if e.effect == EffectCertainty::None => return Err(e.into()),
        Err(e) => Err(ActionError::from(e)),
    };
    let mut patience = look::settle(cx.read);
    loop {
        let tables = routing::tables(cx.read).await.map_err(|e| {
            ActionError::from(e).effect(EffectCertainty::Unknown) // the table may be there
        })?;
        match own(cx.read, undo, &tables) {
            Made::Table(table) => return Ok(table.id.clone()),
            Made::Unclear(tables) => return Err(unclear(undo, &tables)),
            Made::Nothing => {}
        }
        if !patience.wait().await {
            return lost.map_err(|e| e.effect(EffectCertainty::Unknown));
        }
    }
}

/// Moves the subnet from its original table onto `to`, or onto the main table. Repeatable.
async fn detach(cx: WriteCx<'_>, undo: &Undo, to: Option<&str>) -> Result<Applied, ActionError> {
    let mut patience = look::settle(cx.read);
    loop {
        let tables = routing::tables_around(cx.read, &undo.subnet).await?;
        let place = routing::place(&tables, &undo.subnet);
        if place.table() == to {
            return Ok(Applied::default());
        }
        let association = match &place {
            Place::On { table, association } if table.id == undo.table => (*association).to_owned(),
            other => return Err(somebody_else(undo, other)),
        };
        // what is changed is what is on record: by that an undo knows whether it was
        if undo.association.as_ref().is_some_and(|recorded| *recorded != association) {
            return Err(ActionError::hopeless(format!(
                "{} was put on {} anew since this was prepared: somebody else acted",
                undo.subnet, undo.table
            )));
        }
        let change = match to {
            Some(table) => Mutation::ReplaceRouteTableAssociation { association, table: table.to_owned() },
            None => Mutation::DisassociateRouteTable { association },
        };
        match cx.gate.send(change).await {
            Ok(_) => return Ok(Applied::default()),
            // A table just made, or an association just replaced, may not be known everywhere yet.
            Err(e) if e.is_not_found() && e.effect == EffectCertainty::None && patience.wait().await => {}
            Err(e) => return Err(e.into()),
        }
    }
}

/// Whether the step may have taken the subnet off its table: a call is on record before it is sent.
fn was_moved(cx: ReadCx<'_>, undo: &Undo) -> bool {
    let sent = |association: &String| {
        let calls = ["ec2:ReplaceRouteTableAssociation", "ec2:DisassociateRouteTable"];
        calls.iter().any(|call| !look::sent_for(cx, call, (What::Association, association)).is_empty())
    };
    undo.association.as_ref().is_none_or(sent)
}

async fn put_back(cx: WriteCx<'_>, undo: &Undo) -> Result<Undone, ActionError> {
    let (subnet, table) = (&undo.subnet, &undo.table);
    let mut patience = look::settle(cx.read);
    let mut lost = false;
    loop {
        let tables = routing::tables(cx.read).await?;
        let place = routing::place(&tables, subnet);
        let change = match &place {
            // Looked at again: a change that was sent just before a crash may not show yet, and neither may the
            // fault where the answer to its undo was lost.
            Place::On { table: now, .. } if now.id == *table => {
                if patience.wait().await {
                    continue;
                }
                return Ok(if lost {
                    Undone::PutBack(format!("{subnet} is on {table} again"))
                } else {
                    Undone::Already(format!("{subnet} is on {table}"))
                });
            }
            Place::On { table: now, association } if own(cx.read, undo, &tables) == Made::Table(now) => {
                Mutation::ReplaceRouteTableAssociation {
                    association: (*association).to_owned(),
                    table: table.clone(),
                }
            }
            Place::Implicit if !was_moved(cx.read, undo) => {
                let proof =
                    format!("{subnet} was not taken off {table} by this run: no call for it was sent");
                return Ok(Undone::Nothing(proof));
            }
            Place::Implicit => Mutation::AssociateRouteTable { subnet: subnet.clone(), table: table.clone() },
            // one look may be older than the fault itself: that somebody moved it is for looks to say that agree
            Place::On { .. } if patience.wait().await => continue,
            other @ Place::On { .. } => return Err(somebody_else(undo, other)),
        };
        if !tables.iter().any(|t| t.id == *table) && !routing::exists(cx.read, table).await? {
            return Err(ActionError::hopeless(format!(
                "{table}, the table of {subnet}, does not exist any more"
            ))
            .hint(format!("make a table with the routes that {subnet} needs and associate it")));
        }
        match cx.gate.send(change).await {
            Ok(_) => {}
            // The association was replaced between the look and the call: look again.
            Err(e) if routing::is_elsewhere(&e) && patience.wait().await => continue,
            // Whether it was moved is for looks to say that agree.
            Err(e) if e.effect != EffectCertainty::None && !lost => {
                lost = true;
                patience = look::settle(cx.read);
                continue;
            }
            Err(e) => return Err(e.into()),
        }
        if routing::arrived(cx.read, subnet, Some(table)).await? {
            return Ok(Undone::PutBack(format!("{subnet} is on {table} again")));
        }
        return Err(ActionError::refused(format!("{subnet} does not show on {table} yet"))
            .effect(EffectCertainty::Unknown));
    }
}

/// Deletes the run's table once no subnet uses it; what other subnets of the batch still use is left to the last one.
/// That there is none is believed where all looks agree, or where its deletion was accepted. What is to be told of
/// tables that only carry its tags.
async fn remove_table(cx: WriteCx<'_>, undo: &Undo) -> Result<Vec<String>, ActionError> {
    let mut patience = look::settle(cx.read);
    let cx = look::unanswered(cx, &["ec2:CreateRouteTable"]);
    loop {
        let made = |all: &Vec<RouteTable>| own(cx.read, undo, all) != Made::Nothing;
        let tables = look::agreed(cx.read, made, || routing::tables(cx.read)).await?;
        let others = |id| routing::strangers(&tables, &undo.vpc, &undo.tags, id);
        let table = match own(cx.read, undo, &tables) {
            Made::Table(table) => table,
            Made::Nothing => return Ok(others(None)),
            Made::Unclear(tables) => return Err(unclear(undo, &tables)),
        };
        if table.associations.iter().any(|a| a.subnet.is_some()) {
            // What still shows may be an association that was replaced a moment ago, of this subnet or of
            // another that is put back beside it; one that stays belongs to a subnet still to come.
            if patience.wait().await {
                continue;
            }
            return match put_there(cx.read, table).as_slice() {
                [] => Ok(others(Some(&table.id))),
                strangers => Err(ActionError::hopeless(format!(
                    "{} stands on {}, the empty table of this run, which therefore stays: somebody put it there",
                    strangers.join(", "),
                    table.id
                ))
                .hint("put it on its own route table; the table is then removed when the run is put back again")),
            };
        }
        match cx.gate.send(Mutation::DeleteRouteTable { table: table.id.clone() }).await {
            Ok(_) => return Ok(others(Some(&table.id))),
            // Somebody else was quicker, or the answer to an earlier deletion was lost: the next looks tell.
            Err(e) if e.is_not_found() && patience.wait().await => {}
            // Another subnet of the batch, whose association does not show any more or not yet.
            Err(e) if is_in_use(&e) && patience.wait().await => {}
            Err(e) => return Err(e.into()),
        }
    }
}

/// The subnets that somebody else put on the run's table: by associations that no call of the step was answered with.
/// None, where an answer of the step is not known.
fn put_there<'t>(cx: ReadCx<'_>, table: &'t RouteTable) -> Vec<&'t str> {
    let sent = look::on_record(cx, &["ec2:ReplaceRouteTableAssociation"]);
    let own = |id: &String| sent.iter().any(|s| s.made.as_ref().is_none_or(|made| made == id));
    let on_it = table.associations.iter().filter(|a| !own(&a.id));
    on_it.filter_map(|a| a.subnet.as_deref()).collect()
}

fn is_in_use(e: &CloudError) -> bool {
    e.code.as_deref() == Some("DependencyViolation") || e.kind == ErrorKind::State
}

#[cfg(test)]
mod tests;
