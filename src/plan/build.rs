//! Drill and world to [`Plan`]: resolves, draws, inspects, and notes everything that was found. Reads the account
//! only: no probe, gate, program or secret of the drill is asked here.
//!
//! What refuses a run is a finding and no error, so that one look at a plan shows all of it. An error
//! means that the world could not be read.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::limits::Rule;
use super::{Affected, FORMAT, House, Plan, PlannedStep, PlannedTargets, drift, limits, lint, roles};
use crate::catalog::action::{After, Finding, ReadCx, Reversibility, Severity};
use crate::catalog::kinds;
use crate::cloud::{CloudError, Identity, Reads, agreed};
use crate::drill::selector;
use crate::drill::{Drill, Known, Loaded, Select, Step, TargetSpec};
use crate::inventory::{self, Inhabitants, Reread};
use crate::model::exercise::Exercise;
use crate::model::target::TAG_HELD;
use crate::model::{Clock, Dur, EndpointProof, OneOrMany, ResourceKind, RunId, Stage, StepId, Target, World};

/// Where and how to plan.
#[derive(Clone)]
pub struct BuildOptions {
    /// Which world is behind the reads.
    pub world: World,
    /// The region of the run.
    pub region: String,
    /// The endpoint, where one is overridden.
    pub endpoint: Option<String>,
    /// By service, the endpoint of its own, where they are not all the same.
    pub endpoints: BTreeMap<String, String>,
    /// How AWS is reached; nothing off AWS.
    pub endpoint_proof: Option<EndpointProof>,
    /// The seed that targets are drawn with; made of the time and the drill if left out.
    pub seed: Option<u32>,
    /// The redrill version that plans.
    pub version: String,
    /// The actions and probes that there are.
    pub known: Known,
    /// The rules of `redrill.toml`.
    pub house: House,
    /// What flags say about people and authority, beside the drill.
    pub typed: Exercise,
}

impl BuildOptions {
    /// For a world and a region, everything else as usual.
    pub fn new(world: World, region: impl Into<String>) -> Self {
        Self {
            world,
            region: region.into(),
            endpoint: None,
            endpoints: BTreeMap::new(),
            endpoint_proof: None,
            seed: None,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            known: Known::shipped(),
            house: House::default(),
            typed: Exercise::default(),
        }
    }
}

/// Why no plan could be made.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The world could not be read.
    #[error("the world could not be read")]
    Cloud(#[from] CloudError),
}

