//! The `redrill:held` tag: set on every taggable target before the first change, removed at the end.
//!
//! It finds what a run changed without any journal, and it is a best-effort lock across machines: a
//! foreign one is a refusal (drift, before this). The value is the run's id and a short undo hint.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::driver::Shared;
use super::gate::StepGate;
use super::state::RunState;
use super::task::login_first;
use crate::catalog::Reversibility;
use crate::catalog::kind::{Kind, Tagging};
use crate::catalog::kinds;
use crate::catalog::{self, Gate as _};
use crate::cloud::{CloudError, ErrorKind, Mutation, agreed};
use crate::journal::writer::JournalError;
use crate::journal::{Event, Phase};
use crate::model::target::TAG_HELD;
use crate::model::{ResourceKind, Stage, Tags, Target};
use crate::plan::{self, Plan, PlannedStep};

/// Ids per tagging call: EC2 takes up to 1,000.
const IDS_PER_CALL: usize = 500;
/// Longest tag value that every service takes.
const LONGEST_VALUE: usize = 256;

/// Every target of every step, once.
pub(super) fn targets(shared: &Shared) -> Vec<Target> {
    let mut all: BTreeMap<(ResourceKind, String), Target> = BTreeMap::new();
    for step in &shared.plan.steps {
        for t in shared.plan.targets_of(step).iter().chain(beside(&shared.plan, step)) {
            all.insert((t.kind, t.id.clone()), t.clone());
        }
    }
    all.into_values().collect()
}

/// What a step changes beside its targets.
fn beside<'p>(plan: &'p Plan, step: &PlannedStep) -> impl Iterator<Item = &'p Target> {
    let action = step.action.as_deref().and_then(catalog::action);
    let kind = action.and_then(|a| a.spec().kind);
    let ids = plan.beside(step);
    let drawn = plan.targets.values().flat_map(|t| &t.drawn);
    drawn.filter(move |t| Some(t.kind) == kind && ids.contains(&t.id))
}

/// How a person without the journal puts this target back, in few words.
fn hint(shared: &Shared, target: &Target) -> String {
    let mut value = shared.run.to_string();
    let on = |stage| {
        let on_it = |s: &&PlannedStep| shared.plan.targets_of(s).iter().any(|t| t.id == target.id);
        shared.plan.steps.iter().filter(move |s| s.stage == stage).find(on_it)
    };
    let kind = kinds::spec(target.kind);
    // of what a recovery changes, only what it replaces is put back at the end
    let has_place = kind.is_some_and(|k| !k.before.is_empty());
    let put_back = |s: &&PlannedStep| has_place && s.reversibility == Reversibility::Reversible;
    let step = on(Stage::Fault).or_else(|| on(Stage::Recovery).filter(put_back));
    if let Some(action) = step.and_then(|s| s.action.as_deref()) {
        value.push_str(" undo: ");
        value.push_str(action);
        for was in kind.into_iter().flat_map(|k| k.before).filter_map(|key| target.attrs.get(*key)) {
            value.push_str(" was ");
            value.push_str(was);
        }
    }
    value.chars().take(LONGEST_VALUE).collect()
}

/// Tags every target.
///
/// # Errors
/// The journal could not be written. A refused tagging call is returned inside.
pub async fn hold(shared: &Arc<Shared>) -> Result<Result<(), CloudError>, JournalError> {
    let targets = targets(shared);
    let ids: Vec<String> = targets.iter().map(|t| t.id.clone()).collect();
    shared.recorder.durable(vec![Event::Holding { targets: ids.clone() }]).await?;
    let gate = shared.gate(None, Phase::Hold, None);
    let mut by_value: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for t in &targets {
        if shared.is_stopping() {
            // what is tagged already is let go of at the end
            return Ok(Ok(()));
        }
        let value = hint(shared, t);
        if is_tagged_together(t) {
            by_value.entry(value).or_default().push(t.id.clone());
        } else if let Err(e) = while_busy(|| tag_one(shared, &gate, t, Some(value.clone()))).await {
            return Ok(Err(e));
        }
    }
    for (value, ids) in by_value {
        for ids in ids.chunks(IDS_PER_CALL) {
            if shared.is_stopping() {
                return Ok(Ok(()));
            }
            let tags = Tags::from([(TAG_HELD.to_owned(), value.clone())]);
            if let Err(e) = gate.send(Mutation::CreateTags { ids: ids.to_vec(), tags }).await {
                return Ok(Err(e));
            }
        }
    }
    shared.recorder.durable(vec![Event::Held { targets: ids }]).await?;
    Ok(Ok(()))
}

