//! `vpc.attach-route-table`: puts a subnet on a route table, by default back on the one from before the fault.
//!
//! Invariant: the subnet is moved only from where this run put it or from where it was at preflight;
//! where somebody else has moved it, that is never overwritten.

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::look;
use super::routing::{self, Place};
use crate::catalog::action::{
    Action, ActionError, ActionSpec, After, Applied, Batch, Finding, Of, OutputSpec, Outputs, Permissions,
    Prepared, Progress, ReadCx, Reversibility, Severity, StageRule, Undone, WriteCx,
};
use crate::catalog::kinds;
use crate::cloud::{CloudResult, EffectCertainty, Mutation, Named, RouteTable, What};
use crate::model::{Dur, Target, target};

/// `vpc.attach-route-table`.
pub struct AttachRouteTable;

/// The parameters.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The route table to attach: its id, or its Name tag within the subnet's VPC. Left out: the table
    /// that the subnet was on before the fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
}

/// What preflight captures, before any fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Captured {
    /// The table of its own that the subnet was on; `None` where it followed the main table.
    table: Option<String>,
}

/// What undo needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undo {
    /// Subnet id.
    pub subnet: String,
    /// The table before any fault; `None` where the subnet followed the main table.
    pub original: Option<String>,
    /// The table to attach.
    pub wanted: String,
    /// The run, whose own tables the subnet may be taken from.
    pub run: String,
    /// The subnet's association when the step was prepared; not on record of version 0.1.0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub association: Option<String>,
}

static SPEC: ActionSpec = ActionSpec {
    name: "vpc.attach-route-table",
    summary: "Puts subnets back on their route table, or on another one.",
    kind: Some(kinds::VPC_SUBNET),
    stage: StageRule::Recovery,
    reversibility: Reversibility::Reversible,
    after: After::None,
    batch: Batch { size: 200, by_zone: false },
    mends: &["vpc.detach-route-table"],
    outputs: &[OutputSpec::about("route_table", "Id of the table that the subnet is on.")],
    timeout: Dur::mins(10),
    undo_timeout: Dur::mins(5),
    poll_every: Dur::secs(2),
    permissions: Permissions {
        prepare: &["ec2:DescribeRouteTables", "ec2:DescribeInstances", "ec2:DescribeNatGateways", "ec2:DescribeNetworkInterfaces"],
        apply: &["ec2:DescribeRouteTables", "ec2:AssociateRouteTable", "ec2:ReplaceRouteTableAssociation"],
        poll: &["ec2:DescribeRouteTables"],
        undo: &[
            "ec2:DescribeRouteTables",
            "ec2:ReplaceRouteTableAssociation",
            "ec2:DisassociateRouteTable",
        ],
    },
    undo_story: "Nothing where the subnet is back on its table from before the fault; where another table was named, that one is taken off again.",
    docs: "\
Associates each subnet with a route table: by default the one that it was on before the fault, which preflight \
records. An association that exists is replaced; where there is none one is made; where the subnet is on the wanted \
table already nothing is done.

The subnet is taken only from its table of before the fault, from a table that this run made, or from the main table. \
On any other table somebody else has acted: that is an error and a person decides.

`table` names another table by id or by its Name tag, which must be unique in the subnet's VPC; it must be of the \
same VPC. With `table`, undo puts the subnet back on its table of before the fault, and \
what is in the subnet is planned and limited as for `vpc.detach-route-table`.

Documentation: \"Configure route tables\", \"Subnet route tables\", \"Change a subnet's route table\" (Amazon VPC User \
Guide), \"AssociateRouteTable\", \"ReplaceRouteTableAssociation\" (Amazon EC2 API Reference).",
};

#[async_trait]
impl Action for AttachRouteTable {
    type Params = Params;
    type Undo = Undo;

