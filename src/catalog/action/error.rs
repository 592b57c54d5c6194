//! Why an action failed, and what a person is to do about it. Pure.
//!
//! Left to others: what follows from it; whoever undoes or steps decides by the effect and by
//! [`ActionError::in_vain`].

use serde::{Deserialize, Serialize};

use crate::cloud::agreed::Failure;
use crate::cloud::{CloudError, EffectCertainty, ErrorKind};

/// Why an action failed, and whether it may have had an effect.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{message}")]
pub struct ActionError {
    /// What happened, a lower-case fragment.
    pub message: String,
    /// Whether something may have changed.
    pub effect: EffectCertainty,
    /// The kind of the underlying call's error, if one caused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<ErrorKind>,
    /// Set where somebody else acted or a person must decide: trying again is useless.
    #[serde(default)]
    pub hopeless: bool,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl ActionError {
    /// An error that surely changed nothing.
    pub fn refused(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            effect: EffectCertainty::None,
            kind: None,
            hopeless: false,
            hint: None,
        }
    }

    /// Somebody else acted, or the way back is gone: a person is needed.
    pub fn hopeless(message: impl Into<String>) -> Self {
        Self { hopeless: true, ..Self::refused(message) }
    }

    /// With what may have happened.
    #[must_use]
    pub fn effect(mut self, effect: EffectCertainty) -> Self {
        self.effect = effect;
        self
    }

    /// With what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl ActionError {
    /// Whether trying again is in vain. A permission that is missing does not come by waiting, and the time
    /// until a step's limit is time in which a fault stays in place.
    pub fn in_vain(&self) -> bool {
        self.hopeless || self.kind == Some(ErrorKind::Denied)
    }
}

impl Failure for ActionError {
    fn is_throttled(&self) -> bool {
        self.kind == Some(ErrorKind::Throttled)
    }
}

impl From<CloudError> for ActionError {
    fn from(e: CloudError) -> Self {
        Self { message: e.to_string(), effect: e.effect, kind: Some(e.kind), hopeless: false, hint: None }
    }
}
