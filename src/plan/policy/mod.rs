//! The smallest IAM policy that runs a drill: what is needed, on what, and only where that is so.
//!
//! Made from the drill, or from its plan, without a call. `catalog::iam` says on which types of resources
//! IAM decides each permission; this says which of a type the drill touches: those of a selector, those
//! that the run makes, or any. A plan knows its targets by name; a drill knows them by their tags. Pure.

pub mod document;
pub mod trust;
mod whom;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

pub use document::{Condition, Document, Grant, LONGEST, LONGEST_INLINE, Statement, Values};
use whom::Whom;

use super::{House, Plan, PlannedStep, build, roles};
use crate::catalog::action::Reversibility;
use crate::catalog::iam::{self, Level, Type};
use crate::catalog::kind::Tagging;
use crate::catalog::kinds;
use crate::drill::{Drill, Known, TargetSpec};
use crate::model::naming::final_snapshot;
use crate::model::target::{TAG_HELD, TAG_KEPT, TAG_RUN, TAG_STEP};
use crate::model::{Stage, Target};

/// What the policy is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// `redrill plan` and what else only reads before a run.
    Plan,
    /// `redrill run`, its own rollback included.
    Run,
    /// `redrill rollback`: what takes a run back, and nothing that injects.
    Undo,
}

/// What a policy is made from.
pub struct Source<'a> {
    /// The drill.
    pub drill: &'a Drill,
    /// Its steps.
    pub steps: Vec<PlannedStep>,
    /// The rules of `redrill.toml`.
    pub house: &'a House,
    /// The plan, where there is one.
    pub plan: Option<&'a Plan>,
    /// The one account and region that it is for; all that the limits name, if left out.
    pub only: Option<(&'a str, Option<&'a str>)>,
}

impl<'a> Source<'a> {
    /// A drill that is not planned.
    pub fn drill(drill: &'a Drill, house: &'a House) -> Self {
        Self { drill, steps: build::steps(drill, &Known::shipped()), house, plan: None, only: None }
    }

    /// A plan.
    pub fn plan(plan: &'a Plan) -> Self {
        Self {
            drill: &plan.drill,
            steps: plan.steps.clone(),
            house: &plan.house,
            plan: Some(plan),
            only: None,
        }
    }

    /// The accounts that the policy is for.
    pub fn accounts(&self) -> BTreeSet<&str> {
        match self.plan {
            Some(plan) => BTreeSet::from([plan.account.as_str()]),
            None => {
                let all = self.drill.limits.accounts.iter().map(String::as_str);
                all.filter(|a| self.only.is_none_or(|(only, _)| only == *a)).collect()
            }
        }
    }

    /// The regions; `global` is none.
    pub fn regions(&self) -> BTreeSet<&str> {
        match self.plan {
            Some(plan) => BTreeSet::from([plan.region.as_str()]),
            None => {
                let all = self.drill.limits.regions.iter().map(String::as_str).filter(|r| *r != "global");
                all.filter(|r| self.only.and_then(|o| o.1).is_none_or(|only| only == *r)).collect()
            }
        }
    }

    fn drawn(&self, selector: &str) -> Option<&'a [Target]> {
        Some(self.plan?.targets.get(selector)?.drawn.as_slice())
    }
}

/// Whether it lets its holder pass any role to a service: whoever may start an instance with a role has what the role
/// may do.
pub fn passes_any_role(document: &Document) -> bool {
    let passes = |s: &&Statement| s.action.0.contains("iam:PassRole");
    document.statement.iter().filter(passes).any(|s| s.resource.0.iter().any(|r| r.ends_with(":role/*")))
}

/// The policy of one phase.
pub fn policy(source: &Source<'_>, phase: Phase) -> Document {
    Document::of(with_sweep(source, phase))
}

/// [`grants`], and what `redrill sweep` asks for beyond a rollback. A run needs none of that, so nobody is asked
/// about it before one.
fn with_sweep(source: &Source<'_>, phase: Phase) -> Vec<Grant> {
    let mut all = Grants { source, out: grants(source, phase) };
    if phase != Phase::Plan {
        for step in &source.steps {
            all.sweep(step);
        }
    }
    all.out
}