    fn spec(&self) -> &'static ActionSpec {
        &SPEC
    }

    fn about<'u>(&self, undo: &'u Undo) -> Vec<Named<'u>> {
        vec![(What::Subnet, &undo.subnet)]
    }

    fn found<'u>(&self, undo: &'u Undo) -> Vec<Named<'u>> {
        let tables =
            std::iter::once(&undo.wanted).chain(&undo.original).map(|t| (What::RouteTable, t.as_str()));
        tables.chain(undo.association.iter().map(|a| (What::Association, a.as_str()))).collect()
    }

    fn astray(&self, undo: &Undo, of: &Of<'_>, params: &Params) -> Option<&'static str> {
        let captured = Captured { table: undo.original.clone() };
        // what was captured before the fault is what was planned; what is read later is what there is then
        let planned = of.target.and_then(|t| t.attrs.get("route_table"));
        let before = of.captured.is_some_and(|c| !c.is_null());
        if !of.is_captured(&captured) || (before && of.refused_elsewhere && undo.original.as_ref() != planned)
        {
            return Some("original");
        }
        if of.run.is_some_and(|run| run.as_str() != undo.run) {
            return Some("run");
        }
        let wanted = match &params.table {
            None => undo.original.as_ref(),
            Some(table) if table.starts_with("rtb-") => Some(table),
            // by its name: which one that is was found when the step was prepared
            Some(_) => return None,
        };
        (wanted != Some(&undo.wanted)).then_some("wanted")
    }

    fn check(&self, params: &Params) -> Vec<String> {
        match &params.table {
            Some(t) if t.trim().is_empty() => {
                vec!["`table` is empty: name a route table, or leave it out".to_owned()]
            }
            _ => Vec::new(),
        }
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
            let place = routing::place(&tables, &t.id);
            match &params.table {
                // What refers to a step's output is known only when that step is done.
                Some(name) if name.contains("${") => {}
                Some(name) => {
                    if let Err(e) = resolve(&tables, vpc_of(&place, t), name) {
                        let mut finding = Finding::new(Severity::Refusal, &t.id, e.message);
                        finding.hint = e.hint;
                        findings.push(finding);
                    }
                }
                None if place == Place::Implicit => findings.push(
                    Finding::new(
                        Severity::Refusal,
                        &t.id,
                        "the subnet has no route table of its own to be put back on",
                    )
                    .hint("name one with `table`"),
                ),
                None => {}
            }
        }
        Ok(findings)
    }

    async fn capture(&self, cx: ReadCx<'_>, target: &Target, params: &Params) -> Result<Value, ActionError> {
        let tables = routing::tables(cx).await?;
        let table = match routing::place(&tables, &target.id) {
            Place::On { table, .. } if table.tags.contains_key(target::TAG_RUN) => {
                return Err(ActionError::refused(format!(
                    "{} is on {}, which a run made",
                    target.id, table.id
                )));
            }
            place => place.table().map(str::to_owned),
        };
        if table.is_none() && params.table.is_none() {
            return Err(ActionError::refused(format!("{} has no route table of its own", target.id))
                .hint("name one with `table`"));
        }
        serde_json::to_value(Captured { table })
            .map_err(|e| ActionError::refused(format!("cannot be recorded: {e}")))
    }

    async fn prepare(
        &self,
        cx: ReadCx<'_>,
        batch: &[(Option<Target>, Value)],
        params: &Params,
    ) -> Vec<Result<Undo, ActionError>> {
        let tables = match routing::tables(cx).await {
            Ok(t) => t,
            Err(e) => return batch.iter().map(|_| Err(e.clone().into())).collect(),
        };
        let mut records = Vec::with_capacity(batch.len());
        for (target, captured) in batch {
            records.push(record(cx, &tables, target.as_ref(), captured, params).await);
        }
        records
    }

    async fn apply(
        &self,
        cx: WriteCx<'_>,
        batch: &[Prepared<Undo>],
        _params: &Params,
    ) -> Vec<Result<Applied, ActionError>> {
        let mut outcomes = Vec::with_capacity(batch.len());
        for Prepared { undo, .. } in batch {
            outcomes.push(attach(cx, undo).await);
        }
        outcomes
    }

    async fn poll(
        &self,
        cx: ReadCx<'_>,
        _target: Option<&Target>,
        undo: &Undo,
        _params: &Params,
    ) -> Result<Progress, ActionError> {
        let mut patience = look::settle(cx);
        loop {
            let tables = routing::tables(cx).await?;
            let place = routing::place(&tables, &undo.subnet);
            if place.table() == Some(&undo.wanted) {
                let outputs = Outputs::from([("route_table".to_owned(), undo.wanted.clone())]);
                let notes = vec![format!("{} is on {}", undo.subnet, undo.wanted)];
                return Ok(Progress::Ready(Applied { outputs, notes }));
            }
            if !is_ours(undo, &place) {
                return Err(somebody_else(undo, &place));
            }
            if !patience.wait().await {
                return Ok(Progress::Absent);
            }
        }
    }

    async fn undo(
        &self,
        cx: WriteCx<'_>,
        _target: Option<&Target>,
        undo: &Undo,
    ) -> Result<Undone, ActionError> {
        if undo.original.as_deref() == Some(undo.wanted.as_str()) {
            return Ok(Undone::Nothing(format!(
                "{} belongs on {}: nothing to take back",
                undo.subnet, undo.wanted
            )));
        }
        detach(cx, undo).await
    }
}

