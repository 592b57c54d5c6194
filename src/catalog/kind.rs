//! What a kind of resource is to redrill: its name and attributes, how it is listed and tagged, what its end looks like.
//!
//! One file and one line of [`super::kinds::KINDS`] for each. Drill file, schema, policies, limits, drift, holding,
//! reading again and sweep are derived from it. What a listing costs is told by [`Wanted`]: a detail that takes a call of
//! its own is read only where somebody wants it. Reads only.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::iam::Type;
use crate::cloud::{CloudResult, Mutation, Named, Reads, What};
use crate::model::{ResourceKind, Tags, Target};

/// When a resource was created: a name can be given to another resource, its birth cannot.
pub const CREATED: &str = "created_at";

/// How a service takes tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tagging {
    /// Of many resources in one call, by their ids.
    Together,
    /// Of one resource in a call, key by key.
    Each,
    /// Of one resource in a call, all of them: they are read, changed and written back.
    Whole,
}

/// A state in which a resource is gone for good, or about to be.
#[derive(Clone, Copy, Debug)]
pub struct End {
    /// As its service calls it.
    pub state: &'static str,
    /// In words, as in "it is being deleted".
    pub says: &'static str,
}

/// What is known of a kind without asking anybody.
#[derive(Debug)]
pub struct KindSpec {
    /// Its name.
    pub kind: ResourceKind,
    /// What it is, in the words of the schema.
    pub summary: &'static str,
    /// The attributes that `where` may name.
    pub attributes: &'static [&'static str],
    /// Which of them is its id for AWS, where `id` is not given.
    pub id: &'static str,
    /// Which of them holds its state.
    pub state: &'static str,
    /// The states in which it has ended.
    pub ends: &'static [End],
    /// Whether it is listed for a while after its end.
    pub lingers: bool,
    /// Whether it may have another name by the end of a run, and another one its own.
    pub is_renamed: bool,
    /// Whether it can serve in the place of another one of its kind.
    pub stands_in: bool,
    /// Whether what happens to it happens to everything inside.
    pub holds_others: bool,
    /// Whether other things stand on it, which may take a moment to go before it can be removed.
    pub is_stood_on: bool,
    /// The attributes that a person without the journal needs to put it back, for the tag `redrill:held`.
    pub before: &'static [&'static str],
    /// The attribute with the ARN of the profile whose role is handed on with it. Not for `where`, nor are the next.
    pub profile: Option<&'static str>,
    /// The attributes with ARNs of roles that are handed on with it.
    pub roles: &'static [&'static str],
    /// Whether AWS runs its service globally, so that `limits.regions` must list `global`.
    pub is_global: bool,
    /// Whether each takes calls of its own to be listed with its tags.
    pub takes_calls: bool,
    /// The permissions that listing it takes.
    pub list: &'static [&'static str],
    /// How its service takes tags.
    pub tagging: Tagging,
    /// The permissions that setting and removing a tag take.
    pub tag: &'static [&'static str],
    /// What calls name, where they name it.
    pub what: What,
    /// What policies call it.
    pub iam: Type,
}

/// A kind of resource.
#[async_trait]
pub trait Kind: Sync {
    /// What is known without asking.
    fn spec(&self) -> &'static KindSpec;

    /// Every one that there is in the region, all pages of it.
    ///
    /// # Errors
    /// The first error of any page: a partial listing is never returned.
    async fn list(&self, reads: &Reads, region: &str, wanted: &Wanted<'_>) -> CloudResult<Listing>;

    /// The call that sets these tags; where they are taken as a whole, all that it shall have. EC2's, unless its service
    /// has another.
    fn tag(&self, target: &Target, tags: Tags) -> Mutation {
        Mutation::CreateTags { ids: vec![target.id.clone()], tags }
    }

    /// The call that removes tags; `None` where they are taken as a whole. EC2's, unless its service has another.
    fn untag(&self, target: &Target, keys: Vec<String>) -> Option<Mutation> {
        Some(Mutation::DeleteTags { ids: vec![target.id.clone()], keys })
    }

    /// Its tags as they are now; asked only where they are taken as a whole.
    ///
    /// # Errors
    /// Those of its service.
    async fn tags(&self, _reads: &Reads, target: &Target) -> CloudResult<Tags> {
        Ok(target.tags.clone())
    }

    /// The call that removes it, where a run makes such a thing.
    fn removal(&self, _target: &Target, _final_snapshot: Option<String>) -> Option<Mutation> {
        None
    }

    /// Why what undo would put back to is not what it was, in words: somebody has changed it since it was planned.
    fn moved(&self, _before: &Target, _now: &Target) -> Option<String> {
        None
    }
}

/// What a listing is for: it decides which details are worth a call each.
pub struct Wanted<'a> {
    id: Box<dyn Fn(&str) -> bool + Send + Sync + 'a>,
    tags: Box<dyn Fn(&Tags) -> bool + Send + Sync + 'a>,
}

