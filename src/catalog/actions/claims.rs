//! What somebody has said since, by tags, of what a run made: then it is not the run's to remove. Pure.
//!
//! Invariant: a tag that the run made it with says nothing.

use crate::catalog::action::ReadCx;
use crate::model::Tags;
use crate::model::target::TAG_KEPT;

/// The tag by which somebody wants it to stay: `redrill:kept`, or one that marks what no run may touch.
pub(super) fn claimed(cx: ReadCx<'_>, now: &Tags, made_with: &Tags) -> Option<String> {
    let forbids = |key: &str, value: &str| {
        let mut rules = cx.forbid_tags.iter().flatten().filter_map(|rules| rules.get(key));
        rules.any(|forbidden| forbidden.matches(value))
    };
    let added = now.iter().filter(|(key, value)| made_with.get(*key) != Some(*value));
    let mut claims = added.filter(|(key, value)| *key == TAG_KEPT || forbids(key, value));
    claims.next().map(|(key, value)| if value.is_empty() { key.clone() } else { format!("{key}={value}") })
}
