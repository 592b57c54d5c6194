//! What went wrong with a call, and whether it may have had an effect. Pure.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use crate::model::EffectCertainty;

/// The kinds of failure that redrill treats differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// The resource does not exist (yet, or any more).
    NotFound,
    /// The resource exists already.
    AlreadyExists,
    /// Throttled: refused, safe to send again later.
    Throttled,
    /// The caller lacks a permission.
    Denied,
    /// The credentials have expired or are invalid.
    Expired,
    /// No credentials were found.
    NoCredentials,
    /// No region was given.
    NoRegion,
    /// The resource is in a state that does not allow this.
    State,
    /// The request itself is wrong.
    Invalid,
    /// A quota or a limit of the service.
    Limit,
    /// No capacity for this type in this zone at the moment.
    Capacity,
    /// The endpoint could not be reached: nothing was sent.
    Unreachable,
    /// No answer in time, or the connection broke after sending.
    Timeout,
    /// An answer came that says neither what was done nor what was refused.
    Unreadable,
    /// The service failed (5xx).
    Server,
    /// The clocks of caller and service differ by too much.
    ClockSkew,
    /// The journal could not be written, so the call was not sent.
    Journal,
    /// Anything else.
    Other,
}

impl ErrorKind {
    /// Whether somebody has to log in before any call can be accepted.
    pub fn wants_login(self) -> bool {
        matches!(self, Self::Expired | Self::NoCredentials)
    }
}

/// AWS takes a signature of up to five minutes before or after its own time (S3: fifteen), in milliseconds.
pub const CLOCK_LIMIT_MS: i64 = 5 * 60_000;

/// How far off this machine's clock is, in words; `ahead_ms` counts from AWS's.
pub fn clock_is_off(ahead_ms: i64) -> String {
    let way = if ahead_ms < 0 { "behind" } else { "ahead of" };
    format!("this machine's clock is {} s {way} AWS's", ahead_ms.abs() / 1000)
}

/// A failed call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub struct CloudError {
    /// The operation as AWS names it, for example `ec2:TerminateInstances`.
    pub operation: String,
    /// What kind of failure.
    pub kind: ErrorKind,
    /// AWS's error code, where there was an answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// AWS's message, or what happened instead of an answer.
    pub message: String,
    /// The request id, where there was an answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Whether something may have changed. Reads always carry `None`.
    pub effect: EffectCertainty,
}

impl CloudError {
    /// An error that surely changed nothing.
    pub fn new(operation: impl Into<String>, kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            operation: operation.into(),
            kind,
            code: None,
            message: message.into(),
            request_id: None,
            effect: EffectCertainty::None,
        }
    }

    /// With AWS's error code.
    #[must_use]
    pub fn code(mut self, code: impl Into<String>) -> Self {
        self.code = Some(code.into());
        self
    }

    /// With what may have happened.
    #[must_use]
    pub fn effect(mut self, effect: EffectCertainty) -> Self {
        self.effect = effect;
        self
    }

    /// Whether the resource was not found.
    pub fn is_not_found(&self) -> bool {
        self.kind == ErrorKind::NotFound
    }
}

impl fmt::Display for CloudError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.operation)?;
        if let Some(code) = &self.code {
            write!(f, "{code}: ")?;
        }
        f.write_str(&self.message)
    }
}