/// What the policy of one phase allows, one grant an action and type of resources.
pub fn grants(source: &Source<'_>, phase: Phase) -> Vec<Grant> {
    let mut all = Grants { source, out: Vec::new() };
    for (name, spec) in &source.drill.targets {
        for permission in kinds::spec(spec.resource).map_or(&[][..], |k| k.list) {
            all.anything("Look", permission);
        }
        if phase != Phase::Plan && source.steps.iter().any(|s| s.target.as_deref() == Some(name)) {
            all.hold(name, spec);
        }
    }
    for step in &source.steps {
        all.step(step, phase);
    }
    all.probes(phase);
    if phase == Phase::Run {
        all.kill_switch();
    }
    all.out
}

/// Grants as they are collected.
struct Grants<'a, 's> {
    source: &'s Source<'a>,
    out: Vec<Grant>,
}

impl Grants<'_, '_> {
    /// An action on resources of one type, by name.
    fn put(&mut self, sid: &str, action: &str, kind: Type, names: &[String], mut condition: Condition) {
        let mut resources = BTreeSet::new();
        // a drill that is global alone still has ARNs
        let mut regions = self.source.regions();
        if regions.is_empty() {
            regions.insert("us-east-1");
        }
        for region in regions {
            for account in self.source.accounts() {
                resources.extend(names.iter().map(|name| kind.arn(region, account, name)));
            }
        }
        if kind.hides_account() {
            let accounts = self.source.accounts().into_iter().collect();
            condition.entry("StringEquals").or_default().insert("aws:ResourceAccount".to_owned(), accounts);
        }
        let (action, sid) = (action.to_owned(), sid.to_owned());
        self.out.push(Grant { action, sid, kind: Some(kind), resources, condition });
    }

    /// A permission on whatever there is of its types.
    fn anything(&mut self, sid: &str, permission: &str) {
        match iam::level(permission) {
            Some(Level::On(types)) => {
                for kind in types {
                    self.put(sid, permission, *kind, &[whom::any(*kind)], Condition::new());
                }
            }
            other => self.unlimited(permission, other),
        }
    }

    /// A permission that knows no resources.
    fn unlimited(&mut self, permission: &str, level: Option<Level>) {
        let mut condition = Condition::new();
        let sid = match level {
            Some(Level::Free | Level::On(_)) => return,
            Some(Level::Global) => "LookGlobally",
            // what is not in the table is allowed all the same: a test keeps that from happening
            Some(Level::Region) | None => {
                let regions: Values = self.source.regions().into_iter().collect();
                if !regions.0.is_empty() {
                    condition.insert(
                        "StringEquals",
                        BTreeMap::from([("aws:RequestedRegion".to_owned(), regions)]),
                    );
                }
                "LookInTheRegion"
            }
        };
        self.out.push(Grant {
            action: permission.to_owned(),
            sid: sid.to_owned(),
            kind: None,
            resources: BTreeSet::from(["*".to_owned()]),
            condition,
        });
    }

    /// What sets and removes `redrill:held` on the targets of a selector.
    fn hold(&mut self, selector: &str, spec: &TargetSpec) {
        let Some(of) = kinds::spec(spec.resource) else { return };
        let kind = of.iam;
        for permission in of.tag.iter().filter(|p| !of.list.contains(p)) {
            let (names, mut condition) = self.targets(selector, kind);
            if of.tagging != Tagging::Whole {
                only_keys(&mut condition, &[TAG_HELD]);
            }
            self.put("HoldTargets", permission, kind, &names, condition);
        }
    }

