//! `plan.json`: writing a plan with its hash, and reading it back only as it was written. Pure.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{FORMAT, Plan, PlanFile};
use crate::catalog::kinds;
use crate::model::text::escaped;

/// Why a plan file cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// Not JSON, or not a plan.
    #[error("this is no plan: {0}")]
    NotAPlan(String),
    /// Written in another format.
    #[error("the plan has format {found}; this redrill reads formats 1 to {FORMAT}. Plan again")]
    Format {
        /// The format found.
        found: String,
    },
    /// The hash does not fit.
    #[error(
        "the plan was edited after it was made: its hash is {actual}, the file says {stated}. \
         Change the drill and plan again"
    )]
    Edited {
        /// The hash that the file states.
        stated: String,
        /// The hash of what it holds.
        actual: String,
    },
    /// It holds what this version does not know.
    #[error("the plan was made by redrill {made_by}, which this version cannot read: {reason}. Plan again")]
    Unknown {
        /// The version that made it.
        made_by: String,
        /// What is not understood.
        reason: String,
    },
}

/// The text of `plan.json`.
///
/// # Panics
/// Never: a plan always serialises.
pub fn write(plan: &Plan) -> String {
    let file = PlanFile { plan: plan.clone(), sha256: plan.sha256(), will: None };
    let text = serde_json::to_string_pretty(&file).expect("BUG: a plan serialises");
    let mut text = escaped(&text);
    text.push('\n');
    text
}

/// Reads `plan.json`.
///
/// # Errors
/// Where the text is no plan, was edited, or holds what this version does not know.
pub fn read(text: &str) -> Result<Plan, FileError> {
    let not = |e: String| FileError::NotAPlan(e);
    let _once: Once = serde_json::from_str(text).map_err(|e| not(e.to_string()))?;
    let whole: Value = serde_json::from_str(text).map_err(|e| not(e.to_string()))?;
    let plan = whole.get("plan").ok_or_else(|| not("it has no `plan`".to_owned()))?;
    let stated =
        whole.get("sha256").and_then(Value::as_str).ok_or_else(|| not("it has no `sha256`".to_owned()))?;
    let format = plan.get("format").cloned().unwrap_or_default();
    if !format.as_u64().is_some_and(|f| (1..=u64::from(FORMAT)).contains(&f)) {
        return Err(FileError::Format { found: format.to_string() });
    }
    let bytes = serde_json_canonicalizer::to_vec(plan).map_err(|e| not(e.to_string()))?;
    let actual: String = Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
    if actual != stated {
        return Err(FileError::Edited { stated: stated.to_owned(), actual });
    }
    let made_by = plan.get("redrill").and_then(Value::as_str).unwrap_or("?").to_owned();
    let unknown = |reason: String| FileError::Unknown { made_by: made_by.clone(), reason };
    let file: PlanFile = serde_path_to_error::deserialize(&whole).map_err(|e| unknown(e.to_string()))?;
    let planned = file.plan.targets.values().map(|t| t.resource);
    let drawn = file.plan.targets.values().flat_map(|t| &t.drawn).map(|t| t.kind);
    let limited = file.plan.rules().map(|r| r.limits().kinds.keys().copied().collect::<Vec<_>>());
    let selected = file.plan.drill.targets.values().map(|t| t.resource);
    let mut named = planned.chain(drawn).chain(selected).chain(limited.into_iter().flatten());
    if let Some(kind) = named.find(|k| kinds::spec(*k).is_none()) {
        return Err(unknown(format!("`{kind}` is no kind of resource")));
    }
    // what the types would drop on reading is not allowed to hide either
    if file.plan.sha256() != file.sha256 {
        return Err(unknown("it holds fields that are not known here".to_owned()));
    }
    // it is beside the hash, so it could tell whoever reads it anything
    if file.will.as_ref().is_some_and(|will| *will != super::will::of(&file.plan)) {
        return Err(unknown("its `will` does not follow from its plan".to_owned()));
    }
    Ok(file.plan)
}

/// JSON in which no key stands twice: of two values, another reader could take the other one.
struct Once;

impl<'de> Deserialize<'de> for Once {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for Once {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self, A::Error> {
        let mut seen = BTreeSet::new();
        while let Some(key) = map.next_key::<String>()? {
            let _below: Self = map.next_value()?;
            if let Some(key) = seen.replace(key) {
                return Err(A::Error::custom(format!("`{key}` stands there twice")));
            }
        }
        Ok(Self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self, A::Error> {
        while seq.next_element::<Self>()?.is_some() {}
        Ok(Self)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(Self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(Self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(Self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(Self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(Self)
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(Self)
    }
}
