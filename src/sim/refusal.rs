//! How the simulated account refuses: with AWS's error codes. Pure.

use crate::cloud::{CloudError, EffectCertainty, codes};

/// A refused call, before it knows its operation and request id.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub(super) code: &'static str,
    pub(super) message: String,
    pub(super) effect: EffectCertainty,
}

/// The result of an operation inside the account.
pub(super) type Answer<T> = Result<T, Refusal>;

/// A refusal that changed nothing.
pub(super) fn refuse(code: &'static str, message: impl Into<String>) -> Refusal {
    Refusal { code, message: message.into(), effect: EffectCertainty::None }
}

impl Refusal {
    /// Of a call on several resources nobody can say which ones were done before it failed.
    pub(super) fn of_batch(mut self, size: usize) -> Self {
        if size > 1 {
            self.effect = EffectCertainty::Partial;
        }
        self
    }

    pub(super) fn into_error(self, operation: &str, request_id: &str) -> CloudError {
        // what a code means is what it means where AWS says it
        let (kind, _) = codes::classify(operation, Some(self.code), Some(400), false);
        let mut e = CloudError::new(operation, kind, self.message).code(self.code).effect(self.effect);
        e.request_id = Some(request_id.to_owned());
        e
    }
}