    /// The targets of a selector: by name, where a plan or the selector gives one, else by their tags.
    fn targets(&self, selector: &str, kind: Type) -> (Vec<String>, Condition) {
        if let Some(drawn) = self.source.drawn(selector).filter(|d| !d.is_empty()) {
            let names = drawn.iter().map(|t| whom::within(kind, &whom::literal(&t.id))).collect();
            return (names, Condition::new());
        }
        let Some(spec) = self.source.drill.targets.get(selector) else {
            return (vec![whom::any(kind)], Condition::new());
        };
        let mut condition = Condition::new();
        if kind.has_tags() {
            let limits = &self.source.drill.limits;
            let extra = limits.require_tags.iter().filter(|(key, _)| !spec.tags.contains_key(*key));
            for (key, values) in spec.tags.iter().chain(extra) {
                let pattern = values.values().iter().any(|v| crate::model::pattern::is_pattern(v));
                let operator = if pattern { "StringLike" } else { "StringEquals" };
                let values =
                    values.values().iter().map(|v| if pattern { whom::pattern(v) } else { whom::plain(v) });
                tag(&mut condition, operator, key, values.collect());
            }
            for (key, values) in &limits.forbid_tags {
                let values = values.values().iter().map(|v| whom::pattern(v)).collect();
                tag(&mut condition, "StringNotLike", key, values);
            }
        }
        (whom::named(spec, kind), condition)
    }

    /// One step.
    fn step(&mut self, step: &PlannedStep, phase: Phase) {
        let Some(action) = step.action.as_deref().and_then(|a| Known::shipped().action(a)) else { return };
        let p = &action.spec().permissions;
        // a rollback also mends what cannot be undone
        let mends = phase == Phase::Undo && self.mends(step, action.spec().mends);
        let apply: &[&str] = if phase == Phase::Run || mends { p.apply } else { &[] };
        let prepare: &[&str] = if phase == Phase::Undo && !mends { &[] } else { p.prepare };
        let after: [&[&str]; 2] = if phase == Phase::Plan { [&[], &[]] } else { [p.poll, p.undo] };
        let looked = action.spec().kind.and_then(kinds::spec).map_or(&[][..], |k| k.list);
        let phases = [
            (whom::When::Before, prepare),
            (whom::When::Apply, apply),
            (whom::When::After, after[0]),
            (whom::When::After, after[1]),
        ];
        for (when, permissions) in phases {
            for permission in permissions.iter().filter(|p| !looked.contains(p)) {
                match iam::level(permission) {
                    Some(Level::On(types)) => {
                        for kind in types {
                            for whom in
                                whom::of(action.spec().name, action.spec().kind, permission, *kind, when)
                            {
                                self.on(step, permission, *kind, whom);
                            }
                        }
                    }
                    other => self.unlimited(permission, other),
                }
            }
        }
    }

    /// A copy that a run left behind is removed with a final snapshot. AWS decides that on both, and tagging on the
    /// snapshot, since a copy has its source's `CopyTagsToSnapshot`.
    fn sweep(&mut self, step: &PlannedStep) {
        if !step.action.as_deref().is_some_and(|action| whom::makes(action, Type::Db)) {
            return;
        }
        let sid = "KeepAFinalSnapshot";
        let copies = made(step, Type::Db);
        let snapshots: Vec<String> = copies.iter().map(|copy| final_snapshot(copy)).collect();
        let mut condition = Condition::new();
        tag(&mut condition, "StringLike", TAG_RUN, self.of_a_run());
        self.put(sid, "rds:CreateDBSnapshot", Type::Db, &copies, condition);
        for permission in ["rds:AddTagsToResource", "rds:CreateDBSnapshot"] {
            self.put(sid, permission, Type::Snapshot, &snapshots, Condition::new());
        }
    }

    /// Whether a recovery mends an irreversible fault of the drill on the same targets.
    fn mends(&self, step: &PlannedStep, mends: &[&str]) -> bool {
        self.source.steps.iter().any(|fault| {
            fault.stage == Stage::Fault
                && fault.reversibility == Reversibility::Irreversible
                && fault.target == step.target
                && fault.action.as_deref().is_some_and(|f| mends.contains(&f))
        })
    }

