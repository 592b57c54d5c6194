//! What a leftover needs. Pure.
//!
//! Two questions, in this order. A run holds it (`redrill:held`): how is it put back? A run made it
//! (`redrill:run`): may it be removed? Invariant: what stands in for something that is gone is never
//! removed, and neither is what a drill keeps; where the tags do not say enough, a person has to look.
//!
//! What is found after a crash, by action, wherever in the run the crash was:
//!
//! | action | what is found | need |
//! |---|---|---|
//! | `ec2.terminate-instances` | the instance is there still | release |
//! | | it is gone, and a replacement stands in for it | nothing |
//! | | it is gone, and nothing stands in for it | a person |
//! | `ec2.stop-instances` | it is stopped and ran, kept by an earlier run or not | start |
//! | `ec2.launch-replacement` | the original is gone | keep, whatever `after` says |
//! | | the original is there | remove |
//! | `rds.restore-to-point-in-time` | the original is gone, or renamed, or `after: keep` | keep |
//! | | the original is there | remove |
//! | `vpc.detach-route-table` | off its table, onto the run's or the main one | put back |
//! | | the run's table | remove, once nothing is on it |
//! | `vpc.attach-route-table` | on its table of before the fault | release |
//! | | on another one that the drill named | a person, who is told which it was |
//! | `s3.delete-objects`, also after `s3.restore-objects` | a held bucket | a person |
//! | `rds.reboot`, `cloudfront.invalidate` | it passes by itself | release |

use serde::Serialize;

use crate::model::target::{TAG_HELD, TAG_KEPT, TAG_REPLACES, TAG_RUN};
use crate::model::{ResourceKind, Target};

/// What a leftover needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "need", rename_all = "kebab-case")]
pub enum Need {
    /// A subnet is not on its route table: back onto its own, then released.
    Reroute {
        /// The run's table that it stands on; `None`: the VPC's main one.
        from: Option<String>,
        /// The table that it had; `None`: the VPC's main one.
        to: Option<String>,
    },
    /// A stopped instance that was running: started, then released.
    Start,
    /// Nothing but the tag is left to remove, as far as can be seen.
    Release,
    /// A run made it and it stays: tagged `redrill:kept`, as at the end of a run.
    Keep {
        /// What it stands in for, where that is gone; `None`: its drill says so.
        instead_of: Option<String>,
    },
    /// A run made it: removed.
    Remove,
    /// redrill cannot tell how to put it back: a person has to.
    Person {
        /// Why, and what is known.
        why: String,
    },
}

impl Need {
    /// What is put back comes before what is removed.
    pub fn order(&self) -> u8 {
        match self {
            Self::Reroute { .. } => 0,
            Self::Start => 1,
            Self::Release => 2,
            Self::Keep { .. } => 3,
            Self::Remove => 4,
            Self::Person { .. } => 5,
        }
    }

    /// In words.
    pub fn in_words(&self) -> String {
        match self {
            Self::Reroute { to: Some(to), .. } => format!("put back on {to}, then release"),
            Self::Reroute { to: None, .. } => "put back on the main table, then release".to_owned(),
            Self::Start => "start, then release".to_owned(),
            Self::Release => "remove the tag redrill:held".to_owned(),
            Self::Keep { instead_of: Some(original) } => format!(
                "keep: it stands in for {original}, which is gone; tag redrill:kept, then look whether it serves \
                 in all places of {original} (target groups, addresses, names)"
            ),
            Self::Keep { instead_of: None } => "keep, as its drill says: remove the run's tags".to_owned(),
            Self::Remove => "remove".to_owned(),
            Self::Person { why } => format!("a person has to look: {why}"),
        }
    }
}

/// Whether it exists no more: EC2 lists what is terminated for an hour or so.
pub(super) fn is_gone(t: &Target) -> bool {
    match t.kind {
        ResourceKind::Ec2Instance => matches!(state(t), "terminated" | "shutting-down"),
        ResourceKind::RdsInstance => t.attrs.get("status").is_some_and(|s| s == "deleting"),
        _ => false,
    }
}

/// What `t` needs, given everything that there is.
pub fn decide(t: &Target, all: &[Target]) -> Need {
    if let Some(held) = t.tags.get(TAG_HELD) {
        let (run, hint) = held.split_once(' ').unwrap_or((held, ""));
        return self::held(t, run, hint, all);
    }
    if t.tags.contains_key(TAG_RUN) { made(t, all) } else { Need::Release }
}

