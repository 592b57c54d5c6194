//! From the SDK's failures to [`CloudError`]: what went wrong, and whether it may have had an effect.
//!
//! For: [`failed_read`] and [`failed_change`], to be used in `map_err`. Not for: retries. Invariant:
//! a failure is `EffectCertainty::None` only where AWS surely refused the call or never got it. Pure.

use std::error::Error as StdError;

use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_types::request_id::RequestId as _;

use crate::cloud::{CloudError, EffectCertainty, ErrorKind};

/// Turns the failure of a read into a [`CloudError`]; a read never has an effect.
pub(super) fn failed_read<E>(operation: &str) -> impl FnOnce(SdkError<E, HttpResponse>) -> CloudError + '_
where
    E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
{
    move |error| from_sdk(operation, &error, false).effect(EffectCertainty::None)
}

/// Turns the failure of a change into a [`CloudError`]; `many` says that it named several resources.
pub(super) fn failed_change<E>(
    operation: &str,
    many: bool,
) -> impl FnOnce(SdkError<E, HttpResponse>) -> CloudError + '_
where
    E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
{
    move |error| from_sdk(operation, &error, many)
}

fn from_sdk<E>(operation: &str, error: &SdkError<E, HttpResponse>, many: bool) -> CloudError
where
    E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
{
    match error {
        SdkError::ServiceError(service) => {
            let meta = service.err().meta();
            let status = service.raw().status().as_u16();
            let (mut kind, effect) = classify(operation, meta.code(), Some(status), many);
            let message = match meta.message() {
                Some(message) if !message.is_empty() => message.to_owned(),
                _ => format!("HTTP {status}"),
            };
            if kind == ErrorKind::Expired && is_clock_skew(&message) {
                kind = ErrorKind::ClockSkew;
            }
            CloudError {
                operation: operation.to_owned(),
                kind,
                code: meta.code().map(str::to_owned),
                message,
                request_id: error.request_id().or_else(|| meta.request_id()).map(str::to_owned),
                effect,
            }
        }
        SdkError::ResponseError(response) => {
            let status = response.raw().status().as_u16();
            let (kind, message) = unreadable(status, &chain(response_source(error)));
            CloudError {
                operation: operation.to_owned(),
                kind,
                code: None,
                message,
                request_id: error.request_id().map(str::to_owned),
                effect: EffectCertainty::Unknown,
            }
        }
        SdkError::TimeoutError(_) => CloudError::new(operation, ErrorKind::Timeout, "no answer in time")
            .effect(EffectCertainty::Unknown),
        SdkError::ConstructionFailure(_) => {
            let source: &(dyn StdError + 'static) = error;
            credentials(operation, source)
                .unwrap_or_else(|| CloudError::new(operation, ErrorKind::Invalid, chain(Some(source))))
        }
        SdkError::DispatchFailure(dispatch) => {
            let source: &(dyn StdError + 'static) = error;
            if let Some(error) = credentials(operation, source) {
                return error;
            }
            let message = chain(Some(source));
            if never_connected(source) {
                CloudError::new(operation, ErrorKind::Unreachable, message)
            } else if dispatch.is_user() {
                CloudError::new(operation, ErrorKind::Invalid, message).effect(EffectCertainty::Unknown)
            } else {
                CloudError::new(operation, ErrorKind::Timeout, message).effect(EffectCertainty::Unknown)
            }
        }
        _ => {
            CloudError::new(operation, ErrorKind::Other, chain(Some(error))).effect(EffectCertainty::Unknown)
        }
    }
}

fn response_source<E>(error: &SdkError<E, HttpResponse>) -> Option<&(dyn StdError + 'static)>
where
    E: StdError + Send + Sync + 'static,
{
    error.source()
}

/// An answer that is not in the service's format: an emulator without this call, or a broken one.
fn unreadable(status: u16, why: &str) -> (ErrorKind, String) {
    match status {
        200..=399 => (ErrorKind::Timeout, format!("HTTP {status}, and the answer could not be read: {why}")),
        500..=599 => (ErrorKind::Server, format!("HTTP {status}: {why}")),
        _ => (ErrorKind::Other, format!("HTTP {status} without an AWS error: {why}")),
    }
}

/// What kind of failure an AWS code and HTTP status mean, and whether something may have changed.
pub(super) fn classify(
    operation: &str,
    code: Option<&str>,
    status: Option<u16>,
    many: bool,
) -> (ErrorKind, EffectCertainty) {
    let kind = code.and_then(kind_of_code).unwrap_or_else(|| kind_of_status(code, status));
    let effect = match kind {
        ErrorKind::Server | ErrorKind::Timeout => EffectCertainty::Unknown,
        // A code that names the refusal decides; an unknown one only with a status that refuses.
        ErrorKind::Other if !matches!(status, Some(400..=499)) => EffectCertainty::Unknown,
        _ if many && may_be_partial(operation, code, kind) => EffectCertainty::Partial,
        _ => EffectCertainty::None,
    };
    (kind, effect)
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
    Some(match bare {
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
        | "KMSKeyNotAccessible" => ErrorKind::Denied,

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
        | "VolumeInUse"
        | "ResourceInUse"
        | "Conflict"
        | "InvalidObjectState" => ErrorKind::State,

        "InsufficientFreeAddressesInSubnet" | "MaxSpotInstanceCountExceeded" => ErrorKind::Limit,
        "InternalError"
        | "InternalFailure"
        | "ServiceUnavailable"
        | "Unavailable"
        | "InternalServerError"
        | "InternalService" => ErrorKind::Server,
        "RequestTimeout" => ErrorKind::Timeout,
        "NotImplemented"
        | "ValidationError"
        | "Validation"
        | "IdempotentParameterMismatch"
        | "Unsupported"
        | "UnknownParameter"
        | "UnknownAction" => ErrorKind::Invalid,
        _ if bare.ends_with("NotFound") || bare.ends_with("NotFoundError") || bare.starts_with("NoSuch") => {
            ErrorKind::NotFound
        }
        _ if bare.contains("AlreadyExists")
            || bare.contains("AlreadyOwnedByYou")
            || bare.ends_with("Duplicate") =>
        {
            ErrorKind::AlreadyExists
        }
        _ if bare.starts_with("Insufficient") && bare.ends_with("Capacity") => ErrorKind::Capacity,
        _ if bare.contains("LimitExceeded")
            || bare.contains("QuotaExceeded")
            || bare.starts_with("TooMany") =>
        {
            ErrorKind::Limit
        }
        _ if bare.starts_with("Invalid") && bare.ends_with("State") => ErrorKind::State,
        _ if ["Invalid", "Missing", "Malformed", "BadRequest"].iter().any(|p| bare.starts_with(p)) => {
            ErrorKind::Invalid
        }
        _ => return None,
    })
}

/// A status without a code says little: a bare 404 is an unknown path, not a missing resource.
fn kind_of_status(code: Option<&str>, status: Option<u16>) -> ErrorKind {
    match status {
        Some(401 | 403) => ErrorKind::Denied,
        Some(404) if code.is_some() => ErrorKind::NotFound,
        Some(409 | 412) => ErrorKind::State,
        Some(429) => ErrorKind::Throttled,
        Some(408) => ErrorKind::Timeout,
        Some(500..=599) => ErrorKind::Server,
        _ => ErrorKind::Other,
    }
}

/// Query services report a skewed clock as a bad signature; only the message tells.
fn is_clock_skew(message: &str) -> bool {
    message.contains("Signature expired") || message.contains("Signature not yet current")
}

/// Failures to get credentials: nothing was sent.
fn credentials(operation: &str, error: &(dyn StdError + 'static)) -> Option<CloudError> {
    let found = find::<CredentialsError>(error)?;
    let message = chain(Some(found));
    let kind = match found {
        CredentialsError::ProviderError(_) if message.to_lowercase().contains("expired") => {
            ErrorKind::Expired
        }
        _ => ErrorKind::NoCredentials,
    };
    Some(CloudError::new(operation, kind, message))
}

/// Whether the failure happened while connecting, so that no byte of the request was sent.
fn never_connected(error: &(dyn StdError + 'static)) -> bool {
    find::<hyper_util::client::legacy::Error>(error)
        .is_some_and(hyper_util::client::legacy::Error::is_connect)
        || find::<aws_smithy_runtime_api::client::dns::ResolveDnsError>(error).is_some()
        || find::<std::io::Error>(error).is_some_and(|io| io.kind() == std::io::ErrorKind::ConnectionRefused)
}

fn find<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// The causes of an error in one line, each part once.
fn chain(error: Option<&(dyn StdError + 'static)>) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut next = error;
    while let Some(error) = next {
        let text = error.to_string();
        if !parts.iter().any(|part| part.contains(&text)) {
            parts.push(text);
        }
        next = error.source();
    }
    if parts.is_empty() { "no reason given".to_owned() } else { parts.join(": ") }
}