    /// A permission of a step on one type of resource.
    fn on(&mut self, step: &PlannedStep, permission: &str, kind: Type, whom: Whom) {
        let selector = step.target.as_deref().unwrap_or_default();
        let mut condition = Condition::new();
        match whom {
            Whom::Targets => {
                let (names, condition) = self.targets(selector, kind);
                let names = if kind == Type::Object { whom::objects(&names, &step.params) } else { names };
                self.put("OnTargets", permission, kind, &names, condition);
            }
            Whom::Made => {
                tag(&mut condition, "StringLike", TAG_RUN, self.of_a_run());
                match permission {
                    "ec2:CreateTags" if kind == Type::Volume => {}
                    "ec2:CreateTags" | "rds:AddTagsToResource" => only_keys(&mut condition, &[TAG_KEPT]),
                    "ec2:DeleteTags" | "rds:RemoveTagsFromResource" => {
                        only_keys(&mut condition, &[TAG_RUN, TAG_STEP, TAG_HELD]);
                    }
                    _ => {}
                }
                self.put("OnTheRuns", permission, kind, &made(step, kind), condition);
            }
            Whom::Kept => {
                tag(&mut condition, "StringLike", TAG_KEPT, self.of_a_run());
                self.put("OnTheRuns", permission, kind, &[whom::any(kind)], condition);
            }
            Whom::New(call) => {
                if let Some(call) = call {
                    equals(&mut condition, "ec2:CreateAction", call);
                }
                let run = BTreeMap::from([(format!("aws:RequestTag/{TAG_RUN}"), self.of_a_run())]);
                condition.insert("StringLike", run);
                self.put("MakeItsOwn", permission, kind, &made(step, kind), condition);
            }
            Whom::Around(attribute) => {
                let names = self.around(step, kind, attribute);
                self.put("UseWhatIsThere", permission, kind, &names, condition);
            }
            Whom::For(service) => {
                let regions = self.source.regions();
                // a drill that is global alone passes roles to services of the whole partition
                let regions = if regions.is_empty() { BTreeSet::from([""]) } else { regions };
                let names = |r: &&str| service.iter().flat_map(|s| iam::principals(s, r)).collect::<Vec<_>>();
                let services = regions.iter().flat_map(names).collect();
                condition
                    .insert("StringEquals", BTreeMap::from([("iam:PassedToService".to_owned(), services)]));
                let names = self.roles(step);
                if !names.is_empty() {
                    self.put("PassRoles", permission, kind, &names, condition);
                }
            }
            Whom::Keys(service) => {
                condition.insert(
                    "Bool",
                    BTreeMap::from([("kms:GrantIsForAWSResource".to_owned(), Values::one("true"))]),
                );
                if permission != "kms:CreateGrant" {
                    condition.clear();
                }
                // which of the two a partition with a domain of its own has is documented nowhere
                let names = |r: &&str| {
                    [format!("{service}.{r}.amazonaws.com"), format!("{service}.{r}.{}", iam::domain(r))]
                };
                let via = self.source.regions().iter().flat_map(names).collect();
                condition.insert("StringEquals", BTreeMap::from([("kms:ViaService".to_owned(), via)]));
                self.put("UseKeys", permission, kind, &[whom::any(kind)], condition);
            }
            Whom::Named(name) => self.put("UseWhatIsThere", permission, kind, &[name.to_owned()], condition),
        }
    }

    /// The ids of this drill's runs, as the tag has them.
    fn of_a_run(&self) -> Values {
        Values::one(format!("????????T??????Z-{}-??????", whom::literal(&self.source.drill.name)))
    }

    /// What is around the targets: by name, where a plan knows it and no parameter may say otherwise.
    fn around(&self, step: &PlannedStep, kind: Type, attribute: Option<&str>) -> Vec<String> {
        let drawn = step.target.as_deref().and_then(|t| self.source.drawn(t)).unwrap_or_default();
        let known: Option<BTreeSet<&String>> =
            attribute.and_then(|a| drawn.iter().map(|t| t.attrs.get(a)).collect());
        match known {
            Some(names) if !names.is_empty() && step.params.get("table").is_none() => {
                names.into_iter().map(|n| whom::literal(n)).collect()
            }
            _ => vec![whom::any(kind)],
        }
    }

