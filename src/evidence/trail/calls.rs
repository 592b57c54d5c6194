//! The journal's calls, as far as a comparison with records needs them. Pure.

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::named::{self, Named};
use crate::journal::{Event, Line, Phase};
use crate::model::{CallError, EffectCertainty, StepId};

/// A call that the journal says was about to be sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The number of the journal's line.
    pub seq: u64,
    /// Its number.
    pub call: u64,
    /// The step.
    pub step: Option<StepId>,
    /// What for.
    pub phase: Phase,
    /// The operation, `service:Action`.
    pub operation: String,
    /// When it was about to be sent.
    pub sent_at: DateTime<Utc>,
    /// When an answer was recorded.
    pub answered_at: Option<DateTime<Utc>>,
    /// AWS's request id.
    pub request_id: Option<String>,
    /// How it failed.
    pub error: Option<CallError>,
    /// The bucket, where it is about one.
    pub bucket: Option<String>,
    /// The names of what it is about: ids, identifiers, ARNs.
    pub names: Vec<String>,
    /// The same by what they name.
    pub(super) named: Named,
}

/// Parameters whose text names a resource.
const NAMING: &[&str] = &[
    "ids",
    "id",
    "vpc",
    "table",
    "subnet",
    "association",
    "allocation",
    "instance",
    "group",
    "identifier",
    "target",
    "arn",
    "bucket",
    "distribution",
    "caller_reference",
    "token",
];

/// The calls of a journal, in its order.
pub fn calls(lines: &[Line]) -> Vec<Call> {
    let mut found: Vec<Call> = Vec::new();
    for line in lines {
        match &line.event {
            Event::CallSent { call, step, phase, operation, params, .. } => {
                let mut names = Vec::new();
                collect(params, &mut names);
                found.push(Call {
                    seq: line.seq,
                    call: *call,
                    step: step.clone(),
                    phase: *phase,
                    operation: operation.clone(),
                    sent_at: line.stamp.at,
                    answered_at: None,
                    request_id: None,
                    error: None,
                    bucket: params.get("bucket").and_then(Value::as_str).map(str::to_owned),
                    names,
                    named: named::of_call(params),
                });
            }
            Event::CallAnswered { call, request_id, error, .. } => {
                if let Some(open) = found.iter_mut().rev().find(|c| c.call == *call) {
                    open.answered_at = Some(line.stamp.at);
                    open.request_id = request_id.clone().filter(|id| !id.is_empty());
                    open.error.clone_from(error);
                }
            }
            _ => {}
        }
    }
    found
}

/// The names in a call's own parameters and in `spec`, but not in what a resource is made like.
fn collect(params: &Value, names: &mut Vec<String>) {
    let Some(fields) = params.as_object() else { return };
    for (key, value) in fields {
        match value {
            Value::String(s) if NAMING.contains(&key.as_str()) => names.push(s.clone()),
            Value::Array(items) if NAMING.contains(&key.as_str()) => {
                names.extend(items.iter().filter_map(Value::as_str).map(str::to_owned));
            }
            Value::Object(_) if key == "spec" => collect(value, names),
            _ => {}
        }
    }
}

impl Call {
    /// Whether it never left this machine.
    pub fn never_sent(&self) -> bool {
        let kinds = ["unreachable", "no_credentials", "no_region", "journal"];
        self.request_id.is_none() && self.error.as_ref().is_some_and(|e| kinds.contains(&e.kind.as_str()))
    }

    /// Whether AWS accepted it, as far as the journal says; `None` where it may or may not have.
    pub fn accepted(&self) -> Option<bool> {
        match &self.error {
            _ if self.answered_at.is_none() => None,
            None => Some(true),
            Some(error) => (error.effect == EffectCertainty::None).then_some(false),
        }
    }

    /// Why AWS need not have a record of it, by how it failed. "Requests that are denied by a VPC endpoint policy, but
    /// otherwise would have been allowed, are not recorded in CloudTrail" (AWS KMS and Amazon ECS Developer Guides); of
    /// a request that ended in an error of the service itself no document says that it is.
    pub fn unrecorded(&self) -> Option<&'static str> {
        let error = self.error.as_ref()?;
        match error.kind.as_str() {
            "throttled" | "expired" | "clock_skew" => {
                Some("it was refused before the service looked at it; such calls need not be recorded")
            }
            "server" => Some("the service failed while it answered; such calls need not be recorded"),
            "denied" if error.message.contains("VPC endpoint policy") => {
                Some("a VPC endpoint policy denied it; such calls are not recorded")
            }
            _ => None,
        }
    }

    /// Whether it is about objects, which a trail records only where data events are switched on.
    pub fn is_data_event(&self) -> bool {
        self.operation == "s3:DeleteObjects"
    }
}

#[cfg(test)]
mod tests;