/// Removes the tag from every target that is still there, but for those that a stuck step has not put back: without
/// the journal the tag is all that tells of them, and of what they were.
///
/// # Errors
/// The journal could not be written.
pub async fn release(shared: &Arc<Shared>) -> Result<(), JournalError> {
    let gate = shared.gate(None, Phase::Release, None);
    let mut failures = Vec::new();
    let stuck = shared.recorder.with(|state, _| state.stuck_targets());
    let mut left = stuck.clone();
    let mut login = false;
    let (mut ec2, mut missing) = (Vec::new(), BTreeMap::new());
    for t in own(shared, &stuck).await? {
        if is_tagged_together(&t) {
            ec2.push(t.id);
        } else if let Err(e) = patiently(|| tag_one(shared, &gate, &t, None)).await {
            login |= e.kind.wants_login();
            failures.push(format!("{}: {e}", t.id));
            left.insert(t.id.clone());
        }
    }
    for ids in ec2.chunks(IDS_PER_CALL) {
        let keys = vec![TAG_HELD.to_owned()];
        let all = Mutation::DeleteTags { ids: ids.to_vec(), keys: keys.clone() };
        let Err(first) = patiently(|| send(&gate, all.clone())).await else { continue };
        if first.kind.wants_login() {
            login = true;
            failures.push(first.to_string());
            left.extend(ids.iter().cloned());
            continue;
        }
        // one id that is gone fails the whole call: take them one by one
        for id in ids {
            let one = Mutation::DeleteTags { ids: vec![id.clone()], keys: keys.clone() };
            match patiently(|| send(&gate, one.clone())).await {
                Ok(()) => {}
                // of what is not there any more, a policy that asks for a tag denies before anybody looks
                Err(e) if e.is_not_found() || e.kind == ErrorKind::Denied => {
                    missing.insert(id.clone(), e);
                }
                Err(e) => {
                    failures.push(format!("{id}: {e}"));
                    left.insert(id.clone());
                }
            }
        }
    }
    for (id, e) in still_tagged(shared, &gate, missing).await {
        failures.push(format!("{id}: {e}"));
        left.insert(id);
    }
    let mut events = Vec::new();
    if !failures.is_empty() {
        events.push(Event::Stuck {
            step: None,
            target: None,
            error: format!("the tag {TAG_HELD} could not be removed: {}", failures.join("; ")),
            hint: if login {
                login_first(shared)
            } else {
                format!("remove it by hand, or try again with: {}", shared.finish())
            },
        });
    }
    // what still carries the tag stays on record, so that a rollback tries again
    let released = |s: &RunState, _| s.holding.iter().filter(|id| !left.contains(*id)).cloned().collect();
    events.push(Event::Released { targets: shared.recorder.with(released) });
    shared.recorder.durable(events).await
}

/// Of what DeleteTags did not find, or was denied, what carries the tag all the same, with why. That something does not exist is for
/// all looks of the settling time to say; what is listed is asked about once more.
async fn still_tagged(
    shared: &Shared,
    gate: &StepGate,
    mut missing: BTreeMap<String, CloudError>,
) -> BTreeMap<String, CloudError> {
    if missing.is_empty() {
        return missing;
    }
    let planned: Vec<Target> = targets(shared).into_iter().filter(|t| missing.contains_key(&t.id)).collect();
    let there = agreed::agreed(
        shared.plan.drill.settle.0,
        |all: &Vec<Target>| all.len() == planned.len(),
        async || {
            let now = plan::read_again(&shared.plan, &shared.cloud.reads, &planned).await?;
            let standing = |t: &Target| t.attrs.get("state").is_none_or(|s| s != "terminated");
            Ok::<_, CloudError>(now.into_iter().flatten().filter(standing).collect::<Vec<_>>())
        },
    )
    .await;
    // what cannot be looked for may be there
    let Ok(there) = there else { return missing };
    missing.retain(|id, _| there.iter().any(|t| t.id == *id && t.tags.contains_key(TAG_HELD)));
    for id in missing.keys().cloned().collect::<Vec<_>>() {
        let one = Mutation::DeleteTags { ids: vec![id.clone()], keys: vec![TAG_HELD.to_owned()] };
        match patiently(|| send(gate, one.clone())).await {
            Ok(()) => _ = missing.remove(&id),
            Err(e) => _ = missing.insert(id, e),
        }
    }
    missing
}

