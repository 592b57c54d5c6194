//! Objects of a versioned bucket: which ones a step means, and what lies on them now.
//!
//! Shared by deleting and restoring. Reads only. Invariant: a version is known by its id, never by
//! its time, which S3 keeps only to the second; a key's history is compared as a set of ids.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::look;
use crate::catalog::action::{ActionError, ReadCx, WriteCx};
use crate::cloud::{
    CloudResult, EffectCertainty, Mutation, ObjectError, ObjectRef, ObjectVersion, Outcome, pages_until,
};

/// As many as DeleteObjects takes in one call.
pub(super) const CHUNK: usize = 1_000;
/// The most versions and markers that are read to find what is meant: 100 calls.
const MOST_VERSIONS: usize = 100_000;

/// Which objects a step means: all under a prefix, or these.
#[derive(Clone, Copy, Debug)]
pub(super) enum Which<'a> {
    /// Every object under this prefix.
    Prefix(&'a str),
    /// These keys.
    Keys(&'a [String]),
}

impl<'a> Which<'a> {
    /// From the two parameters, of which exactly one must be given.
    pub(super) fn from(prefix: Option<&'a str>, keys: &'a [String]) -> Result<Self, String> {
        match (prefix, keys) {
            (Some(prefix), []) => Ok(Self::Prefix(prefix)),
            (None, [_, ..]) => Ok(Self::Keys(keys)),
            (Some(_), _) => Err("give `prefix` or `keys`, not both".to_owned()),
            (None, []) => {
                Err("say which objects: `prefix` or `keys` (`prefix: \"\"` is the whole bucket)".to_owned())
            }
        }
    }
}

/// A key with its current version, and every version that it had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Recorded {
    /// Key.
    pub key: String,
    /// Its current version.
    pub current: String,
    /// Every version and delete marker that it had, the current one included.
    pub known: BTreeSet<String>,
}

/// Versions and markers by key.
pub(super) type Stacks = BTreeMap<String, Vec<ObjectVersion>>;

/// How far a prefix is read. A bucket may hold more than anybody can read.
#[derive(Clone, Copy, Debug)]
pub(super) enum UpTo<'a> {
    /// Until there are more objects than this, or more versions than are read at all: see [`too_many`].
    Objects(usize),
    /// Until this key has been passed. A listing is in the order of its keys (API reference, "ListObjectVersions").
    Key(&'a str),
}

/// The versions of what is meant. One look is enough, also for what goes on record: S3 lists what was
/// written before (Amazon S3 User Guide, "Amazon S3 data consistency model").
pub(super) async fn stacks(
    cx: ReadCx<'_>,
    bucket: &str,
    which: Which<'_>,
    to: UpTo<'_>,
) -> CloudResult<Stacks> {
    let mut out = Stacks::new();
    match which {
        Which::Prefix(prefix) => {
            let (mut live, mut all) = (0, 0);
            let enough = |page: &[ObjectVersion]| match to {
                UpTo::Key(last) => page.iter().any(|v| v.key.as_str() > last),
                UpTo::Objects(most) => {
                    live += page.iter().filter(|v| v.latest && !v.marker).count();
                    all += page.len();
                    live > most || all > MOST_VERSIONS
                }
            };
            for v in pages_until(|page| cx.reads.s3.versions(bucket, prefix, page), enough).await? {
                out.entry(v.key.clone()).or_default().push(v);
            }
        }
        Which::Keys(keys) => {
            for key in keys {
                // the key as a prefix also finds its longer neighbours, behind it
                let passed = |page: &[ObjectVersion]| page.iter().any(|v| v.key != *key);
                let all = pages_until(|page| cx.reads.s3.versions(bucket, key, page), passed).await?;
                let own: Vec<_> = all.into_iter().filter(|v| v.key == *key).collect();
                out.insert(key.clone(), own);
            }
        }
    }
    Ok(out)
}

/// How many of them are objects now.
pub(super) fn live(stacks: &Stacks) -> usize {
    stacks.values().filter(|stack| stack.iter().any(|v| v.latest && !v.marker)).count()
}

/// Why what was read up to this many objects is not all that is meant, and what to do about it.
pub(super) fn too_many(stacks: &Stacks, max_objects: usize) -> Option<(String, &'static str)> {
    if live(stacks) > max_objects {
        let text = format!("more objects are meant than `max_objects: {max_objects}` allows");
        return Some((text, "narrow `prefix`, or raise `max_objects`"));
    }
    let versions: usize = stacks.values().map(Vec::len).sum();
    (versions > MOST_VERSIONS).then(|| {
        let text = format!("more than {MOST_VERSIONS} versions and delete markers are under `prefix`");
        (text, "narrow `prefix`, or name the objects under `keys`")
    })
}

