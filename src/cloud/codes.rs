//! What AWS's error codes mean: the kind of failure, and whether it may have had an effect. Pure.
//!
//! For whatever speaks to AWS. The codes are those of AWS's service models for the calls that redrill sends, of "Common
//! Errors", and of the lists in the Amazon EC2 and Amazon S3 API references. Invariant: a failure is
//! `EffectCertainty::None` only where AWS surely refused the call. Not for: failures without an answer.

use super::{EffectCertainty, ErrorKind};

/// What kind of failure an AWS code and HTTP status mean, and whether something may have changed.
pub fn classify(
    operation: &str,
    code: Option<&str>,
    status: Option<u16>,
    many: bool,
) -> (ErrorKind, EffectCertainty) {
    let kind = code.and_then(kind_of_code).unwrap_or_else(|| kind_of_status(code, status));
    let effect = match kind {
        ErrorKind::Server | ErrorKind::Timeout | ErrorKind::Unreadable => EffectCertainty::Unknown,
        // A code that names the refusal decides; an unknown one only with a status that refuses.
        ErrorKind::Other if !matches!(status, Some(400..=499)) => EffectCertainty::Unknown,
        _ if many && may_be_partial(operation, code, kind) => EffectCertainty::Partial,
        _ => EffectCertainty::None,
    };
    (kind, effect)
}

/// What to say of a HEAD request that S3 refused: its answer has no body, so it gives no reason. `None` for any other
/// request.
pub fn without_reason(operation: &str, status: u16) -> Option<String> {
    let credentials = "check the credentials first: `aws sts get-caller-identity`";
    let why = match (operation, status) {
        ("s3:HeadObject" | "s3:HeadBucket", 301 | 302 | 307 | 308) => {
            "the bucket is in another region".to_owned()
        }
        ("s3:HeadObject" | "s3:HeadBucket", 400) => {
            format!("{credentials}; they may have expired, or the bucket is in another region")
        }
        ("s3:HeadObject" | "s3:HeadBucket", 401 | 403) => {
            format!("{credentials}, then the permissions for this bucket, its objects and their key")
        }
        _ => return None,
    };
    Some(format!("HTTP {status} without a reason, as S3 answers HEAD requests: {why}"))
}

/// TerminateInstances acts zone by zone: unprotected instances of one zone may be gone although a
/// protected one in another zone fails the call. Only refusals of the whole call are exempt.
/// StartInstances may meet the end of the capacity half-way through.
fn may_be_partial(operation: &str, code: Option<&str>, kind: ErrorKind) -> bool {
    let refused_as_a_whole = matches!(
        kind,
        ErrorKind::NotFound
            | ErrorKind::Throttled
            | ErrorKind::Denied
            | ErrorKind::Expired
            | ErrorKind::NoCredentials
            | ErrorKind::ClockSkew
    ) || code == Some("InvalidInstanceID.Malformed");
    match operation {
        "ec2:TerminateInstances" => !refused_as_a_whole,
        "ec2:StartInstances" => matches!(kind, ErrorKind::Capacity | ErrorKind::Limit),
        _ => false,
    }
}

