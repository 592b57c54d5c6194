//! From the SDK's failures to [`CloudError`]: what went wrong, and whether it may have had an effect.
//!
//! For: [`failed_read`] and [`failed_change`], to be used in `map_err`. Not for: retries. Invariant:
//! a failure is `EffectCertainty::None` only where AWS surely refused the call or never got it. Pure, but
//! for one look at the clock where AWS says that it is off.

use std::error::Error as StdError;

use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_types::request_id::RequestId as _;

use crate::cloud::codes::{classify, without_reason};
use crate::cloud::{CLOCK_LIMIT_MS, CloudError, EffectCertainty, ErrorKind, clock_is_off};
use crate::model::Clock;
use crate::model::time::SystemClock;

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
        SdkError::ServiceError(service) if service.err().meta().code().is_some() => {
            let meta = service.err().meta();
            let status = service.raw().status().as_u16();
            let (mut kind, effect) = classify(operation, meta.code(), Some(status), many);
            let mut message = match meta.message() {
                Some(message) if !message.is_empty() => message.to_owned(),
                _ => without_reason(operation, status).unwrap_or_else(|| format!("HTTP {status}")),
            };
            let ahead = ahead_ms(service.raw().headers().get("date"), &SystemClock);
            if kind == ErrorKind::Expired && is_clock_skew(meta.code(), &message, ahead) {
                kind = ErrorKind::ClockSkew;
            }
            // the same code as for wrong keys, and it is about an image that is not shared with the account any more
            if kind == ErrorKind::Expired && message.contains("Not authorized for images") {
                kind = ErrorKind::Denied;
            }
            if kind == ErrorKind::ClockSkew {
                message = match ahead {
                    Some(ahead) => format!("{}; AWS says: {message}", clock_is_off(ahead)),
                    None => format!("this machine's clock is off; AWS says: {message}"),
                };
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
        SdkError::ServiceError(_) | SdkError::ResponseError(_) => {
            let status = error.raw_response().map(|response| response.status().as_u16());
            let (kind, effect) = match status {
                // accepted, and nobody can tell what came of it
                None | Some(..=299) => (ErrorKind::Unreadable, EffectCertainty::Unknown),
                _ => classify(operation, None, status, many),
            };
            let why = chain(error.source());
            let message = match status {
                Some(status) => without_reason(operation, status).unwrap_or_else(|| {
                    format!("the answer could not be read: HTTP {status}, not in AWS's format: {why}")
                }),
                None => format!("the answer could not be read: {why}"),
            };
            let mut failed = CloudError::new(operation, kind, message).effect(effect);
            failed.request_id = error.request_id().map(str::to_owned);
            failed
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

/// Query services report a skewed clock as a bad signature, which only the message tells, and EC2 as
/// credentials that are not valid, which only the answer's `Date` tells from those that are not.
fn is_clock_skew(code: Option<&str>, message: &str, ahead: Option<i64>) -> bool {
    message.contains("Signature expired")
        || message.contains("Signature not yet current")
        || (ahead.is_some_and(|ms| ms.abs() >= CLOCK_LIMIT_MS)
            && matches!(
                code,
                Some(
                    "RequestExpired" | "AuthFailure" | "SignatureDoesNotMatch" | "InvalidSignatureException"
                )
            ))
}

/// How far this machine's clock is ahead of the one that wrote this `Date` (milliseconds).
fn ahead_ms(date: Option<&str>, clock: &dyn Clock) -> Option<i64> {
    let date = chrono::DateTime::parse_from_rfc2822(date?).ok()?;
    Some((clock.now() - date.to_utc()).num_milliseconds())
}

/// Failures to get credentials: nothing was sent.
fn credentials(operation: &str, error: &(dyn StdError + 'static)) -> Option<CloudError> {
    let found = find::<CredentialsError>(error)?;
    let message = chain(Some(found)).split_whitespace().collect::<Vec<_>>().join(" ");
    let (kind, message) = match found {
        // a profile that was named and is not there, or holds nothing
        CredentialsError::CredentialsNotLoaded(_) if message.contains("profile `") => {
            let at = message.find("profile `").unwrap_or_default();
            (ErrorKind::NoCredentials, message[at..].to_owned())
        }
        // the SDK lists every place it looked at, on many lines
        CredentialsError::CredentialsNotLoaded(_) => (
            ErrorKind::NoCredentials,
            "no AWS credentials in the environment, the profile or the metadata service".to_owned(),
        ),
        CredentialsError::ProviderError(_) if message.to_lowercase().contains("expired") => {
            (ErrorKind::Expired, message)
        }
        _ => (ErrorKind::NoCredentials, message),
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

#[cfg(test)]
mod tests {
    use aws_smithy_runtime_api::client::result::ConnectorError;
    use aws_smithy_runtime_api::http::StatusCode;
    use aws_smithy_types::body::SdkBody;
    use aws_smithy_types::error::ErrorMetadata;

    use super::*;

    #[test]
    fn a_wrong_clock_is_told_from_wrong_keys_by_the_date_of_the_answer() {
        let off = Some(CLOCK_LIMIT_MS);
        assert!(is_clock_skew(Some("AuthFailure"), "not able to validate", off));
        assert!(is_clock_skew(Some("RequestExpired"), "Request has expired.", Some(-CLOCK_LIMIT_MS)));
        assert!(is_clock_skew(Some("SignatureDoesNotMatch"), "Signature not yet current: x", None));
        for (code, ahead) in [("AuthFailure", Some(1_000)), ("RequestExpired", None), ("ExpiredToken", off)] {
            assert!(!is_clock_skew(Some(code), "m", ahead), "{code}");
        }
        assert!(ahead_ms(Some("Fri, 20 Nov 2026 10:00:00 GMT"), &SystemClock).is_some());
        assert_eq!(ahead_ms(Some("yesterday"), &SystemClock), None);
        assert_eq!(clock_is_off(-301_000), "this machine's clock is 301 s behind AWS's");
    }

    /// As the SDK gives it: no code, since a HEAD answer has no body to hold one.
    #[test]
    fn a_head_request_that_is_refused_says_what_to_check() {
        let head = |status| failed_read("s3:HeadBucket")(service(None, "", status));
        let error = head(400);
        assert_eq!((error.kind, error.effect), (ErrorKind::Other, EffectCertainty::None));
        assert!(error.message.contains("aws sts get-caller-identity"), "{error}");
        assert_eq!((head(403).kind, head(301).kind), (ErrorKind::Denied, ErrorKind::Invalid));
        assert!(head(301).message.contains("another region"), "{}", head(301));
    }

    #[test]
    fn an_image_that_is_not_shared_is_no_matter_of_logging_in() {
        for (message, kind) in [
            ("Not authorized for images: [ami-0a1b]", ErrorKind::Denied),
            ("AWS was not able to validate the provided access credentials", ErrorKind::Expired),
        ] {
            let error = failed_change("ec2:RunInstances", false)(service(Some("AuthFailure"), message, 403));
            assert_eq!((error.kind, error.effect), (kind, EffectCertainty::None), "{message}");
        }
    }

    fn answer(status: u16) -> HttpResponse {
        let mut response = HttpResponse::new(StatusCode::try_from(status).unwrap(), SdkBody::empty());
        response.headers_mut().insert("x-amzn-requestid", "req-1");
        response
    }

    fn service(code: Option<&str>, message: &str, status: u16) -> SdkError<ErrorMetadata, HttpResponse> {
        let mut meta = ErrorMetadata::builder().message(message);
        if let Some(code) = code {
            meta = meta.code(code);
        }
        SdkError::service_error(meta.build(), answer(status))
    }

    #[test]
    fn an_answer_keeps_its_request_id() {
        let error = failed_change("ec2:StopInstances", false)(service(
            Some("IncorrectInstanceState"),
            "not now",
            400,
        ));
        assert_eq!(error.request_id.as_deref(), Some("req-1"));
        assert_eq!(error.to_string(), "ec2:StopInstances: IncorrectInstanceState: not now");
    }

    #[test]
    fn an_unreadable_answer_to_a_change_leaves_everything_open() {
        let change = failed_change("ec2:StopInstances", false);
        let error = change(service(None, "", 200));
        assert_eq!((error.kind, error.effect), (ErrorKind::Unreadable, EffectCertainty::Unknown));
        let broken: SdkError<ErrorMetadata, _> = SdkError::response_error("cut short", answer(200));
        let error = failed_change("ec2:StopInstances", false)(broken);
        assert_eq!((error.kind, error.effect), (ErrorKind::Unreadable, EffectCertainty::Unknown));
        assert!(error.message.starts_with("the answer could not be read: HTTP 200"), "{error}");
        assert!(error.message.contains("cut short"), "{error}");
        let read = failed_read("ec2:DescribeInstances")(service(None, "", 200));
        assert_eq!((read.kind, read.effect), (ErrorKind::Unreadable, EffectCertainty::None));
    }

    #[test]
    fn a_signature_from_the_past_is_a_skewed_clock() {
        let error =
            service(Some("SignatureDoesNotMatch"), "Signature expired: 2026 is now earlier than", 403);
        assert_eq!(failed_read("sts:GetCallerIdentity")(error).kind, ErrorKind::ClockSkew);
    }

    #[test]
    fn what_was_never_sent_is_told_from_what_was_lost() {
        use std::io::{Error as IoError, ErrorKind as Io};
        let change = |source: ConnectorError| {
            let error: SdkError<ErrorMetadata, HttpResponse> = SdkError::dispatch_failure(source);
            let error = failed_change("ec2:TerminateInstances", true)(error);
            (error.kind, error.effect)
        };
        let refused = ConnectorError::io(IoError::from(Io::ConnectionRefused).into());
        assert_eq!(change(refused), (ErrorKind::Unreachable, EffectCertainty::None));
        let reset = ConnectorError::io(IoError::from(Io::ConnectionReset).into());
        assert_eq!(change(reset), (ErrorKind::Timeout, EffectCertainty::Unknown));
        let slow = ConnectorError::timeout("too slow".into());
        assert_eq!(change(slow), (ErrorKind::Timeout, EffectCertainty::Unknown));
        let nobody = ConnectorError::other(CredentialsError::not_loaded("no providers").into(), None);
        assert_eq!(change(nobody), (ErrorKind::NoCredentials, EffectCertainty::None));
        let stale = CredentialsError::provider_error("the SSO session has expired");
        assert_eq!(
            change(ConnectorError::other(stale.into(), None)),
            (ErrorKind::Expired, EffectCertainty::None)
        );
    }
}
