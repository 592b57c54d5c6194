//! What a probe is: it reads the world once and says healthy, unhealthy or unknown.
//!
//! A probe that errs is unknown, never healthy. The caller bounds the time and keeps the rhythm;
//! probes neither wait, retry nor remember.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::action::ReadCx;
use crate::model::Dur;
pub use crate::model::Health;

/// One answer of a probe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// The judgement.
    pub health: Health,
    /// What was seen, short: `200 in 12 ms`, `2 of 3 running`, `connection refused`.
    pub seen: String,
    /// The source's own time (UTC), for instance when an alarm changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<DateTime<Utc>>,
}

impl Reading {
    /// Healthy if `ok`, else unhealthy.
    pub fn judged(ok: bool, seen: impl Into<String>) -> Self {
        let health = if ok { Health::Healthy } else { Health::Unhealthy };
        Self { health, seen: seen.into(), at: None }
    }

    /// Could not be read.
    pub fn unknown(why: impl Into<String>) -> Self {
        Self { health: Health::Unknown, seen: why.into(), at: None }
    }
}

/// Everything static about a probe.
#[derive(Clone, Debug, Serialize)]
pub struct ProbeSpec {
    /// For example `http`.
    pub name: &'static str,
    /// One sentence.
    pub summary: &'static str,
    /// IAM permissions.
    pub permissions: &'static [&'static str],
    /// How long one observation may take, if the drill does not say.
    pub timeout: Dur,
    /// A few paragraphs.
    pub docs: &'static str,
}

/// What a probe needs of the world before it can look, known beforehand.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// An environment variable, set.
    Variable(String),
    /// A file on this machine.
    File(String),
    /// A secret in Secrets Manager that says all that a login takes.
    Secret(String),
}

impl Need {
    /// Of what.
    pub fn name(&self) -> &str {
        match self {
            Self::Variable(name) | Self::File(name) | Self::Secret(name) => name,
        }
    }
}

/// A probe, typed. Implement this; [`DynProbe`] follows by itself.
#[async_trait]
pub trait Probe: Send + Sync + 'static {
    /// The parameters under `with`.
    type Params: DeserializeOwned + Serialize + JsonSchema + Send + Sync;

    /// Everything static.
    fn spec(&self) -> &'static ProbeSpec;

    /// Checks that the schema cannot express; each a message.
    fn check(&self, _params: &Self::Params) -> Vec<String> {
        Vec::new()
    }

    /// What it asks, where, and what it gives away for it, in one short phrase: what the plan shows.
    fn asks(&self, params: &Self::Params) -> String {
        in_words(&serde_json::to_value(params).unwrap_or_default())
    }

    /// What else there is to know before somebody allows it, one line each: what is sent, what is expected.
    fn details(&self, _params: &Self::Params) -> Vec<String> {
        Vec::new()
    }

    /// What it needs; a reference stands where a name will.
    fn needs(&self, _params: &Self::Params) -> Vec<Need> {
        Vec::new()
    }

    /// Why only a run may look, and no command that merely reads: it would change something, or give
    /// something away.
    fn only_in_a_run(&self, _params: &Self::Params) -> Option<&'static str> {
        None
    }

    /// Whether every answer is a healthy one: then it shows nothing.
    fn any_answer(&self, _params: &Self::Params) -> bool {
        false
    }

    /// Looks once.
    async fn observe(&self, cx: ReadCx<'_>, params: &Self::Params) -> Reading;

    /// What no answer in time means. Unknown, unless the silence is what a client of the service feels.
    fn timed_out(&self, after: std::time::Duration) -> Reading {
        Reading::unknown(format!("no answer within {} ms", after.as_millis()))
    }

    /// What an answer means to a stop condition: that it is no breach is healthy there.
    fn as_stop(&self, reading: Reading) -> Reading {
        reading
    }
}