/// The targets without those that another run holds by now: its tag is not ours to remove. Where it
/// cannot be read whose the tags of a kind are, they count as ours, since that is what the journal says.
async fn own(shared: &Shared, stuck: &BTreeSet<String>) -> Result<Vec<Target>, JournalError> {
    let (mut all, mut now, mut own) = (Vec::new(), Vec::new(), Vec::new());
    for kind in kinds::all() {
        let of_it = |t: &Target| t.kind == kind && !stuck.contains(&t.id);
        let planned: Vec<Target> = targets(shared).into_iter().filter(of_it).collect();
        if planned.is_empty() {
            continue;
        }
        match plan::read_again(&shared.plan, &shared.cloud.reads, &planned).await {
            Ok(read) => {
                now.extend(read);
                all.extend(planned);
            }
            Err(_) => own.extend(planned.into_iter().map(|t| (t, None))),
        }
    }
    let all_arns: BTreeMap<String, Option<String>> =
        all.iter().map(|t| (t.id.clone(), t.arn.clone())).collect();
    let foreign = |t: &Option<Target>| holder(t.as_ref()).is_some_and(|run| run != shared.run.as_str());
    let (moved, known): (Vec<_>, Vec<_>) = all
        .into_iter()
        .zip(now)
        .filter(|(_, now)| !foreign(now))
        .partition(|(t, now)| is_renamed(t) && now.as_ref().is_none_or(|now| !plan::is_the_same(t, now)));
    own.extend(known);
    if !moved.is_empty() {
        let found = renamed(shared, moved).await;
        let planned = |t: &Target| all_arns.get(&t.id) == Some(&t.arn);
        let told = found
            .iter()
            .filter(|(t, _)| !planned(t))
            .filter_map(|(t, _)| Some(Event::Renamed { target: t.id.clone(), arn: t.arn.clone()? }));
        // whoever reads the calls must know whose the other name is
        shared.recorder.durable(told.collect()).await?;
        own.extend(found);
    }
    // their tags go with them, and a policy that asks for a tag denies what has none any more
    Ok(own.into_iter().filter(|(t, now)| !is_ending(t, now.as_ref())).map(|(t, _)| t).collect())
}

/// Whether an instance is ended, or on its way there: what is listed in another state is none.
fn is_ending(planned: &Target, now: Option<&Target>) -> bool {
    let kind = kinds::spec(planned.kind).filter(|k| k.lingers);
    now.is_some_and(|now| kind.is_some_and(|k| k.end_of(now).is_some()))
}

/// Databases by the ARN that they have now: a cut-over renames them. What another one has taken the name of, and is
/// found nowhere, is gone: the tags of the other are not the run's to change.
async fn renamed(shared: &Shared, planned: Vec<(Target, Option<Target>)>) -> Vec<(Target, Option<Target>)> {
    let mut all = Vec::new();
    let kinds: BTreeSet<ResourceKind> = planned.iter().map(|(t, _)| t.kind).collect();
    for kind in kinds {
        match plan::held_of(&shared.plan, &shared.cloud.reads, kind).await {
            Ok(held) => all.extend(held),
            Err(_) => return planned,
        }
    }
    let held: Vec<&Target> = all.iter().filter(|t| holder(Some(t)) == Some(shared.run.as_str())).collect();
    let now = |(p, named): (Target, Option<Target>)| match held.iter().find(|t| plan::is_the_same(&p, t)) {
        Some(t) => Some((Target { arn: t.arn.clone(), ..p }, named)),
        None => named.is_none().then_some((p, None)),
    };
    planned.into_iter().filter_map(now).collect()
}

/// The run that a target's tag names.
pub(super) fn holder(target: Option<&Target>) -> Option<&str> {
    target?.tags.get(TAG_HELD)?.split(' ').next()
}

/// A target that carries this run's tag, where there is one and it can be read. That there is none is what all looks
/// of the settling time have to say.
pub async fn carries_own_tag(shared: &Shared) -> Option<String> {
    // an ended instance keeps the tag of a run that has let go of it
    tagged(shared, |t| !is_ending(t, Some(t))).await.ok().flatten()
}

/// Whether any target carries this run's tag, also one that the run has ended.
///
/// # Errors
/// The tags cannot be read.
pub async fn held_here(shared: &Shared) -> Result<bool, CloudError> {
    Ok(tagged(shared, |_| true).await?.is_some())
}