async fn record(
    cx: ReadCx<'_>,
    tables: &[RouteTable],
    target: Option<&Target>,
    captured: &Value,
    params: &Params,
) -> Result<Undo, ActionError> {
    let target = look::required(target)?;
    let captured = if captured.is_null() {
        // No preflight has run: then the place of now is the one of before, or it is an error.
        AttachRouteTable.capture(cx, target, params).await?
    } else {
        captured.clone()
    };
    let captured: Captured = serde_json::from_value(captured)
        .map_err(|e| ActionError::refused(format!("what preflight recorded cannot be read: {e}")))?;
    let find = |tables: &[RouteTable]| match (&params.table, &captured.table) {
        (Some(name), _) => resolve(tables, vpc_of(&routing::place(tables, &target.id), target), name),
        (None, Some(table)) => resolve(tables, None, table),
        (None, None) => Err(ActionError::refused(format!("{} had no route table of its own", target.id))),
    };
    let wanted = match find(tables) {
        Ok(table) => table,
        // A table that one answer leaves out must not fail a recovery.
        Err(_) => {
            let found = |tables: &Vec<RouteTable>| find(tables).is_ok();
            find(&look::agreed(cx, found, || routing::tables(cx)).await?)?
        }
    };
    let association = routing::place(tables, &target.id).association().map(str::to_owned);
    let (subnet, run) = (target.id.clone(), cx.run.to_string());
    Ok(Undo { subnet, original: captured.table, wanted, run, association })
}

fn vpc_of<'a>(place: &'a Place<'_>, target: &'a Target) -> Option<&'a str> {
    match place {
        Place::On { table, .. } => Some(table.vpc.as_str()),
        Place::Implicit => target.attrs.get("vpc").map(String::as_str),
    }
}

/// The id of the table of that id or Name, within the VPC where it is known.
fn resolve(tables: &[RouteTable], vpc: Option<&str>, name: &str) -> Result<String, ActionError> {
    let named: Vec<&RouteTable> =
        tables.iter().filter(|t| t.id == name || t.tags.get("Name").is_some_and(|n| n == name)).collect();
    let here: Vec<&&RouteTable> = named.iter().filter(|t| vpc.is_none_or(|v| t.vpc == v)).collect();
    match here.as_slice() {
        [one] => Ok(one.id.clone()),
        [] if named.is_empty() => Err(ActionError::refused(format!("there is no route table {name}"))
            .hint("`table` takes an id (rtb-…) or a Name tag")),
        [] => Err(ActionError::refused(format!("the route table {name} is not in the subnet's VPC"))
            .hint("a subnet takes only tables of its own VPC")),
        several => {
            let ids: Vec<&str> = several.iter().map(|t| t.id.as_str()).collect();
            Err(ActionError::refused(format!("several route tables are named {name}: {}", ids.join(", ")))
                .hint("give the table's id"))
        }
    }
}

/// Whether the subnet is where this run may take it from.
fn is_ours(undo: &Undo, place: &Place<'_>) -> bool {
    match place {
        Place::Implicit => true,
        Place::On { table, .. } => {
            Some(&table.id) == undo.original.as_ref() || table.tags.get(target::TAG_RUN) == Some(&undo.run)
        }
    }
}

