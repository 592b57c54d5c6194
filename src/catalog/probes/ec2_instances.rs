//! `ec2.instances`: how many instances are in a state.
//!
//! Invariant: every page is read, and what a run made is not counted unless the drill says so.

use std::collections::BTreeMap;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::answer::is_reference;
use crate::catalog::action::ReadCx;
use crate::catalog::probe::{Probe, ProbeSpec, Reading};
use crate::cloud::{Filter, all_pages};
use crate::model::target::TAG_RUN;
use crate::model::{Dur, OneOrMany, Tags};

/// `ec2.instances`.
pub struct Ec2Instances;

/// Parameters of `ec2.instances`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// Tags with their accepted values (`*` and `?` allowed); all must match.
    pub tags: BTreeMap<String, OneOrMany>,
    /// States that count.
    #[serde(default = "running")]
    pub state: OneOrMany,
    /// Unhealthy with fewer than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<usize>,
    /// Unhealthy with more than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<usize>,
    /// Whether to count what a run made, such as replacements that were just launched.
    #[serde(default)]
    pub include_run_made: bool,
}

fn running() -> OneOrMany {
    OneOrMany::from("running")
}

static SPEC: ProbeSpec = ProbeSpec {
    name: "ec2.instances",
    summary: "Counts the instances with these tags that are in a state.",
    permissions: &["ec2:DescribeInstances"],
    timeout: Dur::secs(5),
    docs: "Reads every page of DescribeInstances and counts what matches all `tags` and one of `state` (default \
`running`). Healthy when the count is at least `at_least` and at most `at_most`.

Instances that carry `redrill:run` are left out: what a drill made must not be what makes it look recovered. In a \
drill that replaces instances the replacements are what is waited for; set `include_run_made: true` there.",
};

/// Whether every selector matches; a tag that is missing matches nothing.
pub(super) fn tags_match(selectors: &BTreeMap<String, OneOrMany>, tags: &Tags) -> bool {
    selectors.iter().all(|(key, values)| tags.get(key).is_some_and(|v| values.matches(v)))
}

/// What narrows the listing on AWS's side; the result is matched again here.
pub(super) fn tag_filter(selectors: &BTreeMap<String, OneOrMany>) -> Filter {
    let tags = selectors.iter().map(|(k, v)| (k.clone(), v.values().to_vec())).collect();
    Filter { ids: Vec::new(), tags }
}

/// What is wrong with a selector by tags.
pub(super) fn check_tags(name: &str, selectors: &BTreeMap<String, OneOrMany>) -> Vec<String> {
    let mut out = Vec::new();
    if selectors.is_empty() {
        out.push(format!("`{name}` is empty; name at least one tag"));
    }
    for (key, _) in selectors.iter().filter(|(_, v)| v.is_empty()) {
        out.push(format!("`{name}.{key}` has no value, so nothing could match"));
    }
    out
}

const STATES: [&str; 6] = ["pending", "running", "shutting-down", "terminated", "stopping", "stopped"];

#[async_trait]
impl Probe for Ec2Instances {
    type Params = Params;

    fn spec(&self) -> &'static ProbeSpec {
        &SPEC
    }

    fn check(&self, params: &Params) -> Vec<String> {
        let mut out = check_tags("tags", &params.tags);
        match (params.at_least, params.at_most) {
            (None, None) => out.push("say how many: `at_least`, `at_most` or both".to_owned()),
            (Some(least), Some(most)) if least > most => {
                out.push(format!("`at_least: {least}` is more than `at_most: {most}`"));
            }
            (Some(0), None) => out.push("`at_least: 0` always holds".to_owned()),
            _ => {}
        }
        for state in params.state.values().iter().filter(|s| !is_reference(s)) {
            if !STATES.iter().any(|known| crate::model::pattern::matches(state, known)) {
                out.push(format!("`state: {state}` is none of {}", STATES.join(", ")));
            }
        }
        out
    }

    fn any_answer(&self, params: &Params) -> bool {
        // one that is stopped or terminated counts all the same
        let whatever_state = STATES.iter().all(|state| params.state.matches(state));
        (params.at_least.is_none_or(|n| n == 0) || whatever_state) && params.at_most.is_none()
    }

    async fn observe(&self, cx: ReadCx<'_>, params: &Params) -> Reading {
        let filter = &tag_filter(&params.tags);
        let found = match all_pages(|page| cx.reads.ec2.instances(filter, page)).await {
            Ok(found) => found,
            Err(e) => return Reading::unknown(e.to_string()),
        };
        let count = found
            .iter()
            .filter(|i| tags_match(&params.tags, &i.tags))
            .filter(|i| params.include_run_made || !i.tags.contains_key(TAG_RUN))
            .filter(|i| params.state.matches(&i.state))
            .count();
        let least = params.at_least.is_none_or(|n| count >= n);
        let most = params.at_most.is_none_or(|n| count <= n);
        let wanted = match (params.at_least, params.at_most) {
            (Some(n), None) => format!(" of at least {n}"),
            (None, Some(n)) => format!(" of at most {n}"),
            (Some(a), Some(b)) => format!(" of {a} to {b}"),
            (None, None) => String::new(),
        };
        Reading::judged(least && most, format!("{count}{wanted} {}", params.state))
    }
}
