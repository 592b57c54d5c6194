//! What a leftover needs. Pure.

use serde::Serialize;

use crate::model::target::{TAG_HELD, TAG_RUN};
use crate::model::{ResourceKind, Target};

/// What a leftover needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "need", rename_all = "kebab-case")]
pub enum Need {
    /// A subnet stands on a route table that a run made: back onto its own, then released.
    Reroute {
        /// The table that it stands on.
        from: String,
        /// The table that it had; `None`: the VPC's main one.
        to: Option<String>,
    },
    /// A stopped instance that was running: started, then released.
    Start,
    /// Nothing but the tag is left to remove, as far as can be seen.
    Release,
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
            Self::Remove => 3,
            Self::Person { .. } => 4,
        }
    }

    /// In words.
    pub fn in_words(&self) -> String {
        match self {
            Self::Reroute { to: Some(to), .. } => format!("put back on {to}, then release"),
            Self::Reroute { to: None, .. } => "put back on the main table, then release".to_owned(),
            Self::Start => "start, then release".to_owned(),
            Self::Release => "remove the tag redrill:held".to_owned(),
            Self::Remove => "remove".to_owned(),
            Self::Person { why } => format!("a person has to look: {why}"),
        }
    }
}

/// What `t` needs, given everything that carries a run's tag.
pub fn decide(t: &Target, all: &[Target]) -> Need {
    if t.tags.contains_key(TAG_RUN) {
        return made(t);
    }
    let held = t.tags.get(TAG_HELD).map_or("", String::as_str);
    let (run, hint) = held.split_once(' ').unwrap_or((held, ""));
    match t.kind {
        ResourceKind::VpcSubnet => subnet(t, run, hint, all),
        ResourceKind::Ec2Instance if hint.contains("ec2.stop-instances") => match state(t) {
            "stopped" if hint.ends_with("was running") => Need::Start,
            "stopping" => person("it is still stopping; sweep again once it has stopped", hint),
            _ => Need::Release,
        },
        ResourceKind::S3Bucket if hint.contains("s3.delete-objects") => {
            person("objects may be under delete markers that only the run's journal knows", hint)
        }
        _ => Need::Release,
    }
}

/// What a run made.
fn made(t: &Target) -> Need {
    match t.kind {
        ResourceKind::Ec2Instance | ResourceKind::RdsInstance => Need::Remove,
        ResourceKind::VpcRouteTable => match t.attrs.get("main").map(String::as_str) {
            Some("true") => person("it has become the main table of its VPC", ""),
            _ => Need::Remove,
        },
        _ => person("no run makes such a thing; somebody else set the tag", ""),
    }
}

fn subnet(t: &Target, run: &str, hint: &str, all: &[Target]) -> Need {
    let Some(on) = t.attrs.get("route_table") else { return Need::Release };
    let of_the_run = |table: &&Target| {
        table.kind == ResourceKind::VpcRouteTable
            && table.id == *on
            && table.tags.get(TAG_RUN).is_some_and(|r| r == run)
    };
    if !all.iter().any(|table| of_the_run(&table)) {
        // where it stands now is nothing that the run made
        return Need::Release;
    }
    if !hint.contains("vpc.detach-route-table") {
        return person("it stands on a table that the run made, and how it stood before is not known", hint);
    }
    let to = hint.split_once(" was ").map(|(_, table)| table.trim().to_owned());
    Need::Reroute { from: on.clone(), to }
}

fn state(t: &Target) -> &str {
    t.attrs.get("state").map_or("", String::as_str)
}

fn person(why: &str, hint: &str) -> Need {
    let why = if hint.is_empty() { why.to_owned() } else { format!("{why} ({hint})") };
    Need::Person { why }
}