impl<'a> Wanted<'a> {
    /// Those with such ids and such tags.
    pub fn new(
        id: impl Fn(&str) -> bool + Send + Sync + 'a,
        tags: impl Fn(&Tags) -> bool + Send + Sync + 'a,
    ) -> Self {
        Self { id: Box::new(id), tags: Box::new(tags) }
    }

    /// Whether a resource of that id is worth asking for its tags.
    pub fn id(&self, id: &str) -> bool {
        (self.id)(id)
    }

    /// Whether a resource with these tags is worth asking for its details.
    pub fn tags(&self, tags: &Tags) -> bool {
        (self.tags)(tags)
    }
}

/// What a listing found.
#[derive(Default)]
pub struct Listing {
    /// How many exist, whether or not they are among the targets.
    pub population: usize,
    /// Those that were wanted; others may be among them.
    pub targets: Vec<Target>,
    /// Resources left out because they may not be read.
    pub unreadable: Vec<Unreadable>,
}

impl Listing {
    /// All of these exist.
    pub fn of(targets: Vec<Target>) -> Self {
        Self { population: targets.len(), targets, unreadable: Vec::new() }
    }
}

/// A resource that could not be looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// Its id.
    pub name: String,
    /// What AWS answered.
    pub why: String,
}

impl KindSpec {
    /// What most kinds are like, and EC2's above all: a kind states only what it is otherwise.
    pub const fn new(kind: ResourceKind, summary: &'static str, what: What, iam: Type) -> Self {
        Self {
            kind,
            summary,
            what,
            iam,
            attributes: &[],
            id: "id",
            state: "state",
            ends: &[],
            lingers: false,
            is_renamed: false,
            stands_in: false,
            holds_others: false,
            is_stood_on: false,
            before: &[],
            profile: None,
            roles: &[],
            is_global: false,
            takes_calls: false,
            list: &[],
            tagging: Tagging::Together,
            tag: &["ec2:CreateTags", "ec2:DeleteTags"],
        }
    }

    /// Its state, as its service calls it.
    pub fn state_of<'t>(&self, target: &'t Target) -> &'t str {
        target.attrs.get(self.state).map_or("", String::as_str)
    }

    /// The state in which it has ended, if it has.
    pub fn end_of(&self, target: &Target) -> Option<&'static End> {
        let state = self.state_of(target);
        self.ends.iter().find(|end| end.state == state)
    }
}

/// A target and what was read of it when it was planned: what it is in, on, and made from.
pub fn around(target: &Target) -> Vec<Named<'_>> {
    let read = [
        ("vpc", What::Vpc),
        ("subnet", What::Subnet),
        ("image", What::Image),
        ("route_table", What::RouteTable),
    ];
    let read = read.into_iter().filter_map(|(attr, what)| Some((what, target.attrs.get(attr)?.as_str())));
    std::iter::once((super::kinds::what(target.kind), target.id.as_str())).chain(read).collect()
}

/// Attributes that are present.
pub(super) fn attrs<'a>(
    pairs: impl IntoIterator<Item = (&'a str, Option<String>)>,
) -> BTreeMap<String, String> {
    pairs.into_iter().filter_map(|(k, v)| Some((k.to_owned(), v?))).collect()
}

/// What is not empty.
pub(super) fn text(value: &str) -> Option<String> {
    (!value.is_empty()).then(|| value.to_owned())
}

/// The tag `Name`.
pub(super) fn name(tags: &Tags) -> Option<String> {
    tags.get("Name").cloned()
}

/// The ARN, else the id: what its service's tagging calls take.
pub(super) fn arn(target: &Target) -> String {
    target.arn.clone().unwrap_or_else(|| target.id.clone())
}
