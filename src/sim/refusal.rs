//! How the simulated account refuses: AWS's error codes, and what kind of failure each is. Pure.

use crate::cloud::{CloudError, EffectCertainty, ErrorKind};

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
        let mut e =
            CloudError::new(operation, kind_of(self.code), self.message).code(self.code).effect(self.effect);
        e.request_id = Some(request_id.to_owned());
        e
    }
}

/// The kind of failure that a code of AWS's stands for.
pub(super) fn kind_of(code: &str) -> ErrorKind {
    match code {
        "IncorrectInstanceState"
        | "OperationNotPermitted"
        | "UnsupportedOperation"
        | "DependencyViolation"
        | "InvalidDBInstanceState"
        | "Resource.AlreadyAssociated"
        | "PointInTimeRestoreNotEnabled" => ErrorKind::State,
        "DBInstanceAlreadyExists" | "InvalidationBatchAlreadyExists" => ErrorKind::AlreadyExists,
        "NoSuchBucket"
        | "NoSuchDistribution"
        | "NoSuchResource"
        | "TargetGroupNotFound"
        | "ResourceNotFoundException"
        | "DBInstanceNotFound"
        | "DBSubnetGroupNotFoundFault" => ErrorKind::NotFound,
        c if c.ends_with(".NotFound") => ErrorKind::NotFound,
        "InsufficientInstanceCapacity" => ErrorKind::Capacity,
        "InstanceQuotaExceeded"
        | "InsufficientFreeAddressesInSubnet"
        | "TooManyInvalidationsInProgress"
        | "TagLimitExceeded" => ErrorKind::Limit,
        "AccessDenied" | "UnauthorizedOperation" => ErrorKind::Denied,
        "RequestLimitExceeded" => ErrorKind::Throttled,
        "InternalError" => ErrorKind::Server,
        _ => ErrorKind::Invalid,
    }
}