fn kind_of_code(code: &str) -> Option<ErrorKind> {
    // Query services name the fault, REST ones the exception; some prefix the guilty side.
    let code = code.strip_prefix("Client.").or_else(|| code.strip_prefix("Server.")).unwrap_or(code);
    let bare = code.strip_suffix("Exception").or_else(|| code.strip_suffix("Fault")).unwrap_or(code);
    if let Some(why) = bare.strip_prefix("KMS").map(|why| why.strip_prefix('.').unwrap_or(why)) {
        return Some(kind_of_key(why));
    }
    Some(match bare {
        // a token of S3's is the session's; `InvalidTokenException` is about the next page of a listing
        "InvalidToken" if code != "InvalidToken" => ErrorKind::Invalid,
        "RequestLimitExceeded"
        | "Throttling"
        | "Throttled"
        | "ThrottledException"
        | "EC2Throttled"
        | "RequestThrottled"
        | "TooManyRequests"
        | "SlowDown"
        | "BandwidthLimitExceeded"
        | "PriorRequestNotComplete"
        | "ProvisionedThroughputExceeded"
        | "ConcurrentTagAccess"
        | "TransactionInProgress" => ErrorKind::Throttled,

        "RequestTimeTooSkewed" | "RequestInTheFuture" => ErrorKind::ClockSkew,
        "ExpiredToken"
        | "RequestExpired"
        | "InvalidClientTokenId"
        | "AuthFailure"
        | "UnrecognizedClient"
        | "InvalidAccessKeyId"
        | "SignatureDoesNotMatch"
        | "InvalidSignature"
        | "InvalidToken"
        | "InvalidSecurityToken"
        | "TokenRefreshRequired"
        | "IncompleteSignature"
        | "MissingAuthenticationToken" => ErrorKind::Expired,
        "AccessDenied"
        | "UnauthorizedOperation"
        | "Unauthorized"
        | "UnauthorizedAccess"
        | "NotAuthorized"
        | "AuthorizationNotFound"
        | "AllAccessDisabled"
        | "AccountProblem"
        | "Blocked"
        | "PendingVerification"
        | "OptInRequired"
        | "NotSignedUp"
        | "InvalidPayer"
        | "VpcEndpointAccessDenied"
        | "DecryptionFailure"
        | "EncryptionFailure"
        | "Disabled" => ErrorKind::Denied,

        // the bucket is in another region: sent again to the same place, it is never accepted
        "PermanentRedirect"
        | "TemporaryRedirect"
        | "Redirect"
        | "AuthorizationHeaderMalformed"
        | "IllegalLocationConstraint"
        | "IncorrectEndpoint" => ErrorKind::Invalid,

        "OperationNotPermitted"
        | "DependencyViolation"
        | "IncorrectState"
        | "IncorrectInstanceState"
        | "IncorrectSpotRequestState"
        | "Resource.AlreadyAssociated"
        | "InvalidState"
        | "InvalidStateTransition"
        | "PointInTimeRestoreNotEnabled"
        | "UnsupportedOperation"
        | "OperationAborted"
        | "PreconditionFailed"
        | "PreconditionNotMet"
        | "ConditionalRequestConflict"
        | "DBUpgradeDependencyFailure"
        | "OperationInProgress"
        | "ConcurrentModification"
        | "VolumeInUse"
        | "ResourceInUse"
        | "Conflict"
        | "InvalidObjectState" => ErrorKind::State,

        "InsufficientFreeAddressesInSubnet"
        | "MaxSpotInstanceCountExceeded"
        | "PrivateIpAddressLimitExceeded"
        | "MaxIOPSLimitExceeded" => ErrorKind::Limit,
        "ProvisionedIopsNotAvailableInAZ" | "ReservationCapacityExceeded" => ErrorKind::Capacity,
        "InternalError"
        | "InternalFailure"
        | "ServiceUnavailable"
        | "Unavailable"
        | "InternalServerError"
        | "InternalService"
        | "InternalServiceError"
        | "ServiceFailure"
        | "HealthUnavailable"
        | "PolicyEvaluation"
        | "ResourceContention"
        | "DependencyTimeout"
        | "KeyUnavailable" => ErrorKind::Server,
        "RequestTimeout" => ErrorKind::Timeout,
        "NotImplemented"
        | "ValidationError"
        | "Validation"
        | "IdempotentParameterMismatch"
        | "Unsupported"
        | "UnknownParameter"
        | "UnknownAction"
        | "EncryptionTypeMismatch"
        | "InconsistentQuantities"
        | "IncorrectKey"
        | "MethodNotAllowed"
        | "VPCIdNotSpecified"
        | "VPCResourceNotSpecified"
        | "VpcEncryptionControlViolation"
        | "DBSubnetGroupDoesNotCoverEnoughAZs"
        // a subnet group that no longer covers its zones: it does not settle
        | "InvalidVPCNetworkState" => ErrorKind::Invalid,
        _ if bare.ends_with("NotFound") || bare.ends_with("NotFoundError") || bare.starts_with("NoSuch") => {
            ErrorKind::NotFound
        }
        _ if bare.contains("AlreadyExists")
            || bare == "ResourceExists"
            || bare.contains("AlreadyOwnedByYou")
            || bare.ends_with("Duplicate") =>
        {
            ErrorKind::AlreadyExists
        }
        _ if bare.starts_with("Insufficient") && (bare.ends_with("Capacity") || bare.ends_with("CapacityOnHost")) => ErrorKind::Capacity,
        _ if bare.contains("LimitExceeded")
            || bare.contains("QuotaExceeded")
            || bare.starts_with("TooMany") =>
        {
            ErrorKind::Limit
        }
        _ if bare.starts_with("Invalid") && bare.ends_with("State") => ErrorKind::State,
        _ if ["Invalid", "Missing", "Malformed", "BadRequest"].iter().any(|p| bare.starts_with(p))
            || bare.ends_with("NotSupported")
            || bare.ends_with("TooLarge") =>
        {
            ErrorKind::Invalid
        }
        _ => return None,
    })
}