/// Makes a plan.
///
/// # Errors
/// Where AWS cannot be read. Everything that merely refuses the run is a finding of the plan.
pub async fn build(
    loaded: &Loaded,
    reads: &Reads,
    clock: &dyn Clock,
    options: &BuildOptions,
) -> Result<Plan, PlanError> {
    let mut drill = loaded.drill.clone();
    drill.exercise.add(&options.typed);
    let drill = &drill;
    let identity = reads.sts.identity().await?;
    let now = clock.now();
    let seed = options.seed.unwrap_or_else(|| {
        let digest: [u8; 32] = Sha256::digest(format!("{}:{}", drill.name, now.timestamp_millis())).into();
        u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]])
    });
    let rules = Rule::all(&drill.limits, &options.house);
    let place = |r| limits::place(r, drill, &identity.account, &options.region);
    let mut findings: Vec<Finding> = rules.into_iter().flat_map(place).collect();
    let chosen = loaded.environment.as_deref();
    findings.extend(limits::environment(&drill.limits, chosen, &options.house, &identity.account));
    let mut targets = BTreeMap::new();
    for (name, spec) in &drill.targets {
        let found = inventory::resolve(reads, &options.region, spec).await?;
        if let Some(first) = found.unreadable.first() {
            let names: Vec<&str> = found.unreadable.iter().map(|u| u.name.as_str()).collect();
            let text = format!("{} cannot be read, so it was left out: {}", names.join(", "), first.why);
            findings.push(Finding::new(Severity::Warning, name, text));
        }
        let planned = draw(name, spec, found, seed, &options.region, &mut findings);
        targets.insert(name.clone(), planned);
    }
    let steps = steps(drill, &options.known);
    let longest = limits::longest(drill, &steps);
    for rule in rules {
        findings.extend(limits::targets(rule, &targets));
        findings.extend(limits::hours(rule, now, longest, Severity::Warning));
    }
    let drawn: BTreeSet<&Target> = targets.values().flat_map(|t| &t.drawn).collect();
    findings.extend(drawn.into_iter().flat_map(|t| limits::tagging(t, None)));
    findings.extend(limits::credentials(&identity, now, longest));
    let mut plan = Plan {
        format: FORMAT,
        redrill: options.version.clone(),
        created_at: now,
        world: options.world,
        account: identity.account.clone(),
        caller: identity.arn.clone(),
        region: options.region.clone(),
        endpoint: options.endpoint.clone(),
        endpoints: options.endpoints.clone(),
        endpoint_proof: options.endpoint_proof.clone(),
        seed,
        drill: drill.clone(),
        source: loaded.source.clone(),
        source_sha256: Sha256::digest(loaded.source.as_bytes()).iter().map(|b| format!("{b:02x}")).collect(),
        environment: loaded.environment.clone(),
        set: loaded.set.clone(),
        typed: options.typed.clone(),
        house: options.house.clone(),
        secret_params: drill.params.iter().filter(|(_, p)| p.secret).map(|(n, _)| n.clone()).collect(),
        targets,
        permissions: permissions(drill, &options.house, &steps, &options.known),
        affected: None,
        roles: BTreeMap::new(),
        steps,
        findings: Vec::new(),
    };
    plan.roles = roles::passed(&plan, reads).await;
    findings.extend(rules.into_iter().flat_map(|r| roles::limited(r, &plan.roles)));
    let subnets = plan.subnets_hit();
    if !subnets.is_empty() {
        let found = inhabitants(reads, &options.region, &subnets).await?;
        findings.extend(rules.into_iter().flat_map(|r| limits::affected(r, &found)));
        findings.extend(limits::inside(&found));
        plan.affected = Some(affected(&subnets, &found));
    }
    findings.extend(inspect(&plan, reads, clock, options, &identity).await?);
    findings.extend(lint::lint(&plan, &options.known));
    // refusals first; what two steps found alike is said once
    let mut seen = BTreeSet::new();
    findings.retain(|f| seen.insert((f.subject.clone(), f.text.clone())));
    findings.sort_by_key(|f| std::cmp::Reverse(f.severity));
    plan.findings = findings;
    Ok(plan)
}

/// What two looks say is in these subnets. How many there are beside them changes all the time in a large account, and
/// a number that is too low only makes a limit stricter.
async fn inhabitants(
    reads: &Reads,
    region: &str,
    subnets: &BTreeSet<&str>,
) -> Result<Inhabitants, CloudError> {
    if subnets.is_empty() {
        return Ok(Inhabitants::default());
    }
    let look = async || {
        let Inhabitants { population, instances, others } =
            inventory::inhabitants(reads, region, subnets).await?;
        Ok::<_, CloudError>((population, (instances, others)))
    };
    let (population, (instances, others)) =
        agreed::twice("ec2:DescribeNetworkInterfaces", |(_, inside)| inside, look).await?;
    Ok(Inhabitants { population, instances, others })
}

fn affected(subnets: &BTreeSet<&str>, found: &Inhabitants) -> Affected {
    let mut instances: BTreeMap<String, Vec<String>> =
        subnets.iter().map(|s| ((*s).to_owned(), Vec::new())).collect();
    for t in &found.instances {
        if let Some(subnet) = t.attrs.get("subnet") {
            instances.entry(subnet.clone()).or_default().push(t.id.clone());
        }
    }
    Affected { population: found.population, instances, others: found.others.clone() }
}

/// Reads targets again, as they are now; `None` for what is gone.
///
/// # Errors
/// Where AWS cannot be read.
pub async fn read_again(
    plan: &Plan,
    reads: &Reads,
    targets: &[Target],
) -> Result<Vec<Option<Target>>, CloudError> {
    Ok(inventory::reread_all(reads, &plan.region, targets).await?.targets)
}

