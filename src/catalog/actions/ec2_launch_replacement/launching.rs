//! Launching, and putting what was launched in its place. Looks and changes; everything may be repeated.

use super::*;
use crate::cloud::CloudError;
use crate::model::time::in_words;

/// What RunInstances is asked for, to launch an instance like this one.
pub(super) fn spec(
    original: &Original,
    instance_type: &str,
    tags: Tags,
    private_ip: Option<String>,
    user_data: Option<String>,
    after: After,
) -> LaunchSpec {
    let old = &original.instance;
    let mut settings = old.settings.clone();
    if instance_type != old.instance_type {
        // these are of a type, and others may not take them
        (settings.cores, settings.threads) = (None, None);
        (settings.nested, settings.bandwidth) = (None, None);
    }
    let goes = |b: &BlockDevice| b.delete_on_termination || after == After::Remove;
    let redrills = tags.iter().filter(|(key, _)| key.starts_with("redrill:"));
    let mut volume_tags = volumes::common_tags(original);
    volume_tags.extend(redrills.map(|(key, value)| (key.clone(), value.clone())));
    LaunchSpec {
        like: Instance {
            instance_type: instance_type.to_owned(),
            lifecycle: None,
            spot_request: None,
            settings,
            ..old.clone()
        },
        user_data,
        // what is removed at the end of the run must not leave volumes behind
        volumes: volumes::renewed(original)
            .map(|(b, v)| (BlockDevice { delete_on_termination: goes(b), ..b.clone() }, v.clone()))
            .collect(),
        // Protected, it could not be removed again; reported as a difference.
        disable_api_termination: false,
        shutdown: original.shutdown.clone(),
        credits: original.credits.clone().filter(|_| original::has_credits(instance_type)),
        private_ip,
        public_ip: public_ip(original),
        volume_tags,
        tags,
    }
}

/// Whether to ask for a public address or against one, whatever the subnet does by itself. An Elastic IP comes later;
/// what has an IPv6 address alone, or is stopped and has given its address back, tells nothing.
fn public_ip(original: &Original) -> Option<bool> {
    let old = &original.instance;
    let tells = old.state == "running" && old.private_ip.is_some() && original.addresses.is_empty();
    tells.then_some(old.public_ip.is_some())
}

/// How a launch is repeated that AWS cannot go through with at the moment.
fn while_there_is_no_room(cx: ReadCx<'_>) -> Patience {
    Patience::of(cx.give_up.0, Duration::from_secs(5), Duration::from_secs(60))
}

pub(super) async fn replace(cx: WriteCx<'_>, undo: &Undo) -> Result<Applied, ActionError> {
    let (mut room, mut notes) = (while_there_is_no_room(cx.read), Vec::new());
    loop {
        let id = match standing(cx.read, undo).await? {
            Some(Standing::Up(instance)) => instance.id,
            Some(Standing::Lost(_)) | None => launch(cx, undo, &mut room, &mut notes).await?,
        };
        let e = match place(cx, undo, &id, &mut notes).await {
            Ok(instance) => return Ok(Applied { outputs: outputs(&instance), notes }),
            Err(e) => e,
        };
        let now = look::instance(cx.read, &id).await;
        if !matches!(now, Ok(Some(i)) if is_lost(&i)) || !room.wait().await {
            // From the launch on there is something to undo.
            let effect = e.effect.max(EffectCertainty::Partial);
            return Err(e.effect(effect));
        }
    }
}

/// Which launch is due (from 0): the newest again, which gives the same instance, unless AWS is seen to have ended that.
async fn due(cx: ReadCx<'_>, undo: &Undo) -> CloudResult<u32> {
    let number = |token: &str| (0..naming::LAUNCHES).find(|n| naming::launch_again(&undo.token, *n) == token);
    let mut made: BTreeMap<u32, Option<String>> = BTreeMap::new();
    for sent in look::on_record(cx, &["ec2:RunInstances"]) {
        if let Mutation::RunInstances { token, .. } = &sent.asked
            && let Some(n) = number(token)
        {
            let known = made.entry(n).or_default();
            *known = known.take().or(sent.made);
        }
    }
    for i in found(cx, undo, &undo.marks).await? {
        if let Some(n) = i.client_token.as_deref().and_then(number) {
            made.insert(n, Some(i.id));
        }
    }
    let Some((n, newest)) = made.pop_last() else { return Ok(0) };
    let lost = match newest {
        Some(id) => look::instance(cx, &id).await?.is_some_and(|i| is_lost(&i)),
        None => false,
    };
    Ok(if lost { n + 1 } else { n })
}