/// A probe with its types erased.
#[async_trait]
pub trait DynProbe: Send + Sync {
    /// Everything static.
    fn spec(&self) -> &'static ProbeSpec;
    /// The JSON Schema of the parameters.
    fn params_schema(&self) -> schemars::Schema;
    /// The messages of everything wrong with the parameters.
    fn check(&self, params: &Value) -> Vec<String>;
    /// What it asks, where, and what it gives away for it.
    fn asks(&self, params: &Value) -> String;
    /// What else there is to know before somebody allows it.
    fn details(&self, params: &Value) -> Vec<String>;
    /// What it needs.
    fn needs(&self, params: &Value) -> Vec<Need>;
    /// Why only a run may look.
    fn only_in_a_run(&self, params: &Value) -> Option<&'static str>;
    /// Whether every answer is a healthy one.
    fn any_answer(&self, params: &Value) -> bool;
    /// Looks once.
    async fn observe(&self, cx: ReadCx<'_>, params: &Value) -> Reading;
    /// What no answer in time means.
    fn timed_out(&self, after: std::time::Duration) -> Reading;
    /// What an answer means to a stop condition.
    fn as_stop(&self, reading: Reading) -> Reading;
}

/// Parameters as `name value, name value`; what is not set is left out.
fn in_words(params: &Value) -> String {
    let text = |v: &Value| match v {
        Value::Null | Value::Bool(false) => String::new(),
        Value::String(s) => s.clone(),
        other => other.to_string(),
    };
    let list = |v: &Value| match v {
        Value::Array(items) => items.iter().map(text).collect::<Vec<_>>().join("|"),
        one => text(one),
    };
    let value = |v: &Value| match v {
        Value::Object(entries) => {
            entries.iter().map(|(k, v)| format!("{k}={}", list(v))).collect::<Vec<_>>().join(" ")
        }
        other => list(other),
    };
    let all = params.as_object().into_iter().flatten().map(|(name, v)| (name, value(v)));
    all.filter(|(_, v)| !v.is_empty()).map(|(name, v)| format!("{name} {v}")).collect::<Vec<_>>().join(", ")
}

fn read<T: DeserializeOwned>(params: &Value) -> Result<T, String> {
    let value = if params.is_null() { Value::Object(serde_json::Map::new()) } else { params.clone() };
    serde_json::from_value(value).map_err(|e| format!("with: {e}"))
}

#[async_trait]
impl<P: Probe> DynProbe for P {
    fn spec(&self) -> &'static ProbeSpec {
        Probe::spec(self)
    }

    fn params_schema(&self) -> schemars::Schema {
        schemars::schema_for!(P::Params)
    }

    fn check(&self, params: &Value) -> Vec<String> {
        match read::<P::Params>(params) {
            Ok(p) => Probe::check(self, &p),
            Err(e) => vec![e],
        }
    }

    fn asks(&self, params: &Value) -> String {
        match read::<P::Params>(params) {
            Ok(p) => Probe::asks(self, &p),
            // a reference stands where a number or a duration will
            Err(_) => in_words(params),
        }
    }

    fn details(&self, params: &Value) -> Vec<String> {
        read::<P::Params>(params).map(|p| Probe::details(self, &p)).unwrap_or_default()
    }

    fn needs(&self, params: &Value) -> Vec<Need> {
        read::<P::Params>(params).map(|p| Probe::needs(self, &p)).unwrap_or_default()
    }

    fn only_in_a_run(&self, params: &Value) -> Option<&'static str> {
        match read::<P::Params>(params) {
            Ok(p) => Probe::only_in_a_run(self, &p),
            Err(_) => Some("its parameters have no value yet"),
        }
    }

    fn any_answer(&self, params: &Value) -> bool {
        // a reference stands where a number will: what it comes to is not known
        read::<P::Params>(params).is_ok_and(|p| Probe::any_answer(self, &p))
    }

    async fn observe(&self, cx: ReadCx<'_>, params: &Value) -> Reading {
        match read::<P::Params>(params) {
            Ok(p) => Probe::observe(self, cx, &p).await,
            Err(e) => Reading::unknown(e),
        }
    }

    fn timed_out(&self, after: std::time::Duration) -> Reading {
        Probe::timed_out(self, after)
    }

    fn as_stop(&self, reading: Reading) -> Reading {
        Probe::as_stop(self, reading)
    }
}