/// What a run holds of a kind, whatever it is called now.
///
/// # Errors
/// Where AWS cannot be read.
pub async fn held_of(plan: &Plan, reads: &Reads, kind: ResourceKind) -> Result<Vec<Target>, CloudError> {
    let spec = TargetSpec {
        resource: kind,
        tags: [(TAG_HELD.to_owned(), OneOrMany::from("*"))].into(),
        attrs: BTreeMap::new(),
        select: Select::All,
        include_run_made: true,
    };
    Ok(inventory::resolve(reads, &plan.region, &spec).await?.matched)
}

/// Reads every target of a plan again, what its faults reach and how much exists, and says what changed;
/// see [`drift::compare`]. That something planned is gone is said only where all looks of the settling time agree:
/// an answer that leaves instances out would understate how many are affected. `account` is that of the credentials
/// now.
///
/// # Errors
/// Where AWS cannot be read.
pub async fn check_drift(
    plan: &Plan,
    reads: &Reads,
    world: World,
    account: &str,
    run: Option<&RunId>,
) -> Result<Vec<Finding>, CloudError> {
    let (settle, targets, subnets) = (plan.drill.settle.0, drift::targets(plan), plan.subnets_hit());
    let all_there = |now: &Reread| now.targets.iter().all(Option::is_some);
    let now =
        agreed::agreed(settle, all_there, || inventory::reread_all(reads, &plan.region, &targets)).await?;
    let none_missing = |now: &Inhabitants| {
        let planned = plan.affected.iter().flat_map(|a| a.instances.values().flatten());
        let mut others = plan.affected.iter().flat_map(|a| &a.others);
        planned.into_iter().all(|id| now.instances.iter().any(|t| t.id == *id))
            && others.all(|n| now.others.iter().any(|o| o.interface == n.interface))
    };
    // who came since is not among the planned, so each look is two that say the same
    let look = || inhabitants(reads, &plan.region, &subnets);
    let affected = agreed::agreed(settle, none_missing, look).await?;
    let mut out = drift::compare(plan, &now.targets, account, world, run);
    out.extend(drift::numbers(plan, &now.population));
    out.extend(drift::affected(plan, &affected));
    Ok(out)
}

fn draw(
    name: &str,
    spec: &crate::drill::TargetSpec,
    found: inventory::Resolution,
    seed: u32,
    region: &str,
    findings: &mut Vec<Finding>,
) -> PlannedTargets {
    let matched = found.matched.len();
    let mut candidates: Vec<String> = found.matched.iter().map(|t| t.id.clone()).collect();
    candidates.sort_unstable();
    let mut drawn = Vec::new();
    if matched == 0 {
        let text = match found.population {
            0 => format!("no target: there is no {} in {region}", spec.resource),
            n => format!("no target: none of the {n} {} in {region} matches", spec.resource),
        };
        let hint = match found.unreadable.first() {
            None => "check `tags` and `where` of the selector".to_owned(),
            // the selector may be right: what it means may be among those that cannot be seen
            Some(one) => format!("{} of them could not be read: {}", found.unreadable.len(), one.why),
        };
        findings.push(Finding::new(Severity::Refusal, name, text).hint(hint));
    } else {
        match selector::draw(spec.select, seed, found.matched) {
            Ok(d) => drawn = d,
            Err(few) => {
                let text = format!("too few targets: {few}");
                findings.push(Finding::new(Severity::Refusal, name, text));
            }
        }
    }
    if drawn.len() == matched {
        candidates.clear();
    }
    PlannedTargets { resource: spec.resource, population: found.population, matched, drawn, candidates }
}

/// Every step in order, groups numbered per stage.
pub(super) fn steps(drill: &Drill, known: &Known) -> Vec<PlannedStep> {
    let mut out = Vec::new();
    for (stage, items) in [(Stage::Fault, &drill.fault), (Stage::Recovery, &drill.recovery)] {
        for (group, item) in items.iter().enumerate() {
            let alone = std::slice::from_ref(item);
            let together = item.parallel.as_deref().unwrap_or(alone);
            out.extend(together.iter().map(|s| step(s, stage, group, drill, known)));
        }
    }
    out
}

