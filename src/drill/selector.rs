//! Which resources a selector matches, and which of them are drawn. Pure.
//!
//! The draw can be repeated with a shell: order the matches by the SHA-256 of `SEED:ID` and take the
//! first n. `for i in $ids; do printf '%s %s\n' "$(printf '%s' "$seed:$i" | sha256sum | cut -c1-64)" "$i"; done | sort`
//! prints that order.

use sha2::{Digest as _, Sha256};

use super::schema::{Select, TargetSpec};
use crate::catalog::kinds;
use crate::model::{Target, target};

/// Fewer resources match than the selector wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{wanted} wanted, {matched} match")]
pub struct TooFew {
    /// How many the selector wants.
    pub wanted: usize,
    /// How many match.
    pub matched: usize,
}

/// Whether the selector matches the resource: its kind, all its tags, all its attributes. What an
/// earlier run made, and instances that are gone, match only if the selector asks for them.
pub fn matches(spec: &TargetSpec, target: &Target) -> bool {
    if spec.resource != target.kind {
        return false;
    }
    if !spec.include_run_made && target.tags.contains_key(target::TAG_RUN) {
        return false;
    }
    // EC2 lists terminated instances for an hour or so
    let kind = kinds::spec(target.kind).filter(|k| k.lingers);
    if kind.is_some_and(|k| k.end_of(target).is_some() && !spec.attrs.contains_key(k.state)) {
        return false;
    }
    let tags = spec.tags.iter().all(|(k, want)| target.tags.get(k).is_some_and(|v| want.matches(v)));
    tags && spec.attrs.iter().all(|(k, want)| {
        // a distribution has several aliases; one that matches will do
        let values =
            target.attrs.get(k).map(|v| if k == "alias" { v.split(',').collect() } else { vec![v.as_str()] });
        values.is_some_and(|values: Vec<&str>| values.into_iter().any(|v| want.matches(v)))
    })
}

/// How many are drawn out of so many matches.
///
/// # Errors
/// Where the selector wants more than match.
pub fn wanted(select: Select, matched: usize) -> Result<usize, TooFew> {
    match select {
        Select::All => Ok(matched),
        Select::Count(n) => {
            let wanted = n as usize;
            if wanted > matched { Err(TooFew { wanted, matched }) } else { Ok(wanted) }
        }
        Select::Percent(p) => Ok((matched * usize::from(p)).div_ceil(100).min(matched)),
    }
}