/// The objects that exist now, with their history. A key that was named and does not exist is an error, and so are more
/// than `max_objects`.
pub(super) async fn current(
    cx: ReadCx<'_>,
    bucket: &str,
    which: Which<'_>,
    max_objects: usize,
) -> Result<Vec<Recorded>, ActionError> {
    let mut out = Vec::new();
    let stacks = stacks(cx, bucket, which, UpTo::Objects(max_objects)).await?;
    if let Some((text, hint)) = too_many(&stacks, max_objects) {
        return Err(ActionError::refused(format!("{bucket}: {text}")).hint(hint));
    }
    for (key, stack) in stacks {
        match stack.iter().find(|v| v.latest && !v.marker) {
            Some(current) => out.push(Recorded {
                current: current.version.clone(),
                known: stack.iter().map(|v| v.version.clone()).collect(),
                key,
            }),
            None if matches!(which, Which::Keys(_)) => {
                return Err(ActionError::refused(format!("there is no object {key} in {bucket}")));
            }
            None => {}
        }
    }
    Ok(out)
}

/// What lies on a recorded object now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// The recorded version is the current one.
    AsBefore,
    /// Only delete markers are new, and the newest is current: taking all away brings the object back.
    Marked(Vec<ObjectVersion>),
    /// Somebody has written since, and that is current; these delete markers lie below it and do no harm.
    Overwritten(Vec<ObjectVersion>),
    /// Somebody has written since, and a delete marker is current; with these markers, and what is to be told of it.
    Between(Vec<ObjectVersion>, String),
    /// Anything else: nobody can tell what is right.
    Unclear(String),
}

impl State {
    /// Whether it was deleted since it was recorded, written anew after that or not.
    pub(super) fn was_deleted(&self) -> bool {
        match self {
            Self::Marked(_) => true,
            Self::Overwritten(markers) | Self::Between(markers, _) => !markers.is_empty(),
            Self::AsBefore | Self::Unclear(_) => false,
        }
    }
}

/// Compares what was recorded with what is there.
pub(super) fn state(recorded: &Recorded, stack: &[ObjectVersion]) -> State {
    let new: Vec<&ObjectVersion> = stack.iter().filter(|v| !recorded.known.contains(&v.version)).collect();
    let key = &recorded.key;
    if !stack.iter().any(|v| v.version == recorded.current && !v.marker) {
        return State::Unclear(format!("{key}: its version {} is gone", recorded.current));
    }
    let markers: Vec<ObjectVersion> = new.iter().filter(|v| v.marker).map(|v| (*v).clone()).collect();
    let latest = stack.iter().find(|v| v.latest);
    match (new.len(), markers.len()) {
        (0, _) if latest.is_some_and(|v| v.version == recorded.current) => State::AsBefore,
        _ if latest.is_some_and(|v| !v.marker && !recorded.known.contains(&v.version)) => {
            State::Overwritten(markers)
        }
        (n, m) if n == m && latest.is_some_and(|v| markers.contains(v)) => State::Marked(markers),
        (n, m) => {
            let why = format!(
                "{key}: {n} new versions since the step began, {m} of them delete markers; it is left as it is"
            );
            if m > 0 { State::Between(markers, why) } else { State::Unclear(why) }
        }
    }
}

/// What DeleteObjects did, over as many calls as it takes.
#[derive(Debug, Default)]
pub(super) struct Sent {
    /// How many objects it dealt with.
    pub deleted: usize,
    /// What it refused, per object.
    pub errors: Vec<ObjectError>,
    /// The call that failed as a whole; nothing was sent after it.
    pub failed: Option<ActionError>,
}

impl Sent {
    /// The error, if anything went wrong, with what may have happened.
    pub(super) fn error(self) -> Option<ActionError> {
        if let Some(failed) = self.failed {
            let effect = match (self.deleted, failed.effect) {
                (n, EffectCertainty::None) if n > 0 => EffectCertainty::Partial,
                (_, effect) => effect,
            };
            return Some(failed.effect(effect));
        }
        let first = self.errors.first()?;
        let effect = if self.deleted > 0 { EffectCertainty::Partial } else { EffectCertainty::None };
        let text = format!(
            "s3:DeleteObjects refused {} of {} objects, the first: {}: {} ({})",
            self.errors.len(),
            self.errors.len() + self.deleted,
            first.key,
            first.code,
            first.message
        );
        Some(ActionError::refused(text).effect(effect))
    }
}

/// Sends DeleteObjects for these, 1,000 at a time.
pub(super) async fn delete(cx: WriteCx<'_>, bucket: &str, objects: Vec<ObjectRef>) -> Sent {
    let mut sent = Sent::default();
    for chunk in objects.chunks(CHUNK) {
        let mutation = Mutation::DeleteObjects { bucket: bucket.to_owned(), objects: chunk.to_vec() };
        match cx.gate.send(mutation).await {
            Ok(reply) => match reply.outcome {
                Outcome::Objects { deleted, mut errors } => {
                    sent.deleted += deleted.len();
                    sent.errors.append(&mut errors);
                }
                _ => sent.deleted += chunk.len(),
            },
            Err(e) => {
                sent.failed = Some(e.into());
                break;
            }
        }
    }
    sent
}

/// The keys of a record, for looking them up again.
pub(super) fn keys(recorded: &[Recorded]) -> Vec<String> {
    recorded.iter().map(|r| r.key.clone()).collect()
}