/// What a code about a key of AWS KMS means, whichever service answers with it. A key that is missing or disabled is no
/// missing resource and does not come back by waiting.
fn kind_of_key(why: &str) -> ErrorKind {
    match why {
        "Throttling" | "Throttled" | "RequestLimitExceeded" => ErrorKind::Throttled,
        "LimitExceeded" => ErrorKind::Limit,
        "Internal" | "KeyUnavailable" | "DependencyTimeout" => ErrorKind::Server,
        "InvalidKeyUsage" | "InvalidGrantToken" | "InvalidKeyId" | "InvalidArn" | "UnsupportedOperation" => {
            ErrorKind::Invalid
        }
        _ => ErrorKind::Denied,
    }
}

/// A status without a code says little: a bare 404 is an unknown path, not a missing resource.
fn kind_of_status(code: Option<&str>, status: Option<u16>) -> ErrorKind {
    match status {
        // S3's way to say that a bucket is elsewhere
        Some(301 | 302 | 307 | 308) => ErrorKind::Invalid,
        Some(401 | 403) => ErrorKind::Denied,
        Some(404) if code.is_some() => ErrorKind::NotFound,
        Some(409 | 412) => ErrorKind::State,
        Some(429) => ErrorKind::Throttled,
        Some(408) => ErrorKind::Timeout,
        Some(500..=599) => ErrorKind::Server,
        _ => ErrorKind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_kinds_and_effects() {
        use EffectCertainty::{None as Nothing, Unknown};
        use ErrorKind as K;
        let table = [
            ("InvalidInstanceID.NotFound", 400, K::NotFound, Nothing),
            ("InvalidInstanceID.Malformed", 400, K::Invalid, Nothing),
            ("InvalidRouteTableID.NotFound", 400, K::NotFound, Nothing),
            ("InvalidAssociationID.NotFound", 400, K::NotFound, Nothing),
            ("DBInstanceNotFound", 404, K::NotFound, Nothing),
            ("DBInstanceNotFoundFault", 404, K::NotFound, Nothing),
            ("ReplicationConfigurationNotFoundError", 404, K::NotFound, Nothing),
            ("ResourceNotFoundException", 400, K::NotFound, Nothing),
            ("NoSuchBucket", 404, K::NotFound, Nothing),
            ("NoSuchKey", 404, K::NotFound, Nothing),
            ("NoSuchDistribution", 404, K::NotFound, Nothing),
            ("NoSuchInvalidation", 404, K::NotFound, Nothing),
            ("DBInstanceAlreadyExists", 400, K::AlreadyExists, Nothing),
            ("AccessDenied", 403, K::Denied, Nothing),
            ("AccessDeniedException", 400, K::Denied, Nothing),
            ("UnauthorizedOperation", 403, K::Denied, Nothing),
            ("ExpiredToken", 400, K::Expired, Nothing),
            ("ExpiredTokenException", 400, K::Expired, Nothing),
            ("RequestExpired", 400, K::Expired, Nothing),
            ("InvalidClientTokenId", 403, K::Expired, Nothing),
            ("AuthFailure", 401, K::Expired, Nothing),
            ("UnrecognizedClientException", 400, K::Expired, Nothing),
            ("InvalidAccessKeyId", 403, K::Expired, Nothing),
            ("SignatureDoesNotMatch", 403, K::Expired, Nothing),
            ("RequestTimeTooSkewed", 403, K::ClockSkew, Nothing),
            ("RequestLimitExceeded", 503, K::Throttled, Nothing),
            ("SlowDown", 503, K::Throttled, Nothing),
            ("Throttling", 400, K::Throttled, Nothing),
            ("ThrottlingException", 400, K::Throttled, Nothing),
            ("TooManyRequestsException", 429, K::Throttled, Nothing),
            ("TooManyInvalidationsInProgress", 400, K::Limit, Nothing),
            ("InstanceLimitExceeded", 400, K::Limit, Nothing),
            ("InstanceQuotaExceeded", 400, K::Limit, Nothing),
            ("StorageQuotaExceededFault", 400, K::Limit, Nothing),
            ("InsufficientInstanceCapacity", 500, K::Capacity, Nothing),
            ("InsufficientDBInstanceCapacityFault", 400, K::Capacity, Nothing),
            ("IncorrectInstanceState", 400, K::State, Nothing),
            ("InvalidDBInstanceState", 400, K::State, Nothing),
            ("InvalidDBInstanceStateFault", 400, K::State, Nothing),
            ("InvalidDBClusterStateFault", 400, K::State, Nothing),
            ("OperationNotPermitted", 400, K::State, Nothing),
            ("DependencyViolation", 400, K::State, Nothing),
            ("Resource.AlreadyAssociated", 400, K::State, Nothing),
            ("InvalidParameterCombination", 400, K::Invalid, Nothing),
            ("MissingParameter", 400, K::Invalid, Nothing),
            ("MalformedXML", 400, K::Invalid, Nothing),
            ("SomethingNew", 400, K::Other, Nothing),
            ("SomethingNew", 200, K::Other, Unknown),
            ("InternalError", 500, K::Server, Unknown),
            ("ServiceUnavailable", 503, K::Server, Unknown),
            ("SomethingNew", 500, K::Server, Unknown),
            ("RequestTimeout", 400, K::Timeout, Unknown),
            ("PermanentRedirect", 301, K::Invalid, Nothing),
            ("TemporaryRedirect", 307, K::Invalid, Nothing),
            ("AuthorizationHeaderMalformed", 400, K::Invalid, Nothing),
            ("IllegalLocationConstraintException", 400, K::Invalid, Nothing),
            // a key is no missing resource, and nothing that waiting brings back
            ("KMS.DisabledException", 400, K::Denied, Nothing),
            ("KMS.NotFoundException", 400, K::Denied, Nothing),
            ("KMS.KMSInvalidStateException", 400, K::Denied, Nothing),
            ("KMSInvalidStateException", 400, K::Denied, Nothing),
            ("KMSKeyNotAccessibleFault", 400, K::Denied, Nothing),
            ("KMS.ThrottlingException", 400, K::Throttled, Nothing),
            ("KMSInternalException", 500, K::Server, Unknown),
            ("DisabledException", 400, K::Denied, Nothing),
            ("KeyUnavailableException", 500, K::Server, Unknown),
            ("DecryptionFailure", 400, K::Denied, Nothing),
            // the token of a session is not that of a page
            ("InvalidToken", 400, K::Expired, Nothing),
            ("InvalidTokenException", 400, K::Invalid, Nothing),
            ("InvalidNextToken", 400, K::Invalid, Nothing),
            ("InvalidNextTokenException", 400, K::Invalid, Nothing),
            ("InvalidPaginationToken", 400, K::Invalid, Nothing),
            ("InvalidPaginationTokenException", 400, K::Invalid, Nothing),
            ("ResourceExistsException", 400, K::AlreadyExists, Nothing),
            ("PreconditionNotMetException", 400, K::State, Nothing),
            ("DBUpgradeDependencyFailure", 400, K::State, Nothing),
            ("InvalidVPCNetworkStateFault", 400, K::Invalid, Nothing),
            ("StorageTypeNotSupported", 400, K::Invalid, Nothing),
            ("NetworkTypeNotSupported", 400, K::Invalid, Nothing),
            ("DBSubnetGroupDoesNotCoverEnoughAZs", 400, K::Invalid, Nothing),
            ("ProvisionedIopsNotAvailableInAZFault", 400, K::Capacity, Nothing),
            ("InsufficientHostCapacity", 500, K::Capacity, Nothing),
            ("ReservationCapacityExceeded", 400, K::Capacity, Nothing),
            ("InsufficientCapacityOnHost", 400, K::Capacity, Nothing),
            ("ConcurrentTagAccess", 400, K::Throttled, Nothing),
            ("SnapshotQuotaExceeded", 400, K::Limit, Nothing),
            ("TooManyTargets", 400, K::Limit, Nothing),
            ("BatchTooLarge", 413, K::Invalid, Nothing),
            ("EncryptionTypeMismatch", 400, K::Invalid, Nothing),
            ("InternalServiceError", 500, K::Server, Unknown),
            ("ServiceFailure", 500, K::Server, Unknown),
            ("ResourceContention", 500, K::Server, Unknown),
        ];
        for (code, status, kind, effect) in table {
            let seen = classify("ec2:RunInstances", Some(code), Some(status), false);
            assert_eq!(seen, (kind, effect), "{code} {status}");
        }
    }

    #[test]
    fn a_status_without_a_code_never_means_not_found() {
        let kind = |status| classify("cloudwatch:DescribeAlarms", None, Some(status), false);
        assert_eq!(kind(404), (ErrorKind::Other, EffectCertainty::None));
        assert_eq!(kind(403), (ErrorKind::Denied, EffectCertainty::None));
        assert_eq!(kind(502), (ErrorKind::Server, EffectCertainty::Unknown));
        assert_eq!(kind(301), (ErrorKind::Invalid, EffectCertainty::None));
        assert_eq!(kind(307), (ErrorKind::Invalid, EffectCertainty::None));
        // HEAD has no body; the SDK supplies the code
        assert_eq!(classify("s3:HeadObject", Some("NotFound"), Some(404), false).0, ErrorKind::NotFound);
    }

    #[test]
    fn a_refused_batch_may_have_gone_through_in_part() {
        let effect = |operation: &str, code: &str, status: u16, many: bool| {
            classify(operation, Some(code), Some(status), many).1
        };
        let terminate = "ec2:TerminateInstances";
        use EffectCertainty::{None as Nothing, Partial, Unknown};
        assert_eq!(effect(terminate, "OperationNotPermitted", 400, true), Partial);
        assert_eq!(effect(terminate, "OperationNotPermitted", 400, false), Nothing);
        assert_eq!(effect(terminate, "SomethingNew", 400, true), Partial);
        assert_eq!(effect(terminate, "InternalError", 500, true), Unknown);
        for whole in [
            "InvalidInstanceID.NotFound",
            "InvalidInstanceID.Malformed",
            "UnauthorizedOperation",
            "RequestLimitExceeded",
            "ExpiredToken",
        ] {
            assert_eq!(effect(terminate, whole, 400, true), Nothing, "{whole}");
        }
        assert_eq!(effect("ec2:StartInstances", "InsufficientInstanceCapacity", 500, true), Partial);
        assert_eq!(effect("ec2:StopInstances", "IncorrectInstanceState", 400, true), Nothing);
    }

    #[test]
    fn a_head_request_without_a_reason_says_what_to_check_and_others_are_left_as_they_are() {
        let said = |status| without_reason("s3:HeadBucket", status).unwrap_or_default();
        for status in [400, 403] {
            assert!(said(status).contains("aws sts get-caller-identity"), "{}", said(status));
        }
        assert!(said(301).ends_with("the bucket is in another region"), "{}", said(301));
        assert_eq!(without_reason("s3:HeadObject", 500), None);
        assert_eq!(without_reason("s3:GetObject", 403), None);
    }
}