    /// The roles that a step passes: those of a plan's targets, or those that the limits name, or any.
    fn roles(&self, step: &PlannedStep) -> Vec<String> {
        let Some(plan) = self.source.plan else {
            let (drill, house) = (&self.source.drill.limits.roles, &self.source.house.limits.roles);
            let roles = if drill.is_empty() { house } else { drill };
            return if roles.is_empty() {
                vec![whom::any(Type::Role)]
            } else {
                roles.iter().map(|r| whom::literal(r)).collect()
            };
        };
        // another version may not have looked for them
        if plan.redrill != env!("CARGO_PKG_VERSION") {
            return vec![whom::any(Type::Role)];
        }
        let passed = plan.targets_of(step).iter().filter_map(|t| plan.roles.get(&t.id)).flatten();
        let names: BTreeSet<String> = passed
            .map(|role| match role.as_str() {
                roles::UNKNOWN => whom::any(Type::Role),
                arn => whom::literal(roles::name(arn)),
            })
            .collect();
        names.into_iter().collect()
    }

    /// What the probes of the phase read.
    fn probes(&mut self, phase: Phase) {
        let drill = self.source.drill;
        let gates = drill.limits.gates.iter().chain(&self.source.house.limits.gates);
        // planning asks no gate, and undo needs none
        let gates = gates.filter(|_| phase == Phase::Run).map(|g| (&g.probe, &g.with));
        let during = drill.steady_state.iter().chain(&drill.verify).map(|p| (&p.probe, &p.with));
        let during = during.chain(drill.stop.iter().map(|s| (&s.probe, &s.with)));
        let all: Vec<_> = gates.chain(during.filter(|_| phase != Phase::Plan)).collect();
        for (name, with) in all {
            let Some(probe) = Known::shipped().probe(name) else { continue };
            for permission in probe.spec().permissions {
                let said =
                    |key: &str| with.get(key).and_then(Value::as_str).map_or("*".to_owned(), whom::value);
                let (kind, name) = match *permission {
                    "s3:GetObject" => (Type::Object, format!("{}/{}", said("bucket"), said("key"))),
                    "s3:ListBucket" => (Type::Bucket, said("bucket")),
                    "secretsmanager:GetSecretValue" => match with.get("secret").and_then(Value::as_str) {
                        None => continue,
                        // AWS puts six characters behind the name
                        Some(_) => (Type::Secret, whom::secret(&said("secret"))),
                    },
                    other => {
                        self.anything("Look", other);
                        continue;
                    }
                };
                self.put("Probe", permission, kind, &[name], Condition::new());
            }
        }
    }

    /// What reading the kill switch takes.
    fn kill_switch(&mut self) {
        let switch = &self.source.house.kill_switch;
        if let Some((bucket, _)) = switch.object() {
            let name = whom::literal(bucket);
            self.put("ReadTheKillSwitch", "s3:ListBucketVersions", Type::Bucket, &[name], Condition::new());
        }
        if let Some(name) = &switch.ssm {
            let name = whom::literal(name.trim_start_matches('/'));
            self.put("ReadTheKillSwitch", "ssm:GetParameter", Type::Parameter, &[name], Condition::new());
        }
    }
}

/// What a step makes: by the name that it gives, where it gives one.
fn made(step: &PlannedStep, kind: Type) -> Vec<String> {
    match (kind, step.params.get("identifier").and_then(Value::as_str)) {
        (Type::Db, Some(given)) => vec![whom::value(&given.to_ascii_lowercase())],
        (Type::Db, None) => vec!["*-redrill-????????".to_owned()],
        _ => vec![whom::any(kind)],
    }
}

fn tag(condition: &mut Condition, operator: &'static str, key: &str, values: Values) {
    condition.entry(operator).or_default().insert(format!("aws:ResourceTag/{key}"), values);
}

fn equals(condition: &mut Condition, key: &str, value: &str) {
    condition.entry("StringEquals").or_default().insert(key.to_owned(), Values::one(value));
}

/// No tag but these is set or removed.
fn only_keys(condition: &mut Condition, keys: &[&str]) {
    let keys = BTreeMap::from([("aws:TagKeys".to_owned(), keys.iter().copied().collect())]);
    condition.insert("ForAllValues:StringEquals", keys);
}

#[cfg(test)]
mod tests;
