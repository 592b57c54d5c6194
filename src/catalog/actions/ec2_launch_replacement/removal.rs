//! The removal of a replacement: only what the launch made is terminated, and only what was seen to end, or whose
//! termination was accepted, is called terminated. What nothing else stands in for is kept. Looks and changes.

use super::super::claims;
use super::*;

/// Terminates the replacement, or keeps it where the original is gone: nobody is to have a server less by a drill.
pub(super) async fn remove(cx: WriteCx<'_>, undo: &Undo) -> Result<Undone, ActionError> {
    if is_alive(cx.read, &undo.original).await? {
        return terminate(cx, undo).await;
    }
    let original = &undo.original.instance.id;
    let cx = look::unanswered(cx, &["ec2:RunInstances"]);
    match look::present(cx.read, || standing(cx.read, undo)).await {
        // somebody has ended it
        Err(e) if e.hopeless => {
            deregister(cx).await?;
            return Ok(Undone::Already(format!("no replacement of {original} stands: {}", e.message)));
        }
        Err(e) => return Err(e),
        // what was launched and is merely not listed may run on
        Ok(None) if !look::is_long_ago(cx.read) && !launched(cx.read).is_empty() => {
            return Err(not_seen(&launched(cx.read), "kept"));
        }
        Ok(_) => {}
    }
    Ok(match keep(cx, undo).await? {
        Undone::PutBack(proof) | Undone::Already(proof) => Undone::Kept(format!(
            "{proof}, though the drill says `after: remove`: {original} is gone for good"
        )),
        other => other,
    })
}

/// Terminates what the launch made, and waits until it is gone: until it is seen to have ended, or its termination was
/// accepted and all looks agree that it is not listed any more. EC2 lists what has ended for about an hour, so what
/// stood here and is merely not listed, or not found by TerminateInstances, may run on: it is looked for until the
/// time is over, and nothing is sent for what is not seen.
async fn terminate(cx: WriteCx<'_>, undo: &Undo) -> Result<Undone, ActionError> {
    let cx = look::unanswered(cx, &["ec2:RunInstances"]);
    let mut moving = Patience::of(MOVING, Duration::from_secs(1), Duration::from_secs(5));
    // what was launched or stood here, and whether it is known to end
    let mut ours: BTreeMap<String, bool> = BTreeMap::new();
    if !look::is_long_ago(cx.read) {
        ours.extend(launched(cx.read).into_iter().map(|id| (id, false)));
    }
    let (mut stood, mut deregistered, mut taken) = (false, false, false);
    loop {
        // a launch that was sent just before a crash may not show yet, and what stood here must not merely be left out
        let complete =
            |all: &Vec<Instance>| !all.is_empty() && ours.keys().all(|id| all.iter().any(|i| i.id == *id));
        let all = look::agreed(cx.read, complete, || found_again(cx.read, undo, &ours)).await?;
        let mut to_end = Vec::new();
        for i in &all {
            if !look::is_ending(&i.state) && !carries(i, &undo.marks) {
                ours.remove(&i.id); // it was kept, or somebody took it over, and may serve
                taken = true;
            } else if !look::is_ending(&i.state) {
                unclaimed(cx.read, undo, i)?;
                ours.entry(i.id.clone()).or_insert(false);
                to_end.push(i.id.clone());
                stood = true;
            } else if let Some(ends) = ours.get_mut(&i.id) {
                *ends = true;
            }
        }
        if !deregistered && !taken {
            deregister(cx).await?;
            deregistered = true;
        }
        let is_over = |i: &Instance| i.state == "terminated" || !look::is_ending(&i.state);
        if to_end.is_empty() && ours.values().all(|ends| *ends) && all.iter().all(is_over) {
            let ids: Vec<&str> = ours.keys().map(String::as_str).collect();
            let left = strangers(cx.read, undo).await?.iter().map(|s| format!("; {s}")).collect::<String>();
            return Ok(if !stood {
                Undone::Already(format!("no replacement of {} stands{left}", undo.original.instance.id))
            } else {
                Undone::PutBack(format!("{} is terminated{left}", ids.join(", ")))
            });
        }
        for id in to_end {
            match cx.gate.send(Mutation::TerminateInstances { ids: vec![id.clone()] }).await {
                Ok(_) => _ = ours.insert(id, true),
                Err(e) if e.is_not_found() || e.effect != EffectCertainty::None => {} // what shows decides
                Err(e) => return Err(e.into()),
            }
        }
        if !moving.wait().await {
            return Err(not_seen(&ours.keys().cloned().collect::<Vec<_>>(), "terminated"));
        }
    }
}

/// What the step's launches were answered.
fn launched(cx: ReadCx<'_>) -> Vec<String> {
    look::on_record(cx, &["ec2:RunInstances"]).into_iter().filter_map(|sent| sent.made).collect()
}

fn not_seen(ids: &[String], to_be: &str) -> ActionError {
    let (ids, what) = (ids.join(" "), if to_be == "kept" { "keep" } else { "terminate" });
    ActionError::refused(format!("{ids}: not seen to be {to_be}"))
        .effect(EffectCertainty::Unknown)
        .hint(format!("`aws ec2 describe-instances --instance-ids {ids}` tells; {what} what still runs"))
}

/// Whether nobody has said that it is to stay.
///
/// # Errors
/// Who has, and what to do.
fn unclaimed(cx: ReadCx<'_>, undo: &Undo, i: &Instance) -> Result<(), ActionError> {
    let (id, Some(tag)) = (&i.id, claims::claimed(cx, &i.tags, &undo.tags)) else { return Ok(()) };
    let (run, step) = (target::TAG_RUN, target::TAG_STEP);
    Err(ActionError::hopeless(format!("somebody tagged {id} {tag}, so it is not terminated")).hint(format!(
        "if it is to stay, take it out of the run: `aws ec2 delete-tags --resources {id} --tags Key={run} Key={step}`; if \
         not, take the tag {tag} off; then roll back"
    )))
}

/// Takes out of groups of addresses what this step put in: they keep an address whoever has it.
async fn deregister(cx: WriteCx<'_>) -> Result<(), ActionError> {
    for sent in look::on_record(cx.read, &["elasticloadbalancing:RegisterTargets"]) {
        let Mutation::RegisterTargets { group, id, port } = sent.asked else { continue };
        if id.starts_with("i-") {
            continue; // it goes with the instance
        }
        let now = match cx.read.reads.elb.registrations(&group).await {
            Err(e) if e.is_not_found() => continue,
            now => now?,
        };
        if now.iter().any(|n| n.id == id && n.port == port && n.state != "draining") {
            cx.gate.send(Mutation::DeregisterTargets { group, id, port }).await?;
        }
    }
    Ok(())
}

/// The same as [`found`], and what stood here by its id: EC2 takes the tags off an instance soon after its end.
async fn found_again(
    cx: ReadCx<'_>,
    undo: &Undo,
    stood: &BTreeMap<String, bool>,
) -> CloudResult<Vec<Instance>> {
    let mut all = found(cx, undo, &undo.marks).await?;
    let missing: Vec<String> = stood.keys().filter(|id| all.iter().all(|i| i.id != **id)).cloned().collect();
    if !missing.is_empty() {
        all.extend(look::instances(cx, &missing).await?.into_values());
    }
    Ok(all)
}