fn somebody_else(undo: &Undo, place: &Place<'_>) -> ActionError {
    ActionError::hopeless(format!(
        "{} is on {}: somebody else acted, it is left as it is",
        undo.subnet,
        place.table().unwrap_or("no table of its own")
    ))
    .hint(format!("find out who moved it; it was to be on {}", undo.wanted))
}

/// Puts the subnet on the wanted table, from wherever this run left it. Repeatable.
async fn attach(cx: WriteCx<'_>, undo: &Undo) -> Result<Applied, ActionError> {
    let mut patience = look::settle(cx.read);
    loop {
        let tables = routing::tables(cx.read).await?;
        let place = routing::place(&tables, &undo.subnet);
        if place.table() == Some(&undo.wanted) {
            return Ok(Applied::default());
        }
        if !is_ours(undo, &place) {
            return Err(somebody_else(undo, &place));
        }
        let table = undo.wanted.clone();
        let change = match &place {
            Place::Implicit => Mutation::AssociateRouteTable { subnet: undo.subnet.clone(), table },
            Place::On { association, .. } => {
                Mutation::ReplaceRouteTableAssociation { association: (*association).to_owned(), table }
            }
        };
        match cx.gate.send(change).await {
            Ok(_) => return Ok(Applied::default()),
            // The subnet, or an association, is not where the look said.
            Err(e) if routing::is_elsewhere(&e) && patience.wait().await => {}
            Err(e) => return Err(e.into()),
        }
    }
}

/// Whether the step may have put the subnet on its table: a call is on record before it is sent. By which association
/// it was moved is not sure, since that may have changed after it was recorded.
fn was_moved(cx: ReadCx<'_>, undo: &Undo) -> bool {
    let associated = look::sent_for(cx, "ec2:AssociateRouteTable", (What::Subnet, &undo.subnet));
    !associated.is_empty() || !look::on_record(cx, &["ec2:ReplaceRouteTableAssociation"]).is_empty()
}

/// Takes the subnet off the other table that was named, back to where it was before the fault.
async fn detach(cx: WriteCx<'_>, undo: &Undo) -> Result<Undone, ActionError> {
    let subnet = &undo.subnet;
    let now = undo.original.as_deref().unwrap_or("the main table");
    let mut patience = look::settle(cx.read);
    let mut lost = false;
    loop {
        let tables = routing::tables(cx.read).await?;
        let place = routing::place(&tables, subnet);
        let association = match &place {
            Place::On { table, .. } if table.id == undo.wanted && !was_moved(cx.read, undo) => {
                let proof =
                    format!("{subnet} was not put on {} by this run: no call for it was sent", table.id);
                return Ok(Undone::Nothing(proof));
            }
            Place::On { table, association } if table.id == undo.wanted => (*association).to_owned(),
            // Where the fault left it, or already back: the fault's own undo decides.
            other if is_ours(undo, other) => {
                if patience.wait().await {
                    continue;
                }
                return Ok(if lost && other.table() == undo.original.as_deref() {
                    Undone::PutBack(format!("{subnet} is on {now} again"))
                } else {
                    Undone::Already(format!("{subnet} is not on {}", undo.wanted))
                });
            }
            other => return Err(somebody_else(undo, other)),
        };
        let change = match &undo.original {
            Some(table) => Mutation::ReplaceRouteTableAssociation { association, table: table.clone() },
            None => Mutation::DisassociateRouteTable { association },
        };
        match cx.gate.send(change).await {
            Ok(_) => {}
            Err(e) if routing::is_elsewhere(&e) && patience.wait().await => continue,
            // Whether it was moved is for looks to say that agree.
            Err(e) if e.effect != EffectCertainty::None && !lost => {
                lost = true;
                patience = look::settle(cx.read);
                continue;
            }
            Err(e) => return Err(e.into()),
        }
        if routing::arrived(cx.read, subnet, undo.original.as_deref()).await? {
            return Ok(Undone::PutBack(format!("{subnet} is on {now} again")));
        }
        return Err(ActionError::refused(format!("{subnet} still shows on {}", undo.wanted))
            .effect(EffectCertainty::Unknown));
    }
}

#[cfg(test)]
mod tests;