async fn tagged(shared: &Shared, counts: impl Fn(&Target) -> bool) -> Result<Option<String>, CloudError> {
    let all = targets(shared);
    agreed::present(shared.plan.drill.settle.0, async || {
        let now = plan::read_again(&shared.plan, &shared.cloud.reads, &all).await?;
        let own = |t: &Target| holder(Some(t)) == Some(shared.run.as_str()) && counts(t);
        Ok(now.into_iter().flatten().find(own).map(|t| t.id))
    })
    .await
}

async fn send(gate: &StepGate, mutation: Mutation) -> Result<(), CloudError> {
    gate.send(mutation).await.map(|_| ())
}

/// Tries three times: tags can be set and removed any number of times.
async fn patiently<F>(work: impl FnMut() -> F) -> Result<(), CloudError>
where
    F: Future<Output = Result<(), CloudError>>,
{
    let useless = [ErrorKind::NotFound, ErrorKind::Denied, ErrorKind::Journal];
    again(2, Duration::from_secs(1), |e| !useless.contains(&e.kind), work).await
}

/// Tries again, up to four times, where somebody else is changing the same: a bucket then answers `OperationAborted`, and
/// its tags have to be read anew.
async fn while_busy<F>(work: impl FnMut() -> F) -> Result<(), CloudError>
where
    F: Future<Output = Result<(), CloudError>>,
{
    again(4, Duration::from_millis(500), |e| e.kind == ErrorKind::State, work).await
}

/// Tries again so many times, after pauses that double, what fails in a way that may pass.
async fn again<F>(
    times: u32,
    mut pause: Duration,
    may_pass: impl Fn(&CloudError) -> bool,
    mut work: impl FnMut() -> F,
) -> Result<(), CloudError>
where
    F: Future<Output = Result<(), CloudError>>,
{
    for _ in 0..times {
        match work().await {
            Err(e) if may_pass(&e) => tokio::time::sleep(pause).await,
            done => return done,
        }
        pause *= 2;
    }
    work().await
}

/// Whether its service tags many in one call.
fn is_tagged_together(t: &Target) -> bool {
    kinds::spec(t.kind).is_some_and(|k| k.tagging == Tagging::Together)
}

/// Whether it may have another name by now, and another one its own.
fn is_renamed(t: &Target) -> bool {
    kinds::spec(t.kind).is_some_and(|k| k.is_renamed)
}

/// The tags of what takes them as a whole: a tag that is known to be there, this run's own among
/// them where it is `held`, is missing only where all looks agree. `None`: it is not there any more.
async fn whole_tags(
    shared: &Shared,
    kind: &dyn Kind,
    t: &Target,
    held: bool,
) -> Result<Option<Tags>, CloudError> {
    let known = |now: &Option<Tags>| {
        let mut keys = t.tags.keys().map(String::as_str).chain(held.then_some(TAG_HELD));
        now.as_ref().is_some_and(|now| keys.all(|key| now.contains_key(key)))
    };
    let look = async || match kind.tags(&shared.cloud.reads, t).await {
        Err(e) if held && e.is_not_found() => Ok(None),
        answer => answer.map(Some),
    };
    agreed::agreed(shared.plan.drill.settle.0, known, look).await
}

/// Sets (`Some`) or removes the tag on a resource whose service tags one at a time.
async fn tag_one(
    shared: &Shared,
    gate: &StepGate,
    t: &Target,
    value: Option<String>,
) -> Result<(), CloudError> {
    let Some(kind) = kinds::kind(t.kind) else { return Ok(()) };
    let mutation = match (&value, kind.untag(t, vec![TAG_HELD.to_owned()])) {
        (None, Some(untag)) => untag,
        (Some(v), Some(_)) => kind.tag(t, Tags::from([(TAG_HELD.to_owned(), v.clone())])),
        // they are written as a whole: read, one changed, written back
        (_, None) => {
            let Some(before) = whole_tags(shared, kind, t, value.is_none()).await? else { return Ok(()) };
            let mut all = before.clone();
            match &value {
                Some(v) => _ = all.insert(TAG_HELD.to_owned(), v.clone()),
                None => _ = all.remove(TAG_HELD),
            }
            if all == before {
                return Ok(());
            }
            kind.tag(t, all)
        }
    };
    match send(gate, mutation).await {
        Err(e) if value.is_none() && e.is_not_found() => Ok(()),
        done => done,
    }
}
