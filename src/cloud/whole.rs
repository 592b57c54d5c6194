//! Everything that AWS tells of a resource, field by field, and what differs between two of them. Pure.
//!
//! For: telling how a replacement differs from its original without a list of what somebody thought of. A field is
//! known by its name in AWS's answer, so one that AWS adds later is compared like all others; what is listed is only
//! what has to differ, or what is told in better words elsewhere. Not for: deciding anything, for which typed reads
//! are there. Invariant: the order in which AWS lists things makes no difference.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// What can be read in full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// EC2 instances (DescribeInstances).
    Instances,
    /// EBS volumes (DescribeVolumes).
    Volumes,
    /// Network interfaces (DescribeNetworkInterfaces).
    Interfaces,
    /// DB instances (DescribeDBInstances).
    Databases,
}

impl Part {
    /// The operation that reads it.
    pub fn operation(self) -> &'static str {
        match self {
            Self::Instances => "ec2:DescribeInstances",
            Self::Volumes => "ec2:DescribeVolumes",
            Self::Interfaces => "ec2:DescribeNetworkInterfaces",
            Self::Databases => "rds:DescribeDBInstances",
        }
    }

    /// The field with its id.
    pub fn id(self) -> &'static str {
        match self {
            Self::Instances => "instanceId",
            Self::Volumes => "volumeId",
            Self::Interfaces => "networkInterfaceId",
            Self::Databases => "DBInstanceIdentifier",
        }
    }
}

/// The fields of a resource by their path in AWS's answer, for instance `metadataOptions.httpTokens` or
/// `tagSet[Name]`. A list of things without names of their own is one field with all values, sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fields(BTreeMap<String, String>);

/// Between the values of one field.
const AND: &str = ", ";

impl Fields {
    /// Of what was read: path and value, several of the same path where it is a list.
    pub fn of<P: Into<String>, V: Into<String>>(told: impl IntoIterator<Item = (P, V)>) -> Self {
        let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (path, value) in told {
            all.entry(path.into()).or_default().push(value.into());
        }
        let joined = all.into_iter().map(|(path, mut values)| {
            values.sort_unstable();
            (path, values.join(AND))
        });
        Self(joined.collect())
    }

    /// Whether nothing was read.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of a field.
    pub fn get(&self, path: &str) -> Option<&str> {
        self.0.get(path).map(String::as_str)
    }

    /// The members of a list that have names of their own, each with this field of it: for instance, of
    /// `blockDeviceMapping` and `ebs.volumeId`, the volume of each device.
    pub fn named<'a>(&'a self, list: &'a str, field: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.0.iter().filter_map(move |(path, value)| {
            let (name, rest) = path.strip_prefix(list)?.strip_prefix('[')?.split_once("].")?;
            (rest == field).then_some((name, value.as_str()))
        })
    }

    /// Sets a field.
    pub fn set(&mut self, path: impl Into<String>, value: impl Into<String>) {
        self.0.insert(path.into(), value.into());
    }

    /// Takes in the fields of a part of it, each under the part's name.
    pub fn take_in(&mut self, name: &str, part: &Self) {
        self.0.extend(part.0.iter().map(|(path, value)| (format!("{name}.{path}"), value.clone())));
    }

    /// Without what has to differ: each entry is a field with all that lies below it; `*` stands for the name of a part
    /// (`volume[*].status`), for the rest of a key (`tagSet[redrill:*]`), or for anything before (`*.Status`).
    #[must_use]
    pub fn without(mut self, own: &[&str]) -> Self {
        self.0.retain(|path, _| !own.iter().any(|pattern| is_below(path, pattern)));
        self
    }
}

/// Whether a path is the pattern's field or below it.
fn is_below(path: &str, pattern: &str) -> bool {
    match pattern.split_once('*') {
        None => {
            path.strip_prefix(pattern).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        }
        Some((head, tail)) => path
            .strip_prefix(head)
            .is_some_and(|rest| rest.char_indices().any(|(at, _)| is_below(&rest[at..], tail))),
    }
}