/// Draws targets: the same ones for the same seed and the same candidates, whatever their order.
/// The result is sorted by id.
///
/// # Errors
/// Where the selector wants more than there are.
pub fn draw(select: Select, seed: u32, candidates: Vec<Target>) -> Result<Vec<Target>, TooFew> {
    let wanted = wanted(select, candidates.len())?;
    let mut order: Vec<([u8; 32], Target)> =
        candidates.into_iter().map(|t| (Sha256::digest(format!("{seed}:{}", t.id)).into(), t)).collect();
    order.sort_by(|(a, s), (b, t)| (a, &s.id).cmp(&(b, &t.id)));
    let mut drawn: Vec<Target> = order.into_iter().take(wanted).map(|(_, t)| t).collect();
    drawn.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(drawn)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::model::Tags;

    fn instance(id: &str, tags: &[(&str, &str)], state: &str) -> Target {
        Target {
            kind: kinds::EC2_INSTANCE,
            id: id.to_owned(),
            arn: None,
            name: None,
            tags: tags.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<Tags>(),
            attrs: BTreeMap::from([("state".to_owned(), state.to_owned())]),
        }
    }

    fn spec(json: serde_json::Value) -> TargetSpec {
        serde_json::from_value(json).expect("a selector")
    }

    #[test]
    fn tags_and_attributes_must_all_match() {
        let web = spec(
            serde_json::json!({"resource": "ec2.instance", "tags": {"service": "shop", "env": ["staging", "test-*"]}}),
        );
        let shop = ("service", "shop");
        assert!(matches(&web, &instance("i-1", &[shop, ("env", "test-7")], "running")));
        assert!(!matches(&web, &instance("i-1", &[shop, ("env", "production")], "running")));
        assert!(!matches(&web, &instance("i-1", &[shop], "running")));
        let stopped = spec(serde_json::json!({"resource": "ec2.instance", "where": {"state": "stopped"}}));
        assert!(matches(&stopped, &instance("i-1", &[], "stopped")));
        assert!(!matches(&stopped, &instance("i-1", &[], "running")));
        let subnet = spec(serde_json::json!({"resource": "vpc.subnet", "tags": {"service": "shop"}}));
        assert!(!matches(&subnet, &instance("i-1", &[shop], "running")));
    }

    #[test]
    fn what_is_gone_or_made_by_a_run_is_left_out_unless_asked_for() {
        let shop = ("service", "shop");
        let mut web = spec(serde_json::json!({"resource": "ec2.instance", "tags": {"service": "shop"}}));
        assert!(!matches(&web, &instance("i-1", &[shop], "terminated")));
        assert!(!matches(&web, &instance("i-1", &[shop, (target::TAG_RUN, "r")], "running")));
        web.include_run_made = true;
        assert!(matches(&web, &instance("i-1", &[shop, (target::TAG_RUN, "r")], "running")));
        web.attrs.insert("state".to_owned(), "terminated".into());
        assert!(matches(&web, &instance("i-1", &[shop], "terminated")));
    }

    #[test]
    fn the_draw_is_the_one_that_sha256sum_gives() {
        // what the shell loop in this module's header prints for seed 7:
        //   8117a4c64fef… i-2
        //   9453450f2af0… i-4
        //   a72c5317ac8f… i-1
        //   e05add59d09a… i-3
        let all = ["i-1", "i-2", "i-3", "i-4"].map(|id| instance(id, &[], "running"));
        let drawn = draw(Select::Count(2), 7, all.to_vec()).unwrap();
        assert_eq!(drawn.iter().map(|t| t.id.as_str()).collect::<Vec<_>>(), ["i-2", "i-4"]);
    }

    #[test]
    fn shares_round_up_and_too_few_names_both_numbers() {
        assert_eq!(wanted(Select::Percent(1), 10), Ok(1));
        assert_eq!(wanted(Select::Percent(34), 3), Ok(2));
        assert_eq!(wanted(Select::Percent(100), 3), Ok(3));
        assert_eq!(wanted(Select::Percent(50), 0), Ok(0));
        let e = wanted(Select::Count(3), 2).unwrap_err();
        assert_eq!(e.to_string(), "3 wanted, 2 match");
    }

    #[test]
    fn an_instance_that_is_going_is_gone_and_nothing_else_is() {
        let web = spec(serde_json::json!({"resource": "ec2.instance", "tags": {"service": "shop"}}));
        let tags = [("service", "shop")];
        for (state, matched) in [
            ("running", true),
            ("stopped", true),
            ("stopping", true),
            ("shutting-down", false),
            ("terminated", false),
        ] {
            assert_eq!(matches(&web, &instance("i-1", &tags, state)), matched, "{state}");
        }
        let db = spec(serde_json::json!({"resource": "rds.instance", "tags": {"service": "shop"}}));
        let gone = Target { kind: kinds::RDS_INSTANCE, ..instance("db", &tags, "terminated") };
        assert!(matches(&db, &gone), "only EC2 lists what is gone");
        let both = spec(serde_json::json!({
            "resource": "ec2.instance", "tags": {"service": "shop"}, "where": {"state": "running", "zone": "a"},
        }));
        let mut here = instance("i-1", &tags, "running");
        assert!(!matches(&both, &here), "it has no zone");
        here.attrs.insert("zone".to_owned(), "a".to_owned());
        assert!(matches(&both, &here));
        here.tags.clear();
        assert!(!matches(&both, &here));
        // of several aliases one is enough; elsewhere a comma is a comma
        let cdn = |key: &str| {
            spec(serde_json::json!({"resource": "cloudfront.distribution", "where": {key: "b.example"}}))
        };
        let mut two = Target { kind: kinds::CLOUDFRONT_DISTRIBUTION, ..instance("E1", &[], "") };
        for key in ["alias", "domain"] {
            two.attrs.insert(key.to_owned(), "a.example,b.example".to_owned());
        }
        assert!(matches(&cdn("alias"), &two) && !matches(&cdn("domain"), &two));
        assert_eq!(wanted(Select::All, 3), Ok(3));
        assert_eq!((wanted(Select::Count(3), 3), wanted(Select::Percent(50), 5)), (Ok(3), Ok(3)));
    }

    fn ids() -> impl Strategy<Value = Vec<String>> {
        proptest::collection::btree_set("i-[0-9a-f]{1,8}", 0..40).prop_map(|s| s.into_iter().collect())
    }

    proptest! {
        #[test]
        fn a_draw_is_a_subset_and_does_not_depend_on_order(ids in ids(), seed: u32, percent in 1u8..=100, turn in 0usize..40) {
            let all: Vec<Target> = ids.iter().map(|id| instance(id, &[], "running")).collect();
            let mut turned = all.clone();
            let n = turned.len();
            if n > 0 {
                turned.rotate_left(turn % n);
            }
            let drawn = draw(Select::Percent(percent), seed, all.clone()).unwrap();
            prop_assert_eq!(&drawn, &draw(Select::Percent(percent), seed, turned).unwrap());
            prop_assert!(drawn.iter().all(|t| all.contains(t)));
            prop_assert_eq!(drawn.len(), wanted(Select::Percent(percent), n).unwrap());
            prop_assert!(n == 0 || !drawn.is_empty());
        }

        #[test]
        fn a_smaller_draw_is_part_of_a_larger_one(ids in ids(), seed: u32, a in 0u32..40, b in 0u32..40) {
            let all: Vec<Target> = ids.iter().map(|id| instance(id, &[], "running")).collect();
            let n = u32::try_from(all.len()).unwrap();
            let (few, more) = (a.min(b).min(n), a.max(b).min(n));
            let few = draw(Select::Count(few), seed, all.clone()).unwrap();
            let more = draw(Select::Count(more), seed, all).unwrap();
            prop_assert!(few.iter().all(|t| more.contains(t)));
        }
    }
}