fn step(step: &Step, stage: Stage, group: usize, drill: &Drill, known: &Known) -> PlannedStep {
    let name = step.action.as_deref().unwrap_or("manual");
    let id = StepId::new(step.id.as_deref().unwrap_or(name));
    let params = if step.with.is_null() { Value::Object(Map::new()) } else { step.with.clone() };
    let Some(action) = step.action.as_deref().and_then(|a| known.action(a)) else {
        return PlannedStep {
            id,
            stage,
            group,
            action: None,
            manual: step.manual.clone(),
            target: None,
            params,
            timeout: step.timeout.unwrap_or_else(|| drill.objectives.give_up()),
            undo_timeout: Dur::secs(0),
            reversibility: Reversibility::Momentary,
            after: After::None,
            undo_story: "A person does it; redrill undoes nothing.".to_owned(),
            permissions: Vec::new(),
        };
    };
    let spec = action.spec();
    let p = &spec.permissions;
    let permissions: BTreeSet<&str> =
        [p.prepare, p.apply, p.poll, p.undo].into_iter().flatten().copied().collect();
    PlannedStep {
        id,
        stage,
        group,
        action: step.action.clone(),
        manual: None,
        target: step.target.clone(),
        timeout: step.timeout.unwrap_or(spec.timeout),
        undo_timeout: spec.undo_timeout,
        reversibility: action.reversibility(&params),
        after: if stage == Stage::Recovery { step.after.unwrap_or(spec.after) } else { After::None },
        undo_story: spec.undo_story.to_owned(),
        permissions: permissions.into_iter().map(str::to_owned).collect(),
        params,
    }
}

/// Every IAM permission that running the drill takes, sorted.
pub fn permissions(drill: &Drill, house: &House, steps: &[PlannedStep], known: &Known) -> Vec<String> {
    let mut all: BTreeSet<String> = BTreeSet::from(["sts:GetCallerIdentity".to_owned()]);
    for spec in drill.targets.values() {
        let kind = kinds::spec(spec.resource);
        let both = kind.into_iter().flat_map(|k| k.list.iter().chain(k.tag));
        all.extend(both.map(|p| (*p).to_owned()));
    }
    all.extend(steps.iter().flat_map(|s| s.permissions.iter().cloned()));
    let probes = drill.steady_state.iter().chain(&drill.verify).map(|p| &p.probe);
    let gates = drill.limits.gates.iter().chain(&house.limits.gates);
    let probes = probes.chain(gates.map(|g| &g.probe));
    for probe in probes.chain(drill.stop.iter().map(|s| &s.probe)).filter_map(|p| known.probe(p)) {
        all.extend(probe.spec().permissions.iter().map(|p| (*p).to_owned()));
    }
    all.extend(house.kill_switch.permissions().into_iter().map(str::to_owned));
    all.into_iter().collect()
}

/// [`permissions`] of a drill that is not planned: what `iam` prints without any call.
pub fn permissions_of(drill: &Drill, known: &Known) -> Vec<String> {
    permissions(drill, &House::default(), &steps(drill, known), known)
}

async fn inspect(
    plan: &Plan,
    reads: &Reads,
    clock: &dyn Clock,
    options: &BuildOptions,
    identity: &Identity,
) -> Result<Vec<Finding>, CloudError> {
    let run = RunId::from_existing("plan");
    let cx = |step| ReadCx {
        reads,
        clock,
        region: &plan.region,
        account: &identity.account,
        run: &run,
        step,
        after: After::None,
        t0: None,
        settle: plan.drill.settle,
        give_up: plan.drill.objectives.give_up(),
        calls: &(),
        forbid_tags: [None; 2],
        planning: true,
        irreversible: plan.drill.allow_irreversible,
        no_impact: false,
        dry_run: None,
    };
    let mut out = Vec::new();
    for step in &plan.steps {
        let Some(action) = step.action.as_deref().and_then(|a| options.known.action(a)) else { continue };
        let targets: &[Target] = plan.targets_of(step);
        if action.spec().kind.is_some() && targets.is_empty() {
            continue; // refused already
        }
        out.extend(action.inspect(cx(&step.id), targets, &step.params).await?);
    }
    Ok(out)
}
