//! Which secrets cannot be kept out of a journal. Pure.
//!
//! [`super::redaction`] takes a secret out of values by its text, and leaves names, ids and the words of the
//! format alone: the run could not be carried on from them otherwise. So a secret that stands in one of those
//! would be on disk as it is, and is refused before anything happens. What is compared is gathered from the
//! plan and from the types that are written, never from a list kept by hand.
//!
//! A secret is refused where it is part of such a word, and where it is little else than one (then the word
//! gives it away). Both are told without regard to case. A random password of usual length is neither: none
//! of the words holds it, and no word is half of it.

use std::cell::LazyCell;
use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde_json::Value;

use super::undone::{ALREADY, NOTHING, PUT_BACK};
use crate::catalog::{actions::ACTIONS, kinds, probes::PROBES};
use crate::cloud::ErrorKind;
use crate::journal::Line;
use crate::model::{RunId, Target, naming, target};
use crate::plan::{Plan, PlannedStep};

/// The fewest characters of a secret parameter: a shorter one is part of other words.
pub const SHORTEST: usize = 6;

/// Why a secret cannot be kept out of the journal. The value is not in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Too short to be told from other texts.
    #[error("the secret parameter `{0}` has fewer than {SHORTEST} characters")]
    Short(String),
    /// It is a name or an id of the plan, part of one, or little else.
    #[error("the value of the secret parameter `{0}` is also part of what the plan names")]
    Named(String),
    /// It is a word that the journal is written in.
    #[error("the value of the secret parameter `{0}` is also a word that every journal is written with")]
    Word(String),
}

impl Unfit {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Short(_) => "so short a text cannot be told from others and kept out of the journal",
            Self::Named(_) => {
                "names and ids stand in the plan, the journal and every report, so it could not be kept out of them: \
                 change the secret where it is used, then give the new one"
            }
            Self::Word(_) => {
                "so common a word could not be kept out of the journal: change the secret where it is used, \
                 then give the new one"
            }
        }
    }
}

/// The first secret that could not be kept out of the journal of a run of this plan; `also` are names that
/// the plan does not know: the run's id, who runs it, where.
///
/// # Errors
/// Which, and why.
pub fn check(plan: &Plan, also: &[&str], secrets: &BTreeMap<String, String>) -> Result<(), Unfit> {
    if secrets.is_empty() {
        return Ok(());
    }
    let mut named = BTreeSet::new();
    gather(&serde_json::to_value(plan).unwrap_or_default(), &mut named);
    named.extend(also.iter().map(|name| name.to_lowercase()));
    named.extend(also.iter().flat_map(|run| made(plan, run)));
    let words = words();
    for (name, secret) in secrets {
        if secret.chars().count() < SHORTEST {
            return Err(Unfit::Short(name.clone()));
        }
        let secret = secret.to_lowercase();
        if named.iter().any(|word| stands_in(&secret, word)) {
            return Err(Unfit::Named(name.clone()));
        }
        if words.iter().any(|word| stands_in(&secret, word)) {
            return Err(Unfit::Word(name.clone()));
        }
    }
    Ok(())
}

/// The names that a run of this id gives to what it makes.
fn made(plan: &Plan, run: &str) -> Vec<String> {
    let run = RunId::from_existing(run);
    let of_step = |step: &PlannedStep| {
        let copy = |t: &Target| {
            let copy = naming::copy_identifier(&run, &step.id, &t.id);
            [naming::final_snapshot(&copy), naming::launch_token(&run, &step.id, &t.id)]
        };
        let copies = plan.targets_of(step).iter().flat_map(copy);
        copies.chain([naming::empty_table(&step.id)]).map(|name| name.to_lowercase()).collect::<Vec<_>>()
    };
    plan.steps.iter().flat_map(of_step).collect()
}

/// Whether a line stands in a word of the plan, or in one that every journal is written with: where it is one of a secret
/// of several lines, taking it out of what people read would take the plan's own words out, and everybody knows it.
pub fn is_word(plan: &Plan) -> impl Fn(&str) -> bool + '_ {
    let known = LazyCell::new(move || {
        let mut known = words();
        gather(&serde_json::to_value(plan).unwrap_or_default(), &mut known);
        known
    });
    move |line| {
        let line = line.to_lowercase();
        known.iter().any(|word| word.contains(&line))
    }
}