/// Waits until the replacement runs, and gives it whatever it still lacks.
pub(super) async fn place(
    cx: WriteCx<'_>,
    undo: &Undo,
    id: &str,
    notes: &mut Vec<String>,
) -> Result<Instance, ActionError> {
    let instance = until_running(cx.read, id).await?;
    if !undo.original.addresses.is_empty() && !is_alive(cx.read, &undo.original).await? {
        // An instance on its way out still holds its Elastic IP, which is never taken by force.
        notes.extend(until_released(cx.read, &undo.original.instance.id).await?);
    }
    put_in_place(cx, undo, &instance).await?;
    Ok(instance)
}

async fn launch(
    cx: WriteCx<'_>,
    undo: &Undo,
    room: &mut Patience,
    notes: &mut Vec<String>,
) -> Result<String, ActionError> {
    let original = &undo.original;
    if undo.private_ip.is_some() {
        notes.extend(until_released(cx.read, &original.instance.id).await?);
    }
    let user_data = original::user_data(cx.read, original).await?;
    let address = undo.private_ip.clone();
    let spec = spec(original, &undo.instance_type, undo.tags.clone(), address, user_data, cx.read.after);
    let n = due(cx.read, undo).await?;
    if n >= naming::LAUNCHES {
        let text = format!("AWS ended {n} replacements of {} before they ran", original.instance.id);
        return Err(ActionError::hopeless(text).effect(EffectCertainty::Partial));
    }
    let second = Duration::from_secs(1);
    let mut address = Patience::of(300 * second, second, 10 * second);
    loop {
        let run = Mutation::RunInstances {
            token: naming::launch_again(&undo.token, n),
            spec: Box::new(spec.clone()),
        };
        let e = match cx.gate.send(run).await {
            Ok(reply) => match reply.outcome {
                Outcome::Created { id } => return Ok(id),
                _ => {
                    return Err(unknown(ActionError::refused("RunInstances did not tell the instance's id")));
                }
            },
            Err(e) => e,
        };
        if e.effect != EffectCertainty::None {
            return match look::present(cx.read, || standing(cx.read, undo)).await.map_err(unknown)? {
                Some(Standing::Up(instance)) => Ok(instance.id),
                Some(Standing::Lost(_)) | None => Err(e.into()),
            };
        }
        let again = if e.kind == ErrorKind::Capacity {
            room.wait().await
        } else if is_until_it_ends(&e) {
            address.wait().await
        } else {
            false
        };
        if !again {
            return Err(e.into());
        }
    }
}

/// Whether a launch may be refused for no longer than the original takes to end: it gives its address back then, and
/// counts against the quota until then.
pub(super) fn is_until_it_ends(e: &CloudError) -> bool {
    matches!(
        e.code.as_deref(),
        Some(
            "InvalidIPAddress.InUse"
                | "InsufficientFreeAddressesInSubnet"
                | "VcpuLimitExceeded"
                | "InstanceLimitExceeded"
        )
    )
}

fn unknown(e: ActionError) -> ActionError {
    e.effect(EffectCertainty::Unknown)
}

/// Waits until the old instance has ended and released its address; tells how long that took, where it took long: it is
/// AWS's time, not the procedure's.
async fn until_released(cx: ReadCx<'_>, id: &str) -> Result<Option<String>, ActionError> {
    let began = cx.clock.stamp().mono_ms;
    let told = || {
        let ms = i64::try_from(cx.clock.stamp().mono_ms.saturating_sub(began)).unwrap_or(i64::MAX);
        (ms >= 1_000).then(|| format!("of this step, {} went by until AWS had ended {id}", in_words(ms)))
    };
    let mut patience = Patience::of(MOVING, Duration::from_secs(1), Duration::from_secs(5));
    loop {
        match look::present(cx, || look::instance(cx, id)).await? {
            None => return Ok(told()),
            Some(i) if i.state == "terminated" => return Ok(told()),
            Some(_) if patience.wait().await => {}
            Some(i) => {
                return Err(ActionError::refused(format!("{id} is {} and still has its address", i.state)));
            }
        }
    }
}

async fn until_running(cx: ReadCx<'_>, id: &str) -> Result<Instance, ActionError> {
    let mut moving = Patience::of(MOVING, Duration::from_secs(1), Duration::from_secs(5));
    loop {
        match look::present(cx, || look::instance(cx, id)).await? {
            Some(i) if i.state == "running" => return Ok(i),
            Some(i) if i.state == "pending" => {
                if !moving.wait().await {
                    return Err(ActionError::refused(format!("the replacement {id} is still pending")));
                }
            }
            Some(i) => return Err(not_running(&i)),
            None => return Err(ActionError::refused(format!("the replacement {id} is not listed"))),
        }
    }
}