/// The recorded objects with what lies on them now. With a prefix they are found by listing it once, else key by key.
/// What nobody can tell the meaning of, a version that is gone above all, is believed only where all looks of the
/// settling time agree.
pub(super) async fn states<'r>(
    cx: ReadCx<'_>,
    bucket: &str,
    prefix: Option<&str>,
    recorded: &'r [Recorded],
) -> CloudResult<Vec<(&'r Recorded, State)>> {
    let unclear = |s: &State| matches!(s, State::Unclear(_) | State::Between(..));
    let clear = |all: &Vec<(&Recorded, State)>| !all.iter().any(|(_, s)| unclear(s));
    look::agreed(cx, clear, || seen(cx, bucket, prefix, recorded)).await
}

/// The same of one look.
pub(super) async fn seen<'r>(
    cx: ReadCx<'_>,
    bucket: &str,
    prefix: Option<&str>,
    recorded: &'r [Recorded],
) -> CloudResult<Vec<(&'r Recorded, State)>> {
    let keys = keys(recorded);
    let which = prefix.map_or(Which::Keys(&keys), Which::Prefix);
    let last = keys.iter().max().map_or("", String::as_str);
    let stacks = stacks(cx, bucket, which, UpTo::Key(last)).await?;
    Ok(recorded.iter().map(|r| (r, state(r, stacks.get(&r.key).map_or(&[], Vec::as_slice)))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(id: &str, latest: bool, marker: bool) -> ObjectVersion {
        ObjectVersion { key: "k".to_owned(), version: id.to_owned(), latest, marker, modified: None }
    }

    fn recorded() -> Recorded {
        Recorded {
            key: "k".to_owned(),
            current: "v2".to_owned(),
            known: ["v1", "v2", "m0"].map(str::to_owned).into(),
        }
    }

    #[test]
    fn what_lies_on_an_object_is_told_from_ids_alone() {
        let (v1, m0) = (version("v1", false, false), version("m0", false, true));
        let (v2, under) = (version("v2", true, false), version("v2", false, false));
        let check = |stack: &[&ObjectVersion]| {
            state(&recorded(), &stack.iter().copied().cloned().collect::<Vec<_>>())
        };
        assert_eq!(check(&[&v2, &v1, &m0]), State::AsBefore);
        // lifecycle has taken an old version away: still as before
        assert_eq!(check(&[&v2]), State::AsBefore);
        let m1 = version("m1", true, true);
        assert_eq!(check(&[&m1, &under, &m0, &v1]), State::Marked(vec![m1.clone()]));
        let m2 = version("m2", false, true);
        assert_eq!(check(&[&m1, &m2, &under]), State::Marked(vec![m1.clone(), m2.clone()]));
        let v3 = version("v3", true, false);
        assert_eq!(check(&[&v3, &under]), State::Overwritten(vec![]));
        // written anew over a marker: it is current, and the marker does no harm
        assert_eq!(check(&[&v3, &m2, &under]), State::Overwritten(vec![m2.clone()]));
        // and deleted again: what is right nobody can tell
        let v3 = version("v3", false, false);
        assert!(
            matches!(check(&[&m1, &v3, &under]), State::Between(markers, _) if markers == vec![m1.clone()])
        );
        assert!(matches!(check(&[&m1, &v1]), State::Unclear(_)), "the version itself is gone");
        assert!(matches!(check(&[]), State::Unclear(_)));
        // an older marker became current again: somebody removed the version above it
        assert!(matches!(check(&[&version("m0", true, true), &under]), State::Unclear(_)));
    }

    #[test]
    fn an_error_says_what_may_have_happened() {
        let refused =
            || ObjectError { key: "k".to_owned(), code: "AccessDenied".to_owned(), message: "no".to_owned() };
        let effect = |sent: Sent| sent.error().map(|e| e.effect);
        assert_eq!(effect(Sent { deleted: 3, ..Sent::default() }), None);
        let none = Sent { errors: vec![refused()], ..Sent::default() };
        assert_eq!(effect(none), Some(EffectCertainty::None));
        let some = Sent { deleted: 1, errors: vec![refused()], failed: None };
        assert_eq!(effect(some), Some(EffectCertainty::Partial));
        let later = Sent { deleted: 1000, errors: vec![], failed: Some(ActionError::refused("throttled")) };
        assert_eq!(effect(later), Some(EffectCertainty::Partial));
        let lost = ActionError::refused("no answer").effect(EffectCertainty::Unknown);
        let lost = Sent { deleted: 1000, errors: vec![], failed: Some(lost) };
        assert_eq!(effect(lost), Some(EffectCertainty::Unknown));
    }

    #[test]
    fn exactly_one_way_to_say_which() {
        let keys = ["a".to_owned()];
        assert!(Which::from(Some("p/"), &[]).is_ok());
        assert!(Which::from(None, &keys).is_ok());
        assert!(Which::from(Some("p/"), &keys).is_err());
        assert!(Which::from(None, &[]).is_err());
    }
}