/// What one has and the other has not, or has otherwise, a sentence each; sorted by field. A part that only one of
/// them has is one sentence.
pub fn differences(was: &Fields, is: &Fields) -> Vec<String> {
    let (of_was, of_is) = (parts(was), parts(is));
    let mut lonely = BTreeSet::new();
    let mut told = Vec::new();
    let paths: BTreeSet<&String> = was.0.keys().chain(is.0.keys()).collect();
    for path in paths {
        if let Some(part) = part_of(path)
            && of_was.contains(part) != of_is.contains(part)
        {
            if lonely.insert(part) {
                let whose = if of_was.contains(part) { "original" } else { "replacement" };
                told.push(format!("{part}: only the {whose} has it"));
            }
            continue;
        }
        let (a, b) = (was.get(path), is.get(path));
        if a != b {
            let text = |value: Option<&str>| value.filter(|v| !v.is_empty()).unwrap_or("none").to_owned();
            told.push(format!("{path}: {}, was {}", text(b), text(a)));
        }
    }
    told
}

/// `volume[/dev/sdf]` of `volume[/dev/sdf].size`: what has fields of its own.
fn part_of(path: &str) -> Option<&str> {
    let (part, _) = path.split_once("].")?;
    path.get(..=part.len())
}

fn parts(fields: &Fields) -> BTreeSet<&str> {
    fields.0.keys().filter_map(|path| part_of(path)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_a_list_is_no_difference_and_a_missing_entry_is() {
        let was =
            Fields::of([("groupSet.groupId", "sg-2"), ("groupSet.groupId", "sg-1"), ("keyName", "ops")]);
        let same =
            Fields::of([("keyName", "ops"), ("groupSet.groupId", "sg-1"), ("groupSet.groupId", "sg-2")]);
        assert_eq!(differences(&was, &same), Vec::<String>::new());
        let less = Fields::of([("groupSet.groupId", "sg-1")]);
        assert_eq!(
            differences(&was, &less),
            ["groupSet.groupId: sg-1, was sg-1, sg-2", "keyName: none, was ops"]
        );
    }

    #[test]
    fn a_field_that_nobody_listed_is_told() {
        let was = Fields::of([("quantumOptions.entangled", "true")]);
        assert_eq!(differences(&was, &Fields::default()), ["quantumOptions.entangled: none, was true"]);
        assert_eq!(differences(&Fields::default(), &was), ["quantumOptions.entangled: true, was none"]);
    }

    #[test]
    fn a_part_that_one_of_them_lacks_is_one_sentence() {
        let volume = Fields::of([("size", "8"), ("volumeType", "gp3")]);
        let mut was = Fields::default();
        was.take_in("volume[/dev/sda1]", &volume);
        let mut is = was.clone();
        was.take_in("volume[/dev/sdf]", &volume);
        is.take_in("volume[/dev/sdg]", &volume);
        is.set("volume[/dev/sda1].size", "16");
        assert_eq!(
            differences(&was, &is),
            [
                "volume[/dev/sda1].size: 16, was 8",
                "volume[/dev/sdf]: only the original has it",
                "volume[/dev/sdg]: only the replacement has it",
            ]
        );
    }

    #[test]
    fn what_has_to_differ_is_left_out_with_what_lies_below_it_and_nothing_beside_it() {
        let own = [
            "instanceId",
            "association",
            "volume[*].status",
            "tagSet[redrill:*]",
            "volume[*].tagSet[redrill:*]",
            "*.Status",
        ];
        let kept = [
            "instanceIdentity",
            "associations",
            "volume[/dev/sda1].statusOther",
            "tagSet[redrill]",
            "volume[/dev/sda1].tagSet[Name]",
            "x.StatusInfo",
            "instance.instanceId",
        ];
        let gone = [
            "instanceId",
            "association.publicIp",
            "association[0].publicIp",
            "volume[/dev/sda1].status",
            "tagSet[redrill:run]",
            "volume[/dev/sda1].tagSet[redrill:run]",
            "VpcSecurityGroups.Status",
        ];
        let all = Fields::of(kept.iter().chain(&gone).map(|path| (*path, "x")));
        let left: Vec<String> = all.without(&own).0.into_keys().collect();
        let mut kept: Vec<String> = kept.map(str::to_owned).to_vec();
        kept.sort_unstable();
        assert_eq!(left, kept);
    }
}