/// Whether the secret is part of the word, or the word is more than half of the secret.
fn stands_in(secret: &str, word: &str) -> bool {
    let long_enough = word.chars().count() >= SHORTEST;
    word.contains(secret) || (long_enough && word.len() * 2 > secret.len() && secret.contains(word))
}

/// Every text of a value, and every name of a field.
fn gather(value: &Value, into: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => _ = into.insert(text.to_lowercase()),
        Value::Array(items) => items.iter().for_each(|v| gather(v, into)),
        Value::Object(map) => {
            into.extend(map.keys().map(|key| key.to_lowercase()));
            map.values().for_each(|v| gather(v, into));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// What a journal is written in, beside what its plan names.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is read")]
struct Format {
    line: Line,
    error: ErrorKind,
}

/// The words of the format, from the types that are written and from the catalogue.
fn words() -> BTreeSet<String> {
    let mut words = BTreeSet::new();
    of_schema(schemars::schema_for!(Format).as_value(), &mut words);
    let mut add = |word: &str| _ = words.insert(word.to_lowercase());
    for action in ACTIONS {
        let spec = action.spec();
        add(spec.name);
        spec.outputs.iter().for_each(|o| add(o.name));
        let p = spec.permissions;
        [p.prepare, p.apply, p.poll, p.undo].into_iter().flatten().for_each(|permission| add(permission));
    }
    for kind in kinds::all() {
        add(kind.name());
    }
    for probe in PROBES {
        add(probe.spec().name);
        probe.spec().permissions.iter().for_each(|permission| add(permission));
    }
    for tag in [target::TAG_HELD, target::TAG_RUN, target::TAG_STEP, target::TAG_KEPT] {
        add(tag);
    }
    for how in [PUT_BACK, ALREADY, NOTHING] {
        add(how);
    }
    words
}

/// The names of fields and the words that may stand in them; no descriptions.
fn of_schema(schema: &Value, into: &mut BTreeSet<String>) {
    match schema {
        Value::Array(items) => items.iter().for_each(|v| of_schema(v, into)),
        Value::Object(map) => {
            for (key, value) in map {
                match (key.as_str(), value) {
                    ("const", Value::String(word)) => _ = into.insert(word.to_lowercase()),
                    ("enum", words) => gather(words, into),
                    ("properties", Value::Object(fields)) => {
                        into.extend(fields.keys().map(|field| field.to_lowercase()));
                        fields.values().for_each(|v| of_schema(v, into));
                    }
                    (_, value) => of_schema(value, into),
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_secret_is_no_part_of_a_name_that_the_run_will_give() {
        let plan = crate::engine::testing::plan_of(crate::engine::testing::LOSS).await;
        let secrets = [("pw".to_owned(), "orders-redrill".to_owned())].into();
        let named = Err(Unfit::Named("pw".to_owned()));
        assert_eq!(check(&plan, &["20260921T141322Z-loss-aaaaaa"], &secrets), named);
        assert_eq!(check(&plan, &[], &secrets), Ok(()), "as far as the plan says");
    }

    #[test]
    fn the_words_are_those_that_a_journal_is_written_in() {
        let words = words();
        for word in [
            "step-ready",
            "stage",
            "recovery",
            "preflight",
            "objective-missed",
            "mono_ms",
            "plan_sha256",
            "stop-condition",
            "rollback",
            "unhealthy",
            "throttled",
            "redrill:held",
            "rds:addtagstoresource",
            "ec2.terminate-instances",
            "request_id",
            "emulator",
            "identifier",
        ] {
            assert!(words.contains(word), "{word} is not among {words:?}");
        }
        // sentences of the documentation are none
        assert!(words.iter().all(|w| !w.contains(' ')), "{words:?}");
    }

    #[test]
    fn a_secret_is_a_word_where_it_is_part_of_one_or_little_else() {
        for secret in ["shop-orders", "orders", "p-orde", "shop-orders-2026!", "x-shop-orders"] {
            assert!(stands_in(secret, "shop-orders"), "{secret}");
        }
        for secret in ["Orders", "t7#orders", "a-long-passphrase-with-shop-orders-in-it", "kQ8vZ2pLr0"] {
            assert!(!stands_in(secret, "shop-orders"), "{secret}");
        }
        assert!(!stands_in("https", "http") && !stands_in("shopping", "shop"));
    }
}