/// What a run changed, or was about to: also something that a run made, and something that is kept.
fn held(t: &Target, run: &str, hint: &str, all: &[Target]) -> Need {
    if is_gone(t) {
        return person("it is gone, and nothing that a run made stands in for it", hint);
    }
    let undo = hint.strip_prefix("undo: ").and_then(|text| text.split_whitespace().next());
    match (t.kind, undo) {
        (ResourceKind::VpcSubnet, _) => subnet(t, run, hint, all),
        (ResourceKind::Ec2Instance, Some("ec2.stop-instances")) => match state(t) {
            "stopped" if hint.ends_with("was running") => Need::Start,
            "stopping" => person("it is still stopping; sweep again once it has stopped", hint),
            _ => Need::Release,
        },
        (ResourceKind::S3Bucket, Some("s3.delete-objects")) => {
            person("objects may be under delete markers that only the run's journal knows", hint)
        }
        // there it is still, or it passed by itself
        (_, None | Some("ec2.terminate-instances" | "rds.reboot" | "cloudfront.invalidate")) => Need::Release,
        (_, Some(_)) => person("this redrill does not know how to put it back", hint),
    }
}

/// What a run made.
fn made(t: &Target, all: &[Target]) -> Need {
    match t.kind {
        ResourceKind::Ec2Instance | ResourceKind::RdsInstance if t.tags.contains_key(TAG_KEPT) => {
            Need::Keep { instead_of: None }
        }
        _ if t.tags.contains_key(TAG_KEPT) => person("somebody else set the tag redrill:kept", ""),
        ResourceKind::Ec2Instance | ResourceKind::RdsInstance => match t.tags.get(TAG_REPLACES) {
            None => person("what it was made from is not known: remove it by hand if nothing uses it", ""),
            Some(original) if stands(t.kind, original, t, all) => Need::Remove,
            Some(original) => Need::Keep { instead_of: Some(original.clone()) },
        },
        ResourceKind::VpcRouteTable => match t.attrs.get("main").map(String::as_str) {
            Some("true") => person("it has become the main table of its VPC", ""),
            _ => Need::Remove,
        },
        _ => person("no run makes such a thing; somebody else set the tag", ""),
    }
}

/// Whether the original still exists. What was renamed to the original's name is not the original.
fn stands(kind: ResourceKind, original: &str, copy: &Target, all: &[Target]) -> bool {
    all.iter().any(|t| t.kind == kind && t.id == original && t.id != copy.id && !is_gone(t))
}

/// Whether something that a run made stands in for `t`.
pub(super) fn is_replaced(t: &Target, all: &[Target]) -> bool {
    let stands_in = |o: &Target| o.kind == t.kind && o.tags.get(TAG_REPLACES) == Some(&t.id) && !is_gone(o);
    all.iter().any(stands_in)
}

fn subnet(t: &Target, run: &str, hint: &str, all: &[Target]) -> Need {
    let table = |id: &str| all.iter().find(|o| o.kind == ResourceKind::VpcRouteTable && o.id == id);
    let on = t.attrs.get("route_table").map(String::as_str);
    let was = hint.split_once(" was ").map(|(_, table)| table.trim());
    if hint.is_empty() || on == was {
        let of_the_run = on.and_then(table).is_some_and(|o| o.tags.get(TAG_RUN).is_some_and(|r| r == run));
        return if of_the_run {
            person("it stands on a table that the run made, and how it stood before is not known", hint)
        } else {
            Need::Release
        };
    }
    if let Some(was) = was.filter(|was| table(was).is_none()) {
        return person(&format!("{was}, the table that it stood on, does not exist any more"), hint);
    }
    let made = |on: &str| table(on).is_some_and(|o| o.tags.get(TAG_RUN).is_some_and(|r| r == run));
    // only a detached subnet is taken off nothing, or off a table that the run made
    if hint.contains("vpc.detach-route-table") && on.is_none_or(made) {
        return Need::Reroute { from: on.map(str::to_owned), to: was.map(str::to_owned) };
    }
    let place = |table: Option<&str>| table.unwrap_or("the main table").to_owned();
    let why = format!(
        "it stood on {} and is on {}: put it back unless somebody moved it on purpose, then remove the tag redrill:held",
        place(was),
        place(on)
    );
    person(&why, hint)
}

fn state(t: &Target) -> &str {
    t.attrs.get("state").map_or("", String::as_str)
}

fn person(why: &str, hint: &str) -> Need {
    let why = if hint.is_empty() { why.to_owned() } else { format!("{why} ({hint})") };
    Need::Person { why }
}
