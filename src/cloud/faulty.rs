//! A decorator over [`Mutate`] that fails calls on purpose: for the crash harness and for rehearsing
//! bad days. It never invents an effect: a lost answer is sent on, then forgotten.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;

use super::{
    CloudError, CloudResult, EffectCertainty, ErrorKind, Mutate, Mutation, ObjectError, Outcome, Reply,
};

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The change is made, the answer is lost.
    LoseAnswer,
    /// The request never arrives, and nobody can tell.
    LoseRequest,
    /// Refused with a throttling error.
    Throttle,
    /// Refused for want of a permission.
    Deny,
    /// Refused because what it is for is not known (yet), though it is there.
    Missing,
    /// Refused because of the state that it is in.
    State,
    /// Refused because the credentials have expired.
    Expire,
    /// Refused because this machine's clock is off.
    Skew,
    /// A 5xx; the change is not made, but the error does not say so.
    ServerError,
    /// Every second object of a batch fails, in an answer that is none of an error; other changes pass.
    Partial,
}

/// Decides for the n-th call (from 0) and its content whether and how it fails.
pub type Decide = dyn Fn(usize, &Mutation) -> Option<Fault> + Send + Sync;

/// Fails the calls that `decide` picks.
pub struct Faulty {
    inner: Arc<dyn Mutate>,
    decide: Box<Decide>,
    calls: AtomicUsize,
}

impl Faulty {
    /// Wraps `inner`.
    pub fn new(
        inner: Arc<dyn Mutate>,
        decide: impl Fn(usize, &Mutation) -> Option<Fault> + Send + Sync + 'static,
    ) -> Self {
        Self { inner, decide: Box::new(decide), calls: AtomicUsize::new(0) }
    }

    /// Sends half of the objects on, and answers for the others as S3 does.
    async fn part(&self, mutation: &Mutation) -> CloudResult<Reply> {
        let Mutation::DeleteObjects { bucket, objects } = mutation else {
            return self.inner.send(mutation).await;
        };
        let (sent, failing): (Vec<_>, Vec<_>) =
            objects.iter().cloned().enumerate().partition(|(n, _)| n % 2 == 0);
        let objects = sent.into_iter().map(|(_, object)| object).collect();
        let mut reply = self.inner.send(&Mutation::DeleteObjects { bucket: bucket.clone(), objects }).await?;
        if let Outcome::Objects { errors, .. } = &mut reply.outcome {
            errors.extend(failing.into_iter().map(|(_, object)| ObjectError {
                key: object.key,
                code: "InternalError".to_owned(),
                message: "internal error (injected)".to_owned(),
            }));
        }
        Ok(reply)
    }

    /// How many calls came by.
    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Mutate for Faulty {
    async fn send(&self, mutation: &Mutation) -> CloudResult<Reply> {
        let n = self.calls.fetch_add(1, Ordering::SeqCst);
        let op = mutation.operation();
        match (self.decide)(n, mutation) {
            None => self.inner.send(mutation).await,
            Some(Fault::LoseAnswer) => {
                let _lost = self.inner.send(mutation).await;
                Err(CloudError::new(op, ErrorKind::Timeout, "no answer (injected)")
                    .effect(EffectCertainty::Unknown))
            }
            Some(Fault::LoseRequest) => Err(CloudError::new(op, ErrorKind::Timeout, "no answer (injected)")
                .effect(EffectCertainty::Unknown)),
            Some(Fault::Throttle) => {
                Err(CloudError::new(op, ErrorKind::Throttled, "rate exceeded (injected)")
                    .code("RequestLimitExceeded"))
            }
            Some(Fault::Deny) => Err(CloudError::new(op, ErrorKind::Denied, "not authorized (injected)")
                .code("UnauthorizedOperation")),
            Some(Fault::Missing) => Err(CloudError::new(op, ErrorKind::NotFound, "not found (injected)")),
            Some(Fault::State) => Err(CloudError::new(op, ErrorKind::State, "not in this state (injected)")),
            Some(Fault::Expire) => {
                Err(CloudError::new(op, ErrorKind::Expired, "the token has expired (injected)")
                    .code("ExpiredToken"))
            }
            Some(Fault::Skew) => {
                Err(CloudError::new(op, ErrorKind::ClockSkew, "the request time is too far off (injected)")
                    .code("RequestTimeTooSkewed"))
            }
            Some(Fault::Partial) => self.part(mutation).await,
            Some(Fault::ServerError) => {
                Err(CloudError::new(op, ErrorKind::Server, "internal error (injected)")
                    .code("InternalError")
                    .effect(EffectCertainty::Unknown))
            }
        }
    }
}
